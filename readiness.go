package cordon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/certs"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	outlookEvery = 5 * time.Second
	// outlookPatience is how long a route must be unready before people hear of it: names resolve and targets are probed in that time.
	outlookPatience = 30 * time.Second
	// outlookCerts is how long certificates must still be valid: as long as the longest grant.
	outlookCerts = 72 * time.Hour
)

// outlook looks ahead: would the next failover of each route be lawful, and could it be carried out? It also ends grants whose primary is back.
type outlook struct {
	node *Node
	last atomic.Pointer[admin.Readiness]

	unready map[string]time.Time // routes that are not ready, since when
	told    *alarms              // of which the log says so
}

func newOutlook(n *Node) (*outlook, error) {
	o := &outlook{node: n, unready: map[string]time.Time{}}
	o.last.Store(&admin.Readiness{Routes: []admin.RouteReadiness{}})
	return o, n.opts.Metrics.Register(o)
}

var readyDesc = prometheus.NewDesc("cordon_gate_ready", "1 while the next failover of the route would be lawful and could be carried out.", []string{"route"}, nil)

// Describe and Collect make the outlook a metric: it is read when somebody asks.
func (o *outlook) Describe(ch chan<- *prometheus.Desc) { ch <- readyDesc }

// Collect gives one value for each route that has somewhere to fail over to.
func (o *outlook) Collect(ch chan<- prometheus.Metric) {
	for _, r := range o.last.Load().Routes {
		if r.Alone {
			continue
		}
		value := 0.0
		if r.Ready {
			value = 1
		}
		ch <- prometheus.MustNewConstMetric(readyDesc, prometheus.GaugeValue, value, r.Route)
	}
}

// Run looks ahead until ctx ends.
func (o *outlook) Run(ctx context.Context) error {
	tick := time.NewTicker(outlookEvery)
	defer tick.Stop()
	o.told = recall(ctx, o.node.kv, o.node.logger, "told.readiness")
	for {
		o.look(ctx, time.Now())
		if err := o.node.gate.RevokeRecovered(ctx, o.node.router.RecoveredSince); err != nil && ctx.Err() == nil {
			o.node.logger.Error("a grant whose primary is back goes on until it can be ended", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// look makes the outlook anew and tells the log of what changed.
func (o *outlook) look(ctx context.Context, now time.Time) {
	v := o.view(now)
	o.last.Store(v)
	known := map[string]bool{}
	for _, r := range v.Routes {
		if r.Alone {
			continue
		}
		known[r.Route] = true
		if r.Ready {
			delete(o.unready, r.Route)
		} else if o.unready[r.Route].IsZero() {
			o.unready[r.Route] = now
		}
		late := !r.Ready && now.Sub(o.unready[r.Route]) >= outlookPatience
		if late == o.told.is(r.Route) || !late && !r.Ready {
			continue
		}
		ev := audit.GateReadiness{Route: r.Route, Ready: r.Ready, Next: r.Next, Verdict: r.Verdict, Why: r.Why}
		if _, err := o.node.log.Append(ctx, ev); err != nil {
			continue // said at the next look
		}
		if !late {
			o.told.end(ctx, r.Route)
		} else {
			o.told.raise(ctx, r.Route, now)
			o.node.logger.Warn("the next failover of a route could not be carried out", "route", r.Route, "why", strings.Join(r.Why, "; "))
		}
	}
	for route := range o.unready {
		if !known[route] {
			delete(o.unready, route)
		}
	}
	for route := range o.told.told {
		if !known[route] {
			o.told.end(ctx, route)
		}
	}
}

// view looks ahead once.
func (o *outlook) view(now time.Time) *admin.Readiness {
	n := o.node
	v := &admin.Readiness{At: now.UTC(), Ready: true, Staffing: n.gate.Staffing(), Routes: []admin.RouteReadiness{}}
	calls := o.calls()
	ending := o.ending(now)
	for _, p := range n.router.Prospects() {
		r := admin.RouteReadiness{Route: p.Route, Active: p.Active, Next: p.Next, Verdict: p.Verdict.String(), LegalBasis: p.Basis, Alone: p.Alone, Why: []string{}}
		if p.Next == "" {
			r.Why = append(r.Why, p.Why)
		} else {
			r.Why = append(r.Why, o.capacity(p, calls)...)
			r.Why = append(r.Why, ending...)
		}
		if p.Verdict == sovereign.Hold && p.Next != "" {
			r.Why = append(r.Why, n.gate.Bearable(p.Basis)...)
			r.Why = append(r.Why, v.Staffing.Missing...)
		}
		r.Ready = len(r.Why) == 0
		v.Ready = v.Ready && (r.Ready || r.Alone)
		v.Routes = append(v.Routes, r)
	}
	return v
}

// calls counts what each party has; nothing where no party has a limit.
func (o *outlook) calls() map[string]int {
	out := map[string]int{}
	if !slices.ContainsFunc(o.node.cfg.Load().Profiles, func(p sip.Party) bool { return p.MaxCalls > 0 }) {
		return out
	}
	for _, c := range o.node.edge.Calls() {
		out[c.Trunk]++
		out[c.Group]++
	}
	return out
}

// capacity says whether the next party could take the calls of the one in use.
func (o *outlook) capacity(p routing.Prospect, calls map[string]int) []string {
	profiles := o.node.cfg.Load().Profiles
	for i := range profiles {
		if limit := profiles[i].MaxCalls; profiles[i].Name == p.Next && limit > 0 && calls[p.Next]+max(calls[p.Active], 1) > limit {
			return []string{fmt.Sprintf("%s takes %d calls, has %d and would get %d", p.Next, limit, calls[p.Next], calls[p.Active])}
		}
	}
	return nil
}

// ending are our own certificates that end too soon, by what they are used for.
func (o *outlook) ending(now time.Time) []string {
	var out []string
	for _, c := range o.node.certs.register.List() {
		if c.Role == certs.Own && c.NotAfter.Sub(now) < outlookCerts {
			out = append(out, "the certificate of "+strings.Join(c.Uses, ", ")+" ends at "+c.NotAfter.UTC().Format(time.RFC3339))
		}
	}
	slices.Sort(out)
	return out
}

// readiness is the newest outlook, for the door.
func (o *outlook) readiness() admin.Readiness { return *o.last.Load() }

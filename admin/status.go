package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
)

// Words of StatusDocument.Status.
const (
	healthy  = "HEALTHY"
	degraded = "DEGRADED"
	held     = "HELD"
	down     = "DOWN"
)

// StatusDocument is the answer of the status interface. latency_ms and the regions are null when unknown; region_primary is null, too, while nothing in
// it can take a call.
type StatusDocument struct {
	OrgID            string   `json:"org_id"`
	Status           string   `json:"status"` // HEALTHY | DEGRADED | HELD | DOWN
	RegionPrimary    *string  `json:"region_primary"`
	RegionSecondary  *string  `json:"region_secondary"`
	LatencyMS        *float64 `json:"latency_ms"`
	LastFailoverTest *string  `json:"last_failover_test"`
	// LastFailoverOutcome is what became of it: passed or failed. Only a drill of mode full that ran to its end counts; others have fields of their own.
	LastFailoverOutcome *string    `json:"last_failover_test_outcome"`
	LastCanaryDrill     *DrillTest `json:"last_canary_drill"`
	LastSandboxDrill    *DrillTest `json:"last_sandbox_drill"`
	Why                 string     `json:"why"`
	// PolicyHeld is a wider policy that waits for people; left out when none does. What was accepted goes on, so it is no degradation.
	PolicyHeld *HeldNote `json:"policy_held,omitempty"`
	// FailoverReady says whether the next failover of every route would be lawful and could be carried out; null while nobody looked.
	FailoverReady *bool `json:"failover_ready"`
	// ReviewsLate are the periodic reviews that are late: filter, access.
	ReviewsLate []string `json:"reviews_late"`
}

func (s *Server) status(w http.ResponseWriter, r *http.Request, _ Identity) error {
	if r.PathValue("orgId") != s.c.OrgID {
		return &Problem{Status: http.StatusNotFound, Title: "unknown organisation"}
	}
	return writeJSON(w, s.Document())
}

// worse takes a status that outranks the present one. The first reason of a rank is the one that is told.
func (d *StatusDocument) worse(status, why string) {
	rank := map[string]int{healthy: 0, degraded: 1, held: 2, down: 3}
	if rank[status] > rank[d.Status] {
		d.Status, d.Why = status, why
	}
}

// Document computes the status document from the snapshots: HELD when a route waits at the gate, DOWN when a route has nobody that could take its calls,
// DEGRADED when the party in use is not known to be up or not the first choice, a target is not up, or the log cannot be written. HEALTHY needs evidence.
func (s *Server) Document() StatusDocument {
	d := StatusDocument{OrgID: s.c.OrgID, Status: healthy, Why: "every route is on its first choice and every target that may be probed is up", ReviewsLate: []string{}}
	table, routes := s.c.Table(), s.c.Router.Status()
	if len(routes) == 0 {
		d.worse(degraded, "there is no route")
	}
	for i, a := range routes {
		status, why := s.judge(table, a)
		d.worse(status, a.Route+": "+why)
		if i > 0 {
			continue
		}
		d.RegionSecondary = s.regionOf(a.Next)
		if state, _, _ := table.Party(a.Active); state.Usable() {
			d.RegionPrimary, d.LatencyMS = s.regionOf(a.Active), latency(table, a.Active)
		}
	}
	for _, party := range sortedKeys(table.ByParty) {
		for _, st := range table.ByParty[party] {
			if s.service(&st.Target) != desk.InService {
				continue // what people took out of service is no failure
			}
			if st.State == healthcheck.Down || st.State == healthcheck.Degraded {
				d.worse(degraded, st.Target.ID()+" is "+st.State.String()+": "+st.Why)
			}
		}
	}
	if h := s.c.Log.Health(); !h.OK {
		why := "the log cannot be written: " + h.Why
		if s.logMayFail() {
			why += "; calls go on and will stand in a gap"
		}
		d.worse(degraded, why)
	} else if used := reserveUsed(h); used >= 0.2 {
		d.worse(degraded, fmt.Sprintf("the log lives on its disk reserve, %.0f %% of it used", 100*used))
	}
	if r := s.ahead(); r != nil && !r.At.IsZero() {
		d.FailoverReady = &r.Ready
	}
	for _, x := range s.standings() {
		if x.Late {
			d.ReviewsLate = append(d.ReviewsLate, string(x.Review))
		}
	}
	if t, ok := s.c.LastTest(); ok {
		text := t.UTC().Format(time.RFC3339)
		d.LastFailoverTest = &text
	}
	if s.c.LastDrills != nil {
		last := s.c.LastDrills()
		if d.LastCanaryDrill, d.LastSandboxDrill = last.Canary, last.Sandbox; last.Full != nil {
			d.LastFailoverOutcome = &last.Full.Outcome
		}
	}
	d.PolicyHeld = s.heldNote()
	return d
}

// judge gives the status of one route, and why.
func (s *Server) judge(table *healthcheck.Table, a routing.ActiveRoute) (status, why string) {
	state, _, health := table.Party(a.Active)
	why = a.Why
	if a.Held != "" {
		t, known := s.c.Gate.Ticket(a.Held)
		if !known || t.EndedAt.IsZero() {
			return held, why + " (ticket " + a.Held + ")"
		}
		why += fmt.Sprintf(" (ticket %s is %s)", a.Held, t.State)
	}
	switch {
	case a.Active == "" && a.Since.IsZero():
		return degraded, "nobody has looked at it yet"
	case a.Active == "" && a.Next == "":
		return down, cmp.Or(why, "no party is in use")
	case a.Active == "":
		return degraded, "no party is in use; " + a.Next + " may be tried"
	case !state.Usable() && a.Next == "" && !untried(table, a.Active):
		return down, a.Active + " is " + state.String() + ", " + health + "; nothing else that is permitted is reachable"
	case state == healthcheck.Unknown:
		return degraded, a.Active + " was never measured: " + health
	case state != healthcheck.Up:
		return degraded, a.Active + " is " + state.String() + ": " + health
	case a.Reason == routing.ReasonManual:
		return healthy, ""
	case a.Reason != routing.ReasonPrimary:
		return degraded, a.Active + " is used by " + string(a.Reason) + ": " + why
	}
	return healthy, ""
}

// untried says whether a party has an address that nobody has heard of yet: calls may try it.
func untried(table *healthcheck.Table, party string) bool {
	return slices.ContainsFunc(table.ByParty[party], func(st healthcheck.Status) bool {
		return st.State == healthcheck.Unknown && st.Target.Addr.IsValid()
	})
}

func (s *Server) regionOf(party string) *string {
	if party == "" {
		return nil
	}
	p, ok := s.c.Snapshot().Party(party)
	if !ok {
		return nil
	}
	text := p.Region.String()
	return &text
}

// latency is the smallest mean round trip of a party's usable targets.
func latency(t *healthcheck.Table, party string) *float64 {
	var best time.Duration
	for _, st := range t.ByParty[party] {
		if st.RTT > 0 && st.State != healthcheck.Down && (best == 0 || st.RTT < best) {
			best = st.RTT
		}
	}
	if best == 0 {
		return nil
	}
	ms := float64(best) / float64(time.Millisecond)
	return &ms
}

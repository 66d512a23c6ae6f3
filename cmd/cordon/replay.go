package main

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/cdr"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
)

// replay is what `cordon plan --replay` is told.
type replay struct {
	Replay  string            `help:"CSV of calls of another system: where would each have gone? Nothing is dialled." type:"existingfile"`
	Config  string            `help:"With --replay: judge by this configuration, with every target assumed up; default: ask the running node." type:"existingfile"`
	Trunk   string            `help:"With --replay: the trunk or group that every call came from, where the file does not say."`
	Map     map[string]string `help:"With --replay: names of the other system and ours, such as --map=SBC1=carrier."`
	Columns map[string]string `help:"With --replay: header names of time, from, caller, called, duration, where they are unusual."`
	Errors  int               `default:"100" help:"With --replay: bad lines that are skipped before it gives up."`
	Out     string            `help:"With --replay: write one CSV line for each call into this file."`
	Numbers bool              `help:"With --replay: write whole numbers; otherwise all but the first digits are masked."`
}

// batchSize is how many calls are planned at once.
const batchSize = 500

// planned is one call and where it would have gone.
type planned struct {
	cdr.Call
	plan admin.PlanView
}

// verdict sums one plan up: the first hop, or the first thing that keeps the call from one.
func (p planned) verdict() [5]string {
	v := p.plan
	switch {
	case len(v.Hops) > 0:
		h := v.Hops[0]
		return [5]string{dash(v.Route), h.Party, h.Region, h.Verdict, h.Ground}
	case len(v.Refused) > 0:
		h := v.Refused[0]
		return [5]string{dash(v.Route), "-", h.Region, "refused", h.Ground}
	}
	return [5]string{dash(v.Route), "-", "-", "refused", "no_route"}
}

// replayed plans every call of the file.
func (c *planCmd) replayed(ctx context.Context, s streams) error {
	in, err := os.Open(c.Replay.Replay)
	if err != nil {
		return err
	}
	defer in.Close()
	cols := c.Replay.Columns
	r, err := cdr.NewReader(in, cdr.Columns{Time: cols["time"], From: cols["from"], Caller: cols["caller"], Called: cols["called"], Duration: cols["duration"]})
	if err != nil {
		return withHint(err, "name the columns with --columns=called=NAME;from=NAME")
	}
	if !r.Has("from") && c.Replay.Trunk == "" {
		return withHint(errors.New("the file does not say where calls came from"), "name the column with --columns=from=NAME, or one trunk for all with --trunk")
	}
	ask := c.asked
	if c.Replay.Config != "" {
		if ask, err = offline(c.Replay.Config); err != nil {
			return err
		}
	}
	out, done, err := c.output()
	if err != nil {
		return err
	}
	counts, calls, bad, err := c.walk(ctx, s, r, ask, out)
	if err = errors.Join(err, done()); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d calls, %d lines skipped\n\n", calls, bad)
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "CALLS\tROUTE\tPARTY\tREGION\tVERDICT\tGROUND")
	for _, k := range slices.SortedFunc(maps.Keys(counts), func(a, b [5]string) int {
		return cmp.Or(cmp.Compare(counts[b], counts[a]), slices.Compare(a[:], b[:]))
	}) {
		fmt.Fprintf(w, "%d\t%s\n", counts[k], strings.Join(k[:], "\t"))
	}
	return w.Flush()
}

type planner func(ctx context.Context, calls []admin.PlanRequest) ([]admin.PlanView, error)

// walk reads, plans and writes batch after batch: a file may be larger than memory.
func (c *planCmd) walk(ctx context.Context, s streams, r *cdr.Reader, ask planner, out *csv.Writer) (counts map[[5]string]int, calls, bad int, err error) {
	counts = map[[5]string]int{}
	for end := false; !end; {
		var batch []cdr.Call
		for len(batch) < batchSize {
			call, err := r.Next()
			var line *cdr.BadLine
			if errors.Is(err, io.EOF) {
				end = true
				break
			} else if errors.As(err, &line) {
				fmt.Fprintf(s.err, "skipped %v\n", line)
				if bad++; bad > c.Replay.Errors {
					return counts, calls, bad, withHint(fmt.Errorf("more than %d bad lines", c.Replay.Errors), "is it the right file? --errors raises the bound")
				}
				continue
			} else if err != nil {
				return counts, calls, bad, err
			}
			batch = append(batch, call)
		}
		if len(batch) == 0 {
			break
		}
		list, err := c.plans(ctx, batch, calls, ask)
		if err != nil {
			return counts, calls, bad, err
		}
		calls += len(list)
		for _, p := range list {
			v := p.verdict()
			counts[v]++
			c.write(out, p, v)
		}
	}
	return counts, calls, bad, nil
}

// plans asks for a batch. All are judged by the law of now; the nanoseconds keep shares by weight apart.
func (c *planCmd) plans(ctx context.Context, batch []cdr.Call, before int, ask planner) ([]planned, error) {
	now := time.Now()
	var q []admin.PlanRequest
	out := make([]planned, len(batch))
	for i, call := range batch {
		from := cmp.Or(call.From, c.Replay.Trunk)
		from = cmp.Or(c.Replay.Map[from], from)
		q = append(q, admin.PlanRequest{From: from, Called: call.Called, Caller: call.Caller, At: now.Add(time.Duration(before + i))})
		out[i].Call = call
		out[i].From = from
	}
	answers, err := ask(ctx, q)
	if err != nil {
		return nil, err
	}
	if len(answers) != len(q) {
		return nil, fmt.Errorf("%d calls were asked for and %d answered", len(q), len(answers))
	}
	for i := range out {
		out[i].plan = answers[i]
	}
	return out, nil
}

// asked asks the running node.
func (c *planCmd) asked(ctx context.Context, calls []admin.PlanRequest) ([]admin.PlanView, error) {
	var v admin.PlansView
	err := c.do(ctx, "POST", "/api/v1/plans", admin.Plans{Calls: calls}, &v)
	return v.Plans, err
}

// offline plans by a configuration alone: every target is up, no grant is live, nobody took anything out of service.
func offline(file string) (planner, error) {
	cfg, err := configs.Load(file)
	if err != nil {
		return nil, err
	}
	snap, err := cfg.Snapshot(1, nil, nil)
	if err != nil {
		return nil, err
	}
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	log, err := audit.Memory(audit.Config{Signer: key, Origin: "cordon/replay", Tenant: "replay", Node: "replay"})
	if err != nil {
		return nil, err
	}
	table := assumed(cfg)
	r, err := routing.New(routing.Config{
		Rules: cfg.Rules, Table: func() *healthcheck.Table { return table }, Snapshot: func() *sovereign.Snapshot { return snap }, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return func(_ context.Context, calls []admin.PlanRequest) ([]admin.PlanView, error) {
		out := make([]admin.PlanView, len(calls))
		for i, q := range calls {
			out[i] = admin.ViewPlan(r.Explain(routing.Request{From: q.From, Called: q.Called, Caller: q.Caller, At: q.At}))
		}
		return out, nil
	}, nil
}

// assumed is the table in which everything is up. A member that is a name gets the first address of a place of its party's region: names are not resolved here.
func assumed(cfg *configs.Config) *healthcheck.Table {
	t := &healthcheck.Table{At: time.Now(), ByParty: map[string][]healthcheck.Status{}}
	for _, w := range cfg.Watched {
		for _, m := range w.Members {
			a, err := netip.ParseAddr(m.Host)
			if err != nil {
				a = placeOf(cfg, w.Party)
			}
			if !a.IsValid() {
				continue
			}
			target := healthcheck.Target{
				Party: w.Party, Member: m.Name, Name: m.Host, Transport: cmp.Or(m.Transport, "tls"), Addr: netip.AddrPortFrom(a, cmp.Or(m.Port, 5061)),
				Priority: m.Priority, Weight: m.Weight,
			}
			t.ByParty[w.Party] = append(t.ByParty[w.Party], healthcheck.Status{Target: target, State: healthcheck.Up, Since: t.At, Why: "assumed to be up"})
		}
	}
	return t
}

func placeOf(cfg *configs.Config, party string) netip.Addr {
	region := ""
	for _, p := range slices.Concat(cfg.File.Trunks, cfg.File.EdgeGroups) {
		if p.Name == party {
			region = p.Region
		}
	}
	for _, p := range cfg.File.Places {
		if pfx, err := netip.ParsePrefix(p.Prefix); err == nil && p.Region == region {
			return pfx.Addr().Next()
		}
	}
	return netip.Addr{}
}

// output opens the file of single answers; nil when none is wanted.
func (c *planCmd) output() (*csv.Writer, func() error, error) {
	if c.Replay.Out == "" {
		return nil, func() error { return nil }, nil
	}
	f, err := os.OpenFile(c.Replay.Out, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, nil, err
	}
	w := csv.NewWriter(f)
	err = w.Write([]string{"line", "time", "from", "caller", "called", "route", "party", "region", "verdict", "ground", "why"})
	return w, func() error { w.Flush(); return errors.Join(w.Error(), f.Close()) }, err
}

func (c *planCmd) write(w *csv.Writer, p planned, v [5]string) {
	if w == nil {
		return
	}
	caller, called, at := p.Caller, p.Called, ""
	if !c.Replay.Numbers {
		caller, called = masked(caller), masked(called)
	}
	if !p.At.IsZero() {
		at = p.At.Format(time.RFC3339)
	}
	// What cannot be written is told when the file is closed.
	_ = w.Write([]string{strconv.Itoa(p.Line), at, p.From, caller, called, v[0], v[1], v[2], v[3], v[4], p.plan.Why})
}

// masked leaves the first digits of a number, which name a country and a little more, and of a user nothing.
func masked(s string) string {
	keep := 4
	if strings.Trim(s, "+0123456789") != "" || len(s) <= keep {
		keep = 0
	}
	return s[:keep] + strings.Repeat("x", len(s)-keep)
}

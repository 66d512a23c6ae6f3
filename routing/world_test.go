package routing

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// Places of the tests: one /24 per region.
var nets = map[string]string{
	"aws:eu-central-1": "203.0.113.0/28", // Frankfurt
	"aws:eu-central-2": "203.0.113.16/28",
	"aws:eu-north-1":   "203.0.113.32/28",
	"aws:us-east-1":    "203.0.113.48/28",
	"aws:eu-west-2":    "203.0.113.64/28",
	"aws:us-west-2":    "203.0.113.80/28",
}

// addrs of the parties, in declaration order.
var addrs = map[string][]string{
	"carrier-de": {"203.0.113.1:5060"},
	"carrier-ch": {"203.0.113.17:5060"},
	"carrier-us": {"203.0.113.49:5060"},
	"fra":        {"203.0.113.2:5061", "203.0.113.3:5061"},
	"zrh":        {"203.0.113.18:5061"},
	"sto":        {"203.0.113.34:5061"},
	"lon":        {"203.0.113.66:5061"}, // adequate, but not allow-listed: held
	"iad":        {"203.0.113.50:5061"},
	"pdx":        {"203.0.113.82:5061"},
	"bad":        {"198.51.100.9:5061"}, // in no declared prefix
	"queue":      {"203.0.113.4:5061"},
	"split":      {"203.0.113.5:5061"}, // Frankfurt, homed in the US
}

var homes = map[string]string{
	"carrier-de": "aws:eu-central-1", "carrier-ch": "aws:eu-central-2", "carrier-us": "aws:us-east-1",
	"fra": "aws:eu-central-1", "zrh": "aws:eu-central-2", "sto": "aws:eu-north-1", "lon": "aws:eu-west-2", "iad": "aws:us-east-1",
	"pdx": "aws:us-west-2", "bad": "aws:eu-central-1", "queue": "aws:eu-central-1", "split": "aws:eu-central-1",
}

func region(s string) sovereign.Region {
	provider, code, _ := strings.Cut(s, ":")
	return sovereign.Region{Provider: provider, Code: code}
}

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// world is everything that a Router reads, as a test sets it.
type world struct {
	t        testing.TB
	mu       sync.Mutex
	snapshot *sovereign.Snapshot
	table    *healthcheck.Table
	gate     *gate
	log      *flaky
	rules    Rules
	recorder func(string) (bool, string)
	capacity func(string) bool
	desk     *desk.Desk
}

// base is the policy of the tests, made once: it is immutable.
var base = sync.OnceValues(func() (*sovereign.Snapshot, error) {
	var decl []sovereign.Declaration
	for r, p := range nets {
		decl = append(decl, sovereign.Declaration{Prefix: p, Region: region(r), Operator: "Cloud", Contract: "annex 1"})
	}
	slices.SortFunc(decl, func(a, b sovereign.Declaration) int { return strings.Compare(a.Prefix, b.Prefix) })
	atlas, err := sovereign.NewAtlas(sovereign.ShippedRegions(), decl)
	if err != nil {
		return nil, err
	}
	var parties []sovereign.Party
	for name, home := range homes {
		p := sovereign.Party{Name: name, Kind: sovereign.KindGroup, Region: region(home), Contract: "annex 1"}
		if strings.HasPrefix(name, "carrier") {
			p.Kind = sovereign.KindTrunk
		}
		if name == "split" {
			p.OrgHomeRegion = region("aws:us-west-2")
		}
		parties = append(parties, p)
	}
	slices.SortFunc(parties, func(a, b sovereign.Party) int { return strings.Compare(a.Name, b.Name) })
	return sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Policy: sovereign.Policy{
			Home: region("aws:eu-central-1"), Allow: []sovereign.Region{region("aws:eu-central-1"), region("aws:eu-central-2"), region("aws:eu-north-1")},
		},
		Atlas: atlas, Parties: parties, Generation: 1,
	})
})

func newWorld(t testing.TB) *world {
	t.Helper()
	s, err := base()
	if err != nil {
		t.Fatal(err)
	}
	log, err := audit.Memory(audit.Config{Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "test/routing", Tenant: "bank", Node: "n1", Software: "test"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close(context.Background()) })
	w := &world{t: t, snapshot: s, gate: &gate{left: map[string]int{}}, log: &flaky{Log: log}, rules: rulesOf("fra 1", "zrh 2", "sto 3", "iad 4")}
	w.table = &healthcheck.Table{At: start, ByParty: map[string][]healthcheck.Status{}}
	for name, list := range addrs {
		for i, a := range list {
			w.table.ByParty[name] = append(w.table.ByParty[name], healthcheck.Status{
				Target: healthcheck.Target{Party: name, Member: fmt.Sprintf("m%d", i+1), Name: name + ".example", Transport: "tls", Addr: netip.MustParseAddrPort(a)},
				State:  healthcheck.Up, Since: start, Why: "answers", RTT: 10 * time.Millisecond, LastSeen: start,
			})
		}
	}
	for _, held := range []string{"iad", "pdx", "lon", "bad", "split", "carrier-us"} {
		w.health(held, healthcheck.Unknown)
	}
	return w
}

// rulesOf makes one inbound route "main" from choices such as "fra 1" or "fra 1 30" (party, priority, weight), and an outbound one.
func rulesOf(choices ...string) Rules {
	r := Rules{
		Groups: map[string]GroupRule{}, Trunks: map[string]TrunkRule{
			"carrier-de": {Country: "DE", Region: region("aws:eu-central-1"), Within: 2 * time.Second},
			"carrier-ch": {Country: "CH", Region: region("aws:eu-central-2")},
			"carrier-us": {Region: region("aws:us-east-1")},
		},
		Emergency: []EmergencyRule{
			{Country: "DE", Numbers: []string{"110", "112", "urn:service:sos"}, Trunk: "carrier-de"},
			{Country: "CH", Numbers: []string{"112", "117", "118", "144"}, Trunk: "carrier-ch"},
		},
		Routes: []Route{
			{Name: "main", Direction: Inbound, To: choicesOf(choices...)},
			{Name: "out", Direction: Outbound, To: choicesOf("carrier-de 1", "carrier-ch 2", "carrier-us 3")},
		},
	}
	for name, home := range homes {
		if !strings.HasPrefix(name, "carrier") {
			r.Groups[name] = GroupRule{Region: region(home)}
		}
	}
	fra := r.Groups["fra"]
	fra.Country, fra.Within = "DE", 4*time.Second
	r.Groups["fra"] = fra
	return r
}

func choicesOf(list ...string) []Choice {
	var out []Choice
	for _, s := range list {
		var c Choice
		fmt.Sscanf(s, "%s %d %d", &c.Party, &c.Priority, &c.Weight)
		out = append(out, c)
	}
	return out
}

// health sets the state of all targets of a party, by a new table.
func (w *world) health(party string, s healthcheck.State) { w.status(party, -1, s, -1) }

func (w *world) status(party string, i int, s healthcheck.State, rtt time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	next := &healthcheck.Table{At: w.table.At, Generation: w.table.Generation + 1, ByParty: map[string][]healthcheck.Status{}}
	for name, list := range w.table.ByParty {
		next.ByParty[name] = slices.Clone(list)
	}
	for j := range next.ByParty[party] {
		if i >= 0 && j != i {
			continue
		}
		st := &next.ByParty[party][j]
		if st.State != s {
			st.Since = time.Now()
		}
		st.State, st.Why = s, s.String()+" by the test"
		if rtt >= 0 {
			st.RTT = rtt
		}
		if s == healthcheck.Unknown {
			st.RTT = 0
		}
	}
	w.table = next
}

// grant makes a live grant in the gate and in the snapshot.
func (w *world) grant(id string, calls int, trunks, groups, regions []string, from, until time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gate.add(approval.Grant{ID: id, From: from, Until: until, Scope: approval.Scope{Trunks: trunks, Groups: groups, Regions: regions}}, calls)
	w.snapshot = w.snapshot.WithGrants(w.gate.sovereign())
}

func (w *world) router() *Router {
	w.t.Helper()
	r, err := New(Config{
		Rules: w.rules, Gate: w.gate, Log: w.log, Recorder: w.recorder, Capacity: w.capacity, Desk: w.desk,
		Table:    func() *healthcheck.Table { w.mu.Lock(); defer w.mu.Unlock(); return w.table },
		Snapshot: func() *sovereign.Snapshot { w.mu.Lock(); defer w.mu.Unlock(); return w.snapshot },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// gate is a gate of the tests: it remembers what was proposed.
type gate struct {
	mu       sync.Mutex
	grants   []approval.Grant
	left     map[string]int
	proposed []approval.Plan
	by       []string
	fail     error
	approve  time.Duration
}

func (g *gate) Propose(_ context.Context, by string, p approval.Plan) (approval.Ticket, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.fail != nil {
		return approval.Ticket{}, g.fail
	}
	g.proposed, g.by = append(g.proposed, p), append(g.by, by)
	t := approval.Ticket{ID: fmt.Sprintf("T%d", len(g.proposed)), State: approval.Pending, Plan: p}
	if g.approve > 0 {
		t.ApproveBy = time.Now().Add(g.approve)
	}
	return t, nil
}

func (g *gate) add(a approval.Grant, calls int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.grants = append(slices.Clone(g.grants), a)
	g.left[a.ID] = calls
}

func (g *gate) Grants() []approval.Grant {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.grants
}

func (g *gate) Left(id string) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.left[id]
}

func (g *gate) count() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.proposed)
}

func (g *gate) sovereign() []sovereign.Grant {
	var out []sovereign.Grant
	for _, a := range g.Grants() {
		s := sovereign.Grant{ID: a.ID, Trunks: a.Scope.Trunks, Groups: a.Scope.Groups, NotBefore: a.From, Until: a.Until}
		for _, r := range a.Scope.Regions {
			s.Regions = append(s.Regions, region(r))
		}
		out = append(out, s)
	}
	return out
}

// flaky is a real log in memory that can be told to fail, and to take its time for a checkpoint.
type flaky struct {
	audit.Log
	mu   sync.Mutex
	down bool
	slow time.Duration
}

func (f *flaky) broken() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down {
		return fmt.Errorf("disk full: %w", audit.ErrLogDown)
	}
	return nil
}

func (f *flaky) set(down bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = down
}

func (f *flaky) Append(ctx context.Context, e audit.Event) (uint64, error) {
	if err := f.broken(); err != nil {
		return 0, err
	}
	return f.Log.Append(ctx, e)
}

func (f *flaky) Commit(ctx context.Context, e audit.Event) (uint64, error) {
	if err := f.broken(); err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	case <-time.After(f.slow):
	}
	return f.Log.Commit(ctx, e)
}

// entries gives the failover entries as words: "failover.applied fra>zrh".
func (w *world) entries() []string {
	w.t.Helper()
	list, err := w.log.Entries(context.Background(), 0, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		var f audit.Failover
		if err := json.Unmarshal(e.Body, &f); err != nil {
			w.t.Fatal(err)
		}
		s := fmt.Sprintf("%s %s>%s", strings.TrimPrefix(string(e.Kind), "failover."), f.From, f.To)
		if f.Ticket != "" {
			s += " " + f.Ticket
		}
		out = append(out, s)
	}
	return out
}

var errTest = errors.New("by the test")

// way writes the hops of a plan as words: "fra m1 primary, zrh m1 auto_failover".
func way(p Plan) string {
	var out []string
	for _, h := range p.Hops {
		s := h.Party + " " + h.Target.Member + " " + string(h.Reason)
		if h.Grant != "" {
			s += " " + h.Grant
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// out writes what a plan leaves out: "iad region_not_allow_listed".
func out(p Plan) string {
	var list []string
	for _, r := range p.Refused {
		s := r.Party
		if r.Target != "" {
			s = r.Target
		}
		list = append(list, s+" "+string(r.Ground))
	}
	return strings.Join(list, ", ")
}

func call(from string) Request {
	return Request{From: from, Called: "+4969123456", Caller: "+49301234", Domain: "bank.example", At: start.Add(time.Minute)}
}

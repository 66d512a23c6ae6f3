package admin

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

// play is the main story for a real Router: three permitted places, one that is held, one that is denied.
type play struct {
	*Server
	mu     sync.Mutex
	table  *healthcheck.Table
	gate   *fakeGate
	router *routing.Router
	log    audit.Log
}

func (p *play) Table() *healthcheck.Table {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.table
}

// Propose opens t1, always.
func (p *play) Propose(context.Context, string, approval.Plan) (approval.Ticket, error) {
	return approval.Ticket{ID: "t1", State: approval.Pending, ApproveBy: time.Now().Add(time.Hour)}, nil
}
func (p *play) Grants() []approval.Grant { return nil }
func (p *play) Left(string) int          { return 0 }

// turn sets the state of a party and lets the Router see it.
func (p *play) turn(state healthcheck.State, parties ...string) {
	p.mu.Lock()
	next := &healthcheck.Table{ByParty: maps.Clone(p.table.ByParty)}
	var told []healthcheck.Transition
	for _, party := range parties {
		list := slices.Clone(next.ByParty[party])
		for i := range list {
			told = append(told, healthcheck.Transition{Target: list[i].Target, From: list[i].State, To: state, At: time.Now(), Why: "by the test"})
			list[i].State, list[i].Since, list[i].Why, list[i].RTT = state, time.Now(), state.String()+" by the test", 12*time.Millisecond
		}
		next.ByParty[party] = list
	}
	p.table = next
	p.mu.Unlock()
	for _, t := range told {
		p.router.Transition(t)
	}
	synctest.Wait()
	time.Sleep(2 * time.Second)
	synctest.Wait()
}

func (p *play) want(t *testing.T, status, primary, secondary, why string) {
	t.Helper()
	d := p.Document()
	word := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	if d.Status != status || word(d.RegionPrimary) != primary || word(d.RegionSecondary) != secondary || !strings.Contains(d.Why, why) {
		t.Errorf("%s from %q to %q because %q; want %s from %q to %q because %q", d.Status, word(d.RegionPrimary), word(d.RegionSecondary), d.Why, status, primary, secondary, why)
	}
	if (d.LatencyMS != nil) != (primary != "") {
		t.Errorf("%s from %q with latency %v", d.Status, primary, d.LatencyMS)
	}
}

var storyPlaces = map[string]string{
	"carrier": "aws:eu-central-1 203.0.113.1:5061", "fra": "aws:eu-central-1 203.0.113.2:5061", "zrh": "aws:eu-central-2 203.0.113.18:5061",
	"sto": "aws:eu-north-1 203.0.113.34:5061", "iad": "aws:us-east-1 203.0.113.50:5061",
}

func storySnapshot(t *testing.T) *sovereign.Snapshot {
	t.Helper()
	c := sovereign.SnapshotConfig{Generation: 1}
	var decl []sovereign.Declaration
	for _, name := range sortedKeys(storyPlaces) {
		text, addr, _ := strings.Cut(storyPlaces[name], " ")
		region, err := sovereign.ParseRegion(text)
		if err != nil {
			t.Fatal(err)
		}
		kind := sovereign.KindGroup
		if name == "carrier" {
			kind = sovereign.KindTrunk
		}
		c.Parties = append(c.Parties, sovereign.Party{Name: name, Kind: kind, Region: region, Contract: "annex 1"})
		if name != "iad" {
			c.Policy.Allow = append(c.Policy.Allow, region)
		}
		if name != "carrier" {
			prefix := netip.PrefixFrom(netip.MustParseAddrPort(addr).Addr(), 28).Masked()
			decl = append(decl, sovereign.Declaration{Prefix: prefix.String(), Region: region, Operator: "Cloud", Contract: "annex 1"})
		}
		if name == "fra" {
			c.Policy.Home = region
		}
	}
	var err error
	if c.Atlas, err = sovereign.NewAtlas(sovereign.ShippedRegions(), decl); err != nil {
		t.Fatal(err)
	}
	s, err := sovereign.NewSnapshot(c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// story runs f beside a Router that has looked once; every permitted place is up.
func story(t *testing.T, f func(*testing.T, *play)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))) // the law of the year 2000 is another one
		snap := storySnapshot(t)
		snapshot := func() *sovereign.Snapshot { return snap }
		log, err := audit.Memory(audit.Config{Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "test/admin", Tenant: "bank-1", Node: "n"})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close(context.WithoutCancel(t.Context()))
		p := &play{gate: &fakeGate{}, log: log, table: &healthcheck.Table{ByParty: map[string][]healthcheck.Status{}}}
		for name, place := range storyPlaces {
			_, addr, _ := strings.Cut(place, " ")
			p.table.ByParty[name] = []healthcheck.Status{{
				Target: healthcheck.Target{Party: name, Member: "m1", Transport: "tls", Addr: netip.MustParseAddrPort(addr)}, Why: "not probed yet", Since: time.Now(),
			}}
		}
		rules := routing.Rules{Trunks: map[string]routing.TrunkRule{"carrier": {}}, Groups: map[string]routing.GroupRule{}}
		for _, name := range []string{"fra", "zrh", "sto", "iad"} {
			party, _ := snap.Party(name)
			rules.Groups[name] = routing.GroupRule{Region: party.Region}
		}
		rules.Routes = []routing.Route{{Name: "line", Direction: routing.Inbound, To: []routing.Choice{{Party: "fra", Priority: 1}, {Party: "zrh", Priority: 2}, {Party: "sto", Priority: 3}, {Party: "iad", Priority: 4}}}}
		if p.router, err = routing.New(routing.Config{Rules: rules, Table: p.Table, Snapshot: snapshot, Gate: p, Log: log}); err != nil {
			t.Fatal(err)
		}
		p.Server = &Server{c: Config{
			OrgID: "bank-1", Gate: p.gate, Router: p.router, Table: p.Table, Snapshot: snapshot, Log: log, LastTest: func() (time.Time, bool) { return time.Time{}, false },
		}}
		p.want(t, "DEGRADED", "", "", "nobody has looked at it yet")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.router.Run(ctx) }()
		synctest.Wait()
		f(t, p)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

const (
	fraRegion = "aws:eu-central-1"
	zrhRegion = "aws:eu-central-2"
	stoRegion = "aws:eu-north-1"
)

func TestTheDocumentTellsTheMainStory(t *testing.T) {
	story(t, func(t *testing.T, p *play) {
		p.want(t, "DEGRADED", "", "", "fra was never measured")
		p.turn(healthcheck.Up, "carrier", "fra", "zrh", "sto")
		p.want(t, "HEALTHY", fraRegion, zrhRegion, "every route")
		p.turn(healthcheck.Degraded, "sto")
		p.want(t, "DEGRADED", fraRegion, zrhRegion, "sto/m1/tls/203.0.113.34:5061 is degraded")
		p.turn(healthcheck.Up, "sto")
		p.turn(healthcheck.Down, "fra")
		p.want(t, "DEGRADED", zrhRegion, stoRegion, "zrh is used by auto_failover")
		p.turn(healthcheck.Down, "sto")
		p.turn(healthcheck.Down, "zrh")
		if a := p.router.Status()[0]; a.Active != "zrh" || a.Held != "t1" {
			t.Fatalf("the Router gives %+v", a)
		}
		p.want(t, "HELD", "", "", "ticket t1")
		p.gate.ticket = approval.Ticket{State: approval.DeniedByPeople, EndedAt: time.Now()}
		p.want(t, "DOWN", "", "", "zrh is down")
		p.gate.ticket = approval.Ticket{}
		p.turn(healthcheck.Up, "sto")
		p.want(t, "DEGRADED", stoRegion, "", "sto is used by auto_failover")
		p.turn(healthcheck.Up, "fra")
		p.want(t, "DEGRADED", fraRegion, stoRegion, "zrh/m1/tls/203.0.113.18:5061 is down")
		p.turn(healthcheck.Up, "zrh")
		p.want(t, "HEALTHY", fraRegion, zrhRegion, "every route")
	})
}

func TestTheDocumentSaysDownWhenNothingIsLeft(t *testing.T) {
	story(t, func(t *testing.T, p *play) {
		rules := routing.Rules{
			Trunks: map[string]routing.TrunkRule{"carrier": {}}, Groups: map[string]routing.GroupRule{},
			Routes: []routing.Route{{Name: "line", Direction: routing.Inbound, To: []routing.Choice{{Party: "zrh", Priority: 1}, {Party: "iad", Priority: 2}}, Fallback: routing.FallbackNever}},
		}
		for _, name := range []string{"fra", "zrh", "sto", "iad"} {
			party, _ := p.c.Snapshot().Party(name)
			rules.Groups[name] = routing.GroupRule{Region: party.Region}
		}
		if err := p.router.Reload(rules); err != nil {
			t.Fatal(err)
		}
		p.turn(healthcheck.Up, "carrier", "fra", "zrh", "sto")
		p.want(t, "HEALTHY", zrhRegion, "", "every route")
		p.turn(healthcheck.Down, "zrh")
		p.want(t, "DOWN", "", "", "zrh is down")
	})
}

func TestStatusDocument(t *testing.T) {
	d := open(t)
	target := healthcheck.Target{Party: "fra", Addr: netip.MustParseAddrPort("203.0.113.2:5061")}
	up := healthcheck.Status{Target: target, State: healthcheck.Up, RTT: 12 * time.Millisecond}
	sick, dead, lost := up, up, healthcheck.Status{Target: healthcheck.Target{Party: "fra"}, Why: "no such name"}
	sick.State, sick.Why = healthcheck.Degraded, "slow"
	dead.State, dead.Why = healthcheck.Down, "silent"
	primary, since := routing.ReasonPrimary, time.Now()
	for _, c := range []struct {
		name   string
		routes []routing.ActiveRoute
		fra    healthcheck.Status
		status string
		first  any
		second any
		rtt    any
		why    string
	}{
		{"all well", []routing.ActiveRoute{{Route: "in", Active: "fra", Next: "zrh", Reason: primary, Since: since}}, up, "HEALTHY", fraRegion, zrhRegion, 12.0, ""},
		{"slow", []routing.ActiveRoute{{Route: "in", Active: "fra", Next: "zrh", Reason: primary, Since: since}}, sick, "DEGRADED", fraRegion, zrhRegion, 12.0, "in: fra is degraded: slow"},
		{"dying", []routing.ActiveRoute{{Route: "in", Active: "fra", Next: "zrh", Reason: primary, Since: since}}, dead, "DEGRADED", nil, zrhRegion, nil, "in: fra is down: silent"},
		{"dead", []routing.ActiveRoute{{Route: "in", Active: "fra", Reason: primary, Since: since}}, dead, "DOWN", nil, nil, nil, "in: fra is down, silent"},
		{"no address", []routing.ActiveRoute{{Route: "in", Active: "fra", Reason: primary, Since: since}}, lost, "DOWN", nil, nil, nil, "no such name"},
		{"under a grant", []routing.ActiveRoute{{Route: "in", Active: "fra", Reason: routing.ReasonGatedFailover, Since: since}}, up, "DEGRADED", fraRegion, nil, 12.0, "gated_failover"},
		{"at the gate", []routing.ActiveRoute{{Route: "in", Active: "fra", Held: "t1", Why: "all down", Reason: primary, Since: since}}, dead, "HELD", nil, nil, nil, "in: all down (ticket t1)"},
		{"by law", []routing.ActiveRoute{{Route: "in", Held: "t1", Why: "all down", Since: since}}, dead, "HELD", nil, nil, nil, "all down"},
		{"nothing", []routing.ActiveRoute{{Route: "in", Why: "all down", Since: since}}, dead, "DOWN", nil, nil, nil, "in: all down"},
		{"about to move", []routing.ActiveRoute{{Route: "in", Next: "zrh", Since: since}}, dead, "DEGRADED", nil, zrhRegion, nil, "zrh may be tried"},
		{"the second is down", []routing.ActiveRoute{{Route: "in", Active: "fra", Reason: primary, Since: since}, {Route: "out", Why: "all gone", Since: since}}, up, "DOWN", fraRegion, nil, 12.0, "out: all gone"},
		{"no route", nil, up, "DEGRADED", nil, nil, nil, "no route"},
	} {
		d.router.routes = c.routes
		d.table = &healthcheck.Table{ByParty: map[string][]healthcheck.Status{"fra": {c.fra}}}
		w := d.ask("GET", "/api/v2/orgs/bank-1/healthcheck/status", "r", "")
		var got map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 {
			t.Fatalf("%s: %d %v", c.name, w.Code, err)
		}
		if got["status"] != c.status || got["region_primary"] != c.first || got["region_secondary"] != c.second || got["latency_ms"] != c.rtt || got["last_failover_test"] != nil {
			t.Errorf("%s: %v", c.name, got)
		}
		if why, _ := got["why"].(string); !strings.Contains(why, c.why) {
			t.Errorf("%s: because %q", c.name, why)
		}
	}
	if w := d.ask("GET", "/api/v2/orgs/other/healthcheck/status", "r", ""); w.Code != 404 || w.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("another organisation: %d", w.Code)
	}
}

func TestReadyWithoutALogOnlyWhereCallsMayGoOn(t *testing.T) {
	d := open(t)
	d.router.routes = []routing.ActiveRoute{{Route: "in", Active: "fra", Reason: routing.ReasonPrimary, Since: time.Now()}}
	d.table = &healthcheck.Table{ByParty: map[string][]healthcheck.Status{"fra": {{State: healthcheck.Up}}}}
	d.down = true
	if w := d.ask("GET", "/readyz", "", ""); w.Code != 503 {
		t.Errorf("refuse: %d", w.Code)
	}
	if doc := d.Document(); doc.Status != "DEGRADED" || doc.Why != "the log cannot be written: disk full" {
		t.Errorf("refuse: %+v", doc)
	}
	d.gap = true
	if w := d.ask("GET", "/readyz", "", ""); w.Code != 200 {
		t.Errorf("continue_with_gap: %d", w.Code)
	}
	if doc := d.Document(); doc.Status != "DEGRADED" || !strings.Contains(doc.Why, "disk full; calls go on") {
		t.Errorf("continue_with_gap: %+v", doc)
	}
	d.c.LogMayFail = nil
	if w := d.ask("GET", "/readyz", "", ""); w.Code != 503 {
		t.Errorf("by default: %d", w.Code)
	}
}

func TestTheGateHasGauges(t *testing.T) {
	d := open(t)
	list, err := d.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range list {
		got[f.GetName()] = f.GetMetric()[0].GetGauge().GetValue()
	}
	if want := (map[string]float64{"cordon_approval_open_tickets": 1, "cordon_approval_grants": 1, "cordon_approval_reviews_owed": 2, "cordon_approval_reviews_late": 1}); !maps.Equal(got, want) {
		t.Errorf("%v", got)
	}
	if err := d.register(d.metrics); err == nil {
		t.Error("registered twice")
	}
	var none prometheus.Registerer
	if err := d.register(none); err != nil {
		t.Error(err)
	}
}

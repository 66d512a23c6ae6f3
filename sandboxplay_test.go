package cordon

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
)

// drilledConfig is the production of the tests: names that a name server answers, two lawful regions, and one that is held.
const drilledConfig = `
tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy:
  preset: eea_plus_adequacy
  home: aws:eu-central-1
  allow: [aws:eu-central-1, aws:eu-central-2, "sim:carrier", "sim:dc"]
regions:
  - {key: "sim:carrier", country: DE, contract: c}
  - {key: "sim:dc", country: DE, contract: c}
places:
  - {prefix: 10.1.0.0/16, region: "sim:carrier", contract: c}
  - {prefix: 10.5.0.0/16, region: "sim:dc", contract: c}
  - {prefix: 10.10.0.0/16, region: aws:eu-central-1, contract: c}
  - {prefix: 10.20.0.0/16, region: aws:eu-central-2, contract: c}
  - {prefix: 10.40.0.0/16, region: aws:us-east-1, contract: c}
dns: {servers: [10.5.0.53], min_ttl: 30s}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: "sim:carrier", members: [{host: 10.1.0.10, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: fra.bank.example, transport: udp}], sources: [10.10.0.0/16], media: {security: plain}}
  - {name: zrh, region: aws:eu-central-2, members: [{host: zrh.bank.example, transport: udp}], sources: [10.20.0.0/16], media: {security: plain}}
  - {name: iad, region: aws:us-east-1, members: [{host: iad.bank.example, transport: udp}], sources: [10.40.0.0/16], media: {security: plain}}
routes:
  - {name: line, direction: inbound, from: [carrier], to: [{party: fra}, {party: zrh}, {party: iad}], failback: {after: 30s}}
health: {interval: 5s, timeout: 2s, slow_rtt: 300ms, flap: {off: true}}
notify:
  - {name: duty, type: webhook, url: "https://hooks.bank.example/x", secret: {env: HOOK}}
people:
  - {id: anna, roles: [incident_commander], token: {env: A}}
  - {id: ben, roles: [business_owner], token: {env: B}}
  - {id: clara, roles: [dpo], token: {env: C}}
api: {address: "off"}
`

// among runs f with a sandbox of that production in virtual time, on a network of a seed whose every path is like q. Nothing may leave its ground, or stay open.
func among(t *testing.T, seed uint64, q vnet.Quality, f func(t *testing.T, s *sandbox)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(sandboxDay))
		from, err := configs.Parse(filepath.Join(dir, "cordon.yaml"), []byte(drilledConfig))
		if err != nil {
			t.Fatal(err)
		}
		net := vnet.New(seed)
		s, err := openSandbox(t.Context(), from, sandboxOptions{Net: net.Host(netip.MustParseAddr("192.0.2.1")), Dir: dir, Memory: true, Seed: seed + 1})
		if err != nil {
			t.Fatal(err)
		}
		net.LinkBoth(s.stage.Ground(), s.stage.Ground(), q)
		var outside atomic.Int64
		net.Tap(func(p vnet.Packet) {
			if !s.stage.Ground().Contains(p.To.Addr()) {
				outside.Add(1)
			}
		})
		f(t, s)
		if err := s.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		if open := net.Open(); len(open) > 0 || outside.Load() > 0 {
			t.Errorf("%d packets left the ground; left open: %v", outside.Load(), open)
		}
	})
}

// account is what a play that was judged otherwise has to say for itself.
func account(p drillPlayed) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s; %d calls", p.Outcome, p.Cause, len(p.Seen.Calls))
	for _, j := range p.Judgements {
		if !j.Holds {
			fmt.Fprintf(&b, "\n  %s: want %s, measured %s", j.Word, j.Wanted, j.Measured)
		}
	}
	return b.String()
}

// bound is a scenario with the names of a node in it.
func bound(t *testing.T, text string, c *configs.Config) *scenario.Play {
	t.Helper()
	s, probs := scenario.Read("a.yaml", []byte(text))
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	w, err := DrillWorld(c, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p, probs := s.Bind(w, "")
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	return p
}

// Who is reached by UDP and TCP alone shows no certificate: a drill takes no wrong one away.
func TestTheWorldKnowsWhoShowsNoCertificate(t *testing.T) {
	for file, want := range map[string]map[string]bool{"two-groups.yaml": {"carrier": true, "fra": true, "zrh": true}, "genesys-byoc-cloud.yaml": {"carrier": true, "genesys-fra": false}} {
		w, err := DrillWorld(furnished(t, file), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		seen := 0
		for _, p := range w.Parties {
			if bare, known := want[p.Name]; known {
				if seen++; p.Bare != bare {
					t.Errorf("%s of %s: %v", p.Name, file, p.Bare)
				}
			}
		}
		if seen != len(want) {
			t.Errorf("%s has %d of %d parties", file, seen, len(want))
		}
	}
}

// Stand-ins for people open the gate where the scenario wants that, each in a role of its own and the data protection officer first; nobody who was taken away does, and
// without an expectation nobody at all.
func TestStandInsForPeopleActAsTheScenarioWants(t *testing.T) {
	const text = `drill: gate
version: 1
title: Nothing lawful is left
class: gate_exercise_non_eea
authors: [anna]
modes: [sandbox]
take:
  - {what: {group: primary}, how: blackhole, at: 1s}
expect:
  - {refused: {party: forbidden}}
EXTRA
end: {after: 5m}
`
	for name, c := range map[string]struct {
		expect string
		away   []string
		want   approval.State
		words  int
	}{
		"wanted":         {"  - {approved: {people: 2, opinion: true, within: 1m}}", nil, approval.Active, 2},
		"not wanted":     {"  - {held: {party: forbidden}}", nil, approval.Pending, 0},
		"one is away":    {"  - {approved: {people: 2, opinion: true, within: 1m}}", []string{"ben"}, approval.Pending, 1},
		"nobody advises": {"  - {approved: {people: 2, opinion: true, within: 1m}}", []string{"clara"}, approval.Pending, 0},
	} {
		t.Run(name, func(t *testing.T) {
			among(t, 1, vnet.Quality{}, func(t *testing.T, s *sandbox) {
				if err := s.ready(t.Context()); err != nil {
					t.Fatal(err)
				}
				p := bound(t, strings.Replace(text, "EXTRA", c.expect, 1), s.stage.Config)
				for _, party := range []string{"fra", "zrh"} {
					if err := s.stage.Peers(party)[0].SetBehaviour(carrier.Behaviour{Dead: true}); err != nil {
						t.Fatal(err)
					}
				}
				if len(c.away) > 0 {
					s.node.board.Set([]scenario.Taken{{Taking: scenario.Taking{How: scenario.Away}, Kind: scenario.Approver, Names: c.away}}, time.Now().Add(time.Hour), 0)
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
				defer cancel()
				s.attend(ctx, p)
				<-ctx.Done()
				tickets := s.node.gate.Tickets()
				if len(tickets) != 1 || tickets[0].State != c.want || len(tickets[0].Decisions) != c.words {
					t.Fatalf("%+v, want %s with %d words", tickets, c.want, c.words)
				}
				if got := s.stage.Net.Count("iad"); (got > 0) != (c.want == approval.Active) {
					t.Errorf("%d datagrams to the held place, and the ticket is %s", got, tickets[0].State)
				}
			})
		})
	}
}

// A node plays in a sandbox of itself: the play passes there, and its own log, calls and probes notice nothing.
func TestANodePlaysInASandboxOfItself(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(sandboxDay))
		c, err := configs.Parse(filepath.Join(dir, "cordon.yaml"), []byte(drilledConfig))
		if err != nil {
			t.Fatal(err)
		}
		net := vnet.New(1)
		n, err := New(t.Context(), Options{Config: c, Net: net.Host(netip.MustParseAddr("10.5.0.10")), Memory: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		loopback := netip.MustParsePrefix("127.0.0.0/8")
		net.LinkBoth(loopback, loopback, vnet.Quality{Delay: time.Millisecond}) // an answer takes a while
		before := n.log.Size()
		text, _ := drills.Text("log-unwritable")
		var steps []string
		got, err := n.playSandbox(t.Context(), drillAsk{ID: "01", Play: bound(t, string(text), c), Mode: scenario.Sandbox}, nil, func(s drill.Step) { steps = append(steps, s.Word) })
		if err != nil || got.Outcome != drill.Passed || got.Last <= got.First || strings.Join(steps, " ") != "began taken given_back restoring restored" {
			t.Errorf("%s, %v, %v", account(got), steps, err)
		}
		entries, err := n.log.Entries(t.Context(), before, 1000)
		for _, e := range entries {
			if e.Kind == "call.receipt" || strings.Contains(string(e.Body), `"drill"`) {
				t.Errorf("in the log of production: %s %s", e.Kind, e.Body)
			}
		}
		if err != nil || n.board.Log() {
			t.Error(err, "something of production was taken")
		}
		if err := n.Stop(context.WithoutCancel(t.Context()), time.Second); err != nil {
			t.Error(err)
		}
		synctest.Wait() // what was being closed is
		if open := net.Open(); len(open) > 0 {
			t.Errorf("left open: %v", open)
		}
	})
}

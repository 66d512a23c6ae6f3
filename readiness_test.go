package cordon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
)

const outlookConfig = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 10.1.0.0/16, region: aws:eu-central-1, contract: c}
  - {prefix: 10.2.0.0/16, region: aws:us-east-1, contract: c}
listeners:
  - {transport: udp, address: "10.1.0.5:5060"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 10.1.0.10, port: 5060, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.1.0.11, port: 5060, transport: udp}], media: {security: plain}}
  - {name: iad, region: aws:us-east-1, members: [{host: 10.2.0.11, port: 5060, transport: udp}], media: {security: plain}, legal_basis: scc-1}
routes:
  - {name: in, direction: inbound, to: [{party: fra}, {party: iad}]}
  - {name: out, direction: outbound, to: [{party: carrier}]}
health: {interval: 5s, timeout: 1s}
gate: {auto_revoke: [primary_recovered_for_10m]}
legal_bases:
  - {id: scc-1, kind: "Art46(2)(c)_SCC", document: "SCC module 2", signed_on: 2026-01-02, tia: {document: "TIA 7", date: 2026-01-01, outcome: "adequate with measures"}}
people:
  - {id: anna, roles: [incident_commander], token: {env: T1}%s}
  - {id: ben, roles: [business_owner], token: {env: T2}}
  - {id: clara, roles: [dpo], token: {env: T3}}
api: {address: "off"}
`

// outlookFile writes the configuration, with or without anna's day off.
func outlookFile(t *testing.T, dir, away string) *configs.Config {
	t.Helper()
	file := filepath.Join(dir, "cordon.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, outlookConfig, away), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// The outlook says ahead of time that somebody is missing, and a grant ends when its primary is back.
func TestTheOutlookOfANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 23, 58, 0, 0, time.UTC)))
		net, dir := vnet.New(1), t.TempDir()
		net.Default(vnet.Quality{Delay: 5 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		peers, ended := map[string]*carrier.Peer{}, make(chan struct{}, 3)
		for name, at := range map[string]string{"carrier": "10.1.0.10", "fra": "10.1.0.11", "iad": "10.2.0.11"} {
			a := netip.MustParseAddr(at)
			peer, err := carrier.New(carrier.Config{Name: name, Net: net.Host(a), Addr: netip.AddrPortFrom(a, 5060), MediaAddr: a, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			peers[name] = peer
			go func() { _ = peer.Run(ctx); ended <- struct{}{} }()
		}
		n, err := New(ctx, Options{Config: outlookFile(t, dir, ", absent: [{from: 2026-11-22, until: 2026-11-30}]"), Net: net.Host(netip.MustParseAddr("10.1.0.5")), Memory: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Start(ctx); err != nil {
			t.Fatal(err)
		}
		told := func() (list []audit.GateReadiness) {
			entries, err := n.log.Entries(ctx, 0, 10000)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				var ev audit.GateReadiness
				if e.Kind == audit.KindGateReadiness && json.Unmarshal(e.Body, &ev) == nil {
					list = append(list, ev)
				}
			}
			return list
		}
		ready := func(want bool, why string) {
			t.Helper()
			v := n.outlook.readiness()
			in, out := v.Routes[0], v.Routes[1]
			if v.Ready != want || in.Ready != want || in.Next != "iad" || in.Verdict != "hold" || in.LegalBasis != "Art46(2)(c)_SCC:scc-1" || !strings.Contains(strings.Join(in.Why, "; "), why) || out.Ready || !out.Alone {
				t.Errorf("%+v", v)
			}
			if got := gauge(t, n, "cordon_gate_ready"); (got == 1) != want {
				t.Errorf("the metric says %v", got)
			}
		}
		time.Sleep(time.Minute)
		ready(true, "")
		if list := told(); len(list) != 0 {
			t.Errorf("told of %+v", list)
		}
		time.Sleep(time.Minute + 20*time.Second) // past midnight: anna is away
		ready(false, "1 people could approve together")
		if list := told(); len(list) != 0 {
			t.Errorf("told of it before it lasted: %+v", list)
		}
		time.Sleep(20 * time.Second)
		if list := told(); len(list) != 1 || list[0].Route != "in" || list[0].Ready || list[0].Next != "iad" || len(list[0].Why) != 1 {
			t.Errorf("told of %+v", list)
		}
		if err := n.Reload(ctx, outlookFile(t, dir, ""), "anna"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		ready(true, "")
		if list := told(); len(list) != 2 || !list[1].Ready {
			t.Errorf("told of %+v", list)
		}

		// The primary dies, people open the gate, and the primary comes back.
		if err := peers["fra"].SetBehaviour(carrier.Behaviour{Silent: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		list := n.gate.Tickets()
		if len(list) != 1 || list[0].State != approval.Pending {
			t.Fatalf("tickets: %+v", list)
		}
		ticket := list[0]
		for person, role := range map[string]string{"anna": "incident_commander", "ben": "business_owner"} {
			if _, err := n.gate.Decide(ctx, ticket.ID, person, role, true, "agreed", ticket.PlanHash, "bearer"); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := n.gate.Opine(ctx, ticket.ID, "clara", approval.NoObjection, "covered", false); err != nil || got.State != approval.Active {
			t.Fatalf("%s, missing %q, %v", got.State, got.Missing, err)
		}
		time.Sleep(30 * time.Minute)
		state := func() approval.State { got, _ := n.gate.Ticket(ticket.ID); return got.State }
		if state() != approval.Active {
			t.Errorf("with its primary down the grant is %s", state())
		}
		if err := peers["fra"].SetBehaviour(carrier.Behaviour{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute) // the primary is up a moment later
		if state() != approval.Active {
			t.Errorf("too early the grant is %s", state())
		}
		time.Sleep(2 * time.Minute)
		if got, _ := n.gate.Ticket(ticket.ID); got.State != approval.Revoked || !strings.Contains(got.Why, "the primary is back") || len(n.fence.Snapshot().Grants()) != 0 {
			t.Errorf("%s because %q", got.State, got.Why)
		}
		if err := n.Stop(context.WithoutCancel(ctx), time.Second); err != nil {
			t.Error(err)
		}
		cancel()
		for range peers {
			<-ended
		}
	})
}

// gauge reads the only value of a metric.
func gauge(t *testing.T, n *Node, name string) float64 {
	t.Helper()
	list, err := n.opts.Metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range list {
		if f.GetName() == name && len(f.GetMetric()) == 1 {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("%s has no value of its own", name)
	return 0
}

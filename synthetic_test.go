package cordon

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/routing"
)

const probeConfig = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 10.0.0.0/8, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 10.1.0.10, port: 5060, transport: udp}], media: {security: plain}}
edge_groups:
  - name: fra
    region: aws:eu-central-1
    members: [{host: 10.10.0.10, port: 5060, transport: udp}]
    media: {security: plain}
    health: {interval: 5s, timeout: 1s, probe: %s, call: {from: carrier, to: "+4969900999", every: 20s, hold: 2s}, calls: {window: 3m, min_calls: 6, min_ner: 0.7, below: %s}}
  - {name: zrh, region: aws:eu-central-1, members: [{host: 10.20.0.10, port: 5060, transport: udp}], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: fra}, {party: zrh}]}
health: {interval: 5s, timeout: 1s}
api: {address: "off"}
`

// probed is a node in a virtual network with a carrier and two groups, of which fra is tried by synthetic calls.
type probed struct {
	t     *testing.T
	node  *Node
	peers map[string]*carrier.Peer
}

func (p *probed) status(party string) healthcheck.Status {
	p.t.Helper()
	list := p.node.checker.Table().ByParty[party]
	if len(list) != 1 {
		p.t.Fatalf("%s: %+v", party, list)
	}
	return list[0]
}

// first is where a call of the carrier would go.
func (p *probed) first() string {
	plan := p.node.router.Plan(routing.Request{From: "carrier", Called: "+4969123456", At: time.Now()})
	if len(plan.Hops) == 0 {
		return "nowhere: " + plan.Why
	}
	return plan.Hops[0].Target.Party
}

func probing(t *testing.T, probe, below string, f func(p *probed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		net, p := vnet.New(1), &probed{t: t, peers: map[string]*carrier.Peer{}}
		net.Default(vnet.Quality{Delay: 5 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan struct{}, 3)
		for name, at := range map[string]string{"carrier": "10.1.0.10", "fra": "10.10.0.10", "zrh": "10.20.0.10"} {
			a := netip.MustParseAddr(at)
			peer, err := carrier.New(carrier.Config{Name: name, Net: net.Host(a), Addr: netip.AddrPortFrom(a, 5060), MediaAddr: a, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			p.peers[name] = peer
			go func() { _ = peer.Run(ctx); ended <- struct{}{} }()
		}
		file := filepath.Join(t.TempDir(), "cordon.yaml")
		if err := os.WriteFile(file, fmt.Appendf(nil, probeConfig, probe, below), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := configs.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if p.node, err = New(ctx, Options{Config: cfg, Net: net.Host(netip.MustParseAddr("10.5.0.10")), Memory: true}); err != nil {
			t.Fatal(err)
		}
		if err := p.node.Start(ctx); err != nil {
			t.Fatal(err)
		}
		f(p)
		if err := p.node.Stop(context.WithoutCancel(ctx), time.Second); err != nil {
			t.Error(err)
		}
		cancel()
		for range p.peers {
			<-ended
		}
	})
}

// A group answers OPTIONS and takes calls, and its media is dead: only a call that listens finds out, and where that counts as down, calls go elsewhere.
func TestDeadMediaIsFoundByItsProbe(t *testing.T) {
	for below, want := range map[string]healthcheck.State{"degraded": healthcheck.Degraded, "down": healthcheck.Down} {
		t.Run(below, func(t *testing.T) {
			probing(t, "media", below, func(p *probed) {
				time.Sleep(4 * time.Minute)
				if s := p.status("fra"); s.State != healthcheck.Up || s.Calls.Calls < 6 || s.Calls.NER != 1 || p.first() != "fra" {
					t.Fatalf("with media: %s, %+v, calls go to %s", s.State, s.Calls, p.first())
				}
				if err := p.peers["fra"].SetBehaviour(carrier.Behaviour{Mute: true}); err != nil {
					t.Fatal(err)
				}
				asked := p.peers["fra"].Stats().Options
				for begin := time.Now(); p.status("fra").State != want; time.Sleep(time.Second) {
					if time.Since(begin) > 3*time.Minute {
						t.Fatalf("still %s: %+v", p.status("fra").State, p.status("fra").Calls)
					}
				}
				s := p.status("fra")
				if want == healthcheck.Degraded && s.Calls.NER >= 0.7 || p.peers["fra"].Stats().Options <= asked {
					t.Errorf("%s because of %q: %+v", s.State, s.Why, s.Calls)
				}
				time.Sleep(2 * time.Second)
				if got := p.first(); want == healthcheck.Down && got != "zrh" {
					t.Errorf("calls go to %s", got)
				}
				if s := p.status("zrh"); s.State != healthcheck.Up || p.peers["zrh"].Stats().Invites != 0 {
					t.Errorf("zrh is %s and was called", s.State)
				}
				receipts(t, p.node)
			})
		})
	}
}

// receipts checks that whoever reads the log can tell the probes from calls.
func receipts(t *testing.T, n *Node) {
	t.Helper()
	list, err := n.Log().Entries(context.Background(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for _, e := range list {
		if e.Kind == audit.KindReceipt {
			if count++; !strings.Contains(string(e.Body), `"purpose":"synthetic_probe"`) {
				t.Errorf("a receipt of a probe: %s", e.Body)
			}
		}
	}
	if count < 6 {
		t.Errorf("%d receipts", count)
	}
}

// A far end that talks and does not listen: a call that wants its tone back finds it, one that wants to hear anything does not.
func TestOneWayMediaIsFoundByTheEcho(t *testing.T) {
	for probe, want := range map[string]healthcheck.State{"call": healthcheck.Up, "media": healthcheck.Degraded} {
		t.Run(probe, func(t *testing.T) {
			probing(t, probe, "degraded", func(p *probed) {
				if err := p.peers["fra"].SetBehaviour(carrier.Behaviour{OwnTone: true}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Minute)
				if s := p.status("fra"); s.State != want || s.Calls.Calls < 6 {
					t.Errorf("%s: %+v", s.State, s.Calls)
				}
			})
		})
	}
}

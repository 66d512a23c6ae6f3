package cordon

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sovereign"
)

const drillConfig = `
tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {preset: eea_plus_adequacy, home: aws:eu-central-1, allow: [aws:eu-central-1, aws:eu-central-2, "lab:carrier"]}
regions: [{key: "lab:carrier", country: DE, contract: c}]
places:
  - {prefix: 10.1.0.0/16, region: "lab:carrier", contract: c}
  - {prefix: 10.10.0.0/16, region: aws:eu-central-1, contract: c}
  - {prefix: 10.20.0.0/16, region: aws:eu-central-2, contract: c}
  - {prefix: 10.40.0.0/16, region: aws:us-east-1, contract: c}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: "lab:carrier", members: [{host: 10.1.0.10, port: 5060, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.10.0.10, port: 5060, transport: udp}], media: {security: plain}}
  - {name: zrh, region: aws:eu-central-2, members: [{host: 10.20.0.10, port: 5060, transport: udp}], media: {security: plain}}
  - {name: iad, region: aws:us-east-1, members: [{host: 10.40.0.10, port: 5060, transport: udp}], media: {security: plain}}
routes:
  - {name: line, direction: inbound, from: [carrier], to: [{party: fra}, {party: zrh}, {party: iad}]}
people:
  - {id: anna, roles: [incident_commander], token: {env: DRILL_TOKEN_1}}
  - {id: ben, roles: [business_owner], token: {env: DRILL_TOKEN_2}}
  - {id: clara, roles: [dpo], token: {env: DRILL_TOKEN_3}}
notify: [{name: duty, type: console}]
api: {address: "off"}
`

// stageAt is a node in a virtual network with a carrier, two permitted groups in different regions, and one that waits at the gate.
type stageAt struct {
	t     *testing.T
	node  *Node
	net   *vnet.Network
	peers map[string]*carrier.Peer
	left  map[string]*atomic.Uint64 // datagrams of the node's by party
	began time.Time

	officer bool          // the data protection officer answers, and people do
	stop    <-chan string // of the play
}

var drillPlaces = map[string]string{"carrier": "10.1.0.10", "fra": "10.10.0.10", "zrh": "10.20.0.10", "iad": "10.40.0.10"}

// onStage runs f beside a node that has been up for a while.
func onStage(t *testing.T, text string, f func(s *stageAt)) {
	t.Helper()
	for i := range 3 {
		t.Setenv(fmt.Sprintf("DRILL_TOKEN_%d", i+1), strings.Repeat(string(rune('a'+i)), 40))
	}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)))
		s := &stageAt{t: t, net: vnet.New(1), peers: map[string]*carrier.Peer{}, left: map[string]*atomic.Uint64{}}
		s.net.Default(vnet.Quality{Delay: 5 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for name, at := range drillPlaces {
			a := netip.MustParseAddr(at)
			peer, err := carrier.New(carrier.Config{Name: name, Net: s.net.Host(a), Addr: netip.AddrPortFrom(a, 5060), MediaAddr: a, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			s.peers[name], s.left[name] = peer, &atomic.Uint64{}
			wg.Go(func() { _ = peer.Run(ctx) })
		}
		self := netip.MustParseAddr("10.5.0.10")
		s.net.Tap(func(p vnet.Packet) {
			for name, at := range drillPlaces {
				if p.From.Addr() == self && p.To.Addr().String() == at {
					s.left[name].Add(1)
				}
			}
		})
		file := filepath.Join(t.TempDir(), "cordon.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := configs.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		if s.node, err = New(ctx, Options{Config: cfg, Net: s.net.Host(self), Memory: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.node.Start(ctx); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() { s.people(ctx) })
		time.Sleep(30 * time.Second)
		f(s)
		if err := s.node.Stop(context.WithoutCancel(ctx), time.Second); err != nil {
			t.Error(err)
		}
		cancel()
		wg.Wait()
	})
}

// people look at the gate each ten seconds, if they are wanted and not away.
func (s *stageAt) people(ctx context.Context) {
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		g := s.node.Gate()
		for _, t := range g.Tickets() {
			if !s.officer || t.State != approval.Pending || t.NotifiedAt.IsZero() {
				continue
			}
			for person, role := range map[string]string{"anna": "incident_commander", "ben": "business_owner", "clara": "dpo"} {
				switch { // a word that was said already is refused
				case s.node.board.Away(person, []string{role}):
				case role == "dpo":
					_, _ = g.Opine(ctx, t.ID, person, approval.NoObjection, "so it is", false)
				default:
					_, _ = g.Decide(ctx, t.ID, person, role, true, "all lawful groups are down", t.PlanHash, "stage")
				}
			}
		}
	}
}

func (s *stageAt) behave(peer string, b carrier.Behaviour) {
	if err := s.peers[peer].SetBehaviour(b); err != nil {
		s.t.Error(err)
	}
}

// bind gives a scenario that ships with the names of the node in it, its text changed by change.
func (s *stageAt) bind(name string, change func(text string) string) *scenario.Play {
	s.t.Helper()
	text, ok := drills.Text(name)
	if !ok {
		s.t.Fatal(name)
	}
	if change != nil {
		text = []byte(change(string(text)))
	}
	return s.bound(name, string(text))
}

func (s *stageAt) bound(name, text string) *scenario.Play {
	s.t.Helper()
	sc, probs := scenario.Read(name, []byte(text))
	if len(probs) > 0 {
		s.t.Fatal(probs)
	}
	w, err := DrillWorld(s.node.Config(), time.Now())
	if err != nil {
		s.t.Fatal(err)
	}
	p, probs := sc.Bind(w, "")
	if len(probs) > 0 {
		s.t.Fatal(probs)
	}
	return p
}

// play plays a scenario that ships and gives what came of it. What left for whom is counted at the wire and by the node itself: neither may see what the other does not.
func (s *stageAt) play(name string, mode scenario.Mode, change func(text string) string) drillPlayed {
	s.t.Helper()
	return s.playBound(s.bind(name, change), mode)
}

func (s *stageAt) playText(name, text string, mode scenario.Mode) drillPlayed {
	s.t.Helper()
	return s.playBound(s.bound(name, text), mode)
}

func (s *stageAt) playBound(p *scenario.Play, mode scenario.Mode) drillPlayed {
	s.t.Helper()
	before := s.left["iad"].Load()
	played, err := s.node.playDrill(s.t.Context(), drillAsk{ID: "01J", Play: p, Mode: mode}, s.stop, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	if n := s.left["iad"].Load() - before; n != 0 && !s.officer {
		s.t.Errorf("%d datagrams left for a place that nobody opened", n)
	}
	return played
}

// words are the judgements of a play that do not hold.
func failedWords(list []measure.Judgement) string {
	var out []string
	for _, j := range list {
		if !j.Holds {
			out = append(out, fmt.Sprintf("%d %s: wanted %s, measured %s", j.Index, j.Word, j.Wanted, j.Measured))
		}
	}
	return strings.Join(out, "\n")
}

func TestAPlayOfCallsAlone(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		calm := func(text string) string {
			a, b := strings.Index(text, "take:"), strings.Index(text, "end:")
			return text[:a] + `expect:
  - {answered: {by: [primary], within: 3s}}
  - {failed: {at_most: 0%}}
  - {mos: {at_least: 4}}
  - {gap: {within: 100ms}}
  - {refused: {party: forbidden}}
  - {nothing_to: {party: forbidden}}
  - {records_lost: {at_most: 0}}
` + strings.Replace(text[b:], "18m", "1m", 1)
		}
		r := s.play("region-loss", scenario.Full, calm)
		if r.Outcome != drill.Passed {
			t.Errorf("%s: %s\n%s", r.Outcome, r.Cause, failedWords(r.Judgements))
		}
		if n := len(r.Seen.Calls); n != 12 || r.Last <= r.First || r.Seen.Records.Acknowledged <= r.Last-r.First {
			t.Errorf("%d calls, entries %d to %d, %+v", n, r.First, r.Last, r.Seen.Records)
		}
	})
}

func TestAStruckInstrumentIsALease(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		before := s.node.fence.Snapshot().FactsDigest()
		s.node.policy.drill([]string{"2000/518/EC"}, time.Now().Add(3*time.Second))
		if s.permitted("zrh") || !s.permitted("fra") {
			t.Error("the struck place is open, or another is shut")
		}
		time.Sleep(3500 * time.Millisecond)
		if !s.permitted("zrh") || s.node.policy.struckByDrill() || s.node.fence.Snapshot().FactsDigest() != before {
			t.Error("nobody renewed the lease, and the law is not what it was")
		}
	})
}

// permitted says whether the law in force permits a party by itself.
func (s *stageAt) permitted(party string) bool {
	return s.node.fence.Snapshot().JudgeParty(party, sovereign.Signalling, sovereign.Production, time.Now()).Permitted()
}

package cordon

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

const placesConfig = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state%s}
policy: {home: aws:eu-central-1, allow: [aws:eu-central-1, aws:eu-west-1]}
places:
  - {prefix: 10.0.0.0/12, region: aws:eu-central-1, contract: annex 1}
  - {prefix: 10.20.0.0/16, region: aws:eu-west-1, contract: annex 2}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 10.1.0.10, port: 5060, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.10.0.10, port: 5060, transport: udp}], media: {security: plain}}
  - {name: dub, region: aws:eu-west-1, members: [{host: 10.20.0.10, port: 5060, transport: udp}], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: fra}, {party: dub}]}
health: {interval: 5s, timeout: 1s}
api: {address: "off"}
%s`

// placed is a node in a virtual network with a carrier and two groups: fra at 1 ms, the others at 150 ms.
type placed struct {
	t    *testing.T
	dir  string
	node *Node
	net  *vnet.Network
	to   map[netip.Addr]*atomic.Int64 // datagrams that left for an address

	peers map[string]*carrier.Peer
}

func (p *placed) load(node, more string) *configs.Config {
	p.t.Helper()
	file := filepath.Join(p.dir, "cordon.yaml")
	if err := os.WriteFile(file, fmt.Appendf(nil, placesConfig, node, more), 0o600); err != nil {
		p.t.Fatal(err)
	}
	cfg, err := configs.Load(file)
	if err != nil {
		p.t.Fatal(err)
	}
	return cfg
}

func (p *placed) judge(addr string, purpose sovereign.Purpose) sovereign.Ruling {
	return p.node.fence.Judge(sovereign.Ask{Plane: sovereign.Signalling, Purpose: purpose, Addr: netip.MustParseAddrPort(addr), At: time.Now()})
}

// entries are those of a kind.
func entriesOf[T audit.Event](p *placed) (out []T) {
	p.t.Helper()
	var kind T
	list, err := p.node.Log().Entries(context.Background(), 0, 1000)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind == kind.Kind() {
			ev, err := audit.Decode(e)
			if err != nil {
				p.t.Fatal(err)
			}
			out = append(out, ev.(T))
		}
	}
	return out
}

func inPlaces(t *testing.T, node string, files map[string]string, more string, f func(p *placed)) {
	t.Helper()
	withMedia(t, nil, node, files, more, f)
}

// withMedia is inPlaces with peers whose media are at other addresses than their signalling.
func withMedia(t *testing.T, media map[string]string, node string, files map[string]string, more string, f func(p *placed)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		net, p := vnet.New(1), &placed{t: t, dir: t.TempDir(), to: map[netip.Addr]*atomic.Int64{}, peers: map[string]*carrier.Peer{}}
		p.net = net
		net.Default(vnet.Quality{Delay: 150 * time.Millisecond})
		edge := netip.MustParseAddr("10.5.0.10")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan struct{}, 3)
		addrs := map[string]string{"carrier": "10.1.0.10", "fra": "10.10.0.10", "dub": "10.20.0.10"}
		for name, at := range addrs {
			a := netip.MustParseAddr(at)
			m := a
			if media[name] != "" {
				m = netip.MustParseAddr(media[name])
			}
			p.to[a], p.to[m] = &atomic.Int64{}, &atomic.Int64{}
			host := net.Host(slices.Compact([]netip.Addr{a, m})...)
			peer, err := carrier.New(carrier.Config{Name: name, Net: host, Addr: netip.AddrPortFrom(a, 5060), MediaAddr: m, Seed: 1})
			if err != nil {
				t.Fatal(err)
			}
			p.peers[name] = peer
			go func() { _ = peer.Run(ctx); ended <- struct{}{} }()
		}
		near := vnet.Quality{Delay: time.Millisecond}
		net.LinkBoth(netip.PrefixFrom(edge, 32), netip.PrefixFrom(fra, 32), near)
		net.Tap(func(pk vnet.Packet) {
			if n := p.to[pk.To.Addr()]; n != nil && pk.From.Addr() == edge {
				n.Add(1)
			}
		})
		for name, text := range files {
			if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if p.node, err = New(ctx, Options{Config: p.load(node, more), Net: net.Host(edge), Memory: true}); err != nil {
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
		for range addrs {
			<-ended
		}
	})
}

var fra = netip.MustParseAddr("10.10.0.10")

// A node in Tokyo, and a "Frankfurt" that answers within 1 ms: it is held once three answers were that fast, and from then on nothing is sent there.
func TestARoundTripThatIsTooShortHoldsAPlace(t *testing.T) {
	inPlaces(t, ", region: aws:ap-northeast-1", nil, "", func(p *placed) {
		time.Sleep(8 * time.Second) // two probes
		if r := p.judge("10.10.0.10:5060", sovereign.Production); !r.Permitted() {
			t.Fatalf("held by two answers: %s", r.Why)
		}
		time.Sleep(20 * time.Second)
		r := p.judge("10.10.0.10:5060", sovereign.Production)
		if r.Verdict != sovereign.Hold || r.Ground != sovereign.GroundContradicted || !strings.Contains(r.Why, "at most 200 km away") {
			t.Fatalf("%s %s: %s", r.Verdict, r.Ground, r.Why)
		}
		sent := p.to[fra].Load()
		time.Sleep(5 * time.Minute)
		if now := p.to[fra].Load(); now != sent {
			t.Errorf("%d datagrams went there although it is held", now-sent)
		}
		if r := p.judge("10.10.0.10:5060", sovereign.EmergencyCall); r.Ground != sovereign.GroundEmergency {
			t.Errorf("a call for help: %s %s", r.Verdict, r.Ground)
		}
		if plan := p.node.router.Plan(routing.Request{From: "carrier", Called: "+4969123456", At: time.Now()}); len(plan.Hops) == 0 || plan.Hops[0].Target.Party != "dub" {
			t.Errorf("calls go to %+v", plan.Hops)
		}
		told := entriesOf[audit.PlaceContradicted](p)
		if len(told) != 1 || told[0].Party != "fra" || told[0].Effect != "held" || told[0].Standing != "contradicted" || told[0].Region != "aws:eu-central-1" || len(told[0].Evidence) != 2 {
			t.Errorf("%+v", told)
		}
		p.restarts()
		p.moves()
	})
}

// restarts lets the keeper of places begin anew with what the state has.
func (p *placed) restarts() {
	k := p.node.places
	before := len(entriesOf[audit.PlaceContradicted](p))
	k.mu.Lock()
	k.places, k.sights, k.drift = map[placeKey]*place{}, map[netip.Addr]*ownSight{}, map[string]*familiar{}
	k.mu.Unlock()
	p.node.policy.contradict(nil)
	if !p.judge("10.10.0.10:5060", sovereign.Production).Permitted() {
		p.t.Fatal("the test forgot nothing")
	}
	if err := k.recall(context.Background()); err != nil {
		p.t.Fatal(err)
	}
	if r := p.judge("10.10.0.10:5060", sovereign.Production); r.Ground != sovereign.GroundContradicted {
		p.t.Errorf("after a restart: %s", r.Why)
	}
	time.Sleep(time.Minute)
	if after := len(entriesOf[audit.PlaceContradicted](p)); after != before {
		p.t.Errorf("told %d times more after a restart", after-before)
	}
}

// moves lets the operator find that the node's position was written wrong.
func (p *placed) moves() {
	if err := p.node.Reload(context.Background(), p.load(", position: {lat: 50.1, lon: 8.7}", ""), ""); err != nil {
		p.t.Fatal(err)
	}
	time.Sleep(time.Minute)
	if r := p.judge("10.10.0.10:5060", sovereign.Production); !r.Permitted() {
		p.t.Errorf("from Frankfurt: %s", r.Why)
	}
	if cleared := entriesOf[audit.PlaceCleared](p); len(cleared) == 0 || cleared[0].Why == "" {
		p.t.Errorf("%+v", cleared)
	}
	for _, v := range p.node.places.views() {
		if v.Party == "fra" && (v.Standing != string(evidence.Supported) || v.Held || len(v.Evidence) != 2) {
			p.t.Errorf("%+v", v)
		}
	}
	st := p.node.places.statement()
	data, err := json.Marshal(st)
	if err != nil {
		p.t.Fatal(err)
	}
	if back, err := evidence.ParseStatement(data); err != nil || len(back.Sights) != 3 {
		p.t.Errorf("the statement for other nodes: %s, %v", data, err)
	}
}

// A node that does not know where it is holds nothing by its round trips.
func TestWithoutAPositionRoundTripsSayNothing(t *testing.T) {
	inPlaces(t, "", nil, "", func(p *placed) {
		time.Sleep(2 * time.Minute)
		if r := p.judge("10.10.0.10:5060", sovereign.Production); !r.Permitted() {
			t.Errorf("%s", r.Why)
		}
		if list := entriesOf[audit.PlaceContradicted](p); len(list) != 0 || len(p.node.places.statement().Sights) != 0 {
			t.Errorf("%+v", list)
		}
	})
}

const twoNodes = "evidence: {sights: [b.sights]}\n"

// A second node, far away, sees the same address as near as we do: it is in no one place.
func TestTwoNodesContradictAPlace(t *testing.T) {
	s := evidence.Sight{Node: "edge-2", At: evidence.Spot{Lat: 35.7, Lon: 139.7}}
	for range 3 {
		s.Add(2*time.Millisecond, time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC))
	}
	data, err := json.Marshal(evidence.Statement{Form: evidence.StatementForm, Node: "edge-2", Sights: []evidence.Seen{{Addr: fra, Sight: s}}})
	if err != nil {
		t.Fatal(err)
	}
	inPlaces(t, ", region: aws:eu-central-1", map[string]string{"b.sights": string(data)}, twoNodes, func(p *placed) {
		time.Sleep(time.Second)
		if n := p.to[fra].Load(); n != 0 {
			t.Errorf("%d datagrams went to a place that a second node had contradicted before the first", n)
		}
		if r := p.judge("10.10.0.10:5060", sovereign.Production); r.Ground != sovereign.GroundContradicted || !strings.Contains(r.Why, "node edge-2") {
			t.Errorf("%s", r.Why)
		}
		if r := p.judge("10.20.0.10:5060", sovereign.Production); !r.Permitted() {
			t.Errorf("another address: %s", r.Why)
		}
	})
}

// A provider's feed holds before the first datagram; a registry alarms, or holds where the operator says so; the fence's word on what is undeclared stays.
func TestFeedsAndRegistries(t *testing.T) {
	files := map[string]string{
		"aws.json": `{"prefixes":[{"ip_prefix":"10.10.0.0/16","network_border_group":"us-east-1"},{"ip_prefix":"10.32.0.0/16","network_border_group":"eu-central-1"}]}`,
		"ripe":     "2|ripencc|1|1|1|1|+0\nripencc|US|ipv4|10.20.0.0|65536|20100101|allocated|x\n",
	}
	feeds := "evidence: {feeds: [{kind: provider_feed, provider: aws, file: aws.json}], rir: [ripe]%s}\n"
	inPlaces(t, "", files, fmt.Sprintf(feeds, ""), func(p *placed) {
		time.Sleep(time.Minute)
		if n := p.to[fra].Load(); n != 0 {
			t.Errorf("%d datagrams left for a place that the provider has elsewhere", n)
		}
		if r := p.judge("10.20.0.10:5060", sovereign.Production); !r.Permitted() {
			t.Errorf("a registry held: %s", r.Why)
		}
		if r := p.judge("10.32.0.10:5060", sovereign.Production); r.Ground != sovereign.GroundUndeclaredAddress {
			t.Errorf("a feed that supports what nobody declared: %s %s", r.Verdict, r.Ground)
		}
		if got := p.node.places.proven("dub", netip.MustParseAddr("::ffff:10.20.0.10")); len(got) != 1 || got[0].Kind != "rir" || got[0].Result != "contradicts" || got[0].SourceDigest == "" {
			t.Errorf("what receipts would carry: %+v", got)
		}
		if r, err := p.node.place(context.Background(), admin.TestCall{From: "carrier", Called: "+4969123456", HoldSeconds: 1}, "anna"); err != nil || r.Status != 200 {
			t.Fatalf("a call: %+v, %v", r, err)
		}
		time.Sleep(10 * time.Second) // its receipt is written when it ended
		found := false
		for _, r := range entriesOf[audit.Receipt](p) {
			for _, h := range r.Hops {
				found = found || h.DeclaredRegion == "aws:eu-west-1" && slices.ContainsFunc(h.Evidence, func(e audit.Evidence) bool { return e.Kind == "rir" && e.SourceDigest != "" })
			}
		}
		if !found {
			t.Errorf("the receipt says nothing of the registry: %+v", entriesOf[audit.Receipt](p))
		}
		told := entriesOf[audit.PlaceContradicted](p)
		if len(told) != 2 {
			t.Fatalf("%+v", told)
		}
		for _, ev := range told {
			if want := map[string]string{"fra": "held contradicted", "dub": "alarm doubted"}[ev.Party]; ev.Effect+" "+ev.Standing != want || ev.Evidence[1].SourceDigest == "" {
				t.Errorf("%+v", ev)
			}
		}
		if err := p.node.Reload(context.Background(), p.load("", fmt.Sprintf(feeds, ", on_contradiction: {rank_3_4: hold}")), ""); err != nil {
			t.Fatal(err)
		}
		if r := p.judge("10.20.0.10:5060", sovereign.Production); r.Ground != sovereign.GroundContradicted || r.Region.String() != "aws:eu-west-1" {
			t.Errorf("%s %s: %s", r.Verdict, r.Ground, r.Why)
		}
		if err := p.node.Reload(context.Background(), p.load("", ""), ""); err != nil {
			t.Fatal(err)
		}
		if r := p.judge("10.10.0.10:5060", sovereign.Production); !r.Permitted() {
			t.Errorf("without the files: %s", r.Why)
		}
	})
}

// What is new about a place is told once for each value, also after a restart; the first value of a subject is what later ones are held against.
func TestDriftIsToldOnceForEachValue(t *testing.T) {
	inPlaces(t, "", nil, "", func(p *placed) {
		k := p.node.places
		learn := func(values ...string) {
			k.mu.Lock()
			k.learn(driftPrefix, "fra", "sip.bank.example", values)
			k.mu.Unlock()
			time.Sleep(2 * weighEvery)
		}
		for _, v := range []string{"a", "a", "b", "a", "b"} {
			learn(v)
		}
		k.mu.Lock()
		k.drift = map[string]*familiar{}
		k.mu.Unlock()
		if err := k.recall(context.Background()); err != nil {
			t.Fatal(err)
		}
		learn("b")
		learn("c", "a")
		var got []string
		for _, ev := range entriesOf[audit.PlaceDrifted](p) {
			if ev.What != driftPrefix || ev.Party != "fra" || ev.Subject != "sip.bank.example" {
				t.Errorf("%+v", ev)
			}
			got = append(got, strings.Join(ev.Before, "")+">"+strings.Join(ev.After, ""))
		}
		if strings.Join(got, " ") != "a>b ab>c" {
			t.Errorf("told: %q", got)
		}
	})
}

// A signed geofeed holds what it contradicts from the first moment, and goes on doing so when its signature expires, which is told once.
func TestASignedGeofeedThatExpires(t *testing.T) {
	inPlaces(t, "", nil, "", func(p *placed) {
		c := p.load("", "")
		table, _, _, err := evidence.ParseGeofeed([]byte("10.10.0.0/16,US\n10.20.0.0/16,IE\n"))
		if err != nil || table.Sign(time.Now(), time.Now().Add(time.Minute), func(netip.Prefix) bool { return true }) != nil {
			t.Fatal(err)
		}
		table.Source, table.Digest = "feed.csv", "d"
		c.Evidence.Tables = append(c.Evidence.Tables, table)
		if err := p.node.Reload(context.Background(), c, ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second) // every target was found
		standings := func() (out string) {
			for _, v := range p.node.places.views() {
				out += v.Party + " " + v.Standing + "; "
			}
			return out
		}
		if got := standings(); got != "carrier declared; dub supported; fra contradicted; " {
			t.Errorf("while it is good: %s", got)
		}
		time.Sleep(2 * time.Minute)
		if got := standings(); got != "carrier declared; dub declared; fra contradicted; " || p.judge("10.10.0.10:5060", sovereign.Production).Permitted() {
			t.Errorf("when it expired: %s", got)
		}
		p.restarts()
		told := entriesOf[audit.PlaceEvidenceStale](p)
		if len(told) != 1 || told[0].What != "expired" || told[0].File != "feed.csv" || told[0].Evidence != "geofeed_signed" || !told[0].Since.Equal(table.Until) {
			t.Errorf("%+v", told)
		}
	})
}

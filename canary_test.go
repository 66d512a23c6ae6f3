package cordon

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/drill/board"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
)

const canaryConfig = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1, allow: [aws:eu-central-1, aws:eu-central-2, "sim:carrier"]}
regions:
  - {key: "sim:carrier", country: DE, contract: c}
places:
  - {prefix: 10.1.0.0/16, region: "sim:carrier", contract: c}
  - {prefix: 10.10.0.0/16, region: aws:eu-central-1, contract: c}
  - {prefix: 10.20.0.0/16, region: aws:eu-central-2, contract: c}
  - {prefix: 10.40.0.0/16, region: aws:us-east-1, contract: c}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: "sim:carrier", country: DE, members: [{host: 10.1.0.1, port: 5060, transport: udp}], sources: [10.1.0.0/16], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.10.0.10, port: 5060, transport: udp}], media: {security: plain}}
  - {name: zrh, region: aws:eu-central-2, members: [{host: 10.20.0.10, port: 5060, transport: udp}], media: {security: plain}}
  - {name: iad, region: aws:us-east-1, members: [{host: 10.40.0.10, port: 5060, transport: udp}], media: {security: plain}}
routes:
  - {name: line, direction: inbound, from: [carrier], to: [{party: fra}, {party: zrh}, {party: iad}], failback: {after: 3s}}
  - {name: other, direction: inbound, from: [carrier], prefix: ["+4940"], to: [{party: fra}, {party: zrh}], failback: {after: 3s}}
emergency:
  - {country: DE, numbers: ["112"], trunk: carrier}
health: {interval: 2s, timeout: 900ms, jitter: 0.000000000000001, fall: 3, rise: 2, hold_down: 2s}
api: {address: "off"}
`

// day is one story of a node between callers and two groups, as a function of a seed: who calls when, and what really goes wrong.
type day struct {
	t     *testing.T
	seed  uint64
	node  *Node
	calls []dialled
	real  carrier.Behaviour // of fra, from a minute after the beginning on, for 20 s
}

type dialled struct {
	at, talk time.Duration
	to       string
}

const dayLength = 2 * time.Minute

var dawn = time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)

func newDay(t *testing.T, seed uint64) *day {
	rng := rand.New(rand.NewPCG(seed, 3))
	d := &day{t: t, seed: seed}
	for range 30 {
		c := dialled{at: 5*time.Second + time.Duration(rng.Int64N(int64(dayLength-25*time.Second))), talk: time.Second + time.Duration(rng.Int64N(int64(8*time.Second))), to: "+4969900100"}
		switch rng.IntN(8) {
		case 0:
			c.to = "+4940900100"
		case 1:
			c.to = "112"
		}
		d.calls = append(d.calls, c)
	}
	d.real = []carrier.Behaviour{{}, {Silent: true}, {Refuse: 503}, {Refuse: 486}}[seed%4]
	return d
}

// record is what is left of a day.
type record struct {
	tables   []map[string][]healthcheck.Status // of each second
	active   []string                          // what was active on each route, one after the other
	entries  []string                          // health, decisions and the law
	receipts map[time.Time]audit.Receipt       // by when the call came: of production, then of the drill
	drilled  map[time.Time]audit.Receipt
}

// live plays the day. Calls that leave says are not made.
func (d *day) live(leave map[time.Time]audit.Receipt, beside func(context.Context, *day)) *record {
	r := &record{receipts: map[time.Time]audit.Receipt{}, drilled: map[time.Time]audit.Receipt{}}
	synctest.Test(d.t, func(t *testing.T) {
		time.Sleep(time.Until(dawn))
		net := vnet.New(d.seed)
		net.Default(vnet.Quality{Delay: 5 * time.Millisecond})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := 0
		over := make(chan struct{}, 64)
		peer := func(name, addr string, seed uint64) *carrier.Peer {
			at := netip.MustParseAddr(addr)
			p, err := carrier.New(carrier.Config{Name: name, Net: net.Host(at), Addr: netip.AddrPortFrom(at, 5060), MediaAddr: at, Seed: seed})
			if err != nil {
				t.Fatal(err)
			}
			ended++
			go func() { _ = p.Run(ctx); over <- struct{}{} }()
			return p
		}
		fra := peer("fra", "10.10.0.10", 1)
		peer("zrh", "10.20.0.10", 2)
		peer("carrier", "10.1.0.1", 3)
		d.node = d.start(t, ctx, net)
		for i, c := range d.calls {
			if _, left := leave[dawn.Add(c.at).Add(5*time.Millisecond)]; left {
				continue
			}
			p := peer("caller", fmt.Sprintf("10.1.1.%d", i+1), d.seed<<8+uint64(i)) // each with randomness of its own
			time.AfterFunc(c.at, func() {
				o := carrier.CallOptions{From: "+4930111222", To: c.to, Dest: netip.MustParseAddrPort("10.5.0.10:5060"), NoMedia: true, Talk: c.talk}
				if _, err := p.Call(ctx, o); err != nil {
					t.Error(err)
				}
			})
		}
		time.AfterFunc(60100*time.Millisecond, func() { _ = fra.SetBehaviour(d.real) })
		time.AfterFunc(80*time.Second, func() { _ = fra.SetBehaviour(carrier.Behaviour{}) })
		if beside != nil {
			go beside(ctx, d)
		}
		for range int(dayLength/time.Second) + 40 {
			time.Sleep(time.Second)
			synctest.Wait()
			r.tables = append(r.tables, d.node.checker.Table().ByParty)
			r.uses(d.node.router.Active())
		}
		d.node.views.changed() // whatever is left of it ends here
		if err := d.node.Stop(context.WithoutCancel(ctx), 5*time.Second); err != nil {
			t.Error(err)
		}
		r.read(t, d.node)
		cancel()
		for range ended {
			<-over
		}
	})
	return r
}

// uses notes what is active, where that is another party or for another reason than before.
func (r *record) uses(active map[string]routing.Active) {
	for _, name := range slices.Sorted(maps.Keys(active)) {
		a, before := active[name], ""
		for _, s := range r.active {
			if strings.HasPrefix(s, name+" ") {
				before = s
			}
		}
		if now := fmt.Sprint(name, " ", a.Party, " ", a.Reason, " ", a.Held, " ", a.Ticket); now != before {
			r.active = append(r.active, now)
		}
	}
}

func (d *day) start(t *testing.T, ctx context.Context, net *vnet.Network) *Node {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cordon.yaml")
	if err := os.WriteFile(file, []byte(canaryConfig), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(ctx, Options{Config: cfg, Net: net.Host(netip.MustParseAddr("10.5.0.10")), Memory: true})
	if err == nil {
		err = n.Start(ctx)
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// read takes the log apart: what is random or salted is left out.
func (r *record) read(t *testing.T, n *Node) {
	t.Helper()
	list, err := n.Log().Entries(context.Background(), 0, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { slices.Sort(r.entries) }() // what happens at one moment has no order
	for _, e := range list {
		switch word, _, _ := strings.Cut(string(e.Kind), "."); word {
		case "residency_receipt":
			var one audit.Receipt
			if err := json.Unmarshal(e.Body, &one); err != nil {
				t.Fatal(err)
			}
			one.CallRef, one.Session, one.PartyA.Ref, one.PartyB.Ref = "", "", "", ""
			for i := range one.Hops {
				if h := &one.Hops[i]; h.Plane == "media" { // its port is the next one that is free
					h.RemoteAddr, _, _ = strings.Cut(h.RemoteAddr, ":")
				}
			}
			if one.Drill != "" {
				r.drilled[one.TInvite] = one
			} else {
				r.receipts[one.TInvite] = one
			}
		case "health", "failover", "policy", "gate", "incident":
			var f audit.Failover
			if word == "failover" && json.Unmarshal(e.Body, &f) == nil {
				slices.Sort(f.Health)
				e.Body, _ = json.Marshal(f)
			}
			if !strings.Contains(string(e.Body), `"drill":`) {
				at := e.Time.Format(time.RFC3339Nano)
				if word == "failover" { // a router looks at once or at its next tick
					at = ""
				}
				r.entries = append(r.entries, fmt.Sprintf("%s %s %s", at, e.Kind, e.Body))
			}
		}
	}
}

// The drill of the tests: half of the calls of the route, at most two at once; Frankfurt is gone from 20 s to 50 s after dawn.
var wanted = canaryWant{Drill: "01JD0000000000000000000000", Route: "line", Share: 0.5, Cap: 2}

// exercise runs the drill beside a day, and a call of its own while Frankfurt is gone.
func exercise(ctx context.Context, d *day) {
	time.Sleep(15 * time.Second)
	c, err := d.node.newCanary(wanted)
	if err != nil {
		d.t.Error(err)
		return
	}
	time.AfterFunc(80*time.Second, func() { c.end(nil) })
	time.AfterFunc(5*time.Second, func() { d.takeAway(30*time.Second, "fra") })
	time.AfterFunc(25*time.Second, func() {
		r, err := d.node.edge.Place(ctx, sip.Synthetic{From: "carrier", Called: "+4969900100", Purpose: sovereign.Drill, Hold: 2 * time.Second})
		if err != nil || r.Status != 200 || len(r.Hops) == 0 || !strings.HasPrefix(r.Hops[0], "zrh/") {
			d.t.Errorf("the drill's own call: %+v, %v", r, err)
		}
	})
	if err := c.run(ctx); err != nil {
		d.t.Error(err)
	}
	if d.node.views.on.Load() != nil {
		d.t.Error("something of the view stays")
	}
}

// takeAway has parties be gone for the drill's own, on a lease that is renewed.
func (d *day) takeAway(long time.Duration, parties ...string) {
	gone := scenario.Taken{Taking: scenario.Taking{How: scenario.Blackhole}, Kind: scenario.Group, Names: parties}
	for end := time.Now().Add(long); time.Now().Before(end); time.Sleep(time.Second) {
		d.node.board.Set([]scenario.Taken{gone}, time.Now().Add(1500*time.Millisecond), board.Own)
	}
	d.node.board.Set(nil, time.Now(), board.Own)
}

// Whatever a canary drill does, production's table, active parties and decisions, and the records of every call outside the share, are what they are without it: byte for
// byte those of a node that never had the calls of the share, and, where nothing really goes wrong, those of a node that had them all. The share fails over meanwhile.
func TestProductionDoesNotNoticeACanary(t *testing.T) {
	moved := 0
	for seed := range uint64(8) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			d := newDay(t, seed)
			with := d.live(nil, exercise)
			with.same(t, d.live(with.drilled, nil))
			if reflect.DeepEqual(d.real, carrier.Behaviour{}) {
				with.among(t, d.live(nil, nil))
			}
			moved += with.exercised(t, d)
		})
	}
	if moved < 8 {
		t.Errorf("only %d calls of the share were asked for while Frankfurt was gone", moved)
	}
}

// same holds that nothing of production differs.
func (r *record) same(t *testing.T, o *record) {
	t.Helper()
	for i := range r.tables {
		if !reflect.DeepEqual(r.tables[i], o.tables[i]) {
			t.Fatalf("the health table after %d s is\n%+v\nand without the drill\n%+v", i+1, r.tables[i]["fra"], o.tables[i]["fra"])
		}
	}
	if !slices.Equal(r.active, o.active) {
		t.Errorf("active was %q, and without the drill %q", r.active, o.active)
	}
	if !slices.Equal(r.entries, o.entries) {
		t.Errorf("decisions are\n%s\nand without the drill\n%s", strings.Join(r.entries, "\n"), strings.Join(o.entries, "\n"))
	}
	if len(r.receipts) != len(o.receipts) || len(r.receipts) < 15 {
		t.Errorf("%d calls of production, and %d without the drill", len(r.receipts), len(o.receipts))
	}
	r.among(t, o)
}

// among holds that each call outside the share became what it would have become.
func (r *record) among(t *testing.T, o *record) {
	t.Helper()
	for at, one := range r.receipts {
		if !reflect.DeepEqual(one, o.receipts[at]) {
			t.Errorf("the receipt of %s is\n%+v\nand without the drill\n%+v", at, one, o.receipts[at])
		}
	}
}

// exercised holds what the drill may touch, and counts the calls of the share that were to go to Frankfurt and went elsewhere.
func (r *record) exercised(t *testing.T, d *day) (moved int) {
	t.Helper()
	for at, one := range r.drilled {
		i := slices.IndexFunc(d.calls, func(c dialled) bool { return dawn.Add(c.at).Add(5 * time.Millisecond).Equal(at) })
		if own := one.Purpose == "drill"; own == (i >= 0) || !own && d.calls[i].to != "+4969900100" {
			t.Errorf("a call that is none of the drill's: %+v", one)
		}
		up := 0
		for _, other := range r.drilled {
			if other.Purpose == "production" && !other.TInvite.After(at) && other.TEnd.After(at) {
				up++
			}
		}
		if up > wanted.Cap {
			t.Errorf("%d calls of the share were up at %s", up, at)
		}
		if after := at.Sub(dawn); after > 20*time.Second && after < 50*time.Second {
			moved++
			if one.EdgeGroup != "zrh" || one.Outcome.SIPFinal != 200 {
				t.Errorf("a call of the share while Frankfurt was gone: %+v", one)
			}
		}
	}
	return moved
}

// A caller does not lose a call to an exercise: behind the drill's way comes production's, and a view without any way plans for nobody but the drill itself.
func TestACanaryTakesNobodysCall(t *testing.T) {
	d := newDay(t, 0)
	d.calls = nil
	d.live(nil, func(ctx context.Context, d *day) {
		time.Sleep(10 * time.Second)
		w := wanted
		w.Share = 1
		c, err := d.node.newCanary(w)
		if err != nil {
			t.Error(err)
			return
		}
		ended := make(chan error)
		go func() { ended <- c.run(ctx) }()
		time.Sleep(time.Millisecond)
		ask := func(to, callID, drill string, p sovereign.Purpose) routing.Plan {
			return d.node.views.Plan(routing.Request{From: "carrier", Called: to, CallID: callID, Drill: drill, Purpose: p, At: time.Now()})
		}
		for name, x := range map[string]struct {
			plan routing.Plan
			want string
		}{
			"a new call":                         {ask("+4969900100", "1", "", 0), "fra* zrh* fra zrh"},
			"no new call":                        {ask("+4969900100", "", "", 0), "fra zrh"},
			"a part of a call of the share":      {ask("+4969900100", "", w.Drill, 0), "fra* zrh* fra zrh"},
			"a part of a call of a drill before": {ask("+4969900100", "", "another", 0), "fra zrh"},
			"another route":                      {ask("+4940900100", "2", "", 0), "fra zrh"},
			"a call for help":                    {ask("112", "3", "", 0), "carrier"},
			"a probe":                            {ask("+4969900100", "", "", sovereign.SyntheticProbe), "fra zrh"},
			"the drill's own":                    {ask("+4969900100", "", "", sovereign.Drill), "fra* zrh*"},
		} {
			if got := hopsOf(x.plan); got != x.want {
				t.Errorf("%s: %s, want %s", name, got, x.want)
			}
		}
		if _, second := ask("+4969900100", "4", "", 0), ask("+4969900100", "5", "", 0); hopsOf(second) != "fra zrh" || c.up.Load() != 2 {
			t.Errorf("above the cap: %s, %d are up", hopsOf(second), c.up.Load())
		}
		d.node.views.left(w.Drill)
		d.node.views.left("another")
		go d.takeAway(40*time.Second, "fra", "zrh")
		time.Sleep(15 * time.Second)
		if p := ask("+4969900100", "6", "", 0); hopsOf(p) != "fra zrh" || p.Drill != "" || c.up.Load() != 1 {
			t.Errorf("nothing is left in the view: %s, %d are up", hopsOf(p), c.up.Load())
		}
		if p := ask("+4969900100", "", "", sovereign.Drill); hopsOf(p) != "" || !p.Held {
			t.Errorf("the drill's own call: %s", p.Why)
		}
		if d.node.gate != nil && len(d.node.gate.Tickets()) != 0 {
			t.Error("people were asked for a drill")
		}
		other, err := d.node.newCanary(canaryWant{Drill: "2", Route: "line"})
		if err != nil {
			t.Error(err)
		} else if err := other.run(ctx); err != errCanaryBusy {
			t.Errorf("a second one: %v", err)
		}
		d.node.views.changed()
		if err := <-ended; err != errRules {
			t.Errorf("the rules changed: %v", err)
		}
		if p := ask("+4969900100", "7", w.Drill, 0); hopsOf(p) != "fra zrh" || d.node.views.try("fra/10.10.0.10/udp/10.10.0.10:5060", w.Drill) {
			t.Errorf("it is over: %s", hopsOf(p))
		}
	})
}

// hopsOf are the parties of a plan in their order, with a star where the drill planned them.
func hopsOf(p routing.Plan) string {
	var out []string
	for _, h := range p.Hops {
		out = append(out, h.Party+strings.Repeat("*", min(1, len(h.Drill))))
	}
	return strings.Join(out, " ")
}

// A view that was made of rules which changed before it began is none: it would plan by them to its end. One that has begun plans no call more.
func TestACanaryOfOldRulesPlansNothing(t *testing.T) {
	d := newDay(t, 0)
	d.calls = nil
	d.live(nil, func(ctx context.Context, d *day) {
		begun := false
		for range 2 {
			c, err := d.node.newCanary(wanted)
			if err != nil {
				t.Error(err)
				return
			}
			ended := make(chan error)
			if begun {
				go func() { ended <- c.run(ctx) }()
				<-c.begun
			}
			start := time.Now()
			d.node.views.changed()
			if !begun {
				go func() { ended <- c.run(ctx) }()
			} else if d.node.views.of(wanted.Drill) != nil {
				t.Error("it plans on by the old rules")
			}
			if err := <-ended; err != errRules || time.Since(start) > 0 {
				t.Errorf("begun %v: %v after %s", begun, err, time.Since(start))
			}
			begun = true
		}
	})
}

// An address that the view of a canary finds first is weighed before it is used, as one that production finds: evidence that speaks against it holds it in both.
func TestWhatACanaryFindsIsWeighed(t *testing.T) {
	inPlaces(t, "", nil, "", func(p *placed) {
		time.Sleep(10 * time.Second)
		c, err := p.node.newCanary(canaryWant{Drill: "d1", Route: "in"})
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() { ended <- c.run(p.t.Context()) }()
		<-c.begun
		k, of := p.node.places, placeKey{"fra", netip.MustParseAddr("10.10.0.10")}
		k.mu.Lock()
		was := k.places[of]
		delete(k.places, of) // as if nobody had met it yet
		k.mu.Unlock()
		c.checker.Relocate("fra")
		time.Sleep(time.Second)
		k.mu.Lock()
		if is := k.places[of]; was == nil || is == nil || is.host != "10.10.0.10" {
			t.Errorf("it was weighed as %+v, and is as %+v", was, is)
		}
		k.mu.Unlock()
		c.end(nil)
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestACanaryIsRefused(t *testing.T) {
	d := newDay(t, 0)
	d.calls = nil
	d.live(nil, func(_ context.Context, d *day) {
		for want, w := range map[string]canaryWant{
			"the id of its drill":   {Route: "line"},
			"no share of calls":     {Drill: "1", Route: "line", Share: 1.5},
			"needs a cap":           {Drill: "1", Route: "line", Share: 0.5},
			`"nowhere" is no route`: {Drill: "1", Route: "nowhere"},
		} {
			if _, err := d.node.newCanary(w); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		}
	})
}

// The draw is part of the record: an auditor draws again.
func TestTheDraw(t *testing.T) {
	if got := draw("d1", "a84b4c76e66710@pc33.example.com"); fmt.Sprintf("%.6f", got) != "0.961005" {
		t.Errorf("%v", got)
	}
	below := 0
	for i := range 10_000 {
		if draw("d1", fmt.Sprint(i)) < 0.05 {
			below++
		}
	}
	if below < 420 || below > 580 {
		t.Errorf("%d of 10000 are below 5%%", below)
	}
}

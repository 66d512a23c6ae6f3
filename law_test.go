package cordon_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// The law falls while 500 calls a minute go to a place that rests on it: what leaves for that place, and when the last of it left.

const lawConfig = `tenant: {org_id: law}
node: {name: edge, state_dir: state}
policy:
  home: aws:eu-central-1
  allow: [aws:eu-central-1, aws:eu-central-2]
  suspensions_file: LAWFILE
  suspension_keys: {law: "LAWKEY"}
%s
places:
  - {prefix: 10.20.0.0/16, region: aws:eu-central-2, contract: c}
  - {prefix: 10.30.0.0/16, region: aws:us-east-1, contract: c}
  - {prefix: 10.0.0.0/8, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: udp, address: "10.5.0.10:5060"}
  - {transport: tcp, address: "10.5.0.10:5060"}
trunks:
  - {name: carrier, region: aws:eu-central-1, country: DE, members: [{host: 10.1.0.10, port: 5060, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: zrh, region: aws:eu-central-2, members: [{host: 10.20.0.10, port: 5060, transport: %s}], media: {security: plain}}
  - {name: fra, region: aws:eu-central-1, members: [{host: 10.10.0.10, port: 5060, transport: udp}], media: {security: plain}}
  - {name: iad, region: aws:us-east-1, members: [{host: 10.30.0.10, port: 5060, transport: udp}], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: zrh}, {party: fra}]}
  - {name: us, direction: inbound, prefix: ["+1"], to: [{party: iad}]}
  - {name: swiss, direction: inbound, prefix: ["+41"], to: [{party: zrh}], fallback_policy: NEVER}
dns: {servers: ["10.20.0.53:53"]}
emergency:
  - {country: DE, numbers: ["112"], trunk: carrier}
limits: {rate_per_source: 50}
health: {interval: 1s, timeout: 500ms, fall: 3, rise: 2}
people:
  - {id: anna, roles: [operator], token: {env: SIM_TOKEN_1}}
  - {id: ben, roles: [operator], token: {env: SIM_TOKEN_2}}
api: {address: "off"}
`

const swissLaw = "2000/518/EC"

// fall is one run.
type fall struct {
	t        *testing.T
	net      *vnet.Network
	node     *cordon.Node
	file     string
	key      ed25519.PrivateKey
	carrier  *carrier.Peer
	zrh, fra *carrier.Peer

	mu    sync.Mutex
	last  time.Time
	count map[string]int // to Zurich since it was last forgotten, by what it was
	calls []*carrier.Call
}

// falling plays f with a node whose law may fall, and 500 calls a minute to Zurich that last for half a minute.
func falling(t *testing.T, transport, law string, f func(x *fall)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)))
		x := &fall{t: t, net: vnet.New(1), file: filepath.Join(t.TempDir(), "law.jsonl"), key: ed25519.NewKeyFromSeed(make([]byte, 32)), count: map[string]int{}}
		x.net.Default(vnet.Quality{Delay: 10 * time.Millisecond, Jitter: 2 * time.Millisecond})
		x.net.Tap(x.watch)
		text := fmt.Sprintf(lawConfig, law, transport)
		text = strings.NewReplacer("LAWFILE", x.file, "LAWKEY", base64.StdEncoding.EncodeToString(x.key.Public().(ed25519.PublicKey))).Replace(text)
		cfg, err := configs.Parse("law.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		x.node, err = cordon.New(t.Context(), cordon.Options{Config: cfg, Net: x.net.Host(netip.MustParseAddr("10.5.0.10")), Memory: true, Software: "law"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		var peers sync.WaitGroup
		for i, p := range []**carrier.Peer{&x.carrier, &x.zrh, &x.fra} {
			a := netip.MustParseAddr([]string{"10.1.0.10", "10.20.0.10", "10.10.0.10"}[i])
			if *p, err = carrier.New(carrier.Config{Name: []string{"carrier", "zrh", "fra"}[i], Net: x.net.Host(a), Addr: netip.AddrPortFrom(a, 5060), Proto: []string{"udp", transport, "udp"}[i], Pace: 100 * time.Millisecond, Seed: uint64(i + 1)}); err != nil {
				t.Fatal(err)
			}
			peers.Go(func() { _ = (*p).Run(ctx) })
		}
		defer peers.Wait()
		defer cancel()
		if err := x.node.Start(ctx); err != nil {
			t.Fatal(err)
		}
		defer x.node.Stop(context.Background(), 0)
		time.Sleep(3 * time.Second) // until the targets are known to be up
		f(x)
	})
}

var zurichPlace = netip.MustParsePrefix("10.20.0.0/16")

// watch counts what the node sends to Zurich.
func (x *fall) watch(p vnet.Packet) {
	if p.From.Addr() != simEdge || !zurichPlace.Contains(p.To.Addr()) {
		return
	}
	what := "RTP"
	switch word, _, _ := strings.Cut(string(p.Data[:min(len(p.Data), 12)]), " "); {
	case p.Kind == vnet.FIN:
		what = "FIN"
	case p.To.Port() == 5060:
		what = word
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last = p.At
	x.count[what]++
}

func (x *fall) forget() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last, x.count = time.Time{}, map[string]int{}
}

func (x *fall) seen() (time.Time, map[string]int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.last, x.count
}

// ring begins 500 calls a minute for so long.
func (x *fall) ring(ctx context.Context, d time.Duration) {
	for begin := time.Now(); time.Since(begin) < d; time.Sleep(time.Minute / 500) {
		c, err := x.carrier.Call(ctx, carrier.CallOptions{To: fmt.Sprintf("+4969990%04d", len(x.calls)), From: "+493012345", Dest: netip.MustParseAddrPort("10.5.0.10:5060"), Talk: 30 * time.Second})
		if err != nil {
			x.t.Fatal(err)
		}
		x.calls = append(x.calls, c)
	}
}

func (x *fall) suspend(since time.Time) {
	x.t.Helper()
	line, err := sovereign.SignSuspension(sovereign.Suspension{Instrument: swissLaw, Since: since, Reason: "annulled", KeyID: "law"}, x.key)
	if err == nil {
		err = os.WriteFile(x.file, line, 0o600)
	}
	if err != nil {
		x.t.Fatal(err)
	}
}

// entries are those of a kind in the log.
func logged[T any](x *fall, kind audit.Kind) []T {
	x.t.Helper()
	list, err := x.node.Log().Entries(x.t.Context(), 0, 100000)
	if err != nil {
		x.t.Fatal(err)
	}
	var out []T
	for _, e := range list {
		if e.Kind != kind {
			continue
		}
		var v T
		if err := json.Unmarshal(e.Body, &v); err != nil {
			x.t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// up counts the calls that the carrier believes to be up.
func (x *fall) up() (n int) {
	for _, c := range x.calls {
		if c.Status() == 200 && c.Ended() == "" {
			n++
		}
	}
	return n
}

// The declared rules, with datagrams and with a connection: the figure that docs/reference/law.md gives is the one of this log.
func TestTheLastDatagramToAStruckPlace(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		for _, rule := range []string{"end", "reroute"} {
			t.Run(transport+" "+rule, func(t *testing.T) {
				falling(t, transport, "law: {running_calls: "+rule+"}", func(x *fall) {
					t := x.t
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					x.ring(ctx, 20*time.Second)
					before := x.up()
					if before < 150 {
						t.Fatalf("%d calls are up", before)
					}
					time.Sleep(7 * time.Millisecond) // somewhere between two looks at the file
					x.forget()
					at := time.Now()
					x.suspend(at.Add(-24 * time.Hour))
					x.ring(ctx, 10*time.Second)
					time.Sleep(20 * time.Second)
					last, what := x.seen()
					t.Logf("%s, %s: %d calls were up at 500 a minute; the last datagram to the struck place left %v after the file was written: %v", transport, rule, before, last.Sub(at), what)
					if took := last.Sub(at); took > time.Second {
						t.Errorf("the last datagram left after %v: %v", took, what)
					}
					if what["BYE"] < before {
						t.Errorf("%d BYEs for %d calls", what["BYE"], before)
					}
					how := map[string]int{}
					for _, r := range logged[audit.Receipt](x, audit.KindReceipt) {
						for _, s := range r.Struck {
							how[s.How]++
						}
						if r.Outcome.EndedBy != "edge" && len(r.Struck) == 1 && rule == "end" || r.Outcome.EndedBy != "a" && rule == "reroute" && r.Outcome.SIPFinal == 200 {
							t.Errorf("%+v, %+v", r.Outcome, r.Struck)
						}
						if r.Overall == "violation" || len(r.Struck) > 1 || len(r.Struck) == 1 && r.Struck[0].Cause != swissLaw {
							t.Errorf("%s: %+v", r.Overall, r.Struck)
						}
					}
					if want := map[string]string{"end": "ended", "reroute": "rerouted"}[rule]; how[want] < before || how[want] > before+8 || len(how) != 1 {
						t.Errorf("%d calls were up: %v", before, how)
					}
					in := logged[audit.LawInForce](x, audit.KindLawInForce)
					if len(in) != 1 || len(in[0].Parties) != 1 || in[0].Parties[0].Party != "zrh" || in[0].Parties[0].Rule != rule || in[0].From.Sub(at) > 300*time.Millisecond {
						t.Errorf("%+v", in)
					}
					if party := x.node.Router().Active()["in"].Party; party != "fra" {
						t.Errorf("the route uses %s", party)
					}
					for _, h := range logged[audit.HealthChanged](x, audit.KindHealthChanged) {
						if h.Party == "zrh" && h.To == "down" {
							t.Errorf("what is not asked any more is not down: %+v", h)
						}
					}
				})
			})
		}
	}
}

// A suspension with a day ahead of it changes nothing until then, and everything at that moment, although nobody touches the file again.
func TestASuspensionAheadTakesEffectByItself(t *testing.T) {
	falling(t, "udp", "", func(x *fall) {
		t := x.t
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		since := time.Now().Add(time.Minute)
		x.suspend(since)
		time.Sleep(35 * time.Second)
		x.ring(ctx, 24*time.Second)
		before := x.up()
		time.Sleep(time.Until(since) - time.Microsecond)
		x.forget()
		x.ring(ctx, 5*time.Second)
		last, what := x.seen()
		t.Logf("%d calls were up; the last datagram left %v after that moment: %v", before, last.Sub(since), what)
		if last.Sub(since) > time.Second || what["BYE"] < before || before < 150 || what["OPTIONS"] > 0 {
			t.Errorf("%d calls were up; the last datagram left %v after that moment: %v", before, last.Sub(since), what)
		}
		if party := x.node.Router().Active()["in"].Party; party != "fra" {
			t.Errorf("the route uses %s", party)
		}
		in := logged[audit.LawInForce](x, audit.KindLawInForce)
		if len(in) != 1 || !in[0].From.Equal(since) || !in[0].Since.Equal(since) || len(in[0].Parties) != 1 {
			t.Errorf("%+v", in)
		}
		if n := len(logged[audit.LawSuspended](x, audit.KindLawSuspended)); n != 1 {
			t.Errorf("%d entries tell of the line", n)
		}
	})
}

// A suspension ahead may be brought forward by another line.
func TestASuspensionIsBroughtForward(t *testing.T) {
	falling(t, "udp", "", func(x *fall) {
		t := x.t
		x.suspend(time.Now().Add(time.Hour))
		time.Sleep(time.Second)
		first, _ := os.ReadFile(x.file)
		x.suspend(time.Now())
		second, _ := os.ReadFile(x.file)
		if err := os.WriteFile(x.file, append(first, second...), 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if r := x.node.Fence().Judge(sovereign.Ask{Party: "zrh", Plane: sovereign.Signalling, At: time.Now()}); r.Ground != sovereign.GroundSuspended {
			t.Errorf("%+v", r)
		}
		if in := logged[audit.LawInForce](x, audit.KindLawInForce); len(in) != 1 {
			t.Errorf("%+v", in)
		}
	})
}

// finish: the log says for whom and until when; media goes on, and what begins goes elsewhere.
func TestWhatRunsMayFinishInAStruckPlace(t *testing.T) {
	falling(t, "tcp", "law: {parties: [{party: zrh, running_calls: finish, finish_within: 1m}]}", func(x *fall) {
		t := x.t
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		x.ring(ctx, 10*time.Second)
		before := x.up()
		x.suspend(time.Now())
		time.Sleep(time.Second)
		x.forget()
		begun := len(x.calls)
		x.ring(ctx, 5*time.Second)
		if _, what := x.seen(); what["INVITE"] > 0 || what["OPTIONS"] > 0 || what["RTP"] < before*40 {
			t.Errorf("%d calls were up: %v", before, what)
		}
		time.Sleep(35 * time.Second)
		for i, c := range x.calls[:begun] {
			if c.Ended() != "bye sent" && c.Status() == 200 && i < before-1 {
				t.Errorf("call %d ended: %s", i, c.Ended())
			}
		}
		in := logged[audit.LawInForce](x, audit.KindLawInForce)
		if len(in) != 1 || len(in[0].Parties) != 1 || in[0].Parties[0].Rule != "finish" || in[0].Parties[0].Calls < before-2 || in[0].Parties[0].Until.Sub(in[0].From) != time.Minute+1500*time.Millisecond {
			t.Errorf("%d calls were up: %+v", before, in)
		}
		finished := 0
		for _, r := range logged[audit.Receipt](x, audit.KindReceipt) {
			if len(r.Struck) == 1 && r.Struck[0].How == "finished" {
				finished++
			}
		}
		if finished < before-2 {
			t.Errorf("%d of %d finished", finished, before)
		}
	})
}

// A transfer to a place that is permitted no more is refused, though a call that runs there may finish: REFER gets 403, no INVITE leaves, and the call that was to move goes on.
func TestATransferToAStruckPlaceIsRefused(t *testing.T) {
	falling(t, "udp", "law: {running_calls: finish, finish_within: 1m}", func(x *fall) {
		t := x.t
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		up := func(to string) *carrier.Call {
			t.Helper()
			c, err := x.carrier.Call(ctx, carrier.CallOptions{To: to, From: "+493012345", Dest: netip.MustParseAddrPort("10.5.0.10:5060")})
			if err != nil {
				t.Fatal(err)
			}
			<-c.Answered()
			return c
		}
		transfer := func(group *carrier.Peer) (int, *carrier.Call) {
			t.Helper()
			c := up("+4969100")
			agents := group.Calls()
			status, err := agents[len(agents)-1].Refer(ctx, "+4144200")
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			return status, c
		}
		status, moved := transfer(x.zrh)
		if _, what := x.seen(); status != 202 || what["INVITE"] != 2 || moved.Ended() != "" {
			t.Fatalf("while it is permitted: %d %v %q", status, what, moved.Ended())
		}
		x.suspend(time.Now())
		time.Sleep(time.Second)
		x.forget()
		status, kept := transfer(x.fra)
		if _, what := x.seen(); status != 403 || what["INVITE"] > 0 || what["RTP"] == 0 || kept.Ended() != "" || moved.Ended() != "" {
			t.Errorf("once it is not: %d %v, the call that was to move %q, the one that runs there %q", status, what, kept.Ended(), moved.Ended())
		}
		for _, c := range []*carrier.Call{kept, moved} {
			if err := c.Hangup(ctx); err != nil {
				t.Error(err)
			}
		}
	})
}

// A person severs a group while 500 calls a minute go there: BYE to each, and then silence; who calls next is put through elsewhere.
func TestTheLastDatagramToWhatIsSevered(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			falling(t, transport, "law: {running_calls: finish}", func(x *fall) {
				t := x.t
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				x.ring(ctx, 20*time.Second)
				before := x.up()
				x.forget()
				at := time.Now()
				if err := x.node.Severs().Sever(ctx, desk.Cut{Kind: desk.Group, Name: "zrh", Reason: "intrusion"}, "anna"); err != nil {
					t.Fatal(err)
				}
				x.ring(ctx, 10*time.Second)
				time.Sleep(10 * time.Second)
				last, what := x.seen()
				t.Logf("%s: %d calls were up at 500 a minute; the last datagram left %v after the order: %v", transport, before, last.Sub(at), what)
				if last.Sub(at) > time.Second || what["BYE"] < before || before < 150 {
					t.Errorf("%d calls were up; the last datagram left after %v: %v", before, last.Sub(at), what)
				}
				cut := logged[audit.Severed](x, audit.KindSevered)
				if len(cut) != 1 || len(cut[0].Parties) != 1 || cut[0].Parties[0].Calls < before-2 || cut[0].Parties[0].Rule != "end" {
					t.Errorf("%d calls were up: %+v", before, cut)
				}
				for _, r := range logged[audit.Receipt](x, audit.KindReceipt) {
					if len(r.Struck) == 1 && (r.Struck[0].Cause != "group zrh" || r.Struck[0].How != "ended") || r.Overall == "violation" {
						t.Errorf("%s %+v", r.Overall, r.Struck)
					}
				}
				if party := x.node.Router().Active()["in"].Party; party != "fra" {
					t.Errorf("the route uses %s", party)
				}
			})
		})
	}
}

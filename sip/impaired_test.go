package sip

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/board"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// drilled is a world with a board.
func drilled(t *testing.T, f func(w *world, b *board.Board)) {
	t.Helper()
	b := &board.Board{}
	run(t, func(c *Config) { c.Impaired = b }, func(w *world) { f(w, b) })
}

// gone takes parties away in one way, for an hour.
func gone(b *board.Board, s board.Scope, how scenario.How, parties ...string) {
	k := scenario.Taken{Taking: scenario.Taking{How: how}, Kind: scenario.Group, Names: parties}
	switch how {
	case scenario.Slow:
		k.By = strict.Duration(400 * time.Millisecond)
	case scenario.Lossy:
		k.Share = 10_000
	}
	b.Set([]scenario.Taken{k}, time.Now().Add(time.Hour), s)
}

func back(b *board.Board) { b.Set(nil, time.Time{}, board.All) }

// ways are all in which a target can be taken away.
var ways = []scenario.How{scenario.Refuse, scenario.Blackhole, scenario.Slow, scenario.Lossy, scenario.WrongCertificate, scenario.Unavailable, scenario.Flapping}

// take has p answer a call that the carrier placed, and both hang up.
func (w *world) take(p *peer) {
	w.t.Helper()
	in := p.request(msg.INVITE)
	p.reply(in, 200, p.sdp)
	p.request(msg.ACK)
	ok := w.carrier.status(200)
	w.carrier.within(ok, "ACK", 1, "")
	synctest.Wait()
	w.carrier.within(ok, "BYE", 2, "")
	w.carrier.status(200)
	p.reply(p.request(msg.BYE), 200, "")
}

// What an INVITE to the first choice meets, and what the receipt says of it.
func TestAnAttemptMeets(t *testing.T) {
	for _, c := range []struct {
		how     scenario.How
		result  string
		drill   string
		after   time.Duration // until the next hop is tried; 0: the first one has the call
		tooMuch time.Duration
	}{
		{scenario.Refuse, "icmp", "refuse", time.Millisecond, 0},
		{scenario.Blackhole, "silent", "blackhole", 2 * time.Second, 0},
		{scenario.Flapping, "silent", "blackhole", 2 * time.Second, 0},
		{scenario.Lossy, "silent", "100% lost", 2 * time.Second, 0},
		{scenario.Unavailable, "503", "unavailable", time.Millisecond, 0},
		{scenario.Slow, "200", "400ms later", 0, 400 * time.Millisecond},
		{scenario.WrongCertificate, "200", "wrong_certificate", 0, 0}, // by UDP nobody shows one
	} {
		t.Run(string(c.how), func(t *testing.T) {
			drilled(t, func(w *world, b *board.Board) {
				gone(b, board.All, c.how, "fra")
				start := time.Now()
				w.carrier.invite("met@10.1.0.1", w.carrier.sdp)
				to := w.fra
				if c.after > 0 {
					to = w.zrh
				}
				w.take(to)
				if c.after > 0 {
					w.fra.silent(time.Second)
				}
				r := w.receipt()
				a := r.Attempts[0]
				if a.Result != c.result || a.Drill != c.drill || a.TookMS < ms(c.tooMuch) {
					t.Errorf("attempt: %+v", a)
				}
				if n := len(r.Attempts); c.after > 0 && (n != 2 || r.Attempts[1].Result != "200" || r.Attempts[1].Drill != "" || r.Attempts[1].At.Sub(start) < c.after-time.Millisecond) {
					t.Errorf("attempts: %+v", r.Attempts)
				}
				if o := w.outcomes[0]; o.Alive != (c.result == "200" || c.result == "503") || o.Own {
					t.Errorf("health was told %+v", o)
				}
			})
		})
	}
}

// A call for help goes out whatever a drill does, to both of its ends, and one that is not for help waits for the end of the drill.
func TestACallForHelpMeetsNothing(t *testing.T) {
	for _, how := range ways {
		t.Run(string(how), func(t *testing.T) {
			drilled(t, func(w *world, b *board.Board) {
				w.help()
				gone(b, board.All, how, "carrier", "fra")
				w.carrier.dial112("sos")
				w.take(w.fra)
				r := w.receipt()
				if a := r.Attempts[0]; len(r.Attempts) != 1 || a.Result != "200" || a.Drill != "" || a.TookMS > 100 {
					t.Errorf("attempts: %+v", r.Attempts)
				}
			})
		})
	}
}

// Whoever called for help and hangs up while it rings is heard, too.
func TestACallForHelpIsCancelled(t *testing.T) {
	drilled(t, func(w *world, b *board.Board) {
		w.help()
		gone(b, board.All, scenario.Blackhole, "carrier", "fra")
		w.carrier.dial112("sos")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.carrier.write(strings.Replace(w.carrier.compose("CANCEL", "sip:112@edge.example", "sos", 1, "", ""), "sosCANCEL1", "sosINVITE1", 1))
		w.carrier.status(200)
		w.carrier.status(487)
		w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
		w.fra.reply(in, 487, "")
		w.fra.request(msg.ACK)
	})
}

// In scope Own nothing of production meets anything: not its calls, not its probes, not what its parties send. What is the drill's own does, and health hears nothing of it.
func TestScopeOwn(t *testing.T) {
	for name, c := range map[string]struct {
		scope board.Scope
		own   bool
		met   bool
	}{"production in a canary": {board.Own, false, false}, "a call of a canary": {board.Own, true, true}, "production in a full drill": {board.All, false, true}} {
		t.Run(name, func(t *testing.T) {
			drilled(t, func(w *world, b *board.Board) {
				plan := w.plan
				w.plan = func(r routing.Request) routing.Plan {
					p := plan(r)
					if c.own {
						p.Drill, p.Hops = "d1", slices.Clone(p.Hops)
						for i := range p.Hops {
							p.Hops[i].Drill = "d1"
						}
					}
					return p
				}
				gone(b, c.scope, scenario.Refuse, "fra")
				w.carrier.invite("own@10.1.0.1", w.carrier.sdp)
				to := w.fra
				if c.met {
					to = w.zrh
				}
				w.take(to)
				r := w.receipt()
				if met := r.Attempts[0].Drill != ""; met != c.met {
					t.Errorf("attempts: %+v", r.Attempts)
				}
				for _, o := range w.outcomes {
					if o.Own || (o.Drill != "") != c.own {
						t.Errorf("health was told %+v", o)
					}
				}
			})
		})
	}
}

// A customer whom a canary chose is heard and answered, also where the trunk that the call came by is gone for the drill: it is the way onward that is exercised.
func TestACallerOfACanaryIsAnswered(t *testing.T) {
	for _, how := range ways {
		t.Run(string(how), func(t *testing.T) {
			drilled(t, func(w *world, b *board.Board) {
				(&exercise{}).plan(w)
				gone(b, board.Own, how, "carrier")
				w.carrier.invite("chosen", w.carrier.sdp)
				w.take(w.fra)
				if r := w.receipt(); r.Drill != "d1" || r.Outcome.SIPFinal != 200 {
					t.Errorf("drill %q, final %d", r.Drill, r.Outcome.SIPFinal)
				}
			})
		})
	}
}

// A synthetic call of purpose drill is the drill's own, whoever planned it; one that watches production is not.
func TestASyntheticCallMeets(t *testing.T) {
	for _, c := range []struct {
		call Synthetic
		met  bool
	}{{Synthetic{Purpose: sovereign.Drill}, true}, {Synthetic{Purpose: sovereign.SyntheticProbe}, false}} {
		drilled(t, func(w *world, b *board.Board) {
			w.hops = w.hops[:1]
			gone(b, board.Own, scenario.Unavailable, "fra")
			c.call.From, c.call.Called, c.call.Hold = "carrier", "+4930123", time.Second
			done := make(chan SyntheticResult, 1)
			go func() {
				r, err := w.edge.Place(w.t.Context(), c.call)
				if err != nil {
					t.Error(err)
				}
				done <- r
			}()
			if !c.met {
				w.fra.reply(w.fra.request(msg.INVITE), 486, "")
				w.fra.request(msg.ACK)
			}
			want := map[bool]int{true: 503, false: 486}[c.met]
			r := w.receipt()
			<-done
			if r.Attempts[0].Result != itoa(want) || len(w.outcomes) != 1 || w.outcomes[0].Own != c.met {
				t.Errorf("%s: %+v, health was told %+v", c.call.Purpose, r.Attempts, w.outcomes)
			}
			w.fra.silent(time.Second)
		})
	}
}

// A call that is up: what goes into its dialog does not leave, what comes out of it is not heard, and the far end is not left with a call that has ended.
func TestADialogMeets(t *testing.T) {
	for _, how := range []scenario.How{scenario.Blackhole, scenario.Refuse, scenario.Unavailable} {
		t.Run(string(how)+": hung up here", func(t *testing.T) {
			drilled(t, func(w *world, b *board.Board) {
				ok, _ := w.up("bye@10.1.0.1")
				gone(b, board.All, how, "fra")
				w.carrier.within(ok, "BYE", 2, "")
				w.carrier.status(200)
				w.fra.silent(2 * time.Minute)
				back(b)
				start := time.Now()
				w.fra.reply(w.fra.request(msg.BYE), 200, "")
				if d := time.Since(start); d > sweepEvery {
					t.Errorf("told %v after its way was back", d)
				}
				w.fra.silent(time.Minute)
			})
		})
	}
	t.Run("hung up there", func(t *testing.T) {
		drilled(t, func(w *world, b *board.Board) {
			_, in := w.up("bye@10.1.0.1")
			gone(b, board.All, scenario.Blackhole, "fra")
			bye := w.fra.inside(in, "BYE", 2, "")
			w.carrier.silent(time.Second)
			back(b)
			w.fra.write(bye)
			w.fra.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		})
	})
	t.Run("renegotiated", func(t *testing.T) {
		drilled(t, func(w *world, b *board.Board) {
			ok, _ := w.up("re@10.1.0.1")
			gone(b, board.All, scenario.Unavailable, "fra")
			w.carrier.within(ok, "INVITE", 2, testSDP("10.1.0.1", 30010))
			if res, is := w.carrier.read(5 * time.Second).(*msg.Response); !is || res.StatusCode != 100 {
				t.Errorf("not taken: %v", res)
			}
			w.carrier.status(503)
			ack := w.carrier.compose("ACK", "sip:edge@10.0.0.1", "re@10.1.0.1", 2, ok.To().Params.GetOr("tag", ""), "")
			w.carrier.write(strings.Replace(ack, "10.1.0.1ACK2", "10.1.0.1INVITE2", 1))
			w.fra.silent(time.Second)
			back(b)
			w.carrier.within(ok, "BYE", 3, "")
			w.carrier.status(200)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
		})
	})
}

// What comes from a party that is gone is not heard, and is once it is repeated and the party back. What is slow comes in its order.
func TestAPartyThatIsGoneIsNotHeard(t *testing.T) {
	for _, how := range []scenario.How{scenario.Blackhole, scenario.Refuse, scenario.Lossy} {
		drilled(t, func(w *world, b *board.Board) {
			gone(b, board.All, how, "carrier")
			raw := w.carrier.invite("in@10.1.0.1", w.carrier.sdp)
			w.carrier.silent(time.Second)
			w.fra.silent(time.Second)
			back(b)
			w.carrier.write(raw)
			w.take(w.fra)
		})
	}
	drilled(t, func(w *world, b *board.Board) {
		gone(b, board.All, scenario.Slow, "carrier")
		start := time.Now()
		w.carrier.invite("slow@10.1.0.1", w.carrier.sdp)
		time.Sleep(300 * time.Millisecond)
		back(b) // what comes now overtakes nothing
		w.carrier.write(w.carrier.compose("CANCEL", "sip:+4930123@edge.example", "slow@10.1.0.1", 1, "", ""))
		w.carrier.status(100)
		if d := time.Since(start); d != 400*time.Millisecond {
			t.Errorf("heard after %v", d)
		}
	})
}

// What is slow keeps its own order and holds up nobody else: neither a call for help of the same party nor, while a drill slows its own calls alone, one of its customers.
func TestWhatIsLateHoldsUpNobodyElse(t *testing.T) {
	for name, scope := range map[string]board.Scope{"a call for help": board.All, "a customer's": board.Own} {
		t.Run(name, func(t *testing.T) {
			b := &board.Board{}
			run(t, func(c *Config) { c.Impaired, c.Loops = b, 1 }, func(w *world) {
				w.help()
				plan := w.plan
				w.plan = func(r routing.Request) routing.Plan {
					p := plan(r)
					p.Drill, p.Hops = "d1", slices.Clone(p.Hops)
					p.Hops[0].Drill = "d1"
					return p
				}
				_, slow := w.up("drill@10.1.0.1")
				w.plan = plan
				_, other := w.up("other@10.1.0.1")
				gone(b, scope, scenario.Slow, "fra")
				start := time.Now()
				w.fra.inside(slow, "BYE", 2, "")
				synctest.Wait()
				if scope == board.All {
					w.fra.dial112("sos")
					w.fra.reply(w.fra.request(msg.INVITE), 486, "")
					w.fra.request(msg.ACK)
				} else {
					w.fra.inside(other, "BYE", 2, "")
					if id := w.carrier.request(msg.BYE).CallID().Value(); id != "other@10.1.0.1" {
						t.Errorf("%s was heard first", id)
					}
				}
				if d := time.Since(start); d > time.Millisecond {
					t.Errorf("heard after %v", d)
				}
				for m := w.carrier.read(time.Second); m != nil && time.Since(start) < 400*time.Millisecond; m = w.carrier.read(time.Second) {
					t.Errorf("what is slow was heard after %v: %v", time.Since(start), m)
				}
			})
		})
	}
}

// Probes meet what calls do, and no probe of production meets what is gone for the drill alone.
func TestAProbeMeets(t *testing.T) {
	for _, c := range []struct {
		how    scenario.How
		err    error
		status int
		took   time.Duration
	}{
		{scenario.Refuse, transport.ErrRefused, 0, 0},
		{scenario.Blackhole, context.DeadlineExceeded, 0, time.Second},
		{scenario.Lossy, context.DeadlineExceeded, 0, time.Second},
		{scenario.Unavailable, nil, 503, 0},
		{scenario.Slow, nil, 200, 400 * time.Millisecond},
		{scenario.WrongCertificate, nil, 200, 0},
	} {
		t.Run(string(c.how), func(t *testing.T) {
			drilled(t, func(w *world, b *board.Board) {
				probe := func(own bool) (status int, took time.Duration, err error) {
					ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
					defer cancel()
					f, start := w.edge.Probe, time.Now()
					if own {
						f = w.edge.ProbeOwn
					}
					s, err := f(ctx, w.hops[0].Target)
					return s.Status, time.Since(start), err
				}
				stop := make(chan struct{})
				go func() {
					defer close(stop)
					for m := w.fra.read(time.Minute); m != nil; m = w.fra.read(time.Minute) {
						w.fra.reply(m.(*msg.Request), 200, "")
					}
				}()
				gone(b, board.Own, c.how, "fra")
				if status, took, err := probe(false); status != 200 || err != nil || took > time.Millisecond {
					t.Errorf("production: %d, %v after %v", status, err, took)
				}
				if status, took, err := probe(true); status != c.status || !errors.Is(err, c.err) || took < c.took || took > c.took+time.Millisecond {
					t.Errorf("the drill's own: %d, %v after %v", status, err, took)
				}
				gone(b, board.All, c.how, "fra")
				if status, took, err := probe(false); status != c.status || !errors.Is(err, c.err) || took < c.took || took > c.took+time.Millisecond {
					t.Errorf("all: %d, %v after %v", status, err, took)
				}
				<-stop
			})
		})
	}
}

// BenchmarkMeetsNothing is what an attempt pays for each message while no drill runs: it says so for a leg that has a board, and for one that has none.
func BenchmarkMeetsNothing(b *testing.B) {
	for name, i := range map[string]Impairments{"board": &board.Board{}, "none": nil} {
		b.Run(name, func(b *testing.B) {
			l := &leg{party: &Party{Name: "fra"}, target: "fra/m1/udp/10.2.0.1:5060", c: &call{sh: &shard{e: &Edge{c: Config{Impaired: i}}}}}
			b.ReportAllocs()
			for b.Loop() {
				if !l.Meets().Nothing() {
					b.Fatal("something is met")
				}
			}
		})
	}
}

// A silence is a drill's where it began with what the drill takes of that very leg, and while it does; any other one is not.
func TestASilenceOfADrillIsMarked(t *testing.T) {
	for name, c := range map[string]struct {
		party string
		how   scenario.How
		at    time.Duration // after the call was answered, and nothing ever comes from either side
		lasts time.Duration
		want  []string
	}{
		"no drill":                    {"", "", 0, 0, []string{"a carrier dead", "a carrier silent", "b fra dead", "b fra silent"}},
		"from the beginning":          {"fra", scenario.Blackhole, 0, time.Hour, []string{"a carrier dead", "a carrier silent", "b fra dead: blackhole", "b fra silent: blackhole"}},
		"the other leg":               {"carrier", scenario.Refuse, 0, time.Hour, []string{"a carrier dead: refuse", "a carrier silent: refuse", "b fra dead", "b fra silent"}},
		"nobody of the call":          {"zrh", scenario.Blackhole, 0, time.Hour, []string{"a carrier dead", "a carrier silent", "b fra dead", "b fra silent"}},
		"the silence is older":        {"fra", scenario.Blackhole, 3 * time.Second, time.Hour, []string{"a carrier dead", "a carrier silent", "b fra dead", "b fra silent"}},
		"given back before it died":   {"fra", scenario.Blackhole, 0, 15 * time.Second, []string{"a carrier dead", "a carrier silent", "b fra dead", "b fra silent: blackhole"}},
		"what does not touch packets": {"fra", scenario.Unavailable, 0, time.Hour, []string{"a carrier dead", "a carrier silent", "b fra dead", "b fra silent"}},
		"what delays them":            {"fra", scenario.Slow, 0, time.Hour, []string{"a carrier dead", "a carrier silent", "b fra dead", "b fra silent"}},
	} {
		t.Run(name, func(t *testing.T) {
			drilled(t, func(w *world, b *board.Board) {
				ok, _ := w.up("silence")
				if c.party != "" {
					time.Sleep(c.at)
					gone(b, board.All, c.how, c.party)
					time.AfterFunc(c.lasts, func() { back(b) })
				}
				time.Sleep(time.Minute)
				var got []string
				for _, e := range entries[audit.MediaSilent](w, audit.KindMediaSilent) {
					word := e.Leg + " " + e.Party + " " + e.State
					if e.Drill != "" {
						word += ": " + e.Drill
					}
					got = append(got, word)
				}
				if slices.Sort(got); !slices.Equal(got, c.want) {
					t.Errorf("%q, want %q", got, c.want)
				}
				back(b)
				w.end(ok, 2)
				w.receipt()
			})
		})
	}
}

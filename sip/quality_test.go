package sip

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

func TestOutcomesCarryTheirFinalResponse(t *testing.T) {
	for cause, want := range map[string]int{
		"answered": 200, "486": 486, "503": 503, "no answer": 480, "silent": 0, "no_progress": 0, "lost: connection reset": 0, "icmp: refused": 0,
		"fenced": 488, "media_403": 488, "media_488": 488, "media_500": 488, "media_606": 488, "no_session": 488, "cancelled": 487,
	} {
		if got := finalOf(cause); got != want {
			t.Errorf("%q is %d, want %d", cause, got, want)
		}
	}
}

// told gives what health was told so far.
func (w *world) toldOf() []healthcheck.Outcome {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]healthcheck.Outcome(nil), w.outcomes...)
}

func TestOutcomesCarryThePostDialDelay(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("pdd", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 100, "")
		time.Sleep(3 * time.Second)
		w.fra.reply(in, 180, "")
		time.Sleep(7 * time.Second)
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.receipt()
		got := w.toldOf()
		if len(got) != 1 || got[0].Final != 486 || got[0].PDD < 3*time.Second || got[0].PDD > 3100*time.Millisecond || !got[0].Alive {
			t.Errorf("%+v", got)
		}
	})
	run(t, nil, func(w *world) {
		w.carrier.invite("silence", w.carrier.sdp)
		w.fra.request(msg.INVITE)
		w.zrh.reply(w.zrh.request(msg.INVITE), 603, "")
		w.zrh.request(msg.ACK)
		w.receipt()
		got := w.toldOf()
		if len(got) != 2 || got[0].Final != 0 || got[0].PDD != 0 || got[0].Alive || got[1].Final != 603 || !got[1].Alive {
			t.Errorf("%+v", got)
		}
	})
}

func TestTheEndOfACallTellsItsScore(t *testing.T) {
	for packets, want := range map[uint64]int{minRated - 1: 0, minRated: 1} {
		var got []healthcheck.Outcome
		e := &Edge{c: Config{Outcome: func(o healthcheck.Outcome) { got = append(got, o) }}}
		var rep media.Report
		rep.Sides[media.B] = media.SideReport{RxPackets: packets, MOS: 3.9}
		e.rated("fra/m1/udp/10.2.0.1:5060", "d1", &rep)
		e.rated("", "", &rep)
		if len(got) != want || want == 1 && (!got[0].Ended || got[0].MOS != 3.9 || got[0].Drill != "d1" || got[0].Target != "fra/m1/udp/10.2.0.1:5060") {
			t.Errorf("%d packets: %+v", packets, got)
		}
	}
}

func TestAHalfOpenHopIsTakenFirstOrLeftOut(t *testing.T) {
	for _, may := range []bool{true, false} {
		var asked []string
		run(t, func(c *Config) {
			c.Try = func(target, drill string) bool { asked = append(asked, target+drill); return may }
		}, func(w *world) {
			w.hops[0].Trial = true
			w.carrier.invite("trial"+strconv.FormatBool(may), w.carrier.sdp)
			taker, other := w.fra, w.zrh
			if !may {
				taker, other = w.zrh, w.fra
			}
			taker.reply(taker.request(msg.INVITE), 486, "")
			taker.request(msg.ACK)
			other.silent(time.Second)
			r := w.receipt()
			if !may && (len(r.Attempts) != 2 || r.Attempts[0].Result != "half_open" || !r.Attempts[0].At.IsZero()) {
				t.Errorf("%+v", r.Attempts)
			}
		})
		if len(asked) != 1 || asked[0] != "fra/m1/udp/10.2.0.1:5060" {
			t.Errorf("asked for %v", asked)
		}
	}
}

func TestAClosedPartyIsToldToAskAnotherNode(t *testing.T) {
	run(t, nil, func(w *world) {
		w.plan = func(routing.Request) routing.Plan { return routing.Plan{Trunk: "carrier", Closed: true} }
		w.carrier.invite("closed", w.carrier.sdp)
		if res := w.carrier.status(503); value(res, "retry-after") == "" {
			t.Errorf("503 without Retry-After:\n%s", res)
		}
		w.receipt()
	})
}

func TestFullCountsTheCallsOfAParty(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].MaxCalls = 1 }, func(w *world) {
		if w.edge.Full("fra") || w.edge.Full("zrh") || w.edge.Full("nobody") {
			t.Error("full before the first call")
		}
		ok, _ := w.up("full")
		if !w.edge.Full("fra") || w.edge.Full("zrh") {
			t.Error("one call of one, and not full")
		}
		w.carrier.within(ok, "BYE", 2, "")
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.receipt()
		if w.edge.Full("fra") {
			t.Error("full after the last call")
		}
	})
}

// checker is a health room that watches fra and is told by the edge, as in a node.
func checker(t *testing.T) *healthcheck.Checker {
	t.Helper()
	permit := sovereign.Ruling{Verdict: sovereign.Permit, Ground: sovereign.GroundInEEA, Country: "DE"}
	h, err := healthcheck.New(healthcheck.Config{
		Watched: []healthcheck.Watched{{Party: "fra", Members: []healthcheck.Member{{Name: "m1", Host: "10.2.0.1", Transport: "udp", Port: 5060}}}},
		Prober:  answering{},
		Locate: func(_ context.Context, q resolve.Query) (resolve.Answer, error) {
			return resolve.Answer{Located: []resolve.Located{{Host: q.Host, Transport: q.Transport, Addr: fraAddr, Ruling: permit}}, Expires: time.Now().Add(time.Hour)}, nil
		},
		Judge: func(sovereign.Ask) sovereign.Ruling { return permit },
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

type answering struct{}

func (answering) Probe(context.Context, healthcheck.Target) (healthcheck.Sample, error) {
	return healthcheck.Sample{RTT: time.Millisecond, Status: 200}, nil
}

// Who hangs up while it rings, and two sides that agree on no media, are no failure of the network: the ratios of a target do not fall. What stays silent is.
func TestAnAbandonedCallLowersNoRatio(t *testing.T) {
	bad := "v=0\r\no=x 1 1 IN IP4 10.2.0.1\r\ns=-\r\nc=IN IP4 10.2.0.1\r\nt=0 0\r\nm=audio 30000 RTP/AVP 97\r\na=rtpmap:97 unknown/8000\r\n"
	for name, c := range map[string]struct {
		play  func(w *world, in *msg.Request)
		calls int
	}{
		"cancelled": {func(w *world, in *msg.Request) {
			w.fra.reply(in, 180, "")
			w.carrier.status(180)
			w.carrier.write(strings.Replace(w.carrier.compose("CANCEL", "sip:+4930123@edge.example", "c", 1, "", ""), "cCANCEL1", "cINVITE1", 1))
			w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
			w.fra.reply(in, 487, "")
		}, 0},
		"no common media": {func(w *world, in *msg.Request) { w.fra.reply(in, 200, bad) }, 0},
		"never rings":     {func(w *world, in *msg.Request) { w.fra.reply(in, 100, "") }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var h *healthcheck.Checker
			run(t, func(c *Config) {
				h = checker(t)
				c.Outcome = h.Outcome
			}, func(w *world) {
				w.hops = w.hops[:1]
				ctx, cancel := context.WithCancel(w.t.Context())
				done := make(chan error, 1)
				go func() { done <- h.Run(ctx) }()
				defer func() { cancel(); <-done }()
				time.Sleep(10 * time.Second)
				w.carrier.invite("c", w.carrier.sdp)
				c.play(w, w.fra.request(msg.INVITE))
				time.Sleep(40 * time.Second)
				s := h.Table().ByParty["fra"]
				if len(s) != 1 || s[0].Calls.Calls != c.calls {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

package sip

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
	msg "github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// A BYE of an attempt that was given up is answered and touches nobody else's call.
// Conforms: RFC 3261 section 15.1.2
func TestByeOfAZombie(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("zbye", w.carrier.sdp)
		old := w.fra.request(msg.INVITE)
		w.fra.reply(old, 180, "")
		w.carrier.status(180)
		w.fra.reply(old, 503, "")
		w.fra.request(msg.ACK)
		in := w.zrh.request(msg.INVITE)
		w.zrh.reply(in, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.fra.inside(old, "BYE", 5, "")
		w.fra.status(200)
		w.fra.inside(old, "INFO", 6, "")
		w.fra.status(481)
		w.zrh.silent(time.Second)
		if v := w.edge.Calls(); len(v) != 1 || v[0].State != "up" {
			t.Errorf("%+v", v)
		}
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// Conforms: RFC 3261 section 9.2; RFC 6141 section 3.4
func TestCancelOfAReinvite(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("recancel")
		uri := ok.Contact().Address
		raw := w.carrier.compose("INVITE", uri.String(), "recancel", 2, ok.To().Params.GetOr("tag", ""), strings.Replace(w.carrier.sdp, "30000", "31000", 1))
		w.carrier.write(raw)
		re := w.fra.request(msg.INVITE)
		w.fra.reply(re, 180, "")
		synctest.Wait()
		cancel, _, _ := strings.Cut(strings.NewReplacer("INVITE "+uri.String(), "CANCEL "+uri.String(), "CSeq: 2 INVITE", "CSeq: 2 CANCEL").Replace(raw), "Contact:")
		w.carrier.write(cancel + "Content-Length: 0\r\n\r\n")
		w.carrier.status(200)
		res := w.carrier.status(487)
		w.carrier.write(reAck(w.carrier, ok, res, 2))
		w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
		w.fra.reply(re, 487, "")
		w.fra.request(msg.ACK)
		synctest.Wait()
		if len(w.edge.Calls()) != 1 {
			t.Fatal("the call did not outlive the CANCEL of its re-INVITE")
		}
		w.end(ok, 3)
	})
}

// A peer that knows no UPDATE gets a re-INVITE for one, and for our own refreshes; 491 is tried again.
// Conforms: RFC 3311 section 4
func TestPeerWithoutUpdate(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Refresh = 200 * time.Second }, func(w *world) {
		w.carrier.invite("noupdate", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.write(strings.Replace(rawReply(w.fra, in, 200, w.fra.sdp, "Session-Expires: 200;refresher=uac"), "CANCEL, UPDATE, PRACK", "CANCEL", 1))
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.carrier.within(ok, "UPDATE", 2, strings.Replace(w.carrier.sdp, "30000", "31000", 1))
		re := w.fra.request(msg.INVITE)
		w.fra.reply(re, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.carrier.status(200)
		refresh := w.fra.request(msg.INVITE)
		if string(refresh.Body()) != string(re.Body()) || value(refresh, "session-expires") != "200;refresher=uac" {
			t.Errorf("a refresh must repeat the description:\n%s", refresh)
		}
		w.fra.reply(refresh, 491, "")
		w.fra.request(msg.ACK)
		start := time.Now()
		refresh = w.fra.request(msg.INVITE)
		if took := time.Since(start); took < 2100*time.Millisecond || took > 4*time.Second { // we own the Call-ID: RFC 3261 section 14.1
			t.Errorf("again after %v", took)
		}
		w.fra.reply(refresh, 481, "")
		w.fra.request(msg.ACK)
		// The far end has forgotten the call: it ends.
		w.fra.reply(w.fra.request(msg.BYE), 481, "")
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.receipt()
	})
}

func rawReply(p *peer, req *msg.Request, status int, body string, more ...string) string {
	old := p.conn
	rec := &recorder{UDPConn: old}
	p.conn = rec
	p.reply(req, status, body, more...)
	p.conn = old
	return rec.last
}

// Media that B answers from a held place is refused: early or final, the call goes on to the next hop, and in the end on_hold speaks.
func TestAnswerFromAHeldPlace(t *testing.T) {
	for _, status := range []int{183, 200} {
		run(t, nil, func(w *world) {
			w.hops = w.hops[:1]
			w.carrier.invite("heldmedia", w.carrier.sdp)
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, status, testSDP("10.66.0.7", 30000))
			res := w.carrier.status(403)
			if got := value(res, "reason"); !strings.Contains(got, "policy") && !strings.Contains(got, "approval") {
				t.Errorf("Reason %q", got)
			}
			if status == 200 {
				w.fra.request(msg.ACK)
				w.fra.reply(w.fra.request(msg.BYE), 200, "")
			} else {
				w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
				w.fra.reply(in, 487, "")
			}
			r := w.receipt()
			if r.Overall != "refused_by_policy" || r.Attempts[0].Result != "media_403" {
				t.Errorf("%s %+v", r.Overall, r.Attempts)
			}
			for _, p := range w.packets {
				if p.To.Addr().String() == "10.66.0.7" {
					t.Error("a packet left for a held place")
				}
			}
		})
	}
}

// flakyLog cannot be written for a while.
type flakyLog struct {
	audit.Log
	down *atomic.Bool
}

func (l flakyLog) Append(ctx context.Context, e audit.Event) (uint64, error) {
	if l.down.Load() {
		return 0, audit.ErrLogDown
	}
	return l.Log.Append(ctx, e)
}

func (l flakyLog) AppendAsync(e audit.Event, done func(uint64, error)) {
	done(l.Append(context.Background(), e))
}

// A receipt waits until the log can be written again, and its intent stays open meanwhile.
func TestReceiptWaitsForTheLog(t *testing.T) {
	down := new(atomic.Bool)
	run(t, func(c *Config) { c.Log = flakyLog{c.Log, down} }, func(w *world) {
		ok, _ := w.up("flaky")
		down.Store(true)
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		time.Sleep(20 * time.Second)
		if n := len(entries[audit.Receipt](w, audit.KindReceipt)); n != 0 || len(w.intents.Open()) != 1 {
			t.Errorf("%d receipts, %d intents", n, len(w.intents.Open()))
		}
		down.Store(false)
		time.Sleep(time.Minute)
		if n := len(entries[audit.Receipt](w, audit.KindReceipt)); n != 1 || len(w.intents.Open()) != 0 {
			t.Errorf("%d receipts, %d intents", n, len(w.intents.Open()))
		}
	})
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	run(t, func(c *Config) { c.Metrics = reg }, func(w *world) {
		ok, _ := w.up("metrics")
		if err := testutil.GatherAndCompare(reg, strings.NewReader("# HELP cordon_sip_calls_active Calls that are live now.\n# TYPE cordon_sip_calls_active gauge\ncordon_sip_calls_active 1\n"), "cordon_sip_calls_active"); err != nil {
			t.Error(err)
		}
		w.end(ok, 2)
		const want = `# HELP cordon_sip_attempts_total Attempts on hops, by party and result.
# TYPE cordon_sip_attempts_total counter
cordon_sip_attempts_total{party="fra",result="200"} 1
# HELP cordon_sip_calls_total Calls that ended, by result: answered, refused, held, failed, cancelled.
# TYPE cordon_sip_calls_total counter
cordon_sip_calls_total{result="answered"} 1
`
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want), "cordon_sip_attempts_total", "cordon_sip_calls_total"); err != nil {
			t.Error(err)
		}
		if _, err := New(w.edge.c); err == nil {
			t.Error("two edges share one registry")
		}
	})
}

// Nobody is left to try, and nothing was held.
func TestNoHop(t *testing.T) {
	for route, want := range map[string]int{"": 404, "r": 480} {
		run(t, nil, func(w *world) {
			w.plan = func(routing.Request) routing.Plan { return routing.Plan{Route: route} }
			w.carrier.invite("nohop", w.carrier.sdp)
			w.carrier.status(want)
			w.receipt()
		})
	}
}

// A call from an edge group to a carrier: the receipt knows which side is which.
func TestOutbound(t *testing.T) {
	run(t, nil, func(w *world) {
		w.plan = func(r routing.Request) routing.Plan {
			return routing.Plan{Route: "out", Direction: routing.Outbound, Group: r.From, Hops: []routing.Hop{w.hop("carrier", carrierAddr)}}
		}
		w.fra.invite("outbound", w.fra.sdp)
		in := w.carrier.request(msg.INVITE)
		if got := in.Recipient.String(); got != "sip:+4930123@carrier.example" {
			t.Errorf("Request-URI %s", got)
		}
		w.carrier.reply(in, 200, w.carrier.sdp)
		w.carrier.request(msg.ACK)
		ok := w.fra.status(200)
		w.fra.within(ok, "ACK", 1, "")
		w.fra.within(ok, "BYE", 2, "")
		w.fra.status(200)
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		if r := w.receipt(); r.Direction != "outbound" || r.Trunk != "carrier" || r.EdgeGroup != "fra" {
			t.Errorf("%+v", r)
		}
	})
}

// The whole set-up has a limit, however many hops there are.
func TestSetupLimit(t *testing.T) {
	run(t, func(c *Config) { c.Parties[0].Within.Setup = 3 * time.Second }, func(w *world) {
		start := time.Now()
		w.carrier.invite("setup", w.carrier.sdp)
		w.carrier.status(408)
		if took := time.Since(start); took != 3*time.Second {
			t.Errorf("after %v", took)
		}
		w.receipt()
	})
}

// The law may close a way while it rings: the attempt is given up, and on_hold speaks.
func TestFencedWhileRinging(t *testing.T) {
	for _, answer := range []bool{false, true} {
		run(t, nil, func(w *world) {
			iad := w.granted()
			defer iad.conn.Close()
			w.carrier.invite("ringing", w.carrier.sdp)
			in := iad.request(msg.INVITE)
			iad.reply(in, 180, "")
			w.carrier.status(180)
			w.fence.Swap(testSnapshot(t))
			n := len(w.packets)
			if answer {
				iad.reply(in, 200, iad.sdp)
			}
			w.carrier.status(403)
			r := w.receipt()
			if r.Overall != "refused_by_policy" || r.Attempts[0].Result != "fenced" {
				t.Errorf("%s %+v", r.Overall, r.Attempts)
			}
			for _, p := range w.packets[n:] {
				if p.To.Addr() == iadAddr.Addr() {
					t.Errorf("a packet left after the grant was gone:\n%s", p.Data)
				}
			}
		})
	}
}

// A call under a grant says so in its receipt.
func TestGatedReceipt(t *testing.T) {
	run(t, nil, func(w *world) {
		iad := w.granted()
		defer iad.conn.Close()
		w.hops[0].Reason = routing.ReasonGatedFailover
		w.carrier.invite("gated", w.carrier.sdp)
		in := iad.request(msg.INVITE)
		iad.reply(in, 200, iad.sdp)
		iad.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		iad.reply(iad.request(msg.BYE), 200, "")
		r := w.receipt()
		if r.Overall != "compliant_by_gate" || r.GateDecision != "live" || r.RouteReason != "gated_failover" || r.Hops[1].Ground != "grant" {
			t.Errorf("%+v", r)
		}
	})
}

package sip

import (
	"strconv"
	"testing"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// asked plays a peer that refuses every INVITE of one attempt with what refuse says, and counts them until the caller has its answer.
func (w *world) asked(refuse func(n int, in *msg.Request)) (n int) {
	w.t.Helper()
	for n < 50 {
		r, ok := w.fra.read(time.Second).(*msg.Request)
		if !ok {
			break
		}
		if r.Method == msg.INVITE {
			n++
			refuse(n, r)
		}
	}
	return n
}

// A peer that asks for 100rel and then refuses it is sent no INVITE without end.
// Conforms: RFC 3261 section 21.4.16; RFC 3261 section 21.4.15
func TestAPeerThatAlternatesAboutAnExtensionIsAskedThreeTimes(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("alternates", w.carrier.sdp)
		n := w.asked(func(n int, in *msg.Request) {
			if n%2 == 1 {
				w.fra.reply(in, 421, "", "Require: 100rel")
			} else {
				w.fra.reply(in, 420, "", "Unsupported: 100rel")
			}
		})
		if n != 3 {
			t.Errorf("%d INVITEs", n)
		}
		w.carrier.status(480)
		w.receipt()
	})
}

// A peer that wants a little more each time is followed twice.
// Conforms: RFC 4028 section 7.3
func TestAPeerThatRaisesMinSEWithoutEndIsAskedThreeTimes(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("raises", w.carrier.sdp)
		n := w.asked(func(n int, in *msg.Request) { w.fra.reply(in, 422, "", "Min-SE: "+strconv.Itoa(3000+n)) })
		if n != 3 {
			t.Errorf("%d INVITEs", n)
		}
		w.carrier.status(480)
		w.receipt()
	})
}

// Who asks for another INVITE while it rings gets no second ring timer.
func TestARetryWinsNoTimeToRing(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Within.Ring = 20 * time.Second }, func(w *world) {
		w.carrier.invite("rings", w.carrier.sdp)
		w.hops = w.hops[:1]
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		start := time.Now()
		time.Sleep(15 * time.Second)
		w.fra.reply(in, 422, "", "Min-SE: 3000")
		w.fra.request(msg.ACK)
		in = w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
		if took := time.Since(start).Round(time.Second); took != 20*time.Second {
			t.Errorf("it rang for %v", took)
		}
		w.fra.reply(in, 487, "")
		w.fra.request(msg.ACK)
		w.carrier.status(180)
		for range 3 {
			if r, ok := w.carrier.read(time.Second).(*msg.Response); ok && r.StatusCode == 480 {
				w.receipt()
				return
			}
		}
		t.Error("the caller was not told that nobody answered")
	})
}

// The ACK of the last re-INVITEs alone is remembered, however many a call has.
// Conforms: RFC 3261 section 13.2.2.4
func TestACallRemembersItsLastTwoAcknowledgements(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("acks")
		for i := range 6 {
			w.carrier.within(ok, "INVITE", 2+i, testSDP(w.carrier.at.Addr().String(), 31000+10*i))
			re := w.fra.request(msg.INVITE)
			w.fra.reply(re, 200, w.fra.sdp)
			w.fra.request(msg.ACK)
			res := w.carrier.status(200)
			w.carrier.within(res, "ACK", 2+i, "")
			if i == 5 {
				w.fra.reply(re, 200, w.fra.sdp) // comes again, and is acknowledged again
				w.fra.request(msg.ACK)
			}
		}
		for _, s := range w.edge.shards {
			s.loop.Post(func() {
				for c := range s.calls {
					if len(c.b.acks) != 2 || len(c.a.acks) > 2 {
						t.Errorf("%d and %d acknowledgements are kept", len(c.a.acks), len(c.b.acks))
					}
				}
			})
		}
		w.end(ok, 9)
	})
}

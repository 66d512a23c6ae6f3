package sip

import (
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	msg "github.com/emiago/sipgo/sip"
)

// keepOff keeps back what is done away from the loops, but for the first few tasks, until it is let go; a test that fails must let it go, too.
func (w *world) keepOff(first int64) (let func()) {
	gate, c := make(chan struct{}), &w.edge.crew
	var taken atomic.Int64
	c.mu.Lock()
	defer c.mu.Unlock()
	for range 64 {
		next := make(chan func(), 1)
		c.idle = append(c.idle, next)
		go func() {
			f, ok := <-next
			if !ok {
				return
			}
			if taken.Add(1) > first {
				<-gate
			}
			f()
			c.busy.Add(-1)
		}()
	}
	return sync.OnceFunc(func() { close(gate) })
}

// seating brings the far end of one call into another one, until let go short of its ACK.
func (w *world) seating() (one, two consulted, re *msg.Request, let func()) {
	w.t.Helper()
	one, two, re = w.joining()
	let = w.keepOff(0)
	w.zrh.reply(re, 200, w.zrh.sdp)
	w.agentLeaves(one, two)
	return one, two, re, let
}

func moved(sdp string) string { return strings.Replace(sdp, "30000", "31000", 1) }

// Who stays moves its media while the far end that came over has no ACK yet, because its own media is not in force: the change waits for the ACK, and goes to the new
// far end then. A change that the new far end wants before its ACK is refused.
//
// Conforms: RFC 3261 section 14.1; no INVITE leaves in a dialog before the ACK of the one before.
// Conforms: RFC 3261 section 14.2; an INVITE in a dialog where ours is in progress is answered with 491.
func TestAChangeWaitsForTheACKOfWhoGoesOver(t *testing.T) {
	run(t, nil, func(w *world) {
		one, two, re, let := w.seating()
		defer let()
		w.zrh.silent(time.Second) // its ACK waits
		two.says(w.zrh, "INVITE", 1, moved(w.zrh.sdp))
		w.zrh.write(reAck(w.zrh, two.far, w.zrh.status(491), 2))
		one.says(w.carrier, "UPDATE", 1, moved(w.carrier.sdp))
		w.carrier.status(491)
		one.says(w.carrier, "INVITE", 2, moved(w.carrier.sdp))
		w.carrier.status(100)
		w.zrh.silent(time.Second)
		let()
		if ack := w.zrh.request(msg.ACK); ack.CSeq().SeqNo != re.CSeq().SeqNo {
			t.Errorf("ACK:\n%s", ack)
		}
		next := w.zrh.request(msg.INVITE)
		w.zrh.reply(next, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		w.carrier.status(200)
		one.says(w.carrier, "ACK", 2, "")
		two.says(w.zrh, "BYE", 2, "")
		w.zrh.status(200)
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.joinedAt("10.1.0.1:31000")
	})
}

// joinedAt is joined, for a caller whose media moved.
func (w *world) joinedAt(place string) {
	w.t.Helper()
	time.Sleep(time.Second)
	for _, r := range entries[audit.Receipt](w, audit.KindReceipt) {
		for _, h := range r.Hops {
			if h.Plane == "media" && h.RemoteAddr == place && len(r.Transfers) == 1 && r.Transfers[0].Result == "answered" {
				return
			}
		}
	}
	w.t.Errorf("no receipt of the call that stayed tells of %s", place)
}

// Who stays cancels what waits, or hangs up: nothing of it reaches the new far end, and everything is answered.
func TestAChangeThatWaitsForAnACKIsTakenBack(t *testing.T) {
	for name, bye := range map[string]bool{"by CANCEL": false, "by BYE": true} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				one, two, _, let := w.seating()
				defer let()
				one.says(w.carrier, "INVITE", 1, moved(w.carrier.sdp))
				w.carrier.status(100)
				if bye {
					one.says(w.carrier, "BYE", 2, "")
					w.zrh.request(msg.ACK)
					w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
				} else {
					raw := w.carrier.compose("CANCEL", one.far.Contact().Address.String(), one.id, 2, one.far.To().Params.GetOr("tag", ""), "")
					w.carrier.write(strings.Replace(raw, "branch=z9hG4bK"+one.id+"CANCEL", "branch=z9hG4bK"+one.id+"INVITE", 1))
				}
				for range 2 { // of the INVITE, and of what took it back
					if res, ok := w.carrier.read(time.Second).(*msg.Response); !ok || res.StatusCode != 200 && res.StatusCode != 487 {
						t.Errorf("%v", res)
					} else if res.StatusCode == 487 {
						w.carrier.write(reAck(w.carrier, one.far, res, 2))
					}
				}
				let()
				if !bye {
					w.zrh.request(msg.ACK)
					w.zrh.silent(time.Second)
					two.says(w.zrh, "BYE", 1, "")
					w.zrh.status(200)
					w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
				}
				w.zrh.silent(time.Second)
				w.carrier.silent(time.Minute)
			})
		})
	}
}

// Media puts a new far end in force, the target of a transfer or one that called us: neither who stays nor who leaves may change the session meanwhile, or the
// change would reach the one that is on its way out, and the new one would not come in.
func TestNoChangeWhileANewFarEndIsPutInForce(t *testing.T) {
	t.Run("the target of a transfer", func(t *testing.T) {
		run(t, nil, func(w *world) {
			w.numbers()
			ok, in := w.up("walks")
			w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
			w.fra.status(202)
			w.fra.notify("100 ", "active")
			inv := w.zrh.request(msg.INVITE)
			let := w.keepOff(0)
			defer let()
			w.zrh.reply(inv, 200, w.zrh.sdp)
			w.zrh.request(msg.ACK)
			w.bothRefused(ok, in)
			let()
			w.fra.notify("200 ", "terminated")
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.zrh.inside(inv, "BYE", 1, "")
			w.zrh.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			if r := w.receipt(); len(r.Transfers) != 1 || r.Transfers[0].Result != "answered" {
				t.Errorf("%+v", r.Transfers)
			}
		})
	})
	t.Run("one that called us", func(t *testing.T) {
		run(t, nil, func(w *world) {
			ok, in := w.up("called")
			let := w.keepOff(1) // its offer is read, and not in force
			defer let()
			tag := w.fra.tag
			w.fra.tag = "franew"
			w.fra.invite("pick", strings.Replace(w.fra.sdp, "30000", "30500", 1), ofCallee(in, tag))
			w.fra.status(100)
			synctest.Wait()
			w.fra.tag = tag
			w.bothRefused(ok, in)
			let()
			res := w.fra.status(200)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.fra.tag = "franew"
			w.fra.within(res, "ACK", 1, "")
			w.fra.within(res, "BYE", 2, "")
			w.fra.status(200)
			w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
			if r := w.receipt(); len(r.Transfers) != 1 || r.Transfers[0].Result != "answered" {
				t.Errorf("%+v", r.Transfers)
			}
		})
	})
}

// bothRefused lets both ends of a call ask for a change, which must wait.
func (w *world) bothRefused(ok *msg.Response, in *msg.Request) {
	w.t.Helper()
	w.carrier.within(ok, "INVITE", 2, moved(w.carrier.sdp))
	w.carrier.write(reAck(w.carrier, ok, w.carrier.status(491), 2))
	raw := w.fra.inside(in, "INVITE", 2, moved(w.fra.sdp))
	w.fra.status(491)
	head, _, _ := strings.Cut(strings.NewReplacer("INVITE sip", "ACK sip", "2 INVITE", "2 ACK").Replace(raw), "Contact:")
	w.fra.write(head + "Content-Length: 0\r\n\r\n")
}

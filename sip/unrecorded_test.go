package sip

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sip/digest"
	msg "github.com/emiago/sipgo/sip"
)

// ailingLog is healthy until it is told otherwise.
type ailingLog struct {
	audit.Log
	down *atomic.Bool
}

func (l ailingLog) Health() audit.Health {
	if l.down.Load() {
		return audit.Health{}
	}
	return l.Log.Health()
}

// What cannot be recorded is not put through, and that goes for a transfer, for a call that is taken over and for a message as for a call. With
// continue_with_gap all of them go on.
//
// Conforms: RFC 3515 section 2.4.4; why a transfer was not done is in the last NOTIFY.
func TestNothingIsPutThroughUnrecorded(t *testing.T) {
	for _, mode := range []string{"refuse", continueWithGap} {
		t.Run(mode, func(t *testing.T) {
			down := &atomic.Bool{}
			run(t, func(c *Config) { c.OnLogFailure, c.Log = mode, ailingLog{c.Log, down} }, func(w *world) {
				w.numbers()
				ok, in := w.up("unrecorded")
				down.Store(true)
				if mode == "refuse" {
					w.refusedUnrecorded(in)
				} else {
					w.continuedUnrecorded(in)
				}
				down.Store(false)
				w.end(ok, 2)
			})
		})
	}
}

// refusedUnrecorded tries all three while the log is down.
func (w *world) refusedUnrecorded(in *msg.Request) {
	w.t.Helper()
	w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
	w.fra.status(202)
	w.fra.notify("100 ", "active")
	if n := w.fra.notify("403 ", "terminated"); !strings.Contains(string(n.Body()), "cannot be recorded") {
		w.t.Errorf("fragment %s", n.Body())
	}
	w.fra.tag = "heir"
	w.fra.invite("heir", w.fra.sdp, ofCallee(in, "fratag"))
	res := w.fra.status(403)
	if !strings.Contains(value(res, "reason"), "cannot be recorded") {
		w.t.Errorf("\n%s", res)
	}
	w.fra.ack(res)
	w.fra.tag = "fratag"
	w.carrier.page("m", "text/plain", "hunter2")
	if res := w.carrier.status(403); !strings.Contains(value(res, "reason"), "cannot be recorded") {
		w.t.Errorf("\n%s", res)
	}
	w.fra.silent(time.Second)
	w.zrh.silent(time.Second)
}

// continuedUnrecorded does all three although the log is down.
func (w *world) continuedUnrecorded(in *msg.Request) {
	w.t.Helper()
	w.fra.inside(in, "REFER", 1, "", "Refer-To: <sip:+41200@x>")
	w.fra.status(202)
	w.fra.notify("100 ", "active")
	w.zrh.reply(w.zrh.request(msg.INVITE), 486, "")
	w.zrh.request(msg.ACK)
	w.fra.notify("486 ", "terminated")
	w.carrier.page("m", "text/plain", "hunter2")
	w.fra.reply(w.fra.request(msg.MESSAGE), 200, "")
	w.carrier.status(200)
	w.fra.tag = "heir"
	w.fra.invite("heir", w.fra.sdp, ofCallee(in, "fratag"))
	res := w.fra.status(200)
	w.fra.reply(w.fra.request(msg.BYE), 200, "")
	w.fra.within(res, "ACK", 1, "")
}

// A party that must show credentials shows them for its messages, too; they stay here.
//
// Conforms: RFC 3428 section 11.1; RFC 3261 section 22.2; a MESSAGE is challenged like any request.
func TestMessagesOfAGuardedPartyAreChallenged(t *testing.T) {
	guarded := func(c *Config) {
		partyOf(c, "carrier").Challenge = &Challenge{Realm: digest.Realm{Name: "messages", Users: map[string]func() string{"u": secret("p")}}}
	}
	run(t, guarded, func(w *world) {
		page := func(seq int, auth ...string) {
			raw := w.carrier.compose("MESSAGE", "sip:+4930123@edge.example", "m", seq, "", "hunter2", auth...)
			w.carrier.write(strings.Replace(raw, "application/sdp", "text/plain", 1))
		}
		page(1)
		res := w.carrier.status(401)
		w.fra.silent(time.Second)
		page(2, answer(t, res, &digest.Client{User: "u", Password: secret("p")}, "MESSAGE", "sip:+4930123@edge.example", "hunter2"))
		req := w.fra.request(msg.MESSAGE)
		if strings.Contains(req.String(), "uthorization") || string(req.Body()) != "hunter2" {
			t.Errorf("\n%s", req)
		}
		w.fra.reply(req, 200, "")
		w.carrier.status(200)
		if m := w.message(); m.SIPFinal != 200 {
			t.Errorf("%+v", m)
		}
	})
}

// An INVITE with Replaces is a new request of its party and shows credentials like one.
//
// Conforms: RFC 3891 section 3; who replaces a dialog is authenticated as its user would be.
func TestReplacesOfAGuardedPartyIsChallenged(t *testing.T) {
	guarded := func(c *Config) {
		partyOf(c, "fra").Challenge = &Challenge{Realm: digest.Realm{Name: "calls", Users: map[string]func() string{"u": secret("p")}}}
	}
	run(t, guarded, func(w *world) {
		ok, in := w.up("guarded")
		w.fra.tag = "heir"
		w.fra.invite("heir", w.fra.sdp, ofCallee(in, "fratag"))
		res := w.fra.status(401)
		w.fra.ack(res)
		auth := answer(t, res, &digest.Client{User: "u", Password: secret("p")}, "INVITE", "sip:+4930123@edge.example", w.fra.sdp)
		w.fra.write(w.fra.compose("INVITE", "sip:+4930123@edge.example", "heir", 2, "", w.fra.sdp, ofCallee(in, "fratag"), auth))
		yes := w.fra.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.fra.within(yes, "ACK", 2, "")
		w.end(ok, 2)
	})
}

package sip

import (
	"context"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
)

// noKeys is why a call is ended with whose side no keys could be made.
var noKeys = reason{"Q.850", 41, "no keys for media"}

// MediaUnkeyed logs that no keys could be made with a side, and then ends the call unless those from before are there: nothing would ever be heard. It is
// media.Config.Unkeyed; it does not block.
func (e *Edge) MediaUnkeyed(session string, u media.Unkeyed) {
	if c := e.live.of(session); c != nil {
		c.sh.loop.Post(func() { c.unkeyed(u) })
	}
}

// unkeyed runs on the loop. A call for help is never ended by us.
func (c *call) unkeyed(u media.Unkeyed) {
	l := c.a
	if u.Side == media.B {
		l = c.b
	}
	ref := c.ref.Load()
	if c.ended || ref == nil {
		return
	}
	ends := u.Bare && !c.emergency()
	ev := audit.MediaUnkeyed{CallRef: *ref, T: u.At, Leg: sideName(u.Side), Reason: u.Reason, Bare: u.Bare, Ends: ends}
	if l != nil {
		ev.Party = l.party.Name
	}
	e, session := c.sh.e, c.session()
	e.off(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.base), finality)
		defer cancel()
		if _, err := e.c.Log.Append(ctx, ev); err != nil {
			e.log.Warn("keys that could not be made could not be logged", "call", ev.CallRef, "session", session, "error", err)
		}
		if ends {
			c.sh.loop.Post(func() { c.insecure(l) })
		}
	})
}

// insecure ends a call one of whose sides has no keys, unless that side left the call meanwhile.
func (c *call) insecure(l *leg) {
	if l == nil || l == c.a || l == c.b {
		c.hangup(byEdge, noKeys)
	}
}

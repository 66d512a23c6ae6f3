package sip

import (
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/trace"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
)

// What a call tells its trace. Notes name parties, targets, regions and grounds, and nobody.

// tapped gives the transport its tap: the one of the configuration, the traces, or both.
func (c *Config) tapped() func(out bool, f transport.Flow, at time.Time, callID string, b []byte) {
	book, tap := c.Trace, c.Tap
	if book == nil && tap == nil {
		return nil
	}
	return func(out bool, f transport.Flow, at time.Time, callID string, b []byte) {
		if tap != nil {
			tap(out, f, b)
		}
		if book != nil {
			book.Tap(trace.Packet{At: at, Out: out, Proto: string(f.Proto()), Local: f.Local(), Remote: f.Remote(), CallID: callID, Text: b})
		}
	}
}

// traceID names the call in the book: the walk of a transfer belongs to the call that is transferred.
func (c *call) traceID() string {
	if c.via != nil {
		return c.via.c.id
	}
	return c.id
}

// traceLeg makes a leg's dialog known before anything is sent on it.
func (l *leg) traceLeg() {
	l.c.sh.e.c.Trace.Join(l.c.traceID(), trace.Leg{CallID: l.callID, Party: l.party.Name, Group: l.party.Kind == sovereign.KindGroup, Caller: l.side == media.A})
}

// traceName tells under which reference the call is found.
func (c *call) traceName(ref string) {
	if book := c.sh.e.c.Trace; book != nil {
		book.Name(c.id, ref, c.session())
	}
}

// traceRefused notes what the plan left out.
func (c *call) traceRefused() {
	if c.sh.e.c.Trace == nil {
		return
	}
	for _, x := range c.plan.Refused {
		c.traceSkip(refusedAttempt(x))
	}
}

// traceSkip notes a target that was never contacted, with its verdict.
func (c *call) traceSkip(a audit.Attempt) {
	book := c.sh.e.c.Trace
	if book == nil {
		return
	}
	result := ""
	if a.Result != "refused_by_policy" {
		result = ", " + a.Result
	}
	book.Note(c.traceID(), a.Party, " ", a.Target, " ", a.Region, " ", trace.Verdict(a.Verdict, a.Ground), result)
}

// traceAttempt notes where the next INVITE goes, and that it is a failover when another went before.
func (t *attempt) traceAttempt(a *audit.Attempt) {
	c := t.c
	book := c.sh.e.c.Trace
	if book == nil {
		return
	}
	word := "attempt: "
	for _, before := range c.tried[:t.record] {
		if !before.At.IsZero() {
			word = "failover: "
		}
	}
	comma, why := "", ""
	if t.hop.Reason != routing.ReasonPrimary && t.hop.Reason != "" {
		comma, why = ", ", string(t.hop.Reason)
	}
	book.Note(c.traceID(), word, a.Party, " ", a.Target, " ", a.Region, " ", trace.Verdict(a.Verdict, a.Ground), comma, why)
	t.leg.traceLeg()
}

// traceResult notes what came of an attempt.
func (t *attempt) traceResult(word string) {
	if book := t.c.sh.e.c.Trace; book != nil {
		book.Note(t.c.traceID(), t.hop.Party, " ", t.leg.target, ": ", word)
	}
}

// traceEnd notes how the call ended.
func (c *call) traceEnd(result string) {
	book := c.sh.e.c.Trace
	if book == nil || c.via != nil || c.page != nil {
		return
	}
	by := "the edge"
	switch c.endedBy {
	case byA:
		by = "the caller"
	case byB:
		by = "the callee"
	}
	book.End(c.id, c.session(), "ended by ", by, " with ", itoa(c.final), ", ", result)
}

package spans

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// traceOf makes the spans of one call: the call, one for each attempt, one for each transfer with its attempts, and the media. route may be empty.
//
// Ids come from the call alone, so what is sent twice is the same twice. What is about people stays behind: party references, targets (which may be the contact of
// a registered user), addresses, reasons in free text.
func traceOf(r audit.Receipt, route string) []span {
	b := builder{ref: r.CallRef, trace: traceIDOf(r.Session, r.CallRef)}
	call := b.add(nil, "call", kindServer, r.TInvite, r.TEnd)
	root := call.ID
	call.text("cordon.call_ref", r.CallRef)
	call.text("cordon.direction", r.Direction)
	call.text("cordon.purpose", r.Purpose)
	call.text("cordon.drill", r.Drill)
	call.text("cordon.trunk", r.Trunk)
	call.text("cordon.edge_group", r.EdgeGroup)
	call.text("cordon.route", route)
	call.text("cordon.route_reason", r.RouteReason)
	call.text("cordon.gate_decision", r.GateDecision)
	if a, ok := decisive(r.Attempts); ok {
		ruled(call, a)
	}
	call.text("cordon.overall", r.Overall)
	call.text("cordon.policy_digest", r.PolicyDigest)
	call.int("cordon.sip.status", int64(r.Outcome.SIPFinal))
	call.text("cordon.ended_by", r.Outcome.EndedBy)
	if r.Outcome.Q850 != 0 {
		call.int("cordon.q850", int64(r.Outcome.Q850))
	}
	call.Status = statusOf(r.Outcome.SIPFinal)
	b.attempts(root, r.TInvite, r.Attempts)
	for _, t := range r.Transfers {
		b.transfer(root, t)
	}
	b.media(root, r)
	return b.spans
}

// traceIDOf is the caller's half of the Session-ID, RFC 7989 section 4.1: 32 hex digits. Without one, or with the nil UUID, it is made of the call's reference.
func traceIDOf(session, ref string) (id traceID) {
	uuid, _, _ := strings.Cut(session, ";")
	if n, err := hex.Decode(id[:], []byte(uuid[:min(len(uuid), 2*len(id))])); err == nil && n == len(id) && len(uuid) == 2*n && id != (traceID{}) {
		return id
	}
	sum := sha256.Sum256([]byte(ref))
	return traceID(sum[:16])
}

type builder struct {
	ref   string
	trace traceID
	spans []span
}

// add gives a span that may be changed until the next one is added. A span never ends before it starts.
func (b *builder) add(parent *spanID, name string, kind int, start, end time.Time) *span {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", b.ref, len(b.spans)))
	if end.Before(start) {
		end = start
	}
	b.spans = append(b.spans, span{Trace: b.trace, ID: spanID(sum[:8]), Parent: parent, Name: name, Kind: kind, Start: nanos(start), End: nanos(end)})
	return &b.spans[len(b.spans)-1]
}

// attempts adds the targets. One that was never contacted stands at the moment since, without length.
func (b *builder) attempts(parent spanID, since time.Time, list []audit.Attempt) {
	for _, a := range list {
		start := a.At
		if start.IsZero() {
			start = since
		}
		s := b.add(&parent, "attempt", kindClient, start, start.Add(millis(a.TookMS)))
		s.text("cordon.party", a.Party)
		ruled(s, a)
		s.text("cordon.result", a.Result)
		s.text("cordon.fallback", a.Fallback)
		s.text("cordon.drill", a.Drill)
		s.float("cordon.took_ms", a.TookMS)
		switch code, err := strconv.Atoi(a.Result); {
		case err == nil:
			s.int("cordon.sip.status", int64(code))
			s.Status = statusOf(code)
		case a.Result != "cancelled" && !a.At.IsZero():
			s.Status.Code = statusError // silent, icmp, refused, lost: it was sent and nothing came of it
		}
	}
}

func (b *builder) transfer(parent spanID, t audit.Transfer) {
	s := b.add(&parent, "transfer", kindInternal, t.T, t.T.Add(millis(t.TookMS)))
	id := s.ID
	s.text("cordon.party", t.Party)
	s.text("cordon.how", t.How)
	s.text("cordon.route", t.Route)
	s.text("cordon.gate_decision", t.GateDecision)
	s.text("cordon.result", t.Result)
	s.int("cordon.sip.status", int64(t.SIPFinal))
	s.Status = statusOf(t.SIPFinal)
	b.attempts(id, t.T, t.Attempts)
}

// media adds what was heard, from the answer on; early media of a call without one counts from its beginning.
func (b *builder) media(parent spanID, r audit.Receipt) {
	if len(r.Outcome.Quality) == 0 {
		return
	}
	start := r.TAnswer
	if start.IsZero() {
		start = r.TInvite
	}
	s := b.add(&parent, "media", kindInternal, start, r.TEnd)
	for _, q := range r.Outcome.Quality {
		leg := "cordon.media." + q.Leg + "."
		s.int(leg+"packets", int64(q.Packets))
		s.int(leg+"lost", q.Lost)
		s.float(leg+"jitter_ms", q.JitterMS)
		if q.MOS > 0 {
			s.float(leg+"mos", q.MOS)
		}
	}
}

// decisive is the attempt that the call as a whole stands for: the last that was contacted, or the first that was not.
func decisive(list []audit.Attempt) (audit.Attempt, bool) {
	for i := len(list) - 1; i >= 0; i-- {
		if !list[i].At.IsZero() {
			return list[i], true
		}
	}
	if len(list) == 0 {
		return audit.Attempt{}, false
	}
	return list[0], true
}

// ruled writes where a target lies and what the law and the policy say of it.
func ruled(s *span, a audit.Attempt) {
	s.text("cordon.region", a.Region)
	s.text("cordon.country", a.Country)
	s.text("cordon.verdict", a.Verdict)
	s.text("cordon.ground", a.Ground)
}

// statusOf calls an error what a server or a network did. A busy or wrong number (4xx, 6xx) is an outcome.
func statusOf(code int) status {
	if code >= 500 && code < 600 {
		return status{Code: statusError}
	}
	return status{}
}

func millis(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

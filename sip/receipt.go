package sip

import (
	"strconv"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
)

// finish frees the media, writes the call's records and closes its intent: once, when the call has ended and was prepared.
func (c *call) finish() {
	e := c.sh.e
	s := e.sheets.take()
	c.receipt(s) // on the loop, where the call's state may be read
	c.shortRecord(s)
	s.call, s.names, s.session = c, c.names(), c.media.Load()
	if c.synth != nil {
		r := c.result(s.rec.CallRef)
		s.result = &r
	}
	if c.b != nil && !c.answer.IsZero() && !c.alone(c.b) {
		s.target, s.drill = c.b.target, c.plan.Drill
	}
	if s.session != nil {
		s.report, s.closed = s.session.TryClose()
	}
	e.off(s.kept.complete)
}

// close frees what is left of the media, adds what it counted and writes the records. It may block.
func (s *sheet) close() {
	e, synth := s.call.sh.e, s.call.synth
	switch {
	case s.closed:
	case s.session != nil:
		s.report = s.session.Close()
	case synth != nil:
		s.report, s.result.Tone = synth.close(s.rec.TInvite)
		s.result.Report = s.report
	}
	e.rated(s.target, s.drill, &s.report)
	if e.c.Carried != nil {
		e.c.Carried(s.rec.CallRef, &s.report)
	}
	s.mediaHops(e, &s.report, s.names)
	s.ended.Quality = s.rec.Outcome.Quality
	s.keep()
	s.record(e)
}

// over lets the call go: nobody looks at its records any more.
func (s *sheet) over() {
	c, result := s.call, s.result
	if s.session != nil {
		result = nil // nobody waits for it
	}
	e := c.sh.e
	s.forget()
	e.sheets.give(s)
	e.live.remove(c)
	if result != nil {
		c.synth.done <- *result
	}
}

// receipt is what the call knows of itself; media comes later.
func (c *call) receipt(s *sheet) {
	trunk, group := c.sides()
	r := &s.rec
	*r = audit.Receipt{
		CallRef: *c.ref.Load(), Direction: string(c.plan.Direction), Purpose: c.plan.Purpose.String(), Drill: c.plan.Drill,
		TInvite: c.start, TAnswer: c.answer, TEnd: c.end, Trunk: trunk, EdgeGroup: group, RouteReason: string(routing.ReasonPrimary),
		Hops: s.hops[:0], Attempts: c.attempts(s.attempts[:0]), Packets: s.kept.packets, Moves: append([]audit.Move{}, c.moves...),
		Recording:    audit.RecordingState{Required: c.plan.Recording},
		Session:      c.session(),
		Outcome:      audit.Outcome{SIPFinal: c.final, EndedBy: c.endedBy, Cause: c.cause, Q850: c.q850, Quality: s.quality[:0]},
		PolicyDigest: c.plan.Digest, Generation: c.plan.Generation,
	}
	if r.Direction == "" {
		r.Direction = string(routing.Inbound)
		if c.party.Kind == sovereign.KindGroup {
			r.Direction = string(routing.Outbound)
		}
	}
	if len(c.refs) > 0 {
		r.PartyA = c.refs[0]
	}
	if len(c.refs) > 1 {
		r.PartyB = c.refs[1]
	}
	if c.reason != "" {
		r.RouteReason, r.GateDecision = string(c.reason), c.grant
	}
	if c.emergency() {
		r.RouteReason = string(routing.ReasonEmergency)
	}
	r.Transfers, r.Struck = append([]audit.Transfer(nil), c.transfers...), c.struck.record()
	for _, f := range c.former {
		r.Hops = append(r.Hops, f.hop)
	}
	if c.a != nil {
		signallingHop(s.hop(), s, "a", c.a)
	}
	if c.b != nil {
		signallingHop(s.hop(), s, "b", c.b)
	}
	r.Overall, r.Announced = c.overall(), c.notice().record()
	if of := c.sh.e.c.Incident; of != nil {
		r.Incident = of(r)
	}
}

// attempts lists every target in order, in the room of out: what was tried, then what the plan left out.
func (c *call) attempts(out []audit.Attempt) []audit.Attempt {
	out = append(out, c.tried...)
	for i := range out {
		if out[i].Result == "" {
			out[i].Result = "cancelled"
		}
	}
	for _, x := range c.plan.Refused {
		out = append(out, refusedAttempt(x))
	}
	return out
}

// refusedAttempt is one target that a plan left out.
func refusedAttempt(x routing.Refused) audit.Attempt {
	return audit.Attempt{
		Party: x.Party, Target: x.Target, Region: x.Ruling.Region.String(), Country: string(x.Ruling.Country), Verdict: x.Ruling.Verdict.String(),
		Ground: string(x.Ground), Result: "refused_by_policy",
	}
}

// formerLeg is a leg that was replaced, as it stood when it left.
type formerLeg struct {
	hop    audit.ReceiptHop
	ruling *sovereign.Ruling
}

// overall sums the rulings of the legs up. Media may worsen it. A call without a far end was refused by policy only where the policy is why it was not carried: one that a
// lawful far end declined, or whose caller hung up before it answered, is as the law wants it, and what was left out of its plan stands in its attempts.
func (c *call) overall() string {
	if c.b == nil && len(c.former) == 0 {
		if c.denied {
			return "refused_by_policy"
		}
		return "compliant" // nothing left for anywhere that was not permitted
	}
	var room [4]*sovereign.Ruling
	rulings := room[:0]
	for _, f := range c.former {
		rulings = append(rulings, f.ruling)
	}
	for _, l := range [...]*leg{c.a, c.b} {
		if l != nil {
			rulings = append(rulings, l.ruling)
		}
	}
	gated := false
	for _, r := range rulings {
		if !r.Permitted() {
			return "violation"
		}
		gated = gated || r.Ground == sovereign.GroundGrant
	}
	if gated {
		return "compliant_by_gate"
	}
	return "compliant"
}

// signallingHop writes what is known of a leg into h, which is blank, in the room of s, which may be nil.
func signallingHop(h *audit.ReceiptHop, s *sheet, name string, l *leg) {
	ruledHop(h, s, "signalling", name, l.ruling)
	h.Operator = l.c.sh.e.operatorOf(s, l.ruling)
	h.RemoteAddr, h.RemoteName = l.flow.Remote().String(), l.farName()
	if d := l.shortest(); d > 0 {
		bound(h, d)
	}
	if id := l.identity(); id != nil {
		h.TLS = &audit.TLSSeen{Version: id.Version, Suite: id.Suite, PeerSPKI: id.SPKI}
		if n := l.proven(); n != "" {
			h.Evidence = append(h.Evidence, audit.Evidence{Kind: "tls_identity", Value: n, Result: "supports"})
		}
	}
	if f := l.c.sh.e.c.Evidence; f != nil {
		h.Evidence = append(h.Evidence, f(l.party.Name, l.flow.Remote().Addr())...)
	}
}

// operatorOf names who runs the place of a ruling, and where the region's operator has its seat. Nil when nobody said.
func (e *Edge) operatorOf(s *sheet, r *sovereign.Ruling) *audit.Operator {
	o := audit.Operator{Name: r.Place.Operator, HQ: s.seat(e.c.Fence.Snapshot(), r.Region)}
	if o == (audit.Operator{}) {
		return nil
	}
	return s.operator(o)
}

// seatOf looks up where the operator of a region has its seat. snap may be nil.
func seatOf(snap *sovereign.Snapshot, r sovereign.Region) string {
	if snap != nil {
		if f, ok := snap.Catalogue().Lookup(r); ok {
			return string(f.OperatorHQ)
		}
	}
	return ""
}

// bound notes a round trip and how far away that lets the far end be: light in fibre makes about 200 km per ms one way.
func bound(h *audit.ReceiptHop, rtt time.Duration) {
	h.RTTMinMS = ms(rtt)
	h.MaxDistanceKM = h.RTTMinMS * 100
	var room [64]byte
	far := append(strconv.AppendFloat(room[:0], h.RTTMinMS, 'f', 1, 64), " ms: at most "...)
	far = append(strconv.AppendFloat(far, h.MaxDistanceKM, 'f', 0, 64), " km away"...)
	// A bound alone neither proves nor disproves a place: that takes a second vantage point.
	h.Evidence = append(h.Evidence, audit.Evidence{Kind: "rtt_bound", Value: string(far), Result: "silent"})
}

// farName is what the far end is called in records: what it proved, or what it was called by.
func (l *leg) farName() string {
	if n := l.proven(); n != "" {
		return n
	}
	return l.name
}

// names are the far ends of both legs.
func (c *call) names() (n [2]string) {
	for i, l := range []*leg{c.a, c.b} {
		if l != nil {
			n[i] = l.farName()
		}
	}
	return n
}

// ruledHop fills in what a ruling knows. The far end of every leg reads what we send it, so each hop is a termination.
func ruledHop(h *audit.ReceiptHop, s *sheet, plane, leg string, r *sovereign.Ruling) {
	h.Plane, h.Leg, h.Role = plane, leg, "terminates_plaintext"
	h.DeclaredRegion, h.DeclaredCountry, h.Contract = s.region(r.Region), string(r.Country), r.Place.Contract
	h.Verdict, h.Ground, h.Instrument, h.Proof = string(r.Standing), string(r.Ground), r.Instrument, string(r.Proof)
	if h.Verdict == "" {
		h.Verdict = string(sovereign.StandingUnknown)
	}
	h.Evidence = s.evidence()
	if r.Place.Contract != "" {
		h.Evidence = append(h.Evidence, audit.Evidence{Kind: "declared", Value: r.Place.Contract, Result: "supports"})
	}
}

// mediaHops adds what media counted.
func (s *sheet) mediaHops(e *Edge, rep *media.Report, names [2]string) {
	r := &s.rec
	for i := range rep.Former {
		f := &rep.Former[i]
		s.mediaHop(e, &f.Report, sideName(f.Side), "", f.Until)
	}
	for i, name := range []string{"a", "b"} {
		s.mediaHop(e, &rep.Sides[i], name, names[i], time.Time{})
	}
	for _, m := range rep.Moves {
		if m.From.IsValid() || !m.Allowed {
			r.Moves = append(r.Moves, receiptMove(m))
		}
	}
}

// mediaHop adds what media counted of one far end. until is when it left the call, zero for one that stayed to its end.
func (s *sheet) mediaHop(e *Edge, m *media.SideReport, name, remote string, until time.Time) {
	if !m.Remote.IsValid() {
		return
	}
	r := &s.rec
	h := s.hop()
	ruledHop(h, s, "media", name, m.Ruling)
	h.Operator = e.operatorOf(s, m.Ruling)
	h.RemoteAddr, h.RemoteName, h.Until = m.Remote.String(), remote, until
	if f := e.c.MediaEvidence; f != nil {
		h.Evidence = append(h.Evidence, f(m.Party, m.Remote.Addr())...)
	}
	h.SRTP = s.protection(audit.SRTPSeen{Suite: string(m.Suite), Keying: "SDES"})
	fax := m.Fax.RxPackets + m.Fax.TxPackets
	switch {
	case m.Suite == "":
		h.SRTP.Keying, h.SRTP.Cleartext = "none", true
	case fax > 0: // there is no SRTP for UDPTL
		h.SRTP.Cleartext = true
	}
	// What RTCP says of the round trip rests on the far end's word (DLSR, RFC 3550 section 6.4.1): it is a figure of quality and bounds no place.
	for country, n := range m.PerCountry {
		r.Packets[string(country)] += n
	}
	r.Outcome.Quality = append(r.Outcome.Quality, legQuality(name, m))
	switch {
	case m.RxPackets+m.TxPackets+fax == 0:
	case !m.Ruling.Permitted():
		r.Overall = "violation"
	case m.Ruling.Ground == sovereign.GroundGrant && r.Overall == "compliant":
		r.Overall = "compliant_by_gate"
	}
}

func receiptMove(m media.Move) audit.Move {
	out := audit.Move{T: m.At, Plane: "media", To: m.To.String(), Cause: m.Cause, Allowed: m.Allowed, Ground: string(m.Ruling.Ground)}
	if m.From.IsValid() {
		out.From = m.From.String()
	}
	return out
}

// shortRecord is the short record of the call.
func (c *call) shortRecord(s *sheet) {
	r, n := &s.rec, 0
	for _, a := range c.tried {
		if !a.At.IsZero() {
			n++
		}
	}
	s.ended = audit.CallEnded{
		CallRef: r.CallRef, Trunk: r.Trunk, Group: r.EdgeGroup, Route: c.plan.Route, SIPFinal: c.final, EndedBy: c.endedBy, Cause: c.cause, Q850: c.q850,
		Session: r.Session, Attempts: n, Announced: r.Announced,
	}
	if !c.answer.IsZero() {
		s.ended.SetupMS, s.ended.TalkMS = ms(c.answer.Sub(c.start)), ms(c.end.Sub(c.answer))
	}
}

// flowWord names a transport for people.
func flowWord(f transport.Flow) string { return string(f.Proto()) + " " + f.Remote().String() }

// result is what a synthetic caller is told.
func (c *call) result(ref string) SyntheticResult {
	out := SyntheticResult{CallRef: ref, Status: c.final, Ended: c.end, EndedBy: c.endedBy}
	for _, a := range c.tried {
		out.Hops = append(out.Hops, a.Target+" "+a.Result)
	}
	if !c.answer.IsZero() {
		out.Setup = c.answer.Sub(c.start)
		if c.b != nil {
			out.Party = c.b.party.Name
		}
	}
	return out
}

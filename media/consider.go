package media

import (
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// consider reads d as what a side says of itself: which line is relayed, under which key, and whether the fence lets packets go to its
// addresses. audio is the line of the offer that d answers, or -1 when d is an offer. It runs under s.mu and changes nothing but the log of
// moves.
func (s *Session) consider(side Side, d *description, audio int, cause string) (*remote, *Refusal) {
	return s.weigh(end{side, s.cfg[side], s.legs[side].Load()}, d, audio, cause)
}

// end is one far end as its descriptions are read: the one that a side has, or one that is to take its place.
type end struct {
	side Side
	cfg  *Leg
	l    *leg // nil while it has none
}

// weigh is consider for one end.
func (s *Session) weigh(e end, d *description, audio int, cause string) (*remote, *Refusal) {
	answer := audio >= 0
	if answer {
		if audio >= len(d.lines) {
			return nil, refuse(399, "the answer has fewer media lines than the offer")
		}
	} else {
		var ref *Refusal
		if audio, ref = e.cfg.pick(d, e.l); ref != nil {
			return nil, ref
		}
	}
	rem := d.remote()
	*rem = remote{line: d.lines[audio], audio: audio, lines: d.lines}
	if rem.line.port == 0 {
		rem.off = true
		return rem, nil
	}
	if rem.line.kind == kindImage || answer && e.l.layout[audio].kind == kindImage {
		if ref := e.faxed(rem, answer); ref != nil {
			return nil, ref
		}
		return rem, s.admit(e, rem, cause)
	}
	if ref := e.ices(rem, answer); ref != nil {
		return nil, ref
	}
	if ref := e.keyed(rem, answer); ref != nil {
		return nil, ref
	}
	if rem.line.fault != nil {
		return nil, rem.line.fault
	}
	var room [usualTimings]timing
	clocks := rem.line.clocks(room[:0])
	if rem.line.codec(clocks) == "" {
		return nil, refuse(305, "no audio format that the relay knows the clock of")
	}
	if ref := e.fitting(rem, clocks, answer); ref != nil {
		return nil, ref
	}
	if answer {
		// RFC 5761 section 5.1.1: mux only when both said so.
		rem.line.mux = rem.line.mux && e.l.layout[audio].mux
		rem.told = e.l.layout[audio].dir
	}
	return rem, s.admit(e, rem, cause)
}

// fitting takes away the formats that the side may not offer, or that it was not offered.
func (e end) fitting(rem *remote, clocks timings, answer bool) *Refusal {
	if !answer {
		return e.cfg.codecs().incoming(&rem.line)
	}
	if offer := &e.l.layout[rem.audio]; offer.port != 0 {
		return rem.line.within(clocks, offer)
	}
	return nil
}

// pick chooses the line of an offer: the one in use, else the first audio whose profile suits the leg, else a fax. Some peers offer SAVP and AVP side
// by side.
func (l *Leg) pick(d *description, now *leg) (int, *Refusal) {
	if now != nil && now.remote != nil {
		return l.refax(d, now.remote)
	}
	first, best := -1, -1
	for i := range d.lines {
		p := &d.lines[i]
		if !p.audio() {
			continue
		}
		if p.port == 0 {
			continue
		}
		if first < 0 {
			first = i
		}
		if best < 0 && l.suits(p) {
			best = i
		}
	}
	switch {
	case best >= 0:
		return best, nil
	case first >= 0 && (l.Security == SRTPOptional || l.Security == SRTPBestEffort):
		return first, nil
	case first >= 0:
		return 0, refuse(302, "this side takes "+l.only()+" only")
	}
	return l.pickFax(d)
}

// suits says whether a line is what the leg would rather have than any other.
func (l *Leg) suits(p *line) bool {
	switch l.Security {
	case Plain:
		return !p.secure() && !p.tls()
	case DTLS:
		return p.tls()
	}
	return p.secure()
}

// only is the profile of a leg that takes no other.
func (l *Leg) only() string {
	switch l.Security {
	case Plain:
		return protoAVP
	case DTLS:
		return protoTLS
	}
	return protoSAVP
}

// keyed checks the profile of the line and finds the peer's key.
func (e end) keyed(rem *remote, answer bool) *Refusal {
	cfg, l := e.cfg, e.l
	p := &rem.line
	switch {
	case !p.audio():
		return refuse(302, "no audio over a transport that the relay carries")
	case answer && (p.secure() != l.layout[rem.audio].secure() || p.tls() != l.layout[rem.audio].tls()):
		return refuse(302, "the answer has another profile than the offer")
	case p.tls():
		return e.shakes(rem, answer)
	case cfg.Security == DTLS:
		return refuse(302, "this side takes "+protoTLS+" only")
	case p.secure() && cfg.Security == Plain:
		return refuse(302, "this side takes RTP/AVP only")
	case !p.secure() && cfg.Security == SRTPRequired:
		return refuse(302, "this side takes RTP/SAVP only")
	case !p.secure() && !e.opportune(rem, answer):
		return nil
	case !cfg.keys():
		return refuse(399, "SDES keys are not taken over a hop without TLS")
	}
	if answer {
		return rem.answered(l.layout[rem.audio].crypto)
	}
	c, ok := e.choose(p)
	switch {
	case ok:
		rem.key = &c
	case p.secure():
		return refuse(399, "no crypto suite in common")
	}
	return nil
}

// opportune says whether a line of RTP/AVP has keys that count: RFC 8643 section 3. An answer has them only where they were offered, and then they must be right.
func (e end) opportune(rem *remote, answer bool) bool {
	if e.cfg.Security != SRTPBestEffort || !e.cfg.keys() || len(rem.line.crypto) == 0 {
		return false
	}
	return !answer || len(e.l.layout[rem.audio].crypto) > 0
}

// choose takes one of the keys of an offer.
func (e end) choose(p *line) (crypto, bool) {
	l := e.l
	c, ok := e.cfg.choose(p.crypto)
	if l == nil {
		return c, ok
	}
	if was := l.audible(); was != nil && was.key != nil {
		// A re-offer keeps the suite in use as long as it is still offered: so do our key and its rollover counter.
		for _, o := range p.crypto {
			if o.suite == was.key.suite {
				return o, true
			}
		}
	}
	return c, ok
}

// answered takes the one crypto line of an answer; it must have tag and suite of one that was offered, RFC 4568 section 5.1.3.
func (r *remote) answered(offered []crypto) *Refusal {
	if len(r.line.crypto) != 1 {
		return refuse(399, "an answer has exactly one crypto line")
	}
	c := r.line.crypto[0]
	for _, o := range offered {
		if c.suite != "" && o.tag == c.tag && o.suite == c.suite {
			r.key = &c
			return nil
		}
	}
	return refuse(399, "the answered crypto line was not offered")
}

// admit has the addresses judged.
func (s *Session) admit(e end, rem *remote, cause string) *Refusal {
	if rem.iced { // by ICE what a description says is a hint: what counts is judged when it is nominated
		s.hinted(e, rem)
		return nil
	}
	if rem.line.hold {
		return nil
	}
	bind, _ := s.r.address(e.cfg)
	if bind.Is4() != rem.line.addr.Addr().Is4() && !(bind.IsUnspecified() && bind.Is6()) {
		return refuse(301, "the relay has no address of this family for this side")
	}
	var ref *Refusal
	if rem.pass, ref = s.judge(e, rem.line.addr, cause); ref != nil {
		return ref
	}
	if !rem.line.mux && !rem.line.fax() {
		rem.rtcp, ref = s.judge(e, rem.line.rtcp, cause)
	}
	return ref
}

// finishing is the pass of a leg whose place was closed and that is let finish where it is, and go nowhere else: a new one is not to be had. nil: it is not.
func (l *leg) finishing(to netip.AddrPort) *sovereign.Pass {
	if l == nil || l.remote == nil {
		return nil
	}
	for _, p := range [...]*sovereign.Pass{l.remote.pass, l.remote.rtcp} {
		if p != nil && p.Addr() == to && p.Live(time.Time{}) && p.Ruling().Ground == sovereign.GroundRunning {
			return p
		}
	}
	return nil
}

// judge asks the fence for one address of a side.
func (s *Session) judge(e end, to netip.AddrPort, cause string) (*sovereign.Pass, *Refusal) {
	if pass := e.l.finishing(to); pass != nil {
		return pass, nil
	}
	ask := sovereign.Ask{Party: e.cfg.Party, Plane: sovereign.Media, Purpose: e.cfg.Purpose, Addr: to, Began: time.Now().UnixNano()}
	pass, ruling := s.r.pass(ask)
	if pass != nil {
		return pass, nil
	}
	kept := ruling // of its own: what permits is not to cost a copy
	s.moved(Move{Side: e.side, At: time.Now(), To: to, Cause: cause, Ruling: &kept})
	return nil, &Refusal{Status: 403, Warning: 399, Text: "media address is not permitted", Ruling: ruling}
}

// pass has an address weighed and then judged.
func (r *Relay) pass(a sovereign.Ask) (*sovereign.Pass, sovereign.Ruling) {
	if f := r.cfg.Weigh; f != nil {
		if against := f(a); against != nil {
			return nil, *against
		}
	}
	return r.cfg.Fence.Pass(a)
}

// hinted tells of the candidates of a far end: one of them is likely to be nominated, and whether packets may go there had better be known by then.
func (s *Session) hinted(e end, rem *remote) {
	f := s.r.cfg.Reached
	if f == nil || rem.line.web == nil {
		return
	}
	for _, c := range rem.line.web.ice.Candidates {
		f(e.cfg.Party, c.Addr.Addr(), false)
	}
}

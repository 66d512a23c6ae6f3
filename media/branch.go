package media

// Branch is the B side of one attempt that shares the time with others: sockets and keys of its own, which nobody hears unless it is in force. Its methods may be
// called from anywhere.
type Branch struct {
	s    *Session
	x    *exchange // A's offer, and what came of it here
	l    *leg
	up   bool // it is in force, or was when the session ended
	over bool // dropped
}

// Branch is Offer from A for an attempt beside another one: the B side that is there stays in force. The error is a *Refusal for whatever must be told.
func (s *Session) Branch(sdp []byte, to Leg) (*Branch, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, out, err := s.branch(sdp, to)
	return b, out, s.refused(err)
}

func (s *Session) branch(sdp []byte, to Leg) (*Branch, []byte, error) {
	if s.end != nil {
		return nil, nil, errClosed
	}
	if err := s.r.check(&to); err != nil {
		return nil, nil, err
	}
	d, ref := parseSDP(sdp)
	if ref != nil {
		return nil, nil, ref
	}
	rem, ref := s.consider(A, &d, -1, "offer")
	if ref != nil {
		return nil, nil, ref
	}
	if s.legs[A].Load() == nil {
		if err := s.start(A, true); err != nil {
			return nil, nil, err
		}
	}
	l, err := s.sockets(B, to)
	if err != nil {
		return nil, nil, err
	}
	offered, ref := s.relayed(rem, l, true)
	if ref != nil {
		l.close()
		return nil, nil, ref
	}
	return &Branch{s: s, x: &exchange{from: A, rem: rem, to: l}, l: l}, l.write(offered), nil
}

// sockets makes a leg that is not in force.
func (s *Session) sockets(side Side, to Leg) (*leg, error) {
	s.beside = true
	s.Informs(side, to.Informs)
	l, err := newLeg(s, side, &to, true)
	if err != nil {
		s.r.cfg.Logger.Warn("media: no sockets for a leg", "session", s.id, "err", err)
		return nil, &Refusal{Status: 503, Warning: 399, Text: errNoPort.Error()}
	}
	return l, nil
}

// Take puts the branch in force: Answer from B is its answer from now on. A branch that was in force before is silent, and can be taken again by its own answer
// until it is dropped. The B side of an attempt that stood alone is given back, for Drop; nil without one.
func (b *Branch) Take() *Branch {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if b.over || b.s.end != nil {
		return nil
	}
	return b.take()
}

func (b *Branch) take() (alone *Branch) {
	s := b.s
	if now := s.open; now != nil && now.from == A {
		b.x.rem = now.rem // A may have said something newer meanwhile
	}
	old := s.legs[B].Load()
	s.seats(B, b.l)
	if old != nil && old != b.l {
		s.r.plane.Mute(old.ref)
		if s.seat == nil || s.seat.l != old {
			alone = &Branch{s: s, l: old}
		}
	}
	if s.seat != nil {
		s.seat.up = false
	}
	s.seat, b.up = b, true
	s.cfg[B], s.open = b.l.cfg, b.x
	return alone
}

// Hear takes the answer to the offer of the branch and puts it in force when it can be used. It gives the answer for A, and like Take what is to be dropped. The
// error is a *Refusal; the session then is as it was.
func (b *Branch) Hear(answer []byte) (toA []byte, alone *Branch, err error) {
	if alone, err = b.admit(answer); err != nil {
		return nil, nil, err
	}
	toA, err = b.s.Answer(B, answer)
	return toA, alone, err
}

// admit takes the branch if its answer can be used.
func (b *Branch) admit(answer []byte) (*Branch, error) {
	s := b.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.over || s.end != nil {
		return nil, errOver
	}
	d, ref := parseSDP(answer)
	if ref == nil {
		_, ref = s.weigh(end{B, b.l.cfg, b.l}, &d, b.x.rem.audio, "answer")
	}
	if ref != nil {
		return nil, s.refused(ref)
	}
	return b.take(), nil
}

// Drop gives the branch up, in force or not: its sockets and keys go. It may wait. Of the branch that won nobody calls it: that is the session's.
func (b *Branch) Drop() {
	s := b.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.over {
		return
	}
	b.over = true
	if s.legs[B].CompareAndSwap(b.l, nil) {
		s.open = nil
	}
	if b.up && s.end != nil {
		return // it went with the session
	}
	b.l.close()
	s.r.mu.Lock()
	s.r.past.leg(int(B), b.l)
	s.r.mu.Unlock()
}

// Meet puts the branch in force for a far end that did not take its offer but made one of its own: the two offers, A's and this one, answer each other. It gives
// the answers for the far end and for A, and like Take what is to be dropped. The error is a *Refusal; the session then is as it was.
func (b *Branch) Meet(offer []byte) (toB, toA []byte, alone *Branch, err error) {
	s := b.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if b.over || s.end != nil {
		return nil, nil, nil, errOver
	}
	d, ref := parseSDP(offer)
	if ref != nil {
		return nil, nil, nil, s.refused(ref)
	}
	rem, ref := s.weigh(end{B, b.l.cfg, b.l}, &d, -1, "offer")
	if ref != nil {
		return nil, nil, nil, s.refused(ref)
	}
	offered := &b.l.layout[b.x.rem.audio]
	if rem.off || b.x.rem.off || !rem.line.only(rem.line.shared(offered)) || rem.line.speech() == "" {
		return nil, nil, nil, s.refused(refuse(305, "no format in common with the caller"))
	}
	alone = b.take()
	a, asked := s.legs[A].Load(), b.x.rem
	if a.remote != nil && !a.remote.off && len(a.layout) > a.remote.audio {
		a.stale = a.loses(&rem.line)
	}
	if err := s.agree(a, b.x, rem, "answer"); err != nil {
		return nil, nil, alone, err
	}
	b.x.answered = true
	toB = b.l.concede(rem, asked)
	toA = a.concede(asked, rem)
	return toB, toA, alone, nil
}

// concede answers the offer of one far end with what another one offered: what both take, in the directions that both wish. RFC 3264 section 6.1.
func (l *leg) concede(offer, other *remote) []byte {
	out := other.line.as(&offer.line)
	mine, theirs := offer.toward(), other.toward()
	out.dir, out.hold = directed(theirs.sends() && mine.receives(), theirs.receives() && mine.sends()), false
	lines := make([]line, 0, len(offer.lines))
	for i := range offer.lines {
		lines = append(lines, offer.lines[i].declined())
	}
	lines[offer.audio] = l.reply(offer, &remote{line: out})
	l.formats = out.formats
	return l.write(lines)
}

package media

import (
	"errors"
	"slices"
	"time"
)

// Replacement puts another far end in the place of one side of a running session: a transfer. The new far end has sockets and keys of its own from the
// beginning; the old one goes on being heard until Commit, and for good when the replacement is dropped. Nothing of the other side changes: its ports, its
// keys, its streams with their SSRCs and rollover counters stay. Its methods are for one goroutine at a time, like those of the session.
type Replacement struct {
	s     *Session
	e     end
	rem   *remote // what the new far end said, judged
	offer *remote // what rem answers: what the side that stays agreed to. nil: rem is an offer of its own
	over  bool    // committed or dropped
}

var errOver = errors.New("media: the replacement is over")

// Replace begins to replace `side` and gives the offer for the new far end: what the side that stays has agreed to, and nothing more, so that it need not be
// asked. The error is a *Refusal for whatever must be told.
func (s *Session) Replace(side Side, to Leg) (*Replacement, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replace(side, to, nil)
}

// replace makes the offer for a new far end; o is nil, or what that one was told before.
func (s *Session) replace(side Side, to Leg, o *Origin) (*Replacement, []byte, error) {
	r, stay, err := s.replacement(side, to)
	if err != nil {
		return nil, nil, s.refused(err)
	}
	r.offer = s.agreed(1-side, stay)
	if l := r.e.l; o != nil {
		l.id, l.version, l.sum, l.proto, l.layout = o.id, o.version, o.sum, o.proto, o.layout
		r.offer.lines, r.offer.audio = o.lines, o.audio
		l.learn(&o.lines[o.audio])
		l.learn(&o.layout[o.audio])
	}
	lines, ref := s.relayed(r.offer, r.e.l, false)
	if ref == nil && r.offer.off {
		ref = refuse(304, "the far end that stays has no audio")
	}
	if ref != nil {
		r.e.l.close()
		return nil, nil, s.refused(ref)
	}
	return r, r.e.l.write(lines), nil
}

// Receive is Replace for a new far end that makes the offer itself. The answer for it comes from Commit.
func (s *Session) Receive(side Side, to Leg, offer []byte) (*Replacement, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, stay, err := s.replacement(side, to)
	if err != nil {
		return nil, s.refused(err)
	}
	if ref := r.take(offer, -1); ref != nil {
		r.e.l.close()
		return nil, s.refused(ref)
	}
	have := s.agreed(1-side, stay)
	if have.off || r.rem.off || !have.line.only(have.line.shared(&r.rem.line)) || have.line.speech() == "" {
		r.e.l.close()
		return nil, s.refused(refuse(305, "no format in common with the far end that stays"))
	}
	return r, nil
}

// replacement opens the leg of a new far end beside the one that is in use.
func (s *Session) replacement(side Side, to Leg) (*Replacement, *leg, error) {
	stay := s.legs[1-side].Load()
	switch {
	case s.end != nil:
		return nil, nil, errClosed
	case stay != nil && stay.remote != nil && stay.remote.line.fax():
		return nil, nil, refuse(304, "a fax is under way")
	case stay == nil || stay.remote == nil || s.legs[side].Load() == nil:
		return nil, nil, errors.New("media: nothing is established that could be replaced")
	}
	if err := s.r.check(&to); err != nil {
		return nil, nil, err
	}
	l, err := s.sockets(side, to)
	if err != nil {
		return nil, nil, err
	}
	return &Replacement{s: s, e: end{side, l.cfg, l}}, stay, nil
}

// agreed is what a side has agreed to, as an offer to somebody else: its own last description, with the formats that were answered. It is offered as a
// stream in both directions unless this side itself asked for less; that the other far end held the call, as a transferor does, is over with it.
func (s *Session) agreed(side Side, l *leg) *remote {
	have := *l.remote
	have.line.attrs, have.line.formats = slices.Clone(have.line.attrs), slices.Clone(have.line.formats)
	if s.open == nil || s.open.from != side || !s.open.answered {
		have.line.dir, have.line.hold = sendrecv, false
		return &have
	}
	kept := have.line
	if len(l.formats) > 0 && kept.only(l.formats) {
		have.line = kept
	}
	return &have
}

// take reads and judges what the new far end says of itself. Nothing is sent there before Commit.
func (r *Replacement) take(sdp []byte, audio int) *Refusal {
	d, ref := parseSDP(sdp)
	if ref != nil {
		return ref
	}
	r.rem, ref = r.s.weigh(r.e, &d, audio, "refer")
	return ref
}

// Hear takes the new far end's answer, early or final, and has its address judged; a later one counts. The error is a *Refusal.
func (r *Replacement) Hear(answer []byte) error {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.over || r.s.end != nil {
		return errOver
	}
	if ref := r.take(answer, r.offer.audio); ref != nil {
		r.rem = nil
		return r.s.refused(ref)
	}
	if r.rem.off || r.rem.line.speech() == "" {
		r.rem = nil
		return r.s.refused(refuse(304, "the new far end takes no audio"))
	}
	return nil
}

// Patch is what Commit leaves to say.
type Patch struct {
	Answer []byte // for a new far end that made an offer
	Offer  []byte // for the side that stays, whose answer goes to Settle; nil when nothing changed for it
}

// Commit puts the new far end in force and frees the old one, whose counters go to Report.Former. It must not be called while an offer is open.
func (r *Replacement) Commit() (Patch, error) {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.over || s.end != nil || r.rem == nil {
		r.drop()
		return Patch{}, errOver
	}
	if s.open != nil && !s.open.answered {
		r.drop()
		return Patch{}, s.refused(&Refusal{Status: 491, Warning: 399, Text: "another offer is open"})
	}
	side := r.e.side
	stay, old := s.legs[1-side].Load(), s.legs[side].Load()
	have := s.agreed(1-side, stay)
	spoken := r.rem.line
	told := &spoken // the answer is in numbers of the offer
	if r.offer != nil {
		told = &r.e.l.layout[r.offer.audio]
	} else if !spoken.only(spoken.shared(&have.line)) {
		r.drop()
		return Patch{}, s.refused(refuse(305, "no format in common with the far end that stays"))
	}
	if r.offer != nil {
		converts(stay, r.e.l, &have.line, &r.rem.line)
	} else {
		converts(r.e.l, stay, &r.rem.line, &have.line)
	}
	if err := r.e.l.commit(r.rem, across(nil, told, &r.rem.line, &stay.remote.line), spoken.speech(), "refer"); err != nil {
		r.drop()
		return Patch{}, err
	}
	r.over = true
	s.cfg[side] = r.e.cfg
	s.seats(side, r.e.l)
	s.retire(side, old)
	if err := stay.renumber(&r.rem.line); err != nil {
		return Patch{}, err
	}
	return r.patch(stay, have, spoken), nil
}

// patch says what must still be told, and to whom.
func (r *Replacement) patch(stay *leg, have *remote, spoken line) Patch {
	s, side := r.s, r.e.side
	p := Patch{}
	rem := *r.rem
	rem.line = spoken
	if r.offer == nil {
		answer := *have
		answer.line = answer.line.as(&spoken)
		answer.line.dir = mirror(rem.toward())
		if have.line.dir != sendrecv {
			answer.line.dir = have.line.dir
		}
		lines := make([]line, 0, len(r.rem.lines))
		for i := range r.rem.lines {
			lines = append(lines, r.rem.lines[i].declined())
		}
		lines[r.rem.audio] = r.e.l.reply(r.rem, &answer)
		r.e.l.formats = lines[r.rem.audio].formats
		p.Answer = r.e.l.write(lines)
	}
	at := stay.remote.audio
	if r.e.l.informed() && !r.e.l.dialling.agreed {
		have.line = have.line.without() // they are converted, and stay
	}
	same := at < len(stay.layout) && stay.layout[at].dir == rem.toward() && len(have.line.shared(&spoken)) == len(have.line.formats)
	s.open = &exchange{from: side, rem: r.rem, to: stay, answered: true}
	if same {
		return p
	}
	rem.audio = at
	rem.lines = stay.remote.lines
	lines, ref := s.relayed(&rem, stay, false)
	if ref != nil {
		return p // it was agreed before: what it has stays
	}
	s.open = &exchange{from: side, rem: &rem, to: stay}
	p.Offer = stay.write(lines)
	return p
}

// Settle takes the answer of the side that stays to Patch.Offer. When it refused, Session.Rollback leaves it as it was.
func (r *Replacement) Settle(answer []byte) error {
	s := r.s
	s.mu.Lock()
	defer s.mu.Unlock()
	stay := s.legs[1-r.e.side].Load()
	if s.end != nil || s.open == nil || s.open.answered || s.open.to != stay {
		return errOver
	}
	d, ref := parseSDP(answer)
	if ref != nil {
		return s.refused(ref)
	}
	rem, ref := s.consider(stay.side, &d, stay.remote.audio, "reinvite")
	if ref != nil {
		return s.refused(ref)
	}
	s.open.answered = true
	if rem.off {
		stay.silence(rem)
		return nil
	}
	converts(r.e.l, stay, &r.e.l.remote.line, &rem.line)
	clocks := across(nil, &stay.layout[stay.remote.audio], &rem.line, &r.e.l.remote.line)
	if err := stay.commit(rem, clocks, rem.line.speech(), "reinvite"); err != nil {
		return err
	}
	return r.e.l.renumber(&rem.line)
}

// retire closes the leg that was replaced and keeps what it counted.
func (s *Session) retire(side Side, old *leg) {
	old.close()
	f := Former{Side: side, Until: time.Now(), Report: old.report()}
	if len(s.former) < maxFormer {
		s.former = append(s.former, f)
	}
	s.r.mu.Lock()
	s.r.past.leg(int(side), old)
	s.r.mu.Unlock()
}

// maxFormer bounds what transfers can make a session remember.
const maxFormer = 16

// Former is a far end that was replaced, with what was counted until then.
type Former struct {
	Side   Side
	Until  time.Time
	Report SideReport
}

// Drop gives the new far end up: its sockets and keys go, the session is as it was. After Commit it does nothing.
func (r *Replacement) Drop() {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	r.drop()
}

func (r *Replacement) drop() {
	if !r.over {
		r.over = true
		r.e.l.close()
	}
}

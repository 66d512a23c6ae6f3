package media

import (
	"errors"
	"slices"
)

// Change is what a new description of one side changes of the session.
type Change uint8

// The changes, each larger than the one before.
const (
	Same      Change = iota // a refresh: nothing that the relay knows of
	Direction               // hold or resume; the other side needs to be told nothing
	Address                 // addresses or keys, and perhaps the direction: the other side's description stays as it is
	Formats                 // formats, profile or media lines, or something that the other side must hear of
)

// Compare says what a further offer of side from would change of what it said last. It changes nothing. Formats stands for all that cannot be told, too: a
// description that cannot be read, a side that said nothing yet.
func (s *Session) Compare(from Side, offer []byte) Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, o := s.legs[from].Load(), s.legs[1-from].Load()
	if s.end != nil || l == nil || o == nil || l.remote == nil || o.remote == nil || l.remote.off || o.remote.off {
		return Formats
	}
	d, ref := parseSDP(offer)
	if ref != nil || len(d.lines) != len(l.remote.lines) {
		return Formats
	}
	for i := range d.lines {
		now, was := &d.lines[i], &l.remote.lines[i]
		if now.kind != was.kind || now.proto != was.proto || (now.port == 0) != (was.port == 0) || !slices.Equal(now.formats, was.formats) {
			return Formats
		}
	}
	return l.compare(&d.lines[l.remote.audio], o)
}

// compare is Compare for the line that is relayed.
func (l *leg) compare(now *line, o *leg) Change {
	was := &l.remote.line
	told := o.layout[o.remote.audio].dir
	renewed := (l.remote.iced || was.tls()) && now.web.fresh(was.web)
	if l.remote.iced { // its default address means nothing
		there := *now
		there.hold, there.addr, there.rtcp, there.fault = false, was.addr, was.rtcp, nil
		now = &there
	}
	switch next := (&remote{line: *now}).toward(); {
	case now.fault != nil || !slices.Equal(now.attrs, l.remote.lines[l.remote.audio].attrs) || now.mux != was.mux || !told.covers(next):
		return Formats
	case renewed:
		return Address
	case !now.hold && !was.hold && (now.addr != was.addr || now.rtcp != was.rtcp), !slices.EqualFunc(now.crypto, was.crypto, crypto.same):
		return Address
	case now.dir != was.dir || now.hold != was.hold:
		return Direction
	}
	return Same
}

// covers says that who was told d by us needs not be told next: whatever next sends or receives, d did.
func (d direction) covers(next direction) bool {
	return (d.sends() || !next.sends()) && (d.receives() || !next.receives())
}

// sends says whether the owner of d sends packets.
func (d direction) sends() bool { return d == sendrecv || d == sendonly }

// directed is the direction of who sends and receives so.
func directed(sends, receives bool) direction {
	switch {
	case sends && receives:
		return sendrecv
	case sends:
		return sendonly
	case receives:
		return recvonly
	}
	return inactive
}

// Reoffer takes a further offer of side from and answers it here, without the other side: with the formats that both sides agreed on, and the direction that
// the other side's wish allows (RFC 3264 section 6.1). The other side is told nothing. Every new address is judged. The error is a *Refusal when a format in
// use is not among the offered ones; the session then stays as it was. It does not block.
func (s *Session) Reoffer(from Side, offer []byte) ([]byte, error) {
	b, err := s.reoffer(from, offer)
	return b, s.refused(err)
}

func (s *Session) reoffer(from Side, offer []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l, o := s.legs[from].Load(), s.legs[1-from].Load()
	switch {
	case s.end != nil:
		return nil, errClosed
	case l == nil || o == nil || l.remote == nil || o.remote == nil || l.remote.off || o.remote.off:
		return nil, errors.New("media: a further offer before the first answer")
	case s.open != nil && !s.open.answered:
		return nil, &Refusal{Status: 491, Warning: 399, Text: "another offer is open"}
	}
	d, ref := parseSDP(offer)
	if ref != nil {
		return nil, ref
	}
	rem, ref := s.consider(from, &d, -1, "reinvite")
	if ref != nil {
		return nil, ref
	}
	lines := make([]line, 0, len(d.lines))
	for i := range d.lines {
		lines = append(lines, d.lines[i].declined())
	}
	if rem.line.fax() || l.remote.line.fax() || o.remote.line.fax() {
		return s.reofferFax(l, o, rem, lines)
	}
	told := l.layout[l.remote.audio]
	out := told.as(&rem.line)
	in := o.remote.line
	if rem.off || !in.only(o.agreed()) || !out.only(out.shared(&in)) || out.speech() == "" {
		return nil, refuse(305, "no format in use is offered")
	}
	converts(l, o, &rem.line, &in)
	if err := l.commit(rem, across(nil, &rem.line, &told, &in), out.speech(), "reinvite"); err != nil {
		return nil, err
	}
	if err := o.renumber(&rem.line); err != nil {
		return nil, err
	}
	if s.open != nil && s.open.from == from {
		s.open.rem = rem // an answer of another fork, later, is for the newest offer
	}
	want := rem.toward()
	out.dir, out.hold = directed(o.remote.wantsToSend() && want.receives(), o.remote.wantsToReceive() && want.sends()), false
	lines[rem.audio] = l.reply(rem, &remote{line: out})
	return l.write(lines), nil
}

// agreed are the formats in use with the far end of l, in its numbers: those that it named and that we named to it.
func (l *leg) agreed() []string { return l.remote.line.shared(&l.layout[l.remote.audio]) }

// loses says that a format in use with the far end of l is not among those of by.
func (l *leg) loses(by *line) bool {
	in := l.remote.line
	if o := l.s.legs[1-l.side].Load(); o != nil && o.informed() {
		in = in.without() // they are converted
	}
	return in.only(l.agreed()) && len(in.shared(by)) < len(in.formats)
}

// wantsToSend says whether a side would send if the other one did not ask it not to: an answer that was not free to say so does not count.
func (r *remote) wantsToSend() bool { return r.line.dir.sends() || r.told != "" && !r.told.receives() }

// wantsToReceive is the same of receiving. A hold by the unspecified address receives nothing.
func (r *remote) wantsToReceive() bool {
	return !r.line.hold && (r.line.dir.receives() || r.told != "" && !r.told.sends())
}

// Widen lets the next attempt offer all that A offered, also what A's early answer left out. Who calls it tells A of a change: see Stale.
func (s *Session) Widen() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.legs[A].Load(); l != nil {
		l.formats = nil
	}
}

// Stale says that A may still send formats of an earlier answer that the last one left out: A must be offered the session anew.
func (s *Session) Stale() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.legs[A].Load()
	return l != nil && l.stale
}

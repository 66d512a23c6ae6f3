package media

import "slices"

// Origin is what a far end was told of its session so far. Who is taken over into another session is told the next version of it there: its own session stays one,
// with the media lines that it has. RFC 3264 section 8.
type Origin struct {
	id, version, sum uint64
	proto            string
	layout, lines    []line // told to it, and said by it
	audio            int
}

// Origin gives that of one side. False: nothing was agreed with it.
func (s *Session) Origin(side Side) (Origin, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.legs[side].Load()
	if s.end != nil || l == nil || l.remote == nil || l.remote.off || l.remote.line.fax() {
		return Origin{}, false
	}
	return Origin{
		id: l.id, version: l.version, sum: l.sum, proto: l.proto,
		layout: copied(l.layout), lines: copied(l.remote.lines), audio: l.remote.audio,
	}, true
}

// Adopt is Replace for a far end that is in another session, of which o is its side: it is offered to go on in this one, from other sockets under other keys.
func (s *Session) Adopt(side Side, to Leg, o Origin) (*Replacement, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.replace(side, to, &o)
}

// copied are lines that share no memory with those of the session that they come from, which the next call gets.
func copied(lines []line) []line {
	out := slices.Clone(lines)
	for i := range out {
		l := &out[i]
		l.formats, l.attrs, l.crypto = slices.Clone(l.formats), slices.Clone(l.attrs), slices.Clone(l.crypto)
		for j := range l.crypto {
			l.crypto[j].key, l.crypto[j].mki = slices.Clone(l.crypto[j].key), slices.Clone(l.crypto[j].mki)
		}
	}
	return out
}

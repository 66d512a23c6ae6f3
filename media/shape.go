package media

import (
	"slices"
	"sync"

	"github.com/cordonsip/cordon/sovereign"
)

// shapes are how sides must look, each kept once: the calls of a party want few, and one for each call would be a tenth of the memory of a session.
type shapes struct {
	mu   sync.Mutex
	last map[shapeKey]*Leg
}

type shapeKey struct {
	party, member string
	purpose       sovereign.Purpose
	informs       bool
}

// of gives what l says, in memory that nobody changes.
func (s *shapes) of(l *Leg) *Leg {
	key := shapeKey{l.Party, l.Member, l.Purpose, l.Informs}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.last[key]; known != nil && known.same(l) {
		return known
	}
	kept := *l
	if s.last == nil || len(s.last) >= maxShapes {
		s.last = map[shapeKey]*Leg{}
	}
	s.last[key] = &kept
	return &kept
}

// maxShapes bounds what is kept: of parties that are gone, too.
const maxShapes = 1024

// same says whether two legs look the same, field by field.
func (l *Leg) same(o *Leg) bool {
	return l.Party == o.Party && l.Member == o.Member && l.Purpose == o.Purpose && l.Security == o.Security && slices.Equal(l.Suites, o.Suites) && l.Codecs.same(&o.Codecs) &&
		l.Drilled == o.Drilled && l.Digits == o.Digits && l.Informs == o.Informs && l.Feedback == o.Feedback && l.T38 == o.T38 && l.Mux == o.Mux && l.ICE == o.ICE && l.Secure == o.Secure &&
		l.InsecureLab == o.InsecureLab && l.Bind == o.Bind && l.Advertise == o.Advertise && slices.Equal(l.Prefixes, o.Prefixes)
}

func (c *Codecs) same(o *Codecs) bool {
	return slices.Equal(c.Allow, o.Allow) && slices.Equal(c.Deny, o.Deny) && slices.Equal(c.Prefer, o.Prefer)
}

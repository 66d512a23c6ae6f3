package sovereign

// bounded gives s with the same grants and the same overlay in the policy that has a say, too, and takes s itself.
func (s *Snapshot) bounded() *Snapshot {
	w := s.cfg.Within
	if w == nil {
		return s
	}
	inner := *w
	inner.memory = &memory{}
	inner.cfg.Within = nil // one bound: what is accepted is whole
	inner.cfg.Grants, inner.cfg.Suspended, inner.cfg.Generation = s.cfg.Grants, s.cfg.Suspended, s.cfg.Generation
	inner.cfg.Contradicted, inner.contradicted = s.cfg.Contradicted, s.contradicted
	inner.cfg.Leaves, inner.cfg.Severed = s.cfg.Leaves, s.cfg.Severed
	inner.factsDigest = inner.cfg.factsDigest()
	s.cfg.Within = &inner
	return s
}

// Within gives the policy that has a say beside the one of s, or nil.
func (s *Snapshot) Within() *Snapshot { return s.cfg.Within }

// digest is PolicyDigest; nothing of no snapshot.
func (s *Snapshot) digest() string {
	if s == nil {
		return ""
	}
	return s.policyDigest
}

// within gives the stricter of two answers to one question. Of two permits the one that rests on people or on an emergency is the stricter: its grant is spent, and
// both must go on permitting.
func (r Ruling) within(o Ruling) Ruling {
	until := earlier(r.Until, o.Until)
	if o.Verdict < r.Verdict || o.Verdict == Permit && r.Verdict == Permit && resting(o.Ground) > resting(r.Ground) {
		r = o
	}
	if r.Verdict == Permit {
		r.Until = until
	}
	return r
}

// resting orders permits by what they rest on beside the law.
func resting(g Ground) int {
	switch g {
	case GroundRunning:
		return 3
	case GroundGrant:
		return 2
	case GroundEmergency:
		return 1
	}
	return 0
}

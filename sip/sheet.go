package sip

import (
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

// sheet is the room that the records of one call take, in one piece: what an ordinary call leaves behind, two legs and their media, finds its place in
// it, and more of anything a place of its own. A nil sheet has no room.
type sheet struct {
	rec      audit.Receipt
	ended    audit.CallEnded
	hops     [4]audit.ReceiptHop
	attempts [2]audit.Attempt
	quality  [2]audit.LegQuality
	srtp     [2]audit.SRTPSeen
	operated [4]audit.Operator
	proven   [4][3]audit.Evidence
	regions  [2]struct {
		region sovereign.Region
		name   string
	}
	srtps, operators, proofs int // how many are taken
}

// evidence is an empty list of what speaks for the place of a hop.
func (s *sheet) evidence() []audit.Evidence {
	if s == nil || s.proofs == len(s.proven) {
		return []audit.Evidence{}
	}
	s.proofs++
	return s.proven[s.proofs-1][:0]
}

func (s *sheet) operator(o audit.Operator) *audit.Operator {
	if s == nil || s.operators == len(s.operated) {
		other := o
		return &other
	}
	s.operators++
	at := &s.operated[s.operators-1]
	*at = o
	return at
}

func (s *sheet) protection(p audit.SRTPSeen) *audit.SRTPSeen {
	if s.srtps == len(s.srtp) {
		other := p
		return &other
	}
	s.srtps++
	at := &s.srtp[s.srtps-1]
	*at = p
	return at
}

// region writes a region, once for all hops that lie in it.
func (s *sheet) region(r sovereign.Region) string {
	if s == nil || r.IsZero() {
		return r.String()
	}
	for i := range s.regions {
		at := &s.regions[i]
		if at.name == "" {
			at.region, at.name = r, r.String()
		}
		if at.region == r {
			return at.name
		}
	}
	return r.String()
}

package gate

import (
	"fmt"

	"github.com/cordonsip/cordon/approval"
)

// entry finds a basis of the catalogue by its id or by its word. What is not registered cannot be relied on: free text is refused.
func (s *settings) entry(word string) (*approval.Basis, error) {
	for i := range s.bases {
		if b := &s.bases[i]; word == b.ID || word == b.Word() {
			return b, nil
		}
	}
	return nil, approval.Refuse(approval.RuleBasis, fmt.Sprintf("%.80q is no legal basis of the catalogue", word), "register it under legal_bases with its document first: free text is no basis")
}

// rest puts the catalogue's entry into a plan that names one.
func (s *settings) rest(p approval.Plan) (approval.Plan, error) {
	p.Basis = nil
	if p.LegalBasis == "" {
		return p, nil
	}
	b, err := s.entry(p.LegalBasis)
	if err != nil {
		return p, err
	}
	p.LegalBasis, p.Basis = b.Word(), b
	return p, nil
}

// BasisGone says whether the basis of an open ticket is not in the catalogue any more as people approved it.
func (g *Gate) BasisGone(t approval.Ticket) bool {
	if t.Plan.Basis == nil {
		return false
	}
	b, err := g.settings.Load().entry(t.Plan.Basis.Word())
	if err != nil {
		return true
	}
	now := t.Plan
	now.Basis = b
	return now.Hash() != t.Plan.Hash()
}

// Bearable says what keeps a ticket on a basis, as plans name it, from being approved; nothing when the rules want none or it is complete.
func (g *Gate) Bearable(basis string) []string {
	s := g.settings.Load()
	if !s.rules.NeedBasis {
		return nil
	}
	if basis == "" {
		return []string{"no legal basis is registered for the party"}
	}
	b, err := s.entry(basis)
	if err != nil {
		return []string{"its legal basis is not in the catalogue"}
	}
	return b.Lacks(g.clock.now())
}

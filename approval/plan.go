package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cordonsip/cordon/internal/jcs"
)

const (
	maxList = 256  // entries of one list of a plan
	maxText = 4000 // bytes of one text

	// art49Max bounds a grant on a derogation of GDPR Art. 49: it is for the single occasion.
	art49Max = 24 * time.Hour
)

// Hash is the lower-case hex SHA-256 over the RFC 8785 form of the plan. A missing list and an empty one are the same plan. A plan that has no
// canonical form (a number that JSON cannot tell from its neighbours) gives the empty string, which no ticket carries.
func (p Plan) Hash() string {
	data, err := jcs.Marshal(p.filled())
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// filled is a copy of p in which every list is there.
func (p Plan) filled() Plan {
	p.Scope = p.Scope.clone()
	p.Failed = filled(p.Failed)
	p.Alternatives = filled(p.Alternatives)
	p.Grounds = filled(p.Grounds)
	p.Change = p.Change.clone()
	return p
}

func (s Scope) clone() Scope {
	s.Trunks, s.Groups, s.Regions = filled(s.Trunks), filled(s.Groups), filled(s.Regions)
	return s
}

// filled is a copy of list that is never nil.
func filled[T any](list []T) []T { return append(make([]T, 0, len(list)), list...) }

// Same says whether two scopes let the same traffic through, whatever their quota.
func (s Scope) Same(o Scope) bool {
	return s.Country == o.Country && slices.Equal(s.Trunks, o.Trunks) && slices.Equal(s.Groups, o.Groups) && slices.Equal(s.Regions, o.Regions)
}

// Proposal is p as people will sign it: sorted lists, and the quota and the length of the grant written out, so that nobody approves a default.
func (r Rules) Proposal(p Plan) (Plan, error) {
	p = p.filled()
	if p.Change != nil {
		return charterProposal(p)
	}
	for what, list := range map[string]*[]string{"trunks": &p.Scope.Trunks, "edge groups": &p.Scope.Groups, "regions": &p.Scope.Regions} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
		if len(*list) == 0 || slices.Contains(*list, "") {
			return p, &Refusal{RuleScope, "the scope names no " + what, "name them: an empty list means nothing, never everything"}
		}
	}
	if p.Scope.MaxCalls == 0 {
		p.Scope.MaxCalls = r.MaxCalls
	}
	if p.GrantFor == 0 {
		p.GrantFor = r.GrantFor
	}
	if p.Scope.MaxCalls < 0 || p.GrantFor < 0 {
		return p, &Refusal{RulePlan, "the quota or the length of the grant is negative", "leave them out for the defaults"}
	}
	p.GrantFor = min(p.GrantFor, r.GrantMax)
	if IsDerogation(p.LegalBasis) {
		p.GrantFor = min(p.GrantFor, art49Max)
	}
	if err := p.bounded(); err != nil {
		return p, err
	}
	if p.Hash() == "" {
		return p, &Refusal{RulePlan, "the plan has no canonical form", "use smaller numbers"}
	}
	return p, nil
}

// bounded keeps a plan small enough for the log and the store.
func (p Plan) bounded() error {
	texts := slices.Concat([]string{p.Reason, p.PolicyDigest, p.FactsDigest, p.LegalBasis, p.Scope.Country},
		p.Scope.Trunks, p.Scope.Groups, p.Scope.Regions, p.Failed, p.Grounds)
	for _, a := range p.Alternatives {
		texts = append(texts, a.Option, a.WhyNot)
	}
	if b := p.Basis; b != nil && b.Derogation != nil {
		texts = append(texts, b.Document, b.Derogation.Necessity, b.Derogation.Norm, b.Derogation.Authority, b.Derogation.Subjects)
	} else if b != nil && b.TIA != nil {
		texts = append(texts, b.Document, b.TIA.Document, b.TIA.Outcome, strings.Join(b.TIA.Measures, " "))
	}
	if p.Change != nil {
		texts = append(append(texts, p.Change.From, p.Change.To), p.Change.Widenings...)
	}
	for _, n := range []int{len(p.Scope.Trunks), len(p.Scope.Groups), len(p.Scope.Regions), len(p.Failed), len(p.Grounds), len(p.Alternatives)} {
		if n > maxList {
			return &Refusal{RuleTooLong, fmt.Sprintf("a list of the plan has %d entries, the limit is %d", n, maxList), "propose a narrower scope"}
		}
	}
	total := 0
	for _, text := range texts {
		total += len(text)
		if !utf8.ValidString(text) {
			return &Refusal{RulePlan, "a text of the plan is not valid UTF-8", "it could be read in two ways"}
		}
		if len(text) > maxText || total > 16*maxText {
			return &Refusal{RuleTooLong, "a text of the plan is too long", fmt.Sprintf("at most %d bytes each and %d together", maxText, 16*maxText)}
		}
	}
	return nil
}

package approval

import (
	"strings"
	"testing"
	"time"
)

func TestWhatABasisLacks(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	signed := now.AddDate(-1, 0, 0)
	tia := &TIA{Document: "t", Date: signed, Outcome: "o"}
	why := func(d Derogation) *Derogation { d.Necessity = "needed"; return &d }
	for name, c := range map[string]struct {
		basis Basis
		want  []string // pieces of what it lacks; none: a grant may rest on it
	}{
		"a safeguard":            {Basis{Kind: "Art46(2)(c)_SCC", Document: "d", SignedOn: signed, TIA: tia}, nil},
		"no document":            {Basis{Kind: "Art46(2)(c)_SCC", SignedOn: signed, TIA: tia}, []string{"no document"}},
		"not signed":             {Basis{Kind: "Art46(2)(c)_SCC", Document: "d", TIA: tia}, []string{"no day of signature"}},
		"signed tomorrow":        {Basis{Kind: "Art46(2)(c)_SCC", Document: "d", SignedOn: now.AddDate(0, 0, 1), TIA: tia}, []string{"not signed yet"}},
		"over":                   {Basis{Kind: "Art46(2)(c)_SCC", Document: "d", SignedOn: signed, TIA: tia, Until: now}, []string{"ended at"}},
		"over in a moment":       {Basis{Kind: "Art46(2)(c)_SCC", Document: "d", SignedOn: signed, TIA: tia, Until: now.Add(1)}, nil},
		"not assessed":           {Basis{Kind: "Art46(2)(b)_BCR", Document: "d", SignedOn: signed}, []string{"no transfer impact"}},
		"half assessed":          {Basis{Kind: "Art46(2)(b)_BCR", Document: "d", SignedOn: signed, TIA: &TIA{Document: "t", Date: signed}}, []string{"without document, date or outcome"}},
		"consent":                {Basis{Kind: "Art49(1)(a)_explicit_consent", Document: "d", Derogation: why(Derogation{})}, nil},
		"no necessity":           {Basis{Kind: "Art49(1)(a)_explicit_consent", Document: "d"}, []string{"necessary"}},
		"a contract":             {Basis{Kind: "Art49(1)(b)_contract_with_data_subject", Document: "d", Derogation: why(Derogation{})}, []string{"occasional"}},
		"a contract, now & then": {Basis{Kind: "Art49(1)(c)_contract_in_interest", Document: "d", Derogation: why(Derogation{Occasional: true})}, nil},
		"claims":                 {Basis{Kind: "Art49(1)(e)_legal_claims", Document: "d", Derogation: why(Derogation{})}, []string{"occasional"}},
		"public interest":        {Basis{Kind: "Art49(1)(d)_public_interest", Document: "d", Derogation: why(Derogation{})}, []string{"norm"}},
		"compelling":             {Basis{Kind: "Art49(1)sub2_compelling_legitimate_interests", Document: "d", Derogation: why(Derogation{})}, []string{"supervisory authority", "data subjects"}},
		"compelling, told":       {Basis{Kind: "Art49(1)sub2_compelling_legitimate_interests", Document: "d", Derogation: why(Derogation{Authority: "by letter", Subjects: "on the line"})}, nil},
	} {
		c.basis.ID = "x"
		got := c.basis.Lacks(now)
		if len(got) != len(c.want) {
			t.Errorf("%s: lacks %q, want %q", name, got, c.want)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], c.want[i]) {
				t.Errorf("%s: lacks %q, want %q", name, got[i], c.want[i])
			}
		}
	}
}

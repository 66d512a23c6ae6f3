package approval

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// The hash is what people sign: it must never change for a plan that did not.
func TestPlanHash(t *testing.T) {
	p := aPlan()
	p.GrantFor, p.Scope.MaxCalls = 4*time.Hour, 1000
	// sha256sum over the RFC 8785 text written by hand.
	if got := p.Hash(); got != handHash {
		t.Errorf("got %s, want %s", got, handHash)
	}
	var again Plan
	text, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &again); err != nil || again.Hash() != p.Hash() {
		t.Errorf("a plan that went through JSON has another hash, %v", err)
	}
	var none, empty Plan
	empty.Failed, empty.Grounds, empty.Alternatives = []string{}, []string{}, []Alternative{}
	empty.Scope = Scope{Trunks: []string{}, Groups: []string{}, Regions: []string{}}
	if none.Hash() != empty.Hash() {
		t.Error("a missing list and an empty one are two plans")
	}
	p.Scope.MaxCalls = 1<<60 + 1
	if p.Hash() != "" {
		t.Error("a number without a canonical form has a hash")
	}
}

// Whatever changes in a plan makes it another plan.
func TestEveryFieldIsSigned(t *testing.T) {
	seen := map[string]string{aPlan().Hash(): "nothing"}
	check := func(name string, p Plan) {
		if other, there := seen[p.Hash()]; there {
			t.Errorf("changing %s and changing %s give the same hash", name, other)
		}
		seen[p.Hash()] = name
	}
	var walk func(path string, at []int, typ reflect.Type)
	walk = func(path string, at []int, typ reflect.Type) {
		for i := range typ.NumField() {
			f, index := typ.Field(i), append(append([]int{}, at...), i)
			if f.Type.Kind() == reflect.Struct {
				walk(path+f.Name+".", index, f.Type)
				continue
			}
			p := aPlan().filled()
			if f.Type == reflect.TypeFor[*Change]() {
				p.Change = &Change{}
				check(path+f.Name, p) // its fields: TestPlansOfAChange
				continue
			}
			switch v := reflect.ValueOf(&p).Elem().FieldByIndex(index); v.Kind() {
			case reflect.String:
				v.SetString(v.String() + "!")
			case reflect.Int, reflect.Int64:
				v.SetInt(v.Int() + 1)
			case reflect.Slice:
				v.Set(reflect.Append(v, reflect.Zero(v.Type().Elem())))
			case reflect.Pointer:
				v.Set(reflect.New(v.Type().Elem()))
			default:
				t.Fatalf("%s: no test for %s", path+f.Name, v.Kind())
			}
			check(path+f.Name, p)
		}
	}
	walk("", nil, reflect.TypeFor[Plan]())
	if len(seen) != 16 {
		t.Errorf("%d plans differ", len(seen))
	}
}

func TestProposal(t *testing.T) {
	rules := DefaultRules()
	p := aPlan()
	p.Scope.Trunks = []string{"b", "a", "b"}
	got, err := rules.Proposal(p)
	if err != nil || strings.Join(got.Scope.Trunks, " ") != "a b" || got.GrantFor != 4*time.Hour || got.Scope.MaxCalls != 1000 {
		t.Errorf("%+v, %v", got, err)
	}
	if strings.Join(p.Scope.Trunks, " ") != "b a b" {
		t.Error("the caller's plan was changed")
	}
	for name, c := range map[string]struct {
		edit func(*Plan)
		rule string
		want time.Duration
	}{
		"no trunk":        {func(p *Plan) { p.Scope.Trunks = nil }, RuleScope, 0},
		"no group":        {func(p *Plan) { p.Scope.Groups = []string{} }, RuleScope, 0},
		"no region":       {func(p *Plan) { p.Scope.Regions = nil }, RuleScope, 0},
		"an empty region": {func(p *Plan) { p.Scope.Regions = []string{"aws:us-east-1", ""} }, RuleScope, 0},
		"negative quota":  {func(p *Plan) { p.Scope.MaxCalls = -1 }, RulePlan, 0},
		"negative time":   {func(p *Plan) { p.GrantFor = -1 }, RulePlan, 0},
		"a huge quota":    {func(p *Plan) { p.Scope.MaxCalls = 1<<60 + 1 }, RulePlan, 0},
		"no UTF-8":        {func(p *Plan) { p.Reason = "\xff" }, RulePlan, 0},
		"a book":          {func(p *Plan) { p.Reason = strings.Repeat("x", maxText+1) }, RuleTooLong, 0},
		"a shelf":         {func(p *Plan) { p.Grounds = slicesOf(strings.Repeat("x", maxText), 17) }, RuleTooLong, 0},
		"a crowd":         {func(p *Plan) { p.Failed = slicesOf("x", maxList+1) }, RuleTooLong, 0},
		"short":           {func(p *Plan) { p.GrantFor = time.Hour }, "", time.Hour},
		"long":            {func(p *Plan) { p.GrantFor = 100 * time.Hour }, "", 72 * time.Hour},
		"Art. 49":         {func(p *Plan) { p.GrantFor, p.LegalBasis = 48*time.Hour, "Art49(1)(c)_contract_in_interest" }, "", 24 * time.Hour},
		"Art. 49 by id":   {func(p *Plan) { p.GrantFor, p.LegalBasis = 48*time.Hour, "Art49(1)(e)_legal_claims:claims-1" }, "", 24 * time.Hour},
		"Art. 46":         {func(p *Plan) { p.GrantFor, p.LegalBasis = 48*time.Hour, "Art46(2)(c)_SCC" }, "", 48 * time.Hour},
	} {
		p := aPlan()
		c.edit(&p)
		got, err := rules.Proposal(p)
		if c.rule != "" {
			wantRule(t, err, c.rule)
			continue
		}
		if err != nil || got.GrantFor != c.want {
			t.Errorf("%s: %v, %v", name, got.GrantFor, err)
		}
	}
}

func slicesOf(s string, n int) []string { return strings.Split(strings.Repeat(s+",", n-1)+s, ",") }

func TestRules(t *testing.T) {
	if got := (Rules{}).Effective(); !reflect.DeepEqual(got, DefaultRules()) {
		t.Errorf("the rules of nobody are %+v", got)
	}
	if got := (Rules{Quorum: 3}).Effective(); got.NeedOpinion || got.AutoActivate || got.Quorum != 3 || got.GrantMax != 72*time.Hour {
		t.Errorf("switches are taken as they are: %+v", got)
	}
	if got := (Rules{GrantMax: time.Hour}).Effective(); got.GrantFor != time.Hour {
		t.Errorf("a default grant of %v is over the longest", got.GrantFor)
	}
	for name, r := range map[string]Rules{
		"nobody alone":       {Quorum: 1},
		"more than JSON has": {MaxCalls: MaxQuota + 1},
		"nobody":             {Quorum: -2},
		"too few roles":      {Quorum: 3, Roles: []string{"a", "b"}},
		"a role twice":       {Roles: []string{"a", "b", "a"}},
		"a nameless role":    {Roles: []string{"a", ""}},
		"who advises":        {Roles: []string{"a", "dpo"}},
		"who advises here":   {Roles: []string{"a", "ciso"}, OpinionRole: "ciso"},
		"a long approval":    {ApproveIn: 25 * time.Hour},
		"a long execution":   {ExecuteIn: 25 * time.Hour},
		"a negative clock":   {ApproveIn: -1},
		"a long grant":       {GrantMax: 73 * time.Hour},
		"over the longest":   {GrantFor: 2 * time.Hour, GrantMax: time.Hour},
		"negative calls":     {MaxCalls: -1},
		"a negative block":   {QuotaBlock: -1},
		"a negative grant":   {GrantFor: -1},
		"a negative longest": {GrantMax: -1},
	} {
		if r.Validate() == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if err := DefaultRules().Validate(); err != nil {
		t.Error(err)
	}
}

func FuzzRecord(f *testing.F) {
	r := &Record{Ticket: Ticket{ID: "01JD0000000000000000000000", State: Pending, Plan: aPlan()}, Rules: DefaultRules()}
	good, err := r.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"ticket":{"id":"01JD0000000000000000000000","state":"ACTIVE"}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := DecodeRecord("01JD0000000000000000000000", data)
		if err != nil {
			return
		}
		c := r.Clone()
		c.Ticket.Missing = c.Missing()
		if c.EvidenceWord() == "" && evidence[c.Ticket.State] != "" {
			t.Error("no evidence word")
		}
		c.complete(time.Unix(0, 0))
		if !r.Equal(r.Clone()) {
			t.Error("a copy differs")
		}
	})
}

func TestKinds(t *testing.T) {
	if (GateChanged{}).Kind() != audit.KindGateChanged {
		t.Error("another kind")
	}
}

const handHash = "9cb15bcd92daa626daa6ceacc202c78be59dbb8bdbb4949f14f3a40f141749cf"

func TestPlansOfAChange(t *testing.T) {
	seen := map[string]bool{aChange().Hash(): true}
	for _, f := range []func(*Change){func(c *Change) { c.From = "x" }, func(c *Change) { c.To = "x" }, func(c *Change) { c.Widenings = []string{"x"} }} {
		p := aChange()
		if f(p.Change); seen[p.Hash()] {
			t.Error("two changes have one hash")
		}
		seen[p.Hash()] = true
	}
	if text, err := json.Marshal(aPlan()); err != nil || strings.Contains(string(text), "change") {
		t.Errorf("the plan of a grant is another text than in earlier versions: %s", text)
	}
	for name, f := range map[string]func(*Plan){
		"with a scope":           func(p *Plan) { p.Scope.Groups = []string{"iad"} },
		"with a country":         func(p *Plan) { p.Scope.Country = "US" },
		"with a grant":           func(p *Plan) { p.GrantFor = time.Hour },
		"from nothing":           func(p *Plan) { p.Change.From = "" },
		"to itself":              func(p *Plan) { p.Change.To = "a" },
		"that widens nothing":    func(p *Plan) { p.Change.Widenings = nil },
		"with an endless text":   func(p *Plan) { p.Change.Widenings = []string{strings.Repeat("x", maxText+1)} },
		"with a text of no kind": func(p *Plan) { p.Change.Widenings = []string{"\xff"} },
	} {
		p := aChange()
		f(&p)
		if _, err := DefaultRules().Proposal(p); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	long := make([]string, 300)
	for i := range long {
		long[i] = "policy.allow: one more"
	}
	if got := Listed(long); len(got) != maxWidenings+1 || got[maxWidenings] != "and 200 more" {
		t.Errorf("%d, %s", len(got), got[len(got)-1])
	}
	if got := Listed([]string{strings.Repeat("x", maxWideningText), "y", "z"}); len(got) != 2 || got[1] != "and 2 more" {
		t.Errorf("%d %s", len(got), got[1])
	}
}

func aPlan() Plan {
	return Plan{
		Scope:  Scope{Trunks: []string{"de-1"}, Groups: []string{"iad"}, Regions: []string{"aws:us-east-1"}, Country: "US"},
		Reason: "every permitted region is down", Failed: []string{"fra", "zrh"}, Grounds: []string{"no adequacy decision covers it"},
		Alternatives: []Alternative{{Option: "announcement", WhyNot: "emergencies wait"}}, PolicyDigest: "p1", FactsDigest: "f1",
	}
}

func wantRule(t *testing.T, err error, rule string) {
	t.Helper()
	var r *Refusal
	if !errors.As(err, &r) || r.Rule != rule || r.Detail == "" || r.Hint == "" {
		t.Fatalf("got %v, want the refusal %s with detail and hint", err, rule)
	}
}

func aChange() Plan {
	return Plan{Reason: "the file is wider", PolicyDigest: "p", FactsDigest: "f", Change: &Change{From: "a", To: "b", Widenings: []string{"policy.allow: aws:us-east-1 is allowed"}}}
}

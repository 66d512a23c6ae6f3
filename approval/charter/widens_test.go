package charter

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/sovereign"
)

var (
	frankfurt = sovereign.Region{Provider: "aws", Code: "eu-central-1"}
	zurich    = sovereign.Region{Provider: "aws", Code: "eu-central-2"}
	virginia  = sovereign.Region{Provider: "aws", Code: "us-east-1"}
	own       = sovereign.Region{Provider: "bank", Code: "fra-1"}
	day       = time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
)

func rules(t testing.TB, change func(*approval.Rules)) map[string]json.RawMessage {
	t.Helper()
	r := approval.DefaultRules()
	if change != nil {
		change(&r)
	}
	out, err := Rules(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// base is a charter with something of everything.
func base(t testing.TB) Charter {
	return Charter{
		Edition: Edition, Position: &Spot{Lat: 50.1, Lon: 8.7},
		Evidence: Evidence{Sources: []Source{{"feed", "kind: geofeed\nfile: /f\n"}, {"rir", "/r\n"}, {"sight", "/s\n"}}, Weak: "alert"},
		Running:  map[string]Running{CommonRule: {"end", time.Minute}, "party iad": {"reroute", 0}, "route de": {"end", 0}},
		Retention: []Class{
			{Class: "mifid", Trunks: []string{"carrier"}, Years: 5, Reason: "MiFID II", Binding: true}, {Class: "rest", Years: 1, Reason: "operations"},
		},
		Policy:  sovereign.Policy{Preset: sovereign.EEAPlusAdequacyNoConditional, Home: frankfurt, Allow: []sovereign.Region{frankfurt, own}},
		Regions: []Region{{Key: own, Country: "DE", Contract: "annex 1"}},
		Places: []sovereign.Declaration{
			{Prefix: "10.0.0.0/16", Region: frankfurt, Contract: "annex 1"},
			{Prefix: "10.0.1.0/24", Region: virginia, Contract: "annex 2"},
			{Prefix: "10.1.0.0/16", Region: own, Contract: "annex 3", ValidFrom: day, ValidUntil: day.AddDate(1, 0, 0)},
			{Prefix: "10.2.0.0/16", Countries: []sovereign.Country{"DE", "IE"}, Contract: "annex 4"},
		},
		Parties: []sovereign.Party{
			{Name: "carrier", Kind: sovereign.KindTrunk, Region: own, Contract: "c"},
			{
				Name: "iad", Kind: sovereign.KindGroup, Region: virginia, OrgHomeRegion: frankfurt, MediaRegions: []sovereign.Region{frankfurt, virginia}, MediaEvidence: "m",
				Attributes: []sovereign.Attribute{{Name: "recipient.dpf_listed", Value: true, Evidence: "e", At: day}},
			},
		},
		Suspensions: Suspensions{File: "/etc/suspended", Keys: map[string][]byte{"law": {1}}},
		Gate:        rules(t, nil),
		Bases:       map[string]json.RawMessage{"Art46(2)(c)_SCC:scc-1": json.RawMessage(`{"document":"d"}`)},
		People: []Person{
			{Person: "p-a", Roles: []string{"ciso"}, Scopes: []string{"org.read"}, Mark: "1"},
			{Person: "p-b", Roles: []string{"business_owner"}, Expires: day, Mark: "2"},
			{Person: "p-c", Roles: []string{"crisis_manager"}, Mark: "3"},
			{Person: "p-d", Roles: []string{"dpo"}, Mark: "4"},
		},
		Destinations: []Destination{{Use: "notify", Name: "duty", Mark: "1", Tells: true}, {Use: "notify", Name: "siem", Mark: "2"}, {Use: "dns", Name: "10.0.0.53:53"}},
		OnLogFailure: "refuse",
	}
}

// Every part of a charter, in both directions.
func TestWhatWidensAndWhatDoesNot(t *testing.T) {
	type change = func(c *Charter)
	gate := func(f func(*approval.Rules)) change { return func(c *Charter) { c.Gate = rules(t, f) } }
	party := func(f func(*sovereign.Party)) change {
		return func(c *Charter) {
			c.Parties = slices.Clone(c.Parties)
			p := &c.Parties[1]
			p.MediaRegions, p.Attributes = slices.Clone(p.MediaRegions), slices.Clone(p.Attributes)
			f(p)
		}
	}
	place := func(i int, f func(*sovereign.Declaration)) change {
		return func(c *Charter) { c.Places = slices.Clone(c.Places); f(&c.Places[i]) }
	}
	person := func(i int, f func(*Person)) change {
		return func(c *Charter) { c.People = slices.Clone(c.People); f(&c.People[i]) }
	}
	without := func(i int) change {
		return func(c *Charter) { c.Places = slices.Delete(slices.Clone(c.Places), i, i+1) }
	}
	gone := func(who ...int) change {
		return func(c *Charter) {
			var left []Person
			for i, p := range c.People {
				if !slices.Contains(who, i) {
					left = append(left, p)
				}
			}
			c.People = left
		}
	}
	later := day.AddDate(0, 6, 0)
	for _, x := range []struct {
		name string
		do   change
		to   string // begins the one widening of the changed one; "": none
		back string // of the way back
	}{
		{"nothing", func(*Charter) {}, "", ""},
		{"other order", func(c *Charter) { c.Places = slices.Clone(c.Places); slices.Reverse(c.Places) }, "", ""},
		{"preset wider", func(c *Charter) { c.Policy.Preset = sovereign.EEAPlusAdequacy }, "policy.preset: was eea_plus", ""},
		{"preset narrower", func(c *Charter) { c.Policy.Preset = sovereign.EUOnly }, "", "policy.preset: was eu_only"},
		{"preset unknown", func(c *Charter) { c.Policy.Preset = "everything" }, "policy.preset", "policy.preset"},
		{"region allowed", func(c *Charter) { c.Policy.Allow = []sovereign.Region{frankfurt, own, zurich} }, "policy.allow: aws:eu-central-2", ""},
		{"home instead of a list", func(c *Charter) { c.Policy.Allow = nil }, "", "policy.allow: bank:fra-1"},
		{"another home", func(c *Charter) { c.Policy.Home = zurich }, "", ""},
		{"own region", func(c *Charter) {
			c.Regions = append(slices.Clone(c.Regions), Region{Key: sovereign.Region{Provider: "bank", Code: "b"}, Country: "DE", Contract: "x"})
		}, "regions bank:b: is new, in DE", ""},
		{"own region elsewhere", func(c *Charter) { c.Regions = []Region{{Key: own, Country: "FR", Contract: "annex 1"}} }, "regions bank:fra-1: is declared otherwise", "regions"},
		{"prefix added", func(c *Charter) {
			c.Places = append(slices.Clone(c.Places), sovereign.Declaration{Prefix: "10.9.0.0/16", Region: frankfurt, Contract: "x"})
		}, "places 10.9.0.0/16: is declared as aws:eu-central-1, by x", ""},
		{"prefix inside another one gone", without(1), "places 10.0.1.0/24: is not declared as aws:us-east-1 any more, and counts as a part of 10.0.0.0/16", "places 10.0.1.0/24"},
		{"prefix around another one gone", without(0), "", "places 10.0.0.0/16"},
		{"prefix of another region", place(0, func(d *sovereign.Declaration) { d.Region = zurich }), "places 10.0.0.0/16: is declared as aws:eu-central-2", "places"},
		{"prefix of another contract", place(0, func(d *sovereign.Declaration) { d.Contract = "y" }), "places 10.0.0.0/16", "places"},
		{"one country more", place(3, func(d *sovereign.Declaration) { d.Countries = []sovereign.Country{"DE", "IE", "US"} }), "places 10.2.0.0/16: is declared as DE, IE, US", "places"},
		{"ends sooner", place(2, func(d *sovereign.Declaration) { d.ValidUntil = later }), "", "places 10.1.0.0/16: is declared as bank:fra-1, by annex 3 from 2026-11-22 until 2027-11-22"},
		{"ends never", place(2, func(d *sovereign.Declaration) { d.ValidUntil = time.Time{} }), "places 10.1.0.0/16", ""},
		{"begins later", place(2, func(d *sovereign.Declaration) { d.ValidFrom = later }), "", "places 10.1.0.0/16"},
		{"begins later, inside another one", place(1, func(d *sovereign.Declaration) { d.ValidFrom = later }), "places 10.0.1.0/24: is not declared", "places 10.0.1.0/24"},
		{"ends sooner, inside another one", place(1, func(d *sovereign.Declaration) { d.ValidUntil = later }), "", "places 10.0.1.0/24"},
		{"prefix that cannot be read", func(c *Charter) {
			c.Places = append(slices.Clone(c.Places), sovereign.Declaration{Prefix: "x", Region: frankfurt})
		}, "places x", "places x"},
		{"party added", func(c *Charter) {
			c.Parties = append(slices.Clone(c.Parties), sovereign.Party{Name: "fra", Region: frankfurt})
		}, "party fra: is new", ""},
		{"kind", party(func(p *sovereign.Party) { p.Kind = sovereign.KindTrunk }), "party iad: kind", "party iad: kind"},
		{"region of a party", party(func(p *sovereign.Party) { p.Region = zurich }), "party iad: region was aws:us-east-1 and is aws:eu-central-2", "party iad: region"},
		{"org home gone", party(func(p *sovereign.Party) { p.OrgHomeRegion = sovereign.Region{} }), "party iad: org_home_region", ""},
		{"media region gone", party(func(p *sovereign.Party) { p.MediaRegions = p.MediaRegions[:1] }), "party iad: media_regions", "party iad: media_regions"},
		{"evidence gone", party(func(p *sovereign.Party) { p.MediaEvidence = "" }), "", "party iad: media_evidence"},
		{"contract added", party(func(p *sovereign.Party) { p.Contract = "c" }), "party iad: contract", ""},
		{"attestation gone", party(func(p *sovereign.Party) { p.Attributes = nil }), "", "party iad: attests recipient.dpf_listed"},
		{"attestation of another day", party(func(p *sovereign.Party) { p.Attributes[0].At = later }), "party iad: attests", "party iad: attests"},
		{"one attestation more of a name", party(func(p *sovereign.Party) {
			p.Attributes = append(p.Attributes, sovereign.Attribute{Name: "recipient.dpf_listed", Value: false, Evidence: "e"})
		}), "party iad: attests", "party iad: one of several attestations"},
		{"suspensions elsewhere", func(c *Charter) { c.Suspensions.File = "/tmp/x" }, "policy.suspensions_file", "policy.suspensions_file"},
		{"suspensions nowhere", func(c *Charter) { c.Suspensions.File = "" }, "policy.suspensions_file", ""},
		{"a key for suspensions", func(c *Charter) { c.Suspensions.Keys = map[string][]byte{"law": {1}, "b": {2}} }, "", "policy.suspension_keys.b"},
		{"another key for suspensions", func(c *Charter) { c.Suspensions.Keys = map[string][]byte{"law": {2}} }, "policy.suspension_keys.law", "policy.suspension_keys.law"},
		{"quorum", gate(func(r *approval.Rules) { r.Quorum = 3 }), "", "gate.quorum: was 3 and is 2"},
		{"a role less", gate(func(r *approval.Rules) { r.Roles = r.Roles[1:] }), "", "gate.roles"},
		{"a role more", gate(func(r *approval.Rules) { r.Roles = append(slices.Clone(r.Roles), "operator") }), "gate.roles", ""},
		{"no opinion", gate(func(r *approval.Rules) { r.NeedOpinion = false }), "gate.opinion_needed: was true and is false", ""},
		{"who gives it", gate(func(r *approval.Rules) { r.OpinionRole = "auditor" }), "gate.opinion_role", "gate.opinion_role"},
		{"approval clock", gate(func(r *approval.Rules) { r.ApproveIn = time.Hour }), "gate.approve_in_ns", ""},
		{"execution clock", gate(func(r *approval.Rules) { r.ExecuteIn = time.Minute }), "", "gate.execute_in_ns"},
		{"grant", gate(func(r *approval.Rules) { r.GrantFor = 5 * time.Hour }), "gate.grant_for_ns", ""},
		{"longest grant", gate(func(r *approval.Rules) { r.GrantMax = 5 * time.Hour }), "", "gate.grant_max_ns"},
		{"calls", gate(func(r *approval.Rules) { r.MaxCalls = 1001 }), "gate.max_calls_total", ""},
		{"calls at once", gate(func(r *approval.Rules) { r.QuotaBlock = 11 }), "gate.quota_block", ""},
		{"by hand", gate(func(r *approval.Rules) { r.AutoActivate = false }), "", "gate.auto_activate"},
		{"break-glass off", gate(func(r *approval.Rules) { r.NoGlass = true }), "", "gate.break_glass_off: was true and is not set"},
		{"break-glass for less", gate(func(r *approval.Rules) { r.GlassFor = time.Minute }), "", "gate.break_glass_for_ns"},
		{"a basis is needed", gate(func(r *approval.Rules) { r.NeedBasis = true }), "", "gate.basis_needed"},
		{"a later review", gate(func(r *approval.Rules) { r.ReviewIn *= 2 }), "gate.review_in_ns", ""},
		{"a legal basis", func(c *Charter) {
			c.Bases = map[string]json.RawMessage{"Art46(2)(c)_SCC:scc-1": c.Bases["Art46(2)(c)_SCC:scc-1"], "x": json.RawMessage("{}")}
		}, "legal_bases x: is new", ""},
		{"another legal basis", func(c *Charter) {
			c.Bases = map[string]json.RawMessage{"Art46(2)(c)_SCC:scc-1": json.RawMessage("{}")}
		}, "legal_bases Art46(2)(c)_SCC:scc-1: is another entry", "legal_bases"},
		{"a rule of another version", func(c *Charter) {
			c.Gate = rules(t, nil)
			c.Gate["veto"] = json.RawMessage(`{"by":"dpo"}`)
		}, `gate.veto: was not set and is {"by":"dpo"}`, "gate.veto"},
		{"a rule that an older version did not know, at its default", func(c *Charter) { c.Gate = rules(t, nil); delete(c.Gate, "auto_activate") }, "", ""},
		{"somebody more", func(c *Charter) {
			c.People = append(slices.Clone(c.People), Person{Person: "p-e", Roles: []string{"ciso"}})
		}, "people p-e: is new, with the roles ciso", ""},
		{"somebody without a role", func(c *Charter) { c.People = append(slices.Clone(c.People), Person{Person: "p-e"}) }, "people p-e: is new, with the roles none", ""},
		{"somebody less", gone(0), "", "people p-a"},
		{"too few", gone(0, 1), "people: nobody is left who could sign", "people p-a"},
		{"no opinion left", gone(3), "people: nobody is left who could sign", "people p-d"},
		{"a role of a person", person(0, func(p *Person) { p.Roles = []string{"ciso", "operator"} }), "people p-a: gets the roles operator", ""},
		{"the same role twice", person(0, func(p *Person) { p.Roles = []string{"business_owner"} }), "people p-a: gets the roles business_owner", "people p-a: gets the roles ciso"},
		{"a scope", person(1, func(p *Person) { p.Scopes = []string{"logs.view"} }), "people p-b: gets the scopes logs.view", ""},
		{"for longer", person(1, func(p *Person) { p.Expires = time.Time{} }), "people p-b: may sign in for longer", ""},
		{"the first keys", person(1, func(p *Person) { p.Keys = []string{"k"} }), "people: the first keys", ""},
		{"another token", person(1, func(p *Person) { p.Mark = "x" }), "people p-b: signs in with something else", "people p-b"},
		{"a destination", func(c *Charter) {
			c.Destinations = append(slices.Clone(c.Destinations), Destination{Use: "hep", Name: "collector"})
		}, "hep collector: is a new destination", ""},
		{"another destination", func(c *Charter) { c.Destinations = slices.Clone(c.Destinations); c.Destinations[1].Mark = "x" }, "notify siem: is another", "notify siem"},
		{"a destination less", func(c *Charter) { c.Destinations = c.Destinations[:1] }, "", "dns 10.0.0.53:53"},
		{"nobody is told", func(c *Charter) { c.Destinations = c.Destinations[1:] }, "notify: nobody would be told", "notify duty"},
		{"log failure", func(c *Charter) { c.OnLogFailure = "continue_with_gap" }, "log.on_log_failure: was refuse", ""},
		{"log failure unknown", func(c *Charter) { c.OnLogFailure = "?" }, "log.on_log_failure", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			one, two := base(t), base(t)
			x.do(&two)
			for _, w := range []struct {
				from, to Charter
				want     string
			}{{one, two, x.to}, {two, one, x.back}} {
				got := Widens(w.from, w.to)
				if w.want == "" && len(got) > 0 || w.want != "" && (len(got) == 0 || !strings.HasPrefix(got[0].String(), w.want)) {
					t.Errorf("%v, want %q", got, w.want)
				}
			}
		})
	}
}

func TestWhoCanSign(t *testing.T) {
	p := func(id string, roles ...string) Person { return Person{Person: id, Roles: roles} }
	dpo := p("d", "dpo")
	deputy := func(id string, roles ...string) Person { return Person{Person: id, DeputyFor: roles} }
	for name, x := range map[string]struct {
		change func(*approval.Rules)
		people []Person
		want   bool
	}{
		"nobody":                                {nil, nil, false},
		"one":                                   {nil, []Person{p("a", "ciso", "business_owner"), dpo}, false},
		"two in one role":                       {nil, []Person{p("a", "ciso"), p("b", "ciso"), dpo}, false},
		"two":                                   {nil, []Person{p("a", "ciso"), p("b", "business_owner"), dpo}, true},
		"two, one must give way":                {nil, []Person{p("a", "ciso", "business_owner"), p("b", "ciso"), dpo}, true},
		"no adviser":                            {nil, []Person{p("a", "ciso"), p("b", "business_owner")}, false},
		"no adviser, and none needed":           {func(r *approval.Rules) { r.NeedOpinion = false }, []Person{p("a", "ciso"), p("b", "business_owner")}, true},
		"the adviser does not count":            {nil, []Person{p("a", "ciso"), p("b", "business_owner", "dpo")}, false},
		"the adviser approves":                  {func(r *approval.Rules) { r.Mode = "approve" }, []Person{p("a", "ciso"), p("b", "dpo")}, true},
		"the adviser, in another role":          {func(r *approval.Rules) { r.Mode = "approve" }, []Person{p("a", "business_owner", "dpo"), p("b", "dpo")}, false},
		"a role that does not approve":          {nil, []Person{p("a", "ciso"), p("b", "operator"), dpo}, false},
		"a deputy for a role that nobody holds": {nil, []Person{p("a", "ciso"), deputy("b", "business_owner"), dpo}, true},
		"a deputy for the role of the only other one":                    {nil, []Person{p("a", "ciso"), deputy("b", "ciso"), dpo}, false},
		"a deputy whose role is held by who has the other one, too":      {nil, []Person{p("a", "ciso", "business_owner"), deputy("b", "business_owner"), dpo}, false},
		"two deputies of one who has both roles, while that one is away": {nil, []Person{p("a", "ciso", "business_owner"), deputy("b", "business_owner"), deputy("c", "ciso"), dpo}, true},
		"a deputy who has a role, too":                                   {nil, []Person{p("a", "business_owner"), {Person: "b", Roles: []string{"ciso"}, DeputyFor: []string{"business_owner"}}, dpo}, true},
		"one person in both":                                             {nil, []Person{{Person: "b", Roles: []string{"ciso"}, DeputyFor: []string{"business_owner"}}, dpo}, false},
		"a deputy for a role that does not approve":                      {nil, []Person{p("a", "ciso"), deputy("b", "operator"), dpo}, false},
		"the opinion of a deputy":                                        {nil, []Person{p("a", "ciso"), p("b", "business_owner"), deputy("d", "dpo")}, true},
		"who deputises for the adviser does not count":                   {nil, []Person{p("a", "ciso"), {Person: "b", Roles: []string{"business_owner"}, DeputyFor: []string{"dpo"}}}, false},
		"a deputy approves for the adviser":                              {func(r *approval.Rules) { r.Mode = "approve" }, []Person{p("a", "ciso"), deputy("b", "dpo")}, true},
		"three, and there are two":                                       {func(r *approval.Rules) { r.Quorum = 3 }, []Person{p("a", "ciso"), p("b", "business_owner"), dpo}, false},
	} {
		if got := (Charter{Gate: rules(t, x.change), People: x.people}).CanSign(); got != x.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// While a widening waits, the gate runs by the stricter of both, rule by rule.
func TestStricterRules(t *testing.T) {
	old, next := base(t), base(t)
	old.Gate = rules(t, func(r *approval.Rules) { r.Quorum, r.GrantFor = 3, time.Hour })
	next.Gate = rules(t, func(r *approval.Rules) { r.Quorum, r.GrantFor, r.MaxCalls, r.NeedOpinion = 2, 2*time.Hour, 7, false })
	got, err := Stricter(old, next)
	if err != nil || got.Quorum != 3 || got.GrantFor != time.Hour || got.MaxCalls != 7 || !got.NeedOpinion {
		t.Errorf("%+v, %v", got, err)
	}
	next.Gate = rules(t, func(r *approval.Rules) { r.Roles, r.MaxCalls = r.Roles[:2], 7 }) // two roles, and the quorum stays three: they do not fit
	if got, err = Stricter(old, next); err != nil || got.Quorum != 3 || len(got.Roles) != 5 || got.MaxCalls != 1000 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestACharterIsOneText(t *testing.T) {
	c := base(t)
	text, err := c.Canonical()
	if err != nil {
		t.Fatal(err)
	}
	read, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	again, err := read.Canonical()
	if err != nil || string(again) != string(text) || Digest(text) != Digest(again) || len(Digest(text)) != 64 {
		t.Errorf("%s\n%s %v", text, again, err)
	}
	if got := Widens(c, read); len(got) > 0 {
		t.Errorf("what was read back is wider: %v", got)
	}
	slices.Reverse(c.Places)
	slices.Reverse(c.People)
	if other, _ := c.Canonical(); string(other) != string(text) {
		t.Error("another order gives another text")
	}
	newer := strings.Replace(string(text), `{"destinations"`, `{"a_later_part":1,"destinations"`, 1)
	if read, err := Parse([]byte(newer)); err != nil || len(Widens(c, read))+len(Widens(read, c)) > 0 {
		t.Errorf("a charter of a later version: %v", err)
	}
	for _, bad := range []string{"", "[]", `{"people":1}`} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	s, err := c.Snapshot(1, nil, nil)
	if err != nil || s.JudgeRegion(own, day).Verdict != sovereign.Permit || s.JudgeRegion(zurich, day).Verdict != sovereign.Hold {
		t.Errorf("%v, %+v", err, s.JudgeRegion(own, day))
	}
}

func TestASealedCharterNamesNobody(t *testing.T) {
	c := base(t)
	c.People[0].Person, c.People[0].Mark = "anna", "token: {file: anna.token}"
	c.Destinations[0].Mark = "to: [anna@bank.example]"
	c.Destinations[2].Mark = ""
	seal := func(key string) Charter {
		return Seal{
			Pseudonym: func(id string) string { return "x-" + id[len(id)-1:] },
			MAC:       func(b []byte) []byte { return []byte(Digest(append([]byte(key), b...))) },
		}.Charter(c)
	}
	text, err := seal("k").Canonical()
	if err != nil || strings.Contains(string(text), "anna") {
		t.Errorf("%s, %v", text, err)
	}
	if c.People[0].Person != "anna" {
		t.Error("sealing changed what was sealed")
	}
	other, _ := seal("l").Canonical()
	if string(other) == string(text) {
		t.Error("the marks do not depend on the key")
	}
	if got := Widens(seal("k"), seal("k")); len(got) > 0 {
		t.Error(got)
	}
}

package inventory

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

var crm = Entry{Name: "crm", Kind: "crm", Host: "crm.example", Port: 443, TLS: true, Countries: []sovereign.Country{"DE"}, Contract: "annex 3"}

func anycast() Entry {
	e := crm
	e.Anycast = true
	return e
}

// located is an address in a place with a ruling.
func located(v sovereign.Verdict, countries ...sovereign.Country) Located {
	l := Located{Ruling: sovereign.Ruling{Verdict: v, Ground: "g", Why: "w"}, Found: evidence.Assessment{Standing: evidence.Unsupported}}
	if len(countries) > 0 {
		l.Place = sovereign.Place{Prefix: netip.MustParsePrefix("192.0.2.0/24"), Countries: countries}
	}
	return l
}

func (l Located) with(items ...evidence.Item) Located {
	l.Found = evidence.Weigh(evidence.Claim{Countries: []string{"DE"}}, items)
	return l
}

func TestJudge(t *testing.T) {
	feed := evidence.Item{Kind: evidence.ProviderFeed, Value: "F", Result: evidence.Supports}
	bound := evidence.Item{Kind: evidence.RTTBound, Value: "B", Result: evidence.Contradicts}
	spread := evidence.Item{Kind: evidence.ProviderFeed, Value: "S", Result: evidence.Silent, Spread: true}
	rir := evidence.Item{Kind: evidence.RIR, Value: "R", Result: evidence.Contradicts}
	for what, c := range map[string]struct {
		entry       Entry
		l           Located
		want        Verdict
		ground, why string
	}{
		"where it is declared":                 {crm, located(sovereign.Permit, "DE"), Permit, "g", "w"},
		"where the policy permits, elsewhere":  {crm, located(sovereign.Permit, "IE"), Hold, GroundElsewhere, "answers from IE, and its declaration names DE"},
		"permitted in no country":              {crm, located(sovereign.Permit), Hold, GroundElsewhere, ""},
		"held":                                 {crm, located(sovereign.Hold, "US"), Hold, "g", "w"},
		"undeclared":                           {crm, located(sovereign.Deny), Deny, "g", "w"},
		"denied for where it is":               {anycast(), located(sovereign.Deny, "RU"), Deny, "g", "w"},
		"anycast, permitted":                   {anycast(), located(sovereign.Permit, "DE"), Unprovable, GroundAnycast, "many places"},
		"anycast, undeclared":                  {anycast(), located(sovereign.Deny), Unprovable, GroundAnycast, ""},
		"a source has it everywhere":           {crm, located(sovereign.Permit, "DE").with(spread), Unprovable, GroundSeveral, "S (provider_feed)"},
		"everywhere, and undeclared":           {crm, located(sovereign.Deny).with(spread), Unprovable, GroundSeveral, ""},
		"strong sources disagree":              {crm, located(sovereign.Hold, "DE").with(feed, bound), Unprovable, GroundSeveral, "F (provider_feed), but B (rtt_bound)"},
		"strong evidence against it":           {crm, located(sovereign.Hold, "DE").with(bound), Hold, "g", ""},
		"weak evidence against it":             {crm, located(sovereign.Permit, "DE").with(feed, rir), Permit, "g", ""},
		"a prefix that countries share":        {crm, located(sovereign.Hold, "DE", "IE"), Unprovable, GroundSeveral, "192.0.2.0/24 is shared by DE, IE"},
		"a shared prefix that somehow permits": {crm, located(sovereign.Permit, "DE", "IE"), Unprovable, GroundSeveral, ""},
	} {
		a := Judge(&c.entry, netip.MustParseAddrPort("192.0.2.1:443"), &c.l)
		if a.Verdict != c.want || a.Ground != c.ground || !strings.Contains(a.Why, c.why) {
			t.Errorf("%s: %s %s: %s", what, a.Verdict, a.Ground, a.Why)
		}
	}
}

func TestAnycastIsNeverPermitted(t *testing.T) {
	e := anycast()
	for v := sovereign.Deny; v <= sovereign.Permit; v++ {
		for _, countries := range [][]sovereign.Country{nil, {"DE"}, {"DE", "IE"}, {"US"}} {
			l := located(v, countries...)
			if a := Judge(&e, netip.MustParseAddrPort("192.0.2.1:443"), &l); a.Verdict == Permit || a.Verdict == Hold {
				t.Errorf("%v in %v: %s", v, countries, a.Verdict)
			}
		}
	}
}

func TestTheStrictestAnswerCounts(t *testing.T) {
	for _, v := range Verdicts() {
		for _, o := range Verdicts() {
			if o == Unknown || v == Unknown {
				continue
			}
			s := State{Answers: []Answer{{Verdict: v, Addr: netip.MustParseAddrPort("192.0.2.1:1")}, {Verdict: o, Addr: netip.MustParseAddrPort("192.0.2.2:1")}}}
			s.sum(day)
			if want := Verdicts()[min(v.rank(), o.rank())]; s.Verdict != want || s.Since != day {
				t.Errorf("%s and %s come to %s", v, o, s.Verdict)
			}
		}
	}
}

package sovereign

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

type rulingCase struct {
	ask     Ask
	verdict Verdict
	ground  Ground
	where   string // region and country that decided
	why     string // part of the sentence
}

func checkRulings(t *testing.T, cases map[string]rulingCase) {
	t.Helper()
	s := world(t, nil)
	for name, c := range cases {
		if c.ask.At.IsZero() {
			c.ask.At = now
		}
		r := s.Judge(c.ask)
		where := r.Region.String() + " " + string(r.Country)
		if r.Verdict != c.verdict || r.Ground != c.ground || where != c.where || !strings.Contains(r.Why, c.why) {
			t.Errorf("%s: %v (%s) at %q: %s\nwant %v (%s) at %q: %s", name, r.Verdict, r.Ground, where, r.Why, c.verdict, c.ground, c.where, c.why)
		}
		if r.Permitted() != (c.verdict == Permit) || r.Generation != 7 || r.Why == "" || r.Standing == "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestJudge(t *testing.T) {
	checkRulings(t, map[string]rulingCase{
		"address in the EEA":        {Ask{Addr: addr("192.0.2.1:5060")}, Permit, GroundInEEA, "aws:eu-central-1 DE", "address 192.0.2.1 in aws:eu-central-1 (DE): EU member state"},
		"mapped address":            {Ask{Addr: addr("[::ffff:192.0.2.1]:5060")}, Permit, GroundInEEA, "aws:eu-central-1 DE", "address 192.0.2.1 "},
		"adequate address":          {Ask{Addr: addr("192.0.2.200:1")}, Permit, GroundAdequate, "aws:eu-central-2 CH", "adequacy under 2000/518/EC"},
		"US address":                {Ask{Addr: addr("198.51.100.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", "recipient.dpf_listed"},
		"not allow-listed":          {Ask{Addr: addr("[2001:db8::1]:1")}, Hold, GroundNotAllowListed, "aws:eu-west-1 IE", "EU member state, but the region is not in the allow-list"},
		"undeclared":                {Ask{Addr: addr("8.8.8.8:53")}, Deny, GroundUndeclaredAddress, " ", "address 8.8.8.8: no declared prefix holds it"},
		"expired":                   {Ask{Addr: addr("203.0.113.1:1")}, Deny, GroundExpiredDeclaration, " ", "the declaration of 203.0.113.0/24 ended on 2026-11-01"},
		"not expired then":          {Ask{Addr: addr("203.0.113.1:1"), At: date("2026-10-01")}, Permit, GroundInEEA, "aws:eu-central-1 DE", ""},
		"declared, unknown region":  {Ask{Addr: addr("203.0.114.1:1")}, Deny, GroundUnknownRegion, "aws:eu-west-9 ", "in no table"},
		"region":                    {Ask{Region: zurich}, Permit, GroundAdequate, "aws:eu-central-2 CH", "aws:eu-central-2 (CH): adequacy under 2000/518/EC"},
		"unknown region":            {Ask{Region: region("aws:eu-west-9")}, Deny, GroundUnknownRegion, "aws:eu-west-9 ", "in no table"},
		"restricted region":         {Ask{Region: region("aws:eu-isoe-west-1")}, Deny, GroundUnknownRegion, "aws:eu-isoe-west-1 ", ""},
		"Serbia":                    {Ask{Region: serbia}, Hold, GroundNoAdequacy, "oci:eu-jovanovac-1 RS", "no adequacy decision is in force"},
		"address and region differ": {Ask{Addr: addr("192.0.2.1:1"), Region: virginia}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},
		"denied beats held":         {Ask{Addr: addr("198.51.100.1:1"), Region: region("aws:eu-west-9")}, Deny, GroundUnknownRegion, "aws:eu-west-9 ", ""},
		"nothing asked":             {Ask{}, Deny, GroundUnknownRegion, " ", "neither an address nor a region"},
		"unknown party":             {Ask{Party: "who", Addr: addr("192.0.2.1:1")}, Deny, GroundUnknownParty, " ", `"who"`},
		"party without a place":     {Ask{Party: "nowhere", Plane: Signalling}, Deny, GroundUnknownRegion, " ", ""},
		"party by address alone":    {Ask{Party: "nowhere", Plane: Signalling, Addr: addr("192.0.2.1:1")}, Permit, GroundInEEA, "aws:eu-central-1 DE", ""},
		"odd party":                 {Ask{Party: "odd", Plane: Signalling, Addr: addr("192.0.2.1:1")}, Deny, GroundUnknownRegion, "aws:eu-west-9 ", ""},
		"conditions attested":       {Ask{Party: "dpf", Plane: Signalling, Addr: addr("198.51.100.1:1")}, Permit, GroundAdequateConditional, "aws:us-east-1 US", "all conditions attested"},
		"attested for another":      {Ask{Party: "iad", Plane: Signalling, Addr: addr("198.51.100.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},
	})
}

func TestJudgePlanes(t *testing.T) {
	checkRulings(t, map[string]rulingCase{
		// A US organisation behind Frankfurt edges is caught on every plane.
		"org home, signalling": {Ask{Party: "us-homed", Plane: Signalling, Addr: addr("192.0.2.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", "organisation's home region aws:us-east-1 (US)"},
		"org home, media":      {Ask{Party: "us-homed", Plane: Media, Addr: addr("192.0.2.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},

		// Signalling and media are judged apart, except where the hop reads the keys.
		"split signalling":       {Ask{Party: "split", Plane: Signalling, Addr: addr("192.0.2.1:1")}, Permit, GroundInEEA, "aws:eu-central-1 DE", ""},
		"split with keys":        {Ask{Party: "split", Plane: Signalling, Keys: true, Addr: addr("192.0.2.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", "media region aws:us-east-1"},
		"split media":            {Ask{Party: "split", Plane: Media, Addr: addr("192.0.2.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},
		"split, plane unknown":   {Ask{Party: "split", Addr: addr("192.0.2.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},
		"signalling is ashore":   {Ask{Party: "iad", Plane: Media, Addr: addr("192.0.2.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", "media region"},
		"recorder":               {Ask{Party: "iad", Plane: Recording, Addr: addr("192.0.2.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},
		"webhook":                {Ask{Party: "hook", Plane: Infrastructure, Addr: addr("192.0.2.1:443")}, Permit, GroundInEEA, "aws:eu-central-1 DE", ""},
		"webhook leads abroad":   {Ask{Party: "hook", Plane: Infrastructure, Addr: addr("198.51.100.1:443")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},
		"infrastructure, no-one": {Ask{Plane: Infrastructure, Addr: addr("192.0.2.1:53")}, Permit, GroundInEEA, "aws:eu-central-1 DE", ""},
	})
}

func TestJudgeSharedPrefixes(t *testing.T) {
	checkRulings(t, map[string]rulingCase{
		"global, nobody":            {Ask{Plane: Media, Addr: addr("52.129.96.1:1")}, Hold, GroundNoAdequacy, " AE", "any of 18 countries"},
		"global, media evidence":    {Ask{Party: "fra", Plane: Media, Addr: addr("52.129.96.1:1")}, Permit, GroundInEEA, "aws:eu-central-1 DE", ""},
		"global, no evidence":       {Ask{Party: "claims", Plane: Media, Addr: addr("52.129.96.1:1")}, Hold, GroundNoAdequacy, " AE", ""},
		"global, contract":          {Ask{Party: "carrier", Plane: Signalling, Addr: addr("52.129.96.1:1")}, Permit, GroundInEEA, "aws:eu-central-1 DE", ""},
		"global, no contract":       {Ask{Party: "zrh", Plane: Signalling, Addr: addr("52.129.96.1:1")}, Hold, GroundNoAdequacy, " AE", ""},
		"contract is not for media": {Ask{Party: "carrier", Plane: Media, Addr: addr("52.129.96.1:1")}, Hold, GroundNoAdequacy, " AE", ""},
		"global, split":             {Ask{Party: "split", Plane: Media, Addr: addr("52.129.96.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},
		"a denied country is among": {Ask{Addr: addr("100.64.0.1:1")}, Deny, GroundDeniedJurisdiction, " RU", "denied by the law table"},
		"one country, no region":    {Ask{Addr: addr("100.64.1.1:1")}, Hold, GroundNotAllowListed, " DE", "names no region that the allow-list could hold"},
		"two lawful countries":      {Ask{Addr: addr("100.64.2.1:1")}, Hold, GroundNotAllowListed, " DE", ""},
		"evidence against a prefix": {Ask{Party: "split", Plane: Media, Addr: addr("100.64.2.1:1")}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},
		"Zurich is not in DE or FR": {Ask{Party: "alps", Plane: Media, Addr: addr("100.64.2.1:1")}, Hold, GroundNotAllowListed, " DE", ""},
		"Zurich is in the globe":    {Ask{Party: "alps", Plane: Media, Addr: addr("52.129.96.1:1")}, Permit, GroundAdequate, "aws:eu-central-2 CH", ""},
		"evidence fits a prefix":    {Ask{Party: "fra", Plane: Media, Addr: addr("100.64.2.1:1")}, Permit, GroundInEEA, "aws:eu-central-1 DE", ""},
		"narrowing away a denial":   {Ask{Party: "fra", Plane: Media, Addr: addr("100.64.0.1:1")}, Permit, GroundInEEA, "aws:eu-central-1 DE", ""},
	})
}

// Emergency calls open what is held and nothing else.
func TestJudgeEmergency(t *testing.T) {
	checkRulings(t, map[string]rulingCase{
		"emergency, held":   {Ask{Party: "iad", Plane: Signalling, Purpose: EmergencyCall, Addr: addr("198.51.100.1:1")}, Permit, GroundEmergency, "aws:us-east-1 US", "an emergency call is never held"},
		"emergency, denied": {Ask{Party: "iad", Plane: Signalling, Purpose: EmergencyCall, Addr: addr("8.8.8.8:1")}, Deny, GroundUndeclaredAddress, " ", ""},
		"emergency, global": {Ask{Plane: Media, Purpose: EmergencyCall, Addr: addr("52.129.96.1:1")}, Permit, GroundEmergency, " AE", ""},
		"drill, held":       {Ask{Party: "iad", Plane: Signalling, Purpose: Drill}, Hold, GroundConditionsNotMet, "aws:us-east-1 US", ""},
	})
}

func TestProof(t *testing.T) {
	s := world(t, nil)
	for name, c := range map[string]struct {
		ask  Ask
		want Proof
	}{
		"declared":           {Ask{Addr: addr("192.0.2.1:1")}, ProofDeclared},
		"region":             {Ask{Region: frankfurt}, ProofDeclared},
		"global by party":    {Ask{Party: "fra", Plane: Media, Addr: addr("52.129.96.1:1")}, ProofDeclaredNotProven},
		"global alone":       {Ask{Addr: addr("52.129.96.1:1")}, ProofDeclaredNotProven},
		"one country":        {Ask{Addr: addr("100.64.1.1:1")}, ProofDeclared},
		"undeclared":         {Ask{Addr: addr("8.8.8.8:1")}, ""},
		"undeclared, region": {Ask{Party: "fra", Plane: Signalling, Addr: addr("8.8.8.8:1")}, ""},
	} {
		c.ask.At = now
		if r := s.Judge(c.ask); r.Proof != c.want {
			t.Errorf("%s: %q, want %q", name, r.Proof, c.want)
		}
	}
}

func TestJudgeParty(t *testing.T) {
	s := world(t, nil)
	for name, want := range map[string][2]Verdict{
		"carrier": {Permit, Permit}, "fra": {Permit, Permit}, "zrh": {Permit, Permit}, "iad": {Hold, Hold}, "us-homed": {Hold, Hold},
		"split": {Permit, Hold}, "dpf": {Permit, Permit}, "nowhere": {Deny, Deny}, "odd": {Deny, Deny}, "dub": {Hold, Hold}, "": {Deny, Deny}, "who": {Deny, Deny},
	} {
		for i, plane := range []Plane{Signalling, Media} {
			if r := s.JudgeParty(name, plane, Production, now); r.Verdict != want[i] {
				t.Errorf("%s, %v: %v (%s), want %v", name, plane, r.Verdict, r.Why, want[i])
			}
		}
	}
	var none *Snapshot
	for _, r := range []Ruling{none.Judge(Ask{Region: frankfurt}), none.JudgeRegion(frankfurt, now), none.JudgeParty("fra", Media, Production, now), none.JudgeParty("", Media, 0, now)} {
		if r.Verdict != Deny || r.Ground != GroundNoSnapshot {
			t.Errorf("no snapshot: %+v", r)
		}
	}
	// The zero time means now: the shipped law knows today.
	if r := s.JudgeRegion(frankfurt, time.Time{}); r.Verdict != Permit {
		t.Errorf("%+v", r)
	}
}

func TestAllowList(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		want   map[Region]Verdict
	}{
		"empty list is home alone":   {Policy{Home: frankfurt}, map[Region]Verdict{frankfurt: Permit, dublin: Hold, zurich: Hold, virginia: Hold}},
		"home is no exception":       {Policy{Home: frankfurt, Allow: []Region{dublin}}, map[Region]Verdict{frankfurt: Hold, dublin: Permit}},
		"home must pass the preset":  {Policy{Preset: EUOnly, Home: zurich}, map[Region]Verdict{zurich: Hold, frankfurt: Hold}},
		"no union with the preset":   {Policy{Preset: EUOnly, Home: frankfurt, Allow: []Region{zurich, oslo}}, map[Region]Verdict{zurich: Hold, oslo: Hold, dublin: Hold}},
		"nothing at all":             {Policy{}, map[Region]Verdict{frankfurt: Hold, {}: Deny}},
		"EEA only":                   {Policy{Preset: EEAOnly, Allow: []Region{zurich, oslo, dublin}}, map[Region]Verdict{zurich: Hold, oslo: Permit, dublin: Permit}},
		"unknown regions stay so":    {Policy{Allow: []Region{region("aws:eu-west-9")}}, map[Region]Verdict{region("aws:eu-west-9"): Deny}},
		"listing Serbia is not law":  {Policy{Allow: []Region{serbia}}, map[Region]Verdict{serbia: Hold}},
		"London is a third country":  {Policy{Preset: EEAOnly, Allow: []Region{london}}, map[Region]Verdict{london: Hold}},
		"London under adequacy":      {Policy{Allow: []Region{london}}, map[Region]Verdict{london: Permit}},
		"the same code elsewhere":    {Policy{Allow: []Region{london}}, map[Region]Verdict{region("outscale:eu-west-2"): Hold}},
		"no conditional, no problem": {Policy{Preset: EEAPlusAdequacyNoConditional, Allow: []Region{zurich}}, map[Region]Verdict{zurich: Permit}},
	} {
		s := world(t, func(cfg *SnapshotConfig) { cfg.Policy = c.policy })
		for r, want := range c.want {
			if got := s.JudgeRegion(r, now); got.Verdict != want {
				t.Errorf("%s: %s is %v (%s), want %v", name, r, got.Verdict, got.Why, want)
			}
		}
	}
	s := world(t, func(cfg *SnapshotConfig) { cfg.Policy.Preset = EUOnly })
	if r := s.JudgeRegion(oslo, now); r.Ground != GroundPreset || r.Why != "azure:norwayeast (NO): in the EEA, not an EU member, which the preset eu_only does not accept" {
		t.Errorf("%+v", r)
	}
	s = world(t, func(cfg *SnapshotConfig) { cfg.Policy.Preset = EEAPlusAdequacyNoConditional })
	if r := s.JudgeParty("dpf", Signalling, Production, now); r.Verdict != Hold || r.Ground != GroundPreset {
		t.Errorf("%+v", r)
	}
}

func TestGrant(t *testing.T) {
	open := Grant{ID: "g1", Groups: []string{"iad"}, Regions: []Region{virginia}, NotBefore: now.Add(-time.Hour), Until: now.Add(time.Hour)}
	change := func(f func(*Grant)) Grant { g := open; f(&g); return g }
	iad := Ask{Party: "iad", Plane: Signalling, Addr: addr("198.51.100.1:5060"), At: now}
	for name, c := range map[string]struct {
		grants []Grant
		ask    Ask
		want   string // id of the grant that permits
	}{
		"live":             {[]Grant{open}, iad, "g1"},
		"media too":        {[]Grant{open}, Ask{Party: "iad", Plane: Media, At: now}, "g1"},
		"zero":             {[]Grant{{}}, iad, ""},
		"zero until":       {[]Grant{change(func(g *Grant) { g.Until = time.Time{} })}, iad, ""},
		"ends now":         {[]Grant{change(func(g *Grant) { g.Until = now })}, iad, ""},
		"one tick left":    {[]Grant{change(func(g *Grant) { g.Until = now.Add(1) })}, iad, "g1"},
		"begins now":       {[]Grant{change(func(g *Grant) { g.NotBefore = now })}, iad, "g1"},
		"begins later":     {[]Grant{change(func(g *Grant) { g.NotBefore = now.Add(1) })}, iad, ""},
		"other group":      {[]Grant{change(func(g *Grant) { g.Groups = []string{"zrh"} })}, iad, ""},
		"as a trunk":       {[]Grant{change(func(g *Grant) { g.Groups, g.Trunks = nil, []string{"iad"} })}, iad, "g1"},
		"other region":     {[]Grant{change(func(g *Grant) { g.Regions = []Region{serbia} })}, iad, ""},
		"no region":        {[]Grant{change(func(g *Grant) { g.Regions = nil })}, iad, ""},
		"longest lasting":  {[]Grant{open, change(func(g *Grant) { g.ID, g.Until = "g2", now.Add(2*time.Hour) }), change(func(g *Grant) { g.ID, g.Until = "g3", now.Add(time.Minute) })}, iad, "g2"},
		"no party":         {[]Grant{change(func(g *Grant) { g.Groups = []string{""} })}, Ask{Region: virginia, At: now}, ""},
		"every held place": {[]Grant{open}, Ask{Party: "iad", Plane: Signalling, Region: serbia, At: now}, ""},
		"both held places": {[]Grant{change(func(g *Grant) { g.Regions = []Region{virginia, serbia} })}, Ask{Party: "iad", Plane: Signalling, Region: serbia, At: now}, "g1"},
		"two half grants":  {[]Grant{open, change(func(g *Grant) { g.Regions = []Region{serbia} })}, Ask{Party: "iad", Plane: Signalling, Region: serbia, At: now}, ""},
		"home region":      {[]Grant{change(func(g *Grant) { g.Groups = []string{"us-homed"} })}, Ask{Party: "us-homed", Plane: Media, At: now}, "g1"},
		"not a denial":     {[]Grant{open}, Ask{Party: "iad", Plane: Signalling, Addr: addr("8.8.8.8:1"), At: now}, ""},
		"no unknown one": {
			[]Grant{change(func(g *Grant) { g.Groups, g.Regions = []string{"odd"}, []Region{region("aws:eu-west-9")} })},
			Ask{Party: "odd", Plane: Signalling, At: now},
			"",
		},
		"no global prefix": {[]Grant{open}, Ask{Party: "iad", Plane: Media, Addr: addr("52.129.96.1:1"), At: now}, ""},
		"lists over list":  {[]Grant{change(func(g *Grant) { g.Groups, g.Regions = []string{"dub"}, []Region{dublin} })}, Ask{Party: "dub", Plane: Media, At: now}, "g1"},
	} {
		s := world(t, nil).WithGrants(c.grants)
		r := s.Judge(c.ask)
		if r.Grant != c.want || (r.Verdict == Permit) != (c.want != "") || (r.Ground == GroundGrant) != (c.want != "") {
			t.Errorf("%s: %v by %q (%s: %s), want %q", name, r.Verdict, r.Grant, r.Ground, r.Why, c.want)
		}
	}
	s := world(t, nil).WithGrants([]Grant{open})
	if r := s.Judge(iad); !r.Until.Equal(open.Until) || r.Generation != 8 || !strings.Contains(r.Why, "grant g1 permits it until 2026-11-21T13:00:00Z") {
		t.Errorf("%+v", r)
	}
	// Nothing that is permitted anyway spends a grant, and an emergency call does not either.
	if r := s.JudgeParty("zrh", Media, Production, now); r.Grant != "" {
		t.Errorf("%+v", r)
	}
	if r := s.JudgeParty("iad", Media, EmergencyCall, now); r.Grant != "" || r.Ground != GroundEmergency {
		t.Errorf("%+v", r)
	}
	// A hold says when to ask again: when the next grant begins.
	s = s.WithGrants([]Grant{change(func(g *Grant) { g.NotBefore = now.Add(time.Minute) })})
	if r := s.Judge(iad); r.Verdict != Hold || !r.Until.Equal(now.Add(time.Minute)) {
		t.Errorf("%+v", r)
	}
}

// A permit lasts until the first of all the ends that it rests on.
func TestUntil(t *testing.T) {
	s := world(t, func(c *SnapshotConfig) {
		c.Policy.Allow = append(slices.Clone(c.Policy.Allow), london)
		c.Parties = append(c.Parties, Party{Name: "lon", Kind: KindGroup, Region: frankfurt, OrgHomeRegion: london})
		c.Suspended = []Suspension{{Instrument: "2000/518/EC", Since: date("2027-01-01")}}
	})
	for name, c := range map[string]struct {
		ask  Ask
		want time.Time
	}{
		"open":        {Ask{Addr: addr("192.0.2.1:1"), At: now}, time.Time{}},
		"instrument":  {Ask{Party: "lon", Plane: Signalling, At: now}, date("2031-12-28")},
		"declaration": {Ask{Party: "lon", Plane: Signalling, Addr: addr("203.0.113.1:1"), At: date("2026-10-01")}, date("2026-11-01")},
		"suspension":  {Ask{Addr: addr("192.0.2.200:1"), At: now}, date("2027-01-01")},
		"evidence":    {Ask{Party: "dpf", Plane: Media, At: now}, now.Add(-time.Hour).AddDate(0, 0, 7)},
	} {
		if r := s.Judge(c.ask); r.Verdict != Permit || !r.Until.Equal(c.want) {
			t.Errorf("%s: %v until %v, want %v", name, r.Verdict, r.Until, c.want)
		}
	}
}

// As of a past day, with and without what is known since.
func TestKnownAt(t *testing.T) {
	s := world(t, func(c *SnapshotConfig) {
		c.Parties = append(c.Parties, Party{Name: "shield", Kind: KindGroup, Region: virginia, Attributes: []Attribute{
			{Name: "recipient.privacy_shield_listed", Value: true, Evidence: "list of 2020"},
		}})
	})
	then := date("2020-07-01")
	if r := s.Judge(Ask{Party: "shield", Plane: Media, At: then}); r.Verdict != Permit || r.Instrument != "(EU) 2016/1250" {
		t.Errorf("believed then: %+v", r)
	}
	if r := s.Judge(Ask{Party: "shield", Plane: Media, At: then, KnownAt: now}); r.Verdict != Hold {
		t.Errorf("known now: %+v", r)
	}
}

func TestRulingAsJSON(t *testing.T) {
	r := world(t, nil).Judge(Ask{Party: "zrh", Plane: Signalling, Addr: addr("192.0.2.200:5061"), At: now})
	b, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"verdict":"permit","ground":"adequate","why":"address 192.0.2.200 in aws:eu-central-2 (CH): adequacy under 2000/518/EC",` +
		`"place":{"addr":"192.0.2.200","prefix":"192.0.2.128/25","region":"aws:eu-central-2","countries":["CH"],"contract":"annex 1"},` +
		`"region":"aws:eu-central-2","country":"CH","standing":"adequate","instrument":"2000/518/EC","proof":"declared","generation":7}`
	if string(b) != want {
		t.Errorf("%s\nwant %s", b, want)
	}
	var back Ruling
	if err := json.Unmarshal(b, &back); err != nil || back.Verdict != Permit || back.Region != zurich || back.Place.Prefix != r.Place.Prefix {
		t.Errorf("%+v, %v", back, err)
	}
}

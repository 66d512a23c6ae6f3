package sovereign

import (
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"
)

// draw makes random but plausible policies, parties and questions out of few parts, so that they meet each other often.
type draw struct{ *rand.Rand }

func (d draw) region() Region {
	all := []Region{frankfurt, frankfurt, zurich, zurich, dublin, london, oslo, virginia, serbia, region("aws:ap-northeast-1"), region("aws:ca-central-1")}
	if d.IntN(25) == 0 {
		all = []Region{region("aws:eu-west-9"), region("aws:eu-isoe-west-1")}
	}
	return all[d.IntN(len(all))]
}

func (d draw) regions(n int) []Region {
	out := make([]Region, d.IntN(n+1))
	for i := range out {
		out[i] = d.region()
	}
	return out
}

func (d draw) when() time.Time {
	if d.IntN(3) > 0 {
		return now
	}
	days := []time.Time{now.Add(-time.Minute), now.AddDate(0, 0, -8), now.AddDate(6, 0, 0), date("2020-07-01"), date("2019-06-01"), date("2021-03-01"), date("2031-12-28")}
	return days[d.IntN(len(days))]
}

func (d draw) attributes() []Attribute {
	var out []Attribute
	for name, v := range map[string]any{
		"recipient.dpf_listed": true, "recipient.dpf_covered_data": []string{"non_hr"}, "recipient.ftc_or_dot_jurisdiction": true,
		"recipient.appi_business_operator": true, "recipient.pipeda_subject": true, "recipient.privacy_shield_listed": true,
	} {
		switch d.IntN(5) {
		case 0:
		case 1:
			out = append(out, Attribute{Name: name, Value: v, At: d.when()})
		default:
			out = append(out, Attribute{Name: name, Value: v, Evidence: "e", At: d.when()})
		}
	}
	return out
}

func (d draw) config(t *testing.T) SnapshotConfig {
	t.Helper()
	decls := []Declaration{{Prefix: "52.129.96.0/20"}, {Prefix: "10.99.0.0/16", Countries: []Country{"RU", "DE"}}, {Prefix: "10.98.0.0/16", Countries: []Country{"IE", "DE"}}}
	for i := range 8 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i), 0, 0}), 16)
		decl := Declaration{Prefix: p.String(), Region: d.region()}
		if d.IntN(4) == 0 {
			decl.ValidUntil = d.when()
		}
		decls = append(decls, decl)
	}
	atlas, err := NewAtlas(nil, decls)
	if err != nil {
		t.Fatal(err)
	}
	cfg := SnapshotConfig{Atlas: atlas, Policy: Policy{Preset: Presets()[d.IntN(4)], Home: d.region(), Allow: d.regions(12)}}
	if d.IntN(2) == 0 { // half of the worlds are generous, so that much is permitted
		cfg.Policy = Policy{Home: frankfurt, Allow: append(d.regions(4), frankfurt, zurich, dublin, london, oslo)}
	}
	for _, name := range []string{"p0", "p1", "p2"} {
		p := Party{Name: name, Kind: PartyKind(1 + d.IntN(3)), Region: d.region(), MediaRegions: d.regions(2), Attributes: d.attributes()}
		if d.IntN(3) == 0 {
			p.OrgHomeRegion = d.region()
		}
		if d.IntN(2) == 0 {
			p.Contract = "c"
		}
		if d.IntN(2) == 0 {
			p.MediaEvidence = "m"
		}
		cfg.Parties = append(cfg.Parties, p)
	}
	return cfg
}

func (d draw) ask() Ask {
	a := Ask{Plane: Plane(d.IntN(5)), Purpose: Purpose(d.IntN(3)), Keys: d.IntN(2) == 0, At: d.when()}
	a.Party = []string{"", "p0", "p1", "p2", "p0", "p1", "p2", "p2", "who"}[d.IntN(9)]
	if d.IntN(4) > 0 {
		a.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(d.IntN(33) / 4), 1, 1}), 5060)
	}
	switch d.IntN(8) {
	case 0:
		a.Addr = addr("52.129.96.7:1")
	case 1:
		a.Addr = addr("10.99.1.1:1")
	case 2:
		a.Addr = addr("10.98.1.1:1")
	}
	if d.IntN(3) == 0 {
		a.Region = d.region()
	}
	if d.IntN(4) == 0 {
		a.KnownAt = a.At.AddDate(1, 0, 0)
	}
	return a
}

func (d draw) grants() []Grant {
	var out []Grant
	for range d.IntN(4) {
		g := Grant{ID: "g", Regions: slices.Concat(d.regions(8), d.regions(8)), NotBefore: d.when(), Until: d.when().Add(time.Duration(d.IntN(3)) * time.Minute)}
		for _, p := range []string{"p0", "p1", "p2", ""} {
			if d.IntN(2) == 0 {
				g.Groups = append(g.Groups, p)
			}
			if d.IntN(2) == 0 {
				g.Trunks = append(g.Trunks, p)
			}
		}
		out = append(out, g)
	}
	return out
}

func (d draw) suspensions() []Suspension {
	all := Shipped().Instruments()
	var out []Suspension
	for range 1 + d.IntN(3) {
		out = append(out, Suspension{Instrument: all[d.IntN(len(all))].ID, Since: d.when()})
	}
	return append(out, Suspension{Instrument: []string{"2000/518/EC", "(EU) 2021/1772", "(EU) 2023/1795"}[d.IntN(3)], Since: d.when()})
}

// running is ask for a session that may have been running for a while.
func (d draw) running() Ask {
	a := d.ask()
	if d.IntN(2) == 0 {
		a.Began = d.when().UnixNano()
	}
	return a
}

// strikes are leaves and cuts for what the other draws name.
func (d draw) strikes() (leaves []Leave, severed []Sever) {
	for range d.IntN(4) {
		from := d.when()
		leaves = append(leaves, Leave{
			Cause: []string{"2000/518/EC", "(EU) 2021/1772", "group p1", "region aws:eu-central-1"}[d.IntN(4)], Party: []string{"", "p1", "p2"}[d.IntN(3)],
			From: from, Until: from.Add(time.Duration(d.IntN(9000)) * time.Hour), Media: d.IntN(2) == 0,
		})
	}
	for range d.IntN(3) {
		severed = append(severed, Sever{
			Kind: []string{SeverTrunk, SeverGroup, SeverRegion}[d.IntN(3)], Name: []string{"p1", "p2", "aws:eu-central-1"}[d.IntN(3)], From: d.when(), Force: d.IntN(2) == 0,
		})
	}
	return leaves, severed
}

// Three promises over random worlds: nothing opens what is denied, a suspension never loosens, a narrower allow-list never loosens.
func TestProperties(t *testing.T) {
	var seen [3]int // verdicts, so that the test is known to have met each
	var granted, urgent, tightened int
	for seed := range uint64(800) {
		d := draw{rand.New(rand.NewPCG(seed, 1))}
		cfg := d.config(t)
		s, err := NewSnapshot(cfg)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		grants, suspended := d.grants(), d.suspensions()
		narrow := cfg
		if n := len(cfg.Policy.Allow); n > 1 { // an empty list means home alone, which is another list and no narrower one
			narrow.Policy.Allow = cfg.Policy.Allow[:1+d.IntN(n-1)]
		}
		narrower, err := NewSnapshot(narrow)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for range 8 {
			a := d.ask()
			base := s.Judge(a)
			seen[base.Verdict]++
			with := s.WithGrants(grants).Judge(a)
			emergency := a
			emergency.Purpose = EmergencyCall
			help := s.WithGrants(grants).Judge(emergency)
			switch base.Verdict {
			case Deny:
				if with.Verdict != Deny || help.Verdict != Deny {
					t.Fatalf("seed %d: %+v: denied, but %v with a grant and %v as an emergency", seed, a, with.Verdict, help.Verdict)
				}
			case Hold:
				if help.Ground != GroundEmergency || !help.Permitted() {
					t.Fatalf("seed %d: %+v: an emergency call is held: %+v", seed, a, help)
				}
				urgent++
				if with.Permitted() {
					granted++
					checkGrant(t, seed, a, base, with, grants)
				}
			case Permit:
				if with.Verdict != Permit || with.Grant != "" {
					t.Fatalf("seed %d: %+v: permitted, but with grants %+v", seed, a, with)
				}
			}
			for name, stricter := range map[string][2]*Snapshot{
				"suspension": {s.WithGrants(grants), s.WithGrants(grants).WithSuspensions(suspended)},
				"allow-list": {s.WithGrants(grants), narrower.WithGrants(grants)},
			} {
				before, after := stricter[0].Judge(a), stricter[1].Judge(a)
				if after.Verdict > before.Verdict {
					t.Fatalf("seed %d: %s: %+v: %v (%s) became %v (%s)", seed, name, a, before.Verdict, before.Why, after.Verdict, after.Why)
				}
				if after.Verdict < before.Verdict {
					tightened++
				}
			}
			checkUntil(t, seed, s.WithGrants(grants).WithSuspensions(suspended), a)
			checkMemory(t, seed, s.WithGrants(grants).WithSuspensions(suspended), a)
		}
	}
	if seen[Deny] < 1000 || seen[Hold] < 1000 || seen[Permit] < 400 || granted < 100 || urgent < 500 || tightened < 100 {
		t.Errorf("the worlds are too tame: %v, %d grants, %d emergencies, %d tightened", seen, granted, urgent, tightened)
	}
}

// checkGrant holds what a grant needs: it is live, names the party, and names every region that is held without it.
func checkGrant(t *testing.T, seed uint64, a Ask, base, with Ruling, grants []Grant) {
	t.Helper()
	ok := slices.ContainsFunc(grants, func(g Grant) bool {
		return !a.At.Before(g.NotBefore) && a.At.Before(g.Until) && slices.Contains(g.Regions, base.Region) &&
			a.Party != "" && (slices.Contains(g.Groups, a.Party) || slices.Contains(g.Trunks, a.Party))
	})
	if !ok || with.Ground != GroundGrant || with.Grant == "" || with.Until.IsZero() || base.Region.IsZero() {
		t.Fatalf("seed %d: %+v: %+v under %+v", seed, a, with, grants)
	}
}

// checkMemory holds that no answer depends on what was asked before: at the same time, around the end of an answer, and in the past.
func checkMemory(t *testing.T, seed uint64, s *Snapshot, a Ask) {
	t.Helper()
	until := s.Judge(a).Until
	for _, at := range []time.Time{a.At, a.At.Add(rememberFor - 1), a.At.Add(rememberFor), a.At.Add(-1), until.Add(-1), until, until.Add(1), a.At} {
		for _, port := range []uint16{a.Addr.Port(), 7} {
			b := a
			b.At, b.Addr = at, netip.AddrPortFrom(a.Addr.Addr(), port)
			if b.At.IsZero() {
				continue
			}
			if got, want := s.Judge(b), s.judge(b); !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d: %+v: %+v is remembered, but the answer is %+v", seed, b, got, want)
			}
		}
	}
}

// checkUntil holds the promise of Until: one tick before it the verdict is still the same, so asking again then is soon enough. Without KnownAt, because
// knowledge grows with the clock otherwise.
func checkUntil(t *testing.T, seed uint64, s *Snapshot, a Ask) {
	t.Helper()
	a.KnownAt = time.Time{}
	r := s.Judge(a)
	if r.Verdict != Permit || r.Until.IsZero() {
		return
	}
	if !r.Until.After(a.At) {
		t.Fatalf("seed %d: %+v: permitted until %v, which is not later", seed, a, r.Until)
	}
	b := a
	b.At = r.Until.Add(-1)
	if a.At.Before(date("2020-07-16")) || a.At.Before(now.AddDate(0, 0, -10)) {
		return // the past was ended by judgments that nobody could foresee
	}
	if later := s.Judge(b); later.Verdict != Permit {
		t.Fatalf("seed %d: %+v: permitted until %v, but before: %+v", seed, a, r.Until, later)
	}
}

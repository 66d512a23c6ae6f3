package charter

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// draw makes charters out of few parts, so that two of them often differ in one thing alone.
type draw struct{ *rand.Rand }

func one[T any](d draw, list ...T) T { return list[d.IntN(len(list))] }

func (d draw) region() sovereign.Region { return one(d, frankfurt, frankfurt, zurich, virginia, own) }

func (d draw) regions(n int) (out []sovereign.Region) {
	for range d.IntN(n + 1) {
		out = append(out, d.region())
	}
	return out
}

func (d draw) day() time.Time {
	return one(d, time.Time{}, time.Time{}, day, day.AddDate(0, 6, 0), day.AddDate(1, 0, 0))
}

func (d draw) place(prefix string) sovereign.Declaration {
	out := sovereign.Declaration{Prefix: prefix, Contract: one(d, "a", "a", "a", "b"), ValidFrom: d.day(), ValidUntil: d.day()}
	if !out.ValidUntil.IsZero() && !out.ValidUntil.After(out.ValidFrom) {
		out.ValidUntil = time.Time{}
	}
	if d.IntN(4) == 0 {
		out.Countries = one(d, []sovereign.Country{"CH", "DE"}, []sovereign.Country{"DE", "IE"}, []sovereign.Country{"US"})
		return out
	}
	out.Region = d.region()
	return out
}

var prefixes = []string{"10.0.0.0/16", "10.0.1.0/24", "10.0.1.128/25", "10.0.0.0/8", "10.1.0.0/16", "10.2.0.0/15"}

func (d draw) attributes() (out []sovereign.Attribute) {
	for _, name := range []string{"recipient.dpf_listed", "recipient.dpf_covered_data", "recipient.ftc_or_dot_jurisdiction"} {
		for range one(d, 0, 1, 1, 1, 2) {
			a := sovereign.Attribute{Name: name, Value: d.IntN(4) > 0, Evidence: "e", At: day.Add(-time.Hour)}
			if name == "recipient.dpf_covered_data" {
				a.Value = []string{one(d, "non_hr", "hr")}
			}
			out = append(out, a)
		}
	}
	return out
}

func (d draw) party(name string) sovereign.Party {
	p := sovereign.Party{Name: name, Kind: sovereign.KindGroup, Region: d.region(), MediaRegions: d.regions(2), MediaEvidence: one(d, "", "m"), Contract: one(d, "", "c")}
	if d.IntN(3) == 0 {
		p.OrgHomeRegion = d.region()
	}
	p.Attributes = d.attributes()
	return p
}

func (d draw) charter(t *testing.T) Charter {
	c := Charter{
		Policy:  sovereign.Policy{Preset: one(d, sovereign.Presets()...), Home: d.region(), Allow: d.regions(5)},
		Regions: []Region{{Key: own, Country: one[sovereign.Country](d, "DE", "CH", "US"), Contract: "x"}}, Gate: rules(t, nil),
	}
	for _, p := range prefixes {
		if d.IntN(3) > 0 {
			c.Places = append(c.Places, d.place(p))
		}
	}
	for _, name := range []string{"p0", "p1"} {
		c.Parties = append(c.Parties, d.party(name))
	}
	return c
}

// changed is c with one thing or two that are otherwise.
func (d draw) changed(c Charter) Charter {
	c = c.sorted()
	for range 1 + d.IntN(2) {
		i := d.IntN(max(1, len(c.Places)))
		p := &c.Parties[d.IntN(len(c.Parties))]
		p.MediaRegions, p.Attributes = slices.Clone(p.MediaRegions), slices.Clone(p.Attributes)
		switch d.IntN(16) {
		case 0:
			c.Policy.Preset = one(d, sovereign.Presets()...)
		case 1:
			c.Policy.Allow = d.regions(5)
		case 2, 3:
			if n := len(c.Policy.Allow); n > 0 {
				c.Policy.Allow = c.Policy.Allow[:d.IntN(n)]
			}
		case 4:
			c.Regions = nil
		case 5, 6, 7:
			if len(c.Places) > 0 {
				c.Places = slices.Delete(c.Places, i, i+1)
			}
		case 8:
			if len(c.Places) > 0 {
				c.Places[i] = d.place(c.Places[i].Prefix)
			}
		case 9, 10:
			if len(c.Places) > 0 {
				x := d.place(c.Places[i].Prefix)
				c.Places[i].ValidFrom, c.Places[i].ValidUntil = x.ValidFrom, x.ValidUntil
			}
		case 11:
			p.Attributes = p.Attributes[:d.IntN(len(p.Attributes)+1)]
		case 12:
			if n := len(p.Attributes); n > 0 {
				j := d.IntN(n)
				p.Attributes = slices.Delete(p.Attributes, j, j+1)
			}
		case 13:
			p.MediaEvidence, p.Contract = "", ""
		case 14:
			p.OrgHomeRegion = d.region()
		case 15:
			*p = d.party(p.Name)
		}
	}
	return c
}

func (d draw) ask() sovereign.Ask {
	a := sovereign.Ask{Party: one(d, "", "p0", "p1"), Plane: sovereign.Plane(d.IntN(5)), Keys: d.IntN(2) == 0, At: one(d, day, day.AddDate(0, 0, 1), day.AddDate(0, 7, 0), day.AddDate(2, 0, 0), day.AddDate(-1, 0, 0))}
	a.Addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(d.IntN(5)), byte(d.IntN(3)), byte(d.IntN(256))}), 5060)
	if d.IntN(5) == 0 {
		a.Region = d.region()
	}
	return a
}

// What does not widen permits nothing that was not permitted, and holds nothing that was denied.
func TestNothingIsPermittedThatWasNot(t *testing.T) {
	narrower, stricter, permitted, wider := 0, 0, 0, 0
	for seed := range uint64(4000) {
		d := draw{rand.New(rand.NewPCG(seed, 3))}
		old := d.charter(t)
		next := d.changed(old)
		ws := Widens(old, next)
		before, err := old.Snapshot(1, nil, nil)
		if err != nil {
			continue // a region that is gone is in the allow-list, say
		}
		after, err := next.Snapshot(1, nil, nil)
		if err != nil {
			continue
		}
		if len(ws) == 0 {
			narrower++
		}
		for range 60 {
			a := d.ask()
			was, is := before.Judge(a), after.Judge(a)
			if is.Verdict > was.Verdict {
				wider++
				if len(ws) == 0 {
					t.Fatalf("seed %d: %+v: was %v (%s) and is %v (%s), and nothing widens\n%+v\n%+v", seed, a, was.Verdict, was.Why, is.Verdict, is.Why, old, next)
				}
			}
			if len(ws) == 0 && is.Permitted() {
				permitted++
			}
			if len(ws) == 0 && is.Verdict < was.Verdict {
				stricter++
			}
		}
	}
	if narrower < 1000 || stricter < 1000 || permitted < 1000 || wider < 1000 {
		t.Errorf("the worlds are too tame: %d pairs that do not widen, %d answers that got stricter, %d permits in them, %d answers that got wider elsewhere", narrower, stricter, permitted, wider)
	}
}

package sovereign

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/octets"
)

// travel sends s to another process and back into this one.
func travel(t testing.TB, s *Snapshot) *Snapshot {
	t.Helper()
	form, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	copied, err := DecodeSnapshot(form)
	if err != nil {
		t.Fatal(err)
	}
	clear(form) // nothing of the bytes is kept
	return copied
}

// same holds that two snapshots rule alike, to the last word and as people read it.
func same(t testing.TB, a, b *Snapshot, ask Ask) Ruling {
	t.Helper()
	one, two := a.Judge(ask), b.Judge(ask)
	text, _ := json.Marshal(one)
	copied, _ := json.Marshal(two)
	if !bytes.Equal(text, copied) || !one.Until.Equal(two.Until) || one.Verdict != two.Verdict {
		t.Fatalf("%+v:\n%s here, and there\n%s", ask, text, copied)
	}
	return one
}

// equal holds that two snapshots are of the same parts.
func equal(t testing.TB, a, b *Snapshot) {
	t.Helper()
	if a.Generation() != b.Generation() || a.PolicyDigest() != b.PolicyDigest() || a.FactsDigest() != b.FactsDigest() {
		t.Fatalf("generation %d %d, policy %s %s, facts %s %s", a.Generation(), b.Generation(), a.PolicyDigest(), b.PolicyDigest(), a.FactsDigest(), b.FactsDigest())
	}
	if !reflect.DeepEqual(a.Leaves(), b.Leaves()) || !reflect.DeepEqual(a.Severed(), b.Severed()) {
		t.Fatalf("%+v %+v, and there %+v %+v", a.Leaves(), a.Severed(), b.Leaves(), b.Severed())
	}
	if !reflect.DeepEqual(a.Grants(), b.Grants()) || !reflect.DeepEqual(a.Suspended(), b.Suspended()) || !reflect.DeepEqual(a.Policy(), b.Policy()) {
		t.Fatalf("%+v %+v %+v, and there %+v %+v %+v", a.Grants(), a.Suspended(), a.Policy(), b.Grants(), b.Suspended(), b.Policy())
	}
	if !reflect.DeepEqual(a.Atlas().Declarations(), b.Atlas().Declarations()) || (a.Atlas() == nil) != (b.Atlas() == nil) {
		t.Fatalf("%+v, and there %+v", a.Atlas().Declarations(), b.Atlas().Declarations())
	}
	if !reflect.DeepEqual(a.Parties(), b.Parties()) || !reflect.DeepEqual(a.Catalogue().Regions(), b.Catalogue().Regions()) {
		t.Fatalf("%+v, and there %+v", a.Parties(), b.Parties())
	}
}

// A copy that travelled rules as the original does: the same verdict for the same reason, in the same words, until the same moment.
func TestACopyRulesAlike(t *testing.T) {
	var seen [3]int
	var granted, ending int
	for seed := range uint64(150) {
		d := draw{rand.New(rand.NewPCG(seed, 2))}
		cfg := d.config(t)
		cfg.Grants, cfg.Generation = d.grants(), d.Uint64()
		if d.IntN(3) == 0 {
			cfg.Leaves, cfg.Severed = d.strikes()
		}
		if d.IntN(2) == 0 {
			cfg.Suspended = d.suspensions()
		}
		if d.IntN(4) == 0 {
			cfg.Atlas = nil
		}
		s, err := NewSnapshot(cfg)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		copied := travel(t, s)
		equal(t, s, copied)
		for range 12 {
			r := same(t, s, copied, d.ask())
			seen[r.Verdict]++
			if r.Grant != "" {
				granted++
			}
			if r.Permitted() && !r.Until.IsZero() {
				ending++
			}
			form, err := r.AppendBinary([]byte("before"))
			if err != nil {
				t.Fatal(err)
			}
			if back, err := DecodeRuling(form[len("before"):]); err != nil || !reflect.DeepEqual(back, r) {
				t.Fatalf("%+v, and there %+v: %v", r, back, err)
			}
		}
		leaves, severed := d.strikes()
		later := s.WithGrants(d.grants()).WithStrikes(d.suspensions(), leaves, severed)
		form, err := later.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		next, err := copied.Next(form)
		if err != nil || next.Atlas() != copied.Atlas() {
			t.Fatalf("seed %d: the prefixes are built again, %v", seed, err)
		}
		equal(t, later, next)
		for range 6 {
			same(t, later, next, d.ask())
		}
		for _, plane := range []Plane{Signalling, Media} {
			if one, two := s.JudgeParty("p1", plane, Production, now), copied.JudgeParty("p1", plane, Production, now); !reflect.DeepEqual(one, two) {
				t.Fatalf("seed %d: %+v, and there %+v", seed, one, two)
			}
		}
	}
	if seen[Deny] < 200 || seen[Hold] < 200 || seen[Permit] < 100 || granted < 10 || ending < 50 {
		t.Errorf("the worlds are too tame: %v, %d grants, %d ends", seen, granted, ending)
	}
}

// The vectors of the law hold in a copy, with what a vector says attested by a party whose region stands in the vector's country.
func TestVectorsInACopy(t *testing.T) {
	asked := 0
	for _, c := range readVectors(t).Jurisdiction {
		preset, err := ParsePreset(c.Preset)
		if err != nil {
			t.Fatal(err)
		}
		home := region("vector:" + c.ID)
		regions, err := ShippedRegions().With(nil, RegionFact{Region: home, Country: Country(c.Country), Source: c.ID})
		if err != nil {
			regions = ShippedRegions() // the vector's country is none, so its region is unknown
		}
		party := Party{Name: "p", Kind: KindGroup, Region: home}
		for name, value := range c.Attrs {
			party.Attributes = append(party.Attributes, Attribute{Name: name, Value: value, Evidence: "vector " + c.ID, At: c.At})
		}
		cfg := SnapshotConfig{Catalogue: regions, Policy: Policy{Preset: preset, Home: home}, Parties: []Party{party}}
		for _, id := range c.Suspended {
			cfg.Suspended = append(cfg.Suspended, Suspension{Instrument: id, Since: c.At})
		}
		s, err := NewSnapshot(cfg)
		if err != nil {
			t.Fatalf("%s: %v", c.ID, err)
		}
		r := same(t, s, travel(t, s), Ask{Party: "p", Plane: Media, At: c.At, KnownAt: c.KnownAt})
		if r.Verdict != expected[c.Expect] {
			t.Errorf("%s: %+v, want %s", c.ID, r, c.Expect)
		}
		asked++
	}
	if asked != 37 {
		t.Errorf("%d vectors", asked)
	}
}

// What a file or a person may write and the digests distinguish arrives as it was.
func TestWhatTravels(t *testing.T) {
	berlin := time.FixedZone("Europe/Berlin", 3600)
	own, err := ShippedRegions().With(nil, RegionFact{Region: region("carrier:x"), Country: "UK", Source: "C-1", AsOf: now.In(berlin)}, RegionFact{Region: region("carrier:a"), Country: "DE"})
	if err != nil {
		t.Fatal(err)
	}
	if own, err = own.With(nil, RegionFact{Region: region("carrier:y"), Country: "FR", Status: "restricted"}); err != nil {
		t.Fatal(err)
	}
	if own, err = own.With(nil); err != nil {
		t.Fatal(err)
	}
	ownAtlas, err := NewAtlas(own, []Declaration{{Prefix: "10.0.0.0/8", Region: region("carrier:x"), ValidUntil: now.Add(time.Hour).In(berlin)}, {Prefix: "::ffff:192.0.2.0/120", Countries: []Country{"uk"}}})
	if err != nil {
		t.Fatal(err)
	}
	empty, err := NewAtlas(nil, []Declaration{})
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*SnapshotConfig){
		"nothing":          func(*SnapshotConfig) {},
		"no atlas":         func(c *SnapshotConfig) { c.Atlas = nil },
		"an empty atlas":   func(c *SnapshotConfig) { c.Atlas = empty },
		"nobody":           func(c *SnapshotConfig) { c.Parties = nil },
		"an empty list":    func(c *SnapshotConfig) { c.Policy.Allow, c.Parties[0].MediaRegions = []Region{}, []Region{} },
		"no list":          func(c *SnapshotConfig) { c.Policy.Allow, c.Parties[0].MediaRegions = nil, nil },
		"own regions":      func(c *SnapshotConfig) { c.Catalogue, c.Atlas, c.Policy.Allow[0] = own, ownAtlas, region("carrier:x") },
		"a list from YAML": func(c *SnapshotConfig) { c.Parties[0].Attributes = []Attribute{{Name: "a", Value: []any{"b", "c"}}} },
		"no list of texts": func(c *SnapshotConfig) { c.Parties[0].Attributes = []Attribute{{Name: "a", Value: []any(nil)}} },
		"a text": func(c *SnapshotConfig) {
			c.Parties[0].Attributes = []Attribute{{Name: "a", Value: "b", At: now.In(berlin)}}
		},
		"a false":     func(c *SnapshotConfig) { c.Parties[0].Attributes = []Attribute{{Name: "a", Value: false}} },
		"an odd kind": func(c *SnapshotConfig) { c.Parties[0].Kind = 200 },
		"a signature": func(c *SnapshotConfig) { c.Suspended = []Suspension{{"2000/518/EC", now, "r", "k", []byte{1, 2}}} },
		"the last generation": func(c *SnapshotConfig) {
			c.Generation, c.Grants = 1<<64-1, []Grant{{ID: "g", Groups: []string{}, Entry: 1<<64 - 1, Until: time.Now().Round(0).UTC()}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := world(t, change)
			copied := travel(t, s)
			if name != "a list from YAML" && name != "no list of texts" && name != "own regions" && name != "a text" {
				equal(t, s, copied)
			}
			if s.PolicyDigest() != copied.PolicyDigest() || s.FactsDigest() != copied.FactsDigest() {
				t.Error("the digests differ")
			}
			for _, a := range []string{"10.1.2.3:4", "192.0.2.1:5060", "192.0.2.200:5060", "198.51.100.1:1", "52.129.96.1:1", "8.8.8.8:53", "[2001:db8::1]:1"} {
				for _, party := range []string{"", "carrier", "fra", "dpf", "who"} {
					same(t, s, copied, Ask{Party: party, Plane: Media, Addr: addr(a), At: now})
				}
			}
			if again := travel(t, copied); again.FactsDigest() != s.FactsDigest() {
				t.Error("the second journey changed something")
			}
		})
	}
}

// What stays is shared, what changed is not, and which snapshot came before changes no answer.
func TestNextShares(t *testing.T) {
	s := world(t, nil)
	form := func(s *Snapshot) []byte {
		b, err := s.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	first := travel(t, s)
	granted := s.WithGrants([]Grant{{ID: "g", Groups: []string{"iad"}, Regions: []Region{virginia}, NotBefore: now.Add(-time.Hour), Until: now.Add(time.Hour)}})
	narrow := world(t, func(c *SnapshotConfig) { c.Policy.Allow = []Region{zurich} })
	moved := world(t, func(c *SnapshotConfig) {
		c.Atlas, _ = NewAtlas(nil, []Declaration{{Prefix: "192.0.2.0/24", Region: dublin}})
	})
	for name, c := range map[string]struct {
		before, sent *Snapshot
		shares       bool
	}{
		"the same again":             {first, s, true},
		"a grant":                    {first, granted, true},
		"a grant ends":               {travel(t, granted), s, true},
		"a suspension":               {first, s.WithSuspensions([]Suspension{{Instrument: "2000/518/EC", Since: now.Add(-time.Hour)}}), true},
		"a suspension, then a grant": {first.WithSuspensions([]Suspension{{Instrument: "2000/518/EC"}}), granted, true},
		"another policy":             {first, narrow, false},
		"other prefixes":             {first, moved, false},
		"other law":                  {first, world(t, func(c *SnapshotConfig) { c.Law = lawOfOnesOwn(t) }), false},
		"one that did not travel":    {s, granted, false},
		"none":                       {nil, granted, false},
	} {
		b := form(c.sent)
		next, err := c.before.Next(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		clear(b)
		if shares := c.before != nil && next.Atlas() == c.before.Atlas(); shares != c.shares {
			t.Errorf("%s: shares the prefixes: %t", name, shares)
		}
		equal(t, c.sent, next)
		for _, a := range asks() {
			same(t, c.sent, next, a)
		}
		if c.before != nil && c.before.Generation() != 7 && c.before.Generation() != 8 {
			t.Errorf("%s: the snapshot before became generation %d", name, c.before.Generation())
		}
	}
	for want, b := range map[string][]byte{
		"its facts have the digest": sealed(bytes.Replace(form(granted)[len(snapshotForm):len(form(granted))-sha256.Size], []byte(granted.FactsDigest()), []byte(strings.Repeat("0", 64)), 1)),
		"checksum":                  form(granted)[:5000],
	} {
		if got, err := first.Next(b); got != nil || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// A reading of a monotonic clock means nothing to another process: the end of a grant is a moment of the wall clock.
func TestGrantsTravelByTheWallClock(t *testing.T) {
	g := grantFor("iad", time.Hour, virginia)
	got := travel(t, worldNow(t).WithGrants(g)).Grants()
	if len(got) != 1 || !got[0].Until.Equal(g[0].Until) || got[0].Until.String() != got[0].Until.Round(0).String() {
		t.Errorf("%+v", got)
	}
}

// lawOfOnesOwn is the shipped table but for Russia, which people may decide on.
func lawOfOnesOwn(t testing.TB) *Law {
	t.Helper()
	l, err := ParseLaw(bytes.ReplaceAll(ShippedLawJSON(), []byte(`"verdict": "deny"`), []byte(`"verdict": "gate"`)))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// A receiver with other fact tables rules by those of the sender.
func TestFactsTravel(t *testing.T) {
	regions, err := ParseCatalogue(bytes.ReplaceAll(regionsJSON, []byte(`"eu-central-1"`), []byte(`"eu-central-9"`)), Shipped())
	if err != nil {
		t.Fatal(err)
	}
	moscow, err := ShippedRegions().With(nil, RegionFact{Region: region("carrier:moscow"), Country: "RU"})
	if err != nil {
		t.Fatal(err)
	}
	law := world(t, func(c *SnapshotConfig) { c.Law, c.Catalogue = lawOfOnesOwn(t), moscow })
	if r := same(t, law, travel(t, law), Ask{Region: region("carrier:moscow"), At: now}); r.Verdict != Hold || r.Ground != GroundContested {
		t.Errorf("%+v", r)
	}
	s := world(t, func(c *SnapshotConfig) {
		c.Catalogue = regions
		if c.Atlas, err = NewAtlas(regions, []Declaration{{Prefix: "10.0.0.0/8", Region: region("aws:eu-central-9")}}); err != nil {
			t.Fatal(err)
		}
		c.Policy.Allow = append(c.Policy.Allow, region("aws:eu-central-9"))
	})
	copied := travel(t, s)
	if r := same(t, s, copied, Ask{Addr: addr("10.0.0.1:1"), At: now}); r.Verdict != Permit {
		t.Errorf("%+v", r)
	}
	if r := same(t, s, copied, Ask{Region: frankfurt, At: now}); r.Ground != GroundUnknownRegion {
		t.Errorf("%+v", r)
	}
}

// sealed makes a form of whatever stands between its name and its checksum.
func sealed(body []byte) []byte {
	b := append([]byte(snapshotForm), body...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

// unsealed is what stands between name and checksum.
func unsealed(t testing.TB, s *Snapshot) []byte {
	t.Helper()
	form, err := s.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return form[len(snapshotForm) : len(form)-sha256.Size]
}

func TestDecodeSnapshotRefuses(t *testing.T) {
	s := world(t, func(c *SnapshotConfig) {
		c.Grants = []Grant{{ID: "g", Groups: []string{"iad"}, Regions: []Region{virginia}, NotBefore: now.Add(-time.Hour), Until: now.Add(time.Hour)}}
	})
	body, form := unsealed(t, s), sealed(unsealed(t, s))
	if _, err := DecodeSnapshot(form); err != nil {
		t.Fatal(err)
	}
	swap := func(old, with string) []byte {
		if bytes.Count(body, []byte(old)) == 0 {
			t.Fatalf("%q is not in it", old)
		}
		return sealed(bytes.Replace(body, []byte(old), []byte(with), 1))
	}
	stale, err := ShippedRegions().With(nil, RegionFact{Region: region("carrier:x"), Country: "DE"})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere, err := NewAtlas(stale, []Declaration{{Prefix: "10.0.0.0/8", Region: region("carrier:x")}})
	if err != nil {
		t.Fatal(err)
	}
	var bomb bytes.Buffer
	w, _ := flate.NewWriter(&bomb, flate.BestSpeed)
	_, _ = w.Write(make([]byte, maxTable+2))
	_ = w.Close()
	law := lawOfOnesOwn(t)
	_, parts := apart(s)
	facts := func(l, regions table) []byte { return sealed(joined(s, liveParts(s), l, regions, parts)) }
	ours, our := tablesOf(s)
	if _, err := DecodeSnapshot(facts(ours, our)); err != nil {
		t.Fatal(err)
	}
	preset := "\x11" + string(EEAPlusAdequacy)
	for want, b := range map[string][]byte{
		"does not begin as one":              []byte("{}"),
		"it does not begin":                  append([]byte("x"), form...),
		"form 9, and this program reads":     bytes.Replace(form, []byte("snapshot\x05"), []byte("snapshot\x09"), 1),
		"checksum":                           append(form[:len(form)-1:len(form)-1], form[len(form)-1]^1),
		"more than the":                      make([]byte, MaxSnapshot+1),
		"bytes follow the end":               sealed(append(body[:len(body):len(body)], 0)),
		"not written as this program":        swap(preset, "\x00"), // the default preset by its short name: the same policy
		"its policy has the digest":          swap(preset, "\x08"+string(EEAOnly)),
		`its policy has the digest `:         swap("annex 1", "annex 9"),
		"shortest form":                      sealed(append([]byte{0x87, 0}, body[1:]...)),
		"law table has the digest":           facts(table{strings.Repeat("0", 64), law.packed()}, our),
		"its facts have the digest":          facts(table{law.digest, law.packed()}, our),
		"its fact table has more than":       facts(table{strings.Repeat("0", 64), bomb.Bytes()}, our),
		"its fact table: ":                   facts(table{strings.Repeat("0", 64), []byte("xyz")}, our),
		"region table has the digest":        facts(ours, table{strings.Repeat("0", 64), our.packed}),
		"region table: schema":               facts(ours, table{strings.Repeat("0", 64), law.packed()}),
		"its prefixes lie elsewhere":         sealed(unsealed(t, world(t, func(c *SnapshotConfig) { c.Atlas = elsewhere }))),
		"is no shape of a value":             sealed(bytes.Replace(unsealed(t, worldNow(t)), []byte("dpf_listed\x00"), []byte("dpf_listed\x03"), 1)),
		"neither true nor false":             sealed(bytes.Replace(unsealed(t, worldNow(t)), []byte("dpf_listed\x00\x01"), []byte("dpf_listed\x00\x02"), 1)),
		"is declared twice: names are share": swap("\x03zrh", "\x03fra"),
		"write it as address/length":         swap("192.0.2.0/25", "192.0.2.0/x5"),
	} {
		if got, err := DecodeSnapshot(b); got != nil || err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "sovereign: snapshot: ") {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func TestSnapshotsThatCannotTravel(t *testing.T) {
	before := []byte("before")
	large := *world(t, nil)
	large.cfg.Suspended = []Suspension{{Sig: make([]byte, MaxSnapshot)}}
	for want, s := range map[string]*Snapshot{
		"there is none":         nil,
		"the year 10000":        world(t, nil).WithGrants([]Grant{{ID: "g", Until: time.Date(10000, 6, 1, 0, 0, 0, 0, time.UTC)}}),
		"may travel: declare f": &large,
	} {
		if b, err := s.AppendBinary(before); err == nil || !strings.Contains(err.Error(), want) || string(b) != "before" {
			t.Errorf("%v, %d bytes; want %q", err, len(b), want)
		}
	}
}

// A form that was cut off, or of which a bit is wrong, is refused, and the fence keeps the snapshot that is in force.
func TestADamagedSnapshotChangesNothing(t *testing.T) {
	s := worldNow(t)
	f := NewFence(s, nil)
	p, _ := f.Pass(Ask{Party: "fra", Plane: Media, Addr: addr("192.0.2.1:4000")})
	c, _ := p.Clear(time.Now())
	form, err := s.WithGrants(grantFor("iad", time.Hour, virginia)).AppendBinary([]byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	form = form[1:]
	receive := func(b []byte) {
		if next, err := DecodeSnapshot(b); err == nil {
			f.Swap(next)
		} else if next != nil {
			t.Fatal("a snapshot comes with an error")
		}
	}
	for n := 0; n < len(form); n += 1 + n/100 {
		receive(form[:n])
		damaged := bytes.Clone(form)
		damaged[n] ^= 1 << (n % 8)
		receive(damaged)
	}
	receive(append(form[:len(form):len(form)], 0))
	if f.Snapshot() != s || !p.Live(time.Now()) || !c.Good(f.Epoch(), time.Now().UnixNano()) {
		t.Error("a damaged snapshot is in force")
	}
	if receive(form); f.Snapshot() == s || f.Snapshot().Generation() != s.Generation()+1 {
		t.Error("the whole one is not")
	}
}

// asks are questions that touch every part of world.
func asks() (out []Ask) {
	for _, a := range []string{"192.0.2.1:1", "192.0.2.200:1", "198.51.100.1:1", "203.0.113.1:1", "52.129.96.1:1", "100.64.0.1:1", "8.8.8.8:1", "[2001:db8::1]:1"} {
		for _, p := range []string{"", "carrier", "iad", "dpf"} {
			out = append(out, Ask{Party: p, Plane: Media, Addr: addr(a), At: now})
		}
	}
	return out
}

// FuzzDecodeSnapshot: no input is a panic, and what is taken rules as a snapshot does that is built of the parts which it names. Digests and checksum are made to
// fit, for else no input would come far, and the fact tables stay out of what is varied, because they are most of a form.
func FuzzDecodeSnapshot(f *testing.F) {
	own, err := ShippedRegions().With(nil, RegionFact{Region: region("carrier:x"), Country: "DE"})
	if err != nil {
		f.Fatal(err)
	}
	for _, change := range []func(*SnapshotConfig){
		nil,
		func(c *SnapshotConfig) { c.Catalogue, c.Atlas, c.Parties = own, nil, c.Parties[7:8] },
		func(c *SnapshotConfig) {
			c.Suspended, c.Parties = []Suspension{{Instrument: "2000/518/EC", Since: now}}, c.Parties[:1]
			c.Grants = []Grant{{ID: "g", Trunks: []string{"carrier"}, Regions: []Region{virginia}, Until: now.Add(time.Hour)}}
		},
	} {
		live, parts := apart(world(f, change))
		f.Add(live, parts, false)
		f.Add(live, parts, true)
	}
	laws := map[bool]*Law{false: Shipped(), true: lawOfOnesOwn(f)}
	before := travel(f, world(f, nil))
	f.Fuzz(func(t *testing.T, live, parts []byte, foreign bool) {
		for _, b := range [][]byte{parts, sealed(parts), sealed(live)} {
			if s, err := DecodeSnapshot(b); err == nil || s != nil {
				t.Fatal("parts are taken for a whole form")
			}
		}
		s := &Snapshot{cfg: SnapshotConfig{Law: laws[foreign], Catalogue: ShippedRegions(), Generation: 7}}
		l, regions := tablesOf(s)
		alone := octets.NewReader(live)
		octets.List(alone, readSuspension)
		octets.List(alone, readGrant)
		r := octets.NewReader(joined(s, live, l, regions, parts))
		came := readHead(r, false)
		came.readGround(r)
		if r.End() != nil || alone.End() != nil {
			return
		}
		law, err := came.lawTable()
		if err != nil {
			return
		}
		built, err := came.build(law, &came.ruled, nil)
		if err != nil {
			return
		}
		takenAsNamed(t, travel(t, built))
		s.policyDigest, s.factsDigest, s.cfg.Atlas = built.policyDigest, built.factsDigest, built.cfg.Atlas
		form := sealed(joined(s, live, l, regions, parts))
		taken, err := DecodeSnapshot(form)
		if err != nil {
			if !strings.Contains(err.Error(), "not written as this program") {
				t.Fatal(err)
			}
			if _, err := before.Next(form); err == nil {
				t.Fatal("taken after another one alone")
			}
			return
		}
		takenAsNamed(t, taken)
		for _, first := range []*Snapshot{before, taken} {
			next, err := first.Next(form)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, taken, next)
			takenAsNamed(t, next)
		}
	})
}

// apart gives of a form what changes while a node runs, and what follows the fact tables; joined puts them together again as s says, with such tables.
func apart(s *Snapshot) (live, parts []byte) {
	w := &octets.Writer{}
	s.writeGround(w, nil, nil)
	skip := &octets.Writer{}
	l, regions := tablesOf(s)
	skip.Text(s.policyDigest)
	skip.Text(s.cfg.Atlas.digest())
	table{l.digest, nil}.write(skip)
	table{regions.digest, nil}.write(skip)
	return liveParts(s), w.Bytes[len(skip.Bytes):]
}

func liveParts(s *Snapshot) []byte {
	w := &octets.Writer{}
	octets.Put(w, s.cfg.Suspended, writeSuspension)
	octets.Put(w, s.cfg.Grants, writeGrant)
	octets.Put(w, s.cfg.Leaves, writeLeave)
	octets.Put(w, s.cfg.Severed, writeSever)
	return w.Bytes
}

func tablesOf(s *Snapshot) (law, regions table) {
	return table{s.cfg.Law.digest, s.cfg.Law.packed()}, table{s.cfg.Catalogue.table.digest, s.cfg.Catalogue.table.packed()}
}

func joined(s *Snapshot, live []byte, law, regions table, parts []byte) []byte {
	w := &octets.Writer{}
	w.Uint(s.Generation())
	w.Text(s.factsDigest)
	w.Raw(live)
	w.Text(s.policyDigest)
	w.Text(s.cfg.Atlas.digest())
	law.write(w)
	regions.write(w)
	w.Raw(parts)
	return w.Bytes
}

// takenAsNamed holds s against a snapshot that is built of what s says of itself.
func takenAsNamed(t *testing.T, s *Snapshot) {
	t.Helper()
	cfg := SnapshotConfig{
		Law: s.Law(), Catalogue: s.Catalogue(), Policy: s.Policy(), Parties: s.Parties(), Suspended: s.Suspended(), Grants: s.Grants(), Leaves: s.Leaves(), Severed: s.Severed(), Generation: s.Generation(),
	}
	var err error
	if s.Atlas() != nil {
		if cfg.Atlas, err = newAtlas(s.Catalogue(), s.Law(), s.Atlas().Declarations()); err != nil {
			t.Fatal(err)
		}
	}
	named, err := NewSnapshot(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range asks() {
		same(t, named, s, a)
	}
}

var oneRuling = Ruling{
	Verdict: Permit, Ground: GroundGrant, Why: "because", Region: frankfurt, Country: "DE", Standing: StandingInEEA, Instrument: "2000/518/EC",
	Proof: ProofDeclared, Until: now, Grant: "g", Generation: 1<<64 - 1,
	Place: Place{
		Addr: netip.MustParseAddr("2001:db8::1"), Prefix: netip.MustParsePrefix("192.0.2.0/24"), Region: zurich, Countries: []Country{"CH", "DE"},
		Operator: "o", Contract: "c", ValidUntil: now.In(time.FixedZone("", 3600)),
	},
}

func TestDecodeRuling(t *testing.T) {
	for name, r := range map[string]Ruling{"zero": {}, "full": oneRuling, "no verdict": {Why: strings.Repeat("x", 60_000), Place: Place{Countries: []Country{}}}} {
		form, err := r.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeRuling(form)
		text, _ := json.Marshal(got)
		want, _ := json.Marshal(r)
		if err != nil || !bytes.Equal(text, want) || (got.Place.Countries == nil) != (r.Place.Countries == nil) {
			t.Errorf("%s: %s, want %s: %v", name, text, want, err)
		}
		for n := range min(len(form), 300) {
			if got, err := DecodeRuling(form[:n]); err == nil || got.Verdict != Deny || got.Ground != "" {
				t.Errorf("%s: %d bytes give %+v", name, n, got)
			}
		}
	}
	form, _ := oneRuling.AppendBinary(nil)
	for want, b := range map[string][]byte{
		"form 2, and this":   append([]byte{2}, form[1:]...),
		"3 is no verdict":    append([]byte{1, 3}, form[2:]...),
		"follow the end":     append(slices.Clone(form), 0),
		"more than the":      make([]byte, MaxRuling+1),
		"an address: ":       bytes.Replace(form, []byte{16, 0x20, 0x01}, []byte{15, 0x20, 0x01}, 1),
		"not written as":     bytes.Replace(form, []byte{5, 192, 0, 2, 0, 24}, []byte{5, 192, 0, 2, 0, 99}, 1), // no such length, so it is read as no prefix
		"a prefix: ":         bytes.Replace(form, []byte{5, 192, 0, 2, 0, 24}, []byte{3, 192, 0, 2, 2, 'x', 'x'}, 1),
		"more bytes belong":  bytes.Replace(form, []byte("\x07because"), []byte("\xff\x7fbecause"), 1),
		"not the form of th": {},
	} {
		if got, err := DecodeRuling(b); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "sovereign: ruling: ") || !reflect.DeepEqual(got, Ruling{}) {
			t.Errorf("%+v: %v; want %q", got, err, want)
		}
	}
	for want, r := range map[string]Ruling{
		"the year 10000": {Until: time.Date(10000, 6, 1, 0, 0, 0, 0, time.UTC)}, "may travel": {Why: strings.Repeat("x", MaxRuling)},
	} {
		if b, err := r.AppendBinary([]byte("before")); err == nil || !strings.Contains(err.Error(), want) || string(b) != "before" {
			t.Errorf("%v, %d bytes; want %q", err, len(b), want)
		}
	}
	room := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { room, _ = oneRuling.AppendBinary(room[:0]) }); n > 3 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzDecodeRuling(f *testing.F) {
	for _, r := range []Ruling{{}, oneRuling, world(f, nil).Judge(asks()[0])} {
		form, err := r.AppendBinary(nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(form)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRuling(b)
		if err != nil {
			if !reflect.DeepEqual(r, Ruling{}) {
				t.Errorf("%+v beside %v", r, err)
			}
			return
		}
		if again, err := r.AppendBinary(nil); err != nil || !bytes.Equal(again, b) || r.Verdict > Permit {
			t.Errorf("%x was read and is written as %x: %v", b, again, err)
		}
	})
}

// many is a snapshot with n prefixes.
func many(b *testing.B, n int) *Snapshot {
	b.Helper()
	return world(b, func(c *SnapshotConfig) {
		decls := make([]Declaration, 0, n)
		for i := range n {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10 + byte(i>>20), byte(i >> 12), byte(i >> 4), byte(i << 4)}), 28)
			decls = append(decls, Declaration{Prefix: p.String(), Region: frankfurt, Contract: "annex 1"})
		}
		var err error
		if c.Atlas, err = NewAtlas(nil, decls); err != nil {
			b.Fatal(err)
		}
	})
}

func BenchmarkSnapshotTravels(b *testing.B) {
	for _, n := range []int{10, 10_000} {
		s := many(b, n)
		form, err := s.MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("write/%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(form)))
			b.ReportAllocs()
			for b.Loop() {
				form, _ = s.AppendBinary(form[:0])
			}
		})
		first := travel(b, s)
		later, err := s.WithGrants(nil).MarshalBinary()
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("next/%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(later)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := first.Next(later); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(fmt.Sprintf("read/%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(form)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeSnapshot(form); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

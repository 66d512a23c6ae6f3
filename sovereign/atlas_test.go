package sovereign

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLocate(t *testing.T) {
	a, err := NewAtlas(nil, []Declaration{
		{Prefix: "10.0.0.0/8", Region: frankfurt, Operator: "Carrier AG", Contract: "C-1"},
		{Prefix: "10.1.0.0/16", Region: zurich},
		{Prefix: "10.1.2.0/24", Region: virginia},
		{Prefix: "10.1.2.3/32", Region: london},
		{Prefix: "10.9.0.0/16", Countries: []Country{"UK", "DE", "DE"}},
		{Prefix: "::ffff:192.0.2.0/120", Region: oslo},
		{Prefix: "2001:db8::/32", Region: dublin},
		{Prefix: "2001:db8:1::/48", Region: oslo},
		{Prefix: "203.0.113.0/24", Region: Region{"aws", "eu-west-9"}, Contract: "C-2"},
		{Prefix: "255.255.255.255/32", Region: frankfurt},
	})
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"9.255.255.255": "invalid Prefix  []", "10.0.0.0": "10.0.0.0/8 aws:eu-central-1 [DE]", "10.255.255.255": "10.0.0.0/8 aws:eu-central-1 [DE]",
		"11.0.0.0": "invalid Prefix  []", "10.1.1.1": "10.1.0.0/16 aws:eu-central-2 [CH]", "10.1.2.1": "10.1.2.0/24 aws:us-east-1 [US]",
		"10.1.2.3": "10.1.2.3/32 aws:eu-west-2 [GB]", "10.1.3.0": "10.1.0.0/16 aws:eu-central-2 [CH]", "10.2.0.0": "10.0.0.0/8 aws:eu-central-1 [DE]",
		"10.9.9.9": "10.9.0.0/16  [DE GB]", "192.0.2.7": "192.0.2.0/24 azure:norwayeast [NO]", "::ffff:10.1.2.3": "10.1.2.3/32 aws:eu-west-2 [GB]",
		"2001:db8::1": "2001:db8::/32 aws:eu-west-1 [IE]", "2001:db8:1::1": "2001:db8:1::/48 azure:norwayeast [NO]",
		"2001:db8:2::1%eth0": "2001:db8::/32 aws:eu-west-1 [IE]", "2001:db9::": "invalid Prefix  []", "::": "invalid Prefix  []",
		"203.0.113.9": "203.0.113.0/24 aws:eu-west-9 []", "255.255.255.255": "255.255.255.255/32 aws:eu-central-1 [DE]",
	} {
		p := a.Locate(netip.MustParseAddr(in), now)
		if got := fmt.Sprintf("%v %v %v", p.Prefix, p.Region, p.Countries); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
		if p.Known() != !strings.HasSuffix(want, "[]") || p.Addr.Zone() != "" || p.Addr.Is4In6() {
			t.Errorf("%s: %+v", in, p)
		}
	}
	if p := a.Locate(netip.MustParseAddr("10.3.0.1"), now); p.Operator != "Carrier AG" || p.Contract != "C-1" {
		t.Errorf("%+v", p)
	}
	for _, a := range []*Atlas{nil, {}} {
		if p := a.Locate(netip.MustParseAddr("10.1.2.3"), now); p.Known() {
			t.Errorf("an empty atlas knows %+v", p)
		}
	}
	if p := a.Locate(netip.Addr{}, now); p.Known() {
		t.Errorf("no address is at %+v", p)
	}
	if got := len(a.Declarations()); got != 10 || len((*Atlas)(nil).Declarations()) != 0 {
		t.Errorf("%d declarations", got)
	}
}

func TestLocateOverTime(t *testing.T) {
	a, err := NewAtlas(nil, []Declaration{
		{Prefix: "10.0.0.0/8", Region: frankfurt},
		{Prefix: "10.1.0.0/16", Region: zurich, ValidFrom: date("2026-03-01"), ValidUntil: date("2026-06-01")},
		{Prefix: "10.1.0.0/16", Region: dublin, ValidFrom: date("2026-07-01"), ValidUntil: date("2026-08-01")},
		{Prefix: "10.1.1.0/24", Region: oslo, ValidFrom: date("2026-05-01")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ at, addr, region, until string }{
		{"2026-01-01", "10.1.0.1", "aws:eu-central-1", "2026-03-01"}, // the longer one is only to come
		{"2026-03-01", "10.1.0.1", "aws:eu-central-2", "2026-06-01"},
		{"2026-06-01", "10.1.0.1", "", "2026-06-01"}, // it ended: the shorter one must not vouch for it
		{"2026-07-01", "10.1.0.1", "aws:eu-west-1", "2026-08-01"},
		{"2026-08-01", "10.1.0.1", "", "2026-08-01"},
		{"2026-04-01", "10.1.1.1", "aws:eu-central-2", "2026-05-01"}, // a longer one takes over
		{"2026-05-01", "10.1.1.1", "azure:norwayeast", ""},
		{"2026-01-01", "10.2.0.1", "aws:eu-central-1", ""},
	} {
		p := a.Locate(netip.MustParseAddr(c.addr), date(c.at))
		until, region := "", ""
		if !p.ValidUntil.IsZero() {
			until = p.ValidUntil.Format(time.DateOnly)
		}
		if p.Known() {
			region = p.Region.String()
		}
		if region != c.region || until != c.until {
			t.Errorf("%s on %s: %q until %q, want %q until %q", c.addr, c.at, region, until, c.region, c.until)
		}
	}
}

func TestSharedBlocksProveNothing(t *testing.T) {
	a, err := NewAtlas(nil, []Declaration{{Prefix: "52.129.96.0/24", Countries: []Country{"DE", "PL"}}, {Prefix: "167.234.48.0/20"}})
	if err != nil {
		t.Fatal(err)
	}
	p := a.Locate(netip.MustParseAddr("52.129.96.1"), now)
	if !slices.Contains(p.Countries, "US") || !slices.Contains(p.Countries, "PL") || !p.Region.IsZero() {
		t.Errorf("naming two countries hides the others: %v", p.Countries)
	}
	if p = a.Locate(netip.MustParseAddr("167.234.63.255"), now); len(p.Countries) < 10 {
		t.Errorf("%v", p.Countries)
	}
}

func TestNewAtlasRefuses(t *testing.T) {
	for want, d := range map[string][]Declaration{
		"address/length":           {{Prefix: "10.0.0.1", Region: frankfurt}},
		"write 10.0.0.0/24":        {{Prefix: "10.0.0.1/24", Region: frankfurt}},
		"covers every address":     {{Prefix: "::/0", Region: frankfurt}},
		"declare them apart":       {{Prefix: "::ffff:0:0/95", Region: frankfurt}},
		"needs a region":           {{Prefix: "10.0.0.0/8"}},
		"region and countries":     {{Prefix: "10.0.0.0/8", Region: frankfurt, Countries: []Country{"DE"}}},
		`"EU" names no country`:    {{Prefix: "10.0.0.0/8", Countries: []Country{"EU"}}},
		"does not lie after":       {{Prefix: "10.0.0.0/8", Region: frankfurt, ValidFrom: now, ValidUntil: now}},
		"declared twice":           {{Prefix: "10.0.0.0/8", Region: frankfurt}, {Prefix: "::ffff:10.0.0.0/104", Region: zurich, ValidFrom: now}},
		"uses in every region":     {{Prefix: "52.129.96.0/24", Region: frankfurt}},
		"prefix 52.0.0.0/8: overl": {{Prefix: "52.0.0.0/8", Region: frankfurt}},
	} {
		if _, err := NewAtlas(nil, d); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "sovereign: ") {
			t.Errorf("%v; want %q", err, want)
		}
	}
	// One prefix may pass from one region to another without a gap.
	if _, err := NewAtlas(nil, []Declaration{{Prefix: "10.0.0.0/8", Region: frankfurt, ValidUntil: now}, {Prefix: "10.0.0.0/8", Region: zurich, ValidFrom: now}}); err != nil {
		t.Error(err)
	}
}

// Locate against the plain definition: of all prefixes that hold the address, the longest.
func TestLocateAgainstScan(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	regions := []Region{frankfurt, zurich, virginia, london, oslo, dublin, serbia}
	for round := range 60 {
		var decls []Declaration
		seen := map[netip.Prefix]Region{}
		for range 1 + rng.IntN(60) {
			p := randomPrefix(rng)
			if _, twice := seen[p]; twice || p.Bits() == 0 {
				continue
			}
			seen[p] = regions[rng.IntN(len(regions))]
			decls = append(decls, Declaration{Prefix: p.String(), Region: seen[p]})
		}
		a, err := NewAtlas(nil, decls)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			ip := randomPrefix(rng).Addr()
			if rng.IntN(2) == 0 && ip.Is4() {
				ip = netip.AddrFrom16(ip.As16())
			}
			var want netip.Prefix
			for p := range seen {
				if p.Contains(ip.Unmap()) && (!want.IsValid() || p.Bits() > want.Bits()) {
					want = p
				}
			}
			got := a.Locate(ip, now)
			if got.Prefix != want || got.Region != seen[want] {
				t.Fatalf("round %d: %v is in %v (%v), want %v (%v)", round, ip, got.Prefix, got.Region, want, seen[want])
			}
		}
	}
}

// randomPrefix draws from a small corner of both families, so that prefixes nest and touch.
func randomPrefix(rng *rand.Rand) netip.Prefix {
	if rng.IntN(2) == 0 {
		a := netip.AddrFrom4([4]byte{10, byte(rng.IntN(3)), byte(rng.IntN(4) * 85), byte(rng.IntN(256))})
		return netip.PrefixFrom(a, 8+rng.IntN(25)).Masked()
	}
	b := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(rng.IntN(2)), byte(rng.IntN(2)), 15: byte(rng.IntN(256))}
	return netip.PrefixFrom(netip.AddrFrom16(b), 1+rng.IntN(128)).Masked()
}

func FuzzNewAtlas(f *testing.F) {
	f.Add("10.0.0.0/8", "aws:eu-central-1", "", "10.1.2.3")
	f.Add("::ffff:10.0.0.0/104", "", "DE", "::ffff:10.0.0.1")
	f.Add("2001:db8::/32", "aws:eu-west-9", "", "2001:db8::1%lo")
	f.Add("52.129.96.0/20", "", "UK", "52.129.96.0")
	f.Fuzz(func(t *testing.T, prefix, reg, country, ip string) {
		r, _ := ParseRegion(reg)
		d := Declaration{Prefix: prefix, Region: r}
		if country != "" {
			d.Countries = []Country{Country(country)}
		}
		a, err := NewAtlas(nil, []Declaration{d})
		if err != nil {
			return
		}
		addr, err := netip.ParseAddr(ip)
		if err != nil {
			return
		}
		p := a.Locate(addr, now)
		if p.Known() && !p.Prefix.Contains(addr.Unmap().WithZone("")) {
			t.Fatalf("%v is not in %v", addr, p.Prefix)
		}
		for _, c := range p.Countries {
			if got, ok := Shipped().ParseCountry(string(c)); !ok || got != c {
				t.Fatalf("country %q", c)
			}
		}
	})
}

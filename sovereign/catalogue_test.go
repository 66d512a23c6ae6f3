package sovereign

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

func TestShippedRegions(t *testing.T) {
	c := ShippedRegions()
	rows := c.Regions()
	if len(rows) != 207 || !c.AsOf().Equal(date("2026-11-21")) {
		t.Errorf("%d rows as of %v", len(rows), c.AsOf())
	}
	if !slices.IsSortedFunc(rows, func(a, b RegionFact) int { return compareRegions(a.Region, b.Region) }) {
		t.Error("rows are not sorted")
	}
	unknown := 0
	for _, f := range rows {
		if f.Source == "" || f.AsOf.IsZero() || f.OperatorHQ == "" || f.City == "" {
			t.Errorf("%+v lacks source, day, seat or city", f)
		}
		if _, ok := c.Lookup(f.Region); !ok {
			unknown++
		} else if _, ok := Shipped().ParseCountry(string(f.Country)); !ok {
			t.Errorf("%s: country %q", f.Region, f.Country)
		}
	}
	if unknown != 1 {
		t.Errorf("%d rows without a place, want the one restricted partition", unknown)
	}
	if f, _ := c.Lookup(frankfurt); f.City != "Frankfurt am Main" || f.OperatorHQ != "US" || f.Status != "ga" {
		t.Errorf("%+v", f)
	}
	if f, ok := c.Lookup(Region{}); ok {
		t.Errorf("the zero region is %+v", f)
	}
	if f, ok := c.Lookup(Region{"AWS", "eu-central-1"}); ok {
		t.Errorf("the key is exact, but found %+v", f)
	}
}

func TestNearest(t *testing.T) {
	for in, want := range map[string]string{
		"aws:eu-centrall-1":         "aws:eu-central-1",
		"AWS:EU-CENTRAL-1":          "aws:eu-central-1",
		"eu-central-1":              "aws:eu-central-1",
		"azure:eu-central-1":        "aws:eu-central-1",
		"gcp:europewest6":           "gcp:europe-west6",
		"ovh:gra":                   "ovh:GRA",
		"aws:eu-west-3-cmn-wlz-1a":  "", // a zone in Casablanca: its parent would be a wrong hint
		"":                          "",
		"completely:something-else": "",
	} {
		got := ShippedRegions().Nearest(in)
		first := ""
		if len(got) > 0 {
			first = got[0].String()
		}
		if first != want || len(got) > 3 {
			t.Errorf("%q: %v, want %q first", in, got, want)
		}
	}
	if got := fmt.Sprint(ShippedRegions().Nearest("eu-west-2")); !strings.HasPrefix(got, "[aws:eu-west-2 outscale:eu-west-2") {
		t.Errorf("a code of two providers: %s", got)
	}
}

func TestShared(t *testing.T) {
	c := ShippedRegions()
	if len(c.Shared()) != 4 {
		t.Fatalf("%d shared blocks", len(c.Shared()))
	}
	for _, p := range []string{"52.129.96.0/20", "52.129.100.7/32", "52.0.0.0/8", "136.245.64.0/18"} {
		s, ok := c.SharedBy(netip.MustParsePrefix(p))
		if !ok || !slices.Contains(s.Countries, "US") || !slices.Contains(s.Countries, "ZA") || !slices.IsSorted(s.Countries) || !strings.Contains(s.Operator, "Genesys") {
			t.Errorf("%s: %+v, %t", p, s, ok)
		}
	}
	if s, ok := c.SharedBy(netip.MustParsePrefix("192.0.2.0/24")); ok {
		t.Errorf("a block of nobody's is shared by %+v", s)
	}
}

func TestOwnRegions(t *testing.T) {
	own := RegionFact{Region: region("carrier:fra1"), City: "Frankfurt", Country: "UK", Source: "contract C-1"}
	c, err := ShippedRegions().With(nil, own)
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := c.Lookup(own.Region); !ok || f.Country != "GB" || f.Status != "declared" {
		t.Errorf("%+v, %t", f, ok)
	}
	if _, ok := ShippedRegions().Lookup(own.Region); ok {
		t.Error("the shipped catalogue changed")
	}
	if c.digest == ShippedRegions().digest {
		t.Error("the digest is the same")
	}
	for want, f := range map[string]RegionFact{
		"in the catalogue already":         {Region: frankfurt, Country: "US"},
		"names no country":                 {Region: region("x:y"), Country: "EU"},
		"provider:code":                    {Country: "DE"},
		"region aws:eu-isoe-west-1 is in ": {Region: region("aws:eu-isoe-west-1"), Country: "DE"},
	} {
		if _, err := ShippedRegions().With(nil, f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func TestParseCatalogueRefuses(t *testing.T) {
	for want, change := range map[string][2]string{
		"schema":              {`"sovereign.regions/v1"`, `"x"`},
		"provider is unknown": {`"provider": "otc"`, `"provider": "otcx"`},
		"stands twice":        {`"code": "eu-central-2"`, `"code": "eu-central-1"`},
		`country "QQ"`:        {`"country": "NL"`, `"country": "QQ"`},
		`country "UK"`:        {`"country": "GB"`, `"country": "UK"`},
		"needs source":        {`"source": "provider announcement, unverified"`, `"source": ""`},
		"region table":        {`"as_of": "2026-11-21"`, `"as_of": 7`},
		"provider:code":       {`"code": "eu-central-2"`, `"code": ""`},
	} {
		raw := bytes.ReplaceAll(regionsJSON, []byte(change[0]), []byte(change[1]))
		if bytes.Equal(raw, regionsJSON) {
			t.Fatalf("%q is not in the table", change[0])
		}
		if _, err := ParseCatalogue(raw, Shipped()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

// A restricted region is unknown even when a table tells its country.
func TestRestrictedRegion(t *testing.T) {
	raw := bytes.Replace(regionsJSON, []byte(`"country": null`), []byte(`"country": "IE"`), 1)
	c, err := ParseCatalogue(raw, Shipped())
	if err != nil {
		t.Fatal(err)
	}
	if f, ok := c.Lookup(region("aws:eu-isoe-west-1")); ok || bytes.Equal(raw, regionsJSON) {
		t.Errorf("%+v", f)
	}
}

func TestRegionText(t *testing.T) {
	for _, s := range []string{"aws:eu-central-1", "ionos:de/fra/2", "x:a:b"} {
		r, err := ParseRegion(s)
		if err != nil || r.String() != s {
			t.Errorf("%q: %v, %v", s, r, err)
		}
		var back Region
		b, _ := r.MarshalText()
		if err := back.UnmarshalText(b); err != nil || back != r {
			t.Errorf("%q: %v, %v", s, back, err)
		}
	}
	for _, s := range []string{"", "aws", "aws:", ":x", "aws: eu", "aws:eu\n"} {
		if r, err := ParseRegion(s); err == nil || !r.IsZero() {
			t.Errorf("%q is %v", s, r)
		}
	}
	r := frankfurt
	if err := r.UnmarshalText(nil); err != nil || !r.IsZero() || r.String() != "" {
		t.Errorf("empty text: %v, %v", r, err)
	}
	if err := r.UnmarshalText([]byte("x")); err == nil {
		t.Error("a code alone is a region")
	}
}

package evidence

import (
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

var (
	day       = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	frankfurt = Spot{50.1, 8.7, 80}
	tokyo     = Spot{35.7, 139.7, 100}
)

func inFrankfurt() Claim {
	return Claim{Region: "aws:eu-central-1", Countries: []string{"DE"}, Contract: "annex 1", Spot: &frankfurt}
}

func TestTheLadder(t *testing.T) {
	for _, c := range []struct {
		kind Kind
		rank int
		can  Power
	}{
		{Declared, 0, Allow},
		{ProviderFeed, 1, SupportOrContradict},
		{GeofeedSigned, 1, SupportOrContradict},
		{TLSIdentity, 2, Support},
		{RTTBound, 2, FalsifyOrSupport},
		{Geofeed, 3, Alert},
		{RIR, 3, Alert},
		{MMDB, 4, AlertTripwire},
		{"of tomorrow", 4, AlertTripwire},
	} {
		if c.kind.Rank() != c.rank || c.kind.Can() != c.can {
			t.Errorf("%s: rank %d, can %s", c.kind, c.kind.Rank(), c.kind.Can())
		}
	}
}

func TestWeigh(t *testing.T) {
	item := func(k Kind, r Result) Item { return Item{Kind: k, Value: "V-" + string(k), Result: r} }
	for what, c := range map[string]struct {
		claim  Claim
		items  []Item
		want   Standing
		allows bool
		words  string
	}{
		"a declaration alone":       {inFrankfurt(), nil, Unsupported, true, "declared in aws:eu-central-1 (DE); nothing else"},
		"a feed supports":           {inFrankfurt(), []Item{item(ProviderFeed, Supports)}, Supported, true, "V-provider_feed"},
		"a feed contradicts":        {inFrankfurt(), []Item{item(ProviderFeed, Contradicts), item(TLSIdentity, Supports)}, Contradicted, false, "but V-provider_feed"},
		"a bound contradicts":       {inFrankfurt(), []Item{item(RTTBound, Contradicts)}, Contradicted, false, "but V-rtt_bound"},
		"a signed geofeed does":     {inFrankfurt(), []Item{item(GeofeedSigned, Contradicts)}, Contradicted, false, "but V-geofeed_signed"},
		"an unsigned one alarms":    {inFrankfurt(), []Item{item(Geofeed, Contradicts)}, Doubted, true, "which alone refuses nothing"},
		"a registry alarms":         {inFrankfurt(), []Item{item(RIR, Contradicts), item(ProviderFeed, Supports)}, Doubted, true, "V-rir"},
		"a database alarms":         {inFrankfurt(), []Item{item(MMDB, Contradicts)}, Doubted, true, "V-mmdb"},
		"an identity is no place":   {inFrankfurt(), []Item{item(TLSIdentity, Contradicts)}, Unsupported, true, "nothing else"},
		"silence":                   {inFrankfurt(), []Item{item(ProviderFeed, Silent)}, Unsupported, true, "nothing else"},
		"undeclared, all support":   {Claim{}, []Item{item(ProviderFeed, Supports), item(GeofeedSigned, Supports), item(RTTBound, Supports), item(MMDB, Supports)}, Undeclared, false, "so it is refused"},
		"a second word of contract": {inFrankfurt(), []Item{item(Declared, Contradicts)}, Unsupported, true, "nothing else"},
	} {
		a := Weigh(c.claim, c.items)
		if a.Standing != c.want || a.Allows() != c.allows || !strings.Contains(a.Words, c.words) {
			t.Errorf("%s: %s, allows %v: %s", what, a.Standing, a.Allows(), a.Words)
		}
	}
	a := Weigh(inFrankfurt(), []Item{item(MMDB, Silent), item(RIR, Silent), item(ProviderFeed, Silent)})
	if a.Items[0].Kind != ProviderFeed || a.Items[2].Kind != MMDB {
		t.Errorf("the strongest does not stand first: %+v", a.Items)
	}
}

// The law of the room: more items never allow what fewer did not, in whatever order they come.
func TestNothingTurnsARefusalIntoAnAllow(t *testing.T) {
	kinds := []Kind{Declared, ProviderFeed, GeofeedSigned, TLSIdentity, RTTBound, Geofeed, RIR, MMDB, "other"}
	results := []Result{Supports, Contradicts, Silent, "odd"}
	refused := 0
	for seed := range uint64(3000) {
		d := rand.New(rand.NewPCG(seed, 3))
		c := inFrankfurt()
		if d.IntN(3) == 0 {
			c = Claim{Region: "aws:eu-central-1"}
		}
		var items []Item
		for range d.IntN(5) {
			items = append(items, Item{Kind: kinds[d.IntN(len(kinds))], Result: results[d.IntN(len(results))]})
		}
		before := Weigh(c, items)
		more := append([]Item(nil), items...)
		for range 1 + d.IntN(4) {
			more = append(more, Item{Kind: kinds[d.IntN(len(kinds))], Result: results[d.IntN(len(results))]})
		}
		d.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
		after := Weigh(c, more)
		if !before.Allows() {
			refused++
			if after.Allows() {
				t.Fatalf("seed %d: %s became %s by %+v", seed, before.Words, after.Words, more)
			}
		}
		if !c.Declared() && after.Allows() {
			t.Fatalf("seed %d: allowed without a declaration", seed)
		}
	}
	if refused < 500 {
		t.Errorf("only %d worlds refused", refused)
	}
}

const geofeed = "\ufeff# a feed\r\n" +
	"192.0.2.0/24,DE,DE-HE,Frankfurt,\r\n" +
	"192.0.2.128/25,US,US-VA,Ashburn,\r\n" +
	"192.0.2.192/26,,,,\r\n" + // do not geolocate
	"198.51.100.7,ch,,\"Zurich, city\",8001 # Swiss\r\n" +
	"2001:db8::/32,FR\r\n" +
	"203.0.113.1/24,DE,,,\r\n" + // bits behind the length
	"203.0.113.0/24,DEU,,,\r\n" +
	"nonsense\r\n" +
	"100.64.0.0/24,DE\r\n100.64.0.0/24,US\r\n" +
	"\"open,DE\r\n" +
	"# RPKI Signature: 192.0.2.0 - 192.0.2.255\r\n# MIIGlwYJKoZIhvcNAQcCoIIGiDCCBoQCAQMxDTALBglghkgBZQMEAgEwDQYLKoZ\r\n# End Signature: 192.0.2.0 - 192.0.2.255"

func TestGeofeed(t *testing.T) {
	table, signed, wrong, err := ParseGeofeed([]byte(geofeed))
	if err != nil || !signed || table.Kind != Geofeed {
		t.Fatalf("signed %v, kind %s: %v", signed, table.Kind, err)
	}
	var named []string
	for _, w := range wrong {
		named = append(named, fmt.Sprint(w.Line))
	}
	if got := strings.Join(named, " "); got != "7 8 9 11 12" {
		t.Errorf("lines that are wrong: %s: %v", got, wrong)
	}
	for addr, want := range map[string]struct {
		found  bool
		result Result
		words  string
	}{
		"192.0.2.1":        {true, Supports, "192.0.2.0/24 is in DE"},
		"::ffff:192.0.2.1": {true, Supports, "192.0.2.0/24 is in DE"},
		"192.0.2.129":      {true, Contradicts, "192.0.2.128/25 is in US"},
		"192.0.2.193":      {true, Silent, "not to be placed"},
		"198.51.100.7":     {true, Contradicts, "in CH"},
		"2001:db8::1":      {true, Contradicts, "in FR"},
		"100.64.0.9":       {true, Silent, "listed twice"},
		"203.0.113.9":      {false, "", ""},
		"2001:db9::1":      {false, "", ""},
	} {
		it, ok := table.Item(netip.MustParseAddr(addr), inFrankfurt(), nil, day)
		if ok != want.found || it.Result != want.result || !strings.Contains(it.Value, want.words) {
			t.Errorf("%s: %v %+v", addr, ok, it)
		}
	}
	if it, _ := table.Item(netip.MustParseAddr("192.0.2.1"), Claim{}, nil, day); it.Result != Silent {
		t.Errorf("where nothing is declared there is nothing to support: %+v", it)
	}
	if _, _, wrong, _ := ParseGeofeed([]byte(strings.Repeat("x", 10*maxLine) + "\n192.0.2.0/24,DE\n")); len(wrong) != 1 || wrong[0].Line != 1 {
		t.Errorf("a long line: %v", wrong)
	}
}

// A signature makes a feed one of rank 1 while it is good. Then it supports nothing, and what it contradicted stays contradicted.
func TestSignedGeofeed(t *testing.T) {
	table, _, _, err := ParseGeofeed([]byte("192.0.2.0/24,DE\n198.51.100.0/24,US\n203.0.113.0/24,,\n"))
	if err != nil {
		t.Fatal(err)
	}
	until := day.Add(time.Hour)
	if err := table.Sign(day, until, func(p netip.Prefix) bool { return p.Addr().As4()[0] != 203 }); err == nil || table.Kind != Geofeed || !strings.Contains(err.Error(), "203.0.113.0/24") {
		t.Errorf("a prefix of somebody else: %v, %s", err, table.Kind)
	}
	if err := table.Sign(day, until, func(netip.Prefix) bool { return true }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		addr string
		now  time.Time
		want Result
	}{
		{"192.0.2.1", until, Supports},
		{"192.0.2.1", until.Add(1), Silent},
		{"198.51.100.1", until, Contradicts},
		{"198.51.100.1", until.Add(1), Contradicts},
		{"203.0.113.1", until.Add(1), Silent},
	} {
		it, ok := table.Item(netip.MustParseAddr(c.addr), inFrankfurt(), nil, c.now)
		if !ok || it.Kind != GeofeedSigned || it.Result != c.want || !it.ObservedAt.Equal(day) || strings.Contains(it.Value, "expired") != c.now.After(until) {
			t.Errorf("%s at %s: %+v", c.addr, c.now, it)
		}
	}
}

const delegated = "2|ripencc|20261121|6|19830705|20261120|+0100\n" +
	"ripencc|*|ipv4|*|4|summary\n" +
	"ripencc|DE|ipv4|192.0.2.0|256|20100712|allocated|x\n" +
	"ripencc|US|ipv4|198.51.100.0|768|20100712|assigned|x\n" + // no power of two: /23 and /24
	"ripencc|EU|ipv4|203.0.113.0|256|20100712|allocated|x\n" +
	"ripencc||ipv4|203.0.114.0|256||available|\n" +
	"ripencc|FR|ipv6|2001:db8::|32|20100712|allocated|x\n" +
	"ripencc|FR|asn|64512|1|20100712|allocated|x\n" +
	"ripencc|FR|ipv4|255.255.255.0|512|20100712|allocated|x\n" +
	"ripencc|FRA|ipv4|10.0.0.0|256|20100712|allocated|x\n" +
	"ripencc|FR|ipv4|10.0.0.0|0|20100712|allocated|x\n" +
	"ripencc|FR|ipv4|2001:db8::|32|20100712|allocated|x\n" +
	"short|FR\n"

func TestRIR(t *testing.T) {
	table, wrong, err := ParseRIR([]byte(delegated))
	if err != nil || len(wrong) != 5 || wrong[0].Line != 9 || wrong[4].Line != 13 {
		t.Fatalf("%v, %v", wrong, err)
	}
	for addr, want := range map[string]Result{
		"192.0.2.9": Supports, "198.51.101.255": Contradicts, "198.51.102.255": Contradicts, "203.0.113.1": Silent, "2001:db8::1": Contradicts, "203.0.114.1": "", "198.51.103.0": "",
	} {
		if it, ok := table.Item(netip.MustParseAddr(addr), inFrankfurt(), nil, day); it.Result != want || ok != (want != "") {
			t.Errorf("%s: %+v", addr, it)
		}
	}
}

const (
	awsFeed = `{"syncToken":"1","prefixes":[{"ip_prefix":"192.0.2.0/24","region":"eu-central-1","service":"EC2","network_border_group":"eu-central-1"},
		{"ip_prefix":"198.51.100.0/24","region":"us-east-1","service":"EC2","network_border_group":"us-east-1"},
		{"ip_prefix":"203.0.113.0/24","region":"GLOBAL","service":"CLOUDFRONT","network_border_group":"GLOBAL"},
		{"ip_prefix":"192.0.2.128/25","region":"eu-central-1","service":"EC2","network_border_group":"eu-central-1-ham-1"}],
		"ipv6_prefixes":[{"ipv6_prefix":"2001:db8::/32","region":"eu-central-2","service":"EC2","network_border_group":"eu-central-2"}]}`
	azureFeed = `{"values":[{"name":"AzureCloud","properties":{"region":"","addressPrefixes":["192.0.2.0/24","2001:db8::/32"]}},
		{"name":"AzureCloud.germanywc","properties":{"region":"germanywc","addressPrefixes":["192.0.2.0/24"]}},
		{"name":"Storage.norwaye","properties":{"region":"norwaye","addressPrefixes":["198.51.100.0/24"]}},
		{"name":"Odd","properties":{"region":"norwayw","addressPrefixes":["198.51.100.0/24"]}}]}`
	gcpFeed = `{"prefixes":[{"ipv4Prefix":"192.0.2.0/24","service":"Google Cloud","scope":"europe-west3"},{"ipv6Prefix":"2001:db8::/32","scope":"us-east4"},
		{"ipv4Prefix":"203.0.113.0/24","scope":"global"}]}`
)

func countryOf(region string) string {
	r, err := sovereign.ParseRegion(region)
	if err != nil {
		return ""
	}
	f, _ := sovereign.ShippedRegions().Lookup(r)
	return string(f.Country)
}

func TestProviderFeeds(t *testing.T) {
	for _, c := range []struct {
		provider, feed, region, addr string
		want                         Result
		words                        string
	}{
		{"aws", awsFeed, "aws:eu-central-1", "192.0.2.1", Supports, "of aws:eu-central-1"},
		{"aws", awsFeed, "aws:eu-central-1", "198.51.100.1", Contradicts, "aws:us-east-1 in US"},
		{"aws", awsFeed, "aws:eu-central-1", "203.0.113.1", Silent, "of no one region of aws"},
		{"aws", awsFeed, "aws:eu-central-1", "192.0.2.129", Silent, "whose country is not known"}, // a local zone may stand anywhere
		{"aws", awsFeed, "aws:eu-central-1", "2001:db8::1", Contradicts, "aws:eu-central-2 in CH"},
		{"azure", azureFeed, "azure:germanywestcentral", "192.0.2.1", Supports, "azure:germanywestcentral"},
		{"azure", azureFeed, "azure:germanywestcentral", "2001:db8::1", Silent, "of no one region"},
		{"azure", azureFeed, "azure:germanywestcentral", "198.51.100.1", Silent, "listed twice"},
		{"gcp", gcpFeed, "gcp:europe-west3", "192.0.2.1", Supports, "gcp:europe-west3"},
		{"gcp", gcpFeed, "aws:eu-central-1", "192.0.2.1", Supports, "in DE"},
		{"gcp", gcpFeed, "gcp:europe-west3", "2001:db8::1", Contradicts, "gcp:us-east4 in US"},
	} {
		table, err := ParseProvider(c.provider, []byte(c.feed))
		if err != nil {
			t.Fatal(err)
		}
		claim := inFrankfurt()
		claim.Region = c.region
		if it, ok := table.Item(netip.MustParseAddr(c.addr), claim, countryOf, day); !ok || it.Result != c.want || !strings.Contains(it.Value, c.words) || it.Kind != ProviderFeed {
			t.Errorf("%s %s: %v %+v", c.provider, c.addr, ok, it)
		}
	}
	for provider, feed := range map[string]string{"aws": `{"prefixes":[{"ip_prefix":"x"}]}`, "azure": `[]`, "gcp": `{"prefixes":[]}`, "nobody": `{}`} {
		if _, err := ParseProvider(provider, []byte(feed)); err == nil {
			t.Errorf("%s: %s was read", provider, feed)
		}
	}
}

func sight(node string, at Spot, ms ...float64) Sight {
	s := Sight{Node: node, At: at}
	for _, m := range ms {
		s.Add(time.Duration(m*float64(time.Millisecond)), day)
	}
	return s
}

func TestBounds(t *testing.T) {
	here := Spot{50.1, 8.7, 0}
	for what, c := range map[string]struct {
		sights []Sight
		want   []Result
		words  string
	}{
		"near, and near by":               {[]Sight{sight("a", here, 0.3, 0.4, 0.5)}, []Result{Supports}, "0.3 ms from node a: at most 30 km"},
		"near, and slow":                  {[]Sight{sight("a", here, 80, 90, 100)}, []Result{Silent}, "at most 8000 km"},
		"from Tokyo, as slow as light":    {[]Sight{sight("a", tokyo, 240, 250, 260)}, []Result{Silent}, "at most 24000 km"},
		"from Tokyo, next door":           {[]Sight{sight("a", tokyo, 0.3, 0.3, 0.3)}, []Result{Contradicts}, "its declared place is 93"},
		"from Tokyo, one odd answer":      {[]Sight{sight("a", tokyo, 240, 0.3, 250)}, []Result{Silent}, "3 answers as fast are needed"},
		"from Tokyo, two answers in all":  {[]Sight{sight("a", tokyo, 0.3, 0.3)}, []Result{Silent}, "3 answers as fast are needed"},
		"two nodes agree":                 {[]Sight{sight("b", tokyo, 240, 240, 240), sight("a", here, 0.3, 0.3, 0.3)}, []Result{Supports, Silent}, "node a"},
		"two nodes, and no one place":     {[]Sight{sight("b", tokyo, 5, 5, 5), sight("a", here, 5, 5, 5)}, []Result{Silent, Contradicts, Contradicts}, "at most 500 km"},
		"as near as a region is wide":     {[]Sight{sight("a", Spot{50.1, 10, 0}, 0.3, 0.3, 0.3)}, []Result{Supports}, "at most 30 km"}, // 93 km from the point, 80 of which are the region's
		"the same node in two statements": {[]Sight{sight("a", here, 5, 5, 5), sight("a", here, 5, 5, 5)}, []Result{Silent, Silent}, "node a"},
	} {
		items := Bounds(inFrankfurt(), c.sights)
		if len(items) != len(c.want) || !strings.Contains(items[0].Value, c.words) {
			t.Errorf("%s: %+v", what, items)
			continue
		}
		for i, it := range items {
			if it.Result != c.want[i] || it.Kind != RTTBound || !it.ObservedAt.Equal(day) {
				t.Errorf("%s: %d is %+v", what, i, it)
			}
		}
	}
	nowhere := inFrankfurt()
	nowhere.Spot = nil // two nodes tell that it is in no one place although nobody knows where it should be
	items := Bounds(nowhere, []Sight{sight("a", here, 5, 5, 5), sight("b", tokyo, 5, 5, 5)})
	if len(items) != 3 || items[2].Result != Contradicts || !strings.Contains(items[2].Value, "in no one place") {
		t.Errorf("%+v", items)
	}
}

// Whatever a true place is, and however slow the way: round trips that light could make never contradict it.
func TestWhatLightCouldDoContradictsNothing(t *testing.T) {
	d := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		true_ := Spot{Lat: d.Float64()*180 - 90, Lon: d.Float64()*360 - 180, KM: d.Float64() * 200}
		c := Claim{Region: "x:y", Countries: []string{"DE"}, Spot: &true_}
		var sights []Sight
		for n := range 1 + d.IntN(3) {
			at := Spot{Lat: d.Float64()*180 - 90, Lon: d.Float64()*360 - 180}
			s := Sight{Node: fmt.Sprint(n), At: at}
			for range 5 {
				s.Add(time.Duration(math.Ceil((Distance(at, true_)/KMPerMS+d.Float64()*20)*float64(time.Millisecond))), day)
			}
			sights = append(sights, s)
		}
		if a := Weigh(c, Bounds(c, sights)); !a.Allows() {
			t.Fatalf("%+v: %s", sights, a.Words)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b Spot
		want float64
	}{
		{Spot{50.1, 8.7, 0}, Spot{50.1, 8.7, 0}, 0},
		{Spot{50.1, 8.7, 0}, Spot{51.5, -0.1, 0}, 639},
		{Spot{50.1, 8.7, 0}, Spot{35.7, 139.7, 0}, 9335},
		{Spot{0, 0, 0}, Spot{0, 180, 0}, 20015},
		{Spot{90, 0, 0}, Spot{-90, 77, 0}, 20015},
		{Spot{0, 179.5, 0}, Spot{0, -179.5, 0}, 111},
	} {
		if got := Distance(c.a, c.b); math.Abs(got-c.want) > 5 {
			t.Errorf("%v to %v: %.0f km, expected %.0f", c.a, c.b, got, c.want)
		}
	}
}

// Every region of the catalogue that names a city is on the map, in the half of the world where its country is.
func TestSpotsOfTheCatalogue(t *testing.T) {
	unknown := map[string]bool{
		"California": true, "Georgia": true, "Illinois": true, "Mexico": true, "N. California": true, "Oklahoma": true, "Oregon": true, "South Carolina": true, "Texas": true,
		"United Arab Emirates": true, "Virginia": true, "Washington": true, "Wyoming": true, "undisclosed": true, "": true,
	}
	placed := 0
	for _, f := range sovereign.ShippedRegions().Regions() {
		s := SpotOf(f.City, string(f.Country))
		if s == nil {
			if !unknown[f.City] {
				t.Errorf("%s: nobody knows where %q (%s) is", f.Region, f.City, f.Country)
			}
			continue
		}
		if placed++; !s.Valid() || s.KM < 50 {
			t.Errorf("%s: %+v", f.Region, s)
		}
		eu := s.Lat > 35 && s.Lat < 66 && s.Lon > -10 && s.Lon < 31
		if isEU := strings.Contains("AT BE BG CH DE DK ES FI FR GB HR IE IT NL NO PL RS SE", string(f.Country)); isEU != eu {
			t.Errorf("%s in %s stands at %+v", f.Region, f.Country, s)
		}
	}
	if placed < 170 {
		t.Errorf("only %d regions are on the map", placed)
	}
	if SpotOf("Frankfurt", "US") != nil {
		t.Error("another Frankfurt")
	}
}

func TestStatements(t *testing.T) {
	good := `{"form":"cordon.sights/1","node":"b","sights":[{"addr":"192.0.2.1","sight":{"node":"b","at":{"lat":1,"lon":2,"km":0},"fastest_ns":[1,2,3],"samples":3,"last":"2026-11-21T12:00:00Z"}}]}`
	s, err := ParseStatement([]byte(good))
	if err != nil || len(s.Sights) != 1 || s.Sights[0].Sight.Fastest[2] != 3 {
		t.Fatalf("%+v, %v", s, err)
	}
	for what, change := range map[string][2]string{
		"another form": {"cordon.sights/1", "cordon.sights/2"}, "an unknown field": {`"samples"`, `"sample"`}, "another node": {`{"node":"b"`, `{"node":"a"`},
		"no place": {`"lat":1`, `"lat":91`}, "no round trip": {"[1,2,3]", "[0,2,3]"}, "no order": {"[1,2,3]", "[3,2,1]"}, "more than it counted": {`"samples":3`, `"samples":2`},
		"something behind": {`]}`, `]}{}`}, "no address": {`"192.0.2.1"`, `""`}, "negative": {"[1,2,3]", "[1,-2,3]"},
	} {
		if _, err := ParseStatement([]byte(strings.Replace(good, change[0], change[1], 1))); err == nil {
			t.Errorf("%s was read", what)
		}
	}
}

func FuzzGeofeed(f *testing.F) {
	f.Add([]byte(geofeed))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, _, _, err := ParseGeofeed(b)
		holds(t, table, err)
	})
}

func FuzzRIR(f *testing.F) {
	f.Add([]byte(delegated))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, _, err := ParseRIR(b)
		holds(t, table, err)
	})
}

func FuzzProvider(f *testing.F) {
	f.Add("aws", []byte(awsFeed))
	f.Add("azure", []byte(azureFeed))
	f.Add("gcp", []byte(gcpFeed))
	f.Fuzz(func(t *testing.T, provider string, b []byte) {
		table, err := ParseProvider(provider, b)
		holds(t, table, err)
	})
}

// holds finds each prefix of a table again, or a longer one.
func holds(t *testing.T, table *Table, err error) {
	if err != nil {
		return
	}
	for p := range table.rows {
		got, _, ok := table.lookup(p.Addr())
		if !ok || got.Bits() < p.Bits() || p != p.Masked() {
			t.Fatalf("%s is found as %s, %v", p, got, ok)
		}
		if it, ok := table.Item(p.Addr(), inFrankfurt(), countryOf, day); !ok || it.Value == "" {
			t.Fatalf("%s: %+v", p, it)
		}
	}
}

func FuzzStatement(f *testing.F) {
	f.Add([]byte(`{"form":"cordon.sights/1","node":"b","sights":[{"addr":"192.0.2.1","sight":{"node":"b","at":{"lat":1,"lon":2,"km":0},"fastest_ns":[1,2,3],"samples":3,"last":"2026-11-21T12:00:00Z"}}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseStatement(b)
		if err != nil {
			return
		}
		for _, seen := range s.Sights {
			for _, it := range Bounds(inFrankfurt(), []Sight{seen.Sight}) {
				if it.Value == "" || it.Kind != RTTBound {
					t.Fatalf("%+v", it)
				}
			}
		}
	})
}

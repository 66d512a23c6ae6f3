package evidence

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Bounds of a file.
const (
	MaxFile  = 256 << 20 // bytes
	maxRows  = 4 << 20   // prefixes
	maxLine  = 4096      // bytes
	maxWrong = 100       // lines that are named
)

// Table is what one file says of prefixes. Immutable once parsed. The zero Table says nothing.
type Table struct {
	Kind     Kind
	Source   string // name of the file, for people
	Digest   string // SHA-256 of the file
	Provider string // of a provider's feed, as in regions
	At       time.Time
	Until    time.Time // its signature is good until then; zero: it has none
	rows     map[netip.Prefix]row
	find     func(netip.Addr) (netip.Prefix, string, bool) // of a database, in place of rows
	nodes    int                                           // of it
	bits     [2][]int                                      // lengths that occur, the longest first: IPv4, IPv6
}

// row is one prefix.
type row struct {
	country string // "" where the file declines to say
	region  string // code of the provider's region
	twice   bool   // the file says two things of it: it says nothing
}

// Wrong is a line that does not count.
type Wrong struct {
	Line int
	What string
}

func (w Wrong) String() string { return fmt.Sprintf("line %d: %s", w.Line, w.What) }

// Rows is how many prefixes the table has; of a database how many nodes.
func (t *Table) Rows() int { return len(t.rows) + t.nodes }

// Database is a table that looks addresses up elsewhere: find gives the network of one and its country, "" where it declines to say. It is asked from several
// goroutines. nodes says how big it is.
func Database(find func(netip.Addr) (netip.Prefix, string, bool), nodes int, at time.Time) *Table {
	return &Table{Kind: MMDB, At: at, find: find, nodes: nodes}
}

// Expired says whether the table's signature is no longer good.
func (t *Table) Expired(now time.Time) bool { return !t.Until.IsZero() && now.After(t.Until) }

// Sign makes an unsigned geofeed a signed one: its signature is by a holder of all its prefixes, made at a time and good until another. covers says whether a prefix is
// the signer's; the first that is not is the error, and the table stays what it was.
func (t *Table) Sign(at, until time.Time, covers func(netip.Prefix) bool) error {
	for p := range t.rows {
		if !covers(p) {
			return fmt.Errorf("evidence: %s is not the signer's to speak of (RFC 9632 section 5)", p)
		}
	}
	t.Kind, t.At, t.Until = GeofeedSigned, at, until
	return nil
}

func (t *Table) put(p netip.Prefix, r row) {
	if t.rows == nil {
		t.rows = map[netip.Prefix]row{}
	}
	t.rows[p] = r
}

// seal notes which lengths occur.
func (t *Table) seal() {
	seen := [2]map[int]bool{{}, {}}
	for p := range t.rows {
		seen[family(p.Addr())][p.Bits()] = true
	}
	for i := range seen {
		for b := range seen[i] {
			t.bits[i] = append(t.bits[i], b)
		}
		slices.SortFunc(t.bits[i], func(a, b int) int { return b - a })
	}
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// lookup finds the longest prefix that holds an address.
func (t *Table) lookup(a netip.Addr) (netip.Prefix, row, bool) {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return netip.Prefix{}, row{}, false
	}
	if t.find != nil {
		p, code, ok := t.find(a)
		country, _ := alpha2(code) // "" where it is none
		return p, row{country: country}, ok
	}
	for _, bits := range t.bits[family(a)] {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if r, ok := t.rows[p]; ok {
			return p, r, true
		}
	}
	return netip.Prefix{}, row{}, false
}

// Item gives what the table says of an address that a claim was made of. ok is false where no prefix of it holds the address. countryOf gives the country of a
// provider's region, "provider:code"; "" when it has none that is public. What an expired signature was under supports nothing any more, and what it contradicted
// stays contradicted: the passing of time permits nothing.
func (t *Table) Item(a netip.Addr, c Claim, countryOf func(region string) string, now time.Time) (it Item, ok bool) {
	it, ok = t.item(a, c, countryOf)
	if ok && t.Expired(now) {
		it.Value += ", by a signature that expired on " + t.Until.UTC().Format(time.DateOnly)
		if it.Result == Supports {
			it.Result = Silent
		}
	}
	return it, ok
}

func (t *Table) item(a netip.Addr, c Claim, countryOf func(region string) string) (it Item, ok bool) {
	p, r, ok := t.lookup(a)
	if !ok {
		return Item{}, false
	}
	it = Item{Kind: t.Kind, SourceDigest: t.Digest, ObservedAt: t.At, Result: Silent}
	switch {
	case r.twice:
		it.Value = fmt.Sprintf("%s is listed twice, so it says nothing", p)
		return it, true
	case t.Kind == ProviderFeed:
		t.region(&it, p, r, c, countryOf)
		return it, true
	case r.country == "":
		it.Value = fmt.Sprintf("%s is not to be placed", p)
		return it, true
	}
	what := "%s is in %s"
	if t.Kind == RIR {
		what = "the holder of %s is registered in %s"
	}
	it.Value = fmt.Sprintf(what, p, r.country)
	it.Result = against(c, r.country)
	return it, true
}

// region says what a provider's feed does: a region is compared with the claimed one, and where they differ its country is.
func (t *Table) region(it *Item, p netip.Prefix, r row, c Claim, countryOf func(string) string) {
	name := t.Provider + ":" + r.region
	switch {
	case r.region == "":
		it.Value, it.Spread = fmt.Sprintf("%s is of no one region of %s", p, t.Provider), true
	case name == c.Region:
		it.Value, it.Result = fmt.Sprintf("%s is of %s", p, name), Supports
	default:
		country := countryOf(name)
		if country == "" {
			it.Value = fmt.Sprintf("%s is of %s, whose country is not known", p, name)
			return
		}
		it.Value, it.Result = fmt.Sprintf("%s is of %s in %s", p, name, country), against(c, country)
	}
}

// against compares a country with a claim that may be of several.
func against(c Claim, country string) Result {
	switch {
	case !c.Declared():
		return Silent
	case slices.Contains(c.Countries, country):
		return Supports
	}
	return Contradicts
}

// prefix reads a prefix or a single address. One with bits behind its length is none: nobody knows what was meant.
func prefix(s string) (netip.Prefix, error) {
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		if err != nil || a.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.60q is no prefix", s)
		}
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(s)
	switch {
	case err != nil:
		return netip.Prefix{}, fmt.Errorf("%.60q is no prefix", s)
	case p.Addr().Is4In6():
		return netip.Prefix{}, fmt.Errorf("%.60q mixes IPv4 and IPv6", s)
	case p != p.Masked():
		return netip.Prefix{}, fmt.Errorf("%.60q has bits set behind its length", s)
	}
	return p, nil
}

// alpha2 reads a country code. Codes that name no one country (EU, AP, ZZ) give "".
func alpha2(s string) (string, bool) {
	switch {
	case s == "":
		return "", true
	case len(s) != 2:
		return "", false
	}
	s = strings.ToUpper(s)
	for i := range 2 {
		if s[i] < 'A' || s[i] > 'Z' {
			return "", false
		}
	}
	if s == "EU" || s == "AP" || s == "ZZ" {
		return "", true
	}
	return s, true
}

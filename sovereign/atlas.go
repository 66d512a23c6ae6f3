package sovereign

import (
	"fmt"
	"net/netip"
	"slices"
	"sort"
	"time"
)

// Declaration is one prefix that the operator declares, with its contract.
type Declaration struct {
	Prefix     string    `json:"prefix"`              // CIDR
	Region     Region    `json:"region,omitzero"`     // or, for a prefix that several regions share, zero with Countries
	Countries  []Country `json:"countries,omitempty"` // may stay empty for a block that the catalogue knows as shared
	Operator   string    `json:"operator,omitempty"`
	Contract   string    `json:"contract,omitempty"`
	ValidFrom  time.Time `json:"valid_from,omitzero"`
	ValidUntil time.Time `json:"valid_until,omitzero"` // exclusive; zero means open
}

// Atlas places addresses by longest prefix. Immutable. The nil Atlas knows no address.
type Atlas struct {
	v4, v6       []node
	declarations []Declaration
}

// node is one distinct prefix. Nodes are sorted by first address and then by length, so that every prefix stands after those that contain it.
type node struct {
	prefix  netip.Prefix
	parent  int // index of the next shorter prefix that contains it; -1 if none does
	entries []entry
}

// entry is one declaration of a prefix; entries of a node never overlap in time.
type entry struct {
	region      Region
	countries   []Country
	operator    string
	contract    string
	from, until time.Time
}

// NewAtlas checks the declarations against the catalogue (an unknown region is kept and places nothing) and sorts them.
func NewAtlas(c *Catalogue, d []Declaration) (*Atlas, error) {
	if c == nil {
		c = ShippedRegions()
	}
	return newAtlas(c, Shipped(), d)
}

// newAtlas is NewAtlas under a law table that may be another one than the shipped.
func newAtlas(c *Catalogue, l *Law, d []Declaration) (*Atlas, error) {
	a := &Atlas{declarations: slices.Clone(d)}
	byPrefix := map[netip.Prefix][]entry{}
	for _, decl := range d {
		p, e, err := decl.entry(c, l)
		if err != nil {
			return nil, fmt.Errorf("sovereign: prefix %s: %w", decl.Prefix, err)
		}
		for _, other := range byPrefix[p] {
			if open(e.until, other.from) && open(other.until, e.from) {
				return nil, fmt.Errorf("sovereign: prefix %s is declared twice for the same time: give one entry, with countries if several regions share it", p)
			}
		}
		byPrefix[p] = append(byPrefix[p], e)
	}
	for p, entries := range byPrefix {
		slices.SortFunc(entries, func(x, y entry) int { return x.from.Compare(y.from) })
		n := node{prefix: p, entries: entries}
		if p.Addr().Is4() {
			a.v4 = append(a.v4, n)
		} else {
			a.v6 = append(a.v6, n)
		}
	}
	link(a.v4)
	link(a.v6)
	return a, nil
}

// link sorts nodes and finds each one's parent.
func link(nodes []node) {
	slices.SortFunc(nodes, func(x, y node) int {
		if c := x.prefix.Addr().Compare(y.prefix.Addr()); c != 0 {
			return c
		}
		return x.prefix.Bits() - y.prefix.Bits()
	})
	last := -1
	for i := range nodes {
		for last >= 0 && !nodes[last].prefix.Contains(nodes[i].prefix.Addr()) {
			last = nodes[last].parent
		}
		nodes[i].parent = last
		last = i
	}
}

func (d Declaration) entry(c *Catalogue, l *Law) (netip.Prefix, entry, error) {
	fail := func(format string, a ...any) (netip.Prefix, entry, error) {
		return netip.Prefix{}, entry{}, fmt.Errorf(format, a...)
	}
	p, err := netip.ParsePrefix(d.Prefix)
	if err != nil {
		return fail("write it as address/length, for example 203.0.113.0/24")
	}
	if p.Addr().Is4In6() { // ::ffff:203.0.113.0/120 means the IPv4 block
		if p.Bits() < 96 {
			return fail("mixes IPv4 and IPv6: declare them apart")
		}
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	switch {
	case p != p.Masked():
		return fail("has host bits set: write %s", p.Masked())
	case p.Bits() == 0:
		return fail("covers every address, and unknown must stay unknown: declare the blocks of the contract")
	case !d.ValidUntil.IsZero() && !d.ValidUntil.After(d.ValidFrom):
		return fail("valid_until does not lie after valid_from")
	case !d.Region.IsZero() && len(d.Countries) > 0:
		return fail("names a region and countries: give the region, or the countries of a block that several regions share")
	}
	e := entry{region: d.Region, operator: d.Operator, contract: d.Contract, from: d.ValidFrom, until: d.ValidUntil}
	shared, isShared := c.SharedBy(p)
	switch {
	case isShared && !d.Region.IsZero():
		return fail("overlaps %s, which %s uses in every region: leave region out and pin the media regions of the trunk or edge group with evidence",
			shared.Prefix, shared.Operator)
	case isShared:
		e.countries = slices.Clone(shared.Countries)
	case d.Region.IsZero() && len(d.Countries) == 0:
		return fail("needs a region, or countries")
	}
	if f, ok := c.Lookup(d.Region); ok {
		e.countries = []Country{f.Country}
	}
	for _, name := range d.Countries {
		country, ok := l.ParseCountry(string(name))
		if !ok {
			return fail("%q names no country: use an ISO 3166-1 alpha-2 code", string(name))
		}
		e.countries = append(e.countries, country)
	}
	slices.Sort(e.countries)
	e.countries = slices.Compact(e.countries)
	return p, e, nil
}

// Declarations gives back what the atlas was built from.
func (a *Atlas) Declarations() []Declaration {
	if a == nil {
		return nil
	}
	return slices.Clone(a.declarations)
}

// Locate places an address as of a time. IPv4 in IPv6 counts as IPv4, zones are ignored. The longest prefix decides; one whose declarations all ended
// places nothing (the address may have moved: a shorter prefix must not vouch for it) while one that is only to come does not count yet.
func (a *Atlas) Locate(addr netip.Addr, at time.Time) Place {
	addr = addr.Unmap().WithZone("")
	place := Place{Addr: addr}
	if a == nil || !addr.IsValid() {
		return place
	}
	nodes := a.v6
	if addr.Is4() {
		nodes = a.v4
	}
	// The last node that starts at or before addr is the answer or a sibling below it.
	i := sort.Search(len(nodes), func(i int) bool { return nodes[i].prefix.Addr().Compare(addr) > 0 }) - 1
	var next time.Time // when a longer declaration takes over
	for ; i >= 0; i = nodes[i].parent {
		n := &nodes[i]
		if !n.prefix.Contains(addr) {
			continue
		}
		e, coming := n.at(at)
		next = earlier(next, coming)
		if e == nil {
			continue
		}
		place.Prefix, place.Region, place.Operator, place.Contract = n.prefix, e.region, e.operator, e.contract
		place.ValidUntil = e.until
		if open(e.until, at) {
			place.Countries = e.countries
			place.ValidUntil = earlier(e.until, next)
		}
		return place
	}
	return place
}

// at gives the entry in force, else the last one that ended, and when the next one begins.
func (n *node) at(at time.Time) (e *entry, coming time.Time) {
	for i := range n.entries {
		if at.Before(n.entries[i].from) {
			return e, n.entries[i].from
		}
		e = &n.entries[i]
	}
	return e, coming
}

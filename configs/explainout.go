package configs

import (
	"fmt"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/inventory"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

// explainInventory shows what the policy says of each endpoint outside the call path: of its address where that is a literal one, or else of where it is declared to be.
func (c *Config) explainInventory(b *strings.Builder, snap *sovereign.Snapshot, at time.Time) error {
	if len(c.Inventory.Entries) == 0 {
		return nil
	}
	b.WriteString("\noutside the call path\n")
	w := tabwriter.NewWriter(b, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "  ENTRY\tKIND\tENDPOINT\tDECLARED\tVERDICT\tGROUND\tWHY\tPARENT\tSUPPORT")
	for i := range c.Inventory.Entries {
		e := &c.Inventory.Entries[i]
		a := c.judgeEndpoint(snap, e, at)
		parent, support := "-", "-"
		if p := c.Endpoint(e.Name).Provider; p != nil {
			parent, support = lawful(snap, at, p.ParentCountry), lawful(snap, at, p.Support...)
		}
		declared := make([]string, len(e.Countries))
		for i, cc := range e.Countries {
			declared[i] = string(cc)
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Name, e.Kind, e.Endpoint(), strings.TrimSpace(e.Region.String()+" "+strings.Join(declared, ",")), a.Verdict, a.Ground, a.Why, parent, support)
	}
	return w.Flush()
}

// judgeEndpoint judges an endpoint as far as the file alone lets it. A name is judged by what it leads to once it is resolved: until then the most that can be said is that
// its declaration would be permitted.
func (c *Config) judgeEndpoint(snap *sovereign.Snapshot, e *inventory.Entry, at time.Time) inventory.Answer {
	if addr, err := netip.ParseAddr(e.Host); err == nil {
		l := inventory.Located{
			Place:  snap.Atlas().Locate(addr, at),
			Ruling: snap.Judge(sovereign.Ask{Plane: sovereign.Infrastructure, Addr: netip.AddrPortFrom(addr, e.Port), Region: e.Region, At: at}),
			Found:  c.weighed(snap, e, addr, at),
		}
		return inventory.Judge(e, netip.AddrPortFrom(addr, e.Port), &l)
	}
	switch {
	case e.Anycast:
		return inventory.Answer{Verdict: inventory.Unprovable, Ground: inventory.GroundAnycast, Why: "declared as anycast: one address is in many places"}
	case e.Region.IsZero():
		return inventory.Answer{Verdict: inventory.Unknown, Ground: inventory.GroundUnseen, Why: "a name: each address is placed and judged when it is resolved"}
	}
	r := snap.JudgeRegion(e.Region, at)
	if r.Permitted() {
		return inventory.Answer{Verdict: inventory.Unknown, Ground: inventory.GroundUnseen, Why: "a name: its declared region is permitted, and each address is placed and judged when it is resolved"}
	}
	verdict := inventory.Hold
	if r.Verdict == sovereign.Deny {
		verdict = inventory.Deny
	}
	return inventory.Answer{Verdict: verdict, Ground: string(r.Ground), Why: r.Why}
}

// weighed is what the files of the configuration say of an address: for one in no declared place against what the entry declares.
func (c *Config) weighed(snap *sovereign.Snapshot, e *inventory.Entry, addr netip.Addr, at time.Time) evidence.Assessment {
	place := snap.Atlas().Locate(addr, at)
	claim := evidence.Claim{Region: place.Region.String(), Contract: place.Contract}
	countries := place.Countries
	if !place.Known() {
		claim.Region, claim.Contract, countries = e.Region.String(), e.Contract, e.Countries
	}
	for _, cc := range countries {
		claim.Countries = append(claim.Countries, string(cc))
	}
	var items []evidence.Item
	for _, t := range c.Evidence.Tables {
		it, ok := t.Item(addr, claim, func(name string) string {
			r, err := sovereign.ParseRegion(name)
			if err != nil {
				return ""
			}
			f, _ := snap.Catalogue().Lookup(r)
			return string(f.Country)
		}, at)
		if ok {
			items = append(items, it)
		}
	}
	return evidence.Weigh(claim, items)
}

// lawful are countries with what the law says of each.
func lawful(snap *sovereign.Snapshot, at time.Time, countries ...string) string {
	var words []string
	for _, cc := range countries {
		if cc != "" {
			f := snap.Law().Standing(sovereign.Country(cc), sovereign.Question{At: at, Suspended: snap.Suspended()})
			words = append(words, cc+" "+string(f.Standing))
		}
	}
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ", ")
}

package configs

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/sovereign"
)

// Provider is who stands behind a party by contract: what the register of information asks (DORA Art. 28(3), ITS (EU) 2024/2956).
type Provider struct {
	// Legal name.
	Name string `yaml:"name,omitempty"`
	// LEI (20 characters) or EUID.
	Identifier string `yaml:"lei_or_euid,omitempty"`
	// Country of its headquarters, ISO 3166-1 alpha-2.
	HQ string `yaml:"hq_country,omitempty"`
	// LEI or EUID of its ultimate parent undertaking, or its own where it has none.
	Parent string `yaml:"parent,omitempty"`
	// Country of that parent, ISO 3166-1 alpha-2: whose law can reach through it.
	ParentCountry string `yaml:"parent_country,omitempty"`
	// Countries from which it is supported, ISO 3166-1 alpha-2: access from there is a transfer, wherever the data lies.
	Support []string `yaml:"support_countries,omitempty"`
	// Type of ICT service, S01 to S19 of Annex III; default: S10 (telecom carrier) for a trunk, S19 (software as a service) for an edge group.
	Service string `yaml:"service,omitempty"`
	// Identifier of the function that it supports, as in the register: F and a number (B_06.01.0010).
	Function string `yaml:"function,omitempty"`
	// First day of the contract, YYYY-MM-DD.
	Start string `yaml:"start,omitempty"`
	// Last day of the contract, YYYY-MM-DD; default: open.
	End string `yaml:"end,omitempty"`
	// Country of the governing law, ISO 3166-1 alpha-2.
	GoverningLaw string `yaml:"governing_law,omitempty"`
	// Sensitiveness of the data: low, medium or high.
	Sensitiveness string `yaml:"sensitiveness,omitempty"`
	// How much you rely on it: not_significant, low, material or full.
	Reliance string `yaml:"reliance,omitempty"`
	// Rank in the chain of suppliers: 1 is who you have the contract with. Default 1.
	Rank int `yaml:"rank,omitempty"`
}

// services are the types of ICT services of Annex III of ITS (EU) 2024/2956.
func services() (out []string) {
	for n := 1; n <= 19; n++ {
		out = append(out, fmt.Sprintf("S%02d", n))
	}
	return out
}

// provider checks what a party says of who stands behind it.
func (b *builder) provider(at string, p *Provider) {
	if p == nil {
		return
	}
	at += ".provider"
	for path, text := range map[string]string{".name": p.Name, ".lei_or_euid": p.Identifier, ".parent": p.Parent, ".function": p.Function} {
		if len(text) > 200 || strings.ContainsFunc(text, unicode.IsControl) {
			b.fail(at+path, "one line of at most 200 bytes", "is too long, or has a line break in it")
		}
	}
	if len(p.Identifier) == 20 && !strings.Contains(p.Identifier, ".") && !validLEI(p.Identifier) { // an EUID has a dot
		b.fail(at+".lei_or_euid", "check it against the GLEIF register", "%q has 20 characters and is no LEI", p.Identifier)
	}
	countries := map[string]string{".hq_country": p.HQ, ".governing_law": p.GoverningLaw, ".parent_country": p.ParentCountry}
	for i, country := range p.Support {
		countries[fmt.Sprintf(".support_countries[%d]", i)] = cmp.Or(country, "?")
	}
	for path, country := range countries {
		if _, ok := b.law.ParseCountry(country); country != "" && !ok {
			b.fail(at+path, "use an ISO 3166-1 alpha-2 code, in quotes where YAML reads it otherwise ('NO')", "%q names no country", country)
		}
	}
	start, end := b.date(at+".start", p.Start, false), b.date(at+".end", p.End, true)
	if !start.IsZero() && !end.IsZero() && !start.Before(end) {
		b.fail(at+".end", "name a last day behind start", "it ended before it began")
	}
	b.among(at+".service", p.Service, services())
	b.among(at+".sensitiveness", p.Sensitiveness, []string{"low", "medium", "high"})
	b.among(at+".reliance", p.Reliance, []string{"not_significant", "low", "material", "full"})
	if p.Rank < 0 || p.Rank > 20 {
		b.fail(at+".rank", "1 for who you have the contract with, 2 for who that one relies on", "%d is no rank", p.Rank)
	}
}

// among checks a word that may be left out.
func (b *builder) among(at, word string, words []string) {
	if word != "" && !slices.Contains(words, word) {
		b.fail(at, "one of "+strict.Words(words), "%.80q is unknown", word)
	}
}

// Arrangements are trunks, edge groups and endpoints outside the call path as the register of information sees them, with what the law says of their countries now.
func (c *Config) Arrangements() []report.Arrangement {
	out := append(c.parties(), c.endpoints()...)
	overlay, _ := c.Overlay() // lines that do not count are told of by cordon check
	for i := range out {
		a := &out[i]
		a.Legal = map[string]report.Legal{}
		for _, country := range slices.Concat(a.Places, a.Support, []string{a.ParentCountry}) {
			f := sovereign.Shipped().Standing(sovereign.Country(country), sovereign.Question{At: time.Now(), Suspended: overlay})
			a.Legal[country] = report.Legal{Standing: string(f.Standing), Instrument: f.Instrument}
		}
	}
	return out
}

// arrangement is what is common to all kinds.
func arrangement(p *Provider, service string) report.Arrangement {
	v := Provider{}
	if p != nil {
		v = *p
	}
	return report.Arrangement{
		Provider: v.Name, Identifier: v.Identifier, HQ: v.HQ, Parent: v.Parent, Service: cmp.Or(v.Service, service), Function: v.Function, Start: v.Start, End: v.End, Law: v.GoverningLaw,
		Sensitive: v.Sensitiveness, Reliance: v.Reliance, Rank: max(v.Rank, 1), ParentCountry: v.ParentCountry, Support: v.Support,
	}
}

// endpoints are the entries of the inventory.
func (c *Config) endpoints() (out []report.Arrangement) {
	for _, e := range c.Inventory.Entries {
		f := c.Endpoint(e.Name)
		a := arrangement(f.Provider, kindsOfEndpoints[f.Kind])
		a.Party, a.Kind, a.Contract, a.Purpose, a.Unwatched = e.Name, report.KindEndpoint, e.Contract, e.Kind, e.Every == 0
		for _, country := range e.Countries {
			a.Places = append(a.Places, string(country))
		}
		if f.Critical != nil {
			a.Critical = map[bool]string{true: "Yes", false: "No"}[*f.Critical]
		}
		out = append(out, a)
	}
	return out
}

// parties are the trunks and edge groups.
func (c *Config) parties() (out []report.Arrangement) {
	for kind, list := range [][]Party{c.File.Trunks, c.File.EdgeGroups} {
		for _, p := range list {
			a := arrangement(p.Provider, [2]string{"S10", "S19"}[kind])
			a.Party, a.Kind, a.Contract = p.Name, [2]string{"trunk", "edge_group"}[kind], p.Contract
			a.Signalling, a.Media, a.Alternative = c.countries(p.Region), c.countries(p.MediaRegions...), c.beside(p.Name)
			if len(p.MediaRegions) == 0 {
				a.Media = a.Signalling
			}
			out = append(out, a)
		}
	}
	return out
}

// Provider is who stands behind a trunk or an edge group by contract; nil: the file does not say.
func (c *Config) Provider(party string) *Provider {
	for _, p := range slices.Concat(c.File.Trunks, c.File.EdgeGroups) {
		if p.Name == party {
			return p.Provider
		}
	}
	return nil
}

// countries are those of regions, as the catalogue or the file declares them.
func (c *Config) countries(regions ...string) (out []string) {
	for _, text := range regions {
		r, err := sovereign.ParseRegion(text)
		if err != nil {
			continue // the file was checked
		}
		if fact, known := c.Catalogue.Lookup(r); known && !slices.Contains(out, string(fact.Country)) {
			out = append(out, string(fact.Country))
		}
	}
	slices.Sort(out)
	return out
}

// Safeguards are the entries of legal_bases that parties and endpoints name.
func (c *Config) Safeguards() map[string]report.Safeguard {
	out, named := map[string]report.Safeguard{}, map[string]string{}
	for _, p := range slices.Concat(c.File.Trunks, c.File.EdgeGroups) {
		named[p.Name] = p.LegalBasis
	}
	for _, e := range c.File.Inventory {
		named[e.Name] = e.LegalBasis
	}
	for name, id := range named {
		for _, l := range c.File.LegalBases {
			if l.ID != id {
				continue
			}
			g := report.Safeguard{Kind: l.Kind, Document: l.Document, SHA256: l.SHA256, SignedOn: l.SignedOn, Expires: l.Expires}
			if l.TIA != nil {
				g.TIA = l.TIA.Document + " of " + l.TIA.Date + ": " + l.TIA.Outcome
			}
			out[name] = g
		}
	}
	return out
}

// beside are the parties that routes try where they try this one.
func (c *Config) beside(name string) (out []string) {
	for _, r := range c.File.Routes {
		var list []string
		here := false
		for _, choice := range r.To {
			here = here || choice.Party == name
			list = append(list, choice.Party)
		}
		if !here {
			continue
		}
		for _, other := range list {
			if other != name && !slices.Contains(out, other) {
				out = append(out, other)
			}
		}
	}
	return out
}

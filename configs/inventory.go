package configs

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/inventory"
	"github.com/cordonsip/cordon/sovereign"
)

// Endpoint is one endpoint outside the call path.
type Endpoint struct {
	// Unique name, over trunks and edge groups, too.
	Name string `yaml:"name"`
	// What it is for: crm, wfm, idp, sms, bucket, cdn, recording, analytics, siem, mail or other.
	Kind string `yaml:"kind"`
	// Where it is, as a URL, of which host and port count.
	URL string `yaml:"url,omitempty"`
	// Where it is: a domain name or a literal address. Instead of url.
	Host string `yaml:"host,omitempty"`
	// Port; default: that of the URL, or 443.
	Port uint16 `yaml:"port,omitempty"`
	// The region in which it stands, provider:code.
	Region string `yaml:"region,omitempty"`
	// The countries in which it stands, ISO 3166-1 alpha-2, where there is no one region.
	Countries []string `yaml:"countries,omitempty"`
	// Reference of the contract annex that names the place, DORA Art. 30(2)(b).
	Contract string `yaml:"contract"`
	// One address of it is in many places (CDN, anycast): no place of it can be proven, and it is never permitted.
	Anycast bool `yaml:"anycast,omitempty"`
	// Whether the function that it supports is critical or important (DORA Art. 3(22)), for the register of information; default: nobody said.
	Critical *bool `yaml:"critical,omitempty"`
	// Id in legal_bases: what transfers to it rest on.
	LegalBasis string `yaml:"legal_basis,omitempty"`
	// Who stands behind it by contract.
	Provider *Provider `yaml:"provider,omitempty"`
	// How it is watched.
	Watch Watch `yaml:"watch,omitempty"`
}

// Watch is how an endpoint is watched.
type Watch struct {
	// Leaves it alone: it is declared for the register, and nobody resolves it.
	Off bool `yaml:"off,omitempty"`
	// Between two looks; default 5m, from 10s to 24h.
	Interval Duration `yaml:"interval,omitempty"`
	// Whether permitted addresses are connected to, to see whose certificate they show; default: true. Nothing but the handshake is sent.
	TLS *bool `yaml:"tls,omitempty"`
	// Roots that its certificate should chain to, PEM; default: the system's.
	RootsFile string `yaml:"roots_file,omitempty"`
}

// InventoryPart is what is watched outside the call path.
type InventoryPart struct {
	Entries []inventory.Entry // in the order of the file
	Roots   map[string]*x509.CertPool
}

// kindsOfEndpoints are the words of kind with the type of ICT service (Annex III of ITS (EU) 2024/2956) that the register names for each unless the provider says otherwise.
var kindsOfEndpoints = map[string]string{
	"crm": "S19", "wfm": "S19", "idp": "S19", "sms": "S10", "bucket": "S17", "cdn": "S17", "recording": "S19", "analytics": "S19", "siem": "S19", "mail": "S19", "other": "",
}

const (
	maxEndpoints = 256
	portHTTPS    = 443
)

// inventory reads the endpoints outside the call path.
func (b *builder) inventory(c *Config, bases map[string]basis) {
	c.Inventory.Roots = map[string]*x509.CertPool{}
	list := b.doc.file.Inventory
	if len(list) > maxEndpoints {
		b.fail("inventory", "leave out what is no endpoint of its own", "%d entries: the most is %d", len(list), maxEndpoints)
		return
	}
	for i := range list {
		e := &list[i]
		at := fmt.Sprintf("inventory[%d]", i)
		switch first, dup := b.names[e.Name]; {
		case e.Name == "" || strings.ContainsAny(e.Name, "/|") || len(e.Name) > 64:
			b.fail(at+".name", "give it a short name without a slash; the log and the register use it", "%.80q is no name", e.Name)
			continue
		case dup:
			b.fail(at+".name", "names are unique over trunks, edge groups and the inventory", "%q is taken by %s", e.Name, first)
			continue
		}
		b.names[e.Name] = at
		if _, known := kindsOfEndpoints[e.Kind]; !known {
			b.fail(at+".kind", "crm, wfm, idp, sms, bucket, cdn, recording, analytics, siem, mail or other", "%.40q is no kind of endpoint", e.Kind)
		}
		if e.Contract == "" {
			b.fail(at+".contract", "name the contract annex that states the location", "is missing")
		}
		if _, known := bases[e.LegalBasis]; e.LegalBasis != "" && !known {
			b.fail(at+".legal_basis", b.basisHint(e.LegalBasis, bases), "%q is no entry of legal_bases", e.LegalBasis)
		}
		b.provider(at, e.Provider)
		out := inventory.Entry{Name: e.Name, Kind: e.Kind, Contract: e.Contract, Anycast: e.Anycast, TLS: e.Watch.TLS == nil || *e.Watch.TLS}
		out.Host, out.Port = b.endpoint(at, e)
		b.standsIn(at, e, &out)
		b.watch(at, e, &out)
		if pool := b.roots(at+".watch.roots_file", e.Watch.RootsFile); pool != nil {
			c.Inventory.Roots[e.Name] = pool
		}
		c.Inventory.Entries = append(c.Inventory.Entries, out)
	}
}

// endpoint reads where it is. Of a URL nothing but host and port counts, and what else stands in it may be a secret: it is not repeated.
func (b *builder) endpoint(at string, e *Endpoint) (host string, port uint16) {
	host, port = e.Host, e.Port
	switch {
	case (e.URL == "") == (e.Host == ""):
		b.fail(at, "write url: https://crm.example, or host: crm.example with port", "exactly one of url and host says where it is")
		return "", 0
	case e.URL != "":
		u, err := url.Parse(e.URL)
		if err != nil || u.Hostname() == "" || u.User != nil {
			b.fail(at+".url", "write it like https://crm.example: a scheme and a host, without a name or a password", "is no such URL")
			return "", 0
		}
		host = u.Hostname()
		if n, err := strconv.ParseUint(u.Port(), 10, 16); port == 0 && err == nil {
			port = uint16(n)
		}
	}
	if port == 0 {
		port = portHTTPS
	}
	a, err := netip.ParseAddr(host)
	if literal := err == nil && a.Zone() == ""; !literal && (len(host) > 253 || !hostName.MatchString(host)) {
		b.fail(at+".host", "a domain name or a literal address, without a port", "%.80q is no host", host)
	}
	return strings.ToLower(host), port
}

// standsIn reads where it is declared to be.
func (b *builder) standsIn(at string, e *Endpoint, out *inventory.Entry) {
	switch {
	case e.Region != "" && len(e.Countries) > 0:
		b.fail(at, "keep region where it stands in one, countries where there is no one region", "both region and countries are set")
	case e.Region != "":
		out.Region = b.region(at+".region", e.Region, false)
		if f, known := b.regions.Lookup(out.Region); known {
			out.Countries = []sovereign.Country{f.Country}
		}
	case len(e.Countries) == 0:
		b.fail(at, "add region: provider:code, or countries: [..]", "nothing says where it stands")
	}
	for i, text := range e.Countries {
		if country, ok := b.law.ParseCountry(text); ok {
			out.Countries = append(out.Countries, country)
		} else {
			b.fail(fmt.Sprintf("%s.countries[%d]", at, i), "use ISO 3166-1 alpha-2 codes, in quotes where YAML reads them otherwise ('NO')", "%q names no country", text)
		}
	}
	slices.Sort(out.Countries)
	out.Countries = slices.Compact(out.Countries)
}

func (b *builder) watch(at string, e *Endpoint, out *inventory.Entry) {
	out.Every = e.Watch.Interval.Or(5 * time.Minute)
	if out.Every < 10*time.Second || out.Every > 24*time.Hour {
		b.fail(at+".watch.interval", "between 10s and 24h", "%s is out of range", out.Every)
	}
	if e.Watch.Off {
		out.Every = 0
		return
	}
	if _, err := netip.ParseAddr(out.Host); err != nil && len(b.doc.file.DNS.Servers) == 0 {
		b.fail(at+".host", "add dns.servers, or watch: {off: true}", "it is a name, and no name server is configured")
	}
}

// Endpoint gives what the file says of an entry; nil: there is none of that name.
func (c *Config) Endpoint(name string) *Endpoint {
	for i := range c.File.Inventory {
		if e := &c.File.Inventory[i]; e.Name == name {
			return e
		}
	}
	return nil
}

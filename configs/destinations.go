package configs

import (
	"cmp"
	"net/url"
	"strconv"

	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
)

// Destination is something outside the path of calls that the node sends to: the fence judges its address when it is dialled.
type Destination struct {
	Kind   string           // dns | notify | witness | copy | spans | hep
	Name   string           // as the file calls it
	Host   string           // a name or a literal address
	Port   uint16           //
	Region sovereign.Region // that the file names for it; zero: its address alone is judged
}

// Destinations lists them in the order of the file's sections.
func (c *Config) Destinations() []Destination {
	var out []Destination
	for _, s := range c.DNS.Servers {
		out = append(out, Destination{Kind: "dns", Name: s.String(), Host: s.Addr().String(), Port: s.Port()})
	}
	for _, ch := range c.Channels {
		d := Destination{Kind: "notify", Name: ch.Name}
		switch {
		case ch.Type == "console":
			continue
		case ch.Syslog != nil:
			d.Host, d.Port = ch.Syslog.Host, ch.Syslog.Port
		case ch.Mail != nil:
			d.Host, d.Port = ch.Mail.Host, ch.Mail.Port
		case ch.Type == "pagerduty":
			d.at(cmp.Or(ch.URL, notify.PagerDutyEU))
		default:
			d.at(ch.URL)
		}
		out = append(out, d)
	}
	for _, w := range c.Witnesses.List {
		d := Destination{Kind: "witness", Name: w.Name}
		out = append(out, *d.at(w.URL))
	}
	if c.WORM.Endpoint != "" {
		d := Destination{Kind: "copy", Name: c.WORM.Bucket, Region: c.WORM.Region}
		out = append(out, *d.at(c.WORM.Endpoint))
	}
	if c.Spans.URL != "" {
		d := Destination{Kind: "spans", Name: "spans"}
		out = append(out, *d.at(c.Spans.URL))
	}
	if a := c.HEP.Address; a.IsValid() {
		out = append(out, Destination{Kind: "hep", Name: a.String(), Host: a.Addr().String(), Port: a.Port()})
	}
	return out
}

// at takes host and port of an address on the web, and nothing else of it: it may hold a secret.
func (d *Destination) at(address string) *Destination {
	u, err := url.Parse(address)
	if err != nil {
		return d
	}
	d.Host, d.Port = u.Hostname(), 443
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		d.Port = uint16(n)
	}
	return d
}

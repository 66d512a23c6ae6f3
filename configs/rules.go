package configs

import (
	"fmt"
	"maps"
	"math"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/routing"
)

func (b *builder) routes(c *Config) {
	if len(b.doc.file.Routes) == 0 {
		b.fail("routes", "add at least one; without a route every call is refused", "there is none")
	}
	seen := map[string]bool{}
	for i, r := range b.doc.file.Routes {
		at := fmt.Sprintf("routes[%d]", i)
		if r.Name == "" || seen[r.Name] {
			b.fail(at+".name", "give each route a name of its own", "%q is missing or taken", r.Name)
		}
		seen[r.Name] = true
		out := routing.Route{
			Name: r.Name, Direction: routing.Direction(r.Direction), From: r.From, Prefix: r.Prefix, Domain: r.Domain,
			Fallback: r.FallbackPolicy, Recording: r.RecordingRequired, Messages: r.Messages, OnHold: b.onHold(c, at, r.OnHold),
			Switch: b.failback(at+".failback", r.Failback), Overlap: r.Overlap, Announce: b.announce(c, at+".on_hold.announce", r),
		}
		b.routeEnds(c, at, r, &out)
		b.table(c, at, r, &out)
		if r.FallbackPolicy == "" {
			out.Fallback = "MANUAL_APPROVAL_REQUIRED"
		} else if r.FallbackPolicy != "MANUAL_APPROVAL_REQUIRED" && r.FallbackPolicy != "NEVER" {
			b.fail(at+".fallback_policy", "MANUAL_APPROVAL_REQUIRED or NEVER: no word here lets a held failover through by itself", "%q is unknown", r.FallbackPolicy)
		}
		c.Rules.Routes = append(c.Rules.Routes, out)
	}
	c.Rules.Margin = 0.2
	c.Rules.OnHold = routing.OnHold{Status: 403}
}

// routeEnds checks both ends of a route: calls come from trunks and go to groups, or the other way round.
func (b *builder) routeEnds(c *Config, at string, r Route, out *routing.Route) {
	var from, to []string
	trunks, groups := slices.Sorted(maps.Keys(c.Rules.Trunks)), slices.Sorted(maps.Keys(c.Rules.Groups))
	switch r.Direction {
	case "inbound":
		from, to = trunks, groups
	case "outbound":
		from, to = groups, trunks
	default:
		b.fail(at+".direction", "inbound (carrier to contact centre) or outbound", "%q is no direction", r.Direction)
		return
	}
	for i, name := range r.From {
		b.mustBe(fmt.Sprintf("%s.from[%d]", at, i), name, from, r.Direction)
	}
	if len(r.To) == 0 {
		b.fail(at+".to", "list the parties to try, e.g. [{party: genesys-fra}, {party: genesys-zrh}]", "is empty")
	}
	for i, ch := range r.To {
		b.mustBe(fmt.Sprintf("%s.to[%d].party", at, i), ch.Party, to, r.Direction)
		if ch.Priority < 0 || ch.Weight < 0 {
			b.fail(fmt.Sprintf("%s.to[%d]", at, i), "count from 0", "a priority or a weight is negative")
		}
		if slices.ContainsFunc(out.To, func(o routing.Choice) bool { return o.Party == ch.Party }) {
			b.fail(fmt.Sprintf("%s.to[%d].party", at, i), "list each party once", "%q stands twice", ch.Party)
		}
		prio := ch.Priority
		if prio == 0 {
			prio = i + 1
		}
		out.To = append(out.To, routing.Choice{Party: ch.Party, Priority: prio, Weight: ch.Weight})
	}
}

func (b *builder) mustBe(path, name string, known []string, direction string) {
	if slices.Contains(known, name) {
		return
	}
	hint := "known here: " + strict.Words(known)
	if m := strict.Nearest(name, known); m != "" {
		hint = fmt.Sprintf("did you mean %q?", m)
	} else if _, other := b.names[name]; other {
		hint = fmt.Sprintf("an %s route goes between trunks and edge groups; %s stands on the other side", direction, name)
	}
	b.fail(path, hint, "unknown party %q", name)
}

func (b *builder) onHold(c *Config, at string, o *OnHold) routing.OnHold {
	if o == nil {
		return routing.OnHold{}
	}
	out := routing.OnHold{Status: o.Status, Queue: o.Queue}
	if o.Status == 0 {
		out.Status = 403
	} else if o.Status != 403 && o.Status != 603 {
		b.fail(at+".on_hold.status", "403 or 603: peers retry a 5xx around us", "%d is not taken", o.Status)
	}
	if o.Queue != "" {
		if _, ok := c.Rules.Groups[o.Queue]; !ok {
			b.fail(at+".on_hold.queue", "name an edge group", "unknown edge group %q", o.Queue)
		}
	}
	return out
}

func (b *builder) emergency(c *Config) {
	served := map[string]bool{}
	for i, e := range b.doc.file.Emergency {
		at := fmt.Sprintf("emergency[%d]", i)
		cc, ok := b.law.ParseCountry(e.Country)
		if !ok {
			b.fail(at+".country", "use an ISO 3166-1 alpha-2 code", "%q names no country", e.Country)
		}
		if ok && served[string(cc)] {
			b.fail(at+".country", "keep one row: the emergency calls of a country leave by one trunk", "%s stands twice", cc)
		}
		rule, ok := c.Rules.Trunks[e.Trunk]
		switch {
		case !ok:
			b.fail(at+".trunk", "name a trunk of this file", "unknown trunk %q", e.Trunk)
		case rule.Country != string(cc):
			b.fail(at+".trunk", "an emergency call leaves only by a trunk of the caller's country: set country at the trunk, or name another one", "%s serves %q, not %s", e.Trunk, rule.Country, cc)
		}
		if len(e.Numbers) == 0 {
			b.fail(at+".numbers", `e.g. ["110", "112", "urn:service:sos"]`, "is empty")
		}
		served[string(cc)] = true
		c.Rules.Emergency = append(c.Rules.Emergency, routing.EmergencyRule{Country: string(cc), Numbers: e.Numbers, Trunk: e.Trunk})
	}
	for name := range b.names {
		country := c.Rules.Trunks[name].Country
		if g, ok := c.Rules.Groups[name]; ok {
			country = g.Country
		}
		if country != "" && !served[country] {
			b.fail(b.names[name]+".country", "add an emergency row with the numbers and the trunk of "+country+"; leave country out only where another system carries those calls",
				"no emergency trunk is named for %s", country)
		}
	}
}

func (b *builder) log(c *Config) {
	l := b.doc.file.Log
	c.Log = LogPart{Reserve: 64 << 20, OnLogFailure: l.OnLogFailure}
	if l.Reserve != "" {
		n, err := parseBytes(l.Reserve)
		if err != nil || n < 1<<20 {
			b.fail("log.reserve", "at least 1MiB, e.g. 64MiB", "%q is no size", l.Reserve)
		}
		c.Log.Reserve = n
	}
	switch l.OnLogFailure {
	case "":
		c.Log.OnLogFailure = "refuse"
	case "refuse", "continue_with_gap":
	default:
		b.fail("log.on_log_failure", "refuse or continue_with_gap", "%q is unknown", l.OnLogFailure)
	}
}

func parseBytes(s string) (int64, error) {
	mult := int64(1)
	for suffix, m := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			s, mult = rest, m
			break
		}
	}
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	return n * mult, err
}

func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.IsLoopback()
}

func (b *builder) api(c *Config) {
	a := b.doc.file.API
	switch a.Address {
	case "off":
		c.API.Off = true
		return
	case "":
		c.API.Address = netip.MustParseAddrPort("127.0.0.1:8480")
	default:
		c.API.Address = b.addrPort("api.address", a.Address)
	}
	c.API.Cert = b.cert("api", a.CertFile, a.KeyFile, false)
	if c.API.Address.IsValid() && !c.API.Address.Addr().IsLoopback() && c.API.Cert == nil {
		b.fail("api.address", "add cert_file and key_file, or stay on a loopback address", "%s is reachable from outside and has no certificate", a.Address)
	}
}

func (b *builder) limits(c *Config) {
	c.Limits = b.doc.file.Limits
	if s := c.Limits.Stranger; s != "" && s != "silence" && s != "403" {
		b.fail("limits.stranger", `silence or "403"`, "%q is unknown", s)
	}
	if c.Limits.MaxCalls < 0 {
		b.fail("limits.max_calls", "a positive number, or leave it out for the default", "%d is out of range", c.Limits.MaxCalls)
	}
	if r := c.Limits.RatePerSource; !(r >= 0 && r <= math.MaxInt32) { // written so that .nan and .inf are refused
		b.fail("limits.rate_per_source", "a positive number, or leave it out for the default", "%v is out of range", r)
	}
	if c.Limits.MaxCalls == 0 {
		c.Limits.MaxCalls = defaultMaxCalls
	}
	if c.Limits.RatePerSource == 0 {
		c.Limits.RatePerSource = defaultRatePerSource
	}
}

// Limits that hold where the file names none.
const (
	defaultMaxCalls      = 10000
	defaultRatePerSource = 50
)

// Dir is the folder of the file; paths in it start there.
func (c *Config) Dir() string { return filepath.Dir(c.Name) }

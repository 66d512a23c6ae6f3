package configs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
)

// party builds everything that one trunk or edge group means to the rooms.
func (b *builder) party(c *Config, p *Party, kind sovereign.PartyKind, at string) {
	if p.Name == "" {
		b.fail(at+".name", "give it a short name; routes and the log use it", "is missing")
		return
	}
	if first, dup := b.names[p.Name]; dup {
		b.fail(at+".name", "names are unique over trunks and edge groups", "%q is taken by %s", p.Name, first)
		return
	}
	if strings.Contains(p.Name, "/") {
		b.fail(at+".name", "leave the slash out: it stands between party and member in the log", "%q has a slash", p.Name)
	}
	if p.MaxCalls < 0 {
		b.fail(at+".max_calls", "a positive number; leave it out for no limit", "%d is out of range", p.MaxCalls)
	}
	b.names[p.Name] = at
	b.provider(at, p.Provider)
	b.sovereignParty(c, p, kind, at)
	b.watched(c, p, at)
	b.profile(c, p, kind, at)
}

func (b *builder) sovereignParty(c *Config, p *Party, kind sovereign.PartyKind, at string) {
	sp := sovereign.Party{Name: p.Name, Kind: kind, MediaEvidence: p.MediaEvidence, Contract: p.Contract}
	if p.Region == "" {
		b.fail(at+".region", "name the region where its signalling is terminated, provider:code", "is missing")
	} else {
		sp.Region = b.region(at+".region", p.Region, false)
	}
	if p.OrgHomeRegion != "" {
		sp.OrgHomeRegion = b.region(at+".org_home_region", p.OrgHomeRegion, false)
	}
	for i, s := range p.MediaRegions {
		sp.MediaRegions = append(sp.MediaRegions, b.region(fmt.Sprintf("%s.media_regions[%d]", at, i), s, false))
	}
	if len(p.MediaRegions) > 0 && p.MediaEvidence == "" {
		b.fail(at+".media_regions", "add media_evidence: the annex or export that pins the media regions", "no evidence backs them")
	}
	if p.Country != "" {
		if _, ok := b.law.ParseCountry(p.Country); !ok {
			b.fail(at+".country", "use an ISO 3166-1 alpha-2 code, in quotes where YAML reads it otherwise ('NO')", "%q names no country", p.Country)
		}
	}
	for i, a := range p.Attributes {
		ap := fmt.Sprintf("%s.attributes[%d]", at, i)
		if a.Evidence == "" {
			b.fail(ap+".evidence", "name the document: an attribute without evidence attests nothing", "is missing")
		}
		sp.Attributes = append(sp.Attributes, sovereign.Attribute{Name: a.Name, Value: plainValue(a.Value), Evidence: a.Evidence, At: b.date(ap+".at", a.At, false)})
	}
	c.Parties = append(c.Parties, sp)
}

// plainValue turns a YAML list into []string, which is what conditions compare with.
func plainValue(v any) any {
	list, ok := v.([]any)
	if !ok {
		return v
	}
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = fmt.Sprint(x)
	}
	return words
}

func (b *builder) watched(c *Config, p *Party, at string) {
	w := healthcheck.Watched{Party: p.Name}
	if len(p.Members) == 0 && !p.Registers {
		b.fail(at+".members", "add at least one, e.g. {host: sip.carrier.example, transport: tls}", "there is none")
	}
	seen := map[string]bool{}
	for i, m := range p.Members {
		mp := fmt.Sprintf("%s.members[%d]", at, i)
		name := m.Name
		if name == "" {
			name = m.Host
		}
		if m.Host == "" {
			b.fail(mp+".host", "a domain name or a literal address", "is missing")
			continue
		}
		if strings.Contains(name, "/") {
			b.fail(mp+".name", "leave the slash out: it stands between party and member in the log", "%q has a slash", name)
		}
		if seen[name] {
			b.fail(mp+".name", "names are unique in a party", "%q stands twice", name)
		}
		seen[name] = true
		tr, port := b.memberTransport(mp, m)
		w.Members = append(w.Members, healthcheck.Member{Name: name, Host: m.Host, Port: port, Transport: tr, Priority: m.Priority, Weight: m.Weight})
		b.lintMember(mp, m)
	}
	c.Watched = append(c.Watched, w)
}

func (b *builder) memberTransport(path string, m Member) (healthcheck.Transport, uint16) {
	literal := false
	if _, err := netip.ParseAddr(m.Host); err == nil {
		literal = true
	} else if strings.ContainsAny(m.Host, " /:@[]") {
		b.fail(path+".host", "write the name alone; port and transport are keys of their own", "%q is no host", m.Host)
	}
	tr, port := m.Transport, m.Port
	if tr == "" && literal {
		tr = "tls"
	}
	if !slices.Contains([]string{"", "udp", "tcp", "tls"}, tr) {
		b.fail(path+".transport", "one of udp, tcp, tls", "%q is no transport", tr)
	}
	if port == 0 && literal {
		port = 5060
		if tr == "tls" {
			port = 5061
		}
	}
	return healthcheck.Transport(tr), port
}

// teamsHosts are the three fixed names of a prescribed order that crosses continents: first the EU, then the United States, then Asia.
var teamsHosts = map[string]string{
	"sip2.pstnhub.microsoft.com": "the United States",
	"sip3.pstnhub.microsoft.com": "Asia",
}

func (b *builder) lintMember(path string, m Member) {
	if where, ok := teamsHosts[strings.ToLower(strings.TrimSuffix(m.Host, "."))]; ok {
		b.warn(path+".host", "the prescribed order is no lawful one: calls reach it only where its address lies in a permitted place, and arriving calls from there are refused too",
			"%s answers from %s", m.Host, where)
	}
}

var securities = map[string]media.Security{"": media.SRTPRequired, "srtp": media.SRTPRequired, "optional": media.SRTPOptional, "best_effort": media.SRTPBestEffort, "plain": media.Plain, "dtls": media.DTLS}

var suites = []media.Suite{media.AEAD_AES_256_GCM, media.AEAD_AES_128_GCM, media.AES_256_CM_SHA1_80, media.AES_CM_128_HMAC_SHA1_80, media.AES_CM_128_HMAC_SHA1_32}

func (b *builder) leg(p *Party, at string) media.Leg {
	sec, ok := securities[p.Media.Security]
	if !ok {
		b.fail(at+".media.security", "one of srtp, optional, best_effort, plain, dtls", "%q is unknown", p.Media.Security)
	}
	leg := media.Leg{Party: p.Name, Security: sec, InsecureLab: p.Media.InsecureLab, Digits: b.dtmf(p, at)}
	for i, s := range p.Media.Suites {
		sp := fmt.Sprintf("%s.media.suites[%d]", at, i)
		if !slices.Contains(suites, media.Suite(s)) {
			words := make([]string, len(suites))
			for j := range suites {
				words[j] = string(suites[j])
			}
			b.fail(sp, "one of "+strict.Words(words), "%q is no suite", s)
			continue
		}
		leg.Suites = append(leg.Suites, media.Suite(s))
	}
	leg.Codecs = b.codecs(p, at)
	leg.T38 = b.fax(p, leg, at)
	leg.Feedback = b.oneOf(at+".media.profile", p.Media.Profile, "avp", "avpf") == "avpf"
	b.web(p, &leg, at)
	leg.Mux = b.oneOf(at+".media.rtcp_mux", p.Media.Mux, "pass", "offer") == "offer"
	leg.Bind, leg.Advertise = b.addr(at+".media.address", p.Media.Address), b.addr(at+".media.advertise", p.Media.Advertise)
	b.reachable(at+".media", leg.Bind, leg.Advertise)
	leg.Prefixes = b.prefixes(at+".media.prefixes", p.Media.Prefixes)
	if p.Media.InsecureLab {
		b.warn(at+".media.insecure_lab", "for laboratories alone: whoever reads the signalling can listen to the call", "media keys may travel in the clear")
	}
	return leg
}

// keyless warns of a party to which no call can go: it wants keys, and none of its members is reached by what may carry them.
func (b *builder) keyless(p *Party, leg media.Leg, at string) {
	wants := leg.Security == media.SRTPRequired || leg.Security == media.SRTPOptional
	byTLS := func(m Member) bool { return m.Transport == "" || m.Transport == "tls" }
	if wants && !leg.InsecureLab && len(p.Members) > 0 && !slices.ContainsFunc(p.Members, byTLS) {
		b.warn(at+".media.security", "let a member be reached by TLS; where that cannot be, say best_effort or plain", "keys of SRTP travel over TLS alone, and no member is reached by it: no call can be offered to %s", p.Name)
	}
}

func (b *builder) prefixes(path string, list []string) []netip.Prefix {
	var out []netip.Prefix
	for i, s := range list {
		pfx, err := netip.ParsePrefix(s)
		if a, err2 := netip.ParseAddr(s); err2 == nil {
			pfx, err = netip.PrefixFrom(a, a.BitLen()), nil
		}
		if err != nil {
			b.fail(fmt.Sprintf("%s[%d]", path, i), "write it like 203.0.113.0/24 or a single address", "%q is no prefix", s)
			continue
		}
		out = append(out, pfx.Masked())
	}
	return out
}

func (b *builder) profile(c *Config, p *Party, kind sovereign.PartyKind, at string) {
	leg := b.leg(p, at)
	b.keyless(p, leg, at)
	prof := sip.Party{
		Name: p.Name, Kind: kind, Sources: b.prefixes(at+".sources", p.Sources), Peers: p.Peers, Keys: leg.Security != media.Plain && leg.Security != media.DTLS, Leg: leg,
		Domain: p.Domain, Contact: p.Contact, Trusted: p.Trusted, Rel100: p.Rel100, Hold: p.Hold, Early: p.EarlyMedia, MaxCalls: p.MaxCalls, Headers: p.Headers, Transfer: b.transfer(p, at), Messages: b.messages(p, at),
		Within: sip.Deadlines{
			First: time.Duration(p.Deadlines.First), Progress: time.Duration(p.Deadlines.Progress),
			Ring: time.Duration(p.Deadlines.Ring), Setup: time.Duration(p.Deadlines.Setup),
		},
	}
	if p.Rel100 != "" && p.Rel100 != "end" && p.Rel100 != "pass" {
		b.fail(at+".rel100", "end or pass", "%q is unknown", p.Rel100)
	}
	if e := p.EarlyMedia; e != "" && e != "pass" && e != "authorised" && e != "block" {
		b.fail(at+".early_media", "pass, authorised or block", "%q is unknown", e)
	}
	if p.Hold != "" && p.Hold != "relay" && p.Hold != "local" {
		b.fail(at+".hold", "relay or local", "%q is unknown", p.Hold)
	}
	for i, h := range p.Headers {
		if err := new(sip.Edge).Reload([]sip.Party{{Name: p.Name, Headers: []string{h}}}); err != nil { // the room's own rule
			b.fail(fmt.Sprintf("%s.headers[%d]", at, i), "name further end-to-end headers only, e.g. X-Genesys-Conversation-ID", "%q is the edge's own to write and cannot cross", h)
		}
	}
	b.partyGuard(&prof, p, at)
	prof.LargeByTCP = b.oneOf(at+".large_requests", p.LargeRequests, "udp", "tcp") == "tcp"
	prof.Fallback = b.fallback(p, leg, at)
	prof.EndDead = b.endsDead(p, at)
	prof.Cross = b.crossing(p, at)
	prof.Refresh = b.interval(at, p.SessionInterval)
	prof.TLS = b.tlsProfile(p, at)
	if p.Auth != nil {
		secret := p.Auth.Password
		secret.File = b.path(secret.File)
		prof.Auth = &sip.Credentials{User: p.Auth.User, Realm: p.Auth.Realm, Password: func() string { v, _ := secret.Value(); return v }}
		if secret.IsZero() {
			b.fail(at+".auth.password", "add {env: NAME} or {file: PATH}", "is missing")
		}
	}
	b.registration(&prof, &c.Watched[len(c.Watched)-1], p, at)
	b.sources(&prof, p, at)
	c.Profiles = append(c.Profiles, prof)
	b.rule(c, p, kind, at)
}

func (b *builder) interval(at, s string) time.Duration {
	switch s {
	case "":
		return 0
	case "off":
		return -1
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 90*time.Second {
		b.fail(at+".session_interval", "a duration of at least 90s (RFC 4028), or off", "%q is no session interval", s)
	}
	return d
}

func (b *builder) tlsProfile(p *Party, at string) *transport.TLSProfile {
	t := p.TLS
	prof := &transport.TLSProfile{Name: p.Name, ServerName: t.ServerName, Peers: p.Peers}
	if pool := b.roots(at+".tls.roots_file", t.RootsFile); pool != nil {
		part := &b.trusted[len(b.trusted)-1]
		part.Use, part.Live = "toward "+p.Name, true // parties may change their places in the file
		prof.Roots = func() *x509.CertPool { return pool }
	}
	if cert := b.cert(at+".tls", t.CertFile, t.KeyFile, false); cert != nil {
		b.pairs[len(b.pairs)-1].Use = "toward " + p.Name // parties may change their places in the file
		prof.Cert = func() *tls.Certificate { return cert }
	}
	switch t.MinVersion {
	case "", "1.2":
		prof.MinVersion = tls.VersionTLS12
	case "1.3":
		prof.MinVersion = tls.VersionTLS13
	default:
		b.fail(at+".tls.min_version", "1.2 or 1.3", "%q is not taken", t.MinVersion)
	}
	return prof
}

// sources fills in the literal addresses of the members when no prefix is declared.
func (b *builder) sources(prof *sip.Party, p *Party, at string) {
	if len(prof.Sources) > 0 {
		return
	}
	for _, m := range p.Members {
		if a, err := netip.ParseAddr(m.Host); err == nil {
			prof.Sources = append(prof.Sources, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	if len(prof.Sources) == 0 {
		b.warn(at+".sources", "list the prefixes that its requests come from", "no source is known, so no call from %s is admitted", p.Name)
	}
}

func (b *builder) rule(c *Config, p *Party, kind sovereign.PartyKind, at string) {
	region, _ := sovereign.ParseRegion(p.Region)
	country, _ := b.law.ParseCountry(p.Country)
	plan, callers := b.numbering(p, at)
	if kind == sovereign.KindTrunk {
		if c.Rules.Trunks == nil {
			c.Rules.Trunks = map[string]routing.TrunkRule{}
		}
		c.Rules.Trunks[p.Name] = routing.TrunkRule{Country: string(country), Region: region, Within: time.Duration(p.Deadlines.First), Keys: p.Media.Security != "plain" && p.Media.Security != "dtls", Numbers: plan, Callers: callers}
		return
	}
	if c.Rules.Groups == nil {
		c.Rules.Groups = map[string]routing.GroupRule{}
	}
	c.Rules.Groups[p.Name] = routing.GroupRule{Country: string(country), Region: region, Within: time.Duration(p.Deadlines.First), Numbers: plan, Callers: callers}
}

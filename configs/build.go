package configs

import (
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// builder turns a decoded file into a Config and collects every problem on the way.
type builder struct {
	doc      *document
	dir      string
	law      *sovereign.Law
	regions  *sovereign.Catalogue
	names    map[string]string // party name -> path
	probs    Problems
	warnings Problems
	pairs    []PairPart
	trusted  []RootsPart
	held     bool // what people accepted stands beside what a file says, see Within: two may say the same
}

func newBuilder(doc *document) *builder {
	return &builder{doc: doc, dir: filepath.Dir(doc.Name), law: sovereign.Shipped(), regions: sovereign.ShippedRegions(), names: map[string]string{}}
}

func (b *builder) fail(path, hint, format string, args ...any) {
	b.probs = append(b.probs, b.doc.Problem(path, hint, format, args...))
}

func (b *builder) warn(path, hint, format string, args ...any) {
	b.warnings = append(b.warnings, b.doc.Problem(path, hint, format, args...))
}

func (b *builder) build() *Config {
	f := &b.doc.file
	c := &Config{Name: b.doc.Name, File: *f}
	b.identity(c)
	b.ownRegions(c)
	b.policy(c)
	bases := b.legalBases(c)
	b.places(c)
	b.evidence(c)
	b.listeners(c)
	b.media(c)
	b.restart(c)
	for i := range f.Trunks {
		b.party(c, &f.Trunks[i], sovereign.KindTrunk, fmt.Sprintf("trunks[%d]", i))
	}
	for i := range f.EdgeGroups {
		b.party(c, &f.EdgeGroups[i], sovereign.KindGroup, fmt.Sprintf("edge_groups[%d]", i))
	}
	b.partyBases(c, bases)
	b.inventory(c, bases)
	b.health(c)
	b.routes(c)
	b.emergency(c)
	b.dns(c)
	b.gate(c)
	b.lawRules(c)
	b.people(c)
	b.log(c)
	b.channels(c)
	b.api(c)
	b.limits(c)
	b.guard(c)
	b.certificates(c)
	b.trace(c)
	b.spans(c)
	b.witnesses(c)
	b.clock(c)
	b.retention(c)
	b.incidents(c)
	b.reviews(c)
	b.drills(c)
	b.processing()
	b.worm(c)
	return c
}

func (b *builder) identity(c *Config) {
	f := &b.doc.file
	if f.Tenant.OrgID == "" {
		b.fail("tenant.org_id", "give the organisation a short identifier, e.g. org_id: bank-1", "is missing")
	}
	if f.Tenant.LEI != "" && !validLEI(f.Tenant.LEI) {
		b.fail("tenant.lei", "20 capital letters and digits, the last two are check digits (ISO 17442): copy it from the register", "is no Legal Entity Identifier")
	}
	// C2SP signed-note: both are part of the name that the log's key signs under.
	for path, name := range map[string]string{"tenant.org_id": f.Tenant.OrgID, "node.name": f.Node.Name} {
		if strings.Contains(name, "+") || strings.IndexFunc(name, unicode.IsSpace) >= 0 {
			b.fail(path, "letters, digits and dashes, e.g. bank-1: the log is signed under it", "%q has a space or a plus sign", name)
		}
	}
	if f.Node.Name == "" {
		b.fail("node.name", "give the node a name that is unique in the tenant, e.g. name: edge-fra-1", "is missing")
	}
	if f.Node.StateDir == "" {
		b.fail("node.state_dir", "name a folder for log, state and keys, e.g. state_dir: /var/lib/cordon", "is missing")
	}
	c.StateDir = b.path(f.Node.StateDir)
}

// path makes p absolute from the folder of the configuration file.
func (b *builder) path(p string) string {
	return pathFrom(b.dir, p)
}

func pathFrom(dir, p string) string {
	if p == "" || filepath.IsAbs(p) {
		return p
	}
	return filepath.Join(dir, p)
}

// ownRegions adds the operator's places to the catalogue, so that everything below can name them.
func (b *builder) ownRegions(c *Config) {
	for i, r := range b.doc.file.Regions {
		at := fmt.Sprintf("regions[%d]", i)
		key, err := sovereign.ParseRegion(r.Key)
		if err != nil {
			b.fail(at+".key", "write it as provider:code, e.g. bank:fra-1", "%q names no region", r.Key)
			continue
		}
		cc, ok := b.law.ParseCountry(r.Country)
		if !ok {
			b.fail(at+".country", "use an ISO 3166-1 alpha-2 code, in quotes where YAML reads it otherwise ('NO')", "%q names no country", r.Country)
			continue
		}
		if r.Contract == "" {
			b.fail(at+".contract", "name the document that states where it stands", "is missing")
		}
		next, err := b.regions.With(b.law, sovereign.RegionFact{Region: key, City: r.City, Country: cc, Status: "declared", Source: r.Contract})
		if err != nil {
			b.fail(at, "choose a provider word of your own, e.g. your company's name", "%v", err)
			continue
		}
		b.regions = next
	}
	c.Catalogue = b.regions
}

func (b *builder) policy(c *Config) {
	p := &b.doc.file.Policy
	preset, err := sovereign.ParsePreset(p.Preset)
	if err != nil {
		b.fail("policy.preset", "one of eu_only, eea_only, eea_plus_adequacy, eea_plus_adequacy_no_conditional", "%q is no preset", p.Preset)
	}
	c.Policy.Preset = preset
	if p.Home == "" {
		b.fail("policy.home", "name the home region as provider:code, e.g. home: aws:eu-central-1", "is missing")
	} else {
		c.Policy.Home = b.region("policy.home", p.Home, true)
	}
	for i, s := range p.Allow {
		c.Policy.Allow = append(c.Policy.Allow, b.region(fmt.Sprintf("policy.allow[%d]", i), s, true))
	}
	c.Suspensions = SuspensionSource{File: b.path(p.SuspensionsFile), Keys: map[string]ed25519.PublicKey{}}
	for id, s := range p.SuspensionKeys {
		raw, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(raw) != ed25519.PublicKeySize {
			b.fail("policy.suspension_keys."+id, "an Ed25519 public key has 32 bytes, in base64: `cordon law key` prints it", "is no public key")
			continue
		}
		c.Suspensions.Keys[id] = raw
	}
	if p.SuspensionsFile != "" && len(p.SuspensionKeys) == 0 {
		b.fail("policy.suspensions_file", "add suspension_keys: without a key every line of the file is refused", "no key may sign it")
	}
}

// region parses provider:code. mustKnow makes an unknown one an error; otherwise it is a warning, since an unknown region only ever denies.
func (b *builder) region(path, s string, mustKnow bool) sovereign.Region {
	r, err := sovereign.ParseRegion(s)
	if err != nil {
		b.fail(path, "write it as provider:code, e.g. aws:eu-central-1; a code alone is ambiguous", "%q names no region", s)
		return r
	}
	if _, ok := b.regions.Lookup(r); ok {
		return r
	}
	hint := "a region that is not in the catalogue, or whose country is not public, is always denied"
	if near := b.regions.Nearest(s); len(near) > 0 {
		hint = fmt.Sprintf("did you mean %s? %s; a site of your own goes under regions", near[0], hint)
	}
	if mustKnow {
		b.fail(path, hint, "unknown region %q", s)
	} else {
		b.warn(path, hint, "unknown region %q: everything there is denied", s)
	}
	return r
}

func (b *builder) date(path, s string, lastDay bool) time.Time {
	t, ok := parseDay(s, lastDay)
	if !ok {
		b.fail(path, "write a day as YYYY-MM-DD", "%q is no day", s)
	}
	return t
}

// parseDay reads YYYY-MM-DD; nothing gives the zero time. A last day is valid to its end: closed at 00:00 UTC of the next.
func parseDay(s string, last bool) (time.Time, bool) {
	if s == "" {
		return time.Time{}, true
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return time.Time{}, false
	}
	if last {
		t = t.AddDate(0, 0, 1)
	}
	return t, true
}

func (b *builder) places(c *Config) {
	for i, p := range b.doc.file.Places {
		at := fmt.Sprintf("places[%d]", i)
		d := sovereign.Declaration{
			Prefix: p.Prefix, Operator: p.Operator, Contract: p.Contract,
			ValidFrom: b.date(at+".valid_from", p.ValidFrom, false), ValidUntil: b.date(at+".valid_until", p.ValidUntil, true),
		}
		if pfx, err := netip.ParsePrefix(p.Prefix); err != nil {
			b.fail(at+".prefix", "write it like 203.0.113.0/24 or 2001:db8::/32", "%q is no prefix", p.Prefix)
		} else if pfx != pfx.Masked() {
			b.fail(at+".prefix", "write "+pfx.Masked().String(), "%q has bits set behind its length", p.Prefix)
		}
		if p.Contract == "" {
			b.fail(at+".contract", "name the contract annex that states the location: an address without one cannot be permitted", "is missing")
		}
		switch {
		case p.Region != "" && len(p.Countries) > 0:
			b.fail(at, "keep region for a prefix that lies in one place, countries for one that is shared", "both region and countries are set")
		case p.Region != "":
			d.Region = b.region(at+".region", p.Region, false)
		case len(p.Countries) == 0:
			b.fail(at, "add region: provider:code, or countries: [..] for a prefix that several countries share", "names neither region nor countries")
		}
		for j, s := range p.Countries {
			cc, ok := b.law.ParseCountry(s)
			if !ok {
				b.fail(fmt.Sprintf("%s.countries[%d]", at, j), "use ISO 3166-1 alpha-2 codes, in quotes where YAML reads them otherwise ('NO')", "%q names no country", s)
				continue
			}
			d.Countries = append(d.Countries, cc)
		}
		before := len(b.probs)
		b.lintGlobalPrefix(at, p)
		if len(b.probs) == before {
			if _, err := sovereign.NewAtlas(b.regions, append(slices.Clone(c.Declarations), d)); err != nil {
				b.fail(at, "each prefix stands once for any time, and none is the whole address space", "%v", err)
				continue
			}
		}
		c.Declarations = append(c.Declarations, d)
	}
}

// lintGlobalPrefix finds prefixes that their owner announces for the whole world although the file ties them to one region.
func (b *builder) lintGlobalPrefix(path string, p Place) {
	pfx, err := netip.ParsePrefix(p.Prefix)
	if err != nil || p.Region == "" {
		return
	}
	if g, ok := b.regions.SharedBy(pfx); ok {
		b.fail(path+".region", "write countries: [..] with every country of the contract, and media_regions with media_evidence at the edge group",
			"%s (%s) is announced for all regions of its owner: an address in it proves no region", g.Prefix, g.Operator)
	}
}

func (b *builder) addrPort(path, s string) netip.AddrPort {
	if s == "" {
		return netip.AddrPort{}
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		b.fail(path, "write a literal address with its port, e.g. 192.0.2.10:5061 or [2001:db8::1]:5061", "%q is no address", s)
	}
	return ap
}

func (b *builder) addr(path, s string) netip.Addr {
	if s == "" {
		return netip.Addr{}
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		b.fail(path, "write a literal address, e.g. 192.0.2.10", "%q is no address", s)
	}
	return a
}

func (b *builder) listeners(c *Config) {
	fl := b.doc.file.Listeners
	if len(fl) == 0 {
		b.fail("listeners", "add at least one, e.g. {transport: tls, address: 192.0.2.10:5061, cert_file: .., key_file: ..}", "there is none")
	}
	bound := map[string]string{}
	for i, l := range fl {
		at := fmt.Sprintf("listeners[%d]", i)
		p := ListenerPart{Transport: l.Transport, Address: b.addrPort(at+".address", l.Address), Advertise: b.addrPort(at+".advertise", l.Advertise)}
		if l.Address == "" {
			b.fail(at+".address", "name a literal address with its port", "is missing")
		} else if p.Address.Addr().IsUnspecified() && l.Advertise == "" {
			b.fail(at+".address", "bind one address, or add advertise: what Via and Contact carry must be an address that peers can reach", "%s is every address", l.Address)
		}
		switch l.Transport {
		case "udp", "tcp":
			if l.CertFile != "" || l.ClientCAFile != "" {
				b.fail(at, "use transport: tls", "certificates make no sense over %s", l.Transport)
			}
		case "tls":
			p.Cert = b.cert(at, l.CertFile, l.KeyFile, true)
			if p.ClientCAs = b.roots(at+".client_ca_file", l.ClientCAFile); p.ClientCAs != nil {
				b.trusted[len(b.trusted)-1].Live = true
			}
		default:
			b.fail(at+".transport", "one of udp, tcp, tls", "%q is no transport", l.Transport)
		}
		socket := "udp"
		if l.Transport != "udp" {
			socket = "tcp"
		}
		socket += " " + p.Address.String()
		if first, taken := bound[socket]; taken && p.Address.Port() != 0 {
			b.fail(at+".address", "give each listener an address or a port of its own", "%s is bound by %s already", p.Address, first)
		}
		bound[socket] = at
		c.Listeners = append(c.Listeners, p)
	}
}

func (b *builder) cert(path, certFile, keyFile string, must bool) *tls.Certificate {
	if certFile == "" && keyFile == "" {
		if must {
			b.fail(path, "add cert_file and key_file (PEM)", "TLS needs a certificate")
		}
		return nil
	}
	cert, err := tls.LoadX509KeyPair(b.path(certFile), b.path(keyFile))
	if err != nil {
		b.fail(path+".cert_file", "both files must be PEM, belong together and be readable", "%v", err)
		return nil
	}
	if cert.Leaf == nil && len(cert.Certificate) > 0 {
		cert.Leaf, _ = x509.ParseCertificate(cert.Certificate[0])
	}
	if cert.Leaf != nil && time.Now().After(cert.Leaf.NotAfter) {
		b.fail(path+".cert_file", "renew it", "the certificate ended on %s", cert.Leaf.NotAfter.Format(time.DateOnly))
	}
	c := &cert
	b.pairs = append(b.pairs, PairPart{path, b.path(certFile), b.path(keyFile), c})
	return c
}

func (b *builder) roots(path, file string) *x509.CertPool {
	if file == "" {
		return nil
	}
	data, err := os.ReadFile(b.path(file))
	if err != nil {
		b.fail(path, "the file must be readable", "%v", err)
		return nil
	}
	list, pool := PEM(data)
	if len(list) == 0 {
		b.fail(path, "put one or more PEM certificates in it", "no certificate in %s", file)
		return nil
	}
	b.trusted = append(b.trusted, RootsPart{Use: path, File: b.path(file), Certs: list, Pool: pool})
	return pool
}

func (b *builder) media(c *Config) {
	m := b.doc.file.Media
	c.Media.Workers, c.Media.Tick = b.carriers()
	if m.InProcess != nil {
		c.Media.InProcess, c.Media.Apart = *m.InProcess, !*m.InProcess
	}
	c.Media.Address = b.addr("media.address", m.Address)
	c.Media.Advertise = b.addr("media.advertise", m.Advertise)
	c.Media.Limits = b.liveness()
	c.Media.Digits = b.digits()
	c.Media.Reports = b.reports()
	if !c.Media.Address.IsValid() && len(c.Listeners) > 0 {
		c.Media.Address = c.Listeners[0].Address.Addr()
	}
	b.reachable("media", c.Media.Address, c.Media.Advertise)
	c.Media.DSCP = b.codePoint("media.dscp", m.DSCP)
	if m.Ports == "" {
		return
	}
	lo, hi, ok := strings.Cut(m.Ports, "-")
	first, err1 := strconv.ParseUint(strings.TrimSpace(lo), 10, 16)
	last, err2 := strconv.ParseUint(strings.TrimSpace(hi), 10, 16)
	if !ok || err1 != nil || err2 != nil || first < 1024 || last < first+3 {
		b.fail("media.ports", "write a range of at least two pairs above 1023, e.g. 20000-29999", "%q is no port range", m.Ports)
		return
	}
	c.Media.Ports = [2]uint16{uint16(first), uint16(last)}
}

func (b *builder) settings(path string, h Health, def healthcheck.Settings) healthcheck.Settings {
	s := healthcheck.Settings{
		Interval: h.Interval.Or(def.Interval), Timeout: h.Timeout.Or(def.Timeout), Jitter: h.Jitter, Fall: h.Fall, Rise: h.Rise,
		HoldDown: h.HoldDown.Or(def.HoldDown), SlowRTT: h.SlowRTT.Or(def.SlowRTT),
	}
	if s.Jitter == 0 {
		s.Jitter = def.Jitter
	}
	if s.Fall == 0 {
		s.Fall = def.Fall
	}
	if s.Rise == 0 {
		s.Rise = def.Rise
	}
	if s.Timeout >= s.Interval {
		b.fail(path+".timeout", "a probe must have ended before the next one starts", "%s is not smaller than the interval %s", s.Timeout, s.Interval)
	}
	if s.Interval < 10*time.Millisecond || s.Interval > time.Hour {
		b.fail(path+".interval", "between 10ms and 1h", "%s is out of range", s.Interval)
	}
	if s.Fall < 1 || s.Fall > 100 || s.Rise < 1 || s.Rise > 100 || !(s.Jitter >= 0 && s.Jitter <= 0.5) { // written so that .nan is refused
		b.fail(path, "fall and rise lie between 1 and 100, jitter between 0 and 0.5", "out of range")
	}
	b.guards(path, h, def, &s)
	return s
}

func (b *builder) health(c *Config) {
	c.Health = b.settings("health", b.doc.file.Health, defaultHealth)
	if h := b.doc.file.Health; h.Probe != "" && h.Probe != "options" || h.Call != (ProbeCall{}) {
		b.fail("health.probe", "write it under the health of one trunk or edge group", "synthetic calls belong to one party")
	}
	for i := range c.Watched { // parties were built first; their own settings start from the general ones
		at, own := b.names[c.Watched[i].Party], (*Health)(nil)
		for _, list := range [][]Party{b.doc.file.Trunks, b.doc.file.EdgeGroups} {
			for j := range list {
				if list[j].Name == c.Watched[i].Party {
					own = list[j].Health
				}
			}
		}
		c.Watched[i].Settings = c.Health
		if own != nil {
			c.Watched[i].Settings = b.settings(at+".health", *own, c.Health)
			c.Watched[i].Call = b.probeCall(at+".health", *own)
		}
	}
}

var defaultHealth = healthcheck.Settings{
	Interval: 5 * time.Second, Timeout: 2 * time.Second, Jitter: 0.1, Fall: 3, Rise: 5, HoldDown: 10 * time.Second, FlapMax: defaultFlapMax,
}

func (b *builder) dns(c *Config) {
	d := b.doc.file.DNS
	for i, s := range d.Servers {
		at := fmt.Sprintf("dns.servers[%d]", i)
		if a, err := netip.ParseAddr(s); err == nil {
			c.DNS.Servers = append(c.DNS.Servers, netip.AddrPortFrom(a, 53))
			continue
		}
		ap := b.addrPort(at, s)
		if s == "" || ap.IsValid() && ap.Port() == 0 {
			b.fail(at, "a literal address, e.g. 192.0.2.53 or 192.0.2.53:53", "%q is no server", s)
		}
		c.DNS.Servers = append(c.DNS.Servers, ap)
	}
	c.DNS.Timeout, c.DNS.MinTTL, c.DNS.MaxTTL = d.Timeout.Or(time.Second), d.MinTTL.Or(5*time.Second), d.MaxTTL.Or(time.Hour)
	if c.DNS.MinTTL > c.DNS.MaxTTL {
		b.fail("dns.min_ttl", "keep min_ttl below max_ttl", "%s is above max_ttl %s", c.DNS.MinTTL, c.DNS.MaxTTL)
	}
	if len(c.DNS.Servers) > 0 {
		return
	}
	for _, w := range c.Watched {
		for _, m := range w.Members {
			if _, err := netip.ParseAddr(m.Host); err != nil {
				b.fail("dns.servers", "name at least one, in a permitted place: a member is a domain name", "there is none, but %s of %s needs one", m.Host, w.Party)
				return
			}
		}
	}
}

package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds of one resolution: an answer, however large or deep, costs at most this much.
const (
	maxQueries   = 64 // lookups of one Locate
	maxChain     = 8  // CNAME steps of one name
	maxSRV       = 32 // SRV records that are followed
	maxAddrs     = 32 // addresses of one name
	maxLocated   = 128
	maxNAPTR     = 32
	sipPort      = 5060
	sipsPort     = 5061
	transportTLS = "tls"
)

// walk is one resolution on its way: it collects addresses and what all of them depend on.
type walk struct {
	r       *Resolver
	q       Query
	queries int
	found   []Located
	ttl     time.Duration
	secure  bool
	stale   bool
}

// service is one way to ask for SIP in SRV, RFC 3263 section 4.1.
type service struct{ transport, prefix, naptr string }

// services in the order in which they are tried without NAPTR: the best protected first.
var services = [...]service{
	{transportTLS, "_sips._tcp.", "SIPS+D2T"},
	{"tcp", "_sip._tcp.", "SIP+D2T"},
	{"udp", "_sip._udp.", "SIP+D2U"},
}

func serviceOf(transport string) (service, error) {
	for _, s := range services {
		if s.transport == transport {
			return s, nil
		}
	}
	return service{}, fmt.Errorf("transport %q is none of udp, tcp, tls", transport)
}

func defaultPort(transport string) uint16 {
	if transport == transportTLS {
		return sipsPort
	}
	return sipPort
}

// run follows RFC 3263 section 4: literal, port, transport, NAPTR, SRV, address.
func (w *walk) run(ctx context.Context) error {
	if w.q.Transport != "" {
		if _, err := serviceOf(w.q.Transport); err != nil {
			return err
		}
	}
	transport := cmp.Or(w.q.Transport, "udp") // RFC 3263 section 4.1: UDP for a literal or an explicit port
	port := cmp.Or(w.q.Port, defaultPort(transport))
	if a, ok := literal(w.q.Host); ok {
		w.secure = false
		w.add(Located{Host: w.q.Host, Transport: transport, Addr: netip.AddrPortFrom(a, port)})
		return nil
	}
	name, err := cleanName(w.q.Host)
	if err != nil {
		return err
	}
	if w.q.Port == 0 {
		done, err := w.byService(ctx, name)
		if done || err != nil {
			return err
		}
	}
	return w.byAddress(ctx, name, transport, port, 0, 0)
}

// byService tries NAPTR and SRV. done is false when the name has neither, so that its own addresses count.
func (w *walk) byService(ctx context.Context, name string) (done bool, err error) {
	if w.q.Transport != "" {
		s, err := serviceOf(w.q.Transport)
		if err != nil {
			return false, err
		}
		return w.bySRV(ctx, s.prefix+name, s.transport)
	}
	rules, err := w.naptr(ctx, name)
	if err != nil {
		return false, err
	}
	for _, n := range rules {
		for _, s := range services {
			if strings.EqualFold(n.Service, s.naptr) {
				// The most preferred rule that we can speak decides alone: going on to another would let whoever breaks TLS choose UDP.
				done, err := w.bySRV(ctx, dns.CanonicalName(n.Replacement), s.transport)
				if err == nil && !done {
					err = fmt.Errorf("%w: NAPTR points to %s, which has no SRV record", ErrNoName, n.Replacement)
				}
				return true, err
			}
		}
	}
	for _, s := range services {
		if done, err := w.bySRV(ctx, s.prefix+name, s.transport); done || err != nil {
			return done, err
		}
	}
	return false, nil
}

// naptr gives the usable rules of a name in order; none is no error.
func (w *walk) naptr(ctx context.Context, name string) ([]*dns.NAPTR, error) {
	set, err := w.lookup(ctx, name, dns.TypeNAPTR)
	if err != nil && !errors.Is(err, ErrNoName) {
		return nil, err
	}
	var rules []*dns.NAPTR
	for _, rr := range set {
		// RFC 3263 section 4.1: flag "s", no regular expression, a replacement.
		if n, ok := rr.(*dns.NAPTR); ok && strings.EqualFold(n.Flags, "s") && n.Regexp == "" && n.Replacement != "." {
			rules = append(rules, n)
		}
	}
	slices.SortStableFunc(rules, func(a, b *dns.NAPTR) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Preference, b.Preference), cmp.Compare(a.Service, b.Service))
	})
	return rules[:min(len(rules), maxNAPTR)], nil
}

// bySRV adds the targets of an SRV set. done says that the set exists: then nothing else may be tried, even when no target has an address.
func (w *walk) bySRV(ctx context.Context, name, transport string) (done bool, err error) {
	set, err := w.lookup(ctx, name, dns.TypeSRV)
	if errors.Is(err, ErrNoName) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	srvs := sortSRV(set)
	if len(srvs) == 1 && srvs[0].Target == "." {
		return true, fmt.Errorf("%w: %s declines the service", ErrNoName, name) // RFC 2782
	}
	var failed error
	for _, s := range srvs {
		if s.Target == "." {
			continue
		}
		err := w.byAddress(ctx, dns.CanonicalName(s.Target), transport, s.Port, s.Priority, s.Weight)
		if ctx.Err() != nil {
			return true, ctx.Err()
		}
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("SRV target %s: %w", s.Target, err))
			w.ttl = w.r.cfg.MinTTL // the missing target is asked for again soon
		}
	}
	if len(w.found) == 0 {
		if failed == nil {
			failed = fmt.Errorf("%w: %s lists no target", ErrNoName, name)
		}
		return true, failed
	}
	return true, nil
}

func sortSRV(set []dns.RR) []*dns.SRV {
	var srvs []*dns.SRV
	for _, rr := range set {
		if s, ok := rr.(*dns.SRV); ok && (s.Port != 0 || s.Target == ".") {
			srvs = append(srvs, s)
		}
	}
	slices.SortStableFunc(srvs, func(a, b *dns.SRV) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(b.Weight, a.Weight),
			cmp.Compare(a.Target, b.Target), cmp.Compare(a.Port, b.Port))
	})
	return srvs[:min(len(srvs), maxSRV)]
}

func (w *walk) byAddress(ctx context.Context, name, transport string, port, priority, weight uint16) error {
	addrs, err := w.addresses(ctx, name)
	if err != nil {
		return err
	}
	host := strings.TrimSuffix(name, ".")
	for _, a := range addrs {
		w.add(Located{Host: host, Transport: transport, Addr: netip.AddrPortFrom(a, port), Priority: priority, Weight: weight})
	}
	return nil
}

func (w *walk) add(l Located) {
	same := func(o Located) bool { return o.Addr == l.Addr && o.Transport == l.Transport }
	if len(w.found) < maxLocated && !slices.ContainsFunc(w.found, same) {
		w.found = append(w.found, l)
	}
}

// addresses gives A and AAAA of a name, sorted, so that the same answers make the same list whatever their order on the wire.
func (w *walk) addresses(ctx context.Context, name string) ([]netip.Addr, error) {
	var out []netip.Addr
	var failed error
	for _, t := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		set, err := w.lookup(ctx, name, t)
		if err != nil && !errors.Is(err, ErrNoName) {
			failed = errors.Join(failed, err)
			w.ttl = w.r.cfg.MinTTL // the missing half is asked for again soon
		}
		for _, rr := range set {
			if a, ok := addrOf(rr); ok && !slices.Contains(out, a) {
				out = append(out, a)
			}
		}
	}
	if len(out) == 0 && failed != nil {
		return nil, failed
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%w: %s", ErrNoName, strings.TrimSuffix(name, "."))
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out[:min(len(out), maxAddrs)], nil
}

// addrOf reads A and AAAA. A v4-mapped AAAA is the v4 address that it would dial, and is placed as such.
func addrOf(rr dns.RR) (netip.Addr, bool) {
	var raw []byte
	switch v := rr.(type) {
	case *dns.A:
		raw = v.A.To4()
	case *dns.AAAA:
		raw = v.AAAA.To16()
	default:
		return netip.Addr{}, false
	}
	a, ok := netip.AddrFromSlice(raw)
	if !ok {
		return netip.Addr{}, false
	}
	a = a.Unmap()
	return a, !a.IsUnspecified() && !a.IsMulticast()
}

// literal reads "192.0.2.1", "2001:db8::1" and "[2001:db8::1]". Zones name interfaces of one machine and are no literals.
func literal(host string) (netip.Addr, bool) {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	a, err := netip.ParseAddr(host)
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// cleanName gives the canonical absolute name, or says why it is none.
func cleanName(host string) (string, error) {
	name := dns.CanonicalName(host)
	if _, ok := dns.IsDomainName(name); !ok || host == "" || name == "." {
		return "", errors.New("not a domain name")
	}
	for _, c := range []byte(name) {
		ok := c == '.' || c == '-' || c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z')
		if !ok {
			return "", fmt.Errorf("not a host name: %q", c)
		}
	}
	return name, nil
}

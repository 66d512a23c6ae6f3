package resolve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// question is what the cache and the joined flights are keyed by. The name is canonical.
type question struct {
	name  string
	qtype uint16
}

// step is what one server said to one question, checked: records, or where the chain of aliases goes on, or an authoritative nothing.
type step struct {
	rrs    []dns.RR
	next   string // the last alias when the answer ends there
	none   bool
	ttl    time.Duration
	secure bool
}

// lookup gives the records of one name and type through cache and aliases.
func (w *walk) lookup(ctx context.Context, name string, qtype uint16) ([]dns.RR, error) {
	for range maxChain {
		if w.queries++; w.queries > maxQueries {
			return nil, fmt.Errorf("%w: more than %d lookups", ErrNoAnswer, maxQueries)
		}
		e, err := w.r.ask(ctx, w.q.Party, question{name, qtype})
		if err != nil {
			return nil, err
		}
		left := e.expires.Sub(w.r.cfg.Now())
		if left <= 0 {
			w.stale = true
		}
		w.ttl = min(w.ttl, max(left, w.r.cfg.MinTTL))
		w.secure = w.secure && e.secure
		switch {
		case e.none:
			return nil, fmt.Errorf("%w: %s %s", ErrNoName, dns.TypeToString[qtype], strings.TrimSuffix(name, "."))
		case e.next == "":
			return e.rrs, nil
		}
		name = e.next
	}
	return nil, fmt.Errorf("%w: %s: more than %d aliases", ErrNoAnswer, name, maxChain)
}

// ask answers from the cache, or from the servers, or, when none of them answers, from what the cache held before (RFC 8767).
func (r *Resolver) ask(ctx context.Context, party string, q question) (entry, error) {
	now := r.cfg.Now()
	old, ok := r.cache.get(q)
	if ok && (now.Before(old.expires) || now.Before(old.retry)) {
		return old, nil
	}
	s, err := step{}, r.meets(ctx, party)
	taken := err != nil // by a drill: nobody was asked, and nothing is remembered of it
	if err == nil {
		s, err = r.join.do(ctx, q, func(ctx context.Context) (step, error) { return r.servers(ctx, q) })
	}
	now = r.cfg.Now()
	if err == nil {
		e := entry{step: s, expires: now.Add(s.ttl)}
		r.cache.put(q, e, now, r.cfg.MaxStale)
		return e, nil
	}
	if ctx.Err() != nil {
		return entry{}, ctx.Err()
	}
	if ok && now.Before(old.expires.Add(r.cfg.MaxStale)) {
		if !taken {
			old.retry = now.Add(r.cfg.MinTTL) // ask the silent servers again only then
			r.cache.put(q, old, now, r.cfg.MaxStale)
		}
		return old, nil
	}
	return entry{}, err
}

// servers asks one server after the other, each for at most Timeout.
func (r *Resolver) servers(ctx context.Context, q question) (step, error) {
	failed := error(ErrNoAnswer)
	if len(r.cfg.Servers) == 0 {
		return step{}, fmt.Errorf("%w: no DNS server is configured", ErrNoAnswer)
	}
	for _, server := range r.cfg.Servers {
		one, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
		s, err := r.server(one, q, server)
		cancel()
		if err == nil {
			return s, nil
		}
		if ctx.Err() != nil {
			return step{}, ctx.Err()
		}
		failed = fmt.Errorf("%w; %v: %w", failed, server, err)
	}
	return step{}, failed
}

func (r *Resolver) server(ctx context.Context, q question, server netip.AddrPort) (step, error) {
	id := uint16(rand.Uint32()) // the generator of math/rand/v2 is ChaCha8, seeded by the system
	msg, err := query(q, id)
	if err != nil {
		return step{}, err
	}
	reply, err := r.cfg.Exchange.Exchange(ctx, msg, server)
	if err != nil {
		return step{}, err
	}
	s, err := parse(reply, q, id)
	if err != nil {
		return step{}, err
	}
	s.ttl = min(max(s.ttl, r.cfg.MinTTL), r.cfg.MaxTTL)
	// AD is one bit that anybody on the way can set: it means something only when there is no way.
	s.secure = s.secure && server.Addr().Unmap().IsLoopback()
	return s, nil
}

// udpSize is the EDNS0 buffer: no fragments on common paths (DNS flag day 2020).
const udpSize = 1232

func query(q question, id uint16) ([]byte, error) {
	var m dns.Msg
	m.Id = id
	m.RecursionDesired = true
	m.AuthenticatedData = true // RFC 6840 section 5.7: we understand AD
	m.Question = []dns.Question{{Name: q.name, Qtype: q.qtype, Qclass: dns.ClassINET}}
	m.SetEdns0(udpSize, false)
	b, err := m.Pack()
	if err != nil {
		return nil, fmt.Errorf("pack question: %w", err)
	}
	return b, nil
}

// errBadReply is every reply that does not answer the question that was asked.
var errBadReply = errors.New("reply refused")

// parse checks a whole reply against the question and takes from it only what the question leads to: records of the asked name, or of the end of
// its alias chain inside the answer section. Authority serves for the negative TTL alone, the additional section for nothing.
func parse(b []byte, q question, id uint16) (step, error) {
	var m dns.Msg
	if err := m.Unpack(b); err != nil {
		return step{}, fmt.Errorf("%w: %w", errBadReply, err)
	}
	if !answers(&m, q, id) {
		return step{}, fmt.Errorf("%w: it answers another question", errBadReply)
	}
	if m.Truncated {
		return step{}, fmt.Errorf("%w: truncated", errBadReply)
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return step{}, fmt.Errorf("%w: %s", errBadReply, cmp.Or(dns.RcodeToString[m.Rcode], "unknown rcode"))
	}
	s := step{secure: m.AuthenticatedData, ttl: maxDuration}
	name, hops := q.name, 0
	for ; hops <= maxChain; hops++ {
		var alias string
		for _, rr := range m.Answer {
			h := rr.Header()
			if h.Class != dns.ClassINET || dns.CanonicalName(h.Name) != name {
				continue
			}
			ttl := seconds(h.Ttl)
			if h.Rrtype == q.qtype {
				s.rrs = append(s.rrs, rr)
				s.ttl = min(s.ttl, ttl)
			} else if c, ok := rr.(*dns.CNAME); ok && alias == "" {
				alias = dns.CanonicalName(c.Target)
				s.ttl = min(s.ttl, ttl)
			}
		}
		if len(s.rrs) > 0 {
			return s, nil
		}
		if alias == "" {
			break
		}
		name = alias
	}
	if hops > maxChain {
		return step{}, fmt.Errorf("%w: more than %d aliases", errBadReply, maxChain)
	}
	return s.ended(&m, name, hops > 0), nil
}

// ended makes the step of an answer without records: its alias goes on elsewhere, or there is nothing (RFC 2308).
func (s step) ended(m *dns.Msg, name string, aliased bool) step {
	soa := false
	for _, rr := range m.Ns {
		if v, ok := rr.(*dns.SOA); ok && dns.IsSubDomain(v.Hdr.Name, name) {
			s.ttl = min(s.ttl, seconds(v.Hdr.Ttl), seconds(v.Minttl))
			soa = true
		}
	}
	if aliased && !soa && m.Rcode == dns.RcodeSuccess {
		s.next = name
		return s
	}
	s.none = true
	if !soa {
		s.ttl = 0 // RFC 2308 section 5: without SOA it should not be cached; the clamp keeps it for MinTTL
	}
	return s
}

func answers(m *dns.Msg, q question, id uint16) bool {
	return m.Response && m.Id == id && m.Opcode == dns.OpcodeQuery && len(m.Question) == 1 &&
		m.Question[0].Qtype == q.qtype && m.Question[0].Qclass == dns.ClassINET && dns.CanonicalName(m.Question[0].Name) == q.name
}

const maxDuration = time.Duration(1<<63 - 1)

// seconds reads a TTL; one with the top bit set counts as zero, RFC 2181 section 8.
func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 {
		return 0
	}
	return time.Duration(ttl) * time.Second
}

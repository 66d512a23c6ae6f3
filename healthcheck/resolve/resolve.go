// Package resolve finds the addresses of a SIP party (RFC 3263), places each answer and has it judged before anybody may contact it.
//
// A Resolver asks the configured servers and nobody else, believes only what answers its own question, and gives denied and held
// addresses back beside the permitted ones: they are shown, never contacted. It is the only room with miekg/dns, and imports sovereign and internal/impair.
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/sovereign"
)

// Query names what is looked for.
type Query struct {
	Party     string
	Host      string // domain name or literal address
	Port      uint16 // 0: NAPTR/SRV
	Transport string // "" : NAPTR decides
}

// Located is one address with its place and ruling. Denied and held ones are listed too: they are shown, never contacted.
type Located struct {
	Host      string // the name whose A/AAAA gave Addr (SRV target), for the log
	Transport string
	Addr      netip.AddrPort
	Priority  uint16
	Weight    uint16
	Ruling    sovereign.Ruling
}

// Answer is one resolution. Expires follows the smallest TTL of the chain, clamped by the resolver's bounds.
type Answer struct {
	Located []Located
	Expires time.Time
	Secure  bool // every step had AD from a trusted resolver
	Stale   bool // at least one step is older than its TTL, because no server answered
}

// Exchanger sends one DNS message to a server and gives the reply; the fence stands inside it.
type Exchanger interface {
	Exchange(ctx context.Context, msg []byte, server netip.AddrPort) ([]byte, error)
}

// Config of a Resolver.
type Config struct {
	Servers []netip.AddrPort // asked in order; each passes the fence
	Timeout time.Duration    // per server, default 1 s
	MinTTL  time.Duration    // default 5 s
	MaxTTL  time.Duration    // default 1 h
	// MaxStale bounds how long an answer outlives its TTL when no server answers (RFC 8767), default 24 h; negative switches it off.
	MaxStale time.Duration
	Judge    func(sovereign.Ask) sovereign.Ruling
	Dial     func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error) // fenced; "udp" or "tcp"
	Exchange Exchanger                                                                          // nil: UDP with TCP after truncation, over Dial
	Now      func() time.Time                                                                   // nil: time.Now
	// Impaired is what a drill has questions for the names of a party meet, "" for those of infrastructure; nil: nothing ever. What the cache holds is answered as ever.
	Impaired func(party string) impair.Effect
}

// Errors that callers branch on.
var (
	// ErrNoName says with authority that there is nothing: the name does not exist, has no address, or declines the service.
	ErrNoName = errors.New("resolve: no such name or address")
	// ErrNoAnswer says that no server gave a usable answer and nothing recent enough is known.
	ErrNoAnswer = errors.New("resolve: no usable answer")
)

// Resolver does RFC 3263 over Config.Servers. Safe for concurrent use; answers are cached to their TTL.
type Resolver struct {
	cfg   Config
	cache cache
	join  flights
}

// New checks c.
func New(c Config) (*Resolver, error) {
	if c.Judge == nil {
		return nil, errors.New("resolve: no Judge: every answer must be judged")
	}
	if c.Dial == nil && c.Exchange == nil {
		return nil, errors.New("resolve: neither Dial nor Exchange is set")
	}
	for _, s := range c.Servers {
		if !s.IsValid() || s.Port() == 0 {
			return nil, fmt.Errorf("resolve: server %q is not an address with a port", s)
		}
	}
	if c.Timeout < 0 || c.MinTTL < 0 || c.MaxTTL < 0 {
		return nil, errors.New("resolve: a negative duration")
	}
	setDefault(&c.Timeout, time.Second)
	setDefault(&c.MinTTL, 5*time.Second)
	setDefault(&c.MaxTTL, time.Hour)
	setDefault(&c.MaxStale, 24*time.Hour)
	if c.MinTTL > c.MaxTTL {
		return nil, fmt.Errorf("resolve: MinTTL %v is larger than MaxTTL %v", c.MinTTL, c.MaxTTL)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Exchange == nil {
		c.Exchange = wire{dial: c.Dial}
	}
	r := &Resolver{cfg: c}
	r.cache.entries = make(map[question]entry)
	r.join.running = make(map[question]*flight)
	return r, nil
}

func setDefault(d *time.Duration, v time.Duration) {
	if *d == 0 {
		*d = v
	}
}

// Locate resolves, places and judges q. Every answer is kept; there is no fall-through to A when SRV exists. It judges anew each time, also what
// comes from the cache. The error wraps ErrNoName or ErrNoAnswer unless q itself is wrong or ctx ended.
func (r *Resolver) Locate(ctx context.Context, q Query) (Answer, error) {
	w := &walk{r: r, q: q, secure: true, ttl: r.cfg.MaxTTL}
	if err := w.run(ctx); err != nil {
		return Answer{}, fmt.Errorf("resolve: %s: %w", q.Host, err)
	}
	now := r.cfg.Now()
	for i := range w.found {
		l := &w.found[i]
		l.Ruling = r.cfg.Judge(sovereign.Ask{Party: q.Party, Plane: sovereign.Signalling, Addr: l.Addr, At: now})
	}
	return Answer{Located: w.found, Expires: now.Add(w.ttl), Secure: w.secure, Stale: w.stale}, nil
}

// Host gives the A/AAAA addresses of a name, unjudged and without SRV, for infrastructure that is fenced where it is dialled.
func (r *Resolver) Host(ctx context.Context, name string) ([]netip.Addr, error) {
	w := &walk{r: r, secure: true, ttl: r.cfg.MaxTTL}
	if a, ok := literal(name); ok {
		return []netip.Addr{a}, nil
	}
	fqdn, err := cleanName(name)
	if err != nil {
		return nil, fmt.Errorf("resolve: %s: %w", name, err)
	}
	addrs, err := w.addresses(ctx, fqdn)
	if err != nil {
		return nil, fmt.Errorf("resolve: %s: %w", name, err)
	}
	return addrs, nil
}

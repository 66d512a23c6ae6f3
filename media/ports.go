package media

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// errNoPort means that every pair of the range is in use or in quarantine.
var errNoPort = errors.New("no media port")

// systemTries is how often the system is asked for a port before giving up on an even one with a free odd neighbour.
const systemTries = 64

// ports hands out pairs of sockets: RTP on an even port, RTCP on the next (RFC 3550 section 11). The start is random, so that a
// stranger can't guess the next call's ports; a freed pair rests, so that late packets of one call don't reach another.
type ports struct {
	listen func(netip.AddrPort) (sovereign.UDPConn, error)
	lo, hi uint16
	rest   time.Duration

	mu   sync.Mutex
	used map[netip.AddrPort]time.Time // zero: in use; else free again from then on
}

// pair of sockets.
type pair struct {
	rtp, rtcp sovereign.UDPConn
	at        netip.AddrPort // of rtp, as it was asked for
	port      uint16
}

func newPorts(c *Config) (*ports, error) {
	p := &ports{listen: c.Listen, lo: c.Ports[0], hi: c.Ports[1], rest: c.Quarantine, used: map[netip.AddrPort]time.Time{}}
	if p.rest == 0 {
		p.rest = 5 * time.Second
	}
	if p.lo == 0 && p.hi == 0 {
		return p, nil
	}
	if p.lo < 1024 || p.lo%2 != 0 || p.hi < p.lo || p.hi == 65535 && p.lo == 65535 {
		return nil, fmt.Errorf("media: ports %d-%d: want an even first port of at least 1024 and a last one that is not below it", p.lo, p.hi)
	}
	return p, nil
}

// kept is how many of n pairs calls for help alone may use: an eighth, eight at most.
func kept(n int) int { return min(n/8, 8) }

// open binds a pair on a. The last pairs of the range are kept for calls for help (urgent), so that a full house refuses none.
func (p *ports) open(a netip.Addr, urgent bool) (*pair, error) {
	if p.lo == 0 {
		return p.system(a)
	}
	n := (int(p.hi)-int(p.lo))/2 + 1
	if !urgent {
		n -= kept(n)
	}
	start := rand.IntN(n)
	for i := range n {
		at := netip.AddrPortFrom(a, p.lo+uint16(2*((start+i)%n)))
		if !p.take(at) {
			continue
		}
		if pr, err := p.bind(at); err == nil {
			return pr, nil
		}
		// Somebody else has one of the two; it stays out of the way for as long as a used one.
		p.free(at)
	}
	return nil, errNoPort
}

func (p *ports) take(at netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until, ok := p.used[at]; ok && (until.IsZero() || time.Now().Before(until)) {
		return false
	}
	p.used[at] = time.Time{}
	return true
}

func (p *ports) free(at netip.AddrPort) {
	if at.Port() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[at] = time.Now().Add(p.rest)
}

func (p *ports) bind(at netip.AddrPort) (*pair, error) {
	rtp, err := p.listen(at)
	if err != nil {
		return nil, err
	}
	rtcp, err := p.listen(netip.AddrPortFrom(at.Addr(), at.Port()+1))
	if err != nil {
		rtp.Close()
		return nil, err
	}
	return &pair{rtp: rtp, rtcp: rtcp, at: at, port: at.Port()}, nil
}

// system takes what the system gives, until it is an even port with a free neighbour. Those that don't fit stay open until then: a
// system that always gives the lowest free port would give the same one again.
func (p *ports) system(a netip.Addr) (*pair, error) {
	var last error
	var odd []sovereign.UDPConn
	defer func() {
		for _, c := range odd {
			c.Close()
		}
	}()
	for range systemTries {
		rtp, err := p.listen(netip.AddrPortFrom(a, 0))
		if err != nil {
			return nil, err
		}
		port := portOf(rtp)
		if port%2 == 0 && port != 0 {
			rtcp, err := p.listen(netip.AddrPortFrom(a, port+1))
			if err == nil {
				return &pair{rtp: rtp, rtcp: rtcp, at: netip.AddrPortFrom(a, 0), port: port}, nil
			}
			last = err
		}
		odd = append(odd, rtp)
	}
	return nil, errors.Join(errNoPort, last)
}

func portOf(c sovereign.UDPConn) uint16 {
	if a, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
		return a.Port()
	}
	return 0
}

package media

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

// errNoPort means that every pair of the range is in use or in quarantine.
var errNoPort = errors.New("no media port")

// systemTries is how often the system is asked for a port before giving up on an even one with a free odd neighbour.
const systemTries = 64

// errNoSocket means that no more sockets may be open.
var errNoSocket = errors.New("no media socket: the process may have no more files open")

// ports hands out pairs of sockets: RTP on an even port, RTCP on the next (RFC 3550 section 11). The choice is random, so that a
// stranger can't guess the next call's ports; a freed pair rests, so that late packets of one call don't reach another. Pairs stay open while they rest and
// after, so that in a steady state a call opens and closes none: see shelf. The sockets are the plane's from the moment at which they are open.
type ports struct {
	listen func(netip.AddrPort) (sovereign.UDPConn, error)
	plane  plane.Commands
	lo, hi uint16
	rest   time.Duration

	opened, reused atomic.Uint64

	mu   sync.Mutex
	used map[netip.AddrPort]time.Time // zero: in use or on the shelf; else free again from then on
	ids  [][]uint32                   // numbers of pairs that are free again, by worker
	next uint32                       // a number that no pair had
	most int                          // pairs that may be open, those on the shelf included; 0: as many as there are ports
	open int
	shelf
}

// pair of sockets, which the plane has.
type pair struct {
	id    uint32
	at    netip.AddrPort // of rtp, as it was asked for
	port  uint16
	work  uint32    // whose it is, of the plane's workers
	until time.Time // of a freed one: the end of its rest
}

// home is where a pair belongs: the address that it is bound to, and the worker that carries its packets. Both sides of a call have the same worker.
type home struct {
	addr   netip.Addr
	worker uint32
}

// bound is where the pair belongs.
func (pr *pair) bound() home { return home{pr.at.Addr(), pr.work} }

func newPorts(c *Config, workers int) (*ports, error) {
	p := &ports{
		listen: c.Listen, ids: make([][]uint32, workers), lo: c.Ports[0], hi: c.Ports[1], rest: c.Quarantine, used: map[netip.AddrPort]time.Time{}, most: c.Sockets / 2,
	}
	if p.rest == 0 {
		p.rest = 5 * time.Second
	}
	p.room, p.rested = maxKept, map[home]*rested{}
	if c.Calls > 0 {
		p.room = min(p.room, max(keptPerCall*c.Calls, 2*leastChoice))
	}
	if p.lo == 0 && p.hi == 0 {
		return p, nil
	}
	if p.lo < 1024 || p.lo%2 != 0 || p.hi < p.lo || p.hi == 65535 && p.lo == 65535 {
		return nil, fmt.Errorf("media: ports %d-%d: want an even first port of at least 1024 and a last one that is not below it", p.lo, p.hi)
	}
	return p, nil
}

// reserve is how many of n pairs calls for help alone may use: an eighth, eight at most.
func reserve(n int) int { return min(n/8, 8) }

// pairs is how many pairs the range has.
func (p *ports) pairs() int { return (int(p.hi)-int(p.lo))/2 + 1 }

// reserved says whether a pair is one of the last, that calls for help alone may use.
func (p *ports) reserved(at netip.AddrPort) bool {
	return p.lo != 0 && (int(at.Port())-int(p.lo))/2 >= p.pairs()-reserve(p.pairs())
}

// get gives a pair on a: a kept one, where there are enough to choose from, or a new one, or else any kept one. The last pairs of the range are for calls for
// help (urgent) alone, which no bound on open sockets refuses either. It blocks when it binds.
func (p *ports) get(a home, urgent bool) (*pair, error) {
	if pr := p.draw(a, leastChoice); pr != nil {
		return pr, nil
	}
	pr, err := p.create(a, urgent)
	if err != nil {
		if pr = p.draw(a, 1); pr != nil {
			return pr, nil
		}
		return nil, err
	}
	p.opened.Add(1)
	return pr, nil
}

// create opens a pair, within the bound.
func (p *ports) create(a home, urgent bool) (*pair, error) {
	p.mu.Lock()
	if p.most > 0 && p.open >= p.most && !urgent {
		old := p.shelf.oldest()
		p.mu.Unlock()
		if old == nil {
			return nil, errNoSocket
		}
		p.shut(old) // its ports go on resting
		p.mu.Lock()
	}
	p.open++
	p.mu.Unlock()
	pr, err := p.fresh(a, urgent)
	if err != nil {
		p.mu.Lock()
		p.open--
		p.mu.Unlock()
	}
	return pr, err
}

// draw takes one of the kept pairs on a, if there are at least that many. It does not block.
func (p *ports) draw(a home, least int) *pair {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.promote(time.Now())
	pr := p.shelf.draw(a, least)
	if pr != nil {
		p.reused.Add(1)
	}
	return pr
}

// shut closes a pair that is neither in use nor on the shelf any more, and gives its ports back from the end of its rest on.
func (p *ports) shut(pr *pair) {
	p.plane.Withdraw(pr.id)
	p.mu.Lock()
	p.open--
	p.ids[pr.work] = append(p.ids[pr.work], pr.id)
	p.mu.Unlock()
	p.release(pr.at, pr.until)
}

// fresh binds a pair on a.
func (p *ports) fresh(a home, urgent bool) (*pair, error) {
	if p.lo == 0 {
		return p.system(a)
	}
	n := p.pairs()
	if !urgent {
		n -= reserve(n)
	}
	start := rand.IntN(n)
	for i := range n {
		at := netip.AddrPortFrom(a.addr, p.lo+uint16(2*((start+i)%n)))
		if !p.take(at) {
			continue
		}
		if pr, err := p.bind(at, a.worker); err == nil {
			return pr, nil
		}
		// Somebody else has one of the two; it stays out of the way for as long as a used one.
		p.release(at, time.Now().Add(p.rest))
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

// free takes a pair back to rest. It stays open, where there is room, or is closed.
func (p *ports) free(pr *pair) {
	pr.until = time.Now().Add(p.rest)
	if !p.park(pr) {
		p.shut(pr)
	}
}

// park keeps a pair open, if there is room for it. What calls for help alone may use is not kept: a draw asks for no purpose.
func (p *ports) park(pr *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.reserved(pr.at) && p.shelf.put(pr)
}

// release gives the ports of a closed pair back, from then on.
func (p *ports) release(at netip.AddrPort, then time.Time) {
	if at.Port() == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used[at] = then
}

// run lets pairs stay open until ctx ends, and closes those that nobody needed for a while.
func (p *ports) run(ctx context.Context) {
	p.mu.Lock()
	p.keeps = true
	p.mu.Unlock()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.sweep(true)
		}
	}
}

// sweep closes what is idle; all of it, from now on, when pairs are not to stay open.
func (p *ports) sweep(keeps bool) {
	p.mu.Lock()
	p.keeps = keeps
	p.promote(time.Now())
	old := p.shelf.surplus()
	p.mu.Unlock()
	for _, pr := range old {
		p.shut(pr)
	}
}

// idle is how many pairs are open that no call has.
func (p *ports) idle() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.kept
}

// newPair gives two open sockets to the plane.
func (p *ports) newPair(rtp, rtcp sovereign.UDPConn, at netip.AddrPort, port uint16, worker uint32) *pair {
	pr := &pair{id: p.number(worker), at: at, port: port, work: worker}
	p.plane.Give(plane.Pair{ID: pr.id, RTP: rtp, RTCP: rtcp})
	return pr
}

// number gives a number that no open pair has: modulo the number of workers it is that of the worker.
func (p *ports) number(worker uint32) uint32 {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.ids[worker]) == 0 {
		of := p.next % uint32(len(p.ids))
		p.ids[of] = append(p.ids[of], p.next)
		p.next++
	}
	last := len(p.ids[worker]) - 1
	id := p.ids[worker][last]
	p.ids[worker] = p.ids[worker][:last]
	return id
}

func (p *ports) bind(at netip.AddrPort, worker uint32) (*pair, error) {
	rtp, err := p.listen(at)
	if err != nil {
		return nil, err
	}
	rtcp, err := p.listen(netip.AddrPortFrom(at.Addr(), at.Port()+1))
	if err != nil {
		rtp.Close()
		return nil, err
	}
	return p.newPair(rtp, rtcp, at, at.Port(), worker), nil
}

// system takes what the system gives, until it is an even port with a free neighbour. Those that don't fit stay open until then: a
// system that always gives the lowest free port would give the same one again.
func (p *ports) system(a home) (*pair, error) {
	var last error
	var odd []sovereign.UDPConn
	defer func() {
		for _, c := range odd {
			c.Close()
		}
	}()
	for range systemTries {
		rtp, err := p.listen(netip.AddrPortFrom(a.addr, 0))
		if err != nil {
			return nil, err
		}
		port := portOf(rtp)
		if port%2 == 0 && port != 0 {
			rtcp, err := p.listen(netip.AddrPortFrom(a.addr, port+1))
			if err == nil {
				return p.newPair(rtp, rtcp, netip.AddrPortFrom(a.addr, 0), port, a.worker), nil
			}
			last = err
		}
		odd = append(odd, rtp)
	}
	return nil, errors.Join(errNoPort, last)
}

// metrics tell how many sockets were saved.
func (p *ports) metrics() []prometheus.Collector {
	all := []prometheus.Collector{prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "cordon_media_idle_port_pairs", Help: "Open pairs of ports that no call has.",
	}, func() float64 { return float64(p.idle()) })}
	for origin, n := range map[string]*atomic.Uint64{"opened": &p.opened, "reused": &p.reused} {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "cordon_media_port_pairs_total", Help: "Pairs of ports that calls got, by whether they were opened for the call.", ConstLabels: prometheus.Labels{"origin": origin},
		}, func() float64 { return float64(n.Load()) }))
	}
	return all
}

func portOf(c sovereign.UDPConn) uint16 {
	if a, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil {
		return a.Port()
	}
	return 0
}

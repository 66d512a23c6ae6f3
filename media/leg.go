package media

import (
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

const (
	maxPacket  = 2048 // a UDP payload that is larger is no voice packet
	headroom   = 64   // for a tag and an SRTCP index
	rebindIdle = time.Second
	strangers  = 20 // packets of unknown sources that are looked at, per second and socket
)

// leg is the media of one side in one attempt: its sockets, keys and far end. A new attempt is a new leg.
type leg struct {
	s    *Session
	side Side
	cfg  *Leg // not changed once it is here
	pair *pair
	host netip.Addr     // written into SDP
	bind netip.AddrPort // of the RTP socket
	rtp  port
	rtcp port
	// readers are goroutines of ours, where the network does not read; nil where it does.
	readers *readers

	state atomic.Pointer[state]
	usual state              // the first one, which most legs keep
	paced [usualPaces]pacing // its clocks
	counters
	home    tally        // of the first place, and
	abroad  []*tally     // of others; the list and whether home counts are guarded by s.log
	settled bool         // home counts
	sent    *sentReports // guarded by s.ctl, like got; nil before the first
	got     gotReport    // by an endpoint only

	// negotiation, guarded by s.mu
	id      uint64
	version uint64
	sum     uint64 // of what was sent last, without its version
	keys    map[Suite]crypto
	outs    map[Suite]*outbound // one per key, for as long as the key lives: its indexes are never used twice
	ins     []*inbound          // the last keys of the far end, so that a key that comes back finds its rollover counter
	tags    int
	proto   string // as agreed; "" before
	remote  *remote
	layout  []line           // m-lines of the last description that was sent
	told    [usualLines]line // the first ones
	formats []string
	stale   bool // the last answer took formats away that it was told of before
}

// state is what the packet path needs of a negotiation. It is swapped whole.
type state struct {
	in     *inbound  // nil: plain
	out    *outbound // nil: plain
	mux    bool
	wants  bool // it wants to receive
	clocks paces
	codec  string
	suite  Suite
}

// port is one socket with its far end. All of it but latch belongs to the goroutine that reads the socket; where the network reads, to one packet at a time.
type port struct {
	leg    *leg
	conn   *sovereign.PacketConn
	rtcp   bool
	latch  atomic.Pointer[latch]
	usual  latch      // the first one, which most ports keep
	begun  bool       // it is in use, or was
	swap   sync.Mutex // guards swaps of latch, and told
	told   map[netip.AddrPort]bool
	tokens float64
	filled time.Time
}

// latch is the far end of a port: where packets go to, and the only source that is listened to.
type latch struct {
	sdp    netip.AddrPort // what the far end said of itself
	addr   netip.AddrPort // what is used
	pass   *sovereign.Pass
	ruling *sovereign.Ruling // that the pass was minted under: packets went under it, whatever the law says later
	tally  *tally
	left   int // how often it may still move before the next offer and answer; RFC 4961 needs once
	heard  atomic.Bool
	last   atomic.Int64 // unix ns of the last packet
	fenced atomic.Bool  // the pass died, and that was told
}

// tally counts packets from one place.
type tally struct {
	country sovereign.Country
	packets atomic.Uint64
}

// readers are the goroutines of a leg whose sockets its network does not read.
type readers struct {
	sync.WaitGroup
	done chan struct{}
}

// errWait says that what was asked for cannot be done without waiting.
var errWait = errors.New("media: sockets must be opened")

// newLeg makes a leg. Without wait it takes sockets that are open, or gives errWait.
func newLeg(s *Session, side Side, cfg *Leg, wait bool) (*leg, error) {
	bind, host := s.r.address(cfg)
	pr, err := (*pair)(nil), errWait
	if wait {
		pr, err = s.r.ports.get(bind, cfg.Purpose == sovereign.EmergencyCall)
	} else if pr = s.r.ports.draw(bind, leastChoice); pr != nil {
		err = nil
	}
	if err != nil {
		return nil, err
	}
	l := s.slab.leg(side)
	l.s, l.side, l.cfg, l.pair, l.host, l.bind, l.id = s, side, cfg, pr, host, netip.AddrPortFrom(bind, pr.port), rand.Uint64()>>2 // an id that fits every parser's signed 64 bits
	l.rtp.leg, l.rtp.conn = l, pr.rtp
	l.rtcp.leg, l.rtcp.conn, l.rtcp.rtcp = l, pr.rtcp, true
	pr.leg = l
	if !pr.rtp.ReceivePair(pr.hands[0], pr.rtcp, pr.hands[1]) {
		l.readers = &readers{done: make(chan struct{})}
		l.readers.Go(l.rtp.run)
		l.readers.Go(l.rtcp.run)
	}
	return l, nil
}

// close gives the sockets back and waits until nothing of the leg runs. The counters stay readable. What the other side's reader is just sending may still
// leave, by its own pass and to its own far end; the rest of the pair is longer than that.
func (l *leg) close() {
	if r := l.readers; r != nil {
		close(r.done)
		l.s.r.ports.free(l.pair, false)
		r.Wait()
		return
	}
	l.rtp.conn.Receive(nil)
	l.rtcp.conn.Receive(nil)
	l.pair.leg = nil
	l.s.r.ports.free(l.pair, true)
}

// run reads a socket that its network does not read, until it is closed.
func (p *port) run() {
	w := p.leg.s.r.works.Get().(*work)
	defer p.leg.s.r.works.Put(w)
	for {
		n, from, err := p.conn.Read(w.in[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			// Nothing but a close ends a reader: an ICMP error must not silence a call.
			if !p.pause() {
				return
			}
			continue
		}
		if n < len(w.in) {
			p.packet(w, w.in[:n], netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), time.Now())
		}
	}
}

// take is one datagram that the network read.
func (p *port) take(b []byte, from netip.AddrPort) {
	if len(b) < maxPacket {
		r := p.leg.s.r
		w := r.works.Get().(*work)
		p.packet(w, b, from, time.Now())
		r.works.Put(w)
	}
}

// pause waits a little after a read error; false when the leg is closed.
func (p *port) pause() bool {
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-p.leg.readers.done:
		return false
	case <-t.C:
		return true
	}
}

// work is the memory of one reader, reused for each packet.
type work struct {
	in    [maxPacket]byte
	plain [maxPacket + headroom]byte
	out   [maxPacket + headroom]byte
}

func (p *port) packet(w *work, b []byte, from netip.AddrPort, now time.Time) {
	st, la := p.leg.state.Load(), p.latch.Load()
	switch {
	case st == nil || la == nil:
		p.leg.refused.Add(1)
	case p.rtcp:
		p.control(w, st, la, b, from, now)
	case st.mux && isRTCP(b):
		p.control(w, st, la, b, from, now)
	default:
		p.media(w, st, la, b, from, now)
	}
}

// media takes one RTP packet. The order is: source, authentication, law, counting.
func (p *port) media(w *work, st *state, la *latch, b []byte, from netip.AddrPort, now time.Time) {
	l := p.leg
	h, ok := parseHeader(b)
	if !ok || from != la.addr && !p.admissible(st, la, from, now) {
		l.refused.Add(1)
		return
	}
	n := len(b)
	outer := b[:min(h.full, n)]
	if st.in != nil {
		var err error
		if b, err = st.in.openRTP(w.plain[:0], b, h); err != nil {
			l.refused.Add(1)
			return
		}
	}
	if la = p.far(la, from, now); la == nil {
		l.refused.Add(1)
		return
	}
	la.tally.packets.Add(1)
	if w := l.s.watch.Load(); w != nil {
		(*w)(Header{At: now, From: from, To: l.shown(), Bytes: outer, Size: n})
	}
	v := l.count(h, n, now, st.clocks.of(h.pt))
	if other := l.s.legs[1-l.side].Load(); other != nil {
		other.send(w, bare(b, h), h, v)
	} else if l.s.sink != nil {
		l.s.sink(w, b[h.full:], h, now)
	}
}

// send passes one plain RTP packet on to the far end of l. It runs on the goroutine of the other side.
func (l *leg) send(w *work, b []byte, h header, v verdict) {
	st, la := l.state.Load(), l.rtp.latch.Load()
	if st == nil || la == nil || !st.wants {
		return
	}
	if st.out != nil {
		if v.stray {
			return // its index can't be told yet
		}
		var err error
		if b, err = st.out.sealRTP(w.out[:0], b, h.ssrc, v.ext, v.fresh); err != nil {
			l.s.r.dropped.Add(1)
			return
		}
	}
	if l.rtp.write(b, la) {
		l.tx.Add(1)
		if w := l.s.watch.Load(); w != nil {
			(*w)(Header{At: time.Now(), From: l.shown(), To: la.addr, Bytes: b[:min(h.base, len(b))], Size: len(b)})
		}
	}
}

// write sends b to the far end. A pass that died is told once, and once more when it lives again.
func (p *port) write(b []byte, la *latch) bool {
	_, err := p.conn.Write(b, la.pass)
	switch {
	case err == nil:
		if la.fenced.Load() && la.fenced.CompareAndSwap(true, false) {
			p.tell(Move{From: la.addr, To: la.addr, Cause: "law", Allowed: true, Ruling: la.pass.Ruled()})
		}
		return true
	case errors.Is(err, sovereign.ErrFenced):
		p.fenced(la)
	default:
		p.leg.s.r.dropped.Add(1)
	}
	return false
}

func (p *port) fenced(la *latch) {
	if la.fenced.CompareAndSwap(false, true) {
		p.tell(Move{From: la.addr, To: la.addr, Cause: "law", Ruling: la.pass.Ruled()})
	}
}

// admissible is the cheap half of taking a source that is not the latched one: how often strangers are looked at, and whether a plain
// leg may ever take this one. An SRTP leg decides by authentication afterwards.
func (p *port) admissible(st *state, la *latch, from netip.AddrPort, now time.Time) bool {
	p.tokens = min(p.tokens+now.Sub(p.filled).Seconds()*strangers, strangers)
	p.filled = now
	if p.tokens < 1 {
		return false
	}
	p.tokens--
	if st.in != nil {
		return true
	}
	ok := from.Addr() == la.sdp.Addr()
	for _, n := range p.leg.cfg.Prefixes {
		ok = ok || n.Contains(from.Addr())
	}
	if !ok {
		p.turnAway(la, from, &sovereign.Ruling{Why: "the source is neither the address in the session description nor in a declared prefix"})
		return false
	}
	// Two sources at once on a plain leg are an injection: only a far end that fell silent can have moved.
	return !la.heard.Load() || now.UnixNano()-la.last.Load() >= int64(rebindIdle)
}

// far is the far end that an admitted packet from `from` came from. A source that is not the latched one is judged and latched first; nil
// refuses the packet.
func (p *port) far(la *latch, from netip.AddrPort, now time.Time) *latch {
	if from != la.addr {
		la = p.move(from)
	}
	if la == nil {
		return nil
	}
	if !la.pass.Live(now) {
		p.fenced(la)
		return nil
	}
	if !la.heard.Load() {
		la.heard.Store(true)
	}
	la.last.Store(now.UnixNano())
	return la
}

// move latches to a new source, if it may still move and the fence permits it.
func (p *port) move(from netip.AddrPort) *latch {
	p.swap.Lock()
	la := p.latch.Load()
	left := la.left
	if la.heard.Load() {
		left--
	}
	p.swap.Unlock()
	if left < 0 {
		p.turnAway(la, from, &sovereign.Ruling{Why: "the far end moved already since the last offer and answer"})
		return nil
	}
	pass, ruling := p.leg.judge(from)
	if pass == nil {
		kept := ruling
		p.turnAway(la, from, &kept)
		return nil
	}
	ruled := pass.Ruled()
	next := &latch{sdp: la.sdp, addr: from, pass: pass, ruling: ruled, tally: p.leg.tally(ruled), left: left}
	next.heard.Store(true)
	p.swap.Lock()
	ok := p.latch.CompareAndSwap(la, next) // an answer may have come in between
	p.swap.Unlock()
	if !ok {
		return nil
	}
	p.tell(Move{From: la.addr, To: from, Cause: "rebind", Allowed: true, Ruling: ruled})
	return next
}

// maxTold bounds how many refused sources are told apart per port and negotiation; the others are only counted.
const maxTold = 8

// turnAway tells of a refused source, once each.
func (p *port) turnAway(la *latch, from netip.AddrPort, r *sovereign.Ruling) {
	p.swap.Lock()
	known := p.told[from] || len(p.told) == maxTold
	if !known {
		if p.told == nil {
			p.told = map[netip.AddrPort]bool{}
		}
		p.told[from] = true
	}
	p.swap.Unlock()
	if !known {
		p.tell(Move{From: la.addr, To: from, Cause: "rebind", Ruling: r})
	}
}

func (p *port) tell(m Move) {
	m.Side, m.At = p.leg.side, time.Now()
	p.leg.s.moved(m)
}

// aim points the port at what a session description said; nil points it nowhere.
func (p *port) aim(to netip.AddrPort, pass *sovereign.Pass, cause string) {
	p.swap.Lock()
	old := p.latch.Load()
	clear(p.told)
	if pass == nil {
		p.latch.Store(nil)
		p.swap.Unlock()
		return
	}
	next := &p.usual
	if p.begun {
		next = &latch{}
	}
	p.begun = true
	next.sdp, next.addr, next.pass, next.ruling, next.left = to, to, pass, pass.Ruled(), 1
	if same := old != nil && old.sdp == to; same {
		next.addr, next.pass, next.ruling, next.tally = old.addr, old.pass, old.ruling, old.tally
		next.heard.Store(old.heard.Load())
		next.last.Store(old.last.Load())
		next.fenced.Store(old.fenced.Load())
		p.latch.Store(next)
		p.swap.Unlock()
		return
	}
	next.tally = p.leg.tally(next.ruling)
	p.latch.Store(next)
	p.swap.Unlock()
	m := Move{To: to, Cause: cause, Allowed: true, Ruling: next.ruling}
	if old != nil {
		m.From = old.addr
	}
	p.tell(m)
}

// judge asks the fence for an address of this leg's far end.
func (l *leg) judge(to netip.AddrPort) (*sovereign.Pass, sovereign.Ruling) {
	return l.s.r.cfg.Fence.Pass(sovereign.Ask{Party: l.cfg.Party, Plane: sovereign.Media, Purpose: l.cfg.Purpose, Addr: to})
}

// tally finds or makes the counter for the place of a ruling.
func (l *leg) tally(r *sovereign.Ruling) *tally {
	c := r.Country
	if c == "" && len(r.Place.Countries) > 0 {
		c = r.Place.Countries[0]
	}
	l.s.log.Lock()
	defer l.s.log.Unlock()
	if !l.settled {
		l.home.country, l.settled = c, true
	}
	if l.home.country == c {
		return &l.home
	}
	for _, t := range l.abroad {
		if t.country == c {
			return t
		}
	}
	t := &tally{country: c}
	l.abroad = append(l.abroad, t)
	return t
}

// perCountry is what was counted, by place; nil when nothing came.
func (l *leg) perCountry() map[sovereign.Country]uint64 {
	l.s.log.Lock()
	defer l.s.log.Unlock()
	var out map[sovereign.Country]uint64
	add := func(t *tally) {
		if n := t.packets.Load(); n > 0 {
			if out == nil {
				out = map[sovereign.Country]uint64{}
			}
			out[t.country] += n
		}
	}
	add(&l.home)
	for _, t := range l.abroad {
		add(t)
	}
	return out
}

// Package vnet is a virtual network inside one process: hosts with addresses, links with delay, loss, duplication and reordering, cuts and
// refusals, UDP sockets with ICMP errors, and TCP streams that carry TLS. A test builds the world on it, watches every packet through a Tap, and
// moves time with testing/synctest; every wait is on a condition or a timer that belongs to the bubble in which New was called. Outside a bubble
// it runs in real time.
//
// What happens to the n-th packet of a flow (protocol, source, destination) depends on the seed, the flow and n alone, so that the same seed
// gives the same fate to the same packet stream whatever the scheduler does between flows. The kernel-like work (deliveries, resets, ICMP) runs in
// order of time, then of sending, under one lock that nobody holds while waiting.
//
// Two things to know inside a bubble. A goroutine that waits for a mutex keeps time from moving on, and crypto/tls holds one through a handshake
// and through a blocked write: do the handshake before sharing the connection, and do not fill the megabyte that a stream buffers. And the network
// has no goroutine of its own, so there is nothing to end but the sockets; Open names those that were forgotten.
//
// It imports sovereign for the type of a UDP socket, and the standard library.
package vnet

import (
	"container/heap"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Quality is how a link treats packets in one direction. The zero Quality is a perfect wire. Order is kept within a flow unless Reorder draws.
type Quality struct {
	Delay   time.Duration // one way
	Jitter  time.Duration // added, uniform in [0, Jitter)
	Loss    float64       // probability; a lost TCP segment arrives a retransmission later
	Dup     float64       // probability of a second copy, datagrams only
	Reorder float64       // probability to be held back by 30 to 60 ms, so that later ones overtake, datagrams only
}

// Kind tells what a Packet is.
type Kind string

// The kinds. ICMP errors, SYN-ACK and RST are answers of a kernel and are not shown.
const (
	Datagram Kind = "datagram"
	SYN      Kind = "syn"  // a dial, at its first sending and at each retransmission; Data is empty
	Segment  Kind = "data" // bytes of a stream, at most 1460
	FIN      Kind = "fin"
)

// Packet is what a Tap sees at the moment of sending, whether or not it will arrive.
type Packet struct {
	At       time.Time
	Proto    string // "udp" or "tcp"
	Kind     Kind
	From, To netip.AddrPort
	Data     []byte // must not be changed; may be kept
}

// Stats counts since New. All are monotonic but Open.
type Stats struct {
	Sent       int // datagrams given to the network
	Delivered  int // datagrams that reached a socket's queue, copies included
	Lost       int // by Quality.Loss
	Cut        int // by a cut, or because nobody lives at the address
	Refused    int // closed port or refused prefix: an ICMP error or an RST was due
	Duplicated int
	Reordered  int
	Overflowed int // queue of the receiving socket was full
	Dials      int
	Opened     int // sockets bound, dialled or accepted
	Closed     int // sockets closed by their owner
	Open       int // Opened - Closed: what a leak check looks at
}

const (
	mss        = 1460
	queueLen   = 4096 // datagrams per socket
	streamCap  = 1 << 20
	backlog    = 256
	minRTO     = 200 * time.Millisecond // RFC 6298 rounds up to 1 s, kernels to 200 ms
	synRTO     = time.Second            // RFC 6298 section 2
	maxRTO     = 4 * time.Second
	firstPort  = 49152 // RFC 6335 section 6
	maxPayload = 65507
)

// Network is the whole virtual network. Safe for concurrent use.
type Network struct {
	seed uint64
	taps atomic.Pointer[[]func(Packet)]

	mu         sync.Mutex
	queue      events
	seq        uint64
	timer      *time.Timer
	hosts      map[netip.Addr]*Host
	all        []*Host
	normal     Quality
	links      []link
	cuts       []pair
	refused    []netip.Prefix
	flows      map[flow]*fate
	stats      Stats
	tcpTimeout time.Duration
}

type (
	pair struct{ from, to netip.Prefix }
	link struct {
		pair
		q Quality
	}
	flow struct {
		proto    string
		from, to netip.AddrPort
	}
)

// New makes an empty network. Within a bubble call it inside the bubble.
func New(seed uint64) *Network {
	return &Network{
		seed: seed, hosts: map[netip.Addr]*Host{}, flows: map[flow]*fate{}, tcpTimeout: 15 * time.Second,
	}
}

// Host adds a machine with these addresses and gives it a loopback of its own. Panics when an address is taken: that is a mistake of the test.
func (n *Network) Host(addrs ...netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &Host{
		n: n, udp: map[netip.AddrPort]*udpConn{}, tcp: map[netip.AddrPort]*listener{}, streams: map[*tcpConn]bool{},
		ports: map[netip.AddrPort]int{}, next: firstPort,
	}
	for _, a := range addrs {
		a = a.Unmap()
		if n.hosts[a] != nil {
			panic("vnet: address " + a.String() + " belongs to another host")
		}
		n.hosts[a] = h
		h.addrs = append(h.addrs, a)
	}
	n.all = append(n.all, h)
	return h
}

// Default sets the quality of every path that no Link matches.
func (n *Network) Default(q Quality) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.normal = q
}

// Link sets the quality of the path from one prefix to another, that direction only. The last one that matches counts.
func (n *Network) Link(from, to netip.Prefix, q Quality) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = append(n.links, link{pair{from, to}, q})
}

// LinkBoth is Link in both directions.
func (n *Network) LinkBoth(a, b netip.Prefix, q Quality) {
	n.Link(a, b, q)
	n.Link(b, a, q)
}

// Cut makes everything to and from p vanish, packets in flight included, until Heal. Streams that send across it end after the TCP timeout.
func (n *Network) Cut(p netip.Prefix) {
	n.CutOneWay(p, netip.Prefix{})
	n.CutOneWay(netip.Prefix{}, p)
}

// CutOneWay makes everything from one prefix to another vanish. The zero Prefix stands for everywhere.
func (n *Network) CutOneWay(from, to netip.Prefix) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts = append(n.cuts, pair{from, to})
}

// Refuse makes p answer datagrams with ICMP port unreachable and segments with RST, as a host does whose process is gone.
func (n *Network) Refuse(p netip.Prefix) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused = append(n.refused, p)
}

// Heal takes back every Refuse within p and every cut of which one side lies within p.
func (n *Network) Heal(p netip.Prefix) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cuts = slices.DeleteFunc(n.cuts, func(c pair) bool { return within(c.from, p) || within(c.to, p) })
	n.refused = slices.DeleteFunc(n.refused, func(r netip.Prefix) bool { return within(r, p) })
}

// TCPTimeout sets after how long without an answer a stream or a dial gives up with ETIMEDOUT. Default 15 s.
func (n *Network) TCPTimeout(d time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tcpTimeout = d
}

// Tap adds a watcher. It is called by the sender before the packet goes out, without any lock held, possibly from several goroutines at once.
func (n *Network) Tap(f func(Packet)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var fs []func(Packet)
	if old := n.taps.Load(); old != nil {
		fs = slices.Clone(*old)
	}
	fs = append(fs, f)
	n.taps.Store(&fs)
}

// Stats gives the counters.
func (n *Network) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.stats
	s.Open = s.Opened - s.Closed
	return s
}

// Open names every socket that its owner has not closed, sorted, for the message of a leak check.
func (n *Network) Open() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var out []string
	for _, h := range n.all {
		for a := range h.udp {
			out = append(out, "udp "+a.String())
		}
		for a := range h.tcp {
			out = append(out, "tcp listen "+a.String())
		}
		for c := range h.streams {
			out = append(out, "tcp "+c.local.String()+" > "+c.remote.String())
		}
	}
	slices.Sort(out)
	return out
}

func (n *Network) tap(p Packet) {
	fs := n.taps.Load()
	if fs == nil {
		return
	}
	p.At = time.Now()
	for _, f := range *fs {
		f(p)
	}
}

// within says whether all of a lies in b. The zero Prefix lies in nothing.
func within(a, b netip.Prefix) bool {
	return a.IsValid() && b.Bits() <= a.Bits() && b.Contains(a.Addr())
}

func (p pair) match(from, to netip.Addr) bool {
	return (!p.from.IsValid() || p.from.Contains(from)) && (!p.to.IsValid() || p.to.Contains(to))
}

// quality and isCut are asked under mu.
func (n *Network) quality(from, to netip.Addr) Quality {
	for _, l := range slices.Backward(n.links) {
		if l.match(from, to) {
			return l.q
		}
	}
	if from == to || n.hosts[from] == n.hosts[to] {
		return Quality{} // within one machine; an address that nobody claims is a loopback
	}
	return n.normal
}

func (n *Network) isCut(from, to netip.Addr) bool {
	return slices.ContainsFunc(n.cuts, func(c pair) bool { return c.match(from, to) })
}

func (n *Network) isRefused(to netip.Addr) bool {
	return slices.ContainsFunc(n.refused, func(p netip.Prefix) bool { return p.Contains(to) })
}

// lookup finds who lives at a, seen from h. A loopback address that no host claims belongs to h itself.
func (n *Network) lookup(h *Host, a netip.Addr) *Host {
	if o := n.hosts[a]; o != nil {
		if o.down {
			return nil
		}
		return o
	}
	if a.IsLoopback() {
		return h
	}
	return nil
}

// fate is the generator of one flow and, of datagrams, the latest arrival so far, which keeps their order.
type fate struct {
	rng  *rand.Rand
	last time.Time
}

// drawn is what chance says of one packet. Every packet draws the same number of values, so that the fate of the n-th does not depend on the
// qualities that the earlier ones met.
type drawn struct{ jitter, loss, dup, reorder, back float64 }

func (n *Network) draw(f flow) drawn {
	r := n.fate(f).rng
	return drawn{r.Float64(), r.Float64(), r.Float64(), r.Float64(), r.Float64()}
}

func (n *Network) fate(f flow) *fate {
	s := n.flows[f]
	if s == nil {
		s = &fate{rng: rand.New(rand.NewPCG(n.seed, hash(f)))}
		n.flows[f] = s
	}
	return s
}

// hash is FNV-1a; the hash of the runtime differs in each process.
func hash(f flow) uint64 {
	var h uint64 = 14695981039346656037
	for _, b := range []byte(f.proto + " " + f.from.String() + " " + f.to.String()) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return h
}

// event is something that the network does at a time. do runs under mu.
type event struct {
	at  time.Time
	seq uint64
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	if e[i].at.Equal(e[j].at) {
		return e[i].seq < e[j].seq
	}
	return e[i].at.Before(e[j].at)
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	old := *e
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*e = old[:len(old)-1]
	return x
}

// schedule is called under mu.
func (n *Network) schedule(at time.Time, do func()) {
	n.seq++
	heap.Push(&n.queue, event{at, n.seq, do})
	if n.queue[0].seq == n.seq {
		n.arm()
	}
}

// arm sets the one timer to the first event. There is no standing goroutine that a test would have to end.
func (n *Network) arm() {
	d := time.Until(n.queue[0].at)
	if n.timer == nil {
		n.timer = time.AfterFunc(d, n.pump)
		return
	}
	n.timer.Reset(d)
}

func (n *Network) pump() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for now := time.Now(); len(n.queue) > 0 && !n.queue[0].at.After(now); {
		heap.Pop(&n.queue).(event).do()
	}
	if len(n.queue) > 0 {
		n.arm()
	}
}

package media

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
)

// Addresses of the tests: the relay and the two sides stand in permitted regions, one place is held.
var (
	relayAddr = netip.MustParseAddr("127.0.1.1")
	aliceAddr = netip.MustParseAddr("127.0.1.10")
	bobAddr   = netip.MustParseAddr("127.0.2.10")
	bob2Addr  = netip.MustParseAddr("127.0.2.20")
	heldAddr  = netip.MustParseAddr("127.0.66.10")
)

func snapshot(t testing.TB, allow ...string) *sovereign.Snapshot {
	t.Helper()
	region := func(s string) sovereign.Region {
		r, err := sovereign.ParseRegion(s)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	atlas, err := sovereign.NewAtlas(sovereign.ShippedRegions(), []sovereign.Declaration{
		{Prefix: "127.0.1.0/24", Region: region("aws:eu-central-1"), Contract: "test 1"},
		{Prefix: "127.0.2.0/24", Region: region("aws:eu-central-2"), Contract: "test 2"},
		{Prefix: "127.0.66.0/24", Region: region("aws:us-east-1"), Contract: "test 3"},
		{Prefix: "198.51.100.0/24", Region: region("aws:eu-central-1"), Contract: "test 6"},
		{Prefix: "fd00::/16", Region: region("aws:eu-central-1"), Contract: "test 4"},
		{Prefix: "::1/128", Region: region("aws:eu-central-1"), Contract: "test 5"},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := sovereign.Policy{Home: region("aws:eu-central-1")}
	for _, a := range allow {
		p.Allow = append(p.Allow, region(a))
	}
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Policy: p, Atlas: atlas, Parties: []sovereign.Party{
			{Name: "carrier", Kind: sovereign.KindTrunk}, {Name: "fra", Kind: sovereign.KindGroup}, {Name: "zrh", Kind: sovereign.KindGroup},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func europe(t testing.TB) *sovereign.Snapshot {
	return snapshot(t, "aws:eu-central-1", "aws:eu-central-2")
}

// moves collects what Config.Moved is told.
type moves struct {
	sync.Mutex
	all []Move
}

func (m *moves) add(_ string, mv Move) {
	m.Lock()
	defer m.Unlock()
	m.all = append(m.all, mv)
}

func (m *moves) list() []Move {
	m.Lock()
	defer m.Unlock()
	return append([]Move(nil), m.all...)
}

// network is a UDP network in memory, in order and without loss, for synctest: a socket that waits for a packet is durably blocked. Its sockets are read by
// their owners, or, in every second run of a bubble, by the network.
type network struct {
	reads bool
	mu    sync.Mutex
	socks map[netip.AddrPort]*socket
	next  uint16
	open  int
	tap   func(from, to netip.AddrPort, b []byte)
}

type datagram struct {
	from netip.AddrPort
	b    []byte
}

type socket struct {
	n    *network
	at   netip.AddrPort
	q    chan datagram
	done chan struct{}
	once sync.Once
}

// networkReads says of new networks whether they read their sockets. Bubbles, which come one after the other, set it.
var networkReads atomic.Bool

func newNetwork() *network {
	return &network{reads: networkReads.Load(), socks: map[netip.AddrPort]*socket{}, next: 20000}
}

func (n *network) listen(at netip.AddrPort) (sovereign.UDPConn, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at.Port() == 0 {
		for n.next++; n.socks[netip.AddrPortFrom(at.Addr(), n.next)] != nil; n.next++ {
		}
		at = netip.AddrPortFrom(at.Addr(), n.next)
	}
	if n.socks[at] != nil {
		return nil, fmt.Errorf("address %s is in use", at)
	}
	s := &socket{n: n, at: at, q: make(chan datagram, 256), done: make(chan struct{})}
	n.socks[at] = s
	n.open++
	return s, nil
}

// sockets counts those that are open.
func (n *network) sockets() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.open
}

// door is listen for a relay or an endpoint.
func (n *network) door(at netip.AddrPort) (sovereign.UDPConn, error) {
	c, err := n.listen(at)
	if err != nil || !n.reads {
		return c, err
	}
	r := &receiver{socket: c.(*socket)}
	go r.run()
	return r, nil
}

// receiver is a socket that is read for its owner.
type receiver struct {
	*socket
	mu   sync.Mutex
	take func([]byte, netip.AddrPort)
}

func (r *receiver) run() {
	for {
		select {
		case d := <-r.q:
			r.mu.Lock()
			if r.take != nil {
				r.take(d.b, d.from)
			}
			r.mu.Unlock()
		case <-r.done:
			return
		}
	}
}

func (r *receiver) Receive(take func([]byte, netip.AddrPort)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.take = take; len(r.q) > 0; {
		<-r.q
	}
}

func (r *receiver) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, errors.ErrUnsupported
}

func (r *receiver) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.take = nil
	return r.socket.Close()
}

func (s *socket) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-s.q:
		return copy(b, d.b), d.from, nil
	case <-s.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (s *socket) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	s.n.mu.Lock()
	dst, tap := s.n.socks[to], s.n.tap
	s.n.mu.Unlock()
	if tap != nil {
		tap(s.at, to, b)
	}
	if dst != nil {
		select {
		case dst.q <- datagram{s.at, append([]byte(nil), b...)}:
		default:
		}
	}
	return len(b), nil
}

func (s *socket) LocalAddr() net.Addr             { return net.UDPAddrFromAddrPort(s.at) }
func (s *socket) SetReadDeadline(time.Time) error { return nil }
func (s *socket) Close() error {
	s.once.Do(func() {
		close(s.done)
		s.n.mu.Lock()
		delete(s.n.socks, s.at)
		s.n.open--
		s.n.mu.Unlock()
	})
	return nil
}

// loopback binds real sockets; with many, those that the plane reads by itself where the system can.
func loopback(t testing.TB, many bool) func(netip.AddrPort) (sovereign.UDPConn, error) {
	t.Helper()
	return func(at netip.AddrPort) (sovereign.UDPConn, error) {
		if many {
			if s, err := (osnet.Net{}).Socket(at, osnet.SocketOptions{DSCP: -1}); !errors.Is(err, errors.ErrUnsupported) {
				return s, err
			}
		}
		return osnet.Net{}.ListenUDP(at)
	}
}

// runs runs something for as long as the test.
func runs(t testing.TB, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
}

// bed is a relay and what belongs to it.
type bed struct {
	t     testing.TB
	fence *sovereign.Fence
	relay *Relay
	real  bool // the sockets are those of the system, and the relay runs
	moves *moves
	cfg   Config
}

func newBed(t testing.TB, listen func(netip.AddrPort) (sovereign.UDPConn, error), more ...func(*Config)) *bed {
	t.Helper()
	b := &bed{t: t, fence: sovereign.NewFence(europe(t), nil), moves: &moves{}}
	b.cfg = Config{Listen: listen, Fence: b.fence, Bind: relayAddr, Moved: b.moves.add}
	for _, f := range more {
		f(&b.cfg)
	}
	r, err := New(b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	b.relay = r
	return b
}

func (b *bed) open(a Leg) *Session {
	b.t.Helper()
	s, err := b.relay.Open("call", a)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { s.Close() })
	return s
}

func (b *bed) endpoint(at netip.Addr, l Leg, tone Tone) *Endpoint {
	b.t.Helper()
	c := b.cfg
	c.Bind, c.Moved = at, nil
	if b.real {
		c.Listen = osnet.Net{}.ListenUDP
	}
	e, err := NewEndpoint(c, l, tone)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { e.Close() })
	return e
}

func plainLeg(party string) Leg { return Leg{Party: party, Security: Plain} }

func srtpLeg(party string, suites ...Suite) Leg {
	return Leg{Party: party, Secure: true, Suites: suites}
}

// call runs offer and answer through s between two endpoints.
func call(t testing.TB, s *Session, a, b *Endpoint, to Leg) {
	t.Helper()
	offer := ok(a.Offer())(t)
	toB := ok(s.Offer(A, offer, to))(t)
	answer := ok(b.Answer(toB))(t)
	toA := ok(s.Answer(B, answer))(t)
	if err := a.Accept(toA); err != nil {
		t.Fatalf("answer to A: %v\n%s", err, toA)
	}
}

// ok unwraps a result that must have no error.
func ok[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// speak runs endpoints for d.
func speak(d time.Duration, ends ...*Endpoint) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	var wg sync.WaitGroup
	for _, e := range ends {
		wg.Go(func() { e.Run(ctx) })
	}
	wg.Wait()
}

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

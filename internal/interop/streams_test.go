//go:build interop

package interop

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
)

// mediaNet is the network of the system for a carrier.Peer whose audio is played by the test: the peer never hears anything on its media sockets.
type mediaNet struct {
	osnet.Net
	media atomic.Bool // from when on sockets are for media: the first one is for SIP

	mu    sync.Mutex
	socks map[netip.AddrPort]*mediaSocket
}

type mediaSocket struct {
	*osnet.Socket
	once sync.Once
	gone chan struct{}
}

func (n *mediaNet) ListenUDP(at netip.AddrPort) (sovereign.UDPConn, error) {
	if !n.media.Load() {
		return n.Net.ListenUDP(at)
	}
	s, err := n.Socket(at, osnet.SocketOptions{DSCP: -1})
	if err != nil {
		return nil, err
	}
	m := &mediaSocket{Socket: s, gone: make(chan struct{})}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.socks[s.Bound()] = m
	return m, nil
}

func (m *mediaSocket) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	<-m.gone
	return 0, netip.AddrPort{}, net.ErrClosed
}

func (m *mediaSocket) Close() error {
	m.once.Do(func() { close(m.gone) })
	return m.Socket.Close()
}

// peer is a carrier or an edge group whose media the test has.
type peer struct {
	*carrier.Peer
	net *mediaNet
}

// newPeer starts one, for the length of the test.
func newPeer(t *testing.T, addr string, suites ...string) *peer {
	t.Helper()
	p := &peer{net: &mediaNet{socks: map[netip.AddrPort]*mediaSocket{}}}
	var err error
	p.Peer, err = carrier.New(carrier.Config{Name: "peer", Net: p.net, Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 0), SRTP: len(suites) > 0, Suites: suites})
	if err != nil {
		t.Fatal(err)
	}
	p.net.media.Store(true)
	runPeer(t, p.Peer)
	return p
}

// runPeer runs a peer for the length of the test.
func runPeer(t *testing.T, p *carrier.Peer) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// as makes a party of a peer; more are further keys of its media.
func (p *peer) as(name, media string) party {
	return party{name: name, addr: p.Addr().Addr().String(), port: p.Addr().Port(), transport: "udp", media: media}
}

// end is one side of a call: its socket, where its packets go, and what it heard of the other side's stream.
type end struct {
	call *carrier.Call
	fd   int
	far  netip.AddrPort
	to   osnet.Name

	ssrc  uint32
	first uint16 // sequence number of the first packet
	sent  uint32

	seen    []bool // by the number that the payload tells
	heard   uint32
	strange string        // the first thing that was wrong
	last    time.Duration // when the kernel had the last one
	gap     time.Duration // the longest time between two of them since the last look
}

// pair is a call through the node.
type pair struct{ a, b *end }

func (p pair) ends() [2]*end { return [2]*end{p.a, p.b} }

func newEnd(t *testing.T, p *peer, c *carrier.Call, first uint16, n int) *end {
	t.Helper()
	m := c.Media()
	p.net.mu.Lock()
	s := p.net.socks[m.Local]
	p.net.mu.Unlock()
	if s == nil || !m.Remote.IsValid() {
		t.Fatalf("call %d has no media: %+v", n, m)
	}
	if err := unix.SetsockoptInt(s.FD(), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		t.Fatal(err)
	}
	e := &end{call: c, fd: s.FD(), far: m.Remote, ssrc: 0x1000 + uint32(n), first: first}
	var ok bool
	if e.to, ok = osnet.NameOf(m.Remote, false); !ok {
		t.Fatalf("%s is no place for packets", m.Remote)
	}
	return e
}

const (
	voicePeriod = 20 * time.Millisecond
	voiceSlots  = 20 // turns within a period, so that the packets of all calls do not come at once
	headerSize  = 12
	voiceSize   = headerSize + 160
)

// say sends the next packet: 20 ms of A-law silence that begin with the packet's number.
func (e *end) say(buf []byte) error {
	b := buf[:voiceSize]
	b[0], b[1] = 0x80, 8
	binary.BigEndian.PutUint16(b[2:], e.first+uint16(e.sent))
	binary.BigEndian.PutUint32(b[4:], e.sent*160)
	binary.BigEndian.PutUint32(b[8:], e.ssrc)
	for i := headerSize; i < voiceSize; i++ {
		b[i] = 0xd5
	}
	binary.BigEndian.PutUint32(b[headerSize:], e.sent)
	out, err := e.call.Seal(b)
	if err != nil {
		return err
	}
	for range 50 {
		switch errno := osnet.Send(e.fd, out, &e.to); errno {
		case 0:
			e.sent++
			return nil
		case unix.EAGAIN, unix.ENOBUFS:
			time.Sleep(time.Millisecond)
		default:
			return errno
		}
	}
	return errors.New("no room to send")
}

// hear takes one packet of the other side's stream; false where nothing waits.
func (e *end) hear(other *end, buf, oob []byte) bool {
	n, oobn, _, from, err := unix.Recvmsg(e.fd, buf, oob, unix.MSG_DONTWAIT)
	if err != nil {
		return false
	}
	if why := e.take(other, buf[:n], oob[:oobn], from); why != "" && e.strange == "" {
		e.strange = why
	}
	return true
}

// take says what is wrong with a packet, "" where nothing is.
func (e *end) take(other *end, b, oob []byte, from unix.Sockaddr) string {
	if a, ok := from.(*unix.SockaddrInet4); !ok || netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)) != e.far {
		return fmt.Sprintf("a packet from %v, not from %s", from, e.far)
	}
	if len(b) > 1 && b[1] >= 192 && b[1] <= 223 { // RFC 5761 section 4: the node reports where nobody else does
		return ""
	}
	b, err := e.call.Open(b)
	if err != nil {
		return err.Error()
	}
	if len(b) != voiceSize || b[1]&0x7f != 8 {
		return fmt.Sprintf("no packet of ours: % x", b[:min(len(b), 20)])
	}
	n := binary.BigEndian.Uint32(b[headerSize:])
	if n >= other.sent || binary.BigEndian.Uint16(b[2:]) != other.first+uint16(n) {
		return fmt.Sprintf("packet %d has number %d of a stream from %d to %d", n, binary.BigEndian.Uint16(b[2:]), other.first, other.sent)
	}
	for uint32(len(e.seen)) < other.sent {
		e.seen = append(e.seen, false)
	}
	if e.seen[n] {
		return fmt.Sprintf("packet %d twice", n)
	}
	e.seen[n] = true
	e.heard++
	at := arrived(oob)
	if e.last != 0 {
		e.gap = max(e.gap, at-e.last)
	}
	e.last = at
	return ""
}

// arrived is when the kernel had a packet: what this machine's other programs take from us afterwards is none of the relay's silence.
func arrived(oob []byte) time.Duration {
	list, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range list {
			if m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				sec, nsec := binary.NativeEndian.Uint64(m.Data), binary.NativeEndian.Uint64(m.Data[8:])
				return time.Duration(sec)*time.Second + time.Duration(nsec)
			}
		}
	}
	return time.Duration(time.Now().UnixNano())
}

// conversation has both sides of each call say a packet each 20 ms: one thread for all of them.
type conversation struct {
	pairs []pair
	set   *osnet.Set
	stop  atomic.Bool
	done  chan struct{}

	mu   sync.Mutex // held for a turn: figures are read between two
	late time.Duration
	err  error
}

func converse(t *testing.T, pairs []pair) *conversation {
	t.Helper()
	set, err := osnet.NewSet()
	if err != nil {
		t.Fatal(err)
	}
	c := &conversation{pairs: pairs, set: set, done: make(chan struct{})}
	for i, p := range pairs {
		for side, e := range p.ends() {
			e.last = 0 // a pause before is no gap
			if err := set.Add(e.fd, uint64(2*i+side)); err != nil {
				t.Fatal(err)
			}
		}
	}
	go c.run()
	t.Cleanup(c.end)
	return c
}

// end stops and waits; the sockets are the peers' again.
func (c *conversation) end() {
	c.stop.Store(true)
	<-c.done
}

// run speaks until it is stopped and then listens until everything that was said was heard, or a second long.
func (c *conversation) run() {
	runtime.LockOSThread()
	defer close(c.done)
	defer c.set.Close()
	tags, buf, oob := make([]uint64, 512), make([]byte, 2048), make([]byte, 128)
	due := time.Now()
	for slot := 0; !c.stop.Load(); slot = (slot + 1) % voiceSlots {
		c.hear(tags, buf, oob, time.Until(due))
		c.mu.Lock()
		c.late = max(c.late, time.Since(due))
		for i := slot; i < len(c.pairs) && c.err == nil; i += voiceSlots {
			c.err = errors.Join(c.pairs[i].a.say(buf), c.pairs[i].b.say(buf))
		}
		c.mu.Unlock()
		due = due.Add(voicePeriod / voiceSlots)
	}
	for limit := time.Now().Add(time.Second); time.Now().Before(limit) && c.missing() > 0; {
		c.hear(tags, buf, oob, 10*time.Millisecond)
	}
}

// hear takes what comes until the time is over.
func (c *conversation) hear(tags []uint64, buf, oob []byte, wait time.Duration) {
	until := time.Now().Add(wait)
	for {
		n := c.set.Wait(tags, max(0, time.Until(until)))
		c.mu.Lock()
		for _, tag := range tags[:n] {
			p := c.pairs[tag/2].ends()
			for p[tag%2].hear(p[1-tag%2], buf, oob) {
			}
		}
		c.mu.Unlock()
		if !time.Now().Before(until) {
			return
		}
	}
}

// missing is how many packets are under way, or lost.
func (c *conversation) missing() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pairs {
		n += int(p.a.sent+p.b.sent) - int(p.a.heard+p.b.heard)
	}
	return n
}

// goesOn waits until every side has heard more: what was sent from now on.
func (c *conversation) goesOn(t *testing.T, what string, packets uint32) {
	t.Helper()
	was := map[*end]uint32{}
	c.mu.Lock()
	for _, p := range c.pairs {
		for _, e := range p.ends() {
			was[e] = e.heard + packets
		}
	}
	c.mu.Unlock()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s: %s", what, c.state())
		}
	})
	until(t, what, 20*time.Second, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.err != nil {
			t.Fatal(c.err)
		}
		for e, n := range was {
			if e.heard < n {
				return false
			}
		}
		return true
	})
}

// state describes the calls that hear least.
func (c *conversation) state() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	silent, first := 0, ""
	for i, p := range c.pairs {
		if p.a.heard == 0 || p.b.heard == 0 {
			silent++
		}
		if why := p.a.strange + p.b.strange; why != "" && first == "" {
			first = fmt.Sprintf("call %d: %s", i, why)
		}
	}
	p := c.pairs[0]
	return fmt.Sprintf("%d of %d calls hear nothing on one side; the first sent %d and %d, heard %d and %d; late by %s; %s",
		silent, len(c.pairs), p.a.sent, p.b.sent, p.a.heard, p.b.heard, c.late, first)
}

// silence is the longest gap of each call in a part of a conversation, and how much of it may be the sender's own: by how much it was late.
type silence struct {
	gaps []time.Duration
	late time.Duration
}

// look gives that of the part since the last look.
func (c *conversation) look() (s silence) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.pairs {
		s.gaps = append(s.gaps, max(p.a.gap, p.b.gap))
		p.a.gap, p.b.gap = 0, 0
	}
	s.late, c.late = c.late, 0
	return s
}

// account is what a conversation that has ended came to, call by call.
type account struct{ sent, received, lost []int }

func (c *conversation) account(t *testing.T) (a account) {
	t.Helper()
	if c.err != nil {
		t.Fatal(c.err)
	}
	for i, p := range c.pairs {
		sent, heard := int(p.a.sent+p.b.sent), int(p.a.heard+p.b.heard)
		a.sent, a.received, a.lost = append(a.sent, sent), append(a.received, heard), append(a.lost, sent-heard)
		for _, e := range p.ends() {
			if e.strange != "" {
				t.Errorf("call %d: %s", i, e.strange)
			}
		}
	}
	return a
}

func sum(list []int) (n int) {
	for _, v := range list {
		n += v
	}
	return n
}

// spread is the least, the middle and the greatest.
func spread[T int | time.Duration](list []T) [3]T {
	s := slices.Sorted(slices.Values(list))
	return [3]T{s[0], s[len(s)/2], s[len(s)-1]}
}

// print logs the table per call.
func (a account) print(t *testing.T, title string, before, after silence) {
	t.Helper()
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 4, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%s\tmin\tmedian\tmax\tall\t\n", title)
	for _, row := range []struct {
		name string
		list []int
	}{{"packets sent by both sides", a.sent}, {"received", a.received}, {"lost", a.lost}} {
		s := spread(row.list)
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t\n", row.name, s[0], s[1], s[2], sum(row.list))
	}
	for _, row := range []struct {
		name string
		silence
	}{{"longest gap before", before}, {"longest gap after", after}} {
		s := spread(row.gaps)
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\tsender late by up to %s\t\n", row.name, ms(s[0]), ms(s[1]), ms(s[2]), ms(row.late))
	}
	w.Flush()
	t.Logf("per call, %d calls:\n%s", len(a.sent), text.String())
}

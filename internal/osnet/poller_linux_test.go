package osnet

import (
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/background"
	"github.com/cordonsip/cordon/sovereign"
)

// poller runs a poller for as long as the test.
func poller(t *testing.T) *Poller {
	t.Helper()
	p, err := Net{}.Poller()
	if err != nil {
		t.Fatal(err)
	}
	background.Run(t, p.Run)
	return p
}

func (p *Poller) open(t *testing.T, addr string) *polled {
	t.Helper()
	c, err := p.ListenUDP(netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.(*polled)
}

func port(c sovereign.UDPConn) netip.AddrPort { return c.LocalAddr().(*net.UDPAddr).AddrPort() }

// got is one datagram.
type got struct {
	text string
	from netip.AddrPort
}

// into gives a take that puts what comes into a channel.
func into(c chan got) func([]byte, netip.AddrPort) {
	return func(b []byte, from netip.AddrPort) { c <- got{string(b), from} }
}

func next(t *testing.T, c chan got) got {
	t.Helper()
	select {
	case g := <-c:
		return g
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
		return got{}
	}
}

func TestPollerReadsManySockets(t *testing.T) {
	p := poller(t)
	for _, addr := range loopbacks {
		from := listen(t, addr)
		if from == nil {
			continue
		}
		all := make(chan got, 3000)
		var socks []*polled
		for range 200 {
			c := p.open(t, addr)
			c.Receive(func(b []byte, from netip.AddrPort) { all <- got{string(b) + " " + c.local.String(), from} })
			socks = append(socks, c)
		}
		for i := range 10 {
			for _, c := range socks {
				if _, err := from.WriteToUDPAddrPort([]byte(strconv.Itoa(i)), port(c)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for i := range 2000 {
			if g := next(t, all); g.from != port(from) {
				t.Fatalf("%s: datagram %d is %+v, want one from %v", addr, i, g, port(from))
			}
		}
	}
}

// TestPollerOrder: the datagrams of one socket are handed over in their order, one at a time.
func TestPollerOrder(t *testing.T) {
	p := poller(t)
	a, b := p.open(t, loopbacks[0]), p.open(t, loopbacks[0])
	ch := make(chan got, 100)
	var busy atomic.Int32
	b.Receive(func(text []byte, from netip.AddrPort) {
		if busy.Add(1) != 1 {
			t.Error("two at a time")
		}
		ch <- got{string(text), from}
		busy.Add(-1)
	})
	for i := range 100 {
		if n, err := a.WriteToUDPAddrPort([]byte(strconv.Itoa(i)), port(b)); err != nil || n != len(strconv.Itoa(i)) {
			t.Fatal(n, err)
		}
	}
	for i := range 100 {
		if g := next(t, ch); g != (got{strconv.Itoa(i), port(a)}) {
			t.Fatalf("%+v, want %d", g, i)
		}
	}
}

// TestReceivePairBegins: the same of two sockets at once, whichever of them something waits in.
func TestReceivePairBegins(t *testing.T) {
	p := poller(t)
	a, c, d := p.open(t, loopbacks[0]), p.open(t, loopbacks[0]), p.open(t, loopbacks[0])
	one, two := make(chan got, 1000), make(chan got, 1000)
	send := func(text string, to *polled) {
		t.Helper()
		if _, err := a.WriteToUDPAddrPort([]byte(text), port(to)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		if i%2 == 0 {
			send("for nobody", c)
		}
		if i%3 == 0 {
			send("for nobody", d)
			send("for nobody", d)
		}
		if !c.ReceivePair(into(one), d, into(two)) {
			t.Fatal("sockets of one poller are no pair")
		}
		send("one", c)
		send("two", d)
		if g, h := next(t, one), next(t, two); g.text != "one" || h.text != "two" || len(one)+len(two) != 0 {
			t.Fatalf("round %d: %q and %q were handed over", i, g.text, h.text)
		}
		c.Receive(nil)
		d.Receive(nil)
	}
	plain := listen(t, loopbacks[0])
	if c.ReceivePair(into(one), plain, into(two)) || c.ReceivePair(into(one), c, into(two)) || c.ReceivePair(nil, d, nil) {
		t.Error("no pair, and yet it began")
	}
}

// TestSilence: a look at the set tells of all sockets of a loop that nobody has, and while something waits anywhere the loop tells.
func TestSilence(t *testing.T) {
	p := poller(t)
	a, busy, c := p.open(t, loopbacks[0]), p.open(t, loopbacks[0]), p.open(t, loopbacks[0])
	l, now := c.loop, time.Hour
	busy.loop = l // of one loop, however many there are
	later := func() time.Duration { now += 2 * sovereign.Lately; return now }
	if l.silent(later(), c.left) || l.silent(now, c.left) || !l.silent(later(), c.left) || !l.silent(now+sovereign.Lately, c.left) {
		t.Error("two looks show that a socket is silent, one may be of the time before it was left")
	}
	if c.Receive(nil); l.silent(now, c.left) {
		t.Error("a socket that was left just now")
	}
	came, on := make(chan string), make(chan struct{})
	busy.Receive(func(b []byte, _ netip.AddrPort) {
		came <- string(b)
		<-on
	})
	send := func(to *polled, text string) {
		t.Helper()
		if _, err := a.WriteToUDPAddrPort([]byte(text), port(to)); err != nil {
			t.Fatal(err)
		}
	}
	send(busy, "one")
	<-came // the loop stands still, and
	for range maxEvents {
		send(c, "late")
	}
	if seen := l.idle.seen.Load(); l.silent(later(), 0) || l.idle.seen.Load() != seen {
		t.Error("silent while something waits in a socket that nobody has")
	}
	for l.idle.wanted.Load() { // goes on until the loop has looked
		on <- struct{}{}
		send(busy, "on")
		<-came
	}
	on <- struct{}{}
	if first, _ := filled(c.fd, c.fd); first || l.idle.at.Load() > int64(time.Hour) {
		t.Error("the loop found silence and left something behind")
	}
}

// TestReceivePairAfterALongTime: sockets that were left long ago are taken without asking for each, and hold nothing of the time before.
func TestReceivePairAfterALongTime(t *testing.T) {
	p := poller(t)
	a, c, d := p.open(t, loopbacks[0]), p.open(t, loopbacks[0]), p.open(t, loopbacks[0])
	d.loop = c.loop
	late, one, two := make(chan got, 1000), make(chan got, 1000), make(chan got, 1000)
	send := func(text string, to *polled) {
		t.Helper()
		if _, err := a.WriteToUDPAddrPort([]byte(text), port(to)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 50 {
		c.ReceivePair(into(late), d, into(late))
		c.Receive(nil)
		d.Receive(nil)
		for range 5 {
			send("for nobody", c)
			send("for nobody", d)
		}
		for c.loop.idle.seen.Load() < max(c.left, d.left)+2 { // the loop throws it away meanwhile
			c.loop.idle.at.Store(-int64(time.Hour))
			c.loop.silent(time.Since(c.loop.born), 0)
			runtime.Gosched()
		}
		c.ReceivePair(into(one), d, into(two))
		send("one", c)
		send("two", d)
		if g, h := next(t, one), next(t, two); g.text != "one" || h.text != "two" || len(one)+len(two)+len(late) != 0 {
			t.Fatalf("round %d: %q and %q were handed over", i, g.text, h.text)
		}
	}
}

// TestReceiveBegins: what came before Receive belongs to whoever had the socket then, and nothing comes after Receive(nil).
func TestReceiveBegins(t *testing.T) {
	p := poller(t)
	a, c := p.open(t, loopbacks[0]), p.open(t, loopbacks[0])
	old, young := make(chan got, 1000), make(chan got, 1000)
	send := func(text string) {
		t.Helper()
		if _, err := a.WriteToUDPAddrPort([]byte(text), port(c)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 200 {
		c.Receive(into(old))
		send("for the old one")
		c.Receive(nil)
		seen := len(old)
		send("for nobody")
		c.Receive(into(young))
		send("for the young one")
		if g := next(t, young); g.text != "for the young one" || len(young) != 0 {
			t.Fatalf("round %d: %q was handed over to the young one", i, g.text)
		}
		if len(old) != seen {
			t.Fatalf("round %d: a take was called after it was taken away", i)
		}
	}
}

func TestPolledSocketCloses(t *testing.T) {
	p := poller(t)
	a := p.open(t, loopbacks[0])
	for range 50 {
		c := p.open(t, loopbacks[0])
		to := port(c)
		var closed atomic.Bool
		c.Receive(func([]byte, netip.AddrPort) {
			if closed.Load() {
				t.Error("handed over after Close")
			}
		})
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				for _, err := c.WriteToUDPAddrPort([]byte("out"), port(a)); err == nil; _, err = c.WriteToUDPAddrPort([]byte("out"), port(a)) {
					a.WriteToUDPAddrPort([]byte("in"), to)
				}
			})
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		closed.Store(true)
		wg.Wait()
		if _, err := c.WriteToUDPAddrPort([]byte("x"), port(a)); !errors.Is(err, net.ErrClosed) {
			t.Errorf("write after close: %v", err)
		}
		if err := c.Close(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("second close: %v", err)
		}
		c.Receive(func([]byte, netip.AddrPort) { t.Error("a closed socket receives") })
	}
}

func TestPolledAddresses(t *testing.T) {
	p := poller(t)
	c := p.open(t, loopbacks[0])
	if _, err := p.ListenUDP(port(c)); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("a taken port: %v", err)
	}
	if _, err := c.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort("[2001:db8::1]:9")); !errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Errorf("an address of another family: %v", err)
	}
	if _, _, err := c.ReadFromUDPAddrPort(nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("a read: %v", err)
	}
	if listen(t, loopbacks[1]) == nil {
		return
	}
	// The unspecified address of IPv6 is for both families, and says IPv4 as IPv4.
	both, ch := p.open(t, "[::]:0"), make(chan got, 1)
	both.Receive(into(ch))
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port(both).Port())
	if _, err := c.WriteToUDPAddrPort([]byte("four"), to); err != nil {
		t.Fatal(err)
	}
	if g := next(t, ch); g != (got{"four", port(c)}) {
		t.Errorf("%+v", g)
	}
	c.Receive(into(ch))
	if _, err := both.WriteToUDPAddrPort([]byte("back"), port(c)); err != nil {
		t.Fatal(err)
	}
	if g := next(t, ch); g.text != "back" || g.from != to {
		t.Errorf("%+v", g)
	}
}

// TestPolledPathDoesNotAllocate: neither reading nor writing a datagram costs memory.
func TestPolledPathDoesNotAllocate(t *testing.T) {
	p := poller(t)
	a, b := p.open(t, loopbacks[0]), p.open(t, loopbacks[0])
	came := make(chan struct{}, 1)
	b.Receive(func([]byte, netip.AddrPort) { came <- struct{}{} })
	packet, to := make([]byte, 172), port(b)
	if n := testing.AllocsPerRun(500, func() {
		if _, err := a.WriteToUDPAddrPort(packet, to); err != nil {
			t.Fatal(err)
		}
		<-came
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestClosedPollerListensNoMore(t *testing.T) {
	p, err := Net{}.Poller()
	if err != nil {
		t.Fatal(err)
	}
	p.Close()
	if c, err := p.ListenUDP(netip.MustParseAddrPort(loopbacks[0])); err == nil {
		c.Close()
		t.Error("a socket that nobody reads")
	}
}

// TestDescriptors: as many as the process says can be opened, no more.
func TestDescriptors(t *testing.T) {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	less := syscall.Rlimit{Cur: 200, Max: l.Max}
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &less); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &l) }()
	if n := (Net{}).Descriptors(); n != 200 {
		t.Errorf("%d files, want 200", n)
	}
}

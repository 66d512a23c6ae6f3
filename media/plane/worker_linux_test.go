package plane

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// runs has the plane carry packets until the test ends, or stop is called.
func (b *bed) runs() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	stop = func() {
		if cancel(); done == nil {
			return
		}
		if err := <-done; err != nil {
			b.t.Error(err)
		}
		done = nil
	}
	b.t.Cleanup(stop)
	return stop
}

func eventually(t testing.TB, what string, so func() bool) {
	t.Helper()
	for limit := time.Now().Add(10 * time.Second); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("in 10 s not so: %s", what)
		}
	}
}

// phone is a far end with sockets of the system, and our sockets for it.
type phone struct {
	*end
	t    testing.TB
	conn [2]*net.UDPConn
	ours [2]netip.AddrPort
	buf  [maxPacket]byte
	size int // of the last packet in it
}

// phone opens a leg between sockets that stand there.
func (b *bed) phone(r Ref, theirs, relay string, suite srtp.Suite) *phone {
	b.t.Helper()
	p := &phone{end: &end{Open: Open{Ref: r, Pair: r.Slot, Session: "call", Party: "carrier"}, ssrc: r.Slot, ext: 65000}, t: b.t}
	if suite != 0 {
		p.in, p.out = newKey(suite), newKey(suite)
		p.seal = sealer(b.t, p.in)
	}
	for i := range p.conn {
		c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(theirs), 0)))
		if err != nil {
			b.t.Fatal(err)
		}
		b.t.Cleanup(func() { c.Close() })
		p.conn[i] = c
	}
	p.at = p.stands(0)
	pair := p.sockets(relay)
	b.Give(pair)
	b.Open(p.Open)
	b.Set(p.set())
	return p
}

// sockets are ours for the phone.
func (p *phone) sockets(relay string) Pair {
	p.t.Helper()
	var s [2]*osnet.Socket
	for i := range s {
		var err error
		if s[i], err = (osnet.Net{}).Socket(netip.AddrPortFrom(netip.MustParseAddr(relay), 0), osnet.SocketOptions{DSCP: -1, Buffer: 1 << 20}); err != nil {
			p.t.Fatal(err)
		}
		p.ours[i] = s[i].Bound()
		if p.ours[i].Addr().IsUnspecified() {
			p.ours[i] = netip.AddrPortFrom(relayAddr, p.ours[i].Port())
		}
	}
	return Pair{ID: p.Pair, RTP: s[0], RTCP: s[1]}
}

func (p *phone) stands(i int) netip.AddrPort {
	a := p.conn[i].LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (p *phone) set() Set {
	n := p.end.set()
	n.RTCP.To = p.stands(1)
	return n
}

func (p *phone) send(i int, b []byte) {
	p.t.Helper()
	if _, err := p.conn[i].WriteToUDPAddrPort(b, p.ours[i]); err != nil {
		p.t.Fatal(err)
	}
}

// hears waits for n packets on a lane and says how many came.
func (p *phone) hears(i, n int) int {
	p.conn[i].SetReadDeadline(time.Now().Add(5 * time.Second))
	for k := range n {
		var err error
		if p.size, _, err = p.conn[i].ReadFromUDPAddrPort(p.buf[:]); err != nil {
			return k
		}
	}
	return n
}

// talks sends n packets, some at a time, and says how many of them the other one hears.
func (p *phone) talks(to *phone, n, some int) (heard int) {
	for ; n > 0; n -= some {
		for range some {
			p.send(0, p.next())
		}
		heard += to.hears(0, some)
	}
	return heard
}

// TestPacketsCross: with and without packets that wait for each other, in both families and between them, with as many workers as there are.
func TestPacketsCross(t *testing.T) {
	const v4, v6, any = "127.0.1.1", "::1", "::"
	for name, c := range map[string]struct {
		tick         time.Duration
		workers      int
		relay, far   [2]string
		suites       [2]srtp.Suite
		total, burst int
	}{
		"few":             {0, 1, [2]string{v4, v4}, [2]string{"127.0.1.10", "127.0.2.10"}, [2]srtp.Suite{0, srtp.AES128CM80}, 50, 1},
		"many":            {0, 1, [2]string{v4, v4}, [2]string{"127.0.1.10", "127.0.2.10"}, [2]srtp.Suite{srtp.AES128CM80, srtp.AES256GCM}, 3200, 64},
		"many, no tick":   {-1, 1, [2]string{v4, v4}, [2]string{"127.0.1.10", "127.0.2.10"}, [2]srtp.Suite{0, 0}, 3200, 64},
		"v4 and v6":       {0, 1, [2]string{v4, v6}, [2]string{"127.0.1.10", "::1"}, [2]srtp.Suite{srtp.AES128CM32, 0}, 100, 10},
		"v6":              {0, 2, [2]string{v6, v6}, [2]string{"::1", "::1"}, [2]srtp.Suite{srtp.AES128GCM, srtp.AES256CM80}, 100, 10},
		"both in one":     {0, 3, [2]string{any, any}, [2]string{"127.0.1.10", "127.0.2.10"}, [2]srtp.Suite{0, srtp.AES256CM32}, 100, 10},
		"three at a time": {0, 3, [2]string{v4, v4}, [2]string{"127.0.1.10", "127.0.2.10"}, [2]srtp.Suite{srtp.AES128CM80, 0}, 500, 10},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, Config{Tick: c.tick, Workers: c.workers, Memory: memory(10*c.workers, c.workers)})
			b.runs()
			work := uint32(c.workers)
			alice := b.phone(Ref{work + 1, 7}, c.far[0], c.relay[0], c.suites[0])
			bob := b.phone(Ref{2*work + 1, 8}, c.far[1], c.relay[1], c.suites[1])
			b.Join(alice.Ref, bob.Ref)
			if n := alice.talks(bob, c.total, c.burst); n != c.total {
				t.Errorf("%d of %d packets cross", n, c.total)
			}
			if n := bob.talks(alice, c.total, c.burst); n != c.total {
				t.Errorf("%d of %d packets cross back", n, c.total)
			}
			for i, e := range []*phone{alice, bob} {
				if k := b.read(e.Ref); k.Packets != uint64(c.total) || k.Sent != uint64(c.total) || k.Lost != 0 || k.Refused != 0 || k.Peer != e.at {
					t.Errorf("side %d: %+v", i, k)
				}
			}
		})
	}
}

// TestReportsCross on a port of their own, and on that of RTP.
// Conforms: RFC 5761 section 4
func TestReportsCross(t *testing.T) {
	b := newBed(t, Config{})
	b.runs()
	alice, bob := b.phone(Ref{1, 7}, "127.0.1.10", "127.0.1.1", srtp.AES128CM80), b.phone(Ref{2, 8}, "127.0.2.10", "127.0.1.1", srtp.AES128GCM)
	b.Join(alice.Ref, bob.Ref)
	far := pion(t, bob.out)
	for n, lanes := range [][2]int{{1, 1}, {0, 1}, {0, 0}} {
		for i, e := range []*phone{alice, bob} {
			set := e.set()
			if set.Mux = lanes[i] == 0; set.Mux {
				set.RTCP = Aim{}
			}
			b.Set(set)
		}
		alice.send(lanes[0], sealedRTCP(t, alice.in, report(alice.ssrc, 0), uint32(n+1)))
		if bob.hears(lanes[1], 1) != 1 {
			t.Fatalf("from lane %d to lane %d: no report comes", lanes[0], lanes[1])
		}
		clear, err := far.DecryptRTCP(nil, bob.buf[:bob.size], nil)
		if err != nil {
			t.Fatal(err)
		}
		if !isRTCP(clear) || !bytes.Equal(clear[4:8], report(alice.ssrc, 0)[4:8]) {
			t.Errorf("bob gets %x", clear)
		}
	}
	if b.Totals().Control != 3 || b.read(alice.Ref).Reports != 3 {
		t.Errorf("%+v", b.Totals())
	}
}

// TestNoAllocations: carrying packets asks the collector for nothing. What a few of ten thousand packets allocate is the runtime's and the test's own.
func TestNoAllocations(t *testing.T) {
	const packets, some = 10_000, 50
	for name, suites := range map[string][2]srtp.Suite{
		"plain": {0, 0}, "srtp": {srtp.AES128CM80, srtp.AES128CM80}, "gcm": {srtp.AES256GCM, srtp.AES128GCM}, "one side": {0, srtp.AES256CM80},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, Config{})
			b.runs()
			alice, bob := b.phone(Ref{1, 7}, "127.0.1.10", "127.0.1.1", suites[0]), b.phone(Ref{2, 8}, "127.0.2.10", "127.0.1.1", suites[1])
			b.Join(alice.Ref, bob.Ref)
			all := make([][]byte, packets+some)
			for i := range all {
				all[i] = alice.next()
			}
			carry := func(all [][]byte) (heard int) {
				for ; len(all) > 0; all = all[some:] {
					for _, p := range all[:some] {
						alice.send(0, p)
					}
					heard += bob.hears(0, some)
				}
				return heard
			}
			carry(all[:some])
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			heard := carry(all[some:])
			runtime.ReadMemStats(&after)
			if n := after.Mallocs - before.Mallocs; heard != packets || n > packets/100 {
				t.Errorf("%d allocations for %d packets, of which %d came", n, packets, heard)
			}
		})
	}
}

// TestAWithdrawnPair is not read any more, nor is what has its descriptor then.
func TestAWithdrawnPair(t *testing.T) {
	b := newBed(t, Config{})
	b.runs()
	alice := b.phone(Ref{1, 7}, "127.0.1.10", "127.0.1.1", 0)
	w := b.worker(1)
	fd := int(w.owns[1].fds[0])
	tag := uint64(1)<<33 | uint64(uint32(fd))
	b.Withdraw(alice.Pair)
	var other *osnet.Socket
	for other == nil || other.FD() < fd {
		var err error
		if other, err = (osnet.Net{}).Socket(netip.MustParseAddrPort("127.0.1.1:0"), osnet.SocketOptions{DSCP: -1}); err != nil {
			t.Fatal(err)
		}
		defer other.Close()
	}
	if other.FD() != fd {
		t.Skipf("somebody else got descriptor %d", fd)
	}
	next := b.phone(Ref{2, 7}, "127.0.1.10", "127.0.1.1", 0)
	b.Withdraw(2)
	moved := next.sockets("127.0.1.1") // the number of the pair comes back with other descriptors
	moved.ID = 1
	b.Give(moved)
	if _, err := alice.conn[0].WriteToUDPAddrPort([]byte("a letter of somebody else's"), other.Bound()); err != nil {
		t.Fatal(err)
	}
	w.serve([]uint64{tag, tag | 1<<32, 77 << 33, 1<<63 | tag}) // what was reported before
	time.Sleep(5 * time.Millisecond)                           // the worker looks as well
	var from osnet.Name
	buf := make([]byte, 100)
	if n, errno := osnet.Receive(fd, buf, &from); errno != 0 || string(buf[:n]) != "a letter of somebody else's" {
		t.Errorf("the letter is gone: %q, %v", buf[:n], errno)
	}
	// Sockets that cannot be read are closed.
	c := moved.RTP.(*osnet.Socket)
	b.Give(Pair{ID: 5, RTP: c, RTCP: c})
	if c.FD() != -1 || b.log.Len() == 0 {
		t.Error("sockets that cannot be read stay open")
	}
}

// TestWhatWaited: a leg hears nothing of what came before it on its sockets; one that is resumed hears what came while no plane was there.
func TestWhatWaited(t *testing.T) {
	mem, fence := memory(4, 1), sovereign.NewFence(europe(t), nil)
	one := newBed(t, Config{Memory: mem, Fence: fence})
	alice := &phone{end: &end{Open: Open{Ref: Ref{1, 7}, Pair: 1, Party: "carrier"}, ssrc: 1, ext: 9}, t: t}
	for i := range alice.conn {
		c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.1.10:0")))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		alice.conn[i] = c
	}
	alice.at = alice.stands(0)
	begin := func(b *bed) {
		b.Give(alice.sockets("127.0.1.1"))
		for range 3 {
			alice.send(0, alice.next())
		}
		b.Open(alice.Open)
		b.Set(alice.set())
	}
	begin(one)
	stop := one.runs()
	alice.send(0, alice.next())
	eventually(t, "one packet is counted", func() bool { return one.read(alice.Ref).Packets > 0 })
	if c := one.read(alice.Ref); c.Packets != 1 || c.Refused != 0 {
		t.Errorf("a leg heard what was not for it: %+v", c)
	}
	stop()
	two := newBed(t, Config{Memory: mem, Fence: fence})
	begin(two)
	two.runs()
	eventually(t, "what waited is counted", func() bool { return two.read(alice.Ref).Packets == 4 })
}

// TestRunEnds and leaves nothing: no goroutine, no thread's set of sockets, no descriptor.
func TestRunEnds(t *testing.T) {
	open := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	c, err := net.ListenUDP("udp", nil) // what the runtime opens once
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	b := newBed(t, Config{})
	stop := b.runs()
	stop() // without sockets as well
	files, routines := open(), runtime.NumGoroutine()
	b = newBed(t, Config{Workers: 3})
	stop = b.runs()
	var phones []*phone
	for n := range uint32(6) {
		phones = append(phones, b.phone(Ref{n + 1, 1}, "127.0.1.10", "127.0.1.1", 0))
	}
	b.Join(phones[0].Ref, phones[3].Ref)
	if n := phones[0].talks(phones[3], 20, 5); n != 20 {
		t.Errorf("%d of 20 cross", n)
	}
	stop()
	for _, p := range phones {
		b.Close(p.Ref)
		b.Withdraw(p.Pair)
		p.conn[0].Close()
		p.conn[1].Close()
	}
	eventually(t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= routines })
	if n := open(); n > files {
		t.Errorf("%d descriptors, and %d before", n, files)
	}
}

// TestTick: packets wait for each other from a rate on, and until a lower one; never where nobody wants it.
func TestTick(t *testing.T) {
	for _, every := range []time.Duration{time.Millisecond, -1} {
		c := tick{every: every}
		for i, step := range []struct {
			rate int
			busy bool
		}{{busyUntil + busyUntil/2, false}, {2 * busyFrom, true}, {busyUntil + busyUntil/2, true}, {busyUntil / 2, false}, {busyUntil + busyUntil/2, false}} {
			const over = 10 * time.Second // so long that a busy machine changes nothing
			c.since = osnet.Monotonic() - int64(over)
			if got := c.count(step.rate * int(over/time.Second)); got != (step.busy && every > 0) {
				t.Errorf("every %v, step %d: %v", every, i, got)
			}
			if again := c.count(1 << 20); again != c.busy {
				t.Errorf("step %d: it changes its mind too early", i)
			}
			c.n = 0
		}
	}
	c := tick{every: 2 * time.Millisecond, next: osnet.Monotonic(), sleep: osnet.NapUntil}
	begin := osnet.Monotonic()
	for range 5 {
		c.wait()
	}
	if took := time.Duration(osnet.Monotonic() - begin); took < 7*time.Millisecond {
		t.Errorf("five of 2 ms took %v", took)
	}
	c.next = begin - int64(time.Hour) // it was held up: no packet waits for what is over
	if c.wait(); c.next < begin {
		t.Error("it runs after what it missed")
	}
}

// TestAWorkerPlays: a worker that sleeps because nothing comes wakes up for each frame, and one that is busy sends them in between.
func TestAWorkerPlays(t *testing.T) {
	for name, tick := range map[string]time.Duration{"asleep": -1, "busy": 0} {
		t.Run(name, func(t *testing.T) {
			b := newBed(t, Config{Tick: tick})
			b.runs()
			b.Stock([]Clip{three()})
			alice, bob, carol := b.phone(Ref{1, 7}, "127.0.1.10", "127.0.1.1", 0), b.phone(Ref{2, 8}, "127.0.2.10", "127.0.1.1", 0), b.phone(Ref{3, 9}, "127.0.1.10", "127.0.1.1", 0)
			b.Join(alice.Ref, bob.Ref)
			if tick == 0 && alice.talks(bob, 500, 50) != 500 {
				t.Fatal("packets were lost")
			}
			begun := time.Now()
			b.Play(Play{Ref: carol.Ref, Clip: 3, PT: 8, Step: 160, Frames: 10})
			for i := range 10 {
				if tick == 0 && alice.talks(bob, 50, 50) != 50 {
					t.Fatal("packets were lost")
				}
				if carol.hears(0, 1) != 1 || carol.buf[12] != byte(i%3+1) {
					t.Fatalf("frame %d: %d", i, carol.buf[12])
				}
			}
			if took := time.Since(begun); took < 170*time.Millisecond {
				t.Errorf("200 ms of sound came in %s", took)
			}
			eventually(t, "it is told that all has gone", func() bool {
				return slices.Contains(b.events.ends(), Played{Leg: carol.Ref, Frames: 10, End: Whole})
			})
		})
	}
}

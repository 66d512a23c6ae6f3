package sovereign

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a UDP socket that remembers what was sent.
type wire struct {
	mu     sync.Mutex
	sent   []netip.AddrPort
	in     []netip.AddrPort
	errs   []netip.AddrPort
	closed bool
	until  time.Time
}

func (w *wire) ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.in) == 0 {
		return 0, netip.AddrPort{}, io.EOF
	}
	from := w.in[0]
	w.in = w.in[1:]
	return copy(b, "hello"), from, nil
}

func (w *wire) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sent = append(w.sent, to)
	return len(b), nil
}

func (w *wire) LocalAddr() net.Addr               { return &net.UDPAddr{IP: net.ParseIP("192.0.2.9"), Port: 5060} }
func (w *wire) SetReadDeadline(t time.Time) error { w.until = t; return nil }
func (w *wire) Close() error                      { w.closed = true; return nil }

// icmpWire can report ICMP errors.
type icmpWire struct{ wire }

func (w *icmpWire) ReadError() (netip.AddrPort, error, bool) {
	if len(w.errs) == 0 {
		return netip.AddrPort{}, nil, false
	}
	to := w.errs[0]
	w.errs = w.errs[1:]
	return to, errors.New("port unreachable"), true
}

// stream is one end of a TCP connection to remote.
type stream struct {
	net.Conn
	remote net.Addr
	wrote  atomic.Int64
	closed atomic.Int64
}

func (s *stream) Write(b []byte) (int, error) { s.wrote.Add(int64(len(b))); return len(b), nil }
func (s *stream) Close() error                { s.closed.Add(1); return nil }
func (s *stream) RemoteAddr() net.Addr        { return s.remote }

func to(s string) *stream { return &stream{remote: net.TCPAddrFromAddrPort(addr(s))} }

// worldNow is world with attestations as of the clock of the test.
func worldNow(t testing.TB) *Snapshot {
	t.Helper()
	return world(t, func(c *SnapshotConfig) {
		for i := range c.Parties {
			for j := range c.Parties[i].Attributes {
				c.Parties[i].Attributes[j].At = time.Now()
			}
		}
	})
}

func grantFor(party string, d time.Duration, regions ...Region) []Grant {
	return []Grant{{ID: "g", Groups: []string{party}, Regions: regions, NotBefore: time.Now(), Until: time.Now().Add(d)}}
}

func TestPassIsMintedForPermitsOnly(t *testing.T) {
	var refused []Ground
	f := NewFence(nil, func(_ Ask, r Ruling) { refused = append(refused, r.Ground) })
	if p, r := f.Pass(Ask{Addr: addr("192.0.2.1:5060")}); p != nil || r.Ground != GroundNoSnapshot || f.Snapshot() != nil {
		t.Errorf("without a snapshot: %v, %+v", p, r)
	}
	s := worldNow(t)
	f.Swap(s)
	for in, want := range map[string]Verdict{
		"192.0.2.1:5060": Permit, "192.0.2.200:0": Permit, "198.51.100.1:5060": Hold, "8.8.8.8:53": Deny, "[::ffff:192.0.2.1]:5060": Permit,
	} {
		p, r := f.Pass(Ask{Addr: addr(in)})
		if r.Verdict != want || (p != nil) != (want == Permit) || p.Live(time.Now()) != (want == Permit) {
			t.Errorf("%s: %v, %+v", in, p, r)
		}
		if j := f.Judge(Ask{Addr: addr(in)}); j.Verdict != want {
			t.Errorf("%s: %+v", in, j)
		}
	}
	if p, r := f.Pass(Ask{Region: frankfurt}); p != nil || r.Permitted() {
		t.Errorf("a region opens a socket: %+v", r)
	}
	if len(refused) != 4 || f.Snapshot() != s {
		t.Errorf("told of %v", refused)
	}
	p, _ := f.Pass(Ask{Party: "fra", Plane: Media, Addr: addr("[::ffff:192.0.2.1]:5060")})
	if p.Addr() != addr("192.0.2.1:5060") || p.Ask().Party != "fra" || p.Ruling().Region != frankfurt {
		t.Errorf("%v, %+v, %+v", p.Addr(), p.Ask(), p.Ruling())
	}
}

func TestNilPassOpensNothing(t *testing.T) {
	for _, p := range []*Pass{nil, {}} {
		if p.Live(time.Now()) || p.Live(time.Time{}) || p.Addr().IsValid() || p.Ruling().Permitted() || p.Ask().Party != "" {
			t.Errorf("%+v", p)
		}
		w := &wire{}
		f := NewFence(worldNow(t), nil)
		if n, err := f.UDP(w).Write([]byte("x"), p); n != 0 || !errors.Is(err, ErrFenced) || len(w.sent) != 0 {
			t.Errorf("%d, %v, %v", n, err, w.sent)
		}
		c := to("192.0.2.1:5060")
		if n, err := f.Conn(c, p).Write([]byte("x")); n != 0 || !errors.Is(err, ErrFenced) || c.wrote.Load() != 0 || c.closed.Load() == 0 {
			t.Errorf("%d, %v", n, err)
		}
	}
}

func TestPacketConn(t *testing.T) {
	w := &icmpWire{wire{in: []netip.AddrPort{addr("[::ffff:192.0.2.1]:7")}, errs: []netip.AddrPort{addr("[::ffff:192.0.2.2]:8")}}}
	var told []Ask
	f := NewFence(worldNow(t), func(a Ask, _ Ruling) { told = append(told, a) })
	c := f.UDP(w)
	b := make([]byte, 9)
	if n, from, err := c.Read(b); n != 5 || from != addr("192.0.2.1:7") || err != nil {
		t.Errorf("%d from %v, %v", n, from, err)
	}
	if _, _, err := c.Read(b); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
	p, _ := f.Pass(Ask{Addr: addr("192.0.2.1:7")})
	if n, err := c.Write([]byte("abc"), p); n != 3 || err != nil || w.sent[0] != addr("192.0.2.1:7") {
		t.Errorf("%d, %v, %v", n, err, w.sent)
	}
	if to, err, ok := c.ReadError(); !ok || err == nil || to != addr("192.0.2.2:8") {
		t.Errorf("%v, %v, %t", to, err, ok)
	}
	if _, _, ok := c.ReadError(); ok {
		t.Error("the queue does not end")
	}
	if _, _, ok := f.UDP(&wire{}).ReadError(); ok {
		t.Error("a socket without a queue has errors")
	}
	// The port is pinned with the address, and a pass of another fence is none.
	portless, _ := f.Pass(Ask{Addr: addr("192.0.2.1:0")})
	alien, _ := NewFence(worldNow(t), nil).Pass(Ask{Addr: addr("192.0.2.1:7")})
	for _, p := range []*Pass{portless, alien} {
		if n, err := c.Write([]byte("abc"), p); n != 0 || !errors.Is(err, ErrFenced) {
			t.Errorf("%d, %v", n, err)
		}
	}
	if len(w.sent) != 1 || len(told) == 0 {
		t.Errorf("sent to %v, told %v", w.sent, told)
	}
	if c.LocalAddr() != addr("192.0.2.9:5060") || c.SetReadDeadline(now) != nil || !w.until.Equal(now) || c.Close() != nil || !w.closed {
		t.Errorf("%v", c.LocalAddr())
	}
}

func TestWriteAfterSwap(t *testing.T) {
	w := &wire{}
	s := worldNow(t)
	f := NewFence(s, nil)
	c := f.UDP(w)
	p, _ := f.Pass(Ask{Party: "zrh", Plane: Media, Addr: addr("192.0.2.200:4000")})
	if _, err := c.Write([]byte("x"), p); err != nil {
		t.Fatal(err)
	}
	f.Swap(s.WithSuspensions([]Suspension{{Instrument: "2000/518/EC", Since: time.Now().Add(-time.Second)}}))
	_, err := c.Write([]byte("x"), p)
	var refusal *Refusal
	if !errors.Is(err, ErrFenced) || !errors.As(err, &refusal) || refusal.Ruling.Ground != GroundSuspended || p.Ruling().Generation != 8 {
		t.Fatalf("%v", err)
	}
	if want := "sovereign: fenced: hold (instrument_suspended): "; !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v", err)
	}
	f.Swap(nil)
	if _, err := c.Write([]byte("x"), p); !errors.Is(err, ErrFenced) || p.Ruling().Ground != GroundNoSnapshot {
		t.Errorf("%v", err)
	}
	// A pass that died lives again when a later snapshot covers it.
	f.Swap(s)
	if _, err := c.Write([]byte("x"), p); err != nil || len(w.sent) != 2 {
		t.Errorf("%v, sent %d", err, len(w.sent))
	}
}

func TestPassDiesWithItsGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now)) // a bubble begins in the year 2000, before the law of these tests
		s := worldNow(t)
		f := NewFence(s.WithGrants(grantFor("iad", time.Hour, virginia)), nil)
		w := &wire{}
		c := f.UDP(w)
		p, r := f.Pass(Ask{Party: "iad", Plane: Media, Addr: addr("198.51.100.1:4000")})
		if r.Grant != "g" || p == nil {
			t.Fatalf("%+v", r)
		}
		time.Sleep(time.Hour - 1)
		if _, err := c.Write([]byte("x"), p); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Nanosecond)
		if p.Live(time.Now()) || p.Live(time.Time{}) {
			t.Error("the pass outlives its grant")
		}
		if _, err := c.Write([]byte("x"), p); !errors.Is(err, ErrFenced) || len(w.sent) != 1 {
			t.Errorf("%v", err)
		}
		// A grant that is to come opens it by itself at its moment.
		later := grantFor("iad", 2*time.Hour, virginia)
		later[0].NotBefore = time.Now().Add(time.Hour)
		f.Swap(s.WithGrants(later))
		if p.Live(time.Now()) {
			t.Error("the pass lives before its grant")
		}
		time.Sleep(time.Hour)
		if !p.Live(time.Now()) {
			t.Error("the grant began, the pass is still dead")
		}
	})
}

func TestStreamsEndWithTheirPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now)) // a bubble begins in the year 2000, before the law of these tests
		s := worldNow(t)
		f := NewFence(s.WithGrants(grantFor("iad", time.Hour, virginia)), nil)
		open := func(party, a string) (*stream, net.Conn) {
			p, r := f.Pass(Ask{Party: party, Plane: Signalling, Addr: addr(a)})
			if p == nil {
				t.Fatalf("%+v", r)
			}
			below := to(a)
			return below, f.Conn(below, p)
		}
		fra, fraConn := open("fra", "192.0.2.1:5061")
		zrh, zrhConn := open("zrh", "192.0.2.200:5061")
		iad, iadConn := open("iad", "198.51.100.1:5061")
		for _, c := range []net.Conn{fraConn, zrhConn, iadConn} {
			if n, err := c.Write([]byte("abc")); n != 3 || err != nil {
				t.Errorf("%d, %v", n, err)
			}
		}
		// The grant is about to run out while nobody writes: the stream is closed while its last segments may still leave.
		time.Sleep(time.Hour - farewell - 1)
		synctest.Wait()
		if iad.closed.Load() != 0 {
			t.Error("closed before its time")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if iad.closed.Load() == 0 || fra.closed.Load() != 0 || zrh.closed.Load() != 0 {
			t.Errorf("iad %d, fra %d, zrh %d", iad.closed.Load(), fra.closed.Load(), zrh.closed.Load())
		}
		if _, err := iadConn.Write([]byte("x")); !errors.Is(err, ErrFenced) || iad.wrote.Load() != 3 {
			t.Errorf("%v", err)
		}
		// A swap closes what it does not cover before it returns.
		var swaps []uint64
		stop := f.OnSwap(func(s *Snapshot) { swaps = append(swaps, s.Generation()) })
		f.Swap(s.WithSuspensions([]Suspension{{Instrument: "2000/518/EC", Since: time.Now()}}))
		if zrh.closed.Load() == 0 || fra.closed.Load() != 0 {
			t.Errorf("zrh %d, fra %d", zrh.closed.Load(), fra.closed.Load())
		}
		stop()
		f.Swap(s)
		if len(swaps) != 1 || swaps[0] != 8 {
			t.Errorf("told of %v", swaps)
		}
		if n, err := fraConn.Write([]byte("x")); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		fraConn.Close()
		if len(f.openStreams()) != 0 {
			t.Errorf("%d streams are still listed", len(f.openStreams()))
		}
	})
}

// A new snapshot may move the end of a stream: the old timer must not end it, the new one must.
func TestStreamFollowsRenewedGrant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now)) // a bubble begins in the year 2000, before the law of these tests
		s := worldNow(t)
		f := NewFence(s.WithGrants(grantFor("iad", time.Hour, virginia)), nil)
		p, _ := f.Pass(Ask{Party: "iad", Plane: Signalling, Addr: addr("198.51.100.1:5061")})
		below := to("198.51.100.1:5061")
		c := f.Conn(below, p)
		defer c.Close()
		time.Sleep(30 * time.Minute)
		f.Swap(s.WithGrants(grantFor("iad", time.Hour, virginia)))
		time.Sleep(45 * time.Minute)
		synctest.Wait()
		if below.closed.Load() != 0 {
			t.Fatal("ended by the old grant")
		}
		time.Sleep(15 * time.Minute)
		synctest.Wait()
		if below.closed.Load() == 0 {
			t.Error("outlives the new grant")
		}
	})
}

func TestConnIsPinned(t *testing.T) {
	f := NewFence(worldNow(t), nil)
	p, _ := f.Pass(Ask{Addr: addr("192.0.2.1:5060")})
	anyPort, _ := f.Pass(Ask{Addr: addr("192.0.2.1:0")})
	pipe, far := net.Pipe()
	far.Close() // so that a write that got through would fail and not wait for a reader
	for name, c := range map[string]struct {
		conn net.Conn
		pass *Pass
		ok   bool
	}{
		"same":          {to("192.0.2.1:5060"), p, true},
		"mapped":        {to("[::ffff:192.0.2.1]:5060"), p, true},
		"other port":    {to("192.0.2.1:5061"), p, false},
		"any port":      {to("192.0.2.1:5061"), anyPort, true},
		"other address": {to("192.0.2.2:5060"), p, false},
		"other country": {to("8.8.8.8:5060"), anyPort, false},
		"no address":    {&stream{}, p, false},
		"UDP":           {&stream{remote: net.UDPAddrFromAddrPort(addr("192.0.2.1:5060"))}, p, true},
		"a pipe":        {pipe, p, false},
	} {
		w := f.Conn(c.conn, c.pass)
		_, err := w.Write([]byte("x"))
		if (err == nil) != c.ok || !c.ok && !errors.Is(err, ErrFenced) {
			t.Errorf("%s: %v", name, err)
		}
		w.Close()
	}
	if n := len(f.openStreams()); n != 0 {
		t.Errorf("%d streams are still listed", n)
	}
}

// A dial that a strike finds under way is given up, whatever the dial function still waits for.
func TestADialEndsWithItsPass(t *testing.T) {
	for name, strike := range map[string]func(f *Fence, dialling chan struct{}){
		"under way":  func(f *Fence, dialling chan struct{}) { <-dialling; f.Swap(nil) },
		"just begun": nil,
	} {
		t.Run(name, func(t *testing.T) {
			f := NewFence(worldNow(t), nil)
			dialling := make(chan struct{})
			dial := f.Dialer("hook", Infrastructure, func(ctx context.Context, _, _ string) (net.Conn, error) {
				if close(dialling); strike == nil {
					f.Swap(nil)
				}
				<-ctx.Done()
				return nil, ctx.Err()
			})
			if strike != nil {
				go strike(f, dialling)
			}
			if _, err := dial(t.Context(), "tcp", "192.0.2.1:443"); !errors.Is(err, ErrFenced) {
				t.Error(err)
			}
		})
	}
}

func TestDialer(t *testing.T) {
	s := worldNow(t)
	f := NewFence(s, nil)
	var dialled []string
	broken := errors.New("no route")
	dial := f.Dialer("hook", Infrastructure, func(_ context.Context, network, a string) (net.Conn, error) {
		dialled = append(dialled, network+" "+a)
		if strings.HasSuffix(a, ":9") {
			return nil, broken
		}
		return to(a), nil
	})
	c, err := dial(t.Context(), "tcp", "[::ffff:192.0.2.1]:443")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := c.Write([]byte("x")); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	for _, a := range []string{"198.51.100.1:443", "8.8.8.8:443", "example.com:443", "192.0.2.1", ":443", ""} {
		if c, err := dial(t.Context(), "tcp", a); c != nil || !errors.Is(err, ErrFenced) {
			t.Errorf("%s: %v, %v", a, c, err)
		}
	}
	if _, err := dial(t.Context(), "udp", "192.0.2.1:9"); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if len(dialled) != 2 || dialled[0] != "tcp 192.0.2.1:443" || dialled[1] != "udp 192.0.2.1:9" {
		t.Errorf("dialled %q", dialled)
	}
	f.Swap(world(t, func(c *SnapshotConfig) { c.Policy.Home = zurich; c.Policy.Allow = nil }))
	if n, err := c.Write([]byte("x")); n != 0 || !errors.Is(err, ErrFenced) {
		t.Errorf("after the swap: %d, %v", n, err)
	}
	stranger := f.Dialer("who", Infrastructure, func(context.Context, string, string) (net.Conn, error) { panic("dialled") })
	if _, err := stranger(t.Context(), "tcp", "192.0.2.200:1"); !errors.Is(err, ErrFenced) {
		t.Errorf("%v", err)
	}
}

// The path of a packet: no allocation for a live pass, none for a dead one either.
func TestNoAllocations(t *testing.T) {
	s := worldNow(t)
	f := NewFence(s.WithGrants(grantFor("iad", time.Hour, virginia)), func(Ask, Ruling) {})
	c := f.UDP(discard{})
	eternal, _ := f.Pass(Ask{Addr: addr("192.0.2.1:1")})
	granted, _ := f.Pass(Ask{Party: "iad", Plane: Media, Addr: addr("198.51.100.1:1")})
	dead, _ := f.Pass(Ask{Party: "zrh", Plane: Media, Addr: addr("192.0.2.200:1")})
	f.Swap(s.WithGrants(grantFor("iad", time.Hour, virginia)).WithSuspensions([]Suspension{{Instrument: "2000/518/EC"}}))
	b := []byte("x")
	at := time.Now()
	clearance, _ := granted.Clear(at)
	good := false
	for name, fn := range map[string]func(){
		"live":         func() { eternal.Live(at) },
		"granted":      func() { granted.Live(at) },
		"dead":         func() { dead.Live(at) },
		"write":        func() { _, _ = c.Write(b, eternal) },
		"write, grant": func() { _, _ = c.Write(b, granted) },
		"refused":      func() { _, _ = c.Write(b, dead) },
		"nil pass":     func() { _, _ = c.Write(b, nil) },
		"clear":        func() { eternal.Clear(at) },
		"clear, grant": func() { granted.Clear(at) },
		"clear, dead":  func() { dead.Clear(at) },
		"good":         func() { good = clearance.Good(f.Epoch(), at.UnixNano()) },
	} {
		fn() // judges again after the swap
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	if !good || !eternal.Live(at) || !granted.Live(at) || dead.Live(at) {
		t.Error("the passes are not what they are called")
	}
}

// discard is a socket without a lock or a memory.
type discard struct{}

func (discard) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, io.EOF
}
func (discard) WriteToUDPAddrPort(b []byte, _ netip.AddrPort) (int, error) { return len(b), nil }
func (discard) LocalAddr() net.Addr                                        { return nil }
func (discard) SetReadDeadline(time.Time) error                            { return nil }
func (discard) Close() error                                               { return nil }

// Many writers, many swaps: after the last swap nobody writes what it does not cover.
func TestFenceUnderRace(t *testing.T) {
	s := worldNow(t)
	closed := s.WithSuspensions([]Suspension{{Instrument: "2000/518/EC"}})
	f := NewFence(s, func(Ask, Ruling) {})
	w := &wire{}
	c := f.UDP(w)
	p, _ := f.Pass(Ask{Party: "zrh", Plane: Media, Addr: addr("192.0.2.200:4000")})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 300 {
				_, _ = c.Write([]byte("x"), p)
				_ = p.Ruling()
			}
		})
		wg.Go(func() {
			for range 40 {
				if q, _ := f.Pass(Ask{Party: "zrh", Plane: Signalling, Addr: addr("192.0.2.200:5060")}); q != nil {
					conn := f.Conn(to("192.0.2.200:5060"), q)
					_, _ = conn.Write([]byte("x"))
					conn.Close()
				}
			}
		})
	}
	wg.Go(func() {
		for range 50 {
			f.Swap(closed)
			f.Swap(s)
		}
		f.Swap(closed)
	})
	wg.Wait()
	w.mu.Lock()
	n := len(w.sent)
	w.mu.Unlock()
	if _, err := c.Write([]byte("x"), p); !errors.Is(err, ErrFenced) || len(w.sent) != n {
		t.Errorf("after the last swap: %v", err)
	}
	if len(f.openStreams()) != 0 {
		t.Errorf("%d streams are still listed", len(f.openStreams()))
	}
}

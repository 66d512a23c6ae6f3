package carrier

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/internal/vnet"
)

var (
	ipCarrier = netip.MustParseAddr("10.1.0.1")
	ipEdge    = netip.MustParseAddr("10.2.0.1")
	ipEdge2   = netip.MustParseAddr("10.2.0.2")
	pfEdge    = netip.MustParsePrefix("10.2.0.0/16")
)

// world is one carrier and one edge on a virtual network.
type world struct {
	t       *testing.T
	net     *vnet.Network
	host    *vnet.Host // of the edge
	carrier *Peer
	edge    *Peer
	stop    func()
	lenient bool // faults are expected
}

func newWorld(t *testing.T, q vnet.Quality, edit func(carrier, edge *Config)) *world {
	t.Helper()
	n := vnet.New(11)
	n.Default(q)
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	hc, he := n.Host(ipCarrier), n.Host(ipEdge, ipEdge2)
	cc := Config{Name: "carrier", Net: hc, Addr: netip.AddrPortFrom(ipCarrier, 5060), Seed: 1}
	ce := Config{Name: "edge", Net: he, Addr: netip.AddrPortFrom(ipEdge, 5060), Seed: 2}
	if edit != nil {
		edit(&cc, &ce)
	}
	for _, c := range []*Config{&cc, &ce} {
		if c.Proto == "tls" {
			cert, err := ca.Issue(c.Name + ".example")
			if err != nil {
				t.Fatal(err)
			}
			c.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, RootCAs: ca.Pool(), ClientCAs: ca.Pool(), ClientAuth: tls.RequireAndVerifyClientCert}
			c.ServerName = "edge.example"
		}
	}
	w := &world{t: t, net: n, host: he}
	w.carrier, w.edge = peer(t, cc), peer(t, ce)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = w.carrier.Run(ctx) })
	wg.Go(func() { _ = w.edge.Run(ctx) })
	w.stop = func() {
		cancel()
		wg.Wait()
		if o := n.Open(); len(o) != 0 {
			t.Errorf("left open: %v", o)
		}
		for _, p := range []*Peer{w.carrier, w.edge} {
			if s := p.Stats(); !w.lenient && len(s.Faults) > 0 {
				t.Errorf("%s complains: %s", p.cfg.Name, strings.Join(s.Faults, "\n"))
			}
		}
	}
	return w
}

func peer(t *testing.T, c Config) *Peer {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// call places a call to the edge.
func (w *world) call(o CallOptions) *Call {
	w.t.Helper()
	o.From, o.To, o.Dest = "alice", "+4930123456", w.edge.Addr()
	c, err := w.carrier.Call(w.t.Context(), o)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func within(t *testing.T, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s is %v, want %v to %v", what, got, low, high)
	}
}

func statuses(c *Call) (out []int) {
	for _, e := range c.Events() {
		if !e.Out && e.Method == "INVITE" {
			out = append(out, e.Status)
		}
	}
	return out
}

func TestCall(t *testing.T) {
	secure := func(suites ...string) func(a, b *Config) {
		return func(a, b *Config) {
			a.Proto, b.Proto, a.SRTP, b.SRTP = "tls", "tls", true, true
			a.Suites, b.Suites = suites, suites
		}
	}
	tests := []struct {
		name  string
		q     vnet.Quality
		edit  func(carrier, edge *Config)
		loss  float64 // of media, there and back, at most
		suite string
	}{
		{"udp", vnet.Quality{Delay: 20 * time.Millisecond}, nil, 0, ""},
		{"udp with loss", vnet.Quality{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.1, Dup: 0.02, Reorder: 0.02}, nil, 0.3, ""},
		{"tcp", vnet.Quality{Delay: 20 * time.Millisecond}, func(a, b *Config) { a.Proto, b.Proto = "tcp", "tcp" }, 0, ""},
		{"tls and srtp", vnet.Quality{Delay: 20 * time.Millisecond}, secure(), 0, AES128SHA80},
		{"aes 256", vnet.Quality{}, secure(AES256SHA80), 0, AES256SHA80},
		{"short tag", vnet.Quality{}, secure(AES128SHA32), 0, AES128SHA32},
		{"gcm", vnet.Quality{}, secure(AES128GCM, AES128SHA80), 0, AES128GCM},
		{"gcm 256, lossy", vnet.Quality{Delay: 5 * time.Millisecond, Loss: 0.1}, secure(AES256GCM), 0.3, AES256GCM},
		{"srtp over udp", vnet.Quality{}, func(a, b *Config) { a.SRTP = true }, 0, AES128SHA80},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, tt.q, tt.edit)
				defer w.stop()
				c := w.call(CallOptions{Talk: 10 * time.Second})
				if s, err := c.WaitFinal(t.Context()); s != 200 || err != nil {
					t.Fatal(s, err)
				}
				<-c.Done()
				m := c.Media()
				if m.Suite != tt.suite || m.Sent < 495 || m.Sent > 600 || float64(m.Lost) > tt.loss*float64(m.Sent)+1+tt.q.Delay.Seconds()*100 {
					t.Errorf("media %+v", m)
				}
				within(t, "shortest round trip", m.RTTMin, 2*tt.q.Delay, 2*tt.q.Delay+20*time.Millisecond)
				if m.Corrupt+m.Foreign+m.WrongSource > 0 || m.SSRCs != 1 {
					t.Errorf("media %+v", m)
				}
				if c.Ended() != "bye sent" {
					t.Errorf("ended by %q", c.Ended())
				}
				synctest.Wait()
				s := w.edge.Stats()
				if s.Invites != 1 || s.Answered != 1 || s.Byes != 1 || s.Acks != 1 || s.Active != 0 || s.RTPRx == 0 || s.RTPTx == 0 {
					t.Errorf("edge %+v", s)
				}
			})
		})
	}
}

func TestManyCallsUnderLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, vnet.Quality{Delay: 15 * time.Millisecond, Jitter: 10 * time.Millisecond, Loss: 0.15}, nil)
		defer w.stop()
		var calls []*Call
		for range 50 {
			calls = append(calls, w.call(CallOptions{Talk: time.Second}))
			time.Sleep(100 * time.Millisecond)
		}
		for _, c := range calls {
			<-c.Done()
			if c.Status() != 200 {
				t.Errorf("status %d, %v", c.Status(), c.Events())
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name   string
		b      Behaviour
		status []int
		took   time.Duration
		header [2]string
	}{
		{"busy", Behaviour{Refuse: 486}, []int{100, 486}, 0, [2]string{}},
		{"overloaded", Behaviour{Refuse: 503, RetryAfter: 30}, []int{100, 503}, 0, [2]string{"Retry-After", "30"}},
		{"with a reason", Behaviour{Refuse: 404, Reason: "Q.850;cause=1"}, []int{100, 404}, 0, [2]string{"Reason", "Q.850;cause=1"}},
		{"slow", Behaviour{Refuse: 603, AnswerAfter: 2 * time.Second}, []int{100, 603}, 2 * time.Second, [2]string{}},
		{"without 100", Behaviour{Refuse: 486, NoTrying: true}, []int{486}, 0, [2]string{}},
		{"silent", Behaviour{Silent: true}, nil, 32 * time.Second, [2]string{}},
		{"dead", Behaviour{Dead: true}, nil, 32 * time.Second, [2]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, vnet.Quality{}, func(_, e *Config) { e.Behaviour = tt.b })
				defer w.stop()
				start := time.Now()
				c := w.call(CallOptions{})
				<-c.Done()
				want := 408
				if len(tt.status) > 0 {
					want = tt.status[len(tt.status)-1]
				}
				if c.Status() != want || !slices.Equal(statuses(c), tt.status) || time.Since(start) != tt.took {
					t.Errorf("status %d, saw %v after %v", c.Status(), statuses(c), time.Since(start))
				}
				if h := tt.header; h[0] != "" && !slices.Equal(c.Header(h[0]), []string{h[1]}) {
					t.Errorf("%s: %q", h[0], c.Header(h[0]))
				}
				select {
				case <-c.Answered():
					t.Error("answered")
				default:
				}
				// Back to normal at run time.
				if err := w.edge.SetBehaviour(Behaviour{}); err != nil {
					t.Fatal(err)
				}
				again := w.call(CallOptions{Talk: time.Second})
				<-again.Done()
				if again.Status() != 200 {
					t.Errorf("afterwards %d", again.Status())
				}
			})
		})
	}
}

func TestProgress(t *testing.T) {
	tests := []struct {
		name   string
		b      Behaviour
		status []int
		took   time.Duration
	}{
		{"plain", Behaviour{}, []int{100, 180, 200}, 0},
		{"no ringing", Behaviour{NoRinging: true, AnswerAfter: time.Second}, []int{100, 200}, time.Second},
		{"rings", Behaviour{AnswerAfter: time.Second, RingFor: 5 * time.Second}, []int{100, 180, 200}, 6 * time.Second},
		{"early media", Behaviour{EarlyMedia: true, RingFor: 3 * time.Second}, []int{100, 183, 200}, 3 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, vnet.Quality{}, func(_, e *Config) { e.Behaviour = tt.b })
				defer w.stop()
				start := time.Now()
				c := w.call(CallOptions{})
				<-c.Answered()
				if !slices.Equal(statuses(c), tt.status) || time.Since(start) != tt.took {
					t.Errorf("saw %v after %v", statuses(c), time.Since(start))
				}
				if m := c.Media(); tt.b.EarlyMedia != (m.Matched > 100) {
					t.Errorf("early media: %+v", m)
				}
				if err := c.Hangup(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestCancel(t *testing.T) {
	for _, race := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, vnet.Quality{Delay: 10 * time.Millisecond}, func(_, e *Config) {
				e.Behaviour = Behaviour{NoAnswer: true, AnswerAfterCancel: race}
			})
			defer w.stop()
			c := w.call(CallOptions{})
			if err := c.Hangup(t.Context()); err == nil {
				t.Error("hung up before the answer")
			}
			time.Sleep(time.Second)
			if err := c.Cancel(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := 487
			if race {
				want = 200
			}
			s := w.edge.Stats()
			if c.Status() != want || c.Ended() != "cancelled" || s.Cancels != 1 || s.Byes != map[bool]int{true: 1}[race] {
				t.Errorf("status %d, %q, edge %+v", c.Status(), c.Ended(), s)
			}
		})
	}
	t.Run("before any response", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, vnet.Quality{Delay: 10 * time.Millisecond}, func(_, e *Config) { e.Behaviour = Behaviour{NoAnswer: true} })
			defer w.stop()
			c := w.call(CallOptions{})
			if err := c.Cancel(t.Context()); err != nil || c.Status() != 487 {
				t.Error(err, c.Status())
			}
		})
	})
}

func TestRenegotiation(t *testing.T) {
	for _, proto := range []string{"udp", "tls"} {
		t.Run(proto, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, vnet.Quality{Delay: 5 * time.Millisecond}, func(a, b *Config) {
					a.Proto, b.Proto, a.SRTP = proto, proto, proto == "tls"
				})
				defer w.stop()
				c := w.call(CallOptions{})
				<-c.Answered()
				ok := func(what string, s int, err error) {
					t.Helper()
					if s != 200 || err != nil {
						t.Errorf("%s: %d %v", what, s, err)
					}
				}
				flowing := func(what string, want bool) {
					t.Helper()
					time.Sleep(100 * time.Millisecond)
					before := c.Media()
					time.Sleep(time.Second)
					if after := c.Media(); (after.Matched-before.Matched > 45) != want || after.AuthFailed > 0 {
						t.Errorf("%s: %d echoes in a second, %+v", what, after.Matched-before.Matched, after)
					}
				}
				flowing("at first", true)
				s, err := c.Hold(t.Context())
				ok("hold", s, err)
				time.Sleep(time.Second)
				if e := w.edge.Calls()[0]; e.dir != recvonly {
					t.Errorf("the held side is %s", e.dir)
				}
				s, err = c.Resume(t.Context())
				ok("resume", s, err)
				flowing("resumed", true)
				was := c.Media().Remote
				if err := w.edge.MoveMediaTo(t.Context(), ipEdge2); err != nil {
					t.Error(err)
				}
				flowing("moved", true)
				if now := c.Media().Remote; now == was || now.Addr() != ipEdge2 {
					t.Errorf("media moved from %v to %v", was, now)
				}
				s, err = c.Update(t.Context())
				ok("update", s, err)
				s, err = c.SendInfo(t.Context(), "application/dtmf-relay", "Signal=5\r\n")
				ok("info", s, err)
				if got := w.edge.Calls()[0].Info(); got != "Signal=5\r\n" {
					t.Errorf("INFO body %q", got)
				}
				if err := w.edge.Calls()[0].Hangup(t.Context()); err != nil {
					t.Error(err)
				}
				<-c.Done()
				if c.Ended() != "bye received" {
					t.Error(c.Ended())
				}
				es, cs := w.edge.Stats(), w.carrier.Stats()
				if es.Reinvites != 2 || es.Updates != 1 || es.Infos != 1 || cs.Reinvites != 1 || cs.Byes != 1 {
					t.Errorf("edge %+v\ncarrier %+v", es, cs)
				}
			})
		})
	}
}

func TestCalledSide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, vnet.Quality{}, func(_, e *Config) {
			e.Behaviour = Behaviour{OwnTone: true, HangUpAfter: 2 * time.Second, Reason: "Q.850;cause=16"}
		})
		defer w.stop()
		c := w.call(CallOptions{Headers: [][2]string{{"P-Asserted-Identity", "<sip:+49301@c.example>"}}})
		<-c.Answered()
		e := w.edge.Calls()[0]
		if e.Header("P-Asserted-Identity")[0] != "<sip:+49301@c.example>" || e.URI() != "sip:+4930123456@10.2.0.1:5060" || e.ID() != c.ID() {
			t.Errorf("%q %q", e.Header("P-Asserted-Identity"), e.URI())
		}
		<-c.Done()
		if m := c.Media(); m.Matched != 0 || m.Foreign < 95 {
			t.Errorf("the other side's tone: %+v", m)
		}
		_ = w.edge.SetBehaviour(Behaviour{Mute: true})
		c = w.call(CallOptions{Talk: time.Second})
		<-c.Done()
		if m := c.Media(); m.Received != 0 || m.Sent == 0 {
			t.Errorf("mute: %+v", m)
		}
		_ = w.edge.SetBehaviour(Behaviour{})
		c = w.call(CallOptions{Talk: time.Second, Delayed: true})
		<-c.Done()
		if m := c.Media(); m.Matched < 45 {
			t.Errorf("offer in the 200: %+v", m)
		}
		c = w.call(CallOptions{Talk: time.Second, NoMedia: true})
		<-c.Done()
		if m := c.Media(); m.Sent != 0 {
			t.Errorf("no media: %+v", m)
		}
	})
}

func TestOptions(t *testing.T) {
	for _, proto := range []string{"udp", "tcp", "tls"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, vnet.Quality{Loss: 0.1}, func(a, b *Config) { a.Proto, b.Proto = proto, proto })
			defer w.stop()
			for _, want := range []int{200, 503} {
				_ = w.edge.SetBehaviour(Behaviour{OptionsStatus: want})
				if s, err := w.carrier.Options(t.Context(), w.edge.Addr()); s != want || err != nil {
					t.Errorf("%s: %d %v", proto, s, err)
				}
			}
			if proto != "udp" {
				_ = w.edge.SetBehaviour(Behaviour{Dead: true})
				time.Sleep(time.Second)
				if s, err := w.carrier.Options(t.Context(), w.edge.Addr()); err == nil {
					t.Errorf("a dead peer answered %d", s)
				}
			}
		})
	}
}

func TestDeathDuringACall(t *testing.T) {
	for _, proto := range []string{"udp", "tls"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, vnet.Quality{}, func(a, b *Config) { a.Proto, b.Proto = proto, proto })
			defer w.stop()
			c := w.call(CallOptions{})
			<-c.Answered()
			_ = w.edge.SetBehaviour(Behaviour{Dead: true})
			if w.host.Sockets() != 0 || len(w.edge.Calls()) != 0 {
				t.Errorf("a dead peer has %d sockets", w.host.Sockets())
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := c.Hangup(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTLSNamesAreChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, vnet.Quality{}, func(a, b *Config) { a.Proto, b.Proto = "tls", "tls" })
		defer w.stop()
		_, err := w.carrier.Call(t.Context(), CallOptions{From: "a", To: "b", Dest: w.edge.Addr(), ServerName: "other.example"})
		if err == nil || !strings.Contains(err.Error(), "not other.example") {
			t.Error(err)
		}
	})
}

func TestCutDuringACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, vnet.Quality{}, nil)
		defer w.stop()
		c := w.call(CallOptions{})
		<-c.Answered()
		time.Sleep(time.Second)
		w.net.Cut(pfEdge)
		time.Sleep(3 * time.Second)
		w.net.Heal(pfEdge)
		time.Sleep(time.Second)
		m := c.Media()
		within(t, "gap", m.MaxGap, 3*time.Second, 3100*time.Millisecond)
		if m.Lost < 148 || m.Lost > 153 {
			t.Errorf("%+v", m)
		}
		_ = c.Hangup(t.Context())
	})
}

func TestLossBehaviour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, vnet.Quality{}, func(_, e *Config) { e.Behaviour = Behaviour{Loss: 0.2} })
		defer w.stop()
		c := w.call(CallOptions{Talk: 20 * time.Second})
		<-c.Done()
		m := c.Media()
		if lost := float64(m.Lost) / float64(m.Sent); c.Status() != 200 || lost < 0.25 || lost > 0.47 {
			t.Errorf("%d, %+v", c.Status(), m)
		}
	})
}

// TestRealSockets is the same peer on the loopback of the operating system.
func TestRealSockets(t *testing.T) {
	ca, err := NewCA()
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue("edge.example", "127.0.0.9")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"udp", "tcp", "tls", "udp with ICMP errors"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			proto, _, icmp := strings.Cut(name, " ")
			var n Net
			if icmp {
				n = osnet.Net{}
			}
			cfg := Config{
				Net: n, Proto: proto, TLS: &tls.Config{RootCAs: ca.Pool(), Certificates: []tls.Certificate{cert}}, ServerName: "edge.example", SRTP: proto == "tls",
			}
			var peers []*Peer
			var wg sync.WaitGroup
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			for _, ip := range []string{"127.0.0.8", "127.0.0.9"} {
				cfg.Addr = netip.AddrPortFrom(netip.MustParseAddr(ip), 0)
				p := peer(t, cfg)
				peers = append(peers, p)
				wg.Go(func() { _ = p.Run(ctx) })
			}
			defer wg.Wait()
			defer cancel()
			c, err := peers[0].Call(ctx, CallOptions{From: "a", To: "b", Dest: peers[1].Addr()})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.WaitEchoes(ctx, 15); err != nil {
				t.Fatal(err, c.Status())
			}
			if err := c.Hangup(ctx); err != nil {
				t.Error(err)
			}
			m := c.Media()
			if c.Status() != 200 || m.Corrupt+m.Foreign+m.AuthFailed > 0 || (proto == "tls") != (m.Suite == AES128SHA80) {
				t.Errorf("%d %+v", c.Status(), m)
			}
			if err := peers[1].SetBehaviour(Behaviour{Dead: true}); err != nil {
				t.Error(err)
			}
			if proto != "udp" {
				if conn, err := net.Dial("tcp", peers[1].Addr().String()); err == nil {
					conn.Close()
					t.Error("a dead peer accepts connections")
				}
			}
			if err := peers[1].SetBehaviour(Behaviour{}); err != nil {
				t.Error(err)
			}
			for s := 0; s != 200; { // the old connection may not be known to be dead yet
				if s, err = peers[0].Options(ctx, peers[1].Addr()); ctx.Err() != nil {
					t.Fatal(s, err)
				}
			}
			for _, p := range peers {
				if f := p.Stats().Faults; len(f) > 0 {
					t.Error(f)
				}
			}
		})
	}
}

package media

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/browser"
	"github.com/cordonsip/cordon/media/dtls"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/srtp"
)

func dtlsLeg(party string, ices bool) Leg {
	return Leg{Party: party, Security: DTLS, Feedback: true, ICE: ices}
}

// webbed is a relay that runs, with browsers.
type webbed struct {
	*bed
	net     *network
	ctx     context.Context
	end     func() // of the relay
	phones  []*Endpoint
	unkeyed []Unkeyed
	mu      sync.Mutex
	wg      sync.WaitGroup
}

// withWeb runs f in a bubble with a relay that runs, and ends all of it.
func withWeb(t *testing.T, f func(*testing.T, *webbed)) {
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		w := &webbed{net: n}
		w.bed = newBed(t, n.door, func(c *Config) {
			c.Unkeyed = func(session string, u Unkeyed) {
				w.mu.Lock()
				defer w.mu.Unlock()
				if session != "call" || u.At.IsZero() {
					t.Errorf("%q %+v", session, u)
				}
				w.unkeyed = append(w.unkeyed, u)
			}
		})
		ctx, cancel := context.WithCancel(t.Context())
		w.ctx = ctx
		w.begin()
		f(t, w)
		w.end()
		cancel()
		w.wg.Wait()
		for _, e := range w.phones {
			e.Close()
		}
		if n.sockets() != 0 {
			t.Errorf("%d sockets are open", n.sockets())
		}
	})
}

// begin has the relay run.
func (w *webbed) begin() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- w.relay.Run(ctx) }()
	time.Sleep(time.Millisecond) // it runs
	w.end = func() { cancel(); <-done }
}

// phone makes an endpoint, which is closed at the end.
func (w *webbed) phone(at netip.Addr, l Leg, tone Tone) *Endpoint {
	e := w.endpoint(at, l, tone)
	w.phones = append(w.phones, e)
	return e
}

// about says whether all of these numbers are n, but for what a tick of the clock decides.
func about(n int, heard []int) bool {
	return !slices.ContainsFunc(heard, func(m int) bool { return m < n-2 || m > n+2 })
}

// browser makes one that runs.
func (w *webbed) browser(at netip.Addr, c browser.Config) *browser.Peer {
	w.t.Helper()
	var err error
	if c.Conn, err = w.net.listen(netip.AddrPortFrom(at, 0)); err != nil {
		w.t.Fatal(err)
	}
	p, err := browser.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.wg.Go(func() { p.Run(w.ctx) })
	return p
}

func (w *webbed) failures() []Unkeyed {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.unkeyed)
}

// dial has a browser call another one.
func (w *webbed) dial(a, b *browser.Peer, from, to Leg) *Session {
	w.t.Helper()
	s := w.open(from)
	w.again(s, a, b, to)
	s.Answered()
	return s
}

// again is one offer and its answer.
func (w *webbed) again(s *Session, a, b *browser.Peer, to Leg) (toB, toA string) {
	w.t.Helper()
	offer := ok(s.Offer(A, a.Offer(), to))(w.t)
	answer := ok(b.Answer(offer))(w.t)
	back := ok(s.Answer(B, answer))(w.t)
	if err := a.Accept(back); err != nil {
		w.t.Fatalf("%v\n%s", err, back)
	}
	return string(offer), string(back)
}

// hears lets some time pass and says how many packets each of them heard meanwhile.
func hears(d time.Duration, peers ...*browser.Peer) (heard []int) {
	var was []int
	for _, p := range peers {
		was = append(was, p.Stats().Heard)
	}
	time.Sleep(d)
	for i, p := range peers {
		heard = append(heard, p.Stats().Heard-was[i])
	}
	return heard
}

// TestBrowsers: two of them, each with keys of its own, hear each other: with ICE and without, whoever begins with the handshake.
func TestBrowsers(t *testing.T) {
	for name, c := range map[string]struct {
		ice, trickle bool
		setup        dtls.Setup
	}{
		"ICE, no address yet": {true, true, dtls.Active}, "ICE": {true, false, dtls.Active}, "ICE, and we begin": {true, true, dtls.Passive},
		"no ICE": {false, false, dtls.Active}, "no ICE, and we begin": {false, false, dtls.Passive},
	} {
		t.Run(name, func(t *testing.T) {
			withWeb(t, func(t *testing.T, w *webbed) {
				conf := browser.Config{ICE: c.ice, Trickle: c.trickle, Setup: c.setup, Video: true}
				a, b := w.browser(aliceAddr, conf), w.browser(bobAddr, conf)
				s := w.dial(a, b, dtlsLeg("carrier", c.ice), dtlsLeg("fra", c.ice))
				time.Sleep(3 * time.Second)
				if n := hears(5*time.Second, a, b); !about(250, n) {
					t.Errorf("in 5 s %v packets are heard: %+v %+v %+v", n, a.Stats(), b.Stats(), w.failures())
				}
				r := s.Report()
				for side, p := range []*browser.Peer{a, b} {
					if st := p.Stats(); st.Handshakes != 1 || st.Err != nil || st.Unopened != 0 || r.Sides[side].Suite != AEAD_AES_256_GCM || (st.Answered > 0) != c.ice {
						t.Errorf("%+v, suite %s", st, r.Sides[side].Suite)
					}
				}
				if len(w.failures()) != 0 {
					t.Errorf("%+v", w.failures())
				}
			})
		})
	}
}

// TestABrowserAndAPhone: one side is a browser and the other has SDES or nothing; media waits for the keys, and no octet of it is in clear on the browser's side.
func TestABrowserAndAPhone(t *testing.T) {
	for name, to := range map[string]Leg{"plain": plainLeg("fra"), "sdes": srtpLeg("fra")} {
		t.Run(name, func(t *testing.T) {
			withWeb(t, func(t *testing.T, w *webbed) {
				early := 0
				w.net.tap = func(from, to netip.AddrPort, b []byte) {
					if from.Addr() == relayAddr && to.Addr() == aliceAddr && len(b) > 12 && b[0] == 0x80 {
						early++
					}
				}
				a := w.browser(aliceAddr, browser.Config{ICE: true, Trickle: true, Mute: true})
				b := w.phone(bobAddr, to, Tone{})
				w.wg.Go(func() { b.Run(w.ctx) })
				s := w.open(dtlsLeg("carrier", true))
				offer := ok(s.Offer(A, a.Offer(), to))(t)
				if strings.Contains(string(offer), "fingerprint") || strings.Contains(string(offer), "ice-") || strings.Contains(string(offer), "TLS") {
					t.Errorf("what belongs to A went to B:\n%s", offer)
				}
				answer := ok(b.Answer(offer))(t)
				if err := a.Accept(ok(s.Answer(B, answer))(t)); err != nil {
					t.Fatal(err)
				}
				s.Answered()
				time.Sleep(2 * time.Second)
				if early != 0 || b.Report().Side.RxPackets != 0 {
					t.Fatalf("%d packets left before there were keys", early)
				}
				time.Sleep(20 * time.Second)
				if f := w.failures(); len(f) != 1 || f[0].Side != A || f[0].Reason != "timeout" || !f[0].Bare || early != 0 {
					t.Errorf("told: %+v; %d packets", f, early)
				}
			})
			withWeb(t, func(t *testing.T, w *webbed) {
				a := w.browser(aliceAddr, browser.Config{ICE: true, Trickle: true})
				b := w.phone(bobAddr, to, Tone{Echo: true})
				s := w.open(dtlsLeg("carrier", true))
				answer := ok(b.Answer(ok(s.Offer(A, a.Offer(), to))(t)))(t)
				if err := a.Accept(ok(s.Answer(B, answer))(t)); err != nil {
					t.Fatal(err)
				}
				s.Answered()
				time.Sleep(2 * time.Second)
				if n := hears(4*time.Second, a); !about(200, n) || a.Stats().Unopened != 0 {
					t.Errorf("%v of 200 packets come back: %+v", n, a.Stats())
				}
			})
		})
	}
}

// TestWhyThereAreNoKeys: a certificate that nobody announced, no suite in common, a far end that nominates from a place that is held.
func TestWhyThereAreNoKeys(t *testing.T) {
	for name, c := range map[string]struct {
		at     netip.Addr
		peer   browser.Config
		leg    func(*Leg)
		reason string
	}{
		"another certificate":  {aliceAddr, browser.Config{ICE: true, Trickle: true, Forged: true}, nil, "fingerprint"},
		"no suite":             {aliceAddr, browser.Config{ICE: true, Trickle: true, Suites: handSuitesOf(AES_CM_128_HMAC_SHA1_80)}, func(l *Leg) { l.Suites = []Suite{AEAD_AES_256_GCM} }, "profile"},
		"a place that is held": {heldAddr, browser.Config{ICE: true, Trickle: true}, nil, "unreachable"},
		"a place that is held, in its description": {heldAddr, browser.Config{ICE: true}, nil, "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			withWeb(t, func(t *testing.T, w *webbed) {
				forbidden := 0
				w.net.tap = func(from, to netip.AddrPort, _ []byte) {
					if from.Addr() == relayAddr && to.Addr() == heldAddr {
						forbidden++
					}
				}
				a := w.browser(c.at, c.peer)
				b := w.phone(bobAddr, plainLeg("fra"), Tone{Echo: true})
				leg := dtlsLeg("carrier", true)
				if c.leg != nil {
					c.leg(&leg)
				}
				s := w.open(leg)
				answer := ok(b.Answer(ok(s.Offer(A, a.Offer(), plainLeg("fra")))(t)))(t)
				if err := a.Accept(ok(s.Answer(B, answer))(t)); err != nil {
					t.Fatal(err)
				}
				s.Answered()
				time.Sleep(20 * time.Second)
				if f := w.failures(); len(f) != 1 || f[0].Reason != c.reason || !f[0].Bare {
					t.Errorf("told: %+v", f)
				}
				if forbidden != 0 || a.Stats().Heard != 0 || a.Stats().Handshakes > 1 {
					t.Errorf("%d datagrams left for a place that is held: %+v", forbidden, a.Stats())
				}
				if refused := slices.ContainsFunc(w.moves.list(), func(m Move) bool { return !m.Allowed && m.To.Addr() == heldAddr }); refused != (c.at == heldAddr) {
					t.Errorf("moves: %+v", w.moves.list())
				}
			})
		})
	}
}

func handSuitesOf(s ...Suite) []srtp.Suite { l := Leg{Suites: s}; return l.handSuites() }

// TestReoffers: a refresh keeps the keys; another certificate makes new ones while the old ones are in use; ICE restarts without new keys; a hold keeps all.
func TestReoffers(t *testing.T) {
	withWeb(t, func(t *testing.T, w *webbed) {
		a, b := w.browser(aliceAddr, browser.Config{ICE: true, Trickle: true}), w.browser(bobAddr, browser.Config{ICE: true})
		to := dtlsLeg("fra", true)
		s := w.dial(a, b, dtlsLeg("carrier", true), to)
		time.Sleep(3 * time.Second)
		loses := func(what string, handshakes int) {
			t.Helper()
			if n := hears(5*time.Second, a, b); n[0] < 245 || n[1] < 245 || a.Stats().Handshakes != handshakes || a.Stats().Unopened > 5 {
				t.Errorf("%s: %v packets are heard: %+v", what, n, a.Stats())
			}
		}
		first := a.Offer()
		if c := s.Compare(A, first); c != Same {
			t.Errorf("a refresh is a change: %d", c)
		}
		_, back := w.again(s, a, b, to)
		loses("a refresh", 1)
		a.Restart()
		if c := s.Compare(A, a.Offer()); c != Address {
			t.Errorf("a restart of ICE changes %d", c)
		}
		_, restarted := w.again(s, a, b, to)
		if says(t, back, "a=ice-ufrag:") == says(t, restarted, "a=ice-ufrag:") || says(t, back, "a=fingerprint:") != says(t, restarted, "a=fingerprint:") {
			t.Errorf("a restart of ICE is answered with\n%s", restarted)
		}
		loses("a restart of ICE", 1)
		if err := a.Renew(); err != nil {
			t.Fatal(err)
		}
		_, renewed := w.again(s, a, b, to)
		if says(t, back, "a=fingerprint:") == says(t, renewed, "a=fingerprint:") {
			t.Error("another association with the same certificate")
		}
		time.Sleep(time.Second)
		loses("another association", 2)
		if b.Stats().Handshakes != 1 || len(w.failures()) != 0 {
			t.Errorf("%+v %+v", b.Stats(), w.failures())
		}
	})
}

// says gives the first line of a description that begins so.
func says(t *testing.T, text, begins string) string {
	t.Helper()
	for l := range strings.SplitSeq(text, "\r\n") {
		if strings.HasPrefix(l, begins) {
			return l
		}
	}
	t.Fatalf("no %q in\n%s", begins, text)
	return ""
}

// TestAnotherControlProcess: a call of browsers that is taken up goes on under its keys, without a handshake, and keeps its fingerprint and its ICE in later
// descriptions. A far end that asks for another association gets one, with another certificate.
func TestAnotherControlProcess(t *testing.T) {
	withWeb(t, func(t *testing.T, w *webbed) {
		w.end()
		w.surviving()
		w.restart()
		w.begin()
		a, b := w.browser(aliceAddr, browser.Config{ICE: true, Trickle: true}), w.browser(bobAddr, browser.Config{ICE: true})
		to := dtlsLeg("fra", true)
		s := w.dial(a, b, dtlsLeg("carrier", true), to)
		time.Sleep(3 * time.Second)
		offer, back := w.again(s, a, b, to)
		note := s.Save()
		for _, secret := range []string{says(t, back, "a=ice-pwd:")[10:], says(t, offer, "a=ice-pwd:")[10:], string(a.Offer())[strings.Index(string(a.Offer()), "ice-pwd:")+8:][:22]} {
			if strings.Contains(string(note), secret) {
				t.Errorf("a password was written down: %s", note)
			}
		}
		w.relay.Leave()
		w.end()
		if n := hears(4*time.Second, a, b); !about(200, n) {
			t.Errorf("without a control process %v of 200 packets are heard", n)
		}
		w.restart()
		s = ok(w.relay.Readopt("call", note))(t)
		w.relay.Settle()
		w.begin()
		if n := hears(40*time.Second, a, b); !about(2000, n) {
			t.Errorf("after that %v of 2000 packets are heard", n)
		}
		if r := s.Report(); r.Sides[A].Suite != AEAD_AES_256_GCM || r.Sides[B].Suite != AEAD_AES_256_GCM || r.Sides[A].RxPackets < 2000 {
			t.Errorf("%+v", r.Sides)
		}
		told := string(s.Told(B))
		offer2, back2 := w.again(s, a, b, to)
		for _, what := range []string{"a=fingerprint:", "a=ice-ufrag:", "a=ice-pwd:", "a=candidate:"} {
			if says(t, offer2, what) != says(t, offer, what) || says(t, back2, what) != says(t, back, what) || says(t, told, what) != says(t, offer, what) {
				t.Errorf("after the restart another %s\n%s\n%s\n%s", what, offer2, back2, told)
			}
		}
		if n := hears(4*time.Second, a, b); !about(200, n) || a.Stats().Handshakes != 1 || b.Stats().Handshakes != 1 {
			t.Errorf("after a refresh %v of 200 packets are heard: %+v", n, a.Stats())
		}
		if err := a.Renew(); err != nil {
			t.Fatal(err)
		}
		if _, renewed := w.again(s, a, b, to); says(t, renewed, "a=fingerprint:") == says(t, back, "a=fingerprint:") {
			t.Error("another association with a certificate whose key is gone")
		}
		s.Answered()
		time.Sleep(2 * time.Second)
		if n := hears(4*time.Second, a, b); !about(200, n) || a.Stats().Handshakes != 2 || len(w.failures()) != 0 {
			t.Errorf("after another handshake %v of 200 packets are heard: %+v %+v", n, a.Stats(), w.failures())
		}
		// Who is asked to keep the keys, and wants others all the same, cannot have them: what is there stays.
		if err := b.Renew(); err != nil {
			t.Fatal(err)
		}
		answer := ok(b.Answer(ok(s.Offer(A, a.Offer(), to))(t)))(t)
		if _, err := s.Answer(B, answer); err == nil {
			t.Error("another association was answered with, and taken, without the key of our certificate")
		}
		s.Close()
	})
}

// TestKilledMidHandshake: nobody can go on with a handshake whose key died with its process: the session is not taken up, and its legs are closed.
func TestKilledMidHandshake(t *testing.T) {
	withWeb(t, func(t *testing.T, w *webbed) {
		w.end()
		w.surviving()
		w.restart()
		w.begin()
		a, b := w.browser(aliceAddr, browser.Config{ICE: true, Trickle: true, Mute: true}), w.browser(bobAddr, browser.Config{ICE: true})
		s := w.dial(a, b, dtlsLeg("carrier", true), dtlsLeg("fra", true))
		time.Sleep(3 * time.Second)
		note := s.Save()
		w.relay.Leave()
		w.end()
		w.restart()
		if _, err := w.relay.Readopt("call", note); !errors.Is(err, errGone) {
			t.Errorf("taken up: %v", err)
		}
		if n := w.relay.Settle(); n != 2 {
			t.Errorf("%d legs were closed", n)
		}
		w.begin()
	})
}

// TestAForkTakesAnother: a second answer, of another far end, makes keys of its own.
func TestAForkTakesAnother(t *testing.T) {
	withWeb(t, func(t *testing.T, w *webbed) {
		a := w.browser(aliceAddr, browser.Config{ICE: true, Trickle: true})
		b, c := w.browser(bobAddr, browser.Config{}), w.browser(bob2Addr, browser.Config{})
		to := dtlsLeg("fra", false)
		s := w.open(dtlsLeg("carrier", true))
		offer := ok(s.Offer(A, a.Offer(), to))(t)
		for _, p := range []*browser.Peer{b, c} {
			back := ok(s.Answer(B, ok(p.Answer(offer))(t)))(t)
			if err := a.Accept(back); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			if n := hears(4*time.Second, a, p); !about(200, n) {
				t.Errorf("%v of 200 packets are heard: %+v %+v %+v", n, a.Stats(), p.Stats(), w.failures())
			}
		}
		if a.Stats().Handshakes != 1 || c.Stats().Handshakes != 1 {
			t.Errorf("%+v %+v", a.Stats(), c.Stats())
		}
	})
}

// TestNumbersThatWaitForKeys: what is put in force when there are keys is what was agreed with that side, whatever was put in force for the other one meanwhile.
func TestNumbersThatWaitForKeys(t *testing.T) {
	withWeb(t, func(t *testing.T, w *webbed) {
		a, b := w.browser(aliceAddr, browser.Config{Mute: true}), newPeer(t, w.net, bobAddr, 5000, "")
		defer b.rtp.Close()
		defer b.rtcp.Close()
		s := w.open(dtlsLeg("carrier", false))
		ok(s.Offer(A, a.Offer(), plainLeg("fra")))(t)
		ok(s.Answer(B, b.numbered("8 96", event96)))(t)
		last := s.legs[A].Load().assoc.Load().last
		o := w.open(plainLeg("carrier"))
		ok(o.Offer(A, b.numbered("8 97", "97 telephone-event/8000"), plainLeg("fra")))(t)
		ok(o.Answer(B, b.numbered("8 98", "98 telephone-event/8000")))(t)
		want := []plane.Clock{{PT: 8, To: 8, Rate: 8000}, {PT: 101, To: 96, Moves: true, Event: true, Rate: 8000}, {PT: 96, To: 96, Event: true, Rate: 8000}}
		if !slices.Equal(last.Clocks, want) {
			t.Errorf("clocks %+v, want %+v", last.Clocks, want)
		}
	})
}

package sip

import (
	"context"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/browser"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// webGroup makes fra a party on the side of browsers.
func webGroup(c *Config) {
	for i := range c.Parties {
		if c.Parties[i].Name == "fra" {
			c.Parties[i].Leg = media.Leg{Security: media.DTLS, Feedback: true, ICE: true}
		}
	}
}

// web answers a call at fra with a browser whose media stands at an address. It gives the 200 that the carrier got.
func (w *world) web(at netip.Addr, c browser.Config) (ok *msg.Response, p *browser.Peer, end func()) {
	w.t.Helper()
	host := w.hosts[at]
	if host == nil {
		host = w.net.Host(at)
	}
	var err error
	if c.Conn, err = host.ListenUDP(netip.AddrPortFrom(at, 40000)); err != nil {
		w.t.Fatal(err)
	}
	if p, err = browser.New(c); err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = p.Run(ctx) })
	w.carrier.invite("web", w.carrier.sdp)
	in := w.fra.request(msg.INVITE)
	answer, err := p.Answer(in.Body())
	if err != nil {
		w.t.Fatalf("%v\n%s", err, in.Body())
	}
	w.fra.reply(in, 200, string(answer))
	w.fra.request(msg.ACK)
	ok = w.carrier.status(200)
	w.carrier.within(ok, "ACK", 1, "")
	synctest.Wait()
	return ok, p, func() { cancel(); wg.Wait() }
}

// TestACallOfABrowser: keys are made, the call lasts, and the receipt names their suite.
func TestACallOfABrowser(t *testing.T) {
	run(t, webGroup, func(w *world) {
		ok, p, end := w.web(fraAddr.Addr(), browser.Config{ICE: true, Trickle: true})
		defer end()
		time.Sleep(20 * time.Second)
		if st := p.Stats(); st.Handshakes != 1 || st.Err != nil || st.Sent < 900 {
			t.Errorf("%+v", st)
		}
		w.end(ok, 2)
		r := w.receipt()
		suite := ""
		for _, h := range r.Hops {
			if h.Plane == "media" && h.Leg == "b" && h.SRTP != nil {
				suite = h.SRTP.Suite
			}
		}
		if suite != string(media.AEAD_AES_256_GCM) || len(entries[audit.MediaUnkeyed](w, audit.KindMediaUnkeyed)) != 0 {
			t.Errorf("suite %q", suite)
		}
		for _, q := range r.Outcome.Quality {
			if q.Leg == "b" && q.Packets < 900 {
				t.Errorf("%+v", q)
			}
		}
	})
}

// TestACallWithoutKeysEnds: the entry with its reason comes first, both sides hear BYE; nothing goes to a place that is held, whatever checks come from there.
func TestACallWithoutKeysEnds(t *testing.T) {
	held := netip.MustParseAddr("10.66.0.9")
	for name, c := range map[string]struct {
		at     netip.Addr
		conf   browser.Config
		reason string
	}{
		"another certificate":  {fraAddr.Addr(), browser.Config{ICE: true, Trickle: true, Forged: true}, "fingerprint"},
		"silence":              {fraAddr.Addr(), browser.Config{ICE: true, Trickle: true, Mute: true}, "timeout"},
		"a place that is held": {held, browser.Config{ICE: true, Trickle: true}, "unreachable"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, webGroup, func(w *world) {
				_, p, end := w.web(c.at, c.conf)
				defer end()
				began := time.Now()
				for _, q := range []*peer{w.fra, w.carrier} {
					bye := q.request(msg.BYE)
					if h := bye.GetHeader("Reason"); h == nil || h.Value() != `Q.850;cause=41;text="no keys for media"` {
						t.Errorf("%s: %v", q.name, h)
					}
					q.reply(bye, 200, "")
				}
				if d := time.Since(began); d > 20*time.Second {
					t.Errorf("after %v", d)
				}
				r := w.receipt()
				e := entries[audit.MediaUnkeyed](w, audit.KindMediaUnkeyed)
				if len(e) != 1 || e[0].Reason != c.reason || e[0].Leg != "b" || e[0].Party != "fra" || !e[0].Bare || !e[0].Ends || e[0].CallRef == "" || e[0].T.IsZero() {
					t.Errorf("%+v", e)
				}
				if r.Outcome.EndedBy != byEdge || r.Outcome.Cause != "no keys for media" || p.Stats().Heard != 0 {
					t.Errorf("%+v", r.Outcome)
				}
				w.mu.Lock()
				defer w.mu.Unlock()
				there, from := 0, 0
				for _, pk := range w.packets {
					if pk.From.Addr() == edgeAddr.Addr() && pk.To.Addr() == held {
						there++
					}
					if pk.From.Addr() == held {
						from++
					}
				}
				if there != 0 || (from > 0) != (c.at == held) {
					t.Errorf("%d datagrams went to a place that is held, %d came from there", there, from)
				}
			})
		})
	}
}

// TestACallForHelpIsNotEndedForItsKeys: it goes on, and the log says that it has none.
func TestACallForHelpIsNotEndedForItsKeys(t *testing.T) {
	run(t, webGroup, func(w *world) {
		plan := w.plan
		w.plan = func(r routing.Request) routing.Plan {
			p := plan(r)
			p.Purpose = sovereign.EmergencyCall
			return p
		}
		ok, _, end := w.web(fraAddr.Addr(), browser.Config{ICE: true, Trickle: true, Forged: true})
		defer end()
		time.Sleep(time.Minute)
		if e := entries[audit.MediaUnkeyed](w, audit.KindMediaUnkeyed); len(e) != 1 || e[0].Ends {
			t.Errorf("%+v", e)
		}
		w.end(ok, 2)
	})
}

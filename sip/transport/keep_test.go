package transport

import (
	"errors"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// pingPeer is a server that counts pings and answers them while it is told to.
type pingPeer struct {
	net.Conn
	pings   atomic.Int64
	answers atomic.Bool
}

func (p *pingPeer) run() {
	b := make([]byte, 100)
	for {
		n, err := p.Read(b)
		if err != nil {
			return
		}
		p.pings.Add(int64(n / 4))
		if p.answers.Load() {
			p.Write([]byte("\r\n"))
		}
	}
}

// Conforms: RFC 5626 section 3.5.1; RFC 5626 section 4.4.1
func TestAPingWithoutItsPongLosesTheFlow(t *testing.T) {
	for name, c := range map[string]struct {
		keep            Keepalive
		answers, stops  bool
		pings           bool
		lost            bool
		least, atLatest time.Duration
	}{
		"a peer that answers":                    {keep: KeepStrict, answers: true, pings: true},
		"a peer that never answers":              {keep: KeepStrict, pings: true, lost: true, least: 30 * time.Second, atLatest: 35*time.Second + 20*time.Millisecond},
		"a peer that need not answer":            {keep: KeepAuto, pings: true},
		"a peer that answered once and then not": {keep: KeepAuto, answers: true, stops: true, pings: true, lost: true, least: time.Minute, atLatest: 2 * time.Minute},
		"no pings":                               {keep: KeepOff},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { w.config.Keep = func(Flow) Keepalive { return c.keep } }, func(w *world) {
				ln, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5060))
				defer ln.Close()
				begin := time.Now()
				if err := w.l.Warm(w.t.Context(), w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060))); err != nil {
					t.Fatal(err)
				}
				nc, _ := ln.Accept()
				p := &pingPeer{Conn: nc}
				p.answers.Store(c.answers)
				defer p.Close()
				go p.run()
				time.Sleep(time.Minute)
				if c.stops {
					w.settle()
					p.answers.Store(false)
				}
				time.Sleep(2 * time.Minute)
				lost := w.losses()
				if (p.pings.Load() > 0) != c.pings || (len(lost) > 0) != c.lost {
					t.Fatalf("%d pings, lost %v", p.pings.Load(), lost)
				}
				if !c.lost {
					return
				}
				if at := lost[0].at.Sub(begin); at < c.least || at > c.atLatest || !errors.Is(lost[0].err, ErrGone) {
					t.Errorf("lost after %s: %v", at, lost[0].err)
				}
			})
		})
	}
}

// Whatever else comes shows that the flow is alive: a peer that speaks SIP and no CRLF is not given up.
func TestAMessageIsAsGoodAsAPong(t *testing.T) {
	inWorld(t, func(w *world) { w.config.Keep = func(Flow) Keepalive { return KeepStrict } }, func(w *world) {
		ln, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5060))
		defer ln.Close()
		if err := w.l.Warm(w.t.Context(), w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060))); err != nil {
			t.Fatal(err)
		}
		nc, _ := ln.Accept()
		defer nc.Close()
		go (&pingPeer{Conn: nc}).run()
		for i := range 60 {
			time.Sleep(5 * time.Second)
			nc.Write([]byte(message("OPTIONS", i+1, "", "")))
		}
		if lost := w.losses(); len(lost) != 0 {
			t.Errorf("lost %v", lost)
		}
	})
}

// A peer that wants more pings gets them, from then on and for the life of the connection, and not sooner one after another than an answer is due.
//
// Conforms: RFC 6223 section 5
func TestAPeerAsksForMorePings(t *testing.T) {
	for name, c := range map[string]struct {
		keep     Keepalive
		asked    []time.Duration
		min, max int64 // pings in five minutes
	}{
		"nothing":              {asked: nil, min: 12, max: 15},
		"less than ours":       {asked: []time.Duration{15 * time.Second}, min: 20, max: 25},
		"more than ours":       {asked: []time.Duration{time.Hour}, min: 12, max: 15},
		"less, then more":      {asked: []time.Duration{15 * time.Second, 20 * time.Second}, min: 20, max: 25},
		"a flood":              {asked: []time.Duration{time.Second}, min: 29, max: 30},
		"of who does not ping": {keep: KeepOff, asked: []time.Duration{15 * time.Second}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) { w.config.Keep = func(Flow) Keepalive { return c.keep } }, func(w *world) {
				ln, _ := w.peer.ListenTCP(netip.AddrPortFrom(peerAddr, 5060))
				defer ln.Close()
				f := w.flow(TCP, netip.AddrPortFrom(peerAddr, 5060))
				w.l.KeepEvery(f, time.Second) // there is no connection yet
				if err := w.l.Warm(w.t.Context(), f); err != nil {
					t.Fatal(err)
				}
				nc, _ := ln.Accept()
				p := &pingPeer{Conn: nc}
				p.answers.Store(true)
				defer p.Close()
				go p.run()
				for _, d := range c.asked {
					w.l.KeepEvery(f, d)
					w.settle()
				}
				time.Sleep(5*time.Minute + 100*time.Millisecond)
				if n := p.pings.Load(); n < c.min || n > c.max {
					t.Errorf("%d pings in five minutes, want %d to %d", n, c.min, c.max)
				}
			})
		})
	}
}

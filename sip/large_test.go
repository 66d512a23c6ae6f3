package sip

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/internal/vnet"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// byTCP lets large requests to fra go by TCP, with a header that makes them large.
func byTCP(c *Config) {
	for i := range c.Parties {
		c.Parties[i].Headers = []string{"X-Long"}
	}
	partyOf(c, "fra").LargeByTCP = true
	partyOf(c, "fra").Messages = []string{"text/plain"}
}

var long = "X-Long: " + strings.Repeat("x", 1300)

// syns counts the attempts to connect to an address.
func (w *world) syns(to netip.AddrPort) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.packets {
		if p.Proto == "tcp" && p.Kind == vnet.SYN && p.To == to {
			n++
		}
	}
	return n
}

// fraTCP takes connections at the address of fra.
func (w *world) fraTCP() net.Listener {
	w.t.Helper()
	ln, err := w.fraHost().ListenTCP(fraAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = ln.Close() })
	return ln
}

func (w *world) taken(ln net.Listener) *stream {
	w.t.Helper()
	nc, err := ln.Accept()
	if err != nil {
		w.t.Fatal(err)
	}
	return &stream{w.t, nc, bufio.NewReader(nc)}
}

// A request that is too large for UDP goes by TCP to the address that was judged; what is small stays with UDP, and the answer goes back to the caller by UDP.
//
// Conforms: RFC 3261 section 18.1.1
func TestLargeRequestsGoByTCP(t *testing.T) {
	run(t, byTCP, func(w *world) {
		ln := w.fraTCP()
		w.carrier.invite("large", w.carrier.sdp, long)
		s := w.taken(ln)
		defer s.nc.Close()
		in := s.read().(*msg.Request)
		if v := in.Via(); in.Method != msg.INVITE || v.Transport != "TCP" || v.Host != "10.0.0.1" || v.Port != 5060 || !strings.Contains(in.String(), long) {
			t.Errorf("by TCP came\n%s", in)
		}
		s.write(rawReply(w.fra, in, 200, w.fra.sdp, long))
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		if !strings.Contains(ok.String(), long) {
			t.Error("a large response did not go as its request came")
		}
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.carrier.within(ok, "INFO", 2, "", "X-Long: short")
		w.fra.reply(w.fra.request(msg.INFO), 200, "")
		w.carrier.status(200)
		tones := w.carrier.compose("INFO", ok.Contact().Address.String(), "large", 3, ok.To().Params.GetOr("tag", ""), "Signal=1\r\n"+long)
		w.carrier.write(strings.Replace(tones, "application/sdp", "application/dtmf-relay", 1))
		info := s.read().(*msg.Request)
		if info.Method != msg.INFO || !strings.Contains(string(info.Body()), long) {
			t.Errorf("by TCP came\n%s", info)
		}
		s.write(rawReply(w.fra, info, 200, ""))
		w.carrier.status(200)
		w.end(ok, 4)
		if n := w.syns(fraAddr); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
	})
	run(t, func(c *Config) { byTCP(c); partyOf(c, "fra").LargeByTCP = false }, func(w *world) {
		ln := w.fraTCP()
		w.carrier.invite("fragments", w.carrier.sdp, long)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
		if n := w.syns(fraAddr); n != 0 || in.Via().Transport != "UDP" {
			t.Errorf("%d connections", n)
		}
		_ = ln.Close()
	})
}

// Where nothing takes a connection the request goes by UDP at once, the target counts as well as before, and no connection is tried for five minutes.
//
// Conforms: RFC 3261 section 18.1.1
func TestLargeRequestsWithoutTCP(t *testing.T) {
	run(t, byTCP, func(w *world) {
		for i, want := range []int{1, 1, 2} {
			if i == 2 {
				time.Sleep(narrowFor)
			}
			start := time.Now()
			id := fmt.Sprint("none", i)
			w.carrier.invite(id, w.carrier.sdp, long)
			in := w.fra.request(msg.INVITE)
			if took := time.Since(start); took > 100*time.Millisecond || in.Via().Transport != "UDP" {
				t.Errorf("by %s after %v", in.Via().Transport, took)
			}
			w.fra.reply(in, 486, "")
			w.fra.request(msg.ACK)
			w.carrier.acknowledge(id, w.carrier.status(486))
			if n := w.syns(fraAddr); n != want {
				t.Errorf("call %d: %d attempts to connect, want %d", i, n, want)
			}
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, o := range w.outcomes {
			if !o.Alive {
				t.Errorf("the target is told as dead: %+v", o)
			}
		}
	})
}

// The connection rests on a pass of its own: where the policy permits the address no more, not even a SYN goes out.
func TestLargeRequestsAreFenced(t *testing.T) {
	run(t, byTCP, func(w *world) {
		pass, _ := w.fence.Pass(sovereign.Ask{Party: "fra", Plane: sovereign.Signalling, Addr: fraAddr, At: time.Now()})
		f, err := w.edge.tl.Flow(transport.Dest{Proto: transport.UDP, Addr: fraAddr, Party: "fra", Pass: pass})
		if err != nil {
			t.Fatal(err)
		}
		if wide, ok := w.edge.wide(f); !ok || wide.Proto() != transport.TCP || wide.Remote() != fraAddr || wide.Pass() == f.Pass() {
			t.Errorf("a permitted address: %v %v", wide.Key(), ok)
		}
		ok, _ := w.up("fenced")
		before := w.fence.Snapshot()
		w.fence.Swap(nil)
		if _, ok := w.edge.wide(f); ok {
			t.Error("a denied address got a flow")
		}
		w.carrier.within(ok, "INVITE", 2, w.carrier.sdp, long)
		time.Sleep(time.Second)
		if n := w.syns(fraAddr); n != 0 {
			t.Errorf("%d attempts to connect", n)
		}
		w.fence.Swap(before)
		time.Sleep(2 * time.Minute)
	})
}

// A large message in pager mode goes by TCP or not at all.
//
// Conforms: RFC 3428 section 8
func TestLargeMessagesGoByTCP(t *testing.T) {
	for _, listens := range []bool{true, false} {
		run(t, byTCP, func(w *world) {
			page := func(id string) {
				raw := w.carrier.compose("MESSAGE", "sip:+4930123@edge.example", id, 1, "", strings.Repeat("x", 1250), "Y: z")
				w.carrier.write(strings.Replace(raw, "application/sdp", "text/plain", 1))
			}
			w.hops = w.hops[:1]
			if !listens {
				for i := range 2 {
					page(fmt.Sprint("none", i))
					w.carrier.status(513)
				}
				w.fra.silent(time.Minute)
				if n := w.syns(fraAddr); n != 1 || len(w.outcomes) != 0 {
					t.Errorf("%d attempts to connect, and health was told %+v", n, w.outcomes)
				}
				return
			}
			ln := w.fraTCP()
			page("only")
			s := w.taken(ln)
			defer s.nc.Close()
			req := s.read().(*msg.Request)
			if req.Method != msg.MESSAGE || req.Via().Transport != "TCP" || len(req.Body()) != 1250 {
				t.Errorf("by TCP came\n%s", req)
			}
			s.write(rawReply(w.fra, req, 200, ""))
			w.carrier.status(200)
			time.Sleep(time.Minute)
		})
	}
}

package sip

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

const swissLaw = "2000/518/EC"

// strike suspends Switzerland's instrument now; what runs gets a leave for so long, with media or for words alone.
func (w *world) strike(leave time.Duration, media bool) {
	now := time.Now()
	w.fence.Swap(w.fence.Snapshot().WithStrikes([]sovereign.Suspension{{Instrument: swissLaw, Since: now}},
		[]sovereign.Leave{{Cause: swissLaw, From: now, Until: now.Add(leave), Media: media}}, nil))
}

// inZurich establishes a call from the carrier to Zurich, and gives the sockets of its two far ends' media with the edge's addresses for them.
func (w *world) inZurich() (ok *msg.Response, in *msg.Request, near, far sovereign.UDPConn, toNear, toFar netip.AddrPort) {
	w.t.Helper()
	w.hops = []routing.Hop{w.hop("zrh", zrhAddr), w.hop("fra", fraAddr)}
	near, far = w.mediaOf(w.carrier), w.mediaOf(w.zrh)
	w.carrier.invite("struck", w.carrier.sdp)
	in = w.zrh.request(msg.INVITE)
	w.zrh.reply(in, 200, w.zrh.sdp)
	w.zrh.request(msg.ACK)
	ok = w.carrier.status(200)
	w.carrier.within(ok, "ACK", 1, "")
	time.Sleep(time.Second)
	synctest.Wait()
	return ok, in, near, far, mediaAddr(w.t, ok.Body()), mediaAddr(w.t, in.Body())
}

// afterwards is what still goes to a place from now on, until d later: how many datagrams, and when the last one left.
func (w *world) afterwards(place netip.Addr, d time.Duration) (n int, last time.Duration) {
	w.mu.Lock()
	w.packets = nil
	w.mu.Unlock()
	from := time.Now()
	time.Sleep(d)
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.packets {
		if p.To.Addr() == place && p.From.Addr() == edgeAddr.Addr() {
			n++
			last = p.At.Sub(from)
		}
	}
	return n, last
}

// mediaAddr is where a description wants media: of the edge, which has one address.
func mediaAddr(t *testing.T, sdp []byte) netip.AddrPort {
	t.Helper()
	_, rest, _ := strings.Cut(string(sdp), "m=audio ")
	port, _, _ := strings.Cut(rest, " ")
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatalf("no port in\n%s", sdp)
	}
	return netip.AddrPortFrom(edgeAddr.Addr(), uint16(n))
}

func (w *world) mediaOf(p *peer) sovereign.UDPConn {
	w.t.Helper()
	c, err := w.hosts[p.at.Addr()].ListenUDP(netip.AddrPortFrom(p.at.Addr(), 30000))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

// talk sends a packet each 20 ms from both ends for d and counts what arrives at each.
func (w *world) talk(d time.Duration, near, far sovereign.UDPConn, toNear, toFar netip.AddrPort) (atNear, atFar int) {
	w.t.Helper()
	for i := range int(d / (20 * time.Millisecond)) {
		pkt := []byte{0x80, 8, byte(i >> 8), byte(i), 0, 0, byte(i >> 8), byte(i), 1, 2, 3, 4, 0xd5, 0xd5}
		_, _ = near.WriteToUDPAddrPort(pkt, toNear)
		_, _ = far.WriteToUDPAddrPort(pkt, toFar)
		time.Sleep(20 * time.Millisecond)
		synctest.Wait()
	}
	return drain(near), drain(far)
}

func drain(c sovereign.UDPConn) (n int) {
	b := make([]byte, 2048)
	for {
		_ = c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if k, _, err := c.ReadFromUDPAddrPort(b); err != nil {
			return n
		} else if k >= 12 && b[1]&0x7f == 8 {
			n++
		}
	}
}

// By default a running call ends at once: both ends get their BYE, media stops that instant, and after the last word nothing goes there, whatever comes from there.
func TestAStruckCallEndsAtOnce(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in, near, far, toNear, toFar := w.inZurich()
		if a, b := w.talk(time.Second, near, far, toNear, toFar); a < 45 || b < 45 {
			t.Fatalf("%d and %d packets before", a, b)
		}
		struckAt := time.Now()
		w.strike(750*time.Millisecond, false)
		bye := w.zrh.request(msg.BYE)
		if took := time.Since(struckAt); took > 50*time.Millisecond {
			t.Errorf("the BYE took %v", took)
		}
		w.zrh.reply(bye, 200, "")
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		_, _ = near.WriteToUDPAddrPort([]byte{0x80, 8, 9, 9, 0, 0, 9, 9, 1, 2, 3, 4, 0xd5}, toNear)
		w.zrh.inside(in, "BYE", 7, "") // crossed on the way, and sent again
		if n, last := w.afterwards(zrhAddr.Addr(), 10*time.Second); n > 0 {
			t.Errorf("%d datagrams, the last %v later", n, last)
		}
		if n := drain(far); n != 0 {
			t.Errorf("%d packets reached the struck place", n)
		}
		_ = ok
		r := w.receipt()
		if len(r.Struck) != 1 || r.Struck[0].Cause != swissLaw || r.Struck[0].How != "ended" || r.Struck[0].Party != "zrh" || r.Struck[0].Leg != "b" || r.Outcome.EndedBy != "edge" {
			t.Errorf("%+v, %+v", r.Struck, r.Outcome)
		}
	})
}

// A BYE that nobody answers is repeated within the moment, and not beyond it.
func TestTheLastWordIsBounded(t *testing.T) {
	run(t, nil, func(w *world) {
		w.inZurich()
		w.strike(750*time.Millisecond, false)
		n, last := w.afterwards(zrhAddr.Addr(), 40*time.Second)
		if n != 2 || last > 750*time.Millisecond {
			t.Errorf("%d datagrams, the last %v later", n, last)
		}
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
	})
}

// finish: the running session goes on, to where it was and nowhere else, until its end or the end of the leave; nothing new begins.
func TestAStruckCallMayFinish(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in, near, far, toNear, toFar := w.inZurich()
		_, _ = w.talk(200*time.Millisecond, near, far, toNear, toFar)
		w.strike(time.Hour, true)
		if a, b := w.talk(2*time.Second, near, far, toNear, toFar); a < 95 || b < 95 {
			t.Errorf("%d and %d packets after the strike", a, b)
		}
		fresh := w.carrier.invite("new", w.carrier.sdp) // a new call goes elsewhere
		w.fra.reply(w.fra.request(msg.INVITE), 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
		w.carrier.write(strings.NewReplacer("INVITE sip:", "ACK sip:", "1 INVITE", "1 ACK").Replace(fresh))
		w.zrh.invite("from there", w.zrh.sdp) // and none is taken from there
		w.zrh.silent(2 * time.Second)
		w.zrh.inside(in, "INVITE", 2, w.zrh.sdp) // a refresh is of the session
		w.zrh.status(200)
		w.zrh.inside(in, "ACK", 2, "")
		moved := bytes.ReplaceAll([]byte(w.zrh.sdp), []byte("30000"), []byte("31000")) // media that moves inside the struck place is not
		raw := w.zrh.inside(in, "INVITE", 3, string(moved))
		w.zrh.status(488)
		w.zrh.write(strings.NewReplacer("INVITE sip:", "ACK sip:", "3 INVITE", "3 ACK").Replace(raw))
		if a, b := w.talk(time.Second, near, far, toNear, toFar); a < 45 || b < 45 {
			t.Errorf("%d and %d packets after a refused move", a, b)
		}
		w.zrh.inside(in, "BYE", 4, "")
		w.zrh.status(200)
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		time.Sleep(time.Second)
		synctest.Wait()
		for _, r := range entries[audit.Receipt](w, audit.KindReceipt) {
			if r.Outcome.SIPFinal == 200 && (len(r.Struck) != 1 || r.Struck[0].How != "finished" || r.Struck[0].Until.IsZero() || r.Outcome.EndedBy != "b" || r.Overall != "compliant") {
				t.Errorf("%+v, %+v", r.Struck, r.Outcome)
			}
		}
		_ = ok
	})
}

// The leave of a call that does not end by itself ends it: BYE in its last words, and then nothing.
func TestALeaveEndsItsCalls(t *testing.T) {
	run(t, nil, func(w *world) {
		_, _, near, far, toNear, toFar := w.inZurich()
		_, _ = w.talk(200*time.Millisecond, near, far, toNear, toFar)
		from := time.Now()
		w.strike(10*time.Second, true)
		if a, b := w.talk(5*time.Second, near, far, toNear, toFar); a < 240 || b < 240 {
			t.Errorf("%d and %d packets", a, b)
		}
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		if after := time.Since(from); after < 8*time.Second || after > 9200*time.Millisecond {
			t.Errorf("the BYE came %v after the strike", after)
		}
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		if n, last := w.afterwards(zrhAddr.Addr(), 40*time.Second); n > 0 {
			t.Errorf("%d datagrams, the last %v later", n, last)
		}
		if r := w.receipt(); len(r.Struck) != 1 || r.Struck[0].How != "ended" || r.Outcome.EndedBy != "edge" {
			t.Errorf("%+v, %+v", r.Struck, r.Outcome)
		}
	})
}

func reroutes(c *Config) {
	for i := range c.Parties {
		c.Parties[i].Reroute = c.Parties[i].Name == "zrh"
	}
}

// reroute: the struck leg gets its BYE, the caller keeps his call, and his media goes to the next permitted party.
func TestAStruckCallIsReRouted(t *testing.T) {
	run(t, reroutes, func(w *world) {
		ok, _, near, far, toNear, toFar := w.inZurich()
		_, _ = w.talk(200*time.Millisecond, near, far, toNear, toFar)
		w.plan = func(r routing.Request) routing.Plan { // as the router would: nobody in Zurich
			return routing.Plan{Route: "r", Direction: routing.Inbound, Trunk: "carrier", Hops: w.hops[1:], Purpose: r.Purpose, Digest: "d2", Generation: 2}
		}
		w.strike(750*time.Millisecond, false)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		in := w.fra.request(msg.INVITE)
		fra := w.mediaOf(w.fra)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		drain(near)
		drain(far)
		if a, b := w.talk(time.Second, near, fra, toNear, mediaAddr(t, in.Body())); a < 40 || b < 40 {
			t.Errorf("%d and %d packets with the new far end", a, b)
		}
		if n := drain(far); n != 0 {
			t.Errorf("%d packets reached the struck place", n)
		}
		if n, last := w.afterwards(zrhAddr.Addr(), 5*time.Second); n > 0 {
			t.Errorf("%d datagrams, the last %v later", n, last)
		}
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		r := w.receipt()
		if len(r.Struck) != 1 || r.Struck[0].How != "rerouted" || len(r.Transfers) != 1 || r.Transfers[0].How != "reroute" || r.Transfers[0].Result != "answered" || r.Outcome.EndedBy != "a" {
			t.Errorf("%+v, %+v, %+v", r.Struck, r.Transfers, r.Outcome)
		}
		for party, n := range map[string]int64{"carrier": 0, "fra": 0, "zrh": 0} {
			if got := w.edge.partyLoad(party).Load(); got != n {
				t.Errorf("%d calls of %s are counted", got, party)
			}
		}
	})
}

// Where nobody else may be called, or nobody answers, the call ends.
func TestAStruckCallWithNowhereToGoEnds(t *testing.T) {
	for name, play := range map[string]func(w *world){
		"no plan": func(w *world) {
			w.plan = func(r routing.Request) routing.Plan {
				return routing.Plan{Route: "r", Direction: routing.Inbound, Held: true, Purpose: r.Purpose}
			}
			w.strike(750*time.Millisecond, false)
			w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		},
		"busy": func(w *world) {
			w.plan = func(r routing.Request) routing.Plan {
				return routing.Plan{Route: "r", Direction: routing.Inbound, Hops: w.hops[1:], Purpose: r.Purpose}
			}
			w.strike(750*time.Millisecond, false)
			w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
			w.fra.reply(w.fra.request(msg.INVITE), 486, "")
			w.fra.request(msg.ACK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, reroutes, func(w *world) {
				w.t = t
				w.inZurich()
				play(w)
				w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
				if r := w.receipt(); len(r.Struck) != 1 || r.Struck[0].How != "ended" || len(r.Transfers) != 1 || r.Transfers[0].Result == "answered" || r.Outcome.EndedBy != "edge" {
					t.Errorf("%+v, %+v, %+v", r.Struck, r.Transfers, r.Outcome)
				}
			})
		})
	}
}

// A call that nobody answered yet is no running one: its INVITE is given up while CANCEL may still be sent, and the caller is called elsewhere.
func TestWhatRingsInAStruckPlaceIsGivenUp(t *testing.T) {
	run(t, nil, func(w *world) {
		w.hops = []routing.Hop{w.hop("zrh", zrhAddr), w.hop("fra", fraAddr)}
		w.carrier.invite("rings", w.carrier.sdp)
		in := w.zrh.request(msg.INVITE)
		w.zrh.reply(in, 180, "")
		w.carrier.status(180)
		time.Sleep(time.Second)
		w.strike(time.Hour, true)
		w.zrh.reply(w.zrh.request(msg.CANCEL), 200, "")
		w.zrh.reply(in, 487, "")
		w.zrh.request(msg.ACK)
		w.fra.reply(w.fra.request(msg.INVITE), 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
	})
}

// A call for help is no matter of the rule.
func TestACallForHelpStaysInAStruckPlace(t *testing.T) {
	run(t, nil, func(w *world) {
		w.plan = func(routing.Request) routing.Plan {
			h := w.hop("zrh", zrhAddr)
			return routing.Plan{Route: "r", Direction: routing.Inbound, Hops: []routing.Hop{h}, Purpose: sovereign.EmergencyCall, Digest: "d"}
		}
		ok, in, near, far, toNear, toFar := w.inZurich()
		w.strike(750*time.Millisecond, false)
		if a, b := w.talk(3*time.Second, near, far, toNear, toFar); a < 140 || b < 140 {
			t.Errorf("%d and %d packets", a, b)
		}
		_ = in
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		if r := w.receipt(); len(r.Struck) != 0 {
			t.Errorf("%+v", r.Struck)
		}
	})
}

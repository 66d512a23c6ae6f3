package sip

import (
	"bytes"
	"net/netip"
	"regexp"
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

// faxes lets both parties fax.
func faxes(c *Config) {
	for i := range c.Parties {
		c.Parties[i].Leg.T38 = true
	}
}

// imageOf is a description of the peer that faxes in the place of the audio.
func imageOf(p *peer) string {
	head, _, _ := strings.Cut(p.sdp, "m=audio")
	return head + "m=image 30000 udptl t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n"
}

// machine is the media of a peer.
type machine struct {
	w    *world
	conn sovereign.UDPConn
	to   netip.AddrPort
}

func (p *peer) machine() *machine {
	p.w.t.Helper()
	c, err := p.w.hosts[p.at.Addr()].ListenUDP(netip.AddrPortFrom(p.at.Addr(), 30000))
	if err != nil {
		p.w.t.Fatal(err)
	}
	p.w.t.Cleanup(func() { _ = c.Close() })
	return &machine{w: p.w, conn: c}
}

var imageLine = regexp.MustCompile(`m=image ([1-9][0-9]*) udptl t38\r\n`)

// told reads where the fax goes.
func (m *machine) told(body []byte) {
	m.w.t.Helper()
	at := imageLine.FindSubmatch(body)
	if at == nil || !bytes.Contains(body, []byte("a=T38FaxUdpEC:t38UDPRedundancy\r\n")) || bytes.Contains(body, []byte("secret")) {
		m.w.t.Fatalf("no fax is told:\n%s", body)
	}
	n, _ := strconv.Atoi(string(at[1]))
	m.to = netip.AddrPortFrom(edgeAddr.Addr(), uint16(n))
}

// sends says how many of n packets the other machine gets as they are.
func (m *machine) sends(o *machine, n int) (same int) {
	m.w.t.Helper()
	buf := make([]byte, 2048)
	for i := range n {
		b := append([]byte{0, byte(i), 10}, bytes.Repeat([]byte{byte(i)}, 12)...)
		if _, err := m.conn.WriteToUDPAddrPort(b, m.to); err != nil {
			m.w.t.Fatal(err)
		}
		_ = o.conn.SetReadDeadline(time.Now().Add(time.Second))
		if n, _, err := o.conn.ReadFromUDPAddrPort(buf); err == nil && bytes.Equal(buf[:n], b) {
			same++
		}
	}
	return same
}

// faxOn switches the call by a re-INVITE of the callee, as most gateways do.
func (w *world) faxOn(in *msg.Request, seq int, a, b *machine) {
	w.t.Helper()
	w.fra.inside(in, "INVITE", seq, imageOf(w.fra))
	re := w.carrier.request(msg.INVITE)
	a.told(re.Body())
	w.carrier.reply(re, 200, imageOf(w.carrier))
	w.carrier.request(msg.ACK)
	res := w.fra.status(200)
	b.told(res.Body())
	w.fra.inside(in, "ACK", seq, "")
	synctest.Wait()
}

// TestACallThatFaxes: it switches, is silent for longer than a dead call may be, switches back, and says in its records what it carried.
// Conforms: RFC 3362 section 3; RFC 3264 section 8.3
func TestACallThatFaxes(t *testing.T) {
	run(t, func(c *Config) { faxes(c); endDead(c) }, func(w *world) {
		ok, in := w.up("fax")
		a, b := w.carrier.machine(), w.fra.machine()
		w.faxOn(in, 1, a, b)
		if a.sends(b, 30) != 30 || b.sends(a, 7) != 7 {
			t.Error("the fax does not cross as it is")
		}
		time.Sleep(3 * time.Minute)
		if got := w.silences(); len(got) != 0 {
			t.Errorf("%q", got)
		}
		if a.sends(b, 1) != 1 {
			t.Error("the fax is over")
		}
		// A refresh within it is answered here.
		w.carrier.within(ok, "INVITE", 2, imageOf(w.carrier))
		a.told(w.carrier.status(200).Body())
		w.carrier.within(ok, "ACK", 2, "")
		w.fra.silent(100 * time.Millisecond)
		re, res := w.reoffer(ok, 3, w.carrier.sdp, w.fra.sdp)
		for _, b := range [][]byte{re.Body(), res.Body()} {
			if !bytes.Contains(b, []byte("AVP 8 101")) || bytes.Count(b, []byte("m=")) != 1 {
				t.Errorf("the audio behind it:\n%s", b)
			}
		}
		w.end(ok, 4)
		r := w.receipt()
		if q := r.Outcome.Quality; len(q) != 2 || q[0].FaxPackets != 31 || q[0].FaxBytes != 31*15 || q[0].FaxSent != 7 || q[1].FaxPackets != 7 || q[1].FaxSent != 31 || q[0].Packets != 0 {
			t.Errorf("%+v", q)
		}
		if e := entries[audit.CallEnded](w, audit.KindCallEnded); len(e) != 1 || len(e[0].Quality) != 2 || e[0].Quality[1].FaxSent != 31 {
			t.Errorf("%+v", e)
		}
		if r.Overall != "compliant" || r.Packets["DE"] == 0 {
			t.Errorf("%s %v", r.Overall, r.Packets)
		}
	})
}

// TestAFaxThatIsRefused: by the rule of a party, by the other side, by glare, and by the fence; the call goes on as it was.
// Conforms: RFC 3261 section 14.1; RFC 6141 section 3.1
func TestAFaxThatIsRefused(t *testing.T) {
	for name, tune := range map[string]func(*Config){"nobody faxes": nil, "the caller does not": func(c *Config) { c.Parties[1].Leg.T38 = true }, "the callee does not": func(c *Config) { c.Parties[0].Leg.T38 = true }} {
		t.Run(name, func(t *testing.T) {
			run(t, tune, func(w *world) {
				ok, in := w.up("nofax")
				closed := strings.Replace(imageOf(w.fra), "m=image", "m=audio 0 RTP/AVP 8\r\nm=image", 1)
				for i, offer := range []string{imageOf(w.fra), closed} {
					w.fra.inside(in, "INVITE", 1+i, offer)
					w.fra.status(488)
					w.fra.insideAck(in, 1+i)
				}
				w.carrier.silent(100 * time.Millisecond)
				w.carrier.within(ok, "INVITE", 2, w.carrier.sdp) // a mere refresh: all is as it was
				if res := w.carrier.status(200); !bytes.Contains(res.Body(), []byte("AVP 8 101")) {
					t.Errorf("%s", res.Body())
				}
				w.carrier.within(ok, "ACK", 2, "")
				w.end(ok, 3)
			})
		})
	}
	run(t, faxes, func(w *world) {
		ok, in := w.up("fax488")
		w.fra.inside(in, "INVITE", 1, imageOf(w.fra))
		w.carrier.reply(w.carrier.request(msg.INVITE), 488, "")
		w.carrier.request(msg.ACK)
		w.fra.status(488)
		w.fra.insideAck(in, 1)
		w.fra.inside(in, "INVITE", 2, strings.ReplaceAll(imageOf(w.fra), fraAddr.Addr().String(), "10.66.0.9"))
		w.fra.status(488)
		w.fra.insideAck(in, 2)
		w.carrier.silent(100 * time.Millisecond)
		// Both machines ask at once.
		w.fra.inside(in, "INVITE", 3, imageOf(w.fra))
		re := w.carrier.request(msg.INVITE)
		w.carrier.within(ok, "INVITE", 2, imageOf(w.carrier))
		res := w.carrier.status(491)
		w.carrier.write(reAck(w.carrier, ok, res, 2))
		w.carrier.reply(re, 200, imageOf(w.carrier))
		w.carrier.request(msg.ACK)
		w.fra.status(200)
		w.fra.inside(in, "ACK", 3, "")
		synctest.Wait()
		w.end(ok, 3)
	})
}

// TestACallThatBeginsWithAFax passes over a hop that takes none.
func TestACallThatBeginsWithAFax(t *testing.T) {
	run(t, func(c *Config) { c.Parties[0].Leg.T38, c.Parties[2].Leg.T38 = true, true }, func(w *world) {
		w.carrier.invite("faxcall", imageOf(w.carrier))
		in := w.zrh.request(msg.INVITE)
		if !imageLine.Match(in.Body()) {
			t.Errorf("%s", in.Body())
		}
		w.zrh.reply(in, 200, imageOf(w.zrh))
		w.zrh.request(msg.ACK)
		res := w.carrier.status(200)
		if !imageLine.Match(res.Body()) {
			t.Errorf("%s", res.Body())
		}
		w.carrier.within(res, "ACK", 1, "")
		w.carrier.within(res, "BYE", 2, "")
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		w.carrier.status(200)
		if r := w.receipt(); len(r.Attempts) != 2 || r.Attempts[0].Result != "no_codec" || r.Attempts[1].Party != "zrh" {
			t.Errorf("%+v", r.Attempts)
		}
	})
	run(t, func(c *Config) { c.Parties[0].Leg.T38 = true }, func(w *world) {
		w.plan = func(r routing.Request) routing.Plan {
			return routing.Plan{Route: "r", Direction: routing.Inbound, Trunk: "carrier", Hops: w.hops[:1], Purpose: r.Purpose, Digest: "d", Generation: 1}
		}
		w.carrier.invite("nofaxcall", imageOf(w.carrier))
		w.carrier.status(488)
	})
}

// TestAFaxOutlivesARestart of the process that has its call, and the call can go back to audio behind it.
func TestAFaxOutlivesARestart(t *testing.T) {
	outlive(t, faxes, func(w *lasting) {
		ok, in := w.up("restartfax")
		a, b := w.carrier.machine(), w.fra.machine()
		w.faxOn(in, 1, a, b)
		w.kill()
		w.again(nil)
		if a.sends(b, 5) != 5 || b.sends(a, 5) != 5 {
			t.Error("the fax does not go on")
		}
		re, _ := w.reoffer(ok, 2, w.carrier.sdp, w.fra.sdp)
		if !bytes.Contains(re.Body(), []byte("AVP 8 101")) {
			t.Errorf("%s", re.Body())
		}
		w.end(ok, 3)
	})
}

package media

import (
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// compound marshals what a far end reports.
func compound(t testing.TB, p ...rtcp.Packet) []byte {
	t.Helper()
	return ok(rtcp.Marshal(p))(t)
}

// reports opens and reads what came to a socket.
func (p *peer) reports(s *socket, in *inbound) []rtcp.Packet {
	p.t.Helper()
	var out []rtcp.Packet
	for _, b := range p.got(s) {
		if in != nil {
			b = ok(in.openRTCP(b))(p.t)
		}
		out = append(out, ok(rtcp.Unmarshal(b))(p.t)...)
	}
	return out
}

var aName = regexp.MustCompile(`^[0-9A-Za-z+/]{16}$`)

// Conforms: RFC 3550 section 6.4
func TestReportsCross(t *testing.T) {
	for _, mux := range []bool{false, true} {
		bubble(t, func(t *testing.T) { reportsCross(t, mux) })
	}
}

// reporting is a call of an SRTP side A, which may mux, and a plain side B, which does not.
type reporting struct {
	*talking
	mux   bool
	in    *inbound
	sock  *socket // where A's reports come and go
	index uint32
}

func newReporting(t *testing.T, mux bool) *reporting {
	t.Helper()
	n := newNetwork()
	c := &reporting{talking: &talking{bed: newBed(t, n.door), n: n}, mux: mux}
	c.a, c.b = newPeer(t, n, aliceAddr, 4000, AEAD_AES_128_GCM), newPeer(t, n, bobAddr, 5000, "")
	c.s = c.open(srtpLeg("carrier"))
	var extra []string
	if c.sock = c.a.rtcp; mux {
		extra, c.sock = append(extra, "a=rtcp-mux"), c.a.rtp
	}
	offer := ok(c.s.Offer(A, c.a.sdp(extra...), plainLeg("fra")))(t)
	c.b.reads(offer)
	answer := ok(c.s.Answer(B, c.b.sdp()))(t)
	c.a.reads(answer)
	if strings.Contains(string(offer), "rtcp-mux") != mux || strings.Contains(string(answer), "rtcp-mux") != mux {
		t.Fatalf("mux %v: %s%s", mux, offer, answer)
	}
	c.a.talk(3)
	c.b.talk(3)
	c.a.got(c.a.rtp)
	c.in = c.a.opener()
	return c
}

// send sends a report of p to the relay's RTP port, or to the one above.
func (c *reporting) send(p *peer, s *socket, above bool, b []byte) {
	to := p.to
	if p.ours != nil {
		c.index++
		b = refRTCP(c.t, *p.ours, b, c.index)
	}
	if above {
		p.to = netipPort(to, to.Port()+1)
	}
	p.from(s, b)
	p.to = to
}

func reportsCross(t *testing.T, mux bool) {
	c := newReporting(t, mux)
	a, b := c.a, c.b
	// A reports; B must get the same figures, but nobody's name.
	sr := &rtcp.SenderReport{
		SSRC: a.ssrc, NTPTime: 0x1122334455667788, RTPTime: 9, PacketCount: 3, OctetCount: 99, ProfileExtensions: []byte("leak"),
		Reports: []rtcp.ReceptionReport{{SSRC: b.ssrc, FractionLost: 3, TotalLost: 7, LastSequenceNumber: 5, Jitter: 6}},
	}
	names := &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: a.ssrc, Items: []rtcp.SourceDescriptionItem{
		{Type: rtcp.SDESCNAME, Text: "alice@10.0.0.1"}, {Type: rtcp.SDESName, Text: "Alice"},
	}}}}
	c.send(a, c.sock, !mux, compound(t, sr, names, &rtcp.ApplicationDefined{SSRC: a.ssrc, Name: "leak", Data: []byte("leak")}))
	raw := b.got(b.rtcp)
	if len(raw) != 1 || strings.Contains(string(raw[0]), "lice") || strings.Contains(string(raw[0]), "leak") {
		t.Fatalf("mux %v: B got %q", mux, raw)
	}
	got := ok(rtcp.Unmarshal(raw[0]))(t)
	x, isSR := got[0].(*rtcp.SenderReport)
	if !isSR || x.SSRC != a.ssrc || x.NTPTime != sr.NTPTime || x.PacketCount != 3 || len(x.Reports) != 1 || x.Reports[0] != sr.Reports[0] || len(got) != 2 {
		t.Errorf("B got %+v", got)
	}
	if d, isNames := got[1].(*rtcp.SourceDescription); !isNames || d.Chunks[0].Source != a.ssrc || !aName.MatchString(d.Chunks[0].Items[0].Text) {
		t.Errorf("B got %+v", got[1])
	}
	// B answers 100 ms later and says that it held the report for 60 of them.
	time.Sleep(100 * time.Millisecond)
	rr := &rtcp.ReceiverReport{SSRC: b.ssrc, Reports: []rtcp.ReceptionReport{{SSRC: a.ssrc, TotalLost: 2, LastSenderReport: 0x33445566, Delay: 65536 * 60 / 1000}}}
	c.send(b, b.rtcp, true, compound(t, rr, &rtcp.Goodbye{Sources: []uint32{b.ssrc}, Reason: "leak"}))
	got = a.reports(c.sock, c.in)
	if len(got) != 3 || got[0].(*rtcp.ReceiverReport).Reports[0] != rr.Reports[0] || got[2].(*rtcp.Goodbye).Reason != "" {
		t.Errorf("mux %v: A got %+v", mux, got)
	}
	r := c.s.Report()
	if rtt := r.Sides[B].RTT.Round(time.Millisecond); rtt != 40*time.Millisecond || r.Sides[B].TxLost != 2 || r.Sides[A].TxLost != 7 {
		t.Errorf("round trip %v, lost %d and %d", rtt, r.Sides[B].TxLost, r.Sides[A].TxLost)
	}
}

func TestReportsRefused(t *testing.T) {
	for _, mux := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			c := newReporting(t, mux)
			rr := compound(t, &rtcp.ReceiverReport{SSRC: 7})
			c.send(c.a, c.sock, !mux, rr)
			c.index-- // the same index again: a replay
			c.send(c.a, c.sock, !mux, rr)
			c.send(c.a, c.sock, mux, rr)                                             // on the other port
			c.send(c.b, c.b.rtcp, true, []byte{0x81, 201, 0, 9, 0, 0, 0, 0})         // longer than it is
			c.send(c.b, c.a.bind(netip.MustParseAddrPort("127.0.1.77:9")), true, rr) // a stranger's
			r := c.s.Report()
			if r.Sides[A].Refused != 2 || r.Sides[B].Refused != 2 || r.Sides[A].RxPackets != 3 || r.Sides[B].RxPackets != 3 {
				t.Errorf("mux %v: %+v", mux, r.Sides)
			}
			if got := len(c.b.got(c.b.rtcp)); got != 1 {
				t.Errorf("mux %v: B got %d reports", mux, got)
			}
		})
	}
}

// TestReportsFollowAliases: when a stream leaves under another SSRC, its reports do too, and what is said of it comes back under its own.
func TestReportsFollowAliases(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newTalking(t, plainLeg("carrier"), srtpLeg("fra"))
		for range 2 {
			c.a.ext = 1000
			c.a.talk(200)
		}
		in := c.b.opener()
		c.b.heard(in)
		toA, toB := c.a.to, c.b.to
		c.a.to = netipPort(toA, toA.Port()+1)
		c.a.from(c.a.rtcp, compound(t, &rtcp.SenderReport{SSRC: c.a.ssrc, NTPTime: 1 << 40}))
		got := c.b.reports(c.b.rtcp, in)
		if len(got) != 2 {
			t.Fatalf("%+v", got)
		}
		alias := got[0].(*rtcp.SenderReport).SSRC
		if alias == c.a.ssrc || len(in.live) != 2 || in.live[1] != alias {
			t.Errorf("the report names %x, the second stream is %x", alias, in.live[1])
		}
		rr := compound(t, &rtcp.ReceiverReport{SSRC: c.b.ssrc, Reports: []rtcp.ReceptionReport{{SSRC: alias}}})
		c.b.to = netipPort(toB, toB.Port()+1)
		c.b.from(c.b.rtcp, refRTCP(t, *c.b.ours, rr, 1))
		got = c.a.reports(c.a.rtcp, nil)
		if len(got) != 2 || got[0].(*rtcp.ReceiverReport).Reports[0].SSRC != c.a.ssrc {
			t.Errorf("%+v", got)
		}
		// A goodbye alone gets the report in front that RFC 3550 asks for.
		c.a.from(c.a.rtcp, compound(t, &rtcp.Goodbye{Sources: []uint32{c.a.ssrc}}))
		got = c.b.reports(c.b.rtcp, in)
		if len(got) != 3 || got[0].(*rtcp.ReceiverReport).SSRC != alias || got[2].(*rtcp.Goodbye).Sources[0] != alias {
			t.Errorf("%+v", got)
		}
	})
}

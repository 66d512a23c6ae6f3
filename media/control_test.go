package media

import (
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
			b = ok(in.openRTCP(make([]byte, maxPacket), b))(p.t)
		}
		out = append(out, ok(rtcp.Unmarshal(b))(p.t)...)
	}
	return out
}

func TestReportsCross(t *testing.T) {
	for _, mux := range []bool{false, true} {
		bubble(t, func(t *testing.T) { reportsCross(t, mux) })
	}
}

func reportsCross(t *testing.T, mux bool) {
	n := newNetwork()
	bed := newBed(t, n.listen)
	a, b := newPeer(t, n, aliceAddr, 4000, AEAD_AES_128_GCM), newPeer(t, n, bobAddr, 5000, "")
	s := bed.open(srtpLeg("carrier"))
	extra := []string{}
	if mux {
		extra = append(extra, "a=rtcp-mux")
	}
	offer := ok(s.Offer(A, a.sdp(extra...), plainLeg("fra")))(t)
	b.reads(offer)
	answer := ok(s.Answer(B, b.sdp()))(t) // B does not take mux, A may have it
	a.reads(answer)
	if strings.Contains(string(offer), "rtcp-mux") != mux || strings.Contains(string(answer), "rtcp-mux") != mux {
		t.Fatalf("mux %v: %s%s", mux, offer, answer)
	}
	a.talk(3)
	b.talk(3)
	a.got(a.rtp)
	aSock, aTo := a.rtcp, uint16(1)
	if mux {
		aSock, aTo = a.rtp, 0
	}
	in := a.opener()
	send := func(p *peer, sock *socket, up uint16, index uint32, b []byte) {
		to := p.to
		if p.ours != nil {
			b = refRTCP(t, *p.ours, b, index)
		}
		p.to = netipPort(to, to.Port()+up)
		p.from(sock, b)
		p.to = to
	}
	// A reports; B must get the same figures, but nobody's name.
	sr := &rtcp.SenderReport{
		SSRC: a.ssrc, NTPTime: 0x1122334455667788, RTPTime: 9, PacketCount: 3, OctetCount: 99, ProfileExtensions: []byte("leak"),
		Reports: []rtcp.ReceptionReport{{SSRC: b.ssrc, FractionLost: 3, TotalLost: 7, LastSequenceNumber: 5, Jitter: 6}},
	}
	names := &rtcp.SourceDescription{Chunks: []rtcp.SourceDescriptionChunk{{Source: a.ssrc, Items: []rtcp.SourceDescriptionItem{
		{Type: rtcp.SDESCNAME, Text: "alice@10.0.0.1"}, {Type: rtcp.SDESName, Text: "Alice"},
	}}}}
	send(a, aSock, aTo, 1, compound(t, sr, names, &rtcp.ApplicationDefined{SSRC: a.ssrc, Name: "leak", Data: []byte("leak")}))
	raw := b.got(b.rtcp)
	if len(raw) != 1 || strings.Contains(string(raw[0]), "lice") || strings.Contains(string(raw[0]), "leak") {
		t.Fatalf("mux %v: B got %q", mux, raw)
	}
	got := ok(rtcp.Unmarshal(raw[0]))(t)
	x, isSR := got[0].(*rtcp.SenderReport)
	if !isSR || x.SSRC != a.ssrc || x.NTPTime != sr.NTPTime || x.PacketCount != 3 || len(x.Reports) != 1 || x.Reports[0] != sr.Reports[0] || len(got) != 2 {
		t.Errorf("B got %+v", got)
	}
	if d, isNames := got[1].(*rtcp.SourceDescription); !isNames || d.Chunks[0].Source != a.ssrc || d.Chunks[0].Items[0].Text != s.cname[B] {
		t.Errorf("B got %+v", got[1])
	}
	// B answers 100 ms later and says that it held the report for 60 of them.
	time.Sleep(100 * time.Millisecond)
	rr := &rtcp.ReceiverReport{SSRC: b.ssrc, Reports: []rtcp.ReceptionReport{{SSRC: a.ssrc, TotalLost: 2, LastSenderReport: 0x33445566, Delay: 65536 * 60 / 1000}}}
	send(b, b.rtcp, 1, 0, compound(t, rr, &rtcp.Goodbye{Sources: []uint32{b.ssrc}, Reason: "leak"}))
	got = a.reports(aSock, in)
	if len(got) != 3 || got[0].(*rtcp.ReceiverReport).Reports[0] != rr.Reports[0] || got[2].(*rtcp.Goodbye).Reason != "" {
		t.Errorf("mux %v: A got %+v", mux, got)
	}
	r := s.Report()
	if rtt := r.Sides[B].RTT.Round(time.Millisecond); rtt != 40*time.Millisecond || r.Sides[B].TxLost != 2 || r.Sides[A].TxLost != 7 {
		t.Errorf("round trip %v, lost %d and %d", rtt, r.Sides[B].TxLost, r.Sides[A].TxLost)
	}
	// Refused: replayed, in the wrong place, broken.
	before := s.Report().Sides
	send(a, aSock, aTo, 1, compound(t, sr))
	send(a, aSock, 1-aTo, 2, compound(t, sr))
	send(b, b.rtcp, 1, 0, []byte{0x81, 201, 0, 9, 0, 0, 0, 0})
	send(b, b.rtp, 1, 0, compound(t, rr))
	after := s.Report().Sides
	if a, b := after[A].Refused-before[A].Refused, after[B].Refused-before[B].Refused; a != 2 || b < 1 {
		t.Errorf("mux %v: refused %d of A, %d of B", mux, a, b)
	}
	if r := s.Report(); r.Sides[A].RxPackets != 3 || r.Sides[B].RxPackets != 3 {
		t.Errorf("reports count as speech: %+v", r.Sides)
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
		if alias == c.a.ssrc || len(in.rtp.live) != 2 || in.rtp.live[1].ssrc != alias {
			t.Errorf("the report names %x, the second stream is %x", alias, in.rtp.live[1].ssrc)
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

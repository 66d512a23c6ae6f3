package media

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// feeding is what a peer says under a feedback profile, with the lines that belong to it.
func (p *peer) feeding(extra ...string) []byte {
	extra = append([]string{"a=rtcp-fb:* ccm fir", "a=rtcp-fb:8 nack"}, extra...)
	return []byte(strings.Replace(string(p.sdp(extra...)), "AVP ", "AVPF ", 1))
}

// Each profile meets each other one: both sides keep their own, no line of feedback crosses, and packets do.
//
// Conforms: RFC 5124 section 3.2; SAVPF beside AVP, AVPF and SAVP. RFC 3264 section 6; the answer has the profile of the offer
func TestEveryProfileMeetsEveryOther(t *testing.T) {
	for _, from := range []string{protoAVP, protoAVPF, protoSAVP, protoSAVPF} {
		for _, to := range []string{protoAVP, protoAVPF, protoSAVP, protoSAVPF} {
			t.Run(from+" to "+to, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					n := newNetwork()
					bed := newBed(t, n.door)
					leg := func(party, profile string) (Leg, Suite) {
						l := Leg{Party: party, Secure: true, Security: Plain, Feedback: strings.HasSuffix(profile, "F")}
						if strings.Contains(profile, "SAVP") {
							l.Security = SRTPRequired
							return l, AES_CM_128_HMAC_SHA1_80
						}
						return l, ""
					}
					legA, suite := leg("carrier", from)
					legB, _ := leg("fra", to)
					a, b := newPeer(t, n, aliceAddr, 4000, suite), newPeer(t, n, bobAddr, 5000, "")
					say := func(p *peer, l Leg) []byte {
						if l.Feedback {
							return p.feeding()
						}
						return p.sdp()
					}
					s := bed.open(legA)
					toB := ok(s.Offer(A, say(a, legA), legB))(t)
					b.picks(toB, 0)
					toA := ok(s.Answer(B, say(b, legB)))(t)
					a.reads(toA)
					if !strings.Contains(mediaLine(t, toB), " "+to+" ") || !strings.Contains(mediaLine(t, toA), " "+from+" ") || strings.Contains(string(toB)+string(toA), "rtcp-fb") {
						t.Errorf("told\n%s%s", toB, toA)
					}
					crossesAs(t, a, b, 8, 8)
					crossesAs(t, b, a, 8, 8)
				})
			})
		}
	}
}

// A side that takes RTP and RTCP on one port alone is offered so whatever the other side has, and who says so alone is taken at its word.
//
// Conforms: RFC 8858 section 4.2; rtcp-mux-only. RFC 8035 section 3; mux in the answer only where the offer has it, and toward each side by itself
func TestMuxOfOneSideAlone(t *testing.T) {
	const mux = "a=rtcp-mux\r\n"
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		to := plainLeg("fra")
		to.Mux = true
		s := bed.open(plainLeg("carrier"))
		toB := ok(s.Offer(A, a.sdp(), to))(t)
		b.reads(toB)
		toA := ok(s.Answer(B, b.sdp("a=rtcp-mux")))(t)
		a.reads(toA)
		if !strings.Contains(string(toB), mux) || strings.Contains(string(toA), mux) {
			t.Errorf("told\n%s%s", toB, toA)
		}
		reports(t, a, a.rtcp, netipPort(a.to, a.to.Port()+1), b, b.rtp)
		reports(t, b, b.rtp, b.to, a, a.rtcp)
	})
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		bed := newBed(t, n.door)
		a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
		s := bed.open(plainLeg("carrier"))
		toB := ok(s.Offer(A, a.sdp("a=rtcp-mux-only"), plainLeg("fra")))(t)
		b.reads(toB)
		toA := ok(s.Answer(B, b.sdp()))(t)
		a.reads(toA)
		if !strings.Contains(string(toA), mux) || strings.Contains(string(toB)+string(toA), "mux-only") {
			t.Errorf("told\n%s%s", toB, toA)
		}
		reports(t, a, a.rtp, a.to, b, b.rtcp)
		reports(t, b, b.rtcp, netipPort(b.to, b.to.Port()+1), a, a.rtp)
	})
}

// reports checks that a report of one peer comes to a socket of the other one.
func reports(t *testing.T, from *peer, by *socket, at netip.AddrPort, to *peer, to2 *socket) {
	t.Helper()
	to.got(to2)
	was := from.to
	from.to = at
	from.from(by, []byte{0x80, 201, 0, 1, 0, 0, 0, 7}) // a receiver report without blocks
	from.to = was
	if got := to.got(to2); len(got) != 1 || !isReport(got[0]) {
		t.Errorf("%d packets came to %s", len(got), to2.at)
	}
}

func isReport(b []byte) bool { return len(b) >= 8 && b[1] >= 200 && b[1] <= 201 }

// RTCP goes where RFC 3605 says, on a port that is no neighbour and to another host.
//
// Conforms: RFC 3605 section 2.1; the port, and the address where one is given
func TestReportsGoWhereTheAttributeSays(t *testing.T) {
	for name, attribute := range map[string]string{"port": "a=rtcp:4777", "port and host": "a=rtcp:4777 IN IP4 127.0.1.11"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newNetwork()
				bed := newBed(t, n.door)
				a, b := newPeer(t, n, aliceAddr, 4000, ""), newPeer(t, n, bobAddr, 5000, "")
				host := aliceAddr
				if strings.Contains(attribute, "IN") {
					host = netip.MustParseAddr("127.0.1.11")
				}
				far := a.bind(netip.AddrPortFrom(host, 4777))
				s := bed.open(plainLeg("carrier"))
				b.reads(ok(s.Offer(A, a.sdp(attribute), plainLeg("fra")))(t))
				a.reads(ok(s.Answer(B, b.sdp()))(t))
				reports(t, b, b.rtcp, netipPort(b.to, b.to.Port()+1), a, far)
				reports(t, a, far, netipPort(a.to, a.to.Port()+1), b, b.rtcp)
				if stray := a.got(a.rtcp); len(stray) != 0 {
					t.Errorf("%d packets to the neighbour", len(stray))
				}
			})
		})
	}
}

// One side speaks IPv4 and the other IPv6: each is told addresses of its own family, and one of the wrong family is refused.
func TestBothFamiliesInOneCall(t *testing.T) {
	six := netip.MustParseAddr("fd00::10")
	for _, first := range []Side{A, B} {
		t.Run(fmt.Sprint(first), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				n := newNetwork()
				bed := newBed(t, n.door)
				legs := [2]Leg{plainLeg("carrier"), plainLeg("fra")}
				at := [2]netip.Addr{aliceAddr, bobAddr}
				legs[first].Bind, at[first] = netip.MustParseAddr("fd00::1"), six
				a, b := newPeer(t, n, at[A], 4000, ""), newPeer(t, n, at[B], 5000, "")
				say := func(p *peer) []byte {
					if p.rtp.at.Addr().Is6() {
						return []byte(strings.ReplaceAll(string(p.sdp()), "IN IP4", "IN IP6"))
					}
					return p.sdp()
				}
				s := bed.open(legs[A])
				toB := ok(s.Offer(A, say(a), legs[B]))(t)
				b.reads(toB)
				toA := ok(s.Answer(B, say(b)))(t)
				a.reads(toA)
				for side, told := range map[Side][]byte{A: toA, B: toB} {
					want := "c=IN IP4 127.0.1.1\r\n"
					if side == first {
						want = "c=IN IP6 fd00::1\r\n"
					}
					if !strings.Contains(string(told), want) {
						t.Errorf("told\n%s", told)
					}
				}
				crossesAs(t, a, b, 8, 8)
				crossesAs(t, b, a, 8, 8)
			})
		})
	}
}

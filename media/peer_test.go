package media

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// peer is a far end whose every packet a test makes by hand. It lives on a network in memory, in a bubble.
type peer struct {
	t    testing.TB
	n    *network
	rtp  *socket
	rtcp *socket
	ours *crypto // its own key, nil for plain
	ssrc uint32
	ext  uint32
	to   netip.AddrPort // the relay's RTP port for it
	key  *crypto        // the relay's key for it
}

func newPeer(t testing.TB, n *network, at netip.Addr, port uint16, suite Suite) *peer {
	t.Helper()
	p := &peer{t: t, n: n, ssrc: random32(), ext: 1000}
	p.rtp = p.bind(netip.AddrPortFrom(at, port))
	p.rtcp = p.bind(netip.AddrPortFrom(at, port+1))
	if suite != "" {
		c := newCrypto("1", suite)
		p.ours = &c
	}
	return p
}

func (p *peer) bind(at netip.AddrPort) *socket {
	p.t.Helper()
	c, err := p.n.listen(at)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	return c.(*socket)
}

// sdp of the peer; extra lines come last.
func (p *peer) sdp(extra ...string) []byte {
	proto := "RTP/AVP"
	if p.ours != nil {
		proto = "RTP/SAVP"
		extra = append([]string{"a=crypto:" + p.ours.String()}, extra...)
	}
	a := p.rtp.at.Addr()
	return []byte(fmt.Sprintf("v=0\r\no=peer 7 7 IN IP4 %s\r\ns=peer\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d %s 8 101\r\n%s\r\n", a, a, p.rtp.at.Port(), proto,
		strings.Join(append([]string{"a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000"}, extra...), "\r\n")))
}

// reads takes what the relay says of itself.
func (p *peer) reads(text []byte) *peer {
	p.t.Helper()
	d, ref := parseSDP(text)
	if ref != nil {
		p.t.Fatal(ref)
	}
	for _, l := range d.lines {
		if l.port != 0 && l.audio() {
			p.to = l.addr
			if len(l.crypto) > 0 {
				p.key = &l.crypto[0]
			}
		}
	}
	return p
}

// picks answers with the suite of the n-th line that the relay offered.
func (p *peer) picks(text []byte, n int) *peer {
	p.t.Helper()
	p.reads(text)
	d, _ := parseSDP(text)
	for _, l := range d.lines {
		if len(l.crypto) > n {
			p.key = &l.crypto[n]
			c := newCrypto(p.key.tag, p.key.suite)
			p.ours = &c
		}
	}
	return p
}

// next is the peer's next packet, as it goes over the wire.
func (p *peer) next() []byte {
	p.ext++
	b := packet(p.ssrc, uint16(p.ext), p.ext*160, []byte(fmt.Sprintf("speech %d of %x", p.ext, p.ssrc)))
	if p.ours != nil {
		return refRTP(p.t, *p.ours, b, p.ext>>16)
	}
	return b
}

// talk sends n packets from the peer's own port.
func (p *peer) talk(n int) {
	for range n {
		p.from(p.rtp, p.next())
	}
}

func (p *peer) from(s *socket, b []byte) {
	p.t.Helper()
	if _, err := s.WriteToUDPAddrPort(b, p.to); err != nil {
		p.t.Fatal(err)
	}
	synctest.Wait()
}

// got empties a socket.
func (p *peer) got(s *socket) [][]byte {
	synctest.Wait()
	var out [][]byte
	for {
		select {
		case d := <-s.q:
			out = append(out, d.b)
		default:
			return out
		}
	}
}

// heard is what came to the RTP port, opened with the relay's key under the given opener.
func (p *peer) heard(in *inbound) []string {
	p.t.Helper()
	var out []string
	for _, b := range p.got(p.rtp) {
		if in != nil {
			var err error
			if b, err = in.openRTP(b); err != nil {
				p.t.Fatalf("what the relay sent: %v", err)
			}
		}
		out = append(out, string(b[12:]))
	}
	return out
}

func (p *peer) opener() *inbound {
	if p.key == nil {
		return nil
	}
	return opening(p.t, *p.key)
}

// talking is a call between two peers that is up.
type talking struct {
	*bed
	n    *network
	s    *Session
	a, b *peer
	legs [2]Leg
}

func newTalking(t *testing.T, aLeg, bLeg Leg) *talking {
	t.Helper()
	n := newNetwork()
	c := &talking{bed: newBed(t, n.door), n: n, legs: [2]Leg{aLeg, bLeg}}
	suite := Suite("")
	if aLeg.Security != Plain {
		suite = AES_CM_128_HMAC_SHA1_80
	}
	c.a = newPeer(t, n, aliceAddr, 4000, suite)
	c.b = newPeer(t, n, bobAddr, 5000, "")
	c.s = c.open(aLeg)
	c.b.picks(ok(c.s.Offer(A, c.a.sdp(), bLeg))(t), 0)
	c.a.reads(ok(c.s.Answer(B, c.b.sdp()))(t))
	return c
}

// hears says how many of the packets that one peer sends the other one gets.
func (c *talking) hears(from, to *peer, n int) int {
	to.got(to.rtp)
	from.talk(n)
	return len(to.got(to.rtp))
}

var versions = regexp.MustCompile(`(?m)^o=- (\d+) (\d+) `)

// origin gives session id and version of a description.
func origin(t testing.TB, b []byte) (id, version string) {
	t.Helper()
	m := versions.FindSubmatch(b)
	if m == nil {
		t.Fatalf("no origin in %s", b)
	}
	return string(m[1]), string(m[2])
}

func wait(d time.Duration) { time.Sleep(d); synctest.Wait() }

func netipPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}

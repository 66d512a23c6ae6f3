package plane

import (
	"bytes"
	"net/netip"
	"testing"

	"github.com/cordonsip/cordon/media/srtp"
)

// FuzzPacket has any datagram come on any lane of a leg, from its far end or from somewhere else: nothing panics, all of it is counted once, and with SRTP only
// what is authentic is taken.
func FuzzPacket(f *testing.F) {
	f.Add(byte(0), packet(1, 2, 3, []byte("speech")))
	f.Add(byte(1), report(1, 8))
	f.Add(byte(2), packet(1, 2, 3, make([]byte, 30)))
	f.Add(byte(7), []byte{0x80, 200, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81, 203, 0, 1, 0, 0, 0, 1})
	f.Add(byte(12), append([]byte{0xb1, 0x88}, make([]byte, 40)...))
	f.Add(byte(9), []byte{0x80, 201})
	f.Fuzz(func(t *testing.T, how byte, b []byte) {
		suite := []srtp.Suite{0, srtp.AES128CM80, srtp.AES256GCM, srtp.AES128CM32}[how&3]
		p := newBed(t, Config{})
		alice, bob := p.call(suite, srtp.AES128CM80)
		set := alice.set()
		set.Mux = how&4 != 0
		p.Set(set)
		p.Watch(alice.Ref, true)
		if how&8 != 0 {
			p.Join(alice.Ref, Ref{}) // to nobody
		}
		good := alice.next()
		alice.rtp.take(bytes.Clone(good), alice.at)
		s, at := alice.rtp, alice.at
		if how&16 != 0 {
			s, at = alice.rtcp, port(at, at.Port()+1)
		}
		if how&32 != 0 {
			at = netip.AddrPortFrom(at.Addr(), 9)
		}
		was, rtp, rtcp := p.read(alice.Ref), bob.rtp.sent, bob.rtcp.sent
		if was.Packets != 1 {
			t.Fatalf("the real packet is not taken: %+v", was)
		}
		for range 2 {
			s.take(b, at)
		}
		c := p.read(alice.Ref)
		taken := c.Packets - was.Packets + p.Totals().Control
		if suite != 0 && (taken != 0 || c.Reports != 0 || c.Peer != alice.at || bob.rtp.sent != rtp || bob.rtcp.sent != rtcp) {
			t.Fatalf("what nobody signed was taken: %+v", c)
		}
		if fits := uint64(2); len(b) < maxPacket && taken+c.Refused-was.Refused != fits {
			t.Fatalf("%d taken and %d refused of 2", taken, c.Refused-was.Refused)
		}
		if len(bob.rtp.last) > maxPacket+srtp.Overhead || len(bob.rtcp.last) > maxPacket+srtp.Overhead {
			t.Fatal("what leaves has no end")
		}
		if alice.crosses(bob, 1) != 1 && suite != 0 && how&8 == 0 {
			t.Fatal("the live stream suffers")
		}
	})
}

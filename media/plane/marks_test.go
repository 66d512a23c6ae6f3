package plane

import (
	"bytes"
	"testing"

	"github.com/cordonsip/cordon/media/srtp"
)

// TestOldPacketsOfAnotherStream: what a plane took of an SSRC that is not in use any more, RTP and RTCP, is not taken again by the plane after it, and that SSRC goes on where it was.
func TestOldPacketsOfAnotherStream(t *testing.T) {
	t.Run("the same memory", func(t *testing.T) { oldPackets(t, func(*bed, []byte, ...*end) {}) })
	t.Run("an export", func(t *testing.T) {
		oldPackets(t, func(b *bed, mem []byte, legs ...*end) {
			next := b.exported(legs...)
			clear(mem)
			copy(mem, next)
		})
	})
}

func oldPackets(t *testing.T, between func(one *bed, mem []byte, legs ...*end)) {
	mem := memory(10, 1)
	one := newBed(t, Config{Memory: mem})
	alice, bob := one.call(srtp.AES128CM80, 0)
	type place struct {
		ssrc uint32
		ext  uint64
	}
	var places []place
	var rtp, rtcp [][]byte
	for i := range uint32(maxMarks + 1) { // the last one is in use
		alice.ssrc, alice.ext = 0x7700+i, 65500
		for range 50 { // over the end of the numbers
			rtp = append(rtp, alice.next())
			alice.rtp.take(bytes.Clone(rtp[len(rtp)-1]), alice.at)
		}
		rtcp = append(rtcp, sealedRTCP(t, alice.in, report(alice.ssrc, 0), 100+i))
		alice.rtcp.take(bytes.Clone(rtcp[i]), port(alice.at, alice.at.Port()+1))
		places = append(places, place{alice.ssrc, alice.ext})
	}
	if c := one.read(alice.Ref); c.Packets != uint64(len(rtp)) || one.Totals().Control != uint64(len(rtcp)) {
		t.Fatalf("%d packets and %d reports of %d and %d were taken", c.Packets, one.Totals().Control, len(rtp), len(rtcp))
	}
	between(one, mem, alice, bob)
	two := newBed(t, Config{Memory: mem})
	a, z := alice.again(two), bob.again(two)
	two.Join(a.Ref, z.Ref)
	was := two.read(a.Ref)
	for _, b := range rtp {
		a.rtp.take(bytes.Clone(b), a.at)
	}
	for _, b := range rtcp {
		a.rtcp.take(bytes.Clone(b), port(a.at, a.at.Port()+1))
	}
	if c := two.read(a.Ref); c.Packets != was.Packets || two.Totals().Control != 0 || z.rtp.sent != 0 {
		t.Errorf("%d old packets and %d old reports were taken", c.Packets-was.Packets, two.Totals().Control)
	}
	for i, p := range places {
		a.ssrc, a.ext = p.ssrc, p.ext
		if a.crosses(z, 3) != 3 {
			t.Errorf("SSRC %x does not go on", p.ssrc)
		}
		a.rtcp.take(sealedRTCP(t, a.in, report(p.ssrc, 0), 200+uint32(i)), port(a.at, a.at.Port()+1))
	}
	if n := two.Totals().Control; n != uint64(len(places)) {
		t.Errorf("%d of %d reports were taken", n, len(places))
	}
}

// TestMarksAreOfOneKey: an SSRC that begins anew under another key is a new stream, and one that comes back with its key is marked again.
func TestMarksAreOfOneKey(t *testing.T) {
	b := newBed(t, Config{Memory: memory(10, 1)})
	alice, bob := b.call(srtp.AES128CM80, 0)
	first := alice.in
	alice.crosses(bob, 3)
	was := alice.ssrc
	alice.ssrc++
	alice.crosses(bob, 3)
	marked := func() (n int) {
		l, _ := b.worker(alice.Slot).leg(alice.Slot)
		for _, m := range l.left {
			if m.ssrc == was && m.rtp > 0 {
				n++
			}
		}
		return n
	}
	if marked() != 1 {
		t.Fatalf("%d marks of the stream that left", marked())
	}
	alice.in = newKey(srtp.AES128CM80)
	alice.seal = sealer(t, alice.in)
	b.Set(alice.set())
	alice.ssrc, alice.ext = was, 10
	if marked() != 0 || alice.crosses(bob, 3) != 3 {
		t.Error("a stream under another key is held against the mark of the former one")
	}
	alice.in = first
	b.Set(alice.set())
	if marked() != 1 {
		t.Errorf("%d marks under the key that came back", marked())
	}
}

// TestTheOldestMarkGoes: there is room for the SSRCs that left last.
func TestTheOldestMarkGoes(t *testing.T) {
	var m marks
	s := stream{on: true}
	m.put(&s, false) // nothing came
	for i := range uint32(maxMarks + 2) {
		s.ssrc = i + 1
		s.win.Take(uint64(i) + 70_000)
		m.put(&s, false)
		m.put(&s, true)
		m.put(&s, false) // again
	}
	for i, k := range m {
		if ssrc := uint32(maxMarks + 2 - i); k.ssrc != ssrc || k.rtp != uint64(ssrc)+70_000 || k.rtcp != ssrc+70_000 {
			t.Errorf("mark %d: %+v", i, k)
		}
	}
	if s := m.begins(1, false); s.win != (srtp.Window{}) {
		t.Error("a mark that has gone")
	}
	if s := m.begins(maxMarks+2, false); s.win.Fresh(uint64(maxMarks) + 70_001) {
		t.Error("the newest mark is none")
	}
}

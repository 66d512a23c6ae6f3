package plane

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"
	"unsafe"

	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// memory of so many slots, aligned as mapped memory is.
func memory(slots, workers int) []byte {
	n := Memory(slots, workers)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(make([]uint64, (n+7)/8)))), n)
}

// again opens a leg in another plane as its giver would, over other sockets.
func (e *end) again(b *bed) *end {
	n := *e
	n.rtp, n.rtcp = b.pair(n.Pair)
	b.Open(n.Open)
	b.Set(n.set())
	return &n
}

// exported gives a memory of another size with what a plane knows of its legs, and ends that plane.
func (b *bed) exported(legs ...*end) []byte {
	b.t.Helper()
	mem := memory(25, 1)
	x := b.Pause()
	for _, e := range legs {
		record, ok := x.Export(nil, e.Ref)
		if !ok {
			b.t.Fatalf("no leg %v", e.Ref)
		}
		if err := NewView(mem, 1).Import(e.Slot, record); err != nil {
			b.t.Fatal(err)
		}
	}
	x.End()
	return mem
}

// TestResume: a plane that takes over from one that died, or that told it all in another form, goes on with what that one counted, heard and sent.
func TestResume(t *testing.T) {
	t.Run("the same memory", func(t *testing.T) { resume(t, func(*bed, []byte, ...*end) {}) })
	t.Run("an export", func(t *testing.T) {
		resume(t, func(b *bed, mem []byte, legs ...*end) {
			next := b.exported(legs...)
			clear(mem)
			copy(mem, next)
		})
	})
}

func resume(t *testing.T, between func(one *bed, mem []byte, legs ...*end)) {
	mem := memory(10, 1)
	fence := sovereign.NewFence(europe(t), nil)
	one := newBed(t, Config{Memory: mem, Fence: fence})
	alice, bob := one.call(srtp.AES128CM80, srtp.AES256GCM)
	alice.ext = 65500
	if alice.crosses(bob, 10) != 10 {
		t.Fatal("the call is not up")
	}
	moved := netip.MustParseAddrPort("127.0.1.77:4000")
	alice.at = moved
	var last []byte
	for range 90 { // over the end of the numbers
		last = alice.next()
		alice.rtp.take(bytes.Clone(last), moved)
	}
	far := sealer(t, bob.out)
	if bob.rtp.sent != 100 {
		t.Fatal("the far end could not move")
	}
	reports := func(a, b *end, n uint32) []byte {
		a.rtcp.take(sealedRTCP(t, a.in, report(a.ssrc, 0), n), port(aliceAddr, aliceAddr.Port()+1))
		return bytes.Clone(b.rtcp.last)
	}
	before := reports(alice, bob, 5)
	was := one.read(alice.Ref)

	between(one, mem, alice, bob)
	two := newBed(t, Config{Memory: mem, Fence: fence})
	alice.at = aliceAddr // what its giver knows
	a, z := alice.again(two), bob.again(two)
	two.Join(a.Ref, z.Ref)
	if c := two.read(a.Ref); c.Packets != was.Packets || c.Bytes != was.Bytes || c.Peer != moved || c.First != was.First || c.Places != was.Places {
		t.Errorf("counters %+v, want %+v", c, was)
	}
	a.rtp.take(bytes.Clone(last), moved)
	if z.rtp.sent != 0 || two.read(a.Ref).Refused != was.Refused+1 {
		t.Error("what was heard before is no replay after")
	}
	if z.crosses(a, 1) != 1 || a.rtp.to != moved {
		t.Errorf("the latch is forgotten: what is sent goes to %v", a.rtp.to)
	}
	for range 20 {
		if !a.from(moved, z) {
			t.Fatal("a packet does not cross")
		}
		h, _ := ParseHeader(z.rtp.last)
		if h.SSRC != a.ssrc {
			t.Fatal("the stream goes on under another name")
		}
		// Counter 1 for bob, who heard the wrap.
		if _, ok := far.OpenRTP(make([]byte, 0, 500), z.rtp.last, 12, 1<<16|uint64(h.Seq)); !ok {
			t.Fatal("the rollover counter is lost")
		}
	}
	if c := two.read(a.Ref); c.Lost != 0 || c.Packets != was.Packets+20 {
		t.Errorf("%d lost of %d", c.Lost, c.Packets)
	}
	after := reports(a, z, 6)
	index := func(b []byte) uint32 { return binary.BigEndian.Uint32(b[len(b)-4:]) &^ (1 << 31) }
	if index(after) < index(before)+rtcpLeap {
		t.Errorf("the index of reports goes from %d to %d", index(before), index(after))
	}
	n := z.rtcp.sent
	if reports(a, z, 5); z.rtcp.sent != n {
		t.Error("a report that was heard before is taken after")
	}
}

// TestResumeUnderAnotherKey: what was negotiated while no plane was there counts; and nobody knows any more under which indexes an earlier key sent.
func TestResumeUnderAnotherKey(t *testing.T) {
	mem := memory(10, 1)
	one := newBed(t, Config{Memory: mem})
	alice, bob := one.call(srtp.AES128CM80, srtp.AES128CM80)
	early := bob.out
	alice.ext = 65500
	if alice.crosses(bob, 50) != 50 {
		t.Fatal("the call is not up")
	}
	two := newBed(t, Config{Memory: mem})
	alice.in, bob.out = newKey(srtp.AES128GCM), newKey(srtp.AES256GCM)
	alice.seal = sealer(t, alice.in)
	alice.ext &= 0xffff // a new key starts at 0
	a, z := alice.again(two), bob.again(two)
	two.Join(a.Ref, z.Ref)
	opens := func(k Key) bool {
		_, err := pion(t, k).DecryptRTP(nil, z.rtp.last, nil)
		return err == nil
	}
	if a.crosses(z, 5) != 5 || !opens(z.out) {
		t.Error("the new keys do not start at 0")
	}
	z.out = early
	two.Set(z.set())
	if a.crosses(z, 1) != 1 || binary.BigEndian.Uint32(z.rtp.last[8:]) == a.ssrc || !opens(early) {
		t.Error("a stream goes on under a key whose indexes may have been used")
	}
	a.rtcp.take(sealedRTCP(t, a.in, report(a.ssrc, 0), 1), port(a.at, a.at.Port()+1))
	if b := z.rtcp.last; len(b) < 14 || binary.BigEndian.Uint32(b[len(b)-14:])&^(1<<31) < rtcpLeap {
		t.Errorf("a report of %d bytes leaves under an index that may have been used", len(b))
	}
}

// TestResumeUnderAnotherLaw: a plane judges where another one was latched.
func TestResumeUnderAnotherLaw(t *testing.T) {
	mem := memory(10, 1)
	one := newBed(t, Config{Memory: mem})
	alice, bob := one.call(srtp.AES128CM80, 0)
	moved := netip.MustParseAddrPort("127.0.2.77:4000")
	if !alice.from(moved, bob) {
		t.Fatal("the far end could not move")
	}
	two := newBed(t, Config{Memory: mem, Fence: sovereign.NewFence(snapshot(t, "aws:eu-central-1"), nil)})
	bob.at = netip.MustParseAddrPort("127.0.1.20:5000")
	a, z := alice.again(two), bob.again(two)
	two.Join(a.Ref, z.Ref)
	if a.from(moved, z) || two.read(a.Ref).Peer != alice.at {
		t.Error("a far end is latched that the law does not permit any more")
	}
	if z.crosses(a, 1) != 1 || a.rtp.to != alice.at {
		t.Errorf("what is sent goes to %v", a.rtp.to)
	}
	if !a.from(alice.at, z) {
		t.Error("the far end is not heard where the law permits it")
	}
}

// TestNobodyTouchesWhatWasLeft: the slots that another plane left do nothing before they are opened.
func TestNobodyTouchesWhatWasLeft(t *testing.T) {
	mem := memory(10, 1)
	one := newBed(t, Config{Memory: mem})
	alice, bob := one.call(srtp.AES128CM80, srtp.AES128CM80)
	alice.crosses(bob, 1)
	two := newBed(t, Config{Memory: mem})
	two.Emit(bob.Ref, packet(1, 1, 1, []byte("x")), 1, true)
	two.Report(bob.Ref, 1, 1, 1, 1)
	two.Set(bob.set())
	two.Silence(alice.Ref)
	two.Join(alice.Ref, bob.Ref)
	two.Close(alice.Ref)
	if len(two.events.moves) != 0 || len(two.Held()) != 0 {
		t.Errorf("told of %v, holds %v", two.events.moves, two.Held())
	}
	if c, ok := two.Read(alice.Ref); !ok || c.Packets != 1 || c.Peer != alice.at {
		t.Errorf("%+v, %v", c, ok)
	}
}

// TestView: who maps the memory reads what the plane counts, with as many workers as there are.
func TestView(t *testing.T) {
	for _, workers := range []int{0, 1, 3} {
		mem := memory(7, max(workers, 1))
		b, v := newBed(t, Config{Memory: mem, Workers: workers}), NewView(mem, workers)
		var legs []*end
		for n := range uint32(7) {
			e := b.leg(Ref{n + 1, 100 + n}, aliceAddr, 0)
			for range n + 1 {
				e.rtp.take(e.next(), e.at)
			}
			legs = append(legs, e)
		}
		for n, e := range legs {
			c, ok := v.Read(e.Ref)
			if own := b.read(e.Ref); !ok || c != own || c.Packets != uint64(n+1) || c.Peer != e.at {
				t.Errorf("%d workers, leg %d: %+v, %v, want %+v", workers, n, c, ok, own)
			}
			if _, ok := v.Read(Ref{e.Slot, e.Serial + 1}); ok {
				t.Errorf("%d workers: a leg that never was", workers)
			}
		}
		for _, slot := range []uint32{0, 100, 1 << 31} {
			if _, ok := v.Read(Ref{slot, 1}); ok {
				t.Errorf("%d workers: slot %d can be read", workers, slot)
			}
		}
		b.Close(legs[0].Ref)
		if c, ok := v.Read(legs[0].Ref); !ok || c.Packets != 1 {
			t.Errorf("%d workers: a closed leg counts %d, %v", workers, c.Packets, ok)
		}
	}
}

// TestMemory: memory that no plane can use is refused, and a slot that is not in it is told of and left out.
func TestMemory(t *testing.T) {
	fence, one := sovereign.NewFence(europe(t), nil), int(unsafe.Sizeof(slot{}))
	good := memory(10, 1)
	for name, c := range map[string]Config{
		"nothing":            {Fence: fence, Events: &heard{}, Memory: []byte{}},
		"too small":          {Fence: fence, Events: &heard{}, Memory: good[:one-1]},
		"for one of three":   {Fence: fence, Events: &heard{}, Memory: good[:2*one], Workers: 3},
		"not aligned":        {Fence: fence, Events: &heard{}, Memory: good[4:]},
		"without a fence":    {Events: &heard{}},
		"without who listen": {Fence: fence},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for _, workers := range []int{1, 3} {
		b := newBed(t, Config{Memory: memory(6, workers), Workers: workers})
		b.leg(Ref{6, 1}, aliceAddr, 0)
		if b.log.Len() != 0 || b.read(Ref{6, 1}).Peer != aliceAddr {
			t.Errorf("%d workers: the last slot is refused: %s", workers, b.log)
		}
		b.leg(Ref{60, 1}, aliceAddr, 0)
		if _, ok := b.Read(Ref{60, 1}); ok || !strings.Contains(b.log.String(), "no slot") {
			t.Errorf("%d workers: a slot beyond the memory: %s", workers, b.log)
		}
	}
	b := newBed(t, Config{})
	b.leg(Ref{maxSlots, 1}, aliceAddr, 0)
	if _, ok := b.Read(Ref{maxSlots, 1}); ok || !strings.Contains(b.log.String(), "no slot") {
		t.Errorf("a slot beyond all bounds: %s", b.log)
	}
}

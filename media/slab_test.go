package media

import (
	"net/netip"
	"reflect"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// spares are the slabs that wait for a call.
func (r *Relay) spares() []*slab {
	r.spare.Lock()
	defer r.spare.Unlock()
	return append([]*slab(nil), r.spare.list...)
}

// TestASlabHoldsNothingOfItsCall: what the next call gets is zero, and the keys of the last one are overwritten.
func TestASlabHoldsNothingOfItsCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)))
		b, _ := parking(t, 20000, 20999)
		offer, answer := secured(benchOffer(netip.AddrPortFrom(aliceAddr, 40000))), secured(benchAnswer(netip.AddrPortFrom(bobAddr, 40000)))
		var last *slab
		for range 3 {
			s := ok(b.relay.Open("call", srtpLeg("carrier")))(t)
			ok(s.Offer(A, offer, srtpLeg("fra", AES_CM_128_HMAC_SHA1_80)))(t)
			ok(s.Answer(B, answer))(t)
			m, sdp := s.slab, ok(s.Answer(B, answer))(t)
			if last != nil && m != last {
				t.Error("the memory of the last call lies idle")
			}
			l := s.legs[A].Load()
			mine, _ := l.key(AES_CM_128_HMAC_SHA1_80)
			ours, theirs := mine.key, l.remote.key.key
			if l != &m.legs[A] || l.remote != &m.says[A].rem || len(ours) != 30 || len(theirs) != 30 || reflect.ValueOf(theirs).IsZero() {
				t.Fatalf("the call does not lie in its slab: %d and %d bytes of keys", len(ours), len(theirs))
			}
			s.Close()
			if got := b.relay.spares(); len(got) != 1 || got[0] != m || s.slab != nil {
				t.Fatalf("%d slabs wait", len(got))
			}
			if !reflect.ValueOf(m).Elem().IsZero() {
				t.Errorf("something is left of the call\n%+v", reflect.ValueOf(m).Elem())
			}
			for i := range ours {
				if ours[i] != 0 {
					t.Fatal("a key is left")
				}
			}
			if theirs[0]|theirs[1] != 0 {
				t.Error("the key of the far end is left")
			}
			sound(t, sdp, 1) // what was written stays what it was
			last = m
			time.Sleep(6 * time.Second)
		}
	})
}

// TestASlabIsKeptFromTheNextCall while anything may still run in it: an attempt beside the one that won is ended by who holds it.
func TestASlabIsKeptFromTheNextCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)))
		b, _ := parking(t, 20000, 20999)
		offer, answer := benchOffer(netip.AddrPortFrom(aliceAddr, 40000)), benchAnswer(netip.AddrPortFrom(bobAddr, 40000))
		s := ok(b.relay.Open("call", plainLeg("carrier")))(t)
		ok(s.Offer(A, offer, plainLeg("fra")))(t)
		br, _, err := s.Branch(offer, plainLeg("zrh"))
		if err != nil {
			t.Fatal(err)
		}
		_, alone, err := br.Hear(answer)
		if err != nil || alone == nil {
			t.Fatal(alone, err)
		}
		left := alone.l
		s.Close()
		if n := len(b.relay.spares()); n != 0 || left.end.Load() != nil {
			t.Errorf("%d slabs wait while a leg of the session lives", n)
		}
		alone.Drop()
		if left.end.Load() == nil {
			t.Error("the leg that lost still has its sockets")
		}
	})
}

// TestAnOriginOutlivesItsSession: who was taken over is told on with what was said in the session that ended, whose memory another call has by then.
func TestAnOriginOutlivesItsSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)))
		b, _ := parking(t, 20000, 20999)
		offer, answer := secured(benchOffer(netip.AddrPortFrom(aliceAddr, 40000))), secured(benchAnswer(netip.AddrPortFrom(bobAddr, 40000)))
		s := ok(b.relay.Open("call", srtpLeg("carrier")))(t)
		ok(s.Offer(A, offer, srtpLeg("fra", AES_CM_128_HMAC_SHA1_80)))(t)
		ok(s.Answer(B, answer))(t)
		o, known := s.Origin(B)
		before := Origin{layout: copied(o.layout), lines: copied(o.lines)}
		s.Close()
		next := ok(b.relay.Open("next", plainLeg("carrier")))(t)
		defer next.Close()
		ok(next.Offer(A, benchOffer(netip.AddrPortFrom(aliceAddr, 41000)), plainLeg("zrh")))(t)
		if !known || len(o.lines) != 1 || !reflect.DeepEqual(o.layout, before.layout) || !reflect.DeepEqual(o.lines, before.lines) || o.lines[0].crypto[0].key[0]|o.lines[0].crypto[0].key[1] == 0 {
			t.Errorf("%+v\n%+v", o, before)
		}
	})
}

// TestSizeOfASlab: one byte more, and each call has half a kilobyte more that nobody uses: the allocator has pieces of 3456 bytes, of which it needs 8.
func TestSizeOfASlab(t *testing.T) {
	if n := unsafe.Sizeof(slab{}); n > 3456-8 {
		t.Errorf("a slab has %d bytes", n)
	}
}

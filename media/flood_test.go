package media

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

// TestAFloodMakesNothingGrow: forged packets under the addresses of far ends, with sources that never come twice, and packets of strangers leave nothing behind
// in calls without SRTP: not the first ones, and not those after them.
func TestAFloodMakesNothingGrow(t *testing.T) {
	const calls, each, rounds, bound = 100, 20, 8, 8 << 10 // noise of the runtime: 40 bytes a side
	bubble(t, func(t *testing.T) {
		n := newNetwork()
		b := newBed(t, n.door, func(c *Config) { c.Moved = nil })
		stranger := newPeer(t, n, netip.MustParseAddr("127.0.1.99"), 4000, "").rtp
		var peers []*peer
		var sessions []*Session
		up := func(port uint16) {
			peers, sessions = peers[:0], sessions[:0]
			for i := range uint16(calls) {
				x, y := newPeer(t, n, aliceAddr, port+2*i, ""), newPeer(t, n, bobAddr, port+2*i, "")
				s := b.open(plainLeg("carrier"))
				y.reads(ok(s.Offer(A, x.sdp(), plainLeg("fra")))(t))
				x.reads(ok(s.Answer(B, y.sdp()))(t))
				x.talk(1)
				y.talk(1)
				peers, sessions = append(peers, x, y), append(sessions, s)
			}
		}
		clear := func() {
			for _, p := range peers {
				p.got(p.rtp)
			}
		}
		forged, ssrc := packet(0, 1, 1, make([]byte, 160)), uint32(1<<31)
		flood := func() {
			for _, p := range peers {
				p.talk(1)
				for range each {
					ssrc++
					binary.BigEndian.PutUint32(forged[8:], ssrc)
					p.from(p.rtp, forged)
					p.from(stranger, forged)
				}
			}
			clear()
			time.Sleep(time.Second)
		}
		up(4000) // what the runtime wants to have once is no part of this
		flood()
		up(6000)
		clear()
		for _, when := range []string{"first", "next"} {
			before := heap()
			for range rounds {
				flood()
			}
			if grown := heap() - before; grown > bound {
				t.Errorf("the %s %d packets make %d calls grow by %d B", when, 2*rounds*each*len(peers), calls, grown)
			} else {
				t.Logf("%s: %d B", when, grown)
			}
		}
		for _, s := range sessions {
			for _, k := range s.Report().Sides {
				if k.Refused < rounds*each || k.RxPackets < 2*rounds || k.RxPackets > 10*rounds {
					t.Errorf("%d packets taken, %d refused", k.RxPackets, k.Refused)
				}
			}
		}
	})
}

// heap is what lives on it; stacks, which a first call makes grow, are left out.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

package plane

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/srtp"
)

// flood is who shouts at a leg.
type flood struct {
	e                *end
	forged, replayed []byte
	n                uint32
}

// shout sends n packets: from places that are held, from permitted ones, from other ports of the far end; with numbers and SSRCs that never come twice, and such
// as were there before; and with the far end's own address, which anybody can write into a packet. What is plain cannot tell a replay from its own then, so that is left out.
func (f *flood) shout(n int) {
	for range n {
		f.n++
		binary.BigEndian.PutUint16(f.forged[2:], uint16(f.n))
		binary.BigEndian.PutUint32(f.forged[8:], f.n)
		b, at := f.forged, f.e.at
		switch kind := f.n % 6; {
		case kind == 0:
			at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 66, byte(f.n)}), uint16(f.n>>8))
		case kind == 1:
			at = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 2, byte(f.n)}), uint16(f.n>>8))
		case kind == 2 || kind == 3 && f.e.seal == nil:
			if b, at = f.replayed, port(at, uint16(f.n)); at.Port() == f.e.at.Port() {
				continue
			}
		case kind == 3:
			b = f.replayed
		}
		f.e.rtp.take(b, at)
	}
}

// TestFlood: forged sources, forged SSRCs and replays against a live leg leave nothing behind, and the stream beside them loses nothing. What the heap may
// grow by is noise of the runtime: a single byte kept of each packet would be six times as much even in a short run.
func TestFlood(t *testing.T) {
	const bound, rounds, beside = 32 << 10, 100, 10
	total := 1_000_000
	if testing.Short() {
		total = 200_000
	}
	for name, suite := range map[string]srtp.Suite{"plain": 0, "srtp": srtp.AES128CM80} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, Config{})
				alice, bob := b.call(suite, srtp.AES128GCM)
				f := flood{e: alice, forged: packet(1, 1, 1, make([]byte, 170)), replayed: alice.next()}
				alice.rtp.take(f.replayed, alice.at)
				calm := onHeap()
				f.shout(total / rounds)
				live := alice.crosses(bob, beside)
				before := onHeap()
				if grown := before - calm; grown > bound {
					t.Errorf("the first packets make the heap grow by %d B", grown)
				}
				for range rounds {
					f.shout(total / rounds)
					live += alice.crosses(bob, beside)
					time.Sleep(50 * time.Millisecond) // so that some strangers are looked at
				}
				grown := onHeap() - before
				t.Logf("%d packets: the heap grew by %d B", total, grown)
				if grown > bound {
					t.Errorf("%d packets make the heap grow by %d B", total, grown)
				}
				c := b.read(alice.Ref)
				fresh := uint64(0) // sources that a plain leg takes for new ones of its far end
				if suite == 0 {
					fresh = plainSources + 50*rounds/1000*newSources
				}
				if want := beside * (rounds + 1); live != want || c.Packets < uint64(want+1) || c.Packets > uint64(want+1)+fresh || c.Lost != 0 || c.Gaps != 0 || c.Peer != alice.at {
					t.Errorf("%d of %d packets of the live stream cross, %d are counted, %d lost, it points to %v", live, want, c.Packets, c.Lost, c.Peer)
				}
				want := maxTold
				if suite != 0 {
					want = 0 // who cannot sign is nobody
				}
				if n := len(b.events.of(alice.Ref, "rebind")); n != want {
					t.Errorf("%d strangers are told of", n)
				}
				l, _ := b.worker(1).of(alice.Ref)
				if len(l.sources) > min(int(fresh), plainSources-1) || l.theirs != nil && len(l.theirs.rtp)+len(l.theirs.rtcp) != 0 {
					t.Error("the leg remembers what it refused")
				}
			})
		})
	}
}

package srtp

import (
	"bytes"
	"testing"
)

const ssrc = 0xcafe_babe

// TestEveryLength holds sealing and opening against pion for each suite, every length of payload from 0 to 1500, with and without CSRCs and extension.
//
// Conforms: RFC 3711 section 3.1
func TestEveryLength(t *testing.T) {
	for s := range suites {
		t.Run(s.String(), func(t *testing.T) {
			plain, named := newPair(t, s, 1, nil), newPair(t, s, 1, []byte{7, 8, 9})
			for n := range 1501 {
				index := uint64(n)*0x1_0003_0507 + 1
				b, header := packet(ssrc, uint16(index), n%16, n%5, n)
				plain.rtp(t, b, header, index, nil)
				named.rtp(t, b, header, index, []byte{7, 8, 9})
				if n%4 == 0 {
					plain.rtcp(t, report(ssrc, n), uint32(n+1), nil)
					named.rtcp(t, report(ssrc, n), uint32(n+1), []byte{7, 8, 9})
				}
			}
		})
	}
}

// rtp has one packet sealed by both, and opened by both.
func (p pair) rtp(t testing.TB, b []byte, header int, index uint64, mki []byte) {
	t.Helper()
	got := sealRTP(t, p.ours, b, header, index)
	p.pions.SetROC(ssrc, uint32(index>>16))
	want, err := p.pions.EncryptRTP(nil, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	got = marked(p.ours.suite, got, mki, p.ours.suite.tag())
	if !bytes.Equal(got, want) {
		t.Fatalf("packet of %d bytes, index %x: sealed\n%x, pion\n%x", len(b), index, got, want)
	}
	if back, ok := openRTP(t, p.ours, want, header, index); !ok || !bytes.Equal(back, b) {
		t.Fatalf("packet of %d bytes, index %x does not come back", len(b), index)
	}
}

func (p pair) rtcp(t testing.TB, b []byte, index uint32, mki []byte) {
	t.Helper()
	got := sealRTCP(t, p.ours, b, index)
	p.pions.SetIndex(ssrc, index-1)
	want, err := p.pions.EncryptRTCP(nil, b, nil)
	if err != nil {
		t.Fatal(err)
	}
	got = marked(p.ours.suite, got, mki, tag80)
	if !bytes.Equal(got, want) {
		t.Fatalf("report of %d bytes, index %x: sealed\n%x, pion\n%x", len(b), index, got, want)
	}
	back, at, ok := openRTCP(t, p.ours, want)
	if !ok || at != index || !bytes.Equal(back, b) {
		t.Fatalf("report of %d bytes, index %x does not come back", len(b), index)
	}
}

// FuzzRTP holds one packet of any index against pion, and changes each of its bits.
func FuzzRTP(f *testing.F) {
	f.Add(byte(0), uint64(1), uint64(0xffff_ffff_ffff), []byte{}, byte(0), byte(0), uint16(160), uint16(3))
	f.Add(byte(5), uint64(2), uint64(0x1_0000), []byte{1, 2, 3, 4}, byte(15), byte(9), uint16(0), uint16(900))
	f.Fuzz(func(t *testing.T, suite byte, key, index uint64, mki []byte, csrcs, ext byte, payload, bit uint16) {
		mki, index = mki[:min(len(mki), maxMKI)], index%indexEnd
		p := newPair(t, suiteOf(suite), key, mki)
		b, header := packet(ssrc, uint16(index), int(csrcs%16), int(ext), int(payload%1501))
		p.rtp(t, b, header, index, mki)
		sealed := marked(p.ours.suite, sealRTP(t, p.ours, b, header, index), mki, p.ours.suite.tag())
		// The lower bits of the index are authenticated in the header.
		other := index ^ 1<<(16+bit%32)
		if _, ok := openRTP(t, p.ours, sealed, header, other); ok {
			t.Fatalf("a packet of index %x is taken for one of index %x", index, other)
		}
		at := int(bit) % (8 * len(sealed))
		sealed[at/8] ^= 1 << (at % 8)
		if _, ok := openRTP(t, p.ours, sealed, header, index); ok {
			t.Fatalf("bit %d was changed, and the packet is opened", at)
		}
		for _, cut := range []int{1, 4, 16} {
			if _, ok := openRTP(t, p.ours, sealed[:len(sealed)-cut], header, index); ok {
				t.Fatalf("a packet without its last %d bytes is opened", cut)
			}
		}
	})
}

// FuzzRTCP does the same for SRTCP.
func FuzzRTCP(f *testing.F) {
	f.Add(byte(0), uint64(1), uint32(0x7fff_ffff), []byte{}, uint16(52), uint16(3))
	f.Add(byte(4), uint64(2), uint32(1), []byte{1, 2, 3, 4}, uint16(0), uint16(90))
	f.Fuzz(func(t *testing.T, suite byte, key uint64, index uint32, mki []byte, payload, bit uint16) {
		mki, index = mki[:min(len(mki), maxMKI)], max(1, index%encrypted)
		p := newPair(t, suiteOf(suite), key, mki)
		b := report(ssrc, int(payload%1500)&^3)
		p.rtcp(t, b, index, mki)
		sealed := marked(p.ours.suite, sealRTCP(t, p.ours, b, index), mki, tag80)
		at := int(bit) % (8 * len(sealed))
		sealed[at/8] ^= 1 << (at % 8)
		if _, _, ok := openRTCP(t, p.ours, sealed); ok {
			t.Fatalf("bit %d was changed, and the report is opened", at)
		}
	})
}

// FuzzStream plays a stream with gaps, reordering, replays, forgeries and rollovers to both receivers, who must take and refuse the same packets.
func FuzzStream(f *testing.F) {
	f.Add(byte(0), uint16(65530), []byte{1, 1, 0x41, 1, 1, 1, 0x81, 1, 0xc1, 0x42, 0x3f, 0x3f, 0x3f, 0x81, 0x82})
	f.Add(byte(4), uint16(0), []byte{0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x3f, 0x9f, 0x5f, 0xdf, 1, 0x45})
	f.Add(byte(2), uint16(5), []byte{1, 2, 0x3e, 0x41, 0x3c, 0x48, 0x7f, 0xbf, 1})
	f.Fuzz(func(t *testing.T, suite byte, first uint16, moves []byte) {
		p := newPair(t, suiteOf(suite), uint64(first), nil)
		var w Window
		newest := uint64(first)
		for _, m := range moves[:min(len(moves), 400)] {
			index, n := newest, uint64(m&0x3f)
			switch m >> 6 {
			case 0: // forward, the upper steps by leaps: two make a rollover
				if n > 0x38 {
					n = 0x1000*(n-0x38) - 1
				}
				newest += n
				index = newest
			case 1: // late by up to 63
				index -= min(n, newest)
			case 2: // late by up to 252: beyond the window
				index -= min(4*n, newest)
			}
			b, header := packet(ssrc, uint16(index), 0, 0, 20)
			sealed := sealRTP(t, p.ours, b, header, index)
			if m>>6 == 3 {
				sealed[n%uint64(len(sealed))] ^= 1 + m&0x7f
			}
			p.receive(t, &w, sealed, header, m)
		}
	})
}

// receive gives one packet to both receivers.
func (p pair) receive(t *testing.T, w *Window, sealed []byte, header int, move byte) {
	t.Helper()
	if sealed[0] != 0x80 || sealed[8] != ssrc>>24 || sealed[9] != ssrc>>16&0xff || sealed[10] != ssrc>>8&0xff || sealed[11] != ssrc&0xff {
		return // another stream, or another header
	}
	want, err := p.pions.DecryptRTP(nil, bytes.Clone(sealed), nil)
	index := w.Guess(uint16(sealed[2])<<8 | uint16(sealed[3]))
	var got []byte
	ok := w.Fresh(index)
	if ok {
		if got, ok = openRTP(t, p.ours, sealed, header, index); ok {
			w.Take(index)
		}
	}
	if ok != (err == nil) || !bytes.Equal(got, want) {
		t.Fatalf("move %02x, index %x: opened %v, pion %v", move, index, ok, err)
	}
}

// FuzzOpen gives any bytes to the Open functions: nothing of that is our peer's, nothing panics, and nothing is changed.
func FuzzOpen(f *testing.F) {
	f.Add(byte(0), []byte{}, []byte{}, 12, uint64(0))
	f.Add(byte(1), []byte{0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0}, []byte{}, 12, uint64(1))
	f.Add(byte(4), bytes.Repeat([]byte{0x80}, 28), []byte{}, 12, uint64(0x8080))
	f.Add(byte(5), bytes.Repeat([]byte{0x80}, 29), []byte{0x80}, 12, uint64(0x8080))
	f.Fuzz(func(t *testing.T, suite byte, b, mki []byte, header int, index uint64) {
		p := newPair(t, suiteOf(suite), 1, mki[:min(len(mki), maxMKI)])
		if _, ok := openRTP(t, p.ours, b, header, index); ok {
			t.Fatal("forged RTP is opened")
		}
		if _, _, ok := openRTCP(t, p.ours, b); ok {
			t.Fatal("forged RTCP is opened")
		}
	})
}

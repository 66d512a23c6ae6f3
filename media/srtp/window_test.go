package srtp

import "testing"

// appendixA is RFC 3711 appendix A as it is printed, but that there is nothing before rollover counter 0.
func appendixA(highest uint64, seq uint16) uint64 {
	roc, last, number := int64(highest>>16), int64(highest&0xffff), int64(seq)
	v := roc
	if last < 32768 {
		if number-last > 32768 {
			v = roc - 1
		}
	} else if last-32768 > number {
		v = roc + 1
	}
	return uint64(max(v, 0))<<16 | uint64(seq)
}

// Conforms: RFC 3711 section 3.3.1
func TestGuess(t *testing.T) {
	for _, highest := range []uint64{0, 1, 5, 32767, 32768, 32769, 65535, 65536, 65536 + 32768, 0x2_8000, 0x7_1234, 0xffff_0005, 0xffff_ffff_7fff} {
		w := Window{next: highest + 1}
		for seq := range 1 << 16 {
			if got, want := w.Guess(uint16(seq)), appendixA(highest, uint16(seq)); got != want {
				t.Fatalf("after %x, number %x: index %x, want %x", highest, seq, got, want)
			}
		}
	}
	// A key whose indices are used up takes nothing more.
	w := Window{next: indexEnd}
	if w.Fresh(w.Guess(3)) || w.Fresh(indexEnd) {
		t.Error("an index of more than 48 bits is fresh")
	}
}

// TestAFirstPacketAroundTheWrap: a sender began at 65530 and what it sent before the wrap was lost. Only authentication says that the counter is at 1.
func TestAFirstPacketAroundTheWrap(t *testing.T) {
	for s := range suites {
		t.Run(s.String(), func(t *testing.T) { aroundTheWrap(t, newPair(t, s, 3, nil)) })
	}
}

func aroundTheWrap(t *testing.T, p pair) {
	var w Window
	hear := func(index uint64) bool {
		b, header := packet(ssrc, uint16(index), 0, 0, 160)
		sealed := sealRTP(t, p.ours, b, header, index)
		indices, n := w.Candidates(uint16(index))
		for _, i := range indices[:n] {
			if !w.Fresh(i) {
				continue
			}
			if _, ok := p.ours.OpenRTP(sealed, sealed, header, i); ok {
				w.Take(i)
				return true
			}
		}
		return false
	}
	for _, index := range []uint64{65536 + 3, 65536 + 4, 65534, 65536 + 2, 65536 + 30000, 65536 + 60000, 2*65536 + 1} {
		if !hear(index) {
			t.Fatalf("index %x is not opened", index)
		}
	}
	if got, ok := w.Highest(); !ok || got != 2*65536+1 {
		t.Errorf("highest index %x", got)
	}
	w = Window{}
	for _, index := range []uint64{65530, 65535, 65536, 65537} {
		if !hear(index) {
			t.Fatalf("index %x is not opened", index)
		}
	}
	if hear(65536) {
		t.Error("a replay is opened")
	}
}

func TestResume(t *testing.T) {
	var w Window
	if _, ok := w.Highest(); ok {
		t.Error("something was heard")
	}
	w.Resume(0x5_0010)
	for index := range uint64(0x5_0011) {
		if w.Fresh(index) {
			t.Fatalf("%x is fresh", index)
		}
	}
	if got, ok := w.Highest(); !ok || got != 0x5_0010 || !w.Fresh(0x5_0011) || w.Guess(0x11) != 0x5_0011 {
		t.Errorf("highest %x %v", got, ok)
	}
}

// TestEveryStepOfTheWindow moves a window in which every third packet was seen ahead by each step, and looks at all that it knows.
//
// Conforms: RFC 3711 section 3.3.2
func TestEveryStepOfTheWindow(t *testing.T) {
	for step := range uint64(2*window + 3) {
		const highest = 999
		var w Window
		for index := uint64(highest - 2*window*3); index <= highest; index += 3 {
			w.Take(index)
		}
		w.Take(highest)
		w.Take(highest + step)
		for index := uint64(highest - 3*window); index < highest+3*window; index++ {
			seen := index == highest+step || index <= highest && (highest-index)%3 == 0
			if want := !seen && index+window > highest+step; w.Fresh(index) != want {
				t.Fatalf("%d ahead: index %d is fresh: %v, want %v", step, index, !want, want)
			}
		}
	}
}

// FuzzWindow holds the window against a set.
//
// Conforms: RFC 3711 section 3.3.2
func FuzzWindow(f *testing.F) {
	f.Add(uint64(0), []byte{0, 1, 2, 1, 0, 200, 255, 130, 2, 3})
	f.Add(uint64(1)<<47, []byte{127, 128, 129, 63, 64, 65, 255, 255, 1, 1})
	f.Fuzz(func(t *testing.T, start uint64, steps []byte) {
		var w Window
		index, highest, seen := start%(indexEnd/2)+256, uint64(0), map[uint64]bool{}
		for _, s := range steps {
			at := max(index+uint64(s), 100) - 100 // up to 155 ahead, up to 100 behind
			want := !seen[at] && at+window > highest
			if w.Fresh(at) != want {
				t.Fatalf("index %x, highest %x: fresh is not %v", at, highest, want)
			}
			w.Take(at)
			seen[at], highest = true, max(highest, at)
			if got, ok := w.Highest(); !ok || got != highest {
				t.Fatalf("highest %x, want %x", got, highest)
			}
			index = at
		}
	})
}

package clip

import "testing"

// The values of ITU-T G.711 tables 1a and 2a: the greatest of each segment and what stands for it, in 13 and 14 bits.
func TestTheTablesOfG711(t *testing.T) {
	for _, x := range []struct {
		quantised int // y
		code      byte
	}{
		{4032, 0xff}, {2112, 0xf0}, {1056, 0xe0}, {528, 0xd0}, {264, 0xc0}, {132, 0xb0}, {66, 0xa0}, {1, 0x80},
	} {
		for _, sign := range []int{1, -1} {
			code := x.code ^ 0x55 // the character signals of the table are before the inversion of even bits
			if sign < 0 {
				code ^= 0x80
			}
			if got := FromALaw(code); int(got) != sign*8*x.quantised {
				t.Errorf("A-law %#02x is %d, want %d", code, got, sign*8*x.quantised)
			}
			if got := ALaw(int16(sign * 8 * x.quantised)); got != code {
				t.Errorf("%d is A-law %#02x, want %#02x", sign*8*x.quantised, got, code)
			}
		}
	}
	for _, x := range []struct {
		quantised int
		code      byte // of a positive value, as it is on the line
	}{
		{8031, 0x80}, {4191, 0x8f}, {2079, 0x9f}, {1023, 0xaf}, {495, 0xbf}, {231, 0xcf}, {99, 0xdf}, {33, 0xef}, {2, 0xfe}, {0, 0xff},
	} {
		if got := FromMuLaw(x.code); int(got) != 4*x.quantised {
			t.Errorf("mu-law %#02x is %d, want %d", x.code, got, 4*x.quantised)
		}
		if got := MuLaw(int16(4 * x.quantised)); got != x.code {
			t.Errorf("%d is mu-law %#02x, want %#02x", 4*x.quantised, got, x.code)
		}
		if got := FromMuLaw(x.code &^ 0x80); int(got) != -4*x.quantised {
			t.Errorf("mu-law %#02x is %d, want %d", x.code&^0x80, got, -4*x.quantised)
		}
	}
	// Decision values: the segments end at these magnitudes.
	for _, x := range []struct {
		at   int
		code byte
	}{{2048, 0xf0}, {1024, 0xe0}, {512, 0xd0}, {256, 0xc0}, {128, 0xb0}, {64, 0xa0}} {
		if below, above := ALaw(int16(8*x.at-1))^0x55, ALaw(int16(8*x.at))^0x55; above != x.code || below != x.code-1 {
			t.Errorf("A-law at %d: %#02x and %#02x", x.at, below, above)
		}
	}
	for _, x := range []struct {
		at   int
		code byte
	}{{4063, 0x8f}, {2015, 0x9f}, {991, 0xaf}, {479, 0xbf}, {223, 0xcf}, {95, 0xdf}, {31, 0xef}} {
		if below, above := MuLaw(int16(4*x.at-1)), MuLaw(int16(4*x.at)); above != x.code || below != x.code+1 {
			t.Errorf("mu-law at %d: %#02x and %#02x", x.at, below, above)
		}
	}
}

// The codes of silence and of both full scales, as they stand on the line.
func TestTheEndsOfALaw(t *testing.T) {
	for v, want := range map[int16]byte{0: 0xd5, -1: 0x55, 32767: 0xaa, -32768: 0x2a} {
		if got := ALaw(v); got != want {
			t.Errorf("%d: %02x, want %02x", v, got, want)
		}
	}
}

// Each octet stands for itself, and more is never less. Minus nothing of mu-law alone comes back with the other sign.
func TestEachOctetOfG711(t *testing.T) {
	for c := range 256 {
		if got := ALaw(FromALaw(byte(c))); got != byte(c) {
			t.Errorf("A-law %#02x comes back as %#02x", c, got)
		}
		if got := MuLaw(FromMuLaw(byte(c))); got != byte(c) && c != 0x7f {
			t.Errorf("mu-law %#02x comes back as %#02x", c, got)
		}
	}
	for v := -32768; v < 32767; v++ {
		if FromALaw(ALaw(int16(v))) > FromALaw(ALaw(int16(v+1))) || FromMuLaw(MuLaw(int16(v))) > FromMuLaw(MuLaw(int16(v+1))) {
			t.Fatalf("%d is louder than %d", v, v+1)
		}
		if d := int(FromALaw(ALaw(int16(v)))) - v; d > 512 || d < -512 {
			t.Fatalf("A-law of %d is off by %d", v, d)
		}
		if d := int(FromMuLaw(MuLaw(int16(v)))) - v; d > 644 || d < -644 {
			t.Fatalf("mu-law of %d is off by %d", v, d)
		}
	}
}

// Tables 5 and 6: 1 kHz at 0 dBm0 in either law is the same sound.
func TestTheReferenceToneOfG711(t *testing.T) {
	a := []byte{0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4}
	u := []byte{0x1e, 0x0b, 0x0b, 0x1e, 0x9e, 0x8b, 0x8b, 0x9e}
	for i := range a {
		if got := MuLaw(FromALaw(a[i])); got != u[i] {
			t.Errorf("octet %d: A-law %#02x is mu-law %#02x, want %#02x", i, a[i], got, u[i])
		}
		if got := ALaw(FromMuLaw(u[i])); got != a[i] {
			t.Errorf("octet %d: mu-law %#02x is A-law %#02x, want %#02x", i, u[i], got, a[i])
		}
	}
}

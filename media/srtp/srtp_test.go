package srtp

import (
	"bytes"
	"math"
	"reflect"
	"testing"
)

func TestKeysOfTheWrongLength(t *testing.T) {
	for s := range suites {
		n, m := s.Lengths()
		for _, c := range [][2]int{{n, m - 1}, {n - 1, m}, {n + 1, m}, {n, m + 1}, {0, 0}} {
			if _, err := New(s, make([]byte, c[0]), make([]byte, c[1])); err == nil {
				t.Errorf("%s takes a key of %d bytes and a salt of %d", s, c[0], c[1])
			}
		}
	}
	for _, s := range []Suite{0, AES256GCM + 1, 255} {
		if n, m := s.Lengths(); n != 0 || m != 0 || s.String() != "none" {
			t.Errorf("suite %d is %s with %d and %d", uint8(s), s, n, m)
		}
		if _, err := New(s, nil, nil); err == nil {
			t.Errorf("suite %d gives a context", uint8(s))
		}
	}
	if err := new(Context).Expect(make([]byte, maxMKI+1)); err == nil {
		t.Error("an identifier of 129 bytes is taken")
	}
}

// TestWhatDoesNotFit: lengths that no packet has, and buffers without room, give nothing.
func TestWhatDoesNotFit(t *testing.T) {
	for s := range suites {
		c := newPair(t, s, 1, nil).ours
		b, room := make([]byte, 40), make([]byte, 100)
		for _, header := range []int{-1, 0, 11, 41, math.MaxInt32} {
			if c.SealRTP(room, b, header, 1) != nil {
				t.Errorf("%s: a header of %d bytes is sealed", s, header)
			}
			if _, ok := c.OpenRTP(room, b, header, 1); ok {
				t.Errorf("%s: a header of %d bytes is opened", s, header)
			}
		}
		if c.SealRTP(make([]byte, 40+Overhead-1), b, 12, 1) != nil || c.SealRTCP(make([]byte, 40+Overhead-1), b, 1) != nil {
			t.Errorf("%s: sealed without room", s)
		}
		if c.SealRTCP(room, b[:7], 1) != nil || c.SealRTCP(room, b, 1<<31) != nil {
			t.Errorf("%s: sealed what is no RTCP", s)
		}
		sealed := c.SealRTP(room, b, 12, 1)
		if _, ok := c.OpenRTP(make([]byte, len(sealed)-1), sealed, 12, 1); ok {
			t.Errorf("%s: opened without room", s)
		}
		for n := range sealed {
			if _, ok := c.OpenRTP(make([]byte, 100), sealed[:n], 12, 1); ok {
				t.Errorf("%s: the first %d bytes are opened", s, n)
			}
			if _, _, ok := c.OpenRTCP(make([]byte, 100), sealed[:n]); ok {
				t.Errorf("%s: the first %d bytes are opened as RTCP", s, n)
			}
		}
	}
}

// TestReportsInClear: a packet without the E bit is refused, even with a tag that fits.
//
// Conforms: RFC 4568 section 6.3.2
func TestReportsInClear(t *testing.T) {
	for s := range suites {
		p := newPair(t, s, 1, nil)
		sealed := sealRTCP(t, p.ours, report(ssrc, 40), 9)
		word := len(sealed) - indexWord
		if !s.aead() {
			word -= tag80
		}
		sealed[word] &^= 0x80
		if !s.aead() {
			var sum [20]byte
			var room session
			p.ours.rtcp.session(s, &room).hmac(&sum, sealed[:word+indexWord], 0, false)
			copy(sealed[word+indexWord:], sum[:])
		}
		if _, _, ok := openRTCP(t, p.ours, sealed); ok {
			t.Errorf("%s: a report in clear is opened", s)
		}
	}
}

func TestIdentifiers(t *testing.T) {
	mki := []byte{1, 2}
	for s := range suites {
		p := newPair(t, s, 1, mki)
		b, header := packet(ssrc, 5, 0, 0, 20)
		bare := sealRTP(t, p.ours, b, header, 5)
		if _, ok := openRTP(t, p.ours, bare, header, 5); ok {
			t.Errorf("%s: a packet without the identifier is opened", s)
		}
		if _, ok := openRTP(t, p.ours, marked(s, bare, []byte{1, 3}, s.tag()), header, 5); ok {
			t.Errorf("%s: another identifier is taken", s)
		}
		if got, ok := openRTP(t, p.ours, marked(s, bare, mki, s.tag()), header, 5); !ok || !bytes.Equal(got, b) {
			t.Errorf("%s: the identifier is not taken", s)
		}
		if err := p.ours.Expect(nil); err != nil {
			t.Fatal(err)
		}
		if _, ok := openRTP(t, p.ours, bare, header, 5); !ok {
			t.Errorf("%s: the identifier is demanded still", s)
		}
	}
}

func TestWipe(t *testing.T) {
	for s := range suites {
		c := newPair(t, s, 1, nil).ours
		b, header := packet(ssrc, 5, 0, 0, 20)
		sealed, report := sealRTP(t, c, b, header, 5), sealRTCP(t, c, report(ssrc, 8), 1)
		c.Wipe()
		if !reflect.DeepEqual(*c, Context{}) {
			t.Errorf("%s: something is left", s)
		}
		if c.SealRTP(make([]byte, 100), b, header, 5) != nil || c.SealRTCP(make([]byte, 100), b, 1) != nil {
			t.Errorf("%s: a wiped context seals", s)
		}
		if _, ok := c.OpenRTP(make([]byte, 100), sealed, header, 5); ok {
			t.Errorf("%s: a wiped context opens", s)
		}
		if _, _, ok := c.OpenRTCP(make([]byte, 100), report); ok {
			t.Errorf("%s: a wiped context opens RTCP", s)
		}
	}
}

func TestNothingIsAllocatedPerPacket(t *testing.T) {
	for s := range suites {
		allocatesNothing(t, newPair(t, s, 1, []byte{1, 2, 3, 4}).ours)
	}
}

func allocatesNothing(t *testing.T, c *Context) {
	t.Helper()
	b, header := packet(ssrc, 5, 2, 1, 160)
	r := report(ssrc, 52)
	sealed := marked(c.suite, sealRTP(t, c, b, header, 5), c.mki, c.suite.tag())
	secret := marked(c.suite, sealRTCP(t, c, r, 9), c.mki, tag80)
	room, forged := make([]byte, 300), bytes.Clone(sealed)
	forged[20] ^= 1
	var w Window
	for name, do := range map[string]func() bool{
		"sealing RTP":   func() bool { return c.SealRTP(room, b, header, 5) != nil },
		"opening RTP":   func() bool { _, ok := c.OpenRTP(room, sealed, header, 5); return ok },
		"refusing RTP":  func() bool { _, ok := c.OpenRTP(room, forged, header, 5); return !ok },
		"sealing RTCP":  func() bool { return c.SealRTCP(room, r, 9) != nil },
		"opening RTCP":  func() bool { _, _, ok := c.OpenRTCP(room, secret); return ok },
		"following RTP": func() bool { w.Take(w.Guess(7)); return !w.Fresh(7) },
	} {
		done := true
		if n := testing.AllocsPerRun(100, func() { done = do() && done }); n != 0 || !done {
			t.Errorf("%s: %s allocates %v times, and goes well: %v", c.suite, name, n, done)
		}
	}
}

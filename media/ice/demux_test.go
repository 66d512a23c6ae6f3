package ice

import "testing"

func TestKindOf(t *testing.T) {
	// RFC 7983 section 7, every first octet.
	b := make([]byte, 64)
	for first := range 256 {
		b[0] = byte(first)
		want := Unknown
		switch {
		case first <= 3:
			want = STUN
		case first >= 20 && first <= 63:
			want = DTLS
		case first >= 128 && first <= 191:
			want = RTP
		}
		if got := KindOf(b); got != want {
			t.Errorf("first octet %d: %d, not %d", first, got, want)
		}
	}
	// RFC 5761 section 4: the second octet, with the marker bit in it.
	b[0] = 0x80
	for second := range 256 {
		b[1] = byte(second)
		want := RTP
		if second >= 192 && second <= 223 {
			want = RTCP
		}
		if got := KindOf(b); got != want {
			t.Errorf("second octet %d: %d, not %d", second, got, want)
		}
	}
	for _, c := range []struct {
		first, second byte
		shortest      int
	}{{0, 1, 20}, {22, 254, 13}, {0x80, 0, 12}, {0x80, 200, 8}} {
		b[0], b[1] = c.first, c.second
		if KindOf(b[:c.shortest]) == Unknown || KindOf(b[:c.shortest-1]) != Unknown {
			t.Errorf("%d %d: the shortest is not %d octets", c.first, c.second, c.shortest)
		}
	}
	if KindOf(nil) != Unknown {
		t.Error("nothing is something")
	}
}

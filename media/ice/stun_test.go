package ice

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestWhatIsNoMessage(t *testing.T) {
	good := check(NewCredentials(), "peer", true).bytes()
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for name, b := range map[string][]byte{
		"empty":                {},
		"one octet":            {0},
		"header cut":           good[:19],
		"cut":                  good[:len(good)-4],
		"no multiple of four":  good[:len(good)-1],
		"longer than it says":  append(bytes.Clone(good), 0, 0, 0, 0),
		"too long":             make([]byte, maxMessage+4),
		"another cookie":       change(func(b []byte) []byte { b[4]++; return b }),
		"first bits set":       change(func(b []byte) []byte { b[0] |= 0x40; return b }),
		"length of attribute":  change(func(b []byte) []byte { binary.BigEndian.PutUint16(b[22:], 0xffff); return b }),
		"attribute over end":   change(func(b []byte) []byte { binary.BigEndian.PutUint16(b[len(b)-6:], 8); return b }),
		"behind fingerprint":   relength(append(bytes.Clone(good), 0x80, 0x22, 0, 0)),
		"too many attributes":  request{name: "a", extra: bytes.Repeat([]byte{0x80, 0x22, 0, 0}, maxAttributes)}.bytes(),
		"short integrity":      request{noIntegrity: true, extra: []byte{0, 8, 0, 4, 1, 2, 3, 4}}.bytes(),
		"short priority":       request{extra: []byte{0, 0x24, 0, 2, 1, 2, 3, 4}}.bytes(),
		"long fingerprint":     relength(append(request{noPrint: true}.bytes(), 0x80, 0x28, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8)),
		"no cookie, like 3489": change(func(b []byte) []byte { clear(b[4:8]); return b }),
	} {
		if _, ok := parse(b); ok {
			t.Errorf("%s: taken for a message", name)
		}
	}
	if _, ok := parse(good); !ok {
		t.Error("a good one is not taken")
	}
}

func relength(b []byte) []byte {
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerLen))
	return b
}

func TestEveryBitOfAMessageIsProtected(t *testing.T) {
	own := NewCredentials()
	good := check(own, "peer", true).bytes()
	for i := range len(good) * 8 {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		a, _ := New(own, "peer")
		if out, e := a.Handle(0, b, peerOne, make([]byte, ReplyLen)); len(out) > 0 || e.What > Forged {
			t.Fatalf("with bit %d turned it is %d, and %x is answered", i, e.What, out)
		}
	}
}

// Of attributes behind MESSAGE-INTEGRITY, which anybody on the way may have added, nothing is believed.
func TestWhatIsNotProtectedIsIgnored(t *testing.T) {
	own := NewCredentials()
	r := check(own, "peer", false)
	r.behind = attribute(attribute(nil, attrUseCandidate, nil), 0x7fff, nil)
	a, _ := New(own, "peer")
	if out, e := a.Handle(0, r.bytes(), peerOne, make([]byte, ReplyLen)); e.What != Checked || len(out) == 0 {
		t.Errorf("what %d", e.What)
	}
}

func TestOnlyTheFirstUsernameCounts(t *testing.T) {
	own := NewCredentials()
	r := check(own, "peer", false)
	r.extra = attribute(nil, attrUsername, []byte("other:peer"))
	a, _ := New(own, "peer")
	if _, e := a.Handle(0, r.bytes(), peerOne, make([]byte, ReplyLen)); e.What != Checked {
		t.Errorf("what %d", e.What)
	}
}

package tlv

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func TestWhatWasWrittenIsRead(t *testing.T) {
	at, addr := time.Unix(1_800_000_000, 123), netip.MustParseAddrPort("[2001:db8::1]:5061")
	b := String(nil, 1, "word")
	b = Uint(b, 2, 1<<63)
	b = Bool(b, 3, true)
	b = Time(b, 4, at)
	b = Addr(b, 5, addr)
	b, mark := Open(b, 6)
	b = String(b, 1, strings.Repeat("x", 300))
	b = Close(b, mark)
	b = Bytes(b, 200, []byte("of a later version"))
	zero := len(b)
	b = Addr(Time(Bool(Uint(String(Bytes(b, 7, nil), 7, ""), 7, 0), 7, false), 7, time.Time{}), 7, netip.AddrPort{})
	if len(b) != zero {
		t.Error("what is zero is not written")
	}
	seen := 0
	for r := Read(b); r.Next(); seen++ {
		ok := false
		switch r.Tag {
		case 1:
			ok = r.String() == "word"
		case 2:
			ok = r.Uint() == 1<<63
		case 3:
			ok = r.Bool()
		case 4:
			ok = r.Time().Equal(at)
		case 5:
			ok = r.Addr() == addr
		case 6:
			in := Read(r.Value)
			ok = in.Next() && len(in.Value) == 300 && !in.Next() && !in.Bad()
		case 200:
			ok = true
		}
		if !ok || r.Bad() {
			t.Errorf("tag %d: %q", r.Tag, r.Value)
		}
	}
	if seen != 7 {
		t.Errorf("%d fields", seen)
	}
}

func TestWhatIsBrokenIsToldSo(t *testing.T) {
	for name, raw := range map[string][]byte{
		"a tag alone": {1}, "a length without its end": {1, 0x80}, "a value that is cut": {1, 5, 'a'}, "a length that overflows": bytes.Repeat([]byte{0xff}, 12),
	} {
		r := Read(raw)
		for r.Next() {
		}
		if !r.Bad() {
			t.Errorf("%s: not told", name)
		}
	}
	for name, read := range map[string]func(*Reader){
		"a number": func(r *Reader) { r.Uint() }, "an address": func(r *Reader) { r.Addr() }, "32 bits": func(r *Reader) { r.Uint32() },
	} {
		r := Read(Uint(nil, 1, 1<<40))
		if name != "32 bits" {
			r = Read(String(nil, 1, "\x80\x80"))
		}
		r.Next()
		if read(&r); !r.Bad() {
			t.Errorf("%s: not told", name)
		}
	}
}

func TestARecordThatIsTooLongIsDropped(t *testing.T) {
	b, mark := Open(String(nil, 1, "before"), 2)
	b = Close(append(b, make([]byte, 1<<21)...), mark)
	if r := Read(b); !r.Next() || r.String() != "before" || r.Next() || r.Bad() {
		t.Errorf("%d bytes are left", len(b))
	}
}

func FuzzRead(f *testing.F) {
	b, mark := Open(Uint(String(nil, 1, "x"), 2, 300), 3)
	f.Add(Close(String(b, 1, "y"), mark))
	f.Fuzz(func(t *testing.T, raw []byte) {
		total := 0
		for r := Read(raw); r.Next(); {
			total += len(r.Value)
			r.Uint()
			r.Addr()
		}
		if total > len(raw) {
			t.Errorf("%d bytes of %d", total, len(raw))
		}
	})
}

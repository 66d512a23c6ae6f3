package audit

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit/proof"
)

func FuzzEntry(f *testing.F) {
	for _, ev := range examples() {
		body, err := json.Marshal(ev)
		if err != nil {
			f.Fatal(err)
		}
		line, err := json.Marshal(Entry{ID: "01ARZ3NDEKTSV4RRFFQ69G5FAV", Kind: ev.Kind(), Time: time.UnixMilli(1469922850259).UTC(), Body: body})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line)
	}
	f.Add([]byte(`{"record_type":"log.gap","body":[]}`))
	f.Fuzz(func(t *testing.T, leaf []byte) {
		e, err := parseEntry(leaf)
		if err != nil {
			return
		}
		ev, err := Decode(e)
		if err != nil {
			return
		}
		if ev.Kind() != e.Kind {
			t.Errorf("a %s decoded as %s", e.Kind, ev.Kind())
		}
		if _, err := json.Marshal(ev); err != nil {
			t.Errorf("what was decoded cannot be written: %v", err)
		}
	})
}

func FuzzBundle(f *testing.F) {
	f.Add(joinBundle([][]byte{[]byte("one"), nil, []byte("three")}))
	f.Add([]byte{0, 3, 'a'})
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, raw []byte) {
		entries, err := parseBundle(raw)
		back := joinBundle(entries)
		if !bytes.HasPrefix(raw, back) || err == nil && len(back) != len(raw) {
			t.Errorf("%d entries of %d bytes, read back as %d, %v", len(entries), len(raw), len(back), err)
		}
	})
}

func FuzzProof(f *testing.F) {
	l, err := Memory(testConfig())
	if err != nil {
		f.Fatal(err)
	}
	for range 3 {
		if _, err := l.Append(f.Context(), NodeStarted{}); err != nil {
			f.Fatal(err)
		}
	}
	raw, err := Export(f.Context(), l, 1)
	if err != nil {
		f.Fatal(err)
	}
	k := keysOf(f, l.VerifierKey())
	f.Add(raw)
	f.Add([]byte(proof.EntryHeader + "\nextra e30=\nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		// Every worker process has a log of its own under the same key, so a proof that holds may be of another one's entry.
		e, _, err := ReadProof(b, k)
		if err == nil && (e.Kind != KindNodeStarted || e.Seq > 2 || string(e.Body) != `{"listeners":null,"after_crash":false}`) {
			t.Errorf("proved something that was never logged: %+v", e)
		}
	})
}

func FuzzIntents(f *testing.F) {
	b := appendIntent(nil, "20261120-aa", intentTime)
	b = appendIntent(b, "a b\n\"", intentTime)
	f.Add(b)
	f.Add(appendEnd(b, "20261120-aa"))
	f.Add([]byte("B 1 \"x\" 00000000\nE\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		l := newLive()
		readIntents(raw, &l)
		var again []byte
		for _, ref := range l.refs() {
			again = appendIntent(again, ref, l.at[ref].begun)
		}
		m := newLive()
		readIntents(again, &m)
		if !slices.Equal(l.refs(), m.refs()) {
			t.Errorf("%q written and read as %q", l.refs(), m.refs())
		}
	})
}

func FuzzSlots(f *testing.F) {
	s := &slots{size: 512}
	raw := make([]byte, 2*s.size)
	copy(raw, s.head(7))
	copy(raw[slotHead:], appendIntent(nil, "20261120-aa", intentTime))
	copy(raw[s.size:], s.head(8))
	f.Add(raw)
	f.Add(raw[:700])
	f.Add([]byte(slotMagic))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, lines, _ := parseSlots(raw)
		if s == nil {
			if !bytes.Equal(lines, raw) {
				t.Error("no half is in force, and not everything is read")
			}
			return
		}
		if s.number == 0 || s.end != s.size || int64(len(lines)) != s.size-slotHead || !bytes.HasPrefix(raw[s.now*s.size:], s.head(s.number)) {
			t.Errorf("%+v with %d bytes of lines", s, len(lines))
		}
	})
}

func FuzzJournal(f *testing.F) {
	d := &sectors{rnd: rand.New(rand.NewPCG(1, 1)), left: math.MaxInt, fail: math.MaxInt, disk: make([]byte, 3*slotBlock), cache: make([]byte, 3*slotBlock)}
	j := &journal{file: d, size: int64(len(d.disk))}
	for i := range 3 {
		if err := j.keep(uint64(5+2*i), [][]byte{[]byte("one"), nil}); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(d.disk, uint64(5))
	f.Add(d.disk, uint64(9))
	f.Add(d.disk[:5000], uint64(7))
	f.Add(append(make([]byte, slotBlock), d.disk[slotBlock:]...), uint64(5))
	f.Add([]byte(journalMagic), uint64(0))
	f.Fuzz(func(t *testing.T, raw []byte, size uint64) {
		leaves, end := parseJournal(raw, size)
		if end < 0 || end%slotBlock != 0 || end > blocks(int64(len(raw))) || len(leaves) > 0 != (end > 0) {
			t.Errorf("%d entries to %d of %d bytes", len(leaves), end, len(raw))
		}
		rest, missing := behindHole(raw, size+uint64(len(leaves)))
		if missing.lost > 0 && len(rest) == 0 || missing.at != size+uint64(len(leaves)) {
			t.Errorf("%+v, and %d entries behind it", missing, len(rest))
		}
		n := 0
		for _, leaf := range append(leaves, rest...) {
			n += 2 + len(leaf)
		}
		if n > len(raw) {
			t.Errorf("%d bytes of entries in %d", n, len(raw))
		}
	})
}

func FuzzSalts(f *testing.F) {
	rec := bytes.Repeat([]byte{7}, saltRecord)
	f.Add([]byte(saltsMagic), rec[:16])
	f.Add(append([]byte(saltsMagic), rec...), rec[:16])
	f.Add(append([]byte(saltsMagic), make([]byte, saltRecord)...), make([]byte, 16))
	f.Add([]byte("short"), rec[:16])
	f.Fuzz(func(t *testing.T, raw, hash []byte) {
		var h [16]byte
		copy(h[:], hash)
		at, s, err := findSalt(bytes.NewReader(raw), h)
		if err != nil {
			return
		}
		if at%saltRecord != 0 || at < saltRecord || at+saltRecord > int64(len(raw)) {
			t.Fatalf("a record at %d of %d bytes", at, len(raw))
		}
		if !bytes.Equal(raw[at:at+16], h[:]) || !bytes.Equal(raw[at+16:at+saltRecord], s[:]) || h == [16]byte{} {
			t.Errorf("at %d stands another record", at)
		}
	})
}

func FuzzCallReference(f *testing.F) {
	f.Add("20261120-00112233445566778899aabbccddeeff")
	f.Add("2026112-00112233445566778899aabbccddeeff")
	f.Fuzz(func(t *testing.T, ref string) {
		if k, err := parseSaltKey(ref); err == nil && len(k.String()) != 41 {
			t.Errorf("%q read as %q", ref, k)
		}
	})
}

// FuzzHandover: whatever reads as a hand-over is in its one form, and leads nowhere without the signatures of both keys.
func FuzzHandover(f *testing.F) {
	l, err := Memory(testConfig())
	if err != nil {
		f.Fatal(err)
	}
	h, err := l.RotateKey(f.Context(), Rotation{Next: seedKey(2), By: "p-a", Reason: "r"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(h.Raw)
	f.Add(h.Raw + h.Raw)
	f.Fuzz(func(t *testing.T, raw string) {
		list, err := proof.ParseChain(raw)
		if err != nil {
			return
		}
		whole := ""
		for _, one := range list {
			whole += one.Raw
			if one.Old != h.Old && one.New == h.New || one.New != h.New && one.Old == h.Old {
				t.Errorf("a key of ours signed %+v", one)
			}
		}
		if whole != raw {
			t.Errorf("%q reads as %q", raw, whole)
		}
	})
}

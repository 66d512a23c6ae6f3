package jcs

import (
	"bytes"
	"encoding/json"
	"math"
	"reflect"
	"testing"
)

// FuzzCanonical holds three promises: the form is a fixed point, it means the same as the input, and it does not depend on order or space.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{
		`{"b":[1,2.5e-9,"\u00e9"],"a":{"x":null,"\ud83d\ude00":true}}`, `"\ud800"`, `[[[[]]]]`, `-0`, `1e21`, `123456789012345678901234567890`,
		`{"a":1,"a":2}`, " {\t} ", `"\\\""`, "\"\x80\"", `[1E400]`, `{"\u0000":"\u001f"}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := Canonical(in)
		if err != nil {
			return
		}
		again, err := Canonical(out)
		if err != nil || !bytes.Equal(again, out) {
			t.Fatalf("%q becomes %q becomes %q (%v)", in, out, again, err)
		}
		var a, b any
		if err := json.Unmarshal(in, &a); err != nil {
			t.Fatalf("%q was accepted: %v", in, err)
		}
		if err := json.Unmarshal(out, &b); err != nil {
			t.Fatalf("%q became %q: %v", in, out, err)
		}
		if !reflect.DeepEqual(a, b) {
			t.Fatalf("%q means %v, %q means %v", in, a, out, b)
		}
		// encoding/json sorts by bytes and writes other escapes, so this is a different route to the same form.
		rewritten, err := json.MarshalIndent(b, " ", "\t")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Canonical(rewritten); err != nil || !bytes.Equal(got, out) {
			t.Fatalf("%q and its rewritten form %q differ: %q, %q (%v)", in, rewritten, out, got, err)
		}
	})
}

func FuzzNumber(f *testing.F) {
	for _, bits := range []uint64{0, 1, 0x4340000000000000, 0x444b1ae4d6e2ef50, 0x3eb0c6f7a0b5ed8c, math.Float64bits(-1.5e-7)} {
		f.Add(bits)
	}
	f.Fuzz(func(t *testing.T, bits uint64) {
		x := math.Float64frombits(bits)
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return
		}
		text := appendNumber(nil, x)
		var back float64
		if err := json.Unmarshal(text, &back); err != nil || back != x {
			t.Fatalf("%016x: %s reads back as %v (%v)", bits, text, back, err)
		}
		got, err := Canonical(text)
		if err != nil || !bytes.Equal(got, text) {
			t.Fatalf("%s is no fixed point: %s (%v)", text, got, err)
		}
	})
}

func BenchmarkCanonical(b *testing.B) {
	in := []byte(`{"type":"failover.held","at":"2026-11-21T12:00:00Z","regions":["aws:eu-central-1","aws:us-east-1"],"seq":123456,"ruling":{"verdict":"hold","ground":"no_adequacy"}}`)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Canonical(in); err != nil {
			b.Fatal(err)
		}
	}
}

package media

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// agree holds parseSDP against the oracle: what it takes, the oracle takes and reads alike. What it refuses alone is text behind the last value of a line, which
// the oracle takes for the next line.
func agree(t *testing.T, b []byte) (read bool) {
	t.Helper()
	used, text := dirty(), bytes.Clone(b)
	got, ref := parseSDP(text)
	inPlace, _ := parseInto(&used, text)
	clear(text) // nothing of what was read lies in it
	if !reflect.DeepEqual(got.lines, inPlace.lines) {
		t.Fatalf("on the heap\n%+v, in memory that was used before\n%+v\n%q", got.lines, inPlace.lines, b)
	}
	want, wantRef := oracleSDP(b)
	switch {
	case ref == nil && wantRef != nil:
		t.Fatalf("taken, though %v\n%q", wantRef, b)
	case ref != nil && wantRef == nil:
		if !runsOn(string(b)) {
			t.Fatalf("refused: %v\n%q", ref, b)
		}
		return false
	case ref != nil:
		if ref.Status != wantRef.Status || ref.Warning != wantRef.Warning {
			t.Fatalf("%+v, want %+v\n%q", ref, wantRef, b)
		}
		return false
	}
	for _, d := range []*description{&got, want} {
		for i := range d.lines {
			sameFax(&d.lines[i])
			if l := &d.lines[i]; len(l.attrs) == 0 {
				l.attrs = nil
			}
		}
	}
	if len(got.lines) != len(want.lines) {
		t.Fatalf("%d lines, want %d\n%q", len(got.lines), len(want.lines), b)
	}
	for i := range got.lines {
		if !reflect.DeepEqual(got.lines[i], want.lines[i]) {
			t.Fatalf("line %d\n%+v, want\n%+v\n%q", i, got.lines[i], want.lines[i], b)
		}
	}
	return true
}

// dirty is memory in which another description was read.
func dirty() (m saying) {
	_, _ = parseInto(&m, []byte("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 9 RTP/AVP 8 9 111 97 98\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 x\r\na=ptime:30\r\n"))
	return m
}

// runsOn says whether a line of values has another line behind its last one.
func runsOn(text string) bool {
	for raw := range strings.SplitSeq(text, "\n") {
		raw = strings.TrimSuffix(raw, "\r")
		if len(raw) < 2 || raw[1] != '=' || strings.IndexByte("votcrz", raw[0]) < 0 {
			continue
		}
		for _, word := range strings.FieldsFunc(raw[2:], func(r rune) bool { return r == ' ' || r == '\t' }) {
			if len(word) > 1 && word[1] == '=' {
				return true
			}
		}
	}
	return false
}

// corpus are all descriptions of the tests, and each of their variants by one line.
func corpus(t testing.TB) (out [][]byte) {
	t.Helper()
	files, _ := filepath.Glob("testdata/sdp/*.sdp")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return append(out, []byte(manyCodecs))
}

func TestReadsAsTheOracleDoes(t *testing.T) {
	more := []string{
		"i=x\r\n", "u=http://a/%zz\r\n", "u=http://a/b\r\n", "e=a@b\r\n", "p=+1\r\n", "c=IN IP4 192.0.2.1\r\n", "c=IN IP6\r\n", "c=IN IP4 192.0.2.1/127 x\r\n", "c=in IP4 1.1.1.1\r\n",
		"b=AS:64\r\n", "b=X-YZ:64\r\n", "b=YZ:64\r\n", "b=AS:64:1\r\n", "b=AS\r\n", "b=TIAS:x\r\n", "t=0 0\r\n", "t=\r\n", "t=1\r\n", "t=1 x\r\n", "t=1 2 \r\n", "t=1 2 3\r\n", "r=7d 1h 0 25h\r\n", "r=7d\r\n",
		"r=7d 1h\r\n", "r= 7d 1h\r\n", "r=7d s\r\n", "z=1 -1h 2 0\r\n", "z=1\r\n", "z=x\r\n", "z=1 y\r\n", "k=clear:x\r\n", "a=sendonly\r\n", "a=recvonly:x\r\n", "a=:inactive\r\n", "a=\r\n", "a\r\n", "a=rtcp-mux\r\n",
		"a=rtpmap:8 PCMA/8000\n", "a=rtpmap:8 \xff\r\n", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n", "a=rtcp:53020 IN IP4 192.0.2.3\r\n", "a=rtcp:x\r\n",
		"m=audio 1 RTP/AVP 0\r\n", "m= audio 1 RTP/AVP 0\r\n", "m=audio 1/ RTP/AVP 0\r\n", "m=audio 1/2/3 RTP/AVP 0\r\n", "m=audio 1/1 RTP/AVP 0 \r\n", "m=audio\t1  RTP/AVP\t0\r\n", "m=audio 1 RTP/AVP\u00a00 8\r\n", "m=audio 1\r\n",
		"m=video 1 RTP/AVP 31\r\nnonsense\r\n", "m=image 1 udptl t38\r\na=x\r\n", "m=audio 1 UDP/TLS/RTP/SAVP 8\r\n\x00", "v=0\r\n", "v=1\r\n", "v= 0\r\n", "v=18446744073709551616\r\n", "o=- 1 1 IN\r\n", "o=- 1 1 IN IP4\r\n",
		"o= 1 1 IN IP4 a\r\n", "o=- a 1 IN IP4 a\r\n", "o=- 1 1 IN IP5 a\r\n", "o=- 1 1 OUT IP4 a\r\n", "o=- 1 1 IN IP4 a b\r\n", "s=\r\n", "s=\u00fc\r\n", "\r\n", "\r\r\n", " \r\n", "=\r\n", "x=1\r\n", "a=x\x7f\r\n",
	}
	read, refused := 0, 0
	for _, b := range corpus(t) {
		if !agree(t, b) {
			t.Fatalf("a sample was refused\n%s", b)
		}
		lines := strings.SplitAfter(string(b), "\n")
		try := func(parts ...[]string) {
			var all strings.Builder
			for _, p := range parts {
				all.WriteString(strings.Join(p, ""))
			}
			if agree(t, []byte(all.String())) {
				read++
			} else {
				refused++
			}
		}
		for i := range lines {
			try(lines[:i])              // cut off
			try(lines[:i], lines[i+1:]) // one missing
			for _, m := range more {
				try(lines[:i], []string{m}, lines[i:])
				try(lines[:i], []string{m}, lines[i+1:])
			}
		}
	}
	if read < 2000 || refused < 2000 {
		t.Errorf("%d variants were read, %d refused", read, refused)
	}
}

// TestKeepsNothingOfALongDescription: what is remembered of a description for its call does not hold all of its text.
func TestKeepsNothingOfALongDescription(t *testing.T) {
	long := "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\na=candidate:" + strings.Repeat("x", 8000) + "\r\n"
	var kept []description
	before := memory()
	for range 200 {
		d, ref := parseSDP([]byte(long))
		if ref != nil {
			t.Fatal(ref)
		}
		kept = append(kept, d)
	}
	if each := (memory() - before) / 200; each > 2000 {
		t.Errorf("a description of %d bytes keeps %.0f of memory", len(long), each)
	}
	if a := kept[7].lines[0].attrs; len(a) != 1 || a[0] != (attr{"rtpmap", "8 PCMA/8000"}) || kept[7].lines[0].formats[0] != "8" {
		t.Errorf("%+v", kept[7].lines)
	}
}

// FuzzSDP holds the reader against the oracle on any text.
func FuzzSDP(f *testing.F) {
	for _, b := range corpus(f) {
		f.Add(b)
	}
	f.Add([]byte("v=0\r\no=- 1 1 IN IP4 a\r\ns=-\r\ni=x\r\nu=x\r\ne=x\r\np=x\r\nc=IN IP4 a\r\nb=AS:1\r\nt=0 0\r\nr=7d 1h 0\r\nz=1 1h\r\nk=x\r\na=x\r\nm=audio 1 RTP/AVP 0\r\ni=x\r\nc=IN IP6 ::1\r\nb=CT:1\r\nk=x\r\na=inactive\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) { agree(t, b) })
}

func BenchmarkParse(b *testing.B) {
	text, err := os.ReadFile("testdata/sdp/genesys.sdp")
	if err != nil {
		b.Fatal(err)
	}
	for name, parse := range map[string]func([]byte) *Refusal{
		"own": func(b []byte) *Refusal { _, ref := parseSDP(b); return ref }, "pion": func(b []byte) *Refusal { _, ref := oracleSDP(b); return ref },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if ref := parse(text); ref != nil {
					b.Fatal(ref)
				}
			}
		})
	}
}

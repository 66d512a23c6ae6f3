package clip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

// wav makes a file. Chunks may stand before its samples.
func wav(form, channels uint16, hertz uint32, wide uint16, samples []byte, before ...string) []byte {
	format := binary.LittleEndian.AppendUint16(nil, form)
	format = binary.LittleEndian.AppendUint16(format, channels)
	format = binary.LittleEndian.AppendUint32(format, hertz)
	format = binary.LittleEndian.AppendUint32(format, hertz*uint32(wide/8))
	format = binary.LittleEndian.AppendUint16(format, wide/8)
	format = binary.LittleEndian.AppendUint16(format, wide)
	if form == waveExtensible {
		format = append(format, 22, 0, 16, 0, 4, 0, 0, 0, wavePCM, 0)
		format = append(format, waveTail...)
	}
	b := []byte("RIFF____WAVE")
	for _, c := range append(append(before, "fmt "+string(format)), "data"+string(samples)) {
		b = append(b, c[:4]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(c)-4))
		if b = append(b, c[4:]...); len(c)%2 == 1 {
			b = append(b, 0)
		}
	}
	binary.LittleEndian.PutUint32(b[4:], uint32(len(b)-8))
	return b
}

// ramp is sound whose samples all differ.
func ramp(n int) (linear []byte) {
	for i := range n {
		linear = binary.LittleEndian.AppendUint16(linear, uint16(int16(100*i-8000)))
	}
	return linear
}

func TestReadTakesEachForm(t *testing.T) {
	pcm := ramp(200) // a frame and a quarter
	var a, u []byte
	for i := range 200 {
		v := int16(100*i - 8000)
		a, u = append(a, ALaw(v)), append(u, MuLaw(v))
	}
	padA := append(slices.Clone(a), bytes.Repeat([]byte{0xd5}, 120)...)
	padU := append(slices.Clone(u), bytes.Repeat([]byte{0xff}, 120)...)
	for name, x := range map[string]struct {
		file string
		b    []byte
		want []Clip
	}{
		"PCM":                {"a.wav", wav(wavePCM, 1, 8000, 16, pcm), []Clip{{Codec: PCMA, Size: 160, Bytes: padA}, {Codec: PCMU, Size: 160, Bytes: padU}}},
		"extensible PCM":     {"a.WAV", wav(waveExtensible, 1, 8000, 16, pcm), []Clip{{Codec: PCMA, Size: 160, Bytes: padA}, {Codec: PCMU, Size: 160, Bytes: padU}}},
		"chunks before":      {"a.wav", wav(wavePCM, 1, 8000, 16, pcm, "LISTodd", "fact1234"), []Clip{{Codec: PCMA, Size: 160, Bytes: padA}, {Codec: PCMU, Size: 160, Bytes: padU}}},
		"half a sample more": {"a.wav", wav(wavePCM, 1, 8000, 16, append(slices.Clone(pcm), 1)), []Clip{{Codec: PCMA, Size: 160, Bytes: padA}, {Codec: PCMU, Size: 160, Bytes: padU}}},
		"A-law":              {"a.wav", wav(waveALaw, 1, 8000, 8, a), []Clip{{Codec: PCMA, Size: 160, Bytes: padA}}},
		"mu-law":             {"a.wav", wav(waveMuLaw, 1, 8000, 8, u), []Clip{{Codec: "", Size: 0, Bytes: nil}, {Codec: PCMU, Size: 160, Bytes: padU}}},
		"raw A-law":          {"x/held.alaw", a, []Clip{{Codec: PCMA, Size: 160, Bytes: padA}}},
		"raw mu-law":         {"held.ulaw", u, []Clip{{Codec: "", Size: 0, Bytes: nil}, {Codec: PCMU, Size: 160, Bytes: padU}}},
		"G.722, cut":         {"held.g722", bytes.Repeat([]byte{7}, 330), []Clip{{Codec: G722, Size: 160, Bytes: bytes.Repeat([]byte{7}, 320)}}},
		"G.729":              {"held.g729", bytes.Repeat([]byte{7}, 40), []Clip{{Codec: G729, Size: 20, Bytes: bytes.Repeat([]byte{7}, 40)}}},
	} {
		got, err := Read(x.file, x.b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, want := range x.want {
			if want.Codec != "" && (got[i].Codec != want.Codec || got[i].Size != want.Size || !bytes.Equal(got[i].Bytes, want.Bytes)) {
				t.Errorf("%s: %s of %d bytes a frame, %d bytes, want %s, %d, %d", name, got[i].Codec, got[i].Size, len(got[i].Bytes), want.Codec, want.Size, len(want.Bytes))
			}
		}
		if x.want[0].Codec != G722 && x.want[0].Codec != G729 && len(got) != 2 {
			t.Errorf("%s: %d encodings: G.711 goes into both of its laws", name, len(got))
		}
	}
}

func TestReadRefuses(t *testing.T) {
	pcm := ramp(200)
	cut := wav(wavePCM, 1, 8000, 16, pcm)
	for name, x := range map[string]struct {
		file, what string
		b          []byte
	}{
		"another form":    {"a.mp3", `".mp3" is of no form`, pcm},
		"no ending":       {"held", `"" is of no form`, pcm},
		"no RIFF":         {"a.wav", "no WAV file", pcm},
		"two channels":    {"a.wav", "2 channels", wav(wavePCM, 2, 8000, 16, pcm)},
		"44.1 kHz":        {"a.wav", "44100 samples", wav(wavePCM, 1, 44100, 16, pcm)},
		"24 bits":         {"a.wav", "form 1 with 24 bits", wav(wavePCM, 1, 8000, 24, pcm)},
		"8 bit PCM":       {"a.wav", "form 1 with 8 bits", wav(wavePCM, 1, 8000, 8, pcm)},
		"floats":          {"a.wav", "form 3", wav(3, 1, 8000, 32, pcm)},
		"cut off":         {"a.wav", "ends before", cut[:len(cut)-1]},
		"only a head":     {"a.wav", "ends before", cut[:12]},
		"short format":    {"a.wav", "ends before", wav(wavePCM, 1, 8000, 16, pcm, "fmt 123")},
		"samples first":   {"a.wav", "come before", wav(wavePCM, 1, 8000, 16, pcm, "data1234")},
		"other subformat": {"a.wav", "no form that is known", bytes.Replace(wav(waveExtensible, 1, 8000, 16, pcm), []byte(waveTail), bytes.Repeat([]byte{9}, 14), 1)},
		"nothing":         {"a.alaw", "no sound", nil},
		"no samples":      {"a.wav", "no sound", wav(wavePCM, 1, 8000, 16, nil)},
		"half a frame":    {"a.g722", "no sound", pcm[:100]},
		"too long":        {"a.alaw", "lasts 2m0.02s", make([]byte, 120*8000+1)},
		"too large":       {"a.wav", "too many", make([]byte, MaxFile+1)},
	} {
		_, err := Read(x.file, x.b)
		var p *Problem
		if !errors.As(err, &p) || !strings.Contains(p.What, x.what) || p.Hint == "" {
			t.Errorf("%s: %v, want %q and what to do", name, err, x.what)
		}
	}
	if got, err := Read("a.alaw", make([]byte, 120*8000)); err != nil || got[0].Length() != MaxLength {
		t.Errorf("two minutes: %v", err)
	}
}

// level is how strong a tone is among the samples, 0 to 1 (Goertzel).
func level(b []byte, hz float64) float64 {
	k := 2 * math.Cos(2*math.Pi*hz/rate)
	var s1, s2, energy float64
	for _, c := range b {
		x := float64(FromALaw(c))
		s1, s2 = x+k*s1-s2, s1
		energy += x * x
	}
	return 2 * (s1*s1 + s2*s2 - k*s1*s2) / (float64(len(b)) * energy)
}

// ITU-T E.180: 950, 1400 and 1800 Hz, 330 ms each, then 1 s of silence.
func TestTheSpecialInformationTone(t *testing.T) {
	clips := Special()
	if len(clips) != 2 || clips[0].Codec != PCMA || clips[1].Codec != PCMU || clips[0].Length() != 2*time.Second || clips[1].Length() != 2*time.Second {
		t.Fatalf("%d clips", len(clips))
	}
	b := clips[0].Bytes
	for i, hz := range []float64{950, 1400, 1800} {
		if got := level(b[i*2640:(i+1)*2640], hz); got < 0.95 {
			t.Errorf("tone %d: %.2f of it is %v Hz", i, got, hz)
		}
	}
	if i := slices.IndexFunc(b[3*2640:], func(c byte) bool { return c != 0xd5 }); i >= 0 {
		t.Errorf("sample %d of the silence is sound", i)
	}
	for i := range b {
		if d := int(FromALaw(b[i])) - int(FromMuLaw(clips[1].Bytes[i])); d < -256 || d > 256 {
			t.Fatalf("sample %d differs by %d between the two laws", i, d)
		}
	}
}

// Whatever a file holds, reading it ends, and what is taken can be played.
func FuzzRead(f *testing.F) {
	f.Add("a.wav", wav(wavePCM, 1, 8000, 16, ramp(200)))
	f.Add("a.wav", wav(waveExtensible, 1, 8000, 16, ramp(20), "LISTodd"))
	f.Add("a.wav", wav(waveMuLaw, 1, 8000, 8, ramp(20)))
	f.Add("a.alaw", ramp(1))
	f.Add("a.g722", ramp(100))
	f.Fuzz(func(t *testing.T, name string, b []byte) {
		clips, err := Read(name, b)
		var p *Problem
		switch {
		case err != nil && !errors.As(err, &p):
			t.Fatalf("an error that says not what to do: %v", err)
		case err != nil:
			return
		}
		for _, c := range clips {
			if c.Codec == "" || c.Frames() < 1 || len(c.Bytes) != c.Frames()*c.Size || c.Length() > MaxLength {
				t.Fatalf("%s: %d bytes of %d a frame", c.Codec, len(c.Bytes), c.Size)
			}
		}
	})
}

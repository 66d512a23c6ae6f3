// Package clip is sound that is played to callers: files in the few forms that telephone systems keep, a tone for whom names no file, and G.711.
//
// It is pure: who reads files gives it their bytes. It imports the standard library only.
package clip

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
)

const (
	// Frame is how long one packet of a clip lasts.
	Frame = 20 * time.Millisecond
	// MaxLength bounds a clip: proxies on the way to a caller give up a call that is not answered in three minutes (RFC 3261 section 16.6, Timer C).
	MaxLength = 2 * time.Minute
	// MaxFile bounds a file: two minutes of 16 bit samples, with as much beside them as recorders write.
	MaxFile = 2<<20 + 64<<10

	rate         = 8000 // samples a second
	frameSamples = 160
)

// Clip is sound in one encoding, in whole frames.
type Clip struct {
	Codec  string // encoding name, as rtpmap has it
	Size   int    // bytes of one frame
	Bytes  []byte
	Turned bool // it is in another law than its file
}

// Frames is how many packets it makes.
func (c Clip) Frames() int { return len(c.Bytes) / c.Size }

// Length is how long it lasts.
func (c Clip) Length() time.Duration { return time.Duration(c.Frames()) * Frame }

// Problem is what is wrong with a file, and what to do.
type Problem struct{ What, Hint string }

func (p *Problem) Error() string { return "clip: " + p.What + "; " + p.Hint }

// Names of the encodings.
const (
	PCMA = "PCMA"
	PCMU = "PCMU"
	G722 = "G722"
	G729 = "G729"
)

// raw are the encodings that a file may hold without a header, by its ending. The time stamps of all of them count 8,000 a second: those of G.722 by RFC 3551
// section 4.5.2.
var raw = map[string]struct {
	codec string
	size  int // bytes of 20 ms
}{
	".alaw": {PCMA, frameSamples}, ".ulaw": {PCMU, frameSamples}, ".g722": {G722, 160}, ".g729": {G729, 20},
}

// Endings are those of files that Read takes.
func Endings() []string { return []string{".wav", ".alaw", ".ulaw", ".g722", ".g729"} }

const say = "8000 samples a second, one channel, 16 bit PCM, A-law or mu-law"

// Read takes a file, by the ending of its name, in each encoding that it can be played in: G.711 in both of its laws, any other as it is. The error is a *Problem.
func Read(name string, b []byte) ([]Clip, error) {
	if len(b) > MaxFile {
		return nil, &Problem{fmt.Sprintf("%d bytes are too many", len(b)), fmt.Sprintf("shorten it to %s at most", MaxLength)}
	}
	ending := strings.ToLower(path.Ext(name))
	form, ok := raw[ending]
	var out []Clip
	switch {
	case ending == ".wav":
		samples, law, err := readWAV(b)
		if err != nil {
			return nil, err
		}
		out = turned(samples, law)
	case !ok:
		return nil, &Problem{fmt.Sprintf("the ending %q is of no form that is played", ending), "one of " + strings.Join(Endings(), ", ")}
	case form.codec == PCMA:
		out = turned(expand(b, FromALaw), PCMA)
	case form.codec == PCMU:
		out = turned(expand(b, FromMuLaw), PCMU)
	default: // nothing is known here that could fill the last frame up
		out = []Clip{{Codec: form.codec, Size: form.size, Bytes: slices.Clone(b[:len(b)/form.size*form.size])}}
	}
	return out, check(out[0])
}

func check(c Clip) error {
	switch n := c.Length(); {
	case n == 0:
		return &Problem{"there is no sound in it", "record a sentence, or leave the file out for a tone"}
	case n > MaxLength:
		return &Problem{fmt.Sprintf("it lasts %s", n), fmt.Sprintf("shorten it to %s at most", MaxLength)}
	}
	return nil
}

// expand makes linear samples of an octet each.
func expand(b []byte, law func(byte) int16) []int16 {
	out := make([]int16, len(b))
	for i := range b {
		out[i] = law(b[i])
	}
	return out
}

// G711 is linear sound, 8,000 samples a second, in A-law and in mu-law. Silence fills the last frame up.
func G711(samples []int16) []Clip {
	frames := (len(samples) + frameSamples - 1) / frameSamples
	a := Clip{Codec: PCMA, Size: frameSamples, Bytes: make([]byte, frames*frameSamples)}
	u := Clip{Codec: PCMU, Size: frameSamples, Bytes: make([]byte, frames*frameSamples)}
	for i := range a.Bytes {
		v := int16(0)
		if i < len(samples) {
			v = samples[i]
		}
		a.Bytes[i], u.Bytes[i] = ALaw(v), MuLaw(v)
	}
	return []Clip{a, u}
}

// turned is sound of a file in both laws; law is that of the file, "" where it was in neither.
func turned(samples []int16, law string) []Clip {
	out := G711(samples)
	for i := range out {
		out[i].Turned = law != "" && law != out[i].Codec
	}
	return out
}

var errEnd = errors.New("it ends before it should")

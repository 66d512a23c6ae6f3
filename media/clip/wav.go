package clip

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Words of the format field, RFC 2361.
const (
	wavePCM        = 1
	waveALaw       = 6
	waveMuLaw      = 7
	waveExtensible = 0xfffe
)

// waveTail is what stands behind the first two bytes of a subformat that is one of the words above.
const waveTail = "\x00\x00\x00\x00\x10\x00\x80\x00\x00\xaa\x00\x38\x9b\x71"

// readWAV reads a RIFF file of sound. Chunks that say nothing of the samples are left out.
func readWAV(b []byte) (samples []int16, law string, err error) {
	if len(b) < 12 || string(b[:4]) != "RIFF" || string(b[8:12]) != "WAVE" {
		return nil, "", &Problem{"it is no WAV file", "save it as WAV with " + say}
	}
	var read func([]byte) []int16
	for rest := b[12:]; ; {
		name, chunk, next, err := riff(rest)
		if err != nil {
			return nil, "", &Problem{err.Error(), "it was cut off, or its recorder did not close it: save it again"}
		}
		switch {
		case name == "fmt ":
			if read, law, err = readFormat(chunk); err != nil {
				return nil, "", &Problem{err.Error(), "save it as WAV with " + say}
			}
		case name == "data" && read == nil:
			return nil, "", &Problem{"its samples come before it says what they are", "save it again"}
		case name == "data":
			return read(chunk), law, nil
		}
		rest = next
	}
}

// riff cuts the first chunk off.
func riff(b []byte) (name string, chunk, rest []byte, err error) {
	if len(b) < 8 {
		return "", nil, nil, errEnd
	}
	n := uint64(binary.LittleEndian.Uint32(b[4:]))
	if n > uint64(len(b)-8) {
		return "", nil, nil, errEnd
	}
	chunk, rest = b[8:8+n], b[8+n:]
	if n%2 == 1 && len(rest) > 0 { // chunks begin at even places
		rest = rest[1:]
	}
	return string(b[:4]), chunk, rest, nil
}

// readFormat says how samples are read, and of which law they are.
func readFormat(b []byte) (read func([]byte) []int16, law string, err error) {
	if len(b) < 16 {
		return nil, "", errEnd
	}
	word, channels, hertz, wide := binary.LittleEndian.Uint16(b), binary.LittleEndian.Uint16(b[2:]), binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint16(b[14:])
	if word == waveExtensible {
		if len(b) < 40 || string(b[26:40]) != waveTail {
			return nil, "", errors.New("its samples are in no form that is known")
		}
		word = binary.LittleEndian.Uint16(b[24:])
	}
	switch {
	case channels != 1:
		return nil, "", fmt.Errorf("it has %d channels", channels)
	case hertz != rate:
		return nil, "", fmt.Errorf("it has %d samples a second", hertz)
	case word == wavePCM && wide == 16:
		return linear, "", nil
	case word == waveALaw && wide == 8:
		return func(b []byte) []int16 { return expand(b, FromALaw) }, PCMA, nil
	case word == waveMuLaw && wide == 8:
		return func(b []byte) []int16 { return expand(b, FromMuLaw) }, PCMU, nil
	}
	return nil, "", fmt.Errorf("its samples are of form %d with %d bits", word, wide)
}

// linear reads samples of 16 bits; half a one at the end is left out.
func linear(b []byte) []int16 {
	out := make([]int16, len(b)/2)
	for i := range out {
		out[i] = int16(binary.LittleEndian.Uint16(b[2*i:]))
	}
	return out
}

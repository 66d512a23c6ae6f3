package media

import "math"

// amplitude of the tone: about -9 dBm0, well inside the A-law range.
const amplitude = 8000

// encodeTone fills b with A-law samples of a sine; start is the number of the first sample, so that frames join without a click.
func encodeTone(b []byte, hz float64, start int) {
	for i := range b {
		b[i] = encodeA(int(amplitude * math.Sin(2*math.Pi*hz*float64(start+i)/8000)))
	}
}

// encodeA is ITU-T G.711 table 1a for one 16 bit sample.
func encodeA(v int) byte {
	sign := byte(0x80)
	if v < 0 {
		v, sign = -v-1, 0
	}
	v = min(v>>3, 4095) // A-law knows 12 bits of magnitude
	seg := 0
	for s := v >> 5; s > 0; s >>= 1 {
		seg++
	}
	var code byte
	if seg < 2 {
		code = byte(v >> 1)
	} else {
		code = byte(seg<<4) | byte(v>>seg)&15
	}
	return (code | sign) ^ 0x55 // even bits are inverted on the line
}

// decodeA is its reverse, to the middle of the interval.
func decodeA(b byte) int {
	b ^= 0x55
	seg, v := int(b>>4&7), int(b&15)<<4+8
	if seg > 0 {
		v = (v + 0x100) << (seg - 1)
	}
	if b&0x80 == 0 {
		return -v
	}
	return v
}

// share is the part of the frame's energy that lies at hz, 0 to 1, by the Goertzel recursion.
func share(frame []byte, hz float64) float64 {
	k := 2 * math.Cos(2*math.Pi*hz/8000)
	var s1, s2, energy float64
	for _, b := range frame {
		x := float64(decodeA(b))
		s1, s2 = x+k*s1-s2, s1
		energy += x * x
	}
	if energy < float64(len(frame))*100*100 {
		return 0 // silence has no tone
	}
	power := s1*s1 + s2*s2 - k*s1*s2
	return 2 * power / (float64(len(frame)) * energy)
}

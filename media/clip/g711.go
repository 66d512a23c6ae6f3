package clip

import "math/bits"

// ALaw is ITU-T G.711 table 1a for one sample of 16 bits.
func ALaw(s int16) byte {
	v, sign := int(s), byte(0x80)
	if v < 0 {
		v, sign = -v-1, 0
	}
	v >>= 3 // A-law knows 12 bits of magnitude
	seg := bits.Len(uint(v >> 5))
	var code byte
	if seg < 2 {
		code = byte(v >> 1)
	} else {
		code = byte(seg<<4) | byte(v>>seg)&15
	}
	return (code | sign) ^ 0x55 // even bits are inverted on the line
}

// FromALaw is its reverse, to the middle of the interval.
func FromALaw(b byte) int16 {
	b ^= 0x55
	seg, v := int(b>>4&7), int(b&15)<<4+8
	if seg > 0 {
		v = (v + 0x100) << (seg - 1)
	}
	if b&0x80 == 0 {
		v = -v
	}
	return int16(v)
}

// muBias is what table 2a adds to a magnitude of 13 bits, so that its segments begin at powers of two.
const muBias = 33

// MuLaw is ITU-T G.711 table 2a for one sample of 16 bits.
func MuLaw(s int16) byte {
	v, sign := int(s), byte(0)
	if v < 0 {
		v, sign = -v-1, 0x80
	}
	v = min(v>>2, 8158) + muBias
	seg := bits.Len(uint(v)) - 6
	return ^(sign | byte(seg<<4) | byte(v>>(seg+1))&15) // all bits are inverted on the line
}

// FromMuLaw is its reverse, to the middle of the interval.
func FromMuLaw(b byte) int16 {
	b = ^b
	seg := b >> 4 & 7
	v := ((int(b&15)<<1+muBias)<<seg - muBias) << 2
	if b&0x80 != 0 {
		v = -v
	}
	return int16(v)
}

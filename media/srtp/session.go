package srtp

import "math/bits"

// session is the session keys of RTP or of RTCP, RFC 3711 section 4.3. What the processor does with them is in keys, of which there are two: the assembly
// of keys_amd64.s, and portable.
type session struct {
	salt block // the rest of it is 0, as RFC 3711 section 4.1.1 and RFC 7714 section 8.1 put it into the counter block
	keys
}

// block is 16 bytes as two words, the first byte of each the lowest: it stays in registers, where an array would be written and read again.
type block struct{ a, b uint64 }

// counter is the first counter block of a packet, RTP's or RTCP's: RFC 3711 section 4.1.1.
func (k *session) counter(ssrc uint32, index uint64) block {
	return block{k.salt.a ^ bits.ReverseBytes64(uint64(ssrc)), k.salt.b ^ bits.ReverseBytes64(index<<16)}
}

// nonce is RFC 7714 section 8.1: two zero bytes, SSRC, rollover counter, sequence number; and, as the 31-bit index of SRTCP lies where the lower bits of
// RTP's do, section 9.1. The last four bytes of the block are the counter, and 0.
func (k *session) nonce(ssrc uint32, index uint64) block {
	return block{k.salt.a ^ bits.ReverseBytes64(uint64(ssrc)<<16^index>>32), k.salt.b ^ uint64(bits.ReverseBytes32(uint32(index)))}
}

package srtp

import "encoding/binary"

// session is the session keys of RTP or of RTCP, RFC 3711 section 4.3. What the processor does with them is in keys, of which there are two: the assembly
// of keys_amd64.s, and portable.
type session struct {
	salt [16]byte // the rest of it is 0, as RFC 3711 section 4.1.1 and RFC 7714 section 8.1 put it into the counter block
	keys
}

// counter is the first counter block of a packet, RTP's or RTCP's: RFC 3711 section 4.1.1.
func (k *session) counter(ssrc uint32, index uint64) (iv [16]byte) {
	hi, lo := binary.BigEndian.Uint64(k.salt[:]), binary.BigEndian.Uint64(k.salt[8:])
	binary.BigEndian.PutUint64(iv[:], hi^uint64(ssrc))
	binary.BigEndian.PutUint64(iv[8:], lo^index<<16)
	return iv
}

// nonce is RFC 7714 section 8.1: two zero bytes, SSRC, rollover counter, sequence number; and, as the 31-bit index of SRTCP lies where the lower bits of
// RTP's do, section 9.1. The last four bytes of the block are the counter.
func (k *session) nonce(ssrc uint32, index uint64) (iv [16]byte) {
	hi, lo := binary.BigEndian.Uint64(k.salt[:]), binary.BigEndian.Uint32(k.salt[8:])
	binary.BigEndian.PutUint64(iv[:], hi^uint64(ssrc)<<16^index>>32)
	binary.BigEndian.PutUint32(iv[8:], lo^uint32(index))
	return iv
}

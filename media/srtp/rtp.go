package srtp

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
)

// fixedRTP is the part of an RTP header that every packet has, in bytes.
const fixedRTP = 12

// SealRTP protects b, a whole packet whose header (fixed part, CSRCs, extension) has so many bytes and holds its SSRC and the number that belongs to
// index, the 48-bit index of the packet. An index must never be used twice with one SSRC under one key.
// The result begins where dst does, which must have room for len(b)+Overhead; dst may begin where b begins, and may not overlap it otherwise.
// nil: the header does not fit, or dst has no room.
func (c *Context) SealRTP(dst, b []byte, header int, index uint64) []byte {
	if c.suite == 0 || header < fixedRTP || header > len(b) || cap(dst) < len(b)+Overhead {
		return nil
	}
	ssrc := binary.BigEndian.Uint32(b[8:])
	if c.suite.aead() {
		out := dst[:len(b)+tagGCM]
		copy(out, b[:header])
		iv := c.rtp.nonceRTP(ssrc, index)
		c.rtp.sealGCM(out[header:], b[header:], &iv, out[:header])
		return out
	}
	out := dst[:len(b)+c.suite.tag()]
	copy(out, b[:header])
	iv := c.rtp.counter(ssrc, index)
	c.rtp.crypt(out[header:len(b)], b[header:], &iv)
	var sum [20]byte
	c.rtp.hmac(&sum, out[:len(b)], uint32(index>>16), true)
	copy(out[len(b):], sum[:])
	return out
}

// OpenRTP authenticates b as the packet of that index, and decrypts it. header and dst are as for SealRTP, but that dst needs no more room than b has.
// false: b is not that packet, and is unchanged, unless dst begins where b does.
func (c *Context) OpenRTP(dst, b []byte, header int, index uint64) ([]byte, bool) {
	if c.suite == 0 || header < fixedRTP || header > len(b) || cap(dst) < len(b) {
		return nil, false
	}
	ssrc := binary.BigEndian.Uint32(b[8:])
	if c.suite.aead() {
		end := len(b) - len(c.mki) // the identifier comes last: RFC 7714 section 8.2 counts the tag as ciphertext
		if end-header < tagGCM || !bytes.Equal(b[end:], c.mki) {
			return nil, false
		}
		out := dst[:end-tagGCM]
		iv := c.rtp.nonceRTP(ssrc, index)
		if !c.rtp.openGCM(out[header:], b[header:end], &iv, b[:header]) {
			return nil, false
		}
		copy(out, b[:header])
		return out, true
	}
	tag := len(b) - c.suite.tag()
	end := tag - len(c.mki) // RFC 3711 section 3.1
	if end < header || !bytes.Equal(b[end:tag], c.mki) {
		return nil, false
	}
	var sum [20]byte
	c.rtp.hmac(&sum, b[:end], uint32(index>>16), true)
	if subtle.ConstantTimeCompare(sum[:len(b)-tag], b[tag:]) != 1 {
		return nil, false
	}
	out := dst[:end]
	copy(out, b[:header])
	iv := c.rtp.counter(ssrc, index)
	c.rtp.crypt(out[header:], b[header:end], &iv)
	return out, true
}

// counter is the first counter block of a packet, RTP's or RTCP's: RFC 3711 section 4.1.1.
func (k *keys) counter(ssrc uint32, index uint64) (iv [16]byte) {
	hi, lo := binary.BigEndian.Uint64(k.salt[:]), binary.BigEndian.Uint64(k.salt[8:])
	binary.BigEndian.PutUint64(iv[:], hi^uint64(ssrc))
	binary.BigEndian.PutUint64(iv[8:], lo^index<<16)
	return iv
}

// nonceRTP is RFC 7714 section 8.1: two zero bytes, SSRC, rollover counter, sequence number.
func (k *keys) nonceRTP(ssrc uint32, index uint64) (iv [12]byte) {
	hi, lo := binary.BigEndian.Uint64(k.salt[:]), binary.BigEndian.Uint32(k.salt[8:])
	binary.BigEndian.PutUint64(iv[:], hi^uint64(ssrc)<<16^index>>32&0xffff)
	binary.BigEndian.PutUint32(iv[8:], lo^uint32(index))
	return iv
}

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
		iv := c.rtp.nonce(ssrc, index)
		c.rtp.sealGCM(out[header:], b[header:], iv, out[:header], 0, false)
		return out
	}
	out := dst[:len(b)+c.suite.tag()]
	copy(out, b[:header])
	iv := c.rtp.counter(ssrc, index)
	c.rtp.crypt(out[header:len(b)], b[header:], iv)
	var sum [20]byte
	c.rtp.hmac(&sum, out[:len(b)], uint32(index>>16), true)
	copy(out[len(b):], sum[:])
	return out
}

// OpenRTP authenticates b as the packet of that index, and decrypts it. header and dst are as for SealRTP, but that dst needs no more room than b has.
// false: b is not that packet; neither b nor dst is changed, so that b may be tried as one of another index.
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
		iv := c.rtp.nonce(ssrc, index)
		if !c.rtp.openGCM(out[header:], b[header:end], iv, b[:header], 0, false) {
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
	c.rtp.crypt(out[header:], b[header:end], iv)
	return out, true
}

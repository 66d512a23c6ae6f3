package srtp

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"
)

const (
	fixedRTCP = 8 // first word and SSRC of the first packet of a compound, which stay in clear
	indexWord = 4 // E bit and index
	encrypted = 1 << 31
)

// SealRTCP protects b, a compound packet, under the 31-bit index. An index must never be used twice with one SSRC under one key. dst is as for
// SealRTP. nil: b is no RTCP, the index has more than 31 bits, or dst has no room.
func (c *Context) SealRTCP(dst, b []byte, index uint32) []byte {
	if c.suite == 0 || len(b) < fixedRTCP || index >= encrypted || cap(dst) < len(b)+Overhead {
		return nil
	}
	var room session
	defer func() { room = session{} }()
	k := c.rtcp.session(c.suite, &room)
	ssrc, n := binary.BigEndian.Uint32(b[4:]), len(b)
	if c.suite.aead() {
		out := dst[:n+tagGCM+indexWord]
		copy(out, b[:fixedRTCP])
		iv := k.nonce(ssrc, uint64(index))
		k.sealGCM(out[fixedRTCP:n+tagGCM], b[fixedRTCP:], iv, b[:fixedRTCP], index|encrypted, true)
		binary.BigEndian.PutUint32(out[n+tagGCM:], index|encrypted)
		return out
	}
	out := dst[:n+indexWord+tag80]
	copy(out, b[:fixedRTCP])
	iv := k.counter(ssrc, uint64(index))
	k.crypt(out[fixedRTCP:n], b[fixedRTCP:], iv)
	binary.BigEndian.PutUint32(out[n:], index|encrypted)
	var sum [20]byte
	k.hmac(&sum, out[:n+indexWord], 0, false)
	copy(out[n+indexWord:], sum[:])
	return out
}

// OpenRTCP authenticates and decrypts b and gives the index that it carries, for the replay window. dst is as for OpenRTP. false: b is not our peer's,
// and neither b nor dst is changed. A packet that is not encrypted is not our peer's: that was never negotiated (RFC 4568 section 6.3.2).
func (c *Context) OpenRTCP(dst, b []byte) (plain []byte, index uint32, ok bool) {
	if c.suite == 0 || cap(dst) < len(b) {
		return nil, 0, false
	}
	if c.suite.aead() {
		return c.openRTCPGCM(dst, b)
	}
	tag := len(b) - tag80
	word := tag - len(c.mki) - indexWord // RFC 3711 section 3.4
	if word < fixedRTCP || !bytes.Equal(b[word+indexWord:tag], c.mki) {
		return nil, 0, false
	}
	if index = binary.BigEndian.Uint32(b[word:]); index < encrypted {
		return nil, 0, false
	}
	var room session
	defer func() { room = session{} }()
	k := c.rtcp.session(c.suite, &room)
	var sum [20]byte
	k.hmac(&sum, b[:word+indexWord], 0, false)
	if subtle.ConstantTimeCompare(sum[:tag80], b[tag:]) != 1 {
		return nil, 0, false
	}
	index &^= encrypted
	out := dst[:word]
	copy(out, b[:fixedRTCP])
	iv := k.counter(binary.BigEndian.Uint32(b[4:]), uint64(index))
	k.crypt(out[fixedRTCP:], b[fixedRTCP:word], iv)
	return out, index, true
}

// openRTCPGCM is RFC 7714 section 9.2: ciphertext with its tag, index word, identifier.
func (c *Context) openRTCPGCM(dst, b []byte) (plain []byte, index uint32, ok bool) {
	word := len(b) - len(c.mki) - indexWord
	if word < fixedRTCP+tagGCM || !bytes.Equal(b[word+indexWord:], c.mki) {
		return nil, 0, false
	}
	if index = binary.BigEndian.Uint32(b[word:]); index < encrypted {
		return nil, 0, false
	}
	index &^= encrypted
	out := dst[:word-tagGCM]
	var room session
	defer func() { room = session{} }()
	k := c.rtcp.session(c.suite, &room)
	iv := k.nonce(binary.BigEndian.Uint32(b[4:]), uint64(index))
	if !k.openGCM(out[fixedRTCP:], b[fixedRTCP:word], iv, b[:fixedRTCP], index|encrypted, true) {
		return nil, 0, false
	}
	copy(out, b[:fixedRTCP])
	return out, index, true
}

// associated is what an AEAD suite authenticates besides the ciphertext, RFC 7714 section 9.2: the bytes in clear and the index word.
func associated(head []byte, word uint32) (aad [fixedRTCP + indexWord]byte) {
	copy(aad[:], head)
	binary.BigEndian.PutUint32(aad[fixedRTCP:], word)
	return aad
}

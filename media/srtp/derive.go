package srtp

import "encoding/binary"

// Labels of the session keys, RFC 3711 section 4.3.2. Those of SRTCP follow in the same order.
const (
	labelCipher byte = iota
	labelAuth
	labelSalt
	labelsRTCP
)

// authKey is the length of the key of HMAC-SHA1 in bytes, RFC 3711 section 5.2.
const authKey = 20

func (c *Context) derive(master, salt []byte) error {
	var prf keys
	var rtp dormant
	defer func() { prf, rtp = keys{}, dormant{} }()
	if err := prf.cipher(master); err != nil { // RFC 6188 section 3: AES-256 for the suites that have 256 bits
		return err
	}
	rtp.derive(c.suite, &prf, salt, 0)
	c.rtcp.derive(c.suite, &prf, salt, labelsRTCP)
	if err := c.rtp.wake(c.suite, &rtp); err != nil {
		return err
	}
	return c.rtcp.settle(c.suite)
}

// random fills dst, which is zero, with the pseudo-random function of RFC 3711 section 4.3.3: counter mode under the master key over x * 2^16, where x is
// the salt with the label at byte 7, as the index of a key derivation rate of 0 is 0. A salt of 96 bits is padded on its right, RFC 7714 section 11.
func (k *keys) random(dst, salt []byte, label byte) {
	var iv [16]byte
	copy(iv[:], salt)
	iv[7] ^= label
	k.crypt(dst, dst, blockOf(iv))
}

func blockOf(b [16]byte) block {
	return block{binary.LittleEndian.Uint64(b[:]), binary.LittleEndian.Uint64(b[8:])}
}

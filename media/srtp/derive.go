package srtp

import "crypto/aes"

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
	if err := c.rtp.derive(c.suite, master, salt, 0); err != nil {
		return err
	}
	return c.rtcp.derive(c.suite, master, salt, labelsRTCP)
}

// derive makes the three session keys whose labels begin at first.
func (k *keys) derive(s Suite, master, salt []byte, first byte) error {
	var cipher, auth, mask [32]byte
	defer func() { clear(cipher[:]); clear(auth[:]); clear(mask[:]) }()
	n, m := s.Lengths()
	for _, d := range []struct {
		label byte
		to    []byte
	}{{labelCipher, cipher[:n]}, {labelAuth, auth[:authKey]}, {labelSalt, mask[:m]}} {
		if err := prf(d.to, master, salt, first+d.label); err != nil {
			return err
		}
	}
	copy(k.salt[:], mask[:m])
	return k.set(s, cipher[:n], auth[:authKey])
}

// prf fills dst with the pseudo-random function of RFC 3711 section 4.3.3: AES in counter mode over x * 2^16, where x is the salt with the label at
// byte 7, as the index of a key derivation rate of 0 is 0. A salt of 96 bits is padded on its right, RFC 7714 section 11.
func prf(dst, master, salt []byte, label byte) error {
	block, err := aes.NewCipher(master) // RFC 6188 section 3: with AES-256 for the suites that have 256 bits
	if err != nil {
		return err
	}
	var counter, out [16]byte
	copy(counter[:], salt)
	counter[7] ^= label
	for i := range (len(dst) + 15) / 16 {
		counter[15] = byte(i)
		block.Encrypt(out[:], counter[:])
		copy(dst[16*i:], out[:])
	}
	clear(out[:])
	return nil
}

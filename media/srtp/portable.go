package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"encoding"
	"encoding/binary"
	"hash"
)

// usual is the longest packet that is usual, in bytes.
const usual = 1500

// portable is keys for the standard library, with the room that its interfaces need so that nothing is allocated for a packet: what goes through an
// interface would otherwise be moved to the heap each time.
type portable struct {
	block cipher.Block // counter mode
	aead  cipher.AEAD  // of the AEAD suites

	// HMAC: the state of SHA-1 after the inner and after the outer key block, so that a packet costs neither (RFC 2104 section 4).
	sha1         digest
	inner, outer []byte
	sum          [20]byte

	iv, stream [16]byte
	plain      []byte // what was opened last
	aad        [fixedRTCP + indexWord]byte
}

type digest interface {
	hash.Hash
	encoding.BinaryMarshaler
	encoding.BinaryUnmarshaler
}

// cipher takes a key for counter mode alone.
func (k *portable) cipher(key []byte) (err error) {
	k.block, err = aes.NewCipher(key)
	return err
}

// set takes the derived keys into use.
func (k *portable) set(s Suite, key, auth []byte) (err error) {
	if err = k.cipher(key); err != nil {
		return err
	}
	if s.aead() {
		k.aead, err = cipher.NewGCM(k.block)
		return err
	}
	k.sha1 = sha1.New().(digest)
	if k.inner, err = k.after(auth, 0x36); err != nil {
		return err
	}
	k.outer, err = k.after(auth, 0x5c)
	return err
}

// after gives the state of SHA-1 behind the key block with that pad, RFC 2104 section 2.
func (k *portable) after(auth []byte, pad byte) ([]byte, error) {
	var b [sha1.BlockSize]byte
	copy(b[:], auth)
	for i := range b {
		b[i] ^= pad
	}
	k.sha1.Reset()
	k.sha1.Write(b[:])
	return k.sha1.MarshalBinary()
}

// crypt puts src, with the key stream that begins at counter block iv put over it, into dst, which is as long.
func (k *portable) crypt(dst, src []byte, iv block) {
	k.begin(iv)
	for i := uint16(0); len(src) > 0; i++ {
		binary.BigEndian.PutUint16(k.iv[14:], i) // 2^16 blocks at most: RFC 3711 section 4.1.1
		k.block.Encrypt(k.stream[:], k.iv[:])
		n := subtle.XORBytes(dst, src, k.stream[:])
		dst, src = dst[n:], src[n:]
	}
}

// wipe overwrites what is secret; k may be nil.
func (k *portable) wipe() {
	if k == nil {
		return
	}
	clear(k.inner)
	clear(k.outer)
	clear(k.plain[:cap(k.plain)])
	if k.sha1 != nil {
		k.sha1.Reset()
	}
	*k = portable{}
}

func (k *portable) begin(iv block) {
	binary.LittleEndian.PutUint64(k.iv[:], iv.a)
	binary.LittleEndian.PutUint64(k.iv[8:], iv.b)
}

// hmac is HMAC-SHA1 of b, and of the rollover counter behind it if there is one: RFC 3711 section 4.2.
func (k *portable) hmac(sum *[20]byte, b []byte, roc uint32, rtp bool) {
	k.restore(k.inner)
	k.sha1.Write(b)
	if rtp {
		binary.BigEndian.PutUint32(k.iv[:], roc)
		k.sha1.Write(k.iv[:4])
	}
	k.sha1.Sum(k.sum[:0])
	k.restore(k.outer)
	k.sha1.Write(k.sum[:])
	k.sha1.Sum(k.sum[:0])
	*sum = k.sum
}

// restore sets a state that the same library wrote, which it therefore reads.
func (k *portable) restore(state []byte) {
	if err := k.sha1.UnmarshalBinary(state); err != nil {
		panic("srtp: " + err.Error())
	}
}

// sealGCM encrypts src into dst, which is longer by a tag. What is authenticated besides is head, and in SRTCP word behind it.
func (k *portable) sealGCM(dst, src []byte, iv block, head []byte, word uint32, rtcp bool) {
	k.begin(iv)
	k.aead.Seal(dst[:0], k.iv[:12], src, k.beside(head, word, rtcp))
}

// openGCM authenticates and decrypts src into dst, which is shorter by a tag. The standard library overwrites the result of what is not authentic, so that it
// has a place of its own: dst may be src, which is then tried with another index.
func (k *portable) openGCM(dst, src []byte, iv block, head []byte, word uint32, rtcp bool) bool {
	k.begin(iv)
	if cap(k.plain) < len(src) {
		k.plain = make([]byte, 0, max(len(src), usual))
	}
	plain, err := k.aead.Open(k.plain[:0], k.iv[:12], src, k.beside(head, word, rtcp))
	if err != nil {
		return false
	}
	copy(dst, plain)
	return true
}

func (k *portable) beside(head []byte, word uint32, rtcp bool) []byte {
	if !rtcp {
		return head
	}
	k.aad = associated(head, word)
	return k.aad[:]
}

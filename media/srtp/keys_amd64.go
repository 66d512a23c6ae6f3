//go:build !purego

package srtp

import (
	"crypto/subtle"
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// keys are what the assembly works with: round keys of AES, and states of SHA-1 or powers of the key of GHASH. No pointer but the first one, and a packet
// touches few cache lines of it.
type keys struct {
	*portable       // on a processor that lacks an instruction; nil otherwise
	rounds    int64 // of AES: 10 or 14

	// Of HMAC the states of SHA-1 after the inner and after the outer key block, five words each, so that a packet costs neither (RFC 2104 section 4).
	// Of GCM the first four powers of the key of GHASH, four words each.
	auth  [16]uint32
	round [60]uint32 // last, because AES-128 leaves its end alone
}

// state is the chaining value of SHA-1.
type state [5]uint32

// able says what the processor has.
var able = detect()

type ability struct{ aes, sha, clmul bool }

func detect() ability {
	const (
		clmul, ssse3, sse41, aesni, osxsave, avx = 1 << 1, 1 << 9, 1 << 19, 1 << 25, 1 << 27, 1 << 28 // of leaf 1, in ECX
		sha                                      = 1 << 29                                            // of leaf 7, in EBX
		vectors                                  = 1<<1 | 1<<2                                        // of XCR0: the system keeps XMM and YMM registers
	)
	last, _, _ := cpuid(0, 0)
	_, _, one := cpuid(1, 0)
	const wanted = ssse3 | sse41 | aesni | osxsave | avx
	if last < 7 || one&wanted != wanted || xgetbv()&vectors != vectors {
		return ability{}
	}
	_, seven, _ := cpuid(7, 0)
	return ability{aes: true, sha: seven&sha != 0, clmul: one&clmul != 0}
}

// cipher takes a key for counter mode alone.
func (k *keys) cipher(key []byte) error {
	if !able.aes {
		k.portable = new(portable)
		return k.portable.cipher(key)
	}
	k.expand(key)
	return nil
}

// set takes the derived keys into use.
func (k *keys) set(s Suite, key, auth []byte) error {
	if k.portable != nil || !able.aes || s.aead() && !able.clmul || !s.aead() && !able.sha {
		k.portable = new(portable)
		return k.portable.set(s, key, auth)
	}
	k.expand(key)
	if s.aead() {
		k.powers()
		return nil
	}
	inner, outer := after(auth, 0x36), after(auth, 0x5c)
	copy(k.auth[:5], inner[:])
	copy(k.auth[5:], outer[:])
	return nil
}

// lasting says whether making the keys again would allocate.
func (k *keys) lasting() bool { return k.portable != nil }

// session gives the keys to work with, in room unless they are awake. They settled, so they can be woken.
func (d *dormant) session(s Suite, room *session) *session {
	if d.awake != nil {
		return d.awake
	}
	if err := room.wake(s, d); err != nil {
		panic("srtp: " + err.Error())
	}
	return room
}

// expand is the key expansion of FIPS 197 section 5.2, on words whose first byte is the lowest.
func (k *keys) expand(key []byte) {
	n := len(key) / 4
	k.rounds = int64(n + 6)
	for i := range n {
		k.round[i] = binary.LittleEndian.Uint32(key[4*i:])
	}
	rcon := uint32(1)
	for i := n; i < 4*int(k.rounds+1); i++ {
		w := k.round[i-1]
		switch {
		case i%n == 0:
			w = bits.RotateLeft32(subWord(w), -8) ^ rcon
			rcon = rcon<<1 ^ rcon>>7*0x11b
		case n > 6 && i%n == 4:
			w = subWord(w)
		}
		k.round[i] = k.round[i-n] ^ w
	}
}

// after is the state behind the key block with that pad, RFC 2104 section 2.
func after(auth []byte, pad byte) state {
	var b [64]byte
	copy(b[:], auth)
	for i := range b {
		b[i] ^= pad
	}
	s := state{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	sha1Block(&s, &b)
	clear(b[:])
	return s
}

// powers are those of the key of GHASH, the cipher of zeros (NIST SP 800-38D section 6.4). GHASH counts bits from the other end; with the bytes of all
// blocks reversed it is POLYVAL under the key times x, whose product is x*y*x^-128, and so its powers are: RFC 8452 appendix A.
func (k *keys) powers() {
	var b [16]byte
	k.crypt(b[:], b[:], block{})
	hi, lo := binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])
	carry := hi >> 63
	hi, lo = hi<<1|lo>>63, lo<<1
	h := [2]uint64{lo ^ carry, hi ^ carry*0xc2<<56}
	p := h
	for i := 0; ; i += 4 {
		k.auth[i], k.auth[i+1], k.auth[i+2], k.auth[i+3] = uint32(p[0]), uint32(p[0]>>32), uint32(p[1]), uint32(p[1]>>32)
		if i == 12 {
			break
		}
		multiply(&p, &p, &h)
	}
	clear(b[:])
}

// crypt puts src, with the key stream that begins at counter block iv put over it, into dst, which is as long.
func (k *keys) crypt(dst, src []byte, iv block) {
	if k.portable != nil {
		k.portable.crypt(dst, src, iv)
		return
	}
	if len(src) > 0 {
		ctr(&k.round, k.rounds, iv.a, iv.b, &dst[:len(src)][0], &src[0], len(src))
	}
}

// hmac is HMAC-SHA1 of b, and of the rollover counter behind it if there is one: RFC 3711 section 4.2.
func (k *keys) hmac(sum *[20]byte, b []byte, roc uint32, rtp bool) {
	if k.portable != nil {
		k.portable.hmac(sum, b, roc, rtp)
		return
	}
	// What follows the whole blocks is written before they are hashed: read at once, it would have to wait for the stores.
	var tail [128]byte
	whole := len(b) &^ 63
	n, length := copy(tail[:], b[whole:]), 64+len(b)
	if rtp {
		binary.BigEndian.PutUint32(tail[n:], roc)
		n, length = n+4, length+4
	}
	tail[n] = 0x80
	blocks := (n + 8) / 64
	binary.BigEndian.PutUint32(tail[64*blocks+60:], uint32(8*length)) // packets are far from 2^29 bytes
	hmacSHA1(sum, &k.auth, unsafe.SliceData(b), whole/64, &tail, blocks+1)
}

// The counter of GCM begins at 1, which is the tag's, NIST SP 800-38D section 7.1. It lies in the last byte.
const (
	counterTag  = 1 << 56
	counterText = 2 << 56
)

// sealGCM encrypts src into dst, which is longer by a tag.
func (k *keys) sealGCM(dst, src []byte, iv block, head []byte, word uint32, rtcp bool) {
	if k.portable != nil {
		k.portable.sealGCM(dst, src, iv, head, word, rtcp)
		return
	}
	k.crypt(dst[:len(src)], src, block{iv.a, iv.b | counterText})
	var tag [tagGCM]byte
	k.tag(&tag, dst[:len(src)], iv, head, word, rtcp)
	copy(dst[len(src):], tag[:])
}

// openGCM authenticates src, decrypts it into dst, which is shorter by a tag, and writes nothing if it is not authentic.
func (k *keys) openGCM(dst, src []byte, iv block, head []byte, word uint32, rtcp bool) bool {
	if k.portable != nil {
		return k.portable.openGCM(dst, src, iv, head, word, rtcp)
	}
	var tag [tagGCM]byte
	k.tag(&tag, src[:len(dst)], iv, head, word, rtcp)
	if subtle.ConstantTimeCompare(tag[:], src[len(dst):]) != 1 {
		return false
	}
	k.crypt(dst, src[:len(dst)], block{iv.a, iv.b | counterText})
	return true
}

func (k *keys) tag(tag *[tagGCM]byte, text []byte, iv block, head []byte, word uint32, rtcp bool) {
	iv.b |= counterTag
	if !rtcp {
		gcmTag(tag, &k.round, k.rounds, &k.auth, iv.a, iv.b, &head[0], len(head), unsafe.SliceData(text), len(text))
		return
	}
	aad := associated(head, word)
	gcmTag(tag, &k.round, k.rounds, &k.auth, iv.a, iv.b, &aad[0], len(aad), unsafe.SliceData(text), len(text))
}

// cpuid asks the processor what it is.
func cpuid(leaf, sub uint32) (eax, ebx, ecx uint32)

// xgetbv is the lower half of XCR0. Only a processor with OSXSAVE has it.
func xgetbv() uint32

// subWord puts each byte of w through the S-box.
func subWord(w uint32) uint32

// sha1Block takes one block into s.
//
//go:noescape
func sha1Block(s *state, p *[64]byte)

// hmacSHA1 hashes the whole blocks at p and those of tail from the first state in auth on, and the result from the second one.
//
//go:noescape
func hmacSHA1(sum *[20]byte, auth *[16]uint32, p *byte, blocks int, tail *[128]byte, tailBlocks int)

// ctr is AES in counter mode over n bytes from the counter block of a and b on, whose last four bytes count.
//
//go:noescape
func ctr(round *[60]uint32, rounds int64, a, b uint64, dst, src *byte, n int)

// multiply gives x*y*x^-128 modulo the polynomial of POLYVAL, RFC 8452 section 3.
//
//go:noescape
func multiply(z, x, y *[2]uint64)

// gcmTag is the tag of GCM over additional data and ciphertext, NIST SP 800-38D section 7.1, under the counter block of a and b.
//
//go:noescape
func gcmTag(tag *[16]byte, round *[60]uint32, rounds int64, auth *[16]uint32, a, b uint64, aad *byte, aadLen int, p *byte, n int)

//go:build !purego

package srtp

import (
	"encoding/binary"
	"math/bits"
	"unsafe"
)

// keys are what the assembly works with: round keys of AES, and states of SHA-1 or powers of the key of GHASH. No pointer but the first one, and a packet
// touches few cache lines of it.
type keys struct {
	*portable       // on a processor that lacks an instruction; nil otherwise
	rounds    int64 // of AES: 10 or 14
	round     [60]uint32
	sha       [2]state // SHA-1 after the inner and after the outer key block, so that a packet costs neither (RFC 2104 section 4)
}

// state is the chaining value of SHA-1.
type state [5]uint32

// able says what the processor has.
var able = detect()

type ability struct{ aes, sha bool }

func detect() ability {
	const (
		ssse3, sse41, aesni, osxsave, avx = 1 << 9, 1 << 19, 1 << 25, 1 << 27, 1 << 28 // of leaf 1, in ECX
		sha                               = 1 << 29                                    // of leaf 7, in EBX
		vectors                           = 1<<1 | 1<<2                                // of XCR0: the system keeps XMM and YMM registers
	)
	last, _, _ := cpuid(0, 0)
	_, _, one := cpuid(1, 0)
	const wanted = ssse3 | sse41 | aesni | osxsave | avx
	if last < 7 || one&wanted != wanted || xgetbv()&vectors != vectors {
		return ability{}
	}
	_, seven, _ := cpuid(7, 0)
	return ability{aes: true, sha: seven&sha != 0}
}

// cipher takes a key for counter mode alone.
func (k *keys) cipher(key []byte) error {
	if k.portable == nil && able.aes {
		k.expand(key)
		return nil
	}
	if k.portable == nil {
		k.portable = new(portable)
	}
	return k.portable.cipher(key)
}

// set takes the derived keys into use.
func (k *keys) set(s Suite, key, auth []byte) error {
	if k.portable == nil && !s.aead() && able.aes && able.sha {
		k.expand(key)
		k.sha[0].after(auth, 0x36)
		k.sha[1].after(auth, 0x5c)
		return nil
	}
	if k.portable == nil {
		k.portable = new(portable)
	}
	return k.portable.set(s, key, auth)
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
func (s *state) after(auth []byte, pad byte) {
	var b [64]byte
	copy(b[:], auth)
	for i := range b {
		b[i] ^= pad
	}
	*s = state{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	sha1Block(s, &b)
	clear(b[:])
}

// crypt puts src, with the key stream that begins at counter block iv put over it, into dst, which is as long.
func (k *keys) crypt(dst, src []byte, iv *[16]byte) {
	if k.portable != nil {
		k.portable.crypt(dst, src, iv)
		return
	}
	if len(src) > 0 {
		ctr(&k.round, k.rounds, iv, &dst[:len(src)][0], &src[0], len(src))
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
	hmacSHA1(sum, &k.sha, unsafe.SliceData(b), whole/64, &tail, blocks+1)
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

// hmacSHA1 hashes the whole blocks at p and those of tail from the first state on, and the result from the second one.
//
//go:noescape
func hmacSHA1(sum *[20]byte, keys *[2]state, p *byte, blocks int, tail *[128]byte, tailBlocks int)

// ctr is AES in counter mode over n bytes; the last four bytes of a counter block count.
//
//go:noescape
func ctr(round *[60]uint32, rounds int64, iv *[16]byte, dst, src *byte, n int)

//go:build !purego

package srtp

import (
	"bytes"
	"crypto/aes"
	"crypto/sha1"
	"encoding/binary"
	"testing"
	"unsafe"
)

// newPortable makes a context that has no use for assembly.
func newPortable(t testing.TB, s Suite, seed uint64) *Context {
	t.Helper()
	n, m := s.Lengths()
	key := noise(seed, n+m)
	c := &Context{suite: s}
	c.rtp.portable, c.rtcp.awake = new(portable), &session{keys: keys{portable: new(portable)}}
	if err := c.derive(key[:n], key[n:]); err != nil {
		t.Fatal(err)
	}
	return c
}

// FuzzAssembly holds the assembly against the standard library, for packets that begin anywhere in memory.
func FuzzAssembly(f *testing.F) {
	for n := range uint16(20) {
		f.Add(byte(n), uint64(n), uint64(n)<<30, n*79, byte(n))
	}
	f.Fuzz(func(t *testing.T, suite byte, key, index uint64, payload uint16, at byte) {
		s := suiteOf(suite)
		fast, slow := newPair(t, s, key, nil).ours, newPortable(t, s, key)
		plain, header := packet(ssrc, uint16(index), int(at%16), int(at/16), int(payload%9001))
		b := append(make([]byte, at%64), plain...)[at%64:]
		index %= indexEnd
		sealed := sealRTP(t, fast, b, header, index)
		if want := sealRTP(t, slow, b, header, index); !bytes.Equal(sealed, want) {
			t.Fatalf("RTP sealed\n%x, want\n%x", sealed, want)
		}
		if got, ok := openRTP(t, fast, sealed, header, index); !ok || !bytes.Equal(got, b) {
			t.Fatalf("RTP opened %v\n%x, want\n%x", ok, got, b)
		}
		sealed = sealRTCP(t, fast, b, uint32(index%encrypted))
		if want := sealRTCP(t, slow, b, uint32(index%encrypted)); !bytes.Equal(sealed, want) {
			t.Fatalf("RTCP sealed\n%x, want\n%x", sealed, want)
		}
		if got, _, ok := openRTCP(t, fast, sealed); !ok || !bytes.Equal(got, b) {
			t.Fatalf("RTCP opened %v\n%x, want\n%x", ok, got, b)
		}
	})
}

// TestKeyExpansion encrypts one block with the round keys of expand.
func TestKeyExpansion(t *testing.T) {
	if !able.aes {
		t.Log("this processor has no AES")
		return
	}
	for _, n := range []int{16, 32} {
		for seed := range uint64(50) {
			key, iv := noise(seed, n), [16]byte(noise(seed+100, 16))
			block, err := aes.NewCipher(key)
			if err != nil {
				t.Fatal(err)
			}
			want, got := make([]byte, 16), make([]byte, 16)
			block.Encrypt(want, iv[:])
			var k keys
			k.expand(key)
			if k.crypt(got, got, blockOf(iv)); !bytes.Equal(got, want) {
				t.Fatalf("key of %d bytes: %x, want %x", n, got, want)
			}
		}
	}
}

// TestStateOfSHA1 takes blocks one by one.
func TestStateOfSHA1(t *testing.T) {
	if !able.sha {
		t.Log("this processor has no SHA-1")
		return
	}
	s := state{0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}
	b := noise(1, 64*5)
	want := sha1.Sum(b)
	for i := range 5 {
		sha1Block(&s, (*[64]byte)(b[64*i:]))
	}
	last := [64]byte{0: 0x80}
	binary.BigEndian.PutUint64(last[56:], 8*64*5)
	sha1Block(&s, &last)
	var got [20]byte
	for i, w := range s {
		binary.BigEndian.PutUint32(got[4*i:], w)
	}
	if got != want {
		t.Errorf("%x, want %x", got, want)
	}
}

// TestNothingBesideIsTouched: not a byte before or behind a packet is written, of whatever length it is.
func TestNothingBesideIsTouched(t *testing.T) {
	const beside = 0xa5
	touched := func(b []byte) bool { return bytes.Count(b, []byte{beside}) < len(b) }
	for s := range suites {
		c := newPair(t, s, 1, nil).ours
		for n := range 400 {
			b, header := packet(ssrc, 1, 0, 0, n)
			room := bytes.Repeat([]byte{beside}, len(b)+Overhead+64)
			out := c.SealRTP(room[32:32:32+len(b)+Overhead], b, header, 1)
			if touched(room[:32]) || touched(room[32+len(out):]) {
				t.Fatalf("%s: sealing a payload of %d bytes writes beside the packet", s, n)
			}
			back := bytes.Repeat([]byte{beside}, len(out)+64)
			plain, ok := c.OpenRTP(back[32:32:32+len(out)], out, header, 1)
			if !ok || touched(back[:32]) {
				t.Fatalf("%s: opening a payload of %d bytes writes before the packet", s, n)
			}
			if touched(back[32+len(plain):]) {
				t.Fatalf("%s: opening a payload of %d bytes writes behind the packet", s, n)
			}
		}
	}
}

// TestWipeOfThePortableKeys: the states of HMAC are overwritten where they lie.
func TestWipeOfThePortableKeys(t *testing.T) {
	c := newPortable(t, AES128CM80, 1)
	states := [][]byte{c.rtp.inner, c.rtp.outer, c.rtcp.awake.inner, c.rtcp.awake.outer}
	c.Wipe()
	for i, s := range states {
		if len(s) == 0 || bytes.Count(s, []byte{0}) < len(s) {
			t.Errorf("state %d is left", i)
		}
	}
}

func TestThePortableKeysAllocateNothing(t *testing.T) {
	for s := range suites {
		allocatesNothing(t, newPortable(t, s, 1))
	}
}

// TestSizeOfAContext: a context is one piece of memory, small enough that thousands stay near the processor.
func TestSizeOfAContext(t *testing.T) {
	if n := unsafe.Sizeof(Context{}); n > 448 {
		t.Errorf("a context has %d bytes", n)
	}
	if !able.aes || !able.sha || !able.clmul {
		t.Log("this processor has no use for the assembly")
		return
	}
	for s := range suites {
		c := newPair(t, s, 1, nil).ours
		if c.rtp.portable != nil || c.rtcp.awake != nil {
			t.Errorf("%s: the assembly is not used", s)
		}
	}
}

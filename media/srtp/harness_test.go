package srtp

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	pion "github.com/pion/srtp/v2"
)

var suites = map[Suite]pion.ProtectionProfile{
	AES128CM80: pion.ProtectionProfileAes128CmHmacSha1_80, AES128CM32: pion.ProtectionProfileAes128CmHmacSha1_32,
	AES256CM80: pion.ProtectionProfileAes256CmHmacSha1_80, AES256CM32: pion.ProtectionProfileAes256CmHmacSha1_32,
	AES128GCM: pion.ProtectionProfileAeadAes128Gcm, AES256GCM: pion.ProtectionProfileAeadAes256Gcm,
}

// suiteOf makes a suite of any byte.
func suiteOf(b byte) Suite { return AES128CM80 + Suite(b)%Suite(len(suites)) }

// pair is one master key in both implementations.
type pair struct {
	ours  *Context
	pions *pion.Context
}

func newPair(t testing.TB, s Suite, seed uint64, mki []byte) pair {
	t.Helper()
	n, m := s.Lengths()
	key := noise(seed, n+m)
	c, err := New(s, key[:n], key[n:])
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Expect(mki); err != nil {
		t.Fatal(err)
	}
	opts := []pion.ContextOption{pion.SRTPReplayProtection(window), pion.SRTCPReplayProtection(window)}
	if len(mki) > 0 {
		opts = append(opts, pion.MasterKeyIndicator(mki))
	}
	p, err := pion.CreateContext(key[:n], key[n:], suites[s], opts...)
	if err != nil {
		t.Fatal(err)
	}
	return pair{c, p}
}

func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, r.Uint64())
	}
	return b[:n]
}

// packet makes an RTP packet and gives the length of its header. Its extension is of no profile that pion takes apart and writes anew.
func packet(ssrc uint32, seq uint16, csrcs, ext, payload int) (b []byte, header int) {
	b = noise(uint64(seq)<<32|uint64(payload), 12)
	b[0] = 0x80 | byte(csrcs)
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	b = append(b, noise(uint64(csrcs), 4*csrcs)...)
	if ext > 0 {
		b[0] |= 0x10
		b = binary.BigEndian.AppendUint32(b, 0xabcd0000|uint32(ext))
		b = append(b, noise(uint64(ext), 4*ext)...)
	}
	header = len(b)
	return append(b, noise(uint64(seq), payload)...), header
}

// report makes RTCP of fixedRTCP + n bytes.
func report(ssrc uint32, n int) []byte {
	b := []byte{0x80, 201, byte(n / 4 >> 8), byte(n / 4)}
	return append(binary.BigEndian.AppendUint32(b, ssrc), noise(uint64(n), n)...)
}

// marked adds an identifier to a sealed packet where the suite has it.
func marked(s Suite, b, mki []byte, tag int) []byte {
	at := len(b)
	if !s.aead() {
		at -= tag
	}
	return append(append(append([]byte(nil), b[:at]...), mki...), b[at:]...)
}

// roomFor is a buffer that holds b where it begins, with room to seal it.
func roomFor(b []byte) []byte { return append(make([]byte, 0, len(b)+Overhead), b...) }

// sealRTP seals b in place and beside, which must be the same and must leave b alone.
func sealRTP(t testing.TB, c *Context, b []byte, header int, index uint64) []byte {
	t.Helper()
	was := bytes.Clone(b)
	beside := c.SealRTP(make([]byte, 0, len(b)+Overhead), b, header, index)
	if !bytes.Equal(b, was) {
		t.Fatal("sealing into another buffer changes the packet")
	}
	room := roomFor(b)
	if in := c.SealRTP(room, room, header, index); !bytes.Equal(in, beside) || beside == nil {
		t.Fatalf("sealed in place\n%x, beside\n%x", in, beside)
	}
	return beside
}

// openRTP opens b in place and beside, which must be the same. What is refused must be left alone.
func openRTP(t testing.TB, c *Context, b []byte, header int, index uint64) ([]byte, bool) {
	t.Helper()
	was := bytes.Clone(b)
	room := make([]byte, len(b))
	beside, ok := c.OpenRTP(room, b, header, index)
	if !bytes.Equal(b, was) || !ok && !bytes.Equal(room, make([]byte, len(b))) {
		t.Fatal("opening into another buffer changes the packet, or the buffer though it was refused")
	}
	in, same := c.OpenRTP(was[:0], was, header, index)
	if !same && !bytes.Equal(was, b) {
		t.Fatal("a packet that is refused is changed")
	}
	if same != ok || !bytes.Equal(in, beside) {
		t.Fatalf("opened in place %v\n%x, beside %v\n%x", same, in, ok, beside)
	}
	return beside, ok
}

func sealRTCP(t testing.TB, c *Context, b []byte, index uint32) []byte {
	t.Helper()
	was := bytes.Clone(b)
	beside := c.SealRTCP(make([]byte, 0, len(b)+Overhead), b, index)
	if !bytes.Equal(b, was) {
		t.Fatal("sealing into another buffer changes the packet")
	}
	room := roomFor(b)
	if in := c.SealRTCP(room, room, index); !bytes.Equal(in, beside) || beside == nil {
		t.Fatalf("sealed in place\n%x, beside\n%x", in, beside)
	}
	return beside
}

func openRTCP(t testing.TB, c *Context, b []byte) ([]byte, uint32, bool) {
	t.Helper()
	was := bytes.Clone(b)
	room := make([]byte, len(b))
	beside, index, ok := c.OpenRTCP(room, b)
	if !bytes.Equal(b, was) || !ok && !bytes.Equal(room, make([]byte, len(b))) {
		t.Fatal("opening into another buffer changes the report, or the buffer though it was refused")
	}
	in, same, equal := c.OpenRTCP(was[:0], was)
	if !equal && !bytes.Equal(was, b) {
		t.Fatal("a report that is refused is changed")
	}
	if equal != ok || same != index || !bytes.Equal(in, beside) {
		t.Fatalf("opened in place %v %d\n%x, beside %v %d\n%x", equal, same, in, ok, index, beside)
	}
	return beside, index, ok
}

package media

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

// What stands here is a second SRTP, from the RFCs and the standard library alone. It is held to the vectors of the RFCs, and the packets of
// srtp.go are held to it: the engine takes master keys only, the vectors of RFC 3711 B.2 and RFC 7714 begin at session keys.

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// derive is RFC 3711 section 4.3 with a key derivation rate of 0; RFC 7714 section 11 shifts the shorter salt into place by itself.
func derive(t testing.TB, key, salt []byte, label byte, n int) []byte {
	t.Helper()
	var iv [16]byte
	copy(iv[:], salt)
	iv[7] ^= label
	return stream1(t, key, iv, make([]byte, n))
}

// stream1 is AES in counter mode, RFC 3711 section 4.1.1.
func stream1(t testing.TB, key []byte, iv [16]byte, b []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]byte, len(b))
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, b)
	return out
}

// sealGCM is RFC 7714 section 8.1 and 9.1: iv and additional data are given.
func sealGCM(t testing.TB, key, iv, plain, aad []byte) []byte {
	t.Helper()
	block, err := aes.NewCipher(key)
	if err != nil {
		t.Fatal(err)
	}
	g, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	return g.Seal(nil, iv, plain, aad)
}

// ivGCM is RFC 7714 section 8.1.
func ivGCM(salt []byte, ssrc, roc uint32, seq uint16) []byte {
	iv := make([]byte, 12)
	binary.BigEndian.PutUint32(iv[2:], ssrc)
	binary.BigEndian.PutUint32(iv[6:], roc)
	binary.BigEndian.PutUint16(iv[10:], seq)
	for i := range iv {
		iv[i] ^= salt[i]
	}
	return iv
}

func isGCM(s Suite) bool { return strings.HasPrefix(string(s), "AEAD") }

// refRTP protects one packet without extension under c.
func refRTP(t testing.TB, c crypto, b []byte, roc uint32) []byte {
	t.Helper()
	h, _ := parseHeader(b)
	n, saltLen := c.suite.lengths()
	master, salt := c.key[:n], c.key[n:]
	key, ks := derive(t, master, salt, 0, n), derive(t, master, salt, 2, saltLen)
	if isGCM(c.suite) {
		return append(append([]byte(nil), b[:h.base]...), sealGCM(t, key, ivGCM(ks, h.ssrc, roc, h.seq), b[h.base:], b[:h.base])...)
	}
	var iv [16]byte
	copy(iv[:], ks)
	xor32(iv[4:], h.ssrc)
	xor32(iv[8:], roc)
	iv[12] ^= byte(h.seq >> 8)
	iv[13] ^= byte(h.seq)
	out := append(append([]byte(nil), b[:h.base]...), stream1(t, key, iv, b[h.base:])...)
	m := hmac.New(sha1.New, derive(t, master, salt, 1, 20))
	m.Write(out)
	m.Write(binary.BigEndian.AppendUint32(nil, roc))
	tag := 10
	if c.suite == AES_CM_128_HMAC_SHA1_32 {
		tag = 4
	}
	return append(out, m.Sum(nil)[:tag]...)
}

// refRTCP protects one compound packet under c.
func refRTCP(t testing.TB, c crypto, b []byte, index uint32) []byte {
	t.Helper()
	n, saltLen := c.suite.lengths()
	master, salt := c.key[:n], c.key[n:]
	key, ks := derive(t, master, salt, 3, n), derive(t, master, salt, 5, saltLen)
	ssrc := binary.BigEndian.Uint32(b[4:])
	word := binary.BigEndian.AppendUint32(nil, index|1<<31)
	if isGCM(c.suite) {
		iv := make([]byte, 12)
		binary.BigEndian.PutUint32(iv[2:], ssrc)
		binary.BigEndian.PutUint32(iv[8:], index)
		for i := range iv {
			iv[i] ^= ks[i]
		}
		out := append(append([]byte(nil), b[:8]...), sealGCM(t, key, iv, b[8:], append(append([]byte(nil), b[:8]...), word...))...)
		return append(out, word...)
	}
	var iv [16]byte
	copy(iv[:], ks)
	xor32(iv[4:], ssrc)
	xor32(iv[10:], index)
	out := append(append([]byte(nil), b[:8]...), stream1(t, key, iv, b[8:])...)
	out = append(out, word...)
	m := hmac.New(sha1.New, derive(t, master, salt, 4, 20))
	m.Write(out)
	return append(out, m.Sum(nil)[:10]...)
}

func xor32(b []byte, v uint32) { binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)^v) }

// Conforms: RFC 3711 section B
func TestVectorsRFC3711(t *testing.T) {
	// Appendix B.2: the counter mode key stream.
	key := unhex(t, "2B7E151628AED2A6ABF7158809CF4F3C")
	var iv [16]byte
	copy(iv[:], unhex(t, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD0000"))
	got := stream1(t, key, iv, make([]byte, 0xff02*16))
	for block, want := range map[int]string{
		0: "E03EAD0935C95E80E166B16DD92B4EB4", 1: "D23513162B02D0F72A43A2FE4A5F97AB", 2: "41E95B3BB0A2E8DD477901E4FCA894C0",
		0xfeff: "EC8CDF7398607CB0F2D21675EA9EA1E4", 0xff00: "362B7C3C6773516318A077D7FC5073AE", 0xff01: "6A2CC3787889374FBEB4C81B17BA6C44",
	} {
		if b := got[16*block : 16*block+16]; !bytes.Equal(b, unhex(t, want)) {
			t.Errorf("block %04x: %X, want %s", block, b, want)
		}
	}
	// Appendix B.3: key derivation.
	master, salt := unhex(t, "E1F97A0D3E018BE0D64FA32C06DE4139"), unhex(t, "0EC675AD498AFEEBB6960B3AABE6")
	for _, c := range []struct {
		label byte
		want  string
	}{
		{0, "C61E7A93744F39EE10734AFE3FF7A087"},
		{2, "30CBBC08863D8C85D49DB34A9AE1"},
		{1, `CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
		     6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2`},
	} {
		want := unhex(t, c.want)
		if got := derive(t, master, salt, c.label, len(want)); !bytes.Equal(got, want) {
			t.Errorf("label %d: %X, want %X", c.label, got, want)
		}
	}
}

// Conforms: RFC 6188 section 7
func TestVectorsRFC6188(t *testing.T) {
	// Section 7.4: key derivation of AES_256_CM.
	master := unhex(t, "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b6")
	salt := unhex(t, "3b04803de51ee7c96423ab5b78d2")
	for label, want := range map[byte]string{
		0: "5ba1064e30ec51613cad926c5a28ef731ec7fb397f70a960653caf06554cd8c4",
		2: "fa31791685ca444a9e07c6c64e93",
		1: "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
	} {
		if got := derive(t, master, salt, label, len(want)/2); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("label %d: %x, want %s", label, got, want)
		}
	}
}

// Conforms: RFC 7714 section 16
func TestVectorsRFC7714(t *testing.T) {
	// Section 16: SRTP; section 17: SRTCP. Keys count up from 0, the salt is "Quid pro quo".
	salt := unhex(t, "517569642070726f2071756f")
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	plain := unhex(t, "8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e697320646976697361 20696e207061727465732074726573")
	h, _ := parseHeader(plain)
	iv := ivGCM(salt, h.ssrc, 0, h.seq)
	if want := unhex(t, "51753c6580c2726f20718414"); !bytes.Equal(iv, want) {
		t.Fatalf("iv %x, want %x", iv, want)
	}
	for n, want := range map[int]string{
		16: `f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833 899d7f27beb16a9152cf765ee4390cce`,
		32: `32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b 7aa3db36dfffd6b0f9bb7878d7a76c13`,
	} {
		if got := sealGCM(t, key[:n], iv, plain[12:], plain[:12]); !bytes.Equal(got, unhex(t, want)) {
			t.Errorf("%d octet key: %x", n, got)
		}
	}
}

// TestEngineAgainstReference compares what srtp.go writes with the reference, for each suite and every length, over a rollover.
func TestEngineAgainstReference(t *testing.T) {
	for _, suite := range defaultSuites() {
		t.Run(string(suite), func(t *testing.T) {
			c := newCrypto("1", suite)
			out, err := newOutbound(c)
			if err != nil {
				t.Fatal(err)
			}
			in := &inbound{key: c}
			buf, plain := make([]byte, maxPacket+headroom), make([]byte, maxPacket+headroom)
			const first = 65535 - 700
			for i := range 1400 {
				ext := uint32(first + i)
				b := packet(0xcafe, uint16(ext), uint32(160*i), bytes.Repeat([]byte{byte(i)}, i))
				want := refRTP(t, c, b, ext>>16)
				got, err := out.sealRTP(buf, append([]byte(nil), b...), 0xcafe, ext, i == 0)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("packet %d: %v\n%x\n%x", i, err, got, want)
				}
				h, _ := parseHeader(got)
				back, err := in.openRTP(plain, got, h)
				if err != nil || !bytes.Equal(back, b) {
					t.Fatalf("packet %d does not come back: %v", i, err)
				}
			}
			for i := range 300 {
				b := report(0xcafe, 4*(i%90))
				want := refRTCP(t, c, b, uint32(i+1))
				got, err := out.sealRTCP(append([]byte(nil), b...))
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("report %d: %v\n%x\n%x", i, err, got, want)
				}
				if back, err := in.openRTCP(plain, got); err != nil || !bytes.Equal(back, b) {
					t.Fatalf("report %d does not come back: %v", i, err)
				}
			}
		})
	}
}

// packet makes an RTP packet of PCMA.
func packet(ssrc uint32, seq uint16, ts uint32, payload []byte) []byte {
	b := make([]byte, 12, 12+len(payload))
	rtpHeader(b, seq, ts, ssrc, false)
	return append(b, payload...)
}

// report makes an empty receiver report with n octets (a multiple of 4) of profile extension.
func report(ssrc uint32, n int) []byte {
	b := []byte{0x80, 201, 0, byte(1 + n/4)}
	b[2] = byte((1 + n/4) >> 8)
	return append(binary.BigEndian.AppendUint32(b, ssrc), make([]byte, n)...)
}

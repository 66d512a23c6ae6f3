package srtp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.Join(strings.Fields(s), ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// withKeys makes a context of session keys: several vectors begin with them.
func withKeys(t testing.TB, s Suite, key, auth, salt []byte) *Context {
	t.Helper()
	c := &Context{suite: s}
	var mask [16]byte
	copy(mask[:], salt)
	c.rtcp.salt = blockOf(mask)
	copy(c.rtcp.cipher[:], key)
	copy(c.rtcp.auth[:], auth)
	if err := errors.Join(c.rtp.wake(s, &c.rtcp), c.rtcp.settle(s)); err != nil {
		t.Fatal(err)
	}
	return c
}

// Conforms: RFC 3711 section B
func TestKeyStreamOfRFC3711(t *testing.T) {
	// Appendix B.2: the counter mode key stream of 1044512 octets. A packet has 2^16 blocks at most, and so the vector ends within them.
	c := withKeys(t, AES128CM80, unhex(t, "2B7E151628AED2A6ABF7158809CF4F3C"), make([]byte, authKey), unhex(t, "F0F1F2F3F4F5F6F7F8F9FAFBFCFD"))
	iv := c.rtp.counter(0, 0)
	got := make([]byte, 0xff02*16)
	c.rtp.crypt(got, got, iv)
	for block, want := range map[int]string{
		0: "E03EAD0935C95E80E166B16DD92B4EB4", 1: "D23513162B02D0F72A43A2FE4A5F97AB", 2: "41E95B3BB0A2E8DD477901E4FCA894C0",
		0xfeff: "EC8CDF7398607CB0F2D21675EA9EA1E4", 0xff00: "362B7C3C6773516318A077D7FC5073AE", 0xff01: "6A2CC3787889374FBEB4C81B17BA6C44",
	} {
		if b := got[16*block : 16*block+16]; !bytes.Equal(b, unhex(t, want)) {
			t.Errorf("block %04x: %X, want %s", block, b, want)
		}
	}
}

// Conforms: RFC 6188 section 7
func TestKeyStreamOfRFC6188(t *testing.T) {
	key := unhex(t, "57f82fe3613fd170a85ec93c40b1f092 2ec4cb0dc025b58272147cc438944a98")
	c := withKeys(t, AES256CM80, key, make([]byte, authKey), unhex(t, "f0f1f2f3f4f5f6f7f8f9fafbfcfd"))
	want := unhex(t, "92bdd28a93c3f52511c677d08b5515a4 9da71b2378a854f67050756ded165bac 63c4868b7096d88421b563b8c94c9a31")
	iv, got := c.rtp.counter(0, 0), make([]byte, len(want))
	c.rtp.crypt(got, got, iv)
	if !bytes.Equal(got, want) {
		t.Errorf("key stream %x", got)
	}
}

// Conforms: RFC 3711 section B
// Conforms: RFC 6188 section 7
func TestKeyDerivation(t *testing.T) {
	for _, c := range []struct {
		name, master, salt string
		cipher, mask, auth string
	}{
		{
			"RFC 3711 appendix B.3", "E1F97A0D3E018BE0D64FA32C06DE4139", "0EC675AD498AFEEBB6960B3AABE6",
			"C61E7A93744F39EE10734AFE3FF7A087", "30CBBC08863D8C85D49DB34A9AE1",
			`CEBE321F6FF7716B6FD4AB49AF256A15 6D38BAA48F0A0ACF3C34E2359E6CDBCE E049646C43D9327AD175578EF7227098 6371C10C9A369AC2F94A8C5FBCDDDC25
			 6D6E919A48B610EF17C2041E47403576 6B68642C59BBFC2F34DB60DBDFB2`,
		},
		{
			"RFC 6188 section 7.4", "f0f04914b513f2763a1b1fa130f10e29 98f6f6e43e4309d1e622a0e332b9f1b6", "3b04803de51ee7c96423ab5b78d2",
			"5ba1064e30ec51613cad926c5a28ef73 1ec7fb397f70a960653caf06554cd8c4", "fa31791685ca444a9e07c6c64e93", "fd9c32d39ed5fbb5a9dc96b30818454d1313dc05",
		},
	} {
		for label, text := range []string{labelCipher: c.cipher, labelAuth: c.auth, labelSalt: c.mask} {
			var k keys
			if err := k.cipher(unhex(t, c.master)); err != nil {
				t.Fatal(err)
			}
			want := unhex(t, text)
			got := make([]byte, len(want))
			if k.random(got, unhex(t, c.salt), byte(label)); !bytes.Equal(got, want) {
				t.Errorf("%s, label %d: %X", c.name, label, got)
			}
		}
	}
}

// Conforms: RFC 7714 section 16
func TestPacketsOfRFC7714(t *testing.T) {
	// Section 16 for SRTP, 17 for SRTCP: keys count up from 0, the salt is "Quid pro quo".
	key := make([]byte, 32)
	for i := range key {
		key[i] = byte(i)
	}
	rtp := unhex(t, "8040f17b 8041f8d3 5501a0b2 47616c6c 69612065 7374206f 6d6e6973 20646976 69736120 696e2070 61727465 73207472 6573")
	rtcp := unhex(t, "81c8000d 4d617273 4e545031 4e545032 52545020 0000042a 0000e930 4c756e61 deadbeef deadbeef deadbeef deadbeef deadbeef")
	for _, c := range []struct {
		suite     Suite
		rtp, rtcp string
	}{
		{
			AES128GCM, `8040f17b 8041f8d3 5501a0b2 f24de3a3 fb34de6c acba861c 9d7e4bca be633bd5 0d294e6f 42a5f47a 51c7d19b 36de3adf 8833899d 7f27beb1 6a9152cf
			            765ee439 0cce`,
			`81c8000d 4d617273 63e94885 dcdab67c a727d766 2f6b7e99 7ff5c0f7 6c06f32d c676a5f1 730d6fda 4ce09b46 86303ded 0bb9275b c84aa458 96cf4d2f c5abf872
			 45d9eade 800005d4`,
		},
		{
			AES256GCM, `8040f17b 8041f8d3 5501a0b2 32b1de78 a822fe12 ef9f78fa 332e33aa b1801238 9a58e2f3 b50b2a02 76ffae0f 1ba63799 b87b7aa3 db36dfff d6b0f9bb
			            7878d7a7 6c13`,
			`81c8000d 4d617273 d50ae4d1 f5ce5d30 4ba297e4 7d470c28 2c3ece5d bffe0a50 a2eaa5c1 110555be 8415f658 c61de047 6f1b6fad 1d1eb30c 4446839f 57ff6f6c
			 b26ac3be 800005d4`,
		},
	} {
		n, _ := c.suite.Lengths()
		ctx := withKeys(t, c.suite, key[:n], nil, []byte("Quid pro quo"))
		room := make([]byte, 128)
		if got := ctx.SealRTP(room, rtp, 12, 0xf17b); !bytes.Equal(got, unhex(t, c.rtp)) {
			t.Errorf("%s: RTP %x", c.suite, got)
		}
		if got, ok := ctx.OpenRTP(room, unhex(t, c.rtp), 12, 0xf17b); !ok || !bytes.Equal(got, rtp) {
			t.Errorf("%s: RTP comes back as %x", c.suite, got)
		}
		if got := ctx.SealRTCP(room, rtcp, 0x5d4); !bytes.Equal(got, unhex(t, c.rtcp)) {
			t.Errorf("%s: RTCP %x", c.suite, got)
		}
		if got, index, ok := ctx.OpenRTCP(room, unhex(t, c.rtcp)); !ok || index != 0x5d4 || !bytes.Equal(got, rtcp) {
			t.Errorf("%s: RTCP comes back as %x, index %x", c.suite, got, index)
		}
	}
}

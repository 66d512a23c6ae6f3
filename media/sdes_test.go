package media

import (
	"strconv"
	"testing"
)

// Conforms: RFC 4568 section 9.2
func TestParseCrypto(t *testing.T) {
	k30, k44, k46 := newCrypto("1", AES_CM_128_HMAC_SHA1_80), newCrypto("1", AEAD_AES_256_GCM), newCrypto("1", AES_256_CM_SHA1_80)
	bare := func(c crypto) string {
		s := c.String()
		for s[len(s)-1] == '=' {
			s = s[:len(s)-1]
		}
		return s
	}
	for v, suite := range map[string]Suite{
		k30.String():                             AES_CM_128_HMAC_SHA1_80,
		k44.String():                             AEAD_AES_256_GCM,
		bare(k44):                                AEAD_AES_256_GCM,
		bare(k46):                                AES_256_CM_SHA1_80,
		bare(k46) + "=":                          AES_256_CM_SHA1_80,
		k30.String() + "|2^20":                   AES_CM_128_HMAC_SHA1_80,
		k30.String() + "|1048576":                AES_CM_128_HMAC_SHA1_80,
		k30.String() + "|2^20|1:4":               AES_CM_128_HMAC_SHA1_80,
		k30.String() + "|1:4":                    AES_CM_128_HMAC_SHA1_80,
		k30.String() + " WSH=128":                AES_CM_128_HMAC_SHA1_80,
		k30.String() + "|0":                      "",
		k30.String() + "|2^49":                   "",
		k30.String() + "|2^20|300:1":             "",
		k30.String() + "|2^20|1:4|9":             "",
		k30.String() + "|2^20|x":                 "",
		k30.String() + ";inline:AAAA":            "",
		k30.String() + " KDR=1":                  "",
		k30.String() + " UNENCRYPTED_SRTCP":      "",
		k30.String() + " UNAUTHENTICATED_SRTP":   "",
		k30.String() + " FEC_ORDER=FEC_SRTP":     "",
		"1 AES_192_CM_HMAC_SHA1_80 inline:AAAA":  "",
		"1 AES_CM_128_HMAC_SHA1_80 inline:AAAA":  "",
		"1 AES_CM_128_HMAC_SHA1_80 uri:whatever": "",
		"1 AES_CM_128_HMAC_SHA1_80 inline:!!!!":  "",
		"x AES_CM_128_HMAC_SHA1_80 inline:AAAA":  "",
		"1 AES_CM_128_HMAC_SHA1_80":              "",
		"":                                       "",
	} {
		if got := parseCrypto(v).suite; got != suite {
			t.Errorf("%q: suite %q, want %q", v, got, suite)
		}
	}
	for _, s := range defaultSuites() {
		k, salt := s.lengths()
		if c := newCrypto(strconv.Itoa(k), s); len(c.key) != k+salt || !parseCrypto(c.String()).same(c) {
			t.Errorf("%s does not come back", s)
		}
	}
}

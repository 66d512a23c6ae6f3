package trace

import (
	"bytes"
	"testing"
)

func TestSecretsAreFound(t *testing.T) {
	for text, want := range map[string]bool{
		"":                                  false,
		"z":                                 false,
		"zzz Via: branch=z9hG4bKzz":         false,
		"rization:":                         false,
		"uthorization:":                     true,
		"Authorization: Digest x":           true,
		"authorization: Digest x":           true,
		"Proxy-Authorization: Digest x":     true,
		"z uthorization z\r\nAuthorization": false,
		"zuthorizatioN: uthoriz uthorization: Digest":       true,
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\n": true,
		"z z z a=crypto inline: z":                          true,
		"a=crypto:1 inlin":                                  false,
	} {
		if secret([]byte(text)) != want {
			t.Errorf("%q: %v, want %v", text, !want, want)
		}
	}
}

func FuzzSecretsAreFound(f *testing.F) {
	f.Add([]byte("zAuthorization: z"))
	f.Add([]byte("z9hG4bK inline:"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if want := bytes.Contains(b, []byte("inline:")) || bytes.Contains(b, []byte("uthorization:")); secret(b) != want {
			t.Errorf("%q: %v, want %v", b, !want, want)
		}
	})
}

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
		"Content-Length: 0\r\n\r\na=crypto:1 inline:abc":    true,
		"X-Content-Length: 0\r\n\r\ninline:abc\r\n\r\n":     true,
		"x: inline:abc\r\nContent-Length: 0\r\n\r\n":        false, // there is no body that could have keys
		"Authorization: x\r\nContent-Length: 0\r\n\r\n":     true,
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
		none := bytes.HasSuffix(b, []byte("\r\nContent-Length: 0\r\n\r\n"))
		if want := !none && bytes.Contains(b, []byte("inline:")) || bytes.Contains(b, []byte("uthorization:")); secret(b) != want {
			t.Errorf("%q: %v, want %v", b, !want, want)
		}
	})
}

// The Call-ID that a message is handed over with counts; without one it is looked for, however it is written.
func TestTheDialogOfAMessage(t *testing.T) {
	b := New(Config{})
	want, _ := b.keyOf(&Packet{CallID: "a@b"})
	for text, found := range map[string]bool{
		"BYE x\r\nCall-ID: a@b\r\n\r\n":                 true,
		"BYE x\r\nCall-ID:a@b \t\r\n\r\n":               true,
		"BYE x\r\ncSeq: 1 BYE\r\nCALL-ID : a@b\r\n\r\n": true,
		"BYE x\r\nCSeq: 1 BYE\r\ni: a@b\r\n\r\n":        true,
		"BYE x\r\nCall-IDs: a@b\r\n\r\n":                false,
		"BYE x\r\nCSeq: 1\r\n\r\nCall-ID: a@b\r\n":      false,
		"Call-ID: a@b\r\nCSeq: 1\r\n\r\n":               false,
		"BYE x\r\nCall-ID:":                             false,
		"BYE x\r\nCall-ID:\r\n\r\n":                     false,
	} {
		if k, ok := b.keyOf(&Packet{Text: []byte(text)}); ok != found || ok && k != want {
			t.Errorf("%q: %v", text, ok)
		}
	}
}

package trace

import (
	"bytes"
	"testing"
)

func TestSecretsAreFound(t *testing.T) {
	has := []string{
		"uthorization:",
		"Authorization: Digest x",
		"authorization: Digest x",
		"Proxy-Authorization: Digest x",
		"AUTHORIZATION: Digest x", // RFC 3261 section 7.3.1: names are case-blind, and space may stand before the colon
		"PROXY-AUTHORIZATION: Digest x",
		"authoriZation: Digest x",
		"AuThOrIzAtIoN: Digest x",
		"Authorization : Digest x",
		"Authorization\t: Digest x",
		"zuthorizatiom: uthoriz uthorization: Digest",
		"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\r\n",
		"z z z a=crypto inline: z",
		"a=crypto:1 X INLINE:abc\r\n",
		"a=crypto:1 X inLine:abc\r\n",
		"Content-Length: 0\r\n\r\na=crypto:1 inline:abc",
		"X-Content-Length: 0\r\n\r\ninline:abc\r\n\r\n",
		"Authorization: x\r\nContent-Length: 0\r\n\r\n",
		"INFO sip:x SIP/2.0\r\nContent-Length: 8\r\n\r\nSignal=5",
	}
	hasNot := []string{
		"",
		"z",
		"zzz Via: branch=z9hG4bKzz",
		"rization:",
		"ZZZ uthoriZatio\r\nZ",
		"z uthorizatio z\r\nAuthorizatio",
		"L inline",
		"a=crypto:1 inlin",
		"INFO sip:x SIP/2.0\r\nContent-Length: 0\r\n\r\n",
		"x: inline:abc\r\nContent-Length: 0\r\n\r\n", // there is no body that could have keys
	}
	for i, text := range append(has, hasNot...) {
		if want := i < len(has); secret([]byte(text)) != want {
			t.Errorf("%q: %v, want %v", text, !want, want)
		}
	}
}

func FuzzSecretsAreFound(f *testing.F) {
	f.Add([]byte("zAuthorization: z"))
	f.Add([]byte("z9hG4bK inline:"))
	f.Add([]byte("Z AUTHORIZATION: Z"))
	f.Fuzz(func(t *testing.T, b []byte) {
		none := bytes.HasSuffix(b, []byte("\r\nContent-Length: 0\r\n\r\n"))
		if want := !none && (indexFold(b, "inline:") >= 0 || bytes.HasPrefix(b, []byte("INFO "))) || indexFold(b, "uthorization") >= 0; secret(b) != want {
			t.Errorf("%q: %v, want %v", b, !want, want)
		}
	})
}

// What lies in memory is masked, whoever looks, however the name of the header is written.
func TestAnswersDoNotLieInMemoryInClear(t *testing.T) {
	b := New(Config{})
	b.Join("s", Leg{CallID: "a", Party: "carrier", Caller: true})
	for _, name := range []string{"Authorization", "AUTHORIZATION", "proxy-authorization", "PROXY-AUTHORIZATION", "Authorization "} {
		at := len(b.byID["s"].text)
		b.Tap(Packet{CallID: "a", Text: []byte("INVITE sip:x SIP/2.0\r\n" + name + ": Digest username=\"u\", response=\"5ec2e7\"\r\nCall-ID: a\r\nContent-Length: 0\r\n\r\n")})
		if kept := b.byID["s"].text[at:]; bytes.Contains(kept, []byte("5ec2e7")) || !bytes.Contains(kept, []byte("response=")) {
			t.Errorf("%s: kept as %q", name, kept)
		}
	}
}

// Digits of a PIN are masked before they are kept.
func TestDigitsDoNotLieInMemoryInClear(t *testing.T) {
	for _, open := range []bool{false, true} {
		b := New(Config{Open: open})
		b.Join("s", Leg{CallID: "a", Party: "carrier", Caller: true})
		for _, body := range []string{"Content-Type: application/dtmf-relay\r\nContent-Length: 23\r\n\r\nSignal=7\r\nDuration=977\r\n", "c: application/dtmf\r\nl: 3\r\n\r\n977"} {
			at := len(b.byID["s"].text)
			b.Tap(Packet{CallID: "a", Text: []byte("INFO sip:x SIP/2.0\r\nCall-ID: a\r\n" + body)})
			if kept := b.byID["s"].text[at:]; bytes.ContainsAny(kept, "79") || !bytes.Contains(kept, []byte("dtmf")) {
				t.Errorf("open %v: kept as %q", open, kept)
			}
		}
	}
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

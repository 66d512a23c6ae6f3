package trace

import (
	"bytes"
	"strings"
	"testing"
)

const invite = "INVITE sip:+4969123456@edge.bank.example;user=phone SIP/2.0\r\n" +
	"Via: SIP/2.0/TLS 192.0.2.1:5061;branch=z9hG4bK1234567890\r\n" +
	"From: \"Erika Mustermann\" <sip:+4917012345678@carrier.example>;tag=1234567890\r\n" +
	"To: Max Power <tel:+49-69-123456;phone-context=+4969>\r\n" +
	"Call-ID: 4917012345678-abc@192.0.2.1\r\n" +
	"CSeq: 1 INVITE\r\n" +
	"Contact: <sips:alice:secret@192.0.2.1:5061>\r\n" +
	"P-Asserted-Identity: <sip:+4917012345678@carrier.example>,\r\n <tel:+4917012345678>\r\n" +
	"Proxy-Authorization: Digest username=\"line4711\", realm=\"carrier\", nonce=\"n1\", uri=\"sip:+4969123456@edge\", response=\"0123456789abcdef0123456789abcdef\"\r\n" +
	"X-Customer: Erika Mustermann, account 77\r\n" +
	"Content-Type: application/sdp\r\n" +
	"Content-Length: 999\r\n\r\n" +
	"v=0\r\no=erika 1 1 IN IP4 192.0.2.1\r\ns=Call of Erika\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n" +
	"m=audio 20000 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz|2^20|1:4\r\n"

func TestNothingOfAPersonIsLeft(t *testing.T) {
	b := []byte(invite)
	Mask(b, false)
	got := string(b)
	for _, no := range []string{"+4969123456", "12345678@", "Erika", "erika", "Mustermann", "Max", "Power", "alice", "secret", "4711", "0123456789abcdef", "WVNf", "account", "49170123456", "69-12"} {
		if strings.Contains(got, no) {
			t.Errorf("%q is still there:\n%s", no, got)
		}
	}
	for _, want := range []string{
		"INVITE sip:+********56@edge.bank.example;user=phone SIP/2.0\r\n", "branch=z9hG4bK1234567890", "@carrier.example>;tag=1234567890", "CSeq: 1 INVITE\r\n", "@192.0.2.1:5061>",
		"o=***** 1 1 IN IP4 192.0.2.1", "c=IN IP4 192.0.2.1", "|2^20|1:4", "realm=\"carrier\"", "nonce=\"n1\"", "m=audio 20000 RTP/SAVP 8", "<tel:+***********78>", "+**-**-****56;",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing:\n%s", want, got)
		}
	}
	if len(got) != len(invite) {
		t.Errorf("the length changed from %d to %d", len(invite), len(got))
	}
}

func TestSecretsAreMaskedAlsoInTheOpen(t *testing.T) {
	b := []byte(invite)
	Mask(b, true)
	got := string(b)
	for _, no := range []string{"0123456789abcdef", "WVNf", "line4711"} {
		if strings.Contains(got, no) {
			t.Errorf("%q is still there:\n%s", no, got)
		}
	}
	if !strings.Contains(got, "Erika Mustermann") || !strings.Contains(got, "sip:+4969123456@") {
		t.Errorf("unmasked means unmasked:\n%s", got)
	}
}

func TestMasksByHeader(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"From: <sip:112@edge>;tag=a", "From: <sip:112@edge>;tag=a"},
		{"f: Bob<sip:bob@x>;tag=a", "f: ***<sip:***@x>;tag=a"},
		{"To: sip:4711@x", "To: sip:**11@x"},
		{"To: <SIP:4711;phone-context=+49@x>", "To: <SIP:**11;*****-*******=+**@x>"},
		{"From: \"A \\\" B\" <sip:a@x>", "From: \"* \\* *\" <sip:*@x>"},
		{"Authorization: Bearer abc.def", "Authorization: Bearer *******"},
		{"Authorization: Digest response=abc, qop=auth", "Authorization: Digest response=***, qop=auth"},
		{"Reason: Q.850;cause=16;text=\"by 4969123456\"", "Reason: Q.850;cause=16;text=\"by ********56\""},
		{"Identity: eyJhbGciOi.x", "Identity: **********.*"},
		{"Route: <sip:node:secret@a;lr>,<sip:b;lr>", "Route: <sip:****:******@a;lr>,<sip:b;lr>"},
		{"Subject: hello", "Subject: *****"},
		{"no header at all", "** ****** ** ***"},
		{"Refer-To: <sip:alice@x?Replaces=a%3Bto-tag>", "Refer-To: <sip:*****@x?Replaces=a%3Bto-tag>"},
		{"History-Info: <sip:+4969123456@x>;index=1,<sip:b@y?Reason=SIP>;index=1.1", "History-Info: <sip:+********56@x>;index=1,<sip:*@y?Reason=SIP>;index=1.1"},
	} {
		b := []byte("OPTIONS sip:x SIP/2.0\r\n" + c.in + "\r\n\r\n")
		Mask(b, false)
		if got := strings.Split(string(b), "\r\n")[1]; got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.in, got, c.want)
		}
	}
}

func TestContentIsNeverShown(t *testing.T) {
	const multi = "INFO sip:x SIP/2.0\r\nContent-Type: multipart/mixed;boundary=Mark\r\n\r\n--Mark\r\nContent-Type: application/sdp\r\n\r\nv=0\r\nc=IN IP4 192.0.2.1\r\n" +
		"--Mark\r\nContent-Type: application/pidf+xml\r\n\r\n<pos>52.1 13.2</pos>\r\n--Mark--\r\n"
	for _, open := range []bool{false, true} {
		for _, in := range []string{
			"INFO sip:x SIP/2.0\r\nContent-Type: application/dtmf-relay\r\n\r\nSignal=5\r\nDuration=160\r\n",
			"MESSAGE sip:x SIP/2.0\r\nc: text/plain\r\n\r\nSignal=5",
			multi,
		} {
			b := []byte(in)
			Mask(b, open)
			if bytes.Contains(b, []byte("Signal")) || bytes.Contains(b, []byte("52.1")) || len(b) != len(in) {
				t.Errorf("open %v:\n%s", open, b)
			}
			if strings.Contains(in, "multipart") && !bytes.Contains(b, []byte("c=IN IP4 192.0.2.1")) {
				t.Errorf("the description went, too:\n%s", b)
			}
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add([]byte(invite), false)
	f.Add([]byte("SIP/2.0 200 OK\nAuthorization: Digest response=\"\ncontent-type:multipart/x;boundary=a\n\n--a\n\n--a"), true)
	f.Add([]byte("INVITE tel:+4969123456;x SIP/2.0\r\nTo: \"\\"), false)
	f.Fuzz(func(t *testing.T, b []byte, open bool) {
		in := bytes.Clone(b)
		Mask(b, open)
		if len(in) != len(b) {
			t.Fatal("the length changed")
		}
		for i := range b {
			if b[i] != in[i] && b[i] != star {
				t.Fatalf("byte %d became %q", i, b[i])
			}
		}
		again := bytes.Clone(b)
		Mask(again, open)
		if bytes.Count(again, []byte{star}) < bytes.Count(b, []byte{star}) {
			t.Fatal("masking unmasks")
		}
	})
}

func BenchmarkMask(b *testing.B) {
	buf := make([]byte, len(invite))
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, invite)
		Mask(buf, false)
	}
}

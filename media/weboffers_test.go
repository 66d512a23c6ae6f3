package media

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/media/dtls"
)

// offerOf reads a sample, at an address of these tests.
func offerOf(t testing.TB, name string) string {
	t.Helper()
	return strings.ReplaceAll(strings.ReplaceAll(readFile(t, "testdata/webrtc/"+name+".sdp"), "192.0.2.10", aliceAddr.String()), "\n", "\r\n")
}

// without leaves out the lines that begin so.
func without(text string, begins ...string) string {
	var out strings.Builder
	for l := range strings.SplitAfterSeq(text, "\r\n") {
		if !slices.ContainsFunc(begins, func(b string) bool { return strings.HasPrefix(l, b) }) {
			out.WriteString(l)
		}
	}
	return out.String()
}

const plainAnswer = "v=0\r\no=b 1 1 IN IP4 127.0.2.10\r\ns=-\r\nc=IN IP4 127.0.2.10\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"

// TestWhatBrowsersOffer: what is answered, and why not.
func TestWhatBrowsersOffer(t *testing.T) {
	chrome, firefox, phone, mute := offerOf(t, "chrome"), offerOf(t, "firefox"), offerOf(t, "baresip_dtls_ice_mux"), offerOf(t, "baresip_dtls_mux")
	web, noICE := dtlsLeg("carrier", true), dtlsLeg("carrier", false)
	optional := Leg{Party: "carrier", Security: SRTPOptional}
	const iced = "\r\na=ice-lite\r\na=ice-options:ice2\r\n"
	for _, c := range []struct {
		name, offer string
		leg         Leg
		has, hasNot []string // of the answer
		refused     string
	}{
		{"Chrome", chrome, web, []string{
			"a=group:BUNDLE 0\r\n", iced, "m=audio", "UDP/TLS/RTP/SAVPF 8\r\n", "a=rtcp-mux\r\n", "a=mid:0\r\n", "a=setup:passive\r\n", "a=fingerprint:sha-256 ", "a=ice-ufrag:", "a=ice-pwd:",
			"a=candidate:1 1 UDP 2130706431 127.0.1.1 ", "a=end-of-candidates\r\n", "m=video 0 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:1\r\n",
		}, []string{"msid", "extmap", "rtcp-fb", "a=ssrc", "xL2k", "36:79"}, ""},
		{"Firefox", firefox, web, []string{"a=group:BUNDLE sdparta_0\r\n", iced, "a=mid:sdparta_0\r\n", "a=setup:passive\r\n", "a=end-of-candidates\r\n"}, []string{".local", "7E:29"}, ""},
		{"baresip", phone, web, []string{iced, "a=setup:passive\r\n", "a=candidate:"}, []string{"a=group", "a=mid", "end-of-candidates"}, ""},
		{"baresip, without ICE of ours", phone, noICE, []string{"a=setup:active\r\n", "a=fingerprint:"}, []string{"ice", "candidate"}, ""},
		{"baresip, without ICE of its own", mute, web, []string{"a=setup:active\r\n", "a=fingerprint:"}, []string{"ice", "candidate"}, ""},
		{"who takes what comes", mute, optional, []string{"a=setup:active\r\n", "a=fingerprint:", "UDP/TLS/RTP/SAVPF"}, []string{"a=crypto"}, ""},
		{"it begins", strings.ReplaceAll(chrome, "actpass", "active"), web, []string{"a=setup:passive\r\n"}, nil, ""},
		{"it waits", strings.ReplaceAll(chrome, "actpass", "passive"), web, []string{"a=setup:active\r\n"}, nil, ""},
		{"no address, and no ICE of ours", chrome, noICE, nil, nil, "301"},
		{"no address, and half of ICE", without(chrome, "a=ice-pwd"), web, nil, nil, "301"},
		{"no mux", without(phone, "a=rtcp-mux"), web, nil, nil, "rtcp-mux"},
		{"no fingerprint", without(chrome, "a=fingerprint"), web, nil, nil, "no fingerprint"},
		{"a weak one", strings.ReplaceAll(chrome, "a=fingerprint:sha-256 36:79:83:75:8A:E9:F8:88:6D:0C:D4:EF:58:BE:FB:EB:77:BA:85:D8:AE:42", "a=fingerprint:sha-1 36:79:83:75:8A:E9:F8:88:6D:0C:D4:EF:58:BE"), web, nil, nil, "strong"},
		{"holdconn", strings.ReplaceAll(chrome, "actpass", "holdconn"), web, nil, nil, "holdconn"},
		{"a leg in clear", mute, plainLeg("carrier"), nil, nil, "RTP/AVP"},
		{"a leg with SDES", mute, srtpLeg("carrier"), nil, nil, "RTP/SAVP only"},
		{"a phone in clear", "v=0\r\no=b 1 1 IN IP4 127.0.1.10\r\ns=-\r\nc=IN IP4 127.0.1.10\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\n", web, nil, nil, "UDP/TLS/RTP/SAVP only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, newNetwork().door)
				s := b.open(c.leg)
				_, err := s.Offer(A, []byte(c.offer), plainLeg("fra"))
				var answer []byte
				if err == nil {
					answer, err = s.Answer(B, []byte(plainAnswer))
				}
				var ref *Refusal
				if c.refused != "" {
					if !errors.As(err, &ref) || ref.Status != 488 || !strings.Contains(ref.Text, c.refused) && (c.refused != "301" || ref.Warning != 301) {
						t.Errorf("%v\n%s", err, answer)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				for _, want := range c.has {
					if !strings.Contains(string(answer), want) {
						t.Errorf("no %q in\n%s", want, answer)
					}
				}
				for _, bad := range c.hasNot {
					if strings.Contains(string(answer), bad) {
						t.Errorf("%q in\n%s", bad, answer)
					}
				}
			})
		})
	}
}

// TestWhatBrowsersAreOffered: our offer, and which answers to it are taken.
func TestWhatBrowsersAreOffered(t *testing.T) {
	const plain = "v=0\r\no=a 1 1 IN IP4 127.0.1.10\r\ns=-\r\nc=IN IP4 127.0.1.10\r\nt=0 0\r\nm=audio 5000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\nm=video 5002 RTP/AVP 96\r\n"
	print := "a=fingerprint:sha-256 " + strings.Repeat("AB:", 31) + "AB\r\n"
	answer := func(proto, rest string) string {
		return "v=0\r\no=b 1 1 IN IP4 127.0.2.10\r\ns=-\r\nc=IN IP4 127.0.2.10\r\nt=0 0\r\nm=audio 5000 " + proto + " 8\r\na=rtpmap:8 PCMA/8000\r\n" + rest + "m=video 0 RTP/AVP 96\r\n"
	}
	const tls = "UDP/TLS/RTP/SAVPF"
	ices := "a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=candidate:1 1 UDP 1 127.0.2.10 5000 typ host\r\n"
	for name, c := range map[string]struct {
		answer, refused string
		iced            bool
	}{
		"with ICE":          {answer(tls, "a=rtcp-mux\r\na=setup:active\r\n"+print+ices), "", true},
		"without ICE":       {answer(tls, "a=rtcp-mux\r\na=setup:passive\r\n"+print), "", false},
		"no setup":          {answer(tls, "a=rtcp-mux\r\n"+print), "", false},
		"no mux":            {answer(tls, "a=setup:active\r\n"+print), "rtcp-mux", false},
		"no fingerprint":    {answer(tls, "a=rtcp-mux\r\na=setup:active\r\n"), "no fingerprint", false},
		"actpass":           {answer(tls, "a=rtcp-mux\r\na=setup:actpass\r\n"+print), "actpass", false},
		"in clear":          {answer("RTP/AVP", ""), "another profile", false},
		"SDES":              {answer("RTP/SAVPF", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n"), "another profile", false},
		"no address at all": {strings.ReplaceAll(strings.ReplaceAll(answer(tls, "a=rtcp-mux\r\n"+print), "audio 5000", "audio 9"), "c=IN IP4 127.0.2.10", "c=IN IP4 0.0.0.0"), "no address", false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newBed(t, newNetwork().door)
				s := b.open(plainLeg("carrier"))
				offer := string(ok(s.Offer(A, []byte(plain), dtlsLeg("fra", true)))(t))
				for _, want := range []string{"a=ice-lite\r\n", " " + tls + " 8\r\n", "a=rtcp-mux\r\n", "a=setup:actpass\r\n", "a=fingerprint:sha-256 ", "a=ice-ufrag:", "a=candidate:1 1 UDP "} {
					if !strings.Contains(offer, want) {
						t.Errorf("no %q in\n%s", want, offer)
					}
				}
				_, err := s.Answer(B, []byte(c.answer))
				var ref *Refusal
				if errors.As(err, &ref) != (c.refused != "") || ref != nil && !strings.Contains(ref.Text, c.refused) {
					t.Errorf("%v, want a refusal of %q", err, c.refused)
				}
				if l := s.legs[B].Load(); err == nil && (l.remote.iced != c.iced || !l.associated().pending.Load()) {
					t.Errorf("ICE is spoken: %v", l.remote.iced)
				}
			})
		})
	}
}

// FuzzBrowsers throws offers and answers at legs with DTLS-SRTP and ICE: nothing of A is told to B but what may cross, and an answer of ours is one that browsers can read.
func FuzzBrowsers(f *testing.F) {
	files, _ := filepath.Glob("testdata/webrtc/*.sdp")
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
		f.Add(b, false)
	}
	n := newNetwork()
	f.Fuzz(func(t *testing.T, text []byte, ices bool) {
		b := newBed(t, n.listen)
		s := b.open(dtlsLeg("carrier", ices))
		toB, err := s.Offer(A, text, plainLeg("fra"))
		if err == nil {
			for _, own := range []string{"fingerprint", "ice-", "candidate", "TLS", "BUNDLE"} {
				if strings.Contains(without(string(toB), "a=fmtp", "a=rtpmap", "m="), own) {
					t.Errorf("%q went to B:\n%s", own, toB)
				}
			}
			if back, err := s.Answer(B, []byte(plainAnswer)); err == nil {
				d, ref := parseSDP(back)
				if ref != nil {
					t.Fatalf("our answer cannot be read: %v\n%s", ref, back)
				}
				if l := d.lines[s.legs[A].Load().remote.audio]; l.port != 0 && (l.web == nil || len(l.web.dtls.Fingerprints) != 1 || l.web.dtls.Setup == dtls.ActPass) {
					t.Errorf("no keys can be made by\n%s", back)
				}
			}
		}
		other := b.open(plainLeg("carrier"))
		ok(other.Offer(A, []byte(strings.ReplaceAll(plainAnswer, "127.0.2.10", aliceAddr.String())), dtlsLeg("fra", ices)))(t)
		_, _ = other.Answer(B, text)
	})
}

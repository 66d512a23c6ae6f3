package media

import (
	"flag"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// samples are offers in the manner of real peers, and under which security they are taken.
var samples = map[string]Security{
	"genesys": SRTPRequired, "teams": SRTPRequired, "baresip": SRTPRequired, "pjsua": SRTPRequired, "savpf": SRTPRequired,
	"asterisk": Plain, "sipp": Plain, "fax_video": Plain, "v6": SRTPOptional, "hold_2543": SRTPOptional, "both_profiles": SRTPOptional,
}

// exchangeSample runs a sample as A's offer against an echo on B with the given leg.
func exchangeSample(t *testing.T, name string, toB Leg) (offer, toBText, answer, toAText string) {
	t.Helper()
	offer = readFile(t, "testdata/sdp/"+name+".sdp")
	bed := newBed(t, newNetwork().door)
	a := Leg{Party: "carrier", Security: samples[name], Secure: true}
	if name == "v6" {
		a.Bind = netip.MustParseAddr("fd00:1::1")
	}
	s := bed.open(a)
	b := bed.endpoint(bobAddr, toB, Tone{Echo: true})
	toBytes := ok(s.Offer(A, []byte(offer), toB))(t)
	answerBytes := ok(b.Answer(toBytes))(t)
	return offer, string(toBytes), string(answerBytes), string(ok(s.Answer(B, answerBytes))(t))
}

var (
	inlineKey = regexp.MustCompile(`inline:[A-Za-z0-9+/=]+`)
	originID  = regexp.MustCompile(`(?m)^o=- \d+ `)
)

// normal replaces what is random.
func normal(s string) string {
	s = inlineKey.ReplaceAllString(s, "inline:KEY")
	s = originID.ReplaceAllString(s, "o=- ID ")
	return strings.ReplaceAll(s, "\r\n", "\n")
}

// Conforms: RFC 3264 section 5; RFC 3264 section 6
func TestGolden(t *testing.T) {
	legs := map[string]Leg{"srtp": srtpLeg("fra"), "plain": plainLeg("fra")}
	for name := range samples {
		for kind, leg := range legs {
			t.Run(name+"/"+kind, func(t *testing.T) {
				_, toB, _, toA := exchangeSample(t, name, leg)
				got := "--- offer to B\n" + normal(toB) + "--- answer to A\n" + normal(toA)
				file := filepath.Join("testdata", "golden", name+"_"+kind+".txt")
				if *update {
					if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
						t.Fatal(err)
					}
				}
				if want := readFile(t, file); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
			})
		}
	}
}

// tells are the lines of a description that say who or where its sender is.
var tells = regexp.MustCompile(`^(o|s|i|u|e|p|c|b)=|^a=(candidate|ice-|ssrc|mid|label|tool|rtcp:|rtcp-fb|extmap|msid|group|fingerprint|crypto|X-|silenceSupp)`)

// TestNothingLeaks takes every word of those lines and looks for it on the other side.
func TestNothingLeaks(t *testing.T) {
	// Words that are in any description, and what both sides legally share.
	common := append([]string{"IN", "IP4", "IP6", "inline", "crypto"}, func() (s []string) {
		for _, x := range defaultSuites() {
			s = append(s, string(x))
		}
		return s
	}()...)
	words := func(text string) []string {
		var out []string
		for l := range strings.Lines(text) {
			if !tells.MatchString(l) {
				continue
			}
			l = strings.TrimSpace(l[2:])
			out = append(out, l)
			out = append(out, strings.FieldsFunc(l, func(r rune) bool { return strings.ContainsRune(" :|@;", r) })...)
		}
		return slices.DeleteFunc(out, func(w string) bool { return len(w) < 5 || slices.Contains(common, w) || w == "0.0.0.0" })
	}
	for name := range samples {
		t.Run(name, func(t *testing.T) {
			offer, toB, answer, toA := exchangeSample(t, name, srtpLeg("fra"))
			n := 0
			for _, w := range words(offer) {
				n++
				if strings.Contains(toB, w) {
					t.Errorf("B is told %q of A", w)
				}
			}
			for _, w := range words(answer) {
				n++
				if strings.Contains(toA, w) {
					t.Errorf("A is told %q of B", w)
				}
			}
			if n < 6 {
				t.Fatalf("only %d words were looked for", n)
			}
		})
	}
}

// Conforms: RFC 3264 section 6
func TestRefusedDescriptions(t *testing.T) {
	base := readFile(t, "testdata/sdp/sipp.sdp")
	with := func(old, now string) string { return strings.ReplaceAll(base, old, now) }
	srtp := readFile(t, "testdata/sdp/baresip.sdp")
	insecure := Leg{Party: "carrier"}
	for name, c := range map[string]struct {
		leg             Leg
		offer           string
		status, warning int
	}{
		"no text":                   {plainLeg("carrier"), "", 488, 304},
		"not sdp":                   {plainLeg("carrier"), "hello", 488, 399},
		"control character":         {plainLeg("carrier"), with("s=-", "s=\x00"), 488, 399},
		"too long":                  {plainLeg("carrier"), base + strings.Repeat("a=x:"+strings.Repeat("y", 1000)+"\n", 17), 488, 399},
		"too many lines":            {plainLeg("carrier"), base + strings.Repeat("a=x\n", 600), 488, 399},
		"too many media lines":      {plainLeg("carrier"), base + strings.Repeat("m=video 1 RTP/AVP 9\n", 16), 488, 399},
		"no audio":                  {plainLeg("carrier"), with("m=audio", "m=video"), 488, 304},
		"audio is off":              {plainLeg("carrier"), with("audio 6000", "audio 0"), 488, 304},
		"dtls":                      {srtpLeg("carrier"), with("RTP/AVP", "UDP/TLS/RTP/SAVP"), 488, 302},
		"plain where srtp is due":   {srtpLeg("carrier"), base, 488, 302},
		"srtp where plain is due":   {plainLeg("carrier"), srtp, 488, 302},
		"keys over a hop in clear":  {insecure, srtp, 488, 399},
		"no suite in common":        {srtpLeg("carrier", AEAD_AES_256_GCM), srtp, 488, 399},
		"name in c=":                {plainLeg("carrier"), with("IP4 198.51.100.15", "IP4 media.example.net"), 488, 301},
		"multicast":                 {plainLeg("carrier"), with("IP4 198.51.100.15", "IP4 224.2.1.1/127"), 488, 301},
		"broadcast":                 {plainLeg("carrier"), with("IP4 198.51.100.15", "IP4 255.255.255.255"), 488, 301},
		"no address":                {plainLeg("carrier"), with("c=IN IP4 198.51.100.15\n", ""), 488, 301},
		"other family":              {plainLeg("carrier"), with("c=IN IP4 198.51.100.15", "c=IN IP6 fd00::9"), 488, 301},
		"two ports":                 {plainLeg("carrier"), with("audio 6000", "audio 6000/2"), 488, 302},
		"port out of range":         {plainLeg("carrier"), with("audio 6000", "audio 66000"), 488, 399},
		"unknown static format":     {plainLeg("carrier"), with("RTP/AVP 8\na=rtpmap:8 PCMA/8000", "RTP/AVP 77"), 488, 305},
		"only events":               {plainLeg("carrier"), with("RTP/AVP 8\na=rtpmap:8 PCMA/8000", "RTP/AVP 96\na=rtpmap:96 telephone-event/8000"), 488, 305},
		"bad rtcp":                  {plainLeg("carrier"), base + "a=rtcp:0\n", 488, 399},
		"empty rtcp":                {plainLeg("carrier"), base + "a=rtcp:\n", 488, 399},
		"rtcp by name":              {plainLeg("carrier"), base + "a=rtcp:9 IN IP4 example.net\n", 488, 301},
		"undeclared address":        {plainLeg("carrier"), with("IP4 198.51.100.15", "IP4 192.0.2.7"), 403, 399},
		"held address":              {plainLeg("carrier"), with("IP4 198.51.100.15", "IP4 127.0.66.10"), 403, 399},
		"held rtcp address":         {plainLeg("carrier"), base + "a=rtcp:9 IN IP4 127.0.66.10\n", 403, 399},
		"undeclared party":          {plainLeg("nobody"), base, 403, 399},
		"twenty-five crypto lines":  {srtpLeg("carrier"), srtp + strings.Repeat("a=crypto:7 X inline:Y\n", 25), 488, 399},
		"unencrypted by parameter":  {srtpLeg("carrier"), strings.TrimSpace(srtp) + " UNENCRYPTED_SRTP\n", 488, 399},
		"key of the wrong length":   {srtpLeg("carrier"), strings.Replace(srtp, "inline:", "inline:AAAA", 1), 488, 399},
		"mki of no sensible length": {srtpLeg("carrier"), strings.TrimSpace(srtp) + "|2^31|1:9\n", 488, 399},
	} {
		t.Run(name, func(t *testing.T) {
			bed := newBed(t, newNetwork().door)
			s := bed.open(c.leg)
			out, err := s.Offer(A, []byte(c.offer), plainLeg("fra"))
			ref, isRef := err.(*Refusal)
			if !isRef || ref.Status != c.status || ref.Warning != c.warning || out != nil {
				t.Fatalf("got %v, want %d with warning %d\n%s", err, c.status, c.warning, out)
			}
			if moved := bed.moves.list(); (c.status == 403) != (len(moved) == 1) || ref.Ruling.Permitted() {
				t.Errorf("moves %+v, ruling %+v", moved, ref.Ruling)
			} else if len(moved) == 1 && (moved[0].Allowed || moved[0].Ruling.Why == "" || ref.Ruling.Why == "") {
				t.Errorf("the refusal does not say why: %+v", moved[0])
			}
		})
	}
}

func TestRefusedAnswers(t *testing.T) {
	offer := []byte(readFile(t, "testdata/sdp/baresip.sdp"))
	for name, c := range map[string]struct {
		change          func(string) string
		status, warning int
	}{
		"other tag":        {func(s string) string { return strings.Replace(s, "crypto:1", "crypto:8", 1) }, 488, 399},
		"other suite":      {func(s string) string { return strings.Replace(s, "AEAD_AES_256", "AEAD_AES_128", 1) }, 488, 399},
		"no key":           {func(s string) string { return s[:strings.Index(s, "a=crypto")] }, 488, 399},
		"two keys":         {func(s string) string { return s + s[strings.Index(s, "a=crypto"):] }, 488, 399},
		"in clear":         {func(s string) string { return strings.Replace(s, "RTP/SAVP", "RTP/AVP", 1) }, 488, 302},
		"held address":     {func(s string) string { return strings.ReplaceAll(s, bobAddr.String(), "127.0.66.10") }, 403, 399},
		"no media at all":  {func(s string) string { return s[:strings.Index(s, "m=")] }, 488, 399},
		"another medium":   {func(s string) string { return strings.Replace(s, "m=audio", "m=video", 1) }, 488, 302},
		"unreadable":       {func(string) string { return "v=1\r\n" }, 488, 399},
		"no common format": {func(s string) string { return strings.Replace(s, "SAVP 8", "SAVP 99", 1) }, 488, 305},
	} {
		t.Run(name, func(t *testing.T) {
			bed := newBed(t, newNetwork().door)
			s := bed.open(srtpLeg("carrier"))
			toB := ok(s.Offer(A, offer, srtpLeg("fra")))(t)
			b := bed.endpoint(bobAddr, srtpLeg("fra"), Tone{})
			answer := string(ok(b.Answer(toB))(t))
			out, err := s.Answer(B, []byte(c.change(answer)))
			ref, isRef := err.(*Refusal)
			if !isRef || ref.Status != c.status || ref.Warning != c.warning {
				t.Fatalf("got %v, want %d with warning %d\n%s", err, c.status, c.warning, out)
			}
			// The refused answer changed nothing: the right one still counts.
			ok(s.Answer(B, []byte(answer)))(t)
		})
	}
}

func TestNoKeysTowardAHopInClear(t *testing.T) {
	offer := []byte(readFile(t, "testdata/sdp/sipp.sdp"))
	for _, sec := range []Security{SRTPRequired, SRTPOptional} {
		bed := newBed(t, newNetwork().door)
		s := bed.open(plainLeg("carrier"))
		out, err := s.Offer(A, offer, Leg{Party: "fra", Security: sec})
		if ref, isRef := err.(*Refusal); !isRef || ref.Status != 488 {
			t.Errorf("security %d: %v %s", sec, err, out)
		}
		if out, err = s.Offer(A, offer, Leg{Party: "fra", Security: sec, InsecureLab: true}); err != nil || !strings.Contains(string(out), "a=crypto:") {
			t.Errorf("in the lab: %v %s", err, out)
		}
	}
}

// Conforms: RFC 3264 section 6
func TestDeclineRefusesEveryStreamAndSaysNothingOfTheOffer(t *testing.T) {
	offer := "v=0\r\no=alice 77 78 IN IP4 192.0.2.9\r\ns=secret\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0\r\na=rtpmap:8 PCMA/8000\r\nm=video 4002 RTP/AVP 99\r\n"
	got, err := Decline([]byte(offer), netip.MustParseAddr("203.0.113.5"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(got)
	for _, want := range []string{"m=audio 0 RTP/AVP 8 0\r\n", "m=video 0 RTP/AVP 99\r\n", "c=IN IP4 203.0.113.5\r\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, leak := range []string{"alice", "secret", "192.0.2.9", "PCMA"} {
		if strings.Contains(text, leak) {
			t.Errorf("%q crossed:\n%s", leak, text)
		}
	}
	if _, err := Decline([]byte("nonsense"), netip.MustParseAddr("203.0.113.5")); err == nil {
		t.Error("what cannot be read was declined")
	}
}

package transport

import (
	"strings"
	"testing"
)

// Conforms: RFC 3261 section 8.2.6; RFC 4475 section 3.3.1
func TestARequestThatLacksWhatNamesItIsToldSoWithWhatItHas(t *testing.T) {
	const good = "OPTIONS sip:a@b.example SIP/2.0\r\nVia: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKm\r\nFrom: <sip:a@a.example>;tag=1\r\nTo: <sip:b@b.example>\r\n" +
		"Call-ID: c1\r\nCSeq: 7 OPTIONS\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
	for name, c := range map[string]struct {
		line string
		want verdict
	}{
		"no From":    {"From: <sip:a@a.example>;tag=1\r\n", answer(400, "Missing From")},
		"no To":      {"To: <sip:b@b.example>\r\n", answer(400, "Missing To")},
		"no Call-ID": {"Call-ID: c1\r\n", answer(400, "Missing Call-ID")},
		"no CSeq":    {"CSeq: 7 OPTIONS\r\n", silence("Missing CSeq")}, // nobody could tell what is answered
		"no Via":     {"Via: SIP/2.0/UDP 198.51.100.7:5062;branch=z9hG4bKm\r\n", silence("Missing Via")},
	} {
		got, _, reply := judge([]byte(strings.Replace(good, c.line, "", 1)))
		if got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
		if reply == nil {
			continue
		}
		s := string(reply)
		if field, _, _ := strings.Cut(c.line, " "); strings.Contains(s, field) {
			t.Errorf("%s: %s was made up\n%s", name, field, s)
		}
		if !strings.Contains(s, "branch=z9hG4bKm;received=198.51.100.7\r\n") || !strings.Contains(s, "CSeq: 7 OPTIONS\r\n") || strings.Count(s, "\r\n\r\n") != 1 {
			t.Errorf("%s:\n%s", name, s)
		}
	}
}

package header

import (
	"encoding/base64"
	"testing"
)

func passport(head, claims string) string {
	b := base64.RawURLEncoding.EncodeToString
	return b([]byte(head)) + "." + b([]byte(claims)) + ".c2lnbmF0dXJl"
}

const certificate = `;info=<https://cert.example.org/passport.cer>;alg=ES256`

// The PASSporT of RFC 8225 Appendix A.1 and others: it stays right while numbers and time stay, whatever the hosts are.
//
// Conforms: RFC 8224 section 4.1; RFC 8224 section 8.3; RFC 8225 section 5.2.1; RFC 8588 section 4
func TestPassport(t *testing.T) {
	const shaken = `{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"https://cert.example.org/passport.cer"}`
	const plain = `{"alg":"ES256","typ":"passport","x5u":"https://cert.example.org/passport.cer"}`
	const claims = `{"attest":"A","dest":{"tn":["12155551213"]},"iat":1443208345,"orig":{"tn":"12155551212"},"origid":"123e4567-e89b-12d3-a456-426655440000"}`
	const date = "Fri, 25 Sep 2015 19:12:25 GMT"
	good := passport(shaken, claims) + certificate + ";ppt=shaken"
	for name, c := range map[string]struct {
		value, caller, called, date string
		was                         [2]string
		why                         string
	}{
		"SHAKEN":                     {good, "+12155551212", "+12155551213", date, [2]string{}, ""},
		"with visual separators":     {good, "+1-215-555-1212", "1(215)5551213;npdi", date, [2]string{}, ""},
		"without a Date":             {good, "+12155551212", "+12155551213", "", [2]string{}, ""},
		"an anonymous caller":        {good, "", "+12155551213", date, [2]string{}, PassCaller},
		"a caller by name":           {good, "alice", "+12155551213", date, [2]string{}, PassCaller},
		"another caller":             {good, "+12155551219", "+12155551213", date, [2]string{}, PassCaller},
		"another number called":      {good, "+12155551212", "+12155551219", date, [2]string{}, PassCalled},
		"another time":               {good, "+12155551212", "+12155551213", "Fri, 25 Sep 2015 19:22:25 GMT", [2]string{}, PassDate},
		"no time":                    {good, "+12155551212", "+12155551213", "yesterday", [2]string{}, PassDate},
		"several called":             {passport(plain, `{"dest":{"tn":["1","12155551213"]},"iat":1443208345,"orig":{"tn":"12155551212"}}`) + certificate, "12155551212", "12155551213", date, [2]string{}, ""},
		"URIs":                       {passport(plain, `{"dest":{"uri":["sip:bob@example.org"]},"iat":1443208345,"orig":{"uri":"sip:alice@example.com"}}`) + certificate, "alice", "bob", date, [2]string{}, PassHost},
		"media keys":                 {passport(plain, `{"dest":{"tn":["12155551213"]},"iat":1443208345,"orig":{"tn":"12155551212"},"mky":[{"alg":"sha-256","dig":"02"}]}`) + certificate, "12155551212", "12155551213", date, [2]string{}, PassMedia},
		"an unknown claim":           {passport(plain, `{"dest":{"tn":["12155551213"]},"iat":1443208345,"orig":{"tn":"12155551212"},"rcd":{}}`) + certificate, "12155551212", "12155551213", date, [2]string{}, PassClaims},
		"an unknown type":            {passport(`{"alg":"ES256","ppt":"msgi","typ":"passport"}`, claims) + certificate, "12155551212", "12155551213", date, [2]string{}, PassClaims},
		"short":                      {"..c2lnbmF0dXJl" + certificate, "+12155551212", "+12155551213", date, [2]string{"12155551212", "+12155551213"}, ""},
		"short, without a Date":      {"..c2lnbmF0dXJl" + certificate, "+12155551212", "+12155551213", "", [2]string{"12155551212", "+12155551213"}, PassDate},
		"short, another caller":      {"..c2lnbmF0dXJl" + certificate, "+12155551212", "+12155551213", date, [2]string{"12155551219", "+12155551213"}, PassCaller},
		"short, another called":      {"..c2lnbmF0dXJl" + certificate, "+12155551212", "+12155551213", date, [2]string{"12155551212", "+12155551219"}, PassCalled},
		"short, a service is called": {"..c2lnbmF0dXJl" + certificate, "+12155551212", "sos", date, [2]string{"12155551212", "sos"}, PassCalled},
	} {
		p, ok := ReadPassport(c.value)
		if !ok {
			t.Errorf("%s: not read", name)
			continue
		}
		if got := p.Broken(c.caller, c.called, c.was, c.date); got != c.why {
			t.Errorf("%s: %q, want %q", name, got, c.why)
		}
	}
	for name, v := range map[string]string{
		"nothing":              "",
		"no certificate":       passport(shaken, claims),
		"no signature":         "a.b." + certificate,
		"two parts":            "a.b" + certificate,
		"no base64":            "!.!.c" + certificate,
		"another type outside": passport(shaken, claims) + certificate + ";ppt=div",
		"no caller":            passport(plain, `{"dest":{"tn":["1"]},"iat":1443208345}`) + certificate,
		"nobody called":        passport(plain, `{"orig":{"tn":"1"},"iat":1443208345}`) + certificate,
		"no time":              passport(plain, `{"dest":{"tn":["1"]},"orig":{"tn":"1"}}`) + certificate,
		"numbers as numbers":   passport(plain, `{"dest":{"tn":[1]},"orig":{"tn":1},"iat":1443208345}`) + certificate,
	} {
		if p, ok := ReadPassport(v); ok {
			t.Errorf("%s: read as %+v", name, p)
		}
	}
}

package ice

import (
	"crypto/md5"
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"
)

// The messages of RFC 5769.
const (
	rfcRequest = "00010058 2112a442 b7e7a701bc34d686fa87dfae 80220010 5354554e207465737420636c69656e74 00240004 6e0001ff 80290008 932ff9b151263b36 " +
		"00060009 6576746a3a68367659202020 00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2 80280004 e57a3bcf"
	rfcIPv4 = "0101003c 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220 00200008 0001a147e112a643 " +
		"00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7 80280004 c07d4c96"
	rfcIPv6 = "01010048 2112a442 b7e7a701bc34d686fa87dfae 8022000b 7465737420766563746f7220 00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9 " +
		"00080014 a382954e4be67bf11784c97c8292c275bfe3ed41 80280004 c8fb0b4c"
	rfcLongTerm = "00010060 2112a442 78ad3433c6ad72c029da412e 00060012 e3839ee38388e383aae38383e382afe382b90000 " +
		"0015001c 662f2f3439396b39353464364f4c33346f4c39465354767936347341 0014000b 6578616d706c652e6f726700 00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666"
	rfcPwd = "VOkJxbRl1RmTxUk/WvJxBt"
)

func fromHex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessagesOfRFC5769(t *testing.T) {
	for _, c := range []struct{ name, raw, mapped string }{
		{"2.1 request", rfcRequest, ""},
		{"2.2 IPv4 response", rfcIPv4, "192.0.2.1:32853"},
		{"2.3 IPv6 response", rfcIPv6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853"},
	} {
		b := fromHex(t, c.raw)
		m, ok := parse(b)
		if !ok || !m.verified() || !m.authentic([]byte(rfcPwd)) {
			t.Errorf("%s: read %v, fingerprint %v, integrity %v", c.name, ok, m.verified(), m.authentic([]byte(rfcPwd)))
			continue
		}
		if m.authentic([]byte("VOkJxbRl1RmTxUk/WvJxBu")) {
			t.Errorf("%s: authentic with another password", c.name)
		}
		if c.mapped != "" {
			if got := mapped(b, b[40:40+int(b[39])]); got != netip.MustParseAddrPort(c.mapped) {
				t.Errorf("%s: mapped address %v, not %s", c.name, got, c.mapped)
			}
		}
	}
	m, ok := parse(fromHex(t, rfcRequest))
	if !ok || string(m.username) != "evtj:h6vY" || m.priority != 0x6e0001ff || !m.controlled || m.useCandidate {
		t.Errorf("2.1 request: read as %+v", m)
	}
	// Section 2.4 has no fingerprint, and a key that was hashed.
	key := md5.Sum([]byte("\u30de\u30c8\u30ea\u30c3\u30af\u30b9:example.org:TheMatrIX"))
	if m, ok = parse(fromHex(t, rfcLongTerm)); !ok || m.verified() || !m.authentic(key[:]) {
		t.Errorf("2.4 request: read %v, fingerprint %v, integrity %v", ok, m.verified(), m.authentic(key[:]))
	}
}

// What the RFC's responses say is written as they have it, but for SOFTWARE, which is not said here.
func TestResponsesAreThoseOfRFC5769(t *testing.T) {
	req, _ := parse(fromHex(t, rfcRequest))
	for _, raw := range []string{rfcIPv4, rfcIPv6} {
		want := fromHex(t, raw)
		length := 4 + int(want[39])
		from := mapped(want, want[40:36+length])
		got := req.success(nil, from, []byte(rfcPwd))
		if len(got) != len(want)-16 || string(got[20:20+length]) != string(want[36:36+length]) || string(got[4:20]) != string(want[4:20]) {
			t.Errorf("%v: wrote %x, where the RFC has %x", from, got, want)
		}
		if m, ok := parse(got); !ok || !m.verified() || !m.authentic([]byte(rfcPwd)) {
			t.Errorf("%v: wrote %x, which can't be verified", from, got)
		}
	}
}

// The RFC's request comes from a peer that is controlled, to whom a lite agent can only say that there is a conflict.
func TestTheRequestOfRFC5769IsAConflict(t *testing.T) {
	a, err := New(Credentials{"evtj", rfcPwd}, "h6vY")
	if err != nil {
		t.Fatal(err)
	}
	out, e := a.Handle(0, fromHex(t, rfcRequest), peerOne, make([]byte, ReplyLen))
	m, ok := parse(out)
	if e.What != Conflict || !ok || !m.authentic([]byte(rfcPwd)) || m.class != bindingError {
		t.Errorf("what %d, response %x", e.What, out)
	}
}

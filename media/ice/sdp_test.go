package ice

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
)

// take reads lines "a=name:value".
func take(t testing.TB, text string) (p Params) {
	t.Helper()
	for l := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(l), "a="), ":")
		if name != "" && !p.Take(name, value) {
			t.Errorf("%q is not of ICE", l)
		}
	}
	return p
}

func TestWhatABrowserSays(t *testing.T) {
	p := take(t, `a=ice-options:trickle ice2
		a=ice-ufrag:F7gI
		a=ice-pwd:x9cml/YzichV2+XlhiMu8g
		a=candidate:842163049 1 udp 1677729535 198.51.100.7 46154 typ srflx raddr 10.0.0.5 rport 46154 generation 0 network-cost 999
		a=candidate:1467250027 1 udp 2122260223 4c2ec0d1-2b0a-4a9a-a5f7-a4a0e7a2b1c4.local 46154 typ host generation 0 network-id 1
		a=candidate:1467250028 2 udp 2122260222 10.0.0.5 46155 typ host generation 0
		a=candidate:435653019 1 tcp 1518280447 10.0.0.5 9 typ host tcptype active generation 0
		a=candidate:3 1 UDP 2113937151 2001:db8::7 5002 typ host
		a=end-of-candidates`)
	want := []Candidate{{netip.MustParseAddrPort("198.51.100.7:46154"), 1677729535, "srflx"}, {peerTwo, 2113937151, "host"}}
	if p.Ufrag != "F7gI" || p.Pwd != "x9cml/YzichV2+XlhiMu8g" || !p.ICE2 || !p.Trickle || !p.Complete || p.Lite || !slices.Equal(p.Candidates, want) {
		t.Errorf("read as %+v", p)
	}
}

func TestCandidatesThatAreNotTaken(t *testing.T) {
	const good = "1 1 UDP 2130706431 198.51.100.7 5000 typ host"
	if c, ok := parseCandidate(good); !ok || c.Addr != peerOne || c.Priority != 2130706431 || c.Kind != "host" {
		t.Fatalf("%q: %+v", good, c)
	}
	for _, v := range []string{
		"", "1", "1 1 UDP 2130706431 198.51.100.7 5000 typ", "1 1 UDP 2130706431 198.51.100.7 5000 host host",
		strings.Repeat("1", 33) + good[1:], "? " + good[2:],
		"1 2 UDP 2130706431 198.51.100.7 5000 typ host", "1 1 TCP 2130706431 198.51.100.7 5000 typ host",
		"1 1 UDP 0 198.51.100.7 5000 typ host", "1 1 UDP 2147483648 198.51.100.7 5000 typ host", "1 1 UDP -1 198.51.100.7 5000 typ host",
		"1 1 UDP 1 example.org 5000 typ host", "1 1 UDP 1 a.local 5000 typ host", "1 1 UDP 1 0.0.0.0 5000 typ host", "1 1 UDP 1 224.0.0.1 5000 typ host",
		"1 1 UDP 1 fe80::1%eth0 5000 typ host", "1 1 UDP 1 198.51.100.7 0 typ host", "1 1 UDP 1 198.51.100.7 65536 typ host", "1 1 UDP 1 198.51.100.7 5000 typ other",
	} {
		if c, ok := parseCandidate(v); ok {
			t.Errorf("%q is taken: %+v", v, c)
		}
	}
}

func TestWhatIsReadIsBounded(t *testing.T) {
	var p Params
	for range 1000 {
		p.Take("candidate", "1 1 UDP 2130706431 198.51.100.7 5000 typ host")
	}
	if len(p.Candidates) != maxCandidates {
		t.Errorf("%d candidates", len(p.Candidates))
	}
	// What is malformed changes nothing.
	p = Params{}
	for _, v := range []string{"", "abc", strings.Repeat("a", 257), "ab c", "ab\x00cd"} {
		if !p.Take("ice-ufrag", v) || !p.Take("ice-pwd", v) || !p.Take("ice-pwd", "x9cml/YzichV2+XlhiMu"+v[:min(1, len(v))]) {
			t.Error("not of ICE")
		}
	}
	if p.Ufrag != "" || p.Pwd != "" {
		t.Errorf("read as %+v", p)
	}
	if p.Take("rtpmap", "0 PCMU/8000") || p.Take("", "") {
		t.Error("taken for ICE")
	}
}

// A section begins with what its session says, and doesn't share what it adds with its neighbours.
func TestSectionsDoNotShareCandidates(t *testing.T) {
	session := take(t, "a=candidate:1 1 UDP 1 198.51.100.7 5000 typ host")
	one, two := session, session
	one.Take("candidate", "1 1 UDP 1 198.51.100.7 5001 typ host")
	two.Take("candidate", "1 1 UDP 1 198.51.100.7 5002 typ host")
	if one.Candidates[1].Addr.Port() != 5001 || two.Candidates[1].Addr.Port() != 5002 {
		t.Errorf("%v %v", one.Candidates, two.Candidates)
	}
}

func TestUsable(t *testing.T) {
	base := take(t, "a=ice-ufrag:F7gI\na=ice-pwd:x9cml/YzichV2+XlhiMu8g\na=candidate:1 1 UDP 1 198.51.100.7 5000 typ host")
	for _, c := range []struct {
		name   string
		change func(p *Params)
		rtp    string
		want   bool
	}{
		{"the default is a candidate", nil, "198.51.100.7:5000", true},
		{"somebody between us wrote another default", nil, "203.0.113.1:5000", false},
		{"no default yet", nil, "0.0.0.0:9", true},
		{"port 9 at an address", nil, "203.0.113.1:9", true},
		{"candidates to come", func(p *Params) { p.Candidates = nil }, "198.51.100.7:5000", true},
		{"no ufrag", func(p *Params) { p.Ufrag = "" }, "198.51.100.7:5000", false},
		{"no password", func(p *Params) { p.Pwd = "" }, "198.51.100.7:5000", false},
		{"the peer saw a mismatch", func(p *Params) { p.Take("ice-mismatch", "") }, "198.51.100.7:5000", false},
	} {
		p := base
		if c.change != nil {
			c.change(&p)
		}
		if got := p.Usable(netip.MustParseAddrPort(c.rtp)); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if !base.Usable(netip.AddrPort{}) {
		t.Error("a default that is a name")
	}
}

func TestRestarts(t *testing.T) {
	one := Params{Credentials: Credentials{"aaaa", "x9cml/YzichV2+XlhiMu8g"}}
	for _, c := range []struct {
		name string
		next Credentials
		want bool
	}{
		{"the same", one.Credentials, false},
		{"both new", Credentials{"bbbb", "y9cml/YzichV2+XlhiMu8g"}, true},
		{"one new", Credentials{"aaaa", "y9cml/YzichV2+XlhiMu8g"}, true},
		{"no more ICE", Credentials{}, false},
	} {
		if got := one.Restarts(&Params{Credentials: c.next}); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if (&Params{}).Restarts(&one) {
		t.Error("the first one restarts")
	}
}

func TestWhatIsWritten(t *testing.T) {
	own := Credentials{"abcdefgh", "x9cml/YzichV2+XlhiMu8g"}
	got := string(AppendMedia(AppendSession(nil), own, []netip.AddrPort{ourAddr, netip.MustParseAddrPort("[2001:db8::1]:4000")}, true))
	want := "a=ice-lite\r\na=ice-options:ice2\r\na=ice-ufrag:abcdefgh\r\na=ice-pwd:x9cml/YzichV2+XlhiMu8g\r\n" +
		"a=candidate:1 1 UDP 2130706431 192.0.2.1 4000 typ host\r\na=candidate:2 1 UDP 2130706175 2001:db8::1 4000 typ host\r\na=end-of-candidates\r\n"
	if got != want {
		t.Errorf("wrote\n%s", got)
	}
	p := take(t, got)
	if p.Credentials != own || !p.Lite || !p.ICE2 || !p.Complete || len(p.Candidates) != 2 || p.Candidates[0].Addr != ourAddr || p.Candidates[0].Kind != "host" {
		t.Errorf("read back as %+v", p)
	}
	if strings.Contains(string(AppendMedia(nil, own, nil, false)), "end-of-candidates") {
		t.Error("end-of-candidates for a peer that doesn't trickle")
	}
}

// What baresip 1.0.0 offers, as it came from the wire: with rtcp-mux one component, else two, of which the second is not for us. It names no options: it is a peer of
// RFC 5245, which goes on with no checks once it has nominated.
func TestOffersOfBaresip(t *testing.T) {
	for name, port := range map[string]uint16{"dtls_ice_mux": 10690, "dtls_ice": 9936, "sdes_ice": 31698} {
		b, err := os.ReadFile("../testdata/webrtc/baresip_" + name + ".sdp")
		if err != nil {
			t.Fatal(err)
		}
		var p Params
		for l := range strings.SplitSeq(string(b), "\r\n") {
			if attribute, ok := strings.CutPrefix(l, "a="); ok {
				key, value, _ := strings.Cut(attribute, ":")
				p.Take(key, value)
			}
		}
		rtp := netip.AddrPortFrom(netip.MustParseAddr("192.0.2.10"), port)
		if !p.Usable(rtp) || len(p.Candidates) != 2 || p.Candidates[0].Addr != rtp || p.ICE2 || p.Trickle || p.Lite {
			t.Errorf("%s is read as %+v", name, p)
		}
		if p.Usable(netip.AddrPortFrom(rtp.Addr(), port+1)) {
			t.Errorf("%s: with RTP at the address of RTCP", name)
		}
		if _, err := New(NewCredentials(), p.Ufrag); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

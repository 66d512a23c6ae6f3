package cordon_test

import (
	"bytes"
	"net/netip"
	"regexp"
	"sync"
	"testing"

	"github.com/cordonsip/cordon/internal/vnet"
)

// topology watches that no side of a call learns of another one: what a leg is called (Call-ID, tags, branches) is said on that leg alone, and no peer's address is told to
// another peer.
type topology struct {
	mu    sync.Mutex
	first map[string]netip.Addr // who a name was said to or by, the first time
	peers map[netip.Addr][]byte // addresses of the peers that were seen, as text
	seen  int                   // names on the wire that were compared
}

var legName = regexp.MustCompile(`(?i)(?:;tag=|;branch=)([^;>\s,"]+)|\r\nCall-ID: *([^\r\n]+)`)

// leak looks at one packet of the edge or of a peer and gives what it tells of somebody else; "" when it tells nothing.
func (y *topology) leak(edge netip.Addr, p vnet.Packet) string {
	if !bytes.Contains(p.Data, []byte("SIP/2.0")) {
		return ""
	}
	y.mu.Lock()
	defer y.mu.Unlock()
	ours, far := p.From.Addr() == edge, p.To.Addr()
	if !ours {
		far = p.From.Addr()
	}
	if y.peers == nil {
		y.peers, y.first = map[netip.Addr][]byte{}, map[string]netip.Addr{}
	}
	if y.peers[far] == nil {
		y.peers[far] = []byte(far.String())
	}
	for _, m := range legName.FindAllSubmatch(p.Data, -1) {
		name := string(m[1]) + string(m[2])
		if len(name) < 6 {
			continue
		}
		y.seen++
		switch who, known := y.first[name]; {
		case !known:
			y.first[name] = far
		case ours && who != far:
			return name
		}
	}
	if !ours {
		return ""
	}
	for a, text := range y.peers {
		if a != far && bytes.Contains(p.Data, text) {
			return a.String()
		}
	}
	return ""
}

// Conforms: RFC 5853 section 3.1; RFC 7092 section 3.1
func TestTheWatcherOfTopologySeesALeak(t *testing.T) {
	at := func(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
	edge, a, b := at("10.5.0.10:5060"), at("10.1.0.10:5060"), at("10.2.0.10:5060")
	for name, c := range map[string]struct {
		to   netip.AddrPort
		data string
		want string
	}{
		"an answer":         {a, "SIP/2.0 200 OK\r\nFrom: <sip:x>;tag=caller\r\nCall-ID: callofcaller\r\n\r\n", ""},
		"a leg of its own":  {b, "INVITE sip:x SIP/2.0\r\nFrom: <sip:x>;tag=another\r\nCall-ID: callofours\r\n\r\n", ""},
		"a tag":             {b, "INVITE sip:x SIP/2.0\r\nFrom: <sip:x>;tag=caller\r\nCall-ID: callofours\r\n\r\n", "caller"},
		"a Call-ID":         {b, "INVITE sip:x SIP/2.0\r\nCall-ID: callofcaller\r\n\r\n", "callofcaller"},
		"a branch":          {b, "INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKofcaller\r\n\r\n", "z9hG4bKofcaller"},
		"an address":        {b, "INVITE sip:x SIP/2.0\r\n\r\nc=IN IP4 10.1.0.10\r\n", "10.1.0.10"},
		"media, not looked": {b, "callofcaller", ""},
	} {
		var y topology
		y.leak(edge.Addr(), vnet.Packet{From: a, To: edge, Data: []byte("INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bKofcaller\r\nFrom: <sip:x>;tag=caller\r\nCall-ID: callofcaller\r\n\r\n")})
		if got := y.leak(edge.Addr(), vnet.Packet{From: edge, To: c.to, Data: []byte(c.data)}); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

package ice

import (
	"net/netip"
	"strconv"
	"strings"
)

// maxCandidates is how many candidates of a peer are kept; further ones are overread.
const maxCandidates = 16

// Params is what a description says of ICE: of the session, or of one media section, which begins as a copy of its session's. The zero Params says nothing.
type Params struct {
	Credentials
	Lite       bool // only a session says so
	ICE2       bool // RFC 8445 rather than 5245: nominations are final
	Trickle    bool // further candidates may follow in messages of their own, RFC 8838
	Complete   bool // none will, RFC 8838 section 8.2
	Mismatch   bool // the peer saw that somebody between us had changed its default address
	Candidates []Candidate
}

// Candidate is one address of a peer's, of component 1 and UDP, always literal. It is a hint: nothing is sent to it because it stands there.
type Candidate struct {
	Addr     netip.AddrPort
	Priority uint32
	Kind     string // host | srflx | prflx | relay
}

// Take reads one attribute, "name:value". It says whether the attribute belongs to ICE; one that is malformed is of ICE and changes nothing, since RFC 8839 lets
// what is not understood be ignored.
func (p *Params) Take(name, value string) bool {
	switch name {
	case "ice-ufrag":
		if len(value) >= 4 && len(value) <= peerMax && iceChars(value) {
			p.Ufrag = value
		}
	case "ice-pwd":
		if len(value) >= 22 && len(value) <= peerMax && iceChars(value) {
			p.Pwd = value
		}
	case "ice-lite":
		p.Lite = true
	case "ice-options":
		for tag := range strings.FieldsSeq(value) {
			p.ICE2 = p.ICE2 || tag == "ice2"
			p.Trickle = p.Trickle || tag == "trickle"
		}
	case "ice-mismatch":
		p.Mismatch = true
	case "end-of-candidates":
		p.Complete = true
	case "candidate":
		if c, ok := parseCandidate(value); ok && len(p.Candidates) < maxCandidates {
			p.Candidates = append(p.Candidates[:len(p.Candidates):len(p.Candidates)], c)
		}
	case "remote-candidates", "ice-pacing":
	default:
		return false
	}
	return true
}

// Usable says whether ICE can be spoken with a peer that says this. RFC 8839 section 4.2.5 also wants the default address among the candidates, which rtp is; one
// that names no place yet (port 9, the unspecified address) and one whose candidates are all yet to come or are names is taken as it is.
func (p *Params) Usable(rtp netip.AddrPort) bool {
	if p.Ufrag == "" || p.Pwd == "" || p.Mismatch {
		return false
	}
	if len(p.Candidates) == 0 || !rtp.IsValid() || rtp.Addr().IsUnspecified() || rtp.Port() == 9 {
		return true
	}
	for _, c := range p.Candidates {
		if c.Addr == rtp {
			return true
		}
	}
	return false
}

// Restarts says whether next, the peer's new description of a section, restarts ICE. RFC 8839 section 4.4.1.1.1 has a peer change both texts; one that changes only
// one of them can't mean to go on with the old pair.
func (p *Params) Restarts(next *Params) bool {
	return p.Ufrag != "" && next.Ufrag != "" && p.Credentials != next.Credentials
}

// parseCandidate reads the value of a candidate attribute, RFC 8839 section 5.1. It takes component 1 over UDP at a literal address: names, of which most are made
// for mDNS, are never resolved here, and a candidate over TCP or for an RTCP port of its own can't be used.
func parseCandidate(v string) (Candidate, bool) {
	var f [8]string
	n := 0
	for word := range strings.FieldsSeq(v) {
		if f[n] = word; n == len(f)-1 {
			n++
			break
		}
		n++
	}
	if n < len(f) || len(f[0]) > 32 || !iceChars(f[0]) || f[1] != "1" || !strings.EqualFold(f[2], "UDP") || f[6] != "typ" {
		return Candidate{}, false
	}
	priority, err := strconv.ParseUint(f[3], 10, 32)
	addr, err2 := netip.ParseAddr(f[4])
	port, err3 := strconv.ParseUint(f[5], 10, 16)
	// RFC 8445 section 5.1.2.1: priorities are 1 to 2**31-1.
	if err != nil || err2 != nil || err3 != nil || port == 0 || priority == 0 || priority >= 1<<31 || addr.Zone() != "" || addr.IsUnspecified() || addr.IsMulticast() {
		return Candidate{}, false
	}
	kind := ""
	for _, k := range [...]string{"host", "srflx", "prflx", "relay"} {
		if f[7] == k {
			kind = k
		}
	}
	return Candidate{netip.AddrPortFrom(addr.Unmap(), uint16(port)), uint32(priority), kind}, kind != ""
}

// AppendSession writes what our descriptions say before their media sections: RFC 8839 sections 5.3 and 5.6.
func AppendSession(b []byte) []byte { return append(b, "a=ice-lite\r\na=ice-options:ice2\r\n"...) }

// AppendMedia writes what a media section of ours says: our credentials and one host candidate for each address, the preferred one first. They are all there are,
// which is said to a peer that trickles.
func AppendMedia(b []byte, own Credentials, hosts []netip.AddrPort, trickle bool) []byte {
	b = append(append(append(b, "a=ice-ufrag:"...), own.Ufrag...), "\r\n"...)
	b = append(append(append(b, "a=ice-pwd:"...), own.Pwd...), "\r\n"...)
	for i, host := range hosts {
		b = strconv.AppendInt(append(b, "a=candidate:"...), int64(i+1), 10)
		b = strconv.AppendUint(append(b, " 1 UDP "...), uint64(hostPriority(i)), 10)
		b = append(host.Addr().AppendTo(append(b, ' ')), ' ')
		b = append(strconv.AppendUint(b, uint64(host.Port()), 10), " typ host\r\n"...)
	}
	if trickle {
		b = append(b, "a=end-of-candidates\r\n"...)
	}
	return b
}

// hostPriority is the priority of our host candidate number i for component 1, RFC 8445 section 5.1.2.1.
func hostPriority(i int) uint32 { return 126<<24 | uint32(65535-i)<<8 | (256 - 1) }

// iceChars says whether s has only characters that RFC 8839 section 5.1 calls ice-char.
func iceChars(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '+', c == '/':
		default:
			return false
		}
	}
	return s != ""
}

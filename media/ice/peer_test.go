package ice

import (
	"encoding/binary"
	"hash/crc32"
	"net/netip"
	"testing"
)

var (
	ourAddr = netip.MustParseAddrPort("192.0.2.1:4000")
	peerOne = netip.MustParseAddrPort("198.51.100.7:5000")
	peerTwo = netip.MustParseAddrPort("[2001:db8::7]:5002")
)

const priorityOfHost = 126<<24 | 65535<<8 | 255

// request is a Binding request as a full peer writes it: by hand, so that each part can be left out or be wrong.
type request struct {
	class        uint16
	name, pwd    string
	priority     uint32
	use          bool
	role         uint16 // attrControlling, attrControlled or 0
	extra        []byte // whole attributes before MESSAGE-INTEGRITY
	behind       []byte // and behind it
	noIntegrity  bool
	noPrint      bool
	badIntegrity bool
	badPrint     bool
}

// check is what a controlling peer sends to an agent with those credentials.
func check(own Credentials, peer string, use bool) request {
	return request{name: own.Ufrag + ":" + peer, pwd: own.Pwd, priority: priorityOfHost, use: use, role: attrControlling}
}

func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint16(b, uint16(len(value)))
	return pad(append(b, value...))
}

func (r request) bytes() []byte {
	if r.class == 0 {
		r.class = bindingRequest
	}
	b := binary.BigEndian.AppendUint16(nil, r.class)
	b = append(b, 0, 0, 0x21, 0x12, 0xa4, 0x42)
	b = append(b, "transaction0"...)
	if r.name != "" {
		b = attribute(b, attrUsername, []byte(r.name))
	}
	if r.role != 0 {
		b = attribute(b, r.role, []byte("tiebreak"))
	}
	if r.priority != 0 {
		b = attribute(b, attrPriority, binary.BigEndian.AppendUint32(nil, r.priority))
	}
	if r.use {
		b = attribute(b, attrUseCandidate, nil)
	}
	b = append(b, r.extra...)
	if !r.noIntegrity {
		mac := integrity(b, []byte(r.pwd))
		if r.badIntegrity {
			mac[19] ^= 1
		}
		b = attribute(b, attrIntegrity, mac[:])
	}
	b = append(b, r.behind...)
	if r.noPrint {
		binary.BigEndian.PutUint16(b[2:], uint16(len(b)-headerLen))
		return b
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+fingerprintLen-headerLen))
	sum := crc32.ChecksumIEEE(b) ^ fingerprintXor
	if r.badPrint {
		sum ^= 1
	}
	return attribute(b, attrFingerprint, binary.BigEndian.AppendUint32(nil, sum))
}

// response is what a peer reads of an answer: it fails on what a peer would not accept.
type response struct {
	class   uint16
	mapped  netip.AddrPort
	code    int
	unknown []uint16
}

func readResponse(t testing.TB, b []byte, pwd string) response {
	t.Helper()
	m, ok := parse(b)
	if !ok || !m.verified() || !m.authentic([]byte(pwd)) {
		t.Fatalf("a peer can't accept the response %x", b)
	}
	if string(b[8:20]) != "transaction0" {
		t.Fatalf("the response is for another transaction: %x", b[8:20])
	}
	r := response{class: m.class}
	for at := headerLen; at < len(b); {
		kind, length := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		switch v := b[at+4 : at+4+length]; kind {
		case attrXorMappedAddress:
			r.mapped = mapped(b, v)
		case attrErrorCode:
			r.code = int(v[2])*100 + int(v[3])
		case attrUnknownAttributes:
			for ; len(v) >= 2; v = v[2:] {
				r.unknown = append(r.unknown, binary.BigEndian.Uint16(v))
			}
		}
		at += 4 + (length+3)&^3
	}
	return r
}

// mapped reads the value of an XOR-MAPPED-ADDRESS of the message b.
func mapped(b, v []byte) netip.AddrPort {
	raw := append([]byte(nil), v[4:]...)
	for i := range raw {
		raw[i] ^= b[4+i]
	}
	addr, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(addr, binary.BigEndian.Uint16(v[2:])^0x2112)
}

package ice

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// Sizes and numbers of RFC 8489. A message of a check has about 100 octets; what is longer than maxMessage is not looked at.
const (
	headerLen      = 20
	maxMessage     = 512
	maxAttributes  = 24
	maxUnknown     = 4
	integrityLen   = 4 + sha1.Size
	fingerprintLen = 4 + 4
	magicCookie    = 0x2112A442
	fingerprintXor = 0x5354554E
)

// Message types, RFC 8489 section 5: method Binding in its classes.
const (
	bindingRequest = 0x0001
	bindingSuccess = 0x0101
	bindingError   = 0x0111
)

// Attributes, RFC 8489 section 18.3 and RFC 8445 section 16.1.
const (
	attrUsername          = 0x0006
	attrIntegrity         = 0x0008
	attrErrorCode         = 0x0009
	attrUnknownAttributes = 0x000A
	attrXorMappedAddress  = 0x0020
	attrPriority          = 0x0024
	attrUseCandidate      = 0x0025
	attrFingerprint       = 0x8028
	attrControlled        = 0x8029
	attrControlling       = 0x802A
)

// message is a STUN message as far as an agent reads it. Its slices lie in the datagram.
type message struct {
	raw          []byte
	class        uint16
	username     []byte
	priority     uint32
	useCandidate bool
	controlled   bool
	integrity    int // where MESSAGE-INTEGRITY begins; 0: there is none
	fingerprint  int // where FINGERPRINT begins; 0: there is none
	unknown      [maxUnknown]uint16
	unknowns     int // of unknown, those that are set
}

// parse reads b, all of which must be one STUN message. What it says is not to be believed before verified and authentic said so.
func parse(b []byte) (message, bool) {
	if len(b) < headerLen || len(b) > maxMessage || len(b)%4 != 0 || b[0] > 3 ||
		binary.BigEndian.Uint32(b[4:]) != magicCookie || int(binary.BigEndian.Uint16(b[2:])) != len(b)-headerLen {
		return message{}, false
	}
	m := message{raw: b, class: binary.BigEndian.Uint16(b)}
	for at, n := headerLen, 0; at < len(b); n++ {
		if len(b)-at < 4 || n == maxAttributes || m.fingerprint != 0 {
			return message{}, false // FINGERPRINT is the last one, RFC 8489 section 14.7
		}
		length := int(binary.BigEndian.Uint16(b[at+2:]))
		if length > len(b)-at-4 {
			return message{}, false
		}
		if !m.attribute(binary.BigEndian.Uint16(b[at:]), b[at+4:at+4+length], at) {
			return message{}, false
		}
		at += 4 + (length+3)&^3
	}
	return m, true
}

// attribute takes one attribute that begins at that place.
func (m *message) attribute(kind uint16, value []byte, at int) bool {
	// RFC 8489 section 14.5: what stands behind MESSAGE-INTEGRITY is not protected by it and is ignored, but for FINGERPRINT.
	if m.integrity != 0 && kind != attrFingerprint {
		return true
	}
	switch kind {
	case attrUsername:
		// RFC 8489 section 14: only the first one of a kind counts.
		if m.username == nil {
			m.username = value
		}
	case attrIntegrity:
		m.integrity = at
		return len(value) == sha1.Size
	case attrFingerprint:
		m.fingerprint = at
		return len(value) == 4
	case attrPriority:
		if len(value) != 4 {
			return false
		}
		m.priority = binary.BigEndian.Uint32(value)
	case attrUseCandidate:
		m.useCandidate = true
	case attrControlled:
		m.controlled = true
	default:
		// RFC 8489 section 6.3.1: the lower half of the numbers must be understood.
		if kind < 0x8000 && m.unknowns < maxUnknown {
			m.unknown[m.unknowns] = kind
			m.unknowns++
		}
	}
	return true
}

// verified says whether the message ends with a FINGERPRINT that fits, as every message of ICE must, RFC 8445 sections 7.1 and 7.3.
func (m *message) verified() bool {
	at := m.fingerprint
	return at != 0 && binary.BigEndian.Uint32(m.raw[at+4:]) == crc32.ChecksumIEEE(m.raw[:at])^fingerprintXor
}

// authentic says whether the message has a MESSAGE-INTEGRITY made with key.
func (m *message) authentic(key []byte) bool {
	if m.integrity == 0 {
		return false
	}
	mac := integrity(m.raw[:m.integrity], key)
	return subtle.ConstantTimeCompare(mac[:], m.raw[m.integrity+4:m.integrity+integrityLen]) == 1
}

// integrity is the HMAC-SHA1 over a message that ends before its MESSAGE-INTEGRITY, RFC 8489 section 14.5: as if that attribute were its last one. b has at most
// maxMessage octets, key at most sha1.BlockSize. RFC 2104 is written out here because crypto/hmac takes memory for every message.
func integrity(b, key []byte) [sha1.Size]byte {
	var inner [sha1.BlockSize + maxMessage]byte
	var outer [sha1.BlockSize + sha1.Size]byte
	copy(inner[:], key)
	copy(outer[:], key)
	for i := range sha1.BlockSize {
		inner[i] ^= 0x36
		outer[i] ^= 0x5c
	}
	n := sha1.BlockSize + copy(inner[sha1.BlockSize:], b)
	binary.BigEndian.PutUint16(inner[sha1.BlockSize+2:], uint16(len(b)+integrityLen-headerLen))
	sum := sha1.Sum(inner[:n])
	copy(outer[sha1.BlockSize:], sum[:])
	return sha1.Sum(outer[:])
}

// begin starts a response to the request m in b.
func (m *message) begin(b []byte, class uint16) []byte {
	b = binary.BigEndian.AppendUint16(b[:0], class)
	b = append(b, 0, 0)
	return append(b, m.raw[4:headerLen]...) // the same cookie and transaction
}

// success is the response that tells the peer which address its request came from.
func (m *message) success(b []byte, from netip.AddrPort, key []byte) []byte {
	b = m.begin(b, bindingSuccess)
	addr := from.Addr().Unmap()
	family, length := byte(1), uint16(8)
	if addr.Is6() {
		family, length = 2, 20
	}
	b = binary.BigEndian.AppendUint16(b, attrXorMappedAddress)
	b = binary.BigEndian.AppendUint16(b, length)
	b = append(b, 0, family)
	b = binary.BigEndian.AppendUint16(b, from.Port()^magicCookie>>16)
	at := len(b)
	if raw := addr.As16(); addr.Is6() {
		b = append(b, raw[:]...)
	} else {
		b = append(b, raw[12:]...)
	}
	// RFC 8489 section 14.2: with the cookie, and for IPv6 the transaction behind it.
	for i := range b[at:] {
		b[at+i] ^= m.raw[4+i]
	}
	return seal(b, key)
}

// failure is the error response with that code.
func (m *message) failure(b []byte, code uint16, reason string, key []byte) []byte {
	b = m.begin(b, bindingError)
	b = binary.BigEndian.AppendUint16(b, attrErrorCode)
	b = binary.BigEndian.AppendUint16(b, uint16(4+len(reason)))
	b = append(b, 0, 0, byte(code/100), byte(code%100))
	b = pad(append(b, reason...))
	if m.unknowns > 0 {
		b = binary.BigEndian.AppendUint16(b, attrUnknownAttributes)
		b = binary.BigEndian.AppendUint16(b, uint16(2*m.unknowns))
		for _, kind := range m.unknown[:m.unknowns] {
			b = binary.BigEndian.AppendUint16(b, kind)
		}
		b = pad(b)
	}
	return seal(b, key)
}

// pad fills b up to a multiple of four octets, RFC 8489 section 14.
func pad(b []byte) []byte {
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// seal ends the message in b with MESSAGE-INTEGRITY and FINGERPRINT and sets its length.
func seal(b, key []byte) []byte {
	mac := integrity(b, key)
	b = binary.BigEndian.AppendUint16(b, attrIntegrity)
	b = binary.BigEndian.AppendUint16(b, sha1.Size)
	b = append(b, mac[:]...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+fingerprintLen-headerLen))
	sum := crc32.ChecksumIEEE(b) ^ fingerprintXor
	b = binary.BigEndian.AppendUint16(b, attrFingerprint)
	b = binary.BigEndian.AppendUint16(b, 4)
	return binary.BigEndian.AppendUint32(b, sum)
}

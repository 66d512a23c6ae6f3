package ice

// Kind of a datagram that came to a port where ICE, DTLS and media share one socket.
type Kind uint8

// The kinds. The zero Kind is nothing that belongs on such a port.
const (
	Unknown Kind = iota
	STUN
	DTLS
	RTP
	RTCP
)

// KindOf tells by the first byte, and for RTCP by the second, what a datagram is meant to be: RFC 7983 section 7 and RFC 5761 section 4. It says nothing of
// whether the rest is well-formed; only what is too short for the smallest datagram of its kind is Unknown, and so are ZRTP and TURN channels, which are not spoken here.
func KindOf(b []byte) Kind {
	if len(b) < 8 {
		return Unknown
	}
	switch first := b[0]; {
	case first < 4 && len(b) >= headerLen:
		return STUN
	case first >= 20 && first < 64 && len(b) >= 13: // one record's header
		return DTLS
	case first >= 128 && first < 192 && b[1] >= 192 && b[1] < 224:
		return RTCP
	case first >= 128 && first < 192 && len(b) >= 12:
		return RTP
	}
	return Unknown
}

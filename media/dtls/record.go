package dtls

import "encoding/binary"

// Numbers of RFC 6347 section 4.1 and RFC 5246 section 6.2.1.
const (
	recordHeader = 13
	maxRecord    = 1<<14 + 2048
	// window is how many sequence numbers replays are looked for among, and how many a peer may use before its records are encrypted, which takes some tens of them.
	// pion moves its window by records that nobody has authenticated: without that bound a forged one with a high number would make all that follow look old.
	window = 1024

	changeCipherSpec = 20
	alertRecord      = 21
	handshakeRecord  = 22
	applicationData  = 23

	fatal = 2

	messageHeader = 12 // RFC 6347 section 4.2.2
	// Longest handshake messages. A chain of certificates and a hello with large key shares fit into the one; a signature of an RSA key of 8192 bits into the other,
	// and what is signed by a larger key is not worth the time that it takes to check: seconds, for one that fills what a handshake may take.
	maxMessage = 8192
	maxSigned  = 1200

	serverKeyExchange = 12
	certificateVerify = 15
)

// wellFormed says whether a datagram is whole records of DTLS 1.2 that make sense. RFC 6347 section 4.1.2.7 has what is not dropped in silence; pion ends the whole
// handshake at some of it, which anybody who can forge the source address could then do with one datagram.
func wellFormed(b []byte) bool {
	for len(b) > 0 {
		if len(b) <= recordHeader || b[1] != 0xfe || b[2] != 0xfd && b[2] != 0xff {
			return false
		}
		epoch, length := binary.BigEndian.Uint16(b[3:]), int(binary.BigEndian.Uint16(b[11:]))
		if epoch > 1 || length == 0 || length > maxRecord || length > len(b)-recordHeader {
			return false
		}
		if sequence := binary.BigEndian.Uint64(b[3:]) & (1<<48 - 1); epoch == 0 && sequence >= window {
			return false
		}
		body := b[recordHeader : recordHeader+length]
		switch b[0] {
		case changeCipherSpec:
			if epoch != 0 || length != 1 || body[0] != 1 {
				return false
			}
		case alertRecord:
			if epoch == 0 && (length != 2 || body[0] == 0 || body[0] > fatal) {
				return false
			}
		case handshakeRecord:
			if epoch == 0 && !sensible(body) {
				return false
			}
		case applicationData:
			if epoch == 0 {
				return false
			}
		default:
			return false
		}
		b = b[recordHeader+length:]
	}
	return true
}

// sensible says whether a record in clear is whole fragments of handshake messages that are no longer than they need be.
func sensible(b []byte) bool {
	for len(b) > 0 {
		if len(b) < messageHeader {
			return false
		}
		whole, offset, length := uint24(b[1:]), uint24(b[6:]), uint24(b[9:])
		most := maxMessage
		if b[0] == serverKeyExchange || b[0] == certificateVerify {
			most = maxSigned
		}
		if whole > most || offset+length > whole || length > len(b)-messageHeader {
			return false
		}
		b = b[messageHeader+length:]
	}
	return true
}

func uint24(b []byte) int { return int(b[0])<<16 | int(b[1])<<8 | int(b[2]) }

// fatalAlert gives the description of a fatal alert in clear that a well-formed datagram has, RFC 5246 section 7.2.
func fatalAlert(b []byte) (description byte, ok bool) {
	for len(b) > 0 {
		end := recordHeader + int(binary.BigEndian.Uint16(b[11:]))
		if b[0] == alertRecord && binary.BigEndian.Uint16(b[3:]) == 0 && b[recordHeader] == fatal {
			return b[recordHeader+1], true
		}
		b = b[end:]
	}
	return 0, false
}

// alertName is the name of an alert that a peer may have sent here; the number is said of others.
func alertName(description byte) string {
	switch description {
	case 10:
		return "unexpected_message"
	case 20:
		return "bad_record_mac"
	case 40:
		return "handshake_failure"
	case 42:
		return "bad_certificate"
	case 43:
		return "unsupported_certificate"
	case 46:
		return "certificate_unknown"
	case 47:
		return "illegal_parameter"
	case 48:
		return "unknown_ca"
	case 50:
		return "decode_error"
	case 51:
		return "decrypt_error"
	case 70:
		return "protocol_version"
	case 71:
		return "insufficient_security"
	case 80:
		return "internal_error"
	case 90:
		return "user_canceled"
	case 110:
		return "unsupported_extension"
	}
	return "another one"
}

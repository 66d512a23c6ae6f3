package browser

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"hash/crc32"

	"github.com/cordonsip/cordon/media/ice"
)

// Check is a connectivity check as a full, controlling agent sends it to one with those credentials: RFC 8445 section 7.1. name is the ufrag of who sends it.
func Check(to ice.Credentials, name string, nominate bool) []byte {
	b := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}
	var chance [20]byte
	rand.Read(chance[:])
	b = append(b, chance[:12]...)
	b = attribute(b, 0x0006, []byte(to.Ufrag+":"+name))
	b = attribute(b, 0x802a, chance[12:])
	b = attribute(b, 0x0024, binary.BigEndian.AppendUint32(nil, 126<<24|65535<<8|255))
	if nominate {
		b = attribute(b, 0x0025, nil)
	}
	// RFC 8489 section 14.5: the length is as if this were the last attribute.
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+24-20))
	mac := hmac.New(sha1.New, []byte(to.Pwd))
	mac.Write(b)
	b = attribute(b, 0x0008, mac.Sum(nil))
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)+8-20))
	return attribute(b, 0x8028, binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(b)^0x5354554E))
}

// attribute appends one attribute, RFC 8489 section 14.
func attribute(b []byte, kind uint16, value []byte) []byte {
	b = binary.BigEndian.AppendUint16(b, kind)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(value))), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// Answered says whether b is a success response to a check.
func Answered(b []byte) bool { return len(b) >= 20 && b[0] == 1 && b[1] == 1 }

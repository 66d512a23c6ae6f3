package sip

import (
	"crypto/rand"
	"encoding/hex"
)

const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

// token is n random characters, about 5.2 bits each.
func token(n int) string { return new(dice).token("", n) }

// dice are random bytes that are drawn many at once. They belong to one loop.
type dice struct {
	left []byte
	room [256]byte
}

// draw fills b.
func (d *dice) draw(b []byte) {
	for len(b) > 0 {
		if len(d.left) == 0 {
			_, _ = rand.Read(d.room[:]) // never fails
			d.left = d.room[:]
		}
		n := copy(b, d.left)
		b, d.left = b[n:], d.left[n:]
	}
}

// token is n random characters, about 5.2 bits each, behind prefix.
func (d *dice) token(prefix string, n int) string {
	var room [48]byte
	b := append(room[:0], prefix...)
	for range n {
		var one [1]byte
		d.draw(one[:])
		b = append(b, alphabet[int(one[0])%len(alphabet)])
	}
	return string(b)
}

// uuid is a version 4 UUID as Session-ID writes it. RFC 7989 section 4.1, RFC 4122 section 4.4.
func (d *dice) uuid() string {
	var b [16]byte
	d.draw(b[:])
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	var room [32]byte
	return string(hex.AppendEncode(room[:0], b[:]))
}

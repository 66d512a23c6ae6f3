package audit

import (
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"time"
)

// crockford is the alphabet of a ULID: 26 digits of 5 bits, the first of which holds only 3.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// ulids makes record ids: 48 bits of Unix milliseconds, 80 random bits. Within one millisecond they count up, so that ids made
// in a row sort in a row; a clock that steps back is followed, because the id must agree with the time of its entry.
type ulids struct {
	mu   sync.Mutex
	ms   int64
	last [10]byte
}

func (u *ulids) make(t time.Time) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	ms := t.UnixMilli()
	if ms != u.ms || !increment(&u.last) {
		u.ms = ms
		_, _ = rand.Read(u.last[:]) // never fails: crypto/rand ends the program instead
		u.last[0] &= 0x7f           // room to count up
	}
	var b [16]byte
	for i := range 6 {
		b[i] = byte(ms >> (40 - 8*i))
	}
	copy(b[6:], u.last[:])
	return encodeULID(b)
}

// increment adds one and says whether it fitted.
func increment(b *[10]byte) bool {
	for i := len(b) - 1; i >= 0; i-- {
		b[i]++
		if b[i] != 0 {
			return true
		}
	}
	return false
}

// encodeULID writes 128 bits as 26 digits, most significant first.
func encodeULID(b [16]byte) string {
	var out [26]byte
	acc, bits, pos := uint(0), 2, 0 // two zero bits in front: 130 = 26 * 5
	for _, x := range b {
		acc = acc<<8 | uint(x)
		for bits += 8; bits >= 5; bits -= 5 {
			out[pos] = crockford[acc>>(bits-5)&31]
			pos++
		}
		acc &= 1<<bits - 1
	}
	return string(out[:])
}

var errULID = errors.New("expected a ULID of 26 digits")

// ulidTime gives the milliseconds that a ULID carries.
func ulidTime(id string) (time.Time, error) {
	if len(id) != 26 || id[0] > '7' {
		return time.Time{}, errULID
	}
	var ms int64
	for i := range len(id) {
		d := strings.IndexByte(crockford, id[i])
		if d < 0 {
			return time.Time{}, errULID
		}
		if i < 10 {
			ms = ms<<5 | int64(d)
		}
	}
	return time.UnixMilli(ms).UTC(), nil
}

// NewULID makes an id for something that entries are about, such as a drill: two of one moment differ, and sort by no order.
func NewULID(at time.Time) string { return new(ulids).make(at) }

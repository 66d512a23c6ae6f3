package approval

import (
	"crypto/rand"
	"encoding/binary"
	"math/big"
	"time"
)

// newID makes a ULID: 48 bits of Unix milliseconds and 80 random bits in Crockford's base 32.
func newID(t time.Time) string {
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], uint64(t.UnixMilli())<<16)
	_, _ = rand.Read(b[6:]) // never fails: crypto/rand ends the program instead
	n, rest := new(big.Int).SetBytes(b[:]), new(big.Int)
	var id [26]byte
	for i := len(id) - 1; i >= 0; i-- {
		n.DivMod(n, big.NewInt(32), rest)
		id[i] = digits[rest.Int64()]
	}
	return string(id[:])
}

package gate

import (
	"crypto/rand"
	"encoding/binary"
	"math/big"
	"time"
)

// ulids makes ids that sort in the order of their making: 48 bits of Unix milliseconds and 80 bits that are random and, within one millisecond,
// count up. One goroutine at a time may use it.
type ulids struct {
	ms   int64
	last *big.Int
}

func (u *ulids) next(t time.Time) string {
	if ms := t.UnixMilli(); u.last == nil || ms != u.ms {
		var b [16]byte
		binary.BigEndian.PutUint64(b[:8], uint64(ms)<<16)
		_, _ = rand.Read(b[6:]) // never fails: crypto/rand ends the program instead
		b[6] &= 0x7f            // room to count up
		u.ms, u.last = ms, new(big.Int).SetBytes(b[:])
	} else {
		u.last.Add(u.last, big.NewInt(1))
	}
	const digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	n, rest := new(big.Int).Set(u.last), new(big.Int)
	var id [26]byte
	for i := len(id) - 1; i >= 0; i-- {
		n.DivMod(n, big.NewInt(32), rest)
		id[i] = digits[rest.Int64()]
	}
	return string(id[:])
}

package sip

import "crypto/rand"

const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"

// token is n random characters, about 5.2 bits each.
func token(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	for i := range b {
		b[i] = alphabet[int(b[i])%len(alphabet)]
	}
	return string(b)
}

package dtls

import (
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"strings"
)

// Fingerprint is the value of a fingerprint attribute, RFC 8122 section 5: "sha-256 AB:CD:...". It is always as newFingerprint writes it, so that two are the same
// when their texts are; "" is none.
type Fingerprint string

// newFingerprint writes name and sum as RFC 8122 section 5 has them: upper case, a colon between two octets.
func newFingerprint(name string, sum []byte) Fingerprint {
	const digits = "0123456789ABCDEF"
	b := append([]byte(name), ' ')
	for i, c := range sum {
		if i > 0 {
			b = append(b, ':')
		}
		b = append(b, digits[c>>4], digits[c&15])
	}
	return Fingerprint(b)
}

// strength orders the hash functions that are taken, with the length of their sum; 0: it is not taken. SHA-1 and older ones would let an attacker look for a second
// certificate; SHA-224 is used by nobody.
func strength(name string) (rank, length int) {
	switch name {
	case "sha-256":
		return 1, sha256.Size
	case "sha-384":
		return 2, sha512.Size384
	case "sha-512":
		return 3, sha512.Size
	}
	return 0, 0
}

// ParseFingerprint reads the value of an attribute. It takes hash functions that are strong, alone.
func ParseFingerprint(v string) (Fingerprint, bool) {
	name, text, _ := strings.Cut(v, " ")
	name = strings.ToLower(name) // RFC 8122 section 5: names are compared without case
	rank, length := strength(name)
	if rank == 0 || len(text) != 3*length-1 {
		return "", false
	}
	sum := make([]byte, length)
	for i := range sum {
		if i > 0 && text[3*i-1] != ':' {
			return "", false
		}
		if _, err := hex.Decode(sum[i:i+1], []byte(text[3*i:3*i+2])); err != nil {
			return "", false
		}
	}
	return newFingerprint(name, sum), true
}

// of is the fingerprint of a certificate by the hash function of f.
func (f Fingerprint) of(der []byte) Fingerprint {
	switch name, _, _ := strings.Cut(string(f), " "); name {
	case "sha-256":
		sum := sha256.Sum256(der)
		return newFingerprint(name, sum[:])
	case "sha-384":
		sum := sha512.Sum384(der)
		return newFingerprint(name, sum[:])
	case "sha-512":
		sum := sha512.Sum512(der)
		return newFingerprint(name, sum[:])
	}
	return ""
}

func (f Fingerprint) rank() int {
	name, _, _ := strings.Cut(string(f), " ")
	rank, _ := strength(name)
	return rank
}

// matches says whether a certificate is one of those that were announced. RFC 8122 section 5.1: of several hash functions the strongest that both sides know counts,
// and of several fingerprints with that one any may be meant.
func matches(announced []Fingerprint, der []byte) bool {
	best := 0
	for _, f := range announced {
		best = max(best, f.rank())
	}
	found := 0
	for _, f := range announced {
		if rank := f.rank(); rank == best && rank > 0 {
			found |= subtle.ConstantTimeCompare([]byte(f), []byte(f.of(der)))
		}
	}
	return found == 1
}

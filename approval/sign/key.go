package sign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/cordonsip/cordon/internal/jcs"
)

// KeyID names a public key in statements and in the log: "k-" and the first 16 bytes of its SHA-256 in hex. It says nothing of whose the key is.
func KeyID(pub ed25519.PublicKey) string {
	sum := sha256.Sum256(pub)
	return "k-" + hex.EncodeToString(sum[:16])
}

// Fingerprint is a key id as people read it to one another over a telephone: groups of four.
func Fingerprint(id string) string {
	var b []byte
	for i := 2; i < len(id); i++ {
		if i > 2 && (i-2)%4 == 0 {
			b = append(b, ' ')
		}
		b = append(b, id[i])
	}
	return string(b)
}

// PublicText writes a public key as ParsePublic reads it.
func PublicText(pub ed25519.PublicKey) string { return base64.StdEncoding.EncodeToString(pub) }

// ParsePublic reads an Ed25519 public key: its 32 bytes in base64, in their one form. Keys with which anybody can sign are refused.
func ParsePublic(text string) (ed25519.PublicKey, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != ed25519.PublicKeySize || base64.StdEncoding.EncodeToString(b) != text {
		return nil, errors.New("expected an Ed25519 public key: 32 bytes in base64")
	}
	if weak(b) {
		return nil, errors.New("the key is one of the few with which anybody can sign")
	}
	return b, nil
}

// weak finds points of small order and second encodings of a point (RFC 8032 section 5.1.3): signatures under the former prove nothing, and by the latter one key
// would have two ids. The sign of x, the highest bit, makes no difference.
func weak(pub []byte) bool {
	y := bytes.Clone(pub)
	y[31] &= 0x7f
	for _, s := range smallOrder() {
		if hex.EncodeToString(y) == s {
			return true
		}
	}
	// y >= 2^255-19: the field element has a smaller encoding.
	for _, b := range y[1:31] {
		if b != 0xff {
			return false
		}
	}
	return y[31] == 0x7f && y[0] >= 0xed
}

// smallOrder gives the y coordinates of the eight points whose order divides the cofactor.
func smallOrder() []string {
	return []string{
		"0000000000000000000000000000000000000000000000000000000000000000",
		"0100000000000000000000000000000000000000000000000000000000000000",
		"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	}
}

// signature signs prefix and text. The prefix keeps what is signed for one purpose from being taken for another.
func signature(key ed25519.PrivateKey, prefix string, text []byte) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(key, append([]byte(prefix), text...)))
}

// canonical is the RFC 8785 form of what a person signs, unless something is wrong with it.
func canonical(what string, statement any, wrong error) ([]byte, error) {
	if wrong != nil {
		return nil, fmt.Errorf("sign: %s: %w", what, wrong)
	}
	text, err := jcs.Marshal(statement)
	if err != nil {
		return nil, fmt.Errorf("sign: %s: %w", what, err)
	}
	return text, nil
}

// verify checks what signature made.
func verify(pub ed25519.PublicKey, prefix string, text []byte, sig string) error {
	b, err := base64.StdEncoding.Strict().DecodeString(sig)
	if err != nil || len(b) != ed25519.SignatureSize || base64.StdEncoding.EncodeToString(b) != sig {
		return fmt.Errorf("sign: expected a signature of %d bytes in base64", ed25519.SignatureSize)
	}
	if len(pub) != ed25519.PublicKeySize || !ed25519.Verify(pub, append([]byte(prefix), text...), b) {
		return ErrSignature
	}
	return nil
}

// ErrSignature says that what is signed is not what stands there, or that another key signed it.
var ErrSignature = errors.New("sign: the signature does not fit: the text was changed, or another key signed it")

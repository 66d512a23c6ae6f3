package sign

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// ReviewPrefix stands before the canonical statement in what is signed of a periodic review.
const ReviewPrefix = "cordon review v1\n"

// ReviewStatement is what one person signs of a periodic review: which document was looked at, and what was found. It names no person: the key does.
type ReviewStatement struct {
	Review   string    `json:"review"`   // which one: filter or access
	Document string    `json:"document"` // lower-case hex SHA-256 of the document in RFC 8785 form
	Findings string    `json:"findings"` // and of the findings
	Key      string    `json:"key_id"`
	Role     string    `json:"role"`
	Reason   string    `json:"reason"` // the conclusion, in a sentence
	At       time.Time `json:"signed_at"`
	Nonce    string    `json:"nonce"`
}

// SignedReview is a statement with its signature: Ed25519 over ReviewPrefix and the statement in RFC 8785 form, base64.
type SignedReview struct {
	Statement ReviewStatement `json:"statement"`
	Signature string          `json:"signature"`
}

// SignReview signs s, whose Key it fills in. The nonce is the caller's: 16 bytes of chance in hex.
func SignReview(key ed25519.PrivateKey, s ReviewStatement) (SignedReview, error) {
	s.Key, s.At = KeyID(key.Public().(ed25519.PublicKey)), s.At.UTC().Truncate(time.Second)
	text, err := s.text()
	if err != nil {
		return SignedReview{}, err
	}
	return SignedReview{Statement: s, Signature: signature(key, ReviewPrefix, text)}, nil
}

// Verify says whether pub signed exactly this statement.
func (s SignedReview) Verify(pub ed25519.PublicKey) error {
	text, err := s.Statement.text()
	if err != nil {
		return err
	}
	if KeyID(pub) != s.Statement.Key {
		return ErrSignature
	}
	return verify(pub, ReviewPrefix, text, s.Signature)
}

func (s ReviewStatement) text() ([]byte, error) { return canonical("review", s, s.check()) }

func (s ReviewStatement) check() error {
	switch {
	case !isHex(s.Document, 64) || !isHex(s.Findings, 64):
		return errors.New("document and findings: expected 64 lower-case hex digits each")
	case strings.TrimSpace(s.Reason) == "" || len(s.Reason) > maxReason || !utf8.ValidString(s.Reason):
		return fmt.Errorf("reason: missing, longer than %d bytes, or not valid UTF-8", maxReason)
	}
	for name, text := range map[string]string{"review": s.Review, "role": s.Role} {
		if text == "" || len(text) > maxWord || !utf8.ValidString(text) {
			return fmt.Errorf("%s: missing, or longer than %d bytes", name, maxWord)
		}
	}
	return errors.Join(checkKeyID(s.Key), checkMoment("signed_at", s.At), checkNonce(s.Nonce))
}

package audit

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"unicode"

	"golang.org/x/mod/sumdb/note"
)

// noteSigner signs checkpoints as C2SP signed notes with a key that may live anywhere a crypto.Signer reaches.
type noteSigner struct {
	name string
	hash uint32
	key  crypto.Signer
	vkey string
}

// newSigner gives the note signer of s under the name origin, with its verifier key. Only Ed25519 fits: algorithm byte 0x01 of
// C2SP signed-note.
func newSigner(origin string, s crypto.Signer) (*noteSigner, error) {
	if s == nil {
		return nil, errors.New("audit: no signer for checkpoints")
	}
	pub, ok := s.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("audit: checkpoints are signed with Ed25519, not with a %T", s.Public())
	}
	// C2SP signed-note: a key name is not empty and has neither spaces nor plus signs.
	if origin == "" || strings.Contains(origin, "+") || strings.IndexFunc(origin, unicode.IsSpace) >= 0 {
		return nil, fmt.Errorf("audit: origin %q: expected a name without spaces and plus signs", origin)
	}
	vkey, err := note.NewEd25519VerifierKey(origin, pub)
	if err != nil {
		return nil, fmt.Errorf("audit: origin %q: %w", origin, err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		return nil, fmt.Errorf("audit: origin %q: %w", origin, err)
	}
	return &noteSigner{name: origin, hash: v.KeyHash(), key: s, vkey: vkey}, nil
}

// VerifierKeyOf is the public key of a log of that name that s signs, in note verifier form.
func VerifierKeyOf(origin string, s crypto.Signer) (string, error) {
	by, err := newSigner(origin, s)
	if err != nil {
		return "", err
	}
	return by.vkey, nil
}

func (s *noteSigner) Name() string    { return s.name }
func (s *noteSigner) KeyHash() uint32 { return s.hash }

// Sign signs the text itself: Ed25519 takes no prehash here, which crypto.Hash(0) says.
func (s *noteSigner) Sign(msg []byte) ([]byte, error) {
	return s.key.Sign(rand.Reader, msg, crypto.Hash(0))
}

package proof

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/mod/sumdb/note"
)

// Algorithms of note keys, C2SP signed-note: the log's, and that of a witness with a time in its signature (C2SP tlog-cosignature).
const (
	algEd25519     = 0x01
	algCosignature = 0x04

	stampSize = 8 // of the time in front of a cosignature
)

// parseKey takes a key in note verifier form apart and checks its hash.
func parseKey(vkey string) (name string, pub []byte, err error) {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, key64, _ := strings.Cut(rest, "+")
	key, err := base64.StdEncoding.DecodeString(key64)
	if err != nil || !validName(name) || len(key) != 1+ed25519.PublicKeySize || key[0] != algEd25519 && key[0] != algCosignature {
		return "", nil, errors.New("expected NAME+HASH+KEY of an Ed25519 key")
	}
	if got, err := strconv.ParseUint(hash, 16, 32); err != nil || len(hash) != 8 || uint32(got) != keyHash(name, key) {
		return "", nil, fmt.Errorf("the hash %q is not that of the name and the key", clip(hash))
	}
	return name, key[1:], nil
}

// validName says whether a name may stand in a signature. C2SP signed-note: not empty, neither spaces nor plus signs.
func validName(s string) bool {
	return s != "" && !strings.Contains(s, "+") && strings.IndexFunc(s, unicode.IsSpace) < 0
}

// keyHash is the id of a key: name, line end, algorithm, public key.
func keyHash(name string, key []byte) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n"))
	h.Write(key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// WitnessVerifier checks the cosignatures of one witness.
type WitnessVerifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewWitnessVerifier takes a witness's key in note verifier form. One of the plain kind is taken as that of a cosignature, as it is usual.
func NewWitnessVerifier(vkey string) (*WitnessVerifier, error) {
	name, pub, err := parseKey(strings.TrimSpace(vkey))
	if err != nil {
		return nil, fmt.Errorf("proof: key of a witness: %w", err)
	}
	return &WitnessVerifier{name, keyHash(name, append([]byte{algCosignature}, pub...)), pub}, nil
}

// Name of the witness, as in its signatures.
func (v *WitnessVerifier) Name() string { return v.name }

// PublicKey in base64.
func (v *WitnessVerifier) PublicKey() string { return base64.StdEncoding.EncodeToString(v.key) }

// KeyHash of the witness's key.
func (v *WitnessVerifier) KeyHash() uint32 { return v.hash }

// Verify checks a time and the signature over it and the checkpoint's text.
func (v *WitnessVerifier) Verify(msg, sig []byte) bool {
	return len(sig) == stampSize+ed25519.SignatureSize && ed25519.Verify(v.key, stamped(binary.BigEndian.Uint64(sig), msg), sig[stampSize:])
}

// stamped is what a witness signs.
func stamped(unix uint64, text []byte) []byte {
	return fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", unix, text)
}

// timeOf is the time in a cosignature that was checked.
func timeOf(s note.Signature) time.Time {
	b, err := base64.StdEncoding.DecodeString(s.Base64)
	if err != nil || len(b) < 4+stampSize {
		return time.Time{}
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b[4:])), 0).UTC()
}

// Cosigner signs checkpoints as a witness.
type Cosigner struct {
	name string
	hash uint32
	key  crypto.Signer
	vkey string
}

// NewCosigner gives the witness of that name. Only an Ed25519 key fits.
func NewCosigner(name string, key crypto.Signer) (*Cosigner, error) {
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("proof: witnesses sign with Ed25519, not with a %T", key.Public())
	}
	if !validName(name) {
		return nil, fmt.Errorf("proof: witness %q: expected a name without spaces and plus signs", name)
	}
	k := append([]byte{algCosignature}, pub...)
	hash := keyHash(name, k)
	return &Cosigner{name, hash, key, fmt.Sprintf("%s+%08x+%s", name, hash, base64.StdEncoding.EncodeToString(k))}, nil
}

// Name of the witness, as in its signatures.
func (c *Cosigner) Name() string { return c.name }

// VerifierKey is the public key in note verifier form.
func (c *Cosigner) VerifierKey() string { return c.vkey }

// Sign gives the signature line for a checkpoint's text, with the time in whole seconds.
func (c *Cosigner) Sign(text string, at time.Time) ([]byte, error) {
	if at.Unix() <= 0 {
		return nil, errors.New("proof: a witness without a clock signs nothing")
	}
	unix := uint64(at.Unix())
	sig, err := c.key.Sign(rand.Reader, stamped(unix, []byte(text)), crypto.Hash(0))
	if err != nil {
		return nil, fmt.Errorf("proof: witness %s: %w", c.name, err)
	}
	b := binary.BigEndian.AppendUint32(nil, c.hash)
	b = append(binary.BigEndian.AppendUint64(b, unix), sig...)
	return fmt.Appendf(nil, "\u2014 %s %s\n", c.name, base64.StdEncoding.EncodeToString(b)), nil
}

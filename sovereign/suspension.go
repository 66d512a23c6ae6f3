package sovereign

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/internal/jcs"
)

// Suspension strikes an instrument from a moment on, locally, without waiting for a release.
type Suspension struct {
	Instrument string    `json:"instrument"`
	Since      time.Time `json:"since"`
	Reason     string    `json:"reason"`
	KeyID      string    `json:"key_id"`
	Sig        []byte    `json:"sig"` // Ed25519 over the RFC 8785 form of the line without sig; base64 in JSON
}

// ParseSuspensions reads an overlay: one JSON object per line, empty lines and lines that begin with # apart. Every line must be signed by one of keys,
// which are the public keys that the configuration names. A bad line is an error that names its number and what to do; the good lines count all the
// same and are returned with the error, because a typing mistake must not keep an annulled instrument alive.
func ParseSuspensions(data []byte, keys map[string]ed25519.PublicKey) ([]Suspension, error) {
	var good []Suspension
	var bad []error
	for i, line := range bytes.Split(data, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		s, err := parseSuspension(line, keys)
		if err != nil {
			bad = append(bad, fmt.Errorf("sovereign: suspension in line %d: %w", i+1, err))
			continue
		}
		good = append(good, s)
	}
	return good, errors.Join(bad...)
}

func parseSuspension(line []byte, keys map[string]ed25519.PublicKey) (Suspension, error) {
	var s Suspension
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return s, fmt.Errorf("%w: write the line with `cordon law suspend`", err)
	}
	if d.More() {
		return s, fmt.Errorf("more than one object: give each its own line")
	}
	if err := s.Check(); err != nil {
		return s, err
	}
	key, ok := keys[s.KeyID]
	if !ok {
		return s, fmt.Errorf("key_id %q is not in the configuration (known: %s): add its public key there or sign with a known one",
			s.KeyID, strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
	}
	if len(key) != ed25519.PublicKeySize {
		return s, fmt.Errorf("public key %q has %d bytes, not %d: check the configuration", s.KeyID, len(key), ed25519.PublicKeySize)
	}
	msg, err := unsigned(line)
	if err != nil {
		return s, err
	}
	if !ed25519.Verify(key, msg, s.Sig) {
		return s, fmt.Errorf("the signature does not fit the line and key %q: sign it again with `cordon law suspend`", s.KeyID)
	}
	return s, nil
}

// Check refuses what would suspend nothing.
func (s Suspension) Check() error {
	known := slices.ContainsFunc(Shipped().instruments, func(in instrument) bool { return in.fact.ID == s.Instrument })
	switch {
	case !known:
		hint := "`cordon law` lists them"
		if near := Shipped().NearInstruments(s.Instrument); len(near) > 0 {
			hint = "did you mean " + strings.Join(near, " or ") + "?"
		}
		return fmt.Errorf("instrument %q is unknown: %s", s.Instrument, hint)
	case s.Since.IsZero():
		return fmt.Errorf("since is missing: give the moment in RFC 3339, for example 2026-11-21T00:00:00Z")
	case strings.TrimSpace(s.Reason) == "":
		return fmt.Errorf("reason is missing: say which judgment or decision")
	}
	return nil
}

// unsigned is what the signature covers: the line as it was written, without sig, in canonical form. Working on the text and not on the decoded
// Suspension keeps a time with an offset what it was when it was signed.
func unsigned(line []byte) ([]byte, error) {
	canonical, err := jcs.Canonical(line) // finds members named twice, which a map would hide
	if err != nil {
		return nil, err
	}
	var m map[string]json.RawMessage
	if err := json.Unmarshal(canonical, &m); err != nil {
		return nil, err
	}
	delete(m, "sig")
	return jcs.Marshal(m)
}

// SignSuspension signs s with an Ed25519 key and gives the line for the overlay, with its newline. s.KeyID must name the key as the configuration does;
// s.Sig is ignored.
func SignSuspension(s Suspension, key crypto.Signer) (line []byte, err error) {
	if err := s.Check(); err != nil {
		return nil, fmt.Errorf("sovereign: suspension: %w", err)
	}
	if s.KeyID == "" {
		return nil, fmt.Errorf("sovereign: suspension: key_id is missing: use the name that the configuration gives the public key")
	}
	pub, ok := key.Public().(ed25519.PublicKey)
	if !ok {
		return nil, fmt.Errorf("sovereign: suspension: the key is no Ed25519 key")
	}
	s.Since, s.Sig = s.Since.UTC(), nil
	draft, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("sovereign: suspension: %w", err)
	}
	msg, err := unsigned(draft)
	if err != nil {
		return nil, fmt.Errorf("sovereign: suspension: %w", err)
	}
	// Ed25519 is deterministic and takes the message itself (RFC 8032), so there is no source of chance and no hash.
	if s.Sig, err = key.Sign(nil, msg, crypto.Hash(0)); err != nil {
		return nil, fmt.Errorf("sovereign: suspension: sign: %w", err)
	}
	if !ed25519.Verify(pub, msg, s.Sig) {
		return nil, fmt.Errorf("sovereign: suspension: the signer's signature does not verify with its own public key")
	}
	if line, err = jcs.Marshal(s); err != nil {
		return nil, fmt.Errorf("sovereign: suspension: %w", err)
	}
	return append(line, '\n'), nil
}

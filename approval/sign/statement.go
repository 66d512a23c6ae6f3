package sign

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// DecisionPrefix stands before the canonical statement in what is signed.
const DecisionPrefix = "cordon gate decision v1\n"

const (
	maxReason = 4000 // bytes, as the gate has it
	maxWord   = 200  // bytes of ids, roles and digests
)

// Word is what a person says of a ticket.
type Word string

// The words: three of people who decide, five of who advises.
const (
	Approve       Word = "approve"
	Deny          Word = "deny"
	BreakGlass    Word = "break_glass" // confirms an emergency change
	NoObjection   Word = "no_objection"
	Objection     Word = "objection"
	Conditions    Word = "conditions"
	ConditionsMet Word = "conditions_met"
	NotReached    Word = "not_reached"
)

// Decides says whether w is an approval, a denial or the confirmation of a break-glass; every other word is an opinion.
func (w Word) Decides() bool { return w == Approve || w == Deny || w == BreakGlass }

func words() []Word {
	return []Word{Approve, Deny, BreakGlass, NoObjection, Objection, Conditions, ConditionsMet, NotReached}
}

// Statement is what one person signs of one ticket. It names no person: the key does, for who holds the list of keys.
type Statement struct {
	Ticket       string    `json:"ticket"`
	PlanHash     string    `json:"plan_hash"` // lower-case hex SHA-256 of the plan in RFC 8785 form
	PolicyDigest string    `json:"policy_digest"`
	FactsDigest  string    `json:"facts_digest"`
	Key          string    `json:"key_id"`
	Role         string    `json:"role"` // in which the word is given
	Word         Word      `json:"word"`
	Reason       string    `json:"reason"`
	At           time.Time `json:"signed_at"` // UTC, whole seconds, by the clock of who signed
	Nonce        string    `json:"nonce"`     // 32 hex digits, never the same twice
}

// Signed is a statement with its signature: Ed25519 over DecisionPrefix and the statement in RFC 8785 form, base64.
type Signed struct {
	Statement Statement `json:"statement"`
	Signature string    `json:"signature"`
}

// Sign signs s, whose Key it fills in. The nonce is the caller's: 16 bytes of chance in hex.
func Sign(key ed25519.PrivateKey, s Statement) (Signed, error) {
	s.Key, s.At = KeyID(key.Public().(ed25519.PublicKey)), s.At.UTC().Truncate(time.Second)
	text, err := s.text()
	if err != nil {
		return Signed{}, err
	}
	return Signed{Statement: s, Signature: signature(key, DecisionPrefix, text)}, nil
}

// Verify says whether pub signed exactly this statement.
func (s Signed) Verify(pub ed25519.PublicKey) error {
	text, err := s.Statement.text()
	if err != nil {
		return err
	}
	if KeyID(pub) != s.Statement.Key {
		return ErrSignature
	}
	return verify(pub, DecisionPrefix, text, s.Signature)
}

// text is the canonical form of a well-formed statement.
func (s Statement) text() ([]byte, error) { return canonical("statement", s, s.check()) }

func (s Statement) check() error {
	if !slices.Contains(words(), s.Word) {
		return fmt.Errorf("word: %.40q is none of approve, deny, break_glass, no_objection, objection, conditions, conditions_met, not_reached", string(s.Word))
	}
	if len(s.Reason) > maxReason || !utf8.ValidString(s.Reason) {
		return fmt.Errorf("reason: longer than %d bytes, or not valid UTF-8", maxReason)
	}
	if s.Word.Decides() && strings.TrimSpace(s.Reason) == "" {
		return errors.New("reason: a decision needs one, in a sentence that an auditor understands")
	}
	if !isHex(s.PlanHash, 64) {
		return errors.New("plan_hash: expected 64 lower-case hex digits")
	}
	for name, text := range map[string]string{"ticket": s.Ticket, "role": s.Role} {
		if text == "" || len(text) > maxWord || !utf8.ValidString(text) {
			return fmt.Errorf("%s: missing, or longer than %d bytes", name, maxWord)
		}
	}
	for name, text := range map[string]string{"policy_digest": s.PolicyDigest, "facts_digest": s.FactsDigest} {
		if len(text) > maxWord || !utf8.ValidString(text) {
			return fmt.Errorf("%s: longer than %d bytes", name, maxWord)
		}
	}
	return errors.Join(checkKeyID(s.Key), checkMoment("signed_at", s.At), checkNonce(s.Nonce))
}

func checkKeyID(id string) error {
	if hash, ok := strings.CutPrefix(id, "k-"); !ok || !isHex(hash, 32) {
		return errors.New("key_id: expected k- and 32 lower-case hex digits")
	}
	return nil
}

func checkNonce(nonce string) error {
	if !isHex(nonce, 32) {
		return errors.New("nonce: expected 32 lower-case hex digits")
	}
	return nil
}

// checkMoment holds times to one form: UTC, whole seconds, in years of four digits.
func checkMoment(name string, t time.Time) error {
	if t.Year() < 1970 || t.Year() > 9999 || t.Nanosecond() != 0 || t.Location() != time.UTC {
		return fmt.Errorf("%s: expected a moment in UTC and whole seconds, e.g. 2026-11-21T14:00:00Z", name)
	}
	return nil
}

func isHex(s string, n int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(s) == n && hex.EncodeToString(b) == s
}

package sign

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// DrillPrefix stands before the canonical statement in what is signed of a drill.
const DrillPrefix = "cordon drill v1\n"

// DrillForm is the member "cordon" of a signed statement about a drill.
const DrillForm = "drill statement v1"

// The words about a drill that has ended.
const (
	DrillCleaned   = "cleaned"    // nothing of it is left
	DrillSignedOff = "signed_off" // what the person holds of its result: the verdict
	DrillReported  = "reported"   // the management body was told on that date
)

// The verdicts of DrillSignedOff.
const (
	DrillAccept               = "accept"
	DrillAcceptWithDeficiency = "accept_with_deficiencies"
	DrillReject               = "reject"
)

// DrillStatement is what one person signs of a drill that has ended. It names no person: the key does.
type DrillStatement struct {
	Drill   string    `json:"drill"`           // ULID
	Plan    string    `json:"scenario_sha256"` // of the text that was played
	Outcome string    `json:"outcome"`
	End     string    `json:"ended_sha256"` // of what the log says of the end (drill.ended) in RFC 8785 form
	Word    string    `json:"word"`
	Verdict string    `json:"verdict"`     // of signed_off; else empty
	Date    string    `json:"date"`        // of reported, YYYY-MM-DD; else empty
	Minutes string    `json:"minutes_ref"` // of reported; else empty
	Key     string    `json:"key_id"`
	Role    string    `json:"role"`
	Reason  string    `json:"reason"` // of reported it may be empty
	At      time.Time `json:"signed_at"`
	Nonce   string    `json:"nonce"`
}

// SignedDrill is a statement with its signature: Ed25519 over DrillPrefix and the statement in RFC 8785 form, base64.
type SignedDrill struct {
	Form      string         `json:"cordon"`
	Statement DrillStatement `json:"statement"`
	Signature string         `json:"signature"`
}

// SignDrill signs s, whose Key it fills in. The nonce is the caller's: 16 bytes of chance in hex.
func SignDrill(key ed25519.PrivateKey, s DrillStatement) (SignedDrill, error) {
	s.Key, s.At = KeyID(key.Public().(ed25519.PublicKey)), s.At.UTC().Truncate(time.Second)
	text, err := s.text()
	if err != nil {
		return SignedDrill{}, err
	}
	return SignedDrill{Form: DrillForm, Statement: s, Signature: signature(key, DrillPrefix, text)}, nil
}

// ParseDrill reads a signed statement. Whether the signature fits is another question.
func ParseDrill(raw []byte) (SignedDrill, error) {
	var s SignedDrill
	if err := Strict(raw, MaxFile, DrillForm, &s); err != nil {
		return SignedDrill{}, err
	}
	_, err := s.Statement.text()
	return s, err
}

// Verify says whether pub signed exactly this statement.
func (s SignedDrill) Verify(pub ed25519.PublicKey) error {
	text, err := s.Statement.text()
	if err != nil {
		return err
	}
	if s.Form != DrillForm || KeyID(pub) != s.Statement.Key {
		return ErrSignature
	}
	return verify(pub, DrillPrefix, text, s.Signature)
}

func (s DrillStatement) text() ([]byte, error) { return canonical("drill", s, s.check()) }

func (s DrillStatement) check() error {
	if err := s.checkWord(); err != nil {
		return err
	}
	if !isHex(s.Plan, 64) || !isHex(s.End, 64) {
		return errors.New("scenario_sha256 and ended_sha256: expected 64 lower-case hex digits each")
	}
	if len(s.Reason) > maxReason || !utf8.ValidString(s.Reason) {
		return fmt.Errorf("reason: longer than %d bytes, or not valid UTF-8", maxReason)
	}
	for name, text := range map[string]string{"drill": s.Drill, "outcome": s.Outcome, "role": s.Role} {
		if text == "" || len(text) > maxWord || !utf8.ValidString(text) {
			return fmt.Errorf("%s: missing, or longer than %d bytes", name, maxWord)
		}
	}
	return errors.Join(checkKeyID(s.Key), checkMoment("signed_at", s.At), checkNonce(s.Nonce))
}

// checkWord holds each word to what belongs to it: what a person is shown for one word must not be read as another.
func (s DrillStatement) checkWord() error {
	verdict, report := false, false
	switch s.Word {
	case DrillCleaned:
	case DrillSignedOff:
		verdict = true
	case DrillReported:
		report = true
	default:
		return fmt.Errorf("word: %.40q is none of cleaned, signed_off, reported", s.Word)
	}
	if is := s.Verdict == DrillAccept || s.Verdict == DrillAcceptWithDeficiency || s.Verdict == DrillReject; verdict != is || !is && s.Verdict != "" {
		return errors.New("verdict: signed_off has one of accept, accept_with_deficiencies, reject, and no other word has any")
	}
	day, err := time.Parse(time.DateOnly, s.Date)
	switch {
	case !report && s.Date+s.Minutes != "":
		return errors.New("date and minutes_ref: of reported alone")
	case report && (err != nil || day.Format(time.DateOnly) != s.Date):
		return errors.New("date: expected a day, e.g. 2026-12-01")
	case report && (strings.TrimSpace(s.Minutes) == "" || len(s.Minutes) > maxWord || !utf8.ValidString(s.Minutes)):
		return fmt.Errorf("minutes_ref: missing, or longer than %d bytes", maxWord)
	case !report && strings.TrimSpace(s.Reason) == "":
		return errors.New("reason: it needs one, in a sentence that an auditor understands")
	}
	return nil
}

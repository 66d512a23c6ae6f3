package sign

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/cordonsip/cordon/internal/jcs"
)

// VouchPrefix stands before what is signed for the key of somebody else.
const VouchPrefix = "cordon gate vouch v1\n"

// maxVouches bounds an enrolment: two are needed.
const maxVouches = 8

// Enrolment says that a key is a person's. It names the person by a hash that needs a salt to be tried, so the log may carry it.
type Enrolment struct {
	Key     string    `json:"key_id"`
	Public  string    `json:"public"`  // Ed25519, base64
	Expires time.Time `json:"expires"` // from then on the key does not count
	Owner   string    `json:"owner"`   // OwnerHash of the person
	At      time.Time `json:"made_at"`
	Nonce   string    `json:"nonce"`
}

// Vouch is one person's signature under an enrolment: Ed25519 over VouchPrefix and the enrolment with key, role and time of who vouches, in RFC 8785 form.
type Vouch struct {
	Key       string    `json:"key_id"`
	Role      string    `json:"role"`
	At        time.Time `json:"signed_at"`
	Signature string    `json:"signature"`
}

// EnrolmentFile is an enrolment on its way from one who vouches to the next and to the node. Person and salt stay out of the log.
type EnrolmentFile struct {
	Form      string    `json:"cordon"`
	Person    string    `json:"person"` // id, as in the configuration
	Salt      string    `json:"salt"`   // 32 hex digits
	Enrolment Enrolment `json:"enrolment"`
	Vouches   []Vouch   `json:"vouches"`
}

// OwnerHash is the lower-case hex SHA-256 that stands for a person in an enrolment.
func OwnerHash(salt, person string) string {
	sum := sha256.Sum256([]byte("cordon gate owner v1\n" + salt + "\n" + person))
	return hex.EncodeToString(sum[:])
}

// NewEnrolment asks that pub be person's key until expires. Salt and nonce are the caller's: 16 bytes of chance each, in hex.
func NewEnrolment(person string, pub ed25519.PublicKey, expires, at time.Time, salt, nonce string) (EnrolmentFile, error) {
	f := EnrolmentFile{
		Form: EnrolmentForm, Person: person, Salt: salt, Vouches: []Vouch{},
		Enrolment: Enrolment{
			Key: KeyID(pub), Public: PublicText(pub), Expires: expires.UTC().Truncate(time.Second), Owner: OwnerHash(salt, person),
			At: at.UTC().Truncate(time.Second), Nonce: nonce,
		},
	}
	return f, f.check()
}

// ParseEnrolment reads an enrolment file. Whether its signatures fit is another question.
func ParseEnrolment(raw []byte) (EnrolmentFile, error) {
	var f EnrolmentFile
	if err := Strict(raw, MaxFile, EnrolmentForm, &f); err != nil {
		return f, err
	}
	return f, f.check()
}

// File writes f as ParseEnrolment reads it.
func (f EnrolmentFile) File() ([]byte, error) { return Indent(f) }

func (f EnrolmentFile) check() error {
	switch {
	case f.Person == "" || len(f.Person) > maxWord || !utf8.ValidString(f.Person):
		return fmt.Errorf("sign: enrolment: person: missing, or longer than %d bytes", maxWord)
	case !isHex(f.Salt, 32):
		return errors.New("sign: enrolment: salt: expected 32 lower-case hex digits")
	case f.Enrolment.Owner != OwnerHash(f.Salt, f.Person):
		return errors.New("sign: enrolment: the owner that is signed is another person than the one that is named")
	case len(f.Vouches) > maxVouches:
		return fmt.Errorf("sign: enrolment: %d people vouched, and %d at most may", len(f.Vouches), maxVouches)
	}
	for _, v := range f.Vouches {
		if err := v.check(); err != nil {
			return fmt.Errorf("sign: enrolment: vouch: %w", err)
		}
	}
	return f.Enrolment.Check()
}

// Check says what is wrong with the form of e.
func (e Enrolment) Check() error {
	pub, err := ParsePublic(e.Public)
	if err == nil && KeyID(pub) != e.Key {
		err = errors.New("key_id: is that of another key")
	}
	if err == nil && !isHex(e.Owner, 64) {
		err = errors.New("owner: expected 64 lower-case hex digits")
	}
	if err = errors.Join(err, checkMoment("expires", e.Expires), checkMoment("made_at", e.At), checkNonce(e.Nonce)); err != nil {
		return fmt.Errorf("sign: enrolment: %w", err)
	}
	return nil
}

func (v Vouch) check() error {
	if v.Role == "" || len(v.Role) > maxWord || !utf8.ValidString(v.Role) {
		return fmt.Errorf("role: missing, or longer than %d bytes", maxWord)
	}
	return errors.Join(checkKeyID(v.Key), checkMoment("signed_at", v.At))
}

// vouchText is what who vouches signs.
func vouchText(e Enrolment, key, role string, at time.Time) ([]byte, error) {
	return jcs.Marshal(struct {
		Enrolment Enrolment `json:"enrolment"`
		Key       string    `json:"key_id"`
		Role      string    `json:"role"`
		At        time.Time `json:"signed_at"`
	}{e, key, role, at})
}

// Vouch adds a signature to f: the holder of key says, in a role, that the key is the person's.
func (f EnrolmentFile) Vouch(key ed25519.PrivateKey, role string, at time.Time) (EnrolmentFile, error) {
	v := Vouch{Key: KeyID(key.Public().(ed25519.PublicKey)), Role: role, At: at.UTC().Truncate(time.Second)}
	text, err := vouchText(f.Enrolment, v.Key, v.Role, v.At)
	if err != nil {
		return f, fmt.Errorf("sign: vouch: %w", err)
	}
	v.Signature = signature(key, VouchPrefix, text)
	f.Vouches = append(append([]Vouch{}, f.Vouches...), v)
	return f, f.check()
}

// Verify says whether pub signed this vouch for e.
func (v Vouch) Verify(e Enrolment, pub ed25519.PublicKey) error {
	if err := v.check(); err != nil {
		return fmt.Errorf("sign: vouch: %w", err)
	}
	text, err := vouchText(e, v.Key, v.Role, v.At)
	if err != nil {
		return fmt.Errorf("sign: vouch: %w", err)
	}
	if KeyID(pub) != v.Key {
		return ErrSignature
	}
	return verify(pub, VouchPrefix, text, v.Signature)
}

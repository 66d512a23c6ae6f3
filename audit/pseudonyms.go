package audit

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Pseudonyms turns numbers and people into words that a log may carry. Salts live outside the log, one file per day and one salt per
// call, and can be destroyed one by one: a hash whose salt is gone names nobody.
type Pseudonyms interface {
	// Call makes the references of one call with a fresh salt: the Call-ID and any number of E.164 or SIP users.
	Call(callID string, numbers ...string) (callRef string, refs []PartyRef)
	// Person gives the pseudonym of a person, made on first use and kept in the erasable directory.
	Person(id string) string
	// Match says whether a reference stands for this Call-ID or number, as long as the salt lives.
	Match(callRef, ref, clear string) bool
	// Destroy forgets the salt of a call; Erase forgets a person.
	Destroy(callRef string) error
	Erase(person string) error
	Close() error
}

// A saltKey names a call among the salts: the day on which it began and the hash of its Call-ID.
type saltKey struct {
	day  string // YYYYMMDD, UTC
	hash [16]byte
}

type salt [16]byte

// salts keeps the salts of calls; people keeps who is behind a pseudonym.
type salts interface {
	put(saltKey, salt)
	get(saltKey) (salt, bool)
	destroy(saltKey) error
	close() error
}

type people interface {
	pseudonym(id string) string
	erase(person string) error
}

// names makes references; where salts and people are kept is below it.
type names struct {
	mac    func([]byte) []byte
	salts  salts
	people people
}

// MemoryPseudonyms has no disk.
func MemoryPseudonyms(mac func([]byte) []byte) Pseudonyms {
	return &names{mac: mac, salts: newMemorySalts(), people: newMemoryPeople()}
}

// OpenPseudonyms keeps them in dir. mac is an HMAC function of the node's key.
func OpenPseudonyms(dir string, mac func([]byte) []byte) (Pseudonyms, error) {
	s, err := openSalts(dir)
	if err != nil {
		return nil, err
	}
	p, err := openPeople(dir)
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return &names{mac: mac, salts: s, people: p}, nil
}

// Call makes references that nobody can join to another call of the same number: every call has its own salt. A reference of a call
// reads "20261121-5c3f...", the day and half of an HMAC (RFC 2104 section 5 allows as much). It takes no fsync: a salt that a power
// failure loses makes its hashes unmatchable and harms nobody.
func (n *names) Call(callID string, numbers ...string) (string, []PartyRef) {
	var s salt
	_, _ = rand.Read(s[:]) // never fails: crypto/rand ends the program instead
	k := saltKey{day: time.Now().UTC().Format("20060102"), hash: n.hash("call", s, callID)}
	n.salts.put(k, s)
	refs := make([]PartyRef, len(numbers))
	for i, num := range numbers {
		clear := normalise(num)
		h := n.hash("party", s, clear)
		refs[i] = PartyRef{Ref: hex.EncodeToString(h[:]), Country: CountryCode(clear)}
	}
	return k.String(), refs
}

// Match compares in the open only what the salt of this very call yields. ref may be callRef itself, or empty: then clear is a Call-ID.
func (n *names) Match(callRef, ref, clear string) bool {
	k, err := parseSaltKey(callRef)
	if err != nil {
		return false
	}
	s, ok := n.salts.get(k)
	if !ok {
		return false
	}
	if ref == "" || ref == callRef {
		h := n.hash("call", s, clear)
		return subtle.ConstantTimeCompare(h[:], k.hash[:]) == 1
	}
	h := n.hash("party", s, normalise(clear))
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(h[:])), []byte(ref)) == 1
}

func (n *names) Destroy(callRef string) error {
	k, err := parseSaltKey(callRef)
	if err != nil {
		return err
	}
	return n.salts.destroy(k)
}

func (n *names) Person(id string) string   { return n.people.pseudonym(id) }
func (n *names) Erase(person string) error { return n.people.erase(person) }
func (n *names) Close() error              { return n.salts.close() }

// hash is half of the HMAC over use, salt and text. Use and salt have one length each, so no text can pass for another.
func (n *names) hash(use string, s salt, text string) (out [16]byte) {
	msg := make([]byte, 0, 8+len(s)+len(text))
	msg = append(msg, fmt.Sprintf("%-8s", use)...)
	msg = append(msg, s[:]...)
	copy(out[:], n.mac(append(msg, text...)))
	return out
}

func (k saltKey) String() string { return k.day + "-" + hex.EncodeToString(k.hash[:]) }

func parseSaltKey(ref string) (saltKey, error) {
	day, h, ok := strings.Cut(ref, "-")
	raw, err := hex.DecodeString(h)
	if !ok || err != nil || len(raw) != 16 || len(day) != 8 || strings.Trim(day, "0123456789") != "" {
		return saltKey{}, fmt.Errorf("audit: call reference %q: expected a day and 32 hex digits", ref)
	}
	return saltKey{day, [16]byte(raw)}, nil
}

// normalise brings the spellings of one user to one text: scheme, host, parameters and, for something that begins like a number,
// the visual separators of RFC 3966 section 5.1.1 go.
func normalise(user string) string {
	u := strings.TrimSpace(user)
	for _, scheme := range []string{"tel:", "sips:", "sip:"} {
		if len(u) > len(scheme) && strings.EqualFold(u[:len(scheme)], scheme) {
			u = u[len(scheme):]
			break
		}
	}
	if i := strings.IndexAny(u, "@;?"); i >= 0 {
		u = u[:i]
	}
	if strings.Trim(u, "+0123456789-.() ") != "" || strings.Trim(u, "+-.() ") == "" {
		return u
	}
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-.() ", r) {
			return -1
		}
		return r
	}, u)
}

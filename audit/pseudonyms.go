package audit

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Pseudonyms turns numbers and people into words that a log may carry. Salts live outside the log, one file per day and one salt per
// call, and can be destroyed one by one: a hash whose salt is gone names nobody.
type Pseudonyms interface {
	// Call makes the references of one call with a fresh salt: the Call-ID and any number of E.164 or SIP users.
	Call(callID string, numbers ...string) (callRef string, refs []PartyRef)
	// Person gives the pseudonym of a person, made on first use and kept in the erasable directory.
	Person(id string) string
	// Known gives the word by which the log names a call or a person of whom something is still kept; a person may be named by id, too. It makes none.
	Known(ref string) (word string, ok bool)
	// Match says whether a reference stands for this Call-ID or number, as long as the salt lives.
	Match(callRef, ref, clear string) bool
	// Destroy forgets the salt of a call; Erase forgets a person, named by id or pseudonym. Both are on the disk when they return nil,
	// and wrap ErrForgotten when there was nothing to forget.
	Destroy(callRef string) error
	Erase(person string) error
	// SaltDays are the days (YYYYMMDD) of which salts are kept, the oldest first; SaltsOf the references of one whose salts are; DestroySalts destroys some of
	// one day, durably.
	SaltDays() ([]string, error)
	SaltsOf(day string) ([]string, error)
	DestroySalts(day string, refs []string) error
	// Health says whether what the references stand for is kept. It does not touch the disk.
	Health() PseudonymsHealth
	Close() error
}

// PseudonymsHealth is OK while everything new is kept. Nothing that is not kept makes a call or a decision fail.
type PseudonymsHealth struct {
	OK      bool
	Why     string // of the newest failure, while not OK
	Lost    uint64 // salts lost in this run: nobody can match the references of these calls
	Unsaved int    // people whose pseudonym only this run knows; tried again whenever a pseudonym is asked for, and at Close
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
	days() ([]string, error)
	list(day string) ([]string, error)
	shred(day string, gone map[[16]byte]bool) error
	// health gives the number of salts that were lost, and why the newest one was unless a later one was kept.
	health() (lost uint64, why error)
	close() error
}

type people interface {
	pseudonym(id string) string
	// find gives the pseudonym of a person who has one, named by id or by it.
	find(person string) (pseudonym string, ok bool)
	erase(person string) error
	// health gives the number of people who are not on the disk, and why.
	health() (unsaved int, why error)
	close() error
}

// names makes references; where salts and people are kept is below it.
type names struct {
	mac    func([]byte) []byte
	salts  salts
	people people
	hold   io.Closer // nil without a disk
	today  atomic.Pointer[date]
	room   sync.Pool // of *[192]byte: one hash after the other is put together there, with room for what comes out of it
}

// date is a day in UTC as references write it, YYYYMMDD.
type date struct {
	days int64 // since 1 January 1970
	text string
}

// day gives the one of t, which is written once a day.
func (n *names) day(t time.Time) string {
	days := t.Unix() / (24 * 60 * 60)
	if d := n.today.Load(); d != nil && d.days == days {
		return d.text
	}
	d := &date{days, t.UTC().Format("20060102")}
	n.today.Store(d)
	return d.text
}

// MemoryPseudonyms has no disk.
func MemoryPseudonyms(mac func([]byte) []byte) Pseudonyms {
	return &names{mac: mac, salts: newMemorySalts(), people: newMemoryPeople()}
}

// OpenPseudonyms keeps them in dir, which it holds for itself until Close: an error wraps ErrInUse while another process, or another
// open, has it. mac is an HMAC function of the node's key, which may put what it gives into
// the room behind the message.
//
// Without mac dir is opened for forgetting, on a node that does not run: Destroy and Erase do as ever, a folder that is not there is an
// error that wraps fs.ErrNotExist, and references come from a key that is thrown away, so Match says no to everything.
func OpenPseudonyms(dir string, mac func([]byte) []byte) (Pseudonyms, error) {
	if mac == nil {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("audit: folder of the pseudonyms: %w", err)
		}
		mac = passingMAC()
	}
	if err := makeDir(dir); err != nil {
		return nil, fmt.Errorf("audit: folder of the pseudonyms: %w", err)
	}
	hold, err := holdDir(dir, "pseudonyms")
	if err != nil {
		return nil, err
	}
	s, err := openSalts(dir)
	if err != nil {
		return nil, errors.Join(err, hold.Close())
	}
	p, err := openPeople(dir)
	if err != nil {
		return nil, errors.Join(err, s.close(), hold.Close())
	}
	return &names{mac: mac, salts: s, people: p, hold: hold}, nil
}

// passingMAC is an HMAC under a key that nobody will ever have again.
func passingMAC() func([]byte) []byte {
	key := []byte(rand.Text())
	return func(msg []byte) []byte {
		h := hmac.New(sha256.New, key)
		h.Write(msg)
		return h.Sum(nil)
	}
}

// Call makes references that nobody can join to another call of the same number: every call has its own salt. A reference of a call
// reads "20261121-5c3f...", the day and half of an HMAC (RFC 2104 section 5 allows as much). It waits for no disk: a salt that a crash
// loses makes its hashes unmatchable and harms nobody.
func (n *names) Call(callID string, numbers ...string) (string, []PartyRef) {
	var s salt
	_, _ = rand.Read(s[:]) // never fails: crypto/rand ends the program instead
	var k saltKey
	own, ok := n.room.Get().(*[192]byte)
	if !ok {
		own = new([192]byte)
	}
	defer n.room.Put(own)
	msg := own[:0]
	k.hash, msg = n.hash(msg, useCall, s, callID)
	var room [9 + 3*32]byte // the references stand in one string
	k.day = n.day(time.Now())
	b := hex.AppendEncode(append(append(room[:0], k.day...), '-'), k.hash[:])
	head := len(b)
	refs := make([]PartyRef, len(numbers))
	for i, num := range numbers {
		clear := normalise(num)
		var h [16]byte
		h, msg = n.hash(msg, useParty, s, clear)
		b = hex.AppendEncode(b, h[:])
		refs[i].Country = CountryCode(clear)
	}
	all := string(b)
	for i := range refs {
		refs[i].Ref = all[head+32*i : head+32*(i+1)]
	}
	n.salts.put(k, s)
	return all[:head], refs
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
		h, _ := n.hash(nil, useCall, s, clear)
		return subtle.ConstantTimeCompare(h[:], k.hash[:]) == 1
	}
	h, _ := n.hash(nil, useParty, s, normalise(clear))
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(h[:])), []byte(ref)) == 1
}

func (n *names) Destroy(callRef string) error {
	k, err := parseSaltKey(callRef)
	if err != nil {
		return err
	}
	return n.salts.destroy(k)
}

// Known looks among the calls where ref reads as a reference of one, else among the people.
func (n *names) Known(ref string) (string, bool) {
	k, err := parseSaltKey(ref)
	if err != nil {
		return n.people.find(ref)
	}
	_, ok := n.salts.get(k)
	return k.String(), ok
}

func (n *names) Person(id string) string   { return n.people.pseudonym(id) }
func (n *names) Erase(person string) error { return n.people.erase(person) }

func (n *names) Health() PseudonymsHealth {
	lost, why := n.salts.health()
	unsaved, whyNot := n.people.health()
	h := PseudonymsHealth{Lost: lost, Unsaved: unsaved}
	if err := errors.Join(why, whyNot); err != nil {
		h.Why = err.Error()
	}
	h.OK = h.Why == ""
	return h
}

// Close reports what was lost. Nothing is kept or forgotten after it: the folder may be somebody else's then.
func (n *names) Close() error {
	err := errors.Join(n.people.close(), n.salts.close())
	if n.hold != nil {
		if e := n.hold.Close(); !errors.Is(e, fs.ErrClosed) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// The uses of a hash have one length, and so have salts, so no text can pass for another.
const (
	useCall  = "call    "
	useParty = "party   "
)

// hash is half of the HMAC over use, salt and text, which it puts together in msg and gives back to be used again.
func (n *names) hash(msg []byte, use string, s salt, text string) (out [16]byte, _ []byte) {
	msg = append(append(append(msg[:0], use...), s[:]...), text...)
	copy(out[:], n.mac(msg))
	return out, msg
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
	if strings.TrimLeft(user, "+0123456789") == "" {
		return user // as most are
	}
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

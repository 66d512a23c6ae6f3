// Package keyring is whose key counts, as a log tells it, and the check of what people signed in it: the same for the node and for an auditor.
//
// The first keys stand in the configuration; two people vouch for each later one. It imports approval, approval/sign, audit and internal/jcs.
package keyring

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
)

// How a key came to count.
const (
	HowBootstrap = "bootstrap" // it stood in the configuration when the first keys were taken
	HowVouched   = "vouched"   // two people signed for it
)

// vouchesNeeded are distinct people in distinct approving roles, none of them the owner.
const vouchesNeeded = 2

// Key is the public key of one person, as the log knows it.
type Key struct {
	ID         string    `json:"key_id"`
	Public     string    `json:"public"` // Ed25519, base64
	Person     string    `json:"person"` // pseudonym
	Expires    time.Time `json:"expires"`
	How        string    `json:"how,omitempty"`        // bootstrap | vouched; absent for one that stands in the configuration alone
	By         []string  `json:"vouched_by,omitempty"` // pseudonyms
	At         time.Time `json:"enrolled_at,omitzero"`
	Entry      uint64    `json:"entry,omitempty"` // log index of the enrolment
	RevokedAt  time.Time `json:"revoked_at,omitzero"`
	RevokedBy  string    `json:"revoked_by,omitempty"`
	RevokedWhy string    `json:"revoked_why,omitempty"`
	Revocation uint64    `json:"revocation,omitempty"` // log index
}

// EnrolledKey is one key of an enrolment.
type EnrolledKey struct {
	ID      string    `json:"key_id"`
	Public  string    `json:"public"`
	Person  string    `json:"person"`
	Expires time.Time `json:"expires"`
}

// VouchOf is a signature for a key, and whose it is.
type VouchOf struct {
	Person string `json:"person"`
	sign.Vouch
}

// KeysEnrolled is the body of approval.key_enrolled: from here on these keys count.
type KeysEnrolled struct {
	How       string          `json:"how"` // bootstrap | vouched
	Keys      []EnrolledKey   `json:"keys"`
	Enrolment *sign.Enrolment `json:"enrolment,omitempty"` // what was signed, of vouched
	Vouches   []VouchOf       `json:"vouches,omitempty"`
	By        string          `json:"by"` // who handed it in: a pseudonym or a rule
}

// Kind of the entry.
func (KeysEnrolled) Kind() audit.Kind { return audit.KindKeyEnrolled }

// KeyRevoked is the body of approval.key_revoked: from here on the key counts no more, and never again.
type KeyRevoked struct {
	ID     string `json:"key_id"`
	Person string `json:"person"` // whose it was
	By     string `json:"by"`
	Why    string `json:"reason"`
}

// Kind of the entry.
func (KeyRevoked) Kind() audit.Kind { return audit.KindKeyRevoked }

// Ring is what a log says of keys: a pure function of its entries, the same for the node and for an auditor.
type Ring map[string]Key

// Take applies one entry. An error says why it should not stand there; then it changes nothing.
func (k Ring) Take(e audit.Entry) error {
	switch e.Kind {
	case audit.KindKeyEnrolled:
		var ev KeysEnrolled
		if err := json.Unmarshal(e.Body, &ev); err != nil {
			return fmt.Errorf("approval: reading entry %d: %w", e.Seq, err)
		}
		if slices.ContainsFunc(ev.Keys, func(x EnrolledKey) bool { old, ok := k[x.ID]; return ok && old.Entry == e.Seq }) {
			return nil // it was taken when it was written
		}
		if err := k.Check(e.Time.Add(-approval.SignedSkew), e.Time, ev); err != nil {
			return err
		}
		k.Enrol(e.Seq, e.Time, ev)
	case audit.KindKeyRevoked:
		var ev KeyRevoked
		if err := json.Unmarshal(e.Body, &ev); err != nil {
			return fmt.Errorf("approval: reading entry %d: %w", e.Seq, err)
		}
		if _, ok := k[ev.ID]; !ok {
			return approval.Refuse(approval.RuleKeyUnknown, "a key is revoked that was never enrolled", "see the list of keys")
		}
		k.Revoke(e.Seq, e.Time, ev)
	}
	return nil
}

// Rooted says whether the first keys were taken.
func (k Ring) Rooted() bool {
	for _, key := range k {
		if key.How == HowBootstrap {
			return true
		}
	}
	return false
}

// Check says why an enrolment must not count. Keys that vouch must not have ended at from, and nothing may have been signed after to: an entry is a little younger than its
// judgement.
func (k Ring) Check(from, to time.Time, ev KeysEnrolled) error {
	again := 0
	seen := map[string]bool{}
	for _, x := range ev.Keys {
		pub, err := sign.ParsePublic(x.Public)
		switch {
		case err != nil:
			return approval.Refuse(approval.RuleSignedFile, err.Error(), "cordon gate key makes one")
		case sign.KeyID(pub) != x.ID || x.Person == "" || x.Expires.IsZero():
			return approval.Refuse(approval.RuleSignedFile, "the key has no owner, no end, or the id of another key", "make the enrolment again")
		case seen[x.ID]:
			return approval.SharedKey()
		}
		seen[x.ID] = true
		old, ok := k[x.ID]
		switch {
		case !ok:
		case old.Person != x.Person:
			return approval.SharedKey()
		case !old.RevokedAt.IsZero():
			return approval.Refuse(approval.RuleKeyRevoked, "the key was revoked at "+approval.When(old.RevokedAt)+" and never counts again", "make another one: cordon gate key")
		case old.How == ev.How && old.Expires.Equal(x.Expires):
			again++ // the same entry once more, after a write of which nobody knew what became
		default:
			return approval.Refuse(approval.RuleKeyKnown, "the key is enrolled already", "a later end needs another key")
		}
	}
	switch {
	case len(ev.Keys) == 0:
		return approval.Refuse(approval.RuleSignedFile, "the enrolment names no key", "make it again")
	case again == len(ev.Keys):
		return nil
	case ev.How == HowBootstrap && k.Rooted():
		return approval.Refuse(approval.RuleKeyVouched, "the first keys were taken already", "two people vouch for every later one")
	case ev.How == HowBootstrap:
		return nil
	case ev.How != HowVouched || len(ev.Keys) != 1 || ev.Enrolment == nil:
		return approval.Refuse(approval.RuleSignedFile, "the enrolment is of no kind that counts", "make it again")
	}
	return k.checkVouches(from, to, ev)
}

// checkVouches says why the signatures under an enrolment do not make a key count.
func (k Ring) checkVouches(from, to time.Time, ev KeysEnrolled) error {
	key, e := ev.Keys[0], *ev.Enrolment
	if err := e.Check(); err != nil || e.Key != key.ID || e.Public != key.Public || !e.Expires.Equal(key.Expires) {
		return approval.Refuse(approval.RuleSignedFile, "what was signed is not the key that shall count", "make the enrolment again")
	}
	people, roles := map[string]bool{}, map[string]bool{}
	for _, v := range ev.Vouches {
		by, ok := k[v.Key]
		switch {
		case !ok || by.Person != v.Person:
			return approval.Refuse(approval.RuleKeyUnknown, "a key that vouched, "+v.Key+", is not enrolled", "who vouches needs a key that counts")
		case !by.RevokedAt.IsZero():
			return approval.Refuse(approval.RuleKeyRevoked, "a key that vouched, "+v.Key+", was revoked", "somebody else vouches")
		case !from.Before(by.Expires):
			return approval.Refuse(approval.RuleKeyExpired, "a key that vouched, "+v.Key+", ended at "+approval.When(by.Expires), "somebody else vouches")
		case v.Person == key.Person:
			return approval.Refuse(approval.RuleKeyVouched, "nobody vouches for a key of their own", "two other people do")
		case people[v.Person] || roles[v.Role]:
			return approval.Refuse(approval.RuleKeyVouched, "a person or a role vouched twice", "two people in two approving roles vouch")
		case v.At.After(to.Add(approval.SignedSkew)):
			return approval.Refuse(approval.RuleSignedAt, "a vouch was signed at "+approval.When(v.At)+", which is still to come", "set the clock of the machine that signed")
		}
		pub, err := sign.ParsePublic(by.Public)
		if err == nil {
			err = v.Verify(e, pub)
		}
		if err != nil {
			return approval.Refuse(approval.RuleSignature, "the signature of "+v.Key+" under the enrolment does not fit", "the file was changed after it was signed: make it again")
		}
		people[v.Person], roles[v.Role] = true, true
	}
	if len(people) < vouchesNeeded {
		return approval.Refuse(approval.RuleKeyVouched, fmt.Sprintf("%d of %d people vouched for the key", len(people), vouchesNeeded), "cordon gate vouch adds a signature")
	}
	return nil
}

// Enrol takes keys that check let pass.
func (k Ring) Enrol(seq uint64, at time.Time, ev KeysEnrolled) {
	var by []string
	for _, v := range ev.Vouches {
		by = append(by, v.Person)
	}
	for _, x := range ev.Keys {
		if _, there := k[x.ID]; !there {
			k[x.ID] = Key{ID: x.ID, Public: x.Public, Person: x.Person, Expires: x.Expires, How: ev.How, By: by, At: at, Entry: seq}
		}
	}
}

// Revoke ends a key; the first end counts.
func (k Ring) Revoke(seq uint64, at time.Time, ev KeyRevoked) {
	key := k[ev.ID]
	if key.RevokedAt.IsZero() || key.Revocation == 0 {
		key.RevokedAt, key.RevokedBy, key.RevokedWhy, key.Revocation = at, ev.By, ev.Why, seq
		k[ev.ID] = key
	}
}

// Sorted gives the keys in the order of their enrolment.
func (k Ring) Sorted() []Key {
	out := make([]Key, 0, len(k))
	for _, key := range k {
		out = append(out, key)
	}
	slices.SortFunc(out, func(a, b Key) int {
		if c := int64(a.Entry) - int64(b.Entry); c != 0 {
			return int(c)
		}
		return slices.Compare([]byte(a.ID), []byte(b.ID))
	})
	return out
}

// Configured reads the keys of the configuration. Errors name people by their places.
func Configured(people []approval.Person, names map[string]string) ([]EnrolledKey, error) {
	var out []EnrolledKey
	owner := map[string]int{}
	for i, p := range people {
		for j, k := range p.Keys {
			pub, err := sign.ParsePublic(k.Public)
			if err != nil {
				return nil, fmt.Errorf("approval: people[%d]: key %d: %w", i, j, err)
			}
			if k.Expires.IsZero() {
				return nil, fmt.Errorf("approval: people[%d]: key %d has no end", i, j)
			}
			id := sign.KeyID(pub)
			if other, taken := owner[id]; taken && other != i {
				return nil, fmt.Errorf("approval: people[%d] and people[%d] have the same key: nobody may count as two", other, i)
			} else if taken {
				return nil, fmt.Errorf("approval: people[%d]: a key is there twice", i)
			}
			owner[id] = i
			out = append(out, EnrolledKey{ID: id, Public: k.Public, Person: names[p.ID], Expires: k.Expires.UTC()})
		}
	}
	slices.SortFunc(out, func(a, b EnrolledKey) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// Submitted is what a signed file came to: a ticket, or a key that counts now.
type Submitted struct {
	Ticket *approval.Ticket `json:"ticket,omitempty"`
	Key    *Key             `json:"key,omitempty"`
}

// Standing is a key and whether it counts now.
type Standing struct {
	Key
	Counts bool   `json:"counts"`
	Why    string `json:"why,omitempty"` // it does not
}

// ErrUnlogged says that a key was ended on this node alone: after a restart it would count again.
var ErrUnlogged = errors.New("approval: the key counts no more while this node runs, and the log does not have it yet: revoke it again")

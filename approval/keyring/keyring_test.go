package keyring

import (
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
)

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func private(person string) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, person)
	return ed25519.NewKeyFromSeed(seed)
}

// keyOf is a person's key for a year from noon.
func keyOf(person string) EnrolledKey {
	pub := private(person).Public().(ed25519.PublicKey)
	return EnrolledKey{ID: sign.KeyID(pub), Public: sign.PublicText(pub), Person: "p-" + person, Expires: noon.AddDate(1, 0, 0)}
}

// vouched is an enrolment of a person's key that others signed, each in the role of that name, at a time.
func vouched(t *testing.T, person string, at time.Time, by ...string) KeysEnrolled {
	t.Helper()
	key := keyOf(person)
	f, err := sign.NewEnrolment(person, private(person).Public().(ed25519.PublicKey), key.Expires, at, strings.Repeat("ab", 16), hex.EncodeToString(make([]byte, 16)))
	ev := KeysEnrolled{How: HowVouched, Keys: []EnrolledKey{key}, Enrolment: &f.Enrolment}
	for i, who := range by {
		if err == nil {
			f, err = f.Vouch(private(who), "role-of-"+who, at)
		}
		if err == nil {
			ev.Vouches = append(ev.Vouches, VouchOf{"p-" + who, f.Vouches[i]})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return ev
}

// log is a log of such entries, an hour apart.
func log(t *testing.T, events ...audit.Event) (out []audit.Entry) {
	t.Helper()
	for i, ev := range events {
		raw, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, audit.Entry{Seq: uint64(i), Time: noon.Add(time.Duration(i) * time.Hour), Kind: ev.Kind(), Body: raw})
	}
	return out
}

// What a log says of keys: the first ones count, two other people vouch for a later one, and one that was revoked never counts again. The last entry is the one that is judged.
func TestWhichKeysCount(t *testing.T) {
	first := KeysEnrolled{How: HowBootstrap, Keys: []EnrolledKey{keyOf("anna"), keyOf("ben")}}
	revoked := KeyRevoked{ID: keyOf("ben").ID, Person: "p-ben", By: "p-anna", Why: "lost"}
	again := first
	again.Keys = []EnrolledKey{keyOf("carl")}
	shared := vouched(t, "carl", noon, "anna", "ben")
	shared.Keys = []EnrolledKey{{keyOf("anna").ID, keyOf("anna").Public, "p-carl", keyOf("anna").Expires}}
	forged := vouched(t, "carl", noon, "anna", "ben")
	forged.Vouches[1].Vouch = forged.Vouches[0].Vouch
	forged.Vouches[1].Key = keyOf("ben").ID
	forged.Vouches[1].Role = "role-of-ben"
	for name, c := range map[string]struct {
		events []audit.Event
		rule   string // "": it counts
	}{
		"the first":                         {[]audit.Event{first}, ""},
		"the first, twice":                  {[]audit.Event{first, again}, approval.RuleKeyVouched},
		"one that two vouched for":          {[]audit.Event{first, vouched(t, "carl", noon, "anna", "ben")}, ""},
		"one that one vouched for":          {[]audit.Event{first, vouched(t, "carl", noon, "anna")}, approval.RuleKeyVouched},
		"one whose owner vouched":           {[]audit.Event{first, vouched(t, "anna", noon, "anna", "ben")}, approval.RuleKeyKnown},
		"one with the key of somebody else": {[]audit.Event{first, shared}, approval.RuleKeyShared},
		"one by a stranger":                 {[]audit.Event{first, vouched(t, "carl", noon, "anna", "dora")}, approval.RuleKeyUnknown},
		"one by a key that was revoked":     {[]audit.Event{first, revoked, vouched(t, "carl", noon, "anna", "ben")}, approval.RuleKeyRevoked},
		"one that was signed tomorrow":      {[]audit.Event{first, vouched(t, "carl", noon.AddDate(0, 0, 1), "anna", "ben")}, approval.RuleSignedAt},
		"one by a signature of another":     {[]audit.Event{first, forged}, approval.RuleSignature},
		"one that was revoked":              {[]audit.Event{first, revoked, KeysEnrolled{How: HowBootstrap, Keys: []EnrolledKey{keyOf("ben")}}}, approval.RuleKeyRevoked},
		"the end of one that never was":     {[]audit.Event{first, KeyRevoked{ID: "x"}}, approval.RuleKeyUnknown},
	} {
		ring, words := Ring{}, NewChecker()
		var err error
		for _, e := range log(t, c.events...) {
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			err = ring.Take(e)
			words.Take(e)
		}
		var r *approval.Refusal
		if (err == nil) != (c.rule == "") || err != nil && (!errors.As(err, &r) || r.Rule != c.rule) || len(words.Bad) != min(len(c.rule), 1) {
			t.Errorf("%s: %v, and the checker says %v", name, err, words.Bad)
		}
	}
}

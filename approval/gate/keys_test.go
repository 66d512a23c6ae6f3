package gate

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
)

// privateKey is a key of a test's person, the same each time; number tells several of one person apart.
func privateKey(person string, number byte) ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, person)
	seed[31] = number
	return ed25519.NewKeyFromSeed(seed)
}

func publicText(person string, number byte) string {
	return sign.PublicText(privateKey(person, number).Public().(ed25519.PublicKey))
}

func keyID(person string, number byte) string {
	return sign.KeyID(privateKey(person, number).Public().(ed25519.PublicKey))
}

// nonces makes nonces that are never the same.
type nonces struct{ last byte }

func (n *nonces) next() string {
	n.last++
	return hex.EncodeToString(bytes.Repeat([]byte{n.last}, 16))
}

// keyed are the people of the tests, of whom those named have a key for a year.
func keyed(names ...string) []approval.Person {
	out := append([]approval.Person{}, people...)
	for i, p := range out {
		for _, name := range names {
			if p.ID == name {
				out[i].Keys = append([]approval.PersonKey{}, approval.PersonKey{Public: publicText(name, 0), Expires: time.Now().AddDate(1, 0, 0)})
			}
		}
	}
	return out
}

// signing is a world in which people sign.
type signing struct {
	*world
	nonces nonces
	people []approval.Person
}

func newSigning(t *testing.T, names ...string) *signing {
	return &signing{world: newWorld(t), people: keyed(names...)}
}

func (w *signing) gate() *Gate {
	w.t.Helper()
	c := w.config("n1")
	c.People = w.people
	g, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return g
}

// statement is what a person signs over a ticket that was exported.
func (w *signing) statement(t approval.Ticket, role string, word sign.Word) sign.Statement {
	w.t.Helper()
	raw, err := t.Export("")
	if err != nil {
		w.t.Fatal(err)
	}
	f, err := approval.ReadTicketFile(raw)
	if err != nil {
		w.t.Fatal(err)
	}
	return f.Statement(word, role, "because "+role, time.Now(), w.nonces.next())
}

func (w *signing) file(person string, s sign.Statement) []byte {
	w.t.Helper()
	signed, err := sign.Sign(privateKey(person, 0), s)
	if err != nil {
		w.t.Fatal(err)
	}
	raw, err := signed.File()
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// submit has the operator bring what a person signed.
func (w *signing) submit(g *Gate, person string, s sign.Statement) (approval.Ticket, error) {
	w.t.Helper()
	out, err := g.Submit(w.t.Context(), w.file(person, s), "op")
	if err != nil {
		return approval.Ticket{}, err
	}
	return *out.Ticket, nil
}

// enrolment is a file for person's key number, with the vouches of others.
func (w *signing) enrolment(person string, number byte, vouchers ...string) sign.EnrolmentFile {
	w.t.Helper()
	pub := privateKey(person, number).Public().(ed25519.PublicKey)
	f, err := sign.NewEnrolment(person, pub, time.Now().AddDate(2, 0, 0), time.Now(), w.nonces.next(), w.nonces.next())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, v := range vouchers {
		if f, err = f.Vouch(privateKey(v, 0), roleOf[v], time.Now()); err != nil {
			w.t.Fatal(err)
		}
	}
	return f
}

func (w *signing) enrol(g *Gate, f sign.EnrolmentFile) (keyring.Submitted, error) {
	w.t.Helper()
	raw, err := f.File()
	if err != nil {
		w.t.Fatal(err)
	}
	return g.Submit(w.t.Context(), raw, "op")
}

// logged gives the bodies of the entries of a kind.
func logged[T any](w *world, kind audit.Kind) []T {
	w.t.Helper()
	entries, err := w.log.Log.Entries(w.t.Context(), 0, 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []T
	for _, e := range entries {
		if e.Kind != kind {
			continue
		}
		var v T
		if err := json.Unmarshal(e.Body, &v); err != nil {
			w.t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

// counting gives the keys that count, and why the others do not.
func counting(g *Gate) (ids []string, why map[string]string) {
	why = map[string]string{}
	for _, k := range g.Keys() {
		if k.Counts {
			ids = append(ids, k.ID)
		} else {
			why[k.ID] = k.Why
		}
	}
	return ids, why
}

// The first keys of the configuration count, once; a later one waits for two people, and counts over restarts from then on.
func TestFirstKeysCountAndLaterOnesAreVouchedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "ciso")
		g := w.gate()
		stop := w.run(g)
		synctest.Wait()
		if ids, _ := counting(g); len(ids) != 3 {
			t.Fatalf("counting at first: %v", ids)
		}
		first := logged[keyring.KeysEnrolled](w.world, audit.KindKeyEnrolled)
		if len(first) != 1 || first[0].How != keyring.HowBootstrap || len(first[0].Keys) != 3 || first[0].By != "rule:configuration" {
			t.Fatalf("the log says %+v", first)
		}
		stop()

		w.people = keyed("ic", "bo", "ciso", "md", "dpo")
		g = w.gate()
		stop = w.run(g)
		synctest.Wait()
		ids, why := counting(g)
		if len(ids) != 3 || !strings.Contains(why[keyID("md", 0)], "waits for two people") {
			t.Fatalf("a key of the configuration that nobody vouched for: %v, %v", ids, why)
		}
		got, err := w.enrol(g, w.enrolment("md", 0, "ic", "ciso"))
		if err != nil || got.Key == nil || got.Key.How != keyring.HowVouched || len(got.Key.By) != 2 {
			t.Fatalf("%+v, %v", got, err)
		}
		if _, err := w.enrol(g, w.enrolment("dpo", 0, "ic", "md")); err != nil {
			t.Fatalf("a key that two people vouched for cannot vouch: %v", err)
		}
		w.propose(g, plan()) // entries about something else
		size := w.log.Log.Size()
		stop()
		item, err := w.kv.KV.Get(t.Context(), g.keysKey())
		var saved savedKeys
		if err != nil || json.Unmarshal(item.Data, &saved) != nil || saved.Upto != size || len(saved.Keys) != 5 {
			t.Fatalf("what the next start need not read again: %s, %v; the log has %d entries", item.Data, err, size)
		}

		for _, lost := range []bool{false, true} {
			if lost { // the log alone gives every key back
				item, err := w.kv.KV.Get(t.Context(), g.keysKey())
				if err == nil {
					err = w.kv.Delete(t.Context(), item.Key, item.Rev)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			again := w.gate()
			stop = w.run(again)
			synctest.Wait()
			if ids, why := counting(again); len(ids) != 5 || again.Repairs() != 0 {
				t.Fatalf("after a restart (store lost: %v): %v, %v, %d repairs", lost, ids, why, again.Repairs())
			}
			stop()
		}
		if n := len(logged[keyring.KeysEnrolled](w.world, audit.KindKeyEnrolled)); n != 3 {
			t.Errorf("%d enrolments in the log", n)
		}
	})
}

// A store that says of keys what the log does not is put right, and one that is older than the log is read up.
func TestTheLogWinsOverTheStoreOfKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "ciso")
		g := w.gate()
		stop := w.run(g)
		synctest.Wait()
		old, err := w.kv.KV.Get(t.Context(), g.keysKey())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := g.RevokeKey(t.Context(), keyID("bo", 0), "bo", "lost on a train"); err != nil {
			t.Fatal(err)
		}
		stop()
		for name, change := range map[string]func(*savedKeys){
			"older than the log": func(*savedKeys) {},
			"another owner":      func(s *savedKeys) { s.Keys[0].Person = "p-op-x" },
			"a key that no entry has": func(s *savedKeys) {
				s.Keys = append(s.Keys, keyring.Key{ID: keyID("op", 0), Public: publicText("op", 0), Person: "p-op-x", Expires: time.Now().AddDate(1, 0, 0), How: keyring.HowVouched})
			},
			"an end that no entry has": func(s *savedKeys) { s.Keys[0].RevokedAt = time.Now() },
			"beyond the log":           func(s *savedKeys) { s.Upto = 1 << 40 },
			"no JSON":                  nil,
		} {
			data := []byte("{")
			if change != nil {
				var s savedKeys
				if err := json.Unmarshal(old.Data, &s); err != nil {
					t.Fatal(err)
				}
				change(&s)
				data, _ = json.Marshal(s)
			}
			item, err := w.kv.KV.Get(t.Context(), g.keysKey())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.kv.KV.Swap(t.Context(), item.Key, item.Rev, data); err != nil {
				t.Fatal(err)
			}
			again := w.gate()
			if _, err := again.Restore(t.Context()); err != nil {
				t.Fatal(err)
			}
			ids, why := counting(again)
			if len(ids) != 2 || !strings.Contains(why[keyID("bo", 0)], "lost on a train") {
				t.Errorf("%s: %v, %v", name, ids, why)
			}
			if want := name != "older than the log"; want != (again.Repairs() > 0) {
				t.Errorf("%s: %d repairs", name, again.Repairs())
			}
		}
	})
}

// Every enrolment that must not count is refused by the rule that it breaks, and leaves no entry.
func TestEnrolmentsThatDoNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "bo2", "ciso", "two", "op", "dpo")
		g := w.gate()
		defer w.run(g)()
		away := append([]approval.Person{}, w.people...)
		away[4].Keys, away[4].Absent = []approval.PersonKey{{Public: publicText("md", 0), Expires: time.Now().AddDate(1, 0, 0)}}, []approval.Absence{{From: time.Now(), Until: time.Now().Add(time.Hour)}}
		if _, err := w.enrol(g, w.enrolment("md", 0, "ic", "ciso")); err != nil {
			t.Fatal(err)
		}
		if err := g.Reload(w.rules, away, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := g.RevokeKey(t.Context(), keyID("two", 0), "two", "lost"); err != nil {
			t.Fatal(err)
		}
		vouched := func(f sign.EnrolmentFile, person, role string, at time.Time) sign.EnrolmentFile {
			f, err := f.Vouch(privateKey(person, 0), role, at)
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		tampered := w.enrolment("md", 1, "ic", "ciso")
		tampered.Enrolment.Expires = tampered.Enrolment.Expires.AddDate(10, 0, 0)
		short := w.enrolment("md", 1)
		short.Enrolment.Expires = time.Now().UTC().Truncate(time.Second)
		for _, c := range []struct {
			name, rule string
			file       sign.EnrolmentFile
		}{
			{"nobody vouched", approval.RuleKeyVouched, w.enrolment("md", 1)},
			{"one vouched", approval.RuleKeyVouched, w.enrolment("md", 1, "ic")},
			{"one vouched twice", approval.RuleKeyVouched, w.enrolment("md", 1, "ic", "ic")},
			{"two of one role", approval.RuleKeyVouched, w.enrolment("md", 1, "bo", "bo2")},
			{"a revoked key vouched", approval.RuleKeyRevoked, w.enrolment("md", 1, "ic", "two")},
			{"the owner vouched", approval.RuleKeyVouched, w.enrolment("ic", 1, "ic", "ciso")},
			{"somebody who is absent vouched", approval.RuleRoleNotHeld, w.enrolment("bo", 1, "ic", "md")},
			{"a key that is not enrolled vouched", approval.RuleKeyUnknown, vouched(w.enrolment("bo", 1, "ic"), "aud", "ciso", time.Now())},
			{"a role that is not held", approval.RuleRoleNotHeld, vouched(w.enrolment("md", 1, "ic"), "bo", "ciso", time.Now())},
			{"a role that does not approve", approval.RuleRoleNotApproving, vouched(w.enrolment("md", 1, "ic"), "op", approval.RoleOperator, time.Now())},
			{"the officer vouched", approval.RuleRoleNotApproving, vouched(w.enrolment("md", 1, "ic"), "dpo", "dpo", time.Now())},
			{"signed in the future", approval.RuleSignedAt, vouched(w.enrolment("md", 1, "ic"), "ciso", "ciso", time.Now().Add(time.Hour))},
			{"a later end than what was signed", approval.RuleSignature, tampered},
			{"of somebody whom nobody knows", approval.RuleUnknownPerson, w.enrolment("stranger", 1, "ic", "ciso")},
			{"over already", approval.RuleKeyExpired, short},
			{"a key that counts already", approval.RuleKeyKnown, w.enrolment("bo", 0, "ic", "ciso")},
			{"a key that was revoked", approval.RuleKeyRevoked, w.enrolment("two", 0, "ic", "ciso")},
			{"somebody else's key", approval.RuleKeyShared, func() sign.EnrolmentFile {
				f, err := sign.NewEnrolment("md", privateKey("bo", 0).Public().(ed25519.PublicKey), time.Now().AddDate(2, 0, 0), time.Now(), w.nonces.next(), w.nonces.next())
				if err != nil {
					t.Fatal(err)
				}
				return vouched(vouched(f, "ic", "incident_commander", time.Now()), "ciso", "ciso", time.Now())
			}()},
		} {
			before := w.log.Log.Size()
			_, err := w.enrol(g, c.file)
			if err == nil {
				t.Fatalf("%s: it counts", c.name)
			}
			t.Log(c.name, ":", err)
			wantRefusal(t, err, c.rule)
			if w.log.Log.Size() != before {
				t.Errorf("%s: it left an entry", c.name)
			}
		}
	})
}

// A key is ended by its owner or any approver, at once, also while the log cannot be written; a revoked key never counts again.
func TestRevokedKeysEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "ciso", "dpo")
		g := w.gate()
		defer w.run(g)()
		synctest.Wait()
		ctx := t.Context()
		_, err := g.RevokeKey(ctx, keyID("ciso", 0), "op", "not mine")
		wantRefusal(t, err, approval.RuleRoleNotHeld)
		_, err = g.RevokeKey(ctx, "k-none", "ic", "which?")
		wantRefusal(t, err, approval.RuleKeyUnknown)
		_, err = g.RevokeKey(ctx, keyID("ciso", 0), "ic", " ")
		wantRefusal(t, err, approval.RuleReason)
		ticket := w.propose(g, plan())
		s := w.statement(ticket, "ciso", sign.Approve)

		w.log.down.Store(true)
		if _, err := g.RevokeKey(ctx, keyID("ciso", 0), "ic", "he left the bank"); !errors.Is(err, keyring.ErrUnlogged) || !errors.Is(err, audit.ErrLogDown) {
			t.Fatalf("%v", err)
		}
		if ids, _ := counting(g); len(ids) != 3 {
			t.Fatalf("still counting: %v", ids)
		}
		// Not even what must be logged before anything else holds up an end.
		if _, err := g.Submit(ctx, w.file("ic", w.statement(ticket, "incident_commander", sign.Approve)), "op"); err == nil {
			t.Fatal("a word counts without the log")
		}
		if _, err := g.RevokeKey(ctx, keyID("bo", 0), "bo", "lost"); !errors.Is(err, keyring.ErrUnlogged) {
			t.Fatalf("%v", err)
		}
		if ids, _ := counting(g); len(ids) != 2 {
			t.Fatalf("still counting: %v", ids)
		}
		w.log.down.Store(false)
		if _, err := g.RevokeKey(ctx, keyID("bo", 0), "bo", "lost"); err != nil {
			t.Fatal(err)
		}
		_, err = w.submit(g, "ciso", s)
		wantRefusal(t, err, approval.RuleKeyRevoked)
		if k, err := g.RevokeKey(ctx, keyID("ciso", 0), "ic", "he left the bank"); err != nil || k.Revocation == 0 {
			t.Fatalf("%+v, %v", k, err)
		}
		_, err = g.RevokeKey(ctx, keyID("ciso", 0), "ic", "again")
		wantRefusal(t, err, approval.RuleKeyRevoked)
		if k, err := g.RevokeKey(ctx, keyID("dpo", 0), "dpo", "lost"); err != nil || k.RevokedBy != "p-dpo-x" {
			t.Fatalf("the owner: %+v, %v", k, err)
		}
		if ends := logged[keyring.KeyRevoked](w.world, audit.KindKeyRevoked); len(ends) != 3 || ends[1].Why != "he left the bank" || ends[1].Person != "p-ciso-x" {
			t.Errorf("the log says %+v", ends)
		}
	})
}

// What the configuration takes away counts no more from the reload on; what it adds does not count.
func TestReloadNarrowsKeysAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSigning(t, "ic", "bo", "ciso")
		g := w.gate()
		defer w.run(g)()
		synctest.Wait()
		reload := func(people []approval.Person) map[string]string {
			t.Helper()
			if err := g.Reload(w.rules, people, nil); err != nil {
				t.Fatal(err)
			}
			_, why := counting(g)
			return why
		}
		if why := reload(keyed("bo", "ciso")); !strings.Contains(why[keyID("ic", 0)], "does not stand there any more") || len(why) != 1 {
			t.Errorf("taken out: %v", why)
		}
		gone := keyed("ic", "bo", "ciso")
		gone[0].Until = time.Now()
		if why := reload(gone); !strings.Contains(why[keyID("ic", 0)], "may not sign in any more") {
			t.Errorf("a person whose time is over: %v", why)
		}
		if why := reload(keyed("ic", "bo", "ciso")[1:]); !strings.Contains(why[keyID("ic", 0)], "not in the configuration") {
			t.Errorf("a person who is gone: %v", why)
		}
		early := keyed("ic", "bo", "ciso")
		early[0].Keys[0].Expires = time.Now()
		if why := reload(early); !strings.Contains(why[keyID("ic", 0)], "the key ended at") {
			t.Errorf("an earlier end: %v", why)
		}
		swapped := keyed("bo", "ciso")
		swapped[4].Keys = []approval.PersonKey{{Public: publicText("ic", 0), Expires: time.Now().AddDate(1, 0, 0)}}
		if why := reload(swapped); !strings.Contains(why[keyID("ic", 0)], "two names") {
			t.Errorf("given to somebody else: %v", why)
		}
		if why := reload(keyed("ic", "bo", "ciso", "md")); len(why) != 1 || !strings.Contains(why[keyID("md", 0)], "waits for two people") {
			t.Errorf("added: %v", why)
		}
		late := keyed("ic", "bo", "ciso")
		late[0].Keys[0].Expires = time.Now().AddDate(9, 0, 0)
		reload(late)
		time.Sleep(400 * 24 * time.Hour)
		if _, why := counting(g); !strings.Contains(why[keyID("ic", 0)], "the key ended") {
			t.Errorf("a later end than what was enrolled counts: %v", why)
		}
	})
}

func TestPeopleWithKeysThatAreNone(t *testing.T) {
	w := newWorld(t)
	year := time.Now().AddDate(1, 0, 0)
	for want, keys := range map[string][2][]approval.PersonKey{
		"people[0] and people[1] have the same key": {{{Public: publicText("ic", 0), Expires: year}}, {{Public: publicText("ic", 0), Expires: year}}},
		"people[1]: a key is there twice":           {nil, {{Public: publicText("ic", 0), Expires: year}, {Public: publicText("ic", 0), Expires: year}}},
		"people[0]: key 0 has no end":               {{{Public: publicText("ic", 0)}}, nil},
		"people[1]: key 0: expected an Ed25519":     {nil, {{Public: "AAAA", Expires: year}}},
	} {
		c := w.config("n1")
		c.People = keyed()
		c.People[0].Keys, c.People[1].Keys = keys[0], keys[1]
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

package approval

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/state"
)

// keysKey holds what the log of this node said of keys up to an index, so that a start need not read all of it. The log stays the truth.
func (g *Gate) keysKey() string {
	return prefix + "keys." + base64.RawURLEncoding.EncodeToString([]byte(g.c.Node)) // nodes that share a store have each a log of their own
}

// keepEvery is how many entries a start after a crash may have to read again, beside those of an hour.
const keepEvery = 10_000

const ruleConfiguration = rulePrefix + "configuration"

// PersonKey is a key that the configuration gives to a person. It counts when it was among the first ones, or two people vouched for it.
type PersonKey struct {
	Public  string // Ed25519, base64
	Expires time.Time
}

// keys are what the gate knows of people's keys.
type keys struct {
	sync.Mutex
	ring keyring
	upto uint64 // entries of the log that are in it
}

// savedKeys is the value of the store.
type savedKeys struct {
	Upto uint64 `json:"upto"`
	Keys []Key  `json:"keys"`
}

// KeyStanding is a key and whether it counts now.
type KeyStanding struct {
	Key
	Counts bool   `json:"counts"`
	Why    string `json:"why,omitempty"` // it does not
}

// restoreKeys reads what the log says of keys up to size, and takes the first keys if there were none yet. The caller has the turn.
func (g *Gate) restoreKeys(ctx context.Context, size uint64) error {
	ring, from, rev, err := g.loadKeys(ctx, size)
	if err != nil {
		return err
	}
	read := size > from
	for from < size {
		end := min(size, from+replayBatch)
		entries, err := g.entries(ctx, from, end)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := ring.take(e); err != nil {
				g.logger.Error("an entry about keys does not count", "entry", e.Seq, "error", err)
			}
		}
		from = end
	}
	g.keys.Lock()
	g.keys.ring, g.keys.upto = ring, size
	g.keys.Unlock()
	first, err := g.firstKeys(ctx)
	if err == nil && (first || read) {
		g.saveKeys(ctx, rev)
	}
	return err
}

// loadKeys gives what the store has of keys, if the log bears it out, and the index from which on the log must be read.
func (g *Gate) loadKeys(ctx context.Context, size uint64) (keyring, uint64, uint64, error) {
	item, err := g.c.KV.Get(ctx, g.keysKey())
	if errors.Is(err, state.ErrNotFound) {
		return keyring{}, 0, 0, nil
	}
	if err != nil {
		return nil, 0, 0, fmt.Errorf("approval: reading keys: %w", err)
	}
	var saved savedKeys
	ring := keyring{}
	sound := json.Unmarshal(item.Data, &saved) == nil && saved.Upto <= size
	for i := 0; sound && i < len(saved.Keys); i++ {
		if sound, err = g.keyBacked(ctx, saved.Keys[i], size); err != nil {
			return nil, 0, 0, err
		}
		ring[saved.Keys[i].ID] = saved.Keys[i]
	}
	if !sound {
		g.repaired("keys", "the store holds what the log does not")
		return keyring{}, 0, item.Rev, nil
	}
	return ring, saved.Upto, item.Rev, nil
}

// keyBacked says whether the entries that a key of the store names do say that.
func (g *Gate) keyBacked(ctx context.Context, k Key, size uint64) (bool, error) {
	if k.Entry >= size || k.Revocation >= size {
		return false, nil
	}
	entries, err := g.entries(ctx, k.Entry, k.Entry+1)
	if err != nil {
		return false, err
	}
	var ev KeysEnrolled
	if entries[0].Kind != audit.KindKeyEnrolled || json.Unmarshal(entries[0].Body, &ev) != nil || ev.How != k.How {
		return false, nil
	}
	same := func(x EnrolledKey) bool {
		return x.ID == k.ID && x.Public == k.Public && x.Person == k.Person && x.Expires.Equal(k.Expires)
	}
	if !slices.ContainsFunc(ev.Keys, same) || k.Revocation == 0 {
		return slices.ContainsFunc(ev.Keys, same) && k.RevokedAt.IsZero(), nil
	}
	entries, err = g.entries(ctx, k.Revocation, k.Revocation+1)
	if err != nil {
		return false, err
	}
	var end KeyRevoked
	return entries[0].Kind == audit.KindKeyRevoked && json.Unmarshal(entries[0].Body, &end) == nil && end.ID == k.ID, nil
}

// saveKeys keeps what is known for the next start. It may fail: then that reads more of the log.
func (g *Gate) saveKeys(ctx context.Context, rev uint64) {
	g.keys.Lock()
	saved := savedKeys{Upto: g.keys.upto, Keys: g.keys.ring.sorted()}
	g.keys.Unlock()
	// What could not be logged yet is not in the log: it must not look as if it were.
	if slices.ContainsFunc(saved.Keys, func(k Key) bool { return !k.RevokedAt.IsZero() && k.Revocation == 0 }) {
		return
	}
	data, err := json.Marshal(saved)
	if err == nil {
		_, err = g.swap(ctx, g.keysKey(), rev, data)
	}
	if err != nil {
		g.logger.Warn("keys could not be kept in the store; the next start reads them from the log", "error", err)
	}
}

// firstKeys takes the keys of the configuration, once in the life of a log, and says whether it did.
func (g *Gate) firstKeys(ctx context.Context) (bool, error) {
	s := g.settings.Load()
	g.keys.Lock()
	rooted := g.keys.ring.rooted()
	g.keys.Unlock()
	if rooted || len(s.keys) == 0 {
		return false, nil
	}
	return true, g.enrolled(ctx, KeysEnrolled{How: HowBootstrap, Keys: slices.Clone(s.keys), By: ruleConfiguration})
}

// enrolled judges an enrolment, logs it and lets it count.
func (g *Gate) enrolled(ctx context.Context, ev KeysEnrolled) error {
	g.keys.Lock()
	now := g.clock.now()
	err := g.keys.ring.check(now, now, ev)
	g.keys.Unlock()
	if err != nil {
		return err
	}
	seq, err := g.write(context.WithoutCancel(ctx), ev)
	if err != nil {
		return fmt.Errorf("approval: no key counts, because the log could not be written: %w", err)
	}
	g.keys.Lock()
	g.keys.ring.enrol(seq, g.clock.now(), ev)
	g.keys.upto = max(g.keys.upto, seq+1) // nobody else writes such entries into this log
	g.keys.Unlock()
	return nil
}

// keepRead keeps how far the log is known when the gate stops: it wrote all entries about keys since it started.
func (g *Gate) keepRead(ctx context.Context) {
	if err := g.take(ctx); err != nil {
		return
	}
	defer g.leave()
	g.keepSince(ctx, 1)
}

// keepSince does that, for the holder of the turn, when the log has grown by so many entries.
func (g *Gate) keepSince(ctx context.Context, grown uint64) {
	size := g.c.Log.Size()
	g.keys.Lock()
	due := g.own.restored && size >= g.keys.upto+grown
	if due {
		g.keys.upto = size
	}
	g.keys.Unlock()
	if due {
		g.keep(ctx)
	}
}

// keep is saveKeys for a change: the value is read anew for its revision.
func (g *Gate) keep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stateTimeout)
	defer cancel()
	item, err := g.c.KV.Get(ctx, g.keysKey())
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		g.logger.Warn("keys could not be kept in the store; the next start reads them from the log", "error", err)
		return
	}
	g.saveKeys(ctx, item.Rev)
}

// Keys lists every key that was ever enrolled and those of the configuration that were not, with what they count.
func (g *Gate) Keys() []KeyStanding {
	s, now := g.settings.Load(), g.clock.now()
	g.keys.Lock()
	defer g.keys.Unlock()
	var out []KeyStanding
	for _, k := range g.keys.ring.sorted() {
		x := KeyStanding{Key: k, Counts: true}
		if r := s.standing(k, now); r != nil {
			x.Counts, x.Why = false, r.Detail
		}
		out = append(out, x)
	}
	for _, k := range s.keys {
		if _, enrolled := g.keys.ring[k.ID]; !enrolled {
			out = append(out, KeyStanding{Key: Key{ID: k.ID, Public: k.Public, Person: k.Person, Expires: k.Expires}, Why: "it stands in the configuration and waits for two people who vouch for it"})
		}
	}
	return out
}

// standing says why an enrolled key does not count at a time; nil when it does.
func (s *settings) standing(k Key, now time.Time) *Refusal {
	expires := k.Expires
	i := slices.IndexFunc(s.keys, func(x EnrolledKey) bool { return x.ID == k.ID })
	if i >= 0 && s.keys[i].Expires.Before(expires) {
		expires = s.keys[i].Expires
	}
	holder := slices.IndexFunc(s.people, func(h Holder) bool { return h.Person == k.Person })
	switch until := s.until[k.Person]; {
	case !k.RevokedAt.IsZero():
		return &Refusal{RuleKeyRevoked, "the key was revoked at " + clock(k.RevokedAt) + ": " + k.RevokedWhy, "a revoked key never counts again: make another one"}
	case !now.Before(expires):
		return &Refusal{RuleKeyExpired, "the key ended at " + clock(expires), "make another one, and have two people vouch for it"}
	case i >= 0 && s.keys[i].Person != k.Person:
		return sameKey()
	case holder < 0 || !until.IsZero() && !now.Before(until):
		return &Refusal{RuleUnknownPerson, "the owner of the key is not in the configuration, or may not sign in any more", "people and roles stand in the configuration"}
	case k.How == HowBootstrap && i < 0:
		return &Refusal{RuleKeyUnknown, "the key was taken from the configuration and does not stand there any more", "put it back, or have two people vouch for another one"}
	}
	return nil
}

// signer gives the person whose key signed, if the key counts now.
func (g *Gate) signer(now time.Time, id string, fits func(pub []byte) error) (string, error) {
	s := g.settings.Load()
	g.keys.Lock()
	k, enrolled := g.keys.ring[id]
	g.keys.Unlock()
	if !enrolled {
		why := "no such key is enrolled here"
		if slices.ContainsFunc(s.keys, func(x EnrolledKey) bool { return x.ID == id }) {
			why = "the key stands in the configuration and two people have not vouched for it yet"
		}
		return "", &Refusal{RuleKeyUnknown, why, "cordon gate keys lists those that count; cordon gate enrol and cordon gate vouch make one count"}
	}
	pub, err := sign.ParsePublic(k.Public)
	if err == nil {
		err = fits(pub)
	}
	if err != nil {
		return "", &Refusal{RuleSignature, "the signature does not fit: the statement was changed after it was signed, or another key signed it", "sign the ticket again"}
	}
	if r := s.standing(k, now); r != nil {
		return "", r
	}
	return k.Person, nil
}

// enrol takes the file of an enrolment.
func (g *Gate) enrol(ctx context.Context, f sign.EnrolmentFile, courier string) (Key, error) {
	if err := g.begin(ctx); err != nil {
		return Key{}, err
	}
	defer g.leave()
	s, now := g.settings.Load(), g.clock.now()
	owner := s.names[f.Person]
	if !slices.ContainsFunc(s.people, func(h Holder) bool { return h.Person == owner && owner != "" }) {
		return Key{}, &Refusal{RuleUnknownPerson, "the gate does not know whose key it is", "people and roles stand in the configuration"}
	}
	e := f.Enrolment
	if !now.Before(e.Expires) {
		return Key{}, &Refusal{RuleKeyExpired, "the key ended at " + clock(e.Expires), "make another one"}
	}
	if slices.ContainsFunc(s.keys, func(k EnrolledKey) bool { return k.ID == e.Key && k.Person != owner }) {
		return Key{}, sameKey()
	}
	ev := KeysEnrolled{How: HowVouched, Keys: []EnrolledKey{{ID: e.Key, Public: e.Public, Person: owner, Expires: e.Expires}}, Enrolment: &e, By: courier}
	for _, v := range f.Vouches {
		who, err := g.voucher(s, now, e, v)
		if err != nil {
			return Key{}, err
		}
		ev.Vouches = append(ev.Vouches, VouchOf{who, v})
	}
	if err := g.enrolled(ctx, ev); err != nil {
		return Key{}, err
	}
	g.keep(ctx)
	g.keys.Lock()
	defer g.keys.Unlock()
	return g.keys.ring[e.Key], nil
}

// voucher gives who signed for a key, if that person may.
func (g *Gate) voucher(s *settings, now time.Time, e sign.Enrolment, v sign.Vouch) (string, error) {
	who, err := g.signer(now, v.Key, func(pub []byte) error { return v.Verify(e, pub) })
	if err != nil {
		return "", err
	}
	switch {
	case !slices.Contains(s.rules.Roles, v.Role):
		return "", &Refusal{RuleRoleNotApproving, fmt.Sprintf("the role %.60q does not approve, so it does not vouch", v.Role), "roles that do: " + strings.Join(s.rules.Roles, ", ")}
	case !mayAct(s.people, who, v.Role, now):
		return "", &Refusal{RuleRoleNotHeld, "who vouched does not hold the role " + v.Role + " now, or is absent", "vouch in a role that is held, while present"}
	}
	return who, nil
}

// ErrKeyUnlogged says that a key was ended on this node alone: after a restart it would count again.
var ErrKeyUnlogged = errors.New("approval: the key counts no more while this node runs, and the log does not have it yet: revoke it again")

// RevokeKey ends a key now: its owner may, and any one who holds an approving role. What ends is closed first: the key counts no more even if the log cannot be written
// (ErrKeyUnlogged).
func (g *Gate) RevokeKey(ctx context.Context, id, person, why string) (Key, error) {
	who, err := g.settings.Load().person(person)
	if err == nil {
		err = checkText(why, true)
	}
	if err != nil {
		return Key{}, err
	}
	if err := g.begin(ctx); err != nil {
		if _, refused := g.shutKey(id, who, why); refused != nil {
			return Key{}, err
		}
		return Key{}, fmt.Errorf("%w: %w", ErrKeyUnlogged, err)
	}
	defer g.leave()
	ev, err := g.shutKey(id, who, why)
	if err != nil {
		return Key{}, err
	}
	seq, err := g.write(context.WithoutCancel(ctx), ev)
	if err != nil {
		return Key{}, fmt.Errorf("%w: %w", ErrKeyUnlogged, err)
	}
	g.keys.Lock()
	g.keys.ring.revoke(seq, g.clock.now(), ev)
	g.keys.upto = max(g.keys.upto, seq+1)
	k := g.keys.ring[id]
	g.keys.Unlock()
	g.keep(ctx)
	return k, nil
}

// shutKey ends a key on this node, if who may, and gives what the log is to say of it.
func (g *Gate) shutKey(id, who, why string) (KeyRevoked, error) {
	s := g.settings.Load()
	g.keys.Lock()
	defer g.keys.Unlock()
	k, ok := g.keys.ring[id]
	switch {
	case !ok:
		return KeyRevoked{}, &Refusal{RuleKeyUnknown, "no such key is enrolled here", "cordon gate keys lists them; one that stands in the configuration alone does not count anyway"}
	case k.Person != who && !(&Record{People: s.people}).holdsAny(who, s.rules.Roles...):
		return KeyRevoked{}, &Refusal{RuleRoleNotHeld, "the person may not revoke the key", "its owner may, and anybody in an approving role"}
	case k.Revocation > 0:
		return KeyRevoked{}, &Refusal{RuleKeyRevoked, "the key was revoked at " + clock(k.RevokedAt), "there is nothing left to do"}
	}
	ev := KeyRevoked{ID: id, Person: k.Person, By: who, Why: why}
	g.keys.ring.revoke(0, g.clock.now(), ev)
	return ev, nil
}

// keysOf reads the keys of the configuration. Errors name people by their places.
func keysOf(people []Person, names map[string]string) ([]EnrolledKey, error) {
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

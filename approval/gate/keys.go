package gate

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
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

const ruleConfiguration = approval.ByRule + "configuration"

// keys are what the gate knows of people's keys.
type keys struct {
	sync.Mutex
	ring keyring.Ring
	upto uint64 // entries of the log that are in it
}

// savedKeys is the value of the store.
type savedKeys struct {
	Upto uint64        `json:"upto"`
	Keys []keyring.Key `json:"keys"`
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
			if err := ring.Take(e); err != nil {
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
func (g *Gate) loadKeys(ctx context.Context, size uint64) (keyring.Ring, uint64, uint64, error) {
	item, err := g.c.KV.Get(ctx, g.keysKey())
	if errors.Is(err, state.ErrNotFound) {
		return keyring.Ring{}, 0, 0, nil
	}
	if err != nil {
		return nil, 0, 0, fmt.Errorf("approval: reading keys: %w", err)
	}
	var saved savedKeys
	ring := keyring.Ring{}
	sound := json.Unmarshal(item.Data, &saved) == nil && saved.Upto <= size
	for i := 0; sound && i < len(saved.Keys); i++ {
		if sound, err = g.keyBacked(ctx, saved.Keys[i], size); err != nil {
			return nil, 0, 0, err
		}
		ring[saved.Keys[i].ID] = saved.Keys[i]
	}
	if !sound {
		g.repaired("keys", "the store holds what the log does not")
		return keyring.Ring{}, 0, item.Rev, nil
	}
	return ring, saved.Upto, item.Rev, nil
}

// keyBacked says whether the entries that a key of the store names do say that.
func (g *Gate) keyBacked(ctx context.Context, k keyring.Key, size uint64) (bool, error) {
	if k.Entry >= size || k.Revocation >= size {
		return false, nil
	}
	entries, err := g.entries(ctx, k.Entry, k.Entry+1)
	if err != nil {
		return false, err
	}
	var ev keyring.KeysEnrolled
	if entries[0].Kind != audit.KindKeyEnrolled || json.Unmarshal(entries[0].Body, &ev) != nil || ev.How != k.How {
		return false, nil
	}
	same := func(x keyring.EnrolledKey) bool {
		return x.ID == k.ID && x.Public == k.Public && x.Person == k.Person && x.Expires.Equal(k.Expires)
	}
	if !slices.ContainsFunc(ev.Keys, same) || k.Revocation == 0 {
		return slices.ContainsFunc(ev.Keys, same) && k.RevokedAt.IsZero(), nil
	}
	entries, err = g.entries(ctx, k.Revocation, k.Revocation+1)
	if err != nil {
		return false, err
	}
	var end keyring.KeyRevoked
	return entries[0].Kind == audit.KindKeyRevoked && json.Unmarshal(entries[0].Body, &end) == nil && end.ID == k.ID, nil
}

// saveKeys keeps what is known for the next start. It may fail: then that reads more of the log.
func (g *Gate) saveKeys(ctx context.Context, rev uint64) {
	g.keys.Lock()
	saved := savedKeys{Upto: g.keys.upto, Keys: g.keys.ring.Sorted()}
	g.keys.Unlock()
	// What could not be logged yet is not in the log: it must not look as if it were.
	if slices.ContainsFunc(saved.Keys, func(k keyring.Key) bool { return !k.RevokedAt.IsZero() && k.Revocation == 0 }) {
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
	rooted := g.keys.ring.Rooted()
	g.keys.Unlock()
	if rooted || len(s.keys) == 0 {
		return false, nil
	}
	return true, g.enrolled(ctx, keyring.KeysEnrolled{How: keyring.HowBootstrap, Keys: slices.Clone(s.keys), By: ruleConfiguration})
}

// enrolled judges an enrolment, logs it and lets it count.
func (g *Gate) enrolled(ctx context.Context, ev keyring.KeysEnrolled) error {
	g.keys.Lock()
	now := g.clock.now()
	err := g.keys.ring.Check(now, now, ev)
	g.keys.Unlock()
	if err != nil {
		return err
	}
	seq, err := g.write(context.WithoutCancel(ctx), ev)
	if err != nil {
		return fmt.Errorf("approval: no key counts, because the log could not be written: %w", err)
	}
	g.keys.Lock()
	g.keys.ring.Enrol(seq, g.clock.now(), ev)
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
func (g *Gate) Keys() []keyring.Standing {
	s, now := g.settings.Load(), g.clock.now()
	g.keys.Lock()
	defer g.keys.Unlock()
	var out []keyring.Standing
	for _, k := range g.keys.ring.Sorted() {
		x := keyring.Standing{Key: k, Counts: true}
		if r := s.standing(k, now); r != nil {
			x.Counts, x.Why = false, r.Detail
		}
		out = append(out, x)
	}
	for _, k := range s.keys {
		if _, enrolled := g.keys.ring[k.ID]; !enrolled {
			out = append(out, keyring.Standing{Key: keyring.Key{ID: k.ID, Public: k.Public, Person: k.Person, Expires: k.Expires}, Why: "it stands in the configuration and waits for two people who vouch for it"})
		}
	}
	return out
}

// standing says why an enrolled key does not count at a time; nil when it does.
func (s *settings) standing(k keyring.Key, now time.Time) *approval.Refusal {
	expires := k.Expires
	i := slices.IndexFunc(s.keys, func(x keyring.EnrolledKey) bool { return x.ID == k.ID })
	if i >= 0 && s.keys[i].Expires.Before(expires) {
		expires = s.keys[i].Expires
	}
	holder := slices.IndexFunc(s.people, func(h approval.Holder) bool { return h.Person == k.Person })
	switch until := s.until[k.Person]; {
	case !k.RevokedAt.IsZero():
		return approval.Refuse(approval.RuleKeyRevoked, "the key was revoked at "+approval.When(k.RevokedAt)+": "+k.RevokedWhy, "a revoked key never counts again: make another one")
	case !now.Before(expires):
		return approval.Refuse(approval.RuleKeyExpired, "the key ended at "+approval.When(expires), "make another one, and have two people vouch for it")
	case i >= 0 && s.keys[i].Person != k.Person:
		return approval.SharedKey()
	case holder < 0 || !until.IsZero() && !now.Before(until):
		return approval.Refuse(approval.RuleUnknownPerson, "the owner of the key is not in the configuration, or may not sign in any more", "people and roles stand in the configuration")
	case k.How == keyring.HowBootstrap && i < 0:
		return approval.Refuse(approval.RuleKeyUnknown, "the key was taken from the configuration and does not stand there any more", "put it back, or have two people vouch for another one")
	}
	return nil
}

// Signer gives the person (a pseudonym) whose key signed something beside tickets, if the key counts now. fits says whether that public key signed.
func (g *Gate) Signer(id string, fits func(pub []byte) error) (string, error) {
	return g.signer(g.clock.now(), id, fits)
}

// signer gives the person whose key signed, if the key counts now.
func (g *Gate) signer(now time.Time, id string, fits func(pub []byte) error) (string, error) {
	s := g.settings.Load()
	g.keys.Lock()
	k, enrolled := g.keys.ring[id]
	g.keys.Unlock()
	if !enrolled {
		why := "no such key is enrolled here"
		if slices.ContainsFunc(s.keys, func(x keyring.EnrolledKey) bool { return x.ID == id }) {
			why = "the key stands in the configuration and two people have not vouched for it yet"
		}
		return "", approval.Refuse(approval.RuleKeyUnknown, why, "cordon gate keys lists those that count; cordon gate enrol and cordon gate vouch make one count")
	}
	pub, err := sign.ParsePublic(k.Public)
	if err == nil {
		err = fits(pub)
	}
	if err != nil {
		return "", approval.Refuse(approval.RuleSignature, "the signature does not fit: the statement was changed after it was signed, or another key signed it", "sign the ticket again")
	}
	if r := s.standing(k, now); r != nil {
		return "", r
	}
	return k.Person, nil
}

// enrol takes the file of an enrolment.
func (g *Gate) enrol(ctx context.Context, f sign.EnrolmentFile, courier string) (keyring.Key, error) {
	if err := g.begin(ctx); err != nil {
		return keyring.Key{}, err
	}
	defer g.leave()
	s, now := g.settings.Load(), g.clock.now()
	owner := s.names[f.Person]
	if !slices.ContainsFunc(s.people, func(h approval.Holder) bool { return h.Person == owner && owner != "" }) {
		return keyring.Key{}, approval.Refuse(approval.RuleUnknownPerson, "the gate does not know whose key it is", "people and roles stand in the configuration")
	}
	e := f.Enrolment
	if !now.Before(e.Expires) {
		return keyring.Key{}, approval.Refuse(approval.RuleKeyExpired, "the key ended at "+approval.When(e.Expires), "make another one")
	}
	if slices.ContainsFunc(s.keys, func(k keyring.EnrolledKey) bool { return k.ID == e.Key && k.Person != owner }) {
		return keyring.Key{}, approval.SharedKey()
	}
	ev := keyring.KeysEnrolled{How: keyring.HowVouched, Keys: []keyring.EnrolledKey{{ID: e.Key, Public: e.Public, Person: owner, Expires: e.Expires}}, Enrolment: &e, By: courier}
	for _, v := range f.Vouches {
		who, err := g.voucher(s, now, e, v)
		if err != nil {
			return keyring.Key{}, err
		}
		ev.Vouches = append(ev.Vouches, keyring.VouchOf{Person: who, Vouch: v})
	}
	if err := g.enrolled(ctx, ev); err != nil {
		return keyring.Key{}, err
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
		return "", approval.Refuse(approval.RuleRoleNotApproving, fmt.Sprintf("the role %.60q does not approve, so it does not vouch", v.Role), "roles that do: "+strings.Join(s.rules.Roles, ", "))
	case !approval.MayAct(s.people, who, v.Role, now):
		return "", approval.Refuse(approval.RuleRoleNotHeld, "who vouched does not hold the role "+v.Role+" now, or is absent", "vouch in a role that is held, while present")
	}
	return who, nil
}

// RevokeKey ends a key now: its owner may, and any one who holds an approving role. What ends is closed first: the key counts no more even if the log cannot be written
// (keyring.ErrUnlogged).
func (g *Gate) RevokeKey(ctx context.Context, id, person, why string) (keyring.Key, error) {
	who, err := g.settings.Load().person(person)
	if err == nil {
		err = approval.CheckText(why, true)
	}
	if err != nil {
		return keyring.Key{}, err
	}
	if err := g.begin(ctx); err != nil {
		if _, refused := g.shutKey(id, who, why); refused != nil {
			return keyring.Key{}, err
		}
		return keyring.Key{}, fmt.Errorf("%w: %w", keyring.ErrUnlogged, err)
	}
	defer g.leave()
	ev, err := g.shutKey(id, who, why)
	if err != nil {
		return keyring.Key{}, err
	}
	seq, err := g.write(context.WithoutCancel(ctx), ev)
	if err != nil {
		return keyring.Key{}, fmt.Errorf("%w: %w", keyring.ErrUnlogged, err)
	}
	g.keys.Lock()
	g.keys.ring.Revoke(seq, g.clock.now(), ev)
	g.keys.upto = max(g.keys.upto, seq+1)
	k := g.keys.ring[id]
	g.keys.Unlock()
	g.keep(ctx)
	return k, nil
}

// shutKey ends a key on this node, if who may, and gives what the log is to say of it.
func (g *Gate) shutKey(id, who, why string) (keyring.KeyRevoked, error) {
	s := g.settings.Load()
	g.keys.Lock()
	defer g.keys.Unlock()
	k, ok := g.keys.ring[id]
	switch {
	case !ok:
		return keyring.KeyRevoked{}, approval.Refuse(approval.RuleKeyUnknown, "no such key is enrolled here", "cordon gate keys lists them; one that stands in the configuration alone does not count anyway")
	case k.Person != who && !(&approval.Record{People: s.people}).HoldsAny(who, s.rules.Roles...):
		return keyring.KeyRevoked{}, approval.Refuse(approval.RuleRoleNotHeld, "the person may not revoke the key", "its owner may, and anybody in an approving role")
	case k.Revocation > 0:
		return keyring.KeyRevoked{}, approval.Refuse(approval.RuleKeyRevoked, "the key was revoked at "+approval.When(k.RevokedAt), "there is nothing left to do")
	}
	ev := keyring.KeyRevoked{ID: id, Person: k.Person, By: who, Why: why}
	g.keys.ring.Revoke(0, g.clock.now(), ev)
	return ev, nil
}

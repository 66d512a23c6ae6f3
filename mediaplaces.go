package cordon

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

// Addresses of media come with the descriptions of strangers, one by one and as many as they like. So they are remembered apart from targets, within a bound of
// their own, and what a description names in vain is refused there and then: the policy in force changes only for addresses that packets go to, or may go to by a
// candidate, and there are no more of these than calls.
const (
	mediaShards   = 64
	mediaInShard  = 128         // addresses: 8,192 in all
	mediaFresh    = weighEvery  // an assessment is good for that long
	mediaRests    = time.Minute // a contradiction stays in force for that long after its address was reached last
	maxCandidates = 1024        // contradictions in force beyond which no candidate adds one
	maxReached    = 8192        // addresses that wait to be looked at
	mediaPrefix   = "place.media."
)

// mediaPlaces is what is known of addresses of media.
type mediaPlaces struct {
	seed   maphash.Seed
	shards [mediaShards]mediaShard

	reached struct {
		sync.Mutex
		list []reached
		wake chan struct{} // holds one when there are some
	}

	held map[placeKey]*heldMedia // contradictions in force; guarded by the keeper's mu, as is gone
	gone []placeKey              // of those that ended, and the state still has
}

type mediaShard struct {
	sync.RWMutex
	places map[placeKey]*mediaPlace
}

// mediaPlace is one address as it was weighed. Nobody changes it, but for used.
type mediaPlace struct {
	on      basis
	at      time.Time
	told    string // as place.told
	against *sovereign.Contradiction
	proofs  []audit.Evidence // for receipts
	used    atomic.Int64     // when somebody asked for it last, unix ns
}

// heldMedia is a contradiction in force.
type heldMedia struct {
	against *sovereign.Contradiction
	told    string    // as place.told
	seen    time.Time // when its address was reached last
	dirty   bool      // the state has another one
}

// reached is an address that packets go to, or may go to.
type reached struct {
	key   placeKey
	flows bool
}

// basis is what assessments rest on besides time and measurements: another one makes them void.
type basis struct {
	cfg           *configs.Config
	atlas, within *sovereign.Atlas
}

func newMediaPlaces() *mediaPlaces {
	m := &mediaPlaces{seed: maphash.MakeSeed(), held: map[placeKey]*heldMedia{}}
	m.reached.wake = make(chan struct{}, 1)
	return m
}

func (k *placeKeeper) basis() basis {
	snap := k.node.fence.Snapshot()
	b := basis{cfg: k.node.cfg.Load(), atlas: snap.Atlas()}
	if w := snap.Within(); w != nil {
		b.within = w.Atlas()
	}
	return b
}

func (m *mediaPlaces) shard(key placeKey) *mediaShard {
	return &m.shards[maphash.Comparable(m.seed, key.addr)%mediaShards]
}

// get is what is known of an address, however old; nil: nothing.
func (m *mediaPlaces) get(key placeKey) *mediaPlace {
	s := m.shard(key)
	s.RLock()
	defer s.RUnlock()
	return s.places[key]
}

// fresh is what is known of an address and still counts.
func (m *mediaPlaces) fresh(key placeKey, on basis, now time.Time) *mediaPlace {
	p := m.get(key)
	if p == nil || p.on != on || now.Sub(p.at) >= mediaFresh || now.Before(p.at) {
		return nil
	}
	p.used.Store(now.UnixNano())
	return p
}

// put remembers an address. Where there is no room, the one that nobody asked for longest goes.
func (m *mediaPlaces) put(key placeKey, p *mediaPlace) {
	s := m.shard(key)
	s.Lock()
	defer s.Unlock()
	if _, known := s.places[key]; !known && len(s.places) >= mediaInShard {
		var oldest placeKey
		since := int64(0)
		for other, q := range s.places {
			if at := q.used.Load(); since == 0 || at < since {
				oldest, since = other, at
			}
		}
		delete(s.places, oldest)
	}
	if s.places == nil {
		s.places = map[placeKey]*mediaPlace{}
	}
	p.used.Store(p.at.UnixNano())
	s.places[key] = p
}

// named is asked about each address of media that a description names, before the fence is: media.Config.Weigh. What was weighed lately costs a look-up.
func (k *placeKeeper) named(a sovereign.Ask) *sovereign.Ruling {
	now := time.Now()
	key := placeKey{a.Party, plainAddr(a.Addr.Addr())}
	p := k.mediaPlace(key, now)
	if p.against == nil {
		return nil
	}
	a.At = now
	snap := k.node.fence.Snapshot()
	r := snap.Bearing(append(snap.Contradicted(), *p.against)).Judge(a)
	switch {
	case !r.Permitted():
		k.node.refusals.add(a, r)
		return &r
	case r.Ground == sovereign.GroundGrant: // when that ends, so must what it permits
		k.mu.Lock()
		defer k.mu.Unlock()
		if k.hold(key, p.against, now) {
			k.apply()
		}
	}
	return nil
}

// mediaPlace is what is known of an address, weighed now where it was not lately.
func (k *placeKeeper) mediaPlace(key placeKey, now time.Time) *mediaPlace {
	if p := k.media.fresh(key, k.basis(), now); p != nil {
		return p
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	p, changed := k.weighMedia(key, now)
	if changed {
		k.apply()
	}
	return p
}

// weighMedia weighs an address of media and says whether what is in force must change. An address that is a target's, too, is weighed and told of as that. mu is held.
func (k *placeKeeper) weighMedia(key placeKey, now time.Time) (p *mediaPlace, changed bool) {
	on := k.basis()
	if p = k.media.fresh(key, on, now); p != nil {
		return p, false
	}
	p = &mediaPlace{on: on, at: now}
	var found evidence.Assessment
	if target := k.places[key]; target != nil {
		changed = k.consider(key, target.host, now)
		found, p.told, p.against = target.found, target.told, target.against
	} else {
		as := place{weighed: now, media: true}
		p.against = k.speaks(&as, key)
		found, p.told = as.found, token(&as, p.against)
		was := ""
		if old := k.media.get(key); old != nil {
			was = old.told
		} else if h := k.media.held[key]; h != nil { // of an earlier run
			was = h.told
		}
		if p.told != was {
			k.tell(key, &as, p.against)
		}
	}
	p.proofs = carried(found.Items, evidence.Declared)
	k.media.put(key, p)
	if h := k.media.held[key]; h != nil && p.against == nil {
		changed = true
		k.release(key)
	} else if h != nil && *h.against != *p.against {
		changed = k.hold(key, p.against, h.seen) || changed
	}
	return p, changed
}

// hold puts a contradiction in force and says whether that changes anything. mu is held.
func (k *placeKeeper) hold(key placeKey, against *sovereign.Contradiction, seen time.Time) (changed bool) {
	h := k.media.held[key]
	if h == nil {
		h = &heldMedia{}
		k.media.held[key] = h
	}
	h.seen = seen
	if h.against != nil && *h.against == *against {
		return false
	}
	h.against, h.dirty = against, true
	if p := k.media.get(key); p != nil {
		h.told = p.told
	}
	return true
}

// release ends a contradiction. mu is held.
func (k *placeKeeper) release(key placeKey) {
	delete(k.media.held, key)
	k.media.gone = append(k.media.gone, key)
}

// reached is told of where packets go, or may go: media.Config.Reached. It waits for nothing; what is not known to be in order is weighed by Follow at once.
func (k *placeKeeper) reached(party string, addr netip.Addr, flows bool) {
	key := placeKey{party, plainAddr(addr)}
	if p := k.media.fresh(key, k.basis(), time.Now()); p != nil && p.against == nil {
		return
	}
	r := &k.media.reached
	r.Lock()
	defer r.Unlock()
	if len(r.list) == maxReached {
		return // those that packets go to are found within weighEvery
	}
	r.list = append(r.list, reached{key, flows})
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Follow weighs the addresses that packets go to, or may go to, until ctx ends: what a far end moved to may never have stood in a description.
func (k *placeKeeper) Follow(ctx context.Context) error {
	r := &k.media.reached
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-r.wake:
		}
		r.Lock()
		list := r.list
		r.list = nil
		r.Unlock()
		k.follow(list)
	}
}

func (k *placeKeeper) follow(list []reached) {
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	changed := false
	for _, r := range list {
		p, c := k.weighMedia(r.key, now)
		changed = changed || c
		if p.against != nil && (r.flows || len(k.media.held) < maxCandidates) {
			changed = k.hold(r.key, p.against, now) || changed
		}
	}
	if changed {
		k.apply()
	}
}

// reaches is every address that packets of calls go to.
func (k *placeKeeper) reaches() map[placeKey]struct{} {
	out := map[placeKey]struct{}{}
	if k.node.relay != nil {
		k.node.relay.Reaches(func(party string, addr netip.Addr) { out[placeKey{party, plainAddr(addr)}] = struct{}{} })
	}
	return out
}

// sweepMedia weighs what packets go to, and lets go what nobody reached for some time. mu is held.
func (k *placeKeeper) sweepMedia(used map[placeKey]struct{}, now time.Time) (changed bool) {
	for key := range used {
		p, c := k.weighMedia(key, now)
		changed = changed || c
		if p.against != nil {
			changed = k.hold(key, p.against, now) || changed
		}
	}
	for key, h := range k.media.held {
		if _, ok := used[key]; ok {
			continue
		}
		if now.Sub(h.seen) >= mediaRests {
			k.release(key)
			changed = true
			continue
		}
		_, c := k.weighMedia(key, now)
		changed = changed || c
	}
	return changed
}

// mediaProofs is what the receipt of a call says of an address that its media went to.
func (k *placeKeeper) mediaProofs(party string, addr netip.Addr) []audit.Evidence {
	key := placeKey{party, plainAddr(addr)}
	if p := k.media.get(key); p != nil && p.on == k.basis() {
		return p.proofs
	}
	return k.mediaPlace(key, time.Now()).proofs
}

// keepMedia gives what changed of the contradictions in force, and what of them ended. mu is held.
func (k *placeKeeper) keepMedia(out map[string]any) (gone []string) {
	m := k.media
	for key, h := range m.held {
		if h.dirty {
			out[mediaKey(key)] = kept{key.party, key.addr, h.told, h.against, h.seen.UTC()}
			h.dirty = false
		}
	}
	for _, key := range m.gone {
		if m.held[key] == nil {
			gone = append(gone, mediaKey(key))
		}
	}
	m.gone = nil
	return gone
}

func mediaKey(key placeKey) string { return mediaPrefix + shortHash(key.party, key.addr.String()) }

// recallMedia takes up what was in force when the last run ended: its calls may be up still. mu is held.
func (k *placeKeeper) recallMedia(ctx context.Context, now time.Time) error {
	return each(ctx, k.node.kv, mediaPrefix, func(p kept) {
		if p.Against != nil {
			k.media.held[placeKey{p.Party, p.Addr}] = &heldMedia{against: p.Against, told: p.Told, seen: now}
		}
	})
}

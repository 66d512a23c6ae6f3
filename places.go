package cordon

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
	"github.com/cordonsip/cordon/state"
	"github.com/prometheus/client_golang/prometheus"
)

const (
	weighEvery = 5 * time.Second     // how often what is known of all targets is weighed
	placeGone  = 30 * 24 * time.Hour // what was found of an address that nobody uses any more is forgotten then
	maxPlaces  = 8192                // addresses that are remembered
)

// placeKeeper weighs the evidence on every address that is or may be contacted, sees to it that what strong evidence contradicts is held, and tells the log what
// changed, each once, over restarts too.
type placeKeeper struct {
	node     *Node
	standing *prometheus.GaugeVec
	drifts   *prometheus.CounterVec
	stale    prometheus.Gauge
	wake     chan struct{}                                 // something waits for the log
	proofs   atomic.Pointer[map[placeKey][]audit.Evidence] // for receipts; none of them changes

	mu     sync.Mutex // guards all below and the order in which contradictions take effect; taken before the policy's
	sights map[netip.Addr]*ownSight
	places map[placeKey]*place
	drift  map[string]*familiar
	shown  map[string]identity // of TLS, by party and address
	events []audit.Event       // that wait for the log

	media *mediaPlaces

	applied bool // contradictions in force changed since the log was told last

	outsiders int // places of the inventory, when they were counted last
}

// placeKey is one address as one party uses it.
type placeKey struct {
	party string
	addr  netip.Addr
}

// place is what is known of one address of one party.
type place struct {
	host    string
	claim   evidence.Claim
	found   evidence.Assessment
	against *sovereign.Contradiction // in force; nil: none
	told    string                   // what the log was last told: see token
	weighed time.Time
	dirty   bool
	outside bool // it is one of the inventory
	media   bool // it is one of media alone
}

// ownSight is what this node measured toward an address, under one claim and from one position: another declaration begins anew, because the address may have moved.
type ownSight struct {
	claim string
	evidence.Sight
	dirty bool
}

func newPlaceKeeper(n *Node) (*placeKeeper, error) {
	k := &placeKeeper{
		node: n, wake: make(chan struct{}, 1), sights: map[netip.Addr]*ownSight{}, places: map[placeKey]*place{}, drift: map[string]*familiar{},
		shown: map[string]identity{}, media: newMediaPlaces(),
		standing: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cordon_place_addresses", Help: "Addresses of targets by what evidence says of their declared place.",
		}, []string{"standing"}),
		drifts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cordon_place_drifts_total", Help: "New prefixes, TLS identities and countries of parties.",
		}, []string{"what"}),
	}
	k.stale = prometheus.NewGauge(prometheus.GaugeOpts{Name: "cordon_place_evidence_stale", Help: "Files of evidence that count less than they did: a signature expired."})
	for _, s := range []evidence.Standing{evidence.Undeclared, evidence.Contradicted, evidence.Doubted, evidence.Supported, evidence.Unsupported} {
		k.standing.WithLabelValues(string(s))
	}
	for _, what := range []string{driftPrefix, driftIdentity, driftCountry} {
		k.drifts.WithLabelValues(what)
	}
	return k, errors.Join(n.opts.Metrics.Register(k.standing), n.opts.Metrics.Register(k.drifts), n.opts.Metrics.Register(k.stale))
}

// locate is the resolver's, with every answer weighed before anybody may use it.
func (k *placeKeeper) locate(ctx context.Context, q resolve.Query) (resolve.Answer, error) {
	if to := k.node.movedTo(q); to != "" {
		return k.node.movedAnswer(ctx, q, to)
	}
	a, err := k.node.resolver.Locate(ctx, q)
	if err != nil {
		return a, err
	}
	now := time.Now()
	k.mu.Lock()
	defer k.mu.Unlock()
	changed := false
	for _, l := range a.Located {
		changed = k.consider(placeKey{q.Party, plainAddr(l.Addr.Addr())}, q.Host, now) || changed
	}
	if changed {
		k.apply()
		for i := range a.Located {
			l := &a.Located[i]
			l.Ruling = k.node.judge(sovereign.Ask{Party: q.Party, Plane: sovereign.Signalling, Addr: l.Addr, At: now})
		}
	}
	return a, nil
}

func plainAddr(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// measured is told of each answered probe. It waits for no more than a look at what is known.
func (k *placeKeeper) measured(t healthcheck.Target, rtt time.Duration) {
	at := k.node.cfg.Load().Evidence.At
	if at == nil || rtt <= 0 {
		return
	}
	now, addr := time.Now(), plainAddr(t.Addr.Addr())
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sight(addr, k.claim(placeKey{t.Party, addr}, now), *at)
	if s != nil && s.Add(rtt, now.UTC()) {
		s.dirty = true
	}
}

// sight is what this node measured under a claim, begun anew where the claim or the position is another; nil when there is no room. mu is held.
func (k *placeKeeper) sight(addr netip.Addr, c evidence.Claim, at evidence.Spot) *ownSight {
	name := claimName(c, at)
	s := k.sights[addr]
	if s == nil && len(k.sights) >= maxPlaces {
		return nil
	}
	if s == nil || s.claim != name {
		s = &ownSight{claim: name, Sight: evidence.Sight{Node: k.node.opts.Config.File.Node.Name, At: at}}
		k.sights[addr] = s
	}
	return s
}

// claimName tells one claim, measured from one position, from another.
func claimName(c evidence.Claim, at evidence.Spot) string {
	text := fmt.Sprintf("%s|%v|%s|%v", c.Region, c.Countries, c.Contract, at)
	if c.Spot != nil {
		text += fmt.Sprintf("|%v", *c.Spot)
	}
	return shortHash(text)
}

func shortHash(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// claim is what is declared of an address: by its prefix, or where several regions share that, by the party that is reached there. While a wider policy waits, what
// people accepted of an address is what is measured.
func (k *placeKeeper) claim(key placeKey, now time.Time) evidence.Claim {
	return k.claimOf(k.accepted(), key, now)
}

// accepted is the policy in force, or the one that people accepted while a wider one waits.
func (k *placeKeeper) accepted() *sovereign.Snapshot {
	snap := k.node.fence.Snapshot()
	if w := snap.Within(); w != nil {
		return w
	}
	return snap
}

// claimOf is what one policy declares of an address.
func (k *placeKeeper) claimOf(snap *sovereign.Snapshot, key placeKey, now time.Time) evidence.Claim {
	cfg := k.node.cfg.Load()
	p := snap.Atlas().Locate(key.addr, now)
	c := evidence.Claim{Contract: p.Contract}
	for _, cc := range p.Countries {
		c.Countries = append(c.Countries, string(cc))
	}
	region := p.Region
	if party, ok := snap.Party(key.party); ok && region.IsZero() && p.Known() && party.Contract != "" {
		if f, ok := snap.Catalogue().Lookup(party.Region); ok && slices.Contains(p.Countries, f.Country) {
			region, c.Countries, c.Contract = party.Region, []string{string(f.Country)}, party.Contract
		}
	}
	if declared, ok := entryClaim(cfg, key.party, snap); ok && !p.Known() {
		return declared
	}
	if !region.IsZero() {
		c.Region = region.String()
		c.Spot = cfg.Evidence.Spot(snap.Catalogue(), region)
	}
	return c
}

// consider weighs one address and says whether what is in force against it must change. mu is held.
func (k *placeKeeper) consider(key placeKey, host string, now time.Time) (changed bool) {
	p := k.places[key]
	if p == nil {
		if len(k.places) >= maxPlaces {
			return false
		}
		p = &place{}
		k.places[key] = p
	}
	p.host, p.weighed = host, now
	against := k.speaks(p, key)
	if token := token(p, against); token != p.told {
		k.tell(key, p, against)
		p.told, p.dirty = token, true
		changed = against != nil || p.against != nil
		p.against = against
	}
	return changed
}

// speaks weighs what is declared of an address, and gives what the fence is to hold. mu is held.
func (k *placeKeeper) speaks(p *place, key placeKey) *sovereign.Contradiction {
	against := k.assess(p, k.accepted(), key)
	if snap := k.node.fence.Snapshot(); snap.Within() != nil && against == nil {
		other := place{host: p.host, weighed: p.weighed} // as the file declares it meanwhile
		if against = k.assess(&other, snap, key); against != nil {
			p.claim, p.found = other.claim, other.found
		}
	}
	return against
}

// assess weighs what one policy declares of an address, and gives what the fence is to hold. mu is held.
func (k *placeKeeper) assess(p *place, snap *sovereign.Snapshot, key placeKey) *sovereign.Contradiction {
	cfg := k.node.cfg.Load()
	p.claim = k.claimOf(snap, key, p.weighed)
	p.found = evidence.Weigh(p.claim, k.items(cfg, key, p, p.weighed))
	return contradiction(key, p, cfg.Evidence.HoldWeak, snap)
}

// items are all that speak for or against a claim.
func (k *placeKeeper) items(cfg *configs.Config, key placeKey, p *place, now time.Time) []evidence.Item {
	var out []evidence.Item
	if p.claim.Declared() && p.claim.Contract != "" {
		out = append(out, evidence.Item{Kind: evidence.Declared, Value: p.claim.Contract, Result: evidence.Supports})
	}
	for _, t := range cfg.Evidence.Tables {
		if it, ok := t.Item(key.addr, p.claim, countryOf(k.node.fence.Snapshot().Catalogue()), now); ok {
			out = append(out, it)
		}
	}
	if id, ok := k.shown[key.party+" "+key.addr.String()]; ok {
		out = append(out, id.item(p.host))
	}
	var sights []evidence.Sight
	if at := cfg.Evidence.At; at != nil {
		if s := k.sights[key.addr]; s != nil && s.claim == claimName(p.claim, *at) && s.Samples > 0 {
			sights = append(sights, s.Sight)
		}
	}
	digests := map[string]string{}
	for _, s := range cfg.Evidence.Statements {
		for _, seen := range s.Sights {
			if plainAddr(seen.Addr) == key.addr {
				sights = append(sights, seen.Sight)
				digests[seen.Sight.Node] = s.Digest
			}
		}
	}
	return append(out, evidence.Bounds(p.claim, sights)...)
}

// countryOf looks up regions of providers.
func countryOf(c *sovereign.Catalogue) func(string) string {
	return func(name string) string {
		r, err := sovereign.ParseRegion(name)
		if err != nil {
			return ""
		}
		f, _ := c.Lookup(r)
		return string(f.Country)
	}
}

// contradiction is what an assessment asks the fence to hold; nil: nothing.
func contradiction(key placeKey, p *place, holdWeak bool, snap *sovereign.Snapshot) *sovereign.Contradiction {
	items, weak := p.found.Contradicted, false
	if p.found.Standing == evidence.Doubted && holdWeak {
		items, weak = p.found.Alarms, true
	}
	if p.found.Standing == evidence.Undeclared || len(items) == 0 {
		return nil // what is undeclared is denied without us
	}
	c := &sovereign.Contradiction{Addr: key.addr, Kind: string(items[0].Kind), Why: p.found.Words, Weak: weak}
	if snap.Atlas().Locate(key.addr, p.weighed).Region.IsZero() {
		c.Party = key.party // it is the party that says where in a shared prefix it is
	}
	return c
}

// token stands for what people were told of a place: figures that grow finer are no news.
func token(p *place, against *sovereign.Contradiction) string {
	if p.found.Standing != evidence.Contradicted && p.found.Standing != evidence.Doubted {
		return ""
	}
	words := []string{string(p.found.Standing), p.claim.Region, strings.Join(p.claim.Countries, " "), fmt.Sprint(against != nil)}
	for _, it := range append(slices.Clone(p.found.Contradicted), p.found.Alarms...) {
		words = append(words, string(it.Kind))
		if it.Kind != evidence.RTTBound {
			words = append(words, it.Value)
		}
	}
	return shortHash(words...)
}

// tell has the log hear of a place whose token is another one. mu is held.
func (k *placeKeeper) tell(key placeKey, p *place, against *sovereign.Contradiction) {
	if p.found.Standing != evidence.Contradicted && p.found.Standing != evidence.Doubted {
		k.queue(audit.PlaceCleared{Party: key.party, Addr: key.addr.String(), Region: p.claim.Region, Countries: p.claim.Countries, Why: p.found.Words})
		return
	}
	ev := audit.PlaceContradicted{
		Party: key.party, Addr: key.addr.String(), Region: p.claim.Region, Countries: p.claim.Countries, Standing: string(p.found.Standing), Effect: "alarm", Why: p.found.Words,
		Evidence: evidenceOf(p.found.Items),
	}
	if p.media {
		ev.Plane = sovereign.Media.String()
	}
	if against != nil {
		ev.Effect = "held"
	}
	k.queue(ev)
}

func evidenceOf(items []evidence.Item) []audit.Evidence {
	out := make([]audit.Evidence, len(items))
	for i, it := range items {
		out[i] = audit.Evidence{Kind: string(it.Kind), Value: it.Value, SourceDigest: it.SourceDigest, ObservedAt: it.ObservedAt, Result: string(it.Result)}
	}
	return out
}

// queue lets an event wait for the log. mu is held.
func (k *placeKeeper) queue(ev audit.Event) {
	k.events = append(k.events, ev)
	k.rouse()
}

// rouse has Run write to the log.
func (k *placeKeeper) rouse() {
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// apply puts all contradictions in force. mu is held, so that no older list overtakes a newer one.
func (k *placeKeeper) apply() {
	list := []sovereign.Contradiction{}
	for _, p := range k.places {
		if p.against != nil && !slices.Contains(list, *p.against) {
			list = append(list, *p.against)
		}
	}
	for _, h := range k.media.held {
		if !slices.Contains(list, *h.against) {
			list = append(list, *h.against)
		}
	}
	slices.SortFunc(list, func(a, b sovereign.Contradiction) int {
		if c := a.Addr.Compare(b.Addr); c != 0 {
			return c
		}
		return strings.Compare(a.Party+a.Why, b.Party+b.Why)
	})
	k.node.policy.contradict(list)
	k.applied = true
	k.rouse()
}

// Run weighs now and then and writes down what changed, until ctx ends.
func (k *placeKeeper) Run(ctx context.Context) error {
	tick := time.NewTicker(weighEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			k.write(last)
			return nil
		case <-k.wake:
		case <-tick.C:
			k.weigh()
		}
		k.write(ctx)
	}
}

// weigh looks at every target anew.
func (k *placeKeeper) weigh() {
	now := time.Now()
	table, used := k.node.checker.Table(), k.reaches()
	k.mu.Lock()
	defer k.mu.Unlock()
	changed := false
	for party, list := range table.ByParty {
		for _, s := range list {
			if s.Target.Addr.IsValid() {
				key := placeKey{party, plainAddr(s.Target.Addr.Addr())}
				changed = k.consider(key, s.Target.Name, now) || changed
				k.watch(key, s.Target.Name, now)
			}
		}
	}
	for key, p := range k.places { // of nobody any more, or of the inventory: what is in force must not outlive its reason
		if seen := p.weighed; p.against != nil && !seen.Equal(now) {
			changed = k.consider(key, p.host, now) || changed
			p.weighed = seen
		}
	}
	changed = k.sweepMedia(used, now) || changed
	changed = k.forget(now) || changed
	if changed {
		k.apply()
	}
	k.publish(now)
	k.outdated(now)
	k.standing.Reset()
	for _, s := range []evidence.Standing{evidence.Undeclared, evidence.Contradicted, evidence.Doubted, evidence.Supported, evidence.Unsupported} {
		k.standing.WithLabelValues(string(s))
	}
	for _, p := range k.places {
		if p.weighed.Equal(now) {
			k.standing.WithLabelValues(string(p.found.Standing)).Inc()
		}
	}
}

// publish makes what receipts carry of each address in use: all but the declaration and the identity, which a leg knows better. mu is held.
func (k *placeKeeper) publish(now time.Time) {
	out := map[placeKey][]audit.Evidence{}
	for key, p := range k.places {
		if !p.weighed.Equal(now) {
			continue
		}
		if list := carried(p.found.Items, evidence.Declared, evidence.TLSIdentity); list != nil {
			out[key] = list
		}
	}
	k.proofs.Store(&out)
}

// carried is what receipts carry of items, but for some kinds; nil for none.
func carried(items []evidence.Item, without ...evidence.Kind) []audit.Evidence {
	items = slices.DeleteFunc(slices.Clone(items), func(it evidence.Item) bool { return slices.Contains(without, it.Kind) })
	if len(items) == 0 {
		return nil
	}
	return evidenceOf(items)
}

// proven is what a receipt says of an address, besides what its leg saw.
func (k *placeKeeper) proven(party string, addr netip.Addr) []audit.Evidence {
	if m := k.proofs.Load(); m != nil {
		return (*m)[placeKey{party, plainAddr(addr)}]
	}
	return nil
}

// forget drops what nobody uses for long. mu is held.
func (k *placeKeeper) forget(now time.Time) (changed bool) {
	for key, p := range k.places {
		if now.Sub(p.weighed) < placeGone {
			continue
		}
		changed = changed || p.against != nil
		delete(k.places, key)
		delete(k.sights, key.addr)
	}
	return changed
}

// write hands what waits to the log and what changed to the state.
func (k *placeKeeper) write(ctx context.Context) {
	k.mu.Lock()
	events, applied := k.events, k.applied
	k.events, k.applied = nil, false
	k.mu.Unlock()
	for _, ev := range events {
		switch e := ev.(type) {
		case audit.PlaceContradicted:
			k.node.logger.Warn("evidence speaks against a declared place", "party", e.Party, "addr", e.Addr, "effect", e.Effect, "why", e.Why)
		case audit.PlaceCleared:
			k.node.logger.Info("nothing speaks against a declared place any more", "party", e.Party, "addr", e.Addr)
		case audit.PlaceDrifted:
			k.node.logger.Warn("something about a place is new", "what", e.What, "party", e.Party, "subject", e.Subject)
		case audit.PlaceEvidenceStale:
			k.node.logger.Warn("a file of evidence counts less", "what", e.What, "evidence", e.Evidence, "file", e.File, "why", e.Why)
		}
		if _, err := k.node.log.Append(context.WithoutCancel(ctx), ev); err != nil {
			k.node.logger.Error("a finding about a place could not be logged", "kind", ev.Kind(), "error", err)
		}
	}
	if applied {
		k.node.policy.after(ctx, "evidence")
	}
	k.keep(ctx)
}

// The keys of the state.
const (
	sightPrefix = "place.sight."
	toldPlace   = "place.told."
	driftPlace  = "place.known."
)

// kept is how a place is remembered over restarts: its contradiction is in force from the first moment of the next run.
type kept struct {
	Party   string                   `json:"party"`
	Addr    netip.Addr               `json:"addr"`
	Told    string                   `json:"told"`
	Against *sovereign.Contradiction `json:"against,omitempty"`
	Seen    time.Time                `json:"seen"`
}

// keptSight is how a sight is.
type keptSight struct {
	Addr  netip.Addr     `json:"addr"`
	Claim string         `json:"claim"`
	Sight evidence.Sight `json:"sight"`
}

// keep writes what changed into the state. What is not kept is found again after a restart, and told again.
func (k *placeKeeper) keep(ctx context.Context) {
	out := map[string]any{}
	k.mu.Lock()
	for addr, s := range k.sights {
		if s.dirty {
			out[sightPrefix+shortHash(addr.String())] = keptSight{addr, s.claim, s.Sight}
			s.dirty = false
		}
	}
	for key, p := range k.places {
		if p.dirty {
			out[toldPlace+shortHash(key.party, key.addr.String())] = kept{key.party, key.addr, p.told, p.against, p.weighed.UTC()}
			p.dirty = false
		}
	}
	for name, f := range k.drift {
		if f.dirty {
			out[driftPlace+shortHash(name)] = keptDrift{name, slices.Clone(f.values)}
			f.dirty = false
		}
	}
	gone := k.keepMedia(out)
	k.mu.Unlock()
	for key, v := range out {
		if err := k.put(ctx, key, v); err != nil {
			k.node.logger.Warn("what is known of a place could not be kept", "error", err)
		}
	}
	for _, key := range gone {
		if err := k.drop(ctx, key); err != nil {
			k.node.logger.Warn("what was known of a place could not be forgotten", "error", err)
		}
	}
}

func (k *placeKeeper) put(ctx context.Context, key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	it, err := k.node.kv.Get(ctx, key)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	_, err = k.node.kv.Swap(ctx, key, it.Rev, data)
	return err
}

// drop forgets a key of the state.
func (k *placeKeeper) drop(ctx context.Context, key string) error {
	it, err := k.node.kv.Get(ctx, key)
	if errors.Is(err, state.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return k.node.kv.Delete(ctx, key, it.Rev)
}

// recall takes up what the last run knew, before anything is contacted.
func (k *placeKeeper) recall(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	held := false
	err := errors.Join(
		each(ctx, k.node.kv, sightPrefix, func(s keptSight) {
			k.sights[s.Addr] = &ownSight{claim: s.Claim, Sight: s.Sight}
		}),
		each(ctx, k.node.kv, toldPlace, func(p kept) {
			if now.Sub(p.Seen) < placeGone {
				k.places[placeKey{p.Party, p.Addr}] = &place{told: p.Told, against: p.Against, weighed: p.Seen}
				held = held || p.Against != nil
			}
		}),
		each(ctx, k.node.kv, driftPlace, func(d keptDrift) { k.drift[d.Name] = &familiar{values: d.Values} }),
		k.recallMedia(ctx, now),
	)
	if err != nil {
		return fmt.Errorf("places: what the last run knew: %w", err)
	}
	if held || len(k.media.held) > 0 {
		k.apply()
	}
	return nil
}

// each reads the items below a prefix.
func each[T any](ctx context.Context, kv state.KV, prefix string, f func(T)) error {
	items, err := kv.List(ctx, prefix)
	if err != nil {
		return err
	}
	for _, it := range items {
		var v T
		if err := json.Unmarshal(it.Data, &v); err != nil {
			return fmt.Errorf("%s: %w", it.Key, err)
		}
		f(v)
	}
	return nil
}

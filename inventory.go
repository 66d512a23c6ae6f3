package cordon

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/certs"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/inventory"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

const (
	outsidePrefix = "inventory.seen." // keys of the state
	maxOutside    = 2048              // addresses of the inventory that are weighed: those of calls need the room
	maxShownNames = 16                // names of a certificate that are remembered
)

// inventoryKeeper joins the inventory to what it needs of the node: names, places, the fence, the log, the state.
type inventoryKeeper struct {
	node *Node
	*inventory.Watcher
}

func (n *Node) buildInventory(ctx context.Context) error {
	var kept []inventory.State
	if err := each(ctx, n.kv, outsidePrefix, func(s inventory.State) { kept = append(kept, s) }); err != nil {
		return fmt.Errorf("inventory: what the last run knew: %w", err)
	}
	o := &inventoryKeeper{node: n}
	var err error
	o.Watcher, err = inventory.New(inventory.Config{
		Resolve: n.resolver.Host, Place: o.place, Look: o.look, Looked: o.looked, Changed: o.changed, Keep: o.keep,
		Logger: n.logger.With("room", "inventory"), Metrics: n.opts.Metrics,
	}, n.opts.Config.Inventory.Entries, kept)
	n.inventory = o
	return err
}

// Run watches, and has everything judged anew when the policy or the evidence changes.
func (o *inventoryKeeper) Run(ctx context.Context) error {
	stop := o.node.fence.OnSwap(func(*sovereign.Snapshot) { o.Poke() })
	defer stop()
	return o.Watcher.Run(ctx)
}

// ask is the question to the policy: the address is judged, and so is the region that is declared of the entry.
func ask(e *inventory.Entry, to netip.AddrPort) sovereign.Ask {
	return sovereign.Ask{Plane: sovereign.Infrastructure, Addr: to, Region: e.Region, At: time.Now()}
}

// place weighs and judges the addresses of an entry. What evidence contradicts is held before this returns, for everybody.
func (o *inventoryKeeper) place(e *inventory.Entry, list []netip.AddrPort) []inventory.Located {
	k, now := o.node.places, time.Now()
	out := make([]inventory.Located, len(list))
	k.mu.Lock()
	defer k.mu.Unlock()
	changed := k.leave(e.Name, list)
	for i, to := range list {
		key := placeKey{e.Name, plainAddr(to.Addr())}
		if k.places[key] != nil || k.outsiders < maxOutside {
			changed = k.consider(key, e.Host, now) || changed
		}
		if p := k.places[key]; p != nil {
			p.outside, out[i].Found = true, p.found
		} else {
			out[i].Found = evidence.Assessment{Standing: evidence.Contradicted, Words: "there are more addresses than can be weighed"}
		}
	}
	if changed {
		k.apply()
	}
	snap := o.node.fence.Snapshot()
	for i, to := range list {
		l := &out[i]
		l.Place = snap.Atlas().Locate(plainAddr(to.Addr()), now)
		if l.Ruling = snap.Judge(ask(e, to)); l.Ruling.Permitted() && !l.Found.Allows() {
			l.Ruling.Verdict, l.Ruling.Ground, l.Ruling.Why = sovereign.Hold, sovereign.GroundContradicted, l.Found.Words
		}
	}
	return out
}

// leave forgets the addresses that an entry has no more, but for what was told of them. mu is held.
func (k *placeKeeper) leave(entry string, list []netip.AddrPort) (changed bool) {
	k.outsiders = 0
	for key, p := range k.places {
		if !p.outside {
			continue
		}
		k.outsiders++
		here := slices.ContainsFunc(list, func(a netip.AddrPort) bool { return plainAddr(a.Addr()) == key.addr })
		if key.party != entry || here || p.told != "" {
			continue
		}
		k.outsiders--
		changed = changed || p.against != nil
		delete(k.places, key)
		delete(k.shown, key.party+" "+key.addr.String())
		if !k.used(key.addr) {
			delete(k.sights, key.addr)
		}
	}
	return changed
}

// used says whether anybody has an address. mu is held.
func (k *placeKeeper) used(addr netip.Addr) bool {
	for key := range k.places {
		if key.addr == addr {
			return true
		}
	}
	return false
}

// entryClaim is what the inventory declares of an address that no prefix of places holds; ok is false for what is no entry of it.
func entryClaim(cfg *configs.Config, name string, snap *sovereign.Snapshot) (c evidence.Claim, ok bool) {
	i := slices.IndexFunc(cfg.Inventory.Entries, func(e inventory.Entry) bool { return e.Name == name })
	if i < 0 {
		return c, false
	}
	e := &cfg.Inventory.Entries[i]
	c.Contract = e.Contract
	for _, cc := range e.Countries {
		c.Countries = append(c.Countries, string(cc))
	}
	if !e.Region.IsZero() {
		c.Region, c.Spot = e.Region.String(), cfg.Evidence.Spot(snap.Catalogue(), e.Region)
	}
	return c, true
}

// look connects to one permitted address, says nothing but a ClientHello, and reads who answers.
func (o *inventoryKeeper) look(ctx context.Context, e *inventory.Entry, to netip.AddrPort) (id inventory.Identity, err error) {
	n := o.node
	pass, ruling := n.fence.Pass(ask(e, to))
	if pass == nil {
		return id, fmt.Errorf("cordon: %s: %w: %s", e.Name, sovereign.ErrFenced, ruling.Why)
	}
	began := time.Now()
	raw, err := n.opts.Net.DialTCP(ctx, netip.Addr{}, to)
	if err != nil {
		return id, err
	}
	rtt := time.Since(began)
	c := tls.Client(n.fence.Conn(raw, pass), &tls.Config{
		ServerName: e.Host, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: true, // whoever it is, is what is asked; identify says whether to trust it
	})
	defer c.Close()
	err = c.HandshakeContext(ctx)
	chain := c.ConnectionState().PeerCertificates
	if len(chain) == 0 {
		if err == nil {
			err = fmt.Errorf("cordon: %s: no certificate", e.Name)
		}
		return id, err
	}
	id = identify(chain, e.Host, n.cfg.Load().Inventory.Roots[e.Name])
	id.Version, id.RTT = tls.VersionName(c.ConnectionState().Version), float64(rtt)/float64(time.Millisecond)
	n.places.showed(e.Name, to.Addr(), chain[0], rtt)
	return id, nil
}

// identify says who a chain of certificates is, and whether the roots vouch for that.
func identify(chain []*x509.Certificate, host string, roots *x509.CertPool) inventory.Identity {
	leaf := chain[0]
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	id := inventory.Identity{SPKI: hex.EncodeToString(sum[:]), Names: []string{}, Issuer: leaf.Issuer.String(), NotAfter: leaf.NotAfter.UTC(), Trusted: true, At: time.Now().UTC()}
	if names := certs.Names(leaf); len(names) > 0 {
		id.Names = names[:min(len(names), maxShownNames)]
	}
	opts := x509.VerifyOptions{DNSName: host, Roots: roots, Intermediates: x509.NewCertPool(), CurrentTime: time.Now()}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(opts); err != nil {
		id.Trusted, id.Why = false, err.Error()
	}
	return id
}

// showed is told of who answered at an address of the inventory, and how soon. What a target of calls measures there is not begun anew under another claim.
func (k *placeKeeper) showed(entry string, from netip.Addr, leaf *x509.Certificate, rtt time.Duration) {
	now, addr := time.Now(), plainAddr(from)
	k.mu.Lock()
	defer k.mu.Unlock()
	if name := entry + " " + addr.String(); len(k.shown) < maxPlaces || k.shown[name].leaf != nil {
		k.shown[name] = identity{leaf, now.UTC()}
	}
	at := k.node.cfg.Load().Evidence.At
	if at == nil || rtt <= 0 {
		return
	}
	c := k.claim(placeKey{entry, addr}, now)
	if s := k.sights[addr]; s != nil && s.claim != claimName(c, *at) && k.called(addr) {
		return
	}
	if s := k.sight(addr, c, *at); s != nil && s.Add(rtt, now.UTC()) {
		s.dirty = true
	}
}

// called says whether an address is one of a target of calls. mu is held.
func (k *placeKeeper) called(addr netip.Addr) bool {
	for key, p := range k.places {
		if key.addr == addr && !p.outside {
			return true
		}
	}
	return false
}

// looked looks for drift: prefixes that the name leads to, identities that are shown, countries that its declaration does not name.
func (o *inventoryKeeper) looked(e *inventory.Entry, s *inventory.State) {
	if s.Failure != "" {
		return
	}
	var prefixes, identities, countries []string
	for i := range s.Answers {
		a := &s.Answers[i]
		prefixes = append(prefixes, drifted(a))
		if a.TLS != nil {
			identities = append(identities, a.TLS.Word())
		}
		if len(a.Countries) == 1 {
			countries = append(countries, a.Countries[0])
		}
	}
	declared := make([]string, len(e.Countries))
	for i, c := range e.Countries {
		declared[i] = string(c)
	}
	k := o.node.places
	k.mu.Lock()
	defer k.mu.Unlock()
	for what, seen := range map[string][]string{driftPrefix: prefixes, driftIdentity: identities} {
		slices.Sort(seen)
		if seen = slices.Compact(seen); len(seen) > 0 {
			k.learn(what, e.Name, e.Host, seen)
		}
	}
	k.learn(driftCountry, e.Name, "declared "+strings.Join(declared, ", "), declared) // the declaration is what they are held against
	k.learn(driftCountry, e.Name, "declared "+strings.Join(declared, ", "), slices.Compact(slices.Sorted(slices.Values(countries))))
}

// drifted is the prefix that an answer is in. Outside of all that are declared it is the network around it, so that a name that goes round there is not told of each time.
func drifted(a *inventory.Answer) string {
	if a.Prefix != "" {
		return strings.TrimSpace(a.Prefix + " " + a.Region)
	}
	bits := 24
	if a.Addr.Addr().Is6() {
		bits = 48
	}
	around, _ := plainAddr(a.Addr.Addr()).Prefix(bits) // both lengths fit
	return "none (" + around.String() + ")"
}

// changed writes a finding down.
func (o *inventoryKeeper) changed(e *inventory.Entry, before inventory.Verdict, s *inventory.State) {
	ev := audit.InventoryJudged{
		Entry: e.Name, Purpose: e.Kind, Endpoint: e.Endpoint(), Verdict: string(s.Verdict), Before: string(before), Ground: s.Ground, Why: s.Why, Failure: s.Failure,
		Region: e.Region.String(), Countries: []string{}, Contract: e.Contract, Answers: []audit.InventoryAnswer{},
	}
	for _, c := range e.Countries {
		ev.Countries = append(ev.Countries, string(c))
	}
	if f := o.node.cfg.Load().Endpoint(e.Name); f != nil && f.Provider != nil {
		ev.Parent, ev.Support = f.Provider.ParentCountry, f.Provider.Support
	}
	for _, a := range s.Answers {
		row := audit.InventoryAnswer{
			Addr: a.Addr.String(), Region: a.Region, Countries: a.Countries, Verdict: string(a.Verdict), Ground: a.Ground, Legal: a.Legal, Instrument: a.Instrument, Standing: string(a.Standing),
		}
		if a.TLS != nil {
			row.SPKI = a.TLS.SPKI
		}
		ev.Answers = append(ev.Answers, row)
	}
	o.node.logger.Info("an endpoint outside the call path was judged", "entry", e.Name, "verdict", ev.Verdict, "before", ev.Before, "why", ev.Why)
	ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
	defer cancel()
	if _, err := o.node.log.Append(ctx, ev); err != nil {
		o.node.logger.Error("a finding about an endpoint could not be logged", "entry", e.Name, "error", err)
	}
}

// keep remembers what was seen over restarts.
func (o *inventoryKeeper) keep(s *inventory.State) {
	ctx, cancel := context.WithTimeout(context.Background(), appendTimeout)
	defer cancel()
	if err := o.node.places.put(ctx, outsidePrefix+shortHash(s.Entry), s); err != nil {
		o.node.logger.Warn("what is known of an endpoint could not be kept", "entry", s.Entry, "error", err)
	}
}

// views are what the door shows.
func (o *inventoryKeeper) views() []admin.Endpoint {
	entries, states := o.List()
	cfg, snap := o.node.cfg.Load(), o.node.fence.Snapshot()
	out := make([]admin.Endpoint, 0, len(entries))
	for i, e := range entries {
		v := admin.Endpoint{
			Name: e.Name, Kind: e.Kind, Region: e.Region.String(), Contract: e.Contract, Anycast: e.Anycast, Watched: e.Every > 0, State: states[i],
			Countries: []admin.EndpointCountry{}, Support: []admin.EndpointCountry{},
		}
		for _, c := range e.Countries {
			v.Countries = append(v.Countries, standingOf(snap, c))
		}
		if f := cfg.Endpoint(e.Name); f != nil && f.Provider != nil {
			p := f.Provider
			v.Provider, v.Identifier, v.Function, v.Parent = p.Name, p.Identifier, p.Function, p.Parent
			if p.ParentCountry != "" {
				reach := standingOf(snap, sovereign.Country(p.ParentCountry))
				v.Reach = &reach
			}
			for _, c := range p.Support {
				v.Support = append(v.Support, standingOf(snap, sovereign.Country(c)))
			}
		}
		out = append(out, v)
	}
	return out
}

// standingOf is what the law says of a country today, by attributes of nobody.
func standingOf(snap *sovereign.Snapshot, c sovereign.Country) admin.EndpointCountry {
	f := snap.Law().Standing(c, sovereign.Question{At: time.Now(), Suspended: snap.Suspended()})
	return admin.EndpointCountry{Code: string(c), Standing: string(f.Standing), Instrument: f.Instrument}
}

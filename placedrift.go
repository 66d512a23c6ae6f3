package cordon

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/certs"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

// What may drift.
const (
	driftPrefix   = "prefix"
	driftIdentity = "tls_identity"
	driftCountry  = "country"
)

// Bounds of what is familiar.
const (
	maxFamiliar = 32   // values of one subject: beyond it the ones learned first are forgotten
	maxDrifts   = 8192 // subjects
)

// familiar are the values of one subject that were seen before, the newest last: a name that goes round among several prefixes is told of once for each.
type familiar struct {
	values []string
	dirty  bool
}

// keptDrift is how they are remembered over restarts.
type keptDrift struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// learn takes values in. What was not seen before is told, but for the first of a subject: it is what later ones are held against. mu is held.
func (k *placeKeeper) learn(what, party, subject string, values []string) {
	name := strings.Join([]string{what, party, subject}, "|")
	f := k.drift[name]
	if f == nil {
		if len(k.drift) < maxDrifts {
			k.drift[name] = &familiar{values: slices.Clone(values), dirty: true}
		}
		return
	}
	var fresh []string
	for _, v := range values {
		if !slices.Contains(f.values, v) {
			fresh = append(fresh, v)
		}
	}
	if len(fresh) == 0 {
		return
	}
	k.queue(audit.PlaceDrifted{What: what, Party: party, Subject: subject, Before: slices.Clone(f.values), After: fresh})
	k.drifts.WithLabelValues(what).Inc()
	f.values, f.dirty = append(f.values, fresh...), true
	f.values = slices.Delete(f.values, 0, max(0, len(f.values)-maxFamiliar))
}

// watch looks for drift of one target: its name leads to another prefix, its address lies in a country that its party does not declare. mu is held.
func (k *placeKeeper) watch(key placeKey, host string, now time.Time) {
	snap := k.node.fence.Snapshot()
	at := snap.Atlas().Locate(key.addr, now)
	prefix := "none (" + key.addr.String() + ")"
	if at.Prefix.IsValid() {
		prefix = strings.TrimSpace(at.Prefix.String() + " " + at.Region.String())
	}
	k.learn(driftPrefix, key.party, host, []string{prefix})
	party, ok := snap.Party(key.party)
	if !ok || len(at.Countries) != 1 {
		return // a prefix that countries share proves none
	}
	var declared []string
	for _, r := range append(slices.Clone(party.MediaRegions), party.Region, party.OrgHomeRegion) {
		if f, ok := snap.Catalogue().Lookup(r); ok && !slices.Contains(declared, string(f.Country)) {
			declared = append(declared, string(f.Country))
		}
	}
	slices.Sort(declared)
	if len(declared) > 0 && !slices.Contains(declared, string(at.Countries[0])) {
		k.learn(driftCountry, key.party, "declared "+strings.Join(declared, ", "), declared) // the declaration is what it is held against
		k.learn(driftCountry, key.party, "declared "+strings.Join(declared, ", "), []string{string(at.Countries[0])})
	}
}

// identity is what somebody proved to be.
type identity struct {
	leaf *x509.Certificate
	at   time.Time
}

// word tells one identity from another: the key, the names and who says so.
func (id identity) word() string {
	spki := sha256.Sum256(id.leaf.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(spki[:8]) + " " + strings.Join(certs.Names(id.leaf), " ") + " by " + id.leaf.Issuer.String()
}

// item is the evidence that an identity is: it supports what carries the name of the place, and says nothing of others.
func (id identity) item(host string) evidence.Item {
	it := evidence.Item{Kind: evidence.TLSIdentity, Value: id.word(), ObservedAt: id.at, Result: evidence.Silent}
	if host != "" && id.leaf.VerifyHostname(host) == nil {
		it.Result = evidence.Supports
	}
	return it
}

// identified is told of what peers show when they are connected to.
func (k *placeKeeper) identified(party string, from netip.Addr, chain []*x509.Certificate) {
	if party == "" || len(chain) == 0 {
		return
	}
	id := identity{chain[0], time.Now().UTC()}
	addr := plainAddr(from)
	k.mu.Lock()
	defer k.mu.Unlock()
	if name := party + " " + addr.String(); len(k.shown) < maxPlaces || k.shown[name].leaf != nil {
		k.shown[name] = id
	}
	k.learn(driftIdentity, party, addr.String(), []string{id.word()})
}

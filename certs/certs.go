// Package certs is the register of certificates: our own, those that peers showed, and the roots that we trust, with where each is used and when it ends. It
// says which of them people must hear of, each once per threshold, and whether a next certificate may take the place of the one in force.
//
// It keeps no file, no clock and no goroutine of its own: who calls it brings bytes and time. It imports only the standard library.
package certs

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
	"sync"
	"time"
)

// Role is whose a certificate is.
type Role string

// The roles.
const (
	Own  Role = "own"  // ours, of a listener, toward a party or of the HTTP interface, and what stands with it in its file
	Peer Role = "peer" // shown by a peer on a connection, the leaf and what it sent with it
	Root Role = "root" // trusted by a file of the configuration
)

// Certificate is one certificate of the register.
type Certificate struct {
	Fingerprint string    `json:"fingerprint"` // lower-case hex SHA-256 of the whole certificate
	Role        Role      `json:"role"`
	Leaf        bool      `json:"leaf"` // false: an authority between a leaf and its root, or a root
	Uses        []string  `json:"uses"` // where it is used, in words; sorted
	Subject     string    `json:"subject"`
	Issuer      string    `json:"issuer"`
	Names       []string  `json:"names"` // DNS names, URIs and addresses
	NotBefore   time.Time `json:"not_before"`
	NotAfter    time.Time `json:"not_after"`
}

// Left is how many whole days it is still valid; negative after its end.
func (c *Certificate) Left(now time.Time) int {
	d := c.NotAfter.Sub(now)
	days := int(d / (24 * time.Hour))
	if d < 0 && d%(24*time.Hour) != 0 {
		days--
	}
	return days
}

// Thresholds are the days before the end at which people hear of a certificate; 0 is its end.
var Thresholds = []int{60, 30, 14, 3, 0}

// Alarm is one certificate that came to one threshold.
type Alarm struct {
	Certificate
	Threshold int // days: the smallest that it came to
	Left      int
}

// slot is one place in which certificates stand: another chain in the same place takes the former's place.
type slot struct {
	role Role
	use  string
}

// maxPeers bounds the places of peers that are remembered; beyond it the ones seen longest ago fall out.
const maxPeers = 4096

// Register holds what is known. Safe for concurrent use; the zero Register is empty.
type Register struct {
	mu    sync.Mutex
	slots map[slot][]*x509.Certificate
	order []slot              // of peers, the one seen longest ago first
	told  map[string]*telling // by fingerprint
}

// telling is at which threshold people heard of a certificate, and since when it stands nowhere any more (zero: it stands somewhere).
type telling struct {
	at   int
	gone time.Time
}

// What was told of a certificate that stands nowhere is remembered for goneFor, lest one that comes and goes is told of each time, and beyond maxTold not at all.
const (
	goneFor = 30 * 24 * time.Hour
	maxTold = 2 * maxPeers
)

// Fingerprint is the lower-case hex SHA-256 of a certificate.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// Put sets the certificates of one place; none empties it. The first is the leaf, unless the role is Root.
func (r *Register) Put(role Role, use string, chain []*x509.Certificate) {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := slot{role, use}
	if r.slots == nil {
		r.slots = map[slot][]*x509.Certificate{}
	}
	if role == Peer {
		r.order = slices.DeleteFunc(r.order, func(o slot) bool { return o == k })
	}
	if len(chain) == 0 {
		delete(r.slots, k)
		return
	}
	r.slots[k] = chain
	if role != Peer {
		return
	}
	r.order = append(r.order, k)
	if len(r.order) > maxPeers {
		delete(r.slots, r.order[0])
		r.order = r.order[1:]
	}
}

// Keep forgets the places of a role that are not among uses.
func (r *Register) Keep(role Role, uses []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k := range r.slots {
		if k.role == role && !slices.Contains(uses, k.use) {
			delete(r.slots, k)
		}
	}
}

// List gives every certificate once per role, the one that ends first in front.
func (r *Register) List() []Certificate {
	r.mu.Lock()
	defer r.mu.Unlock()
	type key struct {
		role Role
		raw  string
	}
	by := map[key]*Certificate{}
	for k, chain := range r.slots {
		for i, x := range chain {
			id := key{k.role, string(x.Raw)}
			c := by[id]
			if c == nil {
				c = describe(x)
				c.Role = k.role
				by[id] = c
			}
			c.Leaf = c.Leaf || i == 0 && k.role != Root
			if !slices.Contains(c.Uses, k.use) {
				c.Uses = append(c.Uses, k.use)
			}
		}
	}
	out := make([]Certificate, 0, len(by))
	for _, c := range by {
		slices.Sort(c.Uses)
		out = append(out, *c)
	}
	slices.SortFunc(out, func(a, b Certificate) int {
		if d := a.NotAfter.Compare(b.NotAfter); d != 0 {
			return d
		}
		return strings.Compare(a.Fingerprint+string(a.Role), b.Fingerprint+string(b.Role))
	})
	return out
}

func describe(x *x509.Certificate) *Certificate {
	return &Certificate{
		Fingerprint: Fingerprint(x), Subject: x.Subject.String(), Issuer: x.Issuer.String(), Names: Names(x), NotBefore: x.NotBefore.UTC(), NotAfter: x.NotAfter.UTC(),
	}
}

// Names are the names that a certificate may be known by: DNS names, URIs and addresses. The common name is none (RFC 5922 section 7.1).
func Names(x *x509.Certificate) []string {
	out := slices.Clone(x.DNSNames)
	for _, u := range x.URIs {
		out = append(out, u.String())
	}
	for _, a := range x.IPAddresses {
		out = append(out, a.String())
	}
	return out
}

// Told notes that people heard of a certificate at a threshold before, in another run.
func (r *Register) Told(fingerprint string, threshold int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tell(fingerprint, threshold)
}

func (r *Register) tell(fingerprint string, threshold int) {
	if r.told == nil {
		r.told = map[string]*telling{}
	}
	if before := r.told[fingerprint]; before == nil || threshold < before.at {
		r.told[fingerprint] = &telling{at: threshold}
	}
}

// Forget drops what was told of certificates that are gone for a while, and gives their fingerprints.
func (r *Register) Forget(now time.Time) (gone []string) {
	here := map[string]bool{}
	for _, c := range r.List() {
		here[c.Fingerprint] = true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for f, t := range r.told {
		switch {
		case here[f]:
			t.gone = time.Time{}
			continue
		case t.gone.IsZero():
			t.gone = now
		}
		if now.Sub(t.gone) >= goneFor || len(r.told) > maxTold {
			delete(r.told, f)
			gone = append(gone, f)
		}
	}
	slices.Sort(gone)
	return gone
}

// Due gives the certificates that came to a threshold of which nobody was told, each with the smallest one that it came to: what is found with ten days left
// makes one alarm and not three. What is given counts as told.
func (r *Register) Due(now time.Time) []Alarm {
	var out []Alarm
	list := r.List()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range list {
		at := -1
		for _, t := range Thresholds {
			if !now.Before(c.NotAfter.Add(-time.Duration(t) * 24 * time.Hour)) {
				at = t
			}
		}
		if before := r.told[c.Fingerprint]; at < 0 || before != nil && before.at <= at {
			continue
		}
		r.tell(c.Fingerprint, at)
		out = append(out, Alarm{c, at, c.Left(now)})
	}
	return out
}

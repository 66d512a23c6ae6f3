package cordon

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/certs"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/state"
	"github.com/prometheus/client_golang/prometheus"
)

// certKeeper holds our own certificates by their use, so that another one takes effect with the next handshake and no connection is touched, and keeps the
// register of all that are known.
type certKeeper struct {
	node     *Node
	register *certs.Register
	days     *prometheus.GaugeVec

	mu    sync.Mutex
	uses  map[string]*atomic.Pointer[tls.Certificate]
	files map[string]*pairFiles // by use
	trust map[string]*trust     // by use
}

// pairFiles is what was seen of the files of one certificate.
type pairFiles struct {
	part    configs.PairPart
	seen    pairMark // what was judged last
	pending pairMark // what is there now, if it differs: it must stand still for one look before it is read
}

type pairMark struct{ cert, key fileMark }

func newCertKeeper(n *Node) (*certKeeper, error) {
	k := &certKeeper{
		node: n, register: &certs.Register{}, uses: map[string]*atomic.Pointer[tls.Certificate]{}, files: map[string]*pairFiles{}, trust: map[string]*trust{},
		days: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "cordon_certs_days_left", Help: "Days until the first certificate of that use ends; negative after its end.",
		}, []string{"role", "use"}),
	}
	k.hold(n.opts.Config)
	return k, n.opts.Metrics.Register(k.days)
}

// of gives the certificate of a use in force, at each call anew. nil: there is none.
func (k *certKeeper) of(use string) func() *tls.Certificate {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.slot(use).Load
}

// slot is the place of a use; mu is held.
func (k *certKeeper) slot(use string) *atomic.Pointer[tls.Certificate] {
	p := k.uses[use]
	if p == nil {
		p = new(atomic.Pointer[tls.Certificate])
		k.uses[use] = p
	}
	return p
}

// lend lets a party's handshakes ask for the certificate and the roots in force instead of those that were read with its profile.
func (k *certKeeper) lend(c *configs.Config, p *sip.Party) {
	k.lendRoots(c, p)
	if p.TLS == nil || p.TLS.Cert == nil {
		return
	}
	mine := p.TLS.Cert()
	for _, part := range c.Pairs {
		if part.Cert == mine {
			profile := *p.TLS
			profile.Cert = k.of(part.Use)
			p.TLS = &profile
		}
	}
}

// judge refuses a configuration whose certificates may not take the place of those in force.
func (k *certKeeper) judge(c *configs.Config) error {
	var errs []error
	for _, p := range c.Pairs {
		if err := certs.Next(k.of(p.Use)(), p.Cert, time.Now()); err != nil {
			errs = append(errs, fmt.Errorf("cordon: reload: %s: %w", p.Use, err))
		}
	}
	return errors.Join(errs...)
}

// take puts the certificates of a configuration that was judged in force, and tells the log of those that changed.
func (k *certKeeper) take(ctx context.Context, c *configs.Config) {
	for _, ev := range k.hold(c) {
		k.tell(ctx, ev)
	}
}

// hold makes c's certificates the ones in force and gives an event for each that replaced another.
func (k *certKeeper) hold(c *configs.Config) (out []audit.CertReplaced) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.files = map[string]*pairFiles{}
	uses, roots := make([]string, len(c.Pairs)), make([]string, len(c.Roots))
	for i, p := range c.Pairs {
		uses[i] = p.Use
		if ev := k.swap(p.Use, p.Cert, "reload"); ev != nil {
			out = append(out, *ev)
		}
		m := markOfPair(p)
		k.files[p.Use] = &pairFiles{part: p, seen: m, pending: m}
	}
	for use, slot := range k.uses {
		if k.files[use] == nil {
			slot.Store(nil)
		}
	}
	for i, r := range c.Roots {
		roots[i] = r.Use
		if ev := k.believe(r, "reload"); ev != nil {
			out = append(out, *ev)
		}
		k.follow(r)
	}
	for use, t := range k.trust { // who shook hands under it may still ask: nothing takes its place
		if !slices.Contains(roots, use) {
			t.part.Live = false
		}
	}
	k.register.Keep(certs.Own, uses)
	k.register.Keep(certs.Root, roots)
	return out
}

// swap puts one certificate in force; mu is held. It gives nil when it was in force already, or is the first.
func (k *certKeeper) swap(use string, next *tls.Certificate, cause string) *audit.CertReplaced {
	slot := k.slot(use)
	before, after := slot.Load(), next
	slot.Store(next)
	chain, err := certs.Chain(after)
	if err != nil {
		return nil
	}
	k.register.Put(certs.Own, use, chain)
	old, err := certs.Chain(before)
	if err != nil || old[0].Equal(chain[0]) {
		return nil
	}
	return &audit.CertReplaced{Use: use, Cause: cause, Before: certs.Fingerprint(old[0]), After: certs.Fingerprint(chain[0]), NotAfter: chain[0].NotAfter.UTC()}
}

func markOfPair(p configs.PairPart) pairMark { return pairMark{markOf(p.CertFile), markOf(p.KeyFile)} }

// seen is told by the transport of what peers showed.
func (k *certKeeper) seen(party string, from netip.Addr, chain []*x509.Certificate) {
	k.register.Put(certs.Peer, party+" "+from.String(), chain)
	k.node.places.identified(party, from, chain)
}

// Run looks after files and ends until ctx ends.
func (k *certKeeper) Run(ctx context.Context) error {
	k.recall(ctx)
	tick := time.NewTicker(k.node.cfg.Load().CertCheck)
	defer tick.Stop()
	for {
		k.alarms(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for _, ev := range k.look() {
				k.tell(ctx, ev)
			}
			tick.Reset(k.node.cfg.Load().CertCheck)
		}
	}
}

// look judges the files that changed. A change counts once it stood still from one look to the next: whoever renews writes two files, and not at once.
func (k *certKeeper) look() (out []audit.Event) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for use, f := range k.files {
		now := markOfPair(f.part)
		still := now == f.pending
		f.pending = now
		if now == f.seen || !still {
			continue
		}
		f.seen = now
		pair, err := tls.LoadX509KeyPair(f.part.CertFile, f.part.KeyFile)
		if err == nil {
			err = certs.Next(k.slot(use).Load(), &pair, time.Now())
		}
		if err != nil {
			out = append(out, audit.CertRefused{Use: use, Why: err.Error()})
			continue
		}
		if ev := k.swap(use, &pair, "file"); ev != nil {
			out = append(out, *ev)
		}
	}
	return append(out, k.lookAtRoots()...)
}

// tell writes an event into the log, and into the node's own log what people should look at.
func (k *certKeeper) tell(ctx context.Context, ev audit.Event) {
	switch e := ev.(type) {
	case audit.CertRefused:
		k.node.logger.Error("a certificate was refused; the old one stays", "use", e.Use, "why", e.Why)
	case audit.CertReplaced:
		k.node.logger.Info("another certificate is in force", "use", e.Use, "until", e.NotAfter)
	case audit.CertExpiring:
		k.node.logger.Warn("a certificate ends", "uses", e.Uses, "role", e.Role, "days_left", e.Left)
	}
	if _, err := k.node.log.Append(context.WithoutCancel(ctx), ev); err != nil {
		k.node.logger.Error("an event of a certificate could not be logged", "kind", ev.Kind(), "error", err)
	}
}

// toldPrefix is where the state remembers what people were told of, so that a restart tells nobody twice.
const toldPrefix = "certificate."

// recall takes up what was told in earlier runs.
func (k *certKeeper) recall(ctx context.Context) {
	items, err := k.node.kv.List(ctx, toldPrefix)
	if err != nil {
		k.node.logger.Warn("what was told of certificates could not be read; it may be told again", "error", err)
		return
	}
	for _, it := range items {
		if days, err := strconv.Atoi(string(it.Data)); err == nil {
			k.register.Told(strings.TrimPrefix(it.Key, toldPrefix), days)
		}
	}
}

// alarms tells of what comes to its end, and sets the metric.
func (k *certKeeper) alarms(ctx context.Context) {
	now := time.Now()
	for _, a := range k.register.Due(now) {
		k.tell(ctx, audit.CertExpiring{
			Fingerprint: a.Fingerprint, Role: string(a.Role), Uses: a.Uses, Subject: a.Subject, Issuer: a.Issuer, Names: a.Names, NotAfter: a.NotAfter,
			Threshold: a.Threshold, Left: a.Left,
		})
		k.remember(ctx, a)
	}
	for _, fingerprint := range k.register.Forget(now) {
		k.forget(ctx, fingerprint)
	}
	least := map[[2]string]int{}
	for _, c := range k.register.List() {
		for _, use := range c.Uses {
			if c.Role == certs.Peer {
				use, _, _ = strings.Cut(use, " ") // a label holds no address
			}
			id := [2]string{string(c.Role), use}
			if left, ok := least[id]; !ok || c.Left(now) < left {
				least[id] = c.Left(now)
			}
		}
	}
	k.days.Reset()
	for id, left := range least {
		k.days.WithLabelValues(id[0], id[1]).Set(float64(left))
	}
}

func (k *certKeeper) remember(ctx context.Context, a certs.Alarm) {
	key, rev := toldPrefix+a.Fingerprint, uint64(0)
	it, err := k.node.kv.Get(ctx, key)
	if err == nil {
		rev = it.Rev
	} else if !errors.Is(err, state.ErrNotFound) {
		k.node.logger.Warn("what was told of a certificate could not be kept", "error", err)
		return
	}
	if _, err := k.node.kv.Swap(ctx, key, rev, []byte(strconv.Itoa(a.Threshold))); err != nil && !errors.Is(err, state.ErrConflict) {
		k.node.logger.Warn("what was told of a certificate could not be kept", "error", err)
	}
}

// forget removes what the state holds of a certificate that is gone.
func (k *certKeeper) forget(ctx context.Context, fingerprint string) {
	it, err := k.node.kv.Get(ctx, toldPrefix+fingerprint)
	if err == nil {
		err = k.node.kv.Delete(ctx, it.Key, it.Rev)
	}
	if err != nil && !errors.Is(err, state.ErrNotFound) && !errors.Is(err, state.ErrConflict) {
		k.node.logger.Warn("what was told of a certificate that is gone could not be forgotten", "error", err)
	}
}

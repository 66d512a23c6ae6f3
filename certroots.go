package cordon

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/certs"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sip"
)

// trust is one file of roots: what is in force, and what was seen of the file. Handshakes ask each time; connections that are up stay up.
type trust struct {
	pool          atomic.Pointer[x509.CertPool]
	certs         []*x509.Certificate
	part          configs.RootsPart
	seen, pending fileMark // as with pairFiles
}

// trusted gives the roots of a use in force, at each call anew.
func (k *certKeeper) trusted(use string) func() *x509.CertPool {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.trust[use]; t != nil {
		return t.pool.Load
	}
	return nil
}

// lendRoots is lend for the roots.
func (k *certKeeper) lendRoots(c *configs.Config, p *sip.Party) {
	if p.TLS == nil || p.TLS.Roots == nil {
		return
	}
	mine := p.TLS.Roots()
	for _, part := range c.Roots {
		if live := k.trusted(part.Use); part.Pool == mine && live != nil {
			profile := *p.TLS
			profile.Roots = live
			p.TLS = &profile
		}
	}
}

// believe puts one file's roots in force; mu is held. It gives nil when they were in force already, or are the first.
func (k *certKeeper) believe(part configs.RootsPart, cause string) *audit.CertReplaced {
	t := k.trust[part.Use]
	if t == nil {
		t = &trust{}
		k.trust[part.Use] = t
	}
	before, after := setOf(t.certs), setOf(part.Certs)
	first := t.certs == nil
	t.certs = part.Certs
	t.pool.Store(part.Pool)
	k.register.Put(certs.Root, part.Use, part.Certs)
	if first || before == after {
		return nil
	}
	return &audit.CertReplaced{Use: part.Use, Cause: cause, Before: before, After: after, NotAfter: firstEnd(part.Certs)}
}

// follow begins to look at a file as it is now; mu is held.
func (k *certKeeper) follow(part configs.RootsPart) {
	t, m := k.trust[part.Use], markOf(part.File)
	t.part, t.seen, t.pending = part, m, m
}

// lookAtRoots judges the files of roots that changed and stood still since the last look; mu is held.
func (k *certKeeper) lookAtRoots() (out []audit.Event) {
	for use, t := range k.trust {
		if !t.part.Live {
			continue
		}
		now := markOf(t.part.File)
		still := now == t.pending
		t.pending = now
		if now == t.seen || !still {
			continue
		}
		t.seen = now
		next, err := readRoots(t.part, time.Now())
		if err != nil {
			out = append(out, audit.CertRefused{Use: use, Why: err.Error()})
			continue
		}
		if ev := k.believe(next, "file"); ev != nil {
			out = append(out, *ev)
		}
	}
	return out
}

// readRoots reads a file again. One without a certificate that is valid now would shut everybody out: it is refused.
func readRoots(part configs.RootsPart, now time.Time) (configs.RootsPart, error) {
	data, err := os.ReadFile(part.File)
	if err != nil {
		return part, fmt.Errorf("cordon: read the roots: %w", err)
	}
	part.Certs, part.Pool = configs.PEM(data)
	for _, c := range part.Certs {
		if now.Before(c.NotAfter) {
			return part, nil
		}
	}
	return part, errors.New("cordon: no root of the file is valid now")
}

// setOf is the lower-case hex SHA-256 of all certificates of a file; of a single one it is its fingerprint.
func setOf(list []*x509.Certificate) string {
	h := sha256.New()
	for _, c := range list {
		h.Write(c.Raw)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// firstEnd is when the first of them ends.
func firstEnd(list []*x509.Certificate) (end time.Time) {
	for _, c := range list {
		if end.IsZero() || c.NotAfter.Before(end) {
			end = c.NotAfter.UTC()
		}
	}
	return end
}

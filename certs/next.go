package certs

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Chain parses what a pair holds, the leaf first.
func Chain(pair *tls.Certificate) ([]*x509.Certificate, error) {
	if pair == nil || len(pair.Certificate) == 0 {
		return nil, errors.New("certs: no certificate")
	}
	out := make([]*x509.Certificate, len(pair.Certificate))
	for i, der := range pair.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("certs: certificate %d of the file: %w", i+1, err)
		}
		out[i] = c
	}
	return out, nil
}

// Next says why a pair may not take the place of the one in force, or nil: its key must be that of its leaf, every certificate of its file must be valid now and
// signed by the one behind it, and it must carry every name that the one in force carries. before is nil when there is none yet.
func Next(before, next *tls.Certificate, now time.Time) error {
	chain, err := Chain(next)
	if err != nil {
		return err
	}
	key, ok := next.PrivateKey.(crypto.Signer)
	if !ok {
		return errors.New("certs: the key cannot sign")
	}
	if pub, ok := chain[0].PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(key.Public()) {
		return errors.New("certs: the key is not that of the certificate")
	}
	for i, c := range chain {
		what := "the certificate"
		if i > 0 {
			what = fmt.Sprintf("certificate %d of the chain (%s)", i+1, c.Subject)
		}
		switch {
		case now.Before(c.NotBefore):
			return fmt.Errorf("certs: %s is not valid before %s", what, c.NotBefore.UTC().Format(time.RFC3339))
		case !now.Before(c.NotAfter):
			return fmt.Errorf("certs: %s ended on %s", what, c.NotAfter.UTC().Format(time.RFC3339))
		}
		if i+1 < len(chain) {
			if err := c.CheckSignatureFrom(chain[i+1]); err != nil {
				return fmt.Errorf("certs: %s is not signed by the one behind it: %w", what, err)
			}
		}
	}
	old, err := Chain(before)
	if err != nil {
		return nil // nothing is in force
	}
	if missing := lacks(chain[0], Names(old[0])); len(missing) > 0 {
		return fmt.Errorf("certs: the certificate does not name %s, which the one in force names", strings.Join(missing, ", "))
	}
	return nil
}

// lacks gives the names that a certificate does not carry.
func lacks(c *x509.Certificate, names []string) (out []string) {
	have := map[string]bool{}
	for _, n := range Names(c) {
		have[strings.ToLower(n)] = true
	}
	for _, n := range names {
		if !have[strings.ToLower(n)] {
			out = append(out, n)
		}
	}
	return out
}

// Package rpki verifies the signature that a geofeed may carry (RFC 9632 section 5): a detached CMS SignedData over the text, in the profile of signed objects of the
// RPKI (RFC 6488), by a certificate whose address resources (RFC 3779) cover the prefixes of the feed, and the path from that certificate to a trust anchor, with
// revocation lists where there are some.
//
// It fetches nothing: anchors, certificates and lists are given to it as bytes, and so is nothing else; when a path is valid it says, and whether that is now is the
// caller's to judge. What it leaves out of RFC 9632 are manifests (RFC 9286), which say what a repository should hold: there is no repository here. It imports the
// standard library alone, and of it nothing that touches files, processes, the network or chance.
package rpki

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Bounds of what is read.
const (
	maxDepth = 16   // certificates of a path; those of the registries have four or five
	maxTries = 256  // signatures that are tried for one path
	maxTrust = 4096 // certificates and lists
	minBits  = 2048 // of an RSA key, RFC 7935 section 3
)

// The extensions that crypto/x509 does not judge, and that are judged here: RFC 3779 sections 2.2.1 and 3.2.1, RFC 6487 section 4.8.9.
var (
	oidAddresses = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 7}
	oidNumbers   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 8}
	oidPolicies  = asn1.ObjectIdentifier{2, 5, 29, 32}
)

// certificate is one of the RPKI with its resources.
type certificate struct {
	*x509.Certificate
	addresses, numbers resources
}

// parseCertificate reads one in DER.
func parseCertificate(der []byte) (*certificate, error) {
	x, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("a certificate does not read: %w", err)
	}
	c := &certificate{Certificate: x}
	for _, e := range x.Extensions {
		switch {
		case e.Id.Equal(oidAddresses):
			c.addresses, err = parseAddresses(e.Value)
		case e.Id.Equal(oidNumbers):
			c.numbers, err = parseNumbers(e.Value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name(), err)
		}
	}
	for _, id := range x.UnhandledCriticalExtensions {
		if !id.Equal(oidAddresses) && !id.Equal(oidNumbers) && !id.Equal(oidPolicies) {
			return nil, fmt.Errorf("%s: its critical extension %s is not known here", c.name(), id)
		}
	}
	key, ok := x.PublicKey.(*rsa.PublicKey)
	switch {
	case !ok || key.N.BitLen() < minBits || x.SignatureAlgorithm != x509.SHA256WithRSA:
		return nil, fmt.Errorf("%s: it is signed or signs by another algorithm than RSA of %d bits or more with SHA-256 (RFC 7935)", c.name(), minBits)
	case len(x.SubjectKeyId) == 0:
		return nil, fmt.Errorf("%s: it has no subject key identifier", c.name())
	}
	return c, nil
}

// name is what a certificate is called in words: its subject, and its serial number, by which lists name it.
func (c *certificate) name() string {
	return fmt.Sprintf("certificate %.80q (serial %s)", c.Subject.CommonName, c.SerialNumber.Text(16))
}

// Trust is what signatures are held against. The zero Trust believes nobody.
type Trust struct {
	anchors, between []*certificate
	lists            []*x509.RevocationList
}

// Anchors takes trust anchors in: certificates that sign themselves, in DER or PEM.
func (t *Trust) Anchors(data []byte) error {
	certs, err := certificates(data)
	if err != nil {
		return err
	}
	for _, c := range certs {
		switch {
		case c.issued(c) != nil:
			return fmt.Errorf("rpki: %s is no trust anchor: it did not sign itself", c.name())
		case c.addresses.inherit || c.numbers.inherit:
			return fmt.Errorf("rpki: %s is no trust anchor: it inherits its resources, and there is nobody to inherit from (RFC 8630 section 2.3)", c.name())
		}
	}
	t.anchors = append(t.anchors, certs...)
	return t.bounded()
}

// Certificates takes those in that stand between an anchor and the signer of a feed, in DER or PEM. Order does not matter.
func (t *Trust) Certificates(data []byte) error {
	certs, err := certificates(data)
	if err != nil {
		return err
	}
	t.between = append(t.between, certs...)
	return t.bounded()
}

// Revocations takes revocation lists in, in DER or PEM. Once there is one, each issuer of a path must have one.
func (t *Trust) Revocations(data []byte) error {
	blocks, err := blocks(data, "X509 CRL")
	if err != nil {
		return err
	}
	for _, der := range blocks {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			return fmt.Errorf("rpki: a revocation list does not read: %w", err)
		}
		if l.NextUpdate.IsZero() {
			return errors.New("rpki: a revocation list does not say when the next one comes (RFC 6487 section 5)")
		}
		t.lists = append(t.lists, l)
	}
	return t.bounded()
}

func (t *Trust) bounded() error {
	if n := len(t.anchors) + len(t.between) + len(t.lists); n > maxTrust {
		return fmt.Errorf("rpki: %d certificates and lists: the most is %d", n, maxTrust)
	}
	return nil
}

func certificates(data []byte) ([]*certificate, error) {
	blocks, err := blocks(data, "CERTIFICATE")
	if err != nil {
		return nil, err
	}
	var out []*certificate
	for _, der := range blocks {
		c, err := parseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("rpki: %w", err)
		}
		out = append(out, c)
	}
	return out, nil
}

// blocks gives each object of a file in DER, as repositories have them, or in PEM.
func blocks(data []byte, kind string) ([][]byte, error) {
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		return [][]byte{data}, nil
	}
	var out [][]byte
	for {
		b, rest := pem.Decode(data)
		if b == nil {
			break
		}
		if b.Type != kind {
			return nil, fmt.Errorf("rpki: the file has a block %.40q, and %q was expected", b.Type, kind)
		}
		out, data = append(out, b.Bytes), rest
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("rpki: the file has no block %q", kind)
	}
	return out, nil
}

// Signature is one that verified.
type Signature struct {
	Signer    string    // the key that signed: its subject key identifier, in hex
	At        time.Time // when, by the signer's own word
	From      time.Time // the path is valid from here
	Until     time.Time // to here: the first end of a certificate's or a list's validity
	Anchor    string    // the trust anchor's subject
	Checked   bool      // revocation lists were held against it
	addresses resources
}

// Covers says whether the signer holds all addresses of a prefix.
func (s *Signature) Covers(p netip.Prefix) bool {
	return p.IsValid() && s.addresses.covers(span{p.Masked().Addr(), last(p)})
}

// Verify holds the signature of a feed against what is trusted, in the steps of RFC 9632 section 5. The error says which failed.
func (t *Trust) Verify(f *Feed) (*Signature, error) {
	sd, err := parseSigned(f.cms)
	if err != nil {
		return nil, fmt.Errorf("rpki: %w", err)
	}
	if err := sd.verify(f.Text); err != nil {
		return nil, fmt.Errorf("rpki: %w", err)
	}
	ee := sd.signer
	switch {
	case ee.IsCA:
		return nil, fmt.Errorf("rpki: %s signs certificates: it must not sign a feed (RFC 6488 section 2.1.4)", ee.name())
	case ee.KeyUsage != x509.KeyUsageDigitalSignature:
		return nil, fmt.Errorf("rpki: %s is for other uses than signatures", ee.name())
	case ee.numbers.present:
		return nil, fmt.Errorf("rpki: %s holds AS numbers, which the signer of a feed must not (RFC 9632 section 5)", ee.name())
	case !ee.addresses.present || ee.addresses.inherit:
		return nil, fmt.Errorf("rpki: %s does not name its addresses itself (RFC 9632 section 5)", ee.name())
	}
	path, err := (&search{t, maxTries}).path(ee, nil)
	if err != nil {
		return nil, fmt.Errorf("rpki: %w", err)
	}
	s := &Signature{Signer: hex.EncodeToString(ee.SubjectKeyId), At: sd.at, Anchor: path[len(path)-1].Subject.CommonName, addresses: ee.addresses}
	if err := s.judge(path, t.lists); err != nil {
		return nil, fmt.Errorf("rpki: %w", err)
	}
	return s, nil
}

// search looks for a path. It tries so many signatures at most: who issues certificates to itself could make it walk in circles.
type search struct {
	*Trust
	left int
}

// path finds the certificates from c to an anchor. below are those that stand under it.
func (t *search) path(c *certificate, below []*certificate) ([]*certificate, error) {
	below = append(slices.Clip(below), c)
	if len(below) > maxDepth {
		return nil, fmt.Errorf("more than %d certificates stand between the signer and an anchor", maxDepth)
	}
	why := fmt.Errorf("nobody that is trusted issued %s: the certificate with the key %x is missing among the files", c.name(), c.AuthorityKeyId)
	for i, up := range slices.Concat(t.anchors, t.between) {
		if !bytes.Equal(up.SubjectKeyId, c.AuthorityKeyId) || !bytes.Equal(up.RawSubject, c.RawIssuer) || slices.Contains(below, up) {
			continue
		}
		if t.left--; t.left < 0 {
			return nil, fmt.Errorf("no path to an anchor was found with %d signatures", maxTries)
		}
		err := up.issued(c)
		if err == nil && i < len(t.anchors) {
			return append(below, up), nil
		}
		if err == nil {
			var path []*certificate
			if path, err = t.path(up, below); err == nil {
				return path, nil
			}
		}
		why = err
	}
	return nil, why
}

// issued says whether up signed c, and may sign certificates.
func (up *certificate) issued(c *certificate) error {
	if !up.BasicConstraintsValid || !up.IsCA || up.KeyUsage&x509.KeyUsageCertSign == 0 {
		return fmt.Errorf("%s must not issue certificates", up.name())
	}
	if err := c.CheckSignatureFrom(up.Certificate); err != nil {
		return fmt.Errorf("%s was not issued by %s: %w", c.name(), up.name(), err)
	}
	return nil
}

// judge holds a path against RFC 3779 section 2.3, from the anchor down: nobody hands on what it does not hold. It notes when the path is valid.
func (s *Signature) judge(path []*certificate, lists []*x509.RevocationList) error {
	anchor := path[len(path)-1]
	holds, numbers := anchor.addresses, anchor.numbers
	s.From, s.Until = anchor.NotBefore, anchor.NotAfter
	for i := len(path) - 2; i >= 0; i-- {
		c, up := path[i], path[i+1]
		if up.MaxPathLen >= 0 && i > up.MaxPathLen { // i certificates that issue others stand below it
			return fmt.Errorf("%s lets no path as long as this one begin with it", up.name())
		}
		if !c.addresses.inherit {
			if what, ok := holds.hold(c.addresses); !ok {
				return fmt.Errorf("%s claims %s, which its issuer does not hold (RFC 3779 section 2.3)", c.name(), what)
			}
			holds = c.addresses
		}
		if !c.numbers.inherit {
			if _, ok := numbers.hold(c.numbers); !ok {
				return fmt.Errorf("%s claims AS numbers which its issuer does not hold (RFC 3779 section 3.3)", c.name())
			}
			numbers = c.numbers
		}
		s.within(c.NotBefore, c.NotAfter)
		if len(lists) > 0 {
			if err := s.revoked(c, up, lists); err != nil {
				return err
			}
		}
	}
	s.Checked = len(lists) > 0
	return nil
}

func (s *Signature) within(from, until time.Time) {
	if from.After(s.From) {
		s.From = from
	}
	if until.Before(s.Until) {
		s.Until = until
	}
}

// revoked looks a certificate up in the lists of its issuer. What any of them names is revoked; the newest says until when they are good.
func (s *Signature) revoked(c, up *certificate, lists []*x509.RevocationList) error {
	var newest *x509.RevocationList
	for _, l := range lists {
		if !bytes.Equal(l.RawIssuer, up.RawSubject) || l.CheckSignatureFrom(up.Certificate) != nil {
			continue
		}
		for _, r := range l.RevokedCertificateEntries {
			if r.SerialNumber.Cmp(c.SerialNumber) == 0 {
				return fmt.Errorf("%s was revoked at %s", c.name(), r.RevocationTime.UTC().Format(time.RFC3339))
			}
		}
		if newest == nil || l.NextUpdate.After(newest.NextUpdate) {
			newest = l
		}
	}
	if newest == nil {
		return fmt.Errorf("there are revocation lists, and none of them is by %s, which issued %s", up.name(), c.name())
	}
	s.within(newest.ThisUpdate, newest.NextUpdate)
	return nil
}

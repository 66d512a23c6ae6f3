package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
)

// PeerIdentity is what a TLS handshake proved.
type PeerIdentity struct {
	Version, Suite string
	Names          []string // SAN DNS and URI names of the leaf; of a client certificate only when it was verified
	SPKI           string   // lower-case hex SHA-256 of the SubjectPublicKeyInfo
	Verified       bool
}

// sipDomain is the key purpose of RFC 5924: authentication of a SIP domain, in either role.
var sipDomain = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 20}

// client is the configuration of a handshake that we begin. The library's own verification is replaced, not left out: RFC 5922 knows names in URIs, forbids
// wildcards, and the name is the trunk's although the address is pinned.
func (p *TLSProfile) client() *tls.Config {
	c := &tls.Config{
		ServerName:         p.ServerName,
		MinVersion:         max(p.MinVersion, tls.VersionTLS12),
		InsecureSkipVerify: true, // see VerifyConnection
		VerifyConnection: func(s tls.ConnectionState) error {
			if err := verifyChain(s.PeerCertificates, p.roots(), x509.ExtKeyUsageServerAuth); err != nil {
				return err
			}
			return p.verifyName(s.PeerCertificates[0])
		},
	}
	if p.Cert != nil {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if cert := p.Cert(); cert != nil {
				return cert, nil
			}
			return &tls.Certificate{}, nil
		}
	}
	return c
}

// server is the configuration of handshakes that come in.
func (ln *Listener) server() *tls.Config {
	c := &tls.Config{
		MinVersion: max(ln.TLS.MinVersion, tls.VersionTLS12),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if cert := ln.TLS.Cert(); cert != nil {
				return cert, nil
			}
			return nil, errors.New("transport: no certificate")
		},
	}
	if ln.ClientCAs != nil {
		c.ClientAuth = tls.RequestClientCert
		c.VerifyConnection = func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 {
				return nil // whether it may come without is the Screen's decision
			}
			// RFC 5922 section 7.1 has the usages looked at. Either will do: a SIP domain serves in both roles, and public CAs issue no clientAuth any more.
			return verifyChain(s.PeerCertificates, ln.ClientCAs(), x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth)
		}
		// The authorities that a client may choose its certificate by are those of the moment. Tickets stay those of c.
		c.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
			now := c.Clone()
			now.ClientCAs = ln.ClientCAs()
			return now, nil
		}
	}
	return c
}

// roots are those in force; nil: the system's.
func (p *TLSProfile) roots() *x509.CertPool {
	if p.Roots == nil {
		return nil
	}
	return p.Roots()
}

// verifyChain checks the chain and that the leaf may be used so.
func verifyChain(certs []*x509.Certificate, roots *x509.CertPool, usages ...x509.ExtKeyUsage) error {
	if len(certs) == 0 {
		return errors.New("transport: the peer showed no certificate")
	}
	leaf, between := certs[0], x509.NewCertPool()
	for _, c := range certs[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		return fmt.Errorf("transport: verify the peer: %w", err)
	}
	if len(leaf.ExtKeyUsage) == 0 && len(leaf.UnknownExtKeyUsage) == 0 {
		return nil
	}
	for _, u := range leaf.ExtKeyUsage {
		if u == x509.ExtKeyUsageAny || slices.Contains(usages, u) {
			return nil
		}
	}
	for _, u := range leaf.UnknownExtKeyUsage {
		if u.Equal(sipDomain) {
			return nil
		}
	}
	return errors.New("transport: the peer's certificate is not for this use")
}

// verifyName checks that the leaf carries one of the names that the profile accepts. RFC 5922 sections 7.1 and 7.2.
func (p *TLSProfile) verifyName(leaf *x509.Certificate) error {
	want := p.Peers
	if len(want) == 0 {
		want = []string{p.ServerName}
	}
	names := identities(leaf)
	for _, w := range want {
		if ip := net.ParseIP(strings.Trim(w, "[]")); ip != nil {
			if slices.ContainsFunc(leaf.IPAddresses, ip.Equal) {
				return nil
			}
			continue
		}
		for _, n := range names {
			if strings.EqualFold(strings.TrimSuffix(n, "."), strings.TrimSuffix(w, ".")) {
				return nil
			}
		}
	}
	return fmt.Errorf("transport: the peer's certificate names %q, wanted one of %q", names, want)
}

// identities gives the SIP domains that a certificate names: its sip URIs without a user, else its DNS names.
func identities(leaf *x509.Certificate) []string {
	var uris []string
	for _, u := range leaf.URIs {
		// A sip URI has no authority part, so what follows the scheme is opaque; a user part makes it the name of a person, not of a domain.
		host := u.Opaque
		if host == "" {
			host = u.Host
		}
		if strings.EqualFold(u.Scheme, "sip") && host != "" && u.User == nil && !strings.Contains(host, "@") {
			host, _, _ = strings.Cut(host, ";")
			uris = append(uris, host)
		}
	}
	if len(uris) > 0 {
		return uris
	}
	return leaf.DNSNames
}

// identify tells what the handshake proved. verified says that the chain was checked.
func identify(s tls.ConnectionState, verified bool) *PeerIdentity {
	id := &PeerIdentity{Version: tls.VersionName(s.Version), Suite: tls.CipherSuiteName(s.CipherSuite)}
	if len(s.PeerCertificates) == 0 || !verified {
		return id
	}
	leaf := s.PeerCertificates[0]
	sum := sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	id.SPKI, id.Verified = hex.EncodeToString(sum[:]), true
	id.Names = append(id.Names, leaf.DNSNames...)
	for _, u := range leaf.URIs {
		id.Names = append(id.Names, u.String())
	}
	return id
}

package dtls

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"time"
)

// Certificate is a key pair on P-256 and the certificate that it signed for itself. The zero Certificate proves nothing and is not taken.
//
// One is made for each leg and dies with it. What it costs is a small part of the handshake; what it gives is that nobody can tell by it, neither from descriptions
// nor on the wire, where DTLS 1.2 shows certificates in clear, that two calls went through the same node.
type Certificate struct {
	pair        tls.Certificate
	fingerprint Fingerprint
}

// lifetime is how long a certificate is valid around now: peers compare fingerprints and not dates, and some whose clock is wrong look at the dates all the same.
const lifetime = 30 * 24 * time.Hour

// NewCertificate makes a fresh one.
func NewCertificate() (Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, fmt.Errorf("dtls: key of a certificate: %w", err)
	}
	var serial [8]byte
	rand.Read(serial[:]) // never fails, by its contract
	now := time.Now()
	template := x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]),
		// A name that says nothing of who we are, for stacks that want one.
		Subject:            pkix.Name{CommonName: "srtp"},
		NotBefore:          now.Add(-lifetime),
		NotAfter:           now.Add(lifetime),
		SignatureAlgorithm: x509.ECDSAWithSHA256,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	if err != nil {
		return Certificate{}, fmt.Errorf("dtls: certificate: %w", err)
	}
	sum := sha256.Sum256(der)
	return Certificate{
		pair:        tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		fingerprint: newFingerprint("sha-256", sum[:]),
	}, nil
}

// Fingerprint is the one by SHA-256.
func (c Certificate) Fingerprint() Fingerprint { return c.fingerprint }

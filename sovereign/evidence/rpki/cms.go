package rpki

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"time"
)

// The identifiers of RFC 5652, RFC 5754 and RFC 9632.
var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidGeofeed       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 47} // id-ct-geofeedCSVwithCRLF
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningTime   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 5}
	oidSHA256        = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidSHA256RSA     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
)

type algorithm struct {
	ID         asn1.ObjectIdentifier
	Parameters asn1.RawValue `asn1:"optional"`
}

// contentInfo is that of RFC 5652 section 3, with SignedData of section 5.1 in it.
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content struct {
		Version      int
		Digests      []algorithm `asn1:"set"`
		Encap        encapsulated
		Certificates asn1.RawValue `asn1:"optional,tag:0"`
		Revocations  asn1.RawValue `asn1:"optional,tag:1"`
		Signers      []signerInfo  `asn1:"set"`
	} `asn1:"explicit,tag:0"`
}

type encapsulated struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"optional,explicit,tag:0"`
}

// signerInfo is that of RFC 5652 section 5.3; RFC 6488 section 2.1.6 wants the signer named by its key.
type signerInfo struct {
	Version    int
	Key        []byte `asn1:"tag:0"`
	Digest     algorithm
	Attributes asn1.RawValue `asn1:"tag:0"`
	Algorithm  algorithm
	Signature  []byte
	Unsigned   asn1.RawValue `asn1:"optional,tag:1"`
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// signed is a SignedData that keeps to the profile.
type signed struct {
	signer    *certificate
	covered   []byte // the attributes as they were signed
	signature []byte
	digest    []byte // of the text, by the signer's word
	at        time.Time
}

// parseSigned reads a SignedData and holds it against the profile of RFC 6488 section 3, with the detached content of RFC 9632.
func parseSigned(der []byte) (*signed, error) {
	var info contentInfo
	if err := unmarshal(der, &info, ""); err != nil {
		return nil, errors.New("the signature is no SignedData in DER (RFC 5652)")
	}
	c := &info.Content
	switch {
	case !info.Type.Equal(oidSignedData) || c.Version != 3:
		return nil, errors.New("the signature is no SignedData of version 3 (RFC 6488 section 2.1.1)")
	case len(c.Digests) != 1 || !c.Digests[0].ID.Equal(oidSHA256):
		return nil, errors.New("the signature names other digests than SHA-256")
	case !c.Encap.Type.Equal(oidGeofeed):
		return nil, fmt.Errorf("the signature is over content of type %s, and a geofeed is %s (RFC 9632 section 5)", c.Encap.Type, oidGeofeed)
	case len(c.Encap.Content.FullBytes) > 0:
		return nil, errors.New("the signature brings its own content along: that of a geofeed is detached")
	case len(c.Revocations.FullBytes) > 0:
		return nil, errors.New("the signature brings revocation lists along (RFC 6488 section 2.1.5)")
	case len(c.Signers) != 1:
		return nil, fmt.Errorf("the signature has %d signers, and must have one", len(c.Signers))
	}
	cert, err := parseCertificate(c.Certificates.Bytes) // fails when another follows
	if err != nil {
		return nil, err
	}
	si := &c.Signers[0]
	switch {
	case si.Version != 3 || !bytes.Equal(si.Key, cert.SubjectKeyId):
		return nil, errors.New("the signer is not the certificate that comes along (RFC 6488 section 2.1.6.2)")
	case !si.Digest.ID.Equal(oidSHA256) || !si.Algorithm.ID.Equal(oidRSA) && !si.Algorithm.ID.Equal(oidSHA256RSA):
		return nil, errors.New("the signer uses other algorithms than RSA with SHA-256 (RFC 7935)")
	case len(si.Unsigned.FullBytes) > 0:
		return nil, errors.New("the signature has unsigned attributes (RFC 6488 section 2.1.6.7)")
	}
	s := &signed{signer: cert, signature: si.Signature}
	if err := s.attributes(si.Attributes); err != nil {
		return nil, err
	}
	return s, nil
}

// attributes reads the signed ones: content type, digest and time, each once with one value, and no other (RFC 6488 section 2.1.6.4, RFC 9589).
func (s *signed) attributes(raw asn1.RawValue) error {
	if len(raw.FullBytes) == 0 {
		return errors.New("the signature has no signed attributes")
	}
	// RFC 5652 section 5.4: what is signed is their SET, under its own tag.
	s.covered = bytes.Clone(raw.FullBytes)
	s.covered[0] = asn1.TagSet | 0x20
	var list []attribute
	if err := unmarshal(s.covered, &list, "set"); err != nil {
		return errors.New("the signed attributes do not read")
	}
	var kind asn1.ObjectIdentifier
	seen := map[string]bool{}
	for _, a := range list {
		id := a.Type.String()
		if len(a.Values) != 1 || seen[id] {
			return fmt.Errorf("the signed attribute %s stands twice, or has not one value", id)
		}
		seen[id] = true
		var err error
		switch v := a.Values[0].FullBytes; {
		case a.Type.Equal(oidContentType):
			err = unmarshal(v, &kind, "")
		case a.Type.Equal(oidMessageDigest):
			err = unmarshal(v, &s.digest, "")
		case a.Type.Equal(oidSigningTime):
			err = unmarshal(v, &s.at, "")
		default:
			err = errors.New("it must not be there (RFC 6488 section 2.1.6.4)")
		}
		if err != nil {
			return fmt.Errorf("the signed attribute %s: %w", id, err)
		}
	}
	switch {
	case !kind.Equal(oidGeofeed):
		return errors.New("the signed attributes name another type of content than a geofeed")
	case s.digest == nil || s.at.IsZero():
		return errors.New("the signed attributes lack the digest of the text or the time (RFC 9589)")
	}
	s.at = s.at.UTC()
	return nil
}

// verify holds the digest against the text, and the signature against the digest.
func (s *signed) verify(text []byte) error {
	if sum := sha256.Sum256(text); !bytes.Equal(sum[:], s.digest) {
		return errors.New("the text is not the one that was signed")
	}
	sum := sha256.Sum256(s.covered)
	if err := rsa.VerifyPKCS1v15(s.signer.PublicKey.(*rsa.PublicKey), crypto.SHA256, sum[:], s.signature); err != nil {
		return fmt.Errorf("the signature is not by %s", s.signer.name())
	}
	return nil
}

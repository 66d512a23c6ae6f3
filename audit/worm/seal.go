package worm

import (
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// keyPrefix is in front of a recovery key's public half.
const keyPrefix = "x25519:"

// Recipient is the public half of a recovery key: what is sealed to it, only who has the other half can open.
type Recipient struct{ key hpke.PublicKey }

// ParseRecipient reads x25519:BASE64.
func ParseRecipient(s string) (*Recipient, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(s), keyPrefix)
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil {
		return nil, errors.New("worm: a recovery key reads x25519:BASE64, as `cordon restore key` prints it")
	}
	pub, err := ecdh.X25519().NewPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("worm: recovery key: %w", err)
	}
	key, err := hpke.NewDHKEMPublicKey(pub)
	if err != nil {
		return nil, fmt.Errorf("worm: recovery key: %w", err)
	}
	return &Recipient{key}, nil
}

// seal gives raw to nobody but the owner of the recovery key, RFC 9180 base mode: DHKEM(X25519), HKDF-SHA256, AES-256-GCM. info binds it to its place.
func (r *Recipient) seal(info string, raw []byte) ([]byte, error) {
	return hpke.Seal(r.key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), raw)
}

// RecoveryKey is the private half.
type RecoveryKey struct {
	ecdh *ecdh.PrivateKey
	key  hpke.PrivateKey
}

// NewRecoveryKey makes one.
func NewRecoveryKey() (*RecoveryKey, error) {
	priv, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("worm: recovery key: %w", err)
	}
	return recoveryKey(priv)
}

func recoveryKey(priv *ecdh.PrivateKey) (*RecoveryKey, error) {
	key, err := hpke.NewDHKEMPrivateKey(priv)
	if err != nil {
		return nil, fmt.Errorf("worm: recovery key: %w", err)
	}
	return &RecoveryKey{priv, key}, nil
}

// ParseRecoveryKey reads what Marshal wrote.
func ParseRecoveryKey(raw []byte) (*RecoveryKey, error) {
	block, _ := pem.Decode(raw)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("worm: recovery key: expected a PKCS #8 key in PEM, as `cordon restore key` makes it")
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("worm: recovery key: %w", err)
	}
	priv, ok := any.(*ecdh.PrivateKey)
	if !ok || priv.Curve() != ecdh.X25519() {
		return nil, errors.New("worm: recovery key: expected one of X25519")
	}
	return recoveryKey(priv)
}

// Marshal gives the key in PKCS #8, PEM.
func (k *RecoveryKey) Marshal() ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k.ecdh)
	if err != nil {
		return nil, fmt.Errorf("worm: recovery key: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Recipient is the public half as the configuration has it.
func (k *RecoveryKey) Recipient() string {
	return keyPrefix + base64.StdEncoding.EncodeToString(k.ecdh.PublicKey().Bytes())
}

// open is the other half of seal.
func (k *RecoveryKey) open(info string, sealed []byte) ([]byte, error) {
	return hpke.Open(k.key, hpke.HKDFSHA256(), hpke.AES256GCM(), []byte(info), sealed)
}

// sealInfo binds what is sealed to the log that it belongs to and to the kind of its name.
func sealInfo(origin, at string) string { return "cordon worm v1\n" + origin + "\n" + at }

package cordon

import (
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"os"
	"path/filepath"
	"sync"
)

// nodeKeys are the secrets that a node makes for itself on first run. Rooms never see them: they get a crypto.Signer or a function.
type nodeKeys struct {
	log ed25519.PrivateKey // signs checkpoints
	mac []byte             // keys the pseudonyms

	outgoing ed25519.PrivateKey // signs them as well; nil: it does not
	chain    string             // the keys of the log and its hand-overs, empty: there was one alone
}

func (k *nodeKeys) signer() crypto.Signer { return k.log }

// before is the key that signs beside the newest one, nil for none.
func (k *nodeKeys) before() crypto.Signer {
	if k.outgoing == nil {
		return nil
	}
	return k.outgoing
}

// derive gives an HMAC function that is good for one use alone. What it gives stands behind the message, where there is room.
func (k *nodeKeys) derive(use string) func([]byte) []byte {
	sub := hmac.New(sha256.New, k.mac)
	sub.Write([]byte("cordon/" + use))
	key := sub.Sum(nil)
	keyed := sync.Pool{New: func() any { return hmac.New(sha256.New, key) }} // keying it costs more than a message
	return func(b []byte) []byte {
		m := keyed.Get().(hash.Hash)
		defer keyed.Put(m)
		m.Reset()
		m.Write(b)
		return m.Sum(b)[len(b):]
	}
}

func newKeys() (*nodeKeys, error) {
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	mac := make([]byte, 32)
	if _, err := rand.Read(mac); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &nodeKeys{log: priv, mac: mac}, nil
}

// loadKeys reads the keys in dir or makes them (folder 0700, files 0600). A file that others can read is an error: it may have been copied.
func loadKeys(dir string) (*nodeKeys, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	fresh, err := newKeys()
	if err != nil {
		return nil, err
	}
	k := &nodeKeys{}
	if err := logKeys(filepath.Dir(dir)).load(k, fresh.log.Seed()); err != nil {
		return nil, err
	}
	mac, err := keyFile(filepath.Join(dir, "mac.key"), fresh.mac)
	if err != nil {
		return nil, err
	}
	k.mac = mac
	return k, nil
}

// keyFile reads a 32-byte key, or writes fresh there when there is none yet.
func keyFile(path string, fresh []byte) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, werr := f.Write(fresh)
		if err := errors.Join(werr, f.Sync(), f.Close()); err != nil {
			return nil, fmt.Errorf("keys: %w", err)
		}
		return fresh, nil
	}
	if !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("keys: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("keys: %s can be read by others (%o): chmod 600 it, or move it away so that a new one is made", path, info.Mode().Perm())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	if len(b) != 32 {
		return nil, fmt.Errorf("keys: %s has %d bytes and must have 32: restore it from the backup", path, len(b))
	}
	return b, nil
}

package cordon

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
)

// logKeys is the state folder as far as it is about the keys that sign the log: keys/log.key; during a hand-over keys/log.key.next and keys/handover; while
// the former key signs as well keys/log.key.old; and log.keys, the first public key with the hand-overs since.
type logKeys string

func (d logKeys) key(suffix string) string { return filepath.Join(string(d), "keys", "log.key"+suffix) }
func (d logKeys) handover() string         { return filepath.Join(string(d), "keys", "handover") }
func (d logKeys) chain() string            { return filepath.Join(string(d), "log.keys") }
func (d logKeys) log() string              { return filepath.Join(string(d), "log") }

// load reads the keys, or makes the first one of fresh. A hand-over that a crash cut off is finished where the log has it, and never took place where not.
func (d logKeys) load(k *nodeKeys, fresh []byte) error {
	if err := d.settle(); err != nil {
		return err
	}
	seed, err := keyFile(d.key(""), fresh)
	if err != nil {
		return err
	}
	k.log = ed25519.NewKeyFromSeed(seed)
	raw, err := os.ReadFile(d.chain())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("keys: %w", err)
	}
	if k.chain = string(raw); len(raw) == 0 {
		return nil
	}
	until, err := d.overlap(k.chain)
	if err != nil {
		return err
	}
	if !time.Now().Before(until) {
		return audit.Shred(d.key(".old"))
	}
	if seed, err = os.ReadFile(d.key(".old")); errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil || len(seed) != ed25519.SeedSize {
		return fmt.Errorf("keys: %s: expected %d bytes: %w", d.key(".old"), ed25519.SeedSize, err)
	}
	k.outgoing = ed25519.NewKeyFromSeed(seed)
	return nil
}

// overlap is until when the key before the newest one signs as well.
func (d logKeys) overlap(chain string) (time.Time, error) {
	keys, err := proof.NewKeys(chain, nil, 0)
	if err != nil {
		return time.Time{}, fmt.Errorf("keys: %s: %w", d.chain(), err)
	}
	list := keys.Handovers()
	if len(list) == 0 {
		return time.Time{}, nil
	}
	return list[len(list)-1].Overlap, nil
}

// settle ends a hand-over that a crash cut off.
func (d logKeys) settle() error {
	raw, err := os.ReadFile(d.handover())
	if errors.Is(err, fs.ErrNotExist) {
		return audit.Shred(d.key(".next")) // made, and never named to the log
	}
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	h, err := proof.ParseHandover(string(raw))
	if err != nil {
		return fmt.Errorf("keys: %s: %w", d.handover(), err)
	}
	done, err := audit.HandedOver(d.log(), h)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if !done {
		return errors.Join(audit.Shred(d.key(".next")), os.Remove(d.handover()))
	}
	return d.finish(h)
}

// prepare puts the next key beside the one in force.
func (d logKeys) prepare(next ed25519.PrivateKey) error {
	if err := audit.KeepKeys(d.key(".next"), string(next.Seed())); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	return nil
}

// finish puts the key in force that the log was handed over to. Each step may have been taken before.
func (d logKeys) finish(h proof.Handover) error {
	chain, err := os.ReadFile(d.chain())
	if errors.Is(err, fs.ErrNotExist) {
		chain, err = []byte(h.Old), nil
	}
	if err == nil {
		err = audit.KeepKeys(d.chain(), audit.WithHandover(string(chain), h))
	}
	if err == nil {
		err = d.swap(h)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(string(d), "log.vkey"), []byte(h.New+"\n"), 0o644)
	}
	if err == nil && !h.Overlap.After(h.At) {
		err = audit.Shred(d.key(".old"))
	}
	if err == nil {
		err = os.Remove(d.handover())
	}
	if err != nil {
		return fmt.Errorf("keys: hand-over at entry %d: %w", h.Entry, err)
	}
	return nil
}

// swap makes the next key the one in force, and keeps the one before as it is on the disk, so that it can be overwritten there.
func (d logKeys) swap(h proof.Handover) error {
	if _, err := os.Stat(d.key(".next")); errors.Is(err, fs.ErrNotExist) {
		return nil // it is done
	} else if err != nil {
		return err
	}
	now, err := os.Stat(d.key(""))
	if err != nil {
		return err
	}
	if old, err := os.Stat(d.key(".old")); err != nil || !os.SameFile(now, old) {
		if err := audit.Shred(d.key(".old")); err != nil {
			return err
		}
		if err := os.Link(d.key(""), d.key(".old")); err != nil {
			return err
		}
	}
	if err := os.Rename(d.key(".next"), d.key("")); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(d.key("")))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// rotate hands a log over to a new key. d is empty for a log in memory.
func (d logKeys) rotate(ctx context.Context, l audit.Log, r audit.Rotation) (proof.Handover, error) {
	_, next, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return proof.Handover{}, fmt.Errorf("keys: %w", err)
	}
	r.Next = next
	if d == "" {
		return l.RotateKey(ctx, r)
	}
	r.Prepared = func(h proof.Handover) error {
		if err := d.prepare(next); err != nil {
			return err
		}
		return audit.KeepKeys(d.handover(), h.Raw)
	}
	h, err := l.RotateKey(ctx, r)
	if err != nil {
		return h, err
	}
	return h, d.finish(h)
}

// retire shreds the former key once it signs no more.
func (d logKeys) retire(chain string, now time.Time) error {
	if _, err := os.Stat(d.key(".old")); d == "" || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	until, err := d.overlap(chain)
	if err != nil || now.Before(until) {
		return err
	}
	return audit.Shred(d.key(".old"))
}

// logKeys is where the node keeps the keys of its log.
func (n *Node) logKeys() logKeys {
	if n.opts.Memory {
		return ""
	}
	return logKeys(n.opts.Config.StateDir)
}

// rotateKey hands the node's log over to a new key.
func (n *Node) rotateKey(ctx context.Context, r admin.KeyRotation, by string) (admin.KeyRotated, error) {
	h, err := n.logKeys().rotate(ctx, n.log, audit.Rotation{By: n.pseudonym(by), Reason: r.Reason, Overlap: r.Overlap(), Compromised: r.Compromised})
	if err != nil {
		return admin.KeyRotated{}, err
	}
	n.logger.Warn("another key signs the log", "old", proof.KeyID(h.Old), "new", proof.KeyID(h.New), "entry", h.Entry, "overlap_until", h.Overlap)
	return admin.KeyRotated{Entry: h.Entry, Old: h.Old, New: h.New, Overlap: h.Overlap, Keys: n.log.Keys()}, nil
}

// RotateLogKey hands the log in the state folder of a node that does not run over to a new key. r.By is the id of a person.
func RotateLogKey(ctx context.Context, stateDir, software string, r audit.Rotation) (_ proof.Handover, keys string, err error) {
	d := logKeys(stateDir)
	vkey, err := os.ReadFile(filepath.Join(stateDir, "log.vkey"))
	if err != nil {
		return proof.Handover{}, "", fmt.Errorf("keys: %w", err)
	}
	if _, err := os.Stat(d.key("")); err != nil {
		return proof.Handover{}, "", fmt.Errorf("keys: %w", err)
	}
	var k nodeKeys
	if err := d.load(&k, nil); err != nil {
		return proof.Handover{}, "", err
	}
	names, err := audit.OpenPseudonyms(filepath.Join(stateDir, "pseudonyms"), nil)
	if err != nil {
		return proof.Handover{}, "", err
	}
	defer func() { err = errors.Join(err, names.Close()) }()
	r.By = names.Person(r.By)
	origin, _, _ := strings.Cut(string(vkey), "+")
	part := strings.Split(origin, "/")
	if len(part) < 3 { // a fourth part is the number of a log that goes on in the place of a lost one
		return proof.Handover{}, "", fmt.Errorf("keys: log.vkey: expected the key of cordon/TENANT/NODE, found %q", origin)
	}
	l, _, err := audit.Open(ctx, audit.Config{
		Dir: d.log(), Signer: k.signer(), Outgoing: k.before(), Keys: k.chain, Origin: origin, Tenant: part[1], Node: part[2], Software: software,
	})
	if err != nil {
		return proof.Handover{}, "", err
	}
	h, err := d.rotate(ctx, l, r)
	return h, l.Keys(), errors.Join(err, l.Close(ctx))
}

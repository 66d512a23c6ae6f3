// Package witness is the memory of somebody who watches the logs of others: the last checkpoint of each that it signed. It cosigns a newer one
// (C2SP tlog-cosignature) only where that is proved to begin with the last, so whoever shows two histories of one log needs two sets of witnesses.
//
// What it signed is on the disk before the signature leaves. A state that does not read as it was signed, or is newer than the clock, stops it: a
// witness that forgets signs forks. It opens no connection. It imports the files of proofs, and nothing else of ours.
package witness

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/cordonsip/cordon/audit/proof"
)

// State is the folder of one witness.
type State struct {
	dir  string
	lock *os.File
}

// Fork is a refusal with its evidence: two signed checkpoints of one size, or a tree that does not begin with the one before it.
type Fork struct {
	Why         error
	First, Then []byte // signed, both of them
}

func (f *Fork) Error() string {
	return "witness: this is not the log whose last checkpoint was signed: " + f.Why.Error()
}
func (f *Fork) Unwrap() error { return f.Why }

// ErrUnproved says that what is to be signed does not hold by itself: a signature, or the proof from the last one.
var ErrUnproved = errors.New("not proved")

// ErrOutOfStep says that a request does not begin where the last signature ended.
var ErrOutOfStep = errors.New("out of step")

// Open takes the folder, which must exist, for its opener alone.
func Open(dir string) (*State, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("witness: lock of the state: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("witness: the state in %s is open elsewhere: %w", dir, err), f.Close())
	}
	return &State{dir: dir, lock: f}, nil
}

// Close lets the folder go.
func (s *State) Close() error { return s.lock.Close() }

// last is what is remembered of one log: the checkpoint with the cosignature, so that a state that somebody changed does not read.
type last struct {
	raw []byte // empty for a log that was never seen
	cp  proof.Checkpoint
}

func (s *State) path(origin string) string {
	sum := sha256.Sum256([]byte(origin))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:])+".checkpoint")
}

// remembered gives what is known of the log of that key.
func (s *State) remembered(log string, by *proof.Cosigner) (l last, err error) {
	k, err := proof.NewKeys(log, []string{by.VerifierKey()}, 1)
	if err != nil {
		return last{}, err
	}
	path := s.path(k.Origin())
	l.raw, err = os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return last{}, nil
	}
	if err == nil {
		l.cp, err = k.Past().Open(l.raw)
	}
	if err != nil {
		return last{}, fmt.Errorf("witness: what was signed last, %s: %w", path, err)
	}
	return l, nil
}

// Cosign signs the checkpoint in file, which is one of consistency from the last that was signed, or for a log that was never seen, or at the same size, a
// checkpoint alone. log is the public key of that log in note verifier form. It gives the checkpoint with the cosignature behind its signatures.
func (s *State) Cosign(file []byte, log string, by *proof.Cosigner, now time.Time) ([]byte, error) {
	k, err := proof.NewKeys(log, nil, 0)
	if err != nil {
		return nil, err
	}
	was, err := s.remembered(log, by)
	if err != nil {
		return nil, err
	}
	if len(was.raw) > 0 && now.Before(was.cp.Witnesses[0].Time) {
		return nil, fmt.Errorf("witness: the clock says %s, and the last signature was at %s: its times never go back",
			now.UTC().Format(time.RFC3339), was.cp.Witnesses[0].Time.Format(time.RFC3339))
	}
	raw, cp, err := judge(file, k, was)
	if err != nil {
		return nil, err
	}
	line, err := by.Sign(cp.Text, now)
	if err != nil {
		return nil, err
	}
	own, err := k.Own(raw) // of strangers' signatures there may be so many that with one more nobody reads it
	if err == nil {
		err = s.remember(k.Origin(), append(own, line...))
	}
	if err != nil {
		return nil, fmt.Errorf("witness: nothing was signed: %w", err)
	}
	return append(without(raw, by), line...), nil
}

// without gives a checkpoint without earlier signatures in the name of the witness: each has one.
func without(cp []byte, by *proof.Cosigner) (out []byte) {
	for line := range bytes.Lines(cp) {
		if !bytes.HasPrefix(line, []byte("\u2014 "+by.Name()+" ")) {
			out = append(out, line...)
		}
	}
	return out
}

// judge says which checkpoint of a file may be signed, given what was signed last.
func judge(file []byte, k *proof.Keys, was last) (raw []byte, cp proof.Checkpoint, err error) {
	p := proof.Consistency{From: was.raw, To: file}
	if bytes.HasPrefix(file, []byte(proof.ConsistencyHeader)) {
		if p, err = proof.ParseConsistency(file); err != nil {
			return nil, cp, fmt.Errorf("witness: %w: %w", ErrUnproved, err)
		}
	}
	if cp, err = k.Open(p.To); err != nil {
		return nil, cp, fmt.Errorf("witness: %w: checkpoint: %w", ErrUnproved, err)
	}
	if len(was.raw) == 0 {
		return p.To, cp, nil // the first that is seen of a log is taken as it is
	}
	if err := follows(p, k, was, cp); err != nil {
		return nil, cp, err
	}
	return p.To, cp, nil
}

// follows says whether cp, which p is to prove, goes on from what was signed last.
func follows(p proof.Consistency, k *proof.Keys, was last, cp proof.Checkpoint) error {
	from, err := k.Past().Open(p.From)
	switch {
	case err != nil:
		return fmt.Errorf("witness: %w: first checkpoint: %w", ErrUnproved, err)
	case from.Size == was.cp.Size && from.Root != was.cp.Root:
		return &Fork{proof.Follows(was.cp, from, nil), was.raw, p.From}
	case cp.Size == was.cp.Size && cp.Root != was.cp.Root:
		return &Fork{proof.Follows(was.cp, cp, nil), was.raw, p.To}
	case cp.Size < was.cp.Size:
		return fmt.Errorf("witness: %w: the checkpoint stands for %d entries, the last that was signed for %d: it is an old one, or the log was rolled back", ErrOutOfStep, cp.Size, was.cp.Size)
	case from.Size != was.cp.Size || cp.Size > was.cp.Size && was.cp.Size > 0 && len(p.Hashes) == 0:
		return fmt.Errorf("witness: %w: expected a proof from the %d entries of the last checkpoint that was signed", ErrOutOfStep, was.cp.Size)
	}
	// From here on the first checkpoint is the one that was signed last, so a proof that fails may be the proof's fault: it shows no fork.
	if err := proof.Follows(was.cp, cp, p.Hashes); err != nil {
		return fmt.Errorf("witness: %w: %w", ErrUnproved, err)
	}
	return nil
}

// Last is the checkpoint of a log that was signed last, nil for none: a proof must begin there.
func (s *State) Last(log string, by *proof.Cosigner) ([]byte, error) {
	l, err := s.remembered(log, by)
	return l.raw, err
}

// remember puts what was signed on the disk at once or not at all.
func (s *State) remember(origin string, raw []byte) error {
	f, err := os.CreateTemp(s.dir, ".state-*")
	if err != nil {
		return err
	}
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), s.path(origin))
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package audit

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/transparency-dev/tessera/api/layout"
	"golang.org/x/mod/sumdb/note"

	"github.com/cordonsip/cordon/audit/proof"
)

// Rotation is the wish that another key signs the log from now on.
type Rotation struct {
	Next    crypto.Signer // Ed25519
	By      string        // pseudonym
	Reason  string
	Overlap time.Duration // for how long the old key signs as well; 0: not at all

	// Compromised is since when somebody else may have the old key; zero: nobody. Then there is no overlap.
	Compromised time.Time

	// Prepared makes the hand-over and the new key durable before the log has them, so that a crash in between loses neither. nil: nothing is to be kept.
	Prepared func(proof.Handover) error
}

// KeyRotated says that another key signs the log. It is the last entry that the old key may have signed alone, and the first under the new one.
type KeyRotated struct {
	Handover    string    `json:"handover"` // signed by both keys (proof.Handover)
	Old         string    `json:"old_key"`  // name and hash
	New         string    `json:"new_key"`
	By          string    `json:"by"` // pseudonym
	Reason      string    `json:"reason"`
	Overlap     time.Time `json:"overlap_until"` // until when the old key signs beside the new one
	Compromised time.Time `json:"compromised_since,omitzero"`
}

func (KeyRotated) Kind() Kind { return KindKeyRotated }

// signing is who signs checkpoints. It never changes: a rotation gives another one.
type signing struct {
	signer   *noteSigner
	outgoing *noteSigner // the one before, until a time; nil: there is none
	until    time.Time
	file     string // of all keys of the log, as proof.NewKeys takes it
	keys     *proof.Keys
}

// newSigning checks the keys of c: the newest that the hand-overs lead to must be that of the signer.
func newSigning(c Config) (*signing, error) {
	s, err := newSigner(c.Origin, c.Signer)
	if err != nil {
		return nil, err
	}
	by := &signing{signer: s, file: c.Keys}
	if strings.TrimSpace(by.file) == "" {
		by.file = s.vkey + "\n"
	}
	if by.keys, err = proof.NewKeys(by.file, nil, 0); err != nil {
		return nil, fmt.Errorf("audit: keys of the log: %w", err)
	}
	if !by.keys.InForce(s.vkey) {
		return nil, fmt.Errorf("audit: keys of the log: the hand-overs lead to %s, and the key that shall sign is %s", by.keys.Signers()[len(by.keys.Signers())-1], proof.KeyID(s.vkey))
	}
	chain := by.keys.Handovers()
	if c.Outgoing == nil || len(chain) == 0 {
		return by, nil
	}
	if by.outgoing, err = newSigner(c.Origin, c.Outgoing); err != nil {
		return nil, err
	}
	last := chain[len(chain)-1]
	if by.outgoing.vkey != last.Old {
		return nil, fmt.Errorf("audit: keys of the log: %s handed over last, and the outgoing key is %s", proof.KeyID(last.Old), proof.KeyID(by.outgoing.vkey))
	}
	by.until = last.Overlap
	return by, nil
}

// at are those who sign at a time, the newest key first.
func (s *signing) at(now time.Time) []note.Signer {
	if s.outgoing != nil && now.Before(s.until) {
		return []note.Signer{s.signer, s.outgoing}
	}
	return []note.Signer{s.signer}
}

// next is who signs after the hand-over at entry seq.
func (s *signing) next(young *noteSigner, r Rotation, seq uint64, now time.Time) (*signing, proof.Handover, error) {
	h := proof.Handover{Origin: young.name, Old: s.signer.vkey, New: young.vkey, Entry: seq, At: now.Truncate(time.Second), Compromised: r.Compromised.Truncate(time.Second)}
	if h.Overlap = h.At; r.Compromised.IsZero() {
		h.Overlap = h.At.Add(r.Overlap).Truncate(time.Second)
	}
	raw, err := note.Sign(&note.Note{Text: h.Text()}, s.signer, young)
	if err != nil {
		return nil, h, fmt.Errorf("sign the hand-over: %w", err)
	}
	if h, err = proof.ParseHandover(string(raw)); err != nil {
		return nil, h, err
	}
	by := &signing{signer: young, file: WithHandover(s.file, h)}
	if h.Overlap.After(h.At) {
		by.outgoing, by.until = s.signer, h.Overlap
	}
	by.keys, err = proof.NewKeys(by.file, nil, 0)
	return by, h, err
}

// WithHandover gives a file of keys with one hand-over more. One that ends with it already stays as it is.
func WithHandover(file string, h proof.Handover) string {
	file = strings.TrimRight(file, "\n") + "\n"
	if strings.HasSuffix(file, h.Raw) {
		return file
	}
	return file + h.Raw
}

// RotateKey hands the log over to r.Next. An error says that nothing changed, unless the process ends before the log is written again: then the entry may
// be there, which HandedOver tells.
func (s *spine) RotateKey(ctx context.Context, r Rotation) (proof.Handover, error) {
	s.turns.Lock()
	defer s.turns.Unlock()
	young, err := newSigner(s.cfg.Origin, r.Next)
	if err != nil {
		return proof.Handover{}, err
	}
	if r.Reason == "" || r.By == "" {
		return proof.Handover{}, errors.New("audit: rotate the key: a reason and a person are needed")
	}
	if err := s.heal(ctx); err != nil {
		return proof.Handover{}, down(KindKeyRotated, err)
	}
	if !s.enter() {
		return proof.Handover{}, down(KindKeyRotated, errClosed)
	}
	defer s.life.running.Done()
	var h proof.Handover
	var next *signing
	var p parcel
	seq, err := s.drv.rotate(func(seq uint64) (leaf []byte, _ *signing, err error) {
		if next, h, err = s.by.Load().next(young, r, seq, s.cfg.Now().UTC()); err != nil {
			return nil, nil, err
		}
		if r.Prepared != nil {
			if err := r.Prepared(h); err != nil {
				return nil, nil, err
			}
		}
		p, err = s.wrap(KeyRotated{
			Handover: h.Raw, Old: proof.KeyID(h.Old), New: proof.KeyID(h.New), By: r.By, Reason: r.Reason, Overlap: h.Overlap, Compromised: h.Compromised,
		})
		return p.leaf, next, err
	})
	if err != nil {
		return proof.Handover{}, down(KindKeyRotated, err)
	}
	s.by.Store(next)
	s.recent.keep(seq, &p.entry, len(p.leaf))
	s.grow(seq + 1)
	return h, nil
}

// HandedOver says whether the log in dir holds the hand-over: whether it took place before a crash. A log that is open elsewhere is an error that wraps
// ErrInUse: whoever has it may be about to hand it over.
func HandedOver(dir string, h proof.Handover) (_ bool, err error) {
	hold, err := holdDir(dir, "log")
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, hold.Close()) }()
	state, err := stateOf(dir)
	if err != nil {
		return false, fmt.Errorf("audit: hand-over of a key: %w", err)
	}
	if state.Size <= h.Entry {
		return false, nil // nothing of the kind is durable: hand-overs never wait in the journal
	}
	w := walk{dir: dir}
	index := h.Entry / layout.EntryBundleWidth
	entries, path, err := w.readBundle(index, uint(min(layout.EntryBundleWidth, state.Size-index*layout.EntryBundleWidth)))
	if err != nil {
		return false, fmt.Errorf("audit: hand-over of a key: %s: %w", path, err)
	}
	e, err := parseEntry(entries[h.Entry%layout.EntryBundleWidth])
	if err != nil {
		return false, fmt.Errorf("audit: hand-over of a key: entry %d: %w", h.Entry, err)
	}
	if e.Kind != KindKeyRotated {
		return false, nil
	}
	ev, err := decodeAs[KeyRotated](e)
	if err != nil {
		return false, err
	}
	return ev.(KeyRotated).Handover == h.Raw, nil
}

// KeepKeys puts the keys of a log into a file, at once or not at all.
func KeepKeys(path, file string) error { return replaceFile(path, []byte(file)) }

// Shred overwrites a file with zeros, durably, and removes it. On a file system that copies on write the old bytes may outlive that.
func Shred(path string) error {
	if err := shred(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("audit: shred: %w", err)
	}
	return nil
}

package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/note"
)

// HandoverHeader is the first line of a hand-over of a log's key.
const HandoverHeader = "cordon/log-key@v1"

// Handover says that from one entry of a log on another key signs its checkpoints. Both keys sign it: the old one gives, the new one takes. So whoever
// trusts either of them can go on to the other.
type Handover struct {
	Origin   string
	Old, New string    // public keys in note verifier form
	Entry    uint64    // index of the entry that says so; the old key alone signs trees of at most one entry more
	At       time.Time // of the node's clock, in seconds, like the others
	Overlap  time.Time // until when the old key signs beside the new one; At: not at all

	// Compromised is since when somebody else may have had the old key; zero: nobody. Checkpoints that it signed then prove nothing by themselves.
	Compromised time.Time

	Raw string // the signed note
}

// Text is what both keys sign.
func (h Handover) Text() string {
	return fmt.Sprintf("%s\n%s\nold %s\nnew %s\nentry %d\nat %d\noverlap %d\ncompromised %d\n",
		HandoverHeader, h.Origin, h.Old, h.New, h.Entry, seconds(h.At), seconds(h.Overlap), seconds(h.Compromised))
}

// seconds is a time as it stands in a hand-over, 0 for none.
func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// ParseHandover reads one hand-over and checks that both of its keys signed it. Each has one form.
func ParseHandover(raw string) (Handover, error) {
	text, _, _ := strings.Cut(raw, "\n\n")
	h, err := parseHandoverText(text + "\n")
	if err != nil {
		return Handover{}, fmt.Errorf("proof: hand-over of a key: %w", err)
	}
	h.Raw = raw
	if err := h.check(); err != nil {
		return Handover{}, fmt.Errorf("proof: hand-over of a key at entry %d: %w", h.Entry, err)
	}
	return h, nil
}

func parseHandoverText(text string) (h Handover, err error) {
	l, err := begin([]byte(text), HandoverHeader)
	if err != nil {
		return h, err
	}
	if h.Origin, err = l.next(); err != nil {
		return h, err
	}
	if h.Old, err = l.field("old"); err == nil {
		h.New, err = l.field("new")
	}
	if err != nil {
		return h, err
	}
	var times [3]uint64
	for i, word := range []string{"entry", "at", "overlap", "compromised"} {
		n, err := l.number(word)
		switch {
		case err != nil:
			return h, err
		case i == 0:
			h.Entry = n
		default:
			times[i-1] = n
		}
	}
	at := func(n uint64) time.Time {
		if n == 0 {
			return time.Time{}
		}
		return time.Unix(int64(n), 0).UTC()
	}
	h.At, h.Overlap, h.Compromised = at(times[0]), at(times[1]), at(times[2])
	if h.Text() != text {
		return h, errors.New("it is not in its one form")
	}
	return h, nil
}

// check holds the two signatures against the keys that it names.
func (h Handover) check() error {
	old, err := note.NewVerifier(h.Old)
	if err != nil {
		return fmt.Errorf("old key: %w", err)
	}
	young, err := note.NewVerifier(h.New)
	if err != nil {
		return fmt.Errorf("new key: %w", err)
	}
	if old.Name() != h.Origin || young.Name() != h.Origin || h.Old == h.New {
		return fmt.Errorf("expected two keys of %s", clip(h.Origin))
	}
	n, err := note.Open([]byte(h.Raw), note.VerifierList(old, young))
	var invalid *note.InvalidSignatureError
	var unknown *note.UnverifiedNoteError
	switch {
	case errors.As(err, &invalid):
		return fmt.Errorf("the signature of %s does not fit: it was changed, or is forged", keyID(invalid.Name, invalid.Hash))
	case errors.As(err, &unknown):
		return fmt.Errorf("not signed by its predecessor %s: it is forged", idOf(old))
	case err != nil:
		return errors.New("no signed note: lines were cut, changed or added")
	}
	signed := func(v note.Verifier) bool {
		return slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Hash == v.KeyHash() })
	}
	switch {
	case !signed(old):
		return fmt.Errorf("not signed by its predecessor %s: it is forged", idOf(old))
	case !signed(young):
		return fmt.Errorf("not signed by the new key %s: nobody shows that it exists", idOf(young))
	case len(n.UnverifiedSigs) > 0:
		return errors.New("signatures of others were added")
	}
	for _, s := range n.Sigs {
		if b, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil || base64.StdEncoding.EncodeToString(b) != s.Base64 {
			return fmt.Errorf("the signature of %s is not in its one form: it was changed", s.Name)
		}
	}
	return nil
}

// ParseChain reads hand-overs, one behind the other, each of which must begin with the key that the one before ended with.
func ParseChain(raw string) ([]Handover, error) {
	if len(raw) > MaxFile {
		return nil, fmt.Errorf("proof: hand-overs of %d bytes: the most is %d", len(raw), MaxFile)
	}
	var out []Handover
	for i, one := range splitNotes(raw) {
		h, err := ParseHandover(one)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			if err := h.Follows(out[i-1]); err != nil {
				return nil, fmt.Errorf("proof: hand-over of a key at entry %d: %w", h.Entry, err)
			}
		}
		out = append(out, h)
	}
	return out, nil
}

// Follows says whether h is the next hand-over of the log whose last one was b.
func (h Handover) Follows(b Handover) error {
	switch {
	case h.Old != b.New:
		return fmt.Errorf("expected one of the key in force, %s, found one of %s: a hand-over was dropped, reordered or forged", shortKey(b.New), shortKey(h.Old))
	case h.Entry <= b.Entry:
		return fmt.Errorf("expected one behind entry %d: hand-overs were reordered", b.Entry)
	}
	return nil
}

// splitNotes takes signed notes apart that stand one behind the other: a text, an empty line, and lines of signatures.
func splitNotes(raw string) (out []string) {
	begun, signed := 0, false
	at := 0
	for line := range strings.Lines(raw) {
		if signed && !strings.HasPrefix(line, "\u2014 ") {
			out = append(out, raw[begun:at])
			begun, signed = at, false
		}
		if line == "\n" {
			signed = true
		}
		at += len(line)
	}
	if begun < len(raw) {
		out = append(out, raw[begun:])
	}
	return out
}

// shortKey is a key in note verifier form without the key itself.
func shortKey(vkey string) string {
	name, rest, _ := strings.Cut(vkey, "+")
	hash, _, ok := strings.Cut(rest, "+") // the key itself is base64, which has plus signs as well
	if !ok {
		return clip(vkey)
	}
	return name + "+" + hash
}

func idOf(v note.Verifier) string { return keyID(v.Name(), v.KeyHash()) }

// held is one of the keys that a log has had.
type held struct {
	v    note.Verifier
	from uint64    // the least size of a tree that it signed
	next *Handover // from it to the one behind it; nil: it is in force
}

// lineOf gives the keys of a log in their order: the pinned one, and those that the hand-overs lead to, forward and back.
func lineOf(pinned note.Verifier, vkey string, chain []Handover) ([]held, error) {
	if len(chain) == 0 {
		return []held{{v: pinned}}, nil
	}
	var line []held
	known := chain[0].Old == vkey
	for i := range chain {
		h := &chain[i]
		if h.Origin != pinned.Name() {
			return nil, fmt.Errorf("proof: hand-over of a key at entry %d: it is of the log %s, not of %s", h.Entry, clip(h.Origin), pinned.Name())
		}
		if i == 0 {
			v, err := note.NewVerifier(h.Old)
			if err != nil {
				return nil, fmt.Errorf("proof: hand-over of a key: %w", err)
			}
			line = append(line, held{v: v})
		}
		v, err := note.NewVerifier(h.New)
		if err != nil {
			return nil, fmt.Errorf("proof: hand-over of a key: %w", err)
		}
		if slices.ContainsFunc(line, func(e held) bool { return e.v.KeyHash() == v.KeyHash() }) {
			return nil, fmt.Errorf("proof: hand-over of a key at entry %d: %s was given up before", h.Entry, idOf(v))
		}
		line[i].next = h
		line = append(line, held{v: v, from: h.Entry + 1})
		known = known || h.New == vkey
	}
	if !known {
		return nil, fmt.Errorf("proof: the hand-overs lead from %s to %s, and never over the given key %s: they are of another log, or forged",
			idOf(line[0].v), idOf(line[len(line)-1].v), idOf(pinned))
	}
	return line, nil
}

// inForce says whether the i-th key may stand for a checkpoint alone, or with older ones.
func (k *Keys) inForce(i int, cp Checkpoint) error {
	h := k.line[i]
	switch {
	case cp.Size < h.from:
		return fmt.Errorf("signed by %s for %d entries: that key took over behind entry %d", idOf(h.v), cp.Size, h.from-1)
	case h.next == nil || k.past:
		return nil
	case cp.Size > h.next.Entry+1:
		return fmt.Errorf("signed by %s alone for %d entries: at entry %d that key was handed over to %s", idOf(h.v), cp.Size, h.next.Entry, shortKey(h.next.New))
	case h.next.Compromised.IsZero():
		return nil
	}
	for _, w := range cp.Witnesses {
		if w.Time.Before(h.next.Compromised) {
			return nil
		}
	}
	return fmt.Errorf("signed by %s, a key that others may have had since %s: no witness shows that it is older; a proof under a newer checkpoint is needed",
		idOf(h.v), h.next.Compromised.Format(time.RFC3339))
}

// Past are the same keys for a checkpoint that a newer one is proved to go on from: one that a former key signed alone is read as well, be it that the key
// was compromised later, or that whoever kept it did not know the newer key and kept no signature of it.
func (k *Keys) Past() *Keys {
	past := *k
	past.past = true
	return &past
}

// Signers are the names of the log's keys, NAME+HASH, from the first that is known to the one in force.
func (k *Keys) Signers() (out []string) {
	for _, h := range k.line {
		out = append(out, idOf(h.v))
	}
	return out
}

// Handovers are those that the keys were given with.
func (k *Keys) Handovers() (out []Handover) {
	for _, h := range k.line {
		if h.next != nil {
			out = append(out, *h.next)
		}
	}
	return out
}

// InForce says whether a public key in note verifier form is the one that signs now.
func (k *Keys) InForce(vkey string) bool {
	v, err := note.NewVerifier(strings.TrimSpace(vkey))
	return err == nil && idOf(v) == idOf(k.line[len(k.line)-1].v) && v.Name() == k.log.Name()
}

// KeyID is the name and hash of a public key in note verifier form, as signatures name it.
func KeyID(vkey string) string { return shortKey(strings.TrimSpace(vkey)) }

// FirstKey is the key that stands in the first line of a file of keys.
func FirstKey(file string) string {
	first, _, _ := strings.Cut(strings.TrimLeft(file, " \t\r\n"), "\n")
	return strings.TrimSpace(first)
}

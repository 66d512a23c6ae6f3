package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/cordonsip/cordon/audit/proof"
)

func seedKey(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

// firstKey signs the logs of the tests.
func firstKey() ed25519.PrivateKey { return testConfig().Signer.(ed25519.PrivateKey) }

func rotate(t *testing.T, l Log, next byte, overlap time.Duration) proof.Handover {
	t.Helper()
	h, err := l.RotateKey(t.Context(), Rotation{Next: seedKey(next), By: "p-a", Reason: "yearly", Overlap: overlap})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func fillCalls(t *testing.T, l Log, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { mustAppend(t, l, CallEnded{CallRef: fmt.Sprint(i)}) })
	}
	wg.Wait()
}

// covered gives the newest checkpoint once it stands for all entries.
func coveredBy(t *testing.T, l Log) []byte {
	t.Helper()
	if _, err := l.Commit(t.Context(), TableChanged{Route: "inbound"}); err != nil {
		t.Fatal(err)
	}
	cp, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

func openerOf(t *testing.T, file string) *proof.Keys {
	t.Helper()
	k, err := proof.NewKeys(file, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func exported(t *testing.T, l Log, seq uint64) []byte {
	t.Helper()
	raw, err := Export(t.Context(), l, seq)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestRotate holds that a log goes on under another key: old proofs hold with the old key, new ones by the chain from either, and with the old key alone while
// both sign.
func TestRotate(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"disk", "memory"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			c := testConfig()
			c.Dir = logDir(t)
			l := openTest(t, kind, c)
			first := l.VerifierKey()
			fillCalls(t, l, 3)
			before := coveredBy(t, l)
			old := exported(t, l, 1)
			h := rotate(t, l, 2, time.Hour)
			if h.Entry != 4 || h.Old != first || h.New != l.VerifierKey() || l.Size() != 5 || !strings.HasPrefix(l.Keys(), first+"\n"+proof.HandoverHeader) {
				t.Fatalf("%+v, %d entries", h, l.Size())
			}
			fillCalls(t, l, 2)
			both := coveredBy(t, l)
			again := rotate(t, l, 3, 0)
			alone := coveredBy(t, l)
			young := exported(t, l, 1)
			chain := l.Keys()
			_, list, _ := strings.Cut(chain, "\n")
			for name, c := range map[string]struct {
				keys  string
				opens map[string][]byte
				not   map[string][]byte
			}{
				"first key alone":      {first, map[string][]byte{"before": before, "both": both}, map[string][]byte{"alone": alone}},
				"second key alone":     {h.New, map[string][]byte{"both": both}, map[string][]byte{"before": before, "alone": alone}},
				"third key alone":      {again.New, map[string][]byte{"alone": alone}, map[string][]byte{"before": before, "both": both}},
				"from the first key":   {chain, map[string][]byte{"before": before, "both": both, "alone": alone}, nil},
				"from the second key":  {h.New + "\n" + list, map[string][]byte{"before": before, "both": both, "alone": alone}, nil},
				"back from the newest": {again.New + "\n" + list, map[string][]byte{"before": before, "both": both, "alone": alone}, nil},
			} {
				k := openerOf(t, c.keys)
				for what, cp := range c.opens {
					if _, err := k.Open(cp); err != nil {
						t.Errorf("%s, %s: %v", name, what, err)
					}
				}
				for what, cp := range c.not {
					if _, err := k.Open(cp); err == nil || !strings.Contains(err.Error(), "if the log's key was handed over") {
						t.Errorf("%s, %s: %v", name, what, err)
					}
				}
			}
			for name, file := range map[string][]byte{"old": old, "young": young} {
				if _, _, err := ReadProof(file, openerOf(t, chain)); err != nil {
					t.Errorf("%s proof: %v", name, err)
				}
			}
			if _, _, err := ReadProof(old, openerOf(t, first)); err != nil {
				t.Errorf("old proof, old key: %v", err)
			}
			if kind == "disk" {
				verifyRotated(t, l, c.Dir, again)
			}
		})
	}
}

// verifyRotated holds the whole log, and opens it anew with the newest key.
func verifyRotated(t *testing.T, l Log, dir string, last proof.Handover) {
	t.Helper()
	_, list, _ := strings.Cut(l.Keys(), "\n")
	for _, keys := range []string{l.Keys(), last.New, last.New + "\n" + list} {
		if v := verify(t, dir, keys); v.Bad != nil || len(v.Rotations) != 2 || v.Kinds[KindKeyRotated] != 2 {
			t.Errorf("%v, %+v", v.Bad, v.Rotations)
		}
	}
	keys := l.Keys()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := testConfig()
	c.Dir = dir
	if _, _, err := Open(t.Context(), c); err == nil { // with the first key, and nothing of the hand-overs
		t.Error("the first key opens a log that was handed over")
	}
	c.Keys, c.Signer = keys, seedKey(2)
	if _, _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "the hand-overs lead to") {
		t.Errorf("with a former key: %v", err)
	}
	c.Signer = seedKey(3)
	again := openTest(t, "disk", c)
	coveredBy(t, again)
	if v := verify(t, dir, keys); v.Bad != nil {
		t.Error(v.Bad)
	}
}

// TestOverlapEnds holds that the old key signs until its time, over a restart, too.
func TestOverlapEnds(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	l := openTest(t, "disk", c)
	outgoing := c.Signer
	rotate(t, l, 2, 3*time.Second)
	if n := signatures(coveredBy(t, l)); n != 2 {
		t.Errorf("%d signatures", n)
	}
	c.Keys = l.Keys()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	by, err := newSigning(Config{Origin: c.Origin, Signer: seedKey(2), Outgoing: outgoing, Keys: c.Keys})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := len(by.at(by.until.Add(-time.Second))), len(by.at(by.until)); a != 2 || b != 1 {
		t.Errorf("%d sign before the end and %d after", a, b)
	}
	if _, err := newSigning(Config{Origin: c.Origin, Signer: seedKey(2), Outgoing: seedKey(9), Keys: c.Keys}); err == nil {
		t.Error("a stranger's key signs as well")
	}
	c.Signer, c.Outgoing = seedKey(2), outgoing
	coveredBy(t, openTest(t, "disk", c))
}

func signatures(cp []byte) int { return bytes.Count(cp, []byte("\n\u2014 ")) }

// TestCompromised holds that checkpoints by a key that others may have are refused unless a witness saw them before, and stand for nothing behind the hand-over.
func TestCompromised(t *testing.T) {
	t.Parallel()
	since := time.Now().Add(-time.Hour)
	w, err := proof.NewCosigner("witness.example/1", seedKey(40))
	if err != nil {
		t.Fatal(err)
	}
	l := openTest(t, "memory", testConfig())
	fillCalls(t, l, 3)
	before := coveredBy(t, l)
	h, err := l.RotateKey(t.Context(), Rotation{Next: seedKey(2), By: "p-a", Reason: "the disk was stolen", Overlap: time.Hour, Compromised: since})
	if err != nil || h.Overlap != h.At {
		t.Fatal(h, err)
	}
	after := coveredBy(t, l)
	k, err := proof.NewKeys(l.Keys(), []string{w.VerifierKey()}, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := k.Open(after); err != nil || signatures(after) != 1 {
		t.Error(err)
	}
	if _, err := k.Open(before); err == nil || !strings.Contains(err.Error(), "a key that others may have had since") {
		t.Error(err)
	}
	text, _, _ := strings.Cut(string(before), "\n\n")
	for at, holds := range map[time.Time]bool{since.Add(-time.Minute): true, since.Add(time.Minute): false} {
		line, err := w.Sign(text+"\n", at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open(append(bytes.Clone(before), line...)); (err == nil) != holds {
			t.Errorf("witnessed at %v: %v", at, err)
		}
	}
	// Under a newer checkpoint a former one holds whoever signed it: what it says is proved.
	hashes, err := l.Consistency(t.Context(), 4, 6)
	if err != nil {
		t.Fatal(err)
	}
	c := proof.Consistency{From: before, To: after}
	if c.Hashes, err = proof.Hashes(hashes); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Verify(k); err != nil {
		t.Error(err)
	}
	forged := signedBy(t, firstKey(), fmt.Sprintf("%s\n99\n%s\n", k.Origin(), proof.Hash{1}))
	if _, err := k.Open(forged); err == nil || !strings.Contains(err.Error(), "alone for 99 entries: at entry 4 that key was handed over") {
		t.Error(err)
	}
}

// signedBy signs a text with keys of the log of the tests.
func signedBy(t *testing.T, key ed25519.PrivateKey, text string) []byte {
	t.Helper()
	s, err := newSigner(testConfig().Origin, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := note.Sign(&note.Note{Text: text}, s)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestRotateFails holds that nothing changes where the hand-over cannot be prepared, and that what is missing is said.
func TestRotateFails(t *testing.T) {
	t.Parallel()
	l := openTest(t, "disk", func() Config { c := testConfig(); c.Dir = logDir(t); return c }())
	fillCalls(t, l, 2)
	full := errors.New("no room")
	for name, r := range map[string]Rotation{
		"not prepared": {Next: seedKey(2), By: "p-a", Reason: "r", Prepared: func(proof.Handover) error { return full }},
		"no reason":    {Next: seedKey(2), By: "p-a"},
		"nobody":       {Next: seedKey(2), Reason: "r"},
		"no key":       {By: "p-a", Reason: "r"},
		"the same key": {Next: firstKey(), By: "p-a", Reason: "r"},
	} {
		if _, err := l.RotateKey(t.Context(), r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if cp := coveredBy(t, l); l.Size() != 3 || signatures(cp) != 1 || strings.Contains(l.Keys(), proof.HandoverHeader) {
		t.Errorf("%d entries, keys %q", l.Size(), l.Keys())
	}
}

// TestHandedOver holds what a start finds after a crash on either side of the entry.
func TestHandedOver(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	l := openTest(t, "disk", c)
	fillCalls(t, l, 300)
	var sound string
	var early proof.Handover
	_, err := l.RotateKey(t.Context(), Rotation{Next: seedKey(2), By: "p-a", Reason: "r", Prepared: func(h proof.Handover) error {
		early = h
		for { // the log goes on: a checkpoint that is being written is listed under a name that it loses at once
			sound = logDir(t)
			if err := os.CopyFS(sound, os.DirFS(c.Dir)); !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := HandedOver(c.Dir, early); !errors.Is(err, ErrInUse) {
		t.Errorf("of a log in use: %v", err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]bool{sound: false, c.Dir: true} {
		if got, err := HandedOver(dir, early); err != nil || got != want {
			t.Errorf("%v, %v, want %v", got, err, want)
		}
	}
	other := early
	other.Raw, other.Entry = "", early.Entry-1
	if got, err := HandedOver(c.Dir, other); err != nil || got {
		t.Errorf("of an entry of another kind: %v, %v", got, err)
	}
}

// rotations are what is done to the hand-overs of a log by somebody who has its folder, and perhaps a former key, and never the one in force.
func rotations(t *testing.T, keys string) []struct{ name, keys, what string } {
	first, _, _ := strings.Cut(keys, "\n")
	all := openerOf(t, keys).Handovers()
	forged := forgedHandover(t, all[1], seedKey(66), seedKey(3))
	unsigned := strings.Join(strings.SplitAfter(all[0].Raw, "\n")[:9], "") + strings.SplitAfter(all[0].Raw, "\n")[10]
	return []struct{ name, keys, what string }{
		{"a rotation dropped from the chain of keys", first + "\n" + all[1].Raw, "never over the given key"},
		{"the last rotation dropped from the chain of keys", first + "\n" + all[0].Raw, "signed by another key: expected cordon/bank-1/edge-1+"},
		{"rotations reordered", first + "\n" + all[1].Raw + all[0].Raw, "a hand-over was dropped, reordered or forged"},
		{"a rotation without the signature of the key before", first + "\n" + unsigned, "not signed by its predecessor cordon/bank-1/edge-1+"},
		{"a rotation signed by a stranger in the name of the key before", first + "\n" + all[0].Raw + forged, "not signed by its predecessor cordon/bank-1/edge-1+"},
		{"byte of a rotation", first + "\n" + strings.Replace(all[0].Raw, "\nentry 5", "\nentry 4", 1), "does not fit: it was changed, or is forged"},
		{"a rotation that the key before signed, and that never took place", first + "\n" + forgedHandover(t, all[0], firstKey(), seedKey(77)), "signed by another key: expected"},
	}
}

// forgedHandover is one with other keys behind it.
func forgedHandover(t *testing.T, h proof.Handover, old, young ed25519.PrivateKey) string {
	t.Helper()
	a, err := newSigner(h.Origin, old)
	if err != nil {
		t.Fatal(err)
	}
	b, err := newSigner(h.Origin, young)
	if err != nil {
		t.Fatal(err)
	}
	h.New = b.vkey
	raw, err := note.Sign(&note.Note{Text: h.Text()}, a, b)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// rotatedLog is a log of two hand-overs.
func rotatedLog(t *testing.T) (dir, keys string) {
	t.Helper()
	c := testConfig()
	c.Dir = logDir(t)
	l := openTest(t, "disk", c)
	fillCalls(t, l, 5)
	rotate(t, l, 2, time.Hour)
	fillCalls(t, l, 4)
	rotate(t, l, 3, 0)
	fillCalls(t, l, 4)
	coveredBy(t, l)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return c.Dir, l.Keys()
}

// TestRotationTamper names what was done to the hand-overs.
func TestRotationTamper(t *testing.T) {
	t.Parallel()
	dir, keys := rotatedLog(t)
	var rows [][2]string
	for _, c := range rotations(t, keys) {
		rows = append(rows, [2]string{c.name, c.what})
		v, err := Verify(t.Context(), dir, c.keys)
		said := fmt.Sprint(err)
		if err == nil && v.Bad != nil {
			said = v.Bad.What
		}
		if !strings.Contains(said, c.what) {
			t.Errorf("%s: %s", c.name, said)
		}
	}
	for _, c := range insideRotations(t) {
		rows = append(rows, [2]string{c.name, c.what})
		if v := verify(t, c.dir, c.keys); v.Bad == nil || !strings.Contains(v.Bad.What, c.what) {
			t.Errorf("%s: %v", c.name, v.Bad)
		}
	}
	onThePage(t, "a rotation", rows)
}

// insideRotations are logs that somebody signed who has a key of them.
func insideRotations(t *testing.T) (out []struct{ name, dir, keys, what string }) {
	build := func(name, what string, entry func(h proof.Handover) Event, last ed25519.PrivateKey) {
		sound := openTest(t, "memory", testConfig())
		fillCalls(t, sound, 5)
		h := rotate(t, sound, 2, 0)
		c := testConfig()
		l := openTest(t, "memory", c)
		fillCalls(t, l, 5)
		mustAppend(t, l, entry(h))
		fillCalls(t, l, 3)
		d := l.(*spine).drv.(*memory)
		s, err := newSigner(c.Origin, last)
		if err != nil {
			t.Fatal(err)
		}
		d.signing, d.cp = &signing{signer: s}, nil
		dir := filepath.Join(logDir(t), name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		writeTiles(t, dir, d)
		keys := h.New
		switch s.vkey {
		case h.Old:
			keys = h.Old
		default:
			if _, ok := entry(h).(KeyRotated); !ok {
				keys = sound.Keys()
			}
		}
		out = append(out, struct{ name, dir, keys, what string }{name, dir, keys, what})
	}
	of := func(h proof.Handover) Event {
		return KeyRotated{Handover: h.Raw, Old: proof.KeyID(h.Old), New: proof.KeyID(h.New)}
	}
	build("signed on by the key before the rotation", "expected the signature of cordon/bank-1/edge-1+", of, firstKey())
	build("a rotation in the log that its predecessor did not sign", "log.key_rotated: proof: hand-over of a key at entry 5: not signed by its predecessor", func(h proof.Handover) Event {
		h.Raw = forgedHandover(t, h, seedKey(66), seedKey(2))
		return of(h)
	}, seedKey(2))
	build("a rotation copied to another place", "it was copied from there", func(h proof.Handover) Event {
		h.Entry = 3
		h.Raw = forgedHandover(t, h, firstKey(), seedKey(2))
		return of(h)
	}, seedKey(2))
	build("a rotation that names other keys than its entry", "the entry names other keys", func(h proof.Handover) Event {
		e := of(h).(KeyRotated)
		e.Old = e.New
		return e
	}, seedKey(2))
	build("a rotation that is in the chain of keys and not in the log", "the hand-over never took place, or is forged", func(proof.Handover) Event { return NodeStarted{} }, seedKey(2))
	return out
}

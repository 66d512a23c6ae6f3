package witness

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
)

var now = time.Unix(1795000000, 0)

func seed(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

// watched is a log of which a witness is shown checkpoints.
type watched struct {
	audit.Log
	t *testing.T
	k *proof.Keys
}

func newLog(t *testing.T, key byte) watched {
	t.Helper()
	l, err := audit.Memory(audit.Config{Signer: seed(key), Origin: "cordon/bank-1/edge-1"})
	if err != nil {
		t.Fatal(err)
	}
	k, err := proof.NewKeys(l.VerifierKey(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return watched{l, t, k}
}

// grow adds n entries and gives the checkpoint.
func (l watched) grow(n int) []byte {
	l.t.Helper()
	for range n {
		if _, err := l.Append(l.t.Context(), audit.NodeStarted{}); err != nil {
			l.t.Fatal(err)
		}
	}
	cp, err := l.Checkpoint(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return cp
}

// since gives the file that leads from one checkpoint of the log to another.
func (l watched) since(from, to []byte) []byte {
	l.t.Helper()
	a, err1 := l.k.Open(from)
	b, err2 := l.k.Open(to)
	raw, err3 := l.Consistency(l.t.Context(), a.Size, b.Size)
	h, err4 := proof.Hashes(raw)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		l.t.Fatal(err)
	}
	return proof.Consistency{From: from, To: to, Hashes: h}.Marshal()
}

func newWitness(t *testing.T, b byte) *proof.Cosigner {
	t.Helper()
	c, err := proof.NewCosigner("witness.example/1", seed(b))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func openState(t *testing.T, dir string) *State {
	t.Helper()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func sign(t *testing.T, s *State, l watched, file []byte) []byte {
	t.Helper()
	out, err := s.Cosign(file, l.VerifierKey(), newWitness(t, 5), now)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCosign follows a log over its first checkpoints; each comes out signed by both, and two witnesses make a quorum.
func TestCosign(t *testing.T) {
	t.Parallel()
	l, dir := newLog(t, 1), t.TempDir()
	s := openState(t, dir)
	empty := l.grow(0)
	sign(t, s, l, empty)
	first := l.grow(3)
	if _, err := s.Cosign(first, l.VerifierKey(), newWitness(t, 5), now); err != nil {
		t.Errorf("from a log without entries: %v", err)
	}
	sign(t, s, l, sign(t, s, l, first)) // again: the answer to the first time may have been lost
	second := l.grow(4)
	out := sign(t, s, l, l.since(first, second))
	if !bytes.HasPrefix(out, second) {
		t.Errorf("signed another checkpoint:\n%s", out)
	}
	k, err := proof.NewKeys(l.VerifierKey(), []string{newWitness(t, 5).VerifierKey()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	if cp, err := k.Open(out); err != nil || cp.Size != 7 || len(cp.Witnesses) != 1 || !cp.Witnesses[0].Time.Equal(now) {
		t.Errorf("%+v, %v", cp, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := openState(t, dir)
	if last, err := again.Last(l.VerifierKey(), newWitness(t, 5)); err != nil || !bytes.HasPrefix(last, second) {
		t.Errorf("remembered %q, %v", last, err)
	}
	sign(t, again, l, l.since(second, l.grow(1)))
	if last, err := again.Last(newOrigin(t), newWitness(t, 5)); err != nil || last != nil {
		t.Errorf("of a log that was never seen: %q, %v", last, err)
	}
}

// TestStrangersDoNotStopAWitness: what others signed is not remembered, however much it is.
func TestStrangersDoNotStopAWitness(t *testing.T) {
	t.Parallel()
	l, s := newLog(t, 1), openState(t, t.TempDir())
	cp := l.grow(3)
	full := bytes.Clone(cp)
	for i := range 99 { // with that of the log a note is full
		full = fmt.Appendf(full, "\u2014 stranger%d %s\n", i, base64.StdEncoding.EncodeToString([]byte{1, 2, 3, byte(i), 5}))
	}
	sign(t, s, l, full)
	if last, err := s.Last(l.VerifierKey(), newWitness(t, 5)); err != nil || !bytes.HasPrefix(last, cp) || bytes.Contains(last, []byte("stranger")) {
		t.Errorf("remembered %q, %v", last, err)
	}
	sign(t, s, l, l.since(cp, l.grow(1)))
}

func newOrigin(t *testing.T) string {
	t.Helper()
	l, err := audit.Memory(audit.Config{Signer: seed(1), Origin: "cordon/bank-2/edge-1"})
	if err != nil {
		t.Fatal(err)
	}
	return l.VerifierKey()
}

// TestRefusals holds what a witness does not sign, and that it remembers what it did afterwards.
func TestRefusals(t *testing.T) {
	t.Parallel()
	l := newLog(t, 1)
	zero := l.grow(2)
	first := l.grow(3)
	later := l.grow(4)
	forked, foreign := newLog(t, 1), newLog(t, 9)
	twin := forked.grow(5)
	twinLater := forked.grow(4)
	wrong := proof.Consistency{From: first, To: twinLater, Hashes: make([]proof.Hash, 3)}.Marshal()
	for name, c := range map[string]struct {
		file []byte
		l    watched
		at   time.Time
		kind error
		want string
	}{
		"a fork of one size":         {twin, l, now, proof.ErrFork, "two checkpoints of 5 entries with different roots"},
		"a fork with entries behind": {forked.since(twin, twinLater), l, now, proof.ErrFork, "two checkpoints of 5 entries with different roots"},
		"rewritten":                  {wrong, l, now, ErrUnproved, "does not begin with that of 5"},
		"rolled back":                {zero, l, now, ErrOutOfStep, "it is an old one, or the log was rolled back"},
		"without a proof":            {later, l, now, ErrOutOfStep, "expected a proof from the 5 entries"},
		"from another step":          {l.since(zero, later), l, now, ErrOutOfStep, "expected a proof from the 5 entries"},
		"of a foreign key":           {foreign.grow(6), l, now, ErrUnproved, "signed by another key"},
		"of no checkpoint":           {[]byte("hello"), l, now, ErrUnproved, "no signed note"},
		"of no proof":                {[]byte(proof.ConsistencyHeader + "\n"), l, now, ErrUnproved, "line 2"},
		"a log under another key":    {foreign.grow(0), foreign, now, nil, "signed by another key"},
		"a clock that went back":     {l.since(first, later), l, now.Add(-time.Hour), nil, "its times never go back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := openState(t, dir)
			sign(t, s, l, first)
			out, err := s.Cosign(c.file, c.l.VerifierKey(), newWitness(t, 5), c.at)
			if err == nil || out != nil || !strings.Contains(err.Error(), c.want) || c.kind != nil && !errors.Is(err, c.kind) {
				t.Errorf("%q, %v\nwant %s", out, err, c.want)
			}
			var f *Fork
			if errors.Is(c.kind, proof.ErrFork) && (!errors.As(err, &f) || !bytes.HasPrefix(f.First, first) || !bytes.Equal(f.Then, twin)) {
				t.Errorf("the evidence of the fork is not there: %+v", f)
			}
			if last, err := s.Last(l.VerifierKey(), newWitness(t, 5)); err != nil || !bytes.HasPrefix(last, first) {
				t.Errorf("remembers %q, %v", last, err)
			}
		})
	}
}

// TestState holds that a witness that cannot remember does not sign.
func TestState(t *testing.T) {
	t.Parallel()
	l, dir := newLog(t, 1), t.TempDir()
	s := openState(t, dir)
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "is open elsewhere") {
		t.Errorf("opened twice: %v", err)
	}
	if _, err := Open(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a folder that is not there")
	}
	first := l.grow(3)
	sign(t, s, l, first)
	path := s.path(l.k.Origin())
	sound, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := range sound {
		raw := bytes.Clone(sound)
		raw[at] ^= 0x01
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Cosign(first, l.VerifierKey(), newWitness(t, 5), now)
		if err == nil {
			t.Errorf("byte %d of the state changed, and it signs", at)
		}
	}
	if err := os.WriteFile(path, sound, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Cosign(first, l.VerifierKey(), newWitness(t, 6), now); err == nil || !strings.Contains(err.Error(), "signed by 0 of the 1 witnesses") {
		t.Errorf("the state of another key: %v", err)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Cosign(first, l.VerifierKey(), newWitness(t, 5), now); err == nil || out != nil || !strings.Contains(err.Error(), "nothing was signed") {
		t.Errorf("a folder that went away: %q, %v", out, err)
	}
}

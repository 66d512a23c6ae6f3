package worm

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
)

func (s *site) source() *Source {
	s.t.Helper()
	k, err := proof.NewKeys(s.log.Keys(), nil, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	return NewSource(s.copier.c.Bucket, k)
}

// What comes back is the folder, byte by byte, at each size of the tree.
func TestWhatComesBackIsTheFolder(t *testing.T) {
	s := newSite(t, nil)
	for _, n := range []int{1, 255, 1, 300} {
		s.grow(n)
		s.must(s.copier)
		src := s.source()
		f, err := src.Find(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "log")
		v, err := src.Fetch(t.Context(), f, dir)
		if err != nil || v.Size != s.log.Size() || v.Entries != v.Size {
			t.Fatalf("%v %+v", err, v)
		}
		for p := range audit.Pieces(0, v.Size) {
			want, err1 := os.ReadFile(filepath.Join(s.dir, "log", p.Name()))
			got, err2 := os.ReadFile(filepath.Join(dir, p.Name()))
			if err := errors.Join(err1, err2); err != nil || !bytes.Equal(want, got) {
				t.Errorf("%s: %v", p.Name(), err)
			}
		}
	}
}

// Keys and people that somebody else sealed to the same recovery key, and newer, are passed over.
func TestWhatOthersSealed(t *testing.T) {
	s := newSite(t, nil)
	s.names.Person("clara")
	s.must(s.copier)
	stranger := t.TempDir()
	for name, raw := range map[string]string{"keys/log.key": strings.Repeat("x", 32), "keys/mac.key": strings.Repeat("y", 32), "pseudonyms/people/p-1.json": `{"id":"mallory","pseudonym":"p-1"}`} {
		path := filepath.Join(stranger, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(raw), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(stranger, "pseudonyms", "salts"), 0o700); err != nil {
		t.Fatal(err)
	}
	other := s.another(func(c *Config) { c.Dir, c.MAC = stranger, derive([]byte("another key")) })
	s.at.Fault = func(w http.ResponseWriter, r *http.Request) bool { // it cannot delete what it did not write, say
		if r.Method == http.MethodDelete {
			w.WriteHeader(http.StatusForbidden)
		}
		return r.Method == http.MethodDelete
	}
	_ = other.seal(t.Context(), s.now.Add(time.Hour)) // its removals are refused
	if n := len(s.at.Keys(origin+"/sealed/keys/")) + len(s.at.Keys(origin+"/erasable/people/")); n != 4 {
		t.Fatalf("%d objects", n)
	}
	src := s.source()
	files, err := src.Keys(t.Context(), s.key, func(f map[string][]byte) bool { return bytes.Equal(f["log.key"], seed(1).Seed()) })
	if err != nil || !bytes.Equal(files["mac.key"], bytes.Repeat([]byte{2}, 32)) {
		t.Errorf("%v %q", err, files)
	}
	dir := t.TempDir()
	if _, people, err := src.Names(t.Context(), s.key, derive([]byte("worm")), dir); err != nil || people != 1 {
		t.Errorf("%v: %d people", err, people)
	}
	list, err := os.ReadDir(filepath.Join(dir, "people"))
	if err != nil || len(list) != 1 || list[0].Name() == "p-1.json" {
		t.Errorf("%v %v", err, list)
	}
	wrong, err := NewRecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := src.Keys(t.Context(), wrong, func(map[string][]byte) bool { return true }); !errors.Is(err, ErrNoKeys) {
		t.Errorf("another recovery key: %v", err)
	}
}

// Two signed checkpoints of one size with different roots are two histories.
func TestTwoHistoriesInOneCopy(t *testing.T) {
	s := newSite(t, nil)
	s.grow(3)
	s.must(s.copier)
	twin, err := audit.Memory(audit.Config{Signer: seed(1), Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := twin.Append(t.Context(), audit.NodeStarted{}); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := twin.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.at.Shadow(s.copier.names.checkpoint(atCheckpoint, 3, raw), raw)
	if _, err := s.source().Find(t.Context()); err == nil || !strings.Contains(err.Error(), "two histories") {
		t.Error(err)
	}
}

// Where an entry and its hash were changed together, the edge of the tree tells.
func TestAChangedEntryWithItsTile(t *testing.T) {
	s := newSite(t, nil)
	s.grow(2)
	raw := filepath.Join(s.dir, "log", "tile", "entries", "000.p", "2")
	tile := filepath.Join(s.dir, "log", "tile", "0", "000.p", "2")
	b, err1 := os.ReadFile(raw)
	h, err2 := os.ReadFile(tile)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	b[40] ^= 1
	sum := sha256.Sum256(append([]byte{0}, b[2:2+int(b[0])<<8+int(b[1])]...)) // RFC 9162 section 2.1.1
	copy(h, sum[:])
	if err := errors.Join(os.WriteFile(raw, b, 0o600), os.WriteFile(tile, h, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.round(s.copier); !errors.Is(err, audit.ErrNotHeld) || len(s.at.Keys(origin+"/tile/"))+len(s.at.Keys(origin+"/edge/")) != 0 {
		t.Errorf("%v: %q", err, s.at.Keys(origin))
	}
}

func FuzzRecoveryKeys(f *testing.F) {
	k, err := NewRecoveryKey()
	if err != nil {
		f.Fatal(err)
	}
	raw, err := k.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Add([]byte(k.Recipient()))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if k, err := ParseRecoveryKey(raw); err == nil {
			if _, err := ParseRecipient(k.Recipient()); err != nil {
				t.Error(err)
			}
		}
		_, _ = ParseRecipient(string(raw))
	})
}

package cordon

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
)

// folder is the state folder of a node that does not run.
type folder struct {
	t *testing.T
	logKeys
}

func (f folder) open(k *nodeKeys) audit.Log {
	f.t.Helper()
	l, _, err := audit.Open(f.t.Context(), audit.Config{
		Dir: f.log(), Signer: k.signer(), Outgoing: k.before(), Keys: k.chain, Origin: "cordon/bank-1/edge-1", Tenant: "bank-1", Node: "edge-1", Reserve: 1 << 16,
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

func (f folder) close(l audit.Log) {
	f.t.Helper()
	if err := l.Close(context.Background()); err != nil {
		f.t.Fatal(err)
	}
}

func (f folder) keys() *nodeKeys {
	f.t.Helper()
	k, err := loadKeys(filepath.Join(string(f.logKeys), "keys"))
	if err != nil {
		f.t.Fatal(err)
	}
	return k
}

func (f folder) has(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (f folder) copy() folder {
	f.t.Helper()
	to := folder{f.t, logKeys(f.t.TempDir())}
	if err := os.CopyFS(string(to.logKeys), os.DirFS(string(f.logKeys))); err != nil {
		f.t.Fatal(err)
	}
	for _, file := range []string{to.key(""), to.key(".next"), to.key(".old"), filepath.Join(string(to.logKeys), "keys", "mac.key")} { // CopyFS widens modes
		if err := os.Chmod(file, 0o600); err != nil && !errors.Is(err, os.ErrNotExist) {
			f.t.Fatal(err)
		}
	}
	return to
}

func newFolder(t *testing.T) (folder, *nodeKeys) {
	t.Helper()
	f := folder{t, logKeys(t.TempDir())}
	k := f.keys()
	l := f.open(k)
	if _, err := l.Commit(t.Context(), audit.NodeStarted{}); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(string(f.logKeys), "log.vkey"), []byte(l.VerifierKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.close(l)
	return f, k
}

// wish is a rotation as the tests want it.
func wish(next ed25519.PrivateKey, overlap time.Duration) audit.Rotation {
	return audit.Rotation{Next: next, By: "p-a", Reason: "yearly", Overlap: overlap}
}

// TestACrashBetweenTheStepsOfAHandOver holds that at each step the start finds one key, and the log goes on under it: before the entry the old one, and after it
// the new one with the old one beside it.
func TestACrashBetweenTheStepsOfAHandOver(t *testing.T) {
	f, first := newFolder(t)
	_, next, _ := ed25519.GenerateKey(bytes.NewReader(bytes.Repeat([]byte{9}, 64)))
	l := f.open(first)
	made, named := folder{t, ""}, folder{t, ""}
	r := wish(next, time.Hour)
	r.Prepared = func(h proof.Handover) error {
		if err := f.prepare(next); err != nil {
			return err
		}
		made = f.copy()
		if err := audit.KeepKeys(f.handover(), h.Raw); err != nil {
			return err
		}
		named = f.copy()
		return nil
	}
	h, err := l.RotateKey(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	f.close(l)
	for name, at := range map[string]folder{"the key was made": made, "the hand-over was written": named} {
		if k := at.keys(); !k.log.Equal(first.log) || k.outgoing != nil || at.has(at.key(".next")) || at.has(at.handover()) {
			t.Errorf("%s: another key is in force, or remains stay", name)
		} else {
			goesOn(t, at, k, name)
		}
	}
	step := func(name string, do func(d folder) error) {
		t.Helper()
		if err := do(f); err != nil {
			t.Fatal(name, err)
		}
		at := f.copy()
		k := at.keys()
		if !k.log.Equal(next) || !k.outgoing.Equal(first.log) || !at.has(at.key(".old")) || at.has(at.key(".next")) || at.has(at.handover()) {
			t.Errorf("%s: key in force %v, before it %v", name, k.log.Equal(next), k.outgoing.Equal(first.log))
			return
		}
		goesOn(t, at, k, name)
	}
	step("the entry is in the log", func(folder) error { return nil })
	step("the chain is written", func(d folder) error { return audit.KeepKeys(d.chain(), audit.WithHandover(h.Old, h)) })
	step("the old key has its second name", func(d folder) error { return os.Link(d.key(""), d.key(".old")) })
	step("the new key is in place", func(d folder) error { return os.Rename(d.key(".next"), d.key("")) })
	step("the public key is written", func(d folder) error {
		return os.WriteFile(filepath.Join(string(d.logKeys), "log.vkey"), []byte(h.New+"\n"), 0o600)
	})
	step("the hand-over is over", func(d folder) error { return os.Remove(d.handover()) })
}

// goesOn appends to a log and verifies all of it, from its first key.
func goesOn(t *testing.T, f folder, k *nodeKeys, name string) {
	t.Helper()
	l := f.open(k)
	if _, err := l.Commit(t.Context(), audit.NodeStarted{}); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	keys := l.Keys()
	f.close(l)
	if v, err := audit.Verify(t.Context(), f.log(), keys); err != nil || v.Bad != nil {
		t.Errorf("%s: %v %v", name, err, v.Bad)
	}
}

// TestTheFormerKeyIsDestroyed holds that it stays until the overlap ends, over a restart, and that a compromised one goes at once.
func TestTheFormerKeyIsDestroyed(t *testing.T) {
	f, first := newFolder(t)
	l := f.open(first)
	if _, err := f.rotate(t.Context(), l, wish(nil, time.Hour)); err != nil {
		t.Fatal(err)
	}
	keys := l.Keys()
	f.close(l)
	if err := f.retire(keys, time.Now()); err != nil || !f.has(f.key(".old")) {
		t.Errorf("in the overlap: %v", err)
	}
	if k := f.keys(); !k.outgoing.Equal(first.log) {
		t.Error("a restart within the overlap lost the former key")
	}
	was, err := os.Open(f.key(".old")) // the very bytes on the disk
	if err != nil {
		t.Fatal(err)
	}
	defer was.Close()
	if err := f.retire(keys, time.Now().Add(2*time.Hour)); err != nil || f.has(f.key(".old")) {
		t.Errorf("after the overlap: %v", err)
	}
	left := make([]byte, 32)
	if _, err := was.ReadAt(left, 0); err != nil || !bytes.Equal(left, make([]byte, 32)) {
		t.Errorf("the former key was not overwritten: %v", err)
	}
	k := f.keys()
	l = f.open(k)
	r := wish(nil, time.Hour)
	r.Compromised = time.Now().Add(-time.Minute)
	if _, err := f.rotate(t.Context(), l, r); err != nil || f.has(f.key(".old")) || strings.Count(l.Keys(), proof.HandoverHeader) != 2 {
		t.Errorf("a compromised key: %v", err)
	}
	f.close(l)
	goesOn(t, f, f.keys(), "after two hand-overs")
}

// TestAForeignChainStopsTheStart: a file of keys that does not lead to the key in force is no reason to sign.
func TestAForeignChainStopsTheStart(t *testing.T) {
	f, first := newFolder(t)
	other, k := newFolder(t)
	l := other.open(k)
	if _, err := other.rotate(t.Context(), l, wish(nil, 0)); err != nil {
		t.Fatal(err)
	}
	other.close(l)
	raw, err := os.ReadFile(other.chain())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.chain(), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	got := f.keys()
	_, _, err = audit.Open(t.Context(), audit.Config{Dir: f.log(), Signer: got.signer(), Keys: got.chain, Origin: "cordon/bank-1/edge-1"})
	if err == nil || !strings.Contains(err.Error(), "the hand-overs lead to") || !got.log.Equal(first.log) {
		t.Error(err)
	}
}

// TestRotateOffline hands over the log of a node that does not run: the person is a pseudonym, and the next start is no crash.
func TestRotateOffline(t *testing.T) {
	f, first := newFolder(t)
	names, err := audit.OpenPseudonyms(filepath.Join(string(f.logKeys), "pseudonyms"), func(b []byte) []byte { return make([]byte, 32) })
	if err != nil {
		t.Fatal(err)
	}
	if err := names.Close(); err != nil {
		t.Fatal(err)
	}
	l := f.open(first)
	if _, err := l.Commit(t.Context(), audit.NodeStopped{}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := RotateLogKey(t.Context(), string(f.logKeys), "test", audit.Rotation{By: "alice", Reason: "yearly"}); !errors.Is(err, audit.ErrInUse) {
		t.Errorf("of a node that runs: %v", err)
	}
	f.close(l)
	h, keys, err := RotateLogKey(t.Context(), string(f.logKeys), "test", audit.Rotation{By: "alice", Reason: "yearly"})
	if err != nil || h.Entry != 2 || !strings.HasSuffix(keys, h.Raw) {
		t.Fatalf("%+v %v", h, err)
	}
	k := f.keys()
	again, crashed, err := audit.Open(t.Context(), audit.Config{Dir: f.log(), Signer: k.signer(), Keys: k.chain, Origin: "cordon/bank-1/edge-1"})
	if err != nil || crashed {
		t.Fatalf("crashed %v, %v", crashed, err)
	}
	defer f.close(again)
	list, err := again.Entries(t.Context(), 2, 1)
	if err != nil || list[0].Kind != audit.KindKeyRotated || strings.Contains(string(list[0].Body), "alice") || !strings.Contains(string(list[0].Body), `"by":"p-`) {
		t.Errorf("%s %v", list[0].Body, err)
	}
}

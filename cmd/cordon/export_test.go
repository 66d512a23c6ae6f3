package main

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit"
)

func TestExportCheckpoint(t *testing.T) {
	dir := t.TempDir()
	l, _, err := audit.Open(t.Context(), audit.Config{Dir: filepath.Join(dir, "log"), Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "cordon/bank-1/edge-1", Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Commit(t.Context(), audit.NodeStarted{}); err != nil {
		t.Fatal(err)
	}
	vkey := l.VerifierKey()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "log.vkey"), []byte(vkey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(dir, "log", "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, "export", "checkpoint", "--state="+dir); code != 0 || out != string(want) {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	file := filepath.Join(dir, "today.checkpoint")
	if code, _, errs := run(t, "export", "checkpoint", "--state="+dir, "--out="+file); code != 0 {
		t.Errorf("exit %d: %s", code, errs)
	}
	if code, out, errs := run(t, "verify", file, "--key="+filepath.Join(dir, "log.vkey")); code != 0 || !strings.Contains(out, "holds      a checkpoint") {
		t.Errorf("exit %d: %s%s", code, out, errs)
	}
	if code, _, errs := run(t, "export", "checkpoint", "--witness="+file); code != 2 || !strings.Contains(errs, "--witness needs --state") {
		t.Errorf("exit %d: %s", code, errs)
	}
	want[5] ^= 1
	if err := os.WriteFile(filepath.Join(dir, "log", "checkpoint"), want, 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := run(t, "export", "checkpoint", "--state="+dir); code != notHeld {
		t.Errorf("a changed checkpoint: exit %d: %s", code, errs)
	}
}

package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit/worm"
)

func TestRestoreKey(t *testing.T) {
	file := filepath.Join(t.TempDir(), "recovery.key")
	code, out, errs := run(t, "restore", "key", file)
	if code != 0 {
		t.Fatalf("exit %d: %s", code, errs)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	k, err := worm.ParseRecoveryKey(raw)
	if err != nil || k.Recipient() != strings.TrimSpace(out) {
		t.Errorf("%v: %s", err, out)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", err, info.Mode())
	}
	if code, _, errs := run(t, "restore", "key", file); code == 0 || !strings.Contains(errs, "does not exist yet") {
		t.Errorf("a key was written over: %d %s", code, errs)
	}
}

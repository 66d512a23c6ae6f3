package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	cordon "github.com/cordonsip/cordon"
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

func TestRestoreSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range map[string]string{"log.vkey": "cordon/bank-1/edge-1+7e136b5c+BAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f\n", "no.key": "nothing"} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, errs := run(t, "restore", "key", at("recovery.key")); code != 0 {
		t.Fatal(errs)
	}
	example := "../../configs/examples/two-groups.yaml"
	for want, args := range map[string][]string{
		"no log.worm":                    {"restore", "-c", example, "--key=" + at("log.vkey"), "--recovery-key=" + at("recovery.key")},
		"expected a PKCS #8 key in PEM":  {"restore", "-c", example, "--key=" + at("log.vkey"), "--recovery-key=" + at("no.key")},
		"missing flags: --key=STRING, -": {"restore", "-c", example},
	} {
		if code, _, errs := run(t, args...); code == 0 || !strings.Contains(errs, strings.TrimSuffix(want, ", -")) {
			t.Errorf("%q: exit %d: %s", args, code, errs)
		}
	}
}

func TestWhatARestoreThatFailsSays(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
		code int
	}{
		{&cordon.Lost{Missing: 40, Why: "w"}, "--accept-loss=40", notHeld},
		{&cordon.Lost{Orderly: true, Why: "w"}, "--ended", notHeld},
		{fmt.Errorf("x: %w", syscall.ENOSPC), "the disk is full", 0},
		{fmt.Errorf("x: %w", syscall.EROFS), "cannot be written", 0},
		{fmt.Errorf("x: %w", os.ErrPermission), "cannot be written", 0},
		{fmt.Errorf("x: %w", worm.ErrNoKeys), "log.worm.recovery_key", notHeld},
	} {
		err := unrestored(c.err)
		var h hinted
		var code coded
		if !errors.As(err, &h) || !strings.Contains(h.hint, c.want) || errors.As(err, &code) != (c.code != 0) || code.code != c.code {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

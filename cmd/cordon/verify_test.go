package main

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit"
)

// TestVerifyFromTheCommandLine plays an operator who exports proofs and an auditor who checks them without the log.
func TestVerifyFromTheCommandLine(t *testing.T) {
	dir, _, stop := startNode(t)
	state := filepath.Join(dir, "state")
	kept := filepath.Join(dir, "kept.checkpoint")
	cp, err := os.ReadFile(filepath.Join(state, "log", "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(kept, cp, 0o600); err != nil {
		t.Fatal(err)
	}
	stop()
	key := "--key=" + filepath.Join(state, "log.vkey")
	entries, err := os.ReadFile(glob(t, filepath.Join(state, "log/tile/entries/000.p/*")))
	if err != nil {
		t.Fatal(err)
	}
	id := string(regexp.MustCompile(`"record_id":"([0-9A-Z]{26})"`).FindSubmatch(entries)[1])
	one, two := filepath.Join(dir, "one.proof"), filepath.Join(dir, "two.proof")
	says := func(want int, what string, args ...string) {
		t.Helper()
		if code, out, errs := run(t, append([]string{"verify"}, args...)...); code != want || !strings.Contains(out+errs, what) {
			t.Errorf("verify %v: exit %d, want %d and %q\n%s%s", args, code, want, what, out, errs)
		}
	}
	says(0, "written", state, "--receipt="+id, "--export="+one)
	says(0, "nothing was removed or changed between them", state, "--from="+kept, "--export="+two)
	says(0, "holds      the entry is one of", one, key)
	says(0, "node.started "+id, one, key)
	says(0, "nothing was removed or changed", two, key)
	says(0, "holds      a checkpoint", kept, key)
	says(1, "file exists", state, "--receipt="+id, "--export="+one)
	says(1, "no such entry", state, "--receipt=nobody")
	says(1, "no public key is named", one)
	says(2, "a file is checked as it is", one, key, "--from="+kept)
	says(2, "--to needs --from", state, "--to="+kept)
	says(2, "--export needs what it shall prove", state, "--export="+one)
	says(1, "0 are named", state, "--witnesses=1")
	change(t, one, "index 0", "index 1")
	says(3, "is not in the tree of", one, key)
	change(t, two, "from", "form")
	says(3, `expected "from" and a value`, two, key)
	change(t, kept, "\n", "\nx")
	says(3, "does not fit: the text or the signature was changed", kept, key)
	says(3, "first checkpoint", state, "--from="+kept)
	says(3, "neither a proof, nor a checkpoint", filepath.Join(dir, "cordon.yaml"), key)
	newest := filepath.Join(state, "log", "checkpoint")
	newer := filepath.Join(dir, "newer.checkpoint")
	if err := os.Rename(newest, newer); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(newest, cp, 0o600); err != nil {
		t.Fatal(err)
	}
	says(3, "the folder was rolled back, or is an older copy", state, "--from="+newer, "--to="+newer)
}

// TestWitnessFromTheCommandLine plays a bank that watches the log of another one, by files alone, and an auditor who asks for its signature.
func TestWitnessFromTheCommandLine(t *testing.T) {
	dir, _, stop := startNode(t)
	log, at := filepath.Join(dir, "state", "log"), func(name string) string { return filepath.Join(dir, name) }
	first, err := os.ReadFile(filepath.Join(log, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	stop()
	code, vkey, errs := run(t, "witness", "key", "witness.bank-2.example/1", at("witness.key"))
	if code != 0 || !strings.HasPrefix(vkey, "witness.bank-2.example/1+") {
		t.Fatalf("witness key: exit %d\n%s%s", code, vkey, errs)
	}
	for name, raw := range map[string]string{"first": string(first), "witness.vkey": vkey} {
		if err := os.WriteFile(at(name), []byte(raw), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(at("seen"), 0o700); err != nil {
		t.Fatal(err)
	}
	says := func(want int, what string, args ...string) {
		t.Helper()
		if code, out, errs := run(t, args...); code != want || !strings.Contains(out+errs, what) {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", args, code, want, what, out, errs)
		}
	}
	sign := []string{"witness", "sign", "--log=" + at("state/log.vkey"), "--name=witness.bank-2.example/1", "--key=" + at("witness.key"), "--state=" + at("seen")}
	says(0, "\u2014 witness.bank-2.example/1 ", append(sign, at("first"))...)
	says(1, "expected a proof from the", append(sign, filepath.Join(log, "checkpoint"))...)
	says(0, "written", "verify", log, "--from="+at("first"), "--export="+at("step"))
	says(0, "", append(sign, at("step"), "--out="+at("cosigned"))...)
	says(0, "witness    witness.bank-2.example/1 at", "verify", at("cosigned"), "--key="+at("state/log.vkey"), "--witness="+at("witness.vkey"))
	says(3, "signed by 0 of the 1 witnesses", "verify", log, "--key="+at("state/log.vkey"), "--witness="+at("witness.vkey"))
	says(0, "holds", "verify", log, "--key="+at("state/log.vkey"), "--witness="+at("witness.vkey"), "--witnesses=0")
	says(1, "an old one, or the log was rolled back", append(sign, at("first"))...)
	if err := os.Rename(at("cosigned"), filepath.Join(log, "checkpoint")); err != nil {
		t.Fatal(err)
	}
	says(0, "witness    witness.bank-2.example/1 at", "verify", log, "--key="+at("state/log.vkey"), "--witness="+at("witness.vkey"))

	key, err := os.ReadFile(at("state/keys/log.key"))
	if err != nil {
		t.Fatal(err)
	}
	origin, _, _ := strings.Cut(string(first), "\n")
	forked, err := audit.Memory(audit.Config{Signer: ed25519.NewKeyFromSeed(key), Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	newest, err := os.ReadFile(filepath.Join(log, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	size, err := strconv.Atoi(strings.Split(string(newest), "\n")[1])
	if err != nil {
		t.Fatal(err)
	}
	for range size {
		if _, err := forked.Append(t.Context(), audit.NodeStopped{}); err != nil {
			t.Fatal(err)
		}
	}
	cp, err := forked.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("fork"), cp, 0o600); err != nil {
		t.Fatal(err)
	}
	says(3, "a fork: the key has signed two histories", append(sign, at("fork"))...)
}

// change puts words in the place of the first such ones in a file.
func change(t *testing.T, path, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, bytes.Replace(raw, []byte(from), []byte(to), 1), 0o600); err != nil {
		t.Fatal(err)
	}
}

func glob(t *testing.T, pattern string) string {
	t.Helper()
	list, err := filepath.Glob(pattern)
	if err != nil || len(list) == 0 {
		t.Fatalf("%s: %v, %v", pattern, list, err)
	}
	return list[len(list)-1]
}

package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/cordonsip/cordon/audit"
)

// callLog makes the state folder of a node with a log of so many calls, and gives its public key's file. The seed is that of the log's key.
func callLog(t testing.TB, seed byte, origin string, calls int) (dir, key string) {
	t.Helper()
	dir = t.TempDir()
	l, _, err := audit.Open(t.Context(), audit.Config{Dir: filepath.Join(dir, "log"), Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)), Origin: origin, Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for i := range calls { // at once, so that they share what is written
		all.Go(func() {
			if _, err := l.Append(t.Context(), audit.Receipt{CallRef: fmt.Sprintf("call-%d", i), Outcome: audit.Outcome{SIPFinal: 200}}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if _, err := l.Commit(t.Context(), audit.NodeStopped{}); err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(dir, "log.vkey")
	put(t, key, []byte(l.VerifierKey()+"\n"))
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dir, key
}

func put(t testing.TB, path string, raw []byte) {
	t.Helper()
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestManyProofs exports what a log proves, and has a folder checked in which forgeries stand beside what holds: each is named, and nothing else.
func TestManyProofs(t *testing.T) {
	const origin, calls = "cordon/bank-1/edge-1", 300
	state, key := callLog(t, 1, origin, calls)
	box := t.TempDir()
	at := func(name string) string { return filepath.Join(box, name) }
	says := func(want int, what string, args ...string) string {
		t.Helper()
		code, out, errs := run(t, args...)
		if code != want || !strings.Contains(out+errs, what) {
			t.Errorf("%v: exit %d, want %d and %q\n%s%s", args, code, want, what, out, errs)
		}
		return out
	}
	says(0, "the proofs of 300 entries", "export", "proofs", state, "--out="+at("all.proofs"))
	says(0, "the proofs of 2 entries", "export", "proofs", state, "--out="+at("two.proofs"), "--receipt=call-7", "--receipt=call-299")
	says(0, "the proofs of 1 entries", "export", "proofs", state, "--out="+at("stopped.proofs"), "--kind=node.stopped", "--from=2020-01-01")
	says(1, "file exists", "export", "proofs", state, "--out="+at("two.proofs"))
	says(1, `"call-300": no such entry`, "export", "proofs", state, "--out="+at("none"), "--receipt=call-300")
	says(1, "no entry of that kind and period", "export", "proofs", state, "--out="+at("none"), "--to=2020-01-01")
	says(0, "written", "verify", state, "--receipt=call-7", "--export="+at("call-7.proof"))
	if _, err := os.Stat(at("none")); err == nil {
		t.Error("what was not written whole is there")
	}
	verify := []string{"verify", "--proofs", box, "--key=" + key}
	if out := says(0, "holds      every one of them", verify...); !strings.Contains(out, "proofs     304 in 4 files, 303 of them of receipts") {
		t.Error(out)
	}
	says(0, "proofs     301 in 2 files", "verify", "--proofs", "--key="+key, at("all.proofs"), at("call-7.proof"))

	foreign, _ := callLog(t, 9, origin, 9)
	elsewhere, _ := callLog(t, 1, "cordon/bank-1/edge-2", 9)
	says(0, "written", "verify", foreign, "--receipt=call-7", "--export="+at("foreign.proof"))
	says(0, "written", "verify", elsewhere, "--receipt=call-7", "--export="+at("elsewhere.proof"))
	good, many := string(get(t, at("call-7.proof"))), string(get(t, at("all.proofs")))
	head, tail, _ := strings.Cut(good, "\n"+origin+"\n301\n") // in front of the checkpoint: the path's last hash
	put(t, at("sibling.proof"), []byte(other64(head, len(head)-40)+"\n"+origin+"\n301\n"+tail))
	put(t, at("root.proof"), []byte(head+"\n"+origin+"\n301\n"+other64(tail, 5)))
	put(t, at("more.proof"), []byte(good+"x"))
	put(t, at("cut.proofs"), []byte(many[:len(many)/2]))
	put(t, at("one-of.proofs"), []byte(strings.Replace(many, "index 17\n", "index 18\n", 1)))
	put(t, at("root.proofs"), []byte(strings.Replace(many, "\n301\n", "\n302\n", 1)))
	put(t, at("photo.jpg"), []byte("x"))
	put(t, at(".hidden"), []byte("x"))
	bad := map[string]string{
		"foreign.proof": "signed by another key", "elsewhere.proof": "signed by another key", "sibling.proof": "is not in the tree of 301",
		"root.proof": "does not fit: the text or the signature was changed", "more.proof": "no signed note", "cut.proofs": "the file ends in a line, or before its last",
		"one-of.proofs: proof 18": "entry 18 is not in the tree of 301", "root.proofs": "checkpoint of all its proofs: the signature of", "photo.jpg": "line 1",
	}
	out := says(notHeld, "9 proofs or files do not hold", verify...)
	for name, why := range bad {
		if !hasLine(out, "BAD        "+at(name)+": ", why) {
			t.Errorf("%s: %s is not said\n%s", name, why, out)
		}
	}
	if n := strings.Count(out, "BAD"); n != len(bad) {
		t.Errorf("%d are named, want %d\n%s", n, len(bad), out)
	}
	lines := strings.Split(strings.TrimSpace(says(notHeld, "", append(verify, "--json")...)), "\n")
	var sum bulkSum
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &sum); err != nil || sum.Bad != 9 || sum.Files != 13 || sum.Proofs != sum.Bad+sum.Holds || len(lines) != 10 {
		t.Errorf("%d lines, %+v, %v", len(lines), sum, err)
	}
	says(2, "--json needs --proofs", "verify", "--json", state)
	says(2, "one PATH is checked at a time", "verify", state, box)
	says(2, "need the folder of a log", "verify", "--proofs", box, "--key="+key, "--export=x")
	says(1, "no public key is named", "verify", "--proofs", box)
	says(1, "no proof was found", "verify", "--proofs", t.TempDir(), "--key="+key)
}

// TestAChangedEntryYieldsNoProofs holds that nothing is exported that would not hold, and that no half of a file stays.
func TestAChangedEntryYieldsNoProofs(t *testing.T) {
	state, _ := callLog(t, 1, "cordon/bank-1/edge-1", 300)
	change(t, filepath.Join(state, "log/tile/entries/000"), `"call_ref":"call-1`, `"call_ref":"call-x`)
	out := filepath.Join(t.TempDir(), "x.proofs")
	if code, _, errs := run(t, "export", "proofs", state, "--out="+out); code != notHeld || !strings.Contains(errs, "the folder yields no proof") {
		t.Errorf("exit %d: %s", code, errs)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("half a file stays")
	}
}

// other64 changes one byte of s into another one that base64 has, too.
func other64(s string, at int) string {
	c := byte('A')
	if s[at] == c {
		c = 'B'
	}
	return s[:at] + string(c) + s[at+1:]
}

func hasLine(out, begin, within string) bool {
	for line := range strings.Lines(out) {
		if strings.HasPrefix(line, begin) && strings.Contains(line, within) {
			return true
		}
	}
	return false
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit/proof"
)

// serve runs a witness until the test ends, and gives its address.
func serve(t *testing.T, args ...string) (addr string, stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r, w := io.Pipe()
	var errs bytes.Buffer
	done := make(chan int, 1)
	go func() {
		code := realMain(ctx, append([]string{"witness", "serve", "--listen=127.0.0.1:0"}, args...), streams{w, &errs, strings.NewReader("")})
		_ = w.CloseWithError(errors.New(errs.String()))
		done <- code
	}()
	line, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(strings.TrimPrefix(line, "listening on ")), func() int { cancel(); return <-done }
}

// TestWitnessServe plays a witness over HTTP from the command line, and an auditor who finds its signature beside the log.
func TestWitnessServe(t *testing.T) {
	dir, _, stop := startNode(t)
	stop()
	at := func(name string) string { return filepath.Join(dir, name) }
	code, vkey, errs := run(t, "witness", "key", "witness.bank-2.example/1", at("witness.key"))
	if code != 0 {
		t.Fatal(errs)
	}
	if err := errors.Join(os.WriteFile(at("witness.vkey"), []byte(vkey), 0o600), os.Mkdir(at("seen"), 0o700)); err != nil {
		t.Fatal(err)
	}
	args := []string{"--log=" + at("state/log.vkey"), "--name=witness.bank-2.example/1", "--key=" + at("witness.key"), "--state=" + at("seen")}
	addr, end := serve(t, args...)
	cp, err := os.ReadFile(at("state/log/checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post("http://"+addr+"/add-checkpoint", "text/plain", bytes.NewReader(proof.Addition{Checkpoint: cp}.Marshal()))
	if err != nil {
		t.Fatal(err)
	}
	line, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v %d %s", err, resp.StatusCode, line)
	}
	if code, _, errs := run(t, append([]string{"witness", "serve", "--listen=127.0.0.1:0"}, args...)...); code != 1 || !strings.Contains(errs, "is open elsewhere") {
		t.Errorf("two of one state: exit %d\n%s", code, errs)
	}
	if code := end(); code != 0 {
		t.Errorf("exit %d", code)
	}
	verify := []string{"verify", at("state"), "--witness=" + at("witness.vkey")}
	if code, out, errs := run(t, verify...); code != notHeld || !strings.Contains(out+errs, "signed by 0 of the 1 witnesses") {
		t.Errorf("nothing lies beside the log: exit %d\n%s%s", code, out, errs)
	}
	if err := os.WriteFile(at("state/cosigned.checkpoint"), append(cp, line...), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, verify...); code != 0 || !strings.Contains(out, "witness    witness.bank-2.example/1 at") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
	change(t, at("state/log/checkpoint"), "\n", "\nx")
	if code, out, errs := run(t, verify...); code != notHeld || !strings.Contains(out+errs, "was changed") {
		t.Errorf("a newest checkpoint that was changed behind a cosigned one: exit %d\n%s%s", code, out, errs)
	}
	for want, more := range map[string][]string{
		"no plain HTTP outside this machine": {"--listen=192.0.2.1:0"},
		"go together":                        {"--listen=127.0.0.1:0", "--cert=x"},
		"--listen: ":                         {"--listen=localhost:80"},
	} {
		if code, _, errs := run(t, append(append([]string{"witness", "serve"}, more...), args...)...); code != 2 || !strings.Contains(errs, want) {
			t.Errorf("%v: exit %d\n%s", more, code, errs)
		}
	}
}

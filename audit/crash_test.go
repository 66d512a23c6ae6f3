package audit

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestKilled appends in another process, kills that without warning, and looks for every entry that was acknowledged.
func TestKilled(t *testing.T) {
	if dir := os.Getenv("CORDON_TEST_KILLED"); dir != "" {
		appendForEver(t, dir)
		return
	}
	dir := t.TempDir()
	acknowledged := killAfter(t, dir, 100)
	c := testConfig()
	c.Dir = dir
	if v := verify(t, dir, verifierKeyOf(t, c)); v.Bad != nil || v.Size+v.Unsigned < uint64(len(acknowledged)) {
		t.Errorf("after the kill: %+v, %+v", v, v.Bad)
	}
	l, crashed, err := Open(t.Context(), c)
	if err != nil || !crashed {
		t.Fatalf("crashed %v, %v", crashed, err)
	}
	entries, err := l.Entries(t.Context(), 0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for ref, seq := range acknowledged {
		if seq >= uint64(len(entries)) || !strings.Contains(string(entries[seq].Body), `"`+ref+`"`) {
			t.Errorf("%s was acknowledged as %d and is not there", ref, seq)
		}
	}
	if _, err := l.Commit(t.Context(), Gap{Cause: CauseCrash}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	v := verify(t, dir, l.VerifierKey())
	if v.Bad != nil || v.Size != uint64(len(entries))+1 || v.Unsigned != 0 {
		t.Errorf("after the repair: %+v, %+v", v, v.Bad)
	}
	intents, err := OpenIntents(filepath.Join(dir, "intents"))
	if err != nil {
		t.Fatal(err)
	}
	open := strings.Join(intents.Open(), " ")
	for ref := range acknowledged {
		if !strings.Contains(open, ref) {
			t.Errorf("the intent of %s is lost", ref)
		}
	}
	if err := intents.Close(); err != nil {
		t.Error(err)
	}
}

// killAfter lets another process append to a log in dir and kills it after n acknowledgements, of which it gives all that came.
func killAfter(t *testing.T, dir string, n int) map[string]uint64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilled$")
	cmd.Env = append(os.Environ(), "CORDON_TEST_KILLED="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := map[string]uint64{}
	for sc := bufio.NewScanner(out); sc.Scan(); {
		var ref string
		var seq uint64
		if got, _ := fmt.Sscanf(sc.Text(), "ack %s %d", &ref, &seq); got == 2 {
			acknowledged[ref] = seq
		}
		if len(acknowledged) == n {
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	_ = cmd.Wait() // killed, as it should be
	if len(acknowledged) < n {
		t.Fatalf("only %d acknowledged", len(acknowledged))
	}
	return acknowledged
}

// appendForEver is the process that is killed. What it prints it has been promised.
func appendForEver(t *testing.T, dir string) {
	c := testConfig()
	c.Dir = dir
	l, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	in, err := OpenIntents(filepath.Join(dir, "intents"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for caller := range 16 {
		wg.Go(func() {
			for i := range 100_000 {
				ref := fmt.Sprintf("call-%d-%d", caller, i)
				if err := in.Begin(t.Context(), ref, intentTime); err != nil {
					return
				}
				seq, err := appendEither(l, CallEnded{CallRef: ref}, caller%4 == 0)
				if err != nil {
					return
				}
				fmt.Printf("ack %s %d\n", ref, seq)
			}
		})
	}
	wg.Wait()
}

// appendEither puts an entry into the tree, or lets it wait in the journal.
func appendEither(l Log, e Event, urgent bool) (uint64, error) {
	if urgent {
		return l.Append(context.Background(), e)
	}
	type outcome struct {
		seq uint64
		err error
	}
	got := make(chan outcome, 1)
	l.AppendAsync(e, func(seq uint64, err error) { got <- outcome{seq, err} })
	o := <-got
	return o.seq, o.err
}

func verifierKeyOf(t *testing.T, c Config) string {
	t.Helper()
	s, err := newSigner(c.Origin, c.Signer)
	if err != nil {
		t.Fatal(err)
	}
	return s.vkey
}

package audit

import (
	"context"
	"crypto/ed25519"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	flog "github.com/transparency-dev/formats/log"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"
)

func testConfig() Config {
	return Config{
		Signer: ed25519.NewKeyFromSeed([]byte("an Ed25519 seed of 32 bytes ....")), Origin: "cordon/bank-1/edge-1",
		Tenant: "bank-1", Node: "edge-1", Software: "cordon test", Reserve: 1 << 20,
		AppendTimeout: time.Minute, // a busy machine is not what these tests are about
	}
}

// onDisk opens a log of its own on the disk, and gives its driver beside it.
func onDisk(t *testing.T) (Log, *posix) {
	t.Helper()
	l := openTest(t, "disk", testConfig())
	return l, l.(*spine).drv.(*posix)
}

// openTest opens the log of kind "disk" or "memory" and closes it at the end.
func openTest(t *testing.T, kind string, c Config) Log {
	t.Helper()
	var l Log
	var err error
	if kind == "memory" {
		l, err = Memory(c)
	} else {
		if c.Dir == "" {
			c.Dir = logDir(t)
		}
		l, _, err = Open(t.Context(), c)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := l.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return l
}

// logDir is a folder of its own for a log, removed at the end. An append that hung or failed may still end in it shortly after the log was closed.
func logDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cordon-log-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for deadline := time.Now().Add(10 * time.Second); ; <-tick.C {
			err := os.RemoveAll(dir)
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Error(err)
				return
			}
		}
	})
	return dir
}

func mustAppend(t *testing.T, l Log, e Event) uint64 {
	t.Helper()
	seq, err := l.Append(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return seq
}

// parseCheckpoint checks the signature and gives size and root.
func parseCheckpoint(t *testing.T, l Log) *flog.Checkpoint {
	t.Helper()
	raw, err := l.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(l.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	cp, _, _, err := flog.ParseCheckpoint(raw, v.Name(), v)
	if err != nil {
		t.Fatal(err)
	}
	return cp
}

// TestMain lets more tests run at once than there are processors: most of them wait for fsyncs and checkpoints.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", "24"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestLogContract runs against both logs.
func TestLogContract(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, Log){
		"append, read, stamp": contractAppend,
		"commit is covered":   contractCommit,
		"order and many":      contractMany,
		"proofs":              contractProofs,
		"grown and follow":    contractGrown,
		"bad events":          contractBad,
		"closed":              contractClosed,
	}
	for name, f := range tests {
		for _, kind := range []string{"memory", "disk"} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				f(t, openTest(t, kind, testConfig()))
			})
		}
	}
}

func contractAppend(t *testing.T, l Log) {
	if n := l.Size(); n != 0 {
		t.Fatalf("new log: size %d", n)
	}
	if cp := parseCheckpoint(t, l); cp.Size != 0 || cp.Origin != "cordon/bank-1/edge-1" {
		t.Fatalf("new log: checkpoint %+v", cp)
	}
	before := time.Now()
	mustAppend(t, l, NodeStarted{Addrs: []string{"127.0.0.1:5060"}})
	l.SetStamp(Stamp{PolicyDigest: "p1", FactsDigest: "f1", Generation: 7})
	if seq := mustAppend(t, l, PolicyApplied{Cause: "start", PolicyDigest: "p1"}); seq != 1 {
		t.Fatalf("second entry: seq %d", seq)
	}
	got, err := l.Entries(t.Context(), 0, 10)
	if err != nil || len(got) != 2 {
		t.Fatalf("entries: %d, %v", len(got), err)
	}
	a, b := got[0], got[1]
	if a.Kind != KindNodeStarted || a.Seq != 0 || a.PolicyDigest != "" || a.Tenant != "bank-1" || a.Node != "edge-1" || a.Software != "cordon test" {
		t.Errorf("first entry: %+v", a)
	}
	if b.Kind != KindPolicyApplied || b.Seq != 1 || b.PolicyDigest != "p1" || b.FactsDigest != "f1" || b.Generation != 7 {
		t.Errorf("second entry: %+v", b)
	}
	if b.Time.Before(before.Add(-time.Second)) || b.Time.Location() != time.UTC || a.Clock.Source != "system" || a.Gap {
		t.Errorf("second entry: time %v, clock %+v", b.Time, b.Clock)
	}
	for _, c := range []struct {
		from uint64
		max  int
		want int
	}{{2, 10, 0}, {9, 10, 0}, {0, 0, 0}, {0, 1, 1}, {1, 5, 1}, {0, -1, 0}} {
		if got, err := l.Entries(t.Context(), c.from, c.max); err != nil || len(got) != c.want {
			t.Errorf("entries(%d, %d): %d, %v; want %d", c.from, c.max, len(got), err, c.want)
		}
	}
	if h := l.Health(); !h.OK || h.Why != "" || h.Since.IsZero() {
		t.Errorf("health: %+v", h)
	}
}

func contractCommit(t *testing.T, l Log) {
	for i := range 3 {
		seq, err := l.Commit(t.Context(), HealthChanged{Target: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		if cp := parseCheckpoint(t, l); cp.Size <= seq {
			t.Fatalf("commit %d returned with a checkpoint of size %d", seq, cp.Size)
		}
	}
}

func contractMany(t *testing.T, l Log) {
	const callers, each = 60, 10
	var wg sync.WaitGroup
	seqs := make([][]uint64, callers)
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				seq, err := l.Append(t.Context(), CallEnded{CallRef: fmt.Sprintf("%d/%d", c, i)})
				if err != nil {
					t.Error(err)
					return
				}
				if l.Size() <= seq {
					t.Errorf("entry %d acknowledged at size %d", seq, l.Size())
				}
				seqs[c] = append(seqs[c], seq)
			}
		})
	}
	wg.Wait()
	if l.Size() != callers*each {
		t.Fatalf("size %d", l.Size())
	}
	all, err := l.Entries(t.Context(), 0, callers*each)
	if err != nil || len(all) != callers*each {
		t.Fatalf("entries: %d, %v", len(all), err)
	}
	ids := map[string]bool{}
	for c := range seqs {
		for i, seq := range seqs[c] {
			ev, err := Decode(all[seq])
			if err != nil || ev.(CallEnded).CallRef != fmt.Sprintf("%d/%d", c, i) {
				t.Fatalf("entry %d: %+v, %v", seq, ev, err)
			}
			if i > 0 && seqs[c][i-1] >= seq {
				t.Errorf("caller %d: %d after %d", c, seq, seqs[c][i-1])
			}
			ids[all[seq].ID] = true
		}
	}
	if len(ids) != callers*each {
		t.Errorf("%d different ids", len(ids))
	}
	mid, err := l.Entries(t.Context(), 250, 10)
	if err != nil || len(mid) != 10 || mid[0].Seq != 250 || mid[0].ID != all[250].ID || mid[9].ID != all[259].ID {
		t.Errorf("across bundles: %d, %v", len(mid), err)
	}
}

func contractProofs(t *testing.T, l Log) {
	const n = 300
	var wg sync.WaitGroup
	for i := range n - 1 {
		wg.Go(func() { mustAppend(t, l, CallEnded{SIPFinal: i}) })
	}
	wg.Wait()
	if _, err := l.Commit(t.Context(), CallEnded{}); err != nil {
		t.Fatal(err)
	}
	cp := parseCheckpoint(t, l)
	if cp.Size != n {
		t.Fatalf("checkpoint of size %d", cp.Size)
	}
	roots := map[uint64][]byte{}
	for size := uint64(1); size <= n; size += 13 { // the root of every older tree, by the proof that leads to its last entry
		roots[size] = rootByProof(t, l, size-1, size)
	}
	roots[n] = cp.Hash
	for size, root := range roots {
		for _, seq := range []uint64{0, size / 3, size - 1} {
			p, err := l.Inclusion(t.Context(), seq, size)
			if err != nil {
				t.Fatal(err)
			}
			if err := proof.VerifyInclusion(rfc6962.DefaultHasher, seq, size, leafHash(t, l, seq), p, root); err != nil {
				t.Errorf("inclusion of %d in %d: %v", seq, size, err)
			}
		}
		p, err := l.Consistency(t.Context(), size, n)
		if err != nil {
			t.Fatal(err)
		}
		if err := proof.VerifyConsistency(rfc6962.DefaultHasher, size, n, p, root, cp.Hash); err != nil {
			t.Errorf("consistency of %d and %d: %v", size, n, err)
		}
	}
	if _, err := l.Inclusion(t.Context(), n, n); err == nil {
		t.Error("inclusion of an entry beyond the tree")
	}
	if _, err := l.Inclusion(t.Context(), 0, n+1); err == nil {
		t.Error("inclusion in a tree that is not there")
	}
	if _, err := l.Consistency(t.Context(), 2, 1); err == nil {
		t.Error("consistency backwards")
	}
	if _, err := l.Consistency(t.Context(), 0, n+1); err == nil {
		t.Error("consistency with a tree that is not there")
	}
}

func leafHash(t *testing.T, l Log, seq uint64) []byte {
	t.Helper()
	raw, err := l.(*spine).drv.leaves(t.Context(), seq, 1)
	if err != nil {
		t.Fatal(err)
	}
	return rfc6962.DefaultHasher.HashLeaf(raw[0])
}

func rootByProof(t *testing.T, l Log, seq, size uint64) []byte {
	t.Helper()
	p, err := l.Inclusion(t.Context(), seq, size)
	if err != nil {
		t.Fatal(err)
	}
	root, err := proof.RootFromInclusionProof(rfc6962.DefaultHasher, seq, size, leafHash(t, l, seq), p)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func contractGrown(t *testing.T, l Log) {
	first, third := l.Grown(0), l.Grown(2)
	if l.Grown(0) != first {
		t.Error("another channel for the same size")
	}
	var got []uint64
	done := make(chan error, 1)
	stop := errors.New("enough")
	go func() {
		done <- Follow(t.Context(), l, 1, func(e Entry) error {
			got = append(got, e.Seq)
			if e.Seq == 3 {
				return stop
			}
			return nil
		})
	}()
	mustAppend(t, l, NodeStarted{})
	<-first
	select {
	case <-third:
		t.Error("grown past 2 with one entry")
	default:
	}
	for range 3 {
		mustAppend(t, l, HealthChanged{})
	}
	<-third
	<-l.Grown(3)
	if err := <-done; err != stop || fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("follow: %v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Follow(ctx, l, 0, func(Entry) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("follow with an ended context: %v", err)
	}
}

type oddEvent struct{ body any }

func (oddEvent) Kind() Kind                     { return "odd" }
func (o oddEvent) MarshalJSON() ([]byte, error) { return []byte(fmt.Sprint(o.body)), nil }

func contractBad(t *testing.T, l Log) {
	for name, e := range map[string]Event{
		"not JSON":      oddEvent{"{"},
		"not an object": oddEvent{"[1]"},
		"too long":      ReloadRefused{Errors: []string{strings.Repeat("x", maxLeaf)}},
	} {
		if _, err := l.Append(t.Context(), e); err == nil || errors.Is(err, ErrLogDown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if !l.Health().OK || l.Size() != 0 {
		t.Errorf("a bad event touched the log: %+v, size %d", l.Health(), l.Size())
	}
}

func contractClosed(t *testing.T, l Log) {
	mustAppend(t, l, NodeStopped{})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(t.Context(), NodeStarted{}); !errors.Is(err, ErrLogDown) {
		t.Errorf("append to a closed log: %v", err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// TestMemoryInBubble holds that the memory log lives in virtual time: it leaves no goroutine and takes no time.
func TestMemoryInBubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, err := Memory(testConfig())
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		followed := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		n := 0
		go func() { followed <- Follow(ctx, l, 0, func(Entry) error { n++; return nil }) }()
		for range 5 {
			if _, err := l.Commit(t.Context(), HealthChanged{}); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if n != 5 || time.Since(start) != 0 {
			t.Errorf("followed %d entries in %v", n, time.Since(start))
		}
		time.Sleep(time.Hour)
		mustAppend(t, l, NodeStopped{})
		e, err := l.Entries(t.Context(), 5, 1)
		if err != nil || !e[0].Time.Equal(start.Add(time.Hour)) {
			t.Errorf("entry %+v, %v", e, err)
		}
		cancel()
		<-followed
	})
}

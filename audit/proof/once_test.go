package proof_test

import (
	"bytes"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/cordonsip/cordon/audit/proof"
)

// TestOnceIsAsStrictAsTheKeys shows a checkpoint that holds first, and then what resembles it: each is refused in the words of the keys, and the good one goes on to hold.
func TestOnceIsAsStrictAsTheKeys(t *testing.T) {
	t.Parallel()
	w := cosigner(t, "witness.example/a", 2)
	k := newKeys(t, vkey(t, origin, seed(1)), []string{w.VerifierKey()}, 1)
	once := proof.NewOnce(k)
	d := leaves(7)
	cp := signed(t, d, seed(1), w)
	good := entryFile(t, d, 2, cp)
	opens := func(raw []byte) error {
		e, err := proof.ParseEntry(raw)
		if err == nil {
			_, err = e.Verify(once)
		}
		return err
	}
	if err := opens(good); err != nil {
		t.Fatal(err)
	}
	other := leaves(7)
	other[1] = []byte("another")
	forged := bytes.Replace(entryFile(t, other, 2, cp), cp, bytes.Replace(cp, []byte(proof.Hash(root(d)).String()), []byte(proof.Hash(root(other)).String()), 1), 1)
	sibling := proof.Entry{Leaf: d[2], Index: 2, Hashes: hashes(t, path(2, d)), Checkpoint: cp}
	sibling.Hashes[1][31] ^= 1
	for name, raw := range map[string][]byte{
		"another root over the same signatures":   forged,
		"another key":                             entryFile(t, d, 2, signed(t, d, seed(9), w)),
		"another key, the good one in front":      entryFile(t, d, 2, append(bytes.Clone(cp), signed(t, d, seed(9), w)...)),
		"a byte behind the checkpoint":            append(bytes.Clone(good), 'x'),
		"a line behind the checkpoint":            append(bytes.Clone(good), "\u2014 x AAAA\n"...),
		"the checkpoint without its witness":      entryFile(t, d, 2, signed(t, d, seed(1))),
		"the checkpoint without its last byte":    good[:len(good)-1],
		"the log of another name, the same key":   entryFile(t, d, 2, bytes.ReplaceAll(cp, []byte(origin), []byte("cordon/bank-1/edge-2"))),
		"a sibling of the path":                   sibling.Marshal(),
		"another entry":                           bytes.Replace(good, []byte("index 2"), []byte("index 3"), 1),
		"the signature, in its last bits another": entryFile(t, d, 2, bytes.Replace(cp, []byte("=\n"), []byte("A\n"), 2)),
	} {
		for range 2 { // nothing that was refused is remembered as good
			err, want := opens(raw), verifyFile(raw, k)
			if err == nil || want == nil || err.Error() != want.Error() {
				t.Errorf("%s: found %v, want %v", name, err, want)
			}
		}
		if err := opens(good); err != nil {
			t.Errorf("behind %s the good one: %v", name, err)
		}
	}
}

// TestOnceForgets holds that its memory is bounded, and that what it forgot holds again.
func TestOnceForgets(t *testing.T) {
	t.Parallel()
	k := newKeys(t, vkey(t, origin, seed(1)), nil, 0)
	once := proof.NewOnce(k)
	long := strings.Repeat("\u2014 stranger "+strings.Repeat("A", 60000)+"\n", 1)
	var cps [][]byte
	for n := 1; n <= 80; n++ { // 80 times 60 kB
		cps = append(cps, append(signed(t, leaves(n), seed(1)), long...))
	}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			for i, cp := range cps {
				if got, err := once.Open(cp); err != nil || got.Size != uint64(i+1) {
					t.Errorf("%d: %d, %v", i, got.Size, err)
				}
			}
		})
	}
	all.Wait()
	if n := once.Remembered(); n == 0 || n > 4<<20 {
		t.Errorf("%d bytes are remembered", n)
	}
}

// BenchmarkProofs verifies files of entries of 2 kB in a log of 1,000,000, as they are read from a disk: with the keys, and with the checkpoint opened once.
func BenchmarkProofs(b *testing.B) {
	w := cosigner(b, "witness.example/a", 2)
	k := newKeys(b, vkey(b, origin, seed(1)), []string{w.VerifierKey()}, 1)
	e := proof.Entry{Leaf: bytes.Repeat([]byte("x"), 2000), Index: 654321, Hashes: make([]proof.Hash, 20)}
	top, err := e.Root(1_000_000)
	if err != nil {
		b.Fatal(err)
	}
	e.Checkpoint = signText(b, fmt.Sprintf("%s\n1000000\n%s\n", origin, top), seed(1), w)
	raw := e.Marshal()
	for name, by := range map[string]proof.Opener{"each": k, "once": proof.NewOnce(k)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				e, err := proof.ParseEntry(raw)
				if err == nil {
					_, err = e.Verify(by)
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proofs/s")
		})
	}
}

package proof_test

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"maps"
	"math/bits"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit/proof"
	"golang.org/x/mod/sumdb/note"
)

const origin = "cordon/bank-1/edge-1"

func seed(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

func vkey(t testing.TB, name string, key ed25519.PrivateKey) string {
	t.Helper()
	v, err := note.NewEd25519VerifierKey(name, key.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func cosigner(t testing.TB, name string, b byte) *proof.Cosigner {
	t.Helper()
	c, err := proof.NewCosigner(name, seed(b))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// signs is a note signer of a key that is given.
type signs struct {
	note.Verifier
	key ed25519.PrivateKey
}

func (s signs) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.key, msg), nil }

func entryBytes(i int) []byte { return fmt.Appendf(nil, `{"record_id":"%d"}`, i) }

// root, path and consistency are RFC 9162 sections 2.1.1, 2.1.3.1 and 2.1.4.1, word by word.
func root(d [][]byte) []byte {
	if len(d) == 1 {
		return leafHash(d[0])
	}
	k := half(len(d))
	return nodeHash(root(d[:k]), root(d[k:]))
}

func half(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

func path(m int, d [][]byte) [][]byte {
	if len(d) == 1 {
		return nil
	}
	if k := half(len(d)); m < k {
		return append(path(m, d[:k]), root(d[k:]))
	} else {
		return append(path(m-k, d[k:]), root(d[:k]))
	}
}

func consistency(m int, d [][]byte, whole bool) [][]byte {
	if m == len(d) {
		if whole {
			return nil
		}
		return [][]byte{root(d)}
	}
	if k := half(len(d)); m <= k {
		return append(consistency(m, d[:k], whole), root(d[k:]))
	} else {
		return append(consistency(m-k, d[k:], false), root(d[:k]))
	}
}

func leaves(n int) [][]byte {
	out := make([][]byte, n)
	for i := range out {
		out[i] = entryBytes(i)
	}
	return out
}

// signed is a checkpoint over d, by the log and by witnesses.
func signed(t testing.TB, d [][]byte, key ed25519.PrivateKey, by ...*proof.Cosigner) []byte {
	t.Helper()
	h := proof.Hash{}
	if len(d) > 0 {
		h = proof.Hash(root(d))
	}
	return signText(t, fmt.Sprintf("%s\n%d\n%s\n", origin, len(d), h), key, by...)
}

func signText(t testing.TB, text string, key ed25519.PrivateKey, by ...*proof.Cosigner) []byte {
	t.Helper()
	v, err := note.NewVerifier(vkey(t, origin, key))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := note.Sign(&note.Note{Text: text}, signs{v, key})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range by {
		line, err := w.Sign(text, time.Unix(1795000000, 0))
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, line...)
	}
	return raw
}

func hashes(t testing.TB, raw [][]byte) []proof.Hash {
	t.Helper()
	out, err := proof.Hashes(raw)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func newKeys(t testing.TB, log string, witnesses []string, quorum int) *proof.Keys {
	t.Helper()
	k, err := proof.NewKeys(log, witnesses, quorum)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func entryFile(t testing.TB, d [][]byte, i int, cp []byte) []byte {
	t.Helper()
	return proof.Entry{Leaf: d[i], Index: uint64(i), Hashes: hashes(t, path(i, d)), Checkpoint: cp}.Marshal()
}

// verifyFile checks a file of either kind by the package.
func verifyFile(raw []byte, k *proof.Keys) error {
	if bytes.HasPrefix(raw, []byte(proof.EntryHeader)) {
		e, err := proof.ParseEntry(raw)
		if err == nil {
			_, err = e.Verify(k)
		}
		return err
	}
	c, err := proof.ParseConsistency(raw)
	if err == nil {
		_, _, err = c.Verify(k)
	}
	return err
}

// TestTwoCheckersAgree holds that every entry and every two sizes of small trees are proved to this checker and to the independent one.
func TestTwoCheckersAgree(t *testing.T) {
	t.Parallel()
	log := vkey(t, origin, seed(1))
	w := cosigner(t, "witness.example/a", 2)
	k := newKeys(t, log, []string{w.VerifierKey()}, 1)
	agree := func(what string, raw []byte) {
		t.Helper()
		if err := verifyFile(raw, k); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if err := checkFile(string(raw), log, []string{w.VerifierKey()}, 1); err != nil {
			t.Errorf("%s: the independent checker: %v", what, err)
		}
	}
	var cps [][]byte
	d := leaves(20)
	for n := 1; n <= len(d); n++ {
		cps = append(cps, signed(t, d[:n], seed(1), w))
		for i := range n {
			agree(fmt.Sprintf("entry %d of %d", i, n), entryFile(t, d[:n], i, cps[n-1]))
		}
		for m := 1; m <= n; m++ {
			c := proof.Consistency{From: cps[m-1], To: cps[n-1], Hashes: hashes(t, consistency(m, d[:n], true))}
			agree(fmt.Sprintf("from %d to %d", m, n), c.Marshal())
		}
	}
}

// TestEveryByteCounts changes each byte of files of both kinds in two ways, and drops each: both checkers see it.
func TestEveryByteCounts(t *testing.T) {
	t.Parallel()
	log := vkey(t, origin, seed(1))
	w := cosigner(t, "witness.example/a", 2)
	k := newKeys(t, log, []string{w.VerifierKey()}, 1)
	d := leaves(7)
	from, to := signed(t, d[:3], seed(1), w), signed(t, d, seed(1), w)
	files := [][]byte{
		entryFile(t, d, 2, to),
		proof.Consistency{From: from, To: to, Hashes: hashes(t, consistency(3, d, true))}.Marshal(),
	}
	for _, sound := range files {
		for at := range sound {
			flipped, grown := bytes.Clone(sound), bytes.Clone(sound)
			flipped[at] ^= 0x01
			grown[at]++
			for how, raw := range map[string][]byte{"flipped": flipped, "grown": grown, "dropped": append(bytes.Clone(sound[:at]), sound[at+1:]...), "cut there": sound[:at]} {
				if err := verifyFile(raw, k); err == nil {
					t.Errorf("%.20s: byte %d %s, and it holds", sound, at, how)
				}
				if checkFile(string(raw), log, []string{w.VerifierKey()}, 1) == nil {
					t.Errorf("%.20s: byte %d %s, and it holds for the independent checker", sound, at, how)
				}
			}
		}
	}
}

// TestRefusals names what is wrong with a file, each by its own words.
func TestRefusals(t *testing.T) {
	t.Parallel()
	log := vkey(t, origin, seed(1))
	a, b := cosigner(t, "witness.example/a", 2), cosigner(t, "witness.example/b", 3)
	both := []string{a.VerifierKey(), b.VerifierKey()}
	d := leaves(7)
	other := leaves(7)
	other[1] = []byte("another")
	cp := signed(t, d, seed(1), a)
	link := func(from, to []byte, h ...proof.Hash) []byte {
		return proof.Consistency{From: from, To: to, Hashes: h}.Marshal()
	}
	edit := func(from, to string) []byte {
		return bytes.Replace(entryFile(t, d, 2, cp), []byte(from), []byte(to), 1)
	}
	cases := map[string]struct {
		raw    []byte
		quorum int
		want   string
	}{
		"entry of other bytes":       {entryFile(t, append(append([][]byte{}, d[:2]...), append([][]byte{other[1]}, d[3:]...)...), 2, cp), 0, "is not in the tree of 7: the entry, its index or a hash"},
		"index of another":           {edit("index 2", "index 3"), 0, "entry 3 is not in the tree of 7"},
		"index beyond":               {edit("index 2", "index 7"), 0, "entry 7: the checkpoint stands for 7 entries"},
		"a hash too few":             {proof.Entry{Leaf: d[2], Index: 2, Checkpoint: cp}.Marshal(), 0, "another number of hashes"},
		"number with a leading zero": {edit("index 2", "index 02"), 0, "line 3: index: expected a decimal number"},
		"another header":             {edit("@v1", "@v2"), 0, `found "c2sp.org/tlog-proof@v2"`},
		"size in the checkpoint":     {edit("\n7\n", "\n8\n"), 0, "does not fit: the text or the signature was changed"},
		"signed with a foreign key":  {entryFile(t, d, 2, signed(t, d, seed(9))), 0, "signed by another key: expected cordon/bank-1/edge-1+"},
		"no checkpoint":              {entryFile(t, d, 2, []byte("x\n")), 0, "no signed note"},
		"too few witnesses":          {entryFile(t, d, 2, cp), 2, "signed by 1 of the 2 witnesses: 2 are asked for"},
		"by witnesses alone":         {entryFile(t, d, 2, unsigned(cp)), 0, "not signed by the log"},
		"rolled back":                {link(cp, signed(t, d[:5], seed(1))), 0, "the first checkpoint stands for 7 entries and the second for 5"},
		"forked":                     {link(cp, signed(t, other, seed(1))), 0, "two checkpoints of 7 entries with different roots"},
		"history rewritten":          {link(signed(t, d[:4], seed(1)), signed(t, other, seed(1)), hashes(t, consistency(4, other, true))...), 0, "does not begin with that of 4: entries were removed, reordered or changed"},
		"lengths changed":            {bytes.Replace(link(cp, cp), []byte("to "), []byte("to 1"), 1), 0, "expected checkpoints of"},
		"hashes of nothing":          {link(cp, cp, proof.Hash{}), 0, "expected no hashes, found 1"},
		"second of another key":      {link(cp, signed(t, d, seed(9))), 0, "second checkpoint: signed by another key"},
		"an empty tree's root":       {link(signed(t, nil, seed(1)), cp), 0, "another root than the empty tree"},
		"an extension line":          {entryFile(t, d, 2, signText(t, fmt.Sprintf("%s\n7\n%s\nmore\n", origin, proof.Hash(root(d))), seed(1))), 0, "expected origin, size and root on three lines, found 4"},
		"more bytes than a file":     {append(entryFile(t, d, 2, cp), make([]byte, proof.MaxFile)...), 0, "the most is 1048576"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := verifyFile(c.raw, newKeys(t, log, both, c.quorum))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("found %v\nwant %s", err, c.want)
			}
			if checkFile(string(c.raw), log, both, c.quorum) == nil && len(c.raw) <= proof.MaxFile {
				t.Error("it holds for the independent checker")
			}
		})
	}
	var table strings.Builder
	table.WriteString("| what was done | what is said |\n|---|---|\n")
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		fmt.Fprintf(&table, "| %s | `%s` |\n", name, cases[name].want)
	}
	page, err := os.ReadFile("../../docs/reference/tampering.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "<!-- a proof -->\n"+table.String()+"<!-- end -->") {
		t.Errorf("docs/reference/tampering.md: the table \"a proof\" is old; it is:\n%s", table.String())
	}
}

// unsigned takes the first signature, which is the log's, out of a checkpoint.
func unsigned(cp []byte) []byte {
	text, sigs, _ := bytes.Cut(cp, []byte("\n\n"))
	_, rest, _ := bytes.Cut(sigs, []byte("\n"))
	return slices.Concat(text, []byte("\n\n"), rest)
}

// TestKeys holds which keys are no quorum.
func TestKeys(t *testing.T) {
	t.Parallel()
	log := vkey(t, origin, seed(1))
	a := cosigner(t, "witness.example/a", 2).VerifierKey()
	again := cosigner(t, "witness.example/again", 2).VerifierKey()
	own := cosigner(t, "witness.example/own", 1).VerifierKey()
	for name, c := range map[string]struct {
		log       string
		witnesses []string
		quorum    int
		want      string
	}{
		"no key":                 {"x", nil, 0, "key of the log"},
		"no witness":             {log, []string{"x"}, 0, "expected NAME+HASH+KEY"},
		"hash of another":        {log, []string{strings.Replace(a, "/a+", "/b+", 1)}, 0, "is not that of the name and the key"},
		"one key, two names":     {log, []string{a, again}, 2, "its key is that of the log, or of another witness"},
		"the log as its witness": {log, []string{own}, 1, "its key is that of the log, or of another witness"},
		"more than there are":    {log, []string{a}, 2, "2 witnesses are asked for and 1 are named"},
	} {
		if _, err := proof.NewKeys(c.log, c.witnesses, c.quorum); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// TestCosignature holds the form of a cosignature, byte for byte, as C2SP tlog-cosignature has it.
func TestCosignature(t *testing.T) {
	t.Parallel()
	w := cosigner(t, "witness.example/a", 2)
	k := newKeys(t, vkey(t, origin, seed(1)), []string{w.VerifierKey()}, 1)
	cp, err := k.Open(signed(t, leaves(3), seed(1), w, cosigner(t, "witness.example/stranger", 5)))
	if err != nil {
		t.Fatal(err)
	}
	if len(cp.Witnesses) != 1 || cp.Witnesses[0] != (proof.Cosignature{Name: "witness.example/a", Time: time.Unix(1795000000, 0).UTC()}) || cp.Size != 3 || cp.Origin != origin {
		t.Errorf("%+v", cp)
	}
	if len(cp.Others) != 1 || !strings.HasPrefix(cp.Others[0], "witness.example/stranger+") {
		t.Errorf("signatures of strangers: %v", cp.Others)
	}
	if _, err := w.Sign(cp.Text, time.Time{}); err == nil {
		t.Error("signed without a clock")
	}
}

func FuzzEntryFile(f *testing.F) {
	log, d := vkey(f, origin, seed(1)), leaves(7)
	k := newKeys(f, log, nil, 0)
	f.Add(entryFile(f, d, 2, signed(f, d, seed(1))))
	f.Add([]byte(proof.EntryHeader + "\nextra \nindex 0\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := proof.ParseEntry(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Marshal(), raw) {
			t.Errorf("a file of two forms: %q", raw)
		}
		_, err = e.Verify(k)
		if other := checkFile(string(raw), log, nil, 0); (err == nil) != (other == nil) {
			t.Errorf("two checkers disagree: %v, %v", err, other)
		}
		if err == nil && (e.Index >= 7 || !bytes.Equal(e.Leaf, d[e.Index])) {
			t.Errorf("proved what was never logged: %q", e.Leaf)
		}
	})
}

func FuzzConsistencyFile(f *testing.F) {
	log, d := vkey(f, origin, seed(1)), leaves(7)
	k := newKeys(f, log, nil, 0)
	f.Add(proof.Consistency{From: signed(f, d[:3], seed(1)), To: signed(f, d, seed(1)), Hashes: hashes(f, consistency(3, d, true))}.Marshal())
	f.Add([]byte(proof.ConsistencyHeader + "\nfrom 0\nto 0\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := proof.ParseConsistency(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Marshal(), raw) {
			t.Errorf("a file of two forms: %q", raw)
		}
		_, _, err = c.Verify(k)
		if other := checkFile(string(raw), log, nil, 0); (err == nil) != (other == nil) {
			t.Errorf("two checkers disagree: %v, %v", err, other)
		}
	})
}

// BenchmarkVerify is how long one receipt takes a checker: its signature, its path and its one form.
func BenchmarkVerify(b *testing.B) {
	d := leaves(1000)
	for i := range d {
		d[i] = append(d[i], bytes.Repeat([]byte("x"), 2000)...) // as long as a receipt
	}
	w := cosigner(b, "witness.example/a", 2)
	for name, k := range map[string]*proof.Keys{
		"log":         newKeys(b, vkey(b, origin, seed(1)), nil, 0),
		"log+witness": newKeys(b, vkey(b, origin, seed(1)), []string{w.VerifierKey()}, 1),
	} {
		file := entryFile(b, d, 400, signed(b, d, seed(1), w))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := verifyFile(file, k); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "receipts/s")
		})
	}
}

package proof_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit/proof"
)

// bundled is a file of all of d.
func bundled(t testing.TB, d [][]byte, cp []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := proof.NewBundleWriter(&out, cp)
	for i := 0; err == nil && i < len(d); i++ {
		err = w.Add(proof.Entry{Leaf: d[i], Index: uint64(i), Hashes: hashes(t, path(i, d))})
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readBundle checks a file of many and gives how many entries hold in front of the error.
func readBundle(raw []byte, k *proof.Keys) (n int, err error) {
	r, err := proof.NewBundleReader(bytes.NewReader(raw))
	if err != nil {
		return 0, err
	}
	once := proof.NewOnce(k)
	if _, err := once.Open(r.Checkpoint()); err != nil {
		return 0, err
	}
	for {
		one, err := r.Next()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		e, err := proof.ParseBundled(one, r.Checkpoint())
		if err == nil {
			_, err = e.Verify(once)
		}
		if err != nil {
			return n, err
		}
		n++
	}
}

// TestABundleIsItsProofs holds that a file of many, cut apart as the page says, is as many files of one, which both checkers accept, and that every byte of it counts.
func TestABundleIsItsProofs(t *testing.T) {
	t.Parallel()
	log, d := vkey(t, origin, seed(1)), leaves(5)
	k := newKeys(t, log, nil, 0)
	cp := signed(t, d, seed(1))
	raw := bundled(t, d, cp)
	if n, err := readBundle(raw, k); n != 5 || err != nil {
		t.Fatalf("%d, %v", n, err)
	}
	_, body, _ := strings.Cut(string(raw), string(cp))
	parts := strings.SplitAfter(body, "\n\n")
	if len(parts) != 6 || parts[5] != "entries 5\n" {
		t.Fatalf("%q", parts)
	}
	for i, part := range parts[:5] {
		one := proof.EntryHeader + "\n" + part + string(cp)
		if err := checkFile(one, log, nil, 0); err != nil || one != string(entryFile(t, d, i, cp)) {
			t.Errorf("entry %d: %v\n%s", i, err, one)
		}
	}
	for at := range raw {
		flipped := bytes.Clone(raw)
		flipped[at] ^= 0x01
		for how, raw := range map[string][]byte{"flipped": flipped, "dropped": append(bytes.Clone(raw[:at]), raw[at+1:]...), "cut there": raw[:at], "doubled": append(bytes.Clone(raw[:at+1]), raw[at:]...)} {
			if _, err := readBundle(raw, k); err == nil {
				t.Errorf("byte %d %s, and it holds", at, how)
			}
		}
	}
}

// TestBundlesThatDoNotRead names what is wrong with the file itself.
func TestBundlesThatDoNotRead(t *testing.T) {
	t.Parallel()
	d := leaves(3)
	cp := signed(t, d, seed(1))
	raw := string(bundled(t, d, cp))
	_, first, _ := strings.Cut(raw, string(cp))
	first, _, _ = strings.Cut(first, "\n\n")
	first += "\n\n"
	cases := map[string]struct{ raw, want string }{
		"nothing":                   {"", "the file ends in a line"},
		"another header":            {strings.Replace(raw, "@v1", "@v2", 1), `found "cordon/entry-proofs@v2"`},
		"a checkpoint too long":     {proof.BundleHeader + "\ncheckpoint 65537\n", "the most is 65536"},
		"cut in the checkpoint":     {raw[:60], "the file ends inside the checkpoint"},
		"an entry dropped":          {strings.Replace(raw, first, "", 1), "its last line says 3 entries, and 2 were read: some were dropped or added"},
		"an entry added":            {strings.Replace(raw, first, first+first, 1), "its last line says 3 entries, and 4 were read"},
		"the last line dropped":     {strings.TrimSuffix(raw, "entries 3\n"), "behind 3 entries: the file ends in a line, or before its last"},
		"cut in an entry":           {raw[:strings.LastIndex(raw, "index")], "behind 2 entries: the file ends"},
		"bytes behind the last":     {raw + "x", "bytes behind its last line"},
		"a number of two forms":     {strings.Replace(raw, "entries 3", "entries 03", 1), `behind 3 entries: the last line is not "entries 3"`},
		"an entry that never ends":  {strings.Replace(raw, first, "extra "+strings.Repeat("A", proof.MaxFile), 1), "expected a line end within 1048576 bytes"},
		"more hashes than any tree": {strings.Replace(raw, first, strings.TrimSuffix(first, "\n")+strings.Repeat(proof.Hash{}.String()+"\n", 65)+"\n", 1), "more hashes than any tree needs"},
	}
	for name, c := range cases {
		if _, err := readBundle([]byte(c.raw), newKeys(t, vkey(t, origin, seed(1)), nil, 0)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
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
	if !strings.Contains(string(page), "<!-- many proofs -->\n"+table.String()+"<!-- end -->") {
		t.Errorf("docs/reference/tampering.md: the table \"many proofs\" is old; it is:\n%s", table.String())
	}
}

func FuzzBundle(f *testing.F) {
	d := leaves(4)
	k := newKeys(f, vkey(f, origin, seed(1)), nil, 0)
	f.Add(bundled(f, d, signed(f, d, seed(1))))
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := readBundle(raw, k)
		if err != nil {
			return
		}
		var again bytes.Buffer
		r, _ := proof.NewBundleReader(bytes.NewReader(raw))
		w, err := proof.NewBundleWriter(&again, r.Checkpoint())
		for range n {
			one, e := r.Next()
			p, e2 := proof.ParseBundled(one, r.Checkpoint())
			err = errors.Join(err, e, e2, w.Add(p))
		}
		if err = errors.Join(err, w.Close()); err != nil || !bytes.Equal(again.Bytes(), raw) {
			t.Errorf("a file of two forms: %q, %v", raw, err)
		}
	})
}

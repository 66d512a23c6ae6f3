package proof_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit/proof"
)

// specExample is the request of C2SP tlog-witness.
const specExample = `old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
`

func TestTheRequestOfTheSpecification(t *testing.T) {
	t.Parallel()
	a, claim, err := proof.ParseAddition([]byte(specExample))
	if err != nil {
		t.Fatal(err)
	}
	if a.Old != 20852014 || len(a.Hashes) != 4 || a.Hashes[1].String() != "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=" ||
		claim.Origin != "example.com/behind-the-sofa" || claim.Size != 20852163 || claim.Root.String() != "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=" {
		t.Errorf("%+v\n%+v", a, claim)
	}
	if got := string(a.Marshal()); got != specExample {
		t.Errorf("written again:\n%s", got)
	}
}

func TestRequestsThatDoNotRead(t *testing.T) {
	t.Parallel()
	hash := "PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
	_, cp, _ := strings.Cut(specExample, "\n\n")
	for name, c := range map[string]struct{ raw, want string }{
		"nothing":              {"", "the file ends in it"},
		"no old size":          {"\n" + cp, `expected "old" and a value`},
		"a leading zero":       {"old 01\n\n" + cp, "without leading zeros"},
		"a sign":               {"old +1\n\n" + cp, "without leading zeros"},
		"too large":            {"old 9223372036854775808\n\n" + cp, "without leading zeros"},
		"two spaces":           {"old  1\n\n" + cp, "without leading zeros"},
		"a carriage return":    {"old 1\r\n\r\n" + cp, "without leading zeros"},
		"a short hash":         {"old 1\nPlRN\n\n" + cp, "expected 32 bytes in base64"},
		"a hash of two forms":  {"old 1\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkax=\n\n" + cp, "expected 32 bytes in base64"},
		"64 hashes":            {"old 1\n" + strings.Repeat(hash, 64) + "\n" + cp, "the most is 63"},
		"no empty line":        {"old 1\n" + hash, "the file ends in it"},
		"no checkpoint":        {"old 1\n\n", "no signed note"},
		"no signature":         {"old 1\n\nexample.com\n1\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n\n", "no signed note"},
		"no last line end":     {strings.TrimSuffix(specExample, "\n"), "no signed note"},
		"a checkpoint of four": {strings.Replace(specExample, "q2I=\n\n", "q2I=\nmore\n\n", 1), "on three lines"},
		"too long":             {"old 1\n\n" + strings.Repeat("x", proof.MaxAddition), "the most is"},
		"a long checkpoint":    {"old 1\n\n" + strings.Repeat("x", proof.MaxCheckpoint+1), "the most is"},
	} {
		if _, _, err := proof.ParseAddition([]byte(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
	if a, _, err := proof.ParseAddition([]byte("old 1\n" + strings.Repeat(hash, 63) + "\n" + cp)); err != nil || len(a.Hashes) != 63 {
		t.Errorf("63 hashes: %v", err)
	}
}

// TestOwn holds that what strangers sign stays behind, and that the log must have signed.
func TestOwn(t *testing.T) {
	t.Parallel()
	d := leaves(3)
	cp := signed(t, d, seed(1))
	k := newKeys(t, vkey(t, origin, seed(1)), nil, 0)
	more := bytes.Clone(cp)
	for i := range byte(5) {
		line, err := cosigner(t, fmt.Sprintf("w%d", i), 10+i).Sign(textOf(cp), time.Unix(1795000000, 0))
		if err != nil {
			t.Fatal(err)
		}
		more = append(more, line...)
	}
	for name, raw := range map[string][]byte{"as it is": cp, "with five strangers": more} {
		if own, err := k.Own(raw); err != nil || !bytes.Equal(own, cp) {
			t.Errorf("%s: %v\n%s", name, err, own)
		}
	}
	for name, c := range map[string]struct {
		raw  []byte
		want string
	}{
		"by another key": {signed(t, d, seed(2)), "signed by another key"},
		"changed":        {bytes.Replace(cp, []byte("\n3\n"), []byte("\n4\n"), 1), "was changed"},
		"no note":        {[]byte("x"), "no signed note"},
	} {
		if own, err := k.Own(c.raw); err == nil || own != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %q, %v", name, own, err)
		}
	}
	if a := newKeys(t, vkey(t, origin, seed(1)), []string{cosigner(t, "w", 9).VerifierKey()}, 1); !a.Witnessed() || a.Alone().Witnessed() {
		t.Error("a key alone asks for witnesses")
	}
}

// textOf is what is signed of a checkpoint.
func textOf(cp []byte) string {
	text, _, _ := strings.Cut(string(cp), "\n\n")
	return text + "\n"
}

func TestParseSize(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]uint64{"0\n": 0, "20852014\n": 20852014} {
		if n, err := proof.ParseSize([]byte(raw)); err != nil || n != want {
			t.Errorf("%q: %d, %v", raw, n, err)
		}
	}
	for _, raw := range []string{"", "1", "01\n", "-1\n", "1\n\n", "1 \n", "x\n", "9223372036854775808\n", strings.Repeat("1", 40) + "\n"} {
		if n, err := proof.ParseSize([]byte(raw)); err == nil {
			t.Errorf("%q is taken for %d", raw, n)
		}
	}
}

func FuzzAddition(f *testing.F) {
	d := leaves(7)
	k := newKeys(f, vkey(f, origin, seed(1)), nil, 0)
	f.Add([]byte(specExample))
	f.Add(proof.Addition{Old: 3, Hashes: hashes(f, consistency(3, d, true)), Checkpoint: signed(f, d, seed(1))}.Marshal())
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, claim, err := proof.ParseAddition(raw)
		if err != nil {
			return
		}
		if !bytes.Equal(a.Marshal(), raw) {
			t.Errorf("a request of two forms: %q", raw)
		}
		own, err := k.Own(a.Checkpoint)
		if err != nil {
			return
		}
		cp, err := k.Open(own)
		if err != nil || cp.Text != claim.Text || cp.Size != 7 || len(cp.Others) > 0 || !slices.Equal(cp.Root[:], root(d)) {
			t.Errorf("signed by the log: %+v, %v", cp, err)
		}
	})
}

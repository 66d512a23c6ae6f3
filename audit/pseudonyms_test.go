package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func testMAC(msg []byte) []byte {
	h := hmac.New(sha256.New, []byte("the node's key"))
	h.Write(msg)
	return h.Sum(nil)
}

func openNames(t *testing.T, dir string) Pseudonyms {
	t.Helper()
	n, err := OpenPseudonyms(dir, testMAC)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestPseudonymsContract(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func() Pseudonyms{
		"memory": func() Pseudonyms { return MemoryPseudonyms(testMAC) },
		"disk":   func() Pseudonyms { return openNames(t, t.TempDir()) },
	} {
		t.Run(name, func(t *testing.T) {
			n := open()
			contractCalls(t, n)
			contractPeople(t, n)
			if h := n.Health(); h != (PseudonymsHealth{OK: true}) {
				t.Errorf("health %+v", h)
			}
			if err := n.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func contractCalls(t *testing.T, n Pseudonyms) {
	call, refs := n.Call("abc@host", "+49 (30) 901820", "sip:alice@example.com;user=ip", "110")
	if len(refs) != 3 || refs[0].Country != "+49" || refs[1].Country != "" || refs[2].Country != "" {
		t.Fatalf("%q %+v", call, refs)
	}
	again, refs2 := n.Call("abc@host", "+4930901820")
	if call == again || refs[0].Ref == refs2[0].Ref {
		t.Error("two calls share a reference")
	}
	for _, r := range append(refs, PartyRef{Ref: call}) {
		if strings.Contains(r.Ref, "901820") || strings.Contains(r.Ref, "alice") || len(r.Ref) < 32 {
			t.Errorf("reference %q", r.Ref)
		}
	}
	for _, c := range []struct {
		call, ref, clear string
		want             bool
	}{
		{call, refs[0].Ref, "+4930901820", true},
		{call, refs[0].Ref, "tel:+49-30-901820", true},
		{call, refs[0].Ref, "+4930901821", false},
		{again, refs[0].Ref, "+4930901820", false},
		{again, refs2[0].Ref, "+4930901820", true},
		{call, refs[1].Ref, "alice", true},
		{call, refs[1].Ref, "Alice", false},
		{call, call, "abc@host", true},
		{call, "", "abc@host", true},
		{call, call, "abd@host", false},
		{call, refs[0].Ref, "abc@host", false},
		{"20261120-00000000000000000000000000000000", "", "abc@host", false},
		{"nonsense", "", "abc@host", false},
	} {
		if got := n.Match(c.call, c.ref, c.clear); got != c.want {
			t.Errorf("match(%q, %q, %q) = %v", c.call, c.ref, c.clear, got)
		}
	}
	if word, ok := n.Known(call); !ok || word != call {
		t.Errorf("known: %q, %v", word, ok)
	}
	if err := n.Destroy(call); err != nil {
		t.Fatal(err)
	}
	if _, ok := n.Known(call); ok {
		t.Error("a destroyed salt is known")
	}
	if n.Match(call, refs[0].Ref, "+4930901820") || n.Match(call, "", "abc@host") {
		t.Error("a destroyed salt still matches")
	}
	if !n.Match(again, "", "abc@host") {
		t.Error("the salt of another call went too")
	}
	for ref, want := range map[string]error{call: ErrForgotten, "20200101-00112233445566778899aabbccddeeff": ErrForgotten, "nonsense": nil} {
		if err := n.Destroy(ref); err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("destroy %q: %v", ref, err)
		}
	}
}

func contractPeople(t *testing.T, n Pseudonyms) {
	a, b := n.Person("alice@bank.example"), n.Person("bob@bank.example")
	if a == b || strings.Contains(a, "alice") || !strings.HasPrefix(a, "p-") || n.Person("alice@bank.example") != a {
		t.Errorf("%q, %q", a, b)
	}
	for person, want := range map[string]string{"alice@bank.example": a, a: a, b: b, "p-ALICE": "", "alicf@bank.example": "", "": ""} {
		if word, ok := n.Known(person); ok != (want != "") || word != want {
			t.Errorf("known %q: %q, %v", person, word, ok)
		}
	}
	if err := n.Erase("alice@bank.example"); err != nil {
		t.Fatal(err)
	}
	if err := n.Erase(b); err != nil { // by pseudonym
		t.Fatal(err)
	}
	if err := n.Erase("alice@bank.example"); !errors.Is(err, ErrForgotten) {
		t.Errorf("erase twice: %v", err)
	}
	if n.Person("alice@bank.example") == a || n.Person("bob@bank.example") == b {
		t.Error("an erased person got the old pseudonym")
	}
}

// TestPseudonymsKept holds that salts and people outlive the run, and that what was destroyed is gone from the disk.
func TestPseudonymsKept(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNames(t, dir)
	call, refs := n.Call("abc@host", "+4930901820")
	gone, goneRefs := n.Call("def@host", "+4930901820")
	alice, bob := n.Person("alice@bank.example"), n.Person("bob@bank.example")
	k, err := parseSaltKey(gone)
	if err != nil {
		t.Fatal(err)
	}
	s, ok := n.(*names).salts.get(k)
	if !ok {
		t.Fatal("no salt")
	}
	if err := errors.Join(n.Destroy(gone), n.Erase("bob@bank.example"), n.Close()); err != nil {
		t.Fatal(err)
	}
	n = openNames(t, dir)
	if !n.Match(call, refs[0].Ref, "+4930901820") || n.Match(gone, goneRefs[0].Ref, "+4930901820") {
		t.Error("after a restart other calls match")
	}
	if n.Person("alice@bank.example") != alice || n.Person("bob@bank.example") == bob {
		t.Error("after a restart people have other names")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	found := 0
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		raw, err := os.ReadFile(path)
		if bytes.Contains(raw, s[:]) || bytes.Contains(raw, k.hash[:]) || bytes.Contains(raw, []byte(bob)) {
			t.Errorf("%s still holds what was destroyed", path)
		}
		if st, err := d.Info(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", path, st.Mode(), err)
		}
		found++
		return err
	})
	if err != nil || found != 4 { // a day of salts, alice, bob anew, and the lock
		t.Errorf("%d files, %v", found, err)
	}
}

// TestSaltsTorn holds that a record cut off by a crash costs only itself.
func TestSaltsTorn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNames(t, dir)
	call, _ := n.Call("abc@host")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	day, _, _ := strings.Cut(call, "-")
	path := filepath.Join(dir, "salts", day+".salts")
	edit(t, path, func(raw []byte) []byte { return append(raw, "half a record"...) })
	n = openNames(t, dir)
	next, _ := n.Call("def@host")
	if !n.Match(call, "", "abc@host") || !n.Match(next, "", "def@host") {
		t.Error("a torn record took others along")
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	edit(t, path, flip(3))
	n = openNames(t, dir)
	lost, _ := n.Call("ghi@host") // made all the same
	if len(lost) != 41 || n.Match(lost, "", "ghi@host") || n.Destroy(call) == nil {
		t.Error("a file that is none was used")
	}
	if err := n.Close(); err == nil {
		t.Error("nobody is told of the salt that was lost")
	}
}

// TestSaltsGroups holds that salts wait for others no longer than saltsEvery before they are in the file, that all of them are found meanwhile, and
// that one which is destroyed while it waits never stands there.
func TestSaltsGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		n := openNames(t, dir)
		begin := time.Now()
		first, _ := n.Call("0@host")
		path := filepath.Join(dir, "salts", first[:8]+".salts")
		refs := []string{first}
		for i := 1; i < 10; i++ {
			ref, _ := n.Call(fmt.Sprint(i, "@host"))
			refs = append(refs, ref)
		}
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the first one was written by itself: %v", err)
		}
		time.Sleep(saltsEvery)
		synctest.Wait()
		if got, want := len(contents(t, path)), 11*saltRecord; got != want {
			t.Errorf("after %v the file has %d bytes, want %d", time.Since(begin), got, want)
		}
		for i, ref := range refs {
			if !n.Match(ref, "", fmt.Sprint(i, "@host")) {
				t.Errorf("call %d is lost", i)
			}
		}
		gone, _ := n.Call("gone@host")
		if err := n.Destroy(gone); err != nil || n.Match(gone, "", "gone@host") {
			t.Errorf("one that waited was not destroyed: %v", err)
		}
		for i := range saltsMost/saltRecord + 5 { // no time passes: the file takes what is too much to wait
			n.Call(fmt.Sprint("burst ", i))
		}
		synctest.Wait()
		if got, want := len(contents(t, path)), 12*saltRecord+saltsMost; got < want {
			t.Errorf("after a burst the file has %d bytes, want %d", got, want)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if got, want := len(contents(t, path)), 17*saltRecord+saltsMost; got != want {
			t.Errorf("after Close the file has %d bytes, want %d", got, want)
		}
	})
}

// TestSaltsDays holds that midnight begins a new file.
func TestSaltsDays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := openNames(t, t.TempDir())
		first, _ := n.Call("abc@host")
		time.Sleep(24 * time.Hour)
		second, _ := n.Call("abc@host")
		if first[:8] == second[:8] || !n.Match(first, "", "abc@host") || !n.Match(second, "", "abc@host") {
			t.Errorf("%q, %q", first, second)
		}
		if err := errors.Join(n.Destroy(first), n.Close()); err != nil {
			t.Error(err)
		}
	})
}

func TestPseudonymsParallel(t *testing.T) {
	t.Parallel()
	n := openNames(t, t.TempDir())
	var wg sync.WaitGroup
	var people [16]string
	for c := range people {
		wg.Go(func() {
			for i := range 50 {
				id := fmt.Sprint(c, i)
				ref, _ := n.Call(id)
				if !n.Match(ref, "", id) {
					t.Errorf("%s does not match", id)
				}
			}
			people[c] = n.Person("one person")
		})
	}
	wg.Wait()
	for _, p := range people {
		if p != people[0] {
			t.Errorf("one person is %q and %q", people[0], p)
		}
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}

func TestPeopleDamaged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	n := openNames(t, dir)
	ps := n.Person("alice@bank.example")
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "people", "."+ps+".json-123")
	if err := os.WriteFile(half, []byte(`{"id":"alice@bank.example"`), 0o600); err != nil {
		t.Fatal(err)
	}
	n = openNames(t, dir)
	if _, err := os.Stat(half); !errors.Is(err, fs.ErrNotExist) || n.Person("alice@bank.example") != ps {
		t.Errorf("a file that was half written still names somebody: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, filepath.Join(dir, "people", ps+".json"), func([]byte) []byte { return []byte(`{"id":"x","pseudonym":"p-other"}`) })
	if _, err := OpenPseudonyms(dir, testMAC); err == nil {
		t.Error("a person under another's name was taken")
	}
	if _, err := OpenPseudonyms(filepath.Join(dir, "people", ps+".json"), testMAC); err == nil {
		t.Error("a file was taken for a folder")
	}
}

// TestForgetOffline forgets on the folder of a node that does not run, and not on that of one that does.
func TestForgetOffline(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "pseudonyms")
	if _, err := OpenPseudonyms(dir, nil); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Error("a folder was made to forget in")
	}
	n := openNames(t, dir)
	gone, goneRefs := n.Call("abc@host", "+4930901820")
	kept, keptRefs := n.Call("def@host", "+4930901820")
	alice, bob, carol := n.Person("alice@bank.example"), n.Person("bob@bank.example"), n.Person("carol@bank.example")
	if _, err := OpenPseudonyms(dir, nil); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("forget beside a running node: %v", err)
	}
	if !n.Match(gone, goneRefs[0].Ref, "+4930901820") {
		t.Error("the node lost a salt to one who was turned away")
	}
	if err := errors.Join(n.Close(), n.Close()); err != nil {
		t.Fatal(err)
	}
	f, err := OpenPseudonyms(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPseudonyms(dir, testMAC); !errors.Is(err, ErrInUse) {
		t.Errorf("a node starts while somebody forgets: %v", err)
	}
	if err := errors.Join(f.Destroy(gone), f.Erase("alice@bank.example"), f.Erase(bob)); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(f.Destroy(gone), ErrForgotten) || !errors.Is(f.Erase(alice), ErrForgotten) {
		t.Error("forgotten twice")
	}
	if f.Match(kept, keptRefs[0].Ref, "+4930901820") {
		t.Error("a match without the node's key")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if f.Destroy(kept) == nil || f.Erase(carol) == nil {
		t.Error("forgotten after Close, when the folder may be somebody else's")
	}
	n = openNames(t, dir)
	if n.Match(gone, goneRefs[0].Ref, "+4930901820") || !n.Match(kept, keptRefs[0].Ref, "+4930901820") {
		t.Error("not the call that was named is forgotten")
	}
	if n.Person("alice@bank.example") == alice || n.Person("bob@bank.example") == bob || n.Person("carol@bank.example") != carol {
		t.Error("not the people who were named are forgotten")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if ref, _ := n.Call("late@host"); n.Match(ref, "", "late@host") || n.Health().OK {
		t.Error("a salt was kept after Close")
	}
}

func TestCountryCode(t *testing.T) {
	for number, want := range map[string]string{
		"+493012345": "+49", "+12125550100": "+1", "+79161234567": "+7", "+77010000000": "+7", "+390612345": "+39", "+3906698": "+39",
		"+420224": "+420", "+42322": "+423", "+35312345678": "+353", "+298123456": "+298", "+38349123": "+383", "+85212345678": "+852",
		"+881612345678": "+881", "+8831234": "+883", "+97211234": "+972", "+998901234567": "+998", "+447700900123": "+44",
		"+2101234567": "", "+9991234567": "", "+4212": "+421", "+38412345": "", "+04912345": "",
		"+49": "", "+4": "", "+": "", "": "", "493012345": "", "0049301234": "", "110": "", "alice": "", "+49x012345": "",
		"+1234567890123456": "", "+123456789012345": "+1",
	} {
		if got := CountryCode(number); got != want {
			t.Errorf("%q: %q, want %q", number, got, want)
		}
	}
}

// TestCountryCodes holds that no code is the beginning of another, which longest prefix and first match make one.
func TestCountryCodes(t *testing.T) {
	codes := append(strings.Fields(e164Two), append(strings.Fields(e164Three), "1", "7")...)
	for _, a := range codes {
		for _, b := range codes {
			if a != b && strings.HasPrefix(b, a) {
				t.Errorf("%s begins %s", a, b)
			}
		}
		if got := CountryCode("+" + a + "123456"); got != "+"+a {
			t.Errorf("+%s: %q", a, got)
		}
	}
}

func TestNormalise(t *testing.T) {
	for in, want := range map[string]string{
		"+49 (30) 90-18.20": "+4930901820", "tel:+49-30-1;ext=2": "+49301", "sips:+49301@h": "+49301", " SIP:bob@h ": "bob",
		"a-b.c": "a-b.c", "110": "110", "": "", "+": "+", "sip:": "sip:",
	} {
		if got := normalise(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// TestSaltsHung holds that a disk that hangs holds no call up, that what waits for it is bounded and counted beyond, and that it is written when the
// disk answers.
func TestSaltsHung(t *testing.T) {
	t.Parallel()
	n := openNames(t, t.TempDir())
	s := n.(*names).salts.(*fileSalts)
	s.disk.Lock() // as a write that hangs does
	refs := make([]string, saltsHeld/saltRecord+3)
	called := make(chan struct{})
	go func() {
		defer close(called)
		for i := range refs {
			refs[i], _ = n.Call(fmt.Sprint(i, "@host"))
		}
	}()
	select {
	case <-called:
	case <-time.After(10 * time.Second):
		t.Fatal("calls wait for the disk")
	}
	if h := n.Health(); h.OK || h.Lost != 3 {
		t.Errorf("health %+v", h)
	}
	s.disk.Unlock()
	for _, i := range []int{0, saltsHeld/saltRecord - 1} {
		if !n.Match(refs[i], "", fmt.Sprint(i, "@host")) {
			t.Errorf("call %d is lost", i)
		}
	}
	if n.Match(refs[len(refs)-1], "", fmt.Sprint(len(refs)-1, "@host")) {
		t.Error("one that was counted as lost is there")
	}
	n.Call("later@host")
	n.(*names).salts.(*fileSalts).flush()
	if h := n.Health(); !h.OK {
		t.Errorf("health %+v", h)
	}
}

// TestNamesDay holds that references bear the day in UTC on which a call begins, on both sides of midnight and when the clock steps back.
func TestNamesDay(t *testing.T) {
	t.Parallel()
	var n names
	midnight := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{midnight.Add(-1), midnight, midnight.Add(time.Hour).In(time.FixedZone("", -7200)), midnight.Add(24*time.Hour - 1), midnight.Add(-time.Hour)} {
		for range 2 {
			if got, want := n.day(at), at.UTC().Format("20060102"); got != want {
				t.Errorf("%s: %s, want %s", at, got, want)
			}
		}
	}
}

package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/transparency-dev/tessera/api/layout"
)

// writeLog makes a log of n entries in dir, in few batches, and closes it.
func writeLog(t *testing.T, dir string, n int) string {
	t.Helper()
	c := testConfig()
	c.Dir = dir
	l, _, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { mustAppend(t, l, CallEnded{CallRef: fmt.Sprint(i), Attempts: i}) })
	}
	wg.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return l.VerifierKey()
}

func verify(t *testing.T, dir, key string) Verification {
	t.Helper()
	v, err := Verify(t.Context(), dir, key)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifySound(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 255, 256, 257, 700} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			t.Parallel()
			dir := logDir(t)
			key := writeLog(t, dir, n)
			v := verify(t, dir, key)
			if v.Bad != nil || v.Size != uint64(n) || v.Entries != uint64(n) || v.Kinds[KindCallEnded] != uint64(n) || v.Unsigned != 0 || v.Unknown != 0 {
				t.Errorf("%d entries: %+v, %+v", n, v, v.Bad)
			}
			if n > 0 && (v.From.IsZero() || v.To.Before(v.From) || v.Origin != "cordon/bank-1/edge-1" || !strings.Contains(v.Checkpoint, v.Root)) {
				t.Errorf("%d entries: %+v", n, v)
			}
		})
	}
}

func TestVerifyCounts(t *testing.T) {
	t.Parallel()
	dir := logDir(t)
	c := testConfig()
	c.Dir = dir
	l := openTest(t, "disk", c)
	for _, e := range []Event{
		NodeStarted{},
		Receipt{CallRef: "a"},
		Gap{Cause: CauseCrash},
		Raw{"from.tomorrow", []byte(`{"a":1}`)},
		Raw{KindGateChanged, []byte(`{"ticket":"t1"}`)},
	} {
		mustAppend(t, l, e)
	}
	if _, err := l.Commit(t.Context(), NodeStopped{}); err != nil {
		t.Fatal(err)
	}
	v := verify(t, dir, l.VerifierKey()) // of a log in use
	if v.Bad != nil || v.Entries != 6 || v.Receipts != 1 || v.Gaps != 1 || v.Unknown != 1 || v.Kinds["from.tomorrow"] != 1 {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
}

// edit changes one file of a log.
func edit(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, f(raw), 0o600); err != nil {
		t.Fatal(err)
	}
}

func replace(from, to string) func([]byte) []byte {
	return func(raw []byte) []byte {
		if !bytes.Contains(raw, []byte(from)) {
			panic("nothing to replace")
		}
		return bytes.Replace(raw, []byte(from), []byte(to), 1)
	}
}

func flip(at int) func([]byte) []byte {
	return func(raw []byte) []byte {
		raw[(at+len(raw))%len(raw)] ^= 0x10
		return raw
	}
}

// seqOf is where the call of that number landed.
func seqOf(t *testing.T, dir, call string) uint64 {
	t.Helper()
	seq := uint64(0)
	for _, f := range []string{"tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"} {
		raw, err := os.ReadFile(filepath.Join(dir, f))
		if err != nil {
			t.Fatal(err)
		}
		entries, err := parseBundle(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if bytes.Contains(e, []byte(`"call_ref":"`+call+`"`)) {
				return seq
			}
			seq++
		}
	}
	t.Fatalf("call %s is nowhere", call)
	return 0
}

// tampering is something that is done to a log, and what Verify says of it.
type tampering struct {
	name string
	do   func(t *testing.T, dir string)
	seq  uint64
	what string
}

func bundleOf(seq uint64) string {
	return []string{"tile/entries/000", "tile/entries/001", "tile/entries/002.p/88"}[seq/256]
}

// tamperings are for a log of 600 entries with call 41 at index at.
func tamperings(at uint64) []tampering {
	return []tampering{
		{"byte of an entry", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, bundleOf(at)), replace(`"call_ref":"41"`, `"call_ref":"14"`))
		}, at, bundleOf(at) + ": expected an entry with the hash"},
		{"length of an entry", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tile/entries/001"), flip(1))
		}, 256, "tile/entries/001: expected 256 entries, found"},
		{"byte of a tile", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tile/0/001"), flip(7*32+3))
		}, 256 + 7, "tile/0/001: hash 7: expected"},
		{"byte of the newest tile", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tile/0/002.p/88"), flip(-1))
		}, 599, "tile/0/002.p/88: hash 87: expected"},
		{"byte of a tile of level 1", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tile/1/000.p/2"), flip(40))
		}, 256, "tile/1/000.p/2: hash 1: expected"},
		{"tile cut short", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tile/0/001"), func(raw []byte) []byte { return raw[:len(raw)-32] })
		}, 256, "tile/0/001: expected 256 hashes in 8192 bytes, found 8160 bytes"},
		{"tile gone", func(t *testing.T, dir string) { remove(t, dir, "tile/0/000") }, 0, "tile/0/000: expected a tile of 256 hashes, found no file"},
		{"root in the checkpoint", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "checkpoint"), flip(30))
		}, 0, "does not fit: the text or the signature was changed"},
		{"signature of the checkpoint", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "checkpoint"), flip(-20))
		}, 0, "checkpoint: expected one of origin"},
		{"size in the checkpoint", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "checkpoint"), replace("\n600\n", "\n599\n"))
		}, 0, "checkpoint: expected one of origin"},
		{"checkpoint signed with a foreign key", func(t *testing.T, dir string) {
			other, c := logDir(t), testConfig()
			c.Signer = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
			writeTiles(t, other, openTest(t, "memory", c).(*spine).drv.(*memory))
			remove(t, dir, "checkpoint")
			if err := os.Rename(filepath.Join(other, "checkpoint"), filepath.Join(dir, "checkpoint")); err != nil {
				t.Error(err)
			}
		}, 0, "signed by another key: expected cordon/bank-1/edge-1+"},
		{"checkpoint cut short", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "checkpoint"), func(raw []byte) []byte { return raw[:len(raw)-30] })
		}, 0, "no signed note: lines were cut, changed or added"},
		{"checkpoint gone", func(t *testing.T, dir string) { remove(t, dir, "checkpoint") }, 0, "checkpoint: expected a signed checkpoint, found no file"},
		{"last bundle dropped", func(t *testing.T, dir string) { remove(t, dir, "tile/entries/002.p") }, 512, "expected a bundle of 88 entries, found no file"},
		{"middle bundle dropped", func(t *testing.T, dir string) { remove(t, dir, "tile/entries/001") }, 256, "tile/entries/001: expected a bundle of 256 entries, found no file"},
		{"two entries swapped", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tile/entries/001"), swap(3, 9))
		}, 256 + 3, "tile/entries/001: expected an entry with the hash"},
		{"last bundle cut by one entry", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tile/entries/002.p/88"), func(raw []byte) []byte {
				e, _ := parseBundle(raw)
				return raw[:len(raw)-2-len(e[87])]
			})
		}, 599, "tile/entries/002.p/88: expected 88 entries, found 87"},
		{"last bundle cut inside an entry", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, "tile/entries/002.p/88"), func(raw []byte) []byte { return raw[:len(raw)-5] })
		}, 599, "found 87 and then bytes that are none"},
		{"entry and tile rewritten", rewrite(at), 0, "found entries and tiles that yield"},
		{"tree state put back", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, ".state/treeState"), replace(`"size":600`, `"size":599`))
		}, 599, ".state/treeState: expected at least the 600 entries"},
	}
}

// rewrite changes call 41 and the tile over it, as someone would who has everything but the key.
func rewrite(at uint64) func(t *testing.T, dir string) {
	return func(t *testing.T, dir string) {
		edit(t, filepath.Join(dir, bundleOf(at)), replace(`"call_ref":"41"`, `"call_ref":"14"`))
		raw, _ := os.ReadFile(filepath.Join(dir, bundleOf(at)))
		entries, _ := parseBundle(raw)
		tile := strings.Replace(bundleOf(at), "entries", "0", 1)
		edit(t, filepath.Join(dir, tile), func([]byte) (out []byte) {
			for _, e := range entries {
				out = append(out, hasher.HashLeaf(e)...)
			}
			return out
		})
	}
}

// TestVerifyTamper names what was done to a log.
func TestVerifyTamper(t *testing.T) {
	t.Parallel()
	sound := logDir(t)
	key := writeLog(t, sound, 600)
	remove(t, sound, "reserve") // no copy needs it
	var rows [][2]string
	for _, c := range tamperings(seqOf(t, sound, "41")) {
		rows = append(rows, [2]string{c.name, c.what})
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := logDir(t)
			if err := os.CopyFS(dir, os.DirFS(sound)); err != nil {
				t.Fatal(err)
			}
			c.do(t, dir)
			v := verify(t, dir, key)
			if v.Bad == nil || v.Bad.Seq != c.seq || !strings.Contains(v.Bad.What, c.what) {
				t.Errorf("found %v\nwant entry %d: %s", v.Bad, c.seq, c.what)
			}
		})
	}
	onThePage(t, "a folder", rows)
}

// onThePage holds a table of the page of proofs against the test that its rows come from. Which file a random place is in is no matter of the page.
func onThePage(t *testing.T, name string, rows [][2]string) {
	t.Helper()
	raw, err := os.ReadFile("../docs/reference/tampering.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "<!-- "+name+" -->\n")
	got, _, ok := strings.Cut(rest, "<!-- end -->")
	file := regexp.MustCompile(`tile/(entries|[0-9])/[0-9.p/]*[0-9]`)
	var want strings.Builder
	want.WriteString("| what was done | what is said |\n|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&want, "| %s | `%s` |\n", r[0], file.ReplaceAllString(r[1], "tile/$1/..."))
	}
	if !ok || got != want.String() {
		t.Errorf("docs/reference/tampering.md: the table %q is old; it is:\n%s", name, want.String())
	}
}

// TestVerifyEveryByte changes every byte of the published files of a small log, drops bytes and cuts the files: each time the file is named.
func TestVerifyEveryByte(t *testing.T) {
	t.Parallel()
	dir := logDir(t)
	l := openTest(t, "memory", testConfig())
	for i := range 2 {
		mustAppend(t, l, CallEnded{CallRef: fmt.Sprint(i)})
	}
	writeTiles(t, dir, l.(*spine).drv.(*memory))
	for _, name := range []string{"checkpoint", "tile/entries/000.p/2", "tile/0/000.p/2"} {
		path := filepath.Join(dir, name)
		sound, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for at := range sound {
			flipped := bytes.Clone(sound)
			flipped[at] ^= 0x01
			changes := map[string][]byte{"changed": flipped}
			if at%11 == 0 { // the lengths of files are checked as a whole
				changes["dropped"], changes["cut off"] = slices.Delete(bytes.Clone(sound), at, at+1), sound[:at]
			}
			for how, raw := range changes {
				edit(t, path, func([]byte) []byte { return raw })
				if v := verify(t, dir, l.VerifierKey()); v.Bad == nil || !strings.HasPrefix(v.Bad.What, name+": ") {
					t.Errorf("%s: byte %d %s: found %v", name, at, how, v.Bad)
				}
			}
		}
		edit(t, path, func([]byte) []byte { return sound })
	}
	if v := verify(t, dir, l.VerifierKey()); v.Bad != nil {
		t.Errorf("put back as it was: %v", v.Bad)
	}
}

func remove(t *testing.T, dir, name string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
		t.Fatal(err)
	}
}

func swap(a, b int) func([]byte) []byte {
	return func(raw []byte) (out []byte) {
		e, err := parseBundle(raw)
		if err != nil {
			panic(err)
		}
		e[a], e[b] = e[b], e[a]
		return joinBundle(e)
	}
}

func joinBundle(entries [][]byte) (out []byte) {
	for _, e := range entries {
		out = append(append(out, byte(len(e)>>8), byte(len(e))), e...)
	}
	return out
}

// TestVerifyCannot tells what could not be checked from what failed.
func TestVerifyCannot(t *testing.T) {
	t.Parallel()
	dir := logDir(t)
	key := writeLog(t, dir, 3)
	if _, err := Verify(t.Context(), filepath.Join(dir, "nowhere"), key); err == nil {
		t.Error("a folder that is not there")
	}
	if _, err := Verify(t.Context(), filepath.Join(dir, "checkpoint"), key); err == nil {
		t.Error("a file for a folder")
	}
	if _, err := Verify(t.Context(), dir, "no key"); err == nil {
		t.Error("no key")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Verify(ctx, dir, key); err == nil {
		t.Error("an ended context")
	}
	other, err := newSigner("cordon/bank-1/edge-1", ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	if v := verify(t, dir, other.vkey); v.Bad == nil {
		t.Error("another key holds")
	}
}

// TestVerifyOlderCheckpoint holds that an older checkpoint of the same log holds and one of another history does not.
func TestVerifyOlderCheckpoint(t *testing.T) {
	t.Parallel()
	dir := logDir(t)
	writeLog(t, dir, 40)
	old, err := os.ReadFile(filepath.Join(dir, "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	key := writeLog(t, dir, 300)
	edit(t, filepath.Join(dir, "checkpoint"), func([]byte) []byte { return old })
	v := verify(t, dir, key)
	if v.Bad != nil || v.Size != 40 || v.Unsigned != 300 || v.Entries != 340 {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
	elsewhere := logDir(t)
	writeLog(t, elsewhere, 40)
	edit(t, filepath.Join(dir, "checkpoint"), func([]byte) []byte {
		raw, err := os.ReadFile(filepath.Join(elsewhere, "checkpoint"))
		if err != nil {
			t.Fatal(err)
		}
		return raw
	})
	if v := verify(t, dir, key); v.Bad == nil || !strings.Contains(v.Bad.What, "found entries and tiles that yield") {
		t.Errorf("checkpoint of another history: %+v", v.Bad)
	}
	edit(t, filepath.Join(dir, "checkpoint"), func([]byte) []byte { return old })
	edit(t, filepath.Join(dir, "tile/entries/001.p/84"), flip(-4))
	if v := verify(t, dir, key); v.Bad == nil || !strings.Contains(v.Bad.What, ".state/treeState: expected root") {
		t.Errorf("entry beyond the checkpoint changed: %+v", v.Bad)
	}
}

// TestVerifyPublished holds that a copy of the published files alone can be checked: the driver's private state stays at home.
func TestVerifyPublished(t *testing.T) {
	t.Parallel()
	dir := logDir(t)
	key := writeLog(t, dir, 300)
	remove(t, dir, ".state")
	remove(t, dir, "reserve")
	remove(t, dir, "lock")
	if v := verify(t, dir, key); v.Bad != nil || v.Entries != 300 {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
}

// TestVerifyMalformed holds that an entry which is in the tree, and is none, is named.
func TestVerifyMalformed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ leaf, what string }{
		"not JSON":     {"hello", "expected a JSON entry"},
		"no kind":      {`{"record_id":"x","time_utc":"2026-11-20T08:00:00Z","body":{}}`, "expected a record_type"},
		"no time":      {`{"record_id":"x","record_type":"call.ended","body":{}}`, "expected a time_utc"},
		"no body":      {`{"record_id":"x","record_type":"call.ended","time_utc":"2026-11-20T08:00:00Z"}`, "expected an object as body"},
		"bad id":       {`{"record_id":"x","record_type":"call.ended","time_utc":"2026-11-20T08:00:00Z","body":{}}`, "expected a ULID"},
		"other time":   {`{"record_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","record_type":"call.ended","time_utc":"2026-11-20T08:00:00Z","body":{}}`, "record_id says 2016-07-30T23:54:10.259Z"},
		"body no call": {`{"record_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV","record_type":"call.ended","time_utc":"2016-07-30T23:54:10.259Z","body":{"attempts":"x"}}`, "body of call.ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := logDir(t)
			l := openTest(t, "memory", testConfig())
			mustAppend(t, l, NodeStarted{})
			m := l.(*spine).drv.(*memory)
			if _, err := m.append([]byte(c.leaf)); err != nil {
				t.Fatal(err)
			}
			if _, err := m.append([]byte(`{}`)); err != nil { // not the first that is none
				t.Fatal(err)
			}
			writeTiles(t, dir, m)
			v := verify(t, dir, l.VerifierKey())
			if v.Bad == nil || v.Bad.Seq != 1 || !strings.Contains(v.Bad.What, c.what) {
				t.Errorf("found %v, want %s", v.Bad, c.what)
			}
		})
	}
}

// TestVerifyLeftovers holds that a partial file of a batch that never ended is counted and no more.
func TestVerifyLeftovers(t *testing.T) {
	t.Parallel()
	dir := logDir(t)
	key := writeLog(t, dir, 88)
	for _, f := range []string{"tile/entries/000.p/99", "tile/0/000.p/17"} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("half a batch"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if v := verify(t, dir, key); v.Bad != nil || v.Leftovers != 2 {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
}

// TestVerifyClockSteps holds that a clock which went back is counted: clocks do, and nobody tampered.
func TestVerifyClockSteps(t *testing.T) {
	t.Parallel()
	dir := logDir(t)
	c := testConfig()
	at := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	c.Now = func() time.Time { return at }
	l := openTest(t, "memory", c)
	mustAppend(t, l, NodeStarted{})
	at = at.Add(-time.Minute)
	mustAppend(t, l, NodeStopped{})
	writeTiles(t, dir, l.(*spine).drv.(*memory))
	if v := verify(t, dir, l.VerifierKey()); v.Bad != nil || v.ClockSteps != 1 {
		t.Errorf("%+v, %+v", v, v.Bad)
	}
}

// TestModes holds that nobody but the owner gets into the folder.
func TestModes(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(logDir(t), "log")
	writeLog(t, dir, 1)
	st, err := os.Stat(dir)
	if err != nil || st.Mode().Perm() != fs.FileMode(0o700) {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

// writeTiles publishes what is in memory as tlog-tiles, without the driver and its fsyncs.
func writeTiles(t *testing.T, dir string, m *memory) {
	t.Helper()
	put := func(name string, raw []byte) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for at := 0; at < len(m.data); at += 256 {
		n := min(256, len(m.data)-at)
		put(layout.EntriesPath(uint64(at/256), uint8(n)), joinBundle(m.data[at:at+n]))
	}
	for level := 0; 8*level < len(m.levels); level++ {
		hashes := m.levels[8*level]
		for at := 0; at < len(hashes); at += 256 {
			n := min(256, len(hashes)-at)
			put(layout.TilePath(uint64(level), uint64(at/256), uint8(n)), bytes.Join(hashes[at:at+n], nil))
		}
	}
	cp, err := m.checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put("checkpoint", cp)
}

// TestVerifyHigh is a log with a full tile of level 1 and a tile of level 2, written from the tree in memory.
func TestVerifyHigh(t *testing.T) {
	t.Parallel()
	c := testConfig()
	l := openTest(t, "memory", c)
	m := l.(*spine).drv.(*memory)
	p, err := l.(*spine).wrap(NodeStarted{})
	if err != nil {
		t.Fatal(err)
	}
	const size = 65536 + 300
	for range size {
		if _, err := m.append(p.leaf); err != nil {
			t.Fatal(err)
		}
	}
	dir := logDir(t)
	writeTiles(t, dir, m)
	const top = "tile/2/000.p/1"
	edit(t, filepath.Join(dir, top), flip(9)) // the last thing that is looked at: everything under it must hold
	v := verify(t, dir, l.VerifierKey())
	if v.Bad == nil || v.Bad.Seq != 0 || !strings.Contains(v.Bad.What, top+": hash 0: expected") || v.Entries != size {
		t.Errorf("%+v, %v", v, v.Bad)
	}
}

// TestVerifyLive holds that verify finds nothing wrong in the folder of a node that runs, whose tree and journal change under its eyes.
func TestVerifyLive(t *testing.T) {
	t.Parallel()
	l, d := onDisk(t)
	mustAppend(t, l, NodeStarted{})
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for i := range 2 {
		writers.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				leaf := leafOf(t, l, CallEnded{CallRef: fmt.Sprint(i, n)})
				if n%5 == 0 {
					_, _ = d.append(leaf)
				} else {
					d.appendAll([][]byte{leaf, leaf})
				}
			}
		})
	}
	last := uint64(0)
	for range 15 {
		v := verify(t, d.dir, l.VerifierKey())
		if v.Bad != nil || v.Size+v.Unsigned < last {
			t.Errorf("%+v, %+v", v, v.Bad)
		}
		last = v.Size
	}
	close(stop)
	writers.Wait()
}

package cordon_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
)

// lostNode is a node that ran with a copy, and what was kept of it elsewhere.
type lostNode struct {
	t     *testing.T
	s     *store
	file  string // configuration
	dir   string
	key   string
	node  *cordon.Node
	watch *watcher
}

// newLostNode boots a node whose log is copied, and watched if w says so.
func newLostNode(t *testing.T, addr string, w bool) *lostNode {
	t.Helper()
	l := &lostNode{t: t, s: newStore(t, addr), dir: t.TempDir()}
	more := ""
	if w {
		l.watch = newWatcher(t, strings.Replace(addr, "127.1.0.8", "127.1.0.9", 1), 41)
		more = fmt.Sprintf("witnesses: [{key: %q, url: %q}], witness_every: 10s, ", l.watch.by.VerifierKey(), l.watch.url)
	}
	l.file = writeConfig(t, l.dir, l.s.copied(more))
	l.node = boot(t, l.file)
	if l.key = l.node.Log().VerifierKey(); w {
		l.watch.watch(t, l.key)
	}
	return l
}

// lose has something copied, and what comes behind it is seen by nobody.
func (l *lostNode) lose() {
	l.t.Helper()
	within(l.t, "a copy", func() bool { return len(l.s.Keys("cordon/bank-1/edge-1/sealed/")) > 0 })
	l.s.Break(true)
	if l.watch != nil {
		l.watch.door.Store(nil)
	}
	if err := l.node.Stop(l.t.Context(), 0); err != nil {
		l.t.Fatal(err)
	}
	if l.watch != nil {
		l.watch.watch(l.t, l.key)
	}
}

// options of a restore into a new folder.
func (l *lostNode) options() cordon.RestoreOptions {
	l.t.Helper()
	l.s.Break(false)
	cfg, err := configs.Load(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	return cordon.RestoreOptions{Config: cfg, Net: osnet.Net{}, Key: l.key + "\n", Recovery: l.s.key, Software: "test", Ended: true, Dir: filepath.Join(l.t.TempDir(), "state")}
}

// bootOn boots the node on a restored folder.
func (l *lostNode) bootOn(dir string) *cordon.Node {
	l.t.Helper()
	raw, err := os.ReadFile(l.file)
	if err != nil {
		l.t.Fatal(err)
	}
	return boot(l.t, writeConfig(l.t, l.t.TempDir(), strings.Replace(string(raw), "state_dir: state", "state_dir: "+dir, 1)))
}

func entriesOf(t *testing.T, n *cordon.Node) []audit.Entry {
	t.Helper()
	list, err := n.Log().Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func kindsFrom(list []audit.Entry, from uint64) (out []audit.Kind) {
	for _, e := range list[from:] {
		out = append(out, e.Kind)
	}
	return out
}

// After an orderly end the log goes on under its name: the same entries, byte by byte, log.restored behind them, and a proof from the old checkpoint to the new.
func TestRestoreAfterAnOrderlyEnd(t *testing.T) {
	l := newLostNode(t, "127.1.0.83", false)
	person := l.node.Names().Person("clara")
	call, refs := l.node.Names().Call("a-call@bank.example", "+4969123456")
	gone := l.node.Names().Person("david")
	if err := l.node.Names().Erase(gone); err != nil {
		t.Fatal(err)
	}
	time.Sleep(300 * time.Millisecond) // salts gather for 200 ms
	if err := l.node.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(l.dir, "state", "log", "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	o := l.options()
	o.Check = true
	if r, err := cordon.Restore(t.Context(), o); err != nil || r.Entries == 0 || r.People < 1 {
		t.Errorf("a check: %v %+v", err, r)
	}
	if files, err := os.ReadDir(filepath.Dir(o.Dir)); err != nil || len(files) != 0 {
		t.Errorf("a check left something: %v %v", err, files)
	}
	o.Check = false
	r, err := cordon.Restore(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Mode != "same_log" || !r.Orderly || len(r.Seen) != 1 || !r.Keys || r.People < 1 || r.Salts != 1 || r.NewKey != l.key || r.Checkpoint != string(old) {
		t.Errorf("%+v", r)
	}
	k, err := proof.NewKeys(l.key, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	v, err := audit.VerifyWith(t.Context(), filepath.Join(r.Dir, "log"), k)
	if err != nil || v.Bad != nil || v.Entries != r.Entries+1 || v.Kinds[audit.KindRestored] != 1 || v.Gaps != 0 {
		t.Fatalf("%v %+v", err, v)
	}
	n := l.bootOn(r.Dir)
	if list := entriesOf(t, n); list[r.Entries].Kind != audit.KindRestored || list[r.Entries+1].Kind != audit.KindNodeStarted || slices.Contains(kindsFrom(list, r.Entries), audit.KindGap) {
		t.Errorf("%v", kindsFrom(list, r.Entries))
	}
	if !n.Names().Match(call, refs[0].Ref, "+4969123456") || n.Names().Person("clara") != person || n.Names().Person("david") == gone {
		t.Error("what pseudonyms stand for did not come back as it was")
	}
	if err := n.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	held, err := audit.OpenCopy(filepath.Join(r.Dir, "log"), k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Consistent(t.Context(), old, nil); err != nil {
		t.Errorf("the log does not go on from the old checkpoint: %v", err)
	}
	if keys := l.s.Keys("cordon/bank-1/edge-1/checkpoint/"); !strings.Contains(keys[0], fmt.Sprintf("-%d-", held.Signed().Size)) || held.Signed().Size <= v.Size {
		t.Errorf("the copy does not go on: %s, %d", keys[0], held.Signed().Size)
	}
}

// A copy that ends in order does not show that the node ran again while the bucket was away: going on would be a second history of what that run signed.
func TestRestoreAfterAnEndThatWasNotTheLast(t *testing.T) {
	l := newLostNode(t, "127.1.0.82", false)
	if err := l.node.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	l.s.Break(true)
	l.node = boot(t, l.file)
	published, err := l.node.Log().Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := l.node.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	o := l.options()
	o.Ended = false
	_, err = cordon.Restore(t.Context(), o)
	var lost *cordon.Lost
	if !errors.As(err, &lost) || !lost.Orderly || lost.Missing != 0 {
		t.Fatalf("the log goes on, and an auditor holds a checkpoint of another history: %v", err)
	}
	o.Seen, o.Ended = [][]byte{published}, true // whoever says so is wrong
	if _, err = cordon.Restore(t.Context(), o); !errors.As(err, &lost) || lost.Orderly || lost.Missing == 0 {
		t.Fatal(err)
	}
}

// Where a witness vouches that nobody has seen more, the log of a machine that was lost goes on.
func TestRestoreOfALostMachine(t *testing.T) {
	l := newLostNode(t, "127.1.0.84", true)
	l.lose()
	r, err := cordon.Restore(t.Context(), l.options())
	if err != nil {
		t.Fatal(err)
	}
	if r.Mode != "same_log" || r.Orderly || len(r.Seen) == 0 {
		t.Errorf("%+v", r)
	}
	n := l.bootOn(r.Dir)
	list := entriesOf(t, n)
	if kinds := kindsFrom(list, r.Entries); kinds[0] != audit.KindRestored || kinds[1] != audit.KindGap || kinds[2] != audit.KindNodeStarted || !strings.Contains(string(list[r.Entries+1].Body), `"cause":"restore"`) ||
		!strings.Contains(string(list[r.Entries+2].Body), `"after_crash":false`) {
		t.Errorf("%v", kinds)
	}
	if err := n.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
}

// Where nobody can tell, the log does not go on under its name; a new one does, and names the old one.
func TestRestoreWhereNobodyCanTell(t *testing.T) {
	l := newLostNode(t, "127.1.0.85", false)
	l.lose()
	o := l.options()
	_, err := cordon.Restore(t.Context(), o)
	var lost *cordon.Lost
	if !errors.As(err, &lost) || lost.Missing != 0 || !strings.Contains(err.Error(), "is not known") {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(filepath.Dir(o.Dir)); err != nil || len(files) != 0 {
		t.Errorf("something was left: %v %v", err, files)
	}
	none := uint64(0)
	o.AcceptLoss = &none
	r, err := cordon.Restore(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Mode != "new_log" || r.NewOrigin != "cordon/bank-1/edge-1/2" || r.NewKey == l.key {
		t.Errorf("%+v", r)
	}
	aside := filepath.Join(r.Dir, "before", "cordon_bank-1_edge-1")
	if v, err := audit.Verify(t.Context(), filepath.Join(aside, "log"), l.key); err != nil || v.Bad != nil || v.Entries != r.Entries {
		t.Errorf("the old log: %v %+v", err, v)
	}
	n := l.bootOn(r.Dir)
	list := entriesOf(t, n)
	if kinds := kindsFrom(list, 0); kinds[0] != audit.KindRestored || kinds[1] != audit.KindGap || kinds[2] != audit.KindNodeStarted || n.Log().VerifierKey() != r.NewKey {
		t.Errorf("%v", kinds)
	}
	ev, err := audit.Decode(list[0])
	if err != nil {
		t.Fatal(err)
	}
	link := ev.(audit.Restored)
	if k, err := proof.NewKeys(link.Key, nil, 0); err != nil {
		t.Error(err)
	} else if cp, err := k.Open([]byte(link.Checkpoint)); err != nil || cp.Size != link.Entries || link.Entries != r.Entries {
		t.Errorf("the link to the old log does not hold: %v %+v", err, link)
	}
	if err := n.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	within(t, "the copy of the new log", func() bool { return len(l.s.Keys("cordon/bank-1/edge-1/2/checkpoint/")) > 0 })
}

// Where a witness has seen more than came back, the number is said, and nothing goes on unless that very number is accepted.
func TestRestoreOfAnOldCopy(t *testing.T) {
	l := newLostNode(t, "127.1.0.86", true)
	within(t, "a copy", func() bool { return len(l.s.Keys("cordon/bank-1/edge-1/sealed/")) > 0 })
	l.s.Break(true)
	for range 7 {
		if _, err := l.node.Log().Commit(t.Context(), audit.HealthChanged{Target: "t"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.node.Stop(t.Context(), 0); err != nil { // the witness signs the end
		t.Fatal(err)
	}
	total := uint64(0)
	if v, err := audit.Verify(t.Context(), filepath.Join(l.dir, "state", "log"), l.key); err != nil || v.Bad != nil {
		t.Fatal(err, v.Bad)
	} else {
		total = v.Size
	}
	seen, err := os.ReadFile(filepath.Join(l.dir, "state", "log", "checkpoint"))
	if err != nil {
		t.Fatal(err)
	}
	o := l.options()
	_, err = cordon.Restore(t.Context(), o)
	var lost *cordon.Lost
	if !errors.As(err, &lost) || lost.Missing < 7 || !strings.Contains(err.Error(), "acknowledged entries are missing") || !strings.Contains(err.Error(), "the witness witness.example/w41") {
		t.Fatal(err)
	}
	wrong := lost.Missing + 1
	o.AcceptLoss = &wrong
	if _, err := cordon.Restore(t.Context(), o); !errors.As(err, &lost) || !strings.Contains(err.Error(), "were accepted as lost") {
		t.Errorf("another number: %v", err)
	}
	missing := lost.Missing
	o.AcceptLoss = &missing
	r, err := cordon.Restore(t.Context(), o)
	if err != nil || r.Mode != "new_log" || r.Missing != missing || r.Entries+missing != total {
		t.Errorf("%v %+v", err, r)
	}
	// The same by a file that somebody holds, where no witness answers.
	l.watch.door.Store(nil)
	o = l.options()
	o.Seen = [][]byte{seen}
	if _, err := cordon.Restore(t.Context(), o); !errors.As(err, &lost) || lost.Missing != missing {
		t.Errorf("by a checkpoint: %v", err)
	}
}

// What somebody with the node's key can do to a copy does not change what comes back; what nobody should be able to do is named.
func TestRestoreOfAnAttackedCopy(t *testing.T) {
	l := newLostNode(t, "127.1.0.87", false)
	if err := l.node.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	origin := "cordon/bank-1/edge-1/"
	piece := l.s.Keys(origin + "edge/tile/entries/")
	last := piece[len(piece)-1]
	for _, p := range piece {
		if len(p) > len(last) || len(p) == len(last) && p > last { // widths are numbers
			last = p
		}
	}
	l.s.Shadow(last, []byte("something else"))
	l.s.Shadow(origin+"edge/tile/0/000.p/"+last[strings.LastIndexByte(last, '/')+1:], nil)
	l.s.Shadow(origin+"checkpoint/0000000000000000000-9223372036854775807-0011223344556677", []byte("a forged one"))
	r, err := cordon.Restore(t.Context(), l.options())
	if err != nil || len(r.Odd) != 2 || len(r.Strange) != 1 {
		t.Fatalf("%v %+v", err, r)
	}
	l.s.Tamper(last, func(raw []byte) []byte { raw[40] ^= 1; return raw })
	if _, err := cordon.Restore(t.Context(), l.options()); err == nil || !strings.Contains(err.Error(), "the copy does not hold: entry 0: tile/entries/000.p/") {
		t.Errorf("a flipped bit: %v", err)
	}
	l.s.Tamper(last, func([]byte) []byte { return nil })
	if _, err := cordon.Restore(t.Context(), l.options()); err == nil || !strings.Contains(err.Error(), "it is not in the copy") {
		t.Errorf("a missing piece: %v", err)
	}
}

// What cannot be restored says why, and leaves nothing behind.
func TestRestoreRefuses(t *testing.T) {
	l := newLostNode(t, "127.1.0.88", false)
	if err := l.node.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	other := newStore(t, "127.1.0.89")
	outside := newStore(t, "127.9.0.88")
	outside.Fault = func(http.ResponseWriter, *http.Request) bool { t.Error("a request outside the fence"); return false }
	full := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(full, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		change func(*cordon.RestoreOptions)
		want   string
	}{
		"another recovery key": {func(o *cordon.RestoreOptions) { o.Recovery = other.key }, "open for this recovery key"},
		"a key of another log": {func(o *cordon.RestoreOptions) { o.Key = strings.Replace(o.Key, "edge-1", "edge-2", 1) }, "proof: key of the log"},
		"an empty bucket":      {func(o *cordon.RestoreOptions) { o.Endpoint = other.url }, "holds no checkpoint of that log"},
		"outside the fence":    {func(o *cordon.RestoreOptions) { o.Endpoint = outside.url }, "fenced"},
		"a folder in use":      {func(o *cordon.RestoreOptions) { o.Dir = filepath.Join(l.dir, "state") }, "is not empty: nothing is ever restored over something"},
		"a folder in a file":   {func(o *cordon.RestoreOptions) { o.Dir = filepath.Join(full, "state") }, "not a directory"},
		"no copy":              {func(o *cordon.RestoreOptions) { o.Config.WORM.Endpoint = "" }, "no log.worm"},
	} {
		o := l.options()
		c.change(&o)
		if _, err := cordon.Restore(t.Context(), o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
	}
	raw, err := os.ReadFile(filepath.Join(l.dir, "state", "keys", "log.key"))
	if err != nil || bytes.Equal(raw, make([]byte, 32)) {
		t.Errorf("the old folder was touched: %v", err)
	}
}

// What was forgotten after the last sealed copy is destroyed once more, because the log says so.
func TestRestoreForgetsOnceMore(t *testing.T) {
	l := &lostNode{t: t, s: newStore(t, "127.1.0.80"), dir: t.TempDir()}
	var late atomic.Bool
	l.s.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		refused := late.Load() && r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/erasable/")
		if refused {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		return refused
	}
	l.file = writeConfig(t, l.dir, l.s.copied(""))
	l.node = boot(t, l.file)
	l.key = l.node.Log().VerifierKey()
	anna := l.node.Names().Person("anna")
	within(t, "people in the copy", func() bool { return len(l.s.Keys("cordon/bank-1/edge-1/erasable/people/")) > 0 })
	late.Store(true)
	if _, err := l.node.Log().Commit(t.Context(), audit.Forgotten{What: "person", Ref: anna, By: "p-x", Why: "erasure request 17"}); err != nil {
		t.Fatal(err)
	}
	if err := l.node.Names().Erase(anna); err != nil {
		t.Fatal(err)
	}
	if err := l.node.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	r, err := cordon.Restore(t.Context(), l.options())
	if err != nil || r.Forgotten != 1 || r.Mode != "same_log" {
		t.Fatalf("%v %+v", err, r)
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "pseudonyms", "people", anna+".json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("who was forgotten came back: %v", err)
	}
}

// A log that was handed over to another key comes back by the first one that somebody kept, and goes on under the newest.
func TestRestoreOfALogThatWasHandedOver(t *testing.T) {
	l := newLostNode(t, "127.1.0.79", false)
	if err := l.node.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	h, _, err := cordon.RotateLogKey(t.Context(), filepath.Join(l.dir, "state"), "test", audit.Rotation{By: "anna", Reason: "yearly", Overlap: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	if err := boot(t, l.file).Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	r, err := cordon.Restore(t.Context(), l.options())
	if err != nil || r.Mode != "same_log" || r.NewKey != h.New || r.Key != l.key {
		t.Fatalf("%v %+v", err, r)
	}
	n := l.bootOn(r.Dir)
	chain := n.Log().Keys()
	if err := n.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	k, err := proof.NewKeys(chain, nil, 0)
	if err != nil || !k.InForce(h.New) {
		t.Fatalf("%v: %s", err, chain)
	}
	if v, err := audit.VerifyWith(t.Context(), filepath.Join(r.Dir, "log"), k); err != nil || v.Bad != nil || len(v.Rotations) != 1 {
		t.Errorf("%v %+v", err, v)
	}
}

package cordon_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/witness"
	"github.com/cordonsip/cordon/audit/witness/door"
	"github.com/cordonsip/cordon/configs"
)

// watcher is a witness beside a node. It is known by its address and its key before it knows whose log it watches.
type watcher struct {
	by    *proof.Cosigner
	url   string
	door  atomic.Pointer[door.Door]
	asked atomic.Int64
}

func newWatcher(t *testing.T, addr string, key byte) *watcher {
	t.Helper()
	by, err := proof.NewCosigner(fmt.Sprintf("witness.example/w%d", key), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{key}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", addr+":0")
	if err != nil {
		t.Fatal(err)
	}
	w := &watcher{by: by, url: "http://" + l.Addr().String()}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.asked.Add(1)
		if d := w.door.Load(); d != nil {
			d.ServeHTTP(rw, r)
			return
		}
		http.Error(rw, "not yet", http.StatusServiceUnavailable)
	})}}
	server.Start()
	t.Cleanup(server.Close)
	return w
}

func (w *watcher) watch(t *testing.T, log string) {
	t.Helper()
	state, err := witness.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	d, err := door.New(door.Config{State: state, By: w.by, Logs: []string{log}})
	if err != nil {
		t.Fatal(err)
	}
	w.door.Store(d)
}

// witnessed is a configuration of a node that w watches.
func witnessed(name string, w *watcher) string {
	text := strings.Replace(nodeConfig, "log: {reserve: 1MiB}", fmt.Sprintf("log: {reserve: 1MiB, witnesses: [{key: %q, url: %q}]}", w.by.VerifierKey(), w.url), 1)
	return strings.Replace(text, "name: edge-1", "name: "+name, 1)
}

// TestTwoNodesWitnessEachOther boots two nodes, each with a witness of the other one's log beside it, and holds what they leave against both signatures.
func TestTwoNodesWitnessEachOther(t *testing.T) {
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	watchers := []*watcher{newWatcher(t, "127.1.0.91", 31), newWatcher(t, "127.1.0.92", 32)}
	var nodes []*cordon.Node
	var dirs []string
	for i, w := range watchers {
		dir := t.TempDir()
		n := boot(t, writeConfig(t, dir, witnessed(fmt.Sprintf("edge-%d", i+1), w)))
		w.watch(t, n.Log().VerifierKey())
		nodes, dirs = append(nodes, n), append(dirs, dir)
	}
	for i, n := range nodes {
		size, vkey := n.Log().Size(), n.Log().VerifierKey()
		if err := n.Stop(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dirs[i], "state", audit.CosignedFile))
		if err != nil {
			t.Fatal(err)
		}
		k, err := proof.NewKeys(vkey, []string{watchers[i].by.VerifierKey()}, 1)
		if err != nil {
			t.Fatal(err)
		}
		cp, err := k.Open(raw)
		if err != nil || cp.Size <= size {
			t.Errorf("%v: %d entries are cosigned, and there were %d before the stop", err, cp.Size, size)
		}
		v, err := audit.VerifyWith(t.Context(), filepath.Join(dirs[i], "state", "log"), k)
		if err != nil || v.Bad != nil || v.Entries != cp.Size || v.Unsigned != 0 || len(v.Witnesses) != 1 || v.Kinds[audit.KindNodeStopped] != 1 {
			t.Errorf("%v %+v", err, v)
		}
		other, err := proof.NewKeys(vkey, []string{watchers[1-i].by.VerifierKey()}, 1)
		if err != nil {
			t.Fatal(err)
		}
		if v, err := audit.VerifyWith(t.Context(), filepath.Join(dirs[i], "state", "log"), other); err != nil || v.Bad == nil || !strings.Contains(v.Bad.What, audit.CosignedFile) {
			t.Errorf("a witness that never signed: %v %+v", err, v.Bad)
		}
		c, err := audit.OpenCopy(filepath.Join(dirs[i], "state", "log"), k)
		if err != nil {
			t.Fatal(err)
		}
		file, err := c.Prove(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, cp, err := audit.ReadProof(file, k); err != nil || len(cp.Witnesses) != 1 {
			t.Errorf("a proof with both signatures: %v %+v", err, cp)
		}
	}
}

// TestAnOlderCosignedCheckpoint: what was added since the witness signed is in the log, and under no signature of its.
func TestAnOlderCosignedCheckpoint(t *testing.T) {
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	w := newWatcher(t, "127.1.0.93", 33)
	dir := t.TempDir()
	file := writeConfig(t, dir, witnessed("edge-1", w))
	n := boot(t, file)
	w.watch(t, n.Log().VerifierKey())
	if err := n.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	w.door.Store(nil)
	n = boot(t, file)
	vkey := n.Log().VerifierKey()
	if err := n.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	k, err := proof.NewKeys(vkey, []string{w.by.VerifierKey()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	v, err := audit.VerifyWith(t.Context(), filepath.Join(dir, "state", "log"), k)
	if err != nil || v.Bad != nil || v.Unsigned == 0 || v.Size+v.Unsigned != v.Entries {
		t.Errorf("%v %+v %v", err, v, v.Bad)
	}
	c, err := audit.OpenCopy(filepath.Join(dir, "state", "log"), k)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Prove(t.Context(), v.Size); !errors.Is(err, audit.ErrNoEntry) {
		t.Errorf("an entry behind what was signed: %v", err)
	}
	if _, err := c.Prove(t.Context(), v.Size-1); err != nil {
		t.Error(err)
	}
}

// TestAWitnessOutsideThePolicyGetsNothing holds the refusal: nothing is sent, the configuration warns, and the log says so.
func TestAWitnessOutsideThePolicyGetsNothing(t *testing.T) {
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	w := newWatcher(t, "127.9.0.94", 34)
	dir := t.TempDir()
	n := boot(t, writeConfig(t, dir, witnessed("edge-1", w)))
	w.watch(t, n.Log().VerifierKey())
	if !slices.ContainsFunc(n.Config().Warnings, func(p configs.Problem) bool { return p.Path == "log.witnesses[0].url" }) {
		t.Errorf("warned: %v", n.Config().Warnings)
	}
	waitFor(t, "an entry of the refusal", func() bool { return slices.Contains(kinds(t, n), audit.KindFenceRefused) })
	writeConfig(t, dir, strings.Replace(witnessed("edge-1", w), "reserve: 1MiB, ", "reserve: 1MiB, witness_every: 2m, ", 1))
	if err := n.ReloadFile(t.Context(), "anna"); err == nil || !strings.Contains(err.Error(), "log.witnesses changed, and only a restart") {
		t.Errorf("a reload: %v", err)
	}
	if err := n.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if w.asked.Load() != 0 {
		t.Errorf("it was asked %d times", w.asked.Load())
	}
	if _, err := os.Stat(filepath.Join(dir, "state", audit.CosignedFile)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a cosigned checkpoint: %v", err)
	}
}

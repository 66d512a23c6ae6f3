package door

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/audit/witness"
)

var now = time.Unix(1795000000, 0)

func seed(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

// source is a log that asks.
type source struct {
	audit.Log
	t *testing.T
	k *proof.Keys
}

func newSource(t *testing.T, origin string, key byte) source {
	t.Helper()
	l, err := audit.Memory(audit.Config{Signer: seed(key), Origin: origin})
	if err != nil {
		t.Fatal(err)
	}
	k, err := proof.NewKeys(l.VerifierKey(), nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	return source{l, t, k}
}

// grow adds n entries and gives the checkpoint.
func (l source) grow(n int) []byte {
	l.t.Helper()
	for range n {
		if _, err := l.Append(l.t.Context(), audit.NodeStarted{}); err != nil {
			l.t.Fatal(err)
		}
	}
	cp, err := l.Checkpoint(l.t.Context())
	if err != nil {
		l.t.Fatal(err)
	}
	return cp
}

// since is a request that goes on from old.
func (l source) since(old uint64, cp []byte) []byte {
	l.t.Helper()
	to, err := l.k.Open(cp)
	if err != nil {
		l.t.Fatal(err)
	}
	a := proof.Addition{Old: old, Checkpoint: cp}
	if old > 0 && old < to.Size {
		raw, err1 := l.Consistency(l.t.Context(), old, to.Size)
		h, err2 := proof.Hashes(raw)
		if err := errors.Join(err1, err2); err != nil {
			l.t.Fatal(err)
		}
		a.Hashes = h
	}
	return a.Marshal()
}

// stand is a door with its folder, its log and its clock.
type stand struct {
	*Door
	dir string
	log *bytes.Buffer
	now time.Time
	by  *proof.Cosigner
}

func open(t *testing.T, logs ...source) *stand {
	t.Helper()
	s := &stand{dir: t.TempDir(), log: &bytes.Buffer{}, now: now}
	state, err := witness.Open(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = state.Close() })
	if s.by, err = proof.NewCosigner("witness.example/w1", seed(50)); err != nil {
		t.Fatal(err)
	}
	var vkeys []string
	for _, l := range logs {
		vkeys = append(vkeys, l.VerifierKey())
	}
	s.Door, err = New(Config{State: state, By: s.by, Logs: vkeys, Now: func() time.Time { return s.now }, Logger: slog.New(slog.NewTextHandler(s.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stand) post(body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/add-checkpoint", bytes.NewReader(body)))
	return w
}

func (s *stand) wants(t *testing.T, status int, word string, body []byte) {
	t.Helper()
	if w := s.post(body); w.Code != status || !strings.Contains(w.Body.String(), word) {
		t.Errorf("%d %q, want %d and %q", w.Code, w.Body, status, word)
	}
}

// cosigned posts what goes on from old, and checks the signature that comes back.
func (s *stand) cosigned(t *testing.T, l source, old uint64, cp []byte) {
	t.Helper()
	w := s.post(l.since(old, cp))
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	k, err := proof.NewKeys(l.VerifierKey(), []string{s.by.VerifierKey()}, 1)
	if err != nil {
		t.Fatal(err)
	}
	own, err := l.k.Own(cp)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(append(own, w.Body.Bytes()...)); err != nil || !got.Witnesses[0].Time.Equal(s.now) || strings.Count(w.Body.String(), "\n") != 1 {
		t.Errorf("%v\n%s", err, w.Body)
	}
}

func TestALogIsFollowed(t *testing.T) {
	t.Parallel()
	l, other := newSource(t, "cordon/bank-1/edge-1", 1), newSource(t, "cordon/bank-2/edge-1", 2)
	s := open(t, l, other)
	empty := l.grow(0)
	s.cosigned(t, l, 0, empty)
	first := l.grow(3)
	s.cosigned(t, l, 0, first)
	s.cosigned(t, l, 3, first) // again: the answer to the first time may have been lost
	second := l.grow(4)
	if w := s.post(l.since(0, second)); w.Code != http.StatusConflict || w.Body.String() != "3\n" || w.Header().Get("Content-Type") != "text/x.tlog.size" {
		t.Errorf("from nothing: %d %q %v", w.Code, w.Body, w.Header())
	}
	s.cosigned(t, l, 3, second)
	s.cosigned(t, other, 0, other.grow(5))
	if w := s.post(l.since(3, second)); w.Code != http.StatusConflict || w.Body.String() != "7\n" {
		t.Errorf("from the step before: %d %q", w.Code, w.Body)
	}
	if w := s.post(l.since(3, first)); w.Code != http.StatusConflict || w.Body.String() != "7\n" {
		t.Errorf("rolled back: %d %q", w.Code, w.Body)
	}
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	l := newSource(t, "cordon/bank-1/edge-1", 1)
	foreign, stranger := newSource(t, "cordon/bank-1/edge-1", 9), newSource(t, "cordon/bank-9/edge-1", 1)
	twin := newSource(t, "cordon/bank-1/edge-1", 1)
	first := l.grow(3)
	_ = twin.grow(2)
	if _, err := twin.Append(t.Context(), audit.NodeStopped{}); err != nil {
		t.Fatal(err)
	}
	fork := twin.grow(0)
	later, forkLater := l.grow(4), twin.grow(4)
	s := open(t, l)
	s.cosigned(t, l, 0, first)
	add := func(old uint64, cp []byte, hashes ...proof.Hash) []byte {
		return proof.Addition{Old: old, Checkpoint: cp, Hashes: hashes}.Marshal()
	}
	for name, c := range map[string]struct {
		body   []byte
		status int
		word   string
	}{
		"nothing":                       {nil, 400, "line 1"},
		"no checkpoint":                 {[]byte("old 0\n\n"), 400, "no signed note"},
		"old is larger":                 {add(8, later), 400, "larger than the checkpoint"},
		"too long":                      {bytes.Repeat([]byte("x"), proof.MaxAddition+1), 413, "more than"},
		"of a log that is not watched":  {add(0, stranger.grow(2)), 404, "not watched"},
		"of a foreign key":              {foreign.since(3, foreign.grow(7)), 403, "signed by another key"},
		"changed":                       {bytes.Replace(l.since(3, later), []byte("\n7\n"), []byte("\n8\n"), 1), 403, "was changed"},
		"without a proof":               {add(3, later), 422, ""},
		"with a wrong proof":            {add(3, later, make([]proof.Hash, 3)...), 422, "does not begin with that of 3"},
		"with hashes of the same size":  {add(3, first, proof.Hash{}), 422, "expected no hashes"},
		"rewritten":                     {twin.since(3, forkLater), 422, "does not begin with that of 3"},
		"of another step":               {l.since(2, later), 409, "3\n"},
		"a fork":                        {add(3, fork), 409, "3\n"},
		"a fork, behind another number": {add(2, fork), 409, "3\n"},
	} {
		t.Run(name, func(t *testing.T) { s.wants(t, c.status, c.word, c.body) })
	}
	s.wants(t, 409, "3\n", add(3, fork))
	if got := s.log.String(); strings.Count(got, "two histories") != 1 || !strings.Contains(got, "signed_before=") || strings.Contains(got, "PRIVATE") {
		t.Errorf("the fork is told of once, with both checkpoints:\n%s", got)
	}
	s.cosigned(t, l, 3, later)
	for _, r := range []*http.Request{httptest.NewRequest(http.MethodGet, "/add-checkpoint", nil), httptest.NewRequest(http.MethodPost, "/", nil)} {
		w := httptest.NewRecorder()
		if s.ServeHTTP(w, r); w.Code != http.StatusMethodNotAllowed && w.Code != http.StatusNotFound {
			t.Errorf("%s %s: %d", r.Method, r.URL, w.Code)
		}
	}
}

// TestWithHashesFromNothing: a log that was never seen has nothing to prove.
func TestWithHashesFromNothing(t *testing.T) {
	t.Parallel()
	l := newSource(t, "cordon/bank-1/edge-1", 1)
	s := open(t, l)
	s.wants(t, 422, "expected no hashes with old 0", proof.Addition{Hashes: make([]proof.Hash, 1), Checkpoint: l.grow(2)}.Marshal())
	s.cosigned(t, l, 0, l.grow(0))
}

// TestStrangersCannotFillTheMemory: whoever has a checkpoint may add signatures to it; what is remembered stays readable.
func TestStrangersCannotFillTheMemory(t *testing.T) {
	t.Parallel()
	l := newSource(t, "cordon/bank-1/edge-1", 1)
	s := open(t, l)
	first := l.grow(3)
	text, _, _ := strings.Cut(string(first), "\n\n")
	full := bytes.Clone(first)
	for i := range 99 { // a note has at most 100 signatures, with that of the log
		c, err := proof.NewCosigner(fmt.Sprintf("stranger-%d", i), seed(byte(100+i)))
		if err != nil {
			t.Fatal(err)
		}
		line, err := c.Sign(text+"\n", now)
		if err != nil {
			t.Fatal(err)
		}
		full = append(full, line...)
	}
	s.cosigned(t, l, 0, full)
	s.cosigned(t, l, 3, full)
	s.cosigned(t, l, 3, l.grow(2))
}

func TestAWitnessThatCannotRememberOrTellTheTimeDoesNotSign(t *testing.T) {
	t.Parallel()
	l := newSource(t, "cordon/bank-1/edge-1", 1)
	s := open(t, l)
	first := l.grow(3)
	s.cosigned(t, l, 0, first)
	later := l.grow(1)
	s.now = now.Add(-time.Hour)
	s.wants(t, 500, "cannot sign now", l.since(3, later))
	s.now = now
	if err := os.RemoveAll(s.dir); err != nil {
		t.Fatal(err)
	}
	w := s.post(l.since(0, later))
	if w.Code != 500 || strings.Contains(w.Body.String(), s.dir) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(s.log.String(), "its times never go back") || !strings.Contains(s.log.String(), "nothing was signed") {
		t.Errorf("%s", s.log)
	}
}

// TestOneWriter: of two steps that begin at one size one is signed, whichever comes first.
func TestOneWriter(t *testing.T) {
	t.Parallel()
	l := newSource(t, "cordon/bank-1/edge-1", 1)
	s := open(t, l)
	size := uint64(3)
	s.cosigned(t, l, 0, l.grow(3))
	for range 20 {
		near := l.since(size, l.grow(1))
		far := l.since(size, l.grow(1))
		var codes [2]int
		var wg sync.WaitGroup
		for i, body := range [][]byte{near, far} {
			wg.Go(func() { codes[i] = s.post(body).Code })
		}
		wg.Wait()
		switch codes {
		case [2]int{200, 409}:
			size++
			s.cosigned(t, l, size, l.grow(0))
			size++
		case [2]int{409, 200}:
			size += 2
		default:
			t.Fatalf("answered %v", codes)
		}
	}
}

func TestTooManyAtOnce(t *testing.T) {
	t.Parallel()
	l := newSource(t, "cordon/bank-1/edge-1", 1)
	s := open(t, l)
	for range atOnce {
		s.slots <- struct{}{}
	}
	if w := s.post(l.since(0, l.grow(1))); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	<-s.slots
	s.cosigned(t, l, 0, l.grow(0))
}

func TestNew(t *testing.T) {
	t.Parallel()
	l := newSource(t, "cordon/bank-1/edge-1", 1)
	s := open(t, l)
	own := newSource(t, s.by.Name(), 7)
	same := newSource(t, "cordon/bank-1/edge-2", 50)
	for want, logs := range map[string][]string{
		"at least one log": nil,
		"two keys for":     {l.VerifierKey(), newSource(t, "cordon/bank-1/edge-1", 3).VerifierKey()},
		"the name of":      {own.VerifierKey()},
		"is that of the":   {same.VerifierKey()},
		"key of the log":   {"nonsense"},
	} {
		if _, err := New(Config{State: s.c.State, By: s.by, Logs: logs}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestServe(t *testing.T) {
	t.Parallel()
	l := newSource(t, "cordon/bank-1/edge-1", 1)
	s := open(t, l)
	at, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, at) }()
	resp, err := http.Post("http://"+at.Addr().String()+"/add-checkpoint", "text/plain", bytes.NewReader(l.since(0, l.grow(2))))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != 200 || !strings.HasPrefix(string(body), "\u2014 witness.example/w1 ") {
		t.Errorf("%v %d %s", err, resp.StatusCode, body)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := s.Serve(t.Context(), at); err == nil {
		t.Error("it serves on a listener that is closed")
	}
}

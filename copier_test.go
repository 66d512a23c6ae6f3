package cordon_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/worm"
	"github.com/cordonsip/cordon/internal/bucket"
)

// store is a bucket at an address of loopback, and the key that things are sealed to.
type store struct {
	*bucket.Bucket
	url string
	key *worm.RecoveryKey
}

func newStore(t *testing.T, addr string) *store {
	t.Helper()
	l, err := net.Listen("tcp", addr+":0")
	if err != nil {
		t.Fatal(err)
	}
	s := &store{Bucket: &bucket.Bucket{Name: "worm", Region: "eu-central-1", Access: "the-id", Secret: "the-secret"}, url: "http://" + l.Addr().String()}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: s}}
	server.Start()
	t.Cleanup(server.Close)
	if s.key, err = worm.NewRecoveryKey(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CORDON_TEST_S3_ID", "the-id")
	t.Setenv("CORDON_TEST_S3_KEY", "the-secret")
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	return s
}

// copied is a configuration of a node whose log is copied there; more is in the part of the log.
func (s *store) copied(more string) string {
	part := fmt.Sprintf("worm: {endpoint: %q, region: \"aws:eu-central-1\", bucket: worm, access_key: {env: CORDON_TEST_S3_ID}, secret_key: {env: CORDON_TEST_S3_KEY}, recovery_key: %q, every: 10s}", s.url, s.key.Recipient())
	return strings.Replace(nodeConfig, "log: {reserve: 1MiB}", "log: {reserve: 1MiB, "+more+part+"}", 1)
}

// within waits for something that another goroutine does.
func within(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: it does not come", what)
		}
	}
}

// gauge is the value of a metric without labels.
func gauge(t *testing.T, n *cordon.Node, name string) float64 {
	t.Helper()
	families, err := n.Metrics().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestTheNodeCopiesItsLog boots a node, stops it, and finds all of its log in the bucket, node.stopped included.
func TestTheNodeCopiesItsLog(t *testing.T) {
	s := newStore(t, "127.1.0.81")
	dir := t.TempDir()
	n := boot(t, writeConfig(t, dir, s.copied("")))
	within(t, "a checkpoint", func() bool { return len(s.Keys("cordon/bank-1/edge-1/checkpoint/")) > 0 })
	if err := n.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	v, err := audit.Verify(t.Context(), filepath.Join(dir, "state", "log"), n.Log().VerifierKey())
	if err != nil || v.Bad != nil {
		t.Fatal(err, v.Bad)
	}
	if keys := s.Keys("cordon/bank-1/edge-1/checkpoint/"); !strings.Contains(keys[0], fmt.Sprintf("-%d-", v.Size)) || v.Kinds[audit.KindNodeStopped] != 1 {
		t.Errorf("%d entries, and the newest checkpoint is %s", v.Size, keys[0])
	}
	seed, err := os.ReadFile(filepath.Join(dir, "state", "keys", "log.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range s.Keys("") {
		raw := s.Bytes(k)
		if bytes.Contains(raw, seed) {
			t.Errorf("%s holds the log's key", k)
		}
	}
}

// TestTheCopyPassesTheFence holds that a bucket outside the law's places, or outside the region that is declared, gets no byte.
func TestTheCopyPassesTheFence(t *testing.T) {
	for name, c := range map[string]struct{ addr, places string }{
		"no declared place": {"127.9.0.81", ""},
		"another region":    {"127.2.0.81", "  - {prefix: 127.2.0.0/16, region: aws:eu-west-3, contract: c}\n"},
	} {
		s := newStore(t, c.addr)
		s.Fault = func(w http.ResponseWriter, _ *http.Request) bool { t.Errorf("%s: a request", name); return true }
		text := strings.Replace(s.copied(""), "places:\n", "places:\n"+c.places, 1)
		text = strings.Replace(text, "policy: {home: aws:eu-central-1,", "policy: {home: aws:eu-central-1, allow: [aws:eu-central-1, aws:eu-west-3],", 1)
		n := boot(t, writeConfig(t, t.TempDir(), text))
		within(t, name, func() bool { return gauge(t, n, "cordon_log_copy_behind_seconds") > 0 })
		if err := n.Stop(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// TestABucketThatDoesNotLockFailsReadiness: the log says so, and nobody sends calls there.
func TestABucketThatDoesNotLockFailsReadiness(t *testing.T) {
	s := newStore(t, "127.1.0.82")
	s.Unlocked = true
	n := boot(t, writeConfig(t, t.TempDir(), s.copied("")))
	defer n.Stop(context.WithoutCancel(t.Context()), 0)
	within(t, "the refusal", func() bool {
		resp, err := http.Get("http://" + n.APIAddr().String() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusServiceUnavailable
	})
	list, err := n.Log().Entries(t.Context(), 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, e := range list {
		if e.Kind == audit.KindCopyRefused && strings.Contains(string(e.Body), "without object lock") {
			found++
		}
	}
	if found != 1 {
		t.Errorf("%d entries say why", found)
	}
}

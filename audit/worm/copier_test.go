package worm

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/worm/s3"
	"github.com/cordonsip/cordon/internal/bucket"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

const origin = "cordon/bank-1/edge-1"

func seed(b byte) ed25519.PrivateKey { return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)) }

func derive(mac []byte) func([]byte) []byte {
	return func(b []byte) []byte { h := hmac.New(sha256.New, mac); h.Write(b); return h.Sum(nil) }
}

// site is a node's state folder, with a bucket beside it.
type site struct {
	t      *testing.T
	dir    string
	log    audit.Log
	names  audit.Pseudonyms
	at     *bucket.Bucket
	key    *RecoveryKey
	copier *Copier
	now    time.Time
}

func newSite(t *testing.T, change func(*Config)) *site {
	t.Helper()
	s := &site{t: t, dir: t.TempDir(), now: time.Now(), at: &bucket.Bucket{Name: "worm", Region: "eu-central-1", Access: "key", Secret: "secret"}}
	var err error
	for name, key := range map[string][]byte{"log.key": seed(1).Seed(), "mac.key": bytes.Repeat([]byte{2}, 32)} {
		err = errors.Join(err, os.MkdirAll(filepath.Join(s.dir, "keys"), 0o700), os.WriteFile(filepath.Join(s.dir, "keys", name), key, 0o600))
	}
	if s.key, err = NewRecoveryKey(); err != nil {
		t.Fatal(err)
	}
	if s.names, err = audit.OpenPseudonyms(filepath.Join(s.dir, "pseudonyms"), derive(bytes.Repeat([]byte{2}, 32))); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.names.Close() })
	s.open()
	s.copier = s.another(change)
	return s
}

// open opens the log of the folder.
func (s *site) open() {
	s.t.Helper()
	l, _, err := audit.Open(s.t.Context(), audit.Config{Dir: filepath.Join(s.dir, "log"), Signer: seed(1), Origin: origin, Tenant: "bank-1", Node: "edge-1", Reserve: 1 << 20})
	if err != nil {
		s.t.Fatal(err)
	}
	s.log = l
	s.t.Cleanup(func() { _ = l.Close(context.WithoutCancel(s.t.Context())) })
}

// another is a copier that knows nothing yet, as after a start.
func (s *site) another(change func(*Config)) *Copier {
	s.t.Helper()
	word := func(w string) func() (string, error) { return func() (string, error) { return w, nil } }
	b, err := s3.New(s3.Config{
		Endpoint: "https://s3.bank.example", Region: "eu-central-1", Bucket: "worm", Access: word("key"), Secret: word("secret"), Client: &http.Client{Transport: s.at}, Timeout: time.Second,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	to, err := ParseRecipient(s.key.Recipient())
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := NewMetrics(prometheus.NewRegistry())
	if err != nil {
		s.t.Fatal(err)
	}
	c := Config{Log: s.log, Dir: s.dir, Bucket: b, Keep: Keep{Years: 5}, To: to, MAC: derive([]byte("worm")), Metrics: m}
	if change != nil {
		change(&c)
	}
	out, err := New(c)
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// grow adds n entries, under a checkpoint.
func (s *site) grow(n int) {
	s.t.Helper()
	done := make(chan error, n)
	for i := range n - 1 {
		s.log.AppendAsync(audit.CallEnded{CallRef: fmt.Sprintf("20261122-%032x", i)}, func(_ uint64, err error) { done <- err })
	}
	for range n - 1 {
		if err := <-done; err != nil {
			s.t.Fatal(err)
		}
	}
	if _, err := s.log.Commit(s.t.Context(), audit.HealthChanged{Target: "t"}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) round(c *Copier) error { return c.round(s.t.Context(), s.now, false) }

// must is a round that succeeds.
func (s *site) must(c *Copier) {
	s.t.Helper()
	if err := s.round(c); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) entries(kind audit.Kind) (out []audit.Entry) {
	s.t.Helper()
	list, err := s.log.Entries(s.t.Context(), 0, 1<<20)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

// What is in the bucket is the log, byte by byte, locked for as long as it is kept; what is at the edge is locked for less.
func TestTheCopyHoldsTheLog(t *testing.T) {
	s := newSite(t, nil)
	s.grow(600)
	s.must(s.copier)
	s.grow(10)
	s.must(s.copier)
	if s.copier.copied != 610 || testutil.ToFloat64(s.copier.c.Metrics.locked) != 1 || s.copier.Proved() != "" {
		t.Errorf("%d copied, %q", s.copier.copied, s.copier.Proved())
	}
	size := s.log.Size()
	for p := range audit.Pieces(0, size) {
		raw, err := s.copier.c.Bucket.Get(t.Context(), s.copier.names.piece(p), "")
		if err != nil {
			t.Fatal(err)
		}
		file, err := os.ReadFile(filepath.Join(s.dir, "log", p.Name()))
		if err != nil || !bytes.Equal(file, raw) {
			t.Errorf("%s: %v, %d and %d bytes", p.Name(), err, len(file), len(raw))
		}
	}
	for _, key := range s.at.Keys("") {
		want, until := s.now.AddDate(5, 0, 0), s.at.Until(key)
		switch part := strings.TrimPrefix(key, origin+"/"); {
		case strings.HasPrefix(part, "edge/"):
			want = s.now.AddDate(0, 0, 400)
		case strings.HasPrefix(part, "probe/"):
			want = s.now.AddDate(0, 0, 2)
		case strings.HasPrefix(part, "erasable/"):
			want = time.Time{}
		}
		if until.Sub(want).Abs() > time.Second {
			t.Errorf("%s is locked until %s, not %s", key, until, want)
		}
	}
	before := s.at.Requests()
	if s.must(s.copier); s.at.Requests() != before {
		t.Errorf("%d requests and nothing is new", s.at.Requests()-before)
	}
}

// A copier that was killed goes on where the copy stands, puts back what is missing, and stores nothing twice.
func TestTheCopyGoesOnAfterACrash(t *testing.T) {
	s := newSite(t, nil)
	s.grow(600)
	puts := 0
	s.at.Fault = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPut && strings.Contains(r.URL.Path, "/tile/") {
			if puts++; puts == 3 {
				panic(http.ErrAbortHandler)
			}
		}
		return false
	}
	if err := s.round(s.copier); err == nil || s.copier.copied != 0 {
		t.Fatalf("%v: %d copied", err, s.copier.copied)
	}
	s.at.Fault = nil
	c := s.another(nil)
	s.must(c)
	if present := testutil.ToFloat64(c.c.Metrics.objects.WithLabelValues("present")); c.copied != 600 || present != 2 {
		t.Errorf("%d copied, %v were there", c.copied, present)
	}
	s.grow(5)
	c = s.another(nil)
	s.must(c)
	if stored := testutil.ToFloat64(c.c.Metrics.objects.WithLabelValues("stored")); stored != 3 { // a bundle, a tile and a checkpoint
		t.Errorf("%v stored", stored)
	}
	s.at.Tamper(origin+"/tile/entries/001", func([]byte) []byte { return nil })
	c = s.another(nil)
	s.must(c)
	if _, err := c.c.Bucket.Get(t.Context(), origin+"/tile/entries/001", ""); err != nil {
		t.Errorf("what was missing is not there again: %v", err)
	}
	if list := s.entries(audit.KindCopyDiffers); len(list) != 0 {
		t.Errorf("%+v", list)
	}
}

// An object that holds something else than the log is an alarm, once, and nothing goes on.
func TestTheCopyDiffers(t *testing.T) {
	s := newSite(t, nil)
	s.grow(300)
	s.at.Shadow(origin+"/tile/0/000", []byte("something else"))
	for range 3 {
		if err := s.round(s.copier); err == nil || !strings.Contains(err.Error(), "the copy differs: tile/0/000") {
			t.Fatal(err)
		}
	}
	list := s.entries(audit.KindCopyDiffers)
	if len(list) != 1 || !strings.Contains(string(list[0].Body), "tile/0/000") || s.copier.copied != 0 {
		t.Errorf("%+v", list)
	}
}

// A log that was put back to an older state is told by its copy.
func TestALogThatWasRolledBack(t *testing.T) {
	s := newSite(t, nil)
	s.grow(100)
	s.must(s.copier)
	old := s.t.TempDir()
	if err := s.log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(old, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	s.open()
	s.grow(50)
	c := s.another(nil)
	s.must(c)
	s.dir = old
	s.open()
	c = s.another(nil)
	if err := s.round(c); err == nil || !strings.Contains(err.Error(), "the log was rolled back") {
		t.Fatal(err)
	}
	s.grow(80) // beyond what the copy has, and another history
	c = s.another(nil)
	if err := s.round(c); err == nil || !strings.Contains(err.Error(), "a checkpoint that the log goes on from") {
		t.Fatal(err)
	}
	if list := s.entries(audit.KindCopyDiffers); len(list) != 2 {
		t.Errorf("%+v", list)
	}
}

// A damaged file of the log does not get into the copy, and is named.
func TestDamageIsNotCopied(t *testing.T) {
	for file, want := range map[string]string{
		"tile/entries/000": "entry 7: tile/entries/000", "tile/0/000": "entry 0: tile/0/000", "tile/1/000.p/1": "tile/1/000.p/1",
	} {
		s := newSite(t, nil)
		s.grow(300)
		path := filepath.Join(s.dir, "log", file)
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		at := 7 * len(raw) / 256
		if strings.HasPrefix(file, "tile/entries") {
			at = 0
			for range 7 {
				at += 2 + int(raw[at])<<8 + int(raw[at+1])
			}
			at += 30
		}
		raw[min(at, len(raw)-1)] ^= 1
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		err = s.round(s.copier)
		if err == nil || !errors.Is(err, audit.ErrNotHeld) || file != "tile/1/000.p/1" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
		if keys := s.at.Keys(origin + "/checkpoint/"); len(keys) != 0 {
			t.Errorf("%s: a checkpoint was copied", file)
		}
	}
}

// A bucket that does not lock gets nothing, and the log says so once.
func TestABucketWithoutLock(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*bucket.Bucket)
		want  string
	}{
		"none":              {func(b *bucket.Bucket) { b.Unlocked = true }, "made without object lock"},
		"one that is a lie": {func(b *bucket.Bucket) { b.Lying = true }, "deleted a version that was locked"},
		"one that is not said": {func(b *bucket.Bucket) {
			b.Fault = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodHead && strings.Contains(r.URL.Path, "/probe/") {
					w.Header().Set("X-Amz-Version-Id", "v1")
					return true
				}
				return false
			}
		}, "was to be locked in compliance mode says mode"},
	} {
		s := newSite(t, nil)
		c.spoil(s.at)
		for range 2 {
			if err := s.round(s.copier); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
		}
		list := s.entries(audit.KindCopyRefused)
		if len(list) != 1 || !strings.Contains(string(list[0].Body), c.want) || !strings.Contains(s.copier.Proved(), c.want) {
			t.Errorf("%s: %+v, %q", name, list, s.copier.Proved())
		}
		for _, k := range s.at.Keys("") {
			if !strings.Contains(k, "/probe/") {
				t.Errorf("%s: %s was stored", name, k)
			}
		}
	}
}

// What is sealed opens for the recovery key alone, and holds nothing in the clear.
func TestWhatIsSealed(t *testing.T) {
	s := newSite(t, nil)
	s.names.Call("a-call@bank.example", "+4969123456")
	person := s.names.Person("clara")
	time.Sleep(300 * time.Millisecond) // salts gather for 200 ms
	s.must(s.copier)
	sealed := append(s.at.Keys(origin+"/sealed/"), s.at.Keys(origin+"/erasable/")...)
	if len(sealed) != 3 {
		t.Fatalf("%q", sealed)
	}
	other, err := NewRecoveryKey()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range sealed {
		raw, err := s.copier.c.Bucket.Get(t.Context(), name, "")
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"clara", person, string(seed(1).Seed()), "cordon salts file", "log.key"} {
			if bytes.Contains(raw, []byte(secret)) {
				t.Errorf("%s holds %q", name, secret)
			}
		}
		at := strings.TrimPrefix(name[:strings.LastIndexByte(name, '/')+1], origin+"/")
		if _, err := s.key.open(sealInfo(origin, at), raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := other.open(sealInfo(origin, at), raw); err == nil {
			t.Errorf("%s opens for another key", name)
		}
		if _, err := s.key.open(sealInfo("cordon/bank-1/edge-2", at), raw); err == nil {
			t.Errorf("%s opens as that of another log", name)
		}
	}
}

// What is forgotten here is forgotten there: only the newest stays, and no older version of it.
func TestForgottenInTheCopy(t *testing.T) {
	s := newSite(t, nil)
	s.names.Person("clara")
	s.names.Person("david")
	s.must(s.copier)
	before := s.at.Keys(origin + "/erasable/people/")
	if err := s.names.Erase("clara"); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(time.Hour)
	s.must(s.copier)
	after := s.at.Keys(origin + "/erasable/people/")
	if len(before) != 1 || len(after) != 1 || before[0] == after[0] {
		t.Fatalf("%q, %q", before, after)
	}
	n := 0
	if err := s.copier.c.Bucket.Versions(t.Context(), origin+"/erasable/people/", func(s3.Object) bool { n++; return true }); err != nil || n != 1 {
		t.Errorf("%v: %d versions", err, n)
	}
}

// A bucket that locks by itself gets nothing that must be erasable.
func TestABucketThatLocksByItself(t *testing.T) {
	s := newSite(t, nil)
	s.at.Default = true
	s.must(s.copier)
	if keys := s.at.Keys(origin + "/erasable/"); len(keys) != 0 {
		t.Errorf("%q", keys)
	}
	if list := s.entries(audit.KindCopyRefused); len(list) != 1 || !strings.Contains(string(list[0].Body), `"what":"erasable"`) {
		t.Errorf("%+v", list)
	}
}

// A copy that is behind for too long is told once, and once that it is level again.
func TestBehindAndLevelAgain(t *testing.T) {
	s := newSite(t, nil)
	s.at.Fault = func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	}
	c := s.copier
	c.good = time.Now().Add(-time.Hour)
	for range 3 {
		c.turn(t.Context(), time.Now())
	}
	if list := s.entries(audit.KindCopyBehind); len(list) != 1 || !strings.Contains(string(list[0].Body), "answered 503") || testutil.ToFloat64(c.c.Metrics.lag) < 3599 {
		t.Errorf("%+v, %v", list, testutil.ToFloat64(c.c.Metrics.lag))
	}
	s.at.Fault = nil
	for range 3 {
		c.turn(t.Context(), time.Now())
	}
	if list := s.entries(audit.KindCopyLevel); len(list) != 1 || testutil.ToFloat64(c.c.Metrics.lag) != 0 {
		t.Errorf("%+v", list)
	}
}

func TestNames(t *testing.T) {
	n := namesOf(origin)
	old, fresh := n.checkpoint(atCheckpoint, 9, []byte("a")), n.checkpoint(atCheckpoint, 1000, []byte("b"))
	if fresh >= old {
		t.Errorf("%s does not come before %s", fresh, old)
	}
	if size, err := sizeOf(fresh); err != nil || size != 1000 {
		t.Errorf("%d %v", size, err)
	}
	for _, bad := range []string{"", "x", "cordon/checkpoint/1-2-3", old + "-4", strings.Replace(old, "-9-", "-8-", 1)} {
		if _, err := sizeOf(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	if later, now := n.sealed(atKeys, time.UnixMilli(2000), "m"), n.sealed(atKeys, time.UnixMilli(1000), "m"); later >= now {
		t.Errorf("%s does not come before %s", later, now)
	}
}

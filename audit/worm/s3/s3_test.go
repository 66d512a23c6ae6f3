package s3_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit/worm/s3"
	"github.com/cordonsip/cordon/internal/bucket"
)

func word(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func stand() *bucket.Bucket {
	return &bucket.Bucket{Name: "worm", Region: "eu-central-1", Access: "key", Secret: "secret"}
}

func open(t *testing.T, b *bucket.Bucket, change func(*s3.Config)) *s3.Bucket {
	t.Helper()
	c := s3.Config{
		Endpoint: "https://s3.bank.example", Region: "eu-central-1", Bucket: "worm", Access: word("key"), Secret: word("secret"), Client: &http.Client{Transport: b},
		Timeout: 50 * time.Millisecond,
	}
	if change != nil {
		change(&c)
	}
	out, err := s3.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestObjects(t *testing.T) {
	b, ctx := open(t, stand(), nil), t.Context()
	until := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	key := "cordon/bank-1/edge ü+1/tile/x001/000.p/5"
	put, err := b.Put(ctx, key, []byte("hello"), until)
	if err != nil || put.Version == "" {
		t.Fatalf("%v %+v", err, put)
	}
	if _, err := b.Put(ctx, key, []byte("other"), until); !errors.Is(err, s3.ErrThere) {
		t.Errorf("a name that is taken: %v", err)
	}
	o, err := b.Head(ctx, key, "")
	if err != nil || o.Mode != "COMPLIANCE" || !o.Until.Equal(until) || !o.Digested || o.Digest != sha256.Sum256([]byte("hello")) || o.Version != put.Version || o.Size != 5 {
		t.Errorf("%v %+v", err, o)
	}
	if raw, err := b.Get(ctx, key, put.Version); err != nil || string(raw) != "hello" {
		t.Errorf("%v %q", err, raw)
	}
	var refused *s3.Error
	if err := b.DeleteVersion(ctx, key, put.Version); !errors.As(err, &refused) || refused.Code != "AccessDenied" || !strings.Contains(err.Error(), "403 AccessDenied") {
		t.Errorf("a locked version: %v", err)
	}
	if _, err := b.Head(ctx, key+"x", ""); !errors.Is(err, s3.ErrNone) {
		t.Errorf("no such object: %v", err)
	}
	free, err := b.Put(ctx, "free", []byte("x"), time.Time{})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.DeleteVersion(ctx, "free", free.Version); err != nil {
		t.Error(err)
	}
	if _, err := b.Get(ctx, "free", ""); !errors.Is(err, s3.ErrNone) {
		t.Errorf("deleted: %v", err)
	}
	if l, err := b.Locking(ctx); err != nil || l != (s3.Locking{Enabled: true}) {
		t.Errorf("%v %+v", err, l)
	}
}

func TestListings(t *testing.T) {
	at := stand()
	at.Page = 3
	b, ctx := open(t, at, nil), t.Context()
	var want []string
	for i := range 10 {
		key := fmt.Sprintf("a/%02d&<", i)
		if _, err := b.Put(ctx, key, []byte{byte(i)}, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		want = append(want, key)
	}
	if _, err := b.Put(ctx, "b", nil, time.Time{}); err != nil {
		t.Fatal(err)
	}
	var got []string
	if err := b.List(ctx, "a/", func(k string) bool { got = append(got, k); return true }); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v %q", err, got)
	}
	if first, err := b.First(ctx, "a/", 4); err != nil || fmt.Sprint(first) != fmt.Sprint(want[:4]) {
		t.Errorf("%v %q", err, first)
	}
	at.Shadow("a/03&<", []byte("later"))
	at.Shadow("a/03&<", nil)
	var all []s3.Object
	if err := b.Versions(ctx, "a/", func(o s3.Object) bool { all = append(all, o); return true }); err != nil || len(all) != 12 {
		t.Fatalf("%v: %d versions", err, len(all))
	}
	three := all[3:6]
	if !three[0].Deleted || three[1].Deleted || three[2].Deleted || three[2].Key != "a/03&<" || three[2].Version >= three[1].Version {
		t.Errorf("not the newest first: %+v", three)
	}
	if raw, err := b.Get(ctx, "a/03&<", three[2].Version); err != nil || string(raw) != "\x03" {
		t.Errorf("%v %q", err, raw)
	}
}

// What goes wrong has a word for it, and none of them holds anybody up.
func TestFaults(t *testing.T) {
	ok := func(key string) func(context.Context, *s3.Bucket) error {
		return func(ctx context.Context, b *s3.Bucket) error {
			_, err := b.Put(ctx, key, []byte("hello"), time.Now().Add(time.Hour))
			if err == nil {
				_, err = b.Get(ctx, key, "")
			}
			return err
		}
	}
	hang := func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	list := func(answer string) func(w http.ResponseWriter, r *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { fmt.Fprint(w, answer); return true }
	}
	lists := func(ctx context.Context, b *s3.Bucket) error {
		return b.List(ctx, "a/", func(string) bool { return true })
	}
	for name, c := range map[string]struct {
		want   string
		fault  func(http.ResponseWriter, *http.Request) bool
		change func(*s3.Config)
		do     func(context.Context, *s3.Bucket) error
	}{
		"a server that fails":      {"put k: the server answered 500", func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(500); return true }, nil, ok("k")},
		"a server that hangs":      {"put k: context deadline exceeded", hang, nil, ok("k")},
		"a wrong key":              {"403 SignatureDoesNotMatch", nil, func(c *s3.Config) { c.Secret = word("other") }, ok("k")},
		"a stranger's key":         {"403 InvalidAccessKeyId", nil, func(c *s3.Config) { c.Access = word("other") }, ok("k")},
		"another region":           {"403 AuthorizationHeaderMalformed", nil, func(c *s3.Config) { c.Region = "us-east-1" }, ok("k")},
		"a clock that is wrong":    {"403 RequestTimeTooSkewed", nil, func(c *s3.Config) { c.Now = func() time.Time { return time.Now().Add(time.Hour) } }, ok("k")},
		"no such bucket":           {"404 NoSuchBucket", nil, func(c *s3.Config) { c.Bucket = "other" }, ok("k")},
		"a key that cannot be had": {"s3: key: gone", nil, func(c *s3.Config) { c.Secret = func() (string, error) { return "", errors.New("gone") } }, ok("k")},
		"an answer that breaks off": {"the answer broke off", func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				w.Header().Set("Content-Length", "5")
				fmt.Fprint(w, "he")
			}
			return r.Method == http.MethodGet
		}, nil, ok("k")},
		"a body that changed on its way": {"400 BadDigest", func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(make([]byte, 32)))
			r.Header.Set("Authorization", resigned(r))
			return false
		}, nil, ok("k")},
		"an answer that is no XML":    {"does not read", list("{}"), nil, lists},
		"an answer of something else": {"names what was not asked for", list("<ListBucketResult><Contents><Key>b/1</Key></Contents></ListBucketResult>"), nil, lists},
		"pages without end":           {"the same page without end", list("<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>"), nil, lists},
		"a page that breaks off":      {"says not where", list("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"), nil, lists},
		"a word that is none": {"answered 503 Slow", func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(503)
			fmt.Fprint(w, "<Error><Code>Slow; down</Code></Error>")
			return true
		}, nil, func(ctx context.Context, b *s3.Bucket) error { _, err := b.Get(ctx, "k", ""); return err }},
	} {
		at := stand()
		at.Fault = c.fault
		if err := c.do(t.Context(), open(t, at, c.change)); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "s3.bank.example") {
			t.Errorf("%s: %v, not %q", name, err, c.want)
		}
	}
}

// resigned gives a request that was changed another signature, as somebody with the key on the way could.
func resigned(r *http.Request) string {
	at, _ := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	r.Header.Del("Authorization")
	return s3.Resign(r, "key", "secret", "eu-central-1", r.Header.Get("X-Amz-Content-Sha256"), at)
}

// By a real connection, a long answer is read as far as it may be.
func TestALongAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 9 << 10 {
			if _, err := w.Write(make([]byte, 1<<10)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	b, err := s3.New(s3.Config{Endpoint: server.URL, Region: "x", Bucket: "worm", Access: word("key"), Secret: word("secret"), Client: server.Client()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.First(t.Context(), "", 1); err == nil || !strings.Contains(err.Error(), "longer than 8388608 bytes") {
		t.Error(err)
	}
}

func TestEndpoints(t *testing.T) {
	for _, e := range []string{"", "s3.example", "ftp://s3.example", "https://s3.example/bucket", "https://s3.example?x=1", "https://k:s@s3.example", "https://"} {
		if _, err := s3.New(s3.Config{Endpoint: e, Region: "r", Bucket: "b", Access: word("a"), Secret: word("s"), Client: http.DefaultClient}); err == nil {
			t.Errorf("%q was taken", e)
		}
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add([]byte("<ListBucketResult><Contents><Key>a/1</Key></Contents><IsTruncated>true</IsTruncated><NextContinuationToken>x</NextContinuationToken></ListBucketResult>"))
	f.Add([]byte("<ListVersionsResult><Version><Key>a/1</Key><VersionId>v</VersionId></Version><DeleteMarker><Key>a/1</Key></DeleteMarker></ListVersionsResult>"))
	f.Add([]byte("<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"))
	f.Add([]byte("<Error><Code>NoSuchKey</Code></Error>"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		calls := 0
		at := &bucket.Bucket{Fault: func(w http.ResponseWriter, _ *http.Request) bool {
			if calls++; calls > 50 { // tokens that change without end
				w.WriteHeader(500)
				return true
			}
			_, _ = w.Write(raw)
			return true
		}}
		b, err := s3.New(s3.Config{Endpoint: "https://x", Region: "r", Bucket: "b", Access: word("a"), Secret: word("s"), Client: &http.Client{Transport: at}})
		if err != nil {
			t.Fatal(err)
		}
		_ = b.List(t.Context(), "a/", func(k string) bool {
			if !strings.HasPrefix(k, "a/") {
				t.Errorf("a key that was not asked for: %q", k)
			}
			return true
		})
		_ = b.Versions(t.Context(), "a/", func(o s3.Object) bool { return strings.HasPrefix(o.Key, "a/") })
		_, _ = b.Locking(t.Context())
	})
}

package notify

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

// receiver is a TLS server on loopback that answers as told.
func receiver(t *testing.T, answer http.HandlerFunc) (*httptest.Server, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(answer)
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // failed handshakes are part of the tests
	s.StartTLS()
	t.Cleanup(s.Close)
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s, roots
}

var plainDialer net.Dialer

// hook is a webhook to name (example.com stands in the server's certificate), which resolves to loopback.
func hook(t *testing.T, s *httptest.Server, roots *x509.CertPool, edit func(*WebhookConfig)) Channel {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	c := WebhookConfig{
		Name: "siem", URL: "https://example.com:" + port + "/in?key=SECRET", Secret: func() (string, error) { return "hush", nil }, Roots: roots,
		Resolve: func(_ context.Context, host string) ([]netip.Addr, error) {
			if host != "example.com" {
				return nil, fmt.Errorf("asked for %s", host)
			}
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		},
		Dial: plainDialer.DialContext,
	}
	if edit != nil {
		edit(&c)
	}
	ch, err := Webhook(c)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func notice() Notice {
	n, _ := noticeOf(entry(audit.KindFailoverHeld, `{"route":"in","ticket":"T1"}`))
	return n
}

func TestWebhookDelivers(t *testing.T) {
	var body []byte
	var head http.Header
	s, roots := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ = io.ReadAll(r.Body)
		head = r.Header
		if r.Method != http.MethodPost || r.URL.String() != "/in?key=SECRET" || r.Host[:11] != "example.com" {
			t.Errorf("got %s %s for %s", r.Method, r.URL, r.Host)
		}
		w.WriteHeader(http.StatusAccepted)
	})
	ch := hook(t, s, roots, nil)
	if retry, err := ch.Send(t.Context(), notice()); retry || err != nil || ch.Name() != "siem" {
		t.Fatal(retry, err)
	}
	if err := Verify([]byte("hush"), head.Get(SignatureHeader), body, time.Now(), time.Minute); err != nil {
		t.Error(err)
	}
	if head.Get("Content-Type") != "application/cloudevents+json; charset=utf-8" || head.Get(IdempotencyHeader) != notice().ID {
		t.Errorf("headers %v", head)
	}
	var ev event
	if err := json.Unmarshal(body, &ev); err != nil || ev.ID != notice().ID || ev.SpecVersion != "1.0" {
		t.Errorf("body %s: %v", body, err)
	}
}

func TestSignature(t *testing.T) {
	secret, body, now := []byte("k"), []byte(`{"a":1}`), time.Unix(1700000000, 0)
	header := Sign(secret, "", now, body)
	// HMAC-SHA256 of `1700000000.{"a":1}` under "k", computed with openssl dgst.
	if want := "t=1700000000,v1=" + openssl; header != want {
		t.Errorf("got %s, want %s", header, want)
	}
	if named := Sign(secret, "2026-11", now, body); named != "t=1700000000,kid=2026-11,v1="+openssl || Verify(secret, named, body, now, time.Minute) != nil {
		t.Errorf("with the id of the key: %s", named)
	}
	for name, err := range map[string]error{
		"another secret": Verify([]byte("x"), header, body, now, time.Minute),
		"another body":   Verify(secret, header, []byte(`{"a":2}`), now, time.Minute),
		"another time":   Verify(secret, strings.Replace(header, "1700000000", "1700000001", 1), body, now, time.Minute),
		"too old":        Verify(secret, header, body, now.Add(2*time.Minute), time.Minute),
		"future":         Verify(secret, header, body, now.Add(-2*time.Minute), time.Minute),
		"empty":          Verify(secret, "", body, now, time.Minute),
		"no sum":         Verify(secret, "t=1700000000", body, now, time.Minute),
	} {
		if err == nil {
			t.Errorf("%s: the signature holds", name)
		}
	}
}

func TestWebhookAnswers(t *testing.T) {
	for _, c := range []struct {
		status int
		header string
		retry  bool
		ok     bool
		after  time.Duration
	}{
		{200, "", false, true, 0},
		{204, "", false, true, 0},
		{301, "", false, false, 0},
		{400, "", false, false, 0},
		{401, "", false, false, 0},
		{404, "", false, false, 0},
		{408, "", true, false, 0},
		{410, "", false, false, 0},
		{425, "", true, false, 0},
		{429, "7", true, false, 7 * time.Second},
		{500, "", true, false, 0},
		{503, "120", true, false, 2 * time.Minute},
		{503, "nonsense", true, false, 0},
		{503, "99999999999", true, false, 0},
		{503, "4000000000", true, false, maxRetryIn},
		{503, "Fri, 01 Jan 1999 00:00:00 GMT", true, false, time.Nanosecond},
	} {
		s, roots := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
			if c.header != "" {
				w.Header().Set("Retry-After", c.header)
			}
			w.WriteHeader(c.status)
			fmt.Fprint(w, strings.Repeat("x", 100))
		})
		retry, err := hook(t, s, roots, nil).Send(t.Context(), notice())
		if retry != c.retry || (err == nil) != c.ok {
			t.Errorf("%d: retry %v, %v", c.status, retry, err)
		}
		after := new(RetryAfter)
		if got := errors.As(err, &after); got != (c.after > 0) || got && after.After != c.after && c.after != time.Nanosecond {
			t.Errorf("%d with Retry-After %q: %v", c.status, c.header, after.After)
		}
	}
}

// Through the follower: 500 twice, then 200.
func TestWebhookRecovers(t *testing.T) {
	var asked atomic.Int32
	done := make(chan struct{})
	s, roots := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get(IdempotencyHeader) == "" {
			t.Error("no idempotency key")
		}
		if asked.Add(1) < 3 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	w := newWorld(t)
	w.add(raw{"T1", "proposed"})
	f, err := New(Config{
		Log: w.log, KV: w.kv, Channels: []Routed{{Channel: hook(t, s, roots, nil)}}, Backoff: time.Millisecond,
		Told: func(_ context.Context, ticket, channel, failure string) error {
			if ticket != "T1" || channel != "siem" || failure != "" {
				t.Errorf("told %s %s %q", ticket, channel, failure)
			}
			close(done)
			return nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	stop := w.run(f)
	<-done
	stop()
	if asked.Load() != 3 {
		t.Errorf("asked %d times", asked.Load())
	}
}

func TestWebhookHangs(t *testing.T) {
	release := make(chan struct{})
	s, roots := receiver(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	retry, err := hook(t, s, roots, nil).Send(ctx, notice())
	if !retry || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("retry %v, %v", retry, err)
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var reached atomic.Bool
	other, _ := receiver(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	s, roots := receiver(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
	})
	retry, err := hook(t, s, roots, nil).Send(t.Context(), notice())
	if retry || err == nil || !strings.Contains(err.Error(), "redirects are not followed") || reached.Load() {
		t.Errorf("retry %v, %v, reached %v", retry, err, reached.Load())
	}
}

func TestOnlyTheGivenWayOut(t *testing.T) {
	var reached atomic.Bool
	s, roots := receiver(t, func(http.ResponseWriter, *http.Request) { reached.Store(true) })
	t.Setenv("HTTPS_PROXY", s.URL) // a proxy would be a way around the wall
	for _, c := range []struct {
		name  string
		retry bool
		edit  func(*WebhookConfig)
	}{
		{"the fence refuses", false, func(c *WebhookConfig) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) {
				return nil, fmt.Errorf("%w: the address lies in no permitted place", sovereign.ErrFenced)
			}
		}},
		{"the fence refuses one address, and the other refuses the connection", true, func(c *WebhookConfig) {
			c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::1")}, nil
			}
			c.Dial = func(_ context.Context, _, addr string) (net.Conn, error) {
				if strings.HasPrefix(addr, "[2001:db8::1]") {
					return nil, fmt.Errorf("%w: the address lies in no permitted place", sovereign.ErrFenced)
				}
				return nil, errors.New("connection refused")
			}
		}},
		{"the receiver is down", true, func(c *WebhookConfig) {
			c.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }
		}},
		{"the name is unknown", true, func(c *WebhookConfig) {
			c.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("no such name") }
		}},
		{"the name has no permitted address", true, func(c *WebhookConfig) {
			c.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, nil }
		}},
		{"another certificate authority", true, func(c *WebhookConfig) { c.Roots = x509.NewCertPool() }},
		{"another name than the certificate's", true, func(c *WebhookConfig) {
			c.URL = strings.Replace(c.URL, "example.com", "example.net", 1)
			c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
			}
		}},
		{"plain http to another machine", true, func(c *WebhookConfig) {
			c.URL = strings.Replace(c.URL, "https:", "http:", 1)
			c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil
			}
			c.Dial = func(context.Context, string, string) (net.Conn, error) { panic("dialled") }
		}},
		{"no secret", true, func(c *WebhookConfig) { c.Secret = func() (string, error) { return "", errors.New("file gone") } }},
	} {
		retry, err := hook(t, s, roots, c.edit).Send(t.Context(), notice())
		if err == nil || retry != c.retry || reached.Load() {
			t.Errorf("%s: retry %v, %v, reached %v", c.name, retry, err, reached.Load())
		}
		if err != nil && strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the URL's secret shows: %v", c.name, err)
		}
	}
}

// The dialer sees literal addresses only, one after the other, and TLS is verified against the name.
func TestDialsWhatWasResolved(t *testing.T) {
	s, roots := receiver(t, func(http.ResponseWriter, *http.Request) {})
	var dialled []string
	ch := hook(t, s, roots, func(c *WebhookConfig) {
		c.Resolve = func(context.Context, string) ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.9"), netip.MustParseAddr("127.0.0.1")}, nil
		}
		c.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dialled = append(dialled, addr)
			if strings.HasPrefix(addr, "127.0.0.9:") {
				return nil, errors.New("refused")
			}
			return plainDialer.DialContext(ctx, network, addr)
		}
	})
	if _, err := ch.Send(t.Context(), notice()); err != nil || len(dialled) != 2 {
		t.Errorf("dialled %q, %v", dialled, err)
	}
}

// An address from which nothing ever comes back leaves time for the others.
func TestADeadAddressLeavesTimeForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var after []time.Duration
		o, err := NewOutlet(OutletConfig{
			URL: "https://example.com/", Resolve: func(context.Context, string) ([]netip.Addr, error) {
				return []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}, nil
			},
			Dial: func(ctx context.Context, _, addr string) (net.Conn, error) {
				began := time.Now()
				defer func() { after = append(after, time.Since(began)) }()
				if addr == "192.0.2.3:443" {
					return near, nil
				}
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 9*time.Second)
		defer cancel()
		c, err := o.dial(ctx, "tcp", "example.com:443")
		if err != nil || c != near || !slices.Equal(after, []time.Duration{3 * time.Second, 3 * time.Second, 0}) {
			t.Errorf("%v after %v", err, after)
		}
		near.Close()
		far.Close()
	})
}

func TestPlainHTTPOnLoopback(t *testing.T) {
	var signed string
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { signed = r.Header.Get(SignatureHeader) }))
	defer s.Close()
	ch := hook(t, s, nil, func(c *WebhookConfig) { c.URL, c.Secret = s.URL, nil })
	if _, err := ch.Send(t.Context(), notice()); err != nil || signed != "" {
		t.Errorf("%v, signed %q", err, signed)
	}
}

func TestWebhookRefuses(t *testing.T) {
	ok := WebhookConfig{
		Name: "siem", URL: "https://example.com/", Dial: plainDialer.DialContext,
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, nil },
	}
	for name, edit := range map[string]func(*WebhookConfig){
		"no name":     func(c *WebhookConfig) { c.Name = "" },
		"no dialer":   func(c *WebhookConfig) { c.Dial = nil },
		"no resolver": func(c *WebhookConfig) { c.Resolve = nil },
		"no URL":      func(c *WebhookConfig) { c.URL = "" },
		"no host":     func(c *WebhookConfig) { c.URL = "https:///in" },
		"ftp":         func(c *WebhookConfig) { c.URL = "ftp://example.com/" },
		"bad URL":     func(c *WebhookConfig) { c.URL = "https://SECRET@exa mple/" },
		"a fragment":  func(c *WebhookConfig) { c.URL = "https://example.com/#a" },
	} {
		c := ok
		edit(&c)
		if _, err := Webhook(c); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Webhook(ok); err != nil {
		t.Error(err)
	}
}

const openssl = "1b6ad1bc9bf48c52ce01939866d5877c6cc4e87ddad27e16673cb8c4964394a3"

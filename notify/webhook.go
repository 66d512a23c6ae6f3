package notify

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Headers of a webhook request.
const (
	// SignatureHeader carries "t=<unix seconds>,v1=<hex HMAC-SHA256 over t, a dot and the body>".
	SignatureHeader = "Cordon-Signature"
	// IdempotencyHeader carries the id of the entry: the same at each attempt.
	IdempotencyHeader = "Idempotency-Key"
)

const (
	eventPrefix = "io.github.cordonsip." // CloudEvents types are reverse domain names
	maxAnswer   = 64 << 10
	maxRetryIn  = 24 * time.Hour
)

// WebhookConfig of a webhook channel. It posts CloudEvents 1.0 in structured JSON mode, follows no redirect and uses no proxy. https is needed,
// except to loopback addresses.
type WebhookConfig struct {
	Name   string
	URL    string
	Secret func() (string, error) // of the signature, read at each attempt; nil: unsigned
	Roots  *x509.CertPool         // nil: the system's
	// Resolve and Dial are the only way out: names are resolved and addresses are dialled by the caller's rules, never by the HTTP client's.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Webhook makes a webhook channel.
func Webhook(c WebhookConfig) (Channel, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, fmt.Errorf("notify: webhook %s: the URL cannot be read", c.Name) // the error would repeat it, secrets and all
	case c.Name == "" || c.Resolve == nil || c.Dial == nil:
		return nil, errors.New("notify: a webhook needs a name, a resolver and a dialer")
	case u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "":
		return nil, fmt.Errorf("notify: webhook %s: the URL must be an https address", c.Name)
	}
	w := &webhook{c: c, url: u}
	w.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            w.dial,
			TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      true, // each notice passes the wall anew
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return w, nil
}

type webhook struct {
	c      WebhookConfig
	url    *url.URL
	client *http.Client
}

func (w *webhook) Name() string { return w.c.Name }

// dial is the transport's only way to a socket.
func (w *webhook) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, err
	}
	addrs, err := w.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, a := range addrs {
		if w.url.Scheme == "http" && !a.Unmap().IsLoopback() {
			errs = append(errs, fmt.Errorf("%s is not this machine: use https", a))
			continue
		}
		conn, err := w.c.Dial(ctx, network, netip.AddrPortFrom(a, uint16(number)).String())
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func (w *webhook) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	addrs, err := w.c.Resolve(ctx, host)
	if err != nil {
		return nil, fmt.Errorf("resolving %s: %w", host, err)
	}
	if len(addrs) == 0 {
		return nil, fmt.Errorf("%s has no permitted address", host)
	}
	return addrs, nil
}

// event is the CloudEvents 1.0 envelope in structured JSON mode.
type event struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject,omitempty"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Data        Notice    `json:"data"`
}

func encodeEvent(n Notice) ([]byte, error) {
	return json.Marshal(event{
		SpecVersion: "1.0", ID: n.ID, Source: "/cordon/" + url.PathEscape(n.Tenant) + "/" + url.PathEscape(n.Node), Type: eventPrefix + string(n.Kind),
		Subject: n.Subject, Time: n.Time.UTC(), ContentType: "application/json", Data: n,
	})
}

// Send posts n once.
func (w *webhook) Send(ctx context.Context, n Notice) (bool, error) {
	body, err := encodeEvent(n)
	if err != nil {
		return false, fmt.Errorf("notify: writing the event: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.c.URL, bytes.NewReader(body))
	if err != nil {
		return false, fmt.Errorf("notify: webhook %s: the request cannot be made", w.c.Name)
	}
	req.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	req.Header.Set("User-Agent", "cordon")
	req.Header.Set(IdempotencyHeader, n.ID)
	if w.c.Secret != nil {
		secret, err := w.c.Secret()
		if err != nil {
			return true, fmt.Errorf("notify: webhook %s: reading the secret: %w", w.c.Name, err)
		}
		req.Header.Set(SignatureHeader, Sign([]byte(secret), time.Now(), body))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return !errors.Is(err, sovereign.ErrFenced), fmt.Errorf("notify: webhook %s: %w", w.c.Name, bare(err))
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer)) // the status says all
	return w.judge(resp)
}

// bare takes the URL, which may hold a secret, off an error of the HTTP client.
func bare(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}

func (w *webhook) judge(resp *http.Response) (bool, error) {
	code := resp.StatusCode
	err := fmt.Errorf("notify: webhook %s: the receiver answered %d", w.c.Name, code)
	switch {
	case code >= 200 && code < 300:
		return false, nil
	case code >= 300 && code < 400:
		return false, fmt.Errorf("%w: redirects are not followed", err)
	case code == http.StatusRequestTimeout, code == http.StatusTooEarly, code == http.StatusTooManyRequests, code >= 500:
		if after, ok := retryAfter(resp.Header.Get("Retry-After"), time.Now()); ok {
			err = &RetryAfter{After: after, Err: err}
		}
		return true, err
	}
	return false, err
}

// retryAfter reads the header: seconds or a date, RFC 9110 section 10.2.3.
func retryAfter(text string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(text, 10, 32); err == nil {
		return min(time.Duration(seconds)*time.Second, maxRetryIn), true
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(at.Sub(now), 0), maxRetryIn), true
	}
	return 0, false
}

// Sign makes the value of SignatureHeader.
func Sign(secret []byte, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	return "t=" + t + ",v1=" + hex.EncodeToString(signature(secret, t, body))
}

func signature(secret []byte, t string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(t))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}

// Verify is what a receiver does with SignatureHeader: the signature must hold and must not be older, or younger, than tolerance.
func Verify(secret []byte, header string, body []byte, now time.Time, tolerance time.Duration) error {
	var t string
	var sum []byte
	for part := range strings.SplitSeq(header, ",") {
		switch key, value, _ := strings.Cut(part, "="); key {
		case "t":
			t = value
		case "v1":
			sum, _ = hex.DecodeString(value)
		}
	}
	unix, err := strconv.ParseInt(t, 10, 64)
	if err != nil || len(sum) == 0 {
		return errors.New("notify: the signature cannot be read")
	}
	if age := now.Sub(time.Unix(unix, 0)); age > tolerance || age < -tolerance {
		return errors.New("notify: the signature is too old or from the future")
	}
	if !hmac.Equal(sum, signature(secret, t, body)) {
		return errors.New("notify: the signature does not hold")
	}
	return nil
}

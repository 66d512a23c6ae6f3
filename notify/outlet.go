package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"
)

const (
	maxAnswer  = 64 << 10
	maxRetryIn = 24 * time.Hour
	reuseTime  = 30 * time.Second
)

// OutletConfig of an Outlet. Roots may be nil: the system's.
type OutletConfig struct {
	URL   string // https, or http to a loopback address
	Roots *x509.CertPool
	// Resolve and Dial are the only way out: names are resolved and addresses are dialled by the caller's rules, never by the HTTP client's.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
	Reuse   bool // connections are used again for half a minute: Dial gives such as the wall closes when it no longer permits them
}

// Outlet posts to one address. It follows no redirect, uses no proxy, and dials anew for each post, so that each passes the wall.
type Outlet struct {
	c      OutletConfig
	url    *url.URL
	client *http.Client
}

// Answer of a receiver. After is what its Retry-After says, if Later.
type Answer struct {
	Status int
	Type   string // its Content-Type
	Body   []byte // its first 64 KiB
	After  time.Duration
	Later  bool
}

// NewOutlet checks c. Errors never repeat the address, which may hold a secret.
func NewOutlet(c OutletConfig) (*Outlet, error) {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil:
		return nil, errors.New("the URL cannot be read")
	case c.Resolve == nil || c.Dial == nil:
		return nil, errors.New("a resolver and a dialer are needed")
	case u.Hostname() == "" || u.Scheme != "https" && u.Scheme != "http" || u.Fragment != "":
		return nil, errors.New("the URL must be an https address")
	}
	o := &Outlet{c: c, url: u}
	o.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            o.dial,
			TLSClientConfig:        &tls.Config{RootCAs: c.Roots, MinVersion: tls.VersionTLS12},
			DisableKeepAlives:      !c.Reuse, // else each request passes the wall anew
			IdleConnTimeout:        reuseTime,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return o, nil
}

// under is the same outlet with a path behind its address. The path may be a secret; the host stays what it was.
func (o *Outlet) under(path string) *Outlet {
	other := *o
	other.c.URL = o.url.JoinPath(path).String()
	return &other
}

// Client is what the outlet posts with, for those who ask more than that of the same place. It follows no redirect and uses no proxy.
func (o *Outlet) Client() *http.Client { return o.client }

// Post sends body once. An error that wraps sovereign.ErrFenced means that nothing left, and nothing will.
func (o *Outlet) Post(ctx context.Context, header http.Header, body []byte) (Answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.c.URL, bytes.NewReader(body))
	if err != nil {
		return Answer{}, errors.New("the request cannot be made")
	}
	req.Header = header
	req.Header.Set("User-Agent", "cordon")
	resp, err := o.client.Do(req)
	if err != nil {
		return Answer{}, bare(err)
	}
	defer resp.Body.Close()
	a := Answer{Status: resp.StatusCode, Type: resp.Header.Get("Content-Type")}
	a.Body, _ = io.ReadAll(io.LimitReader(resp.Body, maxAnswer)) // the status says what matters; a body that broke off is none
	a.After, a.Later = retryAfter(resp.Header.Get("Retry-After"), time.Now())
	return a, nil
}

// dial is the transport's only way to a socket.
func (o *Outlet) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return way{o.c.Resolve, o.c.Dial}.open(ctx, network, addr, func(a netip.Addr) error {
		if o.url.Scheme == "http" && !a.Unmap().IsLoopback() {
			return fmt.Errorf("%s is not this machine: use https", a)
		}
		return nil
	})
}

// bare takes the URL, which may hold a secret, off an error of the HTTP client.
func bare(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
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

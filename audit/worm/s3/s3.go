package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Config of a Bucket. All but Now and Timeout are required.
type Config struct {
	Endpoint string // https://HOST[:PORT]; the bucket is the first segment of the path
	Region   string // that requests are signed for
	Bucket   string
	Access   func() (string, error) // read for each request, so that a new key needs no restart
	Secret   func() (string, error)
	Client   *http.Client  // the only way out
	Timeout  time.Duration // of one request with its body, default 30 s
	Now      func() time.Time
}

const (
	maxError  = 64 << 10
	maxList   = 8 << 20  // bytes of one page of a listing; a page has 1,000 keys of at most 1,024 bytes
	maxMarks  = 1 << 20  // pages of one listing
	pageKeys  = 1000     // that a page has at most
	maxObject = 64 << 20 // bytes that are read of an object, or put
)

// Bucket is one. It keeps nothing but its configuration and is safe for concurrent use.
type Bucket struct {
	c    Config
	base *url.URL
}

// New checks c and asks nobody.
func New(c Config) (*Bucket, error) {
	u, err := url.Parse(c.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return nil, errors.New("s3: the endpoint must be https://HOST[:PORT]")
	case c.Region == "" || c.Bucket == "" || c.Access == nil || c.Secret == nil || c.Client == nil:
		return nil, errors.New("s3: a region, a bucket, its key and a client are needed")
	}
	if c.Timeout <= 0 {
		c.Timeout = 30 * time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Bucket{c, u}, nil
}

// Error is what the server refused.
type Error struct {
	Status int
	Code   string // of S3, e.g. AccessDenied; empty where the answer had none
	What   string // what was asked
}

func (e *Error) Error() string {
	if e.Code == "" {
		return fmt.Sprintf("s3: %s: the server answered %d", e.What, e.Status)
	}
	return fmt.Sprintf("s3: %s: the server answered %d %s", e.What, e.Status, e.Code)
}

// ErrNone says that there is no such object, or that a marker of deletion hides it.
var ErrNone = errors.New("s3: no such object")

// ErrThere says that an object of that name is there already.
var ErrThere = errors.New("s3: an object of that name is there")

// Object is what the server says of one.
type Object struct {
	Key      string
	Version  string
	Size     int64
	Digest   [sha256.Size]byte // as the server computed it
	Digested bool              // the server keeps digests
	Mode     string            // COMPLIANCE, GOVERNANCE or none
	Until    time.Time         // that it is locked
	Deleted  bool              // a marker that hides the versions before it, in a listing of versions
}

// call is one request.
type call struct {
	what, method, key string
	query             url.Values
	header            http.Header
	body              []byte
	most              int64 // bytes of the answer that are read
}

// do sends a call once and reads the answer. What is not 2xx is an *Error, or ErrNone for 404, ErrThere for 412.
func (b *Bucket) do(ctx context.Context, c call) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, b.c.Timeout)
	defer cancel()
	u := *b.base
	u.Path = "/" + b.c.Bucket
	if c.key != "" {
		u.Path += "/" + c.key
	}
	u.RawPath, u.RawQuery = escapePath(u.Path), canonicalQuery(c.query)
	r, err := http.NewRequestWithContext(ctx, c.method, u.String(), bytes.NewReader(c.body))
	if err != nil {
		return nil, nil, fmt.Errorf("s3: %s: the request cannot be made", c.what)
	}
	if c.header != nil {
		r.Header = c.header
	}
	var by credentials
	if by.access, err = b.c.Access(); err == nil {
		by.secret, err = b.c.Secret()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("s3: key: %w", err)
	}
	by.sign(r, b.c.Region, hexSum(c.body), b.c.Now())
	resp, err := b.c.Client.Do(r)
	if err != nil {
		return nil, nil, fmt.Errorf("s3: %s: %w", c.what, bare(err))
	}
	defer resp.Body.Close()
	return b.answer(c, resp)
}

// answer reads what came back.
func (b *Bucket) answer(c call, resp *http.Response) (http.Header, []byte, error) {
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return resp.Header, nil, refusal(c, resp)
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, c.most+1))
	if err != nil {
		return nil, nil, fmt.Errorf("s3: %s: the answer broke off: %w", c.what, bare(err))
	}
	if int64(len(raw)) > c.most {
		return nil, nil, fmt.Errorf("s3: %s: the answer is longer than %d bytes", c.what, c.most)
	}
	return resp.Header, raw, nil
}

// refusal is the error of an answer that is no success.
func refusal(c call, resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, maxError)) // the status says what matters
	var e struct {
		Code string `xml:"Code"`
	}
	_ = xml.Unmarshal(raw, &e)
	switch {
	case resp.StatusCode == http.StatusNotFound && c.key != "" && c.method != http.MethodPut && e.Code != "NoSuchBucket":
		return ErrNone
	case resp.StatusCode == http.StatusPreconditionFailed:
		return ErrThere
	}
	return &Error{resp.StatusCode, word(e.Code), c.what}
}

// word keeps what a stranger's answer says to one word.
func word(s string) string {
	s = s[:min(len(s), 64)]
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return s[:i]
		}
	}
	return s
}

// bare takes the address off an error of the HTTP client.
func bare(err error) error {
	if u := new(url.Error); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// Put stores raw under a name that must not be taken. With until it is locked in compliance mode; the zero time leaves that to the bucket. Servers that know
// If-None-Match say ErrThere for a name that is taken; others make another version.
func (b *Bucket) Put(ctx context.Context, key string, raw []byte, until time.Time) (Object, error) {
	if len(raw) > maxObject {
		return Object{}, fmt.Errorf("s3: put %s: %d bytes: the most is %d", key, len(raw), maxObject)
	}
	sum, old := sha256.Sum256(raw), md5.Sum(raw) // MD5 is what older servers ask of a locked object; nothing rests on it
	h := http.Header{}
	h.Set("Content-Md5", base64.StdEncoding.EncodeToString(old[:]))
	h.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	h.Set("X-Amz-Sdk-Checksum-Algorithm", "SHA256")
	h.Set("If-None-Match", "*")
	if !until.IsZero() {
		h.Set("X-Amz-Object-Lock-Mode", "COMPLIANCE")
		h.Set("X-Amz-Object-Lock-Retain-Until-Date", until.UTC().Format(time.RFC3339))
	}
	got, _, err := b.do(ctx, call{what: "put " + key, method: http.MethodPut, key: key, header: h, body: raw, most: maxError})
	if err != nil {
		return Object{}, err
	}
	return Object{Key: key, Version: got.Get("X-Amz-Version-Id"), Size: int64(len(raw)), Digest: sum, Digested: true}, nil
}

// Head asks for what the server says of an object. An empty version is the newest.
func (b *Bucket) Head(ctx context.Context, key, version string) (Object, error) {
	h := http.Header{}
	h.Set("X-Amz-Checksum-Mode", "ENABLED")
	got, _, err := b.do(ctx, call{what: "head " + key, method: http.MethodHead, key: key, query: versioned(version), header: h})
	if err != nil {
		return Object{}, err
	}
	o := Object{Key: key, Version: got.Get("X-Amz-Version-Id"), Mode: got.Get("X-Amz-Object-Lock-Mode")}
	o.Size, _ = strconv.ParseInt(got.Get("Content-Length"), 10, 64)
	if sum, err := base64.StdEncoding.DecodeString(got.Get("X-Amz-Checksum-Sha256")); err == nil && len(sum) == len(o.Digest) {
		o.Digest, o.Digested = [sha256.Size]byte(sum), true
	}
	if until := got.Get("X-Amz-Object-Lock-Retain-Until-Date"); until != "" {
		if o.Until, err = time.Parse(time.RFC3339, until); err != nil {
			return Object{}, fmt.Errorf("s3: head %s: the date of its lock does not read", key)
		}
	}
	return o, nil
}

// Get reads an object. An empty version is the newest.
func (b *Bucket) Get(ctx context.Context, key, version string) ([]byte, error) {
	_, raw, err := b.do(ctx, call{what: "get " + key, method: http.MethodGet, key: key, query: versioned(version), most: maxObject})
	return raw, err
}

// DeleteVersion removes one version for good. A server refuses it with an *Error while the version is locked.
func (b *Bucket) DeleteVersion(ctx context.Context, key, version string) error {
	_, _, err := b.do(ctx, call{what: "delete a version of " + key, method: http.MethodDelete, key: key, query: versioned(version), most: maxError})
	return err
}

func versioned(version string) url.Values {
	if version == "" {
		return nil
	}
	return url.Values{"versionId": {version}}
}

// First gives at most n keys under prefix, the first ones in their order.
func (b *Bucket) First(ctx context.Context, prefix string, n int) ([]string, error) {
	var out []string
	err := b.list(ctx, prefix, n, func(key string) bool {
		out = append(out, key)
		return len(out) < n
	})
	return out, err
}

// List gives every key under prefix in its order, until more says no.
func (b *Bucket) List(ctx context.Context, prefix string, more func(key string) bool) error {
	return b.list(ctx, prefix, pageKeys, more)
}

func (b *Bucket) list(ctx context.Context, prefix string, page int, more func(string) bool) error {
	var token string
	for range maxMarks {
		q := url.Values{"list-type": {"2"}, "prefix": {prefix}, "max-keys": {strconv.Itoa(min(page, pageKeys))}}
		if token != "" {
			q.Set("continuation-token", token)
		}
		_, raw, err := b.do(ctx, call{what: "list", method: http.MethodGet, query: q, most: maxList})
		if err != nil {
			return err
		}
		p, err := parseList(raw, prefix)
		if err != nil {
			return err
		}
		for _, key := range p.keys {
			if !more(key) {
				return nil
			}
		}
		if p.next == "" {
			return nil
		}
		if p.next == token {
			break
		}
		token = p.next
	}
	return errors.New("s3: list: the server gives the same page without end")
}

// Versions gives each version and each marker of deletion under prefix: of one key the newest first.
func (b *Bucket) Versions(ctx context.Context, prefix string, more func(Object) bool) error {
	var key, version string
	for range maxMarks {
		q := url.Values{"versions": {""}, "prefix": {prefix}, "max-keys": {strconv.Itoa(pageKeys)}}
		if key != "" {
			q.Set("key-marker", key)
			q.Set("version-id-marker", version)
		}
		_, raw, err := b.do(ctx, call{what: "list versions", method: http.MethodGet, query: q, most: maxList})
		if err != nil {
			return err
		}
		p, err := parseVersions(raw, prefix)
		if err != nil {
			return err
		}
		for _, o := range p.objects {
			if !more(o) {
				return nil
			}
		}
		if p.nextKey == "" {
			return nil
		}
		if p.nextKey == key && p.nextVersion == version {
			break
		}
		key, version = p.nextKey, p.nextVersion
	}
	return errors.New("s3: list versions: the server gives the same page without end")
}

// Locking is what the bucket says of itself.
type Locking struct {
	Enabled bool
	Default bool // it locks each object by itself
}

// Locking asks the bucket whether it has object lock. ErrNone is a bucket that was made without.
func (b *Bucket) Locking(ctx context.Context) (Locking, error) {
	_, raw, err := b.do(ctx, call{what: "object lock of the bucket", method: http.MethodGet, query: url.Values{"object-lock": {""}}, most: maxError})
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusNotFound {
		return Locking{}, nil
	}
	if err != nil {
		return Locking{}, err
	}
	return parseLocking(raw)
}

// Hex of a digest, for people.
func Hex(d [sha256.Size]byte) string { return hex.EncodeToString(d[:]) }

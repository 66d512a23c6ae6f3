// Package bucket is a bucket with object lock in memory, for tests alone: it checks signatures, digests and locks as servers do, keeps every version, and fails on
// purpose. A real server is asked by `make interop`. It imports the standard library alone.
package bucket

import (
	"cmp"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bucket is the server of one bucket. Its fields are set before it is used.
type Bucket struct {
	Name, Region, Access, Secret string

	Now      func() time.Time // nil: the clock
	Unlocked bool             // it was made without object lock
	Lying    bool             // it says that it locks, and deletes all the same
	Loose    bool             // it does not know If-None-Match
	Default  bool             // it locks each object by itself
	Page     int              // keys of a page; 0: as many as are asked for
	// Fault may answer in its place; true says that it did. It is asked without the lock.
	Fault func(w http.ResponseWriter, r *http.Request) bool

	mu       sync.Mutex
	versions map[string][]version // oldest first
	next     int
	requests int
	down     bool
}

type version struct {
	id      string
	raw     []byte
	mode    string
	until   time.Time
	deleted bool
}

func (b *Bucket) now() time.Time {
	if b.Now != nil {
		return b.Now()
	}
	return time.Now()
}

// Break has it answer 503 to everything, or serve again. It may be called while it is used.
func (b *Bucket) Break(down bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = down
}

func (b *Bucket) broken() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.down
}

// Requests counts what was asked.
func (b *Bucket) Requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.requests
}

// Keys are those whose newest version is no marker, in order.
func (b *Bucket) Keys(prefix string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.keys(prefix)
}

func (b *Bucket) keys(prefix string) []string {
	var out []string
	for k, v := range b.versions {
		if strings.HasPrefix(k, prefix) && len(v) > 0 && !v[len(v)-1].deleted {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// Bytes are the newest version of a key.
func (b *Bucket) Bytes(key string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.versions[key]; len(v) > 0 {
		return slices.Clone(v[len(v)-1].raw)
	}
	return nil
}

// Until is the end of the lock of the newest version of a key.
func (b *Bucket) Until(key string) time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if v := b.versions[key]; len(v) > 0 {
		return v[len(v)-1].until
	}
	return time.Time{}
}

// Tamper changes what is kept under a key as nobody could from outside: f gets the oldest version, and nil removes all of them.
func (b *Bucket) Tamper(key string, f func([]byte) []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	v := b.versions[key]
	if len(v) == 0 {
		return
	}
	if v[0].raw = f(slices.Clone(v[0].raw)); v[0].raw == nil {
		delete(b.versions, key)
	}
}

// Shadow puts another version before the one there is, or with nil a marker of deletion, as somebody with the node's key can.
func (b *Bucket) Shadow(key string, raw []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(key, version{raw: raw, deleted: raw == nil})
}

func (b *Bucket) add(key string, v version) string {
	if b.versions == nil {
		b.versions = map[string][]version{}
	}
	b.next++
	v.id = fmt.Sprintf("v%06d", b.next)
	b.versions[key] = append(b.versions[key], v)
	return v.id
}

// RoundTrip lets an HTTP client ask without a network.
func (b *Bucket) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &recorder{header: http.Header{}, status: http.StatusOK}
	asked := r.Clone(r.Context())
	if asked.Body == nil {
		asked.Body = http.NoBody
	}
	asked.Host = cmp.Or(r.Host, r.URL.Host)
	defer func() { _ = asked.Body.Close() }()
	if err := w.serve(b, asked); err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: w.status, Status: http.StatusText(w.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: w.header,
		Body: io.NopCloser(w.reader()), ContentLength: int64(len(w.body)), Request: r,
	}, nil
}

// ServeHTTP implements http.Handler.
func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if b.Fault != nil && b.Fault(w, r) {
		return
	}
	if b.broken() {
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "IncompleteBody")
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	if code := b.unsigned(r, body); code != "" {
		refuse(w, http.StatusForbidden, code)
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	q := r.URL.Query()
	switch {
	case name != b.Name:
		refuse(w, http.StatusNotFound, "NoSuchBucket")
	case key == "" && r.Method == http.MethodGet && q.Has("object-lock"):
		b.locking(w)
	case key == "" && r.Method == http.MethodGet && q.Has("versions"):
		b.listVersions(w, q)
	case key == "" && r.Method == http.MethodGet:
		b.list(w, q)
	case r.Method == http.MethodPut:
		b.put(w, r, key, body)
	case r.Method == http.MethodGet || r.Method == http.MethodHead:
		b.get(w, r, key, q.Get("versionId"))
	case r.Method == http.MethodDelete:
		b.remove(w, key, q.Get("versionId"))
	default:
		refuse(w, http.StatusMethodNotAllowed, "MethodNotAllowed")
	}
}

// unsigned says what is wrong with a signature, as the text of Signature Version 4 has it: written without a look at the code that signs.
func (b *Bucket) unsigned(r *http.Request, body []byte) string {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 ")
	if !ok {
		return "AccessDenied"
	}
	part := map[string]string{}
	for _, p := range strings.Split(rest, ",") {
		k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		part[k] = v
	}
	scope := strings.SplitN(part["Credential"], "/", 2)
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	sum := sha256.Sum256(body)
	switch {
	case len(scope) != 2 || scope[0] != b.Access:
		return "InvalidAccessKeyId"
	case err != nil || b.now().Sub(at).Abs() > 15*time.Minute:
		return "RequestTimeTooSkewed"
	case scope[1] != at.Format("20060102")+"/"+b.Region+"/s3/aws4_request":
		return "AuthorizationHeaderMalformed"
	case r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]):
		return "XAmzContentSHA256Mismatch"
	}
	var head strings.Builder
	for _, name := range strings.Split(part["SignedHeaders"], ";") {
		v := strings.Join(r.Header.Values(name), ",")
		if name == "host" {
			v = r.Host
		}
		fmt.Fprintf(&head, "%s:%s\n", name, strings.TrimSpace(v))
	}
	for name := range r.Header {
		if low := strings.ToLower(name); strings.HasPrefix(low, "x-amz-") && !slices.Contains(strings.Split(part["SignedHeaders"], ";"), low) {
			return "AccessDenied" // a header that says something must be signed
		}
	}
	canonical := r.Method + "\n" + r.URL.EscapedPath() + "\n" + r.URL.RawQuery + "\n" + head.String() + "\n" + part["SignedHeaders"] + "\n" + hex.EncodeToString(sum[:])
	digest := sha256.Sum256([]byte(canonical))
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	key := mac(mac(mac(mac([]byte("AWS4"+b.Secret), at.Format("20060102")), b.Region), "s3"), "aws4_request")
	want := mac(key, "AWS4-HMAC-SHA256\n"+at.Format("20060102T150405Z")+"\n"+scope[1]+"\n"+hex.EncodeToString(digest[:]))
	if hex.EncodeToString(want) != part["Signature"] {
		return "SignatureDoesNotMatch"
	}
	return ""
}

func (b *Bucket) put(w http.ResponseWriter, r *http.Request, key string, body []byte) {
	sum, old := sha256.Sum256(body), md5.Sum(body)
	mode, day := r.Header.Get("X-Amz-Object-Lock-Mode"), r.Header.Get("X-Amz-Object-Lock-Retain-Until-Date")
	until, err := time.Parse(time.RFC3339, day)
	have := b.versions[key]
	switch {
	case r.Header.Get("X-Amz-Checksum-Sha256") != base64.StdEncoding.EncodeToString(sum[:]) || r.Header.Get("Content-Md5") != base64.StdEncoding.EncodeToString(old[:]):
		refuse(w, http.StatusBadRequest, "BadDigest")
		return
	case (mode == "") != (day == "") || mode != "" && (err != nil || mode != "COMPLIANCE" || !until.After(b.now())):
		refuse(w, http.StatusBadRequest, "InvalidArgument")
		return
	case mode != "" && b.Unlocked:
		refuse(w, http.StatusBadRequest, "InvalidRequest")
		return
	case r.Header.Get("If-None-Match") == "*" && !b.Loose && len(have) > 0 && !have[len(have)-1].deleted:
		refuse(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return
	}
	if mode == "" && b.Default {
		mode, until = "COMPLIANCE", b.now().Add(24*time.Hour)
	}
	w.Header().Set("X-Amz-Version-Id", b.add(key, version{raw: body, mode: mode, until: until}))
}

// find gives the version of that id, or the newest one.
func (b *Bucket) find(key, id string) (int, bool) {
	v := b.versions[key]
	if id == "" {
		return len(v) - 1, len(v) > 0 && !v[len(v)-1].deleted
	}
	i := slices.IndexFunc(v, func(v version) bool { return v.id == id })
	return i, i >= 0 && !v[i].deleted
}

func (b *Bucket) get(w http.ResponseWriter, r *http.Request, key, id string) {
	i, ok := b.find(key, id)
	if !ok {
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	v := b.versions[key][i]
	h := w.Header()
	h.Set("X-Amz-Version-Id", v.id)
	h.Set("Content-Length", strconv.Itoa(len(v.raw)))
	if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		sum := sha256.Sum256(v.raw)
		h.Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
	}
	if v.mode != "" {
		h.Set("X-Amz-Object-Lock-Mode", v.mode)
		h.Set("X-Amz-Object-Lock-Retain-Until-Date", v.until.UTC().Format(time.RFC3339))
	}
	if r.Method == http.MethodGet {
		_, _ = w.Write(v.raw)
	}
}

func (b *Bucket) remove(w http.ResponseWriter, key, id string) {
	if id == "" {
		b.add(key, version{deleted: true})
		w.WriteHeader(http.StatusNoContent)
		return
	}
	i := slices.IndexFunc(b.versions[key], func(v version) bool { return v.id == id })
	switch {
	case i < 0:
		refuse(w, http.StatusNotFound, "NoSuchVersion")
		return
	case b.versions[key][i].until.After(b.now()) && !b.Lying:
		refuse(w, http.StatusForbidden, "AccessDenied")
		return
	}
	b.versions[key] = slices.Delete(b.versions[key], i, i+1)
	w.WriteHeader(http.StatusNoContent)
}

func (b *Bucket) locking(w http.ResponseWriter) {
	if b.Unlocked {
		refuse(w, http.StatusNotFound, "ObjectLockConfigurationNotFoundError")
		return
	}
	rule := ""
	if b.Default {
		rule = "<Rule><DefaultRetention><Mode>COMPLIANCE</Mode><Days>1</Days></DefaultRetention></Rule>"
	}
	fmt.Fprintf(w, "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled>%s</ObjectLockConfiguration>", rule)
}

// page is how many keys of n asked for one answer has.
func (b *Bucket) page(q url.Values) int {
	n, err := strconv.Atoi(q.Get("max-keys"))
	if err != nil || n > 1000 {
		n = 1000
	}
	if b.Page > 0 {
		n = min(n, b.Page)
	}
	return n
}

func (b *Bucket) list(w http.ResponseWriter, q url.Values) {
	keys := b.keys(q.Get("prefix"))
	from, _ := slices.BinarySearch(keys, q.Get("continuation-token"))
	keys = keys[from:]
	fmt.Fprint(w, "<ListBucketResult>")
	for i, k := range keys {
		if i == b.page(q) {
			fmt.Fprintf(w, "<IsTruncated>true</IsTruncated><NextContinuationToken>%s</NextContinuationToken>", text(k))
			break
		}
		fmt.Fprintf(w, "<Contents><Key>%s</Key></Contents>", text(k))
	}
	fmt.Fprint(w, "</ListBucketResult>")
}

func (b *Bucket) listVersions(w http.ResponseWriter, q url.Values) {
	type one struct{ key, kind, id string }
	var all []one
	for k, vs := range b.versions {
		if !strings.HasPrefix(k, q.Get("prefix")) {
			continue
		}
		for _, v := range slices.Backward(vs) {
			kind := "Version"
			if v.deleted {
				kind = "DeleteMarker"
			}
			all = append(all, one{k, kind, v.id})
		}
	}
	slices.SortFunc(all, func(x, y one) int { return cmp.Or(cmp.Compare(x.key, y.key), cmp.Compare(y.id, x.id)) })
	if after := (one{key: q.Get("key-marker"), id: q.Get("version-id-marker")}); after.key != "" {
		all = slices.DeleteFunc(all, func(o one) bool { return o.key < after.key || o.key == after.key && o.id >= after.id })
	}
	fmt.Fprint(w, "<ListVersionsResult>")
	for i, o := range all {
		if i == b.page(q) {
			fmt.Fprintf(w, "<IsTruncated>true</IsTruncated><NextKeyMarker>%s</NextKeyMarker><NextVersionIdMarker>%s</NextVersionIdMarker>", text(all[i-1].key), all[i-1].id)
			break
		}
		fmt.Fprintf(w, "<%s><Key>%s</Key><VersionId>%s</VersionId></%s>", o.kind, text(o.key), o.id, o.kind)
	}
	fmt.Fprint(w, "</ListVersionsResult>")
}

func text(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // never fails
	return b.String()
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", code)
}

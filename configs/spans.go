package configs

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Spans is where the spans of calls go, in the words of OpenTelemetry.
type Spans struct {
	// Address that takes OTLP over HTTP in JSON, e.g. https://collector.bank.example/v1/traces; its host must lie in a permitted place.
	Endpoint string `yaml:"endpoint"`
	// Headers of each request, such as Authorization.
	Headers []SpansHeader `yaml:"headers,omitempty"`
	// How long one request may take; default 10s.
	Timeout Duration `yaml:"timeout,omitempty"`
	// Roots of the collector, PEM; default: the system's.
	RootsFile string `yaml:"roots_file,omitempty"`
}

// SpansHeader is one header.
type SpansHeader struct {
	// E.g. Authorization.
	Name string `yaml:"name"`
	// The whole value, by reference.
	Value Secret `yaml:"value"`
}

// SpansPart is the exporter's share; without a URL there is none.
type SpansPart struct {
	URL     string
	Headers []SpansHeaderPart
	Timeout time.Duration
	Roots   *x509.CertPool
}

// SpansHeaderPart is one header whose value is read at each request.
type SpansHeaderPart struct {
	Name  string
	Value func() (string, error)
}

func (b *builder) spans(c *Config) {
	s := b.doc.file.Spans
	if s == nil {
		return
	}
	c.Spans = SpansPart{URL: s.Endpoint, Timeout: s.Timeout.Or(10 * time.Second), Roots: b.roots("spans.roots_file", s.RootsFile)}
	// The address may hold a secret of its own, so no problem repeats it.
	u, err := url.Parse(s.Endpoint)
	switch {
	case err != nil || u.Hostname() == "" || u.Fragment != "" || u.Scheme != "https" && u.Scheme != "http":
		b.fail("spans.endpoint", "an https address without a fragment, e.g. https://collector.bank.example/v1/traces", "is no address")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		b.fail("spans.endpoint", "use https: http is taken for loopback alone", "is not protected")
	case strings.Trim(u.Path, "/") == "":
		b.fail("spans.endpoint", "most collectors take spans at /v1/traces", "has no path")
	}
	if c.Spans.Timeout < 100*time.Millisecond || c.Spans.Timeout > time.Minute {
		b.fail("spans.timeout", "between 100ms and 1m", "%s is out of range", c.Spans.Timeout)
	}
	taken := map[string]bool{}
	for i, h := range s.Headers {
		at := fmt.Sprintf("spans.headers[%d]", i)
		name := textproto.CanonicalMIMEHeaderKey(h.Name)
		switch {
		case !headerToken(h.Name):
			b.fail(at+".name", "letters, digits and dashes, e.g. Authorization", "is no name of a header")
		case name == "Content-Type" || name == "Content-Length" || name == "Host" || name == "Transfer-Encoding" || name == "Connection" || name == "User-Agent":
			b.fail(at+".name", "leave it out: the request sets it", "%s cannot be chosen", name)
		case taken[name]:
			b.fail(at+".name", "keep one of them", "%s is there twice", name)
		}
		taken[name] = true
		if h.Value.IsZero() {
			b.fail(at+".value", "add {env: NAME} or {file: PATH}", "is missing")
		}
		v := h.Value
		v.File = b.path(v.File)
		c.Spans.Headers = append(c.Spans.Headers, SpansHeaderPart{name, v.Value})
	}
}

// spansPlace warns of a collector that the fence will refuse, where the file names its address: the node runs, and not a span leaves for it.
func (b *builder) spansPlace(c *Config, s *sovereign.Snapshot) {
	u, err := url.Parse(c.Spans.URL)
	if err != nil {
		return
	}
	a, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return // none, or a name, which is judged when it is resolved
	}
	port := uint16(443)
	if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		port = uint16(n)
	}
	if r := s.Judge(sovereign.Ask{Plane: sovereign.Infrastructure, Addr: netip.AddrPortFrom(a, port), At: time.Now()}); !r.Permitted() {
		b.warn("spans.endpoint", "declare its place, and let the policy permit it", "nothing will be sent there: %s (%s)", r.Verdict, r.Ground)
	}
}

// headerToken says whether name is made of what names of headers are made of.
func headerToken(name string) bool {
	return name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
}

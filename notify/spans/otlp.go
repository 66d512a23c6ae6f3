package spans

import (
	"encoding/hex"
	"encoding/json"
	"strconv"
	"time"
)

// The JSON of an ExportTraceServiceRequest, OpenTelemetry protocol 1.x (opentelemetry/proto/trace/v1): ids in hex, 64-bit integers as text, enums as numbers.

// span kinds and status codes of the protocol.
const (
	kindInternal = 1
	kindServer   = 2
	kindClient   = 3

	statusError = 2
)

type traceID [16]byte

type spanID [8]byte

func (t traceID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, t[:]), nil }
func (s spanID) MarshalText() ([]byte, error)  { return hex.AppendEncode(nil, s[:]), nil }

// nanos is a time as the protocol writes it: Unix nanoseconds, as text.
type nanos time.Time

func (n nanos) MarshalText() ([]byte, error) {
	return strconv.AppendInt(nil, time.Time(n).UnixNano(), 10), nil
}

// attribute is one key with one value: text, a whole number or a fraction.
type attribute struct {
	Key   string `json:"key"`
	Value value  `json:"value"`
}

type value struct {
	Text  *string  `json:"stringValue,omitempty"`
	Int   *int64   `json:"intValue,omitempty,string"`
	Float *float64 `json:"doubleValue,omitempty"`
}

type status struct {
	Code int `json:"code,omitempty"`
}

// span is one span. Parent is nil at the root.
type span struct {
	Trace  traceID     `json:"traceId"`
	ID     spanID      `json:"spanId"`
	Parent *spanID     `json:"parentSpanId,omitempty"`
	Name   string      `json:"name"`
	Kind   int         `json:"kind"`
	Start  nanos       `json:"startTimeUnixNano"`
	End    nanos       `json:"endTimeUnixNano"`
	Attrs  []attribute `json:"attributes,omitempty"`
	Status status      `json:"status"`
}

// text adds a word, unless it is empty.
func (s *span) text(key, word string) {
	if word != "" {
		s.Attrs = append(s.Attrs, attribute{key, value{Text: &word}})
	}
}

func (s *span) int(key string, n int64) { s.Attrs = append(s.Attrs, attribute{key, value{Int: &n}}) }

func (s *span) float(key string, f float64) {
	s.Attrs = append(s.Attrs, attribute{key, value{Float: &f}})
}

// request is what is posted.
type request struct {
	ResourceSpans []resourceSpans `json:"resourceSpans"`
}

type resourceSpans struct {
	Resource   resource     `json:"resource"`
	ScopeSpans []scopeSpans `json:"scopeSpans"`
}

type resource struct {
	Attrs []attribute `json:"attributes"`
}

type scopeSpans struct {
	Scope scope  `json:"scope"`
	Spans []span `json:"spans"`
}

type scope struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
}

// Origin says whose spans they are, in the resource of each request.
type Origin struct {
	Tenant, Node, Software string
}

// encode writes one request.
func encode(o Origin, list []span) ([]byte, error) {
	var of span // borrowed for its attributes
	of.text("service.name", "cordon")
	of.text("service.namespace", o.Tenant)
	of.text("service.instance.id", o.Node)
	of.text("service.version", o.Software)
	return json.Marshal(request{[]resourceSpans{{resource{of.Attrs}, []scopeSpans{{scope{"cordon", o.Software}, list}}}}})
}

// rejected reads how many spans a collector did not take although it answered with success.
func rejected(body []byte) int64 {
	var answer struct {
		Partial struct {
			Rejected json.Number `json:"rejectedSpans"` // a number, or text, as JSON of protocol buffers may be
		} `json:"partialSuccess"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return 0
	}
	n, err := answer.Partial.Rejected.Int64()
	if err != nil {
		return 0
	}
	return n
}

package routing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/sovereign"
)

// Guardrail is the rule of a contact-centre flow as it is written down for DORA reviews: calls of the flow stay in Region; where they cannot, they go to
// Queue, and Fallback says who may decide otherwise.
type Guardrail struct {
	Flow     string
	Region   sovereign.Region
	Queue    string
	Fallback string // FallbackApproval or FallbackNever
}

// maxGuardrail bounds what ImportGuardrail reads.
const maxGuardrail = 64 << 10

// ImportGuardrail reads one guardrail in JSON:
//
//	{"flow_name": "...", "condition": {"type": "region_check", "target_region": "..."},
//	 "action": {"type": "route_to_queue", "queue_id": "...", "fallback_policy": "MANUAL_APPROVAL_REQUIRED"}}
//
// It is strict: unknown, missing, repeated and differently cased keys are errors, and so is a region whose code alone names several places.
func ImportGuardrail(b []byte) (Guardrail, error) {
	if len(b) > maxGuardrail {
		return Guardrail{}, fmt.Errorf("routing: guardrail: more than %d bytes", maxGuardrail)
	}
	var flow, condition, action fields
	var kind, region, act, queue, fallback string
	g := Guardrail{}
	err := errors.Join(
		flow.read("", b, "flow_name", "condition", "action"),
		flow.text("flow_name", &g.Flow),
		condition.read("condition.", flow.of["condition"], "type", "target_region"),
		condition.text("type", &kind),
		condition.text("target_region", &region),
		action.read("action.", flow.of["action"], "type", "queue_id", "fallback_policy"),
		action.text("type", &act),
		action.text("queue_id", &queue),
		action.text("fallback_policy", &fallback),
	)
	if err != nil {
		return Guardrail{}, fmt.Errorf("routing: guardrail: %w", err)
	}
	switch {
	case kind != "region_check":
		err = &Problem{"guardrail condition.type", fmt.Sprintf("%q", kind), "only region_check is known"}
	case act != "route_to_queue":
		err = &Problem{"guardrail action.type", fmt.Sprintf("%q", act), "only route_to_queue is known"}
	case fallback != FallbackApproval && fallback != FallbackNever:
		err = &Problem{"guardrail action.fallback_policy", fmt.Sprintf("%q", fallback), "use " + FallbackApproval + " or " + FallbackNever}
	default:
		g.Region, err = regionOf(region)
	}
	if err != nil {
		return Guardrail{}, err
	}
	g.Queue, g.Fallback = queue, fallback
	return g, nil
}

// regionOf takes provider:code, or a bare code that the shipped catalogue knows from one provider alone.
func regionOf(s string) (sovereign.Region, error) {
	const where = "guardrail condition.target_region"
	known := sovereign.ShippedRegions()
	if strings.Contains(s, ":") {
		r, err := sovereign.ParseRegion(s)
		if err != nil {
			return sovereign.Region{}, &Problem{where, err.Error(), "write provider:code, such as aws:eu-central-1"}
		}
		if _, ok := known.Lookup(r); !ok {
			return sovereign.Region{}, &Problem{where, fmt.Sprintf("%q is in no table, or its country is not public", s), "use a region of the catalogue" + nearest(known, s)}
		}
		return r, nil
	}
	var found []sovereign.Region
	var words []string
	for _, f := range known.Regions() {
		if f.Region.Code == s {
			found = append(found, f.Region)
			words = append(words, fmt.Sprintf("%s (%s)", f.Region, f.Country))
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return sovereign.Region{}, &Problem{where, fmt.Sprintf("%q names no region", s), "write provider:code, such as aws:eu-central-1" + nearest(known, s)}
	}
	return sovereign.Region{}, &Problem{where, fmt.Sprintf("%q names several places", s), "say which: " + strings.Join(words, ", ")}
}

func nearest(c *sovereign.Catalogue, s string) string {
	var names []string
	for _, r := range c.Nearest(s) {
		names = append(names, r.String())
	}
	if len(names) == 0 {
		return ""
	}
	return "; near are " + strings.Join(names, ", ")
}

// fields is one JSON object read by exact keys.
type fields struct {
	path string
	of   map[string]json.RawMessage
}

// read takes an object with exactly these keys, each once.
func (f *fields) read(path string, b []byte, keys ...string) error {
	f.path, f.of = path, map[string]json.RawMessage{}
	name := strings.TrimSuffix(path, ".")
	if name == "" {
		name = "the document"
	}
	if b == nil {
		return nil // its absence was told by the level above
	}
	d := json.NewDecoder(bytes.NewReader(b))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("%s is not a JSON object", name)
	}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		key, _ := t.(string)
		if !slices.Contains(keys, key) {
			return fmt.Errorf("unknown key %q; %s has %s", path+key, name, strings.Join(keys, ", "))
		}
		if _, twice := f.of[key]; twice {
			return fmt.Errorf("key %q stands there twice", path+key)
		}
		var v json.RawMessage
		if err := d.Decode(&v); err != nil {
			return fmt.Errorf("%s: %w", path+key, err)
		}
		f.of[key] = v
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("something follows after %s", name)
	}
	for _, k := range keys {
		if _, ok := f.of[k]; !ok {
			return fmt.Errorf("%q is missing", path+k)
		}
	}
	return nil
}

// text takes a string that is not empty and holds no control characters.
func (f *fields) text(key string, to *string) error {
	raw, ok := f.of[key]
	if !ok {
		return nil // told by read
	}
	if err := json.Unmarshal(raw, to); err != nil || raw[0] != '"' {
		return fmt.Errorf("%q is not a text", f.path+key)
	}
	if strings.TrimSpace(*to) == "" || strings.ContainsFunc(*to, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' }) {
		return fmt.Errorf("%q is empty or holds control characters", f.path+key)
	}
	return nil
}

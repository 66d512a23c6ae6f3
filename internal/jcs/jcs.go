// Package jcs writes JSON in the canonical form of RFC 8785 (JSON Canonicalization Scheme), so that a hash or a signature over it means one thing.
//
// It is stricter than the RFC in one point: an integer that an IEEE 754 double cannot tell from its neighbours is refused instead of rounded, because
// a rounded number would let one signature stand for two values. It imports the standard library alone.
package jcs

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Errors of input that has no canonical form. Callers see them wrapped, with the offending text.
var (
	ErrSyntax    = errors.New("not one valid JSON value")
	ErrDuplicate = errors.New("object names a member twice")
	ErrString    = errors.New("string is not valid Unicode")
	ErrNumber    = errors.New("number does not fit an IEEE 754 double")
)

// Marshal gives the canonical form of v (any value that encoding/json can marshal).
func Marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	// RFC 8785 section 3.2.2.2 escapes only what JSON demands; HTML escaping would be undone by Canonical at a cost.
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("jcs: %w", err)
	}
	return Canonical(b.Bytes())
}

// Canonical rewrites one JSON value in canonical form. Members named twice, lone surrogates, invalid UTF-8 and numbers out of range are errors
// (RFC 8785 section 3.1 demands I-JSON, RFC 7493).
func Canonical(raw []byte) ([]byte, error) {
	// Checking the grammar first lets the walk below assume well-formed input; encoding/json also bounds the depth there.
	if !json.Valid(raw) {
		return nil, fmt.Errorf("jcs: %w", ErrSyntax)
	}
	w := walker{in: raw, out: make([]byte, 0, len(raw))}
	if err := w.value(); err != nil {
		return nil, fmt.Errorf("jcs: %w", err)
	}
	return w.out, nil
}

// Sum gives the SHA-256 of the canonical form of one JSON value, in lower-case hex.
func Sum(raw []byte) (string, error) {
	text, err := Canonical(raw)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// walker copies a valid JSON text from in to out, rewriting as it goes.
type walker struct {
	in  []byte
	pos int
	out []byte
}

func (w *walker) space() {
	for w.pos < len(w.in) && strings.IndexByte(" \t\r\n", w.in[w.pos]) >= 0 {
		w.pos++
	}
}

func (w *walker) value() error {
	w.space()
	switch c := w.in[w.pos]; c {
	case '{':
		return w.object()
	case '[':
		return w.array()
	case '"':
		s, err := w.text()
		if err != nil {
			return err
		}
		w.out = appendString(w.out, s)
	case 't', 'f', 'n':
		n := 4
		if c == 'f' {
			n = 5
		}
		w.out = append(w.out, w.in[w.pos:w.pos+n]...)
		w.pos += n
	default:
		return w.number()
	}
	return nil
}

func (w *walker) array() error {
	w.pos++
	w.out = append(w.out, '[')
	for first := true; ; first = false {
		w.space()
		switch w.in[w.pos] {
		case ']':
			w.pos++
			w.out = append(w.out, ']')
			return nil
		case ',':
			w.pos++
		}
		if !first {
			w.out = append(w.out, ',')
		}
		if err := w.value(); err != nil {
			return err
		}
	}
}

// member is one name of an object with its canonical value.
type member struct {
	name  string
	key   []uint16
	value []byte
}

func (w *walker) object() error {
	w.pos++
	var members []member
	outer := w.out
	for done := false; !done; {
		w.space()
		switch w.in[w.pos] {
		case '}':
			done = true
			w.pos++
			continue
		case ',':
			w.pos++
			w.space()
		}
		name, err := w.text()
		if err != nil {
			return err
		}
		w.space()
		w.pos++ // the colon
		w.out = nil
		if err := w.value(); err != nil {
			return err
		}
		members = append(members, member{name, utf16.Encode([]rune(name)), w.out})
	}
	// RFC 8785 section 3.2.3: order by UTF-16 code units, not by bytes or code points.
	slices.SortFunc(members, func(a, b member) int { return slices.Compare(a.key, b.key) })
	w.out = append(outer, '{')
	for i, m := range members {
		if i > 0 {
			if m.name == members[i-1].name {
				return fmt.Errorf("%w: %q", ErrDuplicate, m.name)
			}
			w.out = append(w.out, ',')
		}
		w.out = appendString(w.out, m.name)
		w.out = append(w.out, ':')
		w.out = append(w.out, m.value...)
	}
	w.out = append(w.out, '}')
	return nil
}

// text reads the string literal at pos. encoding/json would put U+FFFD for what is not Unicode; here that is an error.
func (w *walker) text() (string, error) {
	start := w.pos
	w.pos++
	plain := true
	for w.in[w.pos] != '"' {
		if w.in[w.pos] == '\\' {
			plain = false
			w.pos++
		}
		w.pos++
	}
	w.pos++
	body := w.in[start+1 : w.pos-1]
	if !utf8.Valid(body) {
		return "", fmt.Errorf("%w: %q", ErrString, body)
	}
	if plain {
		return string(body), nil
	}
	return unescape(body)
}

// unescape resolves the escapes of a valid string literal's body.
func unescape(body []byte) (string, error) {
	var b strings.Builder
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			b.WriteByte(body[i])
			continue
		}
		i++
		switch c := body[i]; c {
		case 'b':
			b.WriteByte('\b')
		case 'f':
			b.WriteByte('\f')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 't':
			b.WriteByte('\t')
		case 'u':
			r := hex4(body[i+1:])
			i += 4
			if utf16.IsSurrogate(r) {
				if i+6 >= len(body) || body[i+1] != '\\' || body[i+2] != 'u' {
					return "", fmt.Errorf("%w: lone surrogate in %q", ErrString, body)
				}
				r = utf16.DecodeRune(r, hex4(body[i+3:]))
				if r == utf8.RuneError {
					return "", fmt.Errorf("%w: lone surrogate in %q", ErrString, body)
				}
				i += 6
			}
			b.WriteRune(r)
		default: // '"', '\\', '/'
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func hex4(b []byte) rune {
	n, _ := strconv.ParseUint(string(b[:4]), 16, 16) // the grammar was checked before
	return rune(n)
}

// appendString writes s as RFC 8785 section 3.2.2.2 wants it: short escapes where JSON has them, \u00xx in lower case for the other controls, and
// everything else as it is.
func appendString(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			if c < 0x20 {
				dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
				continue
			}
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}

func (w *walker) number() error {
	start := w.pos
	for w.pos < len(w.in) && strings.IndexByte("+-.0123456789eE", w.in[w.pos]) >= 0 {
		w.pos++
	}
	lit := string(w.in[start:w.pos])
	f, err := strconv.ParseFloat(lit, 64)
	if err != nil { // the grammar was checked before: only the range is left
		return fmt.Errorf("%w: %s", ErrNumber, lit)
	}
	if !strings.ContainsAny(lit, ".eE") && math.Abs(f) >= 1<<53 && !sameInteger(lit, f) {
		return fmt.Errorf("%w: integer %s would be rounded; write it as a string", ErrNumber, lit)
	}
	w.out = appendNumber(w.out, f)
	return nil
}

// sameInteger says whether lit is the shortest or the exact decimal form of f.
func sameInteger(lit string, f float64) bool {
	return lit == strconv.FormatFloat(f, 'f', -1, 64) || lit == strconv.FormatFloat(f, 'f', 0, 64)
}

// appendNumber formats f as ECMAScript's Number::toString does (RFC 8785 section 3.2.2.3): shortest digits that read back the same, plain between 1e-6
// and 1e21, else with an exponent without leading zeros.
func appendNumber(dst []byte, f float64) []byte {
	if f == 0 {
		return append(dst, '0') // also for minus zero
	}
	format := byte('f')
	if abs := math.Abs(f); abs < 1e-6 || abs >= 1e21 {
		format = 'e'
	}
	dst = strconv.AppendFloat(dst, f, format, -1, 64)
	if n := len(dst); format == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 becomes e-9
		dst = dst[:n-1]
	}
	return dst
}

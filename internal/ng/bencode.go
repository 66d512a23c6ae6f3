package ng

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Bencode, in which rtpengine is spoken to: strings, integers, lists, dictionaries. A string is a Go string, an integer an int64, a list a []any, a dictionary a
// map[string]any whose keys are written in order.

const (
	deepest = 16      // dictionaries and lists within each other
	longest = 1 << 16 // of one message, which is a datagram
)

var errBencode = errors.New("bencode")

// bencode appends a value. It panics on a type that has no form: the caller wrote it.
func bencode(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		b = strconv.AppendInt(b, int64(len(v)), 10)
		return append(append(b, ':'), v...)
	case int64:
		b = strconv.AppendInt(append(b, 'i'), v, 10)
		return append(b, 'e')
	case []any:
		b = append(b, 'l')
		for _, e := range v {
			b = bencode(b, e)
		}
		return append(b, 'e')
	case map[string]any:
		keys := make([]string, 0, len(v))
		for k := range v {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		b = append(b, 'd')
		for _, k := range keys {
			b = bencode(bencode(b, k), v[k])
		}
		return append(b, 'e')
	default:
		panic(fmt.Sprintf("bencode: %T", v))
	}
}

// bdecode reads one value that fills b.
func bdecode(b []byte) (any, error) {
	if len(b) > longest {
		return nil, fmt.Errorf("%w: %d bytes", errBencode, len(b))
	}
	v, rest, err := bvalue(b, deepest)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%w: %d bytes behind the value", errBencode, len(rest))
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func bvalue(b []byte, depth int) (v any, rest []byte, err error) {
	switch {
	case len(b) == 0:
		return nil, nil, fmt.Errorf("%w: it ends too soon", errBencode)
	case depth == 0:
		return nil, nil, fmt.Errorf("%w: deeper than %d", errBencode, deepest)
	case b[0] == 'i':
		text, rest, ok := bytes.Cut(b[1:], []byte("e"))
		n, err := strconv.ParseInt(string(text), 10, 64)
		if !ok || err != nil || strconv.FormatInt(n, 10) != string(text) {
			return nil, nil, fmt.Errorf("%w: no integer: %.20q", errBencode, b)
		}
		return n, rest, nil
	case b[0] == 'l':
		return blist(b[1:], depth-1)
	case b[0] == 'd':
		return bdict(b[1:], depth-1)
	default:
		s, rest, err := bstring(b)
		return s, rest, err
	}
}

func bstring(b []byte) (string, []byte, error) {
	text, _, ok := bytes.Cut(b[:min(len(b), 8)], []byte(":"))
	n, err := strconv.Atoi(string(text))
	if !ok || err != nil || n < 0 || strconv.Itoa(n) != string(text) {
		return "", nil, fmt.Errorf("%w: no string: %.20q", errBencode, b)
	}
	rest := b[len(text)+1:]
	if n > len(rest) {
		return "", nil, fmt.Errorf("%w: a string of %d bytes ends after %d", errBencode, n, len(rest))
	}
	return string(rest[:n]), rest[n:], nil
}

func blist(b []byte, depth int) (any, []byte, error) {
	list := []any{}
	for len(b) > 0 && b[0] != 'e' {
		v, rest, err := bvalue(b, depth)
		if err != nil {
			return nil, nil, err
		}
		list, b = append(list, v), rest
	}
	if len(b) == 0 {
		return nil, nil, fmt.Errorf("%w: a list without end", errBencode)
	}
	return list, b[1:], nil
}

func bdict(b []byte, depth int) (any, []byte, error) {
	dict := map[string]any{}
	for len(b) > 0 && b[0] != 'e' {
		k, rest, err := bstring(b)
		if err != nil {
			return nil, nil, err
		}
		if _, twice := dict[k]; twice {
			return nil, nil, fmt.Errorf("%w: key %.20q twice", errBencode, k)
		}
		if dict[k], b, err = bvalue(rest, depth); err != nil {
			return nil, nil, err
		}
	}
	if len(b) == 0 {
		return nil, nil, fmt.Errorf("%w: a dictionary without end", errBencode)
	}
	return dict, b[1:], nil
}

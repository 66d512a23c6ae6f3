package rpki

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"
)

// maxBlock is how long a signature may be in base64: a certificate with every prefix of a large network has some ten thousand bytes.
const maxBlock = 1 << 20

// Feed is a geofeed with a signature, taken apart.
type Feed struct {
	Text []byte // what the signature covers, in the canonical form: each line ends in CRLF
	cms  []byte // the signature in DER
}

// The lines that enclose a signature.
const (
	opening = "# RPKI Signature:"
	closing = "# End Signature:"
)

// Split takes a geofeed apart. It gives nil where there is no signature, and an error where something begins like one and is none: such a file is neither a signed
// feed nor an unsigned one.
//
// RFC 9632 section 5 has the text in UTF-8 with CRLF at the end of each line, no blank lines at its end, and the signature behind it as comments: base64 in lines of
// 72 characters at most between two lines that name the same range. A file that came with other line ends is brought into that form before it is judged.
func Split(file []byte) (*Feed, error) {
	if !bytes.Contains(file, []byte(opening)) {
		return nil, nil
	}
	f := &Feed{Text: make([]byte, 0, len(file))}
	var named string
	var block strings.Builder
	at := outside
	for n, line := range bytes.Split(bytes.TrimSuffix(file, []byte("\n")), []byte("\n")) {
		line = bytes.TrimSuffix(line, []byte("\r"))
		text := string(line)
		switch {
		case bytes.ContainsRune(line, '\r'):
			return nil, fmt.Errorf("rpki: line %d: a carriage return stands within it", n+1)
		case at == behind:
			return nil, fmt.Errorf("rpki: line %d: something follows the signature", n+1)
		case at == outside && strings.HasPrefix(text, opening):
			named, at = strings.TrimSpace(text[len(opening):]), inside
			if !isRange(named) {
				return nil, fmt.Errorf("rpki: line %d: %.80q is no range of addresses", n+1, named)
			}
		case at == outside:
			f.Text = append(append(f.Text, line...), '\r', '\n')
		case strings.HasPrefix(text, closing):
			if at = behind; strings.TrimSpace(text[len(closing):]) != named {
				return nil, fmt.Errorf("rpki: line %d: the signature begins for %.80q and ends for another range", n+1, named)
			}
		case !strings.HasPrefix(text, "# ") || len(text) > 2+72:
			return nil, fmt.Errorf("rpki: line %d: it is no line of a signature", n+1)
		case block.Len() > maxBlock:
			return nil, fmt.Errorf("rpki: line %d: the signature is longer than %d bytes", n+1, maxBlock)
		default:
			block.WriteString(text[2:])
		}
	}
	if err := f.complete(at, block.String()); err != nil {
		return nil, err
	}
	return f, nil
}

// Where a line of a feed stands: before the signature, in it, or behind it.
const (
	outside = iota
	inside
	behind
)

// complete reads the block, and holds the text against its form.
func (f *Feed) complete(at int, block string) (err error) {
	switch {
	case at == outside:
		return errors.New("rpki: the signature does not begin at the start of a line")
	case at == inside:
		return fmt.Errorf("rpki: the signature has no line %q: the file was cut off", closing)
	case !utf8.Valid(f.Text):
		return errors.New("rpki: the text is not in UTF-8")
	case bytes.HasSuffix(f.Text, []byte("\r\n\r\n")) || bytes.Equal(f.Text, []byte("\r\n")):
		return errors.New("rpki: the text ends in blank lines")
	}
	if f.cms, err = base64.StdEncoding.Strict().DecodeString(block); err != nil {
		return fmt.Errorf("rpki: the signature is no base64: %w", err)
	}
	return nil
}

// isRange says whether a signature is for a range that reads, in one of the forms of registries: "first - last", or a prefix.
func isRange(s string) bool {
	if _, err := netip.ParsePrefix(s); err == nil {
		return true
	}
	lo, hi, ok := strings.Cut(s, " - ")
	a, errA := netip.ParseAddr(lo)
	b, errB := netip.ParseAddr(hi)
	return ok && errA == nil && errB == nil && a.BitLen() == b.BitLen() && a.Compare(b) <= 0
}

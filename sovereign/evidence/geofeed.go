package evidence

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
)

// lines gives each line of a file without its end, with its number from 1. A line that is too long counts as wrong.
func lines(data []byte, wrong *[]Wrong, each func(n int, line string)) {
	r := bufio.NewReaderSize(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))), maxLine)
	for n := 1; ; n++ {
		b, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			note(wrong, n, fmt.Sprintf("longer than %d bytes", maxLine))
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = r.ReadSlice('\n')
			}
		} else if len(b) > 0 {
			each(n, string(bytes.TrimRight(b, "\r\n")))
		}
		if err != nil {
			return
		}
	}
}

func note(wrong *[]Wrong, line int, what string) {
	if len(*wrong) < maxWrong {
		*wrong = append(*wrong, Wrong{line, what})
	}
}

// ParseGeofeed reads a geofeed (RFC 8805): prefix, country, region, city and the deprecated postal code, of which prefix and country are taken. Lines that do not
// read are named and left out. A prefix that stands twice says nothing. An empty country asks not to be placed: it says nothing, and neither does a shorter prefix.
//
// A signature of RFC 9632 is in comments, and is not verified here: the table is an unsigned one, and signed says that there is something like one. Package rpki gives
// the text that a signature covers, and Table.Sign takes its word.
func ParseGeofeed(data []byte) (t *Table, signed bool, wrong []Wrong, err error) {
	if len(data) > MaxFile {
		return nil, false, nil, fmt.Errorf("evidence: a geofeed of %d bytes: the most is %d", len(data), MaxFile)
	}
	t = &Table{Kind: Geofeed}
	lines(data, &wrong, func(n int, line string) {
		if rest, comment := strings.CutPrefix(line, "#"); comment {
			signed = signed || strings.HasPrefix(strings.TrimSpace(rest), "RPKI Signature:")
			return
		}
		line, _, _ = strings.Cut(line, "#") // a comment may follow a record, too
		if line = strings.TrimSpace(line); line != "" {
			if what := t.geofeedLine(line); what != "" {
				note(&wrong, n, what)
			}
		}
	})
	t.seal()
	return t, signed, wrong, nil
}

// geofeedLine takes one record in, or says what is wrong with it.
func (t *Table) geofeedLine(line string) string {
	r := csv.NewReader(strings.NewReader(line))
	r.FieldsPerRecord, r.TrimLeadingSpace = -1, true
	fields, err := r.Read()
	if err != nil && !errors.Is(err, io.EOF) || len(fields) == 0 {
		return "is no record of comma-separated values"
	}
	p, err := prefix(strings.TrimSpace(fields[0]))
	if err != nil {
		return err.Error()
	}
	var code string
	if len(fields) > 1 {
		code = strings.TrimSpace(fields[1])
	}
	country, ok := alpha2(code)
	if !ok {
		return fmt.Sprintf("%.20q is no ISO 3166-1 alpha-2 code", code)
	}
	if before, twice := t.rows[p]; twice {
		before.twice = true
		t.put(p, before)
		return fmt.Sprintf("%s stands twice: neither counts", p)
	}
	if len(t.rows) >= maxRows {
		return fmt.Sprintf("more than %d prefixes", maxRows)
	}
	t.put(p, row{country: country})
	return ""
}

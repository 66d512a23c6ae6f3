// Package cdr is yesterday's calls of another system, read line by line from a CSV file of whatever shape: separator, header names and times are found out or told.
//
// A bad line is an error of its own and the next line is read all the same. It imports nothing of ours.
package cdr

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Columns are the header names of the fields; an empty one is found by its usual names.
type Columns struct{ Time, From, Caller, Called, Duration string }

// usual are the names that exports use, in the order of preference.
var usual = map[string][]string{
	"time":     {"time", "start_time", "starttime", "start", "setup_time", "calldate", "timestamp", "date", "datetime"},
	"from":     {"from", "trunk", "ingress_trunk", "ingress", "source_trunk", "src_trunk", "in_trunk", "inbound_trunk", "trunk_id"},
	"caller":   {"caller", "calling", "calling_number", "src", "ani", "cli", "a_number", "from_number", "source"},
	"called":   {"called", "called_number", "dst", "callee", "dnis", "b_number", "to_number", "destination", "to"},
	"duration": {"duration", "billsec", "talk_time", "seconds", "call_duration", "duration_s"},
}

// Call is one line. Time and Duration are zero, and From and Caller empty, where the file has no such column.
type Call struct {
	Line     int
	At       time.Time
	From     string
	Caller   string
	Called   string
	Duration time.Duration
}

// BadLine is a line that could not be read. It never holds the line itself: numbers of people stand there.
type BadLine struct {
	Line int
	What string
}

func (e *BadLine) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.What) }

// maxLine bounds one line, in bytes.
const maxLine = 64 << 10

// Reader reads calls one after the other.
type Reader struct {
	in    *bufio.Reader
	line  int
	comma rune
	width int
	index map[string]int
}

// NewReader reads the header. Called must be there; the separator is the one that the header has most of.
func NewReader(r io.Reader, c Columns) (*Reader, error) {
	d := &Reader{in: bufio.NewReaderSize(r, maxLine), index: map[string]int{}}
	text, err := d.text()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("the file is empty")
		}
		return nil, fmt.Errorf("cdr: header: %w", err)
	}
	text = strings.TrimPrefix(text, "\ufeff")
	d.comma = ','
	for _, sep := range ";\t|" {
		if strings.Count(text, string(sep)) > strings.Count(text, string(d.comma)) {
			d.comma = sep
		}
	}
	header, err := d.split(text)
	if err != nil {
		return nil, fmt.Errorf("cdr: header: %w", err)
	}
	d.width = len(header)
	for i := range header {
		header[i] = strings.ToLower(strings.ReplaceAll(strings.TrimSpace(header[i]), " ", "_"))
	}
	for field, told := range map[string]string{"time": c.Time, "from": c.From, "caller": c.Caller, "called": c.Called, "duration": c.Duration} {
		if err := d.find(field, told, header); err != nil {
			return nil, err
		}
	}
	if _, ok := d.index["called"]; !ok {
		return nil, fmt.Errorf("cdr: header: no column of called numbers among %s", strings.Join(header, ", "))
	}
	return d, nil
}

func (d *Reader) find(field, told string, header []string) error {
	names := usual[field]
	if told != "" {
		names = []string{strings.ToLower(strings.ReplaceAll(told, " ", "_"))}
	}
	for _, n := range names {
		if i := slices.Index(header, n); i >= 0 {
			d.index[field] = i
			return nil
		}
	}
	if told != "" {
		return fmt.Errorf("cdr: header: no column %q among %s", told, strings.Join(header, ", "))
	}
	return nil
}

// Has says whether the file has a column of that field: time, from, caller, called, duration.
func (d *Reader) Has(field string) bool { _, ok := d.index[field]; return ok }

// Next gives the next call: io.EOF after the last, a *BadLine for one that cannot be read, after which Next goes on.
func (d *Reader) Next() (Call, error) {
	for {
		text, err := d.text()
		if err != nil {
			return Call{}, err
		}
		if strings.TrimSpace(text) != "" {
			return d.call(text)
		}
	}
}

func (d *Reader) call(text string) (Call, error) {
	cells, err := d.split(text)
	if err != nil {
		return Call{}, &BadLine{d.line, "no CSV"}
	}
	if len(cells) != d.width {
		return Call{}, &BadLine{d.line, fmt.Sprintf("%d fields, the header has %d", len(cells), d.width)}
	}
	cell := func(field string) string {
		if i, ok := d.index[field]; ok {
			return strings.TrimSpace(cells[i])
		}
		return ""
	}
	c := Call{Line: d.line, From: cell("from"), Caller: number(cell("caller")), Called: number(cell("called"))}
	if c.Called == "" {
		return Call{}, &BadLine{d.line, "no called number"}
	}
	if s := cell("time"); s != "" {
		if c.At, err = moment(s); err != nil {
			return Call{}, &BadLine{d.line, err.Error()}
		}
	}
	if s := cell("duration"); s != "" {
		if c.Duration, err = length(s); err != nil {
			return Call{}, &BadLine{d.line, err.Error()}
		}
	}
	return c, nil
}

// text reads one line. What is longer than a line may be is skipped to its end.
func (d *Reader) text() (string, error) {
	d.line++
	b, err := d.in.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		for errors.Is(err, bufio.ErrBufferFull) {
			_, err = d.in.ReadSlice('\n')
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return "", err
		}
		return "", &BadLine{d.line, "longer than 64 KiB"}
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(b) == 0) {
		return "", err
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

func (d *Reader) split(text string) ([]string, error) {
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = d.comma, true, -1
	return r.Read()
}

// number takes the user part of an address, without what people put between digits.
func number(s string) string {
	s = strings.TrimPrefix(strings.TrimPrefix(strings.Trim(s, "<>"), "sips:"), "sip:")
	s = strings.TrimPrefix(s, "tel:")
	if i := strings.IndexAny(s, "@;"); i >= 0 {
		s = s[:i]
	}
	if strings.Trim(s, "+0123456789 ()-./") != "" {
		return s // a user, and no number
	}
	return strings.NewReplacer(" ", "", "(", "", ")", "", "-", "", ".", "", "/", "").Replace(s)
}

var layouts = []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999", "2006-01-02T15:04:05.999999999", "2006-01-02 15:04", "02.01.2006 15:04:05", "02.01.2006 15:04", "2006/01/02 15:04:05"}

// moment reads a time; without a zone it is UTC. A bare number is seconds since 1970, or milliseconds if it is long.
func moment(s string) (time.Time, error) {
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil {
			return t.UTC(), nil
		}
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		if n > 1e11 {
			return time.UnixMilli(n).UTC(), nil
		}
		return time.Unix(n, 0).UTC(), nil
	}
	return time.Time{}, errors.New("the time cannot be read")
}

// length reads seconds, hh:mm:ss or mm:ss.
func length(s string) (time.Duration, error) {
	total := 0.0
	parts := strings.Split(s, ":")
	for _, p := range parts {
		v, err := strconv.ParseFloat(p, 64)
		if err != nil || !(v >= 0 && v < 1e7) || len(parts) > 3 || math.IsNaN(v) {
			return 0, errors.New("the duration cannot be read")
		}
		total = total*60 + v
	}
	if total > 1e9 {
		return 0, errors.New("the duration cannot be read")
	}
	return time.Duration(total * float64(time.Second)), nil
}

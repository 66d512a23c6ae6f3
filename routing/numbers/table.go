package numbers

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Table says which party ranges of numbers belong to. It is immutable.
type Table struct {
	lengths []int // of the entries' numbers, longest first: the longest match counts
	entries map[int][]Entry
	size    int
}

// Entry is one range of numbers of the same length, both ends included, and everything that begins with one of them. Numbers are digits without a plus.
type Entry struct {
	First, Last uint64
	Digits      int
	Party       string
	From, Until time.Time // valid from and before; zero is open
	Line        int
}

// maxRows bounds a table: all the numbers of a large bank fit many times.
const maxRows = 1 << 20

// ErrEmpty is a table without a row: nothing may hang on a file that somebody emptied by mistake.
var ErrEmpty = errors.New("the table has no row")

// ReadTable reads CSV. The first line names the columns: prefix, or first and last, then party; valid_from and valid_until (YYYY-MM-DD, the last day included) may
// follow. The error joins one for each bad line, with its number.
func ReadTable(r io.Reader) (*Table, error) {
	in := csv.NewReader(r)
	in.TrimLeadingSpace, in.ReuseRecord, in.FieldsPerRecord, in.Comment = true, true, 0, '#'
	head, err := in.Read()
	if errors.Is(err, io.EOF) {
		return nil, ErrEmpty
	}
	if err != nil {
		return nil, fmt.Errorf("line 1: %w", err)
	}
	c, err := columnsOf(head)
	if err != nil {
		return nil, err
	}
	t := &Table{entries: map[int][]Entry{}}
	var bad []error
	for len(bad) < 20 {
		rec, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		line, _ := in.FieldPos(0)
		var e Entry
		if err == nil {
			e, err = c.entry(rec)
		}
		if err == nil && t.size >= maxRows {
			return nil, fmt.Errorf("line %d: a table holds at most %d rows", line, maxRows)
		}
		if err != nil {
			var syntax *csv.ParseError
			if errors.As(err, &syntax) {
				line, err = syntax.Line, syntax.Err
			}
			bad = append(bad, fmt.Errorf("line %d: %w", line, err))
			continue
		}
		e.Line = line
		t.entries[e.Digits] = append(t.entries[e.Digits], e)
		t.size++
	}
	bad = append(bad, t.index()...)
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	if t.size == 0 {
		return nil, ErrEmpty
	}
	return t, nil
}

// columns are where a table keeps what; -1 is nowhere.
type columns struct{ prefix, first, last, party, from, until int }

func columnsOf(head []string) (columns, error) {
	c := columns{-1, -1, -1, -1, -1, -1}
	at := map[string]*int{"prefix": &c.prefix, "first": &c.first, "last": &c.last, "party": &c.party, "valid_from": &c.from, "valid_until": &c.until}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(name, "\ufeff")))
		p, known := at[name]
		switch {
		case !known:
			return c, fmt.Errorf("line 1: unknown column %q: the columns are prefix, or first and last, then party, valid_from, valid_until", name)
		case *p >= 0:
			return c, fmt.Errorf("line 1: column %q stands there twice", name)
		}
		*p = i
	}
	if c.party < 0 || (c.prefix < 0) == (c.first < 0) || (c.first < 0) != (c.last < 0) {
		return c, errors.New("line 1: want the columns prefix, or first and last, and party")
	}
	return c, nil
}

func (c columns) entry(rec []string) (Entry, error) {
	e := Entry{Party: strings.TrimSpace(rec[c.party])}
	if e.Party == "" {
		return e, errors.New("no party is named")
	}
	first, last := c.first, c.last
	if c.prefix >= 0 {
		first, last = c.prefix, c.prefix
	}
	var n int
	var err error
	if e.First, e.Digits, err = digits(rec[first]); err != nil {
		return e, err
	}
	if e.Last, n, err = digits(rec[last]); err != nil {
		return e, err
	}
	if n != e.Digits || e.Last < e.First {
		return e, fmt.Errorf("%s to %s is no range: both have as many digits, the lower one first", rec[first], rec[last])
	}
	if e.From, err = day(rec, c.from, 0); err != nil {
		return e, err
	}
	if e.Until, err = day(rec, c.until, 1); err != nil {
		return e, err
	}
	if !e.Until.IsZero() && !e.From.Before(e.Until) {
		return e, errors.New("valid_until lies before valid_from")
	}
	return e, nil
}

func digits(s string) (uint64, int, error) {
	n := strings.TrimPrefix(Clean(strings.TrimSpace(s)), "+")
	v, err := strconv.ParseUint(n, 10, 64)
	if err != nil || len(n) > longest {
		return 0, 0, fmt.Errorf("%q is no number: want a plus and up to %d digits", s, longest)
	}
	return v, len(n), nil
}

func day(rec []string, column, plus int) (time.Time, error) {
	if column < 0 || strings.TrimSpace(rec[column]) == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, strings.TrimSpace(rec[column]))
	if err != nil {
		return t, fmt.Errorf("%q is no day: want YYYY-MM-DD", rec[column])
	}
	return t.AddDate(0, 0, plus), nil
}

// index sorts the entries and finds those that contradict each other.
func (t *Table) index() (bad []error) {
	for n, list := range t.entries {
		t.lengths = append(t.lengths, n)
		slices.SortFunc(list, func(a, b Entry) int {
			return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last), a.From.Compare(b.From))
		})
		for i := 1; i < len(list); i++ {
			a, b := list[i-1], list[i]
			switch same := a.First == b.First && a.Last == b.Last; {
			case !same && b.First <= a.Last:
				bad = append(bad, fmt.Errorf("line %d: its range overlaps that of line %d", max(a.Line, b.Line), min(a.Line, b.Line)))
			case same && (a.Until.IsZero() || b.From.Before(a.Until)):
				bad = append(bad, fmt.Errorf("line %d: its range stands in line %d for the same days", max(a.Line, b.Line), min(a.Line, b.Line)))
			}
		}
	}
	slices.SortFunc(t.lengths, func(a, b int) int { return cmp.Compare(b, a) })
	return bad
}

// Size is the number of rows.
func (t *Table) Size() int { return t.size }

// Parties are the parties that the table names, each once, sorted.
func (t *Table) Parties() []string {
	var out []string
	for _, list := range t.entries {
		for _, e := range list {
			if i, found := slices.BinarySearch(out, e.Party); !found {
				out = slices.Insert(out, i, e.Party)
			}
		}
	}
	return out
}

// Find gives the entry of a number at a time: the longest one that it begins with. A nil Table has none.
func (t *Table) Find(number string, at time.Time) (Entry, bool) {
	if t == nil {
		return Entry{}, false
	}
	number = strings.TrimPrefix(number, "+")
	for _, n := range t.lengths {
		if n > len(number) {
			continue
		}
		v, err := strconv.ParseUint(number[:n], 10, 64)
		if err != nil {
			continue
		}
		list := t.entries[n]
		i, _ := slices.BinarySearchFunc(list, v, func(e Entry, v uint64) int {
			if e.First > v {
				return 1
			}
			return -1 // behind all that begin at v or before
		})
		for i--; i >= 0 && v >= list[i].First && v <= list[i].Last; i-- {
			if e := list[i]; !at.Before(e.From) && (e.Until.IsZero() || at.Before(e.Until)) {
				return e, true
			}
		}
	}
	return Entry{}, false
}

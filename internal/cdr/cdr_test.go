package cdr

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// all reads everything as words.
func all(t *testing.T, text string, c Columns) []string {
	t.Helper()
	r, err := NewReader(strings.NewReader(text), c)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	for {
		call, err := r.Next()
		var bad *BadLine
		switch {
		case errors.Is(err, io.EOF):
			return out
		case errors.As(err, &bad):
			out = append(out, bad.Error())
		case err != nil:
			t.Fatal(err)
		default:
			out = append(out, fmt.Sprintf("%d %s %s>%s by %s for %v", call.Line, call.At.Format("2006-01-02T15:04:05"), call.Caller, call.Called, call.From, call.Duration))
		}
	}
}

func TestCallsOfManyShapes(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		cols Columns
		want string
	}{
		"plain":          {"time,trunk,caller,called,duration\n2026-11-20T08:00:00Z,a,+4930111,+4969222,61\n", Columns{}, "2 2026-11-20T08:00:00 +4930111>+4969222 by a for 1m1s"},
		"excel":          {"\ufeffCalldate;Ingress Trunk;SRC;DST;Billsec\r\n20.11.2026 08:00:00;a;+49 (30) 111;+49 69/222;00:01:01\r\n", Columns{}, "2 2026-11-20T08:00:00 +4930111>+4969222 by a for 1m1s"},
		"tabs and uris":  {"start\tfrom\tani\tdnis\n1763625600\ta\tsip:+4930111@x;user=phone\t<sip:+4969222@y>\n", Columns{}, "2 2025-11-20T08:00:00 +4930111>+4969222 by a for 0s"},
		"own names":      {"x|y\nalice|+4969\n", Columns{Caller: "X", Called: "y"}, "2 0001-01-01T00:00:00 alice>+4969 by  for 0s"},
		"quoted":         {"called,from\n\"+49,69\",\"a \"\"b\"\"\"\n", Columns{}, `2 0001-01-01T00:00:00 >+49,69 by a "b" for 0s`},
		"no last end":    {"called\n+4969", Columns{}, "2 0001-01-01T00:00:00 >+4969 by  for 0s"},
		"blank lines":    {"called\n\n  \n+4969\n", Columns{}, "4 0001-01-01T00:00:00 >+4969 by  for 0s"},
		"bad lines":      {"time,called,duration\nnever,1,1\n2026-11-20T08:00:00Z,,1\n2026-11-20T08:00:00Z,1\n2026-11-20T08:00:00Z,1,-4\n,1,1:2:3:4\n,7,1:30\n", Columns{}, "line 2: the time cannot be read / line 3: no called number / line 4: 2 fields, the header has 3 / line 5: the duration cannot be read / line 6: the duration cannot be read / 7 0001-01-01T00:00:00 >7 by  for 1m30s"},
		"a long line":    {"called\n" + strings.Repeat("1", 2*maxLine) + "\n2\n", Columns{}, "line 2: longer than 64 KiB / 3 0001-01-01T00:00:00 >2 by  for 0s"},
		"nothing":        {"", Columns{}, "cdr: header: the file is empty"},
		"no such column": {"a,b\n", Columns{}, "cdr: header: no column of called numbers among a, b"},
		"told wrongly":   {"called\n", Columns{Time: "when"}, `cdr: header: no column "when" among called`},
	} {
		if got := strings.Join(all(t, c.text, c.cols), " / "); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add("time,trunk,caller,called,duration\n2026-11-20T08:00:00Z,a,+4930111,+4969222,61\n")
	f.Add("called;from\n\"1;2\nx;\"\n")
	f.Add("\ufeffdst\t\"\n\n\x00\t")
	f.Fuzz(func(t *testing.T, text string) {
		r, err := NewReader(strings.NewReader(text), Columns{})
		if err != nil {
			return
		}
		last := 1
		for {
			c, err := r.Next()
			var bad *BadLine
			line := c.Line
			switch {
			case errors.Is(err, io.EOF):
				return
			case errors.As(err, &bad):
				line = bad.Line
			case err != nil:
				t.Fatal(err)
			case c.Called == "" || c.Duration < 0 || c.Duration > 1e9*time.Second:
				t.Fatalf("%+v", c)
			}
			if line <= last {
				t.Fatalf("line %d after %d", line, last)
			}
			last = line
		}
	})
}

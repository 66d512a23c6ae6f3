package trace

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// The widths of a ladder, in characters.
const (
	offsetWide = 9
	rungWide   = 40
)

// Head writes the head of a ladder: what the call is called, and the columns.
func Head(w io.Writer, t Trace) error {
	mask := "masked"
	if !t.Masked {
		mask = "NOT masked"
	}
	_, err := fmt.Fprintf(w, "call %s  session %s\nbegan %s, %s\n\n%*s  %-*s%s%*s\n", t.Ref, t.Session, t.Began.UTC().Format("2006-01-02T15:04:05.000Z"), mask,
		offsetWide, "seconds", rungWide, parties(t.Left, "trunk"), "cordon", rungWide, parties(t.Right, "group"))
	return err
}

func parties(names []string, none string) string {
	if len(names) == 0 {
		return none
	}
	return cut(strings.Join(names, ", "), rungWide-2)
}

// Rungs writes one line for each event.
func Rungs(w io.Writer, t Trace) error {
	for _, e := range t.Events {
		if _, err := fmt.Fprintln(w, rung(t, e)); err != nil {
			return err
		}
	}
	return nil
}

// rung draws one event: an arrow between the edge and the side that it concerns, or a note across.
func rung(t Trace, e Event) string {
	offset := fmt.Sprintf("%*s", offsetWide, Millis(e.At.Sub(t.Began)))
	if e.Kind == "note" {
		return offset + "  -- " + printable(e.Line)
	}
	text := e.Line
	if e.CSeq != "" {
		text += " (" + e.CSeq + ")"
	}
	if e.SDP {
		text += " SDP"
	}
	text = " " + cut(printable(text), rungWide-8) + " "
	line := strings.Repeat("-", rungWide-4-utf8.RuneCountInString(text))
	arrow := "-" + text + line + ">"
	if e.Out == (e.Side == Left) { // toward the left column
		arrow = "<" + text + line + "-"
	}
	if e.Side == Left {
		return fmt.Sprintf("%s  |%s|%*s|", offset, arrow, rungWide, "")
	}
	return fmt.Sprintf("%s  |%*s|%s|", offset, rungWide-2, "", " "+arrow+" ")
}

func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "~"
}

// printable keeps what a peer wrote from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7F || r >= 0x80 && r < 0xA0 || r == utf8.RuneError {
			return '?'
		}
		return r
	}, s)
}

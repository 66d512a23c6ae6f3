package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// human writes a word of the register without its underlines.
func human(word string) string { return strings.ReplaceAll(word, "_", " ") }

// words are texts in a row.
func words(list []Text) string {
	out := make([]string, len(list))
	for k, t := range list {
		out[k] = string(t)
	}
	return strings.Join(out, ", ")
}

// seconds writes a span for people: "350 ms", "4.2 s", "2 min 5 s", "3 h 10 min".
func seconds(s *float64) string {
	if s == nil {
		return notRecorded
	}
	return span(time.Duration(*s * float64(time.Second)))
}

func millis(ms *int64) string {
	if ms == nil {
		return notRecorded
	}
	return span(time.Duration(*ms) * time.Millisecond)
}

func span(d time.Duration) string {
	pair := func(a time.Duration, one string, b time.Duration, other string) string {
		if b == 0 {
			return fmt.Sprintf("%d %s", a, one)
		}
		return fmt.Sprintf("%d %s %d %s", a, one, b, other)
	}
	switch {
	case d == math.MinInt64: // has no positive counterpart
		return "-" + span(math.MaxInt64)
	case d < 0:
		return "-" + span(-d)
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return strconv.FormatFloat(d.Round(100*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	case d < time.Hour:
		d = d.Round(time.Second)
		return pair(d/time.Minute, "min", d%time.Minute/time.Second, "s")
	}
	d = d.Round(time.Minute)
	return pair(d/time.Hour, "h", d%time.Hour/time.Minute, "min")
}

// hours writes a limit of the register. None may be lost where it is 0.
func hours(h *float64) string {
	if h == nil {
		return notRecorded
	}
	if *h == 0 {
		return "none"
	}
	return span(time.Duration(*h * float64(time.Hour)))
}

func count(n *int) string {
	if n == nil {
		return notRecorded
	}
	return strconv.Itoa(*n)
}

func decimal(v *float64, unit string) string {
	if v == nil {
		return notRecorded
	}
	return strconv.FormatFloat(*v, 'f', -1, 64) + unit
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

func counted(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// paragraph joins what was written over several lines of a file.
func paragraph(t Text) string { return strings.Join(strings.Fields(string(t)), " ") }

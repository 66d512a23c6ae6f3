package strict

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Problem is one thing that is wrong in a file, where it stands, and what to do about it.
type Problem struct {
	File string
	Line int // 1-based; 0 when the thing is missing from the file
	Path string
	What string
	Hint string
}

func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.What)
	if p.Hint != "" {
		b.WriteString("\n    hint: " + p.Hint)
	}
	return b.String()
}

// Problems is every error of one file, in the order of its lines.
type Problems []Problem

func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].Error()
	}
	return strings.Join(lines, "\n")
}

// Sorted gives them in the order of their lines, and changes them to it.
func (p Problems) Sorted() Problems {
	sort.SliceStable(p, func(i, j int) bool { return p[i].Line < p[j].Line })
	return p
}

// Nearest gives the candidate that is closest to s, if it is close enough to be a slip of the finger; "" when none is.
func Nearest(s string, candidates []string) string {
	best, bestD := "", len(s)/2+2
	for _, c := range candidates {
		if d := distance(s, c); d < bestD {
			best, bestD = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance of two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diag := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diag
			if a[i-1] != b[j-1] {
				cost++
			}
			diag = row[j]
			row[j] = min(cost, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}

// Words joins words for a hint.
func Words(w []string) string { return strings.Join(w, ", ") }

// Duration is written with its unit, "4s". Nanoseconds.
type Duration time.Duration

// UnmarshalYAML reads "4s". A bare number is refused, because nobody knows its unit.
func (d *Duration) UnmarshalYAML(n *yaml.Node) error {
	v, err := time.ParseDuration(n.Value)
	if err != nil || v < 0 {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no duration: write it with its unit, like 500ms, 4s, 10m, 72h", n.Line, n.Value)}}
	}
	*d = Duration(v)
	return nil
}

// MarshalYAML writes it back the same way.
func (d Duration) MarshalYAML() (any, error) { return time.Duration(d).String(), nil }

// Or gives d, or def when it was not set.
func (d Duration) Or(def time.Duration) time.Duration {
	if d == 0 {
		return def
	}
	return time.Duration(d)
}

// Percent is a share, written "5%" or "0.5%". Parts of 10,000.
type Percent int

// UnmarshalYAML reads "5%". A bare number is refused, because it could mean a share of 1.
func (p *Percent) UnmarshalYAML(n *yaml.Node) error {
	digits, found := strings.CutSuffix(n.Value, "%")
	f, err := strconv.ParseFloat(digits, 64)
	if !found || err != nil || !(f >= 0 && f <= 100) {
		return &yaml.TypeError{Errors: []string{fmt.Sprintf("line %d: %q is no share: write it like 5%% or 0.5%%, at most 100%%", n.Line, n.Value)}}
	}
	*p = Percent(f*100 + 0.5)
	return nil
}

// MarshalYAML writes it back the same way.
func (p Percent) MarshalYAML() (any, error) { return p.String(), nil }

// Of gives it as a share of 1.
func (p Percent) Of() float64 { return float64(p) / 10_000 }

func (p Percent) String() string { return strconv.FormatFloat(float64(p)/100, 'f', -1, 64) + "%" }

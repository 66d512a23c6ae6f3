package page

import (
	"bytes"
	"flag"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

// whole is a document with a block of each kind, and with letters of many tongues.
func whole() Document {
	start := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	line := Timeline{
		From: start, To: start.Add(3 * time.Hour),
		Lanes: []Lane{
			{"incident", []Span{{start, start.Add(140 * time.Minute), Bad, "02:20"}}},
			{"answer", []Span{{start.Add(time.Hour), start.Add(3 * time.Hour), Soft, ""}, {start.Add(time.Hour), start.Add(70 * time.Minute), Good, "met"}}},
		},
		Marks: []Mark{{start.Add(time.Minute), "aware", Plain}, {start.Add(2 * time.Minute), "told", Warn}},
	}
	return Document{
		Kind: "Report", Title: "Größe & Façade <1>", About: "Česká spořitelna · Ελλάδα · България · Łódź", Lead: Callout{Good, "Nothing.", "All is well: € 5."},
		Made: start, Maker: "cordon test", Foot: "bank/edge-1, checkpoint of 6 entries, root \"cm9vdA==\"",
		Blocks: []Block{
			Tiles{{"calls", "12345", Plain}, {"violations", "1", Bad}},
			Facts{{"log", "bank/edge-1"}, {"root", strings.Repeat("ab12", 20)}},
			Heading{Text: "First & last"},
			Table{Columns: []Column{{Name: "name", Share: 40}, {Name: "figure", Right: true}, {Name: "at", Whole: true}, {Name: "state"}}, Rows: [][]Cell{
				{{Text: "<b>", Notes: []string{"impactAssessment.serviceImpact.isTemporary", ""}}, {Text: "7"}, {Text: "2026-11-20"}, {Text: "met", Tone: Good, Tag: true}},
				{{Text: "open", Tone: Bad}, {}, {}, {}},
			}},
			Heading{Text: "Nothing here", Level: 3},
			Table{Columns: Columns("a"), None: "None."},
			Paragraph("A paragraph."),
			Callout{Tone: Warn, Text: "Mind it."},
			line.Figure("Three hours.", "It lasted 02:20."),
			List{"One.", "Two."},
			Code("line 1\n  line 2\n"),
		},
	}
}

func TestGolden(t *testing.T) {
	d := whole()
	for name, write := range map[string]func(io.Writer) error{"whole.html": d.HTML, "whole.txt": d.Text} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || !bytes.Equal(b.Bytes(), want) {
			t.Errorf("%s is another one (%v):\n%s", name, err, b.String())
		}
	}
}

// TestNothingIsFetched: no page names anything to fetch or to run, has a style beside the one sheet, or lets text be markup; headings are in order.
func TestNothingIsFetched(t *testing.T) {
	d := whole()
	d.Foot = `</style><script>alert(1)</script>"; } body { background: url(http://evil.example)`
	var b bytes.Buffer
	if err := d.HTML(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, word := range []string{"<script", "<link", "<img", "<b>", "src=", "href=", "style=", "http://", "https://", "url(", "@import", "unsafe"} {
		if strings.Contains(strings.ReplaceAll(text, "url(http://evil.example)</p>", ""), word) {
			t.Errorf("the page holds %q", word)
		}
	}
	if strings.Count(text, "<style>") != 1 || strings.Count(text, "</style>") != 1 || !strings.Contains(text, "<html lang=\"en\">") || !strings.Contains(text, "default-src 'none'") {
		t.Error("the page has not the one sheet, the language or the policy")
	}
	last := byte('0')
	for _, m := range regexp.MustCompile(`<h([1-6])`).FindAllStringSubmatch(text, -1) {
		if level := m[1][0]; level > last+1 {
			t.Errorf("a heading of level %c stands below one of level %c", level, last)
		} else {
			last = level
		}
	}
}

// TestContrast: WCAG 2.2, 1.4.3: text has 4.5 to 1 to everything that may be behind it, on screens by day and by night.
// What others wrote moves no cursor, turns no writing around, and makes no line of its own.
func TestForeignTextStaysText(t *testing.T) {
	const evil = "A\x1b[2J\u009b1m\u202egnp\nPassed. 9 of 9\tyes\r\x07"
	d := Document{Title: evil, About: evil, Lead: Callout{Word: evil, Text: evil}, Blocks: []Block{
		Heading{Text: evil},
		Tiles{{Name: evil, Value: evil}},
		Facts{{evil, evil}},
		Table{Columns: Columns(evil), Rows: [][]Cell{{{Text: evil, Notes: []string{evil}}}}},
		Table{None: evil},
		Figure{Alt: evil},
		Paragraph(evil),
		List{evil},
		Code(evil),
	}}
	for name, write := range map[string]func(io.Writer) error{"text": d.Text, "html": d.HTML} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"\x1b", "\u009b", "\u202e", "\r", "\x07"} {
			if strings.Contains(b.String(), bad) {
				t.Errorf("%s: %q is left", name, bad)
			}
		}
		if n := strings.Count(b.String(), "\nPassed."); name == "text" && n != 3 { // a paragraph, a note and code may have lines
			t.Errorf("%d lines were made:\n%s", n, b.String())
		}
	}
}

func TestContrast(t *testing.T) {
	luminance := func(c colour) float64 {
		part := func(v colour) float64 {
			f := float64(v&255) / 255
			if f <= 0.04045 {
				return f / 12.92
			}
			return math.Pow((f+0.055)/1.055, 2.4)
		}
		return 0.2126*part(c>>16) + 0.7152*part(c>>8) + 0.0722*part(c)
	}
	for name, s := range map[string]scheme{"light": light(), "dark": dark()} {
		for text := Plain; text <= Bad; text++ {
			for _, behind := range []colour{s.paper, s.wash, s.behind(text)} {
				a, b := luminance(s.of(text)), luminance(behind)
				if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < 4.5 {
					t.Errorf("%s: %s on %s has %.2f", name, text.name(), behind, ratio)
				}
			}
		}
	}
}

// TestTimelineStaysInside: whatever the times are, no shape leaves the figure, and names of moments do not cover each other.
func TestTimelineStaysInside(t *testing.T) {
	at := time.Date(2026, 1, 31, 23, 59, 0, 0, time.UTC)
	for _, length := range []time.Duration{0, time.Second, 90 * time.Second, 5 * time.Hour, 72 * time.Hour, 31 * 24 * time.Hour, 3 * 365 * 24 * time.Hour} {
		line := Timeline{From: at, To: at.Add(length), Lanes: []Lane{{"l", []Span{{at.Add(-time.Hour), at.Add(2 * length), Bad, "a label"}}}}}
		for k := range 12 {
			line.Marks = append(line.Marks, Mark{at.Add(length * time.Duration(k) / 11), "a moment", Plain})
		}
		f := line.Figure("", "")
		var names []Label
		for _, s := range f.Shapes {
			switch s := s.(type) {
			case Bar:
				if s.X < 0 || s.W <= 0 || s.X+s.W > f.Width || s.Y+s.H > f.Height {
					t.Errorf("%v: %+v is outside of %v x %v", length, s, f.Width, f.Height)
				}
			case Label:
				if s.X < 0 || s.X > f.Width || s.Y > f.Height {
					t.Errorf("%v: %+v is outside", length, s)
				}
				for _, o := range names {
					if s.Text == o.Text && s.Y == o.Y && math.Abs(s.X-o.X) < 30 {
						t.Errorf("%v: %+v covers %+v", length, s, o)
					}
				}
				if s.Text == "a moment" {
					names = append(names, s)
				}
			}
		}
		if n := len(f.Shapes); n > 80 {
			t.Errorf("%v: %d shapes", length, n)
		}
	}
}

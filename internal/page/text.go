package page

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"unicode"
)

// tame is foreign text without what a terminal or a browser obeys instead of showing: controls, and signs that turn the direction of writing. Lines stay.
func tame(text string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// inLine is tame text in one line: what others wrote makes no line of its own where a field is.
func inLine(text string) string { return strings.NewReplacer("\n", " ", "\t", " ").Replace(tame(text)) }

// Text writes the document for a terminal.
func (d Document) Text(w io.Writer) error {
	var b strings.Builder
	for _, line := range []string{d.Title, d.About, d.Lead.line()} {
		if line != "" {
			fmt.Fprintln(&b, inLine(line))
		}
	}
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	headed, list := false, false
	for _, block := range d.Blocks {
		facts, again := block.(Facts)
		_, tiles := block.(Tiles)
		if !headed && !(list && (again || tiles)) {
			b.WriteByte('\n')
		}
		headed, list = false, again || tiles
		switch block := block.(type) {
		case Heading:
			fmt.Fprintln(&b, inLine(strings.ToUpper(block.Text)))
			headed = true
		case Paragraph:
			fmt.Fprintln(&b, tame(string(block)))
		case Callout:
			fmt.Fprintln(&b, inLine(block.line()))
		case Tiles:
			for _, t := range block {
				fmt.Fprintf(out, "%s\t%s\n", inLine(t.Name), inLine(t.Value))
			}
		case Facts:
			for _, f := range facts {
				fmt.Fprintf(out, "%s\t%s\n", inLine(f[0]), inLine(f[1]))
			}
		case Table:
			block.text(out)
		case List:
			fmt.Fprintln(&b, tame(strings.Join(block, "\n")))
		case Code:
			fmt.Fprintln(&b, tame(strings.TrimRight(string(block), "\n")))
		case Figure:
			fmt.Fprintln(&b, inLine(block.Alt))
		}
		out.Flush()
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t Table) text(out io.Writer) {
	if len(t.Rows) == 0 {
		fmt.Fprintln(out, inLine(t.None))
		return
	}
	line := make([]string, len(t.Columns))
	for k, c := range t.Columns {
		line[k] = inLine(c.Name)
	}
	fmt.Fprintln(out, strings.Join(line, "\t"))
	for _, row := range t.Rows {
		line = line[:0]
		for _, c := range row {
			line = append(line, inLine(strings.Join(c.lines(), "; ")))
		}
		fmt.Fprintln(out, strings.Join(line, "\t"))
	}
}

// lines are the text and the notes of a cell, without what is empty.
func (c Cell) lines() (out []string) {
	for _, text := range append([]string{c.Text}, c.Notes...) {
		if text != "" {
			out = append(out, text)
		}
	}
	return out
}

func (c Callout) line() string {
	return strings.TrimSpace(c.Word + " " + c.Text)
}

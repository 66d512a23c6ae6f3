package page

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/cordonsip/cordon/internal/page/pdf"
)

// PDF writes the document on pages of A4: the same blocks in the same order, each table with its head on every page, and the foot of the document on each. It is
// tagged, with bookmarks for its headings, and of the same bytes whenever it is written: its date is the document's.
func (d Document) PDF(w io.Writer) error {
	f, err := newFile(d)
	if err != nil {
		return err
	}
	p := &paper{d: d, f: f, s: light()}
	p.turn()
	p.top()
	for _, b := range d.Blocks {
		p.block(b)
	}
	p.feet()
	if _, err := f.WriteTo(w); err != nil {
		return fmt.Errorf("page: %w", err)
	}
	return nil
}

func newFile(d Document) (*pdf.File, error) {
	f, err := pdf.New(pdf.About{Title: d.Title, Language: d.lang(), Maker: d.Maker, Made: d.Made}, paperWidth, paperHeight)
	if err != nil {
		return nil, fmt.Errorf("page: %w", err)
	}
	return f, nil
}

// Sizes of paper and letters, in points.
const (
	paperWidth  = 595.28
	paperHeight = 841.89
	margin      = 51.0 // left and right of the text
	textWidth   = paperWidth - 2*margin
	upper       = 52.0
	lower       = paperHeight - 62
	body        = 9.2
	small       = 7.8
	lead        = 1.42 // height of a line by the size of its letters
)

// paper lays a document out, from the top of the first page to the end of the last.
type paper struct {
	d Document
	f *pdf.File
	p *pdf.Page
	y float64 // where the next thing goes
	s scheme
}

// face is how letters look.
type face struct {
	font   pdf.Face
	size   float64
	colour colour
}

func (p *paper) plain() face { return face{pdf.Regular, body, p.s.ink} }
func (p *paper) soft() face  { return face{pdf.Regular, small, p.s.soft} }

// turn begins a page.
func (p *paper) turn() {
	p.p = p.f.Page()
	p.y = upper
}

// need turns the page if a height does not fit below.
func (p *paper) need(height float64) {
	if p.y+height > lower && p.y > upper {
		p.turn()
	}
}

// part begins an element of the structure.
func (p *paper) part(tag string) *pdf.Element {
	e := p.f.Root().Add(tag, "")
	p.f.Write(e)
	return e
}

// wrap breaks text into lines of a width, the first of which is shorter by what stands there already.
func (p *paper) wrap(text string, a face, width, taken float64) (out []string) {
	line, used := "", taken
	for _, word := range strings.Fields(text) {
		for word != "" {
			gap := ""
			if line != "" {
				gap = " "
			}
			if w := p.f.Width(a.font, a.size, gap+word); used+w <= width {
				line, used, word = line+gap+word, used+w, ""
				continue
			}
			if line == "" && used == 0 || len(word) > longWord { // a word that is no word: a digest, a path
				head := p.head(word, a, width-used-p.f.Width(a.font, a.size, gap), line == "" && used == 0)
				if head != "" {
					line, word = line+gap+head, word[len(head):]
				}
			}
			out = append(out, line)
			line, used = "", 0
		}
	}
	if line != "" || len(out) == 0 {
		out = append(out, line)
	}
	return out
}

// head is as much of a word as fits into a width, up to a place where it may be broken if there is one. With all the line for it, it is one letter at least.
func (p *paper) head(word string, a face, width float64, all bool) string {
	end, good := 0, 0
	for k, r := range word {
		n := k + utf8.RuneLen(r)
		if p.f.Width(a.font, a.size, word[:n]) > width && (end > 0 || !all) {
			break
		}
		if end = n; strings.ContainsRune("./_:,-", r) {
			good = n
		}
	}
	switch {
	case good > 0:
		return word[:good]
	case all || end >= 8: // a few letters alone are no help
		return word[:end]
	}
	return ""
}

// lines writes lines below each other, each on whatever page has room.
func (p *paper) lines(x float64, a face, lines []string) {
	for _, line := range lines {
		p.need(a.size * lead)
		p.p.Text(x, p.y+a.size, a.font, a.size, uint32(a.colour), line)
		p.y += a.size * lead
	}
}

// text writes a part of running text.
func (p *paper) text(tag string, a face, text string) {
	if text == "" {
		return
	}
	p.part(tag)
	p.lines(margin, a, p.wrap(text, a, textWidth, 0))
}

// top writes what stands above the blocks.
func (p *paper) top() {
	p.text("P", p.soft(), p.d.Kind)
	p.y += 3
	p.f.Bookmark(p.d.Title, 1, p.y)
	p.text("H1", face{pdf.Bold, 18, p.s.ink}, p.d.Title)
	p.text("P", face{pdf.Regular, body, p.s.soft}, p.d.About)
	p.y += 9
	if p.d.Lead.line() != "" {
		p.callout(p.d.Lead)
	}
}

func (p *paper) block(b Block) {
	switch b := b.(type) {
	case Heading:
		p.heading(b)
	case Paragraph:
		p.text("P", p.plain(), string(b))
		p.y += 6
	case Callout:
		p.callout(b)
	case Tiles:
		p.tiles(b)
	case Facts:
		p.facts(b)
	case Table:
		p.table(b)
	case List:
		p.list(b)
	case Code:
		p.code(b)
	case Figure:
		p.figure(b)
	}
}

// heading keeps with what follows it.
func (p *paper) heading(h Heading) {
	a, before := face{pdf.Bold, 12.5, p.s.ink}, 17.0
	if h.level() > 2 {
		a.size, before = 10, 11
	}
	lines := p.wrap(h.Text, a, textWidth, 0)
	if p.y > upper {
		p.y += before
	}
	p.need(float64(len(lines))*a.size*lead + 62)
	p.f.Bookmark(h.Text, h.level(), p.y)
	p.part(fmt.Sprintf("H%d", h.level()))
	p.lines(margin, a, lines)
	if h.level() == 2 {
		p.f.Write(nil)
		p.p.Line(margin, p.y+2, margin+textWidth, p.y+2, 1.2, 0, uint32(p.s.ink))
		p.y += 5
	}
	p.y += 3
}

func (p *paper) callout(c Callout) {
	a, bold := p.plain(), face{pdf.Bold, body, p.s.ink}
	x, width := margin+12, textWidth-22
	taken := 0.0
	if c.Word != "" {
		taken = p.f.Width(bold.font, bold.size, c.Word+" ")
	}
	lines := p.wrap(c.Text, a, width, taken)
	height := float64(len(lines))*a.size*lead + 13
	p.need(height)
	p.f.Write(nil)
	p.p.Rect(margin, p.y, textWidth, height, uint32(p.s.behind(c.Tone)))
	p.p.Rect(margin, p.y, 3, height, uint32([...]colour{Plain: p.s.bar, Soft: p.s.bar, Good: p.s.good, Warn: p.s.warn, Bad: p.s.bad}[c.Tone]))
	p.part("P")
	y := p.y + 6
	for k, line := range lines {
		at := x
		if k == 0 && c.Word != "" {
			p.p.Text(x, y+a.size, bold.font, bold.size, uint32(bold.colour), c.Word)
			at += taken
		}
		p.p.Text(at, y+a.size, a.font, a.size, uint32(a.colour), line)
		y += a.size * lead
	}
	p.y += height + 9
}

// tiles stand in rows of four.
func (p *paper) tiles(list Tiles) {
	const inRow, gap = 4, 7.0
	width := (textWidth - gap*(inRow-1)) / inRow
	value := face{pdf.Bold, 10.5, 0}
	for len(list) > 0 {
		row := list[:min(inRow, len(list))]
		list = list[len(row):]
		height := 0.0
		var names, values [inRow][]string
		for k, t := range row {
			names[k], values[k] = p.wrap(t.Name, p.soft(), width-14, 0), p.wrap(t.Value, value, width-14, 0)
			height = max(height, float64(len(names[k]))*small*lead+float64(len(values[k]))*value.size*lead+11)
		}
		p.need(height)
		for k, t := range row {
			x, y := margin+float64(k)*(width+gap), p.y+5
			p.f.Write(nil)
			p.p.Rect(x, p.y, width, height, uint32(p.s.wash))
			p.p.Frame(x, p.y, width, height, 0.6, uint32(p.s.line))
			p.part("P")
			for _, line := range names[k] {
				p.p.Text(x+7, y+small, pdf.Regular, small, uint32(p.s.soft), line)
				y += small * lead
			}
			for _, line := range values[k] {
				p.p.Text(x+7, y+value.size, value.font, value.size, uint32(p.s.of(t.Tone)), line)
				y += value.size * lead
			}
		}
		p.y += height + gap
	}
	p.y += 4
}

// facts are a list of names and values beside them.
func (p *paper) facts(list Facts) {
	name := face{pdf.Regular, body, p.s.soft}
	width := 60.0
	for _, f := range list {
		width = min(max(width, p.f.Width(name.font, name.size, f[0])+18), 150)
	}
	all := p.f.Root().Add("L", "")
	for _, f := range list {
		item := all.Add("LI", "")
		left, right := p.wrap(f[0], name, width-12, 0), p.wrap(f[1], p.plain(), textWidth-width, 0)
		p.need(float64(max(len(left), len(right))) * body * lead)
		top := p.y
		p.f.Write(item.Add("Lbl", ""))
		p.lines(margin, name, left)
		low := p.y
		p.y = top
		p.f.Write(item.Add("LBody", ""))
		p.lines(margin+width, p.plain(), right)
		p.y = max(p.y, low) + 1.5
	}
	p.y += 6
}

func (p *paper) list(notes List) {
	all := p.f.Root().Add("L", "")
	for _, text := range notes {
		item := all.Add("LI", "")
		lines := p.wrap(text, p.plain(), textWidth-12, 0)
		p.need(float64(min(len(lines), 3)) * body * lead)
		p.f.Write(item.Add("Lbl", ""))
		p.p.Text(margin, p.y+body, pdf.Regular, body, uint32(p.s.ink), "•")
		p.f.Write(item.Add("LBody", ""))
		p.lines(margin+12, p.plain(), lines)
		p.y += 2.5
	}
	p.y += 4
}

// code keeps every character and every line.
func (p *paper) code(c Code) {
	a := face{pdf.Mono, 7.4, p.s.ink}
	fit := int((textWidth - 18) / p.f.Width(a.font, a.size, "0"))
	var lines []string
	for line := range strings.Lines(strings.TrimRight(string(c), "\n")) {
		letters := []rune(strings.TrimSuffix(line, "\n"))
		for len(letters) > fit {
			lines, letters = append(lines, string(letters[:fit])), letters[fit:]
		}
		lines = append(lines, string(letters))
	}
	e := p.f.Root().Add("P", "")
	p.need(min(float64(len(lines)), 4)*a.size*lead + 14)
	for k, line := range lines {
		p.need(a.size*lead + 7)
		above, below := 0.0, 0.0
		if k == 0 || p.y == upper {
			above = 7
		}
		if k == len(lines)-1 {
			below = 7
		}
		p.f.Write(nil)
		p.p.Rect(margin, p.y, textWidth, a.size*lead+above+below+0.3, uint32(p.s.wash))
		p.f.Write(e)
		p.p.Text(margin+9, p.y+above+a.size, a.font, a.size, uint32(a.colour), line)
		p.y += a.size*lead + above + below
	}
	p.y += 8
}

// figure draws a chart by its shapes.
func (p *paper) figure(f Figure) {
	scale := min(textWidth/f.Width, 1.2)
	height := f.Height * scale
	p.need(height + 20)
	e := p.f.Root().Add("Figure", f.Alt)
	p.f.Place(e, margin, p.y, f.Width*scale, height)
	p.f.Write(e)
	x, y := func(v float64) float64 { return margin + v*scale }, func(v float64) float64 { return p.y + v*scale }
	for _, s := range f.Shapes {
		switch s := s.(type) {
		case Bar:
			p.p.Rect(x(s.X), y(s.Y), s.W*scale, s.H*scale, uint32(p.s.fill(s.Tone)))
		case Rule:
			c, dash := p.s.of(s.Tone), 0.0
			if s.Tone == Soft {
				c = p.s.line
			}
			if s.Dashed {
				dash = 2.5
			}
			p.p.Line(x(s.X1), y(s.Y1), x(s.X2), y(s.Y2), 0.8, dash, uint32(c))
		case Label:
			size := s.size() * scale
			at := x(s.X) - p.f.Width(pdf.Regular, size, s.Text)*[...]float64{Start: 0, Middle: 0.5, End: 1}[s.Anchor]
			p.p.Text(at, y(s.Y), pdf.Regular, size, uint32(p.s.of(s.Tone)), s.Text)
		}
	}
	p.y += height + 3
	p.text("Caption", p.soft(), f.Caption)
	p.y += 8
}

// feet writes what stands on each page: the title from the second on, the foot of the document, the number.
func (p *paper) feet() {
	p.f.Write(nil)
	a := face{pdf.Regular, 7, p.s.soft}
	foot := p.wrap(p.d.Foot, a, textWidth-60, 0)
	if p.d.Foot == "" {
		foot = nil
	}
	pages := p.f.Pages()
	for k, sheet := range pages {
		if k > 0 {
			sheet.Text(margin, 34, a.font, a.size, uint32(a.colour), p.wrap(p.d.Title, a, textWidth, 0)[0])
		}
		y := lower + 16
		sheet.Line(margin, y-3, margin+textWidth, y-3, 0.6, 0, uint32(p.s.line))
		number := fmt.Sprintf("%d / %d", k+1, len(pages))
		sheet.Text(margin+textWidth-p.f.Width(a.font, a.size, number), y+a.size, a.font, a.size, uint32(a.colour), number)
		for _, line := range foot[:min(len(foot), 3)] {
			sheet.Text(margin, y+a.size, a.font, a.size, uint32(a.colour), line)
			y += a.size * 1.3
		}
	}
}

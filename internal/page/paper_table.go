package page

import (
	"strings"

	"github.com/cordonsip/cordon/internal/page/pdf"
)

// line is one line of a cell.
type line struct {
	face
	text string
}

// box is a cell as it is set.
type box struct {
	lines []line
	tag   *Tone // drawn around the first line
}

// cut is the part of a row that stands on one page: as much of it as fits.
func (b *box) cut(height float64) (now []line) {
	for len(b.lines) > 0 && (len(now) == 0 || b.lines[0].size*lead <= height) {
		height -= b.lines[0].size * lead
		now, b.lines = append(now, b.lines[0]), b.lines[1:]
	}
	return now
}

const (
	cellGap = 9.0 // between columns
	cellPad = 3.2 // above and below a row
	tagSize = 7.4 // of the letters of a label
)

// table sets rows below a head that stands on every page. A row stays whole if it fits on a page at all.
func (p *paper) table(t Table) {
	if len(t.Rows) == 0 {
		p.text("P", face{pdf.Regular, body, p.s.soft}, t.None)
		p.y += 4
		return
	}
	widths := p.columns(t)
	e := p.f.Root().Add("Table", "")
	p.tableHead(t, widths, e.Add("TR", ""))
	for _, row := range t.Rows {
		boxes := make([]box, len(row))
		height := 0.0
		for k, c := range row {
			boxes[k] = p.set(c, t.Columns[k], widths[k])
			height = max(height, boxes[k].height())
		}
		if p.y+height+2*cellPad > lower && (height < lower-upper-60 || p.y+60 > lower) {
			p.turn()
			p.tableHead(t, widths, nil)
		}
		p.row(t, widths, boxes, e.Add("TR", ""))
	}
	p.y += 8
}

func (b *box) height() (h float64) {
	for _, l := range b.lines {
		h += l.size * lead
	}
	return h
}

// row sets one row, over as many pages as it needs.
func (p *paper) row(t Table, widths []float64, boxes []box, tr *pdf.Element) {
	cells := make([]*pdf.Element, len(boxes))
	for k := range boxes {
		cells[k] = tr.Add("TD", "")
	}
	for again := true; again; {
		again = false
		room, used, x := lower-p.y-2*cellPad, 0.0, margin
		for k := range boxes {
			y := p.y + cellPad
			p.f.Write(cells[k])
			for _, l := range boxes[k].cut(room) {
				at := x
				if t.Columns[k].Right {
					at += widths[k] - cellGap - p.f.Width(l.font, l.size, l.text)
				}
				if tone := boxes[k].tag; tone != nil {
					p.f.Write(nil)
					p.p.Frame(at, y-0.2, p.f.Width(l.font, l.size, l.text)+8, l.size*lead+0.4, 0.6, uint32(p.s.of(*tone)))
					p.f.Write(cells[k])
					at, boxes[k].tag = at+4, nil
				}
				p.p.Text(at, y+l.size, l.font, l.size, uint32(l.colour), l.text)
				y += l.size * lead
			}
			used = max(used, y-p.y-cellPad)
			again = again || len(boxes[k].lines) > 0
			x += widths[k]
		}
		p.y += used + 2*cellPad
		p.f.Write(nil)
		p.p.Line(margin, p.y, margin+textWidth, p.y, 0.6, 0, uint32(p.s.line))
		if again {
			p.turn()
			p.tableHead(t, widths, nil)
		}
	}
}

// tableHead sets the head of a table; tr is nil where it is repeated, which is nobody's content.
func (p *paper) tableHead(t Table, widths []float64, tr *pdf.Element) {
	a := face{pdf.Bold, small, p.s.soft}
	height, x := 0.0, margin
	for k, c := range t.Columns {
		p.f.Write(nil)
		if tr != nil {
			p.f.Write(tr.Add("TH", ""))
		}
		y := p.y + 2
		for _, text := range p.wrap(c.Name, a, widths[k]-cellGap, 0) {
			at := x
			if c.Right {
				at += widths[k] - cellGap - p.f.Width(a.font, a.size, text)
			}
			p.p.Text(at, y+a.size, a.font, a.size, uint32(a.colour), text)
			y += a.size * lead
		}
		height, x = max(height, y-p.y), x+widths[k]
	}
	p.y += height + 2
	p.f.Write(nil)
	p.p.Line(margin, p.y, margin+textWidth, p.y, 1, 0, uint32(p.s.soft))
}

// set breaks a cell into lines of its column.
func (p *paper) set(c Cell, column Column, width float64) (b box) {
	a, room := p.plain(), width-cellGap
	a.colour = p.s.of(c.Tone)
	if c.Tag {
		a.size, room, b.tag = tagSize, room-8, &c.Tone
	}
	if c.Text != "" {
		for _, text := range p.wrap(c.Text, a, room, 0) {
			b.lines = append(b.lines, line{a, text})
		}
	} else {
		b.tag = nil
	}
	for _, n := range c.Notes {
		if n == "" {
			continue
		}
		for _, text := range p.wrap(n, p.soft(), width-cellGap, 0) {
			b.lines = append(b.lines, line{p.soft(), text})
		}
	}
	return b
}

// columns gives each column its width: what is whole gets what it needs, the others share the rest by their shares or by what they hold, and none gets less than
// its longest word as long as another has more.
func (p *paper) columns(t Table) []float64 {
	out, least, weights := make([]float64, len(t.Columns)), make([]float64, len(t.Columns)), make([]float64, len(t.Columns))
	rest, sum := textWidth, 0.0
	for k, c := range t.Columns {
		want, word := p.needs(t, k)
		if c.whole() {
			out[k] = min(want, textWidth/3)
			rest -= out[k]
			continue
		}
		least[k], weights[k] = min(word, 110), float64(c.Share)
		if c.Share == 0 {
			weights[k] = min(max(want, 30), 220) / 5
		}
		sum += weights[k]
	}
	if sum == 0 { // all are whole: they share what is left
		for k := range out {
			out[k] += rest / float64(len(out))
		}
		return out
	}
	short, spare := 0.0, 0.0
	for k := range out {
		if weights[k] > 0 {
			out[k] = rest * weights[k] / sum
			short, spare = short+max(least[k]-out[k], 0), spare+max(out[k]-least[k], 0)
		}
	}
	if short == 0 || spare == 0 {
		return out
	}
	moved := min(short, spare)
	for k := range out {
		if over := out[k] - least[k]; weights[k] > 0 && over > 0 {
			out[k] -= over * moved / spare
		} else if weights[k] > 0 {
			out[k] -= over * moved / short
		}
	}
	return out
}

// needs is how wide a column is with each cell in one line, and with each word in one.
func (p *paper) needs(t Table, k int) (want, word float64) {
	measure := func(a face, text string, more float64) {
		want = max(want, p.f.Width(a.font, a.size, text)+more)
		for w := range strings.FieldsSeq(text) {
			word = max(word, p.f.Width(a.font, a.size, w)+more)
		}
	}
	measure(face{pdf.Bold, small, 0}, t.Columns[k].Name, cellGap)
	for _, row := range t.Rows {
		c := row[k]
		if c.Tag {
			measure(face{pdf.Regular, tagSize, 0}, c.Text, cellGap+9)
		} else {
			measure(p.plain(), c.Text, cellGap+0.5)
		}
		if t.Columns[k].whole() {
			continue // notes may break
		}
		for _, n := range c.Notes {
			measure(p.soft(), n, cellGap+0.5)
		}
	}
	return want, word
}

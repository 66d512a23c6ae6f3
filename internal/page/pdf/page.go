package pdf

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// Page is one page. Coordinates are points from its upper left corner, y downwards.
type Page struct {
	f      *File
	number int
	out    bytes.Buffer
	in     *Element // whose content is being written; nil: nobody's
	opened bool     // between BDC and EMC
	marked []*Element
}

// Text writes text whose base line begins at x and y.
func (p *Page) Text(x, y float64, face Face, size float64, colour uint32, text string) {
	font := p.f.fonts[face]
	if text = font.shown(text); text == "" {
		return
	}
	p.mark()
	fmt.Fprintf(&p.out, "BT /F%d %s Tf %s rg 1 0 0 1 %s %s Tm <%s> Tj ET\n", face, num(size), rgb(colour), num(x), num(p.f.height-y), font.encoded(text))
}

// Rect fills a rectangle whose upper left corner is at x and y.
func (p *Page) Rect(x, y, w, h float64, colour uint32) {
	p.mark()
	fmt.Fprintf(&p.out, "%s rg %s %s %s %s re f\n", rgb(colour), num(x), num(p.f.height-y-h), num(w), num(h))
}

// Frame draws the border of a rectangle.
func (p *Page) Frame(x, y, w, h, width float64, colour uint32) {
	p.mark()
	fmt.Fprintf(&p.out, "%s RG %s w %s %s %s %s re S\n", rgb(colour), num(width), num(x), num(p.f.height-y-h), num(w), num(h))
}

// Line draws a line. A dash of 0 is a whole one.
func (p *Page) Line(x1, y1, x2, y2, width, dash float64, colour uint32) {
	p.mark()
	pattern := "[] 0 d"
	if dash > 0 {
		pattern = fmt.Sprintf("[%s] 0 d", num(dash))
	}
	fmt.Fprintf(&p.out, "%s RG %s w %s %s %s m %s %s l S\n", rgb(colour), num(width), pattern, num(x1), num(p.f.height-y1), num(x2), num(p.f.height-y2))
}

// mark begins the content of the element that is being written, if it is not open on this page.
func (p *Page) mark() {
	if p.opened && p.in == p.f.at {
		return
	}
	p.close()
	p.in, p.opened = p.f.at, true
	if p.in == nil {
		p.out.WriteString("/Artifact BMC\n")
		return
	}
	fmt.Fprintf(&p.out, "/%s <</MCID %d>> BDC\n", p.in.tag, len(p.marked))
	p.in.kids = append(p.in.kids, content{p.number, len(p.marked)})
	p.marked = append(p.marked, p.in)
}

func (p *Page) close() {
	if p.opened {
		p.out.WriteString("EMC\n")
	}
	p.opened = false
}

// num writes a number: two places at most.
func num(v float64) string {
	text := strings.TrimRight(strconv.FormatFloat(v, 'f', 2, 64), "0")
	if text = strings.TrimSuffix(text, "."); text == "-0" {
		return "0"
	}
	return text
}

func rgb(c uint32) string {
	part := func(v uint32) string { return strconv.FormatFloat(float64(v&255)/255, 'f', 3, 64) }
	return part(c>>16) + " " + part(c>>8) + " " + part(c)
}

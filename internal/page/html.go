package page

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html"
	"io"
	"strings"
)

//go:embed style.css
var sheet string

// HTML writes the document as one file. Its policy of contents lets nothing be fetched and nothing run; the one style sheet is named by its digest.
func (d Document) HTML(w io.Writer) error {
	css := d.css()
	sum := sha256.Sum256([]byte(css))
	h := &hyper{}
	h.put("<!doctype html>\n<html lang=\"", esc(d.lang()), "\">\n<head>\n<meta charset=\"utf-8\">\n")
	h.put("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-", base64.StdEncoding.EncodeToString(sum[:]), "'; base-uri 'none'; form-action 'none'\">\n")
	h.put("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<meta name=\"color-scheme\" content=\"light dark\">\n<title>", esc(d.Title), "</title>\n")
	h.put("<style>", css, "</style>\n</head>\n<body>\n<header>\n")
	h.line("p", "kind", d.Kind)
	h.line("h1", "", d.Title)
	h.line("p", "about", d.About)
	h.put("</header>\n<main>\n")
	if d.Lead.line() != "" {
		h.callout(d.Lead)
	}
	for _, b := range d.Blocks {
		h.block(b)
	}
	h.put("</main>\n")
	if d.Foot != "" || d.Maker != "" {
		h.put("<footer>\n")
		h.line("p", "", d.Foot)
		h.line("p", "", d.Maker)
		h.put("</footer>\n")
	}
	h.put("</body>\n</html>\n")
	_, err := io.WriteString(w, h.b.String())
	return err
}

// css is the style sheet with the colours, and with the foot of printed pages.
func (d Document) css() string {
	return "\n" + strings.NewReplacer("/*light*/", variables(light()), "/*dark*/", variables(dark()), "/*foot*/", quoted(d.Foot)).Replace(sheet)
}

func variables(s scheme) string {
	var b strings.Builder
	for _, v := range []struct {
		name string
		c    colour
	}{
		{"paper", s.paper},
		{"wash", s.wash},
		{"line", s.line},
		{"ink", s.ink},
		{"soft", s.soft},
		{"good", s.good},
		{"warn", s.warn},
		{"bad", s.bad},
		{"on-good", s.onGood},
		{"on-warn", s.onWarn},
		{"on-bad", s.onBad},
		{"bar-plain", s.fill(Plain)},
		{"bar-soft", s.fill(Soft)},
		{"bar-good", s.fill(Good)},
		{"bar-warn", s.fill(Warn)},
		{"bar-bad", s.fill(Bad)},
	} {
		fmt.Fprintf(&b, "--%s: %s; ", v.name, v.c)
	}
	return strings.TrimSpace(b.String())
}

// quoted is text as a string of CSS: everything but letters, figures and spaces by its number.
func quoted(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		if r == ' ' || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, `\%x `, r) // the space ends the number
		}
	}
	b.WriteByte('"')
	return b.String()
}

// hyper writes HTML. Everything that is not its own goes through esc.
type hyper struct {
	b       strings.Builder
	heading string // id of the last one: what the next table is about
	count   int
}

func esc(text string) string { return html.EscapeString(tame(text)) }

func (h *hyper) put(parts ...string) {
	for _, p := range parts {
		h.b.WriteString(p)
	}
}

// line writes an element with text, or nothing for none.
func (h *hyper) line(tag, class, text string) {
	if text == "" {
		return
	}
	if class != "" {
		class = ` class="` + class + `"`
	}
	h.put("<", tag, class, ">", esc(text), "</", tag, ">\n")
}

func (h *hyper) block(b Block) {
	switch b := b.(type) {
	case Heading:
		h.count++
		h.heading = fmt.Sprintf("part-%d", h.count)
		h.put(fmt.Sprintf("<h%d id=%q>", b.level(), h.heading), esc(b.Text), fmt.Sprintf("</h%d>\n", b.level()))
	case Paragraph:
		h.line("p", "", string(b))
	case Callout:
		h.callout(b)
	case Tiles:
		h.put("<dl class=\"tiles\">\n")
		for _, t := range b {
			h.put("<div><dt>", esc(t.Name), "</dt><dd class=\"", t.Tone.name(), "\">", esc(t.Value), "</dd></div>\n")
		}
		h.put("</dl>\n")
	case Facts:
		h.put("<dl class=\"facts\">\n")
		for _, f := range b {
			h.put("<dt>", esc(f[0]), "</dt><dd>", esc(f[1]), "</dd>\n")
		}
		h.put("</dl>\n")
	case Table:
		h.table(b)
	case List:
		h.put("<ul>\n")
		for _, text := range b {
			h.line("li", "", text)
		}
		h.put("</ul>\n")
	case Code:
		h.put("<pre>", esc(strings.TrimRight(string(b), "\n")), "</pre>\n")
	case Figure:
		h.figure(b)
	}
}

func (h *hyper) callout(c Callout) {
	h.put("<p class=\"callout ", c.Tone.name(), "\">")
	if c.Word != "" {
		h.put("<strong>", esc(c.Word), "</strong> ")
	}
	h.put(esc(c.Text), "</p>\n")
}

func (h *hyper) table(t Table) {
	if len(t.Rows) == 0 {
		h.line("p", "none", t.None)
		return
	}
	h.put("<div class=\"table\" role=\"region\" tabindex=\"0\"")
	if h.heading != "" {
		h.put(" aria-labelledby=\"", h.heading, "\"")
	}
	class := ""
	if len(t.Columns) > 4 {
		class = " class=\"wide\""
	}
	h.put("><table", class, ">\n<colgroup>")
	for _, c := range t.Columns {
		if c.Share > 0 {
			h.put(fmt.Sprintf("<col width=\"%d%%\">", c.Share))
		} else {
			h.put("<col>")
		}
	}
	h.put("</colgroup>\n<thead><tr>")
	for _, c := range t.Columns {
		h.put("<th scope=\"col\"", side(c), ">", esc(c.Name), "</th>")
	}
	h.put("</tr></thead>\n<tbody>\n")
	for _, row := range t.Rows {
		h.put("<tr>")
		for k, c := range row {
			h.put("<td", side(t.Columns[k]), ">")
			h.cell(c)
			h.put("</td>")
		}
		h.put("</tr>\n")
	}
	h.put("</tbody></table></div>\n")
}

func side(c Column) string {
	switch {
	case c.Right:
		return ` class="right"`
	case c.Whole:
		return ` class="whole"`
	}
	return ""
}

// breakable is text with places inside of long words at which a line may end: behind marks, and where there are none for long.
func breakable(text string) string {
	words := strings.Split(text, " ")
	for k, w := range words {
		if words[k] = esc(w); len(w) <= longWord {
			continue
		}
		var b strings.Builder
		run := 0
		for _, r := range w {
			if run == longWord {
				b.WriteString("<wbr>")
				run = 0
			}
			b.WriteString(esc(string(r)))
			if run++; strings.ContainsRune("._/:", r) {
				b.WriteString("<wbr>")
				run = 0
			}
		}
		words[k] = b.String()
	}
	return strings.Join(words, " ")
}

// longWord is how many bytes, or signs of a longer one, stand in one line together.
const longWord = 24

func (h *hyper) cell(c Cell) {
	switch {
	case c.Text == "":
	case c.Tag:
		h.put("<span class=\"tag ", c.Tone.name(), "\">", esc(c.Text), "</span>")
	case c.Tone != Plain:
		h.put("<span class=\"", c.Tone.name(), "\">", breakable(c.Text), "</span>")
	default:
		h.put(breakable(c.Text))
	}
	for _, n := range c.Notes {
		if n != "" {
			h.put("<div class=\"note\">", breakable(n), "</div>")
		}
	}
}

// figure draws a chart as SVG, which stands in the page.
func (h *hyper) figure(f Figure) {
	h.put("<figure>\n")
	h.put(fmt.Sprintf("<svg viewBox=\"0 0 %s %s\" role=\"img\" aria-label=\"", num(f.Width), num(f.Height)), esc(f.Alt), "\">\n")
	for _, s := range f.Shapes {
		switch s := s.(type) {
		case Bar:
			h.put(fmt.Sprintf("<rect x=%q y=%q width=%q height=%q rx=\"1.5\" class=\"bar-%s\"/>\n", num(s.X), num(s.Y), num(s.W), num(s.H), s.Tone.name()))
		case Rule:
			dash := ""
			if s.Dashed {
				dash = ` stroke-dasharray="3 2"`
			}
			h.put(fmt.Sprintf("<line x1=%q y1=%q x2=%q y2=%q class=\"rule-%s\"%s/>\n", num(s.X1), num(s.Y1), num(s.X2), num(s.Y2), s.Tone.name(), dash))
		case Label:
			h.put(fmt.Sprintf("<text x=%q y=%q font-size=%q text-anchor=%q class=\"%s\">", num(s.X), num(s.Y), num(s.size()), [...]string{"start", "middle", "end"}[s.Anchor], s.Tone.name()), esc(s.Text), "</text>\n")
		}
	}
	h.put("</svg>\n")
	h.line("figcaption", "", f.Caption)
	h.put("</figure>\n")
}

package page

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/page/pdf"
)

// leaf is a page as a reader of PDF sees it.
type leaf struct {
	texts []placed
	raw   string
}

// placed is text with the place where its base line begins, in points from the lower left corner.
type placed struct {
	x, y, size float64
	face, text string
}

// reader reads what PDF writes, by the tables of objects and of letters alone.
type reader struct {
	raw     string
	objects map[int]string
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func coordinate(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// open reads a file by its table of objects, each of which must be where it says.
func open(t *testing.T, raw []byte) reader {
	t.Helper()
	r := reader{raw: string(raw), objects: map[int]string{}}
	at := regexp.MustCompile(`startxref\n(\d+)\n%%EOF\n$`).FindStringSubmatch(r.raw)
	if at == nil {
		t.Fatal("the file has no end")
	}
	for k, entry := range regexp.MustCompile(`(?m)^(\d{10}) 0000(0 n|0 65535 f) $`).FindAllStringSubmatch(r.raw[number(t, at[1]):], -1) {
		body := r.raw[number(t, entry[1]):]
		head := fmt.Sprintf("%d 0 obj\n", k+1)
		if !strings.HasPrefix(body, head) {
			t.Fatalf("object %d is not where the table says", k+1)
		}
		body, _, _ = strings.Cut(body[len(head):], "\nendobj\n")
		r.objects[k+1] = body
	}
	return r
}

// stream unpacks one.
func (r reader) stream(t *testing.T, id int) string {
	t.Helper()
	_, packed, ok := strings.Cut(r.objects[id], "\nstream\n")
	if !ok {
		t.Fatalf("object %d is no stream", id)
	}
	z, err := zlib.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// letters are those of each font by their glyphs.
func (r reader) letters(t *testing.T) map[string]map[string]string {
	t.Helper()
	out := map[string]map[string]string{}
	for _, m := range regexp.MustCompile(`/F(\d) (\d+) 0 R`).FindAllStringSubmatch(r.raw, -1) {
		if out[m[1]] != nil {
			continue
		}
		out[m[1]] = map[string]string{}
		to := regexp.MustCompile(`/ToUnicode (\d+) 0 R`).FindStringSubmatch(r.objects[number(t, m[2])])
		for _, pair := range regexp.MustCompile(`<(....)> <(....)>\n`).FindAllStringSubmatch(r.stream(t, number(t, to[1])), -1) {
			v, err := hex.DecodeString(pair[2])
			if err != nil {
				t.Fatal(err)
			}
			out[m[1]][pair[1]] = string(rune(v[0])<<8 | rune(v[1]))
		}
	}
	return out
}

func (r reader) sheets(t *testing.T) (out []leaf) {
	t.Helper()
	letters := r.letters(t)
	show := regexp.MustCompile(`BT /F(\d) (\S+) Tf \S+ \S+ \S+ rg 1 0 0 1 (\S+) (\S+) Tm <([0-9A-F]*)> Tj ET`)
	for _, m := range regexp.MustCompile(`/Type /Page /.*/Contents (\d+) 0 R`).FindAllStringSubmatch(r.raw, -1) {
		s := leaf{raw: r.stream(t, number(t, m[1]))}
		for _, m := range show.FindAllStringSubmatch(s.raw, -1) {
			p := placed{face: m[1], size: coordinate(t, m[2]), x: coordinate(t, m[3]), y: coordinate(t, m[4])}
			for k := 0; k < len(m[5]); k += 4 {
				letter, ok := letters[m[1]][m[5][k:k+4]]
				if !ok {
					t.Fatalf("glyph %s of font %s is no letter", m[5][k:k+4], m[1])
				}
				p.text += letter
			}
			s.texts = append(s.texts, p)
		}
		out = append(out, s)
	}
	return out
}

func printed(t *testing.T, d Document) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := d.PDF(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestPaperGolden: what stands where on the pages of the document with everything in it, and that it is the same bytes each time.
func TestPaperGolden(t *testing.T) {
	raw := printed(t, whole())
	if !bytes.Equal(raw, printed(t, whole())) {
		t.Error("the same document gives other bytes")
	}
	var b strings.Builder
	for k, s := range open(t, raw).sheets(t) {
		fmt.Fprintf(&b, "page %d\n", k+1)
		for _, p := range s.texts {
			fmt.Fprintf(&b, "%6.1f %6.1f %4.1f F%s %s\n", p.x, p.y, p.size, p.face, p.text)
		}
	}
	if *update {
		if err := os.WriteFile("testdata/whole.pdf.txt", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile("testdata/whole.pdf.txt"); err != nil || b.String() != string(want) {
		t.Errorf("the pages are others (%v):\n%s", err, b.String())
	}
}

// nasty is a document that is hard to set: long tables, words without an end, letters that the fonts do not have, a row of more than a page.
func nasty() Document {
	d := whole()
	d.Title, d.Foot = strings.Repeat("Überlänge ", 30), strings.Repeat("0123456789abcdef", 20)
	table := Table{Columns: []Column{{Name: "entry", Right: true}, {Name: "who"}, {Name: "at", Whole: true}, {Name: "what", Share: 50}}}
	for k := range 150 {
		table.Rows = append(table.Rows, Row(strconv.Itoa(k), "c"+strconv.Itoa(k), "2026-11-20 08:00:00", strings.Repeat("media of leg b. ", k%7)))
	}
	table.Rows = append(table.Rows, Row("1", "2", "3", strings.Repeat("word ", 1500)), Row("1", strings.Repeat("x", 4000), "", ""))
	wide := Table{Columns: Columns("country", "recipient", "provider", "planes", "data", "basis", "calls", "first", "last", "open", "state", "more")}
	wide.Rows = append(wide.Rows, Row("US", "cloud", "Example Inc.", "signalling", "CLI, metadata", "Art46(2)(c)_SCC", "1234567", "2026-11-20", "2026-11-20", "assessment", "known", strings.Repeat("y", 99)))
	var code strings.Builder
	for k := range 200 {
		fmt.Fprintf(&code, "%d %s\n", k, strings.Repeat("0", k))
	}
	d.Blocks = append(d.Blocks, Heading{Text: "Long"}, table, Heading{Text: "Wide", Level: 3}, wide, Code(code.String()), Paragraph(strings.Repeat("中", 80)), List{strings.Repeat("one two ", 900)},
		Callout{Word: "Mind.", Text: strings.Repeat("a long word of warning ", 40)})
	return d
}

// TestPaperStaysOnThePage: whatever is set, no text leaves the margins, and every page has the foot.
func TestPaperStaysOnThePage(t *testing.T) {
	d := nasty()
	sheets := open(t, printed(t, d)).sheets(t)
	file, err := newFile(d)
	if err != nil {
		t.Fatal(err)
	}
	words := 0
	for k, s := range sheets {
		foot := fmt.Sprintf("%d / %d", k+1, len(sheets))
		seen := false
		for _, p := range s.texts {
			font := map[string]pdf.Face{"0": pdf.Regular, "1": pdf.Bold, "2": pdf.Mono}[p.face]
			if right := p.x + file.Width(font, p.size, p.text); p.x < margin-0.5 || right > paperWidth-margin+1.5 || p.y < 20 || p.y > paperHeight-25 {
				t.Errorf("page %d: %q stands at %.1f to %.1f, %.1f", k+1, p.text, p.x, right, p.y)
			}
			seen = seen || p.text == foot
			words += strings.Count(p.text, "word")
		}
		if !seen {
			t.Errorf("page %d has not its number %q", k+1, foot)
		}
	}
	if words < 1500 {
		t.Errorf("%d of 1500 words are on paper", words)
	}
}

// TestStructure: each content is of one element, heads of tables are told once and repeated as nobody's, and what the fonts lack stands as its number.
func TestStructure(t *testing.T) {
	d := nasty()
	r := open(t, printed(t, d))
	tags := map[string]int{}
	for _, m := range regexp.MustCompile(`/Type /StructElem /S /(\w+)`).FindAllStringSubmatch(r.raw, -1) {
		tags[m[1]]++
	}
	if tags["Document"] != 1 || tags["H1"] != 1 || tags["H2"] != 2 || tags["H3"] != 2 || tags["Table"] != 3 || tags["TH"] != 4+4+12 || tags["TR"] != 3+2+152+1 || tags["Figure"] != 1 {
		t.Errorf("%v", tags)
	}
	marked, told := 0, strings.Count(r.raw, "/Type /MCR")
	text := ""
	for _, s := range r.sheets(t) {
		marked += strings.Count(s.raw, "/MCID")
		if opened, closed := strings.Count(s.raw, "BDC\n")+strings.Count(s.raw, "BMC\n"), strings.Count(s.raw, "EMC\n"); opened != closed {
			t.Errorf("%d contents begin on a page, and %d end", opened, closed)
		}
		for _, p := range s.texts {
			text += p.text
		}
	}
	if marked != told || marked == 0 {
		t.Errorf("%d contents are marked on pages, and the structure names %d", marked, told)
	}
	if n := strings.Count(text, "U+4E2D"); n != 80 {
		t.Errorf("%d of 80 letters that no font has are there by number", n)
	}
	if strings.Contains(text, "中") || !strings.Contains(r.raw, "/Marked true") || !strings.Contains(r.raw, "/Lang <FEFF0065006E>") {
		t.Error("the file says not what it is")
	}
}

// BenchmarkPDF sets a table of 10,000 rows.
func BenchmarkPDF(b *testing.B) {
	d := Document{Title: "Long", Made: time.Unix(0, 0)}
	t := Table{Columns: Columns("entry", "call", "what")}
	for k := range 10_000 {
		t.Rows = append(t.Rows, Row(strconv.Itoa(k), "c-"+strconv.Itoa(k), "media of leg b in US (aws:us-east-1): no_adequacy, not_allowed"))
	}
	d.Blocks = append(d.Blocks, t)
	for b.Loop() {
		if err := d.PDF(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

package pdf

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf16"
)

// About says what a file is.
type About struct {
	Title, Language, Maker string    // BCP 47
	Made                   time.Time // UTC
}

// File is a file that is being written.
type File struct {
	about         About
	width, height float64 // of each page, in points
	pages         []*Page
	fonts         [faces]*font
	root          *Element
	at            *Element // who writes; nil: what is no content, as a number of a page
	marks         []mark
}

// Element is a part of the structure: a heading, a paragraph, a table, a cell.
type Element struct {
	tag   string // as ISO 32000-1, 14.8.4 names it: H1, P, Table, TR, TH ...
	alt   string
	scope string
	box   *[4]float64 // of a figure: its corners
	kids  []any       // *Element or content
}

// content is what a page holds of an element.
type content struct{ page, id int }

// mark is a bookmark.
type mark struct {
	title string
	level int
	page  int
	y     float64
}

// New begins a file with pages of a size in points.
func New(a About, width, height float64) (*File, error) {
	f := &File{about: a, width: width, height: height, root: &Element{tag: "Document"}}
	for face := range faces {
		var err error
		if f.fonts[face], err = load(face); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// Page adds a page.
func (f *File) Page() *Page {
	p := &Page{f: f, number: len(f.pages)}
	f.pages = append(f.pages, p)
	return p
}

// Pages are those so far.
func (f *File) Pages() []*Page { return f.pages }

// Width is how wide text is, in points.
func (f *File) Width(face Face, size float64, text string) float64 {
	font := f.fonts[face]
	return font.width(font.shown(text)) * size / 1000
}

// Root is the element of the document.
func (f *File) Root() *Element { return f.root }

// Add gives a new element inside of e. Alt says in words what it shows, for a figure.
func (e *Element) Add(tag, alt string) *Element {
	k := &Element{tag: tag, alt: alt}
	if tag == "TH" {
		k.scope = "Column"
	}
	e.kids = append(e.kids, k)
	return k
}

// Place says where a figure is on its page.
func (f *File) Place(e *Element, x, y, w, h float64) {
	e.box = &[4]float64{x, f.height - y - h, x + w, f.height - y}
}

// Write says whose content comes next, on whatever page. nil is nobody's: rules, and what stands on each page.
func (f *File) Write(e *Element) { f.at = e }

// Bookmark names a place on the newest page.
func (f *File) Bookmark(title string, level int, y float64) {
	f.marks = append(f.marks, mark{title, level, len(f.pages) - 1, y})
}

// writer writes numbered objects.
type writer struct {
	b    bytes.Buffer
	at   []int // where each begins; 0 is none
	next int
}

func (w *writer) id() int { w.next++; return w.next }

func (w *writer) object(id int, body string) {
	for len(w.at) <= id {
		w.at = append(w.at, 0)
	}
	w.at[id] = w.b.Len()
	fmt.Fprintf(&w.b, "%d 0 obj\n%s\nendobj\n", id, body)
}

// stream writes an object with bytes, packed.
func (w *writer) stream(id int, dict string, raw []byte) error {
	var packed bytes.Buffer
	z := zlib.NewWriter(&packed)
	if _, err := z.Write(raw); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	w.object(id, fmt.Sprintf("<<%s /Filter /FlateDecode /Length %d>>\nstream\n%s\nendstream", dict, packed.Len(), packed.String()))
	return nil
}

// WriteTo writes the file.
func (f *File) WriteTo(to io.Writer) (int64, error) {
	w := &writer{}
	w.b.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	catalog, pages, tree, parents, outline, meta := w.id(), w.id(), w.id(), w.id(), w.id(), w.id()
	first := w.next + 1 // of the pages, each with its content behind it
	w.next += 2 * len(f.pages)
	fonts, err := f.writeFonts(w)
	if err != nil {
		return 0, err
	}
	var kids strings.Builder
	for k, p := range f.pages {
		p.close()
		fmt.Fprintf(&kids, "%d 0 R ", first+2*k)
		w.object(first+2*k, fmt.Sprintf("<</Type /Page /Parent %d 0 R /MediaBox [0 0 %s %s] /Resources <</Font <<%s>>>> /Contents %d 0 R /StructParents %d /Tabs /S>>",
			pages, num(f.width), num(f.height), fonts, first+2*k+1, k))
		if err := w.stream(first+2*k+1, "", p.out.Bytes()); err != nil {
			return 0, err
		}
	}
	w.object(pages, fmt.Sprintf("<</Type /Pages /Count %d /Kids [%s]>>", len(f.pages), strings.TrimSpace(kids.String())))
	f.structure(w, tree, parents, first)
	f.outline(w, outline, first)
	xmp := f.xmp()
	w.object(meta, fmt.Sprintf("<</Type /Metadata /Subtype /XML /Length %d>>\nstream\n%s\nendstream", len(xmp), xmp))
	w.object(catalog, fmt.Sprintf("<</Type /Catalog /Pages %d 0 R /Lang %s /MarkInfo <</Marked true>> /StructTreeRoot %d 0 R /Outlines %d 0 R /Metadata %d 0 R /ViewerPreferences <</DisplayDocTitle true>>>>",
		pages, text(f.about.Language), tree, outline, meta))
	info := w.id()
	w.object(info, fmt.Sprintf("<</Title %s /Producer %s /CreationDate %s /ModDate %s>>", text(f.about.Title), text(f.about.Maker), date(f.about.Made), date(f.about.Made)))
	sum := sha256.Sum256(w.b.Bytes())
	start := w.b.Len()
	fmt.Fprintf(&w.b, "xref\n0 %d\n0000000000 65535 f \n", w.next+1)
	for id := 1; id <= w.next; id++ {
		fmt.Fprintf(&w.b, "%010d 00000 n \n", w.at[id])
	}
	fmt.Fprintf(&w.b, "trailer\n<</Size %d /Root %d 0 R /Info %d 0 R /ID [<%x> <%x>]>>\nstartxref\n%d\n%%%%EOF\n", w.next+1, catalog, info, sum[:16], sum[:16], start)
	return w.b.WriteTo(to)
}

// writeFonts writes the fonts that are used, with the glyphs that are, and gives the names of all for pages.
func (f *File) writeFonts(w *writer) (string, error) {
	var names strings.Builder
	for face, font := range f.fonts {
		if len(font.used) < 2 {
			continue
		}
		id, below, about, file, letters := w.id(), w.id(), w.id(), w.id(), w.id()
		fmt.Fprintf(&names, "/F%d %d 0 R ", face, id)
		raw := font.subset()
		sum := sha256.Sum256(raw)
		tag := make([]byte, 6) // says that it is a part of a font, 9.6.4
		for k := range tag {
			tag[k] = 'A' + sum[k]%26
		}
		name := string(tag) + "+" + font.name
		if err := w.stream(file, fmt.Sprintf(" /Length1 %d", len(raw)), raw); err != nil {
			return "", err
		}
		if err := w.stream(letters, "", font.unicode()); err != nil {
			return "", err
		}
		w.object(about, fmt.Sprintf("<</Type /FontDescriptor /FontName /%s /Flags 4 /FontBBox [%d %d %d %d] /ItalicAngle 0 /Ascent %d /Descent %d /CapHeight %d /StemV 80 /FontFile2 %d 0 R>>",
			name, font.box[0], font.box[1], font.box[2], font.box[3], font.ascent, font.descent, font.cap, file))
		var widths strings.Builder
		for _, g := range font.list() {
			fmt.Fprintf(&widths, "%d [%d] ", g, font.scaled(int(font.advance[g])))
		}
		w.object(below, fmt.Sprintf("<</Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo <</Registry (Adobe) /Ordering (Identity) /Supplement 0>> /FontDescriptor %d 0 R /DW 0 /W [%s] /CIDToGIDMap /Identity>>",
			name, about, strings.TrimSpace(widths.String())))
		w.object(id, fmt.Sprintf("<</Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%d 0 R] /ToUnicode %d 0 R>>", name, below, letters))
	}
	return strings.TrimSpace(names.String()), nil
}

// unicode says which letter each glyph is, so that text can be searched and copied: 9.10.3.
func (f *font) unicode() []byte {
	var b bytes.Buffer
	b.WriteString("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo <</Registry (Adobe) /Ordering (UCS) /Supplement 0>> def\n/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n")
	list := f.list()[1:] // without the glyph of none
	for len(list) > 0 {
		n := min(len(list), 100)
		fmt.Fprintf(&b, "%d beginbfchar\n", n)
		for _, g := range list[:n] {
			fmt.Fprintf(&b, "<%04X> <%04X>\n", g, f.used[g])
		}
		b.WriteString("endbfchar\n")
		list = list[n:]
	}
	b.WriteString("endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend\n")
	return b.Bytes()
}

// text is a string of PDF: in UTF-16, so that all letters may stand in it.
func text(s string) string {
	var b strings.Builder
	b.WriteString("<FEFF")
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "%04X", u)
	}
	return b.String() + ">"
}

func date(t time.Time) string { return "(D:" + t.UTC().Format("20060102150405") + "Z)" }

// xmp says what the file is about, for archives.
func (f *File) xmp() string {
	esc := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	at := f.about.Made.UTC().Format(time.RFC3339)
	return "<?xpacket begin=\"\ufeff\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n<x:xmpmeta xmlns:x=\"adobe:ns:meta/\"><rdf:RDF xmlns:rdf=\"http://www.w3.org/1999/02/22-rdf-syntax-ns#\">" +
		"<rdf:Description rdf:about=\"\" xmlns:dc=\"http://purl.org/dc/elements/1.1/\" xmlns:xmp=\"http://ns.adobe.com/xap/1.0/\" xmlns:pdf=\"http://ns.adobe.com/pdf/1.3/\">" +
		"<dc:format>application/pdf</dc:format><dc:title><rdf:Alt><rdf:li xml:lang=\"x-default\">" + esc(f.about.Title) + "</rdf:li></rdf:Alt></dc:title>" +
		"<dc:language><rdf:Bag><rdf:li>" + esc(f.about.Language) + "</rdf:li></rdf:Bag></dc:language>" +
		"<xmp:CreateDate>" + at + "</xmp:CreateDate><xmp:ModifyDate>" + at + "</xmp:ModifyDate><pdf:Producer>" + esc(f.about.Maker) + "</pdf:Producer>" +
		"</rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end=\"r\"?>"
}

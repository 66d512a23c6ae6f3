package pdf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
)

// Face is one of the fonts that a file may use: the Go fonts (Bigelow & Holmes, BSD licence), with the letters of all official languages of the Union in Latin,
// Greek and Cyrillic script.
type Face int

// Faces.
const (
	Regular Face = iota
	Bold
	Mono
	faces
)

// font is a TrueType font as far as it is needed: measures, the glyphs of letters, and outlines to put into the file.
type font struct {
	name    string
	tables  map[string][]byte
	units   float64 // per em
	ascent  int
	descent int
	cap     int
	box     [4]int
	advance []uint16 // by glyph
	glyphs  func(rune) uint16
	used    map[uint16]rune // glyphs that are in the file, and a letter that each stands for
}

var errFont = errors.New("pdf: the font does not read")

// load reads the font of a face.
func load(f Face) (*font, error) {
	raw := [...][]byte{Regular: goregular.TTF, Bold: gobold.TTF, Mono: gomono.TTF}[f]
	out, err := parse(raw)
	if err != nil {
		return nil, err
	}
	out.name = [...]string{Regular: "GoRegular", Bold: "GoBold", Mono: "GoMono"}[f]
	return out, nil
}

// parse reads a TrueType font (ISO/IEC 14496-22). The fonts are those of the binary; what is wrong with one is an error and no panic all the same.
func parse(raw []byte) (*font, error) {
	all, err := tablesOf(raw)
	if err != nil {
		return nil, err
	}
	f := &font{tables: all, used: map[uint16]rune{0: 0}}
	head, hhea, maxp, os2, hmtx := f.tables["head"], f.tables["hhea"], f.tables["maxp"], f.tables["OS/2"], f.tables["hmtx"]
	if len(head) < 54 || len(hhea) < 36 || len(maxp) < 6 || len(os2) < 90 {
		return nil, errFont
	}
	f.units = float64(max(binary.BigEndian.Uint16(head[18:]), 1))
	for k := range f.box {
		f.box[k] = f.scaled(signed(head[36+2*k:]))
	}
	f.ascent, f.descent, f.cap = f.scaled(signed(hhea[4:])), f.scaled(signed(hhea[6:])), f.scaled(signed(os2[88:]))
	long, count := int(binary.BigEndian.Uint16(hhea[34:])), int(binary.BigEndian.Uint16(maxp[4:]))
	if long < 1 || len(hmtx) < 4*long {
		return nil, errFont
	}
	for g := range count {
		f.advance = append(f.advance, binary.BigEndian.Uint16(hmtx[4*min(g, long-1):]))
	}
	f.glyphs, err = letters(f.tables["cmap"])
	return f, err
}

// tablesOf gives the tables of a font by their names.
func tablesOf(raw []byte) (map[string][]byte, error) {
	if len(raw) < 12 {
		return nil, errFont
	}
	out := map[string][]byte{}
	for k := range int(binary.BigEndian.Uint16(raw[4:])) {
		at := 12 + 16*k
		if at+16 > len(raw) {
			return nil, errFont
		}
		from, size := int(binary.BigEndian.Uint32(raw[at+8:])), int(binary.BigEndian.Uint32(raw[at+12:]))
		if from < 0 || size < 0 || from+size > len(raw) {
			return nil, errFont
		}
		out[string(raw[at:at+4])] = raw[from : from+size]
	}
	return out, nil
}

func signed(b []byte) int { return int(int16(binary.BigEndian.Uint16(b))) }

// scaled gives a measure of the font in thousandths of its size, as PDF counts.
func (f *font) scaled(v int) int { return int(float64(v) * 1000 / f.units) }

// letters reads the map from letters to glyphs: format 4, of the Basic Multilingual Plane.
func letters(cmap []byte) (func(rune) uint16, error) {
	if len(cmap) < 4 {
		return nil, errFont
	}
	for k := range int(binary.BigEndian.Uint16(cmap[2:])) {
		if 4+8*k+8 > len(cmap) {
			return nil, errFont
		}
		at := int(binary.BigEndian.Uint32(cmap[8+8*k:]))
		if at < 0 || at+14 > len(cmap) || binary.BigEndian.Uint16(cmap[at:]) != 4 {
			continue
		}
		t := cmap[at:]
		twice := int(binary.BigEndian.Uint16(t[6:])) // the number of segments, doubled
		if 16+4*twice > len(t) {
			return nil, errFont
		}
		var common [0x180]uint16 // Latin letters are looked up without a search
		for r := range common {
			common[r] = segment(t, twice, rune(r))
		}
		return func(r rune) uint16 {
			if r >= 0 && int(r) < len(common) {
				return common[r]
			}
			return segment(t, twice, r)
		}, nil
	}
	return nil, fmt.Errorf("%w: no map of letters that is known", errFont)
}

// segment finds the glyph of a letter in a map of format 4, or 0.
func segment(t []byte, twice int, r rune) uint16 {
	if r < 0 || r > 0xffff {
		return 0
	}
	word := func(at int) uint16 {
		if at < 0 || at+2 > len(t) {
			return 0
		}
		return binary.BigEndian.Uint16(t[at:])
	}
	for k := 0; k < twice; k += 2 {
		if uint16(r) > word(14+k) {
			continue
		}
		start, delta, offset := word(16+twice+k), word(16+2*twice+k), word(16+3*twice+k)
		if uint16(r) < start {
			return 0
		}
		if offset == 0 {
			return uint16(r) + delta
		}
		if g := word(16 + 3*twice + k + int(offset) + 2*int(uint16(r)-start)); g != 0 {
			return g + delta
		}
		return 0
	}
	return 0
}

// width of text in thousandths of the size.
func (f *font) width(text string) (w float64) {
	for _, r := range text {
		if g := int(f.glyphs(r)); g < len(f.advance) {
			w += float64(f.advance[g]) * 1000 / f.units
		}
	}
	return w
}

// shown is text as the fonts can show it: a letter that they do not have stands as its number, so that none is lost.
func (f *font) shown(text string) string {
	ok := func(r rune) bool { return f.glyphs(r) != 0 && r != 0xfffd && !unicode.IsControl(r) }
	if !strings.ContainsFunc(text, func(r rune) bool { return !ok(r) }) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case ok(r):
			b.WriteRune(r)
		case r == '\u00a0' || r == '\u202f' || r == '\t':
			b.WriteByte(' ')
		default:
			fmt.Fprintf(&b, "<U+%04X>", r)
		}
	}
	return b.String()
}

// encoded gives the glyphs of text as hexadecimal figures, and notes them as used.
func (f *font) encoded(text string) string {
	var b strings.Builder
	for _, r := range text {
		g := f.glyphs(r)
		if have, ok := f.used[g]; !ok || r < have { // the lowest letter speaks for a glyph that several share: no order of calls matters
			f.used[g] = r
		}
		fmt.Fprintf(&b, "%04X", g)
	}
	return b.String()
}

// list gives the used glyphs in order.
func (f *font) list() []uint16 {
	out := make([]uint16, 0, len(f.used))
	for g := range f.used {
		out = append(out, g)
	}
	slices.Sort(out)
	return out
}

// outline gives the outline of a glyph, nil for one without.
func (f *font) outline(g uint16) []byte {
	loca, glyf := f.tables["loca"], f.tables["glyf"]
	from, to := 0, 0
	if wide := signed(f.tables["head"][50:]) == 1; wide && 4*int(g)+8 <= len(loca) {
		from, to = int(binary.BigEndian.Uint32(loca[4*int(g):])), int(binary.BigEndian.Uint32(loca[4*int(g)+4:]))
	} else if !wide && 2*int(g)+4 <= len(loca) {
		from, to = 2*int(binary.BigEndian.Uint16(loca[2*int(g):])), 2*int(binary.BigEndian.Uint16(loca[2*int(g)+2:]))
	}
	if from < 0 || from >= to || to > len(glyf) {
		return nil
	}
	return glyf[from:to]
}

// subset is the font with the outlines of the used glyphs alone, under their old numbers.
func (f *font) subset() []byte {
	keep := map[uint16]bool{}
	for left := f.list(); len(left) > 0; left = left[1:] {
		if !keep[left[0]] {
			keep[left[0]] = true
			left = append(left, parts(f.outline(left[0]))...)
		}
	}
	var data, index []byte
	for g := range len(f.advance) {
		index = binary.BigEndian.AppendUint32(index, uint32(len(data)))
		if keep[uint16(g)] {
			data = append(data, f.outline(uint16(g))...)
			data = append(data, make([]byte, -len(data)&3)...)
		}
	}
	index = binary.BigEndian.AppendUint32(index, uint32(len(data)))
	head := slices.Clone(f.tables["head"])
	binary.BigEndian.PutUint16(head[50:], 1) // long offsets
	binary.BigEndian.PutUint32(head[8:], 0)  // readers of embedded fonts do not look at the sum of all
	return assemble(map[string][]byte{
		"cvt ": f.tables["cvt "], "fpgm": f.tables["fpgm"], "glyf": data, "head": head, "hhea": f.tables["hhea"], "hmtx": f.tables["hmtx"], "loca": index, "maxp": f.tables["maxp"], "prep": f.tables["prep"],
	})
}

// parts are the glyphs that a composed one is made of.
func parts(outline []byte) (out []uint16) {
	if len(outline) < 10 || signed(outline) >= 0 {
		return nil
	}
	for at := 10; at+4 <= len(outline); {
		flags := binary.BigEndian.Uint16(outline[at:])
		out = append(out, binary.BigEndian.Uint16(outline[at+2:]))
		at += 6
		if flags&1 != 0 { // words, not bytes
			at += 2
		}
		switch {
		case flags&0x08 != 0: // one scale
			at += 2
		case flags&0x40 != 0: // two
			at += 4
		case flags&0x80 != 0: // a matrix
			at += 8
		}
		if flags&0x20 == 0 { // the last one
			break
		}
	}
	return out
}

// assemble makes a font file of tables.
func assemble(tables map[string][]byte) []byte {
	var names []string
	for name, raw := range tables {
		if len(raw) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	n, log := len(names), 0
	for 2<<log <= n {
		log++
	}
	out := binary.BigEndian.AppendUint32(nil, 0x00010000)
	for _, v := range []int{n, 16 << log, log, 16*n - 16<<log} {
		out = binary.BigEndian.AppendUint16(out, uint16(v))
	}
	at := uint32(12 + 16*n)
	var body []byte
	for _, name := range names {
		raw := append(slices.Clone(tables[name]), make([]byte, -len(tables[name])&3)...)
		sum := uint32(0)
		for k := 0; k < len(raw); k += 4 {
			sum += binary.BigEndian.Uint32(raw[k:])
		}
		out = append(out, name...)
		for _, v := range []uint32{sum, at + uint32(len(body)), uint32(len(tables[name]))} {
			out = binary.BigEndian.AppendUint32(out, v)
		}
		body = append(body, raw...)
	}
	return append(out, body...)
}

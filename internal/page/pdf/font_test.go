package pdf

import (
	"bytes"
	"testing"

	"golang.org/x/image/font/gofont/goregular"
)

// all are the letters of the official languages of the Union, and signs that reports use.
const all = "AÄÀÁÂÃÅĄĂÆBCÇĆČĊDĎĐEÉÈÊËĘĚĖĒFGĞĢĠHĦIÍÌÎÏĮĪİJKĶLŁĽĻĹMNŃŇÑŅOÓÒÔÖÕŐØŒPQRŘŔSŚŠŞȘßTŤŢȚUÚÙÛÜŰŮŲŪVWXYÝŸZŹŽŻ" +
	"aäàáâãåąăæbcçćčċdďđeéèêëęěėēfghħiíìîïįījkķlłľļmnńňñņoóòôöõőøœpqrřŕsśšşștťţțuúùûüűůųūvwxyýÿzźžż" +
	"ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩάέήίόύώϊϋΐΰαβγδεζηθικλμνξοπρστυφχψως" +
	"АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЬЮЯабвгдежзийклмнопрстуфхцчшщъьюя" + "0123456789€§%&@#\"'„“”‚‘’«»–—…·•(){}[]<>/\\|~^_+-=*.,:;!?"

// TestLetters: each face has all of them, and what it has not stands as its number.
func TestLetters(t *testing.T) {
	for face := range faces {
		f, err := load(face)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range all {
			if f.glyphs(r) == 0 {
				t.Errorf("%s has no %q (%U)", f.name, r, r)
			}
		}
		if got := f.shown("a\u202fb\t中\x00"); got != "a b <U+4E2D><U+0000>" && got != "a\u202fb <U+4E2D><U+0000>" {
			t.Errorf("%s shows %q", f.name, got)
		}
	}
}

// TestSubset: a part of a font reads as a font, measures as the whole one does, and has the outlines of what is used, the parts of composed letters included.
func TestSubset(t *testing.T) {
	f, err := load(Regular)
	if err != nil {
		t.Fatal(err)
	}
	f.encoded("Äé€" + all[:200])
	raw := f.subset()
	if len(raw) > len(goregular.TTF)/2 {
		t.Errorf("the part has %d bytes of %d", len(raw), len(goregular.TTF))
	}
	small := &font{}
	if small.tables, err = tablesOf(raw); err != nil {
		t.Fatal(err)
	}
	composed, outlines := 0, 0
	for _, g := range f.list() {
		for _, part := range append(parts(f.outline(g)), g) {
			composed++
			if got, want := small.outline(part), f.outline(part); !bytes.HasPrefix(got, want) || len(want) == 0 {
				t.Errorf("glyph %d has %d bytes, in the whole font %d", part, len(got), len(want))
			}
		}
	}
	for g := range f.advance {
		if small.outline(uint16(g)) != nil {
			outlines++
		}
	}
	if composed < 50 || outlines > composed || !bytes.Equal(small.tables["hmtx"], f.tables["hmtx"]) {
		t.Errorf("%d outlines for %d glyphs and their parts", outlines, composed)
	}
}

// TestBrokenFonts: what is cut off anywhere is an error or a font, and never a panic.
func TestBrokenFonts(t *testing.T) {
	for n := 0; n < len(goregular.TTF); n += 1 + n/16 {
		f, err := parse(goregular.TTF[:n])
		if err == nil {
			f.encoded("Ä")
			f.subset()
		}
	}
}

package page

import "time"

// Document is what is to be read, from the top.
type Document struct {
	Lang   string    // BCP 47; "" is English
	Kind   string    // a line above the title: what sort of document it is
	Title  string    // what it is about
	About  string    // a line below: whose, of when
	Lead   Callout   // what it says, in one sentence
	Made   time.Time // when it was made: the date of the file
	Maker  string    // software that made it
	Foot   string    // at the foot of each printed page: the checkpoint that covers what it says
	Blocks []Block
}

// Block is a part of a document: a Heading, Paragraph, Callout, Tiles, Facts, Table, List, Code or Figure.
type Block interface{ block() }

// Tone says how good or bad something is. It is never said by colour alone: there is always a word beside it.
type Tone int

// Tones.
const (
	Plain Tone = iota
	Soft       // beside the point
	Good
	Warn
	Bad
)

// Heading begins a part. Level is 2 or 3; 0 is 2.
type Heading struct {
	Text  string
	Level int
}

// Paragraph is running text.
type Paragraph string

// Callout is a sentence that must not be missed. Word is its first word, in bold.
type Callout struct {
	Tone Tone
	Word string
	Text string
}

// Tiles are the few figures that somebody without time looks at.
type Tiles []Tile

// Tile is one of them.
type Tile struct {
	Name, Value string
	Tone        Tone
}

// Facts are names with values, one below the other.
type Facts [][2]string

// Table is rows under a head. Without rows it says None.
type Table struct {
	Columns []Column
	Rows    [][]Cell
	None    string
}

// Column is one of a table.
type Column struct {
	Name  string
	Share int  // of the width, in percent; 0: as its content wants
	Right bool // figures, set to the right
	Whole bool // its words are not broken, and its lines only where there is no other way: times, numbers
}

// Cell is the content of one column in one row, with what stands small below it.
type Cell struct {
	Text  string
	Notes []string
	Tone  Tone
	Tag   bool // a word of a fixed list, which is set as a label
}

// List is notes, each a sentence or some.
type List []string

// Code is text whose every character counts: a signed note, a digest.
type Code string

func (Heading) block()   {}
func (Paragraph) block() {}
func (Callout) block()   {}
func (Tiles) block()     {}
func (Facts) block()     {}
func (Table) block()     {}
func (List) block()      {}
func (Code) block()      {}
func (Figure) block()    {}

// Columns are plain ones.
func Columns(names ...string) []Column {
	out := make([]Column, len(names))
	for k, name := range names {
		out[k].Name = name
	}
	return out
}

// whole are words that stay together.
func (c Column) whole() bool { return c.Whole || c.Right }

// Row is a row of plain cells.
func Row(texts ...string) []Cell {
	out := make([]Cell, len(texts))
	for k, text := range texts {
		out[k].Text = text
	}
	return out
}

func (d Document) lang() string {
	if d.Lang == "" {
		return "en"
	}
	return d.Lang
}

func (h Heading) level() int {
	if h.Level == 0 {
		return 2
	}
	return h.Level
}

package page

import (
	"strconv"
	"strings"
	"time"
)

// Figure is a chart: bars, rules and labels in points from its upper left corner. It is as wide as the text at most. Alt says what it shows in words, for whoever
// does not see it.
type Figure struct {
	Caption, Alt  string
	Width, Height float64
	Shapes        []Shape
}

// Shape is a Bar, a Rule or a Label.
type Shape interface{ shape() }

// Bar is a filled rectangle.
type Bar struct {
	X, Y, W, H float64
	Tone       Tone
}

// Rule is a line.
type Rule struct {
	X1, Y1, X2, Y2 float64
	Tone           Tone
	Dashed         bool
}

// Label is text whose base line begins, is centred or ends at X and Y. Size 0 is 9 points.
type Label struct {
	X, Y   float64
	Text   string
	Size   float64
	Tone   Tone
	Anchor Anchor
}

// Anchor says where a label is held.
type Anchor int

// Anchors.
const (
	Start Anchor = iota
	Middle
	End
)

func (Bar) shape()   {}
func (Rule) shape()  {}
func (Label) shape() {}

func (l Label) size() float64 {
	if l.Size == 0 {
		return 9
	}
	return l.Size
}

// num writes a coordinate: two places at most, and the same on every machine.
func num(v float64) string {
	text := strings.TrimRight(strconv.FormatFloat(v, 'f', 2, 64), "0")
	if text = strings.TrimSuffix(text, "."); text == "-0" {
		return "0"
	}
	return text
}

// Timeline is lanes over time, with moments across all of them.
type Timeline struct {
	From, To time.Time
	Lanes    []Lane
	Marks    []Mark
}

// Lane is one line of it.
type Lane struct {
	Name  string
	Spans []Span
}

// Span is something that lasted. What begins before the line or ends behind it is cut there.
type Span struct {
	From, To time.Time
	Tone     Tone
	Label    string
}

// Mark is a moment, named below the lanes.
type Mark struct {
	At    time.Time
	Label string
	Tone  Tone
}

// Sizes of a timeline, in points.
const (
	lineWidth  = 520.0
	laneName   = 108.0
	laneHeight = 20.0
	axisHeight = 18.0
)

// Figure draws it. The times are UTC.
func (t Timeline) Figure(caption, alt string) Figure {
	f := Figure{Caption: caption, Alt: alt, Width: lineWidth}
	if !t.From.Before(t.To) {
		t.To = t.From.Add(time.Minute)
	}
	x := func(at time.Time) float64 {
		share := float64(at.Sub(t.From)) / float64(t.To.Sub(t.From))
		return laneName + min(max(share, 0), 1)*(lineWidth-laneName-8)
	}
	bottom := axisHeight + float64(len(t.Lanes))*laneHeight + 2
	step, layout := ticks(t.To.Sub(t.From))
	last := -1.0e3
	for at := t.From.UTC().Truncate(step); !at.After(t.To); at = at.Add(step) {
		if at.Before(t.From) || x(at)-last < 44 {
			continue
		}
		last = x(at)
		f.Shapes = append(f.Shapes, Rule{X1: last, Y1: axisHeight - 3, X2: last, Y2: bottom, Tone: Soft}, Label{X: min(last, lineWidth-20), Y: 10, Text: at.Format(layout), Size: 7.5, Tone: Soft, Anchor: Middle})
	}
	for k, lane := range t.Lanes {
		y := axisHeight + float64(k)*laneHeight
		f.Shapes = append(f.Shapes, Label{X: 0, Y: y + 13.5, Text: lane.Name, Size: 8.5})
		for _, s := range lane.Spans {
			from, to := x(s.From), max(x(s.To), x(s.From)+1.5)
			f.Shapes = append(f.Shapes, Bar{X: from, Y: y + 4, W: to - from, H: laneHeight - 8, Tone: s.Tone})
			if s.Label == "" {
				continue
			}
			l := Label{X: to + 4, Y: y + 13, Text: s.Label, Size: 7.5}
			if lineWidth-to < 6+4.2*float64(len(s.Label)) { // no room behind it
				l.X, l.Anchor = from-4, End
				if from-laneName < 4.2*float64(len(s.Label)) {
					l.X, l.Anchor = from+4, Start
				}
			}
			f.Shapes = append(f.Shapes, l)
		}
	}
	f.Height = t.marks(&f, x, bottom) + 4
	return f
}

// marks draws the moments: a dashed rule each, and the names in rows, so that none covers another. It gives the lower end.
func (t Timeline) marks(f *Figure, x func(time.Time) float64, bottom float64) float64 {
	var ends []float64 // of each row of names, how far it is taken
	for _, m := range t.Marks {
		at, width := x(m.At), 4.1*float64(len(m.Label))+8
		left := min(at, lineWidth-width)
		row := 0
		for row < len(ends) && ends[row] > left {
			row++
		}
		if row == len(ends) {
			ends = append(ends, 0)
		}
		ends[row] = left + width
		y := bottom + 11 + float64(row)*11
		f.Shapes = append(f.Shapes, Rule{X1: at, Y1: axisHeight - 3, X2: at, Y2: y - 8, Tone: m.Tone, Dashed: true}, Label{X: left + 3, Y: y, Text: m.Label, Size: 7.5, Tone: m.Tone})
	}
	return bottom + float64(len(ends))*11
}

// ticks gives the steps of the axis for a length, and how they are written.
func ticks(length time.Duration) (time.Duration, string) {
	const day = 24 * time.Hour
	for _, step := range []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
		day, 2 * day, 7 * day, 14 * day, 28 * day,
	} {
		if length/step > 8 {
			continue
		}
		switch {
		case step < time.Minute:
			return step, "15:04:05"
		case step < day && length <= day:
			return step, "15:04"
		case step < day:
			return step, "2 Jan 15:04"
		}
		return step, "2 Jan"
	}
	return max(length/8, 1).Truncate(day) + day, "2 Jan 2006"
}

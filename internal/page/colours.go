package page

import "fmt"

// colour is red, green and blue, 8 bits each.
type colour uint32

func (c colour) String() string { return fmt.Sprintf("#%06x", uint32(c)) }

// scheme is the colours of a page. Text has a contrast of at least 4.5 to what is behind it (WCAG 2.2, 1.4.3).
type scheme struct {
	paper, wash, line      colour // behind text, behind text that is set apart, and rules
	ink, soft              colour
	good, warn, bad        colour
	onGood, onWarn, onBad  colour // behind a callout
	washGood, washBad, bar colour // of charts
}

// light is what is printed, too.
func light() scheme {
	return scheme{
		paper: 0xffffff, wash: 0xf4f6f8, line: 0xd3d9df, ink: 0x1a2027, soft: 0x55606b, good: 0x14653a, warn: 0x7f4d00, bad: 0xa01519,
		onGood: 0xebf6ef, onWarn: 0xfdf4e4, onBad: 0xfcecec, washGood: 0x8cc7a5, washBad: 0xe39a9c, bar: 0x7d8fa3,
	}
}

func dark() scheme {
	return scheme{
		paper: 0x14181d, wash: 0x1e242b, line: 0x3a434d, ink: 0xe7eaee, soft: 0xa7b1bc, good: 0x74d19c, warn: 0xe8b65f, bad: 0xff9494,
		onGood: 0x18291f, onWarn: 0x2c2415, onBad: 0x301b1d, washGood: 0x2f6b49, washBad: 0x86393d, bar: 0x5d6e80,
	}
}

// of gives the colour of text in a tone.
func (s scheme) of(t Tone) colour {
	return [...]colour{Plain: s.ink, Soft: s.soft, Good: s.good, Warn: s.warn, Bad: s.bad}[t]
}

// behind gives what is behind a callout of a tone.
func (s scheme) behind(t Tone) colour {
	return [...]colour{Plain: s.wash, Soft: s.wash, Good: s.onGood, Warn: s.onWarn, Bad: s.onBad}[t]
}

// fill gives the colour of a bar of a chart.
func (s scheme) fill(t Tone) colour {
	return [...]colour{Plain: s.bar, Soft: s.line, Good: s.washGood, Warn: s.warn, Bad: s.washBad}[t]
}

// name of a tone in style sheets.
func (t Tone) name() string {
	return [...]string{Plain: "plain", Soft: "soft", Good: "good", Warn: "warn", Bad: "bad"}[t]
}

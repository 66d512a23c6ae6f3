package media

import (
	"slices"
	"strconv"
	"strings"
)

// Payload type numbers. A session description says under which numbers its owner wants to receive (RFC 3264 section 5.1), and an answer may number a format anew
// (section 6.1), so the two sides of a call need not have the same ones. Each side is spoken to in numbers of its own: descriptions are written in them, and the
// plane gives packets the number of the side to which they go.

// redundant is the encoding name of RFC 2198, whose packets name payload types inside: they cannot be numbered anew without being rewritten.
const redundant = "RED"

// counterpart is the format of o that means what f of l means; "" when it has none. The same number comes first, then the same parameters.
func (l *line) counterpart(f string, mine timings, o *line, theirs timings) string {
	k, best, exact := mine.named(f), "", false
	for _, g := range o.formats {
		switch c := theirs.named(g); {
		case k.name == "" || c.name == "":
			if f == g {
				return g // nobody knows more of it than its number
			}
		case c != k:
		case f == g:
			return g
		case !exact && l.parameters(f) == o.parameters(g):
			best, exact = g, true
		case best == "":
			best = g
		}
	}
	return best
}

// parameters are those of a format, as its fmtp has them.
func (l *line) parameters(f string) string {
	for _, a := range l.attrs {
		if number, rest, ok := strings.Cut(a.value, " "); ok && a.key == "fmtp" && number == f {
			return rest
		}
	}
	return ""
}

// shared are the formats of l that o has, too, under any number.
func (l *line) shared(o *line) []string {
	var rooms [2][usualTimings]timing
	mine, theirs := l.clocks(rooms[0][:0]), o.clocks(rooms[1][:0])
	return slices.DeleteFunc(slices.Clone(l.formats), func(f string) bool { return l.counterpart(f, mine, o, theirs) == "" })
}

// as is l in the numbers of like, without the formats that like has not. A line with RFC 2198 keeps its numbers.
func (l *line) as(like *line) line {
	var rooms [2][usualTimings]timing
	mine, theirs := l.clocks(rooms[0][:0]), like.clocks(rooms[1][:0])
	out := *l
	same, fixed := true, false
	for _, f := range l.formats {
		same = same && l.counterpart(f, mine, like, theirs) == f
		fixed = fixed || mine.named(f).name == redundant
	}
	switch {
	case same:
		return out
	case fixed:
		out.only(like.formats)
		return out
	}
	return l.renamed(func(f string) string { return l.counterpart(f, mine, like, theirs) })
}

// renamed gives the formats of l other numbers, with the attributes that name them; one without a number goes.
func (l *line) renamed(to func(format string) string) line {
	out := *l
	out.formats, out.attrs = make([]string, 0, len(l.formats)), make([]attr, 0, len(l.attrs))
	var kept []string // of them, in the numbers of l
	for _, f := range l.formats {
		if g := to(f); g != "" && !slices.Contains(out.formats, g) {
			out.formats, kept = append(out.formats, g), append(kept, f)
			if g != f && !l.maps(f) { // RFC 3551 section 6: another number needs words
				pt, _ := payloadType(f)
				out.attrs = append(out.attrs, attr{"rtpmap", g + " " + static(pt).name + "/8000"})
			}
		}
	}
	for _, a := range l.attrs {
		f, rest, _ := strings.Cut(a.value, " ")
		if a.key != "rtpmap" && a.key != "fmtp" {
			out.attrs = append(out.attrs, a)
		} else if i := slices.Index(kept, f); i >= 0 {
			if g := out.formats[i]; g != f {
				a.value = g + " " + rest
			}
			out.attrs = append(out.attrs, a)
		}
	}
	return out
}

// maps says whether an attribute says what a format is.
func (l *line) maps(f string) bool {
	return slices.ContainsFunc(l.attrs, func(a attr) bool {
		number, _, _ := strings.Cut(a.value, " ")
		return a.key == "rtpmap" && number == f
	})
}

// across are the payload types under which a far end sends, each with the number under which it leaves to the other one. told is what the far end was told last,
// said what it said itself: some send under their own numbers. other is what the other far end said, whose numbers some send under, too.
func across(room timings, told, said, other *line) timings {
	t := told.clocks(room)
	var rooms [2][usualTimings]timing
	mine, theirs := said.clocks(rooms[0][:0]), other.clocks(rooms[1][:0])
	of := len(t)
	t = t.fill(mine)
	own := len(t)
	t = t.fill(theirs)
	for i := range t[:own] {
		l, clocks := told, t[:of]
		if i >= of {
			l, clocks = said, mine
		}
		if f := l.format(t[i].pt); f != "" {
			if pt, ok := payloadType(l.counterpart(f, clocks, other, theirs)); ok {
				t[i].to = pt
			}
		}
	}
	return t
}

// format is the text of a payload type of the line; "" when it has none.
func (l *line) format(pt uint8) string {
	for _, f := range l.formats {
		if n, ok := payloadType(f); ok && n == pt {
			return f
		}
	}
	return ""
}

// differ says whether any payload type leaves under another number.
func (t timings) differ() bool {
	return slices.ContainsFunc(t, func(k timing) bool { return k.to != k.pt })
}

// remember keeps which numbers meant what to the far end of l: RFC 3264 section 8.3.2, a number means the same for as long as the session lives.
func (l *leg) remember() {
	if l.remote == nil || l.remote.off {
		return
	}
	l.learn(&l.remote.line)
	if at := l.remote.audio; at < len(l.layout) {
		l.learn(&l.layout[at])
	}
}

// learn adds the numbers of a line that have no meaning yet.
func (l *leg) learn(said *line) {
	var room [usualTimings]timing
	l.numbers = l.numbers.fill(said.clocks(room[:0]))
}

// known is an offer to the far end of l in the numbers that it knows. A format that is new to it keeps its number, unless that one means something else to it.
func (l *leg) known(out line) line {
	l.remember()
	if len(l.numbers) == 0 {
		return out
	}
	said := &line{}
	if l.remote != nil && !l.remote.off {
		said = &l.remote.line
	}
	var rooms [2][usualTimings]timing
	mine, theirs := out.clocks(rooms[0][:0]), said.clocks(rooms[1][:0])
	same, fixed := true, false
	number := func(f string) string {
		if g := out.counterpart(f, mine, said, theirs); g != "" {
			return g
		}
		return l.numbered(f, mine.named(f), &out)
	}
	for _, f := range out.formats {
		same = number(f) == f && same
		fixed = fixed || mine.named(f).name == redundant
	}
	if same || fixed {
		return out
	}
	return out.renamed(number)
}

// numbered is the number of a format that the far end of l did not name last: the one that it had once, else the one that it has, or any that means nothing yet. ""
// when there is none.
func (l *leg) numbered(f string, k clock, out *line) string {
	pt, ok := payloadType(f)
	if was := l.numbers.of(pt); !ok || k.name == "" || was == k {
		return f
	}
	for _, n := range l.numbers {
		if n.clock == k {
			return strconv.Itoa(int(n.pt))
		}
	}
	if l.numbers.of(pt).name == "" {
		return f
	}
	for pt := uint8(96); pt < 128; pt++ { // the dynamic ones, RFC 3551 section 3
		if l.numbers.of(pt).name == "" && out.format(pt) == "" {
			l.numbers = l.numbers.set(pt, k)
			return strconv.Itoa(int(pt))
		}
	}
	return ""
}

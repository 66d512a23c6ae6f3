package media

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cordonsip/cordon/media/plane"
)

// pace is how the time stamps of a payload type run.
type pace struct {
	rate  uint32
	event bool // RFC 4733: they do not advance
}

// clock is what is known of one payload type.
type clock struct {
	pace
	name string // encoding name in upper case
}

// timing is the clock of one payload type.
type timing struct {
	clock
	pt uint8
	to uint8 // the number under which it leaves to the other side
}

// timings are the clocks of a line: few of the 128 payload types have one.
type timings []timing

// usualTimings is how many clocks of a line there is room for without an allocation.
const usualTimings = 16

// of is the clock of a payload type; zero when it is not known.
func (t timings) of(pt uint8) clock {
	for i := range t {
		if t[i].pt == pt {
			return t[i].clock
		}
	}
	return clock{}
}

// named is the clock of a format, which is the text of a payload type.
func (t timings) named(format string) clock {
	pt, ok := payloadType(format)
	if !ok {
		return clock{}
	}
	return t.of(pt)
}

func (t timings) set(pt uint8, c clock) timings {
	for i := range t {
		if t[i].pt == pt {
			t[i].clock = c
			return t
		}
	}
	return append(t, timing{c, pt, pt})
}

// fill takes over what only o knows.
func (t timings) fill(o timings) timings {
	for i := range o {
		if t.of(o[i].pt).rate == 0 {
			t = t.set(o[i].pt, o[i].clock)
		}
	}
	return t
}

// paces appends the timings as the plane needs them.
func (t timings) paces(out []plane.Clock) []plane.Clock {
	for i := range t {
		out = append(out, plane.Clock{PT: t[i].pt, To: t[i].to, Moves: t[i].to != t[i].pt, Event: t[i].event, Rate: t[i].rate})
	}
	return out
}

func payloadType(format string) (uint8, bool) {
	pt, err := strconv.ParseUint(format, 10, 7)
	return uint8(pt), err == nil
}

// static is the clock of a payload type that needs no rtpmap, RFC 3551 table 4.
func static(pt uint8) clock {
	name := ""
	switch pt {
	case 0:
		name = "PCMU"
	case 3:
		name = "GSM"
	case 4:
		name = "G723"
	case 8:
		name = "PCMA"
	case 9:
		name = "G722" // the clock is 8000 by an old mistake, RFC 3551 section 4.5.2
	case 13:
		name = "CN"
	case 15:
		name = "G728"
	case 18:
		name = "G729"
	default:
		return clock{}
	}
	return clock{pace{rate: 8000}, name}
}

// clocks appends the clock of each payload type of the line to t: RFC 3551 table 4, then rtpmap.
func (l *line) clocks(t timings) timings {
	for _, f := range l.formats {
		if pt, ok := payloadType(f); ok {
			if c := static(pt); c.name != "" {
				t = t.set(pt, c)
			}
		}
	}
	for i := range l.attrs {
		if l.attrs[i].key == "rtpmap" {
			if pt, c, ok := readMap(l.attrs[i].value); ok {
				t = t.set(pt, c)
			}
		}
	}
	return t
}

// usualMap is readMap of what nearly all descriptions say; false for anything else.
func usualMap(s string) (pt uint8, c clock, ok bool) {
	switch s {
	case "0 PCMU/8000":
		return 0, static(0), true
	case "8 PCMA/8000":
		return 8, static(8), true
	case "9 G722/8000":
		return 9, static(9), true
	case "18 G729/8000":
		return 18, static(18), true
	case "101 telephone-event/8000":
		return 101, clock{pace{8000, true}, "TELEPHONE-EVENT"}, true
	}
	return 0, clock{}, false
}

// readMap takes one rtpmap, "8 PCMA/8000/1".
func readMap(s string) (pt uint8, c clock, ok bool) {
	if pt, c, ok = usualMap(s); ok {
		return pt, c, ok
	}
	number, coding, _ := strings.Cut(strings.Trim(s, " \t"), " ")
	coding = strings.TrimLeft(coding, " \t")
	pt, ok = payloadType(strings.TrimRight(number, "\t"))
	if !ok || coding == "" || strings.ContainsAny(coding, " \t") {
		return 0, clock{}, false
	}
	name, rest, _ := strings.Cut(coding, "/")
	rate, _, _ := strings.Cut(rest, "/")
	hz, err := strconv.ParseUint(rate, 10, 32)
	if err != nil || hz > 1e6 {
		return 0, clock{}, false
	}
	name = upper(name)
	return pt, clock{pace{uint32(hz), name == "TELEPHONE-EVENT"}, name}, true
}

// upper is strings.ToUpper, without an allocation for the names that are usually written small.
func upper(name string) string {
	switch name {
	case "telephone-event":
		return "TELEPHONE-EVENT"
	case "opus":
		return "OPUS"
	}
	return strings.ToUpper(name)
}

// speech is the codec of the line by its own clocks, which are not kept; "" without one.
func (l *line) speech() string {
	var room [usualTimings]timing
	return l.codec(l.clocks(room[:0]))
}

// codec is the name of the first format that carries speech.
func (l *line) codec(t timings) string {
	for _, f := range l.formats {
		if k := t.named(f); k.name != "" && !k.event && k.name != "CN" {
			return k.name
		}
	}
	return ""
}

// keep takes the formats away that want does not, with their attributes. It reports whether any is left.
func (l *line) keep(want func(format string) bool) bool {
	if slices.ContainsFunc(l.formats, func(f string) bool { return !want(f) }) {
		l.formats = slices.DeleteFunc(slices.Clone(l.formats), func(f string) bool { return !want(f) })
	}
	if slices.ContainsFunc(l.attrs, func(a attr) bool { return !l.keeps(a) }) {
		l.attrs = slices.DeleteFunc(slices.Clone(l.attrs), func(a attr) bool { return !l.keeps(a) })
	}
	return len(l.formats) > 0
}

// only keeps the formats in allowed, and their attributes. It reports whether any is left.
func (l *line) only(allowed []string) bool {
	return l.keep(func(f string) bool { return slices.Contains(allowed, f) })
}

// keeps says whether an attribute names a format of the line, or none.
func (l *line) keeps(a attr) bool {
	if a.key != "rtpmap" && a.key != "fmtp" {
		return true
	}
	f, _, _ := strings.Cut(a.value, " ")
	return slices.Contains(l.formats, f)
}

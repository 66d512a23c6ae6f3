package media

import (
	"cmp"
	"slices"
	"strings"
)

// Codecs says which formats one side may speak, and in which order they are offered to it. Names are encoding names as rtpmap has them, without regard to
// case; the static payload types of RFC 3551 have theirs without an rtpmap. The zero value changes nothing.
type Codecs struct {
	Allow  []string // nil means all; telephone events stay with what is allowed unless Deny names them
	Deny   []string // never, whatever Allow says
	Prefer []string // what comes first in an offer, in this order; all others follow as they were offered
}

const telephoneEvent = "telephone-event"

// EncodingNames are the audio formats that Codecs may name: RFC 3551, RFC 4733 and the payload formats of their own.
func EncodingNames() []string {
	return []string{
		"PCMA", "PCMU", "G722", "opus", "G729", telephoneEvent, "AMR", "AMR-WB", "CN", "EVS", "G7221", "G723", "G726-16", "G726-24", "G726-32", "G726-40", "G728", "G729D",
		"G729E", "GSM", "GSM-EFR", "iLBC", "L16", "red", "SILK", "SIREN", "speex",
	}
}

// Speech says whether a format of that encoding name can carry a call: telephone events and comfort noise only stand beside others.
func Speech(name string) bool {
	return !strings.EqualFold(name, telephoneEvent) && !strings.EqualFold(name, "CN")
}

// Permits says whether a format of that encoding name may be spoken.
func (c Codecs) Permits(name string) bool {
	switch {
	case named(c.Deny, name) >= 0:
		return false
	case len(c.Allow) == 0 || strings.EqualFold(name, telephoneEvent):
		return true
	}
	return named(c.Allow, name) >= 0
}

// named is the place of name in list, or -1.
func named(list []string, name string) int {
	return slices.IndexFunc(list, func(s string) bool { return strings.EqualFold(s, name) })
}

// sift takes away the formats of l that c does not permit, with their attributes, and reports whether speech is left. A format without a known clock has no
// name: it goes where names are allowed, and stays where they are denied.
func (c Codecs) sift(l *line) bool {
	if len(c.Allow) == 0 && len(c.Deny) == 0 {
		return true
	}
	var room [usualTimings]timing
	t := l.clocks(room[:0])
	var lost, kept []uint32
	for _, f := range l.formats {
		switch k := t.named(f); {
		case !Speech(k.name):
		case c.Permits(k.name):
			kept = append(kept, k.rate)
		default:
			lost = append(lost, k.rate)
		}
	}
	return l.keep(func(f string) bool {
		k := t.named(f)
		// RFC 4733 section 2.1: events have the clock of the speech that they stand among, so they go when the last of it does. So does comfort noise.
		orphan := !Speech(k.name) && slices.Contains(lost, k.rate) && !slices.Contains(kept, k.rate)
		return !orphan && c.Permits(k.name)
	}) && l.speech() != ""
}

// arrange brings the formats of l into the order of c.
func (c Codecs) arrange(l *line) {
	if len(c.Prefer) == 0 {
		return
	}
	var room [usualTimings]timing
	t := l.clocks(room[:0])
	rank := func(f string) int {
		if i := named(c.Prefer, t.named(f).name); i >= 0 {
			return i
		}
		return len(c.Prefer)
	}
	l.formats = slices.Clone(l.formats)
	slices.SortStableFunc(l.formats, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
}

// outgoing makes l an offer that fits the side: nothing that it may not speak, in its order.
func (c Codecs) outgoing(l *line) *Refusal {
	if !c.sift(l) {
		return &Refusal{Status: 488, Warning: 305, Text: "no codec that the other side takes is offered", NoCodec: true}
	}
	c.arrange(l)
	return nil
}

// incoming takes away of an offer what its side may not speak.
func (c Codecs) incoming(l *line) *Refusal {
	if !c.sift(l) {
		return refuse(305, "no codec that this side may use is offered")
	}
	return nil
}

// within takes away of an answer, whose clocks are mine, what was not offered. A format keeps its place under another number, which an answer may give it (RFC 3264 section 6.1), as
// long as name and clock are those of an offered one; further formats, which section 6.1 lets an answer name, were never offered to anyone else.
func (l *line) within(mine timings, offer *line) *Refusal {
	var room [usualTimings]timing
	theirs := offer.clocks(room[:0])
	l.keep(func(f string) bool {
		k := mine.named(f)
		return slices.ContainsFunc(offer.formats, func(o string) bool {
			was := theirs.named(o)
			return k.rate == was.rate && k.name == was.name && (k.name != "" || f == o)
		})
	})
	if l.codec(mine) == "" {
		return refuse(305, "the answer has no format that was offered")
	}
	return nil
}

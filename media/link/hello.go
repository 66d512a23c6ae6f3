package link

import (
	"encoding/binary"
	"fmt"
)

// Versions of what is spoken. Another major version is another language; a later minor one says more, in ways that an earlier one leaves out.
const (
	Major = 1
	Minor = 7

	yields  = 4 // the first minor version whose media process tells the state of its legs to another build
	impairs = 7 // and whose takes packets away for a drill
)

const magic = "cordon-media"

// Greeting is what both ends say first. Its form holds for all versions.
type Greeting struct {
	Major, Minor uint16
	Layout       uint32 // of the slots: plane.Layout
	Build        string // for people: an update of one end is no reason to end calls
	PID          uint32
	Workers      uint32 // of the plane; 0: it has not begun
	Legs, Pairs  uint32 // that it carries
}

func putGreeting(b []byte, g Greeting) []byte {
	at := len(b)
	b = append(begin(b, kindHello, 0), magic...)
	b = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(b, g.Major), g.Minor)
	for _, n := range []uint32{g.Layout, g.PID, g.Workers, g.Legs, g.Pairs} {
		b = binary.LittleEndian.AppendUint32(b, n)
	}
	b, _ = end(putText(b, g.Build[:min(len(g.Build), maxText)]), at)
	return b
}

func (r *body) greeting() (g Greeting) {
	if string(r.take(len(magic))) != magic {
		r.bad = true
		return g
	}
	g.Major, g.Minor = r.u16(), r.u16()
	for _, n := range []*uint32{&g.Layout, &g.PID, &g.Workers, &g.Legs, &g.Pairs} {
		*n = r.u32()
	}
	g.Build = r.text()
	return g
}

// Mismatch says in what the two ends cannot work together; nil when they can.
type Mismatch struct {
	Ours, Theirs Greeting
}

func (m *Mismatch) Error() string {
	if m.Ours.Major != m.Theirs.Major {
		return fmt.Sprintf("link: %s speaks version %d of the protocol, and this build (%s) version %d", m.Theirs.who(), m.Theirs.Major, m.Ours.Build, m.Ours.Major)
	}
	return fmt.Sprintf("link: %s lays its legs out as version %d, and this build (%s) as version %d", m.Theirs.who(), m.Theirs.Layout, m.Ours.Build, m.Ours.Layout)
}

func (g Greeting) who() string {
	return fmt.Sprintf("process %d (build %s, %d legs)", g.PID, g.Build, g.Legs)
}

// fits compares what must be the same: the language, and the form of the memory.
func fits(ours, theirs Greeting) error {
	if ours.Major != theirs.Major || ours.Layout != theirs.Layout {
		return &Mismatch{ours, theirs}
	}
	return nil
}

package desk

import (
	"maps"
	"slices"
	"time"
)

// Cut is something that a person severed: nothing goes there, whatever the law says, until another person puts it back.
type Cut struct {
	Kind   string    `json:"kind"` // trunk, group or region
	Name   string    `json:"name"`
	Force  bool      `json:"force,omitempty"` // emergency calls, too
	Reason string    `json:"reason"`
	By     string    `json:"by"` // pseudonym
	From   time.Time `json:"from"`
	Entry  uint64    `json:"entry"` // in the log
}

// Cuts lists what is severed, by kind and name.
func (b *Book) Cuts() []Cut {
	out := []Cut{}
	if b == nil {
		return out
	}
	for _, k := range slices.Sorted(maps.Keys(b.Severed)) {
		out = append(out, b.Severed[k])
	}
	return out
}

// Cut gives one; ok is false where nothing is severed.
func (b *Book) Cut(kind, name string) (Cut, bool) {
	if b == nil {
		return Cut{}, false
	}
	c, ok := b.Severed[key(kind, name)]
	return c, ok
}

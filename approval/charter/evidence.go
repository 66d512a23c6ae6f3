package charter

import (
	"cmp"
	"fmt"
	"slices"
)

// Spot is where something is on the map: degrees north and east, and how far from there it may be, in km.
type Spot struct {
	Lat float64 `json:"lat"`
	Lon float64 `json:"lon"`
	KM  float64 `json:"within_km"`
}

// at says where, behind what is there.
func (s *Spot) at() string {
	if s == nil {
		return ""
	}
	return fmt.Sprintf(" at %g, %g within %g km", s.Lat, s.Lon, s.KM)
}

// Evidence is what may speak against declared places, and what follows then. A source can only take away: one more is narrower.
type Evidence struct {
	Sources []Source `json:"sources"`
	Weak    string   `json:"rank_3_4"`       // alert, or hold
	Rest    string   `json:"rest,omitempty"` // all else that the section says, as YAML
}

// Source is one thing that evidence comes from: an entry of the section as YAML, with absolute paths. What stands in the file that it names is no part of it, unless
// the entry has its digest.
type Source struct {
	Use  string `json:"use"` // feed, rir, sight
	Says string `json:"says"`
}

func (e Evidence) sorted() Evidence {
	e.Sources = set(e.Sources, func(a, b Source) int { return cmp.Or(cmp.Compare(a.Use, b.Use), cmp.Compare(a.Says, b.Says)) })
	return e
}

// evidence compares what could contradict a declared place. A source that reads otherwise is another one, and the one before is gone.
func (d *difference) evidence() {
	if !d.old.knows(2) {
		return
	}
	if was, is := d.old.Position, d.next.Position; was != nil && (is == nil || *was != *is) {
		d.add("node.position", "is another one, or none: round trips that contradicted a place may not do so any more")
	}
	was, is := d.old.Evidence, d.next.Evidence
	for _, s := range was.Sources {
		if !slices.Contains(is.Sources, s) {
			d.add("evidence."+s.Use, "is gone, or another one: %s", oneLine(s.Says))
		}
	}
	if was.Weak != is.Weak && is.Weak != "hold" {
		d.add("evidence.on_contradiction.rank_3_4", "was %s and is %s", was.Weak, is.Weak)
	}
	if was.Rest != is.Rest {
		d.add("evidence", "says otherwise: %s", oneLine(cmp.Or(is.Rest, "nothing more")))
	}
}

// StricterEvidence are the sources of both, and the stricter consequence. What this version does not understand stays as it was accepted.
func StricterEvidence(old, next Charter) Evidence {
	if !old.knows(2) {
		return next.Evidence
	}
	out := Evidence{Sources: slices.Clone(old.Evidence.Sources), Weak: next.Evidence.Weak, Rest: old.Evidence.Rest}
	for _, s := range next.Evidence.Sources {
		if !slices.Contains(out.Sources, s) {
			out.Sources = append(out.Sources, s)
		}
	}
	if old.Evidence.Weak == "hold" {
		out.Weak = "hold"
	}
	return out.sorted()
}

// StricterPosition is where the node was accepted to be, or, where nobody had said, where it is said to be now.
func StricterPosition(old, next Charter) *Spot {
	if old.knows(2) && old.Position != nil {
		return old.Position
	}
	return next.Position
}

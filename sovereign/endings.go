package sovereign

import (
	"slices"
	"time"
)

// Ending is an instrument that ends by its own clock, and the parties that rest on it.
type Ending struct {
	Instrument string
	Country    Country
	Until      time.Time // the first instant at which it no longer applies
	Days       int       // whole days left
	Parties    []string
}

// EndingDays are how many days before an instrument ends people are told.
func EndingDays() []int { return []int{180, 90, 30} }

// Endings lists the instruments that permit parties at a time and have an end, the nearest first.
func (s *Snapshot) Endings(at time.Time) []Ending {
	by := map[string]*Ending{}
	for _, p := range s.Parties() {
		for _, plane := range [...]Plane{Signalling, Media} {
			r := s.JudgeParty(p.Name, plane, Production, at)
			if r.Instrument == "" || !r.Permitted() {
				continue
			}
			e := by[r.Instrument]
			if e == nil {
				e = &Ending{Instrument: r.Instrument, Country: r.Country}
				by[r.Instrument] = e
			}
			if !slices.Contains(e.Parties, p.Name) {
				e.Parties = append(e.Parties, p.Name)
			}
		}
	}
	var out []Ending
	for _, f := range s.Law().Instruments() {
		if e := by[f.ID]; e != nil && !f.ValidUntil.IsZero() && at.Before(f.ValidUntil) {
			e.Until, e.Days = f.ValidUntil, int(f.ValidUntil.Sub(at)/(24*time.Hour))
			slices.Sort(e.Parties)
			out = append(out, *e)
		}
	}
	slices.SortStableFunc(out, func(a, b Ending) int { return a.Until.Compare(b.Until) })
	return out
}

package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Seen is what receipts say of one party in one country on one plane.
type Seen struct {
	Party      string    `json:"party"`
	Plane      string    `json:"plane"`
	Country    string    `json:"country"`
	Region     string    `json:"region"`
	Standing   string    `json:"standing"` // in_eea | adequate | ...: of the last call
	Instrument string    `json:"instrument,omitempty"`
	Gated      bool      `json:"by_gate,omitempty"` // under a decision of the gate
	Calls      uint64    `json:"calls"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	FirstSeq   uint64    `json:"first_seq"`
	LastSeq    uint64    `json:"last_seq"`
}

type seenKey struct {
	party, plane, country, region, instrument string
	gated                                     bool
}

// Observer gathers where parties were seen, from entries one by one.
type Observer struct {
	period Period
	seen   map[seenKey]*Seen
	whole  map[seenKey]uint64 // calls by party, country and instrument, whatever the plane and the region
	calls  uint64
	stood  map[string]audit.Entry // of each endpoint the last finding before the period
}

// planeEndpoint is where endpoints outside the call path are; unprovable is the country of one in no one place.
const (
	planeEndpoint = "endpoint"
	unprovable    = "unprovable"
)

// NewObserver gives an empty one.
func NewObserver(p Period) *Observer {
	return &Observer{period: p, seen: map[seenKey]*Seen{}, whole: map[seenKey]uint64{}, stood: map[string]audit.Entry{}}
}

// Add takes one entry. A receipt that does not read is an error: left out, it would make the report a lie.
func (o *Observer) Add(e audit.Entry) error {
	if e.Kind == audit.KindInventoryJudged {
		return o.endpoint(e)
	}
	if e.Kind != audit.KindReceipt || !o.period.Has(e.Time) {
		return nil
	}
	ev, err := audit.Decode(e)
	if err != nil {
		return fmt.Errorf("report: entry %d: %w", e.Seq, err)
	}
	r, ok := ev.(audit.Receipt)
	if !ok {
		return fmt.Errorf("report: entry %d is no receipt", e.Seq)
	}
	o.calls++
	counted := map[seenKey]bool{}
	for _, h := range r.Hops {
		k := seenKey{partyOf(r, h.Leg), h.Plane, named(h.DeclaredCountry), h.DeclaredRegion, h.Instrument, r.GateDecision != "" && h.Ground == "grant"}
		s := o.seen[k]
		if s == nil {
			s = &Seen{Party: k.party, Plane: k.plane, Country: k.country, Region: k.region, Instrument: k.instrument, Gated: k.gated, First: r.TInvite, FirstSeq: e.Seq}
			o.seen[k] = s
		}
		s.Standing, s.Last, s.LastSeq = h.Verdict, r.TInvite, e.Seq
		if !counted[k] {
			counted[k] = true
			s.Calls++
		}
		if k.plane, k.region = "", ""; !counted[k] {
			counted[k] = true
			o.whole[k]++
		}
	}
	return nil
}

// endpoint takes where an endpoint was found. What was found before the period counts until the first finding in it: then the endpoint was still there.
func (o *Observer) endpoint(e audit.Entry) error {
	ev, err := audit.Decode(e)
	if err != nil {
		return fmt.Errorf("report: entry %d: %w", e.Seq, err)
	}
	j, ok := ev.(audit.InventoryJudged)
	if !ok {
		return fmt.Errorf("report: entry %d is no finding about an endpoint", e.Seq)
	}
	switch {
	case !o.period.From.IsZero() && e.Time.Before(o.period.From):
		o.stood[j.Entry] = e
		return nil
	case !o.period.Has(e.Time):
		return nil
	}
	if before, ok := o.stood[j.Entry]; ok {
		delete(o.stood, j.Entry)
		if err := o.found(before, o.period.From); err != nil {
			return err
		}
	}
	return o.found(e, e.Time)
}

// found notes the countries of one finding.
func (o *Observer) found(e audit.Entry, at time.Time) error {
	ev, err := audit.Decode(e)
	if err != nil {
		return fmt.Errorf("report: entry %d: %w", e.Seq, err)
	}
	j, _ := ev.(audit.InventoryJudged) // endpoint saw that it is one
	for _, a := range j.Answers {
		country := unprovable
		if a.Verdict != unprovable && len(a.Countries) < 2 {
			country = named(strings.Join(a.Countries, ""))
		}
		k := seenKey{party: j.Entry, plane: planeEndpoint, country: country, region: a.Region, instrument: a.Instrument}
		s := o.seen[k]
		if s == nil {
			s = &Seen{Party: k.party, Plane: k.plane, Country: k.country, Region: k.region, Instrument: k.instrument, First: at, FirstSeq: e.Seq}
			o.seen[k] = s
		}
		s.Standing, s.Last, s.LastSeq = a.Legal, at, e.Seq
	}
	return nil
}

// partyOf names the party of a leg: leg a is who called.
func partyOf(r audit.Receipt, leg string) string {
	if (leg == "a") == (r.Direction == "inbound") {
		return r.Trunk
	}
	return r.EdgeGroup
}

// Seen gives what was gathered, in order.
func (o *Observer) Seen() []Seen {
	for entry, e := range o.stood { // nothing was found since: it stood there all the time
		delete(o.stood, entry)
		_ = o.found(e, o.period.From) // it decoded before
	}
	out := make([]Seen, 0, len(o.seen))
	for _, s := range o.seen {
		out = append(out, *s)
	}
	slices.SortFunc(out, func(a, b Seen) int {
		return cmp.Or(cmp.Compare(a.Party, b.Party), cmp.Compare(a.Plane, b.Plane), cmp.Compare(a.Country, b.Country), cmp.Compare(a.Region, b.Region),
			cmp.Compare(a.Instrument, b.Instrument), cmp.Compare(a.FirstSeq, b.FirstSeq))
	})
	return out
}

package report

import (
	"cmp"
	"fmt"
	"slices"
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
}

// NewObserver gives an empty one.
func NewObserver(p Period) *Observer {
	return &Observer{period: p, seen: map[seenKey]*Seen{}, whole: map[seenKey]uint64{}}
}

// Add takes one entry. A receipt that does not read is an error: left out, it would make the report a lie.
func (o *Observer) Add(e audit.Entry) error {
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

// partyOf names the party of a leg: leg a is who called.
func partyOf(r audit.Receipt, leg string) string {
	if (leg == "a") == (r.Direction == "inbound") {
		return r.Trunk
	}
	return r.EdgeGroup
}

// Seen gives what was gathered, in order.
func (o *Observer) Seen() []Seen {
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

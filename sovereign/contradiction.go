package sovereign

import (
	"net/netip"
	"slices"

	"github.com/cordonsip/cordon/internal/octets"
)

// GroundContradicted holds an address whose declared place evidence contradicts.
const GroundContradicted Ground = "place_contradicted"

// Contradiction is what evidence says against the declared place of an address. It can only make a ruling stricter: what is permitted is held, and what is denied
// stays denied. It is no part of the policy nor of the facts, so no digest covers it; the log says when one begins and ends.
type Contradiction struct {
	Addr netip.Addr `json:"addr"`
	// Party whose declaration is contradicted, where it is the party that says in which region of a shared prefix it is; "" where it is the prefix' own.
	Party string `json:"party,omitempty"`
	Kind  string `json:"kind"` // of the strongest evidence
	Why   string `json:"why"`  // one sentence
	// Weak evidence (registries, databases) that the operator lets hold: people may open it by a grant for the declared region. What strong evidence
	// contradicts is in no known region, so no grant can name it.
	Weak bool `json:"weak,omitempty"`
}

// WithContradictions returns a copy with other contradictions and the next generation; facts and policy are shared.
func (s *Snapshot) WithContradictions(list []Contradiction) *Snapshot {
	next := s.Bearing(list)
	next.cfg.Generation++
	return next.bounded()
}

// Bearing returns a copy with other contradictions and the same generation, for a snapshot that was built from a configuration and was never in force.
func (s *Snapshot) Bearing(list []Contradiction) *Snapshot {
	next := *s
	next.memory = &memory{}
	next.cfg.Contradicted = slices.Clone(list)
	next.contradicted = nil
	if len(list) > 0 {
		next.contradicted = make(map[netip.Addr][]Contradiction, len(list))
		for _, c := range list {
			a := c.Addr.Unmap().WithZone("")
			next.contradicted[a] = append(next.contradicted[a], c)
		}
	}
	return next.bounded()
}

// Contradicted gives back what evidence says against declared places.
func (s *Snapshot) Contradicted() []Contradiction { return slices.Clone(s.cfg.Contradicted) }

// contradict judges an address by what evidence says against its place.
func (t *trial) contradict(addr netip.Addr) {
	for _, c := range t.s.contradicted[addr.Unmap().WithZone("")] {
		if c.Party != "" && c.Party != t.ask.Party {
			continue
		}
		sp := spot{role: atAddress, verdict: Hold, ground: GroundContradicted, finding: Finding{Standing: StandingUnknown, Why: c.Why}, until: t.place.ValidUntil}
		if c.Weak {
			sp.region = t.place.Region
		}
		t.spots = append(t.spots, sp)
	}
}

func writeContradiction(w *octets.Writer, c Contradiction) {
	addr, _ := c.Addr.MarshalBinary() // which never fails
	w.Octets(addr)
	w.Text(c.Party)
	w.Text(c.Kind)
	w.Text(c.Why)
	w.Bool(c.Weak)
}

func readContradiction(r *octets.Reader) Contradiction {
	var addr netip.Addr
	if err := addr.UnmarshalBinary(r.Octets()); err != nil {
		r.Fail("an address: %w", err)
	}
	return Contradiction{Addr: addr, Party: r.Text(), Kind: r.Text(), Why: r.Text(), Weak: r.Bool()}
}

package sovereign

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Judge answers one Ask. It is pure and safe for concurrent use. A nil Snapshot denies with GroundNoSnapshot.
//
// Everything that the answer touches is judged: the place of the address, the region of the question, and what the party declares of itself on that
// plane. The strictest of all counts. Only then may an emergency call or a live grant turn Hold into Permit; nothing turns Deny into anything.
func (s *Snapshot) Judge(a Ask) Ruling {
	if s == nil {
		return Ruling{Ground: GroundNoSnapshot, Standing: StandingUnknown, Why: "no policy is loaded, so nothing is permitted"}
	}
	v, _ := s.standing(a)
	return v.ruling
}

// Ruled is Judge for whoever keeps the answer: it is shared with others, so nobody changes it.
func (s *Snapshot) Ruled(a Ask) *Ruling {
	if s == nil {
		r := s.Judge(a)
		return &r
	}
	v, _ := s.standing(a)
	return &v.ruling
}

// judge is Judge without its memory. a.At is set.
func (s *Snapshot) judge(a Ask) Ruling {
	r := s.alone(a)
	if s.cfg.Within != nil {
		return r.within(s.cfg.Within.alone(a))
	}
	return r
}

// alone is the answer of the policy of s itself. a.At is set.
func (s *Snapshot) alone(a Ask) Ruling {
	if a.KnownAt.IsZero() {
		a.KnownAt = a.At
	}
	t, _ := s.trials.Get().(*trial)
	if t == nil {
		t = &trial{}
	}
	*t = trial{s: s, ask: a, q: Question{At: a.At, KnownAt: a.KnownAt, Suspended: s.cfg.Suspended}, spots: t.spots[:0]}
	defer s.trials.Put(t) // a ruling holds nothing of it
	if a.Party != "" {
		p, ok := s.parties[a.Party]
		if !ok {
			return s.deny(GroundUnknownParty, fmt.Sprintf("no trunk, edge group or infrastructure is called %q", a.Party))
		}
		t.party, t.q.Attributes = p, p.Attributes
	}
	t.collect()
	if len(t.spots) == 0 {
		return s.deny(GroundUnknownRegion, "nothing says where this would go: neither an address nor a region is known")
	}
	return t.ruling()
}

// JudgeParty judges a whole party on one plane without an address: its region, its organisation's home region and its media
// regions (on the Media plane, or with keys), strictest first. It is what `cordon check` prints and what routing asks for a group.
func (s *Snapshot) JudgeParty(name string, plane Plane, purpose Purpose, at time.Time) Ruling {
	if s != nil && name == "" {
		return s.deny(GroundUnknownParty, "a party without a name is none")
	}
	return s.Judge(Ask{Party: name, Plane: plane, Purpose: purpose, At: at})
}

// JudgeRegion judges a region alone, with the attributes of no party.
func (s *Snapshot) JudgeRegion(r Region, at time.Time) Ruling {
	return s.Judge(Ask{Region: r, At: at})
}

func (s *Snapshot) deny(g Ground, why string) Ruling {
	return Ruling{Ground: g, Standing: StandingUnknown, Why: why, Generation: s.cfg.Generation}
}

// trial is the state of one Judge.
type trial struct {
	s     *Snapshot
	ask   Ask
	q     Question
	party *Party
	place Place // of the address of the question
	spots []spot

	forced bool // a cut that emergency calls do not pass either
}

// atAddress is the role of what lies where the address of the question is: in trial.place.
const atAddress = "address"

// spot is one thing that is judged on the way to the answer.
type spot struct {
	role    string // what it is, for the sentence
	region  Region
	country Country
	proof   Proof // empty when nothing says where it is
	verdict Verdict
	ground  Ground
	finding Finding
	until   time.Time
	cause   *Sever // with GroundSevered
}

// collect judges every place that the question touches.
func (t *trial) collect() {
	if t.ask.Addr.Addr().IsValid() {
		t.address(t.ask.Addr.Addr())
		t.contradict(t.ask.Addr.Addr())
	}
	if !t.ask.Region.IsZero() {
		t.region("region", t.ask.Region, ProofDeclared)
	}
	p := t.party
	if p == nil {
		return
	}
	// An unknown plane is judged as all of them.
	media := t.ask.Plane == Media || t.ask.Keys || t.ask.Plane == 0
	if t.ask.Plane != Media && !p.Region.IsZero() {
		t.region("region", p.Region, ProofDeclared)
	}
	if media {
		for _, r := range p.media() {
			t.region("media region", r, ProofDeclared)
		}
	}
	if !p.OrgHomeRegion.IsZero() {
		t.region("organisation's home region", p.OrgHomeRegion, ProofDeclared)
	}
}

// media gives the regions where the party's media may end.
func (p *Party) media() []Region {
	switch {
	case len(p.MediaRegions) > 0:
		return p.MediaRegions
	case !p.Region.IsZero():
		return []Region{p.Region}
	default:
		return nil
	}
}

// address judges the place of an address.
func (t *trial) address(addr netip.Addr) {
	t.place = t.s.cfg.Atlas.Locate(addr, t.ask.At)
	place := &t.place
	switch {
	case place.Known() && !place.Region.IsZero():
		t.region(atAddress, place.Region, ProofDeclared)
	case place.Known():
		if regions := t.declared(); len(regions) > 0 {
			for _, r := range regions {
				t.region(atAddress, r, ProofDeclaredNotProven)
			}
			return
		}
		t.countries()
	default:
		sp := spot{role: atAddress, until: place.ValidUntil, finding: Finding{Standing: StandingUnknown}}
		switch {
		case !place.Prefix.IsValid():
			sp.ground, sp.finding.Why = GroundUndeclaredAddress, "no declared prefix holds it"
		case !open(place.ValidUntil, t.ask.At):
			sp.ground, sp.until = GroundExpiredDeclaration, time.Time{}
			sp.finding.Why = fmt.Sprintf("the declaration of %s ended on %s", place.Prefix, place.ValidUntil.UTC().Format(time.DateOnly))
		default:
			sp.ground, sp.region = GroundUnknownRegion, place.Region
			sp.finding.Why = fmt.Sprintf("the declaration of %s names a region that is in no table", place.Prefix)
		}
		t.spots = append(t.spots, sp)
	}
}

// declared gives the regions by which the party narrows a place that several countries share. That takes evidence (a contract for signalling, a
// reference for media), and every region must lie in one of the place's countries: a declaration that contradicts the prefix is none.
func (t *trial) declared() []Region {
	p := t.party
	if p == nil {
		return nil
	}
	var regions []Region
	switch {
	case t.ask.Plane == Media && strings.TrimSpace(p.MediaEvidence) != "":
		regions = p.media()
	case t.ask.Plane == Signalling && strings.TrimSpace(p.Contract) != "" && !p.Region.IsZero():
		regions = []Region{p.Region}
	}
	for _, r := range regions {
		f, ok := t.s.cfg.Catalogue.Lookup(r)
		if !ok || !slices.Contains(t.place.Countries, f.Country) {
			return nil
		}
	}
	return regions
}

// region judges one region: allow-list and preset must both agree.
func (t *trial) region(role string, r Region, proof Proof) {
	sp := spot{role: role, region: r, proof: proof}
	f, ok := t.s.cfg.Catalogue.Lookup(r)
	if !ok {
		sp.ground, sp.finding = GroundUnknownRegion, Finding{Standing: StandingUnknown, Why: "the region is in no table, or its country is not public"}
		t.spots = append(t.spots, sp)
		return
	}
	sp.country = f.Country
	t.judge(&sp)
	if sp.verdict == Permit && !t.s.cfg.Policy.Allows(r) {
		sp.verdict, sp.ground = Hold, GroundNotAllowListed
	}
	t.spots = append(t.spots, sp)
}

// countries judges a place of which only the countries are known, by the strictest of them. The allow-list names regions, so such a place is held at best.
func (t *trial) countries() {
	var worst spot
	for i, c := range t.place.Countries {
		sp := spot{role: atAddress, country: c, proof: ProofDeclared}
		if len(t.place.Countries) > 1 {
			sp.proof = ProofDeclaredNotProven
		}
		t.judge(&sp)
		if sp.verdict == Permit {
			sp.verdict, sp.ground = Hold, GroundNotAllowListed
		}
		until := earlier(worst.until, sp.until)
		if i == 0 || sp.stricter(&worst) {
			worst = sp
		}
		worst.until = until
	}
	t.spots = append(t.spots, worst)
}

func (t *trial) judge(sp *spot) {
	sp.finding = t.s.cfg.Law.standing(sp.country, t.q, false)
	sp.verdict, sp.ground = t.s.cfg.Policy.Preset.Rule(sp.finding)
	sp.until = sp.finding.Until
	if sp.role == atAddress {
		sp.until = earlier(sp.until, t.place.ValidUntil)
	}
}

// severity orders grounds and standings within one verdict: the graver one is the one that a person should read.
func (sp *spot) severity() int {
	switch sp.ground {
	case GroundSevered:
		return 8
	case GroundContradicted:
		return 7
	case GroundSuspended:
		return 6
	case GroundContested, GroundNoAdequacy:
		return 5
	case GroundConditionsNotMet:
		return 4
	case GroundPreset:
		return 3
	case GroundAdequateConditional, GroundNotAllowListed:
		return 2
	case GroundAdequate:
		return 1
	default:
		return 0
	}
}

func (sp *spot) stricter(than *spot) bool {
	return sp.verdict < than.verdict || sp.verdict == than.verdict && sp.severity() > than.severity()
}

// ruling takes the strictest spot and lets an emergency call or a grant open what is held.
func (t *trial) ruling() Ruling {
	t.sever()
	worst := &t.spots[0]
	proof, until := worst.proof, time.Time{}
	for i := range t.spots {
		sp := &t.spots[i]
		if sp.stricter(worst) {
			worst = sp
		}
		if sp.proof == ProofDeclaredNotProven || sp.proof == "" && proof != ProofDeclaredNotProven {
			proof = sp.proof
		}
		until = earlier(until, sp.until)
	}
	r := Ruling{
		Verdict: worst.verdict, Ground: worst.ground, Region: worst.region, Country: worst.country,
		Standing: worst.finding.Standing, Instrument: worst.finding.Instrument, Proof: proof, Until: until, Generation: t.s.cfg.Generation,
	}
	if worst.role == atAddress {
		r.Place = t.place
	}
	if worst.country != "" {
		worst.finding = t.s.cfg.Law.standing(worst.country, t.q, true)
	}
	r.Why = t.why(worst)
	if r.Verdict != Hold {
		return r
	}
	if t.ask.Purpose == EmergencyCall && !t.forced {
		r.Verdict, r.Ground = Permit, GroundEmergency
		r.Why += "; an emergency call is never held"
		return r
	}
	g, ok, coming := t.grant()
	if ok {
		r.Verdict, r.Ground, r.Grant, r.Until = Permit, GroundGrant, g.ID, earlier(r.Until, g.Until)
		r.Why += fmt.Sprintf("; grant %s permits it until %s", g.ID, g.Until.UTC().Format(time.RFC3339))
		return r
	}
	if last, ok := t.leave(); ok {
		r.Verdict, r.Ground, r.Until = Permit, GroundRunning, earlier(r.Until, last)
		r.Instrument = worst.struckBy()
		r.Why += "; it was running when that came into force, and may end until " + last.UTC().Format(time.RFC3339Nano)
		return r
	}
	r.Until = earlier(r.Until, coming)
	return r
}

// grant finds the live grant that covers the party and every held region; of several, the one that lasts longest. coming is when the next covering
// grant begins.
func (t *trial) grant() (best Grant, ok bool, coming time.Time) {
	if t.party == nil {
		return Grant{}, false, time.Time{}
	}
	for _, g := range t.s.cfg.Grants {
		if !t.ask.At.Before(g.Until) || !slices.Contains(g.Groups, t.party.Name) && !slices.Contains(g.Trunks, t.party.Name) || !t.covers(g) {
			continue
		}
		if t.ask.At.Before(g.NotBefore) {
			coming = earlier(coming, g.NotBefore)
			continue
		}
		if !ok || g.Until.After(best.Until) {
			best, ok = g, true
		}
	}
	return best, ok, coming
}

// covers says whether g names every held region. A held place without a region cannot be named, so it cannot be granted; what a person severed
// is not granted either, and a grant from before an instrument was struck does not stand in for it.
func (t *trial) covers(g Grant) bool {
	for _, sp := range t.spots {
		if sp.verdict == Hold && (sp.ground == GroundSevered || t.struckSince(&sp, g.NotBefore) || sp.region.IsZero() || !slices.Contains(g.Regions, sp.region)) {
			return false
		}
	}
	return true
}

// why says in one sentence what decided and what follows from it.
func (t *trial) why(sp *spot) string {
	var b strings.Builder
	b.Grow(len(sp.finding.Why) + 128)
	var room [64]byte // of an address
	if sp.role != "region" {
		b.WriteString(sp.role)
		b.WriteByte(' ')
	}
	if sp.role == atAddress {
		b.Write(t.place.Addr.AppendTo(room[:0]))
		if !sp.region.IsZero() {
			b.WriteString(" in ")
		}
	}
	if !sp.region.IsZero() {
		b.WriteString(sp.region.Provider)
		b.WriteByte(':')
		b.WriteString(sp.region.Code)
	}
	if n := len(t.place.Countries); sp.role == atAddress && n > 1 && sp.region.IsZero() {
		fmt.Fprintf(&b, " in %s, which may be in any of %d countries, judged as the strictest", t.place.Prefix, n)
	}
	if sp.country != "" {
		b.WriteString(" (")
		b.WriteString(string(sp.country))
		b.WriteByte(')')
	}
	b.WriteString(": ")
	b.WriteString(sp.finding.Why)
	switch sp.ground {
	case GroundSevered:
		b.WriteString(", but " + sp.cause.Cause() + " was severed by hand on " + sp.cause.From.UTC().Format(time.RFC3339))
	case GroundPreset:
		b.WriteString(", which the preset " + string(t.s.cfg.Policy.Preset) + " does not accept")
	case GroundNotAllowListed:
		if sp.region.IsZero() {
			b.WriteString(", but " + t.place.Prefix.String() + " names no region that the allow-list could hold")
		} else {
			b.WriteString(", but the region is not in the allow-list")
		}
	}
	return b.String()
}

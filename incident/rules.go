package incident

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Rule names what opens an incident. The words stand in the log: never rename one.
type Rule string

// The rules.
const (
	RegionDown Rule = "region_down"
	TrunkLoss  Rule = "trunk_loss"
	MediaDead  Rule = "media_dead"
	LogGap     Rule = "log_gap"
	Violation  Rule = "residency_violation"
	BreakGlass Rule = "break_glass_unreviewed"
	ByHand     Rule = "by_hand"
)

// Setting is what can be set of one rule.
type Setting struct {
	Off   bool
	After time.Duration // how long it must have been so; of a gap, how long it must be
	Share float64       // of live calls, media_dead: 0 to 1
	Calls int           // media_dead: live calls below which a share says nothing
}

// Settings gives every rule its own; a rule that is not there has its default.
type Settings map[Rule]Setting

// Default is how a rule is set where nobody says otherwise.
func Default(r Rule) Setting {
	switch r {
	case RegionDown, TrunkLoss:
		return Setting{After: time.Minute}
	case MediaDead:
		return Setting{After: 10 * time.Second, Share: 0.2, Calls: 5}
	}
	return Setting{}
}

func (s Settings) of(r Rule) Setting {
	if v, ok := s[r]; ok {
		return v
	}
	return Default(r)
}

// Target is one that calls may go to now: permitted, and in service.
type Target struct{ ID, Party string }

// Party is a trunk or an edge group, and where it stands.
type Party struct {
	Trunk           bool
	Region, Country string
	Operator        string // who runs the place, where that is declared
}

// World is what the rules see beside the log. Only what is in the log opens anything; the world says what is all there is.
type World interface {
	Targets() []Target
	Party(name string) (Party, bool)
	Live() []string // references of live calls that are no drill and no test
	// Silenced says whether a drill lets nothing cross to a member of a party now; member "": to the party.
	Silenced(party, member string) bool
}

// memory is what the rules remember of the entries that they saw.
type memory struct {
	Targets  map[string]health         `json:"targets"`
	Dead     map[string]spell          `json:"dead"` // calls whose media died
	LastDead time.Time                 `json:"last_dead,omitzero"`
	Glass    map[string]spell          `json:"glass"` // tickets whose break-glass review was late
	Hits     map[string]map[uint64]hit `json:"hits"`  // what was over when it was known and no incident stands for yet, by cause and entry
}

type health struct {
	State string    `json:"state"`
	Party string    `json:"party"`
	Since time.Time `json:"since"`
	Seq   uint64    `json:"seq"`
}

// spell is something that began with an entry, and may have ended.
type spell struct {
	At  time.Time `json:"at"`
	Seq uint64    `json:"seq"`
	End time.Time `json:"end,omitzero"`
	Leg string    `json:"leg,omitempty"` // whose media is dead
	// Drilled is set while a drill, and nothing else, explains it.
	Drilled *byDrill `json:"drilled,omitempty"`
}

// byDrill is a leg that a drill silences, and since when it does not any more, as far as anybody looked.
type byDrill struct {
	Party  string    `json:"party"`
	Member string    `json:"member,omitempty"`
	Back   time.Time `json:"back,omitzero"`
}

// hit is something that was over when it was known.
type hit struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	At   time.Time `json:"at"` // of the entry
	N    int       `json:"n"`
}

const (
	keptHits  = 512              // that wait for an incident; behind that the newest stands for all
	keptDead  = 4096             // calls whose media died, before those that ended are forgotten
	keptSpell = time.Minute      // how long a call that ended for its dead media still counts
	drillOver = 10 * time.Second // how long after a drill gave a leg back its silence may still be the drill's
	lateGlass = 24 * time.Hour
	oldHit    = 24 * time.Hour // what nobody made an incident of by then is history: a log that is read for the first time opens nothing for it
)

func newMemory() memory {
	return memory{Targets: map[string]health{}, Dead: map[string]spell{}, Glass: map[string]spell{}, Hits: map[string]map[uint64]hit{}}
}

// hit remembers h under its cause.
func (m *memory) hit(cause string, seq uint64, h hit) {
	hits := m.Hits[cause]
	if hits == nil {
		hits = map[uint64]hit{}
		m.Hits[cause] = hits
	}
	if len(hits) >= keptHits {
		newest := slices.Max(slices.Collect(maps.Keys(hits)))
		h.From, h.N = hits[newest].From, h.N+hits[newest].N
		delete(hits, newest)
	}
	hits[seq] = h
}

// finding is a cause as it is now.
type finding struct {
	rule    Rule
	cause   string
	title   string
	region  string
	country string
	parties []string
	bad     time.Time // since when it is so; zero: it is not
	good    time.Time // since when it is known not to be so; zero: nothing is known
	until   time.Time // of what is over already
	found   audit.Found
}

// ruleRow is one rule: which kinds it reads, how it remembers them, and what it finds.
type ruleRow struct {
	rule  Rule
	kinds []audit.Kind
	see   func(m *memory, e audit.Entry) error
	find  func(m *memory, w World, s Setting, now time.Time) []finding
}

// ruleRows is every rule that opens an incident by itself.
var ruleRows = []ruleRow{
	{RegionDown, []audit.Kind{audit.KindHealthChanged, audit.KindNodeStarted}, seeHealth, findRegions},
	{TrunkLoss, nil, nil, findTrunks}, // of the same entries
	{MediaDead, []audit.Kind{audit.KindMediaSilent}, seeMedia, findMedia},
	{LogGap, []audit.Kind{audit.KindGap}, seeGap, findGaps},
	{Violation, []audit.Kind{audit.KindReceipt}, seeReceipt, findViolations},
	{BreakGlass, []audit.Kind{audit.KindGateChanged}, seeGate, findGlass},
}

func watched(k audit.Kind) bool {
	switch k {
	case audit.KindHealthChanged, audit.KindNodeStarted, audit.KindMediaSilent, audit.KindGap, audit.KindReceipt, audit.KindGateChanged:
		return true
	}
	return false
}

// see hands an entry to the rule that reads its kind.
func (m *memory) see(e audit.Entry) error {
	for _, r := range ruleRows {
		if slices.Contains(r.kinds, e.Kind) {
			return r.see(m, e)
		}
	}
	return nil
}

// told says that an incident stands for what of a cause is not newer than entry last.
func (m *memory) told(cause string, last uint64) {
	maps.DeleteFunc(m.Hits[cause], func(seq uint64, _ hit) bool { return seq <= last })
}

func seeHealth(m *memory, e audit.Entry) error {
	if e.Kind == audit.KindNodeStarted { // everything is probed anew, and no call is what it was
		clear(m.Targets)
		clear(m.Dead)
		return nil
	}
	var ev audit.HealthChanged
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	if ev.Drill != "" { // production's health is what it was
		return nil
	}
	m.Targets[ev.Target] = health{ev.To, ev.Party, e.Time, e.Seq}
	return nil
}

func seeMedia(m *memory, e audit.Entry) error {
	var ev audit.MediaSilent
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	was, dead := m.Dead[ev.CallRef]
	switch {
	case ev.State == "dead" && ev.Drill != "":
		if !dead {
			m.dies(ev.CallRef, spell{At: e.Time, Seq: e.Seq, Leg: ev.Leg, Drilled: &byDrill{Party: ev.Party, Member: ev.Member}})
		}
	case ev.State == "dead" && (!dead || was.Drilled != nil): // what no drill explains counts, whatever one does to the other leg
		m.dies(ev.CallRef, spell{At: e.Time, Seq: e.Seq, Leg: ev.Leg})
		m.LastDead = e.Time
	case ev.State == "alive" && (was.Leg == ev.Leg || was.Leg == "" || ev.Leg == ""):
		delete(m.Dead, ev.CallRef)
	}
	return nil
}

// dies remembers a call whose media is dead.
func (m *memory) dies(ref string, s spell) {
	if len(m.Dead) >= keptDead {
		maps.DeleteFunc(m.Dead, func(_ string, d spell) bool { return !d.End.IsZero() })
	}
	m.Dead[ref] = s
}

// excused says whether a drill alone explains what died, and counts it from when it does not any more: what was given back and is dead all the same is real.
func (m *memory) excused(ref string, d *spell, w World, now time.Time) bool {
	x := d.Drilled
	switch {
	case x == nil:
		return false
	case w.Silenced(x.Party, x.Member):
		x.Back = time.Time{}
		return true
	case x.Back.IsZero():
		x.Back = now
	}
	if now.Sub(x.Back) < drillOver {
		return true
	}
	d.At, d.Drilled = x.Back, nil
	m.Dead[ref], m.LastDead = *d, d.At
	return false
}

// seeGap takes what was not planned: the log of a node that was restarted in order misses calls, and no supervision.
func seeGap(m *memory, e audit.Entry) error {
	var ev audit.Gap
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	if ev.From.IsZero() { // the log had nothing in front of it
		ev.From = ev.To
	}
	if ev.Cause != "restart" {
		m.hit(causeLog, e.Seq, hit{ev.From, ev.To, e.Time, int(min(ev.Lost, 1<<30))})
	}
	return nil
}

var violates = []byte(`"violation"`)

// seeReceipt takes violations, and ends the spell of a call whose media was dead. Every call has a receipt, so most of them are not read at all.
func seeReceipt(m *memory, e audit.Entry) error {
	if len(m.Dead) == 0 && !bytes.Contains(e.Body, violates) {
		return nil
	}
	var r struct {
		CallRef string    `json:"call_ref"`
		Purpose string    `json:"purpose"`
		Drill   string    `json:"drill"`
		Overall string    `json:"overall"`
		Invite  time.Time `json:"t_invite"`
		End     time.Time `json:"t_end"`
	}
	if err := json.Unmarshal(e.Body, &r); err != nil {
		return err
	}
	real := unplanned(r.Purpose)
	if s, ok := m.Dead[r.CallRef]; ok {
		if s.End = e.Time; real && r.Drill == "" && s.Drilled == nil {
			m.Dead[r.CallRef] = s
		} else {
			delete(m.Dead, r.CallRef)
		}
	}
	if r.Overall == "violation" && real { // also of a caller in a canary drill: nothing excuses that
		m.hit(causeResidency, e.Seq, hit{r.Invite, r.End, e.Time, 1})
	}
	return nil
}

// unplanned says whether a call of that purpose can be part of an incident. A drill is planned, and a test call of our own is, too: DORA Art. 3(8).
func unplanned(purpose string) bool { return purpose != "drill" && purpose != "synthetic_probe" }

// seeGate follows tickets by the words of their states: ESCALATED is a break-glass whose review is late, and whatever comes behind it ends that.
func seeGate(m *memory, e audit.Entry) error {
	var ev struct {
		Ticket string `json:"ticket"`
		State  string `json:"state"`
	}
	if err := json.Unmarshal(e.Body, &ev); err != nil {
		return err
	}
	s, late := m.Glass[ev.Ticket]
	switch {
	case ev.State == "ESCALATED" && !late:
		m.Glass[ev.Ticket] = spell{At: e.Time, Seq: e.Seq}
	case ev.State != "" && ev.State != "ESCALATED" && late && s.End.IsZero():
		s.End = e.Time
		m.Glass[ev.Ticket] = s
	}
	return nil
}

// Causes that are about no party.
const (
	causeLog       = "log"
	causeResidency = "residency"
	causeMedia     = "media"
)

func findRegions(m *memory, w World, _ Setting, _ time.Time) []finding {
	return m.places(w, func(p Party, _ string) (cause, title string, ok bool) {
		return "region " + p.Region, "All targets in " + p.Region + " are down", !p.Trunk && p.Region != ""
	}, RegionDown)
}

func findTrunks(m *memory, w World, _ Setting, _ time.Time) []finding {
	return m.places(w, func(p Party, name string) (cause, title string, ok bool) {
		return "trunk " + name, "All targets of the trunk " + name + " are down", p.Trunk
	}, TrunkLoss)
}

// places groups the targets that calls may go to by a cause, and looks whether all of a group are down. Targets that nobody has heard of speak for neither.
func (m *memory) places(w World, group func(Party, string) (cause, title string, ok bool), r Rule) []finding {
	found, all, down := map[string]*finding{}, map[string]int{}, map[string]int{}
	for _, t := range w.Targets() {
		p, known := w.Party(t.Party)
		cause, title, ok := group(p, t.Party)
		if !known || !ok {
			continue
		}
		f := found[cause]
		if f == nil {
			f = &finding{rule: r, cause: cause, title: title, region: p.Region, country: p.Country}
			found[cause] = f
		}
		if !slices.Contains(f.parties, t.Party) {
			f.parties = append(f.parties, t.Party)
		}
		all[cause]++
		h, heard := m.Targets[t.ID]
		switch {
		case !heard || h.State == "unknown":
		case h.State == "down":
			down[cause]++
			f.found.Entries = append(f.found.Entries, h.Seq)
			f.bad = later(f.bad, h.Since)
		case f.good.IsZero() || h.Since.Before(f.good):
			f.good = h.Since
		}
	}
	out := make([]finding, 0, len(found))
	for _, cause := range slices.Sorted(maps.Keys(found)) {
		f := found[cause]
		if down[cause] < all[cause] {
			f.bad, f.found = time.Time{}, audit.Found{}
		} else {
			f.good, f.found = time.Time{}, foundOf(f.found.Entries, down[cause], all[cause])
		}
		slices.Sort(f.parties)
		out = append(out, *f)
	}
	return out
}

// findMedia counts calls that are up, or ended for it within the last minute.
func findMedia(m *memory, w World, s Setting, now time.Time) []finding {
	if len(m.Dead) == 0 { // most of the time
		return []finding{{rule: MediaDead, cause: causeMedia, good: m.LastDead}}
	}
	live := w.Live()
	up := make(map[string]bool, len(live))
	for _, ref := range live {
		up[ref] = true
	}
	var dead []spell
	gone := 0
	maps.DeleteFunc(m.Dead, func(ref string, d spell) bool {
		return !up[ref] && now.Sub(later(d.At, d.End)) > keptSpell
	})
	for ref, d := range m.Dead {
		if m.excused(ref, &d, w, now) {
			continue
		}
		if up[ref] || !d.End.IsZero() {
			dead = append(dead, d)
		}
		if !up[ref] && !d.End.IsZero() {
			gone++
		}
	}
	all := len(live) + gone
	f := finding{rule: MediaDead, cause: causeMedia, title: "Media is dead on many live calls", good: m.LastDead}
	enough := int(s.Share*float64(all)) + 1 // more than the share
	if all < s.Calls || len(dead) < enough {
		return []finding{f}
	}
	slices.SortFunc(dead, func(a, b spell) int { return a.At.Compare(b.At) })
	seqs := make([]uint64, len(dead))
	for i, d := range dead {
		seqs[i] = d.Seq
	}
	f.bad, f.good, f.found = dead[enough-1].At, time.Time{}, foundOf(seqs, len(dead), all)
	return []finding{f}
}

func findGaps(m *memory, _ World, s Setting, now time.Time) []finding {
	return m.hits(LogGap, causeLog, "The log misses records", now, func(h hit) bool { return h.To.Sub(h.From) >= s.After })
}

func findViolations(m *memory, _ World, _ Setting, now time.Time) []finding {
	return m.hits(Violation, causeResidency, "Calls left the permitted places", now, func(hit) bool { return true })
}

// hits makes one finding of everything of a cause that no incident stands for yet.
func (m *memory) hits(r Rule, cause, title string, now time.Time, counts func(hit) bool) []finding {
	maps.DeleteFunc(m.Hits[cause], func(_ uint64, h hit) bool { return now.Sub(h.At) > oldHit || !counts(h) })
	hits := m.Hits[cause]
	if len(hits) == 0 {
		return nil
	}
	f := finding{rule: r, cause: cause, title: title}
	seqs := slices.Sorted(maps.Keys(hits))
	n := 0
	for _, seq := range seqs {
		h := hits[seq]
		if n += h.N; f.bad.IsZero() || h.From.Before(f.bad) {
			f.bad = h.From
		}
		f.until = later(f.until, h.To)
	}
	f.found = foundOf(seqs, n, 0)
	return []finding{f}
}

func findGlass(m *memory, _ World, _ Setting, now time.Time) []finding {
	maps.DeleteFunc(m.Glass, func(_ string, s spell) bool { return !s.End.IsZero() && now.Sub(s.End) > lateGlass })
	var out []finding
	for _, ticket := range slices.Sorted(maps.Keys(m.Glass)) {
		s := m.Glass[ticket]
		f := finding{rule: BreakGlass, cause: "ticket " + ticket, title: "The review of a break-glass is late: ticket " + ticket}
		if f.good = s.End; s.End.IsZero() {
			f.bad, f.found = s.At, foundOf([]uint64{s.Seq}, 1, 0)
		}
		out = append(out, f)
	}
	return out
}

// shownEntries bounds the indices that an entry names.
const shownEntries = 16

func foundOf(seqs []uint64, n, of int) audit.Found {
	slices.Sort(seqs)
	return audit.Found{Entries: slices.Clone(seqs[:min(len(seqs), shownEntries)]), Last: seqs[len(seqs)-1], Count: n, Of: of}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Rules gives the words of all rules that open by themselves.
func Rules() []Rule {
	var out []Rule
	for _, r := range ruleRows {
		out = append(out, r.rule)
	}
	return out
}

package charter

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/sovereign"
)

// Widening is one way in which a charter lets more happen than another.
type Widening struct {
	Path string `json:"path"` // where, in the words of the configuration
	What string `json:"what"` // for people
}

func (w Widening) String() string { return w.Path + ": " + w.What }

// Widens lists in what next is wider than old, in a fixed order. No answer means: whatever next permits, old permits, nobody has a say who had none, and nothing
// is sent to where nothing was. What it does not understand counts as wider.
func Widens(old, next Charter) []Widening {
	d := &difference{old: old.sorted(), next: next.sorted()}
	d.policy()
	d.regions()
	d.places()
	d.parties()
	d.suspensions()
	d.gate()
	d.bases()
	d.people()
	d.destinations()
	d.evidence()
	d.running()
	d.retention()
	if was, is := d.old.OnLogFailure, d.next.OnLogFailure; was != is && is != "refuse" {
		d.add("log.on_log_failure", "was %s and is %s", was, is)
	}
	return d.found
}

type difference struct {
	old, next Charter
	found     []Widening
}

func (d *difference) add(path, format string, args ...any) {
	d.found = append(d.found, Widening{path, fmt.Sprintf(format, args...)})
}

// allowed are the regions that a policy lists: home stands for an empty list.
func allowed(p sovereign.Policy) []sovereign.Region {
	if len(p.Allow) == 0 && !p.Home.IsZero() {
		return []sovereign.Region{p.Home}
	}
	return p.Allow
}

func (d *difference) policy() {
	presets := sovereign.Presets()
	if was, is := slices.Index(presets, d.old.Policy.Preset), slices.Index(presets, d.next.Policy.Preset); d.old.Policy.Preset != d.next.Policy.Preset && (was < 0 || is < 0 || is > was) {
		d.add("policy.preset", "was %s and is %s", d.old.Policy.Preset, d.next.Policy.Preset)
	}
	was := allowed(d.old.Policy)
	for _, r := range allowed(d.next.Policy) {
		if !slices.Contains(was, r) && !r.IsZero() {
			d.add("policy.allow", "%s is allowed", r)
		}
	}
}

func (d *difference) regions() {
	was := map[sovereign.Region]Region{}
	for _, r := range d.old.Regions {
		was[r.Key] = r
	}
	for _, r := range d.next.Regions {
		o, known := was[r.Key]
		if !d.old.knows(2) {
			o.Position = r.Position
		}
		if !known {
			d.add("regions "+r.Key.String(), "is new, in %s", r.Country)
		} else if !o.same(r) {
			d.add("regions "+r.Key.String(), "is declared otherwise: %s by %s%s, was %s by %s%s", r.Country, r.Contract, r.Position.at(), o.Country, o.Contract, o.Position.at())
		}
	}
}

// parties compares what is declared of counterparts. Everything that is judged of a party must be permitted, so a place that it names no more may let more pass; what
// vouches for it may go.
func (d *difference) parties() {
	was := map[string]sovereign.Party{}
	for _, p := range d.old.Parties {
		was[p.Name] = p
	}
	for _, p := range d.next.Parties {
		o, known := was[p.Name]
		at := "party " + p.Name
		if !known {
			d.add(at, "is new, in %s", p.Region)
			continue
		}
		other := func(what string, was, is any) { d.add(at, "%s was %v and is %v", what, was, is) }
		if o.Kind != p.Kind {
			other("kind", o.Kind, p.Kind)
		}
		if o.Region != p.Region {
			other("region", o.Region, p.Region)
		}
		if o.OrgHomeRegion != p.OrgHomeRegion && !o.OrgHomeRegion.IsZero() {
			other("org_home_region", o.OrgHomeRegion, p.OrgHomeRegion)
		}
		if !slices.Equal(o.MediaRegions, p.MediaRegions) {
			other("media_regions", o.MediaRegions, p.MediaRegions)
		}
		if o.MediaEvidence != p.MediaEvidence && p.MediaEvidence != "" {
			other("media_evidence", o.MediaEvidence, p.MediaEvidence)
		}
		if o.Contract != p.Contract && p.Contract != "" {
			other("contract", o.Contract, p.Contract)
		}
		d.attributes(at, o.Attributes, p.Attributes)
	}
}

// attributes are attested conditions: one that goes attests less, unless another one of its name comes to count.
func (d *difference) attributes(at string, was, is []sovereign.Attribute) {
	text := func(a sovereign.Attribute) string { b, _ := json.Marshal(a); return string(b) }
	names := map[string]int{}
	for _, a := range is {
		names[a.Name]++
		if !slices.ContainsFunc(was, func(o sovereign.Attribute) bool { return text(o) == text(a) }) {
			d.add(at, "attests %s", a.Name)
		}
	}
	for _, o := range was {
		if names[o.Name] > 0 && !slices.ContainsFunc(is, func(a sovereign.Attribute) bool { return text(o) == text(a) }) {
			d.add(at, "one of several attestations of %s is gone", o.Name)
		}
	}
	repeated := func(list []sovereign.Attribute) []string {
		var out []string
		for _, a := range list {
			if names[a.Name] > 1 {
				out = append(out, text(a))
			}
		}
		return out
	}
	if a, b := repeated(was), repeated(is); len(a) == len(b) && !slices.Equal(a, b) {
		d.add(at, "attestations of one name stand in another order")
	}
}

func (d *difference) suspensions() {
	o, n := d.old.Suspensions, d.next.Suspensions
	if o.File != n.File && o.File != "" {
		d.add("policy.suspensions_file", "is another one: what was suspended may come back")
	}
	for _, id := range slices.Sorted(maps.Keys(o.Keys)) {
		if !bytes.Equal(o.Keys[id], n.Keys[id]) {
			d.add("policy.suspension_keys."+id, "does not count any more: what was suspended with it may come back")
		}
	}
}

// gate compares rules by name: a number or a switch that this version knows has a stricter side, everything else counts as wider when it changes. A rule that the old
// charter does not name had its default.
func (d *difference) gate() {
	defaults, err := Rules(approval.DefaultRules())
	if err != nil {
		d.add("gate", "the defaults cannot be read: %v", err)
	}
	names := slices.Sorted(maps.Keys(d.next.Gate))
	for name := range d.old.Gate {
		if _, there := d.next.Gate[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		was, is := orDefault(d.old.Gate, name, defaults), orDefault(d.next.Gate, name, defaults)
		if !narrows(name, was, is) {
			d.add("gate."+name, "was %s and is %s", words(name, was), words(name, is))
		}
	}
}

// bases compares the catalogue of legal bases: an entry that goes takes the tickets that rest on it along.
func (d *difference) bases() {
	for _, word := range slices.Sorted(maps.Keys(d.next.Bases)) {
		if was, known := d.old.Bases[word]; !known {
			d.add("legal_bases "+word, "is new")
		} else if !bytes.Equal(was, d.next.Bases[word]) {
			d.add("legal_bases "+word, "is another entry than before")
		}
	}
}

func orDefault(rules map[string]json.RawMessage, name string, defaults map[string]json.RawMessage) json.RawMessage {
	if v, there := rules[name]; there {
		return v
	}
	return defaults[name]
}

// words is a rule for people: what is counted in nanoseconds as a length of time.
func words(name string, v json.RawMessage) string {
	if v == nil {
		return "not set"
	}
	if ns, ok := number(v); ok && strings.HasSuffix(name, "_ns") {
		return time.Duration(ns).String()
	}
	return string(v)
}

// sides says for each rule that is understood whether it gets stricter with a higher or with a lower number; a switch that is on is 1.
var sides = map[string]int{
	"quorum": +1, "opinion_needed": +1, "basis_needed": +1, "break_glass_off": +1, "break_glass_for_ns": -1, "review_in_ns": -1, "approve_in_ns": -1, "execute_in_ns": -1, "grant_for_ns": -1, "grant_max_ns": -1, "auto_activate": -1, "max_calls_total": -1, "quota_block": -1,
}

// narrows says that a rule is the same or stricter.
func narrows(name string, was, is json.RawMessage) bool {
	if bytes.Equal(was, is) {
		return true
	}
	if name == "roles" {
		var before, now []string
		if json.Unmarshal(was, &before) != nil || json.Unmarshal(is, &now) != nil || len(now) == 0 {
			return false
		}
		return !slices.ContainsFunc(now, func(r string) bool { return !slices.Contains(before, r) })
	}
	side := float64(sides[name])
	before, ok := number(was)
	now, ok2 := number(is)
	return side != 0 && ok && ok2 && side*now >= side*before
}

func number(v json.RawMessage) (float64, bool) {
	if v == nil { // a switch that is off is not written
		return 0, true
	}
	var x any
	if json.Unmarshal(v, &x) != nil {
		return 0, false
	}
	switch x := x.(type) {
	case float64:
		return x, true
	case bool:
		if x {
			return 1, true
		}
		return 0, true
	}
	return 0, false
}

// Stricter gives the rules of the gate that are the stricter ones of both, rule by rule. Where they do not fit each other, the old ones stay.
func Stricter(old, next Charter) (approval.Rules, error) {
	defaults, err := Rules(approval.DefaultRules())
	if err != nil {
		return approval.Rules{}, err
	}
	both := Charter{Gate: maps.Clone(old.Gate)}
	for name, is := range next.Gate {
		if was := orDefault(old.Gate, name, defaults); was == nil || narrows(name, was, is) {
			both.Gate[name] = is
		}
	}
	if r, err := both.GateRules(); err == nil {
		return r, nil
	}
	return old.GateRules()
}

func (d *difference) destinations() {
	was := map[string]Destination{}
	for _, o := range d.old.Destinations {
		was[o.key()] = o
	}
	told, tells := false, false
	for _, o := range d.old.Destinations {
		told = told || o.Tells
	}
	for _, n := range d.next.Destinations {
		tells = tells || n.Tells
		o, known := was[n.key()]
		switch {
		case !known:
			d.add(n.Use+" "+n.Name, "is a new destination")
		case o.Mark != n.Mark || n.Tells && !o.Tells:
			d.add(n.Use+" "+n.Name, "is another destination than before, or is told other things")
		}
	}
	if told && !tells {
		d.add("notify", "nobody would be told of tickets any more")
	}
}

// places compares declarations. The longest prefix decides, and one that has ended places nothing: so what is declared new may let more pass, and what is taken away
// may, too, where a shorter prefix then vouches for its addresses.
func (d *difference) places() {
	for _, n := range d.next.Places {
		if !slices.ContainsFunc(d.old.Places, func(o sovereign.Declaration) bool {
			return declares(o, n) && !n.ValidFrom.Before(o.ValidFrom) && !later(n.ValidUntil, o.ValidUntil)
		}) {
			d.add("places "+n.Prefix, "is declared as %s, by %s%s", where(n), n.Contract, span(n))
		}
	}
	for _, o := range d.old.Places {
		if slices.ContainsFunc(d.next.Places, func(n sovereign.Declaration) bool { return declares(o, n) && !n.ValidFrom.After(o.ValidFrom) }) {
			continue
		}
		if i := slices.IndexFunc(d.next.Places, func(n sovereign.Declaration) bool { return holds(n.Prefix, o.Prefix) }); i >= 0 {
			d.add("places "+o.Prefix, "is not declared as %s any more, and counts as a part of %s in %s", where(o), d.next.Places[i].Prefix, where(d.next.Places[i]))
		}
	}
}

// declares says that two declarations say the same of one prefix, whenever that holds.
func declares(a, b sovereign.Declaration) bool {
	return a.Prefix == b.Prefix && a.Region == b.Region && slices.Equal(a.Countries, b.Countries) && a.Operator == b.Operator && a.Contract == b.Contract
}

// later says that an end, of which zero is none, lies behind another one.
func later(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

// holds says that a prefix is a shorter one that contains another; what cannot be read may be anything.
func holds(outer, inner string) bool {
	a, err := netip.ParsePrefix(outer)
	b, err2 := netip.ParsePrefix(inner)
	if err != nil || err2 != nil {
		return true
	}
	a, b = plain(a), plain(b)
	return a.Bits() <= b.Bits() && a.Contains(b.Addr()) && a != b
}

// plain is an IPv4 block as such where it is written in IPv6.
func plain(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

func where(d sovereign.Declaration) string {
	if !d.Region.IsZero() {
		return d.Region.String()
	}
	list := make([]string, len(d.Countries))
	for i, c := range d.Countries {
		list[i] = string(c)
	}
	return strings.Join(list, ", ")
}

func span(d sovereign.Declaration) string {
	out := ""
	if !d.ValidFrom.IsZero() {
		out += " from " + d.ValidFrom.UTC().Format(time.DateOnly)
	}
	if !d.ValidUntil.IsZero() {
		out += " until " + d.ValidUntil.UTC().Format(time.DateOnly)
	}
	return out
}

// oneLine is a text of several lines for people.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

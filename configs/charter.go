package configs

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/sovereign"
	"go.yaml.in/yaml/v3"
)

// Charter is the part of c that decides where anything may go and who may say so, in clear: people stand in it by their ids, and marks say what they stand for. Seal it
// before anybody else reads it.
func (c *Config) Charter() (charter.Charter, error) {
	out := charter.Charter{Policy: c.Policy, Places: c.Declarations, Parties: c.Parties, OnLogFailure: c.Log.OnLogFailure}
	for _, r := range c.File.Regions {
		key, err := sovereign.ParseRegion(r.Key)
		if err != nil {
			return out, fmt.Errorf("configs: charter: %w", err)
		}
		country, _ := sovereign.Shipped().ParseCountry(r.Country)
		out.Regions = append(out.Regions, charter.Region{Key: key, Country: country, Contract: r.Contract, Position: c.Evidence.regionSpot(key)})
	}
	out.Suspensions = charter.Suspensions{File: c.Suspensions.File, Keys: map[string][]byte{}}
	for id, key := range c.Suspensions.Keys {
		out.Suspensions.Keys[id] = key
	}
	var err error
	if out.Gate, err = charter.Rules(c.Gate); err != nil {
		return out, err
	}
	if out.Bases, err = charter.Bases(c.Bases); err != nil {
		return out, err
	}
	dir := filepath.Dir(c.Name)
	if err = c.proofs(&out, func(p string) string { return pathFrom(dir, p) }); err != nil {
		return out, err
	}
	for _, p := range c.File.People {
		one, err := p.charter(dir)
		if err != nil {
			return out, err
		}
		out.People = append(out.People, one)
	}
	out.Destinations, err = c.File.destinations(dir)
	return out, err
}

// text is what a section says, for a mark.
func text(v any) (string, error) {
	b, err := yaml.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("configs: charter: %w", err)
	}
	return string(b), nil
}

// from makes the reference independent of where the configuration is read from.
func (s Secret) from(dir string) Secret {
	if s.File != "" && !filepath.IsAbs(s.File) {
		s.File = filepath.Join(dir, s.File)
	}
	return s
}

func (p Person) charter(dir string) (charter.Person, error) {
	out := charter.Person{Person: p.ID, Roles: p.Roles, Scopes: p.Scopes, DeputyFor: p.DeputyFor}
	out.Expires, _ = parseDay(p.Expires, true)
	for _, k := range p.Keys {
		out.Keys = append(out.Keys, k.Public)
	}
	p.Keys = nil // two people vouch for each
	// Who is away is a fact and no right: whoever is to act then was accepted as the deputy.
	p.ID, p.Name, p.Roles, p.Scopes, p.Expires, p.Absent, p.Token = "", "", nil, nil, "", nil, p.Token.from(dir)
	var err error
	out.Mark, err = text(p)
	return out, err
}

// charter is the channel as a destination. How many messages it gets is no matter of the charter.
func (ch Channel) charter(dir string) (charter.Destination, error) {
	out := charter.Destination{Use: "notify", Name: ch.Name, Tells: len(ch.Kinds) == 0}
	for _, k := range ch.Kinds {
		stem, wild := strings.CutSuffix(k, "*")
		out.Tells = out.Tells || k == "gate.changed" || wild && strings.HasPrefix("gate.changed", stem)
	}
	ch.Name, ch.Rate, ch.Secret = "", nil, ch.Secret.from(dir)
	var err error
	out.Mark, err = text(ch)
	return out, err
}

// destinations are what this node sends to beside calls.
func (f *File) destinations(dir string) (out []charter.Destination, err error) {
	for _, ch := range f.Notify {
		d, err := ch.charter(dir)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	for _, s := range f.DNS.Servers {
		out = append(out, charter.Destination{Use: "dns", Name: s})
	}
	add := func(use, name string, section any) {
		mark, e := text(section)
		if e != nil {
			err = e
		}
		out = append(out, charter.Destination{Use: use, Name: name, Mark: mark})
	}
	if f.HEP != nil {
		hep := *f.HEP
		hep.Password = hep.Password.from(dir)
		add("hep", f.HEP.Address, hep)
	}
	if f.Spans != nil {
		spans := *f.Spans
		spans.Timeout = 0
		spans.Headers = slices.Clone(spans.Headers)
		for i := range spans.Headers {
			spans.Headers[i].Value = spans.Headers[i].Value.from(dir)
		}
		add("spans", "collector", spans)
	}
	for _, w := range f.Log.Witnesses {
		name, _, _ := strings.Cut(w.Key, "+")
		add("witness", name, w)
	}
	if f.Log.WORM != nil {
		add("worm", "copy", f.Log.WORM)
	}
	if f.Trace.Unmasked {
		out = append(out, charter.Destination{Use: "trace", Name: "unmasked"})
	}
	return out, err
}

// kept are the sections of an accepted configuration of which its charter has only marks: what a node needs to run them although the file says otherwise by now.
type kept struct {
	People    []Person     `yaml:"people,omitempty"`
	Notify    []Channel    `yaml:"notify,omitempty"`
	HEP       *HEP         `yaml:"hep,omitempty"`
	Spans     *Spans       `yaml:"spans,omitempty"`
	Witnesses []LogWitness `yaml:"witnesses,omitempty"`
	WORM      *WORM        `yaml:"worm,omitempty"`
}

// Kept writes what a later configuration may need of c, see Within. It names people, and belongs into the state of the node alone.
func (c *Config) Kept() ([]byte, error) {
	dir := filepath.Dir(c.Name)
	k := kept{HEP: c.File.HEP, Spans: c.File.Spans, Witnesses: c.File.Log.Witnesses, WORM: c.File.Log.WORM}
	for _, p := range c.File.People {
		p.Token = p.Token.from(dir)
		k.People = append(k.People, p)
	}
	for _, ch := range c.File.Notify {
		ch.Secret = ch.Secret.from(dir)
		k.Notify = append(k.Notify, ch)
	}
	b, err := yaml.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("configs: charter: %w", err)
	}
	return b, nil
}

// KeptPeople are the ids of the people in what Kept gave.
func KeptPeople(b []byte) (ids []string) {
	var k kept
	if yaml.Unmarshal(b, &k) == nil {
		for _, p := range k.People {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// Within gives c as it may run while what is wider in it waits for people: the policy judges beside the accepted one, and the stricter answer counts; of the gate's rules
// the stricter ones hold; nobody has more to say than was accepted, and nothing is sent to where nothing was. What got narrower is narrower. before is what Kept gave of the
// accepted configuration, or nothing; only what the charter has the marks of is taken from it.
func (c *Config) Within(accepted charter.Charter, seal charter.Seal, before []byte) (*Config, error) {
	var k kept
	if err := yaml.Unmarshal(before, &k); err != nil {
		k = kept{} // somebody changed it: the charter counts, and what only stood here does not run
	}
	h := &holder{dir: filepath.Dir(c.Name), accepted: accepted, seal: seal, before: k, file: c.File, people: map[string]charter.Person{}, marks: map[string]charter.Destination{}}
	for _, p := range accepted.People {
		h.people[p.Person] = p
	}
	for _, d := range accepted.Destinations {
		h.marks[d.Use+" "+d.Name] = d
	}
	out, err := h.config(c, c.File)
	if err != nil && len(before) > 0 { // what was accepted cannot be run any more, a file of it is gone, say: then without it
		h.before = kept{}
		out, err = h.config(c, c.File)
	}
	return out, err
}

// holder builds the configuration that runs while a wider one waits.
type holder struct {
	dir      string
	accepted charter.Charter
	seal     charter.Seal
	before   kept
	people   map[string]charter.Person      // accepted, by pseudonym
	marks    map[string]charter.Destination // accepted
	file     File
}

func (h *holder) config(c *Config, f File) (*Config, error) {
	h.file = f
	next, err := c.Charter()
	if err != nil {
		return nil, err
	}
	rules, err := charter.Stricter(h.accepted, next)
	if err != nil {
		return nil, err
	}
	h.file.People = h.staff()
	if can, err := h.canSign(rules); err != nil || !can && h.accepted.CanSign() {
		if rules, err = h.accepted.GateRules(); err != nil { // a higher quorum that nobody reaches would leave everything held for good
			return nil, err
		}
		if can, err = h.canSign(rules); err != nil || !can {
			h.file.People = h.former(h.file.People)
		}
	}
	if err := h.sends(); err != nil {
		return nil, err
	}
	if h.accepted.OnLogFailure == "refuse" {
		h.file.Log.OnLogFailure = ""
	}
	if h.file.Evidence, err = section(charter.StricterEvidence(h.accepted, next)); err != nil {
		return nil, err
	}
	b := newBuilder(&document{Document: strict.Unwritten(c.Name), file: h.file})
	b.held = true
	out := b.build()
	if len(b.probs) == 0 {
		b.rooms(out)
	}
	if len(b.probs) > 0 {
		return nil, fmt.Errorf("configs: what people accepted cannot be run with the rest of the file: %w", b.probs.Sorted())
	}
	out.Warnings, out.Gate, out.Bound = c.Warnings, rules, &h.accepted
	out.Suspensions = h.suspensions(c.Suspensions)
	h.prove(out, next)
	return out, h.bases(out)
}

// bases leaves the entries of the catalogue that were accepted, each as it was, and no party one that was not.
func (h *holder) bases(c *Config) error {
	c.Bases = slices.DeleteFunc(slices.Clone(c.Bases), func(b approval.Basis) bool { return h.accepted.Bases[b.Word()] == nil })
	for i := range c.Bases {
		word := c.Bases[i].Word()
		c.Bases[i] = approval.Basis{}
		if err := json.Unmarshal(h.accepted.Bases[word], &c.Bases[i]); err != nil {
			return fmt.Errorf("configs: the legal basis %s that people accepted: %w", word, err)
		}
	}
	for party, word := range c.LegalBasis {
		if h.accepted.Bases[word] == nil {
			delete(c.LegalBasis, party)
			delete(c.BasisUntil, party)
			delete(c.Rules.Basis, party)
		}
	}
	return nil
}

// canSign says whether the people who may sign in now could sign.
func (h *holder) canSign(rules approval.Rules) (bool, error) {
	gate, err := charter.Rules(rules)
	if err != nil {
		return false, err
	}
	now := charter.Charter{Gate: gate}
	for _, p := range h.file.People {
		now.People = append(now.People, charter.Person{Person: p.ID, Roles: p.Roles, DeputyFor: p.DeputyFor})
	}
	return now.CanSign(), nil
}

// staff are the people of the file with no more than was accepted of them.
func (h *holder) staff() (out []Person) {
	for _, p := range h.file.People {
		plain, err := p.charter(h.dir)
		if err != nil {
			continue
		}
		sealed := h.seal.Person(plain)
		was, known := h.people[sealed.Person]
		if !known {
			continue
		}
		if was.Mark != sealed.Mark {
			former, ok := h.formerly(p.ID)
			if !ok {
				continue
			}
			former.Name, former.Roles, former.Scopes, former.Expires, former.Absent, former.Keys = p.Name, p.Roles, p.Scopes, p.Expires, p.Absent, p.Keys
			p = former
		}
		if !slices.ContainsFunc(h.accepted.People, func(o charter.Person) bool { return len(o.Keys) > 0 }) {
			p.Keys = nil // the first ones count without a voucher
		}
		p.Roles, p.Scopes = within(p.Roles, was.Roles), within(p.Scopes, was.Scopes)
		if !was.Expires.IsZero() && (plain.Expires.IsZero() || plain.Expires.After(was.Expires)) {
			p.Expires = was.Expires.AddDate(0, 0, -1).Format(time.DateOnly)
		}
		out = append(out, p)
	}
	return out
}

func within(list, bound []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !slices.Contains(bound, s) })
}

// formerly gives a person as accepted, if what was kept is what was accepted.
func (h *holder) formerly(id string) (Person, bool) {
	for _, p := range h.before.People {
		if plain, err := p.charter(h.dir); err == nil && p.ID == id {
			sealed := h.seal.Person(plain)
			was, known := h.people[sealed.Person]
			ok := known && was.Mark == sealed.Mark && was.Expires.Equal(sealed.Expires) && len(within(p.Roles, was.Roles)) == len(p.Roles) && len(within(p.Scopes, was.Scopes)) == len(p.Scopes)
			return p, ok
		}
	}
	return Person{}, false
}

// former brings back everybody whom the file left out, so that somebody can still sign.
func (h *holder) former(now []Person) []Person {
	out := slices.Clone(now)
	for _, p := range h.before.People {
		was, ok := h.formerly(p.ID)
		if !ok {
			continue
		}
		if i := slices.IndexFunc(out, func(o Person) bool { return o.ID == p.ID }); i >= 0 {
			out[i] = was
		} else {
			out = append(out, was)
		}
	}
	return out
}

// sends leaves the destinations that were accepted, each as it was accepted.
func (h *holder) sends() error {
	f := &h.file
	f.Notify = h.channels()
	f.DNS.Servers = h.servers()
	f.Trace.Unmasked = f.Trace.Unmasked && h.has(charter.Destination{Use: "trace", Name: "unmasked"})
	now, err := f.destinations(h.dir)
	if err != nil {
		return err
	}
	old := File{HEP: h.before.HEP, Spans: h.before.Spans, Log: Log{Witnesses: h.before.Witnesses, WORM: h.before.WORM}}
	was, err := old.destinations(h.dir)
	if err != nil {
		return err
	}
	accepted := func(list []charter.Destination, use string) bool {
		i := slices.IndexFunc(list, func(d charter.Destination) bool { return d.Use == use })
		return i >= 0 && h.has(h.seal.Destination(list[i]))
	}
	if f.HEP != nil && !accepted(now, "hep") {
		if f.HEP = nil; accepted(was, "hep") {
			f.HEP = h.before.HEP
		}
	}
	if f.Spans != nil && !accepted(now, "spans") {
		if f.Spans = nil; accepted(was, "spans") {
			f.Spans = h.before.Spans
		}
	}
	if f.Log.WORM != nil && !accepted(now, "worm") {
		if f.Log.WORM = nil; accepted(was, "worm") {
			f.Log.WORM = h.before.WORM
		}
	}
	f.Log.Witnesses = h.witnesses()
	f.Log.Quorum = min(f.Log.Quorum, len(f.Log.Witnesses))
	return nil
}

// servers are those name servers of the file that were accepted, or all that were where none of the file's was.
func (h *holder) servers() []string {
	var accepted []string
	for _, d := range h.accepted.Destinations {
		if d.Use == "dns" {
			accepted = append(accepted, d.Name)
		}
	}
	if both := within(h.file.DNS.Servers, accepted); len(both) > 0 || len(h.file.DNS.Servers) == 0 {
		return both
	}
	return accepted
}

func (h *holder) has(d charter.Destination) bool {
	was, ok := h.marks[d.Use+" "+d.Name]
	return ok && was.Mark == d.Mark
}

// channels are those of the file as they were accepted; all of them that told people of tickets come back where none is left that does.
func (h *holder) channels() (out []Channel) {
	ok := func(ch Channel) (tells, accepted bool) {
		plain, err := ch.charter(h.dir)
		return plain.Tells, err == nil && h.has(h.seal.Destination(plain))
	}
	tells := false
	take := func(ch Channel) bool {
		t, accepted := ok(ch)
		if accepted {
			out, tells = append(out, ch), tells || t
		}
		return accepted
	}
	for _, ch := range h.file.Notify {
		if take(ch) {
			continue
		}
		if i := slices.IndexFunc(h.before.Notify, func(o Channel) bool { return o.Name == ch.Name }); i >= 0 {
			take(h.before.Notify[i])
		}
	}
	for _, ch := range h.before.Notify {
		there := slices.ContainsFunc(out, func(o Channel) bool { return o.Name == ch.Name })
		if t, _ := ok(ch); t && !tells && !there {
			take(ch)
		}
	}
	return out
}

func (h *holder) witnesses() (out []LogWitness) {
	take := func(w LogWitness) bool {
		f := File{Log: Log{Witnesses: []LogWitness{w}}}
		d, err := f.destinations(h.dir)
		if err != nil || !h.has(h.seal.Destination(d[0])) {
			return false
		}
		out = append(out, w)
		return true
	}
	for _, w := range h.file.Log.Witnesses {
		if take(w) {
			continue
		}
		name, _, _ := strings.Cut(w.Key, "+")
		if i := slices.IndexFunc(h.before.Witnesses, func(o LogWitness) bool { return strings.HasPrefix(o.Key, name+"+") }); i >= 0 {
			take(h.before.Witnesses[i])
		}
	}
	return out
}

// suspensions are read where they were, with the keys of both: whatever strikes an instrument counts.
func (h *holder) suspensions(now SuspensionSource) SuspensionSource {
	was := h.accepted.Suspensions
	out := SuspensionSource{File: now.File, Keys: map[string]ed25519.PublicKey{}}
	if was.File != "" {
		out.File = was.File
	}
	for id, key := range now.Keys {
		out.Keys[id] = key
	}
	for id, key := range was.Keys {
		out.Keys[id] = key
	}
	return out
}

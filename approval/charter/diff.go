package charter

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cordonsip/cordon/internal/jcs"
)

// Difference is one part of a charter that another one has otherwise. A part that is not there says nothing.
type Difference struct {
	Path  string   `json:"path"` // in the words of the configuration
	Was   string   `json:"was,omitempty"`
	Is    string   `json:"is,omitempty"`
	Wider bool     `json:"wider"`
	Why   []string `json:"why"`
}

// Compare lists in what two charters differ, in the order of their paths, and which of it is wider: every widening that Widens gives is in it.
func Compare(old, next Charter) []Difference {
	was, is, wider := old.Parts(), next.Parts(), map[string][]string{}
	for _, w := range Widens(old, next) {
		wider[w.Path] = append(wider[w.Path], w.What)
	}
	all := maps.Clone(was)
	maps.Copy(all, is)
	for path := range wider {
		all[path] = ""
	}
	out := []Difference{}
	for _, path := range slices.Sorted(maps.Keys(all)) {
		d := Difference{Path: path, Was: was[path], Is: is[path], Why: wider[path]}
		if d.Wider = len(d.Why) > 0; !d.Wider {
			if d.Was == d.Is {
				continue
			}
			d.Why = []string{narrower(d, !old.knows(2) && isLater(path))}
		}
		out = append(out, d)
	}
	return out
}

// narrower says why something that differs needs nobody.
func narrower(d Difference, unknown bool) string {
	switch {
	case unknown:
		return "the version that accepted the policy did not know it: adopted once"
	case d.Was == "":
		return "is new, and lets nothing happen that could not before"
	case d.Is == "":
		return "is gone, and lets nothing happen that could not before"
	}
	return "lets nothing happen that could not before"
}

func isLater(path string) bool {
	word, _, _ := strings.Cut(path, " ")
	return word == "node.position" || word == "regions" || strings.HasPrefix(word, "evidence") || strings.HasPrefix(word, "law.") || word == "retention"
}

// Parts gives each part of the charter, by its path, as text for people.
func (c Charter) Parts() map[string]string {
	c = c.sorted()
	out := map[string]string{"policy.preset": string(c.Policy.Preset), "policy.home": c.Policy.Home.String(), "policy.allow": cmp.Or(texts(c.Policy.Allow), "home alone"), "log.on_log_failure": c.OnLogFailure}
	add := func(path, text string) { // a prefix may be declared several times, one after the other
		out[path] = strings.TrimPrefix(out[path]+"; "+text, "; ")
	}
	for _, r := range c.Regions {
		add("regions "+r.Key.String(), fmt.Sprintf("%s by %s%s", r.Country, r.Contract, r.Position.at()))
	}
	for _, p := range c.Places {
		add("places "+p.Prefix, fmt.Sprintf("%s, by %s%s", where(p), p.Contract, span(p)))
	}
	for _, p := range c.Parties {
		add("party "+p.Name, plainText(p))
	}
	out["policy.suspensions_file"] = c.Suspensions.File
	for id, key := range c.Suspensions.Keys {
		add("policy.suspension_keys."+id, plainText(key))
	}
	for name, rule := range c.Gate {
		add("gate."+name, words(name, rule))
	}
	for word, basis := range c.Bases {
		add("legal_bases "+word, string(basis))
	}
	for _, p := range c.People {
		add("people "+p.Person, plainText(p))
	}
	for _, d := range c.Destinations {
		add(d.key(), strings.TrimSpace(d.Mark+map[bool]string{true: " tells of tickets"}[d.Tells])+".")
	}
	c.laterParts(add)
	maps.DeleteFunc(out, func(_, text string) bool { return text == "" })
	return out
}

func (c *Charter) laterParts(add func(path, text string)) {
	if !c.knows(2) {
		return
	}
	add("node.position", strings.TrimSpace(c.Position.at()))
	for _, s := range c.Evidence.Sources {
		add("evidence."+s.Use, oneLine(s.Says))
	}
	add("evidence.on_contradiction.rank_3_4", c.Evidence.Weak)
	add("evidence", oneLine(c.Evidence.Rest))
	for name, r := range c.Running {
		add(runningPath(name), r.String())
	}
	for _, k := range c.Retention {
		add("retention "+k.Class, k.String()+", because of "+cmp.Or(k.Reason, "nothing"))
	}
}

func texts[T fmt.Stringer](list []T) string {
	words := make([]string, len(list))
	for i, x := range list {
		words[i] = x.String()
	}
	return strings.Join(words, ", ")
}

// plainText is a value as canonical JSON.
func plainText(v any) string {
	b, err := jcs.Marshal(v)
	if err != nil {
		b, _ = json.Marshal(err.Error())
	}
	return string(b)
}

// Blind is next as far as it can be held against c without the keys of the node, which its people and the marks of its destinations are sealed with: these are as c has
// them.
func (c Charter) Blind(next Charter) Charter {
	next = next.sorted()
	next.People = c.sorted().People
	for i := range next.Destinations {
		for _, d := range c.Destinations {
			if d.key() == next.Destinations[i].key() {
				next.Destinations[i].Mark = d.Mark
			}
		}
	}
	return next
}

// Wider says whether any of the differences is a widening.
func Wider(list []Difference) bool {
	return slices.ContainsFunc(list, func(d Difference) bool { return d.Wider })
}

package charter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Class is calls whose references are kept for one reason: for whole years and days from the day of the call.
type Class struct {
	Class   string   `json:"class"`
	Trunks  []string `json:"trunks"` // none: all
	Years   int      `json:"years"`
	Days    int      `json:"days"`
	Reason  string   `json:"reason"`
	Binding bool     `json:"binding"`
}

func (c Class) String() string {
	of, must := "all trunks", ""
	if len(c.Trunks) > 0 {
		of = strings.Join(c.Trunks, ", ")
	}
	if c.Binding {
		must = ", binding"
	}
	return fmt.Sprintf("%s: calls of %s for %dy%dd%s", c.Class, of, c.Years, c.Days, must)
}

// keeps says that c keeps each call of a trunk ("": of one that nobody knows) at least as long as o does, and as firmly. A year has 365 days or 366.
func (c Class) keeps(o Class, trunk string) bool {
	if len(c.Trunks) > 0 && !slices.Contains(c.Trunks, trunk) || o.Binding && !c.Binding {
		return false
	}
	return c.Years >= o.Years && c.Days >= o.Days || 365*c.Years+c.Days >= 366*o.Years+o.Days
}

// retention compares what is kept. What is destroyed cannot come back, and a proof with it: sooner, or on request where a duty stood against that, is wider. What is
// kept for longer can be destroyed any day, and the log shows who let it be kept (GDPR Art. 5(1)(e) is answered for by that).
func (d *difference) retention() {
	if !d.old.knows(2) {
		return
	}
	for _, o := range d.old.Retention {
		if trunk, ok := looser(o, d.next.Retention, d.old.Retention); ok {
			d.add("retention "+o.Class, "does not keep calls of %s as it did: %s", cmp.Or(trunk, "all other trunks"), o)
		}
	}
}

// looser finds a trunk of whose calls nothing in next keeps what o keeps.
func looser(o Class, next, old []Class) (trunk string, found bool) {
	trunks := o.Trunks
	if len(trunks) == 0 { // also those that a class of either names, and all others
		trunks = []string{""}
		for _, c := range slices.Concat(next, old) {
			trunks = append(trunks, c.Trunks...)
		}
	}
	for _, t := range trunks {
		if !slices.ContainsFunc(next, func(n Class) bool { return n.keeps(o, t) }) {
			return t, true
		}
	}
	return "", false
}

// StricterRetention are the classes of next, and those of old that keep something for longer than any of next: the longest one that covers a call counts.
func StricterRetention(old, next Charter) []Class {
	if !old.knows(2) {
		return next.Retention
	}
	out := slices.Clone(next.Retention)
	for _, o := range old.Retention {
		if _, gone := looser(o, next.Retention, old.Retention); gone {
			out = append(out, o)
		}
	}
	return out
}

func sortedClasses(list []Class) []Class {
	out := set(list, func(a, b Class) int {
		return cmp.Or(strings.Compare(a.Class, b.Class), strings.Compare(a.String(), b.String()))
	})
	for i := range out {
		out[i].Trunks = set(out[i].Trunks, strings.Compare)
	}
	return out
}

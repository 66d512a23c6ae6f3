package review

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/internal/jcs"
)

// DocumentForm is the member "cordon" of a document.
const DocumentForm = "review document v1"

// Document is what is in force, for one kind of review, with what the log says of each item. People are pseudonyms.
type Document struct {
	Form     string    `json:"cordon"`
	Review   Kind      `json:"review"`
	Law      string    `json:"law"`
	Tenant   string    `json:"tenant"`
	Node     string    `json:"node"`
	Made     time.Time `json:"made_at"`     // UTC, whole seconds
	Entries  uint64    `json:"log_entries"` // that it was computed from
	Charter  string    `json:"charter"`     // digest of the accepted policy
	Accepted uint64    `json:"charter_entry"`
	Previous *Past     `json:"previous,omitempty"` // the last review of this kind
	Items    []Item    `json:"items"`
	Gone     []Gone    `json:"gone"` // since the last review: rules that were taken away, people who left
}

// Item is one rule or one right.
type Item struct {
	ID     string    `json:"id"`
	Value  string    `json:"value"`
	Since  time.Time `json:"since,omitzero"` // as it is now
	Entry  uint64    `json:"entry"`
	By     string    `json:"by,omitempty"`          // who brought it: a pseudonym; absent: the start of the node
	Signed []string  `json:"approved_by,omitempty"` // pseudonyms
	Cause  string    `json:"cause,omitempty"`       // first_start, narrower, signed, unsigned
	Last   time.Time `json:"last_use,omitzero"`
	LastAt uint64    `json:"last_use_entry,omitempty"`
	Times  uint64    `json:"uses,omitempty"`
	Told   bool      `json:"use_in_log"` // the log knows uses of such an item
	Points []string  `json:"points"`     // what to look at; such an item needs a finding of its own
}

// Facts are what the node knows of people beside the log: words on absence and deputies, by pseudonym.
type Facts map[string][]string

// quiet is after how many days without use an item is named.
const quietDays = 180

// soon is how many days before its end a key or a right is named.
const soonDays = 30

// Document makes the one of a kind.
func (b *Book) Document(k Kind, tenant, node string, f Facts, entries uint64, now time.Time) Document {
	d := Document{
		Form: DocumentForm, Review: k, Law: k.Law(), Tenant: tenant, Node: node, Made: now.UTC().Truncate(time.Second), Entries: entries, Charter: b.Digest, Accepted: b.Accepted,
		Items: b.items(k, f, now), Gone: []Gone{},
	}
	for _, p := range slices.Backward(b.Past) {
		if p.Review == k {
			d.Previous = &p
			break
		}
	}
	for _, g := range b.Gone {
		if isAccess(g.ID) == (k == Access) && (d.Previous == nil || g.To.After(d.Previous.At)) {
			d.Gone = append(d.Gone, g)
		}
	}
	return d
}

// Canonical is the text of a document, RFC 8785, and its digest.
func (d Document) Canonical() (text []byte, digest string, err error) { return canonical(d) }

func canonical(v any) (text []byte, digest string, err error) {
	if text, err = jcs.Marshal(v); err != nil {
		return nil, "", fmt.Errorf("review: %w", err)
	}
	sum := sha256.Sum256(text)
	return text, hex.EncodeToString(sum[:]), nil
}

// rule is one item of a charter.
type rule struct {
	id    string
	value string // in words
	of    any    // all that the charter says of it
	told  bool   // receipts or other entries tell of its use
	until time.Time
}

func (r rule) hash() string {
	_, digest, err := canonical(r.of)
	if err != nil {
		return r.value
	}
	return digest
}

func isAccess(id string) bool {
	word, _, _ := strings.Cut(id, " ")
	return word == "person" || word == "gate" || word == "key"
}

// filterRules are what decides where anything may go.
func filterRules(c *charter.Charter) []rule {
	out := []rule{
		{id: "policy preset", value: string(c.Policy.Preset), of: c.Policy.Preset},
		{id: "policy home", value: c.Policy.Home.String(), of: c.Policy.Home.String()},
		{id: "policy on_log_failure", value: c.OnLogFailure, of: c.OnLogFailure},
	}
	for _, r := range c.Policy.Allow {
		out = append(out, rule{id: "allow " + r.String(), value: "traffic may be terminated there", of: r.String(), told: true})
	}
	for _, r := range c.Regions {
		out = append(out, rule{id: "region " + r.Key.String(), value: words("in", string(r.Country), "contract", r.Contract), of: r, told: true})
	}
	seen := map[string]int{}
	for _, p := range c.Places {
		id := "place " + p.Prefix
		if seen[id]++; seen[id] > 1 { // one prefix with several times
			id += " from " + p.ValidFrom.UTC().Format(time.RFC3339)
		}
		var in []string
		for _, country := range p.Countries {
			in = append(in, string(country))
		}
		region := ""
		if !p.Region.IsZero() {
			region = p.Region.String()
		}
		out = append(out, rule{id: id, value: words("", region, "in", strings.Join(in, " "), "contract", p.Contract, "until", day(p.ValidUntil)), of: p, told: seen[id] <= 1, until: p.ValidUntil})
	}
	for _, p := range c.Parties {
		media := make([]string, 0, len(p.MediaRegions))
		for _, r := range p.MediaRegions {
			media = append(media, r.String())
		}
		out = append(out, rule{id: "party " + p.Name, value: words("in", p.Region.String(), "media in", strings.Join(media, " "), "contract", p.Contract), of: p, told: true})
	}
	for id, of := range c.Bases {
		var of2 any
		_ = json.Unmarshal(of, &of2) // a basis that does not read is compared by its id alone
		out = append(out, rule{id: "basis " + id, value: string(of), of: of2, told: true})
	}
	for _, d := range c.Destinations {
		tells := ""
		if d.Tells {
			tells = "yes"
		}
		out = append(out, rule{id: "destination " + d.Use + " " + d.Name, value: words("tells of tickets:", tells), of: d, told: d.Use == "notify" && d.Tells || d.Use == "worm"})
	}
	for id := range c.Suspensions.Keys {
		out = append(out, rule{id: "suspension-key " + id, value: "its signature takes an instrument out of force", of: c.Suspensions.Keys[id]})
	}
	out = append(out, otherRules(c)...)
	slices.SortFunc(out, func(x, y rule) int { return cmp.Compare(x.id, y.id) })
	return out
}

// otherRules are the members of the policy that have no words of their own here: what a later edition adds is reviewed as well.
func otherRules(c *charter.Charter) (out []rule) {
	text, err := c.Canonical()
	if err != nil {
		return nil // a policy that was read can be written
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil {
		return nil
	}
	for _, known := range []string{"edition", "policy", "regions", "places", "parties", "suspensions", "gate", "legal_bases", "people", "destinations", "on_log_failure"} {
		delete(members, known)
	}
	for name, of := range members {
		out = append(out, rule{id: "policy " + name, value: string(of), of: of})
	}
	return out
}

// accessRules are who may do what.
func accessRules(c *charter.Charter) []rule {
	out := []rule{}
	text, _ := json.Marshal(c.Gate) // a map of raw messages that were read
	out = append(out, rule{id: "gate rules", value: string(text), of: json.RawMessage(text)})
	for _, p := range c.People {
		out = append(out, rule{
			id: "person " + p.Person, value: words("roles", strings.Join(p.Roles, " "), "scopes", strings.Join(p.Scopes, " "), "may sign in until", cmp.Or(day(p.Expires), "for ever")),
			of: p, told: true, until: p.Expires,
		})
	}
	slices.SortFunc(out, func(x, y rule) int { return cmp.Compare(x.id, y.id) })
	return out
}

// words puts pairs of a name and a value together, and leaves out what has no value.
func words(pairs ...string) string {
	var out []string
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			out = append(out, strings.TrimSpace(pairs[i]+" "+pairs[i+1]))
		}
	}
	return strings.Join(out, ", ")
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

// items are those of a kind with what the log says of them.
func (b *Book) items(k Kind, f Facts, now time.Time) []Item {
	list := filterRules(&b.Charter)
	if k == Access {
		list = accessRules(&b.Charter)
	}
	if b.Digest == "" {
		list = nil
	}
	out := []Item{}
	for _, r := range list {
		m := b.Marks[r.id]
		i := Item{ID: r.id, Value: r.value, Since: m.At, Entry: m.Entry, By: m.By, Signed: m.Signed, Cause: m.Cause, Told: r.told, Points: []string{}}
		if who, is := strings.CutPrefix(r.id, "person "); is {
			a := b.Acts[who]
			i.Last, i.LastAt = a.At, a.Entry
			i.Points = append(b.personPoints(who, now), f[who]...)
		} else {
			u := b.Uses[r.id]
			i.Last, i.LastAt, i.Times = u.At, u.Entry, u.Times
		}
		i.judge(r, now)
		out = append(out, i)
	}
	if k == Access {
		out = append(out, b.keyItems(now)...)
	}
	return out
}

// judge names what a reviewer has to look at.
func (i *Item) judge(r rule, now time.Time) {
	point := func(format string, a ...any) { i.Points = append(i.Points, fmt.Sprintf(format, a...)) }
	verb := "used"
	if strings.HasPrefix(i.ID, "person ") {
		verb = "acted"
	}
	quiet := now.AddDate(0, 0, -quietDays)
	switch {
	case !i.Told:
	case i.Last.IsZero() && i.Since.Before(quiet):
		point("never %s in %d days", verb, int(now.Sub(i.Since).Hours())/24)
	case i.Last.IsZero():
		point("never %s yet", verb)
	case i.Last.Before(quiet):
		point("not %s for %d days", verb, int(now.Sub(i.Last).Hours())/24)
	}
	switch {
	case r.until.IsZero() && strings.HasPrefix(i.ID, "person "):
		point("may sign in for ever")
	case !r.until.IsZero() && !now.Before(r.until):
		point("ended on %s and still stands there", day(r.until))
	case !r.until.IsZero() && now.AddDate(0, 0, soonDays).After(r.until):
		point("ends on %s", day(r.until))
	}
	if i.Cause == "unsigned" {
		point("nobody signed it")
	}
}

// personPoints are what a person's roles and keys say. RTS (EU) 2024/1774 Art. 21(a), (b): least privilege, and no combination that goes round a control.
func (b *Book) personPoints(who string, now time.Time) []string {
	out := []string{}
	for _, p := range b.Charter.People {
		if p.Person != who {
			continue
		}
		decides := slices.DeleteFunc(slices.Clone(p.Roles), func(r string) bool { return r == "operator" || r == "auditor" || r == "dpo" })
		switch {
		case len(p.Roles)+len(p.Scopes) == 0:
			out = append(out, "has no role and no scope")
		case len(decides) > 0 && slices.Contains(p.Roles, "operator"):
			out = append(out, "operates and decides: "+strings.Join(p.Roles, " "))
		case len(decides) > 1:
			out = append(out, "decides in several roles: "+strings.Join(decides, " "))
		case len(decides) > 0 && slices.Contains(p.Roles, "auditor"):
			out = append(out, "decides and audits")
		}
	}
	return out
}

// keyItems are the keys that were enrolled and that nobody revoked.
func (b *Book) keyItems(now time.Time) []Item {
	here := map[string]bool{}
	for _, p := range b.Charter.People {
		here[p.Person] = true
	}
	out := []Item{}
	for id, k := range b.Keys {
		if !k.Revoked.IsZero() {
			continue
		}
		i := Item{ID: "key " + id, Value: words("of", k.Person, "until", day(k.Expires)), Since: k.At, Entry: k.Entry, Signed: k.Vouched, Cause: k.How, Points: []string{}}
		switch left := k.Expires.Sub(now); {
		case !here[k.Person]:
			i.Points = append(i.Points, "its owner left, and nobody revoked it")
		case left <= 0:
			i.Points = append(i.Points, "ended on "+day(k.Expires))
		case left < soonDays*24*time.Hour:
			i.Points = append(i.Points, "ends on "+day(k.Expires))
		}
		out = append(out, i)
	}
	slices.SortFunc(out, func(x, y Item) int { return cmp.Compare(x.ID, y.ID) })
	return out
}

// Row is an item for a terminal: id, what it says, since when, who accepted it, what last used it, and what to look at.
func (i Item) Row() []string {
	last := "-"
	switch {
	case !i.Last.IsZero():
		last = i.Last.UTC().Format(time.DateOnly) + " (entry " + strconv.FormatUint(i.LastAt, 10) + ")"
	case !i.Told:
		last = "not in the log"
	}
	by := strings.TrimSpace(i.Cause + " " + strings.Join(i.Signed, " "))
	return []string{i.ID, i.Value, day(i.Since), by, last, strings.Join(i.Points, "; ")}
}

package sovereign

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Question dates a Standing.
type Question struct {
	At, KnownAt time.Time
	Attributes  []Attribute
	Suspended   []Suspension
	Met         string // the instrument whose conditions count as met, because a record of that time says so; "" : none
}

// Finding is the law's answer. Member is true for EU member states and territories where the Treaties apply, which is what eu_only asks; after the end
// of a membership it is false even while Union law still applied.
type Finding struct {
	Standing   Standing
	Member     bool
	Instrument string
	Until      time.Time
	Unmet      []string // conditions that kept a conditional decision from applying
	Suspended  string   // the instrument that would have applied but is suspended
	Why        string
}

// Standing says what the law holds of a country as of a day, with the knowledge of knownAt (zero: at), given attested attributes
// and suspended instruments. instrument is the one it rests on, until when that instrument ends (zero: open).
func (l *Law) Standing(c Country, q Question) Finding { return l.standing(c, q, true) }

// standing is Standing; without words it leaves Why and Unmet rough, because a judge asks often and explains once.
func (l *Law) standing(c Country, q Question, words bool) Finding {
	q.At = q.At.UTC()
	if q.KnownAt.IsZero() {
		q.KnownAt = q.At
	}
	code, ok := l.ParseCountry(string(c))
	if !ok {
		return Finding{Standing: StandingUnknown, Why: fmt.Sprintf("%q names no country", string(c))}
	}
	j := l.jurisdictions[code]
	switch j.verdict {
	case StandingDeny:
		return Finding{Standing: StandingDeny, Why: "denied by the law table, not even the gate opens it"}
	case StandingGate:
		return Finding{Standing: StandingGate, Why: "legally contested or special territory, people must decide"}
	}
	if f, ok := l.membership(j, q.At); ok {
		return f
	}
	return l.adequacy(j, q, words)
}

// membership answers for the EU and the EEA.
func (l *Law) membership(j jurisdiction, at time.Time) (Finding, bool) {
	if j.territory {
		f, ok := l.membership(l.jurisdictions[j.parent], at)
		if !ok || at.Before(j.territoryFrom) {
			return Finding{}, false
		}
		f.Why = fmt.Sprintf("territory of %s where the Treaties apply (TFEU Art. 355)", l.jurisdictions[j.parent].name)
		return f, true
	}
	if !j.memberFrom.IsZero() && !at.Before(j.memberFrom) {
		switch {
		case open(j.memberUntil, at):
			return Finding{Standing: StandingInEEA, Member: true, Until: j.memberUntil, Why: "EU member state"}, true
		case !j.lawUntil.IsZero() && at.Before(j.lawUntil):
			return Finding{Standing: StandingInEEA, Until: j.lawUntil, Why: "no longer a member, but Union law still applied"}, true
		}
	}
	if !j.eeaFrom.IsZero() && !at.Before(j.eeaFrom) {
		return Finding{Standing: StandingInEEA, Why: "in the EEA, not an EU member"}, true
	}
	return Finding{}, false
}

// open says whether an end that may be open (zero) still lies ahead.
func open(until, at time.Time) bool { return until.IsZero() || at.Before(until) }

// adequacy looks for an instrument in force under GDPR Art. 45: an unconditional one first, then one whose conditions are all attested.
func (l *Law) adequacy(j jurisdiction, q Question, words bool) Finding {
	f := Finding{Standing: StandingNoAdequacy, Why: "no adequacy decision is in force"}
	var met Finding
	var unmetWhy string
	for _, i := range j.instruments {
		in := &l.instruments[i]
		until, ok := in.inForce(q)
		if !ok {
			continue
		}
		if since, ok := suspension(in.fact.ID, q.Suspended); ok {
			if !q.At.Before(since) {
				f.Suspended = in.fact.ID
				continue
			}
			until = earlier(until, since)
		}
		unmet, fresh := in.attested(q, words)
		if q.Met != "" && in.fact.ID == q.Met {
			unmet = nil
		}
		switch {
		case len(in.conditions) == 0:
			return Finding{Standing: StandingAdequate, Instrument: in.fact.ID, Until: until, Why: "adequacy under " + in.fact.ID}
		case len(unmet) == 0:
			until = earlier(until, fresh)
			if met.Standing == "" || later(until, met.Until) {
				met = Finding{
					Standing: StandingAdequateConditional, Instrument: in.fact.ID, Until: until,
					Why: "conditional adequacy under " + in.fact.ID + ", all conditions attested",
				}
			}
		case !words:
			f.Unmet = unmet
		default:
			f.Unmet = append(f.Unmet, unmet...)
			unmetWhy = fmt.Sprintf("no adequacy decision covers this recipient; %s applies only to %s (%s)",
				in.fact.ID, in.fact.AppliesOnlyTo, sentence(unmet))
		}
	}
	switch {
	case met.Standing != "":
		return met
	case f.Suspended != "":
		f.Why = f.Suspended + " is suspended by the operator's overlay and no other adequacy decision is in force"
	case unmetWhy != "":
		f.Why = unmetWhy
	}
	return f
}

// inForce says whether the instrument counted at q.At as far as was known at q.KnownAt, and until when. What was annulled ex tunc never counted for
// whoever knows of the judgment; what was not yet adopted counted for nobody.
func (in *instrument) inForce(q Question) (until time.Time, ok bool) {
	if q.KnownAt.Before(in.fact.Adopted) || q.At.Before(in.fact.ValidFrom) {
		return time.Time{}, false
	}
	if !in.ended.IsZero() {
		if !q.KnownAt.Before(in.ended) {
			return time.Time{}, false
		}
		return time.Time{}, true
	}
	for _, s := range in.until {
		if !q.KnownAt.Before(s.known) {
			until = s.until
		}
	}
	return until, open(until, q.At)
}

// suspension finds the earliest suspension of an instrument.
func suspension(id string, list []Suspension) (since time.Time, ok bool) {
	for _, s := range list {
		if s.Instrument == id && (!ok || s.Since.Before(since)) {
			since, ok = s.Since, true
		}
	}
	return since, ok
}

// someUnmet stands for conditions that nobody wants to read.
var someUnmet = []string{notAttested}

// attested lists the conditions that q.Attributes leave open, each with the reason if words are wanted, and until when the evidence of the others is
// fresh.
func (in *instrument) attested(q Question, words bool) (unmet []string, fresh time.Time) {
	for _, c := range in.conditions {
		until, why := c.attested(q)
		if why != "" && !words {
			return someUnmet, time.Time{}
		}
		if why != "" {
			unmet = append(unmet, c.attr+" "+why)
		}
		fresh = earlier(fresh, until)
	}
	return unmet, fresh
}

// sentence joins the open conditions and says the common reason once.
func sentence(unmet []string) string {
	var parts []string
	const common = " " + notAttested
	for i, u := range unmet {
		if name, ok := strings.CutSuffix(u, common); ok && i+1 < len(unmet) && strings.HasSuffix(unmet[i+1], common) {
			u = name
		}
		parts = append(parts, u)
	}
	return strings.Join(parts, ", ")
}

const notAttested = "not attested"

// attested checks one condition. Attestations that contradict each other leave it open: every one that carries evidence must fit.
func (c condition) attested(q Question) (until time.Time, why string) {
	why = notAttested
	for _, a := range q.Attributes {
		if a.Name != c.attr {
			continue
		}
		switch {
		case strings.TrimSpace(a.Evidence) == "":
			if why == notAttested {
				why = "attested without evidence"
			}
		case !c.holds(a.Value):
			return time.Time{}, fmt.Sprintf("attested as %v, %v needed", a.Value, c.want)
		case a.At.After(q.At):
			return time.Time{}, "attested only later"
		case c.maxAge > 0 && a.At.IsZero():
			return time.Time{}, "attested without a date"
		case c.maxAge > 0 && !q.At.Before(a.At.Add(c.maxAge)):
			return time.Time{}, fmt.Sprintf("attested on %s, older than %d days", a.At.UTC().Format(time.DateOnly), int(c.maxAge.Hours()/24))
		default:
			why = ""
			if c.maxAge > 0 {
				until = earlier(until, a.At.Add(c.maxAge))
			}
		}
	}
	return until, why
}

// holds compares an attested value with the wanted one. Values come from files and from Go, so lists have two shapes.
func (c condition) holds(v any) bool {
	if c.op == "eq" {
		return v == c.want
	}
	switch v := v.(type) {
	case []string:
		want, ok := c.want.(string)
		return ok && slices.Contains(v, want)
	case []any:
		return slices.Contains(v, c.want)
	default:
		return v == c.want
	}
}

// earlier and later compare ends, where zero means open.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) bool { return !b.IsZero() && (a.IsZero() || a.After(b)) }

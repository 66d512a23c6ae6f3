package form

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/incident"
)

// Entity is what the configuration says of the financial entity.
type Entity struct {
	Name, LEI string
	Types     []string
	Submitter Party // who submits, if that is another one
	Parent    Party // ultimate parent undertaking
	Contacts  []Contact
	Currency  string
}

// Currencies are those of field 1.15.
func Currencies() []string {
	return []string{"EUR", "BGN", "CZK", "DKK", "HUF", "PLN", "RON", "ISK", "CHF", "NOK", "SEK"}
}

// Party is a legal person.
type Party struct{ Name, LEI string }

// Contact is a person, who stands in a report only when that is asked for.
type Contact struct{ Name, Email, Phone string }

// Input is everything that a report rests on.
type Input struct {
	Stage      string
	Incident   incident.Incident
	Measures   incident.Measures
	Assessment incident.Assessment
	Clocks     []incident.Clock
	Entity     Entity
	Contacts   bool // may stand in it
	Made       time.Time
	Node       string
	Software   string
}

// answer is the content of one field: nil for nothing. Sure is false for a draft that people must check.
type answer struct {
	value  any
	source string
	sure   bool
}

func known(v any, source string) answer { return answer{v, source, true} }
func guess(v any, source string) answer { return answer{v, source, false} }

const (
	byConfig = "configuration"
	byLog    = "log"
	computed = "computed from the log"
)

// fill gives every field of a stage, in order.
func fill(in *Input) ([]Field, error) {
	list, err := rows()
	if err != nil {
		return nil, err
	}
	var out []Field
	for _, r := range list {
		if !r.asked(in.Stage) {
			continue
		}
		f := Field{ID: r.ID, Name: r.Name, JSON: r.JSON, Fill: r.Fill, State: missing, Need: r.Need}
		a := in.answer(r.ID)
		switch {
		case isContact(r.ID) && a.value != nil && !in.Contacts:
			f.State, f.Need = withheld, "A person: shown with --with-contacts alone."
		case a.value == nil:
			if f.Need == "" {
				f.Need = "The log does not know it yet."
			}
		case a.sure:
			f.State, f.Value, f.Source, f.Need = filled, a.value, a.source, ""
		default:
			f.State, f.Value, f.Source = drafted, a.value, a.source
		}
		out = append(out, f)
	}
	return out, nil
}

func isContact(id string) bool {
	return slices.Contains([]string{"1.7", "1.8", "1.9", "1.10", "1.11", "1.12"}, id)
}

// answer gives the content of a field by the chapter of its number.
func (in *Input) answer(id string) answer {
	for _, chapter := range []func(string) (answer, bool){in.general, in.first, in.impact, in.effects, in.causes} {
		if a, ok := chapter(id); ok {
			if s, text := a.value.(string); text && s == "" {
				return answer{}
			}
			return a
		}
	}
	return answer{}
}

// general is chapter 1.
func (in *Input) general(id string) (answer, bool) {
	e := &in.Entity
	contact := func(k int) Contact {
		if k < len(e.Contacts) {
			return e.Contacts[k]
		}
		return Contact{}
	}
	submitter := e.Submitter
	if submitter == (Party{}) {
		submitter = Party{e.Name, e.LEI}
	}
	words := map[string]string{
		"1.2": submitter.Name, "1.3": submitter.LEI, "1.5": e.Name, "1.6": e.LEI, "1.7": contact(0).Name, "1.8": contact(0).Email, "1.9": contact(0).Phone,
		"1.10": contact(1).Name, "1.11": contact(1).Email, "1.12": contact(1).Phone, "1.13": e.Parent.Name, "1.14": e.Parent.LEI, "1.15": e.Currency,
	}
	if w, ok := words[id]; ok {
		return known(w, byConfig), true
	}
	switch id {
	case "1.1":
		return known(in.submission(), "the stage that was asked for"), true
	case "1.4":
		if len(e.Types) == 0 {
			return answer{}, true
		}
		return known(e.Types, byConfig), true
	}
	return answer{}, false
}

// submission is field 1.1. What was submitted as major and is none any more is taken back by a submission of its own kind.
func (in *Input) submission() string {
	if c := in.Incident.Class; c != nil && !c.Major && len(in.Incident.Reports) > 0 {
		return "major_incident_reclassified_as_non-major"
	}
	return map[string]string{Initial: "initial_notification", Intermediate: "intermediate_report", Final: "final_report"}[in.Stage]
}

// first is chapter 2.
func (in *Input) first(id string) (answer, bool) {
	i, m := &in.Incident, &in.Measures
	switch id {
	case "2.1":
		return known(i.ID, byLog), true
	case "2.2":
		return known(stamp(i.Aware), byLog), true
	case "2.3":
		if !i.Major() {
			return answer{}, true
		}
		return known(stamp(i.Class.First), byLog), true
	case "2.4":
		return guess(in.description(), computed), true
	case "2.5":
		if i.Class != nil && len(i.Class.Criteria) > 0 {
			return known(i.Class.Criteria, "the classification"), true
		}
		return words(in.Assessment.Criteria, computed), true
	case "2.6":
		return words(m.States, computed), true
	case "2.7":
		if i.Rule == incident.ByHand {
			return known("staff", byLog), true
		}
		return known("monitoring_systems", byLog), true
	case "2.8":
		return guess(strings.Join(m.Operators, ", "), "operators of the places where it happened, by the configuration"), true
	case "2.9":
		if len(m.Steps) == 0 {
			return answer{}, true
		}
		return guess(true, "the log shows measures of continuity; whether the plan was activated, people know"), true
	}
	return answer{}, false
}

// impact is the first half of chapter 3: how many, how long, where.
func (in *Input) impact(id string) (answer, bool) {
	i, m := &in.Incident, &in.Measures
	called := m.Available != "unknown"
	switch id {
	case "3.1":
		for _, r := range i.Reports {
			if r.Reference != "" {
				return known(r.Reference, byLog), true
			}
		}
	case "3.2":
		return known(stamp(i.Since), byLog), true
	case "3.3":
		if t := i.Restored(); m.Ended && !t.IsZero() {
			return known(stamp(t), byLog), true
		}
	case "3.4":
		if called {
			return guess(m.Clients, "calls that failed or dropped: the most that it can be"), true
		}
	case "3.5":
		if m.Percent != nil {
			return guess(math.Round(*m.Percent*10)/10, fmt.Sprintf("of %d calls in the same hours a week before", m.Reference.Attempts)), true
		}
	case "3.12":
		if called && m.Clients == 0 {
			return guess([]string{"no_impact_on_clients"}, computed), true
		} else if called {
			return guess([]string{"estimates_for_clients_affected"}, computed), true
		}
	case "3.15":
		return known(incident.Span(m.Duration), computed), true
	case "3.16":
		return known(incident.Span(m.Downtime), computed), true
	case "3.17":
		if m.Estimated {
			return known("actual_figures_and_estimates", computed), true
		}
		return known("actual_figures", computed), true
	case "3.18":
		if len(m.States) > 1 && !m.ByPlace {
			return guess([]string{"clients"}, computed), true
		}
	case "3.19":
		if len(m.States) > 1 && !m.ByPlace {
			return guess("Clients with numbers of "+strings.Join(m.States, ", ")+" were not put through, or their calls were dropped.", computed), true
		}
	default:
		return answer{}, false
	}
	return answer{}, true
}

// effects is the second half of chapter 3: data, services, components, measures.
func (in *Input) effects(id string) (answer, bool) {
	i, m := &in.Incident, &in.Measures
	switch id {
	case "3.20", "3.21":
		return in.losses(id == "3.21"), true
	case "3.22":
		return guess(names(m.Services, func(s incident.Service) string {
			if !s.Critical {
				return ""
			}
			return s.Name
		}), byConfig), true
	case "3.23":
		return words(kinds[i.Rule].types, "by what opened it"), true
	case "3.27":
		return guess(names(m.Services, func(s incident.Service) string { return s.Area }), byConfig), true
	case "3.28":
		if len(i.Parties) == 0 {
			return known("information_not_available", byLog), true
		}
		return known("yes", byLog), true
	case "3.29":
		if len(i.Parties) == 0 {
			return answer{}, true
		}
		text := "Trunks and edge groups " + strings.Join(i.Parties, ", ")
		if i.Region != "" {
			text += " in " + i.Region + " (" + i.Country + ")"
		}
		return known(text+".", byLog), true
	case "3.33":
		return known(len(m.Steps) > 0, byLog), true
	case "3.34":
		return guess(in.steps(), byLog), true
	}
	return answer{}, false
}

// kinds are the types and root causes that what opened an incident speaks for.
var kinds = map[incident.Rule]struct{ types, cause, detail []string }{
	incident.RegionDown: {[]string{"external_event"}, []string{"external_event"}, []string{"external_event_third-party_failures"}},
	incident.TrunkLoss:  {[]string{"external_event"}, []string{"external_event"}, []string{"external_event_third-party_failures"}},
	incident.MediaDead:  {[]string{"system_failure"}, []string{"system_failure_malfunction"}, []string{"system_failure_other"}},
	incident.LogGap:     {[]string{"system_failure"}, []string{"system_failure_malfunction"}, []string{"system_failure_other"}},
	incident.Violation:  {[]string{"process_failure"}, []string{"process_failure"}, []string{"process_failure_other"}},
	incident.BreakGlass: {[]string{"process_failure"}, []string{"process_failure"}, []string{"process_failure_insufficient_unclear_roles_and_responsibilities"}},
}

// causes is chapter 4.
func (in *Input) causes(id string) (answer, bool) {
	i, m := &in.Incident, &in.Measures
	switch id {
	case "4.1":
		return words(kinds[i.Rule].cause, "the usual one for what opened it"), true
	case "4.2":
		return words(kinds[i.Rule].detail, "the usual one for what opened it"), true
	case "4.6":
		return guess(in.resolution(), byLog), true
	case "4.8":
		if i.Open() {
			return answer{}, true
		}
		return known(stamp(i.Closed), byLog), true
	case "4.15":
		if len(m.Before) == 0 {
			return answer{}, true
		}
		ids := make([]string, len(m.Before))
		for k, b := range m.Before {
			ids[k] = fmt.Sprintf("%s (%s)", b.ID, stamp(b.Since))
		}
		return guess(fmt.Sprintf("%d incidents of the same cause in the six months before: %s.", len(ids), strings.Join(ids, ", ")), byLog), true
	case "4.16":
		if len(m.Before) == 0 {
			return answer{}, true
		}
		return known(stamp(m.Before[0].Since), byLog), true
	}
	return answer{}, false
}

// description is the draft of field 2.4. Beside the title its words come from figures alone: what people noted stays in the log.
func (in *Input) description() string {
	i, m := &in.Incident, &in.Measures
	var b strings.Builder
	fmt.Fprintf(&b, "%s, since %s", i.Title, stamp(i.Since))
	if m.Ended {
		fmt.Fprintf(&b, " until %s", stamp(i.Restored()))
	} else {
		b.WriteString("; it lasts")
	}
	b.WriteString(". ")
	if m.Attempts == 0 {
		b.WriteString("No call of a client reached the node meanwhile. ")
	} else {
		fmt.Fprintf(&b, "Of %d calls of clients that began meanwhile %d were answered and %d could not be put through; %d that were up were dropped. ", m.Attempts, m.Answered, m.Failed, m.Dropped)
	}
	fmt.Fprintf(&b, "Service downtime so far, partial unavailability included: %s (DD:HH:MM).", incident.Span(m.Downtime))
	if m.Lost > 0 {
		fmt.Fprintf(&b, " %d records of the log are missing.", m.Lost)
	}
	if m.Violations > 0 {
		fmt.Fprintf(&b, " %d calls left the permitted places.", m.Violations)
	}
	return b.String()
}

func (in *Input) losses(text bool) answer {
	m := &in.Measures
	var what, say []string
	if m.Lost > 0 {
		what, say = append(what, "availability"), append(say, fmt.Sprintf("%d records of calls are missing in the log", m.Lost))
	}
	if m.Violations > 0 {
		what, say = append(what, "confidentiality"), append(say, fmt.Sprintf("%d calls left the permitted places", m.Violations))
	}
	if text {
		return guess(strings.Join(say, "; "), computed)
	}
	return words(what, computed)
}

func (in *Input) steps() string {
	lines := make([]string, len(in.Measures.Steps))
	for k, s := range in.Measures.Steps {
		lines[k] = fmt.Sprintf("%s: %s (log entry %d).", stamp(s.At), s.What, s.Entry)
	}
	return strings.Join(lines, " ")
}

func (in *Input) resolution() string {
	i := &in.Incident
	if !in.Measures.Ended || i.Restored().IsZero() {
		return ""
	}
	text := "The cause was gone at " + stamp(i.Restored()) + "."
	if s := in.steps(); s != "" {
		text += " " + s
	}
	return text
}

// words is a draft of a list, nothing for an empty one.
func words(list []string, source string) answer {
	if len(list) == 0 {
		return answer{}
	}
	return guess(list, source)
}

func names(list []incident.Service, of func(incident.Service) string) string {
	var out []string
	for _, s := range list {
		if n := of(s); n != "" && !slices.Contains(out, n) {
			out = append(out, n)
		}
	}
	return strings.Join(out, ", ")
}

// stamp writes a time as the form wants it: UTC, ISO 8601.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

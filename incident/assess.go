package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit/report"
)

// Threshold is one materiality threshold with what the log says of it. RTS (EU) 2024/1772 Art. 9.
type Threshold struct {
	Criterion string `json:"criterion"` // word of ITS (EU) 2025/302 field 2.5
	What      string `json:"what"`
	Law       string `json:"law"`
	Limit     string `json:"limit"`
	Found     string `json:"found"`
	State     string `json:"state"` // met | not_met | unknown: people have to say
}

// states of a threshold.
const (
	isMet   = "met"
	notMet  = "not_met"
	unknown = "unknown"
)

// Assessment is what the figures say. People classify.
type Assessment struct {
	Thresholds []Threshold `json:"thresholds"`
	Criteria   []string    `json:"criteria_met"`
	Indication string      `json:"indication"` // major | not_major | open
	Why        string      `json:"why"`
}

// words of field 2.5.
const (
	critClients    = "clients_financial_counterparts_and_transactions_affected"
	critReputation = "reputational_impact"
	critDuration   = "duration_and_service_downtime"
	critSpread     = "geographical_spread"
	critLosses     = "data_losses"
	critServices   = "critical_services_affected"
	critEconomic   = "economic_impact"
)

// Assess holds the measures of an incident against each threshold.
func Assess(i *Incident, m *Measures) Assessment {
	a := Assessment{Thresholds: []Threshold{services(m)}, Criteria: []string{}}
	a.Thresholds = append(a.Thresholds, clients(m)...)
	a.Thresholds = append(a.Thresholds,
		human(critClients, "Financial counterparts affected", "Art. 9(1)(c)", "more than 30 %", "no call says who is one"),
		human(critClients, "Transactions affected, number", "Art. 9(1)(d)", "more than 10 %", "a call is no transaction unless it is monetary"),
		human(critClients, "Transactions affected, value", "Art. 9(1)(e)", "more than 10 %", "the log knows no amounts"),
		human(critClients, "Relevant clients or counterparts", "Art. 9(1)(f)", "any", "the log names nobody"),
		human(critReputation, "Reputational impact", "Art. 9(2) and 2", "any of four", "media, complaints, regulatory requirements, loss of clients"))
	a.Thresholds = append(a.Thresholds, durations(m)...)
	a.Thresholds = append(a.Thresholds, spread(m), losses(i, m),
		human(critEconomic, "Costs and losses", "Art. 9(6) and 7", "more than EUR 100 000", "the log knows no amounts"))
	for _, t := range a.Thresholds {
		if t.State == isMet && !slices.Contains(a.Criteria, t.Criterion) {
			a.Criteria = append(a.Criteria, t.Criterion)
		}
	}
	a.judge(m)
	return a
}

// judge applies RTS (EU) 2024/1772 Art. 8(1): critical services are affected, and two or more thresholds are met, or there was a malicious unauthorised access.
func (a *Assessment) judge(m *Measures) {
	n := 0
	for _, c := range a.Criteria {
		if c != critServices {
			n++
		}
	}
	unknowns := map[string]bool{}
	for _, t := range a.Thresholds {
		if t.State == unknown && t.Criterion != critServices && !slices.Contains(a.Criteria, t.Criterion) {
			unknowns[t.Criterion] = true
		}
	}
	switch {
	case m.Critical == "no":
		a.Indication, a.Why = "not_major", "no service that supports a critical or important function is affected, by the configuration: Art. 8(1) and 6"
	case m.Critical == "yes" && n >= 2:
		a.Indication, a.Why = "major", fmt.Sprintf("critical services are affected, and %d further criteria are met: Art. 8(1)(b)", n)
	default:
		a.Indication = "open"
		a.Why = fmt.Sprintf("%d criteria beside critical services are met and %d are for people to judge; a malicious unauthorised access to a critical service alone makes it major: Art. 8(1)(a), 9(5)(b)", n, len(unknowns))
		if m.Critical == unknown {
			a.Why = "no service is configured, so nobody knows whether a critical one is affected; " + a.Why
		}
	}
}

func human(criterion, what, law, limit, found string) Threshold {
	return Threshold{criterion, what, "RTS (EU) 2024/1772 " + law, limit, found, unknown}
}

func services(m *Measures) Threshold {
	t := Threshold{critServices, "Critical services affected", "RTS (EU) 2024/1772 Art. 6", "any", "no service is configured", unknown}
	var names []string
	for _, s := range m.Services {
		if s.Critical {
			names = append(names, s.Name)
		}
	}
	switch m.Critical {
	case "yes":
		t.Found, t.State = strings.Join(names, ", "), isMet
	case "no":
		t.Found, t.State = "none of those configured", notMet
	}
	return t
}

// clients: the count is one of calls, so it can only be too high. A threshold that even that does not reach is not met.
func clients(m *Measures) []Threshold {
	pct := Threshold{critClients, "Clients affected, share", "RTS (EU) 2024/1772 Art. 9(1)(a)", "more than 10 %", "no estimate: " + m.Reference.Why, unknown}
	if m.Percent != nil {
		pct.Found = fmt.Sprintf("at most %.1f %%: %d calls failed or dropped, of %d in the same hours a week before", *m.Percent, m.Clients, m.Reference.Attempts)
		pct.State = verdict(*m.Percent > 10)
	}
	number := Threshold{critClients, "Clients affected, number", "RTS (EU) 2024/1772 Art. 9(1)(b)", "more than 100 000", fmt.Sprintf("at most %d: each call may be another client", m.Clients), verdict(m.Clients > 100000)}
	if m.Available == unknown {
		pct.State, pct.Found = unknown, "no call came while it lasted: calls that never reached the node are not counted"
		number.State, number.Found = unknown, pct.Found
	}
	return []Threshold{pct, number}
}

func durations(m *Measures) []Threshold {
	long := Threshold{critDuration, "Duration", "RTS (EU) 2024/1772 Art. 9(3)(a)", "longer than 24 hours", Span(m.Duration), verdict(m.Duration > 24*time.Hour)}
	down := Threshold{critDuration, "Downtime of critical services", "RTS (EU) 2024/1772 Art. 9(3)(b)", "longer than 2 hours", Span(m.Downtime) + ", partial unavailability included", notMet}
	if m.Estimated {
		down.Found += ", an estimate: no call came to tell"
	}
	switch over := report.OverThreshold(m.Downtime); {
	case over && m.Critical == "yes":
		down.State = isMet
	case over && m.Critical == unknown:
		down.State = unknown
	}
	if !m.Ended { // it may still come
		long.Found, down.Found = long.Found+" so far", down.Found+", so far"
	}
	return []Threshold{long, down}
}

func spread(m *Measures) Threshold {
	t := Threshold{critSpread, "Member States with impact", "RTS (EU) 2024/1772 Art. 9(4)", "two or more", "none known", unknown}
	switch {
	case m.ByPlace:
		t.Found = strings.Join(m.States, ", ") + ", the place itself: no affected call names another"
	case len(m.States) > 0:
		t.Found, t.State = strings.Join(m.States, ", ")+", by the calling codes of affected calls", verdict(len(m.States) >= 2)
	}
	return t
}

// losses only ever asks people: the log knows its own records, and not the entity's data.
func losses(i *Incident, m *Measures) Threshold {
	t := human(critLosses, "Data losses", "Art. 9(5)(a)", "any adverse effect", "the log misses no record of the time, and shows no call outside the permitted places")
	var found []string
	if m.Lost > 0 || i.Rule == LogGap {
		found = append(found, fmt.Sprintf("%d records are missing (availability)", m.Lost))
	}
	if m.Violations > 0 {
		found = append(found, fmt.Sprintf("%d calls left the permitted places (confidentiality)", m.Violations))
	}
	if len(found) > 0 {
		t.Found = strings.Join(found, "; ")
	}
	return t
}

func verdict(over bool) string {
	if over {
		return isMet
	}
	return notMet
}

// Span writes a time as ITS (EU) 2025/302 has it, DD:HH:MM. What is left of a minute counts as one: a limit is never hidden by rounding.
func Span(d time.Duration) string {
	minutes := int64((d + time.Minute - 1) / time.Minute)
	return fmt.Sprintf("%02d:%02d:%02d", minutes/(24*60), minutes/60%24, minutes%60)
}

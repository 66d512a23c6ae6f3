package report

import (
	"fmt"
	"slices"
	"strings"
)

// Article is what one provision asks of a test, and what in this drill shows it. Whether that is enough, the financial entity judges.
type Article struct {
	Law    string `json:"law"`
	Asks   string `json:"asks"`
	Shown  string `json:"shown"` // shown | partly | not_shown | does_not_apply
	By     string `json:"by"`    // what in the report shows it, or what is lacking
	Fields string `json:"fields"`
}

// How far a drill shows what is asked.
const (
	shown    = "shown"
	partly   = "partly"
	notShown = "not_shown"
	notPart  = "does_not_apply"
)

// articles gives each provision.
func (r *Report) articles() []Article {
	var out []Article
	add := func(law, asks, fields string, by func() (string, string)) {
		state, text := by()
		out = append(out, Article{law, asks, state, text, fields})
	}
	add("DORA Art. 11(4)", "continuity plans are tested, notably for functions that are outsourced to ICT providers", "third_parties_involved", r.outsourced)
	add("DORA Art. 11(6)(a)", "tests at least yearly and after substantive changes, with switchovers between primary and redundant infrastructure", "mode, timeline", r.switchover)
	add("DORA Art. 12(2)", "activating a backup jeopardises neither security nor the availability, authenticity, integrity or confidentiality of data", "residency_result", r.confidential)
	add("DORA Art. 12(7)", "checks after recovery, reconciliations included, so that data is consistent between systems", "integrity_checks", r.reconciled)
	add("DORA Art. 24(1)", "a testing programme", "plan, function", r.programme)
	add("DORA Art. 24(4)", "tests by independent parties, without conflicts of interest in design and execution", "testers", r.independent)
	add("DORA Art. 24(5)", "issues are classified and remedied, and the remedy is validated", "deficiencies", r.remedied)
	add("DORA Art. 24(6)", "yearly tests of all ICT systems that support critical or important functions", "function, window", r.critical)
	add("DORA Art. 25(1)", "scenario-based, end-to-end and performance tests", "scenario, measured", r.endToEnd)
	add("DORA Art. 26", "threat-led penetration testing", "", func() (string, string) { return notPart, "A drill is no such test." })
	add("DORA Art. 30(3)(c)", "contingency plans of providers of critical or important functions are tested", "third_parties_involved", r.outsourced)
	add("RTS (EU) 2024/1774 Art. 25(1)", "tests take the business impact analysis into account", "plan.bia_ref", r.impact)
	add("RTS (EU) 2024/1774 Art. 25(2)(a)", "severe but plausible scenarios", "scenario", r.plausible)
	add("RTS (EU) 2024/1774 Art. 25(2)(b)", "services of ICT third-party providers are tested, too", "third_parties_involved", r.outsourced)
	add("RTS (EU) 2024/1774 Art. 25(2)(c)", "switchover from primary infrastructure to redundant capacity, for a sufficient period, and back", "timeline, sufficient_period", r.period)
	add("RTS (EU) 2024/1774 Art. 25(2)(d)", "assumptions are challenged, governance and crisis communication included", "governance_exercised, window", r.challenged)
	add("RTS (EU) 2024/1774 Art. 25(5)", "results are documented; deficiencies are analysed, addressed and reported to the management body", "deficiencies, reported_to_management_body", r.told)
	add("RTS (EU) 2024/1774 Art. 26(1)(f)", "conditions under which a plan was carried out with success", "hypothesis_and_pass_criteria", r.conditions)
	add("RTS (EU) 2024/1774 Art. 26(2)", "scenarios that plans must consider", "scenario", r.considered)
	return out
}

func (r *Report) outsourced() (string, string) {
	if len(r.ThirdParties) == 0 {
		return notShown, "No provider is recorded."
	}
	var names []string
	for _, t := range r.ThirdParties {
		names = append(names, t.Name.Said())
	}
	text := "Services of " + strings.Join(names, ", ") + " were part of it"
	if !r.live() {
		return partly, text + " as stand-ins: theirs were not touched."
	}
	return shown, text + "."
}

func (r *Report) switchover() (string, string) {
	switch {
	case !r.full():
		return notShown, fmt.Sprintf("Production was not switched over: it ran as %s. A completed drill in the production window counts.", human(string(r.Mode)))
	case r.Timeline.Switched.IsZero():
		return notShown, "Nothing was switched over."
	case r.Outcome != Passed:
		return partly, "Production was switched over, and the drill did not pass."
	}
	return shown, "Production was switched over at " + r.Timeline.Switched.Said() + " UTC."
}

func (r *Report) confidential() (string, string) {
	switch n := r.Measured.Refused; {
	case r.Residency == nil:
		return notShown, "No receipts were read."
	case r.Residency.Total == 0:
		return notShown, "No call of the play has a receipt."
	case r.Residency.Violations > 0:
		return notShown, fmt.Sprintf("%d calls were terminated where the policy does not permit it.", r.Residency.Violations)
	case n == nil || *n == 0:
		return partly, "No call was terminated outside the policy; no forbidden target was shown refused."
	case r.Residency.Indeterminate > 0:
		return partly, fmt.Sprintf("Of %d calls none was terminated outside the policy as far as receipts can say; of %d they cannot.", r.Residency.Total, r.Residency.Indeterminate)
	case !r.live():
		return partly, fmt.Sprintf("Of %d calls to stand-ins none was terminated outside the policy; what is forbidden was asked for and refused %s.", r.Residency.Total, times(*n))
	default:
		return shown, fmt.Sprintf("Of %d calls none was terminated outside the policy; what is forbidden was asked for and refused %s.", r.Residency.Total, times(*n))
	}
}

func (r *Report) reconciled() (string, string) {
	if len(r.Integrity) == 0 {
		return notShown, "Nothing was reconciled."
	}
	for _, c := range r.Integrity {
		if !c.Holds {
			return notShown, "It does not hold: " + c.What.Said() + "."
		}
	}
	return shown, fmt.Sprintf("%d checks, and all of them hold.", len(r.Integrity))
}

func (r *Report) programme() (string, string) {
	if r.Plan.SHA256 == "" || r.Plan.Version == nil {
		return notShown, "The plan has no version."
	}
	return partly, fmt.Sprintf("This drill is one of the programme: plan %s, version %d. The programme itself is a document of the entity.", r.Plan.ID.Said(), *r.Plan.Version)
}

func (r *Report) independent() (string, string) {
	if len(r.Testers) == 0 {
		return notShown, "No tester is recorded."
	}
	for _, t := range r.Testers {
		if len(t.Independent) == 0 {
			return notShown, t.Name.Said() + " is not recorded as independent."
		}
	}
	for _, t := range r.Testers {
		if !slices.Contains(t.Independent, "design") || !slices.Contains(t.Independent, "operation") {
			return partly, fmt.Sprintf("%s is independent of %s alone.", t.Name.Said(), words(t.Independent))
		}
	}
	return shown, "The testers wrote neither the scenario nor the configuration."
}

func (r *Report) remedied() (string, string) {
	switch {
	case len(r.Deficiencies) == 0 && r.Outcome == Passed:
		return shown, "The drill passed, and no deficiency was recorded."
	case len(r.Deficiencies) == 0:
		return notShown, "The drill did not pass, and no deficiency was recorded."
	}
	open := 0
	for _, d := range r.Deficiencies {
		if d.Owner == "" || d.Severity == "" {
			return notShown, d.ID.Said() + " has no owner, or was not classified."
		}
		if d.Fixed.IsZero() || d.RetestID == "" {
			open++
		}
	}
	if open > 0 {
		return partly, fmt.Sprintf("%d recorded, each classified and with an owner; %d not remedied and retested yet.", len(r.Deficiencies), open)
	}
	return shown, fmt.Sprintf("%d recorded, all remedied and retested.", len(r.Deficiencies))
}

func (r *Report) critical() (string, string) {
	switch {
	case r.Function.Critical == nil:
		return notShown, "Whether the function is critical or important is not recorded."
	case !*r.Function.Critical:
		return notPart, "The function is neither critical nor important."
	case r.Window.Start.IsZero():
		return notShown, "When the drill ran is not recorded."
	case !r.live():
		return partly, "Stand-ins were tested, beside the systems of " + r.Function.Name.Said() + "."
	case r.Outcome == Aborted:
		return partly, "The test of " + r.Function.Name.Said() + " did not come to its end."
	}
	return shown, "The systems of " + r.Function.Name.Said() + " were tested on " + r.Window.Start.Format("2006-01-02") + "."
}

func (r *Report) endToEnd() (string, string) {
	if !r.measured() || *r.Measured.Placed == 0 {
		return partly, "A scenario was played, without calls that were measured."
	}
	return shown, fmt.Sprintf("A scenario was played from end to end with %d calls, whose set-up, audio and loss were measured.", *r.Measured.Placed)
}

func (r *Report) impact() (string, string) {
	if r.Plan.BIA == "" {
		return notShown, "No business impact analysis is named."
	}
	return shown, "The plan rests on " + string(r.Plan.BIA) + "."
}

func (r *Report) plausible() (string, string) {
	if r.Scenario == "" {
		return notShown, "The kind of disruption is not recorded."
	}
	return shown, "Exercised: " + human(string(r.Scenario)) + "."
}

func (r *Report) period() (string, string) {
	switch s := r.Sufficient; {
	case s == nil || s.Carried == nil:
		return notShown, "How long the redundant path carried calls is not recorded."
	case s.Kept != nil && !*s.Kept:
		return notShown, fmt.Sprintf("%s carried calls for %s, too short a time.", s.Party.Said(), seconds(s.Carried))
	case r.Outcome == NotRestored:
		return partly, fmt.Sprintf("%s carried calls for %s; not everything is as it was before.", s.Party.Said(), seconds(s.Carried))
	case r.Restored.IsZero() && r.Measured.Restore == nil:
		return partly, fmt.Sprintf("%s carried calls for %s; that everything was as before afterwards is not recorded.", s.Party.Said(), seconds(s.Carried))
	case !r.full():
		return partly, fmt.Sprintf("%s carried calls for %s, beside production.", s.Party.Said(), seconds(s.Carried))
	default:
		return shown, fmt.Sprintf("%s carried calls for %s, and everything was as before afterwards.", s.Party.Said(), seconds(s.Carried))
	}
}

func (r *Report) challenged() (string, string) {
	gate, told := r.Governance.Quorum != nil, len(r.Window.Alerts) > 0
	switch {
	case gate && told:
		return shown, "People decided at the gate in " + seconds(r.Governance.Quorum) + ", and notices went out."
	case gate:
		return partly, "People decided at the gate in " + seconds(r.Governance.Quorum) + "; no notice is recorded."
	case told:
		return partly, "Notices went out; nobody had to decide at the gate."
	}
	return notShown, "Neither a decision at the gate nor a notice is recorded."
}

func (r *Report) told() (string, string) {
	if r.Reported.Date.IsZero() {
		return partly, "The result is documented; that the management body was told is not recorded."
	}
	return shown, "Reported on " + r.Reported.Date.Format("2006-01-02") + ", " + r.Reported.Minutes.Said() + "."
}

func (r *Report) conditions() (string, string) {
	if len(r.Criteria) == 0 {
		return notShown, "Nothing was judged."
	}
	return shown, fmt.Sprintf("%d conditions were written before, %d hold.", len(r.Criteria), r.hold())
}

// considered says which points of Art. 26(2) a kind of disruption is.
func (r *Report) considered() (string, string) {
	points, known := map[Text]string{
		"primary_region_loss":                   "(a) switchover, (d) failure of ICT assets or communication infrastructure",
		"carrier_trunk_loss":                    "(d) failure of communication infrastructure",
		"edge_group_latency_degradation":        "(b) quality deteriorates to an unacceptable level",
		"dns_failure":                           "(d) failure of communication infrastructure",
		"tls_certificate_expiry":                "(d) failure of ICT assets",
		"partial_one_way_media":                 "(b) quality deteriorates to an unacceptable level",
		"provider_insolvency_or_political_risk": "(b) failure of a provider, (h) political instability in a provider's jurisdiction",
		"cyber_isolation_sever":                 "(a) cyber-attack and switchover",
		"failback":                              "(a) switchover",
	}[r.Scenario]
	if !known {
		return notShown, "This kind of disruption is none of the points (a), (b), (d) and (h); it challenges governance, Art. 25(2)(d)."
	}
	return shown, "Point " + points + "."
}

// hold counts the criteria that do.
func (r *Report) hold() (n int) {
	for _, c := range r.Criteria {
		if c.Holds {
			n++
		}
	}
	return n
}

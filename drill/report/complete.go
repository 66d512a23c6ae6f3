package report

import (
	"fmt"
	"slices"
)

// Complete computes what follows from the rest: the sentence, what deviated, the integrity checks, what is missing, and the articles. It is called once, last.
func (r *Report) Complete() {
	r.Record = "drill_report"
	r.Deviations = append(slices.Clip(r.Deviations), r.deviations()...)
	r.Summary = r.sentence()
	r.Missing = r.missing()
	r.Articles = r.articles()
	r.lists()
}

// lists makes those that are empty empty lists, and not null: there was none.
func (r *Report) lists() {
	r.Testers, r.ThirdParties, r.Window.Alerts, r.Criteria = some(r.Testers), some(r.ThirdParties), some(r.Window.Alerts), some(r.Criteria)
	r.Deficiencies, r.SignOff, r.Artefacts, r.Parts, r.Steps = some(r.Deficiencies), some(r.SignOff), some(r.Artefacts), some(r.Parts), some(r.Steps)
	r.Guards, r.Deviations, r.Receipts, r.Records, r.Integrity = some(r.Guards), some(r.Deviations), some(r.Receipts), some(r.Records), some(r.Integrity)
	r.Governance.Acks = some(r.Governance.Acks)
	r.Plan.ApprovedBy, r.Guardrails.Conditions, r.Cleanup.Done = some(r.Plan.ApprovedBy), some(r.Guardrails.Conditions), some(r.Cleanup.Done)
}

func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// deviations are what departed from the plan, as the figures tell.
func (r *Report) deviations() (out []Text) {
	say := func(format string, args ...any) { out = append(out, Text(fmt.Sprintf(format, args...))) }
	switch r.Outcome {
	case Aborted:
		say("It was stopped before its end: %s.", r.Cause.Said())
	case NotRestored:
		say("Not everything was as before after the time that the scenario gives: %s.", r.Cause.Said())
	}
	for _, c := range r.Criteria {
		if !c.Holds {
			say("Expectation %d (%s) does not hold: wanted %s; measured %s.", c.Index+1, human(c.Word), c.Wanted, c.Measured)
		}
	}
	if rto, target := r.Measured.RTO, r.Function.RTO; rto != nil && target != nil && *rto > *target*3600 {
		say("The recovery time of %s is longer than the objective of the function, %s.", seconds(rto), hours(target))
	}
	if n := r.Measured.FalseVerdicts; n != nil && *n > 0 {
		say("%s called down although the drill did not touch them.", counted(*n, "party was", "parties were"))
	}
	if s := r.Sufficient; s != nil && s.Kept != nil && !*s.Kept {
		say("The redundant path carried calls for %s, a shorter time than was wanted.", seconds(s.Carried))
	}
	for _, g := range r.Guards {
		if !g.Holds {
			say("It began although a guard did not hold: %s, %s.", human(g.Name.Said()), g.Why.Said())
		}
	}
	if s := r.Residency; s != nil && s.Violations > 0 {
		say("%s terminated where the policy does not permit it.", counted(int(s.Violations), "call was", "calls were"))
	}
	for _, what := range r.Unsound() {
		say("W%s.", what[1:]) // what ...
	}
	for _, n := range r.Window.Alerts {
		if n.Failure != "" {
			say("The notice %s the drill did not reach %s: %s.", n.When.Said(), n.Channel.Said(), n.Failure)
		}
	}
	return out
}

package report

import "slices"

// Missing is a field of the register of drills that nobody filled, and what would fill it.
type Missing struct {
	Field string `json:"field"` // dotted, as in the JSON
	What  string `json:"what"`
	How   string `json:"how"`            // who or what fills it
	Moot  bool   `json:"does_not_apply"` // this drill could not fill it: its mode or its scenario has no such thing
}

// field is one that can be missing.
type field struct {
	name, what, how string
	empty           func(*Report) bool
	moot            func(*Report) bool // may be nil: never
}

const (
	fromScenario = "the scenario file"
	fromConfig   = "the configuration, section drills"
	fromStart    = "whoever starts the drill"
	fromPeople   = "people, after the drill"
	fromPlay     = "the play itself; it was not measured, or the part was not exercised"
)

// fields are all that can be missing, in the order of the register. What the log always has is not among them.
func fields() []field {
	return []field{
		{"tenant", "The tenant", fromConfig, func(r *Report) bool { return r.Tenant == "" }, nil},
		{"entity", "The name of the financial entity", "the configuration, section tenant", func(r *Report) bool { return r.Entity == "" }, nil},
		{"lei", "The legal entity identifier (ISO 17442)", "the configuration, section tenant", func(r *Report) bool { return r.LEI == "" }, nil},
		{"plan.id", "The name of the plan", fromScenario, func(r *Report) bool { return r.Plan.ID == "" }, nil},
		{"plan.version", "The version of the plan", fromScenario, func(r *Report) bool { return r.Plan.Version == nil }, nil},
		{"plan.sha256", "The digest of the plan", fromScenario, func(r *Report) bool { return r.Plan.SHA256 == "" }, nil},
		{"plan.approved_by", "Who approved the drill", fromStart, func(r *Report) bool { return len(r.Plan.ApprovedBy) == 0 }, notLive},
		{"plan.approved_at", "When the drill was approved", fromStart, func(r *Report) bool { return r.Plan.ApprovedAt.IsZero() }, notLive},
		{"plan.bia_ref", "The business impact analysis that the plan rests on, RTS (EU) 2024/1774 Art. 25(1)", fromScenario, func(r *Report) bool { return r.Plan.BIA == "" }, nil},
		{"function.roi_function_id", "The function in the register of information (B_06.01.0010)", fromScenario, func(r *Report) bool { return r.Function.ID == "" }, nil},
		{"function.name", "The name of the function", fromScenario, func(r *Report) bool { return r.Function.Name == "" }, nil},
		{"function.critical_or_important", "Whether the function is critical or important", fromScenario, func(r *Report) bool { return r.Function.Critical == nil }, nil},
		{"function.rto_hours", "The recovery time objective of the function (B_06.01.0080)", fromScenario, func(r *Report) bool { return r.Function.RTO == nil }, nil},
		{"function.rpo_hours", "The recovery point objective of the function (B_06.01.0090)", fromScenario, func(r *Report) bool { return r.Function.RPO == nil }, nil},
		{"scenario", "The kind of disruption", fromScenario, func(r *Report) bool { return r.Scenario == "" }, nil},
		{"mode", "Where the drill ran", fromStart, func(r *Report) bool { return r.Mode == "" }, nil},
		{"testers", "Who tested", fromStart, func(r *Report) bool { return len(r.Testers) == 0 }, nil},
		{"testers.unit", "The unit of each tester", "the configuration: unit of people", anyTester(func(t Tester) bool { return t.Unit == "" }), nil},
		{"testers.independent_of", "Of what each tester is independent, DORA Art. 24(4)", fromStart, anyTester(func(t Tester) bool { return t.Independent == nil }), nil},
		{"third_parties_involved", "The providers whose services were part of it, RTS (EU) 2024/1774 Art. 25(2)(b)", "the configuration: provider of each party that the drill touched", func(r *Report) bool { return len(r.ThirdParties) == 0 }, nil},
		{"third_parties_involved.lei", "The LEI or EUID of each provider", "the configuration: provider of each party", func(r *Report) bool {
			return slices.ContainsFunc(r.ThirdParties, func(t ThirdParty) bool { return t.LEI == "" })
		}, nil},
		{"window.announced_at", "When the drill was announced", fromConfig, func(r *Report) bool { return r.Window.Announced.IsZero() }, notLive},
		{"window.pre_alert_receipts", "That people were told before", fromConfig, func(r *Report) bool { return len(r.Window.Alerts) == 0 }, notLive},
		{"window.start", "When it began", fromPlay, func(r *Report) bool { return r.Window.Start.IsZero() }, nil},
		{"window.end", "When everything was given back", fromPlay, func(r *Report) bool { return r.Window.End.IsZero() }, nil},
		{"window.low_volume_basis", "What low volume was measured against", fromConfig, func(r *Report) bool { return r.Window.Basis == "" }, notLive},
		{"guardrails.throttle_cps", "The limit of calls a second", fromConfig, func(r *Report) bool { return r.Guardrails.Throttle == nil }, nil},
		{"guardrails.max_canary_pct", "The largest share of production", fromConfig, func(r *Report) bool { return r.Guardrails.MaxCanary == nil }, func(r *Report) bool { return !r.live() || r.full() }},
		{"guardrails.abort_conditions", "What would have stopped it", fromScenario, func(r *Report) bool { return len(r.Guardrails.Conditions) == 0 }, nil},
		{"guardrails.aborted", "Whether it was aborted", fromPlay, func(r *Report) bool { return r.Guardrails.Aborted == nil }, nil},
		{"hypothesis_and_pass_criteria", "What had to hold, and whether it did", fromPlay, func(r *Report) bool { return len(r.Criteria) == 0 }, nil},
		{"timeline", "The moments of the play", fromPlay, func(r *Report) bool { return !r.measured() }, nil},
		{"measured", "The figures of the play", fromPlay, func(r *Report) bool { return !r.measured() }, nil},
		{"measured.mos_before", "How calls sounded before the fault", fromPlay, whenMeasured(func(m Measured) bool { return m.MOSBefore == nil }), noCalls},
		{"measured.mos_during", "How calls sounded during the fault", fromPlay, whenMeasured(func(m Measured) bool { return m.MOSDuring == nil }), noCalls},
		{"measured.media_gap_ms_p50_p99", "How long calls were silent", fromPlay, whenMeasured(func(m Measured) bool { return m.Gap == nil }), noCalls},
		{"measured.rpo_records_lost", "How many records were lost; the log was not verified after the play", fromPlay, whenMeasured(func(m Measured) bool { return m.RecordsLost == nil }), nil},
		{"residency_result", "Where the calls of the play were terminated", "the log of the play", func(r *Report) bool { return r.Residency == nil }, nil},
		{"governance_exercised", "How long people took at the gate, RTS (EU) 2024/1774 Art. 25(2)(d)", fromPlay, func(r *Report) bool { return r.Governance.Quorum == nil && r.Governance.Opinion == nil }, noGate},
		{"governance_exercised.notifications_acked", "Who acknowledged the notices", "cordon drill ack", func(r *Report) bool { return r.Governance.Acked == nil }, nil},
		{"sufficient_period", "How long the redundant path carried calls, RTS (EU) 2024/1774 Art. 25(2)", fromPlay, func(r *Report) bool { return r.Sufficient == nil }, nil},
		{"integrity_checks", "The reconciliation of records, DORA Art. 12(7)", fromPlay, func(r *Report) bool { return len(r.Integrity) == 0 }, nil},
		{"deficiencies", "What the drill showed to be deficient: it did not pass, and nothing is recorded, DORA Art. 24(5)", fromPeople, func(r *Report) bool { return r.Outcome != Passed && len(r.Deficiencies) == 0 }, nil},
		{"deficiencies.owner", "The owner of each deficiency", fromPeople, anyDeficiency(func(d Deficiency) bool { return d.Owner == "" }), nil},
		{"deficiencies.due", "When each deficiency is to be remedied", fromPeople, anyDeficiency(func(d Deficiency) bool { return d.Due.IsZero() }), nil},
		{"deficiencies.retest_drill_id", "The drill that showed each deficiency to be remedied", fromPeople, anyDeficiency(func(d Deficiency) bool { return d.RetestID == "" }), nil},
		{"reported_to_management_body", "When the management body was told, RTS (EU) 2024/1774 Art. 25(5)", "cordon drill reported", func(r *Report) bool { return r.Reported.Date.IsZero() || r.Reported.Minutes == "" }, nil},
		{"sign_off", "Who judged the result", "cordon drill signoff", func(r *Report) bool { return !r.judged() }, nil},
		{"cleanup", "The clean-up, which a person signs", "cordon drill cleanup", func(r *Report) bool { return r.Cleanup.At.IsZero() }, nil},
		{"guards", "The guards at the start", fromPlay, func(r *Report) bool { return len(r.Guards) == 0 }, nil},
		{"artefacts", "The digests of what the report rests on", fromPlay, func(r *Report) bool { return len(r.Artefacts) == 0 }, nil},
		{"log.checkpoint", "The signed checkpoint that covers the drill", "the log: ask again when the next checkpoint is signed", func(r *Report) bool { return r.Log.Checkpoint == "" || !r.covered() }, nil},
	}
}

// missing lists what nobody filled.
func (r *Report) missing() []Missing {
	out := []Missing{}
	for _, f := range fields() {
		if f.empty(r) {
			out = append(out, Missing{f.name, f.what, f.how, f.moot != nil && f.moot(r)})
		}
	}
	return out
}

// owed counts what is missing and should not be.
func (r *Report) owed() (n int) {
	for _, m := range r.Missing {
		if !m.Moot {
			n++
		}
	}
	return n
}

func anyTester(is func(Tester) bool) func(*Report) bool {
	return func(r *Report) bool { return slices.ContainsFunc(r.Testers, is) }
}

func anyDeficiency(is func(Deficiency) bool) func(*Report) bool {
	return func(r *Report) bool { return slices.ContainsFunc(r.Deficiencies, is) }
}

// whenMeasured is for single figures of a play that was measured; that none was is said once.
func whenMeasured(empty func(Measured) bool) func(*Report) bool {
	return func(r *Report) bool { return r.measured() && empty(r.Measured) }
}

func notLive(r *Report) bool { return !r.live() }

// noCalls says that the drill placed none.
func noCalls(r *Report) bool { return r.measured() && *r.Measured.Placed == 0 }

// noGate says that no expectation of the scenario is about people at the gate.
func noGate(r *Report) bool {
	return !slices.ContainsFunc(r.Criteria, func(c Criterion) bool { return c.Word == "approved" || c.Word == "held" })
}

// covered says that the checkpoints cover every entry that the report rests on.
func (r *Report) covered() bool {
	if slices.ContainsFunc(r.Records, func(e RecordRef) bool { return e.Seq >= r.Log.Size }) {
		return false
	}
	of := &r.Log
	if r.Played != nil {
		of = r.Played
	}
	return of.Checkpoint != "" && of.Last < of.Size
}

package report

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/internal/page"
)

// yes is a judgement as a label.
func yes(holds bool, good, bad string) page.Cell {
	if holds {
		return page.Cell{Text: good, Tone: page.Good, Tag: true}
	}
	return page.Cell{Text: bad, Tone: page.Bad, Tag: true}
}

// cell is a text that may not be recorded.
func cell(t Text) page.Cell { return soft(t.Said()) }

// soft marks what is not recorded.
func soft(text string) page.Cell {
	if text == notRecorded {
		return page.Cell{Text: text, Tone: page.Warn}
	}
	return page.Cell{Text: text}
}

func (r *Report) criteria() page.Block {
	t := page.Table{
		Columns: []page.Column{{Name: "No", Right: true}, {Name: "Expectation", Share: 20}, {Name: "Wanted", Share: 32}, {Name: "Measured", Share: 28}, {Name: "Holds", Whole: true}},
		None:    "Nothing was judged: the play did not come to its end, or was not measured.",
	}
	for _, c := range r.Criteria {
		t.Rows = append(t.Rows, []page.Cell{{Text: strconv.Itoa(c.Index + 1)}, {Text: human(c.Word)}, {Text: c.Wanted}, {Text: c.Measured}, yes(c.Holds, "holds", "does not hold")})
	}
	return t
}

func (r *Report) figures() page.Block {
	m := r.Measured
	gap := notRecorded
	if len(m.Gap) == 2 {
		gap = fmt.Sprintf("%s and %s", millis(&m.Gap[0]), millis(&m.Gap[1]))
	}
	lost := notRecorded
	if m.RecordsLost != nil {
		lost = strconv.FormatUint(*m.RecordsLost, 10)
	}
	up, mos := notRecorded, notRecorded
	if m.InProgress != nil {
		up = fmt.Sprintf("%d, of them kept %s, lost %s", *m.InProgress, count(m.Preserved), count(m.Dropped))
	}
	if m.MOSBefore != nil || m.MOSDuring != nil {
		mos = fmt.Sprintf("MOS %s and %s (ITU-T G.107)", decimal(m.MOSBefore, ""), decimal(m.MOSDuring, ""))
	}
	never := func(text string) string { // of what a play may not come to
		if text == notRecorded && r.measured() {
			return "did not come to that"
		}
		return text
	}
	return page.Facts{
		{"Fault to detection", never(millis(m.Detect))},
		{"Fault to decision", never(millis(m.Decide))},
		{"Fault to switchover", never(millis(m.Switch))},
		{"Recovery time", never(seconds(m.RTO)) + ", objective of the function: " + hours(r.Function.RTO)},
		{"Fail-back", never(millis(m.Failback))},
		{"Restoring", never(millis(m.Restore))},
		{"Calls placed", count(m.Placed)},
		{"Set-up failed", decimal(m.SetupFailed, " %")},
		{"Calls up at the fault", up},
		{"Voice before and during", mos},
		{"Silence in calls", "median and 99th percentile: " + gap},
		{"Records lost", lost + ", objective of the function: " + hours(r.Function.RPO)},
		{"False verdicts of probes", count(m.FalseVerdicts)},
	}
}

func (r *Report) exercised() []page.Block {
	var out []page.Block
	if about := paragraph(r.About); about != "" {
		out = append(out, page.Paragraph(about))
	}
	critical := notRecorded
	if c := r.Function.Critical; c != nil {
		critical = map[bool]string{true: "critical or important", false: "neither critical nor important"}[*c]
	}
	approved := Text(words(r.Plan.ApprovedBy)).Said()
	if !r.Plan.ApprovedAt.IsZero() {
		approved += ", " + r.Plan.ApprovedAt.Said() + " UTC"
	}
	if len(r.Plan.ApprovedBy) == 0 && !r.live() {
		approved += " (needed in canary and full alone)"
	}
	parts := make([]string, len(r.Parts))
	for k, p := range r.Parts {
		parts[k] = fmt.Sprintf("%s: %s", p.Part, p.Party)
	}
	out = append(out, page.Facts{
		{"Disruption", human(r.Scenario.Said())},
		{"Function", fmt.Sprintf("%s (B_06.01.0010: %s), %s", r.Function.Name.Said(), r.Function.ID.Said(), critical)},
		{"Objectives", fmt.Sprintf("recovery time %s, recovery point %s", hours(r.Function.RTO), hours(r.Function.RPO))},
		{"Mode", r.mode()},
		{"Parts", Text(strings.Join(parts, ", ")).Said()},
		{"Plan", r.plan() + ", SHA-256 " + r.Plan.SHA256.Said()},
		{"Approved by", approved},
		{"Business impact analysis", r.Plan.BIA.Said()},
		{"Policy in force", r.Policy.Said()},
	})
	t := page.Table{Columns: page.Columns("Third party", "LEI or EUID", "Role"), None: "Third parties: " + notRecorded + "."}
	for _, p := range r.ThirdParties {
		t.Rows = append(t.Rows, []page.Cell{cell(p.Name), cell(p.LEI), {Text: human(p.Role.Said())}})
	}
	return append(out, t)
}

func (r *Report) guarded() []page.Block {
	g := r.Guardrails
	t := page.Table{Columns: []page.Column{{Name: "Guard at the start", Share: 26}, {Name: "State", Whole: true}, {Name: "Why", Share: 56}}, None: "The guards at the start: " + notRecorded + "."}
	for _, one := range r.Guards {
		t.Rows = append(t.Rows, []page.Cell{{Text: human(one.Name.Said())}, yes(one.Holds, "held", "did not hold"), {Text: string(one.Why)}})
	}
	share := decimal(g.MaxCanary, " %")
	if g.MaxCanary == nil && (!r.live() || r.full()) {
		share = "does not apply in this mode"
	}
	aborted := notRecorded
	if g.Aborted != nil {
		aborted = "no"
		if *g.Aborted {
			aborted = "yes: " + g.Cause.Said()
		}
	}
	basis := r.Window.Basis.Said()
	if r.Window.Basis == "" && !r.live() {
		basis = "does not apply in this mode"
	}
	return []page.Block{t, page.Heading{Text: "Limits", Level: 3}, page.Facts{
		{"Low volume", basis},
		{"Throttle", decimal(g.Throttle, " calls a second")},
		{"Largest share", share},
		{"Stops by itself when", Text(strings.Join(texts(g.Conditions), "; ")).Said()},
		{"Aborted", aborted},
	}}
}

func (r *Report) people() []page.Block {
	t := page.Table{Columns: []page.Column{{Name: "Tester", Share: 26}, {Name: "Unit", Share: 20}, {Name: "Independent of", Share: 22}, {Name: "Why", Share: 30}}, None: "Testers: " + notRecorded + "."}
	for _, one := range r.Testers {
		of := soft(notRecorded)
		switch {
		case one.Independent != nil && len(one.Independent) == 0:
			of = page.Cell{Text: "neither design nor operation", Tone: page.Bad}
		case len(one.Independent) > 0:
			of = page.Cell{Text: words(one.Independent), Tone: page.Good}
		}
		t.Rows = append(t.Rows, []page.Cell{cell(one.Name), cell(one.Unit), of, {Text: string(one.Why)}})
	}
	s := page.Table{Columns: []page.Column{{Name: "Who", Share: 20}, {Name: "What", Share: 24}, {Name: "When (UTC)", Whole: true}, {Name: "Why", Share: 22}, {Name: "How", Share: 30}}, None: "Sign-off: " + notRecorded + "."}
	for _, one := range r.SignOff {
		s.Rows = append(s.Rows, []page.Cell{cell(one.Person), one.what(), {Text: one.At.Said()}, {Text: string(one.Reason)}, one.Hand.cell()})
	}
	out := []page.Block{t, page.Heading{Text: "Sign-off", Level: 3}, s}
	if !r.judged() {
		out = append(out, page.Callout{Tone: page.Warn, Word: "Not recorded.", Text: "Nobody who neither asked for the drill nor approved its start has judged the result: cordon drill signoff."})
	}
	return append(out, page.Paragraph("Reported to the management body: "+r.reported()+"."))
}

// what is the word of a person, with its verdict and the role in which it was given.
func (s Signature) what() page.Cell {
	c := page.Cell{Text: human(s.Word.Said())}
	if s.Verdict != "" {
		c.Text += ": " + human(string(s.Verdict))
		c.Tone = map[Text]page.Tone{sign.DrillAccept: page.Good, sign.DrillAcceptWithDeficiency: page.Warn, sign.DrillReject: page.Bad}[s.Verdict]
	}
	if s.Role != s.Word {
		c.Text += ", as " + human(s.Role.Said())
	}
	return c
}

// cell is how a word was given.
func (h Hand) cell() page.Cell {
	c := page.Cell{Text: h.said()}
	if h.Holds != nil {
		c.Tone = map[bool]page.Tone{true: page.Good, false: page.Bad}[*h.Holds]
	}
	return c
}

func (r *Report) reported() string {
	if r.Reported.Date.IsZero() {
		return notRecorded
	}
	return r.Reported.Date.Format("2006-01-02") + ", minutes " + r.Reported.Minutes.Said() + prefixed("; recorded by ", string(r.Reported.By)) + prefixed(", ", r.Reported.said())
}

func (r *Report) deviated() []page.Block {
	if len(r.Deviations) == 0 {
		return []page.Block{page.Paragraph("None: it went as it was planned.")}
	}
	return []page.Block{page.List(texts(r.Deviations))}
}

func (r *Report) deficient() []page.Block {
	none := "None was recorded."
	if r.Outcome != Passed {
		none = "None was recorded, although the drill did not pass: DORA Art. 24(5) wants each classified and remedied."
	}
	t := page.Table{
		Columns: []page.Column{{Name: "Id", Whole: true}, {Name: "Severity", Share: 11}, {Name: "What", Share: 32}, {Name: "Owner", Share: 14}, {Name: "Due", Whole: true}, {Name: "Fixed", Whole: true}, {Name: "Retest", Share: 16}},
		None:    none,
	}
	for _, d := range r.Deficiencies {
		severity := page.Cell{Text: d.Severity.Said(), Tone: page.Warn, Tag: true}
		if d.Severity == "high" || d.Severity == "critical" {
			severity.Tone = page.Bad
		}
		fixed := page.Cell{Text: "open", Tone: page.Warn}
		if !d.Fixed.IsZero() {
			fixed = page.Cell{Text: day(d.Fixed), Tone: page.Good}
		}
		retest := soft(d.RetestID.Said())
		if d.RetestID == "" && !d.Retest.IsZero() {
			retest = page.Cell{Text: "by " + day(d.Retest)}
		}
		t.Rows = append(t.Rows, []page.Cell{cell(d.ID), severity, cell(d.What), cell(d.Owner), {Text: day(d.Due)}, fixed, retest})
	}
	return []page.Block{t}
}

func day(m Moment) string {
	if m.IsZero() {
		return notRecorded
	}
	return m.UTC().Format("2006-01-02")
}

func (r *Report) resident() []page.Block {
	s := r.Residency
	if s == nil {
		return []page.Block{page.Callout{Tone: page.Warn, Word: "Not recorded.", Text: "No receipts of the play were read."}}
	}
	lead := page.Callout{Tone: page.Good, Word: "Kept.", Text: "No call was terminated where the policy does not permit it."}
	if s.Violations > 0 {
		lead = page.Callout{Tone: page.Bad, Word: "Violated.", Text: counted(int(s.Violations), "call was", "calls were") + " terminated where the policy does not permit it: " + strings.Join(s.Calls, ", ") + "."}
	}
	var purposes []string
	for _, name := range slices.Sorted(maps.Keys(s.Purposes)) {
		purposes = append(purposes, fmt.Sprintf("%s %d", human(name), s.Purposes[name]))
	}
	t := page.Table{Columns: page.Columns("Country", "Calls", "Signalling", "Media", "Attempts refused"), None: "No call had a receipt."}
	for k := 1; k < len(t.Columns); k++ {
		t.Columns[k].Right = true
	}
	for _, c := range s.Countries {
		t.Rows = append(t.Rows, page.Row(c.Country, number(c.Calls), number(c.Signalling), number(c.Media), number(c.Refused)))
	}
	return []page.Block{
		lead,
		page.Facts{
			{"Receipts", number(s.Total) + prefixed(", by purpose: ", strings.Join(purposes, ", "))},
			{"Refused by the policy", number(s.Refused)},
			{"Indeterminate", number(s.Indeterminate)},
			{"Forbidden, asked for and refused", count(r.Measured.Refused)},
			{"Datagrams that left", r.sent()},
		},
		t,
		page.Paragraph("A call counts once in each country where it has a hop. An attempt refused is a target that was never contacted."),
	}
}

// sent names the parties for which something left, and those for which nothing did though it was counted.
func (r *Report) sent() string {
	var out []string
	for _, party := range slices.Sorted(maps.Keys(r.Datagrams)) {
		out = append(out, fmt.Sprintf("%s %d", party, r.Datagrams[party]))
	}
	return Text(strings.Join(out, ", ")).Said()
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

func (r *Report) governed() []page.Block {
	g := r.Governance
	gate := func(s *float64) string {
		if s == nil && noGate(r) {
			return "the gate was no part of this drill"
		}
		return seconds(s)
	}
	t := page.Table{Columns: []page.Column{{Name: "Notice", Whole: true}, {Name: "Channel", Share: 34}, {Name: "Sent (UTC)", Whole: true}, {Name: "Result", Share: 30}}, None: "Notices before, during and after: " + notRecorded + "."}
	for _, n := range r.Window.Alerts {
		result := page.Cell{Text: "no failure on record"}
		if n.Failure != "" {
			result = page.Cell{Text: string(n.Failure), Tone: page.Bad}
		}
		t.Rows = append(t.Rows, []page.Cell{{Text: n.When.Said()}, {Text: n.Channel.Said()}, {Text: n.Sent.Said()}, result})
	}
	return []page.Block{page.Facts{
		{"Ticket to quorum", gate(g.Quorum)},
		{"Opinion of the data protection officer", gate(g.Opinion)},
		{"Announced", r.Window.Announced.Said()},
		{"Notices", g.notices()},
		{"Notices acknowledged", r.acked()},
	}, t}
}

// notices says how many arrived.
func (g *Governance) notices() string {
	if g.Delivered+g.Failed == 0 {
		return notRecorded
	}
	return fmt.Sprintf("%d taken by their channels, %d not delivered", g.Delivered, g.Failed)
}

// acked names who took note of what was told, and when.
func (r *Report) acked() string {
	text := count(r.Governance.Acked)
	for k, a := range r.Governance.Acks {
		text += [2]string{": ", ", "}[min(k, 1)] + fmt.Sprintf("%s %s it", a.Person.Said(), a.When.Said())
	}
	return text
}

func (r *Report) integrity() []page.Block {
	t := page.Table{Columns: []page.Column{{Name: "Check", Share: 44}, {Name: "State", Whole: true}, {Name: "Found", Share: 40}}, None: "Reconciliations: " + notRecorded + "."}
	for _, c := range r.Integrity {
		t.Rows = append(t.Rows, []page.Cell{{Text: c.What.Said()}, yes(c.Holds, "holds", "does not hold"), {Text: string(c.Found)}})
	}
	carried := notRecorded
	if s := r.Sufficient; s != nil {
		carried = fmt.Sprintf("%s, for %s", s.Party.Said(), seconds(s.Carried)) + prefixed("; wanted: ", string(s.Wanted))
	}
	return []page.Block{t, page.Heading{Text: "Sufficient period", Level: 3}, page.Paragraph("The redundant path carried calls: " + carried + ".")}
}

func (r *Report) cleaned() []page.Block {
	if r.Cleanup.At.IsZero() {
		return []page.Block{page.Callout{Tone: page.Warn, Word: "Not recorded.", Text: "Nobody has signed yet that nothing of the drill is left: cordon drill cleanup."}}
	}
	return []page.Block{
		page.Paragraph(fmt.Sprintf("Confirmed by %s, %s UTC%s.", r.Cleanup.By.Said(), r.Cleanup.At.Said(), prefixed(", ", r.Cleanup.said()))),
		page.List(texts(r.Cleanup.Done)),
	}
}

func (r *Report) lawful() []page.Block {
	t := page.Table{Columns: []page.Column{{Name: "Provision", Share: 20}, {Name: "Asks for", Share: 34}, {Name: "This drill", Whole: true}, {Name: "What shows it", Share: 34}}}
	for _, a := range r.Articles {
		tone := map[string]page.Tone{shown: page.Good, partly: page.Warn, notShown: page.Bad, notPart: page.Soft}[a.Shown]
		t.Rows = append(t.Rows, []page.Cell{{Text: a.Law}, {Text: a.Asks}, {Text: human(a.Shown), Tone: tone, Tag: true}, {Text: a.By, Notes: []string{a.Fields}}})
	}
	return []page.Block{page.Paragraph("One drill shows a part of what a testing programme must. The financial entity judges whether it is enough."), t}
}

func (r *Report) lacking() []page.Block {
	t := page.Table{Columns: []page.Column{{Name: "Field", Share: 32}, {Name: "What", Share: 36}, {Name: "Filled by", Share: 32}}, None: "Nothing is missing."}
	for _, m := range r.Missing {
		how := page.Cell{Text: m.How}
		if m.Moot {
			how = page.Cell{Text: "does not apply to this drill", Tone: page.Soft}
		}
		t.Rows = append(t.Rows, []page.Cell{{Text: m.Field}, {Text: m.What}, how})
	}
	return []page.Block{t}
}

func texts(list []Text) []string {
	out := make([]string, len(list))
	for k, t := range list {
		out[k] = string(t)
	}
	return out
}

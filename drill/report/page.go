package report

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/page"
)

// HTML is the report as a page to read and print: one file, with no script and nothing from outside.
func (r *Report) HTML() ([]byte, error) {
	var out bytes.Buffer
	if err := r.Page().HTML(&out); err != nil {
		return nil, fmt.Errorf("drill/report: %w", err)
	}
	return out.Bytes(), nil
}

// PDF is the same page as a file to send and to keep: tagged, and of the same bytes whenever the same report is written.
func (r *Report) PDF() ([]byte, error) {
	var out bytes.Buffer
	if err := r.Page().PDF(&out); err != nil {
		return nil, fmt.Errorf("drill/report: %w", err)
	}
	return out.Bytes(), nil
}

// Page is the report for people.
func (r *Report) Page() page.Document {
	about := []string{r.Entity.Said()}
	if r.LEI != "" {
		about = append(about, "LEI "+string(r.LEI))
	}
	about = append(about, "drill "+r.ID, "node "+r.Node.Said(), "made "+r.Made.Said()+" UTC")
	d := page.Document{
		Kind:  fmt.Sprintf("Resilience drill \u00b7 %s \u00b7 function: %s \u00b7 %s", r.plan(), r.Function.Name.Said(), r.mode()),
		Title: r.heading(), About: strings.Join(about, " \u00b7 "), Made: r.Made.Time, Maker: string(r.Software), Lead: r.lead(),
		Foot: fmt.Sprintf("Drill %s, %s. %s, checkpoint of %d entries, root %s", r.ID, human(string(r.Outcome)), r.Log.Origin, r.Log.Size, r.Log.Root),
	}
	d.Blocks = append(d.Blocks, r.tiles())
	if n := r.owed(); n > 0 {
		d.Blocks = append(d.Blocks, page.Callout{Tone: page.Warn, Word: "Not recorded.", Text: fmt.Sprintf("%s of the report that nobody filled: see \u201cMissing\u201d.", counted(n, "field", "fields"))})
	}
	for _, part := range []struct {
		title  string
		blocks []page.Block
	}{
		{"Course", r.course()},
		{"What was expected, and what was measured", []page.Block{r.criteria(), page.Heading{Text: "Figures", Level: 3}, r.figures()}},
		{"What was exercised", r.exercised()},
		{"Guards and limits", r.guarded()},
		{"People and independence", r.people()},
		{"Deviations", r.deviated()},
		{"Deficiencies", r.deficient()},
		{"Where calls were terminated", r.resident()},
		{"Governance and crisis communication", r.governed()},
		{"Integrity of records", r.integrity()},
		{"Clean-up", r.cleaned()},
		{"What the law asks, and what shows it", r.lawful()},
		{"Missing", r.lacking()},
		{"How to verify this report", r.verify()},
	} {
		d.Blocks = append(append(d.Blocks, page.Heading{Text: part.title}), part.blocks...)
	}
	return d
}

func (r *Report) heading() string {
	if r.Title == "" {
		return "Drill " + r.ID
	}
	return string(r.Title)
}

func (r *Report) plan() string {
	if r.Plan.Version == nil {
		return r.Plan.ID.Said()
	}
	return fmt.Sprintf("%s, version %d", r.Plan.ID.Said(), *r.Plan.Version)
}

// mode names where it ran, for people who know the register's words and for those who do not.
func (r *Report) mode() string {
	what := map[string]string{
		scenario.Simulation.Evidence(): "virtual time, nothing real",
		scenario.Sandbox.Evidence():    "beside production, with stand-ins",
		scenario.Canary.Evidence():     "a share of production",
		scenario.Full.Evidence():       "a real switchover",
	}[string(r.Mode)]
	if what == "" {
		return r.Mode.Said()
	}
	return fmt.Sprintf("%s (%s)", human(string(r.Mode)), what)
}

// lead is the outcome in one sentence.
func (r *Report) lead() page.Callout {
	switch r.Outcome {
	case Passed:
		return page.Callout{Tone: page.Good, Word: "Passed.", Text: r.Summary}
	case Aborted:
		return page.Callout{Tone: page.Warn, Word: "ABORTED.", Text: r.Summary}
	case NotRestored:
		return page.Callout{Tone: page.Bad, Word: "NOT RESTORED.", Text: r.Summary}
	}
	return page.Callout{Tone: page.Bad, Word: "FAILED.", Text: r.Summary}
}

// sentence says what came of it.
func (r *Report) sentence() string {
	var parts []string
	switch r.Outcome {
	case NotRestored:
		parts = append(parts, "Not everything is as it was before the drill: "+r.Cause.Said())
	case Aborted:
		parts = append(parts, "The drill was stopped: "+r.Cause.Said())
	}
	if n := len(r.Criteria); n > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d expectations hold", r.hold(), n))
	} else {
		parts = append(parts, "nothing was judged")
	}
	if rto := r.Measured.RTO; rto != nil {
		parts = append(parts, "calls were answered by "+r.played(scenario.Secondary)+" "+seconds(rto)+" after the fault")
	}
	if n := r.Measured.Dropped; n != nil {
		parts = append(parts, map[bool]string{true: "no call was lost", false: counted(*n, "call was lost", "calls were lost")}[*n == 0])
	}
	if n := r.Measured.Refused; n != nil {
		parts = append(parts, map[bool]string{true: "nothing forbidden was shown refused", false: "what is forbidden was refused " + times(*n)}[*n == 0])
	}
	switch {
	case r.Outcome == NotRestored:
	case r.Measured.Restore != nil:
		parts = append(parts, "everything was as before "+r.restoring())
	case !r.Restored.IsZero():
		parts = append(parts, "everything was as before at "+r.Restored.Said()+" UTC")
	}
	text := strings.Join(parts, "; ")
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// restoring is how long it took until everything was as before, and from when on.
func (r *Report) restoring() string {
	return millis(r.Measured.Restore) + " after " + measure.RestoredFrom(r.Window.End.Time, r.Restored.Time)
}

// played is the party of a part.
func (r *Report) played(part string) string {
	for _, p := range r.Parts {
		if string(p.Part) == part {
			return string(p.Party)
		}
	}
	return "the " + part
}

// tiles are what somebody without time looks at.
func (r *Report) tiles() page.Tiles {
	rto, tone := "not measured", page.Warn
	if r.measured() {
		rto = "no recovery seen"
	}
	if m := r.Measured.RTO; m != nil {
		rto, tone = seconds(m), page.Plain
		if target := r.Function.RTO; target != nil {
			tone = page.Good
			if *m > *target*3600 {
				tone = page.Bad
			}
		}
	}
	switch {
	case r.Function.RTO == nil:
		rto += " (target not recorded)"
	case r.Measured.RTO == nil:
		rto += " (target " + hours(r.Function.RTO) + ")"
	default:
		rto += " of " + hours(r.Function.RTO)
	}
	figure := func(n *int, good bool) (string, page.Tone) {
		switch {
		case n == nil:
			return "not measured", page.Warn
		case good:
			return fmt.Sprint(*n), page.Good
		}
		return fmt.Sprint(*n), page.Bad
	}
	lost, lostTone := figure(r.Measured.Dropped, r.Measured.Dropped != nil && *r.Measured.Dropped == 0)
	refused, refusedTone := figure(r.Measured.Refused, r.Measured.Refused != nil && *r.Measured.Refused > 0)
	holds, holdsTone := "nothing judged", page.Bad
	if n := len(r.Criteria); n > 0 {
		holds = fmt.Sprintf("%d of %d", r.hold(), n)
		if r.hold() == n {
			holdsTone = page.Good
		}
	}
	restored, restoredTone := r.restoring(), page.Good
	switch {
	case r.Outcome == NotRestored:
		restored, restoredTone = "NO", page.Bad
	case r.Measured.Restore == nil && r.Restored.IsZero():
		restored, restoredTone = notRecorded, page.Warn
	case r.Measured.Restore == nil:
		restored = r.Restored.Said()
	}
	return page.Tiles{
		{Name: "When (UTC)", Value: r.when(), Tone: unless(r.when())},
		{Name: "Tested by", Value: r.by(), Tone: unless(r.by())},
		{Name: "Recovery time, of its objective", Value: rto, Tone: tone},
		{Name: "Calls lost that were up", Value: lost, Tone: lostTone},
		{Name: "Forbidden, shown refused", Value: refused, Tone: refusedTone},
		{Name: "Expectations that hold", Value: holds, Tone: holdsTone},
		{Name: "All as before", Value: restored, Tone: restoredTone},
		{Name: "Deficiencies", Value: r.deficiencyTile(), Tone: r.deficiencyTone()},
	}
}

// unless marks what is not recorded.
func unless(text string) page.Tone {
	if text == notRecorded {
		return page.Warn
	}
	return page.Plain
}

func (r *Report) when() string {
	if r.Window.Start.IsZero() {
		return notRecorded
	}
	text := r.Window.Start.Format("2006-01-02 15:04")
	if r.Window.End.IsZero() {
		return text
	}
	return text + " for " + span(r.Window.End.Sub(r.Window.Start.Time))
}

func (r *Report) by() string {
	var names []Text
	for _, t := range r.Testers {
		names = append(names, t.Name)
	}
	return Text(words(names)).Said()
}

func (r *Report) deficiencyTile() string {
	open := 0
	for _, d := range r.Deficiencies {
		if d.Fixed.IsZero() {
			open++
		}
	}
	switch {
	case len(r.Deficiencies) == 0 && r.Outcome != Passed:
		return notRecorded
	case len(r.Deficiencies) == 0:
		return "none"
	}
	return fmt.Sprintf("%d, %d open", len(r.Deficiencies), open)
}

func (r *Report) deficiencyTone() page.Tone {
	for _, d := range r.Deficiencies {
		if d.Fixed.IsZero() {
			return page.Warn
		}
	}
	if len(r.Deficiencies) == 0 && r.Outcome != Passed {
		return page.Warn
	}
	return page.Plain
}

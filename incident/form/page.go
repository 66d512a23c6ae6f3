package form

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/cordonsip/cordon/incident"
	"github.com/cordonsip/cordon/internal/page"
)

// HTML is the draft as a page to read and print: one file, with no script and nothing from outside.
func (d *Draft) HTML() ([]byte, error) {
	var out bytes.Buffer
	if err := d.Page().HTML(&out); err != nil {
		return nil, fmt.Errorf("form: page: %w", err)
	}
	return out.Bytes(), nil
}

// PDF is the same page as a file to send and to keep: tagged, and of the same bytes whenever the same draft is written.
func (d *Draft) PDF() ([]byte, error) {
	var out bytes.Buffer
	if err := d.Page().PDF(&out); err != nil {
		return nil, fmt.Errorf("form: %w", err)
	}
	return out.Bytes(), nil
}

// Page is the draft for people.
func (d *Draft) Page() page.Document {
	a := d.About
	about := []string{a.Incident}
	for _, text := range []string{a.Entity, prefixed("LEI ", a.LEI), "made " + stamp(a.Made) + " on " + a.Node} {
		if text != "" {
			about = append(about, text)
		}
	}
	text := fmt.Sprintf("cordon computes and sends nothing; the financial entity classifies, completes and submits. People still have to write %d of %d fields and to check %d.", len(a.Missing), len(d.Fields), len(a.Drafted))
	if n := len(a.Withheld); n > 0 {
		text += fmt.Sprintf(" %d fields about people are withheld.", n)
	}
	doc := page.Document{
		Kind: "Major ICT-related incident \u00b7 " + a.Form + " \u00b7 " + title(a.Stage), Title: a.Title, About: strings.Join(about, " \u00b7 "), Made: a.Made, Maker: a.Software,
		Lead: page.Callout{Tone: page.Warn, Word: "Draft.", Text: text}, Foot: fmt.Sprintf("%s, draft. %s, checkpoint of %d entries, root %s", a.Incident, d.Measures.Log.Origin, d.Measures.Log.Size, d.Measures.Log.Root),
	}
	doc.Blocks = append(doc.Blocks, d.tiles(), d.course(), page.Heading{Text: "Clocks"}, d.race(), d.clocks(), page.Heading{Text: "Materiality thresholds"})
	doc.Blocks = append(doc.Blocks, page.Callout{Word: "Indication: " + human(d.Assessment.Indication) + ".", Text: d.Assessment.Why + "."}, d.thresholds())
	for k, name := range []string{"General", "Initial notification", "Intermediate report", "Final report"} {
		if fields := d.of(k + 1); len(fields) > 0 {
			doc.Blocks = append(doc.Blocks, page.Heading{Text: fmt.Sprintf("%d. %s", k+1, name)}, content(fields))
		}
	}
	if len(d.Measures.Steps) > 0 {
		t := page.Table{Columns: []page.Column{{Name: "When (UTC)", Whole: true}, {Name: "What", Share: 70}, {Name: "Log entry", Right: true}}}
		for _, s := range d.Measures.Steps {
			t.Rows = append(t.Rows, page.Row(stamp(s.At), s.What, fmt.Sprint(s.Entry)))
		}
		doc.Blocks = append(doc.Blocks, page.Heading{Text: "What was done"}, t)
	}
	doc.Blocks = append(doc.Blocks, page.Heading{Text: "What it rests on"}, page.Paragraph(d.basis()), page.Code(d.Measures.Log.Note))
	return doc
}

func prefixed(prefix, text string) string {
	if text == "" {
		return ""
	}
	return prefix + text
}

// tiles are what somebody without time looks at.
func (d *Draft) tiles() page.Tiles {
	m, i := &d.Measures, &d.Incident
	restored, class, downtime, states := "it lasts", "not yet", incident.Span(m.Downtime), "none known"
	if m.Ended {
		restored = short(i.Restored())
	}
	if c := i.Class; c != nil {
		class = "not major"
		if c.Major {
			class = "major"
		}
		class += ", " + short(c.At)
	}
	if m.Estimated {
		downtime += " (estimate)"
	}
	if len(m.States) > 0 {
		states = strings.Join(m.States, ", ")
	}
	if m.ByPlace {
		states += " (by place)"
	}
	return page.Tiles{
		{Name: "Occurred (UTC)", Value: short(i.Since)},
		{Name: "Aware", Value: short(i.Aware)},
		{Name: "Restored", Value: restored},
		{Name: "Classified", Value: class},
		{Name: "Duration (DD:HH:MM)", Value: incident.Span(m.Duration)},
		{Name: "Downtime, partial included", Value: downtime},
		{Name: "Calls failed or dropped", Value: fmt.Sprintf("%d + %d of %d", m.Failed, m.Dropped, m.Attempts)},
		{Name: "Member States", Value: states},
	}
}

// course draws how long it lasted, and when people knew.
func (d *Draft) course() page.Figure {
	i, m := &d.Incident, &d.Measures
	end := d.About.Made
	if m.Ended && !i.Restored().IsZero() {
		end = i.Restored()
	}
	t := page.Timeline{From: i.Since, To: end, Lanes: []page.Lane{{Name: "incident", Spans: []page.Span{{From: i.Since, To: end, Tone: page.Bad}}}}}
	outages := page.Lane{Name: "down, also partially"}
	for _, o := range m.Outages {
		if o.To.IsZero() { // it lasts
			o.To = end
		}
		outages.Spans = append(outages.Spans, page.Span{From: o.From, To: o.To, Tone: page.Bad})
	}
	if len(outages.Spans) > 0 {
		t.Lanes = append(t.Lanes, outages)
	}
	t.Marks = append(t.Marks, page.Mark{At: i.Aware, Label: "aware " + short(i.Aware)})
	said := fmt.Sprintf("It began at %s, people could know at %s, and it lasted %s (DD:HH:MM).", stamp(i.Since), stamp(i.Aware), incident.Span(m.Duration))
	if c := i.Class; c != nil {
		t.Marks = append(t.Marks, page.Mark{At: c.At, Label: "classified " + short(c.At)})
		t.To = later(t.To, c.At)
		said += " It was classified at " + stamp(c.At) + "."
	}
	for _, s := range m.Steps {
		t.Marks = append(t.Marks, page.Mark{At: s.At, Label: fmt.Sprintf("entry %d", s.Entry), Tone: page.Soft})
		t.To = later(t.To, s.At)
	}
	return t.Figure("The incident, times in UTC. Numbers of log entries are those of what was done.", said)
}

// race draws what the clocks gave, and what was used of it.
func (d *Draft) race() page.Figure {
	t := page.Timeline{From: d.Incident.Aware, To: d.About.Made}
	var said []string
	for _, c := range d.Clocks {
		if c.From.IsZero() || c.Due.IsZero() {
			continue
		}
		used := page.Span{From: c.From, To: d.About.Made, Tone: page.Good, Label: "due " + short(c.Due)}
		if !c.Met.IsZero() {
			used.To, used.Label = c.Met, "met "+short(c.Met)
		}
		if used.To.After(c.Due) {
			used.Tone = page.Bad
		}
		t.Lanes = append(t.Lanes, page.Lane{Name: human(c.Name), Spans: []page.Span{{From: c.From, To: c.Due, Tone: page.Soft}, used}})
		t.To = later(later(t.To, used.To), c.Due)
		said = append(said, fmt.Sprintf("%s: due %s, %s", human(c.Name), stamp(c.Due), human(c.State)))
	}
	return t.Figure("The clocks that run or ran, times in UTC: the light bar is what a clock gave, the dark one what was used of it.", "Clocks. "+strings.Join(said, "; ")+".")
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// short writes a time where the date alone matters to people, to the minute.
func short(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

func (d *Draft) clocks() page.Table {
	t := page.Table{Columns: []page.Column{{Name: "Clock", Share: 22}, {Name: "Limit (UTC)", Whole: true}, {Name: "Submitted", Whole: true}, {Name: "Note", Share: 28}, {Name: "State", Whole: true}}}
	when := func(at time.Time) string {
		if at.IsZero() {
			return "\u2013"
		}
		return stamp(at)
	}
	for _, c := range d.Clocks {
		limit := page.Cell{Text: when(c.Due)}
		if c.Moved {
			limit.Notes = []string{"moved from " + stamp(c.Limit)}
		}
		t.Rows = append(t.Rows, []page.Cell{{Text: c.Name, Notes: []string{c.Law}}, limit, {Text: when(c.Met)}, {Notes: []string{c.Note}}, tag(c.State)})
	}
	return t
}

func (d *Draft) thresholds() page.Table {
	t := page.Table{Columns: []page.Column{{Name: "Threshold", Share: 32}, {Name: "Limit", Share: 18}, {Name: "What the log says", Share: 38}, {Name: "State", Whole: true}}}
	for _, x := range d.Assessment.Thresholds {
		state := tag(x.State)
		if x.State == "met" { // a clock that is met is good, a threshold that is met is not
			state.Tone = page.Bad
		}
		t.Rows = append(t.Rows, []page.Cell{{Text: x.What, Notes: []string{x.Law}}, {Text: x.Limit}, {Text: x.Found}, state})
	}
	return t
}

// content is the fields of a chapter with their content, where it is from and what is to be done about it.
func content(fields []Field) page.Table {
	t := page.Table{Columns: []page.Column{{Name: "No", Whole: true}, {Name: "Field", Share: 36}, {Name: "Content", Share: 46}, {Name: "State", Whole: true}}}
	for _, f := range fields {
		t.Rows = append(t.Rows, []page.Cell{
			{Text: f.ID, Tone: page.Soft},
			{Text: f.Name, Notes: []string{f.JSON}},
			{Text: show(f.Value), Notes: []string{f.Need, ended(prefixed("Source: ", f.Source))}},
			tag(f.State),
		})
	}
	return t
}

func ended(text string) string {
	if text == "" {
		return ""
	}
	return text + "."
}

// tag is the state of a field, a clock or a threshold as a label.
func tag(state string) page.Cell {
	tone, known := map[string]page.Tone{
		filled: page.Good, "not_met": page.Good, "running": page.Good, "met": page.Good, missing: page.Bad, "late": page.Bad, "met_late": page.Bad,
	}[state]
	if !known {
		tone = page.Warn
	}
	return page.Cell{Text: human(state), Tone: tone, Tag: true}
}

// basis says what the figures were computed from.
func (d *Draft) basis() string {
	m := &d.Measures
	text := fmt.Sprintf("Names below fields are those of the JSON schema "+d.About.Schema+". Entries %d to %d of the log %s, which this signed checkpoint covers: %d entries, root hash %s. Whoever has the log, the node's public key and this text can check that nothing was changed or removed since (cordon verify). Reference period: ",
		m.First, m.Last, m.Log.Origin, m.Log.Size, m.Log.Root)
	if m.Reference.Basis == "none" {
		return text + "none: " + m.Reference.Why + "."
	}
	return text + fmt.Sprintf("%d calls from %s to %s, the same hours a week before.", m.Reference.Attempts, stamp(m.Reference.From), stamp(m.Reference.To))
}

// of gives the fields of a chapter.
func (d *Draft) of(chapter int) (out []Field) {
	for _, f := range d.Fields {
		if strings.HasPrefix(f.ID, fmt.Sprintf("%d.", chapter)) {
			out = append(out, f)
		}
	}
	return out
}

// show writes a value for people.
func show(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case []string:
		return strings.Join(v, ", ")
	case bool:
		if v {
			return "yes"
		}
		return "no"
	}
	return fmt.Sprint(v)
}

// human writes a word of the log without its underlines.
func human(word string) string { return strings.ReplaceAll(word, "_", " ") }

func title(stage string) string {
	return map[string]string{Initial: "Initial notification", Intermediate: "Intermediate report", Final: "Final report"}[stage]
}

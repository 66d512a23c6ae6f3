package report

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/page"
)

// moment is one of the timeline with its name, and with its label where the whole drill is drawn. What takes seconds has none: it is drawn by itself.
type moment struct {
	at          Moment
	name, label string
}

func (r *Report) moments() []moment {
	t := r.Timeline
	return []moment{
		{t.Injected, "Fault injected", "fault"},
		{t.Detected, "Detected by the probes", ""},
		{t.Decided, "Decided (failover, or ticket at the gate)", ""},
		{t.Switched, "Switched over by the router", ""},
		{t.FirstCall, "First call answered by " + r.played(scenario.Secondary), "first call"},
		{t.Steady, "Every call answered from here on", ""},
		{t.FailbackStart, "Everything given back, fail-back begins", "given back"},
		{t.FailbackDone, "First call answered by " + r.played(scenario.Primary) + " again", "back"},
	}
}

// course draws the whole drill, and the switchover by itself: in a play of minutes its seconds would be one line.
func (r *Report) course() []page.Block {
	if r.Window.Start.IsZero() || r.Window.End.IsZero() {
		return []page.Block{page.Callout{Tone: page.Warn, Word: "Not recorded.", Text: "When the drill began and ended is not in the log."}}
	}
	out := []page.Block{r.whole()}
	if zoom, ok := r.zoom(); ok {
		out = append(out, zoom)
	}
	out = append(out, r.momentTable())
	if len(r.Steps) > 0 {
		t := page.Table{Columns: []page.Column{{Name: "At (UTC)", Whole: true}, {Name: "After the start", Whole: true}, {Name: "Step", Whole: true}, {Name: "What", Share: 55}}}
		for _, s := range r.Steps {
			word := page.Cell{Text: human(s.Word.Said())}
			if s.Word == "not_restored" {
				word.Tone = page.Bad
			}
			t.Rows = append(t.Rows, []page.Cell{{Text: clock(s.At)}, {Text: since(r.Window.Start, s.At)}, word, {Text: string(s.What)}})
		}
		out = append(out, page.Heading{Text: "Steps", Level: 3}, t)
	}
	return out
}

// whole is the drill from its start until everything was as before.
func (r *Report) whole() page.Figure {
	w, t := r.Window, r.Timeline
	to := w.End.Time
	drill := page.Lane{Name: "drill", Spans: []page.Span{{From: w.Start.Time, To: w.End.Time}}}
	line := page.Timeline{From: w.Start.Time, Lanes: []page.Lane{drill}}
	gone := page.Lane{Name: "taken away"}
	for _, s := range r.gone() {
		gone.Spans = append(gone.Spans, s)
		to = later(to, s.To)
	}
	if len(gone.Spans) > 0 {
		line.Lanes = append(line.Lanes, gone)
	}
	if !t.FirstCall.IsZero() {
		end := t.FailbackDone.Time
		if end.IsZero() {
			end = w.End.Time
		}
		line.Lanes = append(line.Lanes, page.Lane{Name: "on " + r.played(scenario.Secondary), Spans: []page.Span{{From: t.FirstCall.Time, To: end, Tone: page.Good, Label: span(end.Sub(t.FirstCall.Time))}}})
	}
	if ms := r.Measured.Restore; ms != nil {
		restored := r.Restored.Time
		line.Lanes = append(line.Lanes, page.Lane{Name: "restoring", Spans: []page.Span{{From: restored.Add(-time.Duration(*ms) * time.Millisecond), To: restored, Tone: page.Good, Label: millis(ms)}}})
		to = later(to, restored)
	} else if r.Outcome == NotRestored {
		to = later(to, w.End.Add(to.Sub(w.Start.Time)/20))
		line.Lanes = append(line.Lanes, page.Lane{Name: "restoring", Spans: []page.Span{{From: w.End.Time, To: to, Tone: page.Bad, Label: "not restored"}}})
	}
	line.To = to
	for _, m := range r.moments() {
		if m.label != "" && !m.at.IsZero() {
			line.Marks = append(line.Marks, page.Mark{At: m.at.Time, Label: m.label, Tone: page.Soft})
		}
	}
	alt := fmt.Sprintf("The drill ran from %s to %s UTC.", w.Start.Said(), w.End.Said())
	return line.Figure("The whole drill, times in UTC.", alt)
}

// zoom is the switchover from the fault on: until every call was answered again, or as far as it got.
func (r *Report) zoom() (page.Figure, bool) {
	t := r.Timeline
	if t.Injected.IsZero() {
		return page.Figure{}, false
	}
	end := t.Injected.Time
	for _, at := range []Moment{t.Detected, t.Decided, t.Switched, t.FirstCall, t.Steady} {
		if t.FailbackStart.IsZero() || !at.After(t.FailbackStart.Time) {
			end = later(end, at.Time)
		}
	}
	length := end.Sub(t.Injected.Time)
	if length <= 0 {
		return page.Figure{}, false
	}
	margin := max(length/10, 500*time.Millisecond)
	line := page.Timeline{From: t.Injected.Add(-margin), To: end.Add(margin)}
	var said []string
	lane := func(name string, at Moment, tone page.Tone) {
		if at.IsZero() || at.After(line.To) {
			return
		}
		took := span(at.Sub(t.Injected.Time))
		line.Lanes = append(line.Lanes, page.Lane{Name: name, Spans: []page.Span{{From: t.Injected.Time, To: at.Time, Tone: tone, Label: took}}})
		said = append(said, name+" after "+took)
	}
	lane("first call answered", t.FirstCall, page.Good)
	lane("detected", t.Detected, page.Plain)
	lane("decided", t.Decided, page.Plain)
	lane("switched", t.Switched, page.Plain)
	lane("steady", t.Steady, page.Soft)
	line.Marks = []page.Mark{{At: t.Injected.Time, Label: "fault", Tone: page.Bad}}
	return line.Figure("From the fault on: how long each took.", "From the fault on: "+strings.Join(said, ", ")+"."), true
}

// gone are the spans in which something was away, by the steps, or by the moments where there are none.
func (r *Report) gone() (out []page.Span) {
	open := map[Text]Moment{}
	for _, s := range r.Steps {
		switch s.Word {
		case "taken":
			open[s.What] = s.At
		case "given_back":
			if from, ok := open[s.What]; ok {
				out = append(out, page.Span{From: from.Time, To: s.At.Time, Tone: page.Bad})
				delete(open, s.What)
			}
		}
	}
	for _, what := range slices.Sorted(maps.Keys(open)) { // never given back, as far as the log knows
		from := open[what].Time
		out = append(out, page.Span{From: from, To: later(r.Window.End.Time, from), Tone: page.Bad})
	}
	if t := r.Timeline; len(out) == 0 && !t.Injected.IsZero() && !t.FailbackStart.IsZero() {
		out = append(out, page.Span{From: t.Injected.Time, To: t.FailbackStart.Time, Tone: page.Bad})
	}
	return out
}

func (r *Report) momentTable() page.Block {
	if !r.measured() {
		return page.Callout{Tone: page.Warn, Word: "Not recorded.", Text: "The play was not measured, so that its moments are not known."}
	}
	t := page.Table{Columns: []page.Column{{Name: "Moment", Share: 52}, {Name: "At (UTC)", Whole: true}, {Name: "After the fault", Right: true}}}
	for _, m := range r.moments() {
		row := []page.Cell{{Text: m.name}, {Text: clock(m.at)}, {Text: since(r.Timeline.Injected, m.at)}}
		if m.at.IsZero() {
			row[1], row[2] = page.Cell{Text: "did not come to that", Tone: page.Soft}, page.Cell{Text: "\u2013", Tone: page.Soft}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

// clock writes a moment to the millisecond: what is measured here takes less than seconds.
func clock(m Moment) string {
	if m.IsZero() {
		return notRecorded
	}
	return m.UTC().Format("15:04:05.000")
}

func since(from, at Moment) string {
	if from.IsZero() || at.IsZero() {
		return "\u2013"
	}
	return span(at.Sub(from.Time))
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

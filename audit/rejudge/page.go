package rejudge

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/cordonsip/cordon/internal/page"
)

// Page is the report for people.
func (r Report) Page() page.Document {
	lead := page.Callout{Tone: page.Good, Text: fmt.Sprintf("%d of %d receipts were judged anew; for %d of them the law now says something else.", r.Judged, r.Receipts, len(r.Changed))}
	if len(r.Changed) > 0 {
		lead.Tone = page.Bad
	}
	d := page.Document{
		Kind: "Report from the log", Title: "Past calls under the law as it is known on " + r.KnownAt.Format(time.DateOnly), About: r.Period.String(), Made: r.Made, Lead: lead,
		Foot: fmt.Sprintf("%s, %d entries, root %s", r.Cover.Origin, r.Cover.Size, r.Cover.Root),
	}
	suspended := page.Table{Columns: page.Columns("instrument", "since", "source"), None: "None: the law table alone."}
	for _, s := range r.Suspended {
		suspended.Rows = append(suspended.Rows, page.Row(s.Instrument, when(s.Since), s.Source))
	}
	left := page.Table{Columns: page.Columns("receipts", "why"), None: "None."}
	for _, why := range slices.Sorted(maps.Keys(r.NotJudged)) {
		left.Rows = append(left.Rows, page.Row(fmt.Sprint(r.NotJudged[why]), why))
	}
	d.Blocks = []page.Block{
		page.Facts{{"law table of", r.Table.Format(time.DateOnly)}, {"log", r.Cover.Origin}, {"checkpoint", fmt.Sprintf("%d entries, root %s", r.Cover.Size, r.Cover.Root)}},
		page.Heading{Text: "Suspensions that count"},
		suspended,
		page.Heading{Text: "By country"},
		counts("country", r.Countries),
		page.Heading{Text: "By instrument"},
		counts("instrument", r.Instruments),
		page.Heading{Text: "Not judged"},
		left,
		page.Heading{Text: "Changed"},
		r.changed(),
		page.Heading{Text: "Notes"},
		page.List{
			"Places, attested conditions, grants and the preset of that day are taken as the log has them: the law alone is another one.",
			"Calls are named by their references. A place that people or an emergency had opened is marked: whether that still bears is for people to say.",
		},
	}
	return d
}

func (r Report) changed() page.Table {
	t := page.Table{Columns: page.Columns("entry", "call", "at", "hop", "country", "was", "now", "instrument", "the call was, and is"), None: "None."}
	for _, c := range r.Changed {
		now := c.Now
		if c.Partly {
			now += " in part"
		}
		if c.Granted {
			now += ", opened by exception"
		}
		for _, h := range c.Hops {
			t.Rows = append(t.Rows, page.Row(fmt.Sprint(c.Seq), c.CallRef, when(c.At), h.Plane+" "+h.Leg, h.Country, h.Was, h.Now, h.Instrument, c.Was+" to "+now))
		}
	}
	return t
}

func counts(what string, list []Count) page.Table {
	t := page.Table{Columns: page.Columns(what, "calls", "changed"), None: "None."}
	for _, c := range list {
		t.Rows = append(t.Rows, page.Row(c.Name, fmt.Sprint(c.Judged), fmt.Sprint(c.Changed)))
	}
	return t
}

func when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

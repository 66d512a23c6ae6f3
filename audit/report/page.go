package report

import (
	"time"

	"github.com/cordonsip/cordon/internal/page"
)

// paper is what every report has for people: what it is, of when, and the checkpoint that covers it at the foot and at the end.
func paper(title, law string, p Period, c Cover, made time.Time, lead page.Callout) page.Document {
	return page.Document{
		Kind: "Report from the log \u00b7 " + law, Title: title, About: p.String() + " \u00b7 made " + moment(made) + " UTC", Made: made, Lead: lead, Foot: c.foot(),
	}
}

// end is what stands below every report: notes, and the signed checkpoint.
func (c Cover) end(notes ...string) []page.Block {
	out := []page.Block{page.Heading{Text: "Notes"}, page.List(notes)}
	if c.Checkpoint == "" {
		return out
	}
	return append(out, page.Heading{Text: "The signed checkpoint"},
		page.Paragraph("Whoever has the log, or a witness' copy of this checkpoint, can make the report again and compare: cordon verify."), page.Code(c.Checkpoint))
}

func table(title string, t page.Table) []page.Block {
	return []page.Block{page.Heading{Text: title}, t}
}

// figures are columns of numbers behind names.
func figures(names int, heads ...string) []page.Column {
	out := page.Columns(heads...)
	for k := names; k < len(out); k++ {
		out[k].Right = true
	}
	return out
}

package report

import (
	"fmt"
	"strings"

	"github.com/cordonsip/cordon/internal/page"
)

// verify says how somebody who has the log, or a copy of the checkpoint, checks what the report says.
func (r *Report) verify() []page.Block {
	var out []page.Block
	if !r.covered() {
		out = append(out, page.Callout{Tone: page.Warn, Word: "Not covered yet.", Text: "No checkpoint that was read covers every entry of this drill. Make the report again when the next one is signed."})
	}
	out = append(out, page.List{
		"The first two lines take the checkpoint and the ids of the receipts out of the JSON of this report. The checkpoint is signed by the log, whose public key an auditor brings along (log.vkey).",
		"The third shows that the log of today begins with what this report rests on: nothing was removed, changed or put in between since.",
		"The last two show that each receipt of the play stands in that log, to somebody who has the file receipts.proofs and nothing else.",
		"Whoever has the log makes the report again and compares: the same entries give the same report, but for time_utc, and for what people recorded since.",
	}, page.Code(strings.Join(r.commands(), "\n")))
	out = append(out, r.covers("The log", r.Log)...)
	if r.Played != nil {
		out = append(out, r.covers("The log of the play, which is one of its own", *r.Played)...)
	}
	t := page.Table{Columns: []page.Column{{Name: "Entry", Right: true}, {Name: "Kind", Share: 26}, {Name: "Record", Share: 38}, {Name: "Time (UTC)", Whole: true}}, None: "No entry."}
	for _, e := range r.Records {
		t.Rows = append(t.Rows, page.Row(number(e.Seq), e.Kind, e.Record, e.At.Said()))
	}
	out = append(out, page.Heading{Text: "Entries about this drill", Level: 3}, t)
	a := page.Table{Columns: []page.Column{{Name: "What", Share: 22}, {Name: "Name", Share: 28}, {Name: "SHA-256", Share: 50}}, None: "Digests: " + notRecorded + "."}
	for _, one := range r.Artefacts {
		a.Rows = append(a.Rows, []page.Cell{{Text: one.What.Said()}, {Text: one.Name.Said()}, cell(one.SHA256)})
	}
	return append(out, page.Heading{Text: "Digests", Level: 3}, a)
}

// commands are what is typed. Of a sandbox the log of the play is the one that matters, with a key of its own.
func (r *Report) commands() []string {
	log, dir := "log", "LOG"
	if r.Played != nil {
		log, dir = "log_of_the_play", "LOG_OF_THE_PLAY"
	}
	return []string{
		fmt.Sprintf("jq -j .%s.checkpoint report.json > drill.checkpoint", log),
		"jq -r '.receipts[]' report.json > sample.txt",
		fmt.Sprintf("cordon verify %s --key=log.vkey --from=drill.checkpoint", dir),
		fmt.Sprintf("cordon export proofs %s --key=log.vkey --list=sample.txt --out=receipts.proofs", dir),
		"cordon verify --proofs receipts.proofs --key=log.vkey",
	}
}

func (r *Report) covers(title string, c Cover) []page.Block {
	facts := page.Facts{{"Log", c.Origin}}
	if c.Where != "" {
		facts = append(facts, [2]string{"Where", string(c.Where)})
	}
	facts = append(facts, [2]string{"Checkpoint", fmt.Sprintf("%d entries, root %s", c.Size, c.Root)}, [2]string{"Entries of the play", fmt.Sprintf("%d to %d", c.First, c.Last)})
	out := []page.Block{page.Heading{Text: title, Level: 3}, facts}
	if c.Checkpoint == "" {
		return append(out, page.Paragraph("Its signed checkpoint: "+notRecorded+"."))
	}
	return append(out, page.Code(c.Checkpoint))
}

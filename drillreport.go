package cordon

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	logreport "github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/drill/report"
)

// drillReport draws up the report of a drill that has ended, from the node's own log: json, html or pdf. from is the entry that asked for it, before which nothing is
// read. names puts people for their pseudonyms. Of a sandbox the log of the play is verified, and read, too. report.ErrNone, wrapped, where there is nothing to report.
func (n *Node) drillReport(ctx context.Context, id string, from uint64, format string, names bool) ([]byte, error) {
	note, err := n.log.Checkpoint(ctx)
	if err != nil {
		return nil, fmt.Errorf("cordon: the checkpoint of a drill's report: %w", err)
	}
	keys, err := proof.NewKeys(n.log.Keys(), nil, 0)
	if err != nil {
		return nil, fmt.Errorf("cordon: the keys of the log: %w", err)
	}
	cp, err := keys.Open(note)
	if err != nil {
		return nil, fmt.Errorf("cordon: the checkpoint of a drill's report: %w", err)
	}
	b, size := report.New(id), n.log.Size()
	for next := from; next < size; {
		entries, err := n.log.Entries(ctx, next, 1000)
		if err != nil {
			return nil, fmt.Errorf("cordon: the log of a drill: %w", err)
		}
		if len(entries) == 0 {
			break
		}
		for _, e := range entries {
			if err := b.Add(e); err != nil {
				return nil, err
			}
		}
		next = entries[len(entries)-1].Seq + 1
	}
	cfg := n.cfg.Load()
	entity := cfg.Entity
	in := report.Input{
		Cover: logreport.Cover{Origin: cp.Origin, Size: cp.Size, Root: cp.Root.String(), Unsigned: size - min(size, cp.Size), Checkpoint: string(note)}, Made: time.Now(),
		Entity: entity.Name, LEI: entity.LEI, Scenarios: scenarioTexts(&cfg.Drills), Keys: n.enrolledKeys(),
	}
	if names {
		people := n.peopleByPseudonym()
		in.Name = func(who string) string { return people[who] }
	}
	if b.Apart() != "" {
		if in.Played, err = n.playedApart(ctx, b); err != nil {
			return nil, err
		}
	}
	r, err := b.Report(in)
	if err != nil {
		return nil, err
	}
	switch format {
	case "json":
		return r.JSON()
	case "html":
		return r.HTML()
	case "pdf":
		return r.PDF()
	}
	return nil, fmt.Errorf("cordon: a report is had as json, html or pdf, not as %q", format)
}

// playedApart verifies and reads the log that a sandbox has of its own. nil where its folder is not there any more: the report then says that the calls of the play are
// missing. A log that does not hold is an error: there is no report of what somebody changed.
func (n *Node) playedApart(ctx context.Context, b *report.Builder) (*logreport.Cover, error) {
	dir := b.Apart()
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(n.opts.Config.StateDir, dir)
	}
	var wrong error
	v, there, err := verifyApart(ctx, dir, b.Sealed(), func(e audit.Entry) { wrong = cmp.Or(wrong, b.Play(e)) })
	if err != nil || !there {
		return nil, err
	}
	if wrong != nil {
		return nil, wrong
	}
	cover := logreport.CoverOf(v)
	return &cover, nil
}

// enrolledKeys are those that the log enrolled, and what became of them.
func (n *Node) enrolledKeys() keyring.Ring {
	ring := keyring.Ring{}
	for _, k := range n.gate.Keys() {
		if k.How != "" { // else it stands in the configuration alone
			ring[k.ID] = k.Key
		}
	}
	return ring
}

// scenarioTexts are those that a report may quote, where the log has them in earlier entries than it reads: each text stands there once, in front of the first drill that plays it.
func scenarioTexts(of *configs.DrillsPart) (out [][]byte) {
	for _, name := range of.Names() {
		if _, text, ok := of.Scenario(name); ok {
			out = append(out, text)
		}
	}
	return out
}

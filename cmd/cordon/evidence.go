package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

type evidenceCmd struct {
	List   evidenceList   `cmd:"" help:"Each address of a party: what is declared of it, and what speaks for and against that."`
	Export evidenceExport `cmd:"" help:"Write what this node measured, for the evidence.sights of another node."`
}

type evidenceList struct {
	api
	Against bool `help:"Only addresses that something speaks against."`
}

// Run prints the places, with each item of evidence below.
func (c *evidenceList) Run(ctx context.Context, s streams) error {
	var v struct {
		Places []admin.Place `json:"places"`
	}
	if err := c.do(ctx, "GET", "/api/v1/evidence", nil, &v); err != nil {
		return err
	}
	for _, p := range v.Places {
		if c.Against && p.Standing != string(evidence.Contradicted) && p.Standing != string(evidence.Doubted) {
			continue
		}
		held := ""
		if p.Held {
			held = ", held"
		}
		fmt.Fprintf(s.out, "%s  %s  %s  %s%s\n  %s\n", p.Party, p.Addr, dash(strings.TrimSpace(p.Region+" "+strings.Join(p.Countries, ","))), p.Standing, held, p.Words)
		w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
		for _, it := range p.Evidence {
			fmt.Fprintf(w, "    %s\trank %d\t%s\t%s\n", it.Kind, it.Kind.Rank(), it.Result, it.Value)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return nil
}

type evidenceExport struct {
	api
	Out string `help:"File that it is written to; default: the screen."`
}

// Run fetches the statement and checks it as the other node will.
func (c *evidenceExport) Run(ctx context.Context, s streams) error {
	data, err := c.fetch(ctx, "GET", "/api/v1/evidence/sights", nil)
	if err != nil {
		return err
	}
	st, err := evidence.ParseStatement(data)
	if err != nil {
		return err
	}
	if len(st.Sights) == 0 {
		return withHint(fmt.Errorf("node %s measured nothing", st.Node), "it must know where it stands: node.position or node.region; and its targets must answer probes")
	}
	if c.Out == "" {
		_, err = s.out.Write(data)
		return err
	}
	if err := os.WriteFile(filepath.Clean(c.Out), data, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d addresses as node %s sees them, in %s\n", len(st.Sights), st.Node, c.Out)
	return nil
}

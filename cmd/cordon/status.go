package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/cordonsip/cordon/admin"
)

type statusCmd struct {
	api
	Long bool `help:"Print every reason in full length."`
}

// Run prints one screen.
func (c *statusCmd) Run(ctx context.Context, s streams) error {
	var o admin.Overview
	if err := c.do(ctx, "GET", "/api/v1/status", nil, &o); err != nil {
		return err
	}
	sc := screen{s.out, c.Long}
	sc.head(&o)
	if err := sc.tables(&o); err != nil {
		return err
	}
	sc.gate(&o)
	return nil
}

// screen writes an overview.
type screen struct {
	io.Writer
	long bool
}

// reasonRunes is how much of a reason fits on a screen.
const reasonRunes = 160

// brief makes a reason one line, and a short one unless everything is wanted.
func (s screen) brief(why string) string {
	why = strings.Join(strings.Fields(why), " ")
	if r := []rune(why); !s.long && len(r) > reasonRunes {
		return string(r[:reasonRunes-1]) + "…"
	}
	return why
}

func (s screen) head(o *admin.Overview) {
	fmt.Fprintf(s, "%s  %s  up since %s  %d calls\n%s: %s\n", o.Node, o.Software, clock(o.Since), o.Calls, o.Document.Status, s.brief(o.Document.Why))
	fmt.Fprintf(s, "policy %s, home %s, allowed %s, generation %d, digest %.12s\n", o.Policy.Preset, o.Policy.Home,
		cmp.Or(strings.Join(o.Policy.Allow, " "), "home alone"), o.Policy.Generation, o.Policy.PolicyDigest)
	for _, x := range o.Policy.Suspended {
		fmt.Fprintf(s, "suspended  %s\n", s.brief(x))
	}
}

// tables are routes, what was done about failures lately, and targets.
func (s screen) tables(o *admin.Overview) error {
	w := tabwriter.NewWriter(s, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\nROUTE\tACTIVE\tNEXT\tBY\tSINCE\tWHY")
	for _, r := range o.Routes {
		held := ""
		if r.Held != "" {
			held = " [held at the gate: " + r.Held + "]"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s%s\n", r.Route, dash(r.Active), dash(r.Next), dash(string(r.Reason)), clock(r.Since), s.brief(r.Why), held)
	}
	if len(o.Recent) > 0 {
		fmt.Fprintln(w, "\nDONE\tROUTE\tFROM\tTO\tAT\tWHY")
	}
	for _, f := range o.Recent {
		ticket := ""
		if f.Ticket != "" {
			ticket = " [ticket " + f.Ticket + "]"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s%s (log entry %d)\n", f.What, f.Route, dash(f.From), dash(f.To), clock(f.At), s.brief(f.Why), ticket, f.Seq)
	}
	fmt.Fprintln(w, "\nTARGET\tSTATE\tPLACE\tPOLICY\tRTT\tSINCE\tWHY")
	for _, t := range o.Targets {
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%.1f ms\t%s\t%s\n", t.ID, t.State, t.Region, t.Country, t.Verdict, t.RTTms, clock(t.Since), s.brief(t.Why))
	}
	return w.Flush()
}

// gate is what waits for people, what they opened, and the log.
func (s screen) gate(o *admin.Overview) {
	for _, t := range o.Tickets {
		fmt.Fprintf(s, "\nticket %s %s: %s; missing: %s\n", t.ID, t.State, s.brief(t.Plan.Reason), s.brief(strings.Join(t.Missing, "; ")))
	}
	for _, g := range o.Grants {
		fmt.Fprintf(s, "grant %s until %s for %s, %d calls left here\n", g.ID, clock(g.Until), strings.Join(g.Scope.Regions, ","), g.Left)
	}
	state := "ok"
	if !o.Log.OK {
		state = "CANNOT BE WRITTEN: " + s.brief(o.Log.Why)
	}
	fmt.Fprintf(s, "\nlog %s, %d entries, reserve used %.0f %%\n", state, o.Log.Entries, 100*o.Log.ReserveUsed)
}

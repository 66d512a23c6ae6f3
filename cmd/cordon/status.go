package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/inventory"
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
	if h := o.Policy.Held; h != nil {
		fmt.Fprintf(s, "held       a wider policy since %s, %d widenings, ticket %s: cordon policy pending\n", clock(h.Since), h.Widenings, dash(strings.TrimSpace(h.Ticket+" "+h.State)))
	}
	for _, x := range o.Policy.Suspended {
		fmt.Fprintf(s, "suspended  %s\n", s.brief(x))
	}
	for _, x := range o.Policy.Ending {
		fmt.Fprintf(s, "ends soon  %s\n", s.brief(x))
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
	fmt.Fprintln(w, "\nTARGET\tSTATE\tPLACE\tPOLICY\tRTT\tP50/P95/P99\tCALLS\tSINCE\tWHY")
	for _, t := range o.Targets {
		fmt.Fprintf(w, "%s\t%s\t%s %s\t%s\t%.1f ms\t%.1f/%.1f/%.1f ms\t%s\t%s\t%s\n", t.ID, condition(t), t.Region, t.Country, t.Verdict, t.RTTms,
			t.P50ms, t.P95ms, t.P99ms, calls(t.Calls), clock(t.Since), s.brief(t.Why))
	}
	if len(o.Registrations) > 0 {
		fmt.Fprintln(w, "\nREGISTRATION\tSTATE\tSINCE\tUNTIL\tWHY")
	}
	for _, r := range o.Registrations {
		until := "-"
		if r.Until != nil {
			until = clock(*r.Until)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Target, r.State, clock(r.Since), until, s.brief(r.Why))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(o.Service.Services)+len(o.Service.Pins)+len(o.Service.Migrations) > 0 {
		fmt.Fprintln(s)
		return showService(s, o.Service)
	}
	return nil
}

// condition is the state of a target, with its circuit while that is not closed, and with what people made of it.
func condition(t admin.TargetView) string {
	state := t.State
	if t.Circuit == "half-open" || t.Circuit == "trying" {
		state += ", " + t.Circuit
	}
	if t.Service != "" && t.Service != "in_service" {
		state += ", " + t.Service
	}
	return state
}

// calls are the figures of the last minutes.
func calls(c admin.CallsView) string {
	if c.Judged == 0 {
		return "-"
	}
	text := fmt.Sprintf("%d: ASR %.0f %%, NER %.0f %%", c.Judged, 100*c.ASR, 100*c.NER)
	if c.PDDms > 0 {
		text += fmt.Sprintf(", PDD %.1f s", c.PDDms/1000)
	}
	if c.Rated > 0 {
		text += fmt.Sprintf(", MOS %.1f", c.MOS)
	}
	return text
}

// against counts the endpoints outside the call path that the policy does not permit where they were found.
func against(counts map[string]int) string {
	var words []string
	for _, v := range inventory.Verdicts() {
		if n := counts[string(v)]; n > 0 && v != inventory.Permit {
			words = append(words, fmt.Sprintf("%d %s", n, v))
		}
	}
	return strings.Join(words, ", ")
}

// gate is what waits for people, what they opened, and the log.
func (s screen) gate(o *admin.Overview) {
	for _, t := range o.Tickets {
		fmt.Fprintf(s, "\nticket %s %s: %s; missing: %s\n", t.ID, t.State, s.brief(t.Plan.Reason), s.brief(strings.Join(t.Missing, "; ")))
	}
	for _, g := range o.Grants {
		fmt.Fprintf(s, "grant %s until %s for %s, %d calls left here\n", g.ID, clock(g.Until), strings.Join(g.Scope.Regions, ","), g.Left)
	}
	if words := against(o.Inventory); words != "" {
		fmt.Fprintf(s, "inventory: %s\n", words)
	}
	for _, k := range o.Idle {
		fmt.Fprintf(s, "key %s does not count: %s\n", k.ID, s.brief(k.Why))
	}
	for _, i := range o.Incidents.Incidents {
		fmt.Fprintf(s, "incident %s since %s: %s; %s\n", i.ID, clock(i.Since), s.brief(i.Title), standing(&i))
	}
	if n := o.Incidents.Next; n != nil {
		fmt.Fprintf(s, "next limit %s of %s: %s\n", n.Name, n.Incident, limit(n.Clock))
	}
	if r := o.Readiness; r != nil {
		for _, x := range r.Routes {
			if !x.Ready && !x.Alone {
				fmt.Fprintf(s, "not ready %s: %s\n", x.Route, s.brief(strings.Join(x.Why, "; ")))
			}
		}
	}
	for _, x := range o.Reviews {
		fmt.Fprintf(s, "review %s due %s, %d of %d items to look at\n", x.Review, dueWord(x), x.Flagged, x.Items)
	}
	state := "ok"
	if !o.Log.OK {
		state = "CANNOT BE WRITTEN: " + s.brief(o.Log.Why)
	}
	fmt.Fprintf(s, "\nlog %s, %d entries, reserve used %.0f %%\n", state, o.Log.Entries, 100*o.Log.ReserveUsed)
}

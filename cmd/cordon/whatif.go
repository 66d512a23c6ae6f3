package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/configs"
)

type lawWhatIf struct {
	api
	Instrument string `arg:"" help:"Instrument, e.g. '(EU) 2023/1795'; cordon law list shows them."`
	Since      string `help:"Day or moment (RFC 3339) of the suspension; default: the time of the judgement." placeholder:"WHEN"`
	At         string `help:"Judge as of this day or moment; default: now." placeholder:"WHEN"`
	Config     string `short:"c" help:"Ask no node: judge by this configuration and its suspensions." placeholder:"FILE" type:"existingfile"`
	JSON       bool   `name:"json" help:"As JSON."`
}

// Run says what a suspension would do; it changes nothing.
func (c *lawWhatIf) Run(ctx context.Context, s streams) error {
	q := admin.WhatIfQuestion{Instrument: c.Instrument}
	for _, x := range []struct {
		text string
		to   *time.Time
	}{{c.Since, &q.Since}, {c.At, &q.At}} {
		if x.text == "" {
			continue
		}
		t, err := moment(x.text)
		if err != nil {
			return err
		}
		*x.to = t
	}
	v, err := c.ask(ctx, q)
	if err != nil {
		return err
	}
	if c.JSON {
		return asJSON(s.out, v)
	}
	return writeWhatIf(s.out, v)
}

func (c *lawWhatIf) ask(ctx context.Context, q admin.WhatIfQuestion) (v admin.WhatIf, err error) {
	if c.Config != "" {
		cfg, err := configs.Load(c.Config)
		if err != nil {
			return v, err
		}
		v, err = cordon.WhatIf(ctx, cfg, q)
		return v, withHint(err, "cordon law list shows the instruments")
	}
	ask := url.Values{"instrument": {q.Instrument}}
	if !q.Since.IsZero() {
		ask.Set("since", q.Since.Format(time.RFC3339))
	}
	if !q.At.IsZero() {
		ask.Set("at", q.At.Format(time.RFC3339))
	}
	err = c.do(ctx, "GET", "/api/v1/law/what-if?"+ask.Encode(), nil, &v)
	return v, err
}

// writeWhatIf is the answer for people: what would happen first comes first.
func writeWhatIf(to io.Writer, v admin.WhatIf) error {
	w := tabwriter.NewWriter(to, 0, 4, 2, ' ', 0)
	fmt.Fprintf(w, "%s suspended since %s: it would take effect at %s\n", v.Instrument, clock(v.Since), clock(v.From))
	if v.Already {
		fmt.Fprintln(w, "it is suspended already, or will be by then: nothing would change")
	}
	if len(v.Parties)+len(v.Targets)+len(v.Routes)+len(v.Tickets)+len(v.Destinations) == 0 {
		fmt.Fprintln(w, "nothing here rests on it")
	}
	for _, p := range v.Parties {
		name := p.Party
		if p.Route != "" {
			name += " by " + p.Route
		}
		fmt.Fprintf(w, "party\t%s\t%s %s\t%s (%s)\t%d calls up: %s until %s\n", name, p.Region, p.Country, p.Verdict, p.Ground, p.Calls, p.Rule, clock(p.Until))
	}
	for _, t := range v.Targets {
		fmt.Fprintf(w, "target\t%s\t%s %s\tno call, no probe (%s)\n", t.Target, t.Region, t.Country, t.Ground)
	}
	for _, r := range v.Routes {
		calls := ""
		if v.Node {
			calls = callWords(r.Calls)
		}
		fmt.Fprintf(w, "route\t%s\tloses %s\t%s\t%s\n", r.Route, dash(strings.Join(append(r.Lost, r.Origins...), ", ")), routeWords(r), calls)
	}
	for _, t := range v.Tickets {
		grant := "no grant is live"
		if t.Grant {
			grant = "its grant ends"
		}
		fmt.Fprintf(w, "ticket\t%s\t%s becomes INVALIDATED\t%s\t%s\n", t.ID, t.State, grant, strings.Join(t.Scope.Regions, ", "))
	}
	for _, d := range v.Destinations {
		fmt.Fprintf(w, "%s\t%s\t%s %s\tshut (%s)\n", d.Kind, d.Name, d.Address, d.Country, d.Ground)
	}
	for _, a := range v.Alarms {
		fmt.Fprintf(w, "entry\t%s\t%s\t%s\n", a.Kind, a.Severity, a.About)
	}
	for _, u := range v.Unknown {
		fmt.Fprintf(w, "not known\t%s\n", u)
	}
	return w.Flush()
}

func routeWords(r admin.WhatIfRoute) string {
	switch {
	case r.NoHop && r.Kind != "":
		return "no permitted hop left; people would be asked for " + r.Next
	case r.NoHop:
		return "no permitted hop left"
	case r.Next == r.Active:
		return "stays with " + r.Active
	}
	return "goes to " + r.Next
}

func callWords(c admin.WhatIfCalls) string {
	return fmt.Sprintf("calls: %d end, %d end later, %d rerouted, %d finish, %d given up", c.Ended, c.Later, c.Rerouted, c.Finished, c.GivenUp)
}

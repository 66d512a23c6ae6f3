package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/sign"
)

type gateRequest struct {
	api
	Trunk       []string      `required:"" help:"Trunk whose calls it is about; may be given several times."`
	Group       []string      `required:"" help:"Edge group that the calls are to reach, or come from; may be given several times."`
	Region      []string      `help:"Region that the grant is to open, provider:code; default: those in which the parties are held."`
	Reason      string        `required:"" help:"Why; it stands in the log."`
	Alternative []string      `required:"" sep:"none" help:"Another way and why it was not taken, as \"way: why not\"; may be given several times."`
	Basis       string        `help:"Id of a legal basis of the catalogue; default: the one that the held party names."`
	Calls       int           `help:"Calls that the grant may let through; default: gate.max_calls."`
	For         time.Duration `help:"Length of the grant; default: gate.grant_for."`
}

// Run asks for a grant.
func (g *gateRequest) Run(ctx context.Context, s streams) error {
	in := admin.GrantRequest{Trunks: g.Trunk, Groups: g.Group, Regions: g.Region, Reason: g.Reason, LegalBasis: g.Basis, MaxCalls: g.Calls}
	if g.For != 0 {
		in.GrantFor = g.For.String()
	}
	for _, text := range g.Alternative {
		option, why, ok := strings.Cut(text, ":")
		if !ok || strings.TrimSpace(why) == "" {
			return errors.New(`--alternative: write the other way, a colon and why it was not taken: --alternative "announcement: emergencies wait"`)
		}
		in.Alternatives = append(in.Alternatives, approval.Alternative{Option: strings.TrimSpace(option), WhyNot: strings.TrimSpace(why)})
	}
	var t admin.TicketView
	if err := g.do(ctx, "POST", "/api/v1/tickets", in, &t); err != nil {
		return err
	}
	printTicket(s.out, t)
	return nil
}

// printBasis shows what the catalogue had when the ticket was opened.
func printBasis(w io.Writer, b *approval.Basis) {
	if b == nil {
		return
	}
	day := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format(time.DateOnly)
	}
	fmt.Fprintf(w, "document   %s, signed %s, until %s\n", b.Document, day(b.SignedOn), day(b.Until))
	if t := b.TIA; t != nil {
		fmt.Fprintf(w, "assessed   %s of %s: %s\n", t.Document, day(t.Date), t.Outcome)
	}
	if d := b.Derogation; d != nil {
		fmt.Fprintf(w, "necessary  %s (occasional: %t)\n", d.Necessity, d.Occasional)
	}
}

type gateBreakGlass struct {
	api
	ticketArg
	Reason string `required:"" help:"Why it cannot wait; it stands in the log."`
	Role   string `help:"Your role; needed when you hold several approving ones."`
	Hash   string `help:"Plan hash that you read; default: the ticket's present one."`
	Key    string `help:"Private key with which you sign it; needs --role." type:"path"`
}

// Run confirms an emergency change.
func (g *gateBreakGlass) Run(ctx context.Context, s streams) error {
	if g.Key != "" {
		return sendSigned(ctx, s, g.api, g.ticketArg, g.Key, sign.BreakGlass, g.Role, g.Reason, g.Hash)
	}
	if g.Hash == "" {
		var t admin.TicketView
		if err := g.do(ctx, "GET", g.path(""), nil, &t); err != nil {
			return err
		}
		g.Hash = t.PlanHash
	}
	return act(ctx, s, g.api, g.path("/break-glass"), admin.Confirmation{Role: g.Role, Reason: g.Reason, PlanHash: g.Hash})
}

type gateReview struct {
	api
	ticketArg
	Lawful  string `required:"" enum:"yes,no" help:"Whether the transfer was lawful: ${enum}."`
	Updated bool   `help:"The record of processing activities was updated (GDPR Art. 30)."`
	Lessons string `required:"" help:"What was learned; it stands in the log."`
	Role    string `help:"Your role; needed when you may review in several."`
}

// Run reviews a grant that is over.
func (g *gateReview) Run(ctx context.Context, s streams) error {
	lawful := g.Lawful == "yes"
	return act(ctx, s, g.api, g.path("/review"), admin.Finding{Role: g.Role, Lawful: &lawful, Updated: g.Updated, Lessons: g.Lessons})
}

type gateReadiness struct{ api }

// Run looks ahead.
func (g *gateReadiness) Run(ctx context.Context, s streams) error {
	var v admin.Readiness
	if err := g.do(ctx, "GET", "/api/v1/gate/readiness", nil, &v); err != nil {
		return err
	}
	word := map[bool]string{true: "ready", false: "NOT READY"}
	fmt.Fprintf(s.out, "%s at %s; %d of %d approvers could act together, an opinion is possible: %t\n", word[v.Ready], clock(v.At), v.Staffing.Present, v.Staffing.Needed, v.Staffing.Advised)
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ROUTE\tREADY\tIN USE\tNEXT\tPOLICY\tIN THE WAY")
	for _, r := range v.Routes {
		ready := word[r.Ready]
		if r.Alone && !r.Ready {
			ready = "alone"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Route, ready, r.Active, cmp.Or(r.Next, "-"), r.Verdict, strings.Join(r.Why, "; "))
	}
	return w.Flush()
}

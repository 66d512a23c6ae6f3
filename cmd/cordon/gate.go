package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/sign"
)

type gateCmd struct {
	List       gateList       `cmd:"" help:"All tickets, newest first."`
	Show       gateShow       `cmd:"" help:"One ticket, whole: what is asked, why, and what is still missing."`
	Readiness  gateReadiness  `cmd:"" help:"Whether the next failover of each route would be lawful and could be carried out."`
	Request    gateRequest    `cmd:"" help:"Ask for a grant: what the policy holds waits for people then."`
	Approve    gateApprove    `cmd:"" help:"Approve what the ticket asks, exactly as it was shown."`
	Deny       gateDeny       `cmd:"" help:"Deny it; one denial closes the ticket."`
	Opine      gateOpine      `cmd:"" help:"Record the data protection officer's opinion."`
	BreakGlass gateBreakGlass `cmd:"" help:"Confirm an emergency change; the second person, in another role, opens the grant at once."`
	Review     gateReview     `cmd:"" help:"Review a grant that is over."`
	Activate   gateActivate   `cmd:"" help:"Start an approved grant, where that is not automatic."`
	Withdraw   gateWithdraw   `cmd:"" help:"Take back a request."`
	Revoke     gateRevoke     `cmd:"" help:"End a grant now."`

	Export gateExport `cmd:"" help:"Write a ticket into a file, for who signs without a wire."`
	Sign   gateSign   `cmd:"" help:"Sign a ticket from a file; no node is asked."`
	Submit gateSubmit `cmd:"" help:"Hand in what somebody signed."`

	Key       gateKey       `cmd:"" help:"Make a key of your own to sign with."`
	Enrol     gateEnrol     `cmd:"" help:"Begin the enrolment of a person's key."`
	Vouch     gateVouch     `cmd:"" help:"Sign the enrolment of somebody else's key."`
	Keys      gateKeys      `cmd:"" help:"The keys of people: which count, and why the others do not."`
	RevokeKey gateRevokeKey `cmd:"" help:"End a key now and for ever."`
}

type gateList struct{ api }

// Run lists tickets.
func (g *gateList) Run(ctx context.Context, s streams) error {
	var out struct{ Tickets []approval.Ticket }
	if err := g.do(ctx, "GET", "/api/v1/tickets", nil, &out); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "TICKET\tSTATE\tREGIONS\tTO\tASKED\tUNTIL\tMISSING")
	for _, t := range out.Tickets {
		until := t.ApproveBy
		if !t.GrantUntil.IsZero() {
			until = t.GrantUntil
		}
		regions, to := strings.Join(t.Plan.Scope.Regions, ","), strings.Join(t.Plan.Scope.Groups, ",")
		if c := t.Plan.Change; c != nil {
			regions, to = "the policy", fmt.Sprintf("%.12s", c.To)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", t.ID, t.State, regions, to,
			clock(t.RequestedAt), clock(until), strings.Join(t.Missing, "; "))
	}
	return w.Flush()
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

type ticketArg struct {
	Ticket string `arg:"" help:"Ticket, as gate list shows it."`
}

func (t ticketArg) path(rest string) string {
	return "/api/v1/tickets/" + url.PathEscape(t.Ticket) + rest
}

type gateShow struct {
	api
	ticketArg
}

// Run shows one ticket.
func (g *gateShow) Run(ctx context.Context, s streams) error {
	var t admin.TicketView
	if err := g.do(ctx, "GET", g.path(""), nil, &t); err != nil {
		return err
	}
	printTicket(s.out, t)
	return nil
}

func printTicket(w io.Writer, t admin.TicketView) {
	who := func(word string) string {
		if name, ok := t.People[word]; ok {
			return word + " (" + name + ")"
		}
		return word
	}
	p := t.Plan
	fmt.Fprintf(w, "ticket     %s  %s\n", t.ID, t.State)
	fmt.Fprintf(w, "asked      %s by %s: %s\n", clock(t.RequestedAt), who(t.RequestedBy), p.Reason)
	printAsk(w, p)
	fmt.Fprintf(w, "plan hash  %s\n", t.PlanHash)
	for _, d := range t.Decisions {
		word := "denied"
		if d.Approve {
			word = "approved"
		}
		fmt.Fprintf(w, "%-10s %s by %s as %s: %s\n", word, clock(d.At), who(d.Person), d.Role, d.Reason+signedBy(d.Signature, who(d.HandedIn)))
	}
	for _, d := range t.Glass {
		fmt.Fprintf(w, "glass      %s by %s as %s: %s\n", clock(d.At), who(d.Person), d.Role, d.Reason+signedBy(d.Signature, who(d.HandedIn)))
	}
	for _, o := range t.Opinions {
		fmt.Fprintf(w, "opinion    %s by %s: %s: %s\n", clock(o.At), who(o.Person), o.Word, o.Text+signedBy(o.Signature, who(o.HandedIn)))
	}
	if v := t.Review; v != nil {
		fmt.Fprintf(w, "reviewed   %s by %s as %s: lawful %t, record of processing updated %t: %s\n", clock(v.At), who(v.Person), v.Role, v.Lawful, v.Updated, v.Lessons)
	}
	for _, text := range t.Warnings {
		fmt.Fprintf(w, "warning    %s\n", text)
	}
	for _, m := range t.Missing {
		fmt.Fprintf(w, "missing    %s\n", m)
	}
	if p.Change != nil {
		fmt.Fprintf(w, "clocks     approve by %s; once approved it is in force at once\n", clock(t.ApproveBy))
	} else {
		fmt.Fprintf(w, "clocks     approve by %s, execute by %s, grant until %s\n", clock(t.ApproveBy), clock(t.ExecuteBy), clock(t.GrantUntil))
	}
	if t.Why != "" {
		fmt.Fprintf(w, "why        %s (log entry %d)\n", t.Why, t.Entry)
	}
}

// printAsk says what a plan lets through and on which ground: what is shown before a decision and before a signature.
func printAsk(w io.Writer, p approval.Plan) {
	if p.Change != nil {
		printChange(w, p)
		return
	}
	fmt.Fprintf(w, "lets       calls of %s reach %s in %s (%s), at most %d calls, for %s\n", strings.Join(p.Scope.Trunks, ", "), strings.Join(p.Scope.Groups, ", "),
		strings.Join(p.Scope.Regions, ", "), p.Scope.Country, p.Scope.MaxCalls, p.GrantFor)
	fmt.Fprintf(w, "held for   %s\n", strings.Join(p.Grounds, "; "))
	fmt.Fprintf(w, "basis      %s\n", cmp.Or(p.LegalBasis, "none is registered for this party"))
	printBasis(w, p.Basis)
	for _, a := range p.Alternatives {
		fmt.Fprintf(w, "instead    %s: %s\n", a.Option, a.WhyNot)
	}
}

// printChange says what a change of the policy is: it lets no call through by itself.
func printChange(w io.Writer, p approval.Plan) {
	fmt.Fprintf(w, "changes    the policy %s\n           to         %s\n", p.Change.From, p.Change.To)
	for _, x := range p.Change.Widenings {
		fmt.Fprintf(w, "wider      %s\n", x)
	}
	fmt.Fprintf(w, "lasts      until another policy is accepted; cordon policy diff shows what was and what is\n")
}

type gateApprove struct {
	api
	ticketArg
	Reason string `required:"" help:"Why you approve it; it stands in the log."`
	Role   string `help:"Your role; needed when you hold several approving ones."`
	Hash   string `help:"Plan hash that you read; default: the ticket's present one."`
	Key    string `help:"Private key with which you sign it; needs --role." type:"path"`
}

// Run approves.
func (g *gateApprove) Run(ctx context.Context, s streams) error {
	if g.Key != "" {
		return sendSigned(ctx, s, g.api, g.ticketArg, g.Key, sign.Approve, g.Role, g.Reason, g.Hash)
	}
	return decide(ctx, s, g.api, g.ticketArg, true, g.Role, g.Reason, g.Hash)
}

type gateDeny struct {
	api
	ticketArg
	Reason string `required:"" help:"Why you deny it; it stands in the log."`
	Role   string `help:"Your role; needed when you hold several approving ones."`
	Key    string `help:"Private key with which you sign it; needs --role." type:"path"`
}

// Run denies.
func (g *gateDeny) Run(ctx context.Context, s streams) error {
	if g.Key != "" {
		return sendSigned(ctx, s, g.api, g.ticketArg, g.Key, sign.Deny, g.Role, g.Reason, "")
	}
	return decide(ctx, s, g.api, g.ticketArg, false, g.Role, g.Reason, "")
}

func decide(ctx context.Context, s streams, a api, arg ticketArg, approve bool, role, reason, hash string) error {
	if hash == "" {
		var t admin.TicketView
		if err := a.do(ctx, "GET", arg.path(""), nil, &t); err != nil {
			return err
		}
		hash = t.PlanHash
	}
	var t admin.TicketView
	if err := a.do(ctx, "POST", arg.path("/decisions"), admin.Word{Approve: approve, Role: role, Reason: reason, PlanHash: hash}, &t); err != nil {
		return err
	}
	printTicket(s.out, t)
	return nil
}

type gateOpine struct {
	api
	ticketArg
	Opinion string `required:"" enum:"no_objection,objection,conditions,not_reached" help:"${enum}."`
	Text    string `required:"" help:"The opinion in words."`
	Met     bool   `help:"With conditions: they are met."`
	Key     string `help:"Private key with which you sign it." type:"path"`
}

// Run records an opinion.
func (g *gateOpine) Run(ctx context.Context, s streams) error {
	if g.Key != "" {
		word := sign.Word(g.Opinion)
		if g.Met && word == sign.Conditions {
			word = sign.ConditionsMet
		}
		return sendSigned(ctx, s, g.api, g.ticketArg, g.Key, word, "", g.Text, "")
	}
	var t admin.TicketView
	in := admin.Advice{Opinion: approval.OpinionWord(g.Opinion), Text: g.Text, ConditionsMet: g.Met}
	if err := g.do(ctx, "POST", g.path("/opinions"), in, &t); err != nil {
		return err
	}
	printTicket(s.out, t)
	return nil
}

type gateActivate struct {
	api
	ticketArg
}

// Run starts a grant.
func (g *gateActivate) Run(ctx context.Context, s streams) error {
	return act(ctx, s, g.api, g.path("/activate"), nil)
}

type gateWithdraw struct {
	api
	ticketArg
	Reason string `required:"" help:"Why."`
}

// Run withdraws.
func (g *gateWithdraw) Run(ctx context.Context, s streams) error {
	return act(ctx, s, g.api, g.path("/withdraw"), map[string]string{"reason": g.Reason})
}

type gateRevoke struct {
	api
	ticketArg
	Reason string `required:"" help:"Why."`
}

// Run revokes.
func (g *gateRevoke) Run(ctx context.Context, s streams) error {
	return act(ctx, s, g.api, g.path("/revoke"), map[string]string{"reason": g.Reason})
}

func act(ctx context.Context, s streams, a api, path string, in any) error {
	var t admin.TicketView
	if err := a.do(ctx, "POST", path, in, &t); err != nil {
		return err
	}
	printTicket(s.out, t)
	return nil
}

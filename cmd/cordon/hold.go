package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit/retain"
)

type holdCmd struct {
	Place holdPlace `cmd:"" help:"Keep what references stand for, however old it is."`
	Lift  holdLift  `cmd:"" help:"Lift a hold that somebody else placed."`
	List  holdList  `cmd:"" help:"The holds in force."`
}

type holdPlace struct {
	api
	From   string `help:"First day of the calls, YYYY-MM-DD; default: from the beginning." placeholder:"DAY"`
	To     string `help:"Last day of the calls; default: without end." placeholder:"DAY"`
	Trunk  string `help:"Calls of this trunk alone."`
	Ref    string `help:"This call's reference, or this person's pseudonym, alone."`
	Reason string `required:"" help:"Why; it stands in the log. Write no name into it."`
}

// Run places a hold.
func (c *holdPlace) Run(ctx context.Context, s streams) error {
	var h retain.Hold
	if err := c.do(ctx, "POST", "/api/v1/holds", admin.HoldWish{From: c.From, To: c.To, Trunk: c.Trunk, Ref: c.Ref, Reason: c.Reason}, &h); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "held: %s; somebody else can lift it\n", h.ID)
	return nil
}

type holdLift struct {
	api
	Hold   string `arg:"" help:"Its id."`
	Reason string `required:"" help:"Why; it stands in the log. Write no name into it."`
}

// Run lifts a hold.
func (c *holdLift) Run(ctx context.Context, s streams) error {
	if err := c.do(ctx, "POST", "/api/v1/holds/"+c.Hold+"/lift", map[string]string{"reason": c.Reason}, nil); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "lifted: %s\n", c.Hold)
	return nil
}

type holdList struct{ api }

// Run lists the holds.
func (c *holdList) Run(ctx context.Context, s streams) error {
	var got struct {
		Holds []retain.Hold `json:"holds"`
	}
	if err := c.do(ctx, "GET", "/api/v1/holds", nil, &got); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "HOLD\tSINCE\tFROM\tTO\tTRUNK\tREF\tBY\tREASON")
	for _, h := range got.Holds {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", h.ID, clock(h.At), dayOr(h.From), dayOr(h.To), orDash(h.Trunk), orDash(h.Ref), h.By, h.Reason)
	}
	return w.Flush()
}

func dayOr(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.Format(time.DateOnly)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

type retainCmd struct {
	Plan retentionPlan `cmd:"" help:"What is kept for how long and why, and what of it is over."`
	Run  retentionRun  `cmd:"" help:"Destroy the salts of calls that no class and no hold keeps any more."`
}

type retentionPlan struct{ api }

// Run shows the plan.
func (c *retentionPlan) Run(ctx context.Context, s streams) error {
	var p admin.RetentionPlan
	if err := c.do(ctx, "GET", "/api/v1/retention", nil, &p); err != nil {
		return err
	}
	return showRetention(s, p)
}

type retentionRun struct {
	api
	DryRun bool `help:"Show what would be destroyed, and destroy nothing."`
}

// Run destroys what is over.
func (c *retentionRun) Run(ctx context.Context, s streams) error {
	var p admin.RetentionPlan
	method, path := "POST", "/api/v1/retention/run"
	if c.DryRun {
		method, path = "GET", "/api/v1/retention"
	}
	if err := c.do(ctx, method, path, nil, &p); err != nil {
		return err
	}
	if err := showRetention(s, p); err != nil || c.DryRun {
		return err
	}
	fmt.Fprintf(s.out, "destroyed: the salts of %d calls; their entries stay, and name nobody any more\n", p.Shredded)
	return nil
}

func showRetention(s streams, p admin.RetentionPlan) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CLASS\tTRUNKS\tKEEP\tBINDING\tREASON")
	for _, c := range p.Classes {
		fmt.Fprintf(w, "%s\t%s\t%s\t%v\t%s\n", c.Class, orDash(strings.Join(c.Trunks, " ")), c.Keep, c.Binding, c.Reason)
	}
	fmt.Fprintln(w, "\nDAY\tCALLS\tDUE\tHELD\tNEXT DUE\tCLASS\tHOLDS")
	for _, d := range p.Days {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%s\n", d.Day, d.Calls, d.Due, d.Held, dayOr(d.Next), orDash(d.Class), orDash(strings.Join(d.Holds, " ")))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%d calls are due\n", p.Due)
	return nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/cordonsip/cordon/admin"
)

type notifyCmd struct {
	List   notifyList   `cmd:"" help:"The outlets, how far behind each is, and its dead letters."`
	Test   notifyTest   `cmd:"" help:"Send a marked test message and print what the far side answered."`
	Resend notifyResend `cmd:"" help:"Send dead letters again."`
}

type notifyList struct{ api }

// Run lists the outlets.
func (c *notifyList) Run(ctx context.Context, s streams) error {
	var v struct {
		Outlets []admin.Outlet `json:"outlets"`
	}
	if err := c.do(ctx, "GET", "/api/v1/notify", nil, &v); err != nil {
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "OUTLET\tBEHIND\tDELIVERED\tDEAD\tLAST FAILURE")
	for _, o := range v.Outlets {
		delivered := "-"
		if !o.Delivered.IsZero() {
			delivered = clock(o.Delivered)
		}
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%s\n", o.Name, o.Behind, delivered, len(o.Dead)+o.Older, dash(o.Failure))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, o := range v.Outlets {
		for _, l := range o.Dead {
			fmt.Fprintf(s.out, "dead: %s entry %d %s x%d at %s: %s\n", o.Name, l.Entry, l.Kind, l.Count, clock(l.At), l.Failure)
		}
	}
	return nil
}

type notifyTest struct {
	api
	Outlet string `arg:"" optional:"" help:"Name of the outlet; without it every outlet is tested."`
}

// Run tests outlets.
func (c *notifyTest) Run(ctx context.Context, s streams) error {
	return c.order(ctx, s.out, "/api/v1/notify/test", admin.OutletOrder{Outlet: c.Outlet})
}

type notifyResend struct {
	api
	Outlet string  `arg:"" optional:"" help:"Name of the outlet; without it those of every outlet."`
	Entry  *uint64 `help:"Only that entry of the log; with an outlet, also one that is no dead letter."`
}

// Run sends dead letters again.
func (c *notifyResend) Run(ctx context.Context, s streams) error {
	return c.order(ctx, s.out, "/api/v1/notify/resend", admin.OutletOrder{Outlet: c.Outlet, Entry: c.Entry})
}

// order sends an order and prints what the far sides answered. It fails when one of them did.
func (a api) order(ctx context.Context, out io.Writer, path string, o admin.OutletOrder) error {
	var v struct {
		Answers []admin.OutletAnswer `json:"answers"`
	}
	if err := a.do(ctx, "POST", path, o, &v); err != nil {
		return err
	}
	if len(v.Answers) == 0 {
		fmt.Fprintln(out, "there is nothing to send")
	}
	failed := 0
	for _, x := range v.Answers {
		what := x.Outlet
		if x.Entry != nil {
			what += fmt.Sprintf(" entry %d", *x.Entry)
		}
		if !x.OK {
			failed++
			fmt.Fprintf(out, "%s: FAILED: %s\n", what, x.Failure)
			continue
		}
		fmt.Fprintf(out, "%s: delivered: %s\n", what, dash(x.Answer))
	}
	if failed > 0 {
		return withHint(errors.New("not every outlet took its message"), "cordon notify list shows what waits; cordon check FILE warns of an outlet that the fence refuses")
	}
	return nil
}

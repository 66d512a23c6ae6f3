package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
)

type serviceCmd struct {
	Set  serviceSet  `cmd:"" help:"Take a trunk, a group, a target or a region out of service, or put it back. Live calls go on."`
	List serviceList `cmd:"" help:"What people decided: administrative states, switched routes, migrations."`
}

type serviceSet struct {
	api
	Kind   string `arg:"" enum:"trunk,group,target,region" help:"trunk, group, target or region."`
	Name   string `arg:"" help:"Its name; a target is PARTY/MEMBER or the whole id that cordon status shows."`
	State  string `arg:"" enum:"in_service,draining,out,test_only" help:"in_service, draining, out or test_only."`
	Reason string `required:"" help:"Why; it stands in the log. Write no name into it."`
	Until  string `help:"Moment (RFC 3339) or time from now (2h30m) at which it is in service again."`
}

// Run changes an administrative state.
func (c *serviceSet) Run(ctx context.Context, s streams) error {
	until, err := later(c.Until)
	if err != nil {
		return err
	}
	o := admin.ServiceOrder{Kind: c.Kind, Name: c.Name, State: desk.State(c.State), Reason: c.Reason, Until: until}
	var v admin.ServiceView
	if err := c.do(ctx, "POST", "/api/v1/service", o, &v); err != nil {
		return err
	}
	return showService(s.out, v)
}

// later reads a moment or a time from now; nothing gives the zero time.
func later(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return time.Now().Add(d).UTC().Truncate(time.Second), nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, withHint(fmt.Errorf("%q is neither a moment nor a time from now", s), "write 2026-11-21T14:00:00Z or 2h30m")
	}
	return t.UTC(), nil
}

type serviceList struct{ api }

// Run lists what people decided.
func (c *serviceList) Run(ctx context.Context, s streams) error {
	var v admin.ServiceView
	if err := c.do(ctx, "GET", "/api/v1/service", nil, &v); err != nil {
		return err
	}
	return showService(s.out, v)
}

func showService(out io.Writer, v admin.ServiceView) error {
	if len(v.Services)+len(v.Pins)+len(v.Migrations)+len(v.Severed) == 0 {
		fmt.Fprintln(out, "everything is in service, and nothing is switched or migrated by hand")
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tIS\tSINCE\tUNTIL\tBY\tWHY")
	for _, x := range v.Severed {
		is := "severed"
		if x.Force {
			is = "severed, for emergency calls too"
		}
		fmt.Fprintf(w, "%s %s\t%s\t%s\t-\t%s\t%s (log entry %d)\n", x.Kind, x.Name, is, clock(x.From), x.By, x.Reason, x.Entry)
	}
	for _, x := range v.Services {
		until := "-"
		if !x.Until.IsZero() {
			until = clock(x.Until)
		}
		fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\t%s\t%s (log entry %d)\n", x.Kind, x.Name, x.State, clock(x.Since), until, x.By, x.Reason, x.Entry)
	}
	for _, x := range v.Pins {
		fmt.Fprintf(w, "route %s\tswitched to %s\t%s\t-\t%s\t%s (log entry %d)\n", x.Route, x.Party, clock(x.Since), x.By, x.Reason, x.Entry)
	}
	for _, x := range v.Migrations {
		fmt.Fprintf(w, "route %s\t%s to %s\t%s\t-\t%s\t%s (log entry %d)\n", x.Route, part(x), x.Party, clock(x.Since), x.By, x.Reason, x.Entry)
	}
	return w.Flush()
}

// part names what is migrated.
func part(m desk.Migration) string {
	words := m.Ranges
	if m.Share > 0 {
		words = append([]string{strconv.FormatFloat(100*m.Share, 'f', -1, 64) + " %"}, words...)
	}
	return strings.Join(words, ", ")
}

type severCmd struct {
	api
	Kind    string `arg:"" enum:"trunk,group,region" help:"trunk, group or region."`
	Name    string `arg:"" help:"Its name; a region is provider:code."`
	Reason  string `required:"" help:"Why; it stands in the log. Write no name into it."`
	Force   bool   `help:"Cut emergency calls, too, and make no new ones there."`
	Restore bool   `help:"Put it back: by another person than the one who severed."`
}

// Run cuts off or puts back.
func (c *severCmd) Run(ctx context.Context, s streams) error {
	if c.Force && c.Restore {
		return withHint(errors.New("--force and --restore do not go together"), "--restore ends the whole cut")
	}
	var v admin.ServiceView
	o := admin.SeverOrder{Kind: c.Kind, Name: c.Name, Force: c.Force, Restore: c.Restore, Reason: c.Reason}
	if err := c.do(ctx, "POST", "/api/v1/sever", o, &v); err != nil {
		return err
	}
	return showService(s.out, v)
}

type switchCmd struct {
	api
	Group  string `arg:"" help:"Edge group (or trunk) whose routes are switched."`
	To     string `required:"" help:"Region to switch to, provider:code. A route must have a choice there that the policy permits."`
	Reason string `required:"" help:"Why; it stands in the log."`
}

// Run switches the routes of a group.
func (c *switchCmd) Run(ctx context.Context, s streams) error {
	var v admin.SwitchResult
	if err := c.do(ctx, "POST", "/api/v1/switch", admin.SwitchOrder{Party: c.Group, To: c.To, Reason: c.Reason}, &v); err != nil {
		return err
	}
	return showSwitched(s.out, v.Routes, "no route had to be switched")
}

type failbackCmd struct {
	api
	Route  string `arg:"" optional:"" help:"Route; default: every route that stands elsewhere."`
	Reason string `required:"" help:"Why; it stands in the log."`
}

// Run lets routes go back.
func (c *failbackCmd) Run(ctx context.Context, s streams) error {
	var v admin.SwitchResult
	if err := c.do(ctx, "POST", "/api/v1/failback", admin.FailbackOrder{Route: c.Route, Reason: c.Reason}, &v); err != nil {
		return err
	}
	return showSwitched(s.out, v.Routes, "every route stands where it would go by itself")
}

func showSwitched(out io.Writer, list []routing.Switched, none string) error {
	for _, x := range list {
		fmt.Fprintf(out, "route %s: from %s to %s; calls that are up stay where they are\n", x.Route, dash(x.From), x.To)
	}
	if len(list) == 0 {
		fmt.Fprintln(out, none)
	}
	return nil
}

type migrateCmd struct {
	api
	Route    string   `arg:"" help:"Route."`
	To       string   `help:"Choice of the route that takes the numbers first." xor:"what" required:""`
	Rollback bool     `help:"End the migration of the route at once." xor:"what" required:""`
	Share    string   `help:"Share of the numbers, such as 10%. A number stays on its side, also as the share grows."`
	Range    []string `help:"Beginning of numbers and a star, such as +4969*; may be given again."`
	Reason   string   `required:"" help:"Why; it stands in the log."`
}

// Run migrates a part of a route, or rolls it back.
func (c *migrateCmd) Run(ctx context.Context, s streams) error {
	share, err := shareOf(c.Share)
	if err != nil {
		return err
	}
	o := admin.MigrationOrder{Route: c.Route, To: c.To, Share: share, Ranges: c.Range, Reason: c.Reason, Rollback: c.Rollback}
	var v admin.ServiceView
	if err := c.do(ctx, "POST", "/api/v1/migrations", o, &v); err != nil {
		return err
	}
	return showService(s.out, v)
}

// shareOf reads "10%", "10 %" or "0.1".
func shareOf(s string) (float64, error) {
	text, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.ParseFloat(cmp.Or(strings.TrimSpace(text), "0"), 64)
	if percent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, withHint(fmt.Errorf("%q is no share", s), "write 10% or 0.1")
	}
	return v, nil
}

package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/register"
)

const drillsPath = "/api/v1/drills"

func drillPath(id string, more ...string) string {
	return strings.Join(append([]string{drillsPath, url.PathEscape(id)}, more...), "/")
}

// drillOrder is what plan and start ask alike.
type drillOrder struct {
	Scenario string `arg:"" help:"Name of a scenario that ships, or of one of the node's own."`
	Mode     string `enum:"sandbox,canary,full" default:"sandbox" help:"sandbox: a second node with stand-ins; canary: a share of production; full: production."`
	Route    string `help:"The route that is exercised; default: that of the scenario, or the only one." placeholder:"NAME"`
	Share    string `help:"Canary: how many of the route's calls, such as 2.5%." placeholder:"PERCENT"`
	Calls    int    `help:"Canary: how many calls at once at most." placeholder:"N"`
	Begins   string `help:"Moment (RFC 3339) at which it begins; default: as soon as it may."`
}

func (o drillOrder) asked(reason string) (admin.DrillOrder, error) {
	if o.Mode != "canary" && (o.Share != "" || o.Calls != 0) {
		return admin.DrillOrder{}, withHint(fmt.Errorf("--share and --calls mean nothing with --mode=%s", o.Mode), "they bound a canary")
	}
	out := admin.DrillOrder{Scenario: o.Scenario, Mode: o.Mode, Route: o.Route, Share: o.Share, Cap: o.Calls, Reason: reason}
	if o.Begins != "" {
		var err error
		if out.Begins, err = time.Parse(time.RFC3339, o.Begins); err != nil {
			return out, withHint(fmt.Errorf("--begins: %q is no moment", o.Begins), "write it as 2026-11-29T02:00:00Z")
		}
	}
	return out, nil
}

type drillPlanCmd struct {
	api
	drillOrder
	JSON bool `help:"Print the plan as JSON."`
}

// Run shows a dry run. Exit code 1 when the drill might not begin now.
func (c *drillPlanCmd) Run(ctx context.Context, s streams) error {
	o, err := c.asked("")
	if err != nil {
		return err
	}
	raw, err := c.fetch(ctx, "POST", drillsPath+"/plan", o)
	if err != nil {
		return err
	}
	var p admin.DrillPlan
	if err := json.Unmarshal(raw, &p); err != nil {
		return err
	}
	if c.JSON {
		if _, err := s.out.Write(raw); err != nil {
			return err
		}
	} else {
		showDrillPlan(s.out, &p)
	}
	if !p.Allowed {
		return withHint(errors.New("the drill may not begin now"), "the guards that do not hold say why")
	}
	return nil
}

func showDrillPlan(out io.Writer, p *admin.DrillPlan) {
	fmt.Fprintf(out, "%s version %d, %s, on route %s: %s\n", p.Scenario, p.Version, p.Mode, p.Route, p.Title)
	for _, part := range []string{"carrier", "primary", "secondary", "forbidden"} {
		if name := p.Cast[part]; name != "" {
			fmt.Fprintf(out, "    %-9s  %s\n", part, name)
		}
	}
	for _, m := range p.Moments {
		fmt.Fprintf(out, "    %9s  %s\n", seconds(m.At), cmp.Or(strings.Join(m.Gone, "; "), "nothing is gone"))
	}
	fmt.Fprintf(out, "    %9s  the end; everything is as before within %s\n", seconds(p.Lasts), seconds(p.Restore))
	for _, w := range p.Would {
		fmt.Fprintln(out, "    would     ", w)
	}
	for _, e := range p.Expect {
		fmt.Fprintln(out, "    must hold ", e)
	}
	showGuards(out, p.Guards)
	fmt.Fprintf(out, "approvals by other people: %d\n", p.Approves)
	if !p.Opens.IsZero() {
		fmt.Fprintf(out, "the next window opens %s\n", clock(p.Opens))
	}
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}

func showGuards(out io.Writer, list []audit.DrillGuard) {
	for _, g := range list {
		word := "holds"
		if !g.Holds {
			word = "FAILS"
		}
		fmt.Fprintf(out, "    %s  %s: %s\n", word, g.Name, g.Why)
	}
}

type drillStartCmd struct {
	api
	drillOrder
	Reason string `required:"" help:"Why; it stands in the log."`
	Watch  bool   `help:"Follow it until it has ended, as drill watch does."`
}

// Run asks for a drill.
func (c *drillStartCmd) Run(ctx context.Context, s streams) error {
	o, err := c.asked(c.Reason)
	if err != nil {
		return err
	}
	var v admin.DrillView
	if err := c.do(ctx, "POST", drillsPath, o, &v); err != nil {
		return err
	}
	showDrill(s.out, &v)
	if c.Watch {
		return (&drillWatchCmd{api: c.api, ID: v.ID()}).Run(ctx, s)
	}
	return nil
}

// showDrill prints the head of a drill: its id stands first, for scripts.
func showDrill(out io.Writer, v *admin.DrillView) {
	r := &v.Request
	fmt.Fprintf(out, "%s  %s version %d, %s, on route %s: %s\n", v.ID(), r.Scenario, r.Version, r.Mode, r.Route, drillState(&v.Drill))
	fmt.Fprintf(out, "asked      %s by %s: %s\n", clock(v.Asked), named(v.People, r.Tester), r.Reason)
	for _, w := range v.Words {
		fmt.Fprintf(out, "approved   %s by %s: %s\n", clock(w.At), named(v.People, w.By), w.Reason)
	}
	if v.State == register.Waiting {
		fmt.Fprintf(out, "waits for  %d of %d people, until %s: cordon drill approve %s\n", r.Wanted-len(v.Words), r.Wanted, clock(r.Expires), v.ID())
	}
	if v.Refused != nil {
		fmt.Fprintf(out, "refused    %s: %s\n", v.Refused.What, v.Refused.Why)
		showGuards(out, v.Refused.Guards)
	}
	showDrillWords(out, v)
}

// drillState is where a drill stands in a few words.
func drillState(d *register.Drill) string {
	if d.Ended == nil {
		return string(d.State)
	}
	word := strings.ToUpper(strings.ReplaceAll(d.Ended.Outcome, "_", " "))
	if d.State != register.Cleaned {
		word += ", not cleaned up"
	}
	if n := len(d.SignedOff); n > 0 {
		return word + ", " + strings.ReplaceAll(d.SignedOff[n-1].Verdict, "_", " ")
	}
	return word + ", not signed off"
}

type drillApproveCmd struct {
	api
	ID     string `arg:"" help:"Id of the drill."`
	Reason string `required:"" help:"Why; it stands in the log."`
}

// Run agrees to a drill.
func (c *drillApproveCmd) Run(ctx context.Context, s streams) error {
	return c.say(ctx, s, drillPath(c.ID, "approve"), c.Reason)
}

// say hands in a person's word about a drill, and shows how it stands then.
func (a api) say(ctx context.Context, s streams, path, reason string) error {
	var v admin.DrillView
	if err := a.do(ctx, "POST", path, admin.DrillWord{Reason: reason}, &v); err != nil {
		return err
	}
	showDrill(s.out, &v)
	return nil
}

type drillStopCmd struct {
	api
	ID     string `arg:"" optional:"" help:"Id of the drill; default: the one that runs."`
	Reason string `required:"" help:"Why; it stands in the log."`
}

// Run is the red button.
func (c *drillStopCmd) Run(ctx context.Context, s streams) error {
	id, err := c.running(ctx, c.ID)
	if err != nil {
		return err
	}
	return c.say(ctx, s, drillPath(id, "stop"), c.Reason)
}

// running is the id of the drill that runs, unless one is named.
func (a api) running(ctx context.Context, id string) (string, error) {
	if id != "" {
		return id, nil
	}
	var v admin.DrillList
	if err := a.do(ctx, "GET", drillsPath, nil, &v); err != nil {
		return "", err
	}
	if v.Running == "" {
		return "", withHint(errors.New("no drill runs"), "cordon drill runs shows those that wait or have ended; name one")
	}
	return v.Running, nil
}

type drillWatchCmd struct {
	api
	ID string `arg:"" optional:"" help:"Id of the drill; default: the one that runs."`
}

// Run follows a drill. Exit code 1 unless it passed.
func (c *drillWatchCmd) Run(ctx context.Context, s streams) error {
	id, err := c.running(ctx, c.ID)
	if err != nil {
		return err
	}
	var shown time.Time
	var state register.State
	beat := time.NewTicker(time.Second)
	defer beat.Stop()
	for {
		var v admin.DrillView
		if err := c.do(ctx, "GET", drillPath(id), nil, &v); err != nil {
			return err
		}
		if v.State != state && !v.State.Over() {
			fmt.Fprintf(s.out, "%s  %s\n", clock(time.Now()), v.State)
		}
		state = v.State
		for _, step := range v.Steps {
			if step.At.After(shown) {
				fmt.Fprintf(s.out, "%s  %-12s  %s\n", clock(step.At), step.Word, step.What)
			}
		}
		if n := len(v.Steps); n > 0 {
			shown = v.Steps[n-1].At
		}
		if v.State.Over() {
			return drillOutcome(s.out, &v)
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
			return nil // whoever watches may leave: the drill goes on
		}
	}
}

// drillOutcome prints how a drill ended.
func drillOutcome(out io.Writer, v *admin.DrillView) error {
	e := v.Ended
	if e == nil {
		showDrill(out, v)
		return errors.New("the drill never began")
	}
	var list []measure.Judgement
	var figures measure.Figures
	err := errors.Join(unless(len(e.Judgements) == 0, e.Judgements, &list), unless(len(e.Measured) == 0, e.Measured, &figures))
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "\nMUST HOLD\tHOLDS\tWANTED\tMEASURED")
	for _, j := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", j.Word, map[bool]string{true: "yes", false: "NO"}[j.Holds], j.Wanted, j.Measured)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "RTO %s; %d calls placed, %d dropped, %.1f%% failed; %d refusals shown; %s\n",
		inSeconds(figures.RTO), figures.Placed, figures.Dropped, figures.SetupFailed, figures.Refused, recordsLost(figures.RecordsLost))
	restored := "NOT RESTORED"
	if !e.Restored.IsZero() {
		restored = "everything was as before at " + clock(e.Restored)
		if ms := figures.Restore; ms != nil {
			restored = fmt.Sprintf("everything was as before %s after %s", time.Duration(*ms)*time.Millisecond, measure.RestoredFrom(e.End, e.Restored))
		}
	}
	fmt.Fprintln(out, restored)
	word := strings.ToUpper(strings.ReplaceAll(e.Outcome, "_", " "))
	fmt.Fprintf(out, "%s  %s\n", v.ID(), word)
	if e.Outcome == "passed" {
		return nil
	}
	return withHint(fmt.Errorf("the drill %s: %s", strings.ToLower(word), cmp.Or(e.Cause, "not everything that must hold did")), "cordon drill report "+v.ID()+" tells the whole of it; cordon drill finding notes who mends what")
}

// unless reads JSON, if there is any.
func unless(none bool, raw json.RawMessage, into any) error {
	if none {
		return nil
	}
	return json.Unmarshal(raw, into)
}

// recordsLost says how many records are missing from the log, if that is known.
func recordsLost(n *uint64) string {
	if n == nil {
		return "the log was not verified, so that nobody knows whether records are lost"
	}
	return fmt.Sprintf("%d records lost", *n)
}

func inSeconds(v *float64) string {
	if v == nil {
		return "not measured"
	}
	return fmt.Sprintf("%.1f s", *v)
}

type drillReportCmd struct {
	api
	ID     string `arg:"" help:"Id of the drill."`
	Format string `enum:"json,html,pdf" default:"json" help:"json, html (a page to read) or pdf."`
	Names  bool   `help:"Put the ids of people for their pseudonyms: for readers of your own."`
	Out    string `help:"Write into this file, which must not exist, in place of printing it."`
}

// Run fetches a report.
func (c *drillReportCmd) Run(ctx context.Context, s streams) error {
	if c.Format == "pdf" && c.Out == "" && isTerminal(s.out) {
		return errPDF("--out")
	}
	query := url.Values{"format": {c.Format}}
	if c.Names {
		query.Set("names", "true")
	}
	doc, err := c.fetch(ctx, "GET", drillPath(c.ID, "report")+"?"+query.Encode(), nil)
	if err != nil {
		return err
	}
	if c.Out == "" {
		_, err = s.out.Write(doc)
		return err
	}
	if err := writeNew(c.Out, doc); err != nil {
		return err
	}
	sum := sha256.Sum256(doc)
	fmt.Fprintf(s.out, "%s: report of %s, SHA-256 %s\n", c.Out, c.ID, hex.EncodeToString(sum[:]))
	return nil
}

type drillRunsCmd struct {
	api
}

// Run lists drills.
func (c *drillRunsCmd) Run(ctx context.Context, s streams) error {
	var v admin.DrillList
	if err := c.do(ctx, "GET", drillsPath, nil, &v); err != nil {
		return err
	}
	if !v.Allowed {
		fmt.Fprintf(s.out, "every drill is forbidden: %s\n", v.Why)
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	if len(v.Drills) == 0 {
		fmt.Fprintln(s.out, "no drill was asked for")
	} else {
		fmt.Fprintln(w, "DRILL\tSCENARIO\tMODE\tASKED\tBY\tSTATE")
	}
	for _, d := range v.Drills {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", d.ID(), d.Request.Scenario, d.Request.Mode, clock(d.Asked), named(v.People, d.Request.Tester), drillState(&d))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, k := range v.Calendar {
		fmt.Fprintf(s.out, "calendar: %s, %s, every %d months, last %s, due %s\n", k.Scenario, k.Mode, k.Months, clock(k.Last), clock(k.Due))
	}
	return nil
}

type drillFindingCmd struct {
	api
	ID       string `arg:"" optional:"" help:"Id of the drill that found it; without one, everything that was found is listed."`
	Title    string `help:"What is wanting. With --title it is a new one."`
	Severity string `help:"low, medium, high or critical."`
	Owner    string `help:"Id of the person who mends it."`
	Due      string `help:"Day (YYYY-MM-DD) by which it is mended."`
	RetestBy string `help:"Day (YYYY-MM-DD) by which it is tested again."`
	Of       string `help:"Id of one that is known, to change it." placeholder:"DEFICIENCY"`
	Fixed    bool   `help:"It is mended."`
	Retest   string `help:"Id of the drill that showed it." placeholder:"DRILL"`
}

// Run notes a deficiency or lists them.
func (c *drillFindingCmd) Run(ctx context.Context, s streams) error {
	var v admin.DrillDefects
	if c.ID == "" {
		if err := c.do(ctx, "GET", drillsPath+"/deficiencies", nil, &v); err != nil {
			return err
		}
		if len(v.Deficiencies) == 0 {
			fmt.Fprintln(s.out, "no drill found anything wanting")
		}
		return showDefects(s.out, &v)
	}
	f := admin.DrillFinding{ID: c.Of, Title: c.Title, Severity: c.Severity, Owner: c.Owner, Fixed: c.Fixed, Retest: c.Retest}
	var err error
	if f.Due, err = dayOrNone(c.Due); err != nil {
		return err
	}
	if f.RetestBy, err = dayOrNone(c.RetestBy); err != nil {
		return err
	}
	if err := c.do(ctx, "POST", drillPath(c.ID, "deficiencies"), f, &v); err != nil {
		return err
	}
	return showDefects(s.out, &v)
}

// dayOrNone is the moment at which a day begins, or none.
func dayOrNone(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return t, withHint(fmt.Errorf("%q is no day", s), "write it as 2026-12-31")
	}
	return t, nil
}

func showDefects(out io.Writer, v *admin.DrillDefects) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	if len(v.Deficiencies) > 0 {
		fmt.Fprintln(w, "DEFICIENCY\tDRILL\tSEVERITY\tOWNER\tDUE\tFIXED\tTITLE")
	}
	for _, d := range v.Deficiencies {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", d.ID, d.Drill, d.Severity, named(v.People, d.Owner), onDay(d.Due), onDay(d.Fixed), d.Title)
	}
	return w.Flush()
}

func onDay(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.DateOnly)
}

type drillLeverCmd struct {
	api
	Way    string `arg:"" enum:"forbid,allow" help:"forbid or allow."`
	Reason string `required:"" help:"Why; it stands in the log."`
}

// Run pulls the lever, or lets it go.
func (c *drillLeverCmd) Run(ctx context.Context, s streams) error {
	allowed := c.Way == "allow"
	var v admin.DrillStanding
	if err := c.do(ctx, "POST", drillsPath+"/lever", admin.DrillLeverOrder{Allowed: &allowed, Reason: c.Reason}, &v); err != nil {
		return err
	}
	fmt.Fprintln(s.out, map[bool]string{true: "drills are allowed where the configuration allows them", false: "every drill is forbidden: " + v.Why}[v.Allowed])
	if v.Running != "" {
		fmt.Fprintf(s.out, "%s is being ended\n", v.Running)
	}
	return nil
}

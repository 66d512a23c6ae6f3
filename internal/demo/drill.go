package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
)

// Drill is a scenario that is played in a sandbox, in place of the story.
type Drill struct {
	*scenario.Scenario
	Text []byte // of a file; nil: it ships
}

const (
	drillsPath   = "/api/v1/drills"
	drillLook    = 250 * time.Millisecond // at its steps
	drillTick    = time.Minute            // after which the time is told, where nothing happens
	drillSettles = time.Minute            // what a sandbox may take beyond its scenario after a stop, until its node and its log are closed
)

// drilling is what the story knows of the drill.
type drilling struct {
	admin.DrillView
	lasts time.Duration
	quit  <-chan struct{} // somebody pressed Ctrl-C
}

// drillScenes are the story of a drill.
func drillScenes(d *Drill) []scene {
	return []scene{
		{"cordon is up: five edge groups are placed and judged, the permitted ones are probed", sceneUp},
		{fmt.Sprintf("the drill %s: %s", d.Name, d.Title), scenePlan},
		{"it is played in a sandbox: a second node beside this one, among stand-ins", scenePlay},
		{"what had to hold, and what was measured", sceneJudged},
		{"production noticed nothing: a call goes to Frankfurt, the first choice", sceneUntouched},
		{"the report", sceneReport},
	}
}

// scenePlan asks the node for a dry run.
func scenePlan(ctx context.Context, s *story) error {
	var p admin.DrillPlan
	if err := s.api(ctx, "ops", "POST", drillsPath+"/plan", admin.DrillOrder{Scenario: s.o.Drill.Name, Mode: string(scenario.Sandbox)}, &p); err != nil {
		return err
	}
	for _, part := range []string{scenario.Carrier, scenario.Primary, scenario.Secondary, scenario.Forbidden} {
		if name := p.Cast[part]; name != "" {
			s.say("    %-9s %s", part, name)
		}
	}
	for _, m := range p.Moments {
		s.say("    %9s %s", seconds(m.At), cmp.Or(strings.Join(m.Gone, "; "), "nothing is gone"))
	}
	for _, g := range p.Guards {
		if !g.Holds {
			s.say("    %s %s", s.amber(g.Name+":"), g.Why)
		}
	}
	if !p.Allowed {
		return errors.New("it may not begin now")
	}
	s.drill.lasts = seconds(p.Lasts)
	s.say("    it takes %s, until %s; Ctrl-C stops it and gives everything back", s.mark(s.drill.lasts.String()), time.Now().Add(s.drill.lasts).Format("15:04:05"))
	return nil
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second)).Round(time.Millisecond)
}

// scenePlay starts the drill and tells its steps as they come. Ctrl-C stops it, as the red button does; it has then ended, too, and the story goes on.
func scenePlay(ctx context.Context, s *story) error {
	d := s.drill
	select {
	case <-d.quit:
		return errors.New("somebody pressed Ctrl-C before it began")
	default:
	}
	if err := s.api(ctx, "ops", "POST", drillsPath, admin.DrillOrder{Scenario: s.o.Drill.Name, Mode: string(scenario.Sandbox), Reason: "the demo"}, &d.DrillView); err != nil {
		return err
	}
	s.say("    ops asks for it: drill %s", d.ID())
	quit, told, begun := d.quit, 0, time.Now()
	limit := begun.Add(3*time.Minute + d.lasts + time.Duration(s.o.Drill.End.Restore) + drillSettles)
	tick, look := time.NewTicker(drillTick), time.NewTicker(drillLook)
	defer tick.Stop()
	defer look.Stop()
	for {
		for ; told < len(d.Steps); told++ {
			s.say("    %9s %-12s %s", d.into(d.Steps[told].At), strings.ReplaceAll(d.Steps[told].Word, "_", " "), d.Steps[told].What)
		}
		if d.State.Over() {
			return s.ended()
		}
		select {
		case <-quit:
			quit = nil
			s.say("    %s the drill is stopped, and everything given back", s.amber("Ctrl-C:"))
			if err := s.api(ctx, "ops", "POST", drillsPath+"/"+d.ID()+"/stop", admin.DrillWord{Reason: "Ctrl-C"}, &admin.DrillView{}); err != nil {
				return err
			}
			limit = time.Now().Add(time.Duration(s.o.Drill.End.Restore) + drillSettles)
		case <-tick.C:
			s.say("    %9s of %s", d.into(time.Now()), d.lasts)
		case <-look.C:
		}
		if time.Now().After(limit) {
			return fmt.Errorf("the drill did not end within %s", time.Since(begun).Round(time.Second))
		}
		var v admin.DrillView // what a document leaves out must not stay from the last one
		if err := s.api(ctx, "ops", "GET", drillsPath+"/"+d.ID(), nil, &v); err != nil {
			return err
		}
		d.DrillView = v
	}
}

// into is how far the play was at a moment.
func (d *drilling) into(at time.Time) time.Duration {
	if d.Played.IsZero() || at.Before(d.Played) {
		return 0
	}
	return at.Sub(d.Played).Round(100 * time.Millisecond)
}

// ended says how the drill ended. One that was played goes on to its judgement and its report, whatever came of it.
func (s *story) ended() error {
	e := s.drill.Ended
	switch {
	case e == nil && s.drill.Refused != nil:
		return fmt.Errorf("it never began: %s", s.drill.Refused.Why)
	case e == nil:
		return errors.New("it never began")
	case len(e.Judgements) == 0:
		return errors.New(e.Cause)
	}
	return nil
}

// sceneJudged prints the table of what had to hold, the moments and the figures.
func sceneJudged(_ context.Context, s *story) error {
	e := s.drill.Ended
	var list []measure.Judgement
	var times measure.Timeline
	var f measure.Figures
	if err := errors.Join(json.Unmarshal(e.Judgements, &list), json.Unmarshal(e.Timeline, &times), json.Unmarshal(e.Measured, &f)); err != nil {
		return err
	}
	var table bytes.Buffer
	w := tabwriter.NewWriter(&table, 0, 4, 2, ' ', 0)
	for _, j := range list {
		fmt.Fprintf(w, "    %s\t%s\t%s\t%s\n", map[bool]string{true: "holds", false: "FAILS"}[j.Holds], j.Word, j.Wanted, j.Measured)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	s.say("%s", strings.TrimRight(table.String(), "\n"))
	for _, m := range []struct {
		what string
		at   time.Time
	}{
		{"taken away", times.Injected},
		{"detected", times.Detected},
		{"decided", times.Decided},
		{"switched", times.Switched},
		{"first call answered by the secondary", times.FirstCall},
		{"given back", times.FailbackStart},
		{"first call answered by the primary again", times.FailbackDone},
	} {
		if !m.at.IsZero() {
			s.say("    %9s %s", m.at.Sub(e.Start).Round(10*time.Millisecond), m.what)
		}
	}
	s.say("    RTO %s; %d calls placed, %.1f%% failed, %d of %d that were up dropped; %d refusals on record; records lost: %s",
		orUnknown(f.RTO, "%.2f s"), f.Placed, f.SetupFailed, f.Dropped, f.InProgress, f.Refused, orUnknown(f.RecordsLost, "%d"))
	if e.Restored.IsZero() {
		s.say("    %s %s", s.red("NOT RESTORED:"), e.Cause)
		return nil
	}
	s.say("    everything was as before %s after %s", orUnknown(f.Restore, "%d ms"), measure.RestoredFrom(e.End, e.Restored))
	return nil
}

func orUnknown[T any](v *T, format string) string {
	if v == nil {
		return "not measured"
	}
	return fmt.Sprintf(format, *v)
}

// sceneUntouched shows that the drill took nothing from the node beside which it was played.
func sceneUntouched(ctx context.Context, s *story) error {
	h, err := s.call(ctx)
	if err != nil {
		return err
	}
	if err := s.expectAnswer(h, "fra", "primary"); err != nil {
		return err
	}
	for _, name := range []string{"iad", "dme"} {
		if n := s.wire.to(s.site(name).Prefix); n != 0 {
			return fmt.Errorf("%d datagrams left for %s", n, s.site(name).City)
		}
	}
	return nil
}

// sceneReport fetches the report as a page and as JSON into the folder of the demo.
func sceneReport(ctx context.Context, s *story) error {
	for _, format := range []string{"html", "json"} {
		page, err := s.fetch(ctx, "ops", "GET", drillsPath+"/"+s.drill.ID()+"/report?format="+format, nil)
		if err != nil {
			return err
		}
		path := filepath.Join(s.dir, "drill."+format)
		if err := os.WriteFile(path, page, 0o600); err != nil {
			return err
		}
		s.say("    %s", path)
	}
	return nil
}

// exercise plays a drill. Ctrl-C ends quit, and neither ctx nor the node: it has to be there to give back what was taken.
func (s *story) exercise(ctx context.Context, quit <-chan struct{}) error {
	s.drill = &drilling{quit: quit}
	if err := s.tell(ctx, drillScenes(s.o.Drill)); err != nil {
		return err
	}
	if err := s.proof(ctx); err != nil {
		return err
	}
	e := s.drill.Ended
	if e.Outcome != "passed" {
		return fmt.Errorf("demo: the drill %s: %s", strings.ReplaceAll(e.Outcome, "_", " "), cmp.Or(e.Cause, "not everything that had to hold did"))
	}
	s.say("\n%s in %.1f s; the folder stays: %s", s.green("the drill passed"), time.Since(s.began).Seconds(), s.dir)
	return nil
}

// proof stops the node, and verifies its log and that of the sandbox offline.
func (s *story) proof(ctx context.Context) error {
	s.step++
	s.say("\n%s %s", s.mark(fmt.Sprintf("[%d]", s.step)), s.mark("both logs prove it, offline"))
	s.stop()
	apart := s.drill.Ended.Log
	if !filepath.IsAbs(apart) {
		apart = filepath.Join(s.dir, "state", apart)
	}
	for _, x := range []struct{ whose, dir string }{{"production", filepath.Join(s.dir, "state")}, {"the sandbox", apart}} {
		v, err := verify(ctx, x.dir)
		if err != nil {
			return fmt.Errorf("the log of %s: %w", x.whose, err)
		}
		s.say("    %s %s: %d entries, %d residency receipts, %d gaps, under one signed checkpoint of %s", s.green("verified"), x.whose, v.Entries, v.Receipts, v.Gaps, v.Origin)
	}
	return nil
}

// verify checks the log of a state folder. A log that does not hold is an error.
func verify(ctx context.Context, state string) (audit.Verification, error) {
	key, err := os.ReadFile(filepath.Join(state, "log.vkey"))
	if err != nil {
		return audit.Verification{}, err
	}
	v, err := audit.Verify(ctx, filepath.Join(state, "log"), string(bytes.TrimSpace(key)))
	if err == nil && v.Bad != nil {
		err = fmt.Errorf("it does not hold: entry %d: %s", v.Bad.Seq, v.Bad.What)
	}
	return v, err
}

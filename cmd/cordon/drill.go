package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill/scenario"
)

type drillCmd struct {
	List     drillListCmd     `cmd:"" help:"The scenarios that ship: what they take away, and where they may run."`
	Check    drillCheckCmd    `cmd:"" help:"Find the mistakes of a scenario, and say what it would mean on a node."`
	Plan     drillPlanCmd     `cmd:"" help:"A dry run: what a drill would do on a running node, and whether it might begin now."`
	Start    drillStartCmd    `cmd:"" help:"Ask for a drill. In the sandbox it begins at once; in production a second person must agree."`
	Approve  drillApproveCmd  `cmd:"" help:"Agree to a drill that another person asked for."`
	Watch    drillWatchCmd    `cmd:"" help:"Follow a drill until it has ended, and give its outcome."`
	Stop     drillStopCmd     `cmd:"" help:"End the drill that runs, at once: everything is given back."`
	Cleanup  drillCleanupCmd  `cmd:"" help:"Sign that nothing of a drill is left, once the node has looked."`
	Signoff  drillSignoffCmd  `cmd:"" help:"Accept or reject the result of a drill that other people ran."`
	Reported drillReportedCmd `cmd:"" help:"Note that the management body was told of a drill."`
	Ack      drillAckCmd      `cmd:"" help:"Take note of what was told of a drill."`
	Report   drillReportCmd   `cmd:"" help:"The report of a drill, for auditors: JSON, a page or PDF."`
	Runs     drillRunsCmd     `cmd:"" help:"Drills that were asked for, the lever and the calendar."`
	Finding  drillFindingCmd  `cmd:"" help:"Note what a drill found wanting, or what became of it."`
	Lever    drillLeverCmd    `cmd:"" help:"Forbid every drill at once, or allow them again."`
}

type drillListCmd struct {
	Show string `help:"Print the text of this one, to copy and change." placeholder:"NAME"`
}

// Run lists the scenarios that ship.
func (c *drillListCmd) Run(s streams) error {
	if c.Show != "" {
		text, ok := drills.Text(c.Show)
		if !ok {
			return noDrill(c.Show)
		}
		_, err := s.out.Write(text)
		return err
	}
	w := tabwriter.NewWriter(s.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "SCENARIO\tMODES\tNEEDS\tTITLE")
	for _, name := range drills.Names() {
		sc, err := readScenario(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", name, joined(sc.Modes), strings.Join(sc.Needs(), ", "), sc.Title)
	}
	return w.Flush()
}

func joined[T ~string](list []T) string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = string(w)
	}
	return strings.Join(out, ", ")
}

func noDrill(name string) error {
	return withHint(fmt.Errorf("no scenario of the name %q ships", name), "cordon drill list shows them; a file is named by its path, such as ./"+name+".yaml")
}

type drillCheckCmd struct {
	Scenario []string `arg:"" help:"Files, or names of scenarios that ship."`
	Config   string   `short:"c" help:"Configuration of a node: put its names in." type:"existingfile"`
	Route    string   `help:"With --config: the route that is exercised." placeholder:"NAME"`
	At       string   `help:"With --config: as of this day (YYYY-MM-DD); default: now."`
}

// Run checks scenarios. Exit code 1 when one has errors, or does not fit the node.
func (c *drillCheckCmd) Run(s streams) error {
	if c.Config == "" && c.Route+c.At != "" {
		return withHint(errors.New("--route and --at mean nothing without a node"), "name its configuration with --config")
	}
	at, err := moment(c.At)
	if err != nil {
		return err
	}
	var world *scenario.World
	if c.Config != "" {
		cfg, err := configs.Load(c.Config)
		if err != nil {
			return err
		}
		w, err := cordon.DrillWorld(cfg, at)
		if err != nil {
			return err
		}
		world = &w
	}
	var failed error
	for _, name := range c.Scenario {
		failed = errors.Join(failed, checkScenario(s.out, name, world, c.Route))
	}
	return failed
}

func checkScenario(out io.Writer, name string, world *scenario.World, route string) error {
	sc, err := readScenario(name)
	if err != nil {
		return err
	}
	if world == nil {
		fmt.Fprintf(out, "%s version %d: %s\n    modes %s; over after %s; SHA-256 %s\n", sc.Name, sc.Version, sc.Title, joined(sc.Modes), time.Duration(sc.End.After), sc.Digest)
		return nil
	}
	play, probs := sc.Bind(*world, route)
	if len(probs) > 0 {
		return probs
	}
	explainPlay(out, play)
	return nil
}

// explainPlay says what a scenario means on a node, moment by moment.
func explainPlay(out io.Writer, p *scenario.Play) {
	fmt.Fprintf(out, "%s version %d on route %s: %s\n", p.Name, p.Version, p.On.Name, p.Title)
	for _, part := range []string{scenario.Carrier, scenario.Primary, scenario.Secondary, scenario.Forbidden} {
		if name := p.Cast[part]; name != "" {
			fmt.Fprintf(out, "    %-9s  %s\n", part, name)
		}
	}
	var was []string
	for at, ok := time.Duration(0), true; ok; at, ok = p.Next(at) {
		var now []string
		for _, t := range p.Gone(at) {
			now = append(now, fmt.Sprintf("%s %s: %s", t.Kind, strings.Join(t.Names, ", "), t.How))
		}
		if slices.Equal(now, was) && at > 0 {
			continue
		}
		was = now
		what := strings.Join(now, "; ")
		if what == "" {
			what = "nothing is gone"
		}
		fmt.Fprintf(out, "    %9s  %s\n", at, what)
	}
	fmt.Fprintf(out, "    %9s  the end; everything is as before within %s\n", time.Duration(p.End.After), time.Duration(p.End.Restore))
}

// readScenario reads a file, or one that ships. A name without a folder and an ending is one that ships.
func readScenario(name string) (*scenario.Scenario, error) {
	text, ok := drills.Text(name)
	if !ok {
		if filepath.Base(name) == name && filepath.Ext(name) == "" {
			return nil, noDrill(name)
		}
		var err error
		if text, err = os.ReadFile(name); err != nil {
			return nil, err
		}
	}
	sc, probs := scenario.Read(name, text)
	if len(probs) > 0 {
		return nil, probs
	}
	return sc, nil
}

// Command cordon is the edge proxy and every tool around it.
//
//	cordon run -c FILE     be the edge
//	cordon check FILE      explain a configuration, or its errors
//	cordon demo            play the main story on loopback
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	_ "time/tzdata" // windows of drills and routes have time zones, and a bare machine has none

	"github.com/alecthomas/kong"
	cordon "github.com/cordonsip/cordon"
)

// streams are what a command reads and writes, so that tests can hold them.
type streams struct {
	out, err io.Writer
	in       io.Reader
}

// cli is the whole command line.
type cli struct {
	Run      runCmd      `cmd:"" help:"Be the edge: serve calls until SIGTERM, reload on SIGHUP."`
	Check    checkCmd    `cmd:"" help:"Explain a configuration: who may be reached, who is held, who is denied, and why."`
	Demo     demoCmd     `cmd:"" help:"Play the main story on loopback: calls, a lawful failover, the gate, the log."`
	Status   statusCmd   `cmd:"" help:"One screen of what is up, degraded, down or held, since when, and why."`
	Gate     gateCmd     `cmd:"" help:"The manual-approval gate."`
	Policy   policyCmd   `cmd:"" help:"The policy that people accepted, what a configuration has otherwise, and what waits for signatures."`
	Plan     planCmd     `cmd:"" help:"Where would a call go now, and why? Nothing is dialled."`
	Service  serviceCmd  `cmd:"" help:"What is in service: trunks, groups, targets, regions."`
	Sever    severCmd    `cmd:"" help:"Cut a trunk, a group or a region off at once: no call, no probe, nothing. Another person puts it back."`
	Switch   switchCmd   `cmd:"" help:"Send the routes of a group to another permitted region, by hand."`
	Failback failbackCmd `cmd:"" help:"Let routes go back to their own order now."`
	Migrate  migrateCmd  `cmd:"" help:"Send a share or a range of numbers of a route to another party first; roll it back."`
	Call     callCmd     `cmd:"" help:"Place one synthetic call and report what came back."`
	Certs    certsCmd    `cmd:"" help:"The register of certificates: ours, our peers', the roots; which end first."`
	Evidence evidenceCmd `cmd:"" help:"What speaks for and against declared places: feeds, registries, round trips, identities."`
	Drill    drillCmd    `cmd:"" help:"Scenarios of drills: what is taken away, and what must still hold."`
	Outside  outsideCmd  `cmd:"" name:"inventory" help:"Endpoints outside the call path (CRM, IdP, bucket, CDN): where they are, and what the policy says of that."`
	Incident incidentCmd `cmd:"" help:"Incidents: what runs, which limit comes first, classify, draft the report, close."`
	Review   reviewCmd   `cmd:"" help:"Periodic reviews of filter rules and access rights: what is in force, what was found, who signed."`
	Notify   notifyCmd   `cmd:"" help:"The outlets that tell people: what they did not take, a test, another attempt."`
	Trace    traceCmd    `cmd:"" help:"What a call looked like on the wire: a ladder, JSON, or a capture file."`
	Verify   verifyCmd   `cmd:"" help:"Check a log offline: every entry, every proof, every signature."`
	Report   reportCmd   `cmd:"" help:"Reports from a log that was verified: residency, register of information, transfers."`
	Witness  witnessCmd  `cmd:"" help:"Watch the log of somebody else: sign its checkpoints, and refuse a second history."`
	Log      logCmd      `cmd:"" help:"The keys that sign the log."`
	Export   exportCmd   `cmd:"" help:"Files of the log for others."`
	Restore  restoreCmd  `cmd:"" help:"Bring a log back from the copy that nobody can delete from."`
	Hold     holdCmd     `cmd:"" help:"Legal holds: what must be kept, whatever its age."`
	Retain   retainCmd   `cmd:"" name:"retention" help:"How long what references stand for is kept, and why."`
	Forget   forgetCmd   `cmd:"" help:"Make a reference of the log name nobody any more."`
	Law      lawCmd      `cmd:"" help:"The law table and its local suspensions."`
	Schema   schemaCmd   `cmd:"" help:"Print the JSON schema of the configuration, for editors."`
	Media    mediaCmd    `cmd:"" hidden:"" help:"Carry the media of a control process; cordon run starts it."`

	Version kong.VersionFlag `help:"Print the version and leave." short:"V"`
}

// hinted is an error that knows what to do next.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }

func withHint(err error, hint string) error {
	if err == nil {
		return nil
	}
	return hinted{err, hint}
}

// coded is an error with an exit code of its own.
type coded struct {
	error
	code int
}

func (c coded) Unwrap() error { return c.error }

func main() {
	if len(os.Args) > 1 && os.Args[1] == "run" {
		loosen(os.Environ())
	}
	ctx, stop := untilSignal(context.Background())
	if len(os.Args) > 1 && os.Args[1] == "media" { // it has manners of its own
		stop()
		ctx = context.Background()
	}
	defer stop()
	os.Exit(realMain(ctx, os.Args[1:], streams{os.Stdout, os.Stderr, os.Stdin}))
}

// untilSignal ends at the first SIGINT or SIGTERM; that of SIGINT has the cause cordon.ErrEndCalls. From then on signals do what they always do: a second one ends the process at
// once, whatever still drains.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	first := make(chan os.Signal, 1)
	signal.Notify(first, os.Interrupt, syscall.SIGTERM)
	go func() {
		var why error
		select {
		case sig := <-first:
			if sig == os.Interrupt {
				why = cordon.ErrEndCalls
			}
		case <-ctx.Done():
		}
		signal.Stop(first)
		cancel(why)
	}()
	return ctx, func() { cancel(nil) }
}

// realMain parses args and runs the command. Exit codes: 0 done, 1 failed, 2 the command line was wrong.
func realMain(ctx context.Context, args []string, s streams) int {
	var c cli
	leave := -1
	p, err := kong.New(&c, kong.Name("cordon"), kong.Description("A sovereign-aware SIP and media failover edge: lawful by itself, everything else by people."),
		kong.Vars{"version": version()}, kong.Writers(s.out, s.err), kong.Exit(func(code int) { leave = code }),
		kong.UsageOnError(), kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.BindTo(ctx, (*context.Context)(nil)), kong.Bind(s))
	if err != nil {
		return complain(s.err, err)
	}
	k, err := p.Parse(args)
	if leave >= 0 {
		return leave
	}
	if err != nil {
		complain(s.err, withHint(err, "cordon --help lists the commands, cordon COMMAND --help its flags"))
		return 2
	}
	if err := k.Run(); err != nil {
		return complain(s.err, err)
	}
	return 0
}

// complain prints an error and its hint and gives the exit code.
func complain(w io.Writer, err error) int {
	fmt.Fprintf(w, "cordon: error: %v\n", err)
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintf(w, "cordon: hint: %s\n", h.hint)
	}
	var c coded
	if errors.As(err, &c) {
		return c.code
	}
	return 1
}

// commit is what was built; the linker sets it: -ldflags "-X main.commit=0123abc".
var commit string

// version is the module version and the commit that was built, as far as the build knows them.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return versionOf(info, commit)
}

// software is what the log and other processes are told that this one is.
func software() string { return "cordon " + version() }

func versionOf(info *debug.BuildInfo, commit string) string {
	v := info.Main.Version
	if v == "" || v == "(devel)" {
		v = "devel"
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && commit == "" {
				commit = s.Value[:min(12, len(s.Value))]
			}
		}
	}
	if commit == "" {
		return v
	}
	v, _, _ = strings.Cut(v, "+") // build metadata of the toolchain, such as +dirty: the commit stands in its place
	return v + "+" + commit
}

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	logreport "github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/drill/report"
)

type reportDrillCmd struct {
	Dir    string `arg:"" help:"Folder of the log, or the node's state folder." type:"existingdir"`
	Drill  string `required:"" help:"Its id." placeholder:"ID"`
	Key    string `help:"File with the public key (note verifier form), or log.keys; default: log.keys or log.vkey beside the log." placeholder:"FILE" type:"path"`
	Play   string `help:"Of a sandbox: folder of the log that its play has of its own." placeholder:"DIR" type:"path"`
	PKey   string `name:"play-key" help:"File with the public key of that log; default: the one beside it." placeholder:"FILE" type:"path"`
	Format string `default:"text" enum:"text,json,html,pdf" help:"text, json, html (one file that needs nothing else) or pdf."`
	Out    string `short:"o" help:"Write it there; what is there already is not replaced." placeholder:"FILE" type:"path"`
}

// Run reports one drill, from a log that is verified first, and from that of its sandbox where it has one.
func (c *reportDrillCmd) Run(ctx context.Context, s streams) error {
	of := overLog{Dir: c.Dir, Key: c.Key, Format: c.Format, Out: c.Out}
	b := report.New(c.Drill)
	cover, err := of.read(ctx, b.Add)
	if err != nil {
		return err
	}
	in := report.Input{Cover: cover, Made: time.Now()}
	if c.Play != "" {
		if b.Apart() == "" {
			return coded{withHint(fmt.Errorf("drill %s has no log of its own", c.Drill), "leave --play out: only a sandbox has one"), 2}
		}
		played, err := c.apart(ctx, b)
		if err != nil {
			return fmt.Errorf("the log of the play: %w", err)
		}
		in.Played = &played
	}
	r, err := b.Report(in)
	if errors.Is(err, report.ErrNone) {
		return withHint(err, "a drill has a report once it has ended; name it as drill.requested does")
	} else if err != nil {
		return err
	}
	if err := of.write(s, r); err != nil {
		return err
	}
	if bad := r.Unsound(); len(bad) > 0 {
		return coded{errors.New("the entries are those that were written, and " + strings.Join(bad, "; ")), notHeld}
	}
	if r.Outcome != report.Passed {
		return coded{fmt.Errorf("the drill did not pass: %s", r.Outcome), notHeld}
	}
	return nil
}

// apart verifies and reads the log that the play has of its own. One that is not the one that the node's log names is refused.
func (c *reportDrillCmd) apart(ctx context.Context, b *report.Builder) (logreport.Cover, error) {
	own := overLog{Dir: c.Play, Key: c.PKey}
	cover, err := own.read(ctx, b.Play)
	if sealed := b.Sealed(); err == nil && sealed != nil {
		var dir string
		var k *proof.Keys
		if dir, k, err = own.opened(); err == nil {
			err = audit.Extends(ctx, dir, k, sealed)
		}
		if errors.Is(err, audit.ErrNotHeld) {
			err = coded{withHint(fmt.Errorf("it is not the one that drill %s was played in: %w", c.Drill, err), "drill.ended says which one that was: sandboxes/ of state_dir, under the id of the drill"), notHeld}
		}
	}
	return cover, err
}

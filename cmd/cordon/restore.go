package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit/worm"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
)

type restoreCmd struct {
	Log restoreLog `cmd:"" default:"withargs" help:"Bring a log, the node's keys and what its pseudonyms stand for back on a new machine."`
	Key restoreKey `cmd:"" help:"Make the key that keys and salts are sealed to, and print its public half for log.worm.recovery_key."`
}

type restoreKey struct {
	File string `arg:"" help:"Key file (PKCS #8 PEM, X25519); made with mode 0600, never written over. Keep it offline." type:"path"`
}

// Run makes a recovery key.
func (c *restoreKey) Run(s streams) error {
	k, err := worm.NewRecoveryKey()
	if err != nil {
		return err
	}
	raw, err := k.Marshal()
	if err != nil {
		return err
	}
	if err := writeNew(c.File, raw); err != nil {
		return err
	}
	fmt.Fprintln(s.out, k.Recipient())
	return nil
}

type restoreLog struct {
	Config       string   `short:"c" required:"" help:"Configuration of the node: its bucket (log.worm), its witnesses, and the policy that both must pass." type:"existingfile"`
	Key          string   `required:"" help:"Public key of the log (log.vkey), as it was kept away from the node." type:"existingfile"`
	RecoveryKey  string   `required:"" help:"Private half of the recovery key." type:"existingfile"`
	Dir          string   `help:"State folder to make; it must not exist, or be empty. Default: node.state_dir." placeholder:"DIR" type:"path"`
	FromEndpoint string   `help:"Endpoint of the bucket, in place of log.worm.endpoint." placeholder:"URL"`
	Check        bool     `help:"Bring it all, check it, and remove it again: nothing is signed, no witness is asked."`
	Seen         []string `help:"Checkpoint of the log that somebody else holds, once for each." placeholder:"FILE" type:"existingfile"`
	Ended        bool     `help:"You know that the node was not started again after the node.stopped with which the copy ends."`
	AcceptLoss   *uint64  `help:"Begin a new log, for this many entries that are known to be lost; 0 where nobody can tell how many." placeholder:"N"`
}

// Run restores. Exit code 3 where the copy does not hold, or the log cannot go on under its name.
func (c *restoreLog) Run(ctx context.Context, s streams) error {
	o := cordon.RestoreOptions{Net: osnet.Net{}, Software: software(), Dir: c.Dir, Endpoint: c.FromEndpoint, Check: c.Check, Ended: c.Ended, AcceptLoss: c.AcceptLoss}
	var err error
	if o.Config, err = configs.Load(c.Config); err != nil {
		return withHint(err, "cordon check "+c.Config+" explains the file")
	}
	key, err := os.ReadFile(c.Key)
	if err != nil {
		return err
	}
	o.Key = string(key)
	private, err := os.ReadFile(c.RecoveryKey)
	if err != nil {
		return err
	}
	if o.Recovery, err = worm.ParseRecoveryKey(private); err != nil {
		return err
	}
	for _, f := range c.Seen {
		raw, err := readProof(f)
		if err != nil {
			return err
		}
		o.Seen = append(o.Seen, raw)
	}
	r, err := cordon.Restore(ctx, o)
	if err != nil {
		return unrestored(err)
	}
	c.show(r, s)
	return nil
}

// unrestored says what to do about it.
func unrestored(err error) error {
	var lost *cordon.Lost
	switch {
	case errors.As(err, &lost) && lost.Orderly:
		return withHint(coded{err, notHeld}, "--ended says that it was not, if you know it; --seen=FILE adds a checkpoint that others hold; --accept-loss=0 begins a new log, whose first entry holds the old one's checkpoint")
	case errors.As(err, &lost):
		return withHint(coded{err, notHeld}, fmt.Sprintf("find the old machine's disk, if it is anywhere; --seen=FILE adds a checkpoint that others hold; --accept-loss=%d begins a new log, whose first entry holds the old one's checkpoint", lost.Missing))
	case errors.Is(err, syscall.ENOSPC):
		return withHint(err, "the disk is full; what had been written is removed again: make room, or name another place with --dir")
	case errors.Is(err, syscall.EROFS), errors.Is(err, os.ErrPermission):
		return withHint(err, "the folder cannot be written: name another place with --dir, or run this as the user that the node runs as")
	case errors.Is(err, worm.ErrNoKeys):
		return withHint(coded{err, notHeld}, "is it the recovery key whose public half stood in log.worm.recovery_key?")
	}
	return err
}

// show says what came back.
func (c *restoreLog) show(r cordon.Restoration, s streams) {
	fmt.Fprintf(s.out, "log        %s\nentries    %d, root %s, all of them verified\nkeys       the node's keys, salts of %d days, %d people\n", r.Origin, r.Entries, r.Root, r.Salts, r.People)
	for _, name := range r.Strange {
		fmt.Fprintf(s.out, "note       %s is no checkpoint of this log: somebody else wrote it\n", name)
	}
	for _, name := range r.Odd {
		fmt.Fprintf(s.out, "note       somebody put something in front of %s: its oldest version was taken\n", name)
	}
	if r.Forgotten > 0 {
		fmt.Fprintf(s.out, "note       %d references that were to be forgotten were destroyed once more\n", r.Forgotten)
	}
	if c.Check {
		fmt.Fprintln(s.out, "checked    it is removed again: nothing was signed")
		return
	}
	for _, what := range r.Unfiled {
		fmt.Fprintf(s.out, "SUSPENDED  %s, by the log, and not by the suspensions file: bring that file before the node starts; without any the node goes by the log\n", what)
	}
	for _, who := range r.Seen {
		fmt.Fprintf(s.out, "seen       %s\n", who)
	}
	if r.Mode == "new_log" {
		fmt.Fprintf(s.out, "LOST       %d entries are known to be missing\nnew log    %s: give its key to witnesses and auditors; the old log lies in %s/before\nnew key    %s\n", r.Missing, r.NewOrigin, r.Dir, r.NewKey)
	} else {
		fmt.Fprintf(s.out, "goes on    under the same name and key: never start the old machine again\n")
	}
	fmt.Fprintf(s.out, "written    %s: cordon run -c %s\n", r.Dir, c.Config)
}

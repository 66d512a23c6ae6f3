package cordon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/state"
)

// appendTimeout is how long an entry may take until the log counts as down. A shared disk may stall for seconds; a call must not wait longer.
const appendTimeout = 4 * time.Second

// openGround opens keys, log, pseudonyms, intents and state: what every room stands on.
func (n *Node) openGround(ctx context.Context) error {
	n.refusals = newRefusals(n)
	n.archive = &archive{node: n}
	var err error
	if n.logWatch, err = newLogWatch(n); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if n.clock, err = newClockWatch(n); err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if n.opts.Memory {
		return n.groundInMemory()
	}
	dir := n.opts.Config.StateDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("state folder: %w", err)
	}
	if n.keys, err = loadKeys(filepath.Join(dir, "keys")); err != nil {
		return err
	}
	if n.origin, err = origin(dir, n.opts.Config); err != nil {
		return fmt.Errorf("name of the log: %w", err)
	}
	if n.log, n.crashed, err = audit.Open(ctx, n.logConfig(filepath.Join(dir, "log"))); err != nil {
		return fmt.Errorf("open the log: %w", err)
	}
	// The key that checks the log lies beside it, so that whoever gets the folder can verify it.
	if err := os.WriteFile(filepath.Join(dir, "log.vkey"), []byte(n.log.VerifierKey()+"\n"), 0o644); err != nil {
		return fmt.Errorf("verifier key: %w", err)
	}
	if n.names, err = audit.OpenPseudonyms(filepath.Join(dir, "pseudonyms"), n.keys.derive("pseudonyms")); err != nil {
		return fmt.Errorf("open the pseudonyms: %w", err)
	}
	if n.intents, err = audit.OpenIntents(filepath.Join(dir, "intents")); err != nil {
		return fmt.Errorf("open the intents: %w", err)
	}
	if n.kv, err = state.Open(ctx, state.Config{Dir: filepath.Join(dir, "state"), Node: n.opts.Config.File.Node.Name}); err != nil {
		return fmt.Errorf("open the state: %w", err)
	}
	return nil
}

func (n *Node) groundInMemory() error {
	var err error
	n.origin = originOf(n.opts.Config)
	if n.keys, err = newKeys(); err != nil {
		return err
	}
	if n.log, err = audit.Memory(n.logConfig("")); err != nil {
		return err
	}
	n.names = audit.MemoryPseudonyms(n.keys.derive("pseudonyms"))
	n.intents = audit.MemoryIntents()
	n.kv = state.Memory()
	return nil
}

func (n *Node) logConfig(dir string) audit.Config {
	f := &n.opts.Config.File
	var clock func() audit.Clock // in memory nobody measured anything
	if !n.opts.Memory {
		clock = kernelClock(osnet.NewClock(time.Second))
	}
	return audit.Config{
		Clock: clock,
		Dir:   dir, Signer: n.keys.signer(), Outgoing: n.keys.before(), Keys: n.keys.chain, Origin: n.origin,
		Refuse: n.logRefuses,
		Tenant: f.Tenant.OrgID, Node: f.Node.Name, Software: n.opts.Software, Reserve: n.opts.Config.Log.Reserve, AppendTimeout: appendTimeout,
	}
}

// kernelClock says in each entry how good its time is.
func kernelClock(c *osnet.ClockCache) func() audit.Clock {
	return func() audit.Clock {
		r := c.Reading()
		return audit.Clock{Source: r.Source, OffsetMS: r.OffsetMS, MaxErrorMS: r.MaxErrorMS}
	}
}

// openPolicy puts the first snapshot in force: from here on there is a fence.
func (n *Node) openPolicy(ctx context.Context) error {
	n.policy = newPolicyKeeper(n, n.opts.Config)
	var err error
	if n.endings, err = newEndings(n); err != nil {
		return err
	}
	return n.policy.load(ctx)
}

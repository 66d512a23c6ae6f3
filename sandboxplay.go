package cordon

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/proof"
	"github.com/cordonsip/cordon/drill"
)

// playSandbox plays in a sandbox beside this node, which notices nothing but a busier machine. Of the sandbox's folder stays what sandboxPlayed names: its log is the evidence. An
// error says that nothing was played.
func (n *Node) playSandbox(ctx context.Context, ask drillAsk, stop <-chan string, told func(drill.Step)) (drillPlayed, error) {
	dir, done, err := n.sandboxDir(ask.ID)
	if err != nil {
		return drillPlayed{}, fmt.Errorf("cordon: sandbox: %w", err)
	}
	defer done()
	s, err := openSandbox(ctx, n.cfg.Load(), sandboxOptions{Net: n.opts.Net, Dir: dir, Memory: n.opts.Memory, Software: n.opts.Software})
	if err != nil {
		return drillPlayed{}, err
	}
	out, err := s.play(ctx, ask, stop, told)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), sandboxClose)
	defer cancel()
	if e := s.close(closing); e != nil {
		n.logger.Warn("the end of a sandbox", "drill", ask.ID, "error", e)
	}
	if !n.opts.Memory {
		out.Log = s.stage.Config.StateDir
		if out.Sealed = s.sealed(); out.Sealed == "" {
			n.logger.Warn("the log of a sandbox has no checkpoint that could be read: its report cannot tell it from another log", "drill", ask.ID)
		}
	}
	return out, err
}

// sealed is the newest checkpoint of the log of a sandbox that is over; "": there is none that its key signed.
func (s *sandbox) sealed() string {
	keys, err := proof.NewKeys(s.node.log.Keys(), nil, 0)
	if err != nil {
		return ""
	}
	c, err := audit.OpenCopy(filepath.Join(s.stage.Config.StateDir, "log"), keys)
	if err != nil {
		return ""
	}
	return string(c.Checkpoint())
}

// sandboxDir makes the folder of a sandbox: beside the state of this node, of which done leaves what sandboxPlayed names; or for a node in memory one that done takes away.
func (n *Node) sandboxDir(id string) (dir string, done func(), err error) {
	if n.opts.Memory {
		dir, err = os.MkdirTemp("", "sandbox")
		return dir, func() { _ = os.RemoveAll(dir) }, err // a folder of the system's for what is left behind
	}
	dir = filepath.Join(n.sandboxesDir(), id)
	if err = os.MkdirAll(filepath.Dir(dir), 0o700); err == nil {
		err = os.Mkdir(dir, 0o700) // never into one that is there: its log is evidence
	}
	return dir, func() {
		if _, e := sweepSandbox(dir, sandboxPlayed); e != nil {
			n.logger.Warn("something of a sandbox could not be removed; its clean-up and the next start try again", "drill", id, "error", e)
		}
	}, err
}

// sandboxClose bounds the end of a sandbox.
const sandboxClose = 30 * time.Second

// play waits until everything of the sandbox is up, and plays on its node, with stand-ins for people at its gate. A play that was bound to production fits as it is: all
// names are the same, and so is the law.
func (s *sandbox) play(ctx context.Context, ask drillAsk, stop <-chan string, told func(drill.Step)) (drillPlayed, error) {
	if err := s.ready(ctx); err != nil {
		return drillPlayed{}, err
	}
	ask.Start = s.node.log.Size()
	attending, leave := context.WithCancel(ctx)
	var people sync.WaitGroup
	people.Go(func() { s.attend(attending, ask.Play) })
	defer people.Wait()
	defer leave()
	return s.node.playDrill(ctx, ask, stop, told)
}

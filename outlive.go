package cordon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/state/book"
)

// ErrEndCalls as the cause of the end of Run's context ends the calls that are up, although they could go on.
var ErrEndCalls = errors.New("asked to end all calls")

// leaveWithin is how long a stop that leaves calls up waits for what is under way in them.
const leaveWithin = 10 * time.Second

// sameTime is how far back from the last write of the book the log is searched for receipts of calls that are in it: one that came before would have taken the call out.
const sameTime = time.Minute

// openCalls opens the book of calls, where their media outlives us.
func (n *Node) openCalls(c *configs.Config) error {
	if n.media == nil {
		if c.Restart.Must {
			return errors.New("restart.calls: keep: calls go on only where media is a process of its own (media.inprocess: false)")
		}
		return nil
	}
	var err error
	n.calls, err = book.Open(book.Config{Path: filepath.Join(c.StateDir, "calls"), Logger: n.logger.With("room", "state")})
	if err != nil {
		return fmt.Errorf("open the book of calls: %w", err)
	}
	if aside := n.calls.Aside(); aside != "" {
		n.logger.Error("the book of calls is of another version: no call is taken up, and their media ends", "moved_to", aside)
	}
	for _, r := range n.calls.Left() {
		n.left = append(n.left, sip.Kept(r))
	}
	return nil
}

// outlives is that for the edge.
func (n *Node) outlives() sip.Outlive {
	if n.calls == nil {
		return sip.Outlive{}
	}
	return sip.Outlive{Book: n.calls, Save: (*media.Session).Save, Readopt: n.relay.Readopt, Told: (*media.Session).Told, Said: (*media.Session).Said}
}

// keeps says whether a stop leaves the calls up.
func (n *Node) keeps(why error) bool {
	return n.calls != nil && !n.cfg.Load().Restart.End && !errors.Is(why, ErrEndCalls)
}

// lost are the calls that had no receipt at the end of the last run and are in no book: nobody tells of them but a gap.
func (n *Node) lost() []string {
	known := map[string]bool{}
	for _, ref := range sip.KeptRefs(n.left) {
		known[ref] = true
	}
	return slices.DeleteFunc(n.intents.Open(), func(ref string) bool { return known[ref] })
}

// resume takes up the calls of the last run: the gate's grants are in force again, and nothing is served yet.
func (n *Node) resume(ctx context.Context) error {
	if n.calls == nil {
		return nil
	}
	if n.upgraded != nil {
		if _, err := n.log.Append(ctx, *n.upgraded); err != nil {
			return err
		}
		n.upgraded = nil
	}
	list := n.left
	n.left = nil
	var recorded map[string]bool
	if len(list) > 0 {
		var err error
		if recorded, err = audit.Receipted(ctx, n.log, n.calls.Written().Add(-sameTime)); err != nil {
			return err
		}
	}
	r := n.edge.Restore(list, func(ref string) bool { return recorded[ref] })
	if legs := n.relay.Settle(); legs > 0 {
		n.logger.Warn("media: legs of the last run end: nobody knows their calls", "legs", legs)
	}
	if len(list) == 0 && n.calls.Damage() == 0 {
		return nil
	}
	n.logger.Info("calls of the last run", "up", r.Calls, "ended", r.Ended, "records", r.Records, "unread", r.Unread, "damaged_bytes", n.calls.Damage())
	_, err := n.log.Append(ctx, audit.NodeResumed{Calls: r.Calls, Ended: r.Ended, Records: r.Records, Unread: r.Unread, Damage: n.calls.Damage()})
	return err
}

// drain refuses new calls and waits for the live ones, or where they are kept for what is under way in them.
func (n *Node) drain(ctx context.Context, most time.Duration, why error) (left int) {
	left = len(n.edge.Calls())
	wait, within := n.edge.Drain, most
	if n.keeps(why) {
		wait, within = n.edge.Leave, min(leaveWithin, max(most, time.Second))
		defer func() {
			if left > 0 { // what carries their packets goes on
				n.relay.Leave()
				n.media.Leave()
			}
		}()
	}
	if within <= 0 || len(n.stages) == 0 {
		return left
	}
	dctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	if err := wait(dctx); err != nil {
		n.logger.Warn("calls were still up, or changing, when the drain time ended", "calls", len(n.edge.Calls()))
	}
	return len(n.edge.Calls())
}

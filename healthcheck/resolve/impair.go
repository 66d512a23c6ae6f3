package resolve

import (
	"context"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
)

// meets lets a question meet what a drill takes away, as if it were the servers' doing: they fail at once, answer late, or not at all. nil: they are asked. It joins no other
// question, which may be of a party that nothing is taken from.
func (r *Resolver) meets(ctx context.Context, party string) error {
	if r.cfg.Impaired == nil {
		return nil
	}
	e := r.cfg.Impaired(party)
	if e.Nothing() {
		return nil
	}
	fails, wait := fmt.Errorf("%w; a drill: %w: SERVFAIL", ErrNoAnswer, errBadReply), e.Delay
	switch {
	case e.Kind == impair.Blackhole, e.Delay >= r.cfg.Timeout: // each server in turn is waited for, and none is heard in time
		fails, wait = fmt.Errorf("%w; a drill: %w", ErrNoAnswer, context.DeadlineExceeded), time.Duration(len(r.cfg.Servers))*r.cfg.Timeout
	case e.Kind == impair.None:
		fails = nil
	}
	if wait > 0 {
		late := time.NewTimer(wait)
		defer late.Stop()
		select {
		case <-late.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fails
}

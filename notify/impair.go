package notify

import (
	"context"
	"errors"
	"fmt"

	"github.com/cordonsip/cordon/internal/impair"
)

// errDrill is an attempt that a drill took away: the receiver was not asked, so it is no attempt that counts.
var errDrill = errors.New("a drill has taken the channel away")

// meets has an attempt meet what a drill takes away of its channel: it fails, hangs until ctx ends, or is late. nil: it may go on.
func (f *Follower) meets(ctx context.Context, channel string) error {
	if f.c.Impaired == nil {
		return nil
	}
	e := f.c.Impaired(channel)
	if e.Nothing() {
		return nil
	}
	if e.Kind == impair.Blackhole {
		<-ctx.Done()
	}
	Pause(ctx, e.Delay)
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", errDrill, ctx.Err())
	case e.Kind != impair.None:
		return errDrill
	}
	return nil
}

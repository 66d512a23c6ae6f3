package notify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
)

// errDrill is an attempt that a drill took away: the receiver was not asked, so it is no attempt that counts.
var errDrill = errors.New("a drill has taken the channel away")

// lookAgain is how soon an attempt that a drill holds up notices that its channel is back: what is real must not wait for the end of an exercise.
const lookAgain = time.Second

// meets has an attempt meet what a drill takes away of its channel: it fails, hangs for as long as that lasts and an attempt may, or is late. nil: it may go on, and has all of its
// time.
func (f *Follower) meets(ctx context.Context, channel string) error {
	if f.c.Impaired == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.c.SendTimeout)
	defer cancel()
	for start, hung := time.Now(), false; ; {
		e := f.c.Impaired(channel)
		late := e.Delay - time.Since(start)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("%w: %w", errDrill, ctx.Err())
		case e.Kind == impair.Blackhole:
			late, hung = lookAgain, true
		case late > 0:
		case hung || e.Kind != impair.None: // what hung has spent its time
			return errDrill
		default:
			return nil
		}
		Pause(ctx, min(late, lookAgain))
	}
}

package audit

import "context"

// followStep is how many entries a follower reads at once: one bundle.
const followStep = 256

// Follow hands every entry from index from on to f, in order, and waits for more until ctx ends. It returns what f returned, or the
// cause of ctx, or the error of a read; f knows from Entry.Seq where to go on.
func Follow(ctx context.Context, l Log, from uint64, f func(Entry) error) error {
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		more := l.Grown(from)
		entries, err := l.Entries(ctx, from, followStep)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if err := f(e); err != nil {
				return err
			}
			from = e.Seq + 1
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
		if len(entries) > 0 {
			continue
		}
		select {
		case <-more:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

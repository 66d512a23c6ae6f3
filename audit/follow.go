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

// Pick gives the entries of wanted kinds among the next max entries from index from on, and the index behind the last one that it looked at:
// from itself when there is none yet.
func Pick(ctx context.Context, l Log, from uint64, max int, wanted func(Kind) bool) (picked []Entry, next uint64, err error) {
	if s, ok := l.(*spine); ok {
		if n := min(uint64(max), s.Size()-min(from, s.Size())); n > 0 {
			if picked = s.recent.list(from, n, wanted); picked != nil {
				return picked, from + n, nil
			}
		}
	}
	all, err := l.Entries(ctx, from, max)
	if err != nil {
		return nil, from, err
	}
	for _, e := range all {
		if wanted(e.Kind) {
			picked = append(picked, e)
		}
	}
	return picked, from + uint64(len(all)), nil
}

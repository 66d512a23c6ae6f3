package cordon

import (
	"context"
	"slices"
	"time"

	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
)

// drilled are the instruments that a drill has struck. They are in no overlay, no state and no entry law.suspended: nobody suspended anything. What they do to the
// snapshot is what a suspension does, the leaves of running calls included, so that the law is only ever narrower; and it ends with the lease.
type drilled struct {
	ids   []string // sorted
	since time.Time
	until time.Time
}

// strike is WithStrikes with what the drill struck beside what is suspended.
func (d drilled) strike(s *sovereign.Snapshot, law *configs.LawPart, overlay []sovereign.Suspension, e effects, cuts []sovereign.Sever) *sovereign.Snapshot {
	if len(d.ids) > 0 {
		overlay = slices.Clone(overlay)
		for _, id := range d.ids {
			overlay = append(overlay, sovereign.Suspension{Instrument: id, Since: d.since, Reason: "a drill"})
		}
		e = e.with(overlay, d.since)
	}
	return s.WithStrikes(overlay, e.leaves(law, overlay, cuts), cuts)
}

// drill strikes exactly these instruments until a moment; none gives all back. It takes effect before it returns, and waits for no more than another swap.
func (k *policyKeeper) drill(ids []string, until time.Time) {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drilled.until = until
	if slices.Equal(ids, k.drilled.ids) {
		return
	}
	k.drilled.ids, k.drilled.since = ids, time.Now()
	k.put(k.restruck())
	select {
	case k.drills <- struct{}{}:
	default:
	}
}

// lapse gives back what nobody holds any more.
func (k *policyKeeper) lapse() {
	k.mu.Lock()
	over := len(k.drilled.ids) > 0 && !time.Now().Before(k.drilled.until)
	k.mu.Unlock()
	if over {
		k.drill(nil, time.Time{})
	}
}

// struckByDrill says whether anything is.
func (k *policyKeeper) struckByDrill() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.drilled.ids) > 0
}

// tellDrill writes down that the law is another one for the time of a drill, and ends the tickets that people decide under the law of before.
func (k *policyKeeper) tellDrill(ctx context.Context) {
	k.after(ctx, "drill")
	k.invalidate(ctx, "a drill struck an instrument or gave it back", otherFacts(k.node.fence.Snapshot()))
}

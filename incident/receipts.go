package incident

import (
	"slices"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// coverFor is how long after its end an incident is looked for: a call that it fell upon may last that long.
const coverFor = 24 * time.Hour

// cover is what receipts ask of one incident. It does not change.
type cover struct {
	id      string
	rule    Rule
	parties []string
	windows []Window
}

// covers are the incidents that calls of today may have fallen into, oldest first. What happened to no call, a breach of residency or a review that is owed, covers none.
func (b *book) covers(now time.Time) []cover {
	var out []cover
	for _, i := range b.Incidents {
		if i.Rule == Violation || i.Rule == BreakGlass || !i.Lasts() && now.Sub(i.Restored()) > coverFor {
			continue
		}
		out = append(out, cover{i.ID, i.Rule, slices.Clone(i.Parties), slices.Clone(i.Windows)})
	}
	return out
}

// Of gives the incident that a call fell into by what its receipt says so far, or "": one that lasted while the call did, and that is about a party of the call, about no party, or, where the
// call took another way than the usual one, about a region that was down. The oldest counts, one about a party first. An incident that is opened when the receipt is written already
// is not in it. It takes one load and no lock.
func (f *Follower) Of(r *audit.Receipt) string {
	list := f.covered.Load()
	if list == nil || len(*list) == 0 || !unplanned(r.Purpose) || r.Drill != "" {
		return ""
	}
	other := ""
	for i := range *list {
		c := &(*list)[i]
		if !c.during(r.TInvite, r.TEnd) {
			continue
		}
		if c.about(r) {
			return c.id
		}
		moved := c.rule == RegionDown && (r.RouteReason == "auto_failover" || r.RouteReason == "gated_failover")
		if other == "" && (moved || len(c.parties) == 0) {
			other = c.id
		}
	}
	return other
}

func (c *cover) during(from, to time.Time) bool {
	for _, w := range c.windows {
		if !w.From.After(to) && (w.To.IsZero() || !w.To.Before(from)) {
			return true
		}
	}
	return false
}

// about says whether a party of the call, or one that was tried for it, is the incident's.
func (c *cover) about(r *audit.Receipt) bool {
	for _, p := range c.parties {
		if p == r.Trunk || p == r.EdgeGroup {
			return true
		}
		for i := range r.Attempts {
			if a := &r.Attempts[i]; a.Party == p && !a.At.IsZero() {
				return true
			}
		}
	}
	return false
}

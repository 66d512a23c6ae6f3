package gate

import (
	"context"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// Review records what a person found of a grant that is over. It pays what a break-glass owes (REVIEWED). Any other grant keeps its state: that says how it ended, and
// a review does not change that.
func (g *Gate) Review(ctx context.Context, ticket, person string, v approval.PostReview) (approval.Ticket, error) {
	who, err := g.settings.Load().person(person)
	if err != nil {
		return approval.Ticket{}, err
	}
	return g.change(ctx, ticket, func(now time.Time, r *approval.Record) (approval.GateChanged, error) {
		v := v
		v.Person, v.At = who, now
		if err := r.Review(v); err != nil {
			return approval.GateChanged{}, err
		}
		return approval.GateChanged{What: approval.Review, By: who, Review: &v, Why: v.Lessons}, nil
	})
}

// Owed counts the reviews that are owed, and those of them that are late.
func (g *Gate) Owed() (due, late int) {
	g.view.Lock()
	defer g.view.Unlock()
	now := g.clock.now()
	for _, w := range g.view.tickets {
		if !w.OwesReview() {
			continue
		}
		due++
		if by := w.Ticket.ReviewBy; !by.IsZero() && !now.Before(by) {
			late++
		}
	}
	return due, late
}

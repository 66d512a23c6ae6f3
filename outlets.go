package cordon

import (
	"context"
	"errors"
	"fmt"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/notify"
)

// outlets shows the notification outlets at the door.
type outlets struct{ n *Node }

var _ admin.Outlets = outlets{}

// Standings implements admin.Outlets.
func (o outlets) Standings() []admin.Outlet {
	out := []admin.Outlet{}
	for _, s := range o.n.notifier.Standings() {
		v := admin.Outlet{Name: s.Name, Behind: s.Behind, Failure: s.Failure, Delivered: s.Delivered, Older: s.Older, Dead: []admin.DeadLetter{}}
		for _, l := range s.Dead {
			v.Dead = append(v.Dead, admin.DeadLetter{
				Entry: l.Entry, Last: l.Last, Kind: string(l.Kind), Count: l.Count, At: l.At, Fenced: l.Fenced, Failure: l.Failure,
			})
		}
		out = append(out, v)
	}
	return out
}

// Test implements admin.Outlets.
func (o outlets) Test(ctx context.Context, name string) ([]admin.OutletAnswer, error) {
	list, err := o.n.notifier.Test(ctx, name)
	out := []admin.OutletAnswer{}
	for _, t := range list {
		out = append(out, admin.OutletAnswer{Outlet: t.Channel, OK: t.Failure == "", Answer: t.Answer, Failure: t.Failure, TookMS: float64(t.Took.Microseconds()) / 1000})
	}
	return out, atTheDoor(err)
}

// Resend implements admin.Outlets.
func (o outlets) Resend(ctx context.Context, name string, entry *uint64, by string) ([]admin.OutletAnswer, error) {
	list, err := o.n.notifier.Resend(ctx, name, entry, o.n.pseudonym(by))
	out := []admin.OutletAnswer{}
	for _, r := range list {
		out = append(out, admin.OutletAnswer{Outlet: r.Channel, Entry: &r.Entry, OK: r.Failure == "", Answer: r.Answer, Failure: r.Failure})
	}
	return out, atTheDoor(err)
}

// atTheDoor gives an error of notify the word that the door knows.
func atTheDoor(err error) error {
	if errors.Is(err, notify.ErrNoOutlet) || errors.Is(err, notify.ErrNotTold) {
		return fmt.Errorf("%w: %w", admin.ErrNoOutlet, err)
	}
	return err
}

package cordon

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/state"
)

// deskKey is where the decisions of people lie in the state, as a shortcut to the log.
const deskKey = "desk.book"

// deskStore keeps the desk's one value.
type deskStore struct{ kv state.KV }

func (s deskStore) Load(ctx context.Context) ([]byte, error) {
	item, err := s.kv.Get(ctx, deskKey)
	if errors.Is(err, state.ErrNotFound) {
		return nil, nil
	}
	return item.Data, err
}

func (s deskStore) Save(ctx context.Context, data []byte) error {
	item, err := s.kv.Get(ctx, deskKey)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return err
	}
	_, err = s.kv.Swap(ctx, deskKey, item.Rev, data)
	return err
}

// buildDesk makes the desk; Start brings back what people decided before.
func (n *Node) buildDesk() (err error) {
	n.desk, err = desk.New(desk.Config{Log: n.log, Store: deskStore{n.kv}, Logger: n.logger.With("room", "routing")})
	return err
}

// roomFor says whether a target's party takes one more call. It is routing's question about capacity: the edge counts, the configuration has the limit.
func (n *Node) roomFor(target string) bool {
	party, _, _ := strings.Cut(target, "/")
	return n.edge == nil || !n.edge.Full(party)
}

// caller lets the checker place synthetic calls through the edge.
type caller struct{ n *Node }

// Call implements healthcheck.Caller. The edge tells health itself what the call met; what is left to say is whether anything came back.
func (c caller) Call(ctx context.Context, t healthcheck.Target, how healthcheck.Call) error {
	r, err := c.n.edge.Place(ctx, sip.Synthetic{From: how.From, Called: how.To, Purpose: sovereign.SyntheticProbe, Hold: how.Hold, Only: t.ID()})
	switch {
	case err != nil:
		return err
	case r.Status < 200 || r.Status > 299:
		return nil // the attempt has told it
	case how.Hold >= time.Second && r.Report.Sides[media.B].RxPackets == 0:
		return errors.New("answered, and no media came")
	case how.Echo && r.Tone.Heard == 0:
		return errors.New("answered, and no echo came back")
	case how.Echo && how.Hold >= 2*time.Second && r.Tone.Echo == 0: // its marks went out after half a second and each second since
		return errors.New("answered with a tone of its own, and no echo came back")
	}
	return nil
}

// released is told of what a person put in service.
func (n *Node) released(name string) { n.checker.Release(name) }

// operators is the part of routing that changes what people decide, with their pseudonyms.
type operators struct{ n *Node }

func (o operators) Book() *desk.Book { return o.n.router.Desk() }

func (o operators) SetService(ctx context.Context, s desk.Service, by string) error {
	s.By = o.n.pseudonym(by)
	return o.n.router.SetService(ctx, s)
}

func (o operators) Switch(ctx context.Context, party string, to sovereign.Region, reason, by string) ([]routing.Switched, error) {
	return o.n.router.Switch(ctx, party, to, reason, o.n.pseudonym(by))
}

func (o operators) Failback(ctx context.Context, route, reason, by string) ([]routing.Switched, error) {
	return o.n.router.Failback(ctx, route, reason, o.n.pseudonym(by))
}

func (o operators) Migrate(ctx context.Context, m desk.Migration, by string) error {
	m.By = o.n.pseudonym(by)
	return o.n.router.Migrate(ctx, m)
}

func (o operators) Rollback(ctx context.Context, route, reason, by string) error {
	return o.n.router.Rollback(ctx, route, reason, o.n.pseudonym(by))
}

var _ admin.Operators = operators{}

// restoreDesk reads what people decided in earlier runs.
func (n *Node) restoreDesk(ctx context.Context) error {
	one, cancel := context.WithTimeout(ctx, 10*time.Minute) // a long log is read whole where the state is lost
	defer cancel()
	return n.desk.Restore(one)
}

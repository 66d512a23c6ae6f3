package cordon

import (
	"context"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

// refusals groups what the fence refused, so that a flood makes counts and not entries.
type refusals struct {
	node *Node
	mu   sync.Mutex
	seen map[refusalKey]uint64
	lost uint64 // refusals beyond the bound, counted without their address

	drill atomic.Pointer[string] // the newest one on this node: nobody else asks with its purpose
}

type refusalKey struct {
	party  string
	plane  sovereign.Plane
	addr   netip.Addr
	ground sovereign.Ground
	drill  string
}

const (
	refusalsKept  = 1024
	refusalsEvery = time.Second
)

func newRefusals(n *Node) *refusals {
	return &refusals{node: n, seen: map[refusalKey]uint64{}}
}

// add is called by the fence for each refusal, from any goroutine.
func (r *refusals) add(a sovereign.Ask, ru sovereign.Ruling) {
	k := refusalKey{a.Party, a.Plane, a.Addr.Addr(), ru.Ground, ""}
	if id := r.drill.Load(); id != nil && a.Purpose == sovereign.Drill {
		k.drill = *id
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.seen[k]; !ok && len(r.seen) >= refusalsKept {
		r.lost++
		return
	}
	r.seen[k]++
}

// Run writes the groups into the log, once a second at most, and the rest when ctx ends.
func (r *refusals) Run(ctx context.Context) error {
	tick := time.NewTicker(refusalsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			r.flush(ctx)
			return nil
		case <-tick.C:
			r.flush(ctx)
		}
	}
}

func (r *refusals) flush(ctx context.Context) {
	r.mu.Lock()
	seen, lost := r.seen, r.lost
	r.seen, r.lost = map[refusalKey]uint64{}, 0
	r.mu.Unlock()
	for k, count := range seen {
		r.append(ctx, audit.FenceRefused{Party: k.party, Plane: k.plane.String(), Addr: k.addr.String(), Ground: string(k.ground), Count: count, Drill: k.drill})
	}
	if lost > 0 {
		r.append(ctx, audit.FenceRefused{Addr: "(more addresses than are kept)", Count: lost})
	}
}

func (r *refusals) append(ctx context.Context, ev audit.FenceRefused) {
	if _, err := r.node.log.Append(context.WithoutCancel(ctx), ev); err != nil {
		r.node.logger.Error("a refusal of the fence could not be logged", "addr", ev.Addr, "ground", ev.Ground, "error", err)
	}
}

package routing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
)

// Restore sends a route back to the party that a drill found it at, at once: the drill took that party away, so its time of stability says nothing. The party must be
// permitted by itself and up. What people decided stays as it is. why stands in the entry.
func (r *Router) Restore(ctx context.Context, name, party, why string) error {
	return r.ask(ctx, func(ctx context.Context) error {
		c := r.rules.Load()
		rt := c.named(name)
		if rt == nil {
			return &NotDone{What: fmt.Sprintf("%q is no route any more", name)}
		}
		was := r.active.Load().routes[name]
		if was.Party == party {
			return nil
		}
		s := r.survey(c, rt, time.Now())
		for i := range s.views {
			v := &s.views[i]
			if v.choice.Party != party || v.grant != "" {
				continue
			}
			if v.best != healthcheck.Up {
				return &NotDone{What: fmt.Sprintf("route %s: %s is %s", name, party, v.best)}
			}
			ep := r.episode(rt)
			r.move(ctx, rt, &look{was: was, move: s.to(v, audit.KindFailback, why)}, ep)
			if r.active.Load().routes[name].Party != party {
				return errors.New("routing: route " + name + ": " + ep.failing)
			}
			return nil
		}
		if f := s.whyNone(func(ch Choice) bool { return ch.Party == party }, "named "+party); f != nil {
			return f
		}
		return &NotDone{Ground: GroundDown, What: fmt.Sprintf("route %s has no way to %s", name, party)}
	})
}

// named finds a route; nil when there is none.
func (c *rules) named(name string) *route {
	for _, rt := range c.routes {
		if rt.Name == name {
			return rt
		}
	}
	return nil
}

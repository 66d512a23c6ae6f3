package cordon

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
)

// views plan calls: production's router does, and beside it, while a canary drill lasts, the drill's. Without one that costs a single atomic load.
type views struct {
	n     *Node
	on    atomic.Pointer[canary]
	rules atomic.Uint64 // counts the changes of what production plans by
}

var _ sip.Planner = (*views)(nil)

// canary is a second view of one route for the time of a drill: a health table and a router of its own, which begin with what production knows. The fence, the law, the
// grants that are live and the log are production's; memory, decisions and metrics are not. A few calls are planned in it; all others, and everything that production
// remembers, are what they would be without it. So it has nothing to give back: when its context ends it is gone, and so it is after a crash.
type canary struct {
	n         *Node
	id, route string
	share     float64 // of the new calls of the route
	most      int64   // calls of the share that are up at once
	rules     uint64  // by which it was made: see views
	up        atomic.Int64
	checker   *healthcheck.Checker
	router    *routing.Router
	logger    *slog.Logger
	end       context.CancelCauseFunc
	life      context.Context
	begun     chan struct{} // closed when calls are planned in it
}

// canaryWant says what a canary drill may touch.
type canaryWant struct {
	Drill, Route string
	Share        float64 // of the new calls of the route, 0 to 1; 0: none but the drill's own
	Cap          int     // of them, how many are up at once
}

// newCanary makes the view. Nothing sees it before run.
func (n *Node) newCanary(w canaryWant) (*canary, error) {
	n.ruling.Lock() // a view of half a reload would be one of two configurations
	defer n.ruling.Unlock()
	var parties []string
	for _, r := range n.router.Rules().Routes {
		if r.Name != w.Route {
			continue
		}
		for _, ch := range r.To {
			parties = append(parties, ch.Party)
		}
		parties = append(parties, r.OnHold.Queue, n.router.Rules().OnHold.Queue)
	}
	switch {
	case w.Drill == "":
		return nil, errors.New("cordon: a canary needs the id of its drill")
	case !(w.Share >= 0 && w.Share <= 1):
		return nil, fmt.Errorf("cordon: canary: %v is no share of calls", w.Share)
	case w.Share > 0 && w.Cap < 1:
		return nil, errors.New("cordon: canary: a share of real calls needs a cap: how many of them may be up at once")
	}
	c := &canary{n: n, begun: make(chan struct{}), id: w.Drill, route: w.Route, share: w.Share, most: int64(w.Cap), rules: n.views.rules.Load(), logger: n.logger.With("drill", w.Drill)}
	var err error
	c.checker, err = n.checker.Shadow(parties, healthcheck.Config{
		Prober: prober{n: n, own: true}, Locate: n.places.locate, Judge: n.judge, Changed: c.healthChanged, Logger: c.logger.With("room", "healthcheck"),
	})
	if err == nil {
		c.router, err = n.router.Shadow(routing.Shadow{Drill: w.Drill, Route: w.Route, Table: c.checker.Table, Logger: c.logger.With("room", "routing")})
	}
	if err != nil {
		return nil, fmt.Errorf("cordon: canary: %w", err)
	}
	c.life, c.end = context.WithCancelCause(context.Background())
	return c, nil
}

// beside begins the view and gives it once calls are planned in it. It lasts until ctx ends; ended is told if it ends before. over waits until nothing of it is left.
func (c *canary) beside(ctx context.Context, ended func(error)) (over func(), err error) {
	left, failed := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(left)
		err := c.run(ctx)
		failed <- err
		if err != nil {
			ended(err)
		}
	}()
	select {
	case <-c.begun:
		return func() { <-left }, nil
	case err := <-failed:
		<-left
		return nil, err
	}
}

// errCanaryBusy: one drill at a time.
var errCanaryBusy = errors.New("cordon: another canary drill is under way")

// run is the view for as long as ctx lasts, and returns when nothing of it is left. The error says what ended it earlier.
func (c *canary) run(ctx context.Context) error {
	v := c.n.views
	if !v.on.CompareAndSwap(nil, c) {
		return errCanaryBusy
	}
	if c.rules != v.rules.Load() { // whoever changes them from here on finds it
		v.on.CompareAndSwap(c, nil)
		return errRules
	}
	close(c.begun)
	defer context.AfterFunc(ctx, func() { c.end(nil) })()
	var rooms sync.WaitGroup
	for name, room := range map[string]func(context.Context) error{"healthcheck": c.checker.Run, "routing": c.router.Run} {
		rooms.Go(func() {
			if err := room(c.life); err != nil {
				c.end(fmt.Errorf("cordon: canary: %s: %w", name, err))
			}
		})
	}
	<-c.life.Done()
	v.on.CompareAndSwap(c, nil)
	rooms.Wait()
	if err := context.Cause(c.life); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Plan implements sip.Planner.
func (v *views) Plan(req routing.Request) routing.Plan {
	if c := v.on.Load(); c != nil {
		return c.plan(req)
	}
	return v.n.router.Plan(req)
}

// plan answers a call of the drill's own in its view, and any other as production would: that one decides whose route it is, and whether somebody calls for help.
func (c *canary) plan(req routing.Request) routing.Plan {
	if req.Purpose == sovereign.Drill {
		return c.router.Plan(req)
	}
	plan := c.n.router.Plan(req)
	if plan.Purpose != sovereign.Production || plan.Route != c.route || req.Message || len(plan.Hops) == 0 {
		return plan
	}
	chosen := c.chooses(req.CallID)
	if !chosen && req.Drill != c.id {
		return plan
	}
	own := c.router.Plan(req)
	if len(own.Hops) == 0 {
		if chosen {
			c.up.Add(-1)
		}
		return plan // a caller who does not know of the drill is not refused for it
	}
	for _, h := range plan.Hops { // behind the drill's own way comes production's: nobody loses a call to an exercise
		if !h.Trial { // that one call is production's
			own.Hops = append(own.Hops, h)
		}
	}
	return own
}

// chooses says whether a new call is one of the share, and counts it in.
func (c *canary) chooses(callID string) bool {
	if callID == "" || draw(c.id, callID) >= c.share {
		return false
	}
	if c.up.Add(1) > c.most {
		c.up.Add(-1)
		return false
	}
	return true
}

// draw is where a call stands for a drill, from 0 to below 1: the first 53 bits of the SHA-256 of the drill's id, a zero byte and the Call-ID. It is the same on every
// node, and a caller who does not know the id cannot choose it.
func draw(drill, callID string) float64 {
	h := sha256.Sum256([]byte(drill + "\x00" + callID))
	return float64(binary.BigEndian.Uint64(h[:8])>>11) / (1 << 53)
}

// left is told of each chosen call that has ended or never began.
func (v *views) left(drill string) {
	if c := v.of(drill); c != nil {
		c.up.Add(-1)
	}
}

// of gives the view of a drill; nil when it is over.
func (v *views) of(drill string) *canary {
	if c := v.on.Load(); c != nil && c.id == drill {
		return c
	}
	return nil
}

// outcome tells health what a call met: that of the view that planned it. What a drill's calls met when it is over is nobody's.
func (v *views) outcome(o healthcheck.Outcome) {
	if o.Drill == "" {
		v.n.checker.Outcome(o)
	} else if c := v.of(o.Drill); c != nil {
		c.checker.Outcome(o)
	}
}

// try takes the one call that a half-open target may get, in the view that planned the call.
func (v *views) try(target, drill string) bool {
	if drill == "" {
		return v.n.checker.Try(target)
	}
	c := v.of(drill)
	return c != nil && c.checker.Try(target)
}

// bound and enrolled tell both views what parties registered, and how our own registrations stand.
func (v *views) bound(party string, list []healthcheck.Bound) {
	v.n.checker.Bind(party, list)
	if c := v.on.Load(); c != nil {
		c.checker.Bind(party, list)
	}
}

func (v *views) enrolled(target string, ok bool, why string) {
	v.n.checker.Enrolled(target, ok, why)
	if c := v.on.Load(); c != nil {
		c.checker.Enrolled(target, ok, why)
	}
}

// errRules ends a view whose rules are no longer production's.
var errRules = errors.New("cordon: canary: the configuration changed")

// changed ends the view, and one that is being made: what production does now is not what the drill began with. No call is planned in it from here on. Node.ruling is held.
func (v *views) changed() {
	v.rules.Add(1)
	if c := v.on.Load(); c != nil {
		v.on.CompareAndSwap(c, nil)
		c.end(errRules)
	}
}

// healthChanged is Node.healthChanged for the view: its router hears of it, and the log has it as the drill's.
func (c *canary) healthChanged(t healthcheck.Transition) {
	c.router.Transition(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	ev := audit.HealthChanged{Target: t.Target.ID(), Party: t.Target.Party, From: t.From.String(), To: t.To.String(), Why: t.Why, Drill: c.id}
	if _, err := c.n.log.Append(ctx, ev); err != nil {
		c.logger.Error("a change of health could not be logged", "target", ev.Target, "to", ev.To, "error", err)
	}
}

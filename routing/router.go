package routing

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// Router answers Plan and keeps the active groups. Safe for concurrent use.
type Router struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	rules   atomic.Pointer[rules]
	active  atomic.Pointer[actives]
	memo    atomic.Pointer[memo]
	drafts  atomic.Pointer[drafts]

	inbox struct {
		sync.Mutex
		pending map[string]*healthcheck.Transition // by target; several changes of one become one
		order   []string
	}
	wake     chan struct{}
	orders   chan order
	episodes map[string]*episode // by route; Run's alone
}

// actives is one immutable view of what is active and what is nearest. Plan reads it for order and reasons, never for what is lawful.
type actives struct {
	routes  map[string]Active
	nearest map[nearKey]string
}

// nearKey names one set of equals: the choices of a route at one priority, or the targets of a party.
type nearKey struct {
	name     string
	priority int
}

// targets in the place of a priority marks a set of targets.
const targets = -1

// Active is the party that a route uses now.
type Active struct {
	Route  string
	Party  string // "" when nothing lawful is left
	Since  time.Time
	Reason RouteReason
	Held   bool   // nothing lawful is left, and a ticket waits for people
	Ticket string // of the held state, or of the grant that Party is used under
	Why    string
}

// New checks the rules and starts nothing.
func New(c Config) (*Router, error) {
	if c.Table == nil || c.Snapshot == nil || c.Log == nil {
		return nil, errors.New("routing: Table, Snapshot and Log are required")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, fmt.Errorf("routing: register metrics: %w", err)
	}
	r := &Router{cfg: c, log: c.Logger, metrics: m, wake: make(chan struct{}, 1), orders: make(chan order), episodes: make(map[string]*episode)}
	r.inbox.pending = make(map[string]*healthcheck.Transition)
	r.active.Store(&actives{})
	if err := r.Reload(c.Rules); err != nil {
		return nil, err
	}
	return r, nil
}

// Reload replaces the rules. Routes that stay keep their active party; the old rules stay on error, which joins one *Problem for each mistake.
func (r *Router) Reload(n Rules) error {
	c, err := compile(n)
	if err != nil {
		return err
	}
	r.rules.Store(c)
	r.Poke()
	return nil
}

// Check says what is wrong with rules, without a Router.
func Check(n Rules) error {
	_, err := compile(n)
	return err
}

// Active gives what each route uses now. The map is not to be changed.
func (r *Router) Active() map[string]Active { return r.active.Load().routes }

// Poke asks Run to look at every route again (a grant began or ended, the policy was swapped). It never blocks.
func (r *Router) Poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Transition is told of each change of health; it never blocks. Run works on them in order. Several changes of one target that Run has not yet seen
// become one.
func (r *Router) Transition(t healthcheck.Transition) {
	id := t.Target.ID()
	r.inbox.Lock()
	if p := r.inbox.pending[id]; p != nil {
		p.To, p.At, p.Why, p.Target = t.To, t.At, t.Why, t.Target
	} else {
		r.inbox.pending[id] = &t
		r.inbox.order = append(r.inbox.order, id)
	}
	r.inbox.Unlock()
	r.Poke()
}

func (r *Router) drain() []healthcheck.Transition {
	r.inbox.Lock()
	defer r.inbox.Unlock()
	list := make([]healthcheck.Transition, 0, len(r.inbox.order))
	for _, id := range r.inbox.order {
		list = append(list, *r.inbox.pending[id])
	}
	clear(r.inbox.pending)
	r.inbox.order = r.inbox.order[:0]
	return list
}

func (r *Router) grants() []approval.Grant {
	if r.cfg.Gate == nil {
		return nil
	}
	return r.cfg.Gate.Grants()
}

func (r *Router) table() *healthcheck.Table {
	if t := r.cfg.Table(); t != nil {
		return t
	}
	return &healthcheck.Table{}
}

func (r *Router) left(grant string) int {
	if r.cfg.Gate == nil {
		return 0
	}
	return r.cfg.Gate.Left(grant)
}

// law gives the snapshot in force, with its memory. No snapshot is a law too: one that denies everything.
func (r *Router) law() law {
	s := r.cfg.Snapshot()
	if s == nil {
		return noLaw{}
	}
	m := r.memo.Load()
	if m == nil || m.Snapshot != s {
		m = newMemo(s)
		r.memo.Store(m)
	}
	return m
}

// noLaw is what holds before the first snapshot.
type noLaw struct{}

func (noLaw) Judge(a sovereign.Ask) (*sovereign.Ruling, time.Time) {
	r := (*sovereign.Snapshot)(nil).Judge(a)
	return &r, a.At
}

func (n noLaw) JudgeParty(string, sovereign.Plane, sovereign.Purpose, time.Time) (*sovereign.Ruling, time.Time) {
	return n.Judge(sovereign.Ask{})
}

func (noLaw) Country(sovereign.Region) string { return "" }
func (noLaw) PolicyDigest() string            { return "" }
func (noLaw) Generation() uint64              { return 0 }
func (n noLaw) Bare() law                     { return n }

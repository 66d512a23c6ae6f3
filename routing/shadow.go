package routing

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/cordonsip/cordon/healthcheck"
)

// Shadow is what a second view needs beside the Router that it stands next to.
type Shadow struct {
	Drill  string // id of the drill: plans, hops and entries carry it
	Route  string // the one that is exercised; the view knows no other
	Table  func() *healthcheck.Table
	Logger *slog.Logger // nil: the Router's
}

// Shadow makes a Router for a drill that begins where r stands: the same rules, law, grants and decisions of people, the same active party, and another health
// table. From then on its memory is its own. Its entries say that they are of the drill; it registers no metric, and it asks nobody at the gate: what people open
// for a drill would be open for production. The error says that r has no such route.
func (r *Router) Shadow(s Shadow) (*Router, error) {
	c := r.cfg
	c.Drill, c.Table, c.Metrics, c.Released, c.Rules = s.Drill, s.Table, nil, nil, alone(r.rules.Load().Rules, s.Route)
	if s.Logger != nil {
		c.Logger = s.Logger
	}
	if len(c.Rules.Routes) == 0 {
		return nil, fmt.Errorf("routing: %q is no route", s.Route)
	}
	second, err := New(c)
	if err != nil {
		return nil, err
	}
	now := r.active.Load()
	begun := &actives{routes: map[string]Active{}, nearest: now.nearest}
	if a, known := now.routes[s.Route]; known {
		begun.routes[s.Route] = a
	}
	second.active.Store(begun)
	return second, nil
}

// alone are rules with one route of them, or with none.
func alone(n Rules, route string) Rules {
	n.Routes = slices.DeleteFunc(slices.Clone(n.Routes), func(rt Route) bool { return rt.Name != route })
	return n
}

// mark says of a plan and its hops whose they are.
func (r *Router) mark(p *Plan) {
	if r.cfg.Drill == "" {
		return
	}
	p.Drill = r.cfg.Drill
	for i := range p.Hops {
		p.Hops[i].Drill = r.cfg.Drill
	}
}

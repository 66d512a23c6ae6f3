package admin

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// Operators is what the door needs of routing to change what is in service. by is the id of a person; the log gets a pseudonym.
type Operators interface {
	Book() *desk.Book
	SetService(ctx context.Context, s desk.Service, by string) error
	Switch(ctx context.Context, party string, to sovereign.Region, reason, by string) ([]routing.Switched, error)
	Failback(ctx context.Context, route, reason, by string) ([]routing.Switched, error)
	Migrate(ctx context.Context, m desk.Migration, by string) error
	Rollback(ctx context.Context, route, reason, by string) error
}

// Severs is the part of the hall that cuts off at once and puts back. by is the id of a person.
type Severs interface {
	Severed() []desk.Cut
	Sever(ctx context.Context, c desk.Cut, by string) error
	PutBack(ctx context.Context, c desk.Cut, by string) error
}

// Unlogged is a cut that is in force although the log could not be written.
type Unlogged struct {
	What string
	Err  error
}

func (e *Unlogged) Error() string {
	return "admin: " + e.What + " is cut off, but the log could not be written: " + e.Err.Error()
}

func (e *Unlogged) Unwrap() error { return e.Err }

// SeverOrder is the body that cuts off, or puts back.
type SeverOrder struct {
	Kind    string `json:"kind"` // trunk | group | region
	Name    string `json:"name"`
	Force   bool   `json:"force,omitempty"`   // emergency calls, too
	Restore bool   `json:"restore,omitempty"` // put it back: another person than the one who severed
	Reason  string `json:"reason"`
}

func (s *Server) sever(w http.ResponseWriter, r *http.Request, id Identity) error {
	var o SeverOrder
	if err := body(r, &o); err != nil {
		return err
	}
	if s.c.Severs == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node takes no such orders"}
	}
	do := s.c.Severs.Sever
	if o.Restore {
		do = s.c.Severs.PutBack
	}
	if err := do(r.Context(), desk.Cut{Kind: o.Kind, Name: o.Name, Force: o.Force && !o.Restore, Reason: o.Reason}, id.Person); err != nil {
		return err
	}
	return writeJSON(w, s.serviceView())
}

// ServiceView is everything that people decided and that is in force.
type ServiceView struct {
	Services   []desk.Service   `json:"services"`
	Pins       []desk.Pin       `json:"switched"`
	Migrations []desk.Migration `json:"migrations"`
	Severed    []desk.Cut       `json:"severed"`
}

func (s *Server) book() *desk.Book {
	if s.c.Operators == nil {
		return &desk.Book{}
	}
	return s.c.Operators.Book()
}

func (s *Server) serviceView() ServiceView {
	b := s.book()
	v := ServiceView{Services: b.List(time.Now()), Pins: []desk.Pin{}, Migrations: []desk.Migration{}, Severed: b.Cuts()}
	for _, k := range slices.Sorted(maps.Keys(b.Pins)) {
		v.Pins = append(v.Pins, b.Pins[k])
	}
	for _, k := range slices.Sorted(maps.Keys(b.Migrations)) {
		v.Migrations = append(v.Migrations, b.Migrations[k])
	}
	return v
}

func (s *Server) services(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, s.serviceView())
}

// noDesk is the answer of a node on which nobody can decide.
func (s *Server) noDesk() error {
	if s.c.Operators == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node takes no such orders"}
	}
	return nil
}

// ServiceOrder is the body that changes an administrative state.
type ServiceOrder struct {
	Kind   string     `json:"kind"` // trunk | group | target | region
	Name   string     `json:"name"`
	State  desk.State `json:"state"`
	Reason string     `json:"reason"`
	Until  time.Time  `json:"until,omitzero"`
}

func (s *Server) setService(w http.ResponseWriter, r *http.Request, id Identity) error {
	var o ServiceOrder
	if err := body(r, &o); err != nil {
		return err
	}
	if err := s.noDesk(); err != nil {
		return err
	}
	err := s.c.Operators.SetService(r.Context(), desk.Service{Kind: o.Kind, Name: o.Name, State: o.State, Reason: o.Reason, Until: o.Until}, id.Person)
	if err != nil {
		return err
	}
	return writeJSON(w, s.serviceView())
}

// SwitchOrder is the body that switches the routes of a party to another region.
type SwitchOrder struct {
	Party  string `json:"party"` // edge group, or trunk of outbound routes
	To     string `json:"to"`    // provider:code
	Reason string `json:"reason"`
}

// SwitchResult lists what changed.
type SwitchResult struct {
	Routes []routing.Switched `json:"routes"`
}

func (s *Server) switchRoutes(w http.ResponseWriter, r *http.Request, id Identity) error {
	var o SwitchOrder
	if err := body(r, &o); err != nil {
		return err
	}
	if err := s.noDesk(); err != nil {
		return err
	}
	to, err := sovereign.ParseRegion(o.To)
	if err != nil {
		return &Problem{Status: http.StatusBadRequest, Title: "to names no region", Hint: "write provider:code, e.g. aws:eu-central-2"}
	}
	done, err := s.c.Operators.Switch(r.Context(), o.Party, to, o.Reason, id.Person)
	return switched(w, done, err)
}

// FailbackOrder is the body that lets routes go back.
type FailbackOrder struct {
	Route  string `json:"route,omitempty"` // "": every route that stands elsewhere
	Reason string `json:"reason"`
}

func (s *Server) failback(w http.ResponseWriter, r *http.Request, id Identity) error {
	var o FailbackOrder
	if err := body(r, &o); err != nil {
		return err
	}
	if err := s.noDesk(); err != nil {
		return err
	}
	done, err := s.c.Operators.Failback(r.Context(), o.Route, o.Reason, id.Person)
	return switched(w, done, err)
}

func switched(w http.ResponseWriter, done []routing.Switched, err error) error {
	if err != nil {
		return err
	}
	if done == nil {
		done = []routing.Switched{}
	}
	return writeJSON(w, SwitchResult{done})
}

// MigrationOrder is the body that sends a part of a route's calls to one party first, or ends that.
type MigrationOrder struct {
	Route    string   `json:"route"`
	To       string   `json:"to,omitempty"`
	Share    float64  `json:"share,omitempty"`  // 0 to 1
	Ranges   []string `json:"ranges,omitempty"` // "+4969*"
	Reason   string   `json:"reason"`
	Rollback bool     `json:"rollback,omitempty"`
}

func (s *Server) migrate(w http.ResponseWriter, r *http.Request, id Identity) error {
	var o MigrationOrder
	if err := body(r, &o); err != nil {
		return err
	}
	if err := s.noDesk(); err != nil {
		return err
	}
	var err error
	if o.Rollback {
		err = s.c.Operators.Rollback(r.Context(), o.Route, o.Reason, id.Person)
	} else {
		err = s.c.Operators.Migrate(r.Context(), desk.Migration{Route: o.Route, Party: o.To, Share: o.Share, Ranges: o.Ranges, Reason: o.Reason}, id.Person)
	}
	if err != nil {
		return err
	}
	return writeJSON(w, s.serviceView())
}

// Plans is many dry runs at once.
type Plans struct {
	Calls []PlanRequest `json:"calls"`
}

// PlansView answers each of them, in order.
type PlansView struct {
	Plans []PlanView `json:"plans"`
}

const maxPlans = 1000

func (s *Server) plans(w http.ResponseWriter, r *http.Request, _ Identity) error {
	var q Plans
	if err := body(r, &q); err != nil {
		return err
	}
	if len(q.Calls) == 0 || len(q.Calls) > maxPlans {
		return &Problem{Status: http.StatusBadRequest, Title: "between 1 and 1000 calls are taken at once"}
	}
	v := PlansView{Plans: make([]PlanView, 0, len(q.Calls))}
	for _, c := range q.Calls {
		if c.At.IsZero() {
			c.At = time.Now()
		}
		v.Plans = append(v.Plans, ViewPlan(s.c.Router.Explain(c.request())))
	}
	return writeJSON(w, v)
}

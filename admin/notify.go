package admin

import (
	"context"
	"errors"
	"net/http"
	"time"
)

// Outlets is what the door needs of the notification outlets. by is the id of a person; the log gets a pseudonym.
type Outlets interface {
	Standings() []Outlet
	Test(ctx context.Context, name string) ([]OutletAnswer, error)
	Resend(ctx context.Context, name string, entry *uint64, by string) ([]OutletAnswer, error)
}

// ErrNoOutlet says that there is no outlet of that name, or that it does not carry that entry.
var ErrNoOutlet = errors.New("admin: no such outlet or entry")

// Outlet is how one way to tell people does.
type Outlet struct {
	Name      string       `json:"name"`
	Behind    uint64       `json:"behind"`            // entries of the log that it has not passed
	Failure   string       `json:"failure,omitempty"` // of its last notice
	Delivered time.Time    `json:"delivered,omitzero"`
	Dead      []DeadLetter `json:"dead_letters"`
	Older     int          `json:"older_dead_letters,omitempty"` // that the list had no room for; the log has them
}

// DeadLetter is a notice that an outlet did not take.
type DeadLetter struct {
	Entry   uint64    `json:"entry"`
	Last    uint64    `json:"last,omitempty"`
	Kind    string    `json:"kind"`
	Count   int       `json:"count"`
	At      time.Time `json:"at"`
	Fenced  bool      `json:"fenced"`
	Failure string    `json:"failure"`
}

// OutletAnswer is what came of one message.
type OutletAnswer struct {
	Outlet  string  `json:"outlet"`
	Entry   *uint64 `json:"entry,omitempty"`
	OK      bool    `json:"ok"`
	Answer  string  `json:"answer,omitempty"` // of the far side
	Failure string  `json:"failure,omitempty"`
	TookMS  float64 `json:"took_ms,omitempty"`
}

// OutletOrder is the body that tests outlets or sends dead letters again. No outlet means all of them, no entry every dead letter.
type OutletOrder struct {
	Outlet string  `json:"outlet,omitempty"`
	Entry  *uint64 `json:"entry,omitempty"`
}

func (s *Server) outlets(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	list := []Outlet{}
	if s.c.Outlets != nil {
		list = s.c.Outlets.Standings()
	}
	return writeJSON(w, map[string]any{"outlets": list})
}

func (s *Server) testOutlets(w http.ResponseWriter, r *http.Request, _ Identity) error {
	return s.order(w, r, func(ctx context.Context, o OutletOrder) ([]OutletAnswer, error) {
		if o.Entry != nil {
			return nil, &Problem{Status: http.StatusBadRequest, Title: "a test is about no entry"}
		}
		return s.c.Outlets.Test(ctx, o.Outlet)
	})
}

func (s *Server) resend(w http.ResponseWriter, r *http.Request, id Identity) error {
	return s.order(w, r, func(ctx context.Context, o OutletOrder) ([]OutletAnswer, error) {
		return s.c.Outlets.Resend(ctx, o.Outlet, o.Entry, id.Person)
	})
}

// order reads an order, carries it out within the time of an answer, and says what came of it.
func (s *Server) order(w http.ResponseWriter, r *http.Request, do func(context.Context, OutletOrder) ([]OutletAnswer, error)) error {
	var o OutletOrder
	if err := body(r, &o); err != nil {
		return err
	}
	if s.c.Outlets == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node has no outlets"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), placeIn)
	defer cancel()
	list, err := do(ctx, o)
	if errors.Is(err, ErrNoOutlet) {
		return &Problem{
			Status: http.StatusNotFound, Title: "no such outlet, or no entry that it carries", Hint: "cordon notify list shows the outlets and their dead letters",
		}
	}
	if err != nil {
		return err
	}
	return writeJSON(w, map[string]any{"answers": list})
}

package admin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/cordonsip/cordon/audit/retain"
)

// Archive is what the door needs to keep and to destroy what the log's references stand for. by is the id of a person.
type Archive interface {
	Holds(ctx context.Context) ([]retain.Hold, error)
	Place(ctx context.Context, h retain.Hold, by string) (retain.Hold, error)
	Lift(ctx context.Context, id, reason, by string) error
	Retention(ctx context.Context, run bool, by string) (RetentionPlan, error)
}

// ErrNoHold says that no hold has that id; ErrOwnHold that who placed one wants to lift it.
var (
	ErrNoHold  = errors.New("no such hold")
	ErrOwnHold = errors.New("a hold is lifted by somebody else than who placed it")
)

// HoldWish is a hold to be placed: at least one of the four that bound it.
type HoldWish struct {
	From   string `json:"from,omitempty"` // first day, YYYY-MM-DD
	To     string `json:"to,omitempty"`   // last day
	Trunk  string `json:"trunk,omitempty"`
	Ref    string `json:"ref,omitempty"` // a call's reference or a person's pseudonym
	Reason string `json:"reason"`
}

// RetentionPlan is what is kept for how long, and what of it is over.
type RetentionPlan struct {
	Classes  []RetentionClass `json:"classes"`
	Days     []RetentionDay   `json:"days"`
	Due      int              `json:"due"`      // salts that nothing keeps any more
	Shredded int              `json:"shredded"` // that were destroyed now
}

// RetentionClass is one reason to keep.
type RetentionClass struct {
	Class   string   `json:"class"`
	Trunks  []string `json:"trunks,omitempty"`
	Keep    string   `json:"keep"`
	Reason  string   `json:"reason"`
	Binding bool     `json:"binding"`
}

// RetentionDay is one day of calls whose salts are kept.
type RetentionDay struct {
	Day    string    `json:"day"`
	Calls  int       `json:"calls"`
	Due    int       `json:"due"`
	Held   int       `json:"held"`
	Holds  []string  `json:"holds,omitempty"`
	Next   time.Time `json:"next"` // when the first of them is due
	Class  string    `json:"class"`
	Reason string    `json:"reason"`
}

func (s *Server) noArchive() error {
	if s.c.Archive == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node takes no such orders"}
	}
	return nil
}

func (s *Server) holds(w http.ResponseWriter, r *http.Request, _ Identity) error {
	if err := s.noArchive(); err != nil {
		return err
	}
	list, err := s.c.Archive.Holds(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, map[string][]retain.Hold{"holds": append([]retain.Hold{}, list...)})
}

func (s *Server) placeHold(w http.ResponseWriter, r *http.Request, id Identity) error {
	var b HoldWish
	if err := body(r, &b); err != nil {
		return err
	}
	if err := s.noArchive(); err != nil {
		return err
	}
	h := retain.Hold{Trunk: b.Trunk, Ref: b.Ref, Reason: b.Reason, By: id.Person}
	var err, err2 error
	if b.From != "" {
		h.From, err = time.Parse(time.DateOnly, b.From)
	}
	if b.To != "" {
		h.To, err2 = time.Parse(time.DateOnly, b.To)
	}
	if err = errors.Join(err, err2); err == nil {
		err = h.Check()
	}
	if err != nil {
		return &Problem{Status: http.StatusBadRequest, Title: "a reason and a scope are needed", Detail: err.Error(), Hint: `{"from": "2026-11-01", "to": "2026-11-20", "trunk": "carrier-de", "reason": "proceedings 4711"}`}
	}
	if h, err = s.c.Archive.Place(r.Context(), h, id.Person); err != nil {
		return err
	}
	return writeJSON(w, h)
}

func (s *Server) liftHold(w http.ResponseWriter, r *http.Request, id Identity) error {
	var b struct {
		Reason string `json:"reason"`
	}
	if err := body(r, &b); err != nil {
		return err
	}
	if err := s.noArchive(); err != nil {
		return err
	}
	if b.Reason == "" {
		return &Problem{Status: http.StatusBadRequest, Title: "a reason is needed", Hint: `{"reason": "proceedings 4711 are over"}`}
	}
	switch err := s.c.Archive.Lift(r.Context(), r.PathValue("id"), b.Reason, id.Person); {
	case errors.Is(err, ErrNoHold):
		return &Problem{Status: http.StatusNotFound, Title: "no such hold"}
	case errors.Is(err, ErrOwnHold):
		return &Problem{Status: http.StatusConflict, Title: "somebody else must lift it", Detail: ErrOwnHold.Error()}
	case err != nil:
		return err
	}
	return writeJSON(w, map[string]string{"status": "lifted"})
}

func (s *Server) retention(w http.ResponseWriter, r *http.Request, id Identity) error {
	if err := s.noArchive(); err != nil {
		return err
	}
	p, err := s.c.Archive.Retention(r.Context(), r.Method == http.MethodPost, id.Person)
	if err != nil {
		return err
	}
	return writeJSON(w, p)
}

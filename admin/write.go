package admin

import (
	"cmp"
	"maps"
	"net/http"
	"slices"

	"github.com/cordonsip/cordon/approval"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func (s *Server) tickets(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	list := s.c.Gate.Tickets()
	if list == nil {
		list = []approval.Ticket{}
	}
	return writeJSON(w, map[string]any{"tickets": list})
}

func (s *Server) ticket(w http.ResponseWriter, r *http.Request, _ Identity) error {
	t, ok := s.c.Gate.Ticket(r.PathValue("id"))
	if !ok {
		return &Problem{Status: http.StatusNotFound, Title: "no such ticket"}
	}
	return writeJSON(w, t)
}

// Word is the body of a decision. The plan hash says what was read: a plan that changed in between is not what was approved.
type Word struct {
	Approve  bool   `json:"approve"`
	Role     string `json:"role,omitempty"` // needed when the person holds several approving roles
	Reason   string `json:"reason"`
	PlanHash string `json:"plan_hash"`
}

func (s *Server) decide(w http.ResponseWriter, r *http.Request, id Identity) error {
	var word Word
	if err := body(r, &word); err != nil {
		return err
	}
	if word.Role == "" {
		word.Role = firstApproving(id.Roles)
	}
	t, err := s.c.Gate.Decide(r.Context(), r.PathValue("id"), id.Person, word.Role, word.Approve, word.Reason, word.PlanHash, "bearer")
	if err != nil {
		return err
	}
	return writeJSON(w, t)
}

func firstApproving(roles []string) string {
	for _, r := range roles {
		if r != "dpo" && r != "operator" && r != "auditor" {
			return r
		}
	}
	return ""
}

// Advice is the body of an opinion.
type Advice struct {
	Opinion       approval.OpinionWord `json:"opinion"`
	Text          string               `json:"text"`
	ConditionsMet bool                 `json:"conditions_met,omitempty"`
}

func (s *Server) opine(w http.ResponseWriter, r *http.Request, id Identity) error {
	var a Advice
	if err := body(r, &a); err != nil {
		return err
	}
	t, err := s.c.Gate.Opine(r.Context(), r.PathValue("id"), id.Person, a.Opinion, a.Text, a.ConditionsMet)
	if err != nil {
		return err
	}
	return writeJSON(w, t)
}

// because is the body of what needs a reason.
type because struct {
	Reason string `json:"reason"`
}

func (s *Server) activate(w http.ResponseWriter, r *http.Request, id Identity) error {
	t, err := s.c.Gate.Activate(r.Context(), r.PathValue("id"), id.Person)
	if err != nil {
		return err
	}
	return writeJSON(w, t)
}

func (s *Server) withdraw(w http.ResponseWriter, r *http.Request, id Identity) error {
	var b because
	if err := body(r, &b); err != nil {
		return err
	}
	t, err := s.c.Gate.Withdraw(r.Context(), r.PathValue("id"), id.Person, b.Reason)
	if err != nil {
		return err
	}
	return writeJSON(w, t)
}

func (s *Server) revoke(w http.ResponseWriter, r *http.Request, id Identity) error {
	var b because
	if err := body(r, &b); err != nil {
		return err
	}
	t, err := s.c.Gate.Revoke(r.Context(), r.PathValue("id"), id.Person, b.Reason)
	if err != nil {
		return err
	}
	return writeJSON(w, t)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request, id Identity) error {
	if err := s.c.Reload(r.Context(), id.Person); err != nil {
		return &Problem{Status: http.StatusUnprocessableEntity, Title: "the new configuration was refused; the old one stays in force", Detail: err.Error()}
	}
	return writeJSON(w, s.policyView())
}

func (s *Server) place(w http.ResponseWriter, r *http.Request, id Identity) error {
	var c TestCall
	if err := body(r, &c); err != nil {
		return err
	}
	if c.From == "" || c.Called == "" || c.HoldSeconds < 0 || c.HoldSeconds > 20 {
		return &Problem{Status: http.StatusBadRequest, Title: "from and called are needed, hold_seconds at most 20", Hint: `{"from": "carrier", "called": "+4969123456", "hold_seconds": 2}`}
	}
	res, err := s.c.Place(r.Context(), c, id.Person)
	if err != nil {
		return err
	}
	return writeJSON(w, res)
}

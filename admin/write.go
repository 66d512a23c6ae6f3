package admin

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/retain"
	"github.com/cordonsip/cordon/sovereign"
)

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }

func (s *Server) tickets(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	list := s.c.Gate.Tickets()
	if list == nil {
		list = []approval.Ticket{}
	}
	return writeJSON(w, map[string]any{"tickets": list})
}

func (s *Server) ticket(w http.ResponseWriter, r *http.Request, id Identity) error {
	t, ok := s.c.Gate.Ticket(r.PathValue("id"))
	if !ok {
		return &Problem{Status: http.StatusNotFound, Title: "no such ticket"}
	}
	return s.show(w, t, id)
}

// TicketView is a ticket, and who its pseudonyms are.
type TicketView struct {
	approval.Ticket
	People map[string]string `json:"people,omitempty"`
}

// show writes a ticket. The names stand at the door alone, and only for those who may read everything: the ticket itself carries pseudonyms.
func (s *Server) show(w http.ResponseWriter, t approval.Ticket, id Identity) error {
	return writeJSON(w, s.view(t, id))
}

func (s *Server) view(t approval.Ticket, id Identity) TicketView {
	words := []string{t.RequestedBy}
	for _, d := range t.Decisions {
		words = append(words, d.Person, d.HandedIn)
	}
	for _, d := range t.Glass {
		words = append(words, d.Person, d.HandedIn)
	}
	for _, o := range t.Opinions {
		words = append(words, o.Person, o.HandedIn)
	}
	if t.Review != nil {
		words = append(words, t.Review.Person)
	}
	return TicketView{Ticket: t, People: s.names(id, words)}
}

// names tells whose pseudonyms words are, to who may read everything; nil to others.
func (s *Server) names(id Identity, words []string) map[string]string {
	if s.c.People == nil || !slices.Contains(id.Scopes, "org.read") {
		return nil
	}
	people, out := s.c.People(), map[string]string{}
	for _, word := range words {
		if name, ok := people[word]; ok {
			out[word] = name
		}
	}
	return out
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
	if err := inRole(&word.Role, approving(id.Roles)); err != nil {
		return err
	}
	t, err := s.c.Gate.Decide(r.Context(), r.PathValue("id"), id.Person, word.Role, word.Approve, word.Reason, word.PlanHash, "bearer")
	if err != nil {
		return err
	}
	return s.show(w, t, id)
}

// inRole fills in the only role that a person can mean.
func inRole(role *string, held []string) error {
	if *role == "" && len(held) > 1 {
		return &Problem{
			Status: http.StatusUnprocessableEntity, Title: "you hold several approving roles", Detail: strings.Join(held, ", "),
			Hint: "say in which one you decide: --role=" + held[0] + ", or the field role",
		}
	}
	*role = cmp.Or(*role, strings.Join(held, ""))
	return nil
}

// approving are the roles of a person in which a decision may count.
func approving(roles []string) []string {
	may := deciders()
	if len(roles) == 1 && roles[0] == "dpo" {
		return roles // the gate says whether that role decides
	}
	return slices.DeleteFunc(slices.Clone(roles), func(r string) bool { return !slices.Contains(may, r) })
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
	return s.show(w, t, id)
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
	return s.show(w, t, id)
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
	return s.show(w, t, id)
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
	return s.show(w, t, id)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request, id Identity) error {
	if err := s.c.Reload(r.Context(), id.Person); err != nil {
		return &Problem{Status: http.StatusUnprocessableEntity, Title: "the new configuration was refused; the old one stays in force", Detail: err.Error()}
	}
	return writeJSON(w, s.policyView())
}

// Forget is the wish that a reference of the log names nobody any more. GDPR Art. 17.
type Forget struct {
	What   string `json:"what"` // call | person
	Ref    string `json:"ref"`  // the call's reference; the person's id or pseudonym
	Reason string `json:"reason"`
}

func (s *Server) forget(w http.ResponseWriter, r *http.Request, id Identity) error {
	var f Forget
	if err := body(r, &f); err != nil {
		return err
	}
	if (f.What != "call" && f.What != "person") || f.Ref == "" || f.Reason == "" {
		return &Problem{Status: http.StatusBadRequest, Title: "what (call or person), ref and reason are needed", Hint: `{"what": "call", "ref": "20261121-...", "reason": "request of 21 November"}`}
	}
	if err := s.c.Forget(r.Context(), f, id.Person); errors.Is(err, audit.ErrForgotten) {
		return &Problem{Status: http.StatusNotFound, Title: "there is nothing to forget", Detail: "no salt or directory entry stands behind this reference"}
	} else if errors.Is(err, retain.ErrKept) {
		return &Problem{Status: http.StatusConflict, Title: "it must be kept", Detail: err.Error()}
	} else if err != nil {
		return err
	}
	return writeJSON(w, map[string]string{"status": "forgotten"})
}

func (s *Server) place(w http.ResponseWriter, r *http.Request, id Identity) error {
	var c TestCall
	if err := body(r, &c); err != nil {
		return err
	}
	if c.From == "" || c.Called == "" || c.HoldSeconds < 0 || c.HoldSeconds > 20 {
		return &Problem{Status: http.StatusBadRequest, Title: "from and called are needed, hold_seconds at most 20", Hint: `{"from": "carrier", "called": "+4969123456", "hold_seconds": 2}`}
	}
	if p, ok := s.c.Snapshot().Party(c.From); !ok || (p.Kind != sovereign.KindTrunk && p.Kind != sovereign.KindGroup) {
		return &Problem{Status: http.StatusUnprocessableEntity, Title: "unknown party", Detail: strconv.Quote(c.From) + " is neither a trunk nor an edge group"}
	}
	if s.c.Draining() {
		return &Problem{Status: http.StatusServiceUnavailable, Title: "draining"}
	}
	ctx, cancel := context.WithTimeout(r.Context(), placeIn)
	defer cancel()
	res, err := s.c.Place(ctx, c, id.Person)
	if errors.Is(err, context.DeadlineExceeded) {
		return &Problem{Status: http.StatusGatewayTimeout, Title: "the call took too long", Detail: "it was given up after " + placeIn.String()}
	}
	if err != nil {
		return err
	}
	return writeJSON(w, res)
}

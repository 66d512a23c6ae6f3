package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/charter"
)

// Charters is what the door needs of the policy that people accepted.
type Charters interface {
	// Accepted reads the accepted policy and how it was accepted out of the log.
	Accepted(ctx context.Context) (AcceptedPolicy, error)
	// Held is what waits for people; ok is false when nothing does.
	Held() (h HeldPolicy, ok bool)
	// Compare holds a charter in clear, as a configuration gives it, against the accepted one. It changes nothing.
	Compare(plain charter.Charter) (PolicyComparison, error)
}

// AcceptedPolicy is the policy that counts, and who said so. People stand in it as pseudonyms.
type AcceptedPolicy struct {
	Digest string    `json:"digest"` // SHA-256 of Charter, lower-case hex
	At     time.Time `json:"accepted_at"`
	Entry  uint64    `json:"entry"` // of the log
	Cause  string    `json:"cause"` // first_start | narrower | signed | new_parts | unsigned
	Why    string    `json:"reason"`
	By     string    `json:"by,omitempty"` // who reloaded
	Ticket string    `json:"ticket,omitempty"`
	// Decisions are those of the ticket, as long as the gate knows it.
	Decisions []approval.Decision `json:"decisions"`
	Widenings []string            `json:"widenings"` // that came with it
	Charter   json.RawMessage     `json:"charter"`   // RFC 8785
	People    map[string]string   `json:"people,omitempty"`
}

// HeldPolicy is a configuration that is wider and waits.
type HeldPolicy struct {
	From    string               `json:"from"` // digests
	To      string               `json:"to"`
	Since   time.Time            `json:"since"`
	Changes []charter.Difference `json:"changes"`
	Ticket  *TicketView          `json:"ticket"` // nil: it is not open yet
}

// PendingPolicy is the answer about what waits.
type PendingPolicy struct {
	Held *HeldPolicy `json:"held"` // null: nothing
}

// HeldNote is what the status documents say of it.
type HeldNote struct {
	Since     time.Time `json:"since"`
	Widenings int       `json:"widenings"`
	Ticket    string    `json:"ticket,omitempty"`
	State     string    `json:"state,omitempty"` // of the ticket
}

// PolicyComparison says what would become of a configuration.
type PolicyComparison struct {
	From    string               `json:"from"` // digest of the accepted policy
	To      string               `json:"to"`
	Changes []charter.Difference `json:"changes"`
	Wider   bool                 `json:"wider"`
	Opens   bool                 `json:"opens_ticket"` // false although it is wider: nobody is enrolled who could sign
}

func (s *Server) charters() (Charters, error) {
	if s.c.Charters == nil {
		return nil, &Problem{Status: http.StatusNotImplemented, Title: "this node keeps no accepted policy"}
	}
	return s.c.Charters, nil
}

func (s *Server) accepted(w http.ResponseWriter, r *http.Request, id Identity) error {
	c, err := s.charters()
	if err != nil {
		return err
	}
	p, err := c.Accepted(r.Context())
	if err != nil {
		return err
	}
	words := []string{p.By}
	for _, d := range p.Decisions {
		words = append(words, d.Person)
	}
	var text struct {
		People []charter.Person `json:"people"`
	}
	if err := json.Unmarshal(p.Charter, &text); err != nil {
		return err
	}
	for _, one := range text.People {
		words = append(words, one.Person)
	}
	p.People = s.names(id, words)
	return writeJSON(w, p)
}

func (s *Server) pending(w http.ResponseWriter, _ *http.Request, id Identity) error {
	c, err := s.charters()
	if err != nil {
		return err
	}
	out := PendingPolicy{}
	if h, ok := c.Held(); ok {
		if h.Ticket != nil {
			t := s.view(h.Ticket.Ticket, id)
			h.Ticket = &t
		}
		out.Held = &h
	}
	return writeJSON(w, out)
}

// PolicyProposal is the body of a comparison: the charter of a configuration in clear, as `cordon policy diff` makes it. People stand in it by their ids, and no secret does.
type PolicyProposal struct {
	Charter charter.Charter `json:"charter"`
}

func (s *Server) comparePolicy(w http.ResponseWriter, r *http.Request, _ Identity) error {
	c, err := s.charters()
	if err != nil {
		return err
	}
	var p PolicyProposal
	if err := body(r, &p); err != nil {
		return err
	}
	if p.Charter.Edition != charter.Edition {
		return &Problem{Status: http.StatusUnprocessableEntity, Title: "the charter is of another edition than the node's", Hint: "use the cordon of the node's own version"}
	}
	out, err := c.Compare(p.Charter)
	if err != nil {
		return &Problem{Status: http.StatusUnprocessableEntity, Title: "the charter cannot be compared", Detail: err.Error()}
	}
	return writeJSON(w, out)
}

// heldNote is what the status says of a policy that waits; nil: none does.
func (s *Server) heldNote() *HeldNote {
	if s.c.Charters == nil {
		return nil
	}
	h, ok := s.c.Charters.Held()
	if !ok {
		return nil
	}
	n := &HeldNote{Since: h.Since}
	for _, c := range h.Changes {
		if c.Wider {
			n.Widenings += len(c.Why)
		}
	}
	if h.Ticket != nil {
		n.Ticket, n.State = h.Ticket.ID, string(h.Ticket.State)
	}
	return n
}

// WaitsFor says in words who must still sign.
func (h *HeldPolicy) WaitsFor() string {
	switch {
	case h.Ticket == nil:
		return "the ticket is not open yet: people cannot be asked"
	case h.Ticket.State == approval.Approved:
		return "nobody: it is being put in force"
	case !h.Ticket.EndedAt.IsZero():
		return "nobody: the ticket is " + string(h.Ticket.State) + "; whoever wants it reloads over the interface"
	}
	return strings.Join(slices.Clone(h.Ticket.Missing), "; ")
}

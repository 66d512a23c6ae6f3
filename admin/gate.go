package admin

import (
	"net/http"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// GrantRequest is the body by which a person asks the gate for a grant. Empty lists of trunks and edge groups mean nothing, never everything.
type GrantRequest struct {
	Trunks       []string               `json:"trunks"`
	Groups       []string               `json:"edge_groups"`
	Regions      []string               `json:"regions,omitempty"` // provider:code; none: those that are held
	Reason       string                 `json:"reason"`
	Alternatives []approval.Alternative `json:"alternatives_considered"`
	LegalBasis   string                 `json:"legal_basis,omitempty"`     // id in the catalogue; none: that of the party
	MaxCalls     int                    `json:"max_calls_total,omitempty"` // none: the default of the gate
	GrantFor     string                 `json:"grant_for,omitempty"`       // as in 2h; none: the default of the gate
}

// For is how long the grant is to last; 0: as the gate's rules say.
func (q GrantRequest) For() (time.Duration, error) {
	if q.GrantFor == "" {
		return 0, nil
	}
	return time.ParseDuration(q.GrantFor)
}

func (s *Server) request(w http.ResponseWriter, r *http.Request, id Identity) error {
	var q GrantRequest
	if err := body(r, &q); err != nil {
		return err
	}
	if s.c.Request == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node takes no requests"}
	}
	if d, err := q.For(); err != nil || d < 0 {
		return &Problem{Status: http.StatusBadRequest, Title: "grant_for is no length of time", Hint: "write 90m or 4h"}
	}
	t, err := s.c.Request(r.Context(), q, id.Person)
	if err != nil {
		return err
	}
	return s.show(w, t, id)
}

// Confirmation is the body by which one of two people breaks the glass. The plan hash says what was read.
type Confirmation struct {
	Role     string `json:"role,omitempty"` // needed when the person holds several approving roles
	Reason   string `json:"reason"`
	PlanHash string `json:"plan_hash"`
}

func (s *Server) breakGlass(w http.ResponseWriter, r *http.Request, id Identity) error {
	var c Confirmation
	if err := body(r, &c); err != nil {
		return err
	}
	if err := inRole(&c.Role, approving(id.Roles)); err != nil {
		return err
	}
	t, err := s.c.Gate.BreakGlass(r.Context(), r.PathValue("id"), id.Person, c.Role, c.Reason, c.PlanHash, "bearer")
	if err != nil {
		return err
	}
	return s.show(w, t, id)
}

// Finding is the body of a review.
type Finding struct {
	Role    string `json:"role,omitempty"` // needed when the person may review in several roles
	Lawful  *bool  `json:"lawful"`
	Updated bool   `json:"record_of_processing_updated"`
	Lessons string `json:"lessons"`
}

func (s *Server) review(w http.ResponseWriter, r *http.Request, id Identity) error {
	var f Finding
	if err := body(r, &f); err != nil {
		return err
	}
	if f.Lawful == nil {
		return &Problem{Status: http.StatusBadRequest, Title: "a review says whether it was lawful", Hint: `{"lawful": true, "record_of_processing_updated": true, "lessons": "..."}`}
	}
	may := approving(id.Roles)
	if slices.Contains(id.Roles, approval.RoleAuditor) {
		may = append(may, approval.RoleAuditor)
	}
	if err := inRole(&f.Role, may); err != nil {
		return err
	}
	t, err := s.c.Gate.Review(r.Context(), r.PathValue("id"), id.Person, approval.PostReview{Role: f.Role, Lawful: *f.Lawful, Updated: f.Updated, Lessons: f.Lessons})
	if err != nil {
		return err
	}
	return s.show(w, t, id)
}

// Readiness says ahead of time whether the next failover would be lawful and could be carried out.
type Readiness struct {
	Ready    bool              `json:"ready"` // of every route that has somewhere to fail over to
	At       time.Time         `json:"at"`
	Staffing approval.Staffing `json:"people"`
	Routes   []RouteReadiness  `json:"routes"`
}

// RouteReadiness is that of one route.
type RouteReadiness struct {
	Route      string   `json:"route"`
	Ready      bool     `json:"ready"`
	Alone      bool     `json:"alone"` // it leads to one party alone: there is nothing to fail over to, and nobody is told
	Active     string   `json:"active"`
	Next       string   `json:"next"`                  // that would take the calls, or would be asked for at the gate
	Verdict    string   `json:"verdict"`               // of the policy on Next: permit, hold, or deny when there is none
	LegalBasis string   `json:"legal_basis,omitempty"` // that a ticket for Next would rest on
	Why        []string `json:"why"`                   // what stands in the way
}

// ahead is the newest outlook; nil where nobody looks ahead.
func (s *Server) ahead() *Readiness {
	if s.c.Readiness == nil {
		return nil
	}
	v := s.c.Readiness()
	return &v
}

func (s *Server) readiness(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	if s.c.Readiness == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node does not look ahead"}
	}
	return writeJSON(w, s.c.Readiness())
}

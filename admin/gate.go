package admin

import (
	"net/http"
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

package admin

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/cordonsip/cordon/drill/register"
)

// DrillSaid is one of a person's last words about a drill: that nothing is left of it, what they hold of its result, or that the management body was told.
type DrillSaid struct {
	Reason  string `json:"reason,omitempty"`
	Role    string `json:"role,omitempty"`        // in which it is said
	Verdict string `json:"verdict,omitempty"`     // of a sign-off: accept | accept_with_deficiencies | reject
	Date    string `json:"date,omitempty"`        // of a report: YYYY-MM-DD
	Minutes string `json:"minutes_ref,omitempty"` // of a report: where it stands
	// Signature is an approval/sign.SignedDrill over all of that; absent: the session stands for the person.
	Signature json.RawMessage `json:"signature,omitempty"`
}

// drillSaid carries out one of the last words.
func (s *Server) drillSaid(w http.ResponseWriter, r *http.Request, id Identity, do func(ctx context.Context, drill string, x DrillSaid, by string) (register.Drill, error)) error {
	var x DrillSaid
	if err := s.drillOrder(r, &x); err != nil {
		return err
	}
	d, err := do(r.Context(), r.PathValue("id"), x, id.Person)
	if err != nil {
		return drillErr(err)
	}
	return s.viewDrill(w, d, id)
}

func (s *Server) drillSignOff(w http.ResponseWriter, r *http.Request, id Identity) error {
	return s.drillSaid(w, r, id, func(ctx context.Context, drill string, x DrillSaid, by string) (register.Drill, error) {
		return s.c.Drills.SignOff(ctx, drill, x, by)
	})
}

func (s *Server) drillReported(w http.ResponseWriter, r *http.Request, id Identity) error {
	return s.drillSaid(w, r, id, func(ctx context.Context, drill string, x DrillSaid, by string) (register.Drill, error) {
		return s.c.Drills.Reported(ctx, drill, x, by)
	})
}

func (s *Server) drillAck(w http.ResponseWriter, r *http.Request, id Identity) error {
	if err := s.noDrills(); err != nil {
		return err
	}
	d, err := s.c.Drills.Ack(r.Context(), r.PathValue("id"), id.Person)
	if err != nil {
		return drillErr(err)
	}
	return s.viewDrill(w, d, id)
}

// lastPeople are the pseudonyms that the last words about a drill name.
func lastPeople(d *register.Drill) (out []string) {
	for _, x := range d.SignedOff {
		out = append(out, x.By)
	}
	for _, x := range d.Reported {
		out = append(out, x.By)
	}
	for _, x := range d.Acked {
		out = append(out, x.By)
	}
	return out
}

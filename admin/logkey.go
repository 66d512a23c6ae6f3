package admin

import (
	"net/http"
	"time"
)

// KeyRotation is the wish that another key signs the log.
type KeyRotation struct {
	Reason       string    `json:"reason"`
	OverlapHours *int      `json:"overlap_hours,omitempty"`    // for how long the old key signs as well, 0 to 2160; default 168
	Compromised  time.Time `json:"compromised_since,omitzero"` // since when somebody else may have the old key: then there is no overlap
}

const (
	defaultOverlap = 168 // hours: a week for witnesses and auditors
	maxOverlap     = 2160
)

// Overlap is for how long the old key signs as well.
func (k KeyRotation) Overlap() time.Duration {
	if k.OverlapHours == nil {
		return defaultOverlap * time.Hour
	}
	return time.Duration(*k.OverlapHours) * time.Hour
}

// KeyRotated is what became of it.
type KeyRotated struct {
	Entry   uint64    `json:"entry"` // of the log, that says so
	Old     string    `json:"old_key"`
	New     string    `json:"new_key"`
	Overlap time.Time `json:"overlap_until"`
	Keys    string    `json:"keys"` // the first key of the log and the hand-overs since: for witnesses and auditors
}

func (s *Server) rotateKey(w http.ResponseWriter, r *http.Request, id Identity) error {
	var k KeyRotation
	if err := body(r, &k); err != nil {
		return err
	}
	if s.c.RotateKey == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node takes no such orders"}
	}
	if k.Reason == "" || k.OverlapHours != nil && (*k.OverlapHours < 0 || *k.OverlapHours > maxOverlap) || k.Compromised.After(time.Now()) {
		return &Problem{
			Status: http.StatusBadRequest, Title: "a reason is needed, overlap_hours from 0 to 2160, and compromised_since not in the future",
			Hint: `{"reason": "yearly rotation", "overlap_hours": 168}`,
		}
	}
	done, err := s.c.RotateKey(r.Context(), k, id.Person)
	if err != nil {
		return err
	}
	return writeJSON(w, done)
}

// logKeys gives the public keys of the log, from the first one on.
func (s *Server) logKeys(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, map[string]string{"key": s.c.Log.VerifierKey(), "keys": s.c.Log.Keys()})
}

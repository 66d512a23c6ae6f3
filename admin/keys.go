package admin

import (
	"errors"
	"io"
	"net/http"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
)

// Handed is the answer to a signed file: the ticket that it was about, or the key that counts now.
type Handed struct {
	Ticket *TicketView  `json:"ticket,omitempty"`
	Key    *keyring.Key `json:"key,omitempty"`
}

// submit takes a signed file from whoever brings it; who signed it is the gate's to find out.
func (s *Server) submit(w http.ResponseWriter, r *http.Request, id Identity) error {
	raw, err := io.ReadAll(io.LimitReader(r.Body, approval.MaxSignedFile+1)) // one more than any may have, so that the gate can say so
	if err != nil {
		return &Problem{Status: http.StatusBadRequest, Title: "the body cannot be read", Detail: err.Error()}
	}
	out, err := s.c.Gate.Submit(r.Context(), raw, id.Person)
	if err != nil {
		return err
	}
	h := Handed{Key: out.Key}
	if out.Ticket != nil {
		v := s.view(*out.Ticket, id)
		h.Ticket = &v
	}
	return writeJSON(w, h)
}

// KeyView is a key of the overview: it names nobody.
type KeyView struct {
	ID  string `json:"key_id"`
	Why string `json:"why"`
}

// idleKeys are those that do not count, without the ones that somebody revoked: that is how it should be.
func (s *Server) idleKeys() []KeyView {
	out := []KeyView{}
	for _, k := range s.c.Gate.Keys() {
		if !k.Counts && k.RevokedAt.IsZero() {
			out = append(out, KeyView{k.ID, k.Why})
		}
	}
	return out
}

// KeyList is every key of people, and whose pseudonyms it names.
type KeyList struct {
	Keys   []keyring.Standing `json:"keys"`
	People map[string]string  `json:"people,omitempty"`
}

func (s *Server) keys(w http.ResponseWriter, _ *http.Request, id Identity) error {
	list := KeyList{Keys: []keyring.Standing{}}
	var words []string
	for _, k := range s.c.Gate.Keys() {
		list.Keys = append(list.Keys, k)
		words = append(append(words, k.Person, k.RevokedBy), k.By...)
	}
	list.People = s.names(id, words)
	return writeJSON(w, list)
}

func (s *Server) revokeKey(w http.ResponseWriter, r *http.Request, id Identity) error {
	var b because
	if err := body(r, &b); err != nil {
		return err
	}
	k, err := s.c.Gate.RevokeKey(r.Context(), r.PathValue("id"), id.Person, b.Reason)
	if errors.Is(err, keyring.ErrUnlogged) {
		s.c.Logger.Error("a key was ended and the log does not have it", "error", err)
		return &Problem{Status: http.StatusServiceUnavailable, Title: "the key counts no more while this node runs, and the log does not have it yet", Hint: "revoke it again when the log can be written: after a restart it would count"}
	}
	if err != nil {
		return err
	}
	return writeJSON(w, k)
}

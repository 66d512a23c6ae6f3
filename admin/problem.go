package admin

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
)

// Problem is an error document, RFC 9457.
type Problem struct {
	Type   string `json:"type,omitempty"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Rule   string `json:"rule,omitempty"` // of the gate, when a rule of it refused; the ground, when the law did
	Hint   string `json:"hint,omitempty"`
	// ErrorID is the word under which the node's own log holds the cause.
	ErrorID string `json:"error_id,omitempty"`
}

func (p *Problem) Error() string { return p.Title + ": " + p.Detail }

// asProblem keeps causes inside: the client learns what went wrong for them, the node's own log why. A pattern stands for the path.
func (s *Server) asProblem(pattern string, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	var r *approval.Refusal
	if errors.As(err, &r) {
		return &Problem{Status: http.StatusConflict, Title: "the gate refused it", Detail: r.Detail, Rule: r.Rule, Hint: r.Hint}
	}
	var n *routing.NotDone
	if errors.As(err, &n) {
		return &Problem{Status: http.StatusConflict, Title: "it was not done", Detail: n.What, Rule: string(n.Ground), Hint: n.Hint}
	}
	p = &Problem{Status: http.StatusInternalServerError, Title: "it failed", Detail: "the node's own log has the cause under the error id", ErrorID: rand.Text()}
	if errors.Is(err, audit.ErrLogDown) {
		p.Status, p.Title = http.StatusServiceUnavailable, "the log cannot be written, so nothing was changed"
	}
	var h *routing.Halfway
	if errors.As(err, &h) {
		p.Title, p.Detail = "it was done in part", "changed: "+h.Changed()+"; not changed: "+strings.Join(h.Left, ", ")+". The node's own log has the cause under the error id"
		p.Hint = "ask again when the log can be written: cordon status shows the routes"
	}
	var u *Unlogged
	if errors.As(err, &u) {
		p.Title, p.Detail = u.What+" is cut off, and the log has no entry of it", "the cut holds until the node ends; a restart would forget it. The node's own log has the cause under the error id"
		p.Hint = "put the log right, then sever again: cordon status shows its state"
	}
	s.c.Logger.Error("a request failed", "request", pattern, "status", p.Status, "error_id", p.ErrorID, "error", err)
	return p
}

func writeProblem(w http.ResponseWriter, p *Problem) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone if this fails
}

// writeJSON encodes first: what cannot be encoded must not leave half an answer.
func writeJSON(w http.ResponseWriter, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(data, '\n')) // the client is gone if this fails
	return nil
}

// body reads a strict JSON body: one value, known fields alone.
func body(r *http.Request, v any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return &Problem{Status: http.StatusBadRequest, Title: "the body cannot be read", Detail: err.Error()}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &Problem{Status: http.StatusBadRequest, Title: "the body cannot be read", Detail: "something stands behind the JSON value"}
	}
	return nil
}

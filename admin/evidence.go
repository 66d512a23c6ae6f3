package admin

import (
	"net/http"

	"github.com/cordonsip/cordon/sovereign/evidence"
)

// Place is one address of a party, what is declared of it, and what speaks for and against that.
type Place struct {
	Party     string          `json:"party"`
	Host      string          `json:"host"`
	Addr      string          `json:"addr"`
	Region    string          `json:"declared_region,omitempty"`
	Countries []string        `json:"declared_countries"`
	Contract  string          `json:"contract_ref,omitempty"`
	Standing  string          `json:"standing"` // undeclared | contradicted | doubted | supported | declared
	Words     string          `json:"words"`
	Held      bool            `json:"held"` // by the evidence; the policy may refuse it besides
	Evidence  []evidence.Item `json:"evidence"`
}

// evidenceList gives what is known of all addresses.
func (s *Server) evidenceList(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	list := []Place{}
	if s.c.Places != nil {
		list = append(list, s.c.Places()...)
	}
	return writeJSON(w, map[string]any{"places": list})
}

// sights gives what this node measured, for other nodes.
func (s *Server) sights(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	var st evidence.Statement
	if s.c.Sights != nil {
		st = s.c.Sights()
	}
	return writeJSON(w, st)
}

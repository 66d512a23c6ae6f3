package admin

import (
	"net/http"

	"github.com/cordonsip/cordon/inventory"
)

// Endpoint is one endpoint outside the call path: what is declared of it, and what was seen.
type Endpoint struct {
	Name       string            `json:"name"`
	Kind       string            `json:"kind"`
	Region     string            `json:"declared_region,omitempty"`
	Countries  []EndpointCountry `json:"declared_countries"`
	Contract   string            `json:"contract_ref"`
	Anycast    bool              `json:"declared_anycast"`
	Watched    bool              `json:"watched"`
	Provider   string            `json:"provider,omitempty"`
	Identifier string            `json:"lei_or_euid,omitempty"`
	Function   string            `json:"function,omitempty"`
	Parent     string            `json:"ultimate_parent,omitempty"`
	Reach      *EndpointCountry  `json:"parent_country"`    // null: nobody declared it
	Support    []EndpointCountry `json:"support_countries"` // from where it is supported
	State      inventory.State   `json:"state"`
}

// EndpointCountry is a country with what the law says of it today.
type EndpointCountry struct {
	Code       string `json:"code"`
	Standing   string `json:"legal_standing"`
	Instrument string `json:"instrument,omitempty"`
}

func (s *Server) endpoints() []Endpoint {
	if s.c.Inventory == nil {
		return []Endpoint{}
	}
	return append([]Endpoint{}, s.c.Inventory()...)
}

func (s *Server) inventoryList(w http.ResponseWriter, _ *http.Request, _ Identity) error {
	return writeJSON(w, map[string]any{"endpoints": s.endpoints()})
}

func (s *Server) inventoryEntry(w http.ResponseWriter, r *http.Request, _ Identity) error {
	for _, e := range s.endpoints() {
		if e.Name == r.PathValue("name") {
			return writeJSON(w, e)
		}
	}
	return &Problem{Status: http.StatusNotFound, Title: "unknown endpoint", Detail: "the inventory has no entry of that name"}
}

// inventoryCounts are the endpoints by verdict.
func (s *Server) inventoryCounts() map[string]int {
	out := map[string]int{}
	for _, e := range s.endpoints() {
		out[string(e.State.Verdict)]++
	}
	return out
}

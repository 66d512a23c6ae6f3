package audit

// GateReadiness says that the next failover of a route could not be carried out, or could again: it is told before it is needed.
type GateReadiness struct {
	Route   string   `json:"route"`
	Ready   bool     `json:"ready"`
	Next    string   `json:"next,omitempty"` // the party that would take the calls
	Verdict string   `json:"verdict"`        // of the policy on it
	Why     []string `json:"why,omitempty"`  // what stands in the way; nobody is named
}

// Kind of the entry.
func (GateReadiness) Kind() Kind { return KindGateReadiness }

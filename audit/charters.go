package audit

// PolicyAccepted says which policy counts from here on: the text in the pieces, whose SHA-256 is Charter. What is wider counts only with another one of these.
type PolicyAccepted struct {
	Charter   string   `json:"charter"`
	Before    string   `json:"before,omitempty"` // the one that it follows
	Cause     string   `json:"cause"`            // first_start | narrower | signed | new_parts | unsigned
	Why       string   `json:"reason"`
	By        string   `json:"by,omitempty"`
	Ticket    string   `json:"ticket,omitempty"` // under which people approved it
	Widenings []string `json:"widenings,omitempty"`
	Pieces    []uint64 `json:"pieces"` // indexes of the entries that hold its text, in order
}

// PolicyCharter is a piece of the text of an accepted policy, RFC 8785 JSON when all are put together.
type PolicyCharter struct {
	Charter string `json:"charter"`
	Piece   int    `json:"piece"` // from 1
	Of      int    `json:"of"`
	Text    string `json:"text"`
}

// WideningHeld says that a configuration is wider than the accepted policy, which stays in force for all that is wider.
type WideningHeld struct {
	Cause     string   `json:"cause"` // start | reload
	By        string   `json:"by,omitempty"`
	Charter   string   `json:"charter"`  // that counts
	Proposed  string   `json:"proposed"` // that waits for people
	Widenings []string `json:"widenings"`
}

// Kinds of these entries.
func (PolicyAccepted) Kind() Kind { return KindPolicyAccepted }

// Kind of the entry.
func (PolicyCharter) Kind() Kind { return KindPolicyCharter }

// Kind of the entry.
func (WideningHeld) Kind() Kind { return KindWideningHeld }

// decodePolicy gives the typed event of an entry about the policy.
func decodePolicy(e Entry) (Event, error) {
	switch e.Kind {
	case KindPolicyApplied:
		return decodeAs[PolicyApplied](e)
	case KindReloadRefused:
		return decodeAs[ReloadRefused](e)
	case KindPolicyAccepted:
		return decodeAs[PolicyAccepted](e)
	case KindPolicyCharter:
		return decodeAs[PolicyCharter](e)
	}
	return decodeAs[WideningHeld](e)
}

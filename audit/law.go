package audit

import "time"

// What happens when the law changes under a running node, or a person cuts something off.

// LawInForce says that a suspension takes effect here, and what becomes of the calls that are up.
type LawInForce struct {
	Instrument string         `json:"instrument"`
	Since      time.Time      `json:"since"`
	From       time.Time      `json:"from"` // the moment at which it takes effect: since, or when this node read of it
	Parties    []RunningCalls `json:"parties,omitempty"`
}

// RunningCalls is what the declared rule makes of the calls of one party whose place is closed.
type RunningCalls struct {
	Party string    `json:"party"`
	Route string    `json:"route,omitempty"` // where its routes differ: these are its calls by this one
	Rule  string    `json:"rule"`            // end | finish | reroute
	Until time.Time `json:"until"`           // nothing leaves for it from then on
	Calls int       `json:"calls"`           // that were up
}

// LawEnding says that an instrument that parties rest on ends soon: once for each threshold.
type LawEnding struct {
	Instrument string    `json:"instrument"`
	Country    string    `json:"country"`
	Until      time.Time `json:"until"`          // the first instant at which it no longer applies
	Threshold  int       `json:"threshold_days"` // 180 | 90 | 30
	Days       int       `json:"days_left"`
	Parties    []string  `json:"parties"` // trunks and edge groups that would be held from then on
}

// Severed says that a person cut something off, or that another one put it back.
type Severed struct {
	What    string         `json:"what"` // trunk | group | region
	Name    string         `json:"name"`
	Force   bool           `json:"force,omitempty"` // emergency calls are cut, too
	Back    bool           `json:"back,omitempty"`  // it is put back
	Reason  string         `json:"reason"`
	By      string         `json:"by"`   // pseudonym
	From    time.Time      `json:"from"` // when it took effect, which is before this entry
	Parties []RunningCalls `json:"parties,omitempty"`
}

func (LawInForce) Kind() Kind { return KindLawInForce }
func (LawEnding) Kind() Kind  { return KindLawEnding }
func (Severed) Kind() Kind    { return KindSevered }

// ofLaw says whether the kind is one of these.
func (k Kind) ofLaw() bool { return k == KindLawInForce || k == KindLawEnding || k == KindSevered }

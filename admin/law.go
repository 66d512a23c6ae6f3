package admin

import (
	"context"
	"net/http"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// WhatIfQuestion is which suspension somebody thinks of.
type WhatIfQuestion struct {
	Instrument string
	Since      time.Time // of the suspension; zero: At
	At         time.Time // as of when it is judged; zero: now
}

// WhatIf is what a suspension would do. Lists are empty, never absent.
type WhatIf struct {
	Instrument   string              `json:"instrument"`
	Since        time.Time           `json:"since"`
	From         time.Time           `json:"from"`    // when it would take effect
	Already      bool                `json:"already"` // it is in force here, or will be by that time
	Node         bool                `json:"node"`    // a running node says it: calls, health, tickets and names are known
	PolicyDigest string              `json:"policy_digest"`
	FactsDigest  string              `json:"facts_digest"` // as it is now
	Parties      []WhatIfParty       `json:"parties"`
	Targets      []WhatIfTarget      `json:"targets"`
	Routes       []WhatIfRoute       `json:"routes"`
	Tickets      []WhatIfTicket      `json:"tickets"`
	Destinations []WhatIfDestination `json:"destinations"`
	Alarms       []WhatIfAlarm       `json:"alarms"`
	Unknown      []string            `json:"unknown"` // what could not be said, and why
}

// WhatIfParty is a trunk or an edge group that is permitted by itself now and would not be.
type WhatIfParty struct {
	Party   string    `json:"party"`
	Kind    string    `json:"kind"` // trunk | edge_group
	Region  string    `json:"region"`
	Country string    `json:"country"`
	Verdict string    `json:"verdict"`
	Ground  string    `json:"ground"`
	Why     string    `json:"why"`
	Route   string    `json:"route,omitempty"` // where its routes have rules that differ: what follows is of its calls by this one
	Rule    string    `json:"rule"`            // for running calls
	Until   time.Time `json:"until"`           // nothing leaves for it from then on
	Calls   int       `json:"calls"`           // that are up
}

// WhatIfTarget is an address that would be neither called nor probed any more.
type WhatIfTarget struct {
	Target  string `json:"target"`
	Region  string `json:"region"`
	Country string `json:"country"`
	Ground  string `json:"ground"`
}

// WhatIfRoute is a route that would change, or whose calls would.
type WhatIfRoute struct {
	Route   string      `json:"route"`
	Active  string      `json:"active"`
	Lost    []string    `json:"lost"`             // parties that it may use now and might not then
	Origins []string    `json:"origins_lost"`     // parties whose calls would not be taken
	Kind    string      `json:"kind"`             // of the entry: failover.applied, failover.held; "": none
	Next    string      `json:"next"`             // the party that calls would go to, or that people would be asked for; "": nobody
	Verdict string      `json:"verdict"`          // of the policy on next: permit, hold; deny when there is none
	NoHop   bool        `json:"no_permitted_hop"` // nothing would be left that it may use
	Why     string      `json:"why"`
	Calls   WhatIfCalls `json:"calls"`
}

// WhatIfCalls counts the calls of a route by what would become of them.
type WhatIfCalls struct {
	Ended    int `json:"ended"`       // at once
	Later    int `json:"ended_later"` // after end_after
	Rerouted int `json:"rerouted"`
	Finished int `json:"finished"` // they go on until they hang up, for a bounded time
	GivenUp  int `json:"given_up"` // nobody answered them yet: the caller goes on to the next hop
}

// WhatIfTicket is a ticket, and perhaps a grant, that would be INVALIDATED.
type WhatIfTicket struct {
	ID    string         `json:"id"`
	State string         `json:"state"`
	Grant bool           `json:"grant"` // a live grant would end with it
	Scope approval.Scope `json:"scope"`
}

// WhatIfDestination is one outside of calls that the fence would shut.
type WhatIfDestination struct {
	Kind    string `json:"kind"` // dns | notify | witness | copy | spans | hep
	Name    string `json:"name"`
	Address string `json:"address"`
	Country string `json:"country"`
	Ground  string `json:"ground"`
}

// WhatIfAlarm is an entry that would be written, and how urgent its notice would be.
type WhatIfAlarm struct {
	Kind     string `json:"kind"`
	Severity string `json:"severity"`
	About    string `json:"about"`
}

// LawAsker answers what a suspension would do. It changes nothing.
type LawAsker interface {
	WhatIf(ctx context.Context, q WhatIfQuestion) (WhatIf, error)
}

func (s *Server) whatIf(w http.ResponseWriter, r *http.Request, _ Identity) error {
	if s.c.Law == nil {
		return &Problem{Status: http.StatusNotImplemented, Title: "this node does not look ahead"}
	}
	q := WhatIfQuestion{Instrument: r.URL.Query().Get("instrument")}
	for name, to := range map[string]*time.Time{"since": &q.Since, "at": &q.At} {
		text := r.URL.Query().Get(name)
		if text == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return &Problem{Status: http.StatusBadRequest, Title: name + " is no moment", Hint: "write 2026-11-21T14:00:00Z"}
		}
		*to = t
	}
	v, err := s.c.Law.WhatIf(r.Context(), q)
	if err != nil {
		return err
	}
	return writeJSON(w, v)
}

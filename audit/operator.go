package audit

import "time"

// ServiceChanged says that somebody changed the administrative state of a trunk, a group, a target or a region. It is never a failure.
type ServiceChanged struct {
	What   string    `json:"what"` // trunk | group | target | region
	Name   string    `json:"name"`
	From   string    `json:"from"` // in_service | draining | out | test_only
	To     string    `json:"to"`
	Reason string    `json:"reason"`
	By     string    `json:"by"` // pseudonym; clock when its time was over
	Until  time.Time `json:"until,omitzero"`
}

// RouteSwitched says that somebody switched a route by hand, or let it go back. It is written before it takes effect.
type RouteSwitched struct {
	Route   string `json:"route"`
	From    string `json:"from"`
	To      string `json:"to"`
	Back    bool   `json:"back"` // to is the route's own choice again
	Region  string `json:"region"`
	Country string `json:"country"`
	Verdict string `json:"verdict"`
	Ground  string `json:"ground"`
	Reason  string `json:"reason"`
	By      string `json:"by"`
}

// RouteMigrated says that a part of a route's calls goes to one party first, or does no longer.
type RouteMigrated struct {
	Route   string   `json:"route"`
	To      string   `json:"to"`
	Back    bool     `json:"back"` // rolled back
	Share   float64  `json:"share,omitempty"`
	Ranges  []string `json:"ranges,omitempty"` // prefixes, never a whole number
	Region  string   `json:"region"`
	Country string   `json:"country"`
	Verdict string   `json:"verdict"`
	Ground  string   `json:"ground"`
	Reason  string   `json:"reason"`
	By      string   `json:"by"`
}

func (ServiceChanged) Kind() Kind { return KindServiceChanged }
func (RouteSwitched) Kind() Kind  { return KindRouteSwitched }
func (RouteMigrated) Kind() Kind  { return KindRouteMigrated }

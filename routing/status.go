package routing

import "time"

// ActiveRoute is one route as people see it.
type ActiveRoute struct {
	Route  string      `json:"route"`
	Active string      `json:"active"` // "" when nothing lawful is left
	Next   string      `json:"next"`   // the next party that is permitted by itself and reachable; "" when there is none
	Since  time.Time   `json:"since"`
	Reason RouteReason `json:"reason"`
	Why    string      `json:"why"`
	Held   string      `json:"held_ticket"` // ticket of a failover that waits at the gate
}

// Status gives every route in the order of the rules: what is in use, what would be next, since when and why.
func (r *Router) Status() []ActiveRoute {
	c, active, now := r.rules.Load(), r.Active(), time.Now()
	out := make([]ActiveRoute, 0, len(c.routes))
	for _, rt := range c.routes {
		a := active[rt.Name]
		row := ActiveRoute{Route: rt.Name, Active: a.Party, Since: a.Since, Reason: a.Reason, Why: a.Why}
		if a.Held {
			row.Held = a.Ticket
		}
		for _, v := range r.survey(c, rt, now).views {
			if v.choice.Party != a.Party && v.grant == "" && v.best.Usable() {
				row.Next = v.choice.Party
				break
			}
		}
		out = append(out, row)
	}
	return out
}

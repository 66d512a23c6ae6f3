package observe

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
)

// ticket takes a change of a ticket that was opened in the play.
func (o *Observer) ticket(e audit.Entry) {
	var g approval.GateChanged
	if json.Unmarshal(e.Body, &g) != nil || g.Record == nil {
		return
	}
	t := &g.Record.Ticket
	if t.Plan.Change != nil || t.RequestedAt.Before(o.start.At) {
		return
	}
	i, known := o.tickets[t.ID]
	if !known {
		i = len(o.seen.Tickets)
		o.tickets[t.ID] = i
		o.seen.Tickets = append(o.seen.Tickets, measure.Ticket{Parties: o.opens(t.Plan.Scope), Opened: t.RequestedAt})
	}
	to := &o.seen.Tickets[i]
	to.Words, to.Opinion = nil, time.Time{} // a new slice: the old one may be somebody's
	said := map[string]bool{}
	for _, d := range t.Decisions {
		if d.Approve && !said[d.Person] {
			said[d.Person] = true
			to.Words = append(to.Words, d.At)
		}
	}
	for _, op := range t.Opinions {
		if op.Word != approval.NotReached && to.Opinion.IsZero() {
			to.Opinion = op.At
		}
	}
}

// opens are the parties that a ticket would open: of those it names, the ones that calls of the exercised route are to reach, or that do not stand open anyway.
func (o *Observer) opens(s approval.Scope) (out []string) {
	for _, p := range o.p.Parties {
		named := slices.Contains(s.Groups, p.Name) || slices.Contains(s.Trunks, p.Name)
		if named && (p.Standing != scenario.Permitted || slices.Contains(o.p.On.To, p.Name)) {
			out = append(out, p.Name)
		}
	}
	return out
}

package cordon

import (
	"context"
	"encoding/json"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/charter"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
)

// Accepted is the door's view of the accepted policy: the entry of the log says how it came to be that.
func (k *charters) Accepted(ctx context.Context) (out admin.AcceptedPolicy, err error) {
	k.mu.Lock()
	now := k.now
	k.mu.Unlock()
	list, err := wholeEntries(ctx, k.node.log, now.entry, now.entry+1)
	if err != nil {
		return out, err
	}
	var ev audit.PolicyAccepted
	if err := json.Unmarshal(list[0].Body, &ev); err != nil {
		return out, err
	}
	out = admin.AcceptedPolicy{
		Digest: now.digest, At: list[0].Time, Entry: now.entry, Cause: ev.Cause, Why: ev.Why, By: ev.By, Ticket: ev.Ticket, Decisions: []approval.Decision{}, Widenings: append([]string{}, ev.Widenings...),
	}
	if t, known := k.node.gate.Ticket(ev.Ticket); known {
		out.Decisions = append(out.Decisions, t.Decisions...)
	}
	out.Charter, err = now.charter.Canonical()
	return out, err
}

// Held is the door's view of what waits.
func (k *charters) Held() (out admin.HeldPolicy, ok bool) {
	k.mu.Lock()
	h, now := k.held, k.now
	k.mu.Unlock()
	if h == nil {
		return out, false
	}
	out = admin.HeldPolicy{From: now.digest, To: h.digest, Since: h.since, Changes: h.changes}
	if t, known := k.node.ticketFor(now.digest, h.digest); known {
		out.Ticket = &admin.TicketView{Ticket: t}
	}
	return out, true
}

// looking is the seal for a charter that somebody only looks at: who is neither in the configuration nor was accepted gets no pseudonym by that, and stays who he is.
func (k *charters) looking(kept []byte) charter.Seal {
	known := map[string]bool{}
	for _, id := range configs.KeptPeople(kept) {
		known[id] = true
	}
	for _, p := range k.node.filed.Load().File.People {
		known[p.ID] = true
	}
	seal := k.seal
	seal.Pseudonym = func(id string) string {
		if known[id] {
			return k.node.names.Person(id)
		}
		return id
	}
	return seal
}

// Compare holds a charter in clear against the accepted one, as weigh does with a configuration.
func (k *charters) Compare(plain charter.Charter) (out admin.PolicyComparison, err error) {
	k.mu.Lock()
	now := k.now
	k.mu.Unlock()
	next := k.looking(now.kept).Charter(plain)
	text, err := next.Canonical()
	if err != nil {
		return out, err
	}
	out = admin.PolicyComparison{From: now.digest, To: charter.Digest(text), Changes: charter.Compare(now.charter, next)}
	out.Wider = charter.Wider(out.Changes)
	out.Opens = out.Wider && now.charter.CanSign()
	return out, nil
}

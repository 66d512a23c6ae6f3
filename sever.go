package cordon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// severs is the part of the hall that cuts off at once and puts back. DORA Art. 9(4), last subparagraph: connections are made so that they can be severed instantaneously.
type severs struct{ n *Node }

var _ admin.Severs = severs{}

// Severs cuts off at once, and puts back.
func (n *Node) Severs() admin.Severs { return severs{n} }

// cutsOf are the cuts of a book, as the fence reads them.
func cutsOf(b *desk.Book) []sovereign.Sever {
	var out []sovereign.Sever
	for _, s := range b.Cuts() {
		out = append(out, sovereign.Sever{Kind: s.Kind, Name: s.Name, From: s.From, Force: s.Force})
	}
	return out
}

// cut puts these cuts in force; it waits for nobody and cannot fail.
func (k *policyKeeper) cut(cuts []sovereign.Sever) {
	k.mu.Lock()
	k.cuts = cuts
	k.put(k.restruck())
	k.mu.Unlock()
	k.node.checker.Poke()
	k.node.router.Poke()
}

// Severed lists what is cut off.
func (s severs) Severed() []desk.Cut { return s.n.desk.Book().Cuts() }

// Sever cuts something off: first the fence, then the log. Where the log cannot be written the cut stays in force all the same, until the node ends, and the error says so.
func (s severs) Sever(ctx context.Context, o desk.Cut, by string) error {
	n := s.n
	if err := s.check(&o); err != nil {
		return err
	}
	n.cutting.Lock()
	defer n.cutting.Unlock()
	book := n.desk.Book()
	if old, ok := book.Cut(o.Kind, o.Name); ok && (old.Force || !o.Force) {
		return &routing.NotDone{What: o.Kind + " " + o.Name + " is severed already", Hint: "cordon service list shows since when"}
	}
	before := n.fence.Snapshot()
	o.From = time.Now().UTC()
	c := sovereign.Sever{Kind: o.Kind, Name: o.Name, From: o.From, Force: o.Force}
	ev := audit.Severed{What: o.Kind, Name: o.Name, Force: o.Force, Reason: o.Reason, By: n.pseudonym(by), From: o.From}
	end := configs.Running{How: configs.RunningEnd}
	calls, held := n.callsOf(), newlyHeld(before, before.WithStrikes(before.Suspended(), nil, append(before.Severed(), c)), o.From)
	for _, p := range held {
		ev.Parties = append(ev.Parties, audit.RunningCalls{Party: p, Rule: end.How, Until: end.Leave(c.Cause(), p, o.From).Until, Calls: calls[share{p, ""}]})
	}
	others := slices.DeleteFunc(cutsOf(book), func(x sovereign.Sever) bool { return x.Kind == o.Kind && x.Name == o.Name })
	n.policy.cut(append(others, c))
	n.logger.Warn("severed", "kind", o.Kind, "name", o.Name, "force", o.Force)
	if _, err := n.desk.Decide(ctx, ev); err != nil {
		return &admin.Unlogged{What: c.Cause(), Err: err}
	}
	n.policy.invalidate(ctx, c.Cause()+" was severed", func(t approval.Ticket) bool {
		in := t.Plan.Scope
		return o.Kind == desk.Region && slices.Contains(in.Regions, o.Name) || o.Kind == desk.Group && slices.Contains(in.Groups, o.Name) ||
			o.Kind == desk.Trunk && slices.Contains(in.Trunks, o.Name)
	})
	return nil
}

// PutBack ends a cut: a widening, so another person than the one who severed does it, and the log has it first.
func (s severs) PutBack(ctx context.Context, o desk.Cut, by string) error {
	n := s.n
	if err := s.check(&o); err != nil {
		return err
	}
	n.cutting.Lock()
	defer n.cutting.Unlock()
	old, ok := n.desk.Book().Cut(o.Kind, o.Name)
	switch {
	case !ok:
		return &routing.NotDone{What: o.Kind + " " + o.Name + " is not severed", Hint: "cordon service list shows what is"}
	case old.By == n.pseudonym(by):
		return &routing.NotDone{What: "who severed does not put back", Hint: "have another operator do it: two people open what one may close"}
	}
	ev := audit.Severed{What: o.Kind, Name: o.Name, Back: true, Reason: o.Reason, By: n.pseudonym(by), From: time.Now().UTC()}
	if _, err := n.desk.Decide(ctx, ev); err != nil {
		return err
	}
	n.policy.cut(cutsOf(n.desk.Book()))
	return nil
}

// check refuses what names nothing, or has no reason.
func (s severs) check(o *desk.Cut) error {
	if n := len(strings.TrimSpace(o.Reason)); n == 0 || n > 1000 {
		return &routing.NotDone{What: "a reason is needed, of at most 1000 bytes", Hint: "say why; it stands in the log, so write no name or number into it"}
	}
	var known []string
	for _, p := range s.n.fence.Snapshot().Parties() {
		switch {
		case o.Kind == desk.Trunk && p.Kind == sovereign.KindTrunk, o.Kind == desk.Group && p.Kind == sovereign.KindGroup:
			known = append(known, p.Name)
		case o.Kind == desk.Region:
			for _, r := range append([]sovereign.Region{p.Region}, p.MediaRegions...) {
				if !r.IsZero() && !slices.Contains(known, r.String()) {
					known = append(known, r.String())
				}
			}
		}
	}
	if o.Kind != desk.Trunk && o.Kind != desk.Group && o.Kind != desk.Region {
		return &routing.NotDone{What: fmt.Sprintf("%q cannot be severed", o.Kind), Hint: "trunk, group or region"}
	}
	if !slices.Contains(known, o.Name) {
		return &routing.NotDone{What: fmt.Sprintf("%q is no %s of this node", o.Name, o.Kind), Hint: "known: " + strings.Join(known[:min(len(known), 20)], ", ")}
	}
	return nil
}

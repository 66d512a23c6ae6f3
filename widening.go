package cordon

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// admitPolicy decides, before anything is built, which configuration runs: the file's, or what of it the accepted policy allows.
func (n *Node) admitPolicy(ctx context.Context) (err error) {
	n.charters = newCharters(n)
	reading, cancel := context.WithTimeout(ctx, 10*time.Minute) // a long log is read whole where no entry names the policy yet
	defer cancel()
	if err := n.charters.restore(reading); err != nil {
		return err
	}
	if n.atStart, err = n.charters.weigh(n.opts.Config); err != nil {
		return err
	}
	n.filed.Store(n.opts.Config)
	n.opts.Config = n.atStart.run
	n.cfg.Store(n.atStart.run)
	return nil
}

// declarePolicy writes down what admitPolicy decided, and remembers it.
func (n *Node) declarePolicy(ctx context.Context) error {
	if err := n.charters.record(ctx, n.atStart, "start", ""); err != nil {
		return err
	}
	n.charters.settle(ctx, n.atStart, "")
	return nil
}

// endAdopted ends the tickets whose policy the last run put in force without being able to say so.
func (n *Node) endAdopted(ctx context.Context) error {
	digest, entry := n.charters.ref()
	var errs []error
	for _, t := range n.gate.Tickets() {
		if c := t.Plan.Change; c != nil && t.State == approval.Approved && c.To == digest {
			_, err := n.gate.Adopted(ctx, t.ID, c.From, c.To, entry)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// changeApproved is told by the gate, which must not be held up.
func (n *Node) changeApproved(approval.Ticket) {
	n.charters.mu.Lock()
	n.charters.approved, n.charters.tried = true, time.Time{}
	n.charters.mu.Unlock()
	select {
	case n.policy.adoptable <- struct{}{}:
	default:
	}
}

// mindPolicy does what is due: opens the ticket for what is held, puts in force what was approved, and once a day names the accepted policy in the log.
func (n *Node) mindPolicy(ctx context.Context) {
	k := n.charters
	k.mu.Lock()
	now := time.Now()
	due := now.Sub(k.tried) >= askEvery
	asking, approved, restate := k.asking, k.approved, now.Sub(k.restated) >= restateEvery
	if due && (asking != "" || approved) {
		k.tried = now
	}
	if restate {
		k.restated = now
	}
	k.mu.Unlock()
	if due && asking != "" {
		if err := n.askForPolicy(ctx, asking); err != nil && ctx.Err() == nil {
			n.logger.Error("people cannot be asked about the wider policy yet", "error", err)
		}
	}
	if due && approved {
		if err := n.adopt(ctx); err != nil && ctx.Err() == nil {
			n.logger.Error("the approved policy is not in force yet", "error", err)
		}
	}
	if restate {
		if err := n.policy.announce(ctx, "daily", ""); err != nil {
			n.logger.Warn("the log could not be told which policy is in force", "error", err)
		}
	}
}

// askForPolicy opens the ticket for what is held, unless people denied that very change and nobody asked again. The gate's people and rules are the accepted ones, or
// stricter ones: what waits for its approval has no say.
func (n *Node) askForPolicy(ctx context.Context, by string) error {
	h, accepted := n.charters.holding()
	if h == nil {
		return nil
	}
	if by == ruleWidening && n.denied(accepted, h.digest) {
		n.charters.asked()
		return nil
	}
	s := n.fence.Snapshot()
	plan := approval.Plan{
		Reason: "the configuration is wider than the policy that people accepted", Grounds: []string{"widening of the policy"},
		PolicyDigest: s.PolicyDigest(), FactsDigest: s.FactsDigest(), Change: &approval.Change{From: accepted, To: h.digest, Widenings: listed(h.widens)},
	}
	_, err := n.gate.Propose(ctx, by, plan)
	var refused *approval.Refusal
	if errors.As(err, &refused) && refused.Rule == approval.RuleUnknownPerson { // who reloaded lost the right to with that very file
		_, err = n.gate.Propose(ctx, ruleWidening, plan)
	}
	if err == nil {
		n.charters.asked()
	}
	return err
}

// asked notes that the ticket is open.
func (k *charters) asked() {
	k.mu.Lock()
	k.asking = ""
	k.mu.Unlock()
}

// again has people asked once more after their ticket was voided by something else than themselves.
func (k *charters) again() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held != nil && k.asking == "" {
		k.asking, k.approved = ruleWidening, false
	}
}

func (n *Node) denied(from, to string) bool {
	t, ok := n.ticketFor(from, to)
	return ok && t.State == approval.DeniedByPeople
}

// ticketFor is the newest ticket for a change.
func (n *Node) ticketFor(from, to string) (approval.Ticket, bool) {
	for _, t := range n.gate.Tickets() {
		if c := t.Plan.Change; c != nil && c.From == from && c.To == to {
			return t, true
		}
	}
	return approval.Ticket{}, false
}

// adopt puts an approved policy in force: what people signed is what comes into force, or nothing does.
func (n *Node) adopt(ctx context.Context) error {
	return n.alone(ctx, func() error {
		h, accepted := n.charters.holding()
		if h == nil {
			n.charters.notApproved()
			return nil
		}
		if h.digest == accepted {
			return n.adoptAgain(ctx, h)
		}
		t, ok := n.ticketFor(accepted, h.digest)
		if !ok || t.State != approval.Approved {
			n.charters.notApproved()
			return nil
		}
		w, err := n.charters.sign(h, t.ID)
		if err != nil {
			n.charters.notApproved()
			n.policy.invalidate(ctx, "the policy is another one than people approved", func(o approval.Ticket) bool { return o.ID == t.ID })
			return errors.Join(err, n.reload(ctx, h.cfg, ""))
		}
		look, err := n.enforce(ctx, w)
		if err != nil {
			return err
		}
		if _, err := n.gate.Adopted(ctx, t.ID, t.Plan.Change.From, t.Plan.Change.To, w.entry); err != nil {
			n.logger.Error("an approved policy is in force, and its ticket could not be ended", "ticket", t.ID, "error", err)
		}
		n.policy.reloaded(ctx, look)
		return nil
	})
}

// adoptAgain puts in force what the log says was accepted, after an attempt that failed behind that entry.
func (n *Node) adoptAgain(ctx context.Context, h *heldPolicy) error {
	w, err := n.charters.weigh(h.cfg)
	if err != nil {
		return err
	}
	look, err := n.enforce(ctx, w)
	if err != nil {
		return err
	}
	err = n.endAdopted(ctx)
	n.policy.reloaded(ctx, look)
	return err
}

func (k *charters) notApproved() {
	k.mu.Lock()
	k.approved = false
	k.mu.Unlock()
}

// sign weighs what is held once more: its charter must be what people signed. Somebody may have been forgotten meanwhile, and is another pseudonym by now.
func (k *charters) sign(h *heldPolicy, ticket string) (*weighed, error) {
	w, err := k.weigh(h.cfg)
	switch {
	case err != nil:
		return nil, err
	case w.digest != h.digest:
		return nil, fmt.Errorf("cordon: the policy has the digest %s, and people approved %s: nothing was put in force", w.digest, h.digest)
	}
	w.run, w.held, w.cause, w.why, w.ticket = h.cfg, false, causeSigned, "approved by people", ticket
	return w, nil
}

// enforce puts an approved configuration in force. What of it only a restart can change waits for one: it is accepted all the same.
func (n *Node) enforce(ctx context.Context, w *weighed) (look struck, err error) {
	if later := n.fixed(n.cfg.Load(), w.run); later != nil {
		if err := n.charters.record(ctx, w, "reload", ""); err != nil {
			return look, err
		}
		n.charters.settle(ctx, w, "")
		n.logger.Warn("the wider policy was approved and takes effect with the next start", "why", later)
		return look, n.policy.announce(ctx, "signed", "")
	}
	if err := n.certs.judge(w.run); err != nil {
		return look, err
	}
	if look, err = n.policy.reload(ctx, w, "", n.applyParts); err != nil {
		return look, err
	}
	n.taken(ctx, w, "")
	return look, nil
}

// taken does what follows once a configuration is in force.
func (n *Node) taken(ctx context.Context, w *weighed, asked string) {
	n.certs.take(ctx, w.run)
	n.filed.Store(w.file)
	n.cfg.Store(w.run)
	n.charters.settle(ctx, w, asked)
	n.places.weigh() // other feeds, other declarations
	n.inventory.Poke()
}

package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/state"
)

// errUnchanged is how an edit says that there is nothing to do.
var errUnchanged = errors.New("approval: nothing to change")

// edit changes r, which is a copy, and says what happened; its Refusal leaves everything as it was. It may run several times.
type edit func(now time.Time, r *approval.Record) (approval.GateChanged, error)

// begin waits for the turn and makes the gate ready for a change.
func (g *Gate) begin(ctx context.Context) error {
	if err := g.take(ctx); err != nil {
		return fmt.Errorf("approval: waiting for the gate: %w", err)
	}
	_, err := g.restore(ctx)
	if err == nil {
		err = g.flushVoids(ctx)
	}
	if err == nil {
		err = g.settleAll(ctx)
	}
	if err != nil {
		g.leave()
	}
	return err
}

// change takes the turn, changes one ticket and publishes what follows.
func (g *Gate) change(ctx context.Context, id string, e edit) (approval.Ticket, error) {
	if err := g.begin(ctx); err != nil {
		return approval.Ticket{}, err
	}
	defer g.leave()
	return g.apply(ctx, id, e)
}

// apply is change for the holder of the turn: read, judge, log, swap, and again when another node was faster.
func (g *Gate) apply(ctx context.Context, id string, e edit) (approval.Ticket, error) {
	for range maxTries {
		cur, err := g.load(ctx, id)
		if errors.Is(err, state.ErrConflict) {
			continue
		}
		if err != nil {
			return approval.Ticket{}, err
		}
		next := cur.Clone()
		next.Ticket.Spent = g.spent(id)
		ev, err := e(g.clock.now(), next)
		if errors.Is(err, errUnchanged) {
			return cur.Ticket.Clone(), nil
		}
		if err != nil {
			return cur.Ticket.Clone(), err
		}
		if err := cur.Step(next.Ticket.State, ev.What); err != nil {
			return cur.Ticket.Clone(), err
		}
		ev.From, ev.FromWord = cur.Ticket.State, cur.EvidenceWord()
		err = g.commit(ctx, next, cur.rev, ev)
		if errors.Is(err, state.ErrConflict) {
			continue
		}
		if err != nil {
			return cur.Ticket.Clone(), err
		}
		if now := g.known(id); now != nil {
			return now.Ticket.Clone(), nil
		}
		return next.Ticket.Clone(), nil
	}
	return approval.Ticket{}, fmt.Errorf("approval: ticket %s is being changed by others all the time, tried %d times: %w", id, maxTries, state.ErrConflict)
}

// commit logs a change and then lets it take effect at rev. ErrConflict means that it did not and that the log says so.
func (g *Gate) commit(ctx context.Context, next *approval.Record, rev uint64, ev approval.GateChanged) error {
	t := &next.Ticket
	t.Entry, t.Missing, t.Warnings = 0, next.Missing(), next.Warnings()
	next.Version++
	next.Node = g.c.Node
	ev.Change, ev.Ticket, ev.State, ev.Word = g.own.ids.next(time.Now()), t.ID, t.State, next.EvidenceWord()
	next.Changes = append(next.Changes, ev.Change)
	ev.PlanHash, ev.Missing, ev.Record = t.PlanHash, t.Missing, next.Logged()

	// From here on the change is carried through even if the caller goes away.
	ctx = context.WithoutCancel(ctx)
	if !t.State.Open() {
		// What ends is closed first: between the entry and the store nothing may pass under a grant that the log says is over.
		g.shut(t.ID, true)
		defer g.shut(t.ID, false)
	}
	seq, err := g.write(ctx, ev)
	if err != nil {
		// Perhaps it did reach the disk: say that it did not count, as soon as the log can be written.
		g.void(ctx, ev)
		return fmt.Errorf("approval: nothing took effect, because the log could not be written: %w", err)
	}
	t.Entry = seq
	data, err := next.Encode()
	if err != nil {
		return err
	}
	now := &written{Record: next}
	now.rev, err = g.swap(ctx, ticketPrefix+t.ID, rev, data)
	if err != nil {
		now, err = g.settle(ctx, &written{next, rev}, data, err)
	}
	switch {
	case errors.Is(err, state.ErrConflict):
		g.void(ctx, ev)
		return err
	case err != nil:
		g.own.unsettled[t.ID] = unsettled{written{next, rev}, ev}
		g.restrict(next)
		return fmt.Errorf("approval: entry %d is in the log and takes effect when the store can be written: %w", seq, err)
	}
	g.put(now.Record, now.rev)
	g.publish()
	nudge(g.wakeClock)
	return nil
}

func (g *Gate) write(ctx context.Context, ev audit.Event) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, logTimeout)
	defer cancel()
	return g.c.Log.Commit(ctx, ev)
}

func (g *Gate) swap(ctx context.Context, key string, rev uint64, data []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	return g.c.KV.Swap(ctx, key, rev, data)
}

// settle finds out what became of a write that failed, and tries once more when it did not happen. It gives what stands now, which may be newer.
func (g *Gate) settle(ctx context.Context, w *written, data []byte, failed error) (*written, error) {
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	id := w.Ticket.ID
	item, err := g.c.KV.Get(ctx, ticketPrefix+id)
	if err != nil && !errors.Is(err, state.ErrNotFound) {
		return nil, errors.Join(failed, err)
	}
	if item.Rev == w.rev {
		if errors.Is(failed, state.ErrConflict) {
			return nil, failed // a stale read: somebody did change it
		}
		rev, err := g.c.KV.Swap(ctx, ticketPrefix+id, w.rev, data)
		return &written{w.Record, rev}, err
	}
	// It stands, or something that was built on it: a gate that replayed the same log may have carried it through before us.
	there, err := approval.DecodeRecord(id, item.Data)
	if err != nil || !slices.Contains(there.Changes, w.Changes[len(w.Changes)-1]) {
		return nil, state.ErrConflict
	}
	now, err := g.accept(ctx, id, item)
	if err == nil && now == nil {
		err = state.ErrConflict
	}
	return now, err
}

// restrict lets a logged end take effect on this node although the store does not answer: the log is the truth, and an end is never held back.
func (g *Gate) restrict(next *approval.Record) {
	if next.Ticket.State.Open() {
		return
	}
	g.view.Lock()
	if old := g.view.tickets[next.Ticket.ID]; old != nil {
		g.view.tickets[next.Ticket.ID] = &written{next, old.rev}
	}
	g.view.Unlock()
	g.publish()
}

// shut takes a grant out of what is published while its end is being written, or puts it back when the end did not come about.
func (g *Gate) shut(id string, closed bool) {
	g.view.Lock()
	if closed {
		g.view.shut[id] = true
	} else {
		delete(g.view.shut, id)
	}
	g.view.Unlock()
	g.publish()
}

// void logs that ev did not take effect, now or as soon as the log can be written.
func (g *Gate) void(ctx context.Context, ev approval.GateChanged) {
	v := approval.GateChanged{
		Change: g.own.ids.next(time.Now()), Ticket: ev.Ticket, What: approval.NotApplied, By: ruleGate, Voids: ev.Change,
		Why: "the change did not take effect: the log failed it or the ticket had changed meanwhile",
	}
	g.own.voids = append(g.own.voids, v)
	if err := g.flushVoids(ctx); err != nil {
		g.logger.Warn("a change did not take effect and the log does not say so yet", "ticket", ev.Ticket, "change", ev.Change, "error", err)
	}
}

// flushVoids logs what void could not. No change is made before it succeeded, so at most one change per ticket is ever in doubt.
func (g *Gate) flushVoids(ctx context.Context) error {
	for len(g.own.voids) > 0 {
		ctx, cancel := context.WithTimeout(ctx, logTimeout)
		_, err := g.c.Log.Append(ctx, g.own.voids[0])
		cancel()
		if err != nil {
			return fmt.Errorf("approval: nothing took effect, because the log could not be written: %w", err)
		}
		g.own.voids = g.own.voids[1:]
	}
	return nil
}

// load reads a ticket from the store and makes sure that the log stands behind it.
func (g *Gate) load(ctx context.Context, id string) (*written, error) {
	if !approval.ValidID(id) {
		return nil, unknownTicket(id)
	}
	ctx, cancel := context.WithTimeout(ctx, stateTimeout)
	defer cancel()
	item, err := g.c.KV.Get(ctx, ticketPrefix+id)
	if errors.Is(err, state.ErrNotFound) {
		return nil, unknownTicket(id)
	}
	if err != nil {
		return nil, fmt.Errorf("approval: reading ticket %s: %w", id, err)
	}
	w, err := g.accept(ctx, id, item)
	if err != nil {
		return nil, err
	}
	if w == nil {
		return nil, unknownTicket(id)
	}
	return w, nil
}

func unknownTicket(id string) *approval.Refusal {
	return approval.Refuse(approval.RuleUnknownTicket, fmt.Sprintf("there is no ticket %.40q", id), "list the tickets")
}

// settleAll carries through what the log holds and the store did not take.
func (g *Gate) settleAll(ctx context.Context) error {
	for id, u := range g.own.unsettled {
		w := &u.written
		data, err := w.Encode()
		if err != nil {
			return err
		}
		now, err := g.settle(ctx, w, data, errors.New("not tried yet"))
		switch {
		case err == nil:
			g.put(now.Record, now.rev)
			g.publish()
		case errors.Is(err, state.ErrConflict):
			g.void(ctx, u.ev)
		default:
			return fmt.Errorf("approval: entry %d is in the log and the store cannot be written: %w", w.Ticket.Entry, err)
		}
		delete(g.own.unsettled, id)
	}
	return nil
}

// accept takes an item of the store into the view if the log stands behind it. Otherwise the log wins: the item is put right, and what stands
// now is given, or nil when nothing does.
func (g *Gate) accept(ctx context.Context, id string, item state.Item) (*written, error) {
	known := g.known(id)
	if known != nil && known.rev == item.Rev {
		return known, nil
	}
	r, err := approval.DecodeRecord(id, item.Data)
	if err == nil && (known == nil || r.Version >= known.Version) {
		backed, err := g.backed(ctx, r, true)
		if err != nil {
			return nil, err
		}
		if backed {
			g.put(r, item.Rev)
			return &written{r, item.Rev}, nil
		}
	}
	g.repaired(id, "the store holds what the log does not")
	if known == nil {
		if err := g.c.KV.Delete(ctx, item.Key, item.Rev); err != nil {
			return nil, fmt.Errorf("approval: taking ticket %s out of the store: %w", id, err)
		}
		return nil, nil
	}
	data, err := known.Encode()
	if err != nil {
		return nil, err
	}
	rev, err := g.swap(ctx, item.Key, item.Rev, data)
	if err != nil {
		return nil, fmt.Errorf("approval: putting ticket %s right: %w", id, err)
	}
	g.put(known.Record, rev)
	return &written{known.Record, rev}, nil
}

// backed says whether r rests on an entry: of our log, or of the log of a node whose word we take. With effect it must not have been voided
// since, either.
func (g *Gate) backed(ctx context.Context, r *approval.Record, effect bool) (bool, error) {
	if r.Node != g.c.Node && slices.Contains(g.c.Peers, r.Node) {
		return true, nil
	}
	at, size := r.Ticket.Entry, g.c.Log.Size()
	if at >= size {
		return false, nil
	}
	entries, err := g.entries(ctx, at, at+1)
	if err != nil {
		return false, err
	}
	var ev approval.GateChanged
	if entries[0].Kind != audit.KindGateChanged || json.Unmarshal(entries[0].Body, &ev) != nil || ev.Record == nil || !ev.Record.Equal(r) {
		return false, nil
	}
	for from := at + 1; effect && from < size; from += replayBatch {
		entries, err := g.entries(ctx, from, min(size, from+replayBatch))
		if err != nil {
			return false, err
		}
		for _, e := range entries {
			var void approval.GateChanged
			if e.Kind == audit.KindGateChanged && json.Unmarshal(e.Body, &void) == nil && void.What == approval.NotApplied && void.Voids == ev.Change {
				return false, nil
			}
		}
	}
	return true, nil
}

// repaired counts a difference between the log and the store.
func (g *Gate) repaired(id, what string) {
	g.repairs.Add(1)
	g.logger.Error("the store did not agree with the log; the log won", "ticket", id, "difference", what)
}

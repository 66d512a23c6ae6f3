package gate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/state"
)

// horizon is how far back the log is read at a start. Clocks and caps let no ticket live longer than five days.
const horizon = 7 * 24 * time.Hour

const replayBatch = 256

// Restore compares the store with the log and puts the store right: the log wins. It gives the number of differences, each of which was also
// written to the logger. Run, and the first change before it, do the same; only the first of them counts.
func (g *Gate) Restore(ctx context.Context) (repaired int, err error) {
	if err := g.take(ctx); err != nil {
		return 0, fmt.Errorf("approval: waiting for the gate: %w", err)
	}
	defer g.leave()
	return g.restore(ctx)
}

// Repairs is the number of differences between log and store so far.
func (g *Gate) Repairs() int { return int(g.repairs.Load()) }

// candidate is what the log says of a ticket's newest version. Two nodes may have logged the same version at once: then the store tells which
// one won, or, without it, the first.
type candidate struct {
	*approval.Record
	seq uint64
}

func (g *Gate) restore(ctx context.Context) (int, error) {
	if g.own.restored {
		return 0, nil
	}
	before := g.repairs.Load()
	size := g.c.Log.Size()
	if err := g.restoreKeys(ctx, size); err != nil {
		return 0, err
	}
	logged, err := g.replay(ctx, size)
	if err != nil {
		return 0, err
	}
	items, err := g.c.KV.List(ctx, ticketPrefix)
	if err != nil {
		return 0, fmt.Errorf("approval: listing tickets: %w", err)
	}
	stored := map[string]state.Item{}
	for _, item := range items {
		stored[strings.TrimPrefix(item.Key, ticketPrefix)] = item
	}
	for _, id := range worthRestoring(logged, stored) {
		if err := g.reconcile(ctx, id, logged[id], stored[id], size); err != nil {
			return int(g.repairs.Load() - before), err
		}
	}
	for _, t := range g.openTickets() {
		if !t.State.Live() {
			continue
		}
		lost, err := g.recount(ctx, g.known(t.ID).Record)
		if err != nil {
			return int(g.repairs.Load() - before), err
		}
		if lost {
			g.repaired(t.ID, "the count of calls is lost and counts as used up")
		}
	}
	if err := g.catchClock(ctx, size); err != nil {
		return int(g.repairs.Load() - before), err
	}
	g.own.restored = true
	g.publish()
	return int(g.repairs.Load() - before), nil
}

// catchClock keeps a wall clock that was set back while nobody ran from giving open tickets, and reviews that are owed, more time: the gate's goes on from the last entry.
func (g *Gate) catchClock(ctx context.Context, size uint64) error {
	if size == 0 || !g.clocked() {
		return nil
	}
	last, err := g.entries(ctx, size-1, size)
	if err != nil {
		return err
	}
	if behind := g.clock.atLeast(last[0].Time); behind > time.Second {
		g.logger.Warn("the wall clock is behind the log: the gate's clock goes on from the last entry", "behind", behind)
	}
	return nil
}

// clocked says whether time runs out for any ticket.
func (g *Gate) clocked() bool {
	g.view.Lock()
	defer g.view.Unlock()
	for _, w := range g.view.tickets {
		if !w.Due().IsZero() || w.OwesReview() {
			return true
		}
	}
	return false
}

// replay reads the log backwards from size on and gives, for each ticket, the newest version that took effect.
func (g *Gate) replay(ctx context.Context, size uint64) (map[string][]candidate, error) {
	var (
		found = map[string][]candidate{}
		voids = map[string]bool{}
		since = time.Now().Add(-horizon)
	)
	for end := size; end > 0; {
		from := end - min(end, replayBatch)
		entries, err := g.entries(ctx, from, end)
		if err != nil {
			return nil, err
		}
		for _, e := range slices.Backward(entries) {
			if e.Kind != audit.KindGateChanged {
				continue
			}
			var ev approval.GateChanged
			if err := json.Unmarshal(e.Body, &ev); err != nil {
				return nil, fmt.Errorf("approval: reading entry %d: %w", e.Seq, err)
			}
			switch {
			case ev.What == approval.NotApplied:
				voids[ev.Voids] = true
			case ev.Record == nil || ev.Record.Ticket.ID != ev.Ticket || voids[ev.Change]:
			default:
				found[ev.Ticket] = newest(found[ev.Ticket], candidate{ev.Record, e.Seq})
			}
		}
		if len(entries) > 0 && entries[0].Time.Before(since) {
			break
		}
		end = from
	}
	return found, nil
}

// entries reads from..end whole, however many the log gives at once.
func (g *Gate) entries(ctx context.Context, from, end uint64) ([]audit.Entry, error) {
	var out []audit.Entry
	for from < end {
		part, err := g.c.Log.Entries(ctx, from, int(end-from))
		if err != nil {
			return nil, fmt.Errorf("approval: reading the log from %d: %w", from, err)
		}
		if len(part) == 0 {
			return nil, fmt.Errorf("approval: the log ends at %d, before its size", from)
		}
		for i := range part {
			part[i].Seq = from + uint64(i)
		}
		out, from = append(out, part...), from+uint64(len(part))
	}
	return out, nil
}

// newest keeps the candidates of the highest version; c stands before all of them in the log.
func newest(list []candidate, c candidate) []candidate {
	switch {
	case len(list) == 0 || c.Version > list[0].Version:
		return []candidate{c}
	case c.Version == list[0].Version:
		return slices.Insert(list, 0, c)
	}
	return list
}

// worthRestoring gives the tickets of log and store, newest first, without ended ones that only the log still keeps beyond the store's limit.
func worthRestoring(logged map[string][]candidate, stored map[string]state.Item) []string {
	var ids []string
	for id := range logged {
		ids = append(ids, id)
	}
	for id := range stored {
		if logged[id] == nil {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	slices.Reverse(ids)
	ended := 0
	return slices.DeleteFunc(ids, func(id string) bool {
		list := logged[id]
		if len(list) > 0 && list[0].Ticket.State.Terminal() {
			ended++
		}
		return stored[id].Rev == 0 && ended > maxClosed && (len(list) == 0 || list[0].Ticket.State.Terminal())
	})
}

// reconcile brings one ticket of the store in line with the log, which was replayed up to size, and takes it into the view.
func (g *Gate) reconcile(ctx context.Context, id string, logged []candidate, item state.Item, size uint64) error {
	var stored *approval.Record
	if item.Rev > 0 {
		stored, _ = approval.DecodeRecord(id, item.Data) // what cannot be read is put right like any other difference
	}
	if stored != nil && stored.Ticket.Entry >= size {
		// Another gate on this log was at work since: its entry is newer than what was replayed.
		backed, err := g.backed(ctx, stored, true)
		if err != nil {
			return err
		}
		if backed {
			g.put(stored, item.Rev)
			return nil
		}
	}
	if len(logged) == 0 {
		return g.unlogged(ctx, id, item)
	}
	right := logged[0]
	if stored != nil {
		for _, c := range logged {
			if c.Equal(stored) {
				right = c
			}
		}
		if right.Equal(stored) && stored.Ticket.Entry == right.seq {
			g.put(stored, item.Rev)
			return nil
		}
		if stored.Node != g.c.Node && slices.Contains(g.c.Peers, stored.Node) && stored.Version >= right.Version {
			g.put(stored, item.Rev) // its entry stands in the log of that node
			return nil
		}
	}
	r := right.Clone()
	r.Ticket.Entry = right.seq
	data, err := r.Encode()
	if err != nil {
		return err
	}
	rev, err := g.swap(ctx, ticketPrefix+id, item.Rev, data)
	if errors.Is(err, state.ErrConflict) {
		return nil // a node that is at work was faster; its write is judged when the ticket is next read
	}
	if err != nil {
		return fmt.Errorf("approval: putting ticket %s right: %w", id, err)
	}
	g.repaired(id, difference(stored, r))
	g.put(r, rev)
	return nil
}

func difference(stored, logged *approval.Record) string {
	switch {
	case stored == nil:
		return "the store did not have version " + fmt.Sprint(logged.Version)
	case stored.Version != logged.Version:
		return fmt.Sprintf("the store had version %d (%s), the log has %d (%s)", stored.Version, stored.Ticket.State, logged.Version, logged.Ticket.State)
	}
	return fmt.Sprintf("the store had another version %d (%s), the log has %s", stored.Version, stored.Ticket.State, logged.Ticket.State)
}

// unlogged judges an item whose ticket the log does not mention within the horizon. One that ended, and whose entry is there, is history; no other
// can be real.
func (g *Gate) unlogged(ctx context.Context, id string, item state.Item) error {
	r, err := approval.DecodeRecord(id, item.Data)
	peer := err == nil && r.Node != g.c.Node && slices.Contains(g.c.Peers, r.Node)
	if err == nil && (peer || !r.Ticket.State.Open()) {
		backed, err := g.backed(ctx, r, false)
		if err != nil {
			return err
		}
		if backed {
			g.put(r, item.Rev)
			return nil
		}
	}
	g.repaired(id, "the store holds what the log does not")
	if err := g.c.KV.Delete(ctx, item.Key, item.Rev); err != nil && !errors.Is(err, state.ErrConflict) {
		return fmt.Errorf("approval: taking ticket %s out of the store: %w", id, err)
	}
	return nil
}

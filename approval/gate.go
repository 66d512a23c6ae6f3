package approval

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of everything that grows.
const (
	maxOpen     = 256 // tickets that wait or are live
	maxClosed   = 500 // tickets that ended and are kept in the store; the log keeps all
	maxOpinions = 64
	maxNotices  = 64
	maxTries    = 16 // of one change against the changes of other nodes
)

// Keys of the store.
const (
	prefix       = "gate."
	ticketPrefix = prefix + "ticket."
	quotaPrefix  = prefix + "quota."
	proposeLease = prefix + "lease.propose"
	clockLease   = prefix + "lease.clock"
)

const (
	logTimeout   = 15 * time.Second // of one entry; a caller that goes away must not leave half a change
	stateTimeout = 5 * time.Second
	leaseFor     = 15 * time.Second
	retryEvery   = time.Second // after a failure, doubled up to the next two
	retryQuota   = 5 * time.Second
	retryClock   = 30 * time.Second
)

// Gate is the gate. Safe for concurrent use.
type Gate struct {
	c        Config
	logger   *slog.Logger
	clock    *steady
	settings atomic.Pointer[settings]

	// turn is taken by whoever changes a ticket: one change of this node at a time. A channel, because waiting for it ends with a context.
	turn chan struct{}
	own  struct { // belongs to the holder of turn
		ids       ulids
		restored  bool
		unsettled map[string]unsettled // logged, and the store did not answer
		uses      countedUses
		voids     []GateChanged // entries that did not take effect and whose voiding could not be logged yet
	}

	view struct {
		sync.Mutex // never held while anybody waits
		tickets    map[string]*written
		quotas     map[string]quota
		shut       map[string]bool // grants whose end is being written
		uses       map[string]use  // grants that went live on a derogation, by ticket
		first      map[string]int  // calls that openQuota reserved for a block that is not there yet
	}
	publishing sync.Mutex // keeps snapshots and calls of Changed in order; Changed must not block
	snap       atomic.Pointer[snapshot]

	keys      keys
	wakeClock chan struct{}
	wakeQuota chan struct{}
	repairs   atomic.Int64
	running   atomic.Bool
}

// written is a record and the revision of the store at which it stands.
type written struct {
	*Record
	rev uint64
}

// unsettled is a change that the log holds and of which the store did not say what became of it. rev is the one that it replaces.
type unsettled struct {
	written
	ev GateChanged
}

// snapshot is what the call path reads.
type snapshot struct {
	grants []Grant
	blocks map[string]*block
}

// New checks c and starts nothing.
func New(c Config) (*Gate, error) {
	if c.Log == nil || c.KV == nil || c.Node == "" || c.Pseudonym == nil {
		return nil, errors.New("approval: the gate needs a log, a store, a node name and pseudonyms")
	}
	s, err := newSettings(c.Rules, c.People, c.Catalogue, c.Pseudonym, nil)
	if err != nil {
		return nil, err
	}
	g := &Gate{
		c: c, logger: c.Logger, clock: newSteady(time.Now), turn: make(chan struct{}, 1),
		wakeClock: make(chan struct{}, 1), wakeQuota: make(chan struct{}, 1),
	}
	if g.logger == nil {
		g.logger = slog.New(slog.DiscardHandler)
	}
	g.c.Peers = filled(c.Peers)
	g.settings.Store(s)
	g.own.unsettled = map[string]unsettled{}
	g.view.tickets, g.view.quotas, g.view.first = map[string]*written{}, map[string]quota{}, map[string]int{}
	g.view.shut, g.view.uses = map[string]bool{}, map[string]use{}
	g.keys.ring = keyring{}
	g.snap.Store(&snapshot{grants: []Grant{}, blocks: map[string]*block{}})
	return g, nil
}

// Reload replaces rules, people and the catalogue of legal bases for tickets to come; open tickets keep theirs.
func (g *Gate) Reload(r Rules, p []Person, catalogue []Basis) error {
	s, err := newSettings(r, p, catalogue, g.c.Pseudonym, g.settings.Load())
	if err != nil {
		return err
	}
	g.settings.Store(s)
	return nil
}

// Tickets gives all known tickets, newest first.
func (g *Gate) Tickets() []Ticket {
	g.view.Lock()
	defer g.view.Unlock()
	out := make([]Ticket, 0, len(g.view.tickets))
	for id := range g.view.tickets {
		out = append(out, g.ticketLocked(id))
	}
	slices.SortFunc(out, func(a, b Ticket) int {
		if c := b.RequestedAt.Compare(a.RequestedAt); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return out
}

// openTickets gives those that wait or are live, in the order of their ids.
func (g *Gate) openTickets() []Ticket {
	g.view.Lock()
	defer g.view.Unlock()
	var out []Ticket
	for id, w := range g.view.tickets {
		if w.Ticket.State.open() {
			out = append(out, g.ticketLocked(id))
		}
	}
	slices.SortFunc(out, func(a, b Ticket) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Ticket gives one of them.
func (g *Gate) Ticket(id string) (Ticket, bool) {
	g.view.Lock()
	defer g.view.Unlock()
	if g.view.tickets[id] == nil {
		return Ticket{}, false
	}
	return g.ticketLocked(id), true
}

// ticketLocked is a copy of a known ticket with the calls spent as far as this node knows.
func (g *Gate) ticketLocked(id string) Ticket {
	t := g.view.tickets[id].Ticket.clone()
	if t.State.live() {
		t.Spent = g.view.quotas[id].used()
		if b := g.snap.Load().blocks[id]; b != nil {
			t.Spent += int(b.unreported())
		}
	}
	return t
}

// Grants is the snapshot of live grants, by one atomic read. It is the caller's to read and nobody's to change.
func (g *Gate) Grants() []Grant { return g.snap.Load().grants }

// take waits for the turn.
func (g *Gate) take(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case g.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *Gate) leave() { <-g.turn }

// put takes a record into the view unless a newer revision is there. It reports whether something changed.
func (g *Gate) put(r *Record, rev uint64) bool {
	g.view.Lock()
	defer g.view.Unlock()
	if old := g.view.tickets[r.Ticket.ID]; old != nil && old.rev >= rev {
		return false
	}
	g.view.tickets[r.Ticket.ID] = &written{r, rev}
	g.sawUse(&r.Ticket)
	return true
}

// drop takes a ticket out of the view when it was deleted at rev.
func (g *Gate) drop(id string, rev uint64) {
	g.view.Lock()
	defer g.view.Unlock()
	if old := g.view.tickets[id]; old != nil && old.rev < rev {
		delete(g.view.tickets, id)
		delete(g.view.quotas, id)
	}
}

func (g *Gate) known(id string) *written {
	g.view.Lock()
	defer g.view.Unlock()
	return g.view.tickets[id]
}

// publish makes the snapshot of grants anew and tells Changed when it is another one.
func (g *Gate) publish() {
	g.publishing.Lock()
	defer g.publishing.Unlock()
	old, now, ahead := g.snap.Load(), g.clock.now(), g.clock.ahead()
	fresh := &snapshot{grants: []Grant{}, blocks: map[string]*block{}}
	g.view.Lock()
	for id, w := range g.view.tickets {
		if !w.Ticket.State.live() {
			continue
		}
		if !w.isDue(now) && !g.view.shut[id] {
			fresh.grants = append(fresh.grants, w.grant(ahead))
		}
		// The block of a grant that is over gives no calls and keeps its count until the ticket is ended.
		b := old.blocks[id]
		if b == nil || !b.until.Equal(w.Ticket.GrantUntil) {
			b = newBlock(w, g.view.first[id])
			delete(g.view.first, id)
		}
		fresh.blocks[id] = b
	}
	g.view.Unlock()
	slices.SortFunc(fresh.grants, func(a, b Grant) int { return strings.Compare(a.ID, b.ID) })
	same := slices.EqualFunc(old.grants, fresh.grants, func(a, b Grant) bool {
		return a.ID == b.ID && a.Until.Equal(b.Until) && a.Entry == b.Entry
	})
	if same && len(old.blocks) == len(fresh.blocks) {
		return
	}
	g.snap.Store(fresh)
	if same {
		return
	}
	nudge(g.wakeQuota)
	if g.c.Changed != nil {
		g.c.Changed(slices.Clone(fresh.grants))
	}
}

// grant is r as others see it, who compare it with the wall clock: ahead is by how much that is behind the gate's.
func (r *Record) grant(ahead time.Duration) Grant {
	t := &r.Ticket
	return Grant{ID: t.ID, Scope: t.Plan.Scope.clone(), From: t.ActivatedAt.Add(-ahead), Until: t.GrantUntil.Add(-ahead), PlanHash: t.PlanHash, Entry: t.Entry}
}

// nudge wakes a goroutine that is not already about to wake.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// decodeQuota reads the count of a grant.
func decodeQuota(data []byte) (quota, error) {
	var q quota
	err := json.Unmarshal(data, &q)
	return q, err
}

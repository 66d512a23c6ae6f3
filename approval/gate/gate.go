// Package gate keeps the tickets: it takes the words of people, logs what they change, lets it take effect, ends what is over and counts the calls of grants.
//
// The log entry comes before the effect, always; state follows by compare-and-swap, and where the two differ the log wins. Which word counts is the matter of approval. It
// imports approval, approval/keyring, approval/sign, audit and state.
package gate

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

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/state"
)

// Limits of everything that grows.
const (
	maxOpen    = 256 // tickets that wait or are live
	maxClosed  = 500 // tickets that ended and are kept in the store; the log keeps all
	maxNotices = 64
	maxTries   = 16 // of one change against the changes of other nodes
)

// Keys of the store.
const (
	prefix       = "gate."
	ticketPrefix = prefix + "ticket."
	quotaPrefix  = prefix + "quota."
	proposeLease = prefix + "lease.propose"
	clockLease   = prefix + "lease.clock"
)

// Rules that act for the gate itself.
const (
	ruleActivation = approval.ByRule + "auto_activate"
	ruleClock      = approval.ByRule + "clock"
	ruleQuota      = approval.ByRule + "quota"
	ruleGate       = approval.ByRule + "gate"
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
		voids     []approval.GateChanged // entries that did not take effect and whose voiding could not be logged yet
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
	*approval.Record
	rev uint64
}

// unsettled is a change that the log holds and of which the store did not say what became of it. rev is the one that it replaces.
type unsettled struct {
	written
	ev approval.GateChanged
}

// snapshot is what the call path reads.
type snapshot struct {
	grants []approval.Grant
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
	g.c.Peers = slices.Clone(c.Peers)
	g.settings.Store(s)
	g.own.unsettled = map[string]unsettled{}
	g.view.tickets, g.view.quotas, g.view.first = map[string]*written{}, map[string]quota{}, map[string]int{}
	g.view.shut, g.view.uses = map[string]bool{}, map[string]use{}
	g.keys.ring = keyring.Ring{}
	g.snap.Store(&snapshot{grants: []approval.Grant{}, blocks: map[string]*block{}})
	return g, nil
}

// Reload replaces rules, people and the catalogue of legal bases for tickets to come; open tickets keep theirs.
func (g *Gate) Reload(r approval.Rules, p []approval.Person, catalogue []approval.Basis) error {
	s, err := newSettings(r, p, catalogue, g.c.Pseudonym, g.settings.Load())
	if err != nil {
		return err
	}
	g.settings.Store(s)
	return nil
}

// Tickets gives all known tickets, newest first.
func (g *Gate) Tickets() []approval.Ticket {
	g.view.Lock()
	defer g.view.Unlock()
	out := make([]approval.Ticket, 0, len(g.view.tickets))
	for id := range g.view.tickets {
		out = append(out, g.ticketLocked(id))
	}
	slices.SortFunc(out, func(a, b approval.Ticket) int {
		if c := b.RequestedAt.Compare(a.RequestedAt); c != 0 {
			return c
		}
		return strings.Compare(b.ID, a.ID)
	})
	return out
}

// openTickets gives those that wait or are live, in the order of their ids.
func (g *Gate) openTickets() []approval.Ticket {
	g.view.Lock()
	defer g.view.Unlock()
	var out []approval.Ticket
	for id, w := range g.view.tickets {
		if w.Ticket.State.Open() {
			out = append(out, g.ticketLocked(id))
		}
	}
	slices.SortFunc(out, func(a, b approval.Ticket) int { return strings.Compare(a.ID, b.ID) })
	return out
}

// Ticket gives one of them.
func (g *Gate) Ticket(id string) (approval.Ticket, bool) {
	g.view.Lock()
	defer g.view.Unlock()
	if g.view.tickets[id] == nil {
		return approval.Ticket{}, false
	}
	return g.ticketLocked(id), true
}

// ticketLocked is a copy of a known ticket with the calls spent as far as this node knows.
func (g *Gate) ticketLocked(id string) approval.Ticket {
	t := g.view.tickets[id].Ticket.Clone()
	if t.State.Live() {
		t.Spent = g.view.quotas[id].used()
		if b := g.snap.Load().blocks[id]; b != nil {
			t.Spent += int(b.unreported())
		}
	}
	return t
}

// Grants is the snapshot of live grants, by one atomic read. It is the caller's to read and nobody's to change.
func (g *Gate) Grants() []approval.Grant { return g.snap.Load().grants }

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
func (g *Gate) put(r *approval.Record, rev uint64) bool {
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
	fresh := &snapshot{grants: []approval.Grant{}, blocks: map[string]*block{}}
	g.view.Lock()
	for id, w := range g.view.tickets {
		if !w.Ticket.State.Live() {
			continue
		}
		if !w.IsDue(now) && !g.view.shut[id] {
			fresh.grants = append(fresh.grants, w.Grant(ahead))
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
	slices.SortFunc(fresh.grants, func(a, b approval.Grant) int { return strings.Compare(a.ID, b.ID) })
	same := slices.EqualFunc(old.grants, fresh.grants, func(a, b approval.Grant) bool {
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

// Config of a Gate.
type Config struct {
	Rules  approval.Rules
	People []approval.Person
	// Catalogue is every legal basis that a plan may name.
	Catalogue []approval.Basis
	Log       audit.Log
	KV        state.KV
	Node      string
	// Pseudonym turns a person's id into the word that the log may carry.
	Pseudonym func(person string) string
	// Peers are nodes whose logs are elsewhere and whose writes to KV count all the same. Writes of anybody else count only when Log holds them.
	Peers []string
	// Changed is told after the grants snapshot changed; may be nil, must not block.
	Changed func([]approval.Grant)
	// Adopt is told of a change of the policy when people have approved it; may be nil, must not block. The node puts it in force and calls Adopted.
	Adopt  func(approval.Ticket)
	Logger *slog.Logger
}

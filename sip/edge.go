// Package sip is the B2BUA: it admits calls, asks for a plan, walks its hops, keeps both legs' dialogs and tells what happened.
//
// Transport, transactions and dialogs are sub-rooms of ours; of sipgo only messages and parser are used. One call is one actor on one loop: no lock in call
// logic, no I/O that blocks. It imports audit, media, routing and sovereign.
package sip

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/digest"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/trace"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"
)

// Planner is what the edge needs of routing.
type Planner interface {
	Plan(routing.Request) routing.Plan
}

// Party is the SIP profile of one trunk or edge group.
type Party struct {
	Name     string
	Kind     sovereign.PartyKind
	Sources  []netip.Prefix // addresses its requests come from
	Peers    []string       // names its client certificate must carry (mTLS); empty: sources alone decide
	Keys     bool           // media is keyed by SDES, so the signalling hop sees the keys
	TLS      *transport.TLSProfile
	Leg      media.Leg // template: Party, Secure and Purpose are filled per call
	Fallback Fallback
	Domain   string // host part of From and of the request URI toward it; "" : the target's name
	Contact  string // FQDN in our Contact toward it; "" : our address
	Auth     *Credentials
	Trusted  bool          // RFC 3325: P-Asserted-Identity is taken from it and sent to it
	Rel100   string        // "end" (default: ended here) | "pass"
	Early    string        // early media that it sends: "pass" (default) | "authorised" (by its P-Early-Media, RFC 5009) | "block"
	EndDead  bool          // a call is ended when media on its leg is dead, emergency calls apart; else it is told alone
	Hold     string        // "relay" (default: it is told of holds of the other side) | "local": they are answered here
	Refresh  time.Duration // session interval, RFC 4028; 0: 30 min; negative: off
	Within   Deadlines
	MaxCalls int
	MaxCPS   float64 // new calls per second, in each direction; 0: no limit
	Guard    Guard
	// Reroute has a call that this party answered go on with another one when the law closes this one's place; else it ends, at once or as its leave says.
	Reroute   bool
	RerouteOn map[string]bool // the same by route, where its routes differ
	// LargeByTCP sends requests over 1,300 bytes that would go to it by UDP over TCP instead, to the same address (RFC 3261 section 18.1.1).
	LargeByTCP bool
	Messages   []string // content types of pager-mode messages (RFC 3428) that may go to it; nil: text/plain
	// Transfer says what a REFER of this party does: "local" (default: planned, judged and done here), "relay" (sent on to the other side) or "refuse", which
	// declines INVITE with Replaces, too.
	Transfer string
	Headers  []string // further end-to-end headers that may cross, e.g. "X-Genesys-Conversation-ID"
	Cross    Crossing
	// Challenge is what it must prove before its new requests are taken; nil: its source is enough.
	Challenge *Challenge
	Registers bool      // it may register with us: what it registers becomes its targets
	Register  *Register // we register with it; nil: not

	well *well // nil of a party that no edge has taken
}

// Guard is how far a party is trusted on the wire. The zero value is the careful one.
type Guard struct {
	Scanners  bool                // it may name itself as scanners do
	Overload  bool                // we announce overload control to it and hold back what it asks us to (RFC 7339, RFC 7415)
	Reuse     bool                // requests to it may use a connection that it opened with a verified identity of its own (RFC 5923)
	Keepalive transport.Keepalive // of the connections that we open to it
	Conns     int                 // most connections that it may hold open to us; 0: the limit per source alone
}

// Credentials for digest authentication toward a carrier.
type Credentials struct {
	User, Realm string
	Password    func() string
	Algorithms  []digest.Algorithm // that may be answered; nil: all, the strongest first
}

// Deadlines of one attempt. Zero fields take the defaults of the transport.
type Deadlines struct {
	First    time.Duration // any response: 2.0 s UDP, 1.5 s TCP/TLS
	Progress time.Duration // 100 to 18x: 12 s
	Ring     time.Duration // first 18x to final: 60 s; anew with each 182, for 5 min in all
	Setup    time.Duration // all attempts until the first 18x: 30 s
}

// Config of an Edge.
type Config struct {
	Product     string // Server and User-Agent; "" sends neither
	Listeners   []transport.Listener
	Dial        transport.Config // the way out, times and bounds; what the edge knows itself is set here
	Fence       *sovereign.Fence
	Parties     []Party
	Planner     Planner
	AsksForHelp func(routing.Request) bool // cheap: is this an emergency call? nil asks the Planner
	Outcome     func(healthcheck.Outcome)  // told after each attempt; must not block
	// Try takes the one call that a half-open target may get, in the view of a canary drill where one is named; nil: none is ever taken.
	Try    func(target, drill string) bool
	Left   func(drill string) // told once of each new call whose plan names a drill: it has ended, or never began; nil: nobody counts them
	Spend  func(grant string) bool
	Refund func(grant string)
	// Evidence is what else speaks for or against the place of a party's address, for receipts: shared, so that nobody changes it. It is asked for each leg; nil: nothing is known.
	Evidence func(party string, addr netip.Addr) []audit.Evidence
	// MediaEvidence is that for an address of media. It is asked when the call has ended, and may wait for somebody who weighs.
	MediaEvidence func(party string, addr netip.Addr) []audit.Evidence
	RTTMin        func(targetID string) time.Duration // the shortest round trip that was ever measured to a target; 0 or nil: none was
	Incident      func(r *audit.Receipt) string       // the incident that a call fell into, by what its receipt says so far, "" for none; nil: nobody knows of any
	Carried       func(ref string, r *media.Report)   // told of the media of each call that has ended, before its receipt is written; must not block, nor keep r; nil: nobody counts it
	Relay         *media.Relay
	Log           audit.Log
	Intents       audit.Intents
	Names         audit.Pseudonyms
	Table         func() *healthcheck.Table                        // the targets that are registered with
	Bind          func(party string, list []healthcheck.Bound)     // told what a party registered; must not call back
	Enrolled      func(target string, registered bool, why string) // told how our registration with a target stands; must not call back
	OnLogFailure  string                                           // "refuse" (default) | "continue_with_gap"
	Stranger      string                                           // "silence" (default) | "403": what an unknown but permitted source gets
	MaxCalls      int
	Scanners      []string // product or display names, whole, of scanners beside those that are known
	RatePerSource float64  // new calls per second per source; 0: 50
	Timers        transaction.Timers
	Loops         int // default GOMAXPROCS
	Logger        *slog.Logger
	Metrics       prometheus.Registerer
	Tap           func(out bool, f transport.Flow, b []byte)
	Trace         *trace.Book // remembers what calls look like on the wire; nil: nobody does
	// Endpoint opens the media of a synthetic caller, whose far end is l: media.NewEndpoint with the fence and the sockets of the relay. nil: Place refuses.
	Endpoint func(l media.Leg, t media.Tone) (*media.Endpoint, error)
	Outlive  Outlive // how calls outlive this process; the zero value: they end with it
	// Impaired is what a drill has taken away; nil: nothing ever is. It is asked for each message.
	Impaired Impairments
	// Announcements are those of routes, by name, whose plans have Announce; the relay must have them (media.Relay.Stock).
	Announcements map[string]Announcement
}

// Edge is the running B2BUA.
type Edge struct {
	c        Config
	tl       *transport.Layer
	shards   []*shard
	profiles atomic.Pointer[profiles]

	announcements atomic.Pointer[map[string]Announcement]

	screen      *screen
	guard       *digest.Guard
	brake       digest.Brake
	registrar   *registrar
	registrants *registrants
	draining    atomic.Bool
	leaving     atomic.Bool // the end of Run leaves the calls that are up
	metrics     *metrics
	log         *slog.Logger

	active  atomic.Int64
	waiting atomic.Int64 // records that wait for the log
	live    roll
	sheets  sheets
	dialed  sync.Map // dialKey -> party that we contact there
	dialedN atomic.Int64
	ids     sync.Map // Session-ID and called user of live calls: loop detection
	guests  guests
	aliases aliases
	load    loads
	away    away

	rates     rates
	throttles throttles
	narrows   narrows

	server, agent msg.Header // our names in responses and requests; nil: none

	tasks atomic.Int64 // that may block, or wait for the log
	crew  crew
	base  context.Context
	stop  context.CancelFunc
}

// New checks c and starts nothing.
func New(c Config) (*Edge, error) {
	switch {
	case c.Fence == nil:
		return nil, errors.New("sip: a fence is needed")
	case c.Planner == nil:
		return nil, errors.New("sip: a planner is needed")
	case c.Relay == nil:
		return nil, errors.New("sip: a media relay is needed")
	case c.Log == nil || c.Intents == nil || c.Names == nil:
		return nil, errors.New("sip: log, intents and pseudonyms are needed")
	case c.OnLogFailure != "" && c.OnLogFailure != "refuse" && c.OnLogFailure != continueWithGap:
		return nil, fmt.Errorf("sip: on_log_failure %q: want refuse or %s", c.OnLogFailure, continueWithGap)
	case c.Stranger != "" && c.Stranger != "silence" && c.Stranger != "403":
		return nil, fmt.Errorf("sip: stranger %q: want silence or 403", c.Stranger)
	}
	if c.Loops <= 0 {
		c.Loops = runtime.GOMAXPROCS(0)
	}
	c.Loops = min(c.Loops, len(alphabet))
	if c.RatePerSource == 0 {
		c.RatePerSource = 50
	}
	if c.Timers.T1 <= 0 {
		c.Timers.T1 = 500 * time.Millisecond
	}
	if c.Timers.T2 <= 0 {
		c.Timers.T2 = 4 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, err
	}
	if m.registrationMetrics, err = newRegistrationMetrics(c.Metrics); err != nil {
		return nil, err
	}
	if m.causeMetrics, err = newCauseMetrics(c.Metrics); err != nil {
		return nil, fmt.Errorf("sip: metrics: %w", err)
	}
	e := &Edge{c: c, log: c.Logger, metrics: m, guard: digest.NewGuard(0)}
	e.Announce(c.Announcements)
	e.crew.busy = &e.tasks
	if c.Product != "" {
		e.server, e.agent = msg.NewHeader("Server", c.Product), msg.NewHeader("User-Agent", c.Product)
	}
	e.registrar = &registrar{e: e, wake: make(chan struct{}, 1)}
	e.base, e.stop = context.WithCancel(context.Background())
	if err := e.Reload(c.Parties); err != nil {
		return nil, err
	}
	e.screen = newScreen(e)
	tc := c.Dial
	tc.Listeners, tc.Fence, tc.Screen, tc.Handler = c.Listeners, c.Fence, e.screen, e
	tc.Logger, tc.Metrics, tc.Tap = c.Logger, c.Metrics, c.tapped()
	tc.Keep, tc.PartyConns, tc.Reuse = e.keepalive, e.partyConns, e.reuses
	tl, err := transport.New(tc)
	if err != nil {
		return nil, fmt.Errorf("sip: transport: %w", err)
	}
	e.tl = tl
	for i := range c.Loops {
		e.shards = append(e.shards, newShard(e, i))
	}
	e.registrants = newRegistrants(e.shards[0])
	return e, nil
}

// grace is how long an ending edge waits for the answers to its BYEs, and finality for receipts that are still being written.
const (
	grace    = 2 * time.Second
	finality = 5 * time.Second
)

// Run serves until ctx ends; live calls are ended with BYE then, or left to a later process after Leave. Drain first for a graceful stop.
func (e *Edge) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	for _, s := range e.shards {
		wg.Go(func() {
			_ = s.loop.Run(inner)
			s.tx.Flush()
		})
		s.loop.Post(s.sweep)
	}
	defer e.c.Fence.OnSwap(e.lookAgain)()
	wg.Go(func() { e.screen.report(inner) })
	wg.Go(func() { e.registrar.run(inner) })
	e.shards[0].loop.Post(e.registrants.tick)
	wg.Go(func() {
		if err := e.tl.Run(inner); err != nil && inner.Err() == nil {
			failed <- fmt.Errorf("sip: transport: %w", err)
		}
	})
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	e.draining.Store(true)
	for _, s := range e.shards {
		if e.leaving.Load() {
			s.loop.Post(s.leave)
		} else {
			s.loop.Post(s.endAll)
		}
	}
	e.shards[0].loop.Post(e.registrants.stop)
	e.settle()
	e.stop()
	for deadline := time.Now().Add(finality); e.tasks.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(10 * time.Millisecond)
	}
	cancel()
	wg.Wait()
	for e.tasks.Load() > 0 { // each has a limit of its own
		time.Sleep(10 * time.Millisecond)
	}
	e.crew.dismiss()
	return err
}

// settle waits until the transactions that end live calls are answered, but not longer than the grace.
func (e *Edge) settle() {
	deadline := time.Now().Add(grace)
	for time.Now().Before(deadline) {
		busy := make(chan int, len(e.shards))
		for _, s := range e.shards {
			s.loop.Post(func() { busy <- s.ending() })
		}
		sum := 0
		for range e.shards {
			sum += <-busy
		}
		if sum == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// off runs what may block, away from the loops; Run waits for it.
func (e *Edge) off(f func()) { e.crew.do(f) }

// Reload swaps the parties: calls that are up keep the profile that they were admitted with.
func (e *Edge) Reload(p []Party) error {
	n, err := newProfiles(p)
	if err != nil {
		return err
	}
	for _, p := range n.byName {
		p.well = &well{}
	}
	e.profiles.Store(n)
	e.forgetRates(p)
	if e.registrants != nil {
		e.registrar.reload(n)
		e.shards[0].loop.Post(e.registrants.mended)
	}
	return nil
}

// Drain answers new calls and OPTIONS with 503 and waits until no call is left or ctx ends.
func (e *Edge) Drain(ctx context.Context) error {
	e.draining.Store(true)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for e.active.Load() > 0 {
		select {
		case <-ctx.Done():
			return fmt.Errorf("sip: %d calls are still up: %w", e.active.Load(), ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// Receive takes one message from the transport and hands it to the loop that owns its Call-ID, so that a call's messages keep their order.
func (e *Edge) Receive(in transport.Incoming) {
	id := in.Msg.CallID()
	if id == nil {
		return
	}
	s := e.shards[shardOf(id.Value(), len(e.shards))]
	if !e.admit(s, in, id.Value()) {
		s.loop.Deliver(s.taker, in)
	}
}

// Lost tells every loop that a flow died.
func (e *Edge) Lost(f transport.Flow, err error) {
	e.narrows.lost(e, f, err)
	for _, s := range e.shards {
		s.loop.Post(func() { s.tx.Lost(f, err) })
	}
	e.registrar.lost(f)
	e.shards[0].loop.Post(func() { e.registrants.lost(f) })
}

// own is how Call-IDs of ours begin; the character behind it names the loop.
const own = "cdn"

// newCallID makes a Call-ID that comes back to this loop. It says nothing of who made it or where.
func (s *shard) newCallID() string {
	var room [len(own) + 1]byte
	return s.dice.token(string(append(append(room[:0], own...), alphabet[s.id])), 24)
}

// shardOf places a Call-ID: ours by the loop written into it, others by their hash. The rule is a function of the Call-ID alone, so a forged one is harmless.
func shardOf(callID string, n int) int {
	if len(callID) == len(own)+25 && callID[:len(own)] == own {
		for i := range n {
			if alphabet[i] == callID[len(own)] {
				return i
			}
		}
	}
	h := uint32(2166136261) // FNV-1a
	for i := range len(callID) {
		h = (h ^ uint32(callID[i])) * 16777619
	}
	return int(h % uint32(n))
}

// Calls lists the live calls, for people: references, no numbers.
func (e *Edge) Calls() []CallView {
	var out []CallView
	for _, c := range e.live.all() {
		if v, ok := c.look(); ok {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b CallView) int {
		if d := a.Since.Compare(b.Since); d != 0 {
			return d
		}
		return strings.Compare(a.Ref, b.Ref)
	})
	return out
}

// MediaMoved logs a far end of media that moved after it was first latched, or that was refused. It is media.Config.Moved; it does not block.
func (e *Edge) MediaMoved(session string, m media.Move) {
	if m.Allowed && !m.From.IsValid() {
		return // the first latch is the receipt's matter, not a move
	}
	c := e.live.of(session)
	if c == nil {
		return
	}
	ref := c.ref.Load()
	if ref == nil {
		return
	}
	if m.Cause == "law" && !m.Allowed && !m.RTCP && m.Ruling.Ground == sovereign.GroundContradicted {
		c.sh.loop.Post(func() { c.displaced(sideName(m.Side)) })
	}
	ev, session := audit.MediaMoved{CallRef: *ref, Move: receiptMove(m)}, ""
	if s := c.view.get(); s.state != "" {
		session = header.SessionValue(s.ids.a, s.ids.b)
	}
	e.off(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(e.base), finality)
		defer cancel()
		if _, err := e.c.Log.Append(ctx, ev); err != nil {
			e.log.Warn("a media move could not be logged", "call", ev.CallRef, "session", session, "error", err)
		}
	})
}

// loads counts the live calls of each party. Looking one up needs no memory.
type loads struct {
	sync.RWMutex
	of map[string]*atomic.Int64
}

// partyLoad counts the live calls of one party.
func (e *Edge) partyLoad(name string) *atomic.Int64 {
	e.load.RLock()
	n := e.load.of[name]
	e.load.RUnlock()
	if n != nil {
		return n
	}
	e.load.Lock()
	defer e.load.Unlock()
	if n = e.load.of[name]; n == nil {
		if e.load.of == nil {
			e.load.of = map[string]*atomic.Int64{}
		}
		n = new(atomic.Int64)
		e.load.of[name] = n
	}
	return n
}

// roll is the live calls by their media session, until their record is written: for Calls and MediaMoved, never for call logic.
type roll struct {
	sync.Mutex
	calls map[string]*call
}

func (r *roll) add(c *call) {
	r.Lock()
	defer r.Unlock()
	if r.calls == nil {
		r.calls = map[string]*call{}
	}
	r.calls[c.id] = c
}

func (r *roll) remove(c *call) {
	r.Lock()
	defer r.Unlock()
	delete(r.calls, c.id)
}

// of gives the call of a media session; nil without one.
func (r *roll) of(session string) *call {
	r.Lock()
	defer r.Unlock()
	return r.calls[session]
}

func (r *roll) all() []*call {
	r.Lock()
	defer r.Unlock()
	return slices.Collect(maps.Values(r.calls))
}

// CallView is one line of `cordon status` and the API.
type CallView struct {
	Ref     string // audit reference
	Trunk   string
	Group   string
	State   string // trying | ringing | up | ending
	Purpose string
	Drill   string // in whose view it was planned; "": in none
	Route   string
	Since   time.Time
	Path    []string // regions of the legs
	Report  media.Report
}

// Package cordon is the hall: it builds every room from one configuration, binds the sockets, wires the rooms to one another and runs
// them until told to stop. It is the only package that sees every room.
package cordon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/gate"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/worm"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/drill/board"
	"github.com/cordonsip/cordon/drill/observe"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/incident"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/media/link"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/notify/cosign"
	"github.com/cordonsip/cordon/notify/spans"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sip/trace"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/state"
	"github.com/cordonsip/cordon/state/book"
	"github.com/prometheus/client_golang/prometheus"
)

// Net is the network as a parameter: real sockets or a virtual network.
type Net interface {
	ListenUDP(addr netip.AddrPort) (sovereign.UDPConn, error)
	ListenTCP(addr netip.AddrPort) (net.Listener, error)
	DialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// Options of a node. Config and Net are required.
type Options struct {
	Config   *configs.Config
	Net      Net
	Software string // version and commit, for the log
	// Memory keeps log, state and keys in memory: for tests in virtual time and for trying things out. Nothing outlives the process.
	Memory  bool
	Media   []string  // starts a media process, where the configuration leaves that open or wants one; nil: where it wants one, and this program with "media" does
	Console io.Writer // where console notices go; nil discards them
	Logger  *slog.Logger
	Metrics *prometheus.Registry // nil makes one
	// Tap sees every SIP message that crosses the wire; may be nil, must not block or keep b.
	Tap func(out bool, f transport.Flow, b []byte)
}

// Node is one running cordon.
type Node struct {
	opts   Options
	logger *slog.Logger

	keys    *nodeKeys
	log     audit.Log
	origin  string // its name
	crashed bool
	intents audit.Intents
	names   audit.Pseudonyms
	kv      state.KV
	calls   *book.Book // that are up; nil: they end with us
	left    []sip.Kept // of the last run, until they are taken up

	fence     *sovereign.Fence
	policy    *policyKeeper
	charters  *charters
	atStart   *weighed // what becomes of the configuration that we were given
	endings   *endings
	refusals  *refusals
	logWatch  *logWatch
	clock     *clockWatch
	archive   *archive
	reviews   *reviews
	drills    *drillKeeper
	answers   *answerLog
	places    *placeKeeper
	inventory *inventoryKeeper
	resolver  *resolve.Resolver
	checker   *healthcheck.Checker
	gate      *gate.Gate
	outlook   *outlook
	desk      *desk.Desk
	router    *routing.Router
	views     *views     // production's, and that of a canary drill
	cutting   sync.Mutex // one cut, or its end, at a time
	ruling    sync.Mutex // rules are swapped by one at a time: a reload, a changed number table
	relay     *media.Relay
	media     *link.Client          // nil: this process carries the packets
	upgraded  *audit.MediaRestarted // a media process of another build left us its calls; nil once the log has it
	edge      *sip.Edge
	book      *trace.Book // nil: no call is remembered
	collector *trace.Collector
	notifier  *notify.Follower
	spans     *spans.Follower // nil: no collector
	asker     *cosign.Asker   // nil: no witness
	incidents *incident.Follower
	copier    *worm.Copier // nil: no copy of the log
	api       *admin.Server

	listeners []boundListener
	certs     *certKeeper

	board      *board.Board // what a drill has taken away: whoever sets it calls met
	renamed    renamed
	playing    atomic.Bool // one drill at a time
	noticed    atomic.Pointer[observe.Observer]
	departures atomic.Pointer[departures]
	drillSent  func(party string) uint64 // counts datagrams in our place, where somebody stands at the wire; nil: nobody does

	stages  []*stage
	failed  chan error
	why     string // of the stop
	started time.Time
	stopped sync.Once
	cfg     atomic.Pointer[configs.Config] // that runs
	filed   atomic.Pointer[configs.Config] // as the file has it; they differ while a wider policy waits for people

	unmarked atomic.Bool // it was said that media leaves without its code point

	reloading chan struct{} // has room for the one reload that is under way
}

// New refuses tokens that two people share, opens the log and the state, makes the node's keys on first run, binds every socket and builds the rooms. It starts no goroutine of ours;
// call Start, or Close to give everything back.
func New(ctx context.Context, o Options) (*Node, error) {
	if o.Config == nil || o.Net == nil {
		return nil, errors.New("cordon: a configuration and a network are required")
	}
	if err := o.Config.DistinctTokens(); err != nil {
		return nil, fmt.Errorf("cordon: %w", err)
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Metrics == nil {
		o.Metrics = prometheus.NewRegistry()
	}
	if o.Console == nil {
		o.Console = io.Discard
	}
	n := &Node{opts: o, logger: o.Logger, failed: make(chan error, 1), why: "asked to stop", board: &board.Board{}, reloading: make(chan struct{}, 1)}
	n.cfg.Store(o.Config)
	for _, step := range []func(context.Context) error{n.openGround, n.admitPolicy, n.openPolicy, n.bind, n.buildSenses, n.buildJudgement, n.buildTrace, n.buildDoors} {
		if err := step(ctx); err != nil {
			n.Close(ctx)
			return nil, fmt.Errorf("cordon: %w", err)
		}
	}
	return n, nil
}

// Start writes the first entries of the run and starts the rooms. It returns at once.
func (n *Node) Start(ctx context.Context) error {
	n.started = time.Now()
	if err := n.firstEntries(ctx); err != nil {
		return fmt.Errorf("cordon: start: %w", err)
	}
	// In the order of dependence; Stop ends them the other way round.
	n.run("policy", n.policy.Run)
	n.run("refusals", n.refusals.Run)
	n.run("log", n.logWatch.Run)
	n.run("clock", n.clock.Run)
	n.run("archive", n.archive.Run)
	n.run("answers", n.answers.Run)
	n.run("places", n.places.Run)
	n.run("media places", n.places.Follow)
	n.run("certs", n.certs.Run)
	n.run("gate", n.gate.Run)
	n.run("endings", n.endings.Run)
	if n.book != nil {
		n.run("trace", n.book.Run)
	}
	if n.collector != nil {
		n.run("hep", n.collector.Run)
	}
	if err := n.resume(ctx); err != nil {
		return fmt.Errorf("cordon: start: taking up calls: %w", err)
	}
	if n.media != nil { // what it has to tell is of calls that are taken up
		n.run("media process", n.media.Run)
	}
	n.run("media", n.relay.Run)
	if n.calls != nil {
		n.run("calls", n.calls.Run)
	}
	n.run("sip", n.edge.Run)
	n.run("routing", n.router.Run)
	n.run("outlook", n.outlook.Run)
	n.run("tables", (&tableWatch{node: n}).Run)
	n.run("healthcheck", n.checker.Run)
	n.run("inventory", n.inventory.Run)
	n.run("incidents", n.incidents.Run)
	n.run("reviews", n.reviews.Run)
	n.run("drills", n.drills.Run)
	n.run("notify", n.notifier.Run)
	if n.spans != nil {
		n.run("spans", n.spans.Run)
	}
	if n.asker != nil {
		n.run("witnesses", n.asker.Run)
	}
	if n.copier != nil {
		n.run("copy", n.copier.Run)
	}
	if n.api != nil {
		n.run("admin", n.api.Run)
	}
	n.logger.Info("cordon is up", "node", n.cfg.Load().File.Node.Name, "listeners", n.Addrs())
	return nil
}

// Run is Start, then waits until ctx ends or a room fails, then stops: it drains for at most drain, or where calls outlive us leaves them up, unless the cause of
// the end of ctx is ErrEndCalls.
func (n *Node) Run(ctx context.Context, drain time.Duration) error {
	if err := n.Start(ctx); err != nil {
		n.Close(ctx)
		return err
	}
	var err error
	select {
	case <-ctx.Done():
	case err = <-n.failed:
		n.why = err.Error()
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), quitWithin+drain+10*time.Second)
	defer cancel()
	return errors.Join(err, n.stop(stopping, drain, context.Cause(ctx)))
}

// Stop ends the drill that runs and has everything given back, refuses new calls, waits for live ones for at most drain, or where they outlive us for what is under way in
// them, ends the rooms last-in-first-out, writes the last entry and closes everything.
func (n *Node) Stop(ctx context.Context, drain time.Duration) error { return n.stop(ctx, drain, nil) }

func (n *Node) stop(ctx context.Context, drain time.Duration, why error) error {
	var err error
	n.stopped.Do(func() {
		n.drills.quit(ctx)
		left := n.drain(ctx, drain, why)
		for i := len(n.stages) - 1; i >= 0; i-- {
			err = errors.Join(err, n.stages[i].end())
		}
		if _, e := n.log.Commit(ctx, audit.NodeStopped{Reason: n.why, Calls: left}); e != nil {
			err = errors.Join(err, e)
		} else if n.asker != nil {
			n.asker.Finish(ctx) // the last entry, too
		}
		if n.copier != nil {
			n.copier.Finish(ctx) // with what the witnesses signed of it
		}
		n.Close(ctx)
	})
	return err
}

// Close gives back sockets, log and state without a last entry. Stop calls it.
func (n *Node) Close(ctx context.Context) {
	for _, l := range n.listeners {
		l.close()
	}
	if n.api != nil {
		n.api.Close()
	}
	if n.media != nil {
		n.media.Disconnect()
	}
	if n.calls != nil {
		if err := n.calls.Close(); err != nil {
			n.logger.Warn("closing the book of calls", "error", err)
		}
	}
	for _, c := range []io.Closer{closerOf(n.kv), closerOf(n.intents), closerOf(n.names)} {
		if c != nil {
			if err := c.Close(); err != nil {
				n.logger.Warn("closing", "error", err)
			}
		}
	}
	if n.log != nil {
		if err := n.log.Close(ctx); err != nil {
			n.logger.Warn("closing the log", "error", err)
		}
	}
}

func closerOf(v any) io.Closer {
	c, _ := v.(io.Closer)
	return c
}

// stage is one running room.
type stage struct {
	name   string
	cancel context.CancelFunc
	done   chan struct{}
	err    error
}

func (n *Node) run(name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &stage{name: name, cancel: cancel, done: make(chan struct{})}
	n.stages = append(n.stages, s)
	go func() {
		defer close(s.done)
		err := f(ctx)
		if err == nil && ctx.Err() == nil {
			err = errors.New("ended by itself")
		}
		if err != nil && ctx.Err() == nil {
			s.err = fmt.Errorf("cordon: %s: %w", name, err)
			select {
			case n.failed <- s.err:
			default:
			}
		}
	}()
}

func (s *stage) end() error {
	s.cancel()
	<-s.done
	return s.err
}

// firstEntries tells the log that we run, and what is missing when the last run did not end in order.
func (n *Node) firstEntries(ctx context.Context) error {
	tenant := n.cfg.Load().File.Tenant
	if _, err := n.log.Commit(ctx, audit.NodeStarted{Addrs: n.Addrs(), Crash: n.crashed, Name: tenant.Name, LEI: tenant.LEI}); err != nil {
		return err
	}
	if open := n.lost(); n.crashed || n.calls != nil && len(open) > 0 {
		gap := audit.Gap{From: n.lastEntry(ctx), To: time.Now().UTC(), Cause: "restart", Lost: uint64(len(open)), Calls: open}
		if n.crashed {
			gap.Cause = "crash"
		}
		if _, err := n.log.Commit(ctx, gap); err != nil {
			return err
		}
		for _, ref := range open {
			n.intents.End(ref)
		}
	}
	if err := n.declarePolicy(ctx); err != nil {
		return err
	}
	if err := n.policy.announce(ctx, "start", ""); err != nil {
		return err
	}
	if err := n.restoreDesk(ctx); err != nil {
		return err
	}
	if cuts := cutsOf(n.desk.Book()); len(cuts) > 0 { // before anything is sent
		n.policy.cut(cuts)
	}
	return n.restoreGate(ctx)
}

// restoreGate takes up the tickets of the last run, and ends those that people decided under another policy or another law.
func (n *Node) restoreGate(ctx context.Context) error {
	repaired, err := n.gate.Restore(ctx)
	if err != nil {
		return err
	}
	if repaired > 0 {
		n.logger.Warn("the state differed from the log and was put right", "tickets", repaired)
	}
	if err := n.endAdopted(ctx); err != nil {
		return err
	}
	s := n.fence.Snapshot()
	err = n.gate.Invalidate(ctx, "the node started with another policy or another law table", func(t approval.Ticket) bool {
		return t.Plan.PolicyDigest != s.PolicyDigest() || t.Plan.FactsDigest != s.FactsDigest() || n.charters.void(t)
	})
	return errors.Join(err, n.gate.Invalidate(ctx, "its legal basis left the catalogue or changed there", n.gate.BasisGone))
}

// lastEntry is the time of the last entry before this run.
func (n *Node) lastEntry(ctx context.Context) time.Time {
	if size := n.log.Size(); size >= 2 {
		if e, err := n.log.Entries(ctx, size-2, 1); err == nil && len(e) == 1 {
			return e[0].Time
		}
	}
	return time.Time{}
}

// Addrs are the SIP listeners as bound, e.g. "tls 192.0.2.10:5061".
func (n *Node) Addrs() []string {
	out := make([]string, len(n.listeners))
	for i, l := range n.listeners {
		out[i] = l.part.Transport + " " + l.addr.String()
	}
	return out
}

// APIAddr is the HTTP listener as bound; invalid when it is off.
func (n *Node) APIAddr() netip.AddrPort {
	if n.api == nil {
		return netip.AddrPort{}
	}
	return n.api.Addr()
}

// What a test, the demo and the doors look at. None may be changed.

// Log is the transparency log. Gate, Router, Checker, Edge, Relay, Fence and Metrics are the rooms of this node.
func (n *Node) Log() audit.Log                { return n.log }
func (n *Node) Gate() *gate.Gate              { return n.gate }
func (n *Node) Router() *routing.Router       { return n.router }
func (n *Node) Checker() *healthcheck.Checker { return n.checker }
func (n *Node) Edge() *sip.Edge               { return n.edge }
func (n *Node) Relay() *media.Relay           { return n.relay }
func (n *Node) Fence() *sovereign.Fence       { return n.fence }
func (n *Node) Metrics() *prometheus.Registry { return n.opts.Metrics }
func (n *Node) Config() *configs.Config       { return n.cfg.Load() }
func (n *Node) Names() audit.Pseudonyms       { return n.names }

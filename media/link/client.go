package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// Config of a Client.
type Config struct {
	Socket  string   // path of the Unix socket; its folder belongs to this user alone
	Command []string // starts a media process; nil: this program with "media"
	Env     []string // of the media process; nil: that of this one
	Build   string   // for people
	Fence   *sovereign.Fence
	Legs    int           // how many there may be at one time
	Workers int           // of the plane; 0 means 1
	Tick    time.Duration // of the plane
	Alone   time.Duration // how long a media process goes on without us and without packets; 0 means an hour
	Events  plane.Events
	Died    func(Death) // a media process ended and another has taken over; may be nil, must not block
	Logger  *slog.Logger
}

// Death is a media process that ended, and what it took until another one carried its legs on.
type Death struct {
	At   time.Time
	Gap  time.Duration
	Legs int
	Why  error
}

// Client is the data plane as the control process sees it. Safe for concurrent use.
type Client struct {
	cfg    Config
	law    policies
	ours   Greeting
	unhook func()

	memory  *osnet.Shared // to be read only; from Connect until Run ends
	view    plane.View    // of it
	workers int

	mu        sync.Mutex // guards what follows, and the end of memory; held briefly
	book      *ledger
	line      *line       // nil while there is none: commands are remembered
	inherited []plane.Ref // legs of the inventory
	leaving   bool
	ran       bool         // Run was called, or Disconnect: what Connect took is given back
	counted   plane.Totals // of media processes before this one
	said      pong         // by this one, last
	inForce   uint64       // push that the other fence has

	missed []plane.Move // of a media process that was relieved: heard of when Run begins

	peer *peer         // of Connect, then of Run
	beat time.Duration // between two pings

	deaths, lost atomic.Uint64
}

var _ plane.Commands = (*Client)(nil)

// Program is the command that starts a media process of this very program.
func Program() []string { return []string{program, "media"} }

// New checks c and starts nothing.
func New(c Config) (*Client, error) {
	if c.Fence == nil || c.Events == nil || c.Socket == "" {
		return nil, errors.New("link: want a fence, a path and somebody who hears of events")
	}
	if len(c.Socket)+len(nextPath) > maxPath {
		return nil, fmt.Errorf("%w: %s: a path of %d bytes at most is needed", ErrUnable, c.Socket, maxPath-len(nextPath))
	}
	if c.Command == nil {
		c.Command = Program()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Alone <= 0 {
		c.Alone = time.Hour
	}
	c.Workers, c.Legs = max(c.Workers, 1), max(c.Legs, 1)
	return &Client{
		cfg: c, law: policies{fence: c.Fence}, book: newLedger(), beat: pingEvery, workers: c.Workers,
		ours: Greeting{Major: Major, Minor: Minor, Layout: plane.Layout, Build: c.Build, PID: uint32(os.Getpid()), Workers: uint32(c.Workers)},
	}, nil
}

const (
	maxPath  = 107 // of sockaddr_un
	nextPath = ".next"
)

// Connect finds a media process or starts one. What it holds from a control process before this one is given back in the inventory: its legs go on until
// they are closed, under their numbers; pairs that no leg has are withdrawn. One of another build is replaced by one of this build, which goes on with its legs. Call it once, before Run and before any command.
func (c *Client) Connect(ctx context.Context) (Inventory, error) {
	c.unhook = c.cfg.Fence.OnSwap(func(*sovereign.Snapshot) { c.swapped() })
	inv, err := c.attach(ctx, true)
	if err != nil {
		c.unhook()
		if c.memory != nil {
			c.memory.Close()
		}
		return Inventory{}, err
	}
	return inv, nil
}

// ErrUnable is a system that can have no media process: nothing of ours runs, and none can be started.
var ErrUnable = errors.New("link: no media process can be started")

// attach connects to a media process, or starts one, and tells it all or has it tell all. The first one must show that it can.
func (c *Client) attach(ctx context.Context, first bool) (inv Inventory, err error) {
	p, verdict, err := c.find()
	if verdict == relieved {
		gone := false
		if inv, gone, err = c.relieve(ctx, p); err == nil || gone || fits(c.ours, p.hello) != nil {
			if err != nil {
				err = fmt.Errorf("link: take over from %s: %w", p.hello.who(), err)
			}
			return inv, err
		}
		c.cfg.Logger.Error("media: no media process of this build could take over: the one before goes on", "error", err)
		if p, err = connect(c.cfg.Socket); err == nil {
			err = p.greet(c.ours)
		}
		verdict = adopted
	}
	if verdict == none && err == nil {
		if p, err = c.fresh(ctx, c.cfg.Socket); err != nil {
			err = fmt.Errorf("%w: %w", ErrUnable, err)
		}
		verdict = begun
	}
	if err != nil {
		if p != nil {
			p.leave()
		}
		return inv, err
	}
	switch {
	case verdict == begun && first:
		return inv, c.prove(p)
	case verdict == begun:
		return inv, c.begin(p, false)
	}
	if inv, err = c.adopt(p); err != nil {
		p.leave()
	}
	return inv, err
}

// prove tells a media process all, and waits until it has done it: one that cannot, under the rules of a supervisor for example, is found before anybody relies on it.
func (c *Client) prove(p *peer) error {
	err := c.begin(p, true)
	if err == nil {
		err = p.l.c.SetReadDeadline(time.Now().Add(patience))
	}
	if err == nil {
		err = p.l.say(func(q *batch) { q.b = putPing(q.b, 1, 0) })
	}
	for k := kindPing; err == nil && k != kindPong; {
		var r *body
		var files []int
		if k, r, files, err = p.l.next(); err == nil {
			err = c.heard(p, k, r, files)
		}
	}
	if err == nil {
		return p.l.c.SetReadDeadline(time.Time{})
	}
	p.leave()
	p.kill()
	return fmt.Errorf("%w: %w", ErrUnable, err)
}

// verdict is what becomes of a media process that runs already.
type verdict int

const (
	none     verdict = iota // there is none, or none any more: another one is started
	begun                   // it has nothing yet
	adopted                 // it goes on
	relieved                // one of this build takes its place
)

// find connects to a media process that runs. One that carries no leg and does not fit is ended, and so is one that carries what we know already: it was lost, and what it
// missed nobody knows. One that carries calls and cannot be understood is an error: people must decide which calls end.
func (c *Client) find() (*peer, verdict, error) {
	p, err := connect(c.cfg.Socket)
	switch {
	case errors.Is(err, ErrForeign):
		return nil, none, err
	case err != nil:
		return nil, none, nil
	}
	if err := p.greet(c.ours); err != nil {
		return p, none, err
	}
	theirs, misfit := p.hello, fits(c.ours, p.hello)
	same := misfit == nil && theirs.Build == c.ours.Build
	switch {
	case misfit == nil && theirs.Workers == 0:
		return p, begun, nil
	case c.memory != nil, theirs.Legs == 0 && !(same && theirs.Workers == c.ours.Workers):
		p.leave()
		p.kill()
		return nil, none, nil
	case same:
		return p, adopted, nil
	case theirs.Major == c.ours.Major && theirs.Minor >= yields:
		return p, relieved, nil
	case misfit == nil:
		return p, adopted, nil
	}
	return p, none, fmt.Errorf("%w: it goes on carrying its calls; end it when they have ended", misfit)
}

// leave ends a connection over which nothing was asked yet.
func (p *peer) leave() {
	p.l.c.Close()
	p.l.drop()
}

// fresh starts a media process that listens on path.
func (c *Client) fresh(ctx context.Context, path string) (*peer, error) {
	if err := c.start(ctx, path); err != nil {
		return nil, err
	}
	p, err := connect(path)
	if err != nil {
		return nil, err
	}
	if err = p.greet(c.ours); err == nil {
		err = fits(c.ours, p.hello)
	}
	if err != nil {
		p.leave()
		p.kill()
		return nil, err
	}
	return p, nil
}

// begin tells a new media process all that it needs: now, or as soon as Run runs.
func (c *Client) begin(p *peer, now bool) error {
	if err := c.ensureMemory(); err != nil {
		return err
	}
	c.law.mu.Lock()
	defer c.law.mu.Unlock()
	if _, err := c.law.newest(); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.take(p)
	all := func(q *batch) {
		q.b = putPolicy(q.b, c.law.push, c.law.bytes)
		q.files = append(q.files, file{len(q.b), c.memory})
		q.b = putMemory(q.b, c.workers, c.cfg.Tick)
		q.b = c.book.tell(q.b, func(at int, h held) { q.files = append(q.files, file{at, h.rtp}, file{at, h.rtcp}) })
		q.b = bare(q.b, kindReady)
	}
	if now {
		return p.l.say(all)
	}
	p.l.put(all)
	return nil
}

// take makes p the one that commands go to, with c.mu held.
func (c *Client) take(p *peer) {
	c.peer, c.line = p, p.l
	c.counted.Control += c.said.control
	c.counted.Dropped += c.said.dropped
	c.counted.Impaired += c.said.impaired
	c.lost.Add(c.said.unheard)
	c.said, c.inForce = pong{}, 0
}

func (c *Client) ensureMemory() error {
	if c.memory != nil {
		return nil
	}
	mem, err := osnet.NewShared("cordon-media", plane.Memory(c.cfg.Legs, c.workers))
	if err != nil {
		return err
	}
	c.memory, err = looking(mem)
	if err != nil {
		return err
	}
	c.view = plane.NewView(c.memory.Bytes(), c.workers)
	return nil
}

// swapped sends the snapshot in force. Two swaps at once may be told of in either order: the newest is sent, once.
func (c *Client) swapped() {
	c.law.mu.Lock()
	defer c.law.mu.Unlock()
	fresh, err := c.law.newest()
	if err != nil {
		c.cfg.Logger.Error("media: a policy cannot be sent: the media process goes on under the one before", "error", err)
		return
	}
	if !fresh {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(func(q *batch) { q.b = putPolicy(q.b, c.law.push, c.law.bytes) })
}

// send has frames sent, if there is somebody to send them to; with c.mu held. What is not sent is remembered all the same.
func (c *Client) send(fill func(*batch)) bool { return c.line != nil && c.line.put(fill) }

// Status says how it stands with the media process.
type Status struct {
	Connected bool
	Deaths    uint64 // of media processes
	Behind    uint64 // snapshots that it has not put in force yet
	Waiting   int    // bytes of commands that have not left yet
	Lost      uint64 // events that were not told
	Legs      int
}

// Status gives the present one.
func (c *Client) Status() Status {
	c.law.mu.Lock()
	push := c.law.push
	c.law.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Status{Connected: c.line != nil, Deaths: c.deaths.Load(), Behind: push - c.inForce, Lost: c.lost.Load() + c.said.unheard, Legs: len(c.book.legs)}
	if c.line != nil {
		s.Waiting = c.line.waiting()
	}
	return s
}

// Workers implements plane.Commands: those of an adopted media process are its own.
func (c *Client) Workers() int { return c.workers }

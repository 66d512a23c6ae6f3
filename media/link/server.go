package link

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// ServerConfig of a media process.
type ServerConfig struct {
	Socket string
	Build  string
	Alone  time.Duration     // how long legs without packets live on when nobody is connected; 0 means an hour
	Ready  io.WriteCloser    // gets one byte when the socket listens, and is closed; may be nil
	Began  func(workers int) // the plane is about to be made; may be nil
	Logger *slog.Logger
}

// Server is a media process: a plane, and a fence that has the snapshot of the control process.
type Server struct {
	cfg    ServerConfig
	layout uint32 // of its slots, as it says in its greeting
	fence  *sovereign.Fence
	quit   context.CancelFunc
	wg     sync.WaitGroup

	control chan struct{} // holds one when somebody is connected
	policy  gathered      // of who is connected
	ears    ears

	mu      sync.Mutex // guards what follows; held while a command is carried out
	book    *ledger
	plane   *plane.Plane // nil until there is memory
	workers int
	memory  *osnet.Shared
	owner   *os.File // holds the lock of memory
	runs    bool
	still   *plane.Pause       // while a control process of another build may take all of it over
	stop    context.CancelFunc // stops the plane
	stopped chan struct{}
	lonely  time.Time // since when nobody is connected; zero: somebody is
	ending  bool      // with the connection
}

// NewServer checks c and starts nothing. Its fence denies everything until it has a snapshot.
func NewServer(c ServerConfig) (*Server, error) {
	if c.Socket == "" {
		return nil, errors.New("link: want a path to listen on")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Alone <= 0 {
		c.Alone = time.Hour
	}
	return &Server{cfg: c, layout: plane.Layout, fence: sovereign.NewFence(nil, nil), control: make(chan struct{}, 1), book: newLedger(), lonely: time.Now()}, nil
}

// Run listens and carries packets, until ctx ends, or the control process says so, or there is nothing to carry and nobody to tell.
func (s *Server) Run(ctx context.Context) error {
	l, err := s.listen()
	if err != nil {
		return err
	}
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	s.mu.Lock()
	s.quit = quit
	if s.ending {
		quit()
	}
	s.mu.Unlock()
	s.wg.Go(func() {
		<-ctx.Done()
		l.Close()
	})
	s.wg.Go(func() { s.age(ctx) })
	if s.cfg.Ready != nil {
		s.cfg.Ready.Write([]byte{1})
		s.cfg.Ready.Close()
	}
	for {
		conn, err := l.AcceptUnix()
		if err != nil {
			break
		}
		s.wg.Go(func() { s.serve(ctx, conn) })
	}
	s.quit()
	s.wg.Wait()
	s.halt()
	s.book.abandon()
	return nil
}

// listen takes the path over from a process that is gone. The folder is this user's alone, so the moment before the mode is set is nobody's.
func (s *Server) listen() (*net.UnixListener, error) {
	at := &net.UnixAddr{Name: s.cfg.Socket, Net: "unix"}
	if c, err := net.DialUnix("unix", nil, at); err == nil {
		c.Close()
		return nil, fmt.Errorf("link: %s: another media process listens there", s.cfg.Socket)
	}
	os.Remove(s.cfg.Socket)
	l, err := net.ListenUnix("unix", at)
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	l.SetUnlinkOnClose(false) // the name may be another process's by then
	if err := os.Chmod(s.cfg.Socket, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("link: %w", err)
	}
	return l, nil
}

// serve is one connection. One control process at a time is listened to.
func (s *Server) serve(ctx context.Context, conn *net.UnixConn) {
	l := newLine(conn, leniency)
	defer l.drop()
	defer l.end(nil)
	ours := s.greeting()
	switch err := s.welcome(l, ours); {
	case errors.Is(err, io.EOF): // who looks whether somebody listens
		return
	case err != nil:
		s.cfg.Logger.Error("media: a connection was refused", "error", err)
		l.say(func(q *batch) { q.b = putRefusal(q.b, err) }) // as far as it is heard
		return
	}
	defer func() { <-s.control }()
	if l.say(func(q *batch) { q.b = putGreeting(q.b, ours) }) != nil {
		return
	}
	s.attend(l, true)
	done := make(chan struct{})
	defer close(done)
	s.wg.Go(func() {
		select {
		case <-ctx.Done():
			l.end(ctx.Err())
		case <-done:
		}
	})
	err := l.run(func(k kind, r *body, files []int) error { return s.handle(l, k, r, files) })
	s.goOn()
	s.attend(l, false)
	if errors.Is(err, errStopped) {
		s.quit()
		return
	}
	s.cfg.Logger.Warn("media: the control process is gone: its calls go on", "why", err, "legs", s.greeting().Legs)
}

func putRefusal(b []byte, why error) []byte {
	at := len(b)
	text := why.Error()
	b, _ = end(putText(begin(b, kindRefuse, 0), text[:min(len(text), maxText)]), at)
	return b
}

// greeting says what this process is and holds.
func (s *Server) greeting() Greeting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Greeting{
		Major: Major, Minor: Minor, Layout: s.layout, Build: s.cfg.Build, PID: uint32(os.Getpid()),
		Workers: uint32(s.workers), Legs: uint32(len(s.book.legs)), Pairs: uint32(len(s.book.pairs)),
	}
}

// yield is how long a control process may take to let go of a connection that another one wants.
const yield = time.Second

// welcome hears who connects, and waits for the one before to be gone.
func (s *Server) welcome(l *line, ours Greeting) error {
	pid, uid, err := osnet.PeerUser(l.c)
	if err != nil {
		return err
	}
	if int(uid) != os.Getuid() {
		return fmt.Errorf("%w: user %d, process %d", ErrForeign, uid, pid)
	}
	if err := l.c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	k, r, _, err := l.next()
	if err != nil {
		return err
	}
	theirs := r.greeting()
	if k != kindHello || r.end() != nil {
		return fmt.Errorf("%w: a greeting was expected", errFrame)
	}
	if ours.Major != theirs.Major {
		return &Mismatch{ours, theirs}
	}
	late := time.NewTimer(yield)
	defer late.Stop()
	select {
	case s.control <- struct{}{}:
	case <-late.C:
		return errors.New("link: another control process is connected")
	}
	if err := l.c.SetReadDeadline(time.Time{}); err != nil {
		<-s.control
		return err
	}
	return nil
}

// attend notes that somebody is connected, or nobody any more.
func (s *Server) attend(l *line, there bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if there {
		s.lonely, s.policy = time.Time{}, gathered{}
		return
	}
	s.lonely = time.Now()
	s.ears.forget(l)
	if s.ending {
		s.quit()
	}
}

// Finish ends Run as soon as no control process is connected. As long as one is, it says when: it may have calls that go on for a while.
func (s *Server) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ending = true; s.quit != nil && !s.lonely.IsZero() {
		s.quit()
	}
}

// errStopped ends a connection, and the process, as it should.
var errStopped = errors.New("link: told to end")

// handle takes one frame.
func (s *Server) handle(l *line, k kind, r *body, files []int) error {
	if commands(k) {
		o, err := commanded(k, r, files)
		if err != nil {
			return err
		}
		return s.obey(k, o)
	}
	if k == kindMemory && len(files) == 1 {
		return s.begin(l, r, files[0])
	}
	closeAll(files)
	switch k {
	case kindSnapshot:
		return s.learn(l, r.policy(), r.end())
	case kindReady:
		return s.start()
	case kindAdopt:
		s.tell(l)
	case kindYield:
		return s.standStill(l)
	case kindStop:
		s.halt()
		return errStopped
	case kindPing:
		seq := r.u64()
		s.ears.heard(l, r.u64())
		s.answer(l, seq)
	}
	return nil // what a later version adds is left out
}

// obey carries a command out. One that comes before there is a plane is remembered only.
func (s *Server) obey(k kind, o order) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.still != nil {
		return fmt.Errorf("%w: a command for a process that stands still", errFrame)
	}
	if !o.book(s.book) {
		s.cfg.Logger.Error("media: a command for which there is no room", "kind", int(k))
		return nil
	}
	if s.plane != nil {
		o.do(s.plane)
	}
	return nil
}

// begin makes the plane, once.
func (s *Server) begin(l *line, r *body, fd int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	workers, tick := r.memory()
	if s.plane != nil || r.end() != nil || workers < 1 || workers > maxWorkers {
		closeAll([]int{fd})
		return fmt.Errorf("%w: memory for %d workers", errFrame, workers)
	}
	mem, err := osnet.OpenShared(fd, true)
	if err != nil {
		return err
	}
	if s.owner, err = own(mem); err != nil {
		mem.Close()
		return err
	}
	if s.cfg.Began != nil {
		s.cfg.Began(workers)
	}
	s.ears.hear(l)
	p, err := plane.New(plane.Config{Fence: s.fence, Workers: workers, Memory: mem.Bytes(), Tick: tick, Alone: true, Events: &s.ears, Logger: s.cfg.Logger})
	if err != nil {
		s.owner.Close()
		mem.Close()
		return err
	}
	s.plane, s.memory, s.workers = p, mem, workers
	return nil
}

const maxWorkers = 1024

// start has packets read: not before all is told, so that none is read that nobody has.
func (s *Server) start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plane == nil || s.runs {
		return fmt.Errorf("%w: ready without memory, or twice", errFrame)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.runs, s.stop, s.stopped = true, cancel, make(chan struct{})
	go func() {
		defer close(s.stopped)
		s.plane.Run(ctx)
	}()
	return nil
}

// halt stops the plane and waits until it has stopped.
func (s *Server) halt() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.runs {
		s.stop()
		if s.still != nil {
			s.still.End()
			s.still = nil
		}
		<-s.stopped
		s.runs = false
	}
	if s.owner != nil {
		s.owner.Close()
		s.owner = nil
	}
}

// learn puts a policy in force when it is whole.
func (s *Server) learn(l *line, part policyPart, err error) error {
	if err != nil {
		return err
	}
	whole, err := s.policy.add(part)
	if err != nil || whole == nil {
		return err
	}
	next, err := sovereign.DecodeSnapshot(whole)
	if err != nil {
		return fmt.Errorf("link: a policy that does not read: %w", err)
	}
	s.fence.Swap(next)
	l.put(func(q *batch) { q.b = putInForce(q.b, part.push) })
	return nil
}

// tell tells all that is held to a control process that knows nothing of it, and from then on what happens.
func (s *Server) tell(l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plane == nil {
		return
	}
	l.put(func(q *batch) {
		q.files = append(q.files, file{len(q.b), s.memory})
		q.b = putMemory(q.b, s.workers, 0)
		q.b = s.book.tell(q.b, func(at int, h held) { q.files = append(q.files, file{at, h.rtp}, file{at, h.rtcp}) })
		q.b = bare(q.b, kindHeld)
	})
	s.ears.hear(l)
}

func (s *Server) answer(l *line, seq uint64) {
	s.mu.Lock()
	p := s.plane
	s.mu.Unlock()
	a := pong{seq: seq, unheard: s.ears.unheard.Load()}
	if p != nil {
		t := p.Totals()
		a.control, a.dropped, a.impaired = t.Control, t.Dropped, t.Impaired
	}
	l.put(func(q *batch) { q.b = putPong(q.b, a) })
}

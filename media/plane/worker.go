package plane

import (
	"context"
	"hash/maphash"
	"runtime"
	"sync"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
)

const (
	maxReady  = 512                   // sockets that one look at the set tells of
	perLock   = 64                    // of them, how many are served before a command may come in between
	rateEvery = 20 * time.Millisecond // how often it is decided whether packets wait for each other
	busyFrom  = 2000                  // packets a second from which they do,
	busyUntil = 1000                  // and below which they do not any more
	maxDrain  = 256                   // datagrams that nobody wants which are thrown away at once
	usualTick = time.Millisecond
	lately    = 20 * time.Millisecond // what came to a resting pair so shortly before its next leg may reach it: it need not be looked for
)

// worker carries the packets of its legs, both sides of each call. Where the system can, it is one thread with a set of sockets of its own.
type worker struct {
	p     *Plane
	every uint32 // how many workers there are
	seed  maphash.Seed

	mu sync.Mutex // held while packets are carried, a few at a time, and by commands
	slots
	pairs    []*pair // by their number among the worker's own
	owns     []owned // what a packet needs of each of them
	now      int64   // unix ns, of the packet or command at hand
	buf      [maxPacket + slack]byte
	spare    [maxPacket + slack]byte
	made     [maxPacket + slack]byte
	shown    [maxShown]byte // a header for a watcher
	given    ration         // datagrams that are given to who hears of events
	idle     bool           // it waits, and nothing came
	empty    int64          // unix ns: when the sockets that no leg has were known to be empty
	dues     dues
	limbo    limbo
	arriving bool // a packet that was late is taken

	stage stage

	set   *osnet.Set    // nil until there is a socket that the worker reads; then it stays
	ready chan struct{} // closed when there is one

	agenda  agenda
	stirred chan struct{} // holds one after there was nothing to do at its time, and is now
	rests   time.Duration // the worker's thread alone: how long it may wait for packets; 0: something is due, below 0: for ever
}

func newWorker(p *Plane) *worker {
	return &worker{
		p: p, every: uint32(p.cfg.Workers), seed: maphash.MakeSeed(), ready: make(chan struct{}), stirred: make(chan struct{}, 1), agenda: agenda{began: time.Now()}, stage: stage{base: time.Now()}, limbo: limbo{base: time.Now()},
	}
}

// lock takes the worker for a command.
func (w *worker) lock() {
	w.mu.Lock()
	w.now = time.Now().UnixNano()
}

// wake makes a worker that waits look around.
func (w *worker) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.set != nil {
		w.set.Wake()
	}
}

// run carries packets until ctx ends. The goroutine has a thread of its own, which ends with it.
func (w *worker) run(ctx context.Context) {
	if !w.expect(ctx) {
		return
	}
	defer w.set.Close()
	runtime.LockOSThread()
	if err := osnet.Sharpen(); err != nil {
		w.p.cfg.Logger.Debug("plane: the timer of a worker is not sharp", "err", err)
	}
	if err := osnet.Raise(); err != nil {
		w.p.cfg.Logger.Debug("plane: a worker has no higher priority", "err", err)
	}
	var tags [maxReady]uint64
	t := tick{every: w.p.cfg.Tick, since: osnet.Monotonic(), sleep: osnet.SleepUntil}
	if w.p.cfg.Alone {
		t.sleep = osnet.NapUntil
	}
	if t.every == 0 {
		t.every = usualTick
	}
	for ctx.Err() == nil {
		n := w.look(tags[:])
		w.serve(tags[:n])
		if w.rests == 0 {
			w.rests = w.errands()
		}
		switch {
		case n == maxReady || w.rests == 0: // there may be more
		case t.count(n):
			t.wait()
		case n == 0:
			n = w.set.Wait(tags[:], w.rests)
			w.serve(tags[:n])
			t.count(n)
		}
	}
}

// expect waits for a socket that the worker reads; false when ctx ended before. Without one it has its errands.
func (w *worker) expect(ctx context.Context) bool {
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		if rests := w.errands(); rests >= 0 {
			next.Reset(rests)
		}
		select {
		case <-ctx.Done():
			return false
		case <-w.ready:
			return true
		case <-w.stirred:
		case <-next.C:
		}
	}
}

// look asks the set what came, and how long the worker may rest.
func (w *worker) look(tags []uint64) int {
	now := time.Now()
	at := now.UnixNano()
	n := w.set.Ready(tags)
	w.mu.Lock()
	defer w.mu.Unlock()
	if n < maxReady {
		// What no leg has and was not reported is empty; what was reported is emptied before anything else happens to it.
		w.empty, w.idle = at, n == 0
	}
	w.rests = w.next(now)
	return n
}

// serve carries what came, one datagram of each socket: a stream of voice has no second one, and asking would cost as much as reading.
func (w *worker) serve(tags []uint64) {
	for len(tags) > 0 {
		some := tags[:min(len(tags), perLock)]
		tags = tags[len(some):]
		w.lock()
		w.idle = false
		for _, tag := range some {
			w.receive(tag)
		}
		w.mu.Unlock()
	}
}

// receive reads one datagram of a socket, or, when no leg has it, all that wait.
func (w *worker) receive(tag uint64) {
	fd, i := int(int32(tag)), int(tag>>32&1)
	n := int(tag >> 33)
	if n >= len(w.owns) || int(w.owns[n].fds[i]) != fd {
		return // it was withdrawn meanwhile, and the descriptor may be somebody else's
	}
	l, ok := w.leg(w.owns[n].leg)
	if !ok {
		w.drain(fd)
		return
	}
	var from osnet.Name
	size, errno := osnet.Receive(fd, w.buf[:maxPacket], &from)
	if errno == 0 && size < maxPacket {
		w.packet(&l, l.lane(i), w.buf[:size], &from)
	}
}

// drain throws away what waits in a socket.
func (w *worker) drain(fd int) {
	var from osnet.Name
	for range maxDrain {
		if _, errno := osnet.Receive(fd, w.spare[:1], &from); errno != 0 {
			return
		}
	}
}

// drop throws away what came on a pair before the leg that gets it now, but for what came lately.
func (w *worker) drop(pr *pair) {
	if w.idle || w.empty > pr.left && w.now-w.empty <= int64(lately) {
		return
	}
	for _, s := range pr.socks {
		if s != nil {
			w.drain(s.FD())
		}
	}
}

// tick is how long packets wait for each other: a wake-up costs more than all that is done for one packet.
type tick struct {
	every time.Duration
	busy  bool
	n     int   // packets since
	since int64 // monotonic ns
	next  int64
	sleep func(monotonic int64)
}

// count says whether packets wait, now that n more came.
func (t *tick) count(n int) bool {
	t.n += n
	if now := osnet.Monotonic(); now-t.since >= int64(rateEvery) {
		rate := float64(t.n) / (float64(now-t.since) / 1e9)
		was := t.busy
		t.busy = t.every > 0 && (rate >= busyFrom || was && rate >= busyUntil)
		t.n, t.since = 0, now
		if t.busy && !was {
			t.next = now
		}
	}
	return t.busy
}

// wait waits for the next moment at which packets are carried. The moments stand in a grid, so that work does not add to the distance between two.
func (t *tick) wait() {
	now := osnet.Monotonic()
	if t.next += int64(t.every); t.next < now {
		t.next = now
		return
	}
	t.sleep(t.next)
}

package osnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/cordonsip/cordon/sovereign"
)

const (
	maxLoops    = 8
	maxEvents   = 64
	maxDatagram = 2048 // what is longer is cut off to this length: a take that wants to know counts
	maxDrain    = 256  // datagrams that Receive throws away at most: more come in faster than they can be thrown away
)

// Poller reads many UDP sockets with few goroutines. It is for media: thousands of sockets with 50 datagrams a second each, which need neither ICMP errors nor
// a goroutine with its stack. Its sockets are not in the poller of the Go runtime; the epoll sets that hold them are, so that no thread waits for them.
type Poller struct{ loops []*loop }

// Poller gives a poller for sockets of this host; errors.ErrUnsupported where there is none. Its owner calls Run, or Close when it never runs.
func (Net) Poller() (*Poller, error) {
	p := &Poller{}
	for range max(1, min(runtime.GOMAXPROCS(0)/2, maxLoops)) {
		l, err := newLoop()
		if err != nil {
			p.Close()
			return nil, fmt.Errorf("osnet: poller: %w", err)
		}
		p.loops = append(p.loops, l)
	}
	return p, nil
}

// Run reads the sockets until ctx ends. They stay open, for writing; their owners close them.
func (p *Poller) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for _, l := range p.loops {
		wg.Go(l.run)
	}
	<-ctx.Done()
	p.Close()
	wg.Wait()
	return nil
}

// Close gives back the epoll sets, and ends Run's goroutines.
func (p *Poller) Close() {
	for _, l := range p.loops {
		l.set.Close()
	}
}

// ListenUDP binds a socket that is read by Receive only. Port 0 picks one. An address with a zone gets a socket as Net gives it.
func (p *Poller) ListenUDP(at netip.AddrPort) (sovereign.UDPConn, error) {
	if at.Addr().Zone() != "" {
		return Net{}.ListenUDP(at)
	}
	c, err := p.listen(at)
	if err != nil {
		return nil, fmt.Errorf("osnet: listen on udp %s: %w", at, err)
	}
	return c, nil
}

func (p *Poller) listen(at netip.AddrPort) (*polled, error) {
	fd, local, err := bindUDP(at)
	if err != nil {
		return nil, err
	}
	c := &polled{local: local, six: !at.Addr().Unmap().Is4(), fd: fd}
	// Both sockets of a pair go to one loop: their call is there already when the other one wakes it.
	c.loop = p.loops[int(c.local.Port()/2)%len(p.loops)]
	c.left = c.loop.idle.seen.Load()
	if err := c.loop.add(c); err != nil {
		unix.Close(c.fd)
		return nil, err
	}
	return c, nil
}

// loop is one goroutine with its epoll set. It is level-triggered: a socket that has more is reported again, in turn with the others.
type loop struct {
	set  *os.File
	raw  syscall.RawConn
	born time.Time
	idle silence

	mu    sync.Mutex
	conns map[int32]*polled // by descriptor
}

// silence is what is known of the sockets of a loop that nobody has: as the loop throws away what comes to them, one look at the set tells that all of them are empty.
type silence struct {
	at     atomic.Int64 // when that was so last, in ns since the loop was born
	seen   atomic.Int64 // how often it was found
	wanted atomic.Bool  // the loop is to find it
}

func (s *silence) found(at time.Duration) {
	s.at.Store(int64(at))
	s.seen.Add(1)
}

func newLoop() (*loop, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil { // or the runtime would not wait for it
		unix.Close(fd)
		return nil, os.NewSyscallError("fcntl", err)
	}
	l := &loop{set: os.NewFile(uintptr(fd), "epoll"), born: time.Now(), conns: map[int32]*polled{}}
	if l.raw, err = l.set.SyscallConn(); err != nil {
		l.set.Close()
		return nil, err
	}
	return l, nil
}

func (l *loop) add(c *polled) error {
	l.mu.Lock()
	l.conns[int32(c.fd)] = c
	l.mu.Unlock()
	var errno error
	err := l.raw.Control(func(set uintptr) { errno = watch(set, c.fd) })
	if err = errors.Join(err, os.NewSyscallError("epoll_ctl", errno)); err != nil {
		l.forget(c.fd)
	}
	return err
}

func (l *loop) forget(fd int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, int32(fd))
}

// run reads until the set is closed.
func (l *loop) run() {
	var events [maxEvents]unix.EpollEvent
	var ready [maxEvents]*polled
	buf := make([]byte, maxDatagram)
	var n int
	var wanted bool
	var at time.Duration
	wait := func(set uintptr) bool {
		if wanted = l.idle.wanted.Load(); wanted {
			at = time.Since(l.born)
		}
		n = ask(set, events[:])
		return n > 0
	}
	for l.raw.Read(wait) == nil {
		l.mu.Lock()
		for i := range n {
			ready[i] = l.conns[events[i].Fd]
		}
		l.mu.Unlock()
		all := n < maxEvents // there is no other socket that something waits in
		for _, c := range ready[:n] {
			if c != nil { // else it was closed meanwhile
				all = c.deliver(buf) && all
			}
		}
		if wanted && all {
			l.idle.wanted.Store(false)
			l.idle.found(at)
		}
	}
}

// silent says whether nothing waits at now in a socket that nobody has since the silence was found left times, but for what came lately. It costs a system call once in
// that time, whatever the number of sockets. The first silence after a socket was left may have been found by a round of the loop that began before: it does not count.
func (l *loop) silent(now time.Duration, left int64) bool {
	if now-time.Duration(l.idle.at.Load()) > sovereign.Lately {
		l.look(now)
	}
	return l.idle.seen.Load() >= left+2 && now-time.Duration(l.idle.at.Load()) <= sovereign.Lately
}

// look finds the silence when nothing waits anywhere; else the loop finds it, which reads what waits.
func (l *loop) look(now time.Duration) {
	var first [1]unix.EpollEvent
	n := -1
	if err := l.raw.Control(func(set uintptr) { n = ask(set, first[:]) }); err == nil && n == 0 {
		l.idle.found(now)
	} else {
		l.idle.wanted.Store(true)
	}
}

// polled is a UDP socket of a Poller.
type polled struct {
	loop  *loop
	local netip.AddrPort
	six   bool

	in   sync.Mutex // held while a datagram is read and taken, and when the socket is closed
	take func(b []byte, from netip.AddrPort)
	left int64        // how often the loop was silent when nobody had the socket any more
	out  sync.RWMutex // held for reading by writes, so that none reaches a descriptor that was closed and is somebody else's now
	fd   int          // -1 when closed; guarded by in and out
}

var _ interface {
	sovereign.UDPConn
	sovereign.PairReceiver
} = (*polled)(nil)

// Receive implements sovereign.Receiver.
func (c *polled) Receive(take func(b []byte, from netip.AddrPort)) {
	c.in.Lock()
	defer c.in.Unlock()
	if c.take = take; take != nil {
		c.drain()
	} else {
		c.left = c.loop.idle.seen.Load()
	}
}

// ReceivePair implements sovereign.PairReceiver. The poller reads also the sockets that nobody has, so nothing waits in two that were left long ago; of others one system
// call tells.
func (c *polled) ReceivePair(take func(b []byte, from netip.AddrPort), other sovereign.UDPConn, others func(b []byte, from netip.AddrPort)) bool {
	o, same := other.(*polled)
	if !same || o == c || take == nil || others == nil {
		return false
	}
	c.in.Lock()
	defer c.in.Unlock()
	o.in.Lock()
	defer o.in.Unlock()
	c.take, o.take = take, others
	if c.loop == o.loop && c.loop.silent(time.Since(c.loop.born), max(c.left, o.left)) {
		return true
	}
	first, second := filled(c.fd, o.fd)
	if first {
		c.drain()
	}
	if second {
		o.drain()
	}
	return true
}

// drain throws away what waits, and says whether that was all. The socket's in is held.
func (c *polled) drain() bool {
	if c.fd < 0 {
		return true
	}
	var b [1]byte
	for range maxDrain {
		if _, _, errno := receive(uintptr(c.fd), b[:]); errno != 0 {
			return errno == unix.EAGAIN
		}
	}
	return false
}

// deliver reads one datagram and hands it over. One, because a stream of voice has no second one, and asking would cost as much as reading. Of a socket that nobody has
// it throws everything away; false when that was too much.
func (c *polled) deliver(buf []byte) bool {
	c.in.Lock()
	defer c.in.Unlock()
	if c.take == nil || c.fd < 0 {
		return c.drain()
	}
	if n, from, errno := receive(uintptr(c.fd), buf); errno == 0 {
		c.take(buf[:n], from)
	}
	return true
}

// WriteToUDPAddrPort implements sovereign.UDPConn. It never waits: what finds no room is lost (EAGAIN), as it would be on the way.
func (c *polled) WriteToUDPAddrPort(b []byte, to netip.AddrPort) (int, error) {
	c.out.RLock()
	defer c.out.RUnlock()
	if c.fd < 0 {
		return 0, net.ErrClosed
	}
	if errno := send(uintptr(c.fd), c.six, b, to); errno != 0 {
		return 0, failed("sendto", errno)
	}
	return len(b), nil
}

// LocalAddr implements sovereign.UDPConn.
func (c *polled) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(c.local) }

// ReadFromUDPAddrPort implements sovereign.UDPConn: the poller is the only reader.
func (c *polled) ReadFromUDPAddrPort([]byte) (int, netip.AddrPort, error) {
	return 0, netip.AddrPort{}, errors.ErrUnsupported
}

// SetReadDeadline implements sovereign.UDPConn: there is no read that could wait.
func (c *polled) SetReadDeadline(time.Time) error { return os.ErrNoDeadline }

// Close implements sovereign.UDPConn. When it returns, nothing is handed over any more.
func (c *polled) Close() error {
	c.in.Lock()
	defer c.in.Unlock()
	c.out.Lock()
	defer c.out.Unlock()
	if c.fd < 0 {
		return net.ErrClosed
	}
	c.loop.forget(c.fd)
	fd := c.fd
	c.fd, c.take = -1, nil
	return os.NewSyscallError("close", unix.Close(fd)) // which takes it out of the set, too
}

package dtls

import (
	"bytes"
	"net"
	"os"
	"sync"
	"time"
)

// Bounds on what a peer can make one handshake hold: datagrams that wait, the longest of them, and all that are taken in its life. A whole handshake has 2 to 6 KB;
// the rest is for what is lost and sent again.
const (
	maxWaiting  = 32
	maxDatagram = 4096
	maxTaken    = 64 << 10
)

// pipe is the net.PacketConn that pion reads and writes: a queue in, a callback out.
type pipe struct {
	wake chan struct{} // has one when there is something to look at
	done chan struct{} // closed by Close

	out struct {
		sync.Mutex              // held while something is sent, so that nothing is once it was silenced
		send       func([]byte) // nil: nothing is sent any more
	}

	mu      sync.Mutex // guards what follows
	waiting [][]byte
	taken   int
	expired bool // the read deadline has passed
	closed  bool
}

func newPipe(send func([]byte)) *pipe {
	p := &pipe{wake: make(chan struct{}, 1), done: make(chan struct{})}
	p.out.send = send
	return p
}

// put queues a copy of b, unless a bound is reached. It never blocks.
func (p *pipe) put(b []byte) bool {
	p.mu.Lock()
	ok := !p.closed && len(b) <= maxDatagram && len(p.waiting) < maxWaiting && p.taken+len(b) <= maxTaken
	if ok {
		p.taken += len(b)
		p.waiting = append(p.waiting, bytes.Clone(b))
	}
	p.mu.Unlock()
	if ok {
		p.nudge()
	}
	return ok
}

func (p *pipe) nudge() {
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// silence ends sending: what pion has to say when it closes is for nobody.
func (p *pipe) silence() {
	p.out.Lock()
	p.out.send = nil
	p.out.Unlock()
}

// ReadFrom waits for a datagram. pion has one reader.
func (p *pipe) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		p.mu.Lock()
		switch {
		case p.closed:
			p.mu.Unlock()
			return 0, nil, net.ErrClosed
		case p.expired:
			p.mu.Unlock()
			return 0, nil, os.ErrDeadlineExceeded
		case len(p.waiting) > 0:
			n := copy(b, p.waiting[0])
			p.waiting[0] = nil
			p.waiting = p.waiting[1:]
			p.mu.Unlock()
			return n, far{}, nil
		}
		p.mu.Unlock()
		select {
		case <-p.wake:
		case <-p.done:
		}
	}
}

// WriteTo hands a datagram out.
func (p *pipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.out.Lock()
	defer p.out.Unlock()
	if p.out.send != nil {
		p.out.send(b)
	}
	return len(b), nil
}

// Close lets the reader go.
func (p *pipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.closed, p.waiting = true, nil
		close(p.done)
	}
	return nil
}

// SetReadDeadline: pion sets a moment long ago to interrupt a reader, and none to go on.
func (p *pipe) SetReadDeadline(t time.Time) error {
	p.mu.Lock()
	p.expired = !t.IsZero() && !t.After(time.Now())
	p.mu.Unlock()
	p.nudge()
	return nil
}

// SetWriteDeadline has nothing to do: a write never waits.
func (p *pipe) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is SetReadDeadline.
func (p *pipe) SetDeadline(t time.Time) error { return p.SetReadDeadline(t) }

// LocalAddr says nothing of ours.
func (p *pipe) LocalAddr() net.Addr { return far{} }

// far is the address of a peer who is somebody else's to know.
type far struct{}

func (far) Network() string { return "udp" }
func (far) String() string  { return "the peer" }

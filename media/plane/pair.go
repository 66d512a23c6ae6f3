package plane

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
)

// pair is two sockets, of RTP and of RTCP. Those of the system the worker reads and writes by their descriptors; all others are read by their network, or by a
// goroutine each.
type pair struct {
	id    uint32
	socks [2]*osnet.Socket
	conns [2]*sovereign.PacketConn
	hands [2]func(b []byte, from netip.AddrPort)
	six   bool
	fds   [2]int32 // below 0 for others
	left  int64    // when the last leg left it, unix ns; guarded by the worker's lock

	reading sync.WaitGroup // goroutines that read, until
	closed  chan struct{}
}

// owned is a pair as its packets see it: the slot of the leg that has it, 0 for none, and its descriptors.
type owned struct {
	leg uint32
	fds [2]int32
}

// Give implements Commands.
func (p *Plane) Give(g Pair) {
	w := p.worker(g.ID)
	pr := &pair{id: g.ID, closed: make(chan struct{}), fds: [2]int32{-1, -1}}
	rtp, ok := g.RTP.(*osnet.Socket)
	rtcp, both := g.RTCP.(*osnet.Socket)
	if ok && both {
		pr.socks, pr.six = [2]*osnet.Socket{rtp, rtcp}, rtp.Six()
		pr.fds = [2]int32{int32(rtp.FD()), int32(rtcp.FD())}
	} else {
		pr.conns = [2]*sovereign.PacketConn{p.cfg.Fence.UDP(g.RTP), p.cfg.Fence.UDP(g.RTCP)}
		pr.six = !pr.conns[0].LocalAddr().Addr().Is4()
	}
	p.Withdraw(g.ID) // of whoever had the number before
	if err := w.admit(pr); err != nil {
		p.cfg.Logger.Error("plane: sockets cannot be read", "err", err)
		pr.close()
		return
	}
	for i, c := range pr.conns {
		if c != nil {
			w.listen(pr, i, c)
		}
	}
}

// admit makes a pair the worker's.
func (w *worker) admit(pr *pair) error {
	w.lock()
	defer w.mu.Unlock()
	n := int(pr.id / w.every)
	if n >= 1<<20 {
		return errors.New("the number of a pair is too large")
	}
	for len(w.pairs) <= n {
		w.pairs, w.owns = append(w.pairs, nil), append(w.owns, owned{})
	}
	w.owns[n] = owned{fds: pr.fds}
	pr.left = w.now
	w.pairs[n] = pr
	for i, s := range pr.socks {
		if s == nil {
			return nil
		}
		if err := w.poll(s.FD(), uint64(n)<<33|uint64(i)<<32|uint64(uint32(pr.fds[i]))); err != nil {
			w.remove(pr)
			return err
		}
	}
	return nil
}

// poll puts a socket into the set.
func (w *worker) poll(fd int, tag uint64) error {
	if w.set == nil {
		set, err := osnet.NewSet()
		if err != nil {
			return err
		}
		w.set = set
		close(w.ready)
	}
	return w.set.Add(fd, tag)
}

// paired gives a pair of the worker; nil when it is gone.
func (w *worker) paired(id uint32) *pair {
	if n := id / w.every; int(n) < len(w.pairs) {
		return w.pairs[n]
	}
	return nil
}

// owner is the slot of the leg that has a pair; 0 none.
func (w *worker) owner(pr *pair) uint32 {
	if w.paired(pr.id) != pr {
		return 0
	}
	return w.owns[pr.id/w.every].leg
}

// pair gives a pair; nil when there is none.
func (p *Plane) pair(id uint32) *pair {
	w := p.worker(id)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.paired(id)
}

// Withdraw implements Commands.
func (p *Plane) Withdraw(id uint32) {
	w := p.worker(id)
	w.mu.Lock()
	pr := w.paired(id)
	if pr != nil {
		if l, ok := w.leg(w.owner(pr)); ok && l.pair == pr {
			w.end(&l)
		}
		w.remove(pr)
	}
	w.mu.Unlock()
	if pr != nil {
		pr.close()
	}
}

// remove takes a pair out of what the worker reads.
func (w *worker) remove(pr *pair) {
	n := pr.id / w.every
	w.pairs[n], w.owns[n] = nil, owned{fds: [2]int32{-1, -1}}
	for _, s := range pr.socks {
		if s != nil && w.set != nil {
			_ = w.set.Remove(s.FD()) // a socket that is not in it needs no removal
		}
	}
}

// close closes the sockets of a pair that the worker has no more.
func (pr *pair) close() {
	close(pr.closed)
	for i := range pr.socks {
		if pr.socks[i] != nil {
			pr.socks[i].Close()
		} else {
			pr.conns[i].Close()
		}
	}
	pr.reading.Wait()
}

// listen has a socket read that is none of the system's.
func (w *worker) listen(pr *pair, i int, c *sovereign.PacketConn) {
	pr.hands[i] = func(b []byte, from netip.AddrPort) { w.take(pr, i, b, from) }
	if !c.Receive(pr.hands[i]) {
		pr.hands[i] = nil
		pr.reading.Go(func() { w.read(pr, i, c) })
	}
}

// begin drops what waits in the sockets of a pair that the network reads.
func (pr *pair) begin() {
	if pr.hands[0] != nil && pr.hands[1] != nil {
		pr.conns[0].Receive(pr.hands[0])
		pr.conns[1].Receive(pr.hands[1])
	}
}

// take is one datagram that was read elsewhere.
func (w *worker) take(pr *pair, i int, b []byte, from netip.AddrPort) {
	w.lock()
	defer w.mu.Unlock()
	l, ok := w.leg(w.owner(pr))
	name, fits := osnet.NameOf(from, pr.six)
	if ok && fits && len(b) < maxPacket {
		w.packet(&l, l.lane(i), w.buf[:copy(w.buf[:], b)], &name)
	}
}

// read reads a socket until it is closed.
func (w *worker) read(pr *pair, i int, c *sovereign.PacketConn) {
	b := make([]byte, maxPacket)
	for {
		n, from, err := c.Read(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			// Nothing but a close ends a reader: an ICMP error must not silence a call.
			if !pr.pause() {
				return
			}
		default:
			w.take(pr, i, b[:n], from)
		}
	}
}

// pause waits a little after an error; false when the pair is closed.
func (pr *pair) pause() bool {
	t := time.NewTimer(10 * time.Millisecond)
	defer t.Stop()
	select {
	case <-pr.closed:
		return false
	case <-t.C:
		return true
	}
}

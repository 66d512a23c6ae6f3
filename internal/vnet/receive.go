package vnet

import (
	"net/netip"
	"sync"
)

// receiver is the goroutine that reads a socket for its owner, from the first Receive on until the socket is closed.
type receiver struct {
	taking sync.Mutex // held while a datagram is taken
	take   func(b []byte, from netip.AddrPort)
	once   sync.Once
	wg     sync.WaitGroup
}

// Receive implements sovereign.Receiver.
func (c *udpConn) Receive(take func(b []byte, from netip.AddrPort)) {
	c.taking.Lock()
	defer c.taking.Unlock()
	c.take = take
	c.h.n.mu.Lock()
	c.in = nil
	c.turn++
	c.h.n.mu.Unlock()
	c.once.Do(func() { c.wg.Go(c.receive) })
}

func (c *udpConn) receive() {
	var b []byte // as long as the longest so far: there may be tens of thousands of sockets
	for {
		d, turn, ok := c.next()
		if !ok {
			return
		}
		b = append(b[:0], d.data...)
		c.taking.Lock()
		if c.take != nil && c.current(turn) {
			c.take(b, d.from) // a take may write into what it gets
		}
		c.taking.Unlock()
	}
}

// next waits for a datagram, and tells under which Receive it came; false when the socket is closed. ICMP errors are left to writes and to ReadError.
func (c *udpConn) next() (d datagram, turn int, ok bool) {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	for !c.closed && len(c.in) == 0 {
		c.cond.Wait()
	}
	if c.closed {
		return datagram{}, 0, false
	}
	d = c.in[0]
	c.in = c.in[1:]
	return d, c.turn, true
}

func (c *udpConn) current(turn int) bool {
	c.h.n.mu.Lock()
	defer c.h.n.mu.Unlock()
	return c.turn == turn
}

// end waits until nothing is taken any more. The socket is closed.
func (r *receiver) end() {
	r.taking.Lock()
	r.take = nil
	r.taking.Unlock()
	r.wg.Wait()
}

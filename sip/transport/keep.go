package transport

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Keepalive is how a stream that we opened is kept warm by CRLF. RFC 5626 sections 3.5.1 and 4.4.1.
type Keepalive uint8

// The ways. Not every peer answers: RFC 3261 section 7.5 only says that CRLF before a message is read over.
const (
	KeepAuto   Keepalive = iota // ping; a peer that answered once owes answers from then on
	KeepOff                     // no pings
	KeepStrict                  // ping; who does not answer has lost the flow
)

// pongWithin is how long the answer to a ping may take. RFC 5626 section 4.4.1.
const pongWithin = 10 * time.Second

// pings is the state of one stream's keep-alive. The writer sends, the reader hears.
type pings struct {
	owed     atomic.Int64 // Unix nanoseconds of the ping that waits for its pong; 0: none does
	heard    atomic.Int64 // Unix nanoseconds of the last byte that came
	answered atomic.Bool  // the peer sent a pong once
	wanted   atomic.Int64 // nanoseconds between two pings, as the peer wants them; 0: it did not say
}

// pong takes a CRLF. false: nobody asked for it.
func (p *pings) pong() bool {
	if p.owed.Swap(0) == 0 {
		return false
	}
	p.answered.Store(true)
	return true
}

// pause is the time to the next ping: between four fifths of every and all of it, so that many flows do not ping at once. RFC 5626 section 4.4.1.
func pause(every time.Duration) time.Duration {
	return every - time.Duration(rand.Int64N(int64(every)/5+1))
}

// every is the longest time between two pings: ours, or less when the peer wants that.
func (c *conn) every() time.Duration {
	if d := time.Duration(c.pings.wanted.Load()); d > 0 {
		return min(d, c.l.c.Every)
	}
	return c.l.c.Every
}

// KeepEvery has a stream that we opened pinged at least each d, as its peer wants it (RFC 6223 section 5). The shortest time that was asked of a connection counts
// for all of its life: what it was asked for may still go on. Nobody gets pings sooner one after another than their pongs are due.
func (l *Layer) KeepEvery(f Flow, d time.Duration) {
	l.mu.Lock()
	c := l.pool[f.Key()]
	l.mu.Unlock()
	if c == nil || l.c.Keep == nil {
		return
	}
	for {
		old := c.pings.wanted.Load()
		if old > 0 && time.Duration(old) <= d {
			return
		}
		if c.pings.wanted.CompareAndSwap(old, int64(d)) {
			c.poke()
			return
		}
	}
}

// ping sends one when it is due.
func (c *conn) ping() {
	c.pings.owed.Store(time.Now().UnixNano())
	_ = c.enqueue([]byte("\r\n\r\n")) // a stream that ended ends its writer
}

// ponged says whether the last ping was answered in time, as far as an answer is owed. Anything that came since shows as well that the flow is alive.
func (c *conn) ponged(k Keepalive) error {
	asked := c.pings.owed.Swap(0)
	if asked == 0 || c.pings.heard.Load() > asked || k == KeepOff || k == KeepAuto && !c.pings.answered.Load() {
		return nil
	}
	return fmt.Errorf("transport: no pong within %s: %w", pongWithin, ErrGone)
}

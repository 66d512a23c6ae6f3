package transaction

import "github.com/cordonsip/cordon/sip/transport"

// outbox gathers the datagrams of one turn of the loop, which leave in their order when what was queued meanwhile is done, or when they are many. To send one
// wakes who receives it; of several in a row the first one does, and the network stack finds its code in the cache for the others.
type outbox struct {
	bytes []byte
	list  []datagram
}

// datagram is one message of an outbox.
type datagram struct {
	flow   transport.Flow
	end    int     // of its bytes; they begin where those of the one before it end
	client *Client // that is told when it cannot be sent; nil: nobody
	first  bool    // the client sent nothing before it
}

// Bounds of an outbox: nothing waits behind many, and a large message waits for nobody.
const (
	outboxMost = 32
	outboxRoom = 32 << 10
	largest    = 4 << 10
)

// put sends a message: over a stream at once, as a datagram with the others of this turn, and then c is told on the loop when it could not be sent. b may be
// used again after the return.
func (l *Layer) put(f transport.Flow, b []byte, c *Client) error {
	if f.Proto().Reliable() {
		return l.send(f, b)
	}
	if len(b) > largest {
		l.Flush()
		return l.send(f, b)
	}
	o := &l.out
	o.bytes = append(o.bytes, b...)
	o.list = append(o.list, datagram{f, len(o.bytes), c, c != nil && !c.sent})
	if n := len(o.list); n == 1 {
		l.loop.Post(l.flusher)
	} else if n == outboxMost || len(o.bytes) > outboxRoom-largest {
		l.Flush()
	}
	return nil
}

// Flush sends what waits. Call it on the loop, or when that has ended.
func (l *Layer) Flush() {
	from := 0
	for i, d := range l.out.list {
		err := l.send(d.flow, l.out.bytes[from:d.end])
		from, l.out.list[i] = d.end, datagram{}
		if err != nil && d.client != nil {
			l.loop.Post(func() { d.client.unsent(d, err) }) // never directly: its user may be the one who fills the outbox
		}
	}
	l.out.bytes, l.out.list = l.out.bytes[:0], l.out.list[:0]
}

// unsent is the end of a client whose message did not leave, unless it goes another way meanwhile.
func (c *Client) unsent(d datagram, err error) {
	if c.flow != d.flow {
		return
	}
	if d.first {
		c.sent = false
	}
	c.fail(err)
}

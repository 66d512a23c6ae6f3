package link

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

// What a drill takes away is a lease of the plane that has it: nobody remembers it for a process that takes over, and no process has to be told that it is over.

// Impair implements plane.Commands. A media process of an older build passes it over: see Impairs.
func (c *Client) Impair(n plane.Impair) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.send(func(q *batch) { q.b = putImpair(q.b, n) })
}

// Impairs says whether packets can be taken away: whether there is a media process, and one that knows how.
func (c *Client) Impairs() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.line != nil && c.peer.hello.Minor >= impairs
}

func putImpair(b []byte, n plane.Impair) []byte {
	at := len(b)
	b = binary.LittleEndian.AppendUint64(putRef(begin(b, kindImpair, 0), n.Ref), math.Float64bits(n.Loss))
	b = binary.LittleEndian.AppendUint64(b, uint64(n.Delay))
	b, _ = end(putTime(b, n.Until), at)
	return b
}

// impair refuses a share that is none, and times that nothing lasts for.
func (r *body) impair() plane.Impair {
	n := plane.Impair{Ref: r.ref(), Loss: math.Float64frombits(r.u64()), Delay: time.Duration(r.u64()), Until: r.time()}
	r.bad = r.bad || !(n.Loss >= 0 && n.Loss <= 1) || n.Delay < 0 || n.Delay > time.Hour
	return n
}

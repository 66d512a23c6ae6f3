package link

import (
	"io"
	"net/netip"

	"github.com/cordonsip/cordon/media/plane"
)

// Give implements plane.Commands. The sockets are the plane's, and are held here too: what comes while a media process is away waits in them.
func (c *Client) Give(p plane.Pair) {
	rtp, ok := p.RTP.(socket)
	rtcp, both := p.RTCP.(socket)
	if !ok || !both {
		c.cfg.Logger.Error("media: sockets that no other process can be given", "pair", p.ID)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.book.give(p.ID, held{rtp, rtcp}) {
		c.cfg.Logger.Error("media: a pair of sockets whose number is taken, or one too many", "pair", p.ID)
		return
	}
	c.send(func(q *batch) {
		q.files = append(q.files, file{len(q.b), rtp}, file{len(q.b), rtcp})
		q.b = putGive(q.b, p.ID)
	})
}

// Withdraw implements plane.Commands. The sockets are closed here when the command has left: until then their descriptors may wait to be sent.
func (c *Client) Withdraw(pair uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.withdraw(pair)
}

func (c *Client) withdraw(pair uint32) {
	h, ok := c.book.withdraw(pair)
	if !ok {
		return
	}
	if !c.send(func(q *batch) {
		q.b, q.closing = putWithdraw(q.b, pair), append(q.closing, []io.Closer{h.rtp, h.rtcp}...)
	}) {
		h.rtp.Close()
		h.rtcp.Close()
	}
}

// Open implements plane.Commands. There is no way for a sink: nobody listens to what comes for a leg that is joined to nobody.
func (c *Client) Open(o plane.Open) {
	frame, err := putOpen(nil, o)
	if err != nil || o.Sink != nil {
		c.cfg.Logger.Error("media: a leg that no other process can be given", "error", err, "sink", o.Sink != nil)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.book.open(o, frame) {
		c.cfg.Logger.Error("media: one leg too many", "legs", maxLegs)
		return
	}
	c.pass(frame)
}

// pass sends a frame that is remembered already, with c.mu held.
func (c *Client) pass(frame []byte) { c.send(func(q *batch) { q.b = append(q.b, frame...) }) }

// Set implements plane.Commands.
func (c *Client) Set(s plane.Set) {
	frame, err := putSet(nil, s)
	if err != nil {
		c.cfg.Logger.Error("media: what was negotiated does not go into a frame", "error", err)
		return
	}
	defer clear(frame) // keys
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.set(s, frame)
	c.pass(frame)
}

// Mute implements plane.Commands.
func (c *Client) Mute(r plane.Ref) { c.still(r, kindMute) }

// Silence implements plane.Commands.
func (c *Client) Silence(r plane.Ref) { c.still(r, kindSilence) }

func (c *Client) still(r plane.Ref, k kind) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.still(r, k)
	c.send(func(q *batch) { q.b = one(q.b, k, r) })
}

// Join implements plane.Commands.
func (c *Client) Join(x, y plane.Ref) {
	frame := putJoin(nil, x, y)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.join(x, y, frame)
	c.pass(frame)
}

// Close implements plane.Commands. What the leg takes and sends until the command is there is counted still.
func (c *Client) Close(r plane.Ref) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeLeg(r)
}

func (c *Client) closeLeg(r plane.Ref) {
	c.book.close(r)
	c.send(func(q *batch) { q.b = one(q.b, kindClose, r) })
}

// Watch implements plane.Commands.
func (c *Client) Watch(r plane.Ref, on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.watch(r, on)
	c.send(func(q *batch) { q.b = putWatch(q.b, r, on) })
}

// Say implements plane.Commands. What finds no media process is lost, as on the wire: who says it says it again.
func (c *Client) Say(r plane.Ref, to netip.AddrPort, datagram []byte) {
	frame, err := putSaid(nil, kindSay, said{r, to, datagram})
	if err != nil {
		c.cfg.Logger.Error("media: a datagram that does not go into a frame", "error", err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pass(frame)
}

// Read implements plane.Commands. It looks into the memory of the other process and asks nobody. False after Run has ended.
func (c *Client) Read(r plane.Ref) (plane.Counters, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.memory == nil {
		return plane.Counters{}, false
	}
	return c.view.Read(r)
}

// Totals implements plane.Commands: as the media process said them last, a second ago at most, with those of its predecessors.
func (c *Client) Totals() plane.Totals {
	c.mu.Lock()
	defer c.mu.Unlock()
	return plane.Totals{Control: c.counted.Control + c.said.control, Dropped: c.counted.Dropped + c.said.dropped, Impaired: c.counted.Impaired + c.said.impaired}
}

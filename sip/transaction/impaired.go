package transaction

import (
	"math/rand/v2"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/sip/transport"
)

// What a drill does to the messages of transactions. A message that is taken away never leaves; what the far end would have caused by that is caused here, by the same
// timers and errors. Nothing is sent anywhere that would not have been sent there.

// Way is what the messages of a transaction meet between here and their far end. A ClientUser may be one, and a Server may be given one.
type Way interface {
	// Meets is asked on the loop for each message, so that it must cost next to nothing while nothing is impaired.
	Meets() impair.Effect
}

// Shuts says whether nothing comes through in either direction. A wrong certificate shuts what asks for one.
func Shuts(e impair.Effect, p transport.Proto) bool {
	return e.Kind == impair.Blackhole || e.Kind == impair.Refuse || e.Kind == impair.WrongCertificate && p == transport.TLS
}

// Leaves says whether a message is sent that nobody waits for an answer to: it is not on a way that is shut, nor when it is lost.
func Leaves(e impair.Effect, p transport.Proto) bool {
	return e.Nothing() || !Shuts(e, p) && (p.Reliable() || !e.Drops(rand.Float64()))
}

// The time after which a stream first repeats what was lost, and the most that it waits for that: RFC 6298, with the least that systems use.
const (
	repeatAfter = 200 * time.Millisecond
	repeatMost  = 60 * time.Second
)

// Late is how much later a message arrives, and whether it does at all: of datagrams some are lost, on a stream what is lost comes later.
func Late(e impair.Effect, p transport.Proto) (d time.Duration, arrives bool) {
	d = e.Delay
	if e.Kind == impair.Blackhole {
		return 0, false
	}
	for again := repeatAfter; e.Drops(rand.Float64()); again *= 2 {
		if !p.Reliable() || again > repeatMost {
			return 0, false
		}
		d += again
	}
	return d, true
}

// meets is what a message of this transaction meets now.
func (c *Client) meets() impair.Effect {
	if w, ok := c.user.(Way); ok {
		return w.Meets()
	}
	return impair.Effect{}
}

// leaves says whether a message of this transaction is sent. It is not when it is lost, when err says why it cannot be, and when the far end is unavailable: a request
// gets its 503 from here then, by way of the loop.
func (c *Client) leaves() (ok bool, err error) {
	e := c.meets()
	if e.Nothing() {
		return true, nil
	}
	switch p := c.flow.Proto(); {
	case e.Kind == impair.Refuse:
		return false, transport.Refusal()
	case e.Kind == impair.WrongCertificate && p == transport.TLS:
		return false, transport.Misidentified()
	case e.Kind == impair.Unavailable && !c.final():
		c.l.loop.Post(c.unavailable)
		return false, nil
	case p.Reliable(): // what a stream repeats is late on the way back, once for both ways
		return e.Kind != impair.Blackhole, nil
	}
	return Leaves(e, c.flow.Proto()), nil
}

// unavailable answers the request with 503, as the far end would.
func (c *Client) unavailable() {
	if c.final() || c.req == nil {
		return
	}
	s := &Server{l: c.l, req: c.req, method: c.req.Method, tag: c.l.random("")}
	c.receive(s.Response(503, ""))
}

// arrive takes a response of this transaction through what it meets.
func (c *Client) arrive(res *sip.Response, in transport.Incoming) {
	e := c.meets()
	if e.Nothing() {
		c.receive(res)
		return
	}
	p := c.flow.Proto()
	d, arrives := Late(e, p)
	switch {
	case Shuts(e, p) || !arrives:
	case d == 0:
		c.receive(res)
	default:
		c.l.loop.After(d, func() {
			if c.state == terminated {
				c.l.user.Stray(res, in)
				return
			}
			c.receive(res)
		})
	}
}

// walking is the user of a CANCEL: it goes the way of its INVITE, and nobody waits for its answer.
type walking struct{ Way }

func (walking) Response(*Client, *sip.Response) {}
func (walking) Failed(*Client, error)           {}

// Meets gives the transaction its way: what its answers meet until the final one, and that one.
func (s *Server) Meets(w Way) { s.way = w }

// leaves says whether a response of this transaction is sent. What is late was late when its request came.
func (s *Server) leaves() bool {
	if s.way == nil {
		return true
	}
	return Leaves(s.way.Meets(), s.flow.Proto())
}

// put and write send a response, unless it is lost on its way.
func (s *Server) put(b []byte) error {
	if !s.leaves() {
		return nil
	}
	return s.l.put(s.flow, b, nil)
}

func (s *Server) write(res *sip.Response) error {
	if !s.leaves() {
		return nil
	}
	return s.l.write(s.flow, res)
}

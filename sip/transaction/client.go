package transaction

import (
	"fmt"
	"slices"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// state of a transaction, client or server. RFC 3261 figures 5 to 8, with Accepted of RFC 6026.
type state uint8

const (
	calling    state = iota // client: sent, nothing came (Calling, Trying)
	proceeding              // client: provisional; server: no final response yet (Proceeding, Trying)
	accepted                // INVITE: 2xx
	completed               // final response
	confirmed               // server INVITE: ACK came
	failed                  // client INVITE: told Failed, late responses are still cleaned up after
	terminated
)

// Client is a client transaction.
type Client struct {
	l       *Layer
	flow    transport.Flow
	narrow  transport.Flow // of datagrams, that it was too large for; zero: it goes as it was meant to
	req     *sip.Request   // until the final response
	user    ClientUser     // nil: the layer's own CANCEL, or everybody was told everything; it may be a Way
	key     clientKey
	state   state
	sent    bool          // at least once
	left    bool          // and nothing took it away on the first steps of its way
	timeout time.Duration // Timer B or F

	wire   []byte        // what is repeated: the request, then the ACK
	resend time.Duration // of Timer A or E
	repeat Alarm         // Timer A or E
	limit  Alarm         // Timer B, F, D, K, M, and the end of the clean-up
	cancel *cancelling

	path       *path // the flow that it is on, with its neighbours there
	prev, next *Client
}

// path is the client transactions of one flow, in the order in which they began.
type path struct{ first, last *Client }

func (l *Layer) join(c *Client) {
	k, p := c.flow.Key(), l.near.path
	if p == nil || l.near.key != k {
		if p = l.byFlow[k]; p == nil {
			p = &path{}
			l.byFlow[k] = p
		}
		l.near.key, l.near.path = k, p
	}
	c.path, c.prev = p, p.last
	if p.last == nil {
		p.first = c
	} else {
		p.last.next = c
	}
	p.last = c
}

func (l *Layer) leave(c *Client) {
	p := c.path
	if p == nil {
		return
	}
	if c.prev == nil {
		p.first = c.next
	} else {
		c.prev.next = c.next
	}
	if c.next == nil {
		p.last = c.prev
	} else {
		c.next.prev = c.prev
	}
	if p.first == nil {
		delete(l.byFlow, c.flow.Key())
		if l.near.path == p {
			l.near.path = nil
		}
	}
	c.path, c.prev, c.next = nil, nil, nil
}

// cancelling is a wish to cancel.
type cancelling struct {
	headers []sip.Header
	sent    bool
}

// Flow is where the request was sent.
func (c *Client) Flow() transport.Flow { return c.flow }

func (c *Client) invite() bool { return c.key.method == sip.INVITE }

// final says that the user was told the end.
func (c *Client) final() bool { return c.state >= accepted }

// start sends the request. RFC 3261 sections 17.1.1.2 and 17.1.2.2.
func (c *Client) start() {
	c.l.clients[c.l.hash(c.key)] = c
	c.ready()
	c.l.join(c)
	c.arm(&c.limit, c.timeout)
	way, err := c.flow, c.first()
	if err != nil {
		// Never directly: the caller does not hold the Client yet.
		c.l.loop.Post(func() {
			if c.flow == way { // else it fell back meanwhile: the loss of a stream is told, too
				c.fail(err)
			}
		})
		return
	}
	c.sent = true
	if c.wire != nil {
		c.resend = c.l.t.T1
		c.arm(&c.repeat, c.resend)
	}
}

// first sends the request.
func (c *Client) first() error {
	if ok, err := c.leaves(); !ok {
		return err
	}
	c.left = true
	if c.flow.Proto().Reliable() {
		return c.l.write(c.flow, c.req)
	}
	return c.l.put(c.flow, c.wire, c)
}

// clientDue is what the alarms of a Client wake.
type clientDue Client

func (c *Client) arm(a *Alarm, d time.Duration) { c.l.loop.Arm(a, d, (*clientDue)(c)) }

// Due implements Due.
func (d *clientDue) Due(a *Alarm) {
	c := (*Client)(d)
	switch {
	case a == &c.repeat:
		c.again()
	case c.final():
		c.terminate()
	default:
		c.fail(ErrTimeout)
	}
}

// again is Timer A (doubles without bound) or Timer E (doubles up to T2; T2 once a provisional response came).
func (c *Client) again() {
	if err := c.put(); err != nil {
		c.fail(err)
		return
	}
	c.resend *= 2
	if !c.invite() {
		c.resend = min(c.resend, c.l.t.T2)
		if c.state == proceeding {
			c.resend = c.l.t.T2
		}
	}
	c.arm(&c.repeat, c.resend)
}

// put sends what is repeated.
func (c *Client) put() error {
	if ok, err := c.leaves(); !ok {
		return err
	}
	c.left = true
	return c.l.put(c.flow, c.wire, c)
}

// acknowledge sends the ACK of a refusal, if that came from there.
func (c *Client) acknowledge() {
	if !c.left {
		return
	}
	if ok, _ := c.leaves(); ok {
		c.l.put(c.flow, c.wire, nil)
	}
}

// silence lets go what would be repeated.
func (c *Client) silence() {
	c.l.let(c.wire)
	c.wire = nil
}

func (c *Client) stopTimers() {
	c.repeat.Stop()
	c.limit.Stop()
}

// receive takes a response of this transaction.
func (c *Client) receive(res *sip.Response) {
	switch {
	case c.state == failed:
		c.late(res)
	case !c.invite():
		c.receiveOther(res)
	case c.state == completed:
		if res.IsSuccess() {
			c.tell(res) // another branch of a fork answered although one refused: that call must be ended
		}
		if res.StatusCode >= 300 {
			c.acknowledge() // again, at once. RFC 3261 section 17.1.1.2
		}
	case c.state == accepted:
		if res.IsSuccess() {
			c.tell(res)
		}
	case res.StatusCode < 200:
		c.provisional()
		c.tell(res)
	case res.StatusCode < 300:
		c.silence()
		c.req, c.cancel = nil, nil
		c.enter(accepted, 64*c.l.t.T1) // Timer M
		c.tell(res)
	default:
		user := c.user
		c.silence()
		c.wire = c.l.wire(c.ackFor(res))
		c.req, c.cancel = nil, nil
		c.state = completed // the last word of a far end that is unavailable is acknowledged
		c.acknowledge()
		c.enter(completed, c.reliably(c.l.t.D))
		if user != nil {
			user.Response(c, res)
		}
	}
}

// receiveOther is RFC 3261 figure 6.
func (c *Client) receiveOther(res *sip.Response) {
	switch {
	case c.state == completed:
	case res.StatusCode < 200:
		c.state = proceeding // Timers E and F go on; E at T2 from its next firing
		c.tell(res)
	default:
		user := c.user
		c.silence()
		c.req, c.user = nil, nil
		c.enter(completed, c.reliably(c.l.t.T4)) // Timer K
		if user != nil {
			user.Response(c, res)
		}
	}
}

// provisional stops Timers A and B: from here the user decides how long it waits. A CANCEL that waited goes out now.
func (c *Client) provisional() {
	if c.state == calling {
		c.stopTimers()
		c.state = proceeding
		c.silence()
	}
	if c.cancel != nil && !c.cancel.sent {
		c.sendCancel()
	}
}

// reliably is d, or nothing where the transport repeats nothing.
func (c *Client) reliably(d time.Duration) time.Duration {
	if c.flow.Proto().Reliable() {
		return 0
	}
	return d
}

// enter goes to a state that lasts d and then ends the transaction.
func (c *Client) enter(s state, d time.Duration) {
	c.stopTimers()
	c.state = s
	if d == 0 {
		c.terminate()
		return
	}
	c.arm(&c.limit, d)
}

func (c *Client) tell(res *sip.Response) {
	if c.user != nil {
		c.user.Response(c, res)
	}
}

// fail ends the transaction without a final response. An INVITE that was sent may still ring somewhere: it stays to clean up after what comes late.
func (c *Client) fail(err error) {
	if c.final() || c.fallBack(err) {
		return
	}
	user := c.user
	if c.invite() && c.sent {
		c.enter(failed, 64*c.l.t.T1)
		c.silence()
	} else {
		c.state = failed
		c.terminate()
	}
	if user != nil {
		user.Failed(c, fmt.Errorf("transaction: %s failed: %w", c.key.method, err))
	}
}

// late cleans up after an INVITE that failed for its user: a provisional response is cancelled, a refusal acknowledged. A 2xx goes to the user, who ends that
// call.
func (c *Client) late(res *sip.Response) {
	switch {
	case res.IsSuccess():
		c.tell(res)
	case res.StatusCode >= 300:
		if ok, _ := c.leaves(); ok {
			c.l.write(c.flow, c.ackFor(res))
		}
	case c.cancel == nil || !c.cancel.sent:
		c.enter(failed, 64*c.l.t.T1) // time for the 487
		if c.cancel == nil {
			c.cancel = &cancelling{}
		}
		c.sendCancel()
	}
}

// Cancel sends CANCEL as soon as a provisional response allows it (RFC 3261 section 9.1); at most once. Does nothing after a final response.
func (c *Client) Cancel(headers ...sip.Header) {
	if !c.invite() || c.final() || c.cancel != nil {
		return
	}
	c.cancel = &cancelling{headers: headers}
	if c.state == proceeding {
		c.sendCancel()
	}
}

// Tell has another user told what still comes: who began the transaction is held by it no longer.
func (c *Client) Tell(u ClientUser) {
	if c.user != nil {
		c.user = u
	}
}

// Tell is Client.Tell for the INVITE with that branch, as long as there is a transaction of it.
func (l *Layer) Tell(branch string, u ClientUser) {
	if c := l.client(clientKey{branch, sip.INVITE}); c != nil {
		c.Tell(u)
	}
}

// Quiet stops repeating an INVITE that nothing answered: whoever sent it does not wait any more, so a copy that arrives now could only make something ring for
// nobody. The transaction stays until its time is over and takes what comes late. Any other request, and one that was answered, goes on as it is.
func (c *Client) Quiet() {
	if c.invite() && c.state == calling {
		c.repeat.Stop()
		c.narrow = transport.Flow{}
	}
}

// sendCancel starts the CANCEL's own transaction. RFC 3261 section 9.1: when no final response to the INVITE follows within 64*T1 it counts as cancelled.
func (c *Client) sendCancel() {
	c.cancel.sent = true
	req := c.derive(sip.CANCEL)
	for _, h := range c.cancel.headers {
		req.AppendHeader(h)
	}
	req.SetBody(nil)
	x := &Client{l: c.l, flow: c.flow, req: req, key: clientKey{c.key.branch, sip.CANCEL}, timeout: c.l.t.F}
	if w, ok := c.user.(Way); ok {
		x.user = walking{w}
	}
	x.start()
	if c.state == proceeding {
		c.stopTimers()
		c.arm(&c.limit, 64*c.l.t.T1)
	}
}

// ackFor builds the ACK for a refusal. RFC 3261 section 17.1.1.3.
func (c *Client) ackFor(res *sip.Response) *sip.Request {
	req := c.derive(sip.ACK)
	if v := req.Via(); v.Params.Has("keep") { // RFC 6223 section 4.3: never in an ACK
		own := *v
		own.Params = slices.Clone(v.Params)
		own.Params.Remove("keep")
		req.ReplaceHeader(&own)
	}
	if to := res.To(); to != nil {
		req.ReplaceHeader(to)
	}
	req.SetBody(nil)
	return req
}

// derive builds what belongs to an INVITE hop by hop: the same Request-URI, top Via, From, To, Call-ID, sequence number and Route. It shares the headers of the
// INVITE: nobody but the writer sees it.
func (c *Client) derive(method sip.RequestMethod) *sip.Request {
	req := sip.NewRequest(method, c.req.Recipient)
	if v := c.req.Via(); v != nil {
		req.AppendHeader(v)
	}
	for _, h := range c.req.Headers() {
		if h.Name() == "Route" {
			req.AppendHeader(h)
		}
	}
	hops := sip.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	req.AppendHeader(c.req.From())
	req.AppendHeader(c.req.To())
	req.AppendHeader(c.req.CallID())
	req.AppendHeader(&sip.CSeqHeader{SeqNo: c.req.CSeq().SeqNo, MethodName: method})
	if id := named(c.req, "Session-ID"); id != nil {
		req.AppendHeader(id) // RFC 7989 section 6: every message of a session carries it
	}
	return req
}

func (c *Client) terminate() {
	c.stopTimers()
	c.state = terminated
	c.silence()
	c.req, c.user, c.cancel = nil, nil, nil
	if k := c.l.hash(c.key); c.l.clients[k] == c {
		delete(c.l.clients, k)
	}
	c.l.leave(c)
}

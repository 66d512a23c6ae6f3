package carrier

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Event is one step of a call as this side saw it.
type Event struct {
	At     time.Time
	Out    bool // sent by us
	Method string
	Status int // 0 for a request
}

// Call is one dialog, placed or received. Its methods are safe for concurrent use.
type Call struct {
	p     *Peer
	uac   bool
	opts  CallOptions
	began time.Time

	// Under p.mu.
	id, localTag, remoteTag string
	localURI, remoteURI     string // name-addr without a tag
	target                  string // Contact of the other side
	routes                  []string
	seq, remoteSeq          uint32
	to                      path
	invite                  *clientTx // ours
	incoming                *serverTx // the INVITE that made a received call
	ack                     []byte    // of the latest 2xx
	reinvite                bool      // one of ours is pending
	cancelled, cancelSent   bool
	confirmed               bool
	status                  int
	final                   *message
	body                    []byte // of the last INFO
	told                    string // body of the last NOTIFY
	why                     string // of the end
	events                  []Event
	unacked                 *bool // our 2xx still waits for its ACK
	unackedSeq              uint32
	delayed                 bool // our 2xx made the offer, the ACK brings the answer
	sdp                     local
	offered                 []crypto // keys in our latest offer
	remote                  *session // the other side's latest
	dir                     string   // our direction
	image                   bool     // it is a fax, or that is offered
	media                   *media

	answered, finalCh, done chan struct{}
}

func (p *Peer) newCall(uac bool) *Call {
	c := &Call{
		p: p, uac: uac, began: time.Now(), localTag: p.token(), dir: sendrecv,
		answered: make(chan struct{}), finalCh: make(chan struct{}), done: make(chan struct{}),
	}
	c.sdp = local{id: uint64(p.number()), version: 1, keys: map[string]crypto{}}
	return c
}

func (c *Call) key() string { return c.id + " " + c.localTag }

// Answered is closed by a 2xx, Done when the call is over: refused, timed out, or a BYE went through.
func (c *Call) Answered() <-chan struct{} { return c.answered }
func (c *Call) Done() <-chan struct{}     { return c.done }

// WaitFinal waits for the final response to the INVITE and gives its status; 408 without a Final header also stands for silence.
func (c *Call) WaitFinal(ctx context.Context) (int, error) {
	select {
	case <-c.finalCh:
		return c.Status(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("carrier: no final response: %w", ctx.Err())
	}
}

// Status is the final status of the INVITE, 0 while there is none.
func (c *Call) Status() int { return read(c, func() int { return c.status }) }

// Header gives the values of a header of the final response to our INVITE, or of the INVITE when the call was received.
func (c *Call) Header(name string) []string {
	return read(c, func() []string {
		if m := c.final; m != nil {
			return m.all(name)
		}
		return nil
	})
}

// URI is the Request-URI of a received INVITE.
func (c *Call) URI() string {
	return read(c, func() string {
		if c.incoming == nil {
			return ""
		}
		return c.incoming.req.uri
	})
}

// Events are the messages of the call in order. Ended says why it is over, "" while it is not: "bye sent", "bye received", "refused", "timeout",
// "transport" (the connection died), "cancelled" or "closed". ID is the Call-ID, Began when the INVITE was sent or received.
func (c *Call) Events() []Event { return read(c, func() []Event { return slices.Clone(c.events) }) }
func (c *Call) Ended() string   { return read(c, func() string { return c.why }) }
func (c *Call) ID() string      { return read(c, func() string { return c.id }) }
func (c *Call) Began() time.Time {
	return c.began
}

// Info is the body of the last INFO received.
func (c *Call) Info() string { return read(c, func() string { return string(c.body) }) }

// Media gives the figures of the audio.
func (c *Call) Media() MediaStats {
	m := read(c, func() *media { return c.media })
	if m == nil {
		return MediaStats{}
	}
	return m.snapshot()
}

// WaitEchoes waits until that many packets of our tone came back, counted from the beginning of the call.
func (c *Call) WaitEchoes(ctx context.Context, matched int) error {
	m := read(c, func() *media { return c.media })
	if m == nil {
		return errors.New("carrier: the call has no media yet")
	}
	select {
	case <-m.wait(matched):
		return nil
	case <-c.done:
		return fmt.Errorf("carrier: the call ended: %s", c.Ended())
	case <-ctx.Done():
		return fmt.Errorf("carrier: %d of %d packets came back: %w", c.Media().Matched, matched, ctx.Err())
	}
}

func read[T any](c *Call, f func() T) T {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	return f()
}

func (c *Call) event(out bool, method string, status int) {
	c.events = append(c.events, Event{time.Now(), out, method, status})
}

// settle notes the final status of the INVITE. Under mu, as everything below that is not exported.
func (c *Call) settle(status int) {
	if c.status == 0 {
		c.status = status
		close(c.finalCh)
	}
}

func (c *Call) end(why string) {
	if c.why != "" {
		return
	}
	c.why = why
	c.settle(480)
	if c.unacked != nil {
		*c.unacked = true
	}
	delete(c.p.calls, c.key())
	if c.media != nil {
		c.media.close()
	}
	close(c.done)
}

// learn takes the dialog's far side from a message (RFC 3261 section 12.1 and 12.2.1.2).
func (c *Call) learn(m *message, tagOf string, first bool) {
	c.remoteTag = param(m.get(tagOf), "tag")
	if v := m.get("Contact"); v != "" {
		c.target = uriOf(v)
	}
	if !first {
		return
	}
	c.routes = m.all("Record-Route")
	if c.uac {
		c.routes = reversed(c.routes)
	}
}

// build makes an in-dialog request.
func (c *Call) build(method string, seq uint32) *message {
	m := &message{method: method, uri: c.target}
	m.add("Via", c.p.via(c.p.branch()))
	m.add("Max-Forwards", "70")
	for _, r := range c.routes {
		m.add("Route", r)
	}
	m.add("From", c.localURI+";tag="+c.localTag)
	to := c.remoteURI
	if c.remoteTag != "" {
		to += ";tag=" + c.remoteTag
	}
	m.add("To", to)
	m.add("Call-ID", c.id)
	m.add("CSeq", fmt.Sprintf("%d %s", seq, method))
	if slices.Contains([]string{"INVITE", "UPDATE"}, method) {
		m.add("Contact", c.p.contact())
	}
	return m
}

func (p *Peer) contact() string {
	s := fmt.Sprintf("<sip:%s@%s", p.cfg.Name, p.addr)
	if p.cfg.Proto != "udp" {
		s += ";transport=" + p.cfg.Proto
	}
	return s + ">"
}

// next is where an in-dialog request goes: the first route or the remote target when that is a literal address, over the connection of the call
// while it lives.
func (c *Call) next() path {
	if c.to.s != nil && !c.to.s.gone {
		return c.to
	}
	uri := c.target
	if len(c.routes) > 0 {
		uri = uriOf(c.routes[0])
	}
	if a, ok := hostPort(uri, c.p.cfg.Proto); ok {
		return path{to: a, s: c.to.s, name: c.to.name}
	}
	return c.to
}

// request sends an in-dialog request; on gets each response, or nil.
func (c *Call) request(m *message, on func(*message)) {
	c.event(true, m.method, 0)
	to := c.next()
	begin := func(to path) {
		c.to = to
		c.p.start(m, to, func(r *message) {
			if r != nil {
				c.event(false, m.method, r.status)
			}
			on(r)
		})
	}
	if to.s == nil || !to.s.gone {
		begin(to)
		return
	}
	// The stream died: dial again, not under mu.
	c.p.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		fresh, err := c.p.connect(ctx, to.to, to.name)
		c.p.mu.Lock()
		defer c.p.mu.Unlock()
		if err != nil {
			on(nil)
			return
		}
		begin(fresh)
	})
}

// bye ends a confirmed call.
func (c *Call) bye(why string) {
	if c.why != "" || !c.confirmed {
		return
	}
	c.confirmed = false
	c.seq++
	m := c.build("BYE", c.seq)
	if r := c.p.behaviour.Load().Reason; r != "" && !c.uac {
		m.add("Reason", r)
	}
	c.request(m, func(r *message) {
		if r == nil || r.status >= 200 {
			c.end(why)
		}
	})
}

// Hangup sends BYE and waits until it was answered.
func (c *Call) Hangup(ctx context.Context) error {
	c.p.mu.Lock()
	if c.why == "" && !c.confirmed {
		c.p.mu.Unlock()
		return errors.New("carrier: the call is not answered: Cancel it")
	}
	c.bye("bye sent")
	c.p.mu.Unlock()
	return c.wait(ctx, c.done)
}

func (c *Call) wait(ctx context.Context, ch <-chan struct{}) error {
	select {
	case <-ch:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("carrier: %w", ctx.Err())
	}
}

// Hold and Resume send a re-INVITE with another direction and give its final status.
func (c *Call) Hold(ctx context.Context) (int, error) { return c.offer(ctx, "INVITE", sendonly, nil) }

func (c *Call) Resume(ctx context.Context) (int, error) { return c.offer(ctx, "INVITE", sendrecv, nil) }

// MoveMedia opens a new RTP socket at addr and re-INVITEs with it.
func (c *Call) MoveMedia(ctx context.Context, addr netip.Addr) (int, error) {
	sock, err := openRTP(c.p.cfg.Net, addr)
	if err != nil {
		return 0, err
	}
	return c.offer(ctx, "INVITE", "", sock)
}

// Update sends an UPDATE with our session description as it is, a refresh.
func (c *Call) Update(ctx context.Context) (int, error) { return c.offer(ctx, "UPDATE", "", nil) }

// SendInfo sends an INFO.
func (c *Call) SendInfo(ctx context.Context, contentType, body string) (int, error) {
	c.p.mu.Lock()
	if !c.confirmed {
		c.p.mu.Unlock()
		return 0, errors.New("carrier: the call is not up")
	}
	c.seq++
	m := c.build("INFO", c.seq)
	m.setBody(contentType, []byte(body))
	ch := make(chan int, 1)
	c.request(m, func(r *message) { final(ch, r) })
	c.p.mu.Unlock()
	return await(ctx, ch)
}

// Refer asks for a transfer to a number (RFC 3515). The answer says only whether it was taken; what became of it comes by NOTIFY.
func (c *Call) Refer(ctx context.Context, number string) (int, error) {
	c.p.mu.Lock()
	if !c.confirmed {
		c.p.mu.Unlock()
		return 0, errors.New("carrier: the call is not up")
	}
	c.seq++
	m := c.build("REFER", c.seq)
	m.add("Refer-To", "<sip:"+number+"@transfer.invalid>")
	m.setBody("", nil)
	ch := make(chan int, 1)
	c.request(m, func(r *message) { final(ch, r) })
	c.p.mu.Unlock()
	return await(ctx, ch)
}

// Told is the fragment of the last NOTIFY.
func (c *Call) Told() string { return read(c, func() string { return c.told }) }

func final(ch chan int, r *message) {
	switch {
	case r == nil:
		ch <- 408
	case r.status >= 200:
		ch <- r.status
	}
}

func await(ctx context.Context, ch chan int) (int, error) {
	select {
	case s := <-ch:
		return s, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("carrier: no final response: %w", ctx.Err())
	}
}

// offer renegotiates the session.
func (c *Call) offer(ctx context.Context, method, dir string, sock *rtpSocket) (int, error) {
	c.p.mu.Lock()
	if !c.confirmed || c.reinvite || c.why != "" {
		c.p.mu.Unlock()
		if sock != nil {
			sock.close()
		}
		return 0, errors.New("carrier: the call is not up, or is being renegotiated")
	}
	c.reinvite = true
	was := c.dir
	if dir != "" {
		c.dir = dir
	}
	if sock != nil {
		c.media.move(sock)
	}
	c.seq++
	seq := c.seq
	m := c.build(method, seq)
	m.setBody("application/sdp", c.describeOffer())
	ch, settled := make(chan int, 1), false
	c.request(m, func(r *message) {
		if r != nil && r.status < 200 {
			return
		}
		ok := r != nil && r.status < 300
		if ok && method == "INVITE" {
			c.sendAck(seq)
		}
		if settled { // a retransmission
			return
		}
		settled, c.reinvite = true, false
		if ok {
			c.learn(r, "To", false)
			c.applyAnswer(r.body)
		} else {
			c.dir = was
		}
		final(ch, r)
	})
	c.p.mu.Unlock()
	return await(ctx, ch)
}

// MoveMediaTo moves the media of every call that is up.
func (p *Peer) MoveMediaTo(ctx context.Context, addr netip.Addr) error {
	for _, c := range p.Calls() {
		if s, err := c.MoveMedia(ctx, addr); err != nil || s != 200 {
			return errors.Join(fmt.Errorf("carrier: re-INVITE got %d", s), err)
		}
	}
	return nil
}

func (c *Call) sendAck(seq uint32) {
	c.ack = c.build("ACK", seq).bytes()
	c.event(true, "ACK", 0)
	c.p.send(c.next(), c.ack)
}

// onRequest takes a request within the dialog.
func (c *Call) onRequest(t *serverTx) {
	m, p := t.req, c.p
	n, _, _ := m.cseq()
	c.event(false, m.method, 0)
	if param(m.get("From"), "tag") != c.remoteTag && c.remoteTag != "" {
		p.fault("%s: From tag changed to %q in call %s", m.method, m.get("From"), c.id)
		c.reply(t, 481, nil)
		return
	}
	if n <= c.remoteSeq {
		p.fault("%s: CSeq %d after %d in call %s", m.method, n, c.remoteSeq, c.id)
		c.reply(t, 500, nil)
		return
	}
	c.remoteSeq = n
	switch m.method {
	case "BYE":
		p.stats.Byes++
		c.reply(t, 200, nil)
		if c.incoming != nil && c.status == 0 { // RFC 3261 section 15.1.2
			c.settle(487)
			c.reply(c.incoming, 487, nil)
		}
		c.end("bye received")
	case "INFO":
		p.stats.Infos++
		c.body = m.body
		c.keyed(m)
		c.reply(t, 200, nil)
	case "NOTIFY":
		c.told = string(m.body)
		c.reply(t, 200, nil)
	case "OPTIONS":
		p.stats.Options++
		c.reply(t, 200, nil)
	case "UPDATE", "INVITE":
		c.onOffer(t)
	default:
		c.reply(t, 405, nil)
	}
}

// reply answers within the call.
func (c *Call) reply(t *serverTx, status int, body []byte) []byte {
	c.event(true, t.req.method, status)
	return c.p.respond(t, status, func(r *message) {
		if m := t.req.method; status > 100 && status < 300 && (m == "INVITE" || m == "UPDATE") {
			r.add("Contact", c.p.contact())
		}
		if status >= 300 {
			retryAfter(r, c.p.behaviour.Load())
		}
		r.setBody("application/sdp", body)
	})
}

// onOffer answers a re-INVITE or an UPDATE.
func (c *Call) onOffer(t *serverTx) {
	m := t.req
	if m.method == "INVITE" {
		c.p.stats.Reinvites++
	} else {
		c.p.stats.Updates++
	}
	if c.reinvite || c.unacked != nil && !*c.unacked && m.method == "INVITE" {
		c.reply(t, 491, nil) // RFC 3261 section 14.2
		return
	}
	c.learn(m, "From", false)
	var body []byte
	switch {
	case len(m.body) > 0:
		var err error
		if body, err = c.answer(m.body); err != nil {
			c.p.fault("%s: %v", m.method, err)
			c.reply(t, 488, nil)
			return
		}
	case m.method == "INVITE":
		c.delayed = true
		body = c.describeOffer()
	}
	if m.method == "INVITE" {
		c.accept(t, body)
		return
	}
	c.reply(t, 200, body)
}

// accept sends a 2xx to an INVITE until its ACK comes.
func (c *Call) accept(t *serverTx, body []byte) {
	c.unacked = new(bool)
	c.unackedSeq, _, _ = t.req.cseq()
	c.p.again(t, c.reply(t, 200, body), c.p.cfg.T1, c.unacked)
}

// onAck takes the ACK of a 2xx.
func (p *Peer) onAck(m *message) {
	c := p.calls[m.get("Call-ID")+" "+param(m.get("To"), "tag")]
	if c == nil {
		return // late, after the call
	}
	n, _, _ := m.cseq()
	if c.unacked != nil && n < c.unackedSeq && param(m.get("From"), "tag") == c.remoteTag {
		p.stats.Retransmits++ // an answer to a repeated 2xx of an earlier INVITE
		return
	}
	if c.unacked == nil || n != c.unackedSeq || param(m.get("From"), "tag") != c.remoteTag {
		p.fault("ACK: CSeq %q, From %q do not fit call %s", m.get("CSeq"), m.get("From"), c.id)
		return
	}
	if *c.unacked {
		p.stats.Retransmits++
		return
	}
	*c.unacked = true
	p.stats.Acks++
	c.event(false, "ACK", 0)
	if c.delayed {
		c.delayed = false
		c.applyAnswer(m.body)
	}
}

// cut removes the tag from a From or To value.
func cut(v string) string {
	head, tail, _ := strings.Cut(v, ">")
	if tail == "" && !strings.Contains(v, ">") {
		head, _, _ = strings.Cut(v, ";")
		return "<" + head + ">"
	}
	var keep []string
	for _, x := range strings.Split(tail, ";") {
		if !strings.HasPrefix(strings.ToLower(strings.TrimSpace(x)), "tag=") {
			keep = append(keep, x)
		}
	}
	return head + ">" + strings.Join(keep, ";")
}

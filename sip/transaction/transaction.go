// Package transaction is RFC 3261 section 17 with RFC 6026 and RFC 4320: client and server transactions as plain state machines.
//
// It has no goroutine and no lock: a Layer belongs to one Loop, everything happens on it, and order is kept. After the final response a transaction holds only
// the bytes that retransmissions need. It imports internal/impair, sip/transport and, of foreign modules, sipgo's message types.
package transaction

import (
	"bytes"
	"errors"
	"hash/maphash"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// Loop runs functions one after another. A call, its dialogs and its transactions belong to one Loop.
type Loop interface {
	// Post queues f; it never blocks and may be called from anywhere.
	Post(f func())
	// Deliver queues a message for to, as Post does, and needs no memory for it.
	Deliver(to func(transport.Incoming), in transport.Incoming)
	// After runs f on the loop after d unless it is stopped before. Call it on the loop only.
	After(d time.Duration, f func()) Timer
	// Arm sets an alarm to wake to after d, and needs no memory for it. Call it on the loop only.
	Arm(a *Alarm, d time.Duration, to Due)
}

// Timer can be stopped. Stop after it fired does nothing. Call it on the loop only.
type Timer interface{ Stop() }

// Timers of RFC 3261. The zero value of a field means its default (T1 500 ms, T2 4 s, T4 5 s, B and F and H 64*T1, D 32 s).
type Timers struct{ T1, T2, T4, B, D, F, H time.Duration }

func (t Timers) withDefaults() Timers {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&t.T1, 500*time.Millisecond)
	set(&t.T2, 4*time.Second)
	set(&t.T4, 5*time.Second)
	set(&t.B, 64*t.T1)
	set(&t.D, 32*time.Second)
	set(&t.F, 64*t.T1)
	set(&t.H, 64*t.T1)
	return t
}

// User is told what happens, on the loop.
type User interface {
	// Request is a new server transaction, or an ACK for a 2xx (tx is nil then).
	Request(tx *Server, req *sip.Request, in transport.Incoming)
	// Stray is a response that matches no transaction, e.g. a 2xx retransmission after its transaction ended.
	Stray(res *sip.Response, in transport.Incoming)
}

// ClientUser is told of one client transaction, on the loop.
type ClientUser interface {
	// Response is each 1xx, and each final response: several 2xx of a forked INVITE come each (RFC 6026). A 2xx may even come after a refusal or after Failed,
	// for another 64*T1: somebody answered, and that call must be ended with ACK and BYE. Other late responses the layer cleans up by itself.
	Response(c *Client, res *sip.Response)
	// Failed is told once when no final response came: Timeout, transport.ErrGone..., sovereign.ErrFenced.
	Failed(c *Client, err error)
}

// ErrTimeout is Timer B or F.
var ErrTimeout = errors.New("transaction: timeout")

// Errors of Server.Respond.
var (
	ErrAnswered = errors.New("transaction: already answered")
	// ErrForbidden is a response that RFC 4320 does not allow to a request other than INVITE: a 1xx but 100, or 408.
	ErrForbidden = errors.New("transaction: response not allowed")
)

// Layer holds the transactions of one Loop.
type Layer struct {
	loop    Loop
	send    func(transport.Flow, []byte) error
	user    User
	t       Timers
	extra   func(transport.Flow, *sip.Request) sip.HeaderParams // nil, or further parameters of our Via
	wide    func(transport.Flow) (transport.Flow, bool)         // nil, or the stream for what is too large for datagrams
	clients map[uint64]*Client                                  // by the hash of clientKey
	byFlow  map[transport.Key]*path
	near    struct { // of byFlow, the one that was used last
		key  transport.Key
		path *path
	}
	servers map[uint64]*Server // by serverKey
	merges  map[uint64]int     // by mergeKey
	seed    maphash.Seed       // of these hashes

	// Memory that is used again.
	buf      []byte   // of a message that is written
	spare    [][]byte // of messages that are kept briefly
	replies  replies
	requests []*Draft // that wait
	key      []byte   // of a key that is looked up
	dice     [512]byte
	die      int // the first unused of dice
	host     via // the local address that was written last
	out      outbox
	flusher  func() // Flush, made once
}

// New makes a layer. send is transport.Layer.Send.
func New(loop Loop, send func(transport.Flow, []byte) error, user User, t Timers) *Layer {
	l := &Layer{
		loop: loop, send: send, user: user, t: t.withDefaults(),
		clients: map[uint64]*Client{}, byFlow: map[transport.Key]*path{}, servers: map[uint64]*Server{}, merges: map[uint64]int{}, seed: maphash.MakeSeed(),
	}
	l.flusher = l.Flush
	return l
}

// ViaParams sets what gives further parameters of our Via of a request on a flow, such as those of RFC 7339, RFC 5923 and RFC 6223.
func (l *Layer) ViaParams(f func(transport.Flow, *sip.Request) sip.HeaderParams) { l.extra = f }

// Receive takes one message; call it on the loop.
func (l *Layer) Receive(in transport.Incoming) {
	switch m := in.Msg.(type) {
	case *sip.Response:
		l.response(m, in)
	case *sip.Request:
		l.request(m, in)
	}
}

// Serves says whether a request belongs to a server transaction that is there; call it on the loop.
func (l *Layer) Serves(req *sip.Request, in transport.Incoming) bool {
	return matchable(req) && l.servers[l.serverKey(req, in, req.Method)] != nil
}

func (l *Layer) response(res *sip.Response, in transport.Incoming) {
	k, ok := keyOfResponse(res)
	if !ok {
		return
	}
	c := l.client(k)
	if c == nil {
		l.user.Stray(res, in)
		return
	}
	c.arrive(res, in)
}

func (l *Layer) request(req *sip.Request, in transport.Incoming) {
	if !matchable(req) {
		return
	}
	k := l.serverKey(req, in, req.Method)
	s := l.servers[k]
	switch {
	case req.Method == sip.ACK:
		// The ACK for a 2xx has a branch of its own; some send the INVITE's.
		if s == nil || !s.ack() {
			l.user.Request(nil, req, in)
		}
	case s != nil:
		s.again()
	case req.Method == sip.CANCEL:
		l.cancel(k, req, in)
	default:
		s = l.serve(k, req, in)
		l.user.Request(s, req, in)
		s.wait()
	}
}

// Lost tells the client transactions of a flow that it died; call it on the loop. Over a stream every transaction without a final response fails. An ICMP
// error fails those that are still sending; an INVITE that has its provisional response is left to the user's own timers, because the error may belong to
// another datagram of the same path.
func (l *Layer) Lost(f transport.Flow, err error) {
	// Collected first: what a failing user starts must not be seen here.
	var dying []*Client
	if p := l.byFlow[f.Key()]; p != nil {
		for c := p.first; c != nil; c = c.next {
			if !c.final() && (f.Proto().Reliable() || c.state != proceeding || !c.invite()) {
				dying = append(dying, c)
			}
		}
	}
	for _, c := range dying {
		if !c.final() {
			c.fail(err)
		}
	}
}

// Request starts a client transaction: req must be complete but for the Via, which the layer puts on top. The user may be called before it returns only
// through the loop, never directly. For ACK to a 2xx use Send.
func (l *Layer) Request(f transport.Flow, req *sip.Request, u ClientUser, opts ...Option) *Client {
	branch := l.newBranch()
	l.addVia(f, req, branch)
	c := &Client{l: l, flow: f, req: req, user: u, key: clientKey{branch, req.Method}, timeout: l.t.F}
	if req.Method == sip.INVITE {
		c.timeout = l.t.B
	}
	for _, o := range opts {
		o(c)
	}
	c.start()
	return c
}

// Send puts a Via on top and writes req outside any transaction (ACK for 2xx).
func (l *Layer) Send(f transport.Flow, req *sip.Request) error {
	l.addVia(f, req, l.newBranch())
	b := transport.Append(l.buf[:0], req)
	if wide, ok := l.widen(f, req, len(b)); ok {
		f, b = wide, transport.Append(b[:0], req)
	}
	l.buf = nil // as in write
	err := l.put(f, b, nil)
	l.buf = b
	return err
}

// write sends a message that nobody sends again.
func (l *Layer) write(f transport.Flow, m sip.Message) error {
	b := transport.Append(l.buf[:0], m)
	l.buf = nil // whoever writes from within the send takes another
	err := l.put(f, b, nil)
	l.buf = b
	return err
}

// wire gives the bytes of a message to keep for long.
func (l *Layer) wire(m sip.Message) []byte {
	l.buf = transport.Append(l.buf[:0], m)
	return bytes.Clone(l.buf)
}

// brief gives the bytes of a message that is soon answered or overtaken, in memory that let gave back.
func (l *Layer) brief(m sip.Message) []byte {
	var b []byte
	if n := len(l.spare); n > 0 {
		b, l.spare = l.spare[n-1], l.spare[:n-1]
	} else {
		b = make([]byte, 0, briefRoom)
	}
	return transport.Append(b, m)
}

// let takes bytes back that nobody repeats any more.
func (l *Layer) let(b []byte) {
	if cap(b) >= briefRoom && cap(b) <= 4*briefRoom && len(l.spare) < maxSpare {
		l.spare = append(l.spare, b[:0])
	}
}

// Bounds of the memory that waits for the next messages.
const (
	briefRoom = 1024
	maxSpare  = 64
)

// Len is the number of live client and server transactions.
func (l *Layer) Len() (clients, servers int) { return len(l.clients), len(l.servers) }

// Option of one client transaction.
type Option func(*Client)

// WithTimeout replaces Timer B or F of this transaction.
func WithTimeout(d time.Duration) Option {
	return func(c *Client) {
		if d > 0 {
			c.timeout = d
		}
	}
}

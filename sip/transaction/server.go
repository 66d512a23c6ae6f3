package transaction

import (
	"fmt"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// tryingAfter is when an INVITE that nobody answered yet gets its 100. RFC 3261 section 17.2.1.
const tryingAfter = 200 * time.Millisecond

// Server is a server transaction.
type Server struct {
	l     *Layer
	req   *sip.Request
	flow  transport.Flow
	key   serverKey
	merge *mergeKey
	twin  bool // another transaction had the same merge key when this one came
	tag   string
	state state

	wire     []byte // the last response
	resend   time.Duration
	repeat   Timer // Timer G
	limit    Timer // 100 Trying; then Timer H, I, J or L
	deadline Timer // of a request that nobody answers
	canceled *sip.Request
	onCancel func(*sip.Request)
	onEnd    func(error)
}

func (l *Layer) serve(k serverKey, req *sip.Request, in transport.Incoming) *Server {
	s := &Server{l: l, req: req, flow: in.Flow, key: k, state: proceeding}
	if tag, ok := req.To().Params.Get("tag"); ok && tag != "" {
		s.tag = tag
	} else {
		s.tag = l.mark + random()
	}
	if m, ok := keyOfMerge(req); ok {
		s.merge, s.twin = &m, l.merges[m] > 0
		l.merges[m]++
	}
	l.servers[k] = s
	if req.Method == sip.INVITE {
		s.limit = l.loop.After(tryingAfter, s.trying)
		return s
	}
	// RFC 4320 section 4.1: 100 when the client's Timer E has reached T2, and no sooner.
	s.limit = l.loop.After(s.reachT2(), s.trying)
	// RFC 4320 section 4.2: past the client's Timer F no answer can arrive any more.
	s.deadline = l.loop.After(l.t.F, func() {
		if s.state == proceeding {
			s.terminate(ErrTimeout)
		}
	})
	return s
}

// reachT2 is the time after which a client's Timer E is set to T2.
func (s *Server) reachT2() time.Duration {
	var at time.Duration
	for e := s.l.t.T1; e < s.l.t.T2; e *= 2 {
		at += e
	}
	return at
}

func (s *Server) trying() {
	if s.state == proceeding && s.wire == nil {
		s.Respond(s.Response(100, ""))
	}
}

// Req is the request. Flow is the way back. After the final response only the headers that identify the request remain, and no body.
func (s *Server) Req() *sip.Request    { return s.req }
func (s *Server) Flow() transport.Flow { return s.flow }

// Use puts another flow of the same path in place of the way back: one that rests on another pass.
func (s *Server) Use(f transport.Flow) {
	if f.Valid() && f.Key() == s.flow.Key() {
		s.flow = f
	}
}

// Tag is that To-tag.
func (s *Server) Tag() string { return s.tag }

// Merged says that the request came before by another path and is still being handled: the user answers 482. RFC 3261 section 8.2.2.2.
func (s *Server) Merged() bool { return s.twin }

// OnCancel is called on the loop when a CANCEL for this INVITE came (it was answered with 200 already); the user sends the 487.
func (s *Server) OnCancel(f func(cancel *sip.Request)) {
	s.onCancel = f
	if c := s.canceled; c != nil && f != nil {
		s.canceled = nil
		s.l.loop.Post(func() { f(c) })
	}
}

// OnEnd is called on the loop when the transaction is gone: err is nil, or Timeout when no ACK came for a final response (Timer H).
func (s *Server) OnEnd(f func(err error)) { s.onEnd = f }

// Respond sends a response (built by Response or complete). Retransmissions of the request get it again. A 2xx to INVITE is retransmitted by the dialog, not
// here. An error of the send changes no state: the client repeats its request or its timers end it.
func (s *Server) Respond(res *sip.Response) error {
	invite := s.key.method == sip.INVITE
	switch {
	case s.state == accepted && res.IsSuccess():
		// RFC 6026 section 7.1: the user repeats its 2xx through us.
		return s.l.send(s.flow, s.render(res))
	case s.state != proceeding:
		return fmt.Errorf("%w: %d after a final response", ErrAnswered, res.StatusCode)
	case !invite && res.StatusCode < 200 && res.StatusCode != 100:
		return fmt.Errorf("%w: %d to %s", ErrForbidden, res.StatusCode, s.key.method)
	case !invite && res.StatusCode == 408:
		// RFC 4320 section 4.2: it could only arrive after the client gave up.
		s.terminate(ErrTimeout)
		return fmt.Errorf("%w: 408 to %s", ErrForbidden, s.key.method)
	}
	s.wire = s.render(res)
	err := s.l.send(s.flow, s.wire)
	switch {
	case res.StatusCode < 200:
		return err
	case !invite:
		s.enter(completed, s.unreliably(64*s.l.t.T1)) // Timer J
	case res.IsSuccess():
		s.wire = nil                   // RFC 6026: retransmitted INVITEs are absorbed
		s.enter(accepted, 64*s.l.t.T1) // Timer L
	default:
		s.stopTimers()
		s.state = completed
		s.limit = s.l.loop.After(s.l.t.H, func() { s.terminate(ErrTimeout) })
		if !s.flow.Proto().Reliable() {
			s.resend = s.l.t.T1
			s.repeat = s.l.loop.After(s.resend, s.timerG)
		}
	}
	s.req = essence(s.req)
	return err
}

func (s *Server) render(res *sip.Response) []byte {
	length(res)
	return wire(res)
}

// timerG repeats a refusal until its ACK comes. RFC 3261 section 17.2.1.
func (s *Server) timerG() {
	s.l.send(s.flow, s.wire)
	s.resend = min(2*s.resend, s.l.t.T2)
	s.repeat = s.l.loop.After(s.resend, s.timerG)
}

func (s *Server) unreliably(d time.Duration) time.Duration {
	if s.flow.Proto().Reliable() {
		return 0
	}
	return d
}

// again takes a retransmission of the request.
func (s *Server) again() {
	if s.wire != nil && (s.state == proceeding || s.state == completed) {
		s.l.send(s.flow, s.wire)
	}
}

// ack takes an ACK with this transaction's branch. false: it belongs to the user.
func (s *Server) ack() bool {
	switch s.state {
	case accepted:
		return false
	case completed:
		s.wire = nil
		s.enter(confirmed, s.unreliably(s.l.t.T4)) // Timer I
	}
	return true
}

// cancel answers a CANCEL. RFC 3261 section 9.2: 200 with the To-tag of the INVITE, or 481.
func (l *Layer) cancel(k serverKey, req *sip.Request, in transport.Incoming) {
	s := l.serve(k, req, in)
	k.method = sip.INVITE
	target := l.servers[k]
	if target == nil {
		s.Respond(s.Response(481, ""))
		return
	}
	s.tag = target.tag
	s.Respond(s.Response(200, ""))
	if target.state != proceeding {
		return // a final response went out: the CANCEL changes nothing
	}
	if target.onCancel == nil {
		target.canceled = req
		return
	}
	target.onCancel(req)
}

func (s *Server) stopTimers() {
	for _, t := range []*Timer{&s.repeat, &s.limit, &s.deadline} {
		if *t != nil {
			(*t).Stop()
			*t = nil
		}
	}
}

func (s *Server) enter(st state, d time.Duration) {
	s.stopTimers()
	s.state = st
	if d == 0 {
		s.terminate(nil)
		return
	}
	s.limit = s.l.loop.After(d, func() { s.terminate(nil) })
}

func (s *Server) terminate(err error) {
	if s.state == terminated {
		return
	}
	s.stopTimers()
	s.state = terminated
	s.wire = nil
	if s.l.servers[s.key] == s {
		delete(s.l.servers, s.key)
	}
	if s.merge != nil {
		if s.l.merges[*s.merge]--; s.l.merges[*s.merge] <= 0 {
			delete(s.l.merges, *s.merge)
		}
	}
	if s.onEnd != nil {
		s.onEnd(err)
	}
}

package transaction

import (
	"fmt"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// tryingAfter is when an INVITE that nobody answered yet gets its 100. RFC 3261 section 17.2.1.
const tryingAfter = 200 * time.Millisecond

// Server is a server transaction.
type Server struct {
	l      *Layer
	req    *sip.Request // until the final response
	flow   transport.Flow
	key    uint64
	merge  uint64 // 0: none
	tag    string
	method sip.RequestMethod
	seq    uint32
	twin   bool // another transaction had the same merge key when this one came
	state  state

	wire     []byte // the last response; nil for a 2xx to INVITE
	resend   time.Duration
	repeat   Alarm // Timer G; of other requests than INVITE how long they may wait for their answer
	limit    Alarm // 100 Trying; then Timer H, I, J or L
	canceled *sip.Request
	onCancel func(*sip.Request)
	way      Way // until the final response, and for the 2xx to an INVITE that is repeated; nil: nothing is ever met
}

func (l *Layer) serve(key uint64, req *sip.Request, in transport.Incoming) *Server {
	s := &Server{l: l, req: req, flow: in.Flow, key: key, method: req.Method, seq: req.CSeq().SeqNo, state: proceeding}
	if tag, ok := req.To().Params.Get("tag"); ok && tag != "" {
		s.tag = strings.Clone(tag) // it must not hold the request
	} else {
		s.tag = l.random("")
	}
	if m := l.mergeKey(req); m != 0 {
		s.merge, s.twin = m, l.merges[m] > 0
		l.merges[m]++
	}
	l.servers[key] = s
	return s
}

// wait sets the alarms of a request that its user did not answer at once.
func (s *Server) wait() {
	if s.state != proceeding {
		return
	}
	if s.invite() {
		if s.wire == nil {
			s.arm(&s.limit, tryingAfter)
		}
		return
	}
	// RFC 4320 section 4.1: 100 when the client's Timer E has reached T2, and no sooner.
	s.arm(&s.limit, s.reachT2())
	// RFC 4320 section 4.2: past the client's Timer F no answer can arrive any more.
	s.arm(&s.repeat, s.l.t.F)
}

func (s *Server) invite() bool { return s.method == sip.INVITE }

// serverDue is what the alarms of a Server wake.
type serverDue Server

func (s *Server) arm(a *Alarm, d time.Duration) { s.l.loop.Arm(a, d, (*serverDue)(s)) }

// Due implements Due.
func (d *serverDue) Due(a *Alarm) {
	s := (*Server)(d)
	switch {
	case a == &s.repeat && s.invite():
		s.timerG()
	case a == &s.repeat:
		s.terminate()
	case s.state == proceeding:
		s.trying()
	case s.state == completed && s.invite(): // Timer H
		s.terminate()
	default:
		s.terminate()
	}
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
		s.Respond(s.Draft(100, ""))
	}
}

// Req is the request. After the final response, which holds nothing but bytes, it is made anew of the headers that every response repeats: Via, From, To, Call-ID
// and CSeq. After a 2xx to INVITE, of which nothing is kept, CSeq is all.
func (s *Server) Req() *sip.Request {
	if s.req != nil {
		return s.req
	}
	req := sip.NewRequest(s.method, sip.Uri{})
	if last, err := transport.Parse(s.wire); err == nil {
		for _, h := range last.(*sip.Response).Headers() {
			if repeated(h) {
				req.AppendHeader(h)
			}
		}
		return req
	}
	req.AppendHeader(&sip.CSeqHeader{SeqNo: s.seq, MethodName: s.method})
	return req
}

// repeated says whether every response carries this header of its request. RFC 3261 sections 8.2.6.2 and 12.1.1, RFC 7989 section 7.
func repeated(h sip.Header) bool {
	switch h.(type) {
	case *sip.ViaHeader, *sip.FromHeader, *sip.ToHeader, *sip.CallIDHeader, *sip.CSeqHeader, *sip.RecordRouteHeader:
		return true
	}
	return is(h, "Session-ID")
}

// Flow is the way back.
func (s *Server) Flow() transport.Flow { return s.flow }

// Seq is the number in the CSeq of the request.
func (s *Server) Seq() uint32 { return s.seq }

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

// Respond sends a response (built by Response or complete). Retransmissions of the request get it again. A 2xx to INVITE is retransmitted by the dialog, not
// here. A response that cannot be sent changes no state: the client repeats its request or its timers end it.
func (s *Server) Respond(res *sip.Response) error {
	err := s.respond(res)
	if !s.invite() || !res.IsSuccess() {
		s.l.replies.back(res)
	}
	return err
}

func (s *Server) respond(res *sip.Response) error {
	invite := s.invite()
	switch {
	case s.state == accepted && res.IsSuccess() && res.Via() != nil: // without one it was built of what is gone
		// RFC 6026 section 7.1: the user repeats its 2xx, which it keeps, through us.
		SetBody(res, res.Body())
		return s.write(res)
	case s.state != proceeding:
		return fmt.Errorf("%w: %d after a final response", ErrAnswered, res.StatusCode)
	case !invite && res.StatusCode < 200 && res.StatusCode != 100:
		return fmt.Errorf("%w: %d to %s", ErrForbidden, res.StatusCode, s.method)
	case !invite && res.StatusCode == 408:
		// RFC 4320 section 4.2: it could only arrive after the client gave up.
		s.terminate()
		return fmt.Errorf("%w: 408 to %s", ErrForbidden, s.method)
	}
	SetBody(res, res.Body())
	if invite && res.IsSuccess() {
		err := s.write(res)
		s.l.let(s.wire)
		s.wire = nil // RFC 6026: retransmitted INVITEs are absorbed, the user repeats its 2xx
		s.ended()
		s.enter(accepted, 64*s.l.t.T1) // Timer L
		return err
	}
	s.l.let(s.wire)
	if res.StatusCode < 200 {
		s.wire = s.l.brief(res)
	} else {
		s.wire = s.l.wire(res)
	}
	err := s.put(s.wire)
	if res.StatusCode < 200 {
		if invite {
			s.limit.Stop() // nobody needs a 100 any more
		}
		return err
	}
	s.ended()
	if !invite {
		s.enter(completed, s.unreliably(64*s.l.t.T1)) // Timer J
		return err
	}
	s.stopTimers()
	s.state = completed
	s.arm(&s.limit, s.l.t.H)
	if !s.flow.Proto().Reliable() {
		s.resend = s.l.t.T1
		s.arm(&s.repeat, s.resend)
	}
	return err
}

// ended lets everything go that only matters before the final response.
func (s *Server) ended() { s.req, s.canceled, s.onCancel, s.way = nil, nil, nil, nil }

// timerG repeats a refusal until its ACK comes. RFC 3261 section 17.2.1.
func (s *Server) timerG() {
	s.put(s.wire)
	s.resend = min(2*s.resend, s.l.t.T2)
	s.arm(&s.repeat, s.resend)
}

func (s *Server) unreliably(d time.Duration) time.Duration {
	if s.flow.Proto().Reliable() {
		return 0
	}
	return d
}

// Drop ends a transaction that is never answered. Retransmissions of its request begin a new one.
func (s *Server) Drop() {
	if s.state == proceeding {
		s.terminate()
	}
}

// again takes a retransmission of the request.
func (s *Server) again() {
	if s.wire != nil && (s.state == proceeding || s.state == completed) {
		s.put(s.wire)
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
func (l *Layer) cancel(key uint64, req *sip.Request, in transport.Incoming) {
	s := l.serve(key, req, in)
	target := l.servers[l.serverKey(req, in, sip.INVITE)]
	if target == nil {
		s.Respond(s.Draft(481, ""))
		return
	}
	s.tag = target.tag
	s.Respond(s.Draft(200, ""))
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
	s.repeat.Stop()
	s.limit.Stop()
}

func (s *Server) enter(st state, d time.Duration) {
	s.stopTimers()
	s.state = st
	if d == 0 {
		s.terminate()
		return
	}
	s.arm(&s.limit, d)
}

func (s *Server) terminate() {
	if s.state == terminated {
		return
	}
	s.stopTimers()
	s.state = terminated
	s.wire = nil
	s.ended()
	if s.l.servers[s.key] == s {
		delete(s.l.servers, s.key)
	}
	if s.merge != 0 {
		if s.l.merges[s.merge]--; s.l.merges[s.merge] <= 0 {
			delete(s.l.merges, s.merge)
		}
	}
}

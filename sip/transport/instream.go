package transport

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sovereign"
)

// inStream is the reading side of one connection.
type inStream struct {
	c     *conn
	r     *reader
	buf   []byte // what came and was not consumed
	began time.Time
	half  time.Time // when a lone CRLF came: a second one soon after makes it a ping
	skip  int       // bytes of a body that is read over

	emergency *flow               // the way back while the source is looked at for emergency calls only
	own       *flow               // the way back otherwise, when it is not that of the connection any more
	judged    *sovereign.Snapshot // by which own was judged

	// A header section that waits for its body.
	waits bool
	frame frame
}

// smallBuffer is what a stream that rests holds.
const smallBuffer = 4096

// space gives room to read into. The buffer grows to one header section and one body, no further, and only within what its source may hold.
func (s *inStream) space() ([]byte, error) {
	if cap(s.buf)-len(s.buf) < 1024 {
		size := max(smallBuffer, 2*cap(s.buf))
		if !s.c.budget.spend(size - cap(s.buf)) {
			return nil, fmt.Errorf("transport: its source holds too much memory: %w", ErrStalled)
		}
		grown := make([]byte, len(s.buf), size)
		copy(grown, s.buf)
		s.buf = grown
	}
	return s.buf[len(s.buf):cap(s.buf)], nil
}

// release gives the buffer back when the stream ends.
func (s *inStream) release() {
	s.c.budget.spend(-cap(s.buf))
	s.buf = nil
}

// took handles n more bytes. An error ends the connection.
func (s *inStream) took(n int) error {
	s.buf = s.buf[:len(s.buf)+n]
	used := 0
	for {
		rest := s.buf[used:]
		if s.skip > 0 {
			n := min(s.skip, len(rest))
			s.skip -= n
			used += n
			if s.skip > 0 {
				break
			}
			s.began = time.Time{}
			continue
		}
		n, err := s.step(rest)
		if err != nil {
			return err
		}
		if n == 0 {
			break
		}
		used += n
	}
	s.buf = s.buf[:copy(s.buf, s.buf[used:])]
	if len(s.buf) == 0 && cap(s.buf) > 16<<10 {
		s.c.budget.spend(smallBuffer - cap(s.buf))
		s.buf = make([]byte, 0, smallBuffer) // one large message must not hold memory for the connection's life
	}
	return nil
}

// step consumes one thing at the front of b and says how many bytes it was; 0 needs more.
func (s *inStream) step(b []byte) (int, error) {
	if !s.waits {
		f := nextFrame(b, &s.r.head)
		switch f.kind {
		case frameMore:
			if len(b) > 0 && s.began.IsZero() {
				s.began = time.Now()
			}
			return 0, nil
		case framePing, frameCRLF:
			s.began = time.Time{}
			s.keepalive(f.kind == framePing)
			return f.size, nil
		case frameLost:
			return 0, s.lost(b, f)
		}
		if f.body > s.c.l.c.MaxBody {
			s.skip, s.began = f.body, time.Now()
			return f.size, s.message(b[:f.size], nil, &Fault{Status: 413, Reason: "Request Entity Too Large"})
		}
		s.waits, s.frame = true, f
	}
	total := s.frame.size + s.frame.body
	if len(b) < total {
		if s.began.IsZero() {
			s.began = time.Now()
		}
		return 0, nil
	}
	s.waits, s.began = false, time.Time{}
	// The buffer may have moved since the header section was scanned.
	nextFrame(b[:s.frame.size], &s.r.head)
	return total, s.message(b[:total], b[s.frame.size:total], nil)
}

// keepalive answers a ping with a pong. RFC 5626 section 3.5.1.
func (s *inStream) keepalive(ping bool) {
	if s.c.acceptor == nil && s.c.pings.pong() && !ping {
		return // the answer to ours
	}
	now := time.Now()
	if !ping && !s.half.IsZero() && now.Sub(s.half) < time.Second {
		ping = true
	}
	s.half = time.Time{}
	if !ping {
		s.half = now
		return
	}
	g := s.c.guard.Load()
	f := s.own
	if f == nil {
		f = s.c.flow
	}
	if f.pass != nil && f.pass.Live(time.Time{}) || g != nil && g.excused() {
		s.c.enqueue([]byte("\r\n"))
	}
}

// admitted asks the screen about the connection again: what it allows may have changed since.
func (s *inStream) admitted() (a Admission, f *flow, err error) {
	c := s.c
	f = c.flow
	a = c.l.c.Screen.Source(c.proto, f.key.Remote, f.key.Local, c.peer.Load())
	if c.acceptor == nil {
		// We dialled it, so it was judged as a destination. The screen says which party speaks, or stays with ours.
		if a.Look == Refused {
			a = Admission{Party: f.key.Party, Look: Admitted}
		}
		return a, f, nil
	}
	switch {
	case a.Look == Refused:
		c.l.m.dropped.WithLabelValues(string(c.proto), "source").Inc()
		return a, nil, fmt.Errorf("transport: not admitted: %w", ErrGone)
	case a.Look == ForEmergency:
		if s.emergency == nil || s.emergency.key.Party != a.Party || !s.emergency.pass.Live(time.Time{}) {
			s.emergency = c.l.judged(a, f.key.Remote, *f)
			s.emergency.key.Party = a.Party
		}
		return a, s.emergency, nil
	}
	f = s.way(a)
	if f.pass != nil && !f.pass.Live(time.Time{}) {
		f = f.mute()
	}
	return a, f, nil
}

// way is the way back of an admitted source. It is judged when its party turns out to be another than it seemed, and again under a later policy when it had no
// pass: who was held when the connection came may be permitted by now.
func (s *inStream) way(a Admission) *flow {
	c := s.c
	f, now := s.own, c.l.c.Fence.Snapshot()
	if f == nil {
		f = c.flow
	}
	if a.Party == f.key.Party && (f.pass != nil || s.judged == now) {
		return f
	}
	f = c.l.judged(a, f.key.Remote, *f)
	f.key.Party = a.Party
	s.own, s.judged = f, now
	if g := c.guard.Load(); g != nil && f.pass != nil {
		g.rest(f.pass)
	}
	return f
}

// message reads and delivers one framed message. A message that is malformed inside its frame costs the connection nothing.
func (s *inStream) message(whole, body []byte, fault *Fault) error {
	c := s.c
	a, f, err := s.admitted()
	if err != nil {
		return err
	}
	c.spoke.Store(true)
	at := time.Now()
	c.l.tap(false, f, at, s.r.head.callID(), whole)
	if fault == nil {
		msg, fl := s.r.message(body)
		if fl == nil {
			if req, ok := msg.(*sip.Request); ok {
				c.offers(req, a)
			}
			c.l.deliver(msg, f, a, f.key.Remote, at)
			return nil
		}
		fault = fl
	}
	c.l.refuse(&s.r.head, fault, f, a, c.enqueue)
	return nil
}

// errFraming marks the end of a connection that is told why before it closes.
var errFraming = errors.New("framing lost")

// lost ends a connection of which nobody knows where the next message begins, after telling the sender what was wrong.
func (s *inStream) lost(b []byte, f frame) error {
	if a, fl, err := s.admitted(); err == nil {
		s.c.l.tap(false, fl, time.Now(), "", bytes.Clone(b))
		s.c.l.refuse(&s.r.head, f.fault, fl, a, s.c.enqueue)
	}
	err := fmt.Errorf("transport: %w: %s: %w", errFraming, f.fault.Reason, ErrGone)
	s.c.finish(err)
	return err
}

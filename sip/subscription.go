package sip

import (
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// The only event of this edge, and how long its subscription lasts: longer than any walk over hops. RFC 3515 section 2.4.4.
const (
	eventRefer  = "refer"
	referLasts  = 180 * time.Second
	typeSIPFrag = "message/sipfrag;version=2.0"
)

// subscription tells one peer what became of its REFER. It is implicit: the REFER made it, and it lives in the dialog of the leg. RFC 3515 section 2.4.4,
// RFC 6665 section 4.2.
type subscription struct {
	l     *leg
	event string // value of Event
	seq   uint32 // CSeq of the REFER, its id
	until time.Time
	timer transaction.Timer
	last  string // the fragment that was told last
	ended bool
	sent  bool   // a NOTIFY waits for its answer
	next  string // state of the one that waits for that
	then  func() // runs once when the last NOTIFY was answered, or cannot be
}

// subscribe begins the subscription of a REFER. RFC 3515 section 2.4.6: the second one in a dialog, and those after it, are named by the CSeq.
func (l *leg) subscribe(seq uint32) *subscription {
	s := &subscription{l: l, seq: seq, event: eventRefer, until: time.Now().Add(referLasts)}
	if l.refers++; l.refers > 1 {
		s.event += ";id=" + strconv.Itoa(int(seq))
	}
	l.sub = s
	s.timer = l.c.sh.loop.After(referLasts, func() { s.end("timeout") })
	return s
}

// tell sends a NOTIFY with a fragment: the status line, and what headers belong to it. A nil subscription tells nobody.
func (s *subscription) tell(status int, hs ...msg.Header) {
	if s == nil || s.ended {
		return
	}
	text := fragment(status, hs)
	if text == s.last && status < 200 {
		return
	}
	s.last = text
	left := max(int(time.Until(s.until)/time.Second), 1)
	s.notify("active;expires=" + strconv.Itoa(left))
}

// finish sends the last NOTIFY and calls then when it was answered, or at once when nobody listens. RFC 6665 section 4.2.2.
func (s *subscription) finish(then func(), status int, hs ...msg.Header) {
	if s == nil || s.ended {
		then()
		return
	}
	s.last, s.then = fragment(status, hs), then
	s.end("noresource")
}

func fragment(status int, hs []msg.Header) string {
	b := &strings.Builder{}
	b.WriteString("SIP/2.0 " + itoa(status) + " " + transaction.Reason(status) + "\r\n")
	for _, h := range hs {
		b.WriteString(h.Name() + ": " + h.Value() + "\r\n")
	}
	return b.String()
}

// end tells the peer that nothing more will come.
func (s *subscription) end(why string) {
	if s.ended {
		return
	}
	s.notify("terminated;reason=" + why)
	s.close()
}

// close forgets the subscription without a word.
func (s *subscription) close() {
	if s == nil || s.ended {
		return
	}
	s.ended = true
	stopTimer(&s.timer)
	if s.l.sub == s {
		s.l.sub = nil
	}
}

// done runs what waits for the last NOTIFY.
func (s *subscription) done() {
	if then := s.then; then != nil {
		s.then = nil
		then()
	}
}

// notify sends what was told last, one NOTIFY after another: over UDP a later one could arrive first, and the earlier one would then be out of order.
func (s *subscription) notify(state string) {
	l := s.l
	if s.sent {
		s.next = state
		return
	}
	if l.ended || l.dlg == nil || l.closed(time.Now()) {
		s.close()
		s.done()
		return
	}
	req := l.build(msg.NOTIFY, msg.NewHeader("Event", s.event), msg.NewHeader("Subscription-State", state), l.contact(), msg.NewHeader("Content-Type", typeSIPFrag))
	req.SetBody([]byte(s.last))
	last := strings.HasPrefix(state, "terminated")
	s.sent = true
	l.send(req, func(res *msg.Response, err error) {
		next := s.next
		s.sent, s.next = false, ""
		gone := err != nil || res.StatusCode >= 300 // RFC 6665 section 4.2.2: who does not know the subscription is not told again
		switch {
		case gone:
			s.close()
			s.done()
		case last:
			s.done()
		case next != "":
			s.notify(next)
		}
	})
}

// subscribed is a SUBSCRIBE of the peer: it can only renew or end what its REFER began. RFC 3515 section 2.4.4, RFC 6665 section 4.2.1.
func (l *leg) subscribed(tx *transaction.Server, req *msg.Request) {
	event, id := eventOf(req)
	if event != eventRefer {
		l.c.sh.answer(tx, 489, msg.NewHeader("Allow-Events", eventRefer))
		return
	}
	s := l.sub
	if s == nil || s.ended || (id != 0 && id != s.seq) {
		l.c.sh.answer(tx, 481)
		return
	}
	want := referLasts
	if n, ok := number(req, "expires"); ok {
		want = min(time.Duration(n)*time.Second, referLasts)
	}
	l.c.sh.answer(tx, 200, l.contact(), msg.NewHeader("Expires", strconv.Itoa(int(want/time.Second))))
	if want == 0 {
		s.end("timeout")
		return
	}
	stopTimer(&s.timer)
	s.until = time.Now().Add(want)
	s.timer = l.c.sh.loop.After(want, func() { s.end("timeout") })
	s.notify("active;expires=" + strconv.Itoa(int(want/time.Second)))
}

// eventOf gives the event package of a message and the id in it; 0 without one.
func eventOf(m msg.Message) (event string, id uint32) {
	v := value(m, "event")
	if v == "" {
		v = value(m, "o")
	}
	event, rest, _ := strings.Cut(v, ";")
	for p := range strings.SplitSeq(rest, ";") {
		if k, n, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(k, "id") {
			u, _ := strconv.ParseUint(strings.TrimSpace(n), 10, 32)
			id = uint32(u)
		}
	}
	return strings.ToLower(strings.TrimSpace(event)), id
}

package transaction

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// sequence lists the CSeq numbers on the wire.
func (w *world) sequence() string {
	var b strings.Builder
	for _, s := range w.wire {
		if req, ok := s.msg.(*sip.Request); ok {
			fmt.Fprint(&b, req.CSeq().SeqNo, " ")
		}
	}
	return strings.TrimSpace(b.String())
}

// numbered is an ACK of that number; long ones are too large to wait.
func numbered(n uint32, long bool) *sip.Request {
	req := request(sip.ACK)
	req.CSeq().SeqNo = n
	if long {
		req.SetBody(make([]byte, largest))
	}
	return req
}

// What is sent in one turn leaves at its end, in order; a stream's messages wait for nothing, and what is large neither waits nor overtakes.
func TestTheOutbox(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		udp, tcp, in := flowOf(transport.UDP), flowOf(transport.TCP), ""
		w.do(func() {
			_ = w.l.Send(udp, numbered(1, false))
			_ = w.l.Send(udp, numbered(2, false))
			_ = w.l.Send(tcp, numbered(3, false))
			w.loop.Post(func() { in = w.sequence() })
		})
		if in != "3 1 2" {
			t.Errorf("on the wire in the next turn: %s", in)
		}
		w.wire = nil
		w.do(func() {
			_ = w.l.Send(udp, numbered(1, false))
			_ = w.l.Send(udp, numbered(2, true))
			in = w.sequence()
			_ = w.l.Send(udp, numbered(3, false))
		})
		if got := w.sequence(); in != "1 2" || got != "1 2 3" {
			t.Errorf("behind a large one: %s, at the end: %s", in, got)
		}
	})
}

// Nothing waits behind many.
func TestAFullOutboxLeaves(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		inTurn := 0
		w.do(func() {
			for i := range 2*outboxMost + 5 {
				_ = w.l.Send(flowOf(transport.UDP), numbered(uint32(i), false))
			}
			inTurn = len(w.wire)
		})
		if inTurn != 2*outboxMost || len(w.wire) != 2*outboxMost+5 {
			t.Errorf("%d left in their turn, %d at its end", inTurn, len(w.wire))
		}
		for i, s := range w.wire {
			if n := s.msg.(*sip.Request).CSeq().SeqNo; n != uint32(i) {
				t.Fatalf("message %d is number %d", i, n)
			}
		}
	})
}

// A request that could not be sent fails once, on the loop and not within the call that sent it, and leaves nothing; one that was sent before is cleaned up after.
func TestWhatTheOutboxCannotSend(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		within := -1
		w.do(func() {
			w.fail = transport.ErrGone
			for range outboxMost { // the last one has it sent at once
				w.l.Request(flowOf(transport.UDP), request(sip.INVITE), w)
			}
			within = len(w.failures)
		})
		if within != 0 || len(w.failures) != outboxMost {
			t.Errorf("%d were told within the sending, %d in all of %d", within, len(w.failures), outboxMost)
		}
		w.wantLen(0, 0)
	})
	inWorld(t, Timers{}, func(w *world) {
		w.client(transport.UDP, sip.INVITE)
		w.do(func() { w.fail = transport.ErrGone })
		w.pass(500 * time.Millisecond)
		w.wantFailure(transport.ErrGone, 500*time.Millisecond)
		w.wantLen(1, 0)
		w.pass(64 * 500 * time.Millisecond)
		w.wantLen(0, 0)
	})
}

// What was sent in the last turn of a loop leaves when the loop has ended.
func TestTheOutboxOfALoopThatEnds(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		w.do(func() {
			_ = w.l.Send(flowOf(transport.UDP), numbered(1, false))
			w.end()
		})
		if len(w.wire) != 0 {
			t.Fatalf("%d left already", len(w.wire))
		}
		w.l.Flush()
		if got := w.sequence(); got != "1" {
			t.Errorf("left: %q", got)
		}
	})
}

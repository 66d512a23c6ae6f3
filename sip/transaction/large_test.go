package transaction

import (
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// wide has requests too large for UDP go by TCP; the count tells how often a way was asked for.
func (w *world) wide(ok bool) *int {
	asked := new(int)
	w.do(func() {
		w.l.Large(func(f transport.Flow) (transport.Flow, bool) {
			*asked++
			return transport.Path(transport.TCP, here, f.Remote()), ok
		})
	})
	return asked
}

// big starts a client transaction whose request has a body of n bytes.
func (w *world) big(method sip.RequestMethod, n int) (c *Client) {
	req := request(method)
	req.SetBody([]byte(strings.Repeat("x", n)))
	w.do(func() { c = w.l.Request(flowOf(transport.UDP), req, w) })
	return c
}

// ways lists the transports that messages whose first line begins with prefix went by, each with what its Via names.
func (w *world) ways(prefix string) string {
	var out []string
	for _, s := range w.wire {
		if strings.HasPrefix(s.raw, prefix) {
			out = append(out, string(s.flow.Proto())+"/"+s.msg.Via().Transport)
		}
	}
	return strings.Join(out, " ")
}

// A request over 1300 bytes goes by TCP where there is one, and so do its ACK and CANCEL.
//
// Conforms: RFC 3261 section 18.1.1
func TestLargeRequestsGoByTCP(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		asked := w.wide(true)
		w.big(sip.OPTIONS, 500)
		if got := w.ways("OPTIONS"); got != "udp/UDP" || *asked != 0 {
			t.Errorf("a small request went by %s, %d times asked", got, *asked)
		}
		c := w.big(sip.INVITE, 1300)
		w.pass(time.Second)
		if got := w.ways("INVITE"); got != "tcp/TCP" {
			t.Errorf("a large INVITE went by %s", got)
		}
		w.respond(c, 180, "b")
		w.do(func() { c.Cancel() })
		w.respond(c, 487, "b")
		if got := w.ways("CANCEL") + " " + w.ways("ACK"); got != "tcp/TCP tcp/TCP" {
			t.Errorf("CANCEL and ACK went by %s", got)
		}
		ack := request(sip.ACK)
		ack.SetBody([]byte(strings.Repeat("x", 1300)))
		w.do(func() {
			if err := w.l.Send(flowOf(transport.UDP), ack); err != nil {
				t.Error(err)
			}
		})
		if got := w.ways("ACK"); got != "tcp/TCP tcp/TCP" {
			t.Errorf("a large ACK went by %s", got)
		}
	})
	inWorld(t, Timers{}, func(w *world) {
		asked := w.wide(false)
		w.big(sip.INVITE, 1300)
		if got := w.ways("INVITE"); got != "udp/UDP" || *asked != 1 {
			t.Errorf("without TCP it went by %s, %d times asked", got, *asked)
		}
	})
}

// A connection that cannot be opened sends it back to UDP, with the same branch, and it is repeated there. One that breaks later does not.
//
// Conforms: RFC 3261 section 18.1.1
func TestLargeRequestsFallBackToUDP(t *testing.T) {
	for _, err := range []error{transport.ErrRefused, transport.ErrUnreachable, transport.ErrConnectTimeout} {
		inWorld(t, Timers{}, func(w *world) {
			w.wide(true)
			c := w.big(sip.INVITE, 1300)
			tcp := c.Flow()
			w.do(func() { w.l.Lost(tcp, err) })
			w.pass(600 * time.Millisecond)
			if got := w.ways("INVITE"); got != "tcp/TCP udp/UDP udp/UDP" || len(w.failures) != 0 {
				t.Fatalf("%v: it went by %s, failures %v", err, got, w.failures)
			}
			first, second := w.wire[0].msg.Via().Params, w.wire[1].msg.Via().Params
			if first.GetOr("branch", "") != second.GetOr("branch", "-") {
				t.Error("the branch changed")
			}
			w.do(func() { w.l.Lost(tcp, err) }) // another transaction's news
			w.respondTo(w.wire[1].msg.(*sip.Request), c.Flow(), 486, "b")
			if len(w.responses) != 1 || w.ways("ACK") != "udp/UDP" {
				t.Errorf("%d responses, ACK by %s", len(w.responses), w.ways("ACK"))
			}
			w.pass(time.Minute)
			w.wantLen(0, 0)
		})
	}
	inWorld(t, Timers{}, func(w *world) {
		w.wide(true)
		c := w.big(sip.INVITE, 1300)
		w.do(func() { w.l.Lost(c.Flow(), transport.ErrGone) })
		w.wantFailure(transport.ErrGone, 0)
		if got := w.ways("INVITE"); got != "tcp/TCP" {
			t.Errorf("it went by %s", got)
		}
	})
	inWorld(t, Timers{}, func(w *world) {
		w.wide(true)
		c := w.big(sip.INVITE, 1300)
		w.do(c.Quiet) // nobody waits for it any more
		w.do(func() { w.l.Lost(c.Flow(), transport.ErrRefused) })
		w.pass(time.Second)
		if got := w.ways("INVITE"); got != "tcp/TCP" {
			t.Errorf("after it was given up it went by %s", got)
		}
	})
}

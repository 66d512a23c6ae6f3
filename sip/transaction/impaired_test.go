package transaction

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/sip/transport"
)

// onWay is the clients' user on a way where something is met.
type onWay struct {
	*world
	met impair.Effect
}

func (w *onWay) Meets() impair.Effect { return w.met }

func (w *onWay) start(p transport.Proto, method sip.RequestMethod) (c *Client) {
	w.do(func() { c = w.l.Request(flowOf(p), request(method), w) })
	return c
}

// What a request meets at its start: when it leaves, and what its user is told when, with the error or status of the real thing.
func TestARequestMeets(t *testing.T) {
	hole, door, busy, liar := impair.Effect{Kind: impair.Blackhole}, impair.Effect{Kind: impair.Refuse}, impair.Effect{Kind: impair.Unavailable}, impair.Effect{Kind: impair.WrongCertificate}
	for _, c := range []struct {
		met   impair.Effect
		proto transport.Proto
		left  bool
		err   error
		code  int
		at    time.Duration
	}{
		{impair.Effect{}, transport.UDP, true, ErrTimeout, 0, 32 * time.Second},
		{hole, transport.UDP, false, ErrTimeout, 0, 32 * time.Second},
		{hole, transport.TLS, false, ErrTimeout, 0, 32 * time.Second},
		{door, transport.UDP, false, transport.ErrRefused, 0, 0},
		{door, transport.TCP, false, transport.ErrRefused, 0, 0},
		{busy, transport.UDP, false, nil, 503, 0},
		{busy, transport.TLS, false, nil, 503, 0},
		{liar, transport.TLS, false, transport.ErrTLS, 0, 0},
		{liar, transport.UDP, true, ErrTimeout, 0, 32 * time.Second}, // nobody shows one there
		{impair.Effect{Loss: 1}, transport.UDP, false, ErrTimeout, 0, 32 * time.Second},
	} {
		for _, method := range []sip.RequestMethod{sip.INVITE, sip.BYE} {
			t.Run(fmt.Sprint(c.met, " ", c.proto, " ", method), func(t *testing.T) {
				inWorld(t, Timers{}, func(w *world) {
					u := &onWay{w, c.met}
					u.start(c.proto, method)
					w.pass(33 * time.Second)
					if len(w.wire) > 0 != c.left {
						t.Errorf("sent: %v", w.wire)
					}
					if c.err != nil {
						w.wantFailure(c.err, c.at)
					} else if len(w.failures) > 0 || len(w.responses) != 1 || w.responses[0].StatusCode != c.code || w.at[0] != c.at {
						t.Errorf("failures %v, responses %v at %v", w.failures, w.responses, w.at)
					}
					w.pass(time.Minute)
					w.wantLen(0, 0)
				})
			})
		}
	}
}

// What an answer meets: on a way that is shut it is not heard, on a slow one it is heard later, on a stream that loses all never.
func TestAnAnswerMeets(t *testing.T) {
	for _, c := range []struct {
		met   impair.Effect
		proto transport.Proto
		heard []time.Duration
	}{
		{impair.Effect{}, transport.UDP, ms(100)},
		{impair.Effect{Kind: impair.Blackhole}, transport.UDP, nil},
		{impair.Effect{Kind: impair.Refuse}, transport.TCP, nil},
		{impair.Effect{Kind: impair.WrongCertificate}, transport.TLS, nil},
		{impair.Effect{Kind: impair.Unavailable}, transport.UDP, ms(100)}, // who is busy answers what came before
		{impair.Effect{Delay: 400 * time.Millisecond}, transport.UDP, ms(500)},
		{impair.Effect{Delay: 400 * time.Millisecond}, transport.TLS, ms(500)},
		{impair.Effect{Loss: 1}, transport.UDP, nil},
		{impair.Effect{Loss: 1}, transport.TCP, nil},
	} {
		t.Run(fmt.Sprint(c.met, " ", c.proto), func(t *testing.T) {
			inWorld(t, Timers{}, func(w *world) {
				u := &onWay{world: w}
				tx := u.start(c.proto, sip.INVITE)
				w.pass(100 * time.Millisecond)
				w.do(func() { u.met = c.met })
				w.respond(tx, 486, "b")
				w.pass(5 * time.Second)
				if !slices.Equal(w.at, c.heard) || len(w.responses) != len(c.heard) {
					t.Errorf("heard at %v, want %v", w.at, c.heard)
				}
				if acks := w.times("ACK"); !slices.Equal(acks, c.heard) {
					t.Errorf("acknowledged at %v, want %v", acks, c.heard)
				}
			})
		})
	}
}

// A stream loses nothing: what is lost is repeated, and comes later. Of datagrams as many are lost as it says.
func TestLate(t *testing.T) {
	var lost, late int
	for range 10_000 {
		if _, ok := Late(impair.Effect{Loss: 0.2}, transport.UDP); !ok {
			lost++
		}
		d, ok := Late(impair.Effect{Loss: 0.2, Delay: time.Second}, transport.TLS)
		if !ok {
			t.Fatal("a stream lost a message")
		}
		if d > time.Second {
			late++
			if d < 1200*time.Millisecond {
				t.Errorf("repeated after %v", d-time.Second)
			}
		}
	}
	if lost < 1_700 || lost > 2_300 || late < 1_700 || late > 2_300 {
		t.Errorf("of 10,000 at 20%% %d were lost, and %d late", lost, late)
	}
}

// A CANCEL goes the way of its INVITE; and a request that is taken away while it is repeated stays away.
func TestTheRestOfATransactionMeets(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		u := &onWay{world: w}
		tx := u.start(transport.UDP, sip.INVITE)
		w.respond(tx, 180, "b")
		w.do(func() { u.met = impair.Effect{Kind: impair.Blackhole}; tx.Cancel() })
		w.pass(2 * time.Second)
		w.wantTimes("CANCEL")
		w.do(func() { u.met = impair.Effect{} })
		w.pass(2 * time.Second)
		w.wantTimes("CANCEL", ms(3500)...) // Timer E went on
	})
	inWorld(t, Timers{}, func(w *world) {
		u := &onWay{world: w}
		u.start(transport.UDP, sip.INVITE)
		w.do(func() { u.met = impair.Effect{Kind: impair.Blackhole} })
		w.pass(2 * time.Second)
		w.wantTimes("INVITE", 0)
		w.do(func() { u.met = impair.Effect{Kind: impair.Refuse} })
		w.pass(2 * time.Second)
		w.wantFailure(transport.ErrRefused, 3500*time.Millisecond)
	})
}

// What we answer meets the way of the request, until the final response and that one; a repeated request is answered again once its way is back.
func TestAResponseMeets(t *testing.T) {
	for _, method := range []string{"INVITE", "BYE"} {
		inWorld(t, Timers{}, func(w *world) {
			u := &onWay{w, impair.Effect{Kind: impair.Blackhole}}
			s := w.ask(method, transport.UDP)
			w.do(func() { s.Meets(u) })
			if err := w.answer(s, 486); err != nil || len(w.wire) > 0 {
				t.Errorf("%s: %v, sent %v", method, err, w.wire)
			}
			w.arrive(incoming(method, "z9hG4bKin", ""), flowOf(transport.UDP))
			if len(w.wire) != 1 {
				t.Errorf("%s: the repeated request got %v", method, w.wire)
			}
		})
	}
}

// BenchmarkMeets is what a message pays for the question while its user is on a way where nothing is met.
func BenchmarkMeets(b *testing.B) {
	c := &Client{user: &onWay{}}
	b.ReportAllocs()
	for b.Loop() {
		if ok, _ := c.leaves(); !ok {
			b.Fatal("something is met")
		}
	}
}

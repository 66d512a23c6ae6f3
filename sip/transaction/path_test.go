package transaction

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// end is one of two layers that face each other over a path that loses, repeats and reorders. Both belong to one loop, so that the dice fall in one order.
type end struct {
	l      *Layer
	at     netip.AddrPort
	finals map[*Client]int
	failed map[*Client]int
	served int
	status int // what it answers
}

func (e *end) Request(tx *Server, req *sip.Request, in transport.Incoming) {
	if tx == nil {
		return
	}
	e.served++
	if req.Method == sip.INVITE {
		tx.Respond(tx.Response(180, ""))
	}
	tx.Respond(tx.Response(e.status, ""))
}
func (e *end) Stray(*sip.Response, transport.Incoming) {}
func (e *end) Failed(c *Client, _ error)               { e.failed[c]++ }
func (e *end) Response(c *Client, res *sip.Response) {
	if res.StatusCode >= 200 {
		e.finals[c]++
	}
}

// lossy makes the two ends.
func lossy(t *testing.T, loop *Actor, status int, loss float64) [2]*end {
	rnd := rand.New(rand.NewPCG(1, uint64(loss*10)))
	ends := [2]*end{{at: here}, {at: there}}
	for i, e := range ends {
		e.finals, e.failed, e.status = map[*Client]int{}, map[*Client]int{}, status
		other := ends[1-i]
		e.l = New(loop, func(f transport.Flow, b []byte) error {
			msg, err := transport.Parse(b)
			if err != nil {
				t.Error(err)
			}
			back := transport.Path(transport.UDP, other.at, e.at)
			for rnd.Float64() >= loss {
				d := time.Duration(rnd.IntN(100)) * time.Millisecond
				loop.After(d, func() { other.l.Receive(transport.Incoming{Msg: msg, Flow: back, Party: "p"}) })
				if rnd.IntN(10) > 0 { // one of ten comes twice
					break
				}
			}
			return nil
		}, e, Timers{})
	}
	return ends
}

// Over a lossy path every request has exactly one end, most are answered, and nothing is left on either side.
func TestLossyPath(t *testing.T) {
	const n = 50
	for _, tt := range []struct {
		method sip.RequestMethod
		status int
		loss   float64
		least  int // answers
		most   int
	}{
		{sip.OPTIONS, 200, 0.3, n - 1, n},
		{sip.INVITE, 486, 0.3, n - 1, n},
		{sip.INVITE, 486, 0, n, n},
		{sip.BYE, 481, 0.6, n / 2, n},
		{sip.OPTIONS, 200, 1, 0, 0},
	} {
		t.Run(fmt.Sprint(tt.method, tt.status, tt.loss), func(t *testing.T) {
			inLoop(t, func(loop *Actor) {
				ends := lossy(t, loop, tt.status, tt.loss)
				loop.Post(func() {
					for i := range n {
						req := request(tt.method)
						id := sip.CallIDHeader(fmt.Sprint("call", i))
						req.ReplaceHeader(&id)
						ends[0].l.Request(transport.Path(transport.UDP, here, there), req, ends[0])
					}
				})
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				answered := len(ends[0].finals)
				if answered+len(ends[0].failed) != n || answered < tt.least || answered > tt.most {
					t.Errorf("%d answered and %d failed of %d", answered, len(ends[0].failed), n)
				}
				for c, k := range ends[0].finals {
					if k != 1 || ends[0].failed[c] != 0 {
						t.Errorf("%d final responses and %d failures of one request", k, ends[0].failed[c])
					}
				}
				if ends[1].served > n {
					t.Errorf("the server saw %d requests of %d", ends[1].served, n)
				}
				for i, e := range ends {
					if c, s := e.l.Len(); c != 0 || s != 0 {
						t.Errorf("end %d keeps %d client and %d server transactions", i, c, s)
					}
				}
			})
		})
	}
}

// T3: responses that come at once are seen in their order.
func TestResponsesInOrder(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		c := w.client(transport.UDP, sip.INVITE)
		for _, status := range []int{100, 180, 183, 200} {
			w.respond(c, status, "b")
		}
		var got []int
		for _, r := range w.responses {
			got = append(got, r.StatusCode)
		}
		if fmt.Sprint(got) != "[100 180 183 200]" {
			t.Errorf("order %v", got)
		}
	})
}

// T14: a user may do anything from within its own call back.
func TestUserCallsBack(t *testing.T) {
	inWorld(t, Timers{}, func(w *world) {
		w.onServer = func(s *Server) {
			s.Respond(s.Response(180, ""))
			s.Respond(s.Response(486, ""))
			w.l.Request(s.Flow(), request(sip.INFO), w)
			w.l.Lost(s.Flow(), transport.ErrGone)
		}
		w.onRes = func(c *Client, res *sip.Response) {
			c.Cancel()
			w.l.Request(c.Flow(), request(sip.BYE), w)
			w.l.Lost(c.Flow(), transport.ErrGone)
		}
		c := w.client(transport.TCP, sip.INVITE)
		w.respond(c, 180, "b")
		w.ask("INVITE", transport.TCP)
		w.arrive(incoming("ACK", "z9hG4bKin", ""), flowOf(transport.TCP))
		w.onRes = nil
		w.pass(5 * time.Minute)
		w.wantLen(0, 0)
	})
}

// Many histories, each a function of its number.
func TestHistories(t *testing.T) {
	for seed := range uint64(150) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		script := make([]byte, 20+rnd.IntN(60))
		for i := range script {
			script[i] = byte(rnd.Uint32())
		}
		play(t, script)
		if t.Failed() {
			t.Fatalf("history %d", seed)
		}
	}
}

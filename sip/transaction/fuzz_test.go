package transaction

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"github.com/cordonsip/cordon/sip/transport"
)

// FuzzLayer plays messages, losses, timers and wishes of the users in any order against one layer. Nothing may panic, a client's user is told at most one end,
// and when everybody was answered and a few minutes went by nothing is left.
func FuzzLayer(f *testing.F) {
	f.Add([]byte{0, 16, 1, 32, 2, 48, 3, 64, 4, 80, 5, 96, 6, 112, 7})
	f.Add([]byte{0, 1, 0, 40, 7, 250, 2, 3, 9, 9, 12, 13, 11, 10, 8})
	f.Add([]byte{8, 8, 9, 24, 10, 11, 12, 200, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 400 {
			return
		}
		play(t, script)
	})
}

// player is a user of both sides that counts.
type player struct {
	*world
	clients []*Client
	ended   map[*Client]int
}

func (p *player) Response(c *Client, res *sip.Response) {
	if res.StatusCode >= 200 && (c.key.method != sip.INVITE || res.StatusCode >= 300) {
		p.ended[c]++
	}
}
func (p *player) Failed(c *Client, err error) { p.ended[c]++ }

func play(t *testing.T, script []byte) {
	inWorld(t, Timers{}, func(w *world) {
		p := &player{world: w, ended: map[*Client]int{}}
		for i, b := range script {
			p.step(i, b)
		}
		w.do(func() { w.fail = nil })
		for _, s := range w.servers {
			if s.state == proceeding {
				w.answer(s, 480)
			}
		}
		for _, c := range p.clients {
			w.do(func() { c.Cancel() })
		}
		w.pass(5 * time.Minute)
		for _, c := range p.clients {
			if c.invite() && c.state == proceeding {
				t.Error("a cancelled INVITE is still there")
			}
			if n := p.ended[c]; n > 1 {
				t.Errorf("a client's user was told %d ends", n)
			}
		}
		w.wantLen(0, 0)
		if len(w.l.byFlow) != 0 || len(w.l.merges) != 0 {
			t.Errorf("%d flows and %d merge keys are left", len(w.l.byFlow), len(w.l.merges))
		}
	})
}

var protos = []transport.Proto{transport.UDP, transport.TCP, transport.TLS, transport.UDP}

func (p *player) step(i int, b byte) {
	w, arg := p.world, int(b>>4)
	flow := transport.Path(protos[arg%4], here, there)
	pick := func() *Client {
		if len(p.clients) == 0 {
			return nil
		}
		return p.clients[arg%len(p.clients)]
	}
	switch b % 16 {
	case 0, 1:
		method := []sip.RequestMethod{sip.INVITE, sip.OPTIONS, sip.BYE, sip.INVITE}[arg%4]
		w.do(func() { p.clients = append(p.clients, w.l.Request(flow, request(method), p)) })
	case 2, 3, 4:
		if c := pick(); c != nil {
			p.answerTo(c, []int{100, 180, 183, 200, 202, 302, 401, 486, 487, 503, 603, 200, 180, 486, 100, 200}[arg], c.key.method)
		}
	case 5:
		if c := pick(); c != nil {
			w.do(func() { c.Cancel() })
		}
	case 6:
		if c := pick(); c != nil {
			p.answerTo(c, []int{200, 481, 487, 100}[arg%4], sip.CANCEL)
		}
	case 7:
		w.do(func() { w.l.Lost(flow, transport.ErrGone) })
	case 8, 9:
		method := []string{"INVITE", "OPTIONS", "BYE", "CANCEL", "ACK", "INVITE", "INFO", "CANCEL"}[arg%8]
		w.arrive(incoming(method, fmt.Sprintf("z9hG4bK%d", arg/8+i/7), ""), flow)
	case 10, 11:
		if n := len(w.servers); n > 0 {
			w.answer(w.servers[i%n], []int{100, 180, 183, 200, 200, 302, 404, 486, 487, 503, 603, 408, 199, 202, 500, 401}[arg])
		}
	case 12:
		w.do(func() {
			w.fail = nil
			if arg%4 == 0 {
				w.fail = errors.New("the wire is cut")
			}
		})
	case 13:
		w.pass(time.Duration(arg+1) * 100 * time.Millisecond)
	case 14:
		w.pass(time.Duration(arg+1) * time.Second)
	case 15:
		w.pass(time.Duration(arg+1) * 10 * time.Second)
	}
}

// answerTo lets a response come for the client's branch, whether it was asked for or not.
func (p *player) answerTo(c *Client, status int, method sip.RequestMethod) {
	raw := fmt.Sprintf("SIP/2.0 %d X\r\nVia: SIP/2.0/UDP 192.0.2.1:5060;branch=%s\r\nFrom: <sip:a@x>;tag=a\r\nTo: <sip:b@x>;tag=t%d\r\n"+
		"Call-ID: call@example.net\r\nCSeq: 7 %s\r\n\r\n", status, c.key.branch, status%3, method)
	p.arrive(raw, c.flow)
}

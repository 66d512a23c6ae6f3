//go:build linux

package link

import (
	"encoding/binary"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

const payloadEvent = 101

// dial sends one packet of a telephone event.
func (p *phone) dial(t testing.TB, c *call, ts uint32, code byte, end bool) {
	t.Helper()
	b := make([]byte, 12, 16+srtp.Overhead)
	b[0], b[1] = 0x80, payloadEvent
	binary.BigEndian.PutUint16(b[2:], uint16(c.sequence))
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], p.ssrc)
	b = append(b, code, 10, 3, 32)
	if end {
		b[13] |= 0x80
	}
	if p.seal != nil {
		b = p.seal.SealRTP(b[:0], b, 12, c.sequence)
	}
	c.sequence++
	if _, err := p.c.WriteToUDPAddrPort(b, c.at[0]); err != nil {
		t.Fatal(err)
	}
}

// converts has the first leg of a call tell of telephone events, and take them.
func (c *call) converts(p plane.Commands) {
	s := c.negotiated(0, c.a)
	s.Clocks = append(s.Clocks, plane.Clock{PT: payloadEvent, To: payloadEvent, Event: true, Rate: 8000})
	s.Taken, s.Tones = true, []plane.Tone{{PT: payloadEvent, Rate: 8000}}
	p.Set(s)
}

// listens reads what comes to a phone until nothing comes for d, and says how many packets were events, by whether they end one.
func (p *phone) listens(t testing.TB, d time.Duration) (events [2]int) {
	t.Helper()
	b := make([]byte, 2048)
	for {
		p.c.SetReadDeadline(time.Now().Add(d))
		n, _, err := p.c.ReadFromUDPAddrPort(b)
		if err != nil {
			return events
		}
		if b[1]&0x7f != payloadEvent {
			continue
		}
		end := 0
		if p.get == nil && n == 16 && b[13]&0x80 != 0 {
			end = 1
		}
		events[end]++
	}
}

// digits: a digit that comes as telephone events is told of once, and one that is pressed is heard, by itself where nothing else passes.
func digits(t *testing.T, r *rig) {
	c := up(t, r, false)
	c.talk(t, 3)
	c.converts(r)
	r.Press(plane.Press{Ref: c.la, Event: 7, Duration: 60 * time.Millisecond, Pause: 40 * time.Millisecond})
	if got := c.a.listens(t, 500*time.Millisecond); got != [2]int{2, 3} {
		t.Errorf("%v packets of a digit", got)
	}
	for _, end := range []bool{false, true, true, true} {
		c.a.dial(t, c, 8000, 5, end)
	}
	eventually(t, "the digit is told of", func() bool { return len(r.events.dialled()) > 0 })
	if got, ok := c.b.hear(30 * time.Millisecond); ok {
		t.Errorf("B heard %d", got)
	}
	if got := r.events.dialled(); len(got) != 1 || got[0] != (plane.Digit{Leg: c.la, Event: 5, Duration: 100 * time.Millisecond}) {
		t.Errorf("%v", got)
	}
	eventually(t, "digits are counted", func() bool { n, ok := r.Read(c.la); return ok && n.DialledIn == 1 && n.DialledOut == 1 })
}

// TestDigitsWhenTheMediaProcessIsKilled: what was told of is not told again, what is pressed is not pressed again, and the next process converts as this one did.
func TestDigitsWhenTheMediaProcessIsKilled(t *testing.T) {
	deaths := make(chan Death, 1)
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	conf := config(t, r)
	conf.Died = func(d Death) { deaths <- d }
	joined(t, r, conf)
	c := newCall(t, 0, true)
	c.up(t, r)
	c.converts(r)
	c.ready(t, r)
	c.talk(t, 2)
	c.a.dial(t, c, 8000, 5, true)
	eventually(t, "the digit is told of", func() bool { return len(r.events.dialled()) == 1 })
	r.Press(plane.Press{Ref: c.la, Event: 7, Duration: 40 * time.Millisecond, Pause: 40 * time.Millisecond})
	eventually(t, "the digit is pressed", func() bool { n, ok := r.Read(c.la); return ok && n.DialledOut == 1 })
	c.a.listens(t, 200*time.Millisecond)
	r.client.mu.Lock()
	pid := r.client.peer.p.Pid
	r.client.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-deaths
	c.a.dial(t, c, 8000, 5, true)
	c.a.dial(t, c, 16000, 6, true)
	eventually(t, "the next digit is told of", func() bool { return len(r.events.dialled()) == 2 })
	if got := r.events.dialled(); got[1].Event != 6 {
		t.Errorf("%v", got)
	}
	if got := c.a.listens(t, 300*time.Millisecond); got != [2]int{} {
		t.Errorf("%v packets of a digit that was pressed before", got)
	}
	r.Press(plane.Press{Ref: c.la, Event: 8, Duration: 40 * time.Millisecond, Pause: 40 * time.Millisecond})
	if got := c.a.listens(t, 300*time.Millisecond); got[0] != 4 { // in SRTP nobody sees which ones are ends
		t.Errorf("%v packets of the next digit", got)
	}
}

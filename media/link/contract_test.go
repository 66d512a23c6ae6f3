//go:build linux

package link

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/browser"
	"github.com/cordonsip/cordon/media/ice"
	"github.com/cordonsip/cordon/media/plane"
)

// TestContract tells the same stories to a plane in this process, to one behind a connection, and to one in a process of its own.
func TestContract(t *testing.T) {
	rigs := map[string]func(testing.TB) *rig{"in process": inProcess, "over a connection": served, "a process": child}
	stories := map[string]func(*testing.T, *rig){
		"plain": func(t *testing.T, r *rig) { carried(t, r, false) }, "srtp": func(t *testing.T, r *rig) { carried(t, r, true) },
		"move": moves, "stranger": stranger, "mute": muted, "close": closed, "watch": watched, "forbid": forbidden, "counters": counted, "opaque": opaque, "aside": spoken, "checks": checked,
		"play": plays, "play srtp": func(t *testing.T, r *rig) { heardClip(t, r, true) },
		"digits": digits, "impaired": impaired,
	}
	for how, make := range rigs {
		t.Run(how, func(t *testing.T) {
			for what, tell := range stories {
				t.Run(what, func(t *testing.T) { tell(t, make(t)) })
			}
		})
	}
}

func up(t *testing.T, r *rig, secure bool) *call {
	t.Helper()
	c := newCall(t, 0, secure)
	c.up(t, r)
	c.ready(t, r)
	return c
}

func carried(t *testing.T, r *rig, secure bool) {
	c := up(t, r, secure)
	c.talk(t, 50)
	eventually(t, "somebody was told where the legs point", func() bool { return r.events.moved(c.la, c.a.at, true) && r.events.moved(c.lb, c.b.at, true) })
}

// moves: with SRTP a far end that sends from elsewhere is followed, once it was judged.
func moves(t *testing.T, r *rig) {
	c := up(t, r, true)
	c.talk(t, 3)
	other := newPhone(t, "127.0.1.20", c.a.ssrc, true)
	other.send(t, c.sequence, c.at[0])
	if got, ok := c.b.hear(3 * time.Second); !ok || got != c.sequence {
		t.Fatalf("B heard %d %v", got, ok)
	}
	other.win, c.a = c.a.win, other
	c.sequence++
	c.talk(t, 3)
	eventually(t, "the move is told of", func() bool { return r.events.moved(c.la, other.at, true) })
}

// stranger: who sends from a place that is held is not followed, and the refusal is told of with its ruling.
func stranger(t *testing.T, r *rig) {
	c := up(t, r, true)
	c.talk(t, 3)
	other := newPhone(t, "127.0.66.10", c.a.ssrc, true)
	other.send(t, c.sequence, c.at[0])
	eventually(t, "the refusal is told of", func() bool { return r.events.moved(c.la, other.at, false) })
	if got, ok := c.b.hear(20 * time.Millisecond); ok {
		t.Errorf("B heard packet %d of a stranger", got)
	}
	if _, ok := other.hear(20 * time.Millisecond); ok {
		t.Error("the stranger heard something")
	}
}

func muted(t *testing.T, r *rig) {
	c := up(t, r, true)
	c.talk(t, 3)
	r.Mute(c.la)
	r.Watch(c.la, true) // to know when the commands are there, order being kept
	eventually(t, "A is not heard", func() bool {
		c.a.send(t, c.sequence, c.at[0])
		c.sequence++
		_, heard := c.b.hear(10 * time.Millisecond)
		return !heard
	})
	again := c.negotiated(0, c.a)
	again.RTP = plane.Aim{Stay: true}
	r.Set(again)
	eventually(t, "A is heard again", func() bool {
		c.a.send(t, c.sequence, c.at[0])
		c.sequence++
		_, heard := c.b.hear(10 * time.Millisecond)
		return heard
	})
	r.Silence(c.la)
	eventually(t, "A points nowhere", func() bool { n, ok := r.Read(c.la); return ok && !n.Peer.IsValid() })
}

func closed(t *testing.T, r *rig) {
	c := up(t, r, false)
	c.talk(t, 5)
	r.Close(c.la)
	r.Close(c.lb)
	c.a.send(t, c.sequence, c.at[0])
	if got, ok := c.b.hear(30 * time.Millisecond); ok && got != c.sequence {
		t.Errorf("B heard %d", got)
	}
	next := newCall(t, 0, false) // in the same slots
	next.la.Serial, next.lb.Serial = 8, 10
	pair, at := pairOf(t, 11)
	r.Give(pair)
	r.Withdraw(1)
	r.Open(plane.Open{Ref: next.la, Pair: 11, Session: "next", Party: "carrier", Shown: at})
	eventually(t, "the slot has another leg", func() bool {
		_, old := r.Read(c.la)
		n, ok := r.Read(next.la)
		return !old && ok && n.Packets == 0
	})
}

func watched(t *testing.T, r *rig) {
	c := up(t, r, false)
	c.talk(t, 1)
	r.Watch(c.la, true)
	eventually(t, "a header is shown", func() bool { c.talk(t, 1); return r.events.seen() > 0 })
	if r.events.shown[0] != 0x80 {
		t.Errorf("a header that begins with %x", r.events.shown[0])
	}
	r.Watch(c.la, false)
	eventually(t, "no header is shown", func() bool {
		was := r.events.seen()
		c.talk(t, 2)
		return was == r.events.seen()
	})
}

// forbidden: a policy that does not permit the place of B any more reaches the fence of the plane, and what comes back in force later, too.
func forbidden(t *testing.T, r *rig) {
	c := up(t, r, true)
	c.talk(t, 3)
	r.fence.Swap(snapshot(2))
	r.inForce(t)
	for range 20 {
		c.a.send(t, c.sequence, c.at[0])
		c.sequence++
	}
	if got, ok := c.b.hear(50 * time.Millisecond); ok {
		t.Fatalf("B heard packet %d in a place that is held", got)
	}
	eventually(t, "the law is told of", func() bool { return r.events.moved(c.lb, c.b.at, false) })
	r.fence.Swap(snapshot(3, "aws:eu-central-2"))
	r.inForce(t)
	c.talk(t, 3)
}

// inForce waits until the other fence has the policy.
func (r *rig) inForce(t testing.TB) {
	t.Helper()
	if r.client != nil {
		eventually(t, "the policy is in force", func() bool { return r.client.Status().Behind == 0 })
	}
}

func counted(t *testing.T, r *rig) {
	c := up(t, r, true)
	c.talk(t, 20)
	eventually(t, "what was sent is counted", func() bool { n, ok := r.Read(c.la); return ok && n.Sent == 20 })
	n, ok := r.Read(c.la)
	if !ok || n.Packets != 20 || n.Lost != 0 || n.Peer != c.a.at || n.Bytes == 0 || n.Last == 0 || n.Places[0].Packets != 20 {
		t.Errorf("%v %+v", ok, n)
	}
	if _, ok := r.Read(plane.Ref{Slot: c.la.Slot, Serial: c.la.Serial + 1}); ok {
		t.Error("counters of a leg that never was")
	}
}

// spoken: what is no media goes to who hears of events, and out by Say.
func spoken(t *testing.T, r *rig) {
	c := up(t, r, true)
	s := c.negotiated(0, c.a)
	s.Aside, s.RTP = true, plane.Aim{Stay: true}
	r.Set(s)
	record := append([]byte{22, 254, 253}, make([]byte, 40)...)
	eventually(t, "a datagram is given aside", func() bool {
		if _, err := c.a.c.WriteToUDPAddrPort(record, c.at[0]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		return len(r.events.asides) > 0 && r.events.asides[0].at == c.a.at && bytes.Equal(r.events.asides[0].bytes, record)
	})
	held := newPhone(t, "127.0.66.10", 1, false)
	r.Say(c.la, held.at, record)
	r.Say(c.la, c.a.at, record)
	b := make([]byte, 2048)
	c.a.c.SetReadDeadline(time.Now().Add(3 * time.Second))
	if n, err := c.a.c.Read(b); err != nil || !bytes.Equal(b[:n], record) {
		t.Errorf("A got %x: %v", b[:n], err)
	}
	held.c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
	if n, err := held.c.Read(b); err == nil {
		t.Errorf("%d bytes went to a place that is held", n)
	}
	c.talk(t, 5)
}

// checked: the far end's checks are answered where packets are carried, and say where they go; a media process that takes over knows it.
func checked(t *testing.T, r *rig) {
	c := newCall(t, 0, true)
	c.up(t, r)
	c.ready(t, r)
	own := ice.NewCredentials()
	s := c.negotiated(0, c.a)
	s.Mux, s.Checks, s.RTP = true, plane.Checks{Own: own, Peer: "peer"}, plane.Aim{Stay: true}
	r.Silence(c.la)
	r.Set(s)
	nominates := func(p *phone) func() bool {
		return func() bool {
			if _, err := p.c.WriteToUDPAddrPort(browser.Check(own, "peer", true), c.at[0]); err != nil {
				t.Fatal(err)
			}
			b := make([]byte, 2048)
			p.c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
			n, err := p.c.Read(b)
			return err == nil && browser.Answered(b[:n])
		}
	}
	eventually(t, "a check is answered", nominates(c.a))
	eventually(t, "the nomination is told of", func() bool { return r.events.moved(c.la, c.a.at, true) })
	c.talk(t, 3)
	held := newPhone(t, "127.0.66.10", 1, false)
	for range 3 {
		if nominates(held)() {
			t.Fatal("a check from a place that is held was answered")
		}
	}
	if r.client == nil || r.client.peer.p.Pid == os.Getpid() {
		return
	}
	r.client.peer.kill()
	eventually(t, "another media process carries on", func() bool { s := r.client.Status(); return s.Deaths == 1 && s.Connected })
	eventually(t, "A is heard", func() bool {
		c.a.send(t, c.sequence, c.at[0])
		c.sequence++
		_, heard := c.b.hear(20 * time.Millisecond)
		return heard
	})
	for heard := true; heard; { // what waited for the next media process
		_, heard = c.b.hear(50 * time.Millisecond)
	}
	c.talk(t, 3)
	eventually(t, "a check is answered", nominates(c.a))
}

// TestContractOfReports: where one far end sends no RTCP, the plane reports to the other one, wherever it runs.
func TestContractOfReports(t *testing.T) {
	for how, has := range map[string]func(testing.TB) *rig{"in process": inProcess, "over a connection": served, "a process": child} {
		t.Run(how, func(t *testing.T) {
			t.Parallel() // the first report takes a second or three
			r := has(t)
			c := up(t, r, true)
			set := c.negotiated(1, c.b)
			set.Mux, set.Reports = true, plane.Reports{After: time.Millisecond}
			r.Set(set)
			c.talk(t, 5)
			var b [2048]byte
			c.b.c.SetReadDeadline(time.Now().Add(10 * time.Second))
			n, _, err := c.b.c.ReadFromUDPAddrPort(b[:])
			if err != nil {
				t.Fatal(err)
			}
			out, _, ok := c.b.get.OpenRTCP(make([]byte, 0, n), b[:n])
			if !ok || out[1] != 200 || binary.BigEndian.Uint32(out[4:]) != c.a.ssrc || binary.BigEndian.Uint32(out[20:]) != 5 || binary.BigEndian.Uint32(out[24:]) != 5*160 {
				t.Fatalf("%v %x: %x", ok, out, b[:n])
			}
			if binary.BigEndian.Uint32(out[28:]) != c.b.ssrc || binary.BigEndian.Uint32(out[36:]) != uint32(c.sequence-1) {
				t.Errorf("the block about B: %x", out)
			}
		})
	}
}

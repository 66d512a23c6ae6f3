//go:build linux

package link

import (
	"bytes"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// faxes has both sides of a call speak no RTP any more.
func (c *call) faxes(t testing.TB, p plane.Commands) {
	t.Helper()
	for i, far := range []*phone{c.a, c.b} {
		p.Set(plane.Set{
			Ref: []plane.Ref{c.la, c.lb}[i], Opaque: true, Wants: true, RTP: plane.Aim{To: far.at, Cause: "reinvite"}, RTCP: plane.Aim{Cause: "reinvite"},
		})
	}
	eventually(t, "the first datagram crosses", func() bool { return c.fax(t, 0, 10*time.Millisecond) })
	for c.b.datagram(10*time.Millisecond) != nil {
	}
}

// fax sends a datagram from A to B, and says whether it came as it is.
func (c *call) fax(t testing.TB, seq byte, within time.Duration) bool {
	t.Helper()
	want := append([]byte{0, seq, 40}, bytes.Repeat([]byte{seq}, 42)...)
	if _, err := c.a.c.WriteToUDPAddrPort(want, c.at[0]); err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(c.b.datagram(within), want)
}

// datagram is the next one that comes; nil when none does.
func (p *phone) datagram(within time.Duration) []byte {
	b := make([]byte, 2048)
	p.c.SetReadDeadline(time.Now().Add(within))
	n, _, err := p.c.ReadFromUDPAddrPort(b)
	if err != nil {
		return nil
	}
	return b[:n]
}

// voice is spoken again, in the streams and under the keys of before.
func (c *call) voice(t testing.TB, p plane.Commands) {
	t.Helper()
	for i, far := range []*phone{c.a, c.b} {
		p.Set(c.negotiated(i, far))
	}
	eventually(t, "voice crosses again", func() bool {
		c.a.send(t, c.sequence, c.at[0])
		c.sequence++
		_, ok := c.b.hear(10 * time.Millisecond)
		return ok
	})
	for ok := true; ok; {
		_, ok = c.b.hear(10 * time.Millisecond)
	}
}

// opaque: datagrams cross as they are, and are counted apart; the streams of SRTP go on behind them.
func opaque(t *testing.T, r *rig) {
	c := up(t, r, true)
	c.talk(t, 10)
	c.faxes(t, r)
	before, _ := r.Read(c.la)
	for i := range byte(30) {
		if !c.fax(t, i, 3*time.Second) {
			t.Fatalf("datagram %d did not come as it is", i)
		}
	}
	n, ok := r.Read(c.la)
	if !ok || n.Crossed.Packets != before.Crossed.Packets+30 || n.Crossed.Bytes != before.Crossed.Bytes+30*45 || n.Crossed.Last == 0 || n.Packets != 10 || n.Peer != c.a.at {
		t.Errorf("%v %+v\nwas %+v", ok, n, before)
	}
	if other, _ := r.Read(c.lb); other.Crossed.Sent < 30 || other.Crossed.Packets != 0 {
		t.Errorf("%+v", other)
	}
	c.voice(t, r)
	c.talk(t, 5)
}

// TestMediaProcessIsKilledInAFax: another one goes on with it, and with the voice behind it.
func TestMediaProcessIsKilledInAFax(t *testing.T) {
	deaths := make(chan Death, 1)
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	conf := config(t, r)
	conf.Died = func(d Death) { deaths <- d }
	joined(t, r, conf)
	c := up(t, r, true)
	c.talk(t, 10) // past the rollover
	c.faxes(t, r)
	before, _ := r.Read(c.la)
	r.client.mu.Lock()
	pid := r.client.peer.p.Pid
	r.client.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-deaths
	for i := range byte(20) {
		if !c.fax(t, i, 3*time.Second) {
			t.Fatalf("datagram %d did not come as it is", i)
		}
	}
	if n, ok := r.Read(c.la); !ok || n.Crossed.Packets != before.Crossed.Packets+20 || n.Packets != 10 || n.Refused != before.Refused {
		t.Errorf("%v %+v", ok, n)
	}
	c.voice(t, r)
	c.talk(t, 5)
}

// TestLedgerKeepsThatALegIsOpaque: also where its lanes stay where they were.
func TestLedgerKeepsThatALegIsOpaque(t *testing.T) {
	at, a := netip.MustParseAddrPort("192.0.2.1:4000"), plane.Ref{Slot: 1, Serial: 1}
	l := newLedger()
	l.has(t, plane.Open{Ref: a}, plane.Set{In: testKey(1), Out: testKey(2), RTP: plane.Aim{To: at}}, plane.Set{Opaque: true, RTP: plane.Aim{Stay: true}})
	got, _ := replayed(t, l)
	if s := got.inventory().Legs[0].Set; !s.Opaque || s.RTP.To != at || s.In.Suite != 0 {
		t.Errorf("%+v", s)
	}
	l.set(plane.Set{Ref: a, RTP: plane.Aim{Stay: true}}, must(t)(putSet(nil, plane.Set{Ref: a, RTP: plane.Aim{Stay: true}})))
	got, _ = replayed(t, l)
	if s := got.inventory().Legs[0].Set; s.Opaque || s.RTP.To != at {
		t.Errorf("%+v", s)
	}
}

//go:build linux

package link

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// left is a media process of another build that a control process left alone with its calls.
type left struct {
	calls []*call
	talk  *traffic
	quiet *call          // without SRTP and without traffic,
	from  netip.AddrPort // which a stranger wanted to be part of, when nobody was there to hear of it
	conf  Config         // of whoever comes next
	pid   int
}

// leaves sets calls up on a media process of the build "old".
func leaves(t *testing.T, n, layout int) *left {
	t.Helper()
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	conf := config(t, r)
	conf.Build, conf.Env = "old", environ("old", 0)
	if layout != 0 { // it fits this one, and not the next: see fits
		conf.Env = environ("old", layout)
	}
	client, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	client.ours.Layout = max(uint32(layout), client.ours.Layout)
	if _, err := client.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Commands, r.client = client, client
	stop := runs(t, client.Run)
	l := &left{calls: newCalls(t, n), conf: config(t, r), pid: client.pid()}
	l.conf.Socket = conf.Socket
	for _, c := range l.calls {
		c.up(t, r)
	}
	for _, c := range l.calls {
		c.ready(t, r)
		c.talk(t, 5) // over the end of the numbers
	}
	l.quiet = newCall(t, 100, false)
	l.quiet.up(t, r)
	l.quiet.ready(t, r)
	l.talk = talking(t, l.calls)
	l.talk.goesOn(t, "packets flow")
	client.Leave()
	stop()
	stranger := newPhone(t, "127.0.66.10", 1, false)
	stranger.send(t, 1, l.quiet.at[0])
	l.from = stranger.at
	t.Cleanup(func() { _ = syscall.Kill(l.pid, syscall.SIGKILL) }) // it may have ended
	return l
}

// next is a control process of the build "new".
func (l *left) next(t *testing.T, change func(*Config)) (*rig, Inventory, error) {
	t.Helper()
	r := &rig{fence: sovereign.NewFence(snapshot(2, "aws:eu-central-2"), nil), events: &events{}}
	l.conf.Build, l.conf.Env, l.conf.Fence, l.conf.Events = "new", environ("new", 0), r.fence, r.events
	if change != nil {
		change(&l.conf)
	}
	client, err := New(l.conf)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := client.Connect(t.Context())
	if err == nil {
		r.Commands, r.client = client, client
	}
	return r, inv, err
}

// end stops the conversations. Not a packet may be missing.
func (l *left) end(t *testing.T) {
	t.Helper()
	sent, lost, silence := l.talk.end()
	t.Logf("%d calls: %d of %d packets lost, longest silence %v", len(l.calls), lost, sent, silence)
	if lost != 0 {
		t.Errorf("%d of %d packets lost", lost, sent)
	}
}

// TestUpgrade: a control process of another build finds a media process that carries calls, and one of its own build goes on with all of them. Slots that are laid out in
// another way, and memory of another size, are no reason to drop one.
func TestUpgrade(t *testing.T) {
	for name, layout := range map[string]int{"another build": 0, "another layout": plane.Layout + 7} {
		t.Run(name, func(t *testing.T) {
			l := leaves(t, callsUnderTest(), layout)
			first := l.calls[0]
			r, inv, err := l.next(t, func(c *Config) { c.Legs = 4 }) // there are more
			if err != nil {
				t.Fatal(err)
			}
			if !inv.Upgraded || inv.Build != "old" || inv.PID != l.pid || inv.Gap <= 0 || len(inv.Legs) != 2*len(l.calls)+2 || len(r.client.Held()) != 2*len(l.calls)+2 {
				t.Errorf("%+v and %d legs held", inv, len(r.client.Held()))
			}
			l.talk.goesOn(t, "packets flow before Run") // taking calls up may take its time
			runs(t, r.client.Run)
			l.talk.goesOn(t, "packets flow")
			l.end(t)
			eventually(t, "the refusal of the stranger is heard", func() bool { return r.events.moved(l.quiet.la, l.from, false) })
			if syscall.Kill(l.pid, 0) == nil {
				t.Error("the old process is still there")
			}
			if s := r.client.Status(); s.Deaths != 0 || !s.Connected || s.Legs != 2*len(l.calls)+2 {
				t.Errorf("%+v", s)
			}
			for _, c := range l.calls {
				n, ok := r.Read(c.la)
				if !ok || n.Packets < l.talk.sent[c.n] || n.Lost != 0 || n.Peer != c.a.at {
					t.Errorf("%s: %+v after %d packets", c.session(), n, l.talk.sent[c.n])
				}
				c.a.send(t, c.sequence-20, c.at[0]) // of before
				if got, ok := c.b.hear(5 * time.Millisecond); ok {
					t.Errorf("%s: packet %d was played again", c.session(), got)
				}
				c.b.win.Resume(c.sequence - 1)
				c.talk(t, 2)
			}
			r.inForce(t)
			r.fence.Swap(snapshot(6))
			r.inForce(t)
			first.a.send(t, first.sequence, first.at[0])
			if got, ok := first.b.hear(30 * time.Millisecond); ok {
				t.Errorf("B heard packet %d in a place that is held by now", got)
			}
			p, err := connect(l.conf.Socket)
			if err != nil {
				t.Fatalf("the new process has not the name of the old one: %v", err)
			}
			if p.p.Pid != r.client.pid() {
				t.Errorf("process %d has the name, not %d", p.p.Pid, r.client.pid())
			}
			p.leave()
		})
	}
}

// TestUpgradeThatFails: without a media process that could take over the one before goes on, under the next control process where they fit, else alone.
func TestUpgradeThatFails(t *testing.T) {
	broken := func(c *Config) { c.Command = []string{"/bin/false"} }
	l := leaves(t, 3, 0)
	r, inv, err := l.next(t, broken)
	if err != nil || inv.Upgraded || inv.Build != "old" || len(inv.Legs) != 8 {
		t.Fatalf("%v: %+v", err, inv)
	}
	r.client.cfg.Command = config(t, r).Command
	runs(t, r.client.Run)
	l.talk.goesOn(t, "packets flow")
	l.end(t)

	l = leaves(t, 3, plane.Layout+7)
	if _, _, err := l.next(t, broken); err == nil || !strings.Contains(err.Error(), "take over from process") {
		t.Fatalf("%v", err)
	}
	l.talk.goesOn(t, "packets flow with nobody there")
	l.end(t)
}

// TestUpgradeThatEndsEarly: a control process that goes away when it has heard all, and one that gives commands then, leave the calls as they were.
func TestUpgradeThatEndsEarly(t *testing.T) {
	l := leaves(t, 3, 0)
	client, err := New(l.conf)
	if err != nil {
		t.Fatal(err)
	}
	for _, last := range []func(*batch){
		func(*batch) {},
		func(q *batch) { q.b = one(q.b, kindMute, l.calls[0].la) },
		func(q *batch) { q.b = bare(q.b, kindYield) },
	} {
		p, err := connect(l.conf.Socket)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.greet(client.ours); err != nil {
			t.Fatal(err)
		}
		had, err := hear(p)
		if err != nil || len(had.records) != 8 || len(had.book.legs) != 8 {
			t.Fatalf("%v: %d records", err, len(had.records))
		}
		if err := p.l.say(last); err != nil {
			t.Fatal(err)
		}
		had.book.abandon()
		p.leave()
		l.talk.goesOn(t, "packets flow")
	}
	l.end(t)
}

// TestNothingToYield: who carries nothing has nothing to tell.
func TestNothingToYield(t *testing.T) {
	s, err := NewServer(ServerConfig{Socket: folder(t) + "/s"})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := lines(t)
	if err := s.standStill(a); !errors.Is(err, errFrame) {
		t.Error(err)
	}
}

// TestFramesOfEarlierVersions: a build reads what any earlier one of this major version remembers of a leg, or its calls are dropped in an upgrade. Never change testdata:
// what is new stands at the end, and is asked for with more.
func TestFramesOfEarlierVersions(t *testing.T) {
	o, s, _ := examples()
	s.Opaque, s.Reports, s.Taken, s.Tones = false, plane.Reports{}, false, nil // since 1.1, 1.2 and 1.5
	s.RTP.Began, s.RTCP.Began = 0, 0                                           // since 1.6
	for _, version := range []string{"1.0"} {
		text, err := os.ReadFile("testdata/leg-" + version + ".hex")
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Fields(string(text))
		open, err1 := hex.DecodeString(lines[0])
		set, err2 := hex.DecodeString(lines[1])
		if err := errors.Join(err1, err2); err != nil {
			t.Fatal(err)
		}
		r := whole(t, open, kindOpen)
		if got := r.open(); r.end() != nil || !reflect.DeepEqual(got, o) {
			t.Errorf("%s: %v\n%+v\n%+v", version, r.end(), got, o)
		}
		r = whole(t, set, kindSet)
		if got := r.setting(kindSet); r.end() != nil || !reflect.DeepEqual(got, s) {
			t.Errorf("%s: %v\n%+v\n%+v", version, r.end(), got, s)
		}
	}
}

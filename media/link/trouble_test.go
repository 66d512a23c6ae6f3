//go:build linux

package link

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

func (c *Client) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.peer.p.Pid
}

// TestStuckMediaProcess: one that lives and answers nothing is replaced.
func TestStuckMediaProcess(t *testing.T) {
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	client, err := New(config(t, r))
	if err != nil {
		t.Fatal(err)
	}
	client.beat = 10 * time.Millisecond
	if _, err := client.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Commands, r.client = client, client
	runs(t, client.Run)
	c := up(t, r, true)
	c.talk(t, 3)
	was := client.pid()
	if err := syscall.Kill(was, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	eventually(t, "there is another one", func() bool { s := client.Status(); return s.Deaths > 0 && s.Connected })
	c.talk(t, 3)
	if client.pid() == was {
		t.Error("the stuck process is kept")
	}
}

// TestOneControlProcess: a second one is told why it is not listened to.
func TestOneControlProcess(t *testing.T) {
	r := child(t)
	conf := config(t, r)
	conf.Socket = r.client.cfg.Socket
	other, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Connect(t.Context()); err == nil || !strings.Contains(err.Error(), "another control process is connected") {
		t.Errorf("%v", err)
	}
	up(t, r, false).talk(t, 1)
}

// impostor answers each greeting with g, once.
func impostor(t *testing.T, path string, g Greeting) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer l.Close()
		c, err := l.AcceptUnix()
		if err != nil {
			return
		}
		defer c.Close()
		b := newLine(c, patience)
		if _, _, _, err := b.next(); err == nil {
			b.say(func(q *batch) { q.b = putGreeting(q.b, g) })
			b.next() // until it is closed
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// TestAnotherLayout: who lays legs out in another way and carries some is left alone, with an error that says what to do; one that carries none is replaced.
func TestAnotherLayout(t *testing.T) {
	for _, g := range []Greeting{
		{Major: Major, Layout: plane.Layout + 1, Build: "v9", PID: 77, Workers: 1, Legs: 3},
		{Major: Major + 1, Layout: plane.Layout, Build: "v9", PID: 77, Workers: 1, Legs: 1},
		{Major: Major + 1, Layout: plane.Layout, Build: "v9", PID: 77, Workers: 1, Pairs: 1},
		{Major: Major + 1, Layout: plane.Layout, Build: "v9", PID: 77},
	} {
		r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
		conf := config(t, r)
		impostor(t, conf.Socket, g)
		client, err := New(conf)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Connect(t.Context())
		var m *Mismatch
		if g.Legs > 0 {
			if !errors.As(err, &m) || m.Theirs.Build != "v9" || !strings.Contains(err.Error(), "end it when they have ended") {
				t.Errorf("%+v: %v", g, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", g, err)
			continue
		}
		r.Commands, r.client = client, client
		stop := runs(t, client.Run)
		up(t, r, false).talk(t, 1)
		stop()
	}
}

// TestLeave: a control process that goes in peace leaves the calls to the next one, with the moves that nobody heard of meanwhile.
func TestLeave(t *testing.T) {
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	conf := config(t, r)
	client, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Commands, r.client = client, client
	stop := runs(t, client.Run)
	c := up(t, r, true)
	c.talk(t, 3)
	client.Leave()
	stop()
	other := newPhone(t, "127.0.66.10", c.a.ssrc, true)
	other.send(t, c.sequence, c.at[0])
	other.hear(20 * time.Millisecond)
	c.sequence++ // that number was authentic
	c.talk(t, 3)

	next := &rig{fence: sovereign.NewFence(snapshot(2, "aws:eu-central-2"), nil), events: &events{}}
	conf.Fence, conf.Events = next.fence, next.events
	if next.client, err = New(conf); err != nil {
		t.Fatal(err)
	}
	next.Commands = next.client
	inv, err := next.client.Connect(t.Context())
	if err != nil || len(inv.Legs) != 2 || inv.PID == 0 {
		t.Fatalf("%d legs: %v", len(inv.Legs), err)
	}
	end := runs(t, next.client.Run)
	c.talk(t, 3)
	eventually(t, "the refusal of the stranger is heard", func() bool { return next.events.moved(c.la, other.at, false) })
	pid := next.client.pid()
	end()
	if err := syscall.Kill(pid, 0); err == nil {
		t.Error("the media process outlives a control process that told it to end")
	}
}

// TestProcessOfItsOwn: it has a session of its own and no file that it was not given, its socket is this user's alone, and no core file will have its keys.
func TestProcessOfItsOwn(t *testing.T) {
	r := child(t)
	up(t, r, true)
	proc := filepath.Join("/proc", strconv.Itoa(r.client.pid()))
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		t.Fatal(err)
	}
	if f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); f[3] != strconv.Itoa(r.client.pid()) {
		t.Errorf("its session is %s", f[3])
	}
	limits, err := os.ReadFile(filepath.Join(proc, "limits"))
	if err != nil || !strings.Contains(strings.Join(strings.Fields(string(limits)), " "), "Max core file size 0 0") {
		t.Errorf("%v: %s", err, limits)
	}
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]int{}
	for _, fd := range fds {
		to, _ := os.Readlink(filepath.Join(proc, "fd", fd.Name()))
		kind, _, _ := strings.Cut(to, ":[")
		if n, err := strconv.Atoi(fd.Name()); err == nil && n > 2 && !strings.HasPrefix(to, "/sys/fs/cgroup/") { // those are of the runtime
			kinds[kind]++
		}
	}
	// Two sockets each of two legs, the one that listens and the connection; the memory, and once more for its lock; sets of the worker and of the runtime.
	if kinds["socket"] != 6 || kinds["/memfd:cordon-media (deleted)"] != 2 || len(kinds) != 3 {
		t.Errorf("%v", kinds)
	}
	if st, err := os.Stat(r.client.cfg.Socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st.Mode(), err)
	}
}

// TestAlone: with nobody there, legs without packets end when their time is over, those with packets do not, and an empty process ends.
func TestAlone(t *testing.T) {
	s, err := NewServer(ServerConfig{Socket: folder(t) + "/s", Alone: time.Hour, Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	began := s.lonely
	if s.wither(began.Add(emptyHand - 1)) {
		t.Error("a new process ends before anybody could connect")
	}
	if !s.wither(began.Add(emptyHand)) {
		t.Error("a process that nobody wants goes on")
	}
	mem := make([]byte, plane.Memory(100, 1))
	p, err := plane.New(plane.Config{Fence: s.fence, Memory: mem, Events: &s.ears})
	if err != nil {
		t.Fatal(err)
	}
	s.plane = p
	s.fence.Swap(europe())
	c := newCall(t, 0, false)
	runs(t, p.Run)
	c.up(t, both{s})
	c.ready(t, p)
	c.talk(t, 2)
	n, _ := p.Read(c.lb)
	last := time.Unix(0, n.Last)
	s.lonely = last.Add(-2 * time.Hour) // packets came until now
	if s.wither(last.Add(time.Hour-time.Second)) || len(s.book.legs) != 2 {
		t.Errorf("legs with packets ended: %d are left", len(s.book.legs))
	}
	s.lonely = time.Time{}
	if s.wither(last.Add(2*time.Hour)) || len(s.book.legs) != 2 {
		t.Error("legs ended while somebody is connected")
	}
	s.lonely = last
	if !s.wither(last.Add(time.Hour+time.Second)) || len(s.book.legs) != 0 || len(s.book.pairs) != 0 {
		t.Errorf("%d legs and %d pairs are left", len(s.book.legs), len(s.book.pairs))
	}
}

// both gives commands as they come over a connection.
type both struct{ *Server }

func (b both) Give(p plane.Pair) {
	b.obey(kindGive, order{func(l *ledger) bool { return l.give(p.ID, held{p.RTP.(socket), p.RTCP.(socket)}) }, func(c plane.Commands) { c.Give(p) }})
}

func (b both) Open(o plane.Open) {
	b.obey(kindOpen, order{func(l *ledger) bool { return opened(l, o) }, func(c plane.Commands) { c.Open(o) }})
}

func (b both) Set(n plane.Set) {
	b.obey(kindSet, order{func(l *ledger) bool { return settled(l, n) }, func(c plane.Commands) { c.Set(n) }})
}

func (b both) Join(x, y plane.Ref) {
	b.obey(kindJoin, order{func(l *ledger) bool { l.join(x, y, putJoin(nil, x, y)); return true }, func(c plane.Commands) { c.Join(x, y) }})
}

func (both) Withdraw(uint32)                           {}
func (both) Mute(plane.Ref)                            {}
func (both) Silence(plane.Ref)                         {}
func (both) Close(plane.Ref)                           {}
func (both) Watch(plane.Ref, bool)                     {}
func (both) Say(plane.Ref, netip.AddrPort, []byte)     {}
func (both) Press(plane.Press)                         {}
func (both) Impair(plane.Impair)                       {}
func (both) Read(plane.Ref) (c plane.Counters, _ bool) { return c, false }
func (both) Workers() int                              { return 1 }
func (both) Totals() (t plane.Totals)                  { return t }
func (both) Held() []plane.Held                        { return nil }
func (both) Stock([]plane.Clip)                        {}
func (both) Play(plane.Play)                           {}
func (both) Stop(plane.Ref)                            {}

// TestNoMediaProcess: what cannot be started is an error that says so.
func TestNoMediaProcess(t *testing.T) {
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	conf := config(t, r)
	conf.Command = []string{"/bin/false"}
	client, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Connect(context.Background()); err == nil || !strings.Contains(err.Error(), "ended before it listened") {
		t.Errorf("%v", err)
	}
	for what, c := range map[string]Config{"no fence": {Socket: "x", Events: r.events}, "long": {Socket: strings.Repeat("x", 105), Fence: r.fence, Events: r.events}} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

// TestUnable: a system that can have no media process is told from one whose media process carries calls that nobody may lose.
func TestUnable(t *testing.T) {
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	for what, change := range map[string]func(*Config){
		"no program":             func(c *Config) { c.Command = []string{"/bin/false"} },
		"a program that is none": func(c *Config) { c.Command = []string{"/nowhere"} },
		"no folder":              func(c *Config) { c.Socket = "/nowhere/s" },
		"one that gets no further": func(c *Config) {
			impostor(t, c.Socket, Greeting{Major: Major, Minor: Minor, Layout: plane.Layout, Build: "test"})
		},
		"a path that is too long": func(c *Config) { c.Socket = strings.Repeat("x", 105) },
	} {
		conf := config(t, r)
		change(&conf)
		client, err := New(conf)
		if err == nil {
			_, err = client.Connect(t.Context())
		}
		if !errors.Is(err, ErrUnable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	conf := config(t, r)
	impostor(t, conf.Socket, Greeting{Major: Major + 1, Build: "v9", Workers: 1, Legs: 1})
	client, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Connect(t.Context()); err == nil || errors.Is(err, ErrUnable) {
		t.Errorf("one that carries calls: %v", err)
	}
}

// TestFinish: who is asked to end by a supervisor ends at once when nobody is connected, else when its control process goes.
func TestFinish(t *testing.T) {
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	conf := config(t, r)
	ready, signal := io.Pipe()
	s, err := NewServer(ServerConfig{Socket: conf.Socket, Ready: signal, Logger: quiet(t), Build: "test"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	if _, err := io.ReadAll(ready); err != nil {
		t.Fatal(err)
	}
	client, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Commands, r.client = client, client
	stop := runs(t, client.Run)
	s.Finish()
	up(t, r, false).talk(t, 3)
	select {
	case err := <-ended:
		t.Fatalf("it ended with a call: %v", err)
	default:
	}
	client.Leave()
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	alone, err := NewServer(ServerConfig{Socket: folder(t) + "/s", Logger: quiet(t)})
	if err != nil {
		t.Fatal(err)
	}
	alone.Finish()
	if err := alone.Run(context.Background()); err != nil {
		t.Error(err)
	}
}

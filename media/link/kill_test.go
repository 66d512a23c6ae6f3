//go:build linux

package link

import (
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// callsUnderTest is how many calls have packets while a process is killed. CORDON_LINK_CALLS in the environment makes it more.
func callsUnderTest() int {
	if n, err := strconv.Atoi(os.Getenv("CORDON_LINK_CALLS")); err == nil && n > 0 {
		return n
	}
	return 20
}

// traffic has A of each call say a packet each 20 ms, and B listen.
type traffic struct {
	calls []*call
	sent  []uint64
	heard []atomic.Uint64
	late  []time.Duration // the longest silence of each
	stop  atomic.Bool
	wg    sync.WaitGroup
	send  sync.WaitGroup
}

func talking(t testing.TB, calls []*call) *traffic {
	tr := &traffic{calls: calls, sent: make([]uint64, len(calls)), heard: make([]atomic.Uint64, len(calls)), late: make([]time.Duration, len(calls))}
	tr.send.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for !tr.stop.Load() {
			for i, c := range calls {
				c.a.send(t, c.sequence, c.at[0])
				c.sequence++
				tr.sent[i]++
			}
			<-tick.C
		}
	})
	for i, c := range calls {
		tr.wg.Go(func() {
			for last := time.Now(); ; last = time.Now() {
				for ended := false; ; ended = tr.stop.Load() {
					if _, ok := c.b.hear(300 * time.Millisecond); ok {
						break
					} else if ended { // before it listened in vain
						return
					}
				}
				tr.heard[i].Add(1)
				tr.late[i] = max(tr.late[i], time.Since(last))
			}
		})
	}
	return tr
}

// end gives what was lost in all calls, and the longest silence.
func (tr *traffic) end() (sent, lost uint64, silence time.Duration) {
	tr.stop.Store(true)
	tr.send.Wait()
	tr.wg.Wait()
	for i := range tr.calls {
		sent += tr.sent[i]
		lost += tr.sent[i] - tr.heard[i].Load()
		silence = max(silence, tr.late[i])
	}
	return sent, lost, silence
}

// goesOn waits until each call has heard more.
func (tr *traffic) goesOn(t testing.TB, what string) {
	t.Helper()
	was := make([]uint64, len(tr.heard))
	for i := range was {
		was[i] = tr.heard[i].Load() + 5
	}
	eventually(t, what, func() bool {
		for i := range was {
			if tr.heard[i].Load() < was[i] {
				return false
			}
		}
		return true
	})
}

func newCalls(t testing.TB, n int) []*call {
	var calls []*call
	for i := range n {
		calls = append(calls, newCall(t, uint32(i), true))
	}
	return calls
}

// TestMediaProcessIsKilled: another one goes on with all calls on the same sockets, in the same streams, and what came meanwhile is carried, too.
func TestMediaProcessIsKilled(t *testing.T) {
	deaths := make(chan Death, 1)
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	conf := config(t, r)
	conf.Died = func(d Death) { deaths <- d }
	joined(t, r, conf)
	calls := newCalls(t, callsUnderTest())
	for _, c := range calls {
		c.up(t, r)
	}
	for _, c := range calls {
		c.ready(t, r)
		c.talk(t, 2)
	}
	tr := talking(t, calls)
	tr.goesOn(t, "packets flow")
	r.client.mu.Lock()
	pid := r.client.peer.p.Pid
	r.client.mu.Unlock()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	d := <-deaths
	tr.goesOn(t, "packets flow again")
	sent, lost, silence := tr.end()
	t.Logf("%d calls: %d of %d packets lost, gap %v, longest silence %v", len(calls), lost, sent, d.Gap, silence)
	if d.Legs != 2*len(calls) || d.Gap <= 0 || d.Why == nil {
		t.Errorf("%+v", d)
	}
	if lost > uint64(len(calls)) { // one packet may have been read and not yet sent; all others waited
		t.Errorf("%d of %d packets lost", lost, sent)
	}
	for _, c := range calls {
		n, ok := r.Read(c.la)
		if !ok || n.Packets < uint64(tr.sent[c.n]) {
			t.Errorf("%s: counted %d packets after %d", c.session(), n.Packets, tr.sent[c.n])
		}
		c.b.win.Resume(c.sequence - 1)
		c.talk(t, 2)
	}
	if s := r.client.Status(); s.Deaths != 1 || !s.Connected || s.Legs != 2*len(calls) {
		t.Errorf("%+v", s)
	}
}

// script is what a control process of its own is told.
type script struct {
	Socket string
	Phones [][2]netip.AddrPort
}

const scriptVar = "CORDON_LINK_SCRIPT"

// controlMain is a control process that sets calls up and is killed.
func controlMain() int {
	var s script
	if json.Unmarshal([]byte(os.Getenv(scriptVar)), &s) != nil {
		return 2
	}
	exe, _ := os.Executable()
	c, err := New(Config{
		Socket: s.Socket, Command: []string{exe}, Env: environ("test", 0), Build: "test", Fence: sovereign.NewFence(europe(), nil), Legs: 1000,
		Events: &events{},
	})
	if err != nil {
		return 3
	}
	if _, err := c.Connect(context.Background()); err != nil {
		return 4
	}
	go c.Run(context.Background())
	var at [][2]netip.AddrPort
	for n, p := range s.Phones {
		k := &call{n: uint32(n), a: &phone{at: p[0]}, b: &phone{at: p[1]}, la: plane.Ref{Slot: 2*uint32(n) + 1, Serial: 7}, lb: plane.Ref{Slot: 2*uint32(n) + 2, Serial: 9}}
		k.a.out, k.a.in = testKey(byte(2*n)), testKey(byte(2*n)+100)
		k.b.out, k.b.in = testKey(byte(2*n+1)), testKey(byte(2*n+1)+100)
		k.up(fatal{}, c)
		at = append(at, k.at)
	}
	if json.NewEncoder(os.Stdout).Encode(at) != nil {
		return 6
	}
	select {}
}

// fatal is a test of a process that is no test.
type fatal struct{ testing.TB }

func (fatal) Helper() {}

func (fatal) Fatal(a ...any) { panic(a) }

// TestControlProcessIsKilled: not a packet is lost, and the next control process finds all that it needs to go on with the calls.
func TestControlProcessIsKilled(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{fence: sovereign.NewFence(europe(), nil), events: &events{}}
	conf := config(t, r)
	calls := newCalls(t, callsUnderTest())
	s := script{Socket: conf.Socket}
	for _, c := range calls {
		s.Phones = append(s.Phones, [2]netip.AddrPort{c.a.at, c.b.at})
	}
	text, _ := json.Marshal(s)
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), roleVar+"=control", scriptVar+"="+string(text))
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe() // whose reader is gone with this process: the media process writes there
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() }) // its media process then ends by itself
	var at [][2]netip.AddrPort
	if err := json.NewDecoder(out).Decode(&at); err != nil {
		t.Fatal(err)
	}
	for i, c := range calls {
		c.at = at[i]
	}
	for _, c := range calls { // commands are not answered, and nobody here can read the counters
		eventually(t, c.session()+" is up", func() bool {
			c.a.send(t, c.sequence, c.at[0])
			c.sequence++
			_, ok := c.b.hear(20 * time.Millisecond)
			return ok
		})
		for heard := true; heard; { // of those that came late
			_, heard = c.b.hear(20 * time.Millisecond)
		}
	}
	tr := talking(t, calls)
	tr.goesOn(t, "packets flow")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	stderr.Close()
	cmd.Wait()
	tr.goesOn(t, "packets flow without a control process")

	r.fence = sovereign.NewFence(snapshot(5, "aws:eu-central-2"), nil)
	conf.Fence = r.fence
	client, err := New(conf)
	if err != nil {
		t.Fatal(err)
	}
	inv, err := client.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.Commands, r.client = client, client
	runs(t, client.Run)
	tr.goesOn(t, "packets flow with another control process")
	sent, lost, silence := tr.end()
	t.Logf("%d calls: %d of %d packets lost, longest silence %v", len(calls), lost, sent, silence)
	if lost != 0 {
		t.Errorf("%d of %d packets lost", lost, sent)
	}
	takenUp(t, r, inv, calls)
}

// takenUp holds what the inventory says, and that the calls can be gone on with.
func takenUp(t *testing.T, r *rig, inv Inventory, calls []*call) {
	t.Helper()
	if inv.Build != "test" || inv.Upgraded || len(inv.Legs) != 2*len(calls) || len(inv.Pairs) != 2*len(calls) {
		t.Fatalf("build %q, %d legs, %d pairs", inv.Build, len(inv.Legs), len(inv.Pairs))
	}
	for i, l := range inv.Legs {
		c := calls[i/2]
		far := []*phone{c.a, c.b}[i%2]
		if l.Open.Session != c.session() || l.Open.Shown != c.at[i%2] || !l.Known || l.Set.RTP.To != far.at || !l.Set.In.Same(far.out) || !l.Set.Out.Same(far.in) ||
			l.Joined != [2]plane.Ref{c.la, c.lb} || l.Muted || l.Watched {
			t.Fatalf("leg %d: %+v", i, l)
		}
		if at := inv.Pairs[i].RTP.(*osnet.Socket).Bound(); at != c.at[i%2] {
			t.Fatalf("pair %d is bound to %v, not %v", i, at, c.at[i%2])
		}
	}
	if h := r.client.Held(); len(h) != 2*len(calls) || h[0].Open.Ref != calls[0].la || h[0].Joined != calls[0].lb || h[1].Joined != calls[0].la || !h[0].In.Same(calls[0].a.out) {
		t.Errorf("%d legs are held: %+v", len(h), h[0])
	}
	for i, l := range []plane.Ref{calls[0].la, calls[0].lb} { // nobody takes up the first call
		r.Close(l)
		r.Withdraw(inv.Pairs[i].ID)
	}
	if h := r.client.Held(); len(h) != 2*len(calls)-2 {
		t.Errorf("%d legs are held after a call was closed", len(h))
	}
	c := calls[1]
	c.b.win.Resume(c.sequence - 1)
	again := c.negotiated(0, c.a) // a re-INVITE that changes nothing
	again.RTP = plane.Aim{Stay: true}
	r.Set(again)
	c.talk(t, 5)
	r.inForce(t)
	r.fence.Swap(snapshot(6))
	r.inForce(t)
	c.a.send(t, c.sequence, c.at[0])
	if got, ok := c.b.hear(50 * time.Millisecond); ok {
		t.Errorf("B heard packet %d in a place that is held by now", got)
	}
	if s := r.client.Status(); s.Legs != 2*len(calls)-2 {
		t.Errorf("%+v", s)
	}
	calls[0].a.send(t, calls[0].sequence, calls[0].at[0])
	if _, ok := calls[0].b.hear(20 * time.Millisecond); ok {
		t.Error("a call that nobody took up goes on")
	}
}

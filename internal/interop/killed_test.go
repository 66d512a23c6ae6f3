//go:build interop

package interop

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/osnet"
)

// callsUnderFire is how many calls are up when a process is killed.
const callsUnderFire = 200

// killLab is a node whose packets a media process carries, between a carrier and a group that speak different suites.
type killLab struct {
	*node
	carrier, group *peer
	file           string
	calls          []pair
}

func killable(t *testing.T, callers, callees string) *killLab {
	t.Helper()
	return carriedBy(t, "media: {inprocess: false}", callers, callees)
}

// carriedBy is that with these keys for media.
func carriedBy(t *testing.T, media, callers, callees string) *killLab {
	t.Helper()
	l := &killLab{carrier: newPeer(t, loop(1, 11), callers), group: newPeer(t, loop(10, 10), callees)}
	w := &world{more: media + "\nlimits: {rate_per_source: 1000}"}
	w.trunks = []party{l.carrier.as("carrier", "{security: srtp, insecure_lab: true, suites: ["+callers+"]}")}
	w.groups = []party{l.group.as("fra", "{security: srtp, insecure_lab: true, suites: ["+callees+"]}")}
	w.dir = t.TempDir()
	t.Cleanup(func() { l.endMedia(filepath.Join(w.dir, "state", "run", "media.sock")) })
	l.node = boot(t, w, "carrier", "fra")
	return l
}

// listener is the process that listens on a unix socket, 0 for nobody.
func listener(path string) int {
	c, err := net.Dial("unix", path)
	if err != nil {
		return 0
	}
	defer c.Close()
	pid, _, err := osnet.PeerUser(c.(*net.UnixConn))
	if err != nil {
		return 0
	}
	return pid
}

// endMedia ends the media process of this lab, which would outlive the test by an hour.
func (l *killLab) endMedia(path string) {
	if pid := listener(path); pid > 1 {
		_ = syscall.Kill(pid, syscall.SIGKILL) // it may end by itself
	}
}

func (l *killLab) mediaProcess() int {
	return listener(filepath.Join(l.dir, "state", "run", "media.sock"))
}

// dialAll sets the calls up, some at a time. Each has a number of its own, by which its two sides are found. The streams of every second call wrap their sequence
// numbers around the time when two seconds are over.
func (l *killLab) dialAll(n int) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	edge := netip.AddrPortFrom(netip.MustParseAddr(l.w.edge), l.sip["udp"])
	placed, turn := make([]*carrier.Call, n), make(chan struct{}, 8)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			c, err := l.carrier.Call(ctx, carrier.CallOptions{From: "+4989555", To: number(i), Dest: edge, NoMedia: true})
			if err != nil {
				l.t.Error(err)
				return
			}
			if status, err := c.WaitFinal(ctx); status != 200 {
				l.t.Errorf("call %d: %d %v", i, status, err)
				return
			}
			placed[i] = c
		})
	}
	wg.Wait()
	if l.t.Failed() {
		l.t.FailNow()
	}
	received := map[string]*carrier.Call{}
	for _, c := range l.group.Calls() {
		user, _, _ := strings.Cut(strings.TrimPrefix(c.URI(), "sip:"), "@")
		received[user] = c
	}
	for i, c := range placed {
		other := received[number(i)]
		if other == nil {
			l.t.Fatalf("the group has no call to %s: %v", number(i), received)
		}
		first := uint16(1000)
		if i%2 == 0 {
			first = uint16(65536 - 100 - i%20)
		}
		l.calls = append(l.calls, pair{newEnd(l.t, l.carrier, c, first, 2*i), newEnd(l.t, l.group, other, first+7, 2*i+1)})
	}
}

func number(i int) string { return fmt.Sprintf("+4969%06d", i) }

// hangUp ends calls, the first half of them from the carrier's side, the other one from the group's, and waits until both sides know.
func (l *killLab) hangUp(calls []pair) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for i, p := range calls {
		by, other := p.a.call, p.b.call
		if i >= len(calls)/2 {
			by, other = other, by
		}
		if err := by.Hangup(ctx); err != nil {
			l.t.Fatalf("call %d: %v", i, err)
		}
		select {
		case <-other.Done():
		case <-ctx.Done():
			l.t.Fatalf("call %d: the other side was not told: %v", i, other.Events())
		}
		if a, b := by.Ended(), other.Ended(); a != "bye sent" || b != "bye received" {
			l.t.Errorf("call %d ended by %q and %q", i, a, b)
		}
	}
}

// faultless holds what the strict peers saw, but for faults that begin with one of these.
func (l *killLab) faultless() {
	l.t.Helper()
	for _, p := range []*peer{l.carrier, l.group} {
		if faults := p.Stats().Faults; len(faults) > 0 {
			l.t.Errorf("%s: %d faults: %q", p.Addr(), len(faults), faults)
		}
	}
}

// Two processes carry calls, and either may be killed while 200 of them talk with SRTP on both sides.
// Conforms: RFC 3711 section 3.3.1
func TestKilledProcesses(t *testing.T) {
	t.Run("media", killMedia)
	t.Run("control", killControl)
}

// killMedia: another process goes on at once, on the same ports, with the same keys and counters. What was sent meanwhile waits in the kernel and is carried, too.
func killMedia(t *testing.T) {
	l := killable(t, carrier.AES128SHA80, carrier.AES256GCM)
	l.dialAll(callsUnderFire)
	talk := converse(t, l.calls)
	talk.goesOn(t, "two seconds of audio", 100)
	before := talk.look()
	was := l.mediaProcess()
	if was == 0 || was == l.cmd.Process.Pid {
		t.Fatalf("process %d listens for the control process %d", was, l.cmd.Process.Pid)
	}
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	talk.goesOn(t, "audio goes on", 75)
	after := talk.look()
	if now := l.mediaProcess(); now == 0 || now == was {
		t.Errorf("process %d listens after %d was killed", now, was)
	}
	talk.end()
	a := talk.account(t)
	a.print(t, "kill -9 of the media process", before, after)
	measured(t, "kill -9 of the media process, longest gap of 200 SRTP calls", spread(after.gaps)[2], time.Second)
	// A packet that a thread had taken and not yet sent died with it; all others waited.
	lost, inHand := sum(a.lost), runtime.NumCPU()
	noted(t, "kill -9 of the media process, packets lost of 200 SRTP calls", fmt.Sprintf("%d of %d", lost, sum(a.sent)), fmt.Sprintf("<= %d", inHand))
	if lost > inHand {
		t.Errorf("%d packets lost", lost)
	}
	l.hangUp(l.calls)
	l.faultless()
	l.errors = []string{"media: the media process is gone"}
	if list := l.receipts(callsUnderFire); len(list) != callsUnderFire {
		t.Errorf("%d receipts", len(list))
	}
	l.stop()
}

// killControl: nobody is there who judges, routes and speaks SIP, and no packet of the calls is lost. The next control process takes all of them up: holds, refreshes
// and ends from either side work as if nothing had been.
func killControl(t *testing.T) {
	l := killable(t, carrier.AES128GCM, carrier.AES256SHA80)
	l.dialAll(callsUnderFire)
	talk := converse(t, l.calls)
	talk.goesOn(t, "two seconds of audio", 100)
	before, media := talk.look(), l.mediaProcess()
	l.killControl()
	l.gaps++
	talk.goesOn(t, "audio goes on", 100)
	began := time.Now()
	l.run(filepath.Join(l.dir, "cordon.yaml"))
	measured(t, "kill -9 of the control process, started again until it is ready for calls", time.Since(began), 10*time.Second)
	talk.goesOn(t, "audio goes on with another control process", 50)
	after := talk.look()
	if now := l.mediaProcess(); now != media {
		t.Errorf("process %d carries the calls, not %d", now, media)
	}
	talk.end()
	a := talk.account(t)
	a.print(t, "kill -9 of the control process", before, after)
	lost := sum(a.lost)
	noted(t, "kill -9 of the control process, packets lost of 200 SRTP calls", fmt.Sprintf("%d of %d", lost, sum(a.sent)), "0")
	if lost != 0 {
		t.Errorf("%d packets lost", lost)
	}
	if n := l.node.calls(); n != callsUnderFire {
		t.Fatalf("the next control process knows %d calls", n)
	}
	l.renegotiate()
	talk = converse(t, l.calls)
	talk.goesOn(t, "audio goes on after the re-INVITEs", 50)
	talk.end()
	if lost := sum(talk.account(t).lost); lost != 0 {
		t.Errorf("%d packets lost after re-INVITEs", lost)
	}
	l.hangUp(l.calls)
	l.faultless()
	for _, r := range l.receipts(callsUnderFire) {
		wantAnswered(t, r, "fra", "primary")
	}
	l.stop()
}

// renegotiate has the two sides in turn hold and resume each fourth call, and refresh the session of each other fourth.
func (l *killLab) renegotiate() {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	steps := map[int][]func(*carrier.Call) (int, error){
		0: {func(c *carrier.Call) (int, error) { return c.Hold(ctx) }, func(c *carrier.Call) (int, error) { return c.Resume(ctx) }},
		1: {func(c *carrier.Call) (int, error) { return c.Update(ctx) }},
	}
	for i, p := range l.calls {
		for _, step := range steps[i%4] {
			if status, err := step(p.ends()[i/4%2].call); status != 200 {
				l.t.Fatalf("call %d: %d %v", i, status, err)
			}
		}
	}
}

// killControl kills the control process alone and waits until it is gone.
func (l *killLab) killControl() {
	l.t.Helper()
	pid := l.cmd.Process.Pid
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		l.t.Fatal(err)
	}
	until(l.t, "the control process is gone", 10*time.Second, func() bool { return syscall.Kill(pid, 0) != nil })
}

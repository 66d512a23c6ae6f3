//go:build interop

package interop

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// process is a program that a test started, in a process group of its own so that nothing of it is left behind.
type process struct {
	name string
	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu  sync.Mutex
	out bytes.Buffer
}

// Write collects what the program prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(b)
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// start runs a program in a place. It is ended with the test at the latest, and its output is shown when the test failed.
func start(t *testing.T, at place, dir, name string, args ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: at.command(name, args...), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.Env = append(os.Environ(), "TERM=dumb", "NO_COLOR=1")
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.WaitDelay = 5 * time.Second
	started := make(chan error)
	go func() {
		// The death signal follows the thread that forked, so this one stays until the program has ended.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("%s %s printed:\n%s", name, strings.Join(args, " "), tail(p.output(), 6000))
		}
	})
	return p
}

func tail(s string, n int) string {
	if len(s) > n {
		return "..." + s[len(s)-n:]
	}
	return s
}

func (p *process) signal(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) } // it may have ended

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// kill ends the whole group and waits for it.
func (p *process) kill() {
	if !p.ended() {
		p.signal(syscall.SIGCONT)
		p.signal(syscall.SIGKILL)
		<-p.done
	}
}

// wait waits until the program has ended by itself and gives its exit code.
func (p *process) wait(t *testing.T, limit time.Duration) int {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.done:
	case <-timer.C:
		t.Fatalf("%s did not end within %s", p.name, limit)
	}
	var exit *exec.ExitError
	switch {
	case p.err == nil:
		return 0
	case errors.As(p.err, &exit):
		return exit.ExitCode()
	}
	t.Fatalf("%s: %v", p.name, p.err)
	return -1
}

// until polls a condition that other processes bring about.
func until(t *testing.T, what string, limit time.Duration, ok func() bool) {
	t.Helper()
	end := time.Now().Add(limit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %s", what, limit)
		}
		<-tick.C
	}
}

// place is where a program runs: this machine's loopback, or a network namespace.
type place struct {
	netns string
}

// loopback is where no namespace is needed.
var loopback = place{}

func (p place) command(name string, args ...string) *exec.Cmd {
	if p.netns == "" {
		return exec.Command(name, args...)
	}
	return exec.Command("ip", append([]string{"netns", "exec", p.netns, name}, args...)...)
}

// inside runs f on a thread that stands in the place: sockets made there belong to it.
func (p place) inside(f func() error) error {
	if p.netns == "" {
		return f()
	}
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine, and with it its namespace
		ns, err := os.Open("/var/run/netns/" + p.netns)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// dial connects from inside the place.
func (p place) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	var c net.Conn
	err := p.inside(func() error {
		var err error
		c, err = (&net.Dialer{}).DialContext(ctx, network, addr)
		return err
	})
	return c, err
}

// freePort finds a port that is free for UDP and TCP on an address, and whose next one is free, too (RTP and RTCP).
func (p place) freePort(t *testing.T, addr string) uint16 {
	t.Helper()
	var port uint16
	err := p.inside(func() error {
		for range 200 {
			// Below the ports that the system gives to clients, so that nobody takes it meanwhile by chance.
			port = uint16(10000 + 2*rand.IntN(11000))
			if free("udp4", addr, port) && free("udp4", addr, port+1) && free("tcp4", addr, port) {
				return nil
			}
		}
		return errors.New("no free pair of ports")
	})
	if err != nil {
		t.Fatalf("%s: %v", addr, err)
	}
	return port
}

func free(network, addr string, port uint16) bool {
	var c io.Closer
	var err error
	where := net.JoinHostPort(addr, strconv.Itoa(int(port)))
	if network == "udp4" {
		c, err = net.ListenPacket(network, where)
	} else {
		c, err = net.Listen(network, where)
	}
	if err != nil {
		return false
	}
	c.Close()
	return true
}

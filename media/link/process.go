package link

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
)

// starting is how long a media process may take until it listens.
const starting = 10 * time.Second

// ErrForeign is a media process, or a control process, of another user.
var ErrForeign = errors.New("link: the process at the other end is another user's")

// peer is a media process and the connection to it.
type peer struct {
	l     *line
	p     *os.Process
	path  string
	hello Greeting
	moves atomic.Uint64 // that were heard

	rulings rulings // of whoever reads the line
}

// start starts a media process that listens on path, and waits until it does.
func (c *Client) start(ctx context.Context, path string) error {
	ready, signal, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("link: start a media process: %w", err)
	}
	defer ready.Close()
	args := append(c.cfg.Command[1:len(c.cfg.Command):len(c.cfg.Command)], "--socket", path, "--ready", "3", "--alone", c.cfg.Alone.String())
	cmd := exec.Command(c.cfg.Command[0], args...)
	cmd.Stderr, cmd.ExtraFiles, cmd.Env = os.Stderr, []*os.File{signal}, c.cfg.Env
	detach(cmd)
	err = cmd.Start()
	signal.Close()
	if err != nil {
		return fmt.Errorf("link: start a media process: %w", err)
	}
	limit := time.Now().Add(starting)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		limit = d
	}
	if err = ready.SetReadDeadline(limit); err == nil {
		_, err = ready.Read(make([]byte, 1))
	}
	if err != nil {
		cmd.Process.Kill()
		return fmt.Errorf("link: a media process ended before it listened: %w", errors.Join(err, cmd.Wait()))
	}
	return nil // whoever connects knows it by its number
}

// connect connects to who listens on path.
func connect(path string) (*peer, error) {
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	pid, uid, err := osnet.PeerUser(conn)
	if err == nil && int(uid) != os.Getuid() {
		err = fmt.Errorf("%w: user %d", ErrForeign, uid)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	p, err := os.FindProcess(pid) // holds the process, not its number
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("link: process %s: %w", strconv.Itoa(pid), err)
	}
	return &peer{l: newLine(conn, patience), p: p, path: path}, nil
}

// kill ends the process for good. That of this process is waited for; the memory is free when any is gone.
func (p *peer) kill() {
	if p.p.Pid == os.Getpid() { // a test's server
		return
	}
	p.p.Kill()
	p.p.Wait()
}

// greet tells who we are and hears who they are.
func (p *peer) greet(ours Greeting) error {
	if err := p.l.c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := p.l.say(func(q *batch) { q.b = putGreeting(q.b, ours) }); err != nil {
		return err
	}
	k, r, _, err := p.l.next()
	switch {
	case err != nil:
		return fmt.Errorf("link: no greeting: %w", err)
	case k == kindRefuse:
		return fmt.Errorf("link: refused by process %d: %s", p.p.Pid, r.text())
	case k != kindHello:
		return fmt.Errorf("%w: a greeting was expected", errFrame)
	}
	if p.hello = r.greeting(); r.end() != nil {
		return fmt.Errorf("%w: a greeting", errFrame)
	}
	return p.l.c.SetReadDeadline(time.Time{})
}

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The cores of a run: the systems under test share one and have their turns on it, the generator has the other.
const (
	coreOfSystem    = "1"
	coreOfGenerator = "0"
)

// ticks is what one unit of the times in /proc/PID/stat is; USER_HZ is 100 on every Linux that Go knows.
const tick = 10 * time.Millisecond

// process is a program that the bench started, in a process group of its own.
type process struct {
	name string
	cmd  *exec.Cmd
	out  *os.File
	done chan struct{}
	err  error
}

// launch starts a program on a core, in dir, where its output goes to name.out.
func launch(ctx context.Context, core, dir, name string, env []string, program string, args ...string) (*process, error) {
	out, err := os.Create(filepath.Join(dir, name+".out"))
	if err != nil {
		return nil, err
	}
	p := &process{name: name, out: out, done: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, "taskset", append([]string{"-c", core, program}, args...)...)
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, out, out
	p.cmd.Env = append(os.Environ(), append(env, "TERM=dumb")...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) }
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, out.Close())
	}
	go func() {
		defer close(p.done)
		p.err = errors.Join(p.cmd.Wait(), out.Close())
	}()
	return p, nil
}

func (p *process) signal(s syscall.Signal) error { return p.cmd.Process.Signal(s) }

// wait gives what the program ended with, or an error after d.
func (p *process) wait(d time.Duration) error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(d):
		return fmt.Errorf("%s is still running after %v", p.name, d)
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// end asks the program to end, and makes it end if it does not.
func (p *process) end(patience time.Duration) error {
	if p.ended() {
		return nil
	}
	_ = p.signal(syscall.SIGTERM) // it may end right now
	if p.wait(patience) != nil && !p.ended() {
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
	return nil
}

func (p *process) tail() string {
	b, _ := os.ReadFile(p.out.Name()) // it is there only when something was said
	return string(b[max(0, len(b)-2000):])
}

// family lists the process and all its descendants.
func (p *process) family() []int {
	out := []int{p.cmd.Process.Pid}
	for i := 0; i < len(out); i++ {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", out[i]))
		for _, l := range lists {
			b, _ := os.ReadFile(l) // a thread that ended meanwhile has no children
			for f := range strings.FieldsSeq(string(b)) {
				if pid, err := strconv.Atoi(f); err == nil {
					out = append(out, pid)
				}
			}
		}
	}
	return out
}

// cpu is the CPU time, user and system, of the whole family.
func (p *process) cpu() (time.Duration, error) {
	var sum time.Duration
	for _, pid := range p.family() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			return 0, err
		}
		// The second field is the name in brackets, which may hold anything; utime and stime are the 14th and the 15th.
		f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
		if len(f) < 13 {
			return 0, fmt.Errorf("/proc/%d/stat: %q", pid, b)
		}
		for _, v := range f[11:13] {
			n, err := strconv.Atoi(string(v))
			if err != nil {
				return 0, err
			}
			sum += time.Duration(n) * tick
		}
	}
	return sum, nil
}

// pss is the family's memory in bytes, where a shared page counts in parts.
func (p *process) pss() (int64, error) {
	sum := int64(0)
	for _, pid := range p.family() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) == 3 && f[0] == "Pss:" {
				n, err := strconv.ParseInt(f[1], 10, 64)
				if err != nil {
					return 0, err
				}
				sum += n << 10
			}
		}
	}
	return sum, nil
}

//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The cores of a run: the relays share one and have their turns on it, the generator has the other.
const (
	coreOfRelay     = 0
	coreOfGenerator = 1
)

// process is a program that the bench started on the core of the relays, in a process group of its own.
type process struct {
	name  string
	cmd   *exec.Cmd
	in    io.WriteCloser // nil unless piped
	out   io.ReadCloser
	files []*os.File
	done  chan struct{}
	err   error
}

// launch starts a program. Its errors go to name.err in dir; its output too, unless it is piped.
func launch(dir, name string, nice int, piped bool, program string, args ...string) (*process, error) {
	errs, err := os.Create(filepath.Join(dir, name+".err"))
	if err != nil {
		return nil, err
	}
	p := &process{name: name, files: []*os.File{errs}, done: make(chan struct{})}
	p.cmd = exec.Command("taskset", append([]string{"-c", strconv.Itoa(coreOfRelay), "nice", "-n", strconv.Itoa(nice), program}, args...)...)
	p.cmd.Dir, p.cmd.Stderr = dir, errs
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if piped {
		p.in, err = p.cmd.StdinPipe()
		if err == nil {
			p.out, err = p.cmd.StdoutPipe()
		}
	} else {
		p.cmd.Stdout = errs
	}
	if err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, errors.Join(err, errs.Close())
	}
	go func() {
		defer close(p.done)
		p.err = errors.Join(p.cmd.Wait(), errs.Close())
	}()
	return p, nil
}

func (p *process) tail() string {
	b, _ := os.ReadFile(p.files[0].Name()) // it is there only when something was said
	return string(b[max(0, len(b)-2000):])
}

// end asks the program to end, and makes it end if it does not.
func (p *process) end(patience time.Duration) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // it may end right now
	select {
	case <-p.done:
	case <-time.After(patience):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
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

// cpuTime is the time on a processor that all threads of a process had, those included that ended: its CPU clock (clock_getcpuclockid(3)), in ns where
// /proc/PID/stat counts in 10 ms.
func cpuTime(pid int) (time.Duration, error) {
	var t unix.Timespec
	const sched = 2
	if err := unix.ClockGettime(int32(^pid<<3|sched), &t); err != nil {
		return 0, fmt.Errorf("CPU clock of %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// meter measures some processes, and beside them the kernel's softirq thread of their core: when there is much to do, that thread does for the relay what
// otherwise is charged to it.
func meter(pids []int) (func() (time.Duration, time.Duration, error), error) {
	kernel := softirqThread()
	return func() (sum, beside time.Duration, err error) {
		for _, pid := range pids {
			d, err := cpuTime(pid)
			if err != nil {
				return 0, 0, err
			}
			sum += d
		}
		if kernel > 0 {
			beside, err = cpuTime(kernel)
		}
		return sum, beside, err
	}, nil
}

// softirqThread is ksoftirqd of the relays' core; 0 where the process list does not show it.
func softirqThread() int {
	names, _ := filepath.Glob("/proc/[0-9]*/comm")
	for _, n := range names {
		if b, err := os.ReadFile(n); err == nil && strings.TrimSpace(string(b)) == fmt.Sprintf("ksoftirqd/%d", coreOfRelay) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(n)))
			return pid
		}
	}
	return 0
}

// resident is the memory of some processes in bytes, where a shared page counts in parts (PSS).
func resident(pids []int) (int64, error) {
	sum := int64(0)
	for _, pid := range pids {
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

// settle puts all threads of this process on the generator's core, at a priority; threads made later inherit both, relays the priority. Where the system refuses
// the priority, it stays as it was. undo gives the session its own back.
func settle(nice int) (undo func(), err error) {
	undo = preferred(nice)
	var set unix.CPUSet
	set.Set(coreOfGenerator)
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return undo, err
	}
	for _, t := range tasks {
		tid, err := strconv.Atoi(filepath.Base(t))
		if err != nil {
			return undo, err
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return undo, fmt.Errorf("core %d: %w", coreOfGenerator, err)
		}
		_ = unix.Setpriority(unix.PRIO_PROCESS, tid, nice)
	}
	return undo, nil
}

// preferred sets the priority of the session among others where the kernel shares the processor between sessions first (autogroup, sched(7)): there the one of a
// process counts within its session alone.
func preferred(nice int) (undo func()) {
	const file = "/proc/self/autogroup"
	_, text, ok := strings.Cut(fileText(file), " nice ")
	was := strings.TrimSpace(text)
	if !ok || os.WriteFile(file, []byte(strconv.Itoa(nice)), 0) != nil {
		return func() {}
	}
	return func() { _ = os.WriteFile(file, []byte(was), 0) }
}

// stolen is the time that the machine below took from all cores since it started.
func stolen() time.Duration {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b[:min(len(b), 400)]))
	if len(f) < 9 {
		return 0
	}
	n, _ := strconv.ParseInt(f[8], 10, 64)
	return time.Duration(n) * 10 * time.Millisecond
}

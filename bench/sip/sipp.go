package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// callerAddr is where calls come from, on the carrier's side of cordon's configuration.
const callerAddr = "127.1.0.1"

// load is one run of SIPp through a system.
type load struct {
	name   string
	script string // of the caller
	callee string // "": the usual one
	calls  int
	rate   int
	trace  bool                            // keep the callee's messages
	during func(ctx context.Context) error // nil, or what happens while the calls are up
	lasts  time.Duration                   // how long a call does, where that is more than some seconds
}

// counts are SIPp's own.
type counts struct {
	successful, failed, retransmissions int
	answered                            int          // INVITEs that the callee saw
	moved                               int          // re-INVITEs that the callee saw acknowledged
	rtt                                 [3][]float64 // ms, by number of the measure, sorted
	orders                              int          // INFO that came out of order
	infos                               int
}

// play runs a load through a system and gives SIPp's counts of both sides.
func (p *plan) play(ctx context.Context, s *system, l load) (c counts, err error) {
	dir, err := os.MkdirTemp(p.dir, s.name+"-"+l.name+"-")
	if err != nil {
		return c, err
	}
	if l.callee == "" {
		l.callee = callee
	}
	for file, text := range map[string]string{"uac.xml": l.script, "uas.xml": l.callee} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			return c, err
		}
	}
	var more []string
	if l.trace {
		more = []string{"-trace_msg", "-message_file", "messages.log"}
	}
	uas, err := p.sipp(ctx, dir, "uas", append(more, "-i", s.uas.Addr().String(), "-p", fmt.Sprint(s.uas.Port()), "-mp", "40000")...)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, uas.end(time.Second)) }()
	if err := until(ctx, 5*time.Second, func() bool { return bound(s.uas) }); err != nil {
		return c, fmt.Errorf("the callee never listened: %w: %s", err, uas.tail())
	}
	longest := time.Duration(l.calls/l.rate+30)*time.Second + l.lasts
	uac, err := p.sipp(ctx, dir, "uac", "-i", callerAddr, "-p", "7060", "-mp", "30000", "-s", "+4969900100", "-m", fmt.Sprint(l.calls), "-r", fmt.Sprint(l.rate),
		"-l", fmt.Sprint(l.calls+1), "-trace_rtt", "-rtt_freq", "200", "-recv_timeout", "8000", s.at.String())
	if err != nil {
		return c, err
	}
	if l.during != nil {
		err = l.during(ctx)
	}
	// SIPp ends with 1 when a call failed, and some calls never end: its counts say both better.
	_ = uac.wait(longest)
	if !uac.ended() {
		_ = uac.signal(syscall.SIGUSR1)
		_ = uac.wait(2 * time.Second)
		err = errors.Join(err, uac.end(time.Second))
	}
	_ = uas.signal(syscall.SIGUSR1) // it ends in its own way, and writes its last counts
	_ = uas.wait(2 * time.Second)
	return c, errors.Join(err, c.read(dir, l.trace))
}

func (p *plan) sipp(ctx context.Context, dir, name string, args ...string) (*process, error) {
	all := append([]string{
		"-sf", name + ".xml", "-mi", args[slices.Index(args, "-i")+1], "-t", "u1", "-nostdin", "-trace_stat", "-stf", name + ".csv", "-fd", "1",
		"-trace_err", "-error_file", name + ".err", "-buff_size", "8000000", "-default_behaviors", "all,-bye",
		"-watchdog_minor_maxtriggers", "1000000", "-watchdog_major_maxtriggers", "1000000",
	}, args...)
	return launch(ctx, coreOfGenerator, dir, name, nil, "sipp", all...)
}

func (c *counts) read(dir string, traced bool) error {
	caller, err := table(filepath.Join(dir, "uac.csv"))
	if err != nil {
		return err
	}
	callee, err := table(filepath.Join(dir, "uas.csv"))
	if err != nil {
		return err
	}
	c.successful, c.failed, c.retransmissions = caller["successfulcall(c)"], caller["failedcall(c)"], caller["retransmissions(c)"]
	c.answered, c.moved = callee["invites(c)"], callee["moved(c)"]
	c.retransmissions += callee["retransmissions(c)"]
	rtts, _ := filepath.Glob(filepath.Join(dir, "uac_*_rtt.csv"))
	for _, f := range rtts {
		if err := c.times(f); err != nil {
			return err
		}
	}
	for i := range c.rtt {
		slices.Sort(c.rtt[i])
	}
	if traced {
		return c.order(filepath.Join(dir, "messages.log"))
	}
	return nil
}

// table reads the last row of SIPp's statistics by the names of its columns.
func table(file string) (map[string]int, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := csv.NewReader(f)
	r.Comma, r.FieldsPerRecord, r.LazyQuotes = ';', -1, true
	rows, err := r.ReadAll()
	if err != nil || len(rows) < 2 {
		return nil, fmt.Errorf("%s: %d rows, %w", file, len(rows), err)
	}
	out, last := map[string]int{}, rows[len(rows)-1]
	for i, h := range rows[0] {
		if i < len(last) {
			if n, err := strconv.Atoi(last[i]); err == nil {
				out[strings.ToLower(h)] = n
			}
		}
	}
	return out, nil
}

// times reads SIPp's response times: date; milliseconds; number of the measure.
func (c *counts) times(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Split(strings.TrimSpace(line), ";")
		if len(f) < 3 {
			continue
		}
		v, err := strconv.ParseFloat(f[1], 64)
		if n, bad := strconv.Atoi(f[2]); err == nil && bad == nil && n > 0 && n < len(c.rtt) {
			c.rtt[n] = append(c.rtt[n], v)
		}
	}
	return nil
}

var infoOf = regexp.MustCompile(`(?is)message received[^\n]*\n\s*INFO .*?Call-ID:\s*(\S+).*?Signal=(\d+)`)

// order reads the callee's trace and counts the INFO of a call that came before one that was sent earlier.
func (c *counts) order(file string) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	last, seen := map[string]int{}, map[string]bool{}
	for block := range strings.SplitSeq(string(b), "-----------------------------------------------") {
		m := infoOf.FindStringSubmatch(block)
		if m == nil || seen[m[1]+m[2]] { // a retransmission is no new one
			continue
		}
		seen[m[1]+m[2]] = true
		n, err := strconv.Atoi(m[2])
		if err != nil {
			return err
		}
		c.infos++
		if n < last[m[1]] {
			c.orders++
		}
		last[m[1]] = max(n, last[m[1]])
	}
	return nil
}

// quantile of sorted values; 0 of none.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

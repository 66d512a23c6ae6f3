package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/sovereign"
)

// Options of a demo.
type Options struct {
	Out      io.Writer
	Color    bool
	Dir      string // where the node's files go; "" makes a folder that is removed at the end
	Serve    bool   // leave everything running after the story
	Drill    *Drill // play this one in place of the story; the folder then stays, with the report in it
	Software string
	Logger   *slog.Logger
	// Suspend does what cordon law suspend does. Needed: the story must strike an instrument with the tool that people have.
	Suspend func(Strike) error
}

// Strike names an instrument that is to be suspended, as the command line does: with the suspensions file, the key file and the id of the key.
type Strike struct{ Instrument, Reason, File, Key, KeyID string }

// story is the play while it runs.
type story struct {
	*world
	o     Options
	node  *cordon.Node
	began time.Time
	step  int
	dest  netip.AddrPort
	grant approval.Ticket
	drill *drilling
}

// scene is one step of the story: what is claimed, and the observation that must hold.
type scene struct {
	title string
	play  func(ctx context.Context, s *story) error
}

// Run plays the story. The error names the first claim that was not observed.
func Run(ctx context.Context, o Options) error {
	began := time.Now()
	if o.Out == nil || o.Suspend == nil {
		return errors.New("demo: Out and Suspend are required")
	}
	if o.Dir == "" {
		dir, err := os.MkdirTemp("", "cordon-demo-")
		if err != nil {
			return err
		}
		if o.Drill == nil {
			defer os.RemoveAll(dir)
		}
		o.Dir = dir
	}
	if err := emptyDir(o.Dir); err != nil {
		return err
	}
	quit := ctx.Done()
	if o.Drill != nil {
		ctx = context.WithoutCancel(ctx)
	}
	w, err := newWorld(ctx, o.Dir, o.Drill)
	if err != nil {
		return err
	}
	defer w.close()
	s := &story{world: w, o: o, began: began}
	if err := s.startNode(ctx); err != nil {
		return err
	}
	defer s.stop()
	if o.Drill != nil {
		return s.exercise(ctx, quit)
	}
	if err := s.tell(ctx, scenes()); err != nil {
		return err
	}
	if o.Serve {
		return s.serve(ctx)
	}
	return s.epilogue(ctx)
}

// tell plays one scene after the other, as far as each is observed.
func (s *story) tell(ctx context.Context, list []scene) error {
	for _, sc := range list {
		s.step++
		s.say("\n%s %s", s.mark(fmt.Sprintf("[%d]", s.step)), s.mark(sc.title))
		if err := sc.play(ctx, s); err != nil {
			s.say("    %s %v", s.red("NOT OBSERVED:"), err)
			return fmt.Errorf("demo: step %d (%s): %w", s.step, sc.title, err)
		}
	}
	return nil
}

// emptyDir makes the folder, and refuses one that holds something: an older log or suspension would be part of the story.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if len(list) > 0 {
		return fmt.Errorf("demo: %s is not empty: name a new folder", dir)
	}
	return nil
}

func (s *story) startNode(ctx context.Context) error {
	cfg, err := configs.Load(filepath.Join(s.dir, "cordon.yaml"))
	if err != nil {
		return err
	}
	s.node, err = cordon.New(ctx, cordon.Options{
		Config: cfg, Net: s.wire, Software: s.o.Software, Console: prefixed{s.o.Out, "    duty room | "}, Logger: s.o.Logger,
	})
	if err != nil {
		return err
	}
	if err := s.node.Start(ctx); err != nil {
		return err
	}
	addr := s.node.Addrs()[0]
	s.dest, err = netip.ParseAddrPort(strings.Fields(addr)[1])
	return err
}

// stop ends the node; a second stop does nothing.
func (s *story) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.node.Stop(ctx, 0); err != nil {
		s.say("stopping: %v", err)
	}
}

// prefixed puts a word before each line.
type prefixed struct {
	w    io.Writer
	word string
}

func (p prefixed) Write(b []byte) (int, error) {
	text := p.word + strings.ReplaceAll(strings.TrimRight(string(b), "\n"), "\n", "\n"+p.word) + "\n"
	if _, err := io.WriteString(p.w, text); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (s *story) say(format string, args ...any) { fmt.Fprintf(s.o.Out, format+"\n", args...) }

func (s *story) paint(code, text string) string {
	if !s.o.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s *story) mark(t string) string  { return s.paint("1", t) }
func (s *story) green(t string) string { return s.paint("32", t) }
func (s *story) red(t string) string   { return s.paint("31", t) }
func (s *story) amber(t string) string { return s.paint("33", t) }

// heard is what the caller knows of one call, and what the log says of it.
type heard struct {
	status  int
	took    time.Duration // INVITE to the final response
	rang    time.Duration // INVITE to 180; 0 when it never rang
	matched int
	sent    int
	rtt     time.Duration
	reason  string
	receipt audit.Receipt
}

// talk is how long the calls of the story last: enough for a known tone to go out and come back.
const talk = 1200 * time.Millisecond

// call places one call from the carrier, talks, hangs up, and fetches the receipt.
func (s *story) call(ctx context.Context) (heard, error) {
	from := s.node.Log().Size()
	c, err := s.carrier.Call(ctx, callOptions(s.dest))
	if err != nil {
		return heard{}, err
	}
	wait, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	h := heard{}
	if h.status, err = c.WaitFinal(wait); err != nil {
		return h, fmt.Errorf("no final response: %w", err)
	}
	h.took = time.Since(c.Began())
	for _, e := range c.Events() {
		if e.Status == 180 && h.rang == 0 {
			h.rang = e.At.Sub(c.Began())
		}
	}
	h.reason = strings.Join(c.Header("Reason"), ", ")
	select {
	case <-c.Done():
	case <-wait.Done():
		return h, errors.New("the call did not end")
	}
	m := c.Media()
	h.matched, h.sent, h.rtt = m.Matched, m.Sent, m.RTTMean
	h.receipt, err = s.receiptAfter(wait, from)
	return h, err
}

// receiptAfter waits for the next receipt in the log.
func (s *story) receiptAfter(ctx context.Context, from uint64) (audit.Receipt, error) {
	for {
		list, err := s.node.Log().Entries(ctx, from, 64)
		if err != nil {
			return audit.Receipt{}, err
		}
		for _, e := range list {
			from = e.Seq + 1
			if e.Kind == audit.KindReceipt {
				var r audit.Receipt
				return r, json.Unmarshal(e.Body, &r)
			}
		}
		select {
		case <-ctx.Done():
			return audit.Receipt{}, errors.New("no receipt was written for the call")
		case <-s.node.Log().Grown(from):
		}
	}
}

// expectAnswer checks that a call was answered at a site, with its audio intact both ways.
func (s *story) expectAnswer(h heard, at, reason string) error {
	switch {
	case h.status != 200:
		return fmt.Errorf("the caller heard %d %s", h.status, h.reason)
	case h.receipt.EdgeGroup != at:
		return fmt.Errorf("the call was answered by %q, not %q", h.receipt.EdgeGroup, at)
	case h.receipt.RouteReason != reason:
		return fmt.Errorf("the receipt says %q, not %q", h.receipt.RouteReason, reason)
	case h.matched < h.sent*8/10 || h.matched == 0:
		return fmt.Errorf("of %d tone packets %d came back", h.sent, h.matched)
	}
	site := s.site(at)
	q := audit.LegQuality{}
	for _, leg := range h.receipt.Outcome.Quality {
		if leg.Leg == "b" {
			q = leg
		}
	}
	s.say("    %s carrier > edge > %s (%s, %s)  rang %d ms, answered %d ms", s.green("200"), site.City, site.Region, site.Country, h.rang.Milliseconds(), h.took.Milliseconds())
	s.say("        SRTP echo %d/%d packets, round trip %.1f ms; from %s: lost %d, jitter %.2f ms, MOS %.2f; receipt: %s, %s",
		h.matched, h.sent, float64(h.rtt)/1e6, site.City, q.Lost, q.JitterMS, q.MOS, h.receipt.RouteReason, h.receipt.Overall)
	return nil
}

// expectHeld checks that a call was refused by the policy and not by a failure.
func (s *story) expectHeld(h heard) error {
	if h.status != 403 || h.receipt.Overall != "refused_by_policy" {
		return fmt.Errorf("the caller heard %d and the receipt says %q", h.status, h.receipt.Overall)
	}
	s.say("    %s %s", s.amber("403"), h.reason)
	for _, a := range h.receipt.Attempts {
		if a.Verdict != "permit" {
			s.say("        %s %s %s: %s (%s)", a.Party, a.Region, a.Country, a.Verdict, a.Ground)
		}
	}
	return nil
}

// until waits for a condition that other people bring about; it looks every few milliseconds, as somebody at a screen would.
func until(ctx context.Context, what string, limit time.Duration, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: not within %s", what, limit)
		case <-tick.C:
		}
	}
	return nil
}

// isState says whether every target of a party is in a state.
func (s *story) isState(party string, want healthcheck.State) bool {
	list := s.node.Checker().Table().ByParty[party]
	for _, t := range list {
		if t.State != want {
			return false
		}
	}
	return len(list) > 0
}

// permitted asks the policy in force, as routing does.
func (s *story) permitted(party string) sovereign.Ruling {
	return s.node.Fence().Snapshot().JudgeParty(party, sovereign.Media, sovereign.Production, time.Now())
}

package drill

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
)

const script = `drill: two
version: 1
title: The first choice goes twice
class: primary_region_loss
authors: [anna]
modes: [simulation]
calls:
  - {called: "+4969900100", each: 2s, hold: 5s}
take:
  - {what: {group: fra}, how: blackhole, at: 10500ms, for: 19500ms}
  - {what: {group: fra}, how: flapping, every: 2500ms, at: 40s, for: 10s}
expect:
  - {failed: {at_most: 0%}}
  - {switched: {within: 5s}}
  - {refused: {party: forbidden}}
end: {after: 1m, restore: 5s}
`

func play(t *testing.T) *scenario.Play {
	t.Helper()
	s, probs := scenario.Read("a", []byte(script))
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	p, probs := s.Bind(scenario.World{
		Parties: []scenario.Party{{Name: "carrier", Trunk: true, Region: "a:b", Standing: scenario.Permitted}, {Name: "fra", Region: "a:c", Standing: scenario.Permitted}, {Name: "zrh", Region: "a:d", Standing: scenario.Permitted}},
		Routes:  []scenario.Route{{Name: "line", From: []string{"carrier"}, To: []string{"fra", "zrh"}}},
	}, "")
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	return p
}

// node is a node in a few lines: what is gone, since when, and until when by its lease.
type node struct {
	start time.Time

	mu      sync.Mutex
	gone    []scenario.Taken
	until   time.Time
	history []string
	back    time.Time                            // when the last thing was given back
	heals   time.Duration                        // how long after it the node is as before
	forced  time.Duration                        // and when it is helped; 0: as above
	helped  time.Time                            // since when it is
	broken  error                                // of Take
	hangs   func(at time.Duration) time.Duration // Take
	slow    func(at time.Duration) time.Duration // Now
	stuck   string
	pulse   func(at time.Duration) Pulse
}

func (n *node) Take(_ context.Context, gone []scenario.Taken, until time.Time) error {
	if n.hangs != nil {
		time.Sleep(n.hangs(time.Since(n.start)))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.broken != nil {
		return n.broken
	}
	if was, is := names(n.gone), names(gone); was != is {
		n.history = append(n.history, fmt.Sprintf("%s %s", time.Since(n.start), is))
	}
	if len(n.gone) > 0 && len(gone) == 0 {
		n.back = time.Now()
	}
	n.gone, n.until = gone, until
	return nil
}

func names(gone []scenario.Taken) string {
	var out []string
	for _, g := range gone {
		out = append(out, string(g.How))
	}
	return strings.Join(out, "+")
}

func (n *node) Stands() (bool, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.stuck != "":
		return false, n.stuck
	case time.Since(n.back) < n.heals && (n.helped.IsZero() || time.Since(n.helped) < n.forced):
		return false, "fra is down"
	}
	return len(n.gone) == 0, "something is gone"
}

func (n *node) AsBefore(context.Context) (bool, string) {
	if n.forced > 0 && n.helped.IsZero() {
		n.helped = time.Now()
	}
	return n.Stands()
}

func (n *node) Call(ctx context.Context, l scenario.Load) measure.Call {
	n.mu.Lock()
	c := measure.Call{Placed: time.Now(), Party: "fra", MOS: 4.2, Status: 200}
	if len(n.gone) > 0 && time.Now().Before(n.until) {
		c.Party = "zrh"
	}
	n.mu.Unlock()
	c.Answered = c.Placed.Add(time.Second)
	select {
	case <-time.After(time.Second + time.Duration(l.Hold)):
	case <-ctx.Done():
	}
	c.Ended = time.Now()
	return c
}

func (n *node) Since(time.Time) measure.Seen {
	return measure.Seen{Refused: []measure.Attempt{{At: n.start, Party: scenario.Nowhere}}}
}

func (n *node) Now() Pulse {
	if n.slow != nil {
		time.Sleep(n.slow(time.Since(n.start)))
	}
	if n.pulse == nil {
		return Pulse{}
	}
	return n.pulse(time.Since(n.start))
}

// from gives something from a moment on, and nothing before and after.
func from[T any](begin, end time.Duration, v T) func(time.Duration) T {
	return func(at time.Duration) (none T) {
		if at >= begin && at < end {
			return v
		}
		return none
	}
}

// once hangs a single time.
func once(at, d time.Duration) func(time.Duration) time.Duration { return from(at, at+1, d) }

func TestAPlayTakesAndGivesBackOnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{start: time.Now()}
		var steps []string
		r := &Run{Play: play(t), Hands: n, Caller: n, Watch: n, Told: func(s Step) { steps = append(steps, fmt.Sprintf("%s %s", s.At.Sub(n.start), s.Word)) }}
		res := r.Do(t.Context())
		if res.Outcome != Passed {
			t.Errorf("%s: %s %+v", res.Outcome, res.Cause, res.Judgements)
		}
		if want := "10.5s blackhole; 30s ; 40s flapping; 42.5s ; 45s flapping; 47.5s "; strings.Join(n.history, "; ") != want {
			t.Errorf("%s, want %s", strings.Join(n.history, "; "), want)
		}
		if want := "0s began; 10.5s taken; 30s given_back; 40s taken; 42.5s given_back; 45s taken; 47.5s given_back; 1m0s restoring; 1m0s restored"; strings.Join(steps, "; ") != want {
			t.Errorf("%s, want %s", strings.Join(steps, "; "), want)
		}
		if len(res.Seen.Calls) != 30 || !slices.IsSortedFunc(res.Seen.Calls, func(a, b measure.Call) int { return a.Placed.Compare(b.Placed) }) {
			t.Errorf("%d calls", len(res.Seen.Calls))
		}
		if res.Figures.RTO == nil || *res.Figures.RTO != 2.5 || *res.Figures.Restore != 0 || len(res.Seen.Taken) != 3 {
			t.Errorf("%+v", res.Figures)
		}
	})
}

// Restoring is measured from the last giving back, or from the order to end where that was not enough, until the node is as before.
func TestHowLongRestoringTook(t *testing.T) {
	for name, c := range map[string]struct {
		node  *node
		stop  time.Duration // 0: it runs to its end
		took  time.Duration
		since time.Duration // the start
		says  string
	}{
		"nothing was hurt":               {&node{}, 0, 0, 47500 * time.Millisecond, "0s after the last giving back"},
		"by itself":                      {&node{heals: 3200 * time.Millisecond}, 0, 3200 * time.Millisecond, 50700 * time.Millisecond, "3.2s after the last giving back"},
		"not by itself":                  {&node{heals: time.Hour, forced: 1500 * time.Millisecond}, 0, 1500 * time.Millisecond, 61500 * time.Millisecond, "1.5s after the order to end"},
		"stopped while it is gone":       {&node{heals: time.Hour, forced: 800 * time.Millisecond}, 12 * time.Second, 800 * time.Millisecond, 12800 * time.Millisecond, "800ms after the order to end"},
		"stopped after it was back":      {&node{heals: 2 * time.Second}, 35 * time.Second, 2 * time.Second, 32 * time.Second, "2s after the last giving back"},
		"stopped before it is as before": {&node{heals: 8 * time.Second, forced: time.Second}, 35 * time.Second, time.Second, 36 * time.Second, "1s after the order to end"},
		"stopped before anything":        {&node{}, 5 * time.Second, 0, 5 * time.Second, "0s after the order to end"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := c.node
				n.start = time.Now()
				stop := make(chan string, 1)
				if c.stop != 0 {
					time.AfterFunc(c.stop, func() { stop <- "enough" })
				}
				var last Step
				res := (&Run{Play: play(t), Hands: n, Caller: n, Watch: n, Stop: stop, Told: func(s Step) { last = s }}).Do(t.Context())
				took, since := res.Seen.Restored.Sub(res.Seen.Restoring), res.Seen.Restored.Sub(n.start)
				if took.Round(lookEvery) != c.took || since.Round(lookEvery) != c.since || *res.Figures.Restore != took.Milliseconds() {
					t.Errorf("it took %s, and is as before since %s (%d ms), want %s since %s", took, since, *res.Figures.Restore, c.took, c.since)
				}
				if last.Word != "restored" || !strings.HasSuffix(last.What, c.says) {
					t.Errorf("the last step is %q %q, want %q", last.Word, last.What, c.says)
				}
			})
		})
	}
}

func TestWhatEndsAPlay(t *testing.T) {
	for name, c := range map[string]struct {
		node    *node
		stop    time.Duration // people stop it then; 0: they do not
		cancel  time.Duration
		outcome Outcome
		cause   string
		after   time.Duration // when everything was given back
	}{
		"people":                      {&node{}, 12300 * time.Millisecond, 0, Aborted, "stopped by people: enough", 12300 * time.Millisecond},
		"the node stops":              {&node{}, 0, 15500 * time.Millisecond, Aborted, "the node stops", 15500 * time.Millisecond},
		"the node stops early":        {&node{stuck: "line is not on fra"}, 0, 15500 * time.Millisecond, NotRestored, "line is not on fra", 15500 * time.Millisecond},
		"production fails":            {&node{pulse: from(12*time.Second, time.Hour, Pulse{Failures: 0.06})}, 0, 0, Aborted, "6.0% of the calls of production fail beyond what failed before, more than 5%, for 3s", 15 * time.Second},
		"production sounds bad":       {&node{pulse: from(12*time.Second, time.Hour, Pulse{MOS: 3.1})}, 0, 0, Aborted, "sound like 3.10, below 3.50", 15 * time.Second},
		"the node is busy":            {&node{pulse: from(12*time.Second, time.Hour, Pulse{CPU: 0.9})}, 0, 0, Aborted, "90% busy, more than 85%", 15 * time.Second},
		"a moment is no condition":    {&node{pulse: from(12*time.Second, 14*time.Second, Pulse{CPU: 0.9})}, 0, 0, Passed, "", time.Minute},
		"nobody talks":                {&node{pulse: from(0, time.Hour, Pulse{})}, 0, 0, Passed, "", time.Minute},
		"something real":              {&node{pulse: from(12*time.Second, time.Hour, Pulse{Event: "zrh is down"})}, 0, 0, Aborted, "something real happened: zrh is down", 12 * time.Second},
		"nobody looks":                {&node{slow: once(12*time.Second, time.Minute)}, 0, 0, Aborted, "nobody looked at production for 3s", 15 * time.Second},
		"people, while nobody looks":  {&node{slow: once(12*time.Second, time.Minute)}, 13300 * time.Millisecond, 0, Aborted, "stopped by people: enough", 13300 * time.Millisecond},
		"a look that takes its time":  {&node{slow: once(12*time.Second, 2*time.Second)}, 0, 0, Passed, "", time.Minute},
		"hands that hang":             {&node{hangs: once(12*time.Second, 5*time.Second)}, 0, 0, Aborted, "nobody looked at production for 3s", 15 * time.Second},
		"slow hands, then slow eyes":  {&node{hangs: once(11*time.Second, 2*time.Second), slow: once(13*time.Second, 2*time.Second)}, 0, 0, Aborted, "nobody looked at production for 4s", 15 * time.Second},
		"hands that stay so":          {&node{hangs: from(12*time.Second, time.Hour, time.Hour)}, 0, 0, NotRestored, "nothing could be given back: the node does not answer", 15 * time.Second},
		"what cannot be taken":        {&node{broken: errors.New("no hands")}, 0, 0, NotRestored, "nothing could be given back: no hands", 0},
		"what is not as it was":       {&node{stuck: "line is not on fra"}, 0, 0, NotRestored, "line is not on fra", time.Minute},
		"a stop, and nothing is back": {&node{stuck: "line is not on fra"}, 12300 * time.Millisecond, 0, NotRestored, "line is not on fra", 12300 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := c.node
				n.start = time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				stop := make(chan string, 1)
				if c.stop != 0 {
					time.AfterFunc(c.stop, func() { stop <- "enough" })
				}
				if c.cancel != 0 {
					time.AfterFunc(c.cancel, cancel)
				}
				res := (&Run{Play: play(t), Hands: n, Caller: n, Watch: n, Stop: stop}).Do(ctx)
				if res.Outcome != c.outcome || !strings.Contains(res.Cause, c.cause) {
					t.Errorf("%s: %q, want %s: %q", res.Outcome, res.Cause, c.outcome, c.cause)
				}
				if got := res.Seen.End.Sub(n.start); got != c.after {
					t.Errorf("it ended after %s, want %s", got, c.after)
				}
				n.mu.Lock()
				if len(n.gone) != 0 && time.Now().Before(n.until) {
					t.Error("something is still gone")
				}
				n.mu.Unlock()
				bound := c.after + 5*time.Second
				if c.cancel != 0 {
					bound = c.after + Hurry
				}
				if n.hangs != nil {
					bound += Lease
				}
				if time.Since(n.start) > bound {
					t.Errorf("it took %s to restore, more than the scenario gives", time.Since(n.start)-c.after)
				}
				for _, x := range res.Seen.Taken {
					if x.Back.IsZero() && (res.Outcome != NotRestored || n.stuck != "") { // hands that hang let nobody know
						t.Error("a taking has no end on record")
					}
				}
				if n.hangs != nil || n.slow != nil {
					time.Sleep(2 * time.Hour) // until what was left behind is over, too
				}
			})
		})
	}
}

func TestALeaseEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &node{start: time.Now()}
		p := play(t)
		r := &Run{Play: p, Hands: n, Caller: n, Watch: n}
		r.start, r.open = n.start, map[int]int{}
		time.Sleep(10 * time.Second)
		if cause := r.take(t.Context(), 10*time.Second); cause != "" { // and the runner is gone
			t.Fatal(cause)
		}
		if n.until.Sub(n.start) != 10*time.Second+Lease {
			t.Errorf("the lease ends after %s", n.until.Sub(n.start))
		}
	})
}

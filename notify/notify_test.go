package notify

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/background"
	"github.com/cordonsip/cordon/state"
)

// raw is an event with the words of a ticket, as the gate writes it.
type raw struct {
	Ticket string `json:"ticket"`
	What   string `json:"what"`
}

func (raw) Kind() audit.Kind { return audit.KindGateChanged }

// fake is a channel that fails as it is told to.
type fake struct {
	name string

	mu   sync.Mutex
	got  []Notice
	at   []time.Time
	plan []error // of the next attempts; then success
	hard bool    // an error is final
	hang bool
	late time.Duration // takes so long
}

func (f *fake) Name() string { return f.name }

func (f *fake) Send(ctx context.Context, n Notice) (bool, error) {
	f.mu.Lock()
	f.at = append(f.at, time.Now())
	hang, late := f.hang, f.late
	var err error
	if len(f.plan) > 0 {
		err, f.plan = f.plan[0], f.plan[1:]
	}
	if err == nil && !hang {
		f.got = append(f.got, n)
	}
	hard := f.hard
	f.mu.Unlock()
	if Pause(ctx, late); late > 0 && ctx.Err() != nil {
		return true, ctx.Err()
	}
	if hang {
		<-ctx.Done()
		return true, ctx.Err()
	}
	return !hard, err
}

func (f *fake) ids() (out []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, n := range f.got {
		out = append(out, n.ID)
	}
	return out
}

func (f *fake) attempts() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.at)
}

// told collects the calls back.
type told struct {
	mu   sync.Mutex
	list []string
	errs []error
}

func (t *told) call(_ context.Context, ticket, channel, failure string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.errs) > 0 {
		err := t.errs[0]
		t.errs = t.errs[1:]
		return err
	}
	t.list = append(t.list, ticket+" "+channel+" "+failure)
	return nil
}

func (t *told) all() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]string{}, t.list...)
}

type world struct {
	t    *testing.T
	log  audit.Log
	kv   state.KV
	told told
}

func newWorld(t *testing.T) *world {
	t.Helper()
	log, err := audit.Memory(audit.Config{
		Signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Origin: "test/notify", Tenant: "bank", Node: "n1",
	})
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, log: log, kv: state.Memory()}
	t.Cleanup(func() {
		w.kv.Close()
		log.Close(context.Background())
	})
	return w
}

func (w *world) add(e audit.Event) {
	w.t.Helper()
	if _, err := w.log.Append(w.t.Context(), e); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) follower(channels ...Routed) *Follower {
	w.t.Helper()
	f, err := New(Config{Log: w.log, KV: w.kv, Channels: channels, Told: w.told.call})
	if err != nil {
		w.t.Fatal(err)
	}
	return f
}

func (w *world) run(f *Follower) (stop func()) {
	return background.Run(w.t, f.Run)
}

func TestDeliversInOrderAndTellsTheGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(audit.NodeStarted{})
		w.add(raw{"T1", "proposed"})
		w.add(audit.Failover{What: audit.KindFailoverHeld, Route: "in", Ticket: "T1"})
		w.add(raw{"T1", "notified"})
		w.add(audit.CallEnded{CallRef: "x"})
		c := &fake{name: "ops"}
		metrics := prometheus.NewPedanticRegistry()
		f, err := New(Config{Log: w.log, KV: w.kv, Channels: []Routed{{Channel: c}}, Told: w.told.call, Metrics: metrics})
		if err != nil {
			t.Fatal(err)
		}
		defer w.run(f)()
		synctest.Wait()
		w.add(raw{"T1", "decided"})
		synctest.Wait()
		var kinds []string
		for _, n := range c.got {
			kinds = append(kinds, fmt.Sprintf("%d:%s", n.Seq, n.Kind))
		}
		if got := strings.Join(kinds, " "); got != "0:node.started 1:gate.changed 2:failover.held 5:gate.changed" {
			t.Errorf("delivered %s", got)
		}
		if got := strings.Join(w.told.all(), "|"); got != "T1 ops |T1 ops " {
			t.Errorf("told %q", got)
		}
		if n := testutil.ToFloat64(f.deliveries.WithLabelValues("ops", "delivered")); n != 4 {
			t.Errorf("%v deliveries counted", n)
		}
	})
}

func TestCursorSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := &fake{name: "ops"}
		for round := range 3 {
			w.add(raw{fmt.Sprintf("T%d", round), "proposed"})
			stop := w.run(w.follower(Routed{Channel: c}))
			synctest.Wait()
			w.add(audit.CallEnded{}) // passed, and never told
			synctest.Wait()
			stop()
		}
		if ids := c.ids(); len(ids) != 3 {
			t.Errorf("3 notices were delivered %d times", len(ids))
		}
	})
}

// lossy is a store that loses cursors on their way, as a crash between the delivery and the writing would.
type lossy struct {
	state.KV
	lose bool
}

func (k *lossy) Swap(ctx context.Context, key string, rev uint64, data []byte) (uint64, error) {
	if k.lose {
		return 0, errors.New("power cut")
	}
	return k.KV.Swap(ctx, key, rev, data)
}

func TestACrashRepeatsAndNeverForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		kv := &lossy{KV: w.kv}
		c := &fake{name: "ops"}
		f := func() *Follower {
			f, err := New(Config{Log: w.log, KV: kv, Channels: []Routed{{Channel: c}}, Told: w.told.call})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		stop := w.run(f())
		synctest.Wait()
		kv.lose = true
		w.add(raw{"T1", "proposed"})
		synctest.Wait()
		stop()
		kv.lose = false
		defer w.run(f())()
		synctest.Wait()
		ids := c.ids()
		if len(ids) != 2 || ids[0] != ids[1] {
			t.Errorf("delivered as %q, want twice under one id", ids)
		}
	})
}

func TestRetries(t *testing.T) {
	fail := errors.New("receiver is ill")
	for _, c := range []struct {
		name     string
		plan     []error
		hard     bool
		hang     bool
		attempts int
		least    time.Duration // of the whole
		most     time.Duration
		told     string
	}{
		{"at once", nil, false, false, 1, 0, 0, "T1 ops "},
		{"twice ill", []error{fail, fail}, false, false, 3, 750 * time.Millisecond, 1500 * time.Millisecond, "T1 ops "},
		{"asked to wait", []error{&RetryAfter{7 * time.Second, fail}}, false, false, 2, 7 * time.Second, 7 * time.Second, "T1 ops "},
		{"asked to wait for ever", []error{&RetryAfter{24 * time.Hour, fail}}, false, false, 2, 30 * time.Second, 30 * time.Second, "T1 ops "},
		{"no sense in another", []error{fail}, true, false, 1, 0, 0, "T1 ops attempt 1: receiver is ill"},
		{"ill for good", []error{fail, fail, fail, fail, fail, fail, fail}, false, false, 6, 7750 * time.Millisecond, 15500 * time.Millisecond, "T1 ops attempt 6: receiver is ill"},
		{"hangs", nil, false, true, 6, 67 * time.Second, 76 * time.Second, "T1 ops attempt 6: context deadline exceeded"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				ch := &fake{name: "ops", plan: c.plan, hard: c.hard, hang: c.hang}
				w.add(raw{"T1", "proposed"})
				start := time.Now()
				defer w.run(w.follower(Routed{Channel: ch}))()
				for len(w.told.all()) == 0 && time.Since(start) < 10*time.Minute {
					time.Sleep(time.Millisecond)
					synctest.Wait()
				}
				took := time.Since(start)
				if got := strings.Join(w.told.all(), "|"); got != c.told {
					t.Errorf("told %q, want %q", got, c.told)
				}
				if ch.attempts() != c.attempts || took < c.least || took > c.most+5*time.Millisecond {
					t.Errorf("%d attempts in %v, want %d in %v to %v", ch.attempts(), took, c.attempts, c.least, c.most)
				}
			})
		})
	}
}

func TestTheTellingIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		down := fmt.Errorf("no disk: %w", audit.ErrLogDown)
		for range 30 {
			w.told.errs = append(w.told.errs, down) // longer than any count of attempts
		}
		c := &fake{name: "ops"}
		w.add(raw{"T1", "proposed"})
		w.add(raw{"T2", "proposed"})
		defer w.run(w.follower(Routed{Channel: c}))()
		time.Sleep(time.Hour)
		if got := strings.Join(w.told.all(), "|"); got != "T1 ops |T2 ops " {
			t.Errorf("told %q", got)
		}
		for range 6 {
			w.told.errs = append(w.told.errs, errors.New("no such ticket"))
		}
		w.add(raw{"T3", "proposed"})
		w.add(raw{"T4", "proposed"})
		time.Sleep(time.Hour)
		if got := strings.Join(w.told.all(), "|"); got != "T1 ops |T2 ops |T4 ops " {
			t.Errorf("told %q", got)
		}
	})
}

func TestOneChannelDoesNotHoldAnother(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		slow, quick := &fake{name: "slow", hang: true}, &fake{name: "quick"}
		w.add(raw{"T1", "proposed"})
		defer w.run(w.follower(Routed{Channel: slow}, Routed{Channel: quick, Kinds: []string{"gate.changed"}}))()
		synctest.Wait()
		if len(quick.ids()) != 1 || strings.Join(w.told.all(), "|") != "T1 quick " {
			t.Errorf("delivered %d, told %q", len(quick.ids()), w.told.all())
		}
	})
}

// The failure has a name of its own, and with it a place in the log, beside a channel that is called none.
func TestWithoutChannelsTheFailureIsOnRecord(t *testing.T) {
	for name, record := range map[string]string{"nodes": "none", "none": "none at all"} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			c := &fake{name: name}
			w.add(raw{"T1", "proposed"})
			w.add(audit.NodeStarted{})
			stop := w.run(w.follower(Routed{Channel: c, Kinds: []string{"node.*"}}))
			synctest.Wait()
			if got := strings.Join(w.told.all(), "|"); got != "T1 "+record+" attempt 1: no channel is configured to carry tickets" {
				t.Errorf("told %q", got)
			}
			if len(c.ids()) != 1 {
				t.Errorf("the other channel got %d notices", len(c.ids()))
			}
			stop()
			if list, err := w.kv.List(t.Context(), cursorPrefix); err != nil || len(list) != 2 {
				t.Errorf("%d places in the log are kept, %v", len(list), err)
			}
		})
	}
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		a, b := &fake{name: "a"}, &fake{name: "b"}
		f := w.follower(Routed{Channel: a})
		defer w.run(f)()
		w.add(raw{"T1", "proposed"})
		synctest.Wait()
		if err := f.Reload([]Routed{{Channel: a, Kinds: []string{"typo"}}}); err == nil {
			t.Error("an unknown kind was taken")
		}
		if err := f.Reload([]Routed{{Channel: a}, {Channel: a}}); err == nil {
			t.Error("one name was taken twice")
		}
		if err := f.Reload([]Routed{{Channel: b}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		w.add(raw{"T2", "proposed"})
		synctest.Wait()
		if len(a.ids()) != 1 || len(b.ids()) != 2 {
			t.Errorf("the old channel got %d, the new one %d; want 1, and 2 with what is young", len(a.ids()), len(b.ids()))
		}
		if err := f.Reload([]Routed{{Channel: a}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if ids := a.ids(); len(ids) != 2 || ids[1] != b.ids()[1] {
			t.Errorf("a channel that came back got %q", ids)
		}
	})
}

func TestANewChannelTellsNoOldStories(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for i := range 300 {
			w.add(raw{fmt.Sprint("old", i), "decided"})
		}
		time.Sleep(time.Hour + time.Second)
		for i := range 300 {
			w.add(raw{fmt.Sprint("young", i), "decided"})
		}
		c := &fake{name: "ops"}
		defer w.run(w.follower(Routed{Channel: c}))()
		synctest.Wait()
		if n := len(c.ids()); n != 300 || c.got[0].Ticket != "young0" {
			t.Errorf("%d notices, the first of %s", n, c.got[0].Ticket)
		}
	})
}

// A cursor that points past the log belongs to another one.
func TestCursorThatDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := &fake{name: "ops"}
		w.add(raw{"T1", "decided"})
		stop := w.run(w.follower(Routed{Channel: c}))
		synctest.Wait()
		stop()
		items, err := w.kv.List(t.Context(), cursorPrefix)
		if err != nil || len(items) != 1 {
			t.Fatal(items, err)
		}
		for _, bad := range []string{`{"next":99}`, `nonsense`} {
			item, _ := w.kv.Get(t.Context(), items[0].Key)
			if _, err := w.kv.Swap(t.Context(), item.Key, item.Rev, []byte(bad)); err != nil {
				t.Fatal(err)
			}
			before := len(c.ids())
			stop := w.run(w.follower(Routed{Channel: c}))
			synctest.Wait()
			stop()
			if len(c.ids()) != before+1 {
				t.Errorf("after %s: %d notices more", bad, len(c.ids())-before)
			}
		}
	})
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]Config{
		"no log":          {KV: w.kv},
		"no store":        {Log: w.log},
		"unknown kind":    {Log: w.log, KV: w.kv, Channels: []Routed{{Channel: &fake{name: "a"}, Kinds: []string{"call.ended"}}}},
		"no name":         {Log: w.log, KV: w.kv, Channels: []Routed{{Channel: &fake{}, Kinds: nil}}},
		"a name of books": {Log: w.log, KV: w.kv, Channels: []Routed{{Channel: &fake{name: strings.Repeat("x", 65)}, Kinds: nil}}},
	} {
		if _, err := New(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestConsole(t *testing.T) {
	var out bytes.Buffer
	c := Console("tty", &out)
	n, _ := noticeOf(entry(audit.KindFailoverHeld, `{"route":"in","ticket":"T1","why":"two\nlines"}`))
	if retry, err := c.Send(t.Context(), n); retry || err != nil {
		t.Fatal(retry, err)
	}
	want := "2026-11-21T12:00:00Z edge-1 entry=7 failover.held route=\"in\" ticket=\"T1\" why=\"two\\nlines\"\n"
	if c.Name() != "tty" || out.String() != want {
		t.Errorf("%s wrote %q, want %q", c.Name(), out.String(), want)
	}
	if retry, err := Console("tty", brokenWriter{}).Send(t.Context(), n); !retry || err == nil {
		t.Errorf("a broken console gave %v, %v", retry, err)
	}
}

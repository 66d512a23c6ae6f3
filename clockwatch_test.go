package cordon

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/state"
)

// sayings are the entries about the clock, in short.
func sayings(t *testing.T, l audit.Log) (out []string) {
	t.Helper()
	list, err := l.Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		ev, err := audit.Decode(e)
		if err != nil {
			t.Fatal(err)
		}
		switch ev := ev.(type) {
		case audit.ClockQuality:
			out = append(out, fmt.Sprintf("%s %v %s %g", ev.Cause, ev.Synchronised, ev.Reference, ev.StepMS))
		case audit.ClockAlarm:
			out = append(out, fmt.Sprintf("%s! %g", ev.What, ev.StepMS))
		}
	}
	return out
}

// TestTheClockIsWatched holds what is said of a clock second by second: at the start, each hour, when it changes, when it jumps; and when people hear of it.
func TestTheClockIsWatched(t *testing.T) {
	synced, free, mute := osnet.ClockReading{Known: true, Synced: true, Source: osnet.SourceSynced}, osnet.ClockReading{Known: true, Source: osnet.SourceUnsynced}, osnet.ClockReading{Source: osnet.SourceUnknown}
	type span struct {
		r    osnet.ClockReading
		for_ time.Duration
		jump time.Duration // of the wall clock, at its beginning
	}
	for name, c := range map[string]struct {
		spans []span
		want  []string
	}{
		"quiet for three hours": {[]span{{synced, 3*time.Hour + time.Minute, 0}}, []string{"start true PTB 0", "hourly true PTB 0", "hourly true PTB 0", "hourly true PTB 0"}},
		"lost and found":        {[]span{{synced, time.Minute, 0}, {free, 6 * time.Minute, 0}, {synced, time.Minute, 0}}, []string{"start true PTB 0", "changed false PTB 0", "unsynchronised! 0", "changed true PTB 0", "synchronised! 0"}},
		"a host that boots":     {[]span{{free, 4 * time.Minute, 0}, {synced, time.Hour, 0}}, []string{"start false PTB 0", "changed true PTB 0"}},
		"never synchronised":    {[]span{{free, 20 * time.Minute, 0}}, []string{"start false PTB 0", "unsynchronised! 0"}},
		"nobody says":           {[]span{{mute, 20 * time.Minute, 0}}, []string{"start false PTB 0"}},
		"goes back":             {[]span{{synced, time.Minute, 0}, {synced, time.Minute, -750 * time.Millisecond}}, []string{"start true PTB 0", "stepped_back! -750", "stepped true PTB -750"}},
		"goes back a little":    {[]span{{synced, time.Minute, 0}, {synced, time.Minute, -400 * time.Millisecond}}, []string{"start true PTB 0"}},
		"jumps ahead":           {[]span{{synced, time.Minute, 0}, {synced, time.Minute, time.Hour}}, []string{"start true PTB 0", "stepped true PTB 3.6e+06"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, l := watchedClock(t)
			part := configs.ClockPart{Source: "PTB", Step: 500 * time.Millisecond}
			wall, mono := w.begun, time.Duration(0)
			for _, s := range c.spans {
				wall = wall.Add(s.jump)
				for end := mono + s.for_; mono < end; mono += time.Second {
					w.look(t.Context(), part, s.r, wall, mono)
					wall = wall.Add(time.Second)
				}
			}
			if got := sayings(t, l); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("said %q, want %q", got, c.want)
			}
		})
	}
}

func watchedClock(t *testing.T) (*clockWatch, audit.Log) {
	t.Helper()
	k, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Memory(audit.Config{Signer: k.signer(), Origin: "cordon/bank-1/edge-1"})
	if err != nil {
		t.Fatal(err)
	}
	return clockOf(t, l, state.Memory()), l
}

// clockOf is the watch of one run over a log and a state.
func clockOf(t *testing.T, l audit.Log, kv state.KV) *clockWatch {
	t.Helper()
	w, err := newClockWatch(&Node{opts: Options{Metrics: prometheus.NewRegistry()}, log: l, kv: kv, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	w.recall(t.Context())
	return w
}

// TestTheNextRunEndsAnAlarm: whoever was told that the clock is wrong is told by another run that it is right again, once.
func TestTheNextRunEndsAnAlarm(t *testing.T) {
	synced, free := osnet.ClockReading{Known: true, Synced: true, Source: osnet.SourceSynced}, osnet.ClockReading{Known: true, Source: osnet.SourceUnsynced}
	first, l := watchedClock(t)
	part := configs.ClockPart{Source: "PTB", Step: 500 * time.Millisecond}
	run := func(w *clockWatch, r osnet.ClockReading, long time.Duration) {
		for at := time.Duration(0); at < long; at += time.Second {
			w.look(t.Context(), part, r, w.begun.Add(at), at)
		}
	}
	run(first, free, 6*time.Minute)
	second := clockOf(t, l, first.node.kv)
	run(second, free, time.Minute) // still wrong: nobody hears of it twice
	run(second, synced, time.Minute)
	run(clockOf(t, l, first.node.kv), synced, time.Minute)
	var alarms []string
	for _, s := range sayings(t, l) {
		if strings.Contains(s, "!") {
			alarms = append(alarms, s)
		}
	}
	if strings.Join(alarms, ", ") != "unsynchronised! 0, synchronised! 0" {
		t.Errorf("said %q", alarms)
	}
	if !second.bad.IsZero() {
		t.Error("the time since when it was wrong is kept")
	}
}

// TestAlarmsOutliveARun: what people were told of is known to the next run, and a state that cannot be read is no reason to stay silent.
func TestAlarmsOutliveARun(t *testing.T) {
	kv, since := state.Memory(), time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	quiet := slog.New(slog.DiscardHandler)
	a := recall(t.Context(), kv, quiet, "told.x")
	a.end(t.Context(), "in") // nothing was raised
	a.raise(t.Context(), "in", since)
	a.raise(t.Context(), "out", since)
	a.end(t.Context(), "out")
	b := recall(t.Context(), kv, quiet, "told.x")
	if !b.is("in") || b.is("out") || !b.told["in"].Equal(since) || recall(t.Context(), kv, quiet, "told.y").is("in") {
		t.Errorf("%v", b.told)
	}
	item, err := kv.Get(t.Context(), "told.x")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Swap(t.Context(), "told.x", item.Rev, []byte("{")); err != nil {
		t.Fatal(err)
	}
	if c := recall(t.Context(), kv, quiet, "told.x"); c.is("in") || c.told == nil {
		t.Errorf("%v", c.told)
	}
}

// TestWhatTheLogDidNotTakeOfTheClockIsDueAgain: a log that is closed takes nothing, and nothing is forgotten for it.
func TestWhatTheLogDidNotTakeOfTheClockIsDueAgain(t *testing.T) {
	w, l := watchedClock(t)
	part := configs.ClockPart{Step: 500 * time.Millisecond}
	r := osnet.ClockReading{Known: true, Synced: true, Source: osnet.SourceSynced}
	w.look(t.Context(), part, r, w.begun, 0)
	down, err := audit.Memory(audit.Config{Signer: mustKeys(t).signer(), Origin: "cordon/bank-1/edge-1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := down.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.node.log = down
	w.look(t.Context(), part, r, w.begun.Add(-time.Second), time.Second)
	w.node.log = l
	w.look(t.Context(), part, r, w.begun, 2*time.Second)
	if got := sayings(t, l); len(got) != 3 || got[1] != "stepped_back! -2000" || got[2] != "stepped true  -2000" {
		t.Errorf("said %q", got)
	}
}

func mustKeys(t *testing.T) *nodeKeys {
	t.Helper()
	k, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

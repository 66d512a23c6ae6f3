package cordon

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/observe"
	"github.com/cordonsip/cordon/drill/scenario"
)

// deafLog is a log of so many entries that cannot be read, at once or ever.
type deafLog struct {
	audit.Log
	size uint64
	err  error // nil: whoever reads waits
}

func (l *deafLog) Size() uint64                 { return l.size }
func (l *deafLog) Grown(uint64) <-chan struct{} { return nil }
func (l *deafLog) Entries(ctx context.Context, _ uint64, _ int) ([]audit.Entry, error) {
	if l.err == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return nil, l.err
}

// A drill that sees nothing more of the log must not go on: nobody would stop it for what is real.
func TestADrillThatSeesNothingEnds(t *testing.T) {
	for name, c := range map[string]struct {
		log   deafLog
		event string
		after time.Duration // since it is so
	}{
		"a log that cannot be read":   {deafLog{size: 7, err: errors.New("input/output error")}, "the log cannot be followed: input/output error", 0},
		"one that hangs":              {deafLog{size: 7}, "the log is not read: an entry waits for 6s", 6 * time.Second},
		"one in which nothing new is": {deafLog{size: 3}, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w := &drillWatch{n: &Node{log: &c.log}, o: observe.New(&scenario.Play{Scenario: &scenario.Scenario{}}, observe.Start{At: time.Now()}), first: 3}
				w.n.opts.Memory = true
				w.next.Store(w.first)
				go w.follow(ctx)
				start, event := time.Now(), ""
				for event == "" && time.Since(start) < time.Minute {
					synctest.Wait()
					if event = w.Now().Event; event == "" {
						time.Sleep(time.Second)
					}
				}
				if !strings.Contains(event, c.event) || c.event == "" && event != "" || event != "" && time.Since(start) != c.after {
					t.Errorf("%q after %s, want %q after %s", event, time.Since(start), c.event, c.after)
				}
			})
		})
	}
}

// What waits does not wait less because more comes behind it; who reads on is late by no more than what came meanwhile.
func TestLag(t *testing.T) {
	var l lag
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for i, c := range []struct {
		read, size uint64
		want       time.Duration
	}{{0, 0, 0}, {0, 5, 0}, {3, 9, time.Second}, {4, 12, 2 * time.Second}, {5, 15, 0}, {9, 15, time.Second}, {14, 20, 2 * time.Second}, {20, 20, 0}} {
		if got := l.of(at.Add(time.Duration(i)*time.Second), c.read, c.size); got != c.want {
			t.Errorf("%d: %s, want %s", i, got, c.want)
		}
	}
}

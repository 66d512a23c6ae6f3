package healthcheck

import (
	"net/netip"
	"testing"
	"time"
)

func TestWhatADrillTookIsBackWithOneAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		mood  string // while the drill runs
		then  string // and when it asks for its health back
		slow  time.Duration
		is    State
		after State // once a probe that had left before had its time
		late  State // and fifteen
	}{
		"it answers":                  {"silent", "", 0, Down, Up, Up},
		"it does not":                 {"silent", "silent", 0, Down, Down, Down},
		"it refuses":                  {"refused", "refused", 0, Down, Down, Down},
		"it was slow":                 {"", "", 400 * time.Millisecond, Degraded, Up, Up},
		"it is back in a few seconds": {"refused", "soon", 0, Down, Down, Up},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			live(t, w, watch(a1, a2), Settings{SlowRTT: 100 * time.Millisecond, Jitter: 0.0001}, func(k *Checker) {
				addr := netip.MustParseAddr(a1)
				wait(time.Minute)
				before := k.Table()
				w.set(a1, c.mood)
				w.mu.Lock()
				w.delay[addr] = c.slow
				w.mu.Unlock()
				wait(2 * time.Minute)
				state(t, k, id(1, a1), c.is, "")
				w.mu.Lock()
				w.delay[addr] = 0
				w.mu.Unlock()
				if w.set(a1, c.then); c.then == "soon" {
					w.set(a1, "refused")
				}
				k.Recall(before)
				wait(2600 * time.Millisecond) // a probe that left just before may still find nobody
				state(t, k, id(1, a1), c.after, "")
				if c.then == "soon" {
					w.set(a1, "")
				}
				wait(13 * time.Second)
				state(t, k, id(1, a1), c.late, "")
				if left := k.Recalling(); len(left) != 0 {
					t.Errorf("still waited for: %v", left)
				}
				state(t, k, id(2, a2), Up, "")
				was, _ := before.Status(id(1, a1))
				if is, _ := k.Table().Status(id(1, a1)); c.late == Up && !is.Since.Equal(was.Since) {
					t.Errorf("up since %s, and was since %s", is.Since, was.Since)
				}
			})
		})
	}
}

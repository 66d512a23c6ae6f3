package notify

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
)

// TestADrillTakesAChannelAway: nothing reaches it for a minute, which is more than all its attempts take, and then everything does, in order. A channel beside it notices nothing.
func TestADrillTakesAChannelAway(t *testing.T) {
	for name, c := range map[string]struct {
		impair.Effect
		least, most time.Duration // until the first notice arrives
	}{
		"fails":        {impair.Effect{Kind: impair.Fail}, time.Minute, time.Minute + 500*time.Millisecond},
		"hangs":        {impair.Effect{Kind: impair.Blackhole}, time.Minute, time.Minute + 2*time.Second}, // whatever it told of may be real
		"is slow":      {impair.Effect{Delay: 4 * time.Second}, 4 * time.Second, 4 * time.Second},
		"nearly so":    {impair.Effect{Delay: 9900 * time.Millisecond}, 9900 * time.Millisecond, 9900 * time.Millisecond}, // and the channel itself takes its time
		"is too slow":  {impair.Effect{Delay: time.Hour}, time.Minute, time.Minute + 2*time.Second},
		"fails slowly": {impair.Effect{Kind: impair.Fail, Delay: 3 * time.Second}, time.Minute, time.Minute + 4*time.Second},
		"nothing":      {impair.Effect{}, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, begun := newWorld(t), time.Now()
				siem, beside := &fake{name: "siem", late: 200 * time.Millisecond}, &fake{name: "beside"}
				w.add(raw{"T1", "proposed"})
				w.add(raw{"T2", "proposed"})
				f := w.follower(Routed{Channel: siem}, Routed{Channel: beside})
				f.c.Impaired = func(channel string) impair.Effect {
					if channel == "siem" && time.Since(begun) < time.Minute {
						return c.Effect
					}
					return impair.Effect{}
				}
				stop := w.run(f)
				synctest.Wait()
				if len(beside.ids()) != 2 {
					t.Errorf("%v arrived beside it", beside.ids())
				}
				if tried, err := f.Test(t.Context(), "siem"); err != nil || (tried[0].Failure != "") != (c.Kind != 0 || c.Delay > f.c.SendTimeout) {
					t.Errorf("a test of it: %+v, %v", tried, err)
				}
				time.Sleep(3 * time.Minute)
				stop()
				for _, r := range w.told.all() {
					if strings.Contains(r, "attempt") {
						t.Errorf("given up: %s", r)
					}
				}
				var at time.Duration
				for i, n := range siem.got {
					if n.Kind != KindTest {
						at = siem.at[i].Sub(begun)
						break
					}
				}
				if len(siem.ids()) < 2 || at < c.least || at > c.most {
					t.Errorf("%v arrived, the first one after %v", siem.ids(), at)
				}
			})
		})
	}
}

// TestADrillEndsWithTheNode: what hangs because of a drill does not hold its end up.
func TestADrillEndsWithTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.add(raw{"T1", "proposed"})
		f := w.follower(Routed{Channel: &fake{name: "siem"}})
		f.c.Impaired = func(string) impair.Effect { return impair.Effect{Kind: impair.Blackhole} }
		stop := w.run(f)
		synctest.Wait()
		begun := time.Now()
		if stop(); time.Since(begun) != 0 {
			t.Errorf("it ended after %v", time.Since(begun))
		}
	})
}

package sip

import (
	"reflect"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	msg "github.com/emiago/sipgo/sip"
)

// slowIntents are on the disk only when they are let go.
type slowIntents struct {
	audit.Intents
	mu   sync.Mutex
	slow bool
	held []func()
}

func (s *slowIntents) BeginAsync(ref string, at time.Time, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slow {
		s.held = append(s.held, func() { done(nil) })
		return
	}
	s.Intents.BeginAsync(ref, at, done)
}

// preparations gives those that wait for a call, of all loops.
func (w *world) preparations() (all []*preparation) {
	synctest.Wait()
	for _, s := range w.edge.shards {
		all = append(all, s.preps...)
	}
	return all
}

// TestAPreparationIsUsedAgain holds that nothing of a call is left in the preparation of the next one, and that one whose intent took too long is used no more: what
// it is told then must concern no other call.
func TestAPreparationIsUsedAgain(t *testing.T) {
	slow := &slowIntents{}
	run(t, func(c *Config) { slow.Intents, c.Intents, c.Loops = c.Intents, slow, 1 }, func(w *world) {
		blank := func() *preparation {
			t.Helper()
			all := w.preparations()
			if len(all) != 1 {
				t.Fatalf("%d preparations wait, want 1", len(all))
			}
			if p := all[0]; !reflect.DeepEqual(p.of, prepared{}) || p.ref != "" || p.err != nil || p.settled.Load() || p.alarm.Set() {
				t.Errorf("a preparation that waits for the next call holds %+v of %q", p.of, p.ref)
			}
			return all[0]
		}
		ok, _ := w.up("first")
		first := blank()
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")

		slow.mu.Lock()
		slow.slow = true
		slow.mu.Unlock()
		w.carrier.invite("late", w.carrier.sdp)
		w.carrier.status(403)
		if all := w.preparations(); len(all) != 0 {
			t.Fatalf("%d preparations wait although somebody may still be told of one", len(all))
		}
		slow.mu.Lock()
		slow.slow = false
		slow.mu.Unlock()
		w.carrier.write(ackFor(w.carrier, w.carrier.status(403), "late"))
		w.up("second")
		second := blank()
		for _, tell := range slow.held {
			tell()
		}
		if again := blank(); first == second || again != second || len(slow.held) != 1 {
			t.Errorf("%d were told late", len(slow.held))
		}
	})
}

package plane

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

// impairing plays with a call while the plane runs, in virtual time.
func impairing(t *testing.T, suite srtp.Suite, do func(b *bed, alice, bob *end)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC))) // the law of today
		b := newBed(t, Config{})
		alice, bob := b.call(suite, suite)
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error)
		go func() { over <- b.Run(ctx) }()
		do(b, alice, bob)
		stop()
		if err := <-over; err != nil {
			t.Error(err)
		}
	})
}

// sent is how many packets of media left for an end, also while its worker runs.
func (b *bed) sent(e *end) int {
	w := b.worker(e.Slot)
	w.lock()
	defer w.mu.Unlock()
	return e.rtp.sent
}

// TestImpairIsWhatANetworkDoes: in either direction packets are lost in the share that was asked for, or late by the time that was asked for, and a listener counts the gaps. At the
// end of the lease all is back, under the same keys and from the same far end.
func TestImpairIsWhatANetworkDoes(t *testing.T) {
	const sent = 2000 // a jump of 3,000 is no gap, RFC 3550 appendix A.1
	for name, c := range map[string]struct {
		Impair
		in, out float64 // share that crosses from the leg's far end, and to it
		after   time.Duration
	}{
		"all":        {Impair{Loss: 1}, 0, 0, 0},
		"lossy":      {Impair{Loss: 0.05}, 0.95, 0.95, 0},
		"late":       {Impair{Delay: 400 * time.Millisecond}, 1, 1, 400 * time.Millisecond},
		"late, some": {Impair{Loss: 0.5, Delay: 5 * time.Second}, 0.5, 0.5, 5 * time.Second},
		"nothing":    {Impair{}, 1, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			impairing(t, srtp.AES128CM80, func(b *bed, alice, bob *end) {
				alice.crosses(bob, 3)
				bob.crosses(alice, 3)
				n := c.Impair
				n.Ref, n.Until = alice.Ref, time.Now().Add(3*time.Second)
				b.Impair(n)
				if got := float64(bob.crosses(alice, sent)) / sent; got < c.out-0.03 || got > c.out+0.03 {
					t.Errorf("%.3f of what goes there leaves", got)
				}
				was := b.sent(bob)
				alice.crosses(bob, sent)
				if c.after > 0 {
					time.Sleep(c.after - time.Millisecond)
					if n := b.sent(bob) - was; n != 0 {
						t.Errorf("%d came early", n)
					}
				}
				time.Sleep(time.Second)
				if got := float64(b.sent(bob)-was) / sent; got < c.in-0.03 || got > c.in+0.03 {
					t.Errorf("%.3f of what comes is taken", got)
				}
				time.Sleep(2 * time.Second)
				if in, out := alice.crosses(bob, 100), bob.crosses(alice, 100); in != 100 || out != 100 {
					t.Errorf("after its time %d and %d of 100 cross", in, out)
				}
				// What is missing of what Alice sent are gaps to whoever hears her.
				a, z := b.read(alice.Ref), b.read(bob.Ref)
				if lost := sent + 103 - int64(a.Packets); a.Lost != lost || z.Lost != 0 || b.events.of(alice.Ref, "rebind") != nil {
					t.Errorf("%d are missing, and counted: %+v", lost, a)
				}
				if gone := 2*(sent+103) - a.Packets - a.Sent; b.Totals() != (Totals{Impaired: gone}) || a.Refused != 0 {
					t.Errorf("%d were taken away: %+v, %d refused", gone, b.Totals(), a.Refused)
				}
			})
		})
	}
}

// TestImpairLasts as long as its leg has a lease: negotiation does not end it, nobody but its leg has it, and calls for help never do.
func TestImpairLasts(t *testing.T) {
	gone := func(b *bed, r Ref, d time.Duration) { b.Impair(Impair{Ref: r, Loss: 1, Until: time.Now().Add(d)}) }
	for name, c := range map[string]struct {
		do   func(b *bed, alice, bob *end)
		lost bool
	}{
		"taken":            {func(b *bed, alice, _ *end) { gone(b, alice.Ref, time.Minute) }, true},
		"negotiated again": {func(b *bed, alice, _ *end) { gone(b, alice.Ref, time.Minute); b.Mute(alice.Ref); b.Set(alice.set()) }, true},
		"given back":       {func(b *bed, alice, _ *end) { gone(b, alice.Ref, time.Minute); gone(b, alice.Ref, 0) }, false},
		"asked too much":   {func(b *bed, alice, _ *end) { gone(b, alice.Ref, time.Hour); time.Sleep(MaxImpaired) }, false},
		"renewed": {func(b *bed, alice, _ *end) {
			gone(b, alice.Ref, time.Second)
			time.Sleep(999 * time.Millisecond)
			gone(b, alice.Ref, time.Second)
			time.Sleep(999 * time.Millisecond)
		}, true},
		"of a leg before": {func(b *bed, alice, _ *end) { gone(b, Ref{alice.Slot, alice.Serial - 1}, time.Minute) }, false},
		"by another plane": {func(b *bed, alice, bob *end) {
			gone(b, alice.Ref, time.Minute)
			b.Open(alice.Open)
			b.Set(alice.set())
			b.Join(alice.Ref, bob.Ref)
		}, false},
		"a call for help": {func(b *bed, alice, bob *end) {
			alice.Open.Purpose = sovereign.EmergencyCall
			b.Open(alice.Open)
			b.Set(alice.set())
			b.Join(alice.Ref, bob.Ref)
			gone(b, alice.Ref, time.Minute)
			gone(b, bob.Ref, time.Minute)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			impairing(t, 0, func(b *bed, alice, bob *end) {
				c.do(b, alice, bob)
				if in, out := alice.crosses(bob, 5), bob.crosses(alice, 5); (in == 0 && out == 0) != c.lost || !c.lost && in+out != 10 {
					t.Errorf("%d and %d of 5 cross", in, out)
				}
			})
		})
	}
}

// TestLateKeepsItsBounds: what finds no room to wait is lost, and what waits for a leg that is over goes nowhere.
func TestLateKeepsItsBounds(t *testing.T) {
	impairing(t, 0, func(b *bed, alice, bob *end) {
		b.Impair(Impair{Ref: alice.Ref, Delay: 2 * time.Second, Until: time.Now().Add(time.Second)})
		const room = maxLimbo / (172 + lateSize)
		alice.crosses(bob, room+50)
		if got := b.Totals().Impaired; got != 50 {
			t.Errorf("%d found no room", got)
		}
		b.Close(alice.Ref)
		time.Sleep(3 * time.Second)
		w := b.workers[0]
		w.mu.Lock()
		defer w.mu.Unlock()
		if bob.rtp.sent != 0 || w.limbo.bytes != 0 || len(w.limbo.list) != 0 {
			t.Errorf("%d crossed, %d bytes wait", bob.rtp.sent, w.limbo.bytes)
		}
	})
}

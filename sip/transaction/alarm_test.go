package transaction

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"weak"
)

// sleeper notes when it was woken.
type sleeper struct {
	Alarm
	id   int
	note func(id int)
}

func (s *sleeper) Due(*Alarm) { s.note(s.id) }

// A thousand alarms that are set, stopped and set anew ring at their time, those of one time in the order in which they were set, and none else.
func TestAlarms(t *testing.T) {
	inLoop(t, func(a *Actor) {
		type ring struct {
			id int
			at time.Duration
		}
		begin := time.Now()
		var got, want []ring
		rnd := rand.New(rand.NewPCG(1, 2))
		all := make([]*sleeper, 1000)
		a.Post(func() {
			set := map[int]ring{}
			var order []int
			for i := range all {
				all[i] = &sleeper{id: i, note: func(id int) { got = append(got, ring{id, time.Since(begin)}) }}
			}
			for range 5000 {
				s := all[rnd.IntN(len(all))]
				if i := slices.Index(order, s.id); i >= 0 {
					order = slices.Delete(order, i, i+1)
				}
				delete(set, s.id)
				if rnd.IntN(3) == 0 {
					s.Stop()
					continue
				}
				d := time.Duration(rnd.IntN(50)) * time.Second
				a.Arm(&s.Alarm, d, s)
				set[s.id], order = ring{s.id, d}, append(order, s.id)
			}
			for _, id := range order {
				want = append(want, set[id])
			}
			slices.SortStableFunc(want, func(x, y ring) int { return cmp.Compare(x.at, y.at) })
		})
		time.Sleep(time.Minute)
		synctest.Wait()
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d rang, want %d\n%v\n%v", len(got), len(want), got, want)
		}
		if len(a.clock.heap) != 0 || a.clock.stale != 0 {
			t.Errorf("%d entries and %d stale ones are left", len(a.clock.heap), a.clock.stale)
		}
	})
}

// Alarms that are stopped long before their time take no room, and a stopped timer holds nothing of its function.
func TestStoppedAlarmsLeave(t *testing.T) {
	inLoop(t, func(a *Actor) {
		var held weak.Pointer[[1 << 16]byte]
		a.Post(func() {
			for range 100_000 {
				a.After(32*time.Second, func() { t.Error("a stopped timer ran") }).Stop()
			}
			if n := len(a.clock.heap); n > 200 {
				t.Errorf("%d entries for alarms that are stopped", n)
			}
			big := new([1 << 16]byte)
			held = weak.Make(big)
			a.After(time.Hour, func() { big[0]++ }).Stop()
		})
		synctest.Wait()
		runtime.GC()
		if held.Value() != nil {
			t.Error("a stopped timer holds its function")
		}
		time.Sleep(time.Minute)
	})
}

// Alarms that wait long ring together, none before its time and none much later; the others at their very time, also those that are set while a later one is waited
// for, or after one that was waited for is stopped.
func TestPatientAlarmsRingTogether(t *testing.T) {
	inLoop(t, func(a *Actor) {
		begin := time.Now()
		moments := map[time.Duration]int{}
		for i := range 1000 {
			d := patient + time.Duration(i)*time.Millisecond
			set := time.Since(begin)
			a.Post(func() {
				a.After(time.Minute, func() { t.Error("a stopped timer ran") }).Stop()
				a.After(d, func() {
					at := time.Since(begin)
					if late := at - set - d; late < 0 || late >= grid {
						t.Errorf("set to %v, and %v late", d, late)
					}
					moments[at]++
				})
				a.After(patient-time.Millisecond, func() {
					if late := time.Since(begin) - set - (patient - time.Millisecond); late != 0 {
						t.Errorf("a short one came %v late", late)
					}
				})
				soon := a.After(time.Millisecond/4, func() { t.Error("a stopped timer ran") })
				a.After(time.Millisecond/8, soon.Stop)
			})
			time.Sleep(time.Millisecond / 2)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		n := 0
		for _, k := range moments {
			n += k
		}
		if most := int(1500*time.Millisecond/grid) + 1; n != 1000 || len(moments) > most {
			t.Errorf("%d rang, at %d moments, want 1000 at no more than %d", n, len(moments), most)
		}
	})
}

// An alarm that is set for this very moment comes behind what was posted: nobody starves.
func TestAlarmsShare(t *testing.T) {
	inLoop(t, func(a *Actor) {
		n := 0
		stop := false
		var again func()
		again = func() {
			if n++; !stop {
				a.After(0, again)
			}
		}
		a.Post(again)
		a.Post(func() { a.Post(func() { stop = true }) })
		synctest.Wait()
		if !stop || n > 10 {
			t.Errorf("%d rounds before a post had its turn: %v", n, stop)
		}
		a.Post(func() { a.After(1<<63-1, func() { t.Error("the end of time came") }) })
		time.Sleep(time.Second)
	})
}

// BenchmarkAlarm sets an alarm and stops it while half a million others wait, as behind 4,000 calls a second.
func BenchmarkAlarm(b *testing.B) {
	const others = 500_000
	set := func(a *Actor) {
		for i := range others {
			s := &sleeper{}
			a.Arm(&s.Alarm, time.Hour+time.Duration(i)*time.Microsecond, s)
		}
	}
	b.Run("stop", func(b *testing.B) {
		a, s := NewLoop(), &sleeper{}
		set(a)
		b.ReportAllocs()
		for b.Loop() {
			a.Arm(&s.Alarm, 32*time.Second, s)
			s.Stop()
		}
	})
	b.Run("ring", func(b *testing.B) {
		a, s := NewLoop(), &sleeper{note: func(int) {}}
		set(a)
		never := func() bool { return false }
		b.ReportAllocs()
		for b.Loop() {
			a.Arm(&s.Alarm, 0, s)
			a.clock.ring(never)
		}
	})
	b.Run("turn", func(b *testing.B) { // each rings and is set behind all others
		a := NewLoop()
		set(a)
		b.ReportAllocs()
		for b.Loop() {
			e := a.clock.pop().alarm
			e.seq = 0
			a.Arm(e, time.Hour+others*time.Microsecond, e.to)
		}
	})
	b.Run("runtime", func(b *testing.B) { // the same with a timer of the runtime
		f := func() {}
		b.ReportAllocs()
		for b.Loop() {
			time.AfterFunc(32*time.Second, f).Stop()
		}
	})
}

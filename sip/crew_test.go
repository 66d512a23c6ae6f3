package sip

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestACrewRunsAsManyTasksAtOnceAsThereAre(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var busy, ran atomic.Int64
		c := &crew{busy: &busy}
		hold := make(chan struct{})
		const tasks = 5 * maxIdle
		for range tasks {
			c.do(func() { <-hold; ran.Add(1) })
		}
		synctest.Wait()
		if busy.Load() != tasks || ran.Load() != 0 {
			t.Errorf("%d of %d at work, %d done", busy.Load(), tasks, ran.Load())
		}
		close(hold)
		synctest.Wait()
		if ran.Load() != tasks || busy.Load() != 0 || len(c.idle) != maxIdle {
			t.Errorf("%d done, %d at work, %d wait", ran.Load(), busy.Load(), len(c.idle))
		}
		for range 3 { // those who wait take what comes, also what is given within a task
			c.do(func() { c.do(func() { ran.Add(1) }) })
		}
		synctest.Wait()
		if ran.Load() != tasks+3 || len(c.idle) != maxIdle {
			t.Errorf("%d done, %d wait", ran.Load(), len(c.idle))
		}
		c.do(func() { time.Sleep(time.Hour); ran.Add(1) })
		begin := time.Now()
		c.dismiss()
		if ran.Load() != tasks+4 || time.Since(begin) != time.Hour {
			t.Errorf("%d done after %v", ran.Load(), time.Since(begin))
		}
		c.do(func() { ran.Add(1) }) // nobody waits for more
		synctest.Wait()
		if ran.Load() != tasks+5 || len(c.idle) != 0 {
			t.Errorf("%d done, %d wait", ran.Load(), len(c.idle))
		}
	})
}

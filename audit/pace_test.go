package audit

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// TestPaceGroups holds that the first entry goes at once, that those behind it go together, and that a log that closes waits for nobody.
func TestPaceGroups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		never := make(chan struct{})
		begin := time.Now()
		p.wait(never)
		if d := time.Since(begin); d != 0 {
			t.Errorf("the first one waited %v", d)
		}
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Millisecond)
				p.wait(never)
				if d := time.Since(begin); d != paceEvery {
					t.Errorf("number %d went after %v, want %v", i, d, paceEvery)
				}
			})
		}
		wg.Wait()
		p.wait(never)
		if d := time.Since(begin); d != 2*paceEvery {
			t.Errorf("the group after that went at %v", d)
		}
		closed := make(chan struct{})
		close(closed)
		p.wait(closed)
		if d := time.Since(begin); d != 2*paceEvery {
			t.Errorf("a log that closes was held up: %v", d)
		}
		time.Sleep(3 * paceEvery)
		begin = time.Now()
		p.wait(never)
		if d := time.Since(begin); d != 0 {
			t.Errorf("after a quiet time it waited %v", d)
		}
	})
}

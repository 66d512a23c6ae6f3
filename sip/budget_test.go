package sip

import (
	"runtime"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Budgets of one whole call, about 1.15 times what was reached: media, judgements and records are in the first; media is gone from the second, and the
// transactions that linger are in it.
const (
	mallocsPerCall   = 435
	heapPerEndedCall = 9500 // bytes
)

func TestACallKeepsToItsAllocations(t *testing.T) {
	e := benchEdge(t, func(l audit.Log) audit.Log { return l })
	const warm, calls = 100, 300
	var before, after runtime.MemStats
	for i := range warm + calls {
		if i == warm {
			runtime.ReadMemStats(&before)
		}
		e.call(i)
		reach(t, &e.over, int64(i+1))
	}
	runtime.ReadMemStats(&after)
	if n := (after.Mallocs - before.Mallocs) / calls; n > mallocsPerCall {
		t.Errorf("%d allocations per call, want at most %d", n, mallocsPerCall)
	}
}

func TestEndedCallsKeepLittle(t *testing.T) {
	e := benchEdge(t, func(l audit.Log) audit.Log { return forgetful{l} })
	const warm, calls = 100, 500
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for i := range warm {
		e.call(i)
		reach(t, &e.over, int64(i+1))
	}
	begin := heap()
	for i := range calls {
		e.call(warm + i)
		reach(t, &e.over, int64(warm+i+1))
	}
	n := int64(0)
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() { // the media of the last calls is still being closed
		if n = (heap() - begin) / calls; n <= heapPerEndedCall {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes per ended call, want at most %d", n, heapPerEndedCall)
		}
	}
}

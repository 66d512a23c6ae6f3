package sip

import (
	"runtime"
	"testing"

	"github.com/cordonsip/cordon/audit"
)

// mallocsPerCall is the budget of one whole call, about 1.15 times what was reached: media, judgements and records are in it.
const mallocsPerCall = 170

// Budgets of memory, in bytes of the live heap. Signalling is what a call holds beside its media: both legs and dialogs, the records that it will write, and the
// transactions that linger, of the set-up or of all. What media holds after a call are pairs of ports that it keeps open for the next ones, up to a bound.
const (
	heapPerCall           = 16 << 10 // with media
	heapPerCallSignalling = 6 << 10
	heapPerEndedCall      = 4 << 10 // without those ports
)

func TestACallKeepsToItsAllocations(t *testing.T) {
	e := benchEdge(t, func(l audit.Log) audit.Log { return l }, drillable)
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

// It holds that many calls on sockets that their network reads, so that no goroutine is a call's, and weighs them twice.
func TestCallsKeepToTheirMemory(t *testing.T) {
	const calls = 1000
	whole, media := weighCalls(t, calls), weighMedia(t, calls)
	t.Logf("bytes per call: established %.0f, of these media %.0f and signalling %.0f; finished %.0f, of these media %.0f and signalling %.0f", whole.up, media.up, whole.up-media.up, whole.past, media.past, whole.past-media.past)
	if whole.up > heapPerCall || whole.up-media.up > heapPerCallSignalling {
		t.Errorf("%.0f bytes per established call, %.0f of them signalling, want at most %d and %d", whole.up, whole.up-media.up, heapPerCall, heapPerCallSignalling)
	}
	if whole.past-media.past > heapPerEndedCall {
		t.Errorf("%.0f bytes per finished call, want at most %d", whole.past-media.past, heapPerEndedCall)
	}
	if whole.goroutines > 0.1 {
		t.Errorf("%.2f goroutines per established call, want none", whole.goroutines)
	}
}

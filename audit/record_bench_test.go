package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"
)

// recordRate is at how many calls/s BenchmarkRecord records: what they cost depends on how many share an fsync.
const recordRate = 500

// used is what the process spent so far: processor time and context switches.
func used(b *testing.B) (cpu time.Duration, switches int64) {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), u.Nvcsw + u.Nivcsw
}

// BenchmarkRecord records calls as they come in, recordRate a second: references, intent, both records, and a follower at the tip. ns/op is the
// pace; what counts is the processor time, the allocations and the context switches per call.
func BenchmarkRecord(b *testing.B) {
	c := testConfig()
	c.Dir = b.TempDir()
	l, _, err := Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	in, err := OpenIntents(filepath.Join(c.Dir, "intents"))
	if err != nil {
		b.Fatal(err)
	}
	mac := hmac.New(sha256.New, []byte("a key of the node"))
	n, err := OpenPseudonyms(filepath.Join(c.Dir, "pseudonyms"), func(msg []byte) []byte { // one caller at a time
		mac.Reset()
		mac.Write(msg)
		return mac.Sum(msg)[len(msg):]
	})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var follower sync.WaitGroup
	follower.Go(func() { _ = Follow(ctx, l, 0, func(Entry) error { return nil }) })

	b.ReportAllocs()
	b.ResetTimer()
	cpu, switches := used(b)
	var calls sync.WaitGroup
	waited := make([]time.Duration, b.N)
	for i, begin := 0, time.Now(); i < b.N; i++ {
		if i%5 == 0 {
			time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / recordRate)))
		}
		calls.Add(1)
		recordCall(l, in, n, fmt.Sprintf("%d@host", i), &waited[i], func(err error) {
			if err != nil {
				b.Error(err)
			}
			calls.Done()
		})
	}
	calls.Wait()
	b.StopTimer()
	cpuAfter, switchesAfter := used(b)
	b.ReportMetric(float64((cpuAfter-cpu).Microseconds())/float64(b.N), "cpu-us/op")
	b.ReportMetric(float64(switchesAfter-switches)/float64(b.N), "switches/op")
	slices.Sort(waited)
	b.ReportMetric(float64(waited[b.N/2].Microseconds())/1000, "intent-p50-ms")
	b.ReportMetric(float64(waited[b.N*99/100].Microseconds())/1000, "intent-p99-ms")
	cancel()
	follower.Wait()
	for _, close := range []func() error{func() error { return l.Close(context.Background()) }, in.Close, n.Close} {
		if err := close(); err != nil {
			b.Fatal(err)
		}
	}
}

// recordCall records one call as the edge does.
func recordCall(l Log, in Intents, n Pseudonyms, id string, waited *time.Duration, done func(error)) {
	ref, _ := n.Call(id, "+4930901820", "+41441234567")
	at := time.Now()
	in.BeginAsync(ref, at, func(err error) {
		*waited = time.Since(at)
		if err != nil {
			done(err)
			return
		}
		ended, receipt := exampleEnded(ref), exampleReceipt(at, ref, Move{})
		l.AppendAsync(&ended, func(_ uint64, first error) {
			l.AppendAsync(&receipt, func(_ uint64, second error) {
				in.End(ref)
				done(errors.Join(first, second))
			})
		})
	})
}

func exampleEnded(ref string) CallEnded {
	return CallEnded{
		CallRef: ref, Trunk: "carrier", Group: "fra", Route: "inbound", SIPFinal: 200, EndedBy: "a", Q850: 16, Session: "0123456789abcdef0123456789abcdef;remote=fedcba98765432100123456789abcdef",
		Attempts: 1, SetupMS: 12.375, TalkMS: 1800.5,
	}
}

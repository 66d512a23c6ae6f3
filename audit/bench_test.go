package audit

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const benchCallers = 64

// spread runs b.N steps on 64 callers and reports the rate and the latencies.
func spread(b *testing.B, step func(i int) error) {
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var wg sync.WaitGroup
	b.ResetTimer()
	for range benchCallers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= b.N {
					return
				}
				start := time.Now()
				if err := step(i); err != nil {
					b.Error(err)
					return
				}
				took[i] = time.Since(start)
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "durable/s")
	b.ReportMetric(float64(took[b.N/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[b.N*99/100].Microseconds())/1000, "p99-ms")
}

func BenchmarkAppend(b *testing.B) {
	c := testConfig()
	c.Dir = b.TempDir()
	l, _, err := Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	r := exampleReceipt(time.Now(), "20261120-00112233445566778899aabbccddeeff", Move{})
	spread(b, func(int) error {
		_, err := l.Append(context.Background(), r)
		return err
	})
	if err := l.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkCommit(b *testing.B) {
	c := testConfig()
	c.Dir = b.TempDir()
	l, _, err := Open(b.Context(), c)
	if err != nil {
		b.Fatal(err)
	}
	spread(b, func(int) error {
		_, err := l.Commit(context.Background(), Failover{What: KindFailoverApplied})
		return err
	})
	if err := l.Close(context.Background()); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkIntents(b *testing.B) {
	in, err := OpenIntents(filepath.Join(b.TempDir(), "intents"))
	if err != nil {
		b.Fatal(err)
	}
	spread(b, func(i int) error {
		ref := fmt.Sprintf("20261120-%032x", i)
		defer in.End(ref)
		return in.Begin(context.Background(), ref, intentTime)
	})
	if err := in.Close(); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkPseudonyms(b *testing.B) {
	mac := hmac.New(sha256.New, []byte("a key of the node"))
	n, err := OpenPseudonyms(b.TempDir(), func(msg []byte) []byte {
		mac.Reset()
		mac.Write(msg)
		return mac.Sum(msg)[len(msg):]
	})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		n.Call("abc@host", "+4930901820", "+41441234567")
	}
	if err := n.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWrap puts together what a call leaves behind, without a log.
func BenchmarkWrap(b *testing.B) {
	s := &spine{cfg: testConfig().withDefaults()}
	s.SetStamp(Stamp{PolicyDigest: "p", FactsDigest: "f"})
	const ref = "20261120-00112233445566778899aabbccddeeff"
	ended, receipt := exampleEnded(ref), exampleReceipt(time.Now(), ref, Move{})
	events := []Event{&ended, &receipt}
	b.ReportAllocs()
	for b.Loop() {
		for _, e := range events {
			if _, err := s.wrap(e); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkGrow puts what half a second of calls leaves behind into a tree without files.
func BenchmarkGrow(b *testing.B) {
	leaves := make([][]byte, 512)
	for i := range leaves {
		leaves[i] = make([]byte, 600+i%2*1400)
	}
	t, shelf := &tree{}, []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		next, err := t.grow(leaves, shelf, func(page) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
		t, shelf = next, t.bundle
	}
}

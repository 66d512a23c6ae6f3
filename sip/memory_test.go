package sip

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sovereign"
)

// What ends of today write: a description of a dozen lines, and some headers that nobody asked for.
const (
	usualSDP = "v=0\r\no=bench 1001 1 IN IP4 10.2.0.1\r\ns=-\r\nc=IN IP4 10.2.0.1\r\nt=0 0\r\nm=audio 30000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\n" +
		"a=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\n"
	usualMore = "User-Agent: a carrier of calls 4.2\r\nSupported: timer, replaces\r\nSubject: a call of the bench\r\nP-Charging-Vector: icid-value=1234bc9876e\r\n"
)

// polled is a media socket that its network reads, as nodes have them: no goroutine is its own.
type polled struct{ deaf }

func (*polled) Receive(func([]byte, netip.AddrPort)) {}
func (*polled) Close() error                         { return nil }

func listenPolled(at netip.AddrPort) (sovereign.UDPConn, error) {
	d := &polled{}
	d.at.IP, d.at.Port = at.Addr().AsSlice(), int(at.Port())
	return d, nil
}

// weight is what each of many holds while it is up, and once it is over: bytes of the live heap, and goroutines.
type weight struct{ up, past, goroutines float64 }

// live is the heap after the collector has run: what is reachable and no more.
func live() float64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first one leaves what has finalizers, and what pools hold
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}

// saltless is pseudonyms whose salts are kept elsewhere: nodes have them on the disk.
type saltless struct{ audit.Pseudonyms }

func (s saltless) Call(callID string, numbers ...string) (string, []audit.PartyRef) {
	ref, refs := s.Pseudonyms.Call(callID, numbers...)
	_ = s.Destroy(ref)
	return ref, refs
}

// firstHeld is the number of the first call that is held.
const firstHeld = 1000

// weighCalls plays calls and weighs them while they are up, with the transactions of the set-up, and once all ended, with all transactions of theirs.
func weighCalls(t *testing.T, calls int) weight {
	names := saltless{audit.MemoryPseudonyms(func(m []byte) []byte { return m })}
	e := benchEdgeOn(t, func(l audit.Log) audit.Log { return forgetful{l} }, names, listenPolled)
	e.sdp, e.more = usualSDP, usualMore
	for i := range 100 {
		e.call(i)
		reach(t, &e.over, int64(i+1))
	}
	e.idle(t)         // the books of the peers belong to whoever sends to them
	for range calls { // the BYEs that wait are the peers' memory
		b := make([]byte, 0, 2048)
		e.mu.Lock()
		e.from[&b[:1][0]] = carrierAddr
		e.mu.Unlock()
		e.free <- b
	}
	e.mu.Lock()
	e.byes, e.hold = make([][]byte, calls), true
	e.mu.Unlock()
	e.up.Store(0)
	e.over.Store(0)
	e.idle(t)
	begin, goroutines := live(), runtime.NumGoroutine()
	profiled(t, "before")
	for i := range calls {
		e.call(firstHeld + i)
		reach(t, &e.up, int64(i+1))
	}
	e.idle(t)
	w := weight{up: live() - begin, goroutines: float64(runtime.NumGoroutine() - goroutines)}
	profiled(t, "established")
	for i, bye := range e.byes {
		e.send(carrierAddr, bye)
		reach(t, &e.over, int64(i+1))
	}
	e.idle(t)
	w.past = live() - begin
	profiled(t, "finished")
	runtime.KeepAlive(e)
	return weight{w.up / float64(calls), w.past / float64(calls), w.goroutines / float64(calls)}
}

// profiled writes a heap profile where CORDON_HEAP_PROFILES names a folder: with -memprofilerate=1 it tells who holds what.
func profiled(t *testing.T, name string) {
	dir := os.Getenv("CORDON_HEAP_PROFILES")
	if dir == "" {
		return
	}
	f, err := os.Create(filepath.Join(dir, name))
	if err == nil {
		err = errors.Join(pprof.Lookup("heap").WriteTo(f, 0), f.Close())
	}
	if err != nil {
		t.Error(err)
	}
}

// idle waits until nothing that calls began still runs.
func (e *ends) idle(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		done := make(chan struct{})
		for _, s := range e.edge.shards {
			s.loop.Post(func() { done <- struct{}{} })
		}
		for range e.edge.shards {
			<-done
		}
		if e.edge.tasks.Load() == 0 && len(e.in) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the edge still works")
		}
	}
}

// weighMedia does the same with sessions of a relay alone, for the same descriptions: what is left of a call without them is signalling.
func weighMedia(t *testing.T, calls int) weight {
	fence := sovereign.NewFence(testSnapshot(t), nil)
	relay := benchRelay(t, fence, listenPolled)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() { _ = relay.Run(ctx) }) // it keeps some pairs of ports open for the next calls
	defer func() { cancel(); wg.Wait() }()
	time.Sleep(time.Millisecond)
	begin := live()
	all := make([]*media.Session, calls)
	for i := range all {
		s, err := relay.Open("s0123456789abcdefghij", media.Leg{Party: "carrier", Security: media.Plain})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Offer(media.A, []byte(usualSDP), media.Leg{Party: "fra", Security: media.Plain}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Answer(media.B, []byte(usualSDP)); err != nil {
			t.Fatal(err)
		}
		all[i] = s
	}
	w := weight{up: live() - begin - 8*float64(calls)}
	profiled(t, "media")
	for i, s := range all {
		s.Close()
		all[i] = nil
	}
	w.past = live() - begin - 8*float64(calls)
	runtime.KeepAlive(relay)
	runtime.KeepAlive(all)
	return weight{w.up / float64(calls), w.past / float64(calls), 0}
}

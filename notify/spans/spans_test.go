package spans

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/background"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/state"
)

// collector answers each connection once, as the plan says and then with 200.
type collector struct {
	mu    sync.Mutex
	plan  []string // "503", "200 BODY", "fenced", "gone", "hang"
	all   string   // what every attempt meets once the plan has ended
	at    []time.Time
	calls []int // call spans of each request that was taken
	heads []http.Header
}

func (c *collector) next() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = append(c.at, time.Now())
	if len(c.plan) == 0 {
		return c.all
	}
	word := c.plan[0]
	c.plan = c.plan[1:]
	return word
}

func (c *collector) dial(context.Context, string, string) (net.Conn, error) {
	word := c.next()
	switch word {
	case "fenced":
		return nil, fmt.Errorf("dial: %w", sovereign.ErrFenced)
	case "gone":
		return nil, errors.New("connection refused")
	}
	near, far := net.Pipe()
	go c.serve(far, word)
	return near, nil
}

func (c *collector) serve(conn net.Conn, word string) {
	defer conn.Close()
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	if word == "hang" {
		_, _ = conn.Read(make([]byte, 1)) // until the client gives up
		return
	}
	if word == "" {
		word = "200 {}"
	}
	code, text, _ := strings.Cut(word, " ")
	extra := ""
	if after, ok := strings.CutPrefix(text, "after="); ok {
		text, extra = "", "Retry-After: "+after+"\r\n"
	}
	if code == "200" {
		c.take(req, body)
	}
	fmt.Fprintf(conn, "HTTP/1.1 %s x\r\nConnection: close\r\n%sContent-Length: %d\r\n\r\n%s", code, extra, len(text), text)
}

func (c *collector) take(req *http.Request, body []byte) {
	var r struct {
		ResourceSpans []struct {
			ScopeSpans []struct {
				Spans []struct{ Name string }
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heads = append(c.heads, req.Header)
	if err := json.Unmarshal(body, &r); err != nil {
		return
	}
	n := 0
	for _, s := range r.ResourceSpans[0].ScopeSpans[0].Spans {
		if s.Name == "call" {
			n++
		}
	}
	c.calls = append(c.calls, n)
}

func (c *collector) taken() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return fmt.Sprint(c.calls)
}

func (c *collector) attempts() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.at)
}

type world struct {
	t       *testing.T
	log     audit.Log
	kv      state.KV
	metrics *Metrics
	c       *collector
	count   int
}

func newWorld(t *testing.T) *world {
	t.Helper()
	log, err := audit.Memory(audit.Config{
		Signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)), Origin: "test/spans", Tenant: "bank", Node: "n1",
	})
	if err != nil {
		t.Fatal(err)
	}
	m, err := NewMetrics(prometheus.NewPedanticRegistry())
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, log: log, kv: state.Memory(), metrics: m, c: &collector{}}
	t.Cleanup(func() {
		w.kv.Close()
		log.Close(context.Background())
	})
	return w
}

// calls ends n calls, each of one span.
func (w *world) calls(n int) {
	w.t.Helper()
	for range n {
		w.count++
		ref := fmt.Sprintf("c-%d", w.count)
		for _, e := range []audit.Event{audit.CallEnded{CallRef: ref, Route: "in"}, audit.Receipt{CallRef: ref, TInvite: time.Now(), TEnd: time.Now()}} {
			if _, err := w.log.Append(w.t.Context(), e); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func (w *world) run() (stop func()) {
	w.t.Helper()
	out, err := notify.NewOutlet(notify.OutletConfig{
		URL: "http://127.0.0.1:4318/v1/traces", Dial: w.c.dial,
		Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("nothing is asked here") },
	})
	if err != nil {
		w.t.Fatal(err)
	}
	key := Header{"Authorization", func() (string, error) { return "Bearer s", nil }}
	f, err := New(Config{Log: w.log, KV: w.kv, Metrics: w.metrics, Collector: Collector{Outlet: out, Headers: []Header{key}}, Origin: Origin{"bank", "n1", "v"}})
	if err != nil {
		w.t.Fatal(err)
	}
	return background.Run(w.t, f.Run)
}

// counts are sent, failures, and the dropped of one reason.
func (w *world) counts(reason string) string {
	return fmt.Sprint(testutil.ToFloat64(w.metrics.sent), testutil.ToFloat64(w.metrics.failures), testutil.ToFloat64(w.metrics.dropped.WithLabelValues(reason)))
}

func TestABatchWaitsTwoSecondsOrIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.run()()
		w.calls(3)
		time.Sleep(2*time.Second - 1)
		synctest.Wait()
		if got := w.c.taken(); got != "[]" {
			t.Errorf("too early: %s", got)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if got := w.c.taken(); got != "[3]" {
			t.Errorf("after two seconds: %s", got)
		}
		w.calls(130)
		synctest.Wait()
		if got := w.c.taken(); got != "[3 64 64]" {
			t.Errorf("full batches wait: %s", got)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if got := w.c.taken() + w.counts("failed"); got != "[3 64 64 2]133 0 0" {
			t.Errorf("in the end: %s", got)
		}
		if h := w.c.heads[0]; h.Get("Authorization") != "Bearer s" || h.Get("Content-Type") != "application/json" {
			t.Errorf("headers: %v", h)
		}
	})
}

func TestWhatFailsIsTriedAgainThenDroppedAndTheNextGoesOn(t *testing.T) {
	for name, c := range map[string]struct {
		plan     []string
		reason   string
		attempts int
		counts   string // of the two calls: sent, failures, dropped
	}{
		"back in time":    {[]string{"503", "gone", "429 after=7"}, "failed", 5, "2 3 0"},
		"down":            {[]string{"502", "503", "504", "429"}, "failed", 5, "1 4 1"},
		"hangs":           {[]string{"hang", "hang", "hang", "hang"}, "failed", 5, "1 4 1"},
		"does not want":   {[]string{"400"}, "refused", 2, "1 1 1"},
		"not retryable":   {[]string{"500"}, "refused", 2, "1 1 1"},
		"elsewhere":       {[]string{"307"}, "refused", 2, "1 1 1"},
		"behind the wall": {[]string{"fenced"}, "fenced", 2, "1 1 1"},
		"took no span":    {[]string{`200 {"partialSuccess":{"rejectedSpans":"1"}}`}, "rejected", 2, "1 0 1"},
		"lies":            {[]string{`200 {"partialSuccess":{"rejectedSpans":"99"}}`}, "rejected", 2, "1 0 1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.c.plan = c.plan
				defer w.run()()
				w.calls(1)
				time.Sleep(time.Minute)
				w.calls(1)
				time.Sleep(time.Minute)
				synctest.Wait()
				if got := w.counts(c.reason); got != c.counts || w.c.attempts() != c.attempts {
					t.Errorf("sent, failures, dropped: %s, want %s; %d attempts, want %d", got, c.counts, w.c.attempts(), c.attempts)
				}
				if name == "back in time" && w.c.at[3].Sub(w.c.at[2]) != 7*time.Second {
					t.Errorf("Retry-After was not kept: %v", w.c.at)
				}
			})
		})
	}
}

func TestAClosedWayGetsNothingAtAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.c.all = "fenced"
		defer w.run()()
		w.calls(200)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.counts("fenced"); got != "0 4 200" || w.c.taken() != "[]" {
			t.Errorf("sent, failures, dropped: %s; taken: %s", got, w.c.taken())
		}
	})
}

func TestABacklogIsBoundedByItsAge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.c.all = "hang"
		defer w.run()()
		w.calls(64 * 20)
		time.Sleep(30 * time.Minute)
		synctest.Wait()
		failed, old := testutil.ToFloat64(w.metrics.dropped.WithLabelValues("failed")), testutil.ToFloat64(w.metrics.dropped.WithLabelValues("old"))
		if failed+old != 64*20 || old < 64 || w.c.attempts() > 60 {
			t.Errorf("failed %v, old %v, %d attempts", failed, old, w.c.attempts())
		}
		if got := testutil.ToFloat64(w.metrics.behind); got != 0 {
			t.Errorf("%v entries behind", got)
		}
	})
}

func TestANodeThatStopsForgetsNoCallAndSendsNoneTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop := w.run()
		w.calls(2)
		time.Sleep(3 * time.Second)
		w.calls(1)
		synctest.Wait()
		stop() // before the batch was due
		if got := w.c.taken(); got != "[2]" {
			t.Errorf("before the stop: %s", got)
		}
		defer w.run()()
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if got := w.c.taken(); got != "[2 1]" {
			t.Errorf("after the start: %s", got)
		}
	})
}

func TestWhatWasSentIsPassedBeforeTheNextBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.calls(1)
		defer w.run()()
		time.Sleep(2*time.Second + 1)
		synctest.Wait()
		defer w.run()() // while the first has not stopped, as after a crash
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := w.c.taken(); got != "[1]" {
			t.Errorf("sent again after a crash: %s", got)
		}
	})
}

func TestAFollowerWithoutWhatItNeedsIsRefused(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("taken")
	}
}

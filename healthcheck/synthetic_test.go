package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// callers notes who was called and when.
type callers struct {
	mu     sync.Mutex
	placed []string
	err    error
	takes  time.Duration
}

func (c *callers) Call(_ context.Context, t Target, how Call) error {
	time.Sleep(c.takes)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.placed = append(c.placed, t.Addr.Addr().String()+" "+how.To)
	return c.err
}

func (c *callers) list() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.Join(c.placed, ", ")
}

// calling is live with a Caller: one party of two targets that is called every minute.
func calling(t *testing.T, w *world, k *callers, f func(*Checker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		watched := []Watched{{
			Party: "p1", Members: []Member{{Name: "m", Host: a1, Transport: "udp"}, {Name: "n", Host: a2, Transport: "udp"}},
			Call: Call{From: "carrier", To: "+49690", Every: time.Minute, Hold: 2 * time.Second},
		}}
		c, err := New(Config{Watched: watched, Defaults: Settings{Jitter: 0.0001}, Prober: w, Caller: k, Locate: w.locate, Judge: w.judge})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		f(c)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestSyntheticCallsTakeTurns(t *testing.T) {
	w, k := newWorld(), &callers{}
	calling(t, w, k, func(*Checker) {
		wait(59 * time.Second)
		if k.list() != "" {
			t.Fatal(k.list())
		}
		wait(3*time.Minute + 2*time.Second)
		if got, want := k.list(), fmt.Sprintf("%[1]s +49690, %[2]s +49690, %[1]s +49690, %[2]s +49690", a1, a2); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}

func TestHeldDeniedAndDownTargetsAreNotCalled(t *testing.T) {
	w, k := newWorld(), &callers{}
	w.rule(a1, sovereign.Hold, "US")
	calling(t, w, k, func(*Checker) {
		wait(150 * time.Second)
		if got, want := k.list(), fmt.Sprintf("%[1]s +49690, %[1]s +49690", a2); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
		w.set(a2, "refused")
		wait(5 * time.Minute)
		if got := strings.Count(k.list(), a2); got > 3 || strings.Contains(k.list(), a1) {
			t.Error(k.list())
		}
	})
}

func TestOneSyntheticCallAtATime(t *testing.T) {
	w, k := newWorld(), &callers{takes: 5 * time.Minute}
	calling(t, w, k, func(*Checker) {
		wait(4 * time.Minute)
		if k.list() != "" {
			t.Error(k.list())
		}
		wait(2*time.Minute + 30*time.Second)
		if n := strings.Count(k.list(), "+49690"); n != 1 {
			t.Error(k.list())
		}
	})
}

func TestASyntheticCallThatFailsCountsAgainstItsTarget(t *testing.T) {
	w, k := newWorld(), &callers{err: errors.New("no echo came back")}
	calling(t, w, k, func(c *Checker) {
		wait(time.Minute + time.Millisecond)
		state(t, c, "p1/m/udp/"+a1+":5060", Up, "synthetic call: no echo came back")
		if s, _ := c.Table().Status("p1/m/udp/" + a1 + ":5060"); s.Calls.Calls != 1 || s.Calls.NER != 0 {
			t.Errorf("%+v", s.Calls)
		}
	})
}

func TestMistakesInSyntheticCalls(t *testing.T) {
	for want, c := range map[string]Call{
		"needs whom it comes from": {To: "1", Every: time.Minute},
		"every 1s":                 {From: "a", To: "1", Every: time.Second},
		"at most a minute":         {From: "a", To: "1", Every: time.Minute, Hold: time.Hour},
	} {
		if err := c.check("here"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

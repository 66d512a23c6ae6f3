package healthcheck

import (
	"fmt"
	"math"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func circuit(t *testing.T, c *Checker, id string, want Circuit, answers bool) {
	t.Helper()
	s, _ := c.Table().Status(id)
	if s.Circuit != want || s.Answers != answers {
		t.Fatalf("%s: circuit %v, answers %v because %q, want %v and %v", id, s.Circuit, s.Answers, s.Why, want, answers)
	}
}

// fallen brings a1 to the point where its circuit is half-open.
func fallen(t *testing.T, w *world, c *Checker) {
	t.Helper()
	wait(time.Second)
	circuit(t, c, id(1, a1), Closed, false)
	w.set(a1, "refused")
	wait(15 * time.Second)
	state(t, c, id(1, a1), Down, "3 of 3")
	circuit(t, c, id(1, a1), Open, false)
	w.set(a1, "")
	wait(5 * time.Second)
	circuit(t, c, id(1, a1), Open, true) // alive, and still shut
	wait(20 * time.Second)
	state(t, c, id(1, a1), Down, "half-open: the next call tries it")
	circuit(t, c, id(1, a1), HalfOpen, true)
}

var half = Settings{Jitter: 0.0001, HalfOpen: 20 * time.Second}

func TestAHalfOpenCircuitLetsOneCallThrough(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), half, func(c *Checker) {
		fallen(t, w, c)
		if !c.Try(id(1, a1)) {
			t.Fatal("the one call was refused")
		}
		for range 3 {
			if c.Try(id(1, a1)) {
				t.Fatal("a second call tries it")
			}
		}
		circuit(t, c, id(1, a1), Trying, true)
		wait(30 * time.Second) // good probes close nothing while the call is under way
		circuit(t, c, id(1, a1), Trying, true)
		c.Outcome(Outcome{Target: id(1, a1), Alive: true, Final: 486, Cause: "486"})
		wait(time.Second)
		state(t, c, id(1, a1), Up, "closed again: the call that tried it got through")
		if !c.Try(id(1, a1)) {
			t.Error("a plan that is older than the closing is refused")
		}
		if got := fmt.Sprint(w.steps(a1)); got != "[unknown>up up>down down>up]" {
			t.Error(got)
		}
	})
}

func TestAFailedTrialOpensTheCircuitAgain(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), half, func(c *Checker) {
		fallen(t, w, c)
		c.Try(id(1, a1))
		c.Outcome(Outcome{Target: id(1, a1), Cause: "silent"})
		wait(5 * time.Millisecond) // the probe that it asks for takes 10
		state(t, c, id(1, a1), Down, "the call that tried it failed: silent")
		circuit(t, c, id(1, a1), Open, false)
		if c.Try(id(1, a1)) {
			t.Error("an open circuit lets a call through")
		}
		wait(25 * time.Second)
		circuit(t, c, id(1, a1), HalfOpen, true) // five good probes later, and the longer hold-down of the second fall is over
	})
}

func TestProbesCloseACircuitThatNobodyTries(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), half, func(c *Checker) {
		fallen(t, w, c)
		wait(19 * time.Second)
		circuit(t, c, id(1, a1), HalfOpen, true)
		wait(6 * time.Second)
		state(t, c, id(1, a1), Up, "")
		w.mu.Lock()
		defer w.mu.Unlock()
		if last := w.changes[len(w.changes)-1]; !strings.Contains(last.Why, "no call came to try it and its probes were good for") {
			t.Error(last.Why)
		}
	})
}

func TestABadProbeOpensAHalfOpenCircuit(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), half, func(c *Checker) {
		fallen(t, w, c)
		w.set(a1, "refused")
		wait(5 * time.Second)
		circuit(t, c, id(1, a1), Open, false)
		state(t, c, id(1, a1), Down, "still")
	})
}

func TestATrialThatTellsNothingLapses(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), half, func(c *Checker) {
		fallen(t, w, c)
		c.Try(id(1, a1))
		wait(trialFor + 6*time.Second)
		circuit(t, c, id(1, a1), HalfOpen, true)
		if !c.Try(id(1, a1)) {
			t.Error("nobody may try it any more")
		}
	})
}

// Whatever the hold-down is, each fall lengthens it or leaves it as it is: it never wraps round to none.
func TestTheHoldDownNeverWrapsRound(t *testing.T) {
	const most = time.Duration(math.MaxInt64)
	for base, want := range map[time.Duration][]time.Duration{
		0:           {0, 0, 0, 0, 0},
		time.Second: {time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second},
		most/8 - 1:  {most/8 - 1, 2 * (most/8 - 1), 4 * (most/8 - 1), 8 * (most/8 - 1), 8 * (most/8 - 1)},
		most / 2:    {most / 2, most - 1, most, most, most},
		most:        {most, most, most, most, most},
	} {
		for falls, d := range want {
			if got := (Settings{HoldDown: base}).holdDown(falls); got != d {
				t.Errorf("%v after %d falls: %v, want %v", base, falls, got, d)
			}
		}
	}
	w, now := window{}, time.Now()
	for range 5 {
		w.fall(now, "it answers nothing", Settings{HoldDown: most / 2})
		if !w.holdTill.After(now) {
			t.Fatalf("after %d falls nothing is held: until %v", len(w.falls), w.holdTill)
		}
	}
}

func TestTooManyFallsHoldATargetDownUntilItIsQuiet(t *testing.T) {
	flap := Settings{Jitter: 0.0001, Fall: 1, Rise: 1, HoldDown: time.Millisecond, FlapMax: 3, FlapWithin: 5 * time.Minute, FlapQuiet: 2 * time.Minute}
	w := newWorld()
	live(t, w, watch(a1), flap, func(c *Checker) {
		wait(time.Second)
		for range 3 {
			w.set(a1, "refused")
			wait(5 * time.Second)
			w.set(a1, "")
			wait(5 * time.Second)
		}
		state(t, c, id(1, a1), Down, "3 falls in 5m0s are too many: held down until it was quiet for 2m0s")
		circuit(t, c, id(1, a1), Open, true)
		wait(time.Minute)
		w.set(a1, "refused")
		wait(5 * time.Second)
		w.set(a1, "")
		wait(110 * time.Second) // more than two minutes after the third fall, less after the last miss
		state(t, c, id(1, a1), Down, "too many")
		wait(20 * time.Second)
		state(t, c, id(1, a1), Up, "")
	})
}

func TestAPersonReleasesATargetThatFlapped(t *testing.T) {
	flap := Settings{Jitter: 0.0001, Fall: 1, Rise: 1, HoldDown: time.Millisecond, FlapMax: 1}
	for _, name := range []string{"p1", "p1/m", id(1, a1)} {
		w := newWorld()
		live(t, w, watch(a1), flap, func(c *Checker) {
			wait(time.Second)
			w.set(a1, "refused")
			wait(5 * time.Second)
			w.set(a1, "")
			wait(time.Minute)
			state(t, c, id(1, a1), Down, "too many")
			if n := c.Release("p9"); n != 0 {
				t.Errorf("a stranger was released: %d", n)
			}
			if n := c.Release(name); n != 1 {
				t.Fatalf("%s released %d targets", name, n)
			}
			state(t, c, id(1, a1), Down, "released by a person")
			wait(5 * time.Second)
			state(t, c, id(1, a1), Up, "")
		})
	}
}

func TestRetryAfterShutsAHalfOpenCircuit(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), half, func(c *Checker) {
		fallen(t, w, c)
		c.Try(id(1, a1))
		c.Outcome(Outcome{Target: id(1, a1), Busy: true, RetryAfter: 30 * time.Second, Final: 503})
		wait(time.Second)
		circuit(t, c, id(1, a1), Open, false) // it asked to be left alone: it is no last resort either
		state(t, c, id(1, a1), Down, "left alone until")
	})
}

func TestPercentilesAndWhereTheyAreMeasured(t *testing.T) {
	w := newWorld()
	two := []Watched{{Party: "p1", Members: []Member{{Name: "u", Host: a1, Transport: "udp"}, {Name: "t", Host: a1, Transport: "tls"}}}}
	live(t, w, two, Settings{Jitter: 0.0001}, func(c *Checker) {
		for i := range 100 {
			w.mu.Lock()
			w.delay[netip.MustParseAddr(a1)] = time.Duration(i+1) * time.Millisecond
			w.mu.Unlock()
			wait(5 * time.Second)
		}
		for _, s := range c.Table().ByParty["p1"] {
			for what, got := range map[string][2]time.Duration{"p50": {s.RTTP50, 50}, "p95": {s.RTTP95, 95}, "p99": {s.RTTP99, 99}} {
				if d := got[0] - got[1]*time.Millisecond; d < -2*time.Millisecond || d > 2*time.Millisecond {
					t.Errorf("%s: %s is %v, want about %d ms", s.Target.ID(), what, got[0], got[1])
				}
			}
		}
		list := c.Table().ByParty["p1"]
		if len(list) != 2 || list[0].Target.Transport == list[1].Target.Transport {
			t.Errorf("one address over two transports is measured as one: %v", list)
		}
	})
}

func TestWhatAFinalResponseSaysOfTheNetwork(t *testing.T) {
	for status, want := range map[int]fate{
		200: answered, 202: answered, 486: carried, 600: carried, 603: carried, 404: carried, 480: carried, 604: carried, 410: carried, 484: carried,
		487: unjudged, 302: unjudged, 488: unjudged, 407: unjudged, 422: unjudged,
		0: failed, 408: failed, 403: failed, 500: failed, 502: failed, 503: failed, 504: failed, 580: failed,
	} {
		if got := fateOf(status); got != want {
			t.Errorf("%d is %d, want %d", status, got, want)
		}
	}
}

// told sends n outcomes with one final response.
func told(c *Checker, n, final int, pdd time.Duration) {
	for range n {
		c.Outcome(Outcome{Target: id(1, a1), Alive: final >= 200 && final < 500 || final >= 600, Final: final, PDD: pdd, Cause: fmt.Sprint(final)})
	}
	wait(time.Millisecond)
}

func TestCallsThatGoBadlyDegradeATarget(t *testing.T) {
	for name, c := range map[string]struct {
		q    Quality
		feed func(*Checker)
		why  string // "": it stays up
	}{
		"asr": {Quality{MinASR: 0.5}, func(c *Checker) { told(c, 9, 200, 0); told(c, 11, 486, 0) }, "ASR 45 %, wanted 50 % (20 calls in 5m0s)"},
		"ner leaves out what people do": {Quality{MinNER: 0.9}, func(c *Checker) {
			for _, user := range []int{404, 486, 480, 600, 603} {
				told(c, 8, user, 0)
			}
		}, ""},
		"ner": {Quality{MinNER: 0.9}, func(c *Checker) { told(c, 17, 486, 0); told(c, 3, 403, 0) }, "NER 85 %, wanted 90 %"},
		"too few": {Quality{MinASR: 0.9, MinNER: 0.9, MaxPDD: time.Second}, func(c *Checker) {
			told(c, 19, 486, 8*time.Second)
		}, ""},
		"cancelled calls are no sample": {Quality{MinASR: 0.5}, func(c *Checker) { told(c, 5, 200, 0); told(c, 40, 487, 0) }, ""},
		"few are enough if so declared": {Quality{MinASR: 0.5, MinCalls: 3}, func(c *Checker) { told(c, 3, 486, 0) }, "ASR 0 %"},
		"pdd":                           {Quality{MaxPDD: 5 * time.Second}, func(c *Checker) { told(c, 20, 200, 6*time.Second) }, "6s until it rings, wanted at most 5s"},
		"mos": {Quality{MinMOS: 3.5}, func(c *Checker) {
			for range 20 {
				c.Outcome(Outcome{Target: id(1, a1), Ended: true, MOS: 3.1})
			}
			wait(time.Millisecond)
		}, "MOS 3.10, wanted 3.50"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			live(t, w, watch(a1), Settings{Jitter: 0.0001, Quality: c.q}, func(k *Checker) {
				wait(time.Second)
				c.feed(k)
				if c.why == "" {
					state(t, k, id(1, a1), Up, "")
					return
				}
				state(t, k, id(1, a1), Degraded, "its calls go badly: "+c.why)
				wait(5 * time.Second) // a good probe changes nothing
				state(t, k, id(1, a1), Degraded, "its calls go badly: "+c.why)
				if s, _ := k.Table().Status(id(1, a1)); s.Calls.Calls+s.Calls.Rated == 0 {
					t.Errorf("the table has no figures: %+v", s.Calls)
				}
			})
		})
	}
}

func TestAPoorTargetMustBeBetterThanTheThreshold(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{Jitter: 0.0001, Quality: Quality{MinASR: 0.5, Window: time.Hour}}, func(c *Checker) {
		wait(time.Second)
		told(c, 9, 200, 0)
		told(c, 11, 486, 0)
		state(t, c, id(1, a1), Degraded, "ASR 45 %")
		told(c, 3, 200, 0) // 12 of 23: 52 %, above the threshold and not by a tenth
		wait(time.Minute)
		state(t, c, id(1, a1), Degraded, "ASR 52 %")
		told(c, 5, 200, 0) // 17 of 28: 61 %
		wait(time.Minute)
		state(t, c, id(1, a1), Up, "")
	})
}

func TestOldCallsAreForgotten(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{Jitter: 0.0001, Quality: Quality{MinASR: 0.5, Window: 2 * time.Minute}}, func(c *Checker) {
		wait(time.Second)
		told(c, 20, 486, 0)
		state(t, c, id(1, a1), Degraded, "its calls go badly")
		wait(2*time.Minute + 40*time.Second)
		state(t, c, id(1, a1), Up, "")
	})
}

func TestBelowAThresholdATargetFallsIfItIsToldTo(t *testing.T) {
	w := newWorld()
	s := half
	s.Quality = Quality{MinASR: 0.5, Down: true}
	live(t, w, watch(a1), s, func(c *Checker) {
		wait(time.Second)
		told(c, 20, 486, 0)
		state(t, c, id(1, a1), Down, "its calls go badly: ASR 0 %")
		wait(5 * time.Second)
		circuit(t, c, id(1, a1), Open, true)
		wait(25 * time.Second)
		circuit(t, c, id(1, a1), HalfOpen, true)
		c.Try(id(1, a1))
		told(c, 1, 200, 0)
		state(t, c, id(1, a1), Up, "got through")
	})
}

func TestMistakesInTheSettingsOfCalls(t *testing.T) {
	for want, s := range map[string]Settings{
		"shares between 0 and 1":     {Quality: Quality{MinASR: 1.5}},
		"mos lies between":           {Quality: Quality{MinMOS: 5}},
		"the window of calls lies":   {Quality: Quality{Window: time.Millisecond}},
		"129 falls are no cap":       {FlapMax: 129},
		"a negative duration":        {FlapQuiet: -time.Second},
		"its least number of calls ": {Quality: Quality{MinCalls: -1}},
	} {
		if err := s.over(builtin).check("here"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", s, err, want)
		}
	}
}

package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

// world is what the Checker senses in a test: DNS, policy and the far ends.
type world struct {
	mu      sync.Mutex
	answers map[string][]resolve.Located
	failing map[string]error
	ttl     time.Duration
	verdict map[netip.Addr]sovereign.Ruling
	mood    map[netip.Addr]string // "" answers, "silent", "refused", "503", "408", "404"
	delay   map[netip.Addr]time.Duration
	probes  map[netip.Addr]int
	located int

	changes []Transition
	moves   []string
}

func newWorld() *world {
	return &world{
		answers: map[string][]resolve.Located{}, failing: map[string]error{}, ttl: time.Minute, verdict: map[netip.Addr]sovereign.Ruling{},
		mood: map[netip.Addr]string{}, delay: map[netip.Addr]time.Duration{}, probes: map[netip.Addr]int{},
	}
}

func (w *world) locate(_ context.Context, q resolve.Query) (resolve.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.located++
	if err := w.failing[q.Host]; err != nil {
		return resolve.Answer{}, err
	}
	list := w.answers[q.Host]
	if a, err := netip.ParseAddr(q.Host); err == nil {
		list = []resolve.Located{{Host: q.Host, Transport: q.Transport, Addr: netip.AddrPortFrom(a, 5060)}}
	}
	list = slices.Clone(list)
	for i := range list {
		list[i].Ruling = w.ruling(list[i].Addr.Addr())
	}
	return resolve.Answer{Located: list, Expires: time.Now().Add(w.ttl)}, nil
}

func (w *world) ruling(a netip.Addr) sovereign.Ruling {
	if r, ok := w.verdict[a]; ok {
		return r
	}
	return sovereign.Ruling{Verdict: sovereign.Permit, Ground: sovereign.GroundInEEA, Country: "DE"}
}

func (w *world) judge(a sovereign.Ask) sovereign.Ruling {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ruling(a.Addr.Addr())
}

func (w *world) Probe(ctx context.Context, t Target) (Sample, error) {
	w.mu.Lock()
	a := t.Addr.Addr()
	w.probes[a]++
	mood, delay := w.mood[a], w.delay[a]
	w.mu.Unlock()
	if delay == 0 {
		delay = 10 * time.Millisecond
	}
	if mood == "silent" {
		<-ctx.Done()
		return Sample{}, ctx.Err()
	}
	if mood == "refused" {
		return Sample{}, errors.New("connection refused")
	}
	select {
	case <-ctx.Done():
		return Sample{}, ctx.Err()
	case <-time.After(delay):
	}
	s := Sample{RTT: delay, Status: 200}
	if mood != "" {
		fmt.Sscanf(mood, "%d", &s.Status)
	}
	return s, nil
}

func (w *world) set(addr, mood string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mood[netip.MustParseAddr(addr)] = mood
}

func (w *world) rule(addr string, v sovereign.Verdict, c sovereign.Country) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.verdict[netip.MustParseAddr(addr)] = sovereign.Ruling{Verdict: v, Ground: "test", Why: "by the test", Country: c}
}

func (w *world) probed(addr string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.probes[netip.MustParseAddr(addr)]
}

func (w *world) name(host string, addrs ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []resolve.Located
	for _, a := range addrs {
		list = append(list, resolve.Located{Host: host, Transport: "udp", Addr: netip.AddrPortFrom(netip.MustParseAddr(a), 5060)})
	}
	w.answers[host] = list
}

func (w *world) changed(t Transition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.changes = append(w.changes, t)
}

func (w *world) moved(party, host string, before, after []resolve.Located) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.moves = append(w.moves, fmt.Sprintf("%s %s %d %d", party, host, len(before), len(after)))
}

// steps gives the transitions of one address as words: "unknown>up".
func (w *world) steps(addr string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var s []string
	for _, t := range w.changes {
		if t.Target.Addr.Addr() == netip.MustParseAddr(addr) {
			s = append(s, t.From.String()+">"+t.To.String())
		}
	}
	return s
}

// one watches literal addresses, one party each: p1, p2, ...
func watch(addrs ...string) []Watched {
	var list []Watched
	for i, a := range addrs {
		list = append(list, Watched{Party: fmt.Sprintf("p%d", i+1), Members: []Member{{Name: "m", Host: a, Transport: "udp"}}})
	}
	return list
}

func id(party int, addr string) string { return fmt.Sprintf("p%d/m/udp/%s:5060", party, addr) }

// live runs f beside a running Checker in virtual time.
func live(t *testing.T, w *world, watched []Watched, d Settings, f func(*Checker)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{
			Watched: watched, Defaults: d, Prober: w, Locate: w.locate, Judge: w.judge, Moved: w.moved, Changed: w.changed,
			Metrics: prometheus.NewPedanticRegistry(),
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel() // also when f gives up
		done := make(chan error, 1)
		go func() { done <- c.Run(ctx) }()
		f(c)
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

// wait lets virtual time pass and everything settle.
func wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func state(t *testing.T, c *Checker, id string, want State, why string) {
	t.Helper()
	s, ok := c.Table().Status(id)
	if !ok {
		t.Fatalf("%s is not in the table", id)
	}
	if s.State != want || !strings.Contains(s.Why, why) || s.Why == "" {
		t.Fatalf("%s is %v because %q, want %v because %q", id, s.State, s.Why, want, why)
	}
}

const a1, a2, a3, a4, a5 = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4", "192.0.2.5"

func TestFirstAnswerIsEnoughForUp(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{}, func(c *Checker) {
		wait(time.Second)
		state(t, c, id(1, a1), Up, "first answer")
		if got, _, _ := c.Table().Party("p1"); got != Up {
			t.Fatalf("party is %v", got)
		}
	})
}

func TestSilenceFromTheStartNeedsFallMisses(t *testing.T) {
	w := newWorld()
	w.set(a1, "silent")
	live(t, w, watch(a1), Settings{}, func(c *Checker) {
		wait(8 * time.Second) // two probes are over: 0 s and about 5 s, 2 s each
		state(t, c, id(1, a1), Unknown, "2 of 3 OPTIONS unanswered")
		wait(6 * time.Second)
		state(t, c, id(1, a1), Down, "3 of 3 OPTIONS unanswered since")
	})
}

func TestFallsAfterThreeAndRisesAfterFive(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{Jitter: 0.0001}, func(c *Checker) {
		wait(time.Second)
		w.set(a1, "refused")
		wait(10 * time.Second)
		state(t, c, id(1, a1), Up, "2 of 3 OPTIONS failed (connection refused)")
		wait(5 * time.Second)
		state(t, c, id(1, a1), Down, "3 of 3 OPTIONS failed")
		w.set(a1, "")
		wait(20 * time.Second)
		state(t, c, id(1, a1), Down, "4 of 5 good answers since it fell at")
		wait(5 * time.Second)
		state(t, c, id(1, a1), Up, "5 good answers in a row")
		if got := fmt.Sprint(w.steps(a1)); got != "[unknown>up up>down down>up]" {
			t.Fatal(got)
		}
	})
}

func TestOneGoodAnswerResetsTheMisses(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{Jitter: 0.0001}, func(c *Checker) {
		wait(time.Second)
		for range 5 {
			w.set(a1, "refused")
			wait(10 * time.Second)
			w.set(a1, "")
			wait(5 * time.Second)
			state(t, c, id(1, a1), Up, "answers")
		}
		if n := len(w.steps(a1)); n != 1 {
			t.Fatalf("%d transitions, want the first alone", n)
		}
	})
}

func TestFlappingIsDamped(t *testing.T) {
	w := newWorld()
	s := Settings{Interval: time.Second, Timeout: 500 * time.Millisecond, Jitter: 0.0001, Fall: 1, Rise: 1, HoldDown: 10 * time.Second}
	live(t, w, watch(a1), s, func(c *Checker) {
		wait(500 * time.Millisecond)
		downs := 0
		for range 120 { // up for one probe, down for one probe, for 240 s
			w.set(a1, "refused")
			wait(time.Second)
			w.set(a1, "")
			wait(time.Second)
		}
		for _, st := range w.steps(a1) {
			if st == "up>down" {
				downs++
			}
		}
		// Hold-downs of 10, 20, 40, 80, 80 s leave room for about five falls in 240 s; without damping there would be 20 and more.
		if downs < 3 || downs > 6 {
			t.Fatalf("%d falls", downs)
		}
	})
}

func TestHoldDownKeepsATargetDown(t *testing.T) {
	w := newWorld()
	s := Settings{Interval: time.Second, Timeout: 500 * time.Millisecond, Jitter: 0.0001, Fall: 1, Rise: 2, HoldDown: 20 * time.Second}
	live(t, w, watch(a1), s, func(c *Checker) {
		wait(500 * time.Millisecond)
		w.set(a1, "refused")
		wait(time.Second)
		w.set(a1, "")
		wait(18 * time.Second)
		state(t, c, id(1, a1), Down, "held down until")
		wait(3 * time.Second)
		state(t, c, id(1, a1), Up, "answers")
	})
}

func TestUnwillingIsDegradedFirstAndDownWhenItLasts(t *testing.T) {
	w := newWorld()
	s := Settings{Interval: time.Second, Timeout: 500 * time.Millisecond, Jitter: 0.0001}
	for _, mood := range []string{"503", "500"} {
		live(t, w, watch(a1), s, func(c *Checker) {
			w.set(a1, "")
			wait(500 * time.Millisecond)
			w.set(a1, mood)
			wait(time.Second)
			state(t, c, id(1, a1), Degraded, "1 of 3 OPTIONS answered "+mood)
			wait(2 * time.Second)
			state(t, c, id(1, a1), Down, "3 of 3 OPTIONS answered "+mood)
			if s, _ := c.Table().Status(id(1, a1)); time.Since(s.LastSeen) > time.Second {
				t.Fatal("a refusal is an answer: LastSeen must follow it")
			}
		})
	}
}

func TestWhatCountsAsLife(t *testing.T) {
	for mood, want := range map[string]evidence{"200": hit, "404": hit, "403": hit, "405": hit, "486": hit, "603": hit, "408": miss, "503": busy, "500": busy, "504": busy} {
		var s Sample
		fmt.Sscanf(mood, "%d", &s.Status)
		if got, _ := reading(s, nil); got != want {
			t.Errorf("%s reads as %v, want %v", mood, got, want)
		}
	}
	if got, why := reading(Sample{}, fmt.Errorf("probe: %w", context.DeadlineExceeded)); got != miss || why != "OPTIONS unanswered" {
		t.Error(got, why)
	}
}

func TestSlowIsDegraded(t *testing.T) {
	w := newWorld()
	s := Settings{Interval: time.Second, Timeout: 900 * time.Millisecond, Jitter: 0.0001, SlowRTT: 100 * time.Millisecond}
	live(t, w, watch(a1), s, func(c *Checker) {
		wait(500 * time.Millisecond)
		state(t, c, id(1, a1), Up, "")
		w.mu.Lock()
		w.delay[netip.MustParseAddr(a1)] = 400 * time.Millisecond
		w.mu.Unlock()
		wait(20 * time.Second)
		state(t, c, id(1, a1), Degraded, "slow: ")
		w.mu.Lock()
		w.delay[netip.MustParseAddr(a1)] = 20 * time.Millisecond
		w.mu.Unlock()
		wait(30 * time.Second)
		state(t, c, id(1, a1), Up, "answers")
		st, _ := c.Table().Status(id(1, a1))
		if st.RTTMin != 10*time.Millisecond || st.RTTP95 != 400*time.Millisecond || st.RTT < 20*time.Millisecond || st.RTT > 90*time.Millisecond {
			t.Fatalf("rtt %v min %v p95 %v", st.RTT, st.RTTMin, st.RTTP95)
		}
	})
}

func TestCallsFeedTheSameWindow(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{}, func(c *Checker) {
		wait(time.Second)
		w.set(a1, "silent")
		for range 3 {
			c.Outcome(Outcome{Target: id(1, a1), Cause: "silent", At: time.Now()})
		}
		wait(time.Millisecond)
		state(t, c, id(1, a1), Down, "3 of 3 calls or probes failed (silent)")
		if got := fmt.Sprint(w.steps(a1)); got != "[unknown>up up>down]" {
			t.Fatal(got)
		}
	})
}

func TestAFailedCallAsksForAProbeAtOnce(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{}, func(c *Checker) {
		wait(time.Second)
		before := w.probed(a1)
		c.Outcome(Outcome{Target: id(1, a1), Cause: "silent"})
		wait(100 * time.Millisecond)
		if got := w.probed(a1); got != before+1 {
			t.Fatalf("%d probes after a failed call, want one more than %d", got, before)
		}
		state(t, c, id(1, a1), Up, "answers")
	})
}

func TestRetryAfterCoolsDown(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{}, func(c *Checker) {
		wait(time.Second)
		c.Outcome(Outcome{Target: id(1, a1), Busy: true, RetryAfter: 12 * time.Second})
		wait(time.Millisecond)
		state(t, c, id(1, a1), Down, "Retry-After 12s")
		wait(11 * time.Second)
		state(t, c, id(1, a1), Down, "left alone until")
		wait(1100 * time.Millisecond)
		state(t, c, id(1, a1), Up, "Retry-After is over")
	})
}

func TestRetryAfterIsBounded(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{}, func(c *Checker) {
		wait(time.Second)
		c.Outcome(Outcome{Target: id(1, a1), Busy: true, RetryAfter: 1 << 62})
		wait(maxCool + time.Second)
		state(t, c, id(1, a1), Up, "Retry-After is over")
	})
}

func TestBusyCallsDegrade(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{}, func(c *Checker) {
		wait(time.Second)
		c.Outcome(Outcome{Target: id(1, a1), Busy: true, Cause: "503"})
		wait(time.Millisecond)
		state(t, c, id(1, a1), Degraded, "calls or probes refused (503)")
	})
}

func TestAStrangersOutcomeIsNothing(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1), Settings{}, func(c *Checker) {
		wait(time.Second)
		for _, id := range []string{"", "p1", "p1/m", "p1/m/udp/198.51.100.1:5060", "x/y/z"} {
			c.Outcome(Outcome{Target: id})
		}
		wait(time.Millisecond)
		state(t, c, id(1, a1), Up, "")
	})
}

func TestSelfDoubt(t *testing.T) {
	w := newWorld()
	s := Settings{Interval: time.Second, Timeout: 500 * time.Millisecond, Jitter: 0.0001}
	live(t, w, watch(a1, a2, a3, a4, a5), s, func(c *Checker) {
		wait(500 * time.Millisecond)
		for _, a := range []string{a1, a2, a3, a4} {
			w.set(a, "silent")
		}
		wait(4 * time.Second)
		state(t, c, id(1, a1), Up, "this node doubts itself until")
		state(t, c, id(5, a5), Up, "answers")
		w.set(a1, "") // one comes back inside the time of doubt; the others do not
		wait(3 * time.Second)
		state(t, c, id(1, a1), Up, "answers")
		state(t, c, id(2, a2), Down, "")
		state(t, c, id(4, a4), Down, "")
		for _, a := range []string{a2, a3, a4} {
			w.set(a, "")
		}
		wait(20 * time.Second)
		state(t, c, id(2, a2), Up, "answers")
		for _, a := range []string{a1, a2, a3, a4, a5} { // and it can doubt again
			w.set(a, "silent")
		}
		wait(4 * time.Second)
		state(t, c, id(3, a3), Up, "doubts itself")
		wait(4 * time.Second)
		for i, a := range []string{a1, a2, a3, a4, a5} {
			state(t, c, id(i+1, a), Down, "")
		}
	})
}

func TestNoDoubtWhenFewFail(t *testing.T) {
	for name, silent := range map[string][]string{"two of two": {a1, a2}, "three of five": {a1, a2, a3}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			all := []string{a1, a2, a3, a4, a5}
			if name == "two of two" {
				all = all[:2]
			}
			live(t, w, watch(all...), Settings{Interval: time.Second, Timeout: 500 * time.Millisecond, Jitter: 0.0001}, func(c *Checker) {
				wait(500 * time.Millisecond)
				for _, a := range silent {
					w.set(a, "refused")
				}
				wait(3 * time.Second)
				for i, a := range silent {
					state(t, c, id(i+1, a), Down, "3 of 3")
				}
			})
		})
	}
}

func TestOnePartyAloneRaisesNoDoubt(t *testing.T) {
	w := newWorld()
	p := Watched{Party: "p1"}
	for _, a := range []string{a1, a2, a3, a4} {
		p.Members = append(p.Members, Member{Name: a, Host: a, Transport: "udp"})
	}
	live(t, w, []Watched{p}, Settings{Interval: time.Second, Timeout: 500 * time.Millisecond, Jitter: 0.0001}, func(c *Checker) {
		wait(500 * time.Millisecond)
		for _, a := range []string{a1, a2, a3, a4} {
			w.set(a, "refused")
		}
		wait(3 * time.Second)
		if got, _, why := c.Table().Party("p1"); got != Down {
			t.Fatal(got, why)
		}
	})
}

func TestHeldAndDeniedAreListedAndNeverProbed(t *testing.T) {
	w := newWorld()
	w.rule(a1, sovereign.Hold, "US")
	w.rule(a2, sovereign.Deny, "RU")
	live(t, w, watch(a1, a2), Settings{}, func(c *Checker) {
		wait(time.Minute)
		state(t, c, id(1, a1), Unknown, "not probed: held (test): by the test")
		state(t, c, id(2, a2), Unknown, "not probed: denied (test)")
		if w.probed(a1)+w.probed(a2) != 0 {
			t.Fatal("a held or denied target was probed")
		}
		if len(w.changes) != 0 {
			t.Fatal(w.changes)
		}
	})
}

func TestPokeUnderAGrantProbesAtOnce(t *testing.T) {
	w := newWorld()
	w.rule(a1, sovereign.Hold, "US")
	live(t, w, watch(a1), Settings{Interval: time.Minute}, func(c *Checker) {
		wait(time.Second)
		w.rule(a1, sovereign.Permit, "US")
		wait(time.Second)
		if w.probed(a1) != 0 {
			t.Fatal("probed before the poke and before its interval")
		}
		c.Poke()
		wait(20 * time.Millisecond)
		state(t, c, id(1, a1), Up, "first answer")
		w.rule(a1, sovereign.Hold, "US")
		c.Poke()
		wait(20 * time.Millisecond)
		state(t, c, id(1, a1), Unknown, "held")
		if n := w.probed(a1); n != 1 {
			t.Fatalf("%d probes", n)
		}
		if got := fmt.Sprint(w.steps(a1)); got != "[unknown>up up>unknown]" {
			t.Fatal(got)
		}
	})
}

func TestReloadKeepsHistory(t *testing.T) {
	w := newWorld()
	live(t, w, watch(a1, a2), Settings{}, func(c *Checker) {
		wait(30 * time.Second)
		before, _ := c.Table().Status(id(1, a1))
		if err := c.Reload(watch(a1), Settings{Interval: 3 * time.Second}); err != nil {
			t.Fatal(err)
		}
		wait(10 * time.Millisecond)
		after, _ := c.Table().Status(id(1, a1))
		if after.Since != before.Since || after.RTTMin != before.RTTMin || after.State != Up {
			t.Fatalf("history is lost: %+v, was %+v", after, before)
		}
		if _, ok := c.Table().Status(id(2, a2)); ok || c.Table().ByParty["p2"] != nil {
			t.Fatal("a party that left is still in the table")
		}
		if got := fmt.Sprint(w.steps(a2)); got != "[unknown>up up>unknown]" {
			t.Fatal(got)
		}
		gone := w.probed(a2)
		wait(time.Minute)
		if w.probed(a2) != gone {
			t.Fatal("a target that left is still probed")
		}
		if err := c.Reload(watch(a1), Settings{Interval: time.Second, Timeout: time.Second}); err == nil {
			t.Fatal("a timeout as long as the interval was taken")
		}
		wait(time.Second)
		state(t, c, id(1, a1), Up, "")
	})
}

func TestAnswersMove(t *testing.T) {
	w := newWorld()
	w.ttl = 10 * time.Second
	w.name("sip.example", a1, a2)
	watched := []Watched{{Party: "p1", Members: []Member{{Name: "m", Host: "sip.example", Transport: "udp", Port: 5060}}}}
	live(t, w, watched, Settings{}, func(c *Checker) {
		wait(5 * time.Second)
		state(t, c, id(1, a1), Up, "")
		w.name("sip.example", a2, a3) // another address of the same country is no move
		wait(10 * time.Second)
		if len(w.moves) != 0 {
			t.Fatal(w.moves)
		}
		state(t, c, id(1, a3), Up, "answer")
		if _, ok := c.Table().Status(id(1, a1)); ok {
			t.Fatal("an address that left DNS is still listed")
		}
		w.rule(a4, sovereign.Hold, "US")
		w.name("sip.example", a2, a4)
		wait(10 * time.Second)
		if got := fmt.Sprint(w.moves); got != "[p1 sip.example 2 2]" {
			t.Fatal(got)
		}
		state(t, c, id(1, a4), Unknown, "held")
		state(t, c, id(1, a2), Up, "")
	})
}

func TestASilentResolverKeepsTheTargets(t *testing.T) {
	w := newWorld()
	w.ttl = 10 * time.Second
	w.name("sip.example", a1)
	watched := []Watched{{Party: "p1", Members: []Member{{Name: "m", Host: "sip.example", Transport: "udp", Port: 5060}}}}
	fail := func(err error) {
		w.mu.Lock()
		w.failing["sip.example"] = err
		w.mu.Unlock()
	}
	live(t, w, watched, Settings{}, func(c *Checker) {
		wait(5 * time.Second)
		fail(fmt.Errorf("resolve: sip.example: %w", resolve.ErrNoAnswer))
		wait(time.Minute)
		state(t, c, id(1, a1), Up, "")
		fail(fmt.Errorf("resolve: sip.example: %w", resolve.ErrNoName))
		wait(time.Minute)
		list := c.Table().ByParty["p1"]
		if len(list) != 1 || list[0].Target.Addr.IsValid() || !strings.Contains(list[0].Why, "no such name") || list[0].State != Unknown {
			t.Fatalf("%+v", list)
		}
		if got := fmt.Sprint(w.steps(a1)); got != "[unknown>up up>unknown]" {
			t.Fatal(got)
		}
		fail(nil)
		wait(time.Minute)
		state(t, c, id(1, a1), Up, "")
	})
}

func TestFencedProbesTeachNothing(t *testing.T) {
	w := newWorld()
	fence := proberFunc(func(context.Context, Target) (Sample, error) {
		return Sample{}, fmt.Errorf("sip: probe: %w", sovereign.ErrFenced)
	})
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Watched: watch(a1), Prober: fence, Locate: w.locate, Judge: w.judge})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go func() { time.Sleep(time.Minute); synctest.Wait(); cancel() }()
		if err := c.Run(ctx); err != nil {
			t.Fatal(err)
		}
		state(t, c, id(1, a1), Unknown, "not probed: ")
	})
}

type proberFunc func(context.Context, Target) (Sample, error)

func (f proberFunc) Probe(ctx context.Context, t Target) (Sample, error) { return f(ctx, t) }

func TestChangedMayBlockAndKeepsOrder(t *testing.T) {
	w := newWorld()
	synctest.Test(t, func(t *testing.T) {
		var got []string
		c, err := New(Config{
			Watched: watch(a1, a2), Defaults: Settings{Interval: time.Second, Timeout: 500 * time.Millisecond, Jitter: 0.0001, Fall: 1, Rise: 1, HoldDown: time.Millisecond},
			Prober: w, Locate: w.locate, Judge: w.judge,
			Changed: func(tr Transition) {
				time.Sleep(3 * time.Second) // a slow disk
				got = append(got, tr.Target.Party+":"+tr.From.String()+">"+tr.To.String())
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		wait(500 * time.Millisecond)
		w.set(a1, "refused")
		wait(time.Second)
		state(t, c, id(1, a1), Down, "") // the table does not wait for Changed
		w.set(a1, "")
		wait(time.Second)
		state(t, c, id(1, a1), Up, "")
		wait(20 * time.Second)
		cancel()
		<-done
		var p1 []string
		for _, s := range got {
			if strings.HasPrefix(s, "p1:") {
				p1 = append(p1, strings.TrimPrefix(s, "p1:"))
			}
		}
		if s := fmt.Sprint(p1); s != "[unknown>up up>down down>up]" {
			t.Fatal(s)
		}
	})
}

func TestProbesAreBounded(t *testing.T) {
	w := newWorld()
	p := Watched{Party: "p1"}
	for i := range maxProbes + 50 {
		a := fmt.Sprintf("198.51.%d.%d", 100+i/250, 1+i%250)
		p.Members = append(p.Members, Member{Name: a, Host: a, Transport: "udp"})
	}
	var mu sync.Mutex
	under, most := 0, 0
	slow := proberFunc(func(ctx context.Context, t Target) (Sample, error) {
		mu.Lock()
		under++
		most = max(most, under)
		mu.Unlock()
		time.Sleep(time.Second)
		mu.Lock()
		under--
		mu.Unlock()
		return Sample{RTT: time.Second, Status: 200}, nil
	})
	synctest.Test(t, func(t *testing.T) {
		c, err := New(Config{Watched: []Watched{p}, Prober: slow, Locate: w.locate, Judge: w.judge})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- c.Run(ctx) }()
		wait(4 * time.Second)
		for _, s := range c.Table().ByParty["p1"] {
			if s.State != Up {
				t.Fatalf("%s is %v: %s", s.Target.ID(), s.State, s.Why)
			}
		}
		cancel()
		<-done
		if most > maxProbes {
			t.Fatalf("%d probes at once", most)
		}
	})
}

func TestPriorities(t *testing.T) {
	w := newWorld()
	loc := func(addr string, prio, weight uint16) resolve.Located {
		return resolve.Located{Transport: "udp", Addr: netip.AddrPortFrom(netip.MustParseAddr(addr), 5060), Priority: prio, Weight: weight}
	}
	w.answers["srv.example"] = []resolve.Located{loc(a1, 10, 60), loc(a2, 20, 0)}
	w.answers["other.example"] = []resolve.Located{loc(a3, 10, 0)}
	for _, tc := range []struct {
		name    string
		members []Member
		want    string
	}{
		{"srv alone", []Member{{Name: "a", Host: "srv.example"}}, "192.0.2.1=10/60 192.0.2.2=20/0"},
		{"members alone", []Member{{Name: "b", Host: a4, Transport: "udp", Priority: 7, Weight: 3}, {Name: "a", Host: a5, Transport: "udp", Priority: 9}}, "192.0.2.4=7/3 192.0.2.5=9/0"},
		{"both", []Member{{Name: "b", Host: "srv.example", Priority: 2}, {Name: "a", Host: "other.example", Priority: 1}}, "192.0.2.3=1/0 192.0.2.1=2/60 192.0.2.2=3/0"},
		{"equal", []Member{{Name: "b", Host: a4, Transport: "udp"}, {Name: "a", Host: a5, Transport: "udp"}}, "192.0.2.5=0/0 192.0.2.4=0/0"},
	} {
		live(t, w, []Watched{{Party: "p1", Members: tc.members}}, Settings{}, func(c *Checker) {
			wait(time.Second)
			var got []string
			for _, s := range c.Table().ByParty["p1"] {
				got = append(got, fmt.Sprintf("%v=%d/%d", s.Target.Addr.Addr(), s.Target.Priority, s.Target.Weight))
			}
			if s := strings.Join(got, " "); s != tc.want {
				t.Errorf("%s: %s, want %s", tc.name, s, tc.want)
			}
		})
	}
}

func TestConfigMistakes(t *testing.T) {
	w := newWorld()
	for want, c := range map[string]Config{
		"Prober, Locate and Judge are required": {},
		"timeout 5s must be smaller than interval 5s": {
			Watched: watch(a1), Defaults: Settings{Timeout: 5 * time.Second},
		},
		"jitter":                 {Watched: watch(a1), Defaults: Settings{Jitter: 0.9}},
		"fall -1":                {Watched: watch(a1), Defaults: Settings{Fall: -1}},
		"watched twice":          {Watched: append(watch(a1), watch(a1)...)},
		"has no host":            {Watched: []Watched{{Party: "p", Members: []Member{{Name: "m"}}}}},
		"listed twice":           {Watched: []Watched{{Party: "p", Members: []Member{{Name: "m", Host: "a.example"}, {Name: "m", Host: "b.example"}}}}},
		"needs a transport":      {Watched: []Watched{{Party: "p", Members: []Member{{Name: "m", Host: "[2001:db8::1]"}}}}},
		"none of udp, tcp, tls":  {Watched: []Watched{{Party: "p", Members: []Member{{Name: "m", Host: "a.example", Transport: "sctp"}}}}},
		"cannot contain a slash": {Watched: []Watched{{Party: "p/q"}}},
		"interval 1ms":           {Watched: watch(a1), Defaults: Settings{Interval: time.Millisecond}},
		"a negative duration":    {Watched: watch(a1), Defaults: Settings{HoldDown: -1}},
	} {
		if want != "Prober, Locate and Judge are required" {
			c.Prober, c.Locate, c.Judge = w, w.locate, w.judge
		}
		if _, err := New(c); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "healthcheck: ") {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

func TestBeforeRunEverythingIsUnknown(t *testing.T) {
	w := newWorld()
	c, err := New(Config{Watched: watch(a1), Prober: w, Locate: w.locate, Judge: w.judge})
	if err != nil {
		t.Fatal(err)
	}
	state, _, why := c.Table().Party("p1")
	if state != Unknown || why != "not resolved yet" {
		t.Fatal(state, why)
	}
	if state, _, why := c.Table().Party("nobody"); state != Unknown || why == "" {
		t.Fatal(state, why)
	}
	var none *Table
	if _, ok := none.Status("x"); ok {
		t.Fatal("a nil table knows something")
	}
	if s, _, _ := none.Party("x"); s != Unknown {
		t.Fatal(s)
	}
	for range maxOutcomes + 10 { // nobody reads: it must not block
		c.Outcome(Outcome{Target: "p1/m/udp/192.0.2.1:5060"})
	}
}

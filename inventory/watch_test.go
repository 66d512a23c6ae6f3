package inventory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var day = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// world is what a watcher sees: names, and a policy that permits 10/8 in DE and denies the rest.
type world struct {
	mu       sync.Mutex
	names    map[string][]string
	rulings  map[string]sovereign.Verdict // by address, where it is another one
	mute     map[string]bool
	asked    []string
	told     []string
	kept     map[string]State
	resolved int
}

func (w *world) config() Config {
	return Config{
		Resolve: func(_ context.Context, host string) (out []netip.Addr, err error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.resolved++
			for _, a := range w.names[host] {
				out = append(out, netip.MustParseAddr(a))
			}
			if len(out) == 0 {
				err = errors.New("no such name")
			}
			return out, err
		},
		Place: func(_ *Entry, list []netip.AddrPort) (out []Located) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, a := range list {
				l := located(sovereign.Deny)
				if strings.HasPrefix(a.Addr().String(), "10.") {
					l = located(sovereign.Permit, "DE")
				}
				if v, ok := w.rulings[a.Addr().String()]; ok {
					l.Ruling.Verdict = v
				}
				out = append(out, l)
			}
			return out
		},
		Look: func(ctx context.Context, _ *Entry, to netip.AddrPort) (Identity, error) {
			w.mu.Lock()
			mute := w.mute[to.Addr().String()]
			w.asked = append(w.asked, to.Addr().String())
			w.mu.Unlock()
			if mute {
				<-ctx.Done()
				return Identity{}, ctx.Err()
			}
			return Identity{SPKI: "of " + to.Addr().String()}, nil
		},
		Looked: func(*Entry, *State) {},
		Changed: func(e *Entry, before Verdict, s *State) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, fmt.Sprintf("%s %s>%s", e.Name, before, s.Verdict))
		},
		Keep: func(s *State) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if w.kept == nil {
				w.kept = map[string]State{}
			}
			w.kept[s.Entry] = *s
		},
		Logger: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(),
	}
}

func (w *world) take() (asked, told []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked, told = w.asked, w.told
	w.asked, w.told = nil, nil
	slices.Sort(asked)
	return slices.Compact(asked), told
}

func (w *world) set(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
}

// run lets a watcher of the entries look while f does something.
func (w *world) run(t *testing.T, entries []Entry, f func(*Watcher)) {
	t.Helper()
	var kept []State
	for _, s := range w.kept {
		kept = append(kept, s)
	}
	x, err := New(w.config(), entries, kept)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- x.Run(ctx) }()
	f(x)
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func watched() Entry {
	e := crm
	e.Every = time.Minute
	return e
}

func (w *world) expect(t *testing.T, what, asked, told string) {
	t.Helper()
	synctest.Wait()
	a, b := w.take()
	if strings.Join(a, " ") != asked || strings.Join(b, ", ") != told {
		t.Errorf("%s: asked %q, told %q", what, a, b)
	}
}

// An endpoint whose name moves abroad: it is told of once, over a restart too, and nobody connects to the new address. When it comes back, that is told.
func TestAnEndpointThatMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{"crm.example": {"10.0.0.1"}}, rulings: map[string]sovereign.Verdict{}}
		list := []Entry{watched()}
		w.run(t, list, func(x *Watcher) {
			w.expect(t, "the first look", "10.0.0.1", "crm unknown>permit")
			time.Sleep(10 * time.Minute)
			w.expect(t, "nothing new", "10.0.0.1", "")
			w.set(func() { w.names["crm.example"] = []string{"10.0.0.1", "198.51.100.1"} })
			time.Sleep(2 * time.Minute)
			w.expect(t, "abroad", "10.0.0.1", "crm permit>deny")
			if n := testutil.ToFloat64(x.verdicts.WithLabelValues("deny")); n != 1 {
				t.Errorf("the gauge says %v", n)
			}
		})
		if w.resolved < 10 || w.resolved > 16 {
			t.Errorf("resolved %d times in 12 minutes", w.resolved)
		}
		w.run(t, list, func(x *Watcher) {
			if _, s := x.List(); s[0].Verdict != Deny || len(s[0].Answers) != 2 || s[0].Answers[0].TLS.SPKI != "of 10.0.0.1" {
				t.Errorf("after a restart: %+v", s)
			}
			time.Sleep(2 * time.Minute)
			w.expect(t, "after a restart", "10.0.0.1", "")
			w.set(func() { w.names["crm.example"] = []string{"10.0.0.1"} })
			time.Sleep(2 * time.Minute)
			w.expect(t, "back", "10.0.0.1", "crm deny>permit")
		})
	})
}

func TestANameThatLeadsNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{}}
		w.run(t, []Entry{watched()}, func(x *Watcher) {
			w.expect(t, "nowhere", "", "crm unknown>unknown")
			w.set(func() { w.names["crm.example"] = []string{"10.0.0.1"} })
			time.Sleep(40 * time.Second) // sooner than the interval
			w.expect(t, "there", "10.0.0.1", "crm unknown>permit")
			w.set(func() { w.names = map[string][]string{} })
			time.Sleep(5 * time.Minute)
			w.expect(t, "gone", "", "crm permit>permit")
			if _, s := x.List(); s[0].Failure == "" || len(s[0].Answers) != 1 || s[0].Verdict != Permit {
				t.Errorf("the last answers are forgotten: %+v", s[0])
			}
			if n := testutil.ToFloat64(x.looks.WithLabelValues(lookUnresolved)); n < 5 {
				t.Errorf("counted %v looks in vain", n)
			}
		})
	})
}

// The policy changes: what is known is judged anew at once, and so is what a look that was under way has found.
func TestAnotherPolicyJudgesAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{"crm.example": {"10.0.0.1"}}, rulings: map[string]sovereign.Verdict{}, mute: map[string]bool{"10.0.0.1": true}}
		w.run(t, []Entry{watched()}, func(x *Watcher) {
			time.Sleep(time.Second) // the look waits for the handshake
			w.set(func() { w.rulings["10.0.0.1"] = sovereign.Hold })
			x.Poke()
			time.Sleep(2 * lookIn)
			w.expect(t, "while a look was under way", "10.0.0.1", "crm unknown>hold")
			w.set(func() { clear(w.rulings) })
			x.Poke()
			w.expect(t, "between looks", "", "crm hold>permit")
			if _, s := x.List(); s[0].Answers[0].Failure == "" {
				t.Errorf("who did not say who it is: %+v", s[0].Answers)
			}
		})
	})
}

func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{"crm.example": {"10.0.0.1"}, "other.example": {"10.0.0.2"}}}
		e := watched()
		w.run(t, []Entry{e}, func(x *Watcher) {
			w.expect(t, "first", "10.0.0.1", "crm unknown>permit")
			x.Reload([]Entry{e})
			time.Sleep(5 * time.Second)
			w.expect(t, "the same", "", "")
			e.Host = "other.example"
			x.Reload([]Entry{e})
			time.Sleep(5 * time.Second)
			w.expect(t, "another host", "10.0.0.2", "crm unknown>permit")
			e.Anycast = true
			x.Reload([]Entry{e})
			time.Sleep(5 * time.Second)
			w.expect(t, "anycast", "", "crm permit>unprovable")
			e.Anycast, e.TLS, e.Contract = false, false, "another"
			x.Reload([]Entry{e})
			time.Sleep(5 * time.Minute)
			w.expect(t, "no handshakes", "", "crm unprovable>permit")
			e.Every = 0
			x.Reload([]Entry{e})
			before := w.resolved
			time.Sleep(5 * time.Minute)
			if list, _ := x.List(); w.resolved != before || len(list) != 1 {
				t.Errorf("%d looks at what nobody watches", w.resolved-before)
			}
			x.Reload(nil)
			if list, _ := x.List(); len(list) != 0 {
				t.Errorf("%+v", list)
			}
		})
	})
}

// Many entries of which some hang: the others are looked at in time.
func TestThoseThatHangHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{names: map[string][]string{}, mute: map[string]bool{}}
		var list []Entry
		for i := range 40 {
			e := watched()
			e.Name, e.Host = fmt.Sprintf("e%02d", i), fmt.Sprintf("e%02d.example", i)
			addr := fmt.Sprintf("10.0.0.%d", i+1)
			w.names[e.Host], w.mute[addr] = []string{addr}, i < atOnce-1
			list = append(list, e)
		}
		w.run(t, list, func(*Watcher) {
			time.Sleep(50 * time.Second)
			if asked, _ := w.take(); len(asked) != 40 {
				t.Errorf("%d of 40 were asked", len(asked))
			}
		})
	})
}

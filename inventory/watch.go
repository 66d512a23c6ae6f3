package inventory

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bounds of a look.
const (
	atOnce     = 8                // entries that are looked at at the same time
	maxAnswers = 32               // addresses of one name that are placed
	maxLooks   = 8                // of them, connections in one look
	lookIn     = 5 * time.Second  // for one connection and its handshake
	retryIn    = 30 * time.Second // after a name that could not be resolved, at the latest
	stepEvery  = time.Second
)

// Config of a Watcher. All functions are required.
type Config struct {
	// Resolve gives the addresses of a name.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	// Place places, weighs and judges all addresses that an entry has now, in their order.
	Place func(e *Entry, list []netip.AddrPort) []Located
	// Look connects and says who answered. It is asked for addresses with the verdict Permit alone, and asks the fence itself.
	Look func(ctx context.Context, e *Entry, to netip.AddrPort) (Identity, error)
	// Looked is told of each look at the names and identities of an entry.
	Looked func(e *Entry, s *State)
	// Changed is told when the log should hear of an entry: before is the verdict that it had.
	Changed func(e *Entry, before Verdict, s *State)
	// Keep remembers a state over restarts.
	Keep    func(s *State)
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Watcher looks at entries, each by its own interval. Safe for concurrent use.
type Watcher struct {
	c        Config
	poke     chan struct{}
	verdicts *prometheus.GaugeVec
	looks    *prometheus.CounterVec

	mu      sync.Mutex // guards all below
	entries []*Entry   // that nobody changes
	states  map[string]*State
	kept    map[string]State // as they were remembered last
	due     map[string]time.Time
	busy    map[string]bool
	stale   map[string]bool // what a look found was judged before the policy or the evidence changed
}

// What a look came to, by the words of the metric.
const (
	lookSeen       = "seen"       // resolved, and everybody who may be asked said who it is
	lookUnresolved = "unresolved" // the name leads nowhere
	lookSilent     = "silent"     // somebody who may be asked did not say who it is
)

// New takes the entries and what the last run knew of them. It starts nothing.
func New(c Config, entries []Entry, kept []State) (*Watcher, error) {
	w := &Watcher{
		c: c, poke: make(chan struct{}, 1), states: map[string]*State{}, kept: map[string]State{}, due: map[string]time.Time{}, busy: map[string]bool{}, stale: map[string]bool{},
		verdicts: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cordon_inventory_entries", Help: "Endpoints outside the call path, by verdict."}, []string{"verdict"}),
		looks:    prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cordon_inventory_looks_total", Help: "Looks at endpoints outside the call path."}, []string{"result"}),
	}
	for _, result := range []string{lookSeen, lookUnresolved, lookSilent} {
		w.looks.WithLabelValues(result)
	}
	for _, s := range kept {
		w.states[s.Entry], w.kept[s.Entry] = &s, s
	}
	w.Reload(entries)
	return w, errors.Join(c.Metrics.Register(w.verdicts), c.Metrics.Register(w.looks))
}

// Reload takes other entries. One that is another endpoint now is looked at at once, and of one that is gone nothing is known any more.
func (w *Watcher) Reload(entries []Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	before := map[string]*Entry{}
	for _, e := range w.entries {
		before[e.Name] = e
	}
	w.entries = nil
	states, due := map[string]*State{}, map[string]time.Time{}
	for _, e := range entries {
		w.entries = append(w.entries, &e)
		old := before[e.Name]
		if s := w.states[e.Name]; s != nil && s.Endpoint == e.Endpoint() {
			states[e.Name] = s
		}
		if old != nil && old.same(&e) {
			due[e.Name] = w.due[e.Name]
		}
	}
	w.states, w.due = states, due
	w.count()
	w.Poke()
}

// Poke has what is known judged anew soon: the policy or the evidence changed. It never waits.
func (w *Watcher) Poke() {
	select {
	case w.poke <- struct{}{}:
	default:
	}
}

// List gives every entry with what was last seen of it, in the order of declaration.
func (w *Watcher) List() (entries []Entry, states []State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		entries, states = append(entries, *e), append(states, w.state(e))
	}
	return entries, states
}

// state is a copy of what is known of an entry. mu is held.
func (w *Watcher) state(e *Entry) State {
	s := State{Entry: e.Name, Endpoint: e.Endpoint()}
	if known := w.states[e.Name]; known != nil {
		s = *known
	} else {
		s.sum(time.Now())
	}
	s.Answers = append([]Answer{}, s.Answers...)
	return s
}

// count sets the gauge. mu is held.
func (w *Watcher) count() {
	n := map[Verdict]int{}
	for _, e := range w.entries {
		v := Unknown
		if s := w.states[e.Name]; s != nil {
			v = s.Verdict
		}
		n[v]++
	}
	for _, v := range Verdicts() {
		w.verdicts.WithLabelValues(string(v)).Set(float64(n[v]))
	}
}

// Run looks until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	for {
		for _, e := range w.next(time.Now()) {
			wg.Go(func() { w.visit(ctx, e) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.poke:
			w.again()
		case <-tick.C:
		}
	}
}

// next takes the entries that are due, as many as may be under way.
func (w *Watcher) next(now time.Time) (out []*Entry) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.entries {
		if len(w.busy) >= atOnce {
			break
		}
		if e.Every > 0 && !w.busy[e.Name] && !now.Before(w.due[e.Name]) {
			w.busy[e.Name] = true
			out = append(out, e)
		}
	}
	return out
}

// visit looks at one entry and notes when to come back: a tenth sooner or later, so that entries do not go in step.
func (w *Watcher) visit(ctx context.Context, e *Entry) {
	addrs, err := w.c.Resolve(ctx, e.Host)
	if ctx.Err() != nil {
		return
	}
	every := e.Every
	if err != nil {
		every = min(every, retryIn)
		w.looks.WithLabelValues(lookUnresolved).Inc()
		w.take(e, nil, err.Error())
	} else {
		w.take(e, w.look(ctx, e, ports(addrs, e.Port)), "")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.busy, e.Name)
	if w.stale[e.Name] {
		delete(w.stale, e.Name)
		w.Poke()
	}
	w.due[e.Name] = time.Now().Add(every*9/10 + rand.N(every/5+1))
	if slices.Contains(w.entries, e) {
		return
	}
	delete(w.due, e.Name) // it was declared otherwise meanwhile
}

// ports gives addresses their port, in one order, each once.
func ports(addrs []netip.Addr, port uint16) (out []netip.AddrPort) {
	for _, a := range addrs {
		out = append(out, netip.AddrPortFrom(a.Unmap(), port))
	}
	slices.SortFunc(out, netip.AddrPort.Compare)
	out = slices.Compact(out)
	return out[:min(len(out), maxAnswers)]
}

// judge places and judges addresses.
func (w *Watcher) judge(e *Entry, list []netip.AddrPort) []Answer {
	located := w.c.Place(e, list)
	out := make([]Answer, len(list))
	for i := range list {
		out[i] = Judge(e, list[i], &located[i])
	}
	return out
}

// look judges addresses, asks those that are permitted who they are, and judges again with what they said.
func (w *Watcher) look(ctx context.Context, e *Entry, list []netip.AddrPort) []Answer {
	answers := w.judge(e, list)
	if !e.TLS {
		w.looks.WithLabelValues(lookSeen).Inc()
		return answers
	}
	said, failed := map[netip.AddrPort]*Identity{}, map[netip.AddrPort]string{}
	for i := range answers {
		a := &answers[i]
		if a.Verdict != Permit || len(said)+len(failed) >= maxLooks {
			continue
		}
		one, cancel := context.WithTimeout(ctx, lookIn)
		id, err := w.c.Look(one, e, a.Addr)
		cancel()
		if err != nil {
			failed[a.Addr] = err.Error()
			continue
		}
		said[a.Addr] = &id
	}
	result := lookSeen
	if len(failed) > 0 {
		result = lookSilent
	}
	w.looks.WithLabelValues(result).Inc()
	if len(said)+len(failed) > 0 {
		answers = w.judge(e, list)
	}
	before := w.identities(e)
	for i := range answers {
		a := &answers[i]
		a.TLS, a.Failure = cmp.Or(said[a.Addr], before[a.Addr]), failed[a.Addr]
	}
	return answers
}

// identities are those that were seen last.
func (w *Watcher) identities(e *Entry) map[netip.AddrPort]*Identity {
	out := map[netip.AddrPort]*Identity{}
	w.mu.Lock()
	defer w.mu.Unlock()
	if s := w.states[e.Name]; s != nil {
		for _, a := range s.Answers {
			out[a.Addr] = a.TLS
		}
	}
	return out
}

// take takes over what a look found: answers, or why there are none. An entry that was declared otherwise meanwhile is not touched.
func (w *Watcher) take(e *Entry, answers []Answer, failure string) {
	now := time.Now().UTC()
	w.mu.Lock()
	if !slices.Contains(w.entries, e) {
		w.mu.Unlock()
		return
	}
	s := w.state(e)
	s.Looked, s.Failure = now, strings.TrimSpace(failure)
	if failure == "" {
		s.Answers = answers
	}
	w.settle(e, &s, now, true)
}

// settle sums a state up, tells whoever should hear of it, and unlocks mu.
func (w *Watcher) settle(e *Entry, s *State, now time.Time, looked bool) {
	before := Unknown
	if known := w.states[e.Name]; known != nil {
		before = known.Verdict
	}
	s.sum(now)
	token := s.token(e)
	tell := token != s.Told
	s.Told = token
	w.states[e.Name] = s
	keep, ok := w.kept[e.Name]
	remember := !ok || !keep.keptLike(s)
	w.kept[e.Name] = *s
	w.count()
	w.mu.Unlock()
	if looked {
		w.c.Looked(e, s)
	}
	if tell {
		w.c.Changed(e, before, s)
	}
	if remember {
		w.c.Keep(s)
	}
}

// looking says whether a look is under way, which is then judged again when it is over.
func (w *Watcher) looking(e *Entry) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stale[e.Name] = w.busy[e.Name]
	return w.busy[e.Name]
}

// again judges everything that is known anew, without a question to anybody.
func (w *Watcher) again() {
	w.mu.Lock()
	list, states := slices.Clone(w.entries), maps.Clone(w.states)
	w.mu.Unlock()
	for _, e := range list {
		s := states[e.Name]
		if w.looking(e) || s == nil || len(s.Answers) == 0 {
			continue
		}
		known := make([]netip.AddrPort, len(s.Answers))
		for i := range s.Answers {
			known[i] = s.Answers[i].Addr
		}
		answers := w.judge(e, known)
		w.mu.Lock()
		if w.busy[e.Name] || w.states[e.Name] != s || !slices.Contains(w.entries, e) {
			w.stale[e.Name] = w.busy[e.Name]
			w.mu.Unlock()
			continue
		}
		next := *s
		for i := range answers {
			answers[i].TLS, answers[i].Failure = s.Answers[i].TLS, s.Answers[i].Failure
		}
		next.Answers = answers
		w.settle(e, &next, time.Now().UTC(), false)
	}
}

package incident

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/state"
)

// Config of a Follower. Log, KV, World and Node are required.
type Config struct {
	Log     audit.Log
	KV      state.KV // keeps the place in the log and the book up to there
	World   World
	Node    string // stands in the ids of incidents
	Rules   Rulebook
	Logger  *slog.Logger
	Metrics prometheus.Registerer
}

// Rulebook is what a reload may change.
type Rulebook struct {
	Settings  Settings
	Merge     time.Duration // how long after its end an incident takes up the same cause again; default 1 h
	Reporting Reporting
	Services  []Service
}

// Service is what clients use and incidents take away.
type Service struct {
	Name     string   `json:"name"`
	Function string   `json:"function,omitempty"` // identifier in the register of information, B_06.01.0010
	Critical bool     `json:"critical"`           // supports a critical or important function
	Parties  []string `json:"parties,omitempty"`  // trunks and groups that carry it; none: all
	Area     string   `json:"area,omitempty"`     // functional areas and business processes, for field 3.27
}

const (
	cursorPrefix = "incident.cursor."
	step         = 256
	lookEvery    = time.Minute     // at what the log does not tell: which targets there are
	lookSoon     = 5 * time.Second // at calls that are up, while media is dead on some
	saveEvery    = 5 * time.Second
	tellEvery    = time.Minute // updates of one incident for more of the same
	yieldFor     = 20 * time.Millisecond
	retryAfter   = 500 * time.Millisecond
	retryMost    = 30 * time.Second
	wholeLog     = 100 * 365 * 24 * time.Hour
)

// Follower follows the log, keeps the book and acts on it.
type Follower struct {
	c      Config
	logger *slog.Logger

	mu    sync.Mutex // guards what follows
	rules Rulebook
	book  *book
	next  uint64        // the first entry that the book has not
	moved chan struct{} // closed and replaced when next grows
	wrote uint64        // the first entry behind our own newest one: who judges by the book waits until it has that
	acts  sync.Mutex    // is held by whoever judges by the book and then writes an entry; before mu
	poke  chan struct{}
	look  time.Time // when to look next, unless an entry asks for it; of Run
	stir  bool      // an entry did; of Run
	saved time.Time // of Run
	kept  uint64    // the place that the state has; of Run

	covered atomic.Pointer[[]cover] // for receipts

	opened *prometheus.CounterVec
	late   *prometheus.CounterVec
}

// New checks c and starts nothing.
func New(c Config) (*Follower, error) {
	if c.Log == nil || c.KV == nil || c.World == nil || c.Node == "" {
		return nil, errors.New("incident: a log, a store, a world and the name of the node are needed")
	}
	f := &Follower{c: c, logger: c.Logger, book: newBook(), moved: make(chan struct{}), poke: make(chan struct{}, 1)}
	if f.logger == nil {
		f.logger = slog.New(slog.DiscardHandler)
	}
	f.set(c.Rules)
	return f, f.register(c.Metrics)
}

func (f *Follower) set(r Rulebook) {
	if r.Merge <= 0 {
		r.Merge = time.Hour
	}
	if r.Reporting.Warn == nil {
		r.Reporting.Warn = DefaultWarnings()
	}
	r.Reporting.Warn = sortWarnings(r.Reporting.Warn)
	f.mu.Lock()
	f.rules = r
	f.mu.Unlock()
}

// Reload puts other rules in force.
func (f *Follower) Reload(r Rulebook) {
	f.set(r)
	select {
	case f.poke <- struct{}{}:
	default:
	}
}

func (f *Follower) register(r prometheus.Registerer) error {
	f.opened = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cordon_incident_opened_total", Help: "Incidents that were opened in this run, by rule."}, []string{"rule"})
	f.late = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cordon_incident_clocks_late_total", Help: "Limits of reporting that passed in this run with nothing submitted, by clock."}, []string{"clock"})
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cordon_incident_open", Help: "Incidents that are not closed."}, func() float64 {
		f.mu.Lock()
		defer f.mu.Unlock()
		n := 0
		for _, i := range f.book.Incidents {
			if i.Open() {
				n++
			}
		}
		return float64(n)
	})
	next := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cordon_incident_next_limit_seconds", Help: "Time until the next limit of reporting, below zero when it has passed; 0: none runs."}, func() float64 {
		if _, c, ok := f.Next(time.Now()); ok {
			return time.Until(c.Due).Seconds()
		}
		return 0
	})
	for _, rule := range append(Rules(), ByHand) {
		f.opened.WithLabelValues(string(rule))
	}
	if r == nil {
		return nil
	}
	for _, m := range []prometheus.Collector{f.opened, f.late, open, next} {
		if err := r.Register(m); err != nil {
			return fmt.Errorf("incident: registering metrics: %w", err)
		}
	}
	return nil
}

// Run follows the log until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	cur := &notify.Cursor{Log: f.c.Log, KV: f.c.KV, Key: cursorPrefix + notify.LogID(f.c.Log), MaxAge: wholeLog, Logger: f.logger}
	wait := retryAfter
	for ctx.Err() == nil {
		err := f.turn(ctx, cur)
		if err == nil {
			wait = retryAfter
			continue
		}
		if ctx.Err() != nil {
			break
		}
		f.logger.Error("following the log", "error", err)
		notify.Pause(ctx, wait)
		wait = min(2*wait, retryMost)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryMost/6)
	defer cancel()
	if err := f.save(last, cur); err != nil {
		f.logger.Warn("the place in the log was not kept; it is read again from an older one", "error", err)
	}
	return nil
}

// turn reads up to the head of the log, acts on what it finds there, and waits for more.
func (f *Follower) turn(ctx context.Context, cur *notify.Cursor) error {
	if err := f.load(ctx, cur); err != nil {
		return err
	}
	more := f.c.Log.Grown(cur.Next)
	for {
		read, err := f.read(ctx, cur)
		if err != nil {
			return err
		}
		if !read {
			break
		}
		more = f.c.Log.Grown(cur.Next)
	}
	if now := time.Now(); f.stir || !now.Before(f.look) {
		acted, err := f.act(ctx, now)
		if err != nil || acted {
			return err
		}
	}
	if cur.Next != f.kept && time.Since(f.saved) >= saveEvery {
		if err := f.save(ctx, cur); err != nil {
			return err
		}
	}
	wake := time.NewTimer(max(time.Until(f.look), 0))
	defer wake.Stop()
	select {
	case <-ctx.Done():
	case <-more:
	case <-wake.C:
	case <-f.poke:
		f.stir = true
	}
	return nil
}

// load takes up the place in the log and the book that was kept with it. A book that does not read is read again from the log.
func (f *Follower) load(ctx context.Context, cur *notify.Cursor) error {
	fresh := cur.Next == 0 && cur.Note == nil
	if err := cur.Load(ctx); err != nil || !fresh {
		return err
	}
	b := newBook()
	if cur.Note == nil || json.Unmarshal(cur.Note, b) != nil || b.Memory.Targets == nil || b.Memory.Hits == nil {
		b, cur.Next = newBook(), 0
	}
	f.mu.Lock()
	f.book, f.next = b, cur.Next
	f.show()
	f.mu.Unlock()
	return nil
}

// read takes the next entries into the book.
func (f *Follower) read(ctx context.Context, cur *notify.Cursor) (more bool, err error) {
	entries, next, err := audit.Pick(ctx, f.c.Log, cur.Next, step, wanted)
	if err != nil || next == cur.Next {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	ours := false
	for _, e := range entries {
		ours = ours || !watched(e.Kind)
		f.stir = f.stir || e.Kind != audit.KindReceipt || bytes.Contains(e.Body, violates)
		if err := f.book.apply(e); err != nil {
			f.logger.Error("an entry does not read and is left out", "entry", e.Seq, "kind", e.Kind, "error", err)
		}
	}
	if ours {
		f.show()
	}
	cur.Next, f.next = next, next
	close(f.moved)
	f.moved = make(chan struct{})
	return true, nil
}

// show gives receipts the incidents as they are now. The lock is held.
func (f *Follower) show() {
	list := f.book.covers(time.Now())
	f.covered.Store(&list)
}

// save keeps the book together with its place. It is a shortcut for the next start: the log has everything.
func (f *Follower) save(ctx context.Context, cur *notify.Cursor) error {
	f.mu.Lock()
	note, err := json.Marshal(f.book)
	f.mu.Unlock()
	if err != nil {
		return fmt.Errorf("incident: keeping the book: %w", err)
	}
	if cur.Next > 0 {
		cur.Note = note
	}
	f.saved = time.Now()
	if err := cur.Save(ctx); err != nil {
		return err
	}
	f.kept = cur.Next
	return nil
}

// act writes what the book asks for at the head of the log. It has acted also when the book is behind what somebody else of us wrote meanwhile.
func (f *Follower) act(ctx context.Context, now time.Time) (acted bool, err error) {
	if !f.acts.TryLock() { // a person decides something, and waits until we have read it
		f.look = now.Add(yieldFor)
		f.stir = false
		return false, nil
	}
	defer f.acts.Unlock()
	f.mu.Lock()
	if f.next < f.wrote {
		f.mu.Unlock()
		return true, nil
	}
	events, next := f.asks(now)
	if next = earlier(next, now.Add(lookEvery)); len(f.book.Memory.Dead) > 0 {
		next = earlier(next, now.Add(lookSoon))
	}
	f.mu.Unlock()
	for _, ev := range events {
		if err := f.write(ctx, ev); err != nil {
			return false, err
		}
		f.count(ev)
	}
	f.stir, f.look = false, next
	return len(events) > 0, nil
}

// write makes an entry, and waits until a signed checkpoint covers it. The caller holds acts.
func (f *Follower) write(ctx context.Context, ev audit.Event) error {
	seq, err := f.c.Log.Commit(ctx, ev)
	if err != nil {
		return fmt.Errorf("incident: %w", err)
	}
	f.mu.Lock()
	f.wrote = seq + 1
	f.mu.Unlock()
	return nil
}

func (f *Follower) count(ev audit.Event) {
	switch ev := ev.(type) {
	case audit.IncidentOpened:
		f.opened.WithLabelValues(ev.Rule).Inc()
		f.logger.Warn("an incident was opened", "incident", ev.Incident, "rule", ev.Rule, "cause", ev.Cause)
	case audit.IncidentUpdated:
		if ev.What == Late {
			f.late.WithLabelValues(ev.Clock).Inc()
			f.logger.Error("a limit of reporting has passed", "incident", ev.Incident, "clock", ev.Clock, "due", ev.Due)
		}
	}
}

// asks is what the book wants to be written as of now. The lock is held.
func (f *Follower) asks(now time.Time) (events []audit.Event, next time.Time) {
	fresh := 0
	for _, r := range ruleRows {
		s := f.rules.Settings.of(r.rule)
		if s.Off {
			continue
		}
		for _, found := range r.find(&f.book.Memory, f.c.World, s, now) {
			ev, at := f.judge(found, s, now, fresh)
			if _, ok := ev.(audit.IncidentOpened); ok {
				fresh++
			}
			if ev != nil {
				events = append(events, ev)
			}
			next = earlier(next, at)
		}
	}
	for _, i := range f.book.Incidents {
		list, at := f.rules.Reporting.due(i, now)
		events = append(events, list...)
		next = earlier(next, at)
	}
	return events, next
}

// judge says what one finding is worth: a new incident, a word about one that runs, nothing, or a look later.
func (f *Follower) judge(x finding, s Setting, now time.Time, fresh int) (audit.Event, time.Time) {
	i := f.book.running(x.cause, now, f.rules.Merge)
	over := !x.until.IsZero()
	switch {
	case x.bad.IsZero():
		if i == nil || !i.Lasts() || x.good.IsZero() || i.Rule != x.rule {
			return nil, time.Time{}
		}
		if at := x.good.Add(s.After); now.Before(at) {
			return nil, at
		}
		return audit.IncidentUpdated{Incident: i.ID, What: Recovered, At: later(x.good, i.Windows[len(i.Windows)-1].From)}, time.Time{}
	case !over && now.Before(x.bad.Add(s.After)):
		return nil, x.bad.Add(s.After)
	case i == nil:
		return audit.IncidentOpened{
			Incident: f.book.name(f.c.Node, now, fresh), Rule: string(x.rule), Cause: x.cause, Title: x.title, Since: x.bad, Until: x.until, Region: x.region, Country: x.country,
			Parties: x.parties, Found: x.found,
		}, time.Time{}
	case over:
		if at := i.Seen.Add(tellEvery); now.Before(at) {
			return nil, at
		}
		return audit.IncidentUpdated{Incident: i.ID, What: More, At: x.bad, Until: x.until, Found: x.found}, time.Time{}
	case !i.Lasts():
		return audit.IncidentUpdated{Incident: i.ID, What: Recurred, At: x.bad, Found: x.found}, time.Time{}
	}
	return nil, time.Time{}
}

// name gives the id of a new incident: the day, the node and a number. fresh were named already and are not in the book.
func (b *book) name(node string, now time.Time, fresh int) string {
	stem := "INC-" + now.UTC().Format("20060102") + "-" + node + "-"
	top := 0
	for _, i := range b.Incidents {
		rest, ours := strings.CutPrefix(i.ID, stem)
		if n, err := strconv.Atoi(rest); ours && err == nil {
			top = max(top, n)
		}
	}
	return fmt.Sprintf("%s%d", stem, top+fresh+1)
}

// List gives all incidents that the book has, the newest first.
func (f *Follower) List() []Incident {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]Incident, 0, len(f.book.Incidents))
	for _, i := range slices.Backward(f.book.Incidents) {
		out = append(out, i.clone())
	}
	return out
}

// Incident gives one of them.
func (f *Follower) Incident(id string) (Incident, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.book.find(id); i != nil {
		return i.clone(), true
	}
	return Incident{}, false
}

// Clocks are those of i as of now.
func (f *Follower) Clocks(i *Incident, now time.Time) []Clock {
	return f.Rules().Reporting.Clocks(i, now)
}

// Rules are those in force.
func (f *Follower) Rules() Rulebook {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rules
}

// Next is the limit that comes first of all, and whose it is.
func (f *Follower) Next(now time.Time) (id string, first Clock, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, i := range f.book.Incidents {
		if !i.Open() && !i.owes() {
			continue
		}
		if c, runs := f.rules.Reporting.next(i, now); runs && (!ok || c.Due.Before(first.Due)) {
			id, first, ok = i.ID, c, true
		}
	}
	return id, first, ok
}

package drill

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
)

// Hands take things away inside the node's own view.
type Hands interface {
	// Take makes exactly these things gone, until a moment; what is not among them is given back. Each Take replaces the one before. It is a lease: at until
	// everything is given back, whoever forgot it. It must return within a second.
	Take(ctx context.Context, gone []scenario.Taken, until time.Time) error
	// Stands says whether everything is as it was before the play: nothing is gone, what calls could reach they can, and what was active is active again. why names what is
	// not. It changes nothing.
	Stands() (ok bool, why string)
	// AsBefore is Stands, and does what it can so that it becomes so.
	AsBefore(ctx context.Context) (ok bool, why string)
}

// Caller places one call and reports what became of it, when it has ended or ctx has.
type Caller interface {
	Call(ctx context.Context, l scenario.Load) measure.Call
}

// Watch is what is observed of the node.
type Watch interface {
	// Since gives what was seen from a moment on, but for the calls and the takings, which the play knows itself.
	Since(start time.Time) measure.Seen
	// Now gives how production fares.
	Now() Pulse
}

// Pulse is how production fares.
type Pulse struct {
	Failures float64 // share of the calls of the last minute that failed, beyond what failed before the play
	MOS      float64 // mean of its calls; 0: there are none
	CPU      float64 // share of the node's processors
	Event    string  // something real that happened and is no part of the play: it goes first. "": nothing
}

// Lease is how long a taking lasts that nobody renews, Beat that at which production is looked at, and Hurry what is left for everything to be as before once the node
// stops, whatever the scenario gives: what is given back is so at once, and where routes go the next start sees to. A play in which nobody looked for as long as a lease is over:
// what it took came back meanwhile, and who stops it must not wait for what hangs.
const (
	Lease = 3 * time.Second
	Beat  = time.Second
	Hurry = 3 * time.Second
)

// Outcome of a play.
type Outcome string

// The outcomes.
const (
	Passed      Outcome = "passed"       // every expectation holds, and everything is as before
	Failed      Outcome = "failed"       // one does not
	Aborted     Outcome = "aborted"      // it was stopped, by people or by a stop condition, and everything is as before
	NotRestored Outcome = "not_restored" // something is not as before: the worst one
)

// Result is what came of a play.
type Result struct {
	Outcome    Outcome
	Cause      string // why it was aborted, or what is not as before
	Seen       measure.Seen
	Judgements []measure.Judgement
	Timeline   measure.Timeline
	Figures    measure.Figures
}

// Step is one thing that happened in a play, for whoever watches it.
type Step struct {
	At   time.Time
	Word string // began | taken | given_back | stopping | restoring | restored | not_restored
	What string
}

// Run is one play of a scenario on a node.
type Run struct {
	Play   *scenario.Play
	Hands  Hands
	Caller Caller
	Watch  Watch
	Stop   <-chan string // people end it, with a reason; may be nil
	Told   func(Step)    // may be nil; must not block

	start time.Time
	taken []measure.Taken
	open  map[int]int // number of a taking in the play -> its newest in taken
	back  time.Time   // when the last giving back began; zero: something is gone, or nothing ever was
	since time.Time   // since when everything is as before again; zero: it is not, or was not otherwise

	mu    sync.Mutex // guards calls, which end in goroutines of their own
	calls []measure.Call
}

// Do plays, and returns when everything is as before, or after the time that the scenario gives for it. ctx ends a play as a stop does; what was taken is given back on
// the way. Do is called once.
func (r *Run) Do(ctx context.Context) Result {
	r.start, r.open = time.Now(), map[int]int{}
	r.tell(r.start, "began", "")
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var callers sync.WaitGroup
	cause := r.play(ctx, &callers)
	end := time.Now()
	res := r.restore(ctx, end)
	cancel() // calls that are still up end now
	callers.Wait()
	return r.result(end, res, cause)
}

// play runs until the end or a cause to stop, which it gives.
func (r *Run) play(ctx context.Context, callers *sync.WaitGroup) (cause string) {
	for _, l := range r.Play.Placed {
		callers.Go(func() { r.place(ctx, l) })
	}
	beat, look := time.NewTicker(Beat), time.NewTicker(lookEvery)
	defer beat.Stop()
	defer look.Stop()
	brake := brake{stop: r.Play.Stop}
	looked := r.start
	for at := time.Duration(0); ; at = time.Since(r.start) {
		if at >= time.Duration(r.Play.End.After) {
			return ""
		}
		if cause = r.take(ctx, at); cause != "" {
			return cause
		}
		wait, looks := time.NewTimer(r.next(at)), look.C
		if r.look(); r.back.IsZero() || !r.since.IsZero() {
			looks = nil // with each beat is often enough
		}
		select {
		case <-wait.C:
		case <-looks:
			wait.Stop()
			continue
		case <-beat.C:
		case reason := <-r.Stop:
			cause = stopped(reason)
		case <-ctx.Done():
			cause = stops
		}
		wait.Stop()
		if cause != "" {
			return cause
		}
		var pulse Pulse
		pulse, cause = await(ctx, r.Stop, r.Watch.Now)
		now := time.Now()
		if cause == "" {
			cause = brake.judge(now, pulse)
		}
		if late := now.Sub(looked); cause == "" && late > Lease {
			cause = unlooked(late)
		}
		if cause != "" {
			return cause
		}
		looked = now
	}
}

const stops = "the node stops"

func stopped(reason string) string { return "stopped by people: " + reason }

func unlooked(d time.Duration) string {
	return fmt.Sprintf("nobody looked at production for %s: what was taken was back meanwhile", d.Round(time.Millisecond))
}

// await is what f gives, or why the play does not wait for it any longer. What hangs is left behind: it holds nothing but a lease that is over when it comes back.
func await[T any](ctx context.Context, stop <-chan string, f func() T) (v T, cause string) {
	done := make(chan T, 1)
	go func() { done <- f() }()
	wait := time.NewTimer(Lease)
	defer wait.Stop()
	select {
	case v = <-done:
		return v, ""
	case reason := <-stop:
		return v, stopped(reason)
	case <-ctx.Done():
		return v, stops
	case <-wait.C:
		return v, unlooked(Lease)
	}
}

// next is how long until something is to be done.
func (r *Run) next(at time.Duration) time.Duration {
	next := time.Duration(r.Play.End.After)
	if m, ok := r.Play.Next(at); ok {
		next = min(next, m)
	}
	return max(0, next-at)
}

// take renews what is gone at a moment, and tells what changed. It gives a cause to stop.
func (r *Run) take(ctx context.Context, at time.Duration) (cause string) {
	gone := r.Play.Gone(at)
	if len(gone) == 0 && !r.back.IsZero() {
		return "" // there is no lease to renew
	}
	now := time.Now()
	err, cause := await(ctx, r.Stop, func() error { return r.Hands.Take(ctx, gone, now.Add(Lease)) })
	if err != nil {
		cause = "what was to be taken could not be: " + err.Error()
	}
	if cause != "" {
		return cause
	}
	is := map[int]bool{}
	for _, t := range gone {
		is[t.Index] = true
	}
	for i, t := range r.Play.Taken {
		k, was := r.open[i]
		switch {
		case is[i] && !was:
			r.open[i] = len(r.taken)
			r.taken = append(r.taken, measure.Taken{Index: i, At: now})
			r.back, r.since = time.Time{}, time.Time{}
			r.tell(now, "taken", describe(t))
		case was && !is[i]:
			r.returned(now, i, k)
		}
	}
	return ""
}

// returned ends a taking, of which k is the newest. Its end, its step and the restoring that it may begin are one moment.
func (r *Run) returned(now time.Time, i, k int) {
	r.taken[k].Back = now
	delete(r.open, i)
	if len(r.open) == 0 {
		r.back = now
	}
	r.tell(now, "given_back", describe(r.Play.Taken[i]))
}

// lookEvery is how often the node is asked, after the last giving back, whether everything is as before: the unit in which restoring is measured.
const lookEvery = 100 * time.Millisecond

// look notes since when everything is as before, while nothing is gone that was.
func (r *Run) look() {
	if r.back.IsZero() {
		return
	}
	ok, _ := r.Hands.Stands()
	switch {
	case !ok:
		r.since = time.Time{}
	case r.since.IsZero():
		r.since = time.Now()
	}
}

func describe(t scenario.Taken) string {
	return fmt.Sprintf("%s %s: %s", t.Kind, strings.Join(t.Names, ", "), t.How)
}

func (r *Run) tell(at time.Time, word, what string) {
	if r.Told != nil {
		r.Told(Step{at, word, what})
	}
}

// place makes calls at their pace. A call that takes long does not hold up the next.
func (r *Run) place(ctx context.Context, l scenario.Load) {
	until := time.Duration(l.Until)
	if until == 0 {
		until = time.Duration(r.Play.End.After)
	}
	var up sync.WaitGroup
	defer up.Wait()
	for next := time.Duration(l.At); next < until; next += time.Duration(l.Each) {
		wait := time.NewTimer(next - time.Since(r.start))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
		up.Go(func() {
			c := r.Caller.Call(ctx, l)
			r.mu.Lock()
			defer r.mu.Unlock()
			r.calls = append(r.calls, c)
		})
	}
}

// restoring is how everything became as before.
type restoring struct {
	from time.Time // the last giving back, where the node was as before by itself after it; else the order to end
	to   time.Time // since when everything is as before; zero: it is not
	why  string    // what is not
}

// restore gives everything back and waits until it is as before. It goes on trying for the scenario's time from the order to end on, or for Hurry once stop ends, whatever
// fails.
func (r *Run) restore(stop context.Context, order time.Time) restoring {
	r.tell(order, "restoring", "")
	ctx, cancel := context.WithDeadline(context.WithoutCancel(stop), order.Add(time.Duration(r.Play.End.Restore)))
	defer cancel()
	defer context.AfterFunc(stop, func() {
		hurry := time.NewTimer(Hurry)
		defer hurry.Stop()
		select {
		case <-hurry.C:
			cancel()
		case <-ctx.Done():
		}
	})()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		at := time.Now()
		why := r.giveBack(ctx, at)
		ok, not := r.Hands.AsBefore(ctx)
		now := time.Now()
		if ok && why == "" {
			return r.restored(now, order)
		}
		r.since = time.Time{} // it was, and is not any more
		why = cmp.Or(why, not, "something is not as before")
		if ctx.Err() != nil {
			r.tell(now, "not_restored", why)
			return restoring{why: why}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// restored says how long it took.
func (r *Run) restored(now, order time.Time) restoring {
	is := restoring{from: order, to: now}
	what := fmt.Sprintf("%s after the order to end", now.Sub(order).Round(time.Microsecond))
	if !r.since.IsZero() {
		is = restoring{from: r.back, to: r.since}
		what = fmt.Sprintf("since %s, %s after the last giving back", r.since.UTC().Format("15:04:05.000"), r.since.Sub(r.back).Round(time.Microsecond))
	}
	r.tell(now, "restored", what)
	return is
}

// giveBack gives everything back, and says why not; "": it is.
func (r *Run) giveBack(ctx context.Context, at time.Time) (why string) {
	err, hangs := await(context.WithoutCancel(ctx), nil, func() error { return r.Hands.Take(ctx, nil, at) })
	switch {
	case err != nil:
		return "nothing could be given back: " + err.Error()
	case hangs != "":
		return "nothing could be given back: the node does not answer"
	}
	r.givenBack(at)
	return ""
}

// givenBack ends what was still open.
func (r *Run) givenBack(at time.Time) {
	for i := range r.Play.Taken {
		if k, was := r.open[i]; was {
			r.returned(at, i, k)
		}
	}
}

func (r *Run) result(end time.Time, is restoring, cause string) Result {
	seen := r.Watch.Since(r.start)
	seen.Start, seen.End, seen.Restoring, seen.Restored, seen.Taken, seen.Calls = r.start, end, is.from, is.to, r.taken, r.calls
	slices.SortFunc(seen.Calls, func(a, b measure.Call) int { return a.Placed.Compare(b.Placed) })
	res := Result{Outcome: Passed, Seen: seen, Judgements: measure.Judge(r.Play, &seen)}
	res.Timeline, res.Figures = measure.Measure(r.Play, &seen)
	switch {
	case is.to.IsZero():
		res.Outcome, res.Cause = NotRestored, is.why
	case cause != "":
		res.Outcome, res.Cause = Aborted, cause
	case !measure.Passed(res.Judgements):
		res.Outcome = Failed
	}
	return res
}

package cordon

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/guard"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
)

const (
	drillsPrefix = "drills.cursor."
	drillsStep   = 1000             // entries at once
	drillsLook   = time.Minute      // at the traffic, the calendar and requests that wait
	drillsSave   = time.Minute      // the book is a shortcut to the log
	drillRetry   = time.Second      // of an entry that the log must have
	drillAgain   = 10 * time.Second // after which a guard that did not hold is asked again
	drillSteps   = 1024             // that wait for the log at most
)

// drillKeeper keeps the book of drills, begins those that may begin, stops them, and reminds of those that are due. Its methods are what the door calls.
type drillKeeper struct {
	node  *Node
	plays map[scenario.Mode]drillPlayer // without one of a mode it is refused
	// left looks for what is left of a drill on this node.
	left func(ctx context.Context, d *register.Drill) []audit.DrillGuard
	// putBack gives back what the last run of this node may have left of a drill, and says whether everything is as before.
	putBack func(ctx context.Context, d *register.Drill) (ok bool, why string)
	// report makes the report of a drill from its entries.
	report func(ctx context.Context, d register.Drill, format string, names bool) ([]byte, error)

	poked chan struct{}        // something may begin
	told  chan audit.DrillStep // notices of drills that were delivered
	last  atomic.Pointer[admin.DrillTests]

	mu    sync.Mutex // one reading, or one act, at a time
	kept  drillsKept
	cur   *notify.Cursor
	saved time.Time
	looks time.Time // when the traffic was looked at

	run   atomic.Pointer[drillRun] // nil: none. Who stops it asks no lock that somebody holds who waits for the log
	quits atomic.Bool              // the node stops: none begins
}

// drillPlayer plays one, and returns when everything is as before or the scenario's time for that is over. An error says that nothing was begun.
type drillPlayer func(ctx context.Context, ask drillAsk, stop <-chan string, told func(drill.Step)) (drillPlayed, error)

// drillsKept is what is kept together with the place in the log.
type drillsKept struct {
	Book   *register.Book `json:"book"`
	Learnt guard.Learnt   `json:"learnt"`
}

// drillRun is the one that is being played.
type drillRun struct {
	id   string
	stop chan string
	end  context.CancelFunc // the node stops
	done chan struct{}

	mu sync.Mutex
	by string // who stopped it: a person, who stands in the log by a pseudonym
}

var _ admin.Drills = (*drillKeeper)(nil)

func newDrills(n *Node) *drillKeeper {
	k := &drillKeeper{
		node: n, plays: map[scenario.Mode]drillPlayer{scenario.Sandbox: n.playSandbox, scenario.Canary: n.playDrill, scenario.Full: n.playDrill}, poked: make(chan struct{}, 1), told: make(chan audit.DrillStep, drillSteps), kept: drillsKept{Book: register.NewBook()},
		cur: &notify.Cursor{Log: n.log, KV: n.kv, Key: drillsPrefix + notify.LogID(n.log), MaxAge: wholeLog, Logger: n.logger},
	}
	k.left, k.putBack = k.leftOf, k.giveBack
	k.report = func(ctx context.Context, d register.Drill, format string, names bool) ([]byte, error) {
		return n.drillReport(ctx, d.ID(), d.Entry, format, names)
	}
	k.last.Store(&admin.DrillTests{})
	return k
}

// Run begins drills at their times until ctx ends, and then ends the one that runs. A drill in whose middle the last run of this node ended is ended first.
func (k *drillKeeper) Run(ctx context.Context) error {
	k.recover(ctx)
	for ctx.Err() == nil {
		wake := time.NewTimer(k.turn(ctx))
		select {
		case <-ctx.Done():
		case <-k.poked:
		case s := <-k.told:
			if _, err := k.node.log.Append(ctx, s); err != nil && ctx.Err() == nil {
				k.node.logger.Warn("the log does not have who was told of a drill", "drill", s.Drill, "error", err)
			}
		case <-wake.C:
		}
		wake.Stop()
	}
	if run := k.run.Load(); run != nil { // it ends with ctx, and gives everything back first
		<-run.done
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewsSave)
	defer cancel()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.save(last)
	return nil
}

// delivered notes that a channel took a notice of a drill: the report says who was told. It does not block.
func (k *drillKeeper) delivered(channel string, x notify.Notice) {
	id, _ := x.Data["drill"].(string)
	if id == "" || !x.Kind.OfDrills() {
		return
	}
	select {
	case k.told <- audit.DrillStep{Drill: id, At: time.Now().UTC(), Word: "alerted", What: channel + " took " + string(x.Kind)}:
	default: // a flood of notices is not worth one of entries
	}
}

func (k *drillKeeper) poke() {
	select {
	case k.poked <- struct{}{}:
	default:
	}
}

// turn does what is to be done, and says when to come back.
func (k *drillKeeper) turn(ctx context.Context) time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if now.Sub(k.looks) >= drillsLook || k.looks.IsZero() {
		k.looks = now
		k.kept.Learnt.Look(now, k.callsUp())
	}
	err := k.catchUp(ctx)
	if err == nil {
		err = k.remind(ctx, now)
	}
	next := drillsLook
	for _, d := range k.kept.Book.Pending() {
		if err != nil || k.quits.Load() {
			break
		}
		var wait time.Duration
		if wait, err = k.further(ctx, d, now); wait > 0 {
			next = min(next, wait)
		}
	}
	if err != nil && ctx.Err() == nil {
		k.node.logger.Warn("the log could not be read or written for drills; it is tried again", "error", err)
		return drillRetry
	}
	if now.Sub(k.saved) >= drillsSave {
		k.save(ctx)
	}
	return next
}

// catchUp reads what is new in the log; k.mu is held.
func (k *drillKeeper) catchUp(ctx context.Context) error {
	fresh := k.cur.Next == 0 && k.cur.Note == nil
	if err := k.cur.Load(ctx); err != nil {
		return err
	}
	if fresh {
		kept := drillsKept{Book: &register.Book{}} // empty, so that what an earlier version did not keep is missed
		if k.cur.Note == nil || json.Unmarshal(k.cur.Note, &kept) != nil || kept.Book == nil || !kept.Book.Whole() {
			kept, k.cur.Next = drillsKept{Book: register.NewBook()}, 0
		}
		kept.Learnt.Hours = append(kept.Learnt.Hours, k.kept.Learnt.Hours...)
		k.kept = kept
	}
	for k.cur.Next < k.node.log.Size() {
		list, next, err := audit.Pick(ctx, k.node.log, k.cur.Next, drillsStep, register.Wanted)
		if err != nil {
			return err
		}
		if next == k.cur.Next {
			break
		}
		for _, e := range list {
			if err := k.kept.Book.Take(e); err != nil {
				k.node.logger.Warn("an entry about a drill does not follow from those before, and is left out", "entry", e.Seq, "kind", e.Kind, "error", err)
			}
		}
		k.cur.Next = next
	}
	tests := k.tests()
	k.last.Store(&tests)
	return nil
}

// save keeps the book with its place in the log; k.mu is held.
func (k *drillKeeper) save(ctx context.Context) {
	if k.cur.Next == 0 {
		return
	}
	note, err := json.Marshal(k.kept)
	if err == nil {
		k.cur.Note, k.saved = note, time.Now()
		err = k.cur.Save(ctx)
	}
	if err != nil && ctx.Err() == nil {
		k.node.logger.Warn("the book of drills was not kept; it is read again from the log", "error", err)
	}
}

// write puts something into the log, durably, and reads it back; k.mu is held.
func (k *drillKeeper) write(ctx context.Context, ev audit.Event) error {
	if _, err := k.node.log.Commit(ctx, ev); err != nil {
		return err
	}
	return k.catchUp(ctx)
}

// remind tells of what is due by the calendar; k.mu is held.
func (k *drillKeeper) remind(ctx context.Context, now time.Time) error {
	for _, r := range k.kept.Book.Reminders(k.node.cfg.Load().Drills.Calendar, now) {
		if err := k.write(ctx, r); err != nil {
			return err
		}
		k.node.logger.Warn("a drill is due", "scenario", r.Scenario, "mode", r.Mode, "due", r.Due, "late", r.What == "late")
	}
	return nil
}

// further takes a drill that may still begin as far as it goes now, and says when there is more to do; k.mu is held.
func (k *drillKeeper) further(ctx context.Context, d *register.Drill, now time.Time) (time.Duration, error) {
	cfg := &k.node.cfg.Load().Drills
	void := func(what, why string) (time.Duration, error) {
		return 0, k.write(ctx, audit.DrillRefused{Drill: d.ID(), Scenario: d.Request.Scenario, What: what, Why: why})
	}
	if d.State == register.Waiting {
		if now.Before(d.Request.Expires) {
			return d.Request.Expires.Sub(now), nil
		}
		return void("expired", "nobody approved it in time")
	}
	p, refusal := k.prepared(d, now)
	if refusal != nil {
		return void("request", refusal.Error())
	}
	at, last, ok := k.begins(d, p)
	lead := at.Add(-cfg.Lead)
	switch {
	case !ok:
		return void("expired", "no window opens any more that is long enough")
	case now.After(last):
		return void("expired", "a guard kept it from beginning until it was too late for it")
	case p.mode.Live() && d.Announced == nil && !now.Before(lead):
		return max(1, at.Sub(now)), k.write(ctx, audit.DrillAnnounced{
			Drill: d.ID(), Scenario: d.Request.Scenario, Title: d.Request.Title, Mode: d.Request.Mode, Route: d.Request.Route, Begins: at.UTC(), Ends: at.Add(p.length()).UTC(), Channels: cfg.Channels,
		})
	case p.mode.Live() && d.Announced == nil:
		return lead.Sub(now), nil
	case now.Before(at):
		return at.Sub(now), nil
	}
	return drillAgain, k.begin(ctx, d, p, now)
}

// begin starts the play, if every guard holds; k.mu is held. What is taken away is in the log before it is.
func (k *drillKeeper) begin(ctx context.Context, d *register.Drill, p *prepared, now time.Time) error {
	guards := k.judge(d.Request.Tester, d, p, now)
	if bad := failing(guards); len(bad) > 0 {
		if was := d.Refused; was != nil && was.What == "start" && slices.EqualFunc(was.Guards, bad, func(a, b audit.DrillGuard) bool { return a.Name == b.Name }) {
			return nil // said already
		}
		return k.write(ctx, audit.DrillRefused{Drill: d.ID(), Scenario: d.Request.Scenario, What: "start", Why: "a guard does not hold", Guards: bad})
	}
	if err := k.text(ctx, p); err != nil {
		return err
	}
	cfg := &k.node.cfg.Load().Drills
	ev := audit.DrillStarted{
		DrillPlan: d.Request.DrillPlan, Tester: d.Request.Tester, Unit: k.unit(d.Request.Tester), Announced: d.Told, Ends: now.Add(p.length()).UTC(), Guards: guards, Parties: k.outside(p), Before: k.routesNow(),
		Bounds: audit.DrillBounds{Throttle: cfg.Throttle, Canary: 100 * cfg.MaxShare.Of(), Aborts: aborts(p.play.Scenario)},
	}
	for _, w := range d.Words {
		ev.Approvals = append(ev.Approvals, w.DrillApproved)
	}
	if o, open := cfg.Opening(now); open && p.mode.Live() {
		_, volume := cfg.Volume(k.callsUp(), k.kept.Learnt)
		ev.Window = &audit.DrillWindow{Name: o.Name, From: o.From.UTC(), Until: o.To.UTC(), Volume: volume}
	}
	ask := drillAsk{ID: d.ID(), Play: p.play, Mode: p.mode, Share: strict.Percent(p.share), Cap: d.Request.Cap, Start: k.node.log.Size()}
	if err := k.write(ctx, ev); err != nil {
		return err
	}
	ctx, end := context.WithCancel(ctx)
	run := &drillRun{id: d.ID(), stop: make(chan string, 1), end: end, done: make(chan struct{})}
	if k.run.Store(run); k.quits.Load() { // it came in between
		end()
	}
	k.node.logger.Info("a drill begins", "drill", d.ID(), "scenario", p.play.Name, "mode", p.mode)
	go k.perform(ctx, k.plays[p.mode], run, d, ask)
	return nil
}

// text puts the scenario's text into the log, once.
func (k *drillKeeper) text(ctx context.Context, p *prepared) error {
	if k.kept.Book.Texts[p.play.Digest] {
		return nil
	}
	pieces := drillPieces(p.text)
	for i, piece := range pieces {
		if err := k.write(ctx, audit.DrillScenario{Digest: p.play.Digest, Piece: i + 1, Of: len(pieces), Text: piece}); err != nil {
			return err
		}
	}
	return nil
}

// perform plays, and writes what came of it.
func (k *drillKeeper) perform(ctx context.Context, play drillPlayer, run *drillRun, d *register.Drill, ask drillAsk) {
	defer close(run.done)
	defer run.end()
	start := time.Now()
	steps, written := make(chan drill.Step, drillSteps), make(chan struct{})
	kept := context.WithoutCancel(ctx)
	go func() {
		defer close(written)
		for s := range steps {
			if _, err := k.node.log.Append(kept, audit.DrillStep{Drill: run.id, At: s.At.UTC(), Word: s.Word, What: k.veiled(ask.Play, s.What)}); err != nil {
				k.node.logger.Warn("a step of a drill is not in the log", "drill", run.id, "step", s.Word, "error", err)
			}
		}
	}()
	played, err := play(ctx, ask, run.stop, func(s drill.Step) {
		select {
		case steps <- s:
		default: // a play waits for no disk; the takings stand in its end as well
		}
	})
	close(steps)
	<-written
	ev := ended(d, played, start)
	if err != nil {
		ev.Outcome, ev.Cause, ev.Restored = string(drill.Aborted), "nothing was begun: "+err.Error(), time.Now().UTC()
	}
	run.mu.Lock()
	ev.Stopped = k.node.pseudonym(run.by)
	run.mu.Unlock()
	if ctx.Err() != nil && played.Outcome == drill.NotRestored {
		k.node.logger.Warn("this node stops before everything is as before a drill; its next start puts it back", "drill", ev.Drill, "what", ev.Cause)
	} else {
		k.over(ctx, ev)
	}
	k.run.Store(nil)
	k.poke()
}

// quitWithin bounds how long the drill that runs keeps a node from stopping.
const quitWithin = drill.Hurry + 2*time.Second

// quit ends the drill that runs, has everything given back, and lets none begin any more. It comes before the calls of the node are drained or ended: whoever is owed a BYE
// gets it only on a way that is there.
func (k *drillKeeper) quit(ctx context.Context) {
	k.quits.Store(true)
	run := k.run.Load()
	if run == nil {
		return
	}
	run.end()
	late := time.NewTimer(quitWithin)
	defer late.Stop()
	select {
	case <-run.done:
		return
	case <-late.C:
	case <-ctx.Done():
	}
	k.node.logger.Warn("a drill does not end while this node stops; what it took is given back without it", "drill", run.id)
	if err := (&drillHands{n: k.node, mode: scenario.Full}).Take(ctx, nil, time.Now()); err != nil {
		k.node.logger.Warn("packets may meet what a drill took until its lease ends", "drill", run.id, "error", err)
	}
}

// over writes the end of a drill. What the log cannot take is tried until it does, or until this node ends: the next run then finds a drill without an end.
func (k *drillKeeper) over(ctx context.Context, ev audit.DrillEnded) {
	if ev.Outcome == string(drill.NotRestored) {
		k.node.logger.Error("A DRILL LEFT SOMETHING THAT IS NOT AS BEFORE: look now", "drill", ev.Drill, "what", ev.Cause)
	} else {
		k.node.logger.Info("a drill ended", "drill", ev.Drill, "outcome", ev.Outcome, "cause", ev.Cause)
	}
	for {
		k.mu.Lock()
		err := k.write(context.WithoutCancel(ctx), ev)
		k.mu.Unlock()
		if err == nil {
			return
		}
		if notify.Pause(ctx, drillRetry); ctx.Err() != nil {
			k.node.logger.Warn("the end of a drill is not in the log; the next start of this node finds it", "drill", ev.Drill, "error", err)
			return
		}
	}
}

// ended is what the log says of a play.
func ended(d *register.Drill, p drillPlayed, start time.Time) audit.DrillEnded {
	ev := audit.DrillEnded{
		Drill: d.ID(), Scenario: d.Request.Scenario, Version: d.Request.Version, Digest: d.Request.Digest, Mode: d.Request.Mode, Outcome: string(p.Outcome), Cause: p.Cause, Start: start.UTC(), End: time.Now().UTC(),
		Log: p.Log, Checkpoint: p.Sealed, First: p.First, Last: max(p.Last, 1) - 1,
		Records: audit.DrillRecords{Acknowledged: p.Seen.Records.Acknowledged, Found: p.Seen.Records.Found, Verified: p.Seen.Records.Verified},
	}
	if s := p.Seen; !s.Start.IsZero() {
		ev.Start, ev.End = s.Start.UTC(), s.End.UTC()
		if !s.Restored.IsZero() {
			ev.Restored = s.Restored.UTC()
		}
		ev.Judgements, ev.Timeline, ev.Measured = encoded(p.Judgements), encoded(p.Timeline), encoded(p.Figures)
	}
	for _, a := range p.Seen.Refused {
		if len(ev.Refused) < 100 { // as many as show it; the log has them all
			ev.Refused = append(ev.Refused, a.Entry)
		}
	}
	for _, s := range p.Seen.Sent {
		if ev.Datagrams == nil {
			ev.Datagrams = map[string]uint64{}
		}
		ev.Datagrams[s.Party] += s.Datagrams
	}
	return ev
}

// encoded is a value of drill/measure as JSON; those are numbers, words and times.
func encoded(v any) json.RawMessage {
	b, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return b
}

// recover ends a drill in whose middle the last run of this node ended: what it had taken came back with its lease, and routes are put where they were.
func (k *drillKeeper) recover(ctx context.Context) {
	k.mu.Lock()
	err := k.catchUp(ctx)
	d := k.kept.Book.Open()
	k.sweepOld()
	k.mu.Unlock()
	if err != nil {
		k.node.logger.Warn("the log could not be read for drills", "error", err)
	}
	if d == nil || ctx.Err() != nil {
		return
	}
	k.node.logger.Warn("the last run ended in the middle of a drill; everything is given back", "drill", d.ID())
	ev := audit.DrillEnded{
		Drill: d.ID(), Scenario: d.Request.Scenario, Version: d.Request.Version, Digest: d.Request.Digest, Mode: d.Request.Mode, Outcome: string(drill.Aborted), Cause: "the node ended in its middle", Crash: true,
		Start: d.Begun.UTC(), End: time.Now().UTC(), First: d.Entry, Last: d.Last,
	}
	if p, ok := k.node.crashedSandbox(ctx, d); ok {
		ev.Log, ev.Checkpoint, ev.First, ev.Last = p.Log, p.Sealed, p.First, max(p.Last, 1)-1
	}
	if !d.Played.IsZero() {
		ev.Start = d.Played.UTC()
	}
	if ok, why := k.putBack(ctx, d); ok {
		ev.Restored = time.Now().UTC()
	} else {
		ev.Outcome, ev.Cause = string(drill.NotRestored), ev.Cause+", and "+why
	}
	if ctx.Err() == nil { // else the next start finds it again
		k.over(ctx, ev)
	}
}

// callsUp are those of production.
func (k *drillKeeper) callsUp() (n int) {
	for _, c := range k.node.edge.Calls() {
		if c.Purpose != sovereign.Drill.String() && c.Purpose != sovereign.SyntheticProbe.String() {
			n++
		}
	}
	return n
}

// tests are the newest of each mode; k.mu is held.
func (k *drillKeeper) tests() (out admin.DrillTests) {
	for mode, into := range map[scenario.Mode]**admin.DrillTest{scenario.Full: &out.Full, scenario.Canary: &out.Canary, scenario.Sandbox: &out.Sandbox} {
		if t, ok := k.kept.Book.Newest(mode.Evidence()); ok {
			*into = &admin.DrillTest{Drill: t.Drill, Scenario: t.Scenario, Outcome: t.Outcome, End: t.End}
		}
	}
	return out
}

// Last implements admin.Drills.
func (k *drillKeeper) Last() admin.DrillTests { return *k.last.Load() }

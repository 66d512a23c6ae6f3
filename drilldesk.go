package cordon

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/approval/sign"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/register"
	"github.com/cordonsip/cordon/drill/scenario"
)

// bounds of what people write.
const (
	drillReasonMost = 500
	drillTitleMost  = 200
)

// refuse is what was asked amiss.
func refuse(hint, format string, args ...any) *admin.DrillRefusal {
	return &admin.DrillRefusal{What: fmt.Sprintf(format, args...), Hint: hint}
}

// reasoned checks a person's reason.
func reasoned(reason string) *admin.DrillRefusal {
	switch {
	case strings.TrimSpace(reason) == "":
		return refuse("say why: it stands in the log", "a reason is missing")
	case len(reason) > drillReasonMost:
		return refuse("a line or two", "the reason is longer than %d characters", drillReasonMost)
	}
	return nil
}

// act is a person's act: the book is as the log has it, and k.mu is held.
func (k *drillKeeper) act(ctx context.Context, do func() error) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.catchUp(ctx); err != nil {
		return err
	}
	return do()
}

// find gives a drill.
func (k *drillKeeper) find(id string) (*register.Drill, error) {
	if d := k.kept.Book.Get(id); d != nil {
		return d, nil
	}
	return nil, fmt.Errorf("%w: %.40q was never asked for", admin.ErrNoDrill, id)
}

// Scenarios implements admin.Drills.
func (k *drillKeeper) Scenarios() (out []admin.DrillScenario) {
	cfg := &k.node.cfg.Load().Drills
	for _, name := range cfg.Names() {
		s, _, ok := cfg.Scenario(name)
		if !ok {
			continue
		}
		_, own := cfg.Own[name]
		x := admin.DrillScenario{Name: name, Version: s.Version, Title: s.Title, Class: string(s.Class), Digest: s.Digest, Ships: !own, Needs: s.Needs()}
		for _, m := range s.Modes {
			x.Modes = append(x.Modes, string(m))
		}
		out = append(out, x)
	}
	return out
}

// Plan implements admin.Drills. Nothing is written.
func (k *drillKeeper) Plan(ctx context.Context, o admin.DrillOrder, by string) (out admin.DrillPlan, err error) {
	err = k.act(ctx, func() error {
		now := time.Now()
		p, refusal := k.prepare(o, now)
		if refusal != nil {
			return refusal
		}
		out = admin.DrillPlan{
			DrillPlan: k.planOf("", p, o), Moments: moments(p.play), Lasts: time.Duration(p.play.End.After).Seconds(), Restore: time.Duration(p.play.End.Restore).Seconds(), Calls: p.rate(),
			Would: k.would(p), Approves: p.wanted(), Guards: k.judge(k.node.pseudonym(by), nil, p, now),
		}
		for _, j := range measure.Judge(p.play, &measure.Seen{}) {
			out.Expect = append(out.Expect, j.Word+": "+j.Wanted)
		}
		out.Allowed = len(failing(out.Guards)) == 0
		if w, ok := k.node.cfg.Load().Drills.Next(now, p.length()); ok && p.mode.Live() {
			out.Opens = w.From.UTC()
		}
		return nil
	})
	return out, err
}

// Request implements admin.Drills.
func (k *drillKeeper) Request(ctx context.Context, o admin.DrillOrder, by string) (out register.Drill, err error) {
	err = k.act(ctx, func() error {
		who := k.node.pseudonym(by)
		id, refusal, err := k.ask(ctx, o, who)
		if refusal != nil {
			return errorsOf(k.write(ctx, audit.DrillRefused{Drill: "", Scenario: o.Scenario, What: "request", Why: refusal.What, Guards: refusal.Guards, By: who}), refusal)
		}
		if err != nil {
			return err
		}
		out = *k.kept.Book.Get(id)
		return nil
	})
	k.poke()
	return out, err
}

// ask writes what was asked for, or says why it cannot be; k.mu is held.
func (k *drillKeeper) ask(ctx context.Context, o admin.DrillOrder, who string) (id string, _ *admin.DrillRefusal, _ error) {
	now := time.Now()
	if refusal := reasoned(o.Reason); refusal != nil {
		return "", refusal, nil
	}
	p, refusal := k.prepare(o, now)
	if refusal != nil {
		return "", refusal, nil
	}
	if refusal := k.possible(o, p, who, now); refusal != nil {
		return "", refusal, nil
	}
	cfg := &k.node.cfg.Load().Drills
	id = audit.NewULID(now)
	return id, nil, k.write(ctx, audit.DrillRequested{
		DrillPlan: k.planOf(id, p, o), Tester: who, Reason: o.Reason, Wanted: p.wanted(), Begins: o.Begins, Expires: now.Add(cfg.ApproveIn).UTC(), Guards: k.judge(who, nil, p, now),
	})
}

// lasting are the guards that no waiting changes: one that does not hold refuses a request.
var lasting = []string{"lever", "mode", "throttle", "tester", "independent_of_scenario", "independent_of_configuration", "canary", "secondary"}

// possible says why a drill could not begin, now where it begins at once and ever where it waits.
func (k *drillKeeper) possible(o admin.DrillOrder, p *prepared, who string, now time.Time) *admin.DrillRefusal {
	cfg := &k.node.cfg.Load().Drills
	for _, d := range k.kept.Book.Pending() {
		if d.Request.Scenario == p.play.Name && d.Request.Mode == p.mode.Evidence() && d.Request.Route == p.play.On.Name {
			return refuse("approve or stop that one", "%s is asked for already: %s is %s", p.play.Name, d.ID(), d.State)
		}
	}
	if run := k.run.Load(); run != nil && !p.mode.Live() {
		return refuse("stop it, or wait for its end", "%s is being played: a second one would see what the first does", run.id)
	}
	if p.mode.Live() && !slices.ContainsFunc(cfg.Approvers, func(id string) bool { return k.node.pseudonym(id) != who }) {
		return refuse("name people under drills.approvers, or play it in a sandbox", "%s needs the word of a second person, and nobody else may give it", p.mode)
	}
	var bad []audit.DrillGuard
	for _, g := range failing(k.judge(who, nil, p, now)) {
		if !p.mode.Live() || slices.Contains(lasting, g.Name) {
			bad = append(bad, g)
		}
	}
	if len(bad) > 0 {
		return &admin.DrillRefusal{What: "it may not begin", Hint: "drill plan shows every guard", Guards: bad}
	}
	if !p.mode.Live() {
		return nil
	}
	if o.Begins.IsZero() {
		if _, ok := cfg.Next(now, p.length()); !ok {
			return refuse("widen drills.windows, or choose a shorter scenario", "it takes up to %s, and no window is ever open for so long", p.length())
		}
		return nil
	}
	w, open := cfg.Opening(o.Begins)
	switch {
	case o.Begins.Before(now.Add(cfg.Lead)):
		return refuse("give a later time, or none: it then begins as soon as it may", "people are told %s before it begins, and that is later than %s", cfg.Lead, o.Begins.UTC().Format(time.RFC3339))
	case !open:
		return refuse("drill plan shows when one opens", "no window is open at %s", o.Begins.UTC().Format(time.RFC3339))
	case w.To.Sub(o.Begins) < p.length():
		return refuse("give an earlier time", "%s closes at %s, and it takes up to %s", w.Name, w.To.UTC().Format(time.RFC3339), p.length())
	}
	return nil
}

// Approve implements admin.Drills.
func (k *drillKeeper) Approve(ctx context.Context, id, reason, by string) (register.Drill, error) {
	return k.change(ctx, id, by, func(d *register.Drill, who string) (audit.Event, *admin.DrillRefusal) {
		cfg := &k.node.cfg.Load().Drills
		no := reasoned(reason)
		switch {
		case d.Request.Wanted == 0:
			no = refuse("it begins by itself", "a drill in a %s needs nobody's word", d.Request.Mode)
		case d.State != register.Waiting:
			no = refuse("there is nothing to approve", "%s is %s", id, d.State)
		case who == d.Request.Tester:
			no = refuse("ask another one of drills.approvers", "nobody approves their own drill")
		case !slices.Contains(cfg.Approvers, by):
			no = refuse("drills.approvers names who may", "this person approves no drills")
		}
		if no != nil {
			return audit.DrillRefused{Drill: id, Scenario: d.Request.Scenario, What: "approval", Why: no.What, By: who}, no
		}
		return audit.DrillApproved{Drill: id, Digest: d.Request.Digest, By: who, Reason: reason}, nil
	})
}

// Stop implements admin.Drills: the red button. The play is stopped before the log is asked: one that hangs or cannot be read must not keep a drill running.
func (k *drillKeeper) Stop(ctx context.Context, id, reason, by string) (register.Drill, error) {
	pressed := k.halt(id, reason, by)
	d, err := k.change(ctx, id, by, func(d *register.Drill, who string) (audit.Event, *admin.DrillRefusal) {
		switch {
		case pressed:
		case d.State.Over():
			return nil, refuse("there is nothing to stop", "%s is %s", id, d.State)
		case d.State != register.Running:
			if no := reasoned(reason); no != nil {
				return nil, no
			}
			return audit.DrillRefused{Drill: id, Scenario: d.Request.Scenario, What: "withdrawn", Why: reason, By: who}, nil
		default:
			k.halt(id, reason, by) // without a reason, too: whoever presses it has something else to do
		}
		return nil, nil
	})
	if pressed && err != nil {
		k.node.logger.Warn("a drill was stopped, and the log does not say more of it", "drill", id, "error", err)
		return register.Drill{Request: audit.DrillRequested{DrillPlan: audit.DrillPlan{Drill: id}}, State: register.Running}, nil
	}
	return d, err
}

// halt stops the play of a drill, "" for whichever runs, and says whether it runs.
func (k *drillKeeper) halt(id, reason, by string) bool {
	run := k.run.Load()
	if run == nil || id != "" && id != run.id {
		return false
	}
	run.mu.Lock()
	if run.by == "" {
		run.by = by
	}
	run.mu.Unlock()
	if len(reason) > drillReasonMost {
		reason = strings.ToValidUTF8(reason[:drillReasonMost], "")
	}
	select {
	case run.stop <- reason:
	default: // somebody else did already
	}
	return true
}

// Lever implements admin.Drills. The play is stopped before the log is asked: one that cannot be written must not keep a drill running.
func (k *drillKeeper) Lever(ctx context.Context, allowed bool, reason, by string) error {
	if no := reasoned(reason); no != nil && allowed {
		return no
	}
	if !allowed {
		k.halt("", "the lever: "+reason, by)
	}
	who := k.node.pseudonym(by)
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.catchUp(ctx); err != nil {
		return err
	}
	return k.write(ctx, audit.DrillLever{Allowed: allowed, Reason: reason, By: who})
}

// Clean implements admin.Drills.
func (k *drillKeeper) Clean(ctx context.Context, id string, s admin.DrillSaid, by string) (register.Drill, error) {
	return k.change(ctx, id, by, func(d *register.Drill, who string) (audit.Event, *admin.DrillRefusal) {
		if d.State != register.Ended {
			return nil, refuse("clean-up is signed once, after the end", "%s is %s", id, d.State)
		}
		if no := reasoned(s.Reason); no != nil {
			return nil, no
		}
		auth, no := k.signed(d, wordOf(id, sign.DrillCleaned, who, s))
		if no != nil {
			return nil, no
		}
		checks := k.left(ctx, d)
		if len(failing(checks)) == 0 {
			checks = append(checks, k.cleanSandbox(d)...)
		}
		if bad := failing(checks); len(bad) > 0 {
			return nil, &admin.DrillRefusal{What: "something of it is left", Hint: "put it back first; drill show has what was taken", Guards: bad}
		}
		return audit.DrillCleaned{Drill: id, Removed: removed(d), Checks: checks, By: who, Reason: s.Reason, Role: s.Role, Auth: auth, Signature: s.Signature}, nil
	})
}

// change is an act of a person on one drill: what it gives is written, also beside a refusal.
func (k *drillKeeper) change(ctx context.Context, id, by string, do func(d *register.Drill, who string) (audit.Event, *admin.DrillRefusal)) (out register.Drill, err error) {
	err = k.act(ctx, func() error {
		d, err := k.find(id)
		if err != nil {
			return err
		}
		ev, refusal := do(d, k.node.pseudonym(by))
		if ev != nil {
			err = k.write(ctx, ev)
		}
		out = *d
		return errorsOf(err, refusal)
	})
	k.poke()
	return out, err
}

// errorsOf gives the refusal, or what kept it out of the log.
func errorsOf(err error, refusal *admin.DrillRefusal) error {
	if err == nil && refusal != nil {
		return refusal
	}
	return err
}

// Find implements admin.Drills.
func (k *drillKeeper) Find(ctx context.Context, id string, x admin.DrillFinding, by string) (out register.Defect, err error) {
	err = k.act(ctx, func() error {
		d, err := k.find(id)
		if err != nil {
			return err
		}
		ev := audit.DrillDeficiency{Drill: id, ID: x.ID, What: "found"}
		if x.ID == "" {
			ev.ID = "D-" + rand.Text()[:10]
		} else if was := k.kept.Book.Defect(x.ID); was == nil || was.Drill != id {
			return refuse("leave the id out for a new one", "drill %s has no deficiency %.40q", id, x.ID)
		} else {
			ev = was.DrillDeficiency
			ev.What = "changed"
		}
		ev.By = k.node.pseudonym(by)
		if no := k.defect(&ev, x, d); no != nil {
			return no
		}
		if err := k.write(ctx, ev); err != nil {
			return err
		}
		out = *k.kept.Book.Defect(ev.ID)
		return nil
	})
	return out, err
}

// defect takes over what is new, and says what is wrong with it.
func (k *drillKeeper) defect(ev *audit.DrillDeficiency, x admin.DrillFinding, d *register.Drill) *admin.DrillRefusal {
	ev.Title, ev.Severity, ev.Retest = cmp.Or(x.Title, ev.Title), cmp.Or(x.Severity, ev.Severity), cmp.Or(x.Retest, ev.Retest)
	ev.Due, ev.RetestBy = cmp.Or(x.Due.UTC(), ev.Due), cmp.Or(x.RetestBy.UTC(), ev.RetestBy)
	if x.Fixed {
		ev.Fixed, ev.What = time.Now().UTC(), "fixed"
	}
	if x.Owner != "" {
		if ev.Owner = k.node.pseudonym(x.Owner); k.node.peopleByPseudonym()[ev.Owner] == "" {
			return refuse("the id of somebody under people", "the owner is nobody of this node")
		}
	}
	severities := []string{"low", "medium", "high", "critical"}
	switch {
	case !d.State.Over() || d.State == register.Void:
		return refuse("note it when the drill has ended", "%s is %s: it found nothing yet", d.ID(), d.State)
	case ev.Title == "" || len(ev.Title) > drillTitleMost:
		return refuse(fmt.Sprintf("one line of at most %d characters", drillTitleMost), "its title is missing or too long")
	case !slices.Contains(severities, ev.Severity):
		return refuse("one of "+strings.Join(severities, ", "), "%.20q is no severity", ev.Severity)
	case ev.Owner == "":
		return refuse("name who mends it: DORA Art. 24(5)", "its owner is missing")
	case ev.Due.IsZero():
		return refuse("say by when it is mended", "its date is missing")
	case !ev.RetestBy.IsZero() && ev.RetestBy.Before(ev.Due):
		return refuse("after it is mended", "the retest is due before that")
	case ev.Retest != "" && k.kept.Book.Get(ev.Retest) == nil:
		return refuse("the list of drills has their ids", "there is no drill %.40q that could have tested it again", ev.Retest)
	}
	return nil
}

// Report implements admin.Drills.
func (k *drillKeeper) Report(ctx context.Context, id, format string, names bool) ([]byte, error) {
	var d register.Drill
	err := k.act(ctx, func() error {
		found, err := k.find(id)
		if err != nil {
			return err
		}
		if d = *found; d.Ended == nil {
			return refuse("a report is of a drill that ended", "%s is %s: it never ran to an end", id, d.State)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return k.report(ctx, d, format, names)
}

// List implements admin.Drills.
func (k *drillKeeper) List() []register.Drill {
	k.mu.Lock()
	defer k.mu.Unlock()
	out := make([]register.Drill, 0, len(k.kept.Book.Drills))
	for _, d := range slices.Backward(k.kept.Book.Drills) {
		out = append(out, *d)
	}
	return out
}

// Drill implements admin.Drills. Steps are written beside the keeper, so that it looks whether there are new ones.
func (k *drillKeeper) Drill(id string) (register.Drill, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), drillRetry)
	defer cancel()
	if err := k.catchUp(ctx); err != nil {
		k.node.logger.Warn("the log could not be read for drills", "error", err)
	}
	d := k.kept.Book.Get(id)
	if d == nil {
		return register.Drill{}, false
	}
	return *d, true
}

// Defects implements admin.Drills.
func (k *drillKeeper) Defects(id string) []register.Defect {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []register.Defect
	for _, d := range k.kept.Book.Defective(id) {
		out = append(out, *d)
	}
	return out
}

// Standing implements admin.Drills.
func (k *drillKeeper) Standing() admin.DrillStanding {
	k.mu.Lock()
	defer k.mu.Unlock()
	why, forbidden := k.kept.Book.Forbidden()
	out := admin.DrillStanding{Allowed: !forbidden, Why: why, Calendar: k.kept.Book.Standings(k.node.cfg.Load().Drills.Calendar, time.Now())}
	if run := k.run.Load(); run != nil {
		out.Running = run.id
	}
	return out
}

// removed is what the clean-up of a drill is about, in words.
func removed(d *register.Drill) (out []string) {
	for _, s := range d.Steps {
		if s.Word == "given_back" {
			out = append(out, s.What+", given back at "+s.At.UTC().Format(time.RFC3339))
		}
	}
	if d.Request.Mode == scenario.Sandbox.Evidence() {
		out = append(out, "the sandbox: its node, its stand-ins, and its folder but for its log")
	}
	if len(out) == 0 {
		out = []string{"nothing was taken away"}
	}
	return out
}

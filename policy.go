package cordon

import (
	"context"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/sovereign"
)

// overlayEvery is how often the suspensions file is looked at: an annulled instrument must be out of force within a second.
const overlayEvery = 200 * time.Millisecond

// policyKeeper owns the snapshot in force: configuration, overlay and grants become one Snapshot, which is swapped into the fence whole.
type policyKeeper struct {
	node *Node

	changing sync.Mutex // one change of configuration or overlay at a time; held while the log or a file is waited for, and taken before mu

	mu         sync.Mutex // guards all below and the order of swaps; held for no longer than a swap takes. cfg, overlay and seen change under both
	cfg        *configs.Config
	overlay    []sovereign.Suspension
	grants     []sovereign.Grant
	generation uint64
	seen       fileMark
	announced  map[string]bool           // ids of the grants that the log was last told of
	against    []sovereign.Contradiction // what evidence says against declared places
	effects    effects
	up         callCount         // calls that were up before a snapshot closed places, until law.in_force tells of them; nil: nobody counted
	cuts       []sovereign.Sever // in force
	drilled    drilled           // instruments that a drill has struck, on a lease
	lost       []string          // what is suspended by the word of the log alone, for people; changed by load alone
	unknown    bool              // no earlier run wrote down what took effect; likewise
	swapped    time.Time         // when the snapshot in force was put there

	pending   chan struct{} // grants changed
	adoptable chan struct{} // people approved a wider policy
	drills    chan struct{} // a drill struck an instrument, or gave one back
}

// fileMark tells whether a file changed.
type fileMark struct {
	size int64
	mod  time.Time
}

func newPolicyKeeper(n *Node, cfg *configs.Config) *policyKeeper {
	return &policyKeeper{node: n, cfg: cfg, pending: make(chan struct{}, 1), adoptable: make(chan struct{}, 1), drills: make(chan struct{}, 1)}
}

// load reads the overlay and puts the first snapshot in force.
func (k *policyKeeper) load(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	mark := markOf(k.cfg.Suspensions.File)
	overlay, err := k.cfg.Overlay()
	if err != nil && overlay == nil {
		return err
	}
	if k.overlay = overlay; err == nil { // else Run looks again, and tells the log of what was refused
		k.seen = mark
	}
	known, err := k.recall(ctx)
	if err == nil && overlay == nil {
		k.overlay, err = k.unfiled(ctx, known)
	}
	if err != nil {
		return err
	}
	snap, e, err := k.build(k.cfg, k.overlay)
	if err != nil {
		return err
	}
	k.effects = e
	k.put(snap)
	return nil
}

// put puts a snapshot of the next generation in force. The caller holds mu.
func (k *policyKeeper) put(snap *sovereign.Snapshot) {
	k.generation++
	snap = snap.Bearing(k.against) // also one that was built from a configuration
	k.swapped = time.Now()
	if k.node.fence == nil {
		k.node.fence = sovereign.NewFence(snap, k.node.refusals.add)
	} else {
		k.node.fence.Swap(snap)
	}
	k.node.log.SetStamp(audit.Stamp{PolicyDigest: snap.PolicyDigest(), FactsDigest: snap.FactsDigest(), Generation: snap.Generation()})
}

// announce writes what is in force into the log.
func (k *policyKeeper) announce(ctx context.Context, cause, by string) error {
	k.node.charters.naming.Lock()
	defer k.node.charters.naming.Unlock()
	digest, entry := k.node.charters.ref()
	ev := applied(k.node.fence.Snapshot(), cause, by)
	ev.Charter, ev.Accepted = digest, entry
	_, err := k.node.log.Append(ctx, ev)
	return err
}

// applied is the entry of a snapshot.
func applied(s *sovereign.Snapshot, cause, by string) audit.PolicyApplied {
	p := s.Policy()
	ev := audit.PolicyApplied{Cause: cause, By: by, PolicyDigest: s.PolicyDigest(), FactsDigest: s.FactsDigest(), Generation: s.Generation(), Preset: string(p.Preset)}
	for _, r := range p.Allow {
		ev.Allow = append(ev.Allow, r.String())
	}
	return ev
}

// grantsChanged is told by the gate, which has logged what opens and has not yet logged what ends: it takes effect before this returns, also while a reload waits
// for the log. It waits for no more than another swap.
func (k *policyKeeper) grantsChanged(live []approval.Grant) {
	k.mu.Lock()
	k.take(live)
	k.mu.Unlock()
	select {
	case k.pending <- struct{}{}:
	default:
	}
}

// contradict puts in force what evidence says against declared places. It builds on the snapshot in force, as take does, and waits for no more than another swap.
func (k *policyKeeper) contradict(list []sovereign.Contradiction) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.against = list
	k.put(k.node.fence.Snapshot().WithContradictions(list))
}

// take puts the live grants in force, if they are others than before. It builds on the snapshot in force, because that cannot fail: a revocation must not depend
// on a configuration that can be built once more. The caller holds mu.
func (k *policyKeeper) take(live []approval.Grant) {
	next := make([]sovereign.Grant, len(live))
	for i, g := range live {
		next[i] = sovereignGrant(g)
	}
	same := slices.EqualFunc(k.grants, next, func(a, b sovereign.Grant) bool { return a.ID == b.ID && a.Until.Equal(b.Until) && a.Entry == b.Entry })
	if same {
		return
	}
	k.grants = next
	k.put(k.node.fence.Snapshot().WithGrants(next))
}

// Run follows grants and the suspensions file until ctx ends.
func (k *policyKeeper) Run(ctx context.Context) error {
	tick := time.NewTicker(overlayEvery)
	defer tick.Stop()
	k.node.changeApproved(approval.Ticket{}) // in the last run, perhaps
	k.tellUnfiled(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.pending:
			k.applyGrants(ctx)
		case <-k.adoptable:
			k.node.mindPolicy(ctx)
		case <-k.drills:
			k.tellDrill(ctx)
		case <-tick.C:
			k.lapse()
			k.applyOverlay(ctx)
			k.comeIntoForce(ctx)
			k.node.mindPolicy(ctx)
		}
	}
}

// applyGrants sees to it that the live grants are in force, and writes down what grantsChanged did.
func (k *policyKeeper) applyGrants(ctx context.Context) {
	k.mu.Lock()
	k.take(k.node.gate.Grants())
	cause, told := "grant", map[string]bool{}
	for _, g := range k.grants {
		told[g.ID] = true
	}
	for id := range k.announced {
		if !told[id] {
			cause = "grant_ended"
		}
	}
	same := maps.Equal(k.announced, told)
	k.announced = told
	k.mu.Unlock()
	if !same {
		k.after(ctx, cause)
	}
}

// sovereignGrant is the grant as the fence reads it.
func sovereignGrant(g approval.Grant) sovereign.Grant {
	out := sovereign.Grant{ID: g.ID, Trunks: g.Scope.Trunks, Groups: g.Scope.Groups, NotBefore: g.From, Until: g.Until, Entry: g.Entry}
	for _, s := range g.Scope.Regions {
		if r, err := sovereign.ParseRegion(s); err == nil {
			out.Regions = append(out.Regions, r)
		}
	}
	return out
}

// applyOverlay takes a changed suspensions file into force: first the fence, then the record, then the tickets that rested on the struck instrument.
func (k *policyKeeper) applyOverlay(ctx context.Context) {
	look, fresh := k.look()
	if !fresh {
		return
	}
	k.node.checker.Poke()
	k.node.router.Poke()
	k.tell(ctx, look)
	k.remember(ctx)
	k.after(ctx, "suspension")
	k.invalidate(ctx, "the law table changed: an instrument was suspended", otherFacts(k.node.fence.Snapshot()))
	k.node.charters.again()
}

// look reads the suspensions file and puts it in force, if it is another one than before. It builds on the snapshot in force, as take does.
func (k *policyKeeper) look() (look struck, fresh bool) {
	k.changing.Lock()
	defer k.changing.Unlock()
	mark := markOf(k.cfg.Suspensions.File)
	if mark == k.seen {
		return struck{}, false
	}
	overlay, refused := k.cfg.Overlay()
	look = struck{newSuspensions(k.overlay, overlay), refused}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen, k.overlay = mark, mergeSuspensions(k.overlay, overlay)
	k.up = k.node.callsOf() // they begin to end with what follows
	k.put(k.restruck())
	return look, true
}

// struck is what a look at the suspensions file brought.
type struck struct {
	fresh   []sovereign.Suspension // in force from now on
	refused error                  // lines that do not count
}

// tell writes a look down.
func (k *policyKeeper) tell(ctx context.Context, look struck) {
	k.refusedLines(ctx, look.refused)
	for _, s := range look.fresh {
		if _, err := k.node.log.Append(context.WithoutCancel(ctx), audit.LawSuspended{Instrument: s.Instrument, Since: s.Since, Reason: s.Reason, KeyID: s.KeyID}); err != nil {
			k.node.logger.Error("a suspension is in force and could not be logged", "instrument", s.Instrument, "error", err)
		}
	}
}

// refusedLines tells the log of lines that nobody may have signed, or that cannot be read: somebody tried to change the law here, or failed to.
func (k *policyKeeper) refusedLines(ctx context.Context, err error) {
	if err == nil {
		return
	}
	k.node.logger.Error("some lines of the suspensions file were refused; the others count", "error", err)
	if _, lerr := k.node.log.Append(context.WithoutCancel(ctx), audit.SuspensionRefused{Errors: strings.Split(err.Error(), "\n")}); lerr != nil {
		k.node.logger.Error("refused suspensions could not be logged", "error", lerr)
	}
}

// newSuspensions gives what now stands in the file and did not before.
func newSuspensions(before, now []sovereign.Suspension) []sovereign.Suspension {
	known := map[string]bool{}
	name := func(s sovereign.Suspension) string {
		return s.Since.UTC().Format(time.RFC3339Nano) + " " + s.Instrument
	}
	for _, s := range before {
		known[name(s)] = true
	}
	var out []sovereign.Suspension
	for _, s := range now {
		if !known[name(s)] {
			known[name(s)] = true
			out = append(out, s)
		}
	}
	return out
}

// mergeSuspensions keeps what was in force: a line that vanished from the file does not give an instrument back; a restart with the shorter file does,
// and the log shows both.
func mergeSuspensions(before, now []sovereign.Suspension) []sovereign.Suspension {
	return append(append([]sovereign.Suspension(nil), before...), newSuspensions(before, now)...)
}

func (k *policyKeeper) after(ctx context.Context, cause string) {
	if err := k.announce(ctx, cause, ""); err != nil {
		k.node.logger.Error("the policy changed and the log could not be written", "cause", cause, "error", err)
	}
	k.node.checker.Poke()
	k.node.router.Poke()
}

func (k *policyKeeper) invalidate(ctx context.Context, why string, match func(approval.Ticket) bool) {
	if err := k.node.gate.Invalidate(ctx, why, match); err != nil {
		k.node.logger.Error("tickets could not be invalidated", "error", err)
	}
}

// reload puts cfg in force or leaves everything as it is: the rooms take their parts, the entry is under a signed checkpoint, and only then does the policy change.
// A log that cannot be written refuses the reload. What it gives is for reloaded. Grants may change meanwhile, under the policy that is still in force.
func (k *policyKeeper) reload(ctx context.Context, w *weighed, by string, apply func(*configs.Config) error) (struck, error) {
	cfg := w.run
	k.changing.Lock()
	defer k.changing.Unlock()
	mark := markOf(cfg.Suspensions.File)
	overlay, refused := cfg.Overlay()
	if refused != nil && overlay == nil {
		return struck{}, refused
	}
	look := struck{newSuspensions(k.overlay, overlay), refused}
	overlay = mergeSuspensions(k.overlay, overlay)
	k.mu.Lock()
	snap, e, err := k.build(cfg, overlay)
	k.mu.Unlock()
	if err != nil {
		return struck{}, err
	}
	if err := apply(cfg); err != nil {
		return struck{}, errors.Join(err, apply(k.cfg))
	}
	if err := k.node.charters.record(ctx, w, "reload", by); err != nil {
		return struck{}, errors.Join(err, apply(k.cfg))
	}
	ev := applied(snap, "reload", by)
	if ev.Charter, ev.Accepted = w.acceptedAlong, w.entry; w.cause == causeSigned {
		ev.Cause = causeSigned
	}
	if _, err := k.node.log.Commit(ctx, ev); err != nil {
		return struck{}, errors.Join(err, apply(k.cfg))
	}
	if k.settle(cfg, overlay, mark, snap, e) {
		if err := k.announce(ctx, "reload", by); err != nil {
			k.node.logger.Error("grants changed during a reload and the log could not be written", "error", err)
		}
	}
	return look, nil
}

// settle puts what the log has in force. late: grants changed since snap was made, and a later snapshot of the same law is in force than the entry tells of.
func (k *policyKeeper) settle(cfg *configs.Config, overlay []sovereign.Suspension, mark fileMark, snap *sovereign.Snapshot, e effects) (late bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for ; snap.Generation() <= k.generation; late = true {
		snap = snap.WithGrants(k.grants)
	}
	k.cfg, k.overlay, k.seen = cfg, overlay, mark
	k.effects = k.effects.and(e)
	k.put(snap)
	return late
}

// reloaded does what follows a reload and needs no lock.
func (k *policyKeeper) reloaded(ctx context.Context, look struck) {
	k.tell(ctx, look)
	k.node.checker.Poke()
	k.node.router.Poke()
	s := k.node.fence.Snapshot()
	k.invalidate(ctx, "the policy or the law table changed", func(t approval.Ticket) bool {
		return t.Plan.PolicyDigest != s.PolicyDigest() || t.Plan.FactsDigest != s.FactsDigest() || k.node.charters.void(t)
	})
	k.invalidate(ctx, "its legal basis left the catalogue or changed there", k.node.gate.BasisGone)
}

func markOf(path string) fileMark {
	if path == "" {
		return fileMark{}
	}
	info, err := os.Stat(path)
	if err != nil {
		return fileMark{}
	}
	return fileMark{info.Size(), info.ModTime()}
}

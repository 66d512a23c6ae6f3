package cordon

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/retain"
)

const (
	scanStep  = 1000           // entries at once
	scanAfter = 48 * time.Hour // behind the day of a call: when its records are written at the latest
	maxDays   = 1000           // of one entry about what was destroyed
	oneDay    = 24 * time.Hour
	dayForm   = "20060102"
)

// archive decides what stays behind the references of the log: holds, classes, and what people asked to forget. Holds are entries of the log; the file in the
// state folder only says how far they were read.
type archive struct {
	node *Node

	mu    sync.Mutex // one decision at a time: nothing is destroyed while a hold is being placed
	read  uint64     // entries that were looked at
	saved uint64     // as the file has it
	holds []retain.Hold
	known bool       // the file was read
	again []shredded // that may have been cut off
}

// shredded is an entry about what was destroyed.
type shredded struct {
	audit.Shredded
	at time.Time
}

// holdsFile is the file.
type holdsFile struct {
	Read  uint64        `json:"read"`
	Holds []retain.Hold `json:"holds"`
}

func (a *archive) path() string { return filepath.Join(a.node.opts.Config.StateDir, "holds.json") }

// Run reads the log as far as it was not read, and destroys again what its entries say is destroyed: a crash, or a copy that was restored, may have kept it.
func (a *archive) Run(ctx context.Context) error {
	a.mu.Lock()
	err := a.catchUp(ctx)
	a.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		a.node.logger.Error("the legal holds of the log cannot be read; nothing is forgotten until they can", "error", err)
	}
	<-ctx.Done()
	return nil
}

// catchUp reads what is new in the log; a.mu is held.
func (a *archive) catchUp(ctx context.Context) error {
	if !a.known && !a.node.opts.Memory {
		var k holdsFile
		raw, err := os.ReadFile(a.path())
		if err == nil {
			err = json.Unmarshal(raw, &k)
		}
		if err == nil && k.Read <= a.node.log.Size() {
			a.read, a.saved, a.holds = k.Read, k.Read, k.Holds
		}
	}
	a.known = true
	for a.read < a.node.log.Size() {
		if err := ctx.Err(); err != nil {
			return err
		}
		list, err := a.node.log.Entries(ctx, a.read, scanStep)
		if err != nil {
			return err
		}
		for _, e := range list {
			if err := a.take(ctx, e); err != nil {
				return fmt.Errorf("entry %d: %w", e.Seq, err)
			}
			a.read = e.Seq + 1
		}
	}
	for ; len(a.again) > 0; a.again = a.again[1:] {
		if err := a.reshred(ctx, a.again[0]); err != nil {
			return err
		}
	}
	if a.node.opts.Memory || a.read == a.saved {
		return nil
	}
	raw, err := json.Marshal(holdsFile{a.read, a.holds})
	if err == nil {
		err = audit.KeepKeys(a.path(), string(raw))
	}
	if err == nil {
		a.saved = a.read
	}
	return err
}

// reshred finishes what an entry says was destroyed; a.mu is held, and every hold of the log is known. It destroys no more than the entry speaks of: what was kept then may
// be over by now, and waits for somebody to run the retention again.
func (a *archive) reshred(ctx context.Context, s shredded) error {
	left := 0
	for _, day := range s.Days {
		refs, err := a.node.names.SaltsOf(day)
		if err != nil {
			return err
		}
		left += len(refs)
	}
	for _, day := range s.Days {
		if left <= s.Kept {
			break
		}
		if _, err := a.shred(ctx, day, s.at); err != nil {
			return err
		}
	}
	return nil
}

// take takes one entry into account; a.mu is held.
func (a *archive) take(ctx context.Context, e audit.Entry) error {
	switch e.Kind {
	case audit.KindHoldPlaced, audit.KindHoldLifted, audit.KindForgotten, audit.KindShredded:
	default:
		return nil
	}
	ev, err := audit.Decode(e)
	if err != nil {
		return err
	}
	switch ev := ev.(type) {
	case audit.HoldPlaced:
		a.holds = append(a.holds, ev.Hold)
	case audit.HoldLifted:
		a.holds = slices.DeleteFunc(a.holds, func(h retain.Hold) bool { return h.ID == ev.ID })
	case audit.Forgotten:
		if err = a.destroy(ev.What, ev.Ref); errors.Is(err, audit.ErrForgotten) {
			err = nil
		}
	case audit.Shredded:
		a.again = append(a.again, shredded{ev, e.Time}) // a hold may stand behind it in the log
	}
	return err
}

// destroy forgets one call or person on the disk.
func (a *archive) destroy(what, ref string) error {
	if what == "person" {
		return a.node.names.Erase(ref)
	}
	return a.node.names.Destroy(ref)
}

// rules are those in force; a.mu is held.
func (a *archive) rules() retain.Rules {
	return retain.Rules{Classes: a.node.cfg.Load().Retention, Holds: a.holds}
}

// forget makes a reference of the log name nobody any more. The entry comes first and carries the word that the log has; what it stood for is then destroyed on
// the disk. What stands for nothing gets no entry: it may be a name or a number that somebody wrote there by mistake.
func (a *archive) forget(ctx context.Context, f admin.Forget, by string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.catchUp(ctx); err != nil {
		return err
	}
	ref, ok := a.node.names.Known(f.Ref)
	if person := strings.HasPrefix(ref, "p-"); !ok || person != (f.What == "person") {
		return audit.ErrForgotten
	}
	if err := a.allowed(ctx, f.What, ref); err != nil {
		return err
	}
	if _, err := a.node.log.Commit(ctx, audit.Forgotten{What: f.What, Ref: ref, By: a.node.pseudonym(by), Why: f.Reason}); err != nil {
		return err
	}
	return a.destroy(f.What, ref)
}

// allowed says whether nothing keeps a call or a person; a.mu is held.
func (a *archive) allowed(ctx context.Context, what, ref string) error {
	rules := a.rules()
	if what == "person" {
		return rules.Person(ref)
	}
	day, err := audit.DayOf(ref)
	if err != nil {
		return err
	}
	c := retain.Call{Ref: ref, Day: day}
	if rules.ByTrunk(day) {
		trunks, err := a.trunks(ctx, day)
		if err != nil {
			return err
		}
		c.Trunk = trunks[ref]
	}
	return rules.Forget(c, time.Now())
}

// trunks gives the trunks of the calls of a day, as their records have them.
func (a *archive) trunks(ctx context.Context, day time.Time) (map[string]string, error) {
	var failed error
	size := a.node.log.Size()
	from := sort.Search(int(size), func(i int) bool { // times are those of the appends: in order, but for steps of the clock
		if failed != nil {
			return true
		}
		list, err := a.node.log.Entries(ctx, uint64(i), 1)
		if failed = err; err != nil || len(list) == 0 {
			return true
		}
		return !list[0].Time.Before(day)
	})
	out := map[string]string{}
	for at := uint64(from); at < size && failed == nil; {
		list, err := a.node.log.Entries(ctx, at, scanStep)
		if err != nil {
			return nil, err
		}
		for _, e := range list {
			if e.Time.After(day.Add(oneDay + scanAfter)) {
				return out, nil
			}
			var body struct {
				Ref   string `json:"call_ref"`
				Trunk string `json:"trunk_id"`
			}
			if e.Kind == audit.KindReceipt || e.Kind == audit.KindCallEnded {
				if err := json.Unmarshal(e.Body, &body); err == nil && body.Trunk != "" {
					out[body.Ref] = body.Trunk
				}
			}
		}
		at += uint64(len(list))
	}
	return out, failed
}

// aged is what of one day no class keeps any more.
type aged struct {
	view    admin.RetentionDay
	refs    []string // to be destroyed
	classes []string
}

// age judges the salts of one day; a.mu is held.
func (a *archive) age(ctx context.Context, day string, now time.Time) (out aged, err error) {
	at, err := time.Parse(dayForm, day)
	if err != nil {
		return out, err
	}
	refs, err := a.node.names.SaltsOf(day)
	if err != nil {
		return out, err
	}
	rules, trunks := a.rules(), map[string]string{}
	if rules.ByTrunk(at) {
		if trunks, err = a.trunks(ctx, at); err != nil {
			return out, err
		}
	}
	out.view = admin.RetentionDay{Day: at.Format(time.DateOnly), Calls: len(refs)}
	for _, ref := range refs {
		c := retain.Call{Ref: ref, Day: at, Trunk: trunks[ref]}
		due, class := rules.Due(c)
		if out.view.Next.IsZero() || due.Before(out.view.Next) {
			out.view.Next, out.view.Class, out.view.Reason = due, class.Name, class.Reason
		}
		if h, held := rules.Held(c); held {
			if out.view.Held++; !slices.Contains(out.view.Holds, h.ID) {
				out.view.Holds = append(out.view.Holds, h.ID)
			}
			continue
		}
		if due.After(now) {
			continue
		}
		out.refs = append(out.refs, ref)
		if word := class.Name + " " + class.Keep.String() + ": " + class.Reason; !slices.Contains(out.classes, word) {
			out.classes = append(out.classes, word)
		}
	}
	out.view.Due = len(out.refs)
	return out, nil
}

// shred destroys what of one day no class keeps any more; a.mu is held.
func (a *archive) shred(ctx context.Context, day string, now time.Time) (int, error) {
	d, err := a.age(ctx, day, now)
	if err != nil {
		return 0, err
	}
	return len(d.refs), a.node.names.DestroySalts(day, d.refs)
}

// Retention says what would be destroyed, or with run destroys it: the entry first, and then the salts.
func (a *archive) Retention(ctx context.Context, run bool, by string) (p admin.RetentionPlan, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.catchUp(ctx); err != nil {
		return p, err
	}
	now := time.Now().UTC()
	p = admin.RetentionPlan{Classes: []admin.RetentionClass{}, Days: []admin.RetentionDay{}}
	for _, c := range a.rules().Classes {
		p.Classes = append(p.Classes, admin.RetentionClass{Class: c.Name, Trunks: c.Trunks, Keep: c.Keep.String(), Reason: c.Reason, Binding: c.Binding})
	}
	days, err := a.node.names.SaltDays()
	if err != nil {
		return p, err
	}
	ev := audit.Shredded{Days: []string{}, Classes: []string{}, By: a.node.pseudonym(by)}
	for _, day := range days {
		d, err := a.age(ctx, day, now)
		if err != nil {
			return p, err
		}
		p.Days = append(p.Days, d.view)
		p.Due += len(d.refs)
		if len(d.refs) == 0 || len(ev.Days) == maxDays {
			continue
		}
		ev.Days = append(ev.Days, day)
		ev.Calls, ev.Kept = ev.Calls+len(d.refs), ev.Kept+d.view.Calls-len(d.refs)
		for _, c := range d.classes {
			if !slices.Contains(ev.Classes, c) {
				ev.Classes = append(ev.Classes, c)
			}
		}
	}
	if !run {
		return p, nil
	}
	if _, err := a.node.log.Commit(ctx, ev); err != nil {
		return p, err
	}
	for _, day := range ev.Days {
		n, err := a.shred(ctx, day, now)
		if err != nil {
			return p, err
		}
		p.Shredded += n
	}
	return p, nil
}

// Holds gives the holds in force.
func (a *archive) Holds(ctx context.Context) ([]retain.Hold, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.catchUp(ctx)
	return slices.Clone(a.holds), err
}

// Place places a hold; it is in force once the log has it.
func (a *archive) Place(ctx context.Context, h retain.Hold, by string) (retain.Hold, error) {
	h.ID, h.By, h.At = "h-"+strings.ToLower(rand.Text()[:10]), a.node.pseudonym(by), time.Now().UTC().Truncate(time.Second)
	if err := h.Check(); err != nil {
		return h, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.catchUp(ctx); err != nil {
		return h, err
	}
	if _, err := a.node.log.Commit(ctx, audit.HoldPlaced{Hold: h}); err != nil {
		return h, err
	}
	return h, a.catchUp(ctx)
}

// Lift lifts a hold that somebody else placed.
func (a *archive) Lift(ctx context.Context, id, reason, by string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.catchUp(ctx); err != nil {
		return err
	}
	i := slices.IndexFunc(a.holds, func(h retain.Hold) bool { return h.ID == id })
	who := a.node.pseudonym(by)
	switch {
	case i < 0:
		return admin.ErrNoHold
	case a.holds[i].By == who:
		return admin.ErrOwnHold
	}
	if _, err := a.node.log.Commit(ctx, audit.HoldLifted{ID: id, Reason: reason, By: who}); err != nil {
		return err
	}
	return a.catchUp(ctx)
}

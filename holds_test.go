package cordon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/retain"
	"github.com/cordonsip/cordon/configs"
)

// vault is an archive over a log in memory and pseudonyms on the disk.
type vault struct {
	*archive
	t   *testing.T
	dir string
}

func newVault(t *testing.T) vault {
	t.Helper()
	dir := t.TempDir()
	l, err := audit.Memory(audit.Config{Signer: mustKeys(t).signer(), Origin: "cordon/bank-1/edge-1"})
	if err != nil {
		t.Fatal(err)
	}
	names, err := audit.OpenPseudonyms(filepath.Join(dir, "pseudonyms"), mustKeys(t).derive("pseudonyms"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = names.Close() })
	n := &Node{opts: Options{Config: &configs.Config{StateDir: dir}}, log: l, names: names, logger: slog.New(slog.DiscardHandler)}
	n.cfg.Store(&configs.Config{StateDir: dir, Retention: []retain.Class{
		{Name: "all", Keep: retain.Keep{Years: 5}, Reason: "GDPR Art. 5(1)(e)"},
		{Name: "mifid", Trunks: []string{"trading"}, Keep: retain.Keep{Years: 7}, Reason: "MiFID II Art. 16(7)", Binding: true},
	}})
	return vault{&archive{node: n}, t, dir}
}

// call makes a call of today over a trunk.
func (v vault) call(trunk string) string {
	v.t.Helper()
	ref, _ := v.node.names.Call(fmt.Sprint(time.Now().UnixNano()), "+4969900100")
	if _, err := v.node.log.Append(v.t.Context(), audit.CallEnded{CallRef: ref, Trunk: trunk}); err != nil {
		v.t.Fatal(err)
	}
	return ref
}

func (v vault) known(ref string) bool {
	_, ok := v.node.names.Known(ref)
	return ok
}

func (v vault) count(k audit.Kind) (n int) {
	v.t.Helper()
	list, err := v.node.log.Entries(v.t.Context(), 0, 1000)
	if err != nil {
		v.t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind == k {
			n++
		}
	}
	return n
}

// old moves the salts of today to a day years ago, as if they had been written then.
func (v vault) old(day string) {
	v.t.Helper()
	if err := v.node.names.Close(); err != nil {
		v.t.Fatal(err)
	}
	salts := filepath.Join(v.dir, "pseudonyms", "salts")
	today := time.Now().UTC().Format(dayForm)
	if err := os.Rename(filepath.Join(salts, today+".salts"), filepath.Join(salts, day+".salts")); err != nil {
		v.t.Fatal(err)
	}
	names, err := audit.OpenPseudonyms(filepath.Join(v.dir, "pseudonyms"), mustKeys(v.t).derive("pseudonyms"))
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { _ = names.Close() })
	v.node.names = names
}

func on(day, ref string) string { return day + ref[8:] }

// TestForget holds that a request is granted with an entry, and refused with the reason where a hold or a duty keeps the call.
func TestForget(t *testing.T) {
	v := newVault(t)
	free, traded, held := v.call("carrier"), v.call("trading"), v.call("carrier")
	if _, err := v.Place(t.Context(), retain.Hold{Ref: held, Reason: "proceedings 4711"}, "alice"); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ ref, want string }{
		"granted":         {free, ""},
		"a duty":          {traded, "class mifid until "},
		"a hold":          {held, "(proceedings 4711)"},
		"nothing is kept": {"20200101-" + strings.Repeat("0", 31) + "1", audit.ErrForgotten.Error()},
	} {
		err := v.forget(t.Context(), admin.Forget{What: "call", Ref: c.ref, Reason: "request"}, "dora")
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != "" && c.want != audit.ErrForgotten.Error() && (!errors.Is(err, retain.ErrKept) || !v.known(c.ref)) {
			t.Errorf("%s: %v, and still known: %v", name, err, v.known(c.ref))
		}
	}
	if v.known(free) || v.count(audit.KindForgotten) != 1 {
		t.Errorf("the call is known: %v, %d entries", v.known(free), v.count(audit.KindForgotten))
	}
	person := v.node.names.Person("erika")
	h, err := v.Place(t.Context(), retain.Hold{Ref: person, Reason: "proceedings"}, "alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := v.forget(t.Context(), admin.Forget{What: "person", Ref: "erika", Reason: "left"}, "dora"); !errors.Is(err, retain.ErrKept) {
		t.Errorf("a person under a hold: %v", err)
	}
	if err := v.Lift(t.Context(), h.ID, "over", "alice"); !errors.Is(err, admin.ErrOwnHold) {
		t.Errorf("lifted by who placed it: %v", err)
	}
	if err := v.Lift(t.Context(), h.ID, "over", "dora"); err != nil {
		t.Error(err)
	}
	if err := v.Lift(t.Context(), h.ID, "over", "dora"); !errors.Is(err, admin.ErrNoHold) {
		t.Errorf("lifted twice: %v", err)
	}
	if err := v.forget(t.Context(), admin.Forget{What: "person", Ref: "erika", Reason: "left"}, "dora"); err != nil || v.known(person) {
		t.Errorf("after the hold: %v", err)
	}
}

// TestRetention holds that what is over goes with its bytes, what is held or kept longer stays, and the entry says so.
func TestRetention(t *testing.T) {
	v := newVault(t)
	a, b := v.call("carrier"), v.call("carrier")
	v.old("20200310")
	a, b = on("20200310", a), on("20200310", b)
	raw := func() []byte {
		out, _ := os.ReadFile(filepath.Join(v.dir, "pseudonyms", "salts", "20200310.salts"))
		return out
	}
	v.node.cfg.Load().Retention = v.node.cfg.Load().Retention[:1] // no record of so long ago says over which trunk they came
	h, err := v.Place(t.Context(), retain.Hold{Ref: b, Reason: "proceedings"}, "alice")
	if err != nil {
		t.Fatal(err)
	}
	before := raw()
	p, err := v.Retention(t.Context(), false, "dora")
	if err != nil || p.Due != 1 || p.Shredded != 0 || len(p.Days) != 1 || p.Days[0].Held != 1 || p.Days[0].Holds[0] != h.ID || v.count(audit.KindShredded) != 0 || !bytes.Equal(raw(), before) {
		t.Fatalf("plan: %+v %v", p, err)
	}
	p, err = v.Retention(t.Context(), true, "dora")
	if err != nil || p.Shredded != 1 || v.known(a) || !v.known(b) || v.count(audit.KindShredded) != 1 {
		t.Fatalf("run: %+v %v", p, err)
	}
	if now := raw(); len(now) != len(before) || bytes.Count(now, make([]byte, 32)) != 1 {
		t.Errorf("the record was not overwritten: % x", now)
	}
	// A copy from before is put back: the next start destroys again what the log says is destroyed.
	if err := os.WriteFile(filepath.Join(v.dir, "pseudonyms", "salts", "20200310.salts"), before, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(v.path()); err != nil {
		t.Fatal(err)
	}
	again := &archive{node: v.node}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- again.Run(ctx) }()
	list, err := again.Holds(t.Context())
	cancel()
	if e := <-done; e != nil || err != nil || len(list) != 1 || v.known(a) || !v.known(b) {
		t.Errorf("after a copy was put back: %v %v, %d holds, known %v", e, err, len(list), v.known(a))
	}
	if err := again.Lift(t.Context(), h.ID, "over", "dora"); err != nil {
		t.Fatal(err)
	}
	if p, err := again.Retention(t.Context(), true, "dora"); err != nil || p.Shredded != 1 || len(raw()) != 0 {
		t.Errorf("after the hold: %+v %v", p, err)
	}
}

// TestNoMoreIsDestroyedThanTheLogSays: what a run kept stays after its class is over until somebody runs it again, and a hold that was placed meanwhile keeps it, however
// much of the log is read anew.
func TestNoMoreIsDestroyedThanTheLogSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newVault(t)
		v.node.cfg.Load().Retention = []retain.Class{
			{Name: "all", Keep: retain.Keep{Days: 30}, Reason: "r"}, {Name: "trading", Trunks: []string{"trading"}, Keep: retain.Keep{Days: 60}, Reason: "r"},
		}
		a, b := v.call("carrier"), v.call("trading")
		days, err := v.node.names.SaltDays()
		if err != nil || len(days) != 1 {
			t.Fatal(days, err)
		}
		file := filepath.Join(v.dir, "pseudonyms", "salts", days[0]+".salts")
		copied, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		stand := func(when string, want bool) {
			t.Helper()
			if _, err := v.Holds(t.Context()); err != nil || v.known(a) || v.known(b) != want {
				t.Fatalf("%s: %v, known %v %v", when, err, v.known(a), v.known(b))
			}
		}
		back := func() { // the disk of that day, and nothing of what was read since
			if err := errors.Join(os.WriteFile(file, copied, 0o600), os.RemoveAll(v.path())); err != nil {
				t.Fatal(err)
			}
			v.archive = &archive{node: v.node}
		}
		time.Sleep(40 * oneDay)
		if p, err := v.Retention(t.Context(), true, "dora"); err != nil || p.Shredded != 1 {
			t.Fatalf("%+v %v", p, err)
		}
		time.Sleep(40 * oneDay)
		stand("its class is over, and nobody ran it", true)
		back()
		stand("after a copy was put back", true)
		h, err := v.Place(t.Context(), retain.Hold{Ref: b, Reason: "proceedings"}, "alice")
		if err != nil {
			t.Fatal(err)
		}
		if p, err := v.Retention(t.Context(), true, "dora"); err != nil || p.Shredded != 0 {
			t.Fatalf("%+v %v", p, err)
		}
		back()
		stand("under a hold", true)
		if err := v.Lift(t.Context(), h.ID, "over", "dora"); err != nil {
			t.Fatal(err)
		}
		if p, err := v.Retention(t.Context(), true, "dora"); err != nil || p.Shredded != 1 {
			t.Fatalf("%+v %v", p, err)
		}
		stand("in the end", false)
	})
}

// TestRetentionByTrunk: calls of one day are kept for as long as their trunks say.
func TestRetentionByTrunk(t *testing.T) {
	v := newVault(t)
	a, b := v.call("carrier"), v.call("trading")
	v.mu.Lock()
	defer v.mu.Unlock()
	d, err := v.age(t.Context(), a[:8], time.Now().AddDate(6, 0, 0))
	if err != nil || len(d.refs) != 1 || d.refs[0] != a || d.view.Calls != 2 || d.classes[0] != "all 5y: GDPR Art. 5(1)(e)" {
		t.Errorf("%+v %v", d, err)
	}
	if d, err = v.age(t.Context(), b[:8], time.Now().AddDate(8, 0, 0)); err != nil || len(d.refs) != 2 {
		t.Errorf("%+v %v", d, err)
	}
}

// TestACrashBetweenTheEntryAndTheDestruction: what the log says is forgotten is forgotten at the next start.
func TestACrashBetweenTheEntryAndTheDestruction(t *testing.T) {
	v := newVault(t)
	ref := v.call("carrier")
	if _, err := v.node.log.Append(t.Context(), audit.Forgotten{What: "call", Ref: ref, By: "p-a", Why: "request"}); err != nil {
		t.Fatal(err)
	}
	if list, err := v.Holds(t.Context()); err != nil || len(list) != 0 || v.known(ref) {
		t.Errorf("%v, known %v", err, v.known(ref))
	}
}

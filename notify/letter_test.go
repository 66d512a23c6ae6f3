package notify

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

// kinds of the log, with what is about notices in words.
func (w *world) notices() (out []string) {
	w.t.Helper()
	list, err := w.log.Entries(w.t.Context(), 0, 10000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list {
		ev, err := audit.Decode(e)
		if err != nil {
			w.t.Fatal(err)
		}
		switch ev := ev.(type) {
		case audit.NoticeUndelivered:
			out = append(out, fmt.Sprintf("%s did not take %s %d x%d fenced=%v", ev.Channel, ev.About, ev.Entry, ev.Count, ev.Fenced))
		case audit.NoticeResent:
			out = append(out, fmt.Sprintf("%s had %d again by %s: %s", ev.Channel, ev.Entry, ev.By, ev.Failure))
		}
	}
	return out
}

func down(target string) audit.HealthChanged {
	return audit.HealthChanged{Target: target, Party: "fra", From: "up", To: "down", Why: "3 probes silent"}
}

func TestADeadLetterIsOnRecordOutlivesARestartAndIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		fenced := fmt.Errorf("dial: %w", sovereign.ErrFenced)
		c := &fake{name: "siem", hard: true, plan: []error{fenced, errors.New("400")}}
		f := w.follower(Routed{Channel: c})
		w.add(audit.Failover{What: audit.KindFailoverApplied, Route: "in"}) // entries 0 and 1: whoever follows writes others behind what it fails to deliver
		w.add(audit.Failover{What: audit.KindFailback, Route: "in"})
		stop := w.run(f)
		synctest.Wait()
		if got := strings.Join(w.notices(), "|"); got != "siem did not take failover.applied 0 x1 fenced=true|siem did not take failover.failback 1 x1 fenced=false" {
			t.Errorf("on record: %s", got)
		}
		if len(c.ids()) != 0 {
			t.Errorf("delivered: %q; an outlet must not hear of its own failures", c.ids())
		}
		stop()
		f = w.follower(Routed{Channel: c})
		defer w.run(f)()
		synctest.Wait()
		s := f.Standings()
		if len(s) != 1 || len(s[0].Dead) != 2 || !s[0].Dead[0].Fenced || s[0].Dead[1].Failure != "attempt 1: 400" || s[0].Behind != 0 {
			t.Fatalf("after a restart: %+v", s)
		}
		if n := testutil.ToFloat64(f.dead.WithLabelValues("siem")); n != 2 {
			t.Errorf("the gauge says %v", n)
		}
		c.plan = []error{nil, errors.New("503")}
		done, err := f.Resend(t.Context(), "siem", nil, "p-a")
		if err != nil || len(done) != 2 || done[0].Failure != "" || done[1].Failure != "503" {
			t.Fatalf("%+v, %v", done, err)
		}
		synctest.Wait()
		if s := f.Standings(); len(s[0].Dead) != 1 || s[0].Dead[0].Entry != 1 || testutil.ToFloat64(f.dead.WithLabelValues("siem")) != 1 {
			t.Errorf("after another attempt: %+v", s)
		}
		if got := w.notices()[2:]; strings.Join(got, "|") != "siem had 0 again by p-a: |siem had 1 again by p-a: 503" {
			t.Errorf("on record: %q", got)
		}
		if _, err := f.Resend(t.Context(), "nobody", nil, "p-a"); !errors.Is(err, ErrNoOutlet) {
			t.Errorf("an unknown outlet: %v", err)
		}
		receipt := uint64(99)
		if _, err := f.Resend(t.Context(), "siem", &receipt, "p-a"); !errors.Is(err, ErrNotTold) {
			t.Errorf("an entry that is not there: %v", err)
		}
	})
}

func TestTwoThatFailDoNotTellOfEachOtherWithoutEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ill := make([]error, 100)
		for i := range ill {
			ill[i] = errors.New("400")
		}
		a, b := &fake{name: "a", hard: true, plan: ill}, &fake{name: "b", hard: true, plan: ill}
		defer w.run(w.follower(Routed{Channel: a}, Routed{Channel: b}))()
		w.add(audit.Failover{What: audit.KindFailback, Route: "in"})
		time.Sleep(time.Hour)
		if got := w.notices(); len(got) != 2 || a.attempts() != 2 || b.attempts() != 2 {
			t.Errorf("%q after %d and %d attempts", got, a.attempts(), b.attempts())
		}
	})
}

func TestAStormBecomesFewMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := &fake{name: "ops"}
		f := w.follower(Routed{Channel: c, Kinds: []string{"health.changed", "gate.changed"}, Rate: Rate{Burst: 3, Every: 30 * time.Second}})
		defer w.run(f)()
		for i := range 500 {
			if i == 400 {
				w.add(raw{"T1", "proposed"})
			}
			w.add(down(fmt.Sprint("t", i)))
			w.add(audit.CallEnded{CallRef: "x"})
			synctest.Wait()
		}
		time.Sleep(31 * time.Second)
		synctest.Wait()
		var sum int
		asked := -1
		for i, n := range c.got {
			sum += max(n.Count, 1)
			if n.asks() {
				asked = i
			}
		}
		if len(c.got) != 5 || sum != 501 || asked != 3 {
			t.Fatalf("%d messages about %d entries, the ticket is number %d: %+v", len(c.got), sum, asked, c.got)
		}
		last := c.got[4]
		if last.Count != 497 || last.Data["party"] != "fra" || last.Data["target"] != nil || len(last.Subjects) != maxSubjects || last.Subject != "t3" ||
			!strings.HasPrefix(last.Summary, `497 x health.changed from="up" party="fra" to="down" why="3 probes silent" first=["t3",`) {
			t.Errorf("%+v", last)
		}
		if n := testutil.ToFloat64(f.together.WithLabelValues("ops")); n != 497 {
			t.Errorf("%v entries were told of together", n)
		}
		if got := w.told.all(); len(got) != 1 {
			t.Errorf("told %q", got)
		}
	})
}

// A power cut between two messages of a window: those that were written down as sent are not sent again, and the others are the same ones.
func TestACrashWithinAWindowRepeatsOneMessageAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		kv := &lossy{KV: w.kv}
		c := &fake{name: "ops", plan: []error{nil, nil, nil, errors.New("cut"), errors.New("cut")}}
		follower := func() *Follower {
			f, err := New(Config{Log: w.log, KV: kv, Channels: []Routed{{Channel: c, Kinds: []string{"health.*", "node.*"}, Rate: Rate{Burst: 1, Every: time.Minute}}}})
			if err != nil {
				t.Fatal(err)
			}
			return f
		}
		w.add(audit.NodeStarted{})
		w.add(down("a"))
		w.add(down("b"))
		w.add(audit.NodeStarted{})
		stop := w.run(follower())
		synctest.Wait() // node.started x2 and health.changed x2 are out, and all is written down
		w.add(down("c"))
		w.add(down("d"))
		w.add(audit.NodeStopped{})
		time.Sleep(time.Minute + 100*time.Millisecond) // the next window begins, and its second message fails
		synctest.Wait()
		kv.lose = true
		stop()
		kv.lose = false
		w.add(down("e")) // must not join what was begun
		defer w.run(follower())()
		time.Sleep(3 * time.Minute)
		synctest.Wait()
		var got []string
		for _, n := range c.got {
			got = append(got, fmt.Sprintf("%s:%d", n.Kind, max(n.Count, 1)))
		}
		if text := strings.Join(got, " "); text != "node.started:2 health.changed:2 health.changed:2 node.stopped:1 health.changed:1" {
			t.Errorf("delivered %s", text)
		}
	})
}

func TestAGroupIsSentAgainAsItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		c := &fake{name: "ops", hard: true, plan: []error{errors.New("400")}}
		for i := range 5 {
			w.add(down(fmt.Sprint("t", i)))
			w.add(audit.NodeStarted{})
		}
		f := w.follower(Routed{Channel: c, Kinds: []string{"health.*"}, Rate: Rate{Burst: 1, Every: time.Minute}})
		defer w.run(f)()
		synctest.Wait()
		if s := f.Standings(); len(s[0].Dead) != 1 || s[0].Dead[0].Count != 5 {
			t.Fatalf("%+v", s)
		}
		if done, err := f.Resend(t.Context(), "", nil, "p-a"); err != nil || len(done) != 1 || done[0].Failure != "" {
			t.Fatalf("%+v, %v", done, err)
		}
		if len(c.got) != 1 || c.got[0].Count != 5 || !strings.Contains(c.got[0].ID, "-") {
			t.Errorf("%+v", c.got)
		}
	})
}

func TestTheListOfLettersIsBounded(t *testing.T) {
	b := newBox()
	b.read(json.RawMessage(`nonsense`))
	var data json.RawMessage
	for i := range maxLetters + 44 {
		data, _ = b.edit(func(n *note) { n.add(Letter{Entry: uint64(i)}) })
	}
	if l := b.letters(); len(l) != maxLetters || l[0].Entry != 44 || b.count() != maxLetters+44 {
		t.Errorf("%d letters from %d on, %d counted", len(l), l[0].Entry, b.count())
	}
	other := newBox()
	other.read(data)
	other.read(nil)
	if other.count() != b.count() {
		t.Errorf("read back: %d", other.count())
	}
}

func TestATestIsMarkedAndGoesToEachOutlet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		good, bad, hung := &fake{name: "good"}, &fake{name: "bad", plan: []error{errors.New("503")}}, &fake{name: "hung", hang: true}
		f, err := New(Config{Log: w.log, KV: w.kv, Tenant: "bank", Node: "n1", Channels: []Routed{{Channel: good}, {Channel: bad}, {Channel: hung}}})
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Test(t.Context(), "")
		if err != nil || len(got) != 3 || got[0].Failure != "" || got[1].Failure != "503" || got[2].Failure != "context deadline exceeded" || got[2].Took != 10*time.Second {
			t.Errorf("%+v, %v", got, err)
		}
		if n := good.got[0]; n.Kind != KindTest || !strings.Contains(n.Summary, "TEST") || n.Tenant != "bank" || n.Data["test"] != true {
			t.Errorf("%+v", n)
		}
		if _, err := f.Test(t.Context(), "typo"); !errors.Is(err, ErrNoOutlet) {
			t.Errorf("an unknown outlet: %v", err)
		}
	})
}

func TestAQuestionStandsAloneAndFirst(t *testing.T) {
	of := func(what string) Notice {
		return Notice{ID: what, Kind: audit.KindGateChanged, Ticket: "T1", Data: map[string]any{"what": what, "state": "PENDING"}}
	}
	got := grouped([]Notice{of("decided"), of("opined"), of("proposed")})
	if len(got) != 2 || got[0].ID != "proposed" || !got[0].asks() || got[1].Count != 2 || got[1].ID != "decided-opined" {
		t.Errorf("%+v", got)
	}
}

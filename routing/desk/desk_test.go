package desk

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
)

type memory struct {
	data []byte
	fail error
}

func (m *memory) Load(context.Context) ([]byte, error)      { return m.data, m.fail }
func (m *memory) Save(_ context.Context, data []byte) error { m.data = data; return m.fail }

func newLog(t *testing.T) audit.Log {
	t.Helper()
	l, err := audit.Memory(audit.Config{Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "test/desk", Tenant: "bank", Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

func open(t *testing.T, l audit.Log, s Store) *Desk {
	t.Helper()
	d, err := New(Config{Log: l, Store: s})
	if err == nil {
		err = d.Restore(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func decide(t *testing.T, d *Desk, list ...audit.Event) {
	t.Helper()
	for _, ev := range list {
		if _, err := d.Decide(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
}

// some decisions, of which fra's and the second migration stay.
func some() []audit.Event {
	return []audit.Event{
		audit.ServiceChanged{What: Group, Name: "fra", To: string(Out), Reason: "change 1", By: "p-1"},
		audit.ServiceChanged{What: Group, Name: "zrh", To: string(Draining), Reason: "change 2", By: "p-1"},
		audit.RouteSwitched{Route: "in", To: "zrh", Reason: "change 3", By: "p-2"},
		audit.RouteMigrated{Route: "in", To: "sto", Share: 0.1, Reason: "wave 1", By: "p-2"},
		audit.ServiceChanged{What: Group, Name: "zrh", To: string(InService), Reason: "done", By: "p-1"},
		audit.RouteMigrated{Route: "in", To: "sto", Share: 0.2, Ranges: []string{"+4969*"}, Reason: "wave 2", By: "p-2"},
		audit.RouteSwitched{Route: "in", To: "fra", Back: true, Reason: "done", By: "p-2"},
	}
}

func check(t *testing.T, b *Book) {
	t.Helper()
	now := time.Now()
	if s := b.Party(now, "fra", "aws:eu-central-1"); s.State != Out || s.Reason != "change 1" || s.By != "p-1" || !strings.Contains(s.Words(), "group fra is out by hand since ") {
		t.Errorf("fra: %+v", s)
	}
	if s := b.Party(now, "zrh", "aws:eu-central-2"); s.State != "" || !s.In(false) {
		t.Errorf("zrh: %+v", s)
	}
	if _, ok := b.Pin("in"); ok {
		t.Error("the switch is still in force")
	}
	if m, ok := b.Migration("in"); !ok || m.Share != 0.2 || m.Party != "sto" || !m.Takes("+4969123") {
		t.Errorf("%+v", m)
	}
	if l := b.List(now); len(l) != 1 {
		t.Errorf("%+v", l)
	}
}

func TestDecisionsSurviveARestart(t *testing.T) {
	for name, spoil := range map[string]func(*memory){
		"from the store":                 func(*memory) {},
		"from the log":                   func(m *memory) { m.data = nil },
		"the store cannot be read":       func(m *memory) { m.fail = errors.New("no disk") },
		"the store is of another log":    func(m *memory) { m.data = []byte(`{"next":4711}`) },
		"the store is no JSON":           func(m *memory) { m.data = []byte(`{`) },
		"the store says more than asked": func(m *memory) { m.data = []byte(strings.Replace(string(m.data), `"out"`, `"in_service"`, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			l, m := newLog(t), &memory{}
			d := open(t, l, m)
			if _, err := l.Append(t.Context(), audit.CallEnded{CallRef: "c"}); err != nil {
				t.Fatal(err)
			}
			decide(t, d, some()...)
			check(t, d.Book())
			spoil(m)
			check(t, open(t, l, m).Book())
		})
	}
}

func TestAStoreThatEndsEarlyIsReadOnFromTheLog(t *testing.T) {
	l, m := newLog(t), &memory{}
	d := open(t, l, m)
	list := some()
	decide(t, d, list[:3]...)
	early := m.data
	decide(t, d, list[3:]...)
	check(t, open(t, l, &memory{data: early}).Book())
}

// sick is a log that cannot be written.
type sick struct{ audit.Log }

func (sick) Commit(context.Context, audit.Event) (uint64, error) { return 0, audit.ErrLogDown }

func TestWhatIsNotInTheLogIsNotInForce(t *testing.T) {
	d := open(t, sick{newLog(t)}, &memory{})
	if _, err := d.Decide(t.Context(), some()[0]); !errors.Is(err, audit.ErrLogDown) {
		t.Fatal(err)
	}
	if l := d.Book().List(time.Now()); len(l) != 0 {
		t.Errorf("%+v", l)
	}
}

func TestAStateEndsByItsClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLog(t)
		d := open(t, l, nil)
		decide(t, d, audit.ServiceChanged{What: Region, Name: "aws:eu-central-1", To: string(TestOnly), Reason: "drill", Until: time.Now().Add(time.Hour)})
		at := func(after time.Duration) Service {
			return d.Book().Party(time.Now().Add(after), "fra", "aws:eu-central-1")
		}
		if s := at(59 * time.Minute); s.State != TestOnly || s.In(false) || !s.In(true) || !strings.Contains(s.Words(), " until ") {
			t.Errorf("%+v", s)
		}
		if s := at(time.Hour); s.State != "" { // at once, before anybody wrote it down
			t.Errorf("%+v", s)
		}
		if err := d.Expire(t.Context(), time.Now().Add(59*time.Minute)); err != nil || len(d.Book().Services) != 1 {
			t.Errorf("%v, %+v", err, d.Book())
		}
		if err := d.Expire(t.Context(), time.Now().Add(time.Hour)); err != nil || len(d.Book().Services) != 0 {
			t.Errorf("%v, %+v", err, d.Book())
		}
		list, _ := l.Entries(t.Context(), 0, 10)
		var last audit.ServiceChanged
		if len(list) != 2 || json.Unmarshal(list[1].Body, &last) != nil || last.By != "clock" || last.From != "test_only" || last.To != "in_service" {
			t.Errorf("%+v", list)
		}
	})
}

func TestTheStrictestStateBinds(t *testing.T) {
	d := open(t, newLog(t), nil)
	decide(
		t, d,
		audit.ServiceChanged{What: Region, Name: "aws:eu-central-1", To: string(TestOnly)},
		audit.ServiceChanged{What: Group, Name: "fra", To: string(Draining)},
		audit.ServiceChanged{What: Target, Name: "fra/m1", To: string(Out)},
		audit.ServiceChanged{What: Target, Name: "fra/m2/udp/192.0.2.1:5060", To: string(Out)},
	)
	now, b := time.Now(), d.Book()
	for _, c := range []struct {
		got  Service
		want State
	}{
		{b.Party(now, "fra", "aws:eu-central-1"), Draining},
		{b.Party(now, "ber", "aws:eu-central-1"), TestOnly},
		{b.Party(now, "zrh", "aws:eu-central-2"), ""},
		{b.Target(now, "fra/m1/udp/192.0.2.9:5060", "fra", "m1", ""), Out},
		{b.Target(now, "fra/m2/udp/192.0.2.1:5060", "fra", "m2", ""), Out},
		{b.Target(now, "fra/m2/udp/192.0.2.2:5060", "fra", "m2", ""), ""},
		{b.Target(now, "x/m/udp/192.0.2.2:5060", "x", "m", "aws:eu-central-1"), TestOnly},
		{(*Book)(nil).Party(now, "fra", ""), ""},
		{(*Book)(nil).Target(now, "", "", "", ""), ""},
	} {
		if c.got.State != c.want {
			t.Errorf("%+v, want %q", c.got, c.want)
		}
	}
}

func TestANumberStaysOnItsSide(t *testing.T) {
	small, large := Migration{Route: "in", Share: 0.1}, Migration{Route: "in", Share: 0.5}
	taken := map[float64]int{}
	for i := range 20000 {
		n := fmt.Sprintf("+4969%07d", i)
		if small.Takes(n) {
			taken[0.1]++
			if !large.Takes(n) {
				t.Fatalf("%s left with the larger share", n)
			}
		}
		if large.Takes(n) {
			taken[0.5]++
		}
	}
	for share, n := range taken {
		if got := float64(n) / 20000; got < share-0.01 || got > share+0.01 {
			t.Errorf("a share of %v takes %v", share, got)
		}
	}
	ranges := Migration{Route: "in", Ranges: []string{"+4969*", "+431*"}}
	for n, want := range map[string]bool{"+496912": true, "+4312": true, "+4930": false, "": false, "+496": false} {
		if ranges.Takes(n) != want {
			t.Errorf("%s: %v", n, !want)
		}
	}
	if all := (Migration{Route: "in", Share: 1}); !all.Takes("x") || all.Takes("") {
		t.Error("a share of 1 takes every number, and no call without one")
	}
}

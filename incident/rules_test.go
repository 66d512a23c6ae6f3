package incident

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/state"
)

func receipt(ref, purpose, overall string) audit.Event {
	now := time.Now()
	return audit.Receipt{CallRef: ref, Purpose: purpose, Overall: overall, TInvite: now.Add(-time.Minute), TEnd: now}
}

// drilled is the same in the view of a canary drill.
func drilled(ev audit.Event) audit.Event {
	switch e := ev.(type) {
	case audit.HealthChanged:
		e.Drill = "d1"
		return e
	case audit.Receipt:
		e.Drill = "d1"
		return e
	}
	return ev
}

func calls(n int) (refs []string) {
	for i := range n {
		refs = append(refs, fmt.Sprintf("c%d", i))
	}
	return refs
}

// Each rule is a row: what happens, and which entries come of it, at once and after two minutes.
func TestRules(t *testing.T) {
	for name, c := range map[string]struct {
		live   []string
		events []audit.Event
		want   []string
	}{
		"a region is down to a canary drill": {nil, []audit.Event{drilled(down("fra/a", "fra")), drilled(down("fra/b", "fra"))}, nil},
		"a region is back to a canary drill": {nil, []audit.Event{down("fra/a", "fra"), down("fra/b", "fra"), drilled(up("fra/a", "fra"))}, []string{"opened region aws:eu-central-1"}},
		"on three of a canary drill that ended for it": {calls(2), []audit.Event{
			dead("d0"), dead("d1"), dead("d2"), drilled(receipt("d0", "production", "compliant")), drilled(receipt("d1", "production", "compliant")), drilled(receipt("d2", "production", "compliant")),
		}, nil},
		"a caller in a canary drill left the places": {nil, []audit.Event{drilled(receipt("1", "production", "violation"))}, []string{"opened residency"}},
		"a region is down":                           {nil, []audit.Event{down("fra/a", "fra"), down("fra/b", "fra")}, []string{"opened region aws:eu-central-1"}},
		"one target of it is":                        {nil, []audit.Event{down("fra/a", "fra"), up("fra/b", "fra")}, nil},
		"one target of it, and one unheard":          {nil, []audit.Event{down("fra/a", "fra")}, nil},
		"it is back at once":                         {nil, []audit.Event{down("fra/a", "fra"), down("fra/b", "fra"), up("fra/a", "fra")}, nil},
		"a node was restarted":                       {nil, []audit.Event{down("fra/a", "fra"), down("fra/b", "fra"), audit.NodeStarted{}}, nil},
		"a trunk is lost":                            {nil, []audit.Event{down("carrier/a", "carrier"), down("carrier/b", "carrier")}, []string{"opened trunk carrier"}},
		"half a trunk is":                            {nil, []audit.Event{down("carrier/a", "carrier"), up("carrier/b", "carrier")}, nil},
		"media is dead on three of ten":              {calls(10), []audit.Event{dead("c0"), dead("c1"), dead("c2")}, []string{"opened media", "updated recovered"}},
		"on two of ten, which is the share":          {calls(10), []audit.Event{dead("c0"), dead("c1")}, nil},
		"on four of four, which is few":              {calls(4), []audit.Event{dead("c0"), dead("c1"), dead("c2"), dead("c3")}, nil},
		"on three that live again": {calls(10), []audit.Event{
			dead("c0"), dead("c1"), dead("c2"), audit.MediaSilent{CallRef: "c0", State: "alive"}, audit.MediaSilent{CallRef: "c1", State: "alive"},
		}, nil},
		"on three that ended for it": {calls(2), []audit.Event{
			dead("d0"), dead("d1"), dead("d2"), receipt("d0", "production", "compliant"), receipt("d1", "production", "compliant"), receipt("d2", "production", "compliant"),
		}, []string{"opened media", "updated recovered"}},
		"on three drills that ended for it": {calls(2), []audit.Event{
			dead("d0"), dead("d1"), dead("d2"), receipt("d0", "drill", "compliant"), receipt("d1", "synthetic_probe", "compliant"), receipt("d2", "drill", "compliant"),
		}, nil},
		"on test calls, which are not among the live ones": {calls(10), []audit.Event{dead("t0"), dead("t1"), dead("t2"), dead("t3")}, nil},
		"the log has a gap":        {nil, []audit.Event{audit.Gap{From: time.Now(), To: time.Now(), Cause: "crash", Lost: 3}}, []string{"opened log"}},
		"a gap of a restart":       {nil, []audit.Event{audit.Gap{From: time.Now(), To: time.Now(), Cause: "restart", Lost: 3}}, nil},
		"a call left the places":   {nil, []audit.Event{receipt("1", "production", "violation")}, []string{"opened residency"}},
		"a call for help did":      {nil, []audit.Event{receipt("1", "emergency_call", "violation")}, []string{"opened residency"}},
		"a drill did":              {nil, []audit.Event{receipt("1", "drill", "violation")}, nil},
		"a test call did":          {nil, []audit.Event{receipt("1", "synthetic_probe", "violation")}, nil},
		"a call did not":           {nil, []audit.Event{receipt("1", "production", "compliant")}, nil},
		"five did":                 {nil, []audit.Event{receipt("1", "production", "violation"), receipt("2", "production", "violation"), receipt("3", "production", "violation"), receipt("4", "production", "violation"), receipt("5", "production", "violation")}, []string{"opened residency"}},
		"a review is late":         {nil, []audit.Event{ticket("t1", "BREAK_GLASS_ACTIVE"), ticket("t1", "REVIEW_DUE"), ticket("t1", "ESCALATED")}, []string{"opened ticket t1"}},
		"a review is in time":      {nil, []audit.Event{ticket("t1", "BREAK_GLASS_ACTIVE"), ticket("t1", "REVIEW_DUE"), ticket("t1", "REVIEWED")}, nil},
		"a ticket is but notified": {nil, []audit.Event{ticket("t1", "ESCALATED"), ticket("t1", "")}, []string{"opened ticket t1"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Rulebook{})
				defer s.stop()
				s.world.live = c.live
				pass(time.Second)
				// All moments of the table are those of its making; in virtual time they are now.
				for _, ev := range c.events {
					if g, ok := ev.(audit.Gap); ok {
						g.From, g.To = time.Now().Add(-time.Minute), time.Now()
						ev = g
					}
					if r, ok := ev.(audit.Receipt); ok {
						r.TInvite, r.TEnd = time.Now().Add(-time.Minute), time.Now()
						ev = r
					}
					s.append(ev)
				}
				pass(40 * time.Second)
				s.world.mu.Lock()
				s.world.live = nil
				s.world.mu.Unlock()
				pass(80 * time.Second)
				s.wants(c.want...)
			})
		})
	}
}

// deadOf is the death of a call's leg that a drill explains.
func deadOf(ref, leg, party string) audit.Event {
	return audit.MediaSilent{CallRef: ref, State: "dead", Was: "silent", Leg: leg, Party: party, Member: "a", Drill: "blackhole"}
}

// deaths are those of some calls.
func deaths(n int, of func(ref string) audit.Event) (out []audit.Event) {
	for _, ref := range calls(n) {
		out = append(out, of(ref))
	}
	return out
}

// What a drill silences it leaves to the drill, for as long as the drill silences it, and nothing else.
func TestMediaThatADrillTookIsNoIncident(t *testing.T) {
	fra := func(ref string) audit.Event { return deadOf(ref, "b", "fra") }
	alive := func(leg string) func(ref string) audit.Event {
		return func(ref string) audit.Event {
			return audit.MediaSilent{CallRef: ref, Leg: leg, State: "alive", Was: "dead"}
		}
	}
	real := func(ref string) audit.Event {
		return audit.MediaSilent{CallRef: ref, Leg: "a", Party: "carrier", State: "dead", Was: "silent"}
	}
	for name, c := range map[string]struct {
		first []audit.Event
		gone  time.Duration // how long the drill silences fra
		then  []audit.Event // when it gave it back
		opens time.Duration // the earliest moment of it; 0: nothing is opened
	}{
		"while it takes fra away":             {deaths(3, fra), time.Hour, nil, 0},
		"and they live again":                 {deaths(3, fra), time.Minute, deaths(3, alive("b")), 0},
		"and stay dead when it is back":       {deaths(3, fra), time.Minute, nil, 70 * time.Second},
		"and nobody takes fra away":           {deaths(3, fra), 0, nil, 10 * time.Second},
		"beside what no drill explains":       {slices.Concat(deaths(2, fra), deaths(5, real)[2:]), time.Hour, nil, 10 * time.Second},
		"the other leg of each is dead, too":  {slices.Concat(deaths(3, fra), deaths(3, real)), time.Hour, nil, 10 * time.Second},
		"the other leg was dead before":       {slices.Concat(deaths(3, real), deaths(3, fra)), time.Hour, nil, 10 * time.Second},
		"and the other leg is dead for good":  {slices.Concat(deaths(3, fra), deaths(3, real), deaths(3, alive("b"))), time.Hour, nil, 10 * time.Second},
		"one of ten is real, below the share": {slices.Concat(deaths(3, fra), deaths(4, real)[3:]), time.Hour, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Rulebook{})
				defer s.stop()
				s.world.live = calls(10)
				pass(time.Second)
				taken := func(is bool) {
					s.world.mu.Lock()
					defer s.world.mu.Unlock()
					s.world.gone = map[string]bool{"fra/a": is}
				}
				taken(c.gone > 0)
				s.append(c.first...)
				begin := time.Now()
				time.AfterFunc(c.gone, func() {
					taken(false)
					s.append(c.then...)
				})
				opened := time.Duration(0)
				for time.Since(begin) < 3*time.Minute && opened == 0 {
					pass(time.Second)
					if len(s.written()) > 0 {
						opened = time.Since(begin)
					}
				}
				if opened < c.opens || opened > c.opens+20*time.Second || (opened == 0) != (c.opens == 0) {
					t.Errorf("opened after %s, want %s", opened, c.opens)
				}
			})
		})
	}
}

func TestARuleThatIsOffOpensNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		off := Settings{}
		for _, r := range Rules() {
			off[r] = Setting{Off: true}
		}
		s := newStage(t, Rulebook{Settings: off})
		defer s.stop()
		s.append(down("fra/a", "fra"), down("fra/b", "fra"), receipt("1", "production", "violation"), ticket("t1", "ESCALATED"))
		pass(5 * time.Minute)
		s.wants()
		s.f.Reload(Rulebook{Settings: Settings{Violation: {Off: true}, RegionDown: {After: time.Second}}})
		pass(time.Minute)
		s.wants("opened region aws:eu-central-1", "opened ticket t1")
	})
}

// A threshold counts from when the last target went down.
func TestARegionMustBeDownForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{Settings: Settings{RegionDown: {After: 30 * time.Second}}})
		defer s.stop()
		s.append(down("fra/a", "fra"))
		pass(time.Hour)
		s.append(down("fra/b", "fra"))
		began := time.Now()
		pass(29 * time.Second)
		s.wants()
		pass(time.Second)
		s.wants("opened region aws:eu-central-1")
		i := s.f.List()[0]
		if !i.Since.Equal(began) || !i.Aware.Equal(began.Add(30*time.Second)) || i.Count != 2 || len(i.Entries) != 3 || i.Country != "DE" {
			t.Errorf("%+v", i)
		}
	})
}

// What people took out of service is not missing: it is no target that calls may go to.
func TestWhatIsOutOfServiceIsNotDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{})
		defer s.stop()
		s.world.targets = []Target{{"zrh/a", "zrh"}}
		s.append(down("fra/a", "fra"), down("fra/b", "fra"))
		pass(time.Hour)
		s.wants()
	})
}

func TestTheSameCauseIsTheSameIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{Reporting: Reporting{Warn: []time.Duration{}}})
		defer s.stop()
		fail := func() { s.append(down("fra/a", "fra"), down("fra/b", "fra")) }
		mend := func() { s.append(up("fra/a", "fra")) }
		start := time.Now()
		fail()
		pass(5 * time.Minute)
		mend()
		pass(10 * time.Minute)
		fail()
		pass(5 * time.Minute)
		mend()
		pass(30 * time.Second) // not long enough to be sure
		fail()
		pass(2 * time.Minute)
		mend()
		pass(2 * time.Hour)
		first := []string{"opened region aws:eu-central-1", "updated recovered", "updated recurred", "updated recovered"}
		s.wants(first...)
		fail()
		pass(5 * time.Minute) // more than an hour later: another incident
		s.wants(append(first, "opened region aws:eu-central-1")...)
		list := s.f.List()
		at := func(d time.Duration) time.Time { return start.Add(d) }
		want := []Window{{at(0), at(5 * time.Minute)}, {at(15 * time.Minute), at(22*time.Minute + 30*time.Second)}}
		if len(list) != 2 || fmt.Sprint(list[1].Windows) != fmt.Sprint(want) || list[1].Lasts() || !list[0].Lasts() {
			t.Errorf("%+v", list)
		}
		if list[0].ID == list[1].ID {
			t.Errorf("two incidents are named %s", list[0].ID)
		}
	})
}

// Ten thousand violations are one incident, and a word of it a minute.
func TestAFloodIsOneIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{})
		defer s.stop()
		for range 100 {
			for range 10 {
				s.append(receipt("1", "production", "violation"))
			}
			pass(3 * time.Second)
		}
		pass(2 * time.Minute)
		got := s.written()
		if len(got) < 5 || len(got) > 8 || got[0] != "opened residency" {
			t.Errorf("%q", got)
		}
		if i := s.f.List(); len(i) != 1 || i[0].Count != 1000 {
			t.Errorf("%+v", i)
		}
	})
}

// The state is a shortcut: with it and without it a second run has the same book, and writes nothing twice.
func TestTheBookIsRebuiltFromTheLog(t *testing.T) {
	for _, kept := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			s := newStage(t, Rulebook{})
			defer func() { s.stop() }()
			s.append(down("fra/a", "fra"), down("fra/b", "fra"), receipt("1", "production", "violation"), audit.Gap{Cause: "crash", From: time.Now(), To: time.Now(), Lost: 1})
			pass(2 * time.Minute)
			if _, err := s.f.Classify(t.Context(), s.f.List()[0].ID, Classification{Major: true, Reason: "two of them"}, "p-a"); err != nil {
				t.Fatal(err)
			}
			before, lines := words(t, s.f.List()), len(s.written())
			s.end()
			if !kept {
				s.kv = state.Memory()
			}
			s.start(Rulebook{})
			pass(time.Minute)
			if after := words(t, s.f.List()); len(s.f.List()) != 3 || after != before {
				t.Errorf("kept %v:\n%s\n%s", kept, before, after)
			}
			if now := len(s.written()); now != lines {
				t.Errorf("kept %v: %d entries, then %d", kept, lines, now)
			}
		})
	}
}

func words(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A log that is read for the first time opens nothing for what is long over.
func TestOldStoriesOpenNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{})
		s.end()
		s.append(receipt("1", "production", "violation"))
		time.Sleep(25 * time.Hour)
		s.append(receipt("2", "production", "violation"))
		s.start(Rulebook{})
		defer s.stop()
		pass(time.Minute)
		if i := s.f.List(); len(i) != 1 || i[0].Count != 1 {
			t.Errorf("%+v", i)
		}
	})
}

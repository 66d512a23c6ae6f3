package incident

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit/report"
)

// friday waits until Friday, 7 January 2000, 08:00 UTC: virtual time begins with the Saturday before.
func friday() time.Time {
	time.Sleep(time.Until(time.Date(2000, 1, 7, 8, 0, 0, 0, time.UTC)))
	synctest.Wait()
	return time.Now()
}

func clockOf(t *testing.T, s *stage, id, name string) Clock {
	t.Helper()
	i, ok := s.f.Incident(id)
	if !ok {
		t.Fatalf("no incident %s", id)
	}
	for _, c := range s.f.Clocks(&i, time.Now()) {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no clock %s", name)
	return Clock{}
}

// is checks state and limit of a clock.
func is(t *testing.T, s *stage, id, name, state string, due time.Time) {
	t.Helper()
	if c := clockOf(t, s, id, name); c.State != state || !c.Due.Equal(due) {
		t.Errorf("%s is %s, due %s; want %s, %s", name, c.State, c.Due, state, due)
	}
}

func open(t *testing.T, s *stage) string {
	t.Helper()
	i, err := s.f.Open(t.Context(), Opening{Title: "Calls from Frankfurt fail", Since: time.Now().Add(-time.Hour)}, "p-a")
	if err != nil {
		t.Fatal(err)
	}
	return i.ID
}

func classify(t *testing.T, s *stage, id string, major bool) {
	t.Helper()
	if _, err := s.f.Classify(t.Context(), id, Classification{Major: major, Reason: "the duty officer says so"}, "p-a"); err != nil {
		t.Fatal(err)
	}
}

func submit(t *testing.T, s *stage, id, clock string) {
	t.Helper()
	if _, err := s.f.Submitted(t.Context(), id, Submission{Clock: clock, Reference: "BaFin 4711"}, "p-a"); err != nil {
		t.Fatal(err)
	}
}

// The whole way of a major incident, in time: 4 hours, 72 hours, a month; each warning once.
func TestClocksOfAMajorIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{Reporting: Reporting{Entity: report.Entity{CreditInstitution: true}}})
		defer s.stop()
		start := friday()
		at := func(d time.Duration) time.Time { return start.Add(d) }
		id := open(t, s)
		if id != "INC-20000107-edge-1" {
			t.Errorf("it is named %s", id)
		}
		is(t, s, id, Initial, notStarted, time.Time{})
		is(t, s, id, Classify, running, at(24*time.Hour))
		pass(time.Hour)
		classify(t, s, id, true)
		is(t, s, id, Initial, running, at(5*time.Hour)) // 4 hours from the classification
		pass(3*time.Hour + 30*time.Minute)
		submit(t, s, id, Initial)
		is(t, s, id, Initial, met, at(5*time.Hour))
		is(t, s, id, Intermediate, running, at(4*time.Hour+30*time.Minute+72*time.Hour)) // from the submission; Monday
		pass(72 * time.Hour)
		submit(t, s, id, Intermediate)
		if c := clockOf(t, s, id, Final); !c.Due.Equal(time.Date(2000, 2, 10, 12, 30, 0, 0, time.UTC)) || c.Moved {
			t.Errorf("final: %+v", c)
		}
		pass(24 * time.Hour)
		submit(t, s, id, Intermediate) // an update: the month begins anew
		if c := clockOf(t, s, id, Final); !c.Due.Equal(time.Date(2000, 2, 11, 12, 30, 0, 0, time.UTC)) {
			t.Errorf("final: %+v", c)
		}
		pass(time.Until(time.Date(2000, 2, 11, 12, 30, 1, 0, time.UTC)))
		is(t, s, id, Final, isLate, time.Date(2000, 2, 11, 12, 30, 0, 0, time.UTC))
		submit(t, s, id, Final)
		is(t, s, id, Final, metLate, time.Date(2000, 2, 11, 12, 30, 0, 0, time.UTC))
		if _, _, ok := s.f.Next(time.Now()); ok {
			t.Error("a clock runs when everything is submitted")
		}
		pass(7 * 24 * time.Hour)
		s.wants("opened by_hand "+id, "incident.classified", "updated clock_warning initial 1h0m0s", "incident.reported",
			"updated clock_warning intermediate 24h0m0s", "updated clock_warning intermediate 4h0m0s", "updated clock_warning intermediate 1h0m0s", "incident.reported", "incident.reported",
			"updated clock_warning final 24h0m0s", "updated clock_warning final 4h0m0s", "updated clock_warning final 1h0m0s", "updated clock_late final", "incident.reported")
	})
}

// Nobody classifies: the 24 hours pass, and a word behind them leaves 4 hours. Art. 5(2).
func TestClassifiedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{Reporting: Reporting{Entity: report.Entity{CreditInstitution: true}}})
		defer s.stop()
		start := friday()
		id := open(t, s)
		pass(26 * time.Hour)
		is(t, s, id, Classify, isLate, start.Add(24*time.Hour))
		classify(t, s, id, true)
		is(t, s, id, Classify, metLate, start.Add(24*time.Hour))
		is(t, s, id, Initial, running, start.Add(30*time.Hour))
		pass(5 * time.Hour)
		is(t, s, id, Initial, isLate, start.Add(30*time.Hour))
		s.wants("opened by_hand "+id, "updated clock_warning classify 4h0m0s", "updated clock_warning classify 1h0m0s", "updated clock_late classify", "incident.classified",
			"updated clock_warning initial 1h0m0s", "updated clock_late initial")
	})
}

// 24 hours after awareness cut the 4 hours; the limit falls on a Saturday and moves for those whom the rule covers.
func TestTheWeekendRule(t *testing.T) {
	for name, c := range map[string]struct {
		entity report.Entity
		due    time.Time
		moved  bool
	}{
		"a bank":               {report.Entity{CreditInstitution: true}, time.Date(2000, 1, 8, 8, 0, 0, 0, time.UTC), false},
		"a NIS2 entity":        {report.Entity{NIS2: true}, time.Date(2000, 1, 8, 8, 0, 0, 0, time.UTC), false},
		"a crowdfunding house": {report.Entity{}, time.Date(2000, 1, 10, 12, 0, 0, 0, time.UTC), true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t, Rulebook{Reporting: Reporting{Entity: c.entity}})
				defer s.stop()
				friday()
				id := open(t, s)
				pass(23 * time.Hour)
				classify(t, s, id, true)
				got := clockOf(t, s, id, Initial)
				if !got.Due.Equal(c.due) || got.Moved != c.moved || strings.Contains(got.Note, "no weekend rule") == c.moved {
					t.Errorf("%+v", got)
				}
			})
		})
	}
}

func TestNotMajorOwesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{Reporting: Reporting{Own: []Deadline{{Name: "finma", From: "awareness", Within: 24 * time.Hour}}}})
		defer s.stop()
		start := friday()
		id := open(t, s)
		is(t, s, id, "finma", running, start.Add(24*time.Hour))
		classify(t, s, id, false)
		is(t, s, id, Initial, waived, time.Time{})
		is(t, s, id, "finma", waived, time.Time{})
		pass(time.Hour)
		classify(t, s, id, true) // people may change their mind: the clock runs from the new word
		is(t, s, id, Initial, running, start.Add(5*time.Hour))
		is(t, s, id, "finma", running, start.Add(24*time.Hour))
		submit(t, s, id, Initial)
		submit(t, s, id, "finma")
		classify(t, s, id, false)
		is(t, s, id, Initial, met, time.Time{})
		is(t, s, id, Intermediate, waived, time.Time{})
		if _, err := s.f.Close(t.Context(), id, "no client was affected", "p-a"); err != nil {
			t.Fatal(err)
		}
		pass(7 * 24 * time.Hour)
		if got := s.written(); len(got) != 7 {
			t.Errorf("%q", got)
		}
	})
}

// GDPR Art. 33 is a clock of its own, which a person starts; it does not care how DORA calls the incident.
func TestTheClockOfABreach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{})
		defer s.stop()
		start := friday()
		id := open(t, s)
		if _, err := s.f.Submitted(t.Context(), id, Submission{Clock: GDPR33}, "p-a"); err == nil || !strings.Contains(err.Error(), "nobody said") {
			t.Errorf("%v", err)
		}
		classify(t, s, id, false)
		if _, err := s.f.Note(t.Context(), id, Update{What: BreachOf, At: start.Add(-time.Hour)}, "p-a"); err != nil {
			t.Fatal(err)
		}
		is(t, s, id, GDPR33, running, start.Add(71*time.Hour))
		pass(72 * time.Hour)
		is(t, s, id, GDPR33, isLate, start.Add(71*time.Hour))
		s.wants("opened by_hand "+id, "incident.classified", "updated breach_known", "updated clock_warning gdpr_33 24h0m0s", "updated clock_warning gdpr_33 4h0m0s", "updated clock_warning gdpr_33 1h0m0s", "updated clock_late gdpr_33")
	})
}

func TestWhatPeopleMayNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{})
		defer s.stop()
		friday()
		s.append(down("fra/a", "fra"), down("fra/b", "fra"))
		pass(2 * time.Minute)
		rule := s.f.List()[0].ID
		hand := open(t, s)
		ctx, soon := t.Context(), time.Now().Add(time.Hour)
		for name, c := range map[string]struct {
			do   func() error
			want string
		}{
			"open without a title": {func() error { _, err := s.f.Open(ctx, Opening{}, "p"); return err }, "a title is missing"},
			"open in the future":   {func() error { _, err := s.f.Open(ctx, Opening{Title: "x", Since: soon}, "p"); return err }, "in the future"},
			"a title that is long": {func() error { _, err := s.f.Open(ctx, Opening{Title: strings.Repeat("x", 2001)}, "p"); return err }, "too long"},
			"a party that is long": {func() error {
				_, err := s.f.Open(ctx, Opening{Title: "x", Parties: []string{strings.Repeat("x", 129)}}, "p")
				return err
			}, "too long"},
			"a party too many": {func() error {
				_, err := s.f.Open(ctx, Opening{Title: "x", Parties: make([]string, 257)}, "p")
				return err
			}, "too many"},
			"an unknown incident":  {func() error { _, err := s.f.Close(ctx, "INC-1", "x", "p"); return err }, `no incident "INC-1"`},
			"close unclassified":   {func() error { _, err := s.f.Close(ctx, hand, "x", "p"); return err }, "not classified"},
			"close without reason": {func() error { _, err := s.f.Close(ctx, hand, "", "p"); return err }, "a reason is missing"},
			"classify before aware": {func() error {
				_, err := s.f.Classify(ctx, hand, Classification{Major: true, Reason: "x", At: time.Now().Add(-time.Minute)}, "p")
				return err
			}, "nobody could classify"},
			"classify by a word": {func() error {
				_, err := s.f.Classify(ctx, hand, Classification{Reason: "x", Criteria: []string{"bad"}}, "p")
				return err
			}, "no criterion"},
			"classify without reason": {func() error { _, err := s.f.Classify(ctx, hand, Classification{Major: true}, "p"); return err }, "a reason is missing"},
			"submit unclassified":     {func() error { _, err := s.f.Submitted(ctx, hand, Submission{Clock: Initial}, "p"); return err }, "not classified"},
			"submit for no clock":     {func() error { _, err := s.f.Submitted(ctx, hand, Submission{Clock: "finma"}, "p"); return err }, "no clock"},
			"say that it is over":     {func() error { _, err := s.f.Note(ctx, rule, Update{What: Recovered}, "p"); return err }, "still so"},
			"say something else":      {func() error { _, err := s.f.Note(ctx, hand, Update{What: "clock_late"}, "p"); return err }, "nothing that a person can say"},
			"say nothing":             {func() error { _, err := s.f.Note(ctx, hand, Update{What: Noted}, "p"); return err }, "a text is missing"},
			"say it of tomorrow":      {func() error { _, err := s.f.Note(ctx, hand, Update{What: BreachOf, At: soon}, "p"); return err }, "still to come"},
		} {
			var r *Refusal
			var u *Unknown
			if err := c.do(); err == nil || !strings.Contains(err.Error(), c.want) || !errors.As(err, &r) && !errors.As(err, &u) || r != nil && r.Hint == "" {
				t.Errorf("%s: %v", name, err)
			}
		}
		classify(t, s, rule, true)
		if _, err := s.f.Close(ctx, rule, "x", "p"); err == nil || !strings.Contains(err.Error(), "its cause lasts") {
			t.Errorf("%v", err)
		}
		if got := s.written(); !slices.Equal(got, []string{"opened region aws:eu-central-1", "opened by_hand " + hand, "incident.classified"}) {
			t.Errorf("%q", got)
		}
		s.append(up("fra/a", "fra"))
		pass(2 * time.Minute)
		if i, err := s.f.Close(ctx, rule, "the region is back", "p"); err != nil || i.Open() || !i.owes() {
			t.Errorf("%+v, %v", i, err)
		}
		if _, _, ok := s.f.Next(time.Now()); !ok {
			t.Error("a major incident that is closed owes its reports all the same")
		}
	})
}

// Two people who act at once get two incidents with two names.
func TestTwoOpenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{})
		defer s.stop()
		ids := make(chan string, 8)
		for range cap(ids) {
			go func() {
				i, err := s.f.Open(t.Context(), Opening{Title: "Calls fail"}, "p-a")
				if err != nil {
					t.Error(err)
				}
				ids <- i.ID
			}()
		}
		seen := map[string]bool{}
		for range cap(ids) {
			seen[<-ids] = true
		}
		if len(seen) != cap(ids) || seen[""] {
			t.Errorf("%v", seen)
		}
	})
}

// A second word of the same kind moves no limit: the clocks run from the first classification as major, and from the first submission of the initial notification.
func TestTheFirstWordCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{Reporting: Reporting{Entity: report.Entity{CreditInstitution: true}}})
		defer s.stop()
		start := friday()
		id := open(t, s)
		classify(t, s, id, true)
		pass(time.Hour)
		classify(t, s, id, true)
		is(t, s, id, Initial, running, start.Add(4*time.Hour))
		submit(t, s, id, Initial)
		pass(time.Hour)
		submit(t, s, id, Initial)
		is(t, s, id, Intermediate, running, start.Add(73*time.Hour))
		if i, _ := s.f.Incident(id); len(i.Reports) != 2 || !i.Class.At.Equal(start.Add(time.Hour)) || !i.Class.First.Equal(start) {
			t.Errorf("%+v", i)
		}
	})
}

// A breach of personal data has its clock, what people document of it decides whether it is owed, and the end of the incident does not stop it.
func TestBreachIsDocumented(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{Reporting: Reporting{Own: []Deadline{
			{Name: "finma", From: "awareness", Within: 24 * time.Hour, Source: "FINMA Guidance 05/2020", Authority: "FINMA", Always: true},
			{Name: "contract", From: "breach", Within: 10 * time.Hour},
			{Name: "group", From: "occurrence", Within: 48 * time.Hour},
		}}})
		defer s.stop()
		start := friday()
		id := open(t, s)
		document := func(d Documentation, want string) {
			t.Helper()
			_, err := s.f.Document(t.Context(), id, d, "p-a")
			if got := ""; err != nil {
				if got = err.Error(); want == "" || !strings.Contains(got, want) {
					t.Errorf("%+v: %s; want %q", d, got, want)
				}
			} else if want != "" {
				t.Errorf("%+v was taken; want %q", d, want)
			}
		}
		document(Documentation{Facts: "x"}, "nobody said")
		is(t, s, id, "contract", notStarted, time.Time{})
		is(t, s, id, "group", running, start.Add(47*time.Hour)) // it began an hour before
		if _, err := s.f.Note(t.Context(), id, Update{What: BreachOf}, "p-a"); err != nil {
			t.Fatal(err)
		}
		due := start.Add(72 * time.Hour)
		is(t, s, id, GDPR33, running, due)
		is(t, s, id, "contract", running, start.Add(10*time.Hour))
		if c := clockOf(t, s, id, "finma"); c.Law != "FINMA Guidance 05/2020" || c.To != "FINMA" || !c.Due.Equal(start.Add(24*time.Hour)) {
			t.Errorf("%+v", c)
		}
		document(Documentation{}, "nothing to write")
		document(Documentation{Facts: strings.Repeat("x", maxText+1)}, "too long")
		document(Documentation{Categories: []string{""}}, "category")
		document(Documentation{Risk: "small"}, "no word for the risk")
		document(Documentation{Facts: "x", RiskReason: "x"}, "needs the risk")
		document(Documentation{Risk: RiskUnlikely}, "needs a reason")
		document(Documentation{Told: time.Now().Add(time.Hour)}, "still to come")
		document(Documentation{Told: start.Add(-2 * time.Hour)}, "before it began")
		document(Documentation{Risk: RiskUnlikely, RiskReason: "it was encrypted"}, "")
		if c := clockOf(t, s, id, GDPR33); c.State != waived || !strings.Contains(c.Note, "it was encrypted") {
			t.Errorf("%+v", c)
		}
		document(Documentation{Risk: RiskHigh, Facts: "x", Effects: "y", Remedy: "z"}, "")
		is(t, s, id, GDPR33, running, due)
		classify(t, s, id, false)
		if c := clockOf(t, s, id, "group"); c.State != waived {
			t.Errorf("a clock of an incident that is not major: %+v", c)
		}
		is(t, s, id, "finma", running, start.Add(24*time.Hour))
		if _, err := s.f.Note(t.Context(), id, Update{What: Recovered}, "p-a"); err != nil {
			t.Fatal(err)
		}
		submit(t, s, id, "finma")
		submit(t, s, id, "contract")
		if _, err := s.f.Close(t.Context(), id, "over", "p-a"); err != nil {
			t.Fatal(err)
		}
		pass(73 * time.Hour)
		is(t, s, id, GDPR33, isLate, due)
		if i, _ := s.f.Incident(id); !slices.Contains(i.Told, mark(GDPR33, due, "")) || !i.Personal.Facts || !i.Personal.Effects || !i.Personal.Remedy {
			t.Errorf("of a breach in a closed incident nobody hears: %+v", i)
		}
		submit(t, s, id, GDPR33)
		document(Documentation{Risk: RiskUnlikely, RiskReason: "x"}, "was notified")
		is(t, s, id, GDPR33, metLate, due)
	})
}

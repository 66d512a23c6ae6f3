package incident

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// TestReceiptsNameTheirIncident plays an outage of Frankfurt from 12:01 to 12:04 of this clock, beside one that people open, and asks for calls of all kinds.
func TestReceiptsNameTheirIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStage(t, Rulebook{})
		defer func() { s.stop() }()
		begun := time.Now()
		call := func(from, to time.Duration, group, reason, purpose string, tried ...string) *audit.Receipt {
			r := &audit.Receipt{Purpose: purpose, Trunk: "carrier", EdgeGroup: group, RouteReason: reason, TInvite: begun.Add(from), TEnd: begun.Add(to)}
			for _, p := range tried {
				r.Attempts = append(r.Attempts, audit.Attempt{Party: p, At: begun.Add(from)})
			}
			r.Attempts = append(r.Attempts, audit.Attempt{Party: "fra", Result: "refused_by_policy"}) // never contacted
			return r
		}
		if got := s.f.Of(call(0, time.Minute, "fra", "primary", "production")); got != "" {
			t.Errorf("before anything: %q", got)
		}
		pass(time.Minute)
		s.append(down("fra/a", "fra"), down("fra/b", "fra"))
		pass(3 * time.Minute)
		s.append(up("fra/a", "fra"), up("fra/b", "fra"))
		pass(time.Minute)
		list := s.f.List()
		if len(list) != 1 || list[0].Rule != RegionDown || list[0].Lasts() {
			t.Fatalf("%+v", list)
		}
		id, min := list[0].ID, time.Minute
		for name, c := range map[string]struct {
			r    *audit.Receipt
			want string
		}{
			"a call to it while it was down":      {call(2*min, 3*min, "fra", "primary", "production"), id},
			"one that was up when it fell":        {call(0, 2*min, "fra", "primary", "production"), id},
			"one that went elsewhere":             {call(2*min, 3*min, "zrh", "auto_failover", "production"), id},
			"one for which it was tried":          {call(2*min, 3*min, "zrh", "primary", "production", "fra"), id},
			"one that was always Zurich's":        {call(2*min, 3*min, "zrh", "primary", "production"), ""},
			"one before":                          {call(0, min/2, "fra", "primary", "production"), ""},
			"one after":                           {call(9*min/2, 5*min, "fra", "primary", "production"), ""},
			"a drill":                             {call(2*min, 3*min, "fra", "primary", "drill"), ""},
			"an emergency call that was in it":    {call(2*min, 3*min, "fra", "emergency", "emergency_call"), id},
			"a failover when nothing was down":    {call(9*min/2, 5*min, "zrh", "gated_failover", "production"), ""},
			"a gated failover while it was down ": {call(3*min, 5*min, "zrh", "gated_failover", "production"), id},
		} {
			if got := s.f.Of(c.r); got != c.want {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
		by, err := s.f.Open(t.Context(), Opening{Title: "no caller hears anything"}, "p-1")
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if got := s.f.Of(call(5*min, 9*min, "zrh", "primary", "production")); got != by.ID {
			t.Errorf("one that people opened about everything: %q, want %q", got, by.ID)
		}
		s.end()
		s.start(Rulebook{})
		pass(time.Second)
		if got := s.f.Of(call(2*min, 3*min, "fra", "primary", "production")); got != id {
			t.Errorf("after a restart: %q", got)
		}
		pass(25 * time.Hour)
		if n := len(s.f.book.covers(time.Now())); n != 1 { // the one that lasts
			t.Errorf("%d are looked for a day later", n)
		}
		r := call(2*min, 3*min, "fra", "primary", "production")
		if n := testing.AllocsPerRun(100, func() { s.f.Of(r) }); n > 0 {
			t.Errorf("a question takes %v allocations", n)
		}
	})
}

package board_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/drill/board"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/internal/strict"
)

func taken(k scenario.Kind, h scenario.How, names ...string) scenario.Taken {
	return scenario.Taken{Taking: scenario.Taking{How: h}, Kind: k, Names: names}
}

func slow(k scenario.Kind, by time.Duration, names ...string) scenario.Taken {
	t := taken(k, scenario.Slow, names...)
	t.By = strict.Duration(by)
	return t
}

func lossy(k scenario.Kind, share strict.Percent, names ...string) scenario.Taken {
	t := taken(k, scenario.Lossy, names...)
	t.Share = share
	return t
}

func moved(to string, names ...string) scenario.Taken {
	t := taken(scenario.DNS, scenario.Moved, names...)
	t.To = to
	return t
}

func role(name string, people ...string) scenario.Taken {
	t := taken(scenario.Approver, scenario.Away, people...)
	t.What.Approver = name
	return t
}

func set(s board.Scope, gone ...scenario.Taken) *board.Board {
	b := &board.Board{}
	b.Set(gone, time.Now().Add(3*time.Second), s)
	return b
}

func TestTarget(t *testing.T) {
	hole := impair.Effect{Kind: impair.Blackhole}
	for _, c := range []struct {
		name          string
		gone          scenario.Taken
		party, member string
		want          impair.Effect
	}{
		{"the party", taken(scenario.Group, scenario.Refuse, "fra"), "fra", "", impair.Effect{Kind: impair.Refuse}},
		{"each of its members", taken(scenario.Trunk, scenario.Unavailable, "tk"), "tk", "a", impair.Effect{Kind: impair.Unavailable}},
		{"another party", taken(scenario.Group, scenario.Refuse, "fra"), "par", "a", impair.Effect{}},
		{"a member", taken(scenario.Target, scenario.WrongCertificate, "fra/a"), "fra", "a", impair.Effect{Kind: impair.WrongCertificate}},
		{"its neighbour", taken(scenario.Target, scenario.Blackhole, "fra/a"), "fra", "b", impair.Effect{}},
		{"the whole party is not gone with a member", taken(scenario.Target, scenario.Blackhole, "fra/a"), "fra", "", impair.Effect{}},
		{"a region is its parties", taken(scenario.Region, scenario.Blackhole, "fra", "muc"), "muc", "x", hole},
		{"what flaps is silent while it is gone", taken(scenario.Group, scenario.Flapping, "fra"), "fra", "a", hole},
		{"late", slow(scenario.Group, 400*time.Millisecond, "fra"), "fra", "a", impair.Effect{Delay: 400 * time.Millisecond}},
		{"lost", lossy(scenario.Group, 500, "fra"), "fra", "a", impair.Effect{Loss: 0.05}},
		{"names are no targets", taken(scenario.DNS, scenario.Blackhole, "fra"), "fra", "a", impair.Effect{}},
		{"nor are channels", taken(scenario.Channel, scenario.Blackhole, "fra"), "fra", "", impair.Effect{}},
	} {
		if got := set(board.All, c.gone).Target(c.party, c.member, false); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	both := set(board.All, slow(scenario.Group, time.Second, "fra"), lossy(scenario.Target, 1_000, "fra/a"))
	if got, want := both.Target("fra", "a", false), (impair.Effect{Delay: time.Second, Loss: 0.1}); got.Delay != want.Delay || got.Loss < 0.0999 || got.Loss > 0.1001 {
		t.Errorf("of the party and of the member: %v, want %v", got, want)
	}
}

func TestScopeOwnIsTheDrillsAlone(t *testing.T) {
	gone := []scenario.Taken{
		taken(scenario.Group, scenario.Refuse, "fra"), taken(scenario.DNS, scenario.Fail, "all"), taken(scenario.Channel, scenario.Fail, "siem"),
		taken(scenario.Log, scenario.Fail, "decisions"), taken(scenario.Instrument, scenario.Struck, "DPF"), role("dpo", "anna"),
	}
	for s, want := range map[board.Scope][2]bool{board.All: {true, true}, board.Own: {false, true}} {
		b := set(s, gone...)
		for i, own := range []bool{false, true} {
			if got := !b.Target("fra", "a", own).Nothing(); got != want[i] {
				t.Errorf("scope %d, own %v: impaired %v", s, own, got)
			}
		}
		names, _ := b.Names("fra")
		for what, got := range map[string]bool{
			"names": !names.Nothing(), "channel": !b.Channel("siem").Nothing(), "log": b.Log(), "law": len(b.Struck()) > 0, "people": b.Away("anna", nil),
		} {
			if got != (s == board.All) {
				t.Errorf("scope %d: %s impaired %v", s, what, got)
			}
		}
		if len(b.Gone()) != len(gone) {
			t.Errorf("scope %d: Gone hides something", s)
		}
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct {
		name  string
		gone  []scenario.Taken
		party string
		want  impair.Effect
		moved string
	}{
		{"its own", []scenario.Taken{taken(scenario.DNS, scenario.Fail, "fra")}, "fra", impair.Effect{Kind: impair.Fail}, ""},
		{"another's", []scenario.Taken{taken(scenario.DNS, scenario.Fail, "fra")}, "par", impair.Effect{}, ""},
		{"all", []scenario.Taken{taken(scenario.DNS, scenario.Blackhole, "all")}, "par", impair.Effect{Kind: impair.Blackhole}, ""},
		{"moved", []scenario.Taken{moved("us", "fra")}, "fra", impair.Effect{}, "us"},
		{"moved and slow", []scenario.Taken{moved("us", "fra"), slow(scenario.DNS, time.Second, "all")}, "fra", impair.Effect{Delay: time.Second}, "us"},
		{"its own move before that of all", []scenario.Taken{moved("us", "fra"), moved("ch", "all")}, "fra", impair.Effect{}, "us"},
		{"that of all", []scenario.Taken{moved("us", "fra"), moved("ch", "all")}, "par", impair.Effect{}, "ch"},
		{"a target is no name", []scenario.Taken{taken(scenario.Group, scenario.Refuse, "fra")}, "fra", impair.Effect{}, ""},
	} {
		if got, to := set(board.All, c.gone...).Names(c.party); got != c.want || to != c.moved {
			t.Errorf("%s: %v, moved %q", c.name, got, to)
		}
	}
}

func TestWhatElseIsGone(t *testing.T) {
	b := set(board.All, role("dpo", "anna"), role("bert", "bert"), taken(scenario.Channel, scenario.Fail, "siem"),
		taken(scenario.Instrument, scenario.Struck, "DPF"), taken(scenario.Log, scenario.Fail, "decisions"))
	for _, c := range []struct {
		person string
		roles  []string
		want   bool
	}{
		{"anna", nil, true},
		{"bert", []string{"ops"}, true},
		{"carl", []string{"dpo"}, true}, // who got the role after the names were put in
		{"dora", []string{"ops"}, false},
		{"emil", nil, false},
	} {
		if got := b.Away(c.person, c.roles); got != c.want {
			t.Errorf("%s %v: away %v", c.person, c.roles, got)
		}
	}
	if b.Channel("siem").Kind != impair.Fail || !b.Channel("pager").Nothing() {
		t.Errorf("channels: %v, %v", b.Channel("siem"), b.Channel("pager"))
	}
	if !slices.Equal(b.Struck(), []string{"DPF"}) || !b.Log() {
		t.Errorf("struck %v, log %v", b.Struck(), b.Log())
	}
	if b = set(board.All, taken(scenario.Group, scenario.Refuse, "fra")); b.Log() || b.Struck() != nil || b.Away("anna", nil) {
		t.Error("what nobody took is gone")
	}
}

// A lease ends by itself; each Set replaces the one before.
func TestLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fra, par := taken(scenario.Group, scenario.Refuse, "fra"), taken(scenario.Group, scenario.Refuse, "par")
		b := &board.Board{}
		is := func(when string, want ...string) {
			t.Helper()
			var got []string
			for _, p := range []string{"fra", "par"} {
				if !b.Target(p, "", true).Nothing() {
					got = append(got, p)
				}
			}
			if !slices.Equal(got, want) || len(b.Gone()) != len(want) || b.Any() != (len(want) > 0) {
				t.Errorf("%s: %v is gone, %d by its own account, want %v", when, got, len(b.Gone()), want)
			}
		}
		is("before")
		b.Set([]scenario.Taken{fra}, time.Now().Add(3*time.Second), board.Own)
		is("taken", "fra")
		time.Sleep(2 * time.Second)
		b.Set([]scenario.Taken{fra, par}, time.Now().Add(3*time.Second), board.All)
		time.Sleep(3*time.Second - time.Nanosecond)
		is("renewed", "fra", "par")
		time.Sleep(time.Nanosecond)
		is("nobody renewed it")
		b.Set([]scenario.Taken{par}, time.Now().Add(3*time.Second), board.All)
		is("again", "par")
		b.Set(nil, time.Now().Add(3*time.Second), board.All)
		is("given back")
		b.Set([]scenario.Taken{par}, time.Now(), board.All)
		is("a lease that is over")
		var none *board.Board
		if !none.Target("fra", "", true).Nothing() || none.Gone() != nil || none.Log() {
			t.Error("something is gone from no board")
		}
	})
}

// What each attempt and probe pays while no drill runs: one atomic load, and no memory.
func BenchmarkTargetWhileNothingIsGone(b *testing.B) {
	empty := &board.Board{}
	b.ReportAllocs()
	for b.Loop() {
		if !empty.Target("fra", "a", false).Nothing() {
			b.Fatal("something is gone")
		}
	}
}

// A silence begins with the first lease that lets nothing cross, goes on over those that renew it, and is over with one that does not.
func TestSinceWhenNothingCrosses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var b board.Board
		gone := func(list ...scenario.Taken) { b.Set(list, time.Now().Add(3*time.Second), board.All) }
		group, member := taken(scenario.Group, scenario.Blackhole, "fra"), taken(scenario.Target, scenario.Refuse, "fra/m1")
		for _, c := range []struct {
			name string
			set  []scenario.Taken
			want time.Duration // of fra/m1 since the start; below zero: something crosses
		}{
			{"taken", []scenario.Taken{group}, 0},
			{"renewed", []scenario.Taken{group}, 0},
			{"a member of it, too", []scenario.Taken{group, member}, 0},
			{"the member alone", []scenario.Taken{member}, 2 * time.Second},
			{"slow alone", []scenario.Taken{slow(scenario.Group, time.Second, "fra")}, -1},
			{"taken again", []scenario.Taken{group}, 5 * time.Second},
			{"another party", []scenario.Taken{taken(scenario.Group, scenario.Blackhole, "zrh")}, -1},
			{"given back", nil, -1},
		} {
			gone(c.set...)
			since := b.Silent("fra", "m1", false)
			if c.want < 0 != since.IsZero() || c.want >= 0 && since.Sub(start) != c.want {
				t.Errorf("%s: since %s, want %s", c.name, since.Sub(start), c.want)
			}
			time.Sleep(time.Second)
		}
		gone(group)
		time.Sleep(4 * time.Second)
		if since := b.Silent("fra", "", false); !since.IsZero() {
			t.Errorf("the lease is over, and fra is silent since %s", since)
		}
		gone(group)
		if since := b.Silent("fra", "", false); !since.Equal(time.Now()) {
			t.Errorf("a lease that was over is gone on with: since %s", since)
		}
		b.Set([]scenario.Taken{group}, time.Now().Add(time.Second), board.Own)
		if !b.Silent("fra", "", false).IsZero() || b.Silent("fra", "", true).IsZero() || !(*board.Board)(nil).Silent("fra", "", true).IsZero() {
			t.Error("whose silence it is")
		}
	})
}

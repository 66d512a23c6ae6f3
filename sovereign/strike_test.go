package sovereign

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

const swissLaw = "2000/518/EC"

// struck is the world an instant after Switzerland's instrument was suspended, with these leaves.
func struck(t testing.TB, leaves []Leave, severed ...Sever) *Snapshot {
	t.Helper()
	return world(t, nil).WithStrikes([]Suspension{{Instrument: swissLaw, Since: now.AddDate(0, -1, 0)}}, leaves, severed)
}

func TestALeaveIsForWhatWasRunning(t *testing.T) {
	leave := Leave{Cause: swissLaw, From: now, Until: now.Add(time.Hour)}
	whole := leave
	whole.Media = true
	own, other := whole, whole
	own.Party, other.Cause = "zrh", "(EU) 2021/1772"
	before, at := now.Add(-time.Minute).UnixNano(), now.Add(time.Second)
	for name, c := range map[string]struct {
		leaves []Leave
		ask    Ask
		want   Verdict
	}{
		"no leave":                         {nil, Ask{Began: before}, Hold},
		"what was running":                 {[]Leave{leave}, Ask{Began: before}, Permit},
		"a new session":                    {[]Leave{leave}, Ask{Began: at.UnixNano()}, Hold},
		"one that begins that instant":     {[]Leave{leave}, Ask{Began: now.UnixNano()}, Hold},
		"no session":                       {[]Leave{leave}, Ask{}, Hold},
		"media without leave":              {[]Leave{leave}, Ask{Began: before, Plane: Media}, Hold},
		"media":                            {[]Leave{whole}, Ask{Began: before, Plane: Media}, Permit},
		"a copy for a recorder":            {[]Leave{whole}, Ask{Began: before, Plane: Recording}, Hold},
		"a webhook":                        {[]Leave{whole}, Ask{Began: before, Plane: Infrastructure}, Hold},
		"when it is over":                  {[]Leave{whole}, Ask{Began: before, At: now.Add(time.Hour)}, Hold},
		"of another instrument":            {[]Leave{other}, Ask{Began: before}, Hold},
		"of the party":                     {[]Leave{leave, own}, Ask{Began: before, Plane: Media}, Permit},
		"of another party":                 {[]Leave{own}, Ask{Began: before, Party: "lug"}, Hold},
		"before the strike it was no hold": {[]Leave{leave}, Ask{Began: before, At: now.AddDate(0, -2, 0)}, Permit},
	} {
		a := c.ask
		a.Addr = addr("192.0.2.200:5060")
		if a.Party == "" {
			a.Party = "zrh"
		}
		if a.Plane == 0 {
			a.Plane = Signalling
		}
		if a.At.IsZero() {
			a.At = at
		}
		s := world(t, func(c *SnapshotConfig) {
			c.Parties = append(c.Parties, Party{Name: "lug", Kind: KindGroup, Region: zurich})
		}).
			WithStrikes([]Suspension{{Instrument: swissLaw, Since: now.AddDate(0, -1, 0)}}, c.leaves, nil)
		r := s.Judge(a)
		if r.Verdict != c.want || c.want == Permit && a.At.After(now) && (r.Ground != GroundRunning || !r.Until.Equal(now.Add(time.Hour))) {
			t.Errorf("%s: %v %s until %v: %s", name, r.Verdict, r.Ground, r.Until, r.Why)
		}
	}
}

func TestALeaveOpensNothingThatIsHeldForAnotherReason(t *testing.T) {
	leave := []Leave{{Cause: swissLaw, From: now, Until: now.Add(time.Hour), Media: true}}
	for name, c := range map[string]struct{ party, addr string }{"no adequacy": {"iad", "198.51.100.1:5060"}, "nowhere": {"zrh", "203.0.113.77:5060"}} {
		r := struck(t, leave).Judge(Ask{Party: c.party, Plane: Signalling, Addr: addr(c.addr), At: now.Add(1), Began: now.UnixNano() - 1})
		if r.Permitted() {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// A pass that was there lives on until its leave is over, and another one is not to be had.
func TestAPassLivesOnForItsLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		f := NewFence(world(t, nil), nil)
		ask := Ask{Party: "zrh", Plane: Signalling, Addr: addr("192.0.2.200:5060"), Began: time.Now().UnixNano()}
		p, _ := f.Pass(ask)
		probe, _ := f.Pass(Ask{Party: "zrh", Plane: Signalling, Addr: ask.Addr})
		ask.Plane = Media
		rtp, _ := f.Pass(ask)
		time.Sleep(time.Minute)
		from := time.Now()
		f.Swap(f.Snapshot().WithStrikes([]Suspension{{Instrument: swissLaw, Since: now}}, []Leave{{Cause: swissLaw, From: from, Until: from.Add(time.Second)}}, nil))
		if !p.Live(time.Time{}) || p.Ruling().Ground != GroundRunning || rtp.Live(time.Time{}) || probe.Live(time.Time{}) {
			t.Errorf("running %t (%s), media %t, probe %t", p.Live(time.Time{}), p.Ruling().Ground, rtp.Live(time.Time{}), probe.Live(time.Time{}))
		}
		ask.Plane, ask.Began = Signalling, time.Now().UnixNano()
		if fresh, r := f.Pass(ask); fresh != nil {
			t.Errorf("a new session was let in: %+v", r)
		}
		time.Sleep(time.Second)
		if p.Live(time.Time{}) {
			t.Error("it outlives its leave")
		}
	})
}

// A suspension of the day after tomorrow takes effect by itself, with its leave.
func TestASuspensionAheadTakesEffectByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(now))
		since := now.Add(48 * time.Hour)
		f := NewFence(world(t, nil).WithStrikes([]Suspension{{Instrument: swissLaw, Since: since}}, []Leave{{Cause: swissLaw, From: since, Until: since.Add(time.Second)}}, nil), nil)
		ask := Ask{Party: "zrh", Plane: Signalling, Addr: addr("192.0.2.200:5060"), Began: time.Now().UnixNano()}
		p, _ := f.Pass(ask)
		time.Sleep(48*time.Hour - time.Microsecond)
		if !p.Live(time.Time{}) || p.Ruling().Ground == GroundRunning || !p.Ruling().Until.Equal(since) {
			t.Errorf("before: %+v", p.Ruling())
		}
		time.Sleep(time.Microsecond)
		if !p.Live(time.Time{}) || p.Ruling().Ground != GroundRunning {
			t.Errorf("at that moment: %+v", p.Ruling())
		}
		ask.Began = time.Now().UnixNano()
		if fresh, _ := f.Pass(ask); fresh != nil {
			t.Error("a new session is let in at that moment")
		}
		time.Sleep(time.Second)
		if p.Live(time.Time{}) {
			t.Error("it outlives its leave")
		}
	})
}

func TestSevered(t *testing.T) {
	at := now.Add(time.Second)
	grant := Grant{ID: "g", Groups: []string{"zrh", "fra", "iad"}, Regions: []Region{zurich, frankfurt, virginia}, NotBefore: now.Add(-time.Hour), Until: now.Add(time.Hour)}
	for name, c := range map[string]struct {
		cut  Sever
		ask  Ask
		want Verdict
	}{
		"a group":                        {Sever{Kind: SeverGroup, Name: "fra"}, Ask{Party: "fra", Addr: addr("192.0.2.1:5060")}, Hold},
		"another group":                  {Sever{Kind: SeverGroup, Name: "fra"}, Ask{Party: "zrh", Addr: addr("192.0.2.200:5060")}, Permit},
		"a region":                       {Sever{Kind: SeverRegion, Name: zurich.String()}, Ask{Party: "zrh", Addr: addr("192.0.2.200:5060")}, Hold},
		"a region by its address alone":  {Sever{Kind: SeverRegion, Name: zurich.String()}, Ask{Addr: addr("192.0.2.200:5060"), Plane: Infrastructure}, Hold},
		"a region, its party's media":    {Sever{Kind: SeverRegion, Name: zurich.String()}, Ask{Party: "zrh", Plane: Media}, Hold},
		"an emergency call":              {Sever{Kind: SeverGroup, Name: "fra"}, Ask{Party: "fra", Addr: addr("192.0.2.1:5060"), Purpose: EmergencyCall}, Permit},
		"an emergency call, with force":  {Sever{Kind: SeverGroup, Name: "fra", Force: true}, Ask{Party: "fra", Addr: addr("192.0.2.1:5060"), Purpose: EmergencyCall}, Hold},
		"what is granted":                {Sever{Kind: SeverGroup, Name: "iad"}, Ask{Party: "iad", Region: virginia}, Hold},
		"a region of the same name only": {Sever{Kind: SeverRegion, Name: "fra"}, Ask{Party: "fra", Addr: addr("192.0.2.1:5060")}, Permit},
	} {
		if c.ask.Plane == 0 {
			c.ask.Plane = Signalling
		}
		c.ask.At, c.cut.From = at, now
		s := world(t, func(cfg *SnapshotConfig) { cfg.Grants = []Grant{grant} })
		r := s.WithStrikes(nil, nil, []Sever{c.cut}).Judge(c.ask)
		if r.Verdict != c.want || c.want == Hold && r.Ground != GroundSevered {
			t.Errorf("%s: %v %s: %s", name, r.Verdict, r.Ground, r.Why)
		}
		if c.want == Permit {
			continue
		}
		c.ask.Began = now.UnixNano() - 1
		leave := []Leave{{Cause: c.cut.Cause(), From: now, Until: at.Add(1)}}
		last := s.WithStrikes(nil, leave, []Sever{c.cut}).Judge(c.ask)
		if speaks := c.ask.Plane == Signalling && c.ask.Party != ""; last.Permitted() != speaks {
			t.Errorf("%s: a last word: %v %s", name, last.Verdict, last.Ground)
		}
	}
}

// What was granted before the law fell does not outlive it; what people decide afterwards counts.
func TestAGrantDoesNotStandInForAStruckInstrument(t *testing.T) {
	leave := []Leave{{Cause: swissLaw, From: now, Until: now.Add(time.Minute)}}
	for _, from := range []time.Time{now.Add(-time.Hour), now, now.Add(time.Minute)} {
		g := Grant{ID: "g", Groups: []string{"zrh"}, Regions: []Region{zurich}, NotBefore: from, Until: now.Add(2 * time.Hour)}
		r := struck(t, leave).WithGrants([]Grant{g}).Judge(Ask{Party: "zrh", Plane: Signalling, Addr: addr("192.0.2.200:5060"), At: now.Add(time.Hour)})
		if want := !from.Before(now); r.Permitted() != want {
			t.Errorf("granted at %v: %v %s", from, r.Verdict, r.Ground)
		}
	}
}

// A cut never loosens, and a leave loosens only what was running, and never what is denied.
func TestStrikesNeverLoosen(t *testing.T) {
	var running, severed int
	for seed := range uint64(600) {
		d := draw{rand.New(rand.NewPCG(seed, 3))}
		cfg := d.config(t)
		cfg.Grants, cfg.Suspended = d.grants(), d.suspensions()
		s, err := NewSnapshot(cfg)
		if err != nil {
			t.Fatal(err)
		}
		leaves, cuts := d.strikes()
		for _, x := range cfg.Suspended {
			leaves = append(leaves, Leave{Cause: x.Instrument, From: x.Since, Until: x.Since.AddDate(1, 0, 0), Media: true})
		}
		for _, x := range cuts {
			leaves = append(leaves, Leave{Cause: x.Cause(), From: x.From, Until: x.From.AddDate(1, 0, 0)})
		}
		with := s.WithStrikes(cfg.Suspended, leaves, cuts)
		for range 12 {
			a := d.running()
			was, is := s.Judge(a), with.Judge(a)
			if is.Ground == GroundRunning {
				running++
				if was.Verdict == Deny || a.Began == 0 || a.Began >= a.At.UnixNano() || is.Until.IsZero() {
					t.Fatalf("seed %d: %+v for %+v, and %+v without", seed, is, a, was)
				}
				continue
			}
			if is.Ground == GroundSevered {
				severed++
			}
			if is.Verdict > was.Verdict {
				t.Fatalf("seed %d: %+v for %+v, and %+v without", seed, is, a, was)
			}
		}
	}
	if running < 10 || severed < 50 {
		t.Errorf("the worlds are too tame: %d running, %d severed", running, severed)
	}
}

// A policy that has a say beside another one is struck with it: what is cut is cut for both, and what may end in order may do so under both.
func TestStrikesReachABound(t *testing.T) {
	both := world(t, func(c *SnapshotConfig) { c.Within = world(t, nil) })
	ask := Ask{Party: "zrh", Plane: Signalling, Addr: addr("192.0.2.200:5060"), At: now.Add(time.Second)}
	cut := both.WithStrikes(nil, nil, []Sever{{Kind: SeverGroup, Name: "zrh", From: now}})
	if r := cut.Judge(ask); r.Permitted() || r.Ground != GroundSevered {
		t.Errorf("%v %s", r.Verdict, r.Ground)
	}
	ask.Began = now.UnixNano() - 1
	leave := both.WithStrikes([]Suspension{{Instrument: swissLaw, Since: now}}, []Leave{{Cause: swissLaw, From: now, Until: now.Add(time.Minute)}}, nil)
	if r := leave.Judge(ask); !r.Permitted() || r.Ground != GroundRunning || !r.Until.Equal(now.Add(time.Minute)) {
		t.Errorf("%v %s until %v", r.Verdict, r.Ground, r.Until)
	}
}

// A route's own leave counts for who asks by that route; who names none, and the media plane, which knows none, has the longest. It does not travel.
func TestALeaveOfARoute(t *testing.T) {
	from := now.Add(-time.Second)
	s := struck(t, []Leave{
		{Cause: swissLaw, Party: "zrh", From: from, Until: now.Add(time.Hour), Media: true}, {Cause: swissLaw, Party: "zrh", Route: "in", From: from, Until: now.Add(time.Minute)},
	})
	for route, want := range map[string]time.Duration{"": time.Hour, "in": time.Minute, "other": time.Hour} {
		a := Ask{Party: "zrh", Plane: Signalling, At: now, Began: from.Add(-time.Hour).UnixNano(), Route: route}
		if r := s.Judge(a); r.Ground != GroundRunning || !r.Until.Equal(now.Add(want)) {
			t.Errorf("route %q: %+v", route, r)
		}
		if a.Began = now.UnixNano(); s.Judge(a).Permitted() {
			t.Errorf("route %q: what began later has a leave", route)
		}
	}
	if list := common(s.Leaves()); len(list) != 1 || list[0].Route != "" {
		t.Errorf("%+v", list)
	}
}

package measure

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill/scenario"
)

var (
	start = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)
	world = scenario.World{
		Parties: []scenario.Party{
			{Name: "carrier", Trunk: true, Region: "own:berlin", Standing: scenario.Permitted},
			{Name: "fra", Region: "aws:eu-central-1", Standing: scenario.Permitted},
			{Name: "zrh", Region: "aws:eu-central-2", Standing: scenario.Permitted},
			{Name: "iad", Region: "aws:us-east-1", Standing: scenario.HeldBack},
		},
		Routes:   []scenario.Route{{Name: "line", From: []string{"carrier"}, To: []string{"fra", "zrh", "iad"}}},
		Channels: []string{"siem"},
	}
)

func at(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }

// play is the region loss that ships, with judgements that it has not.
// cutOff adds calls that nobody had answered when the play ended.
func cutOff(s *Seen, placed time.Time, n int) {
	for range n {
		s.Calls = append(s.Calls, Call{Placed: placed, Ended: s.End, Status: 487})
	}
}

func play(t *testing.T) *scenario.Play {
	t.Helper()
	text, _ := drills.Text("region-loss")
	more := `
  - {kept: {at_least: 100%}, from: 1s, until: 2m}
  - {gap: {within: 500ms}}
  - {held: {party: forbidden}}
  - {approved: {people: 2, opinion: true, within: 2m}}
  - {told: {channel: siem, kind: failover.applied, within: 30s}}
end:`
	whole := strings.Replace(strings.Replace(string(text), "\nend:", more, 1), "sandbox, canary, full]", "sandbox, full]", 1) // a canary asks nobody at the gate
	s, probs := scenario.Read("a", []byte(whole))
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	p, probs := s.Bind(world, "")
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	return p
}

// good is a play in which everything held: gone from 60 s to 240 s, detected after 9 s, answered elsewhere after 3 s already.
func good() *Seen {
	s := &Seen{
		Start: start, End: at(480), Restoring: at(480), Restored: at(481.5),
		Taken:   []Taken{{0, at(60), at(240)}},
		Health:  []Health{{At: at(69), Party: "fra"}, {At: at(250), Party: "fra", Up: true}},
		Moves:   []Move{{at(69.1), "applied", "zrh"}, {at(100), "held", "iad"}, {at(270), "failback", "fra"}},
		Tickets: []Ticket{{[]string{"iad"}, at(100), []time.Time{at(130), at(160)}, at(145)}},
		Refused: []Attempt{{at(5), "iad", 7}},
		Sent:    []Sent{{at(0), at(240), "iad", 0}, {at(240), at(480), "iad", 0}, {at(0), at(480), "fra", 900}},
		Notices: []Notice{{at(70), "siem", "failover.applied"}},
		Records: Records{Acknowledged: 500, Found: 500, Verified: true},
	}
	for i := 0.0; i < 478; i += 2 {
		c := Call{Placed: at(i), Answered: at(i + 1), Ended: at(i + 21), Party: "fra", Status: 200, MOS: 4.3, Gap: 20 * time.Millisecond}
		if i >= 60 && i < 270 {
			c.Party, c.Answered = "zrh", at(i+2.5)
		}
		s.Calls = append(s.Calls, c)
	}
	return s
}

func TestEachExpectationIsHeldAgainstWhatWasSeen(t *testing.T) {
	p := play(t)
	if list := Judge(p, good()); !Passed(list) {
		t.Fatalf("a good play failed: %+v", list)
	}
	if Passed(nil) {
		t.Error("a drill without a judgement passed")
	}
	each := func(s *Seen, change func(*Call)) {
		for i := range s.Calls {
			change(&s.Calls[i])
		}
	}
	for name, c := range map[string]struct {
		change func(*Seen)
		fails  []string // the judgements that do not hold any more
		says   string
	}{
		"nothing was seen at all": {
			func(s *Seen) { *s = Seen{Start: s.Start, End: s.End} },
			[]string{"answered", "approved", "carries", "decided", "detected", "fail_back", "failed", "gap", "held", "kept", "mos", "nothing_to", "records_lost", "refused", "switched", "told"},
			"no call was seen",
		},
		"one late answer":              {func(s *Seen) { s.Calls[0].Answered = at(3.5) }, []string{"answered"}, "27 of 28, the slowest after 3.5s"},
		"calls that the end cut off":   {func(s *Seen) { cutOff(s, s.End.Add(-time.Second), 5) }, nil, ""},
		"calls that had their time":    {func(s *Seen) { cutOff(s, s.End.Add(-10*time.Second), 5) }, []string{"failed"}, "5 of 244 calls failed"},
		"one answer elsewhere":         {func(s *Seen) { s.Calls[100].Party = "fra" }, []string{"answered"}, "one by fra"},
		"one call of a hundred failed": {func(s *Seen) { s.Calls[45].Answered = time.Time{} }, nil, ""}, // in the time to detect it, and below 1 %
		"three calls failed":           {func(s *Seen) { each(s, func(c *Call) { c.Lost = c.Placed.After(at(400)) && c.Placed.Before(at(407)) }) }, []string{"failed"}, "3 of 239 calls failed (1.26%)"},
		"a call that was up was lost":  {func(s *Seen) { s.Calls[25].Lost = true }, []string{"kept"}, "9 of 10 calls were up and kept"},
		"a bad line":                   {func(s *Seen) { s.Calls[3].MOS = 2.9 }, []string{"mos"}, "2.90 in the worst of 239"},
		"nobody measured":              {func(s *Seen) { each(s, func(c *Call) { c.MOS = 0 }) }, []string{"mos"}, "nothing was heard in 239 of 239 calls"},
		"too short to be measured":     {func(s *Seen) { each(s, func(c *Call) { c.MOS, c.Ended = 0, c.Answered.Add(time.Second) }) }, []string{"kept", "mos"}, "no call was measured"},
		"one that nobody heard":        {func(s *Seen) { s.Calls[3].MOS = 0 }, []string{"mos"}, "nothing was heard in 1 of 239 calls"},
		"a hole in the audio":          {func(s *Seen) { s.Calls[3].Gap = time.Second }, []string{"gap"}, "1s in the worst of 239"},
		"detected late":                {func(s *Seen) { s.Health[0].At = at(91) }, []string{"detected"}, "31s"},
		"detected as limping":          {func(s *Seen) { s.Health = []Health{{At: at(62), Party: "fra", Up: true, Limps: true}} }, nil, ""},
		"never detected":               {func(s *Seen) { s.Health[0].Party = "zrh" }, []string{"detected"}, "never seen"},
		"decided before it was needed": {func(s *Seen) { s.Moves = s.Moves[:1]; s.Moves[0].At = at(59) }, []string{"decided", "held"}, "never seen"},
		"nobody answered elsewhere":    {func(s *Seen) { each(s, func(c *Call) { c.Party = "fra" }) }, []string{"answered", "carries", "switched"}, "never seen"},
		"answered elsewhere late": {func(s *Seen) {
			each(s, func(c *Call) {
				if c.Party == "zrh" && c.Placed.Before(at(80)) {
					c.Answered = time.Time{}
				}
			})
		}, []string{"failed", "switched"}, "22.5s"},
		"too short a time elsewhere": {func(s *Seen) {
			each(s, func(c *Call) {
				if c.Placed.After(at(150)) {
					c.Party = "fra"
				}
			})
		}, []string{"answered", "carries"}, ""},
		"never back": {func(s *Seen) {
			each(s, func(c *Call) {
				if c.Placed.After(at(240)) {
					c.Party = "zrh"
				}
			})
		}, []string{"fail_back"}, "no call reached the primary again"},
		"nothing given back":         {func(s *Seen) { s.Taken[0].Back = time.Time{} }, []string{"fail_back"}, "nothing was given back"},
		"nothing was refused":        {func(s *Seen) { s.Refused[0].Party = "dme" }, []string{"refused"}, "0 refusals"},
		"one datagram":               {func(s *Seen) { s.Sent[1].Datagrams = 1 }, []string{"nothing_to"}, "1"},
		"a watch that broke off":     {func(s *Seen) { s.Sent = s.Sent[:1] }, []string{"nothing_to"}, "nobody watched from 4m0s on"},
		"a watch with a hole":        {func(s *Seen) { s.Sent[1].From = at(241) }, []string{"nothing_to"}, "nobody watched from 4m0s on"},
		"nothing held":               {func(s *Seen) { s.Moves[1].Party = "dme" }, []string{"held"}, "0 times"},
		"one person":                 {func(s *Seen) { s.Tickets[0].Words = s.Tickets[0].Words[:1] }, []string{"approved"}, "1 people"},
		"no opinion":                 {func(s *Seen) { s.Tickets[0].Opinion = time.Time{} }, []string{"approved"}, "no opinion"},
		"a late opinion":             {func(s *Seen) { s.Tickets[0].Opinion = at(221) }, []string{"approved"}, "2m1s"},
		"no ticket":                  {func(s *Seen) { s.Tickets = nil }, []string{"approved"}, "no ticket"},
		"told late":                  {func(s *Seen) { s.Notices[0].At = at(91) }, []string{"told"}, "31s"},
		"told something else":        {func(s *Seen) { s.Notices[0].Kind = "failover.held" }, []string{"told"}, "never delivered"},
		"a record lost":              {func(s *Seen) { s.Records.Found-- }, []string{"records_lost"}, "1 of 500"},
		"a log that nobody verified": {func(s *Seen) { s.Records.Verified = false }, []string{"records_lost"}, "was not verified"},
		"nothing was taken":          {func(s *Seen) { s.Taken = nil }, []string{"decided", "detected", "fail_back", "kept", "switched", "told"}, "nothing was taken away"},
	} {
		t.Run(name, func(t *testing.T) {
			s := good()
			c.change(s)
			var failed []string
			said := ""
			for _, j := range Judge(p, s) {
				if !j.Holds && !slices.Contains(failed, j.Word) {
					failed = append(failed, j.Word)
				}
				if !j.Holds {
					said += j.Measured + "\n"
				}
				if j.Wanted == "" || j.Measured == "" {
					t.Errorf("%s says nothing", j.Word)
				}
			}
			slices.Sort(failed)
			if !slices.Equal(failed, c.fails) {
				t.Errorf("%v do not hold, want %v\n%s", failed, c.fails, said)
			}
			if !strings.Contains(said, c.says) {
				t.Errorf("%q does not say %q", said, c.says)
			}
		})
	}
}

func TestMeasure(t *testing.T) {
	p, s := play(t), good()
	s.Health = append(s.Health, Health{At: at(300), Party: "zrh"}) // nobody touched it
	s.Calls[25].Lost = true
	s.Calls[31].Answered = time.Time{}
	tl, f := Measure(p, s)
	got, err := json.Marshal(struct {
		T Timeline
		F Figures
	}{tl, f})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"T":{"fault_injected":"2026-11-22T09:01:00Z","detected":"2026-11-22T09:01:09Z","decided":"2026-11-22T09:01:09.1Z","switched":"2026-11-22T09:01:09.1Z","first_call_ok":"2026-11-22T09:01:02.5Z","steady_state":"2026-11-22T09:01:04Z","failback_start":"2026-11-22T09:04:00Z","failback_done":"2026-11-22T09:04:31Z"},` +
		`"F":{"detect_ms":9000,"decide_ms":9100,"switch_ms":9100,"rto_measured_s":2.5,"failback_ms":31000,"restore_ms":1500,"calls_in_progress":10,"calls_dropped":1,"calls_preserved":9,"calls_placed":239,"setup_fail_pct":0.42,"mos_before":4.3,"mos_during":4.3,` +
		`"media_gap_ms_p50":20,"media_gap_ms_p99":20,"rpo_records_lost":0,"gate_quorum_time_s":60,"dpo_opinion_time_s":45,"probe_false_verdicts":1,"forbidden_refused":1}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if _, f := Measure(p, &Seen{Start: start, End: at(480)}); f.RTO != nil || f.Detect != nil || f.Placed != 0 || f.SetupFailed != 0 || f.Restore != nil || f.RecordsLost != nil {
		t.Errorf("figures of nothing: %+v", f)
	}
}

func TestWhatIsTakenTouchesParties(t *testing.T) {
	p := play(t)
	p.Parties[1].Instrument, p.Parties[2].Instrument = "", "CH"
	p.Taken = append(p.Taken, scenario.Taken{Kind: scenario.Instrument, Names: []string{"CH"}}, scenario.Taken{Kind: scenario.Approver, Names: []string{"ben"}})
	s := good()
	s.Taken = append(s.Taken, Taken{1, at(60), at(470)}, Taken{2, at(60), at(475)})
	s.Health = append(s.Health, Health{At: at(300), Party: "zrh"})
	tl, f := Measure(p, s)
	if f.FalseVerdicts != 0 {
		t.Error("a place whose instrument was struck was called down, and nobody touched it")
	}
	if !tl.FailbackStart.Equal(at(240)) || f.Failback == nil {
		t.Errorf("the primary was given back at %s", tl.FailbackStart)
	}
	s.Taken = s.Taken[1:]
	if tl, _ = Measure(p, s); !tl.FailbackStart.Equal(at(475)) {
		t.Errorf("nothing touched the primary, and the last thing was given back at %s", tl.FailbackStart)
	}
}

// What is beside the path of calls is no fault that anything is measured from, unless it is all that the play takes.
func TestMeasuresCountFromTheFirstFaultInThePath(t *testing.T) {
	took := func(kind scenario.Kind, name string) scenario.Taken {
		return scenario.Taken{Kind: kind, Names: []string{name}}
	}
	region, early, late := took(scenario.Region, "fra"), Taken{0, at(0), at(400)}, Taken{1, at(60), at(240)}
	for name, c := range map[string]struct {
		taken []scenario.Taken
		seen  []Taken
		want  time.Time
	}{
		"an approver first":         {[]scenario.Taken{took(scenario.Approver, "ben"), region}, []Taken{early, late}, at(60)},
		"a channel first":           {[]scenario.Taken{took(scenario.Channel, "siem"), region}, []Taken{early, late}, at(60)},
		"the log first":             {[]scenario.Taken{took(scenario.Log, "decisions"), region}, []Taken{early, late}, at(60)},
		"names first":               {[]scenario.Taken{took(scenario.DNS, "all"), region}, []Taken{early, late}, at(0)},
		"an instrument first":       {[]scenario.Taken{took(scenario.Instrument, "CH"), region}, []Taken{early, late}, at(0)},
		"the path was not taken":    {[]scenario.Taken{took(scenario.Approver, "ben"), region}, []Taken{early}, time.Time{}},
		"the log and nothing else":  {[]scenario.Taken{took(scenario.Log, "decisions")}, []Taken{early}, at(0)},
		"people, and nothing else":  {[]scenario.Taken{took(scenario.Approver, "ben")}, []Taken{early}, at(0)},
		"a person named as a party": {[]scenario.Taken{took(scenario.Approver, "fra"), region}, []Taken{early, late}, at(60)},
	} {
		t.Run(name, func(t *testing.T) {
			p, s := play(t), good()
			p.Taken, s.Taken = c.taken, c.seen
			tl, f := Measure(p, s)
			if !tl.Injected.Equal(c.want) {
				t.Errorf("the fault was at %s, want %s", tl.Injected, c.want)
			}
			if wanted := at(62.5).Sub(at(60)).Seconds(); c.want.Equal(at(60)) && (f.RTO == nil || *f.RTO != wanted || *f.Detect != 9000) {
				t.Errorf("RTO %v, detected after %v", f.RTO, f.Detect)
			}
		})
	}
}

func TestQuantileIsTheNearestRank(t *testing.T) {
	var list []time.Duration
	for i := 1; i <= 100; i++ {
		list = append(list, time.Duration(i)*time.Millisecond)
	}
	for _, c := range []struct {
		n, percent int
		want       int64
	}{{0, 50, 0}, {1, 50, 1}, {1, 99, 1}, {2, 50, 1}, {4, 50, 2}, {100, 50, 50}, {100, 99, 99}, {100, 100, 100}} {
		if got := quantile(list[:c.n], c.percent); got != c.want {
			t.Errorf("%d %% of %d: %d, want %d", c.percent, c.n, got, c.want)
		}
	}
}

package cordon

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/measure"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/sovereign"
)

func replace(list ...string) func(string) string {
	return strings.NewReplacer(list...).Replace
}

// slower are calls further apart: what a scenario proves does not rest on how many there are.
var slower = []string{"each: 100ms, hold: 10s", "each: 1s, hold: 10s", "each: 2s, hold: 5s", "each: 4s, hold: 5s", "each: 5s, hold: 5s", "each: 15s, hold: 5s"}

// noticing is a node that notices slowness, which none does unless it is told to.
var noticing = []string{"\napi:", "\nhealth: {slow_rtt: 300ms}\napi:"}

func TestTheScenariosThatShipArePassed(t *testing.T) {
	for name, c := range map[string]struct {
		config []string
		figure func(f measure.Figures) bool // one that must be there
	}{
		"adequacy-struck":       {nil, func(f measure.Figures) bool { return *f.RTO < 10 && f.FalseVerdicts == 0 && f.Refused > 100 }},
		"approvers-unreachable": {nil, func(f measure.Figures) bool { return *f.Failback < 180_000 && f.QuorumSeconds == nil }},
		"carrier-loss":          {nil, func(f measure.Figures) bool { return *f.Detect > 0 && *f.Detect < 30_000 }},
		"log-unwritable":        {nil, func(f measure.Figures) bool { return f.SetupFailed > 0 && f.RecordsLost != nil && *f.RecordsLost == 0 }},
		"peak-load":             {nil, func(f measure.Figures) bool { return f.SetupFailed == 0 }},
		"region-loss":           {nil, func(f measure.Figures) bool { return *f.RTO < 10 && *f.Failback > 600_000 && f.MOSDuring > 4 }},
		"slow-brownout":         {noticing, func(f measure.Figures) bool { return *f.Detect > 5_000 }},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, replace(c.config...)(drillConfig), func(s *stageAt) {
				r := s.play(name, scenario.Simulation, replace(slower...))
				if r.Outcome != drill.Passed {
					t.Fatalf("%s: %s\n%s", r.Outcome, r.Cause, failedWords(r.Judgements))
				}
				if !c.figure(r.Figures) {
					t.Errorf("%+v", r.Figures)
				}
				if got := s.node.Router().Active()["line"].Party; got != "fra" {
					t.Errorf("the line is left on %s", got)
				}
				if n := s.count(audit.KindPolicyApplied); name == "adequacy-struck" && n != 3 { // the start, and the law of the drill and after
					t.Errorf("%d times another law was put on record", n)
				}
			})
		})
	}
}

// count is how many entries of a kind the log has.
func (s *stageAt) count(k audit.Kind) (n int) {
	s.t.Helper()
	err := eachEntry(s.node, func(e audit.Entry) {
		if e.Kind == k {
			n++
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func eachEntry(n *Node, f func(audit.Entry)) error {
	for from := uint64(0); from < n.log.Size(); {
		list, err := n.log.Entries(context.Background(), from, 256)
		if err != nil {
			return err
		}
		for _, e := range list {
			f(e)
			from = e.Seq + 1
		}
	}
	return nil
}

// short is the region loss of a node that goes back soon, so that a play is minutes.
var (
	shortNode = []string{"{party: iad}]}", "{party: iad}], failback: {after: 20s}}"}
	short     = []string{"within: 13m", "within: 2m", "after: 18m", "after: 6m", "for: 3m", "for: 2m30s", "until: 4m", "until: 3m30s"}
)

func with(lists ...[]string) []string { return slices.Concat(lists...) }

func TestEachJudgementFailsWhenWhatItJudgesBreaks(t *testing.T) {
	for name, c := range map[string]struct {
		config, play []string
		befall       func(s *stageAt) // at the start
		outcome      drill.Outcome
		fails        string // the judgements that do not hold, in their order, each once; "*": any; with a plus: these among others
	}{
		"nothing": {outcome: drill.Passed},
		"the secondary goes, too": {
			play:    []string{"expect:", "  - {what: {group: secondary}, how: blackhole, at: 1m, for: 2m30s}\nexpect:"},
			outcome: drill.Failed, fails: "switched answered carries failed",
		},
		"nobody probes often enough": {config: []string{"\napi:", "\nhealth: {fall: 40}\napi:"}, outcome: drill.Failed, fails: "detected decided"},
		"the line goes back by hand": {config: []string{"after: 20s", "manual: true"}, outcome: drill.Failed, fails: "fail_back"},
		"the secondary sounds bad": {
			befall:  func(s *stageAt) { s.behave("zrh", carrier.Behaviour{Loss: 0.15}) },
			outcome: drill.Failed, fails: "+mos",
		},
		"the secondary answers late": {befall: func(s *stageAt) { s.behave("zrh", carrier.Behaviour{AnswerAfter: 3500 * time.Millisecond}) }, outcome: drill.Failed, fails: "answered"},
		"a datagram leaks": {
			befall: func(s *stageAt) {
				s.node.drillSent = func(party string) uint64 {
					if party == "iad" && time.Since(s.began) > time.Minute {
						return 1
					}
					return 0
				}
			},
			outcome: drill.Failed, fails: "nothing_to",
		},
		"the primary is not to get anything":    {play: []string{"nothing_to: {party: forbidden}", "nothing_to: {party: primary}", "sandbox, canary, full", "sandbox, full"}, outcome: drill.Failed, fails: "nothing_to"},
		"a party that nobody touched goes down": {befall: func(s *stageAt) { s.behave("zrh", carrier.Behaviour{Dead: true}) }, outcome: drill.Aborted, fails: "*"},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, replace(c.config...)(replace(shortNode...)(drillConfig)), func(s *stageAt) {
				s.began = time.Now()
				if c.befall != nil {
					c.befall(s)
				}
				r := s.play("region-loss", scenario.Full, replace(with(c.play, short)...))
				var failed []string
				for _, j := range r.Judgements {
					if !j.Holds && !slices.Contains(failed, j.Word) {
						failed = append(failed, j.Word)
					}
				}
				if n := s.count(audit.KindIncidentOpened); n != 0 {
					t.Errorf("%d incidents were opened for an exercise", n)
				}
				among, some := strings.CutPrefix(c.fails, "+")
				if got := strings.Join(failed, " "); r.Outcome != c.outcome || c.fails != "*" && got != c.fails && !(some && strings.Contains(got, among)) {
					t.Errorf("%s %q, want %s %q\n%s\n%s", r.Outcome, got, c.outcome, c.fails, r.Cause, failedWords(r.Judgements))
				}
				if got := s.node.Router().Active()["line"].Party; got != "fra" {
					t.Errorf("the line is left on %s", got)
				}
			})
		})
	}
}

// held is a route that only people can open, who do.
const held = `drill: held
version: 1
title: People open what is held
class: gate_exercise_non_eea
authors: [cordon]
modes: [simulation]
calls:
  - {called: "+4969900100", each: 5s, hold: 5s}
take:
  - {what: {region: primary}, how: blackhole, at: 30s, for: 4m}
  - {what: {region: secondary}, how: blackhole, at: 30s, for: 6m} # longer, so that nothing lawful but the first choice is there to go back to
expect:
  - {held: {party: forbidden}}
  - {approved: {people: 2, opinion: true, within: 1m}}
  - {answered: {by: [forbidden], within: 3s}, from: 2m30s, until: 4m}
  - {refused: {party: forbidden}}
  - {told: {channel: duty, kind: failover.held, within: 1m}}
  - {fail_back: {within: 2m}}
  - {records_lost: {at_most: 0}}
end: {after: 7m}
`

func TestPeopleOpenWhatIsHeld(t *testing.T) {
	for name, c := range map[string]struct {
		change []string
		fails  string
	}{
		"all are there":      {nil, ""},
		"the officer is not": {[]string{"expect:", "  - {what: {approver: dpo}, how: away}\nexpect:"}, "approved answered"},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, drillConfig, func(s *stageAt) {
				s.officer = true
				r := s.playText("held", replace(c.change...)(held), scenario.Simulation)
				var failed []string
				for _, j := range r.Judgements {
					if !j.Holds {
						failed = append(failed, j.Word)
					}
				}
				if got := strings.Join(failed, " "); got != c.fails {
					t.Errorf("%q do not hold, want %q\n%s %s\n%s", got, c.fails, r.Outcome, r.Cause, failedWords(r.Judgements))
				}
			})
		})
	}
}

// Somebody who switches a route by hand is obeyed: the play ends, and does not put back what a person decided.
func TestAHandBeatsAPlay(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		time.AfterFunc(30*time.Second, func() {
			if _, err := s.node.Router().Switch(context.Background(), "fra", sovereign.Region{Provider: "aws", Code: "eu-central-2"}, "change 4711", "p-1"); err != nil {
				t.Error(err)
			}
		})
		r := s.play("region-loss", scenario.Full, nil)
		if r.Outcome != drill.Aborted || !strings.Contains(r.Cause, "somebody switched the route line") {
			t.Errorf("%s: %s", r.Outcome, r.Cause)
		}
		if got := s.node.Router().Active()["line"].Party; got != "zrh" {
			t.Errorf("the line is on %s: the play took back what a person decided", got)
		}
	})
}

// A play that people stop in the middle leaves everything as it was, in seconds: also where a route would wait for minutes, or for somebody.
func TestAStoppedPlayRestores(t *testing.T) {
	for name, c := range map[string]struct {
		config  []string
		dead    bool // the first choice is really gone by then
		outcome drill.Outcome
		says    string
	}{
		"a route that waits long":      {nil, false, drill.Aborted, "stopped by people: enough"},
		"a route that waits for hands": {[]string{"{party: iad}]}", "{party: iad}], failback: {manual: true}}"}, false, drill.Aborted, "stopped by people: enough"},
		"nothing to go back to":        {nil, true, drill.NotRestored, "route line uses zrh, and used fra: route line: fra cannot be used: still OPTIONS failed"},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, replace(c.config...)(drillConfig), func(s *stageAt) {
				stop := make(chan string, 1)
				time.AfterFunc(2*time.Minute, func() {
					if c.dead {
						s.behave("fra", carrier.Behaviour{Dead: true})
					}
					stop <- "enough"
				})
				s.stop = stop
				r := s.play("region-loss", scenario.Full, nil)
				if r.Outcome != c.outcome || !strings.Contains(r.Cause, c.says) {
					t.Errorf("%s: %q, want %s: %q", r.Outcome, r.Cause, c.outcome, c.says)
				}
				want := "fra"
				if c.dead {
					want = "zrh"
				} else if r.Figures.Restore == nil || *r.Figures.Restore > 3000 {
					t.Errorf("restored after %v", r.Figures.Restore)
				}
				if got := s.node.Router().Active()["line"].Party; got != want {
					t.Errorf("the line is on %s", got)
				}
			})
		})
	}
}

func TestWhatIsNeverPlayed(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		p, canary := s.bind("log-unwritable", nil), s.bind("srv-moved-abroad", nil)
		canary.Modes = append(canary.Modes, scenario.Canary)
		for name, ask := range map[string]drillAsk{
			"without a play":                {ID: "01J"},
			"without an id":                 {Play: p, Mode: scenario.Sandbox},
			"in a mode that is not its own": {ID: "01J", Play: p, Mode: scenario.Full},
			"as a sandbox, and it is none":  {ID: "01J", Play: p, Mode: scenario.Sandbox},
			"as a canary without an own":    {ID: "01J", Play: canary, Mode: scenario.Canary},
		} {
			if _, err := s.node.playDrill(t.Context(), ask, nil, nil); err == nil {
				t.Errorf("%s: it was played", name)
			}
		}
		s.node.playing.Store(true)
		if _, err := s.node.playDrill(t.Context(), drillAsk{ID: "01J", Play: p, Mode: scenario.Simulation}, nil, nil); err != errDrilling {
			t.Errorf("beside another: %v", err)
		}
		for _, m := range []scenario.Mode{scenario.Full, scenario.Sandbox} {
			h := s.node.hands(drillAsk{ID: "01J", Mode: m})
			if err := h.Take(t.Context(), p.Gone(time.Minute), time.Now().Add(drill.Lease)); err != errRealPeople {
				t.Errorf("%s: the log of production was taken: %v", m, err)
			}
		}
	})
}

// A node without anything forbidden shows a refusal all the same: at an address that nobody declared.
func TestNowhereIsRefused(t *testing.T) {
	onStage(t, replace(", {party: iad}", "", "  - {name: iad, region: aws:us-east-1, members: [{host: 10.40.0.10, port: 5060, transport: udp}], media: {security: plain}}\n", "")(drillConfig), func(s *stageAt) {
		r := s.play("region-loss", scenario.Full, func(text string) string {
			return text[:strings.Index(text, "take:")] + "expect:\n  - {refused: {party: forbidden}}\n  - {refused: {party: forbidden}, from: 20s}\nend: {after: 30s}\n"
		})
		if r.Outcome != drill.Passed || len(r.Seen.Refused) != 2 || r.Seen.Refused[0].Party != scenario.Nowhere {
			t.Errorf("%s %s %+v\n%s", r.Outcome, r.Cause, r.Seen.Refused, failedWords(r.Judgements))
		}
	})
}

func TestARecordThatIsMissingIsCounted(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		c := &drillCaller{edge: s.node.edge, refs: []string{"20261123-00000000000000000000000000000000"}}
		w, err := s.node.watch(context.Background(), drillAsk{ID: "01J", Play: s.bind("region-loss", nil)}, c)
		if err != nil {
			t.Fatal(err)
		}
		defer w.close()
		if r := w.records(w.first); !r.Verified || r.Lost() != 1 {
			t.Errorf("%+v: want one call without a receipt", r)
		}
	})
}

package cordon

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/scenario"
)

func replace(list ...string) func(string) string {
	return strings.NewReplacer(list...).Replace
}

func TestWhatIsNeverPlayed(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		p := s.bind("log-unwritable", nil)
		for name, ask := range map[string]drillAsk{
			"without a play":                {ID: "01J"},
			"without an id":                 {Play: p, Mode: scenario.Sandbox},
			"in a mode that is not its own": {ID: "01J", Play: p, Mode: scenario.Full},
			"as a sandbox, and it is none":  {ID: "01J", Play: p, Mode: scenario.Sandbox},
			"as a canary":                   {ID: "01J", Play: s.bind("region-loss", nil), Mode: scenario.Canary},
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

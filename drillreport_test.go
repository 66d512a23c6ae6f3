package cordon

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill/report"
	"github.com/cordonsip/cordon/drill/scenario"
)

// recorded writes into the log what is written of a drill that was played, and gives the entry that asked for it.
func (s *stageAt) recorded(id, log string, play func() drillPlayed) (from uint64) {
	s.t.Helper()
	put := func(ev audit.Event) uint64 {
		seq, err := s.node.log.Commit(s.t.Context(), ev)
		if err != nil {
			s.t.Fatal(err)
		}
		return seq
	}
	raw := func(v any) json.RawMessage {
		out, err := json.Marshal(v)
		if err != nil {
			s.t.Fatal(err)
		}
		return out
	}
	plan := audit.DrillPlan{Drill: id, Scenario: "region-loss", Version: 1, Mode: scenario.Full.Evidence(), Cast: map[string]string{"primary": "fra", "secondary": "zrh", "forbidden": "iad"}}
	from = put(audit.DrillRequested{DrillPlan: plan, Tester: "p-1"})
	put(audit.DrillStarted{DrillPlan: plan, Tester: "p-1"})
	p := play()
	put(audit.DrillEnded{
		Drill: id, Outcome: string(p.Outcome), Cause: p.Cause, Start: p.Seen.Start, End: p.Seen.End, Restored: p.Seen.Restored, First: p.First, Last: p.Last, Log: log,
		Judgements: raw(p.Judgements), Timeline: raw(p.Timeline), Measured: raw(p.Figures),
		Records: audit.DrillRecords{Acknowledged: p.Seen.Records.Acknowledged, Found: p.Seen.Records.Found, Verified: p.Seen.Records.Verified},
	})
	return from
}

// quiet is a scenario in which nothing is taken away: what a report says of the calls and the refusals of a real play is what matters here.
func quiet(text string) string {
	before, after, _ := strings.Cut(text, "take:")
	_, end, _ := strings.Cut(after, "end:")
	return before + "expect:\n  - {answered: {by: [primary], within: 3s}}\n  - {refused: {party: forbidden}}\n  - {records_lost: {at_most: 0}}\nend:" + strings.Replace(end, "18m", "1m", 1)
}

func TestAReportOfARealPlay(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		from := s.recorded("d1", "", func() drillPlayed { return s.play("region-loss", scenario.Full, quiet) })
		raw, err := s.node.drillReport(t.Context(), "d1", from, "json", false)
		if err != nil {
			t.Fatal(err)
		}
		var r report.Report
		if err := json.Unmarshal(raw, &r); err != nil {
			t.Fatal(err)
		}
		if m := r.Measured; r.Outcome != report.Passed || len(r.Criteria) != 3 || m.RecordsLost == nil || *m.RecordsLost != 0 || *m.Placed != 12 || *m.Refused == 0 {
			t.Errorf("%s %s\n%s", r.Outcome, r.Summary, failedWords(r.Criteria))
		}
		if res := r.Residency; res == nil || res.Violations != 0 || res.ByCountry["DE"] != 12 || res.ByCountry["US"] != 0 || len(r.Receipts) != 12 {
			t.Errorf("where calls went: %+v, %d receipts", res, len(r.Receipts))
		}
		if len(r.Integrity) != 3 {
			t.Errorf("checks: %+v", r.Integrity)
		}
		for _, c := range r.Integrity {
			if !c.Holds {
				t.Errorf("%s %s", c.What, c.Found)
			}
		}
		for format, begins := range map[string]string{"html": "<!doctype html>", "pdf": "%PDF-"} {
			if page, err := s.node.drillReport(t.Context(), "d1", from, format, false); err != nil || !strings.HasPrefix(string(page), begins) {
				t.Errorf("%s: %.20q %v", format, page, err)
			}
		}
		if _, err := s.node.drillReport(t.Context(), "d1", from, "doc", false); err == nil {
			t.Error("a form that there is not")
		}
		if _, err := s.node.drillReport(t.Context(), "d2", 0, "json", false); !errors.Is(err, report.ErrNone) {
			t.Errorf("a drill that never was: %v", err)
		}
	})
}

// The log of a sandbox whose folder is gone is missing in the report, and not taken for an empty one.
func TestAReportOfASandbox(t *testing.T) {
	onStage(t, drillConfig, func(s *stageAt) {
		gone := filepath.Join(t.TempDir(), "gone")
		from := s.recorded("d1", gone, func() drillPlayed { return drillPlayed{} })
		raw, err := s.node.drillReport(t.Context(), "d1", from, "json", false)
		if err != nil {
			t.Fatal(err)
		}
		var r report.Report
		if err := json.Unmarshal(raw, &r); err != nil || r.Residency != nil || r.Played == nil || string(r.Played.Where) != gone {
			t.Errorf("%v %+v %+v", err, r.Residency, r.Played)
		}
	})
}

// sandboxed is a drill that ended, whose play has a log of its own at dir, as the entries of the node's log tell it.
func sandboxed(t *testing.T, dir string, sealed []byte) *report.Builder {
	t.Helper()
	b := report.New("d1")
	for seq, ev := range []audit.Event{audit.DrillRequested{DrillPlan: audit.DrillPlan{Drill: "d1"}}, audit.DrillStarted{DrillPlan: audit.DrillPlan{Drill: "d1"}}, audit.DrillEnded{Drill: "d1", Outcome: "passed", Log: dir, Checkpoint: string(sealed)}} {
		body, err := json.Marshal(ev)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Add(audit.Entry{Kind: ev.Kind(), Body: body, Seq: uint64(seq)}); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// ofASandbox is a log with one receipt in it, in a folder of its own.
func ofASandbox(t *testing.T, seed byte) (dir string, checkpoint []byte) {
	t.Helper()
	dir = t.TempDir()
	l, _, err := audit.Open(t.Context(), audit.Config{Dir: filepath.Join(dir, "log"), Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32)), Origin: "cordon/bank-1/sandbox", Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Commit(t.Context(), audit.Receipt{CallRef: string(seed), Purpose: "drill", Overall: "compliant"}); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "log.vkey"), []byte(l.VerifierKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if checkpoint, err = os.ReadFile(filepath.Join(dir, "log", "checkpoint")); err != nil {
		t.Fatal(err)
	}
	return dir, checkpoint
}

func TestTheLogOfASandboxIsVerifiedBeforeItIsRead(t *testing.T) {
	dir, sealed := ofASandbox(t, '1')
	rewritten, _ := ofASandbox(t, '2')
	n := &Node{}
	b := sandboxed(t, dir, sealed)
	cover, err := n.playedApart(t.Context(), b)
	if err != nil || cover == nil || cover.Size != 1 || cover.Checkpoint == "" {
		t.Fatalf("%+v %v", cover, err)
	}
	if r, err := b.Report(report.Input{Played: cover}); err != nil || r.Residency.Total != 1 || len(r.Receipts) != 1 || r.Played.Last != 0 {
		t.Errorf("%+v %v", r, err)
	}
	if _, err := n.playedApart(t.Context(), sandboxed(t, rewritten, sealed)); !errors.Is(err, audit.ErrNotHeld) {
		t.Errorf("a log that holds and is another one: %v", err)
	}
	if _, err := n.playedApart(t.Context(), sandboxed(t, rewritten, nil)); err != nil {
		t.Errorf("an end from before there were seals: %v", err)
	}
	sealed[len(sealed)/2] ^= 1
	if err := os.WriteFile(filepath.Join(dir, "log", "checkpoint"), sealed, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.playedApart(t.Context(), sandboxed(t, dir, nil)); err == nil || !strings.Contains(err.Error(), "does not hold") {
		t.Errorf("a log that somebody changed: %v", err)
	}
}

// The text of a scenario stands in the log once, in front of the first drill that plays it: of a later one the report has it all the same.
func TestAReportQuotesTheTextOfBefore(t *testing.T) {
	text, _ := drills.Text("region-loss")
	text = append(bytes.Replace(text, []byte("drill: region-loss"), []byte("drill: ours"), 1), "function: {name: Service line, critical: true, rto: 4h, bia: BIA-7}\n"...)
	s, probs := scenario.Read("ours", text)
	if len(probs) > 0 {
		t.Fatal(probs)
	}
	of := &configs.DrillsPart{Own: map[string]configs.OwnScenario{"ours": {Scenario: s, Text: text}}}
	if list := scenarioTexts(of); len(list) != len(drills.Names())+1 || !slices.ContainsFunc(list, func(b []byte) bool { return bytes.Equal(b, text) }) {
		t.Errorf("%d texts", len(list))
	}
}

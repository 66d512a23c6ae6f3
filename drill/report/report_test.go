package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	logreport "github.com/cordonsip/cordon/audit/report"
	"github.com/cordonsip/cordon/drill/measure"
)

var update = flag.Bool("update", false, "write the golden files anew")

var start = time.Date(2026, 11, 21, 21, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return start.Add(time.Duration(s * float64(time.Second))) }

// region is the loss of a region in production, with everything recorded, before Complete.
func region() *Report {
	detect, decide, failback, restore := int64(9_000), int64(9_100), int64(30_500), int64(30_300)
	signed := Hand{How: "signature", Key: "k-0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f", Holds: ptr(true)}
	r := &Report{
		Tenant: "bank-1", Entity: "Bank One AG", LEI: "529900T8BM49AURSDO55", Node: "edge-1", Software: "cordon 1.9.0", Policy: Text(strings.Repeat("5e", 32)), Facts: Text(strings.Repeat("fa", 32)),
		Made: At(at(86_400)), ID: "01KAK8Q4T0000000000000DR01",
		Plan:     Plan{"region-loss", ptr(1), Text(strings.Repeat("ab", 32)), []Text{"carol"}, At(at(-7200)), "BIA-2026-4"},
		Function: Function{"F-17", "Telephone service line", ptr(true), ptr(4.0), ptr(0.0)}, Scenario: "primary_region_loss", Mode: "production_window",
		Testers:      []Tester{{"bob", "Internal audit", []Text{"design", "operation"}, "neither an author of the scenario nor of the configuration"}},
		ThirdParties: []ThirdParty{{"Carrier GmbH", "5299009QN2QPJPZU2Q32", "carrier"}, {"Cloud Contact Ltd", "549300MLUDYVRQOOXS22", "contact_centre"}},
		Window: Window{
			At(at(-3600)),
			[]Notice{{"siem", "before", At(at(-900)), ""}, {"ops-mail", "before", At(at(-900)), ""}, {"ops-mail", "after", At(at(481)), ""}},
			At(start), At(at(480)),
			"3 calls now, 4 at this hour in the four weeks before",
		},
		Guardrails: Guardrails{ptr(2.0), nil, []Text{"production fails 5% more than before for 3s", "production sounds worse than 3.50 for 3s", "the node is busier than 85% for 3s"}, ptr(false), ""},
		Residency: &Residency{
			Total: 240, ByCountry: map[string]uint64{"DE": 240, "CH": 105}, Purposes: map[string]uint64{"drill": 238, "production": 2},
			Countries: []logreport.Country{{Country: "CH", Calls: 105, Signalling: 105, Media: 105}, {Country: "DE", Calls: 240, Signalling: 240, Media: 240}, {Country: "US", Refused: 7}},
		},
		Governance: Governance{Acked: ptr(2), Acks: []Ack{{"carol", "before", At(at(-600))}, {"dina", "after", At(at(900))}}}, Sufficient: &Sufficient{"edge-zrh", ptr(208.0), "edge-zrh for 2m0s", ptr(true)},
		Integrity: []Check{{"what was acknowledged to its writers stands in the verified log", true, "1912 of 1912"}, {"the log has no gap in the play", true, "0 gaps"}},
		Reported:  Reported{Date: At(at(9 * 86_400)), Minutes: "MB 2026/11, 7.2", By: "bob", At: At(at(9*86_400 + 60)), Hand: Hand{How: "session"}},
		SignOff: []Signature{
			{Person: "bob", Role: "requested", Word: "requested", At: At(at(-7300))},
			{Person: "carol", Role: "approved", Word: "approved", At: At(at(-7200))},
			{Person: "bob", Role: "operator", Word: "cleaned_up", At: At(at(700)), Reason: "looked at it", Hand: signed},
			{Person: "dina", Role: "ciso", Word: "signed_off", Verdict: "accept", At: At(at(7000)), Reason: "read, with its receipts", Hand: signed},
		},
		Artefacts: []Artefact{{"scenario", "region-loss", Text(strings.Repeat("ab", 32))}, {"receipts", "240 ids, one on a line", Text(strings.Repeat("0c", 32))}},
		Outcome:   Passed, Restored: At(at(270.3)), Title: "The region of the first choice is gone",
		About: "Everything in the region of the first choice goes silent at once.\nThe next permitted region must carry the line.",
		Parts: []Part{{"carrier", "carrier-1"}, {"primary", "edge-fra"}, {"secondary", "edge-zrh"}, {"forbidden", "edge-iad"}},
		Steps: []Step{
			{At(start), "began", ""},
			{At(at(60)), "taken", "region [edge-fra]: blackhole"},
			{At(at(240)), "given_back", "region [edge-fra]: blackhole"},
			{At(at(480)), "restoring", ""},
			{At(at(480.002)), "restored", "since 21:04:30.300, 30.3s after the last giving back"},
		},
		Guards:    []Guard{{"window", true, "saturday-night, 20:00 to 23:00 Europe/Berlin"}, {"open_incidents", true, "none"}, {"independent_tester", true, "bob wrote neither"}},
		Datagrams: map[string]uint64{"edge-fra": 912, "edge-iad": 0, "edge-zrh": 2210},
		Cleanup:   Cleanup{At(at(700)), "bob", []Text{"nothing is taken away any more", "every route is on its first choice"}, signed},
		Log: Cover{Cover: logreport.Cover{
			Origin: "cordon/bank-1/edge-1", Size: 9000, Root: "LPmQbgJHs2pg9tTTIgHgcQNz6nRXXfU0W4NDqZbBxhA=", Checkpoint: "cordon/bank-1/edge-1\n9000\nLPmQbgJHs2pg9tTTIgHgcQNz6nRXXfU0W4NDqZbBxhA=\n\n\u2014 cordon/bank-1/edge-1 c2lnbmF0dXJl\n",
		}, First: 5000, Last: 6911},
		Receipts: []string{"01KAK8Q4T0000000000000RC01"},
		Records:  []RecordRef{{4990, "drill.requested", "01KAK8Q4T0000000000000EN01", At(at(-7300))}, {5000, "drill.started", "01KAK8Q4T0000000000000EN02", At(start)}, {6912, "drill.ended", "01KAK8Q4T0000000000000EN03", At(at(481))}},
	}
	r.From([]measure.Judgement{
		{Index: 0, Word: "answered", Holds: true, Wanted: "each call answered by edge-fra within 3s", Measured: "30 of 30, the slowest after 1s"},
		{Index: 1, Word: "detected", Holds: true, Wanted: "within 30s", Measured: "9s"},
		{Index: 2, Word: "switched", Holds: true, Wanted: "within 10s", Measured: "2.5s"},
		{Index: 3, Word: "carries", Holds: true, Wanted: "edge-zrh for 2m0s", Measured: "3m28s"},
		{Index: 4, Word: "refused", Holds: true, Wanted: "edge-iad asked for and refused", Measured: "7 refusals on record"},
		{Index: 5, Word: "records_lost", Holds: true, Wanted: "at most 0 lost", Measured: "0 of 1912"},
	}, measure.Timeline{Injected: at(60), Detected: at(69), Decided: at(69.1), Switched: at(69.1), FirstCall: at(62.5), Steady: at(60), FailbackStart: at(240), FailbackDone: at(270.5)},
		measure.Figures{
			Detect: &detect, Decide: &decide, Switch: &decide, RTO: ptr(2.5), Failback: &failback, Restore: &restore, InProgress: 10, Preserved: 10, Placed: 239, MOSBefore: 4.32, MOSDuring: 4.28, GapP50: 20, GapP99: 60,
			RecordsLost: ptr(uint64(0)), Refused: 7,
		})
	return r
}

// samples are drills that ended in each way, complete.
func samples() map[string]*Report {
	passed := region()

	failed := region()
	failed.Outcome, failed.Mode, failed.Function.RTO, failed.Plan.ApprovedBy, failed.Plan.ApprovedAt, failed.Window.Basis = Failed, "sandbox", nil, nil, Moment{}, ""
	failed.Criteria[2] = measure.Judgement{Index: 2, Word: "switched", Wanted: "within 10s", Measured: "22.5s"}
	failed.Measured.RTO, failed.Timeline.FirstCall, failed.Measured.Dropped, failed.Measured.Preserved = ptr(22.5), At(at(82.5)), ptr(3), ptr(7)
	failed.Timeline.Steady = At(at(82))
	failed.Deficiencies = []Deficiency{
		{"D-1", "high", "The edge tries the silent region for too long before it goes on", "dave", At(at(30 * 86_400)), Moment{}, At(at(60 * 86_400)), ""},
		{"D-2", "low", "The mail of the warning names no number to call", "erin", At(at(10 * 86_400)), At(at(5 * 86_400)), Moment{}, "01KAK8Q4T0000000000000DR02"},
	}
	failed.Played = &Cover{Cover: failed.Log.Cover, Where: "drills/01KAK8Q4T0000000000000DR01/log", First: 3, Last: 1800}
	failed.Played.Origin, failed.Played.Size, failed.Reported, failed.Governance.Acked = "cordon/bank-1/edge-1/sandbox", 1801, Reported{}, nil
	failed.Governance.Acks, failed.Cleanup.Hand = nil, Hand{How: "session"}
	failed.SignOff[2].Hand, failed.SignOff[3] = failed.Cleanup.Hand, Signature{Person: "dina", Role: "ciso", Word: "signed_off", Verdict: "accept_with_deficiencies", At: At(at(7000)), Reason: "mended by then", Hand: failed.Cleanup.Hand}
	failed.Played.Checkpoint = strings.ReplaceAll(strings.ReplaceAll(failed.Log.Checkpoint, "edge-1", "edge-1/sandbox"), "9000", "1801")

	aborted := region()
	aborted.Outcome, aborted.Cause, aborted.Mode = Aborted, "7.0% of the calls of production fail beyond what failed before, more than 5%, for 3s", "canary_percent"
	aborted.Guardrails.MaxCanary, aborted.Guardrails.Aborted, aborted.Guardrails.Cause = ptr(2.0), ptr(true), aborted.Cause
	aborted.Window.End, aborted.Restored, aborted.Cleanup, aborted.Reported = At(at(66)), At(at(66.09)), Cleanup{}, Reported{}
	aborted.SignOff = aborted.SignOff[:2]
	aborted.From([]measure.Judgement{{Word: "detected", Wanted: "within 30s", Measured: "never seen"}}, measure.Timeline{Injected: at(60), FailbackStart: at(66)},
		measure.Figures{Restore: ptr(int64(90)), Placed: 33, InProgress: 10, Dropped: 1, Preserved: 9})
	aborted.Steps = []Step{{At(at(60)), "taken", "region [edge-fra]: blackhole"}, {At(at(66)), "given_back", "region [edge-fra]: blackhole"}, {At(at(66.09)), "restored", "90ms after the order to end"}}
	aborted.Sufficient = nil

	stuck := region()
	stuck.Outcome, stuck.Cause, stuck.Measured.Restore, stuck.Restored = NotRestored, "route service-line is on edge-zrh, and was on edge-fra", nil, Moment{}
	stuck.Timeline.FailbackDone, stuck.Measured.Failback = Moment{}, nil
	stuck.Steps[4] = Step{At(at(490)), "not_restored", stuck.Cause}
	stuck.SignOff[3].Verdict, stuck.SignOff[3].Hand = "reject", Hand{How: "signature", Key: stuck.Cleanup.Key, Holds: ptr(false), Why: "signed by k-0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f, the key of carol"}
	stuck.Residency.Violations, stuck.Residency.Calls = 1, []string{"20261121-a40e70d2"}

	out := map[string]*Report{"passed": passed, "failed": failed, "aborted": aborted, "not_restored": stuck, "crashed": {
		ID: "01KAK8Q4T0000000000000DR03", Outcome: Aborted, Cause: "the node ended in the middle of it", Made: At(at(900)), Node: "edge-1", Mode: "sandbox", Restored: At(at(890)),
	}}
	for _, r := range out {
		r.Complete()
	}
	return out
}

// golden holds what was made against a file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is another one; look at it, then go test ./drill/report -update", name)
	}
}

func TestGolden(t *testing.T) {
	for name, r := range samples() {
		var text bytes.Buffer
		if err := r.Page().Text(&text); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".txt", text.Bytes())
		raw, err := r.JSON()
		if err != nil {
			t.Fatal(err)
		}
		if name == "passed" || name == "crashed" {
			golden(t, name+".json", raw)
		}
		var back Report
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatal(err)
		}
		if again, err := back.JSON(); err != nil || !bytes.Equal(again, raw) {
			t.Errorf("%s: what was read back is another report: %v", name, err)
		}
		paper, err := r.PDF()
		if err != nil {
			t.Fatal(err)
		}
		if again, _ := r.PDF(); !bytes.Equal(again, paper) || !bytes.HasPrefix(paper, []byte("%PDF-")) {
			t.Errorf("%s: the same report gives another file, or none", name)
		}
		web, err := r.HTML()
		if err != nil {
			t.Fatal(err)
		}
		if name == "passed" || name == "not_restored" {
			golden(t, name+".html", web)
		}
		if dir := os.Getenv("CORDON_LOOK"); dir != "" { // to look at
			for ending, data := range map[string][]byte{".pdf": paper, ".html": web} {
				if err := os.WriteFile(filepath.Join(dir, name+ending), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// register is the fields of drill_report in the register of evidence, word for word.
var register = map[string][]string{
	"drill_id": nil, "scenario": nil, "mode": nil,
	"plan":                         {"id", "version", "sha256", "approved_by", "approved_at", "bia_ref"},
	"function":                     {"roi_function_id", "name", "critical_or_important", "rto_hours", "rpo_hours"},
	"testers":                      {"name", "unit", "independent_of"},
	"third_parties_involved":       {"name", "lei", "role"},
	"window":                       {"announced_at", "pre_alert_receipts", "start", "end", "low_volume_basis"},
	"guardrails":                   {"throttle_cps", "max_canary_pct", "abort_conditions", "aborted", "abort_cause"},
	"hypothesis_and_pass_criteria": nil,
	"timeline":                     {"fault_injected", "detected", "decided", "switched", "first_call_ok", "steady_state", "failback_start", "failback_done"},
	"measured": {
		"detect_ms", "switch_ms", "rto_measured_s", "calls_in_progress", "calls_dropped", "calls_preserved", "setup_fail_pct", "mos_before", "mos_during", "media_gap_ms_p50_p99", "rpo_records_lost",
	},
	"residency_result":            {"receipts_total", "by_country", "violations", "refused_by_policy", "indeterminate"},
	"governance_exercised":        {"gate_quorum_time_s", "dpo_opinion_time_s", "notifications_acked"},
	"sufficient_period":           nil,
	"integrity_checks":            nil,
	"deficiencies":                {"id", "severity", "owner", "due", "fixed_at", "retest_drill_id"},
	"reported_to_management_body": {"date", "minutes_ref"},
	"sign_off":                    {"person", "role", "at"},
	"artefacts":                   nil,
}

func TestEachFieldOfTheRegisterIsThere(t *testing.T) {
	for _, name := range []string{"failed", "crashed"} {
		raw, err := samples()[name].JSON()
		if err != nil {
			t.Fatal(err)
		}
		var doc map[string]any
		if err := json.Unmarshal(raw, &doc); err != nil {
			t.Fatal(err)
		}
		for field, inner := range register {
			value, ok := doc[field]
			if !ok {
				t.Errorf("%s: %s is left out", name, field)
			}
			if list, ok := value.([]any); ok && len(list) > 0 {
				value = list[0]
			}
			one, ok := value.(map[string]any)
			for _, name := range inner {
				if _, there := one[name]; ok && !there {
					t.Errorf("%s.%s is left out", field, name)
				}
			}
		}
	}
}

// walk gives the dotted names of all values that nobody filled.
func walk(prefix string, v any, visit func(string)) {
	switch v := v.(type) {
	case nil:
		visit(prefix)
	case []any:
		if len(v) == 0 {
			visit(prefix)
		}
		for _, one := range v {
			walk(prefix, one, visit)
		}
	case map[string]any:
		for name, one := range v {
			walk(strings.TrimPrefix(prefix+"."+name, "."), one, visit)
		}
	}
}

// A field of the register that is null or empty is among the missing, it or what it is a part of.
func TestWhatNobodyFilledIsListed(t *testing.T) {
	raw, err := samples()["crashed"].JSON()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	var listed []string
	for _, m := range doc["missing"].([]any) {
		listed = append(listed, m.(map[string]any)["field"].(string))
	}
	walk("", doc, func(name string) {
		first, rest, nested := strings.Cut(name, ".")
		inner, known := register[first]
		if !known || nested && !slices.Contains(inner, rest) || name == "guardrails.abort_cause" { // an abort without a cause is none
			return
		}
		if !slices.Contains(listed, name) && !slices.Contains(listed, first) {
			t.Errorf("%s is empty, and not among the missing", name)
		}
	})
	if n := len(samples()["passed"].Missing); n > 4 {
		t.Errorf("of a drill with everything recorded %d are missing: %+v", n, samples()["passed"].Missing)
	}
}

func TestTheFirstScreenSaysWhatCame(t *testing.T) {
	for name, want := range map[string][]string{
		"passed":       {"Passed. 6 of 6 expectations hold; calls were answered by edge-zrh 2.5 s after the fault; no call was lost; what is forbidden was refused 7 times; everything was as before 30.3 s after the last giving back.", "2.5 s of 4 h"},
		"failed":       {"FAILED. 5 of 6 expectations hold", "3 calls were lost", "22.5 s (target not recorded)", "2, 1 open"},
		"aborted":      {"ABORTED. The drill was stopped: 7.0% of the calls", "1 call was lost", "nothing forbidden was shown refused", "no recovery seen (target 4 h)"},
		"not_restored": {"NOT RESTORED. Not everything is as it was before the drill: route service-line is on edge-zrh, and was on edge-fra;"},
		"crashed":      {"ABORTED. The drill was stopped: the node ended in the middle of it; nothing was judged; everything was as before at 2026-11-21 21:14:50 UTC."},
	} {
		var text bytes.Buffer
		if err := samples()[name].Page().Text(&text); err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(text.String(), "\nCOURSE\n")
		for _, w := range want {
			if !strings.Contains(first, w) {
				t.Errorf("%s: the first screen does not say %q:\n%s", name, w, first)
			}
		}
	}
}

func TestTheLawIsShownOrNot(t *testing.T) {
	for _, c := range []struct{ sample, law, want string }{
		{"passed", "DORA Art. 11(6)(a)", shown},
		{"failed", "DORA Art. 11(6)(a)", notShown},
		{"failed", "DORA Art. 12(2)", partly},
		{"passed", "DORA Art. 12(2)", shown},
		{"not_restored", "DORA Art. 12(2)", notShown},
		{"aborted", "DORA Art. 12(2)", partly},
		{"passed", "DORA Art. 24(4)", shown},
		{"crashed", "DORA Art. 24(4)", notShown},
		{"failed", "DORA Art. 24(5)", partly},
		{"aborted", "DORA Art. 24(5)", notShown},
		{"passed", "DORA Art. 26", notPart},
		{"passed", "RTS (EU) 2024/1774 Art. 25(2)(c)", shown},
		{"failed", "RTS (EU) 2024/1774 Art. 25(2)(c)", partly},
		{"aborted", "RTS (EU) 2024/1774 Art. 25(2)(c)", notShown},
		{"failed", "RTS (EU) 2024/1774 Art. 25(5)", partly},
		{"passed", "RTS (EU) 2024/1774 Art. 26(2)", shown},
	} {
		r := samples()[c.sample]
		i := slices.IndexFunc(r.Articles, func(a Article) bool { return a.Law == c.law })
		if i < 0 || r.Articles[i].Shown != c.want {
			t.Errorf("%s, %s: %+v, want %s", c.sample, c.law, r.Articles, c.want)
		}
	}
}

// What nobody saw shows no article: calls without a receipt, and a return that is not on record.
func TestTheLawIsNotShownByNothing(t *testing.T) {
	r := region()
	r.Residency, r.Restored, r.Measured.Restore = &Residency{}, Moment{}, nil
	r.Complete()
	for law, want := range map[string]string{"DORA Art. 12(2)": notShown, "RTS (EU) 2024/1774 Art. 25(2)(c)": partly} {
		if i := slices.IndexFunc(r.Articles, func(a Article) bool { return a.Law == law }); i < 0 || r.Articles[i].Shown != want {
			t.Errorf("%s: %+v", law, r.Articles[max(i, 0)])
		}
	}
}

// What a checkpoint does not cover is said, and not taken for covered.
func TestCovered(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Report)
		want   bool
	}{
		"as it is":                       {func(*Report) {}, true},
		"a later entry of the drill":     {func(r *Report) { r.Log.Size = r.Records[2].Seq }, false},
		"no checkpoint":                  {func(r *Report) { r.Log.Checkpoint = "" }, false},
		"the sandbox's log is shorter":   {func(r *Report) { r.Played = &Cover{Cover: r.Log.Cover, Last: r.Log.Size} }, false},
		"the sandbox's log is all there": {func(r *Report) { r.Played = &Cover{Cover: r.Log.Cover, Last: r.Log.Size - 1} }, true},
	} {
		r := region()
		c.change(r)
		r.Complete()
		missing := slices.ContainsFunc(r.Missing, func(m Missing) bool { return m.Field == "log.checkpoint" })
		if r.covered() != c.want || missing == c.want {
			t.Errorf("%s: covered %v, among the missing %v", name, r.covered(), missing)
		}
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 350 * time.Millisecond: "350 ms", 2500 * time.Millisecond: "2.5 s", time.Minute: "1 min", 125 * time.Second: "2 min 5 s", 4 * time.Hour: "4 h", 190 * time.Minute: "3 h 10 min", -time.Second: "-1 s",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

// Nothing of a report is left at its zero value in the sample that all pages are looked at with, but for what is said to be.
func TestTheSampleIsWhole(t *testing.T) {
	v := reflect.ValueOf(*samples()["passed"])
	for k := range v.NumField() {
		name := v.Type().Field(k).Name
		if v.Field(k).IsZero() && !slices.Contains([]string{"Cause", "Played"}, name) {
			t.Errorf("%s is empty", name)
		}
	}
}

// The same report is the same bytes, whatever was never given back, and however many things.
func TestTheSameReportIsTheSameBytes(t *testing.T) {
	made := func() string {
		r := region()
		r.Steps = nil
		for i, what := range []Text{"a", "b", "c", "d", "e"} {
			r.Steps = append(r.Steps, Step{At(at(float64(60 + 20*i))), "taken", what})
		}
		r.Complete()
		page, err := r.HTML()
		if err != nil {
			t.Fatal(err)
		}
		return string(page)
	}
	first := made()
	for range 20 {
		if made() != first {
			t.Fatal("it is written in another order")
		}
	}
}

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/register"
)

// drillDoor answers as a node would that plays one drill: it is running when it is first looked at, and over at the second look.
type drillDoor struct {
	asked   []string
	looks   int
	outcome string
}

func (d *drillDoor) view() admin.DrillView {
	at := time.Date(2026, 11, 22, 2, 0, 0, 0, time.UTC)
	v := admin.DrillView{People: map[string]string{"p-1": "olga", "p-2": "ben"}}
	v.Request = audit.DrillRequested{
		DrillPlan: audit.DrillPlan{Drill: "d1", Scenario: "region-loss", Version: 1, Mode: "production_window", Route: "line"},
		Tester:    "p-1", Reason: "yearly", Wanted: 1, Expires: at.Add(time.Hour),
	}
	v.Asked, v.State = at, register.Waiting
	v.Steps = []audit.DrillStep{{Drill: "d1", At: at, Word: "taken", What: "group fra: blackhole"}}
	if d.looks++; d.looks < 2 {
		return v
	}
	v.Words = []register.Word{{DrillApproved: audit.DrillApproved{By: "p-2", Reason: "read"}, At: at}}
	v.State = register.Ended
	v.Steps = append(v.Steps, audit.DrillStep{Drill: "d1", At: at.Add(time.Minute), Word: "given_back", What: "group fra: blackhole"})
	v.Ended = &audit.DrillEnded{
		Outcome: d.outcome, Cause: map[string]string{"aborted": "stopped by people: enough"}[d.outcome], End: at.Add(time.Minute), Restored: at.Add(61 * time.Second),
		Judgements: json.RawMessage(`[{"index":0,"word":"switched","holds":false,"wanted":"within 10s","measured":"never"}]`),
		Measured:   json.RawMessage(`{"rto_measured_s":7.25,"calls_placed":30,"forbidden_refused":2,"restore_ms":1000}`),
	}
	switch d.outcome {
	case "not_restored":
		v.Ended.Restored = time.Time{}
	case "passed":
		v.Ended.Measured = json.RawMessage(`{"rto_measured_s":7.25,"calls_placed":30,"forbidden_refused":2,"restore_ms":1000,"rpo_records_lost":3}`)
	}
	return v
}

func (d *drillDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, _ := io.ReadAll(r.Body) // what is cut off is not what is wanted, and told so
	d.asked = append(d.asked, fmt.Sprintf("%s %s %s", r.Method, r.URL.RequestURI(), b))
	var out any
	switch r.URL.Path {
	case drillsPath:
		out = d.view()
		if r.Method == "GET" {
			v := d.view()
			out = admin.DrillList{DrillStanding: admin.DrillStanding{Running: "d1", Why: "storm"}, Drills: []register.Drill{v.Drill}, People: v.People}
		}
	case drillsPath + "/plan":
		out = admin.DrillPlan{
			DrillPlan: audit.DrillPlan{Scenario: "region-loss", Cast: map[string]string{"primary": "fra"}}, Moments: []admin.DrillMoment{{At: 60, Gone: []string{"group fra: blackhole"}}},
			Guards: []audit.DrillGuard{{Name: "window", Why: "none is open"}}, Allowed: d.outcome == "passed",
		}
	case drillsPath + "/lever":
		out = admin.DrillStanding{Why: "storm", Running: "d1"}
	case drillsPath + "/d1/report":
		fmt.Fprint(w, "the report")
		return
	case drillsPath + "/deficiencies", drillsPath + "/d1/deficiencies":
		out = admin.DrillDefects{Deficiencies: []register.Defect{{DrillDeficiency: audit.DrillDeficiency{ID: "f1", Drill: "d1", Title: "slow", Owner: "p-2"}}}, People: map[string]string{"p-2": "ben"}}
	default:
		out = d.view()
	}
	_ = json.NewEncoder(w).Encode(out) // who has gone reads nothing
}

func TestDrillsByCommands(t *testing.T) {
	t.Setenv("CORDON_TOKEN", "x")
	file := filepath.Join(t.TempDir(), "report.html")
	for _, c := range []struct {
		outcome string
		code    int
		asked   string // of the last request
		says    []string
		args    []string
	}{
		{"passed", 0, `POST /api/v1/drills/plan {"scenario":"region-loss","mode":"full","reason":""}`, []string{"primary    fra", "1m0s  group fra: blackhole", "FAILS  window: none is open"}, []string{"plan", "region-loss", "--mode=full"}},
		{"failed", 1, "", []string{"hint: the guards"}, []string{"plan", "region-loss", "--json"}},
		{"", 1, "", []string{"--share and --calls mean nothing with --mode=full"}, []string{"plan", "region-loss", "--mode=full", "--share=5%"}},
		{"", 1, "", []string{"is no moment"}, []string{"plan", "region-loss", "--begins=soon"}},
		{"passed", 0, `POST /api/v1/drills {"scenario":"region-loss","mode":"canary","share":"2.5%","calls_cap":4,"begins":"2026-11-29T02:00:00Z","reason":"yearly"}`, []string{"d1  region-loss version 1", "(olga): yearly", "waits for  1 of 1 people"}, []string{"start", "region-loss", "--mode=canary", "--share=2.5%", "--calls=4", "--begins=2026-11-29T02:00:00Z", "--reason=yearly"}},
		{"", 2, "", nil, []string{"start", "region-loss"}},
		{"passed", 0, "GET /api/v1/drills/d1 ", []string{"taken         group fra: blackhole", "given_back    group fra", "RTO 7.2 s; 30 calls placed", "; 3 records lost", "as before 1s after the order to end", "d1  PASSED"}, []string{"start", "region-loss", "--reason=x", "--watch"}},
		{"failed", 1, "GET /api/v1/drills/d1 ", []string{"switched", "NO", "never", "nobody knows whether records are lost", "the drill failed: not everything", "hint: cordon drill report d1"}, []string{"watch"}},
		{"aborted", 1, "GET /api/v1/drills/d1 ", []string{"waiting", "the drill aborted: stopped by people: enough"}, []string{"watch", "d1"}},
		{"not_restored", 1, "", []string{"NOT RESTORED"}, []string{"watch", "d1"}},
		{"passed", 0, `POST /api/v1/drills/d1/approve {"reason":"read"}`, nil, []string{"approve", "d1", "--reason=read"}},
		{"passed", 0, `POST /api/v1/drills/d1/stop {"reason":"harm"}`, []string{"PASSED, not cleaned up, not signed off"}, []string{"stop", "--reason=harm"}},
		{"passed", 0, `POST /api/v1/drills/d1/cleanup {"reason":"looked"}`, nil, []string{"cleanup", "d1", "--reason=looked"}},
		{"passed", 0, "GET /api/v1/drills/d1/report?format=html ", []string{"SHA-256 "}, []string{"report", "d1", "--format=html", "--out=" + file}},
		{"passed", 0, "GET /api/v1/drills/d1/report?format=json&names=true ", []string{"the report"}, []string{"report", "d1", "--names"}},
		{"passed", 1, "", []string{"exist"}, []string{"report", "d1", "--format=html", "--out=" + file}},
		{"passed", 0, "", []string{"every drill is forbidden: storm", "olga"}, []string{"runs"}},
		{"passed", 0, "GET /api/v1/drills/deficiencies ", []string{"slow", "ben"}, []string{"finding"}},
		{"passed", 0, `POST /api/v1/drills/d1/deficiencies {"title":"slow","severity":"low","owner":"ben","due":"2026-12-31T00:00:00Z"}`, []string{"f1"}, []string{"finding", "d1", "--title=slow", "--severity=low", "--owner=ben", "--due=2026-12-31"}},
		{"", 1, "", []string{"is no day"}, []string{"finding", "d1", "--due=soon"}},
		{"passed", 0, `POST /api/v1/drills/lever {"drills_allowed":false,"reason":"storm"}`, []string{"every drill is forbidden: storm", "d1 is being ended"}, []string{"lever", "forbid", "--reason=storm"}},
	} {
		t.Run(strings.Join(c.args, " "), func(t *testing.T) {
			d := &drillDoor{outcome: c.outcome}
			door := httptest.NewServer(d)
			defer door.Close()
			code, out, errs := run(t, append(append([]string{"drill"}, c.args...), "--api="+door.URL)...)
			if code != c.code {
				t.Errorf("exit %d, want %d\n%s%s", code, c.code, out, errs)
			}
			if n := len(d.asked); c.asked != "" && (n == 0 || d.asked[n-1] != c.asked) {
				t.Errorf("asked %q, want %q", d.asked, c.asked)
			}
			for _, w := range c.says {
				if !strings.Contains(out+errs, w) {
					t.Errorf("no word of %q in\n%s%s", w, out, errs)
				}
			}
		})
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "the report" {
		t.Errorf("%q %v", b, err)
	}
}

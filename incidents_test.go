package cordon_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/incident/form"
)

// knock asks the node's HTTP interface with a token and gives status and answer.
func knock(t *testing.T, n *cordon.Node, method, path, token, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.APIAddr().String()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

// An incident from its opening to its end over the HTTP interface of a whole node: who may, what is on record, and what a report holds.
func TestAnIncidentAtTheDoor(t *testing.T) {
	t.Setenv("T1", "anna's token")
	t.Setenv("T2", "ben's token")
	t.Setenv("CORDON_TEST_CLARA", "clara's token")
	text := strings.Replace(nodeConfig, "roles: [ciso]", "roles: [ciso, operator], scopes: [org.read]", 1) + `
entity: {types: [credit_institution], contacts: [{name: Erika Mustermann, email: erika@bank.example}], currency: EUR}
incidents: {clocks: [{name: finma, from: awareness, within: 24h}]}
`
	n := boot(t, writeConfig(t, t.TempDir(), text))
	defer n.Stop(t.Context(), 0)
	anna, ben := "anna's token", "ben's token"
	var v admin.IncidentView
	order := func(token, path, body string, want int) {
		t.Helper()
		status, answer, _ := knock(t, n, "POST", "/api/v1/incidents"+path, token, body)
		if status != want {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
		if status == http.StatusOK {
			v = admin.IncidentView{}
			if err := json.Unmarshal([]byte(answer), &v); err != nil {
				t.Fatal(err)
			}
		}
	}
	order(ben, "", `{"title":"Callers hear nothing"}`, http.StatusForbidden)
	order(anna, "", `{"title":""}`, http.StatusConflict)
	order(anna, "", `{"titel":"x"}`, http.StatusBadRequest)
	order(anna, "", `{"title":"Callers hear nothing","since":"2020-01-01T08:00:00Z","region":"aws:eu-central-1","country":"DE"}`, http.StatusOK)
	at := "/" + v.ID
	if v.By == "" || v.By == "anna" || !v.Open() || len(v.Clocks) != 6 {
		t.Errorf("%+v", v)
	}
	order(anna, "/INC-0/close", `{"reason":"x"}`, http.StatusNotFound)
	order(anna, at+"/close", `{"reason":"x"}`, http.StatusConflict)
	order(anna, at+"/updates", `{"what":"note","text":"the carrier works on it"}`, http.StatusOK)
	order(anna, at+"/classification", `{"major":true,"reason":"two Member States","criteria":["geographical_spread"]}`, http.StatusOK)
	limitOf(t, n, v.ID, "initial")
	order(anna, at+"/submissions", `{"clock":"initial","reference":"4711"}`, http.StatusOK)
	limitOf(t, n, v.ID, "finma")
	order(anna, at+"/submissions", `{"clock":"finma"}`, http.StatusOK)
	limitOf(t, n, v.ID, "intermediate")
	reports(t, n, at)
	order(anna, at+"/updates", `{"what":"recovered"}`, http.StatusOK)
	order(anna, at+"/close", `{"reason":"it is over"}`, http.StatusOK)
	if v.Open() || len(v.Reports) != 2 || v.Reports[0].Reference != "4711" {
		t.Errorf("%+v", v)
	}
	list, err := n.Log().Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		if strings.HasPrefix(string(e.Kind), "incident.") {
			got = append(got, string(e.Kind))
			if strings.Contains(string(e.Body), "anna") || strings.Contains(string(e.Body), "Mustermann") {
				t.Errorf("the log names a person: %s", e.Body)
			}
		}
	}
	want := []audit.Kind{
		audit.KindIncidentOpened, audit.KindIncidentUpdated, audit.KindIncidentClassified, audit.KindIncidentReported, audit.KindIncidentReported, audit.KindIncidentUpdated, audit.KindIncidentClosed,
	}
	if len(got) != len(want) {
		t.Fatalf("the log has %v", got)
	}
	for i := range want {
		if got[i] != string(want[i]) {
			t.Errorf("entry %d is %s, want %s", i, got[i], want[i])
		}
	}
}

// limitOf looks for the limit that comes first, on the screen that everybody reads.
func limitOf(t *testing.T, n *cordon.Node, id, clock string) {
	t.Helper()
	var o admin.Overview
	atDoor(t, n, "GET", "/api/v1/status", nil, &o)
	if len(o.Incidents.Incidents) != 1 || o.Incidents.Next == nil || o.Incidents.Next.Incident != id || o.Incidents.Next.Name != clock {
		t.Errorf("the overview says %+v, want the clock %s", o.Incidents.Next, clock)
	}
}

// reports asks for the drafts of one incident.
func reports(t *testing.T, n *cordon.Node, at string) {
	t.Helper()
	path := "/api/v1/incidents" + at + "/report"
	for query, want := range map[string]int{"": 400, "?stage=monthly": 400, "?stage=initial&format=docx": 400} {
		if status, text, _ := knock(t, n, "GET", path+query, "anna's token", ""); status != want {
			t.Errorf("%s: %d %s", query, status, text)
		}
	}
	if status, _, _ := knock(t, n, "GET", path+"?stage=initial&contacts=true", "ben's token", ""); status != http.StatusForbidden {
		t.Errorf("somebody who may not write got the contacts: %d", status)
	}
	status, text, head := knock(t, n, "GET", path+"?stage=initial&format=html", "anna's token", "")
	if status != 200 || !strings.HasPrefix(text, "<!doctype html>") || strings.Contains(text, "Mustermann") || !strings.Contains(head.Get("Content-Security-Policy"), "default-src 'none'") {
		t.Errorf("%d %s", status, text)
	}
	if status, text, head = knock(t, n, "GET", path+"?stage=initial&format=pdf", "anna's token", ""); status != 200 || !strings.HasPrefix(text, "%PDF-1.7\n") || head.Get("Content-Type") != "application/pdf" {
		t.Errorf("%d %q %s", status, text[:min(20, len(text))], head.Get("Content-Type"))
	}
	if _, text, _ = knock(t, n, "GET", path+"?stage=initial&format=ir&contacts=true", "anna's token", ""); !strings.Contains(text, "Erika Mustermann") || !strings.Contains(text, `"initial_notification"`) {
		t.Errorf("%s", text)
	}
	_, text, _ = knock(t, n, "GET", path+"?stage=intermediate", "anna's token", "")
	var d form.Draft
	if err := json.Unmarshal([]byte(text), &d); err != nil || len(d.Fields) != 60 || strings.Contains(text, "Mustermann") {
		t.Fatalf("%v %s", err, text)
	}
	// The checkpoint in the report is one of the log's own, and covers what was looked at.
	entries, err := n.Log().Entries(t.Context(), d.Measures.Last, 1)
	if err != nil || len(entries) != 1 || d.Measures.Log.Size <= d.Measures.Last || entries[0].Time.After(time.Now()) || !strings.HasPrefix(d.Measures.Log.Note, d.Measures.Log.Origin+"\n") {
		t.Errorf("%v %+v", err, d.Measures.Log)
	}
}

package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/keyring"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/background"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"
)

// fakeGate remembers what was asked of it.
type fakeGate struct {
	asked  []string
	err    error
	ticket approval.Ticket // given for t1
}

func (g *fakeGate) note(what, ticket, person string) (approval.Ticket, error) {
	g.asked = append(g.asked, what+" "+ticket+" "+person)
	t := g.ticket
	t.ID = ticket
	return t, g.err
}

func (g *fakeGate) Tickets() []approval.Ticket {
	return []approval.Ticket{{ID: "t1", State: approval.Pending}}
}

func (g *fakeGate) Ticket(id string) (approval.Ticket, bool) {
	t := g.ticket
	t.ID = id
	return t, id == "t1"
}
func (g *fakeGate) Grants() []approval.Grant { return []approval.Grant{{ID: "t0"}} }
func (g *fakeGate) Left(string) int          { return 3 }
func (g *fakeGate) Decide(_ context.Context, t, p, role string, _ bool, _, _, auth string) (approval.Ticket, error) {
	return g.note("decide as "+role+" by "+auth, t, p)
}

func (g *fakeGate) Opine(_ context.Context, t, p string, w approval.OpinionWord, _ string, _ bool) (approval.Ticket, error) {
	return g.note("opine "+string(w), t, p)
}

func (g *fakeGate) Activate(_ context.Context, t, p string) (approval.Ticket, error) {
	return g.note("activate", t, p)
}

func (g *fakeGate) Owed() (int, int) { return 2, 1 }
func (g *fakeGate) BreakGlass(_ context.Context, t, p, role, reason, hash, auth string) (approval.Ticket, error) {
	return g.note("break glass as "+role+" for "+reason+" over "+hash+" by "+auth, t, p)
}

func (g *fakeGate) Review(_ context.Context, t, p string, v approval.PostReview) (approval.Ticket, error) {
	return g.note(fmt.Sprintf("review as %s: %t %t %s", v.Role, v.Lawful, v.Updated, v.Lessons), t, p)
}

func (g *fakeGate) Withdraw(_ context.Context, t, p, why string) (approval.Ticket, error) {
	return g.note("withdraw for "+why, t, p)
}

func (g *fakeGate) Revoke(_ context.Context, t, p, why string) (approval.Ticket, error) {
	return g.note("revoke for "+why, t, p)
}

func (g *fakeGate) Submit(_ context.Context, file []byte, by string) (keyring.Submitted, error) {
	t, err := g.note(fmt.Sprintf("submit %d bytes", len(file)), "t1", by)
	return keyring.Submitted{Ticket: &t}, err
}

func (g *fakeGate) Keys() []keyring.Standing {
	return []keyring.Standing{
		{Key: keyring.Key{ID: "k-1", Person: "p-1", How: keyring.HowVouched, By: []string{"p-2", "p-3"}}, Counts: true},
		{Key: keyring.Key{ID: "k-2", Person: "p-2"}, Why: "it waits for two people"},
		{Key: keyring.Key{ID: "k-3", Person: "p-3", RevokedAt: time.Unix(1, 0)}, Why: "revoked"},
	}
}

func (g *fakeGate) RevokeKey(_ context.Context, id, person, why string) (keyring.Key, error) {
	_, err := g.note("revoke the key for "+why, id, person)
	return keyring.Key{ID: id, RevokedBy: person}, err
}

type fakeRouter struct{ routes []routing.ActiveRoute }

func (r *fakeRouter) Explain(q routing.Request) routing.Plan {
	return routing.Plan{Route: "in", Why: "to " + q.Called, Held: true, OnHold: routing.OnHold{Status: 403}, Refused: []routing.Refused{{Party: "iad", Ground: sovereign.GroundNoAdequacy}}}
}
func (r *fakeRouter) Status() []routing.ActiveRoute { return r.routes }

type door struct {
	*Server
	gate    *fakeGate
	router  *fakeRouter
	table   *healthcheck.Table
	log     audit.Log
	metrics *prometheus.Registry
	drain   bool
	reload  error
	place   error
	gap     bool
	down    bool // the log cannot be written
	notes   bytes.Buffer
	from    string // address of who asks
	accept  string // what they want
}

// sickLog is a log whose health a test sets.
type sickLog struct {
	audit.Log
	d *door
}

func (l sickLog) Health() audit.Health {
	h := l.Log.Health()
	if l.d.down {
		h.OK, h.Why = false, "disk full"
	}
	return h
}

func secret(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func open(t *testing.T) *door {
	t.Helper()
	d := &door{from: "192.0.2.1:1234", metrics: prometheus.NewRegistry(), gate: &fakeGate{}, router: &fakeRouter{}, table: &healthcheck.Table{ByParty: map[string][]healthcheck.Status{}}}
	var err error
	d.log, err = audit.Memory(audit.Config{Signer: testKey, Origin: "cordon/test", Tenant: "bank-1", Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	d.log = sickLog{d.log, d}
	fra := sovereign.Region{Provider: "aws", Code: "eu-central-1"}
	zrh := sovereign.Region{Provider: "aws", Code: "eu-central-2"}
	snap, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Policy:  sovereign.Policy{Home: fra},
		Parties: []sovereign.Party{{Name: "fra", Kind: sovereign.KindGroup, Region: fra}, {Name: "zrh", Kind: sovereign.KindGroup, Region: zrh}, {Name: "carrier", Kind: sovereign.KindTrunk, Region: fra}},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.Server, err = New(Config{
		Listener: l, OrgID: "bank-1", Node: "n", Gate: d.gate, Router: d.router, Log: d.log, Gatherer: prometheus.NewRegistry(),
		Credentials: func() []Credential {
			return []Credential{
				{Identity: Identity{Person: "reader", Scopes: []string{"org.read", "logs.view", "api.healthcheck", "calls.trace"}}, Token: secret("r")},
				{Identity: Identity{Person: "anna", Roles: []string{"ciso"}}, Token: secret("a")},
				{Identity: Identity{Person: "clara", Roles: []string{"dpo"}}, Token: secret("c")},
				{Identity: Identity{Person: "both", Roles: []string{"operator", "ciso", "crisis_manager"}, Scopes: []string{"org.read"}}, Token: secret("b")},
				{Identity: Identity{Person: "ops", Roles: []string{"operator"}}, Token: secret("o")},
				{Identity: Identity{Person: "gone", Scopes: []string{"org.read"}}, Token: secret("g"), Expires: time.Now().Add(-time.Hour)},
				{Identity: Identity{Person: "lost", Scopes: []string{"org.read"}}, Token: func() (string, error) { return "", errors.New("no file") }},
			}
		},
		Table: func() *healthcheck.Table { return d.table }, Snapshot: func() *sovereign.Snapshot { return snap },
		Calls: func() []Call { return []Call{{Ref: "c1"}} }, Draining: func() bool { return d.drain },
		Place: func(_ context.Context, c TestCall, by string) (TestResult, error) {
			return TestResult{Status: 200, Hops: []string{c.Called, by}}, d.place
		},
		Request: func(_ context.Context, q GrantRequest, by string) (approval.Ticket, error) {
			return d.gate.note("request of "+strings.Join(q.Groups, "+")+" for "+q.GrantFor, strings.Join(q.Trunks, "+"), by)
		},
		Reload: func(context.Context, string) error { return d.reload }, LastTest: func() (time.Time, bool) { return time.Time{}, false },
		LogMayFail: func() bool { return d.gap }, Metrics: d.metrics, Logger: slog.New(slog.NewTextHandler(&d.notes, nil)),
		People: func() map[string]string { return map[string]string{"p-1": "anna", "p-2": "ben", "p-3": "clara"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

func (d *door) ask(method, path, token, body string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	r.RemoteAddr = d.from
	r.Header.Set("Accept", d.accept)
	w := httptest.NewRecorder()
	d.Handler().ServeHTTP(w, r)
	return w
}

func TestEveryDoorAsksForATokenAndTheRight(t *testing.T) {
	d := open(t)
	for i, r := range d.routes() {
		d.from = fmt.Sprintf("192.0.2.%d:1234", i) // not a guesser, who would be slowed down
		method, path, _ := strings.Cut(r.pattern, " ")
		path = strings.NewReplacer("{orgId}", "bank-1", "{id}", "t1", "{seq}", "0").Replace(path)
		if r.scope == "-" {
			if w := d.ask(method, path, "", ""); w.Code != 200 {
				t.Errorf("%s without a token: %d", r.pattern, w.Code)
			}
			continue
		}
		for _, token := range []string{"", "wrong", "g", "x"} {
			if w := d.ask(method, path, token, "{}"); w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%s with token %q: %d", r.pattern, token, w.Code)
			}
		}
		admitted := 0
		for _, token := range []string{"r", "a", "c", "o"} {
			if w := d.ask(method, path, token, "{}"); w.Code != 403 {
				admitted++
			}
		}
		if admitted == 0 || admitted == 4 {
			t.Errorf("%s lets %d of four different people in", r.pattern, admitted)
		}
	}
}

func TestTheOpenAPIFileNamesEveryDoorAndNoOther(t *testing.T) {
	data, err := os.ReadFile("../docs/reference/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]any
	}
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	var described []string
	for path, methods := range doc.Paths {
		for m := range methods {
			described = append(described, strings.ToUpper(m)+" "+path)
		}
	}
	have := open(t).Routes()
	slices.Sort(have)
	slices.Sort(described)
	if !slices.Equal(have, described) {
		t.Errorf("doors:\n%s\ndescribed:\n%s", strings.Join(have, "\n"), strings.Join(described, "\n"))
	}
}

func TestGateIsAskedInThePersonsName(t *testing.T) {
	d := open(t)
	for _, c := range []struct{ token, path, body, asked string }{
		{"a", "/api/v1/tickets/t1/decisions", `{"approve":true,"reason":"r","plan_hash":"h"}`, "decide as ciso by bearer t1 anna"},
		{"c", "/api/v1/tickets/t1/opinions", `{"opinion":"no_objection","text":"t"}`, "opine no_objection t1 clara"},
		{"o", "/api/v1/tickets/t1/activate", ``, "activate t1 ops"},
		{"o", "/api/v1/tickets/t1/withdraw", `{"reason":"x"}`, "withdraw for x t1 ops"},
		{"a", "/api/v1/tickets/t1/break-glass", `{"reason":"now","plan_hash":"h"}`, "break glass as ciso for now over h by bearer t1 anna"},
		{"b", "/api/v1/tickets/t1/break-glass", `{"role":"crisis_manager","reason":"now","plan_hash":"h"}`, "break glass as crisis_manager for now over h by bearer t1 both"},
		{"a", "/api/v1/tickets/t1/review", `{"lawful":false,"record_of_processing_updated":true,"lessons":"l"}`, "review as ciso: false true l t1 anna"},
		{"o", "/api/v1/tickets", `{"trunks":["de"],"edge_groups":["iad"],"reason":"r","alternatives_considered":[{"option":"o","why_not":"w"}],"grant_for":"2h"}`, "request of iad for 2h de ops"},
		{"c", "/api/v1/tickets/t1/revoke", `{"reason":"y"}`, "revoke for y t1 clara"},
		{"o", "/api/v1/signed", `{"a":1}`, "submit 7 bytes t1 ops"},
		{"c", "/api/v1/keys/k-1/revoke", `{"reason":"z"}`, "revoke the key for z k-1 clara"},
	} {
		w := d.ask("POST", c.path, c.token, c.body)
		if w.Code != 200 || d.gate.asked[len(d.gate.asked)-1] != c.asked {
			t.Errorf("%s: %d, asked %v", c.path, w.Code, d.gate.asked)
		}
	}
	if w := d.ask("POST", "/api/v1/tickets/t1/decisions", "a", `{"approve":true,"raeson":"r"}`); w.Code != 400 {
		t.Errorf("an unknown field: %d", w.Code)
	}
	for _, length := range []string{"2", "-1h", "long"} {
		if w := d.ask("POST", "/api/v1/tickets", "o", `{"trunks":["de"],"edge_groups":["iad"],"grant_for":"`+length+`"}`); w.Code != 400 {
			t.Errorf("a grant for %s: %d", length, w.Code)
		}
	}
	for path, body := range map[string]string{"break-glass": `{"reason":"now"}`, "review": `{"lawful":true,"lessons":"l"}`} {
		if w := d.ask("POST", "/api/v1/tickets/t1/"+path, "b", body); w.Code != 422 {
			t.Errorf("%s in one of two roles: %d", path, w.Code)
		}
		if w := d.ask("POST", "/api/v1/tickets/t1/"+path, "c", body); w.Code != 403 {
			t.Errorf("%s by the data protection officer: %d", path, w.Code)
		}
	}
	if w := d.ask("POST", "/api/v1/tickets/t1/review", "a", `{"lessons":"l"}`); w.Code != 400 {
		t.Errorf("a review that says nothing: %d", w.Code)
	}
	if w := d.ask("POST", "/api/v1/tickets", "c", `{}`); w.Code != 403 {
		t.Errorf("the data protection officer asked for a grant: %d", w.Code)
	}
	d.gate.err = &approval.Refusal{Rule: "told_first", Detail: "nobody was told", Hint: "wait"}
	w := d.ask("POST", "/api/v1/tickets/t1/decisions", "a", `{"approve":true,"reason":"r","plan_hash":"h"}`)
	var p Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 409 || p.Rule != "told_first" || p.Hint != "wait" {
		t.Errorf("%d %+v %v", w.Code, p, err)
	}
	d.gate.err = audit.ErrLogDown
	if w := d.ask("POST", "/api/v1/tickets/t1/activate", "o", ""); w.Code != 503 {
		t.Errorf("without a log: %d", w.Code)
	}
}

func TestReadyIsNotAlive(t *testing.T) {
	d := open(t)
	d.drain = true
	if w := d.ask("GET", "/readyz", "", ""); w.Code != 503 {
		t.Errorf("draining: %d", w.Code)
	}
	if w := d.ask("GET", "/healthz", "", ""); w.Code != 200 {
		t.Errorf("draining and alive: %d", w.Code)
	}
}

func TestTheLogCanBeReadAndProved(t *testing.T) {
	d := open(t)
	for range 3 {
		if _, err := d.log.Commit(t.Context(), audit.NodeStopped{Reason: "x"}); err != nil {
			t.Fatal(err)
		}
	}
	var page struct {
		Entries []struct{ Seq uint64 }
		Next    uint64
		Size    uint64
	}
	w := d.ask("GET", "/api/v1/log/entries?from=1&max=1&kind=node.", "r", "")
	if err := json.Unmarshal(w.Body.Bytes(), &page); err != nil || len(page.Entries) != 1 || page.Entries[0].Seq != 1 || page.Next != 2 || page.Size != 3 {
		t.Errorf("%s %v", w.Body, err)
	}
	if w := d.ask("GET", "/api/v1/log/checkpoint", "r", ""); w.Code != 200 || !strings.HasPrefix(w.Body.String(), "cordon/test\n3\n") {
		t.Errorf("checkpoint: %d %s", w.Code, w.Body)
	}
	if w := d.ask("GET", "/api/v1/log/proof/2", "r", ""); w.Code != 200 {
		t.Errorf("proof: %d %s", w.Code, w.Body)
	}
	for path, want := range map[string]int{"/api/v1/log/proof/3": 404, "/api/v1/log/proof/x": 400, "/api/v1/log/entries?from=-1": 400} {
		if w := d.ask("GET", path, "r", ""); w.Code != want {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

func TestPlanIsADryRunAndReloadMayBeRefused(t *testing.T) {
	d := open(t)
	w := d.ask("POST", "/api/v1/plan", "r", `{"from":"carrier","called":"+49"}`)
	var v PlanView
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || !v.Held || v.OnHold != 403 || len(v.Refused) != 1 || v.Refused[0].Ground != "no_adequacy" {
		t.Errorf("%s %v", w.Body, err)
	}
	if w := d.ask("POST", "/api/v1/plan", "r", `{"from":"carrier"}`); w.Code != 400 {
		t.Errorf("half a question: %d", w.Code)
	}
	if w := d.ask("POST", "/api/v1/reload", "o", ""); w.Code != 200 {
		t.Errorf("reload: %d %s", w.Code, w.Body)
	}
	d.reload = errors.New("line 3")
	if w := d.ask("POST", "/api/v1/reload", "o", ""); w.Code != 422 || !strings.Contains(w.Body.String(), "line 3") {
		t.Errorf("refused reload: %d %s", w.Code, w.Body)
	}
	if w := d.ask("POST", "/api/v1/calls", "o", `{"from":"carrier","called":"+49","hold_seconds":60}`); w.Code != 400 {
		t.Errorf("a call of a minute: %d", w.Code)
	}
}

func TestServesUntilToldToStop(t *testing.T) {
	d := open(t)
	stop := background.Run(t, d.Run)
	res, err := http.Get("http://" + d.Addr().String() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	res.Body.Close()
	stop()
}

func TestForgetAsksForWhatAndWhyAndSaysWhenThereIsNothing(t *testing.T) {
	d := open(t)
	var asked []string
	d.c.Forget = func(_ context.Context, f Forget, by string) error {
		asked = append(asked, f.What+" "+f.Ref+" by "+by)
		if f.Ref == "gone" {
			return audit.ErrForgotten
		}
		return nil
	}
	for body, want := range map[string]int{
		`{"what":"call","ref":"r1","reason":"x"}`:   200,
		`{"what":"call","ref":"gone","reason":"x"}`: 404,
		`{"what":"call","ref":"r1"}`:                400,
		`{"what":"log","ref":"r1","reason":"x"}`:    400,
	} {
		if w := d.ask("POST", "/api/v1/forget", "c", body); w.Code != want {
			t.Errorf("%s: %d, want %d", body, w.Code, want)
		}
	}
	if len(asked) != 2 {
		t.Errorf("asked: %v", asked)
	}
}

package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/routing/desk"
	"github.com/cordonsip/cordon/sovereign"
)

// fakeDesk remembers what was asked of it.
type fakeDesk struct {
	asked []string
	err   error
	book  *desk.Book
}

func (f *fakeDesk) note(format string, a ...any) error {
	f.asked = append(f.asked, fmt.Sprintf(format, a...))
	return f.err
}

func (f *fakeDesk) Book() *desk.Book { return f.book }
func (f *fakeDesk) SetService(_ context.Context, s desk.Service, by string) error {
	return f.note("service %s %s %s until %s for %s by %s", s.Kind, s.Name, s.State, s.Until.Format(time.TimeOnly), s.Reason, by)
}

func (f *fakeDesk) Switch(_ context.Context, party string, to sovereign.Region, reason, by string) ([]routing.Switched, error) {
	return []routing.Switched{{Route: "in", From: party, To: "zrh"}}, f.note("switch %s to %s for %s by %s", party, to, reason, by)
}

func (f *fakeDesk) Failback(_ context.Context, route, reason, by string) ([]routing.Switched, error) {
	return nil, f.note("failback %q for %s by %s", route, reason, by)
}

func (f *fakeDesk) Migrate(_ context.Context, m desk.Migration, by string) error {
	return f.note("migrate %s to %s %v %v for %s by %s", m.Route, m.Party, m.Share, m.Ranges, m.Reason, by)
}

func (f *fakeDesk) Rollback(_ context.Context, route, reason, by string) error {
	return f.note("rollback %s for %s by %s", route, reason, by)
}

// A log that fails between two routes leaves one of them changed: the answer says which, and not why, which the node's own log knows.
func TestAnOrderDoneInPartSaysWhatWasChanged(t *testing.T) {
	d := open(t)
	f := &fakeDesk{book: &desk.Book{}}
	d.c.Operators = f
	for _, c := range []struct {
		cause error
		code  int
	}{{fmt.Errorf("write /secret/tile: %w", audit.ErrLogDown), 503}, {errors.New("/secret/tile"), 500}} {
		f.err = &routing.Halfway{Done: []routing.Switched{{Route: "night", From: "fra", To: "zrh"}, {Route: "day", From: "fra", To: "zrh"}}, Left: []string{"main", "late"}, Err: c.cause}
		for path, body := range map[string]string{"switch": `{"party":"fra","to":"aws:eu-central-2","reason":"r"}`, "failback": `{"reason":"r"}`} {
			w := d.ask("POST", "/api/v1/"+path, "o", body)
			var p Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
				t.Fatal(err)
			}
			if w.Code != c.code || p.Title != "it was done in part" || !strings.HasPrefix(p.Detail, "changed: night to zrh, day to zrh; not changed: main, late.") || p.Hint == "" {
				t.Errorf("%s: %d %+v", path, w.Code, p)
			}
			if strings.Contains(w.Body.String(), "secret") || !strings.Contains(d.notes.String(), p.ErrorID) || !strings.Contains(d.notes.String(), "secret") {
				t.Errorf("%s: the cause is in %s, and the log says %s", path, w.Body, &d.notes)
			}
		}
	}
}

func TestOrdersAreGivenInThePersonsName(t *testing.T) {
	d := open(t)
	f := &fakeDesk{book: &desk.Book{}}
	d.c.Operators = f
	for _, c := range []struct{ path, body, asked string }{
		{"service", `{"kind":"group","name":"fra","state":"out","reason":"r","until":"2026-11-21T14:00:00Z"}`, "service group fra out until 14:00:00 for r by ops"},
		{"switch", `{"party":"fra","to":"aws:eu-central-2","reason":"r"}`, "switch fra to aws:eu-central-2 for r by ops"},
		{"failback", `{"route":"in","reason":"r"}`, `failback "in" for r by ops`},
		{"failback", `{"reason":"r"}`, `failback "" for r by ops`},
		{"migrations", `{"route":"in","to":"zrh","share":0.1,"ranges":["+4969*"],"reason":"r"}`, "migrate in to zrh 0.1 [+4969*] for r by ops"},
		{"migrations", `{"route":"in","rollback":true,"reason":"r"}`, "rollback in for r by ops"},
	} {
		f.err = nil
		if w := d.ask("POST", "/api/v1/"+c.path, "o", c.body); w.Code != 200 || f.asked[len(f.asked)-1] != c.asked {
			t.Errorf("%s: %d %s, asked %v", c.path, w.Code, w.Body, f.asked)
		}
		n := len(f.asked)
		for token, want := range map[string]int{"a": 403, "": 401} {
			if w := d.ask("POST", "/api/v1/"+c.path, token, c.body); w.Code != want || len(f.asked) != n {
				t.Errorf("%s with token %q: %d", c.path, token, w.Code)
			}
		}
		if w := d.ask("POST", "/api/v1/"+c.path, "o", strings.Replace(c.body, "reason", "raeson", 1)); w.Code != 400 || len(f.asked) != n {
			t.Errorf("%s with an unknown field: %d", c.path, w.Code)
		}
		f.err = &routing.NotDone{Ground: sovereign.GroundNoAdequacy, What: "iad is not permitted", Hint: "the gate"}
		w := d.ask("POST", "/api/v1/"+c.path, "o", c.body)
		var p Problem
		if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != http.StatusConflict || p.Rule != "no_adequacy" || p.Hint != "the gate" || p.Detail != "iad is not permitted" {
			t.Errorf("%s refused: %d %s", c.path, w.Code, w.Body)
		}
	}
	if w := d.ask("POST", "/api/v1/switch", "o", `{"party":"fra","to":"nowhere","reason":"r"}`); w.Code != 400 {
		t.Errorf("a region that is none: %d", w.Code)
	}
}

func TestWhatPeopleTookOutDegradesNothing(t *testing.T) {
	d := open(t)
	st := healthcheck.Status{Target: healthcheck.Target{Party: "fra", Member: "m1", Transport: "udp"}, State: healthcheck.Down, Why: "silent", Circuit: healthcheck.HalfOpen, RTTP99: time.Second}
	st.Calls = healthcheck.Measured{Calls: 7, ASR: 0.5, NER: 0.9, PDD: 2 * time.Second, Rated: 3, MOS: 4.1}
	d.table.ByParty["fra"] = []healthcheck.Status{st}
	d.router.routes = []routing.ActiveRoute{{Route: "in", Active: "zrh", Reason: routing.ReasonManual, Since: time.Now()}}
	d.table.ByParty["zrh"] = []healthcheck.Status{{Target: healthcheck.Target{Party: "zrh", Member: "m1"}, State: healthcheck.Up}}
	if doc := d.Document(); doc.Status != degraded || !strings.Contains(doc.Why, "fra/m1") {
		t.Errorf("%+v", doc)
	}
	d.c.Operators = &fakeDesk{book: &desk.Book{Services: map[string]desk.Service{"group fra": {Kind: "group", Name: "fra", State: desk.Out, Reason: "r"}}}}
	if doc := d.Document(); doc.Status != healthy {
		t.Errorf("%+v", doc)
	}
	v := d.targetViews()[0]
	if v.Service != "out" || v.Circuit != "half-open" || v.P99ms != 1000 || v.Calls != (CallsView{7, 0.5, 0.9, 2000, 3, 4.1}) {
		t.Errorf("%+v", v)
	}
	if w := d.ask("GET", "/api/v1/service", "r", ""); w.Code != 200 || !strings.Contains(w.Body.String(), `"out"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestManyPlansAtOnce(t *testing.T) {
	d := open(t)
	w := d.ask("POST", "/api/v1/plans", "r", `{"calls":[{"from":"carrier","called":"+4969"},{"from":"carrier","called":"+4930"}]}`)
	var v PlansView
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != 200 || len(v.Plans) != 2 || v.Plans[1].Why != "to +4930" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, body := range []string{`{"calls":[]}`, `{"calls":[` + strings.Repeat(`{"from":"c","called":"1"},`, 1000) + `{"from":"c","called":"1"}]}`} {
		if w := d.ask("POST", "/api/v1/plans", "r", body); w.Code != 400 {
			t.Errorf("%.40s: %d", body, w.Code)
		}
	}
}

// fakeSevers notes what it was asked.
type fakeSevers struct {
	asked []string
	err   error
}

func (f *fakeSevers) Severed() []desk.Cut { return nil }

func (f *fakeSevers) Sever(_ context.Context, c desk.Cut, by string) error {
	f.asked = append(f.asked, fmt.Sprintf("sever %s %s %t for %s by %s", c.Kind, c.Name, c.Force, c.Reason, by))
	return f.err
}

func (f *fakeSevers) PutBack(_ context.Context, c desk.Cut, by string) error {
	f.asked = append(f.asked, fmt.Sprintf("put back %s %s for %s by %s", c.Kind, c.Name, c.Reason, by))
	return f.err
}

func TestSeveringAtTheDoor(t *testing.T) {
	d := open(t)
	if w := d.ask("POST", "/api/v1/sever", "o", `{"kind":"trunk","name":"c","reason":"r"}`); w.Code != 501 {
		t.Errorf("nobody can: %d", w.Code)
	}
	f := &fakeSevers{}
	d.c.Severs = f
	for body, want := range map[string]string{
		`{"kind":"trunk","name":"c","reason":"r"}`:                     "sever trunk c false for r by ops",
		`{"kind":"group","name":"g","force":true,"reason":"r"}`:        "sever group g true for r by ops",
		`{"kind":"region","name":"aws:x","restore":true,"reason":"r"}`: "put back region aws:x for r by ops",
	} {
		if w := d.ask("POST", "/api/v1/sever", "o", body); w.Code != 200 || f.asked[len(f.asked)-1] != want {
			t.Errorf("%s: %d %s, asked %v", body, w.Code, w.Body, f.asked)
		}
	}
	n := len(f.asked)
	for token, want := range map[string]int{"": 401, "x": 401} {
		if w := d.ask("POST", "/api/v1/sever", token, `{"kind":"trunk","name":"c","reason":"r"}`); w.Code != want || len(f.asked) != n {
			t.Errorf("token %q: %d", token, w.Code)
		}
	}
	f.err = &Unlogged{What: "trunk c", Err: audit.ErrLogDown}
	w := d.ask("POST", "/api/v1/sever", "o", `{"kind":"trunk","name":"c","reason":"r"}`)
	if w.Code != 503 || !strings.Contains(w.Body.String(), "trunk c is cut off, and the log has no entry of it") || strings.Contains(w.Body.String(), "nothing was changed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// fakeLaw notes what it was asked.
type fakeLaw struct{ asked WhatIfQuestion }

func (f *fakeLaw) WhatIf(_ context.Context, q WhatIfQuestion) (WhatIf, error) {
	f.asked = q
	if q.Instrument == "" {
		return WhatIf{}, &routing.NotDone{What: "no instrument", Hint: "cordon law list"}
	}
	return WhatIf{Instrument: q.Instrument}, nil
}

func TestWhatASuspensionWouldDoAtTheDoor(t *testing.T) {
	d := open(t)
	if w := d.ask("GET", "/api/v1/law/what-if?instrument=x", "r", ""); w.Code != 501 {
		t.Errorf("nobody can say: %d", w.Code)
	}
	f := &fakeLaw{}
	d.c.Law = f
	for _, c := range []struct {
		token, query string
		code         int
	}{
		{"r", "instrument=x&since=2026-11-21T00:00:00Z", 200}, {"r", "", 409}, {"r", "instrument=x&at=tomorrow", 400}, {"", "instrument=x", 401}, {"o", "instrument=x", 403},
	} {
		if w := d.ask("GET", "/api/v1/law/what-if?"+c.query, c.token, ""); w.Code != c.code {
			t.Errorf("%q %q: %d %s", c.token, c.query, w.Code, w.Body)
		}
		if c.code == 200 && (f.asked.Instrument != "x" || f.asked.Since.Day() != 21 || !f.asked.At.IsZero()) {
			t.Errorf("%+v", f.asked)
		}
	}
}

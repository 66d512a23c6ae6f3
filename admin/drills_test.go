package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/drill/register"
)

// keeper notes what it is asked, and knows one drill, d1.
type keeper struct{ asked []string }

func (k *keeper) note(format string, args ...any) {
	k.asked = append(k.asked, fmt.Sprintf(format, args...))
}

func (k *keeper) one(id string) (register.Drill, error) {
	if id != "d1" {
		return register.Drill{}, ErrNoDrill
	}
	return register.Drill{Request: audit.DrillRequested{DrillPlan: audit.DrillPlan{Drill: "d1"}, Tester: "p-1"}, State: register.Waiting}, nil
}

func (k *keeper) Scenarios() []DrillScenario {
	return []DrillScenario{{Name: "region-loss", Ships: true}}
}
func (k *keeper) List() []register.Drill { d, _ := k.one("d1"); return []register.Drill{d} }
func (k *keeper) Drill(id string) (register.Drill, bool) {
	d, err := k.one(id)
	return d, err == nil
}
func (k *keeper) Defects(string) []register.Defect { return nil }
func (k *keeper) Standing() DrillStanding          { return DrillStanding{Allowed: true} }

func (k *keeper) Plan(_ context.Context, o DrillOrder, by string) (DrillPlan, error) {
	k.note("plan %s %s %s", o.Scenario, o.Mode, by)
	return DrillPlan{Allowed: true}, nil
}

func (k *keeper) Request(_ context.Context, o DrillOrder, by string) (register.Drill, error) {
	k.note("request %s %s for %s %s", o.Scenario, o.Mode, o.Reason, by)
	if o.Mode == "full" {
		return register.Drill{}, &DrillRefusal{What: "no window is open", Hint: "wait", Guards: []audit.DrillGuard{{Name: "window", Why: "the next one opens on Sunday"}}}
	}
	return k.one("d1")
}

func (k *keeper) Approve(_ context.Context, id, reason, by string) (register.Drill, error) {
	k.note("approve %s for %s %s", id, reason, by)
	return k.one(id)
}

func (k *keeper) Stop(_ context.Context, id, reason, by string) (register.Drill, error) {
	k.note("stop %s for %s %s", id, reason, by)
	return k.one(id)
}

func (k *keeper) Clean(_ context.Context, id string, s DrillSaid, by string) (register.Drill, error) {
	k.note("clean %s for %s as %s %s%s", id, s.Reason, s.Role, by, s.Signature)
	return k.one(id)
}

func (k *keeper) SignOff(_ context.Context, id string, s DrillSaid, by string) (register.Drill, error) {
	k.note("sign off %s: %s %s", id, s.Verdict, by)
	return k.one(id)
}

func (k *keeper) Reported(_ context.Context, id string, s DrillSaid, by string) (register.Drill, error) {
	k.note("reported %s: %s %s %s", id, s.Date, s.Minutes, by)
	return k.one(id)
}

func (k *keeper) Ack(_ context.Context, id, by string) (register.Drill, error) {
	k.note("ack %s %s", id, by)
	return k.one(id)
}

func (k *keeper) Find(_ context.Context, id string, f DrillFinding, by string) (register.Defect, error) {
	k.note("find %s of %s %s", f.Title, id, by)
	_, err := k.one(id)
	return register.Defect{DrillDeficiency: audit.DrillDeficiency{Drill: id, Title: f.Title}}, err
}

func (k *keeper) Lever(_ context.Context, allowed bool, reason, by string) error {
	k.note("lever %t for %s %s", allowed, reason, by)
	return nil
}

func (k *keeper) Report(_ context.Context, id, format string, names bool) ([]byte, error) {
	if _, err := k.one(id); err != nil {
		return nil, err
	}
	if format == "pdf" {
		return nil, errors.New("no paper")
	}
	return fmt.Appendf(nil, "%s %t", format, names), nil
}

func TestDrillsAreAskedForInThePersonsName(t *testing.T) {
	d := open(t)
	if w := d.ask("GET", "/api/v1/drills", "r", ""); w.Code != 501 {
		t.Errorf("without a keeper: %d", w.Code)
	}
	k := &keeper{}
	d.c.Drills = k
	for _, c := range []struct {
		token, method, path, body string
		code                      int
		asked, says               string
	}{
		{"r", "GET", "/api/v1/drills", "", 200, "", `"drill":"d1"`},
		{"r", "GET", "/api/v1/drills/scenarios", "", 200, "", `"region-loss"`},
		{"r", "GET", "/api/v1/drills/deficiencies", "", 200, "", `"deficiencies":[]`},
		{"r", "GET", "/api/v1/drills/d1", "", 200, "", `"state":"waiting"`},
		{"r", "GET", "/api/v1/drills/d2", "", 404, "", "unknown drill"},
		{"r", "POST", "/api/v1/drills/plan", `{"scenario":"region-loss","mode":"full"}`, 200, "plan region-loss full ", `"allowed_now":true`},
		{"r", "POST", "/api/v1/drills", `{"scenario":"region-loss","mode":"sandbox","reason":"yearly"}`, 403, "", ""},
		{"o", "POST", "/api/v1/drills", `{"scenario":"region-loss","mode":"sandbox","reason":"yearly"}`, 200, "request region-loss sandbox for yearly ops", `"tester":"p-1"`},
		{"o", "POST", "/api/v1/drills", `{"scenario":"region-loss","mode":"sandbox"}`, 400, "", "no reason was given"},
		{"o", "POST", "/api/v1/drills", `{"scenario":"region-loss","mode":"full","reason":"yearly"}`, 409, "request region-loss full for yearly ops", "no window is open; the next one opens on Sunday"},
		{"o", "POST", "/api/v1/drills", `{"scenari":"x"}`, 400, "", ""},
		{"a", "POST", "/api/v1/drills/d1/approve", `{"reason":"read"}`, 200, "approve d1 for read anna", ""},
		{"c", "POST", "/api/v1/drills/d1/approve", `{"reason":"read"}`, 403, "", ""},
		{"c", "POST", "/api/v1/drills/d1/stop", `{"reason":"harm"}`, 200, "stop d1 for harm clara", ""},
		{"o", "POST", "/api/v1/drills/d1/stop", `{}`, 400, "", "no reason was given"},
		{"o", "POST", "/api/v1/drills/d1/cleanup", `{"reason":"looked","role":"operator","signature":{"a":1}}`, 200, `clean d1 for looked as operator ops{"a":1}`, ""},
		{"o", "POST", "/api/v1/drills/d2/cleanup", `{"reason":"looked"}`, 404, "clean d2 for looked as  ops", "unknown drill"},
		{"c", "POST", "/api/v1/drills/d1/cleanup", `{"reason":"looked"}`, 403, "", ""},
		{"c", "POST", "/api/v1/drills/d1/signoff", `{"reason":"read","role":"dpo","verdict":"accept"}`, 200, "sign off d1: accept clara", ""},
		{"r", "POST", "/api/v1/drills/d1/signoff", `{"reason":"read","role":"dpo","verdict":"accept"}`, 403, "", ""},
		{"o", "POST", "/api/v1/drills/d1/signoff", `{"verdikt":"accept"}`, 400, "", "cannot be read"},
		{"o", "POST", "/api/v1/drills/d1/reported", `{"date":"2026-12-01","minutes_ref":"MB 4"}`, 200, "reported d1: 2026-12-01 MB 4 ops", ""},
		{"o", "POST", "/api/v1/drills/d2/reported", `{"date":"2026-12-01","minutes_ref":"MB 4"}`, 404, "reported d2", "unknown drill"},
		{"c", "POST", "/api/v1/drills/d1/ack", "", 200, "ack d1 clara", ""},
		{"r", "POST", "/api/v1/drills/d1/ack", "", 403, "", ""},
		{"c", "POST", "/api/v1/drills/d2/ack", "", 404, "ack d2 clara", "unknown drill"},
		{"c", "POST", "/api/v1/drills/d1/deficiencies", `{"title":"slow"}`, 200, "find slow of d1 clara", `"title":"slow"`},
		{"o", "POST", "/api/v1/drills/lever", `{"reason":"storm"}`, 400, "", "neither forbid nor allow"},
		{"o", "POST", "/api/v1/drills/lever", `{"drills_allowed":false}`, 400, "", "no reason was given"},
		{"o", "POST", "/api/v1/drills/lever", `{"drills_allowed":false,"reason":"storm"}`, 200, "lever false for storm ops", `"drills_allowed":true`},
		{"r", "GET", "/api/v1/drills/d1/report", "", 200, "", "json"},
		{"r", "GET", "/api/v1/drills/d1/report?format=html", "", 200, "", "html false"},
		{"r", "GET", "/api/v1/drills/d1/report?names=true", "", 200, "", "json true"},
		{"r", "GET", "/api/v1/drills/d1/report?names=yes", "", 400, "", "names is true or false"},
		{"r", "GET", "/api/v1/drills/d1/report?format=doc", "", 400, "", "not as"},
		{"r", "GET", "/api/v1/drills/d1/report?format=pdf", "", 500, "", ""},
		{"r", "GET", "/api/v1/drills/d2/report", "", 404, "", "unknown drill"},
	} {
		k.asked = nil
		w := d.ask(c.method, c.path, c.token, c.body)
		if got := strings.Join(k.asked, "; "); w.Code != c.code || !strings.HasPrefix(got, c.asked) || c.asked == "" && got != "" || !strings.Contains(strings.ReplaceAll(w.Body.String(), `": `, `":`), c.says) {
			t.Errorf("%s %s as %s: %d, asked %q\n%s", c.method, c.path, c.token, w.Code, got, w.Body)
		}
	}
	if w := d.ask("GET", "/api/v1/drills/d1/report?format=html", "r", ""); !strings.Contains(w.Header().Get("Content-Security-Policy"), "sandbox") {
		t.Error("a report may run scripts")
	}
}

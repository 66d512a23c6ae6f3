package admin

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/cordonsip/cordon/audit/retain"
)

// shelf is an archive that notes what it was asked.
type shelf struct{ asked []string }

func (s *shelf) Holds(context.Context) ([]retain.Hold, error) {
	return []retain.Hold{{ID: "h-1", Reason: "r", By: "p-a"}}, nil
}

func (s *shelf) Place(_ context.Context, h retain.Hold, by string) (retain.Hold, error) {
	s.asked = append(s.asked, fmt.Sprintf("place %s %s by %s", h.Trunk, h.From.Format("20060102"), by))
	return h, nil
}

func (s *shelf) Lift(_ context.Context, id, _, by string) error {
	s.asked = append(s.asked, "lift "+id+" by "+by)
	return map[string]error{"h-none": ErrNoHold, "h-own": ErrOwnHold}[id]
}

func (s *shelf) Retention(_ context.Context, run bool, by string) (RetentionPlan, error) {
	s.asked = append(s.asked, fmt.Sprintf("retention %v by %s", run, by))
	return RetentionPlan{}, nil
}

func TestHoldsAndRetention(t *testing.T) {
	d := open(t)
	if w := d.ask("GET", "/api/v1/holds", "r", ""); w.Code != http.StatusNotImplemented {
		t.Errorf("without an archive: %d %s", w.Code, w.Body)
	}
	s := &shelf{}
	d.c.Archive = s
	for _, c := range []struct {
		method, path, token, body string
		want                      int
	}{
		{"GET", "/api/v1/holds", "r", "", 200},
		{"POST", "/api/v1/holds", "r", `{"trunk":"carrier","reason":"r"}`, 403},
		{"POST", "/api/v1/holds", "c", `{"trunk":"carrier","reason":"r","from":"2026-11-01"}`, 200},
		{"POST", "/api/v1/holds", "c", `{"trunk":"carrier"}`, 400},
		{"POST", "/api/v1/holds", "c", `{"reason":"everything"}`, 400},
		{"POST", "/api/v1/holds", "c", `{"from":"yesterday","reason":"r"}`, 400},
		{"POST", "/api/v1/holds", "c", `{"from":"2026-11-02","to":"2026-11-01","reason":"r"}`, 400},
		{"POST", "/api/v1/holds/h-1/lift", "c", `{"reason":"over"}`, 200},
		{"POST", "/api/v1/holds/h-1/lift", "c", `{}`, 400},
		{"POST", "/api/v1/holds/h-none/lift", "c", `{"reason":"over"}`, 404},
		{"POST", "/api/v1/holds/h-own/lift", "c", `{"reason":"over"}`, 409},
		{"GET", "/api/v1/retention", "r", "", 200},
		{"POST", "/api/v1/retention/run", "r", "", 403},
		{"POST", "/api/v1/retention/run", "c", "", 200},
	} {
		if w := d.ask(c.method, c.path, c.token, c.body); w.Code != c.want {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, w.Code, w.Body)
		}
	}
	if len(s.asked) != 6 || s.asked[0][:23] != "place carrier 20261101 " || s.asked[4][:16] != "retention false " || s.asked[5][:15] != "retention true " {
		t.Errorf("asked %q", s.asked)
	}
	d.c.Forget = func(context.Context, Forget, string) error { return fmt.Errorf("hold h-1: %w", retain.ErrKept) }
	if w := d.ask("POST", "/api/v1/forget", "c", `{"what":"call","ref":"20261121-aa","reason":"r"}`); w.Code != http.StatusConflict {
		t.Errorf("forget under a hold: %d %s", w.Code, w.Body)
	}
}

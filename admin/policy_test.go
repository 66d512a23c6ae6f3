package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/charter"
)

// book is a policy in memory.
type book struct {
	held *HeldPolicy
	fail error
}

func (b *book) Accepted(context.Context) (AcceptedPolicy, error) {
	return AcceptedPolicy{
		Digest: "d", Entry: 7, Cause: "signed", Charter: json.RawMessage(`{"people":[{"person":"p-2"}]}`), Decisions: []approval.Decision{{Person: "p-1", Role: "ciso"}},
	}, b.fail
}

func (b *book) Held() (HeldPolicy, bool) {
	if b.held == nil {
		return HeldPolicy{}, false
	}
	return *b.held, true
}

func (b *book) Compare(c charter.Charter) (PolicyComparison, error) {
	return PolicyComparison{From: "d", To: c.OnLogFailure, Opens: true}, b.fail
}

func TestPolicyDoors(t *testing.T) {
	d := open(t)
	flat := func(w *httptest.ResponseRecorder) string { return strings.Join(strings.Fields(w.Body.String()), "") }
	for _, path := range []string{"/api/v1/policy/accepted", "/api/v1/policy/pending"} {
		if w := d.ask("GET", path, "r", ""); w.Code != 501 {
			t.Errorf("%s without a policy: %d", path, w.Code)
		}
	}
	b := &book{}
	d.c.Charters = b
	if w := d.ask("GET", "/api/v1/policy/accepted", "r", ""); w.Code != 200 || !strings.Contains(flat(w), `"people":{"p-1":"anna","p-2":"ben"}`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := d.ask("GET", "/api/v1/policy/pending", "r", ""); w.Code != 200 || flat(w) != `{"held":null}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for body, code := range map[string]int{
		`{"charter":{"edition":2,"on_log_failure":"x"}}`: 200, `{"charter":{"edition":1}}`: 422, `{"charter":{"editoin":2}}`: 400, `{}`: 422, `[]`: 400,
	} {
		if w := d.ask("POST", "/api/v1/policy/compare", "r", body); w.Code != code || code == 200 && !strings.Contains(flat(w), `"to":"x"`) {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if got := d.Document().PolicyHeld; got != nil {
		t.Errorf("%+v", got)
	}
	b.held = &HeldPolicy{
		To: "e", Since: time.Unix(9, 0), Changes: []charter.Difference{{Path: "a", Wider: true, Why: []string{"x", "y"}}, {Path: "b", Why: []string{"z"}}},
		Ticket: &TicketView{Ticket: approval.Ticket{ID: "t1", State: approval.Pending, RequestedBy: "p-3", Missing: []string{"the dpo"}}},
	}
	if got := d.Document().PolicyHeld; got == nil || *got != (HeldNote{time.Unix(9, 0), 2, "t1", "PENDING"}) {
		t.Errorf("%+v", got)
	}
	if w := d.ask("GET", "/api/v1/policy", "r", ""); !strings.Contains(flat(w), `"widenings":2`) {
		t.Errorf("%s", w.Body)
	}
	if w := d.ask("GET", "/api/v1/policy/pending", "r", ""); !strings.Contains(flat(w), `"people":{"p-3":"clara"}`) || b.held.Ticket.People != nil {
		t.Errorf("%s", w.Body)
	}
	b.fail = errors.New("/secret/tile")
	if w := d.ask("GET", "/api/v1/policy/accepted", "r", ""); w.Code != 500 || strings.Contains(flat(w), "secret") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	for _, token := range []string{"a", "o"} {
		if w := d.ask("GET", "/api/v1/policy/accepted", token, ""); w.Code != 403 {
			t.Errorf("without org.read: %d", w.Code)
		}
	}
}

func TestWhoMustStillSign(t *testing.T) {
	ended := &TicketView{Ticket: approval.Ticket{State: approval.DeniedByPeople, EndedAt: time.Unix(1, 0)}}
	for want, ticket := range map[string]*TicketView{
		"not open yet":              nil,
		"a; b":                      {Ticket: approval.Ticket{State: approval.Pending, Missing: []string{"a", "b"}}},
		"being put in force":        {Ticket: approval.Ticket{State: approval.Approved}},
		"whoever wants it reloads ": ended,
	} {
		h := HeldPolicy{Ticket: ticket}
		if got := h.WaitsFor(); !strings.Contains(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

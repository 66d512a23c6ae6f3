package routing

import (
	"strings"
	"testing"
)

const guardrail = `{"flow_name": "Private Banking", "condition": {"type": "region_check", "target_region": "aws:eu-central-1"},
	"action": {"type": "route_to_queue", "queue_id": "EU_Emergency_Queue", "fallback_policy": "MANUAL_APPROVAL_REQUIRED"}}`

func TestImportGuardrail(t *testing.T) {
	g, err := ImportGuardrail([]byte(guardrail))
	if err != nil {
		t.Fatal(err)
	}
	if want := (Guardrail{"Private Banking", region("aws:eu-central-1"), "EU_Emergency_Queue", FallbackApproval}); g != want {
		t.Fatalf("%+v", g)
	}
	g, err = ImportGuardrail([]byte(strings.NewReplacer("aws:eu-central-1", "europe-west6", "MANUAL_APPROVAL_REQUIRED", "NEVER").Replace(guardrail)))
	if err != nil || g.Region != region("gcp:europe-west6") || g.Fallback != FallbackNever {
		t.Fatal(g, err)
	}
}

func TestImportGuardrailIsStrict(t *testing.T) {
	for _, tc := range []struct{ old, new, want string }{
		{`"flow_name"`, `"Flow_Name"`, `unknown key "Flow_Name"`},
		{`"type": "region_check"`, `"type": "region_check", "extra": 1`, `unknown key "condition.extra"`},
		{`"queue_id": "EU_Emergency_Queue", `, ``, `"action.queue_id" is missing`},
		{`"queue_id"`, `"type": "x", "queue_id"`, `key "action.type" stands there twice`},
		{`"region_check"`, `"phase_of_moon"`, `only region_check is known`},
		{`"route_to_queue"`, `"route_to_moon"`, `only route_to_queue is known`},
		{`"MANUAL_APPROVAL_REQUIRED"`, `"AUTO"`, `use MANUAL_APPROVAL_REQUIRED or NEVER`},
		{`"Private Banking"`, `7`, `"flow_name" is not a text`},
		{`"Private Banking"`, `null`, `"flow_name" is not a text`},
		{`"Private Banking"`, `" "`, `is empty or holds control characters`},
		{`"Private Banking"`, `"a\nb"`, `is empty or holds control characters`},
		{`"aws:eu-central-1"`, `"eu-west-2"`, `"eu-west-2" names several places; say which: aws:eu-west-2 (GB), outscale:eu-west-2 (FR)`},
		{`"aws:eu-central-1"`, `"aws:eu-west-9"`, `is in no table`},
		{`"aws:eu-central-1"`, `"EU"`, `"EU" names no region`},
		{`"aws:eu-central-1"`, `"AWS:eu-central-1:x"`, `condition.target_region`},
		{`{"type": "region_check", "target_region": "aws:eu-central-1"}`, `[]`, `condition is not a JSON object`},
	} {
		b := strings.Replace(guardrail, tc.old, tc.new, 1)
		if _, err := ImportGuardrail([]byte(b)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s\ngot %v, want %s", b, err, tc.want)
		}
	}
	for _, b := range []string{"", "null", "[]", "{", guardrail + "{}", guardrail[:40], `{"flow_name":"x","condition":{},"action":{}}`, strings.Repeat(" ", maxGuardrail+1)} {
		if _, err := ImportGuardrail([]byte(b)); err == nil || !strings.HasPrefix(err.Error(), "routing: guardrail") {
			t.Errorf("%.60q: %v", b, err)
		}
	}
}

func FuzzImportGuardrail(f *testing.F) {
	f.Add([]byte(guardrail))
	f.Add([]byte(`{"flow_name":"x"}`))
	f.Add([]byte(`{"flow_name":{},"condition":[],"action":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := ImportGuardrail(b)
		if err != nil {
			if g != (Guardrail{}) {
				t.Fatalf("an error with %+v", g)
			}
			return
		}
		if g.Flow == "" || g.Queue == "" || g.Region.IsZero() || (g.Fallback != FallbackApproval && g.Fallback != FallbackNever) {
			t.Fatalf("%+v", g)
		}
	})
}

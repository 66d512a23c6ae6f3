package main

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/inventory"
	"github.com/cordonsip/cordon/sovereign/evidence"
)

func outsideEndpoints() []admin.Endpoint {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	return []admin.Endpoint{
		{
			Name: "crm", Kind: "crm", Region: "aws:eu-central-1", Countries: []admin.EndpointCountry{{Code: "DE", Standing: "in_eea"}}, Contract: "annex 3", Watched: true, Provider: "CRM Ltd", Parent: "CRM Inc",
			Reach: &admin.EndpointCountry{Code: "US", Standing: "no_adequacy"}, Support: []admin.EndpointCountry{{Code: "IN", Standing: "no_adequacy"}},
			State: inventory.State{Entry: "crm", Endpoint: "crm.example:443", Verdict: inventory.Deny, Ground: "address_undeclared", Why: "it moved", Since: at, Looked: at, Answers: []inventory.Answer{{
				Addr: netip.MustParseAddrPort("198.51.100.7:443"), Verdict: inventory.Deny, Ground: "address_undeclared", Why: "no declared prefix holds it", Standing: evidence.Doubted, Words: "registered in US",
				Evidence: []evidence.Item{{Kind: evidence.RIR, Value: "R", Result: evidence.Contradicts}}, TLS: &inventory.Identity{SPKI: "00ff", Names: []string{"crm.example"}, Issuer: "CN=CA", NotAfter: at, Why: "unknown authority"},
			}}},
		},
		{Name: "idp", Kind: "idp", Contract: "c", Watched: true, State: inventory.State{Verdict: inventory.Permit, Endpoint: "idp.example:443", Answers: []inventory.Answer{{Countries: []string{"FR"}}}}},
		{Name: "cdn", Kind: "cdn", Anycast: true, State: inventory.State{Verdict: inventory.Unknown, Endpoint: "cdn.example:443"}},
	}
}

func TestInventoryListsAndShows(t *testing.T) {
	flags := answers(t, map[string]any{"endpoints": outsideEndpoints()})
	code, out, errs := run(t, append([]string{"inventory", "list"}, flags...)...)
	for _, want := range []string{"crm    crm   DE        ?      deny", "US      IN", "idp    idp   -         FR     permit", "not watched"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("%d: no %q in %q %q", code, want, out, errs)
		}
	}
	if _, out, _ = run(t, append([]string{"inventory", "list", "--against"}, flags...)...); strings.Contains(out, "idp.example") || !strings.Contains(out, "crm.example") {
		t.Errorf("%q", out)
	}
	var v struct {
		Endpoints []admin.Endpoint `json:"endpoints"`
	}
	_, out, _ = run(t, append([]string{"inventory", "list", "--json"}, flags...)...)
	if err := json.Unmarshal([]byte(out), &v); err != nil || len(v.Endpoints) != 3 || v.Endpoints[0].State.Answers[0].Addr.String() != "198.51.100.7:443" {
		t.Errorf("%v: %s", err, out)
	}
	flags = answers(t, outsideEndpoints()[0])
	_, out, errs = run(t, append([]string{"inventory", "show", "crm"}, flags...)...)
	for _, want := range []string{"deny since", "aws:eu-central-1 DE (in eea) by annex 3", "CRM Inc US (no adequacy)", "support from  IN (no adequacy)", "doubted: registered in US", "crm.example by CN=CA", "unknown authority", "rir"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in %q %q", want, out, errs)
		}
	}
}

func TestStatusCountsWhatIsNotPermitted(t *testing.T) {
	if got := against(map[string]int{"permit": 3, "deny": 1, "unprovable": 2}); got != "1 deny, 2 unprovable" {
		t.Errorf("%q", got)
	}
	if got := against(map[string]int{"permit": 3}); got != "" {
		t.Errorf("%q", got)
	}
}

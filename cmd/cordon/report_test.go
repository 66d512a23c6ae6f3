package main

import (
	"crypto/ed25519"
	"encoding/json"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/audit/report"
)

const withProvider = `tenant: {org_id: bank-1, name: Example Bank AG}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1, allow: [aws:eu-central-1, "carrier:de"]}
regions:
  - {key: "carrier:de", country: DE, contract: "trunk agreement"}
places:
  - {prefix: 127.1.0.0/16, region: "carrier:de", contract: "trunk agreement"}
  - {prefix: 127.10.0.0/16, region: aws:eu-central-1, contract: "MSA annex 2"}
listeners:
  - {transport: tcp, address: "127.5.0.10:5060"}
trunks:
  - name: carrier
    region: "carrier:de"
    contract: "MSA 7"
    provider: {name: Carrier GmbH, hq_country: DE, function: F1, start: 2025-01-01, reliance: full}
    members: [{host: 127.1.0.10, transport: tcp}]
    media: {security: plain}
edge_groups:
  - {name: cloud, region: aws:eu-central-1, members: [{host: 127.10.0.10, transport: tls}]}
  - {name: second, region: aws:eu-central-1, members: [{host: 127.10.0.11, transport: tls}]}
routes:
  - {name: in, direction: inbound, from: [carrier], to: [{party: cloud}, {party: second}]}
`

// reported is a log on disk with a lawful call, one in a country that nobody declared, and a violation if that is wanted.
func reported(t *testing.T, violation bool) (state, config string) {
	t.Helper()
	hop := func(leg, country, standing string) audit.ReceiptHop {
		return audit.ReceiptHop{Leg: leg, Plane: "signalling", DeclaredCountry: country, Verdict: standing, Instrument: map[string]string{"CH": "2000/518/EC"}[country]}
	}
	calls := []audit.Event{
		audit.NodeStarted{},
		audit.Receipt{CallRef: "1", Direction: "inbound", Trunk: "carrier", EdgeGroup: "cloud", Overall: "compliant", TInvite: time.Now(), Hops: []audit.ReceiptHop{hop("a", "DE", "in_eea"), hop("b", "DE", "in_eea")}},
		audit.Receipt{CallRef: "2", Direction: "inbound", Trunk: "carrier", EdgeGroup: "cloud", Overall: "compliant", TInvite: time.Now(), Hops: []audit.ReceiptHop{hop("a", "DE", "in_eea"), hop("b", "CH", "adequate")}},
	}
	if violation {
		calls = append(calls, audit.Receipt{CallRef: "3", Direction: "inbound", Trunk: "carrier", EdgeGroup: "cloud", Overall: "violation", TInvite: time.Now()})
	}
	return logged(t, append(calls, audit.NodeStopped{})...)
}

// logged is a log on disk with these events, beside a configuration.
func logged(t *testing.T, list ...audit.Event) (state, config string) {
	t.Helper()
	dir := t.TempDir()
	state, config = filepath.Join(dir, "state"), filepath.Join(dir, "cordon.yaml")
	if err := os.WriteFile(config, []byte(withProvider), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	l, _, err := audit.Open(t.Context(), audit.Config{Dir: filepath.Join(state, "log"), Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "bank-1/edge-1", Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, ev := range list {
		if _, err := l.Commit(t.Context(), ev); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(state, "log.vkey"), []byte(l.VerifierKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return state, config
}

// TestReports: each report from a log on disk, in its three forms, with the checkpoint that covers it; what does not hold gives none.
func TestReports(t *testing.T) {
	state, config := reported(t, false)
	says := func(code int, want string, args ...string) string {
		t.Helper()
		got, out, errs := run(t, append([]string{"report"}, args...)...)
		if got != code || !strings.Contains(out+errs, want) {
			t.Errorf("report %v: exit %d, want %d and %q\n%s%s", args, got, code, want, out, errs)
		}
		return out
	}
	says(0, "0 calls were terminated where the policy does not permit it", "residency", state)
	says(0, "CH       1      1", "residency", state)
	says(0, "Observed and not declared: CH (cloud).", "register", state, "-c", config)
	says(0, "F1", "register", state, "-c", config)
	says(0, "second", "register", state, "-c", config)
	says(0, "GDPR Art. 45: 2000/518/EC", "transfers", state, "-c", config)
	says(0, "No breach of personal data is on record.", "breaches", state)
	says(0, "Example Bank AG", "processing", state, "-c", config)
	says(0, "but for legs of carrier (plain)", "processing", state, "-c", config)
	var r report.ResidencyReport
	if err := json.Unmarshal([]byte(says(0, "", "residency", state, "--format=json")), &r); err != nil || r.Summary.Receipts != 2 || r.Cover.Size != 4 || !strings.Contains(r.Cover.Checkpoint, r.Cover.Root) {
		t.Errorf("%+v, %v", r, err)
	}
	page := filepath.Join(t.TempDir(), "page.html")
	says(0, "", "transfers", state, "-c", config, "--format=html", "-o", page)
	if text, err := os.ReadFile(page); err != nil || !strings.HasPrefix(string(text), "<!doctype html>") || !strings.Contains(html.UnescapeString(string(text)), r.Cover.Root) {
		t.Errorf("%s, %v", text, err)
	}
	says(0, "%PDF-1.7", "register", state, "-c", config, "--format=pdf")
	says(1, "file exists", "transfers", state, "-c", config, "--format=html", "-o", page)
	says(0, "No call.", "residency", state, "--from=2099-01-01")
	says(0, "CH       1", "residency", state, "--to="+time.Now().UTC().Format(time.DateOnly))
	says(2, "neither a day nor a moment", "residency", state, "--from=yesterday")
	says(2, "ends before it begins", "residency", state, "--from=2026-11-21", "--to=2026-11-19")
	bundle := glob(t, filepath.Join(state, "log/tile/entries/000.p/*"))
	change(t, bundle, `"declared_country":"CH"`, `"declared_country":"DE"`)
	says(3, "the log does not hold", "residency", state)
	state, _ = reported(t, true)
	says(3, "1 calls were terminated where the policy does not permit it", "residency", state)
	says(3, "the receipt names no hop", "residency", state)
	state, _ = logged(t, audit.NodeStarted{},
		audit.IncidentOpened{Incident: "INC-1", Title: "heard elsewhere", Since: time.Now()}, audit.IncidentUpdated{Incident: "INC-1", What: "breach_known", At: time.Now().Add(-73 * time.Hour)},
		audit.BreachNoted{Incident: "INC-1", Facts: "calls were heard", By: "p-a"})
	says(3, "known for more than 72 hours and was not notified", "breaches", state)
	if out := says(3, "INC-1", "breaches", state, "--format=json"); strings.Contains(out, "p-a") {
		t.Errorf("the register names who wrote it: %s", out)
	}
}

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/osnet"
)

// gated has one group that the law holds, one that it denies, and people for every word.
const gated = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
regions: [{key: "own:moscow", country: RU, contract: c}]
places:
  - {prefix: 127.1.0.0/16, region: aws:eu-central-1, contract: c}
  - {prefix: 127.2.0.0/16, region: aws:us-east-1, contract: c}
listeners:
  - {transport: udp, address: "127.5.0.10:0"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 127.1.0.10, port: 9, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 127.1.0.11, port: 9, transport: udp}], media: {security: plain}}
  - {name: iad, region: aws:us-east-1, members: [{host: 127.2.0.11, port: 9, transport: udp}], media: {security: plain}, legal_basis: scc-1}
  - {name: lost, region: aws:eu-central-1, members: [{host: 127.3.0.11, port: 9, transport: udp}], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: fra}], fallback_policy: NEVER}
legal_bases:
  - {id: scc-1, kind: "Art46(2)(c)_SCC", document: "SCC module 2", signed_on: 2026-01-02, tia: {document: "TIA 7", date: 2026-01-01, outcome: "adequate with measures"}}
people:
  - {id: anna, roles: [incident_commander], scopes: [org.read], token: {file: anna.token}}
  - {id: ben, roles: [business_owner], scopes: [org.read], token: {file: ben.token}}
  - {id: clara, roles: [dpo], scopes: [org.read], token: {file: clara.token}}
  - {id: dora, roles: [operator], scopes: [org.read], token: {file: dora.token}}
  - {id: erik, roles: [auditor], scopes: [org.read], token: {file: erik.token}}
log: {reserve: 1MiB}
api: {address: "127.0.0.1:0"}
`

// startGate runs a node and gives a way to be one of its people.
func startGate(t *testing.T) (n *cordon.Node, as func(person string, words ...string) (int, string)) {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{"cordon.yaml": gated}
	for _, person := range []string{"anna", "ben", "clara", "dora", "erik"} {
		files[person+".token"] = "token-of-" + person + "\n"
	}
	for file, text := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := configs.Load(filepath.Join(dir, "cordon.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if n, err = cordon.New(t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}, Software: "test", Memory: true}); err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	located(t, n)
	t.Cleanup(func() {
		if err := n.Stop(t.Context(), 0); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return n, func(person string, words ...string) (int, string) {
		t.Helper()
		code, out, errs := run(t, append(append([]string{"gate"}, words...), "--api", "http://"+n.APIAddr().String(), "--token", filepath.Join(dir, person+".token"))...)
		return code, out + errs
	}
}

// located waits until each target has its address: a node that has just started knows none, and says so to whoever asks for a grant.
func located(t *testing.T, n *cordon.Node) {
	t.Helper()
	known := func() bool {
		for _, party := range []string{"carrier", "fra", "iad", "lost"} {
			if !slices.ContainsFunc(n.Checker().Table().ByParty[party], func(s healthcheck.Status) bool { return s.Target.Addr.IsValid() }) {
				return false
			}
		}
		return true
	}
	for end := time.Now().Add(20 * time.Second); !known(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("targets have no address")
		}
	}
}

// told waits until a ticket may be decided on.
func told(t *testing.T, n *cordon.Node, id string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if ticket, _ := n.Gate().Ticket(id); !ticket.NotifiedAt.IsZero() {
			return
		}
	}
	t.Fatal("nobody was told")
}

// A night at the gate by commands alone: a request, a break-glass by two, the debt and its payment.
func TestAGateSessionByCommands(t *testing.T) {
	n, as := startGate(t)
	want := func(person string, code int, pieces []string, words ...string) string {
		t.Helper()
		got, out := as(person, words...)
		for _, piece := range pieces {
			if got != code || !strings.Contains(out, piece) {
				t.Fatalf("%s: gate %s: exit %d, want %d and %q\n%s", person, strings.Join(words, " "), got, code, piece, out)
			}
		}
		return out
	}
	ask := func(group string, more ...string) []string {
		return append([]string{"request", "--trunk=carrier", "--group=" + group, "--reason=the storm", "--alternative=announcement: emergencies wait"}, more...)
	}
	want("dora", 1, []string{"the policy permits that by itself"}, ask("fra")...)
	want("dora", 1, []string{"the gate refused it", "the policy denies it", "on record as ticket"}, ask("lost")...)
	want("dora", 1, []string{"is no legal basis of the catalogue"}, ask("iad", "--basis=our lawyer said so")...)
	want("dora", 1, []string{"a colon"}, "request", "--trunk=carrier", "--group=iad", "--reason=r", "--alternative=none")
	want("clara", 1, []string{"needs one of the roles"}, ask("iad")...)
	out := want("dora", 0, []string{"PENDING", "(dora)", "aws:us-east-1 (US)", "Art46(2)(c)_SCC:scc-1", "SCC module 2, signed 2026-01-02", "TIA 7", "for 30m0s", "at most 5 calls"}, ask("iad", "--for=30m", "--calls=5")...)
	id := strings.Fields(out)[1]
	told(t, n, id)

	want("dora", 1, []string{"needs one of the roles"}, "break-glass", id, "--reason=r")
	want("anna", 0, []string{"PENDING", "one of two has confirmed a break-glass"}, "break-glass", id, "--reason=cards are blocked in no country")
	want("anna", 1, []string{"another person in another role"}, "break-glass", id, "--reason=again")
	want("ben", 1, []string{"another plan"}, "break-glass", id, "--reason=r", "--hash=00")
	want("ben", 0, []string{"BREAK_GLASS_ACTIVE", "glass ", "(anna) as incident_commander", "dpo owes an opinion"}, "break-glass", id, "--reason=agreed on the bridge")
	if grants := n.Gate().Grants(); len(grants) != 1 || !n.Gate().Spend(id) {
		t.Errorf("grants %+v", grants)
	}
	want("erik", 1, []string{"a grant is reviewed when it is over"}, "review", id, "--lawful=yes", "--lessons=l")
	want("dora", 0, []string{"REVIEW_DUE", "missing    the opinion of dpo", "missing    the review"}, "revoke", id, "--reason=Frankfurt is back")
	want("erik", 1, []string{"has not given the opinion that is owed"}, "review", id, "--lawful=yes", "--lessons=l")
	want("clara", 0, []string{"REVIEW_DUE", "no_objection"}, "opine", id, "--opinion=no_objection", "--text=the clauses cover it")
	want("anna", 1, []string{"does not review it"}, "review", id, "--lawful=yes", "--lessons=l")
	want("erik", 0, []string{"REVIEWED", "reviewed", "lawful true, record of processing updated true: call the deputy"}, "review", id, "--lawful=yes", "--updated", "--lessons=call the deputy")
	if ticket, _ := n.Gate().Ticket(id); ticket.State != approval.Reviewed || ticket.Review == nil {
		t.Errorf("%+v", ticket)
	}
	want("anna", 0, []string{"ROUTE", "approvers could act together", "alone"}, "readiness")
}

package main

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/approval"
)

// policyStage is a stage whose route has nothing to ask for: what waits is a policy alone.
func policyStage(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	s.stop()
	s.rewrite("to: [{party: fra}, {party: iad}]", "to: [{party: fra}]", "roles: [business_owner], token", "roles: [business_owner], scopes: [org.read], token")
	if err := os.RemoveAll(s.at("state")); err != nil {
		t.Fatal(err)
	}
	s.start()
	return s
}

// rewrite replaces words of the configuration and gives it back.
func (s *stage) rewrite(words ...string) string {
	s.t.Helper()
	raw, err := os.ReadFile(s.at("cordon.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	text := strings.NewReplacer(words...).Replace(string(raw))
	if text == string(raw) {
		s.t.Fatalf("nothing to replace: %v", words)
	}
	if err := os.WriteFile(s.at("cordon.yaml"), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
	return text
}

// The policy by the command line alone: what was accepted, what a file would change, what waits and for whom, by a node and by its log.
func TestPolicyByTheCommandLine(t *testing.T) {
	s := policyStage(t)
	file := s.at("cordon.yaml")
	s.as("cyn", 0, "first_start: adopted at first start", "policy", "show")
	shown := s.as("cyn", 0, "\nplaces 127.1.0.0/16: aws:eu-central-1, by c\n", "policy", "show")
	for _, want := range []string{"policy.preset: eea_plus_adequacy\n", "law.running_calls: end\n", " (anna): {", "(log entry "} {
		if !strings.Contains(shown, want) {
			t.Errorf("no %q in\n%s", want, shown)
		}
	}
	if strings.Contains(shown, "anna.token") {
		t.Errorf("where a token lies is shown:\n%s", shown)
	}
	s.as("cyn", 0, `"edition": 2`, "policy", "show", "--json")
	s.as("cyn", 0, "nothing waits", "policy", "pending")
	s.as("cyn", 0, "nothing waits", "policy", "diff")
	s.as("cyn", 0, "it says what people accepted", "policy", "diff", file)
	check := func(code int, want string) string {
		return s.says(code, want, "check", file, "--against="+s.api, "--token="+s.at("cyn.token"))
	}
	check(0, "this file opens no ticket: it says what people accepted")

	s.rewrite("policy: {home: aws:eu-central-1}", "policy: {home: aws:eu-central-1, preset: eu_only}", "anna.token", "other.token")
	out := check(3, "cordon: error: this file opens a ticket")
	if !strings.Contains(out, "narrower  policy.preset: lets nothing happen that could not before\n          was  eea_plus_adequacy\n          is   eu_only\n") || strings.Contains(out, "nothing in it is wider") {
		t.Errorf("%s", out)
	}
	s.as("cyn", 0, "signs in with something else\n", "policy", "diff", file)
	s.rewrite("other.token}, keys", "anna.token}, keys", "id: olga", "id: eve")
	s.as("cyn", 0, "people eve: is new, with the roles operator\n", "policy", "diff", file)
	if strings.Contains(s.as("cyn", 0, "(olga)", "policy", "show"), "eve") {
		t.Error("who was only looked at is somebody now")
	}
	s.rewrite("id: eve", "id: olga")
	check(0, "this file opens no ticket: nothing in it is wider")

	s.rewrite("preset: eu_only", "allow: [aws:eu-central-1, aws:us-east-1]")
	if err := s.node.ReloadFile(t.Context(), "olga"); err != nil {
		t.Fatal(err)
	}
	ticket := s.asked()
	pending := s.as("cyn", 0, "wider      policy.allow: aws:us-east-1 is allowed\n", "policy", "pending")
	if !strings.Contains(pending, "ticket     "+ticket+"  PENDING") || !strings.Contains(pending, "waits for  ") || strings.Contains(pending, "waits for  nobody") {
		t.Errorf("%s", pending)
	}
	s.as("cyn", 0, "WIDER     policy.allow: aws:us-east-1 is allowed\n          was  home alone\n          is   aws:eu-central-1, aws:us-east-1\n", "policy", "diff")
	gate := s.as("cyn", 0, "wider      policy.allow: aws:us-east-1 is allowed\nlasts ", "gate", "show", ticket)
	if strings.Contains(gate, "lets       calls") || strings.Contains(gate, "grant until") {
		t.Errorf("%s", gate)
	}
	s.as("cyn", 0, "the policy", "gate", "list")
	s.as("cyn", 0, "1 widenings, ticket "+ticket+" PENDING", "status")
	s.stop()

	out = s.says(3, "not compared: people", "check", file, "--against="+s.at("state"))
	if !strings.Contains(out, "WIDER     policy.allow: aws:us-east-1 is allowed\n") {
		t.Errorf("%s", out)
	}
	s.says(1, "no folder and no address", "check", file, "--against=nowhere")
	s.start()
	s.signs(s.asked())
	show := s.as("cyn", 0, "signed: approved by people", "policy", "show")
	for _, want := range []string{" (anna) as incident_commander: read", "widened    policy.allow: aws:us-east-1 is allowed", "policy.allow: aws:eu-central-1, aws:us-east-1"} {
		if !strings.Contains(show, want) {
			t.Errorf("no %q in\n%s", want, show)
		}
	}
	s.stop()
	s.says(0, "it says what people accepted", "check", file, "--against="+s.at("state"))
}

// signs has anna, ben and dora sign with their keys, and waits until the policy is in force.
func (s *stage) signs(ticket string) {
	s.t.Helper()
	s.as("anna", 0, "approved", "gate", "approve", ticket, "--role=incident_commander", "--reason=read", "--key="+s.at("anna.key"))
	s.as("ben", 0, "approved", "gate", "approve", ticket, "--role=business_owner", "--reason=read", "--key="+s.at("ben.key"))
	s.as("dora", 0, "opinion", "gate", "opine", ticket, "--opinion=no_objection", "--text=fine", "--key="+s.at("dora.key"))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		if slices.ContainsFunc(s.node.Gate().Tickets(), func(t approval.Ticket) bool { return t.ID == ticket && t.State == approval.Applied }) {
			return
		}
		<-tick.C
	}
	s.t.Fatal("the signed policy is not in force")
}

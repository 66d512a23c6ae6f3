package cordon_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/state"
)

// asked waits until people were asked about a wider policy and were told of it.
func asked(t *testing.T, n *cordon.Node) (ticket approval.Ticket) {
	t.Helper()
	waitFor(t, "a ticket for the wider policy", func() bool {
		for _, one := range n.Gate().Tickets() {
			if one.Plan.Change != nil && one.State == approval.Pending && !one.NotifiedAt.IsZero() {
				ticket = one
				return true
			}
		}
		return false
	})
	return ticket
}

// signed has anna, ben and clara sign the wider policy that waits, and waits until it is in force.
func signed(t *testing.T, n *cordon.Node) approval.Ticket {
	t.Helper()
	ticket, g := asked(t, n), n.Gate()
	for person, role := range map[string]string{"anna": "ciso", "ben": "business_owner"} {
		if _, err := g.Decide(t.Context(), ticket.ID, person, role, true, "read", ticket.PlanHash, "bearer"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := g.Opine(t.Context(), ticket.ID, "clara", approval.NoObjection, "", false); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the signed policy in force", func() bool {
		ticket, _ = g.Ticket(ticket.ID)
		return ticket.State == approval.Applied
	})
	return ticket
}

var (
	stockholm = sovereign.Region{Provider: "aws", Code: "eu-north-1"}
	dublin    = sovereign.Region{Provider: "aws", Code: "eu-west-1"}
)

// allowing is nodeConfig with an allow-list.
func allowing(regions string) string {
	return strings.Replace(nodeConfig, "policy: {home: aws:eu-central-1", "policy: {allow: [aws:eu-central-1"+regions+"], home: aws:eu-central-1", 1)
}

func permitted(n *cordon.Node, r sovereign.Region) bool {
	return n.Fence().Snapshot().JudgeRegion(r, time.Now()).Permitted()
}

// accepted are the causes of acceptance in the log, in order.
func accepted(t *testing.T, n *cordon.Node) (causes []string, last audit.PolicyAccepted) {
	t.Helper()
	for _, e := range entries(t, n, audit.KindPolicyAccepted) {
		if err := json.Unmarshal(e.Body, &last); err != nil {
			t.Fatal(err)
		}
		causes = append(causes, last.Cause)
	}
	return causes, last
}

func entries(t *testing.T, n *cordon.Node, kind audit.Kind) (out []audit.Entry) {
	t.Helper()
	list, err := n.Log().Entries(t.Context(), 0, 4000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if e.Kind == kind {
			out = append(out, e)
		}
	}
	return out
}

func reloaded(t *testing.T, n *cordon.Node, dir, text, by string) {
	t.Helper()
	writeConfig(t, dir, text)
	if err := n.ReloadFile(t.Context(), by); err != nil {
		t.Fatal(err)
	}
}

// What is wider waits for two people and the opinion, whoever wrote the file; what is narrower in the same file does not wait.
func TestAWiderPolicyWaitsForPeopleAndANarrowerOneForNobody(t *testing.T) {
	dir := t.TempDir()
	n := boot(t, writeConfig(t, dir, allowing(", aws:eu-north-1")))
	defer n.Stop(context.Background(), 0)
	if !permitted(n, stockholm) || permitted(n, dublin) {
		t.Fatal("the first policy is not the file's")
	}
	if causes, last := accepted(t, n); !slices.Equal(causes, []string{"first_start"}) || last.Why != "adopted at first start" {
		t.Errorf("%v, %+v", causes, last)
	}
	reloaded(t, n, dir, allowing(", aws:eu-west-1"), "anna")
	if permitted(n, stockholm) {
		t.Error("what the file takes away is still permitted")
	}
	if permitted(n, dublin) {
		t.Error("what the file adds is permitted without a signature")
	}
	ticket := asked(t, n)
	if got := ticket.Plan.Change.Widenings; !slices.Equal(got, []string{"policy.allow: aws:eu-west-1 is allowed"}) || ticket.RequestedBy != n.Names().Person("anna") {
		t.Errorf("%v asked by %s", got, ticket.RequestedBy)
	}
	_, err := n.Gate().Decide(t.Context(), ticket.ID, "anna", "ciso", true, "mine", ticket.PlanHash, "bearer")
	var refused *approval.Refusal
	if !errors.As(err, &refused) || refused.Rule != approval.RuleRequester {
		t.Errorf("who reloaded signed: %v", err)
	}
	held := entries(t, n, audit.KindWideningHeld)
	if len(held) != 1 || !strings.Contains(string(held[0].Body), `"cause":"reload"`) || !strings.Contains(string(held[0].Body), "aws:eu-west-1 is allowed") {
		t.Errorf("%v", held)
	}
	reloaded(t, n, dir, allowing(", aws:eu-west-1"), "anna")
	if n := len(entries(t, n, audit.KindWideningHeld)); n != 1 {
		t.Errorf("the same file again: %d events", n)
	}

	// A further changed file is another question; the old one is over.
	reloaded(t, n, dir, allowing(", aws:eu-west-1, aws:eu-north-1"), "")
	if old, _ := n.Gate().Ticket(ticket.ID); old.State != approval.Superseded && old.State != approval.Invalidated {
		t.Errorf("the ticket of the older file is %s", old.State)
	}
	done := signed(t, n)
	if !permitted(n, dublin) || !permitted(n, stockholm) || n.Fence().Snapshot().Within() != nil {
		t.Error("what people signed is not in force")
	}
	causes, last := accepted(t, n)
	if !slices.Equal(causes, []string{"first_start", "signed"}) || last.Ticket != done.ID || last.Charter != done.Plan.Change.To || last.Before != done.Plan.Change.From {
		t.Errorf("%v, %+v", causes, last)
	}
	if n.Fence().Snapshot().Generation() == 0 || !strings.Contains(done.Why, "entry") {
		t.Errorf("%s", done.Why)
	}
	reloaded(t, n, dir, nodeConfig, "anna")
	if causes, _ := accepted(t, n); permitted(n, dublin) || causes[len(causes)-1] != "narrower" {
		t.Errorf("narrower: %v", causes)
	}
	for _, e := range entries(t, n, audit.KindPolicyCharter) {
		if strings.Contains(string(e.Body), "anna") || strings.Contains(string(e.Body), "CORDON_TEST_CLARA") {
			t.Errorf("a person stands in the log: %s", e.Body)
		}
	}
}

// Somebody with a hand on the file adds himself as an approver, takes another one out and approves: he has no say in it.
func TestNobodyMakesHimselfAnApprover(t *testing.T) {
	dir := t.TempDir()
	n := boot(t, writeConfig(t, dir, nodeConfig))
	defer n.Stop(context.Background(), 0)
	eve := strings.Replace(allowing(", aws:eu-north-1"), "{id: ben, roles: [business_owner], token: {env: T2}}", "{id: eve, roles: [business_owner, crisis_manager], token: {env: T3}}", 1)
	eve = strings.Replace(eve, "{id: anna, roles: [ciso]", "{id: anna, roles: [ciso, incident_commander]", 1)
	reloaded(t, n, dir, eve, "")
	ticket := asked(t, n)
	decide := func(person, role string) string {
		_, err := n.Gate().Decide(t.Context(), ticket.ID, person, role, true, "mine", ticket.PlanHash, "bearer")
		var r *approval.Refusal
		if errors.As(err, &r) {
			return r.Rule
		}
		return fmt.Sprint(err)
	}
	if got := decide("eve", "crisis_manager"); got != approval.RuleUnknownPerson {
		t.Errorf("eve: %s", got)
	}
	if got := decide("anna", "incident_commander"); got != approval.RuleRoleNotHeld {
		t.Errorf("anna in a role that the file gives her: %s", got)
	}
	for _, p := range n.Config().People {
		if p.ID == "eve" {
			t.Error("eve may sign in")
		}
	}
	signed(t, n) // anna and ben, whom the file left out: without him nobody could sign
	if got := len(n.Config().People); got != 3 || n.Config().People[1].ID != "eve" {
		t.Errorf("%d people once it was signed", got)
	}
}

// A node that is killed while a wider policy waits comes up with the old one, asks again, and puts in force what was signed before it could say so.
func TestARestartDoesNotWiden(t *testing.T) {
	for name, before := range map[string]func(t *testing.T, n *cordon.Node, dir string){
		"the file changed while it was down": func(_ *testing.T, n *cordon.Node, _ string) { n.Close(context.Background()) },
		"killed while it waited": func(t *testing.T, n *cordon.Node, dir string) {
			reloaded(t, n, dir, allowing(", aws:eu-north-1"), "")
			asked(t, n)
			n.Close(context.Background())
		},
		"killed while it waited, state lost": func(t *testing.T, n *cordon.Node, dir string) {
			reloaded(t, n, dir, allowing(", aws:eu-north-1"), "")
			asked(t, n)
			n.Close(context.Background())
			forgetState(t, dir)
		},
		"stopped while it waited, state lies": func(t *testing.T, n *cordon.Node, dir string) {
			reloaded(t, n, dir, allowing(", aws:eu-north-1"), "")
			_ = n.Stop(context.Background(), 0)
			forge(t, dir)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			file := writeConfig(t, dir, nodeConfig)
			before(t, boot(t, file), dir)
			writeConfig(t, dir, allowing(", aws:eu-north-1"))
			n := boot(t, file)
			if permitted(n, stockholm) || n.Fence().Snapshot().Within() == nil {
				t.Fatal("a restart made it wider")
			}
			ticket := asked(t, n)
			for person, role := range map[string]string{"anna": "ciso", "ben": "business_owner"} {
				if _, err := n.Gate().Decide(t.Context(), ticket.ID, person, role, true, "read", ticket.PlanHash, "bearer"); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := n.Gate().Opine(t.Context(), ticket.ID, "clara", approval.NoObjection, "", false); err != nil {
				t.Fatal(err)
			}
			n.Close(context.Background()) // it may be in force by now, or not
			n = boot(t, file)
			defer n.Stop(context.Background(), 0)
			waitFor(t, "what was signed", func() bool { return permitted(n, stockholm) })
			waitFor(t, "the end of its ticket", func() bool { got, _ := n.Gate().Ticket(ticket.ID); return got.State == approval.Applied })
			if causes, _ := accepted(t, n); !slices.Equal(causes, []string{"first_start", "signed"}) {
				t.Errorf("%v", causes)
			}
		})
	}
}

func forgetState(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, "state", "state")); err != nil {
		t.Fatal(err)
	}
}

// forge writes into the state that another policy was accepted, and that eve is one of its people.
func forge(t *testing.T, dir string) {
	t.Helper()
	kv, err := state.Open(t.Context(), state.Config{Dir: filepath.Join(dir, "state", "state"), Node: "edge-1"})
	if err != nil {
		t.Fatal(err)
	}
	defer kv.Close()
	item, err := kv.Get(t.Context(), "policy.accepted")
	if err != nil {
		t.Fatal(err)
	}
	forged := regexp.MustCompile(`"charter":"\w+"`).ReplaceAll(item.Data, []byte(`"charter":"00"`))
	forged = bytes.ReplaceAll(forged, []byte("id: ben"), []byte("id: eve"))
	if bytes.Equal(forged, item.Data) || !bytes.Contains(forged, []byte("id: eve")) {
		t.Fatalf("%s", item.Data)
	}
	if _, err := kv.Swap(t.Context(), "policy.accepted", item.Rev, forged); err != nil {
		t.Fatal(err)
	}
}

// Where the policy is another one by the time that it would come into force, nothing does, and people are asked anew.
func TestWhatWasNotSignedIsNotPutInForce(t *testing.T) {
	dir := t.TempDir()
	n := boot(t, writeConfig(t, dir, nodeConfig))
	defer n.Stop(context.Background(), 0)
	reloaded(t, n, dir, allowing(", aws:eu-north-1"), "")
	ticket := asked(t, n)
	if err := n.Names().Erase("clara"); err != nil { // she is another pseudonym from here on, so the charter is another text
		t.Fatal(err)
	}
	for person, role := range map[string]string{"anna": "ciso", "ben": "business_owner"} {
		if _, err := n.Gate().Decide(t.Context(), ticket.ID, person, role, true, "read", ticket.PlanHash, "bearer"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := n.Gate().Opine(t.Context(), ticket.ID, "clara", approval.NoObjection, "", false); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the end of what was signed", func() bool { got, _ := n.Gate().Ticket(ticket.ID); return got.State == approval.Invalidated })
	if next := asked(t, n); next.ID == ticket.ID || next.Plan.Change.To == ticket.Plan.Change.To {
		t.Errorf("%+v", next)
	}
	if permitted(n, stockholm) {
		t.Error("something is in force that nobody signed")
	}
}

// A denial leaves it held, a restart does not ask again, and the file of before ends it.
func TestADeniedPolicyStaysHeld(t *testing.T) {
	dir := t.TempDir()
	file := writeConfig(t, dir, nodeConfig)
	n := boot(t, file)
	reloaded(t, n, dir, allowing(", aws:eu-north-1"), "")
	ticket := asked(t, n)
	if _, err := n.Gate().Decide(t.Context(), ticket.ID, "ben", "business_owner", false, "no", ticket.PlanHash, "bearer"); err != nil {
		t.Fatal(err)
	}
	_ = n.Stop(context.Background(), 0)
	n = boot(t, file)
	defer n.Stop(context.Background(), 0)
	reloaded(t, n, dir, allowing(", aws:eu-north-1"), "") // nor does the same file once more
	for _, one := range n.Gate().Tickets() {
		if one.State == approval.Pending {
			t.Errorf("asked again: %+v", one.Plan.Change)
		}
	}
	if permitted(n, stockholm) {
		t.Error("denied, and permitted")
	}
	reloaded(t, n, dir, allowing(", aws:eu-north-1"), "clara")
	asked(t, n) // by somebody who wants it
	reloaded(t, n, dir, nodeConfig, "")
	if n.Fence().Snapshot().Within() != nil || slices.ContainsFunc(n.Gate().Tickets(), func(one approval.Ticket) bool { return one.State == approval.Pending }) {
		t.Error("something is held after the file was put back")
	}
}

// A node at which nobody could ever sign goes on as it did, and says so.
func TestWithoutPeopleAWiderPolicyIsTakenAndTold(t *testing.T) {
	dir := t.TempDir()
	alone := strings.Replace(nodeConfig, "  - {id: ben, roles: [business_owner], token: {env: T2}}\n", "", 1)
	n := boot(t, writeConfig(t, dir, alone))
	defer n.Stop(context.Background(), 0)
	reloaded(t, n, dir, strings.Replace(alone, "policy: {home", "policy: {allow: [aws:eu-central-1, aws:eu-north-1], home", 1), "anna")
	causes, last := accepted(t, n)
	if !permitted(n, stockholm) || !slices.Equal(causes, []string{"first_start", "unsigned"}) || last.Why != "unsigned: nobody is enrolled who could sign" ||
		!slices.Equal(last.Widenings, []string{"policy.allow: aws:eu-north-1 is allowed"}) || last.By != n.Names().Person("anna") {
		t.Errorf("%v, %+v", causes, last)
	}
}

// A charter that is longer than an entry may be is read back from its pieces.
func TestALongPolicyStandsInPieces(t *testing.T) {
	dir := t.TempDir()
	var places strings.Builder
	for i := range 1200 {
		fmt.Fprintf(&places, "  - {prefix: 10.%d.%d.0/24, region: aws:eu-central-1, contract: \"Anhang „ä“ %d\"}\n", i/256, i%256, i)
	}
	text := strings.Replace(nodeConfig, "places:\n", "places:\n"+places.String(), 1)
	if text == nodeConfig {
		t.Fatal("no places in the configuration")
	}
	file := writeConfig(t, dir, text)
	n := boot(t, file)
	if _, last := accepted(t, n); len(last.Pieces) < 5 {
		t.Errorf("%d pieces", len(last.Pieces))
	}
	_ = n.Stop(context.Background(), 0)
	n = boot(t, file)
	defer n.Stop(context.Background(), 0)
	if causes, _ := accepted(t, n); len(causes) != 1 {
		t.Errorf("accepted again: %v", causes)
	}
}

// A deputy for a role that nobody holds is somebody who can sign: what is wider waits for him, and his word counts.
func TestADeputyIsSomebodyWhoCanSign(t *testing.T) {
	dir := t.TempDir()
	deputy := strings.NewReplacer("{id: ben, roles: [business_owner]", "{id: ben, roles: [operator], deputy_for: [business_owner]").Replace
	n := boot(t, writeConfig(t, dir, deputy(nodeConfig)))
	defer n.Stop(context.Background(), 0)
	reloaded(t, n, dir, deputy(allowing(", aws:eu-north-1")), "")
	if permitted(n, stockholm) {
		t.Fatal("taken without a signature")
	}
	signed(t, n)
	if causes, _ := accepted(t, n); !permitted(n, stockholm) || !slices.Equal(causes, []string{"first_start", "signed"}) {
		t.Errorf("%v", causes)
	}
}

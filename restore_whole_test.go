package cordon_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/sovereign"
)

// TestEverythingThatPeopleDecidedComesBack holds that a node on a restored log stands as the lost one did, although neither its state nor its intents are in the copy: a cut, a state of service,
// a legal hold, an incident with its clocks, a grant, an opinion and the accepted policy are in the log, and are read from it.
func TestEverythingThatPeopleDecidedComesBack(t *testing.T) {
	for who, token := range map[string]string{"T1": "anna's token", "T2": "ben's token", "CORDON_TEST_CLARA": "clara's token"} {
		t.Setenv(who, token)
	}
	l := &lostNode{t: t, s: newStore(t, "127.1.0.78"), dir: t.TempDir()}
	text := strings.NewReplacer(
		"roles: [ciso],", "roles: [ciso, operator], scopes: [org.read],",
		"roles: [business_owner],", "roles: [business_owner], scopes: [org.read],",
		"listeners:\n", "  - {prefix: 127.2.0.0/16, region: aws:us-east-1, contract: c}\nlisteners:\n",
		"routes:\n", `  - {name: iad, region: aws:us-east-1, members: [{host: 127.2.0.11, transport: udp}], media: {security: plain}, legal_basis: scc-1}
legal_bases:
  - {id: scc-1, kind: "Art46(2)(c)_SCC", document: "SCC module 2", signed_on: 2026-01-02, tia: {document: "TIA 7", date: 2026-01-01, outcome: "adequate with measures"}}
routes:
`).Replace(l.s.copied(""))
	l.file = writeConfig(t, l.dir, text)
	l.node = boot(t, l.file)
	l.key = l.node.Log().VerifierKey()
	order := func(path, token, body string) {
		t.Helper()
		if status, answer, _ := knock(t, l.node, "POST", "/api/v1/"+path, token, body); status != 200 {
			t.Fatalf("%s: %d %s", path, status, answer)
		}
	}
	waitFor(t, "an address of iad", func() bool {
		list := l.node.Checker().Table().ByParty["iad"]
		return len(list) > 0 && list[0].Target.Addr.IsValid()
	})
	order("tickets", "anna's token", `{"trunks":["carrier"],"edge_groups":["iad"],"reason":"the storm","alternatives_considered":[{"option":"announcement","why_not":"emergencies wait"}]}`)
	var id string
	waitFor(t, "that people were told", func() bool {
		for _, one := range l.node.Gate().Tickets() {
			if !one.NotifiedAt.IsZero() {
				id = one.ID
			}
		}
		return id != ""
	})
	order("tickets/"+id+"/opinions", "clara's token", `{"opinion":"no_objection"}`)
	order("holds", "clara's token", `{"reason":"court order 12","from":"2026-01-01","to":"2026-12-31"}`)
	order("incidents", "anna's token", `{"title":"no caller hears anything","parties":["carrier"]}`)
	order("sever", "anna's token", `{"kind":"group","name":"fra","reason":"intrusion"}`)
	before := shape(t, l.node)
	if err := l.node.Stop(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	r, err := cordon.Restore(t.Context(), l.options())
	if err != nil || r.Mode != "same_log" {
		t.Fatalf("%v %+v", err, r)
	}
	if _, err := os.Stat(filepath.Join(r.Dir, "state")); err == nil {
		t.Error("a state came back: this test shows nothing")
	}
	n := boot(t, writeConfig(t, l.dir, strings.Replace(text, "state_dir: state", "state_dir: "+r.Dir, 1))) // beside the same suspensions file: with another one the policy would be wider
	defer n.Stop(t.Context(), 0)
	after := ""
	for end := time.Now().Add(10 * time.Second); after != before && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		after = shape(t, n)
	}
	if after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if n.Fence().Snapshot().JudgeParty("fra", sovereign.Signalling, sovereign.Production, r.Last).Permitted() {
		t.Error("what was cut off is open")
	}
	for _, e := range entriesOf(t, n)[r.Entries:] {
		if e.Kind == audit.KindPolicyAccepted || e.Kind == audit.KindWideningHeld {
			t.Errorf("the accepted policy was not found in the log: %s %s", e.Kind, e.Body)
		}
	}
}

// shape is what people decided, as the node has it.
func shape(t *testing.T, n *cordon.Node) string {
	t.Helper()
	var b strings.Builder
	for _, one := range n.Gate().Tickets() {
		fmt.Fprintf(&b, "ticket %s %s %s %v %v\n", one.ID, one.State, one.PlanHash, one.Decisions, one.Opinions)
	}
	for _, c := range n.Severs().Severed() {
		fmt.Fprintf(&b, "cut %s %s %s\n", c.Kind, c.Name, c.Reason)
	}
	for _, path := range []string{"holds", "incidents"} {
		status, answer, _ := knock(t, n, "GET", "/api/v1/"+path, "anna's token", "")
		fmt.Fprintf(&b, "%s %d %s\n", path, status, answer)
	}
	return b.String()
}

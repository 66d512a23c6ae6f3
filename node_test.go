package cordon_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
)

func TestEveryExampleBoots(t *testing.T) {
	list, err := filepath.Glob(filepath.Join(examples(t), "*.yaml"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, file := range list {
		t.Run(filepath.Base(file), func(t *testing.T) {
			cfg, err := configs.Load(file)
			if err != nil {
				t.Fatal(err)
			}
			n, err := cordon.New(t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}, Memory: true, Software: "test"})
			if err != nil {
				t.Fatal(err)
			}
			if err := n.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if len(n.Addrs()) != len(cfg.Listeners) {
				t.Errorf("listeners: %v", n.Addrs())
			}
			if err := n.Stop(t.Context(), 0); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// nodeConfig is a node on a disk: one trunk, one group that nobody answers for.
const nodeConfig = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1, suspensions_file: suspended.jsonl, suspension_keys: {k: "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="}}
places:
  - {prefix: 127.1.0.0/16, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: udp, address: "127.5.0.10:0"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 127.1.0.10, transport: udp}], media: {security: plain}, t38: allow}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 127.1.0.11, transport: udp}], media: {security: plain}, t38: allow}
routes:
  - {name: in, direction: inbound, to: [{party: fra}]}
people:
  - {id: anna, roles: [ciso], token: {env: T1}}
  - {id: ben, roles: [business_owner], token: {env: T2}}
  - {id: clara, roles: [dpo], token: {env: CORDON_TEST_CLARA}}
log: {reserve: 1MiB}
api: {address: "127.0.0.1:0"}
`

func writeConfig(t *testing.T, dir, text string) string {
	t.Helper()
	file := filepath.Join(dir, "cordon.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func boot(t *testing.T, file string) *cordon.Node {
	t.Helper()
	cfg, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	n, err := cordon.New(t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}, Software: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return n
}

func kinds(t *testing.T, n *cordon.Node) []audit.Kind {
	t.Helper()
	list, err := n.Log().Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]audit.Kind, len(list))
	for i, e := range list {
		out[i] = e.Kind
	}
	return out
}

func TestALogOfTwoRunsVerifiesAndACrashLeavesAGapRecord(t *testing.T) {
	dir := t.TempDir()
	file := writeConfig(t, dir, nodeConfig)
	n := boot(t, file)
	n.Close(context.Background()) // as a crash: no last entry
	n = boot(t, file)
	var gap bool
	for _, k := range kinds(t, n) {
		gap = gap || k == audit.KindGap
	}
	if !gap {
		t.Errorf("no gap record after a crash: %v", kinds(t, n))
	}
	if err := n.Stop(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(dir, "state", "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := audit.Verify(t.Context(), filepath.Join(dir, "state", "log"), strings.TrimSpace(string(key)))
	if err != nil || v.Bad != nil {
		t.Fatalf("%+v, %v", v.Bad, err)
	}
	for _, secret := range []string{"log.key", "mac.key"} {
		info, err := os.Stat(filepath.Join(dir, "state", "keys", secret))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", secret, info, err)
		}
	}
}

func TestAKeyThatOthersCanReadIsRefused(t *testing.T) {
	dir := t.TempDir()
	file := writeConfig(t, dir, nodeConfig)
	n := boot(t, file)
	if err := n.Stop(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dir, "state", "keys", "log.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := configs.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cordon.New(t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("got %v", err)
	}
}

func TestReloadTakesWhatItCanAndRefusesTheRest(t *testing.T) {
	dir := t.TempDir()
	file := writeConfig(t, dir, nodeConfig)
	n := boot(t, file)
	defer n.Stop(context.Background(), 0)
	before := n.Fence().Snapshot()

	wider := strings.Replace(nodeConfig, "policy: {home: aws:eu-central-1", "policy: {allow: [aws:eu-central-1, aws:eu-north-1], home: aws:eu-central-1", 1)
	writeConfig(t, dir, wider)
	if err := n.ReloadFile(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	signed(t, n)
	after := n.Fence().Snapshot()
	if after.PolicyDigest() == before.PolicyDigest() || after.Generation() <= before.Generation() {
		t.Error("the reload changed nothing")
	}

	for name, text := range map[string]string{
		"a mistake":       strings.Replace(wider, "party: fra", "party: fta", 1),
		"another node":    strings.Replace(wider, "name: edge-1", "name: edge-2", 1),
		"another address": strings.Replace(wider, "127.5.0.10:0", "127.5.0.11:0", 1),
		"another limit":   wider + "limits: {max_calls: 7}\n",
		"a collector":     wider + "spans: {endpoint: \"https://127.1.0.99/v1/traces\"}\n",
		"another log":     strings.Replace(wider, "reserve: 1MiB", "reserve: 2MiB", 1),
	} {
		writeConfig(t, dir, text)
		if err := n.ReloadFile(t.Context(), "anna"); err == nil {
			t.Errorf("%s: taken", name)
		}
		if n.Fence().Snapshot().PolicyDigest() != after.PolicyDigest() {
			t.Errorf("%s: the policy in force changed", name)
		}
	}
	list, err := n.Log().Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	refused := 0
	for _, e := range list {
		if e.Kind == audit.KindReloadRefused {
			refused++
		}
		if strings.Contains(string(e.Body), "anna") {
			t.Errorf("a name stands in the log: %s", e.Body)
		}
	}
	if refused != 6 {
		t.Errorf("%d refused reloads in the log, want 6", refused)
	}
}

// The log must name the one who acted: a token that is two people's keeps a node from starting, and a reload from being taken.
func TestATokenOfTwoPeopleIsRefused(t *testing.T) {
	dir := t.TempDir()
	for name, token := range map[string]string{"anna": "one\n", "ben": "two\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(token), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := strings.NewReplacer("{env: T1}", "{file: anna}", "{env: T2}", "{file: ben}").Replace(nodeConfig)
	n := boot(t, writeConfig(t, dir, text))
	defer n.Stop(context.Background(), 0)
	if err := os.WriteFile(filepath.Join(dir, "ben"), []byte("one"), 0o600); err != nil {
		t.Fatal(err)
	}
	const want = "people[1].token: has the same value as that of people[0]"
	if err := n.ReloadFile(t.Context(), "anna"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the reload said %v", err)
	}
	list, err := n.Log().Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	if last := list[len(list)-1]; last.Kind != audit.KindReloadRefused || !strings.Contains(string(last.Body), want) || strings.Contains(string(last.Body), "anna") {
		t.Errorf("the log ends with %s %s", last.Kind, last.Body)
	}
	cfg, err := configs.Load(filepath.Join(dir, "cordon.yaml"))
	if err != nil {
		t.Fatal(err) // check reads no secrets
	}
	if _, err := cordon.New(t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}, Memory: true}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the start said %v", err)
	}
}

func TestASuspensionThatNobodyMaySignChangesNothing(t *testing.T) {
	dir := t.TempDir()
	n := boot(t, writeConfig(t, dir, nodeConfig))
	defer n.Stop(context.Background(), 0)
	before := n.Fence().Snapshot().FactsDigest()
	forged := `{"instrument":"2000/518/EC","since":"2026-01-01T00:00:00Z","reason":"x","key_id":"k","sig":"AAAA"}` + "\n"
	if err := os.WriteFile(filepath.Join(dir, "suspended.jsonl"), []byte(forged), 0o644); err != nil {
		t.Fatal(err)
	}
	await(t, n, 0, audit.KindSuspensionRefused)
	if n.Fence().Snapshot().FactsDigest() != before {
		t.Fatal("a forged line is in force")
	}
}

// await waits until the log has an entry of a kind, the first one from an index on, and gives the index behind it.
func await(t *testing.T, n *cordon.Node, from uint64, kind audit.Kind) uint64 {
	t.Helper()
	for {
		list, err := n.Log().Entries(t.Context(), from, 100)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if from = e.Seq + 1; e.Kind == kind {
				return from
			}
		}
		select {
		case <-n.Log().Grown(from):
		case <-time.After(10 * time.Second):
			t.Fatalf("the log has no further %s", kind)
		}
	}
}

// A reload that brings the key of a line that was refused takes it as the watch of the file does: the log tells, and tickets that rest on the law before end.
func TestASuspensionThatComesWithAReloadIsTold(t *testing.T) {
	dir := t.TempDir()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	line, err := sovereign.SignSuspension(sovereign.Suspension{Instrument: "2000/518/EC", Since: time.Now(), Reason: "annulled", KeyID: "law"}, private)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "suspended.jsonl"), append(line, "\nno line of ours\n"...), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	n := boot(t, writeConfig(t, dir, nodeConfig)) // that nobody may have signed a line is no reason not to start
	defer n.Stop(context.Background(), 0)
	next := await(t, n, 0, audit.KindSuspensionRefused)
	s := n.Fence().Snapshot()
	ticket := proposed(t, n)
	writeConfig(t, dir, strings.Replace(nodeConfig, "suspension_keys: {", `suspension_keys: {law: "`+base64.StdEncoding.EncodeToString(public)+`", `, 1))
	if err := n.ReloadFile(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if after := n.Fence().Snapshot(); len(after.Suspended()) != 1 || after.FactsDigest() == s.FactsDigest() {
		t.Fatalf("in force: %+v", after.Suspended())
	}
	if got, ok := n.Gate().Ticket(ticket.ID); !ok || got.State != approval.Invalidated {
		t.Errorf("a ticket that rests on what was struck: %+v", got.State)
	}
	told := kinds(t, n)[next:]
	if !slices.Contains(told, audit.KindLawSuspended) || !slices.Contains(told, audit.KindSuspensionRefused) {
		t.Errorf("the log tells of the line that counts, and of the one that does not: %v", told)
	}
}

// proposed is a ticket that rests on the policy and the law in force.
func proposed(t *testing.T, n *cordon.Node) approval.Ticket {
	t.Helper()
	s := n.Fence().Snapshot()
	ticket, err := n.Gate().Propose(t.Context(), "rule:in", approval.Plan{
		Scope:        approval.Scope{Trunks: []string{"carrier"}, Groups: []string{"fra"}, Regions: []string{"aws:us-east-1"}, Country: "US"},
		PolicyDigest: s.PolicyDigest(), FactsDigest: s.FactsDigest(), Reason: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestForgettingIsLoggedWithoutTheName(t *testing.T) {
	t.Setenv("CORDON_TEST_CLARA", "secret-of-clara")
	dir := t.TempDir()
	n := boot(t, writeConfig(t, dir, nodeConfig))
	defer n.Stop(context.Background(), 0)
	ref, _ := n.Names().Call("call-1", "+4930111222")
	pseudonym := n.Names().Person("zoe")
	for body, want := range map[string]int{
		`{"what":"call","ref":"` + ref + `","reason":"asked"}`:            200,
		`{"what":"person","ref":"zoe","reason":"left"}`:                   200,
		`{"what":"call","ref":"+4930111222","reason":"a slip"}`:           404,
		`{"what":"person","ref":"zoee","reason":"nobody of that name"}`:   404,
		`{"what":"person","ref":"p-zoe","reason":"no pseudonym of ours"}`: 404,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+n.APIAddr().String()+"/api/v1/forget", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer secret-of-clara")
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %d, want %d", body, res.StatusCode, want)
		}
	}
	if n.Names().Match(ref, ref, "call-1") {
		t.Error("the salt still lives")
	}
	list, err := n.Log().Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, e := range list {
		if strings.Contains(string(e.Body), "zoe") || strings.Contains(string(e.Body), "clara") || strings.Contains(string(e.Body), "30111222") {
			t.Errorf("a name stands in the log: %s", e.Body)
		}
		if e.Kind == audit.KindForgotten && (strings.Contains(string(e.Body), ref) || strings.Contains(string(e.Body), pseudonym)) {
			told++
		}
	}
	if told != 2 {
		t.Errorf("%d entries tell of it, want 2", told)
	}
}

func TestWhatWasDecidedUnderAnotherPolicyIsVoidAtTheNextStart(t *testing.T) {
	dir := t.TempDir()
	n := boot(t, writeConfig(t, dir, nodeConfig))
	ticket := proposed(t, n)
	if err := n.Stop(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	n = boot(t, filepath.Join(dir, "cordon.yaml"))
	if got, ok := n.Gate().Ticket(ticket.ID); !ok || got.State != approval.Pending {
		t.Errorf("the same policy: %+v", got.State)
	}
	if err := n.Stop(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	n = boot(t, writeConfig(t, dir, strings.Replace(nodeConfig, "policy: {home", "policy: {allow: [aws:eu-central-1, aws:eu-north-1], home", 1)))
	defer n.Stop(context.Background(), 0)
	if got, ok := n.Gate().Ticket(ticket.ID); !ok || got.State != approval.Invalidated {
		t.Errorf("another policy: %+v", got.State)
	}
}

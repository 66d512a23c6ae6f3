package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/internal/osnet"
)

// run runs one command line and gives its exit code and both streams.
func run(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	var o, e bytes.Buffer
	code = realMain(t.Context(), args, streams{&o, &e, strings.NewReader("")})
	return code, o.String(), e.String()
}

func TestCommandLineErrorsAreTwoLinesAndExitTwo(t *testing.T) {
	code, _, errs := run(t, "rnu")
	if code != 2 || !strings.Contains(errs, "cordon: error: ") || !strings.Contains(errs, "cordon: hint: ") {
		t.Errorf("exit %d:\n%s", code, errs)
	}
}

func TestHelpAndVersionExitZero(t *testing.T) {
	code, out, _ := run(t, "--help")
	if code != 0 || !strings.Contains(out, "gate") {
		t.Errorf("exit %d:\n%s", code, out)
	}
	if code, out, _ = run(t, "--version"); code != 0 || strings.TrimSpace(out) == "" {
		t.Errorf("exit %d: %q", code, out)
	}
}

func TestCheckExplainsExamplesAndNamesMistakes(t *testing.T) {
	dir := t.TempDir()
	ca, err := carrier.NewCA()
	if err == nil {
		err = ca.Furnish("../../configs/examples", dir, "sbc.bank.example")
	}
	if err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(list) == 0 {
		t.Fatal(err)
	}
	for _, f := range list {
		if code, out, errs := run(t, "check", f); code != 0 || !strings.Contains(out, "VERDICT") {
			t.Errorf("%s: exit %d\n%s", f, code, errs)
		}
	}
	code, out, errs := run(t, "check", "../../configs/testdata/show.yaml")
	if code != 1 || !strings.Contains(out, "fra-us-org") || !strings.Contains(errs, `did you mean "fallback_policy"?`) {
		t.Errorf("exit %d\n%s\n%s", code, out, errs)
	}
	if code, _, errs := run(t, "check", "no-such.yaml"); code != 1 || !strings.Contains(errs, "no-such.yaml") {
		t.Errorf("exit %d: %s", code, errs)
	}
}

func TestCheckJudgesAsOfADay(t *testing.T) {
	_, before, _ := run(t, "check", "--at", "2031-12-27", "../../configs/testdata/show.yaml")
	_, after, _ := run(t, "check", "--at", "2031-12-28", "../../configs/testdata/show.yaml")
	if !strings.Contains(before, "2. london: by itself") || !strings.Contains(after, "2. london: only through the gate") {
		t.Error("the end of the decision on the United Kingdom makes no difference")
	}
}

func TestImportGuardrail(t *testing.T) {
	f := filepath.Join(t.TempDir(), "g.json")
	text := `{"flow_name":"Main","condition":{"type":"region_check","target_region":"aws:eu-central-1"},"action":{"type":"route_to_queue","queue_id":"Q1","fallback_policy":"MANUAL_APPROVAL_REQUIRED"}}`
	if err := os.WriteFile(f, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, "check", "--import-guardrail", f); code != 0 || !strings.Contains(out, "fallback_policy: MANUAL_APPROVAL_REQUIRED") {
		t.Errorf("exit %d\n%s%s", code, out, errs)
	}
}

func TestSchemaIsJSON(t *testing.T) {
	if code, out, _ := run(t, "schema"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("exit %d", code)
	}
}

func TestLawKeySuspendAndList(t *testing.T) {
	dir := t.TempDir()
	key, file := filepath.Join(dir, "law.key"), filepath.Join(dir, "suspended.jsonl")
	code, out, errs := run(t, "law", "key", key)
	if code != 0 || !strings.Contains(out, "law-1: ") {
		t.Fatalf("exit %d\n%s%s", code, out, errs)
	}
	if info, err := os.Stat(key); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	_, again, _ := run(t, "law", "key", key)
	if again != out {
		t.Error("the key changed when it was shown again")
	}
	suspend := []string{"law", "suspend", "(EU) 2023/1795", "--since", "2026-11-21", "--reason", "rehearsal", "--file", file, "--key", key, "--key-id", "law-1"}
	if code, _, errs := run(t, suspend...); code != 0 {
		t.Fatalf("exit %d\n%s", code, errs)
	}
	if code, _, errs := run(t, "law", "suspend", "(EU) 2023/1796", "--reason", "x", "--file", file, "--key", key, "--key-id", "law-1"); code != 1 || !strings.Contains(errs, "2023/1795") {
		t.Errorf("an unknown instrument: exit %d\n%s", code, errs)
	}
	pub := strings.TrimSpace(out[strings.LastIndex(out, "law-1: ")+len("law-1: "):])
	text := strings.Replace(small, "policy: {", "policy: {suspensions_file: suspended.jsonl, suspension_keys: {law-1: "+pub+"}, ", 1)
	cfg, err := configs.Parse(filepath.Join(dir, "c.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := cfg.Overlay()
	if err != nil || len(overlay) != 1 || overlay[0].Instrument != "(EU) 2023/1795" {
		t.Errorf("%v, %v", overlay, err)
	}
	if code, out, _ := run(t, "law", "list"); code != 0 || !strings.Contains(out, "2031-12-27") {
		t.Errorf("exit %d\n%s", code, out)
	}
}

const small = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 127.1.0.0/16, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: udp, address: "127.5.0.10:0"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 127.1.0.10, port: 9, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 127.1.0.11, port: 9, transport: udp}], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: fra}]}
people:
  - {id: anna, roles: [ciso, operator], scopes: [org.read, logs.view, api.healthcheck], token: {file: anna.token}}
  - {id: ben, roles: [business_owner], token: {file: ben.token}}
log: {reserve: 1MiB}
api: {address: "127.0.0.1:0"}
`

// startNode runs a node on real sockets and gives the flags that reach it.
func startNode(t *testing.T) (dir string, flags []string, stop func()) {
	t.Helper()
	dir = t.TempDir()
	for file, text := range map[string]string{"cordon.yaml": small, "anna.token": "a-token\n", "ben.token": "b-token\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, err := configs.Load(filepath.Join(dir, "cordon.yaml"))
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
	stop = func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Stop(ctx, 0); err != nil {
			t.Error(err)
		}
	}
	return dir, []string{"--api", "http://" + n.APIAddr().String(), "--token", filepath.Join(dir, "anna.token")}, stop
}

func TestAgainstARunningNodeAndThenItsLog(t *testing.T) {
	dir, flags, stop := startNode(t)
	if code, out, errs := run(t, append([]string{"status"}, flags...)...); code != 0 || !strings.Contains(out, "edge-1") || !strings.Contains(out, "TARGET") {
		t.Errorf("status: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := run(t, append([]string{"plan", "carrier", "+4969900100"}, flags...)...); code != 0 || !strings.Contains(out, "route in") {
		t.Errorf("plan: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := run(t, append([]string{"gate", "list"}, flags...)...); code != 0 || !strings.Contains(out, "TICKET") {
		t.Errorf("gate list: exit %d\n%s%s", code, out, errs)
	}
	if code, _, errs := run(t, append([]string{"gate", "show", "nothing"}, flags...)...); code != 1 || !strings.Contains(errs, "no such ticket") {
		t.Errorf("gate show: exit %d\n%s", code, errs)
	}
	ben := append([]string{"status"}, flags...)
	ben[len(ben)-1] = filepath.Join(dir, "ben.token")
	if code, _, errs := run(t, ben...); code != 1 || !strings.Contains(errs, "org.read") {
		t.Errorf("a token without the scope: exit %d\n%s", code, errs)
	}
	state := filepath.Join(dir, "state")
	first, err := os.ReadFile(filepath.Join(state, "log.vkey"))
	if err != nil {
		t.Fatal(err)
	}
	if code, out, errs := run(t, append([]string{"log", "rotate-key", "--reason=yearly"}, flags...)...); code != 0 || !strings.Contains(out, "old key    "+string(first)) {
		t.Errorf("rotate-key: exit %d\n%s%s", code, out, errs)
	}
	if code, out, errs := run(t, append([]string{"log", "keys"}, flags...)...); code != 0 || !strings.HasPrefix(out, string(first)+"cordon/log-key@v1\n") {
		t.Errorf("log keys: exit %d\n%s%s", code, out, errs)
	}
	stop()
	if code, out, errs := run(t, "log", "rotate-key", "--reason=again", "--state="+state, "--by=anna", "--overlap=0h"); code != 0 || !strings.Contains(out, "new key    ") {
		t.Errorf("rotate-key --state: exit %d\n%s%s", code, out, errs)
	}
	pinned := filepath.Join(dir, "pinned.vkey")
	if err := os.WriteFile(pinned, first, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", state}, {"verify", state, "--key=" + pinned}, {"verify", state, "--key=" + filepath.Join(state, "log.vkey")}} {
		if code, out, errs := run(t, args...); code != 0 || !strings.Contains(out, "holds") || strings.Count(out, "handed over to") != 2 {
			t.Fatalf("%v: exit %d\n%s%s", args, code, out, errs)
		}
	}
	cp := filepath.Join(state, "log", "checkpoint")
	if code, _, errs := run(t, "verify", cp, "--key="+pinned); code != notHeld || !strings.Contains(errs, "if the log's key was handed over") {
		t.Errorf("a checkpoint by a newer key: exit %d\n%s", code, errs)
	}
	if code, out, errs := run(t, "verify", cp, "--key="+pinned, "--chain="+filepath.Join(state, "log.keys")); code != 0 {
		t.Errorf("with the chain: exit %d\n%s%s", code, out, errs)
	}
	flip(t, filepath.Join(state, "log"))
	if code, out, errs := run(t, "verify", state); code == 0 || !strings.Contains(out+errs, "entry") && !strings.Contains(out+errs, "tile") {
		t.Errorf("verify of a changed log: exit %d\n%s%s", code, out, errs)
	}
}

// flip changes one byte of the first entry bundle.
func flip(t *testing.T, dir string) {
	t.Helper()
	var file string
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.Contains(p, "entries") {
			file = p
		}
		return err
	})
	if err != nil || file == "" {
		t.Fatalf("no entry bundle in %s: %v", dir, err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAHintIsGivenWhateverTheExitCode: an error with a code of its own says what to do next, as any other does.
func TestAHintIsGivenWhateverTheExitCode(t *testing.T) {
	code, _, errs := run(t, "verify", "--json", t.TempDir())
	if code != 2 || !strings.Contains(errs, "cordon: error: --json needs --proofs\ncordon: hint: cordon verify --proofs --json FOLDER") {
		t.Errorf("%d: %s", code, errs)
	}
}

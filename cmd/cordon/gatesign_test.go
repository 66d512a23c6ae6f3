package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	cordon "github.com/cordonsip/cordon"
	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/internal/osnet"
)

// held is a node whose only party that answers to no law is down: its route asks the gate by itself.
const held = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 127.1.0.0/16, region: aws:eu-central-1, contract: c}
  - {prefix: 127.4.0.0/16, region: aws:us-east-1, contract: c}
listeners:
  - {transport: udp, address: "127.5.0.10:0"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 127.1.0.10, port: 9, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 127.1.0.11, port: 9, transport: udp}], media: {security: plain}}
  - {name: iad, region: aws:us-east-1, members: [{host: 127.4.0.11, port: 9, transport: udp}], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: fra}, {party: iad}]}
health: {interval: 300ms, timeout: 100ms, fall: 2, rise: 2}
gate: {signatures: required}
people:
  - {id: anna, roles: [incident_commander], scopes: [org.read], token: {file: anna.token}, keys: [{public: ANNA, expires: 2099-12-31}]}
  - {id: ben, roles: [business_owner], token: {file: ben.token}, keys: [{public: BEN, expires: 2099-12-31}]}
  - {id: cyn, roles: [ciso], scopes: [org.read], token: {file: cyn.token}}
  - {id: dora, roles: [dpo], scopes: [org.read], token: {file: dora.token}, keys: [{public: DORA, expires: 2099-12-31}]}
  - {id: olga, roles: [operator], scopes: [org.read, logs.view], token: {file: olga.token}}
log: {reserve: 1MiB}
api: {address: "127.0.0.1:0"}
`

var publicKey = regexp.MustCompile(`public: ([A-Za-z0-9+/=]{44}),`)

// stage is a folder with keys, and a node that its people talk to.
type stage struct {
	t    *testing.T
	dir  string
	api  string
	node *cordon.Node
}

func (s *stage) at(file string) string { return filepath.Join(s.dir, file) }

// says runs a command line and wants an exit code and some words.
func (s *stage) says(code int, want string, args ...string) string {
	s.t.Helper()
	got, out, errs := run(s.t, args...)
	if got != code || !strings.Contains(out+errs, want) {
		s.t.Fatalf("cordon %s: exit %d, want %d and %q\n%s%s", strings.Join(args, " "), got, code, want, out, errs)
	}
	return out
}

// as runs a command line of a person who talks to the node.
func (s *stage) as(person string, code int, want string, args ...string) string {
	s.t.Helper()
	return s.says(code, want, append(args, "--api="+s.api, "--token="+s.at(person+".token"))...)
}

// key makes a key and gives its public half.
func (s *stage) key(person string) string {
	s.t.Helper()
	return publicKey.FindStringSubmatch(s.says(0, "reads as", "gate", "key", "--out="+s.at(person+".key"), "--id="+person, "--expires=2099-12-31"))[1]
}

// newStage makes keys, writes the configuration and starts the node.
func newStage(t *testing.T) *stage {
	t.Helper()
	s := &stage{t: t, dir: t.TempDir()}
	text := held
	for _, person := range []string{"anna", "ben", "dora"} {
		text = strings.Replace(text, strings.ToUpper(person), s.key(person), 1)
	}
	files := map[string]string{"cordon.yaml": text}
	for _, person := range []string{"anna", "ben", "cyn", "dora", "olga"} {
		files[person+".token"] = person + "-secret\n"
	}
	for file, text := range files {
		if err := os.WriteFile(s.at(file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s.says(0, "keys of people: 3; decisions by session do not count", "check", s.at("cordon.yaml"))
	s.start()
	return s
}

func (s *stage) start() {
	s.t.Helper()
	cfg, err := configs.Load(s.at("cordon.yaml"))
	if err != nil {
		s.t.Fatal(err)
	}
	if s.node, err = cordon.New(s.t.Context(), cordon.Options{Config: cfg, Net: osnet.Net{}, Software: "test"}); err != nil {
		s.t.Fatal(err)
	}
	if err := s.node.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.api = "http://" + s.node.APIAddr().String()
}

func (s *stage) stop() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.node.Stop(ctx, 0); err != nil {
		s.t.Error(err)
	}
}

// asked waits until the route has asked and people were told.
func (s *stage) asked() string {
	s.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range 500 {
		for _, t := range s.node.Gate().Tickets() {
			if t.State == approval.Pending && !t.NotifiedAt.IsZero() {
				return t.ID
			}
		}
		<-tick.C
	}
	s.t.Fatal("no route asked")
	return ""
}

// TestGateSessionWithKeys plays the gate by the command line alone: a rule asks, one approver signs at the node, the other one on a machine without a wire, the data protection
// officer signs the opinion, the grant is live; then an auditor checks the log offline.
func TestGateSessionWithKeys(t *testing.T) {
	s := newStage(t)
	ticket := s.asked()
	s.as("olga", 0, "first keys, entry", "gate", "keys")
	s.as("anna", 1, "a session is no signature", "gate", "approve", ticket, "--reason=by session")
	s.as("anna", 2, "--role is missing", "gate", "approve", ticket, "--reason=Frankfurt is down", "--key="+s.at("anna.key"))
	s.as("anna", 1, "the ticket has another plan by now", "gate", "approve", ticket, "--reason=r", "--role=incident_commander", "--key="+s.at("anna.key"), "--hash=ab")
	s.as("anna", 0, "[signed, k-", "gate", "approve", ticket, "--reason=Frankfurt is down, bridge 4711", "--role=incident_commander", "--key="+s.at("anna.key"))

	// The operator carries files; ben's machine has no wire: nothing below says --api.
	s.as("olga", 0, "written", "gate", "export", ticket, "--out="+s.at("ticket.json"))
	sign := []string{"gate", "sign", s.at("ticket.json"), "--key=" + s.at("ben.key"), "--role=business_owner", "--reason=agreed on the bridge"}
	out := s.says(0, "signed     approve as business_owner", append(sign, "--approve", "--out="+s.at("decision.json"))...)
	for _, want := range []string{"reach iad in aws:us-east-1 (US)", "because    ", "plan hash  ", "digests    policy "} {
		if !strings.Contains(out, want) {
			t.Errorf("who signs is not shown %q:\n%s", want, out)
		}
	}
	s.says(1, "file exists", append(sign, "--approve", "--out="+s.at("decision.json"))...)
	s.forged(sign)
	s.as("olga", 0, "handed in by", "gate", "submit", s.at("decision.json"))
	s.as("olga", 1, "this very statement was handed in before", "gate", "submit", s.at("decision.json"))
	s.as("dora", 0, "ACTIVE", "gate", "opine", ticket, "--opinion=no_objection", "--text=SCC and TIA cover it", "--key="+s.at("dora.key"))

	s.says(0, "ACTIVE", "gate", "show", ticket, "--api="+s.api, "--token="+s.at("olga.token"))
	s.stop()
	s.says(0, "words      3 decisions and opinions signed by people's keys, 0 by session alone; 3 keys, 3 of them the first ones, 0 revoked", "verify", s.at("state"))
}

// forged tries files that were changed on their way.
func (s *stage) forged(sign []string) {
	s.t.Helper()
	for name, from := range map[string]string{"decision.json": "agreed on the bridge", "ticket.json": "aws:us-east-1"} {
		raw, err := os.ReadFile(s.at(name))
		if err != nil {
			s.t.Fatal(err)
		}
		raw = bytes.ReplaceAll(raw, []byte(from), []byte(from[:len(from)-1]+"2"))
		for file, data := range map[string][]byte{"forged-" + name: raw, "cut-" + name: raw[:len(raw)/2], "long-" + name: append(raw, bytes.Repeat([]byte("\n"), approval.MaxTicketFile)...)} {
			if err := os.WriteFile(s.at(file), data, 0o600); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	s.as("olga", 1, "the signature does not fit", "gate", "submit", s.at("forged-decision.json"))
	s.as("olga", 1, "cut, or is no JSON", "gate", "submit", s.at("cut-decision.json"))
	s.as("olga", 1, "too large", "gate", "submit", s.at("long-decision.json"))
	for file, want := range map[string]string{"forged-ticket.json": "the plan was changed", "cut-ticket.json": "cut, or is no JSON", "long-ticket.json": "too large"} {
		sign[2] = s.at(file)
		s.says(1, want, append(sign, "--approve", "--out="+s.at("never.json"))...)
	}
	sign[2] = s.at("ticket.json")
}

// TestKeysByTheCommandLine plays a key that comes later: it waits for two people, counts over a restart, and is revoked.
func TestKeysByTheCommandLine(t *testing.T) {
	s := newStage(t)
	s.says(1, "file exists", "gate", "key", "--out="+s.at("anna.key"))
	s.says(1, "is no day to come", "gate", "key", "--out="+s.at("old.key"), "--expires=2020-01-01")
	s.says(1, "an Ed25519 public key", "gate", "enrol", "--key-of=cyn", "--public=AAAA", "--out="+s.at("never.json"))
	public := s.key("cyn")
	s.stop()
	text, err := os.ReadFile(s.at("cordon.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.Replace(text, []byte("{file: cyn.token}"), []byte("{file: cyn.token}, keys: [{public: "+public+", expires: 2099-12-31}]"), 1)
	if err := os.WriteFile(s.at("cordon.yaml"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	s.as("olga", 0, "does not count: it stands in the configuration and waits for two people", "status", "--long")

	s.says(0, "vouched    by 0 of 2", "gate", "enrol", "--key-of=cyn", "--public="+public, "--expires=2099-12-31", "--out="+s.at("e0"))
	if err := os.Chmod(s.at("ben.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.says(1, "can be read by others", "gate", "vouch", s.at("e0"), "--key="+s.at("ben.key"), "--role=business_owner", "--out="+s.at("never.json"))
	if err := os.Chmod(s.at("ben.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.says(0, "have its owner read it to you", "gate", "vouch", s.at("e0"), "--key="+s.at("ben.key"), "--role=business_owner", "--out="+s.at("e1"))
	s.as("olga", 1, "1 of 2 people vouched", "gate", "submit", s.at("e1"))
	s.says(0, "gate submit", "gate", "vouch", s.at("e1"), "--key="+s.at("anna.key"), "--role=incident_commander", "--out="+s.at("e2"))
	s.as("olga", 0, "counts     k-", "gate", "submit", s.at("e2"))
	s.stop()
	s.start()
	id := regexp.MustCompile(`(k-[0-9a-f]{32})\s+\S+ \(cyn\)\s+yes`).FindStringSubmatch(s.as("olga", 0, "vouched by", "gate", "keys"))
	if id == nil {
		t.Fatal("the key does not count after a restart")
	}
	s.as("olga", 1, "the person may not revoke the key", "gate", "revoke-key", id[1], "--reason=not mine")
	s.as("anna", 0, "never counts again", "gate", "revoke-key", id[1], "--reason=left in a taxi")
	s.as("olga", 0, "left in a taxi", "gate", "keys")
	s.stop()
	s.says(0, "4 keys, 3 of them the first ones, 1 revoked", "verify", s.at("state"))
}

// A log in which the node wrote what nobody signed is whole as a log, and does not hold all the same.
func TestVerifyNamesWhatNobodySigned(t *testing.T) {
	s := newStage(t)
	ticket := s.asked()
	s.as("anna", 0, "[signed", "gate", "approve", ticket, "--reason=agreed", "--role=incident_commander", "--key="+s.at("anna.key"))
	entries, err := s.node.Log().Entries(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	s.stop()
	dir := t.TempDir()
	log, _, err := audit.Open(t.Context(), audit.Config{Dir: filepath.Join(dir, "log"), Signer: ed25519.NewKeyFromSeed(make([]byte, 32)), Origin: "cordon/bank-1/edge-1", Tenant: "bank-1", Node: "edge-1", Software: "test", Reserve: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "log.vkey"), []byte(log.VerifierKey()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		body := bytes.ReplaceAll(e.Body, []byte(`"reason":"agreed"`), []byte(`"reason":"agreed to everything"`))
		if _, err := log.Commit(t.Context(), audit.Raw{What: e.Kind, Body: json.RawMessage(body)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := log.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	out := s.says(3, "the signature does not fit", "verify", dir)
	if !strings.Contains(out, "BAD        entry ") || strings.Contains(out, "holds") {
		t.Errorf("it says:\n%s", out)
	}
}

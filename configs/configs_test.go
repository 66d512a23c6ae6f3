package configs

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
)

var update = flag.Bool("update", false, "write the golden files again")

var day = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs; go test ./configs -update writes it again\n--- got\n%s\n--- want\n%s", path, got, want)
	}
}

// stripDigest keeps the golden file apart from changes of the shipped tables that change no verdict.
func stripDigest(s string) string {
	i := strings.Index(s, "policy digest ")
	j := i + strings.IndexByte(s[i:], '\n')
	return s[:i] + "policy digest ..." + s[j:]
}

func TestCheckExplainsEveryPlaceAndEveryMistake(t *testing.T) {
	data, err := os.ReadFile("testdata/show.yaml")
	if err != nil {
		t.Fatal(err)
	}
	c, probs := Examine("show.yaml", data)
	if c == nil {
		t.Fatal(probs)
	}
	text, err := c.Explain(day)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "show.golden", stripDigest(text)+"\n"+probs.Error()+"\n")
}

// base is a small right configuration that the tests of mistakes change.
const base = `tenant: {org_id: bank-1}
node: {name: edge-1, state_dir: state}
policy: {home: aws:eu-central-1}
places:
  - {prefix: 127.1.0.0/16, region: aws:eu-central-1, contract: c}
listeners:
  - {transport: udp, address: "127.5.0.10:5060"}
trunks:
  - {name: carrier, region: aws:eu-central-1, members: [{host: 127.1.0.10, transport: udp}], media: {security: plain}}
edge_groups:
  - {name: fra, region: aws:eu-central-1, members: [{host: 127.1.0.11, transport: udp}], media: {security: plain}}
routes:
  - {name: in, direction: inbound, to: [{party: fra}]}
people:
  - {id: anna, roles: [ciso], token: {env: T1}}
  - {id: ben, roles: [business_owner], token: {env: T2}}
`

func TestTheBaseIsRight(t *testing.T) {
	c, err := Parse("base.yaml", []byte(base))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Warnings) != 0 {
		t.Errorf("warnings: %v", c.Warnings)
	}
	if got := c.Rules.Routes[0]; got.Fallback != "MANUAL_APPROVAL_REQUIRED" || got.To[0].Priority != 1 || got.Switch.FailbackAfter != 10*time.Minute {
		t.Errorf("defaults of a route: %+v", got)
	}
	if c.Profiles[1].Leg.Security != media.Plain || c.Profiles[1].Keys {
		t.Errorf("media: %+v", c.Profiles[1])
	}
	if !c.Gate.NeedOpinion || !c.Gate.AutoActivate || c.Log.OnLogFailure != "refuse" || c.API.Off || !c.API.Address.Addr().IsLoopback() {
		t.Errorf("defaults are not safe: %+v %+v %+v", c.Gate, c.Log, c.API)
	}
	if err := routing.Check(c.Rules); err != nil {
		t.Errorf("routing refuses what configs built: %v", err)
	}
}

func TestDefaultsOfAPartyAreSafe(t *testing.T) {
	c, err := Parse("base.yaml", []byte(strings.Replace(base, "transport: udp}], media: {security: plain}}\nedge", "transport: tls}]}\nedge", 1)))
	if err != nil {
		t.Fatal(err)
	}
	p := c.Profiles[0]
	if p.Leg.Security != media.SRTPRequired || p.Leg.InsecureLab || !p.Keys || p.Trusted {
		t.Errorf("a party without a media section: %+v", p)
	}
}

func TestMistakesAreNamedWithLineAndHint(t *testing.T) {
	for _, c := range []struct{ name, old, new, line, what, hint string }{
		{"unknown key", "home: aws", "hoem: aws", ":3:", "unknown key", `did you mean "home"?`},
		{"key twice", "node: {name: edge-1,", "node: {name: edge-1, name: edge-2,", ":2:", "stands twice", "keep one"},
		{"not YAML", "listeners:\n", "listeners: [\n", "", "", "not YAML"},
		{"no region", "home: aws:eu-central-1", "home: eu-central-1", ":3:", `"eu-central-1" names no region`, "provider:code"},
		{"unknown region", "home: aws:eu-central-1", "home: aws:eu-centrall-1", ":3:", "unknown region", "did you mean aws:eu-central-1"},
		{"bad preset", "policy: {home", "policy: {preset: eu, home", ":3:", `"eu" is no preset`, "eu_only"},
		{"bare number for a duration", "people:", "health: {interval: 5}\npeople:", ":14:", "no duration", ""},
		{"probe longer than its interval", "people:", "health: {interval: 1s, timeout: 2s}\npeople:", ":14:", "not smaller than the interval", "ended before"},
		{"quorum of one", "people:", "gate: {quorum: 1}\npeople:", ":14:", "no quorum", "nobody opens the gate alone"},
		{"grant of a week", "people:", "gate: {grant_for: 168h}\npeople:", ":14:", "too long", "72h"},
		{"the officer approves", "roles: [ciso]", "roles: [ciso, dpo]", ":15:", "dpo and an approving role", "Art. 38(6)"},
		{"secret in the file", "token: {env: T1}}\n  - {id: ben", "token: hunter2}\n  - {id: ben", ":15:", "a secret does not stand in the file", ""},
		{"a prefix that is none", "127.1.0.0/16", "127.1.0.1/16", ":5:", "bits set", "write 127.1.0.0/16"},
		{"no contract", "region: aws:eu-central-1, contract: c", "region: aws:eu-central-1", ":5:", "contract: is missing", "annex"},
		{"a place nowhere", "region: aws:eu-central-1, contract: c", "contract: c", ":5:", "neither region nor countries", ""},
		{"a country that is none", "region: aws:eu-central-1, contract: c", "countries: [EU], contract: c", ":5:", `"EU" names no country`, "alpha-2"},
		{"a shared prefix as one region", "  - {prefix: 127.1.0.0/16,", "  - {prefix: 52.129.96.0/20, region: aws:eu-central-1, contract: c}\n  - {prefix: 127.1.0.0/16,", ":5:", "proves no region", "countries"},
		{"a prefix twice", "  - {prefix: 127.1.0.0/16,", "  - {prefix: 127.1.0.0/16, region: aws:eu-west-1, contract: c}\n  - {prefix: 127.1.0.0/16,", ":6:", "127.1.0.0/16", "stands once"},
		{"the whole world", "  - {prefix: 127.1.0.0/16,", "  - {prefix: 0.0.0.0/0, region: aws:eu-west-1, contract: c}\n  - {prefix: 127.1.0.0/16,", ":5:", "0.0.0.0/0", ""},
		{"unknown party", "party: fra", "party: fta", ":13:", `unknown party "fta"`, `did you mean "fra"?`},
		{"party of the wrong side", "party: fra", "party: carrier", ":13:", `unknown party "carrier"`, "other side"},
		{"5xx on hold", "to: [{party: fra}]", "to: [{party: fra}], on_hold: {status: 503}", ":13:", "503 is not taken", "retry a 5xx"},
		{"a word that opens", "to: [{party: fra}]", "to: [{party: fra}], fallback_policy: AUTOMATIC", ":13:", `"AUTOMATIC" is unknown`, "no word here lets"},
		{"every address", "127.5.0.10:5060", "0.0.0.0:5060", ":7:", "every address", "advertise"},
		{"TLS without a certificate", "transport: udp, address", "transport: tls, address", ":7:", "needs a certificate", "cert_file"},
		{"the world may ask", "people:", "api: {address: \"192.0.2.1:80\"}\npeople:", ":14:", "no certificate", "loopback"},
		{"emergency without a trunk", "name: carrier, region", "name: carrier, country: DE, region", ":9:", "no emergency trunk is named for DE", "add an emergency row"},
		{"emergency of another country", "people:", "emergency:\n  - {country: FR, numbers: [\"112\"], trunk: carrier}\npeople:", ":15:", "not FR", "caller's country"},
		{"media regions without evidence", "edge_groups:\n  - {name: fra,", "edge_groups:\n  - {name: fra, media_regions: [aws:eu-central-1],", ":11:", "no evidence", "media_evidence"},
		{"a name needs a server", "host: 127.1.0.11", "host: sip.example.net", "", "there is none, but sip.example.net", "permitted place"},
		{"twice the same name", "name: fra", "name: carrier", ":11:", "is taken by trunks[0]", "unique"},
		{"anchors", "policy: {home", "policy: &p {home", ":3:", "anchors", "write the value out"},
		{"webhook in the clear", "people:", "notify: [{name: x, type: webhook, url: \"http://192.0.2.1/\", secret: {env: S}}]\npeople:", ":14:", "not protected", "https"},
		{"webhook without a secret", "people:", "notify: [{name: x, type: webhook, url: \"https://192.0.2.1/\"}]\npeople:", ":14:", "is missing", "signature"},
		{"a clock of a week", "people:", "gate: {approve_in: 168h}\npeople:", ":14:", "gate.approve_in: 168h0m0s is too long", "24h"},
		{"an execution clock of a week", "people:", "gate: {execute_in: 168h}\npeople:", ":14:", "gate.execute_in: 168h0m0s is too long", "24h"},
		{"more approvals than roles", "people:", "gate: {quorum: 6}\npeople:", ":14:", "needs as many approving roles, there are 5", "more roles"},
		{"more approvals than listed roles", "people:", "gate: {roles: [ciso]}\npeople:", ":14:", "a quorum of 2 needs as many approving roles, there are 1", "more roles"},
		{"a role that is none", "people:", "gate: {roles: [ciso, cso, business_owner]}\npeople:", ":14:", `gate.roles[1]: "cso" is no role`, `did you mean "ciso"?`},
		{"a role twice", "people:", "gate: {roles: [ciso, ciso, business_owner]}\npeople:", ":14:", `gate.roles[1]: "ciso" stands twice`, "once"},
		{"the officer as a role", "people:", "gate: {roles: [ciso, dpo, business_owner]}\npeople:", ":14:", "gate.roles[1]: dpo is listed", "Art. 38(6)"},
		{"a negative quota", "people:", "gate: {max_calls: -1}\npeople:", ":14:", "gate.max_calls: -1 is out of range", "default"},
		{"a quota beyond JSON", "people:", "gate: {max_calls: 9007199254740992}\npeople:", ":14:", "is out of range", "default"},
		{"a negative weight", "party: fra", "party: fra, weight: -2", ":13:", "a priority or a weight is negative", "from 0"},
		{"a negative priority", "party: fra", "party: fra, priority: -2", ":13:", "a priority or a weight is negative", "from 0"},
		{"a party twice on a route", "{party: fra}", "{party: fra}, {party: fra}", ":13:", `routes[0].to[1].party: "fra" stands twice`, "once"},
		{"two emergency rows", "people:", "emergency:\n  - {country: DE, numbers: [\"112\"], trunk: carrier}\n  - {country: DE, numbers: [\"110\"], trunk: carrier}\npeople:", ":16:", "DE stands twice", "one row"},
		{"a kind that is none", "people:", "notify: [{name: x, type: console, kinds: [foo]}]\npeople:", ":14:", `notify[0].kinds[0]: "foo" is no kind`, "failover.applied"},
		{"a kind that stays inside", "people:", "notify: [{name: x, type: console, kinds: [gate.changed, residency_receipt]}]\npeople:", ":14:", "notify[0].kinds[1]", "one of"},
		{"every kind", "people:", "notify: [{name: x, type: console, kinds: [\"*\"]}]\npeople:", ":14:", "notify[0].kinds[0]", "one of"},
		{"a slip in a kind", "people:", "notify: [{name: x, type: console, kinds: [gate.chnaged]}]\npeople:", ":14:", "is no kind", `did you mean "gate.changed"?`},
		{"a channel twice", "people:", "notify: [{name: x, type: console}, {name: x, type: console}]\npeople:", ":14:", `notify[1].name: "x" is taken`, "of its own"},
		{"a format that is none", "people:", "notify: [{name: x, type: webhook, url: \"https://192.0.2.1/\", secret: {env: S}, format: xml}]\npeople:", ":14:", "notify[0].format", "ict_incident"},
		{"pagerduty without a key", "people:", "notify: [{name: x, type: pagerduty}]\npeople:", ":14:", "notify[0].secret: is missing", "routing key"},
		{"slack in the clear", "people:", "notify: [{name: x, type: slack, url: \"http://192.0.2.1/\", secret: {env: S}}]\npeople:", ":14:", "not protected", "https"},
		{"a format of slack", "people:", "notify: [{name: x, type: slack, secret: {env: S}, format: ecs}]\npeople:", ":14:", "has no format", "only a webhook"},
		{"a template with a field that is none", "people:", "notify: [{name: x, type: console, templates: [{kinds: [\"failover.*\"], summary: \"{{.Data.caller}}\"}]}]\npeople:", ":14:", "notify[0].templates[0].summary: .Data.caller is no field", "write one line"},
		{"a template for a kind that stays inside", "people:", "notify: [{name: x, type: console, templates: [{kinds: [call.ended], summary: x}]}]\npeople:", ":14:", "notify[0].templates[0].kinds[0]", "one of"},
		{"a seat in no country", "name: carrier, region", "name: carrier, provider: {hq_country: XX}, region", ":9:", "hq_country: \"XX\" names no country", "alpha-2"},
		{"an identifier that does not add up", "name: carrier, region", "name: carrier, provider: {lei_or_euid: 529900T8BM49AURSDO56}, region", ":9:", "is no LEI", "GLEIF"},
		{"a contract that ends first", "name: carrier, region", "name: carrier, provider: {start: 2026-01-02, end: 2026-01-01}, region", ":9:", "ended before it began", "behind start"},
		{"a service that is none", "name: carrier, region", "name: carrier, provider: {service: S20}, region", ":9:", "service: \"S20\" is unknown", "S10"},
		{"a reliance that is none", "name: carrier, region", "name: carrier, provider: {reliance: total}, region", ":9:", "reliance: \"total\" is unknown", "material"},
		{"a rank that is none", "name: carrier, region", "name: carrier, provider: {rank: -1}, region", ":9:", "-1 is no rank", "who you have the contract with"},
		{"a rate without a burst", "people:", "notify: [{name: x, type: console, rate: {every: 30s}}]\npeople:", ":14:", "notify[0].rate.burst: 0 is out of range", "1 to 1000"},
		{"a rate for ever", "people:", "notify: [{name: x, type: console, rate: {burst: 5, every: 48h}}]\npeople:", ":14:", "notify[0].rate.every: 48h0m0s is out of range", "1h"},
		{"a key id with a comma", "people:", "notify: [{name: x, type: webhook, url: \"https://192.0.2.1/\", secret: {env: S}, key_id: \"a,b\"}]\npeople:", ":14:", "notify[0].key_id", "at most 64"},
		{"a webhook with a fragment", "people:", "notify: [{name: x, type: webhook, url: \"https://192.0.2.1/#a\", secret: {env: S}}]\npeople:", ":14:", "notify[0].url: is no address", "fragment"},
		{"negative calls of a party", "name: carrier,", "name: carrier, max_calls: -1,", ":9:", "trunks[0].max_calls: -1 is out of range", "positive"},
		{"negative calls of the node", "people:", "limits: {max_calls: -1}\npeople:", ":14:", "limits.max_calls: -1 is out of range", "default"},
		{"a rate that is no number", "people:", "limits: {rate_per_source: .nan}\npeople:", ":14:", "limits.rate_per_source: NaN is out of range", "default"},
		{"a jitter that is no number", "people:", "health: {jitter: .nan}\npeople:", ":14:", "out of range", "jitter"},
		{"a probe each day", "people:", "health: {interval: 24h}\npeople:", ":14:", "24h0m0s is out of range", "1h"},
		{"a structural header", "name: carrier,", "name: carrier, headers: [X-Mine, Via],", ":9:", `trunks[0].headers[1]: "Via" is the edge's own`, "end-to-end"},
		{"a slash in a name", "name: carrier,", "name: car/rier,", ":9:", "has a slash", "log"},
		{"a slash in a member", "{host: 127.1.0.10,", "{name: a/b, host: 127.1.0.10,", ":9:", "members[0].name", "slash"},
		{"a server without a port", "people:", "dns: {servers: [\"127.1.0.53:0\"]}\npeople:", ":14:", "dns.servers[0]", "literal"},
		{"a socket twice", "address: \"127.5.0.10:5060\"}", "address: \"127.5.0.10:5060\"}\n  - {transport: udp, address: \"127.5.0.10:5060\"}", ":8:", "is bound by listeners[0] already", "of its own"},
		{"media on every address", "people:", "media: {address: 0.0.0.0}\npeople:", ":14:", "0.0.0.0 is every address", "advertise"},
		{"a space in the organisation", "org_id: bank-1", "org_id: bank 1", ":1:", "has a space or a plus sign", "signed under it"},
		{"a plus in the node", "name: edge-1", "name: edge+1", ":2:", "has a space or a plus sign", "signed under it"},
		{"an LEI of the wrong length", "org_id: bank-1", "org_id: bank-1, lei: 5299", ":1:", "tenant.lei: is no Legal Entity Identifier", "ISO 17442"},
		{"a slip in the LEI", "org_id: bank-1", "org_id: bank-1, lei: 7LTWFZYICNSX8D621K68", ":1:", "tenant.lei: is no Legal Entity Identifier", "check digits"},
		{"one token for two", "token: {env: T2}", "token: {env: T1}", ":16:", "people[1].token: is the same secret as that of people[0]", "approve as two"},
		{"one token file for two", "token: {env: T1}}\n  - {id: ben, roles: [business_owner], token: {env: T2}", "token: {file: a/../t}}\n  - {id: ben, roles: [business_owner], token: {file: ./t}", ":16:", "people[1].token: is the same secret as that of people[0]", "of their own"},
		{"the variable wins over the file", "token: {env: T2}", "token: {env: T1, file: other}", ":16:", "people[1].token: is the same secret", "of their own"},
		{"session interval", "name: carrier,", "name: carrier, session_interval: 30s,", ":9:", "no session interval", "90s"},
		{"a list where a word belongs", "home: aws:eu-central-1", "home: [aws:eu-central-1]", ":3:", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(base, c.old, c.new, 1)
			if text == base {
				t.Fatal("the test changes nothing")
			}
			_, err := Parse("x.yaml", []byte(text))
			var probs Problems
			if !errors.As(err, &probs) {
				t.Fatalf("got %v", err)
			}
			msg := err.Error()
			if !strings.Contains(msg, "x.yaml"+c.line) || !strings.Contains(msg, c.what) || !strings.Contains(msg, c.hint) {
				t.Errorf("got:\n%s\nwant line %q, %q and hint %q", msg, c.line, c.what, c.hint)
			}
		})
	}
}

func TestNorwayMayStandBare(t *testing.T) {
	text := strings.Replace(base, "region: aws:eu-central-1, contract: c", "countries: [NO, DE], contract: c", 1)
	c, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Declarations[0].Countries; len(got) != 2 || got[0] != "NO" {
		t.Errorf("countries %v", got)
	}
}

// Problems of a reload end up in the log, which forgets nothing: a word that stands where a mapping belongs may be a password.
func TestProblemsRepeatNoWordThatStandsForAMapping(t *testing.T) {
	for _, text := range []string{
		"trunks:\n  - {name: a, auth: hunter2}\n", "trunks:\n  - {name: a, challenge: hunter2}\n", "notify: hunter2\n", "notify: [hunter2]\n", "hep: hunter2\n", "spans: {headers: [hunter2]}\n",
	} {
		_, probs := Examine("c.yaml", []byte(text))
		if all := probs.Error(); strings.Contains(all, "hunter2") || !strings.Contains(all, "what stands here cannot be used as ") {
			t.Errorf("%s%s", text, all)
		}
	}
}

func TestSecretsPrintStarsAndAreReadLate(t *testing.T) {
	s := Secret{Env: "CORDON_TEST_SECRET"}
	if !strings.Contains(s.String(), "***") {
		t.Error(s.String())
	}
	if _, err := s.Value(); err == nil {
		t.Error("an empty variable is a secret")
	}
	t.Setenv("CORDON_TEST_SECRET", "x")
	if v, err := s.Value(); err != nil || v != "x" {
		t.Errorf("%q, %v", v, err)
	}
	file := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(file, []byte("one\ntwo\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := (Secret{File: file}).Value(); err != nil || v != "one" {
		t.Errorf("%q, %v", v, err)
	}
}

func TestGuardrailBecomesARoute(t *testing.T) {
	for region, ruling := range map[string]string{
		"aws:eu-central-1": "permit (in_eea): calls may reach it by itself", "aws:us-east-1": "hold (conditions_not_attested): calls reach it only through the gate",
		"aws:me-central-1": "hold (no_adequacy)",
	} {
		text, err := ImportGuardrail([]byte(`{"flow_name":"Main Inbound","condition":{"type":"region_check","target_region":"` + region + `"},
			"action":{"type":"route_to_queue","queue_id":"EU_Emergency_Queue","fallback_policy":"MANUAL_APPROVAL_REQUIRED"}}`))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"#   allow: [" + region + "]", ruling, "merge it", "name: main-inbound", "queue: eu-emergency-queue", "MANUAL_APPROVAL_REQUIRED"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in:\n%s", want, text)
			}
		}
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") && (strings.Contains(line, "allow") || strings.Contains(line, "policy:") && !strings.Contains(line, "fallback_policy:")) {
				t.Errorf("pasting this widens the policy: %s", line)
			}
		}
	}
	if _, err := ImportGuardrail([]byte(`{"flow_name":"x"}`)); err == nil {
		t.Error("half a guardrail is taken")
	}
}

func TestSchemaIsUpToDate(t *testing.T) {
	if len(Schema()) < 1000 || !strings.Contains(string(Schema()), "suspension_keys") {
		t.Error("the schema does not describe the file; make generate writes it again")
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(base))
	f.Add([]byte("a: [b"))
	f.Add([]byte("tenant: {org_id: &x [*x]}"))
	for _, more := range []string{
		"gate: {quorum: 3, approve_in: 25h, roles: [ciso, operator, auditor]}", "limits: {max_calls: -1, rate_per_source: .nan}", "health: {interval: 2h, fall: 101}",
		"notify: [{name: x, type: console, kinds: [failover.*, foo]}]", "dns: {servers: [\"127.1.0.53:0\"]}", "media: {address: \"::\"}",
		"legal_bases: [{id: a, kind: \"Art49(1)(e)_legal_claims\", document: d, necessity: n, expires: 2020-01-01}]",
	} {
		f.Add([]byte(base + more + "\n"))
	}
	f.Add([]byte("places:\n- {prefix: 0/0, countries: ['NO']}\n"))
	g := newGround(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		c, probs := Examine("fuzz.yaml", data)
		if len(probs) == 0 {
			if _, err := c.Snapshot(1, nil, nil); err != nil {
				t.Fatalf("a configuration without problems builds no policy: %v", err)
			}
			roomsTake(t, g, c)
		}
	})
}

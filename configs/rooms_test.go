package configs

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/approval"
	"github.com/cordonsip/cordon/approval/gate"
	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/internal/carrier"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/cordonsip/cordon/state"
)

// blind is a prober that never gets to probe.
type blind struct{}

func (blind) Probe(context.Context, healthcheck.Target) (healthcheck.Sample, error) {
	return healthcheck.Sample{}, errors.New("nothing is probed here")
}

// ground is what rooms stand on.
type ground struct {
	log audit.Log
	kv  state.KV
}

func newGround(t testing.TB) ground {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l, err := audit.Memory(audit.Config{Signer: key, Origin: "cordon/o/n", Tenant: "o", Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	kv := state.Memory()
	t.Cleanup(func() { _, _ = l.Close(context.Background()), kv.Close() })
	return ground{l, kv}
}

// roomsTake holds that what passed the checks is taken by each room that has checks of its own.
func roomsTake(t *testing.T, g ground, c *Config) {
	t.Helper()
	if err := routing.Check(c.Rules); err != nil {
		t.Errorf("a configuration without problems is refused by routing: %v", err)
	}
	people := make([]approval.Person, len(c.People))
	for i, p := range c.People {
		people[i] = p.Person
	}
	if _, err := gate.New(gate.Config{Rules: c.Gate, People: people, Log: g.log, KV: g.kv, Node: "n", Pseudonym: strconv.Quote}); err != nil {
		t.Errorf("a configuration without problems is refused by approval: %v", err)
	}
	judge := func(sovereign.Ask) sovereign.Ruling { return sovereign.Ruling{} }
	checker := healthcheck.Config{Watched: c.Watched, Defaults: c.Health, Prober: blind{}, Judge: judge}
	checker.Locate = func(context.Context, resolve.Query) (resolve.Answer, error) {
		return resolve.Answer{}, errors.New("nothing is asked here")
	}
	if _, err := healthcheck.New(checker); err != nil {
		t.Errorf("a configuration without problems is refused by healthcheck: %v", err)
	}
	if err := new(sip.Edge).Reload(c.Profiles); err != nil {
		t.Errorf("a configuration without problems is refused by sip: %v", err)
	}
	dial := func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("nothing is dialled here")
	}
	dns := resolve.Config{Servers: c.DNS.Servers, Timeout: c.DNS.Timeout, MinTTL: c.DNS.MinTTL, MaxTTL: c.DNS.MaxTTL, Judge: judge}
	dns.Dial = func(context.Context, string, netip.AddrPort) (net.Conn, error) {
		return nil, errors.New("nothing is dialled here")
	}
	if _, err := resolve.New(dns); err != nil {
		t.Errorf("a configuration without problems is refused by resolve: %v", err)
	}
	var channels []notify.Routed
	for _, ch := range c.Channels {
		makers := map[string]func(notify.WebhookConfig) (notify.Channel, error){"webhook": notify.Webhook, "pagerduty": notify.PagerDuty, "slack": notify.Slack}
		if makeIt := makers[ch.Type]; makeIt != nil {
			hook := notify.WebhookConfig{Name: ch.Name, URL: ch.URL, Secret: ch.Secret, KeyID: ch.KeyID, Format: ch.Format, Roots: ch.Roots, Dial: dial}
			hook.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("nothing is asked here") }
			if _, err := makeIt(hook); err != nil {
				t.Errorf("a configuration without problems is refused by notify: %v", err)
			}
		}
		streamsTake(t, ch)
		channels = append(channels, notify.Routed{Channel: notify.Console(ch.Name, io.Discard), Kinds: ch.Kinds})
	}
	if c.Spans.URL != "" {
		out := notify.OutletConfig{URL: c.Spans.URL, Roots: c.Spans.Roots, Dial: dial}
		out.Resolve = func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("nothing is asked here") }
		if _, err := notify.NewOutlet(out); err != nil {
			t.Errorf("a configuration without problems is refused by notify: %v", err)
		}
	}
	if _, err := notify.New(notify.Config{Log: g.log, KV: g.kv, Channels: channels}); err != nil {
		t.Errorf("a configuration without problems is refused by notify: %v", err)
	}
}

// streamsTake holds the same of an outlet that is not over HTTP.
func streamsTake(t *testing.T, ch ChannelPart) {
	t.Helper()
	stream := notify.StreamConfig{
		Name: ch.Name, Roots: ch.Roots, Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, errors.New("nothing is asked here") },
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("nothing is dialled here")
		},
	}
	var err error
	switch {
	case ch.Syslog != nil:
		stream.Host, stream.Port = ch.Syslog.Host, ch.Syslog.Port
		_, err = notify.Syslog(notify.SyslogConfig{StreamConfig: stream, Facility: ch.Syslog.Facility, Enterprise: ch.Syslog.Enterprise})
	case ch.Mail != nil:
		stream.Host, stream.Port = ch.Mail.Host, ch.Mail.Port
		c := notify.MailConfig{StreamConfig: stream, Implicit: ch.Mail.Implicit, User: ch.Mail.User, From: ch.Mail.From, To: ch.Mail.To}
		if c.User != "" {
			c.Password = ch.Secret
		}
		_, err = notify.Mail(c)
	}
	if err != nil {
		t.Errorf("a configuration without problems is refused by notify: %v", err)
	}
}

func TestTheRoomsTakeTheExamples(t *testing.T) {
	dir := t.TempDir()
	ca, err := carrier.NewCA()
	if err == nil {
		err = ca.Furnish("examples", dir, "sbc.bank.example")
	}
	if err != nil {
		t.Fatal(err)
	}
	list, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(list) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	g := newGround(t)
	for _, file := range list {
		c, err := Load(file)
		if err != nil {
			t.Fatal(err)
		}
		roomsTake(t, g, c)
		if filepath.Base(file) == "teams-direct-routing.yaml" {
			continue // its warnings are what it shows: the prescribed order of Teams leaves the EU
		}
		for _, w := range c.Warnings {
			t.Errorf("an example should need no excuse: %v", w)
		}
	}
}

// The list of kinds stands here because configs sees neither audit nor notify; both must agree with it, kind by kind.
func TestKindsAreThoseThatNotifyTakes(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "../audit/kinds.go", nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	kinds := []string{"foo", "", "*", "failover.*", "residency*", "call.*"}
	ast.Inspect(f, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && len(v.Values) == 1 && strings.HasPrefix(v.Names[0].Name, "Kind") {
			word, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			kinds = append(kinds, word)
		}
		return true
	})
	if len(kinds) < 20 {
		t.Fatalf("only %d kinds were found", len(kinds))
	}
	g := newGround(t)
	for _, kind := range kinds {
		_, taken := notify.New(notify.Config{Log: g.log, KV: g.kv, Channels: []notify.Routed{{Channel: notify.Console("x", io.Discard), Kinds: []string{kind}}}})
		_, checked := Parse("x.yaml", []byte(base+"notify: [{name: x, type: console, kinds: ["+strconv.Quote(kind)+"]}]\n"))
		if (taken == nil) != (checked == nil) {
			t.Errorf("%q: notify says %v, check says %v", kind, taken, checked)
		}
	}
}

func TestLimitsHaveDefaults(t *testing.T) {
	for text, want := range map[string]Limits{
		"":                                {MaxCalls: 10000, RatePerSource: 50},
		"limits: {max_calls: 7}":          {MaxCalls: 7, RatePerSource: 50},
		"limits: {rate_per_source: 0.25}": {MaxCalls: 10000, RatePerSource: 0.25},
	} {
		c, err := Parse("x.yaml", []byte(base+text+"\n"))
		if err != nil {
			t.Fatal(err)
		}
		if c.Limits != want {
			t.Errorf("%q: %+v, want %+v", text, c.Limits, want)
		}
	}
}

// Who has the token of somebody else acts in that person's name: the places differ and the values are the same. Neither the people nor the token are repeated.
func TestATokenIsOnePersons(t *testing.T) {
	t.Setenv("T1", "hunter2")
	t.Setenv("T2", "hunter3")
	c, err := Parse("x.yaml", []byte(base+"  - {id: clara, token: {env: T3}}\n  - {id: dora, token: {env: T4}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.DistinctTokens(); err != nil {
		t.Errorf("two that cannot be read are not one: %v", err)
	}
	t.Setenv("T4", "hunter2")
	err = c.DistinctTokens()
	if err == nil || !strings.HasPrefix(err.Error(), "x.yaml:18: people[3].token: has the same value as that of people[0]\n    hint: give everybody a token of their own") {
		t.Errorf("got %v", err)
	}
	for _, word := range []string{"hunter", "anna", "dora", "T4"} {
		if strings.Contains(fmt.Sprint(err), word) {
			t.Errorf("the problem says %q: %v", word, err)
		}
	}
}

// Problems of a configuration go into the log (policy.reload_refused) and to slog. Nobody may be named there.
func TestProblemsNameNobody(t *testing.T) {
	const secret = "annasecret"
	for name, people := range map[string]string{
		"twice":                  "[{id: annasecret, roles: [ciso], token: {env: T1}}, {id: annasecret, token: {env: T2}}]",
		"reserved":               `[{id: "rule:annasecret", token: {env: T1}}]`,
		"a role":                 "[{id: a, roles: [annasecret], token: {env: T1}}]",
		"a scope":                "[{id: a, scopes: [annasecret], token: {env: T1}}]",
		"a day":                  "[{id: a, expires: annasecret, token: {env: T1}}]",
		"no list":                "annasecret",
		"no mapping":             "[annasecret]",
		"a mapping of people":    "{annasecret: {roles: [ciso]}}",
		"a key":                  "[{annasecret: {roles: [ciso]}}]",
		"a key of a token":       "[{id: a, token: {annasecret: x}}]",
		"a key twice":            "[{id: a, annasecret: x, annasecret: y, token: {env: T1}}]",
		"roles are no list":      "[{id: a, roles: annasecret, token: {env: T1}}]",
		"the name is a list":     "[{id: a, name: [annasecret], token: {env: T1}}]",
		"the token is a word":    "[{id: a, token: annasecret}]",
		"the token is a list":    "[{id: a, token: [annasecret]}]",
		"the file is a list":     "[{id: a, token: {file: [annasecret]}}]",
		"one variable for two":   "[{id: a, token: {env: annasecret}}, {id: b, token: {env: annasecret}}]",
		"one file for two":       "[{id: a, token: {file: annasecret}}, {id: b, token: {file: annasecret}}]",
		"an alias of nothing":    "[*annasecret]",
		"an anchor":              "[&annasecret {id: a, token: {env: T1}}]",
		"a number that is none":  "[{id: a, roles: !!int annasecret, token: {env: T1}}]",
		"an adviser who decides": "[{id: annasecret, roles: [dpo, ciso], token: {env: T1}}]",
	} {
		head, _, _ := strings.Cut(base, "people:")
		_, err := Parse("x.yaml", []byte(head+"people: "+people+"\n"))
		if err == nil {
			t.Errorf("%s: there is no problem", name)
			continue
		}
		if strings.Contains(strings.ToLower(err.Error()), secret) {
			t.Errorf("%s: somebody is named:\n%v", name, err)
		}
		noLine := name == "an alias of nothing" || name == "a number that is none" // the parser gives none
		if !noLine && !strings.Contains(err.Error(), "x.yaml:14:") {
			t.Errorf("%s: the line is missing:\n%v", name, err)
		}
	}
	// What stands elsewhere and becomes the section by reference is no less personal.
	head, _, _ := strings.Cut(base, "people:")
	_, err := Parse("x.yaml", []byte("x: &a [{id: a, roles: annasecret}]\n"+head+"people: *a\n"))
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("by an alias: %v", err)
	}
	_, err = Parse("x.yaml", []byte(head+"<<: {people: [{id: a, roles: annasecret}]}\n"))
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("by a merge: %v", err)
	}
}

func TestTokensThatCannotBeReadNameNobody(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "annasecret.empty"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(base, "people:")
	c, err := Parse(filepath.Join(dir, "x.yaml"), []byte(head+`people:
  - {id: a, roles: [ciso], token: {file: annasecret.token}}
  - {id: b, roles: [business_owner], token: {file: annasecret.empty}}
  - {id: c, roles: [dpo], token: {env: CORDON_TEST_annasecret}}
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range c.People {
		_, err := p.Token()
		if err == nil || strings.Contains(err.Error(), "annasecret") || !strings.Contains(err.Error(), "x.yaml:"+strconv.Itoa(15+i)+": people["+strconv.Itoa(i)+"].token") {
			t.Errorf("person %d: %v", i, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "annasecret.token"), []byte("t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if v, err := c.People[0].Token(); err != nil || v != "t" {
		t.Errorf("%q, %v", v, err)
	}
}

func TestSecretsOfOthersMayBeShared(t *testing.T) {
	text := strings.ReplaceAll(base, "127.1.0.1", "127.1.0.1")
	text = strings.Replace(text, "name: carrier,", "name: carrier, auth: {user: u, password: {env: S}},", 1)
	text = strings.Replace(text, "name: fra,", "name: fra, auth: {user: u, password: {env: S}},", 1)
	text += "notify: [{name: x, type: webhook, url: \"https://192.0.2.1/\", secret: {env: S}}, {name: y, type: webhook, url: \"https://192.0.2.2/\", secret: {env: S}}]\n"
	if _, err := Parse("x.yaml", []byte(text)); err != nil {
		t.Error(err)
	}
}

func TestTokenLinkedToTheSameFileIsShared(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "one"), []byte("t\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("one", filepath.Join(dir, "two")); err != nil {
		t.Fatal(err)
	}
	text := strings.NewReplacer("{env: T1}", "{file: one}", "{env: T2}", "{file: two}").Replace(base)
	if _, err := Parse(filepath.Join(dir, "x.yaml"), []byte(text)); err == nil || !strings.Contains(err.Error(), "people[1].token: is the same secret") {
		t.Errorf("got %v", err)
	}
}

// Who may approve follows gate.roles, and two people in one role are no quorum.
func TestWarnsWhenNobodyCanOpen(t *testing.T) {
	for name, c := range map[string]struct{ old, new, warns string }{
		"one role for both":   {"roles: [ciso]", "roles: [business_owner]", "1 people may approve"},
		"roles of their own":  {"people:", "gate: {roles: [crisis_manager, operator]}\npeople:", "0 people may approve"},
		"a quorum of three":   {"people:", "gate: {quorum: 3}\npeople:", "2 people may approve and the gate needs 3"},
		"an operator decides": {"people:", "gate: {roles: [ciso, business_owner, operator]}\npeople:", ""},
	} {
		got, err := Parse("x.yaml", []byte(strings.Replace(base, c.old, c.new, 1)))
		if err != nil {
			t.Fatal(err)
		}
		text := ""
		for _, w := range got.Warnings {
			text += w.Error() + "\n"
		}
		if c.warns == "" && text != "" || !strings.Contains(text, c.warns) {
			t.Errorf("%s: warnings %q, want %q", name, text, c.warns)
		}
	}
}

// rich names most keys once, each with a right value.
const rich = base + `regions: [{key: "own:a", country: DE, city: A, contract: c}]
dns: {servers: [127.1.0.53], timeout: 1s, min_ttl: 5s, max_ttl: 1h}
media: {address: 127.5.0.10, advertise: 127.5.0.11, ports: 20000-20099}
health: {interval: 5s, timeout: 2s, jitter: 0.1, fall: 3, rise: 5, hold_down: 10s, slow_rtt: 1s}
gate: {quorum: 2, roles: [ciso, business_owner], approve_in: 30m, execute_in: 15m, grant_for: 4h, max_calls: 10}
emergency: [{country: DE, numbers: ["112"], trunk: second}]
notify: [{name: x, type: console, kinds: [gate.changed, failover.*]}, {name: y, type: webhook, url: "https://192.0.2.1/", secret: {env: S}}, {name: z, type: pagerduty, secret: {env: S}}, {name: w, type: slack, secret: {env: S}, rate: {burst: 2, every: 1m}}, {name: v, type: webhook, url: "https://192.0.2.1/", secret: {env: S}, format: ecs, key_id: k1}, {name: u, type: syslog, syslog: {address: "logs.example:6514", facility: local0, enterprise: 12345}}, {name: s, type: mail, secret: {env: S}, mail: {address: smtp.example, tls: implicit, user: u, from: "cordon <c@bank.example>", to: [duty@bank.example]}}]
limits: {max_calls: 10, rate_per_source: 2, stranger: silence, connect: 1s}
log: {reserve: 1MiB, on_log_failure: refuse}
spans: {endpoint: "https://127.1.0.99:4318/v1/traces", headers: [{name: Authorization, value: {env: S}}], timeout: 3s}
legal_bases: [` + scc + `]
`

// Whatever single value is put wrong: either the checks say so, or every room takes it.
func TestOneWrongValueIsSeenOrTaken(t *testing.T) {
	text := strings.Replace(rich, "trunks:\n", `trunks:
  - name: second
    region: own:a
    org_home_region: own:a
    media_regions: [own:a]
    media_evidence: e
    country: DE
    attributes: [{name: recipient.dpf_listed, value: true, evidence: e, at: 2026-01-01}]
    members: [{name: m, host: 127.1.0.12, port: 5060, transport: udp, priority: 1, weight: 1}]
    sources: [127.1.0.0/16]
    peers: [a.example]
    media: {security: srtp, suites: [AES_CM_128_HMAC_SHA1_80], prefixes: [127.1.0.0/16]}
    tls: {server_name: a.example, min_version: "1.2"}
    auth: {user: u, realm: r, password: {env: S}}
    rel100: end
    hold: local
    transfer: relay
    early_media: authorised
    messages: [text/plain]
    session_interval: 30m
    deadlines: {first_response: 2s, progress: 2s, ring: 2s, setup: 2s}
    health: {interval: 5s, timeout: 2s}
    max_calls: 3
    headers: [X-A]
    legal_basis: scc-1
`, 1)
	g := newGround(t)
	if c, err := Parse("rich.yaml", []byte(text)); err != nil {
		t.Fatal(err)
	} else {
		roomsTake(t, g, c)
	}
	value := regexp.MustCompile(`[:\[,] ?("[^"]*"|[A-Za-z0-9_./-]+)`)
	taken := 0
	for _, at := range value.FindAllStringSubmatchIndex(text, -1) {
		for _, wrong := range []string{"''", "0", "-1", "99999999999999", "a/b", "' '", ".nan", "'::'", "0s", "1ns", "1000h", "rule:x", "null"} {
			changed := text[:at[2]] + wrong + text[at[3]:]
			c, probs := Examine("rich.yaml", []byte(changed))
			if len(probs) > 0 {
				continue
			}
			taken++
			if roomsTake(t, g, c); t.Failed() {
				t.Fatalf("%s instead of %s at %d:\n%s", wrong, text[at[2]:at[3]], at[2], changed)
			}
		}
	}
	if taken < 100 {
		t.Errorf("only %d changes passed the checks: the test looks at nothing", taken)
	}
}

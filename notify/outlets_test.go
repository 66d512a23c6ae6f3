package notify

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// over makes a channel over HTTP to a receiver of a test.
func over(t *testing.T, make func(WebhookConfig) (Channel, error), answer http.HandlerFunc, edit func(*WebhookConfig)) Channel {
	t.Helper()
	s, roots := receiver(t, answer)
	var ch Channel
	hook(t, s, roots, func(c *WebhookConfig) {
		c.URL = strings.TrimSuffix(c.URL, "/in?key=SECRET")
		if edit != nil {
			edit(c)
		}
		var err error
		if ch, err = make(*c); err != nil {
			t.Fatal(err)
		}
	})
	return ch
}

func of(t *testing.T, kind audit.Kind, body string) Notice {
	t.Helper()
	n, ok := noticeOf(entry(kind, body))
	if !ok {
		t.Fatalf("%s is not told", kind)
	}
	return n
}

func TestPagerDutyOpensTakesUpAndEnds(t *testing.T) {
	var got []map[string]any
	ch := over(t, PagerDuty, func(w http.ResponseWriter, r *http.Request) {
		var ev map[string]any
		if err := json.NewDecoder(r.Body).Decode(&ev); err != nil {
			t.Error(err)
		}
		got = append(got, ev)
		w.WriteHeader(http.StatusAccepted)
		io.WriteString(w, `{"status":"success","message":"Event processed"}`)
	}, nil)
	for _, c := range []struct {
		kind           audit.Kind
		body           string
		action, key    string // "": nothing is sent
		severity, said string
	}{
		{audit.KindFailoverHeld, `{"route":"in","ticket":"T1"}`, "trigger", "cordon/bank/ticket/T1", "critical", "202"},
		{audit.KindGateChanged, `{"ticket":"T1","what":"proposed","state":"PENDING"}`, "trigger", "cordon/bank/ticket/T1", "critical", "202"},
		{audit.KindGateChanged, `{"ticket":"T1","what":"decided","state":"PENDING"}`, "acknowledge", "cordon/bank/ticket/T1", "", "202"},
		{audit.KindGateChanged, `{"ticket":"T1","what":"activated","state":"ACTIVE"}`, "resolve", "cordon/bank/ticket/T1", "", "202"},
		{audit.KindGateChanged, `{"ticket":"T1","what":"escalated","state":"ESCALATED"}`, "trigger", "cordon/bank/ticket/T1", "critical", "202"},
		{audit.KindGateChanged, `{"ticket":"T1","what":"break_glass","state":"BREAK_GLASS_ACTIVE"}`, "trigger", "cordon/bank/ticket/T1", "critical", "202"},
		{audit.KindFailoverRefused, `{"route":"in"}`, "trigger", "cordon/bank/route/in", "critical", "202"},
		{audit.KindFailback, `{"route":"in"}`, "resolve", "cordon/bank/route/in", "", "202"},
		{audit.KindHealthChanged, `{"target":"a","to":"down"}`, "trigger", "cordon/bank/target/a", "error", "202"},
		{audit.KindHealthChanged, `{"target":"a","to":"up"}`, "resolve", "cordon/bank/target/a", "", "202"},
		{audit.KindGap, `{"cause":"crash"}`, "trigger", "cordon/bank/entry/01JD0000000000000000000001", "error", "202"},
		{audit.KindNodeStarted, `{"after_crash":true}`, "trigger", "cordon/bank/entry/01JD0000000000000000000001", "error", "202"},
		{audit.KindNodeStarted, `{"after_crash":false}`, "", "", "", "nothing was sent"},
	} {
		got = nil
		answer, retry, err := ask(t.Context(), ch, of(t, c.kind, c.body))
		if err != nil || retry || !strings.Contains(answer, c.said) || (len(got) == 1) != (c.action != "") {
			t.Errorf("%s %s: %q, %v, %v, %d events", c.kind, c.body, answer, retry, err, len(got))
			continue
		}
		if c.action == "" {
			continue
		}
		ev := got[0]
		if ev["routing_key"] != "hush" || ev["event_action"] != c.action || ev["dedup_key"] != c.key {
			t.Errorf("%s %s: %v", c.kind, c.body, ev)
		}
		payload, has := ev["payload"].(map[string]any)
		if has != (c.action == "trigger") || has && (payload["severity"] != c.severity || payload["source"] != "edge-1" || payload["class"] != string(c.kind) || payload["summary"] == "") {
			t.Errorf("%s %s: payload %v", c.kind, c.body, payload)
		}
	}
	got = nil
	if answer, _, err := ask(t.Context(), ch, Notice{ID: "test-1", Kind: KindTest, Tenant: "bank", Node: "edge-1", Summary: "TEST"}); err != nil || len(got) != 2 ||
		got[0]["event_action"] != "trigger" || got[1]["event_action"] != "resolve" || got[0]["dedup_key"] != got[1]["dedup_key"] || !strings.Contains(answer, "Event processed") {
		t.Errorf("a test: %q, %v, %v", answer, err, got)
	}
}

func TestPagerDutyKeepsItsBounds(t *testing.T) {
	n := of(t, audit.KindFailoverRefused, `{"route":"`+strings.Repeat("é", 4000)+`"}`)
	body, err := encodePager(n, "key", Trigger)
	var ev pagerEvent
	if err != nil || json.Unmarshal(body, &ev) != nil || len(ev.DedupKey) > 255 || len(ev.Payload.Summary) > 1024 || !strings.HasPrefix(ev.DedupKey, "cordon/") {
		t.Errorf("%v: %.200s", err, body)
	}
	if ev.Payload.Summary != strings.ToValidUTF8(ev.Payload.Summary, "?") {
		t.Error("a character was cut in two")
	}
}

func TestSlackTakesNoMarksAndTheSecretStaysInTheAddress(t *testing.T) {
	var path, text string
	status := http.StatusOK
	ch := over(t, Slack, func(w http.ResponseWriter, r *http.Request) {
		var m map[string]string
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || len(m) != 1 {
			t.Error(err, m)
		}
		path, text = r.URL.Path, m["text"]
		w.WriteHeader(status)
		io.WriteString(w, "ok\x1b[2J")
	}, func(c *WebhookConfig) { c.Secret = func() (string, error) { return "services/T0/B0/KEY", nil } })
	answer, retry, err := ask(t.Context(), ch, of(t, audit.KindFailoverApplied, `{"route":"<!channel> & <http://x|y>"}`))
	if err != nil || retry || answer != "200 ok [2J" || path != "/services/T0/B0/KEY" {
		t.Errorf("%q, %v, %v, %s", answer, retry, err, path)
	}
	if strings.ContainsAny(text, "<>") || !strings.Contains(text, "&lt;!channel&gt; &amp;") || !strings.Contains(text, "ERROR edge-1") {
		t.Errorf("text %q", text)
	}
	status = http.StatusForbidden
	if _, retry, err = ask(t.Context(), ch, notice()); err == nil || retry || strings.Contains(err.Error(), "KEY") {
		t.Errorf("refused: %v, %v", retry, err)
	}
}

// The payload is exact: names, order, and no other name.
func TestTheIncidentPayload(t *testing.T) {
	for _, c := range []struct {
		kind       audit.Kind
		body, want string
	}{
		{
			audit.KindFailoverHeld, `{"route":"in","region":"aws:us-east-1","ticket":"T1"}`,
			`{"event_type":"ICT_INCIDENT","severity":"critical","timestamp":"2026-11-21T12:00:00.000000005Z","source_system":"cordon/edge-1","org_id":"bank",` +
				`"details":{"incident_type":"failover.held","affected_region":"aws:us-east-1","duration_seconds":0,"user_impact":"new calls of the route are not put through until people decide"}}`,
		},
		{
			audit.KindGap, `{"from":"2026-11-21T12:00:00Z","to":"2026-11-21T12:00:01.5Z","cause":"crash"}`,
			`{"event_type":"ICT_INCIDENT","severity":"error","timestamp":"2026-11-21T12:00:00.000000005Z","source_system":"cordon/edge-1","org_id":"bank",` +
				`"details":{"incident_type":"log.gap","affected_region":"","duration_seconds":1.5,"user_impact":"records are missing"}}`,
		},
	} {
		got, err := encodeIncident(of(t, c.kind, c.body))
		if err != nil || string(got) != c.want {
			t.Errorf("%v; got\n%s\nwant\n%s", err, got, c.want)
		}
	}
	if n := of(t, audit.KindMediaRestarted, `{"gap_ms":250}`); duration(n) != 0.25 {
		t.Errorf("%v seconds", duration(n))
	}
}

func TestECS(t *testing.T) {
	got, err := encodeECS(of(t, audit.KindFailoverApplied, `{"route":"in","region":"aws:eu-central-1"}`))
	want := `{"@timestamp":"2026-11-21T12:00:00.000000005Z","cloud":{"provider":"aws","region":"eu-central-1"},"cordon":{"data":{"region":"aws:eu-central-1","route":"in"},"subject":"in"},` +
		`"ecs":{"version":"8.17.0"},"event":{"action":"failover.applied","created":"2026-11-21T12:00:00.000000005Z","dataset":"cordon.failover","id":"01JD0000000000000000000001",` +
		`"kind":"alert","module":"cordon","sequence":7,"severity":6},"log":{"level":"error"},"message":"failover.applied region=\"aws:eu-central-1\" route=\"in\"",` +
		`"observer":{"name":"edge-1","product":"cordon","type":"proxy","vendor":"cordon"},"organization":{"id":"bank"}}`
	if err != nil || string(got) != want {
		t.Errorf("%v; got\n%s\nwant\n%s", err, got, want)
	}
}

func TestTheFormatOfAWebhook(t *testing.T) {
	for format, kind := range map[string]string{"": "application/cloudevents+json; charset=utf-8", FormatIncident: "application/json", FormatECS: "application/json"} {
		var head http.Header
		var body []byte
		ch := over(t, Webhook, func(_ http.ResponseWriter, r *http.Request) {
			head = r.Header
			body, _ = io.ReadAll(r.Body)
		}, func(c *WebhookConfig) { c.Format, c.KeyID = format, "k1" })
		if _, err := ch.Send(t.Context(), notice()); err != nil || head.Get("Content-Type") != kind || head.Get(IdempotencyHeader) != notice().ID || !json.Valid(body) {
			t.Errorf("%q: %v, %v", format, err, head)
		}
		if err := Verify([]byte("hush"), head.Get(SignatureHeader), body, time.Now(), time.Minute); err != nil || !strings.Contains(head.Get(SignatureHeader), ",kid=k1,") {
			t.Errorf("%q: %v", format, err)
		}
	}
	if _, err := Webhook(WebhookConfig{Name: "x", URL: "https://example.com/", Format: "xml"}); err == nil {
		t.Error("an unknown format was taken")
	}
}

// Whatever stands about people in entries of any kind, no outlet's message has it.
func TestNoOutletTellsOfPeople(t *testing.T) {
	const person = "PERSON"
	body := `{"by":"PERSON","reason":"PERSON","person":"PERSON","source":"PERSON","addr":"PERSON","listeners":["PERSON"],"errors":["PERSON"],"call_ref":"PERSON","calls_up":["PERSON"],` +
		`"key_id":"PERSON","party_a_ref":{"ref":"PERSON"},"party_b_ref":{"ref":"PERSON"},"session_id":"PERSON","health":["PERSON"],"tenant_name":"PERSON","ranges":["PERSON"],` +
		`"decision":{"person":"PERSON","reason":"PERSON"},"dpo_opinion":{"person":"PERSON","text":"PERSON"},"record":{"ticket":{"requested_by":"PERSON","plan":{"reason":"PERSON"}},"people":["PERSON"]},` +
		`"ticket":"T1","route":"in","what":"proposed"}`
	for kind := range fields {
		text := body
		if kind == audit.KindNodeStopped {
			text = strings.Replace(body, `"reason":"PERSON",`, "", 1) // there it is a word of the program
		}
		n, ok := noticeOf(entry(kind, text))
		if !ok {
			continue
		}
		for name, encode := range map[string]func(Notice) ([]byte, error){
			"cloudevents": encodeEvent, "incident": encodeIncident, "ecs": encodeECS, "slack": encodeSlack,
			"pagerduty": func(n Notice) ([]byte, error) { return encodePager(n, "key", Trigger) },
			"syslog":    func(n Notice) ([]byte, error) { return encodeSyslog(n, 16, 12345), nil },
			"mail":      func(n Notice) ([]byte, error) { return encodeMail(n, sender, []string{"a@b.example"}) },
		} {
			for _, m := range []Notice{n, merged([]Notice{n, n})} {
				if text, err := encode(m); err != nil || strings.Contains(string(text), person) {
					t.Errorf("%s in %s: %v, %s", kind, name, err, text)
				}
			}
		}
	}
}

func TestOutletsThatLackSomethingAreRefused(t *testing.T) {
	ok := WebhookConfig{Name: "x", Secret: func() (string, error) { return "", errors.New("gone") }, Dial: plainDialer.DialContext, Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, nil }}
	for name, make := range map[string]func(WebhookConfig) (Channel, error){"pagerduty": PagerDuty, "slack": Slack} {
		ch, err := make(ok)
		if err != nil {
			t.Fatal(err)
		}
		if retry, err := ch.Send(t.Context(), notice()); err == nil || !retry {
			t.Errorf("%s without its secret: %v, %v", name, retry, err)
		}
		for what, edit := range map[string]func(*WebhookConfig){
			"name": func(c *WebhookConfig) { c.Name = "" }, "secret": func(c *WebhookConfig) { c.Secret = nil }, "dialer": func(c *WebhookConfig) { c.Dial = nil },
		} {
			c := ok
			edit(&c)
			if _, err := make(c); err == nil {
				t.Errorf("%s without %s: taken", name, what)
			}
		}
	}
}

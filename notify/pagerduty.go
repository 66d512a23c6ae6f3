package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// PagerDutyEU is the address of the Events API v2 in the European service region.
const PagerDutyEU = "https://events.eu.pagerduty.com/v2/enqueue"

// Bounds of the Events API v2.
const (
	maxPagerSummary = 1024
	maxDedupKey     = 255
)

// pagerEvent is one event of the Events API v2. An acknowledge or resolve has no payload.
type pagerEvent struct {
	RoutingKey string        `json:"routing_key"`
	Action     Action        `json:"event_action"`
	DedupKey   string        `json:"dedup_key"`
	Client     string        `json:"client,omitempty"`
	Payload    *pagerPayload `json:"payload,omitempty"`
}

type pagerPayload struct {
	Summary   string    `json:"summary"`
	Source    string    `json:"source"`
	Severity  Severity  `json:"severity"`
	Timestamp time.Time `json:"timestamp"`
	Component string    `json:"component,omitempty"`
	Group     string    `json:"group,omitempty"`
	Class     string    `json:"class"`
	Details   Notice    `json:"custom_details"`
}

// dedupKey is the same for all notices about one thing of one tenant.
func dedupKey(n Notice, key string) string {
	text := "cordon/" + n.Tenant + "/" + key
	if len(text) <= maxDedupKey {
		return text
	}
	sum := sha256.Sum256([]byte(text))
	return "cordon/" + hex.EncodeToString(sum[:])
}

// encodePager writes the event of n; ok is false where there is nothing to open, take up or end.
func encodePager(n Notice, routingKey string, action Action) ([]byte, error) {
	key, _ := Lifecycle(n)
	ev := pagerEvent{RoutingKey: routingKey, Action: action, DedupKey: dedupKey(n, key)}
	if action == Trigger {
		ev.Client = "cordon"
		severity := SeverityOf(n)
		ev.Payload = &pagerPayload{
			Summary: cut(n.Summary, maxPagerSummary), Source: n.Node, Severity: severity, Timestamp: n.Time.UTC(), Component: n.Subject, Group: n.Tenant,
			Class: string(n.Kind), Details: n,
		}
	}
	return json.Marshal(ev)
}

// PagerDuty makes a channel for the Events API v2. The secret is the integration's routing key. The dedup key is the idempotency key: an event that is sent
// twice changes nothing. What is only worth knowing (severity info, and nothing to resolve) is not sent.
func PagerDuty(c WebhookConfig) (Channel, error) {
	if c.URL == "" {
		c.URL = PagerDutyEU
	}
	out, err := outlet("pagerduty", c)
	if err != nil {
		return nil, err
	}
	return &pager{c: c, out: out}, nil
}

// outlet checks what each channel over HTTP with a secret needs.
func outlet(what string, c WebhookConfig) (*Outlet, error) {
	if c.Name == "" || c.Secret == nil {
		return nil, errors.New("notify: a channel to " + what + " needs a name and a secret")
	}
	out, err := NewOutlet(OutletConfig{URL: c.URL, Roots: c.Roots, Resolve: c.Resolve, Dial: c.Dial})
	if err != nil {
		return nil, fmt.Errorf("notify: %s: %w", c.Name, err)
	}
	return out, nil
}

type pager struct {
	c   WebhookConfig
	out *Outlet
}

func (p *pager) Name() string { return p.c.Name }

// Send implements Channel.
func (p *pager) Send(ctx context.Context, n Notice) (bool, error) {
	_, retry, err := p.Ask(ctx, n)
	return retry, err
}

// Ask implements Asker. A test is resolved at once, so that it leaves nothing open.
func (p *pager) Ask(ctx context.Context, n Notice) (string, bool, error) {
	_, action := Lifecycle(n)
	if action == Tell {
		return "nothing to open or to end, so nothing was sent", false, nil
	}
	answer, retry, err := p.event(ctx, n, action)
	if err == nil && n.Kind == KindTest {
		_, retry, err = p.event(ctx, n, Resolve)
	}
	return answer, retry, err
}

func (p *pager) event(ctx context.Context, n Notice, action Action) (string, bool, error) {
	key, err := p.c.Secret()
	if err != nil {
		return "", true, fmt.Errorf("notify: %s: reading the routing key: %w", p.c.Name, err)
	}
	body, err := encodePager(n, key, action)
	if err != nil {
		return "", false, fmt.Errorf("notify: writing the event: %w", err)
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	return post(ctx, p.out, p.c.Name, header, body)
}

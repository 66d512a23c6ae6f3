package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Headers of a webhook request.
const (
	// SignatureHeader carries "t=<unix seconds>,v1=<hex HMAC-SHA256 over t, a dot and the body>", with "kid=<id of the key>" between them where keys have ids.
	SignatureHeader = "Cordon-Signature"
	// IdempotencyHeader carries the id of the entry: the same at each attempt.
	IdempotencyHeader = "Idempotency-Key"
)

const eventPrefix = "io.github.cordonsip." // CloudEvents types are reverse domain names

// WebhookConfig of a channel over HTTP. A webhook posts CloudEvents 1.0 in structured JSON mode unless Format says otherwise; it follows no redirect and uses no proxy. https is needed,
// except to loopback addresses.
type WebhookConfig struct {
	Name   string
	URL    string
	Secret func() (string, error) // of the signature, read at each attempt; nil: unsigned
	KeyID  string                 // tells the receiver which secret it is, so that it can change; "": none
	Format string                 // "" or cloudevents, FormatIncident, FormatECS; of webhooks alone
	Roots  *x509.CertPool         // nil: the system's
	// Resolve and Dial are the only way out: names are resolved and addresses are dialled by the caller's rules, never by the HTTP client's.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Webhook makes a webhook channel.
func Webhook(c WebhookConfig) (Channel, error) {
	if c.Name == "" {
		return nil, errors.New("notify: a webhook needs a name")
	}
	out, err := NewOutlet(OutletConfig{URL: c.URL, Roots: c.Roots, Resolve: c.Resolve, Dial: c.Dial})
	if err != nil {
		return nil, fmt.Errorf("notify: webhook %s: %w", c.Name, err)
	}
	form, ok := forms()[c.Format]
	if !ok {
		return nil, fmt.Errorf("notify: webhook %s: %q is no format", c.Name, c.Format)
	}
	return &webhook{c, out, form}, nil
}

// The formats of a webhook besides CloudEvents.
const (
	FormatIncident = "ict_incident" // event_type ICT_INCIDENT and details
	FormatECS      = "ecs"          // the Elastic Common Schema
)

// form is how a webhook's body looks.
type form struct {
	contentType string
	encode      func(Notice) ([]byte, error)
}

func forms() map[string]form {
	events := form{"application/cloudevents+json; charset=utf-8", encodeEvent}
	return map[string]form{
		"": events, "cloudevents": events, FormatIncident: {"application/json", encodeIncident}, FormatECS: {"application/json", encodeECS},
	}
}

type webhook struct {
	c    WebhookConfig
	out  *Outlet
	form form
}

func (w *webhook) Name() string { return w.c.Name }

// event is the CloudEvents 1.0 envelope in structured JSON mode.
type event struct {
	SpecVersion string    `json:"specversion"`
	ID          string    `json:"id"`
	Source      string    `json:"source"`
	Type        string    `json:"type"`
	Subject     string    `json:"subject,omitempty"`
	Time        time.Time `json:"time"`
	ContentType string    `json:"datacontenttype"`
	Data        Notice    `json:"data"`
}

func encodeEvent(n Notice) ([]byte, error) {
	return json.Marshal(event{
		SpecVersion: "1.0", ID: n.ID, Source: "/cordon/" + url.PathEscape(n.Tenant) + "/" + url.PathEscape(n.Node), Type: eventPrefix + string(n.Kind),
		Subject: n.Subject, Time: n.Time.UTC(), ContentType: "application/json", Data: n,
	})
}

// Send implements Channel.
func (w *webhook) Send(ctx context.Context, n Notice) (bool, error) {
	_, retry, err := w.Ask(ctx, n)
	return retry, err
}

// Ask implements Asker: it posts n once.
func (w *webhook) Ask(ctx context.Context, n Notice) (string, bool, error) {
	body, err := w.form.encode(n)
	if err != nil {
		return "", false, fmt.Errorf("notify: writing the event: %w", err)
	}
	header := http.Header{}
	header.Set("Content-Type", w.form.contentType)
	header.Set(IdempotencyHeader, n.ID)
	if w.c.Secret != nil {
		secret, err := w.c.Secret()
		if err != nil {
			return "", true, fmt.Errorf("notify: %s: reading the secret: %w", w.c.Name, err)
		}
		header.Set(SignatureHeader, Sign([]byte(secret), w.c.KeyID, time.Now(), body))
	}
	return post(ctx, w.out, w.c.Name, header, body)
}

// Sign makes the value of SignatureHeader. keyID may be empty.
func Sign(secret []byte, keyID string, at time.Time, body []byte) string {
	t := strconv.FormatInt(at.Unix(), 10)
	kid := ""
	if keyID != "" {
		kid = ",kid=" + keyID
	}
	return "t=" + t + kid + ",v1=" + hex.EncodeToString(signature(secret, t, body))
}

func signature(secret []byte, t string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(t))
	mac.Write([]byte{'.'})
	mac.Write(body)
	return mac.Sum(nil)
}

// Verify is what a receiver does with SignatureHeader: the signature must hold and must not be older, or younger, than tolerance.
func Verify(secret []byte, header string, body []byte, now time.Time, tolerance time.Duration) error {
	var t string
	var sum []byte
	for part := range strings.SplitSeq(header, ",") {
		switch key, value, _ := strings.Cut(part, "="); key {
		case "t":
			t = value
		case "v1":
			sum, _ = hex.DecodeString(value)
		}
	}
	unix, err := strconv.ParseInt(t, 10, 64)
	if err != nil || len(sum) == 0 {
		return errors.New("notify: the signature cannot be read")
	}
	if age := now.Sub(time.Unix(unix, 0)); age > tolerance || age < -tolerance {
		return errors.New("notify: the signature is too old or from the future")
	}
	if !hmac.Equal(sum, signature(secret, t, body)) {
		return errors.New("notify: the signature does not hold")
	}
	return nil
}

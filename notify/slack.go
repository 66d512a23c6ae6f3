package notify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"
)

// maxSlackText is what Slack asks for at most in the text of a message.
const maxSlackText = 4000

// slackEscape replaces the three characters that Slack reads as marks: without it a name could make a link or call everybody.
var slackEscape = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// encodeSlack writes the message of an incoming webhook.
func encodeSlack(n Notice) ([]byte, error) {
	text := fmt.Sprintf("%s %s: %s\nentry %d, %s", strings.ToUpper(string(SeverityOf(n))), n.Node, n.Summary, n.Seq, n.ID)
	return json.Marshal(map[string]string{"text": slackEscape.Replace(cut(text, maxSlackText))})
}

// SlackURL is where the incoming webhooks of Slack are.
const SlackURL = "https://hooks.slack.com"

// Slack makes a channel for an incoming webhook of Slack, or of what speaks its language. The secret is the rest of the address behind URL; there is no
// idempotency key, so after a crash one message may come twice: each names its entry.
func Slack(c WebhookConfig) (Channel, error) {
	if c.URL == "" {
		c.URL = SlackURL
	}
	out, err := outlet("slack", c)
	if err != nil {
		return nil, err
	}
	return &slack{c, out}, nil
}

type slack struct {
	c   WebhookConfig
	out *Outlet
}

func (s *slack) Name() string { return s.c.Name }

// Send implements Channel.
func (s *slack) Send(ctx context.Context, n Notice) (bool, error) {
	_, retry, err := s.Ask(ctx, n)
	return retry, err
}

// Ask implements Asker.
func (s *slack) Ask(ctx context.Context, n Notice) (string, bool, error) {
	path, err := s.c.Secret()
	if err != nil {
		return "", true, fmt.Errorf("notify: %s: reading the secret part of the address: %w", s.c.Name, err)
	}
	body, err := encodeSlack(n)
	if err != nil {
		return "", false, fmt.Errorf("notify: writing the message: %w", err)
	}
	header := http.Header{}
	header.Set("Content-Type", "application/json")
	return post(ctx, s.out.under(path), s.c.Name, header, body)
}

// cut shortens text to at most n bytes, at the border of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

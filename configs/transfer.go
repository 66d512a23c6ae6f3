package configs

import (
	"fmt"
	"mime"
	"strings"
)

// transfer reads what a REFER of a party does.
func (b *builder) transfer(p *Party, at string) string {
	switch p.Transfer {
	case "", "local", "relay", "refuse":
	default:
		b.fail(at+".transfer", "local (planned and judged here), relay (sent on to the other side) or refuse", "%q is unknown", p.Transfer)
	}
	return p.Transfer
}

// messages reads which content types may go to a party.
func (b *builder) messages(p *Party, at string) []string {
	for i, s := range p.Messages {
		kind, params, err := mime.ParseMediaType(s)
		if err != nil || !strings.Contains(kind, "/") || len(params) > 0 || kind != s {
			b.fail(fmt.Sprintf("%s.messages[%d]", at, i), "a content type in lower case without parameters, e.g. text/plain or message/cpim", "%q is no content type", s)
		}
	}
	return p.Messages
}

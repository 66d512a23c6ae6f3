package cordon

import (
	"context"
	"errors"
	"fmt"

	"github.com/cordonsip/cordon/admin"
	"github.com/cordonsip/cordon/configs"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
)

// channel builds one notification channel, with the operator's words.
func (n *Node) channel(p configs.ChannelPart) (notify.Channel, error) {
	c, err := n.bareChannel(p)
	if err != nil {
		return nil, err
	}
	return notify.Worded(c, p.Templates)
}

func (n *Node) bareChannel(p configs.ChannelPart) (notify.Channel, error) {
	dial := n.fence.Dialer("", sovereign.Infrastructure, n.dialInfrastructure)
	over := notify.WebhookConfig{
		Name: p.Name, URL: p.URL, Secret: p.Secret, KeyID: p.KeyID, Format: p.Format, Roots: p.Roots, Resolve: n.resolver.Host, Dial: dial,
	}
	stream := notify.StreamConfig{Name: p.Name, Roots: p.Roots, Resolve: n.resolver.Host, Dial: dial}
	switch p.Type {
	case "webhook":
		return notify.Webhook(over)
	case "pagerduty":
		return notify.PagerDuty(over)
	case "slack":
		return notify.Slack(over)
	case "syslog":
		stream.Host, stream.Port = p.Syslog.Host, p.Syslog.Port
		if p.Syslog.Use != "" {
			stream.Cert = n.certs.of(p.Syslog.Use)
		}
		return notify.Syslog(notify.SyslogConfig{StreamConfig: stream, Facility: p.Syslog.Facility, Enterprise: p.Syslog.Enterprise})
	case "mail":
		stream.Host, stream.Port = p.Mail.Host, p.Mail.Port
		c := notify.MailConfig{StreamConfig: stream, Implicit: p.Mail.Implicit, User: p.Mail.User, From: p.Mail.From, To: p.Mail.To}
		if c.User != "" {
			c.Password = p.Secret
		}
		return notify.Mail(c)
	}
	return notify.Console(p.Name, n.opts.Console), nil
}

// outlets shows the notification outlets at the door.
type outlets struct{ n *Node }

var _ admin.Outlets = outlets{}

// Standings implements admin.Outlets.
func (o outlets) Standings() []admin.Outlet {
	out := []admin.Outlet{}
	for _, s := range o.n.notifier.Standings() {
		v := admin.Outlet{Name: s.Name, Behind: s.Behind, Failure: s.Failure, Delivered: s.Delivered, Older: s.Older, Dead: []admin.DeadLetter{}}
		for _, l := range s.Dead {
			v.Dead = append(v.Dead, admin.DeadLetter{
				Entry: l.Entry, Last: l.Last, Kind: string(l.Kind), Count: l.Count, At: l.At, Fenced: l.Fenced, Failure: l.Failure,
			})
		}
		out = append(out, v)
	}
	return out
}

// Test implements admin.Outlets.
func (o outlets) Test(ctx context.Context, name string) ([]admin.OutletAnswer, error) {
	list, err := o.n.notifier.Test(ctx, name)
	out := []admin.OutletAnswer{}
	for _, t := range list {
		out = append(out, admin.OutletAnswer{Outlet: t.Channel, OK: t.Failure == "", Answer: t.Answer, Failure: t.Failure, TookMS: float64(t.Took.Microseconds()) / 1000})
	}
	return out, atTheDoor(err)
}

// Resend implements admin.Outlets.
func (o outlets) Resend(ctx context.Context, name string, entry *uint64, by string) ([]admin.OutletAnswer, error) {
	list, err := o.n.notifier.Resend(ctx, name, entry, o.n.pseudonym(by))
	out := []admin.OutletAnswer{}
	for _, r := range list {
		out = append(out, admin.OutletAnswer{Outlet: r.Channel, Entry: &r.Entry, OK: r.Failure == "", Answer: r.Answer, Failure: r.Failure})
	}
	return out, atTheDoor(err)
}

// atTheDoor gives an error of notify the word that the door knows.
func atTheDoor(err error) error {
	if errors.Is(err, notify.ErrNoOutlet) || errors.Is(err, notify.ErrNotTold) {
		return fmt.Errorf("%w: %w", admin.ErrNoOutlet, err)
	}
	return err
}

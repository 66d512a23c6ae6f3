package configs

import (
	"crypto/x509"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/notify"
	"github.com/cordonsip/cordon/sovereign"
)

// Channel is one way to tell people.
type Channel struct {
	// Unique name.
	Name string `yaml:"name"`
	// console, webhook, pagerduty, slack, syslog or mail.
	Type string `yaml:"type"`
	// Address of the webhook; its host must lie in a permitted place. Default for pagerduty: the Events API v2 in the European region; for slack: https://hooks.slack.com.
	URL string `yaml:"url,omitempty"`
	// HMAC key of the webhook, routing key of pagerduty, path of slack (services/T../B../..), or password of mail, by reference.
	Secret Secret `yaml:"secret,omitempty"`
	// Body of the webhook: cloudevents (default), ict_incident or ecs.
	Format string `yaml:"format,omitempty"`
	// Name of that key, in each signature: with it a receiver knows which key to check with while you change keys.
	KeyID string `yaml:"key_id,omitempty"`
	// Roots of the far side, PEM; default: the system's.
	RootsFile string `yaml:"roots_file,omitempty"`
	// Kinds of entries; default: failover.*, gate.changed, approval.key_*, law.*, policy.reload_refused, policy.widening_held, dns.answers_moved, place.*, ingress.refused, fence.refused, log.gap, node.started, node.stopped, media.restarted, notice.undelivered, certificate.*, witness.*, incident.*, review.*, drill.*, log.copy_*, log.restored, clock.alarm, log.key_rotated.
	Kinds []string `yaml:"kinds,omitempty"`
	// How many messages it gets before what happens close together is told of in one; default: no bound; pagerduty, slack and mail: burst 10, every 30s.
	Rate *ChannelRate `yaml:"rate,omitempty"`
	// How its notices are put into words; the first one that is for a kind counts. Default: each field with its name.
	Templates []Template `yaml:"templates,omitempty"`
	// Of the type syslog: the collector, by RFC 5424 over TLS (RFC 5425).
	Syslog *Syslog `yaml:"syslog,omitempty"`
	// Of the type mail: the server that takes it, and whom it is for.
	Mail *Mail `yaml:"mail,omitempty"`
}

// Template puts notices of some kinds into words: their summary, the line that people read first.
type Template struct {
	// Kinds of entries, as a channel names them; default: all that the channel carries.
	Kinds []string `yaml:"kinds,omitempty"`
	// One line in the language of Go's text/template, e.g. "{{.Data.route}} waits for {{.Data.region}}, ticket {{.Ticket}}".
	Summary string `yaml:"summary"`
}

// ChannelRate bounds the messages of a channel. What asks people to decide is always a message of its own.
type ChannelRate struct {
	// Messages that may go out at once, 1 to 1000.
	Burst int `yaml:"burst"`
	// How long what comes is gathered then, one message for each kind of thing; 1s to 1h.
	Every Duration `yaml:"every"`
}

// ChannelPart is one notification channel.
type ChannelPart struct {
	Name, Type, URL string
	Secret          func() (string, error)
	Roots           *x509.CertPool
	KeyID, Format   string
	Kinds           []string
	Burst           int // 0: no bound
	Every           time.Duration
	Templates       []notify.Template
	Syslog          *SyslogPart // of its type alone
	Mail            *MailPart
}

func (b *builder) channels(c *Config) {
	taken := map[string]bool{}
	for i, ch := range b.doc.file.Notify {
		at := fmt.Sprintf("notify[%d]", i)
		if ch.Name == "" {
			b.fail(at+".name", "give the channel a name; the log uses it", "is missing")
		} else if len(ch.Name) > maxChannelName || taken[ch.Name] {
			b.fail(at+".name", fmt.Sprintf("a name of its own, of at most %d bytes", maxChannelName), "%.80q is taken or too long", ch.Name)
		}
		taken[ch.Name] = true
		b.kinds(at, ch.Kinds)
		c.Channels = append(c.Channels, b.channel(at, ch))
	}
}

// channel checks what one type of channel needs.
func (b *builder) channel(at string, ch Channel) ChannelPart {
	secret := ch.Secret
	secret.File = b.path(secret.File)
	part := ChannelPart{
		Name: ch.Name, Type: ch.Type, URL: ch.URL, Secret: secret.Value, KeyID: ch.KeyID, Format: ch.Format, Roots: b.roots(at+".roots_file", ch.RootsFile), Kinds: ch.Kinds,
	}
	b.rate(at, ch.Rate, &part)
	b.templates(at, ch.Templates, &part)
	b.ownKeys(at, ch)
	if ch.Type != "webhook" && (ch.Format != "" || ch.KeyID != "") {
		b.fail(at+".type", "leave format and key_id out: only a webhook has them", "%.80q has no format and no key_id", ch.Type)
	}
	switch ch.Type {
	case "console":
	case "webhook":
		b.httpURL(at, ch.URL)
		if secret.IsZero() {
			b.fail(at+".secret", "add {env: NAME} or {file: PATH}: the receiver checks the signature with it", "is missing")
		}
		if !keyID.MatchString(ch.KeyID) {
			b.fail(at+".key_id", "letters, digits, dots, dashes and underlines, at most 64", "is no name of a key")
		}
		if !slices.Contains([]string{"", "cloudevents", "ict_incident", "ecs"}, ch.Format) {
			b.fail(at+".format", "cloudevents, ict_incident or ecs", "%.80q is unknown", ch.Format)
		}
	case "pagerduty", "slack":
		if ch.URL != "" {
			b.httpURL(at, ch.URL)
		}
		if secret.IsZero() {
			b.fail(at+".secret", "add {env: NAME} or {file: PATH}: the routing key of pagerduty, or the path of slack's webhook", "is missing")
		}
	case "syslog":
		part.Syslog = b.syslog(at, ch)
	case "mail":
		part.Mail = b.mail(at, ch)
	default:
		b.fail(at+".type", "console, webhook, pagerduty, slack, syslog or mail", "%q is unknown", ch.Type)
	}
	if slices.Contains([]string{"pagerduty", "slack", "mail"}, ch.Type) && ch.Rate == nil {
		part.Burst, part.Every = 10, 30*time.Second // people read these
	}
	return part
}

// keyID is what may stand in a header between commas.
var keyID = regexp.MustCompile(`^[A-Za-z0-9._-]{0,64}$`)

// httpURL checks an address. It may hold a secret of its own, so no problem repeats it.
func (b *builder) httpURL(at, address string) {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Fragment != "" || (u.Scheme != "https" && u.Scheme != "http") {
		b.fail(at+".url", "an https address without a fragment", "is no address")
	} else if u.Scheme == "http" && !isLoopback(u.Hostname()) {
		b.fail(at+".url", "use https: http is taken for loopback alone", "is not protected")
	}
}

// templates reads the words of a channel, so that a mistake in them is found now and not in a night.
func (b *builder) templates(at string, list []Template, part *ChannelPart) {
	if len(list) > maxTemplates {
		b.fail(at+".templates", fmt.Sprintf("at most %d", maxTemplates), "there are %d", len(list))
		return
	}
	for i, t := range list {
		words := notify.Template{Kinds: t.Kinds, Summary: t.Summary}
		here := fmt.Sprintf("%s.templates[%d]", at, i)
		before := len(b.probs)
		b.kinds(here, t.Kinds)
		if len(b.probs) > before {
			continue
		}
		if err := words.Check(); err != nil {
			b.fail(here+".summary", `write one line such as "{{.Data.route}} waits for {{.Data.region}}, ticket {{.Ticket}}"`, "%v", err)
		}
		part.Templates = append(part.Templates, words)
	}
}

const maxTemplates = 64

func (b *builder) rate(at string, r *ChannelRate, part *ChannelPart) {
	if r == nil {
		return
	}
	part.Burst, part.Every = r.Burst, time.Duration(r.Every)
	if part.Burst < 1 || part.Burst > 1000 {
		b.fail(at+".rate.burst", "1 to 1000 messages", "%d is out of range", part.Burst)
	}
	if part.Every < time.Second || part.Every > time.Hour {
		b.fail(at+".rate.every", "between 1s and 1h", "%s is out of range", part.Every)
	}
}

// outletPlaces warns of channels that the fence will refuse, where the file names their address: the node runs, and nothing leaves for them. It is no
// problem, so that a policy can become narrower at once, whatever channels there are.
func (b *builder) outletPlaces(c *Config, s *sovereign.Snapshot) {
	for i, ch := range c.Channels {
		key, to, ok := ch.literal()
		if !ok {
			continue // no address, or a name, which is judged when it is resolved
		}
		if r := s.Judge(sovereign.Ask{Plane: sovereign.Infrastructure, Addr: to, At: time.Now()}); !r.Permitted() {
			b.warn(fmt.Sprintf("notify[%d].%s", i, key), "declare its place, and let the policy permit it", "nothing will be sent there: %s (%s)", r.Verdict, r.Ground)
		}
	}
}

// literal gives the address that the file itself names for the channel, and the key that does.
func (ch ChannelPart) literal() (key string, to netip.AddrPort, ok bool) {
	key, host, port := "url", "", uint16(443)
	switch {
	case ch.Syslog != nil:
		key, host, port = "syslog.address", ch.Syslog.Host, ch.Syslog.Port
	case ch.Mail != nil:
		key, host, port = "mail.address", ch.Mail.Host, ch.Mail.Port
	default:
		u, err := url.Parse(ch.URL)
		if err != nil {
			return "", netip.AddrPort{}, false
		}
		host = u.Hostname()
		if n, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			port = uint16(n)
		}
	}
	a, err := netip.ParseAddr(host)
	return key, netip.AddrPortFrom(a, port), err == nil
}

// maxChannelName bounds the names that notify and the log carry.
const maxChannelName = 64

// tellable are the kinds of entries that may leave the log as notices. What is about single calls stays in it.
var tellable = []string{
	"law.in_force", "law.ending", "service.severed",
	"node.started", "node.stopped", "node.resumed", "policy.applied", "policy.reload_refused", "policy.accepted", "policy.widening_held", "law.suspended", "law.suspension_refused", "health.changed", "dns.answers_moved", "place.contradicted", "place.cleared", "place.drifted", "inventory.judged", "place.evidence_stale", "failover.applied", "failover.held",
	"failover.refused", "failover.failback", "service.changed", "route.switched", "route.migrated", "approval.notified", "approval.key_enrolled", "approval.key_revoked", "notice.undelivered", "gate.changed", "gate.readiness", "ingress.refused", "fence.refused", "media.restarted", "log.gap",
	"certificate.expiring", "certificate.replaced", "certificate.refused", "witness.quorum_missing", "witness.quorum_back", "clock.alarm", "log.key_rotated",
	"incident.opened", "incident.updated", "incident.classified", "incident.reported", "incident.breach_noted", "incident.closed", "review.signed", "review.due",
	"drill.requested", "drill.approved", "drill.refused", "drill.announced", "drill.started", "drill.ended", "drill.cleaned", "drill.signed_off", "drill.reported", "drill.acked", "drill.deficiency", "drill.lever", "drill.reminder",
	"log.copy_behind", "log.copy_level", "log.copy_differs", "log.copy_refused", "log.restored",
}

func (b *builder) kinds(at string, words []string) {
	for i, word := range words {
		stem, wild := strings.CutSuffix(word, "*")
		if slices.ContainsFunc(tellable, func(k string) bool { return k == word || wild && stem != "" && strings.HasPrefix(k, stem) }) {
			continue
		}
		hint := "one of " + strict.Words(tellable) + "; failover.* for all that begin so"
		if near := strict.Nearest(word, tellable); near != "" {
			hint = fmt.Sprintf("did you mean %q? %s", near, hint)
		}
		b.fail(fmt.Sprintf("%s.kinds[%d]", at, i), hint, "%.80q is no kind of entry that may be told", word)
	}
}

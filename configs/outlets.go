package configs

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Syslog is a collector of syslog.
type Syslog struct {
	// Host, or host:port; default port 6514. Its certificate must be for that host, which must lie in a permitted place.
	Address string `yaml:"address"`
	// daemon, audit, or local0 to local7; default local0.
	Facility string `yaml:"facility,omitempty"`
	// Private Enterprise Number of your own organisation, as IANA lists it: the fields then stand in the element cordon@NUMBER. Default: they stand in the text alone.
	Enterprise uint32 `yaml:"enterprise,omitempty"`
	// Certificate to show to the collector, PEM; default: none.
	CertFile string `yaml:"cert_file,omitempty"`
	// Its key, PEM.
	KeyFile string `yaml:"key_file,omitempty"`
}

// Mail is a server that takes e-mail, and whom it is for.
type Mail struct {
	// Host, or host:port, of a server for submission; default port 587, with tls: implicit 465. Its certificate must be for that host, which must lie in a permitted place.
	Address string `yaml:"address"`
	// starttls (default) or implicit. Nothing is ever sent in the clear.
	TLS string `yaml:"tls,omitempty"`
	// Name for AUTH PLAIN, with the password in secret; default: no login.
	User string `yaml:"user,omitempty"`
	// Sender: an address, or a name with an address in angle brackets.
	From string `yaml:"from"`
	// Addresses, 1 to 20, without names.
	To []string `yaml:"to"`
}

// SyslogPart is what a channel to a collector needs.
type SyslogPart struct {
	Host       string
	Port       uint16
	Facility   int
	Enterprise uint32
	Use        string // of its certificate in Config.Pairs; "": it shows none
}

// MailPart is what a channel over e-mail needs. Its secret is Secret of the channel if there is a user.
type MailPart struct {
	Host     string
	Port     uint16
	Implicit bool
	User     string
	From     mail.Address
	To       []string
}

const (
	portSyslogTLS   = 6514 // RFC 5425 section 4.1
	portSubmission  = 587  // RFC 6409 section 3.1
	portSubmissions = 465  // RFC 8314 section 3.3

	enterpriseOfExamples = 32473 // RFC 5612
	maxRecipients        = 20
)

// facilities are those that a program like this one may use, RFC 5424 section 6.2.1.
var facilities = map[string]int{
	"": 16, "daemon": 3, "audit": 13, "local0": 16, "local1": 17, "local2": 18, "local3": 19, "local4": 20, "local5": 21, "local6": 22, "local7": 23,
}

// ownKeys holds that no channel has keys that its type does not read.
func (b *builder) ownKeys(at string, ch Channel) {
	if ch.Syslog != nil && ch.Type != "syslog" {
		b.fail(at+".syslog", "leave it out, or take type: syslog", "a channel of the type %.80q does not read it", ch.Type)
	}
	if ch.Mail != nil && ch.Type != "mail" {
		b.fail(at+".mail", "leave it out, or take type: mail", "a channel of the type %.80q does not read it", ch.Type)
	}
	if (ch.Type == "syslog" || ch.Type == "mail") && ch.URL != "" {
		b.fail(at+".url", "leave it out: the address stands in "+ch.Type+".address", "a channel of the type %q does not read it", ch.Type)
	}
	if ch.Type == "syslog" && !ch.Secret.IsZero() {
		b.fail(at+".secret", "leave it out: a collector knows us by syslog.cert_file, if at all", "syslog knows no secret")
	}
}

func (b *builder) syslog(at string, ch Channel) *SyslogPart {
	at += ".syslog"
	s := ch.Syslog
	if s == nil {
		b.fail(at, `add syslog: {address: "logs.bank.example:6514"}`, "is missing")
		return nil
	}
	out := &SyslogPart{}
	out.Host, out.Port = b.hostPort(at+".address", s.Address, portSyslogTLS)
	facility, known := facilities[s.Facility]
	if !known {
		b.fail(at+".facility", "daemon, audit, or local0 to local7", "%.80q is unknown", s.Facility)
	}
	out.Facility = facility
	if s.Enterprise == enterpriseOfExamples {
		b.warn(at+".enterprise", "take the number of your own organisation, or leave it out", "%d is for examples (RFC 5612)", s.Enterprise)
	}
	out.Enterprise = s.Enterprise
	if b.cert(at, s.CertFile, s.KeyFile, false) != nil {
		out.Use = at
	}
	return out
}

func (b *builder) mail(at string, ch Channel) *MailPart {
	m := ch.Mail
	if m == nil {
		b.fail(at+".mail", `add mail: {address: "smtp.bank.example", from: cordon@bank.example, to: [duty@bank.example]}`, "is missing")
		return nil
	}
	out := &MailPart{Implicit: m.TLS == "implicit", User: m.User, To: m.To}
	if !slices.Contains([]string{"", "starttls", "implicit"}, m.TLS) {
		b.fail(at+".mail.tls", "starttls or implicit: nothing is sent in the clear", "%.80q is unknown", m.TLS)
	}
	port := uint16(portSubmission)
	if out.Implicit {
		port = portSubmissions
	}
	out.Host, out.Port = b.hostPort(at+".mail.address", m.Address, port)
	switch {
	case m.User != "" && ch.Secret.IsZero():
		b.fail(at+".secret", "add {env: NAME} or {file: PATH}: the password of mail.user", "is missing")
	case m.User == "" && !ch.Secret.IsZero():
		b.fail(at+".mail.user", "add the name that the secret is the password of, or leave the secret out", "is missing")
	case strings.ContainsAny(m.User, "\x00\r\n"):
		b.fail(at+".mail.user", "one line", "has a line break in it")
	}
	b.mailFor(at+".mail", m, out)
	return out
}

// mailbox is an address that mail can go to as it is: ASCII, no quotes (RFC 5321 section 4.1.2, Dot-string and Domain).
var mailbox = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_\x60{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_\x60{|}~-]+)*@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

func isMailbox(a string) bool { return len(a) <= 254 && mailbox.MatchString(a) }

// mailFor checks sender and recipients. Problems do not repeat them: an address is often a person's name.
func (b *builder) mailFor(at string, m *Mail, out *MailPart) {
	from, err := mail.ParseAddress(m.From)
	if err != nil || !isMailbox(from.Address) || len(m.From) > 320 || strings.ContainsAny(m.From, "\x00\r\n") {
		b.fail(at+".from", `an address such as cordon@bank.example, or "cordon <cordon@bank.example>"; ASCII, without quotes and line breaks`, "is no address that mail can come from")
	} else {
		out.From = *from
	}
	if len(m.To) == 0 || len(m.To) > maxRecipients {
		b.fail(at+".to", "1 to 20 addresses; a list of your mail server stands for more", "there are %d", len(m.To))
	}
	for i, a := range m.To {
		if !isMailbox(a) || slices.Index(m.To, a) != i {
			b.fail(fmt.Sprintf("%s.to[%d]", at, i), "an address alone, once, such as duty@bank.example: ASCII, without name, quotes and line breaks", "is no address that mail can go to, or stands twice")
		}
	}
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

// hostPort reads a host, a name or a literal address, with or without a port.
func (b *builder) hostPort(path, text string, port uint16) (string, uint16) {
	host := text
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return text, port
	}
	if strings.Contains(text, ":") {
		h, p, err := net.SplitHostPort(text)
		n, nerr := strconv.ParseUint(p, 10, 16)
		if err != nil || nerr != nil || n == 0 {
			h = "" // said below
		}
		host, port = h, uint16(n)
	}
	a, err := netip.ParseAddr(host)
	if literal := err == nil && a.Zone() == ""; !literal && (len(host) > 253 || !hostName.MatchString(host)) {
		b.fail(path, "a host, or a host with a port: logs.bank.example:6514, 192.0.2.1, or [2001:db8::1]:6514", "%.80q is no address", text)
	}
	return host, port
}

package notify

import (
	"context"
	"errors"
	"fmt"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// MailConfig of a channel over e-mail: submission to one server, RFC 6409.
type MailConfig struct {
	StreamConfig
	Implicit bool // TLS from the first octet (RFC 8314); else STARTTLS, without which nothing is sent
	User     string
	Password func() (string, error) // read at each attempt; nil, with User "": no AUTH
	From     mail.Address
	To       []string // addresses without names
}

// mailAddress is an address as RFC 5321 takes it without quotes and without extensions: ASCII, and nothing that a command could end with.
var mailAddress = regexp.MustCompile(`^[A-Za-z0-9!#$%&'*+/=?^_\x60{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_\x60{|}~-]+)*@[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*$`)

const maxMailAddress = 254 // RFC 5321 section 4.5.3.1.3, with its brackets

// Mail makes a channel over e-mail. Errors never repeat an address of To, nor what the server says of one.
func Mail(c MailConfig) (Channel, error) {
	if err := c.check("e-mail"); err != nil {
		return nil, err
	}
	switch {
	case len(c.To) == 0:
		return nil, fmt.Errorf("notify: %s: a recipient is needed", c.Name)
	case (c.User == "") != (c.Password == nil):
		return nil, fmt.Errorf("notify: %s: a user needs a password, and a password a user", c.Name)
	case strings.ContainsAny(c.User+c.From.Name, "\x00\r\n"):
		return nil, fmt.Errorf("notify: %s: the user or the sender's name has a line break in it", c.Name)
	}
	for i, a := range append([]string{c.From.Address}, c.To...) {
		if !mailAddress.MatchString(a) || len(a) > maxMailAddress || i > 0 && slices.Index(c.To, a) != i-1 {
			return nil, fmt.Errorf("notify: %s: address %d (0 is the sender) is none that mail can go to, or there twice", c.Name, i)
		}
	}
	return &mailer{c: c}, nil
}

type mailer struct {
	c MailConfig

	mu   sync.Mutex // guards what follows
	id   string     // of the notice that some recipients have and others have not
	have map[string]bool
}

func (m *mailer) Name() string { return m.c.Name }

// Send implements Channel.
func (m *mailer) Send(ctx context.Context, n Notice) (bool, error) {
	_, retry, err := m.Ask(ctx, n)
	return retry, err
}

// Ask implements Asker. Recipients that were reached by an earlier attempt get nothing from a later one.
func (m *mailer) Ask(ctx context.Context, n Notice) (string, bool, error) {
	answer, again, err := m.attempt(ctx, n)
	if err != nil {
		retry, err := m.c.failed(ctx, err)
		return "", retry && again, err
	}
	return answer, false, nil
}

// attempt says with an error whether another one may go better.
func (m *mailer) attempt(ctx context.Context, n Notice) (answer string, again bool, err error) {
	message, err := encodeMail(n, m.c.From, m.c.To)
	if err != nil {
		return "", false, err
	}
	s := &submission{to: m.c.StreamConfig}
	done, err := m.begin(ctx, s)
	if done != nil {
		defer done()
	}
	if err != nil {
		return "", may(err), err
	}
	places := m.lack(n.ID)
	to := make([]string, len(places))
	for i, at := range places {
		to[i] = m.c.To[at]
	}
	said, refused, err := s.transact(m.c.From.Address, to, message)
	if err != nil {
		return "", may(err), err
	}
	var failed []error
	for i, err := range refused {
		if err != nil {
			again = again || may(err)
			failed = append(failed, fmt.Errorf("recipient %d of %d: %w", places[i]+1, len(m.c.To), err))
		}
	}
	m.note(n.ID, to, refused)
	return said, again, errors.Join(failed...)
}

// begin connects and logs in. done, where it is not nil, ends the session.
func (m *mailer) begin(ctx context.Context, s *submission) (done func(), err error) {
	password := ""
	if m.c.Password != nil {
		if password, err = m.c.Password(); err != nil {
			return nil, fmt.Errorf("reading the password: %w", err)
		}
	}
	conn, end, err := m.c.connect(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.open(ctx, conn, m.c.Implicit); err != nil {
		return end, err
	}
	done = func() { s.quit(); end() }
	if m.c.User == "" {
		return done, nil
	}
	return done, s.login(m.c.User, password)
}

// may says whether another attempt may go better: always, but where the server said that it will not, or where nothing was fit to be sent.
func may(err error) bool {
	if no := new(refusal); errors.As(err, &no) {
		return !no.final()
	}
	return !errors.As(err, new(*unfit))
}

// lack gives the places in To of those who do not have the notice yet.
func (m *mailer) lack(id string) (places []int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, a := range m.c.To {
		if m.id != id || !m.have[a] {
			places = append(places, i)
		}
	}
	return places
}

// note keeps who has the notice, until everybody does: who sends it once more then means everybody.
func (m *mailer) note(id string, to []string, refused []error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.id != id {
		m.id, m.have = id, map[string]bool{}
	}
	for i, a := range to {
		if refused[i] == nil {
			m.have[a] = true
		}
	}
	if len(m.have) == len(m.c.To) {
		m.id, m.have = "", nil
	}
}

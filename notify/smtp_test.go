package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// postOffice is a server for submission that does as it is told.
type postOffice struct {
	t        *testing.T
	tls      *tls.Config
	implicit bool
	keywords []string            // of EHLO within TLS; nil: AUTH PLAIN
	clear    []string            // of EHLO in the clear; nil: STARTTLS
	says     map[string][]string // replies to the commands that begin so, one after the other, and the last one from then on; "<hang>", "<close>"
	inject   string              // goes out together with the answer to STARTTLS

	mu       sync.Mutex
	commands []string
	mails    []posted
}

type posted struct {
	from string
	to   []string
	text string
}

func (p *postOffice) way() StreamConfig {
	cert, roots := issue(p.t, "example.com")
	if p.tls == nil {
		p.tls = &tls.Config{Certificates: []tls.Certificate{cert}}
	}
	c := standIn(p.t, p.serve)
	c.Roots = roots
	return c
}

// reply gives what was told for a command, or else what a server says that takes it.
func (p *postOffice) reply(line, usual string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.commands = append(p.commands, line)
	for begin, list := range p.says {
		if strings.HasPrefix(line, begin) && len(list) > 0 {
			if len(list) > 1 {
				p.says[begin] = list[1:]
			}
			return list[0]
		}
	}
	return usual
}

func (p *postOffice) did() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.commands)
}

func (p *postOffice) got() []posted {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.mails)
}

func (p *postOffice) serve(raw net.Conn) {
	var conn net.Conn = raw
	safe := p.implicit
	if safe {
		conn = tls.Server(raw, p.tls)
	}
	r := textproto.NewReader(bufio.NewReader(conn))
	said := ""
	say := func(line, usual string) bool {
		switch said = p.reply(line, usual); said {
		case "<hang>":
			hang(conn)
			return false
		case "<close>":
			return false
		default:
			_, err := io.WriteString(conn, said+"\r\n")
			return err == nil
		}
	}
	if !say("<greeting>", "220 mail.example ESMTP") {
		return
	}
	var now posted
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		verb, _, _ := strings.Cut(line, " ")
		usual := "250 2.1.0 ok"
		switch verb {
		case "EHLO":
			usual = p.hello(safe)
		case "AUTH":
			if !safe {
				p.t.Errorf("in the clear: %s", line)
			}
			usual = "235 2.7.0 welcome"
		case "MAIL":
			now = posted{from: line}
		case "RCPT":
			now.to = append(now.to, line)
		case "STARTTLS":
			if !say(line, "220 2.0.0 go on"+p.inject) {
				return
			}
			conn, safe = tls.Server(raw, p.tls), true
			r = textproto.NewReader(bufio.NewReader(conn))
			continue
		case "QUIT":
			usual = "221 2.0.0 bye"
		case "DATA":
			if !say(line, "354 go on") {
				return
			}
			if !strings.HasPrefix(said, "354") {
				continue
			}
			text, err := io.ReadAll(r.DotReader())
			if err != nil {
				return
			}
			now.text = string(text)
			if !safe {
				p.t.Error("a message in the clear")
			}
			p.mu.Lock()
			p.mails = append(p.mails, now)
			p.mu.Unlock()
			line, usual = "<message>", "250 2.0.0 taken as 4711"
		}
		if !say(line, usual) {
			return
		}
	}
}

func (p *postOffice) hello(safe bool) string {
	list := p.clear
	if list == nil {
		list = []string{"STARTTLS"}
	}
	if safe {
		if list = p.keywords; list == nil {
			list = []string{"SIZE 1000000", "AUTH LOGIN PLAIN"}
		}
	}
	return "250-mail.example\r\n250-" + strings.Join(append(list, "HELP"), "\r\n250-") + "\r\n250 8BITMIME"
}

// mailTo makes a channel to p for two people.
func mailTo(t *testing.T, way StreamConfig, edit func(*MailConfig)) Channel {
	t.Helper()
	c := MailConfig{
		StreamConfig: way, User: "cordon", Password: func() (string, error) { return "hush", nil }, From: mail.Address{Name: "cordon", Address: "cordon@bank.example"},
		To: []string{"anna@bank.example", "ben@bank.example"},
	}
	if edit != nil {
		edit(&c)
	}
	ch, err := Mail(c)
	if err != nil {
		t.Fatal(err)
	}
	return ch
}

func TestMailIsSubmittedWithinTLS(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		p := &postOffice{t: t, implicit: implicit}
		ch := mailTo(t, p.way(), func(c *MailConfig) { c.Implicit = implicit })
		answer, retry, err := ask(t.Context(), ch, notice())
		if err != nil || retry || answer != "250 2.0.0 taken as 4711" {
			t.Fatalf("%q, %v, %v", answer, retry, err)
		}
		want := []string{
			"<greeting>", "EHLO [127.0.0.1]", "STARTTLS", "EHLO [127.0.0.1]", "AUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00cordon\x00hush")), "MAIL FROM:<cordon@bank.example>",
			"RCPT TO:<anna@bank.example>", "RCPT TO:<ben@bank.example>", "DATA", "<message>", "QUIT",
		}
		if implicit {
			want = slices.Delete(want, 2, 4)
		}
		if got := p.did(); !slices.Equal(got, want) {
			t.Errorf("implicit %v: %q", implicit, got)
		}
		message, err := encodeMail(notice(), mail.Address{Name: "cordon", Address: "cordon@bank.example"}, []string{"anna@bank.example", "ben@bank.example"})
		if err != nil || len(p.got()) != 1 || p.got()[0].text != strings.ReplaceAll(string(message), "\r\n", "\n") {
			t.Errorf("%v: %q", err, p.got())
		}
	}
}

func TestMailWithoutALogin(t *testing.T) {
	p := &postOffice{t: t, keywords: []string{"SIZE"}}
	if _, err := mailTo(t, p.way(), func(c *MailConfig) { c.User, c.Password = "", nil }).Send(t.Context(), notice()); err != nil || len(p.got()) != 1 {
		t.Error(err, p.did())
	}
}

// What the far side does, whether it is tried again, and what is said of it: never an address, never a word of the server.
func TestMailWithServersThatRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		p     *postOffice
		retry bool
		say   string
		last  string // the last command that was seen
	}{
		"busy":                      {&postOffice{says: map[string][]string{"<greeting>": {"421 4.3.2 SECRET"}}}, true, "answered 421 4.3.2 to the connection", "<greeting>"},
		"closed":                    {&postOffice{says: map[string][]string{"<greeting>": {"554 SECRET"}}}, false, "answered 554 to the connection", "<greeting>"},
		"no reply of SMTP":          {&postOffice{says: map[string][]string{"<greeting>": {"HTTP/1.1 400 Bad Request"}}}, true, "no reply of SMTP", "<greeting>"},
		"a reply without end":       {&postOffice{says: map[string][]string{"<greeting>": {"220 " + strings.Repeat("x", 5000)}}}, true, "too long", "<greeting>"},
		"lines without end":         {&postOffice{says: map[string][]string{"<greeting>": {strings.Repeat("220-x\r\n", 500)}}}, true, "too long", "<greeting>"},
		"no EHLO":                   {&postOffice{says: map[string][]string{"EHLO": {"502 5.5.1 SECRET"}}}, false, "answered 502 5.5.1 to EHLO", "EHLO [127.0.0.1]"},
		"no STARTTLS":               {&postOffice{clear: []string{"AUTH PLAIN"}}, true, "offers no STARTTLS", "EHLO [127.0.0.1]"},
		"STARTTLS not now":          {&postOffice{says: map[string][]string{"STARTTLS": {"454 4.7.0 SECRET"}}}, true, "answered 454 4.7.0 to STARTTLS", "STARTTLS"},
		"words before TLS":          {&postOffice{inject: "\r\n250 SECRET"}, true, "more than its reply", "STARTTLS"},
		"no AUTH":                   {&postOffice{keywords: []string{"SIZE"}}, true, "does not offer AUTH PLAIN", "QUIT"},
		"AUTH of another kind":      {&postOffice{keywords: []string{"AUTH LOGIN"}}, true, "does not offer AUTH PLAIN", "QUIT"},
		"AUTH in the clear alone":   {&postOffice{clear: []string{"STARTTLS", "AUTH PLAIN"}, keywords: []string{"SIZE"}}, true, "does not offer AUTH PLAIN", "QUIT"},
		"a wrong password":          {&postOffice{says: map[string][]string{"AUTH": {"535 5.7.8 SECRET"}}}, false, "answered 535 5.7.8 to AUTH", "QUIT"},
		"a password not now":        {&postOffice{says: map[string][]string{"AUTH": {"454 4.7.0 SECRET"}}}, true, "answered 454 4.7.0 to AUTH", "QUIT"},
		"a challenge":               {&postOffice{says: map[string][]string{"AUTH": {"334 SECRET"}}}, true, "answered 334 to AUTH", "QUIT"},
		"not this sender":           {&postOffice{says: map[string][]string{"MAIL": {"550 5.7.1 SECRET"}}}, false, "answered 550 5.7.1 to MAIL FROM", "QUIT"},
		"no recipient":              {&postOffice{says: map[string][]string{"RCPT": {"550-5.1.1 SECRET\r\n550 5.1.1 <anna@bank.example>"}}}, false, "recipient 2 of 2: the server answered 550 5.1.1 to RCPT TO", "QUIT"},
		"recipients not now":        {&postOffice{says: map[string][]string{"RCPT": {"451 4.7.1 SECRET"}}}, true, "recipient 1 of 2: the server answered 451 4.7.1", "QUIT"},
		"one now, one never":        {&postOffice{says: map[string][]string{"RCPT TO:<anna": {"451 SECRET"}, "RCPT TO:<ben": {"550 SECRET"}}}, true, "recipient 2 of 2", "QUIT"},
		"no data":                   {&postOffice{says: map[string][]string{"DATA": {"554 5.5.1 SECRET"}}}, false, "answered 554 5.5.1 to DATA", "QUIT"},
		"data at once":              {&postOffice{says: map[string][]string{"DATA": {"250 SECRET"}}}, true, "answered 250 to DATA", "QUIT"},
		"the message refused":       {&postOffice{says: map[string][]string{"<message>": {"554 5.6.0 SECRET"}}}, false, "answered 554 5.6.0 to the message", "QUIT"},
		"the message not now":       {&postOffice{says: map[string][]string{"<message>": {"452 4.3.1 SECRET"}}}, true, "answered 452 4.3.1 to the message", "QUIT"},
		"closes at once":            {&postOffice{says: map[string][]string{"<greeting>": {"<close>"}}}, true, "EOF", "<greeting>"},
		"closes within a reply":     {&postOffice{says: map[string][]string{"EHLO": {"250-x\r\n25"}, "STARTTLS": {"<close>"}}}, true, "no reply of SMTP", "EHLO [127.0.0.1]"},
		"closes after the message":  {&postOffice{says: map[string][]string{"<message>": {"<close>"}}}, true, "EOF", "<message>"},
		"hangs":                     {&postOffice{says: map[string][]string{"<greeting>": {"<hang>"}}}, true, "deadline exceeded", "<greeting>"},
		"hangs within TLS":          {&postOffice{says: map[string][]string{"MAIL": {"<hang>"}}}, true, "deadline exceeded", "MAIL FROM:<cordon@bank.example>"},
		"hangs after the message":   {&postOffice{says: map[string][]string{"<message>": {"<hang>"}}}, true, "deadline exceeded", "<message>"},
		"two codes in one":          {&postOffice{says: map[string][]string{"<greeting>": {"220-a\r\n250 b"}}}, true, "no reply of SMTP", "<greeting>"},
		"hangs instead of TLS":      {&postOffice{says: map[string][]string{"STARTTLS": {"<hang>"}}}, true, "deadline exceeded", "STARTTLS"},
		"speaks in the clear there": {&postOffice{says: map[string][]string{"STARTTLS": {"220 go on\r\n"}}}, true, "", "STARTTLS"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.p.t = t
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			retry, err := mailTo(t, c.p.way(), nil).Send(ctx, notice())
			if err == nil || retry != c.retry || !strings.Contains(err.Error(), c.say) {
				t.Fatalf("retry %v, %v", retry, err)
			}
			if strings.Contains(err.Error(), "SECRET") || strings.Contains(err.Error(), "@") || strings.Contains(err.Error(), "hush") {
				t.Errorf("it repeats what it was told: %v", err)
			}
			if got := c.p.did(); got[len(got)-1] != c.last {
				t.Errorf("commands %q", got)
			}
		})
	}
}

func TestMailWithServersThatAreOthers(t *testing.T) {
	other, _ := issue(t, "example.net")
	for name, p := range map[string]*postOffice{
		"after STARTTLS": {tls: &tls.Config{Certificates: []tls.Certificate{other}}}, "at once": {tls: &tls.Config{Certificates: []tls.Certificate{other}}, implicit: true},
		"an old TLS": {tls: &tls.Config{Certificates: []tls.Certificate{other}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}},
	} {
		p.t = t
		retry, err := mailTo(t, p.way(), func(c *MailConfig) { c.Implicit = p.implicit }).Send(t.Context(), notice())
		if err == nil || !retry || !strings.Contains(err.Error(), "TLS with example.com") || slices.ContainsFunc(p.did(), func(s string) bool { return strings.HasPrefix(s, "AUTH") }) {
			t.Errorf("%s: %v, %v, %q", name, retry, err, p.did())
		}
	}
	// A server with TLS from the first octet, and a client that waits for a greeting.
	p := &postOffice{t: t, implicit: true}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if retry, err := mailTo(t, p.way(), nil).Send(ctx, notice()); !retry || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the other kind of TLS: %v, %v", retry, err)
	}
}

// Who was reached by one attempt gets nothing from the next one; a message that everybody has can be sent to everybody again.
func TestMailReachesEachRecipientOnce(t *testing.T) {
	p := &postOffice{t: t, says: map[string][]string{"RCPT TO:<ben": {"451 4.7.1 later", "451 4.7.1 later", "250 ok"}}}
	ch := mailTo(t, p.way(), nil)
	for i, want := range []bool{true, true, false, false} {
		if retry, err := ch.Send(t.Context(), notice()); retry != want || (err != nil) != want {
			t.Fatalf("attempt %d: %v, %v", i, retry, err)
		}
	}
	var to []string
	for _, m := range p.got() {
		to = append(to, strings.Join(m.to, " "))
	}
	// The stand-in notes who was asked for; of the second attempt nobody was taken, so there was no message.
	if want := []string{"RCPT TO:<anna@bank.example> RCPT TO:<ben@bank.example>", "RCPT TO:<ben@bank.example>", "RCPT TO:<anna@bank.example> RCPT TO:<ben@bank.example>"}; !slices.Equal(to, want) {
		t.Errorf("messages to %q", to)
	}
	for _, m := range p.got() {
		if m.text != p.got()[0].text {
			t.Errorf("another text: %s", m.text)
		}
	}
}

// Through the follower: 4xx is tried again until it goes, and 5xx is a dead letter at the first attempt, which can be sent again.
func TestMailThatIsRefusedIsADeadLetter(t *testing.T) {
	p := &postOffice{t: t, says: map[string][]string{"MAIL": {"451 4.3.0 later", "451 4.3.0 later", "250 ok", "550 5.7.1 never", "250 ok"}}}
	w := newWorld(t)
	f, err := New(Config{Log: w.log, KV: w.kv, Channels: []Routed{{Channel: mailTo(t, p.way(), nil)}}, Backoff: time.Millisecond, Told: w.told.call})
	if err != nil {
		t.Fatal(err)
	}
	w.add(raw{"T1", "proposed"})
	w.add(raw{"T2", "proposed"})
	var told atomic.Bool
	f.c.Told = func(_ context.Context, ticket, _, failure string) error {
		if ticket == "T2" {
			if failure != "attempt 1: notify: out: the server answered 550 5.7.1 to MAIL FROM" {
				t.Errorf("told %q", failure)
			}
			told.Store(true)
		} else if failure != "" {
			t.Errorf("told %q of the first", failure)
		}
		return nil
	}
	stop := w.run(f)
	for len(f.Standings()[0].Dead) == 0 && t.Context().Err() == nil {
		Pause(t.Context(), time.Millisecond)
	}
	stop()
	if !told.Load() {
		t.Error("nobody was told of the second")
	}
	if dead := f.Standings()[0].Dead; len(dead) != 1 || dead[0].Entry != 1 || len(p.got()) != 1 {
		t.Fatalf("%+v, %d messages", dead, len(p.got()))
	}
	again, err := f.Resend(t.Context(), "out", nil, "p-1")
	if err != nil || len(again) != 1 || again[0].Failure != "" || again[0].Answer != "250 2.0.0 taken as 4711" || len(f.Standings()[0].Dead) != 0 || len(p.got()) != 2 {
		t.Errorf("%v %+v", err, again)
	}
	tried, err := f.Test(t.Context(), "out")
	if err != nil || tried[0].Failure != "" || len(p.got()) != 3 || !strings.Contains(p.got()[2].text, "TEST of the notification outlets") {
		t.Errorf("%v %+v", err, tried)
	}
}

func TestMailGoesThroughTheWall(t *testing.T) {
	var reached atomic.Bool
	to := standIn(t, func(net.Conn) { reached.Store(true) })
	to.Dial = fenced
	if retry, err := mailTo(t, to, nil).Send(t.Context(), notice()); err == nil || retry || reached.Load() {
		t.Errorf("%v, %v", retry, err)
	}
	to.Dial = plainDialer.DialContext
	gone := mailTo(t, to, func(c *MailConfig) { c.Password = func() (string, error) { return "", errors.New("gone") } })
	if retry, err := gone.Send(t.Context(), notice()); err == nil || !retry || reached.Load() {
		t.Errorf("without its password: %v, %v", retry, err)
	}
}

func TestNothingIsPutIntoACommand(t *testing.T) {
	p := &postOffice{t: t}
	way := p.way()
	for _, password := range []string{"a\r\nMAIL FROM:<x@y>", "a\nb", "a\x00b"} {
		ch := mailTo(t, way, func(c *MailConfig) { c.Password = func() (string, error) { return password, nil } })
		if _, err := ch.Send(t.Context(), notice()); err == nil || !strings.Contains(err.Error(), "has a character") {
			t.Errorf("%q: %v", password, err)
		}
	}
	if slices.ContainsFunc(p.did(), func(s string) bool { return strings.HasPrefix(s, "AUTH") || strings.HasPrefix(s, "MAIL") }) {
		t.Errorf("commands %q", p.did())
	}
	var s submission
	for _, line := range []string{"RCPT TO:<a>\r\nDATA", "a\nb", "a\rb", "\x00"} {
		if _, err := s.ask(2, "x", line); !errors.As(err, new(*unfit)) || may(err) {
			t.Errorf("%q: %v", line, err)
		}
	}
	if err := s.login("a", "b"); err == nil {
		t.Error("a password left without TLS")
	}
}

func TestMailRefuses(t *testing.T) {
	ok := MailConfig{
		StreamConfig: StreamConfig{Name: "x", Host: "example.com", Port: 587, Dial: plainDialer.DialContext, Resolve: func(context.Context, string) ([]netip.Addr, error) { return nil, nil }},
		From:         mail.Address{Address: "a@b.example"}, To: []string{"c@d.example"},
	}
	if _, err := Mail(ok); err != nil {
		t.Error(err)
	}
	edits := map[string]func(*MailConfig){
		"no name": func(c *MailConfig) { c.Name = "" }, "no host": func(c *MailConfig) { c.Host = "" }, "nobody": func(c *MailConfig) { c.To = nil },
		"a user alone": func(c *MailConfig) { c.User = "u" }, "a password alone": func(c *MailConfig) { c.Password = func() (string, error) { return "", nil } },
		"a user of two lines":   func(c *MailConfig) { c.User, c.Password = "u\r\nx", func() (string, error) { return "", nil } },
		"a sender of two lines": func(c *MailConfig) { c.From.Name = "a\r\nBcc: x@y" }, "twice": func(c *MailConfig) { c.To = []string{"a@b", "a@b"} },
	}
	for _, a := range []string{"", "a", "@b", "a@", "a b@c", "a@b c", "<a@b>", `"a"@b`, "a@b\r\nRCPT TO:<x@y>", "a@b\n", "ä@b", "a@ä", "a@[127.0.0.1]", ".a@b", "a..b@c", "a@b.", "a@-b", strings.Repeat("a", 250) + "@b.example"} {
		edits["from "+a] = func(c *MailConfig) { c.From.Address = a }
		edits["to "+a] = func(c *MailConfig) { c.To = []string{"c@d.example", a} }
	}
	for name, edit := range edits {
		c := ok
		edit(&c)
		if _, err := Mail(c); err == nil || strings.Contains(err.Error(), "@") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestReadReply(t *testing.T) {
	for text, want := range map[string]string{
		"250 ok\r\n":                     "250  [ok]",
		"250\r\n":                        "250  []",
		"250-a\r\n250-\r\n250 b\r\n":     "250  [a  b]",
		"550 5.1.1 no such box\r\n":      "550 5.1.1 [5.1.1 no such box]",
		"550 5.1.1\r\n":                  "550 5.1.1 [5.1.1]",
		"550 4.1.1 of another class\r\n": "550  [4.1.1 of another class]",
		"250 2.0.0.1 no status\r\n":      "250  [2.0.0.1 no status]",
		"250 ok\r\n250 more\r\n":         "250  [ok]",
		"250 ok\n":                       "!", "250ok\r\n": "!", "25 ok\r\n": "!", "150 ok\r\n": "!", "650 ok\r\n": "!", "2x0 ok\r\n": "!", "\r\n": "!", "": "!EOF", "250 ok": "!unexpected EOF", "250-a\r\n": "!unexpected EOF",
		"250-a\r\n251 b\r\n": "!", "250 " + strings.Repeat("x", 2042) + "\r\n": "250  [" + strings.Repeat("x", 2042) + "]", "250 " + strings.Repeat("x", 2043) + "\r\n": "!too long",
		strings.Repeat("250-a\r\n", 99) + "250 b\r\n": "250  [" + strings.Repeat("a ", 99) + "b]", strings.Repeat("250-a\r\n", 100) + "250 b\r\n": "!too long",
	} {
		r, err := readReply(bufio.NewReaderSize(strings.NewReader(text), maxReplyLine))
		got := fmt.Sprintf("%d %s %v", r.code, r.status, r.lines)
		if why, bad := strings.CutPrefix(want, "!"); bad != (err != nil) || !bad && got != want || bad && !strings.Contains(err.Error(), why) {
			t.Errorf("%.60q: %.60s, %v", text, got, err)
		}
	}
	if got := (smtpReply{code: 250, lines: []string{"a", "b\x1b[2J\xff" + strings.Repeat("x", 500)}}).said(); len(got) > maxLine+4 || !strings.HasPrefix(got, "250 b [2J?x") {
		t.Errorf("%q", got)
	}
}

func FuzzReadReply(f *testing.F) {
	for _, seed := range []string{"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 no\r\n", "220 go on\r\n250 more\r\n", "250-a\r\n251 b\r\n", "250\r\n", strings.Repeat("250-a\r\n", 200)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		source := strings.NewReader(string(data))
		r, err := readReply(bufio.NewReaderSize(source, maxReplyLine))
		if read := len(data) - source.Len(); read > (maxReplyLines+2)*maxReplyLine {
			t.Fatalf("%d octets were read", read)
		}
		if err != nil {
			if r.code != 0 || r.lines != nil {
				t.Fatalf("a reply beside an error: %+v", r)
			}
			return
		}
		if r.code < 200 || r.code > 599 || len(r.lines) == 0 || len(r.lines) > maxReplyLines || r.status != "" && (int(r.status[0]-'0') != r.code/100 || !strings.HasPrefix(r.lines[len(r.lines)-1], r.status)) {
			t.Fatalf("%+v", r)
		}
		var text strings.Builder
		for i, line := range r.lines {
			fmt.Fprintf(&text, "%d%s%s\r\n", r.code, map[bool]string{true: " ", false: "-"}[i == len(r.lines)-1], line)
		}
		again, err := readReply(bufio.NewReaderSize(strings.NewReader(text.String()), maxReplyLine))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(r) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
		if said := r.said(); strings.ContainsAny(said, "\r\n\x1b") || len(said) > maxLine+4 {
			t.Fatalf("%q", said)
		}
	})
}

func TestAMessage(t *testing.T) {
	n := of(t, audit.KindFailoverHeld, `{"route":"Zürich","ticket":"T1"}`)
	got, err := encodeMail(n, mail.Address{Name: "Käse", Address: "cordon@bank.example"}, []string{"a@b.example"})
	want := "Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nFrom: =?utf-8?q?K=C3=A4se?= <cordon@bank.example>\r\nTo: a@b.example\r\nMessage-ID: <cordon.01JD0000000000000000000001@bank.example>\r\n" +
		"Subject: =?utf-8?q?[cordon]_CRITICAL_edge-1:_failover.held_route=3D\"Z=C3=BCrich\"_t?=\r\n =?utf-8?q?icket=3D\"T1\"?=\r\n" +
		"Auto-Submitted: auto-generated\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" +
		"failover.held route=3D\"Z=C3=BCrich\" ticket=3D\"T1\"\r\n\r\ntime: 2026-11-21T12:00:00Z\r\nid: 01JD0000000000000000000001\r\nseq: 7\r\nkind: failover.held\r\nseverity: critical\r\n" +
		"tenant: bank\r\nnode: edge-1\r\nsubject: Z=C3=BCrich\r\nticket: T1\r\nroute: Z=C3=BCrich\r\nticket: T1\r\n"
	if err != nil || string(got) != want {
		t.Errorf("%v; got\n%s\nwant\n%s", err, got, want)
	}
}

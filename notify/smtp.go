package notify

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/textproto"
	"slices"
	"strings"
	"time"
)

// submission speaks SMTP with a server for one message: RFC 5321 and RFC 6409. It is a client of its own because it shall wait for nothing longer than its
// context, read nothing without a bound, and never fall back to a connection in the clear.
type submission struct {
	to   StreamConfig
	conn net.Conn
	r    *bufio.Reader
	safe bool                // TLS is up
	ext  map[string][]string // of the last EHLO: keywords with their parameters, in upper case
}

// quitTime bounds the wait for the answer to QUIT: what became of the message is known then.
const quitTime = time.Second

func (s *submission) on(conn net.Conn) {
	s.conn, s.r = conn, bufio.NewReaderSize(conn, maxReplyLine)
}

// open gets as far as a greeting over TLS: at once (RFC 8314 section 3.3) or by STARTTLS (RFC 3207).
func (s *submission) open(ctx context.Context, conn net.Conn, implicit bool) error {
	s.on(conn)
	if implicit {
		if err := s.secure(ctx); err != nil {
			return err
		}
	}
	if _, err := s.answer("the connection", 2); err != nil {
		return err
	}
	if err := s.hello(); err != nil || s.safe {
		return err
	}
	if _, has := s.ext["STARTTLS"]; !has {
		return errors.New("the server offers no STARTTLS, and nothing is sent in the clear")
	}
	if _, err := s.ask(2, "STARTTLS", "STARTTLS"); err != nil {
		return err
	}
	if s.r.Buffered() > 0 { // somebody on the way would have it taken for the server's word within TLS
		return errors.New("more than its reply came with the server's answer to STARTTLS")
	}
	if err := s.secure(ctx); err != nil {
		return err
	}
	return s.hello() // what was learned in the clear counts for nothing, RFC 3207 section 4.2
}

func (s *submission) secure(ctx context.Context) error {
	over, err := s.to.secure(ctx, s.conn)
	if err == nil {
		s.on(over)
		s.safe = true
	}
	return err
}

// hello names this side by its address, RFC 5321 section 4.1.3: it need not have a name in the DNS.
func (s *submission) hello() error {
	own := "[127.0.0.1]"
	if a, err := netip.ParseAddrPort(s.conn.LocalAddr().String()); err == nil {
		if own = "[" + a.Addr().Unmap().String() + "]"; a.Addr().Unmap().Is6() {
			own = "[IPv6:" + a.Addr().WithZone("").String() + "]"
		}
	}
	r, err := s.ask(2, "EHLO", "EHLO "+own)
	if err != nil {
		return err
	}
	s.ext = map[string][]string{}
	for _, line := range r.lines[1:] {
		if words := strings.Fields(strings.ToUpper(line)); len(words) > 0 {
			s.ext[words[0]] = words[1:]
		}
	}
	return nil
}

// login is AUTH PLAIN (RFC 4954, RFC 4616), within TLS alone.
func (s *submission) login(user, password string) error {
	switch {
	case !s.safe:
		return errors.New("no password leaves without TLS")
	case !slices.Contains(s.ext["AUTH"], "PLAIN"):
		return errors.New("the server does not offer AUTH PLAIN")
	case strings.ContainsAny(user+password, "\x00\r\n"):
		return errors.New("the user or the password has a character that none may have")
	}
	_, err := s.ask(2, "AUTH", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password)))
	return err
}

// transact sends one message and gives what the server said at its end, and for each recipient what it came to: nil means that the server took it over. err
// means that nobody got anything, and refused is then nil.
func (s *submission) transact(from string, to []string, message []byte) (said string, refused []error, err error) {
	if _, err := s.ask(2, "MAIL FROM", "MAIL FROM:<"+from+">"); err != nil {
		return "", nil, err
	}
	refused = make([]error, len(to))
	for i, a := range to {
		if _, refused[i] = s.ask(2, "RCPT TO", "RCPT TO:<"+a+">"); refused[i] != nil && !errors.As(refused[i], new(*refusal)) {
			return "", nil, refused[i]
		}
	}
	if !slices.Contains(refused, nil) {
		return "", refused, nil
	}
	if _, err := s.ask(3, "DATA", "DATA"); err != nil {
		return "", nil, err
	}
	body := textproto.NewWriter(bufio.NewWriter(s.conn)).DotWriter() // RFC 5321 section 4.5.2
	if _, err := body.Write(message); err != nil {
		return "", nil, err
	}
	if err := body.Close(); err != nil {
		return "", nil, err
	}
	r, err := s.answer("the message", 2)
	if err != nil {
		return "", nil, err
	}
	return r.said(), refused, nil
}

// quit ends the session in order, as far as the server goes along.
func (s *submission) quit() {
	if s.conn == nil {
		return
	}
	if _, err := fmt.Fprint(s.conn, "QUIT\r\n"); err != nil {
		return
	}
	if s.conn.SetReadDeadline(time.Now().Add(quitTime)) == nil {
		_, _ = readReply(s.r) // whatever it says
	}
}

// ask sends one command. A line break in it would be a second one.
func (s *submission) ask(class int, step, line string) (smtpReply, error) {
	if strings.ContainsAny(line, "\r\n\x00") {
		return smtpReply{}, &unfit{step + " has a line break in it"}
	}
	if _, err := fmt.Fprint(s.conn, line+"\r\n"); err != nil {
		return smtpReply{}, err
	}
	return s.answer(step, class)
}

// answer reads a reply, which must be of that class.
func (s *submission) answer(step string, class int) (smtpReply, error) {
	r, err := readReply(s.r)
	if err != nil {
		return smtpReply{}, fmt.Errorf("%s: %w", step, err)
	}
	if r.code/100 != class {
		return smtpReply{}, &refusal{step, r.code, r.status}
	}
	return r, nil
}

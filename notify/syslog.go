package notify

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"strconv"
)

// SyslogConfig of a channel over syslog: RFC 5424 within TLS, RFC 5425.
type SyslogConfig struct {
	StreamConfig
	Facility int // RFC 5424 section 6.2.1, 0 to 23
	// Enterprise is the operator's own private enterprise number, behind the @ of the element that has the fields. 0: none, and then there is no such element,
	// because names without a number belong to IANA (RFC 5424 section 6.3.2) and one must not use somebody else's.
	Enterprise uint32
}

// Syslog makes a channel to a collector of syslog. The protocol has no answer: a message is delivered when the collector took the connection's bytes to the
// end and closed its side, which RFC 5425 section 4.4 asks of it.
func Syslog(c SyslogConfig) (Channel, error) {
	if err := c.check("syslog"); err != nil {
		return nil, err
	}
	if c.Facility < 0 || c.Facility > 23 {
		return nil, fmt.Errorf("notify: %s: %d is no facility", c.Name, c.Facility)
	}
	return &syslog{c}, nil
}

type syslog struct{ c SyslogConfig }

func (s *syslog) Name() string { return s.c.Name }

// Send implements Channel.
func (s *syslog) Send(ctx context.Context, n Notice) (bool, error) {
	_, retry, err := s.Ask(ctx, n)
	return retry, err
}

// Ask implements Asker.
func (s *syslog) Ask(ctx context.Context, n Notice) (string, bool, error) {
	answer, err := s.deliver(ctx, frame(encodeSyslog(n, s.c.Facility, s.c.Enterprise)))
	if err != nil {
		retry, err := s.c.failed(ctx, err)
		return "", retry, err
	}
	return answer, false, nil
}

// frame counts the octets of a message before it, RFC 5425 section 4.3.
func frame(message []byte) []byte {
	return append(strconv.AppendInt(nil, int64(len(message)), 10), append([]byte{' '}, message...)...)
}

func (s *syslog) deliver(ctx context.Context, framed []byte) (string, error) {
	conn, done, err := s.c.connect(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	over, err := s.c.secure(ctx, conn)
	if err != nil {
		return "", err
	}
	if _, err := over.Write(framed); err != nil {
		return "", err
	}
	if err := over.CloseWrite(); err != nil { // close_notify, RFC 5425 section 4.4
		return "", err
	}
	// Only what is read now shows that the collector refused our certificate (RFC 8446 section 4.4.2.4: it may after our handshake is done), or went away
	// before it had read.
	n, err := io.Copy(io.Discard, io.LimitReader(over, maxAnswer))
	switch {
	case err != nil:
		return "", fmt.Errorf("the collector did not close in order: %w", err)
	case n == maxAnswer:
		return "", errors.New("the far side talks without end: it is no collector of syslog")
	}
	return "taken over " + tls.VersionName(over.ConnectionState().Version) + " (syslog has no answer)", nil
}

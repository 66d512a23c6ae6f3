package notify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// StreamConfig is what an outlet over TLS needs that does not speak HTTP.
type StreamConfig struct {
	Name  string
	Host  string // a name or a literal address; the server's certificate must be for it
	Port  uint16
	Roots *x509.CertPool          // nil: the system's
	Cert  func() *tls.Certificate // of the client, at each handshake anew; nil, or one that gives nil: none
	// Resolve and Dial are the only way out, as with OutletConfig.
	Resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	Dial    func(ctx context.Context, network, addr string) (net.Conn, error)
}

func (c StreamConfig) check(what string) error {
	switch {
	case c.Name == "":
		return errors.New("notify: a channel over " + what + " needs a name")
	case c.Host == "" || c.Port == 0:
		return fmt.Errorf("notify: %s: a host and a port are needed", c.Name)
	case c.Resolve == nil || c.Dial == nil:
		return fmt.Errorf("notify: %s: a resolver and a dialer are needed", c.Name)
	}
	return nil
}

// connect opens a connection of its own for one message, so that each passes the wall anew. Whatever waits on it ends with ctx. done closes it.
func (c StreamConfig) connect(ctx context.Context) (conn net.Conn, done func(), err error) {
	conn, err = way{c.Resolve, c.Dial}.open(ctx, "tcp", net.JoinHostPort(c.Host, strconv.Itoa(int(c.Port))), nil)
	if err != nil {
		return nil, nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) }) // a connection without deadlines is closed by done alone
	return conn, func() { stop(); conn.Close() }, nil
}

// secure makes conn one over TLS, and shakes hands.
func (c StreamConfig) secure(ctx context.Context, conn net.Conn) (*tls.Conn, error) {
	over := tls.Client(conn, &tls.Config{
		ServerName: c.Host, RootCAs: c.Roots, MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c.Cert != nil {
				if own := c.Cert(); own != nil {
					return own, nil
				}
			}
			return &tls.Certificate{}, nil // none
		},
	})
	if err := over.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("TLS with %s: %w", c.Host, err)
	}
	return over, nil
}

// failed names what went wrong, and says whether another attempt makes sense: where the wall refused it makes none. What the end of ctx broke off is the end of ctx.
func (c StreamConfig) failed(ctx context.Context, err error) (bool, error) {
	if ctx.Err() != nil {
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return !errors.Is(err, sovereign.ErrFenced), fmt.Errorf("notify: %s: %w", c.Name, err)
}

package resolve

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/miekg/dns"
)

// wire is the Exchanger over fenced connections: UDP, and TCP when the reply was cut (RFC 7766).
type wire struct {
	dial func(ctx context.Context, network string, server netip.AddrPort) (net.Conn, error)
}

// Exchange sends msg and waits for the reply to it until ctx ends.
func (w wire) Exchange(ctx context.Context, msg []byte, server netip.AddrPort) ([]byte, error) {
	var m dns.Msg
	if err := m.Unpack(msg); err != nil || len(m.Question) != 1 {
		return nil, errors.New("exchange: not one question")
	}
	q := question{dns.CanonicalName(m.Question[0].Name), m.Question[0].Qtype}
	b, err := w.once(ctx, "udp", server, func(c net.Conn) ([]byte, error) { return datagram(c, msg, q, m.Id) })
	if err != nil || len(b) < headerSize || b[2]&truncatedBit == 0 {
		return b, err
	}
	return w.once(ctx, "tcp", server, func(c net.Conn) ([]byte, error) { return stream(c, msg) })
}

const (
	headerSize   = 12
	truncatedBit = 0x02 // of the third octet, RFC 1035 section 4.1.1
)

// once dials, talks and closes; ctx bounds all of it.
func (w wire) once(ctx context.Context, network string, server netip.AddrPort, talk func(net.Conn) ([]byte, error)) ([]byte, error) {
	c, err := w.dial(ctx, network, server)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", network, err)
	}
	defer c.Close()
	// A past deadline wakes a blocked read or write at once when ctx ends.
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	b, err := talk(c)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, fmt.Errorf("%s: %w", network, err)
	}
	return b, nil
}

// datagram waits for the reply that answers q; whatever else arrives is somebody else's and is passed over. A cut reply needs no more than a header
// and the question to send us to TCP.
func datagram(c net.Conn, msg []byte, q question, id uint16) ([]byte, error) {
	if _, err := c.Write(msg); err != nil {
		return nil, err
	}
	buf := make([]byte, 1<<16)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return nil, err
		}
		var m dns.Msg
		if m.Unpack(buf[:n]) != nil && (n < headerSize || buf[2]&truncatedBit == 0) {
			continue
		}
		if answers(&m, q, id) {
			return buf[:n], nil
		}
	}
}

func stream(c net.Conn, msg []byte) ([]byte, error) {
	framed := make([]byte, 2, 2+len(msg))
	binary.BigEndian.PutUint16(framed, uint16(len(msg)))
	if _, err := c.Write(append(framed, msg...)); err != nil {
		return nil, err
	}
	var size [2]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, err
	}
	return b, nil
}

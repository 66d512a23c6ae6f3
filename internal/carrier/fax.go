package carrier

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// A call can switch to fax by T.38 over UDPTL (RFC 3362), which has the socket of the audio and no SRTP. Who plays the tone sends packets of a fax then, and who echoes sends
// them back as they are.

const protoUDPTL = "udptl"

// Fax offers T.38 in the place of the audio, and Voice the audio again; both give the final status.
func (c *Call) Fax(ctx context.Context) (int, error)   { return c.switchTo(ctx, true) }
func (c *Call) Voice(ctx context.Context) (int, error) { return c.switchTo(ctx, false) }

func (c *Call) switchTo(ctx context.Context, image bool) (int, error) {
	c.p.mu.Lock()
	was := c.image
	c.image = image
	c.p.mu.Unlock()
	status, err := c.offer(ctx, "INVITE", "", nil)
	if err != nil || status >= 300 {
		c.p.mu.Lock()
		c.image = was
		c.p.mu.Unlock()
	}
	return status, err
}

// image is what an image line says, in the place of the session's audio.
func (s *session) image() bool { return s.kind == "image" }

// describeImage writes our SDP for a fax.
func (d *local) describeImage(addr netip.AddrPort) []byte {
	return d.write(addr, fmt.Sprintf("m=image %d %s t38\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxRateManagement:transferredTCF\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n",
		addr.Port(), protoUDPTL))
}

// checkImage holds what the description of a fax must say, and must not.
func (c *Call) checkImage(s *session) {
	if s.proto != protoUDPTL || len(s.formats) != 1 || s.formats[0] != "t38" || len(s.crypto) > 0 || s.mux {
		c.p.fault("SDP: a fax over %s %v with %d keys", s.proto, s.formats, len(s.crypto))
	}
	for _, l := range []string{"a=T38FaxVersion:0\r\n", "a=T38MaxBitRate:14400\r\n", "a=T38FaxRateManagement:transferredTCF\r\n", "a=T38FaxUdpEC:t38UDPRedundancy\r\n"} {
		if !strings.Contains(s.text, l) {
			c.p.fault("SDP: a fax without %q", l)
		}
	}
}

// fax takes a fax into force.
func (m *media) fax(remote netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if remote != m.remote {
		m.before = m.remote
	}
	m.remote, m.faxing = remote, true
	if m.tone && !m.started {
		m.started = true
		m.p.wg.Go(m.play)
	}
}

// page sends a packet of a fax. Under m.mu.
func (m *media) page() {
	b := binary.BigEndian.AppendUint16(nil, m.faxSeq)
	b = append(append(b, 16), m.nonce[:]...)
	b = append(binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixNano())), 0, 0)
	m.faxSeq++
	m.stats.FaxSent++
	if m.remote.Port() != 0 && !m.p.lose() {
		_ = write(m.sock.rtp, b, m.remote)
	}
}

// paged takes a datagram within a fax and gives a fault to report, or "". Under m.mu.
func (m *media) paged(c sovereign.UDPConn, from netip.AddrPort, b []byte) string {
	switch {
	case c == m.sock.rtcp:
		return "RTCP within a fax"
	case len(b) < 12 || b[0]>>6 == 2: // audio that was under way
	case from != m.remote:
		m.stats.WrongSource++
	case !m.tone:
		m.stats.FaxEchoed++
		if !m.p.lose() {
			_ = write(m.sock.rtp, b, from)
		}
	case len(b) == 21 && bytes.Equal(b[3:11], m.nonce[:]):
		m.stats.FaxMatched++
	default:
		return fmt.Sprintf("a fax of %d octets that is not ours", len(b))
	}
	return ""
}

// Package transport moves SIP messages over UDP, TCP and TLS: framing, screening of what arrives, connections, and the one place where SIP
// sockets are written. It sends only to a Flow, and a Flow is made only from a live sovereign.Pass.
//
// It keeps no state for a source that the Screen does not know, reads sipgo's messages by a grammar of its own, and answers a malformed request with
// a 400 that names the fault as long as its framing is intact. It imports sovereign and, of foreign modules, sipgo's message types and metric types.
package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/cordonsip/cordon/sovereign"
)

// Proto is a SIP transport in lower case.
type Proto string

// The transports.
const (
	UDP Proto = "udp"
	TCP Proto = "tcp"
	TLS Proto = "tls"
)

// Reliable says whether the transport retransmits by itself.
func (p Proto) Reliable() bool { return p != UDP }

// Name is the transport as a Via names it.
func (p Proto) Name() string {
	switch p {
	case UDP:
		return "UDP"
	case TCP:
		return "TCP"
	case TLS:
		return "TLS"
	}
	return strings.ToUpper(string(p))
}

// TLSProfile is the identity of one trunk or group: whom we are toward it and whom we accept.
type TLSProfile struct {
	Name       string
	ServerName string                  // SNI and the name that is verified (RFC 5922), although the address is pinned
	Roots      func() *x509.CertPool   // nil, or none: the system's. Asked at each handshake
	Cert       func() *tls.Certificate // ours; nil: none. Asked at each handshake, so that a reload needs no restart
	MinVersion uint16                  // default TLS 1.2
	Peers      []string                // names of which the peer's certificate must carry one; default ServerName
}

// Dest is where a request goes: exactly one vetted address.
type Dest struct {
	Proto   Proto
	Addr    netip.AddrPort
	Party   string
	Profile *TLSProfile // for TLS
	Pass    *sovereign.Pass
	Local   netip.AddrPort // bound or advertised address of the listener to send from; zero: the first of the same kind and family
}

// Listener is one local address. The sockets come bound from the hall and are closed by it; the layer stops using them when Run ends.
type Listener struct {
	Proto     Proto
	UDP       *sovereign.PacketConn // for UDP
	Stream    net.Listener          // for TCP and TLS; TLS handshakes are done here
	Advertise netip.AddrPort        // what Via and Contact carry; zero: the local address
	TLS       *TLSProfile           // server side, for TLS
	// ClientCAs asks for a client certificate and verifies it when one comes (mTLS is then the Screen's decision). Asked at each handshake.
	ClientCAs func() *x509.CertPool
}

// Incoming is one message that passed framing and the screen of syntax.
type Incoming struct {
	Msg   sip.Message
	Flow  Flow   // the way back to the received source (RFC 3261 section 18.2.2, RFC 3581); not Valid when the source may not be answered
	Party string // that Screen found
	// OnlyEmergency says that the source is held: nothing but an emergency call may be taken from it, and Flow may be used for nothing else.
	OnlyEmergency bool
	At            time.Time
}

// Handler takes what arrives. It is called in order per source flow and must not block.
type Handler interface {
	Receive(Incoming)
	// Lost tells that a flow died or that an earlier datagram to it was refused (ICMP): the error says which. f names the path (compare with Flow.Key) and
	// may not be Valid. It may be called from within Send.
	Lost(f Flow, err error)
}

// Look is how far a source is listened to.
type Look uint8

// The looks. A held source of a known party is read, and not a byte is sent to it, until the handler finds an emergency call in what it sent.
const (
	Refused Look = iota
	Admitted
	ForEmergency
)

// Admission is what a Screen says of a source.
type Admission struct {
	Party string
	Keys  bool // its signalling carries keys of media: the way back is judged with that
	Look  Look
}

// Screen decides before parsing costs anything.
type Screen interface {
	// Source says whether packets of this source are looked at, and for which party. peer is the TLS identity or nil. A refused source gets no byte.
	//
	// For TLS it is asked first with a nil peer when the connection was accepted: a refusal then closes it before the handshake sends anything, and so does
	// ForEmergency, because a handshake is sent before anybody knows what for. It is asked again, with the identity, for each message.
	Source(p Proto, from netip.AddrPort, local netip.AddrPort, peer *PeerIdentity) Admission
}

// Config of a Layer.
type Config struct {
	Listeners []Listener
	Fence     *sovereign.Fence
	Dial      func(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error) // TCP; the layer fences and wraps it
	Screen    Screen
	Handler   Handler
	Connect   time.Duration // dial and handshake, default 1 s
	Idle      time.Duration // of streams, default 5 min; kept warm by CRLF (RFC 5626) while Keep wants them
	Within    time.Duration // a message that began on a stream must be complete then, default 10 s
	Write     time.Duration // one write to a stream, default 5 s: a peer that reads nothing for longer is given up
	MaxBody   int           // default 64 KiB
	MaxConns  int           // per source address, default 64
	MaxTotal  int           // inbound streams in all, default 4096
	First     time.Duration // an inbound stream must have brought a whole message by then, whatever else it sends; default 1 min
	// MaxBuffered bounds the bytes of read buffers and write queues of all inbound streams of one source address, default 8 MiB.
	MaxBuffered int
	// PartyConns gives the most inbound streams of a party, whatever addresses they come from; nil or 0: no limit of its own.
	PartyConns func(party string) int
	// Seen is told of the certificates of each handshake that was verified; nil: nobody wants to know. It must not block.
	Seen func(party string, remote netip.Addr, chain []*x509.Certificate)
	// Reuse says whether requests to a party may use a TLS connection that it opened (RFC 5923); nil: never.
	Reuse   func(party string) bool
	Keep    func(Flow) Keepalive // how an outbound stream is kept warm with CRLF pings; nil: none is
	Every   time.Duration        // between those pings at most, default 25 s
	Logger  *slog.Logger
	Metrics prometheus.Registerer
	// Tap sees every message as it crosses the wire; may be nil, must not block or keep b. callID is empty when nobody looked for it.
	Tap func(out bool, f Flow, at time.Time, callID string, b []byte)
}

// Package media relays RTP and RTCP between the two sides of a call and owns everything about SDP: offer/answer (RFC 3264), SDES (RFC 4568), SRTP
// (RFC 3711, 7714), latching, counters. No other room parses SDP.
//
// Every address, in every SDP and at every latch, is judged by the fence before a packet leaves for it.
//
// One audio stream crosses, its payload untouched, or in its place a fax by T.38 over UDPTL, where both sides may; other media lines are refused with port 0. A description is written anew for each leg: formats,
// ptime and direction are taken over by an allow-list, everything else is ours. AVPF and SAVPF are taken as AVP and SAVP, without feedback. SDES keys
// travel only on legs marked Secure (or InsecureLab); an MKI that a peer announces is honoured in what it sends, we send none; session parameters
// that weaken a stream make a crypto line unusable. Header extensions and every RTCP packet but reports and goodbyes stay on their side.
// Where a far end sends no RTCP, the relay reports to the other one itself (Config.Reports).
//
// Legs toward browsers have DTLS-SRTP (media/dtls) and ICE (media/ice), whose lite side we are: an association beside the leg holds what is made there.
//
// The packets are carried by media/plane, in this process or in one of its own. This half negotiates, and tells the plane what was agreed.
//
// It imports sovereign, internal/impair and its sub-rooms; it is the only room with pion.
package media

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
	"github.com/prometheus/client_golang/prometheus"
)

// Side of a call: A is who called us, B is whom we call.
type Side uint8

// The sides.
const (
	A Side = iota
	B
)

// Suite is an SDES crypto suite, in the names of RFC 4568, 6188 and 7714.
type Suite string

// The suites, in the order in which they are offered by default.
const (
	AEAD_AES_256_GCM        Suite = "AEAD_AES_256_GCM"
	AEAD_AES_128_GCM        Suite = "AEAD_AES_128_GCM"
	AES_256_CM_SHA1_80      Suite = "AES_256_CM_HMAC_SHA1_80"
	AES_CM_128_HMAC_SHA1_80 Suite = "AES_CM_128_HMAC_SHA1_80"
	AES_CM_128_HMAC_SHA1_32 Suite = "AES_CM_128_HMAC_SHA1_32"
)

// Security of one leg.
type Security uint8

// Securities. The zero Security is mandatory SRTP.
const (
	SRTPRequired Security = iota // RTP/SAVP with SDES; an offer without is refused with 488
	SRTPOptional                 // takes what is offered, DTLS-SRTP included; offers SAVP
	Plain                        // RTP/AVP
	// SRTPBestEffort is SRTP within RTP/AVP, RFC 8643: it offers keys without asking for an answer to them, and takes what is offered. Over a hop that must not see keys it is plain.
	SRTPBestEffort
	// DTLS is mandatory DTLS-SRTP (RFC 5763): UDP/TLS/RTP/SAVP, with rtcp-mux. Keys never travel in signalling, which only says whose they are.
	DTLS
)

// Leg is how media toward one side must look, and for whom it is judged.
type Leg struct {
	Party    string // the fence judges media addresses for it
	Member   string // of the party; "": nobody knows which one. A drill may take one away
	Drilled  bool   // a drill has it among its own
	Purpose  sovereign.Purpose
	Security Security
	Suites   []Suite // allowed, in order of preference; nil means all
	Codecs   Codecs  // formats that it may offer and that it is offered
	Digits   Digits  // how it sends and gets them
	Informs  bool    // its dialog is known to take INFO
	Feedback bool    // it is offered AVPF and SAVPF (RFC 4585, RFC 5124), without feedback; what it offers itself is taken either way
	T38      bool    // it may offer fax by T.38 over UDPTL, and is offered it. That goes in the clear: not with SRTPRequired
	Mux      bool    // it is offered rtcp-mux whether the other side has it or not; else what the other side offers
	ICE      bool    // it may check by ICE (RFC 8445), whose lite side we are: then media goes where it nominates, and nowhere before
	// Secure is true when the signalling hop that carries this SDP is TLS; SDES keys are neither sent nor accepted without it, unless InsecureLab.
	Secure      bool
	InsecureLab bool
	Bind        netip.Addr     // local address of this leg's sockets; zero means the relay's default
	Advertise   netip.Addr     // address written into SDP when it is another one (NAT); zero means Bind
	Prefixes    []netip.Prefix // extra sources that a plain leg may latch to besides the SDP address
}

// Config of a Relay.
type Config struct {
	Listen func(netip.AddrPort) (sovereign.UDPConn, error)
	Fence  *sovereign.Fence
	// Weigh is asked about each address that a description names, before the fence is: what it gives refuses the address. Nil, which says nothing, leaves it to the
	// fence. It must be quick: a call waits for it.
	Weigh func(sovereign.Ask) *sovereign.Ruling
	// Reached is told of each address that packets of a party begin to go to (flows), and of each that they may go to because a far end named it as a candidate;
	// must not block, nor call back.
	Reached func(party string, addr netip.Addr, flows bool)
	Bind    netip.Addr
	Ports   [2]uint16 // inclusive range of even RTP ports; RTCP takes the odd ones above them; 0,0 lets the system choose
	// Quarantine is how long a freed pair of ports rests before another call gets it; 0 means 5 s. What comes meanwhile is dropped, but for what comes
	// 20 ms before the next call.
	Quarantine time.Duration
	// Sockets bounds how many media sockets are open at one time, those included that stay open between two calls; 0 sets no bound. Calls for help go beyond it.
	Sockets int
	// Calls is how many calls may be up at one time, which bounds what stays open between them; 0 means that nobody knows.
	Calls int
	// Workers is how many threads carry packets; 0 means 1. Both sides of a call have the same one.
	Workers int
	// Tick is how long packets wait for each other at most, when there are many; 0 means 1 ms, less than 0 never.
	Tick time.Duration
	// Reports is after how long without RTCP of one far end the relay makes reports of its own to the other one; 0: what no far end sends nobody gets.
	Reports time.Duration
	// Plane gives what carries the packets, which tells e of what happened; nil, and where it gives nil: the relay carries them itself, while Run does.
	Plane func(e plane.Events) (plane.Commands, error)
	// Moved is told of each latch, re-latch and refusal; must not block.
	Moved func(session string, m Move)
	// Heard is told of sides of answered calls that fall silent, go unheard, die or come back; must not block, nor call back.
	Heard  func(session string, e Liveness)
	Limits Limits // when they do
	// Played is told of announcements that came to their end by themselves; must not block, nor call back.
	Played func(session string, p Played)
	// Pressed is told of digits that came as telephone events, for a far end that has digits in its signalling; must not block, nor call back.
	Pressed func(session string, d Digit)
	Digits  DigitLimits
	// Unkeyed is told of sides whose keys could not be made; must not block, nor call back.
	Unkeyed func(session string, u Unkeyed)
	// Impaired says what a drill takes away of a leg, which must not be changed: see Relay.Impair. It must not block, nor call back; nil: nothing is ever taken away.
	Impaired func(l *Leg) impair.Effect
	Logger   *slog.Logger
	Metrics  prometheus.Registerer
}

// Move is a far end that was latched, moved or refused.
type Move struct {
	Side    Side
	At      time.Time
	From    netip.AddrPort // zero for the first
	To      netip.AddrPort
	RTCP    bool   // it is of RTCP, which has a port of its own
	Cause   string // offer | answer | reinvite | refer (another far end took the place) | rebind | law (the ruling changed under a running session)
	Allowed bool
	Ruling  *sovereign.Ruling // never nil, shared: nobody changes it
}

// Report of a session.
type Report struct {
	Opened time.Time
	Closed time.Time
	Sides  [2]SideReport
	Former []Former // far ends that were replaced, in order
	Moves  []Move   // without those to the first far end of a port, which Sides and Former have
}

// SideReport is one side: Rx is what came from it.
type SideReport struct {
	Party      string
	Remote     netip.AddrPort // latched, or from SDP while nothing came
	Local      netip.AddrPort
	Ruling     *sovereign.Ruling // the one in force, or the one that packets went under before the law changed; shared; nil while there is no Remote
	Codec      string
	Suite      Suite // "" for plain RTP
	RxPackets  uint64
	RxBytes    uint64
	TxPackets  uint64
	Lost       int64         // RFC 3550 A.3
	Jitter     time.Duration // RFC 3550 A.8
	RTT        time.Duration // from RTCP, 0 unknown
	TxLost     int64         // what the far end says it lost of what we sent, from RTCP
	MOS        float64       // ITU-T G.107 estimate of what came from this side; 0 unknown
	DigitsIn   uint64        // digits that came as telephone events and were converted
	DigitsOut  uint64        // that were converted to telephone events
	Ignored    uint64        // telephone events that are no digits where digits are converted, and digits that could not be said
	Refused    uint64        // packets from a source that was not admitted, or that failed authentication
	FirstRx    time.Time
	LastRx     time.Time
	PerCountry map[sovereign.Country]uint64 // packets; nil for none
	Quality    Quality
	Fax        Fax // the others count RTP alone, but for Refused and PerCountry
}

// Refusal is an SDP or address that cannot be honoured, in SIP's terms.
type Refusal struct {
	Status  int // 488; 403 when the policy refused, 491 for an offer against an open one, 503 without a port
	Warning int // RFC 3261 section 20.43 code, e.g. 304, 305, 399
	Text    string
	Ruling  sovereign.Ruling // with 403
	NoCodec bool             // the Codecs of the side that was to be asked left nothing of the offer: another party may take it
}

// Error is for the log; Text alone is for the peer.
func (r *Refusal) Error() string {
	if r.Ruling.Why != "" {
		return fmt.Sprintf("media: %d: %s: %s", r.Status, r.Text, r.Ruling.Why)
	}
	return fmt.Sprintf("media: %d: %s", r.Status, r.Text)
}

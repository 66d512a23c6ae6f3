// Package carrier is a small SIP and RTP peer: it stands for a carrier (it calls) and for an edge group (it is called, and echoes the audio),
// over real sockets in the demo and over internal/vnet in tests. Its SIP, SDP and media code is its own on purpose: it shares none with the
// rooms it is used to test, so that a mistake made there is not made again here. It is strict: whatever breaks a rule of RFC 3261, 3264, 4568
// or 3550 in what it receives is written down in Stats.Faults, and so is every byte string that must not be seen on its side.
//
// It imports sovereign for the type of a UDP socket, and pion's RTP and SRTP.
package carrier

import (
	"cmp"
	"context"
	crand "crypto/rand"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Net is the network: the operating system's, or a virtual one.
type Net interface {
	ListenUDP(addr netip.AddrPort) (sovereign.UDPConn, error)
	ListenTCP(addr netip.AddrPort) (net.Listener, error)
	DialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error)
}

// Config of a Peer.
type Config struct {
	Name       string         // user part of Contact
	Net        Net            // nil: the operating system's
	Addr       netip.AddrPort // SIP; port 0 picks one
	Proto      string         // "udp" (default), "tcp" or "tls"
	MediaAddr  netip.Addr     // default: that of Addr
	TLS        *tls.Config    // both as server and as client
	ServerName string         // whom we expect when we dial with TLS; CallOptions may override
	Domain     string         // host of From; default: Addr
	SRTP       bool           // offers RTP/SAVP, and refuses a plain offer with 488. Without it both kinds are accepted and RTP/AVP is offered
	Suites     []string       // SDES suites, offered in this order; default AES_CM_128_HMAC_SHA1_80
	T1, T2     time.Duration  // RFC 3261 timers; default 500 ms and 4 s
	Pace       time.Duration  // between two packets of the tone; default 20 ms, which is what they hold
	Seed       uint64         // of ids and of Behaviour.Loss; 0: random
	Behaviour  Behaviour
	Registrar  *Registrar // takes registrations
	// Relay is a media relay of this side's network, which every description passes on its way in and out; nil: there is none. It must answer soon, and not call the Peer.
	Relay Relay
	// ForbiddenBytes must not occur in any message received here, e.g. the addresses of the other side of a topology-hiding element.
	ForbiddenBytes [][]byte
	// Trace sees each SIP message; may be nil, must not block or call the Peer.
	Trace func(Message)
}

// Relay makes the description that goes on of one that an offerer or an answerer wrote, and which leaves our network, or comes into it.
type Relay func(call string, offer, leaves bool, sdp []byte) ([]byte, error)

// Message is one SIP message as it crossed the socket.
type Message struct {
	At   time.Time
	Out  bool
	Peer netip.AddrPort
	Data []byte
}

// Behaviour is what a Peer does as the called side. The zero Behaviour answers everything, after a 180, at once. SetBehaviour swaps it whole.
type Behaviour struct {
	Silent            bool          // swallow all SIP
	Dead              bool          // close the SIP sockets and the media of all calls, so that the operating system refuses
	Loss              float64       // probability to lose a datagram (SIP over UDP, RTP), each way
	OptionsStatus     int           // answer to OPTIONS; 0 means 200
	Refuse            int           // final status of every INVITE, e.g. 486 or 503
	RetryAfter        int           // seconds, in the refusals
	Auth              *Auth         // ask for credentials first
	Reason            string        // Reason header of the refusals and of our BYE
	NoTrying          bool          // no 100
	NoRinging         bool          // no 180
	EarlyMedia        bool          // 183 with SDP instead of 180, and media from then on
	AnswerAfter       time.Duration // between the 100 and the next response
	RingFor           time.Duration // between the 180 or 183 and the final response
	NoAnswer          bool          // ring until CANCEL
	HangUpAfter       time.Duration // after the answer; 0 means never
	AnswerAfterCancel bool          // the race: 200 to the INVITE although a CANCEL came
	OwnTone           bool          // send a tone of our own instead of the echo
	Mute              bool          // neither echo nor tone
}

// Stats is what happened since New.
type Stats struct {
	Invites, Reinvites, Answered, Refused, Cancels, Acks, Byes, Options, Infos, Updates int // received requests, retransmissions apart; Answered and Refused are ours
	Retransmits                                                                         int // received again
	Strays                                                                              int // in-dialog requests of no known call, answered with 481
	Challenged, BadCredentials                                                          int // by Behaviour.Auth; a challenged INVITE is not counted in Invites
	Registered, Unregistered                                                            int // REGISTER requests that were granted, and that took a binding back
	Dropped                                                                             int // by Behaviour.Loss or Silent
	Active                                                                              int // calls now
	RTPRx, RTPTx, RTCPRx                                                                int
	FaultCount                                                                          int
	Faults                                                                              []string // the first 100
}

// Peer is one carrier or one edge group. Safe for concurrent use.
type Peer struct {
	cfg       Config
	behaviour atomic.Pointer[Behaviour]
	addr      netip.AddrPort
	wg        sync.WaitGroup
	ready     chan struct{} // closed when Run has begun

	rtpRx, rtpTx, rtcpRx atomic.Int64

	rngMu sync.Mutex
	rng   *rand.Rand

	mu       sync.Mutex // everything below, and all calls and transactions. Nobody waits while holding it.
	running  bool
	closed   bool
	udp      sovereign.UDPConn
	listener net.Listener
	streams  map[*stream]bool
	clients  map[string]*clientTx
	servers  map[string]*serverTx
	calls    map[string]*Call
	nonces   map[string]uint32 // the last nc of each
	stats    Stats
	unheard  int // messages that Silent or Dead kept from being sent or received
}

// New binds the SIP socket, so that Addr is known, and starts nothing.
func New(cfg Config) (*Peer, error) {
	cfg.Proto = cmp.Or(cfg.Proto, "udp")
	cfg.Name = cmp.Or(cfg.Name, "peer")
	cfg.T1, cfg.T2, cfg.Pace = cmp.Or(cfg.T1, 500*time.Millisecond), cmp.Or(cfg.T2, 4*time.Second), cmp.Or(cfg.Pace, ptime)
	if cfg.Net == nil {
		cfg.Net = osNet{}
	}
	if !cfg.MediaAddr.IsValid() {
		cfg.MediaAddr = cfg.Addr.Addr()
	}
	if len(cfg.Suites) == 0 {
		cfg.Suites = []string{AES128SHA80}
	}
	for _, s := range cfg.Suites {
		if _, ok := profiles[s]; !ok {
			return nil, fmt.Errorf("carrier: suite %q is not one of ours", s)
		}
	}
	if !slices.Contains([]string{"udp", "tcp", "tls"}, cfg.Proto) || cfg.Proto == "tls" && cfg.TLS == nil {
		return nil, fmt.Errorf("carrier: transport %q, TLS configured: %v", cfg.Proto, cfg.TLS != nil)
	}
	if cfg.Seed == 0 {
		var b [8]byte
		_, _ = crand.Read(b[:])
		cfg.Seed = binary.BigEndian.Uint64(b[:])
	}
	p := &Peer{
		cfg: cfg, addr: cfg.Addr, rng: rand.New(rand.NewPCG(cfg.Seed, uint64(len(cfg.Name)))),
		ready: make(chan struct{}), streams: map[*stream]bool{}, clients: map[string]*clientTx{}, servers: map[string]*serverTx{}, calls: map[string]*Call{}, nonces: map[string]uint32{},
	}
	b := cfg.Behaviour
	// Bound even when it is to be dead at first: the address must be known.
	if err := p.bind(); err != nil {
		return nil, err
	}
	p.behaviour.Store(&b)
	if b.Dead {
		p.die()
	}
	return p, nil
}

// Addr is where SIP is received.
func (p *Peer) Addr() netip.AddrPort { return p.addr }

// Proto is the transport that SIP is spoken by: "udp", "tcp" or "tls".
func (p *Peer) Proto() string { return p.cfg.Proto }

// Run serves until ctx ends, then closes every socket and returns when every goroutine has ended. Calls that are still up end without a BYE.
func (p *Peer) Run(ctx context.Context) error {
	p.mu.Lock()
	if p.running || p.closed {
		p.mu.Unlock()
		return errors.New("carrier: Run was called before")
	}
	p.running = true
	close(p.ready)
	p.serve()
	p.mu.Unlock()
	<-ctx.Done()
	p.mu.Lock()
	p.closed = true
	p.die()
	p.mu.Unlock()
	p.wg.Wait()
	return nil
}

// Close gives back the sockets of a Peer that was never run.
func (p *Peer) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.die()
}

// Behaviour is the one in force.
func (p *Peer) Behaviour() Behaviour { return *p.behaviour.Load() }

// SetBehaviour swaps the behaviour. Calls that are being set up keep the one they began with. An error means that a dead peer could not bind its
// address again.
func (p *Peer) SetBehaviour(b Behaviour) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.behaviour.Swap(&b)
	switch {
	case p.closed || was.Dead == b.Dead:
		return nil
	case b.Dead:
		p.die()
		return nil
	}
	if err := p.bind(); err != nil {
		return err
	}
	if p.running {
		p.serve()
	}
	return nil
}

// Stats gives the counters and the faults.
func (p *Peer) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	s.Active = len(p.calls)
	s.Faults = slices.Clone(s.Faults)
	s.RTPRx, s.RTPTx, s.RTCPRx = int(p.rtpRx.Load()), int(p.rtpTx.Load()), int(p.rtcpRx.Load())
	return s
}

// Calls are those that are up or being set up, in both directions, oldest first.
func (p *Peer) Calls() []*Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*Call
	for _, c := range p.calls {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *Call) int { return a.began.Compare(b.began) })
	return out
}

// fault puts on paper that the other side broke a rule. Under mu.
func (p *Peer) fault(format string, args ...any) {
	p.stats.FaultCount++
	if len(p.stats.Faults) < 100 {
		p.stats.Faults = append(p.stats.Faults, fmt.Sprintf(format, args...))
	}
}

// after runs f under mu when d has passed, unless the peer has ended. With no d it runs at once; the caller holds mu.
func (p *Peer) after(d time.Duration, f func()) {
	if d <= 0 {
		f()
		return
	}
	time.AfterFunc(d, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if !p.closed {
			f()
		}
	})
}

func (p *Peer) token() string {
	p.rngMu.Lock()
	defer p.rngMu.Unlock()
	return fmt.Sprintf("%016x", p.rng.Uint64())
}

func (p *Peer) number() uint32 {
	p.rngMu.Lock()
	defer p.rngMu.Unlock()
	return p.rng.Uint32()
}

// lose draws for Behaviour.Loss.
func (p *Peer) lose() bool {
	l := p.behaviour.Load().Loss
	if l <= 0 {
		return false
	}
	p.rngMu.Lock()
	defer p.rngMu.Unlock()
	return p.rng.Float64() < l
}

// osNet is the network of the operating system.
type osNet struct{}

func (osNet) ListenUDP(a netip.AddrPort) (sovereign.UDPConn, error) {
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(a))
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (osNet) ListenTCP(a netip.AddrPort) (net.Listener, error) {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(a))
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (osNet) DialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{}
	if local.IsValid() {
		d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0))
	}
	return d.DialContext(ctx, "tcp", to.String())
}

// Package browser is a far end as browsers are, in one process, for tests: it checks by ICE, makes keys by DTLS-SRTP, and sends and counts audio.
//
// It imports media/ice, media/dtls and media/srtp, for what is spoken and no more, and sovereign for the form of a socket.
package browser

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/cordonsip/cordon/media/dtls"
	"github.com/cordonsip/cordon/media/ice"
	"github.com/cordonsip/cordon/media/srtp"
	"github.com/cordonsip/cordon/sovereign"
)

const (
	frameEvery   = 20 * time.Millisecond
	frameSamples = 160
	checkEvery   = 50 * time.Millisecond   // before a pair is there
	consentEvery = 2500 * time.Millisecond // then; RFC 7675 section 5.1 has 4 to 6 s
	payloadPCMA  = 8
)

// Config of a Peer.
type Config struct {
	Conn    sovereign.UDPConn // its one socket, which it closes
	Profile string            // of its offers; "" is UDP/TLS/RTP/SAVPF
	ICE     bool
	Trickle bool       // its offers name no address, as before candidates are there
	Video   bool       // its offers have a video section, in one BUNDLE group with the audio
	Setup   dtls.Setup // of its answers; "" is active
	Forged  bool       // its descriptions name another certificate than it has
	Mute    bool       // it does not begin a handshake, nor answer one
	Suites  []srtp.Suite
}

// Peer is one far end. Its methods may be called from anywhere.
type Peer struct {
	c    Config
	at   netip.AddrPort
	cert dtls.Certificate
	own  ice.Credentials

	mu      sync.Mutex
	version int
	to      netip.AddrPort  // the relay's
	theirs  ice.Credentials // its own, which checks are made with
	iced    bool            // ICE is spoken with it
	said    dtls.Params
	role    dtls.Role
	paired  bool // a check was answered
	stopped bool // it checks no more
	hands   *dtls.Handshake
	shakes  int
	in, out *srtp.Context
	seq     uint64 // of the next packet
	win     srtp.Window
	stats   Stats
}

// Stats are what a Peer counted.
type Stats struct {
	Sent, Heard, Unopened int
	Answered              int // checks
	Handshakes            int // that ended well
	Suite                 srtp.Suite
	Err                   error // of the last handshake that failed
}

// New makes a peer. Run has it speak.
func New(c Config) (*Peer, error) {
	cert, err := dtls.NewCertificate()
	if err != nil {
		return nil, err
	}
	at, err := netip.ParseAddrPort(c.Conn.LocalAddr().String())
	if err != nil {
		return nil, fmt.Errorf("browser: %w", err)
	}
	if c.Profile == "" {
		c.Profile = "UDP/TLS/RTP/SAVPF"
	}
	return &Peer{c: c, at: at, cert: cert, own: ice.NewCredentials(), seq: 1000}, nil
}

// Offer is its offer, and the next one when it is asked again.
func (p *Peer) Offer() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	setup := dtls.ActPass
	return p.describe(p.c.Profile, setup, p.c.Video)
}

// describe writes a description, as browsers do.
func (p *Peer) describe(profile string, setup dtls.Setup, video bool) []byte {
	p.version++
	addr, port := p.at.Addr().String(), p.at.Port()
	if p.c.Trickle && !p.paired {
		addr, port = "0.0.0.0", 9
	}
	group := ""
	if video {
		group = "a=group:BUNDLE 0 1\r\n"
	}
	b := fmt.Appendf(nil, "v=0\r\no=- 4611731400430051336 %d IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n%sa=extmap-allow-mixed\r\na=msid-semantic: WMS stream\r\n"+
		"m=audio %d %s 8 101\r\nc=IN IP4 %s\r\na=rtcp:9 IN IP4 0.0.0.0\r\n", p.version, group, port, profile, addr)
	if p.c.ICE {
		b = fmt.Appendf(b, "a=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=ice-options:trickle\r\n", p.own.Ufrag, p.own.Pwd)
		if !p.c.Trickle {
			b = fmt.Appendf(b, "a=candidate:1 1 udp 2122260223 %s %d typ host generation 0\r\n", p.at.Addr(), p.at.Port())
		}
	}
	mark := p.cert.Fingerprint()
	if p.c.Forged {
		mark = dtls.Fingerprint("sha-256 " + strings.Repeat("AB:", 31) + "AB")
	}
	b = dtls.AppendSDP(b, setup, mark)
	b = append(b, "a=mid:0\r\na=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=sendrecv\r\na=msid:stream track\r\na=rtcp-mux\r\na=rtcp-rsize\r\n"+
		"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=ssrc:1 cname:x\r\n"...)
	if video {
		b = fmt.Appendf(b, "m=video 9 %s 96\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\na=sendrecv\r\n", profile)
	}
	return b
}

// Accept takes the answer to the last offer.
func (p *Peer) Accept(answer []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, before := p.role, p.said
	if err := p.read(answer); err != nil {
		return err
	}
	role, err := dtls.Settle(p.said.Setup)
	if err != nil {
		return err
	}
	return p.settle(role, was, &before)
}

// Answer takes an offer and gives the answer.
func (p *Peer) Answer(offer []byte) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, before := p.role, p.said
	if err := p.read(offer); err != nil {
		return nil, err
	}
	setup, role, err := dtls.Answer(p.said.Setup, was, false)
	if p.c.Setup == dtls.Passive && p.said.Setup == dtls.ActPass && was == 0 {
		setup, role = dtls.Passive, dtls.Server
	}
	if err != nil {
		return nil, err
	}
	profile := "UDP/TLS/RTP/SAVP"
	if strings.Contains(string(offer), profile+"F") {
		profile += "F"
	}
	return p.describe(profile, setup, false), p.settle(role, was, &before)
}

// read takes what a description says of its owner.
func (p *Peer) read(text []byte) error {
	var session, said ice.Params
	var keys dtls.Params
	audio, port, addr := 0, uint16(0), ""
	for l := range strings.SplitSeq(string(text), "\r\n") {
		if rest, ok := strings.CutPrefix(l, "m="); ok {
			if audio++; audio > 1 {
				break
			}
			said, keys = session, keys.Section()
			if _, err := fmt.Sscanf(rest, "audio %d UDP/TLS", &port); err != nil || port == 0 {
				return fmt.Errorf("browser: no audio in %q", text)
			}
		}
		if rest, ok := strings.CutPrefix(l, "c=IN IP4 "); ok {
			addr = rest
		}
		if a, ok := strings.CutPrefix(l, "a="); ok {
			name, value, _ := strings.Cut(a, ":")
			to := &said
			if audio == 0 {
				to = &session
			}
			if !to.Take(name, value) {
				keys.Take(name, value)
			}
		}
	}
	host, err := netip.ParseAddr(addr)
	if err != nil {
		return err
	}
	if err := keys.Usable(); err != nil {
		return err
	}
	p.to, p.said = netip.AddrPortFrom(host, port), keys
	if p.iced = p.c.ICE && said.Ufrag != ""; p.iced {
		if !said.Lite || len(said.Candidates) != 1 {
			return fmt.Errorf("browser: no lite side with one candidate in %q", text)
		}
		if said.Credentials != p.theirs {
			p.paired = false
		}
		p.to, p.theirs = said.Candidates[0].Addr, said.Credentials
	}
	return nil
}

// settle begins the handshake where one is wanted.
func (p *Peer) settle(role, was dtls.Role, before *dtls.Params) error {
	p.role = role
	if was != 0 && !dtls.Renews(before, &p.said, was, role) {
		return nil
	}
	p.shakes++
	if p.hands != nil {
		h := p.hands
		p.hands = nil
		p.mu.Unlock()
		h.Close()
		p.mu.Lock()
	}
	return p.shake()
}

// shake begins when there is somewhere to.
func (p *Peer) shake() error {
	if p.c.Mute || p.hands != nil || p.iced && !p.paired || p.role == 0 {
		return nil
	}
	n, to := p.shakes, p.to
	h, err := dtls.Start(dtls.Config{
		Role: p.role, Certificate: p.cert, Peer: p.said.Fingerprints, Suites: p.c.Suites, Proven: p.iced,
		Send: func(b []byte) { _, _ = p.c.Conn.WriteToUDPAddrPort(b, to) }, // what is lost is sent again
		Done: func(k dtls.Keys, err error) { p.shaken(n, k, err) },
	})
	p.hands = h
	return err
}

func (p *Peer) shaken(n int, k dtls.Keys, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n != p.shakes {
		return
	}
	if err != nil {
		p.stats.Err = err
		return
	}
	in, err1 := srtp.New(k.Suite, k.Theirs.Key, k.Theirs.Salt)
	out, err2 := srtp.New(k.Suite, k.Ours.Key, k.Ours.Salt)
	if err = errors.Join(err1, err2); err != nil {
		p.stats.Err = err
		return
	}
	p.in, p.out, p.win = in, out, srtp.Window{}
	p.stats.Suite = k.Suite
	p.stats.Handshakes++
}

// Run speaks until ctx ends: it checks, shakes hands, and sends audio as soon as there are keys. It closes the socket.
func (p *Peer) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 2048)
		for {
			n, from, err := p.c.Conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			p.take(b[:n], from)
		}
	}()
	frames, checks := time.NewTicker(frameEvery), time.NewTicker(checkEvery)
	defer frames.Stop()
	defer checks.Stop()
	slow := false
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-frames.C:
			p.frame()
		case <-checks.C:
			if paired := p.check(); paired != slow {
				slow = paired
				every := checkEvery
				if slow {
					every = consentEvery
				}
				checks.Reset(every)
			}
		}
	}
	p.c.Conn.Close()
	<-done
	p.mu.Lock()
	h := p.hands
	p.mu.Unlock()
	if h != nil {
		h.Close()
	}
	return nil
}

// check sends one; every one nominates, as browsers do toward a lite side.
func (p *Peer) check() (paired bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.iced && !p.stopped {
		_, _ = p.c.Conn.WriteToUDPAddrPort(Check(p.theirs, p.own.Ufrag, true), p.to)
	}
	return p.paired
}

// frame sends 20 ms of audio: the number of the packet, in 8 octets, and silence.
func (p *Peer) frame() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out == nil {
		return
	}
	b := make([]byte, 12, 12+frameSamples+srtp.Overhead)
	b[0], b[1] = 0x80, payloadPCMA
	binary.BigEndian.PutUint16(b[2:], uint16(p.seq))
	binary.BigEndian.PutUint32(b[4:], uint32(p.seq)*frameSamples)
	binary.BigEndian.PutUint32(b[8:], 0xb0b0)
	b = binary.BigEndian.AppendUint64(b, p.seq)
	b = append(b, make([]byte, frameSamples-8)...)
	b = p.out.SealRTP(b[:0], b, 12, p.seq)
	p.seq++
	if _, err := p.c.Conn.WriteToUDPAddrPort(b, p.to); err == nil {
		p.stats.Sent++
	}
}

// take is one datagram.
func (p *Peer) take(b []byte, from netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch ice.KindOf(b) {
	case ice.STUN:
		if Answered(b) {
			p.stats.Answered++
			if !p.paired {
				p.paired = true
				p.stats.Err = errors.Join(p.stats.Err, p.shake())
			}
		}
	case ice.DTLS:
		if p.hands != nil {
			p.hands.Feed(b)
		}
	case ice.RTP:
		p.open(b)
	}
}

func (p *Peer) open(b []byte) {
	if p.in == nil {
		p.stats.Unopened++
		return
	}
	indices, n := p.win.Candidates(binary.BigEndian.Uint16(b[2:]))
	for _, index := range indices[:n] {
		if _, ok := p.in.OpenRTP(make([]byte, 0, len(b)), b, 12, index); ok {
			p.win.Take(index)
			p.stats.Heard++
			return
		}
	}
	p.stats.Unopened++
}

// Stop ends its checks: a browser that is gone.
func (p *Peer) Stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
}

// Renew gives it another certificate: the next offer asks for another association.
func (p *Peer) Renew() error {
	cert, err := dtls.NewCertificate()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cert, p.role = cert, 0
	return err
}

// Restart has its next description restart ICE.
func (p *Peer) Restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.own = ice.NewCredentials()
}

// Stats are what it counted so far.
func (p *Peer) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stats
}

package carrier

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/cordonsip/cordon/sovereign"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v2"
)

// MediaStats are the figures of one call's audio. Sent and what follows from it are those of our own tone.
type MediaStats struct {
	Local, Remote netip.AddrPort
	Suite         string // "" for plain RTP
	Sent          int    // packets of our tone
	Received      int    // RTP packets that were accepted, whatever they carried
	Matched       int    // of our tone, echoed back intact, copies apart
	Lost          int    // Sent - Matched; what is still under way counts as lost
	Duplicates    int
	Echoed        int // packets we sent back
	Foreign       int // a tone that is not ours: of the other side, or of another call
	Corrupt       int // payload is no tone
	AuthFailed    int // SRTP refused it: forged, another key, or a replay
	WrongSource   int // not from the address of the SDP
	SSRCs         int // of the other side
	FaxSent       int // packets of our fax
	FaxMatched    int // of them, echoed back as they were
	FaxEchoed     int // of the other side's, that we sent back
	FirstEcho     time.Time
	LastEcho      time.Time
	MaxGap        time.Duration // longest time between two echoes
	RTTMin        time.Duration
	RTTMean       time.Duration
	RTTMax        time.Duration
	rttSum        time.Duration
}

// digitalMilliwatt is one period of 1 kHz at 0 dBm0 in A-law (ITU-T G.711 table 5).
var digitalMilliwatt = [8]byte{0x34, 0x21, 0x21, 0x34, 0xb4, 0xa1, 0xa1, 0xb4}

const (
	ptime      = 20 * time.Millisecond
	samples    = 160
	markerSize = 20 // nonce, number, time of sending
)

// rtpSocket is a pair of sockets, RTP and the RTCP port above it.
type rtpSocket struct{ rtp, rtcp sovereign.UDPConn }

// openRTP binds two neighbouring ports (RFC 3550 section 11: an even one for RTP).
func openRTP(n Net, a netip.Addr) (*rtpSocket, error) {
	var last error
	for range 50 {
		r, err := n.ListenUDP(netip.AddrPortFrom(a, 0))
		if err != nil {
			return nil, fmt.Errorf("carrier: RTP socket: %w", err)
		}
		port := r.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		if port%2 == 0 {
			c, err := n.ListenUDP(netip.AddrPortFrom(a, port+1))
			if err == nil {
				return &rtpSocket{r, c}, nil
			}
			last = err
		}
		_ = r.Close()
	}
	return nil, fmt.Errorf("carrier: no pair of RTP ports: %w", last)
}

func (s *rtpSocket) close() {
	_ = s.rtp.Close()
	_ = s.rtcp.Close()
}

// media is the audio of one call: it sends a tone that tells when it was sent, or echoes what comes.
type media struct {
	p     *Peer
	call  string
	tone  bool
	mute  bool
	nonce [8]byte
	stop  chan struct{}

	mu       sync.Mutex
	sock     *rtpSocket
	remote   netip.AddrPort
	before   netip.AddrPort // the remote before that: its last packets may be under way
	rx, tx   *srtp.Context
	rxKey    crypto
	txKey    crypto
	sending  bool
	faxing   bool
	faxSeq   uint16
	digits   digits
	started  bool
	closed   bool
	ssrc     uint32
	seq      uint16
	ts       uint32
	count    uint32
	seen     []bool // by number
	ssrcs    []uint32
	stats    MediaStats
	reported bool // wrong source, as a fault
	waiting  []waiter
}

// waiter is told when so many packets came back.
type waiter struct {
	matched int
	ch      chan struct{}
}

func (m *media) wait(matched int) <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := waiter{matched, make(chan struct{})}
	m.waiting = append(m.waiting, w)
	m.wake()
	return w.ch
}

// wake is called under m.mu when Matched has grown.
func (m *media) wake() {
	m.waiting = slices.DeleteFunc(m.waiting, func(w waiter) bool {
		if m.stats.Matched < w.matched {
			return false
		}
		close(w.ch)
		return true
	})
}

func (p *Peer) newMedia(c *Call, s *rtpSocket, tone bool) *media {
	m := &media{p: p, call: c.id, tone: tone, stop: make(chan struct{}), ssrc: p.number(), seq: uint16(p.number()), ts: p.number()}
	binary.BigEndian.PutUint32(m.nonce[:], p.number())
	binary.BigEndian.PutUint32(m.nonce[4:], p.number())
	m.move(s)
	return m
}

// move changes the socket; the old one is closed.
func (m *media) move(s *rtpSocket) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		s.close()
		return
	}
	if m.sock != nil {
		m.sock.close()
	}
	m.sock = s
	m.p.wg.Go(func() { m.read(s.rtp) })
	m.p.wg.Go(func() { m.read(s.rtcp) })
}

func (m *media) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.stop)
		m.sock.close()
	}
}

func (m *media) addr() netip.AddrPort {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.sock.rtp.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (m *media) suite() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.txKey.suite
}

func (m *media) snapshot() MediaStats {
	a := m.addr()
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Local, s.Remote, s.Suite, s.SSRCs = a, m.remote, m.txKey.suite, len(m.ssrcs)
	s.Lost = s.Sent - s.Matched
	if s.Matched > 0 {
		s.RTTMean = s.rttSum / time.Duration(s.Matched)
	}
	return s
}

// apply takes what was negotiated into force. Keys that stay keep their state, so that the rollover counter survives (RFC 3711 section 3.3.1).
func (m *media) apply(remote netip.AddrPort, ours, theirs crypto, dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if ours.suite == "" {
		m.rx, m.tx = nil, nil
	} else {
		if m.tx == nil || !slices.Equal(m.txKey.key, ours.key) {
			ctx, err := ours.context()
			if err != nil {
				return err
			}
			m.tx = ctx
		}
		if m.rx == nil || !slices.Equal(m.rxKey.key, theirs.key) {
			ctx, err := theirs.context()
			if err != nil {
				return err
			}
			m.rx = ctx
		}
	}
	if remote != m.remote {
		m.before = m.remote
	}
	m.rxKey, m.txKey, m.remote, m.faxing = theirs, ours, remote, false
	m.sending = dir == sendrecv || dir == sendonly && !m.tone
	if m.tone && !m.started {
		m.started = true
		m.p.wg.Go(m.play)
	}
	return nil
}

// play sends the tone until the call ends.
func (m *media) play() {
	t := time.NewTicker(m.p.cfg.Pace)
	defer t.Stop()
	for {
		m.mu.Lock()
		switch {
		case m.faxing && !m.closed && !m.mute:
			m.page()
		case m.dial(): // a digit takes the tone's place
		case m.sending && !m.closed && !m.mute:
			payload := make([]byte, samples)
			for i := range payload {
				payload[i] = digitalMilliwatt[i%8]
			}
			copy(payload, m.nonce[:])
			binary.BigEndian.PutUint32(payload[8:], m.count)
			binary.BigEndian.PutUint64(payload[12:], uint64(time.Now().UnixNano()))
			m.count++
			m.seen = append(m.seen, false)
			m.stats.Sent++
			m.send(payload, pcma, m.stats.Sent == 1)
		}
		m.mu.Unlock()
		select {
		case <-t.C:
		case <-m.stop:
			return
		}
	}
}

// send writes one packet. Under m.mu.
func (m *media) send(payload []byte, pt uint8, marker bool) {
	pkt := rtp.Packet{
		Header:  rtp.Header{Version: 2, Marker: marker, PayloadType: pt, SequenceNumber: m.seq, Timestamp: m.ts, SSRC: m.ssrc},
		Payload: payload,
	}
	m.seq++
	m.ts += samples
	b, err := pkt.Marshal()
	if err == nil && m.tx != nil {
		b, err = m.tx.EncryptRTP(nil, b, nil)
	}
	if err != nil || !m.remote.IsValid() || m.remote.Port() == 0 || m.p.lose() {
		return
	}
	if write(m.sock.rtp, b, m.remote) == nil {
		m.p.rtpTx.Add(1)
	}
}

func (m *media) read(c sovereign.UDPConn) {
	b := make([]byte, 2048)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || m.p.lose() {
			continue
		}
		m.take(c, netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), b[:n])
	}
}

// take handles one packet.
func (m *media) take(c sovereign.UDPConn, from netip.AddrPort, b []byte) {
	m.mu.Lock()
	fault := m.accept(c, from, b)
	m.mu.Unlock()
	if fault != "" {
		m.p.mu.Lock()
		m.p.fault("media of call %s: %s", m.call, fault)
		m.p.mu.Unlock()
	}
}

// accept gives a fault to report, or "". Under m.mu.
func (m *media) accept(c sovereign.UDPConn, from netip.AddrPort, b []byte) string {
	if m.faxing && !m.closed {
		return m.paged(c, from, b)
	}
	if m.closed || len(b) < 12 || b[0]>>6 != 2 {
		return ""
	}
	if pt := b[1] & 0x7f; c == m.sock.rtcp || pt >= 64 && pt < 96 { // RFC 5761 section 4
		m.p.rtcpRx.Add(1)
		return ""
	}
	if from != m.remote {
		m.stats.WrongSource++
		if m.remote.IsValid() && from != m.before && !m.reported {
			m.reported = true
			return fmt.Sprintf("RTP from %v, the SDP says %v", from, m.remote)
		}
		return ""
	}
	if m.rx != nil {
		d, err := m.rx.DecryptRTP(nil, b, nil)
		if err != nil {
			m.stats.AuthFailed++
			return ""
		}
		b = d
	}
	var pkt rtp.Packet
	if err := pkt.Unmarshal(b); err != nil {
		return fmt.Sprintf("RTP: %v", err)
	}
	m.p.rtpRx.Add(1)
	m.stats.Received++
	if !slices.Contains(m.ssrcs, pkt.SSRC) && len(m.ssrcs) < 1000 {
		m.ssrcs = append(m.ssrcs, pkt.SSRC)
	}
	if pkt.PayloadType == telEvent {
		return m.hear(&pkt)
	}
	if pkt.PayloadType != pcma {
		return fmt.Sprintf("payload type %d was not negotiated", pkt.PayloadType)
	}
	if m.tone {
		m.match(pkt.Payload)
	} else if m.sending && !m.mute {
		m.stats.Echoed++
		m.send(pkt.Payload, pkt.PayloadType, pkt.Marker)
	}
	return ""
}

// match looks for our own tone in what came back.
func (m *media) match(b []byte) {
	if len(b) != samples {
		m.stats.Corrupt++
		return
	}
	for i := markerSize; i < len(b); i++ {
		if b[i] != digitalMilliwatt[i%8] {
			m.stats.Corrupt++
			return
		}
	}
	n := binary.BigEndian.Uint32(b[8:])
	switch {
	case [8]byte(b) != m.nonce || n >= m.count:
		m.stats.Foreign++
		return
	case m.seen[n]:
		m.stats.Duplicates++
		return
	}
	m.seen[n] = true
	s, now := &m.stats, time.Now()
	rtt := now.Sub(time.Unix(0, int64(binary.BigEndian.Uint64(b[12:]))))
	if s.Matched == 0 || rtt < s.RTTMin {
		s.RTTMin = rtt
	}
	s.RTTMax = max(s.RTTMax, rtt)
	s.rttSum += rtt
	if s.Matched == 0 {
		s.FirstEcho = now
	} else {
		s.MaxGap = max(s.MaxGap, now.Sub(s.LastEcho))
	}
	s.LastEcho = now
	s.Matched++
	m.wake()
}

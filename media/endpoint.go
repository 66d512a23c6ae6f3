package media

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"sync"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

// Frames of an Endpoint: G.711 A-law, 20 ms.
const (
	frameTime    = 20 * time.Millisecond
	frameSamples = 160
	payloadPCMA  = 8
	markerEvery  = 50     // frames: one marker per second
	reportEvery  = 250    // frames between sender reports; the first comes after half a second
	markerHz     = 2004.0 // far from the tone and from its harmonics
)

// Tone says what an Endpoint sends.
type Tone struct {
	Hz   float64 // 0 means 1004 Hz
	Echo bool    // send back what came instead of a tone; Run is not needed then, and nothing comes late
}

// Endpoint is one party of a call by itself: it speaks SDP, sends a tone and measures what comes back. Synthetic calls and tests use it.
// Its packets pass the same fence, keys and latching as those of a relayed call.
type Endpoint struct {
	relay *Relay
	of    *Relay // whose lot it shares; nil: nobody's
	s     *Session
	leg   *leg
	tone  Tone
	ssrc  uint32

	mu    sync.Mutex
	rec   EndpointReport
	probe time.Time // when the last marker left; zero after it came back
	heard time.Time // when the last frame came; zero before the first
	over  bool      // nothing is listened to any more
	back  uint32    // extended sequence number of what was sent back last; 0 before the first
}

// EndpointReport is what an Endpoint measured.
type EndpointReport struct {
	Side   SideReport // counters, loss, jitter, far end
	Sent   uint64
	Frames uint64        // G.711 frames that were listened to
	Heard  uint64        // of them, frames that hold the tone
	Echo   time.Duration // the last round trip of a marker through a far end that sends everything back; 0 unknown
	Gap    time.Duration // the longest time between two frames, or from the last one to the end of Run
}

// NewEndpoint opens the sockets of an endpoint whose far end is l. Only PCMA is spoken. Of c everything but Metrics
// counts: an endpoint is not part of the relay's figures.
func NewEndpoint(c Config, l Leg, t Tone) (*Endpoint, error) {
	if l.Security == DTLS || l.ICE {
		return nil, errors.New("media: an endpoint speaks neither DTLS-SRTP nor ICE")
	}
	c.Metrics, c.Plane, c.Workers = nil, nil, 1
	r, err := New(c)
	if err != nil {
		return nil, err
	}
	if t.Hz == 0 {
		t.Hz = 1004
	}
	s, err := r.Open("endpoint", l)
	if err != nil {
		return nil, err
	}
	e := &Endpoint{relay: r, s: s, tone: t, ssrc: random32()}
	s.sink = e.take
	if err := s.start(A, true); err != nil {
		s.Close()
		return nil, err
	}
	e.leg = s.legs[A].Load()
	return e, nil
}

// speaks is what an endpoint can do.
func speaks() *remote {
	return &remote{lines: []line{{kind: "audio", proto: protoAVP, formats: []string{"8"}}}, line: line{
		formats: []string{"8"}, dir: sendrecv, mux: true,
		attrs: []attr{{"rtpmap", "8 PCMA/8000"}, {"ptime", "20"}},
	}}
}

// Offer is the endpoint's offer.
func (e *Endpoint) Offer() ([]byte, error) {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	lines, ref := e.s.relayed(speaks(), e.leg, true)
	if ref != nil {
		return nil, ref
	}
	return e.leg.write(lines), nil
}

// Accept takes the answer to Offer; it may be called again for a later one. The error is a *Refusal when the answer can't be honoured.
func (e *Endpoint) Accept(answer []byte) error {
	_, err := e.hear(answer, 0)
	return err
}

// Answer takes an offer and gives the answer. The error is a *Refusal when the offer can't be honoured.
func (e *Endpoint) Answer(offer []byte) ([]byte, error) {
	rem, err := e.hear(offer, -1)
	if err != nil {
		return nil, err
	}
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	lines := make([]line, 0, len(rem.lines))
	for i := range rem.lines {
		lines = append(lines, rem.lines[i].refused())
	}
	if !rem.off {
		ours := speaks()
		// RFC 3264 section 6.1: the answer mirrors the direction of the offer.
		ours.line.dir = mirror(rem.toward())
		lines[rem.audio] = e.leg.reply(rem, ours)
	}
	return e.leg.write(lines), nil
}

func mirror(d direction) direction {
	switch d {
	case sendonly:
		return recvonly
	case recvonly:
		return sendonly
	}
	return d
}

// hear puts what the far end said in force.
func (e *Endpoint) hear(text []byte, audio int) (*remote, error) {
	e.s.mu.Lock()
	defer e.s.mu.Unlock()
	d, ref := parseSDP(text)
	if ref != nil {
		return nil, ref
	}
	cause := "offer"
	if audio >= 0 {
		cause = "answer"
	}
	rem, ref := e.s.consider(A, &d, audio, cause)
	if ref != nil {
		return nil, ref
	}
	if rem.off {
		e.leg.silence(rem)
		return rem, nil
	}
	clocks := rem.line.clocks(nil)
	if clocks.of(payloadPCMA).name != "PCMA" {
		return nil, refuse(305, "the endpoint speaks PCMA only")
	}
	return rem, e.leg.commit(rem, clocks, "PCMA", cause)
}

// Run sends the tone until ctx ends, and takes what a drill has come late.
func (e *Endpoint) Run(ctx context.Context) error {
	if e.tone.Echo {
		<-ctx.Done()
		return nil
	}
	defer e.hush()
	late := make(chan error, 1)
	go func() { late <- e.relay.own.Run(ctx) }()
	defer func() { <-late }()
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	seq := random32() >> 17 // below 2^15, so that the first rollover can't be mistaken: RFC 3711 section 3.3.1
	ts := random32()
	for n, start := 0, time.Now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		// A late tick is made up for: the far end plays 50 frames a second, whatever the scheduler does here.
		for ; time.Duration(n+1)*frameTime <= time.Since(start); n++ {
			e.frame(seq+uint32(n), ts, n)
			ts += frameSamples
		}
	}
}

// hush ends the listening.
func (e *Endpoint) hush() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.gap(time.Now())
	e.over = true
}

// gap takes a moment at which something was heard, or the end. The caller holds e.mu.
func (e *Endpoint) gap(now time.Time) {
	if !e.heard.IsZero() && !e.over {
		e.rec.Gap = max(e.rec.Gap, now.Sub(e.heard))
	}
	e.heard = now
}

// frame sends the n-th frame.
func (e *Endpoint) frame(seq, ts uint32, n int) {
	hz := e.tone.Hz
	marker := n%markerEvery == markerEvery/2
	if marker {
		hz = markerHz
	}
	var b [12 + frameSamples]byte
	encodeTone(b[12:], hz, n*frameSamples)
	first := n == 0
	e.mu.Lock()
	if marker {
		e.probe = time.Now()
	}
	e.rec.Sent++
	sent := uint32(e.rec.Sent)
	e.mu.Unlock()
	rtpHeader(b[:], uint16(seq), ts, e.ssrc, first)
	e.relay.own.Emit(e.leg.ref, b[:], seq, first)
	if n%reportEvery == markerEvery/2 {
		e.relay.own.Report(e.leg.ref, e.ssrc, ts, sent, sent*frameSamples)
	}
}

// rtpHeader writes the fixed part, RFC 3550 section 5.1.
func rtpHeader(b []byte, seq uint16, ts, ssrc uint32, marker bool) {
	b[0], b[1] = 0x80, payloadPCMA
	if marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], seq)
	binary.BigEndian.PutUint32(b[4:], ts)
	binary.BigEndian.PutUint32(b[8:], ssrc)
}

// take listens to one packet, and sends it back if the endpoint is an echo. It is the sink of its leg.
func (e *Endpoint) take(t plane.Turn, payload []byte, h plane.Header) {
	if e.tone.Echo {
		e.echo(t, payload, h)
		return
	}
	if h.PT != payloadPCMA || len(payload) < frameSamples {
		return
	}
	tone, marker := share(payload, e.tone.Hz), share(payload, markerHz)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.rec.Frames++
	if !e.over {
		e.gap(t.Now())
	}
	switch {
	case tone > 0.5:
		e.rec.Heard++
	case marker > 0.5:
		e.rec.Heard++
		if !e.probe.IsZero() {
			e.rec.Echo = t.Now().Sub(e.probe)
			e.probe = time.Time{}
		}
	}
}

// echo returns a packet under the endpoint's own SSRC and numbers.
func (e *Endpoint) echo(t plane.Turn, payload []byte, h plane.Header) {
	first := e.back == 0
	if e.back++; first {
		e.back = max(uint32(h.Seq&0x7fff), 1)
	}
	var room [2048]byte
	b := room[:12+copy(room[12:], payload)]
	rtpHeader(b, uint16(e.back), h.TS, e.ssrc, first)
	b[1] = h.PT
	t.Back(b, e.back, first)
	e.mu.Lock()
	e.rec.Sent++
	e.mu.Unlock()
}

func random32() uint32 {
	var b [4]byte
	rand.Read(b[:]) // never fails, by its contract
	return binary.BigEndian.Uint32(b[:])
}

// Report is what was measured so far.
func (e *Endpoint) Report() EndpointReport {
	side := e.s.Report().Sides[A]
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.rec
	r.Side = side
	return r
}

// Close frees the sockets and gives the last report. Run must have ended, or end soon.
func (e *Endpoint) Close() EndpointReport {
	e.s.Close()
	if e.of != nil {
		e.of.over(e)
	}
	return e.Report()
}

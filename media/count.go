package media

import (
	"encoding/binary"
	"math"
	"sync/atomic"
	"time"
)

// header is what the relay reads of an RTP header, RFC 3550 section 5.1.
type header struct {
	base   int // fixed part and CSRCs
	full   int // with the header extension
	pt     uint8
	marker bool
	seq    uint16
	ts     uint32
	ssrc   uint32
}

func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < 12 || b[0]>>6 != 2 {
		return h, false
	}
	h.base = 12 + 4*int(b[0]&15)
	h.full = h.base
	if b[0]&0x10 != 0 {
		if len(b) < h.base+4 {
			return h, false
		}
		h.full += 4 + 4*int(binary.BigEndian.Uint16(b[h.base+2:]))
	}
	if len(b) < h.full {
		return h, false
	}
	h.marker, h.pt = b[1]&0x80 != 0, b[1]&0x7f
	h.seq = binary.BigEndian.Uint16(b[2:])
	h.ts = binary.BigEndian.Uint32(b[4:])
	h.ssrc = binary.BigEndian.Uint32(b[8:])
	return h, true
}

// bare removes the header extension: none was negotiated (extmap does not cross), and what it carries may name the other side.
func bare(b []byte, h header) []byte {
	if h.full == h.base {
		return b
	}
	copy(b[h.full-h.base:h.full], b[:h.base])
	b = b[h.full-h.base:]
	b[0] &^= 0x10
	return b
}

// isRTCP tells the two apart on one port, RFC 5761 section 4.
func isRTCP(b []byte) bool { return len(b) >= 2 && b[1] >= 192 && b[1] <= 223 }

// RFC 3550 appendix A.1.
const (
	maxDropout  = 3000
	maxMisorder = 100
	seqMod      = 1 << 16
	maxSources  = 8
)

// source is one SSRC of a side, RFC 3550 appendices A.1, A.3 and A.8. The first packet counts at once: the probation of A.1 protects
// receivers from stray packets, and here the source address was admitted already.
type source struct {
	ssrc     uint32
	first    uint32 // extended
	ext      uint32 // highest extended sequence number
	bad      uint32 // A.1: the sequence number that would confirm a restart
	received uint32
	gaps     uint32 // runs of missing packets, for the burst ratio
	transit  int64
	timed    bool
	jitter   float64 // in time stamp units
	used     uint64
}

// verdict of the sequence number of one packet.
type verdict struct {
	ext   uint32
	fresh bool // a new source, or one that started anew
	stray bool // far off, and not yet confirmed to be a restart
}

func (s *source) restart(seq uint16) {
	*s = source{ssrc: s.ssrc, first: uint32(seq), ext: uint32(seq), bad: seqMod + 1, received: 1, used: s.used}
}

// take updates the sequence state, A.1.
func (s *source) take(seq uint16) verdict {
	delta := seq - uint16(s.ext)
	switch {
	case delta == 0:
		s.received++
		return verdict{ext: s.ext}
	case delta < maxDropout:
		s.ext += uint32(delta)
		s.received++
		if delta > 1 {
			s.gaps++
		}
		return verdict{ext: s.ext}
	case delta <= seqMod-maxMisorder:
		if uint32(seq) == s.bad {
			s.restart(seq)
			return verdict{ext: uint32(seq), fresh: true}
		}
		s.bad = uint32(seq + 1)
		return verdict{stray: true}
	default:
		s.received++
		return verdict{ext: s.ext - uint32(-delta)}
	}
}

// time updates the jitter, A.8. now is the arrival.
func (s *source) time(now time.Time, ts, rate uint32) {
	arrival := uint32(now.UnixMicro() * int64(rate) / 1e6)
	transit := int64(int32(arrival - ts))
	if s.timed {
		d := math.Abs(float64(int32(transit - s.transit)))
		s.jitter += (d - s.jitter) / 16
	}
	s.transit, s.timed = transit, true
}

// lost is the cumulative number of packets lost, A.3. Duplicates make it negative.
func (s *source) lost() int64 {
	return int64(s.ext) - int64(s.first) + 1 - int64(s.received)
}

// counters of what came from one side. The goroutine that reads the RTP socket writes, anyone reads.
type counters struct {
	sources  []*source // the current one first in use; owned by the reader
	current  *source
	turn     uint64
	pastLost int64 // of sources that were dropped or started anew
	pastGaps uint32

	packets, bytes, refused, tx atomic.Uint64
	lost                        atomic.Int64
	gaps                        atomic.Uint32
	jitter                      atomic.Int64 // ns
	first, last                 atomic.Int64 // unix ns
	rtt                         atomic.Int64 // ns
	txLost                      atomic.Int64
}

// count takes one admitted and, with SRTP, authenticated packet of n bytes.
func (c *counters) count(h header, n int, now time.Time, ck pace) verdict {
	s, v := c.find(h)
	if !v.stray && !v.fresh {
		before := *s
		v = s.take(h.seq)
		if v.fresh {
			c.pastLost += before.lost()
			c.pastGaps += before.gaps
		}
	}
	c.packets.Add(1)
	c.bytes.Add(uint64(n))
	at := now.UnixNano()
	c.last.Store(at)
	if c.packets.Load() == 1 {
		c.first.Store(at)
	}
	if v.stray {
		return v
	}
	if ck.rate > 0 && !ck.event {
		s.time(now, h.ts, ck.rate)
		c.jitter.Store(int64(s.jitter * float64(time.Second) / float64(ck.rate)))
	}
	lost, gaps := c.pastLost, c.pastGaps
	for _, s := range c.sources {
		lost += s.lost()
		gaps += s.gaps
	}
	c.lost.Store(lost)
	c.gaps.Store(gaps)
	return v
}

// find gives the source of h; a new one is fresh and holds its first packet already.
func (c *counters) find(h header) (*source, verdict) {
	c.turn++
	if c.current == nil || c.current.ssrc != h.ssrc {
		c.current = nil
		for _, s := range c.sources {
			if s.ssrc == h.ssrc {
				c.current = s
			}
		}
	}
	if c.current != nil {
		c.current.used = c.turn
		return c.current, verdict{}
	}
	s := &source{ssrc: h.ssrc}
	s.restart(h.seq)
	s.used = c.turn
	c.current = s
	if len(c.sources) < maxSources {
		c.sources = append(c.sources, s)
		return s, verdict{ext: s.ext, fresh: true}
	}
	old := 0
	for i, o := range c.sources {
		if o.used < c.sources[old].used {
			old = i
		}
	}
	c.pastLost += c.sources[old].lost()
	c.pastGaps += c.sources[old].gaps
	c.sources[old] = s
	return s, verdict{ext: s.ext, fresh: true}
}

// minRated is how many packets an estimate of quality needs: one second of 20 ms frames.
const minRated = 50

// impairment of a codec for the E-model: equipment impairment Ie and packet-loss robustness Bpl.
type impairment struct{ ie, bpl float64 }

// impairmentOf takes its figures from ITU-T G.113 appendix I (G.711 with the concealment of its appendix I; G.729A). G.113 has none
// for Opus: it is rated like G.711 with concealment, which is the most that a narrow-band scale can say of it.
func impairmentOf(codec string) (impairment, bool) {
	switch codec {
	case "PCMU", "PCMA", "OPUS":
		return impairment{0, 25.1}, true
	case "G729":
		return impairment{11, 19}, true
	}
	return impairment{}, false
}

// mos is the estimate of ITU-T G.107 with its default values, for what a listener gets:
//
//	R      = 93.2 - Id - Ie,eff
//	Id     = 0.024 d + 0.11 (d - 177.3) H(d - 177.3)      d one-way delay in ms (the usual linear form of G.107's Idd)
//	Ie,eff = Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl)    Ppl lost packets in percent
//	MOS    = 1 + 0.035 R + R (R - 60) (100 - R) 7e-6      clamped to 1 .. 4.5
//
// d is half the round trip, twice the jitter (the play-out buffer) and one 20 ms frame. BurstR is the mean length of the runs of lost
// packets over what independent losses would give. 0 means unknown.
func mos(codec string, packets uint64, lost int64, gaps uint32, jitter, rtt time.Duration) float64 {
	im, ok := impairmentOf(codec)
	if !ok || packets < minRated {
		return 0
	}
	lost = max(lost, 0)
	p := float64(lost) / float64(lost+int64(packets))
	burst := 1.0
	if gaps > 0 && p < 1 {
		burst = max(1, float64(lost)/float64(gaps)*(1-p))
	}
	d := (rtt/2+2*jitter).Seconds()*1000 + 20
	id := 0.024 * d
	if d > 177.3 {
		id += 0.11 * (d - 177.3)
	}
	r := 93.2 - id - (im.ie + (95-im.ie)*100*p/(100*p/burst+im.bpl))
	r = min(max(r, 0), 100)
	return min(max(1+0.035*r+r*(r-60)*(100-r)*7e-6, 1), 4.5)
}

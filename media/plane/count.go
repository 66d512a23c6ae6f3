package plane

import (
	"encoding/binary"
	"math"
	"time"
)

// Header is what is read of an RTP header, RFC 3550 section 5.1.
type Header struct {
	Base   int // fixed part and CSRCs
	Full   int // with the header extension
	PT     uint8
	Marker bool
	Seq    uint16
	TS     uint32
	SSRC   uint32
}

// ParseHeader reads the header of an RTP packet; false when it is none.
func ParseHeader(b []byte) (h Header, ok bool) {
	if len(b) < 12 || b[0]>>6 != 2 {
		return h, false
	}
	h.Base = 12 + 4*int(b[0]&15)
	h.Full = h.Base
	if b[0]&0x10 != 0 {
		if len(b) < h.Base+4 {
			return h, false
		}
		h.Full += 4 + 4*int(binary.BigEndian.Uint16(b[h.Base+2:]))
	}
	if len(b) < h.Full {
		return h, false
	}
	h.Marker, h.PT = b[1]&0x80 != 0, b[1]&0x7f
	h.Seq = binary.BigEndian.Uint16(b[2:])
	h.TS = binary.BigEndian.Uint32(b[4:])
	h.SSRC = binary.BigEndian.Uint32(b[8:])
	return h, true
}

// bare removes the header extension: none was negotiated (extmap does not cross), and what it carries may name the other side.
func bare(b []byte, h Header) []byte {
	if h.Full == h.Base {
		return b
	}
	copy(b[h.Full-h.Base:h.Full], b[:h.Base])
	b = b[h.Full-h.Base:]
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
	// plainSources are told apart where nobody authenticates them. There is room for them from the beginning: who forges packets makes no memory grow.
	plainSources = 4
)

// source is one SSRC of a far end, RFC 3550 appendices A.1, A.3 and A.8. The first packet counts at once: the probation of A.1 protects
// receivers from stray packets, and here the source address was admitted already.
type source struct {
	on       bool
	timed    bool
	pt       uint8  // of the last packet that
	rate     uint32 // was timed at that clock; 0: none was
	ssrc     uint32
	first    uint32 // extended
	ext      uint32 // highest extended sequence number
	bad      uint32 // A.1: the sequence number that would confirm a restart
	received uint32
	gaps     uint32 // runs of missing packets, for the burst ratio
	transit  uint32
	passed   uint32  // packets that went to the leg that this one is joined to, and
	octets   uint32  // their payload; padding, of which voice has none, counts with it
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
	*s = source{on: true, pt: s.pt, rate: s.rate, ssrc: s.ssrc, first: uint32(seq), ext: uint32(seq), bad: seqMod + 1, received: 1, used: s.used}
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

// time updates the jitter, A.8. now is the arrival, in unix ns.
func (s *source) time(now int64, ts, rate uint32) {
	transit := stamp(now, rate) - ts
	if s.timed {
		d := math.Abs(float64(int32(transit - s.transit)))
		s.jitter += (d - s.jitter) / 16
	}
	s.transit, s.timed = transit, true
}

// stamp is a moment, in unix ns, on a clock of that rate.
func stamp(at int64, rate uint32) uint32 { return uint32(at / 1000 * int64(rate) / 1e6) }

// lost is the cumulative number of packets lost, A.3. Duplicates make it negative.
func (s *source) lost() int64 {
	return int64(s.ext) - int64(s.first) + 1 - int64(s.received)
}

// tally counts one admitted and, with SRTP, authenticated packet of n bytes.
func (s *slot) tally(o *beside, h Header, n int, now int64) verdict {
	v := s.find(o, h)
	c := &s.current
	if !v.fresh {
		lost, gaps := c.lost(), c.gaps
		if v = c.take(h.Seq); v.fresh {
			s.lostPast += lost
			s.gapsPast += gaps
		}
	}
	s.packets++
	s.bytes += uint64(n)
	s.tallies.last = now
	if s.packets == 1 {
		s.first = now
	}
	if v.stray {
		return v
	}
	if c.rate > 0 && c.pt == h.PT {
		c.time(now, h.TS, c.rate)
	} else if ck := o.clock(h.PT); ck.Rate > 0 && !ck.Event {
		c.pt, c.rate = h.PT, ck.Rate
		c.time(now, h.TS, ck.Rate)
	}
	return v
}

// shake is the jitter as a time.
func (s *source) shake() time.Duration {
	if s.rate == 0 {
		return 0
	}
	return time.Duration(s.jitter * float64(time.Second) / float64(s.rate))
}

// furnish makes room for the sources of a leg that nobody authenticates, once in a slot.
func (o *beside) furnish() {
	if o.sources == nil {
		o.sources = make([]source, 0, plainSources-1)
	}
}

// find makes the source of h the current one; a new one is fresh and holds its first packet already.
func (s *slot) find(o *beside, h Header) verdict {
	c := &s.current
	if c.on && c.ssrc == h.SSRC {
		return verdict{}
	}
	o.turn++
	c.used = o.turn
	if c.on {
		s.lostPast += c.lost()
		s.gapsPast += c.gaps
	}
	for i := range o.sources {
		if o.sources[i].ssrc == h.SSRC {
			o.sources[i], *c = *c, o.sources[i]
			s.lostPast -= c.lost()
			s.gapsPast -= c.gaps
			return verdict{}
		}
	}
	most := plainSources
	if s.flags&flagOpens != 0 {
		most = maxSources
	}
	if c.on && len(o.sources) < most-1 {
		o.sources = append(o.sources, *c)
	} else if c.on {
		old := 0
		for i := range o.sources {
			if o.sources[i].used < o.sources[old].used {
				old = i
			}
		}
		o.sources[old] = *c
	}
	*c = source{ssrc: h.SSRC}
	c.restart(h.Seq)
	return verdict{ext: c.ext, fresh: true}
}

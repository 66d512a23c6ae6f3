package quality

import (
	"encoding/binary"
	"errors"
	"time"
)

// XR is what an extended report said, RFC 3611. Blocks of other types are skipped; of one type that comes several times the last one counts, but for the
// answers of DLRR, of which the first few are kept.
type XR struct {
	SSRC    uint32
	Has     Blocked
	Clock   uint64 // receiver reference time: NTP time of the sender, section 4.4
	Answers [4]Answer
	Answer  int // how many of them there are
	Summary Statistics
	VoIP    VoIP
}

// Blocked says which blocks there were, as a set.
type Blocked uint8

// The blocks.
const (
	HasClock Blocked = 1 << iota
	HasAnswers
	HasSummary
	HasVoIP
)

// Answer is a sub-block of DLRR, section 4.5: with it a receiver learns its round trip.
type Answer struct{ SSRC, LRR, DLRR uint32 }

// Statistics are the statistics summary block, section 4.6. Loss, Jitter and Hops say which of the figures were given.
type Statistics struct {
	SSRC                                       uint32
	Begin, End                                 uint16 // sequence numbers, End not included
	Lost, Duplicates                           uint32
	JitterMin, JitterMax, JitterMean, JitterSD uint32 // time stamp units
	HopsMin, HopsMax, HopsMean, HopsSD         uint8  // TTL or hop limit
	Loss, Twice, Jitter                        bool
	Hops                                       uint8 // 1 IPv4 TTL, 2 IPv6 hop limit, 0 not given
}

// VoIP are the VoIP metrics, section 4.7. Unavailable figures are as the wire has them: Unavailable for levels and ratings.
type VoIP struct {
	SSRC                              uint32
	Loss, Discard                     uint8 // of 256
	BurstDensity, GapDensity          uint8 // of 256
	BurstDuration, GapDuration        time.Duration
	RoundTrip, EndSystem              time.Duration
	Signal, Noise                     int8  // dBm0
	EchoLoss                          uint8 // residual echo return loss, dB
	Gmin                              uint8
	R, ExtR                           uint8 // 0 to 100
	MOSLQ, MOSCQ                      uint8 // in tenths, 10 to 50
	Config                            uint8 // concealment, jitter buffer
	BufferNow, BufferMax, BufferBound time.Duration
}

// Unavailable is what stands for a rating, score or level that is not known.
const Unavailable = 127

// Score of the far end's own judgement, with conversational quality first; the zero Score when it has none.
func (v *VoIP) Score() Score {
	var s Score
	if v.R <= 100 {
		s.R = float32(v.R)
	}
	mos := v.MOSCQ
	if mos < 10 || mos > 50 {
		mos = v.MOSLQ
	}
	if mos >= 10 && mos <= 50 {
		s.MOS = float32(mos) / 10
	}
	return s
}

// Why an extended report is refused.
var (
	ErrNotXR = errors.New("quality: not an extended report")
	ErrCut   = errors.New("quality: an extended report is cut short")
	ErrBlock = errors.New("quality: a block of an extended report has a wrong length")
)

// Block types, RFC 3611 section 4.
const (
	blockClock   = 4
	blockAnswers = 5
	blockSummary = 6
	blockVoIP    = 7
)

// ParseXR reads one extended report as Next gives it, header included. Nothing of b is kept.
func ParseXR(b []byte, x *XR) error {
	*x = XR{}
	if len(b) < 4 || b[0]>>6 != 2 || b[1] != TypeXR {
		return ErrNotXR
	}
	if len(b) < 8 {
		return ErrCut
	}
	x.SSRC = binary.BigEndian.Uint32(b[4:])
	for b = b[8:]; len(b) > 0; {
		if len(b) < 4 {
			return ErrCut
		}
		n := 4 + 4*int(binary.BigEndian.Uint16(b[2:]))
		if n > len(b) {
			return ErrCut
		}
		if !x.block(b[0], b[1], b[4:n]) {
			return ErrBlock
		}
		b = b[n:]
	}
	return nil
}

// block reads one block: its type, the byte that is the type's own, and what is behind its header. False for a length that the type does not have: RFC 3611 section 4 fixes it.
func (x *XR) block(kind, own byte, b []byte) bool {
	switch kind {
	case blockClock:
		if len(b) != 8 {
			return false
		}
		x.Has, x.Clock = x.Has|HasClock, binary.BigEndian.Uint64(b)
	case blockAnswers:
		if len(b)%12 != 0 {
			return false
		}
		for ; len(b) > 0 && x.Answer < len(x.Answers); b = b[12:] {
			x.Answers[x.Answer] = Answer{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])}
			x.Answer++
			x.Has |= HasAnswers
		}
	case blockSummary:
		if len(b) != 36 {
			return false
		}
		x.Has, x.Summary = x.Has|HasSummary, statistics(own, b)
	case blockVoIP:
		if len(b) != 32 {
			return false
		}
		x.Has, x.VoIP = x.Has|HasVoIP, voip(b)
	}
	return true
}

func statistics(own byte, b []byte) Statistics {
	be := binary.BigEndian
	s := Statistics{
		SSRC: be.Uint32(b), Begin: be.Uint16(b[4:]), End: be.Uint16(b[6:]),
		Loss: own&0x80 != 0, Twice: own&0x40 != 0, Jitter: own&0x20 != 0, Hops: own >> 3 & 3,
	}
	// Section 4.6: figures without their flag are to be ignored.
	if s.Loss {
		s.Lost = be.Uint32(b[8:])
	}
	if s.Twice {
		s.Duplicates = be.Uint32(b[12:])
	}
	if s.Jitter {
		s.JitterMin, s.JitterMax, s.JitterMean, s.JitterSD = be.Uint32(b[16:]), be.Uint32(b[20:]), be.Uint32(b[24:]), be.Uint32(b[28:])
	}
	if s.Hops == 3 {
		s.Hops = 0 // reserved
	}
	if s.Hops != 0 {
		s.HopsMin, s.HopsMax, s.HopsMean, s.HopsSD = b[32], b[33], b[34], b[35]
	}
	return s
}

func voip(b []byte) VoIP {
	ms := func(at int) time.Duration {
		return time.Duration(binary.BigEndian.Uint16(b[at:])) * time.Millisecond
	}
	return VoIP{
		SSRC: binary.BigEndian.Uint32(b), Loss: b[4], Discard: b[5], BurstDensity: b[6], GapDensity: b[7],
		BurstDuration: ms(8), GapDuration: ms(10), RoundTrip: ms(12), EndSystem: ms(14),
		Signal: int8(b[16]), Noise: int8(b[17]), EchoLoss: b[18], Gmin: b[19], R: b[20], ExtR: b[21], MOSLQ: b[22], MOSCQ: b[23],
		Config: b[24], BufferNow: ms(26), BufferMax: ms(28), BufferBound: ms(30),
	}
}

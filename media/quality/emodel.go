package quality

import (
	"math"
	"time"
)

// Codec is what the E-model knows of a codec. The zero Codec cannot be rated.
type Codec struct {
	Ie    float32 // equipment impairment without loss
	Bpl   float32 // robustness against lost packets
	Delay float32 // ms that framing and look-ahead take
}

// CodecOf gives the figures for an encoding name of RTP (RFC 3551, 4855), in capitals. False where nobody published both Ie and Bpl for the narrow-band scale: such a call is
// counted, not rated. G.726 and GSM have an Ie but no Bpl in G.113, iLBC neither, and the mode that AMR speaks in is not known from outside.
//
// ITU-T G.113 appendix I: G.711 with the concealment of its own appendix I; G.729A and G.723.1 at 6.3 kbit/s with silence suppression; GSM EFR. G.113 rates
// G.722 for the wide-band scale alone (G.107.1, where G.711 without a flaw stands at 93 of 129), and Opus for the full-band one. Figures of three scales cannot be compared or held
// against one threshold, so all calls stand on the narrow-band scale: both reach its upper end and lose like G.711 with concealment, which is the most that this scale can say of them.
func CodecOf(name string) (Codec, bool) {
	switch name {
	case "PCMU", "PCMA":
		return Codec{0, 25.1, 20}, true
	case "G722":
		return Codec{0, 25.1, 21.5}, true
	case "OPUS":
		return Codec{0, 25.1, 26.5}, true
	case "G729":
		return Codec{11, 19, 25}, true
	case "G723":
		return Codec{15, 16.1, 37.5}, true
	case "GSM-EFR":
		return Codec{5, 10, 20}, true
	}
	return Codec{}, false
}

// Path is what some packets of one direction went through.
type Path struct {
	Received uint64
	Lost     int64         // duplicates make it negative
	Gaps     uint32        // runs of lost packets
	Jitter   time.Duration // RFC 3550 A.8
	RTT      time.Duration // of the leg, from RTCP; 0 unknown
}

// Score of a stretch of speech.
type Score struct {
	R   float32 // transmission rating of G.107, 0 to 100
	MOS float32 // what listeners would say (G.107 annex B), 1 to 4.5; 0 unknown
}

// leastRated is how many packets a score needs: one second of 20 ms frames.
const leastRated = 50

// Loss is the share of packets that were lost, 0 to 1.
func (p Path) Loss() float64 {
	lost := max(p.Lost, 0)
	if lost == 0 {
		return 0
	}
	return float64(lost) / (float64(lost) + float64(p.Received))
}

// Burst is G.107's BurstR: the mean length of the runs of lost packets over what it would be if each were lost by itself, 1/(1-p). At least 1.
func (p Path) Burst() float64 {
	loss := p.Loss()
	if p.Gaps == 0 || loss == 0 || loss == 1 {
		return 1
	}
	return max(1, float64(max(p.Lost, 0))/float64(p.Gaps)*(1-loss))
}

// OneWay is an estimate of how long speech takes from mouth to ear on this leg: half the round trip, twice the jitter for the play-out buffer, and the codec.
func (c Codec) OneWay(p Path) time.Duration {
	return p.RTT/2 + 2*p.Jitter + time.Duration(float64(c.Delay)*float64(time.Millisecond))
}

// Rate is the E-model of ITU-T G.107 with its default values and echo perfectly controlled:
//
//	R      = 93.2 - Idd - Ie,eff
//	Ie,eff = Ie + (95 - Ie) Ppl / (Ppl / BurstR + Bpl)     Ppl lost packets in percent
//
// The zero Score is for what cannot be rated: an unknown codec, or too few packets.
func (c Codec) Rate(p Path) Score {
	if c.Bpl <= 0 || p.Received < leastRated {
		return Score{}
	}
	ppl := 100 * p.Loss()
	ie := float64(c.Ie)
	eff := ie + (95-ie)*ppl/(ppl/p.Burst()+float64(c.Bpl))
	r := min(max(93.2-delayImpairment(c.OneWay(p))-eff, 0), 100)
	return Score{R: float32(r), MOS: float32(MOS(r))}
}

// delayImpairment is G.107's Idd: what absolute delay alone costs, from 100 ms on.
func delayImpairment(ta time.Duration) float64 {
	ms := ta.Seconds() * 1000
	if ms <= 100 {
		return 0
	}
	x := math.Log2(ms / 100)
	return 25 * (math.Pow(1+math.Pow(x, 6), 1.0/6) - 3*math.Pow(1+math.Pow(x/3, 6), 1.0/6) + 2)
}

// MOS turns a rating R into an opinion score, G.107 annex B. The polynomial dips below 1 for the smallest R; no opinion does.
func MOS(r float64) float64 {
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	return max(1, 1+0.035*r+r*(r-60)*(100-r)*7e-6)
}

package media

import "time"

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

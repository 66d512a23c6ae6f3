package quality

import "time"

// Reception is what came as one SSRC, for the report block about it.
type Reception struct {
	SSRC     uint32
	Base     uint32 // first extended sequence number, RFC 3550 A.1
	Highest  uint32 // extended
	Received uint32
	Jitter   uint32 // in time stamp units, A.8
	LSR      uint32 // middle 32 bits of the last sender report; 0 for none
	At       int64  // when that came
}

// Reporter writes the reports of one side whose far end's own cannot be passed on, because it sends none: what goes to the other end comes from here then. RFC 3550 section 6.4. The
// zero Reporter has to be started.
type Reporter struct {
	SSRC      uint32   // for where nothing is sent
	Bandwidth uint32   // octets per second that the session may spend on reports; 0: those of a call of 64 kbit/s
	Name      [16]byte // canonical name, random and readable; the same for the whole session (section 6.5.1)

	due      int64
	average  float32   // octets of our compound packets with their headers, section 6.3.3
	sent     [2]uint32 // packets as of the last two reports, newest first
	known    bool      // prior belongs to the source of the last block
	source   uint32    // of the last block
	expected uint32    // prior values of A.3
	received uint32
}

// RFC 3550 section 6.2: the least interval, half of it before the first report; and what 5 % of a session of 64 kbit/s lets both ends spend on reports.
const (
	leastInterval = 5 * time.Second
	bandwidth     = 400 // octets per second
	overhead      = 28  // of IPv4 and UDP, which section 6.2 counts
	guessed       = 100 // octets of a first report
)

// Interval is the time until the next report, RFC 3550 section 6.3.1, of a session with so many members that share `octets` per second, for packets of `average` octets.
// The dice are uniform over all of uint32: they stretch it from half to one and a half (so that ends do not fall into step), and the result is divided by e - 3/2.
func Interval(members int, octets, average float64, first bool, dice uint32) time.Duration {
	least := leastInterval
	if first {
		least /= 2
	}
	d := max(least.Seconds(), float64(members)*average/octets)
	d *= 0.5 + float64(dice)/(1<<32)
	return time.Duration(d / 1.21828 * float64(time.Second))
}

// Start plans the first report.
func (r *Reporter) Start(now int64, dice uint32) {
	*r = Reporter{SSRC: r.SSRC, Bandwidth: r.Bandwidth, Name: r.Name, average: guessed + overhead}
	r.due = now + r.interval(true, dice)
}

func (r *Reporter) interval(first bool, dice uint32) int64 {
	octets := float64(r.Bandwidth)
	if octets == 0 {
		octets = bandwidth
	}
	return int64(Interval(2, octets, float64(r.average), first, dice))
}

// Due says whether a report should leave now. One that was never started has none.
func (r *Reporter) Due(now int64) bool { return r.due != 0 && now >= r.due }

// Defer puts the next report off: the far end's own was just passed on.
func (r *Reporter) Defer(now int64, dice uint32) {
	r.due = now + r.interval(false, dice)
}

// Next is how long it is until the next report; 0 when it is due.
func (r *Reporter) Next(now int64) time.Duration { return max(time.Duration(r.due-now), 0) }

// Append appends a compound packet to b and plans the next one: a sender report when something was sent since the last report but one (RFC 3550 section 6.4), else a
// receiver report; a block about from, when something came since the report before; and the canonical name. from is nil while nothing came. unix is now by the wall clock, when s.RTPTime is. s.SSRC is given where nothing is sent, too.
func (r *Reporter) Append(b []byte, now, unix int64, s Sending, from *Reception, dice uint32) []byte {
	n := len(b)
	var room [1]Block
	blocks := room[:0]
	if from != nil && (!r.known || r.source != from.SSRC || r.received != from.Received) {
		blocks = append(blocks, r.block(now, from))
	}
	if s.Packets != r.sent[1] {
		b = AppendSR(b, unix, s, blocks...)
	} else {
		b = AppendRR(b, s.SSRC, blocks...)
	}
	r.sent[0], r.sent[1] = s.Packets, r.sent[0]
	b = AppendCNAME(b, s.SSRC, r.Name[:])
	r.average += (float32(len(b)-n+overhead) - r.average) / 16
	r.Defer(now, dice)
	return b
}

// block fills in a report block, RFC 3550 appendix A.3.
func (r *Reporter) block(now int64, from *Reception) Block {
	expected := from.Highest - from.Base + 1
	if !r.known || r.source != from.SSRC || expected < r.expected {
		r.known, r.source, r.expected, r.received = true, from.SSRC, 0, 0
	}
	k := Block{SSRC: from.SSRC, Lost: lostOf(expected, from.Received), Highest: from.Highest, Jitter: from.Jitter}
	due, got := expected-r.expected, from.Received-r.received
	if lost := int64(due) - int64(int32(got)); due > 0 && lost > 0 {
		k.Share = uint8(min(lost<<8/int64(due), 255))
	}
	r.expected, r.received = expected, from.Received
	if from.LSR != 0 && now >= from.At {
		k.LSR, k.DLSR = from.LSR, uint32((now-from.At)/1000*65536/1000000)
	}
	return k
}

// lostOf is expected - received, clamped to the 24 bits that it travels in.
func lostOf(expected, received uint32) int32 {
	return int32(min(max(int64(expected)-int64(received), -1<<23), 1<<23-1))
}

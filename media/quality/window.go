package quality

import "time"

// Length of a window.
const Length = 5 * time.Second

// Fair is the score below which a window counts as poor: R 70, where by G.109 some users begin to be dissatisfied.
const Fair = 3.6

// Counts are the cumulative counters of one side at one moment: Received, Lost and Gaps of what came from it, Sent and FarLost of what was sent to it.
type Counts struct {
	Received uint64
	Lost     int64 // RFC 3550 A.3; may fall when late packets come
	Gaps     uint32
	Jitter   time.Duration
	RTT      time.Duration // 0 unknown
	Sent     uint64
	FarLost  int64 // what the far end reports as lost of what we sent
}

// Window cuts the counters of one side into windows and sums those up. The zero Window is ready. It is fed about once a second; counters that
// fall back are those of a new stream, which begins at nothing.
type Window struct {
	start int64 // of the window; 0 before the first look
	base  reached

	last     reached // as of the look before
	received uint64  // of the whole call, over all streams, like the next ones
	sent     uint64
	lost     int64
	farLost  int64
	gaps     uint32
	windows  uint32
	poor     uint32
	worst    Score
	latest   Score
	sumMOS   float32
	sumR     float32
	peak     micros // jitter, the worst look of the window
	jitter   micros // worst of the call
	rtt      micros // last known
	delay    micros // of the last window; the worst may be one moment's
}

// micros is a short time in microseconds: less room than a time.Duration.
type micros uint32

func short(d time.Duration) micros { return micros(min(max(d/time.Microsecond, 0), 1<<32-1)) }

func (m micros) long() time.Duration { return time.Duration(m) * time.Microsecond }

// reached is how far the counters of a stream were.
type reached struct {
	received, sent uint64
	lost, farLost  int64
	gaps           uint32
}

// Summary of one direction of a call.
type Summary struct {
	Windows  uint32 // that could be rated
	Poor     uint32 // of them, below Fair
	Worst    Score
	Mean     Score
	Last     Score
	Received uint64
	Lost     uint64
	Loss     float32       // share of 1
	Burst    float32       // BurstR, at least 1
	FarLoss  float32       // share of 1 of what we sent, by the reports of the far end
	Jitter   time.Duration // the worst
	Delay    time.Duration // estimate for one way, of the last window
}

// Sample takes one look at the counters. True with the score of a window that is over and could be rated.
func (w *Window) Sample(now int64, c Counts, k Codec) (Score, bool) {
	w.take(now, c)
	if now-w.start < int64(Length) {
		return Score{}, false
	}
	return w.cut(now, k)
}

// Close takes the last look and rates what has begun, if it is long enough to be rated.
func (w *Window) Close(now int64, c Counts, k Codec) (Score, bool) {
	w.take(now, c)
	return w.cut(now, k)
}

// take adds what came since the look before.
func (w *Window) take(now int64, c Counts) {
	switch {
	case w.start == 0:
		// What came before the first look belongs to the first window: mostly less than a second, and of a call that was taken over all that it had so far.
		w.start = now
	case now < w.start:
		w.start = now // the clock was put back
	}
	if c.Received < w.last.received || c.Gaps < w.last.gaps || c.Sent < w.last.sent {
		// Another stream. What the window had of the old one stays in the sums of the call.
		w.start, w.base, w.last, w.peak = now, reached{}, reached{}, 0
	}
	w.received += c.Received - w.last.received
	w.sent += c.Sent - w.last.sent
	w.lost += c.Lost - w.last.lost
	w.farLost += c.FarLost - w.last.farLost
	w.gaps += c.Gaps - w.last.gaps
	w.last = reached{c.Received, c.Sent, c.Lost, c.FarLost, c.Gaps}
	w.peak = max(w.peak, short(c.Jitter))
	w.jitter = max(w.jitter, w.peak)
	if c.RTT > 0 {
		w.rtt = short(c.RTT)
	}
}

// cut ends the window and begins the next.
func (w *Window) cut(now int64, k Codec) (Score, bool) {
	p := Path{
		Received: w.last.received - w.base.received, Lost: w.last.lost - w.base.lost, Gaps: w.last.gaps - w.base.gaps,
		Jitter: w.peak.long(), RTT: w.rtt.long(),
	}
	w.start, w.base, w.peak = now, w.last, 0
	if p.Received >= leastRated {
		w.delay = short(k.OneWay(p))
	}
	s := k.Rate(p)
	if s.MOS == 0 {
		return s, false
	}
	if w.windows == 0 || s.R < w.worst.R {
		w.worst = s
	}
	if s.MOS < Fair {
		w.poor++
	}
	w.windows++
	w.sumMOS += s.MOS
	w.sumR += s.R
	w.latest = s
	return s, true
}

// Summary of all that was seen so far.
func (w *Window) Summary() Summary {
	p := Path{Received: w.received, Lost: w.lost, Gaps: w.gaps}
	s := Summary{
		Windows: w.windows, Poor: w.poor, Worst: w.worst, Last: w.latest, Received: w.received, Lost: uint64(max(w.lost, 0)),
		Loss: float32(p.Loss()), Burst: float32(p.Burst()), Jitter: w.jitter.long(), Delay: w.delay.long(),
	}
	if w.sent > 0 {
		s.FarLoss = min(1, float32(max(w.farLost, 0))/float32(w.sent))
	}
	if n := float32(w.windows); n > 0 {
		s.Mean = Score{R: w.sumR / n, MOS: w.sumMOS / n}
	}
	return s
}

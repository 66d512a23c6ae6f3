// Package overload is the arithmetic of load between two SIP neighbours: token buckets, how much a server asks its clients to hold back (RFC 7339, RFC 7415),
// and how a client does so.
//
// It is pure: no clock, no lock, no chance of its own; who calls it brings the time and the dice. It imports only the standard library.
package overload

import (
	"math"
	"strconv"
	"strings"
	"time"
)

// Bucket is a token bucket. The zero Bucket is full.
type Bucket struct {
	spent float64 // tokens that are missing to full
	at    time.Time
}

// Take spends one token of a bucket that fills at rate tokens a second up to burst (at least one token). false: it is empty.
func (b *Bucket) Take(now time.Time, rate, burst float64) bool {
	b.spent = max(0, b.spent-max(0, now.Sub(b.at).Seconds())*rate)
	b.at = now
	if b.spent+1 > max(burst, 1)+1e-9 {
		return false
	}
	b.spent++
	return true
}

// Load is what one server knows of itself.
type Load struct {
	Lag, MaxLag     time.Duration // how long a new call waits for its turn, and the wait at which none is taken any more
	Calls, MaxCalls int64         // live calls and their limit; MaxCalls 0: none
}

// The parts of a limit at which clients are asked to hold back at all.
const (
	lagFrom   = 0.2
	callsFrom = 0.9
)

// Percent is the share of new dialogs, 0 to 100, that clients should not send: 0 up to a part of each limit, 100 at the limit, linear between.
func (l Load) Percent() int {
	p := 0.0
	if l.MaxLag > 0 {
		p = above(float64(l.Lag)/float64(l.MaxLag), lagFrom)
	}
	if l.MaxCalls > 0 {
		p = max(p, above(float64(l.Calls)/float64(l.MaxCalls), callsFrom))
	}
	return int(math.Round(100 * p))
}

func above(part, from float64) float64 { return min(1, max(0, (part-from)/(1-from))) }

// Level smooths what a server asks for: it rises at once and falls slowly, so that clients do not swing between all and nothing.
type Level struct {
	percent float64
	at      time.Time
}

// fallPerSecond is how many points a level falls in a second.
const fallPerSecond = 20

// Now is the level after the load was measured as percent.
func (l *Level) Now(now time.Time, percent int) int {
	if !l.at.IsZero() {
		l.percent = max(0, l.percent-max(0, now.Sub(l.at).Seconds())*fallPerSecond)
	}
	l.at = now
	l.percent = max(l.percent, float64(percent))
	return int(math.Round(l.percent))
}

// Algorithm is how a client holds back.
type Algorithm string

// The registered ones.
const (
	Loss Algorithm = "loss" // RFC 7339: oc is a percentage of requests to keep back
	Rate Algorithm = "rate" // RFC 7415: oc is the most requests per second
)

// Offer is the value of oc-algo that a client announces, quotes included.
const Offer = `"loss,rate"`

// Validity is how long feedback of ours holds. RFC 7339 section 4.3 has the same default.
const Validity = 500 * time.Millisecond

// Feedback is what a server said in the topmost Via of a response.
type Feedback struct {
	Algo     Algorithm
	Value    uint32
	Validity time.Duration // 0: overload control ends. RFC 7339 section 5.7
	Seq      uint64        // rises with the age of the server's view
}

// Params are the four parameters of a Via as they stand there; absent ones are "".
type Params struct{ OC, Algo, Validity, Seq string }

// Parse reads feedback. ok is false without a value, with another algorithm, or when a value is out of range: such feedback counts as none.
func Parse(p Params) (f Feedback, ok bool) {
	n, err := strconv.ParseUint(p.OC, 10, 32)
	if err != nil || !digits(p.OC) {
		return f, false
	}
	f.Value, f.Validity = uint32(n), Validity
	switch a := Algorithm(strings.ToLower(strings.Trim(strings.TrimSpace(p.Algo), `"`))); a {
	case "", Loss:
		f.Algo = Loss
	case Rate:
		f.Algo = Rate
	default:
		return f, false
	}
	if f.Algo == Loss && n > 100 {
		return f, false
	}
	if p.Validity != "" {
		ms, err := strconv.ParseUint(p.Validity, 10, 31)
		if err != nil || !digits(p.Validity) {
			return f, false
		}
		f.Validity = time.Duration(ms) * time.Millisecond
	}
	f.Seq, ok = sequence(p.Seq)
	return f, ok
}

// sequence reads oc-seq: 1*12DIGIT "." 1*5DIGIT. RFC 7339 section 9. None is 0.
func sequence(s string) (uint64, bool) {
	if s == "" {
		return 0, true
	}
	whole, part, _ := strings.Cut(s, ".")
	if whole == "" || len(whole) > 12 || len(part) > 5 || !digits(whole) || !digits(part) {
		return 0, false
	}
	n, err := strconv.ParseUint(whole+part+strings.Repeat("0", 5-len(part)), 10, 64)
	return n, err == nil
}

func digits(s string) bool { return strings.Trim(s, "0123456789") == "" }

// Answer is what a server writes into the Via of a client that offered the algorithms in offered. percent is its level; rate is the most new dialogs per second
// that this client may send when nothing is overloaded, 0 for no limit of that kind. A client with such a limit that knows the rate algorithm is told its
// limit, at least 1 below a level of 100, any other a loss. RFC 7339 section 4.2: loss is what everybody knows. ok is false when nothing was offered.
func Answer(offered string, percent int, rate float64, now time.Time) (p Params, ok bool) {
	loss, rated := false, false
	for a := range strings.SplitSeq(strings.Trim(strings.TrimSpace(offered), `"`), ",") {
		switch Algorithm(strings.ToLower(strings.TrimSpace(a))) {
		case Loss:
			loss = true
		case Rate:
			rated = true
		}
	}
	p.Validity = strconv.FormatInt(Validity.Milliseconds(), 10)
	ms := now.UnixMilli()
	p.Seq = strconv.FormatInt(ms/1000, 10) + "." + strconv.FormatInt(1000+ms%1000, 10)[1:]
	switch {
	case rated && rate > 0:
		allowed := int(rate * float64(100-percent) / 100)
		if percent < 100 {
			allowed = max(allowed, 1) // 0 is the word of a server that takes nothing at all, and a limit below one a second is no such thing
		}
		p.Algo, p.OC = `"rate"`, strconv.Itoa(allowed)
	case loss:
		p.Algo, p.OC = `"loss"`, strconv.Itoa(percent)
	default:
		return Params{}, false
	}
	return p, true
}

// Client is what one client knows of one server. The zero Client holds nothing back.
type Client struct {
	said   Feedback
	until  time.Time
	bucket Bucket
}

// Hear takes feedback. RFC 7339 section 5.4: what is not newer than what was heard last changes nothing, and makes it hold no longer.
func (c *Client) Hear(now time.Time, f Feedback) {
	if f.Seq > 0 && f.Seq <= c.said.Seq && now.Before(c.until) {
		return
	}
	if f.Algo != c.said.Algo {
		c.bucket = Bucket{}
	}
	c.said, c.until = f, now.Add(f.Validity)
}

// Idle says that nothing is held back any more and the client may be forgotten.
func (c *Client) Idle(now time.Time) bool { return !now.Before(c.until) }

// Admit says whether one more new dialog may go to the server now. dice is a number in [0, 1). Feedback that is no longer valid holds nothing back (RFC 7339
// section 5.7). What belongs to a dialog and emergency calls are never asked for here (section 5.10.1).
func (c *Client) Admit(now time.Time, dice float64) bool {
	if c.Idle(now) {
		return true
	}
	if c.said.Algo == Rate {
		// RFC 7415 section 3.5: never more than the rate; a tenth of a second's worth may come at once.
		return c.said.Value > 0 && c.bucket.Take(now, float64(c.said.Value), float64(c.said.Value)/10)
	}
	return dice*100 >= float64(c.said.Value)
}

package plane

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
	"github.com/cordonsip/cordon/sovereign"
)

// What a drill takes away of a leg is taken here, at its wire: what comes is lost or late before anything is read of it, what goes is lost when all is done that sending
// needs. So either far end, and whatever is counted of it, meets it as the doing of a network: gaps in sequence numbers, jitter, silence; keys, rollover counters, latches and
// digits live on. A leg of which nothing is taken pays no more than a bit in a word that each packet reads anyway.

// Impair takes packets of a leg away for a while: of what comes from its far end and of what goes there. The newest one of a leg counts alone. It is a lease: it ends by
// itself, and with the leg; neither a new plane nor another leg of the slot begins with it. A call for help, or one whose other side is one, is spared.
type Impair struct {
	Ref
	Loss  float64       // share of the packets that is lost, each way: 0 none, 1 all
	Delay time.Duration // how much later what comes is taken; what finds no room to wait is lost
	Until time.Time     // the end, MaxImpaired from now at most; a moment that is over gives everything back
}

// MaxImpaired bounds how long packets are taken away that nobody asks for anew, whatever the clocks of two processes do meanwhile.
const MaxImpaired = time.Minute

const (
	maxLimbo  = 32 << 20 // bytes that wait in a worker because they are to be late: some 4,000 calls of G.711 that are slow by 400 ms
	lateSize  = 160      // bytes that one of them takes beside its own
	perLimbo  = 256      // that are taken before packets that are not late come in between
	noPackets = time.Duration(-1)
)

// impaired is what is taken of one leg.
type impaired struct {
	loss  float64
	delay time.Duration
	until time.Time // by the clock that nobody sets
	dice  *rand.Rand
}

// Impair implements Commands.
func (p *Plane) Impair(n Impair) {
	w := p.worker(n.Slot)
	w.lock()
	defer w.mu.Unlock()
	l, ok := w.of(n.Ref)
	if !ok {
		return
	}
	now := time.Now()
	left := min(n.Until.Sub(now), MaxImpaired)
	if left <= 0 || n.Loss <= 0 && n.Delay <= 0 || l.open.Purpose == sovereign.EmergencyCall {
		l.whole()
		return
	}
	if l.impaired == nil {
		l.impaired = &impaired{dice: rand.New(rand.NewPCG(uint64(n.Slot), uint64(n.Serial)))}
	}
	x := l.impaired
	x.loss, x.delay, x.until = n.Loss, max(n.Delay, 0), now.Add(left)
	l.flags |= flagImpaired
}

// whole has a leg take and send everything again.
func (l *leg) whole() {
	l.flags &^= flagImpaired
	l.impaired = nil
}

// taken says what is taken of a leg now; nil: its time is over, or it is spared.
func (w *worker) taken(l *leg) *impaired {
	x := l.impaired
	if x == nil || !time.Now().Before(x.until) {
		l.whole()
		return nil
	}
	if o, ok := w.leg(l.other); ok && o.beside.open.Purpose == sovereign.EmergencyCall {
		return nil
	}
	return x
}

// loses says whether the next packet of a leg is lost, and counts it.
func (w *worker) loses(l *leg) bool {
	x := w.taken(l)
	return x != nil && w.lost(x.dice.Float64() < x.loss)
}

func (w *worker) lost(yes bool) bool {
	if yes {
		w.p.impaired.Add(1)
	}
	return yes
}

// diverted takes a datagram out of the way of media: a drill takes it away, or it is neither RTP nor RTCP.
func (w *worker) diverted(l *leg, ln *lane, b []byte, from *osnet.Name) bool {
	return l.flags&flagImpaired != 0 && !w.arriving && w.meets(l, ln, b, from) || l.flags&flagAside != 0 && w.aside(l, ln, b, from)
}

// meets has a datagram that came for an impaired leg be lost, or wait. False: it is taken as any other.
func (w *worker) meets(l *leg, ln *lane, b []byte, from *osnet.Name) bool {
	x := w.taken(l)
	switch {
	case x == nil:
		return false
	case w.lost(x.dice.Float64() < x.loss):
		return true
	case x.delay == 0:
		return false
	}
	p := &late{ref: l.ref(), rtcp: ln == &l.slot.rtcp, from: *from, b: append([]byte(nil), b...)}
	if w.lost(!w.limbo.put(p, x.delay)) {
		return true
	}
	if w.limbo.list[0] == p {
		w.stir()
	}
	return true
}

// limbo are the packets of a worker that came and are to be late.
type limbo struct {
	base  time.Time // of the times
	list  lates
	bytes int
	turn  uint64
}

// late is one of them.
type late struct {
	at   time.Duration // since the base
	turn uint64        // of what has the same time, the first one that came is taken first
	ref  Ref
	rtcp bool
	from osnet.Name
	b    []byte
}

// put has a packet wait; false: there is no room.
func (q *limbo) put(p *late, delay time.Duration) bool {
	if q.bytes+len(p.b)+lateSize > maxLimbo {
		return false
	}
	q.turn++
	q.bytes += len(p.b) + lateSize
	p.at, p.turn = time.Since(q.base)+delay, q.turn
	heap.Push(&q.list, p)
	return true
}

// due is how long it is until the next one is to be taken; below 0: there is none.
func (q *limbo) due(now time.Time) time.Duration {
	if len(q.list) == 0 {
		return noPackets
	}
	return max(0, q.list[0].at-now.Sub(q.base))
}

// pop gives the next one if its time has come; nil else.
func (q *limbo) pop(now time.Duration) *late {
	if len(q.list) == 0 || q.list[0].at > now {
		return nil
	}
	p := heap.Pop(&q.list).(*late)
	q.bytes -= len(p.b) + lateSize
	return p
}

// arrive takes the late packets whose time has come, some at a time, and says how long it is until the next one; below 0: there is none. The caller holds mu.
func (w *worker) arrive() time.Duration {
	if len(w.limbo.list) == 0 { // nearly always
		return noPackets
	}
	now := time.Now()
	w.now, w.arriving = now.UnixNano(), true
	defer func() { w.arriving = false }()
	for range perLimbo {
		p := w.limbo.pop(now.Sub(w.limbo.base))
		if p == nil {
			break
		}
		if l, ok := w.of(p.ref); ok {
			ln := &l.slot.rtp
			if p.rtcp {
				ln = &l.slot.rtcp
			}
			w.packet(&l, ln, w.buf[:copy(w.buf[:], p.b)], &p.from)
		}
	}
	return w.limbo.due(now)
}

// lates is a heap of them, the next one first.
type lates []*late

func (h lates) Len() int      { return len(h) }
func (h lates) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h lates) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].turn < h[j].turn
}
func (h *lates) Push(x any) { *h = append(*h, x.(*late)) }

func (h *lates) Pop() any {
	last := len(*h) - 1
	p := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return p
}

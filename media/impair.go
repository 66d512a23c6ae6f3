package media

import (
	"errors"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// errCarries is a plane that cannot take packets away.
var errCarries = errors.New("media: no media process takes packets away now: it is being replaced, or of an older build")

// Impair asks Config.Impaired about every leg, and has the packets of those that are impaired be lost or late until then; all others are whole. Legs that are made before that
// moment are asked about as well, and the endpoints of the relay are as its legs. It is a lease: whoever wants it to go on calls again before it ends. A moment that is over
// gives everything back. The error says that packets of these legs are carried on.
func (r *Relay) Impair(until time.Time) error {
	r.until.Store(until.UnixNano())
	var err error
	for from, more := uint32(0), true; more; from += perAsk {
		var some []plane.Impair
		some, more = r.seats.impaired(from, until)
		for _, n := range some {
			r.plane.Impair(n)
			if n.Loss > 0 || n.Delay > 0 {
				err = r.impairs()
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for e := range r.endpoints {
		err = errors.Join(err, e.relay.Impair(until))
	}
	return err
}

// impairs says whether the plane can.
func (r *Relay) impairs() error {
	if far, ok := r.plane.(interface{ Impairs() bool }); ok && !far.Impairs() {
		return errCarries
	}
	return nil
}

// perAsk is how many slots are looked at before an event may come in between.
const perAsk = 256

// impaired gives what the plane is to be told of the legs in some slots, and whether there are further ones.
func (s *seats) impaired(from uint32, until time.Time) (out []plane.Impair, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := min(int(from)+perAsk, len(s.rows))
	for _, seat := range s.rows[from:last] {
		if seat.leg != nil {
			if n, ok := seat.leg.impair(until); ok {
				out = append(out, n)
			}
		}
	}
	return out, last < len(s.rows)
}

// impair is what the plane is to be told of a leg; false: nothing. Nobody is asked about calls for help.
func (l *leg) impair(until time.Time) (n plane.Impair, ok bool) {
	ask := l.s.r.cfg.Impaired
	if ask == nil || l.cfg.Purpose == sovereign.EmergencyCall {
		return n, false
	}
	if time.Now().Before(until) {
		n = taken(ask(l.cfg))
	}
	n.Ref, n.Until = l.ref, until
	some := n.Loss > 0 || n.Delay > 0
	return n, l.impaired.Swap(some) || some
}

// begins has a leg that is made meet what is taken away already. What is taken or given back meanwhile may not have met it: then it is asked again.
func (l *leg) begins() {
	r := l.s.r
	for until := r.until.Load(); until != 0; { // nearly always it is
		if n, ok := l.impair(time.Unix(0, until)); ok {
			r.plane.Impair(n)
		}
		now := r.until.Load()
		if now == until {
			return
		}
		until = now
	}
}

// taken is what an effect means for packets.
func taken(e impair.Effect) plane.Impair {
	n := plane.Impair{Loss: e.Loss, Delay: e.Delay}
	if e.Silences() {
		n.Loss = 1
	}
	return n
}

// Endpoint is NewEndpoint for a caller whose packets are taken away as those of the relay are: Impair counts for it, too. Of c everything but Metrics and Impaired counts.
func (r *Relay) Endpoint(c Config, l Leg, t Tone) (*Endpoint, error) {
	c.Impaired = r.cfg.Impaired
	e, err := NewEndpoint(c, l, t)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	if r.endpoints == nil {
		r.endpoints = map[*Endpoint]struct{}{}
	}
	r.endpoints[e] = struct{}{}
	e.of = r
	r.mu.Unlock()
	e.relay.until.Store(r.until.Load())
	e.leg.begins()
	return e, nil
}

// over takes an endpoint out that is closed.
func (r *Relay) over(e *Endpoint) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.endpoints, e)
}

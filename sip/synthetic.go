package sip

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
)

// Synthetic is one synthetic call: it is planned, judged, logged and receipted like any other, with purpose synthetic_probe or drill.
type Synthetic struct {
	From    string // trunk or group in whose name it is placed
	Called  string
	Purpose sovereign.Purpose
	Hold    time.Duration // how long it stays up
	Only    string        // id of the one target that is called; "": as the plan has it
}

// SyntheticResult is what came of it.
type SyntheticResult struct {
	CallRef string
	Status  int
	Hops    []string // targets that were tried, in order, each with its result
	Party   string   // that answered; "": none
	Setup   time.Duration
	Ended   time.Time
	EndedBy string       // a: its caller, b: the far end, edge
	Report  media.Report // its B side is the far end; there is no A side
	Tone    media.EndpointReport
}

// synthetic is the caller of a synthetic call: an endpoint of ours that sends a tone straight to the hop, through the same fence.
type synthetic struct {
	c      *call
	hold   time.Duration
	ep     atomic.Pointer[media.Endpoint]
	mu     sync.Mutex // an endpoint is opened and closed by tasks of two goroutines
	closed bool
	stop   context.CancelFunc
	status int
	done   chan SyntheticResult
	left   chan error // why no call was made
}

// endPatience is how long a synthetic call that its caller gave up may take to end and be recorded.
const endPatience = 5 * time.Second

// Place starts a synthetic call, keeps it up for o.Hold and reports what came of it. A refused call is a result and no error. When ctx ends, the call is hung up, and
// what came of it until then stands beside the error, as far as it is known in time.
func (e *Edge) Place(ctx context.Context, o Synthetic) (SyntheticResult, error) {
	party := e.profiles.Load().byName[o.From]
	switch {
	case party == nil:
		return SyntheticResult{}, fmt.Errorf("sip: synthetic call: %q is no party", o.From)
	case e.c.Endpoint == nil:
		return SyntheticResult{}, errors.New("sip: synthetic call: no endpoint is configured")
	case o.Purpose != sovereign.Drill && o.Purpose != sovereign.SyntheticProbe:
		return SyntheticResult{}, fmt.Errorf("sip: synthetic call: purpose %s: want drill or synthetic_probe", o.Purpose)
	case e.draining.Load():
		return SyntheticResult{}, errors.New("sip: synthetic call: the edge drains")
	}
	id := token(24)
	s := e.shards[shardOf(id, len(e.shards))]
	a := &ask{called: o.Called, hops: 70, said: &nothing, sdp: []byte{}, keys: party.Keys, callID: id, purpose: o.Purpose}
	y := &synthetic{hold: o.Hold, done: make(chan SyntheticResult, 1), left: make(chan error, 1)}
	s.loop.Post(func() {
		plan := e.c.Planner.Plan(a.request(o.From, time.Now()))
		if err := only(&plan, o.Only); err != nil {
			y.left <- err
			return
		}
		plan.Purpose = o.Purpose // a probe never becomes an emergency, whatever number it asks for
		y.c = newCall(s, party, a, plan)
		y.c.synth = y
		y.c.begin()
	})
	select {
	case r := <-y.done:
		return r, nil
	case err := <-y.left:
		return SyntheticResult{}, err
	case <-ctx.Done():
		s.loop.Post(func() {
			if y.c != nil {
				y.c.hangup(byA, reason{"SIP", 487, "caller hung up"})
			}
		})
	}
	late := time.NewTimer(endPatience)
	defer late.Stop()
	var r SyntheticResult
	select {
	case r = <-y.done:
	case <-y.left:
	case <-late.C:
	}
	return r, fmt.Errorf("sip: synthetic call: %w", ctx.Err())
}

// only leaves one target in a plan. The error says why the plan has it not.
func only(p *routing.Plan, target string) error {
	if target == "" {
		return nil
	}
	for _, h := range p.Hops {
		if h.Target.ID() == target {
			p.Hops = []routing.Hop{h}
			return nil
		}
	}
	party, _, _ := strings.Cut(target, "/")
	for _, r := range p.Refused {
		if r.Target == target || r.Target == "" && r.Party == party {
			return fmt.Errorf("sip: synthetic call: the plan leaves %s out (%s): %s: %w", target, r.Ground, r.Why, sovereign.ErrFenced)
		}
	}
	return fmt.Errorf("sip: synthetic call: no way leads to %s: %s: %w", target, p.Why, sovereign.ErrFenced)
}

var errSyntheticOver = errors.New("sip: synthetic call: it has ended")

// offer opens a fresh endpoint toward a hop and gives its offer. It runs off the loop; attempts follow one another, so nobody else does meanwhile.
func (y *synthetic) offer(open func(media.Leg, media.Tone) (*media.Endpoint, error), l media.Leg) ([]byte, error) {
	if old := y.ep.Swap(nil); old != nil {
		old.Close()
	}
	ep, err := open(l, media.Tone{})
	if err != nil {
		return nil, err
	}
	y.mu.Lock()
	late := y.closed
	if !late {
		y.ep.Store(ep)
	}
	y.mu.Unlock()
	if late { // the call ended while its sockets were opened
		ep.Close()
		return nil, errSyntheticOver
	}
	return ep.Offer()
}

// answered starts the tone and the time that the call stays up.
func (y *synthetic) answered() {
	e, ep := y.c.sh.e, y.ep.Load()
	var ctx context.Context
	ctx, y.stop = context.WithCancel(e.base)
	e.off(func() { _ = ep.Run(ctx) })
	y.c.b.timing.start(y.c.b)
	y.c.sh.loop.After(y.hold, func() { y.c.hangup(byA, reason{"Q.850", 16, ""}) })
}

// ended stops the tone.
func (y *synthetic) ended(status int) {
	y.status = status
	if y.stop != nil {
		y.stop()
	}
}

// close frees the endpoint and gives its far end's report as the call's.
func (y *synthetic) close(opened time.Time) (media.Report, media.EndpointReport) {
	rep := media.Report{Opened: opened, Closed: time.Now()}
	y.mu.Lock()
	y.closed = true
	ep := y.ep.Load()
	y.mu.Unlock()
	if ep == nil {
		return rep, media.EndpointReport{}
	}
	t := ep.Close()
	rep.Sides[media.B] = t.Side
	return rep, t
}

package sip

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// pinger is one OPTIONS on its way. It runs on a loop and tells the waiting prober once.
type pinger struct {
	toward
	sent time.Time
	done chan pong
}

type pong struct {
	sample healthcheck.Sample
	err    error
}

// Response implements transaction.ClientUser.
func (p *pinger) Response(c *transaction.Client, res *msg.Response) {
	if res.IsProvisional() {
		return
	}
	p.tell(pong{sample: healthcheck.Sample{RTT: time.Since(p.sent), Status: res.StatusCode, Via: flowWord(c.Flow())}})
}

// Failed implements transaction.ClientUser.
func (p *pinger) Failed(_ *transaction.Client, err error) { p.tell(pong{err: err}) }

func (p *pinger) tell(x pong) {
	select {
	case p.done <- x:
	default:
	}
}

// Probe sends one OPTIONS to t over the same transport, address and TLS identity as a call would use. It is a healthcheck.Prober.
func (e *Edge) Probe(ctx context.Context, t healthcheck.Target) (healthcheck.Sample, error) {
	return e.probe(ctx, t, false)
}

// ProbeOwn is Probe for a drill: it meets what the drill took away from its own calls alone, too.
func (e *Edge) ProbeOwn(ctx context.Context, t healthcheck.Target) (healthcheck.Sample, error) {
	return e.probe(ctx, t, true)
}

func (e *Edge) probe(ctx context.Context, t healthcheck.Target, own bool) (healthcheck.Sample, error) {
	party := e.profiles.Load().byName[t.Party]
	if party == nil {
		return healthcheck.Sample{}, fmt.Errorf("sip: probe: %q is no party", t.Party)
	}
	pass, ruling := e.c.Fence.Pass(sovereign.Ask{
		Party: t.Party, Plane: sovereign.Signalling, Purpose: sovereign.SyntheticProbe, Addr: t.Addr, Keys: party.Keys, At: time.Now(),
	})
	if pass == nil {
		return healthcheck.Sample{}, fmt.Errorf("sip: probe of %s: %s: %w", t.ID(), ruling.Why, sovereign.ErrFenced)
	}
	flow, err := e.flowTo(t, party, pass)
	if err != nil {
		return healthcheck.Sample{}, fmt.Errorf("sip: probe of %s: %w", t.ID(), err)
	}
	p := &pinger{toward: toward{e, t.Party, t.ID(), own}, done: make(chan pong, 1)}
	if flow.Proto().Reliable() && p.Meets().Kind == impair.None {
		if err := e.tl.Warm(ctx, flow); err != nil {
			return healthcheck.Sample{}, fmt.Errorf("sip: probe of %s: %w", t.ID(), err)
		}
	}
	id := token(8)
	s := e.shards[shardOf(id, len(e.shards))]
	s.loop.Post(func() {
		p.sent = time.Now()
		s.tx.Request(flow, s.probe(flow, party, t), p, transaction.WithTimeout(probeLimit(ctx)))
	})
	select {
	case <-ctx.Done():
		return healthcheck.Sample{}, fmt.Errorf("sip: probe of %s: no answer: %w", t.ID(), ctx.Err())
	case x := <-p.done:
		if x.err != nil {
			if errors.Is(x.err, transaction.ErrTimeout) {
				x.err = fmt.Errorf("no answer: %w", context.DeadlineExceeded)
			}
			return x.sample, fmt.Errorf("sip: probe of %s: %w", t.ID(), x.err)
		}
		return x.sample, nil
	}
}

// probeLimit bounds the transaction as the caller bounds the wait, so that nothing is sent for a probe that nobody waits for.
func probeLimit(ctx context.Context) time.Duration {
	if d, ok := ctx.Deadline(); ok {
		return max(time.Until(d), time.Millisecond)
	}
	return 32 * time.Second
}

func (s *shard) probe(f transport.Flow, p *Party, t healthcheck.Target) *msg.Request {
	name := t.Name
	if name == "" {
		name = t.Addr.Addr().Unmap().String()
	}
	target := msg.Uri{Scheme: "sip", Host: hostText(name), UriParams: msg.HeaderParams{{K: "transport", V: string(t.Transport)}}}
	contact := &s.reached(f, p.Contact).contact
	from := contact.Address
	from.User, from.UriParams, from.Port = "ping", nil, 0
	req := msg.NewRequest(msg.OPTIONS, target)
	hops := msg.MaxForwardsHeader(70)
	req.AppendHeader(&hops)
	req.AppendHeader(&msg.FromHeader{Address: from, Params: msg.HeaderParams{{K: "tag", V: token(10)}}})
	to := target
	to.UriParams = nil
	req.AppendHeader(&msg.ToHeader{Address: to})
	id := msg.CallIDHeader(s.newCallID())
	req.AppendHeader(&id)
	req.AppendHeader(&msg.CSeqHeader{SeqNo: 1, MethodName: msg.OPTIONS})
	req.AppendHeader(contact)
	req.AppendHeader(msg.NewHeader("Accept", typeSDP))
	s.brand(req)
	fill(req, nil)
	return req
}

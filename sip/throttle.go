package sip

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"github.com/cordonsip/cordon/sip/overload"
	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

// Overload control with the neighbours: RFC 7339 (loss) and RFC 7415 (rate), in the topmost Via.

// throttles are what the servers that we call asked us to hold back, by their address.
type throttles struct {
	sync.Mutex
	by map[netip.AddrPort]*overload.Client
}

// maxThrottles bounds them; servers that asked for nothing are not kept.
const maxThrottles = 4096

// lately is the wait of new calls on a loop and the live calls, against their limits.
func (e *Edge) lately(s *shard, now time.Time) overload.Load {
	return overload.Load{Lag: s.lobby.wait(now), MaxLag: maxLag, Calls: e.active.Load(), MaxCalls: int64(e.c.MaxCalls)}
}

// overloadTell answers a client that announces overload control: the parameters go into the topmost Via, which every response to the request repeats. RFC 7339
// section 5.2: only toward neighbours, so a stranger is told nothing.
func (e *Edge) overloadTell(s *shard, req *msg.Request, in transport.Incoming) {
	via := req.Via()
	if via == nil {
		return
	}
	v, offers := via.Params.Get("oc")
	if !offers || v != "" {
		return
	}
	p := e.profiles.Load().byName[in.Party]
	if p == nil {
		return
	}
	now := time.Now()
	percent := e.lately(s, now).Percent()
	s.lobby.mu.Lock()
	percent = s.lobby.level.Now(now, percent)
	s.lobby.mu.Unlock()
	a, ok := overload.Answer(via.Params.GetOr("oc-algo", ""), percent, p.MaxCPS, now)
	if !ok {
		return
	}
	for _, kv := range [...]msg.HeaderKV{{K: "oc", V: a.OC}, {K: "oc-algo", V: a.Algo}, {K: "oc-validity", V: a.Validity}, {K: "oc-seq", V: a.Seq}} {
		via.Params.Remove(kv.K)
		via.Params.Add(kv.K, kv.V)
	}
}

// overloadHear takes the feedback of a server that we called.
func (e *Edge) overloadHear(in transport.Incoming) {
	res, ok := in.Msg.(*msg.Response)
	if !ok || res.Via() == nil {
		return
	}
	params := res.Via().Params
	oc, ok := params.Get("oc")
	if !ok || oc == "" {
		return
	}
	if p := e.profiles.Load().byName[in.Party]; p == nil || !p.Guard.Overload {
		return // we announced nothing to it
	}
	f, ok := overload.Parse(overload.Params{
		OC: oc, Algo: params.GetOr("oc-algo", ""), Validity: params.GetOr("oc-validity", ""), Seq: params.GetOr("oc-seq", ""),
	})
	if !ok {
		return
	}
	now, at := time.Now(), in.Flow.Remote()
	e.throttles.Lock()
	defer e.throttles.Unlock()
	c := e.throttles.by[at]
	if c == nil {
		if f.Value == 0 && f.Algo == overload.Loss {
			return
		}
		if e.throttles.by == nil || len(e.throttles.by) >= maxThrottles {
			e.throttles.by = map[netip.AddrPort]*overload.Client{}
		}
		c = new(overload.Client)
		e.throttles.by[at] = c
	}
	c.Hear(now, f)
}

// mayDial says whether one more new dialog may go to a server. RFC 7339 section 5.10: what is held back goes to another server or is refused.
func (e *Edge) mayDial(to netip.AddrPort) bool {
	e.throttles.Lock()
	defer e.throttles.Unlock()
	c := e.throttles.by[to]
	if c == nil {
		return true
	}
	now := time.Now()
	if c.Idle(now) {
		delete(e.throttles.by, to)
		return true
	}
	return c.Admit(now, rand.Float64())
}

// viaParams is what we add to the Via of a request toward a party: that we do overload control, that its requests may use our connection (RFC 5923), and that we
// keep that connection warm (RFC 6223).
func (e *Edge) viaParams(f transport.Flow, req *msg.Request) msg.HeaderParams {
	pass := f.Pass()
	if pass == nil {
		return nil
	}
	p := e.profiles.Load().byName[pass.Ask().Party]
	if p == nil {
		return nil
	}
	var out msg.HeaderParams
	if p.Guard.Overload {
		out = append(out, msg.HeaderKV{K: "oc"}, msg.HeaderKV{K: "oc-algo", V: overload.Offer})
	}
	if p.Guard.Reuse && f.Proto() == transport.TLS {
		out = append(out, msg.HeaderKV{K: "alias"})
	}
	if p.pings(f) && negotiates(req) {
		out = append(out, msg.HeaderKV{K: "keep"})
	}
	return out
}

// throttled says why a hop gets no new call now, or "". exempt is an emergency call, or the second try of one that was let through.
func (e *Edge) throttled(p *Party, to netip.AddrPort, exempt bool) string {
	switch {
	case exempt:
	case !e.mayDial(to):
		return "throttled"
	case !e.spendRate(p, "out"):
		return "rate"
	}
	return ""
}

// onlyThrottled says that nothing but a rate kept a call from every hop that was tried.
func (c *call) onlyThrottled() bool {
	n := 0
	for _, a := range c.tried {
		switch a.Result {
		case "throttled", "rate":
			n++
		case "full":
		default:
			return false
		}
	}
	return n > 0
}

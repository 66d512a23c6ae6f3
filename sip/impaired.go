package sip

import (
	"strings"
	"time"

	"github.com/cordonsip/cordon/internal/impair"
	"github.com/cordonsip/cordon/sip/transaction"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// What a drill does to signalling. It is met here, in the node's own view: a message that is taken away does not leave, and one that came is not heard, so that nobody
// outside is harmed. It only ever takes away, and where the fence lets nothing through nothing is asked. Calls for help meet nothing, whatever a drill does.

// Impairments is what a drill has taken away, as the edge meets it.
type Impairments interface {
	// Any says whether anything is. It is asked for each message, so it must cost next to nothing.
	Any() bool
	// Target is what is met on the way to a member of a party, and from it; member "" is the party that called us. own says that who asks belongs to the drill.
	Target(party, member string, own bool) impair.Effect
	// Silent is since when what Target gives lets nothing cross; the zero time: something crosses.
	Silent(party, member string, own bool) time.Time
}

// meets is what is met toward a target, as healthcheck.Target.ID names it; "" for who calls us.
func (e *Edge) meets(party, target string, own bool) impair.Effect {
	i := e.c.Impaired
	if i == nil || !i.Any() {
		return impair.Effect{}
	}
	member, _, _ := strings.Cut(strings.TrimPrefix(target, party+"/"), "/")
	return i.Target(party, member, own)
}

// toward is a far end as drills know it, for what outlives its leg or has none.
type toward struct {
	e             *Edge // nil: nothing is ever met
	party, target string
	own           bool
}

// Meets implements transaction.Way.
func (w *toward) Meets() impair.Effect {
	if w.e == nil {
		return impair.Effect{}
	}
	return w.e.meets(w.party, w.target, w.own)
}

// own says that the leg belongs to a drill: it placed the call, or chose it and planned the way of this leg.
func (l *leg) own() bool { return l.drill != "" || l.c.plan.Purpose == sovereign.Drill }

// Meets implements transaction.Way.
func (l *leg) Meets() impair.Effect {
	if l.c.emergency() {
		return impair.Effect{}
	}
	return l.c.sh.e.meets(l.party.Name, l.target, l.own())
}

// toward is the far end of the leg without the leg.
func (l *leg) toward() toward {
	if l.c.emergency() || l.c.sh.e.c.Impaired == nil {
		return toward{}
	}
	return toward{l.c.sh.e, l.party.Name, l.target, l.own()}
}

// Meets implements transaction.Way for the INVITE of an attempt, for what goes into a dialog, and for a message.
func (t *attempt) Meets() impair.Effect  { return t.leg.Meets() }
func (x *exchange) Meets() impair.Effect { return x.l.Meets() }
func (p *page) Meets() impair.Effect     { return p.to.Meets() }
func (r *registrant) Meets() impair.Effect {
	return r.all.s.e.meets(r.party.Name, r.target.ID(), false)
}

// noteDrill writes into the receipt what a drill did to an attempt: what failed there did not fail by itself.
func (t *attempt) noteDrill() {
	if a := &t.c.tried[t.record]; a.Drill == "" {
		if e := t.Meets(); !e.Nothing() {
			a.Drill = e.String()
		}
	}
}

// unclear is how much earlier than a drill took its far end away a leg may seem to have fallen silent: who says nothing sends a packet now and then.
const unclear = time.Second

// silenced is what a drill does to the leg if it explains a silence that began at a moment; "": it does not. A silence that is older is none of a drill's.
func (l *leg) silenced(began time.Time) string {
	i := l.c.sh.e.c.Impaired
	if i == nil || !i.Any() || l.c.emergency() {
		return ""
	}
	since := i.Silent(l.party.Name, memberOf(l.target), l.own())
	if since.IsZero() || began.Before(since.Add(-unclear)) {
		return ""
	}
	return l.Meets().String()
}

// alone says that a drill takes away from its own calls what others have: what this call met on that leg says nothing of the target. Calls that are planned in a drill's
// view tell that view alone in any case.
func (c *call) alone(l *leg) bool {
	return c.plan.Drill == "" && l.own() && c.sh.e.meets(l.party.Name, l.target, false) != l.Meets()
}

// detains keeps a request back that comes from who is gone, or is late, and says whether it did. Answers are kept back by their transactions. What is late keeps the order
// of its own call alone: another one of the same party may be for help, or not the drill's.
func (s *shard) detains(in transport.Incoming) bool {
	req, ok := in.Msg.(*msg.Request)
	if !ok {
		return false
	}
	e, p := s.meetsFrom(req, in), in.Flow.Proto()
	d, arrives := transaction.Late(e, p)
	if transaction.Shuts(e, p) || !arrives {
		s.lobby.forget(keyOf(req, in.Party)) // it may be repeated when its party is back
		return true
	}
	now, id := time.Now(), req.CallID().Value()
	at := now.Add(d)
	if last := s.late[id]; last.After(at) { // what comes behind it stays behind it
		at = last
	}
	if !at.After(now) {
		return false
	}
	last := at.Add(time.Microsecond)
	if s.late == nil {
		s.late = map[string]time.Time{}
	}
	s.late[id] = last
	s.loop.After(at.Sub(now), func() {
		if s.late[id].Equal(last) {
			delete(s.late, id)
		}
		in.At = time.Now()
		s.tx.Receive(in)
	})
	return true
}

// meetsFrom is what a request meets on its way to us. What belongs to a call for help, or begins one, meets nothing.
func (s *shard) meetsFrom(req *msg.Request, in transport.Incoming) impair.Effect {
	id := req.CallID().Value()
	if s.sos[id] > 0 {
		return impair.Effect{}
	}
	if to := req.To(); to != nil {
		if tag := to.Params.GetOr("tag", ""); tag != "" {
			switch at := s.end(legKey{id, tag}); {
			case at.leg != nil:
				return at.leg.Meets()
			case at.grave != nil:
				return at.grave.Meets()
			}
		}
	}
	e := s.e.meets(in.Party, "", false)
	if p := s.e.profiles.Load().byName[in.Party]; !e.Nothing() && p != nil && s.emergencyInvite(req, p) {
		return impair.Effect{}
	}
	return e
}

// maxOwed bounds the farewells that one loop keeps for when their way is back.
const maxOwed = 4096

// gone says that a drill has the way of a farewell.
func (w *farewell) gone() bool {
	e := w.Meets()
	return transaction.Shuts(e, w.flow.Proto()) || e.Kind == impair.Unavailable
}

// owe keeps a farewell that a drill took away: its far end is real, and must not be left with a call that has ended here. False: nothing took it away.
func (w *farewell) owe() bool {
	if !w.gone() || w.req.Method != msg.BYE || len(w.s.owed) >= maxOwed {
		return false
	}
	w.s.owed = append(w.s.owed, w)
	return true
}

// settleOwed sends the farewells whose way is back.
func (s *shard) settleOwed() {
	list := s.owed
	s.owed = nil
	for _, w := range list {
		if w.gone() {
			s.owed = append(s.owed, w)
			continue
		}
		w.again(nil)
	}
}

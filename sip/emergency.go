package sip

import (
	"time"

	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// A call for help goes on whatever the law does meanwhile: its legs rest on passes of their own, which only a denial kills, and what belongs to it is taken
// from places that are held by now, or were from the beginning. Nothing else is, and nothing else is answered there.

// excused says whether a message of a held source belongs to an emergency call, or begins one. What does not is dropped without a word and counted.
func (s *shard) excused(in transport.Incoming) bool {
	req, ok := in.Msg.(*msg.Request)
	if !ok {
		return true // an answer: of what was asked there lawfully, or nobody's
	}
	id := req.CallID().Value()
	if s.belongs(req, id) || s.finishing(req, id) {
		return true
	}
	party := s.e.profiles.Load().byName[in.Party]
	if party != nil && s.emergencyInvite(req, party) && party.sendsFrom(in.Flow.Remote().Addr(), in.Flow.Peer()) {
		s.needs(id) // for as long as its transaction may last: also a refusal wants its ACK
		s.loop.After(64*s.e.c.Timers.T1, func() { s.spare(id) })
		return true
	}
	name, r := in.Party, &sovereign.Ruling{Ground: sovereign.GroundUnknownParty, Why: "no party of that name"}
	if party != nil {
		r = s.e.screen.judge(party, in.Flow.Remote(), sovereign.Production)
	}
	s.e.screen.refused(name, in.Flow.Remote(), r.Ground, r.Why)
	if to := req.To(); to != nil {
		if l := s.leg(legKey{id, to.Params.GetOr("tag", "")}); l != nil && l.moves(in) {
			l.moved(in, r)
		}
	}
	return false
}

// belongs says whether a request is of an emergency call that is known: of its INVITE's transaction, or of its dialog.
func (s *shard) belongs(req *msg.Request, id string) bool {
	if s.sos[id] == 0 {
		return false
	}
	switch req.Method {
	case msg.INVITE, msg.ACK, msg.CANCEL:
		return true
	}
	if req.To() == nil {
		return false
	}
	l := s.leg(legKey{id, req.To().Params.GetOr("tag", "")})
	return l != nil && l.c.emergency()
}

// emergencyInvite says whether a request asks for an emergency call: only the planner knows the numbers.
func (s *shard) emergencyInvite(req *msg.Request, party *Party) bool {
	if req.Method != msg.INVITE || req.From() == nil || req.To() == nil || req.To().Params.GetOr("tag", "") != "" {
		return false
	}
	return s.e.c.Planner.Plan(s.asked(req, party).request(party.Name, time.Now())).Purpose == sovereign.EmergencyCall
}

// needs and spare count who still needs what belongs to a Call-ID to be let in.
func (s *shard) needs(id string) { s.sos[id]++ }

func (s *shard) spare(id string) {
	if s.sos[id]--; s.sos[id] <= 0 {
		delete(s.sos, id)
	}
}

// excuse gives the same way with the pass of an emergency call, which no suspension, no narrower policy and no end of a grant closes.
func (e *Edge) excuse(f transport.Flow, p *Party) (_ transport.Flow, release func()) {
	pass, _ := e.c.Fence.Pass(sovereign.Ask{
		Party: p.Name, Plane: sovereign.Signalling, Purpose: sovereign.EmergencyCall, Addr: f.Remote(), Keys: p.Keys, At: time.Now(),
	})
	return e.tl.Under(f, pass)
}

// let gives back what kept this leg's way open for an emergency call.
func (l *leg) let() {
	if l.release != nil {
		l.release()
		l.release = nil
	}
}

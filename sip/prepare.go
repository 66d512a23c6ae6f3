package sip

import (
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
)

// preparation is what a call needs before anything is dialled, on its way there and back: its references, its media session, and its intent on the disk. It is used
// again by the next calls of its loop.
type preparation struct {
	intention
	of  prepared
	run func() // work, made once
}

// prepared is what the preparation of one call needs, and what it brings back.
type prepared struct {
	c                      *call
	at                     time.Time
	wait                   time.Duration
	callID, caller, called string
	relay                  *media.Relay // nil: no session is opened
	id                     string       // of the session
	leg                    media.Leg

	ref        string
	refs       []audit.PartyRef
	session    *media.Session
	log, media error
}

// maxPreparations bounds those that wait for a call.
const maxPreparations = 64

// preparation gives one that is blank.
func (s *shard) preparation() *preparation {
	if n := len(s.preps); n > 0 {
		p := s.preps[n-1]
		s.preps = s.preps[:n-1]
		return p
	}
	p := &preparation{}
	p.make(s.e, s, p.over)
	p.run = p.work
	return p
}

// work runs off the loop.
func (p *preparation) work() {
	e, of := p.e, &p.of
	of.ref, of.refs = e.c.Names.Call(of.callID, of.caller, of.called)
	if h := e.c.Log.Health(); !h.OK {
		of.log = audit.ErrLogDown
	}
	if of.relay != nil {
		of.session, of.media = of.relay.Open(of.id, of.leg)
	}
	p.begin(of.ref, of.at, of.wait)
}

// over lets the call go on, on the loop. Of an intent that took too long somebody may still be told, so that preparation is not used again.
func (p *preparation) over(err error) {
	if err != nil {
		p.of.log = err
	}
	of, s := &p.of, p.sh
	of.c.ready(of)
	if p.late {
		return
	}
	p.of, p.ref, p.err = prepared{}, "", nil
	p.settled.Store(false)
	if len(s.preps) < maxPreparations {
		s.preps = append(s.preps, p)
	}
}

package sip

import (
	"encoding/json"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// Kept is one record of the book that the last run left.
type Kept struct {
	Key   string
	Value []byte
}

// Resumed says what became of the calls of the last run.
type Resumed struct {
	Calls   int      // up again
	Ended   int      // could not go on: who can still be reached gets BYE
	Records int      // had ended; what the log did not have of them is written now
	Unread  int      // records that were not understood; their media is closed
	Refs    []string // of all of these but the last: they are told of by records of their own
}

// skipped is by how much our sequence numbers go up: more requests than this were not sent in a dialog since it was written down.
const skipped = 1000

// settling is how long after the start the first word is said on calls of the last run: the sockets are served by then.
const settling = 100 * time.Millisecond

// Restore takes up the calls that the last run left, once, before Run: nobody else is on the loops. Each way back is judged by the policy of now; a call whose
// way is not permitted ends as a running one would. recorded says whether the log has the receipt of a call already; nil: of none.
func (e *Edge) Restore(list []Kept, recorded func(ref string) bool) (out Resumed) {
	if e.c.Outlive.Book == nil {
		return out
	}
	ended := map[string]bool{} // calls, by their id
	for _, k := range list {
		if id, is := isEnd(k.Key); is {
			ended[id] = true
		}
	}
	for _, k := range list {
		id, is := isEnd(k.Key)
		switch {
		case is:
			e.restoreEnd(k, recorded, &out)
		case ended[id]:
			e.discard(k.Key, nil)
		default:
			e.restoreCall(k, recorded, &out)
		}
	}
	return out
}

// isEnd says whether a key is that of the records of an ended call, and gives the call's id.
func isEnd(key string) (id string, is bool) {
	if n := len(key) - len(endOf("")); n > 0 && key[n:] == endOf("") {
		return key[:n], true
	}
	return key, false
}

// KeptRefs are the references of the calls that Restore will tell of.
func KeptRefs(list []Kept) (refs []string) {
	for _, k := range list {
		if _, is := isEnd(k.Key); is {
			var x epitaph
			if len(k.Value) > 0 && k.Value[0] == savedVersion && json.Unmarshal(k.Value[1:], &x) == nil && x.Receipt.CallRef != "" {
				refs = append(refs, x.Receipt.CallRef)
			}
		} else if s, err := readCall(k.Value); err == nil {
			refs = append(refs, s.ref)
		}
	}
	return refs
}

// discard forgets a call and closes its media, if that is there.
func (e *Edge) discard(id string, saved []byte) {
	e.c.Outlive.Book.Delete(id)
	if readopt := e.c.Outlive.Readopt; readopt != nil {
		if s, err := readopt(id, saved); err == nil && s != nil {
			s.Close()
		}
	}
}

// restoreEnd writes what the log did not get of a call that had ended.
func (e *Edge) restoreEnd(k Kept, recorded func(string) bool, out *Resumed) {
	var x epitaph
	if len(k.Value) == 0 || k.Value[0] != savedVersion || json.Unmarshal(k.Value[1:], &x) != nil || x.Receipt.CallRef == "" {
		out.Unread++
		e.log.Error("the records of an ended call were not understood; the gap record names it", "bytes", len(k.Value))
		e.c.Outlive.Book.Delete(k.Key)
		return
	}
	ref := x.Receipt.CallRef
	out.Records++
	out.Refs = append(out.Refs, ref)
	if recorded != nil && recorded(ref) {
		e.c.Intents.End(ref)
		e.c.Outlive.Book.Delete(k.Key)
		return
	}
	e.shards[0].loop.Post(func() {
		r := &recording{}
		r.begin(e, ref, x.Receipt.Session, func() {
			if r.failed.Load() == 0 {
				e.c.Outlive.Book.Delete(k.Key)
			}
		}, 2)
		for _, ev := range [...]audit.Event{&x.Ended, &x.Receipt} {
			e.write(ev, r.settled)
		}
	})
}

// restoreCall takes up one call.
func (e *Edge) restoreCall(k Kept, recorded func(string) bool, out *Resumed) {
	s, err := readCall(k.Value)
	if err != nil {
		out.Unread++
		e.log.Error("a call of the last run cannot be taken up: its media is closed, its ends will find it gone", "error", err, "bytes", len(k.Value))
		e.discard(k.Key, nil)
		return
	}
	out.Refs = append(out.Refs, s.ref)
	if recorded != nil && recorded(s.ref) {
		out.Records++
		e.c.Intents.End(s.ref)
		e.discard(k.Key, s.media)
		return
	}
	c := e.rebuild(s)
	why := e.takeUp(s)
	c.enter()
	if why == nil {
		out.Calls++
		c.resume(s)
		return
	}
	out.Ended++
	c.sh.loop.After(settling, func() {
		c.know() // until now nobody could speak on it
		c.hangup(byEdge, *why)
	})
}

// rebuild makes the call anew, of what was read and of the parties of now.
func (e *Edge) rebuild(s *savedCall) *call {
	c, all := s.c, e.profiles.Load()
	party := func(name string) *Party {
		if p := all.byName[name]; p != nil {
			return p
		}
		return &Party{Name: name} // it is not in the configuration any more, and no fence lets anything out to it
	}
	c.sh = e.shards[shardOf(s.a.l.callID, len(e.shards))]
	c.party, c.a, c.b = party(s.party), s.a.l, s.b.l
	ref := s.ref
	c.ref.Store(&ref)
	c.ask.callID, c.ask.purpose = c.a.callID, c.plan.Purpose
	for side, x := range [...]*savedLeg{media.A: &s.a, media.B: &s.b} {
		l := x.l
		l.c, l.side, l.party = c, media.Side(side), party(x.party)
		l.auth = newDigester(l.party)
		l.dlg.LocalSeq += skipped
		if c.emergency() {
			c.sh.needs(l.callID)
		}
	}
	return c
}

// takeUp finds the media and the ways of a call again. nil: it goes on; else why it does not.
func (e *Edge) takeUp(s *savedCall) *reason {
	c := s.c
	var why *reason
	session, err := (*media.Session)(nil), errNoMedia
	if readopt := e.c.Outlive.Readopt; readopt != nil {
		session, err = readopt(c.id, s.media)
	}
	if err != nil {
		e.log.Warn("the media of a call did not outlive the last run", "call", s.ref, "error", err)
		why = &reason{"SIP", 500, "the media was lost in a restart"}
	} else {
		c.media.Store(session)
		c.followed()
	}
	for _, x := range [...]*savedLeg{&s.a, &s.b} {
		if r := e.wayBack(x); r != nil {
			why = r
		}
		if told := e.c.Outlive.Told; told != nil && err == nil {
			if sdp := told(session, x.l.side); sdp != nil {
				x.l.sent = sdp
			}
		}
	}
	return why
}

// enter counts the call in, as begin does.
func (c *call) enter() {
	e := c.sh.e
	c.sh.calls[c] = struct{}{}
	e.active.Add(1)
	e.metrics.active.Inc()
	e.live.add(c)
	for _, p := range c.taken {
		e.partyLoad(p).Add(1)
	}
	if c.ask.session != "" {
		e.ids.Store(c.loopKey(), nil)
	}
	c.setState("up")
	for _, l := range [...]*leg{c.a, c.b} {
		l.traceLeg()
		if e.shards[shardOf(l.callID, len(e.shards))] != c.sh { // it came by a transfer, or there are more loops or fewer than there were
			e.guests.seat(c.sh, l.callID, l.dlg.Remote.Tag)
			l.guest = true
		}
	}
	c.traceName(c.reference())
}

// know lets the ends of the call be found by what arrives.
func (c *call) know() {
	for _, l := range [...]*leg{c.a, c.b} {
		c.sh.ends[l.tag] = end{leg: l}
	}
}

// resume goes on with the call where it was.
func (c *call) resume(s *savedCall) {
	c.know()
	for _, x := range [...]*savedLeg{&s.a, &s.b} {
		x.l.timing.resume(x.l)
		x.resume()
	}
}

// resume refuses the INVITE of the peer that was under way, with a word that lets it ask again: RFC 3261 section 14.2.
func (x *savedLeg) resume() {
	l := x.l
	if x.interrupted == nil {
		return
	}
	m, err := transport.Parse(x.interrupted)
	req, ok := m.(*msg.Request)
	if err != nil || !ok || req.CSeq() == nil {
		return
	}
	if seq := req.CSeq().SeqNo; l.dlg.RemoteSeq == seq {
		l.dlg.RemoteSeq-- // it may come again by itself
	}
	if l.torn == nil {
		l.torn = &torn{}
	}
	l.torn.asked = true
	sh := l.c.sh
	sh.loop.After(settling, func() {
		if l.flow.Valid() && !l.ended {
			sh.tx.Receive(transport.Incoming{Msg: req, Flow: l.flow, Party: l.party.Name, At: time.Now()})
		}
	})
}

// torn is what was under way on a leg when the last run ended.
type torn struct {
	asked bool   // an INVITE of the peer
	seq   uint32 // CSeq of an INVITE of ours; 0: none
	bare  bool   // it carried no offer
}

// wasTorn refuses the INVITE that was under way when the last run ended.
func (l *leg) wasTorn() bool {
	if l.torn == nil || !l.torn.asked {
		return false
	}
	l.torn.asked = false
	return true
}

// mendAfter is how long the far end of a torn change is left with it: who asked for the change is asking again.
const mendAfter = 5 * time.Second

// mends takes a 2xx to an INVITE that went out before the last run ended: it is acknowledged, and unless who asked for it asks again, its sender is told how the
// session is.
func (l *leg) mends(res *msg.Response, seq uint32) bool {
	t := l.torn
	if t == nil || t.seq == 0 || t.seq != seq || l.ended || l.c.ended {
		return false
	}
	t.seq = 0
	_ = l.dlg.Refresh(res)
	var answer []byte
	if offer, ok := bodySDP(res); ok && t.bare {
		answer = decline(l.flow, offer)
	}
	l.settle(seq, answer)
	last := l.dlg.Invite
	l.c.sh.loop.After(mendAfter, func() {
		if !l.ended && !l.c.ended && l.dlg.Invite == last && !l.open() {
			l.refreshBy(msg.INVITE)
		}
	})
	return true
}

// resume runs the interval on from where it was. A refresh of the peer that fell into the restart is coming again.
func (s *sessionTimer) resume(l *leg) {
	if s.interval == 0 {
		return
	}
	whole := time.Duration(s.interval) * time.Second
	if s.over.IsZero() || time.Until(s.over) > whole {
		s.over = time.Now().Add(whole)
	}
	if s.ours {
		var one [1]byte
		l.c.sh.dice.draw(one[:])
		spread := settling + time.Duration(one[0])*10*time.Millisecond
		s.timer = l.c.sh.loop.After(max(time.Until(s.over)-whole/2, spread), l.refresh)
		return
	}
	left := time.Until(s.over) - min(32*time.Second, whole/3)
	s.timer = l.c.sh.loop.After(max(left, 10*time.Second), func() {
		l.c.hangup(byEdge, reason{"SIP", 408, "session expired"})
	})
}

// pass is the permission to speak to the far end of a leg at an address; nil without one.
func (l *leg) passTo(at netAddrPort) (*sovereign.Pass, sovereign.Ruling) {
	e := l.c.sh.e
	a := sovereign.Ask{Party: l.party.Name, Plane: sovereign.Signalling, Addr: at, Keys: l.party.Keys, At: time.Now(), Began: l.c.start.UnixNano()}
	if l.target != "" || l.c.emergency() {
		a.Purpose = l.c.plan.Purpose
	}
	return e.c.Fence.Pass(a)
}

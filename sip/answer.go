package sip

import (
	"time"

	"github.com/cordonsip/cordon/sip/dialog"
	msg "github.com/emiago/sipgo/sip"
)

// provisional moves the timers on and relays what the caller should see.
func (t *attempt) provisional(res *msg.Response, seen mentions) {
	c := t.c
	if !t.alive {
		t.alive, t.overdue = true, false
		t.wait(c.within(t.leg.party.Within.Progress, 12*time.Second), (*attempt).stalled)
	}
	if res.StatusCode < 180 {
		return
	}
	if res.StatusCode == 199 {
		t.terminated(res)
		return
	}
	if t.pdd == 0 {
		t.pdd = time.Since(t.sent)
	}
	stopTimer(&c.setup)
	t.ring(res.StatusCode)
	d, err := t.dialogOf(res)
	reliable := t.rel && seen.any(mentionsRequire) && lists(res, "require", "100rel") && err == nil
	sdp, _ := bodySDP(res)
	if reliable && !t.inOrder(d, res) {
		return
	}
	if err == nil {
		t.leg.update = seen.any(mentionsAllow) && lists(res, "allow", "UPDATE")
	}
	if reliable && c.ask.sdp == nil && sdp != nil {
		t.offers(d, res, sdp)
		return
	}
	if reliable {
		t.prack(d, res, nil, sdp != nil)
	}
	var out []byte
	switch {
	case sdp == nil || c.ask.sdp == nil:
	case t.gated(res), t.unheard():
		if err == nil {
			t.leg.note(d.Remote.Tag, sdp) // the answer all the same, if it stands in a reliable response
		}
	default:
		if out, err = t.hear(d, sdp); err != nil {
			if r := asRefusal(err); r.Status == 403 {
				c.held = true
				t.give("media_403", reason{"SIP", 403, "media place refused by policy"})
				return
			}
			out = nil // not a good early answer: the final one decides
		} else {
			c.early = out
		}
	}
	c.setState("ringing")
	c.progress(res, out, reliable)
}

// rang is the ring timer: nobody picked up.
func (t *attempt) rang() {
	t.c.front(t)
	t.c.tried[t.record].TookMS = ms(time.Since(t.sent))
	t.result("no_answer")
	t.outcome(true, false, 0, "no answer", true)
	t.abandon([]reason{{"SIP", 408, "no answer"}})
	why := reason{"Q.850", 19, "no answer"}
	if !t.c.heeds(480, []reason{why}) {
		t.c.refuse(480, "failed", why)
	}
}

// dialogOf gives the dialog that a response belongs to, by its To-tag: forks have several.
func (t *attempt) dialogOf(res *msg.Response) (*dialog.Dialog, error) {
	to := res.To()
	if to == nil {
		return nil, dialog.ErrNoTag
	}
	if d := t.leg.early.of(to.Params.GetOr("tag", "")); d != nil {
		return d, d.Refresh(res)
	}
	d, err := dialog.UAC(t.leg.invite, res)
	if err != nil {
		return nil, err
	}
	if len(t.leg.early) < 16 {
		t.leg.early = append(t.leg.early, d)
	}
	return d, nil
}

// answered takes the first 2xx. A later one of another fork is ended by leg.again.
func (t *attempt) answered(res *msg.Response, seen mentions) {
	c, l := t.c, t.leg
	t.stop()
	c.tried[t.record].TookMS = ms(time.Since(t.sent))
	d, err := t.dialogOf(res)
	if err == nil {
		err = d.Confirm(res)
	}
	sdp, _ := bodySDP(res)
	ours := t.branch == nil || c.inForce == t
	if !ours {
		c.early = nil // what the caller heard early was another one's
	}
	inForce := err == nil && l.settled == d.Remote.Tag && l.fork == d && ours
	if err == nil {
		if said, sure := l.saidBy(d.Remote.Tag); sdp == nil || sure {
			sdp = said // RFC 6337 section 3.1.1: what was answered reliably, a 2xx does not change
		}
	}
	if l.closed(time.Now()) { // the law changed while it rang: no ACK can leave, and nothing may be put through
		c.held = true
		t.unusable(res, "fenced", 0)
		return
	}
	if err != nil || (sdp == nil && !inForce && (c.ask.sdp == nil || c.early == nil)) {
		t.unusable(res, "no_session", 502)
		return
	}
	d.Detach()
	l.dlg, l.early, l.fork, l.said = d, nil, nil, nil
	l.update = seen.any(mentionsAllow) && lists(res, "allow", "UPDATE")
	l.replaces = seen.any(mentionsSupported) && lists(res, "supported", "replaces")
	seq := res.CSeq().SeqNo
	if c.ask.sdp == nil {
		t.win(res)
		c.delayed(res, sdp, seq)
		return
	}
	out := c.early
	if sdp != nil && !inForce {
		if out, err = t.hear(d, sdp); err != nil {
			l.dlg = nil
			r := asRefusal(err)
			c.refusal = r
			c.held = c.held || r.Status == 403
			t.unusable(res, "media_"+itoa(r.Status), 0)
			return
		}
	}
	t.win(res)
	l.settle(seq, nil)
	c.connected(res, out, nil)
}

// win makes this attempt's leg the call's.
func (t *attempt) win(res *msg.Response) {
	t.done = true
	t.c.b = t.leg
	t.c.reason, t.c.grant = t.hop.Reason, t.hop.Grant
	t.c.overtake(res)
	t.result(itoa(res.StatusCode))
	t.outcome(true, false, 0, "answered", true)
	t.c.taken = append(t.c.taken, t.leg.party.Name)
	delete(t.c.sh.ours, t.leg.callID)
	t.leg.timing.agreed(t.leg, res)
}

// unusable ends an answer that no session can be made of and goes on with the next hop.
func (t *attempt) unusable(res *msg.Response, word string, status int) {
	t.leg.drop(res)
	t.result(word)
	t.outcome(true, false, 0, word, true)
	if status > 0 {
		t.c.remember(status, nil)
	}
	t.leave()
}

package sip

import (
	"strconv"
	"strings"
	"time"

	"github.com/cordonsip/cordon/sip/transaction"
	msg "github.com/emiago/sipgo/sip"
)

// RFC 4028 section 4: no interval under 90 s; 30 min is what it recommends.
const (
	minSE      = 90
	minSEText  = "90"
	defaultSE  = 30 * time.Minute
	maxSE      = 24 * 3600
	refreshing = "uac"
)

// seconds is the interval that a party's profile asks for; 0 when it is off.
func seconds(d time.Duration) uint32 {
	switch {
	case d < 0:
		return 0
	case d == 0:
		d = defaultSE
	}
	return uint32(min(max(d, minSE*time.Second), maxSE*time.Second) / time.Second)
}

// expires is the Session-Expires of an INVITE that asks for n seconds. It is the same for most calls, and made once for those.
func (s *shard) expires(n uint32) msg.Header {
	if s.asks.header == nil || s.asks.seconds != n {
		s.asks.seconds, s.asks.header = n, msg.NewHeader("Session-Expires", strconv.Itoa(int(n)))
	}
	return s.asks.header
}

// atLeast is the Min-SE of a request, raised to n by a peer.
func atLeast(n uint32) msg.Header {
	if n <= minSE {
		return minSEs
	}
	return msg.NewHeader("Min-SE", strconv.Itoa(int(n)))
}

func refresherOf(m msg.Message) string {
	for p := range strings.SplitSeq(value(m, "session-expires"), ";") {
		if k, v, ok := strings.Cut(strings.TrimSpace(p), "="); ok && strings.EqualFold(strings.TrimSpace(k), "refresher") {
			return strings.ToLower(strings.TrimSpace(v))
		}
	}
	return ""
}

// sessionTimer keeps one dialog's session alive, or notices that the other end does not. RFC 4028.
type sessionTimer struct {
	interval uint32 // seconds; 0: off
	least    uint32 // the largest Min-SE that the peer asked for
	ours     bool   // we refresh
	timer    transaction.Timer
	over     time.Time // when the session has expired, unless it is refreshed
	retried  bool
}

// agree decides about a request of the peer that we answer with 2xx and gives the headers for it. RFC 4028 section 9.
func (s *sessionTimer) agree(l *leg, a *ask) []msg.Header {
	want := seconds(l.party.Refresh)
	if !a.timer && l.party.Refresh <= 0 || want == 0 && a.expires == 0 {
		s.interval = 0
		return nil
	}
	s.interval = a.expires
	if s.interval == 0 || (want > 0 && want < s.interval) {
		s.interval = want
	}
	s.interval = min(max(s.interval, a.least, minSE), maxSE) // never below the Min-SE of the request
	s.ours = a.refresh == "uas" || !a.timer                  // who does not know the word cannot refresh: table 2
	who := refreshing
	if s.ours {
		who = "uas"
	}
	h := []msg.Header{msg.NewHeader("Session-Expires", strconv.Itoa(int(s.interval))+";refresher="+who)}
	if !s.ours {
		h = append(h, needsTimer)
	}
	return h
}

// agreed reads what the peer decided about a request of ours. RFC 4028 section 7.2.
func (s *sessionTimer) agreed(l *leg, res *msg.Response) {
	n, ok := number(res, "session-expires")
	if !ok { // the peer wants none; an interval that it asks for holds, wanted or not
		s.interval = 0
		return
	}
	s.interval = min(max(n, minSE), maxSE)
	s.ours = refresherOf(res) != "uas"
}

func (s *sessionTimer) stop() { stopTimer(&s.timer) }

// start runs the interval anew: half of it until our refresh, or nearly all of it until the peer's is overdue. RFC 4028 section 10.
func (s *sessionTimer) start(l *leg) {
	s.stop()
	if s.interval == 0 || l.ended || l.dlg == nil {
		return
	}
	whole := time.Duration(s.interval) * time.Second
	s.over, s.retried = time.Now().Add(whole), false
	if s.ours {
		s.timer = l.c.sh.loop.After(whole/2, l.refresh)
		return
	}
	s.timer = l.c.sh.loop.After(whole-min(32*time.Second, whole/3), func() {
		l.c.hangup(byEdge, reason{"SIP", 408, "session expired"})
	})
}

// refresh asks the peer whether it is still there: by UPDATE where it can, else by re-INVITE with the session description as it was.
func (l *leg) refresh() {
	if l.ended || l.c.ended {
		return
	}
	if l.in != nil || l.out != nil || l.waiting != nil {
		l.timing.timer = l.c.sh.loop.After(2*time.Second, l.refresh)
		return
	}
	if l.deaf() {
		l.timing.later(l)
		return
	}
	method := msg.INVITE
	if l.update {
		method = msg.UPDATE
	}
	l.refreshBy(method)
}

// later asks again soon on a leg that nothing can be sent on now, until the session has expired.
func (s *sessionTimer) later(l *leg) {
	if time.Until(s.over) > 0 {
		s.timer = l.c.sh.loop.After(5*time.Second, l.refresh)
		return
	}
	l.c.gone(l, 408)
}

// repeated is the description that the peer was sent last, which is sent once more.
func (l *leg) repeated() []byte {
	if s, said := l.c.media.Load(), l.c.sh.e.c.Outlive.Said; s != nil && said != nil && len(l.sent) > 0 {
		said(s, l.side)
	}
	return l.sent
}

// refreshBy asks by a method.
func (l *leg) refreshBy(method msg.RequestMethod) {
	hs := []msg.Header{
		msg.NewHeader("Session-Expires", strconv.Itoa(int(l.timing.interval))+";refresher="+refreshing),
		atLeast(l.timing.least),
	}
	if l.timing.interval == 0 {
		hs = nil
	}
	req := l.build(method, hs...)
	if method == msg.INVITE {
		setSDP(req, l.repeated())
	} else {
		fill(req, nil)
	}
	l.out = l.send(req, func(res *msg.Response, err error) { l.refreshed(method, res, err) })
}

func (l *leg) refreshed(method msg.RequestMethod, res *msg.Response, err error) {
	if l.ended || l.c.ended {
		return
	}
	switch {
	case err != nil && l.accepts && l.flow.Key().Conn == 0: // it was dialled where it need not be; it comes back by itself
		l.timing.later(l)
	case err != nil, res.StatusCode == 408, res.StatusCode == 481:
		l.c.gone(l, 408)
	case res.IsSuccess():
		if method == msg.INVITE {
			l.settle(res.CSeq().SeqNo, l.counter(res))
		}
		_ = l.dlg.Refresh(res)
		if n, ok := number(res, "session-expires"); ok {
			l.timing.interval = min(max(n, minSE), maxSE)
			l.timing.ours = refresherOf(res) != "uas"
		}
		l.timing.start(l)
		l.c.save()
	case res.StatusCode == 491:
		l.timing.timer = l.c.sh.loop.After(l.glare(), l.refresh)
	case res.StatusCode == 422 && !l.timing.retried:
		if n, ok := number(res, "min-se"); ok && n > l.timing.interval && n <= maxSE {
			l.timing.interval, l.timing.least, l.timing.retried = n, n, true
			l.refresh()
			return
		}
		l.timing.retry(l, res)
	case method == msg.UPDATE && (res.StatusCode == 405 || res.StatusCode == 501):
		l.update = false
		l.refresh()
	default:
		l.timing.retry(l, res)
	}
}

// counter is the answer to the offer in a 2xx to a refresh that could make none: what was sent to this leg last is not known after a restart. RFC 3264 section 8: it
// offers what it has, and what is agreed on stays.
func (l *leg) counter(res *msg.Response) []byte {
	offer, ok := bodySDP(res)
	s := l.c.media.Load()
	if l.sent != nil || !ok || offer == nil || s == nil {
		return nil
	}
	answer, err := s.Reoffer(l.side, offer)
	if err != nil {
		return decline(l.flow, offer)
	}
	l.sent = answer
	return answer
}

// retry asks again after a refusal, as long as the session has not expired: at its end it is over. RFC 4028 section 10.
func (s *sessionTimer) retry(l *leg, res *msg.Response) {
	pause := max(retryAfter(res), 5*time.Second)
	if left := time.Until(s.over); left > pause {
		s.timer = l.c.sh.loop.After(pause, l.refresh)
		return
	}
	s.timer = l.c.sh.loop.After(time.Until(s.over), func() {
		l.c.hangup(byEdge, reason{"SIP", 408, "session expired"})
	})
}

// glare is the pause after a 491: who owns the Call-ID waits longer. RFC 3261 section 14.1.
func (l *leg) glare() time.Duration {
	n := time.Duration(token(1)[0]) % 20 // of a hundred milliseconds
	if l.target != "" {                  // ours was the INVITE, so ours is the Call-ID
		return 2100*time.Millisecond + n*95*time.Millisecond
	}
	return n * 100 * time.Millisecond
}

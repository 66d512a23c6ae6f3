package carrier

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// clientTx is a request of ours that waits for its final response (RFC 3261 section 17.1, with the 2xx rules of RFC 6026). It stays for 64*T1 after
// the final response, to answer retransmissions.
type clientTx struct {
	p       *Peer
	key     string
	req     *message
	raw     []byte
	ack     []byte // of a non-2xx final response
	to      path
	proceed bool
	status  int // final
	on      func(*message)
}

// serverTx is a request that we answer.
type serverTx struct {
	p      *Peer
	key    string
	req    *message
	from   path
	last   []byte
	status int // of last
	acked  bool
	toTag  string
}

func (p *Peer) lifetime() time.Duration { return 64 * p.cfg.T1 }

// via makes the Via of a new branch.
func (p *Peer) via(branch string) string {
	return fmt.Sprintf("SIP/2.0/%s %s;branch=%s;rport", strings.ToUpper(p.cfg.Proto), p.addr, branch)
}

func (p *Peer) branch() string { return "z9hG4bK" + p.token() }

// start sends a request. on is called under mu with every response that is not a retransmission but for 2xx to INVITE, and with nil when nothing
// final came in 64*T1.
func (p *Peer) start(req *message, to path, on func(*message)) *clientTx {
	t := &clientTx{p: p, key: param(req.get("Via"), "branch") + " " + req.method, req: req, raw: req.bytes(), to: to, on: on}
	p.clients[t.key] = t
	p.send(to, t.raw)
	if p.cfg.Proto == "udp" {
		p.after(p.cfg.T1, func() { t.retransmit(p.cfg.T1) })
	}
	// An INVITE may ring for long: Timer B only guards the time until a provisional response.
	p.after(p.lifetime(), func() {
		if !t.proceed || req.method != "INVITE" {
			t.fail()
		}
	})
	return t
}

// fail ends a request without a final response.
func (t *clientTx) fail() {
	if t.status == 0 {
		t.status = 408
		delete(t.p.clients, t.key)
		t.on(nil)
	}
}

func (t *clientTx) retransmit(last time.Duration) {
	if t.status != 0 || t.p.clients[t.key] != t || t.req.method == "INVITE" && t.proceed {
		return
	}
	t.p.send(t.to, t.raw)
	next := 2 * last
	if t.req.method != "INVITE" {
		next = min(next, t.p.cfg.T2)
	}
	t.p.after(next, func() { t.retransmit(next) })
}

func (p *Peer) onResponse(m *message) {
	_, method, ok := m.cseq()
	t := p.clients[param(m.get("Via"), "branch")+" "+method]
	if t == nil || !ok {
		if len(m.all("Via")) != 1 {
			p.fault("response %d: %d Via, want ours alone", m.status, len(m.all("Via")))
		}
		return
	}
	p.checkResponse(t, m)
	if t.status != 0 {
		p.stats.Retransmits++
		switch {
		case t.req.method == "INVITE" && m.status >= 300:
			p.send(t.to, t.ack)
		case t.req.method == "INVITE" && m.status >= 200:
			t.on(m)
		}
		return
	}
	t.proceed = true
	if m.status >= 200 {
		t.status = m.status
		p.after(p.lifetime(), func() { delete(p.clients, t.key) })
		if t.req.method == "INVITE" && m.status >= 300 {
			t.ack = ackFor(t.req, m).bytes()
			p.send(t.to, t.ack)
		}
	}
	t.on(m)
}

// ackFor acknowledges a non-2xx final response (RFC 3261 section 17.1.1.3).
func ackFor(req, resp *message) *message {
	n, _, _ := req.cseq()
	a := &message{method: "ACK", uri: req.uri}
	a.add("Via", req.get("Via"))
	a.copyFrom(req, "Route", "From")
	a.copyFrom(resp, "To")
	a.copyFrom(req, "Call-ID", "Max-Forwards")
	a.add("CSeq", fmt.Sprintf("%d ACK", n))
	return a
}

func (p *Peer) onRequest(from path, m *message) {
	if err := p.checkRequest(from, m); err != nil {
		p.fault("%v", err)
		if m.method != "ACK" {
			p.respond(&serverTx{p: p, req: m, from: from, toTag: p.token()}, 400, nil)
		}
		return
	}
	v := m.get("Via")
	id := param(v, "branch") + " " + strings.Fields(v)[1] + " "
	if m.method == "ACK" {
		if t := p.servers[id+"INVITE"]; t != nil && t.status >= 300 {
			t.acked = true
			return
		}
		p.onAck(m)
		return
	}
	if t := p.servers[id+m.method]; t != nil {
		p.stats.Retransmits++
		if t.last != nil {
			p.send(t.from, t.last)
		}
		return
	}
	t := &serverTx{p: p, key: id + m.method, req: m, from: from, toTag: param(m.get("To"), "tag")}
	if t.toTag == "" {
		t.toTag = p.token()
	}
	p.servers[t.key] = t
	p.serve1(t, id)
}

// serve1 does what the method asks for.
func (p *Peer) serve1(t *serverTx, id string) {
	m, bh := t.req, p.behaviour.Load()
	inDialog := param(m.get("To"), "tag") != ""
	switch {
	case m.method == "CANCEL":
		p.stats.Cancels++
		inv := p.servers[id+"INVITE"]
		if inv == nil {
			p.respond(t, 481, nil)
			return
		}
		t.toTag = inv.toTag // RFC 3261 section 9.2: one and the same tag
		p.respond(t, 200, nil)
		p.onCancel(inv)
	case m.method == "OPTIONS" && !inDialog:
		p.stats.Options++
		status := bh.OptionsStatus
		if status == 0 {
			status = 200
		}
		p.respond(t, status, func(r *message) { retryAfter(r, bh) })
	case inDialog:
		c := p.calls[m.get("Call-ID")+" "+t.toTag]
		if c == nil {
			p.stats.Strays++
			p.respond(t, 481, nil)
			return
		}
		c.onRequest(t)
	case m.method == "INVITE":
		p.onInvite(t)
	case m.method == "REGISTER" && p.cfg.Registrar != nil:
		p.onRegister(t, p.cfg.Registrar)
	default:
		p.fault("%s outside of a dialog", m.method)
		p.respond(t, 481, nil)
	}
}

func retryAfter(r *message, bh *Behaviour) {
	if bh.RetryAfter > 0 {
		r.add("Retry-After", fmt.Sprint(bh.RetryAfter))
	}
	if bh.Reason != "" {
		r.add("Reason", bh.Reason)
	}
	r.add("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE")
}

// respond sends a response (RFC 3261 section 8.2.6) and keeps it for retransmissions; edit may add to it. A final non-2xx response to an INVITE is
// sent again over UDP until its ACK comes; a 2xx is the business of the call.
func (p *Peer) respond(t *serverTx, status int, edit func(*message)) []byte {
	r := &message{status: status, reason: reasonOf(status)}
	for i, v := range t.req.all("Via") {
		if i == 0 && strings.Contains(v, ";rport") && !strings.Contains(v, ";rport=") { // RFC 3581
			v = strings.Replace(v, ";rport", fmt.Sprintf(";rport=%d", t.from.to.Port()), 1) + ";received=" + t.from.to.Addr().String()
		}
		r.add("Via", v)
	}
	r.copyFrom(t.req, "From")
	to := t.req.get("To")
	if status > 100 && param(to, "tag") == "" {
		to += ";tag=" + t.toTag
	}
	r.add("To", to)
	r.copyFrom(t.req, "Call-ID", "CSeq")
	if status > 100 && status < 300 {
		r.copyFrom(t.req, "Record-Route")
	}
	if edit != nil {
		edit(r)
	}
	if t.status < 200 && status >= 200 {
		p.after(p.lifetime()+p.cfg.T2, func() { delete(p.servers, t.key) })
	}
	t.last, t.status = r.bytes(), status
	p.send(t.from, t.last)
	if t.req.method == "INVITE" && status >= 300 {
		p.again(t, t.last, p.cfg.T1, &t.acked)
	}
	return t.last
}

// again sends b until *stop is set or 64*T1 have passed: Timers G and H, and those of RFC 3261 section 13.3.1.4.
func (p *Peer) again(t *serverTx, b []byte, first time.Duration, stop *bool) {
	left, unheard := p.lifetime(), p.unheard
	var tick func(time.Duration)
	tick = func(d time.Duration) {
		if *stop || p.servers[t.key] != t {
			return
		}
		if left -= d; left <= 0 {
			*stop = true
			if unheard == p.unheard { // else we may have been deaf to it
				p.fault("no ACK for the %s of %s", firstLine(b), t.req.get("Call-ID"))
			}
			return
		}
		if p.cfg.Proto == "udp" || t.status < 300 {
			p.send(t.from, b)
		}
		p.after(min(2*d, p.cfg.T2), func() { tick(min(2*d, p.cfg.T2)) })
	}
	if p.cfg.Proto != "udp" && t.status >= 300 {
		return
	}
	p.after(first, func() { tick(first) })
}

// checkRequest holds what every request must have (RFC 3261 section 8.1.1).
func (p *Peer) checkRequest(from path, m *message) error {
	for _, h := range []string{"Via", "From", "To", "Call-ID", "CSeq", "Max-Forwards"} {
		if n := len(m.all(h)); n == 0 || n > 1 && h != "Via" {
			return fmt.Errorf("%s from %v: %d %s headers", m.method, from.to, n, h)
		}
	}
	_, method, ok := m.cseq()
	v := strings.Fields(m.get("Via"))
	switch {
	case !ok || method != m.method:
		return fmt.Errorf("%s: CSeq %q", m.method, m.get("CSeq"))
	case len(v) < 2 || !strings.EqualFold(v[0], "SIP/2.0/"+p.cfg.Proto):
		return fmt.Errorf("%s: Via %q over %s", m.method, m.get("Via"), p.cfg.Proto)
	case !strings.HasPrefix(param(m.get("Via"), "branch"), "z9hG4bK"):
		return fmt.Errorf("%s: branch of Via %q", m.method, m.get("Via"))
	case param(m.get("From"), "tag") == "":
		return fmt.Errorf("%s: From without a tag", m.method)
	case m.method == "INVITE" && len(m.all("Contact")) != 1:
		return fmt.Errorf("INVITE with %d Contact headers", len(m.all("Contact")))
	case len(m.body) > 0 && m.get("Content-Type") == "":
		return fmt.Errorf("%s: body without Content-Type", m.method)
	case m.get("Max-Forwards") == "0":
		return fmt.Errorf("%s with Max-Forwards 0", m.method)
	}
	return nil
}

// checkResponse holds what every response must repeat (RFC 3261 section 8.2.6).
func (p *Peer) checkResponse(t *clientTx, m *message) {
	what := fmt.Sprintf("%d to %s", m.status, t.req.method)
	if n := len(m.all("Via")); n != 1 {
		p.fault("%s: %d Via headers", what, n)
	}
	for _, h := range []string{"From", "Call-ID", "CSeq"} {
		if v := m.all(h); len(v) != 1 || h != "From" && v[0] != t.req.get(h) || h == "From" && param(v[0], "tag") != param(t.req.get(h), "tag") {
			p.fault("%s: %s is %q, was %q", what, h, v, t.req.get(h))
		}
	}
	if to := m.get("To"); len(m.all("To")) != 1 || m.status > 100 && param(to, "tag") == "" {
		p.fault("%s: To %q", what, m.all("To"))
	}
	if old := param(t.req.get("To"), "tag"); old != "" && param(m.get("To"), "tag") != old && m.status != 481 {
		p.fault("%s: To tag changed to %q", what, m.get("To"))
	}
	if t.req.method == "INVITE" && m.status >= 200 && m.status < 300 && len(m.all("Contact")) != 1 {
		p.fault("%s: %d Contact headers", what, len(m.all("Contact")))
	}
}

// reversed is the route set that a caller learns (RFC 3261 section 12.1.2).
func reversed(v []string) []string {
	v = slices.Clone(v)
	slices.Reverse(v)
	return v
}

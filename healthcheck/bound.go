package healthcheck

import (
	"context"
	"net/netip"
	"time"

	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/sovereign"
)

// Registered is the member that holds the targets which a party registered with us.
const Registered = "registered"

// Bound is one address that a party registered.
type Bound struct {
	Name      string // host of its Contact
	Transport Transport
	Addr      netip.AddrPort // where its registration came from
	Priority  uint16
}

// Bind replaces what a party registered. Addresses that stay keep their history; new ones are judged and probed like any other target. A party that is not
// watched has none.
func (c *Checker) Bind(name string, list []Bound) {
	now := time.Now()
	found := make([]resolve.Located, len(list))
	names := make(map[netip.AddrPort]string, len(list))
	for i, b := range list {
		r := c.cfg.Judge(sovereign.Ask{Party: name, Plane: sovereign.Signalling, Addr: b.Addr, At: now})
		found[i] = resolve.Located{Host: b.Name, Transport: string(b.Transport), Addr: b.Addr, Priority: b.Priority, Ruling: r}
		names[b.Addr] = b.Name
	}
	c.mu.Lock()
	if p := c.parties[name]; p != nil {
		m := p.members[Registered]
		if m == nil {
			m = &member{Member: Member{Name: Registered}, targets: make(map[string]*target), since: now, bound: true}
			m.locateAt = now.AddDate(100, 0, 0) // nobody resolves it
			m.life, m.leave = context.WithCancel(context.Background())
			p.members[Registered] = m
		}
		c.located(p, m, found, now)
		for _, t := range m.targets {
			t.Name = names[t.Addr]
		}
		if len(list) == 0 {
			m.leave()
			delete(p.members, Registered)
		}
		c.publish(now)
	}
	c.mu.Unlock()
	c.stir()
}

// enrolment is what a target needs beside an answer to its probes: that we are registered with it.
type enrolment struct {
	needed bool
	ok     bool
	since  time.Time
	why    string
}

// Enrolled tells whether our registration with a target lives, and why not. It matters for parties that are Watched with Enrol alone.
func (c *Checker) Enrolled(id string, ok bool, why string) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	p, t := c.find(id)
	if t == nil || t.enrol.ok == ok && t.enrol.why == why {
		return
	}
	c.dirty[p.name] = true
	c.change(t, now, func() {
		if t.enrol.ok != ok || t.enrol.since.IsZero() {
			t.enrol.since = now
		}
		t.enrol.ok, t.enrol.why = ok, why
	})
	c.publish(now)
}

// shown is the state that others see: who does not take us on is down, whatever it answers to OPTIONS.
func (t *target) shown() (State, string) {
	if t.enrol.needed && !t.enrol.ok {
		if t.enrol.why == "" {
			return Down, "not registered yet"
		}
		return Down, t.enrol.why
	}
	return t.state, t.why
}

// enrolled puts what is missing of a registration into a status.
func (t *target) enrolled(s *Status) {
	state, why := t.shown()
	if !t.enrol.needed || t.enrol.ok || !s.Target.Ruling.Permitted() {
		return
	}
	since := t.enrol.since
	if since.IsZero() {
		since = t.since
	}
	*s = Status{ // no circuit and no life: a target that does not want us is no last resort either
		Target: s.Target, State: state, Since: since, Why: why,
		RTT: s.RTT, RTTMin: s.RTTMin, RTTP50: s.RTTP50, RTTP95: s.RTTP95, RTTP99: s.RTTP99, LastSeen: s.LastSeen, Calls: s.Calls,
	}
}

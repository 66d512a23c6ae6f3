package healthcheck

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cordonsip/cordon/healthcheck/resolve"
	"github.com/cordonsip/cordon/sovereign"
)

// locate resolves one member and takes the answer in. It runs outside the lock, once at a time for a member.
func (c *Checker) locate(ctx context.Context, p *party, m *member) {
	c.mu.Lock()
	decl := m.Member
	retry := p.settings.Interval
	c.mu.Unlock()
	one, cancel := context.WithTimeout(ctx, 30*time.Second) // resolve has its own deadlines; this is the end of all patience
	defer cancel()
	defer context.AfterFunc(m.life, cancel)()
	a, err := c.cfg.Locate(one, resolve.Query{Party: p.name, Host: decl.Host, Port: decl.Port, Transport: string(decl.Transport)})
	now := time.Now()
	c.mu.Lock()
	before := m.located
	m.locating = false
	if ctx.Err() != nil {
		c.mu.Unlock()
		return
	}
	changed := m.Member != decl // declared otherwise meanwhile: this answer is to an old question
	switch {
	case m.life.Err() != nil:
	case changed:
		m.locateAt = now
	case err != nil:
		m.locateAt = now.Add(retry)
		c.unlocated(p, m, err, now)
	default:
		m.locateAt = maxTime(a.Expires, now.Add(100*time.Millisecond))
		c.located(p, m, a.Located, now)
	}
	if m.again { // it may have been answered before it was asked for
		m.again, m.locateAt = false, now
	}
	after := m.located
	c.publish(now)
	c.mu.Unlock()
	c.stir()
	if err == nil && !changed && len(before) > 0 && moved(before, after) {
		c.log.Warn("the answers of a name moved", "party", p.name, "host", decl.Host)
		if c.cfg.Moved != nil {
			c.cfg.Moved(p.name, decl.Host, before, after)
		}
	}
}

func maxTime(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// unlocated takes in a failure. An authoritative "there is none" empties the member; anything else leaves the targets that are known.
func (c *Checker) unlocated(p *party, m *member, err error, now time.Time) {
	c.dirty[p.name] = true
	if m.problem != err.Error() {
		c.log.Warn("a name was not resolved", "party", p.name, "host", m.Host, "err", err)
		m.problem, m.since = err.Error(), now
	}
	if errors.Is(err, resolve.ErrNoName) {
		m.located = nil
		for id, t := range m.targets {
			c.remove(p, m, id, t, now, "no longer in DNS: "+err.Error())
		}
	}
}

// located takes in an answer: addresses that stay keep their history, new ones are probed at once, the others leave. The lock is held.
func (c *Checker) located(p *party, m *member, list []resolve.Located, now time.Time) {
	c.dirty[p.name] = true
	m.located, m.problem = list, ""
	seen := make(map[string]bool, len(list))
	for _, l := range list {
		t := Target{Party: p.name, Member: m.Name, Name: m.Host, Transport: Transport(l.Transport), Addr: l.Addr, Ruling: l.Ruling}
		id := t.ID()
		if seen[id] {
			continue
		}
		seen[id] = true
		known := m.targets[id]
		if known == nil {
			known = &target{Target: t, window: window{since: now, why: "not probed yet"}, enrol: enrolment{needed: p.enrol && !m.bound}}
			if !l.Ruling.Permitted() {
				known.why = notProbed(l.Ruling)
			}
			m.targets[id] = known
		}
		known.host, known.srv = l.Host, l.Priority
		known.Weight = cmp.Or(l.Weight, m.Weight)
		known.Ruling = l.Ruling
	}
	for id, t := range m.targets {
		if !seen[id] {
			c.remove(p, m, id, t, now, "no longer in DNS")
		}
	}
	p.rank()
}

// remove takes a target out; routing learns of it by a last transition to Unknown.
func (c *Checker) remove(p *party, m *member, id string, t *target, now time.Time, why string) {
	t.gone = true
	delete(m.targets, id)
	c.metrics.state.DeleteLabelValues(p.name, id)
	c.dirty[p.name] = true
	if t.state != Unknown {
		c.change(t, now, func() { t.enter(Unknown, now, why) })
	}
}

// rank gives each target the priority by which the party's targets are tried: the member's own first, then that of SRV. Where only one of the
// two tells targets apart, its numbers are kept as declared; where both do, ranks from 1 stand for the pairs.
func (p *party) rank() {
	type pair struct{ own, srv uint16 }
	var pairs []pair
	own, srv := make(map[uint16]bool), make(map[uint16]bool)
	for _, m := range p.members {
		for _, t := range m.targets {
			own[m.Priority], srv[t.srv] = true, true
			pairs = append(pairs, pair{m.Priority, t.srv})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(cmp.Compare(a.own, b.own), cmp.Compare(a.srv, b.srv)) })
	pairs = slices.Compact(pairs)
	for _, m := range p.members {
		for _, t := range m.targets {
			switch {
			case len(srv) == 1 && (len(own) > 1 || t.srv == 0):
				t.Priority = m.Priority
			case len(own) == 1:
				t.Priority = t.srv
			default:
				t.Priority = uint16(min(1+slices.Index(pairs, pair{m.Priority, t.srv}), 1<<16-1))
			}
		}
	}
}

// moved says whether other addresses brought another country or verdict. A swap of the policy alone is no move.
func moved(before, after []resolve.Located) bool {
	if slices.Equal(addrsOf(before), addrsOf(after)) {
		return false
	}
	return !slices.Equal(placesOf(before), placesOf(after))
}

func addrsOf(list []resolve.Located) []string {
	return setOf(list, func(l resolve.Located) string { return l.Addr.Addr().String() })
}

func placesOf(list []resolve.Located) []string {
	return setOf(list, func(l resolve.Located) string {
		country := l.Ruling.Country
		if country == "" && len(l.Ruling.Place.Countries) > 0 {
			country = l.Ruling.Place.Countries[0]
		}
		return string(country) + " " + verdictWord(l.Ruling.Verdict)
	})
}

func verdictWord(v sovereign.Verdict) string {
	switch v {
	case sovereign.Permit:
		return "permit"
	case sovereign.Hold:
		return "hold"
	}
	return "deny"
}

func setOf(list []resolve.Located, key func(resolve.Located) string) []string {
	var keys []string
	for _, l := range list {
		keys = append(keys, key(l))
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

package configs

import (
	"fmt"
	"slices"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// Law is what happens when the law changes while calls are up.
type Law struct {
	// What becomes of running calls toward a place whose instrument is suspended: end (default: BYE, after end_after), reroute (the callee's leg ends at once and the caller is put through to the next permitted party; with none the call ends) or finish (they go on until they hang up, for finish_within at most, and nothing new goes there). Emergency calls always go on.
	RunningCalls string `yaml:"running_calls,omitempty"`
	// With end: after how long; default 0, at once. 24h at most.
	EndAfter Duration `yaml:"end_after,omitempty"`
	// With finish: what is up then is ended; default 4h, from 1m to 24h.
	FinishWithin Duration `yaml:"finish_within,omitempty"`
	// Parties with a rule of their own.
	Parties []LawParty `yaml:"parties,omitempty"`
}

// LawParty is the rule of one trunk or edge group.
type LawParty struct {
	// Name of the trunk or edge group.
	Party string `yaml:"party"`
	// end, finish or reroute; default: as above.
	RunningCalls string `yaml:"running_calls,omitempty"`
	// With end: after how long.
	EndAfter Duration `yaml:"end_after,omitempty"`
	// With finish: what is up then is ended.
	FinishWithin Duration `yaml:"finish_within,omitempty"`
}

// Rules for running calls.
const (
	RunningEnd     = "end"
	RunningFinish  = "finish"
	RunningReroute = "reroute"
)

// Running is one such rule: how, and for how long its calls may go on.
type Running struct {
	How string
	For time.Duration
}

// LawPart is the rules of a configuration.
type LawPart struct {
	Common Running
	Own    map[string]Running // by party
}

// Of gives the rule of a party.
func (l *LawPart) Of(party string) Running {
	if r, ok := l.Own[party]; ok {
		return r
	}
	return l.Common
}

// The last word to a struck place: a BYE, one repetition of it, and the end of a connection. A call that is ended after a while has its BYE in the words that it ends with.
const (
	lastWord     = 750 * time.Millisecond
	partingWords = 1500 * time.Millisecond
)

// Leave is what the rule gives the running calls of a party ("": of those without a rule of their own) for a cause that takes effect at from.
func (r Running) Leave(cause, party string, from time.Time) sovereign.Leave {
	l := sovereign.Leave{Cause: cause, Party: party, From: from, Until: from.Add(lastWord)}
	if r.For > 0 && r.How != RunningReroute {
		l.Until, l.Media = from.Add(r.For+partingWords), true
	}
	return l
}

// Leaves are those of all parties for a cause.
func (l *LawPart) Leaves(cause string, from time.Time) []sovereign.Leave {
	out := []sovereign.Leave{l.Common.Leave(cause, "", from)}
	names := make([]string, 0, len(l.Own))
	for name := range l.Own {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		out = append(out, l.Own[name].Leave(cause, name, from))
	}
	return out
}

func (b *builder) lawRules(c *Config) {
	f := b.doc.file.Law
	c.Law = LawPart{Common: b.running("law", f.RunningCalls, f.EndAfter, f.FinishWithin), Own: map[string]Running{}}
	for i, p := range f.Parties {
		at := fmt.Sprintf("law.parties[%d]", i)
		known := slices.ContainsFunc(c.Parties, func(x sovereign.Party) bool { return x.Name == p.Party && x.Kind != sovereign.KindInfrastructure })
		switch _, twice := c.Law.Own[p.Party]; {
		case !known:
			b.fail(at+".party", "the name of a trunk or an edge group", "%q is none", p.Party)
			continue
		case twice:
			b.fail(at+".party", "each party once", "%q is there twice", p.Party)
			continue
		case p.RunningCalls == "":
			p.RunningCalls = c.Law.Common.How
		}
		c.Law.Own[p.Party] = b.running(at, p.RunningCalls, p.EndAfter, p.FinishWithin)
	}
	c.reroutes()
}

// running reads one rule.
func (b *builder) running(at, how string, endAfter, finishWithin Duration) Running {
	r := Running{How: how}
	switch how {
	case "", RunningEnd:
		r.How, r.For = RunningEnd, endAfter.Or(0)
		if r.For > 24*time.Hour {
			b.fail(at+".end_after", "from 0 to 24h", "%s is out of range", r.For)
		}
	case RunningFinish:
		if r.For = finishWithin.Or(4 * time.Hour); r.For < time.Minute || r.For > 24*time.Hour {
			b.fail(at+".finish_within", "from 1m to 24h: what goes on in a struck place has an end", "%s is out of range", r.For)
		}
		b.warn(at+".running_calls", "the supervisory authority's suspension (GDPR Art. 58(2)(j)) knows no such time: have a lawyer confirm it, or leave it at end", "calls go on in a struck place for up to %s", r.For)
	case RunningReroute:
	default:
		b.fail(at+".running_calls", "end, finish or reroute", "%q is no rule", how)
	}
	if endAfter != 0 && r.How != RunningEnd {
		b.fail(at+".end_after", "only with running_calls: end", "does not go with %s", r.How)
	}
	if finishWithin != 0 && r.How != RunningFinish {
		b.fail(at+".finish_within", "only with running_calls: finish", "does not go with %s", r.How)
	}
	return r
}

package scenario

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/internal/strict"
)

var (
	nameForm   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	numberForm = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
)

// A way says what a kind of object can be taken away by, where, and what it needs that a node may not have.
type way struct {
	modes []Mode // nil: all
	needs string // capability
}

// safe are the modes in which nothing of production can be lost by it.
var safe = []Mode{Simulation, Sandbox}

// shared are the modes in which it is gone for everybody or for nobody. What a node has one of, as names, channels and law are, has no second view: a canary would take it
// from production.
var shared = []Mode{Simulation, Sandbox, Full}

// ways is the table of what can be taken away, and how.
func ways(k Kind, h How) (way, bool) {
	switch k {
	case Target, Group, Trunk, Region:
		switch h {
		case Refuse, Blackhole, Slow, Lossy, WrongCertificate, Unavailable, Flapping:
			return way{}, true
		}
	case DNS:
		switch h {
		case Fail, Blackhole, Slow, Moved:
			return way{modes: shared}, true
		}
	case Approver:
		return way{modes: safe}, h == Away // a real word on a real ticket counts, drill or not: nobody in production is kept from giving it
	case Channel:
		switch h {
		case Fail, Blackhole, Slow:
			return way{modes: shared}, true
		}
	case Instrument:
		return way{modes: shared}, h == Struck
	case Log:
		return way{modes: safe}, h == Fail // a node in production owes its log each decision: nobody takes that away for an exercise
	case Node:
		return way{modes: shared, needs: "cluster"}, h == Isolated
	case Recorder:
		switch h {
		case Refuse, Blackhole, Slow, Fail:
			return way{modes: shared, needs: "recorder"}, true
		}
	}
	return way{}, false
}

// hows are the ways for a kind, for a hint.
func hows(k Kind) (out []string) {
	for _, h := range []How{Refuse, Blackhole, Slow, Lossy, WrongCertificate, Unavailable, Flapping, Fail, Moved, Away, Struck, Isolated} {
		if _, ok := ways(k, h); ok {
			out = append(out, string(h))
		}
	}
	return out
}

// Needs are the capabilities that the scenario cannot do without, sorted.
func (s *Scenario) Needs() (out []string) {
	for _, t := range s.Take {
		k, _, _ := t.What.Kind()
		if w, ok := ways(k, t.How); ok && w.needs != "" && !slices.Contains(out, w.needs) {
			out = append(out, w.needs)
		}
	}
	slices.Sort(out)
	return out
}

// Allows says whether all that the scenario takes away and expects can be had in a mode, whatever its modes name: nil, or what cannot.
func (s *Scenario) Allows(m Mode) error {
	for i, t := range s.Take {
		k, _, _ := t.What.Kind()
		if w, ok := ways(k, t.How); !ok || w.modes != nil && !slices.Contains(w.modes, m) {
			return fmt.Errorf("take[%d]: %s is not taken away in mode %s", i, k, m)
		}
	}
	for i, e := range s.Expect {
		if what, _ := e.beyondCanary(); what != "" && m == Canary {
			return fmt.Errorf("expect[%d]: it %s", i, what)
		}
	}
	return nil
}

// Allows is Scenario.Allows on this node. Where calls for help are real, who carries them keeps its addresses: a name that points elsewhere is met by every call, and a table
// knows no second address.
func (p *Play) Allows(m Mode) error {
	if err := p.Scenario.Allows(m); err != nil || m != Full {
		return err
	}
	for _, t := range p.Taken {
		for _, to := range p.Parties {
			if t.How == Moved && to.Help && (t.Names[0] == "all" || slices.Contains(t.Names, to.Name)) {
				return fmt.Errorf("take[%d]: the names of %s are not moved in mode %s: calls for help leave by it", t.Index, to.Name, m)
			}
		}
	}
	return nil
}

// beyondCanary says why an expectation cannot hold, or be seen, in a canary, where production goes on beside the drill, and what to do; "": it can.
func (e Expectation) beyondCanary() (what, hint string) {
	switch {
	case e.Approved != nil:
		return "cannot hold in a canary: it asks nobody at the gate", "leave canary out of modes"
	case e.Told != nil && e.Told.Kind != "" && !strings.HasPrefix(e.Told.Kind, "drill."):
		return "cannot be seen in a canary: nobody is told of what happens in its view alone", "leave canary out of modes; who was told of the drill itself stands in its report"
	case e.Nothing != nil && slices.Contains([]string{Primary, Secondary, Carrier}, e.Nothing.Party):
		return "cannot hold in a canary: calls of production go on to " + e.Nothing.Party, "leave canary out of modes, or name forbidden"
	}
	return "", ""
}

type linter struct {
	doc   *strict.Document
	s     *Scenario
	probs strict.Problems
}

func (l *linter) fail(path, hint, format string, args ...any) {
	l.probs = append(l.probs, l.doc.Problem(path, hint, format, args...))
}

func (l *linter) judge() {
	l.head()
	l.end()
	for i, c := range l.s.Calls {
		l.load(fmt.Sprintf("calls[%d]", i), c)
	}
	if len(l.s.Take) == 0 && len(l.s.Calls) == 0 {
		l.fail("take", "name what is taken away, or at least place calls", "takes nothing and places no call")
	}
	for i, t := range l.s.Take {
		l.taking(fmt.Sprintf("take[%d]", i), t)
	}
	l.expectations()
	l.stop()
}

func (l *linter) head() {
	s := l.s
	if !nameForm.MatchString(s.Name) || len(s.Name) > 64 {
		l.fail("drill", "lower-case words with hyphens, at most 64 characters, such as region-loss", "%q is no name of a scenario", s.Name)
	}
	if s.Version < 1 {
		l.fail("version", "begin with 1 and count up with each change: reports name it", "is missing")
	}
	if s.Title == "" {
		l.fail("title", "say in one line what is exercised", "is missing")
	}
	if !slices.Contains(Classes(), s.Class) {
		words := words(Classes())
		hint := "one of " + strict.Words(words)
		if near := strict.Nearest(string(s.Class), words); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		l.fail("class", hint, "%q is no kind of disruption", s.Class)
	}
	if len(s.Authors) == 0 {
		l.fail("authors", "name who wrote it: who tests may not be one of them (DORA Art. 24(4))", "is missing")
	}
	if len(s.Modes) == 0 {
		l.fail("modes", "say where it may run: "+strict.Words(words(Modes())), "is missing")
	}
	for i, m := range s.Modes {
		if !slices.Contains(Modes(), m) {
			l.fail(fmt.Sprintf("modes[%d]", i), "one of "+strict.Words(words(Modes())), "%q is no mode", m)
		}
	}
}

func words[T ~string](list []T) (out []string) {
	for _, w := range list {
		out = append(out, string(w))
	}
	return out
}

func (l *linter) end() {
	switch e := l.s.End; {
	case e.After == 0:
		l.fail("end.after", "say when everything is given back at the latest, such as 10m", "is missing: a drill without an end is an outage")
	case time.Duration(e.After) > MaxLength:
		l.fail("end.after", "at most 24h", "is too long")
	case time.Duration(e.Restore) > 10*time.Minute:
		l.fail("end.restore", "at most 10m: what cannot be given back in that time is not taken", "is too long")
	}
}

// span checks a time in the drill.
func (l *linter) span(path, from, until string, start, end strict.Duration) {
	last := l.s.End.After
	if last == 0 {
		return // said already
	}
	if start >= last {
		l.fail(path+"."+from, "the drill ends after "+time.Duration(last).String(), "begins after the end")
	}
	if end > last {
		l.fail(path+"."+until, "the drill ends after "+time.Duration(last).String(), "lasts beyond the end")
	}
	if end != 0 && end <= start {
		l.fail(path+"."+until, "give a later time", "is not after %s", from)
	}
}

func (l *linter) load(path string, c Load) {
	if !numberForm.MatchString(c.Called) {
		l.fail(path+".called", "write the number with its country, such as +4969900100", "%q is no E.164 number", c.Called)
	}
	if c.Each == 0 {
		l.fail(path+".each", "say how far apart the calls are, such as 2s", "is missing: a throttle of zero stops every call or none")
	} else if time.Duration(c.Each) < 10*time.Millisecond {
		l.fail(path+".each", "at least 10ms: a drill is no flood", "is too short")
	}
	if c.Hold == 0 {
		l.fail(path+".hold", "say how long a call stays up, such as 10s: its quality is measured then", "is missing")
	}
	l.span(path, "at", "until", c.At, c.Until)
}

func (l *linter) taking(path string, t Taking) {
	kind, _, ok := t.What.Kind()
	if !ok {
		l.fail(path+".what", "write exactly one of target, group, trunk, region, dns, approver, channel, instrument, log, node, recorder", "names not exactly one thing")
		return
	}
	w, ok := ways(kind, t.How)
	if !ok {
		l.fail(path+".how", "one of "+strict.Words(hows(kind)), "a %s cannot be taken away by %q", kind, t.How)
		return
	}
	for _, m := range l.s.Modes {
		if w.modes != nil && !slices.Contains(w.modes, m) {
			l.fail(path+".how", "leave that mode out of modes", "is for %s alone, and the scenario may run as %s", strict.Words(words(w.modes)), m)
		}
	}
	var until strict.Duration
	if t.For != 0 {
		until = t.At + t.For
	}
	l.span(path, "at", "for", t.At, until)
	l.measure(path, t)
}

// measure checks that a way has what it needs, and nothing that means nothing for it.
func (l *linter) measure(path string, t Taking) {
	for _, f := range [...]struct {
		key     string
		written bool
		needed  bool
		hint    string
	}{
		{"by", t.By != 0, t.How == Slow, "say how much later, such as 400ms"},
		{"share", t.Share != 0, t.How == Lossy, "say how much is lost, such as 5%"},
		{"every", t.Every != 0, t.How == Flapping, "say how long it is gone and back each time, such as 5s"},
		{"to", t.To != "", t.How == Moved, "name the party at whose addresses the name points now"},
	} {
		switch {
		case f.needed && !f.written:
			l.fail(path+"."+f.key, f.hint, "is missing for %s", t.How)
		case f.written && !f.needed:
			l.fail(path+"."+f.key, "remove it", "means nothing for %s", t.How)
		}
	}
	if t.How == Flapping && t.Every != 0 && time.Duration(t.Every) < 100*time.Millisecond {
		l.fail(path+".every", "at least 100ms", "is too short")
	}
	if t.How == Slow && time.Duration(t.By) > time.Minute {
		l.fail(path+".by", "at most 1m; what comes later than that is a blackhole", "is too long")
	}
}

func (l *linter) expectations() {
	if len(l.s.Expect) == 0 {
		l.fail("expect", "say what must hold: a drill that cannot fail proves nothing", "is missing")
		return
	}
	shown := false
	for i, e := range l.s.Expect {
		path := fmt.Sprintf("expect[%d]", i)
		word, ok := e.Word()
		if !ok {
			l.fail(path, "write exactly one of answered, kept, failed, mos, gap, detected, decided, switched, fail_back, carries, refused, nothing_to, held, approved, told, records_lost", "judges not exactly one thing")
			continue
		}
		l.expectation(path+"."+word, e)
		l.span(path, "from", "until", e.From, e.Until)
		shown = shown || e.Refused != nil
	}
	if !shown {
		l.fail("expect", "add {refused: {party: forbidden}}: a drill that never shows a refusal proves nothing about the guard", "no forbidden party is shown refused")
	}
}

func (l *linter) expectation(path string, e Expectation) {
	if e.needsCalls() && len(l.s.Calls) == 0 {
		l.fail(path, "add calls", "is about calls, and the scenario places none")
	}
	if d, has := e.within(); has && d == 0 {
		l.fail(path, "give it a time, such as within: 5s", "has no time, and could not fail")
	}
	if p := e.parties(); slices.Contains(p, "") || e.Answered != nil && len(p) == 0 {
		l.fail(path, "name a party, or its part: primary, secondary, forbidden, carrier", "names no party")
	}
	if what, hint := e.beyondCanary(); what != "" && slices.Contains(l.s.Modes, Canary) {
		l.fail(path, hint, "%s", what)
	}
	switch {
	case e.MOS != nil && (e.MOS.AtLeast < 1 || e.MOS.AtLeast > 4.5):
		l.fail(path+".at_least", "between 1 and 4.5", "is no mean opinion score that narrow-band audio reaches")
	case e.Kept != nil && e.Kept.AtLeast == 0:
		l.fail(path+".at_least", "such as 100%", "is zero, and could not fail")
	case e.Failed != nil && e.Failed.AtMost >= 10_000:
		l.fail(path+".at_most", "such as 1%", "is everything, and could not fail")
	case e.Approved != nil && e.Approved.People < 1:
		l.fail(path+".people", "at least 1", "is missing")
	case e.Told != nil && (e.Told.Channel == "" || e.Told.Kind == ""):
		l.fail(path, "name the channel and the kind of notice", "is not complete")
	case e.Records != nil && e.Records.AtMost < 0:
		l.fail(path+".at_most", "0 or more", "is negative")
	}
}

func (l *linter) stop() {
	if m := l.s.Stop.MOS; m != 0 && (m < 1 || m > 4.5) {
		l.fail("stop.mos", "between 1 and 4.5", "is no mean opinion score")
	}
	if time.Duration(l.s.Stop.After) > time.Minute {
		l.fail("stop.after", "at most 1m: callers wait meanwhile", "is too long")
	}
}

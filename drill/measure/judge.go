package measure

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/cordonsip/cordon/drill/scenario"
)

// judge is one expectation with its time.
type judge struct {
	p           *scenario.Play
	s           *Seen
	e           scenario.Expectation
	from, until time.Time
}

func (j *judge) hold() (holds bool, wanted, measured string) {
	e := j.e
	switch {
	case e.Answered != nil:
		return j.answered()
	case e.Kept != nil:
		up, lost := j.running()
		return j.share(up-lost, up, "calls were up and kept", func(share float64) bool { return share >= e.Kept.AtLeast.Of() }, "at least "+e.Kept.AtLeast.String())
	case e.Failed != nil:
		placed, failed := j.failed()
		return j.share(failed, placed, "calls failed", func(share float64) bool { return share <= e.Failed.AtMost.Of() }, "at most "+e.Failed.AtMost.String())
	case e.MOS != nil:
		return j.mos()
	case e.Gap != nil:
		return j.gap()
	case e.Detected != nil:
		return j.soon(time.Duration(e.Detected.Within), j.detected)
	case e.Decided != nil:
		return j.soon(time.Duration(e.Decided.Within), j.decided)
	case e.Switched != nil:
		return j.soon(time.Duration(e.Switched.Within), func(t Taken) (time.Time, bool) { return j.answer(j.part(scenario.Secondary), t.At) })
	case e.FailBack != nil:
		return j.failBack()
	}
	return j.others()
}

func (j *judge) others() (holds bool, wanted, measured string) {
	e := j.e
	switch {
	case e.Carries != nil:
		return j.carries()
	case e.Refused != nil:
		return j.refused()
	case e.Nothing != nil:
		return j.nothing()
	case e.Held != nil:
		return j.held()
	case e.Approved != nil:
		return j.approved()
	case e.Told != nil:
		return j.told()
	case e.Records != nil:
		return j.records()
	}
	return false, "", "is no judgement"
}

// part gives the party that plays a part, or the party itself.
func (j *judge) part(name string) string {
	if party, ok := j.p.Cast[name]; ok {
		return party
	}
	return name
}

func (j *judge) within(at time.Time) bool { return !at.Before(j.from) && at.Before(j.until) }

// placed are the calls of the expectation's time.
func (j *judge) placed() (out []Call) {
	for _, c := range j.s.Calls {
		if j.within(c.Placed) && !j.s.hasty(c) {
			out = append(out, c)
		}
	}
	return out
}

// grace is how long a call has to be answered at least: one that the end of the play cut off before says nothing of who should have answered.
const grace = 3 * time.Second

// hasty says whether a call was placed so late that the end of the play cancelled it before anybody had the time to answer.
func (s *Seen) hasty(c Call) bool {
	return c.Answered.IsZero() && c.Status == 487 && !c.Ended.Before(s.End) && s.End.Sub(c.Placed) < grace
}

func (j *judge) answered() (holds bool, wanted, measured string) {
	var by []string
	for _, name := range j.e.Answered.By {
		by = append(by, j.part(name))
	}
	limit := time.Duration(j.e.Answered.Within)
	wanted = fmt.Sprintf("each call answered by %s within %s", strings.Join(by, " or "), limit)
	calls := j.placed()
	good, slowest, elsewhere := 0, time.Duration(0), ""
	for _, c := range calls {
		took := c.Answered.Sub(c.Placed)
		switch {
		case c.Answered.IsZero():
		case !slices.Contains(by, c.Party):
			elsewhere = c.Party
		default:
			slowest = max(slowest, took)
			if took <= limit {
				good++
			}
		}
	}
	measured = fmt.Sprintf("%d of %d, the slowest after %s", good, len(calls), slowest.Round(time.Millisecond))
	if elsewhere != "" {
		measured += ", one by " + elsewhere
	}
	return len(calls) > 0 && good == len(calls), wanted, measured
}

func (j *judge) share(part, all int, what string, holds func(float64) bool, wanted string) (bool, string, string) {
	if all == 0 {
		return false, wanted, "no call was seen"
	}
	share := float64(part) / float64(all)
	return holds(share), wanted, fmt.Sprintf("%d of %d %s (%.2f%%)", part, all, what, 100*share)
}

// running counts the calls that were up when something was taken away, and those of them that were lost.
func (j *judge) running() (up, lost int) {
	for _, c := range j.s.Calls {
		was := slices.ContainsFunc(j.s.Taken, func(t Taken) bool {
			return j.within(t.At) && !c.Answered.IsZero() && c.Answered.Before(t.At) && (c.Ended.IsZero() || c.Ended.After(t.At))
		})
		if was {
			up++
			if c.Lost {
				lost++
			}
		}
	}
	return up, lost
}

func (j *judge) failed() (placed, failed int) {
	for _, c := range j.placed() {
		placed++
		if c.Answered.IsZero() || c.Lost {
			failed++
		}
	}
	return placed, failed
}

func (j *judge) mos() (bool, string, string) {
	wanted := fmt.Sprintf("at least %.2f in each call", j.e.MOS.AtLeast)
	lowest, n, unheard := 5.0, 0, 0
	for _, c := range j.placed() {
		if c.MOS > 0 {
			lowest, n = min(lowest, c.MOS), n+1
		} else if j.s.unheard(c) {
			unheard++
		}
	}
	measured := fmt.Sprintf("%.2f in the worst of %d", lowest, n)
	switch {
	case unheard > 0:
		return false, wanted, fmt.Sprintf("nothing was heard in %d of %d calls", unheard, unheard+n)
	case n == 0:
		return false, wanted, "no call was measured"
	}
	return lowest >= j.e.MOS.AtLeast, wanted, measured
}

// unheard says whether a call was up for long enough to be rated, and too little came back for that.
func (s *Seen) unheard(c Call) bool {
	end := c.Ended
	if end.IsZero() {
		end = s.End
	}
	return !c.Answered.IsZero() && !c.Lost && c.MOS == 0 && end.Sub(c.Answered) >= grace
}

func (j *judge) gap() (bool, string, string) {
	limit := time.Duration(j.e.Gap.Within)
	longest, n := time.Duration(0), 0
	for _, c := range j.s.Calls {
		if !c.Answered.IsZero() && !c.Lost && j.within(c.Placed) {
			longest, n = max(longest, c.Gap), n+1
		}
	}
	wanted := "no silence longer than " + limit.String()
	if n == 0 {
		return false, wanted, "no call was seen"
	}
	return longest <= limit, wanted, fmt.Sprintf("%s in the worst of %d", longest, n)
}

// first is the first fault of the expectation's time. In a play that takes something from the path of calls nothing else is one: that an approver was away before says nothing
// of how fast calls were answered elsewhere.
func (j *judge) first() (Taken, bool) {
	inPath := func(t scenario.Taken) bool { return t.Kind.InPath() }
	path := slices.ContainsFunc(j.p.Taken, inPath)
	for _, t := range j.s.Taken {
		if j.within(t.At) && (!path || inPath(j.p.Taken[t.Index])) {
			return t, true
		}
	}
	return Taken{}, false
}

func (j *judge) soon(limit time.Duration, when func(Taken) (time.Time, bool)) (bool, string, string) {
	wanted := "within " + limit.String()
	t, ok := j.first()
	if !ok {
		return false, wanted, "nothing was taken away"
	}
	at, ok := when(t)
	if !ok {
		return false, wanted, "never seen"
	}
	took := at.Sub(t.At)
	return took <= limit, wanted, took.Round(time.Millisecond).String()
}

// detected is when a party that was touched is seen in another health.
func (j *judge) detected(t Taken) (time.Time, bool) {
	touched := j.touched(t)
	for _, h := range j.s.Health {
		if !h.At.Before(t.At) && (!h.Up || h.Limps) && slices.Contains(touched, h.Party) {
			return h.At, true
		}
	}
	return time.Time{}, false
}

// touched are the parties of what was taken.
func (j *judge) touched(t Taken) []string { return j.p.Touched(&j.p.Taken[t.Index]) }

// givenBack is when the last thing was given back that touches the primary; without any such, when the last thing was. Zero: nothing was.
func (j *judge) givenBack() (at time.Time) {
	primary, last := j.part(scenario.Primary), time.Time{}
	for _, t := range j.s.Taken {
		if t.Back.After(last) {
			last = t.Back
		}
		if t.Back.After(at) && slices.Contains(j.touched(t), primary) {
			at = t.Back
		}
	}
	if at.IsZero() {
		return last
	}
	return at
}

func (j *judge) decided(t Taken) (time.Time, bool) {
	for _, m := range j.s.Moves {
		if !m.At.Before(t.At) && (m.What == "applied" || m.What == "held") {
			return m.At, true
		}
	}
	return time.Time{}, false
}

// answer is the first answer of a party to a call that was placed at or after a moment.
func (j *judge) answer(party string, after time.Time) (at time.Time, ok bool) {
	for _, c := range j.s.Calls {
		if !c.Answered.IsZero() && c.Party == party && !c.Placed.Before(after) && (!ok || c.Answered.Before(at)) {
			at, ok = c.Answered, true
		}
	}
	return at, ok
}

// failBack runs from what was given back of the primary.
func (j *judge) failBack() (bool, string, string) {
	limit := time.Duration(j.e.FailBack.Within)
	wanted := "within " + limit.String()
	back := j.givenBack()
	if back.IsZero() {
		return false, wanted, "nothing was given back"
	}
	at, ok := j.answer(j.part(scenario.Primary), back)
	if !ok {
		return false, wanted, "no call reached the primary again"
	}
	took := at.Sub(back)
	return took <= limit, wanted, took.Round(time.Millisecond).String()
}

// carries measures from a party's first answer to its last, in the expectation's time.
func (j *judge) carries() (bool, string, string) {
	party, limit := j.part(j.e.Carries.On), time.Duration(j.e.Carries.For)
	wanted := party + " for " + limit.String()
	var first, last time.Time
	for _, c := range j.placed() {
		if c.Answered.IsZero() || c.Party != party {
			continue
		}
		end := c.Ended
		if end.IsZero() {
			end = j.s.End
		}
		if first.IsZero() || c.Answered.Before(first) {
			first = c.Answered
		}
		if end.After(last) {
			last = end
		}
	}
	if first.IsZero() {
		return false, wanted, "it carried no call"
	}
	return last.Sub(first) >= limit, wanted, last.Sub(first).Round(time.Millisecond).String()
}

func (j *judge) refused() (bool, string, string) {
	party, n := j.part(j.e.Refused.Party), 0
	for _, a := range j.s.Refused {
		if a.Party == party && j.within(a.At) {
			n++
		}
	}
	return n > 0, party + " asked for and refused", fmt.Sprintf("%d refusals on record", n)
}

// nothing wants the whole time to be watched, and not a datagram in it.
func (j *judge) nothing() (bool, string, string) {
	party := j.part(j.e.Nothing.Party)
	wanted := "no datagram to " + party
	var n uint64
	watched := j.from
	for _, s := range j.s.Sent {
		if s.Party != party || !s.To.After(j.from) || !s.From.Before(j.until) {
			continue
		}
		n += s.Datagrams
		if !s.From.After(watched) && s.To.After(watched) {
			watched = s.To
		}
	}
	if watched.Before(j.until) {
		return false, wanted, fmt.Sprintf("%d, and nobody watched from %s on", n, watched.Sub(j.s.Start).Round(time.Millisecond))
	}
	return n == 0, wanted, fmt.Sprintf("%d", n)
}

func (j *judge) held() (bool, string, string) {
	party, n := j.part(j.e.Held.Party), 0
	for _, m := range j.s.Moves {
		if m.What == "held" && m.Party == party && j.within(m.At) {
			n++
		}
	}
	return n > 0, party + " held at the gate", fmt.Sprintf("%d times", n)
}

// approved judges the first ticket of the time.
func (j *judge) approved() (bool, string, string) {
	e := j.e.Approved
	wanted := fmt.Sprintf("%d people within %s", e.People, time.Duration(e.Within))
	if e.Opinion {
		wanted += ", with an opinion"
	}
	for _, t := range j.s.Tickets {
		if !j.within(t.Opened) {
			continue
		}
		if len(t.Words) < e.People {
			return false, wanted, fmt.Sprintf("%d people", len(t.Words))
		}
		last := t.Words[e.People-1]
		if e.Opinion {
			if t.Opinion.IsZero() {
				return false, wanted, "no opinion"
			}
			if t.Opinion.After(last) {
				last = t.Opinion
			}
		}
		took := last.Sub(t.Opened)
		return took <= time.Duration(e.Within), wanted, took.Round(time.Millisecond).String()
	}
	return false, wanted, "no ticket was opened"
}

func (j *judge) told() (bool, string, string) {
	e := j.e.Told
	limit := time.Duration(e.Within)
	wanted := fmt.Sprintf("%s to %s within %s", e.Kind, e.Channel, limit)
	start := j.from
	if t, ok := j.first(); ok {
		start = t.At
	}
	for _, n := range j.s.Notices {
		if n.Channel == e.Channel && n.Kind == e.Kind && !n.At.Before(start) {
			took := n.At.Sub(start)
			return took <= limit, wanted, took.Round(time.Millisecond).String()
		}
	}
	return false, wanted, "never delivered"
}

func (j *judge) records() (bool, string, string) {
	r := j.s.Records
	wanted := fmt.Sprintf("at most %d lost", j.e.Records.AtMost)
	if !r.Verified {
		return false, wanted, "the log was not verified"
	}
	return r.Lost() <= uint64(max(0, j.e.Records.AtMost)), wanted, fmt.Sprintf("%d of %d", r.Lost(), r.Acknowledged)
}

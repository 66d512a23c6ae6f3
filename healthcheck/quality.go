package healthcheck

import (
	"fmt"
	"strings"
	"time"
)

// Quality says when the calls that a target gets make it degraded, whatever its probes say. A zero threshold is not looked at.
type Quality struct {
	Window   time.Duration // how far back calls count, default 5 min
	MinCalls int           // calls inside it before they are judged, default 20
	MinASR   float64       // answered calls among all, a share
	MinNER   float64       // calls that the network carried among all, a share; ITU-T E.425
	MaxPDD   time.Duration // mean time from INVITE to ringing or the final response
	MinMOS   float64       // mean opinion score at the end of calls, 1 to 4.5
	Down     bool          // below a threshold the target falls; otherwise it is degraded
}

// Measured is what the calls of the window say of one target. Shares are 0 where nothing was counted.
type Measured struct {
	Calls    int // that were judged: answered, failed, or ended by the called person
	ASR, NER float64
	PDD      time.Duration // mean; 0 when none rang
	Rated    int           // calls with a score
	MOS      float64       // mean; 0 when none was rated
}

// slices of a quality window: the oldest leaves as a whole.
const slots = 12

// tally counts calls.
type tally struct {
	calls, answered, carried, rung, rated int
	pdd                                   time.Duration
	mos                                   float64
}

// quality is the sliding window of one target. The Checker's lock guards it.
type quality struct {
	slot   [slots]tally
	newest int64 // number of the newest slot since the epoch
	poor   string
}

const (
	defaultQualityWindow = 5 * time.Minute
	defaultMinCalls      = 20
)

func (s Quality) window() time.Duration {
	if s.Window > 0 {
		return s.Window
	}
	return defaultQualityWindow
}

func (s Quality) minCalls() int {
	if s.MinCalls > 0 {
		return s.MinCalls
	}
	return defaultMinCalls
}

// current gives the slot of now, after those that are too old were emptied.
func (q *quality) current(now time.Time, s Quality) *tally {
	n := now.UnixNano() / int64(s.window()/slots)
	if n-q.newest >= slots || n < q.newest {
		q.slot = [slots]tally{}
	} else {
		for i := q.newest + 1; i <= n; i++ {
			q.slot[i%slots] = tally{}
		}
	}
	q.newest = n
	return &q.slot[n%slots]
}

func (q *quality) sum(now time.Time, s Quality) (t tally) {
	q.current(now, s)
	for i := range q.slot {
		o := &q.slot[i]
		t.calls += o.calls
		t.answered += o.answered
		t.carried += o.carried
		t.rung += o.rung
		t.rated += o.rated
		t.pdd += o.pdd
		t.mos += o.mos
	}
	return t
}

func (t tally) measured() (m Measured) {
	m.Calls, m.Rated = t.calls, t.rated
	if t.calls > 0 {
		m.ASR, m.NER = float64(t.answered)/float64(t.calls), float64(t.carried)/float64(t.calls)
	}
	if t.rung > 0 {
		m.PDD = t.pdd / time.Duration(t.rung)
	}
	if t.rated > 0 {
		m.MOS = t.mos / float64(t.rated)
	}
	return m
}

// fate is what one call says of the network behind a target.
type fate uint8

const (
	unjudged fate = iota // a redirection, a cancelled call, a refusal of ours: it says nothing
	answered
	carried // the network did its work and a person, or the lack of one, ended it
	failed
)

// fateOf sorts a final response by ITU-T E.425: the network effectiveness ratio leaves out what users do. 0 is no response at all.
func fateOf(status int) fate {
	switch {
	case status >= 200 && status < 300:
		return answered
	case status >= 300 && status < 400, status == 487:
		return unjudged
	}
	switch status {
	case 404, 410, 480, 484, 486, 600, 603, 604, 607, 608: // no such number, gone, away, incomplete, busy, declined, unwanted
		return carried
	case 401, 407, 413, 415, 416, 420, 421, 422, 488, 606: // the two sides do not agree on a session: no fault of the network
		return unjudged
	}
	return failed
}

// add counts what one call met.
func (q *quality) add(o Outcome, now time.Time, s Quality) {
	t := q.current(now, s)
	if o.MOS > 0 {
		t.rated++
		t.mos += o.MOS
	}
	if o.Ended {
		return
	}
	f := fateOf(o.Final)
	if f == unjudged {
		return
	}
	t.calls++
	switch f {
	case answered:
		t.answered++
		t.carried++
	case carried:
		t.carried++
	}
	if o.PDD > 0 {
		t.rung++
		t.pdd += o.PDD
	}
}

// judge says in words what is below its threshold, or "". A target that is poor must be better than the threshold by a tenth to be good again.
func (q *quality) judge(now time.Time, s Quality) string {
	if !s.asks() {
		q.poor = ""
		return ""
	}
	m := q.sum(now, s).measured()
	slack := 0.0
	if q.poor != "" {
		slack = 0.1
	}
	var bad []string
	if m.Calls >= s.minCalls() {
		// Half of what is missing to 1 is the most that a threshold of a share is raised by, lest it become unreachable.
		if floor := min(s.MinASR*(1+slack), (1+s.MinASR)/2); s.MinASR > 0 && m.ASR < floor {
			bad = append(bad, fmt.Sprintf("ASR %.0f %%, wanted %.0f %%", 100*m.ASR, 100*s.MinASR))
		}
		if floor := min(s.MinNER*(1+slack), (1+s.MinNER)/2); s.MinNER > 0 && m.NER < floor {
			bad = append(bad, fmt.Sprintf("NER %.0f %%, wanted %.0f %%", 100*m.NER, 100*s.MinNER))
		}
		if s.MaxPDD > 0 && m.PDD > time.Duration(float64(s.MaxPDD)*(1-slack)) {
			bad = append(bad, fmt.Sprintf("%v until it rings, wanted at most %v", m.PDD.Round(10*time.Millisecond), s.MaxPDD))
		}
	}
	if s.MinMOS > 0 && m.Rated >= s.minCalls() && m.MOS < s.MinMOS+slack {
		bad = append(bad, fmt.Sprintf("MOS %.2f, wanted %.2f", m.MOS, s.MinMOS))
	}
	q.poor = ""
	if len(bad) > 0 {
		q.poor = fmt.Sprintf("its calls go badly: %s (%d calls in %v)", strings.Join(bad, ", "), max(m.Calls, m.Rated), s.window())
	}
	return q.poor
}

// asks says whether there is any threshold.
func (q Quality) asks() bool { return q.MinASR > 0 || q.MinNER > 0 || q.MaxPDD > 0 || q.MinMOS > 0 }

// rate judges the calls of a target and lets it limp or fall. It runs after each call and each probe.
func (w *window) rate(now time.Time, s Settings) {
	was := w.quality.poor
	why := w.quality.judge(now, s.Quality)
	switch {
	case why == "" || !w.state.Usable():
		if was != "" && w.state == Degraded && why == "" {
			w.hits = 0 // the way up begins here
		}
	case s.Quality.Down:
		w.quality, w.hits = quality{}, 0 // it is tried again with a clean sheet
		w.fall(now, why, s)
	case w.state == Up:
		w.enter(Degraded, now, why)
	default:
		w.why = why
	}
}

// check names what is wrong with q.
func (q Quality) check(where string) error {
	share := func(v float64) bool { return v >= 0 && v <= 1 } // written so that NaN is refused
	switch {
	case !share(q.MinASR) || !share(q.MinNER):
		return fmt.Errorf("healthcheck: %s: asr and ner are shares between 0 and 1", where)
	case !(q.MinMOS >= 0 && q.MinMOS <= 4.5):
		return fmt.Errorf("healthcheck: %s: mos lies between 1 and 4.5", where)
	case q.MaxPDD < 0 || q.MinCalls < 0 || (q.Window != 0 && (q.Window < time.Second || q.Window > 24*time.Hour)):
		return fmt.Errorf("healthcheck: %s: the window of calls lies between 1s and 24h, its least number of calls and its pdd are not negative", where)
	}
	return nil
}

package measure

import (
	"math"
	"slices"
	"time"

	"github.com/cordonsip/cordon/drill/scenario"
)

// Timeline is the moments of a drill, of the report's field timeline. Zero: it did not come to that.
type Timeline struct {
	Injected      time.Time `json:"fault_injected,omitzero"`
	Detected      time.Time `json:"detected,omitzero"`
	Decided       time.Time `json:"decided,omitzero"`
	Switched      time.Time `json:"switched,omitzero"`      // the router's move
	FirstCall     time.Time `json:"first_call_ok,omitzero"` // answered by the secondary
	Steady        time.Time `json:"steady_state,omitzero"`  // since when every call was answered
	FailbackStart time.Time `json:"failback_start,omitzero"`
	FailbackDone  time.Time `json:"failback_done,omitzero"`
}

// Figures are what was measured, of the report's field measured. Durations in milliseconds, as the register of drills has them.
type Figures struct {
	Detect        *int64   `json:"detect_ms"` // from the fault; null: it was not detected
	Decide        *int64   `json:"decide_ms"`
	Switch        *int64   `json:"switch_ms"`
	RTO           *float64 `json:"rto_measured_s"` // fault to the first answered call on the secondary
	Failback      *int64   `json:"failback_ms"`
	Restore       *int64   `json:"restore_ms"` // from Seen.Restoring to all as before
	InProgress    int      `json:"calls_in_progress"`
	Dropped       int      `json:"calls_dropped"`
	Preserved     int      `json:"calls_preserved"`
	Placed        int      `json:"calls_placed"`
	SetupFailed   float64  `json:"setup_fail_pct"`
	MOSBefore     float64  `json:"mos_before"` // mean of the calls that ended before the fault; 0: none
	MOSDuring     float64  `json:"mos_during"`
	GapP50        int64    `json:"media_gap_ms_p50"`
	GapP99        int64    `json:"media_gap_ms_p99"`
	RecordsLost   *uint64  `json:"rpo_records_lost"` // null: the log was not verified, so that nobody knows
	QuorumSeconds *float64 `json:"gate_quorum_time_s"`
	OpinionTime   *float64 `json:"dpo_opinion_time_s"`
	FalseVerdicts int      `json:"probe_false_verdicts"` // parties that nobody touched and the table called down
	Refused       int      `json:"forbidden_refused"`
}

// Measure computes the timeline and the figures of a play.
func Measure(p *scenario.Play, s *Seen) (Timeline, Figures) {
	j := &judge{p: p, s: s, from: s.Start, until: s.End}
	var t Timeline
	f := Figures{Refused: len(s.Refused)}
	if lost := s.Records.Lost(); s.Records.Verified {
		f.RecordsLost = &lost
	}
	if first, ok := j.first(); ok {
		t.Injected = first.At
		t.Detected, _ = j.detected(first)
		t.Decided, _ = j.decided(first)
		for _, m := range s.Moves {
			if m.What == "applied" && t.Switched.IsZero() && !m.At.Before(first.At) {
				t.Switched = m.At
			}
		}
		t.FirstCall, _ = j.answer(j.part(scenario.Secondary), first.At)
		t.Steady = s.steady(first.At)
		f.Detect, f.Decide, f.Switch = since(first.At, t.Detected), since(first.At, t.Decided), since(first.At, t.Switched)
		if !t.FirstCall.IsZero() {
			rto := t.FirstCall.Sub(first.At).Seconds()
			f.RTO = &rto
		}
	}
	if t.FailbackStart = j.givenBack(); !t.FailbackStart.IsZero() {
		t.FailbackDone, _ = j.answer(j.part(scenario.Primary), t.FailbackStart)
		f.Failback = since(t.FailbackStart, t.FailbackDone)
	}
	f.Restore = since(s.Restoring, s.Restored)
	f.calls(j, t.Injected)
	f.gate(s.Tickets)
	f.FalseVerdicts = j.falseVerdicts()
	return t, f
}

// RestoredFrom says in words what Figures.Restore counts from, by the end of a play and the moment since when everything was as before.
func RestoredFrom(end, restored time.Time) string {
	if restored.Before(end) {
		return "the last giving back"
	}
	return "the order to end"
}

func since(from, to time.Time) *int64 {
	if to.IsZero() || from.IsZero() {
		return nil
	}
	ms := to.Sub(from).Milliseconds()
	return &ms
}

// steady is the placing of the first call after a moment from which on every call was answered.
func (s *Seen) steady(after time.Time) (at time.Time) {
	for _, c := range slices.Backward(s.Calls) {
		if s.hasty(c) {
			continue
		}
		if c.Placed.Before(after) || c.Answered.IsZero() {
			return at
		}
		at = c.Placed
	}
	return at
}

func (f *Figures) calls(j *judge, injected time.Time) {
	up, lost := j.running()
	f.InProgress, f.Dropped, f.Preserved = up, lost, up-lost
	failed := 0
	var before, during, n, m float64
	var gaps []time.Duration
	for _, c := range j.s.Calls {
		f.Placed++
		if c.Answered.IsZero() {
			if !j.s.hasty(c) {
				failed++
			}
			continue
		}
		gaps = append(gaps, c.Gap)
		switch {
		case c.MOS == 0:
		case injected.IsZero() || !c.Ended.IsZero() && c.Ended.Before(injected):
			before, n = before+c.MOS, n+1
		default:
			during, m = during+c.MOS, m+1
		}
	}
	if f.Placed > 0 {
		f.SetupFailed = round(100 * float64(failed) / float64(f.Placed))
	}
	if n > 0 {
		f.MOSBefore = round(before / n)
	}
	if m > 0 {
		f.MOSDuring = round(during / m)
	}
	slices.Sort(gaps)
	f.GapP50, f.GapP99 = quantile(gaps, 50), quantile(gaps, 99)
}

// round keeps two digits behind the point: more would be noise.
func round(x float64) float64 { return math.Round(x*100) / 100 }

// quantile is the nearest rank, in milliseconds.
func quantile(sorted []time.Duration, percent int) int64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*percent + 99) / 100
	return sorted[max(rank, 1)-1].Milliseconds()
}

// gate measures the first ticket.
func (f *Figures) gate(tickets []Ticket) {
	if len(tickets) == 0 {
		return
	}
	t := tickets[0]
	if n := len(t.Words); n > 0 {
		s := t.Words[n-1].Sub(t.Opened).Seconds()
		f.QuorumSeconds = &s
	}
	if !t.Opinion.IsZero() {
		s := t.Opinion.Sub(t.Opened).Seconds()
		f.OpinionTime = &s
	}
}

// falseVerdicts counts parties that were called down and that nothing of the play touched.
func (j *judge) falseVerdicts() int {
	touched := map[string]bool{}
	for _, t := range j.s.Taken {
		for _, name := range j.touched(t) {
			touched[name] = true
		}
	}
	wrong := map[string]bool{}
	for _, h := range j.s.Health {
		if !h.Up && !touched[h.Party] {
			wrong[h.Party] = true
		}
	}
	return len(wrong)
}

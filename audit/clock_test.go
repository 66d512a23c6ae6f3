package audit

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestSilences holds which times without entries are named, and why.
func TestSilences(t *testing.T) {
	t.Parallel()
	beat := ClockQuality{Cause: "hourly"}
	for name, c := range map[string]struct {
		log  []any // events, and times that pass
		want []string
	}{
		"one run":                     {[]any{NodeStarted{}, beat, 59 * time.Minute, beat, time.Hour, beat, NodeStopped{}}, nil},
		"stopped and started":         {[]any{NodeStarted{}, beat, time.Minute, NodeStopped{}, 3 * time.Hour, NodeStarted{}, beat}, []string{"stopped 3h0m0s 2-3"}},
		"kill -9":                     {[]any{NodeStarted{}, beat, time.Minute, TableChanged{}, 90 * time.Second, NodeStarted{Crash: true}, beat}, []string{"crash 1m30s 2-3"}},
		"an hour that is missing":     {[]any{NodeStarted{}, beat, 2 * time.Hour, beat, time.Hour, beat}, []string{"silent 2h0m0s 1-2"}},
		"late, and not too late":      {[]any{NodeStarted{}, beat, 69 * time.Minute, beat}, nil},
		"a version without heartbeat": {[]any{NodeStarted{}, 20 * time.Hour, TableChanged{}, NodeStopped{}}, nil},
		"upgraded to one with it":     {[]any{NodeStarted{}, 20 * time.Hour, NodeStopped{}, time.Second, NodeStarted{}, beat, 3 * time.Hour, NodeStopped{}}, []string{"stopped 1s 1-2", "silent 3h0m0s 3-4"}},
		"changed while no node ran":   {[]any{NodeStarted{}, beat, NodeStopped{}, time.Hour, KeyRotated{}, time.Hour, NodeStarted{}}, []string{"stopped 2h0m0s 2-4"}},
	} {
		var p pulse
		var got []string
		now, seq := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC), uint64(0)
		for _, at := range c.log {
			if d, ok := at.(time.Duration); ok {
				now = now.Add(d)
				continue
			}
			e := Entry{Kind: at.(Event).Kind(), Time: now}
			if s, ok := p.hear(seq, &e); ok {
				got = append(got, fmt.Sprintf("%s %v %d-%d", s.Cause, s.To.Sub(s.From), s.After, s.Before))
			}
			seq++
		}
		if strings.Join(got, ", ") != strings.Join(c.want, ", ") {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestVerifyNamesSilences: the whole log, on the disk.
func TestVerifyNamesSilences(t *testing.T) {
	t.Parallel()
	c := testConfig()
	c.Dir = logDir(t)
	now := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	c.Now = func() time.Time { return now }
	l := openTest(t, "disk", c)
	mustAppend(t, l, NodeStarted{})
	mustAppend(t, l, ClockQuality{Cause: "start"})
	now = now.Add(4 * time.Hour)
	mustAppend(t, l, TableChanged{Route: "inbound"})
	now = now.Add(time.Minute)
	mustAppend(t, l, NodeStarted{Crash: true})
	coveredBy(t, l)
	v := verify(t, c.Dir, l.VerifierKey())
	if v.Bad != nil || len(v.Silences) != 2 || v.Silences[0].Cause != SilenceQuiet || v.Silences[1].Cause != SilenceCrash || v.Silences[1].To.Sub(v.Silences[1].From) != time.Minute {
		t.Errorf("%+v %+v", v.Bad, v.Silences)
	}
}

package report

import (
	"testing"
	"time"
)

func TestDowntimeVectors(t *testing.T) {
	checked := 0
	for _, d := range readVectors(t).Downtime {
		if d.Over == nil {
			if d.Note == "" {
				t.Errorf("%s: nothing to check and no note", d.ID)
			}
			continue
		}
		checked++
		if got := OverThreshold(Downtime([]Outage{{From: d.From, To: d.Restored}}, d.Restored.Add(time.Hour))); got != *d.Over {
			t.Errorf("%s: over %v", d.ID, got)
		}
	}
	if checked != 2 {
		t.Errorf("%d vectors checked", checked)
	}
}

// TestPartialUnavailability is vector D03.
func TestPartialUnavailability(t *testing.T) {
	start := at("2026-11-20T08:00:00Z")
	inbound := Outage{From: start, To: start.Add(2*time.Hour + time.Second), Partial: true, Direction: "inbound"}
	if d := Downtime([]Outage{inbound}, start); d != 2*time.Hour+time.Second || !OverThreshold(d) {
		t.Errorf("inbound blocked while outbound works: %v", d)
	}
}

func TestDowntimeUnion(t *testing.T) {
	start := at("2026-11-20T08:00:00Z")
	m := func(n int) time.Time { return start.Add(time.Duration(n) * time.Minute) }
	for name, c := range map[string]struct {
		outages []Outage
		want    time.Duration
	}{
		"none":                        {nil, 0},
		"still lasting":               {[]Outage{{From: m(0)}}, 100 * time.Minute},
		"begins later":                {[]Outage{{From: m(200)}}, 0},
		"two apart, out of order":     {[]Outage{{From: m(50), To: m(60)}, {From: m(0), To: m(20)}}, 30 * time.Minute},
		"overlapping":                 {[]Outage{{From: m(0), To: m(20)}, {From: m(10), To: m(30), Partial: true}}, 30 * time.Minute},
		"one inside another":          {[]Outage{{From: m(0), To: m(40)}, {From: m(10), To: m(20)}, {From: m(35), To: m(45)}}, 45 * time.Minute},
		"ends before it begins":       {[]Outage{{From: m(20), To: m(10)}, {From: m(30), To: m(40)}}, 10 * time.Minute},
		"partial, then full, lasting": {[]Outage{{From: m(0), To: m(10), Partial: true}, {From: m(5)}}, 100 * time.Minute},
	} {
		if got := Downtime(c.outages, m(100)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

package routing

import (
	"testing"
	"time"
	_ "time/tzdata"
)

func TestAWindowIsAWallClock(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	night := &Window{From: 2 * 60, To: 4 * 60, Zone: berlin}
	over := &Window{From: 23 * 60, To: 60, Days: []time.Weekday{time.Saturday}}
	for _, c := range []struct {
		w    *Window
		at   string
		open bool
	}{
		{nil, "2026-11-21T12:00:00Z", true},
		{night, "2026-11-21T00:59:59Z", false},
		{night, "2026-11-21T01:00:00Z", true}, // 02:00 in winter
		{night, "2026-11-21T02:59:59Z", true},
		{night, "2026-11-21T03:00:00Z", false},
		{night, "2026-07-21T00:00:00Z", true},          // 02:00 in summer
		{night, "2026-03-29T01:30:00Z", true},          // 02:30 is missing that night: the clock shows 03:30
		{night, "2026-10-25T00:30:00Z", true},          // 02:30 for the first time
		{night, "2026-10-25T01:30:00Z", true},          // and again
		{over, "2026-11-21T22:59:00Z", false},          // a Saturday
		{over, "2026-11-21T23:00:00Z", true},           //
		{over, "2026-11-22T00:59:00Z", true},           // Sunday, and the window began on Saturday
		{over, "2026-11-22T01:00:00Z", false},          //
		{over, "2026-11-22T23:30:00Z", false},          // Sunday
		{over, "2026-11-21T00:30:00Z", false},          // began on Friday
		{&Window{To: 1}, "2026-11-21T00:00:30Z", true}, // UTC by default
	} {
		at, err := time.Parse(time.RFC3339, c.at)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.w.Open(at); got != c.open {
			t.Errorf("%v at %s: open %v", c.w, c.at, got)
		}
	}
	if got := over.String(); got != "23:00-01:00 UTC on Sat" {
		t.Error(got)
	}
}

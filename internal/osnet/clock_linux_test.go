package osnet

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

// TestClockReading holds that what nobody measured is left out, whatever stands in the kernel's fields.
func TestClockReading(t *testing.T) {
	show := func(r ClockReading) string {
		s := fmt.Sprintf("%s %v %v", r.Source, r.Known, r.Synced)
		for _, ms := range []*float64{r.OffsetMS, r.EstErrorMS, r.MaxErrorMS} {
			if ms == nil {
				s += " -"
			} else {
				s += fmt.Sprintf(" %g", *ms)
			}
		}
		return s
	}
	for name, c := range map[string]struct {
		state int
		in    unix.Timex
		want  string
	}{
		"never synchronised": {
			unix.TIME_ERROR,
			unix.Timex{Status: unix.STA_UNSYNC, Esterror: 16_000_000, Maxerror: 16_000_000},
			"system, not synchronised true false - - -",
		},
		"flag alone":   {unix.TIME_OK, unix.Timex{Status: unix.STA_UNSYNC | unix.STA_PLL, Offset: 5}, "system, not synchronised true false - - -"},
		"state alone":  {unix.TIME_ERROR, unix.Timex{Status: unix.STA_PLL, Offset: 5}, "system, not synchronised true false - - -"},
		"broken clock": {unix.TIME_OK, unix.Timex{Status: unix.STA_CLOCKERR}, "system, not synchronised true false - - -"},
		"kernel loop in nanoseconds": {
			unix.TIME_OK,
			unix.Timex{Status: unix.STA_PLL | unix.STA_NANO, Offset: -250_000, Esterror: 120, Maxerror: 4500},
			"kernel (NTP disciplined) true true -0.25 0.12 4.5",
		},
		"kernel loop in microseconds": {
			unix.TIME_OK,
			unix.Timex{Status: unix.STA_PLL, Offset: 250, Maxerror: 4500},
			"kernel (NTP disciplined) true true 0.25 - 4.5",
		},
		"steered from outside": {
			unix.TIME_OK,
			unix.Timex{Status: unix.STA_NANO, Offset: 77, Esterror: 31, Maxerror: 900},
			"kernel (NTP disciplined) true true - 0.031 0.9",
		},
		"a leap second is due": {
			unix.TIME_INS,
			unix.Timex{Status: unix.STA_PLL | unix.STA_INS, Maxerror: 900},
			"kernel (NTP disciplined) true true - - 0.9",
		},
	} {
		if got := show(clockReading(c.state, &c.in)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

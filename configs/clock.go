package configs

import "time"

// ClockPart is what is expected of the clock that gives the log its times.
type ClockPart struct {
	Source string        // the documented reliable source, in the operator's words
	Step   time.Duration // a jump that is longer is recorded, and back is an alarm
}

const (
	maxClockSource   = 120
	defaultClockStep = 500 * time.Millisecond
)

func (b *builder) clock(c *Config) {
	l := b.doc.file.Log
	c.Clock = ClockPart{Source: l.ClockSource, Step: l.ClockStep.Or(defaultClockStep)}
	if len(l.ClockSource) > maxClockSource {
		b.fail("log.clock_source", "name and address of the source, e.g. \"PTB via ntp1.bank.example\"", "%d characters are too many", len(l.ClockSource))
	}
	if c.Clock.Step < 10*time.Millisecond || c.Clock.Step > time.Minute {
		b.fail("log.clock_step", "between 10ms and 1m", "%s is out of range", c.Clock.Step)
	}
}

package drill

import (
	"fmt"
	"time"

	"github.com/cordonsip/cordon/drill/scenario"
)

// brake stops a play for what production feels. A condition stops it when it has lasted; something real stops it at once.
type brake struct {
	stop  scenario.Stop
	since [3]time.Time // of each condition; zero: it does not hold
}

func (b *brake) judge(now time.Time, p Pulse) (cause string) {
	if p.Event != "" {
		return "something real happened: " + p.Event
	}
	for i, c := range [...]struct {
		holds bool
		cause string
	}{
		{p.Failures > b.stop.Failures.Of(), fmt.Sprintf("%.1f%% of the calls of production fail beyond what failed before, more than %s", 100*p.Failures, b.stop.Failures)},
		{p.MOS > 0 && p.MOS < b.stop.MOS, fmt.Sprintf("calls of production sound like %.2f, below %.2f", p.MOS, b.stop.MOS)},
		{p.CPU > b.stop.CPU.Of(), fmt.Sprintf("the node is %.0f%% busy, more than %s", 100*p.CPU, b.stop.CPU)},
	} {
		if !c.holds {
			b.since[i] = time.Time{}
			continue
		}
		if b.since[i].IsZero() {
			b.since[i] = now
		}
		if lasted := now.Sub(b.since[i]); cause == "" && lasted >= time.Duration(b.stop.After) {
			cause = fmt.Sprintf("%s, for %s", c.cause, lasted.Round(time.Millisecond))
		}
	}
	return cause
}

package clip

import (
	"math"
	"time"
)

// Special is the special information tone of ITU-T E.180 (E.182 section 6 says when): three tones that rise, of a third of a second each, and a second of silence.
// It tells people everywhere, and machines that listen to a line, that the call cannot be put through.
func Special() []Clip {
	const (
		each      = 330 * rate / 1000 // samples
		amplitude = 4500              // about -14 dBm0, as loud as other tones of a network
	)
	out := make([]int16, samplesIn(2*time.Second))
	for i, hz := range [...]float64{950, 1400, 1800} {
		for n := range each {
			out[i*each+n] = int16(math.Round(amplitude * math.Sin(2*math.Pi*hz*float64(n)/rate)))
		}
	}
	return G711(out)
}

func samplesIn(d time.Duration) int { return int(d * rate / time.Second) }

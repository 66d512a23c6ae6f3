package osnet

import "time"

// Busy is processor time of the whole machine: what was used of what there was. Two readings give a share. The zero Busy is no reading.
type Busy struct{ Used, All time.Duration }

// Since gives the share of the processors that was used between an earlier reading and b, from 0 to 1; 0 without two readings.
func (b Busy) Since(earlier Busy) float64 {
	if earlier.All == 0 || b.All <= earlier.All {
		return 0
	}
	return min(1, max(0, float64(b.Used-earlier.Used)/float64(b.All-earlier.All)))
}

package cordon_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// A day of mixed calls over links that lose one datagram in five, spread over 500 seeds by `make soak`; a few of them by `make test`. Every call ends, and when a
// run is over no call, transaction, timer, media port, socket or goroutine of the node is left: sim.ends looks for the first ones, and a bubble of virtual time
// does not end while a goroutine lives.
func TestADayOfCallsOverLossyLinks(t *testing.T) {
	seeds := uint64(3)
	if v, err := strconv.ParseUint(os.Getenv("CORDON_SOAK"), 10, 32); err == nil {
		seeds = v
	}
	const day = 24 * time.Hour
	like := story{loss: 0.2, long: day / 500, pace: time.Second}
	text := fmt.Sprintf(simConfig, "eea_plus_adequacy", "", "")
	var sum tally
	t.Run("seeds", func(t *testing.T) {
		for seed := range seeds {
			seed += 1 << 20 // others than those of the short runs
			t.Run("seed "+strconv.FormatUint(seed, 10), func(t *testing.T) {
				t.Parallel()
				if faults := runSeed(t, seed, text, &sum, like); len(faults) > 0 {
					t.Fatalf("seed %d:\n%s", seed, strings.Join(faults, "\n"))
				}
			})
		}
	})
	played := time.Duration(sum.played.Load())
	t.Logf("%v of virtual time in %d runs: %d calls, %d answered; %d calls for help, %d answered",
		played.Round(time.Second), seeds, sum.calls.Load(), sum.up.Load(), sum.placed.Load(), sum.answered.Load())
	if want := time.Duration(seeds) * like.long; played < want || sum.up.Load() == 0 || sum.calls.Load() < int64(seeds)*20 {
		t.Errorf("that is too little to show anything: %v of virtual time, want %v", played, want)
	}
}

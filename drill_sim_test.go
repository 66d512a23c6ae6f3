package cordon

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/configs/drills"
	"github.com/cordonsip/cordon/drill"
	"github.com/cordonsip/cordon/drill/scenario"
	"github.com/cordonsip/cordon/internal/strict"
	"github.com/cordonsip/cordon/internal/vnet"
)

// weather is a network of a seed: delay, jitter and a little loss on every path.
func weather(rng *rand.Rand) vnet.Quality {
	return vnet.Quality{
		Delay: time.Duration(1+rng.IntN(25)) * time.Millisecond, Jitter: time.Duration(rng.IntN(8)) * time.Millisecond,
		Loss: rng.Float64() * 0.005, Dup: rng.Float64() * 0.005,
	}
}

// thin places fewer and shorter calls than the scenario does, at moments of the seed: what is measured of each is the same, and minutes of a play take milliseconds. Calls stay as
// dense as a switch within so many seconds needs to be seen.
func thin(p *scenario.Play, rng *rand.Rand) {
	each := time.Duration(p.End.After) / 60
	for _, e := range p.Expect {
		if e.Switched != nil {
			each = min(each, time.Duration(e.Switched.Within)-3*time.Second)
		}
	}
	for i := range p.Placed {
		l := &p.Placed[i]
		l.Each = max(l.Each, strict.Duration(each-time.Duration(rng.IntN(500))*time.Millisecond))
		l.Hold = min(l.Hold, strict.Duration(time.Duration(1200+rng.IntN(400))*time.Millisecond))
		l.At += strict.Duration(time.Duration(rng.IntN(1000)) * time.Millisecond)
	}
}

// rehearse plays a scenario in virtual time.
func rehearse(t *testing.T, seed uint64, text string, look func(t *testing.T, s *sandbox, p drillPlayed)) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 9))
	among(t, seed, weather(rng), func(t *testing.T, s *sandbox) {
		p := bound(t, text, s.stage.Config)
		thin(p, rng)
		got, err := s.play(t.Context(), drillAsk{ID: "d", Play: p, Mode: scenario.Simulation}, nil, nil)
		if err != nil {
			t.Error(err)
		}
		look(t, s, got)
	})
}

// played are the scenarios that ship and need no further room, the shorter ones more often.
func played(t *testing.T) (names []string) {
	t.Helper()
	for _, name := range drills.Names() {
		text, _ := drills.Text(name)
		s, probs := scenario.Read(name, text)
		if len(probs) > 0 {
			t.Fatal(probs)
		}
		if len(s.Needs()) > 0 {
			continue
		}
		for range min(8, max(1, 40*time.Minute/time.Duration(s.End.After))) {
			names = append(names, name)
		}
	}
	return names
}

// The scenarios that ship pass on a whole node among stand-ins, whatever the network is like and whenever calls come: 200 seeds, or CORDON_SEEDS.
func TestShippedDrillsInVirtualTime(t *testing.T) {
	seeds := uint64(200)
	if v, err := strconv.ParseUint(os.Getenv("CORDON_SEEDS"), 10, 32); err == nil {
		seeds = v
	}
	names := played(t)
	for seed := range seeds {
		name := names[seed%uint64(len(names))]
		t.Run(fmt.Sprintf("%s %d", name, seed), func(t *testing.T) {
			t.Parallel()
			text, _ := drills.Text(name)
			rehearse(t, seed, string(text), func(t *testing.T, _ *sandbox, p drillPlayed) {
				if p.Outcome != drill.Passed {
					t.Error(account(p))
				}
			})
		})
	}
}

// A scenario that wants what the node does not do is judged failed, for that and for nothing else.
func TestADrillThatMustFailDoes(t *testing.T) {
	text, _ := drills.Text("region-loss")
	wrong := strings.Replace(string(text), "  - {switched: {within: 10s}}", "  - {answered: {by: [primary], within: 3s}, from: 2m, until: 3m}", 1)
	rehearse(t, 1, wrong, func(t *testing.T, _ *sandbox, p drillPlayed) {
		if p.Outcome != drill.Failed {
			t.Errorf("judged %s", account(p))
		}
		for _, j := range p.Judgements {
			if j.Holds != (j.Index != 3) {
				t.Errorf("%s holds: %v; want %s, measured %s", j.Word, j.Holds, j.Wanted, j.Measured)
			}
		}
	})
}

// Where people are taken before anything is that calls meet, what is measured counts from what calls meet.
func TestPeopleAreNoFaultThatCallsMeet(t *testing.T) {
	text, _ := drills.Text("approvers-unreachable")
	rehearse(t, 1, string(text), func(t *testing.T, _ *sandbox, p drillPlayed) {
		s, f := p.Seen, p.Figures
		if len(s.Taken) != 4 || s.Taken[0].At.Sub(s.Start) > time.Second {
			t.Fatalf("taken: %+v", s.Taken)
		}
		if at := p.Timeline.Injected.Sub(s.Start); at < 30*time.Second || at > 31*time.Second {
			t.Errorf("the fault was %s after the start", at)
		}
		for word, ms := range map[string]*int64{"detected": f.Detect, "decided": f.Decide} {
			if ms == nil || *ms < 0 || *ms >= 30_000 {
				t.Errorf("%s: %v ms after the fault", word, ms)
			}
		}
	})
}

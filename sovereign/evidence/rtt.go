package evidence

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"
)

// KMPerMS is how far away an answer can come from at most, for each millisecond of its round trip: light in fibre makes about 200 km a millisecond one way.
const KMPerMS = 100

// Confirm is how many answers must be too fast for a place before they contradict it: one alone may be somebody's odd sample.
const Confirm = 3

// near is how much of the map a bound may leave open and still count as support, in km. A bound cannot tell Basel from Freiburg.
const near = 500

// Spot is a place on the map.
type Spot struct {
	Lat float64 `json:"lat"` // degrees, north is positive
	Lon float64 `json:"lon"` // degrees, east is positive
	KM  float64 `json:"km"`  // how far from there it may be: a region is no point
}

// Valid says whether s is on the map.
func (s Spot) Valid() bool {
	return s.Lat >= -90 && s.Lat <= 90 && s.Lon >= -180 && s.Lon <= 180 && s.KM >= 0 && s.KM <= 20_000 // written so that NaN is none
}

// earth is the mean radius in km (IUGG).
const earth = 6371.0088

// Distance is the way between two places over the ground in km, as if they were points.
func Distance(a, b Spot) float64 {
	rad := func(d float64) float64 { return d * math.Pi / 180 }
	sin := func(d float64) float64 { return math.Sin(rad(d) / 2) }
	h := sin(b.Lat-a.Lat)*sin(b.Lat-a.Lat) + math.Cos(rad(a.Lat))*math.Cos(rad(b.Lat))*sin(b.Lon-a.Lon)*sin(b.Lon-a.Lon)
	return 2 * earth * math.Asin(math.Sqrt(min(1, h)))
}

// Sight is what one node measured toward one address: its fastest answers. A round trip cannot be too short for physics: what answers before light could have been
// at the declared place and back is not there, or a proxy nearer by answers for it, which is the finding; or the node is not where its position says.
type Sight struct {
	Node    string                 `json:"node"`
	At      Spot                   `json:"at"`
	Fastest [Confirm]time.Duration `json:"fastest_ns"` // ascending; 0: there were fewer
	Samples int                    `json:"samples"`
	Last    time.Time              `json:"last"`
}

// Add takes one round trip in and says whether it changed what is known.
func (s *Sight) Add(rtt time.Duration, at time.Time) (faster bool) {
	if rtt <= 0 {
		return false
	}
	s.Samples++
	s.Last = at
	for i, f := range s.Fastest {
		if f == 0 || rtt < f {
			copy(s.Fastest[i+1:], s.Fastest[i:])
			s.Fastest[i] = rtt
			return true
		}
	}
	return false
}

// Reach is how far away the address can be, by the fastest answer; sure is by the slowest of the fastest three, or no bound at all while there are fewer.
func (s *Sight) Reach() (km, sure float64) {
	if s.Fastest[0] <= 0 {
		return math.Inf(1), math.Inf(1)
	}
	km, sure = reach(s.Fastest[0]), math.Inf(1)
	if last := s.Fastest[Confirm-1]; last > 0 {
		sure = reach(last)
	}
	return km, sure
}

func reach(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) * KMPerMS }

// check says whether a sight from elsewhere makes sense.
func (s *Sight) check() error {
	switch {
	case s.Node == "":
		return fmt.Errorf("evidence: a sight without a node")
	case !s.At.Valid():
		return fmt.Errorf("evidence: a sight of node %q from no place on the map", s.Node)
	case s.Samples < 1 || s.Fastest[0] <= 0:
		return fmt.Errorf("evidence: a sight of node %q without a round trip", s.Node)
	}
	for i := 1; i < Confirm; i++ {
		if f := s.Fastest[i]; f < 0 || f != 0 && f < s.Fastest[i-1] || f != 0 && s.Fastest[i-1] == 0 || f != 0 && s.Samples <= i {
			return fmt.Errorf("evidence: a sight of node %q whose round trips are in no order", s.Node)
		}
	}
	return nil
}

// Bounds gives what the sights of one address say of its claim: one item per node, and one more where two nodes see it so near to each that no single place could be.
// Too long a round trip proves nothing.
func Bounds(c Claim, sights []Sight) []Item {
	sights = slices.Clone(sights)
	slices.SortFunc(sights, func(a, b Sight) int { return cmp.Compare(a.Node, b.Node) })
	var out []Item
	for i := range sights {
		out = append(out, sights[i].item(c))
	}
	for i := range sights {
		for j := range i {
			if it, ok := apart(&sights[j], &sights[i]); ok {
				out = append(out, it)
			}
		}
	}
	return out
}

func (s *Sight) item(c Claim) Item {
	km, sure := s.Reach()
	ms := float64(s.Fastest[0]) / float64(time.Millisecond)
	it := Item{Kind: RTTBound, ObservedAt: s.Last, Result: Silent, Value: fmt.Sprintf("%.3g ms from node %s: at most %.0f km away", ms, s.Node, km)}
	if c.Spot == nil {
		return it
	}
	far := Distance(s.At, *c.Spot)
	least := far - c.Spot.KM - s.At.KM
	switch {
	case sure < least:
		it.Result = Contradicts
		it.Value += fmt.Sprintf(", and its declared place is %.0f km away", far)
	case km < least:
		it.Value += fmt.Sprintf(", and its declared place is %.0f km away; %d answers as fast are needed to say so", far, Confirm)
	case far+km+c.Spot.KM+s.At.KM <= near:
		it.Result = Supports
		it.Value += fmt.Sprintf(", and its declared place is %.0f km away", far)
	}
	return it
}

// apart finds two nodes that see an address so near to each that it cannot be one place: it is anycast, or proxies answer for it.
func apart(a, b *Sight) (Item, bool) {
	_, ra := a.Reach()
	_, rb := b.Reach()
	between := Distance(a.At, b.At)
	if a.Node == b.Node || !(ra+rb < between-a.At.KM-b.At.KM) {
		return Item{}, false
	}
	last := a.Last
	if b.Last.After(last) {
		last = b.Last
	}
	return Item{
		Kind: RTTBound, ObservedAt: last, Result: Contradicts, Spread: true,
		Value: fmt.Sprintf("at most %.0f km from node %s and %.0f km from node %s, which are %.0f km apart: it is in no one place", ra, a.Node, rb, b.Node, between),
	}, true
}

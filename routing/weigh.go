package routing

import (
	"cmp"
	"math"
	"slices"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
)

// seed makes the choice by weight a function of the request: the same request always gets the same order, and many requests share as declared.
func (r *Request) seed() uint64 {
	h := uint64(offset64)
	for _, s := range [...]string{r.From, r.Called, r.Caller, r.Domain} {
		h = mix(h, s)
	}
	n := uint64(r.At.UnixNano())
	for range 8 {
		h = (h ^ n&0xff) * prime64
		n >>= 8
	}
	return h
}

// FNV-1a, 64 bits.
const (
	offset64 = 14695981039346656037
	prime64  = 1099511628211
)

func mix(h uint64, s string) uint64 {
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * prime64
	}
	return (h ^ 0xff) * prime64 // a separator: ("a", "bc") is not ("ab", "c")
}

// draw is the place of one weighted item in the order: an exponential race, which gives the same shares as drawing by RFC 2782 again and again. Items
// without weight come after all others.
func draw(seed uint64, id string, weight int) float64 {
	h := mix(seed, id)
	h ^= h >> 33 // finish as in splitmix64: FNV alone leaves the high bits of short strings alike
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	u := (float64(h>>11) + 1) / (1 << 53)
	if weight <= 0 {
		return math.MaxFloat64 / 2 * (1 + u)
	}
	return -math.Log(u) / float64(weight)
}

// nearer orders by round-trip time; never measured is last.
func nearer(a, b time.Duration) int {
	if (a == 0) != (b == 0) {
		return cmp.Compare(b, a)
	}
	return cmp.Compare(a, b)
}

// keeps says whether the favourite stays first although another is faster: it does until the other is faster by margin.
func keeps(favourite, fastest time.Duration, margin float64) bool {
	return favourite > 0 && float64(fastest) >= float64(favourite)*(1-margin)
}

func stateRank(s healthcheck.State) int {
	switch s {
	case healthcheck.Up:
		return 0
	case healthcheck.Degraded:
		return 1
	case healthcheck.Unknown:
		return 2
	}
	return 3
}

// favour moves the favourite of a run of equals to its front, unless the fastest beats it by margin. The run is sorted by nearer.
func favour[T any](run []T, favourite func(*T) bool, rtt func(*T) time.Duration, margin float64) {
	for i := range run {
		if favourite(&run[i]) {
			if i > 0 && keeps(rtt(&run[i]), rtt(&run[0]), margin) {
				f := run[i]
				copy(run[1:i+1], run[:i])
				run[0] = f
			}
			return
		}
	}
}

// runs calls f for each stretch of equals of a sorted list.
func runs[T any](list []T, same func(a, b *T) bool, f func([]T)) {
	for start := 0; start < len(list); {
		end := start + 1
		for end < len(list) && same(&list[start], &list[end]) {
			end++
		}
		if end-start > 1 {
			f(list[start:end])
		}
		start = end
	}
}

// share orders a run of equals: by weight if any has one, else by nearness with the favourite in front. True when the order is this call's alone.
func share[T any](run []T, weight func(*T) int, id func(*T) string, rtt func(*T) time.Duration, favourite string, seed uint64, margin float64) (drawn bool) {
	if slices.ContainsFunc(run, func(t T) bool { return weight(&t) > 0 }) {
		slices.SortFunc(run, func(a, b T) int {
			return cmp.Or(cmp.Compare(draw(seed, id(&a), weight(&a)), draw(seed, id(&b), weight(&b))), cmp.Compare(id(&a), id(&b)))
		})
		return true
	}
	slices.SortFunc(run, func(a, b T) int { return cmp.Or(nearer(rtt(&a), rtt(&b)), cmp.Compare(id(&a), id(&b))) })
	favour(run, func(t *T) bool { return id(t) == favourite }, rtt, margin)
	return false
}

//go:build linux

package link

import (
	"reflect"
	"testing"

	"github.com/cordonsip/cordon/media/plane"
	"github.com/cordonsip/cordon/sovereign"
)

// TestRulingsAreShared: what is the same on the wire is the same in memory, as far as a bound goes; and what does not read is remembered by nobody.
func TestRulingsAreShared(t *testing.T) {
	var known rulings
	_, _, m := examples()
	read := func(m plane.Move) *sovereign.Ruling {
		t.Helper()
		r := whole(t, must(t)(putMoved(nil, m)), kindMoved)
		got := r.moved(&known)
		if err := r.end(); err != nil || !reflect.DeepEqual(got.Ruling, m.Ruling) {
			t.Fatalf("%v %+v", err, got.Ruling)
		}
		return got.Ruling
	}
	first := read(m)
	if read(m) != first {
		t.Error("the same ruling twice")
	}
	for i := range uint64(2 * maxRulings) {
		next := *m.Ruling
		next.Generation = 100 + i
		other := m
		other.Ruling = &next
		if read(other) == first {
			t.Fatal("another ruling")
		}
		if len(known.known) > maxRulings {
			t.Fatalf("%d are known", len(known.known))
		}
	}
	was := len(known.known)
	if _, err := known.decode([]byte{255, 1}); err == nil || len(known.known) != was {
		t.Errorf("%v, %d known", err, len(known.known))
	}
}

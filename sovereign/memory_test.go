package sovereign

import (
	"testing"
	"time"
)

func TestWhatIsRememberedDiesWithItsSnapshotItsTimeAndItsGrant(t *testing.T) {
	ask := Ask{Party: "iad", Plane: Media, Addr: addr("198.51.100.1:4000"), At: now}
	s := world(t, nil).WithGrants([]Grant{{ID: "g", Groups: []string{"iad"}, Regions: []Region{virginia}, NotBefore: now.Add(-time.Hour), Until: now.Add(time.Minute)}})
	for range 2 { // asked for, and remembered
		if r := s.Judge(ask); !r.Permitted() || r.Grant != "g" || r.Generation != s.Generation() {
			t.Fatalf("%+v", r)
		}
	}
	if n := testing.AllocsPerRun(100, func() { s.Judge(ask) }); n != 0 {
		t.Errorf("%v allocations of an answer that is remembered", n)
	}
	ask.At = now.Add(time.Minute)
	if r := s.Judge(ask); r.Permitted() {
		t.Errorf("a grant outlives its end in a memory: %+v", r)
	}
	ask.At = now
	if r := s.WithGrants(nil).Judge(ask); r.Permitted() {
		t.Errorf("a revoked grant lives on in a memory: %+v", r)
	}
	fra := Ask{Party: "fra", Plane: Media, Addr: addr("192.0.2.1:4000"), At: now}
	if r := s.Judge(fra); !r.Permitted() {
		t.Fatalf("%+v", r)
	}
	iad := fra
	iad.Party = "iad"
	if r := s.WithGrants(nil).Judge(iad); r.Permitted() {
		t.Errorf("what one party may, another does by memory: %+v", r)
	}
}

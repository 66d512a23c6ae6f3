package routing

import (
	"strings"
	"testing"
)

// A plan says whether the attempts of its call may overlap, and in words, too; calls for help never do.
func TestPlansOverlapByRoute(t *testing.T) {
	w := newWorld(t)
	req := Request{From: "carrier-de", Called: "+4969100", At: start}
	before := w.router().Plan(req)
	if before.Overlap || strings.Contains(before.Why, "beside") {
		t.Errorf("overlap by default: %s", before.Why)
	}
	for i := range w.rules.Routes {
		w.rules.Routes[i].Overlap = true
	}
	p := w.router().Plan(req)
	if !p.Overlap || !strings.Contains(p.Why, "then beside it zrh") || len(p.Hops) != len(before.Hops) {
		t.Errorf("overlap %v: %s", p.Overlap, p.Why)
	}
	req.Called = "112"
	if p := w.router().Plan(req); p.Overlap {
		t.Error("a call for help overlaps")
	}
}

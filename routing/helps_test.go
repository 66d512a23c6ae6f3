package routing

import (
	"testing"

	"github.com/cordonsip/cordon/sovereign"
)

// What is asked of a flood says the same as the plan.
func TestAsksForHelpSaysWhatThePlanSays(t *testing.T) {
	r := newWorld(t).router()
	yes := 0
	for _, from := range []string{"fra", "zrh", "carrier-ch", "nobody"} {
		for _, q := range []Request{{Called: "112"}, {Called: "110"}, {Called: "144"}, {Called: "+4930123"}, {Service: "urn:service:sos.police"}, {Called: ""}} {
			q.From = from
			want := r.Explain(q).Purpose == sovereign.EmergencyCall
			if got := r.AsksForHelp(q); got != want {
				t.Errorf("%s %q %q: %v, the plan says %v", from, q.Called, q.Service, got, want)
			} else if got {
				yes++
			}
		}
	}
	if yes < 6 {
		t.Errorf("only %d were calls for help", yes)
	}
}

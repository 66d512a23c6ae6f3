package routing

import (
	"testing"

	"github.com/cordonsip/cordon/routing/numbers"
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

// A number that only the plan of its party cleans is a call for help at the door, too.
func TestAsksForHelpReadsTheNumberAsItsPartyWritesIt(t *testing.T) {
	w := newWorld(t)
	fra := w.rules.Groups["fra"]
	fra.Numbers = &numbers.Plan{Country: "49", Trunk: "0"}
	w.rules.Groups["fra"] = fra
	r := w.router()
	for _, called := range []string{"1-1-2", "1 1 0", "112"} {
		q := Request{From: "fra", Called: called}
		if r.Explain(q).Purpose != sovereign.EmergencyCall {
			t.Fatalf("%q is no emergency call for the plan", called)
		}
		if !r.AsksForHelp(q) {
			t.Errorf("%q is a call for help for the plan alone", called)
		}
	}
	if r.AsksForHelp(Request{From: "fra", Called: "069 112"}) {
		t.Error("a subscriber is a call for help")
	}
}

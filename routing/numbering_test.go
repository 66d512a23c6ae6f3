package routing

import (
	"strings"
	"testing"

	"github.com/cordonsip/cordon/routing/numbers"
)

func TestNumbersAreReadAndWrittenPerParty(t *testing.T) {
	w := newWorld(t)
	de := w.rules.Trunks["carrier-de"]
	de.Numbers = &numbers.Plan{Country: "49", Trunk: "0", Send: numbers.Digits}
	w.rules.Trunks["carrier-de"] = de
	zrh := w.rules.Groups["zrh"]
	zrh.Numbers = &numbers.Plan{Country: "41", Trunk: "0", Send: numbers.International}
	w.rules.Groups["zrh"] = zrh
	w.rules.Routes[0].Prefix = []string{"+4969"}
	req := call("carrier-de")
	req.Called, req.Caller = "069 123456", "030555"
	p := w.router().Plan(req)
	if p.Route != "main" || len(p.Hops) < 3 {
		t.Fatalf("%s", p.Why)
	}
	if h := p.Hops[0]; h.Party != "fra" || h.URI != "+4969123456" || h.Caller != "+4930555" {
		t.Errorf("%+v", h)
	}
	if h := p.Hops[2]; h.Party != "zrh" || h.URI != "004969123456" || h.Caller != "004930555" {
		t.Errorf("%+v", h)
	}
	req.Called = "112" // help is called by what is dialled
	if p := w.router().Plan(req); p.Route != "emergency:DE" || p.Hops[0].URI != "112" || p.Hops[0].Caller != "4930555" {
		t.Errorf("%+v", p)
	}
	req = call("carrier-ch") // says nothing of its numbers: they stay as they came
	req.Called, req.Caller = "+4969123456", "0442221100"
	if p := w.router().Plan(req); p.Hops[0].Caller != "" || p.Hops[0].URI != "+4969123456" {
		t.Errorf("%+v", p.Hops[0])
	}
}

// Carriers reject a caller's number that is not their customer's: it is replaced, or the carrier is left out, and that is no matter of law.
func TestCallersArePermittedPerTrunk(t *testing.T) {
	w := newWorld(t)
	de, ch := w.rules.Trunks["carrier-de"], w.rules.Trunks["carrier-ch"]
	de.Callers = numbers.Callers{Permit: []string{"+4969*"}}
	ch.Callers = numbers.Callers{Permit: []string{"+4144*"}, Substitute: "+41446681800"}
	w.rules.Trunks["carrier-de"], w.rules.Trunks["carrier-ch"] = de, ch
	req := call("fra")
	req.Caller = "+4969100"
	p := w.router().Plan(req)
	if len(p.Hops) != 2 || p.Hops[0].Party != "carrier-de" || p.Hops[0].Caller != "" || p.Hops[1].Caller != "+41446681800" {
		t.Errorf("%+v", p.Hops)
	}
	req.Caller = "+3314567"
	p = w.router().Plan(req)
	if len(p.Hops) != 1 || p.Hops[0].Party != "carrier-ch" || !strings.Contains(p.Why, "not carrier-de (caller_not_permitted)") {
		t.Errorf("%s", p.Why)
	}
	held := p.Held
	w.rules.Trunks["carrier-de"] = TrunkRule{Country: "DE", Region: de.Region}
	if p := w.router().Plan(req); p.Held != held {
		t.Error("a caller's number changed what the law says")
	}
	req.Caller = "" // withheld
	if p := w.router().Plan(req); p.Hops[1].Caller != "" {
		t.Errorf("%+v", p.Hops[1])
	}
	req.Called, req.Caller = "112", "+3314567"
	de.Callers.Permit = []string{"+4969*"}
	w.rules.Trunks["carrier-de"] = de
	if p := w.router().Plan(req); len(p.Hops) == 0 || p.Hops[0].Caller != "" {
		t.Errorf("a call for help: %+v", p)
	}
}

func TestATableNamesWhoseNumberItIs(t *testing.T) {
	w := newWorld(t)
	var err error
	if w.rules.Routes[0].Table, err = numbers.ReadTable(strings.NewReader("prefix,party\n+496912,sto\n+496913,zrh\n")); err != nil {
		t.Fatal(err)
	}
	r := w.router()
	for called, want := range map[string]string{
		"+4969123456": "sto m1 primary, fra m1 auto_failover, fra m2 auto_failover, zrh m1 auto_failover",
		"+4969133456": "zrh m1 primary, fra m1 auto_failover, fra m2 auto_failover, sto m1 auto_failover",
		"+4969153456": "fra m1 primary, fra m2 primary, zrh m1 auto_failover, sto m1 auto_failover",
	} {
		req := call("carrier-de")
		req.Called = called
		if got := way(r.Plan(req)); got != want {
			t.Errorf("%s: %s\nwant %s", called, got, want)
		}
	}
	// The route left zrh and is not back yet: its numbers wait like the others. Those of sto go on to sto.
	w.rules.Routes[0].To = choicesOf("zrh 1", "fra 2", "sto 3")
	r = w.router()
	r.active.Store(&actives{routes: map[string]Active{"main": {Route: "main", Party: "fra"}}})
	for called, first := range map[string]string{"+4969133456": "fra", "+4969123456": "sto"} {
		req := call("carrier-de")
		req.Called = called
		if got := way(r.Plan(req)); !strings.HasPrefix(got, first) {
			t.Errorf("%s: %s, want %s first", called, got, first)
		}
	}
	w.rules.Routes[0].To = choicesOf("fra 1", "zrh 2")
	if err := Check(w.rules); err == nil || !strings.Contains(err.Error(), `"sto" is not among the parties of the route`) {
		t.Error(err)
	}
}

package healthcheck

import (
	"net/netip"
	"testing"
	"time"
)

// TestStatusFindsByID: a target is found by its own id alone, without an allocation: each call asks.
func TestStatusFindsByID(t *testing.T) {
	list := []Target{
		{Party: "fra", Member: "m1", Transport: "tls", Addr: netip.MustParseAddrPort("203.0.113.7:5061")},
		{Party: "fra", Member: "m1", Transport: "tls", Addr: netip.MustParseAddrPort("203.0.113.7:506")},
		{Party: "fra", Member: "m1", Transport: "udp", Addr: netip.MustParseAddrPort("203.0.113.7:5061")},
		{Party: "fra", Member: "m", Transport: "tls", Addr: netip.MustParseAddrPort("203.0.113.7:5061")},
		{Party: "fra", Member: "m1", Transport: "tls", Addr: netip.MustParseAddrPort("[2001:db8:ffff:ffff:ffff:ffff:ffff:ffff]:65535")},
		{Party: "fra", Member: "m1", Transport: "tls", Addr: netip.MustParseAddrPort("[fe80::1%a-zone-with-a-name-that-is-longer-than-any-of-them-is]:1")},
		{Party: "fra", Member: "m2", Transport: "tls"}, // no address is known of it
	}
	table := &Table{ByParty: map[string][]Status{}}
	for i, target := range list {
		table.ByParty["fra"] = append(table.ByParty["fra"], Status{Target: target, RTTMin: time.Duration(i + 1)})
	}
	for i, target := range list {
		if s, ok := table.Status(target.ID()); !ok || s.RTTMin != time.Duration(i+1) {
			t.Errorf("%s: %v %v", target.ID(), s.Target.ID(), ok)
		}
		for j := range list {
			if list[j].is(target.ID()) != (i == j) {
				t.Errorf("%s is taken for %s", target.ID(), list[j].ID())
			}
		}
	}
	for _, id := range []string{"", "fra", "fra/", "fra/m1", "fra/m1/tls", "fra/m1/tls/", "fra/m1/tls/203.0.113.7", "fra/m1/tls/203.0.113.7:50611", "zrh/m1/tls/203.0.113.7:5061"} {
		if s, ok := table.Status(id); ok {
			t.Errorf("%q is %s", id, s.Target.ID())
		}
	}
	id := list[4].ID()
	if n := testing.AllocsPerRun(100, func() { table.Status(id) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestACallThatGetsThroughIsCheap: the same word about a target that answers is not made anew for each call, and changes with the average.
func TestACallThatGetsThroughIsCheap(t *testing.T) {
	w, s, now := window{state: Up}, builtin, time.Unix(1e9, 0)
	see := func(want string) {
		t.Helper()
		if w.observe(hit, now, "", s, nil); w.why != want {
			t.Errorf("%q, want %q", w.why, want)
		}
	}
	see("answers")
	w.measured(300 * time.Nanosecond)
	see("answers, 0s on average")
	w.measured(8 * time.Millisecond)
	see("answers, 1ms on average")
	w.measured(80 * time.Millisecond)
	see("answers, 10.9ms on average")
	if n := testing.AllocsPerRun(100, func() { w.observe(hit, now, "", s, nil); w.rate(now, s) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

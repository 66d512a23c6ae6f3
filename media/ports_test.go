package media

import (
	"net/netip"
	"testing"
)

func TestTheLastPairsAreKeptForCallsForHelp(t *testing.T) {
	c := Config{Listen: newNetwork().door, Ports: [2]uint16{20000, 20031}} // 16 pairs, 2 of them kept
	p, err := newPorts(&c)
	if err != nil {
		t.Fatal(err)
	}
	a := netip.MustParseAddr("192.0.2.1")
	n := 0
	for ; ; n++ {
		if _, err := p.open(a, false); err != nil {
			break
		}
	}
	if n != 14 {
		t.Errorf("%d pairs for everybody, want 14", n)
	}
	for range 2 {
		if _, err := p.open(a, true); err != nil {
			t.Errorf("a call for help: %v", err)
		}
	}
	if _, err := p.open(a, true); err == nil {
		t.Error("a seventeenth pair of sixteen")
	}
}

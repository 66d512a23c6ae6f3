package vnet

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sovereign"
)

// TestReceive: the network reads a socket for its owner; what came before a Receive is dropped, and nothing comes after a Close.
func TestReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, a, b := two(1)
		from, to := udp(t, a, ap(ipA, 4000)), udp(t, b, ap(ipB, 4000))
		r := to.(sovereign.Receiver)
		var got []string
		keep := func(p []byte, from netip.AddrPort) {
			got = append(got, string(p)+" "+from.String())
			clear(p)
		}
		say := func(s string) {
			if _, err := from.WriteToUDPAddrPort([]byte(s), ap(ipB, 4000)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		say("early")
		r.Receive(keep)
		synctest.Wait()
		say("one")
		say("two")
		r.Receive(nil)
		say("nobody's")
		r.Receive(keep)
		say("three")
		to.Close()
		say("late")
		from.Close()
		if want := []string{"one 10.1.0.1:4000", "two 10.1.0.1:4000", "three 10.1.0.1:4000"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		noLeak(t, n)
	})
}

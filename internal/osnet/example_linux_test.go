package osnet_test

import (
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/cordonsip/cordon/internal/osnet"
)

// A worker looks at its sockets once in a tick: between two looks it sleeps, however much comes, and then takes all that came.
func Example_worker() {
	at := netip.MustParseAddrPort("127.0.0.1:0")
	far, err := osnet.Net{}.Socket(at, osnet.SocketOptions{DSCP: -1})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer far.Close()
	near, err := osnet.Net{}.Socket(at, osnet.SocketOptions{DSCP: 46})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer near.Close()
	set, err := osnet.NewSet()
	if err != nil {
		fmt.Println(err)
		return
	}
	defer set.Close()
	const leg = 7 // what the worker knows the socket by
	if err := set.Add(near.FD(), leg); err != nil {
		fmt.Println(err)
		return
	}
	peer, _ := osnet.NameOf(far.Bound(), near.Six()) // who may send
	_, _ = far.WriteToUDPAddrPort([]byte("first"), near.Bound())
	_, _ = far.WriteToUDPAddrPort([]byte("second"), near.Bound())

	runtime.LockOSThread() // a worker never unlocks
	defer runtime.UnlockOSThread()
	tags, buf := make([]uint64, 512), make([]byte, 2048)
	next := osnet.Monotonic()
	for got := 0; got < 2; {
		for _, tag := range tags[:set.Ready(tags)] {
			for {
				var from osnet.Name
				n, errno := osnet.Receive(near.FD(), buf, &from)
				if errno != 0 {
					break // there is no more
				}
				got++
				fmt.Printf("leg %d: %q, from the peer: %v\n", tag, buf[:n], from == peer)
			}
		}
		next += int64(time.Millisecond)
		osnet.SleepUntil(next)
	}
	_ = set.Remove(near.FD()) // before it is closed
	// Output:
	// leg 7: "first", from the peer: true
	// leg 7: "second", from the peer: true
}

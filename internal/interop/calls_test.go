//go:build interop

package interop

import (
	"testing"
)

// The usual scripts of both sides.
const (
	talks = `> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
play
wait 1300
> BYE
< 200`
	answers = `< INVITE
> 180
wait 50
> 200 | sdp
< ACK
< BYE
> 200`
)

func TestPlainCallWithAudioOverUDPAndTCP(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			o := options{transport: transport, echo: true}
			fra := answer(t, loop(10, 10), answers, o)
			car := answer(t, loop(1, 11), quiet, options{transport: transport})
			n := boot(t, &world{trunks: []party{car.as("carrier", transport)}, groups: []party{fra.as("fra", transport)}, more: ""}, "fra", "carrier")
			uac := call(t, n, loop(1, 11), talks, options{transport: transport})
			r := n.oneReceipt()
			echoes := fra.echoes()
			st := fra.finish(1)
			car.finish(0)
			if r.Overall != "compliant" || r.RouteReason != "primary" || r.Outcome.SIPFinal != 200 || r.EdgeGroup != "fra" {
				t.Errorf("receipt: %+v", r)
			}
			// Every packet of the tone reached the callee, which sent it back, and both ways were counted.
			if a, b := packets(r, "a"), packets(r, "b"); a != packetsOfTone || b != packetsOfTone {
				t.Errorf("the receipt counts %d packets from the caller and %d from the callee, want %d each", a, b, packetsOfTone)
			}
			if echoes != packetsOfTone {
				t.Errorf("the callee echoed %d packets, want %d", echoes, packetsOfTone)
			}
			if u := uac.stats(); transport == "tcp" && (u.retransmissions != 0 || st.retransmissions != 0) {
				t.Errorf("retransmissions over TCP: %d and %d", u.retransmissions, st.retransmissions)
			}
			noted(t, "INVITE to 180 through the edge, "+transport, uac.rang().String(), "for comparison")
			n.stop()
		})
	}
}

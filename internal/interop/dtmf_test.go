//go:build interop

package interop

import (
	"strings"
	"testing"
)

const allowsInfo = "Allow: INVITE, ACK, BYE, CANCEL, INFO"

// A caller dials by telephone events, as SIPp has them recorded; the group has none and gets each digit by INFO, once, with its length.
// Conforms: RFC 4733 section 2.5.1.4; RFC 6086 section 4.2.1
func TestTelephoneEventsToInfo(t *testing.T) {
	l := set(t, "udp", nil, `< INVITE
> 180
> 200 | speech | `+allowsInfo+`
< ACK
< INFO | body: Signal=1[[:cntrl:]]+Duration=280
> 200
< INFO | body: Signal=#[[:cntrl:]]+Duration=280
> 200
< BYE
> 200`)
	wire := watch(t, loopback, "--immediate-mode", "-Q", "in", "udp")
	l.call(`> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs | body: telephone-event
> ACK
wait 100
dial 1
wait 900
dial pound
wait 1500
> BYE
< 200`)
	r := l.oneReceipt()
	wire.end(t)
	wantAnswered(t, r, "fra", "primary")
	for _, q := range r.Outcome.Quality {
		if want := map[string]uint64{"a": 2}[q.Leg]; q.DigitsIn != want || q.DigitsOut != 0 {
			t.Errorf("leg %s: %d digits came, %d went", q.Leg, q.DigitsIn, q.DigitsOut)
		}
	}
	if rows := fields(t, wire.file, "rtpevent && ip.dst == "+groupHosts[0], "rtpevent.event_id"); len(rows) != 0 {
		t.Errorf("the group got %d packets of telephone events", len(rows))
	}
	l.finish(1)
}

// A caller dials by INFO; the group has telephone events, and tshark reads them: a marker at the beginning, three ends, the length that was asked for. The group sends back what it hears, so each digit
// comes back to the caller by INFO.
// Conforms: RFC 4733 section 2.2.2; RFC 4733 section 2.5.1.4
func TestInfoToTelephoneEvents(t *testing.T) {
	l := set(t, "udp", nil, `< INVITE | body: a=rtpmap:101 telephone-event/8000
> 180
> 200 | sdp
< ACK
< BYE
> 200`)
	wire := watch(t, loopback, "--immediate-mode", "-Q", "in", "udp")
	l.call(`> INVITE | speech | ` + allowsInfo + `
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
wait 100
play
wait 200
> INFO | dtmf=5
< 200
< INFO | body: Signal=5[[:cntrl:]]+Duration=160
> 200
wait 1600
> INFO | dtmf=#
< 200
< INFO | body: Signal=#[[:cntrl:]]+Duration=160
> 200
wait 300
> BYE
< 200`)
	r := l.oneReceipt()
	wire.end(t)
	wantAnswered(t, r, "fra", "primary")
	var digits []string
	ends := map[string]int{}
	sources := map[string]bool{}
	for _, f := range fields(t, wire.file, "rtpevent && ip.src == "+l.w.edge+" && ip.dst == "+groupHosts[0], "rtpevent.event_id", "rtp.marker", "rtpevent.end_of_event", "rtpevent.duration", "rtp.timestamp", "rtp.ssrc") {
		if isTrue(f[1]) {
			digits = append(digits, f[0])
			sources[f[5]] = true
		}
		if isTrue(f[2]) {
			ends[f[0]+" "+f[3]]++
		}
	}
	if strings.Join(digits, " ") != "5 11" || ends["5 1280"] != 3 || ends["11 1280"] != 3 || len(ends) != 2 {
		t.Errorf("digits %v, with the ends %v", digits, ends)
	}
	if len(sources) != 2 { // the first one stands in the speech, the other one alone
		t.Errorf("digits came in %d streams", len(sources))
	}
	if bad := fields(t, wire.file, "rtpevent && _ws.malformed", "frame.number"); len(bad) != 0 {
		t.Errorf("what tshark does not like: %v", bad)
	}
	l.finish(1)
}

// isTrue reads a truth as one version of tshark or another prints it.
func isTrue(s string) bool { return s == "1" || strings.EqualFold(s, "true") }

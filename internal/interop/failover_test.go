//go:build interop

package interop

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// Conforms: RFC 3263 section 4.3
func TestUnwillingGroupIsPassedOver(t *testing.T) {
	l := set(t, "udp", nil, "< INVITE\n> 503\n< ACK", answers)
	uac := l.call(talks)
	r := l.oneReceipt()
	wantAnswered(t, r, "zrh", "auto_failover")
	wantAudio(t, r)
	if len(r.Attempts) != 2 || r.Attempts[0].Result != "503" || r.Attempts[1].Result != "200" {
		t.Errorf("attempts: %+v", r.Attempts)
	}
	measured(t, "503, then 180 of the next group", uac.rang(), 100*time.Millisecond)
	l.finish(1, 1)
}

// A group that asks for a pause gets it: the next call does not try it.
// Conforms: RFC 3261 section 20.33
func TestRetryAfterIsHeeded(t *testing.T) {
	l := set(t, "udp", nil, "< INVITE\n> 503 | Retry-After: 60\n< ACK", answers)
	l.call(talksBriefly)
	l.waitFor("fra", "down")
	uac := l.call(talksBriefly)
	wantAnswered(t, l.receipts(2)[1], "zrh", "auto_failover")
	measured(t, "503 with Retry-After: the next call", uac.rang(), 250*time.Millisecond)
	l.finish(1, 2)
}

// A group that was given up and answers after all is not left with a call that nobody knows: it gets CANCEL, or ACK and BYE.
// Conforms: RFC 3261 section 9.1
func TestLateAnswersOfAGroupThatWasGivenUp(t *testing.T) {
	for what, late := range map[string]string{
		"180": "< INVITE\nwait 2600\n> 180\n< CANCEL\n> 200\n> 487 | of=invite\n< ACK",
		"200": "< INVITE\nwait 2600\n> 200 | sdp\n< ACK\n< BYE\n> 200",
	} {
		t.Run(what, func(t *testing.T) {
			l := set(t, "udp", nil, late, answers)
			l.call(strings.Replace(talks, "wait 1600", "wait 2000", 1))
			r := l.oneReceipt()
			wantAnswered(t, r, "zrh", "auto_failover")
			wantAudio(t, r)
			l.finish(1, 1)
		})
	}
}

// On a route with overlap a silent group may still win: the next one is called beside it, whoever answers first talks, and the other one is not left with a call.
// Conforms: RFC 3261 section 16.7
func TestOverlap(t *testing.T) {
	const cancelled = "\n< CANCEL\n> 200\n> 487 | of=invite\n< ACK"
	for what, c := range map[string]struct {
		fra, zrh, group string
		results         string
	}{
		"the next one answers, the first one rings late":   {"< INVITE\nwait 2600\n> 180" + cancelled, answers, "zrh", "overtaken 200"},
		"the next one answers, the first one answers late": {"< INVITE\nwait 2600\n> 200 | sdp\n< ACK\n< BYE\n> 200", answers, "zrh", "overtaken 200"},
		"the first one answers late":                       {strings.Replace(answers, "< INVITE\n", "< INVITE\nwait 2600\n", 1), "< INVITE\n> 180" + cancelled, "fra", "200 overtaken"},
	} {
		t.Run(what, func(t *testing.T) {
			l := set(t, "udp", func(w *world) {
				w.routes = `
  - {name: beside, direction: inbound, prefix: ["+49"], overlap: true, to: [{party: fra}, {party: zrh}]}`
			}, c.fra, c.zrh)
			l.call(strings.Replace(talks, "< 200 | rrs", "< 180 | optional\n< 200 | rrs", 1))
			r := l.oneReceipt()
			wantAnswered(t, r, c.group, map[string]string{"fra": "primary", "zrh": "auto_failover"}[c.group])
			wantAudio(t, r)
			if len(r.Attempts) != 2 || r.Attempts[0].Result+" "+r.Attempts[1].Result != c.results {
				t.Errorf("attempts: %+v", r.Attempts)
			}
			l.finish(1, 1)
		})
	}
}

// A group that was well a moment ago says nothing any more: its program is stopped, its sockets stay open.
// Conforms: RFC 3263 section 4.3
func TestSilentGroup(t *testing.T) {
	for _, c := range []struct {
		what, transport, more string
		limit                 time.Duration
	}{
		{"UDP, default of 2 s", "udp", "", 2500 * time.Millisecond},
		{"TCP, default of 1.5 s", "tcp", "", 2 * time.Second},
		{"UDP, 4 s by config", "udp", "deadlines: {first_response: 4s}", 4300 * time.Millisecond},
	} {
		t.Run(c.what, func(t *testing.T) {
			l := set(t, c.transport, func(w *world) { w.groups[0].more = c.more }, answers, answers)
			l.groups[0].signal(syscall.SIGSTOP)
			first := l.call(talksBriefly)
			l.waitFor("fra", "down")
			next := l.call(talksBriefly)
			list := l.receipts(2)
			wantAnswered(t, list[0], "zrh", "auto_failover")
			wantAnswered(t, list[1], "zrh", "auto_failover")
			if a := list[0].Attempts; len(a) != 2 || a[0].Result != "silent" {
				t.Errorf("attempts of the first call: %+v", a)
			}
			measured(t, "silent group, "+c.what+": INVITE to 180 of the next", first.rang(), c.limit)
			measured(t, "silent group, "+c.what+": the next call, after detection", next.rang(), 250*time.Millisecond)
			l.groups[0].kill()
			l.groups[1].finish(2)
			l.carrier.finish(0)
			l.stop()
		})
	}
}

// A group whose program is gone refuses at once: by RST over TCP, by ICMP over UDP.
// Conforms: RFC 3263 section 4.3
func TestRefusingGroup(t *testing.T) {
	for _, transport := range []string{"tcp", "udp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, nil, answers, answers)
			l.groups[0].kill()
			uac := l.call(talksBriefly)
			wantAnswered(t, l.oneReceipt(), "zrh", "auto_failover")
			measured(t, "refusing group, "+transport+": INVITE to 180 of the next", uac.rang(), 100*time.Millisecond)
			l.groups[1].finish(1)
			l.carrier.finish(0)
			l.stop()
		})
	}
}

// A group that has taken the call and does not get it to ring is cancelled for the next; one that rings for too long is cancelled for good.
func TestSlowGroups(t *testing.T) {
	const cancelled = "< CANCEL\n> 200\n> 487 | of=invite\n< ACK"
	t.Run("no progress", func(t *testing.T) {
		l := set(t, "udp", func(w *world) { w.groups[0].more = "deadlines: {progress: 1s}" }, "< INVITE\n> 100\n"+cancelled, answers)
		uac := l.call(talks)
		r := l.oneReceipt()
		wantAnswered(t, r, "zrh", "auto_failover")
		wantAudio(t, r)
		measured(t, "100 and nothing more for 1 s by config: INVITE to 180 of the next", uac.rang(), 1300*time.Millisecond)
		l.finish(1, 1)
	})
	t.Run("no answer", func(t *testing.T) {
		l := set(t, "udp", func(w *world) { w.groups[0].more = "deadlines: {ring: 1s}" }, "< INVITE\n> 180\n"+cancelled, answers)
		l.call("> INVITE | sdp\n< 100 | optional\n< 180\n< 480\n> ACK | of=4")
		if r := l.oneReceipt(); r.Outcome.SIPFinal != 480 || len(r.Attempts) != 1 {
			t.Errorf("receipt: %+v", r)
		}
		l.finish(1, 0)
	})
}

// The caller has heard early media of the first group when that one gives up: it hears the second one, through the same port of the node.
// Conforms: RFC 3263 section 4.3
func TestFailoverAfterEarlyMedia(t *testing.T) {
	l := set(t, "udp", nil, "< INVITE\n> 183 | sdp\nwait 200\n> 503\n< ACK", answers)
	l.call(`> INVITE | sdp
< 100 | optional
< 183 | body: m=audio
< 180
< 200 | rrs | body: m=audio
> ACK
play
wait 1600
> BYE
< 200`)
	r := l.oneReceipt()
	wantAnswered(t, r, "zrh", "auto_failover")
	wantAudio(t, r)
	l.finish(1, 1)
}

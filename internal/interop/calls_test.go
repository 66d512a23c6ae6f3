//go:build interop

package interop

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/cordonsip/cordon/audit"
)

// The usual scripts of both sides.
const (
	talks = `> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
play
wait 1600
> BYE
< 200`
	talksBriefly = `> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
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

// wantAnswered checks the receipt of an answered call.
func wantAnswered(t *testing.T, r audit.Receipt, group, reason string) {
	t.Helper()
	if r.Overall != "compliant" || r.RouteReason != reason || r.Outcome.SIPFinal != 200 || r.EdgeGroup != group || r.Purpose != "production" || r.TAnswer.IsZero() {
		t.Errorf("receipt: want a call answered by %s (%s): %+v", group, reason, r)
	}
}

// wantAudio checks that the whole tone went there and came back.
func wantAudio(t *testing.T, r audit.Receipt) {
	t.Helper()
	if a, b := packets(r, "a"), packets(r, "b"); a != packetsOfTone || b != packetsOfTone {
		t.Errorf("the receipt counts %d packets from the caller and %d from the callee, want %d each", a, b, packetsOfTone)
	}
}

// wantHidden checks that neither side can tell from what it received who is behind the node: no address and no Call-ID of the other side.
func wantHidden(t *testing.T, caller, callee *sipp) {
	t.Helper()
	id := regexp.MustCompile(`Call-ID: *(\S+)`)
	for _, s := range [][2]*sipp{{caller, callee}, {callee, caller}} {
		other := id.FindStringSubmatch(s[1].first(s[1] == caller, "INVITE").text)[1]
		for _, m := range s[0].messages() {
			if !m.sent && (strings.Contains(m.text, s[1].addr) || strings.Contains(m.text, other)) {
				t.Errorf("%s received what tells of %s:\n%s", s[0].addr, s[1].addr, m.text)
			}
		}
	}
}

// Conforms: RFC 3261 section 13
func TestPlainCallWithAudio(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, nil, answers)
			uac := l.call(talks)
			r := l.oneReceipt()
			wantAnswered(t, r, "fra", "primary")
			wantAudio(t, r)
			if got := l.groups[0].echoes(); got != packetsOfTone {
				t.Errorf("the callee echoed %d packets, want %d", got, packetsOfTone)
			}
			if u := uac.stats(); transport == "tcp" && u.retransmissions != 0 {
				t.Errorf("%d retransmissions over TCP", u.retransmissions)
			}
			wantHidden(t, uac, l.groups[0])
			noted(t, "INVITE to 180 through the edge, "+transport, ms(uac.rang()), "for comparison")
			l.finish(1)
		})
	}
}

func TestAHundredShortCalls(t *testing.T) {
	const calls = 100
	l := set(t, "udp", nil, answers)
	uac := l.dial(talksBriefly, "-m", fmt.Sprint(calls), "-r", "20")
	st := uac.expect(calls)
	list := l.receipts(calls)
	for _, r := range list {
		wantAnswered(t, r, "fra", "primary")
	}
	if len(list) != calls {
		t.Errorf("%d receipts for %d calls", len(list), calls)
	}
	noted(t, "100 calls at 20 per second", fmt.Sprintf("%d failed, %d retransmitted", st.failed, st.retransmissions), "0 failed")
	if st.retransmissions > calls/10 {
		t.Errorf("%d retransmissions", st.retransmissions)
	}
	l.finish(calls)
}

// Conforms: RFC 3261 section 9
func TestTheCallerCancels(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, nil, `< INVITE
> 180
< CANCEL
> 200
> 487 | of=invite
< ACK`, answers)
			l.call(`> INVITE | sdp
< 100 | optional
< 180
wait 200
> CANCEL | of=4
< 200
< 487
> ACK | of=7`)
			r := l.oneReceipt()
			if r.Outcome.SIPFinal != 487 || r.Outcome.EndedBy != "a" || r.Overall != "compliant" {
				t.Errorf("receipt: %+v", r)
			}
			l.finish(1, 0)
		})
	}
}

// Conforms: RFC 3261 section 16.7
func TestBusyIsTheCallersAnswer(t *testing.T) {
	l := set(t, "udp", nil, "< INVITE\n> 486\n< ACK", answers)
	l.call(`> INVITE | sdp
< 100 | optional
< 486
> ACK | of=3`)
	if r := l.oneReceipt(); r.Outcome.SIPFinal != 486 || len(r.Attempts) != 1 {
		t.Errorf("receipt: %+v", r)
	}
	l.finish(1, 0)
}

// Conforms: RFC 3264 section 8.4
func TestHoldAndResume(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, nil, `< INVITE
> 180
> 200 | sdp
< ACK
< INVITE | body: a=sendonly
> 200 | sdp=recvonly
< ACK
< INVITE | body: a=sendrecv
> 200 | sdp
< ACK
< BYE
> 200`)
			l.call(`> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
wait 100
> INVITE | sdp=sendonly
< 100 | optional
< 200 | body: a=recvonly
> ACK
wait 100
> INVITE | sdp
< 100 | optional
< 200 | body: a=sendrecv
> ACK
play
wait 1600
> BYE
< 200`)
			r := l.oneReceipt()
			wantAnswered(t, r, "fra", "primary")
			wantAudio(t, r)
			l.finish(1)
		})
	}
}

// A peer that put its answer into an unreliable 183 may leave it out of the 200 by its own reckoning; the caller still gets it.
// Conforms: RFC 3960 section 3.1
func TestEarlyMediaAndAnEmpty200(t *testing.T) {
	l := set(t, "udp", nil, `< INVITE
> 183 | sdp
wait 400
> 200
< ACK
< BYE
> 200`)
	l.call(`> INVITE | sdp
< 100 | optional
< 183 | body: m=audio
play
< 200 | rrs | body: m=audio
> ACK
wait 1600
> BYE
< 200`)
	r := l.oneReceipt()
	wantAnswered(t, r, "fra", "primary")
	wantAudio(t, r)
	l.finish(1)
}

// Conforms: RFC 3262 section 3; RFC 3262 section 4
func TestReliableProvisionalResponses(t *testing.T) {
	l := set(t, "udp", nil, `< INVITE | Supported: 100rel
> 183 | sdp | Require: 100rel | RSeq: 71
< PRACK | RAck: 71 1 INVITE
> 200
wait 100
> 200 | of=invite
< ACK
< BYE
> 200`)
	t.Run("the callee alone", func(t *testing.T) {
		l.call(`> INVITE | sdp
< 100 | optional
< 183 | body: m=audio
< 200 | rrs | body: m=audio
> ACK
wait 100
> BYE
< 200`)
	})
	t.Run("both sides", func(t *testing.T) {
		l.call(`> INVITE | sdp | Require: 100rel
< 100 | optional
< 183 | rrs | body: m=audio | Require: 100rel | keep=RSeq
> PRACK | RAck: [$rseq] 1 INVITE
< 200
< 200 | rrs
> ACK
wait 100
> BYE
< 200`)
	})
	for _, r := range l.receipts(2) {
		wantAnswered(t, r, "fra", "primary")
	}
	l.finish(2)
}

// Requests inside the call reach the other side as what they are and in the order in which they were sent: four digits, the first answered when all are there.
// Conforms: RFC 3311 section 5; RFC 6086 section 4
func TestUpdateAndInfoInOrder(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, nil, `< INVITE
> 180
> 200 | sdp | Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, PRACK
< ACK
< UPDATE | body: a=sendonly
> 200 | sdp=recvonly
< INFO | body: Signal=1 | as=i
< INFO | body: Signal=2 | as=j
< INFO | body: Signal=3 | as=k
< INFO | body: Signal=4 | as=l
> 200 | of=i
> 200 | of=j
> 200 | of=k
> 200 | of=l
< BYE
> 200`)
			l.call(`> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
wait 100
> UPDATE | sdp=sendonly
< 200 | body: a=recvonly
> INFO | dtmf=1
> INFO | dtmf=2
> INFO | dtmf=3
> INFO | dtmf=4
< 200
< 200
< 200
< 200
> BYE
< 200`)
			wantAnswered(t, l.oneReceipt(), "fra", "primary")
			l.finish(1)
		})
	}
}

// Conforms: RFC 3261 section 13.2.1
func TestDelayedOffer(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, nil, `< INVITE
> 180
> 200 | sdp
< ACK | body: m=audio
< BYE
> 200`)
			l.call(`> INVITE
< 100 | optional
< 180
< 200 | rrs | body: m=audio
> ACK | sdp
wait 100
play
wait 1600
> BYE
< 200`)
			r := l.oneReceipt()
			wantAnswered(t, r, "fra", "primary")
			wantAudio(t, r)
			l.finish(1)
		})
	}
}

func TestTwentyCallsWithAudioAtOnce(t *testing.T) {
	const calls = 20
	l := set(t, "udp", nil, answers)
	l.dial(strings.Replace(talks, "wait 1600", "wait 3000", 1), "-m", num(calls), "-r", num(calls), "-l", num(calls)).expect(calls)
	for _, r := range l.receipts(calls) {
		wantAnswered(t, r, "fra", "primary")
		wantAudio(t, r)
	}
	l.finish(calls)
}

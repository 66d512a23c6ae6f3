//go:build interop

package interop

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
)

// Numbers that begin so lead to Zurich and to Moscow, beside the route that leads to Frankfurt. Messages go there, too.
const byNumber = `
  - {name: swiss, direction: inbound, prefix: ["+41"], messages: true, to: [{party: zrh}]}
  - {name: russian, direction: inbound, prefix: ["+7"], messages: true, to: [{party: dme}], on_hold: {status: 403}}`

// transferLab is a carrier, a group in Frankfurt, one in Zurich and one in Moscow that is denied, each in a region of its own, and the witness on the hub.
type transferLab struct {
	*node
	net                    *network
	carrier, fra, zrh, dme *sipp
	seen                   *witness
}

func newTransferLab(t *testing.T, fra, zrh string) *transferLab {
	t.Helper()
	return newTransferLabWith(t, quiet, fra, zrh)
}

// newTransferLabWith is newTransferLab with a carrier that gets calls, too.
func newTransferLabWith(t *testing.T, carrier, fra, zrh string) *transferLab {
	t.Helper()
	l := &transferLab{net: connect(t, 1, 5, 10, 20, 50)}
	w := &world{at: l.net.in[5], edge: lan(5, 10), routes: byNumber, to: []string{"fra"}}
	peer := func(region int, script string) *sipp {
		return answer(t, lan(region, 10), script, options{at: l.net.in[region], echo: true})
	}
	l.carrier, l.fra, l.zrh, l.dme = peer(1, carrier), peer(10, fra), peer(20, zrh), peer(50, answers)
	w.trunks = []party{l.carrier.as("carrier", "udp")}
	w.groups = []party{l.fra.as("fra", "udp"), l.zrh.as("zrh", "udp"), l.dme.as("dme", "udp")}
	l.seen = watch(t, l.net.hub, "ip and net 10.66.50.0/24")
	l.node = boot(t, w, "carrier", "fra", "zrh")
	return l
}

func (l *transferLab) dial(region int, script string, args ...string) *sipp {
	l.t.Helper()
	return dial(l.t, l.node, lan(region, 10), script, options{at: l.net.in[region]}, args...)
}

// end ends everything and wants that nothing was sent to Moscow.
func (l *transferLab) end(fra, zrh int) {
	l.t.Helper()
	l.endWith(0, fra, zrh)
}

func (l *transferLab) endWith(carrier, fra, zrh int) {
	l.t.Helper()
	l.fra.finish(fra)
	l.zrh.finish(zrh)
	l.dme.finish(0)
	l.carrier.finish(carrier)
	l.stop()
	l.seen.end(l.t)
	denied := len(times(l.t, l.seen.file, "ip.dst == 10.66.50.0/24"))
	noted(l.t, "packets to the denied region by transfers and messages, by tshark", num(denied), "0")
	if denied != 0 {
		l.t.Errorf("%d packets left for the denied region", denied)
	}
}

// wantTransfers checks the transfers in a receipt: "how result" of each.
func wantTransfers(t *testing.T, r audit.Receipt, want ...string) {
	t.Helper()
	var got []string
	for _, x := range r.Transfers {
		got = append(got, x.How+" "+x.Result)
	}
	if strings.Join(got, ", ") != strings.Join(want, ", ") {
		t.Errorf("transfers %q, want %q", got, want)
	}
}

// An agent refers the caller to Zurich and hears of it by NOTIFY; the caller hears nothing, and talks on with Zurich. A REFER to Moscow before that is refused.
// Conforms: RFC 3515 section 2.4; RFC 5589 section 6.1
func TestBlindTransfer(t *testing.T) {
	l := newTransferLab(t, `< INVITE
> 180
> 200 | sdp
< ACK
wait 200
> REFER | Refer-To: <sip:+7495123@10.66.5.10>
< 403 | Reason: policy
> REFER | Refer-To: <sip:+41441234567@10.66.5.10>
< 202
< NOTIFY | body: SIP/2.0 100
> 200
< NOTIFY | body: SIP/2.0 180
> 200
< NOTIFY | body: SIP/2.0 200
> 200
< BYE
> 200`, `< INVITE
> 180
wait 500
> 200 | sdp
< ACK
< BYE
> 200`)
	l.dial(1, `> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
wait 2500
> BYE
< 200`).expect(1)
	r := l.oneReceipt()
	wantTransfers(t, r, "refer refused", "refer answered")
	if r.Overall != "compliant" || r.Outcome.SIPFinal != 200 {
		t.Errorf("receipt: %+v", r)
	}
	if n := l.fra.count(false, "NOTIFY"); n != 3 {
		t.Errorf("%d NOTIFYs", n)
	}
	l.end(1, 1)
}

// named waits until a peer of a call knows its dialog, and gives what Replaces says of it: to-tag is the node's.
func (s *sipp) named(asked bool) string {
	s.t.Helper()
	var out string
	until(s.t, s.addr+" is in a call", 10*time.Second, func() bool {
		invites, oks := 0, 0
		var id, from, to string
		for _, m := range s.messages() {
			switch {
			case strings.HasPrefix(m.line, "INVITE") && m.sent == asked:
				invites++
				id, from = field(m.text, "Call-ID"), tagOf(field(m.text, "From"))
			case strings.HasPrefix(m.line, "SIP/2.0 200") && m.sent != asked && strings.Contains(field(m.text, "CSeq"), "INVITE"):
				oks++
				to = tagOf(field(m.text, "To"))
			}
		}
		if invites == 0 || oks == 0 {
			return false
		}
		if !asked { // the callee's own tag is the To-tag
			from, to = to, from
		}
		out = id + ";to-tag=" + to + ";from-tag=" + from
		return true
	})
	return out
}

// field is the value of a header of a message.
func field(text, name string) string {
	for line := range strings.Lines(text) {
		if k, v, ok := strings.Cut(line, ":"); ok && strings.EqualFold(strings.TrimSpace(k), name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

func tagOf(v string) string {
	_, tag, _ := strings.Cut(v, ";tag=")
	tag, _, _ = strings.Cut(tag, ";")
	return tag
}

// The caller of two calls joins them: its REFER in the second one names the first one, whose callee gets an INVITE that replaces its own dialog.
// Conforms: RFC 5589 section 7; RFC 3891 section 6.1
func TestAttendedTransfer(t *testing.T) {
	l := newTransferLab(t, `< INVITE
> 180
> 200 | sdp | Supported: replaces
< ACK
< BYE
> 200`, `< INVITE
> 180
> 200 | sdp
< ACK
wait 3000
> BYE
< 200`)
	first := l.dial(1, `> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
wait 4500
> BYE
< 200`)
	l.dial(1, `> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
> REFER | Refer-To: <sip:fra@10.66.5.10?Replaces=`+url.QueryEscape(first.named(true))+`>
< 202
< NOTIFY | body: SIP/2.0 100
> 200
< NOTIFY | body: SIP/2.0 180
> 200
< NOTIFY | body: SIP/2.0 200
> 200
< BYE
> 200`, "-s", "+41441234567").expect(1)
	first.expect(1)
	replacing := 0
	for _, m := range l.fra.messages() {
		if v := field(m.text, "Replaces"); !m.sent && v != "" {
			replacing++
			if v != l.fra.ownDialog() {
				t.Errorf("Replaces: %s, want %s", v, l.fra.ownDialog())
			}
		}
	}
	if replacing != 1 {
		t.Errorf("%d INVITEs with Replaces", replacing)
	}
	list := l.receipts(2)
	if len(list[0].Transfers) == 0 { // which of the two ends first is not what is tested
		list[0], list[1] = list[1], list[0]
	}
	wantTransfers(t, list[0], "refer_replaces answered")
	wantTransfers(t, list[1])
	l.end(2, 1)
}

// The carrier has called Zurich and was called by a phone in Frankfurt, and joins the two. The phone is no callee that could be sent an INVITE with Replaces: it is
// asked by a re-INVITE in its own dialog, and talks with Zurich, which hears nothing of it.
// Conforms: RFC 5589 section 7; RFC 3264 section 8
func TestTwoCallsAreJoined(t *testing.T) {
	l := newTransferLabWith(t, answers, answers, answers)
	phone := l.dial(10, `> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
< INVITE | body: m=audio
> 200 | sdp
< ACK
play
wait 1600
> BYE
< 200`, "-s", "+4930123")
	l.dial(1, `> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
> REFER | Refer-To: <sip:phone@10.66.5.10?Replaces=`+url.QueryEscape(l.carrier.named(false))+`>
< 202
< NOTIFY | body: SIP/2.0 100
> 200
< NOTIFY | body: SIP/2.0 200
> 200
< BYE
> 200`, "-s", "+41441234567").expect(1)
	phone.expect(1)
	list := l.receipts(2)
	if len(list[0].Transfers) == 0 {
		list[0], list[1] = list[1], list[0]
	}
	wantTransfers(t, list[0], "refer_replaces answered")
	wantTransfers(t, list[1])
	heard := uint64(0)
	for _, q := range list[0].Outcome.Quality {
		heard += q.Packets
	}
	// The phone speaks right behind our ACK, which its media comes before: nothing of it is lost.
	want := uint64(2 * packetsOfTone)
	noted(t, "packets of audio right behind the joining of two calls, there and back", fmt.Sprint(heard), fmt.Sprint(want))
	if heard != want || list[0].Overall != "compliant" || list[1].Overall != "compliant" {
		t.Errorf("%d packets, want %d there and back: %+v", heard, want, list[0])
	}
	if n := l.zrh.count(false, "INVITE"); n != 1 {
		t.Errorf("%d INVITEs at who stays", n)
	}
	l.endWith(1, 0, 1)
}

// ownDialog is the first dialog of a callee as it would be named to it: to-tag is its own.
func (s *sipp) ownDialog() string {
	s.t.Helper()
	in, ok := s.first(false, "INVITE"), s.first(true, "SIP/2.0 200 OK")
	for _, m := range s.messages() {
		if m.sent && strings.HasPrefix(m.line, "SIP/2.0 200") && strings.Contains(field(m.text, "CSeq"), "INVITE") {
			ok = m
			break
		}
	}
	return field(in.text, "Call-ID") + ";to-tag=" + tagOf(field(ok.text, "To")) + ";from-tag=" + tagOf(field(in.text, "From"))
}

// A second phone of the group takes the call of the first one, by an INVITE with Replaces: the first one gets BYE, the caller hears nothing of it.
// Conforms: RFC 3891 section 3
func TestInviteWithReplaces(t *testing.T) {
	l := newTransferLab(t, answers, answers)
	caller := l.dial(1, `> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
< BYE
> 200`)
	l.dial(10, `> INVITE | sdp | Require: replaces | Replaces: `+l.fra.named(false)+`
< 100 | optional
< 200 | rrs | body: m=audio
> ACK
play
wait 1600
> BYE
< 200`).expect(1)
	caller.expect(1)
	r := l.oneReceipt()
	wantTransfers(t, r, "invite_replaces answered")
	q := r.Outcome.Quality // of the far ends that left first: the second phone's is the last one
	if r.Overall != "compliant" || len(q) != 3 || q[0].Packets != 0 || q[2].Leg != "b" || q[2].Packets != packetsOfTone {
		t.Errorf("receipt: %+v", r)
	}
	if n := l.fra.count(false, "BYE"); n != 1 {
		t.Errorf("%d BYEs at the phone that was replaced", n)
	}
	l.end(1, 0)
}

// A message goes to the group of its number, and not to a place that is denied.
// Conforms: RFC 3428 section 7
func TestMessages(t *testing.T) {
	l := newTransferLab(t, answers, "< MESSAGE | body: hello there\n> 200")
	l.dial(1, "> MESSAGE | text=hello there\n< 200", "-s", "+41441234567").expect(1)
	l.dial(1, "> MESSAGE | text=hello there\n< 403 | Reason: policy", "-s", "+7495123").expect(1)
	if n := l.zrh.count(false, "MESSAGE"); n != 1 {
		t.Errorf("%d messages", n)
	}
	l.end(0, 1)
}

// A linphone agent transfers its caller, another linphone, to a third one.
// Conforms: RFC 5589 section 6.1
func TestLinphoneTransfers(t *testing.T) {
	net := connect(t, 1, 5, 10, 20)
	swiss, _, _ := strings.Cut(byNumber, "\n  - {name: russian")
	w := &world{at: net.in[5], edge: lan(5, 10), routes: swiss, to: []string{"fra"}}
	caller := newLinphone(t, net.in[1], lan(1, 10), "caller", nil)
	agent := newLinphone(t, net.in[10], lan(10, 10), "+4969123456", nil)
	expert := newLinphone(t, net.in[20], lan(20, 10), "+41441234567", nil)
	w.trunks = []party{{name: "carrier", addr: caller.addr, port: caller.port, transport: "udp"}}
	w.groups = []party{{name: "fra", addr: agent.addr, port: agent.port, transport: "udp"}, {name: "zrh", addr: expert.addr, port: expert.port, transport: "udp"}}
	n := boot(t, w, "fra", "zrh")
	caller.say(fmt.Sprintf("call sip:+4969123456@%s:%d;transport=udp", n.w.edge, n.sip["udp"]))
	for _, p := range []*linphone{caller, agent} {
		p.await("StreamsRunning")
		p.say("incall-player-start " + p.tone + " 1")
	}
	n.talk(50)
	agent.say(fmt.Sprintf("call-transfer 1 sip:+41441234567@%s:%d", n.w.edge, n.sip["udp"]))
	expert.await("StreamsRunning")
	expert.say("incall-player-start " + expert.tone + " 1")
	agent.await("Released")
	n.talk(50)
	caller.say("terminate 1")
	expert.await("Released")
	r := n.oneReceipt()
	wantTransfers(t, r, "refer answered")
	if r.Overall != "compliant" || r.Outcome.SIPFinal != 200 {
		t.Errorf("receipt: %+v", r)
	}
	n.stop()
}

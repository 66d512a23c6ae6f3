package main

import (
	"fmt"
	"strings"
)

// SIPp's scenarios. A caller sends INVITE with SDP and expects 100 (perhaps), 180, 200; then what the middle says; then it hangs up.
const head = `<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="bench">
`

const callerSDP = `v=0
o=bench 1001 %d IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio %s RTP/AVP 8 0 101
a=rtpmap:8 PCMA/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=sendrecv
`

const common = `Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: "Bench" <sip:+4969123456@[local_ip]:[local_port]>;tag=[pid]c[call_number]
To: <sip:[service]@[remote_ip]:[remote_port]>%s
Call-ID: [call_id]
CSeq: %d %s
Max-Forwards: 70
`

func invite(seq, version int, to, port, more string) string {
	uri := "sip:[service]@[remote_ip]:[remote_port]"
	if seq > 1 {
		uri = "[next_url]"
	}
	return "<send retrans=\"500\" start_rtd=\"" + fmt.Sprint(seq) + "\"" + more + "><![CDATA[\nINVITE " + uri + " SIP/2.0\n" + fmt.Sprintf(common, to, seq, "INVITE") +
		"Contact: <sip:bench@[local_ip]:[local_port]>\n[routes]\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE\nSubject: a call of the bench\n" +
		"Content-Type: application/sdp\nContent-Length: [len]\n\n" + fmt.Sprintf(callerSDP, version, port) + "\n]]></send>\n"
}

func within(method string, seq int, body, more string) string {
	kind := ""
	if body != "" {
		kind = "Content-Type: application/dtmf-relay\n"
	}
	return "<send" + more + "><![CDATA[\n" + method + " [next_url] SIP/2.0\n" + fmt.Sprintf(common, "[peer_tag_param]", seq, method) +
		"[routes]\n" + kind + "Content-Length: [len]\n\n" + body + "\n]]></send>\n"
}

const established = `<recv response="100" optional="true"/>
<recv response="180" optional="true"/>
<recv response="200" rrs="true" rtd="1"/>
`

// caller makes the calling side; middle stands between the ACK and the BYE.
func caller(middle string, last int) string {
	return head + invite(1, 1, "", "[media_port]", "") + established + within("ACK", 1, "", "") + middle +
		within("BYE", last+1, "", ` retrans="500"`) + "<recv response=\"200\"/>\n</scenario>\n"
}

// hold is a call that stays up for so many milliseconds.
func hold(milliseconds int) string {
	if milliseconds == 0 {
		return caller("", 1)
	}
	return caller(fmt.Sprintf("<pause milliseconds=\"%d\"/>\n", milliseconds), 1)
}

// atOnce is how many INFO a caller sends without waiting for an answer.
const atOnce = 4

// infos sends INFO at once, and only then takes their answers: SIPp wants none while it sends.
func infos() string {
	var b strings.Builder
	for i := range atOnce {
		b.WriteString(within("INFO", 2+i, fmt.Sprintf("Signal=%d\nDuration=100\n", i), ""))
	}
	for range atOnce {
		b.WriteString("<recv response=\"200\"/>\n")
	}
	return caller(b.String(), 1+atOnce)
}

// storm holds each call until all are up, then moves its media by a re-INVITE, in the order in which they came but at another rate: call n is established at
// n*every ms, moved at moveAt + n*moved ms, and ended some time after all were moved.
func storm(moveAt, endAt int, every, moved float64) string {
	wait := func(at int, slope float64) string {
		return fmt.Sprintf(`<nop><action><assignstr assign_to="n" value="[call_number]"/><todouble assign_to="wait" variable="n"/>`+
			`<multiply assign_to="wait" value="%.4f"/><add assign_to="wait" value="%d"/></action></nop>
<pause variable="wait"/>
`, slope, at)
	}
	middle := wait(moveAt, moved-every) + invite(2, 2, "[peer_tag_param]", "[media_port+2]", "") +
		"<recv response=\"100\" optional=\"true\"/>\n<recv response=\"200\" rrs=\"true\" rtd=\"2\"/>\n" + within("ACK", 2, "", "") + wait(endAt, every-moved)
	return caller(middle, 2)
}

// patient is the answering side of infos: it answers all of them once all are here. A relay leaves two Via, a back-to-back agent one.
func patient(vias int) string {
	var b, names strings.Builder
	b.WriteString(ringing)
	for i := range atOnce {
		b.WriteString(`<recv request="INFO"><action><ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="` + fmt.Sprint("cseq", i) + `"/>`)
		for v := range vias {
			fmt.Fprintf(&b, `<ereg regexp=".*" search_in="hdr" header="Via:" occurrence="%d" assign_to="via%d%d"/>`, v+1, i, v)
			fmt.Fprintf(&names, "via%d%d,", i, v)
		}
		b.WriteString("</action></recv>\n")
		fmt.Fprintf(&names, "cseq%d,", i)
	}
	for i := range atOnce {
		b.WriteString("<send><![CDATA[\nSIP/2.0 200 OK\n")
		for v := range vias {
			fmt.Fprintf(&b, "Via:[$via%d%d]\n", i, v)
		}
		fmt.Fprintf(&b, "[last_From:]\n[last_To:]\n[last_Call-ID:]\nCSeq:[$cseq%d]\nContent-Length: 0\n\n]]></send>\n", i)
	}
	b.WriteString("<recv request=\"BYE\"/>\n<send next=\"8\"><![CDATA[\n" + plainOK + "\n]]></send>\n" + probed)
	return strings.Replace(b.String(), "</scenario>", `<Reference variables="`+strings.TrimSuffix(names.String(), ",")+`"/></scenario>`, 1)
}

// callee is the answering side of everything else: after the answer it takes INFO and re-INVITE in any number until the BYE.
const callee = ringing + more + probed

// ringing takes a call; a probe of cordon's branches off to what probed says.
const ringing = head + `<recv request="OPTIONS" optional="true" next="9"/>
<recv request="INVITE" rrs="true" counter="invites"/>
<send><![CDATA[
SIP/2.0 180 Ringing
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:];tag=[pid]s[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>
Content-Length: 0

]]></send>
<send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_Record-Route:]
[last_From:]
[last_To:];tag=[pid]s[call_number]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>
Allow: INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE
Content-Type: application/sdp
Content-Length: [len]

` + calleeSDP + `
]]></send>
<recv request="ACK"/>
`

const more = `<label id="3"/>
<recv request="INFO" optional="true" next="4"/>
<recv request="INVITE" optional="true" next="5"/>
<recv request="BYE"/>
<send next="8"><![CDATA[
` + plainOK + `
]]></send>
<label id="4"/>
<send next="3"><![CDATA[
` + plainOK + `
]]></send>
<label id="5"/>
<send retrans="500"><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Contact: <sip:[local_ip]:[local_port]>
Content-Type: application/sdp
Content-Length: [len]

` + calleeSDP + `
]]></send>
<recv request="ACK" next="3" counter="moved"/>
`

const probed = `<label id="9"/>
<send><![CDATA[
SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:];tag=[pid]o[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
<label id="8"/>
<nop/>
</scenario>
`

const plainOK = `SIP/2.0 200 OK
[last_Via:]
[last_From:]
[last_To:]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0
`

const calleeSDP = `v=0
o=bench 2002 1 IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=ptime:20
`

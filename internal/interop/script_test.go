//go:build interop

package interop

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

// A scenario of SIPp is long; what a scenario tests is short. A script is a line a step, and compile makes the XML of it:
//
//	> INVITE | sdp              send a request (or, as a number, a response) with a body; sdp=sendonly sets the direction
//	< 183 | optional            receive
//	< 200 | rrs                 ... and keep Contact and Record-Route for what follows
//	< 200 | X-Name: pattern     ... and fail unless the header matches
//	< 200 | body: pattern       ... and fail unless the message matches
//	< 183 | keep=RSeq           ... and keep a header as [$rseq]
//	> ACK | Name: value         a header more
//	> INFO | dtmf=5             a digit
//	> MESSAGE | text=hello      a text
//	> INFO | cseq=1             a number of its own instead of the next one
//	> BYE | tag=nobody          another tag than the callee's
//	> BYE | lost=30             lost on the way in 30 of 100 cases, sending and receiving alike
//	play                        a second of the tone, as RTP; "play long" for twenty
//	> INVITE | image            send a description of a fax (T.38) in the place of the audio
//	fax                         the packets of one, as UDPTL
//	> INVITE | speech           send a description that has no telephone events
//	dial pound                  a digit as telephone events: SIPp's own packets of RFC 2833
//	wait 200                    milliseconds
//
// A caller's ACK to a refusal and its CANCEL belong to the INVITE's transaction; the script says so with "of=N", N steps back. "of=invite" makes a callee answer
// the INVITE although another request came after it; a request that was received "as=NAME" is answered by "of=NAME".

// step is one line.
type step struct {
	send  bool
	what  string // method, status, play, fax, wait
	words []string
}

func parse(t *testing.T, script string) []step {
	t.Helper()
	var out []step
	for line := range strings.SplitSeq(strings.TrimSpace(script), "\n") {
		parts := strings.Split(strings.TrimSpace(line), " | ")
		f := strings.Fields(parts[0])
		s := step{words: parts[1:]}
		switch {
		case f[0] == ">" || f[0] == "<":
			s.send, s.what = f[0] == ">", f[1]
		case f[0] == "wait":
			s.what, s.words = "wait", f[1:]
		case f[0] == "play":
			s.what, s.words = "play", append(f[1:], "tone")
		case f[0] == "fax":
			s.what = "fax"
		case f[0] == "dial":
			s.what, s.words = "dial", f[1:]
		default:
			t.Fatalf("script: %q", line)
		}
		out = append(out, s)
	}
	return out
}

func isStatus(s string) bool { return s[0] >= '1' && s[0] <= '6' }

var phrases = map[string]string{"180": "Ringing", "183": "Session Progress", "200": "OK", "486": "Busy Here", "487": "Request Terminated", "503": "Service Unavailable"}

const sdpBody = `v=0
o=sipp 1001 %d IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [media_port] RTP/AVP 8 101
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=%s
`

const faxBody = `v=0
o=sipp 1001 %d IN IP4 [media_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=image [media_port] udptl t38
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxRateManagement:transferredTCF
a=T38FaxMaxBuffer:1024
a=T38FaxMaxDatagram:400
a=T38FaxUdpEC:t38UDPRedundancy
`

// compiler makes the XML of one side.
type compiler struct {
	t     *testing.T
	b     strings.Builder
	vars  int // variables used for checks
	uas   bool
	cseq  int
	inv   int  // CSeq of the last INVITE that was sent
	got   int  // INVITEs that were received
	up    bool // a callee has answered: its tag is in what comes
	sdp   int  // version of the last body
	last  string
	names []string
}

// caller makes the XML of a caller, callee that of an answering side. A callee answers OPTIONS, too, and each of its calls, or messages, counts as "invites".
func caller(t *testing.T, script string) string {
	c := &compiler{t: t}
	c.b.WriteString(header)
	for _, s := range parse(t, script) {
		c.step(s)
	}
	return c.end()
}

func callee(t *testing.T, script string) string {
	c := &compiler{t: t, uas: true, vars: 5, names: []string{"path", "from", "to", "cseq", "contact"}, cseq: 100}
	if !strings.Contains(script, "< INVITE") {
		c.names = nil
	}
	c.b.WriteString(header)
	c.b.WriteString(`<recv request="OPTIONS" optional="true" next="90"/>` + "\n")
	for _, s := range parse(t, script) {
		c.step(s)
	}
	c.b.WriteString(`<nop next="99"/>
<label id="90"/>
<send><![CDATA[
` + responseLine("200") + `[last_Via:]
[last_From:]
[last_To:];tag=[pid]o[call_number]
[last_Call-ID:]
[last_CSeq:]
Content-Length: 0

]]></send>
<label id="99"/>
`)
	return c.end()
}

const header = `<?xml version="1.0" encoding="ISO-8859-1" ?>
<scenario name="interop">
`

func (c *compiler) end() string {
	if len(c.names) > 0 {
		c.b.WriteString(`<Reference variables="` + strings.Join(c.names, ",") + `"/>` + "\n")
	}
	c.b.WriteString("</scenario>\n")
	return c.b.String()
}

func (c *compiler) step(s step) {
	switch {
	case s.what == "wait":
		fmt.Fprintf(&c.b, "<pause milliseconds=\"%s\"/>\n", s.words[0])
	case s.what == "play":
		fmt.Fprintf(&c.b, "<nop><action><exec play_pcap_audio=\"%s.pcap\"/></action></nop>\n", s.words[0])
	case s.what == "dial":
		fmt.Fprintf(&c.b, "<nop><action><exec play_pcap_audio=\"/usr/share/sip-tester/dtmf_2833_%s.pcap\"/></action></nop>\n", s.words[0])
	case s.what == "fax":
		c.b.WriteString("<nop><action><exec play_pcap_image=\"fax.pcap\"/></action></nop>\n")
	case s.send:
		c.send(s)
	default:
		c.recv(s)
	}
}

func responseLine(status string) string {
	phrase := phrases[status]
	if phrase == "" {
		phrase = "Status"
	}
	return "SIP/2.0 " + status + " " + phrase + "\n"
}

// recv writes one expectation with its checks.
func (c *compiler) recv(s step) {
	attr, actions := "", ""
	for _, w := range s.words {
		switch {
		case w == "optional":
			attr += ` optional="true"`
		case strings.HasPrefix(w, "lost="):
			attr += ` lost="` + strings.TrimPrefix(w, "lost=") + `"`
		case w == "rrs":
			attr += ` rrs="true"`
		case strings.HasPrefix(w, "as="):
			name := strings.TrimPrefix(w, "as=")
			c.names = append(c.names, name+"via", name+"cseq")
			actions += fmt.Sprintf(`<ereg regexp=".*" search_in="hdr" header="Via:" assign_to="%svia"/><ereg regexp=".*" search_in="hdr" header="CSeq:" assign_to="%scseq"/>`, name, name)
		case strings.HasPrefix(w, "keep="):
			name := strings.TrimPrefix(w, "keep=")
			v := strings.ToLower(name)
			c.names = append(c.names, v)
			actions += fmt.Sprintf(`<ereg regexp="[^ ].*" search_in="hdr" header="%s:" assign_to="%s"/>`, name, v)
		default:
			actions += c.check(w)
		}
	}
	kind := "request"
	if isStatus(s.what) {
		kind = "response"
	} else {
		c.last = s.what
	}
	if c.uas && s.what == "MESSAGE" {
		attr += ` counter="invites"`
	}
	if c.uas && s.what == "INVITE" {
		c.got++
		if c.got == 1 {
			attr += ` counter="invites"`
		}
		for _, h := range [][3]string{{"From:", "from", ".*"}, {"To:", "to", ".*"}, {"CSeq:", "cseq", ".*"}} {
			actions += fmt.Sprintf(`<ereg regexp="%s" search_in="hdr" header="%s" assign_to="%s"/>`, h[2], h[0], h[1])
		}
		actions += `<ereg regexp="sip:[^>]*" search_in="hdr" header="Contact:" assign_to="contact"/>`
		// All of them go back, with a proxy in the way, too.
		actions += `<ereg regexp="((Record-Route|Via): [^[:cntrl:]]*[[:cntrl:]]+)+" search_in="msg" assign_to="path"/>`
	}
	if actions != "" {
		actions = "<action>" + actions + "</action>"
	}
	fmt.Fprintf(&c.b, "<recv %s=\"%s\"%s>%s</recv>\n", kind, s.what, attr, actions)
}

// check makes "Name: pattern" an assertion of SIPp itself.
func (c *compiler) check(w string) string {
	name, pattern, ok := strings.Cut(w, ": ")
	if !ok {
		c.t.Fatalf("script: %q", w)
	}
	c.vars++
	v := fmt.Sprintf("check%d", c.vars)
	c.names = append(c.names, v)
	pattern = strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(pattern)
	if name == "body" {
		return fmt.Sprintf(`<ereg regexp="%s" search_in="msg" check_it="true" assign_to="%s"/>`, pattern, v)
	}
	return fmt.Sprintf(`<ereg regexp="%s" search_in="hdr" header="%s:" check_it="true" assign_to="%s"/>`, pattern, name, v)
}

// send writes one message.
func (c *compiler) send(s step) {
	var body, text, extra, of, lost string
	var wrong mistakes
	for _, w := range s.words {
		switch {
		case w == "sdp" || strings.HasPrefix(w, "sdp="):
			direction := strings.TrimPrefix(strings.TrimPrefix(w, "sdp"), "=")
			if direction == "" {
				direction = "sendrecv"
			}
			c.sdp++
			body = fmt.Sprintf(sdpBody, c.sdp, direction)
		case w == "speech":
			c.sdp++
			body = strings.NewReplacer("AVP 8 101", "AVP 8", "a=rtpmap:101 telephone-event/8000\n", "", "a=fmtp:101 0-15\n", "").Replace(fmt.Sprintf(sdpBody, c.sdp, "sendrecv"))
		case w == "image":
			c.sdp++
			body = fmt.Sprintf(faxBody, c.sdp)
		case strings.HasPrefix(w, "dtmf="):
			extra += "Content-Type: application/dtmf-relay\n"
			text = "Signal=" + strings.TrimPrefix(w, "dtmf=") + "\nDuration=160\n"
		case strings.HasPrefix(w, "text="):
			extra += "Content-Type: text/plain\n"
			text = strings.TrimPrefix(w, "text=")
		case strings.HasPrefix(w, "lost="):
			lost = ` lost="` + strings.TrimPrefix(w, "lost=") + `"`
		case strings.HasPrefix(w, "of="):
			of = strings.TrimPrefix(w, "of=")
		case strings.HasPrefix(w, "cseq="):
			wrong.cseq = strings.TrimPrefix(w, "cseq=")
		case strings.HasPrefix(w, "tag="):
			wrong.tag = strings.TrimPrefix(w, "tag=")
		default:
			extra += w + "\n"
		}
	}
	if body != "" {
		extra += "Content-Type: application/sdp\n"
	}
	body += text
	retrans := ""
	// SIPp waits for the answer of what it may have to repeat, so INFO is sent once: several of them may be on their way.
	if !isStatus(s.what) && s.what != "ACK" && s.what != "INFO" || (s.what >= "200" && (of == "invite" || of == "" && c.last == "INVITE")) {
		retrans = ` retrans="500"`
	}
	fmt.Fprintf(&c.b, "<send%s%s><![CDATA[\n%s%sContent-Length: [len]\n\n%s\n]]></send>\n", retrans, lost, wrong.put(c.head(s.what, of)), extra, body)
}

// mistakes are what a script gets wrong on purpose.
type mistakes struct{ cseq, tag string }

var (
	cseqLine = regexp.MustCompile(`\nCSeq: \d+ `)
	toLine   = regexp.MustCompile(`\nTo: ([^\n]*?)(?:\[peer_tag_param\])?\n`)
)

// put makes them in the head of a request of a caller.
func (m mistakes) put(head string) string {
	if m.cseq != "" {
		head = cseqLine.ReplaceAllString(head, "\nCSeq: "+m.cseq+" ")
	}
	if m.tag != "" {
		head = toLine.ReplaceAllString(head, "\nTo: ${1};tag="+m.tag+"\n")
	}
	return head
}

func (c *compiler) head(what, of string) string {
	if isStatus(what) {
		return c.response(what, of)
	}
	branch := "[branch]"
	if of != "" {
		branch = "[branch-" + of + "]"
	}
	uri, from, to := "[next_url]", `"Caller" <sip:+4930123456@[local_ip]>;tag=[pid]a[call_number]`, "<sip:[service]@[remote_ip]:[remote_port]>[peer_tag_param]"
	if c.uas {
		uri, from, to = "[$contact]", "[$to];tag=[pid]b[call_number]", "[$from]"
	}
	switch what {
	case "INVITE", "OPTIONS", "MESSAGE":
		c.cseq++
		if what == "INVITE" {
			if c.inv == 0 && !c.uas {
				uri, to = "sip:[service]@[remote_ip]:[remote_port]", "<sip:[service]@[remote_ip]:[remote_port]>"
			}
			c.inv = c.cseq
		} else if what == "MESSAGE" {
			uri, to = "sip:[service]@[remote_ip]:[remote_port]", "<sip:[service]@[remote_ip]:[remote_port]>"
		} else {
			uri, to = "sip:[remote_ip]:[remote_port]", "<sip:[remote_ip]:[remote_port]>"
		}
	case "ACK":
		if of != "" {
			uri = "sip:[service]@[remote_ip]:[remote_port]"
		}
	case "CANCEL":
		uri, to = "sip:[service]@[remote_ip]:[remote_port]", "<sip:[service]@[remote_ip]:[remote_port]>"
	default:
		c.cseq++
	}
	cseq := c.cseq
	if what == "ACK" || what == "CANCEL" {
		cseq = c.inv
	}
	routes := "[routes]\n"
	if c.uas || of != "" || uri != "[next_url]" {
		routes = ""
	}
	return fmt.Sprintf("%s %s SIP/2.0\nVia: SIP/2.0/[transport] [local_ip]:[local_port];branch=%s\n%sFrom: %s\nTo: %s\nCall-ID: [call_id]\nCSeq: %d %s\nContact: <sip:peer@[local_ip]:[local_port];transport=[transport]>\nMax-Forwards: 70\n",
		what, uri, branch, routes, from, to, cseq, what)
}

// response answers the last request, or the one that the script names.
func (c *compiler) response(status, of string) string {
	contact := "Contact: <sip:agent@[local_ip]:[local_port];transport=[transport]>\n"
	line := responseLine(status)
	switch {
	case c.uas && (of == "invite" || of == "" && c.last == "INVITE"):
		tag := ";tag=[pid]b[call_number]"
		if c.up { // a re-INVITE carries it already
			tag = ""
		}
		c.up = c.up || status == "200"
		return line + "[$path]From: [$from]\nTo: [$to]" + tag + "\n[last_Call-ID:]\nCSeq: [$cseq]\n" + contact
	case of != "":
		return line + "Via: [$" + of + "via]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\nCSeq: [$" + of + "cseq]\n" + contact
	}
	return line + "[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\n" + contact
}

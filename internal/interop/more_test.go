//go:build interop

package interop

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// An agent calls out through a carrier that asks for digest credentials.
// Conforms: RFC 7616 section 3; RFC 8760 section 2
func TestOutboundCallWithDigest(t *testing.T) {
	for algorithm, sum := range map[string]func() hash.Hash{"MD5": md5.New, "SHA-256": sha256.New} {
		t.Run(algorithm, func(t *testing.T) {
			l := setWith(t, "udp", `< INVITE
> 407 | Proxy-Authenticate: Digest realm="lab", nonce="8f2c", qop="auth", algorithm=`+algorithm+`
< ACK
< INVITE | Proxy-Authorization: `+algorithm+`
> 180
> 200 | sdp
< ACK
< BYE
> 200`, func(w *world) {
				writeFile(t, filepath.Join(w.dir, "trunk.secret"), []byte("s3cret\n"))
				w.trunks[0].more = "auth: {user: bank, password: {file: trunk.secret}}"
			}, answers)
			call(t, l.node, groupHosts[0], talks, options{})
			r := l.oneReceipt()
			if r.Direction != "outbound" || r.Trunk != "carrier" || r.Outcome.SIPFinal != 200 || r.Overall != "compliant" {
				t.Errorf("receipt: %+v", r)
			}
			wantAudio(t, r)
			l.carrier.finish(1)
			if got, want := digestOf(t, l.carrier, sum); got != want {
				t.Errorf("the digest is %s, want %s", got, want)
			}
			l.groups[0].finish(0)
			l.stop()
		})
	}
}

var parameter = regexp.MustCompile(`(\w+)="?([^",]+)"?`)

// digestOf finds the answer to the challenge in what a callee received, and computes what it must be. RFC 7616 section 3.4.1.
func digestOf(t *testing.T, s *sipp, sum func() hash.Hash) (got, want string) {
	t.Helper()
	p := map[string]string{}
	for _, m := range s.messages() {
		for line := range strings.Lines(m.text) {
			if v, ok := strings.CutPrefix(line, "Proxy-Authorization: Digest "); ok && !m.sent {
				for _, x := range parameter.FindAllStringSubmatch(strings.TrimSpace(v), -1) {
					p[x[1]] = x[2]
				}
			}
		}
	}
	h := func(text string) string {
		d := sum()
		d.Write([]byte(text))
		return hex.EncodeToString(d.Sum(nil))
	}
	return p["response"], h(h("bank:lab:s3cret") + ":8f2c:" + p["nc"] + ":" + p["cnonce"] + ":auth:" + h("INVITE:"+p["uri"]))
}

// Conforms: RFC 3264 section 8.4
func TestTheCalleeHoldsAndHangsUp(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, nil, `< INVITE
> 180
> 200 | sdp
< ACK
wait 200
> INVITE | sdp=sendonly
< 100 | optional
< 200 | body: a=recvonly
> ACK
wait 200
> BYE
< 200`)
			l.call(`> INVITE | sdp
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
< INVITE | body: a=sendonly
> 200 | sdp=recvonly
< ACK
< BYE
> 200`)
			r := l.oneReceipt()
			wantAnswered(t, r, "fra", "primary")
			if r.Outcome.EndedBy != "b" {
				t.Errorf("ended by %q", r.Outcome.EndedBy)
			}
			l.finish(1)
		})
	}
}

// The callee answers while the CANCEL is on its way: it gets ACK and BYE, the caller hears 487.
// Conforms: RFC 3261 section 9.1
func TestAnswerCrossesCancel(t *testing.T) {
	l := set(t, "udp", nil, `< INVITE
> 180
< CANCEL
> 200
> 200 | sdp | of=invite
< ACK
< BYE
> 200`)
	l.call(`> INVITE | sdp
< 100 | optional
< 180
wait 100
> CANCEL | of=4
< 200
< 487
> ACK | of=7`)
	if r := l.oneReceipt(); r.Outcome.SIPFinal != 487 {
		t.Errorf("receipt: %+v", r)
	}
	l.finish(1)
}

// One in seven requests and responses are lost between the caller and the node. The ACK and what it answers are not: SIPp would take the 200 of an INVITE that comes
// again for that of its BYE, and leave.
// Conforms: RFC 3261 section 17
func TestLossyPath(t *testing.T) {
	const calls = 20
	l := set(t, "udp", nil, answers)
	st := l.dial(`> INVITE | sdp | lost=15
< 100 | optional
< 180 | optional
< 200 | rrs
> ACK
> BYE | lost=15
< 200 | lost=15`, "-m", num(calls), "-r", "10").expect(calls)
	if st.retransmissions == 0 {
		t.Error("nothing was lost, nothing was shown")
	}
	noted(t, "20 calls over a path that loses 15 %", fmt.Sprintf("%d failed, %d retransmitted", st.failed, st.retransmissions), "0 failed")
	for _, r := range l.receipts(calls) {
		wantAnswered(t, r, "fra", "primary")
	}
	until(t, "no call is left", 40*time.Second, func() bool { return l.calls() == 0 })
	l.finish(calls)
}

// Messages over the size of one Ethernet frame pass, requests and responses alike.
// Conforms: RFC 3261 section 18.1.1
func TestBigMessagesOverUDP(t *testing.T) {
	big := strings.Repeat("0123456789", 250)
	l := set(t, "udp", func(w *world) {
		w.trunks[0].more = "headers: [X-Big]"
		w.groups[0].more = "headers: [X-Big]"
	}, `< INVITE | X-Big: 0123456789
> 180
> 200 | sdp | X-Big: `+big+`
< ACK
< BYE
> 200`)
	l.call(`> INVITE | sdp | X-Big: ` + big + `
< 100 | optional
< 180
< 200 | rrs | X-Big: 0123456789
> ACK
wait 100
> BYE
< 200`)
	wantAnswered(t, l.oneReceipt(), "fra", "primary")
	if got := l.groups[0].first(false, "INVITE").text; !strings.Contains(got, big) {
		t.Error("the header was cut")
	}
	l.finish(1)
}

// A party that gets large requests by TCP and does not listen there gets them by UDP after all, and the call loses no time by it.
// Conforms: RFC 3261 section 18.1.1
func TestALargeRequestFallsBackToUDP(t *testing.T) {
	big := strings.Repeat("0123456789", 150)
	l := set(t, "udp", func(w *world) {
		w.trunks[0].more = "headers: [X-Big]"
		w.groups[0].more = "headers: [X-Big]\nlarge_requests: tcp"
	}, `< INVITE | X-Big: 0123456789
> 486
< ACK`)
	begin := time.Now()
	l.call(`> INVITE | sdp | X-Big: ` + big + `
< 100 | optional
< 486
> ACK`)
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if got := l.groups[0].first(false, "INVITE").text; !strings.Contains(got, big) || !strings.Contains(got, "SIP/2.0/UDP") {
		t.Errorf("by UDP came\n%s", got)
	}
	l.finish(1)
}

// Whoever is no party hears nothing, wherever they call from; a stranger in a permitted place may be told 403 by config.
func TestStrangers(t *testing.T) {
	for stranger, want := range map[string]string{"silence": "", "403": "403"} {
		t.Run(stranger, func(t *testing.T) {
			l := set(t, "udp", func(w *world) { w.more = fmt.Sprintf("limits: {stranger: %q}\n", stranger) }, answers)
			for from, expect := range map[string]string{loop(1, 99): want, loop(40, 99): "", loop(50, 99): "", "127.99.0.1": ""} {
				c := l.dialSIP("udp", from)
				invite := fmt.Sprintf("INVITE sip:+4969@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;rport;branch=z9hG4bKs%s\r\nMax-Forwards: 70\r\nFrom: <sip:x@x.example>;tag=1\r\n"+
					"To: <sip:+4969@x.example>\r\nCall-ID: s-%s\r\nCSeq: 1 INVITE\r\nContact: <sip:x@%s>\r\nContent-Length: 0\r\n\r\n", l.w.edge, c.LocalAddr(), from, from, c.LocalAddr())
				if _, err := c.Write([]byte(invite)); err != nil {
					t.Fatal(err)
				}
				_ = c.SetReadDeadline(time.Now().Add(400 * time.Millisecond))
				b := make([]byte, 4096)
				n, _ := c.Read(b) // silence is an answer
				if got := strings.TrimPrefix(string(b[:n]), "SIP/2.0 "); !strings.HasPrefix(got, expect) || (expect == "") != (got == "") {
					t.Errorf("a stranger at %s heard %q, want %q", from, got, expect)
				}
			}
			l.finish(0)
		})
	}
}

//go:build interop

package interop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// Peers that break the rules on purpose. Each is told so, or nothing; its other calls and everybody else's go on.

// A caller hangs up and never acknowledges the answer.
// Conforms: RFC 3261 section 15.1.2; RFC 3261 section 13.3.1.4
func TestByeBeforeAck(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, nil, answers)
			l.call(`> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> BYE
< 200`)
			r := l.oneReceipt()
			if r.Outcome.SIPFinal != 200 || r.Outcome.EndedBy != "a" {
				t.Errorf("receipt: %+v", r)
			}
			l.finish(1)
		})
	}
}

// Requests out of order end nothing, and are told so.
// Conforms: RFC 3261 section 12.2.2; RFC 3261 section 8.1.1.5
func TestWrongNumbers(t *testing.T) {
	for _, transport := range []string{"udp", "tcp"} {
		t.Run(transport, func(t *testing.T) {
			l := set(t, transport, nil, `< INVITE
> 180
wait 50
> 200 | sdp
< ACK
< INFO
> 200
< BYE
> 200`)
			l.call(`> INVITE | sdp | cseq=7
< 100 | optional
< 180
< 200 | rrs
> ACK | cseq=7
> INFO | cseq=9 | dtmf=1
< 200
> INFO | cseq=8 | dtmf=2
< 500
> BYE | cseq=5
< 500
> BYE | cseq=20
< 200`)
			r := l.oneReceipt()
			wantAnswered(t, r, "fra", "primary")
			l.finish(1)
		})
	}
}

// A BYE of a dialog that is none ends none: the call lasts until the callee hangs up.
// Conforms: RFC 3261 section 12.2.2
func TestWrongTag(t *testing.T) {
	l := set(t, "udp", nil, `< INVITE
> 180
wait 50
> 200 | sdp
< ACK
wait 700
> BYE
< 200`)
	l.call(`> INVITE | sdp
< 100 | optional
< 180
< 200 | rrs
> ACK
> BYE | tag=nobody
< 481
< BYE
> 200`)
	if r := l.oneReceipt(); r.Outcome.EndedBy != "b" || r.Outcome.SIPFinal != 200 {
		t.Errorf("receipt: %+v", r)
	}
	l.finish(1)
}

// The same INVITE by two ways is one call: the copy is told so. RFC 3261 section 8.2.2.2.
// Conforms: RFC 3261 section 8.2.2.2
func TestMergedInvites(t *testing.T) {
	l := set(t, "udp", nil, answers)
	c := l.dialSIP("udp", carrierAt)
	defer c.Close()
	invite := func(branch string) string {
		sdp := strings.ReplaceAll(fmt.Sprintf(sdpBody, 1, "sendrecv"), "\n", "\r\n")
		sdp = strings.NewReplacer("[media_ip]", carrierAt, "[media_port]", "30000").Replace(sdp)
		return fmt.Sprintf("INVITE sip:+4969123456@%s SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bK%s;rport\r\nMax-Forwards: 70\r\nFrom: <sip:+4930@%s>;tag=m\r\n"+
			"To: <sip:+4969123456@%s>\r\nCall-ID: merged\r\nCSeq: 1 INVITE\r\nContact: <sip:c@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s",
			l.w.edge, c.LocalAddr(), branch, carrierAt, l.w.edge, c.LocalAddr(), len(sdp), sdp)
	}
	for _, branch := range []string{"one", "two"} {
		if _, err := io.WriteString(c, invite(branch)); err != nil {
			t.Fatal(err)
		}
	}
	heard := map[string]string{} // by branch
	b := make([]byte, 65536)
	for deadline := time.Now().Add(5 * time.Second); heard["two"] == "" || heard["one"] == ""; {
		_ = c.SetReadDeadline(deadline)
		n, err := c.Read(b)
		if err != nil {
			t.Fatalf("heard %v, then %v", heard, err)
		}
		text := string(b[:n])
		for _, branch := range []string{"one", "two"} {
			if line, _, _ := strings.Cut(text, "\r\n"); strings.Contains(text, "z9hG4bK"+branch) && !strings.Contains(line, " 100 ") {
				heard[branch] = line[len("SIP/2.0 "):][:3]
			}
		}
	}
	if heard["two"] != "482" || heard["one"] == "482" {
		t.Errorf("heard %v", heard)
	}
}

// A stream that ends or stalls in the middle of a message takes nothing with it but itself.
// Conforms: RFC 3261 section 18.3
func TestTruncatedFrames(t *testing.T) {
	l := set(t, "tcp", nil, answers)
	head := "OPTIONS sip:" + l.w.edge + " SIP/2.0\r\nVia: SIP/2.0/TCP " + carrierAt + ":5060;branch=z9hG4bKcut;rport\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: cut\r\nCSeq: 1 OPTIONS\r\n"
	for name, text := range map[string]string{
		"in the start line": "OPTIONS sip:1",
		"in a header":       head[:len(head)-8],
		"before the body":   head + "Content-Length: 100\r\n\r\n",
		"in the body":       head + "Content-Length: 100\r\n\r\nhalf of it",
		"one byte a time":   head + "Content-Length: 0\r\n",
	} {
		c := l.dialSIP("tcp", carrierAt)
		chunk := len(text)
		if name == "one byte a time" {
			chunk = 1
		}
		for i := 0; i < len(text); i += chunk {
			if _, err := io.WriteString(c, text[i:min(i+chunk, len(text))]); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		_ = c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		n, err := c.Read(make([]byte, 4096))
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s: %d bytes, %v", name, n, err)
		}
		c.Close()
		if l.ended() {
			t.Fatalf("%s ended the node", name)
		}
	}
	// What is whole behind what is wrong is answered on the same connection.
	c := l.dialSIP("tcp", carrierAt)
	defer c.Close()
	bad := strings.Replace(head, "CSeq: 1 OPTIONS", "CSeq: one OPTIONS", 1) + "Content-Length: 0\r\n\r\n"
	good := strings.Replace(head, "z9hG4bKcut", "z9hG4bKwhole", 1) + "Content-Length: 0\r\n\r\n"
	if _, err := io.WriteString(c, bad+good); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	var got strings.Builder
	b := make([]byte, 4096)
	for !strings.Contains(got.String(), "SIP/2.0 200") {
		n, err := c.Read(b)
		if got.Write(b[:n]); err != nil {
			t.Fatalf("%v after:\n%s", err, got.String())
		}
	}
	if !strings.HasPrefix(got.String(), "SIP/2.0 400") {
		t.Errorf("heard:\n%s", got.String())
	}
	l.call(talks)
	l.groups[0].finish(1)
	l.carrier.finish(0)
	l.stop()
}

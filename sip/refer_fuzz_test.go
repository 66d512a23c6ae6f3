package sip

import (
	"strings"
	"testing"

	msg "github.com/emiago/sipgo/sip"
)

// FuzzReferTo: what a peer writes into Refer-To, Event and a fragment never breaks out of the headers that are built from it.
func FuzzReferTo(f *testing.F) {
	for _, s := range []string{
		"<sip:+41200@x>", "sip:a@b", "<sip:x@x?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>", "\"N\" <sips:a;b=c@h;method=INVITE?Replaces=%0d%0a>", "<tel:+1-2>", "<sip:a@b>,<sip:c@d>", "",
		"<sip:x@x?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc%3Bearly-only&X=y>",
	} {
		f.Add(s, "refer;id=7", "SIP/2.0 180 Ringing")
	}
	f.Fuzz(func(t *testing.T, v, event, body string) {
		req := msg.NewRequest(msg.REFER, msg.Uri{Scheme: "sip", Host: "h"})
		req.AppendHeader(msg.NewHeader("Refer-To", v))
		req.AppendHeader(msg.NewHeader("Referred-By", v))
		req.AppendHeader(msg.NewHeader("Event", event))
		to, status := readReferTo(req)
		if status == 0 {
			u := msg.Uri{Scheme: "sip", User: to.user, Host: "ours"}
			line := u.String()
			if to.replaces != nil {
				line += to.replaces.header().Value()
			}
			if strings.ContainsAny(line, "\r\n \"") && to.replaces == nil || strings.ContainsAny(line, "\r\n") {
				t.Errorf("%q becomes %q", v, line)
			}
			if to.user == "" && to.replaces == nil {
				t.Errorf("%q names nobody", v)
			}
		}
		if who := referrerOf(req); strings.ContainsAny(who, "\r\n <>\"@") {
			t.Errorf("%q refers as %q", v, who)
		}
		eventOf(req)
		if n := fragmentStatus([]byte(body)); n != 0 && (n < 100 || n > 699) {
			t.Errorf("%q has status %d", body, n)
		}
	})
}

// The view of a Replaces is its sender's peer's. RFC 3891 section 6.1: exactly one to-tag and one from-tag.
func TestReadReplaces(t *testing.T) {
	for v, ok := range map[string]bool{
		"a@b;to-tag=x;from-tag=y": true, "a;from-tag=y;to-tag=x;early-only": true, "a;to-tag=x": false, ";to-tag=x;from-tag=y": false, "a;to-tag=x;to-tag=x;from-tag=y": false,
		"a;to-tag=;from-tag=y": false, "a b;to-tag=x;from-tag=y": false, "a\r\nX: y;to-tag=x;from-tag=y": false, "a;to-tag=" + strings.Repeat("x", 300) + ";from-tag=y": false,
	} {
		r, got := readReplaces(v)
		if got != ok {
			t.Errorf("%q: %v", v, got)
		}
		if ok && (r.to != "x" || r.from != "y" || r.early != strings.HasSuffix(v, "early-only")) {
			t.Errorf("%q: %+v", v, r)
		}
		if ok {
			if back, again := readReplaces(r.header().Value()); !again || back != r {
				t.Errorf("%q reads back as %+v", v, back)
			}
		}
	}
}

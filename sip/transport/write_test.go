package transport

import (
	"testing"

	"github.com/emiago/sipgo/sip"
)

// What is written is what sipgo's own writer writes.
func TestAppend(t *testing.T) {
	uris := []sip.Uri{
		{Host: "example.com"},
		{Scheme: "sips", User: "a", Password: "b", Host: "2001:db8::1", Port: 5061},
		{Scheme: "sip", User: "+49", Host: "[2001:db8::1]", UriParams: sip.HeaderParams{{K: "transport", V: "tcp"}, {K: "lr"}, {K: "x", V: "y z"}}},
		{Scheme: "sip", Host: "::ffff:192.0.2.1", Headers: sip.HeaderParams{{K: "Replaces", V: "1"}, {K: "b", V: "c"}}},
		{Scheme: "sip", Host: "192.0.2.1", HierarhicalSlashes: true, User: "u", UriParams: sip.HeaderParams{}},
		{Scheme: "sip", Host: "fe80::1%eth0"},
	}
	for _, s := range []string{"tel:+49;phone-context=x", "urn:service:sos"} {
		var u sip.Uri
		if err := sip.ParseUri(s, &u); err != nil {
			t.Fatal(err)
		}
		uris = append(uris, u)
	}
	id, hops, kind, expires := sip.CallIDHeader("1@x"), sip.MaxForwardsHeader(70), sip.ContentTypeHeader("application/sdp"), sip.ExpiresHeader(60)
	for i, u := range uris {
		req := sip.NewRequest(sip.INVITE, u)
		p := sip.HeaderParams{{K: "tag", V: "1"}, {K: "q", V: "a\tb"}, {K: "x", V: `"y"`}, {K: "e"}}
		for _, h := range []sip.Header{
			&sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "UDP", Host: u.Host, Port: u.Port, Params: sip.HeaderParams{{K: "branch", V: "z"}, {K: "rport"}}},
			&sip.ViaHeader{ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: "TLS", Host: u.Host},
			&sip.FromHeader{DisplayName: "A \\\" B", Address: u, Params: p}, &sip.FromHeader{Address: u}, &sip.ToHeader{DisplayName: "b", Address: u, Params: p},
			&sip.ContactHeader{DisplayName: "c", Address: u, Params: p}, &sip.ContactHeader{Address: sip.Uri{Wildcard: true, Host: "*"}, Params: p},
			&sip.RouteHeader{Address: u}, &sip.RecordRouteHeader{Address: u}, &sip.ReferToHeader{Address: u}, &sip.ReferredByHeader{Address: u, Params: p},
			&id, &hops, &kind, &expires, &sip.CSeqHeader{SeqNo: 1<<31 - 1, MethodName: sip.ACK}, sip.NewHeader("X-Any", "any thing"), sip.NewHeader("X-Empty", ""),
		} {
			req.AppendHeader(h)
		}
		if i%2 == 0 {
			req.SetBody([]byte("v=0\r\n"))
		}
		if got, want := string(Append(nil, req)), req.String(); got != want {
			t.Errorf("URI %d:\n%s\nwant\n%s", i, got, want)
		}
		res := sip.NewResponse(200+i, "Fine \u00fc")
		for _, h := range req.Headers() {
			res.AppendHeader(h)
		}
		if got, want := string(Append([]byte("before "), res)), "before "+res.String(); got != want {
			t.Errorf("response %d:\n%s\nwant\n%s", i, got, want)
		}
	}
}

// Whatever is read is written as sipgo writes it.
func TestAppendTorture(t *testing.T) {
	for name, raw := range tortureFiles(t) {
		if msg, err := Parse(raw); err == nil && string(Append(nil, msg)) != msg.String() {
			t.Errorf("%s:\n%s\nwant\n%s", name, Append(nil, msg), msg)
		}
	}
}

func TestAppendAllocates(t *testing.T) {
	msg, err := Parse([]byte(benchInvite))
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 0, 4096)
	if n := testing.AllocsPerRun(100, func() { b = Append(b[:0], msg) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

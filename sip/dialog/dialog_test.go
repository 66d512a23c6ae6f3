package dialog

import (
	"errors"
	"strings"
	"testing"

	msg "github.com/emiago/sipgo/sip"
)

func parse[T msg.Message](t *testing.T, lines ...string) T {
	t.Helper()
	m, err := msg.ParseMessage([]byte(strings.Join(lines, "\r\n") + "\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	return m.(T)
}

func invite(t *testing.T, more ...string) *msg.Request {
	t.Helper()
	return parse[*msg.Request](t, append([]string{
		"INVITE sip:bob@biloxi.example SIP/2.0", "Via: SIP/2.0/UDP 1.1.1.1;branch=z9hG4bKx", "From: \"Alice\" <sip:alice@atlanta.example>;tag=a1",
		"To: Bob <sip:bob@biloxi.example>", "Call-ID: c1", "CSeq: 314 INVITE",
	}, more...)...)
}

func answer(t *testing.T, more ...string) *msg.Response {
	t.Helper()
	return parse[*msg.Response](t, append([]string{
		"SIP/2.0 200 OK", "Via: SIP/2.0/UDP 1.1.1.1;branch=z9hG4bKx", "From: \"Alice\" <sip:alice@atlanta.example>;tag=a1", "To: Bob <sip:bob@biloxi.example>;tag=b1",
		"Call-ID: c1", "CSeq: 314 INVITE",
	}, more...)...)
}

// RFC 3261 section 12.1.1: the route set of a UAS is in order, the target is the Contact.
// Conforms: RFC 3261 section 12.1.1
func TestUAS(t *testing.T) {
	d, err := UAS(invite(t, "Record-Route: <sip:p2;lr>, <sip:p1;lr>", "Contact: <sip:alice@1.1.1.1:5062;ob>;+sip.instance=x"), "t9")
	if err != nil {
		t.Fatal(err)
	}
	req := d.Request(msg.BYE)
	if got := req.Recipient.String(); got != "sip:alice@1.1.1.1:5062;ob" {
		t.Errorf("target %s", got)
	}
	var routes []string
	for _, h := range req.GetHeaders("route") {
		routes = append(routes, h.Value())
	}
	if got := strings.Join(routes, " "); got != "<sip:p2;lr> <sip:p1;lr>" {
		t.Errorf("routes %s", got)
	}
	if req.From().Value() != `"Bob" <sip:bob@biloxi.example>;tag=t9` || req.To().Value() != `"Alice" <sip:alice@atlanta.example>;tag=a1` || req.CSeq().Value() != "1 BYE" || req.CallID().Value() != "c1" {
		t.Errorf("request:\n%s", req)
	}
	if d.Request(msg.INFO).CSeq().SeqNo != 2 {
		t.Error("the number does not count up")
	}
}

// RFC 3261 section 12.1.2: the route set of a UAC is reversed. ACK keeps the number of its INVITE, section 13.2.2.4.
// Conforms: RFC 3261 section 12.1.2
func TestUAC(t *testing.T) {
	d, err := UAC(invite(t), answer(t, "Record-Route: <sip:p1;lr>, <sip:p2;lr>", "Contact: <sip:bob@2.2.2.2>"))
	if err != nil {
		t.Fatal(err)
	}
	ack := d.Ack(nil, d.Invite)
	if ack.CSeq().Value() != "314 ACK" || ack.Recipient.String() != "sip:bob@2.2.2.2" || ack.GetHeaders("route")[0].Value() != "<sip:p2;lr>" || ack.To().Params.GetOr("tag", "") != "b1" {
		t.Errorf("ACK:\n%s", ack)
	}
	if r := d.Request(msg.INVITE); r.CSeq().SeqNo != 315 || d.Invite != 315 {
		t.Errorf("re-INVITE %d", r.CSeq().SeqNo)
	}
}

// RFC 3261 section 12.2.1.1: a strict router becomes the Request-URI and the target the last route.
// Conforms: RFC 3261 section 12.2.1.1
func TestStrictRouter(t *testing.T) {
	d, err := UAC(invite(t), answer(t, "Record-Route: <sip:p1;lr>, <sip:strict>", "Contact: <sip:bob@2.2.2.2>"))
	if err != nil {
		t.Fatal(err)
	}
	req := d.Request(msg.BYE)
	var routes []string
	for _, h := range req.GetHeaders("route") {
		routes = append(routes, h.Value())
	}
	if req.Recipient.String() != "sip:strict" || strings.Join(routes, " ") != "<sip:p1;lr> <sip:bob@2.2.2.2>" {
		t.Errorf("%s, routes %v", req.Recipient.String(), routes)
	}
}

// Conforms: RFC 3261 section 12.2.1.2; RFC 6141 section 4.7
func TestTargetRefresh(t *testing.T) {
	d, err := UAS(invite(t, "Contact: <sip:alice@1.1.1.1?X=y>"), "t")
	target := func() string { u := d.Target.Uri(); return u.String() }
	if err != nil || target() != "sip:alice@1.1.1.1" {
		t.Fatal(err, d)
	}
	if err := d.Refresh(invite(t)); err != nil || d.Target.Host() != "1.1.1.1" {
		t.Errorf("a message without Contact: %v, %s", err, d.Target.Host())
	}
	if err := d.Refresh(invite(t, "Contact: <sip:alice@3.3.3.3;x=1>")); err != nil || target() != "sip:alice@3.3.3.3;x=1" {
		t.Errorf("%v %s", err, target())
	}
	if err := d.Refresh(invite(t, "Contact: <mailto:a@b>")); err != nil || d.Target.Host() != "3.3.3.3" {
		t.Errorf("a Contact that is no SIP address was taken: %s", target())
	}
	if d.Request(msg.BYE).Recipient.Host != "3.3.3.3" {
		t.Error("the new target is not used")
	}
}

// Conforms: RFC 3261 section 13.2.2.4
func TestConfirmTakesTheRouteSetAgain(t *testing.T) {
	d, err := UAC(invite(t), answer(t, "Record-Route: <sip:early;lr>", "Contact: <sip:bob@2.2.2.2>"))
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Confirm(answer(t, "Record-Route: <sip:final;lr>", "Contact: <sip:bob@4.4.4.4>")); err != nil {
		t.Fatal(err)
	}
	if d.Routes[0].Host() != "final" || d.Target.Host() != "4.4.4.4" || d.Remote.Tag != "b1" {
		t.Errorf("%+v", d)
	}
}

// Conforms: RFC 3261 section 12.2.2
func TestOrder(t *testing.T) {
	d, err := UAS(invite(t, "Contact: <sip:a@b>"), "t")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		seq  uint32
		want bool
	}{{314, false}, {313, false}, {315, true}, {315, false}, {400, true}, {316, false}} {
		if got := d.InOrder(c.seq); got != c.want {
			t.Errorf("%d: %v", c.seq, got)
		}
	}
	u, err := UAC(invite(t), answer(t, "Contact: <sip:bob@2.2.2.2>"))
	if err != nil || !u.InOrder(1) || u.InOrder(1) {
		t.Error("the first number of a peer is its own choice", err)
	}
}

func TestNoDialog(t *testing.T) {
	if _, err := UAS(invite(t), "t"); !errors.Is(err, ErrNoContact) {
		t.Error(err)
	}
	if _, err := UAC(invite(t), answer(t)); !errors.Is(err, ErrNoContact) {
		t.Error(err)
	}
	res := answer(t, "Contact: <sip:a@b>")
	res.To().Params = nil
	if _, err := UAC(invite(t), res); !errors.Is(err, ErrNoTag) {
		t.Error(err)
	}
	if _, err := UAS(msg.NewRequest(msg.INVITE, msg.Uri{}), "t"); err == nil {
		t.Error("a dialog of nothing")
	}
}

// What a dialog keeps is what it was told, byte for byte, whether it keeps it small or whole, and after it let its messages go.
func TestURIsAreKeptAsTheyWere(t *testing.T) {
	for _, text := range []string{
		"sip:alice@1.1.1.1", "sips:alice@host:5061", "sip:host", "sip:+49301;ext=2@host:5060;user=phone;transport=tcp", "sip:a:secret@host", "tel:+49301;phone-context=x",
		"sip:alice@[2001:db8::1]:5060", "sip:host:65535;lr",
	} {
		var u msg.Uri
		if err := msg.ParseUri(text, &u); err != nil {
			t.Fatal(text, err)
		}
		d := Dialog{CallID: "id", Target: keep(&u), Routes: []URI{keep(&u)}, Local: Name{URI: keep(&u), Tag: "l"}, Remote: Name{Display: "Bob", URI: keep(&u), Tag: "r"}}
		for range 2 {
			for _, k := range []URI{d.Target, d.Routes[0], d.Local.URI, d.Remote.URI} {
				if got := k.Uri(); got.String() != u.String() || k.Host() != u.Host || k.loose() != u.UriParams.Has("lr") {
					t.Errorf("%s became %s, host %q", text, got.String(), k.Host())
				}
			}
			d.Detach()
		}
		if d.CallID != "id" || d.Local.Tag != "l" || d.Remote.Display != "Bob" || d.Remote.Tag != "r" {
			t.Errorf("%+v", d)
		}
	}
	with := msg.Uri{Scheme: "sip", User: "a", Host: "h", Headers: msg.HeaderParams{{K: "X", V: "y"}}}
	k := keep(&with)
	if u := k.Uri(); len(u.Headers) != 0 {
		t.Errorf("headers were kept: %s", u.String())
	}
}

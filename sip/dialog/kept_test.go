package dialog

import (
	"testing"

	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

func uri(t testing.TB, s string) URI {
	t.Helper()
	var u msg.Uri
	if !transport.ParseURI(s, &u) {
		t.Fatal(s)
	}
	return keep(&u)
}

func kept(t testing.TB) *Dialog {
	return &Dialog{
		CallID: "call", Local: Name{Display: "We", URI: uri(t, "sip:we@edge.example"), Tag: "ours"},
		Remote: Name{URI: uri(t, "tel:+4930123;phone-context=+49"), Tag: "theirs"}, LocalSeq: 7, RemoteSeq: 9, Invite: 6, calls: true,
		Routes: []URI{uri(t, "sip:p1.example;lr"), uri(t, "sips:p2.example:5070;lr;x=a%20b")}, Target: uri(t, "sip:far@[2001:db8::1]:5062;transport=tls"),
	}
}

// What matters of a dialog is the requests that it makes.
func TestAKeptDialogMakesTheSameRequests(t *testing.T) {
	for name, d := range map[string]*Dialog{
		"of a call of ours with routes": kept(t),
		"of a peer's call":              {CallID: "x", Local: Name{URI: uri(t, "sip:a@b"), Tag: "l"}, Remote: Name{URI: uri(t, "sip:c@d"), Tag: ""}, Target: uri(t, "sip:c@10.0.0.1")},
	} {
		again, err := Read(d.Append(nil))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, method := range []msg.RequestMethod{msg.INVITE, msg.BYE} {
			if a, b := d.Request(method).String(), again.Request(method).String(); a != b {
				t.Errorf("%s: before\n%s\nafter\n%s", name, a, b)
			}
		}
		if a, b := d.Ack(nil, 6).String(), again.Ack(nil, 6).String(); a != b {
			t.Errorf("%s: before\n%s\nafter\n%s", name, a, b)
		}
		if d.calls != again.calls || d.RemoteSeq != again.RemoteSeq {
			t.Errorf("%s: %+v, want %+v", name, again, d)
		}
	}
}

func TestAKeptDialogNeedsNoMemoryToWrite(t *testing.T) {
	d, room := kept(t), make([]byte, 0, 4096)
	plain := *d
	plain.Remote.URI, plain.Target, plain.Routes = uri(t, "sip:far@far.example"), uri(t, "sip:far@10.0.0.1:5062"), nil // as nearly all are
	if n := testing.AllocsPerRun(100, func() { plain.Append(room) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(kept(f).Append(nil))
	f.Add([]byte{1, 1, 'x', 8, 1, 'y', 12, 7, 's', 'i', 'p', ':', 'h', '\r', '\n'})
	f.Add([]byte("\x01\x01c\b\x01l\f\x06sips:h")) // no more than must be
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, err := Read(raw)
		if err != nil {
			return
		}
		_ = d.Request(msg.BYE).String()
		if _, err := Read(d.Append(nil)); err != nil {
			t.Errorf("what was read is not read again: %v", err)
		}
	})
}

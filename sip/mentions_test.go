package sip

import (
	"strings"
	"testing"

	"github.com/cordonsip/cordon/sip/header"
	msg "github.com/emiago/sipgo/sip"
)

// TestMentions holds that a message mentions a header exactly when a search for it finds one, however it is written.
func TestMentions(t *testing.T) {
	t.Parallel()
	words := map[string]mentions{
		"accept": mentionsAccept, "allow": mentionsAllow, "content-encoding": mentionsEncoding, "session-expires": mentionsInterval, "max-breadth": mentionsBreadth,
		"min-se": mentionsLeast, "recv-info": mentionsPackages, "reason": mentionsReason, "replaces": mentionsReplaces, "require": mentionsRequire,
		"session-id": mentionsSession, "supported": mentionsSupported,
	}
	for _, name := range []string{
		"privacy", "p-asserted-identity", "p-preferred-identity", "diversion", "history-info", "user-to-user", "p-early-media", "identity", "date", "geolocation",
		"geolocation-routing", "resource-priority",
	} {
		words[name] = mentionsCrossing
	}
	others := []msg.Header{
		&msg.ViaHeader{}, &msg.FromHeader{}, &msg.ToHeader{}, &msg.CSeqHeader{}, &msg.ContactHeader{}, new(msg.ContentLengthHeader), &msg.RecordRouteHeader{},
		msg.NewHeader("", "x"), msg.NewHeader("X", ""), msg.NewHeader("Reasons", "x"), msg.NewHeader("Reasom", "x"), msg.NewHeader(strings.Repeat("a", 300), "x"),
	}
	known := 0
	for _, list := range watched {
		known += len(list)
	}
	if want := len(words) + 3; known != want { // and three short forms
		t.Errorf("%d names are watched, want %d", known, want)
	}
	for name, want := range words {
		for _, written := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:], compact(name), strings.ToUpper(compact(name))} {
			if written == "" {
				continue
			}
			req := msg.NewRequest(msg.INVITE, msg.Uri{})
			for _, h := range others {
				if h.Name() != "X" {
					req.AppendHeader(h)
				}
			}
			if got := mentionsOf(req); got != 0 {
				t.Errorf("without %s: %b", name, got)
			}
			req.AppendHeader(msg.NewHeader(written, "y"))
			if got := mentionsOf(req); got != want || !got.any(want) || got.any(^want) || value(req, name) != "y" {
				t.Errorf("%s: %b, want %b; its value is %q", written, got, want, value(req, name))
			}
		}
	}
}

// TestMostSayTheSame holds that what nobody may change is shared by those alone who say nothing, and that trust is told apart.
func TestMostSayTheSame(t *testing.T) {
	t.Parallel()
	n, err := newProfiles([]Party{{Name: "in", Trusted: true}, {Name: "out", Cross: Crossing{Bodies: []string{"text/plain"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range n.byName {
		req := msg.NewRequest(msg.INVITE, msg.Uri{})
		h := hear(req, p, n)
		if h.trusted != p.Trusted || h != &nothing && h != &trusted {
			t.Errorf("%s, silent: %+v", p.Name, h)
		}
		kind, body := header.Join([]header.Part{{Type: header.TypeSDP, Body: []byte("v=0\r\n")}, {Type: "text/plain", Body: []byte("hello")}})
		req.AppendHeader(msg.NewHeader("content-type", kind))
		req.SetBody(body)
		if h := hear(req, p, n); h.trusted != p.Trusted || len(h.parts) != 1 {
			t.Errorf("%s, with a body: %+v", p.Name, h)
		}
		req.AppendHeader(msg.NewHeader("Date", "today"))
		if h := hear(req, p, n); h.trusted != p.Trusted || len(h.parts) != 1 || h.date != "today" {
			t.Errorf("%s, with a header and a body: %+v", p.Name, h)
		}
		if len(nothing.parts) > 0 || len(trusted.parts) > 0 || nothing.date != "" || trusted.date != "" {
			t.Fatal("what all share was written to")
		}
	}
}

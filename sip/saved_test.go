package sip

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/internal/tlv"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/dialog"
	"github.com/cordonsip/cordon/sip/header"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

func TestAKeylessDescriptionIsKept(t *testing.T) {
	for sdp, kept := range map[string]bool{
		"v=0\r\na=mark=1\r\n": true, "": true, "v=0\r\na=crypto:1 X inline:k\r\n": false, "v=0\r\nk=clear:x\r\n": false, "v=0\r\na=key-mgmt:mikey x\r\n": false,
	} {
		if got := keyless([]byte(sdp)); (len(got) == len(sdp)) != kept {
			t.Errorf("%q: kept %q", sdp, got)
		}
	}
}

func TestARecordThatIsBrokenIsToldSo(t *testing.T) {
	for name, raw := range map[string][]byte{
		"nothing": nil, "a version alone": {savedVersion}, "no legs": tlv.String([]byte{savedVersion}, tagID, "s1"),
		"a leg without a dialog": tlv.String(tlv.String([]byte{savedVersion}, tagLegA, "\x01\x01x"), tagLegB, "\x01\x01x"),
	} {
		if _, err := readCall(raw); !errors.Is(err, errSaved) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readCall([]byte{savedVersion + 1}); !errors.Is(err, errSavedVersion) {
		t.Errorf("another version: %v", err)
	}
}

// sample is a call with something of everything that is kept.
func sample(t testing.TB) *call {
	t.Helper()
	e := &Edge{}
	asked := []byte("what media wants to be asked with")
	e.c.Outlive.Save = func(*media.Session) []byte { return asked }
	at := time.Unix(1_800_000_000, 5000)
	r := &sovereign.Ruling{Verdict: sovereign.Permit, Ground: "adequate", Region: region(t, "aws:eu-central-2"), Country: "CH", Standing: sovereign.StandingAdequate}
	c := &call{
		sh: &shard{e: e}, id: "s0123456789abcdefghij", start: at, answer: at.Add(time.Second), party: &Party{Name: "carrier"}, reason: "failover", grant: "g1",
		plan: routing.Plan{Route: "in", Direction: routing.Inbound, Trunk: "carrier", Group: "zrh", Purpose: sovereign.Drill, Drill: "d1", Digest: "d", Generation: 7, Recording: true, OnHold: routing.OnHold{Status: 603}},
		refs: []audit.PartyRef{{Ref: "n-1", Country: "+49"}, {Ref: "n-2"}}, taken: []string{"carrier", "zrh"},
		tried: []audit.Attempt{{Party: "fra", Target: "fra/m1", Verdict: "permit", Ground: "home", At: at, TookMS: 12.5, Result: "503"}, {Party: "zrh", Target: "zrh/m1", Region: "aws:eu-central-2", Country: "CH", At: at, Result: "200", Fallback: "codecs"}},
		moves: []audit.Move{{T: at, Plane: "signalling", Cause: "rebind", Allowed: true}}, transfers: []audit.Transfer{{T: at, By: "b", Result: "answered", Attempts: []audit.Attempt{}}},
		former: []formerLeg{{audit.ReceiptHop{Plane: "signalling", Leg: "b", Evidence: []audit.Evidence{}}, r}},
		ask:    &ask{called: "+4930", user: "+4917", display: "X", session: "5", hidden: true, said: &carried{trusted: true, ids: []header.Identity{{User: "+4917"}}}},
	}
	c.ids.a, c.ids.b = "0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"
	ref := "c-1"
	c.ref.Store(&ref)
	for side := range 2 {
		req, err := transport.Parse([]byte("INVITE sip:+4930@10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TLS 10.1.0.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\nFrom: <sip:+4917@10.1.0.1>;tag=far\r\n" +
			"To: <sip:+4930@10.0.0.1>\r\nCall-ID: one@10.1.0.1\r\nCSeq: 3 INVITE\r\nContact: <sip:10.1.0.1:5061;transport=tls>\r\nRecord-Route: <sip:p.example;lr>\r\nContent-Length: 0\r\n\r\n"))
		if err != nil {
			t.Fatal(err)
		}
		d, err := dialog.UAS(req.(*msg.Request), "ours")
		if err != nil {
			t.Fatal(err)
		}
		l := &leg{
			c: c, side: media.Side(side), party: &Party{Name: "zrh"}, flow: transport.Path(transport.TLS, edgeAddr, carrierAddr), ruling: r, name: "zrh.example", target: "zrh/m1/a",
			callID: d.CallID, tag: "ours", dlg: d, update: true, bare: true, accepts: true, sent: []byte("v=0\r\n"), taken: []byte("c= IP4 10.1.0.1\n"), ways: "10.1.0.1 z9hG4bK1",
			acks: []acknowledged{{3, []byte("v=0\r\nx")}}, takes: []string{"dtmf", "x"}, rtt: time.Millisecond,
			seen:   &transport.PeerIdentity{Version: "1.3", Suite: "s", SPKI: "ab", Names: []string{"a.example", "b.example"}, Verified: true},
			timing: sessionTimer{interval: 600, least: 90, ours: true, over: at.Add(time.Hour)},
		}
		l.known, l.refers, l.replaces = "+4940", 2, true
		if side == 0 {
			c.a = l
		} else {
			c.b = l
		}
	}
	return c
}

// again is a call that was read, with the parties that it names.
func again(s *savedCall, like *call) *call {
	c := s.c
	c.sh, c.party, c.a, c.b = like.sh, &Party{Name: s.party}, s.a.l, s.b.l
	c.ref.Store(&s.ref)
	for _, x := range [...]*savedLeg{&s.a, &s.b} {
		x.l.c, x.l.party, x.l.flow = c, &Party{Name: x.party}, transport.Path(x.proto, x.local, x.remote)
	}
	return c
}

// What was written down and read is written down the same again: nothing is lost on the way.
func TestACallIsReadAsItWasWritten(t *testing.T) {
	c := sample(t)
	raw := append([]byte{savedVersion}, c.append(nil)...)
	s, err := readCall(raw)
	if err != nil {
		t.Fatal(err)
	}
	if back := append([]byte{savedVersion}, again(s, c).append(nil)...); !bytes.Equal(back, raw) {
		t.Errorf("written again it is\n%q\nwant\n%q", back, raw)
	}
	if string(s.media) != "what media wants to be asked with" {
		t.Errorf("read %+v", s)
	}
}

// To write an ordinary call down costs about a microsecond and no memory.
func TestToWriteACallDownNeedsNoMemory(t *testing.T) {
	c := sample(t)
	c.moves, c.transfers, c.former, c.ask.said = nil, nil, nil, &nothing
	for _, l := range [...]*leg{c.a, c.b} {
		l.taken = nil
		l.dlg.Routes = nil
		l.dlg.Retarget(msg.Uri{Scheme: "sip", Host: "10.1.0.1", Port: 5061})
	}
	room := c.append(nil)
	if n := testing.AllocsPerRun(100, func() { room = c.append(room[:0]) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if len(room) > 1500 {
		t.Errorf("%d bytes", len(room))
	}
}

func BenchmarkWriteDown(b *testing.B) {
	c := sample(b)
	c.moves, c.transfers, c.former, c.ask.said = nil, nil, nil, &nothing
	room := c.append(nil)
	b.ReportAllocs()
	for b.Loop() {
		room = c.append(room[:0])
	}
	b.ReportMetric(float64(len(room)), "bytes")
}

// Whatever a record holds, to read it ends no process, and what was read is written and read again.
func FuzzReadCall(f *testing.F) {
	c := sample(f)
	f.Add(append([]byte{savedVersion}, c.append(nil)...))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := readCall(raw)
		if err != nil {
			return
		}
		if _, err := readCall(append([]byte{savedVersion}, again(s, c).append(nil)...)); err != nil {
			t.Error(err)
		}
	})
}

package sip

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/media/clip"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// ear is where the carrier hears, as its description says.
var ear = netip.AddrPortFrom(carrierAddr.Addr(), 30000)

// sentence is 400 ms of sound whose octets say where in it they are.
func sentence() []clip.Clip {
	b := make([]byte, 20*160)
	for i := range b {
		b[i] = byte(i / 16)
	}
	return []clip.Clip{{Codec: clip.PCMA, Size: 160, Bytes: b}}
}

// announces plays f in a world whose calls are held, and in which they hear an announcement.
func announces(t *testing.T, answer bool, lasts time.Duration, f func(w *world)) {
	t.Helper()
	a := media.NewAnnouncement(sentence(), lasts)
	run(t, func(c *Config) { c.Announcements = map[string]Announcement{"r": {a, answer, "file"}} }, func(w *world) {
		w.relay.Stock([]*media.Announcement{a})
		for _, at := range []netip.AddrPort{ear, netip.AddrPortFrom(ear.Addr(), 30002)} {
			c, err := w.carrierHost().ListenUDP(at)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		w.plan = func(r routing.Request) routing.Plan {
			return routing.Plan{Route: "r", Purpose: r.Purpose, Held: true, Announce: true, Refused: []routing.Refused{
				{Party: "iad", Ruling: sovereign.Ruling{Verdict: sovereign.Hold, Ground: sovereign.GroundNoAdequacy}, Ground: sovereign.GroundNoAdequacy},
			}}
		}
		f(w)
	})
}

// audio is what was sent to the caller's ear so far, without headers; anything that left for somewhere else but the carrier's fails.
func (w *world) audio() (n int, sound []byte) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.packets {
		switch {
		case p.From.Addr() != edgeAddr.Addr():
		case p.To == ear && len(p.Data) == 172:
			n, sound = n+1, append(sound, p.Data[12:]...)
		case p.To.Addr() != carrierAddr.Addr():
			w.t.Errorf("a packet left for %s", p.To)
		}
	}
	return n, sound
}

// ended gives the short record of the only call.
func (w *world) ended() audit.CallEnded {
	w.t.Helper()
	all := entries[audit.CallEnded](w, audit.KindCallEnded)
	if len(all) != 1 {
		w.t.Fatalf("%d short records", len(all))
	}
	return all[0]
}

// told holds what the records say of an announcement.
func (w *world) told(want audit.Announced) audit.Receipt {
	w.t.Helper()
	r, e := w.receipt(), w.ended()
	if r.Announced == nil || e.Announced == nil || *r.Announced != want || *e.Announced != want {
		w.t.Errorf("records say %+v and %+v, want %+v", r.Announced, e.Announced, want)
	}
	if r.Overall != "refused_by_policy" {
		w.t.Errorf("overall %q", r.Overall)
	}
	return r
}

// A caller that is held hears the announcement as early media, whole, and then the refusal that it would have had at once.
func TestAHeldCallerHearsAnAnnouncement(t *testing.T) {
	announces(t, false, 0, func(w *world) {
		begun := time.Now()
		w.carrier.invite("held", w.carrier.sdp)
		early := w.carrier.status(183)
		if body := string(early.Body()); !strings.Contains(body, "RTP/AVP 8\r\n") || !strings.Contains(body, "c=IN IP4 10.0.0.1") || has(early, "require") {
			t.Errorf("%s", early)
		}
		res := w.carrier.status(403)
		if took := time.Since(begun); took < 390*time.Millisecond+tail || took > 500*time.Millisecond+tail {
			t.Errorf("the refusal came after %s", took)
		}
		if n, sound := w.audio(); n != 20 || !bytes.Equal(sound, sentence()[0].Bytes) {
			t.Errorf("%d packets of sound", n)
		}
		r := w.told(audit.Announced{Sound: "file", Codec: "PCMA", ForMS: 400, Whole: true})
		if value(res, "reason") != `SIP;cause=403;text="route held for approval"` || value(res, strings.ToLower(receiptHeader)) != r.CallRef {
			t.Errorf("%s", res)
		}
		if r.Outcome.SIPFinal != 403 || !r.TAnswer.IsZero() || len(r.Hops) != 2 || r.Hops[1].Plane != "media" || r.Hops[1].Leg != "a" || r.Hops[1].RemoteAddr != ear.String() {
			t.Errorf("%+v", r)
		}
	})
}

// An answered one begins with the ACK, and ends with BYE and its reasons.
func TestACallIsAnsweredForAnAnnouncement(t *testing.T) {
	announces(t, true, 0, func(w *world) {
		w.carrier.invite("answered", w.carrier.sdp)
		ok := w.carrier.status(200)
		time.Sleep(300 * time.Millisecond)
		if n, _ := w.audio(); n > 0 {
			t.Errorf("%d packets before the ACK", n)
		}
		w.carrier.within(ok, "ACK", 1, "")
		for { // the 200 is repeated until then
			m := w.carrier.read(time.Second)
			if bye, is := m.(*msg.Request); is {
				if got := values(bye, "reason"); bye.Method != msg.BYE || len(got) != 2 || got[0] != `Q.850;cause=21;text="route held for approval"` || got[1] != `SIP;cause=403;text="route held for approval"` {
					t.Errorf("%s", bye)
				}
				w.carrier.reply(bye, 200, "")
				break
			} else if m == nil {
				t.Fatal("no BYE came")
			}
		}
		if n, sound := w.audio(); n != 20 || !bytes.Equal(sound, sentence()[0].Bytes) {
			t.Errorf("%d packets of sound", n)
		}
		r := w.told(audit.Announced{Sound: "file", Codec: "PCMA", Answered: true, ForMS: 400, Whole: true})
		if value(ok, strings.ToLower(receiptHeader)) != r.CallRef || r.Outcome.SIPFinal != 200 || r.Outcome.EndedBy != "edge" || r.Outcome.Q850 != 21 || r.TAnswer.IsZero() {
			t.Errorf("%+v", r)
		}
	})
}

// A caller that hangs up hears nothing more at once, in whatever state the call is.
func TestACallerHangsUpOnAnAnnouncement(t *testing.T) {
	for name, answer := range map[string]bool{"by CANCEL": false, "by BYE": true} {
		t.Run(name, func(t *testing.T) {
			announces(t, answer, time.Minute, func(w *world) {
				invite := w.carrier.invite("gone", w.carrier.sdp)
				if answer {
					ok := w.carrier.status(200)
					w.carrier.within(ok, "ACK", 1, "")
					time.Sleep(105 * time.Millisecond)
					w.carrier.within(ok, "BYE", 2, "")
					w.carrier.status(200)
				} else {
					w.carrier.status(183)
					time.Sleep(105 * time.Millisecond)
					w.carrier.write(strings.NewReplacer("INVITE sip", "CANCEL sip", "1 INVITE", "1 CANCEL").Replace(cutBody(invite)))
					w.carrier.status(200)
					w.carrier.status(487)
				}
				n, _ := w.audio()
				time.Sleep(3 * time.Second)
				if after, _ := w.audio(); n != 5 || after != n {
					t.Errorf("%d packets, and %d of them afterwards", after, after-n)
				}
				r := w.receipt()
				if a := r.Announced; a == nil || a.Whole || a.Answered != answer || a.ForMS < 100 || a.ForMS > 120 || r.Outcome.EndedBy != "a" {
					t.Errorf("%+v %+v", r.Announced, r.Outcome)
				}
			})
		})
	}
}

// cutBody is a request without its body.
func cutBody(raw string) string {
	head, _, _ := strings.Cut(raw, "Content-Type")
	return head + "Content-Length: 0\r\n\r\n"
}

// Who requires reliable provisional responses gets one, repeated until its PRACK; the sound does not wait for it.
func TestAnAnnouncementByAReliableResponse(t *testing.T) {
	announces(t, false, 4*time.Second, func(w *world) {
		w.carrier.invite("rel", w.carrier.sdp, "Require: 100rel", withAllow)
		early := w.carrier.status(183)
		if value(early, "require") != "100rel" || value(early, "rseq") != "1" || len(early.Body()) == 0 {
			t.Errorf("%s", early)
		}
		w.carrier.status(183)
		if n, _ := w.audio(); n < 20 {
			t.Errorf("%d packets after half a second", n)
		}
		w.carrier.within(early, "PRACK", 2, "", "RAck: 1 1 INVITE")
		w.carrier.status(200)
		// A refresh, a move, and what takes the codec away, in its early dialog.
		w.carrier.within(early, "UPDATE", 3, "")
		w.carrier.status(200)
		w.carrier.within(early, "UPDATE", 4, strings.Replace(w.carrier.sdp, "AVP 8 101", "AVP 0", 1))
		w.carrier.status(488)
		w.carrier.within(early, "UPDATE", 5, strings.Replace(w.carrier.sdp, "audio 30000", "audio 30002", 1))
		if res := w.carrier.status(200); !strings.Contains(string(res.Body()), "RTP/AVP 8\r\n") {
			t.Errorf("%s", res)
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		moved := 0
		for _, p := range w.packets {
			if p.To == netip.AddrPortFrom(ear.Addr(), 30002) {
				moved++
			}
		}
		if moved < 4 {
			t.Errorf("%d packets to the new place", moved)
		}
		w.carrier.status(403)
		w.told(audit.Announced{Sound: "file", Codec: "PCMA", ForMS: 4000, Whole: true})
	})
}

// Where nothing can be played the refusal comes at once, as if there were no announcement.
func TestWhoHearsNoAnnouncement(t *testing.T) {
	for name, x := range map[string]struct {
		answer bool
		sdp    func(string) string
		plan   func(*routing.Plan)
	}{
		"no codec":          {false, func(s string) string { return strings.NewReplacer("AVP 8", "AVP 18", "8 PCMA", "18 G729").Replace(s) }, nil},
		"no offer":          {false, func(string) string { return "" }, nil},
		"on hold":           {true, func(s string) string { return strings.Replace(s, "sendrecv", "inactive", 1) }, nil},
		"a held place":      {true, func(s string) string { return strings.Replace(s, "c=IN IP4 10.1.0.1", "c=IN IP4 10.66.0.1", 1) }, nil},
		"a call for help":   {true, func(s string) string { return s }, func(p *routing.Plan) { p.Purpose = sovereign.EmergencyCall }},
		"another route":     {true, func(s string) string { return s }, func(p *routing.Plan) { p.Announce = false }},
		"none of that name": {true, func(s string) string { return s }, func(p *routing.Plan) { p.Route = "other" }},
	} {
		t.Run(name, func(t *testing.T) {
			announces(t, x.answer, 0, func(w *world) {
				if plan := w.plan; x.plan != nil {
					w.plan = func(r routing.Request) routing.Plan {
						p := plan(r)
						x.plan(&p)
						return p
					}
				}
				begun := time.Now()
				w.carrier.invite("none", x.sdp(w.carrier.sdp))
				if res := w.carrier.status(403); !strings.Contains(value(res, "reason"), "held for approval") || time.Since(begun) > 100*time.Millisecond {
					t.Errorf("after %s: %s", time.Since(begun), res)
				}
				if r := w.receipt(); r.Announced != nil {
					t.Errorf("%+v", r.Announced)
				}
				if n, _ := w.audio(); n > 0 {
					t.Errorf("%d packets", n)
				}
			})
		})
	}
}

// A caller without an offer is answered with ours, and its ACK says where it hears.
func TestAnAnnouncementWithoutAnOffer(t *testing.T) {
	announces(t, true, 0, func(w *world) {
		w.carrier.invite("bare", "")
		ok := w.carrier.status(200)
		if !strings.Contains(string(ok.Body()), "RTP/AVP 8\r\n") {
			t.Errorf("%s", ok)
		}
		w.carrier.within(ok, "ACK", 1, w.carrier.sdp)
		bye := w.carrier.request(msg.BYE)
		w.carrier.reply(bye, 200, "")
		if n, sound := w.audio(); n != 20 || !bytes.Equal(sound, sentence()[0].Bytes) {
			t.Errorf("%d packets of sound", n)
		}
		w.told(audit.Announced{Sound: "file", Codec: "PCMA", Answered: true, ForMS: 400, Whole: true})
	})
	announces(t, true, 0, func(w *world) {
		w.carrier.invite("bare", "")
		w.carrier.within(w.carrier.status(200), "ACK", 1, "")
		if bye := w.carrier.request(msg.BYE); !strings.Contains(value(bye, "reason"), "488") {
			t.Errorf("%s", bye)
		} else {
			w.carrier.reply(bye, 200, "")
		}
		if r := w.receipt(); r.Announced != nil {
			t.Errorf("%+v", r.Announced)
		}
	})
}

// What a caller asks in an answered call has no other side: refreshes and moves are dealt with here, digits fall silent, transfers are declined.
func TestRequestsDuringAnAnnouncement(t *testing.T) {
	announces(t, true, 90*time.Second, func(w *world) {
		w.carrier.invite("asks", w.carrier.sdp, "Supported: timer", "Session-Expires: 90;refresher=uac", withAllow)
		ok := w.carrier.status(200)
		if value(ok, "session-expires") != "90;refresher=uac" {
			t.Errorf("%s", ok)
		}
		w.carrier.within(ok, "ACK", 1, "")
		time.Sleep(40 * time.Second)
		w.carrier.within(ok, "UPDATE", 2, "", "Supported: timer", "Session-Expires: 90;refresher=uac")
		w.carrier.status(200)
		w.carrier.within(ok, "INVITE", 3, strings.Replace(w.carrier.sdp, "42 1", "42 2", 1), "Supported: timer", "Session-Expires: 90;refresher=uac")
		if again := w.carrier.status(200); !strings.Contains(string(again.Body()), "RTP/AVP 8\r\n") || value(again, "session-expires") == "" {
			t.Errorf("%s", again)
		}
		w.carrier.within(ok, "ACK", 3, "")
		for i, x := range []struct {
			method, body string
			status       int
			more         []string
		}{
			{"INVITE", "", 488, nil},
			{"INVITE", strings.Replace(w.carrier.sdp, "AVP 8 101", "AVP 18", 1), 488, nil},
			{"INFO", "", 200, nil},
			{"OPTIONS", "", 200, nil},
			{"REFER", "", 603, []string{"Refer-To: <sip:x@edge.example>"}},
			{"MESSAGE", "", 500, nil},
			{"NOTIFY", "", 489, []string{"Event: x"}},
		} {
			w.carrier.within(ok, x.method, 4+i, x.body, x.more...)
			w.carrier.status(x.status)
			if x.method == "INVITE" {
				ack := w.carrier.compose("ACK", "sip:+4930123@edge.example", "asks", 4+i, ok.To().Params.GetOr("tag", ""), "")
				w.carrier.write(strings.Replace(ack, "asksACK", "asksINVITE", 1)) // RFC 3261 section 17.1.1.3
			}
		}
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.told(audit.Announced{Sound: "file", Codec: "PCMA", Answered: true, ForMS: 90000, Whole: true})
	})
}

// The announcement comes after whatever else was tried: a hop that spoke early and then failed is heard no more.
func TestAnAnnouncementBehindAHopThatFailed(t *testing.T) {
	announces(t, false, 0, func(w *world) {
		plan := w.plan
		w.plan = func(r routing.Request) routing.Plan {
			p := plan(r)
			p.Hops = w.hops[:1]
			return p
		}
		w.carrier.invite("behind", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 183, w.fra.sdp)
		first := w.carrier.status(183)
		w.fra.reply(in, 503, "")
		w.fra.request(msg.ACK)
		second := w.carrier.status(183)
		if place(first) == "" || place(first) != place(second) {
			t.Errorf("%s\n%s", first, second)
		}
		w.carrier.status(403)
		w.mu.Lock()
		n := 0
		for _, p := range w.packets {
			if p.To == ear && len(p.Data) == 172 {
				n++
			}
		}
		w.mu.Unlock()
		if n != 20 {
			t.Errorf("%d packets", n)
		}
		w.told(audit.Announced{Sound: "file", Codec: "PCMA", ForMS: 400, Whole: true})
	})
}

// place is the media line of a description, up to its formats.
func place(res *msg.Response) string {
	_, rest, _ := strings.Cut(string(res.Body()), "m=audio ")
	port, _, _ := strings.Cut(rest, " ")
	return port
}

// An end that is never told, say of a media process that does not know announcements, holds no call for ever.
func TestTheEndOfAnAnnouncementGetsLost(t *testing.T) {
	announces(t, false, 0, func(w *world) {
		w.unplayed = true
		begun := time.Now()
		w.carrier.invite("lost", w.carrier.sdp)
		w.carrier.status(183)
		w.carrier.status(403)
		if took := time.Since(begun); took < 400*time.Millisecond+slip || took > time.Second+slip {
			t.Errorf("the refusal came after %s", took)
		}
		if r := w.receipt(); r.Announced == nil || r.Announced.Whole {
			t.Errorf("%+v", r.Announced)
		}
	})
}

// A place that is not permitted any more hears nothing more, and the call ends.
func TestTheLawChangesDuringAnAnnouncement(t *testing.T) {
	for name, answer := range map[string]bool{"early": false, "answered": true} {
		t.Run(name, func(t *testing.T) {
			announces(t, answer, time.Minute, func(w *world) {
				w.carrier.invite("law", w.carrier.sdp)
				if answer {
					w.carrier.within(w.carrier.status(200), "ACK", 1, "")
				} else {
					w.carrier.status(183)
				}
				time.Sleep(105 * time.Millisecond)
				n, _ := w.audio()
				w.fence.Swap(nil)
				time.Sleep(3 * time.Second)
				if after, _ := w.audio(); n != 5 || after != n {
					t.Errorf("%d packets, and %d after that", n, after-n)
				}
				w.fence.Swap(testSnapshot(t))
				if r := w.receipt(); r.Announced == nil || r.Announced.Whole || w.edge.active.Load() != 0 {
					t.Errorf("%+v", r.Announced)
				}
			})
		})
	}
}

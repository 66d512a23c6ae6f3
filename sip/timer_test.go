package sip

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	msg "github.com/emiago/sipgo/sip"
)

// Conforms: RFC 4028 section 9; RFC 4028 section 7.2
func TestEachLegAgreesOnASessionIntervalOfItsOwn(t *testing.T) {
	for name, c := range map[string]struct {
		refresh time.Duration // of the caller's party
		more    []string
		want    string
	}{
		"the caller's interval":                        {0, []string{"Supported: timer", "Session-Expires: 600"}, "600;refresher=uac"},
		"ours, because it is shorter":                  {200 * time.Second, []string{"Supported: timer", "Session-Expires: 600"}, "200;refresher=uac"},
		"never below the caller's Min-SE":              {200 * time.Second, []string{"Supported: timer", "Session-Expires: 600", "Min-SE: 300"}, "300;refresher=uac"},
		"the caller wants us to refresh":               {0, []string{"Supported: timer", "Session-Expires: 600;refresher=uas"}, "600;refresher=uas"},
		"the caller asks for none, we do":              {0, []string{"Supported: timer"}, "1800;refresher=uac"},
		"the caller knows no timer: we refresh":        {200 * time.Second, nil, "200;refresher=uas"},
		"the caller knows no timer and nobody asks":    {0, nil, ""},
		"a short interval of who cannot be told of it": {200 * time.Second, []string{"Session-Expires: 30"}, "90;refresher=uas"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(cfg *Config) { cfg.Parties[0].Refresh = c.refresh }, func(w *world) {
				w.carrier.invite("agree", w.carrier.sdp, c.more...)
				in := w.fra.request(msg.INVITE)
				if got := value(in, "session-expires"); got != "1800" {
					t.Errorf("the other leg asks for %q", got)
				}
				w.fra.reply(in, 200, w.fra.sdp)
				w.fra.request(msg.ACK)
				ok := w.carrier.status(200)
				if got := value(ok, "session-expires"); got != c.want || lists(ok, "require", "timer") != strings.HasSuffix(c.want, "uac") {
					t.Errorf("Session-Expires %q, Require %q", got, value(ok, "require"))
				}
				w.carrier.within(ok, "ACK", 1, "")
				w.end(ok, 2)
			})
		})
	}
}

// Conforms: RFC 4028 section 7.4; RFC 4028 section 10
func TestWeRefreshEitherSideByUpdateWithoutADescription(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("both", w.carrier.sdp, "Supported: timer", withAllow, "Session-Expires: 120;refresher=uas")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp, "Session-Expires: 90;refresher=uas", "Require: timer") // the callee refreshes its own leg
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		start := time.Now()
		time.Sleep(45 * time.Second)
		w.fra.inside(in, "UPDATE", 1, "", "Supported: timer", "Session-Expires: 90;refresher=uac")
		if res := w.fra.status(200); value(res, "session-expires") != "90;refresher=uac" {
			t.Errorf("200:\n%s", res)
		}
		up := w.carrier.request(msg.UPDATE)
		if took := time.Since(start).Round(time.Second); took != 60*time.Second || len(up.Body()) != 0 || value(up, "session-expires") != "120;refresher=uac" {
			t.Errorf("after %v:\n%s", took, up)
		}
		w.carrier.reply(up, 422, "", "Min-SE: 240")
		up = w.carrier.request(msg.UPDATE)
		if value(up, "session-expires") != "240;refresher=uac" || value(up, "min-se") != "240" {
			t.Errorf("after 422:\n%s", up)
		}
		w.carrier.reply(up, 200, "", "Session-Expires: 240;refresher=uac")
		// The callee falls silent: its session expires 60 s later, and both sides hear a BYE.
		bye := w.fra.request(msg.BYE)
		if took := time.Since(start).Round(time.Second); took != 105*time.Second {
			t.Errorf("BYE after %v", took)
		}
		w.fra.reply(bye, 200, "")
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		if r := w.receipt(); r.Outcome.Cause != "session expired" {
			t.Errorf("%+v", r.Outcome)
		}
	})
}

// A refused refresh is tried again, as long as the session lives.
// Conforms: RFC 4028 section 10
func TestARefusedRefreshIsTriedAgainUntilTheSessionExpires(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("refused", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp, "Session-Expires: 90;refresher=uac")
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		start := time.Now()
		at := []time.Duration{}
		for {
			m, _ := w.fra.read(100 * time.Second).(*msg.Request)
			if m == nil {
				t.Fatal("nothing")
			}
			at = append(at, time.Since(start).Round(time.Second))
			if m.Method == msg.BYE {
				w.fra.reply(m, 200, "")
				break
			}
			w.fra.reply(m, 500, "", "Retry-After: 20")
		}
		if len(at) != 4 || at[0] != 45*time.Second || at[1] != 65*time.Second || at[2] != 85*time.Second || at[3] != 90*time.Second {
			t.Errorf("asked, and ended at last, after %v", at)
		}
		w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
		w.receipt()
	})
}

// Conforms: RFC 4028 section 7.3; RFC 4028 section 6
func TestTheMinSEOfA422IsRepeated(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("minse", w.carrier.sdp)
		w.fra.reply(w.fra.request(msg.INVITE), 422, "", "Min-SE: 2400")
		w.fra.request(msg.ACK)
		in := w.fra.request(msg.INVITE)
		if value(in, "session-expires") != "2400" || value(in, "min-se") != "2400" {
			t.Errorf("INVITE:\n%s", in)
		}
		w.fra.reply(in, 422, "", "Min-SE: 2400") // it does not mean what it says
		w.fra.request(msg.ACK)
		w.carrier.status(480)
		w.receipt()
	})
}

// Inside the dialog, too, an interval is too small only for who knows the word.
// Conforms: RFC 4028 section 9
func TestAShortIntervalInsideADialogIs422(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("short")
		for i, method := range []string{"INVITE", "UPDATE"} {
			w.carrier.within(ok, method, 2+i, w.carrier.sdp, "Supported: timer", "Session-Expires: 89")
			res := w.carrier.status(422)
			if value(res, "min-se") != "90" {
				t.Errorf("Min-SE %q", value(res, "min-se"))
			}
			if method == "INVITE" {
				w.carrier.write(reAck(w.carrier, ok, res, 2))
			}
		}
		w.carrier.within(ok, "UPDATE", 4, "", "Session-Expires: 89")
		w.carrier.status(200)
		synctest.Wait()
		w.end(ok, 5)
	})
}

package sip

import (
	"strings"
	"testing"

	"github.com/cordonsip/cordon/media"
	msg "github.com/emiago/sipgo/sip"
)

// mline is the audio line of a request.
func mline(t *testing.T, r *msg.Request) string {
	t.Helper()
	for l := range strings.Lines(string(r.Body())) {
		if strings.HasPrefix(l, "m=audio ") {
			_, formats, _ := strings.Cut(strings.TrimSpace(l), " RTP/")
			return formats
		}
	}
	t.Fatalf("no audio in %q", r.Body())
	return ""
}

// A hop that refuses the first offer gets at most one more, and only one that its own rule permits; the receipt says which.
func TestFallbackAfterARefusedOffer(t *testing.T) {
	for name, c := range map[string]struct {
		security media.Security
		fallback Fallback
		status   int
		want     []string // audio lines that it is offered
		word     string
	}{
		"optional SRTP, nothing said":    {media.SRTPOptional, Fallback{}, 488, []string{"SAVP 8 101", "AVP 8 101"}, "plain"},
		"optional SRTP, 606":             {media.SRTPOptional, Fallback{On488: "plain"}, 606, []string{"SAVP 8 101", "AVP 8 101"}, "plain"},
		"none":                           {media.SRTPOptional, Fallback{On488: "none"}, 488, []string{"SAVP 8 101"}, ""},
		"codecs, without weakening SRTP": {media.SRTPOptional, Fallback{On488: "codecs", Codecs: []string{"PCMA"}}, 488, []string{"SAVP 8 101", "SAVP 8 101"}, "codecs"},
		"mandatory SRTP":                 {media.SRTPRequired, Fallback{}, 488, []string{"SAVP 8 101"}, ""},
		"plain already":                  {media.Plain, Fallback{}, 488, []string{"AVP 8 101"}, ""},
		"another refusal":                {media.SRTPOptional, Fallback{}, 486, []string{"SAVP 8 101"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(conf *Config) {
				conf.Parties[1].Leg.Security, conf.Parties[1].Leg.InsecureLab, conf.Parties[1].Fallback = c.security, true, c.fallback
			}, func(w *world) {
				w.carrier.invite("fallback", w.carrier.sdp)
				for _, want := range c.want {
					in := w.fra.request(msg.INVITE)
					if got := mline(t, in); got != want {
						t.Errorf("offered %q, want %q", got, want)
					}
					w.fra.reply(in, c.status, "")
					w.fra.request(msg.ACK)
				}
				w.carrier.status(c.status)
				r := w.receipt()
				if len(r.Attempts) != len(c.want) || r.Attempts[0].Fallback != "" || r.Attempts[len(r.Attempts)-1].Fallback != c.word {
					t.Errorf("%+v", r.Attempts)
				}
			})
		})
	}
}

// The second offer has the codecs of the fallback alone.
func TestFallbackToFewerCodecs(t *testing.T) {
	run(t, func(c *Config) { c.Parties[1].Fallback = Fallback{On488: "codecs", Codecs: []string{"PCMA"}} }, func(w *world) {
		w.carrier.invite("fewer", body(w.carrier.sdp, "AVP 8 101", "AVP 9 0 8 101"))
		in := w.fra.request(msg.INVITE)
		if got := mline(t, in); got != "AVP 9 0 8 101" {
			t.Errorf("first %q", got)
		}
		w.fra.reply(in, 488, "")
		w.fra.request(msg.ACK)
		in = w.fra.request(msg.INVITE)
		if got := mline(t, in); got != "AVP 8 101" {
			t.Errorf("second %q", got)
		}
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
		w.receipt()
	})
}

// A hop whose codecs leave nothing of the offer is left without a word to it, and the next one is tried in its own order.
func TestAHopWithoutACodecIsLeft(t *testing.T) {
	run(t, func(c *Config) {
		c.Parties[1].Leg.Codecs = media.Codecs{Allow: []string{"G722"}}
		c.Parties[2].Leg.Codecs = media.Codecs{Prefer: []string{"PCMA"}}
	}, func(w *world) {
		w.carrier.invite("left", body(w.carrier.sdp, "AVP 8 101", "AVP 0 8 101"))
		in := w.zrh.request(msg.INVITE)
		if got := mline(t, in); got != "AVP 8 0 101" {
			t.Errorf("offered %q", got)
		}
		w.zrh.reply(in, 486, "")
		w.zrh.request(msg.ACK)
		w.carrier.status(486)
		r := w.receipt()
		if a := r.Attempts; len(a) != 2 || a[0].Result != "no_codec" || !a[0].At.IsZero() || a[1].Result != "486" {
			t.Errorf("%+v", a)
		}
	})
}

// Nobody can take it: the caller hears 488, as it does when it offers what its own trunk may not.
func TestNoCodecAnywhere(t *testing.T) {
	for side, word := range map[int]string{0: "media_488", 1: "no_codec"} {
		run(t, func(c *Config) {
			for i := range c.Parties {
				if min(i, 1) == side {
					c.Parties[i].Leg.Codecs = media.Codecs{Allow: []string{"G722"}}
				}
			}
		}, func(w *world) {
			w.carrier.invite("nowhere", w.carrier.sdp)
			res := w.carrier.status(488)
			if !strings.Contains(value(res, "warning"), "305 ") {
				t.Errorf("Warning %q", value(res, "warning"))
			}
			r := w.receipt()
			if len(r.Attempts) != 2 || r.Attempts[0].Result != word || r.Attempts[1].Result != word {
				t.Errorf("%+v", r.Attempts)
			}
		})
	}
}

func TestAFallbackIsNeverWeakerThanItsParty(t *testing.T) {
	srtp := media.Leg{Codecs: media.Codecs{Deny: []string{"PCMU"}}}
	for name, p := range map[string]Party{
		"plain under mandatory SRTP": {Leg: srtp, Fallback: Fallback{On488: "plain"}},
		"no codecs":                  {Leg: srtp, Fallback: Fallback{On488: "codecs"}},
		"denied codecs":              {Leg: srtp, Fallback: Fallback{On488: "codecs", Codecs: []string{"PCMA", "pcmu"}}},
		"another word":               {Leg: srtp, Fallback: Fallback{On488: "always"}},
	} {
		p.Name = "x"
		if err := new(Edge).Reload([]Party{p}); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// An early answer of the hop before left a codec that the next one does not take: it is offered what the caller offered, and its grant is spent once.
func TestACodecThatAnEarlyAnswerLeftOutIsOfferedAfterAll(t *testing.T) {
	spent := 0
	run(t, func(c *Config) {
		c.Parties[2].Leg.Codecs = media.Codecs{Allow: []string{"PCMU"}}
		c.Spend = func(string) bool { spent++; return true }
		c.Refund = func(string) { spent-- }
	}, func(w *world) {
		w.hops[1].Grant = "live"
		w.carrier.invite("left", strings.NewReplacer("AVP 8 101", "AVP 8 0 101", "a=rtpmap:8", "a=rtpmap:0 PCMU/8000\r\na=rtpmap:8").Replace(w.carrier.sdp), "Require: 100rel", withAllow)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 183, w.fra.sdp)
		w.carrier.within(w.carrier.status(183), "PRACK", 2, "", "RAck: 1 1 INVITE")
		w.carrier.status(200)
		w.fra.reply(in, 503, "")
		w.fra.request(msg.ACK)
		next := w.zrh.request(msg.INVITE)
		if got := mline(t, next); got != "AVP 0 101" {
			t.Errorf("offered %q", got)
		}
		w.zrh.reply(next, 486, "")
		w.zrh.request(msg.ACK)
		w.carrier.status(486)
		r := w.receipt()
		if a := r.Attempts; len(a) != 3 || a[1].Result != "no_codec" || a[2].Result != "486" || a[2].Fallback != "" || spent != 1 {
			t.Errorf("%+v, spent %d", a, spent)
		}
	})
}

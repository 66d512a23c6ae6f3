package media

import (
	"context"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/plane"
)

// Conforms: RFC 3556 section 2
func TestBandwidthOfRTCP(t *testing.T) {
	for name, c := range map[string]struct {
		session, media string
		want           uint32
	}{
		"nothing":                 {"", "", 0},
		"of speech alone":         {"b=AS:64\r\n", "b=TIAS:64000\r\n", 0},
		"both":                    {"", "b=RS:800\r\nb=RR:2400\r\n", 400},
		"none":                    {"", "b=RS:0\r\nb=RR:0\r\n", noControl},
		"none in the session":     {"b=RS:0\r\nb=RR:0\r\n", "", noControl},
		"the section counts":      {"b=RS:0\r\nb=RR:0\r\n", "b=RR:1600\r\n", 200},
		"only those who send":     {"", "b=RS:600\r\nb=RR:0\r\n", 75},
		"one of the two":          {"", "b=RR:0\r\n", 400},
		"one that is more":        {"", "b=RS:8000\r\n", 1000},
		"less than an octet":      {"", "b=RS:0\r\nb=RR:3\r\n", 1},
		"more than anybody needs": {"", "b=RS:18446744073709551615\r\nb=RR:18446744073709551615\r\n", 1 << 30},
	} {
		d, ref := parseSDP([]byte("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\n" + c.session + "t=0 0\r\nm=audio 4000 RTP/AVP 0\r\n" + c.media))
		if ref != nil {
			t.Errorf("%s: %v", name, ref)
		} else if got := d.lines[0].control; got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// TestReportsThatAreAskedFor: who turned RTCP off gets no reports of ours, nor who says that it is nowhere.
func TestReportsThatAreAskedFor(t *testing.T) {
	const after = 10 * time.Second
	l := &leg{s: &Session{r: &Relay{cfg: Config{Reports: after}}}}
	for _, c := range []struct {
		said line
		want plane.Reports
	}{
		{line{}, plane.Reports{After: after}},
		{line{control: 75, dir: inactive}, plane.Reports{After: after, Octets: 75}},
		{line{control: noControl}, plane.Reports{}},
		{line{hold: true}, plane.Reports{}},
	} {
		if got := l.reports(&c.said); got != c.want {
			t.Errorf("%+v: %+v, want %+v", c.said, got, c.want)
		}
	}
	if got := again(savedLines([]line{{control: 75}}), nil)[0].control; got != 75 {
		t.Errorf("a restart makes 75 octets %d", got)
	}
	l.s.r.cfg.Reports = 0
	if got := l.reports(&line{}); got.After != 0 {
		t.Errorf("not asked for: %+v", got)
	}
}

// TestReportsWhereASideSendsNone: what peers say of themselves decides who gets them.
func TestReportsWhereASideSendsNone(t *testing.T) {
	for name, c := range map[string]struct {
		legs  [2]Leg
		extra string // of B's answer
		after time.Duration
		want  [2]bool
	}{
		"plain":           {[2]Leg{plainLeg("carrier"), plainLeg("fra")}, "a=x", 10 * time.Second, [2]bool{true, true}},
		"srtp":            {[2]Leg{srtpLeg("carrier"), srtpLeg("fra")}, "a=x", 10 * time.Second, [2]bool{true, true}},
		"B turned it off": {[2]Leg{plainLeg("carrier"), plainLeg("fra")}, "b=RS:0\r\nb=RR:0", 10 * time.Second, [2]bool{true, false}},
		"only passed on":  {[2]Leg{plainLeg("carrier"), plainLeg("fra")}, "a=x", 0, [2]bool{}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := newTalking(t, c.legs[A], c.legs[B])
				b.relay.cfg.Reports = c.after
				ctx, cancel := context.WithCancel(t.Context())
				over := make(chan error, 1)
				go func() { over <- b.relay.Run(ctx) }()
				defer func() {
					cancel()
					if err := <-over; err != nil {
						t.Error(err)
					}
				}()
				b.b.picks(ok(b.s.Offer(A, b.a.sdp(), c.legs[B]))(t), 0)
				b.a.reads(ok(b.s.Answer(B, b.b.sdp(c.extra)))(t))
				for range 16 {
					b.a.talk(1)
					b.b.talk(1)
					time.Sleep(time.Second)
				}
				for side, p := range []*peer{b.a, b.b} {
					if got := p.got(p.rtcp); (len(got) > 0) != c.want[side] {
						t.Errorf("side %d got %d reports", side, len(got))
					} else if len(got) > 0 && got[0][1] != 200 {
						t.Errorf("side %d got %x", side, got[0])
					}
				}
			})
		})
	}
}

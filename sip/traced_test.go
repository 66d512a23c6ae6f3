package sip

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/trace"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// remembered runs f in a world whose edge has a book.
func remembered(t *testing.T, f func(w *world, b *trace.Book)) {
	t.Helper()
	var b *trace.Book
	run(t, func(c *Config) {
		b = trace.New(trace.Config{})
		c.Trace = b
	}, func(w *world) {
		ctx, cancel := context.WithCancel(context.Background()) // of the bubble
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		defer func() {
			cancel()
			<-done
		}()
		f(w, b)
	})
}

// ladder gives the lines of the only call.
func (w *world) ladder(b *trace.Book, ref string) string {
	w.t.Helper()
	tr, ok := b.Find(ref, 0)
	if !ok {
		w.t.Fatal("the call is not remembered")
	}
	var out []string
	for _, e := range tr.Events {
		line := e.Line
		if e.Kind == "message" {
			way := " in "
			if e.Out {
				way = " out "
			}
			line = e.Party + way + e.Line
			if e.SDP {
				line += " SDP"
			}
		}
		out = append(out, line)
	}
	return strings.Join(out, "\n")
}

func TestACallThatFailsOverIsOneTrace(t *testing.T) {
	remembered(t, func(w *world, b *trace.Book) {
		w.carrier.invite("traced", w.carrier.sdp)
		w.fra.reply(w.fra.request(msg.INVITE), 503, "")
		w.fra.request(msg.ACK)
		in := w.zrh.request(msg.INVITE)
		w.zrh.reply(in, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.zrh.reply(w.zrh.request(msg.BYE), 200, "")
		r := w.receipt()
		got := w.ladder(b, r.CallRef)
		for _, want := range []string{
			"carrier in INVITE SDP\ncarrier out 100 Trying\nattempt: fra ", "fra out INVITE SDP\nfra in 503 ", "fra fra/m1/udp/10.2.0.1:5060: 503\nfailover: zrh ", "fra out ACK\nzrh out INVITE", "zrh out INVITE SDP\nzrh in 200 OK SDP",
			"carrier out 200 OK SDP", "carrier in BYE", "zrh out BYE", "ended by the caller with 200, answered", "zrh in 200 OK",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%q is missing:\n%s", want, got)
			}
		}
		tr, _ := b.Find(r.CallRef, 0)
		if tr.Session != r.Session || tr.Ended.IsZero() || strings.Join(tr.Left, " ") != "carrier" || strings.Join(tr.Right, " ") != "fra zrh" {
			t.Errorf("%q %v %v %v", tr.Session, tr.Ended, tr.Left, tr.Right)
		}
		if uuid, _, _ := strings.Cut(r.Session, ";"); uuid != "" {
			if again, ok := b.Find(uuid, 0); !ok || again.Ref != r.CallRef {
				t.Errorf("not found by its Session-ID %s", r.Session)
			}
		}
		for _, e := range tr.Events {
			for _, no := range []string{"+4930123", "+4917012", "Secret", "<sip:carrier@"} {
				if strings.Contains(e.Text, no) {
					t.Errorf("%q is in clear:\n%s", no, e.Text)
				}
			}
		}
	})
}

func TestAHeldCallSaysWhyInItsTrace(t *testing.T) {
	remembered(t, func(w *world, b *trace.Book) {
		w.plan = func(r routing.Request) routing.Plan {
			return routing.Plan{Route: "r", Trunk: "carrier", Purpose: r.Purpose, Held: true, Refused: []routing.Refused{{
				Party: "fra", Target: "fra-1", Ground: "region_not_allow_listed", Ruling: sovereign.Ruling{Verdict: sovereign.Hold, Ground: "region_not_allow_listed"},
			}}}
		}
		w.carrier.invite("held", w.carrier.sdp)
		w.carrier.status(403)
		r := w.receipt()
		if got := w.ladder(b, r.CallRef); !strings.Contains(got, "fra fra-1 ") || !strings.Contains(got, "held: region_not_allow_listed") || !strings.Contains(got, "carrier out 403") {
			t.Errorf("%s", got)
		}
	})
}

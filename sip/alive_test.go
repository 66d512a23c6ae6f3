package sip

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// endDead makes the called party want the end of calls whose media is dead.
func endDead(c *Config) {
	for i := range c.Parties {
		c.Parties[i].EndDead = c.Parties[i].Name == "fra"
	}
}

// silences are the entries of it, in short.
func (w *world) silences() (out []string) {
	w.t.Helper()
	synctest.Wait()
	for _, e := range entries[audit.MediaSilent](w, audit.KindMediaSilent) {
		word := e.Leg + " " + e.Party + " " + e.State
		if e.Ends {
			word += " ends"
		}
		if e.CallRef == "" || e.T.IsZero() || e.ForMS <= 0 || e.Was == e.State {
			w.t.Errorf("%+v", e)
		}
		out = append(out, word)
	}
	slices.Sort(out) // both sides are told of in one second
	return out
}

func TestSilenceIsToldAndNothingEnds(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("silence")
		time.Sleep(time.Minute)
		if got, want := w.silences(), []string{"a carrier dead", "a carrier silent", "b fra dead", "b fra silent"}; !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		w.end(ok, 2)
		r := w.receipt()
		for _, q := range r.Outcome.Quality {
			if q.SilenceS < 59 || q.SilenceS > 62 || q.Liveness != "dead" {
				t.Errorf("%+v", q)
			}
		}
		if e := entries[audit.CallEnded](w, audit.KindCallEnded); len(e) != 1 || !slices.Equal(e[0].Quality, r.Outcome.Quality) || len(e[0].Quality) != 2 {
			t.Errorf("%+v", e)
		}
	})
}

func TestDeadMediaEndsTheCallWhereThePartyWantsIt(t *testing.T) {
	run(t, endDead, func(w *world) {
		w.up("dead")
		began := time.Now()
		for _, p := range []*peer{w.fra, w.carrier} {
			bye := p.request(msg.BYE)
			if h := bye.GetHeader("Reason"); h == nil || h.Value() != `Q.850;cause=41;text="media is dead"` {
				t.Errorf("%s: %v", p.name, h)
			}
			p.reply(bye, 200, "")
		}
		if d := time.Since(began); d < 30*time.Second || d > 33*time.Second {
			t.Errorf("after %v", d)
		}
		r := w.receipt()
		if got := w.silences(); !slices.Contains(got, "b fra dead ends") || r.Outcome.EndedBy != byEdge || r.Outcome.Q850 != 41 || !strings.Contains(r.Outcome.Cause, "dead") {
			t.Errorf("%q, %+v", got, r.Outcome)
		}
		// The entry comes first.
		all, err := w.log.Entries(t.Context(), 0, 1000)
		if err != nil {
			t.Fatal(err)
		}
		last := slices.IndexFunc(all, func(e audit.Entry) bool {
			return e.Kind == audit.KindMediaSilent && strings.Contains(string(e.Body), `"ends":true`)
		})
		end := slices.IndexFunc(all, func(e audit.Entry) bool { return e.Kind == audit.KindCallEnded })
		if last < 0 || end < last {
			t.Errorf("entry %d, end %d", last, end)
		}
	})
}

func TestACallForHelpOutlivesItsMedia(t *testing.T) {
	run(t, endDead, func(w *world) {
		plan := w.plan
		w.plan = func(r routing.Request) routing.Plan {
			p := plan(r)
			p.Purpose = sovereign.EmergencyCall
			return p
		}
		ok, _ := w.up("help")
		time.Sleep(2 * time.Minute)
		if got := w.silences(); !slices.Contains(got, "b fra dead") {
			t.Errorf("%q", got)
		}
		w.end(ok, 2)
	})
}

func TestMediaThatComesBackKeepsTheCall(t *testing.T) {
	run(t, endDead, func(w *world) {
		ok, in := w.up("back")
		// The called side speaks a word every 20 s: it is silent, and never dead.
		rtp, err := w.fraHost().ListenUDP(netip.AddrPortFrom(fraAddr.Addr(), 30000))
		if err != nil {
			t.Fatal(err)
		}
		defer rtp.Close()
		_, line, _ := strings.Cut(string(in.Body()), "m=audio ")
		port, err := strconv.ParseUint(strings.Fields(line)[0], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		to := netip.AddrPortFrom(edgeAddr.Addr(), uint16(port))
		for seq := range byte(6) {
			if _, err := rtp.WriteToUDPAddrPort(append([]byte{0x80, 8, 0, seq, 0, 0, 0, 0, 0, 0, 0, 7}, make([]byte, 160)...), to); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Second)
		}
		got := w.silences()
		if !slices.Contains(got, "b fra alive") || !slices.Contains(got, "b fra silent") || slices.Contains(got, "b fra dead ends") {
			t.Errorf("%q", got)
		}
		w.end(ok, 2)
	})
}

func TestAHeldCallIsNotDead(t *testing.T) {
	run(t, endDead, func(w *world) {
		ok, _ := w.up("held")
		w.carrier.within(ok, "INVITE", 2, strings.Replace(w.carrier.sdp, "a=sendrecv", "a=sendonly", 1))
		w.fra.reply(w.fra.request(msg.INVITE), 200, strings.Replace(w.fra.sdp, "a=sendrecv", "a=recvonly", 1))
		w.fra.request(msg.ACK)
		w.carrier.status(200)
		w.carrier.within(ok, "ACK", 2, "")
		time.Sleep(5 * time.Minute)
		if got := w.silences(); got != nil {
			t.Errorf("%q", got)
		}
		w.end(ok, 3)
	})
}

package sip

import (
	"bufio"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// A neighbour that is willing to keep its stream warm is told how often, with what begins a dialog or a registration; over UDP it is not.
//
// Conforms: RFC 6223 section 4.4; RFC 6223 section 4.2
func TestWhoOffersToKeepAStreamWarmIsToldHowOften(t *testing.T) {
	run(t, func(c *Config) { partyOf(c, "carrier").Registers = true }, func(w *world) {
		s := dial(w)
		offer := func(raw, param string) string { return strings.Replace(raw, ";rport", ";rport"+param, 1) }
		heard := func(m msg.Message) string { v, _ := m.(*msg.Response).Via().Params.Get("keep"); return v }
		s.write(offer(w.carrier.compose("REGISTER", "sip:edge.example", "reg", 1, "", "", "Contact: <sip:pbx@pbx.example>"), ";keep"))
		if res := s.read(); heard(res) != "120" || res.(*msg.Response).StatusCode != 200 {
			t.Errorf("REGISTER:\n%s", res)
		}
		s.write(offer(w.carrier.compose("OPTIONS", "sip:edge.example", "opt", 1, "", ""), ";keep"))
		if res := s.read(); heard(res) != "" {
			t.Errorf("OPTIONS:\n%s", res)
		}
		s.write(w.carrier.compose("REGISTER", "sip:edge.example", "reg", 2, "", "", "Contact: <sip:pbx@pbx.example>"))
		if res := s.read().(*msg.Response); res.Via().Params.Has("keep") {
			t.Errorf("who offers nothing is told:\n%s", res)
		}
		s.write(offer(w.carrier.compose("INVITE", "sip:+4930@edge.example", "kept", 1, "", w.carrier.sdp), ";keep"))
		in := w.fra.request(msg.INVITE)
		if in.Via().Params.Has("keep") {
			t.Errorf("we offer what we cannot do over UDP: %s", in.Via())
		}
		w.fra.reply(in, 180, "")
		if res := s.read(); heard(res) != "120" {
			t.Errorf("180:\n%s", res)
		}
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := s.read().(*msg.Response)
		if heard(ok) != "120" {
			t.Errorf("200:\n%s", ok)
		}
		uri, tag := ok.Contact().Address, ok.To().Params.GetOr("tag", "")
		s.write(w.carrier.compose("ACK", uri.String(), "kept", 1, tag, ""))
		synctest.Wait()
		s.write(offer(w.carrier.compose("UPDATE", uri.String(), "kept", 2, tag, ""), ";keep"))
		if res := s.read(); heard(res) != "" {
			t.Errorf("inside the dialog:\n%s", res)
		}
		s.write(w.carrier.compose("BYE", uri.String(), "kept", 3, tag, ""))
		s.read()
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.write(offer(w.carrier.compose("REGISTER", "sip:edge.example", "udp", 1, "", "", "Contact: <sip:pbx@pbx.example>"), ";keep"))
		if res := w.carrier.status(200); heard(res) != "" {
			t.Errorf("over UDP:\n%s", res)
		}
		_ = s.nc.Close()
		synctest.Wait()
	})
}

// A source that is held gets no pong, so it is not asked for pings.
func TestAHeldSourceIsNotAskedForPings(t *testing.T) {
	run(t, nil, func(w *world) {
		pass, _ := w.fence.Pass(sovereign.Ask{Party: "carrier", Plane: sovereign.Signalling, Addr: carrierAddr, At: time.Now()})
		f, err := w.edge.tl.Flow(transport.Dest{Proto: transport.TCP, Addr: carrierAddr, Party: "carrier", Pass: pass})
		if err != nil {
			t.Fatal(err)
		}
		for _, held := range []bool{false, true} {
			m, err := transport.Parse([]byte(strings.Replace(w.carrier.compose("INVITE", "sip:112@edge.example", "held", 1, "", ""), ";rport", ";rport;keep", 1)))
			if err != nil {
				t.Fatal(err)
			}
			req := m.(*msg.Request)
			keepTell(req, transport.Incoming{Msg: req, Flow: f, OnlyEmergency: held})
			if v, _ := req.Via().Params.Get("keep"); (v == "") != held {
				t.Errorf("held %v: keep=%q", held, v)
			}
		}
	})
}

// Toward a neighbour whose connection we keep warm we say so, and ping it as often as it answers. The ACK says nothing.
//
// Conforms: RFC 6223 section 4.3; RFC 6223 section 5
func TestWePingAsOftenAsANeighbourWants(t *testing.T) {
	for name, c := range map[string]struct {
		guard    Guard
		answer   string
		offered  bool
		min, max int // pings in five minutes
	}{
		"it answers with a time":       {answer: "15", offered: true, min: 20, max: 25},
		"it leaves the time to us":     {answer: "0", offered: true, min: 12, max: 15},
		"it does not know the word":    {offered: true, min: 12, max: 15},
		"it answers with nonsense":     {answer: "x", offered: true, min: 12, max: 15},
		"we do not ping it":            {guard: Guard{Keepalive: transport.KeepOff}, answer: "15"},
		"what it opened is used, too":  {guard: Guard{Reuse: true}, offered: true, min: 12, max: 15}, // TLS alone
		"it is asked for much at once": {answer: "1", offered: true, min: 29, max: 30},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(cfg *Config) { partyOf(cfg, "fra").Guard = c.guard }, func(w *world) {
				ln := w.fraTCP()
				w.hops = w.hops[:1]
				w.hops[0].Target.Transport = "tcp"
				w.carrier.invite("keep", w.carrier.sdp)
				s := w.taken(ln)
				defer s.nc.Close()
				in := s.read().(*msg.Request)
				v, offered := in.Via().Params.Get("keep")
				if offered != c.offered || v != "" {
					t.Errorf("Via: %s", in.Via())
				}
				if c.answer != "" {
					in.Via().Params.Add("keep", c.answer)
				}
				s.write(rawReply(w.fra, in, 486, ""))
				if ack := s.read().(*msg.Request); ack.Via().Params.Has("keep") {
					t.Errorf("the ACK says keep: %s", ack.Via())
				}
				w.carrier.status(486)
				n, until, b := 0, time.Now().Add(5*time.Minute), make([]byte, 64)
				r := bufio.NewReader(s.nc)
				for {
					_ = s.nc.SetReadDeadline(until)
					got, err := r.Read(b)
					if err != nil {
						break
					}
					n += strings.Count(string(b[:got]), "\r\n\r\n")
				}
				if n < c.min || n > c.max {
					t.Errorf("%d pings in five minutes, want %d to %d", n, c.min, c.max)
				}
			})
		})
	}
}

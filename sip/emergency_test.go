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
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
)

// lawOf is the world's law with another allow-list and the prefixes of these places alone.
func lawOf(t testing.TB, allow string, prefixes ...string) *sovereign.Snapshot {
	t.Helper()
	regions := map[string]string{"10.0.0.0/16": "aws:eu-central-1", "10.1.0.0/16": "aws:eu-central-1", "10.2.0.0/16": "aws:eu-central-1", "10.3.0.0/16": "aws:eu-central-2"}
	var d []sovereign.Declaration
	for _, p := range prefixes {
		d = append(d, sovereign.Declaration{Prefix: p, Region: region(t, regions[p]), Contract: "c"})
	}
	atlas, err := sovereign.NewAtlas(nil, d)
	if err != nil {
		t.Fatal(err)
	}
	fra, zrh := region(t, "aws:eu-central-1"), region(t, "aws:eu-central-2")
	s, err := sovereign.NewSnapshot(sovereign.SnapshotConfig{
		Policy: sovereign.Policy{Home: fra, Allow: []sovereign.Region{region(t, allow)}}, Atlas: atlas,
		Parties: []sovereign.Party{
			{Name: "carrier", Kind: sovereign.KindTrunk, Region: fra}, {Name: "fra", Kind: sovereign.KindGroup, Region: fra}, {Name: "zrh", Kind: sovereign.KindGroup, Region: zrh},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// narrowed holds Frankfurt, where carrier and fra are; denied knows nothing of where the carrier is.
func narrowed(t testing.TB) *sovereign.Snapshot {
	return lawOf(t, "aws:eu-central-2", "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
}

func denied(t testing.TB) *sovereign.Snapshot {
	return lawOf(t, "aws:eu-central-2", "10.0.0.0/16", "10.2.0.0/16", "10.3.0.0/16")
}

// help plans 112 as an emergency call.
func (w *world) help() {
	w.plan = func(r routing.Request) routing.Plan {
		p := routing.Plan{Route: "r", Direction: routing.Inbound, Trunk: "carrier", Purpose: r.Purpose, Hops: w.hops[:1]}
		if r.Called == "112" || r.Service == "urn:service:sos" {
			p.Route, p.Purpose = "emergency:DE", sovereign.EmergencyCall
		}
		return p
	}
}

func (p *peer) dial112(callID string) {
	p.w.t.Helper()
	p.write(p.compose("INVITE", "sip:112@edge.example", callID, 1, "", p.sdp))
}

// The law may change while help is on the line, ringing or up: nothing of the call notices, on either leg and in either direction, until it is hung up.
func TestAnEmergencyCallOutlivesTheLaw(t *testing.T) {
	for name, when := range map[string]string{"while it rings": "ringing", "while it is up": "up"} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.help()
				w.carrier.dial112("sos")
				in := w.fra.request(msg.INVITE)
				w.fra.reply(in, 180, "")
				w.carrier.status(180)
				if when == "ringing" {
					w.fence.Swap(narrowed(t))
					time.Sleep(3 * time.Second)
				}
				w.fra.reply(in, 200, w.fra.sdp)
				w.fra.request(msg.ACK)
				ok := w.carrier.status(200)
				w.carrier.within(ok, "ACK", 1, "")
				synctest.Wait()
				w.carrier.within(ok, "INVITE", 2, testSDP("10.1.0.1", 30010))
				re := w.fra.request(msg.INVITE)
				w.fence.Swap(narrowed(t)) // between a request and its answer
				s := w.media(w.edge)
				for i, side := range s {
					if side != sovereign.EmergencyCall {
						t.Errorf("media of side %d is judged as %s", i, side)
					}
				}
				w.fra.reply(re, 200, w.fra.sdp)
				w.fra.request(msg.ACK)
				ok2 := w.carrier.status(200)
				w.carrier.within(ok2, "ACK", 2, "")
				time.Sleep(5 * time.Second)
				if n := len(w.edge.Calls()); n != 1 {
					t.Fatalf("%d calls are up", n)
				}
				w.fra.inside(in, "UPDATE", 1, "")
				w.fra.status(200)
				w.fra.inside(in, "BYE", 2, "")
				w.fra.status(200)
				w.carrier.reply(w.carrier.request(msg.BYE), 200, "")
				r := w.receipt()
				if r.Purpose != "emergency_call" || r.Outcome.EndedBy != "b" || r.Overall != "compliant" {
					t.Errorf("purpose %s, ended by %s, %s", r.Purpose, r.Outcome.EndedBy, r.Overall)
				}
			})
		})
	}
}

// media gives what the media of the only call's legs is asked for as.
func (w *world) media(e *Edge) (out []sovereign.Purpose) {
	done := make(chan struct{})
	for _, s := range e.shards {
		s.loop.Post(func() {
			for c := range s.calls {
				out = append(out, c.a.media().Purpose, c.b.media().Purpose)
			}
			done <- struct{}{}
		})
		<-done
	}
	return out
}

// Only a denial ends it, and then nothing goes there any more.
func TestADenialEndsAnEmergencyCall(t *testing.T) {
	run(t, nil, func(w *world) {
		w.help()
		w.carrier.dial112("sos")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.fence.Swap(denied(t))
		w.mu.Lock()
		n := len(w.packets)
		w.mu.Unlock()
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.receipt()
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range w.packets[n:] {
			if p.To.Addr() == carrierAddr.Addr() {
				t.Errorf("to the denied carrier: %s", p.Data)
			}
		}
	})
}

// A call for help over a stream keeps its connection, and nobody else's is kept; when it is over the connection falls with the law.
func TestAnEmergencyCallKeepsItsConnection(t *testing.T) {
	run(t, nil, func(w *world) {
		w.help()
		s, other := dial(w), dial(w)
		s.write(w.carrier.compose("INVITE", "sip:112@edge.example", "sos", 1, "", w.carrier.sdp))
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := s.read().(*msg.Response)
		uri, tag := ok.Contact().Address, ok.To().Params.GetOr("tag", "")
		s.write(w.carrier.compose("ACK", uri.String(), "sos", 1, tag, ""))
		synctest.Wait()
		w.fence.Swap(narrowed(t))
		if !other.closes() {
			t.Error("a connection without an emergency call outlived the law")
		}
		time.Sleep(2 * time.Second)
		s.write(w.carrier.compose("OPTIONS", uri.String(), "elsewhere", 1, "", "")) // not its dialog
		s.write(w.carrier.compose("BYE", uri.String(), "sos", 2, tag, ""))
		if res := s.read().(*msg.Response); res.StatusCode != 200 || res.CSeq().MethodName != msg.BYE {
			t.Errorf("got %s", res)
		}
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.receipt()
		time.Sleep(40 * time.Second)
		if !s.closes() {
			t.Error("the connection outlived both the call and the law")
		}
		_, _ = s.nc.Close(), other.nc.Close()
		synctest.Wait()
	})
}

// closes says whether the edge closed the connection without a byte.
func (s *stream) closes() bool {
	_ = s.nc.SetReadDeadline(time.Now().Add(time.Second))
	_, err := s.r.ReadByte()
	ne, timeout := err.(interface{ Timeout() bool })
	return err != nil && (!timeout || !ne.Timeout())
}

// Who calls for help from a place that is held by now is heard, over datagrams and streams, and not one byte goes there for anything else.
// Conforms: RFC 5031 section 4.2
func TestHelpFromAHeldPlace(t *testing.T) {
	t.Run("over datagrams", func(t *testing.T) {
		run(t, nil, func(w *world) {
			w.help()
			w.fence.Swap(narrowed(t))
			w.carrier.invite("ordinary", w.carrier.sdp)
			w.carrier.write(w.carrier.compose("OPTIONS", "sip:edge.example", "options", 1, "", ""))
			w.carrier.write("INVITE sip:112@edge.example SIP/2.0\r\nVia: SIP/2.0/UDP x\r\nFrom: <\r\nTo: x\r\nCall-ID: bad\r\nCSeq: 1 INVITE\r\n\r\n")
			w.carrier.write(w.carrier.compose("CANCEL", "sip:112@edge.example", "ordinary", 1, "", ""))
			w.carrier.write(w.carrier.compose("BYE", "sip:112@edge.example", "sos", 1, "x", ""))
			w.carrier.silent(3 * time.Second)
			w.carrier.dial112("sos")
			w.carrier.dial112("sos") // a retransmission
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 180, "")
			w.carrier.status(180)
			w.carrier.write(w.carrier.compose("OPTIONS", "sip:edge.example", "sos", 5, "", "")) // not of its dialog
			w.fra.reply(in, 200, w.fra.sdp)
			w.fra.request(msg.ACK)
			ok := w.carrier.status(200)
			w.carrier.within(ok, "ACK", 1, "")
			w.carrier.within(ok, "BYE", 2, "")
			w.carrier.status(200)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.helpOnly("sos")
			if r := w.receipt(); r.Purpose != "emergency_call" || r.Hops[0].Ground != string(sovereign.GroundEmergency) {
				t.Errorf("%s %+v", r.Purpose, r.Hops)
			}
			time.Sleep(time.Minute)
			es := entries[audit.IngressRefused](w, audit.KindIngressRefused)
			if len(es) == 0 || es[0].Trunk != "carrier" || es[0].Source != "10.1.0.1" || es[0].Ground != string(sovereign.GroundNotAllowListed) {
				t.Errorf("%+v", es)
			}
			for _, s := range w.edge.shards {
				s.loop.Post(func() {
					if len(s.sos) != 0 || len(s.ends) != 0 {
						t.Errorf("left: %v, %d legs", s.sos, len(s.ends))
					}
				})
			}
			synctest.Wait()
		})
	})
	t.Run("cancelled", func(t *testing.T) {
		run(t, nil, func(w *world) {
			w.help()
			w.fence.Swap(narrowed(t))
			w.carrier.dial112("sos")
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 180, "")
			w.carrier.status(180)
			w.carrier.write(strings.Replace(w.carrier.compose("CANCEL", "sip:112@edge.example", "sos", 1, "", ""), "sosCANCEL1", "sosINVITE1", 1))
			w.carrier.status(200)
			w.carrier.status(487)
			w.fra.reply(w.fra.request(msg.CANCEL), 200, "")
			w.fra.reply(in, 487, "")
			w.fra.request(msg.ACK)
			w.helpOnly("sos")
			w.receipt()
		})
	})
	t.Run("over a stream", func(t *testing.T) {
		run(t, nil, func(w *world) {
			w.help()
			w.fence.Swap(narrowed(t))
			s := dial(w)
			s.write(w.carrier.compose("INVITE", "sip:+4930@edge.example", "ordinary", 1, "", w.carrier.sdp))
			s.write("\r\n\r\n")
			s.write(w.carrier.compose("INVITE", "sip:112@edge.example", "sos", 1, "", w.carrier.sdp))
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 200, w.fra.sdp)
			w.fra.request(msg.ACK)
			ok := s.read().(*msg.Response)
			uri, tag := ok.Contact().Address, ok.To().Params.GetOr("tag", "")
			s.write(w.carrier.compose("ACK", uri.String(), "sos", 1, tag, ""))
			time.Sleep(time.Second)
			w.fra.inside(in, "BYE", 1, "")
			w.fra.status(200)
			bye := s.read().(*msg.Request)
			s.write(msg.NewResponseFromRequest(bye, 200, "OK", nil).String())
			w.receipt()
			w.helpOnly("sos")
			_ = s.nc.Close()
			synctest.Wait()
		})
	})
	t.Run("but not from a denied one", func(t *testing.T) {
		run(t, nil, func(w *world) {
			w.help()
			w.fence.Swap(denied(t))
			w.carrier.dial112("sos")
			w.carrier.silent(3 * time.Second)
			w.fra.silent(time.Second)
		})
	})
}

// helpOnly fails for what went to the carrier and is not of the call; media has no Call-ID and is judged by its own pass.
func (w *world) helpOnly(callID string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, p := range w.packets {
		if p.To.Addr() == carrierAddr.Addr() && len(p.Data) > 0 && p.From == edgeAddr &&
			(!bytes.Contains(p.Data, []byte("\r\nCall-ID: "+callID+"\r\n")) || bytes.Contains(p.Data, []byte("OPTIONS\r\n"))) {
			w.t.Errorf("to a held place:\n%s", p.Data)
		}
	}
}

// A trunk that speaks plain UDP takes a call for help that was asked for by sips: help is not refused for want of TLS.
// Conforms: RFC 5630 section 4; RFC 5031 section 4.2
func TestHelpIsNotRefusedForWantOfTLS(t *testing.T) {
	run(t, nil, func(w *world) {
		w.help()
		w.carrier.write(w.carrier.compose("INVITE", "sips:112@edge.example", "sos", 1, "", w.carrier.sdp))
		in := w.fra.request(msg.INVITE)
		if in.Recipient.Scheme != "sip" || in.Recipient.User != "112" {
			t.Errorf("Request-URI %s", in.Recipient.String())
		}
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
		w.carrier.write(w.carrier.compose("INVITE", "sips:+4930@edge.example", "ordinary", 1, "", w.carrier.sdp))
		w.carrier.status(480)
	})
}

// With no other way left a call for help is not given up because its trunk is slow; with one, it goes there as fast as any call.
func TestHelpWaitsForItsLastWay(t *testing.T) {
	run(t, nil, func(w *world) {
		w.plan = func(routing.Request) routing.Plan {
			return routing.Plan{Route: "emergency:DE", Purpose: sovereign.EmergencyCall, Hops: w.hops}
		}
		w.carrier.dial112("sos")
		began := time.Now()
		w.fra.request(msg.INVITE)
		in := w.zrh.request(msg.INVITE)
		if d := time.Since(began); d > 2100*time.Millisecond {
			t.Errorf("the next way was tried after %s", d)
		}
		time.Sleep(10 * time.Second)
		w.zrh.reply(in, 486, "")
		for w.zrh.read(100*time.Millisecond) != nil { // its own retransmissions, and the ACK
		}
		w.carrier.status(486)
	})
}

// The pass that answers an inbound source asks the question that its calls are asked: with the keys that its signalling carries.
func TestTheWayBackIsJudgedWithKeys(t *testing.T) {
	run(t, func(c *Config) { c.Parties[0].Keys = true }, func(w *world) {
		w.up("keys")
		var asks []sovereign.Ask
		for _, s := range w.edge.shards {
			s.loop.Post(func() {
				for c := range s.calls {
					asks = append(asks, c.a.flow.Pass().Ask())
				}
			})
			synctest.Wait()
		}
		if len(asks) != 1 || !asks[0].Keys || asks[0].Party != "carrier" {
			t.Errorf("%+v", asks)
		}
	})
}

// What nothing answered is not repeated once nobody waits for it.
func TestAnAbandonedInviteIsNotRepeated(t *testing.T) {
	run(t, nil, func(w *world) {
		w.carrier.invite("quiet", w.carrier.sdp)
		in := w.zrh.request(msg.INVITE) // fra said nothing for two seconds
		w.zrh.reply(in, 486, "")
		w.zrh.request(msg.ACK)
		w.carrier.status(486)
		given := time.Now()
		time.Sleep(40 * time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, p := range w.packets {
			if p.To == fraAddr && p.At.After(given) {
				t.Errorf("%s after it was given up:\n%s", p.At.Sub(given), p.Data)
			}
		}
	})
}

// What a far end is called in records is the name in its certificate that made it the party, wherever it stands there.
func TestFarName(t *testing.T) {
	seen := &transport.PeerIdentity{Verified: true, Names: []string{"sbc.example", "sip:Carrier.example", "fra.example"}}
	for _, c := range []struct {
		want string
		leg  *leg
	}{
		{"carrier.example", &leg{side: media.A, name: "carrier", party: &Party{Peers: []string{"carrier.example"}}, seen: seen}},
		{"sbc.example", &leg{side: media.A, name: "carrier", party: &Party{}, seen: seen}},
		{"fra.example", &leg{side: media.B, target: "t", name: "fra.example", party: &Party{}, seen: seen}},
		{"carrier.example", &leg{side: media.B, target: "t", name: "10.2.0.1", party: &Party{TLS: &transport.TLSProfile{ServerName: "carrier.example"}}, seen: seen}},
		{"carrier.example", &leg{side: media.B, target: "t", name: "10.2.0.1", party: &Party{TLS: &transport.TLSProfile{Peers: []string{"carrier.example"}}}, seen: seen}},
		{"fra", &leg{side: media.B, target: "t", name: "fra", party: &Party{}, seen: &transport.PeerIdentity{Names: []string{"forged.example"}}}},
		{"fra", &leg{side: media.B, target: "t", name: "fra", party: &Party{}}},
	} {
		if got := c.leg.farName(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// A probe's round trip bounds the distance better than an INVITE's.
func TestShortestRoundTrip(t *testing.T) {
	run(t, func(c *Config) {
		c.RTTMin = func(id string) time.Duration {
			if strings.HasPrefix(id, "fra") {
				return 3 * time.Millisecond
			}
			return 0
		}
	}, func(w *world) {
		w.net.Link(netip.PrefixFrom(fraAddr.Addr(), 32), netip.PrefixFrom(edgeAddr.Addr(), 32), linkOf(20*time.Millisecond))
		ok, _ := w.up("rtt")
		w.end(ok, 2)
		if r := w.receipt(); r.Hops[1].RTTMinMS != 3 || r.Hops[1].MaxDistanceKM != 300 {
			t.Errorf("%+v", r.Hops[1])
		}
	})
}

// A receipt names the incident that the call fell into, and asks for it with its parties and times.
func TestAReceiptNamesItsIncident(t *testing.T) {
	run(t, func(c *Config) {
		c.Incident = func(r *audit.Receipt) string {
			if r.Trunk != "carrier" || r.EdgeGroup != "fra" || r.TInvite.IsZero() || r.TEnd.Before(r.TInvite) || len(r.Attempts) != 1 {
				return "asked with too little"
			}
			return "edge-1-20261120-1"
		}
	}, func(w *world) {
		ok, _ := w.up("incident")
		w.end(ok, 2)
		if r := w.receipt(); r.Incident != "edge-1-20261120-1" {
			t.Errorf("%q", r.Incident)
		}
	})
}

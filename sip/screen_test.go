package sip

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/sovereign"
	msg "github.com/emiago/sipgo/sip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// Conforms: RFC 3261 section 8.2; RFC 3261 section 8.2.2.1; RFC 3261 section 8.2.2.3
func TestScreenOfInvites(t *testing.T) {
	for name, c := range map[string]struct {
		edit   func(raw string) string
		status int
		header string
		value  string
	}{
		"Max-Forwards 0":  {func(s string) string { return strings.Replace(s, "Max-Forwards: 70", "Max-Forwards: 0", 1) }, 483, "", ""},
		"unknown Require": {func(s string) string { return strings.Replace(s, "Max-Forwards: 70", "Require: 100rel, foo, bar", 1) }, 420, "unsupported", "foo, bar"},
		"another scheme": {func(s string) string {
			return strings.Replace(s, "INVITE sip:+4930123@edge.example", "INVITE http://x.example", 1)
		}, 416, "", ""},
		"another body":    {func(s string) string { return strings.Replace(s, "application/sdp", "text/plain", 1) }, 415, "accept", "application/sdp"},
		"an encoded body": {func(s string) string { return strings.Replace(s, "Max-Forwards: 70", "Content-Encoding: gzip", 1) }, 415, "accept", "application/sdp"},
		"no Contact":      {func(s string) string { return strings.Replace(s, "Contact:", "X-Contact:", 1) }, 400, "", ""},
		"a short session": {func(s string) string {
			return strings.Replace(s, "Max-Forwards: 70", "Supported: timer\r\nSession-Expires: 30", 1)
		}, 422, "min-se", "90"},
		"an unknown method": {func(s string) string { return strings.ReplaceAll(s, "INVITE", "FROB") }, 405, "allow", allowed},
		"REGISTER":          {func(s string) string { return strings.ReplaceAll(s, "INVITE", "REGISTER") }, 405, "allow", allowed},
		"a dialog of nobody": {func(s string) string {
			return strings.Replace(s, "To: <sip:+4930123@edge.example>", "To: <sip:+4930123@edge.example>;tag=x", 1)
		}, 481, "", ""},
		"BYE without a tag":   {func(s string) string { return strings.ReplaceAll(s, "INVITE", "BYE") }, 481, "", ""},
		"OPTIONS":             {func(s string) string { return strings.ReplaceAll(s, "INVITE", "OPTIONS") }, 200, "supported", supported},
		"SDP that means none": {func(s string) string { return strings.Replace(s, "m=audio", "m=video", 1) }, 488, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, nil, func(w *world) {
				w.carrier.write(c.edit(w.carrier.compose("INVITE", "sip:+4930123@edge.example", "screen", 1, "", w.carrier.sdp)))
				res := w.carrier.status(c.status)
				if c.header != "" && value(res, c.header) != c.value {
					t.Errorf("%s is %q, want %q", c.header, value(res, c.header), c.value)
				}
				w.fra.silent(time.Second)
			})
		})
	}
}

// Conforms: RFC 7332 section 4; RFC 3261 section 8.2.2.2; RFC 7989 section 6
func TestLoops(t *testing.T) {
	run(t, nil, func(w *world) {
		id := "Session-ID: 0123456789abcdef0123456789abcdef;remote=00000000000000000000000000000000"
		w.carrier.invite("loop", w.carrier.sdp, id)
		in := w.fra.request(msg.INVITE)
		if got := value(in, "session-id"); !strings.HasPrefix(got, "0123456789abcdef0123456789abcdef;remote=0") {
			t.Errorf("Session-ID %q", got)
		}
		// The other side sends our own INVITE back, with its Call-ID.
		w.fra.write(w.fra.compose("INVITE", "sip:+4930123@edge.example", in.CallID().Value(), 1, "", w.fra.sdp))
		w.fra.status(482)
		// Or it changed everything but the session and who is called.
		w.fra.invite("other", w.fra.sdp, id)
		w.fra.status(482)
		// The same session calling somebody else is a forward and no loop.
		w.fra.write(strings.Replace(w.fra.compose("INVITE", "sip:+4940@edge.example", "hairpin", 1, "", w.fra.sdp, id), "x", "x", 1))
		second := w.fra.request(msg.INVITE)
		w.fra.reply(second, 486, "")
		w.fra.request(msg.ACK)
		w.fra.status(486)
		// One request by two paths: RFC 3261 section 8.2.2.2.
		raw := w.carrier.compose("INVITE", "sip:+4930123@edge.example", "loop", 1, "", w.carrier.sdp, id)
		w.carrier.write(strings.Replace(raw, "branch=z9hG4bK", "branch=z9hG4bKother", 1))
		w.carrier.status(482)
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
		time.Sleep(40 * time.Second)
	})
}

func TestStrangers(t *testing.T) {
	for mode, want := range map[string]int{"silence": 0, "403": 403} {
		run(t, func(c *Config) { c.Stranger = mode }, func(w *world) {
			p := w.peer("stranger", netip.MustParseAddrPort("10.0.200.1:5060")) // in a permitted place, but nobody declared it
			defer p.conn.Close()
			p.invite("stranger", p.sdp)
			if want == 0 {
				p.silent(time.Second)
			} else {
				p.status(want)
			}
			for range 20 {
				p.invite("again", p.sdp)
			}
			time.Sleep(30 * time.Second)
			es := entries[audit.IngressRefused](w, audit.KindIngressRefused)
			if len(es) == 0 || len(es) > 5 || es[0].Source != "10.0.200.1" || es[0].Ground != string(sovereign.GroundUnknownParty) {
				t.Errorf("%s: %d events: %+v", mode, len(es), es)
			}
		})
	}
}

// What was refused since the last group is in the log before the edge has ended.
func TestTheLastRefusalsAreLogged(t *testing.T) {
	var ended *world
	run(t, func(c *Config) { c.Stranger = "silence" }, func(w *world) {
		ended = w
		p := w.peer("stranger", netip.MustParseAddrPort("10.0.200.1:5060"))
		defer p.conn.Close()
		for range 3 {
			p.invite("stranger", p.sdp)
			p.silent(time.Second)
		}
	})
	sum := uint64(0)
	for _, e := range entries[audit.IngressRefused](ended, audit.KindIngressRefused) {
		sum += e.Count
	}
	if sum != 3 {
		t.Errorf("%d of 3 refusals are in the log", sum)
	}
}

// A trunk whose requests come from a place that the policy holds is not listened to.
func TestIngressIsJudged(t *testing.T) {
	run(t, func(c *Config) {
		c.Parties[0].Sources = append(c.Parties[0].Sources, netip.MustParsePrefix("10.66.0.0/24"))
		c.Parties = c.Parties[:3]
	}, func(w *world) {
		p := w.peer("abroad", iadAddr)
		defer p.conn.Close()
		p.invite("abroad", p.sdp)
		p.silent(2 * time.Second)
		es := entries[audit.IngressRefused](w, audit.KindIngressRefused)
		if len(es) != 1 || es[0].Trunk != "carrier" || es[0].Source != "10.66.0.1" {
			t.Errorf("%+v", es)
		}
	})
}

// Conforms: RFC 3261 section 21.5.4
func TestRateAndLimits(t *testing.T) {
	t.Run("rate per source", func(t *testing.T) {
		run(t, func(c *Config) { c.RatePerSource = 2 }, func(w *world) {
			got := map[int]int{}
			for i := range 5 {
				w.carrier.invite("rate"+itoa(i), w.carrier.sdp)
			}
			for {
				m := w.carrier.read(100 * time.Millisecond)
				if m == nil {
					break
				}
				if r := m.(*msg.Response); r.StatusCode != 100 || value(r, "retry-after") != "" {
					got[r.StatusCode]++
				}
			}
			if got[503] == 0 || len(entries[audit.CallEnded](w, audit.KindCallEnded)) != 0 {
				t.Errorf("%v", got)
			}
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 486, "")
			w.fra.reply(w.fra.request(msg.INVITE), 486, "")
			time.Sleep(time.Minute)
		})
	})
	for why, c := range map[string]struct {
		tune  func(*Config)
		begin func(w *world) (end func())
	}{
		"lag": {nil, func(w *world) func() { // a loop that is behind
			for _, s := range w.edge.shards {
				s.loop.Post(func() { time.Sleep(time.Second) })
			}
			return func() {}
		}},
		"calls":       {func(c *Config) { c.MaxCalls = 1 }, oneUp},
		"party_calls": {func(c *Config) { c.Parties[0].MaxCalls = 1 }, oneUp},
		"draining": {nil, func(w *world) func() {
			w.edge.draining.Store(true)
			return func() {}
		}},
	} {
		t.Run("no room: "+why, func(t *testing.T) {
			reg := prometheus.NewRegistry()
			run(t, func(cfg *Config) {
				cfg.Metrics = reg
				if c.tune != nil {
					c.tune(cfg)
				}
			}, func(w *world) {
				end := c.begin(w)
				w.carrier.invite("two", w.carrier.sdp)
				if r := w.carrier.status(503); value(r, "retry-after") == "" {
					t.Error("503 without Retry-After")
				}
				const name = "cordon_sip_turned_away_total"
				want := "# HELP " + name + " New calls for which there was no room, by reason: rate, lobby, lag, calls, party_calls, draining.\n# TYPE " + name + " counter\n" +
					name + "{reason=\"" + why + "\"} 1\n"
				if err := testutil.GatherAndCompare(reg, strings.NewReader(want), name); err != nil {
					t.Error(err)
				}
				end()
			})
		})
	}
	t.Run("a full hop is passed over", func(t *testing.T) {
		run(t, func(c *Config) { c.Parties[1].MaxCalls = 1 }, func(w *world) {
			ok, _ := w.up("one")
			w.carrier.invite("two", w.carrier.sdp)
			in := w.zrh.request(msg.INVITE)
			w.zrh.reply(in, 486, "")
			w.zrh.request(msg.ACK)
			w.carrier.status(486)
			w.carrier.within(ok, "BYE", 2, "")
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			time.Sleep(time.Minute)
		})
	})
}

// oneUp is a call that is up.
func oneUp(w *world) (end func()) {
	ok, _ := w.up("one")
	return func() { w.end(ok, 2) }
}

// Emergency calls pass limits, drain and a log that is down.
// Conforms: RFC 5031 section 4.2
func TestEmergency(t *testing.T) {
	run(t, func(c *Config) {
		c.MaxCalls = 1
		c.RatePerSource = 1
		c.Log = downLog{c.Log}
		c.Intents = downIntents{c.Intents}
	}, func(w *world) {
		w.plan = func(r routing.Request) routing.Plan {
			p := routing.Plan{Route: "r", Hops: w.hops, Purpose: r.Purpose}
			if r.Called == "112" || r.Service == "urn:service:sos" {
				p.Purpose = sovereign.EmergencyCall
			}
			return p
		}
		w.edge.draining.Store(true)
		w.carrier.invite("ordinary", w.carrier.sdp)
		w.carrier.status(503)
		for i, uri := range []string{"sip:112@edge.example", "urn:service:sos", "tel:112"} {
			w.carrier.write(w.carrier.compose("INVITE", uri, "sos"+itoa(i), 1, "", w.carrier.sdp))
			in := w.fra.request(msg.INVITE)
			if i == 1 && in.Recipient.String() != "urn:service:sos" {
				t.Errorf("Request-URI %s", in.Recipient.String())
			}
			w.fra.reply(in, 486, "")
			w.fra.request(msg.ACK)
			w.carrier.status(486)
		}
		w.edge.draining.Store(false)
		time.Sleep(time.Minute)
		for w.carrier.read(time.Second) != nil { // refusals that nobody acknowledged
		}
		w.carrier.invite("ordinary2", w.carrier.sdp)
		if r := w.carrier.status(403); !strings.Contains(value(r, "reason"), "cannot be recorded") {
			t.Errorf("Reason %q", value(r, "reason"))
		}
	})
}

type downLog struct{ audit.Log }

func (downLog) Health() audit.Health { return audit.Health{} }

type downIntents struct{ audit.Intents }

func (downIntents) BeginAsync(_ string, _ time.Time, done func(error)) { done(audit.ErrLogDown) }

// hungIntents never answers.
type hungIntents struct{ audit.Intents }

func (hungIntents) BeginAsync(string, time.Time, func(error)) {}

// A call does not wait longer for a disk that hangs than it may: an ordinary one is refused, and one for help goes on.
func TestIntentHangs(t *testing.T) {
	run(t, func(c *Config) { c.Intents = hungIntents{c.Intents} }, func(w *world) {
		w.plan = func(r routing.Request) routing.Plan {
			p := routing.Plan{Route: "r", Hops: w.hops, Purpose: r.Purpose}
			if r.Called == "112" {
				p.Purpose = sovereign.EmergencyCall
			}
			return p
		}
		start := time.Now()
		w.carrier.invite("ordinary", w.carrier.sdp)
		if r := w.carrier.status(403); !strings.Contains(value(r, "reason"), "cannot be recorded") || time.Since(start).Round(100*time.Millisecond) != recordWithin {
			t.Errorf("after %v: Reason %q", time.Since(start), value(r, "reason"))
		}
		start = time.Now()
		w.carrier.write(w.carrier.compose("INVITE", "sip:112@edge.example", "sos", 1, "", w.carrier.sdp))
		in := w.fra.request(msg.INVITE)
		if d := time.Since(start); d > 200*time.Millisecond {
			t.Errorf("a call for help waited %v for the disk", d)
		}
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
		time.Sleep(time.Minute)
	})
}

func TestLogFailure(t *testing.T) {
	run(t, func(c *Config) {
		c.OnLogFailure = continueWithGap
		c.Log = downLog{c.Log}
	}, func(w *world) {
		gated := w.hop("zrh", zrhAddr)
		gated.Grant = "live"
		w.hops = []routing.Hop{gated, w.hop("fra", fraAddr)}
		ok, _ := w.up("gap") // the gated hop was left out, the permitted one goes on
		w.end(ok, 2)
		if len(w.spent) != 0 {
			t.Error("a grant was spent without a log")
		}
	})
}

// Conforms: RFC 3261 section 11.2; RFC 3261 section 21.5.4
func TestDrain(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("drain")
		done := make(chan error, 1)
		go func() { done <- w.edge.Drain(w.t.Context()) }()
		synctest.Wait()
		w.carrier.write(strings.ReplaceAll(w.carrier.compose("OPTIONS", "sip:edge.example", "o", 1, "", ""), "x", "x"))
		w.carrier.status(503)
		w.carrier.invite("new", w.carrier.sdp)
		w.carrier.status(503)
		select {
		case <-done:
			t.Error("drained with a call up")
		default:
		}
		w.end(ok, 2)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Conforms: RFC 3261 section 11
func TestProbe(t *testing.T) {
	run(t, nil, func(w *world) {
		w.net.Link(netip.PrefixFrom(fraAddr.Addr(), 32), netip.PrefixFrom(edgeAddr.Addr(), 32), linkOf(20*time.Millisecond))
		type result struct {
			s   healthcheck.Sample
			err error
		}
		probe := func(h routing.Hop, within time.Duration) chan result {
			out := make(chan result, 1)
			go func() {
				ctx, cancel := context.WithTimeout(w.t.Context(), within)
				defer cancel()
				s, err := w.edge.Probe(ctx, h.Target)
				out <- result{s, err}
			}()
			return out
		}
		r := probe(w.hops[0], time.Second)
		o := w.fra.request(msg.OPTIONS)
		if o.Recipient.String() != "sip:fra.example;transport=udp" || o.MaxForwards().Val() != 70 {
			t.Errorf("OPTIONS:\n%s", o)
		}
		w.fra.reply(o, 503, "")
		if got := <-r; got.err != nil || got.s.Status != 503 || got.s.RTT != 20*time.Millisecond {
			t.Errorf("%+v", got)
		}
		start := time.Now()
		if got := <-probe(w.hops[0], time.Second); got.err == nil || time.Since(start) != time.Second {
			t.Errorf("silence: %+v after %v", got, time.Since(start))
		}
		w.net.Refuse(netip.MustParsePrefix("10.3.0.0/16"))
		start = time.Now()
		if got := <-probe(w.hops[1], time.Second); !errors.Is(got.err, transport.ErrRefused) || time.Since(start) > 10*time.Millisecond {
			t.Errorf("refused: %v after %v", got.err, time.Since(start))
		}
		h := w.hops[1]
		h.Target.Transport = "tcp"
		if got := <-probe(h, time.Second); got.err == nil {
			t.Error("a refused TCP port answered")
		}
		if got := <-probe(w.hop("iad", iadAddr), time.Second); !errors.Is(got.err, sovereign.ErrFenced) {
			t.Errorf("held: %v", got.err)
		}
		for _, p := range w.packets {
			if p.To.Addr() == iadAddr.Addr() {
				t.Error("a held target was contacted")
			}
		}
	})
}

func TestSyntheticCall(t *testing.T) {
	run(t, nil, func(w *world) {
		type result struct {
			r   SyntheticResult
			err error
		}
		out := make(chan result, 1)
		go func() {
			r, err := w.edge.Place(w.t.Context(), Synthetic{From: "carrier", Called: "+4930", Purpose: sovereign.SyntheticProbe, Hold: 5 * time.Second})
			out <- result{r, err}
		}()
		w.fra.reply(w.fra.request(msg.INVITE), 503, "")
		w.fra.request(msg.ACK)
		in := w.zrh.request(msg.INVITE)
		if in.Recipient.User != "+4930" {
			t.Errorf("Request-URI %s", in.Recipient.String())
		}
		w.zrh.reply(in, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		bye := w.zrh.request(msg.BYE)
		w.zrh.reply(bye, 200, "")
		got := <-out
		if got.err != nil || got.r.Status != 200 || len(got.r.Hops) != 2 || got.r.CallRef == "" || got.r.Tone.Sent < 200 {
			t.Errorf("%+v", got)
		}
		r := w.receipt()
		if r.Purpose != "synthetic_probe" || r.CallRef != got.r.CallRef || len(r.Hops) != 2 || r.Hops[1].Plane != "media" {
			t.Errorf("%+v", r)
		}
		if _, err := w.edge.Place(w.t.Context(), Synthetic{From: "nobody"}); err == nil {
			t.Error("placed for nobody")
		}
	})
}

// Conforms: RFC 3261 section 22.2
func TestDigestTowardACarrier(t *testing.T) {
	run(t, func(c *Config) {
		c.Parties[1].Auth = &Credentials{User: "u", Realm: "r", Password: func() string { return "p" }}
	}, func(w *world) {
		w.carrier.invite("auth", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 407, "", `Proxy-Authenticate: Digest realm="r", nonce="n1", qop="auth", algorithm=MD5`, `Proxy-Authenticate: Digest realm="r", nonce="n1", qop="auth", algorithm=SHA-256`)
		w.fra.request(msg.ACK)
		again := w.fra.request(msg.INVITE)
		h := value(again, "proxy-authorization")
		if !strings.Contains(h, "algorithm=SHA-256") || !strings.Contains(h, "nc=00000001") || again.CallID().Value() != in.CallID().Value() || again.CSeq().SeqNo != 2 {
			t.Errorf("second INVITE:\n%s", again)
		}
		w.fra.reply(again, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		bye := w.fra.request(msg.BYE)
		w.fra.reply(bye, 407, "", `Proxy-Authenticate: Digest realm="r", nonce="n1", qop="auth", algorithm=SHA-256, stale=true`)
		bye2 := w.fra.request(msg.BYE)
		if !strings.Contains(value(bye2, "proxy-authorization"), "nc=00000002") || bye2.CSeq().SeqNo != bye.CSeq().SeqNo+1 {
			t.Errorf("second BYE:\n%s", bye2)
		}
		w.fra.reply(bye2, 200, "")
		r := w.receipt()
		if len(r.Attempts) != 1 {
			t.Errorf("a challenge counted as an attempt: %+v", r.Attempts)
		}
	})
}

// Conforms: RFC 3325 section 5; RFC 3323 section 4.1; RFC 3966 section 3
func TestIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		trustA, trustB bool
		headers        []string
		pai, from      string
	}{
		"both trusted":              {true, true, []string{"P-Asserted-Identity: <sip:+49301@a.secret>", "Privacy: id"}, "<sip:+49301@fra.example>", "+4917012@fra.example"},
		"untrusted source":          {false, true, []string{"P-Asserted-Identity: <sip:+49301@a.secret>"}, "", "+4917012@fra.example"},
		"untrusted target":          {true, false, []string{"P-Asserted-Identity: <sip:+49301@a.secret>"}, "", "+4917012@fra.example"},
		"private, untrusted target": {true, false, []string{"P-Asserted-Identity: <sip:+49301@a.secret>", "Privacy: id"}, "", "anonymous@anonymous.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(cfg *Config) { cfg.Parties[0].Trusted, cfg.Parties[1].Trusted = c.trustA, c.trustB }, func(w *world) {
				w.carrier.invite("id", w.carrier.sdp, c.headers...)
				in := w.fra.request(msg.INVITE)
				if got := value(in, "p-asserted-identity"); got != c.pai {
					t.Errorf("P-Asserted-Identity %q, want %q", got, c.pai)
				}
				if got := in.From().Address.User + "@" + in.From().Address.Host; got != c.from {
					t.Errorf("From %q, want %q", got, c.from)
				}
				w.fra.reply(in, 486, "")
				w.carrier.status(486)
				time.Sleep(time.Minute)
			})
		})
	}
}

// Conforms: RFC 7092 section 3.2; RFC 5806 section 4
func TestHeadersCrossByConfiguration(t *testing.T) {
	run(t, func(c *Config) {
		c.Parties[1].Headers = []string{"X-Genesys-Conversation-ID", "Diversion"}
		c.Parties[0].Trusted, c.Parties[1].Trusted = true, true
	}, func(w *world) {
		w.carrier.invite("cross", w.carrier.sdp, "x-genesys-conversation-id: abc", "X-Other: secret", "Diversion: \"Ann\" <sip:+49301@10.1.0.1>;reason=unconditional;x=10.1.0.1")
		in := w.fra.request(msg.INVITE)
		if value(in, "x-genesys-conversation-id") != "abc" || value(in, "x-other") != "" || value(in, "diversion") != "<sip:+49301@fra.example>;reason=unconditional" {
			t.Errorf("INVITE:\n%s", in)
		}
		w.fra.reply(in, 486, "")
		w.carrier.status(486)
		time.Sleep(time.Minute)
	})
}

func TestConfigIsChecked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, edit := range map[string]func(*Config){
			"no fence":          func(c *Config) { c.Fence = nil },
			"no planner":        func(c *Config) { c.Planner = nil },
			"no relay":          func(c *Config) { c.Relay = nil },
			"no log":            func(c *Config) { c.Log = nil },
			"log failure":       func(c *Config) { c.OnLogFailure = "x" },
			"stranger":          func(c *Config) { c.Stranger = "x" },
			"twice":             func(c *Config) { c.Parties = append(c.Parties, c.Parties[0]) },
			"no name":           func(c *Config) { c.Parties[0].Name = "" },
			"rel100":            func(c *Config) { c.Parties[0].Rel100 = "x" },
			"structural header": func(c *Config) { c.Parties[0].Headers = []string{"Via"} },
		} {
			w := newWorld(t, nil)
			c := w.edge.c
			c.Parties = append([]Party(nil), c.Parties...)
			edit(&c)
			if _, err := New(c); err == nil || !strings.HasPrefix(err.Error(), "sip: ") {
				t.Errorf("%s: %v", name, err)
			}
			_ = w.log.Close(t.Context())
		}
	})
}

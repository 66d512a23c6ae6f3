package sip

import (
	"bufio"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/healthcheck"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/digest"
	msg "github.com/emiago/sipgo/sip"
)

// What registered over a connection is called and probed over that connection, whatever its Contact says, and is gone with it.
// Conforms: RFC 3261 section 10.3; RFC 5626 section 6
func TestARegisteredConnectionCarriesCalls(t *testing.T) {
	s := feel()
	run(t, s.tune(func(c *Config) { partyOf(c, "carrier").Registers = true }), func(w *world) {
		nc := dial(w)
		nc.write(fmt.Sprintf("REGISTER sip:edge.example SIP/2.0\r\nVia: SIP/2.0/UDP %s;branch=z9hG4bKreg;rport\r\nMax-Forwards: 70\r\nFrom: <sip:pbx@edge.example>;tag=r\r\nTo: <sip:pbx@edge.example>\r\nCall-ID: reg\r\nCSeq: 1 REGISTER\r\nContact: <sip:pbx@192.168.7.7:5060;transport=tcp>\r\nContent-Length: 0\r\n\r\n", carrierAddr))
		if res, ok := nc.read().(*msg.Response); !ok || res.StatusCode != 200 {
			t.Fatal(text(res))
		}
		bound := s.of("carrier")
		if len(bound) != 1 || bound[0].Transport != "tcp" || bound[0].Addr.Addr() != carrierAddr.Addr() || bound[0].Addr.Port() == 5060 {
			t.Fatalf("%+v", bound)
		}
		target := healthcheck.Target{Party: "carrier", Member: healthcheck.Registered, Name: bound[0].Name, Transport: "tcp", Addr: bound[0].Addr}
		probed := make(chan error, 1)
		go func() {
			_, err := w.edge.Probe(w.t.Context(), target)
			probed <- err
		}()
		nc.reply(nc.read().(*msg.Request), 200)
		if err := <-probed; err != nil {
			t.Error("probe:", err)
		}
		w.hops = []routing.Hop{w.hop("carrier", carrierAddr)}
		w.hops[0].Target = target
		w.zrh.invite("c1", w.zrh.sdp)
		in, ok := nc.read().(*msg.Request)
		if !ok || in.Method != msg.INVITE || in.Recipient.Host != "192.168.7.7" || in.Recipient.Port != 5060 {
			t.Fatal(text(in))
		}
		nc.reply(in, 486)
		if ack, ok := nc.read().(*msg.Request); !ok || ack.Method != msg.ACK {
			t.Fatal(text(ack))
		}
		w.zrh.acknowledge("c1", w.zrh.status(486))
		_ = nc.nc.Close()
		time.Sleep(time.Second)
		synctest.Wait()
		if got := s.of("carrier"); len(got) != 0 {
			t.Errorf("the binding outlives its connection: %+v", got)
		}
		if _, err := w.edge.Probe(w.t.Context(), target); err == nil {
			t.Error("probed without a binding")
		}
		w.zrh.invite("c2", w.zrh.sdp)
		w.zrh.acknowledge("c2", w.zrh.status(480))
	})
}

// reply answers a request on its connection.
func (s *stream) reply(req *msg.Request, status int) {
	s.t.Helper()
	b := &strings.Builder{}
	fmt.Fprintf(b, "SIP/2.0 %d X\r\n", status)
	for _, h := range req.Headers() {
		switch h.(type) {
		case *msg.ViaHeader, *msg.FromHeader, *msg.CallIDHeader, *msg.CSeqHeader:
			b.WriteString(h.String() + "\r\n")
		case *msg.ToHeader:
			b.WriteString(h.String() + ";tag=s\r\n")
		}
	}
	b.WriteString("Content-Length: 0\r\n\r\n")
	s.write(b.String())
}

// A user registers its own address of record alone.
// Conforms: RFC 3261 section 10.3
func TestNobodyRegistersForSomebodyElse(t *testing.T) {
	s := feel()
	run(t, s.tune(func(c *Config) {
		registering(c)
		partyOf(c, "fra").Challenge.Users["other"] = secret("theirs")
	}), func(w *world) {
		w.fra.register("r1", 1, "Contact: <sip:edge1@10.2.0.1>")
		auth := answer(t, w.fra.status(401), &digest.Client{User: "other", Password: secret("theirs")}, "REGISTER", "sip:edge.example", "")
		w.fra.register("r1", 2, "Contact: <sip:edge1@10.2.0.1>", auth)
		w.fra.status(403)
		if got := s.of("fra"); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// A nonce that the registrar forgot between two refreshes is no wrong password, and a call for our Contact is one for the number in its To.
// Conforms: RFC 3261 section 22.2; RFC 3261 section 10.2.4
func TestARegistrarForgetsItsNonce(t *testing.T) {
	s := feel()
	s.set(trunk)
	run(t, s.tune(trunked(plainTrunk)), func(w *world) {
		ask := func(n string) string { return `WWW-Authenticate: Digest realm="c", nonce="` + n + `", qop="auth"` }
		w.carrier.reply(w.carrier.request(msg.REGISTER), 401, "", ask("1"))
		w.carrier.reply(w.carrier.request(msg.REGISTER), 200, "", "Expires: 600")
		w.carrier.reply(w.slow(w.carrier, msg.REGISTER, 600*time.Second), 401, "", ask("2"))
		w.carrier.reply(w.carrier.request(msg.REGISTER), 200, "", "Expires: 600")
		synctest.Wait()
		if v := w.edge.Registrations(); v[0].State != "registered" {
			t.Errorf("%+v", v)
		}
		raw := w.carrier.compose("INVITE", "sip:4969@10.0.0.1", "in", 1, "", w.carrier.sdp)
		w.carrier.write(raw)
		in := w.fra.request(msg.INVITE)
		if in.Recipient.User != "+4930123" {
			t.Errorf("called is %s", in.Recipient.String())
		}
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
	})
}

// A connection that breaks takes the registrar's way to us along: we register again at once.
// Conforms: RFC 5626 section 4.5
func TestABrokenConnectionIsRegisteredAnew(t *testing.T) {
	s, over := feel(), trunk
	over.Transport = "tcp"
	s.set(over)
	run(t, s.tune(trunked(plainTrunk)), func(w *world) {
		l, err := w.carrierHost().ListenTCP(carrierAddr)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		for range 2 {
			began := time.Now()
			nc, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if d := time.Since(began); d > time.Minute+3*time.Second {
				t.Error("registered anew after", d)
			}
			peer := &stream{t, nc, bufio.NewReader(nc)}
			req, ok := peer.read().(*msg.Request)
			if !ok || req.Method != msg.REGISTER || req.Contact().Address.UriParams.GetOr("transport", "") != "tcp" {
				t.Fatal(text(req))
			}
			peer.reply(req, 200)
			synctest.Wait()
			_ = nc.Close()
		}
	})
}

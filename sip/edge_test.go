package sip

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transport"
	msg "github.com/emiago/sipgo/sip"
)

func TestShardOf(t *testing.T) {
	for n := 1; n <= 8; n++ {
		for i := range n {
			if got := shardOf((&shard{id: i}).newCallID(), n); got != i {
				t.Errorf("our own Call-ID of loop %d of %d goes to %d", i, n, got)
			}
		}
		for _, id := range []string{"", "x", own, own + "z" + token(24), own + "\xff" + token(24), "abc@10.0.0.1"} {
			if got := shardOf(id, n); got < 0 || got >= n || got != shardOf(id, n) {
				t.Errorf("%q of %d: %d", id, n, got)
			}
		}
	}
}

// Conforms: RFC 3261 section 16.7; RFC 3398 section 8.2.6.1
func TestFateOf(t *testing.T) {
	q := func(c int) []reason { return []reason{{"Q.850", c, ""}} }
	for _, c := range []struct {
		status int
		rs     []reason
		want   fate
	}{
		{408, nil, tryNext},
		{430, nil, tryNext},
		{500, nil, tryNext},
		{502, nil, tryNext},
		{503, nil, tryNext},
		{504, nil, tryNext},
		{580, nil, tryNext},
		{486, nil, stopHere},
		{404, nil, stopHere},
		{484, nil, stopHere},
		{487, nil, stopHere},
		{302, nil, stopHere},
		{600, nil, stopHere},
		{603, q(34), stopHere},
		{480, q(34), tryNext},
		{480, q(38), tryNext},
		{480, q(41), tryNext},
		{480, q(42), tryNext},
		{404, q(44), tryNext},
		{480, q(47), tryNext},
		{480, q(19), stopHere},
		{501, nil, stopHere},
		{480, []reason{{"SIP", 34, ""}}, stopHere},
	} {
		if got := fateOf(c.status, c.rs); got != c.want {
			t.Errorf("%d %v: %d, want %d", c.status, c.rs, got, c.want)
		}
	}
}

// Conforms: RFC 3326 section 2
func TestReasonsAreCleaned(t *testing.T) {
	res := msg.NewResponse(486, "")
	res.AppendHeader(msg.NewHeader("Reason", `Q.850 ;cause=17 ;text="User busy", SIP;cause=486;text="at 10.0.0.1", X;cause=1;text="secret"`))
	res.AppendHeader(msg.NewHeader("Reason", `SIP;cause=99999, SIP;cause=abc, SIP`))
	var got []string
	for _, h := range reasonHeaders(reasons(res)) {
		got = append(got, h.Value())
	}
	if want := `Q.850;cause=17;text="User busy"|SIP;cause=486`; strings.Join(got, "|") != want {
		t.Errorf("%q", got)
	}
}

// Conforms: RFC 5621 section 4.2
func TestMultipartBody(t *testing.T) {
	body := "--b\r\nContent-Type: application/pidf+xml\r\n\r\n<x/>\r\n--b\r\nContent-Type: application/sdp\r\n\r\nv=0\r\n--b--\r\n"
	req := msg.NewRequest(msg.INVITE, msg.Uri{Scheme: "sip", Host: "x"})
	req.AppendHeader(msg.NewHeader("Content-Type", `multipart/mixed; boundary="b"`))
	req.SetBody([]byte(body))
	if sdp, ok := bodySDP(req); !ok || string(sdp) != "v=0" {
		t.Errorf("%q %v", sdp, ok)
	}
	req.SetBody([]byte(strings.Replace(body, "application/sdp", "text/plain", 1)))
	if _, ok := bodySDP(req); ok {
		t.Error("a body without SDP was taken")
	}
}

func TestRefusingTCPTarget(t *testing.T) {
	run(t, nil, func(w *world) {
		w.hops[0].Target.Transport = "tcp" // nobody listens there
		start := time.Now()
		w.carrier.invite("tcp", w.carrier.sdp)
		in := w.zrh.request(msg.INVITE)
		if took := time.Since(start); took > 100*time.Millisecond {
			t.Errorf("next hop after %v", took)
		}
		w.zrh.reply(in, 486, "")
		w.zrh.request(msg.ACK)
		w.carrier.status(486)
		if r := w.receipt(); r.Attempts[0].Result != "refused" {
			t.Errorf("%+v", r.Attempts)
		}
	})
}

// A leg whose SRTP is optional gets one more try without it.
// Conforms: RFC 8643 section 3
func TestPlainRetry(t *testing.T) {
	run(t, func(c *Config) {
		c.Parties[1].Leg.Security, c.Parties[1].Leg.InsecureLab = media.SRTPOptional, true
	}, func(w *world) {
		w.carrier.invite("plain", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		if !strings.Contains(string(in.Body()), "RTP/SAVP") {
			t.Errorf("first offer:\n%s", in.Body())
		}
		w.fra.reply(in, 488, "")
		w.fra.request(msg.ACK)
		again := w.fra.request(msg.INVITE)
		if !strings.Contains(string(again.Body()), "RTP/AVP") || strings.Contains(string(again.Body()), "crypto") {
			t.Errorf("second offer:\n%s", again.Body())
		}
		w.fra.reply(again, 488, "")
		w.fra.request(msg.ACK)
		w.carrier.status(488)
		w.receipt()
	})
}

// Conforms: RFC 3262 section 3
func TestReliablePass(t *testing.T) {
	run(t, func(c *Config) { c.Parties[0].Rel100, c.Parties[1].Rel100 = "pass", "pass" }, func(w *world) {
		w.carrier.invite("pass", w.carrier.sdp, "Require: 100rel")
		in := w.fra.request(msg.INVITE)
		if !lists(in, "require", "100rel") {
			t.Error("the requirement did not cross")
		}
		w.fra.reply(in, 421, "", "Require: 100rel")
		w.fra.request(msg.ACK)
		w.carrier.status(480)
		w.receipt()
	})
}

// CANCEL while the answer waits for a PRACK: B is ended, A hears 487 and no BYE of a dialog that it does not have.
// Conforms: RFC 3262 section 3; RFC 3261 section 9.2
func TestCancelBehindAReliableResponse(t *testing.T) {
	run(t, nil, func(w *world) {
		raw := w.carrier.invite("behind", w.carrier.sdp, "Require: 100rel")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.carrier.write(cancelOf(raw))
		w.carrier.status(200)
		res := w.carrier.status(487)
		w.carrier.write(ackFor(w.carrier, res, "behind"))
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		w.carrier.silent(time.Second)
		w.receipt()
	})
}

func TestReload(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, _ := w.up("reload")
		if err := w.edge.Reload([]Party{{Name: "x"}, {Name: "x"}}); err == nil {
			t.Error("a bad set was taken")
		}
		fra := w.edge.c.Parties[1]
		fra.Domain = "new.example"
		if err := w.edge.Reload([]Party{w.edge.c.Parties[0], fra}); err != nil {
			t.Fatal(err)
		}
		w.carrier.invite("after", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		if in.Recipient.Host != "new.example" {
			t.Errorf("Request-URI %s", in.Recipient.String())
		}
		w.fra.reply(in, 486, "")
		w.fra.request(msg.ACK)
		w.carrier.status(486)
		w.carrier.within(ok, "BYE", 2, "")
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		time.Sleep(time.Minute)
	})
}

// certificate makes a self-signed one for name, and the pool that trusts it.
func certificate(t *testing.T, name string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, pool
}

// untilRefused reads until a final refusal came, or nothing does any more.
func untilRefused(r io.Reader) (got string) {
	buf := make([]byte, 8192)
	for !strings.Contains(got, "SIP/2.0 4") {
		n, err := r.Read(buf)
		if err != nil {
			break
		}
		got += string(buf[:n])
	}
	return got
}

// busyOverTLS answers one INVITE with 486 and gives the name that it was asked for.
func busyOverTLS(ln net.Listener, cert tls.Certificate) (sni string) {
	nc, err := ln.Accept()
	if err != nil {
		return ""
	}
	defer nc.Close()
	tc := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		sni = h.ServerName
		return nil, nil
	}})
	buf := make([]byte, 8192)
	n, err := tc.Read(buf)
	if err != nil {
		return sni
	}
	m, err := msg.ParseMessage(buf[:n])
	if err != nil {
		return sni
	}
	_, _ = tc.Write([]byte(msg.NewResponseFromRequest(m.(*msg.Request), 486, "Busy Here", nil).String()))
	_, _ = tc.Read(buf) // the ACK
	return sni
}

// Over TLS the address is pinned and the name is verified; a trunk with Peers is known by its certificate, and one with a wrong one by nothing.
// Conforms: RFC 5922 section 7
func TestTLSIdentity(t *testing.T) {
	for name, c := range map[string]struct {
		client, server string
		status         int
	}{
		"right":           {"carrier.example", "fra.example", 486},
		"wrong client":    {"else.example", "fra.example", 0},
		"wrong server":    {"carrier.example", "else.example", 480},
		"no client names": {"", "fra.example", 0},
	} {
		t.Run(name, func(t *testing.T) {
			var clientPool, serverPool *x509.CertPool
			var ours, client, server tls.Certificate
			var ln net.Listener
			run(t, func(cfg *Config) {
				ours, _ = certificate(t, "edge.example")
				client, clientPool = certificate(t, c.client)
				server, serverPool = certificate(t, c.server)
				profile := &transport.TLSProfile{Name: "edge", Cert: func() *tls.Certificate { return &ours }}
				cfg.Parties[0].Peers = []string{"carrier.example"}
				cfg.Parties[1].TLS = &transport.TLSProfile{Name: "fra", Roots: func() *x509.CertPool { return serverPool }}
				cfg.Listeners = append(cfg.Listeners[:1], transport.Listener{Proto: transport.TLS, Stream: cfg.Listeners[1].Stream, TLS: profile, ClientCAs: func() *x509.CertPool { return clientPool }})
			}, func(w *world) {
				h := w.hop("fra", netip.AddrPortFrom(fraAddr.Addr(), 5061))
				h.Target.Transport = "tls"
				w.hops = []routing.Hop{h}
				var err error
				if ln, err = w.fraHost().ListenTCP(h.Target.Addr); err != nil {
					t.Fatal(err)
				}
				var wg sync.WaitGroup
				var sni string
				wg.Go(func() { sni = busyOverTLS(ln, server) })
				raw, err := w.carrierHost().DialTCP(w.t.Context(), carrierAddr.Addr(), edgeAddr)
				if err != nil {
					t.Fatal(err)
				}
				tc := tls.Client(raw, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{client}})
				invite := strings.Replace(w.carrier.compose("INVITE", "sip:+49@edge.example", "tls", 1, "", w.carrier.sdp), "SIP/2.0/UDP", "SIP/2.0/TLS", 1)
				_, werr := tc.Write([]byte(invite))
				_ = tc.SetReadDeadline(time.Now().Add(5 * time.Second))
				got := ""
				if werr == nil {
					got = untilRefused(tc)
				}
				want := "SIP/2.0 " + itoa(c.status)
				switch {
				case c.status == 0 && got != "":
					t.Errorf("an unknown client was told:\n%s", got)
				case c.status != 0 && !strings.Contains(got, want):
					t.Errorf("want %s, got:\n%s", want, got)
				}
				if c.status == 486 {
					r := w.receipt()
					if len(r.Hops) == 0 || r.Hops[0].TLS == nil || r.Hops[0].TLS.PeerSPKI == "" || r.Hops[0].RemoteName != "carrier.example" {
						t.Errorf("%+v", r.Hops)
					}
				}
				_ = tc.Close()
				_ = ln.Close()
				wg.Wait()
				if c.status == 486 && sni != "fra.example" {
					t.Errorf("SNI %q", sni)
				}
				synctest.Wait()
				time.Sleep(time.Minute)
			})
		})
	}
}

// FuzzEdge throws bytes at the whole edge, as a trunk would: it must neither panic nor lose a call, a session or a transaction.
func FuzzEdge(f *testing.F) {
	p := &peer{name: "carrier", at: carrierAddr, tag: "t", sdp: testSDP("10.1.0.1", 30000)}
	p.w = &world{}
	for _, s := range []string{
		p.compose("INVITE", "sip:+4930@edge.example", "f", 1, "", p.sdp),
		p.compose("INVITE", "tel:+49-30;phone-context=x", "f", 1, "", "", "Supported: timer,100rel", "Session-Expires: 90;refresher=uas", "Privacy: id", "P-Asserted-Identity: \"x\" <tel:+1>"),
		p.compose("INVITE", "urn:service:sos", "f", 1, "", "v=0", "Require: 100rel"),
		p.compose("BYE", "sip:x", "f", 1, "tag", ""), p.compose("OPTIONS", "sip:x", "f", 1, "", ""), p.compose("PRACK", "sip:x", "f", 1, "t", "", "RAck: 1 1 INVITE"),
		p.compose("REFER", "sip:x", "f", 1, "", "", "Refer-To: <sip:y>"), "SIP/2.0 200 OK\r\n\r\n", "\r\n\r\n", "INVITE",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		run(t, func(c *Config) { c.Loops = 1 }, func(w *world) {
			if _, err := w.carrier.conn.WriteToUDPAddrPort(b, edgeAddr); err != nil {
				return
			}
			synctest.Wait()
			if req, ok := w.fra.read(time.Second).(*msg.Request); ok && req.Method == msg.INVITE {
				w.fra.reply(req, 200, w.fra.sdp)
			}
			time.Sleep(5 * time.Minute)
			if v := w.edge.Calls(); len(v) != 0 {
				t.Errorf("a call is left: %+v", v)
			}
			s := w.edge.shards[0]
			done := make(chan [4]int, 1)
			s.loop.Post(func() {
				a, b := s.tx.Len()
				done <- [4]int{a, b, len(s.ends), len(s.ours)}
			})
			if n := <-done; n != [4]int{} {
				t.Errorf("transactions, legs and Call-IDs are left: %v", n)
			}
		})
	})
}

package sip

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/audit"
	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	"github.com/cordonsip/cordon/sip/transport"
	"github.com/cordonsip/cordon/state/book"
	msg "github.com/emiago/sipgo/sip"
)

// A caller whose connection went with the process is mute until it comes back: what is asked of it is to be asked again, a refresh waits, and then all goes on.
//
// Conforms: RFC 3261 section 12.2.1.1; where a request goes is an address of its party, or nowhere.
func TestACallerOnAConnectionComesBackAfterARestart(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		s := dial(w.world)
		s.write(strings.Replace(w.carrier.compose("INVITE", "sip:+4930@edge.example", "tcpcall", 1, "", w.carrier.sdp), "sip:carrier@10.1.0.1:5060", "sip:carrier@192.168.7.7:5060", 1))
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := s.read().(*msg.Response)
		uri, tag := ok.Contact().Address, ok.To().Params.GetOr("tag", "")
		s.write(w.carrier.compose("ACK", uri.String(), "tcpcall", 1, tag, ""))
		synctest.Wait()
		w.kill()
		_ = s.nc.Close()
		if out := w.again(nil); out.Calls != 1 {
			t.Fatalf("resumed %+v", out)
		}
		w.fra.inside(in, "INVITE", 1, body(w.fra.sdp, "AVP 8 101", "AVP 8"))
		if res := w.fra.status(500); value(res, "retry-after") == "" {
			t.Errorf("re-INVITE toward who cannot be reached:\n%s", res)
		}
		w.fra.insideAck(in, 1)
		w.fra.inside(in, "INFO", 2, "")
		w.fra.status(500)
		time.Sleep(20 * time.Second)
		w.nothingLeftFor("192.168.7.7") // its Contact is no address of its party
		if len(w.edge.Calls()) != 1 {
			t.Fatal("the call is gone")
		}
		again := dial(w.world)
		again.write(w.carrier.compose("UPDATE", uri.String(), "tcpcall", 2, tag, ""))
		if res := again.read().(*msg.Response); res.StatusCode != 200 {
			t.Errorf("UPDATE: %s", res.StartLine())
		}
		w.fra.inside(in, "BYE", 3, "")
		w.fra.status(200)
		bye := again.read().(*msg.Request)
		if bye.Method != msg.BYE {
			t.Fatalf("want BYE, got %s", bye)
		}
		again.write(msg.NewResponseFromRequest(bye, 200, "OK", nil).String())
		if r := w.receipt(); len(r.Moves) != 1 || r.Moves[0].Cause != "rebind" || !r.Moves[0].Allowed {
			t.Errorf("moves %+v", r.Moves)
		}
		_ = again.nc.Close()
		synctest.Wait()
	})
}

// pki makes certificates.
type pki struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newPKI(t *testing.T) *pki {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
		NotBefore: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, tpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	p := &pki{t: t, key: key, pool: x509.NewCertPool()}
	p.cert, _ = x509.ParseCertificate(der)
	p.pool.AddCert(p.cert)
	return p
}

func (p *pki) issue(name string) *tls.Certificate {
	p.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		p.t.Fatal(err)
	}
	tpl := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{name}, NotBefore: p.cert.NotBefore, NotAfter: p.cert.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tpl, p.cert, &key.PublicKey, p.key)
	if err != nil {
		p.t.Fatal(err)
	}
	leaf, _ := x509.ParseCertificate(der)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// secured is a world in which both sides speak TLS with certificates, and SDES keys in it.
type secured struct {
	*lasting
	ca       *pki
	carrierT *tls.Certificate
	fraT     *tls.Certificate
	ln       net.Listener // of fra
	dials    net.Listener // of the carrier, where its own Contact leads
}

const keyed = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n"

func savp(sdp string) string { return strings.Replace(sdp, "RTP/AVP", "RTP/SAVP", 1) + keyed }

// agreed gives the key of an answer the tag under which its suite was offered.
func agreed(offer, answer string) string {
	for line := range strings.Lines(offer) {
		if rest, ok := strings.CutPrefix(line, "a=crypto:"); ok && strings.Contains(rest, "AES_CM_128_HMAC_SHA1_80") {
			tag, _, _ := strings.Cut(rest, " ")
			return strings.Replace(answer, "a=crypto:1 ", "a=crypto:"+tag+" ", 1)
		}
	}
	return answer
}

func secure(t *testing.T, f func(w *secured)) {
	ca := newPKI(t)
	s := &secured{ca: ca, carrierT: ca.issue("sbc.carrier.example"), fraT: ca.issue("fra.example")}
	ours := ca.issue("edge.example")
	outlive(t, func(c *Config) {
		profile := &transport.TLSProfile{Name: "any", Roots: func() *x509.CertPool { return ca.pool }, Cert: func() *tls.Certificate { return ours }}
		for i := range 2 {
			c.Parties[i].TLS, c.Parties[i].Keys, c.Parties[i].Leg = profile, true, media.Leg{Security: media.SRTPRequired}
		}
		c.Parties[0].Peers = []string{"sbc.carrier.example"}
	}, func(w *lasting) {
		s.lasting = w
		w.kill()
		w.again(func(c *Config) {
			ln, err := w.host.ListenTCP(netip.AddrPortFrom(edgeAddr.Addr(), 5061))
			if err != nil {
				t.Fatal(err)
			}
			c.Listeners = append(c.Listeners, transport.Listener{
				Proto: transport.TLS, Stream: ln, ClientCAs: func() *x509.CertPool { return ca.pool },
				TLS: &transport.TLSProfile{Name: "edge", Cert: func() *tls.Certificate { return ours }},
			})
		})
		h := w.hop("fra", netip.AddrPortFrom(fraAddr.Addr(), 5061))
		h.Target.Transport = "tls"
		w.hops = []routing.Hop{h}
		var err error
		if s.ln, err = w.fraHost().ListenTCP(netip.AddrPortFrom(fraAddr.Addr(), 5061)); err != nil {
			t.Fatal(err)
		}
		if s.dials, err = w.carrierHost().ListenTCP(netip.AddrPortFrom(carrierAddr.Addr(), 5061)); err != nil {
			t.Fatal(err)
		}
		f(s)
		_, _ = s.ln.Close(), s.dials.Close()
		synctest.Wait()
	})
}

// taken takes a connection as a TLS server.
func (s *secured) taken(ln net.Listener, cert *tls.Certificate) *stream {
	s.t.Helper()
	nc, err := ln.Accept()
	if err != nil {
		s.t.Fatal(err)
	}
	tc := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{*cert}, ClientAuth: tls.RequestClientCert})
	return &stream{s.t, tc, bufio.NewReader(tc)}
}

// call opens a TLS connection of the carrier.
func (s *secured) call() *stream {
	s.t.Helper()
	nc, err := s.carrierHost().DialTCP(s.t.Context(), carrierAddr.Addr(), netip.AddrPortFrom(edgeAddr.Addr(), 5061))
	if err != nil {
		s.t.Fatal(err)
	}
	tc := tls.Client(nc, &tls.Config{Certificates: []tls.Certificate{*s.carrierT}, RootCAs: s.ca.pool, ServerName: "edge.example"})
	return &stream{s.t, tc, bufio.NewReader(tc)}
}

func overTLS(raw string) string {
	return strings.Replace(strings.Replace(raw, "SIP/2.0/UDP", "SIP/2.0/TLS", 1), "@10.1.0.1:5060>", "@10.1.0.1:5061;transport=tls>", 1)
}

// Both legs over TLS: the connection that was ours is opened again by the next word to its far end, the one that was the caller's is dialled at the address of its
// Contact, which is in its prefixes and proves the name that its own certificate must carry. No key is in the book.
//
// Conforms: RFC 5923 section 4
func TestTLSLegsOutliveARestart(t *testing.T) {
	secure(t, func(w *secured) {
		a := w.call()
		a.write(overTLS(w.carrier.compose("INVITE", "sip:+4930@edge.example", "tlscall", 1, "", savp(w.carrier.sdp))))
		b := w.taken(w.ln, w.fraT)
		in := b.read().(*msg.Request)
		b.write(rawReply(w.fra, in, 200, agreed(string(in.Body()), savp(w.fra.sdp))))
		if m := b.read().(*msg.Request); m.Method != msg.ACK {
			t.Fatalf("want ACK, got %s", m)
		}
		ok := a.read().(*msg.Response)
		if ok.StatusCode != 200 {
			t.Fatalf("the call was not taken:\n%s", ok)
		}
		uri, tag := ok.Contact().Address, ok.To().Params.GetOr("tag", "")
		a.write(overTLS(w.carrier.compose("ACK", uri.String(), "tlscall", 1, tag, "")))
		synctest.Wait()
		w.kill()
		raw, err := os.ReadFile(w.path)
		if err != nil || !bytes.Contains(raw, []byte("tlscall")) || bytes.Contains(raw, []byte("inline:")) || bytes.Contains(raw, []byte("d0RmdmcmVC")) {
			t.Errorf("the book holds keys, or nothing: %d bytes, %v", len(raw), err)
		}
		_, _ = a.nc.Close(), b.nc.Close()
		if out := w.again(nil); out.Calls != 1 {
			t.Fatalf("resumed %+v", out)
		}
		// fra speaks first, over a connection of its own; what it says goes to where the carrier can be dialled.
		nc, err := w.fraHost().DialTCP(w.t.Context(), fraAddr.Addr(), netip.AddrPortFrom(edgeAddr.Addr(), 5061))
		if err != nil {
			t.Fatal(err)
		}
		tc := tls.Client(nc, &tls.Config{Certificates: []tls.Certificate{*w.fraT}, RootCAs: w.ca.pool, ServerName: "edge.example"})
		b2 := &stream{t, tc, bufio.NewReader(tc)}
		rec := &recorder{UDPConn: w.fra.conn}
		w.fra.conn = rec
		w.fra.inside(in, "INFO", 1, "")
		w.fra.conn = rec.UDPConn
		b2.write(overTLS(rec.last))
		a2 := w.taken(w.dials, w.carrierT)
		info := a2.read().(*msg.Request)
		if info == nil || info.Method != msg.INFO {
			t.Fatalf("want INFO, got %s", info)
		}
		a2.write(msg.NewResponseFromRequest(info, 200, "OK", nil).String())
		if res := b2.read().(*msg.Response); res.StatusCode != 200 {
			t.Errorf("INFO: %s", res.StartLine())
		}
		// The carrier hangs up there, and fra hears of it over a new connection of ours.
		a2.write(overTLS(w.carrier.compose("BYE", uri.String(), "tlscall", 2, tag, "")))
		if res := a2.read().(*msg.Response); res.StatusCode != 200 {
			t.Errorf("BYE: %s", res.StartLine())
		}
		b3 := w.taken(w.ln, w.fraT)
		bye := b3.read().(*msg.Request)
		if bye.Method != msg.BYE {
			t.Fatalf("want BYE, got %s", bye)
		}
		b3.write(msg.NewResponseFromRequest(bye, 200, "OK", nil).String())
		r := w.receipt()
		for _, h := range r.Hops {
			if h.Plane == "signalling" && (h.TLS == nil || h.TLS.PeerSPKI == "" || h.RemoteName == "") {
				t.Errorf("hop %+v", h)
			}
		}
		if len(r.Moves) != 1 || r.Moves[0].To != "10.1.0.1:5061" || !r.Moves[0].Allowed {
			t.Errorf("moves %+v", r.Moves)
		}
		_, _, _ = a2.nc.Close(), b2.nc.Close(), b3.nc.Close()
	})
}

// Each way is judged anew: a place that is permitted no more gets not a byte, the other end gets BYE, and the receipt tells why.
func TestTheLawOfNowJudgesCallsOfTheLastRun(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		w.hops = []routing.Hop{w.hop("zrh", zrhAddr)}
		w.carrier.invite("law@10.1.0.1", w.carrier.sdp)
		in := w.zrh.request(msg.INVITE)
		w.zrh.reply(in, 200, w.zrh.sdp)
		w.zrh.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.kill()
		w.fence.Swap(lawOf(t, "aws:eu-central-1", "10.0.0.0/16", "10.1.0.0/16", "10.2.0.0/16", "10.3.0.0/16")) // Zurich is held
		if out := w.again(nil); out.Calls != 0 || out.Ended != 1 {
			t.Fatalf("resumed %+v", out)
		}
		bye := w.carrier.request(msg.BYE)
		if !strings.Contains(value(bye, "reason"), "cause=403") {
			t.Errorf("BYE:\n%s", bye)
		}
		w.carrier.reply(bye, 200, "")
		w.zrh.silent(time.Second)
		if r := w.receipt(); r.Outcome.Cause != "the policy ended this call" || r.Outcome.EndedBy != "edge" || r.TAnswer.IsZero() {
			t.Errorf("outcome %+v", r.Outcome)
		}
	})
}

// A call whose media is gone ends on both sides, with a cause of its own.
func TestACallWhoseMediaIsLostEnds(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		w.up("lost@10.1.0.1")
		w.kill()
		w.lost = true
		if out := w.again(nil); out.Ended != 1 || out.Calls != 0 {
			t.Fatalf("resumed %+v", out)
		}
		for _, p := range []*peer{w.carrier, w.fra} {
			bye := p.request(msg.BYE)
			if !strings.Contains(value(bye, "reason"), "media was lost") {
				t.Errorf("BYE:\n%s", bye)
			}
			p.reply(bye, 200, "")
		}
		if r := w.receipt(); r.Outcome.Cause != "the media was lost in a restart" || r.Outcome.SIPFinal != 200 {
			t.Errorf("outcome %+v", r.Outcome)
		}
		for _, s := range w.sessions { // who lost it closes it
			s.Close()
		}
	})
}

// A record of a version that is not known is refused: its media is closed, its ends hear 481, and the others go on.
func TestARecordOfAnotherVersionIsRefused(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		ok, in := w.up("future@10.1.0.1")
		ok2, _ := w.up("now@10.1.0.1")
		w.kill()
		b, err := book.Open(book.Config{Path: w.path})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range b.Left() {
			if bytes.Contains(r.Value, []byte("future@")) {
				r.Value[0] = savedVersion + 1
				b.Put(r.Key, r.Value)
				w.sessions[""] = w.sessions[string(w.of(r))] // the relay is asked by the name of the session alone
			}
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if out := w.again(nil); out.Calls != 1 || out.Unread != 1 || len(out.Refs) != 1 {
			t.Fatalf("resumed %+v", out)
		}
		if n := w.relay.Sessions(); n != 1 {
			t.Errorf("%d sessions", n)
		}
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(481)
		w.fra.inside(in, "BYE", 5, "")
		w.fra.status(481)
		w.end(ok2, 2)
		w.receipt()
		w.intents.End(w.intents.Open()[0]) // which the gap record names
	})
}

// of is what media saved in a record.
func (w *lasting) of(r book.Record) []byte {
	r.Value = bytes.Clone(r.Value)
	r.Value[0] = savedVersion
	s, err := readCall(r.Value)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.media
}

// A book without records, a torn one, and none at all: the edge comes up and takes calls.
func TestARestartWithLittleToReadOfIt(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		w.kill()
		if out := w.again(nil); out.Calls+out.Ended+out.Records+out.Unread != 0 {
			t.Errorf("of nothing came %+v", out)
		}
		ok, _ := w.up("whole@10.1.0.1")
		ok2, in2 := w.up("torn@10.1.0.1")
		w.kill()
		raw, err := os.ReadFile(w.path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(w.path, raw[:len(raw)-100], 0o600); err != nil { // the last record is cut
			t.Fatal(err)
		}
		if out := w.again(nil); out.Calls != 1 || w.book.Damage() == 0 {
			t.Errorf("of a torn book came %+v", out)
		}
		w.carrier.within(ok2, "BYE", 2, "")
		w.carrier.status(481)
		w.fra.inside(in2, "BYE", 5, "")
		w.fra.status(481)
		w.end(ok, 2)
		w.receipt()
		for _, s := range w.sessions { // who has a session that nobody asks for closes it
			s.Close()
		}
		w.intents.End(w.intents.Open()[0])
	})
}

// hung is a log that does not say what became of what it was given, until it is released.
type hung struct {
	audit.Log
	waits chan func(uint64, error)
}

func (h hung) AppendAsync(_ audit.Event, done func(uint64, error)) { h.waits <- done }

// release lets go of who waits: a process that is killed does not.
func (h hung) release() {
	for len(h.waits) > 0 {
		(<-h.waits)(0, errors.New("killed"))
	}
}

// A call that ended just before the process was killed gets its records from the next one, as they were, and from no other after it.
func TestTheRecordsOfACallThatHadEndedAreWrittenOnce(t *testing.T) {
	for name, logged := range map[string]bool{"the log did not have them": false, "the log had them": true} {
		t.Run(name, func(t *testing.T) {
			outlive(t, func(c *Config) {
				if !logged {
					c.Log = hung{c.Log, make(chan func(uint64, error), 16)}
				}
			}, func(w *lasting) {
				ok, _ := w.up("ended@10.1.0.1")
				time.Sleep(time.Minute)
				w.carrier.within(ok, "BYE", 2, "")
				w.carrier.status(200)
				w.fra.reply(w.fra.request(msg.BYE), 200, "")
				time.Sleep(time.Second)
				synctest.Wait()
				before := entries[audit.Receipt](w.world, audit.KindReceipt)
				if logged { // killed after the log had them, before the book was told
					r, ended := before[0], entries[audit.CallEnded](w.world, audit.KindCallEnded)[0]
					s := newSheet()
					s.rec, s.ended, s.call = r, ended, &call{sh: w.edge.shards[0], id: "s1", kept: true}
					s.keep()
				} else if len(before) != 0 {
					t.Fatal("this test shows nothing")
				}
				w.kill()
				time.Sleep(time.Hour)
				out := w.again(func(c *Config) { c.Log = w.log })
				if out.Records != 1 || out.Calls+out.Ended != 0 || len(out.Refs) != 1 {
					t.Fatalf("resumed %+v", out)
				}
				r := w.receipt()
				if r.Outcome.EndedBy != "a" || r.TEnd.Sub(r.TAnswer).Round(time.Second) != time.Minute || len(r.Hops) < 2 {
					t.Errorf("receipt %+v", r)
				}
				if n := len(entries[audit.CallEnded](w.world, audit.KindCallEnded)); n != 1 {
					t.Errorf("%d short records", n)
				}
				w.carrier.silent(time.Second)
				w.kill()
				if out := w.again(nil); out.Records != 0 {
					t.Errorf("resumed %+v", out)
				}
				w.receipt()
			})
		})
	}
}

// The number of loops may change with the processors of the machine: every dialog finds its call.
func TestLoopsMayBecomeMoreOrFewer(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		var all []*held
		for i := range 12 {
			h := &held{id: strings.Repeat("x", i+1) + "@10.1.0.1", far: w.fra, seq: 1, n: 10 * (i + 1)}
			h.ok, h.in = w.up(h.id)
			all = append(all, h)
		}
		for _, n := range []int{7, 1, 3} {
			w.kill()
			if out := w.again(func(c *Config) { c.Loops = n }); out.Calls != 12 {
				t.Fatalf("resumed %+v", out)
			}
			for _, h := range all {
				h.n++
				h.far.inside(h.in, "INFO", h.n, "")
				info := w.carrier.request(msg.INFO)
				w.carrier.reply(info, 200, "")
				h.far.status(200)
			}
		}
		for i, h := range all {
			h.hangUp(w, i%2 == 0)
		}
		time.Sleep(time.Minute)
		if n := w.edge.guests.n.Load(); n != 0 {
			t.Errorf("%d guests are left", n)
		}
	})
}

// A call for help outlives the process and the law at once.
func TestAnEmergencyCallOutlivesTheProcessAndTheLaw(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		w.help()
		w.carrier.dial112("sos@10.1.0.1")
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := w.carrier.status(200)
		w.carrier.within(ok, "ACK", 1, "")
		synctest.Wait()
		w.kill()
		w.fence.Swap(narrowed(t))
		if out := w.again(nil); out.Calls != 1 {
			t.Fatalf("resumed %+v", out)
		}
		time.Sleep(3 * time.Second)
		w.fra.inside(in, "INFO", 1, "")
		w.carrier.reply(w.carrier.request(msg.INFO), 200, "")
		w.fra.status(200)
		w.carrier.within(ok, "BYE", 2, "")
		w.carrier.status(200)
		w.fra.reply(w.fra.request(msg.BYE), 200, "")
		if r := w.receipt(); r.Purpose != "emergency_call" || r.Overall != "compliant" {
			t.Errorf("purpose %s, %s", r.Purpose, r.Overall)
		}
		time.Sleep(time.Minute)
		for _, s := range w.edge.shards {
			if len(s.sos) != 0 {
				t.Error("a Call-ID is still excused")
			}
		}
	})
}

// A call in set-up is not kept: the caller's CANCEL finds nothing, the callee's 200 is not acknowledged and its BYE finds nothing either.
func TestACallInSetUpEndsWithTheProcess(t *testing.T) {
	outlive(t, nil, func(w *lasting) {
		w.carrier.invite("setup@10.1.0.1", w.carrier.sdp)
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 180, "")
		w.carrier.status(180)
		w.kill()
		if out := w.again(nil); out.Calls+out.Ended+out.Unread != 0 {
			t.Fatalf("resumed %+v", out)
		}
		w.carrier.write(w.carrier.compose("CANCEL", "sip:+4930123@edge.example", "setup@10.1.0.1", 1, "", ""))
		w.carrier.status(481)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.silent(2 * time.Second)
		w.fra.inside(in, "BYE", 1, "")
		w.fra.status(481)
	})
}

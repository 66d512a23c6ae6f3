package sip

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cordonsip/cordon/media"
	"github.com/cordonsip/cordon/routing"
	msg "github.com/emiago/sipgo/sip"
)

// stream is a scripted peer on one TCP connection.
type stream struct {
	t  *testing.T
	nc net.Conn
	r  *bufio.Reader
}

func dial(w *world) *stream {
	w.t.Helper()
	nc, err := w.carrierHost().DialTCP(w.t.Context(), carrierAddr.Addr(), edgeAddr)
	if err != nil {
		w.t.Fatal(err)
	}
	return &stream{w.t, nc, bufio.NewReader(nc)}
}

func (s *stream) write(raw string) {
	s.t.Helper()
	if _, err := io.WriteString(s.nc, strings.Replace(raw, "SIP/2.0/UDP", "SIP/2.0/TCP", 1)); err != nil {
		s.t.Fatal(err)
	}
}

// read gives the next message that is no 100.
func (s *stream) read() msg.Message {
	s.t.Helper()
	for {
		_ = s.nc.SetReadDeadline(time.Now().Add(time.Minute))
		head, length := "", 0
		for {
			line, err := s.r.ReadString('\n')
			if err != nil {
				s.t.Fatalf("read: %v after %q", err, head)
			}
			if k, v, ok := strings.Cut(line, ":"); ok && textproto.CanonicalMIMEHeaderKey(k) == "Content-Length" {
				length, _ = strconv.Atoi(strings.TrimSpace(v))
			}
			if head += line; line == "\r\n" {
				break
			}
		}
		body := make([]byte, length)
		if _, err := io.ReadFull(s.r, body); err != nil {
			s.t.Fatal(err)
		}
		m, err := msg.ParseMessage([]byte(head + string(body)))
		if err != nil {
			s.t.Fatal(err)
		}
		if res, ok := m.(*msg.Response); !ok || res.StatusCode != 100 {
			return m
		}
	}
}

// A caller over TCP may lose its connection: it comes back over another one, and what we have to say goes there from then on.
// Conforms: RFC 3261 section 18.2.2
func TestCallerReconnects(t *testing.T) {
	run(t, nil, func(w *world) {
		s := dial(w)
		s.write(w.carrier.compose("INVITE", "sip:+4930@edge.example", "tcpcall", 1, "", w.carrier.sdp))
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := s.read().(*msg.Response)
		uri := ok.Contact().Address
		if uri.String() != "sip:10.0.0.1:5060;transport=tcp" {
			t.Errorf("Contact %s", uri.String())
		}
		tag := ok.To().Params.GetOr("tag", "")
		s.write(w.carrier.compose("ACK", uri.String(), "tcpcall", 1, tag, ""))
		synctest.Wait()
		_ = s.nc.Close()
		time.Sleep(time.Second)
		if len(w.edge.Calls()) != 1 {
			t.Fatal("a lost connection ended the call")
		}
		again := dial(w)
		again.write(w.carrier.compose("UPDATE", uri.String(), "tcpcall", 2, tag, ""))
		if res := again.read().(*msg.Response); res.StatusCode != 200 {
			t.Errorf("UPDATE: %s", res.StartLine())
		}
		w.fra.inside(in, "BYE", 1, "")
		w.fra.status(200)
		bye, ok2 := again.read().(*msg.Request)
		if !ok2 || bye.Method != msg.BYE {
			t.Fatalf("want BYE, got %v", bye)
		}
		again.write(msg.NewResponseFromRequest(bye, 200, "OK", nil).String())
		r := w.receipt()
		if len(r.Moves) != 1 || r.Moves[0].Plane != "signalling" || !r.Moves[0].Allowed || r.Moves[0].Ground == "" ||
			r.Moves[0].From != s.nc.LocalAddr().String() || r.Moves[0].To != again.nc.LocalAddr().String() {
			t.Errorf("moves: %+v", r.Moves)
		}
		_ = again.nc.Close()
		synctest.Wait()
	})
}

// A caller that comes back from a place that the policy holds is not followed, gets not a byte, and the receipt says so.
func TestCallerMovesAbroad(t *testing.T) {
	run(t, func(c *Config) {
		c.Parties[0].Sources = append(c.Parties[0].Sources, netip.MustParsePrefix("10.66.0.0/16"))
		c.Parties = c.Parties[:3]
	}, func(w *world) {
		s := dial(w)
		s.write(w.carrier.compose("INVITE", "sip:+4930@edge.example", "tcpcall", 1, "", w.carrier.sdp))
		in := w.fra.request(msg.INVITE)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		ok := s.read().(*msg.Response)
		uri, tag := ok.Contact().Address, ok.To().Params.GetOr("tag", "")
		s.write(w.carrier.compose("ACK", uri.String(), "tcpcall", 1, tag, ""))
		nc, err := w.net.Host(iadAddr.Addr()).DialTCP(w.t.Context(), iadAddr.Addr(), edgeAddr)
		if err != nil {
			t.Fatal(err)
		}
		abroad := &stream{t, nc, bufio.NewReader(nc)}
		abroad.write(w.carrier.compose("UPDATE", uri.String(), "tcpcall", 2, tag, ""))
		_ = nc.SetReadDeadline(time.Now().Add(2 * time.Second))
		if b, err := abroad.r.ReadByte(); err == nil {
			t.Errorf("a byte went abroad: %q", b)
		}
		w.fra.inside(in, "BYE", 1, "")
		w.fra.status(200)
		bye := s.read().(*msg.Request)
		s.write(msg.NewResponseFromRequest(bye, 200, "OK", nil).String())
		r := w.receipt()
		if len(r.Moves) != 1 || r.Moves[0].Plane != "signalling" || r.Moves[0].Allowed || r.Moves[0].To != nc.LocalAddr().String() {
			t.Errorf("moves: %+v", r.Moves)
		}
		_, _ = nc.Close(), s.nc.Close()
		synctest.Wait()
	})
}

// Conforms: RFC 3261 section 22
func TestChallengeInsideTheDialog(t *testing.T) {
	run(t, func(c *Config) {
		c.Parties[1].Auth = &Credentials{User: "u", Password: func() string { return "p" }}
		c.Product = "Edge/1"
	}, func(w *world) {
		ok, in := w.up("inauth")
		if value(in, "user-agent") != "Edge/1" || value(ok, "server") != "Edge/1" {
			t.Errorf("product: %q %q", value(in, "user-agent"), value(ok, "server"))
		}
		w.carrier.within(ok, "INVITE", 2, strings.Replace(w.carrier.sdp, "30000", "31000", 1))
		re := w.fra.request(msg.INVITE)
		w.fra.reply(re, 401, "", `WWW-Authenticate: Digest realm="r", nonce="n", qop="auth"`)
		w.fra.request(msg.ACK)
		again := w.fra.request(msg.INVITE)
		if value(again, "authorization") == "" || again.CSeq().SeqNo != re.CSeq().SeqNo+1 || string(again.Body()) != string(re.Body()) || again.Contact() == nil || len(again.GetHeaders("contact")) != 1 {
			t.Errorf("again:\n%s", again)
		}
		w.fra.reply(again, 200, w.fra.sdp)
		if ack := w.fra.request(msg.ACK); value(ack, "authorization") == "" {
			t.Error("the ACK does not repeat the credentials")
		}
		w.carrier.status(200)
		w.carrier.within(ok, "ACK", 2, "")
		synctest.Wait()
		w.end(ok, 3)
	})
}

func TestDelayedOfferThatCannotBeHonoured(t *testing.T) {
	for sdp, want := range map[string]int{"v=0\r\n": 488, testSDP("10.66.0.9", 30000): 403} {
		run(t, nil, func(w *world) {
			w.carrier.invite("baddelayed", "")
			in := w.fra.request(msg.INVITE)
			w.fra.reply(in, 200, sdp)
			w.carrier.status(want)
			w.fra.request(msg.ACK)
			w.fra.reply(w.fra.request(msg.BYE), 200, "")
			w.receipt()
		})
	}
}

// A call that never left gives its grant back.
func TestRefund(t *testing.T) {
	var back []string
	run(t, func(c *Config) {
		c.Refund = func(g string) { back = append(back, g) }
		c.Parties[1].Leg.Security = media.SRTPRequired // over UDP: keys are neither sent nor taken
	}, func(w *world) {
		h := w.hop("fra", fraAddr)
		h.Grant = "live"
		w.hops = []routing.Hop{h}
		w.carrier.invite("refund", w.carrier.sdp)
		res := w.carrier.status(488)
		if !strings.Contains(value(res, "warning"), " edge ") {
			t.Errorf("Warning %q", value(res, "warning"))
		}
		if r := w.receipt(); len(back) != 1 || back[0] != "live" || r.Attempts[0].Result != "media_488" || !r.Attempts[0].At.IsZero() {
			t.Errorf("refunded %v, %+v", back, r.Attempts)
		}
	})
}

// An answer that comes after its transaction ended is still acknowledged, and another fork's is ended. RFC 3261 section 13.2.2.4.
// Conforms: RFC 3261 section 13.2.2.4
func TestStrayAnswers(t *testing.T) {
	run(t, nil, func(w *world) {
		ok, in := w.up("stray")
		time.Sleep(40 * time.Second)
		w.fra.reply(in, 200, w.fra.sdp)
		w.fra.request(msg.ACK)
		w.fra.replyAs(in, 200, "late", w.fra.sdp)
		w.fra.request(msg.ACK)
		if bye := w.fra.request(msg.BYE); bye.To().Params.GetOr("tag", "") != "late" {
			t.Error("the wrong fork was ended")
		} else {
			w.fra.reply(bye, 200, "")
		}
		w.end(ok, 2)
	})
}

func TestBucketsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		s := w.edge.screen
		for i := range maxBuckets + 10 {
			if !s.take(netip.MustParseAddr(fmt.Sprintf("10.%d.%d.%d", 100+i>>16, i>>8&255, i&255))) {
				t.Fatal("a new source was refused")
			}
		}
		if n := len(s.rate.buckets); n > maxBuckets {
			t.Errorf("%d buckets", n)
		}
		a := netip.MustParseAddr("10.200.0.1")
		n := 0
		for s.take(a) {
			n++
		}
		time.Sleep(500 * time.Millisecond)
		if !s.take(a) || n != 50 {
			t.Errorf("%d calls at once", n)
		}
		_ = w.log.Close(t.Context())
	})
}

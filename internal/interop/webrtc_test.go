//go:build interop

package interop

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cordonsip/cordon/media/dtls"
	"github.com/cordonsip/cordon/media/ice"
	"github.com/cordonsip/cordon/media/srtp"
)

// echoer answers one call by hand with what media/ice and media/dtls make, and sends back what it hears: the two against a real peer, with nothing else of a node.
type echoer struct {
	t          *testing.T
	lite       bool
	sip, media *net.UDPConn
	own        ice.Credentials
	agent      ice.Agent
	hands      *dtls.Handshake
	keys       atomic.Pointer[dtls.Keys]
	failed     atomic.Pointer[error]
	opened     atomic.Int64
	refused    atomic.Int64
	checks     atomic.Int64
	peer       atomic.Pointer[netip.AddrPort]
	answer     string
}

func (e *echoer) local() netip.AddrPort { return e.media.LocalAddr().(*net.UDPAddr).AddrPort() }

// listen takes the sockets in a place.
func (e *echoer) listen(at place, addr string) {
	e.t.Helper()
	err := at.inside(func() error {
		var err, err2 error
		e.sip, err = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(addr)})
		e.media, err2 = net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(addr)})
		return errors.Join(err, err2)
	})
	if err != nil {
		e.t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() { e.signal(); done <- struct{}{} }()
	go func() { e.carry(); done <- struct{}{} }()
	e.t.Cleanup(func() {
		e.sip.Close()
		e.media.Close()
		<-done
		<-done
		if e.hands != nil {
			e.hands.Close()
		}
	})
}

// signal answers each INVITE with the same 200, and whatever else wants an answer with one.
func (e *echoer) signal() {
	b := make([]byte, 65535)
	for {
		n, from, err := e.sip.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		head, body, _ := strings.Cut(string(b[:n]), "\r\n\r\n")
		method, _, _ := strings.Cut(head, " ")
		if method == "ACK" {
			continue
		}
		if method == "INVITE" && e.answer == "" {
			if err := e.take(body); err != nil {
				e.t.Error(err)
				return
			}
		}
		reply := "SIP/2.0 200 OK\r\n"
		for l := range strings.SplitSeq(head, "\r\n") {
			name, _, _ := strings.Cut(l, ":")
			switch strings.ToLower(name) {
			case "to":
				if !strings.Contains(l, ";tag=") {
					l += ";tag=echo"
				}
				reply += l + "\r\n"
			case "via", "from", "call-id", "cseq":
				reply += l + "\r\n"
			}
		}
		sdp := e.answer
		if method != "INVITE" {
			sdp = ""
		}
		reply += fmt.Sprintf("Contact: <sip:echo@%s>\r\nContent-Type: application/sdp\r\nContent-Length: %d\r\n\r\n%s", e.sip.LocalAddr(), len(sdp), sdp)
		if _, err := e.sip.WriteToUDPAddrPort([]byte(reply), from); err != nil {
			return
		}
	}
}

// take reads an offer and makes the answer.
func (e *echoer) take(offer string) error {
	var of ice.Params
	var dt dtls.Params
	var port int
	addr := ""
	for l := range strings.SplitSeq(offer, "\r\n") {
		if rest, ok := strings.CutPrefix(l, "m=audio "); ok {
			dt = dt.Section()
			if _, err := fmt.Sscan(rest, &port); err != nil {
				return err
			}
		}
		if rest, ok := strings.CutPrefix(l, "c=IN IP4 "); ok {
			addr = rest
		}
		if name, value, _ := strings.Cut(strings.TrimPrefix(l, "a="), ":"); strings.HasPrefix(l, "a=") {
			if !of.Take(name, value) {
				dt.Take(name, value)
			}
		}
	}
	to, err := netip.ParseAddr(addr)
	if err != nil {
		return err
	}
	peer := netip.AddrPortFrom(to, uint16(port))
	if err := dt.Usable(); err != nil {
		return err
	}
	var lines []byte
	if e.lite {
		if !of.Usable(peer) || len(of.Candidates) == 0 {
			return fmt.Errorf("no ICE with %+v", of)
		}
		e.own = ice.NewCredentials()
		if e.agent, err = ice.New(e.own, of.Ufrag); err != nil {
			return err
		}
	} else {
		e.peer.Store(&peer)
	}
	cert, err := dtls.NewCertificate()
	if err != nil {
		return err
	}
	setup, role, err := dtls.Answer(dt.Setup, 0, e.lite)
	if err != nil {
		return err
	}
	lines = dtls.AppendSDP(lines, setup, cert.Fingerprint())
	if e.lite {
		lines = ice.AppendMedia(lines, e.own, []netip.AddrPort{e.local()}, of.Trickle)
	}
	e.hands, err = dtls.Start(dtls.Config{
		Role: role, Certificate: cert, Peer: dt.Fingerprints, Proven: e.lite,
		Send: func(b []byte) {
			if to := e.peer.Load(); to != nil {
				_, _ = e.media.WriteToUDPAddrPort(b, *to) // what is lost is sent again
			}
		},
		Done: func(k dtls.Keys, err error) {
			if err != nil {
				e.failed.Store(&err)
				return
			}
			e.keys.Store(&k)
		},
	})
	session := []byte{}
	if e.lite {
		session = ice.AppendSession(session)
	}
	e.answer = fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\n%[3]sm=audio %[2]d UDP/TLS/RTP/SAVPF 8\r\na=rtpmap:8 PCMA/8000\r\na=rtcp-mux\r\na=sendrecv\r\n%[4]s",
		e.local().Addr(), e.local().Port(), session, lines)
	return err
}

// carry is the data plane: by the first octet to whom it belongs, and back.
func (e *echoer) carry() {
	began := time.Now()
	b, reply := make([]byte, 2048), make([]byte, ice.ReplyLen)
	var in, out *srtp.Context
	var roc uint64
	var last uint16
	for {
		n, from, err := e.media.ReadFromUDPAddrPort(b)
		if err != nil {
			return
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		switch ice.KindOf(b[:n]) {
		case ice.STUN:
			answer, what := e.agent.Handle(time.Since(began), b[:n], from, reply)
			if what.What == ice.Nominated {
				e.agent.Agree(time.Since(began), what)
				e.peer.Store(&from)
			}
			if len(answer) > 0 {
				e.checks.Add(1)
				_, _ = e.media.WriteToUDPAddrPort(answer, from) // what is lost is asked again
			}
		case ice.DTLS:
			e.hands.Feed(b[:n])
		case ice.RTP:
			k := e.keys.Load()
			if k == nil {
				continue
			}
			if in == nil {
				in, err = srtp.New(k.Suite, k.Theirs.Key, k.Theirs.Salt)
				if out, _ = srtp.New(k.Suite, k.Ours.Key, k.Ours.Salt); err != nil || out == nil {
					return
				}
			}
			number := binary.BigEndian.Uint16(b[2:])
			if number < 1000 && last > 60000 {
				roc++
			}
			last = number
			clear, ok := in.OpenRTP(make([]byte, 0, 2048), b[:n], 12, roc<<16|uint64(number))
			if !ok {
				e.refused.Add(1)
				continue
			}
			e.opened.Add(1)
			copy(clear[8:], "echo") // an SSRC of our own
			sealed := out.SealRTP(make([]byte, 0, 2048), clear, 12, roc<<16|uint64(number))
			_, _ = e.media.WriteToUDPAddrPort(sealed, *e.peer.Load()) // as media is
		}
	}
}

// A baresip offers DTLS-SRTP, with ICE and without, and hears its own tone come back from what our rooms make: as the lite and passive side, and as the one that begins.
func TestBaresipDTLS(t *testing.T) {
	const modules = "module dtls_srtp.so\nmodule stun.so\nmodule ice.so\nrtcp_mux yes\n"
	for _, c := range []struct {
		name, params string
		lite         bool
	}{
		{"with ICE", "mediaenc=dtls_srtp;medianat=ice", true},
		{"without ICE", "mediaenc=dtls_srtp", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			lab := connect(t, 1, 5)
			e := &echoer{t: t, lite: c.lite}
			e.listen(lab.in[5], lan(5, 10))
			p := newPhone(t, phoneOptions{at: lab.in[1], addr: lan(1, 10), user: "caller", source: "tone", params: c.params, config: modules})
			p.command("dial", fmt.Sprintf("sip:echo@%s;transport=udp", e.sip.LocalAddr()))
			p.await("CALL_ESTABLISHED")
			p.talk(2 * time.Second)
			p.streams()
			k := e.keys.Load()
			if k == nil || e.opened.Load() < 100 || e.refused.Load() > 0 || p.loudness() < 1000 {
				t.Fatalf("failed: %v; opened %d, refused %d, loudness %.0f", e.failed.Load(), e.opened.Load(), e.refused.Load(), p.loudness())
			}
			if (e.checks.Load() > 0) != c.lite {
				t.Errorf("%d checks", e.checks.Load())
			}
			t.Logf("suite %v, %d packets opened, %d checks answered, loudness of the echo %.0f", k.Suite, e.opened.Load(), e.checks.Load(), p.loudness())
			p.command("hangup", "")
			p.await("CALL_CLOSED")
		})
	}
}

// A baresip with DTLS-SRTP calls, or is called, through a node: the other phone speaks plain RTP, or SDES over TLS, and each hears the other's tone, or its own come back. With ICE the node is the
// lite side, and media goes where baresip nominates.
// Conforms: RFC 5763 section 5; RFC 5764 section 4.2; RFC 8445 section 2.5
func TestBaresipDTLSThroughANode(t *testing.T) {
	const modules = "module dtls_srtp.so\nmodule stun.so\nmodule ice.so\nrtcp_mux yes\n"
	for _, c := range []struct {
		name          string
		ice, sdes     bool
		webIsCarriers bool // the one with DTLS calls; else it is called
	}{
		{"it is called, with ICE, by a phone in clear", true, false, false},
		{"it is called, without ICE, by a phone with SDES", false, true, false},
		{"it calls, with ICE, a phone with SDES", true, true, true},
		{"it calls, without ICE, a phone in clear", false, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := connect(t, 1, 5, 10)
			w := &world{at: l.in[5], edge: lan(5, 10)}
			w.pki(t, "edge.lab.example,"+lan(5, 10), "web.lab.example,"+lan(10, 10), "other.lab.example,"+lan(1, 10))
			params, leg := "mediaenc=dtls_srtp", "{security: dtls}"
			if c.ice {
				params, leg = params+";medianat=ice", "{security: dtls, ice: lite}"
			}
			webAt, otherAt := 10, 1
			if c.webIsCarriers {
				webAt, otherAt = 1, 10
			}
			source := map[bool]string{true: "tone", false: "echo"}
			web := newPhone(t, phoneOptions{at: l.in[webAt], addr: lan(webAt, 10), user: "+4969123456", source: source[c.webIsCarriers], params: params, config: modules})
			other := newPhone(t, phoneOptions{at: l.in[otherAt], addr: lan(otherAt, 10), user: "+4989123456", secure: c.sdes, source: source[!c.webIsCarriers], pki: w, name: "other"})
			transport := map[bool]string{true: "tls", false: "udp"}[c.sdes]
			webParty, otherParty := web.as("web", "udp"), other.as("other", transport)
			webParty.media = leg
			caller, callee, way := other, web, transport
			w.trunks, w.groups = []party{otherParty}, []party{webParty}
			if c.webIsCarriers {
				caller, callee, way = web, other, "udp"
				w.trunks, w.groups = []party{webParty}, []party{otherParty}
			}
			n := boot(t, w, w.groups[0].name)
			caller.dial(n, way, callee)
			callee.talk(2 * time.Second)
			caller.talk(2 * time.Second)
			caller.hangUp(callee)
			if there, back := callee.loudness(), caller.loudness(); there < 1000 || back < 1000 {
				t.Errorf("loudness at the callee %.0f, of the echo at the caller %.0f: too low", there, back)
			}
			r := n.oneReceipt()
			wantAnswered(t, r, w.groups[0].name, "primary")
			a, b := suites(r)
			if c.webIsCarriers {
				a, b = b, a
			}
			if a == "" && c.sdes || b == "" || packets(r, "a") < 100 || packets(r, "b") < 100 {
				t.Errorf("suites %q at the other phone, %q by DTLS; packets %d and %d", a, b, packets(r, "a"), packets(r, "b"))
			}
			noted(t, "DTLS-SRTP of baresip through the node, "+c.name, fmt.Sprintf("%s, %d and %d packets", b, packets(r, "a"), packets(r, "b")), "audio both ways")
			n.stop()
		})
	}
}

// The media process is killed under a call of a baresip with DTLS-SRTP and ICE, and then the control process: the keys stay, consent goes on, and both hear each other; there is no second handshake.
func TestBaresipDTLSOutlivesBothProcesses(t *testing.T) {
	l := connect(t, 1, 5, 10)
	web := newPhone(t, phoneOptions{
		at: l.in[10], addr: lan(10, 10), user: "+4969123456", source: "echo", params: "mediaenc=dtls_srtp;medianat=ice", config: "module dtls_srtp.so\nmodule stun.so\nmodule ice.so\nrtcp_mux yes\n",
	})
	other := newPhone(t, phoneOptions{at: l.in[1], addr: lan(1, 10), user: "+4989123456", source: "tone"})
	w := &world{at: l.in[5], edge: lan(5, 10), more: "media: {inprocess: false}", dir: t.TempDir()}
	webParty := web.as("web", "udp")
	webParty.media = "{security: dtls, ice: lite}"
	w.trunks, w.groups = []party{other.as("other", "udp")}, []party{webParty}
	k := &killLab{}
	t.Cleanup(func() { k.endMedia(filepath.Join(w.dir, "state", "run", "media.sock")) })
	k.node = boot(t, w, "web")
	other.dial(k.node, "udp", web)
	web.talk(2 * time.Second)
	was := k.mediaProcess()
	if err := syscall.Kill(was, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	k.errors = []string{"media: the media process is gone"}
	web.talk(2 * time.Second)
	if now := k.mediaProcess(); now == 0 || now == was {
		t.Errorf("process %d listens after %d was killed", now, was)
	}
	k.killControl()
	k.gaps++
	web.talk(2 * time.Second)
	k.run(filepath.Join(k.dir, "cordon.yaml"))
	web.talk(2 * time.Second)
	other.talk(2 * time.Second)
	if n := k.node.calls(); n != 1 {
		t.Errorf("the next control process knows %d calls", n)
	}
	other.streams()
	other.hangUp(web)
	if there, back := web.loudness(), other.loudness(); there < 1000 || back < 1000 {
		t.Errorf("loudness at the callee %.0f, of the echo at the caller %.0f: too low", there, back)
	}
	r := k.oneReceipt()
	wantAnswered(t, r, "web", "primary")
	if _, b := suites(r); b == "" || packets(r, "b") < 350 || packets(r, "a") < 350 {
		t.Errorf("suite %q, %d and %d packets", b, packets(r, "a"), packets(r, "b"))
	}
	noted(t, "DTLS-SRTP of baresip, kill -9 of media and then of control", fmt.Sprintf("%d and %d packets", packets(r, "a"), packets(r, "b")), "audio both ways, no handshake")
	k.stop()
}
